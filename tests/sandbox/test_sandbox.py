"""What code in a sandbox tries, and does not get. Everything is tried from inside, through a kernel."""

import os
import socket
import tempfile
import time
from pathlib import Path

import pytest
from sandboxes import REPOSITORY, Inside, need_bubblewrap, running, warm

from autograder.sandbox.cgroup import Cgroup
from autograder.sandbox.limits import Limits

STARTS = ("cold", "warm")


@pytest.fixture(scope="module")
def zygote():
    need_bubblewrap()
    with warm() as address:
        yield address


@pytest.fixture(scope="module", params=STARTS)
def start(request):
    """The address of a zygote, or "" for a cold start."""
    need_bubblewrap()
    return request.getfixturevalue("zygote") if request.param == "warm" else ""


@pytest.fixture(scope="module")
def kernel(start):
    """A kernel that the tests share which leave it as it was."""
    secret = os.environ.pop("SECRET_OF_THE_HOST", None)
    os.environ["SECRET_OF_THE_HOST"] = "told"
    try:
        with Inside(start) as inside:
            yield inside
    finally:
        os.environ.pop("SECRET_OF_THE_HOST")
        if secret is not None:
            os.environ["SECRET_OF_THE_HOST"] = secret


def limited_by_cgroup(what):
    cgroup = Cgroup(Limits())
    cgroup.remove()
    return what in cgroup.limits


def test_code_runs_and_its_output_arrives(kernel):
    assert kernel.run("print(2 + 3)") == "5\n"
    assert kernel.value("[os.getcwd(), os.getuid()]", "import os") == ["/scratch", 1000]


def test_lessons_find_what_they_import(kernel):
    kernel.run(
        "import torch, numpy, matplotlib.pyplot as plt\nfrom autograder import check, hint, progress\n"
        "from workbench import figures\nfrom workbench.parts import Encoder\nplt.plot([2, 3])\nplt.show()"
    )
    assert kernel.value(
        "[tempfile.gettempdir(), tempfile.TemporaryFile().fileno() > 2, os.path.isdir(matplotlib.get_cachedir())]",
        "import tempfile, os, matplotlib",
    ) == ["/tmp", True, True]
    assert kernel.value("float(torch.nn.Linear(5, 3)(torch.ones(2, 5)).sum().backward() is None)") == 1.0


# What can be seen


def test_of_the_repository_only_the_two_packages_can_be_seen(kernel):
    packages = [REPOSITORY / "autograder", REPOSITORY / "course" / "workbench"]
    prefix = Path(kernel.value("sys.prefix", "import sys"))
    seen = kernel.value(
        "sorted(set(found))",
        f"""
import os
found = []
for folder, _, files in os.walk({str(REPOSITORY)!r}):
    found += [os.path.join(folder, name) for name in files]
""",
    )
    assert any(path.startswith(f"{packages[0]}/") for path in seen)
    assert [path for path in seen if not any(Path(path).is_relative_to(shown) for shown in [*packages, prefix])] == []


@pytest.mark.parametrize(
    "name", ["solutions", "tests", "gradebook.db", "nbgrader_config.py", ".git", "course/01_encoder"]
)
def test_the_solutions_and_the_gradebook_cannot_be_read(kernel, name):
    assert kernel.value(f"os.path.lexists({str(REPOSITORY / name)!r})", "import os") is False
    assert kernel.fails("import solutions") == "ModuleNotFoundError"


def test_no_gradebook_is_anywhere(kernel):
    prefix = kernel.value("sys.prefix", "import sys")
    assert (
        kernel.value(
            "found",
            f"""
import os
found = []
for folder, folders, files in os.walk("/"):
    # nbgrader's package brings gradebooks along, with nothing in them.
    folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/proc", {prefix!r})]
    found += [os.path.join(folder, name) for name in files if name in ("gradebook.db", "nbgrader_config.py", "shadow")]
""",
        )
        == []
    )


@pytest.mark.parametrize(
    "place",
    [
        "/etc/passwd",
        "/etc/shadow",
        "/etc/hostname",
        "/etc/ssh",
        "/home",
        "/var",
        "/sys",
        "/boot",
        "/opt",
        "/srv",
        "/mnt",
        "/run/user",
        "/run/docker.sock",
        "/proc/keys",
        "/proc/kallsyms",
        "/proc/kcore",
        "/proc/config.gz",
        "/proc/sys/kernel/hostname",
    ],
)
def test_the_rest_of_the_host_cannot_be_read(kernel, place):
    if Path(place) in REPOSITORY.parents:
        pytest.skip(f"the course, which is shown, lies in {place}")
    assert (
        kernel.value(
            "found",
            f"""
import os
try:
    found = bool(os.listdir({place!r}) if os.path.isdir({place!r}) else open({place!r}, "rb").read(1))
except OSError:
    found = False
""",
        )
        is False
    )


