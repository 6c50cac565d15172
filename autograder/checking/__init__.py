"""What a learner meets: the check, its result, the progress."""
