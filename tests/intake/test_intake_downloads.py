"""Bulk downloads of Canvas, Moodle and Blackboard, as these write them, become one submission for each learner."""

import json
import os
import re
import shutil
import stat
import struct
import zipfile
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from handed_in import FILE, autograde, cell, notebook, zipped
from nbgrader.apps import ZipCollectApp
from nbgrader_course import LESSON, MERGE, REPOSITORY, SCORES, Course, cell_of
from traitlets.config import Config

from autograder.intake import attempts, downloads, platforms
from autograder.intake.archive import packed_in
from autograder.intake.folder import RefusedError

BLANK = notebook(cell())  # a notebook without an answer
CUT_OFF = b'{"nbformat": 4, "cells": ['
TIME = "timestamp.txt"


@dataclass
class Collected:
    course: Course
    status: int
    log: str

    def files(self):
        root = self.course.root / "submitted"
        found = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.name != TIME]
        return sorted(path.replace(f"/{LESSON}/", ": ") for path in found)

    def content(self, learner, name=FILE):
        return (self.course.root / "submitted" / learner / LESSON / name).read_bytes()

    def said(self, words):
        """Return those lines that the end of the log repeats, with these words in them."""
        _, _, end = self.log.partition("Everything was collected but for")
        return [line for line in end.splitlines() if words in line]


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    course = Course(tmp_path_factory.mktemp("course")).release()
    return course


@pytest.fixture
def course(released):
    yield released
    for folder in ("downloaded", "submitted", "autograded"):
        shutil.rmtree(released.root / folder, ignore_errors=True)
    with released.gradebook() as gradebook:
        for student in gradebook.students:
            gradebook.remove_student(student.id)


@pytest.fixture
def right(course):
    """Return a notebook with the right answers, as bytes; each is another one."""
    return lambda number=0: json.dumps(course.answers() | {"number": number}).encode()


@pytest.fixture
def collect(course, capsys):
    """Return a function that lets nbgrader's command collect what lies in the folder of downloads."""

    def collecting(platform, **settings):
        config = course.settings()
        config.ZipCollectApp.collector_plugin = f"autograder.intake.platforms.{platform}"
        config.merge(Config(settings))
        ZipCollectApp.clear_instance()
        app, status = ZipCollectApp(config=config, coursedir=course.coursedir(assignment_id=LESSON)), 0
        capsys.readouterr()
        try:
            app.start()
        except SystemExit as end:
            status = end.code
        return Collected(course, status, capsys.readouterr().err)

    return collecting


def downloaded(course):
    folder = course.root / "downloaded" / LESSON / "archive"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def link(name):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.fixture
def packed(tmp_path):
    """Return a function that returns the bytes of a zip."""

    def packing(*members, password=False):
        made = bytearray(zipped(tmp_path / "packed.zip", *members).read_bytes())
        for start, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)) if password else ():
            made[made.index(start) + flag] |= 1
        return bytes(made)

    return packing


# A class of each platform


def test_a_class_of_canvas_is_collected_by_the_ids_in_its_names(course, collect, right, packed):
    zipped(
        downloaded(course) / "submissions.zip",
        ("lovelaceada_1021_90007_attention.ipynb", right(1)),
        ("hoppergrace_LATE_1031_90011_attention-1.ipynb", right(2)),
        ("mönchétienne_1033_90013_My attention (final)-2.ipynb", right(3)),
        ("anon_1b2C3_90017_attention.ipynb", right(4)),
        ("zuse3_1039_90019_attention.zip", packed(("work/attention.ipynb", right(5)))),
        ("zuse3_1039_90020_photo.png", b"\x89PNG"),
        ("noether_1049_90023_attention.ipynb.txt", right(6)),
        ("eve_1051_90029_attention.zip", packed((FILE, right()), password=True)),
        ("mallory_1061_90031_attention.zip", b"PK\x03\x04 cut off"),
        ("text_1063_text.html", b"<p>I forgot the file</p>"),
        ("link_1069_link.html", b"<a>"),
        ("__MACOSX/._lovelaceada_1021_90007_attention.ipynb", b"\0"),
    )
    done = collect("Canvas")
    assert done.files() == [
        "1021: attention.ipynb",
        "1031: attention.ipynb",
        "1033: My attention (final)-2.ipynb",
        "1039: attention.zip",
        "1049: attention.ipynb.txt",
        "1051: attention.zip",
        "1061: attention.zip",
        "anon_1b2C3: attention.ipynb",
    ]
    assert done.content("1031") == right(2)
    assert done.status == 1 and len(done.said("- ")) == 4
    assert done.said("1051 (eve) can be read. attention.zip: ") and "protected by a password" in done.said("(eve)")[0]
    assert done.said("1061 (mallory) can be read. attention.zip: ")
    assert done.said("1063 (text) handed in no file") and done.said("1069 (link) handed in no file")
    assert "or put it into" in done.said("(eve)")[0]


