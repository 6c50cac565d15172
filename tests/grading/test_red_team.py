"""Attacks on grading gain nothing, read nothing and harm nobody.

All attacks of `red_team` are graded as a class is: by four processes side by side, in kernels that are forked from one
warm process, with honest learners between them.
"""

import copy
import json
import os
import socket
import sqlite3

import nbformat
import pytest
import red_team
import tables
from handed_in import named
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader_course import LESSON, NOTEBOOK, REPOSITORY, Course, check, graded, notebook
from red_team import WRONG
from sandboxes import need_bubblewrap, warm

from autograder.authoring.lesson import read as read_lesson
from autograder.grading import unit
from autograder.grading.workers import Local
from autograder.intake.arrivals import read_arrival
from autograder.intake.rebuild import NOTES, merge

POINTS = {
    "attention_scores": 2,
    "attention_weights": 3,
    "scaled_dot_product_attention": 3,
    "streaming_attention": 2,
    "merge_heads": 1,
}
TOKEN = "never-to-be-told-"
SECRETS = ("gradebook", "submission", "solution", "home", "environment")
TITLE = "Attacks on grading"


def right():
    """Return {exercise: source} of right answers."""
    found = {}
    for name in ("scaled_dot_product_attention", "multi_head_attention"):
        exercises = read_lesson(REPOSITORY / "solutions" / f"{name}.py").exercises
        found |= {exercise: about.source for exercise, about in exercises.items() if exercise in POINTS}
    return found


def released():
    cells = [
        new_markdown_cell("# Attention", id="prose"),
        new_code_cell(
            "import math\n\nimport torch\nimport torch.nn.functional as F\n\n"
            "from autograder import check, hint, progress",
            id="imports",
        ),
    ]
    for name, points in POINTS.items():
        stub = f"def {name}(*arguments):\n    raise NotImplementedError('this exercise is not solved yet')"
        cells.append(graded(new_code_cell(stub), name))
        cells.append(graded(new_code_cell(check(name)), f"check_{name}", points, solution=False))
    return notebook(*cells)


def handed_in(answers, *cells):
    """Return the released notebook with these answers, and cells of the learner's own before the first of them."""
    made = released()
    for cell in made.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in answers:
            cell.source = answers[name]
    made.cells[2:2] = [new_code_cell(source, id=f"own-{number}") for number, source in enumerate(cells)]
    return made


