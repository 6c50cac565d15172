"""Mistakes: wrong answers that people really give, each an ordinary implementation with its sentences.

A component is written here as a few *steps*: functions that it is given, or the methods of a class. A mistake
replaces one or more of them, or the whole component. Two mistakes that replace different steps can be made at
once, and are recognised together.
"""

import ast
import functools
import importlib.util
import inspect
import itertools
import sys
import textwrap
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar, cast

from .course import AuthorError, nearest

DECLARE = {"step", "component", "mistake", "also", "accepted"}


PAIRED = 24

F = TypeVar("F", bound=Callable[..., Any])
Replaced = dict[str, Callable[..., Any]]  # {step or exercise: what takes its place}


@dataclass
class Mistake:
    """A belief that leads to wrong answers.

    name        published name: `result.mistake`
    symptom     what can be seen in the numbers
    cause       why: the belief, and what is true
    place       where to look in the code
    credit      share of the points that an answer with this mistake alone keeps, 0 unless there is a reason
    shows       what the symptom claims: (probe, relation) or (probe, relation, observation), see
                `autograder.diagnosing.claims`
    behaviours  ways to write it: ({step: function} or {exercise: function}, the only exercises that can show it
                where not every exercise with these steps can)
    """

    name: str
    symptom: str
    cause: str
    place: str
    credit: float = 0.0
    shows: Sequence[Sequence[str]] = ()
    behaviours: list[tuple[Replaced, tuple[str, ...]]] = field(default_factory=list)


@dataclass(frozen=True)
class Wrong:
    """One way to get one exercise wrong: by which mistakes, and with which functions."""

    exercise: str
    mistakes: tuple[str, ...]
    replaced: Replaced
    call: Callable[..., Any]


