"""An ordinary user grades in a sandbox, wherever the course and its Python lie."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from sandboxes import REPOSITORY, need_bubblewrap

# As root, in a mount namespace of its own: the repository and its Python appear in another place, as if installed
# there, and where they really lie nothing else of root's home can be seen. Then the user takes over.
ELSEWHERE = """
set -e
mount --make-rprivate /
for name in repository environment python; do mkdir -p "$BASE/$name"; done
mount --bind "$REPOSITORY" "$BASE/repository"
mount --bind "$ENVIRONMENT" "$BASE/environment"
mount --bind "$PYTHON" "$BASE/python"
case "$ENVIRONMENT:$PYTHON" in *"$ROOTS_HOME"/*) mount -t tmpfs -o mode=755 none "$ROOTS_HOME";; esac
mkdir -p "$ENVIRONMENT" "$PYTHON"
mount --bind "$BASE/python" "$PYTHON"
[ "$ENVIRONMENT" -ef "$BASE/environment" ] || mount --bind "$BASE/environment" "$ENVIRONMENT"
mount -t tmpfs -o mode=1777 none "/$(echo "$PLACE" | cut -d/ -f2)"
mkdir -p "$PLACE/course" "$PLACE/environment" "$PLACE/class"
mount --bind "$BASE/repository" "$PLACE/course"
mount --bind "$BASE/environment" "$PLACE/environment"
chown 65534:65534 "$PLACE" "$PLACE/class"
cd "$PLACE/course"
exec setpriv --reuid 65534 --regid 65534 --clear-groups env -i HOME="$PLACE" USER=ann PATH=/usr/bin:/bin \
    PYTHONPATH="$PLACE/course:$PLACE/course/course:$PLACE/course/tests" PYTHONDONTWRITEBYTECODE=1 \
    "$PLACE/environment/bin/python" -c "$CODE" "$PLACE/class"
"""
GRADES = """
import json, os, sys
import autograder, workbench
from autograder.sandbox import prove
from handed_in import autograde, place
from nbgrader_course import LESSON, Course

course = Course(sys.argv[1], "c.SandboxKernelManager.prove_first = True\\n")
proof = prove(course.settings())
course.release()
place(course, "ann")
autograde(course, "ann")
print(json.dumps({
    "user": os.getuid(), "python": sys.prefix, "packages": [autograder.__file__, workbench.__file__],
    "holds": proof.holds, "scores": course.scores("ann"), "said": course.said("ann", "check_merge_heads"),
}))
"""


def graded_at(place):
    """Let a user without rights prove isolation and grade a class, with all that this takes lying in a folder."""
    need_bubblewrap()
    if os.getuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv", "mount"))):
        pytest.skip("only root can put the course elsewhere and become another user, with unshare, setpriv and mount")
    base = tempfile.mkdtemp(dir="/var/tmp")
    told = {
        "BASE": base,
        "REPOSITORY": str(REPOSITORY),
        "ENVIRONMENT": sys.prefix,
        "PYTHON": sys.base_prefix,
        "ROOTS_HOME": os.path.expanduser("~"),
        "PLACE": place,
        "CODE": GRADES,
        "PATH": os.environ["PATH"],
    }
    try:
        ended = subprocess.run(
            ["unshare", "--mount", "bash", "-c", ELSEWHERE], env=told, capture_output=True, text=True, timeout=300
        )
    finally:
        shutil.rmtree(base, ignore_errors=True)
    if "unshare" in ended.stderr and "not permitted" in ended.stderr:
        pytest.skip(f"no mount namespace can be made here: {ended.stderr}")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.parametrize("place", ["/home/ann", "/srv/school", "/tmp/ann/my lessons"])
def test_an_ordinary_user_proves_isolation_and_grades_there(place):
    found = graded_at(place)
    assert found["user"] == 65534
    assert all(Path(path).is_relative_to(place) for path in (found["python"], *found["packages"]))
    assert "own namespaces" in found["holds"][0]
    assert found["scores"] == {"check_attention_scores": 2, "check_merge_heads": 2, "why": 0}, found["said"]
