"""What is scarce while a class is graded is waited for, or named in a sentence; nothing is lost or half-written."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import postgres
import psutil
import psycopg
import pytest
from handed_in import autograde, place
from nbgrader_course import MERGE, Course
from sandboxes import warm_from_now_on
from six_learners import Class
from traitlets.config import Config

from autograder.__main__ import main
from autograder.calling.remote import Channel
from autograder.grading import grade, scores, unit, workers
from autograder.grading.run import RunAnswers
from autograder.intake import arrivals
from autograder.sandbox.sandbox import Sandbox
from autograder.sandbox.warm_start import VARIABLE, warm
from autograder.scarcity import holders

RIGHT = {"anna": 11, "emma": 0, "finn": 0}
GOES_ON = "run the same command again, and it goes on from there"


class Few(Class):
    """A class of three: one who is right, and two whose files cannot be read."""

    def __init__(self, folder, settings=""):
        super().__init__(folder, settings)
        for learner in ("ben", "carla", "dirk"):
            shutil.rmtree(self.folder / "submitted" / learner)

    def patience(self, seconds):
        with open(self.folder / "nbgrader_config.py", "a") as file:
            file.write(f"c.Patience.seconds = {seconds}\n")

    def copy(self, folder):
        """Return the same class in another folder."""
        shutil.copytree(self.folder, folder)
        other = object.__new__(type(self))
        other.__dict__ |= self.__dict__ | {"folder": Path(folder)}
        return other

    def grading(self, **settings):
        return grade.Grading(self.folder, "7", Config({name: Config(found) for name, found in settings.items()}))

    @property
    def book(self):
        return self.folder / "gradebook.db"


class Done:
    """Workers that know the results already, so that a run consists of what the coordinator does.

    meanwhile  {after how many results: what happens then}
    """

    def __init__(self, found, meanwhile=None):
        self.found, self.meanwhile = found, meanwhile or {}

    def results(self, todo):
        for number, work in enumerate(todo):
            self.meanwhile.get(number, lambda: None)()
            yield work, self.found[work.learner]


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A class that was released, and what its workers find."""
    warm_from_now_on()
    one = Few(tmp_path_factory.mktemp("scarce") / "class")
    given = one.grading(SandboxKernelManager={"prove_first": False})  # which other tests do
    return one, {learner: unit.run(given.unit(given.submission(learner))) for learner in given.learners()}


@pytest.fixture
def one(released, tmp_path):
    return released[0].copy(tmp_path / "class")


@pytest.fixture
def command(released, monkeypatch, capfd):
    """The command `grade` in this process, whose workers know the results; returns (exit code, what it printed)."""

    def run(one, *options, meanwhile=None):
        pool = Done(released[1], meanwhile)
        monkeypatch.setattr(workers, "chosen", lambda *_, **__: contextlib.nullcontext(pool))
        code = main(["grade", "7", "--root", str(one.folder), "--without-sandbox", *options])
        said = "".join(capfd.readouterr())
        assert "Traceback" not in said
        return code, said

    return run


@pytest.fixture(scope="module")
def whole(released, tmp_path_factory):
    """All that an undisturbed run leaves behind."""
    one = released[0].copy(tmp_path_factory.mktemp("whole") / "class")
    grade.grade(one.grading(SandboxKernelManager={"without_sandbox": True}), Done(released[1]))
    assert one.scores() == RIGHT
    return one.everything()


def nothing_unfinished(one):
    """True where nothing is left of a submission that was not graded to its end."""
    return not (one.folder / "autograded" / arrivals.UNFINISHED).exists()


HOLDS = """
import sqlite3, sys, time
book = sqlite3.connect(sys.argv[1], isolation_level=None)
book.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def held(book):
    """Let another process hold the gradebook, and yield that process."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDS, book], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        yield holder
    finally:
        holder.communicate()


# A gradebook that another program holds


def test_a_gradebook_that_is_held_is_waited_for_and_the_run_goes_on(one, whole):
    with held(one.book) as holder:
        process = one.start("--without-sandbox", "--workers", "1", "--only", "emma", "finn")
        notice = process.stdout.readline()
    said, _ = process.communicate(timeout=300)
    assert "gradebook.db: another program holds the gradebook" in notice and f"process {holder.pid}" in notice
    assert "Waiting for it, 300 s at most" in notice
    assert process.returncode == 0 and "Traceback" not in said
    assert one.scores() == {"emma": 0, "finn": 0}


