"""What is raised where a sandbox cannot be had."""


class SandboxUnavailable(RuntimeError):
    """This machine gives no isolation that holds, so nothing is graded. The text gives place, fact and remedy."""