WORKSHEET = """Identifier,"Full name","ID number","Email address",Status,Grade,"Online text"
"Participant 4021","Ada Lovelace",,ada@example.org,"Submitted for grading",,
"Participant 4027","eve@x.org Adams",,eve@example.org,"Submitted for grading",,"ada@example.org"
"Participant 4031","Grace Hopper",7,grace@example.org,"Submitted for grading",,
"Participant 4033","Konrad Zuse",,zuse@example.org,"Submitted for grading",,
"Participant 4037","Emmy Noether",,emmy@example.org,"Submitted for grading",,
"""


@pytest.mark.parametrize(
    "worksheet",
    [
        WORKSHEET,
        re.sub(
            r"Identifier.*", "Kennung,Name,Nr,Mail,Status,Note,Text", WORKSHEET.replace("Participant ", "Teilnehmer/in")
        ),
    ],
)
def test_a_class_of_moodle_is_collected_by_the_addresses_of_its_worksheet(course, collect, right, packed, worksheet):
    bomb = packed(*[(f"{n}.bin", bytes(900_000)) for n in range(3)])
    zipped(
        downloaded(course) / "TT-Lesson 7-4567.zip",
        ("Ada Lovelace_4021_assignsubmission_file_/attention.ipynb", right(1)),
        ("Ada Lovelace_4021_assignsubmission_onlinetext_/onlinetext.html", b"<p>"),
        ("eve@x.org Adams_4027_assignsubmission_file/sub/attention.zip", bomb),
        ("Grace Hopper_4031_assignsubmission_file_attention.ipynb.json", right(3)),
        ("Konrad Zuse_4033_assignsubmission_file/sub folder/work.ipynb", right(4)),
        ("Konrad Zuse_4033_assignsubmission_file/.ipynb_checkpoints/attention-checkpoint.ipynb", right(5)),
        ("Emmy Noether_4037_assignsubmission_onlinetext/onlinetext.html", b"<p>"),
        ("Alan Turing_4057_assignsubmission_file_/attention.ipynb", right(6)),
        ("Default group_assignsubmission_file_/attention.ipynb", right(7)),
    )
    (downloaded(course) / "Grades-TT-Lesson 7-4567.csv").write_text(worksheet, encoding="utf-8-sig")
    with course.gradebook() as gradebook:
        gradebook.add_student("lovelace", email="Ada@example.org")
    done = collect("Moodle", SubmissionExporter={"max_folder_bytes": 2_000_000})
    assert done.files() == [
        "eve@example.org: sub/attention.zip",
        "grace@example.org: attention.ipynb.json",
        "lovelace: attention.ipynb",
        "zuse@example.org: sub folder/work.ipynb",
    ]
    assert done.content("lovelace") == right(1)
    assert done.status == 1 and len(done.said("- ")) == 4
    assert "unpacks to more than 2 MB" in done.said("eve@example.org")[0]
    assert done.said("emmy@example.org (Emmy Noether) handed in no file")
    assert done.said("The participant 4057 (Alan Turing) is not in the grading worksheet")
    assert done.said("Default group_assignsubmission_file_/attention.ipynb")


