"""The first code cell of a notebook, with which it works where the course is not installed, and links that open it.

Both are made from what pyproject.toml says of the course: its name and, under `Repository` in `[project.urls]`, where
it is. A course without an address is installed by its name, and its notebooks have no links.
"""

import re
import tomllib
from pathlib import Path
from urllib.parse import quote

from autograder.course import PACKAGE, CourseError

# What hosted notebooks lack of what learners need. The rest is there, in versions that are best left alone: their own
# programs rest on them.
HOSTED = ("bertviz", "fsrs", "mpld3")
GITHUB = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+?)(?:\.git)?/?")

SETUP = """\
# Where the course is installed, this cell does nothing; elsewhere it says how to install it.
try:
    import workbench.parts
    from autograder import check
except ImportError as missing:
    import os

    hosted = {{"COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE"}} & {{*os.environ}}
    raise ImportError(
        "This notebook needs its course. Run this line in a cell of its own, and then restart the kernel:\\n"
        f'%pip install {{"--no-deps {hosted} " if hosted else ""}}"{package}"\\n'
        "If that does not help, packages of others have the same names. Run this line first, and then the one above:\\n"
        "%pip uninstall --yes autograder workbench transformer-taxonomy"
    ) from missing"""


def address(root: Path) -> str | None:
    """Return the address of the course's repository, from its pyproject.toml; None where none is told.

    Raises CourseError for one that is no web address, which pip would take for something else.
    """
    try:
        told = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        return None
    found = told.get("project", {}).get("urls", {}).get("Repository")
    if found is None:
        return None
    if not isinstance(found, str) or not re.fullmatch(r"https://[\w./~-]+", found):
        raise CourseError(f"{root / 'pyproject.toml'}: Repository is {found!r}; write an address, such as https://...")
    return found


def setup_source(root: Path) -> str:
    """Return the source of the first code cell of every notebook of a course."""
    place = address(root)
    package = f"{PACKAGE} @ git+{place}" if place else PACKAGE
    return SETUP.format(package=package, hosted=" ".join(HOSTED))


def links(root: Path, folder: str, name: str) -> str:
    """Return a line of Markdown with links that open a released notebook; "" without a repository on GitHub.

    folder, name  of the lesson, such as "07_scaled_dot_product_attention" and "scaled_dot_product_attention"

    They are words and no pictures, which would be fetched from elsewhere whenever the notebook is opened.
    """
    found = GITHUB.fullmatch(address(root) or "")
    if not found:
        return ""
    owner, repository = found.groups()
    path = quote(f"course/{folder}/{name}.ipynb")
    file = f"github.com/{owner}/{repository}/blob/main/{path}"
    places = {
        "Colab": f"https://colab.research.google.com/{file.replace('github.com', 'github', 1)}",
        "Kaggle": f"https://kaggle.com/kernels/welcome?src=https://{file}",
        "Binder": f"https://mybinder.org/v2/gh/{owner}/{repository}/main?labpath={path}",
    }
    return f"Open this notebook in {', '.join(f'[{place}]({url})' for place, url in places.items())}."
