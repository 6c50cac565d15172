"""The errors that are raised when a sandbox cannot be started."""


class SandboxUnavailable(RuntimeError):
    """This machine gives no isolation that holds, so nothing is graded. The text gives place, fact and remedy."""