def test_files_of_the_host_in_tmp_and_home_cannot_be_read(kernel):
    with tempfile.NamedTemporaryFile() as file:
        assert kernel.value(f"os.path.lexists({file.name!r})", "import os") is False
    assert kernel.value("[name for name in os.listdir('/scratch') if not name.startswith('.')]", "import os") == []
    home = os.path.expanduser("~")
    python = Path(kernel.value("sys.base_prefix", "import sys"))
    seen = kernel.value(f"os.listdir({home!r}) if os.path.isdir({home!r}) else []", "import os")
    assert [
        name
        for name in seen
        if not python.is_relative_to(Path(home, name)) and not REPOSITORY.is_relative_to(Path(home, name))
    ] == []


def test_proc_shows_no_process_of_the_host(kernel):
    commands = kernel.value(
        "commands",
        """
import os
commands = [open(f"/proc/{name}/cmdline").read().split("\\0") for name in os.listdir("/proc") if name.isdigit()]
""",
    )
    assert {os.path.basename(command[0]) for command in commands} <= {"bwrap", "sleep", "python", "python3"}
    assert len(commands) <= 3
    # Neither paths of the host nor names of learners: bubblewrap's arguments are not on its command line.
    assert not any("--ro-bind" in command for command in commands)


def test_what_is_no_process_in_proc_can_be_neither_read_nor_written(kernel):
    """Where root grades, the owner of /proc/sys is the user of the sandbox."""
    open_to_write = kernel.value(
        "found",
        """
import os
found = []
for folder, folders, files in os.walk("/proc"):
    if folder == "/proc":
        folders[:] = [name for name in folders if not name.isdigit() and name not in ("self", "thread-self")]
    for name in files:
        try:
            os.close(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_NONBLOCK))
            found.append(name)
        except OSError:
            pass
""",
    )
    assert open_to_write == []
    assert kernel.value("os.listdir('/proc/sys')", "import os") == []


def test_the_environment_holds_nothing_of_the_host(kernel):
    names = kernel.value("sorted(os.environ)", "import os")
    assert "SECRET_OF_THE_HOST" not in names
    assert kernel.value(
        "found",
        """
import os
found = []
for name in filter(str.isdigit, os.listdir("/proc")):
    try:
        found += [b"SECRET" in open(f"/proc/{name}/environ", "rb").read()]
    except PermissionError:
        pass
""",
    ) == [False] * len(kernel.value("found"))
    assert {"HOME", "PATH"} <= set(names)


def test_no_open_file_of_the_host_is_inherited(start):
    pair, other_end = socket.socketpair()
    with tempfile.NamedTemporaryFile() as file, pair, other_end:
        for number in (file.fileno(), pair.fileno()):
            os.set_inheritable(number, True)
        inode = os.fstat(pair.fileno()).st_ino
        with Inside(start) as inside:
            links = inside.value(
                "links",
                """
import os
links = []
for name in filter(str.isdigit, os.listdir("/proc")):
    try:
        numbers = os.listdir(f"/proc/{name}/fd")
    except PermissionError:
        continue
    for number in numbers:
        try:
            links.append(os.readlink(f"/proc/{name}/fd/{number}"))
        except FileNotFoundError:
            pass  # the one through which the folder was read
""",
            )
            own = inside.value(
                "own",
                """
import socket
own = ["socket:[" + line.split()[6] + "]" for line in open("/proc/net/unix").readlines()[1:]]
for kind in ("tcp", "tcp6"):
    own += ["socket:[" + line.split()[9] + "]" for line in open(f"/proc/net/{kind}").readlines()[1:]]
for number in os.listdir("/proc/self/fd"):
    try:
        with socket.socket(fileno=os.dup(int(number))) as open_one:
            # The connections of our client, which were made on its side.
            if str(open_one.getsockname()).startswith("/run/sandbox/sockets/kernel-") and not open_one.getpeername():
                own.append(os.readlink(f"/proc/self/fd/{number}"))
    except OSError:
        pass
""",
            )
    assert links and f"socket:[{inode}]" not in links
    plain = [link for link in links if not link.startswith(("socket:", "pipe:", "anon_inode:"))]
    assert set(plain) <= {"/dev/null"}
    # A socket of another network namespace is not listed inside.
    assert {link for link in links if link.startswith("socket:")} <= set(own)
    assert "anon_inode:[pidfd]" not in links


