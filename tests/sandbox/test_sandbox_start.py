"""How a sandbox is started, proven, refused and cleaned up, as seen from the host."""

import asyncio
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from sandboxes import REPOSITORY, SECONDS, Inside, need_bubblewrap, running, warm
from traitlets.config import Config

from autograder.sandbox import (
    SandboxKernelManager,
    SandboxUnavailable,
    flood,
    owner,
    proof,
    seccomp,
    view,
    warm_once,
    zygote,
)
from autograder.sandbox.cgroup import Cgroup
from autograder.sandbox.limits import Limits
from autograder.sandbox.warm_start import VARIABLE, NoZygoteError, ask

PARTS = REPOSITORY / "course" / "workbench" / "parts"


@pytest.fixture(scope="module")
def zygote_address():
    need_bubblewrap()
    with warm() as address:
        yield address


@pytest.fixture(params=["cold", "warm"])
def start(request):
    """The address of a zygote, or "" for a cold start."""
    need_bubblewrap()
    return request.getfixturevalue("zygote_address") if request.param == "warm" else ""


@pytest.fixture
def no_proofs(monkeypatch):
    """Nothing has been proven in this process yet, and no zygote is known."""
    monkeypatch.setattr(proof, "_proofs", {})
    monkeypatch.delenv(VARIABLE, raising=False)


# What a kernel is given


@pytest.fixture
def assignment(tmp_path):
    folder = tmp_path / "lesson"
    (folder / "data").mkdir(parents=True)
    (folder / "numbers.csv").write_text("2,3,5", encoding="utf-8")
    (folder / "data" / "more é\n.txt").write_text("7", encoding="utf-8")
    secret = tmp_path / "gradebook.db"
    secret.write_text("secret", encoding="utf-8")
    for name in ("lesson.ipynb", "torch.py", "numpy.so", ".hidden"):
        (folder / name).write_text("1 / 0", encoding="utf-8")
    (folder / "link.csv").symlink_to(secret)
    (folder / "links").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.csv")
    return folder


def test_data_files_can_be_read_and_nothing_else_of_the_folder(start, assignment):
    with Inside(start, start={"cwd": str(assignment)}) as inside:
        seen = inside.value(
            "sorted(str(path) for path in Path('.').rglob('*') if path.is_file())", "from pathlib import Path"
        )
        assert [name for name in seen if not name.startswith(".cache")] == ["data/more é\n.txt", "numbers.csv"]
        assert inside.value("open('numbers.csv').read()") == "2,3,5"
        assert inside.fails("open('numbers.csv', 'a')") == "OSError"
        inside.run("open('own.csv', 'w').write('mine')")
    assert (assignment / "numbers.csv").read_text(encoding="utf-8") == "2,3,5"
    assert not (assignment / "own.csv").exists()


def test_a_folder_with_too_many_data_files_is_refused(tmp_path):
    for number in range(view.MOST_DATA_FILES + 1):
        (tmp_path / f"{number}.csv").touch()
    with pytest.raises(ValueError, match="more than 200 data files"):
        list(view.data_files(tmp_path))


def test_a_hidden_part_is_empty_and_so_is_what_was_compiled_of_it(start):
    hidden = PARTS / "scaled_dot_product_attention.py"
    assert hidden.stat().st_size > 0
    with Inside(start, hidden=[str(hidden)]) as inside:
        assert inside.value(f"open({str(hidden)!r}).read()") == ""
        assert inside.value(f"list(Path({str(PARTS)!r}).glob('__pycache__/*'))", "from pathlib import Path") == []
        assert inside.value(f"len(open({str(PARTS / 'encoder.py')!r}).read())") > 0
        assert inside.value("'workbench.parts' in sys.modules", "import sys") is False
        assert inside.fails(f"open({str(hidden)!r}, 'w')") == "OSError"
    with Inside(start) as inside:
        assert inside.value(f"len(open({str(hidden)!r}).read())") > 0


def test_a_hidden_folder_is_empty(start):
    with Inside(start, start={"hidden": [str(PARTS)]}) as inside:
        assert inside.value(f"os.listdir({str(PARTS)!r})", "import os") == []
        assert inside.fails(f"open({str(PARTS / 'new')!r}, 'w')") == "OSError"