class Catalogue:
    """The steps, components and mistakes of one lesson."""

    def __init__(self) -> None:
        self.steps: dict[str, Callable[..., Any]] = {}
        self.components: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {}
        self.mistakes: dict[str, Mistake] = {}

    def step(self, function: F) -> F:
        """Declare a right step. It is known by its name."""
        self.steps[function.__name__] = function
        return function

    def component(self, *steps: str) -> Callable[[F], F]:
        """Declare how a component is made of steps; a function's first argument holds them.

        The steps of a class are its methods, and a mistake is a subclass: write `@component()` above the class,
        and in a mistake the methods that it replaces (call `Base.method(self)`, not `super()`).
        """

        def declare(written: F) -> F:
            if unknown := [step for step in steps if step not in self.steps]:
                raise AuthorError(
                    f"component {written.__name__!r} uses the unknown step {unknown[0]!r}",
                    f"declare it above with @step, or {nearest(unknown[0], self.steps)}",
                )
            own = tuple(_functions(written)) if inspect.isclass(written) else steps
            self.components[written.__name__] = (written, own)
            return written

        return declare

    def mistake(
        self,
        *replaces: str,
        symptom: str,
        cause: str,
        place: str,
        credit: float = 0.0,
        shows: Sequence[Sequence[str]] = (),
        only: str | Iterable[str] = (),
    ) -> Callable[[F], F]:
        """Declare a mistake by the function that takes the place of the steps or exercises named.

        `shows` says what of the symptom can be observed, as pairs (probe, relation): the symptom is only said of an
        answer of which all of it is true, and recording refuses a way to make the mistake that does not show it.
        `only` names the exercises in which this way of making it shows, where not all with its steps do.

        What replaces several steps, or methods of a class, is written as a class with one function per step
        (static methods for steps that are functions). A class component is replaced as a whole by naming it.
        """

        def declare(written: F) -> F:
            name = written.__name__
            if name in self.mistakes:
                raise AuthorError(f"mistake {name!r} is declared twice", f"use @also({name!r}, ...) for another way")
            for what, sentence in (("symptom", symptom), ("cause", cause), ("place", place)):
                if not (isinstance(sentence, str) and sentence.strip()):
                    raise AuthorError(f"mistake {name!r} has no {what}", f'write {what}="..." as a sentence')
            if isinstance(credit, bool) or not isinstance(credit, (int, float)) or not 0 <= credit <= 1:
                raise AuthorError(
                    f"mistake {name!r} gives a credit of {credit!r}", "write the share of the points, from 0 to 1"
                )
            self.mistakes[name] = Mistake(name, symptom, cause, place, credit, shows)
            self._add(name, replaces, written, only)
            return written

        return declare

    def also(self, name: str, *replaces: str, only: str | Iterable[str] = ()) -> Callable[[F], F]:
        """Declare another way to make the mistake of this name."""

        def declare(written: F) -> F:
            if name not in self.mistakes:
                raise AuthorError(
                    f"@also names the unknown mistake {name!r}",
                    f"declare it above with @mistake, or {nearest(name, self.mistakes)}",
                )
            self._add(name, replaces, written, only)
            return written

        return declare

    def take_in(self, other: "Catalogue") -> None:
        """Take over all that another catalogue of the same lesson declares; no name may stand in both."""
        first_ways = {name: next(iter(one.behaviours[0][0].values())) for name, one in other.mistakes.items()}
        for kind, own, more in (
            ("step", self.steps, other.steps),
            ("component", self.components, {name: written for name, (written, _) in other.components.items()}),
            ("mistake", self.mistakes, first_ways),
        ):
            if twice := sorted(own.keys() & more.keys()):
                raise AuthorError(
                    f"{kind} {twice[0]!r} is declared in two files of the lesson",
                    "choose another name in one of them",
                    more[twice[0]],
                )
        self.steps |= other.steps
        self.components |= other.components
        self.mistakes |= other.mistakes

    def inherit(
        self, other: "Catalogue", *steps: str, only: str | Iterable[str] = (), without: Collection[str] = ()
    ) -> None:
        """Take over from another lesson's catalogue each way to make a mistake that replaces some of these steps alone.

        A class of this catalogue has the steps as methods of the same names, and calls them with the same arguments.
        A mistake that is declared here under the same name keeps its own sentences; others bring theirs, without what
        they claim of the other lesson's probes.

        only     names of the exercises of this catalogue for which the mistakes are taken over; all if empty
        without  names of ways that are left out: here they show nothing, or have another name
        """
        known = [way(replaced) for mistake in other.mistakes.values() for replaced, _ in mistake.behaviours]
        if strange := [name for name in without if name not in known]:
            raise AuthorError(f"without= of inherit() names the unknown way {strange[0]!r}", nearest(strange[0], known))
        for mistake in other.mistakes.values():
            ways = [
                replaced
                for replaced, _ in mistake.behaviours
                if replaced.keys() <= set(steps) and way(replaced) not in without
            ]
            if ways:
                sentences = (mistake.symptom, mistake.cause, mistake.place, mistake.credit)
                self.mistakes.setdefault(mistake.name, Mistake(mistake.name, *sentences))
            for replaced in ways:
                methods: Replaced = {step: staticmethod(function) for step, function in replaced.items()}
                self._add(mistake.name, (), methods, only)

    def _add(
        self, name: str, replaces: Iterable[str], written: Callable[..., Any] | Replaced, only: str | Iterable[str]
    ) -> None:
        if isinstance(written, dict):
            replaced = written
        elif inspect.isclass(written) and not replaces:
            replaced = _functions(written)
        else:
            replaced = dict.fromkeys(replaces, written)
        methods = [step for _, steps in self.components.values() for step in steps]
        unknown = [part for part in replaced if part not in {*self.steps, *self.components, *methods}]
        if unknown or not replaced:
            known = ", ".join([*self.steps, *self.components])
            raise AuthorError(
                f"mistake {name!r} replaces {', '.join(f'the unknown step {part!r}' for part in unknown) or 'no step'}",
                f"choose from {known}",
            )
        only = (only,) if isinstance(only, str) else tuple(only)
        if strange := [exercise for exercise in only if exercise not in self.components]:
            raise AuthorError(
                f"only= of mistake {name!r} names the unknown component {strange[0]!r}",
                nearest(strange[0], self.components),
            )
        for part, function in replaced.items():
            self._refuse_signature(name, part, function)
        self.mistakes[name].behaviours.append((replaced, only))

    def _refuse_signature(self, name: str, part: str, function: Callable[..., Any]) -> None:
        """Raise AuthorError if a function cannot be called like the right one whose place it takes."""
        if part in self.components:
            written, _ = self.components[part]
            right = inspect.signature(written)
            if not inspect.isclass(written):  # its first argument holds the steps
                right = right.replace(parameters=list(right.parameters.values())[1:])
        else:
            right = inspect.signature(
                self.steps[part]
                if part in self.steps
                else next(
                    vars(written)[part]
                    for written, steps in self.components.values()
                    if part in steps and inspect.isclass(written)
                )
            )
            if isinstance(function, staticmethod):
                right = right.replace(parameters=list(right.parameters.values())[1:])
        own = inspect.signature(function)
        (least, most), (own_least, own_most) = _takes(right), _takes(own)
        if own_least > most or own_most < least:
            raise AuthorError(
                f"mistake {name!r} takes {own} where {part} takes {right}",
                "give it the same arguments as what it replaces",
                function,
            )

    def right(self, exercise: str) -> Callable[..., Any]:
        """Return the component made of right steps only."""
        return self._build(exercise, {})

    def singles(self, exercise: str) -> list[Wrong]:
        """Return every way of every mistake that this exercise can show, as `Wrong`."""
        return [
            self.combined(exercise, (mistake.name,), replaced)
            for mistake in self.mistakes.values()
            for replaced, only in mistake.behaviours
            if self._shows(exercise, replaced, only)
        ]

    def pairs(self, exercise: str) -> list[Wrong]:
        """Return the combinations of two mistakes that replace different steps, the first way of each.

        A lesson lists the mistakes that are made most first; the first `PAIRED` of an exercise are combined, as the
        number of pairs grows with the square.
        """
        firsts: dict[str, Replaced] = {}
        for wrong in self.singles(exercise):
            if exercise not in wrong.replaced and len(firsts) < PAIRED:
                firsts.setdefault(wrong.mistakes[0], wrong.replaced)
        return [
            self.combined(exercise, (one, other), firsts[one] | firsts[other])
            for one, other in itertools.combinations(firsts, 2)
            if not firsts[one].keys() & firsts[other].keys()
        ]

    def source(self, wrong: Wrong) -> str:
        """Return the mistake as the source of one function, as it would stand in a learner's notebook."""
        if wrong.exercise in wrong.replaced:
            whole = wrong.replaced[wrong.exercise]
            return "\n\n".join([*imports_of(whole), *helpers_of(whole), source_of(whole, wrong.exercise)])
        function, steps = self.components[wrong.exercise]
        if inspect.isclass(function):
            methods = [textwrap.indent(source_of(method, name), "    ") for name, method in wrong.replaced.items()]
            own: list[Callable[..., Any]] = [function]
            own += [method for method in wrong.replaced.values() if isinstance(method, staticmethod)]
            return "\n\n".join(
                [
                    *dict.fromkeys(line for written in own for line in imports_of(written)),
                    *dict.fromkeys(text for written in own for text in helpers_of(written)),
                    source_of(function, f"Right{wrong.exercise}"),
                    f"class {wrong.exercise}(Right{wrong.exercise}):",
                    *methods,
                ]
            )
        held, *parameters = inspect.signature(function).parameters.values()  # the first argument holds the steps
        inner = [source_of(wrong.replaced.get(step, self.steps[step]), step) for step in steps]
        inner += [
            source_of(self.components[name][0], name)
            for name in self.components
            if name != wrong.exercise and name in function.__code__.co_names
        ]
        inner += [
            "from types import SimpleNamespace",
            f"{held.name} = SimpleNamespace({', '.join(f'{step}={step}' for step in steps)})",
            source_of(function, "compute"),
            f"return compute({held.name}, {', '.join(p.name for p in parameters)})",
        ]
        head = f"def {wrong.exercise}({', '.join(str(p) for p in parameters)}):"
        return "\n".join([*imports_of(function), head, textwrap.indent("\n".join(inner), "    ")])

    def _shows(self, exercise: str, replaced: Replaced, only: Collection[str]) -> bool:
        steps = self.components[exercise][1]
        if only and exercise not in only:
            return False
        return exercise in replaced or all(part in steps for part in replaced)

    def combined(self, exercise: str, names: tuple[str, ...], replaced: Replaced) -> Wrong:
        """Return the wrong answer that makes these mistakes, by these steps in place of the right ones."""
        return Wrong(exercise, names, replaced, self._build(exercise, replaced))

    def _build(self, exercise: str, replaced: Replaced) -> Callable[..., Any]:
        if exercise in replaced:
            return replaced[exercise]
        function, steps = self.components[exercise]
        if inspect.isclass(function):
            return type(exercise, (function,), {"__module__": function.__module__} | replaced)
        chosen = SimpleNamespace(**{step: replaced.get(step, self.steps[step]) for step in steps})

        def component(*arguments: Any) -> Any:
            return function(chosen, *arguments)

        return component