def blackboard(name, time, *files, text=""):
    """Return what Blackboard packs of an attempt: its files, and a text that it writes about it."""
    before = f"Lesson 7: attention_{name}_attempt_{time}"
    about = f"Name: Some Body ({name})\nAssignment: Lesson 7: attention\nDate Submitted: ...\n\nComments:\n{text}\n"
    return [*((f"{before}_{file}", content) for file, content in files), (f"{before}.txt", about.encode())]


def test_a_class_of_blackboard_is_collected_by_username_and_the_newest_attempt(course, collect, right, packed):
    zipped(
        downloaded(course) / "gradebook_CS_TT_Lesson207_2026-11-02-08-00-00.zip",
        *blackboard("alovelace", "2026-11-01-10-20-30", (FILE, right(2)), ("notes.txt", b"mine")),
        *blackboard("alovelace", "2026-10-31-23-59-59", (FILE, right(1))),
        *blackboard("grace_h", "2026-11-01-09-00-00", ("attention (1).ipynb", right(3)), text="Name: X (zuse)"),
        *blackboard("anna_h", "2026-11-01-09-00-01", (FILE, right(4))),
        *blackboard("zuse", "2026-11-01-09-30-00", (FILE, right(5))),
        *blackboard("zuse", "2026-11-01-09-40-00", ("attention.zip", packed((FILE, right()), password=True))),
        *blackboard("turing", "2026-11-01-09-50-00"),
        *blackboard("emmy", "2026-11-01-09-55-00", ("zuse_attempt_2027-01-01-00-00-00_attention.ipynb", right(6))),
        *blackboard("mallory", "2026-11-01-09-56-00", ("report.pdf", b"%PDF"), (TIME, b"2020-01-01 00:00:00 UTC")),
    )
    done = collect("Blackboard", Blackboard={"timezone": "America/New_York"})
    assert done.files() == [
        "alovelace: attention.ipynb",
        "anna_h: attention.ipynb",
        "emmy: zuse_attempt_2027-01-01-00-00-00_attention.ipynb",
        "grace_h: attention (1).ipynb",
        "mallory: report.pdf",
        "zuse: attention.ipynb",
    ]
    assert done.content("alovelace") == right(2) and done.content("zuse") == right(5)
    assert done.content("alovelace", TIME) == b"2026-11-01 15:20:30" and done.content("mallory", TIME)[:4] == b"2026"
    assert done.status == 1 and len(done.said("- ")) == 3
    assert "attempt 2 of 2 was taken, which is of 2026-11-01 10:20:30" in done.log
    (about,) = done.said("zuse")
    assert "the newer attempt of 2026-11-01 09:40:00 cannot be read, so the older of 2026-11-01 09:30:00" in about
    assert "protected by a password" in about
    assert done.said("turing handed in no file") and "is a PDF" in done.said("mallory")[0]


# Limits of one learner


def of_canvas(learner, *files, first=90_001):
    """Return what Canvas packs of a learner: each file has an id, which grows with time."""
    return [
        (f"learner{learner}_{learner}_{first + 2 * number}_{name}", content)
        for number, (name, content) in enumerate(files)
    ]


def test_a_class_may_be_larger_than_a_learner(course, collect, right):
    one = len(right(1_000))
    learners = [str(number) for number in range(1_001, 1_032)]
    zipped(downloaded(course) / "submissions.zip", *(m for name in learners for m in of_canvas(name, (FILE, right(7)))))
    done = collect("Canvas", SubmissionExporter={"max_folder_bytes": 3 * one, "max_files": 5})
    assert done.status == 0 and done.files() == [f"{name}: {FILE}" for name in learners]


