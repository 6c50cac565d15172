"""Open JupyterLab on the lessons."""

import argparse
import os
import sys

from .course import find_root, notebooks, texts, with_programs


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", help="folder of the course (the nearest one, here or above, with nbgrader_config.py)")
    parser.set_defaults(options=[])
    parser.epilog = "All other options are passed to JupyterLab, such as --no-browser or --port=9999."


def run(args: argparse.Namespace) -> int:
    root = find_root(args.root)
    first = notebooks(root / "course")
    if not first:
        print(
            f"{root / 'course'}: this folder holds no lesson; run `python -m autograder build` and `release`",
            file=sys.stderr,
        )
        return 1
    # nbgrader's Validate button and formgrader read nbgrader_config.py from the folder that the server starts in.
    os.chdir(root)
    os.environ["PATH"] = with_programs()
    lab = [
        sys.executable,
        "-m",
        "jupyter",
        "lab",
        f"--ServerApp.root_dir={root}",
        f"--LabApp.default_url=/lab/tree/{first[0].relative_to(root)}",
        *args.options,
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        print("You are root, as is usual in a container, so JupyterLab is started with --allow-root.")
        lab.append("--allow-root")
    print(
        f"Starting JupyterLab on {len(first)} of {max(len(texts(root)), len(first))} lessons. Its address is printed "
        "below; press Control-C twice to stop it.",
        flush=True,
    )
    os.execv(sys.executable, lab)
