"""Components that live in a learner's kernel: calls go there in a message, and their answers come back in another one.

A message takes longer than most calls do. So whoever knows beforehand which calls will be made says so, and they all
go in one. If another one is made after all, it is asked by itself.
"""

import collections
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty
from time import monotonic
from typing import Any, NoReturn

import torch
import zmq
from jupyter_client import AsyncKernelClient
from nbclient.util import run_sync
from torch.utils._pytree import tree_flatten

from . import inside, limit, wire
from .limit import TimeUp
from .local import Fault, Reply, Request, describe

MOST_NUMBERS = 3_000_000  # in the replies to all calls of a block; each is looked at several times
GRACE = 2.0  # seconds that a kernel may compute to say that the time of a call was up
GRACE_BY_THE_CLOCK = 10.0
LIE = 3.0  # imports and packing are not the learner's, and count as the kernel's
SECONDS_TO_INSTALL = 120
DIED = "The Python process that ran your code ended (a crash, an exit, or too little memory)."


class EndedError(Exception):
    """Why a kernel will answer no call any more, in words for the learner."""


class MissingError(Exception):
    """The notebook has no component of this name."""


class Channel:
    """Asks one kernel, one question at a time.

    client    a started client of the kernel
    alive     function that tells whether the kernel's process still runs
    computed  function that returns the seconds that a processor has spent on the kernel, as the system counts them
    """

    def __init__(
        self, client: AsyncKernelClient, alive: Callable[[], bool], computed: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.client, self.alive, self.computed, self.ended = client, alive, computed, ""
        self._receive = run_sync(client.get_shell_msg)
        self.install("calling")

    def install(self, room: str) -> None:
        """Let the kernel answer the messages of a room of autograder that has a module `inside`."""
        # As an expression it gives no name to the notebook.
        self._execute(f"__import__('autograder.{room}.inside').{room}.inside.install()")

    def _execute(self, code: str) -> None:
        with self._sending():
            asked = self.client.execute(code, silent=True, store_history=False, allow_stdin=False, stop_on_error=False)
        if self._wait(asked, "execute_reply", SECONDS_TO_INSTALL)[0].get("status") != "ok":
            raise EndedError("The process that runs your code could not be prepared for the checks.")

    def ask(
        self,
        content: dict[str, Any],
        buffers: Sequence[bytes] = (),
        kinds: tuple[str, str] = (inside.CALL, inside.ANSWER),
    ) -> tuple[Any, list[wire.Buffer]]:
        """Return (content, buffers) of the kernel's answer. Raises `EndedError` if there is none in time.

        content  "seconds" and "wall" in it are how long the call may compute, and how long it may take
        kinds    of the message and of its answer
        """
        if self.ended:
            raise EndedError(self.ended)
        session = self.client.session
        kind, answer = kinds
        message = session.msg(kind, content)
        with self._sending():
            session.send(self.client.shell_channel.socket, message, buffers=list(buffers))
        return self._wait(
            message["header"]["msg_id"], kinds[1], content["wall"] + GRACE_BY_THE_CLOCK, content["seconds"]
        )

    @contextmanager
    def _sending(self) -> Iterator[None]:
        """Send something in this block; where nobody is left to take it, the process has ended."""
        try:
            yield
        except zmq.ZMQError:
            self._end(DIED)

    def _wait(self, asked: str, kind: str, wall: float, seconds: float = math.inf) -> tuple[Any, list[wire.Buffer]]:
        """Return (content, buffers) of an answer.

        wall     seconds by the clock
        seconds  of a processor: a kernel that has used up `GRACE` more is in compiled code, which nothing interrupts
        """
        end, most = monotonic() + wall, self.computed() + seconds + GRACE
        while (left := end - monotonic()) > 0 and self.computed() < most:
            try:
                message = self._receive(timeout=min(left, 0.5))
            except Empty:
                if not self.alive():
                    self._end(DIED)
                continue
            except Exception as error:  # whatever a kernel sends that is not a message
                self._end(f"The process that ran your code sent an invalid message ({type(error).__name__}).")
            if message["parent_header"].get("msg_id") == asked and message["msg_type"] == kind:
                return message["content"], message.get("buffers") or []
        self._end("Your code did not return in time and could not be interrupted.")

    def _end(self, reason: str) -> NoReturn:
        self.ended = reason
        raise EndedError(reason)


@dataclass
class _Answer:
    """What came back of one call, read only when somebody makes this call.

    call     as it was sent: (JSON, buffers)
    content  of the answer, as it came
    buffers  of its tensors
    took     seconds by the clock that the message took which it came with
    """

    call: tuple[dict[str, Any], list[bytes]]
    content: object
    buffers: Sequence[wire.Buffer]
    took: float


class Remote:
    """A submission in a kernel that is not trusted.

    connect   function that returns the `Channel` to a living kernel, or raises `EndedError`
    deadline  when, by `time.monotonic`, the time of the submission is over: after that nothing is waited for longer
              than it may compute
    printed   what the first call that printed something has printed
    """

    def __init__(self, connect: Callable[[], Channel], deadline: float = math.inf) -> None:
        self.connect, self.deadline, self.printed = connect, deadline, ""
        self._left, self._wall_left = 0.0, 0.0
        self._numbers = 0
        self._expected: list[tuple[dict[str, Any], list[bytes]]] = []
        self._answers: collections.deque[_Answer] = collections.deque()

    def expect(self, requests: Iterable[Request]) -> None:
        """Say which calls will be made next, in this order; they are sent with the first of them."""
        self._expected = [wire.pack(request) for request in requests]
        self._answers.clear()

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Let all calls of the block compute for so many seconds; `TimeUp` is raised by the one that takes more.

        What a call has computed, its kernel tells. One that lies may compute `LIE` times as long, which the system
        counts, and gains no more than the clock allows, see `Limit`.
        """
        left = self.deadline - monotonic()
        self._left, self._wall_left, self._numbers = seconds, min(max(left, seconds), limit.PATIENCE * seconds), 0
        self._seconds, self._computed = seconds, 0.0
        self._answers.clear()
        yield

    def call(self, request: Request) -> Reply:
        """Call a component and return its `Reply`.

        Raises `TimeUp`, `EndedError`, `MissingError` or `wire.MalformedError`.
        """
        call = wire.pack(request)
        if not self._answers or self._answers[0].call != call:
            self._ask(call)
        answer = self._answers.popleft()
        content = answer.content
        if not isinstance(content, dict):
            raise wire.MalformedError("an answer that is not a dictionary")
        printed = content.get("printed")
        if isinstance(printed, str) and not self.printed:
            self.printed = printed[: inside.MOST_PRINTED]
        if content.get("missing") is True:
            raise MissingError(request.component)
        if content.get("stopped") is True:
            raise TimeUp(burned=content.get("burned") is not False)
        spent = content.get("spent")
        if isinstance(spent, float):
            self._left -= min(max(spent, 0.0), answer.took)
        if "failed" in content:
            kind, _, message = str(content["failed"])[: wire.MOST_TEXT].partition(": ")
            given = describe((request.build or {}) | request.arguments)
            return Reply(given=given, fault=Fault(kind[:80], message))
        return self._counted(wire.unpack_reply(content.get("reply"), answer.buffers, request))

    def _ask(self, call: tuple[dict[str, Any], list[bytes]]) -> None:
        """Make a call in the kernel, and those that are expected after it."""
        if self._left <= 0 or self._wall_left <= 0:
            raise TimeUp(burned=self._left <= 0)
        calls = self._expected if self._expected[:1] == [call] else [call]
        asked = {
            "calls": [{"request": about, "buffers": len(buffers)} for about, buffers in calls],
            "seconds": self._left,
            "wall": self._wall_left,
        }
        self._answers.clear()
        channel, begun = self.connect(), monotonic()
        computed = channel.computed()
        content, buffers = channel.ask(asked, [buffer for _, own in calls for buffer in own])
        took = monotonic() - begun
        self._wall_left -= took
        self._computed += channel.computed() - computed
        if self._computed > LIE * self._seconds:
            raise TimeUp
        answers = content.get("answers") if isinstance(content, dict) else None
        if not isinstance(answers, list) or not 0 < len(answers) <= len(calls):
            raise wire.MalformedError("another number of answers than there are calls")
        for one, about in zip(calls, answers, strict=False):
            count = about.get("buffers") if isinstance(about, dict) else 0
            if type(count) is not int or not 0 <= count <= len(buffers):
                raise wire.MalformedError("an answer without its data")
            own, buffers = buffers[:count], buffers[count:]
            self._answers.append(_Answer(one, about, own, took))
        self._expected = calls[len(answers) :]

    def _counted(self, reply: Reply) -> Reply:
        self._numbers += sum(tensor.numel() for tensor in _tensors(reply))
        if self._numbers > MOST_NUMBERS:
            raise wire.MalformedError(f"more than {MOST_NUMBERS} numbers in all")
        return reply


def _tensors(reply: Reply) -> list[torch.Tensor]:
    values = tree_flatten((reply.output, reply.gradients, reply.reports))[0]
    return [value for value in values if isinstance(value, torch.Tensor)]
