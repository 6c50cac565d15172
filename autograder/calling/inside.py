"""The judge's counterpart inside a learner's kernel: it calls the component and sends back what it returns.

Everything here runs in the learner's process and can be changed by it; nothing here is believed, and nothing
secret is here. The judge sends calls of one component, and gets back what each of them gave.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

import torch

from ..processes import one_thread
from . import wire
from .helpers import LookedThrough
from .limit import TimeUp
from .watched import Own, closed_boxes

CALL, ANSWER = "judge_call", "judge_answer"
MOST_PRINTED = 2_000  # characters
MOST_SENT = wire.MOST_BYTES // 8  # in the answers to one message, before the last of them


def install() -> None:
    """Let the kernel of this process answer the judge's messages, from the names of its notebook."""
    one_thread()
    torch.ones(1, device="meta") / 2  # loads a second's worth of modules, which must not count as a learner's time
    # Without answers the judge refuses at once, where it would wait for nothing.
    on_message(CALL, ANSWER, answers, {"answers": []})


def on_message(
    kind: str,
    answer_kind: str,
    answered: Callable[[Mapping[str, Any], dict[str, Any], Sequence[wire.Buffer]], tuple[dict[str, Any], list[bytes]]],
    otherwise: dict[str, Any],
) -> None:
    """Let the kernel of this process answer messages of a kind.

    answered   function of the names of the notebook, and of the content and the buffers of a message, that returns
               content and buffers of the answer
    otherwise  content of the answer where that fails
    """
    from IPython import get_ipython

    shell = get_ipython()
    kernel = shell.kernel

    async def on_one(stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        content, buffers = otherwise, list[bytes]()
        with contextlib.suppress(Exception):
            content, buffers = answered(shell.user_ns, parent["content"], parent["buffers"])
        kernel.session.send(stream, answer_kind, content, parent=parent, ident=ident, buffers=buffers)

    kernel.shell_handlers[kind] = on_one


def answers(
    names: Mapping[str, Any], content: dict[str, Any], buffers: Sequence[wire.Buffer]
) -> tuple[dict[str, Any], list[bytes]]:
    """Return ({"answers": [what each call gave]}, buffers) of calls that are made one after the other.

    names    of the notebook; the component is one of them
    content  {"calls": [{"request": as `wire.pack` made it, "buffers": how many of the buffers are its own}],
             "seconds": how long all calls together may compute, "wall": how long they may take}

    There are fewer answers than calls where one of them leaves nothing to ask, or where they have become too many to
    be held at once: then the rest is asked for again.
    """
    found: list[dict[str, Any]] = []
    sent: list[bytes] = []
    seconds, wall, left = content["seconds"], content["wall"], list(buffers)
    looked_through = LookedThrough()
    for call in content["calls"]:
        own, left = left[: call["buffers"]], left[call["buffers"] :]
        begun = monotonic()
        one, tensors = answer(names, call["request"], own, seconds, wall, looked_through)
        found.append(one | {"buffers": len(tensors)})
        sent += tensors
        seconds, wall = seconds - one.get("spent", 0.0), wall - (monotonic() - begun)
        is_last = "reply" not in one or bool((one["reply"]["fault"] or {}).get("unsolved"))
        if is_last or seconds <= 0 or wall <= 0 or sum(map(len, sent)) > MOST_SENT:
            break
    return {"answers": found}, sent


def answer(
    names: Mapping[str, Any],
    request: dict[str, Any],
    buffers: Sequence[wire.Buffer],
    seconds: float,
    wall: float,
    looked_through: LookedThrough | None = None,
) -> tuple[dict[str, Any], list[bytes]]:
    """Return (JSON, [buffer]): what one call of a component gave, or why there is nothing.

    looked_through  what is known of the component from earlier calls
    """
    printed = io.StringIO()
    try:
        asked = wire.unpack(request, buffers)
        if asked.component not in names:
            return {"missing": True}, []
        submission = Own({asked.component: names[asked.component]}, closed_boxes(asked.parts))
        submission.looked_through = looked_through or submission.looked_through
        with (
            submission.limit(seconds, wall) as limit,
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            warnings.catch_warnings(record=True) as warned,
        ):
            warnings.simplefilter("default")
            about, sent = wire.pack_reply(submission.call(asked))
    except TimeUp as reason:
        return {"stopped": True, "burned": reason.burned, "printed": printed.getvalue()[:MOST_PRINTED]}, []
    except BaseException as error:  # SystemExit and KeyboardInterrupt, too: the kernel is needed for the next call
        return {"failed": f"{type(error).__name__}: {error}"[:MOST_PRINTED]}, []
    said = dict.fromkeys(f"{warning.category.__name__}: {warning.message}\n" for warning in warned)
    text = ("".join(said) + printed.getvalue())[:MOST_PRINTED]
    return {"reply": about, "spent": seconds - limit.left, "printed": text}, sent
