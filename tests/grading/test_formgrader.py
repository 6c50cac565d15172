"""The formgrader page and the Validate button answer over HTTP on the repository's settings."""

import re

import pytest
from nbgrader_course import LESSON, NOTEBOOK, OTHER_LESSON, SCORES, Course, cell_of
from nbgrader_learners import IN_PLACE
from nbgrader_server import Server


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    course = Course(tmp_path_factory.mktemp("course"))
    for other in ("mistakes", "alternatives", "__pycache__"):
        (course.root / "solutions" / other).mkdir()
    return course


@pytest.fixture(scope="module")
def server(course):
    server = Server(course)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def released(server, course):
    assert server.post(f"formgrader/api/assignment/{LESSON}/assign")["success"]
    return course


def test_the_formgrader_lists_the_lessons_and_nothing_else(server):
    assert {lesson["name"] for lesson in server.get("formgrader/api/assignments")} == {LESSON, OTHER_LESSON}


def test_the_formgrader_page_opens_and_shows_its_settings(server):
    page = server.request("formgrader/manage_assignments")
    assert "Current configuration" in page and "autograder.grading.scores.Score" in page


def test_the_formgrader_grades_a_submission_and_makes_its_feedback(server, released):
    released.submit("half", released.answers(scores=IN_PLACE))
    released.submit("broken", b"{")
    for learner, score in (("half", 3), ("broken", 0)):
        assert server.post(f"formgrader/api/submission/{LESSON}/{learner}/autograde")["success"]
        assert server.get(f"formgrader/api/submission/{LESSON}/{learner}")["score"] == score
        assert server.post(f"formgrader/api/assignment/{LESSON}/{learner}/generate_feedback")["success"]
    assert "arguments changed in place" in released.feedback("half")
    assert "upload was cut off" in released.feedback("broken")


def test_the_formgrader_shows_a_graded_submission(server, released):
    notebook = server.get(f"formgrader/api/submitted_notebooks/{LESSON}/{NOTEBOOK}")[0]
    page = server.request(f"formgrader/submissions/{notebook['id']}/")
    assert re.search("attention_scores: |upload was cut off", page)


@pytest.mark.parametrize(
    ("scores", "failed"), [(SCORES, 0), ("def attention_scores(query, key):\n    raise NotImplementedError\n", 1)]
)
def test_validate_says_which_check_fails(server, released, scores, failed):
    submission = released.answers(scores)
    # Validate takes an unanswered question for a failure, too.
    cell_of(submission, "why").source = "Because it is."
    released.write(submission, "mine")
    result = server.post("assignments/validate", {"path": "mine.ipynb"})
    assert result["success"]
    failing = [cell["source"] for cell in result["value"].get("failed", [])]
    assert failing == ["check(attention_scores).grade()"] * failed
