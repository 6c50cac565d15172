"""What runs first inside a sandbox: it drops the privileges that are left, and then becomes the kernel.

A cold start runs this module as a program inside bubblewrap; a warm one calls `become` in a fork of the zygote,
which has entered the sandbox. So both are isolated by the same lines.
"""

import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Mapping

from . import linux, seccomp, view

READY = b"ready"
# How much of an error is reported; it must fit into one message.
MOST_REPORTED = 8000


def become(report: int) -> None:
    """Run the task that the sandbox was built for, and return when it has ended.

    report  number of the open file to which one message is written: READY, or why not
    """
    try:
        _close_all_but(report)
        with open(view.TASK, encoding="utf-8") as file:
            task = json.load(file)
        os.chdir(view.SCRATCH)
        os.environ.clear()
        os.environ.update(view.ENVIRONMENT)
        lock_down(task["limits"])
        run = start_kernel(task["arguments"])
    except BaseException:
        os.write(report, traceback.format_exc()[-MOST_REPORTED:].encode("utf-8", "replace"))
        raise
    os.write(report, READY)
    # Before the first line of a learner: nothing of the host may be open any more.
    os.close(report)
    run()


def lock_down(limits: Mapping[str, int]) -> None:
    """Limit this process and give up every privilege, for it and for all that it will start.

    limits  most per process, by their names in the module `resource`
    """
    linux.forget_keys()
    _be_the_first_to_go()
    for name, most in limits.items():
        number = getattr(resource, name)
        _, allowed = resource.getrlimit(number)
        if allowed != resource.RLIM_INFINITY:
            most = min(most, allowed)
        resource.setrlimit(number, (most, most))
    linux.renounce_privileges()
    seccomp.deny()


def start_kernel(arguments: list[str]) -> Callable[[], None]:
    """Start an IPython kernel whose sockets are bound when this returns; return what runs it."""
    from ipykernel.kernelapp import IPKernelApp

    app = IPKernelApp.instance()
    app.initialize(arguments)
    assert app.shell is not None, "it comes with the application"
    app.shell.ask_exit = lambda: None  # `quit()` ends a session at a desk; here other cells are still to come
    return app.start


def _close_all_but(report: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.closerange(3, report)
    os.closerange(report + 1, os.sysconf("SC_OPEN_MAX"))


def _be_the_first_to_go() -> None:
    """Where the machine runs out of memory, the kernel shall end a sandbox and not the grading."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
    except OSError:
        pass


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    become(int(sys.argv[1]))
