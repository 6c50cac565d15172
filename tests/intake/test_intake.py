"""One submission: what no honest one holds is refused with its reason, and only sources come from a learner."""

import copy
import json
import os
import random
import socket
import types
from datetime import UTC, datetime

import pytest
from handed_in import FILE, SMALL, cell, named, notebook
from nbgrader_course import LESSON, NOTEBOOK, Course, cell_of

from autograder.display import shown
from autograder.intake import timestamp
from autograder.intake.arrivals import read_arrival
from autograder.intake.folder import RefusedError, examine
from autograder.intake.notebook import LearnerCell
from autograder.intake.rebuild import merge
from autograder.intake.timestamp import read_time

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such files")


# What a notebook file may hold.

TWICE = b'{"nbformat": 4, "cells": [], "cells": [{"cell_type": "code", "source": "x"}]}'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "file is empty"),
        (b"\x00" * 97, "file is empty"),
        (b"\x00" * 97 + b"x", "not text"),
        (b"\xff\xfe{\x00}\x00", "JSON, but not a notebook"),
        (b"[" * 6_000, "nested too deeply"),
        (b'{"a":' * 1_300, "nested too deeply"),
        (b" " * 7_001, "larger than 0.007 MB"),
        (TWICE, "has the key 'cells' twice"),
        (
            b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": "x", "source": "y"}]}',
            "has the key 'source' twice",
        ),
        (b'{"nbformat": ' + b"9" * 5_000 + b"}", "a number of 5000 characters"),
        (b'{"nbformat": 4.' + b"9" * 5_000 + b"}", "a number of 5002 characters"),
        (b'{"nbformat": 1e999}', "format inf, not 4"),
        (b'{"nbformat": NaN}', "format nan, not 4"),
        (b'{"nbformat": "4"}', "format '4', not 4"),
        (b'{"nbformat": "\\u001b[31m\\u202e"}', r"format '\x1b[31m\u202e', not 4"),
        (b'{"nbformat": 4, "cells": "code"}', "no list of cells"),
        (notebook(*[cell()] * 8), "has 8 cells; at most 7"),
        (notebook(cell("x" * 701)), "Cell 1 has 701 characters; at most 700"),
        (notebook(*[cell("x" * 600)] * 2), "have 1200 characters in all; at most 1100"),
        (notebook(cell(["x"] * 11 + [3]), cell({"a": 1}), cell(None), cell(kind=["code"]), 5, None), "has no cells"),
        (b'"' + b"\\ud800" * 700 + b'"', "JSON, but not a notebook"),
    ],
)
def test_a_notebook_that_no_jupyter_wrote_is_refused_with_its_reason(tmp_path, content, reason):
    (tmp_path / FILE).write_bytes(content)
    assert reason in read_arrival(tmp_path / FILE, SMALL).refused


def test_what_jupyter_does_write_is_read(tmp_path):
    data = {"text/plain": "5", "application/x": {"big": 10**300, "small": 1e-300, "nan": float("nan")}}
    outputs = [{"output_type": "display_data", "data": data, "metadata": {}}]
    (tmp_path / FILE).write_bytes(b"\xef\xbb\xbf" + notebook(cell("é\u2028", outputs=outputs), cell(["a\n", "b"])))
    assert [c.source for c in read_arrival(tmp_path / FILE).cells] == ["é\u2028", "a\nb"]


# What a folder may hold.


def submission(tmp_path):
    folder = tmp_path / "submitted" / "eve" / LESSON
    folder.mkdir(parents=True)
    (folder / FILE).write_bytes(notebook(cell()))
    return folder


def make_deep(folder):
    folder.joinpath(*"abcd").mkdir(parents=True)


def make_socket(folder):
    here = os.getcwd()
    os.chdir(folder)  # a socket's path must be short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("s")
    finally:
        os.chdir(here)


def make_hard_link(folder):
    (folder.parent.parent / "gradebook.db").write_bytes(b"grades")
    os.link(folder.parent.parent / "gradebook.db", folder / "notes.txt")


