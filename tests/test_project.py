"""What the project says to helpers and to continuous integration is so: workflows, hooks, templates, one version."""

import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import conftest
import pytest
import yaml
from packaging.specifiers import SpecifierSet

REPOSITORY = Path(__file__).parent.parent
sys.path.insert(0, str(REPOSITORY / ".ci"))
import check_release  # noqa: E402

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = {
    path.name: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((REPOSITORY / ".github/workflows").glob("*.yml"))
}
JOBS = [pytest.param(job, id=f"{name}: {key}") for name, flow in WORKFLOWS.items() for key, job in flow["jobs"].items()]
TARGETS = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
# What is on a machine of the platform, and none of the project's business.
THEIRS = {"lscpu", "sudo", "echo", "cat", "grep", "if", "fi"}
MODULES = {"pip", "pytest", "playwright", "autograder"}


def commands(job):
    """Return the words of every command that a job runs."""
    lines = [line for step in job["steps"] for line in step.get("run", "").splitlines()]
    return [shlex.split(re.sub(r"\$\{\{.*?\}\}", "value", line)) for line in lines if line.strip()]


def versions(job):
    """Return the Pythons on which a job runs."""
    matrix = job.get("strategy", {}).get("matrix", {})
    wanted = [step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", "")]
    assert len(wanted) == 1, "a job sets up one Python"
    chosen = [*matrix.get("python", []), *(row["python"] for row in matrix.get("include", []) if "python" in row)]
    return set(chosen) if "matrix.python" in wanted[0] else set(wanted)


def classified():
    """Return the Pythons that the classifiers of the project name."""
    return {
        found[1]
        for line in PROJECT["classifiers"]
        if (found := re.fullmatch(r"Programming Language :: Python :: (\d+\.\d+)", line))
    }


def exists(path):
    return any(REPOSITORY.glob(path))


# Workflows


@pytest.mark.parametrize("job", JOBS)
def test_every_command_of_a_workflow_is_one_that_exists(job):
    found = commands(job)
    assert found
    for program, *rest in found:
        if program == "make":
            assert set(rest) <= TARGETS
        elif program == "python":
            assert rest[0] == "-c" or rest[0] == "-m" and rest[1] in MODULES, rest
            options = {word.partition("=")[0]: word.partition("=")[2] for word in rest if word.startswith("--")}
            assert exists(options.get("--ignore", "pyproject.toml"))
            assert "-c" not in rest[1:] or exists(rest[rest.index("-c", 1) + 1])
        elif program.startswith("."):
            assert exists(program)
        else:
            assert program in THEIRS, f"this test does not know {program}"


@pytest.mark.parametrize("job", JOBS)
def test_a_workflow_names_only_the_pythons_that_the_project_names(job):
    assert versions(job) <= classified()


def test_every_python_that_the_project_names_is_allowed_and_tested():
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert classified() and all(allowed.contains(version) for version in classified())
    lowest = min(classified(), key=lambda version: int(version.split(".")[1]))
    before = f"3.{int(lowest.split('.')[1]) - 1}"
    assert not allowed.contains(before), f"requires-python allows {before}, and no classifier names it"
    jobs = WORKFLOWS["test.yml"]["jobs"]
    for key in ("everything", "learners"):
        assert versions(jobs[key]) == classified()


def test_everything_is_tested_on_linux_on_several_processors_and_the_learners_side_elsewhere():
    jobs = WORKFLOWS["test.yml"]["jobs"]
    rows = jobs["everything"]["strategy"]["matrix"]["include"]
    assert [".ci/run"] in commands(jobs["everything"]) and ["lscpu"] in commands(jobs["everything"])
    assert {row["os"] for row in rows} == {"ubuntu-24.04", "ubuntu-24.04-arm"}
    assert [(row["aten"], row["mkl"]) for row in rows if "aten" in row] == [("default", "COMPATIBLE")]
    assert set(jobs["learners"]["strategy"]["matrix"]["os"]) == {"macos-latest", "windows-latest"}
    for key in ("learners", "intel-mac"):
        assert ["python", "-m", "pytest", "-n", "auto", "--learner"] in commands(jobs[key])


def test_the_scheduled_workflow_takes_the_newest_of_everything():
    flow = WORKFLOWS["newest.yml"]
    assert flow[True]["schedule"]  # YAML reads the key `on` as a truth value
    assert not any("constraints.txt" in " ".join(line) for job in flow["jobs"].values() for line in commands(job))


def test_no_workflow_may_write_to_the_repository():
    assert all(flow["permissions"] == {"contents": "read"} for flow in WORKFLOWS.values())


# The learner's side


def test_every_module_on_the_learners_side_exists():
    stems = {path.stem for path in (REPOSITORY / "tests").rglob("test_*.py")}
    for name in conftest.LEARNER:
        assert any(conftest.is_learners(Path(f"{stem}.py")) for stem in stems if Path(stem).match(f"test_{name}")), name


def test_the_learners_side_is_a_part_and_is_chosen_before_anything_is_imported(pytester_run):
    chosen, all_modules = pytester_run("--learner"), {path.name for path in (REPOSITORY / "tests").rglob("test_*.py")}
    expected = {name for name in all_modules if conftest.is_learners(Path(name))}
    assert chosen == expected and "test_check.py" in chosen and "test_sandbox.py" not in chosen


@pytest.fixture
def pytester_run():
    """Return a function of options that returns the names of the test modules that pytest would run with them."""

    def run(*options):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--collect-only", "-qq", *options],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        return {Path(line.split(":")[0]).name for line in done.stdout.splitlines() if line.startswith("tests")}

    return run


# Hooks and templates


def test_the_hooks_check_with_the_ruff_that_make_test_uses():
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    pins = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    (ruff,) = [hook["additional_dependencies"] for hook in hooks if hook["id"] == "ruff"]
    assert ruff == [line for line in pins if line.startswith("ruff==")]
    for hook in hooks:
        assert hook["language"] == "python" and all("==" in needed for needed in hook["additional_dependencies"])


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((REPOSITORY / ".github/ISSUE_TEMPLATE").glob("*.yml")) if path.name != "config.yml"],
    ids=lambda path: path.name,
)
def test_an_issue_template_asks_for_something(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form["name"] and form["description"]
    fields = form["body"]
    assert len({field["id"] for field in fields}) == len(fields) > 0
    assert all(field["type"] in ("input", "textarea") and field["attributes"]["label"] for field in fields)
    assert any(field["validations"]["required"] for field in fields)


def test_nothing_names_an_address_that_is_not_known_yet():
    files = [REPOSITORY / name for name in ("CITATION.cff", "SECURITY.md", "CONTRIBUTING.md", "docs/release.md")]
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://|\S+@\S+\.\S+|TODO|FIXME|example\.(com|org)", text), path.name


# A release


def test_the_version_is_the_same_everywhere():
    cited = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert cited["version"] == PROJECT["version"] and cited["license"] == PROJECT["license"]
    assert list(check_release.wrong_versions(REPOSITORY, PROJECT["version"], None)) == []


@pytest.fixture
def released(tmp_path):
    """A small project with a wheel, as a release makes them."""
    (tmp_path / "machine/recorded").mkdir(parents=True)
    (tmp_path / "dist").mkdir()
    for name, text in {
        "machine/__init__.py": "",
        "machine/recorded/a.json": "{}",
        "CITATION.cff": "title: A\nversion: 2.3.5\n",
        "CHANGELOG.md": "# Changes\n\n## 2.3.5, 2029-11-07\n",
        "dist/machine-2.3.5.tar.gz": "",
        "pyproject.toml": '[project]\nversion = "2.3.5"\n[tool.setuptools.package-dir]\nmachine = "machine"\n',
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "dist/machine-2.3.5-py3-none-any.whl", "w") as wheel:
        for name in ("machine/__init__.py", "machine/recorded/a.json"):
            wheel.write(tmp_path / name, name)
    return tmp_path


def faults(root, tag="v2.3.5"):
    return check_release.faults(root, root / "dist", tag)


def test_a_release_in_order_has_no_faults(released):
    assert faults(released) == faults(released, None) == []


def test_a_file_that_is_not_in_the_wheel_is_named(released):
    (released / "machine/recorded/b.json").write_text("{}")
    assert faults(released) == [
        "machine/recorded/b.json is not in the wheel; add it to [tool.setuptools] in pyproject.toml"
    ]


def test_another_tag_is_refused(released):
    assert faults(released, "v2.3.7") == ["the tag is v2.3.7 and the version 2.3.5; tag it v2.3.5"]


def test_a_changelog_without_a_date_is_refused_for_a_tag_only(released):
    (released / "CHANGELOG.md").write_text("## 2.3.5, not yet released\n")
    assert len(faults(released)) == 1 and faults(released, None) == []


def test_a_citation_of_another_version_is_refused(released):
    (released / "CITATION.cff").write_text("version: 2.3.3\n")
    assert faults(released) == ["CITATION.cff has version 2.3.3 and pyproject.toml 2.3.5; make them the same"]


def test_a_changelog_of_another_version_is_refused(released):
    (released / "CHANGELOG.md").write_text("## 2.3.3, 2029-11-05\n")
    assert "CHANGELOG.md begins with version 2.3.3" in faults(released)[0]


def test_a_wheel_of_another_version_is_refused(released):
    (released / "dist/machine-2.3.5-py3-none-any.whl").rename(released / "dist/machine-2.3.3-py3-none-any.whl")
    assert "should hold one wheel and one sdist of version 2.3.5" in faults(released)[0]
