"""Let each name under which a component finds another stand for the part that was chosen."""

import importlib.util
import inspect
import sys
import types
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from torch import nn

from workbench import parts as boxes

from .known import BOX, LESSONS, PARTS


class Lessons(Protocol):
    """What is asked of a source of lessons."""

    @property
    def name(self) -> str: ...

    def modules(self) -> Mapping[str, types.ModuleType | BaseException]: ...


class Wiring:
    """The lessons of all sources and the boxes, freshly loaded; their names can be let stand for any parts.

    chosen  {part: component} of the last connection
    """

    def __init__(self, sources: Iterable[Lessons]) -> None:
        self._components: dict[tuple[str, str], Any] = {}
        self._slots: list[tuple[dict[str, Any], str, str]] = []
        self.chosen: dict[str, Any] = {}
        self._facade = types.SimpleNamespace()  # stands for `workbench.parts` itself
        self._add(BOX, box_modules())
        for source in sources:
            self._add(source.name, source.modules())

    def _add(self, source: str, modules: Mapping[str, types.ModuleType | BaseException]) -> None:
        part_of = {id(getattr(boxes, part)): part for part in PARTS}
        for lesson, module in modules.items():
            if isinstance(module, BaseException):
                continue
            for name, value in list(vars(module).items()):
                own = PARTS.get(name) == lesson
                if value is boxes:
                    setattr(module, name, self._facade)
                elif own or id(value) in part_of:
                    self._slots.append((vars(module), name, name if own else part_of[id(value)]))
                if own:
                    self._components[source, name] = value
            # A part that is not there, as after a SyntaxError in its cell, may still be called by others of its lesson.
            self._slots += [
                (vars(module), part, part)
                for part, home in PARTS.items()
                if home == lesson and part not in vars(module)
            ]

    def connect(self, origins: Mapping[str, Any]) -> "Wiring":
        """Let every name stand for the part of this origin ({part: name of a source, or a component}); return self."""
        self.chosen = {
            part: self._components[origin, part] if isinstance(origin, str) else origin
            for part, origin in origins.items()
        }
        self._is_own_norm = origins["LayerNorm"] != BOX
        vars(self._facade).update(self.chosen)
        for names, name, part in self._slots:
            names[name] = self.chosen[part]
        return self

    def build(self, part: str, *sizes: Any, norm_eps: float | None = None, **named: Any) -> Any:
        model = self.chosen[part](*sizes, **named)
        if isinstance(model, nn.Module) and (self._is_own_norm or norm_eps is not None):
            self._exchange_norms(model, norm_eps)
        return model

    def _exchange_norms(self, model: nn.Module, eps: float | None) -> None:
        written = self.chosen["LayerNorm"]
        made: dict[nn.Module, nn.Module] = {}
        old: Any = (nn.LayerNorm, written) if inspect.isclass(written) and eps is not None else nn.LayerNorm
        for parent in list(model.modules()):
            for name, norm in parent._modules.items():  # named_children would leave out a norm that is used twice
                if isinstance(norm, old) and not (eps is None and type(norm) is written):
                    if norm not in made:  # one norm in two places stays one
                        made[norm] = written(len(norm.weight), norm.eps if eps is None else eps).train(norm.training)
                        made[norm].load_state_dict(norm.state_dict(), strict=False)
                    setattr(parent, name, made[norm])


def box_modules() -> dict[str, types.ModuleType]:
    """Return {lesson: module} of the boxes, loaded once more and apart from `workbench.parts`."""
    modules: dict[str, types.ModuleType] = {}
    for lesson in LESSONS:
        original = f"{boxes.__name__}.{lesson}"
        spec = importlib.util.spec_from_file_location(f"{original}_assembled", sys.modules[original].__file__)
        assert spec is not None and spec.loader is not None, "a module of Python has both"
        modules[lesson] = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[lesson])
    return modules
