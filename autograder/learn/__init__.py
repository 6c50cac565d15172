"""Put the lessons into a folder of the learner's own, and open JupyterLab on its start page.

Learning changes nothing of the course itself: what is opened, run and saved is the learner's copy.
"""

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType

from ..course import CONFIG, PACKAGE, CourseError, released, with_programs
from .folder import PAGE, Folder, nearest_folder

FOLDER = "transformer-taxonomy"  # the learner's folder, where none is named
# Without the packages that its own modules need: see workbench/views/bertviz.py.
BERTVIZ = "pip install --no-deps bertviz==1.4.1"
STRANGERS = ("autograder", "workbench")  # packages of others, whose modules have the names of ours


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder",
        nargs="?",
        metavar="FOLDER",
        help=f"your folder of lessons; it is made if there is none (the one around this place, or ./{FOLDER})",
    )
    parser.add_argument(
        "--update",
        action="store_true",
        help="move your answers into the notebooks of a newer course; the old ones are kept in FOLDER/earlier",
    )
    parser.add_argument("--no-lab", action="store_true", help="only make or update the folder, and open nothing")
    parser.set_defaults(options=[])
    parser.epilog = "All other options are passed to JupyterLab, such as --no-browser or --port=9999."


def run(args: argparse.Namespace) -> int:
    if said := strangers():
        raise CourseError(said)
    from .start import write_page  # now, for it imports modules that might be another project's

    folder = Folder(_place(args.folder))
    try:
        for line in folder.update() if args.update else folder.fill():
            print(line)
        write_page(folder)
        if importlib.util.find_spec("bertviz") is None:
            print(f"The views of lesson 11 and of the capstone are drawn by BertViz's scripts. To add them: {BERTVIZ}")
    except OSError as error:
        raise CourseError(
            f"{error.filename or folder.path}: {error.strerror or error}; choose a folder that you may write to, "
            "with room for the lessons"
        ) from error
    if args.no_lab:
        print(f"Your lessons are in {folder.path}; begin with {PAGE}.")
        return 0
    if importlib.util.find_spec("jupyterlab") is None:
        print(
            f"Your lessons are in {folder.path}. JupyterLab is not installed here: open {PAGE} in an editor for "
            "notebooks, or run pip install jupyterlab and then the same command again."
        )
        return 0
    return serve(folder.path, args.options)


def strangers() -> str:
    """Return what is wrong where another project's package has put its modules over ours, or ""."""
    found = []
    for name in STRANGERS:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            pass
    if not found:
        return ""
    names = " ".join(entry.split()[0] for entry in found)
    return (
        f"{' and '.join(found)}: another project's package has modules of the same names as the course's here, and "
        f"each overwrites files of the other; make an environment for the course alone, or run "
        f"pip uninstall {names} {PACKAGE} and then install the course as before"
    )


def _place(word: str | None) -> Path:
    """Return the learner's folder: the one that is named, the nearest one around this place, or a new one here."""
    if word is None:
        return nearest_folder(Path.cwd()) or Path.cwd() / FOLDER
    if word.isdecimal():
        raise CourseError(
            f"{word} is taken for the name of a folder; write an option as --port={word}, a folder ./{word}"
        )
    place = Path(word).expanduser().resolve()
    course = released().resolve()
    if place == course or course in place.parents or (place / CONFIG).is_file():
        raise CourseError(
            f"{place}: this is the course itself, which learning leaves as it is; name a folder of your own"
        )
    if place.exists() and not place.is_dir():
        raise CourseError(f"{place}: this is a file; name a folder")
    return place


def serve(place: Path, options: list[str]) -> int:
    """Run JupyterLab on a folder until it ends, and return its exit code. It is waited for, and not changed into: on
    Windows a program that replaces itself returns to the prompt while it still runs.
    """
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={place}",
        f"--LabApp.default_url=/lab/tree/{PAGE}",
    ]
    command += options
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        print("You are root, as is usual in a container, so JupyterLab is started with --allow-root.")
        command.append("--allow-root")
    print(
        f"Starting JupyterLab on {place}. Its address is printed below; press Control-C twice to stop it.",
        flush=True,
    )
    server = subprocess.Popen(command, cwd=place, env=os.environ | {"PATH": with_programs()})

    def end(number: int, frame: FrameType | None) -> None:
        server.terminate()

    # Whoever ends this process means the server. Control-C reaches the server by itself, and it asks before it ends.
    before = signal.signal(signal.SIGTERM, end)
    try:
        while True:
            try:
                return server.wait()
            except KeyboardInterrupt:
                continue
    finally:
        signal.signal(signal.SIGTERM, before)