def way(replaced: Replaced) -> str:
    """Return the name of a way to make a mistake: of the class, or of the function, that was declared."""
    names = [function.__qualname__ for function in replaced.values()]
    return next((name for name in names if "." in name), names[0]).partition(".")[0]


def _takes(signature: inspect.Signature) -> tuple[int, float]:
    """Return how many arguments may be given by position: (least, most)."""
    plain = [
        each
        for each in signature.parameters.values()
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    open_end = any(each.kind == each.VAR_POSITIONAL for each in signature.parameters.values())
    return sum(each.default is each.empty for each in plain), float("inf") if open_end else len(plain)


def _functions(written: type[Any]) -> Replaced:
    """Return the functions that a class body defines, static methods unwrapped, by name."""
    plain = {name: getattr(value, "__func__", value) for name, value in vars(written).items()}
    return {name: value for name, value in plain.items() if inspect.isfunction(value)}


class Alternatives:
    """Right answers in other styles: every one of them must earn full points."""

    def __init__(self) -> None:
        self.accepted: dict[str, dict[str, Callable[..., Any]]] = {}

    def __call__(self, exercise: str) -> Callable[[F], F]:
        """Declare a function or class as a right answer to an exercise."""

        def declare(written: F) -> F:
            self.accepted.setdefault(exercise, {})[written.__name__] = written
            return written

        return declare

    def of(self, exercise: str) -> list[tuple[str, Callable[..., Any]]]:
        """Return [(name, component)] of an exercise."""
        return list(self.accepted.get(exercise, {}).items())

    def source(self, exercise: str, name: str) -> str:
        """Return an alternative as it would stand in a learner's notebook."""
        written = self.accepted[exercise][name]
        return "\n\n".join([*imports_of(written), *helpers_of(written), source_of(written, exercise)])


def imports_of(function: Callable[..., Any]) -> list[str]:
    """Return the import lines of a function's module, but for those of this machine."""
    return [_imports(sys.modules[function.__module__])]


@functools.cache
def _imports(module: ModuleType) -> str:
    tree = ast.parse(inspect.getsource(module))
    lines = [ast.unparse(node) for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    return "\n".join(line for line in lines if "autograder" not in line)


@functools.cache
def _text(written: Callable[..., Any]) -> str:
    return textwrap.dedent(inspect.getsource(written))


def helpers_of(written: Callable[..., Any]) -> list[str]:
    """Return the sources of what a function or class uses of its own module, and of what that uses in turn."""
    module = vars(sys.modules[written.__module__])
    texts: list[str] = []
    tree = ast.parse(_text(written))
    for name in dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)):
        other: Any = module.get(name)
        own = inspect.isfunction(other) or inspect.isclass(other)
        if own and other is not written and other.__module__ == written.__module__:
            texts += [*helpers_of(other), source_of(other, other.__name__)]
    return list(dict.fromkeys(texts))


