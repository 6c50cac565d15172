"""Check what is in dist/ before it is published: one version everywhere, and no file left out of the wheel.

    python .ci/check_release.py [TAG]

With a tag, the changelog must have the date of this version. Needs nothing but Python.
"""

import re
import sys
import tomllib
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def faults(root, dist, tag=None):
    """Return what is wrong with a release, as sentences; an empty list if nothing is.

    root  the repository
    dist  the folder with the wheel and the sdist
    tag   v and the version, or None
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    version = project["project"]["version"]
    return [*wrong_versions(root, version, tag), *wrong_files(root, dist, version, project["tool"]["setuptools"])]


def wrong_versions(root, version, tag):
    cited = re.search(r"^version: (.*)$", (root / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)[1]
    if cited != version:
        yield f"CITATION.cff has version {cited} and pyproject.toml {version}; make them the same"
    told = re.search(r"^## (\S+), (.*)$", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    if told[1] != version:
        yield f"CHANGELOG.md begins with version {told[1]} and pyproject.toml has {version}; add a heading for it"
    if tag is not None and tag != f"v{version}":
        yield f"the tag is {tag} and the version {version}; tag it v{version}"
    if tag is not None and not re.fullmatch(r"\d{4}-\d\d-\d\d", told[2]):
        yield f"CHANGELOG.md says `{told[0]}`; write the date of the release, such as 2026-01-31, after the version"


def wrong_files(root, dist, version, setuptools):
    wheels, sources = sorted(dist.glob("*.whl")), sorted(dist.glob("*.tar.gz"))
    if [path.name.split("-")[1] for path in wheels] != [version] or len(sources) != 1:
        yield f"{dist} should hold one wheel and one sdist of version {version}; run .ci/release"
        return
    held = set(zipfile.ZipFile(wheels[0]).namelist())
    folders = {root / folder: package.replace(".", "/") for package, folder in setuptools["package-dir"].items()}
    for folder, package in folders.items():
        for path in sorted(folder.rglob("*")):
            if next(parent for parent in path.parents if parent in folders) != folder:
                continue  # a package of its own lies in the folder of another, as course/workbench does in course
            name = f"{package}/{path.relative_to(folder).as_posix()}"
            if path.is_file() and "__pycache__" not in path.parts and name not in held:
                yield f"{path.relative_to(root)} is not in the wheel; add it to [tool.setuptools] in pyproject.toml"


if __name__ == "__main__":
    found = faults(REPOSITORY, REPOSITORY / "dist", *sys.argv[1:2])
    print("\n".join(found) or "dist/ holds a wheel and an sdist that may be published")
    sys.exit(bool(found))
