"""The only way to call a component, in this process or in another: a request goes in, a reply comes out."""

SEED = "recorded"  # which numbers a local check uses; what is recorded was seen with them
# By the clock a learner's code may take so many times as long as it may compute: on a busy computer it waits.
PATIENCE = 6.0