def test_a_gradebook_that_stays_held_ends_the_run_with_a_sentence_and_the_next_run_grades_all(one, command, whole):
    one.patience(1)
    before = one.book.read_bytes()
    with held(one.book):
        code, said = command(one)
    assert code == 1
    assert f"{one.book}: another program holds the gradebook (python" in said
    assert "let it finish, or end it" in said and GOES_ON in said
    assert one.book.read_bytes() == before and not list(one.folder.glob("autograded/*/*"))
    assert command(one)[0] == 0
    assert one.everything() == whole


def test_a_gradebook_that_is_held_later_keeps_what_is_recorded_and_leaves_the_rest_to_the_next_run(one, command, whole):
    one.patience(1)
    with contextlib.ExitStack() as stack:
        code, said = command(one, meanwhile={1: lambda: stack.enter_context(held(one.book))})
    assert code == 1 and "another program holds the gradebook" in said
    assert one.scores() == {"anna": 11}
    assert nothing_unfinished(one)
    code, said = command(one)
    assert code == 0 and "2 graded in" in said and "1 were graded already" in said
    assert one.everything() == whole


def test_what_was_graded_before_stays_until_a_new_grade_is_whole(one, command, whole):
    assert command(one)[0] == 0
    one.patience(0)
    with contextlib.ExitStack() as stack:
        code, _ = command(one, "--again", meanwhile={0: lambda: stack.enter_context(held(one.book))})
    assert code == 1 and nothing_unfinished(one)
    assert one.everything() == whole


def test_nbgrader_alone_says_so_too_and_keeps_what_was_graded_before(one, command, whole):
    assert command(one)[0] == 0
    one.patience(0)
    with held(one.book):
        ended = subprocess.run(
            [sys.executable, "-m", "nbgrader", "autograde", "--force", one.assignment],
            cwd=one.folder,
            capture_output=True,
            text=True,
        )
    assert ended.returncode == 1
    assert "gradebook.db: another program holds the gradebook" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert one.everything() == whole


def test_the_programs_that_hold_a_file_are_named_and_this_one_is_not(tmp_path):
    book = tmp_path / "gradebook.db"
    with contextlib.closing(sqlite3.connect(book)) as database:
        database.execute("CREATE TABLE grades (number)")
        database.commit()
    with held(book) as holder:
        assert [who for who in holders(str(book)) if f"(process {holder.pid})" in who]
    own = sqlite3.connect(book, isolation_level=None)
    own.execute("BEGIN EXCLUSIVE")
    assert holders(str(book)) == []
    own.close()


# A gradebook that cannot be used


def damage(book):
    book.write_bytes(b"\x07" * 4096 + book.read_bytes()[4096:])


