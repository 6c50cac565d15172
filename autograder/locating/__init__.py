"""In which of their own lines a learner's mistake is: found by small edits, each judged by the probes."""