@posix
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: (folder / "data.csv").symlink_to("/etc/passwd"), "data.csv is a link"),
        (lambda folder: (folder / "data.csv").symlink_to(FILE), "data.csv is a link"),
        (lambda folder: (folder / "data").symlink_to(folder), "data is a link"),
        (lambda folder: os.mkfifo(folder / "pipe"), "pipe is a pipe"),
        (make_socket, "s is a pipe, a socket or a device"),
        (make_deep, "nested more than 3 deep"),
        (lambda folder: [named(f"{n}.txt")(folder) for n in range(11)], "more than 11 files"),
        (named("big.bin", b"x" * 13_001), "big.bin is larger than 0.013 MB"),
        (lambda folder: [named(f"{n}.bin", b"x" * 9_000)(folder) for n in range(2)], "the limit is 0.017 MB"),
        (named(b"\xff\xfe.txt"), r"\udcff\udcfe.txt is not UTF-8 text"),
        (named("a\x1b[2Jb"), r"a\x1b[2Jb has control characters"),
        (named("a\nb"), r"a\nb has control characters"),
        (named("a\u202excod.exe"), r"a\u202excod.exe has invisible characters"),
        (named(f"{NOTEBOOK}\u200b.ipynb"), "has invisible characters"),
        (named("\u0430ttention.ipynb"), "have names that look the same"),
        (named("atténtion.IPYNB"), "have names that look the same"),
        (named("ａttention.ipynb"), "have names that look the same"),
    ],
)
def test_a_folder_with_what_no_honest_submission_holds_is_refused(tmp_path, make, reason):
    folder = submission(tmp_path)
    make(folder)
    assert reason in read_arrival(folder / FILE, SMALL, tmp_path / "submitted").refused


@pytest.mark.parametrize(
    "make",
    [
        named("timestamp.txt"),
        named("Icon\r"),
        named(".DS_Store"),
        named("👩‍🔬.png"),
        named(f"{NOTEBOOK}-Copy1.ipynb"),
        lambda folder: (folder / ".ipynb_checkpoints").mkdir(),
        lambda folder: os.link(folder / FILE, folder / "b.ipynb"),
        make_hard_link,
        named("Attention.ipynb"),
    ],
)
def test_what_computers_leave_in_folders_is_no_reason_to_refuse(tmp_path, make):
    folder = submission(tmp_path)
    make(folder)
    assert read_arrival(folder / FILE, SMALL, tmp_path / "submitted").refused is None


@posix
def test_a_folder_that_is_a_link_is_refused_and_the_instructors_own_links_are_not(tmp_path):
    folder = submission(tmp_path)
    root = tmp_path / "submitted"
    (root / "mallory").symlink_to(root / "eve")
    (root / "trudy").mkdir()
    (root / "trudy" / LESSON).symlink_to(folder)
    for learner in ("mallory", "trudy"):
        assert "is a link to another folder" in read_arrival(root / learner / LESSON / FILE, SMALL, root).refused
    (tmp_path / "elsewhere").symlink_to(root)
    assert read_arrival(tmp_path / "elsewhere" / "eve" / LESSON / FILE, SMALL, tmp_path / "elsewhere").refused is None


def test_a_path_that_leaves_the_submissions_is_refused(tmp_path):
    folder = submission(tmp_path)
    with pytest.raises(RefusedError, match="lies outside the folder of submissions"):
        examine(folder / ".." / ".." / ".." / "course", tmp_path / "submitted", SMALL)


def test_a_look_alike_alone_is_read_and_named(tmp_path):
    folder = submission(tmp_path)
    (folder / FILE).rename(folder / "\u0430ttention.ipynb")
    arrival = read_arrival(folder / FILE, SMALL, tmp_path / "submitted")
    assert arrival.taken == "\u0430ttention.ipynb was graded: no other notebook was handed in."


def test_a_reason_can_be_printed_whatever_the_name_is():
    assert shown("\udcff\x00\x1b\u202e") == r"\udcff\x00\x1b\u202e"
    assert len(shown("a" * 997)) < 100


# When it was handed in.


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (b"2026-01-02 03:05:07 UTC", True),
        (b"2026-01-02T05:05:07+02:00", True),
        (b"2026-01-02 03:05:07\n", True),
        (b"yesterday", False),
        (b"\xff\xfe", False),
        (b"", False),
        (b"2026-99-99 00:00:00 UTC", False),
        (b"1" * 99, False),
        (b"2026-01-02 03:05:07 " + b"9" * 60, False),
        (b" " * 10_000, False),
        (b"0001-01-01 0 +99", False),
    ],
)
def test_a_time_that_cannot_be_read_is_the_files_own(tmp_path, text, kept):
    (tmp_path / "timestamp.txt").write_bytes(text)
    os.utime(tmp_path / "timestamp.txt", (1_700_000_000, 1_700_000_000))
    read, said = read_time(tmp_path)
    assert (said is not None) == kept
    assert read.isoformat() == ("2026-01-02T03:05:07" if kept else "2023-11-14T22:13:20")