class Class:
    """A course with secrets in it, and what is graded: notebooks by name."""

    def __init__(self, root):
        self.root, self.todo, self.found, self.refused = root, {}, {}, {}
        self.course = Course(root)
        self.planted = self._plant()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(0.2)
        config = self.course.settings()
        config.RunAnswers.update(timeout=8, check_seconds=3, budget=30, grace=5)
        config.SandboxProvisioner.update(scratch=24, processes=60, address_space=4000, memory=2000)
        self.settings = json.dumps(config)

    def _plant(self):
        other = self.root / "submitted" / "other" / LESSON / f"{NOTEBOOK}.ipynb"
        (self.root / "home").mkdir()
        other.parent.mkdir(parents=True)
        texts = {
            other: "submission",
            self.root / "solutions" / "secret.py": "solution",
            self.root / "home" / "secret.txt": "home",
        }
        for path, name in texts.items():
            path.write_text(f"SECRET = '{TOKEN}{name}'")
        with sqlite3.connect(self.root / "gradebook.db") as database:
            database.execute("create table grade (auto_score float, comment text)")
            database.execute("insert into grade values (0.5, ?)", [f"{TOKEN}gradebook"])
        folder = self.root / "course" / LESSON
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "data.txt").write_text("data that everybody may read")
        (folder / "link.txt").symlink_to(self.root / "gradebook.db")
        return {path: path.read_bytes() for path in [*texts, self.root / "gradebook.db"]}

    def add(self, name, notebook):
        """Let a notebook be graded, as JSON-like data, as bytes or as what `handed_in.named` returns."""
        folder = self.root / "submitted" / name / LESSON
        folder.mkdir(parents=True)
        if callable(notebook):
            notebook(folder)
        else:
            text = notebook if isinstance(notebook, bytes) else json.dumps(notebook).encode()
            (folder / f"{NOTEBOOK}.ipynb").write_bytes(text)
        arrival = read_arrival(folder / f"{NOTEBOOK}.ipynb", root=self.root / "submitted")
        rebuilt = released()
        rebuilt.metadata[NOTES] = {"refused": arrival.refused, "comments": {}}
        if not arrival.refused:
            rebuilt.cells, comments = merge(rebuilt.cells, arrival.cells)
            rebuilt.metadata[NOTES] = {"comments": comments}
        self.todo[name] = unit.Unit(name, nbformat.writes(rebuilt), str(self.root / "course" / LESSON), self.settings)

    def grade(self):
        with warm(), Local(4) as workers:
            for done, result in workers.results(iter(self.todo.values())):
                assert isinstance(result, str), (done.learner, result)
                nbformat.validate(json.loads(result))
                self.found[done.learner] = nbformat.reads(result, 4)

    def scores(self, name):
        """Return {exercise: points} as nbgrader reads them."""
        return scores(self.found[name])

    def flags(self, name):
        """Return the exercises whose answers are put before a person."""
        return {check.removeprefix("check_") for check in self.found[name].metadata[NOTES].get("flags", {})}

    def text(self, name):
        return json.dumps(self.found[name], ensure_ascii=False)

    def printed(self, name):
        """Return what cells printed: on a busy computer one line of it may come in several outputs."""
        outputs = [output for cell in self.found[name].cells for output in cell.get("outputs", ())]
        return "".join(output.text for output in outputs if output.output_type == "stream")


def scores(notebook):
    found = {}
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if name.startswith("check_"):
            numbers = [out.data["text/plain"] for out in cell.outputs if out.output_type == "execute_result"]
            assert len(numbers) == 1
            found[name.removeprefix("check_")] = float(numbers[0])
    return found


# Attacks by what is handed in: they change a notebook with wrong answers, or the folder


def changed(change):
    """Return a function that returns the notebook with wrong answers, changed by a function."""

    def make(folder, root):
        made = json.loads(json.dumps(handed_in(WRONG)))
        made = change(made) or made
        return named(f"{NOTEBOOK}.ipynb", made if isinstance(made, bytes) else json.dumps(made).encode())(folder)

    return make


def each(kind):
    """Return a change of every cell of a kind: "check_" or "" for all."""

    def by(act):
        def change(made):
            for cell in made["cells"]:
                if cell["metadata"].get("nbgrader", {}).get("grade_id", "").startswith(kind):
                    act(cell)

        return changed(change)

    return by


def link_to(target):
    return lambda folder, root: os.symlink(root / target, folder / f"{NOTEBOOK}.ipynb")


def beside(name, content):
    def make(folder, root):
        changed(lambda made: None)(folder, root)
        (folder / name).write_text(content)

    return make


def hard_link(folder, root):
    os.link(root / "submitted" / "other" / LESSON / f"{NOTEBOOK}.ipynb", folder / f"{NOTEBOOK}.ipynb")


def data_link(folder, root):
    changed(lambda made: None)(folder, root)
    os.symlink(root / "gradebook.db", folder / "data.csv")


def without_checks(made):
    made["cells"] = [
        c for c in made["cells"] if not c["metadata"].get("nbgrader", {}).get("grade_id", "").startswith("check_")
    ]


def twice(made):
    made["cells"] += [copy.deepcopy(cell) for cell in made["cells"]]


