"""How Canvas, Moodle and Blackboard name the files of a bulk download.

The platform's part of a name comes first, so a name is read from its beginning and its first reading counts: what a
learner wrote stands at its end, whatever it looks like.
"""

import csv
import io
import os
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from nbgrader.utils import parse_utc
from traitlets import Bool, Bunch, TraitError, Unicode, validate

from ..display import shown
from .archive import Packed
from .attempts import Named
from .downloads import Download
from .folder import RefusedError

MOST_WORKSHEET = 20_000_000  # bytes


class Canvas(Download):
    """`submissions.zip` of Canvas: `lovelaceada_LATE_12345_67890_attention-1.ipynb`.

    First the learner's name, in lower case and without spaces; `LATE` if it is; the learner's id; the id of the
    uploaded file, which grows with time; and the name of the file, with a number where an earlier upload had the same.
    Where grading is anonymous, `anon_1b2C3` stands for name and id. A text or a link that was handed in instead ends in
    `_text.html` or `_link.html` and has no id of a file.
    """

    each_file_is_an_attempt = True
    pattern = re.compile(
        r"(?:(?P<who>\w+?)_(?:LATE_)?(?P<id>\d+)|(?:LATE_)?(?P<anonymous>anon_[A-Za-z0-9]+))_"
        r"(?:(?P<file>\d+)_(?P<name>.+)|(?:text|link)\.html)"
    )
    numbered = re.compile(
        r"(?P<stem>.+)-(?:\d+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?P<ending>\.ipynb(?:\.txt|\.json)?)",
        re.IGNORECASE,
    )

    def named(self, parts: Sequence[str]) -> Named | None:
        for place, part in enumerate(parts):
            if match := self.pattern.fullmatch(part):
                name = match["name"] and "/".join([match["name"], *parts[place + 1 :]])
                learner = match["id"] or match["anonymous"]
                return Named(learner, match["who"] or "", (int(match["file"] or 0),), name or part, name)
        return None

    def original(self, name: str) -> str:
        match = self.numbered.fullmatch(name)
        return match["stem"] + match["ending"] if match and f"{match['stem']}.ipynb" in self.released else name


class Moodle(Download):
    """*Download all submissions* of Moodle: `Ada Lovelace_12345_assignsubmission_file_/attention.ipynb`.

    The learner's name, in which Moodle leaves no `_`; the number of the participant, which is another one in each
    assignment; and what kind of submission it is, in English everywhere. Newer versions write no `_` before the slash,
    and without folders the file's name follows at once. Only the last attempt is in it.

    Whose number it is, Moodle's grading worksheet says, a CSV file: the first column ends in the number, and one has
    the e-mail address, whatever the language.
    """

    numbers = Bool(
        False,
        help="True if the number of a participant, which differs from assignment to assignment, is to be the learner's "
        "id, so that no grading worksheet is needed.",
    ).tag(config=True)
    pattern = re.compile(
        r"(?P<who>[^_]*)_(?P<id>\d+)_assignsubmission_(?:(?P<file>file)(?:_(?P<name>.*))?|[a-z0-9]+.*)"
    )

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.addresses: dict[str, str] = {}  # number of a participant -> e-mail address

    def named(self, parts: Sequence[str]) -> Named | None:
        for place, part in enumerate(parts):
            if match := self.pattern.fullmatch(part):
                below = [match["name"], *parts[place + 1 :]] if match["name"] else parts[place + 1 :]
                name = "/".join(below) if match["file"] and below else None
                return Named(match["id"], match["who"], (), name or part, name)
        return None

    def is_own(self, file: Packed) -> bool:
        return self._is_worksheet(file)

    def _is_worksheet(self, file: Packed) -> bool:
        """True for a table beside the download; in it, learners hand in tables, too."""
        return file.beside and file.parts[-1].lower().endswith(".csv") and self.named(file.parts) is None

    def prepare(self, files: Sequence[Packed]) -> None:
        for file in filter(self._is_worksheet, files):
            try:
                self.addresses |= _addresses(file)
            except RefusedError as problem:
                self.problem("The grading worksheet %s cannot be used. %s", shown(file.place, 300), problem)
        if not self.addresses and not self.numbers and any(self.named(file.parts) for file in files):
            self.parent.fail(
                "Nothing was collected. Moodle numbers the participants of each assignment anew, and who they are says "
                "its grading worksheet: download that in Moodle (Submissions, Download grading worksheet) and put it "
                "beside the archive. To take the numbers themselves as ids: --Moodle.numbers=True"
            )

    def student(self, named: Named) -> str:
        if named.learner in self.addresses:
            return self.in_gradebook(self.addresses[named.learner])
        if self.numbers:
            return named.learner
        raise RefusedError(
            f"The participant {named.learner} ({shown(named.who)}) is not in the grading worksheet; download it again."
        )


