"""`nbgrader zip_collect`, for archives and names of files that learners chose.

An archive that is refused goes on as the file that it is, so that it arrives with its learner's other files,
where grading records a 0 and the reason.
"""

import os
import re
import shutil
import stat
from typing import Any, cast

from nbgrader.plugins import ExtractorPlugin, FileNameCollectorPlugin
from nbgrader.utils import parse_utc
from traitlets import List

from ..display import shown
from .archive import ARCHIVES, UNPACKED, unpack
from .downloads import Download
from .folder import RefusedError, is_name


class CheckedExtractor(ExtractorPlugin):
    """Unpacks each archive that holds nothing but files within limits; one that is refused stops no other."""

    zip_ext = List(list(UNPACKED), help="File name endings of the archives that are unpacked.").tag(config=True)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.unpacked: set[str] = set()  # the folders that came out of archives, so that learners named what is in them

    def extract(self, archive_path: str, extracted_path: str) -> None:
        collector = getattr(self.parent, "collector_plugin_inst", None)
        if isinstance(collector, Download):
            collector.extract(archive_path, extracted_path)
            return
        for here, folders, files in os.walk(archive_path):
            folders.sort()
            target = os.path.normpath(os.path.join(extracted_path, os.path.relpath(here, archive_path)))
            os.makedirs(target, exist_ok=True)
            for name in sorted(files):
                self._extract_one(os.path.join(here, name), target)

    def _extract_one(self, path: str, target: str) -> None:
        name = os.path.basename(path)
        stem, ending = os.path.splitext(name)
        try:
            if ending.lower() in self.zip_ext:
                folder = os.path.join(target, stem.removesuffix(".tar"))
                self.log.info("Extracting %s to %s", path, folder)
                unpack(path, folder)
                self.unpacked.add(folder)
            else:
                self.log.info("Copying %s to %s", path, target)
                _copy(path, os.path.join(target, name))
        except RefusedError as problem:
            self.log.error("Refused %s: %s", shown(path, 300), problem)
            self._pass_on(path, os.path.join(target, stem.removesuffix(".tar")))

    def _pass_on(self, path: str, folder: str) -> None:
        """Copy a refused archive to where its content would be, so that the collector tells whose it is."""
        copy = os.path.join(folder, os.path.basename(path))
        if stat.S_ISREG(os.lstat(path).st_mode) and not os.path.lexists(copy) and not os.path.isfile(folder):
            os.makedirs(folder, exist_ok=True)
            shutil.copyfile(path, copy)


def _copy(path: str, target: str) -> None:
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise RefusedError("It is a link or a special file.")
    shutil.copy(path, target)


class CheckedCollector(FileNameCollectorPlugin):
    """Tells a file's learner from its name, but not from a name that another learner chose."""

    valid_ext = List([".ipynb", *ARCHIVES], help="Endings of the files that are collected.").tag(config=True)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.collected: dict[tuple[str, str], list[str | None]] = {}

    def collect(self, submitted_file: str) -> dict[str, str] | None:
        found = super().collect(submitted_file)
        if found is None:
            return None
        found = {key: value for key, value in found.items() if value is not None}
        inside = self._first_inside(submitted_file)
        match = cast(re.Match[str], re.match(self.named_regexp, submitted_file))  # as nbgrader has matched it
        if "timestamp" in found and (match.end("timestamp") > inside or not _is_time(found["timestamp"])):
            self.log.warning("%s: its time is not trusted", shown(submitted_file, 300))
            del found["timestamp"]
        problem = self._problem(submitted_file, found, inside, match)
        if problem:
            self.log.error("Not collected: %s %s", shown(submitted_file, 300), problem)
            return None
        return found

    def _problem(self, path: str, found: dict[str, str], inside: int, match: re.Match[str]) -> str | None:
        learner, file = found.get("student_id", ""), found.get("file_id", "")
        if match.end("student_id") > inside:
            return (
                "names its learner inside an archive, where anyone can write any name "
                "(to trust those of a platform that packs a class: --collector=autograder.intake.platforms.Other)"
            )
        if not is_name(learner):
            return f"names the learner {shown(learner)!r}, which is not a valid name"
        if not file or not all(map(is_name, file.split("/"))):
            return f"names the file {shown(file)!r}, which is not a valid name"
        key = learner, os.path.splitext(file)[0] + os.path.splitext(path)[1]
        times = self.collected.setdefault(key, [])
        times.append(found.get("timestamp"))
        if len(times) > 1 and None in times:
            times.pop()
            return "is a second file of that name from the same learner, and without times nothing says which is newer"
        return None

    def _first_inside(self, path: str) -> int:
        """Return the index from which on a learner wrote the path."""
        unpacked = getattr(getattr(self.parent, "extractor_plugin_inst", None), "unpacked", ())
        outer = [folder for folder in unpacked if path.startswith(folder + os.sep)]
        return min(map(len, outer)) if outer else len(path)


def _is_time(text: str) -> bool:
    try:
        return parse_utc(text) is not None
    except Exception:  # dateutil raises all kinds
        return False
