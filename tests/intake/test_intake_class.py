"""A class with hostile learners goes through nbgrader's own commands: refusals are recorded, neighbours graded."""

import hashlib
import os
import stat

import pytest
from handed_in import FILE, autograde, cell, named, place, zipped
from nbgrader_course import LESSON, NOTEBOOK, Course


def tree(folder):
    """Return {path: what it is} of everything below a folder, links and special files included."""
    found = {}
    for here, folders, files in os.walk(os.fsencode(folder)):
        for name in folders + files:
            path = os.path.join(here, name)
            about = os.lstat(path)
            content = os.readlink(path) if os.path.islink(path) else b""
            if stat.S_ISREG(about.st_mode):
                with open(path, "rb") as file:
                    content = hashlib.sha256(file.read()).digest()
            found[os.path.relpath(path, os.fsencode(folder))] = (stat.S_IFMT(about.st_mode), about.st_mtime_ns, content)
    return found


def make_class(course):
    """Return {learner: reason}; the learner `right` is graded."""
    root = course.root / "submitted"
    right = place(course, "right")
    for name in ("torch.py", "sitecustomize.py", "page.html", "data.csv", "evil.svg"):
        (right / name).write_text("a file of the learner's")
    (right / "sub").mkdir()
    (right / "sub" / "b.html").write_text("<script>")
    (root / "linked_learner").symlink_to(right.parent)
    (root / "linked_lesson").mkdir()
    (root / "linked_lesson" / LESSON).symlink_to(right)
    (root / "dangling").mkdir()
    (root / "dangling" / LESSON).symlink_to("nowhere")
    (root / "file").mkdir()
    (root / "file" / LESSON).write_text("I am no folder")
    (place(course, "gradebook") / "data.csv").symlink_to(course.root / "gradebook.db")
    os.link(course.root / "gradebook.db", place(course, "hard") / "data.csv")
    os.mkfifo(place(course, "pipe") / "data.csv")
    (place(course, "pipe_for_time") / "timestamp.txt").unlink()
    os.mkfifo(root / "pipe_for_time" / LESSON / "timestamp.txt")
    named(b"\xff\xfe.ipynb")(place(course, "not_utf8"))
    named("\u0430ttention.ipynb")(place(course, "look_alikes"))
    (place(course, "broken_time", b"{") / "timestamp.txt").write_bytes(b"\xff once upon a time")
    place(course, "many_cells", {"nbformat": 4, "cells": [cell()] * 10_000})
    zipped(
        place(course, "bomb", b"x", name="notes.txt") / "attention.zip",
        *[(f"{n}.bin", b"\0" * 99_000_000) for n in range(3)],
        compresslevel=1,
    )
    (root / "empty" / LESSON).mkdir(parents=True)
    return {
        "linked_learner": "is a link to another folder",
        "linked_lesson": "is a link to another folder",
        "dangling": "is a link to another folder",
        "file": "is not a folder",
        "gradebook": "data.csv is a link",
        "pipe": "data.csv is a pipe",
        "pipe_for_time": "timestamp.txt is a pipe",
        "not_utf8": "is not UTF-8",
        "look_alikes": "look the same",
        "broken_time": "upload was cut off",
        "many_cells": "has 10000 cells; at most 2000",
        "bomb": "attention.zip was not unpacked: It unpacks to more than 200 MB",
        "empty": "No file named",
    }


class Played:
    def __init__(self, root):
        self.course = course = Course(root)
        (course.root / "solutions" / "notebooks" / LESSON / "released.csv").write_text("1,2")
        course.nbgrader("generate_assignment", LESSON)
        self.reasons = make_class(course)
        self.before = tree(course.root / "submitted")
        self.log = course.nbgrader("autograde", LESSON)
        self.after = tree(course.root / "submitted")
        course.nbgrader("generate_feedback", LESSON)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    if os.name != "posix":
        pytest.skip("Windows has no such files")
    return Played(tmp_path_factory.mktemp("course"))


REFUSED = [
    "linked_learner",
    "linked_lesson",
    "dangling",
    "file",
    "gradebook",
    "pipe",
    "pipe_for_time",
    "not_utf8",
    "look_alikes",
    "broken_time",
    "many_cells",
    "bomb",
    "empty",
]


@pytest.mark.parametrize("learner", REFUSED)
def test_a_refused_submission_scores_0_and_its_reason_is_in_the_gradebook_and_the_feedback(played, learner):
    reason = played.reasons[learner]
    assert set(played.course.scores(learner).values()) == {0}
    assert reason in played.course.comment(learner, "attention_scores")
    assert f"This submission was not graded: {played.course.comment(learner, 'why')}" in played.course.feedback(learner)


def test_every_refusal_is_tried(played):
    assert sorted(REFUSED) == sorted(played.reasons)


@pytest.mark.parametrize("learner", ["right", "hard"])
def test_the_honest_neighbour_is_graded_all_the_same(played, learner):
    assert played.course.scores(learner)["check_attention_scores"] == 2
    assert played.course.scores(learner)["check_merge_heads"] == 2


def test_what_arrived_stays_byte_for_byte(played):
    changed = {path for path in played.before | played.after if played.before.get(path) != played.after.get(path)}
    # The gradebook that one of them is a hard link to is written to by grading itself.
    assert changed <= {b"hard/" + LESSON.encode() + b"/data.csv", b"gradebook/" + LESSON.encode() + b"/data.csv"}


@pytest.mark.parametrize(("step", "ending"), [("autograded", "ipynb"), ("feedback", "html")])
def test_only_the_notebook_and_released_files_go_on(played, step, ending):
    for learner in ("right", "gradebook", "hard", "linked_learner", "bomb"):
        found = tree(played.course.root / step / learner / LESSON)
        assert set(found) - {b"timestamp.txt"} == {f"{NOTEBOOK}.{ending}".encode(), b"released.csv"}
        assert {kind for kind, *_ in found.values()} == {stat.S_IFREG}


def test_nothing_of_a_broken_time_stops_the_run(played):
    assert "timestamp.txt cannot be read; the file's own time is taken" in played.log


def test_a_new_submission_with_a_broken_time_is_graded_again_and_the_same_one_is_not(tmp_path):
    course = Course(tmp_path).release()
    for day, (content, reason) in enumerate([(b"{", "cut off"), (b"", "file is empty")]):
        folder = place(course, "eve", content, timestamp="no time at all")
        os.utime(folder / "timestamp.txt", (86_400 * day + 7, 86_400 * day + 7))
        autograde(course, "eve")
        assert reason in course.comment("eve", "why")
    (folder / FILE).write_bytes(b"[]")
    autograde(course, "eve")
    assert "file is empty" in course.comment("eve", "why")
