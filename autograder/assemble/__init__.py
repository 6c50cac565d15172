"""One working transformer from the parts of many lessons: the reference's, a learner's, PyTorch's, or any mixture.

A component finds the others that it needs under names: those that its lesson imports from `workbench.parts`, and
those of its own lesson. An `Assembly` loads the lessons, and the closed boxes, once more for itself, and lets each
of these names stand for the part that was chosen. What was loaded elsewhere is left alone.
"""

import difflib
import functools
import inspect
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from workbench import parts as boxes

from ..checking.check import examine
from ..checking.result import Result
from ..course import CourseError, find_root
from ..diagnosing import records
from ..display import html_table
from ..notebooks.definitions import UNSOLVED, LoadedModule, load
from ..progress_bar import shown_to_someone
from .known import BOX, GIVEN, LESSONS, PARTS, AssemblyError, short
from .seen import Seen, difference, observed, of_the_boxes
from .wiring import Wiring

Places = Path | str | Sequence[Path | str]  # a folder of lessons, or their files


def assemble(
    lessons: Places | dict[str, Places] | None = None,
    parts: Mapping[str, Any] | None = None,
    *,
    check: bool = True,
    recorded: Path | str = records.FOLDER,
) -> "Assembly":
    """Return the `Assembly` of the parts that some lessons define, with a closed box for each that is not right.

    lessons   a folder of lessons (texts `encoder.py`, or notebooks `01_encoder/encoder.ipynb`), or a list of such
              files, known as "learner"; or {name: folder or list} for more than one: each part comes from the
              first that has it right. None: the lessons beside the notebook in which this runs or, where there are
              none, those of the course around it. A notebook counts as it was last saved
    parts     {part: name of its lessons, "box", or the component itself}: choices that go before. A wrong answer
              that is chosen is taken; what is not there, or not solved, gives way to the box
    check     False: every answer that is solved counts as right, and is not checked
    recorded  the folder of recorded answers for the checks
    Where the checks take more than a second, a bar shows how far they are.
    Raises AssemblyError for a place without lessons, or a choice that there is not. An unsolved answer raises nothing,
    and None without any lesson far and wide is closed boxes only.
    """
    named: Mapping[str, Places | None] = lessons if isinstance(lessons, dict) else {"learner": lessons}
    for name in named:
        if name in (BOX, GIVEN):
            raise AssemblyError(f"lessons cannot be called {name!r}, which has a meaning here; choose another name")
    return Assembly([Source(name, _paths(places), check, recorded) for name, places in named.items()], parts or {})


def _nearby() -> Path | None:
    """Return the folder of the lessons beside the one that runs, or that of the course, or None."""
    # A lesson runs in a folder of its own, and a learner's start page in the one around it.
    for place in (Path.cwd().parent, Path.cwd()):
        if any(_of_lesson(place, lesson) for lesson in LESSONS):
            return place
    try:
        return find_root() / "course"
    except CourseError:
        return None


def _paths(places: Places | None) -> dict[str, Path]:
    """Return {lesson: path} of a folder, of a list of files, or of what is nearby (None)."""
    if places is None and (places := _nearby()) is None:
        return {}
    if isinstance(places, (str, Path)) and Path(places).is_dir():
        found = [(lesson, path) for lesson in LESSONS for path in _of_lesson(Path(places), lesson)]
    else:
        listed = [places] if isinstance(places, (str, Path)) else places
        found = [(_lesson_of(Path(path)), Path(path)) for path in listed]
    if not found:
        raise AssemblyError(f"{places}: this folder holds no lesson; give the one that holds encoder.py or 01_encoder/")
    paths: dict[str, Path] = {}
    for lesson, path in found:
        if lesson in paths:
            raise AssemblyError(f"{paths[lesson]} and {path} are the same lesson; remove one, or list the files to use")
        paths[lesson] = path
    return paths


def _of_lesson(folder: Path, lesson: str) -> list[Path]:
    """Return the files of a lesson in a folder: its text or, where there is none, its notebooks."""
    text = folder / f"{lesson}.py"
    return [text] if text.exists() else sorted(folder.glob(f"[0-9][0-9]_{lesson}/{lesson}.ipynb"))


def _lesson_of(path: Path) -> str:
    if not path.is_file():
        raise AssemblyError(f"{path}: there is no such file or folder; give a folder of lessons, or the files")
    if path.suffix not in (".py", ".ipynb") or path.stem not in LESSONS:
        raise AssemblyError(
            f"{path}: this is not a lesson with parts; choose from {', '.join(LESSONS)} (.py or .ipynb)"
        )
    return path.stem


