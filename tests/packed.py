"""The wheel as pip makes it, unpacked where nothing of the repository is near, and Python as a learner has it."""

import functools
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parent.parent

# What Windows lacks, taken away before anything of ours is imported.
WINDOWS = """
import os, signal, sys, time
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
for module, names in {
    os: "fork register_at_fork geteuid getuid sched_getaffinity pidfd_open O_NOFOLLOW O_NONBLOCK killpg setsid",
    signal: "SIGALRM SIGKILL setitimer ITIMER_REAL pthread_kill",
    time: "pthread_getcpuclockid",
}.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
"""


def wheel(folder):
    """Build the wheel in a folder, without a network, from a copy of what it is made from; return its path."""
    source = folder / "source"
    source.mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    for name in ("autograder", "course"):
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_*"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-build-isolation", "--no-deps"]
    subprocess.run([*command, "--wheel-dir", folder, source], check=True, capture_output=True, text=True, timeout=300)
    (made,) = folder.glob("*.whl")
    return made


def unpacked(path, place):
    """Unpack a wheel, as pip does, into a folder; return the folder."""
    with zipfile.ZipFile(path) as files:
        files.extractall(place)
    return place


def without(extras):
    """Return code that lets no module be imported that comes only with these extras of the project."""
    learners, everyone = closure(installed(), ()), closure(installed(), extras)
    owners = importlib.metadata.packages_distributions()
    modules = [
        name for name, of in owners.items() if {canonicalize_name(one) for one in of} <= everyone - learners and of
    ]
    assert {"nbgrader", "jupytext", "sqlalchemy", "nh3"} <= set(modules)
    return f"import sys\nfor name in {sorted(modules)!r}:\n    sys.modules[name] = None\n"


@functools.cache
def installed():
    """Return {name: distribution} of what is installed here."""
    return {canonicalize_name(one.metadata["Name"]): one for one in importlib.metadata.distributions()}


def closure(installed, extras):
    """Return the names of the distributions that the project brings with these extras, of those in `installed`."""
    found, queue = set(), [("transformer-taxonomy", extra) for extra in ("", *extras)]
    seen = set()
    while queue:
        name, extra = queue.pop()
        if (name, extra) in seen or name not in installed:
            continue
        seen.add((name, extra))
        found.add(name)
        for line in requirements(installed[name], name):
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                queue += [(canonicalize_name(needed.name), more) for more in ("", *needed.extras)]
    return found


def requirements(distribution, name):
    """Return what a distribution requires; of the project, what pyproject.toml says and not what was installed."""
    if name != "transformer-taxonomy":
        return distribution.requires or []
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    more = project["optional-dependencies"].items()
    return [*project["dependencies"], *(f"{line} ; extra == '{extra}'" for extra, lines in more for line in lines)]


def run(code, place, cwd, **more):
    """Run code that imports the course from a place and from nowhere else, in a file, so that its lines can be told;
    return the finished process."""
    (cwd / "program.py").write_text(code, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "program.py"],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(place)} | more,
        capture_output=True,
        encoding="cp1252",
        errors="replace",
        timeout=300,
    )
