"""One run of an answer with every expression watched: which ran under which probe, and what it gave.

It tells which edits make sense: nothing is turned round that is no mask, and what did not run cannot be the reason.
"""

import ast
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from .edits import Edit, Place, Slot, place_of, slots, statements
from .kinds import Sight
from .source import Code

WATCH = "__watched__"


class Sights:
    """What was seen of all expressions of an answer.

    heads  the lines that begin its definitions, with the parameters and their defaults
    """

    def __init__(self, code: Code) -> None:
        self.code = code
        self._slots: list[tuple[Slot, Place]] = []
        self._of: dict[tuple[int, str, int | None], Sight] = {}
        self._ran: dict[Place, set[str]] = {}
        self._now = ""
        self.heads: set[Place] = set()
        self._silent: set[Place] = set()  # statements without an expression, such as `break`
        for unit in code.units:
            for statement in statements(unit.node):
                if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    self.heads.add(place_of(statement, unit.file))
                own = [(slot, place_of(statement, unit.file)) for slot in slots(statement) if is_loaded(slot)]
                self._slots += own
                if not own:
                    self._silent.add(place_of(statement, unit.file))

    def of(self, slot: Slot) -> Sight:
        """Return what was seen of an expression; nothing if it did not run."""
        return self._of.get((id(slot.owner), slot.field, slot.position), Sight())

    def ran(self, place: Place, probes: Sequence[str]) -> bool:
        """Tell whether a statement, or one of two that follow each other, ran under each of these probes."""
        if place in self.heads or place in self._silent:
            return True
        return any(
            under.issuperset(probes)
            for one, under in self._ran.items()
            if one.file == place.file and place.first <= one.first <= one.last <= place.last
        )

    @contextmanager
    def built(self) -> Iterator[Callable[..., Any]]:
        """Yield the answer with every expression watched."""
        with ExitStack() as stack:
            for index, (slot, place) in enumerate(self._slots):
                name = ast.Name(WATCH, ast.Load())
                new = ast.Call(name, [ast.Constant(index), slot.node], [])
                ast.fix_missing_locations(ast.copy_location(new, slot.node))
                stack.enter_context(Edit(place, slot.owner, slot.field, slot.position, new).made())
            built = self.code.build({WATCH: self._note})
        yield built

    @contextmanager
    def under(self, probe: str) -> Iterator[None]:
        """Note what runs in a block as what runs under a probe."""
        self._now = probe
        yield
        self._now = ""

    def _note(self, index: int, value: Any) -> Any:
        slot, place = self._slots[index]
        self._ran.setdefault(place, set()).add(self._now)
        sight = self._of.setdefault((id(slot.owner), slot.field, slot.position), Sight())
        sight.note(value, sys._getframe(1).f_locals)
        return value


def is_loaded(slot: Slot) -> bool:
    """Tell whether a call may be put around an expression without a change of meaning."""
    node = slot.node
    if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load) or isinstance(node, ast.Starred | ast.Slice):
        return False
    if isinstance(node, ast.Name) and node.id == "super" or isinstance(slot.owner, ast.Starred | ast.FormattedValue):
        return False
    return not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super")