def cut(book):
    book.write_bytes(book.read_bytes()[: book.stat().st_size // 2])


def empty(book):
    book.write_bytes(b"")


@pytest.mark.parametrize(("spoil", "fact"), [(damage, "it is damaged"), (cut, "it is damaged"), (empty, "it is empty")])
def test_a_damaged_gradebook_is_refused_before_anything_runs_and_left_as_it_is(one, command, spoil, fact):
    spoil(one.book)
    before = one.book.read_bytes(), one.book.stat().st_mtime_ns

    def run():
        pytest.fail("a submission was run")

    code, said = command(one, meanwhile={0: run})
    assert code == 1
    assert f"{one.book}: {fact}" in said and "put your backup in its place" in said
    assert (one.book.read_bytes(), one.book.stat().st_mtime_ns) == before
    assert sorted(path.name for path in one.folder.glob("gradebook.db*")) == ["gradebook.db"]


@contextlib.contextmanager
def mounted(*words):
    """Mount something, which only root may, and not everywhere."""
    if os.getuid() != 0 or subprocess.run(["mount", *words], capture_output=True).returncode:
        pytest.skip("mounting a file system takes root, outside of most containers")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", words[-1]], check=True)


@contextlib.contextmanager
def read_only(path):
    """Make a file or folder read-only: root may write whatever its mode is, so for root it is mounted so."""
    if os.getuid() != 0:
        mode = path.stat().st_mode
        path.chmod(mode & ~0o222)
        yield
        path.chmod(mode)
        return
    with mounted("--bind", path, path):
        subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)
        yield


@pytest.mark.parametrize("what", ["gradebook.db", "."])
def test_a_gradebook_that_may_not_be_written_to_is_refused_before_anything_runs(one, command, what):
    before = one.book.read_bytes()

    def run():
        pytest.fail("a submission was run")

    with read_only(one.folder / what):
        code, said = command(one, meanwhile={0: run})
    assert code == 1
    assert f"{one.book}: it may not be opened or written to; give yourself the right" in said
    assert one.book.read_bytes() == before
    assert command(one)[0] == 0 and one.scores() == RIGHT


def test_a_folder_that_may_not_be_written_to_is_named_by_every_command(tmp_path, capsys):
    with read_only(tmp_path):
        assert main(["class", "7", "--folder", str(tmp_path / "class")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"{tmp_path / 'class'}: it ") and said.count("\n") == 1
    assert said.endswith(", and run the same command again\n")


# A disk that is full


def test_a_disk_that_is_full_at_any_moment_ends_the_run_with_a_sentence_and_loses_nothing(released, command, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=4m", "none", small):
        one = released[0].copy(small / "class")
        filler, ended = small / "filler", []
        for kilobytes in (0, 8, 64, 160, 400):
            fill(filler, kilobytes)
            code, said = command(one)
            filler.unlink()
            if code:
                assert "the disk is full; make room there" in said and said.count("\n") < 8
            assert nothing_unfinished(one)
            ended.append(code)
        assert ended[:2] == [1, 1]
        assert command(one)[0] == 0
        assert one.scores() == RIGHT


def fill(path, free):
    """Write a file until so many kilobytes are free on its disk."""
    about = os.statvfs(path.parent)
    with open(path, "wb") as file:
        file.write(bytes(max(0, about.f_bavail * about.f_frsize - (free << 10))))


def test_a_disk_that_is_full_when_a_grade_is_put_in_its_place_keeps_the_grade_of_before(
    one, command, whole, monkeypatch
):
    assert command(one)[0] == 0

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, said = command(one, "--again")
    assert code == 1 and "the disk is full; make room there" in said and GOES_ON in said
    assert nothing_unfinished(one) and one.everything() == whole


def test_a_run_that_ends_between_two_files_of_a_grade_leaves_it_to_be_graded_again(one, command, whole, monkeypatch):
    assert command(one)[0] == 0
    replace, put = os.replace, []

    def ends(source, target):
        put.append(Path(target).name)
        if len(put) == 2:
            raise OSError(28, "No space left on device")
        return replace(source, target)

    monkeypatch.setattr(os, "replace", ends)
    assert command(one, "--again")[0] == 1
    monkeypatch.undo()
    assert put == [f"{one.lesson.name}.ipynb", "timestamp.txt"]  # nbgrader alone goes by the time
    assert nothing_unfinished(one) and one.everything() == whole


# A database server that ends


@pytest.fixture(scope="module")
def server():
    with postgres.server() as address:
        yield address


@pytest.fixture(scope="module")
def released_beyond(server, tmp_path_factory):
    return Few(tmp_path_factory.mktemp("beyond") / "class", settings=f"c.CourseDirectory.db_url = {str(server)!r}\n")


@pytest.fixture
def beyond(released_beyond, server, tmp_path):
    """The class with a gradebook of its own in PostgreSQL."""
    own, home = f"gradebook_{uuid.uuid4().hex}", server.replace("+psycopg", "").replace("/gradebook?", "/postgres?")
    with contextlib.closing(psycopg.connect(home, autocommit=True)) as database:
        database.execute(f'CREATE DATABASE "{own}" TEMPLATE gradebook')
    one = released_beyond.copy(tmp_path / "class")
    with open(one.folder / "nbgrader_config.py", "a") as file:
        file.write(f"c.CourseDirectory.db_url = {server.replace('/gradebook?', f'/{own}?')!r}\n")
    return one


def test_a_server_that_restarts_while_a_grade_is_recorded_is_waited_for_and_nothing_is_lost(
    beyond, server, command, whole, monkeypatch
):
    restarted, save = [], scores.SaveReasons.preprocess

    def restart(step, notebook, resources):
        if not restarted:  # in the middle of the first grade, where scores are saved and comments are not
            server.end()
            restarted.append(threading.Timer(2, server.begin))
            restarted[0].start()
        return save(step, notebook, resources)

    monkeypatch.setattr(scores.SaveReasons, "preprocess", restart)
    code, said = command(beyond)
    restarted[0].join()
    assert code == 0 and "3 graded in" in said
    assert "the database server does not answer" in said and "Waiting for it, 300 s at most" in said
    assert beyond.everything()[:2] == whole[:2]


def test_a_server_that_restarts_between_two_grades_is_not_even_noticed(beyond, server, command, whole):
    def restart():
        server.end()
        server.begin()

    code, said = command(beyond, meanwhile={1: restart})
    assert code == 0 and "3 graded in" in said and "Waiting" not in said
    assert beyond.everything()[:2] == whole[:2]


def test_a_server_that_stays_away_ends_the_run_with_a_sentence_and_the_next_run_goes_on(beyond, server, command, whole):
    beyond.patience(1)
    code, said = command(beyond, meanwhile={1: server.end})
    assert code == 1 and "the database server does not answer" in said and GOES_ON in said
    code, said = command(beyond)  # now it is away from the beginning
    assert code == 1 and "the database server does not answer" in said and "Waiting" not in said
    server.begin()
    code, said = command(beyond)
    assert code == 0 and "2 graded in" in said and "1 were graded already" in said
    assert beyond.everything()[:2] == whole[:2]


# A sandbox that is killed


def of_bubblewrap(sandbox):
    return sandbox.process.pid


def of_the_kernel(sandbox):
    return sandbox.kernel_pid


SLOW = "import time\ntime.sleep(1)\n"  # so that what is killed in the middle of a cell has not done it yet


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    course = Course(tmp_path_factory.mktemp("killed")).release()
    return course


@pytest.fixture
def killed(course, monkeypatch):
    """Grades a right submission while something is killed, and returns (its points, its graded notebook as text).

    when    "a cell" or "a check": in the middle of what
    victim  function from the `Sandbox` of the submission to the process that is killed
    times   how often it is killed
    """

    def run(when, victim, times=1):
        left, started, asked = [times], [], []
        hear, ask, expect = RunAnswers.process_message, Channel.ask, Sandbox._expect

        def kill():
            if left[0]:
                left[0] -= 1
                os.kill(victim(started[-1]), signal.SIGKILL)

        async def starting(sandbox, *how):
            started.append(sandbox)
            return await expect(sandbox, *how)

        def heard(run, message, cell, index):
            if when == "a cell" and message["msg_type"] == "execute_input" and SLOW in cell.source:
                kill()
            return hear(run, message, cell, index)

        def asking(channel, *question):
            asked.append(question)
            if when == "a check" and len(asked) >= 2:
                kill()
            return ask(channel, *question)

        monkeypatch.setattr(Sandbox, "_expect", starting)
        monkeypatch.setattr(RunAnswers, "process_message", heard)
        monkeypatch.setattr(Channel, "ask", asking)
        learner = f"learner{uuid.uuid4().hex}"
        place(course, learner, course.answers(merge=SLOW + MERGE))
        autograde(course, learner)
        assert left == [0]
        found = course.scores(learner)
        return (found["check_attention_scores"], found["check_merge_heads"]), json.dumps(course.autograded(learner))

    return run


@pytest.mark.parametrize(("when", "victim"), [("a cell", of_bubblewrap), ("a check", of_the_kernel)])
def test_a_sandbox_that_is_killed_once_costs_nobody_points(killed, when, victim):
    assert killed(when, victim)[0] == (2, 2)


def test_a_sandbox_that_is_killed_twice_gives_a_reason_and_the_rest_is_graded(killed):
    points, said = killed("a cell", of_the_kernel, times=2)
    assert points == (2, 0)
    assert "the Python process ended in it (a crash, an exit, or too little memory)" in said


def test_without_the_zygote_that_was_killed_kernels_start_cold_and_earn_the_same(killed, monkeypatch):
    with warm() as address:
        monkeypatch.setenv(VARIABLE, address)
        zygote = [one.pid for one in psutil.Process().children() if "autograder.sandbox.zygote" in one.cmdline()][-1]
        assert killed("a cell", lambda sandbox: zygote)[0] == (2, 2)