def source_of(function: Callable[..., Any], name: str) -> str:
    """Return a function's source without the decorators that declare it, dedented, under another name."""
    text = _text(function)
    node = cast(ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, ast.parse(text).body[0])
    # `@torch.no_grad()` belongs to the answer, `@accepted("generate")` does not.
    node.decorator_list = [one for one in node.decorator_list if ast.unparse(one).split("(")[0] not in DECLARE]
    if isinstance(function, staticmethod) and not any(
        ast.unparse(one) == "staticmethod" for one in node.decorator_list
    ):
        node.decorator_list.append(ast.Name("staticmethod"))
    node.name = name
    if ast.get_docstring(node):
        node.body = node.body[1:]
    return ast.unparse(node)


def files(path: Path | str) -> list[Path]:
    """Return the files in which a lesson's mistakes are written, in their order; none if there is none.

    path  NAME.py. Where many pages would stand in it, there is a folder NAME in its place, with a file for each part of
          the lesson; each has a `catalogue` of its own
    """
    path = Path(path)
    return [path] if path.is_file() else sorted(path.with_suffix("").glob("*.py"))


def read(path: Path | str) -> Catalogue:
    """Import a lesson's mistakes and return their `catalogue`, one for all `files`. Raises FileNotFoundError."""
    first, *others = [module(one) for one in files(path) or [Path(path)]]
    catalogue: Catalogue = first.catalogue
    for other in others:
        catalogue.take_in(other.catalogue)
    return catalogue


def read_alternatives(path: Path | str) -> Alternatives:
    """Import a module of alternatives and return its `alternatives`; none are declared where there is no file."""
    alternatives: Alternatives = module(path).alternatives if Path(path).exists() else Alternatives()
    return alternatives


def module(path: Path | str) -> ModuleType:
    """Import a module of mistakes or alternatives from its path. Raises FileNotFoundError if there is none."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no mistakes are written for this lesson; add the file with a `catalogue`")
    spec = importlib.util.spec_from_file_location(f"_{path.parent.name}_of_{path.stem}", path)
    assert spec is not None and spec.loader is not None, "a module of Python has both"
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made
