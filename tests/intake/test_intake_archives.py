"""Archives that learners hand in are looked through before anything is unpacked, and one bad one stops no other."""

import gzip
import os
import re
import stat
import tarfile
import time
import zipfile

import pytest
from handed_in import FILE, SMALL, autograde, cell, notebook, tarred, zipped
from nbgrader_course import LESSON, Course

from autograder.intake.archive import examine_archive, unpack
from autograder.intake.collect import CheckedCollector
from autograder.intake.folder import RefusedError


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_link(name, target):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info, target


ZIPS = [
    ([("a.bin", b"\0" * 13_001)], "unpacks to more than"),
    ([(f"{n}.bin", b"\0" * 6_000) for n in range(3)], "unpacks to more than"),
    ([(f"{n}.txt", b"") for n in range(12)], "more than 11 files"),
    ([("../evil.ipynb", b"{}")], "leads outside the archive"),
    ([("a/../../evil.ipynb", b"{}")], "leads outside the archive"),
    ([("/etc/evil", b"{}")], "leads outside the archive"),
    ([("C:/evil", b"{}")], "leads outside the archive"),
    ([("a\\..\\evil", b"{}")], "leads outside the archive"),
    ([("a.ipynb", b"{}"), ("A.ipynb", b"{}")], "more than once"),
    ([("a.ipynb", b"{}"), ("inner.zip", b"PK")], "inner.zip in it is an archive, too"),
    ([("a\x1b.ipynb", b"{}")], "has control characters"),
    ([("a/b/c/d/e.ipynb", b"{}")], "is too long"),
    ([zip_link("a.ipynb", "../../gradebook.db")], "is a link or a special file"),
]
TARS = [
    ([("a.bin", b"\0" * 13_001)], "unpacks to more than"),
    ([("../evil.ipynb", b"{}")], "leads outside the archive"),
    ([(special("a.ipynb", tarfile.SYMTYPE, "/etc/passwd"), b"")], "is a link or a special file"),
    ([(special("a.ipynb", tarfile.LNKTYPE, "/etc/passwd"), b"")], "is a link or a special file"),
    ([(special("a", tarfile.FIFOTYPE), b"")], "is a link or a special file"),
    ([(special("a", tarfile.CHRTYPE), b"")], "is a link or a special file"),
    ([("a.tar.gz", b"")], "is an archive, too"),
]


@pytest.mark.parametrize(
    ("make", "ending", "members", "reason"),
    [(zipped, ".zip", *case) for case in ZIPS] + [(tarred, ".tar.gz", *case) for case in TARS],
)
def test_an_archive_with_what_no_honest_one_holds_is_refused_before_anything_is_unpacked(
    tmp_path, make, ending, members, reason
):
    path = make(tmp_path / f"eve{ending}", *members)
    with pytest.raises(RefusedError, match=reason):
        unpack(path, tmp_path / "eve", SMALL)
    assert os.listdir(tmp_path) == [path.name]


def damaged_zip(path):
    zipped(path, ("a.ipynb", os.urandom(997)))
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(content)


def locked_zip(path):
    zipped(path, ("a.ipynb", b"{}"))
    content = path.read_bytes()
    place = content.index(b"PK\x01\x02")
    path.write_bytes(content[: place + 8] + b"\x01" + content[place + 9 :])