# What can be reached


def test_there_is_no_network(kernel):
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as local:
        local.bind("\0transformer-taxonomy-test")
        local.listen()
        port = listener.getsockname()[1]
        assert kernel.fails(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)") == (
            "ConnectionRefusedError"
        )
        assert kernel.fails("import socket\nsocket.create_connection(('192.0.2.1', 80), 2)") == "OSError"
        assert kernel.fails("import socket\nsocket.getaddrinfo('example.org', 80)") == "gaierror"
        assert kernel.fails("import socket\nsocket.socket(socket.AF_UNIX).connect('\\0transformer-taxonomy-test')") == (
            "ConnectionRefusedError"
        )
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert kernel.value("[line.split(':')[0].strip() for line in open('/proc/net/dev').readlines()[2:]]") == ["lo"]


@pytest.mark.parametrize(
    ("family", "kind", "protocol"),
    [(40, 1, 0), (38, 5, 0), (17, 3, 0), (16, 3, 12), (2, 3, 1)],
    ids=["vsock", "crypto", "packet", "netfilter", "raw"],
)
def test_sockets_of_other_kinds_cannot_be_made(kernel, family, kind, protocol):
    """A vsock leads out of a virtual machine, whatever network there is."""
    assert kernel.fails(f"import socket\nsocket.socket({family}, {kind}, {protocol})") in ("OSError", "PermissionError")


def test_processes_of_the_host_get_no_signals(kernel):
    for pid in (os.getpid(), os.getppid()):
        assert kernel.fails(f"import os\nos.kill({pid}, 0)") == "ProcessLookupError"
        assert kernel.fails(f"import os\nos.pidfd_open({pid})") == "ProcessLookupError"


def test_the_sockets_of_other_kernels_cannot_be_reached(start):
    with Inside(start) as one, Inside(start) as other:
        for inside in (one, other):
            assert len(inside.value("os.listdir('/run/sandbox/sockets')", "import os")) == 5
        one.run("open('/run/sandbox/sockets/mark', 'w').close(); open('/tmp/mark', 'w').close()")
        assert other.value("[os.path.exists(f'{place}/mark') for place in ('/run/sandbox/sockets', '/tmp')]") == [
            False,
            False,
        ]
        # The host's own way to the sockets leads nowhere from inside.
        assert other.value(f"os.path.exists({one.manager.ip + '-1'!r})") is False
        assert one.manager.session.key != other.manager.session.key
        assert one.manager.session.key.decode() not in other.run("print(open('/run/sandbox/connection.json').read())")


def test_nothing_can_be_written_but_scratch(kernel):
    places = [
        "/",
        "/usr",
        "/usr/bin",
        "/etc",
        "/dev",
        "/proc",
        "/run",
        "/run/sandbox",
        "/run/sandbox/task.json",
        "/run/sandbox/connection.json",
        "/lib",
        str(REPOSITORY),
        str(REPOSITORY / "autograder"),
        str(REPOSITORY / "course/workbench/figures.py"),
        kernel.value("sys.prefix", "import sys"),
        kernel.value("os.path.dirname(os.__file__)", "import os"),
        kernel.value("torch.__file__", "import torch"),
    ]
    written = kernel.value(
        "written",
        f"""
import os
written = []
for place in {places!r}:
    try:
        os.close(os.open(os.path.join(place, "new") if os.path.isdir(place) else place, os.O_CREAT | os.O_WRONLY))
        written.append(place)
    except OSError:
        pass
""",
    )
    assert written == [] and not any(os.path.exists(os.path.join(place, "new")) for place in places)
    assert kernel.fails("open('/scratch/new', 'w').write('x')\nimport os\nos.unlink('/scratch/new')") == ""


