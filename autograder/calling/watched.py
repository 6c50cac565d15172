"""Points are for an answer's own work: no forbidden library call, no argument changed, no closed box opened.

Probes look for such deeds in a call or two. Here every call of a check is watched, by the local check and by the
official one alike, so that code which behaves where it is looked at earns no more than code which never does.
"""

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import Field, replace
from types import CodeType
from typing import Any, ClassVar, NoReturn, Protocol, TypeVar

from .local import ANY_LIBRARY, LIBRARY, Here, Reply, Request, Source, Stub

FLAG = "Its points stand, and a person looks at this answer: {doubt}."
HABIT_KEEPS = 0.5  # of its points, in an answer that is right but for a habit of which the lesson says nothing
IN_PLACE = "arguments changed in place"  # the observation of the probes that ask for it


class Recorded(Protocol):
    """What is asked of a `Record` of an exercise."""

    reference: dict[str, dict[str, Any]]
    mistakes: dict[str, dict[str, Any]]
    behaviours: list[dict[str, Any]]


class Earned(Protocol):
    """What is asked of the `Result` of a check, which is a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    earned: float
    mistakes: tuple[str, ...]


E = TypeVar("E", bound=Earned)


class Watched:
    """A submission whose every call is watched.

    used     forbidden functions and libraries that any call used
    changed  arguments that any call changed in place
    self_reported  True: a call asked for what follows from no number, and what only the submission's own process can
             tell: which functions were called, how much memory was held, how a stub was used, what a module has
    calls    (request, reply) of all calls
    calls_helpers  True: its code may call one of the helpers, for all that is known
    Where an answer is right with right helpers, `keep_only` forgets what calls with its own ones did.

    submission  what answers the calls
    forbidden   names of torch functions, and of libraries, that the exercise forbids
    helpers     names of the components that its answer may call
    """

    def __init__(self, submission: Source, forbidden: Iterable[str] = (), helpers: Iterable[str] = ()) -> None:
        self.submission, self.forbidden, self.helpers = submission, tuple(forbidden), tuple(helpers)
        self.limit = submission.limit
        self.self_reported = bool(forbidden)
        self.calls_helpers = False
        self.calls: list[tuple[Request, Reply]] = []
        self._change: Callable[[Any], Any] | None = None
        # (name, the right helpers that it was called with)
        self._used: set[tuple[str, tuple[str, ...]]] = set()
        self._changed: set[tuple[str, tuple[str, ...]]] = set()

    @property
    def used(self) -> set[str]:
        return {name for name, _ in self._used}

    @property
    def changed(self) -> set[str]:
        return {name for name, _ in self._changed}

    def call(self, request: Request) -> Reply:
        """Call a component and return the submission's `Reply`, in which stands what the request asked for."""
        self.self_reported |= bool(
            request.forbidden
            or request.watch_memory
            or request.build is not None
            or any(
                type(value).report is not Stub.report for value in request.arguments.values() if isinstance(value, Stub)
            )
        )
        before, self.calls_helpers = self.calls_helpers, True  # of a call that does not come back nothing is known
        reply = self.submission.call(self._asked(request))
        self.calls_helpers = before or reply.helpers != ()
        parts = tuple(request.parts)
        self._used.update((name, parts) for name in reply.used)
        self._changed.update((name, parts) for name in reply.changed)
        reply = replace(reply, used=tuple(name for name in reply.used if name in request.forbidden))
        if self._change is not None:
            return reply if reply.fault else replace(reply, output=self._change(reply.output))
        self.calls.append((request, reply))
        return reply

    @contextmanager
    def answering(self, change: Callable[[Any], Any]) -> Iterator[None]:
        """Let every output in this block be changed by a function, as if the submission had returned that."""
        self._change = change
        try:
            yield
        finally:
            self._change = None

    def expect(self, requests: Iterable[Request]) -> None:
        """Say which calls will be made next, in this order."""
        self.submission.expect(map(self._asked, requests))

    def _asked(self, request: Request) -> Request:
        forbidden = tuple(sorted({*request.forbidden, *self.forbidden}))
        return replace(request, forbidden=forbidden, helpers=self.helpers)

    def keep_only(self, parts: Iterable[str]) -> None:
        """Forget what was used and changed in calls with other helpers than these."""
        self._used = {one for one in self._used if one[1] == tuple(parts)}
        self._changed = {one for one in self._changed if one[1] == tuple(parts)}