class Blackboard(Download):
    """*Assignment File Download* of Blackboard: `Lesson 7_alovelace_attempt_2026-11-01-10-20-30_attention.ipynb`.

    The assignment, the learner's username, the time of the attempt where the server is, and the file. Beside the files
    of an attempt lies `Lesson 7_alovelace_attempt_2026-11-01-10-20-30.txt`, whose first line ends in the username: it
    tells where a username begins that has `_` in it.
    """

    timezone = Unicode("UTC", help="The time zone of the times in Blackboard's names, such as Europe/Berlin.").tag(
        config=True
    )
    pattern = re.compile(
        r"(?P<before>.+?_[^_]+)_attempt_(?P<time>\d{4}(?:-\d\d){5})(?:_(?P<name>.+)|\.txt)", re.IGNORECASE
    )
    username = re.compile(r".*\(([^()]+)\)\s*")

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.usernames: dict[str, str] = {}  # the beginning of a name -> the username that it ends in

    @validate("timezone")
    def _is_timezone(self, proposal: Bunch) -> str:
        zone: str = proposal["value"]
        try:
            ZoneInfo(zone)
        except (KeyError, OSError, ValueError) as error:
            raise TraitError(f"{zone!r} is no time zone; write it as Europe/Berlin is written.") from error
        return zone

    def named(self, parts: Sequence[str]) -> Named | None:
        for place, part in enumerate(parts):
            match = self.pattern.fullmatch(part)
            time = match and _moment(match["time"])
            if match and time:
                learner = self.usernames.get(match["before"]) or match["before"].rpartition("_")[2]
                name = match["name"] and "/".join([match["name"], *parts[place + 1 :]])
                there = time.replace(tzinfo=ZoneInfo(self.timezone)).isoformat(" ")
                return Named(learner, "", (time.isoformat(),), f"of {time}", name, there)
        return None

    def prepare(self, files: Sequence[Packed]) -> None:
        for file in files:
            named, match = self.named(file.parts), self.pattern.fullmatch(file.parts[-1])
            if named is None or named.name is not None or match is None or file.why:
                continue
            found = self.username.fullmatch(_first_line(file))
            if found and match["before"].endswith(f"_{found[1]}"):
                self.usernames[match["before"]] = found[1]


class Other(Download):
    """A bulk download of another platform, whose names nbgrader's own setting `named_regexp` describes.

    It is matched with the path in the download, from the slash that is put before it, and names `student_id` and
    `file_id`, and perhaps the `timestamp` of the attempt. Where it begins with `.*`, a learner's part of a path may be
    taken for the platform's.
    """

    def named(self, parts: Sequence[str]) -> Named | None:
        path = "/" + "/".join(parts)
        match = re.match(self.named_regexp, path) if self.named_regexp else None
        if not match:
            return None
        found = match.groupdict()
        name = os.path.splitext(found.get("file_id") or "")[0] + os.path.splitext(path)[1]
        time = found.get("timestamp") or ""
        moment = _utc(time)
        attempt = (moment.isoformat(),) if moment else ()
        return Named(found.get("student_id") or "", "", attempt, time or name, name, time if moment else "")

    def prepare(self, files: Sequence[Packed]) -> None:
        if not self.named_regexp:
            self.parent.fail(
                "Nothing was collected. Describe the names in the download, such as with "
                "--Other.named_regexp='/(?P<student_id>[^/_]+)_(?P<file_id>.+)'"
            )


def _first_line(file: Packed) -> str:
    try:
        return file.read(2_000).decode("utf-8-sig", "replace").partition("\n")[0].strip()
    except Exception:  # a broken zip raises all kinds; the name alone then tells whose file it is
        return ""


def _utc(text: str) -> datetime | None:
    try:
        time: datetime | None = parse_utc(text) if text else None
        return time
    except Exception:  # dateutil raises all kinds
        return None


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d-%H-%M-%S")
    except ValueError:
        return None


def _addresses(file: Packed) -> dict[str, str]:
    """Return {number of a participant: e-mail address} of a grading worksheet. Raises `RefusedError`.

    A learner's name, which is the second column, is never taken for an address.
    """
    if file.why:
        raise RefusedError(file.why)
    if file.size > MOST_WORKSHEET:
        raise RefusedError(f"It is larger than {MOST_WORKSHEET / 1e6:g} MB.")
    try:
        rows = list(csv.reader(io.StringIO(file.read(MOST_WORKSHEET).decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise RefusedError(f"It is not the CSV file that Moodle writes: {error}.") from error
    numbered = [(match[1], row) for row in rows[1:] if row and (match := re.fullmatch(r"\D*(\d+)", row[0]))]
    if not numbered:
        raise RefusedError("No line of it begins with a participant's number.")
    for column in range(2, min(len(row) for _, row in numbered)):
        if all(re.fullmatch(r"[^@\s]+@[^@\s]+", row[column].strip()) for _, row in numbered):
            return {number: row[column].strip() for number, row in numbered}
    raise RefusedError(
        "It has no column with e-mail addresses; show identities in Moodle, or take the numbers as ids: "
        "--Moodle.numbers=True"
    )
