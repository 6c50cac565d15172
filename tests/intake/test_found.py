"""Answers are found: whatever the file is called, whatever saved it, and wherever in it they stand."""

import errno
import json
import os
import re
import time
import zipfile
from base64 import b64encode
from types import SimpleNamespace

import nbformat
import pytest
from graded import officially
from lessons import REPOSITORY, read
from nbformat.v4 import new_notebook
from nbgrader.converters.base import NbGraderException
from sandboxes import need_bubblewrap

from autograder.intake import content
from autograder.intake.arrivals import read_arrival
from autograder.intake.earlier import handed_in
from autograder.intake.folder import Limits, UnreachableError
from autograder.intake.notebook import LearnerCell
from autograder.intake.rebuild import NOTES, Rebuild, merge

LESSON = read("scaled_dot_product_attention")
FILE = f"{LESSON.name}.ipynb"
PATH = REPOSITORY / "course" / LESSON.folder / FILE
MARKERS = re.compile(r"^ *### (BEGIN|END) SOLUTION\n?", re.MULTILINE)
ANSWERS = {name: MARKERS.sub("", exercise.source).strip() for name, exercise in LESSON.exercises.items()}
QUESTION, WRITTEN = "why_scale", "Without the scale the softmax saturates, and its gradient vanishes."
PNG = b64encode(b"\x89PNG\r\n\x1a\n" + bytes(97)).decode()


def blank():
    return json.loads(PATH.read_text(encoding="utf-8"))


def name_of(cell):
    return cell["metadata"].get("nbgrader", {}).get("grade_id")


def source_of(cell):
    return "".join(cell["source"])


def cell_of(made, name):
    return next(cell for cell in made["cells"] if name_of(cell) == name)


def solved(written=WRITTEN):
    """Return the lesson's notebook as a learner saves it, with all answers."""
    made = blank()
    for name, source in ANSWERS.items():
        cell_of(made, name)["source"] = source
    question = cell_of(made, QUESTION)
    question["source"] = source_of(question).replace("YOUR ANSWER HERE", written)
    return made


def new(source, kind="code", **more):
    new.count += 1
    made = {"cell_type": kind, "id": f"new-{new.count}", "metadata": {}, "source": source} | more
    return made | ({"outputs": [], "execution_count": None} if kind == "code" else {})


new.count = 0


# What editors make of the lesson's notebook


def each(change, made=None):
    made = made or solved()
    for cell in made["cells"]:
        change(cell)
    return made


def minor_4(made):
    """VS Code, Colab and many others save format 4.4, which has no ids."""
    made["nbformat_minor"] = 4
    return each(lambda cell: cell.pop("id", None), made)


def colab():
    def change(cell):
        cell["metadata"] |= {"id": "kX3fQ1pLwz7a"}
        if cell["cell_type"] == "code":
            cell["metadata"] |= {"colab": {"base_uri": "https://localhost:8080/"}, "outputId": "a8"}

    made = minor_4(each(change))
    made["nbformat_minor"] = 0
    made["metadata"] |= {"colab": {"provenance": []}, "kernelspec": {"name": "python3", "display_name": "Python 3"}}
    return made


def deepnote():
    """Deepnote drops nbgrader's metadata, writes its own, and gives each cell a new id."""

    def change(cell):
        cell["id"] = cell["metadata"]["cell_id"] = f"{len(cell['source']):032x}"
        cell["metadata"].pop("nbgrader", None)
        cell["metadata"]["deepnote_cell_type"] = "code" if cell["cell_type"] == "code" else "markdown"
        cell["source"] = source_of(cell).rstrip()

    return each(change)


def no_metadata(made=None):
    return each(lambda cell: cell.update(metadata={}), made)


def new_ids():
    return each(lambda cell: cell.update(id=new("")["id"]))


def jupytext_light():
    """Through a text and back: no metadata, no ids, and the text of a cell is one string."""
    made = minor_4(no_metadata())
    return each(lambda cell: cell.update(source=source_of(cell).strip()), made)


EDITORS = {
    "JupyterLab": solved,
    "Colab": colab,
    "VS Code": lambda: minor_4(solved()),
    "VS Code, ids kept, metadata gone": no_metadata,
    "new ids, metadata kept": new_ids,
    "Deepnote": deepnote,
    "ids and metadata gone": lambda: minor_4(no_metadata()),
    "jupytext": jupytext_light,
}


# Where people write


def moved(place):
    """Return the notebook with all answers in new cells, whose place among the cells a function tells."""
    made = blank()
    question = cell_of(made, QUESTION)
    question["source"] = source_of(question).replace("YOUR ANSWER HERE", WRITTEN)
    for name, source in ANSWERS.items():
        made["cells"].insert(place(made["cells"], name), new(source))
    return made


