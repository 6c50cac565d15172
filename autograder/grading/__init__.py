"""A class is graded: submissions in, scores and reasons out."""