@pytest.mark.parametrize(
    "call",
    [
        "unshare(0x10000000)",
        "unshare(0x00020000)",
        "setns(0, 0)",
        "ptrace(16, 1, 0, 0)",
        "ptrace(0, 0, 0, 0)",
        "mount(b'none', b'/tmp', b'tmpfs', 0, 0)",
        "mount(b'none', b'/', None, 32 | 4096, 0)",
        "umount2(b'/proc/sys', 2)",
        "chroot(b'/tmp')",
        "sethostname(b'x', 1)",
        "syscall(101, 16, 1, 0, 0)",
        "syscall(56, 0x10000011, 0, 0, 0, 0)",
        "syscall(435, 0, 0)",
        "syscall(321, 0, 0, 0)",
        "syscall(250, 0, 0)",
        "syscall(425, 1, 0)",
        "syscall(298, 0, 0, 0)",
    ],
)
def test_calls_that_would_open_the_sandbox_fail(kernel, call):
    if call.startswith("syscall") and os.uname().machine != "x86_64":
        pytest.skip("these numbers are those of x86_64")
    result, number = kernel.value(
        "result",
        f"""
import ctypes
_c = ctypes.CDLL(None, use_errno=True)
result = [_c.{call}, ctypes.get_errno()]
""",
    )
    assert result == -1 and number in (1, 38)


def test_every_process_inside_is_without_rights(kernel):
    lines = kernel.value(
        "lines",
        """
import os
lines = [line.split() for name in os.listdir("/proc") if name.isdigit() for line in open(f"/proc/{name}/status")
         if line.startswith(("Cap", "NoNewPrivs", "Seccomp:"))]
""",
    )
    assert {value for name, value in lines if name.startswith("Cap")} == {"0" * 16}
    assert {value for name, value in lines if name == "NoNewPrivs:"} == {"1"}
    assert {value for name, value in lines if name == "Seccomp:"} == {"2"}


def test_a_program_that_belongs_to_root_brings_no_rights(kernel):
    code = "subprocess.run(['mount', '-o', 'remount,rw', '/'], capture_output=True).returncode"
    assert kernel.value(code, "import subprocess") > 0
    assert kernel.value(
        "[os.statvfs(place).f_flag & os.ST_NOSUID > 0 for place in ('/usr/bin', '/scratch', '/tmp')]", "import os"
    ) == [True, True, True]


# How much can be used


def test_one_process_cannot_take_more_memory_than_its_limit(start):
    with Inside(start, address_space=2048) as inside:
        assert inside.fails("bytearray(3 << 30)") == "MemoryError"
        assert inside.fails("bytearray(1 << 28)") == ""


def test_all_processes_together_cannot_take_more_memory_than_the_sandbox_has(start):
    if not limited_by_cgroup("memory"):
        pytest.skip("this machine lets us make no memory cgroup, and proofs say so")
    with Inside(start, memory=512) as inside:
        ended = inside.value(
            "ended",
            """
import os, signal
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        block = bytearray(200 << 20)
        for at in range(0, len(block), 4096):
            block[at] = 1
        signal.pause()
    children.append(child)
import time
ended, end = [], time.monotonic() + 20
while not ended and time.monotonic() < end:
    ended = [os.waitstatus_to_exitcode(status) for child, status in (os.waitpid(c, os.WNOHANG) for c in children)
             if child]
    time.sleep(0.1)
for child in children:
    try:
        os.kill(child, 9)
    except ProcessLookupError:
        pass
""",
        )
        assert -9 in ended
        assert inside.value("2 + 3") == 5


def test_files_count_as_memory_and_fill_no_disk(start):
    with Inside(start, scratch=20, file_size=7) as inside:
        written = inside.value(
            "written",
            """
import os
written = {}
for folder in ("/scratch", "/tmp", "/dev/shm", "/run/sandbox/sockets", "/", "/dev", "/proc"):
    written[folder] = 0
    try:
        for number in range(40):
            with open(f"{folder}/{number}", "wb", buffering=0) as file:
                written[folder] += file.write(bytes(1 << 20))
    except OSError:
        pass
""",
        )
        assert written.pop("/run/sandbox/sockets") < 1 << 20
        assert 19 << 20 <= written["/scratch"] <= 20 << 20
        assert all(size <= 20 << 20 for size in written.values())
        assert written["/"] == written["/dev"] == written["/proc"] == 0


def test_one_file_cannot_grow_over_its_limit(start):
    with Inside(start, file_size=3) as inside:
        assert (
            inside.value(
                "size",
                """
import os, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with open("large", "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(1 << 20))
    except OSError:
        pass
size = os.path.getsize("large") >> 20
""",
            )
            == 3
        )