SHOWN = [{"output_type": "execute_result", "data": {"text/plain": "2.0"}, "metadata": {}, "execution_count": 1}]
HANDED_IN = {
    "the tag skip-execution on every check": each("check_")(
        lambda cell: cell["metadata"].update(tags=["skip-execution"])
    ),
    "checks whose source is a number": each("check_")(lambda cell: cell.update(source="2.0")),
    "checks that have been executed, with their points": each("check_")(
        lambda cell: cell.update(outputs=SHOWN, execution_count=1)
    ),
    "other points in the metadata": each("check_")(lambda cell: cell["metadata"]["nbgrader"].update(points=100)),
    "checks that are answers and not locked": each("check_")(
        lambda cell: cell["metadata"]["nbgrader"].update(solution=True, locked=False)
    ),
    "check cells deleted": changed(without_checks),
    "every cell twice": changed(twice),
    "one name and id for all cells": each("")(
        lambda cell: cell.update(id="x") or cell["metadata"].get("nbgrader", {}).update(grade_id="attention_scores")
    ),
    "checks that are Markdown": each("check_")(lambda cell: cell.update(cell_type="markdown")),
    "another kernel": changed(lambda made: made["metadata"].update(kernelspec={"name": "bash", "display_name": "x"})),
    "scores and refusals in the notebook's own metadata": changed(
        lambda made: made["metadata"].update({NOTES: {"refused": "no", "comments": {"a": "b"}}})
    ),
    "answers moved to another lesson": each("")(
        lambda cell: cell["metadata"].get("nbgrader", {}).update(grade_id="check_other")
    ),
    "a symbolic link to another submission": link_to(f"submitted/other/{LESSON}/{NOTEBOOK}.ipynb"),
    "a symbolic link to the gradebook": link_to("gradebook.db"),
    "a symbolic link to a device": lambda folder, root: os.symlink("/dev/zero", folder / f"{NOTEBOOK}.ipynb"),
    "a hard link to another submission": hard_link,
    "a data file that links to the gradebook": data_link,
    "torch.py beside the notebook": beside("torch.py", "raise SystemExit"),
    "sitecustomize.py and a .pth file beside the notebook": beside("sitecustomize.py", "import os; os._exit(0)"),
    "a notebook whose name only looks right": lambda folder, root: named("аttention.ipynb", b"{}")(folder),
    "a pipe in the notebook's place": lambda folder, root: os.mkfifo(folder / f"{NOTEBOOK}.ipynb"),
    "a notebook that is nested a thousand deep": changed(lambda made: b"[" * 1000 + b"]" * 1000),
    "one key twice": changed(lambda made: json.dumps(made).replace('"cells":', '"cells": [], "cells":', 1).encode()),
}


# The class


@pytest.fixture(scope="module")
def graded_class(tmp_path_factory):
    need_bubblewrap()
    root = tmp_path_factory.mktemp("course")
    before = {name: os.environ.get(name) for name in ("HOME", "SECRET_OF_THE_GRADER")}
    place = os.getcwd()
    # Workers and the zygote start in the course, with a home in which something lies.
    os.environ |= {"HOME": str(root / "home"), "SECRET_OF_THE_GRADER": f"{TOKEN}environment"}
    try:
        made = Class(root)
        os.chdir(root)
        _fill(made)
        made.grade()
        yield made
    finally:
        os.chdir(place)
        made.server.close()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _fill(made):
    made.runs = {}  # name of a unit: (attacks, name of the same without them)
    made.neighbours = {}
    honest, count = right(), 0

    def add(attacks, notebook, plain):
        nonlocal count
        name = f"attack-{len(made.runs):03d}"
        made.add(name, notebook)
        made.runs[name] = attacks, _plain(made, plain)
        count += 1
        if count % 6 == 0 or attacks[0].kind == red_team.BOMB:
            made.add(f"honest-{len(made.neighbours):03d}", handed_in(honest))
            made.neighbours[f"honest-{len(made.neighbours):03d}"] = attacks[0].kind

    together = [one for one in red_team.ALL if not one.alone]
    for group in (together[::2], together[1::2]):
        cells = [_written(made, one.cell).replace("did:", f"did {number}:") for number, one in enumerate(group)]
        add(group, handed_in(WRONG, *cells), WRONG)
    for one in red_team.ALL:
        if one.alone:
            # The fewer answers there are to judge, the faster it goes; a cell alone may help any of them.
            answers = {**({} if one.answers.keys() <= WRONG.keys() and one.answers else WRONG), **one.answers}
            plain = {name: one.worth.get(name, WRONG.get(name)) for name in answers if name in WRONG}
            add([one], handed_in(answers, *([_written(made, one.cell)] if one.cell else [])), plain)
    for says, make in HANDED_IN.items():
        one = red_team.Attack("handed in", says, did="")
        add([one], lambda folder, make=make: make(folder, made.root), WRONG)


