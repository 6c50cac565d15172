"""Data for the experiments. All of it is made here from a seed; nothing is downloaded.

Texts are drawn with `random.Random.random` alone, whose sequence the Python documentation promises for every
version, so that a seed gives the same data everywhere.
"""

import datetime
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import torch

Choice = TypeVar("Choice")

# Characters as tokens


class CharacterTokenizer:
    """One token per character, after three tokens that are no characters: padding, begin and end of sequence."""

    pad_id, bos_id, eos_id = 0, 1, 2

    def __init__(self, alphabet: str) -> None:
        """Give the characters of `alphabet`, in its order, the ids from 3 upwards."""
        self.alphabet = "".join(dict.fromkeys(alphabet))
        self._ids = {character: number for number, character in enumerate(self.alphabet, 3)}

    @property
    def vocab_size(self) -> int:
        """How many ids there are, the three special ones included."""
        return len(self.alphabet) + 3

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text as a list. Raises ValueError for a character outside the alphabet."""
        unknown = [character for character in text if character not in self._ids]
        if unknown:
            raise ValueError(
                f"{text!r} holds {unknown[0]!r}, which this tokenizer does not know; its alphabet is {self.alphabet!r}"
            )
        return [self._ids[character] for character in text]

    def decode(self, ids: torch.Tensor | Iterable[int]) -> str:
        """Return the text of a row of ids, up to the first end of sequence; other special tokens are left out."""
        ids = ids.tolist() if isinstance(ids, torch.Tensor) else list(ids)
        if self.eos_id in ids:
            ids = ids[: ids.index(self.eos_id)]
        return "".join(self.alphabet[number - 3] for number in ids if number >= 3)

    def batch(self, texts: Iterable[str], end: bool = False) -> torch.Tensor:
        """Return the ids of several texts, int64 [batch, time], padded after the end of each.

        end  True: every text is followed by the end of sequence
        """
        rows = [self.encode(text) + [self.eos_id] * end for text in texts]
        time = max(map(len, rows))
        return torch.tensor([row + [self.pad_id] * (time - len(row)) for row in rows], dtype=torch.int64)


def draw(numbers: random.Random, choices: Sequence[Choice]) -> Choice:
    """Return one of the choices, by the next number of a `random.Random`."""
    return choices[int(numbers.random() * len(choices))]


# Dates: as people write them, to ISO 8601

FIRST_DATE, LAST_DATE = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)

MONTHS = {
    "english": "january february march april may june july august september october november december",
    "german": "januar februar märz april mai juni juli august september oktober november dezember",
    "french": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "spanish": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "italian": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
}
WEEKDAYS = {
    "english": "monday tuesday wednesday thursday friday saturday sunday",
    "german": "montag dienstag mittwoch donnerstag freitag samstag sonntag",
    "french": "lundi mardi mercredi jeudi vendredi samedi dimanche",
    "spanish": "lunes martes miércoles jueves viernes sábado domingo",
    "italian": "lunedì martedì mercoledì giovedì venerdì sabato domenica",
}
# Where a date is all numbers the day comes first, so none of these texts can be read in two ways. {th} is the day as it
# is spoken (3rd, 1er, 1º), {day02} and {month02} have two digits, {mon} and {wd} are short names.
STYLES = {
    "english": [
        "{weekday}, {day} {month} {year}",
        "{day} {month} {year}",
        "{month} {day}, {year}",
        "{month} {th}, {year}",
        "the {th} of {month} {year}",
        "{wd} {day} {mon} {year}",
    ],
    "german": [
        "{day}.{number}.{year}",
        "{day02}.{month02}.{year}",
        "{day}. {month} {year}",
        "{weekday}, {day}. {month} {year}",
        "{weekday}, den {day}. {month} {year}",
    ],
    "french": [
        "{th} {month} {year}",
        "le {th} {month} {year}",
        "{weekday} {th} {month} {year}",
        "le {weekday} {th} {month} {year}",
        "{day02}/{month02}/{year}",
    ],
    "spanish": [
        "{day} de {month} de {year}",
        "el {day} de {month} de {year}",
        "{weekday}, {day} de {month} de {year}",
        "{day}/{number}/{year}",
    ],
    "italian": [
        "{th} {month} {year}",
        "il {th} {month} {year}",
        "{weekday} {th} {month} {year}",
        "{day}/{number}/{year}",
    ],
}
# No model is trained on these: they are longer than all of the above.
LONG_STYLES = {
    "english": ["on {weekday}, the {th} of {month} in the year {year}"],
    "german": ["am {weekday}, den {day}. {month} des jahres {year}"],
    "french": ["nous sommes le {weekday} {th} {month} de l'année {year}"],
    "spanish": ["el {weekday}, día {day} de {month} del año {year}"],
    "italian": ["{weekday}, il giorno {day} {month} dell'anno {year}"],
}


def written_date(date: datetime.date, language: str, style: str) -> str:
    """Return a date as people write it, in lower case: `thursday, 3 may 1979`.

    date      a datetime.date
    language  a key of MONTHS
    style     a template such as those of STYLES
    """
    month = MONTHS[language].split()[date.month - 1]
    weekday = WEEKDAYS[language].split()[date.weekday()]
    return style.format(
        day=date.day,
        day02=f"{date.day:02}",
        th=_spoken(date.day, language),
        month=month,
        mon=month[:3],
        number=date.month,
        month02=f"{date.month:02}",
        weekday=weekday,
        wd=weekday[:3],
        year=date.year,
    )


def _spoken(day: int, language: str) -> str:
    """Return the number of a day with the ending that the language gives it in front of a month."""
    if language == "english":
        teens = 11 <= day <= 13
        return f"{day}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"
    first = {"french": "1er", "italian": "1º"}
    return first.get(language, "1") if day == 1 else str(day)


def _characters() -> str:
    """Return every character that a written date can hold, in a fixed order."""
    texts = [*MONTHS.values(), *WEEKDAYS.values(), "0123456789", "stndrdth1er1º"]
    texts += [style for styles in (*STYLES.values(), *LONG_STYLES.values()) for style in styles]
    return "".join(sorted(set("".join(texts)) - set("{}")))


WRITTEN_DATES = CharacterTokenizer(_characters())
ISO_DATES = CharacterTokenizer("-0123456789")


def split_dates(seed: int = 0, held_out: int = 2000) -> tuple[list[datetime.date], list[datetime.date]]:
    """Return (training dates, held-out dates): two lists that share no date and together are all from 1900 to 2099.

    held_out  how many dates no model sees in training
    """
    days = [FIRST_DATE + datetime.timedelta(number) for number in range((LAST_DATE - FIRST_DATE).days + 1)]
    numbers = random.Random(f"split of the dates {seed}")
    for last in range(len(days) - 1, 0, -1):
        other = int(numbers.random() * (last + 1))
        days[last], days[other] = days[other], days[last]
    return days[held_out:], days[:held_out]


def date_pairs(
    dates: Iterable[datetime.date], seed: int = 0, styles: Mapping[str, Sequence[str]] = STYLES
) -> list[tuple[str, str]]:
    """Return [(written, ISO)] of the dates, each in a language and a style that are drawn.

    dates   datetime.date objects
    styles  {language: templates}: STYLES, or LONG_STYLES for texts longer than any in training
    """
    numbers = random.Random(f"styles of the dates {seed}")
    return [_pair(date, numbers, styles) for date in dates]


def _pair(date: datetime.date, numbers: random.Random, styles: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    language = draw(numbers, list(styles))
    return written_date(date, language, draw(numbers, styles[language])), date.isoformat()


def date_tensors(pairs: Iterable[tuple[str, str]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (source, target) of [(written, ISO)]: ids [batch, time] of each, the target with its end of sequence."""
    written, iso = zip(*pairs, strict=True)
    return WRITTEN_DATES.batch(written), ISO_DATES.batch(iso, end=True)


def date_batches(
    dates: Sequence[datetime.date], batch_size: int, seed: int = 0
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield (source, target) without end, each batch drawn anew from the dates and the styles."""
    numbers = random.Random(f"batches of dates {seed}")
    while True:
        yield date_tensors([_pair(draw(numbers, dates), numbers, STYLES) for _ in range(batch_size)])