def index_of(cells, name):
    return next(index for index, cell in enumerate(cells) if name_of(cell) == name)


def merged(place, join="\n\n"):
    """Return the notebook with all answers in one new cell."""
    made = blank()
    made["cells"].insert(place(made["cells"]), new(join.join(ANSWERS.values())))
    cell_of(made, QUESTION)["source"] = solved_question()
    return made


def solved_question():
    return source_of(cell_of(solved(), QUESTION))


def merged_by_jupyterlab():
    """Merge cells keeps the first cell's metadata and id, and the others are gone."""
    made = solved()
    first = cell_of(made, next(iter(ANSWERS)))
    first["source"] = "\n\n".join(ANSWERS.values())
    made["cells"] = [cell for cell in made["cells"] if cell is first or name_of(cell) not in ANSWERS]
    return made


def turned(kind, write=lambda source: source):
    def change(cell):
        if name_of(cell) in ANSWERS:
            cell.pop("outputs"), cell.pop("execution_count")
            cell.update(cell_type=kind, source=write(source_of(cell)))

    return each(change)


def fenced(source):
    return f"Here is mine:\n\n```python\n{source}\n```\n"


def beside(kind, write=lambda source: source):
    made = blank()
    cell_of(made, QUESTION)["source"] = solved_question()
    for name, source in ANSWERS.items():
        made["cells"].insert(index_of(made["cells"], f"check_{name}") + 1, new(write(source), kind))
    return made


def in_the_check():
    made = blank()
    cell_of(made, QUESTION)["source"] = solved_question()
    for name, source in ANSWERS.items():
        check = cell_of(made, f"check_{name}")
        check["source"] = f"{source}\n\n{source_of(check)}"
    return made


def error_left_below():
    made = solved()
    for name, source in ANSWERS.items():
        cell_of(made, name)["source"] = f'{source}\n    raise NotImplementedError("this exercise is not solved yet")'
    return made


def stub_pasted_below():
    made, empty = solved(), blank()
    for name in ANSWERS:
        copy = json.loads(json.dumps(cell_of(empty, name)))
        made["cells"].insert(index_of(made["cells"], name) + 1, copy)
    return made


def deleted_and_written_anew():
    made = blank()
    cell_of(made, QUESTION)["source"] = solved_question()
    for name, source in ANSWERS.items():
        made["cells"][index_of(made["cells"], name)] = new(source)
    return made


def timed():
    made = moved(lambda cells, name: len(cells))
    for cell in made["cells"][-len(ANSWERS) :]:
        cell["source"] = f"%%time\n{cell['source']}"
    return made


PLACES = {
    "below the exercise": lambda: moved(lambda cells, name: index_of(cells, name) + 1),
    "above the exercise": lambda: moved(lambda cells, name: index_of(cells, name)),
    "below the check": lambda: moved(lambda cells, name: index_of(cells, f"check_{name}") + 1),
    "all at the end": lambda: moved(lambda cells, name: len(cells)),
    "all at the top": lambda: moved(lambda cells, name: 0),
    "in one cell at the end": lambda: merged(len),
    "in one cell at the top": lambda: merged(lambda cells: 0),
    "merged by JupyterLab": merged_by_jupyterlab,
    "in the check cell": in_the_check,
    "in place of the exercise": deleted_and_written_anew,
    "turned into raw cells": lambda: turned("raw"),
    "turned into markdown": lambda: turned("markdown"),
    "turned into fenced markdown": lambda: turned("markdown", fenced),
    "in new raw cells": lambda: beside("raw"),
    "in new markdown cells": lambda: beside("markdown", fenced),
    "below the exercise, without ids and metadata": lambda: minor_4(no_metadata(PLACES["below the exercise"]())),
    "all at the end, without ids and metadata": lambda: minor_4(no_metadata(PLACES["all at the end"]())),
    "merged, without ids and metadata": lambda: minor_4(no_metadata(merged_by_jupyterlab())),
    "the skeleton's error left below": error_left_below,
    "the skeleton pasted below": stub_pasted_below,
    "under a line of IPython's": timed,
}


# How the file is written


def text(made, **more):
    return json.dumps(made, indent=1, ensure_ascii=False, **more)