def _written(made, code):
    for name, text in {
        "ROOT": made.root,
        "REPOSITORY": REPOSITORY,
        "TOKEN": TOKEN,
        "PORT": made.server.getsockname()[1],
    }.items():
        code = code.replace(name, str(text))
    return code


def _plain(made, answers):
    """Return the name of the unit with these answers and nothing else."""
    name = "plain-" + str(hash(json.dumps(answers, sort_keys=True)))
    if name not in made.todo:
        made.add(name, handed_in(answers))
    return name


def test_wrong_answers_without_an_attack_earn_what_is_said_of_them(graded_class):
    earned = graded_class.scores(_plain(graded_class, WRONG))
    assert earned == {
        "attention_scores": 0.0,
        "attention_weights": 0.0,
        "scaled_dot_product_attention": 0.0,
        "streaming_attention": 0.0,
        "merge_heads": 0.0,
    }


def test_every_attack_has_done_its_part(graded_class):
    idle = []
    for name, (attacks, _) in graded_class.runs.items():
        text = graded_class.text(name) + graded_class.printed(name)
        for number, one in enumerate(attacks):
            did = one.did if len(attacks) == 1 else one.did.replace("did:", f"did {number}:")
            if did not in text:
                idle.append((name, one.kind, one.says))
    assert idle == [], idle


def test_no_attack_gains_a_point_reads_a_secret_or_harms_a_neighbour(graded_class):
    rows, gained, told, harmed = {}, [], [], []
    for name, (attacks, plain) in graded_class.runs.items():
        earned, worth = graded_class.scores(name), graded_class.scores(plain)
        flags = graded_class.flags(name)
        more = sum(max(0.0, earned[exercise] - worth[exercise]) for exercise in worth if exercise not in flags)
        secrets = sum(f"{TOKEN}{secret}" in graded_class.text(name) for secret in SECRETS)
        for one in attacks:
            row = rows.setdefault(one.kind, [0, 0.0, 0, 0, 0])
            row[0] += 1
        row[1] += more
        row[4] += bool(flags)
        row[2] += secrets
        gained += [(name, [one.says for one in attacks], earned, worth)] if more else []
        told += [(name, [one.says for one in attacks])] if secrets else []
    for name, kind in graded_class.neighbours.items():
        if graded_class.scores(name) != POINTS:
            harmed.append((name, kind, graded_class.scores(name)))
            rows[kind][3] += 1
    for kind, (tried, points, secrets, neighbours, flagged) in rows.items():
        tables.row(
            TITLE,
            attack=kind,
            tried=tried,
            flagged=flagged,
            gained_points_without_a_flag=int(points) if points == int(points) else points,
            read_secrets=secrets,
            neighbours_harmed=neighbours,
        )
    assert (gained, told, harmed) == ([], [], []), (gained, told, harmed)
    assert sum(row[0] for row in rows.values()) >= 60


def test_nobody_reached_the_host_through_the_network(graded_class):
    with pytest.raises(TimeoutError):
        graded_class.server.accept()


def test_planted_files_are_byte_for_byte_as_they_were(graded_class):
    assert {path: path.read_bytes() for path in graded_class.planted} == graded_class.planted


def test_the_text_of_the_solutions_is_told_to_nobody(graded_class):
    text = (REPOSITORY / "solutions" / "scaled_dot_product_attention.py").read_text()
    comments = [
        line.strip()
        for line in text.split("### BEGIN SOLUTION")[2].split("### END")[0].split("\n")
        if line.strip().startswith("#")
    ]
    assert comments
    for name, (attacks, _) in graded_class.runs.items():
        assert not any(line in graded_class.text(name) for line in comments), attacks