def of_blackboard(*files):
    return blackboard("eve", "2026-11-01-10-20-30", *files)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([(FILE, bytes(13_007))], "It has 0.01301 MB; the limit is 0.013 MB"),
        ([(f"{n}.ipynb", bytes(6_007)) for n in range(3)], "With it the attempt has more than 0.017 MB"),
        ([(f"{n}.ipynb", b"{}") for n in range(12)], "There are more than 11 files in the attempt"),
        ([(link(f"L_eve_attempt_2026-11-01-10-20-30_{FILE}"), "/etc/passwd")], "is a link or a special file"),
        ([("../../../../alice/a.ipynb", b"{}")], "leads outside"),
        ([("a\x1b[2J.ipynb", b"{}")], "has control characters"),
    ],
)
def test_what_is_too_much_or_odd_is_left_out_by_name_and_nobody_else_with_it(
    course, collect, right, monkeypatch, files, reason
):
    files = [file if isinstance(file[0], zipfile.ZipInfo) else of_blackboard(file)[0] for file in files]
    zipped(downloaded(course) / "gradebook.zip", *blackboard("ada", "2026-11-01-10-20-30", (FILE, right(1))), *files)
    small = {"max_bytes": 7_000, "max_files": 11, "max_file_bytes": 13_000, "max_folder_bytes": 17_000}
    done = collect("Blackboard", SubmissionExporter=small)
    assert f"ada: {FILE}" in done.files() and done.content("ada") == right(1)
    assert {name.partition(": ")[0] for name in done.files()} <= {"ada", "eve"}
    (about,) = done.said("Left out: learner eve, file gradebook.zip: ")
    assert reason in about and "or put it into" in about and done.status == 1


def test_what_is_left_out_is_not_written(course, collect, right):
    zipped(downloaded(course) / "gradebook.zip", *of_blackboard((FILE, right()), ("large.ipynb", bytes(99_001))))
    done = collect("Blackboard", SubmissionExporter={"max_file_bytes": 90_000})
    assert done.files() == [f"eve: {FILE}"] and done.status == 1
    assert not list((course.root / "downloaded" / LESSON / "extracted").rglob("large*"))


def test_a_member_whose_content_is_damaged_leaves_nothing_half_written(course, collect, right):
    members = of_blackboard(("damaged.ipynb", os.urandom(997)), (FILE, right()))
    path = zipped(downloaded(course) / "gradebook.zip", *members)
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(content)
    done = collect("Blackboard")
    assert done.files() == [f"eve: {FILE}"] and "Bad CRC-32" in done.said("damaged.ipynb. It cannot be read")[0]
    assert not list((course.root / "downloaded").rglob("damaged.ipynb"))


# Attempts


def attempts_of_blackboard(*contents):
    times = (f"2026-11-{day:02}-10-20-30" for day in range(1, 28))
    return [m for time, content in zip(times, contents, strict=False) for m in blackboard("eve", time, (FILE, content))]


def attempts_of_canvas(*contents):
    # The ids have one digit more from the second on: 99998, 100001.
    files = [(FILE if n == 0 else f"attention-{n}.ipynb", content) for n, content in enumerate(contents)]
    return [m for n, file in enumerate(files) for m in of_canvas("7", file, first=99_998 + 3 * n)]


@pytest.mark.parametrize(
    ("platform", "make", "learner"),
    [("Canvas", attempts_of_canvas, "7"), ("Blackboard", attempts_of_blackboard, "eve")],
)
@pytest.mark.parametrize(
    ("kinds", "taken", "words", "status"),
    [
        (("right", "right", "right"), 2, "attempt 3 of 3 was taken", 0),
        (("right", "right", "cut off"), 1, "cannot be read, so the older", 1),
        (("right", "cut off", "cut off"), 0, "cannot be read, so the older", 1),
        (("right", "blank", "blank"), 0, "has no answers, so the older", 0),
        (("blank", "blank"), 1, "attempt 2 of 2 was taken", 0),
        (("cut off", "cut off"), 1, "No attempt of the learner", 1),
        (("blank", "cut off"), 0, "cannot be read, so the older", 1),
    ],
)
def test_the_newest_attempt_that_grading_can_read_is_taken_and_it_is_said(
    course, collect, right, platform, make, learner, kinds, taken, words, status
):
    # Each is another file: JSON may end in any number of spaces.
    content = {"right": right(), "blank": BLANK, "cut off": CUT_OFF}
    contents = [content[kind] + b" " * number for number, kind in enumerate(kinds)]
    members = make(*contents)
    zipped(downloaded(course) / "all.zip", *members[1:], members[0])
    done = collect(platform)
    assert done.status == status and words in done.log
    assert len(done.files()) == 1 and done.content(learner, done.files()[0].split(": ")[1]) == contents[taken]


