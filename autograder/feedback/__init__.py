"""Pages that are clean whatever a learner wrote."""
