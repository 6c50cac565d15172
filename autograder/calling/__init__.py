"""The only way to call a component, in this process or in another: a request goes in, a reply comes out."""

SEED = "recorded"  # which numbers a local check uses; what is recorded was seen with them