def long_list(path):
    zipped(path, ("a", b""))
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x05\x06")
    content[place + 12 : place + 16] = (10**9).to_bytes(4, "little")
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (damaged_zip, "cannot be read"),
        (locked_zip, "protected by a password"),
        (long_list, "more than 11 files"),
        (lambda path: path.write_bytes(b"PK\x05\x06"), "neither a zip nor a tar"),
        (lambda path: path.write_bytes(b"not an archive"), "neither a zip nor a tar"),
        (lambda path: path.write_bytes(gzip.compress(b"\0" * 40_000)), "It holds no file"),
        (zipped, "It holds no file"),
        (lambda path: path.write_bytes(gzip.compress(b"a notebook that was packed alone")), "neither a zip nor a tar"),
        (lambda path: path.write_bytes(b"\x1f\x8b" + b"\xff" * 97), "cannot be read"),
        (lambda path: path.write_bytes(tarred(path, ("a", os.urandom(9_000))).read_bytes()[:4_000]), "cannot be read"),
    ],
)
def test_a_damaged_archive_is_refused_and_leaves_nothing(tmp_path, make, reason):
    make(tmp_path / "eve.zip")
    with pytest.raises(RefusedError, match=reason):
        unpack(tmp_path / "eve.zip", tmp_path / "eve", SMALL)
    assert os.listdir(tmp_path) == ["eve.zip"]


def test_a_bomb_is_refused_in_little_time_and_memory(tmp_path):
    with gzip.open(tmp_path / "eve.tar.gz", "wb", 1) as file:
        info = tarfile.TarInfo("a.ipynb")
        info.size = 700_000_000
        file.write(info.tobuf())
        for _ in range(70):
            file.write(b"\0" * 10_000_000)
    start = time.process_time()
    with pytest.raises(RefusedError, match="unpacks to more than"):
        examine_archive(tmp_path / "eve.tar.gz")
    assert time.process_time() - start < 2


@pytest.mark.parametrize(("make", "name"), [(zipped, "eve.zip"), (tarred, "eve.tar.gz"), (tarred, "eve.tgz")])
def test_an_honest_archive_is_unpacked_as_it_is(tmp_path, make, name):
    content = notebook(cell())
    make(tmp_path / name, (FILE, content), ("data/a.csv", b"1,2"))
    unpack(tmp_path / name, tmp_path / "eve", SMALL)
    assert (tmp_path / "eve" / FILE).read_bytes() == content
    assert (tmp_path / "eve" / "data" / "a.csv").read_bytes() == b"1,2"


# nbgrader zip_collect.

BY_FOLDER = r".*/extracted/(?P<student_id>\w+)/(?P<file_id>\w+)\.\w+(\.gz)?$"
BY_NAME = r".*_(?P<student_id>\w+)_attempt_(?P<timestamp>[0-9\-]+)_(?P<file_id>\w+)"


def collected(root, archives, pattern, *options, check=True):
    """Let nbgrader collect archives, {name: function that makes it}, and return the course and what it logged."""
    course = Course(root, f"c.FileNameCollectorPlugin.named_regexp = {pattern!r}").release()
    (root / "downloaded" / LESSON / "archive").mkdir(parents=True)
    for name, make in archives.items():
        make(root / "downloaded" / LESSON / "archive" / name)
    return course, course.nbgrader("zip_collect", LESSON, *options, check=check)


def of(make, *members):
    return lambda path: make(path, *members)


def files(course):
    root = course.root / "submitted"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_one_bad_archive_stops_no_other_and_its_learner_gets_a_recorded_refusal(tmp_path):
    content = notebook(cell())
    course, log = collected(
        tmp_path,
        {
            "honest.zip": of(zipped, (FILE, content)),
            "tidy.tar.gz": of(tarred, (FILE, content)),
            "leaves.zip": of(zipped, ("../../../honest/attention.ipynb", b"{}")),
            "linked.tar.gz": of(tarred, (special(FILE, tarfile.SYMTYPE, "/etc/passwd"), b"")),
            "nested.zip": of(zipped, ("inner.zip", b"PK")),
            "broken.zip": lambda path: path.write_bytes(b"PK"),
            "?.zip": lambda path: path.write_bytes(b"PK"),
            "notes.txt": lambda path: path.write_bytes(b"of the instructor"),
        },
        BY_FOLDER,
    )
    assert files(course) == [
        f"broken/{LESSON}/broken.zip",
        f"honest/{LESSON}/{FILE}",
        f"leaves/{LESSON}/leaves.zip",
        f"linked/{LESSON}/linked.gz",
        f"nested/{LESSON}/nested.zip",
        f"tidy/{LESSON}/{FILE}",
    ]
    assert "?.zip: It is neither a zip nor a tar" in log
    for learner, reason in {
        "leaves": "leads outside the archive",
        "linked": "is a link or a special file",
        "nested": "is an archive, too",
        "broken": "neither a zip nor a tar",
    }.items():
        autograde(course, learner)
        assert set(course.scores(learner).values()) == {0}
        assert reason in course.comment(learner, "why")


