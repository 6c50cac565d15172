"""Grading again resets what a new submission replaces, and keeps what people gave to an answer that did not change."""

import json
import shutil

import pytest
from handed_in import FILE, autograde
from nbgrader_course import LESSON, MERGE, NOTEBOOK, Course, cell_of
from nbgrader_learners import WRONG, without

PENALTY = "c.LateSubmissionPlugin.penalty_method = 'zero'"


class Class:
    """One learner after another, each with points and comments from a person, and what happened then."""

    def __init__(self, root):
        self.course = Course(root, PENALTY).release()
        self.day = 1

    def submit(self, learner, why="Because it is.", without_checks=False, content=None, **answers):
        """Hand in and grade a notebook that is newer than the one before."""
        self.day += 1
        if content is None:
            content = self.course.answers(**answers)
            cell_of(content, "why").source = why
        if without_checks:
            content = without(content, "check_attention_scores", "check_merge_heads")
        self.course.submit(learner, content, timestamp=f"2026-01-{self.day:02d} 00:00:00 UTC")
        autograde(self.course, learner)

    def again(self, learner):
        """Grade what is there once more, as `nbgrader autograde --force` does."""
        assert self.course.api().autograde(LESSON, learner, force=True)["success"]

    def give(self, learner, name, points, extra=None):
        """Do what the formgrader does when somebody types points."""
        with self.course.gradebook() as book:
            grade = book.find_grade(name, NOTEBOOK, LESSON, learner)
            grade.manual_score, grade.extra_credit, grade.needs_manual_grade = points, extra, False
            book.db.commit()

    def say(self, learner, name, text):
        with self.course.gradebook() as book:
            book.find_comment(name, NOTEBOOK, LESSON, learner).manual_comment = text
            book.db.commit()

    def grade(self, learner, name):
        """Return (score, needs a person)."""
        with self.course.gradebook() as book:
            grade = book.find_grade(name, NOTEBOOK, LESSON, learner)
            return grade.score, grade.needs_manual_grade

    def total(self, learner):
        with self.course.gradebook() as book:
            submission = book.find_submission(LESSON, learner)
            return submission.score - sum(n.late_submission_penalty or 0 for n in submission.notebooks)

    def due(self, day):
        with self.course.gradebook() as book:
            book.update_or_create_assignment(LESSON, duedate=f"2026-01-{day:02d} 12:00:00 UTC")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return Class(tmp_path_factory.mktemp("course"))


def test_points_and_comment_for_a_written_answer_stay_while_it_is_as_it_was(people):
    people.submit("ada")
    assert people.grade("ada", "why") == (0, True)
    people.give("ada", "why", 2.5, extra=0.5)
    people.say("ada", "why", "Well put.")
    people.again("ada")
    assert people.grade("ada", "why") == (3, False)
    people.submit("ada", scores=WRONG)
    assert people.grade("ada", "why") == (3, False)
    assert people.course.comment("ada", "why") == "Well put."
    assert people.grade("ada", "check_attention_scores") == (0, False)


def test_points_for_a_written_answer_that_changed_are_reset_said_and_wait_for_a_person(people):
    people.submit("ben")
    people.give("ben", "why", 2.5, extra=0.5)
    people.say("ben", "why", "Well put.")
    people.submit("ben", why="On second thoughts: because.")
    assert people.grade("ben", "why") == (0, True)
    comment = people.course.comment("ben", "why")
    assert "2.5 of 3 and 0.5 extra points for why were given to an earlier submission and no longer count" in comment
    assert "Comment on an earlier submission: Well put." in comment
    # Nothing of it is lost when the same submission is graded once more.
    people.again("ben")
    assert people.course.comment("ben", "why") == comment


