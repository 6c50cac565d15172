"""Where a learner's code runs."""