def test_a_fork_bomb_is_bounded(start):
    with Inside(start, processes=60) as inside:
        count = inside.value(
            "len(children)",
            """
import os, signal, time
children = []
try:
    while len(children) < 500:
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        children.append(child)
except OSError:
    pass
for child in children:
    os.kill(child, 9)
    os.waitpid(child, 0)
""",
        )
        assert 10 < count <= 60
        assert inside.value("2 + 3") == 5


def test_a_bomb_of_threads_is_bounded(start):
    with Inside(start, processes=50) as inside:
        assert (
            inside.value(
                "count",
                """
import threading
stop, count = threading.Event(), 0
try:
    while count < 500:
        threading.Thread(target=stop.wait, daemon=True).start()
        count += 1
except RuntimeError:
    pass
stop.set()
""",
            )
            < 50
        )


def test_processor_time_is_bounded(start):
    with Inside(start, cpu_seconds=6) as inside:
        inside.client.execute("while True: pass")
        end = time.monotonic() + SECONDS_FOR_SIX
        while inside.alive() and time.monotonic() < end:
            time.sleep(0.2)
        assert not inside.alive()


# The machine that runs the tests may have other things to do.
SECONDS_FOR_SIX = 90


def test_open_files_are_bounded(start):
    with Inside(start, open_files=128) as inside:
        assert inside.fails("files = [open('/dev/null') for _ in range(200)]") == "OSError"


def test_there_are_no_core_dumps(kernel):
    assert kernel.value("resource.getrlimit(resource.RLIMIT_CORE)", "import resource") == [0, 0]


# How it ends


def test_an_interrupt_stops_a_cell_and_leaves_the_kernel_alive(start):
    with Inside(start) as inside:
        inside.run("kept = 7")
        # Otherwise a kernel skips what arrives in the moment after an error.
        message = inside.client.execute("import time\nfor _ in range(600): time.sleep(0.1)", stop_on_error=False)
        time.sleep(1)
        inside.wait(inside.manager.interrupt_kernel())
        reply = inside.wait(inside.client._recv_reply(message, timeout=30))
        assert reply["content"]["ename"] == "KeyboardInterrupt"
        assert inside.value("kept") == 7


DAEMON = """
import os, subprocess, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        import signal
        for number in range(1, 32):
            if number not in (9, 19):
                signal.signal(number, signal.SIG_IGN)
        os.execv("/usr/bin/sleep", ["sleep", "{}"])
    os._exit(0)
subprocess.Popen(["setsid", "sleep", "{}"])
"""


def started(inside, marker):
    inside.run(DAEMON.format(marker, marker))
    end = time.monotonic() + 20
    while len(running(marker)) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    assert len(running(marker)) == 2


def test_killing_a_kernel_takes_along_everything_that_it_started(start):
    marker = f"600.{os.getpid()}1"
    with Inside(start) as inside:
        first = inside.manager.provisioner.sandbox.first_pid
        started(inside, marker)
        before = time.monotonic()
        inside.wait(inside.manager.provisioner.kill())
        assert time.monotonic() - before < 5
        assert running(marker) == [] and not os.path.exists(f"/proc/{first}")
        assert not inside.alive()


def test_a_kernel_that_exits_takes_along_everything_that_it_started(start):
    marker = f"600.{os.getpid()}2"
    with Inside(start) as inside:
        started(inside, marker)
        inside.client.execute("import os; os._exit(0)")
        end = time.monotonic() + 20
        while inside.alive() and time.monotonic() < end:
            time.sleep(0.05)
        assert not inside.alive()
        inside.wait(inside.manager.provisioner.wait())
        assert running(marker) == []


def test_a_kernel_that_signals_everything_ends_itself_only(start):
    with Inside(start) as other, Inside(start) as inside:
        inside.client.execute(
            "import os\nfor pid in (-1, 1, os.getpid()):\n    try:\n        os.kill(pid, 9)\n"
            "    except ProcessLookupError:\n        pass"
        )
        end = time.monotonic() + 20
        while inside.alive() and time.monotonic() < end:
            time.sleep(0.05)
        assert not inside.alive()
        assert other.value("2 + 3") == 5


def test_nothing_is_left_of_a_kernel(start):
    with Inside(start):
        pass
    files = len(os.listdir("/proc/self/fd"))
    with Inside(start) as inside:
        folders = list(inside.manager.provisioner.sandbox.cgroup.folders)
        assert all(folder.exists() for folder in folders)
    assert not any(folder.exists() for folder in folders)
    assert len(os.listdir("/proc/self/fd")) <= files
