"""Recorded answers: what the reference, accepted alternatives and mistakes of an exercise show under its probes.

They are made once from the instructor's side and travel with the learner's copy of the course. The learner's
side needs neither solutions nor mistakes, and gets its answer as fast as the probes run.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..calling import SEED as SEED

if TYPE_CHECKING:
    from .comparison import Aspects

FOLDER = Path(__file__).parent.parent / "recorded"


@dataclass
class Record:
    """What a check has to know of one exercise.

    probes      [name, sentence] of each probe
    draws       {probe: which draw of numbers it takes}, where the first was not steady
    reference   {probe: {observation: value}}, tensors as {"shape", "values"}
    given       {probe: {observation: the inputs in words}}
    accepted    how accepted alternatives differ from the reference: {probe: {aspect: signature}}
    mistakes    {name: {"symptom", "cause", "place", "credit", "shows"}}; "shows", what the symptom claims of this
                exercise's probes, only where it claims something
    behaviours  ways to be wrong: {"mistakes": names, "differs": {probe: {aspect: signature}}}; two mistakes at once
                only where it does not follow from what each shows alone. "raises", where there is nothing but
                exceptions: how they are worded, in short
    empty       True: learners find an empty cell, so that nothing has the exercise's name before they write it
    """

    lesson: str
    exercise: str
    points: float
    uses: list[str]
    hints: list[str]
    probes: list[list[str]]
    draws: dict[str, int]
    reference: dict[str, dict[str, Any]]
    given: dict[str, dict[str, str]]
    accepted: list[dict[str, "Aspects"]]
    mistakes: dict[str, dict[str, Any]]
    behaviours: list[dict[str, Any]]
    empty: bool = False

    def expected(self) -> dict[str, dict[str, Any]]:
        """Return {probe: {observation: what the reference shows}}, as tensors and strings; the tensors are shared."""
        return {probe: dict(seen) for probe, seen in self._expected.items()}

    @functools.cached_property
    def _expected(self) -> dict[str, dict[str, Any]]:
        import torch  # here, so that what only counts exercises does not wait for it

        def value(kept: Any) -> Any:
            if isinstance(kept, dict):
                return torch.tensor(kept["values"], dtype=torch.float64).reshape(kept["shape"])
            return kept

        return {probe: {name: value(kept) for name, kept in seen.items()} for probe, seen in self.reference.items()}


def read(exercise: str, folder: Path | str = FOLDER) -> Record:
    """Return the `Record` of an exercise. Raises LookupError if no lesson has an exercise of this name."""
    paths = sorted(Path(folder).glob(f"*/{exercise}.json"))
    if not paths:
        raise LookupError(exercise)
    return Record(**json.loads(paths[0].read_text(encoding="utf-8")))


def exercises(folder: Path | str = FOLDER) -> dict[str, str]:
    """Return {exercise: lesson} of all that is recorded."""
    return {path.stem: path.parent.name for path in sorted(Path(folder).glob("*/*.json"))}


def plain(value: Any) -> Any:
    """Return a tensor or a string as JSON can hold it: {"shape", "values"} of a tensor."""
    if isinstance(value, str):
        return value
    return {"shape": list(value.shape), "values": [float(f"{number:.7g}") for number in value.flatten().tolist()]}