def test_what_is_shown_can_be_read_and_not_written(start, tmp_path):
    (tmp_path / "weights").write_text("7", encoding="utf-8")
    with Inside(start, shown=[str(tmp_path)]) as inside:
        assert inside.value(f"open({str(tmp_path / 'weights')!r}).read()") == "7"
        assert inside.fails(f"open({str(tmp_path / 'weights')!r}, 'w')") == "OSError"


def test_a_course_inside_of_a_folder_that_can_be_seen_is_covered(monkeypatch):
    need_bubblewrap()
    secret = "/usr/share/doc"
    monkeypatch.setattr(view, "secret_places", lambda: [secret])
    with Inside() as inside:
        assert os.listdir(secret) and inside.value(f"os.listdir({secret!r})", "import os") == []
        assert inside.fails(f"open('{secret}/new', 'w')") == "OSError"


# The kernel manager


def notebook(code, **metadata):
    cells = [nbformat.v4.new_code_cell(code)]
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def test_neither_a_notebook_nor_an_installed_kernelspec_chooses_the_kernel(tmp_path, monkeypatch):
    need_bubblewrap()
    spec = {
        "argv": ["touch", str(tmp_path / "started")],
        "display_name": "evil",
        "language": "python",
        "env": {"EVIL": "1"},
    }
    folder = tmp_path / "share" / "kernels" / "evil"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    node = notebook("import os\nos.getcwd(), 'EVIL' in os.environ", kernelspec={"name": "evil", "display_name": "x"})
    config = Config({"NotebookClient": {"kernel_manager_class": "autograder.sandbox.SandboxKernelManager"}})
    NotebookClient(node, config=config).execute()
    assert node.cells[0].outputs[0].data["text/plain"] == "('/scratch', False)"
    assert not (tmp_path / "started").exists()


def test_limits_come_from_the_configuration():
    need_bubblewrap()
    config = Config({"SandboxProvisioner": {"open_files": 131, "processes": 61}})
    with Inside(manager={"config": config}, processes=67) as inside:
        assert inside.value(
            "[resource.getrlimit(number)[1] for number in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC)]",
            "import resource",
        ) == [131, 67]


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(Exception, match="choose 1 or more"):
        Inside(memory=0).__enter__()


def test_several_kernels_run_at_the_same_time_in_one_loop(zygote_address):
    async def square(number):
        manager = SandboxKernelManager(sandbox={"zygote": zygote_address}, prove_first=False)
        await manager.start_kernel()
        client = manager.client()
        client.start_channels()
        await client.wait_for_ready(SECONDS)
        reply = await client.execute("", user_expressions={"square": f"{number} ** 2"}, reply=True, timeout=SECONDS)
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
        return reply["content"]["user_expressions"]["square"]["data"]["text/plain"]

    async def squares():
        return await asyncio.gather(*map(square, (2, 3, 5, 7)))

    assert asyncio.run(squares()) == ["4", "9", "25", "49"]


def test_a_restarted_kernel_is_a_new_one(start):
    with Inside(start) as inside:
        inside.run("kept = 1; open('kept', 'w').close()")
        inside.client.stop_channels()
        inside.wait(inside.manager.restart_kernel(now=True))
        inside.client = inside.manager.client()
        inside.client.start_channels()
        inside.wait(inside.client.wait_for_ready(SECONDS))
        assert inside.value("['kept' in globals(), os.path.exists('kept')]", "import os") == [False, False]