def test_no_more_attempts_are_unpacked_than_are_needed(course, collect, right, monkeypatch):
    monkeypatch.setattr(downloads, "MOST_ATTEMPTS", 3)
    zipped(downloaded(course) / "all.zip", *attempts_of_blackboard(right(), *[CUT_OFF] * 5))
    done = collect("Blackboard")
    assert done.said("No attempt of the learner eve can be read, of the newest 3.")
    assert done.content("eve") == CUT_OFF and len(list((course.root / "downloaded").rglob(FILE))) == 1


def test_an_older_attempt_is_not_looked_at_where_the_newest_has_answers(course, collect, right):
    zipped(downloaded(course) / "all.zip", *attempts_of_blackboard(bytes(90_001), right()))
    done = collect("Blackboard", SubmissionExporter={"max_file_bytes": 90_000})
    assert done.files() == [f"eve: {FILE}"] and done.status == 0 and "Left out" not in done.log


@pytest.mark.parametrize("name", ["attention.ipynb.txt", "attention.ipynb.json", "attention-1.ipynb.txt"])
def test_a_notebook_that_a_browser_renamed_is_collected_and_its_answers_are_graded(course, collect, right, name):
    zipped(downloaded(course) / "submissions.zip", *of_canvas("7", (name, right())))
    done = collect("Canvas")
    assert done.status == 0 and done.files() == [f"7: {name.replace('-1', '')}"]
    autograde(course, "7")
    graded = course.autograded("7")
    assert cell_of(graded, "attention_scores").source == SCORES and cell_of(graded, "merge_heads").source == MERGE
    assert graded.metadata.autograder.taken.startswith(name.replace("-1", ""))


def test_an_attempt_that_nobody_can_read_gets_its_reason_from_grading(course, collect, packed):
    zipped(downloaded(course) / "s.zip", *of_canvas("7", ("attention.zip", packed((FILE, b"{}"), password=True))))
    assert collect("Canvas").status == 1
    autograde(course, "7")
    assert "protected by a password" in course.comment("7", "why")


# Whose a file is


@pytest.mark.parametrize(
    ("platform", "path", "learner", "name"),
    [
        ("Canvas", "eve_12_34_bob_56_78_a.ipynb", "12", "bob_56_78_a.ipynb"),
        ("Canvas", "eve_12_34_07_attention.ipynb", "12", "07_attention.ipynb"),
        ("Canvas", "unpacked/eve_LATE_12_34_a.ipynb", "12", "a.ipynb"),
        ("Canvas", "LATE_anon_x1Y2z_34_a.ipynb", "anon_x1Y2z", "a.ipynb"),
        ("Canvas", "eve_12_text.html", "12", None),
        ("Canvas", "attention.ipynb", None, None),
        (
            "Moodle",
            "Eve A_12_assignsubmission_file_/Bob_9_assignsubmission_file_/a.ipynb",
            "12",
            "Bob_9_assignsubmission_file_/a.ipynb",
        ),
        (
            "Moodle",
            "Eve A_12_assignsubmission_file_Bob_9_assignsubmission_file_a.ipynb",
            "12",
            "Bob_9_assignsubmission_file_a.ipynb",
        ),
        ("Moodle", "X-7-4567/Eve A_12_assignsubmission_file/a.ipynb", "12", "a.ipynb"),
        ("Moodle", "Eve A_12_assignsubmission_onlinetext_/onlinetext.html", "12", None),
        ("Moodle", "Eve A_12_assignsubmission_onlinetext_onlinetext.html", "12", None),
        ("Moodle", "Eve A/a.ipynb", None, None),
        (
            "Blackboard",
            "HW_eve_attempt_2026-11-01-10-20-30_bob_attempt_2027-11-01-10-20-30_a.ipynb",
            "eve",
            "bob_attempt_2027-11-01-10-20-30_a.ipynb",
        ),
        ("Blackboard", "HW_eve_attempt_2026-11-01-10-20-30.txt", "eve", None),
        ("Blackboard", "HW_eve_attempt_2026-99-01-10-20-30_a.ipynb", None, None),
        ("Blackboard", "HW_eve_a.ipynb", None, None),
    ],
)
def test_a_name_is_read_from_its_beginning_which_no_learner_writes(platform, path, learner, name):
    named = getattr(platforms, platform)().named(tuple(path.split("/")))
    assert (named and named.learner, named and named.name) == (learner, name)


