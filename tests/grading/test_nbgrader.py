"""nbgrader's own commands grade a class: release, autograde, feedback and export, on the repository's settings."""

import json
import os
from pathlib import Path

import pytest
from nbgrader_course import LESSON, NOTEBOOK, OTHER_LESSON, REPOSITORY, Course, cell_of
from nbgrader_learners import UNREADABLE, WRONG, executed, from_other_lesson, without
from traitlets.config import PyFileConfigLoader

from autograder.intake.arrivals import AutogradeAll

SHORT = """
c.Execute.timeout = 5
c.RunAnswers.check_seconds = 2
c.Execute.iopub_timeout = 2
c.RunAnswers.max_output = 20_000
c.SubmissionExporter.max_bytes = 300_000
"""


class Graded:
    """The class after nbgrader's commands, and what was handed in before them."""

    def __init__(self, root):
        self.course = course = Course(root, SHORT)
        course.nbgrader("generate_assignment", LESSON)
        course.release(OTHER_LESSON)
        for learner, submission in executed(course).items():
            course.submit(learner, submission)
        for learner, (content, _) in UNREADABLE.items():
            course.submit(learner, content)
        course.submit("other_lesson", from_other_lesson(course))
        course.submit("misnamed", course.answers(), name="<b>mine.ipynb")
        course.submit("shadows", course.answers(scores=WRONG))
        course.submit("shadows", b"print(1/0)\n", name="torch.py")
        course.submit("linked", b"", name="notes.txt")
        course.submit("nothing", b"my answer is 4", name="answers.txt")
        solved = course.root / "solutions" / "notebooks" / LESSON / f"{NOTEBOOK}.ipynb"
        (course.root / "submitted" / "linked" / LESSON / f"{NOTEBOOK}.ipynb").symlink_to(solved)
        self.handed_in = self.submitted()
        self.log = course.nbgrader("autograde", LESSON)
        course.nbgrader("generate_feedback", LESSON)
        course.nbgrader("export")

    def submitted(self):
        files = sorted(p for p in (self.course.root / "submitted").rglob("*") if p.is_file())
        return {path: path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    return Graded(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="module")
def course(graded):
    return graded.course


def points(course, learner):
    scores = course.scores(learner)
    return scores["check_attention_scores"], scores["check_merge_heads"]


@pytest.mark.parametrize(
    ("learner", "expected"),
    [
        ("right", (2, 2)),
        ("half", (1, 2)),
        ("unsolved", (0, 0)),
        ("warns", (2, 2)),
        ("tampered", (0, 2)),
        ("copied", (2, 2)),
        ("deleted", (0, 2)),
        ("own_cells", (2, 2)),
        ("without_metadata", (2, 2)),
        ("raises", (2, 0)),
        ("endless", (2, 0)),
        ("stubborn", (2, 2)),
        ("dies", (2, 0)),
        ("dies_in_a_cell", (0, 2)),
        ("floods", (2, 2)),
        ("odd_output", (2, 2)),
        ("shadows", (0, 2)),
        ("misnamed", (2, 2)),
    ],
)
def test_a_submission_earns_what_its_answers_earn(course, learner, expected):
    assert points(course, learner) == expected


@pytest.mark.parametrize(
    ("learner", "reason"),
    [
        *[(learner, reason) for learner, (_, reason) in UNREADABLE.items()],
        ("other_lesson", f"This notebook belongs to lesson {OTHER_LESSON}, not to {LESSON}."),
        ("nothing", f"No file named {NOTEBOOK}.ipynb was handed in. Handed in instead: answers.txt."),
        ("linked", "is a link"),
    ],
)
def test_what_cannot_be_graded_scores_0_with_the_reason(course, learner, reason):
    assert set(course.scores(learner).values()) == {0}
    assert reason in course.said(learner, "check_attention_scores")
    assert reason in course.said(learner, "check_merge_heads")
    assert reason in course.comment(learner, "attention_scores")
    assert reason in course.feedback(learner)


def test_what_was_handed_in_stays_as_it_was(graded):
    assert graded.submitted() == graded.handed_in


@pytest.mark.parametrize(
    ("learner", "check", "reason"),
    [
        ("endless", "check_merge_heads", "did not return"),
        ("dies", "check_merge_heads", "The Python process that ran your code ended"),
        ("dies_in_a_cell", "check_attention_scores", "attention_scores is not defined"),
        ("raises", "check_merge_heads", "raised KeyError: &#x27;no such head&#x27;"),
    ],
)
def test_a_check_without_points_says_why(course, learner, check, reason):
    assert reason in course.said(learner, check)


@pytest.mark.parametrize(
    ("learner", "source", "reason"),
    [
        ("stubborn", "sum(range", "left out of the rest of the run: it did not finish and could not be interrupted"),
        ("dies_in_a_cell", "filter(None", "left out of the rest of the run: the Python process ended in it"),
    ],
)
def test_a_cell_that_stops_its_process_is_left_out_and_says_so(course, learner, source, reason):
    cell = next(cell for cell in course.autograded(learner).cells if source in cell.source)
    assert reason in "".join(output.get("text", "") for output in cell.outputs)
    assert reason in course.feedback(learner)


def test_diagnosis_and_partial_credit_are_both_in_the_feedback(course):
    page = course.feedback("half")
    assert "arguments changed in place" in page
    assert "Score: 1.0 / 2.0" in page


def test_a_warning_costs_nothing(course):
    assert "right" in course.said("warns", "check_attention_scores")


def test_what_a_learner_prints_is_text_in_the_feedback(course):
    assert "<script>alert(1)" not in course.feedback("warns")
    assert "alert(1)" in course.feedback("warns")


def test_too_much_output_is_cut_off(course):
    cell = next(cell for cell in course.autograded("floods").cells if "flood" in cell.source)
    said = "".join(output.get("text", "") for output in cell.outputs)
    assert len(said) < 30_000 and "left out, because there was too much" in said


def test_a_demonstration_runs_only_where_a_learner_uses_a_name_from_it(course):
    shown = {
        learner: next(cell for cell in course.autograded(learner).cells if cell.id == "demo-1").outputs
        for learner in ("right", "shows_a_demonstration")
    }
    assert shown["right"] == []
    assert shown["shows_a_demonstration"][0].text == "a demonstration\n"


def test_each_check_is_in_the_graded_notebook_once_as_it_was_released(course):
    released, rebuilt = course.released(), course.autograded("tampered")
    for name in ("check_attention_scores", "check_merge_heads"):
        checks = [c for c in rebuilt.cells if c.metadata.get("nbgrader", {}).get("grade_id") == name]
        assert [c.source for c in checks] == [cell_of(released, name).source]
        assert checks[0].metadata.nbgrader == cell_of(released, name).metadata.nbgrader
        assert [o.output_type for o in checks[0].outputs].count("execute_result") == 1
    assert rebuilt.metadata.kernelspec.name == "python3"


def test_a_copied_answer_says_which_copy_counts(graded, course):
    assert "appeared 2 times. The last one counts" in course.comment("copied", "attention_scores")
    assert "appeared 2 times. The last one counts" in course.feedback("copied")
    assert "appeared 2 times. The last one counts" in graded.log


def test_a_deleted_answer_counts_as_not_solved(course):
    assert "missing" in course.comment("deleted", "attention_scores")
    assert course.scores("deleted")["why"] == 0
    released = cell_of(course.released(), "attention_scores").source
    assert cell_of(course.autograded("deleted"), "attention_scores").source == released and "YOUR CODE" in released


def test_own_cells_stay_where_the_learner_put_them(course):
    sources = [cell.source for cell in course.autograded("own_cells").cells]
    assert [sources.index(source) for source in ("ROOT = 0.5", "my own note")] == [3, 5]


def test_the_export_has_every_learner_who_handed_in_anything(course):
    totals = {row["student_id"]: float(row["score"]) for row in course.exported() if row["assignment"] == LESSON}
    assert totals["right"] == 4 and totals["half"] == 3 and totals["broken"] == 0
    assert set(os.listdir(course.root / "submitted")) == set(totals)


def test_a_new_submission_replaces_the_score_of_the_old_one(course):
    course.submit("again", course.answers())
    grade(course, "again")
    assert points(course, "again") == (2, 2)
    submission = without(course.answers(scores=WRONG), "check_attention_scores", "check_merge_heads", "merge_heads")
    course.submit("again", submission, timestamp="2026-01-02 00:00:00 UTC")
    grade(course, "again")
    assert points(course, "again") == (0, 0)
    course.submit("again", b"", timestamp="2026-01-03 00:00:00 UTC")
    grade(course, "again")
    assert "file is empty" in course.comment("again", "attention_scores")


def test_a_written_answer_waits_for_a_person(course):
    submission = course.answers()
    cell_of(submission, "why").source = "Because it is."
    course.submit("writes", submission)
    grade(course, "writes")
    assert course.scores("writes")["why"] is None


def test_a_folder_without_a_notebook_scores_0_with_the_reason(course):
    coursedir = course.coursedir(assignment_id=LESSON, student_id="nothing")
    AutogradeAll(coursedir=coursedir, config=course.settings()).start()
    assert course.api().generate_feedback(LESSON, "nothing")["success"]
    assert set(course.scores("nothing").values()) == {0}
    assert "Handed in instead: answers.txt" in course.feedback("nothing")


def test_a_lesson_that_was_not_released_is_refused(tmp_path):
    course = Course(tmp_path).release()
    course.submit("right", course.answers())
    Path(tmp_path, "course", LESSON, f"{NOTEBOOK}.ipynb").unlink()
    result = course.api().autograde(LESSON, "right")
    assert not result["success"]
    assert "There is no released notebook" in result["log"]
    assert f"run `nbgrader generate_assignment {LESSON}` first" in result["log"]


def test_python_beside_the_notebook_is_not_published(tmp_path):
    course = Course(tmp_path)
    for name in ("attention.py", "picture.svg"):
        (tmp_path / "solutions" / "notebooks" / LESSON / name).write_text("x")
    course.release()
    assert sorted(os.listdir(tmp_path / "course" / LESSON)) == ["attention.ipynb", "picture.svg"]


def test_the_configuration_can_be_shown_as_json():
    # The formgrader's first page does.
    json.dumps(PyFileConfigLoader("nbgrader_config.py", path=str(REPOSITORY)).load_config())


def grade(course, learner):
    result = course.api().autograde(LESSON, learner)
    assert result["success"], result