@dataclass(frozen=True)
class Source:
    """Lessons from one hand, under a name.

    paths     {lesson: path}
    checked   True: an answer has to pass its check to be right
    recorded  the folder of recorded answers
    """

    name: str
    paths: dict[str, Path]
    checked: bool
    recorded: Path | str

    def modules(self) -> dict[str, LoadedModule | BaseException]:
        """Return {lesson: module}, freshly loaded; a lesson that cannot be loaded is an exception instead."""
        return {lesson: _loaded(path) for lesson, path in self.paths.items()}

    @functools.cached_property
    def faults(self) -> dict[str, tuple[bool, str]]:
        """What keeps each part from being used, as {part: (cannot, says)}; a right one is not in it.

        cannot  True: there is nothing to use; False: it is there, and wrong
        """
        modules = self.modules()
        found: dict[str, tuple[bool, str] | None] = {}
        with shown_to_someone(f"Checking the answers of {self.name}") as tell:
            for done, (part, lesson) in enumerate(PARTS.items()):
                tell(done, len(PARTS))
                found[part] = self._fault(part, modules.get(lesson), self.paths.get(lesson))
        return {part: fault for part, fault in found.items() if fault}

    def _fault(
        self, part: str, module: LoadedModule | BaseException | None, path: Path | None
    ) -> tuple[bool, str] | None:
        if module is None or path is None:
            return True, f"no lesson {PARTS[part]} among the lessons of {self.name}"
        if isinstance(module, BaseException):
            return True, f"{path.name} cannot be loaded: {short(module)}"
        component = vars(module).get(part)
        if component is None or component is getattr(boxes, part):
            unread = [f"; cell {fault.cell + 1} cannot be loaded: {short(fault.error)}" for fault in module.__faults__]
            return True, f"not defined in {path.name}{unread[0] if unread else ''}"
        if not callable(component):
            return True, f"a {type(component).__name__} in {path.name}, where a function or a class is expected"
        if _is_unsolved(component):
            return True, "not solved yet"
        return self._wrong(part, component) if self.checked else None

    def _wrong(self, part: str, component: Any) -> tuple[bool, str] | None:
        try:
            record = records.read(part, self.recorded)
        except LookupError:
            return False, "cannot be checked without recorded answers; make them with `python -m autograder record`"
        try:
            result = examine(record, {part: component})
        except (Exception, SystemExit) as error:
            return False, f"its check was stopped: {short(error)}"
        if result.passed:
            return None
        return result.unsolved, "not solved yet" if result.unsolved else f"not right: {_diagnosis(result)}"


def _diagnosis(result: Result) -> str:
    return result.mistake.replace("_", " ") if result.mistake else (result.says or ["it differs"])[0]


def _loaded(path: Path) -> LoadedModule | BaseException:
    try:
        return load(path, f"{path.stem}_{zlib.crc32(str(path.resolve()).encode()):08x}_assembled")
    except (Exception, SystemExit) as error:
        return error


def _is_unsolved(component: Any) -> bool:
    """Tell whether a function, or a method of a class, still raises the skeleton's error."""
    written = vars(component).values() if inspect.isclass(component) else [component]
    codes = [function.__code__ for function in written if inspect.isfunction(function)]
    return any(
        isinstance(constant, str) and UNSOLVED in constant and "NotImplementedError" in code.co_names
        for code in codes
        for constant in code.co_consts
    )


class Suspects(NamedTuple):
    """Which parts make an assembly differ from PyTorch's.

    parts  their names, from the inside out
    says   what that means
    """

    parts: tuple[str, ...]
    says: str


