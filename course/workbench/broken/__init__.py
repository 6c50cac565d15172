"""Components with one thing wrong, for the exercises in which the learner finds the bug. One module per lesson."""
