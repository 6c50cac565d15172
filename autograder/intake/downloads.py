"""A class's bulk download from a learning platform, on its way through `nbgrader zip_collect`.

The platform wrote the beginning of each path in it and says whose a file is; the rest is the learner's. So limits
are those of one learner, one learner's bad file keeps nobody else's from being collected, and of a learner's attempts
the newest that grading can read is taken.
"""

import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import nbformat
from nbgrader.api import Gradebook
from nbgrader.apps import ZipCollectApp
from nbgrader.plugins import FileNameCollectorPlugin
from sqlalchemy.engine import make_url

from ..display import shown
from .archive import Packed, packed_file, packed_in
from .arrivals import SubmissionExporter
from .attempts import Attempt, Named, best, may_be_one
from .choose import is_hidden
from .folder import RefusedError, is_name

MOST_ATTEMPTS = 12  # of a learner that are looked at, the newest first
LISTED = 5
REMEDY = "Ask the learner for the notebook itself, or put it into {folder} yourself."


class CollectDownload(ZipCollectApp):
    """nbgrader's command, which ends with status 1 where it left something out, and begins only what it can end."""

    def process_extracted_files(self) -> None:
        collector = self.collector_plugin_inst
        there = sorted(filter(self._has_submission, {found["student_id"] for found in collector.plan.values()}))
        if there and not self.force:
            self.fail(
                "Nothing was collected: %d of the learners have a submission already (%s). To replace it, run the same "
                "command with --force.",
                len(there),
                _listed(there),
            )
        super().process_extracted_files()
        if collector.problems:  # once more, for a class's log is long
            self.fail(
                "Everything was collected but for %d problems:\n%s",
                len(collector.problems),
                "\n".join(f"- {problem}" for problem in collector.problems),
            )

    def _has_submission(self, learner: str) -> bool:
        folder = self.collector_plugin_inst.submission(learner)
        return os.path.isdir(folder) and bool(os.listdir(folder))


