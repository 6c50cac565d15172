"""Arrows point one way: lessons -> workbench and front door; machine -> workbench; nothing -> solutions."""

import ast
from pathlib import Path

import pytest

from autograder import __all__ as FRONT_DOOR
from autograder.notebooks.definitions import notebook_sources

REPOSITORY = Path(__file__).parent.parent
OURS = {"autograder", "solutions", "course", "workbench", "bench", "tests"}

# Who -> what of ours it may import. A module stands for all that is in it; `autograder:` is the front door only. The
# last lesson puts the learner's own parts together, which is what `autograder.assemble` is for.
LAYERS = {
    "autograder": ("autograder", "workbench"),
    "course/workbench": ("workbench",),
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
    found = [path.relative_to(REPOSITORY) for name in ("autograder", "course", "solutions")
             for kind in ("*.py", "*.ipynb") for path in (REPOSITORY / name).rglob(kind)]
    return sorted(path for path in found if ".ipynb_checkpoints" not in path.parts)


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
    return [f"{module}: {', '.join(names) or 'all of it'}" for module, names in imported(tree, package)
            if module.split(".")[0] in OURS and not _is_allowed(module, names, allowed)]


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
        f"{path} may import {' and '.join(LAYERS[layer])} of what is ours; see tests/test_layers.py")


@pytest.mark.parametrize(("path", "code"), [
    ("autograder/grading/scores.py", "import solutions"),
    ("autograder/grading/scores.py", "def late():\n    from solutions.mistakes import encoder"),
    ("autograder/grading/scores.py", "import importlib\nimportlib.import_module('solutions.encoder')"),
    ("autograder/probes/encoder.py", "from ...solutions import encoder"),
    ("course/workbench/parts/encoder.py", "from autograder import check"),
    ("course/workbench/parts/encoder.py", "from autograder.calling.numbers import Numbers"),
    ("course/01_encoder/encoder.ipynb", "import autograder"),
    ("course/01_encoder/encoder.ipynb", "from autograder import recording"),
    ("solutions/encoder.py", "from autograder.diagnosing.recording import read"),
    ("solutions/encoder.py", "from autograder import *"),
    ("solutions/encoder.py", "from solutions.decoder import causal_mask"),
    ("solutions/notebooks/01_encoder/encoder.ipynb", "from autograder.checking.check import check"),
    ("solutions/mistakes/encoder.py", "from autograder import check"),
    ("solutions/alternatives/encoder.py", "from autograder.authoring.record import record"),
])
def test_an_import_against_the_arrows_is_found(path, code):
    path = Path(path)
    assert len(forbidden(ast.parse(code), LAYERS[layer_of(path)], package_of(path))) == 1


@pytest.mark.parametrize(("path", "code"), [
    ("autograder/probes/encoder.py", "from ..numbers import Numbers\nfrom . import probe\nfrom workbench import parts"),
    ("course/workbench/parts/encoder.py", "import torch\nfrom .self_attention import SelfAttention"),
    ("course/01_encoder/encoder.ipynb", "from autograder import check, hint, progress\nfrom workbench import figures"),
    ("solutions/mistakes/encoder.py", "from autograder.mistakes import Catalogue\nfrom autograder import mistakes"),
])
def test_imports_along_the_arrows_are_left_alone(path, code):
    path = Path(path)
    assert forbidden(ast.parse(code), LAYERS[layer_of(path)], package_of(path)) == []
