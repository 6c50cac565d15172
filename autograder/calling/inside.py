"""The judge's counterpart inside a learner's kernel: it calls the component and sends back what it returns.

Everything here runs in the learner's process and can be changed by it; nothing here is believed, and nothing
secret is here. The judge sends one call of one component, and gets back what that call gave.
"""

import contextlib
import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..processes import one_thread
from . import wire
from .limit import TimeUp
from .watched import Own, closed_boxes

CALL, ANSWER = "judge_call", "judge_answer"
MOST_PRINTED = 2_000  # characters


def install() -> None:
    """Let the kernel of this process answer the judge's messages, from the names of its notebook."""
    from IPython import get_ipython

    shell = get_ipython()
    kernel = shell.kernel
    one_thread()
    torch.ones(1, device="meta") / 2  # loads a second's worth of modules, which must not count as a learner's time

    async def on_call(stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        content, buffers = answer(shell.user_ns, parent["content"], parent["buffers"])
        kernel.session.send(stream, ANSWER, content, parent=parent, ident=ident, buffers=buffers)

    kernel.shell_handlers[CALL] = on_call


def answer(
    names: Mapping[str, Any], content: dict[str, Any], buffers: Sequence[wire.Buffer]
) -> tuple[dict[str, Any], list[bytes]]:
    """Return (JSON, [buffer]): what one call of a component gave, or why there is nothing.

    names    of the notebook; the component is one of them
    content  {"request": as `wire.pack` made it, "seconds": how long the call may compute, "wall": how long it may take}
    """
    printed = io.StringIO()
    try:
        request = wire.unpack(content["request"], buffers)
        if request.component not in names:
            return {"missing": True}, []
        submission = Own({request.component: names[request.component]}, closed_boxes(request.parts))
        with (
            submission.limit(content["seconds"], content["wall"]) as limit,
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            warnings.catch_warnings(record=True) as warned,
        ):
            warnings.simplefilter("default")
            about, sent = wire.pack_reply(submission.call(request))
    except TimeUp as reason:
        return {"stopped": True, "burned": reason.burned, "printed": printed.getvalue()[:MOST_PRINTED]}, []
    except BaseException as error:  # SystemExit and KeyboardInterrupt, too: the kernel is needed for the next call
        return {"failed": f"{type(error).__name__}: {error}"[:MOST_PRINTED]}, []
    said = dict.fromkeys(f"{warning.category.__name__}: {warning.message}\n" for warning in warned)
    text = ("".join(said) + printed.getvalue())[:MOST_PRINTED]
    return {"reply": about, "spent": content["seconds"] - limit.left, "printed": text}, sent
