"""Lessons, mistakes and notebooks import the workbench and the front door, and nothing else of ours.

They are no packages, so import-linter cannot see them; its contracts in pyproject.toml hold the packages.
"""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autograder import __all__ as FRONT_DOOR
from autograder.notebooks.definitions import notebook_sources

REPOSITORY = Path(__file__).parent.parent
OURS = {"autograder", "solutions", "course", "workbench", "bench", "tests"}

# Who -> what of ours it may import. A module stands for all that is in it; `autograder:` is the front door only. The
# last lesson puts the learner's own parts together, which is what `autograder.assemble` is for.
LAYERS = {
    "course": ("workbench", "autograder:", "autograder.assemble"),
    "solutions": ("workbench", "autograder:", "autograder.assemble"),
    "solutions/notebooks": ("workbench", "autograder:", "autograder.assemble"),
    "solutions/mistakes": ("workbench", "autograder.mistakes"),
    "solutions/alternatives": ("workbench", "autograder.mistakes"),
}


def layer_of(path):
    """Return the innermost layer in which a file lies."""
    return max((name for name in LAYERS if Path(name) in path.parents), key=len)


def files():
    """Return every text and notebook that lies in a layer, relative to the repository."""
    found = [
        path.relative_to(REPOSITORY)
        for name in ("course", "solutions")
        for kind in ("*.py", "*.ipynb")
        for path in (REPOSITORY / name).rglob(kind)
    ]
    return sorted(path for path in found if not {".ipynb_checkpoints", "workbench"} & {*path.parts})


def tree_of(path):
    """Return the syntax tree of a Python file, or of all code cells of a notebook."""
    text = path.read_text(encoding="utf-8")
    return ast.parse("\n".join(notebook_sources(text)) if path.suffix == ".ipynb" else text)


def imported(tree, package=""):
    """Yield (module, names) of every import, also inside of functions and by name in `import_module("...")`.

    package  of the file, for imports that begin with a dot
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            upper = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*upper, *([node.module] if node.module else [])])
            yield module, tuple(alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and _text(node.func) in ("import_module", "__import__") and node.args:
            if isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
                yield node.args[0].value, ()


def _text(function):
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def package_of(path):
    """Return the package of a file as Python knows it: the workbench is installed from within course/."""
    parts = path.parent.parts
    return ".".join(parts[1:] if parts[:1] == ("course",) else parts)


def forbidden(tree, allowed, package=""):
    """Return the imports of ours that are not allowed."""
    return [
        f"{module}: {', '.join(names) or 'all of it'}"
        for module, names in imported(tree, package)
        if module.split(".")[0] in OURS and not _is_allowed(module, names, allowed)
    ]


def _is_allowed(module, names, allowed):
    if module == "autograder" and "autograder:" in allowed:
        return bool(names) and set(names) <= set(FRONT_DOOR)
    inside = [name for name in allowed if module == name or module.startswith(f"{name}.")]
    # `from autograder import mistakes` is as good as `import autograder.mistakes`.
    return bool(inside) or bool(names) and all(f"{module}.{name}" in allowed for name in names)


@pytest.mark.parametrize("path", files(), ids=str)
def test_a_file_imports_only_what_its_layer_may(path):
    layer = layer_of(path)
    assert forbidden(tree_of(REPOSITORY / path), LAYERS[layer], package_of(path)) == [], (
        f"{path} may import {' and '.join(LAYERS[layer])} of what is ours; see tests/test_layers.py"
    )


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("course/01_encoder/encoder.ipynb", "import autograder"),
        ("course/01_encoder/encoder.ipynb", "from autograder.diagnosing import records"),
        ("solutions/encoder.py", "from autograder.diagnosing.records import read"),
        ("solutions/encoder.py", "from autograder import *"),
        ("solutions/encoder.py", "from solutions.decoder import causal_mask"),
        ("solutions/notebooks/01_encoder/encoder.ipynb", "from autograder.checking.check import check"),
        ("solutions/mistakes/encoder.py", "from autograder import check"),
        ("solutions/alternatives/encoder.py", "from autograder.authoring.record import record"),
    ],
)
def test_an_import_against_the_arrows_is_found(path, code):
    path = Path(path)
    assert len(forbidden(ast.parse(code), LAYERS[layer_of(path)], package_of(path))) == 1


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (
            "course/01_encoder/encoder.ipynb",
            "from autograder import check, hint, progress\nfrom workbench import figures",
        ),
        ("solutions/mistakes/encoder.py", "from autograder.mistakes import Catalogue\nfrom autograder import mistakes"),
    ],
)
def test_imports_along_the_arrows_are_left_alone(path, code):
    path = Path(path)
    assert forbidden(ast.parse(code), LAYERS[layer_of(path)], package_of(path)) == []


# The contracts of import-linter, which `make test` runs before the tests


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of the packages and of the contracts."""
    root = tmp_path_factory.mktemp("house")
    for name, folder in (("autograder", "autograder"), ("course/workbench", "workbench")):
        shutil.copytree(REPOSITORY / name, root / folder, ignore=shutil.ignore_patterns("recorded", "__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", root)
    return root


@pytest.mark.parametrize(
    ("path", "code", "contract"),
    [
        ("autograder/diagnosing/observation.py", "from ..grading import report", "rooms"),
        ("autograder/probes/encoder.py", "def late():\n    from ..checking import check", "rooms"),
        ("autograder/probes/decoder.py", "from .encoder import SIZES", "lessons"),
        ("autograder/extra.py", "from .grading import report", "rooms"),
        ("autograder/sandbox/manager.py", "from .proof import prove", "circles"),
        ("workbench/training.py", "from autograder.calling.numbers import Numbers", "workbench"),
        ("autograder/grading/scores.py", "def late():\n    from solutions.mistakes import encoder", "solutions"),
    ],
)
def test_an_import_that_no_contract_allows_is_found(house, path, code, contract):
    file = house / path
    before = file.read_text(encoding="utf-8") if file.exists() else None
    try:
        file.write_text(f"{before or ''}\n\n{code}\n", encoding="utf-8")
        done = subprocess.run(
            [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache", "--contract", contract],
            cwd=house,
            env=os.environ | {"PYTHONPATH": str(house)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1 and "0 kept, 1 broken" in done.stdout, done.stdout + done.stderr
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_text(before, encoding="utf-8")