def own(record: Recorded, found: E, watched: Watched, doubt: str = "") -> E:
    """Return the result, with no more points than the answer's own work is worth.

    doubt  why what the answer's process tells of itself may be forged; "" if it is not. That is no reason to take
           points from anybody: a person is asked to look
    """
    if not found.earned:
        return found
    if watched.used:
        return withheld(found, _not_own(sorted(watched.used)))
    credit = credit_in_place(record, found.mistakes)
    if credit is not None and watched.changed:
        return replace(
            found,
            earned=round(found.earned * credit, 2),
            passed=False,
            says=[
                "In some calls your code changes its arguments in place: "
                f"{', '.join(sorted(watched.changed))}. Leave the arguments unchanged."
            ],
        )
    if doubt and (watched.self_reported or credit is not None):
        return replace(found, flag=FLAG.format(doubt=doubt))
    return found


def libraries(used: Iterable[str]) -> list[str]:
    """Return the libraries among what an answer used, as they are told: by name where that is known."""
    found = [name for name in used if name.endswith(LIBRARY)]
    named = [name.removesuffix(LIBRARY) for name in found if name != ANY_LIBRARY]
    return sorted(named) or ["another library"] * bool(found)


def _not_own(used: Sequence[str]) -> str:
    """Return why an answer's work is not its own.

    used  forbidden functions and libraries, of which there is one at least
    """
    if others := libraries(used):
        return (
            "This exercise asks for torch alone, and a part of what your code computed came from "
            f"{', '.join(f'`{name}`' if name.isidentifier() else name for name in others)}. Write that part yourself."
        )
    return f"This exercise forbids a library call that your code made while it ran: `{used[0]}`. Write it yourself."


def withheld(found: E, reason: str) -> E:
    """Return a result without its points, for a reason."""
    return replace(found, earned=0.0, passed=False, mistakes=(), says=[reason])


def credit_in_place(record: Recorded, mistakes: Collection[str] = ()) -> float | None:
    """Return the share of its points that an answer keeps if it also changes its arguments, None if that is known.

    mistakes  that the answer is known to make
    """
    asked = {probe for probe, seen in record.reference.items() if IN_PLACE in seen}
    if not asked or any(name.endswith("in_place") for name in mistakes):
        return None
    if mistakes:
        return min(
            (about["credit"] for name, about in record.mistakes.items() if name.endswith("in_place")),
            default=HABIT_KEEPS,
        )
    # Some changes show in other probes as well; such an answer is not one that is right but for them.
    known = [known for known in record.behaviours if set(known["differs"]) <= asked and len(known["mistakes"]) == 1]
    return min((record.mistakes[name]["credit"] for one in known for name in one["mistakes"]), default=HABIT_KEEPS)


class Own(Here):
    """Components that live in this process, and cannot use the closed box that does what they are asked for."""

    def call(self, request: Request) -> Reply:
        with _closed(request.component):
            return super().call(request)


def closed_boxes(names: Iterable[str]) -> dict[str, Callable[..., Any]]:
    """Return {name: the right component} from `workbench.parts`, which is imported only where one is asked for."""
    if not (wanted := list(names)):
        return {}
    from workbench import parts

    return {name: getattr(parts, name) for name in wanted}


@contextmanager
def _closed(name: str) -> Iterator[None]:
    """Let nobody use the closed box that does what the exercise of this name asks for."""
    from workbench import parts

    box = getattr(parts, name, None)
    if box is None:
        yield
        return

    def refuse(*arguments: object, **named: object) -> NoReturn:
        raise RuntimeError("this box of workbench.parts does what the exercise asks for; write it yourself")

    refusal: Callable[..., NoReturn] | CodeType
    if inspect.isclass(box):
        places, refusal = [(box, method) for method in ("__init__", "forward") if method in vars(box)], refuse
    else:
        places, refusal = [(inspect.unwrap(box), "__code__")], refuse.__code__
    before = [vars(owner).get(place, getattr(owner, place)) for owner, place in places]
    for owner, place in places:
        setattr(owner, place, refusal)
    try:
        yield
    finally:
        for (owner, place), was in zip(places, before, strict=True):
            setattr(owner, place, was)
