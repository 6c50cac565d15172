"""A lesson text becomes notebooks and records."""