class Assembly:
    """Parts that work together. It shows whose they are as the last line of a cell, or by `print`.

    choices  {part: name of its lessons, "box" or "given"}
    reasons  {part: why it is the box, where something else was to be had}
    """

    def __init__(self, sources: Sequence[Source], wanted: Mapping[str, Any]) -> None:
        self._sources, self._wanted = sources, dict(wanted)
        self._origins, self.reasons = self._choose()
        self.choices = {part: origin if isinstance(origin, str) else GIVEN for part, origin in self._origins.items()}
        self._wiring = Wiring(sources)
        self._wiring.connect(self._origins)

    def _choose(self) -> tuple[dict[str, Any], dict[str, str]]:
        known = {source.name: source for source in self._sources}
        for part, origin in self._wanted.items():
            _refuse_unknown(part, PARTS, "part")
            if not callable(origin):
                _refuse_unknown(origin, [*known, BOX], "choice of a part")
        origins: dict[str, Any] = {}
        reasons: dict[str, str] = {}
        for part in PARTS:
            origin = self._wanted.get(part)
            if isinstance(origin, str) and origin in known:
                cannot, says = known[origin].faults.get(part, (False, ""))
                origins[part], reasons[part] = (BOX if cannot else origin), says
            elif origin is not None:
                origins[part] = origin
            else:
                right = [name for name, source in known.items() if part not in source.faults]
                origins[part] = (right or [BOX])[0]
                if not right:
                    reasons[part] = "; ".join(source.faults[part][1] for source in self._sources)
        return origins, {part: says for part, says in reasons.items() if says}

    def switch(self, part: str, to: Any) -> "Assembly":
        """Return another assembly in which one part is another one; this one stays as it is.

        part  its name, such as "LayerNorm"
        to    the name of lessons, "box", or the component itself
        """
        return Assembly(self._sources, self._wanted | {part: to})

    def __getitem__(self, part: str) -> Any:
        """Return a part: a function that can be called, or a class. Build what is made of parts with `build`."""
        _refuse_unknown(part, PARTS, "part")
        return self._wiring.chosen[part]

    def build(self, part: str, *sizes: Any, norm_eps: float | None = None, **named: Any) -> Any:
        """Return an object of a part that is a class, all of whose parts are those of this assembly.

        Where a part is written with `nn.LayerNorm`, the assembly's LayerNorm takes its place.
        sizes, named  the arguments of the class
        norm_eps      the eps of every LayerNorm in it; None: as the parts have it
        """
        _refuse_unknown(part, PARTS, "part")
        return self._wiring.build(part, *sizes, norm_eps=norm_eps, **named)

    def encoder(self, *sizes: Any, **named: Any) -> Any:
        """Return an `Encoder`; the arguments are those of lesson 1."""
        return self.build("Encoder", *sizes, **named)

    def decoder(self, *sizes: Any, **named: Any) -> Any:
        """Return a `Decoder`; the arguments are those of lesson 2."""
        return self.build("Decoder", *sizes, **named)

    def classifier(self, *sizes: Any, **named: Any) -> Any:
        """Return a `SequenceClassifier`; the arguments are those of lesson 3."""
        return self.build("SequenceClassifier", *sizes, **named)

    def language_model(self, *sizes: Any, **named: Any) -> Any:
        """Return a `LanguageModel`; the arguments are those of lesson 4."""
        return self.build("LanguageModel", *sizes, **named)

    def encoder_decoder(self, *sizes: Any, **named: Any) -> Any:
        """Return an `EncoderDecoder`; the arguments are those of lesson 5."""
        return self.build("EncoderDecoder", *sizes, **named)

    def observe(self) -> dict[str, Seen]:
        """Return {view: [tensor, or an error as a string]} of small models of all kinds with fixed weights."""
        return dict(observed(self._wiring))

    def agrees(self) -> bool:
        """Tell whether the models give what they give when all parts are closed boxes."""
        return difference(observed(self._wiring), of_the_boxes()) is None

    def suspects(self) -> Suspects:
        """Return the `Suspects`: the parts that, switched to the box, make the models agree with the boxes' ones.

        They are searched for one by one; if no single one is enough, the smallest set that a short search finds.
        """
        trial, right = Wiring(self._sources), of_the_boxes()
        differs = difference(observed(trial.connect(self._origins)), right)
        if differs is None:
            return Suspects((), "the models agree with those of the closed boxes")

        def agrees(switched: Iterable[str]) -> bool:
            views = observed(trial.connect(self._origins | dict.fromkeys(switched, BOX)), first=differs)
            return difference(views, right) is None

        own = [part for part in PARTS if self._origins[part] != BOX]
        alone = tuple(part for part in own if agrees([part]))
        if alone:
            return Suspects(alone, "each of them alone, switched to the box, makes the models agree with the boxes")
        needed = list(own)
        for part in reversed(own):  # from the outside in, so that what is left lies as far inside as it can
            rest = [other for other in needed if other != part]
            needed = rest if agrees(rest) else needed
        return Suspects(tuple(needed), "they have to be switched to the box together; none of them alone is enough")

    def _rows(self) -> Iterator[tuple[str, str, str, str]]:
        for part, lesson in PARTS.items():
            yield part, lesson.replace("_", " "), self.choices[part], self.reasons.get(part, "")

    def __repr__(self) -> str:
        rows = [("part", "lesson", "whose", ""), *self._rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [
            "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]]).rstrip()
            for row in rows
        ]
        return "\n".join([self._head(), *lines])

    def _repr_html_(self) -> str:
        table = html_table(self._rows(), heads=("part", "lesson", "whose", ""))
        return f"<div><b>{escape(self._head())}</b></div>{table}"

    def _head(self) -> str:
        counts = {whose: list(self.choices.values()).count(whose) for whose in dict.fromkeys(self.choices.values())}
        return f"{len(PARTS)} parts: {', '.join(f'{count} {whose}' for whose, count in counts.items())}"


def _refuse_unknown(word: object, known: Collection[str], what: str) -> None:
    if word not in known:
        near = difflib.get_close_matches(str(word), list(known), 1)
        raise AssemblyError(
            f"there is no {what} {word!r}; "
            + (f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}")
        )