def test_points_that_a_person_gave_for_a_check_stay_while_all_code_is_as_it_was(people):
    people.submit("cay", scores=WRONG)
    people.give("cay", "check_attention_scores", 1.5)
    people.submit("cay", scores=WRONG, why="Another reason.")
    assert people.grade("cay", "check_attention_scores") == (1.5, False)
    people.submit("cay")
    assert people.grade("cay", "check_attention_scores") == (2, True)
    assert "1.5 of 2 points for check_attention_scores" in people.course.comment("cay", "attention_scores")


def test_a_check_that_was_deleted_keeps_no_old_score(people):
    people.submit("dov")
    assert people.total("dov") == 4
    people.submit("dov", scores=WRONG, merge=WRONG.replace("attention_scores", "merge_heads"), without_checks=True)
    assert people.total("dov") == 0
    people.submit("dov", without_checks=True)
    assert people.total("dov") == 4


def test_a_refused_submission_scores_0_and_says_why_whatever_people_gave_before(people):
    people.submit("eli")
    people.give("eli", "why", 3, extra=1)
    people.give("eli", "check_merge_heads", 0.5)
    people.say("eli", "why", "Well put.")
    people.submit("eli", content=b"{")
    assert people.total("eli") == 0
    assert people.grade("eli", "why") == (0, False)
    comment = people.course.comment("eli", "why")
    assert comment.startswith("The file ends in the middle of the notebook")
    assert "3 of 3 and 1 extra points for why were given to an earlier submission" in comment and "Well put." in comment
    # A person may take pity, and that stays.
    people.give("eli", "why", 1)
    people.again("eli")
    assert people.total("eli") == 1
    people.submit("eli")
    assert people.grade("eli", "check_attention_scores") == (2, False)
    assert people.grade("eli", "why") == (0, True)


def test_where_the_graded_notebook_is_gone_a_person_is_asked_and_nothing_is_lost(people):
    people.submit("fay")
    people.give("fay", "why", 2)
    people.say("fay", "why", "Well put.")
    shutil.rmtree(people.course.root / "autograded" / "fay")
    people.submit("fay", why="Something else.")
    assert people.grade("fay", "why") == (2, True)
    assert people.course.comment("fay", "why") == "Well put."


def test_a_graded_notebook_that_was_cut_off_is_as_good_as_gone(people):
    people.submit("gus")
    people.give("gus", "why", 2)
    notebook = people.course.root / "autograded" / "gus" / LESSON / FILE
    notebook.chmod(0o644)
    notebook.write_text(notebook.read_text()[:397])
    people.again("gus")
    assert people.grade("gus", "why") == (2, True)


def test_a_late_penalty_comes_with_a_late_submission_stays_when_graded_again_and_goes_with_it(people):
    people.submit("hal")
    people.due(people.day - 1)
    people.again("hal")
    assert people.total("hal") == 0
    people.give("hal", "why", 3)
    people.again("hal")
    # The penalty is the whole score, a person's points included.
    assert people.total("hal") == 0 and people.grade("hal", "why") == (3, False)
    people.due(people.day + 2)
    people.submit("hal", merge=MERGE + "\n")
    assert people.total("hal") == 7


def test_a_broken_time_does_not_hide_a_late_submission(people):
    people.due(2)
    people.submit("ivo")
    (people.course.root / "submitted" / "ivo" / LESSON / "timestamp.txt").write_text("in time")
    people.again("ivo")
    assert people.total("ivo") == 0


def test_the_feedback_says_what_is_not_graded_yet(people):
    people.submit("joy")
    assert people.course.api().generate_feedback(LESSON, "joy")["success"]
    assert "not graded yet, 3.0 points" in people.course.feedback("joy")
    people.give("joy", "why", 0)
    assert people.course.api().generate_feedback(LESSON, "joy", force=True)["success"]
    assert "not graded yet" not in people.course.feedback("joy")


def test_what_is_kept_for_the_next_time_is_json(people):
    people.submit("kim", content=b"")
    notes = people.course.autograded("kim").metadata.autograder
    assert json.loads(json.dumps(notes))["refused"] == "The file is empty."
