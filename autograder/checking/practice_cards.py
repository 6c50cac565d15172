"""Which mistake to practise next: those one has made, then those that are due, then new ones.

Each mistake has a card of FSRS, the scheduler of Anki (Ye et al. 2022): what is known well comes back after weeks, what
was not found tomorrow. Cards live in the progress file. One that cannot be read counts as a new one.
"""

import math
import random
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..diagnosing import records
from . import progress_file

if TYPE_CHECKING:
    import fsrs

RATINGS = ("again", "hard", "good", "easy")
MOST_TRIES = 100  # that are remembered of one card


@dataclass(frozen=True)
class Choice:
    """What is practised: a mistake, and where it is met."""

    lesson: str
    mistake: str
    exercise: str
    number: int  # of the specimen in the material of the exercise

    @property
    def key(self) -> str:
        return f"{self.lesson}/{self.mistake}"

    @property
    def form(self) -> str:
        return f"{self.exercise} {self.number}"


def solved(folder: Path | str = records.FOLDER) -> list[str]:
    """Return the exercises that were solved and that there is something to practise of."""
    from ..diagnosing import specimens  # here, so that what only counts what is due does not wait for torch

    return [name for name in specimens.exercises(folder) if progress_file.state(name).get("passed") is True]


def choose(
    exercises: Iterable[str],
    now: datetime,
    without: Collection[str] = (),
    folder: Path | str = records.FOLDER,
    chance: random.Random | None = None,
) -> Choice | None:
    """Return what to practise next among some exercises, None if they have nothing to practise.

    without  keys of cards that were just shown, which come only if there are no others
    chance   what decides between cards that are as good
    """
    from ..diagnosing import specimens

    forms: dict[str, list[Choice]] = {}
    for exercise in exercises:
        material = specimens.read(exercise, folder)
        for number, one in enumerate(material.specimens):
            choice = Choice(material.lesson, one.mistake, exercise, number)
            forms.setdefault(choice.key, []).append(choice)
    if not forms:
        return None
    kept, chance = progress_file.practice(), chance or random.Random()
    own = {
        f"{one.lesson}/{name}"
        for one in {choice.exercise: choice for several in forms.values() for choice in several}.values()
        for name in progress_file.made(one.exercise)
    }
    practised = _practised(kept)
    order = {key: chance.random() for key in forms}

    def rank(key: str) -> tuple[Any, ...]:
        due, new = _due(kept.get(key), now), _due(kept.get(key), now) is None
        ready = due is not None and due <= now
        first = 0 if key in own and (new or ready) else 1 if ready else 2 if new else 3
        when = due.timestamp() if due is not None else 0.0
        spread = min(practised.get(one.exercise, 0) for one in forms[key]) if new else 0
        return key in without, first, when, spread, order[key]

    return _form(forms[min(forms, key=rank)], kept, own, practised, chance)


def _form(
    several: list[Choice],
    kept: Mapping[str, dict[str, Any]],
    own: Collection[str],
    practised: Mapping[str, int],
    chance: random.Random,
) -> Choice:
    """Return in which form a mistake is met: one that was seen least, where it was made if it is an own one."""
    tries = _tries(kept.get(several[0].key))
    seen = [one.get("form") for one in tries]

    def rank(one: Choice) -> tuple[Any, ...]:
        made = one.key in own and one.mistake in progress_file.made(one.exercise)
        return seen.count(one.form), not made, practised.get(one.exercise, 0), chance.random()

    return min(several, key=rank)


def _practised(kept: Mapping[str, dict[str, Any]]) -> dict[str, int]:
    """Return {exercise: how often something of it was practised}."""
    found: dict[str, int] = {}
    for card in kept.values():
        for one in _tries(card):
            exercise = str(one.get("form", "")).split(" ")[0]
            found[exercise] = found.get(exercise, 0) + 1
    return found


def rate(choice: Choice, rating: str, now: datetime) -> datetime:
    """Note how it went, "again" | "hard" | "good" | "easy", and return when the mistake comes back."""
    import fsrs

    kept = progress_file.practice().get(choice.key)
    card = _card(kept, now) or fsrs.Card(card_id=0, due=now)
    # Steps of minutes would bring a mistake back while its answer is still on the screen: all steps are days.
    scheduler = fsrs.Scheduler(learning_steps=(), relearning_steps=(), enable_fuzzing=False)
    card, _ = scheduler.review_card(card, fsrs.Rating(RATINGS.index(rating) + 1), now)
    tries = [*_tries(kept), {"at": now.isoformat(timespec="seconds"), "rating": rating, "form": choice.form}]
    plain = {name: value for name, value in card.to_dict().items() if name != "card_id"}
    progress_file.keep_practice(choice.key, plain | {"tries": tries[-MOST_TRIES:]})
    return card.due


def count_due(now: datetime) -> int:
    """Return how many mistakes that were practised are due again. This needs no fsrs, and reads one file."""
    found = (_due(kept, now) for kept in progress_file.practice().values())
    return sum(due is not None and due <= now for due in found)


def _card(kept: dict[str, Any] | None, now: datetime) -> "fsrs.Card | None":
    """Return the card that was kept; None if there is none, or none that can be read."""
    import fsrs

    due, last = _due(kept, now), _time(kept, "last_review")
    if kept is None or due is None or last is None:
        return None
    return fsrs.Card(
        card_id=0,
        state=fsrs.State(kept["state"]),
        step=None,
        stability=float(kept["stability"]),
        difficulty=float(kept["difficulty"]),
        due=due,
        last_review=min(last, now),
    )


def _due(kept: dict[str, Any] | None, now: datetime) -> datetime | None:
    """Return when a card is due; None if there is none, or none that can be read.

    A clock that was ahead, and was put right, has written a review that has not been yet: such a card counts as
    reviewed now, and is due as many days later as it would have been.
    """
    due, last = _time(kept, "due"), _time(kept, "last_review")
    if kept is None or due is None or last is None or due < last or kept.get("state") not in (1, 2, 3):
        return None
    numbers = [kept.get("stability"), kept.get("difficulty")]
    if not all(isinstance(one, (int, float)) and math.isfinite(one) and one > 0 for one in numbers):
        return None
    return due - max(last - now, timedelta(0))


def _time(kept: dict[str, Any] | None, name: str) -> datetime | None:
    try:
        found = datetime.fromisoformat((kept or {})[name])
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _tries(kept: dict[str, Any] | None) -> list[dict[str, Any]]:
    tries = (kept or {}).get("tries")
    return [one for one in tries if isinstance(one, dict)] if isinstance(tries, list) else []