def format_3(made):
    """Return the notebook as IPython 2 wrote it."""

    def old(cell):
        if cell["cell_type"] != "code":
            return {"cell_type": cell["cell_type"], "metadata": cell["metadata"], "source": cell["source"]}
        about = {"cell_type": "code", "metadata": cell["metadata"], "language": "python", "collapsed": False}
        return about | {"input": cell["source"], "outputs": [], "prompt_number": 7}

    sheets = [{"cells": [old(cell) for cell in made["cells"]], "metadata": {}}]
    return {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": sheets}


def with_outputs(made, size):
    picture = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "A" * (size // 20)}}
    for cell in [cell for cell in made["cells"] if cell["cell_type"] == "code"][:20]:
        cell["outputs"] = [picture]
    return made


ENCODINGS = {
    "UTF-16": lambda: text(solved()).encode("utf-16"),
    "UTF-16 without its mark": lambda: text(solved()).encode("utf-16-le"),
    "UTF-8 with its mark": lambda: text(solved()).encode("utf-8-sig"),
    "Latin-1": lambda: text(solved(f"{WRITTEN} Das heißt: Größe.")).encode("cp1252", "replace"),
    "CRLF": lambda: text(solved()).replace("\n", "\r\n").encode(),
    "CRLF in the cells": lambda: text(each(lambda c: c.update(source=source_of(c).replace("\n", "\r\n")))).encode(),
    "14 MB of outputs": lambda: text(with_outputs(solved(), 14_000_000)).encode(),
    "40 MB of outputs": lambda: text(with_outputs(solved(), 40_000_000)).encode(),
    "format 3": lambda: text(format_3(solved())).encode(),
}


def rebuilding(root, assignment, notebook, arrival):
    """Return the first step of autograde on the lessons that were released in a folder."""
    step = Rebuild()
    step.config.CourseDirectory.root = str(root)
    step.config.CourseDirectory.release_directory = "course"
    names = {"student": "ada", "assignment": assignment, "notebook": notebook}
    return step, new_notebook(), {"nbgrader": names, "arrival": arrival}


class Desk:
    """A learner's submission, and what becomes of it."""

    def __init__(self, root):
        self.root = root / "submitted"
        self.folder = self.root / "ada" / LESSON.folder
        self.folder.mkdir(parents=True)

    def put(self, name, made, time=None):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made if isinstance(made, bytes) else text(made).encode())
        if time:
            os.utime(path, (time, time))
        return path

    def arrival(self, limits=None):
        released = nbformat.read(PATH, 4).cells
        return read_arrival(str(self.folder / FILE), limits, str(self.root), released)

    def rebuilt(self):
        step, *given = rebuilding(REPOSITORY, LESSON.folder, LESSON.name, self.arrival())
        made, _ = step.preprocess(*given)
        nbformat.validate(made)
        return made


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def assert_found(made, written=True):
    assert "refused" not in made.metadata[NOTES], made.metadata[NOTES]
    for name, source in ANSWERS.items():
        assert source in cell_of(made, name).source, name
        assert [cell.cell_type for cell in made.cells if name_of(cell) == name] == ["code"]
    assert not written or WRITTEN in cell_of(made, QUESTION).source
    assert_released(made)
    assert_runs_as_found(made)


def assert_released(made):
    """What is not the learner's is byte for byte as it was released."""
    released = nbformat.read(PATH, 4)
    kept = [cell for cell in made.cells if not cell.id.startswith("learner-")]
    assert [cell.id for cell in kept] == [cell.id for cell in released.cells]
    for mine, theirs in zip(kept, released.cells, strict=True):
        assert (mine.cell_type, mine.metadata) == (theirs.cell_type, theirs.metadata)
        if name_of(theirs) not in (*ANSWERS, QUESTION):
            assert mine.source == theirs.source


def assert_runs_as_found(made):
    """Nothing that is run between an answer and its check undoes it."""
    for name in ANSWERS:
        start, end = index_of(made.cells, name), index_of(made.cells, f"check_{name}")
        between = [cell.source for cell in made.cells[start + 1 : end] if cell.cell_type == "code"]
        assert not any("not solved yet" in source for source in between), (name, between)


@pytest.mark.parametrize("editor", EDITORS)
def test_every_editor_keeps_the_answers(desk, editor):
    desk.put(FILE, EDITORS[editor]())
    made = desk.rebuilt()
    assert_found(made)
    assert not [cell.source for cell in made.cells if cell.id.startswith("learner-")]
    assert made.metadata[NOTES] == {"comments": {}}


@pytest.mark.parametrize("place", PLACES)
def test_an_answer_is_found_wherever_it_stands(desk, place):
    desk.put(FILE, PLACES[place]())
    assert_found(desk.rebuilt())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_notebook_is_read_however_it_is_written(desk, encoding):
    desk.put(FILE, ENCODINGS[encoding]())
    assert_found(desk.rebuilt())


NAMES = [
    f"{LESSON.name} (1).ipynb",
    f"{LESSON.name}-Copy1.ipynb",
    f"{LESSON.name}-1.ipynb",
    f"{LESSON.name.upper()}.IPYNB",
    "Jane homework 7.ipynb",
    f"week 7/{FILE}",
    f"{FILE}.txt",
    f"{FILE}.json",
    f"{LESSON.name}.txt",
    "answers",
]


@pytest.mark.parametrize("name", NAMES)
def test_the_only_notebook_is_graded_whatever_its_name_and_it_is_said(desk, name):
    desk.put(name, solved())
    desk.put("timestamp.txt", b"2026-01-01 00:00:00 UTC")
    desk.put("notes.md", b"# my notes")
    made = desk.rebuilt()
    assert_found(made)
    assert made.metadata[NOTES]["taken"] == f"{name} was graded: no other notebook was handed in."


def test_an_unsolved_original_does_not_hide_the_solved_copy_beside_it(desk):
    desk.put(FILE, blank(), time=2_000_000_000)
    desk.put(f"{LESSON.name} (1).ipynb", solved(), time=1_000_000_000)
    made = desk.rebuilt()
    assert_found(made)
    said = f"{LESSON.name} (1).ipynb was graded: of the 2 notebooks that were handed in it is the one that has answers."
    assert made.metadata[NOTES]["taken"] == f"{said} Not graded: {FILE}."


@pytest.mark.parametrize(("times", "taken"), [((1, 2), "b.ipynb"), ((2, 1), FILE), ((5, 5), FILE)])
def test_of_several_with_answers_the_newest_is_graded_and_it_is_said(desk, times, taken):
    desk.put(FILE, solved(), time=times[0] * 1_000_000)
    desk.put("b.ipynb", solved(), time=times[1] * 1_000_000)
    assert desk.rebuilt().metadata[NOTES]["taken"].startswith(f"{taken} was graded: of the 2 notebooks")


def test_another_lessons_newer_notebook_and_a_damaged_one_are_passed_over(desk):
    desk.put(FILE, b'{"cells": [', time=1_000_000)
    desk.put("mine.ipynb", solved(), time=2_000_000)
    other = REPOSITORY / "course" / "08_multi_head_attention" / "multi_head_attention.ipynb"
    desk.put("other.ipynb", other.read_bytes(), time=3_000_000)
    desk.put(".ipynb_checkpoints/x-checkpoint.ipynb", blank(), time=4_000_000)
    assert_found(desk.rebuilt())


def zipped(*members):
    def write(path):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, made in members:
                archive.writestr(name, made if isinstance(made, bytes) else text(made))

    return write


@pytest.mark.parametrize("name", ["homework.zip", FILE])
def test_a_notebook_is_found_in_a_zip_in_memory(desk, name):
    zipped((f"hw/{FILE}", solved()), ("__MACOSX/hw/._x.ipynb", b"\0"), ("hw/data.csv", b"1"))(desk.folder / name)
    made = desk.rebuilt()
    assert_found(made)
    assert made.metadata[NOTES]["taken"].startswith(f"{name}/hw/{FILE} was graded")
    assert os.listdir(desk.folder) == [name]


def test_a_hard_link_is_read_as_the_file_that_it_is(desk, tmp_path):
    os.link(desk.put(FILE, solved()), tmp_path / "backup.ipynb")
    made = desk.rebuilt()
    assert_found(made)
    assert "taken" not in made.metadata[NOTES]


# What is no notebook


def conflict():
    lines = text(solved()).split("\n")
    lines[7:8] = ["<<<<<<< HEAD", lines[7], "=======", lines[7], ">>>>>>> origin/main"]
    return "\n".join(lines).encode()


REFUSED = {
    "merge-conflict markers": (FILE, conflict, "has merge-conflict markers of git in it"),
    "a .py export": (
        f"{LESSON.name}.py",
        lambda: b"#!/usr/bin/env python\n# coding: utf-8\n\n# In[1]:\n\nimport torch\n",
        f"{LESSON.name}.py is Python code that was exported, not a notebook",
    ),
    "a .py export under a notebook's name": (FILE, lambda: b"# %%\nimport torch\n", "is Python code that was exported"),
    "HTML": (
        f"{LESSON.name}.html",
        lambda: b"<!DOCTYPE html>\n<html><head><title>x</title></head>" + b"<p>1</p>" * 40_000,
        f"{LESSON.name}.html is a web page (HTML), not a notebook",
    ),
    "a page for signing in": (
        FILE,
        lambda: b'\n<!doctype html><html><body><form><input type="password"></form></body></html>',
        "is a page for signing in, which was saved in the place of the notebook",
    ),
    "PDF": (f"{LESSON.name}.pdf", lambda: b"%PDF-1.7\n\xe2\xe3" + bytes(900), f"{LESSON.name}.pdf is a PDF"),
    "a PDF under a notebook's name": (FILE, lambda: b"%PDF-1.7\n", "The file is a PDF"),
    "an upload that was cut off": (FILE, lambda: text(solved()).encode()[:9_000], "its upload was cut off"),
    "an empty file": (FILE, lambda: b"", "The file is empty"),
    "a shortcut": (FILE, lambda: b"[InternetShortcut]\r\nURL=https://example.org/", "is a link to another place"),
    "a photo": ("photo.jpg", lambda: b"\xff\xd8\xff\xe0" + bytes(400), "photo.jpg is not text"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_notebook_is_called_by_its_name(desk, what):
    name, make, reason = REFUSED[what]
    desk.put(name, make())
    assert reason in desk.arrival().refused
    assert ("No file named" in desk.arrival().refused) == (name != FILE)


@pytest.mark.parametrize("share", [i / 23 for i in range(1, 23)])
def test_an_upload_is_known_to_be_cut_off_wherever_it_was(desk, share):
    whole = text(solved()).encode()
    desk.put(FILE, whole[: int(share * len(whole))])
    assert "its upload was cut off" in desk.arrival().refused


def test_a_small_limit_on_bytes_holds(desk):
    desk.put(FILE, solved())
    assert "is larger than 0.007 MB" in desk.arrival(Limits(notebook_bytes=7_000)).refused


# Written answers


def answered(*cells, at=1):
    made = blank()
    for name, source in ANSWERS.items():
        cell_of(made, name)["source"] = source
    place = index_of(made["cells"], QUESTION)
    made["cells"][place + at : place + at] = cells
    return made


BESIDE = {
    "a new markdown cell below": lambda: answered(new(WRITTEN, "markdown")),
    "a new markdown cell above": lambda: answered(new(WRITTEN, "markdown"), at=0),
    "a new raw cell": lambda: answered(new(WRITTEN, "raw")),
    "a new code cell": lambda: answered(new(WRITTEN)),
    "a code cell with a comment": lambda: answered(new(f"# {WRITTEN}")),
    "a code cell with a text": lambda: answered(new(f'"""{WRITTEN}"""')),
    "without ids and metadata": lambda: minor_4(no_metadata(answered(new(WRITTEN, "markdown")))),
}


@pytest.mark.parametrize("where", BESIDE)
def test_a_written_answer_beside_its_question_is_put_below_it(desk, where):
    desk.put(FILE, BESIDE[where]())
    made = desk.rebuilt()
    assert_found(made)
    source = cell_of(made, QUESTION).source
    assert source.startswith("In notes on transformers you may read") and "YOUR ANSWER HERE" not in source
    assert not [cell for cell in made.cells if cell.id.startswith("learner-")]


def test_an_experiment_below_a_question_is_no_answer_to_it(desk):
    desk.put(FILE, answered(new("attention_scores(torch.ones(2, 3), torch.ones(2, 3))")))
    made = desk.rebuilt()
    assert cell_of(made, QUESTION).source == source_of(cell_of(blank(), QUESTION))


def photo(name="photo.png", data=PNG, kind="image/png"):
    return {"attachments": {name: {kind: data}}}


@pytest.mark.parametrize(
    "make",
    [
        lambda: answered(new("![photo.png](attachment:photo.png)", "markdown", **photo())),
        lambda: answered(new(f"![photo](data:image/png;base64,{PNG})", "markdown")),
    ],
)
def test_a_photo_of_an_answer_comes_along(desk, make):
    desk.put(FILE, make())
    cell = cell_of(desk.rebuilt(), QUESTION)
    (name,) = re.findall(r"attachment:([\w.-]+)", cell.source)
    assert cell.attachments == {name: {"image/png": PNG}}


def test_a_photo_in_the_questions_own_cell_comes_along(desk):
    made = answered()
    cell_of(made, QUESTION).update(source=f"{solved_question()}\n\n![](attachment:photo.png)", **photo())
    desk.put(FILE, made)
    assert cell_of(desk.rebuilt(), QUESTION).attachments == photo()["attachments"]


def test_two_photos_of_one_name_stay_two(desk):
    other = b64encode(b"\x89PNG\r\n\x1a\n" + bytes(7)).decode()
    cells = [new("![](attachment:image.png)", "markdown", **photo("image.png", data)) for data in (PNG, other)]
    desk.put(FILE, answered(*cells))
    cell = cell_of(desk.rebuilt(), QUESTION)
    names = re.findall(r"attachment:([\w.-]+)", cell.source)
    assert [cell.attachments[name]["image/png"] for name in names] == [PNG, other]


@pytest.mark.parametrize(
    "more",
    [
        photo(kind="image/svg+xml"),
        photo(kind="text/html"),
        photo(data="<script>"),
        photo(data=b64encode(b"<svg onload=alert(1)>").decode()),
        photo(data="QUJD" * 6_000_000),
        photo(name="x" * 300),
        photo(name="a\nb"),
        {"attachments": {f"{n}.png": {"image/png": 5} for n in range(3)}},
        {"attachments": [1]},
    ],
)
def test_an_attachment_that_is_no_picture_is_left_out(desk, more):
    desk.put(FILE, answered(new("![photo](attachment:photo.png)", "markdown", **more)))
    assert "attachments" not in cell_of(desk.rebuilt(), QUESTION)


def test_another_photo_is_another_answer(desk):
    found = []
    for data in (PNG, b64encode(b"\x89PNG\r\n\x1a\n" + bytes(7)).decode()):
        desk.put(FILE, answered(new("![](attachment:photo.png)", "markdown", **photo(data=data))))
        found.append(handed_in(desk.rebuilt())["answers"][QUESTION])
    assert found[0] != found[1]


def test_no_more_pictures_than_a_person_looks_at_are_taken(desk):
    many = {f"{number}.png": {"image/png": PNG} for number in range(97)}
    desk.put(FILE, answered(new("![](attachment:0.png)", "markdown", attachments=many)))
    made = desk.rebuilt()
    assert len(cell_of(made, QUESTION).attachments) == 20
    assert "not shown: 77. Of one notebook 20 are" in made.metadata.autograder.comments[QUESTION]


def test_a_comment_on_pictures_that_were_left_out_names_only_those_of_the_answer(desk):
    made = answered(new("![](attachment:photo.png)", "markdown", **photo()))
    made["cells"].append(new("My notes", "markdown", attachments={f"{n}.png": {"image/png": PNG} for n in range(23)}))
    desk.put(FILE, made)
    made = desk.rebuilt()
    assert QUESTION not in made.metadata.autograder.comments
    assert len(made.cells[-1].attachments) == 19
    assert made.cells[-1].source.startswith("My notes\n\n*Pictures of this cell that are not shown: 4.")


def test_more_pictures_in_a_text_than_are_taken_do_not_make_the_notebook_too_long(desk):
    long = b64encode(b"\x89PNG\r\n\x1a\n" + bytes(90_001)).decode()
    desk.put(FILE, answered(new("\n".join(f"![](data:image/png;base64,{long})" for _ in range(23)), "markdown")))
    made = desk.rebuilt()
    assert len(cell_of(made, QUESTION).attachments) == 20
    assert cell_of(made, QUESTION).source.count("(a picture was left out here)") == 3
    assert "not shown: 3." in made.metadata.autograder.comments[QUESTION]


# How answers go together


def test_what_an_answer_needs_moves_up_with_it(desk):
    made = blank()
    helper = new("import math as m\n\nROOT = 0.5\n\ndef root(x):\n    return ROOT")
    scores = new("def attention_scores(query, key):\n    return query @ key.mT / query.shape[-1] ** root(m)")
    unrelated = new("print('an experiment')")
    made["cells"] += [unrelated, helper, scores]
    desk.put(FILE, made)
    cells = desk.rebuilt().cells
    place = index_of(cells, "attention_scores")
    assert cells[place].source == scores["source"] and cells[place - 1].source == helper["source"]
    assert cells[-1].source == unrelated["source"]


def test_the_parts_of_a_merged_cell_are_each_answers_own(desk):
    desk.put(FILE, merged_by_jupyterlab())
    made = desk.rebuilt()
    for name, source in ANSWERS.items():
        assert cell_of(made, name).source == source


def test_a_solved_answer_stays_where_it_is_whatever_else_defines_its_name(desk):
    made = solved()
    made["cells"] += [new("attention_scores = None"), new(f"```python\n{ANSWERS['attention_scores']}\n```", "markdown")]
    desk.put(FILE, made)
    assert_found(desk.rebuilt())


def test_the_last_other_definition_takes_the_place_of_an_unsolved_one(desk):
    made = blank()
    sources = [f"def attention_scores(query, key):\n    return {number}" for number in range(3)]
    made["cells"] += map(new, sources)
    desk.put(FILE, made)
    found = desk.rebuilt()
    assert cell_of(found, "attention_scores").source == sources[-1]
    assert found.metadata[NOTES]["comments"]["attention_scores"] == (
        f"This answer was not in its own cell. It was found in cell {len(made['cells'])} of the notebook."
    )


def test_an_unsolved_notebook_stays_unsolved(desk):
    desk.put(FILE, blank())
    made = desk.rebuilt()
    assert [cell.source for cell in made.cells] == [source_of(cell) for cell in blank()["cells"]]


def test_another_lessons_notebook_is_refused_by_its_name(desk):
    other = REPOSITORY / "course" / "08_multi_head_attention" / "multi_head_attention.ipynb"
    desk.put(FILE, other.read_bytes())
    assert "belongs to lesson 08_multi_head_attention" in desk.rebuilt().metadata[NOTES]["refused"]


def test_a_lesson_that_was_not_released_is_named_with_the_remedy(desk):
    desk.put(FILE, solved())
    step, *given = rebuilding(REPOSITORY, "99_nothing", LESSON.name, desk.arrival())
    why = (
        r"^There is no released notebook .*/99_nothing/\w+\.ipynb; run `nbgrader generate_assignment 99_nothing` first$"
    )
    with pytest.raises(NbGraderException, match=why):
        step.preprocess(*given)


def test_a_notebook_of_no_lesson_is_refused_and_what_was_taken_is_said_before(desk):
    made = blank()
    made["cells"] = [new("x = 2"), new("My notes", "markdown")]
    desk.put("mine.ipynb", made)
    reason = f"This notebook has none of the answer cells of lesson {LESSON.folder}."
    assert desk.rebuilt().metadata[NOTES] == {
        "refused": f"mine.ipynb was graded: no other notebook was handed in. {reason}",
        "comments": {},
    }
    desk.put(FILE, made)
    os.remove(desk.folder / "mine.ipynb")
    found = desk.rebuilt()
    assert found.metadata[NOTES] == {"refused": reason, "comments": {}}
    assert found.cells == nbformat.read(PATH, 4).cells, "nothing of it is run"


def test_the_lesson_that_a_notebook_belongs_to_is_known_by_any_of_its_released_notebooks(tmp_path):
    def released(path, *names):
        cells = [nbformat.v4.new_markdown_cell("prose")]
        cells += [nbformat.v4.new_code_cell(name, metadata={"nbgrader": marked(name)}) for name in names]
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)

    def marked(name):
        return {"grade_id": name, "solution": True, "grade": False, "locked": False, "task": False}

    def told(assignment, *cells):
        step, *given = rebuilding(tmp_path, assignment, "a", SimpleNamespace(cells=cells, refused=None, taken=None))
        return step.preprocess(*given)[0].metadata[NOTES].get("refused")

    released(tmp_path / "course" / "1" / "a.ipynb", "one")
    released(tmp_path / "course" / "2" / "a.ipynb", "two")
    released(tmp_path / "course" / "2" / "b.ipynb", "three")
    released(tmp_path / "course" / "3" / "a.ipynb")
    (tmp_path / "course" / "README.md").write_text("no lesson")
    (tmp_path / "course" / "2" / "data.csv").write_text("no notebook")
    claim = {name: LearnerCell("code", "x", name, None) for name in ("one", "two", "three", "four", None)}
    assert told("1", claim["one"], claim["two"]) is None
    for name in ("two", "three"):
        assert told("1", claim[None], claim[name]) == "This notebook belongs to lesson 2, not to 1."
        assert told("3", claim[name]) == "This notebook belongs to lesson 2, not to 3."
    for name in ("four", None):
        for lesson in "13":
            assert told(lesson, claim[name]) == f"This notebook has none of the answer cells of lesson {lesson}."
    defined = LearnerCell("code", "one = 2", None, None)
    assert told("1", defined) is None, "its answer is known by what it defines"
    assert told("1", defined, claim["two"]) == "This notebook belongs to lesson 2, not to 1."


# Nothing else of a submission is believed


def claims(name, source, kind="code", **more):
    return new(source, kind, metadata={"nbgrader": {"grade_id": name, "solution": True, "points": 97} | more})


CHECK = "check_attention_scores"
FORGED = {
    "a check that is an answer": lambda: claims(CHECK, "def attention_scores(query, key):\n    return 2.0"),
    "a check that is words": lambda: claims(CHECK, "2.0", "markdown"),
    "a check by its id": lambda: new("2.0", id="check-attention_scores"),
    "a check that prints a score": lambda: claims(CHECK, "print(2.0)\n2.0", grade=False, locked=False),
    "an answer under another's name": lambda: claims("merge_heads", ANSWERS["attention_scores"]),
    "an answer in an output": lambda: new(
        "x", outputs=[{"output_type": "stream", "text": ANSWERS["attention_scores"]}]
    ),
    "a question that is code": lambda: claims(QUESTION, "raise SystemExit"),
    "a raw cell that is a page": lambda: new(
        "<script>alert(1)</script>", "raw", metadata={"raw_mimetype": "text/html"}
    ),
}


@pytest.mark.parametrize("forgery", FORGED)
@pytest.mark.parametrize("place", [0, 20, 97])
def test_of_a_forged_cell_nothing_but_text_arrives(desk, forgery, place):
    made = blank()
    made["cells"].insert(place, FORGED[forgery]())
    made["metadata"][NOTES] = {"taken": "another", "refused": "no"}
    desk.put(FILE, made)
    found = desk.rebuilt()
    assert_released(found)
    assert set(found.metadata[NOTES]) == {"comments"}
    for cell in found.cells:
        assert cell.cell_type in ("code", "markdown") and not cell.get("outputs")
        assert not cell.id.startswith("learner-") or cell.metadata == {}


@pytest.mark.parametrize("name", [f"{LESSON.name}.ipynb\u200b.ipynb", f"{LESSON.name.replace('a', 'а', 1)}.ipynb"])
def test_a_second_notebook_that_looks_like_the_first_is_refused(desk, name):
    desk.put(FILE, solved())
    desk.put(name, solved())
    assert "look the same" in desk.arrival().refused or "invisible characters" in desk.arrival().refused


# Time


@pytest.mark.parametrize(
    "source",
    [
        "a = a\n" * 30_000,
        "attention_scores = attention_scores\n" * 5_000,
        "```\n~~~\n" * 20_000,
        "def attention_scores():\n pass\n" * 6_000,
        "(" * 90_000 + "attention_scores",
        "-" * 90_000 + "attention_scores",
        "attention_scores" + ".a" * 90_000,
        "!attention_scores\n" * 9_000,
        "attention_scores = " + "'\\\n" * 60_000,
        "data:image/png;base64," * 9_000,
    ],
)
@pytest.mark.parametrize("kind", ["code", "markdown"])
def test_matching_takes_time_by_the_length(source, kind):
    released = nbformat.read(PATH, 4).cells
    cells = [LearnerCell(kind, source[:190_000], None, str(number)) for number in range(5)]
    start = time.process_time()
    merge(released, cells)
    assert time.process_time() - start < 8


def test_two_thousand_cells_take_little_time():
    released = nbformat.read(PATH, 4).cells
    cells = [LearnerCell("code", f"def attention_scores():\n    return helper_{n}", None, None) for n in range(2_000)]
    start = time.process_time()
    merge(released, cells)
    assert time.process_time() - start < 4


def test_text_in_no_encoding_is_not_believed():
    with pytest.raises(content.UnreadableError, match="not text"):
        content.text(bytes(range(256)))


@pytest.mark.parametrize("opens", ["scandir", "open"])
def test_what_the_grader_may_not_read_is_no_fault_of_the_learner(desk, monkeypatch, opens):
    desk.put(FILE, solved())

    def refuse(path, *arguments):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, opens, refuse)
    with pytest.raises(UnreachableError, match="cannot be read .Permission denied.; let whoever grades read it"):
        desk.arrival()


def test_whatever_tools_and_people_make_of_a_notebook_it_earns_all_points(tmp_path):
    """Each notebook that comes of one is graded officially; many are the same to the letter, and graded once."""
    need_bubblewrap()
    made = {name: (FILE, make()) for name, make in (EDITORS | PLACES | ENCODINGS).items()}
    made |= {f"as {name}": (name, solved()) for name in NAMES}
    different = {}
    for number, (name, (file, written)) in enumerate(made.items()):
        desk = Desk(tmp_path / str(number))
        desk.put(file, written)
        rebuilt = desk.rebuilt()
        different.setdefault(json.dumps([(cell.cell_type, cell.source) for cell in rebuilt.cells]), (name, rebuilt))
    notebooks = dict(different.values())
    full = {name: [exercise.points, False] for name, exercise in LESSON.exercises.items()}
    assert officially(notebooks, dict.fromkeys(notebooks, PATH.parent)) == dict.fromkeys(notebooks, full)
    assert 1 < len(notebooks) < len(made)
