"""A bar is for somebody who waits: notebooks that run by themselves, and files, get nothing."""

import io
import sys
import types

import pytest

from autograder import progress_bar


class Shell:
    """What IPython tells of itself, and what is displayed in it."""

    def __init__(self, asks):
        self.kernel, self.shown = types.SimpleNamespace(_allow_stdin=asks), []


@pytest.fixture
def shell(monkeypatch):
    def begin(asks):
        found = Shell(asks)
        monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: found)
        handle = types.SimpleNamespace(update=lambda html: found.shown.append(html.data))

        def display(html, display_id):
            found.shown.append(html.data)
            return handle

        monkeypatch.setattr("IPython.display.display", display)
        return found

    __import__("IPython.display")
    return begin


def work(after):
    with progress_bar.shown_to_someone("Checking", after=after) as tell:
        for done in range(3):
            tell(done, 3)


def test_whoever_can_be_asked_sees_a_bar_that_vanishes(shell):
    somebody = shell(asks=True)
    work(after=-1.0)
    assert len(somebody.shown) == 5 and "2 of 3" in somebody.shown[3] and somebody.shown[-1] == ""


def test_a_notebook_that_runs_by_itself_shows_nothing(shell, capsys):
    nobody = shell(asks=False)
    work(after=-1.0)
    assert nobody.shown == [] and capsys.readouterr() == ("", "")


def test_what_is_short_shows_nothing(shell):
    somebody = shell(asks=True)
    work(after=60.0)
    assert somebody.shown == []


def test_outside_a_notebook_a_terminal_gets_a_bar_and_a_file_nothing(monkeypatch):
    for terminal in (True, False):
        stream = io.StringIO()
        stream.isatty = lambda terminal=terminal: terminal
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        work(after=-1.0)
        assert ("Checking" in stream.getvalue()) == terminal
