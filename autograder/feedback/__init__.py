"""Feedback pages that are safe to open, whatever a learner wrote."""