def test_an_archive_is_not_believed_whose_it_is_or_when_it_came(tmp_path):
    attack = ("x_alice_attempt_2020-01-01-00-00-00_attention.ipynb", b"forged")
    course, log = collected(
        tmp_path,
        {
            "hw_eve_attempt_2026-01-02-03-05-07_attention.zip": of(zipped, attack),
            "hw_bob_attempt_2026-01-02-03-05-07_attention.zip": of(zipped, (FILE, b"bob's")),
            "hw_zoe_attempt_2026-99-99_attention.zip": of(zipped, (FILE, b"zoe's")),
        },
        BY_NAME,
    )
    assert [name for name in files(course) if not name.endswith("timestamp.txt")] == [
        f"bob/{LESSON}/attention.ipynb",
        f"zoe/{LESSON}/attention.ipynb",
    ]
    assert "names its learner inside an archive" in log and "its time is not trusted" in log
    assert not (course.root / "submitted" / "zoe" / LESSON / "timestamp.txt").exists()


def test_two_files_of_one_name_in_an_archive_do_not_end_the_collection(tmp_path):
    course, log = collected(
        tmp_path,
        {
            "eve.zip": of(zipped, ("a/attention.ipynb", b"one"), ("b/attention.ipynb", b"two")),
            "bob.zip": of(zipped, (FILE, b"bob's")),
        },
        r".*/extracted/(?P<student_id>\w+)/(\w+/)?(?P<file_id>\w+)\.\w+$",
    )
    assert files(course) == [f"bob/{LESSON}/{FILE}", f"eve/{LESSON}/{FILE}"]
    assert (course.root / "submitted" / "eve" / LESSON / FILE).read_bytes() == b"one"
    assert "a second file of that name" in log


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/x/../alice.ipynb", r"/x/(?P<student_id>.*)/(?P<file_id>\w+)"),
        ("/x/a/b/c.ipynb", r"/x/(?P<student_id>.*)/(?P<file_id>\w+)"),
        ("/x/eve/../c.ipynb", r"/x/(?P<student_id>\w+)/(?P<file_id>.*)"),
        ("/x/eve\x1b[2J/c.ipynb", r"/x/(?P<student_id>.*)/(?P<file_id>\w+)"),
        ("/x/<img src=x>/c.ipynb", r"/x/(?P<student_id>.*)/(?P<file_id>\w+)"),
        ("/x//c.ipynb", r"/x/(?P<student_id>.*)/(?P<file_id>\w+)"),
    ],
)
def test_a_learner_is_no_path(path, pattern):
    assert CheckedCollector(named_regexp=pattern).collect(path) is None


def test_a_bulk_archive_is_believed_only_where_the_instructor_says_so(tmp_path):
    archives = {"class.zip": of(zipped, ("eve/attention.ipynb", b"1"), ("bob/attention.ipynb", b"2"))}
    (tmp_path / "a").mkdir()
    course, log = collected(tmp_path / "a", archives, r".*/class/(?P<student_id>\w+)/(?P<file_id>\w+)\.\w+$")
    assert not (course.root / "submitted").exists() or files(course) == []
    (collector,) = set(re.findall(r"--collector=[\w.]+\w", log))
    (tmp_path / "b").mkdir()
    course, _ = collected(
        tmp_path / "b", archives, r"/(?P<student_id>\w+)/(?P<file_id>\w+)\.\w+$", collector, check=False
    )
    assert files(course) == [f"bob/{LESSON}/{FILE}", f"eve/{LESSON}/{FILE}"]