def test_an_id_that_comes_with_two_names_is_nobodys(course, collect, right):
    """A learner may choose a name in Canvas, such as `eve_12`."""
    zipped(
        downloaded(course) / "submissions.zip",
        ("alice_12_90001_attention.ipynb", right(1)),
        ("eve_12_34_90003_attention.ipynb", right(2)),
        ("bob_13_90005_attention.ipynb", right(3)),
    )
    done = collect("Canvas")
    assert done.files() == [f"13: {FILE}"] and done.status == 1
    assert done.said("the learner 12, whose id comes with 2 names: alice, eve")


def test_a_table_that_a_learner_hands_in_is_no_worksheet(course, collect, right):
    forged = b'Identifier,Name,Mail\n"Participant 12",x,ada@example.org\n'
    zipped(
        downloaded(course) / "a.zip",
        ("Eve_12_assignsubmission_file_/attention.ipynb", right()),
        ("Eve_12_assignsubmission_file_/Grades.csv", forged),
        ("Grades.csv", forged),
    )
    done = collect("Moodle")
    assert done.status == 1 and done.files() == []
    assert "Nothing was collected. Moodle numbers the participants of each assignment anew" in done.log
    done = collect("Moodle", Moodle={"numbers": True})
    assert done.files() == [f"12: {FILE}"] and done.said("a.zip: Grades.csv")


def test_a_name_that_looks_like_an_address_is_a_name(course, collect, right):
    zipped(downloaded(course) / "a.zip", ("ada@example.org_12_assignsubmission_file_/attention.ipynb", right()))
    (downloaded(course) / "Grades.csv").write_text("Identifier,Name,Mail\nParticipant 12,ada@example.org,eve@x.org\n")
    assert collect("Moodle").files() == [f"eve@x.org: {FILE}"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"Identifier,Name\nParticipant 12,Eve\n", "no column with e-mail addresses"),
        (b"Identifier,Name,Mail\nParticipant 12,Eve,hidden\n", "no column with e-mail addresses"),
        (b"Name,Mail,x\nEve,e@x.org,x\n", "No line of it begins with a participant's number"),
        (b"\xff\xfe\x00", "is not the CSV file that Moodle writes"),
    ],
)
def test_a_table_that_is_no_worksheet_is_refused_with_its_reason(course, collect, right, content, reason):
    zipped(downloaded(course) / "a.zip", ("Eve_12_assignsubmission_file_/attention.ipynb", right()))
    (downloaded(course) / "Grades.csv").write_bytes(content)
    done = collect("Moodle")
    assert reason in done.log and done.status == 1 and done.files() == []


def test_the_gradebook_says_who_an_id_of_the_platform_is(course, collect, right):
    zipped(
        downloaded(course) / "submissions.zip",
        *(m for learner in ("11", "12", "13") for m in of_canvas(learner, (FILE, right()))),
    )
    with course.gradebook() as gradebook:
        gradebook.add_student("ada", lms_user_id="11")
        gradebook.add_student("bob", lms_user_id="12")
        gradebook.add_student("bobby", lms_user_id="12")
        gradebook.add_student("13", lms_user_id="11000")
    done = collect("Canvas")
    assert done.files() == [f"13: {FILE}", f"ada: {FILE}"]
    assert done.status == 1 and done.said("The gradebook has 2 students with 12: bob, bobby")