def test_a_kernel_that_dies_is_reported_to_nbclient():
    need_bubblewrap()
    node = notebook("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(DeadKernelError):
        NotebookClient(node, kernel_manager_class=SandboxKernelManager).execute()


def test_a_message_over_the_limit_reaches_nobody(start):
    with Inside(start) as inside:
        inside.client.execute(f"print('x' * {17 << 20})")
        end = time.monotonic() + 5
        sizes = []
        while time.monotonic() < end:
            try:
                message = inside.wait(inside.client.get_iopub_msg(timeout=1))
            except Exception:
                continue
            sizes.append(len(message["content"].get("text", "")))
        assert max(sizes, default=0) < 17 << 20


# Takes the connection that publishes, and sends parts of a message that never ends.
FLOOD = """
import os, socket, struct
part = b"\\x03" + struct.pack(">Q", 8 << 20) + bytes(8 << 20)
sockets = []
for number in map(int, os.listdir("/proc/self/fd")):
    try:
        own = socket.socket(fileno=os.dup(number))
        if own.family == socket.AF_UNIX and own.getsockname().endswith("/kernel-2") and not own.getpeername():
            own.setblocking(True)
            sockets.append(own)
    except OSError:
        pass
while True:
    for own in sockets:
        own.sendall(part)
"""


def test_a_message_without_end_ends_its_kernel_and_not_the_grading(start):
    with Inside(start, flood=200) as inside:
        before = flood.memory()
        inside.client.execute(FLOOD)
        end, most = time.monotonic() + 60, 0
        while inside.alive() and time.monotonic() < end:
            time.sleep(0.01)
            most = max(most, flood.memory() - before)
        assert not inside.alive() and inside.manager.provisioner.flooded
        assert 200 << 20 < most < 1500 << 20


def test_a_quiet_kernel_is_no_flood(start):
    with Inside(start) as inside:
        inside.run("print('x' * 1000)")
    assert not inside.manager.provisioner.flooded


# The zygote


def test_kernels_of_one_zygote_draw_different_numbers(zygote_address):
    draws = []
    for _ in range(2):
        with Inside(zygote_address) as inside:
            draws.append(
                inside.value(
                    "[random.random(), float(numpy.random.rand()), float(torch.rand(1)), tempfile.mktemp()]",
                    "import random, numpy, tempfile, torch",
                )
            )
    assert not set(draws[0]) & set(draws[1])


def test_a_warm_kernel_has_torch_already_and_a_cold_one_has_not(zygote_address):
    for address in ("", zygote_address):
        with Inside(address) as inside:
            assert inside.value("'torch' in sys.modules", "import sys") is bool(address)
            assert inside.value("torch.get_num_threads()", "import torch") == 1


def test_a_warm_kernel_has_inherited_nothing_that_is_hidden(zygote_address):
    with Inside(zygote_address) as inside:
        loaded = inside.value("list(sys.modules)", "import sys")
    assert "workbench.figures" in loaded
    assert [name for name in loaded if name.startswith(("solutions", "workbench.parts", "workbench.broken"))] == []


def test_a_zygote_that_has_loaded_what_may_be_hidden_does_not_start():
    with pytest.raises(RuntimeError, match="zygote: it did not start"), warm(["workbench.parts"]):
        pass


def test_a_zygote_that_listens_is_used_by_whoever_asks_for_one_and_not_ended(zygote_address, monkeypatch):
    monkeypatch.setenv(VARIABLE, zygote_address)
    with warm_once() as address:
        assert address == zygote_address
    assert os.environ[VARIABLE] == zygote_address
    with Inside(zygote_address) as inside:
        assert inside.value("2 + 3") == 5


def test_where_no_zygote_listens_one_is_started_and_ended(tmp_path, monkeypatch):
    gone = str(tmp_path / "zygote")
    monkeypatch.setenv(VARIABLE, gone)
    with warm_once() as address:
        assert address != gone and os.environ[VARIABLE] == address and os.path.exists(address)
    assert os.environ[VARIABLE] == gone and not os.path.exists(address)


def test_a_zygote_is_not_used_for_what_it_has_loaded(zygote_address):
    figures = REPOSITORY / "course" / "workbench" / "figures.py"
    manager = SandboxKernelManager(sandbox={"zygote": zygote_address, "hidden": [str(figures)]}, prove_first=False)

    async def look():
        await manager.start_kernel()
        forked = manager.provisioner.sandbox.kernel is not None
        await manager.shutdown_kernel(now=True)
        return forked

    assert asyncio.run(look()) is False


def test_without_its_zygote_a_kernel_starts_cold(tmp_path):
    need_bubblewrap()
    manager = SandboxKernelManager(sandbox={"zygote": str(tmp_path / "gone")}, prove_first=False)

    async def look():
        await manager.start_kernel()
        seen = manager.provisioner.sandbox.kernel, await manager.is_alive()
        await manager.shutdown_kernel(now=True)
        return seen

    assert asyncio.run(look()) == (None, True)


def test_only_its_own_user_reaches_a_zygote(zygote_address):
    assert Path(zygote_address).parent.stat().st_mode & 0o777 == 0o700
    if os.getuid() != 0:
        pytest.skip("only root can become another user to try it")
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    assert zygote.peer_is_same_user(here)
    script = (
        f"import os, socket, sys\nos.setuid(65534)\nsys.path[:0] = {sys.path!r}\n"
        f"s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\ns.connect({zygote_address!r})"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "PermissionError" in ended.stderr
    here.close(), there.close()


def test_a_zygote_tells_a_stranger_nothing(zygote_address, monkeypatch):
    """Where the folder's rights did not hold, the user at the other end is looked at."""
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    with pytest.raises(NoZygoteError, match="another user"):
        ask(zygote_address, 0, 1, [], [])


# Nothing is left behind

LIVES = """
import asyncio, sys, time
from autograder.sandbox import SandboxKernelManager, warm

async def start():
    manager = SandboxKernelManager(prove_first=False)
    await manager.start_kernel()
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(60)
    client.execute("import subprocess\\nfor _ in range(3): subprocess.Popen(['setsid', 'sleep', '{marker}'])")
    await asyncio.sleep(1)
    print("started", *manager.provisioner.sandbox.cgroup.folders, flush=True)
    time.sleep(600)

with warm() as address:
    print(address, flush=True)
    asyncio.run(start())
"""


def test_when_the_grading_is_killed_its_kernels_and_its_zygote_end_too():
    need_bubblewrap()
    marker = f"600.{os.getpid()}3"
    grading = subprocess.Popen([sys.executable, "-c", LIVES.format(marker=marker)], stdout=subprocess.PIPE, text=True)
    folder = Path(grading.stdout.readline().strip()).parent
    cgroups = [Path(name) for name in grading.stdout.readline().split()[1:]]
    try:
        assert folder.is_dir() and len(running(f"sleep\0{marker}")) == 3
    finally:
        grading.kill()
        grading.communicate()
    end = time.monotonic() + 20
    # On a busy machine a process that was killed is a member of its cgroup for a while.
    members = [cgroup / "cgroup.procs" for cgroup in cgroups]
    while (running(f"sleep\0{marker}") or folder.exists() or any(file.read_text() for file in members)) and (
        time.monotonic() < end
    ):
        time.sleep(0.05)
    assert running(f"sleep\0{marker}") == [] and not folder.exists()
    with Inside():
        # A cgroup cannot end by itself; the next sandbox removes what is stale.
        assert not any(cgroup.exists() for cgroup in cgroups)


def test_stale_folders_are_swept_and_those_of_the_living_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = subprocess.Popen(["true"])
    ended.wait()
    names = {
        f"{owner.PREFIX}-{ended.pid}-77-x": False,
        f"{owner.PREFIX}-{os.getpid()}-1-x": False,
        f"{owner.name_prefix()}x": True,
        "something-else": True,
    }
    for name in names:
        (tmp_path / name).mkdir()
    if len(str(tmp_path)) > 50:
        monkeypatch.setattr("autograder.sandbox.warm_start._folder_for_sockets", lambda: str(tmp_path))
    from autograder.sandbox.warm_start import sweep

    sweep()
    assert {name: (tmp_path / name).exists() for name in names} == names


# Proof and refusal


def test_the_proof_says_what_is_enforced(start, no_proofs, monkeypatch):
    monkeypatch.setenv(VARIABLE, start)
    found = proof.prove()
    text = str(found)
    assert "no network" in text and "own namespaces" in text
    assert ("memory of the whole sandbox: memory cgroup" in text) != ("limited per process only" in text)
    before = time.perf_counter()
    assert proof.prove() is found and time.perf_counter() - before < 0.1


def test_the_first_kernel_is_started_after_the_proof_only(no_proofs, monkeypatch):
    need_bubblewrap()
    asked = []

    async def refuse(config):
        asked.append(config)
        raise SandboxUnavailable("sandbox: no")

    monkeypatch.setattr(proof, "_prove", refuse)
    manager = SandboxKernelManager()
    with pytest.raises(SandboxUnavailable):
        asyncio.run(manager.start_kernel())
    assert asked and not manager.has_kernel


# A bubblewrap that leaves out some of what it is asked for.
CARELESS = """#!{python}
import os, sys
arguments = sys.argv[1:]
at = arguments.index("--args")
packed = os.read(int(arguments[at + 1]), 1 << 20).decode().split("\\0")[:-1]
{change}
reading, writing = os.pipe()
os.write(writing, "".join(word + "\\0" for word in packed).encode())
os.close(writing)
os.set_inheritable(reading, True)
arguments[at + 1] = str(reading)
os.execv({bwrap!r}, ["bwrap", *arguments])
"""


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("packed.insert(packed.index('--unshare-all') + 1, '--share-net')", "the net namespace is the host's"),
        (
            "packed[packed.index('--unshare-all')] = '--unshare-net'; packed += ['--unshare-uts', '--unshare-pid']",
            "the ipc namespace is the host's",
        ),
        ("packed += ['--setenv', 'HARMLESS', '1']", None),
        ("for _ in range(2): n = packed.index('/proc/sys'); packed[n - 1:n + 1] = []", "the system was written to"),
        ("n = packed.index('/', packed.index('--remount-ro')); packed[n - 1:n + 1] = []", "the system was written to"),
        (
            "n = packed.index('--remount-ro'); packed[n:n] = ['--ro-bind', {solutions!r}, {solutions!r}]",
            "secrets were read",
        ),
        ("n = packed.index('--seccomp'); packed[n:n + 2] = []", "may make every system call"),
    ],
    ids=["network", "ipc", "harmless", "proc", "root", "solutions", "calls"],
)
def test_a_proof_fails_where_bubblewrap_does_not_do_what_it_was_told(change, fault, no_proofs, tmp_path, monkeypatch):
    need_bubblewrap()
    if fault == "the system was written to" and "/proc/sys" in change and os.getuid() != 0:
        pytest.skip("only root could write there")
    change = change.replace("{solutions!r}", repr(str(REPOSITORY / "solutions")))
    program = tmp_path / "bwrap"
    program.write_text(
        CARELESS.format(python=sys.executable, bwrap=shutil.which("bwrap"), change=change), encoding="utf-8"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    if fault is None:
        proof.prove()
    else:
        with pytest.raises(SandboxUnavailable, match=fault):
            proof.prove()


def test_without_bubblewrap_grading_is_refused_with_what_to_install(no_proofs, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxUnavailable, match="apt install bubblewrap"):
        asyncio.run(SandboxKernelManager().start_kernel())


@pytest.mark.parametrize(
    ("says", "remedy"),
    [
        ("bwrap: Unknown option --disable-userns", "too old"),
        ("bwrap: setting up uid map: Permission denied", "AppArmor"),
        ("bwrap: Creating new namespace failed: No space left on device", "max_user_namespaces"),
        (
            "bwrap: No permissions to creating new namespace, likely because the kernel does not allow non-privileged "
            "user namespaces",
            "unprivileged_userns_clone",
        ),
    ],
)
def test_a_bubblewrap_that_fails_is_quoted_with_a_remedy(says, remedy, no_proofs, tmp_path, monkeypatch):
    program = tmp_path / "bwrap"
    program.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(SandboxUnavailable) as caught:
        asyncio.run(SandboxKernelManager().start_kernel())
    assert says in str(caught.value) and remedy in str(caught.value)


def test_a_kernel_that_cannot_start_says_why(monkeypatch):
    need_bubblewrap()
    with pytest.raises((RuntimeError, SandboxUnavailable), match="did not start|could not build"):
        Inside(open_files=20).__enter__()


def test_without_a_sandbox_a_kernel_runs_and_says_so_loudly(monkeypatch, capfd):
    monkeypatch.setattr("autograder.sandbox.manager._warned", False)
    node = notebook("import os\nos.getpid()")
    config = Config({"SandboxKernelManager": {"without_sandbox": True}})
    NotebookClient(node, config=config, kernel_manager_class=SandboxKernelManager).execute()
    assert node.cells[0].outputs[0].data["text/plain"].isdigit()
    said = capfd.readouterr().err
    assert "WITHOUT A SANDBOX" in said and "with your rights" in said


AS_NOBODY = """
set -e
mount --make-rprivate /
mkdir -p {base}/python
mount --bind {python} {base}/python
mount -t tmpfs -o mode=755 none {home}
mkdir -p {python}
mount --bind {base}/python {python}
cd /
exec setpriv --reuid 65534 --regid 65534 --clear-groups env -i HOME=/nonexistent PATH=/usr/bin:/bin {program} -c "$1"
"""


def test_a_machine_that_is_too_busy_for_the_proof_or_for_a_kernel_says_so(start, monkeypatch):
    with pytest.raises(RuntimeError, match="in 0.001 s, so this machine is very busy; grade with fewer --workers"):
        Inside(start, start_timeout=0.001).__enter__()
    monkeypatch.setattr(proof, "_proofs", {})
    monkeypatch.setenv(VARIABLE, start)
    monkeypatch.setattr(proof, "SECONDS", 0.001)
    with pytest.raises(SandboxUnavailable, match="did not come to its end in 0.001 s .* when this machine is less"):
        proof.prove()


def test_it_holds_for_a_user_without_rights(tmp_path_factory):
    """Whoever runs the tests as such a user has seen it in every other test."""
    need_bubblewrap()
    if os.getuid() != 0:
        return
    if not all(map(shutil.which, ("unshare", "setpriv", "mount"))):
        pytest.skip("becoming another user takes unshare, setpriv and mount")
    code = (
        "import os; from autograder.sandbox import prove, warm\nprint(os.getuid(), prove())\n"
        "with warm(): print('warm', prove())"
    )
    home = os.path.expanduser("~")
    # Python may lie in root's home folder, which nobody else may enter.
    python = sys.base_prefix if Path(sys.base_prefix).is_relative_to(home) else home
    base = tmp_path_factory.mktemp("nobody")
    script = AS_NOBODY.format(base=base, python=python, home=home, program=sys.executable)
    ended = subprocess.run(["unshare", "--mount", "bash", "-c", script, "nobody", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("65534") and "warm" in ended.stdout
    assert "limit on the user inside the sandbox" in ended.stdout


# Cgroups and the filter, where this machine cannot show them


def v2(root, offered, own="/user.slice/app.slice/shell.scope"):
    folder = root / own.lstrip("/")
    folder.mkdir(parents=True)
    for place in (folder, folder.parent):
        (place / "cgroup.procs").touch()
        (place / "cgroup.subtree_control").touch()
    (folder.parent / "cgroup.subtree_control").write_text(offered, encoding="ascii")
    (root / "own").write_text(f"0::{own}\n", encoding="ascii")
    return folder.parent


@pytest.mark.parametrize(
    ("offered", "limits"),
    [("cpu memory pids", {"memory", "processes"}), ("pids", {"processes"}), ("cpu", set()), ("", set())],
)
def test_a_cgroup_of_version_2_is_made_beside_our_own(tmp_path, offered, limits):
    parent = v2(tmp_path, offered)
    cgroup = Cgroup(Limits(memory=7, processes=11), tmp_path, tmp_path / "own")
    assert cgroup.limits == limits
    assert [folder.parent for folder in cgroup.folders] == [parent] * bool(limits)
    cgroup.remove()
    assert list(parent.glob(f"{owner.PREFIX}*")) == []


def test_where_no_cgroup_can_be_made_nothing_is_claimed(tmp_path):
    (tmp_path / "own").write_text("4:memory:/a\n0::/\n", encoding="ascii")
    cgroup = Cgroup(Limits(), tmp_path, tmp_path / "own")
    assert (cgroup.limits, cgroup.folders, cgroup.member_files) == (set(), [], [])


def judged(program, machine, number, arguments=(0, 0, 0)):
    """Return what a filter says to a call: "allow", "kill" or the number of an error."""
    data = struct.pack("iIQ3Q", number, machine, 0, *arguments)
    lines = [struct.unpack("HBBI", program[at : at + 8]) for at in range(0, len(program), 8)]
    at, held = 0, 0
    while True:
        code, yes, no, value = lines[at]
        at += 1
        if code == 0x20:
            held = struct.unpack_from("I", data, value)[0]
        elif code == 0x06:
            return {0x7FFF0000: "allow", 0x80000000: "kill"}.get(value, value & 0xFFFF)
        else:
            at += yes if {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[code] else no


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_the_filter_denies_what_it_lists_and_allows_the_rest(machine):
    column, identity = seccomp.MACHINES[machine]
    program = seccomp.program(machine)
    denied = {numbers[column] for numbers in seccomp.DENIED.values()} - {None}
    special = {seccomp.CLONE[column], seccomp.CLONE3[column], seccomp.SOCKET[column]}
    for number in range(460):
        if number not in special:
            assert judged(program, identity, number) == (1 if number in denied else "allow")
    assert judged(program, identity ^ 1, 0) == "kill"
    assert judged(program, identity, seccomp.X32 + 3) == 38
    assert judged(program, identity, seccomp.CLONE3[column]) == 38
    # A thread as the C library makes it, and a new user namespace.
    assert judged(program, identity, seccomp.CLONE[column], (0x3D0F00, 0, 0)) == "allow"
    assert judged(program, identity, seccomp.CLONE[column], (0x10000011, 0, 0)) == 1
    sockets = {family: judged(program, identity, seccomp.SOCKET[column], (family, 1, 0)) for family in range(50)}
    assert {family for family, said in sockets.items() if said == "allow"} == {1, 2, 10, 16}
    assert judged(program, identity, seccomp.SOCKET[column], (16, 3, 12)) == 97
