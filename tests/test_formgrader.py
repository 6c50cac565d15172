"""The formgrader page and the Validate button answer over HTTP on the repository's settings."""

import json
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from nbgrader_course import LESSON, NOTEBOOK, OTHER_LESSON, SCORES, Course, cell_of
from nbgrader_learners import IN_PLACE


class Server:
    """A Jupyter server on this machine, started in the course folder; installing nbgrader enabled its pages."""

    def __init__(self, course):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.token = secrets.token_hex(16)
        options = {
            "ip": "127.0.0.1",
            "port": self.port,
            "root_dir": course.root,
            "open_browser": False,
            "allow_root": True,
        }
        self.log = open(course.root / "server.log", "w")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyter_server",
                f"--IdentityProvider.token={self.token}",
                *[f"--ServerApp.{name}={value}" for name, value in options.items()],
            ],
            cwd=course.root,
            env=course.environment(),
            stdout=self.log,
            stderr=self.log,
        )
        self._wait()

    def _wait(self):
        for _ in range(300):
            try:
                self.get("api/status")
                return
            except urllib.error.URLError:
                assert self.process.poll() is None, open(self.log.name).read()
                time.sleep(0.2)
        raise AssertionError(open(self.log.name).read())

    def request(self, path, data=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", data)
        request.add_header("Authorization", f"token {self.token}")
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.read().decode()

    def get(self, path):
        return json.loads(self.request(path))

    def post(self, path, data=None):
        return json.loads(self.request(path, urllib.parse.urlencode(data or {}).encode()))

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


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
    assert "JSON is broken" in released.feedback("broken")


def test_the_formgrader_shows_a_graded_submission(server, released):
    notebook = server.get(f"formgrader/api/submitted_notebooks/{LESSON}/{NOTEBOOK}")[0]
    page = server.request(f"formgrader/submissions/{notebook['id']}/")
    assert re.search("attention_scores: |JSON is broken", page)


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