# Downloads


def test_a_download_may_be_unpacked_already(course, collect, right):
    folder = downloaded(course) / "submissions"
    folder.mkdir()
    for name, content in of_canvas("7", (FILE, right(1))) + of_canvas("8", ("attention.zip", b"PK")):
        (folder / name).write_bytes(content)
    (folder / "eve_9_90001_attention.ipynb").symlink_to(course.root / "gradebook.db")
    done = collect("Canvas")
    assert done.files() == [f"7: {FILE}", "8: attention.zip"]
    assert "is a link or a special file" in done.said("learner 9 (eve)")[0]


def test_a_download_that_is_there_twice_counts_once(course, collect, right):
    for name in ("submissions.zip", "submissions (1).zip"):
        zipped(downloaded(course) / name, *of_canvas("7", (FILE, right())), *of_canvas("8", (FILE, name.encode())))
    done = collect("Canvas")
    assert f"7: {FILE}" in done.files() and done.status == 1
    assert not done.said("learner 7 ") and done.said("learner 8 (learner8), file submissions.zip")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"PK\x03\x04 cut off", "download it again"), (b"<!doctype html>", "download it again")],
)
def test_a_download_that_cannot_be_read_is_named_and_another_is_collected(course, collect, right, content, reason):
    (downloaded(course) / "one.zip").write_bytes(content)
    zipped(downloaded(course) / "two.zip", *of_canvas("7", (FILE, right())))
    done = collect("Canvas")
    assert done.files() == [f"7: {FILE}"] and done.status == 1
    assert reason in done.said("Not collected: the download one.zip")[0]


def test_a_second_download_that_is_damaged_is_named(course, collect, right):
    zipped(downloaded(course) / "a.zip", *of_canvas("7", (FILE, right())))
    path = zipped(downloaded(course) / "b.zip", *of_canvas("7", (FILE, right())), *of_canvas("8", (FILE, right())))
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(content)
    done = collect("Canvas")
    assert done.files() == [f"7: {FILE}", f"8: {FILE}"] and done.said("learner 7 (learner7), file b.zip")


def test_whatever_goes_wrong_with_one_learner_stops_nobody_else(course, collect, right, monkeypatch):
    counting = attempts.count

    def count(released, learner):
        if any("poison" in one.source for one in learner):
            raise RecursionError("too deep")
        return counting(released, learner)

    monkeypatch.setattr(attempts, "count", count)
    members = of_canvas("7", (FILE, notebook(cell("poison")))) + of_canvas("8", (FILE, right()))
    zipped(downloaded(course) / "s.zip", *members)
    done = collect("Canvas")
    assert done.files() == [f"8: {FILE}"] and done.status == 1
    assert done.said("the learner 7, who cannot be read (RecursionError: too deep). Ask the learner")
    assert not (course.root / "downloaded" / LESSON / "extracted" / "7").exists()


def test_a_download_of_another_platform_is_named(course, collect, right):
    zipped(downloaded(course) / "two.zip", ("Eve_12_assignsubmission_file_/attention.ipynb", right()))
    done = collect("Canvas")
    assert done.files() == [] and done.said("1 files that are not named as Canvas names them") and done.status == 1


def test_a_submission_that_is_there_is_replaced_only_by_force_and_then_nothing_is_half_done(course, collect, right):
    for learner in ("7", "8"):
        course.submit("8", b"put there by hand")
        zipped(downloaded(course) / f"{learner}.zip", *of_canvas(learner, (FILE, right())))
    done = collect("Canvas")
    assert done.files() == [f"8: {FILE}"] and done.content("8") == b"put there by hand"
    assert done.status == 1 and "Nothing was collected: 1 of the learners have a submission already (8)" in done.log
    done = collect("Canvas", ZipCollectApp={"force": True})
    assert done.files() == [f"7: {FILE}", f"8: {FILE}"] and done.content("8") == right() and done.status == 0


