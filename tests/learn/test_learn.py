"""`python -m autograder learn`: the start page, the places that are refused, the server that is waited for."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell

from autograder import learn
from autograder.__main__ import main
from autograder.checking.progress_map import Exercise, Progress, read
from autograder.course import released
from autograder.learn import start
from autograder.learn.folder import PAGE, Folder


def lessons_of(states, tmp_path):
    """Return (lessons, Progress) of a learner; states is {exercise: state}."""
    found = [
        Exercise(one.lesson, one.name, states.get(one.name, "not yet"), one.points, one.points)
        for one in read().exercises
    ]
    progress = Progress(found)
    return start.lessons(Folder(tmp_path), progress), progress


def text(states, tmp_path):
    page = start.page(*lessons_of(states, tmp_path))
    nbformat.validate(page)
    return "\n".join(cell.source for cell in page.cells)


def test_who_is_new_is_shown_both_ways_in(tmp_path):
    words = text({}, tmp_path)
    assert "begins with [1. Encoder](01_encoder/encoder.ipynb)" in words
    assert "begins with [7. Scaled dot-product attention](07_scaled_dot_product_attention/" in words


def test_who_has_begun_is_shown_how_far_and_what_comes_next_on_each_route(tmp_path):
    solved = dict.fromkeys(["attention_scores", "FeedForward", "EncoderLayer", "Encoder"], "solved")
    words = text(solved | {"attention_weights": "tried"}, tmp_path)
    assert "**4 of " in words and "and earned " in words
    assert "**Begun:** [1. Encoder](01_encoder/encoder.ipynb) with `" in words
    assert "bottom-up, [7. Scaled dot-product attention](07_" in words and ") with `attention_weights`" in words
    assert "| ◐ 3 of 5 | [7. Scaled" in words and "| ◐ 1 of 5 |" in words


def test_who_has_solved_everything_is_sent_to_practice(tmp_path):
    everything = {one.name: "solved" for one in read().exercises}
    assert "Everything is solved." in text(everything, tmp_path) and "| ✓ 5 of 5 |" in text(everything, tmp_path)


def test_every_lesson_is_on_both_routes_and_every_link_leads_to_a_notebook(tmp_path):
    lessons, _ = lessons_of({}, tmp_path)
    assert sorted(start.BOTTOM_UP) == sorted(one.number for one in lessons if one.number is not None)
    assert all((released() / one.path).is_file() for one in lessons)
    assert all(f"]({one.path})" in one.link for one in lessons) and lessons[-1].number is None


def test_cells_that_a_learner_adds_to_the_start_page_stay(tmp_path):
    folder = Folder(tmp_path / "mine")
    list(folder.fill())
    start.write_page(folder)
    place = folder.path / PAGE
    page = nbformat.read(place, 4)
    page.cells.insert(1, new_markdown_cell("my own note"))
    nbformat.write(page, place)
    start.write_page(folder)
    assert [cell.source for cell in nbformat.read(place, 4).cells].count("my own note") == 1
    assert len(nbformat.read(place, 4).cells) == len(page.cells)
    place.write_text("a note and no notebook")
    start.write_page(folder)
    assert "a note and no notebook" in [path.read_text() for path in (folder.path / "earlier").rglob(PAGE)]


def test_the_course_itself_is_not_learned_in(capsys):
    for place in (released(), released() / "01_encoder", released().parent):
        assert main(["learn", str(place), "--no-lab"]) == 1
        assert "this is the course itself" in capsys.readouterr().err
    assert not (released() / PAGE).exists() and not (released().parent / PAGE).exists()


def test_a_place_that_cannot_be_a_folder_is_refused_with_a_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for place, said in (
        (tmp_path / "file", "this is a file"),
        (tmp_path / "file/below", "choose a folder"),
        ("9999", "--port="),
    ):
        assert main(["learn", str(place), "--no-lab"]) == 1
        assert said in capsys.readouterr().err


def test_another_projects_package_of_the_same_name_is_noticed_before_it_is_imported(monkeypatch, capsys, tmp_path):
    def version(name):
        if name == "workbench":
            return "0.8.506"
        raise PackageNotFoundError(name)

    monkeypatch.setattr(learn, "version", version)
    monkeypatch.setitem(sys.modules, "autograder.learn.start", None)
    assert main(["learn", str(tmp_path), "--no-lab"]) == 1
    said = capsys.readouterr().err
    assert "workbench 0.8.506" in said and "pip uninstall workbench" in said and not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="SIGTERM ends a process at once on Windows")
def test_the_server_shows_the_start_page_and_ends_with_the_command(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        "learn",
        "mine",
        "--no-browser",
        f"--port={port}",
        "--IdentityProvider.token=t",
        "--ServerApp.port_retries=0",
    ]
    places = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    with open(tmp_path / "log", "w") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "autograder", *words],
            cwd=tmp_path,
            stdout=log,
            stderr=log,
            env=os.environ | places,
            start_new_session=True,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            assert "tree/start.ipynb" in _ask(f"{address}/?token=t", running, tmp_path).url
            found = json.load(_ask(f"{address}/api/contents/start.ipynb?token=t&content=0", running, tmp_path))
            assert found["type"] == "notebook"
            running.send_signal(signal.SIGTERM)
            running.wait(60)
            with pytest.raises(OSError):
                urllib.request.urlopen(f"{address}/api", timeout=5)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()


def _ask(address, running, place):
    for _ in range(600):
        try:
            return urllib.request.urlopen(address, timeout=30)
        except urllib.error.HTTPError:
            raise
        except OSError:
            assert running.poll() is None, Path(place / "log").read_text()
            time.sleep(0.2)
    raise AssertionError(Path(place / "log").read_text())