@pytest.mark.parametrize("seconds", [400_000_000_000, 9_000_000_000_000, -1, -10_000_000_000], ids=str)
def test_a_files_own_time_that_no_calendar_has_is_when_it_came_here(tmp_path, monkeypatch, seconds):
    (tmp_path / "timestamp.txt").write_bytes(b"no time")
    about = os.lstat(tmp_path / "timestamp.txt")
    odd = types.SimpleNamespace(st_mode=about.st_mode, st_size=about.st_size, st_mtime=seconds, st_ctime=about.st_ctime)
    monkeypatch.setattr(timestamp.os, "lstat", lambda path: odd)  # few file systems bear all of these
    read, said = read_time(tmp_path)
    assert said is None and read == datetime.fromtimestamp(about.st_ctime, UTC).replace(tzinfo=None, microsecond=0)
    monkeypatch.undo()
    timestamp.write_time(tmp_path, tmp_path / "graded")
    assert read_time(tmp_path / "graded")[1]


@posix
def test_a_time_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "timestamp.txt")
    assert read_time(tmp_path)[1] is None


# Rebuilding what arrived.


def mutated(released, seed):
    """Return the released notebook, some of its values replaced, moved, copied or deleted, as a fuzzer does."""
    chance, document = random.Random(seed), json.loads(json.dumps(released))
    odd = [None, True, -1, 1e308, "", "x" * 97, [], {}, ["a", 1], {"grade_id": "attention_scores"}, "\ud800"]
    for _ in range(chance.randint(1, 7)):
        cells = document["cells"]
        one, other = chance.choice(cells), chance.choice(cells)
        target = chance.choice([one, one, one.get("metadata"), document] if isinstance(one, dict) else [document])
        deed = chance.randrange(5)
        if deed == 0 and isinstance(target, dict) and target is not document and target:
            target[chance.choice(sorted(target))] = chance.choice(odd)
        elif deed == 1:
            cells.insert(chance.randrange(len(cells)), other)
        elif deed == 2 and len(cells) > 2:
            cells.remove(one)
        elif deed == 3 and isinstance(one, dict) and isinstance(other, dict):
            one["metadata"], one["id"] = other.get("metadata"), other.get("id")
        elif deed == 4 and isinstance(one, dict):
            one |= {"cell_type": chance.choice(["code", "markdown", "raw", "heading", 5]), "attachments": {"a": odd}}
    return json.dumps(document).encode()


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    course = Course(tmp_path_factory.mktemp("released")).release()
    return course.released()


def locked(cells):
    return [
        (c.metadata.nbgrader.grade_id, c.source, dict(c.metadata))
        for c in cells
        if c.metadata.get("nbgrader", {}).get("locked")
    ]


def test_only_sources_of_answers_and_own_cells_come_from_any_of_300_mutated_notebooks(released, tmp_path):
    given = {c.id: (c.cell_type, dict(c.metadata)) for c in released.cells}
    read = 0
    for seed in range(300):
        (tmp_path / FILE).write_bytes(mutated(released, seed))
        arrival = read_arrival(tmp_path / FILE)
        if arrival.refused:
            continue
        read += 1
        cells, _ = merge(copy.deepcopy(released.cells), arrival.cells)
        assert locked(cells) == locked(released.cells), seed
        assert [c.id for c in cells if not c.id.startswith("learner-")] == list(given), seed
        for one in cells:
            if one.id.startswith("learner-"):
                assert dict(one.metadata) == {} and one.cell_type in ("code", "markdown"), seed
            else:
                assert (one.cell_type, dict(one.metadata)) == given[one.id], seed
            assert "attachments" not in one and not one.get("outputs"), seed
    assert read > 200


def test_an_answer_that_was_turned_into_text_is_still_code_and_no_score_is_claimed(released):
    cells, _ = merge(
        copy.deepcopy(released.cells),
        [
            LearnerCell("markdown", "2.0", "attention_scores", "x"),
            LearnerCell("code", "2.0", "check_attention_scores", "y"),
            LearnerCell("code", "2.0", None, "check_attention_scores-cell"),
        ],
    )
    assert [(c.cell_type, c.source) for c in cells if c.source == "2.0"] == [("code", "2.0")]
    assert cell_of(type(released)(cells=cells), "check_attention_scores").source == "check(attention_scores).grade()"