def test_a_lesson_that_was_not_released_is_not_collected(course, collect, right):
    zipped(downloaded(course) / "s.zip", *of_canvas("7", (FILE, right())))
    hidden = course.root / "course" / LESSON
    hidden.rename(hidden.with_name("away"))
    try:
        done = collect("Canvas")
    finally:
        hidden.with_name("away").rename(hidden)
    assert done.status == 1 and "There is no released notebook" in done.log and done.files() == []


def test_a_time_zone_that_there_is_not_is_said(course, collect):
    downloaded(course)
    with pytest.raises(Exception, match="'Mars' is no time zone; write it as Europe/Berlin is written"):
        collect("Blackboard", Blackboard={"timezone": "Mars"})


def large(path, size=None):
    """Turn a zip into what one of more than 4 GB says of itself; `size` is that of its list of contents."""
    content = path.read_bytes()
    place = content.rindex(b"PK\x05\x06")
    count, real, start = struct.unpack("<HLL", content[place + 10 : place + 20])
    record = struct.pack("<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size or real, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, place, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(content[:place] + record + locator + end)


def test_a_download_may_have_more_than_four_gigabytes_but_no_endless_list(tmp_path):
    path = zipped(tmp_path / "s.zip", ("a_1_2_b.ipynb", b"b"))
    large(path)
    with ExitStack() as stack:
        assert [file.read(9) for file in packed_in(path, stack)] == [b"b"]
    large(zipped(path, ("a_1_2_b.ipynb", b"b")), size=10**12)
    with ExitStack() as stack, pytest.raises(RefusedError, match="download fewer learners at once"):
        packed_in(path, stack)


def test_another_platform_is_described_by_nbgraders_own_setting(course, collect, right):
    zipped(
        downloaded(course) / "class.zip",
        ("ada 2026-11-01T10:20:30Z attention.ipynb", right(1)),
        ("ada 2026-11-02T10:20:30Z attention.ipynb", right(2)),
        ("ada 2026-11-03T10:20:30Z attention.ipynb.txt", CUT_OFF),
        ("<eve> 2026-11-03T10:20:30Z attention.ipynb", right(3)),
    )
    pattern = r"/(?P<student_id>\S+) (?P<timestamp>\S+) (?P<file_id>.+)"
    done = collect("Other", Other={"named_regexp": pattern})
    assert done.files() == [f"ada: {FILE}"] and done.content("ada") == right(2)
    assert done.content("ada", TIME) == b"2026-11-02 10:20:30" and done.status == 1
    assert done.said("the newer attempt 2026-11-03T10:20:30Z cannot be read, so the older 2026-11-02T10:20:30Z was")
    assert done.said("'<eve>' is no name that a student may have")


def test_another_platform_that_is_not_described_is_not_collected(course, collect, right):
    zipped(downloaded(course) / "class.zip", ("ada attention.ipynb", right()))
    done = collect("Other")
    assert done.status == 1 and "Describe the names in the download" in done.log and done.files() == []


# What the pages say


PAGE = (REPOSITORY / "docs" / "teach.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^nbgrader zip_collect .*--collector=([\w.]+)$", PAGE, re.MULTILINE)


def test_the_page_for_instructors_has_a_command_for_each_platform():
    assert set(COMMANDS) == {f"autograder.intake.platforms.{name}" for name in ("Canvas", "Moodle", "Blackboard")}


@pytest.mark.parametrize("collector", sorted(set(COMMANDS))[:1])
def test_the_command_of_the_page_collects_and_ends_with_a_status(course, right, collector):
    zipped(downloaded(course) / "s.zip", *blackboard("ada", "2026-11-01-10-20-30", (FILE, right())), ("x", b""))
    log = course.nbgrader("zip_collect", LESSON, f"--collector={collector}", check=False)
    assert (course.root / "submitted" / "ada" / LESSON / FILE).read_bytes() == right()
    assert "Everything was collected but for 1 problems" in log
