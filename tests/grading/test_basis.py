"""A grade depends on everything that judged it: a change of any of it is another basis, and grades again."""

import importlib.metadata
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lessons import REPOSITORY

from autograder.grading import basis

OURS = "scaled_dot_product_attention"


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """The parts of a course that judge, to be changed."""
    folder = tmp_path_factory.mktemp("course")
    ignored = shutil.ignore_patterns("__pycache__", "*.ipynb")
    for name in ("autograder", "course/workbench", "solutions"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored)
    (folder / "released.ipynb").write_text("{}")
    return folder


def digest(folder, settings=None, lesson=OURS):
    return basis.digest(
        lesson,
        folder / "released.ipynb",
        folder / "solutions",
        settings or {},
        folder / "autograder",
        folder / "course/workbench",
    )


@pytest.mark.parametrize(
    "path",
    [
        "autograder/probes/__init__.py",
        "autograder/probes/see.py",  # a helper that the probes of several lessons share
        f"autograder/probes/{OURS}.py",
        "autograder/diagnosing/observation.py",  # the tolerance
        "autograder/diagnosing/diagnosis.py",
        f"autograder/recorded/{OURS}/attention_scores.json",
        "autograder/calling/wire.py",
        "autograder/notebooks/reach.py",
        "autograder/intake/rebuild.py",
        "autograder/sandbox/provisioner.py",  # the sandbox's limits
        "autograder/sandbox/sandbox.py",
        "autograder/grading/judge.py",
        "autograder/grading/scores.py",
        "autograder/mistakes.py",
        "course/workbench/parts/scaled_dot_product_attention.py",  # a closed box
        f"solutions/{OURS}.py",
        f"solutions/mistakes/{OURS}.py",
        f"solutions/alternatives/{OURS}.py",
        "released.ipynb",
    ],
)
def test_a_change_of_what_judges_is_another_basis(copied, path):
    before, file = digest(copied), copied / path
    content = file.read_bytes()
    try:
        file.write_bytes(content + b"\n# changed\n")
        assert digest(copied) != before
    finally:
        file.write_bytes(content)
    assert digest(copied) == before


@pytest.mark.parametrize(
    "path",
    [
        "autograder/probes/encoder.py",
        "autograder/recorded/encoder/Encoder.json",
        "autograder/feedback/pages.py",
        "autograder/authoring/draft.py",
        "solutions/encoder.py",
        "solutions/mistakes/encoder.py",
    ],
)
def test_a_change_of_what_judges_other_lessons_only_is_none(copied, path):
    before, file = digest(copied), copied / path
    content = file.read_bytes()
    try:
        file.write_bytes(content + b"\n")
        assert digest(copied) == before
    finally:
        file.write_bytes(content)


@pytest.mark.parametrize("settings", [{"SandboxProvisioner": {"memory": 1}}, {"Execute": {"timeout": 5}}])
def test_a_change_of_a_setting_is_another_basis(copied, settings):
    assert digest(copied, settings) != digest(copied)


def test_another_release_of_torch_is_another_basis(copied, monkeypatch):
    before = digest(copied)
    monkeypatch.setattr(basis, "version", lambda name: "0" if name == "torch" else importlib.metadata.version(name))
    assert digest(copied) != before


IMPORTED = """
import json, pathlib, sys
import autograder.grading.unit, autograder.intake.arrivals, autograder.intake.rebuild, autograder.sandbox
import autograder.calling.inside, autograder.sandbox.child, autograder.sandbox.zygote
from autograder import probes
probes.load(sys.argv[1])
root = pathlib.Path(autograder.__file__).parent
paths = {pathlib.Path(m.__file__) for m in list(sys.modules.values()) if getattr(m, "__file__", None)}
print(json.dumps(sorted(str(path) for path in paths if root in path.parents)))
"""


def test_nothing_that_judging_imports_is_left_out():
    """Not a list that somebody keeps: what reads, runs, judges and scores is imported, and looked up."""
    done = subprocess.run([sys.executable, "-c", IMPORTED, OURS], capture_output=True, text=True, check=True)
    machine = REPOSITORY / "autograder"
    assert set(map(Path, json.loads(done.stdout))) <= set(basis.judges(OURS, machine))


def test_mistakes_in_several_files_are_all_in_it(copied):
    before, files = digest(copied, lesson="capstone"), sorted((copied / "solutions/mistakes/capstone").glob("*.py"))
    files[-1].write_bytes(files[-1].read_bytes() + b"\n")
    assert files[1:] and digest(copied, lesson="capstone") != before
