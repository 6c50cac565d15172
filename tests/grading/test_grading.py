"""A class is graded side by side, only what changed is graded again, and the table tells what came of it."""

import json
import subprocess
import sys
from datetime import timedelta

import nbformat
import pytest
from lessons import REPOSITORY
from nbgrader.api import Gradebook
from six_learners import EXPECTED, HALF, LESSON, Class, handed_in
from traitlets.config import Config

from autograder.course import CourseError
from autograder.grading import grade, history
from autograder.grading.checks import UNKNOWN
from autograder.grading.submissions import GRADED
from autograder.grading.workers import GIVEN_UP
from autograder.intake.rebuild import NOTES


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return Class(tmp_path_factory.mktemp("class") / "class")


@pytest.fixture(scope="module")
def first(one):
    """What the first run printed."""
    return one.grade()


def test_every_submission_earns_what_it_is_worth(one, first):
    assert one.scores() == EXPECTED
    assert "6 graded in" in first and "0 were graded already" in first


def test_the_run_says_what_isolates_it_and_shows_the_class(first):
    assert "holds: own namespaces, no capabilities, no network" in first
    assert "6 of 6" in first
    for learner, points in EXPECTED.items():
        assert f"{learner}" in first and f"{points} of 11" in first
    assert "arguments_changed_in_place" in first and "11 of 11, 3 by hand" in first


def test_for_a_class_that_is_graded_nothing_is_started_and_torch_stays_out(one, first):
    code = (
        "import sys\nfrom autograder.__main__ import main\n"
        "main(['grade', '7', '--root', sys.argv[1]])\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, one.folder], cwd=REPOSITORY, capture_output=True, text=True)
    assert "0 graded in" in done.stdout and "holds:" not in done.stdout, done.stderr
    assert done.stdout.endswith("False\n")


def test_a_second_run_grades_only_what_changed(one, first):
    before = one.everything()
    said = one.grade()
    assert "0 graded in" in said and "6 were graded already" in said
    assert one.everything() == before
    one.again("finn", handed_in(one)["ben"])
    said = one.grade()
    assert "1 graded in" in said and "5 were graded already" in said
    assert one.scores() == EXPECTED | {"finn": 10}
    one.again("finn", b"")
    assert "1 graded in" in one.grade("--only", "finn")
    assert one.scores() == EXPECTED
    assert "2 graded in" in one.grade("--again", "--only", "carla", "emma")
    with Gradebook(one.coursedir().db_url, "transformer_taxonomy") as book:
        kept = {name: list(history.read(book, [LESSON.folder], [name])) for name in ("emma", "finn")}
    assert [bool(each.refused) for each in kept["emma"]] == [True]  # though it was graded twice
    assert [bool(each.refused) for each in kept["finn"]] == [True, False, True]
    assert kept["finn"][1].checks["attention_scores"]["mistakes"] == ["arguments_changed_in_place"]
    assert kept["finn"][1].answers["attention_scores"].strip() == HALF.strip()


def test_all_lessons_are_those_that_anybody_handed_in(one, first):
    assert [each.lesson.name for each in grade.chosen_lessons(one.folder, ["all"], Config())] == [LESSON.name]
    with pytest.raises(CourseError, match="nothing was handed in for 09_layer_normalization"):
        grade.chosen_lessons(one.folder, ["7", "9"], Config())


def test_what_could_not_be_judged_waits_for_a_person_until_the_next_run_judges_it(one, first):
    def waits():
        with Gradebook(one.coursedir().db_url, "transformer_taxonomy") as book:
            return book.find_grade("check_attention_scores", LESSON.name, LESSON.folder, "ben").needs_manual_grade

    grading = grade.Grading(one.folder, "7")
    submission = grading.submission("ben")
    notebook = nbformat.read(grading.folder("autograded", "ben") / f"{LESSON.name}.ipynb", 4)
    del notebook.metadata[NOTES][GRADED]
    notebook.metadata[NOTES] |= {"unknown": True, "flags": {"check_attention_scores": UNKNOWN}}
    grading.record(submission, nbformat.writes(notebook))
    assert grading.graded("ben") is None and waits()
    assert "1 graded in" in one.grade()
    assert grading.graded("ben") == submission.digest and not waits()
    assert one.scores() == EXPECTED


def test_limits_due_dates_and_extensions_grade_again_and_where_the_course_lies_does_not(one, first):
    def basis(**settings):
        return grade.Grading(one.folder, "7", Config(settings)).submission("emma").digest

    before = basis()
    assert before == grade.Grading(one.folder, "7").graded("emma")
    assert basis(SandboxProvisioner=Config(memory=999)) != before
    assert basis(LateSubmissionPlugin=Config(penalty_method="zero")) != before
    assert basis(SandboxKernelManager=Config(prove_first=True)) == before
    with Gradebook(one.coursedir().db_url, "transformer_taxonomy") as book:
        book.update_or_create_assignment(LESSON.folder, duedate="2026-01-01 12:00:00 UTC")
        due = basis()
        book.find_submission(LESSON.folder, "emma").extension = timedelta(days=1)
        book.db.commit()
        assert len({before, due, basis()}) == 3
        book.update_or_create_assignment(LESSON.folder, duedate=None)
        book.find_submission(LESSON.folder, "emma").extension = None
        book.db.commit()
    assert basis() == before


def test_a_learner_who_handed_in_nothing_is_named(one, first):
    process = one.start("--only", "nobody")
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "nobody: no submission in submitted" in said and "anna" in said


def test_two_runs_at_once_do_not_disturb_each_other(one, first):
    with grade.Grading(one.folder, "7").alone():
        process = one.start()
        said, _ = process.communicate(timeout=100)
    assert process.returncode == 1 and "another run is grading this class" in said


def test_a_lesson_that_was_not_released_is_refused(one, first):
    process = one.start("--db", f"sqlite:///{one.folder / 'other.db'}")
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 1 and "is not released" in said and "autograder release 7" in said


def test_without_a_sandbox_it_says_so_loudly(one, first):
    said = one.grade("--without-sandbox", "--again", "--only", "anna")
    assert "WITHOUT A SANDBOX" in said and "with your rights" in said
    assert one.scores() == EXPECTED


def test_workers_get_no_address_of_a_gradebook_and_no_other_submission(one, first):
    given = grade.Grading(one.folder, "7")
    work = given.unit(given.submission("anna"))
    assert "gradebook" not in work.settings and "sqlite" not in f"{work}"
    assert "CourseDirectory" not in json.loads(work.settings)
    assert str(one.folder / "submitted") not in f"{work}"


def test_a_submission_that_was_given_up_scores_0_with_the_reason(one, first):
    given = grade.Grading(one.folder, "7")
    submission = given.submission("anna")
    checks = given.record(submission, grade.GivenUpError(GIVEN_UP))
    assert [check.earned for check in checks] == [0] * 5
    assert GIVEN_UP.rstrip(".") in checks[0].diagnosis
    one.grade("--again", "--only", "anna")
    assert one.scores() == EXPECTED


def test_the_table_of_a_class_is_that_of_its_graded_notebooks(one, first):
    given = grade.Grading(one.folder, "7")
    assert sum(check.earned for check in given.read("dirk")) == 9
    assert given.read("emma")[0].diagnosis.startswith("this check did not run: ")
