"""When something was handed in: `timestamp.txt`, which lies among a learner's own files.

A time that cannot be read ends nbgrader's whole run. Here the file's own time takes its place, so that breaking
it neither hides a late submission nor keeps a new one from being graded.
"""

import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import parse_utc

NAME = "timestamp.txt"
LONGEST = 100  # bytes
EARLIEST = 1970  # a file that says it is older was given that time by a tool


class CheckedCourse(CourseDirectory):
    """nbgrader's folders, with times that learners may have broken."""

    @classmethod
    def like(cls, course: Any) -> Self:
        """Return this course as the other one is now; it may have been set up by hand."""
        if isinstance(course, cls):
            return course
        kept = {name: getattr(course, name) for name in course.trait_names(config=True)}
        return cls(parent=course.parent, config=course.config, **kept)

    def get_existing_timestamp(self, dest_path: str) -> datetime | None:
        time, text = read_time(dest_path)
        if time is not None and text is None:
            self.log.warning("%s cannot be read; the file's own time is taken: %s", os.path.join(dest_path, NAME), time)
        return time


def read_time(folder: Path | str) -> tuple[datetime | None, str | None]:
    """Return (time, text) of a submission: text is None where the time is the file's own.

    Returns (None, None) where there is no file with the time. Times are UTC, without a zone, as nbgrader has them.
    """
    path = os.path.join(folder, NAME)
    try:
        about = os.lstat(path)
    except OSError:
        return None, None
    if stat.S_ISREG(about.st_mode) and about.st_size <= LONGEST:
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read(LONGEST)
            if text.strip():
                return parse_utc(text.strip()), text
        except Exception:  # dateutil raises all kinds
            pass
    return _time_of(about), None


def _time_of(about: os.stat_result) -> datetime:
    """Return a file's own time; where no calendar has that, when the file came to be here.

    Archives and tools set a file's time to anything. When it came to be here, only this computer says.
    """
    for seconds in (about.st_mtime, about.st_ctime):
        try:
            time = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None, microsecond=0)
        except (ValueError, OverflowError, OSError):
            continue
        if time.year >= EARLIEST:
            return time
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def write_time(source: Path | str, target: Path | str) -> None:
    """Give a graded submission the time of the one that was handed in, in its own words where they can be read."""
    time, text = read_time(source)
    path = os.path.join(target, NAME)
    os.makedirs(target, exist_ok=True)
    if os.path.lexists(path):
        os.remove(path)
    if time is not None:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text or f"{time.isoformat(' ')} UTC")