class Download(FileNameCollectorPlugin):
    """Tells whose a file of a bulk download is, and which of a learner's attempts is collected.

    A platform is a class of this, with `named`.
    """

    each_file_is_an_attempt = False

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.plan: dict[str, dict[str, str]] = {}  # path of an unpacked file -> what nbgrader wants to know of it
        self.problems: list[str] = []
        if type(self.parent) is ZipCollectApp:
            self.parent.__class__ = CollectDownload

    def named(self, parts: Sequence[str]) -> Named | None:
        """Return what a path, given in its parts, says as `Named`, or None where no learner is named."""
        raise NotImplementedError

    def prepare(self, files: Sequence[Packed]) -> None:
        """Look at what the platform itself wrote, before learners are told apart."""

    def student(self, named: Named) -> str:
        """Return the gradebook's id of a learner. Raises `RefusedError`."""
        return self.in_gradebook(named.learner)

    def in_gradebook(self, called: str) -> str:
        """Return the id of the student who has this id, this lms_user_id or this e-mail address; else what is given."""
        ids, others = self.students
        known = {called} if called in ids else others.get(called.casefold(), {called})
        if len(known) > 1:
            raise RefusedError(f"The gradebook has {len(known)} students with {shown(called)}: {_listed(known)}.")
        return next(iter(known))

    def submission(self, learner: str) -> str:
        course = self.parent.coursedir
        folder: str = course.format_path(course.submitted_directory, learner, course.assignment_id)
        return folder

    # nbgrader's two steps

    def extract(self, archive_path: str, extracted_path: str) -> None:
        """Unpack, for each learner, the attempt that is to be collected."""
        self.limits = SubmissionExporter(config=self.config).limits()
        self.released, self.students = self._released(), self._students()
        with ExitStack() as stack:
            files = self._files(archive_path, stack)
            self.prepare(files)
            learners = self._learners(files)
            for learner in sorted(learners):
                folder = os.path.join(extracted_path, learner)
                try:
                    self._take(learner, learners[learner], folder)
                except Exception as error:  # what one learner handed in stops nobody else, whatever it is
                    shutil.rmtree(folder, ignore_errors=True)
                    why = shown(f"{type(error).__name__}: {error}", 300)
                    remedy = REMEDY.format(folder=self.submission(learner))
                    self.problem("Not collected: the learner %s, who cannot be read (%s). %s", learner, why, remedy)
        self.log.info("%d learners' files are collected", len({found["student_id"] for found in self.plan.values()}))

    def collect(self, submitted_file: str) -> dict[str, str] | None:
        return self.plan.get(submitted_file)

    def problem(self, text: str, *values: object) -> None:
        self.problems.append(text % values)
        self.log.error(text, *values)

    # What is known beforehand

    def _released(self) -> dict[str, list[nbformat.NotebookNode]]:
        """Return {file name: cells} of the lesson's notebooks."""
        course = self.parent.coursedir
        folder = course.format_path(course.release_directory, ".", course.assignment_id)
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        found = {
            name: nbformat.read(os.path.join(folder, name), as_version=4).cells
            for name in names
            if name.endswith(".ipynb")
        }
        if not found:
            self.parent.fail("There is no released notebook in %s: release the lesson before it is collected.", folder)
        return found

    def _students(self) -> tuple[set[str], dict[str, set[str]]]:
        """Return the ids of the gradebook, and {what else a platform may call a student: ids}."""
        url = make_url(self.parent.coursedir.db_url)
        ids: set[str] = set()
        others: dict[str, set[str]] = defaultdict(set)
        if url.drivername.startswith("sqlite") and not os.path.isfile(url.database or ""):
            return ids, others
        with Gradebook(self.parent.coursedir.db_url, self.parent.coursedir.course_id) as gradebook:
            for student in gradebook.students:
                ids.add(student.id)
                for called in filter(None, (student.lms_user_id, student.email)):
                    others[str(called).casefold()].add(student.id)
        return ids, others

    # What was downloaded

    def _files(self, archive_path: str, stack: ExitStack) -> list[Packed]:
        """Return the `Packed` files of all downloads in a folder, which may be unpacked already."""
        files: list[Packed] = []
        for here, folders, names in os.walk(archive_path):
            folders.sort()
            for name in sorted(names):
                file = packed_file(os.path.join(here, name), archive_path)
                if not name.lower().endswith(".zip") or self.named(file.parts):
                    files.append(file)
                    continue
                try:
                    files += packed_in(os.path.join(here, name), stack)
                except RefusedError as problem:
                    self.problem("Not collected: the download %s. %s", shown(name, 300), problem)
        return files

    def _learners(self, files: Sequence[Packed]) -> dict[str, list[Attempt]]:
        """Return {student's id: `Attempt`s, the newest first}."""
        found: dict[str, list[tuple[Named, Packed]]] = defaultdict(list)
        names: dict[str, set[str]] = defaultdict(set)
        strangers: list[str] = []
        for file in files:
            named = self.named(file.parts)
            if named is None:
                if not is_hidden(os.sep.join(file.parts)) and not self.is_own(file):
                    strangers.append(shown(file.place, 300))
                continue
            if named.name and ".." not in file.parts and is_hidden(named.name.replace("/", os.sep)):
                named = replace(named, name=None)  # what a program laid beside the learner's files
            try:
                learner = self.student(named)
                if not is_name(learner) or learner != learner.strip():
                    raise RefusedError(f"{shown(learner)!r} is no name that a student may have in the gradebook.")
            except RefusedError as problem:
                self.problem("Not collected: %s. %s", shown(file.place, 300), problem)
                continue
            names[learner].add(named.who)
            found[learner].append((named, file))
        if strangers:
            self.problem(
                "Not collected: %d files that are not named as %s names them: %s. If they are a learner's, put them "
                "into that learner's folder in submitted/; if they are another platform's, name it with --collector.",
                len(strangers),
                type(self).__name__,
                _listed(strangers),
            )
        self._refuse_strange_names(found, names)
        return {learner: self._attempts(learner, pairs) for learner, pairs in found.items()}

    def is_own(self, file: Packed) -> bool:
        """True for what an instructor lays beside a download."""
        return False

    def _refuse_strange_names(self, found: dict[str, list[tuple[Named, Packed]]], names: dict[str, set[str]]) -> None:
        """Leave out an id that comes with two names: people may choose the name, and one that holds an id misleads."""
        for learner, both in names.items():
            if len(both) > 1:
                self.problem(
                    "Not collected: the learner %s, whose id comes with %d names: %s. Look in %s whose files they are, "
                    "and put them into %s yourself.",
                    learner,
                    len(both),
                    _listed(both),
                    type(self).__name__,
                    self.submission(learner),
                )
                del found[learner]

    def _attempts(self, learner: str, pairs: Sequence[tuple[Named, Packed]]) -> list[Attempt]:
        """Return a learner's `Attempt`s, the newest first."""
        whole: dict[tuple[Any, ...], list[tuple[Named, Packed]]] = defaultdict(list)
        handed_in = [(named, file) for named, file in pairs if named.name is not None]
        if self.each_file_is_an_attempt:  # photos and data beside a notebook are none
            handed_in = [pair for pair in handed_in if may_be_one(pair[0].name or "")] or handed_in
        for named, file in handed_in:
            whole[named.attempt].append((named, file))
        if not whole:
            self.problem(
                "Not collected: the learner %s handed in no file (%s). %s",
                self._called(learner, pairs),
                _listed(file.place for _, file in pairs),
                REMEDY.format(folder=self.submission(learner)),
            )
        return [Attempt(whole[key]) for key in sorted(whole, reverse=True)]

    def _called(self, learner: str, pairs: Sequence[tuple[Named, Packed]]) -> str:
        who = pairs[0][0].who
        return f"{learner} ({shown(who)})" if who else learner

    # A learner's attempts

    def _take(self, learner: str, attempts: Sequence[Attempt], folder: str) -> None:
        """Leave the attempt that is collected unpacked in a folder, and say what was not."""
        looked_at: list[Attempt] = []
        for number, one in enumerate(attempts[:MOST_ATTEMPTS]):
            left_out = one.unpack(os.path.join(folder, str(len(attempts) - number)), self.limits, self.original)
            for file, reason in left_out:
                self._leave_out(learner, one, file, reason)
            one.read(self.released, self.limits)
            looked_at.append(one)
            if one.found:
                break
        taken = best(looked_at)
        for one in looked_at:
            if one is not taken:
                shutil.rmtree(one.folder, ignore_errors=True)
        if looked_at:
            self._say(self._called(learner, attempts[0].files), learner, attempts, looked_at, taken)
        if taken:
            for path, named in taken.paths.items():
                time = {"timestamp": named.time} if named.time else {}
                self.plan[os.path.join(taken.folder, path)] = {"student_id": learner, "file_id": path} | time

    def original(self, name: str) -> str:
        """Return the name that a learner gave a file, without what the platform put into it."""
        return name

    def _leave_out(self, learner: str, attempt: Attempt, file: Packed, reason: str) -> None:
        self.problem(
            "Left out: learner %s, file %s. %s %s",
            self._called(learner, attempt.files),
            shown(file.place, 300),
            reason,
            REMEDY.format(folder=self.submission(learner)),
        )

    def _say(
        self,
        called: str,
        learner: str,
        attempts: Sequence[Attempt],
        looked_at: Sequence[Attempt],
        taken: Attempt | None,
    ) -> None:
        """Say which attempt was taken, and why no newer one was."""
        if taken is None or taken.why is not None:
            then = (
                f"The attempt {taken.label} is collected as it is, and grading gives 0 points with this reason."
                if taken
                else "Nothing of this learner is collected."
            )
            self.problem(
                "No attempt of the learner %s can be read%s. %s. %s %s",
                called,
                "" if len(attempts) <= MOST_ATTEMPTS else f", of the newest {MOST_ATTEMPTS}",
                "; ".join(f"{one.label}: {one.why}" for one in looked_at[:LISTED]).rstrip("."),
                then,
                REMEDY.format(folder=self.submission(learner)),
            )
            return
        if len(attempts) > 1:
            number = f"{len(attempts) - attempts.index(taken)} of {len(attempts)}"
            self.log.info("Learner %s: attempt %s was taken, which is %s", called, number, taken.label)
        for one in looked_at[: looked_at.index(taken)]:
            if one.why is not None:
                self.problem(
                    "Learner %s: the newer attempt %s cannot be read, so the older %s was taken. %s",
                    called,
                    one.label,
                    taken.label,
                    one.why,
                )
            else:
                self.log.warning(
                    "Learner %s: the newer attempt %s has no answers, so the older %s was taken.",
                    called,
                    one.label,
                    taken.label,
                )


def _listed(names: Iterable[str]) -> str:
    names = sorted(map(shown, names))
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
