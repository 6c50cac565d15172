"""Practise with mistakes in a terminal: lines are read, and what is said reads without colour."""

import sys
from argparse import ArgumentParser, Namespace
from dataclasses import replace

from .practice import Nothing, Task, Told, practice
from .practice_words import typed

HELP = """\
  a number     the line with the mistake
  an input     arguments as in Python, such as torch.ones(2, 3), mask=None; torch, nn, F and math are there
  Enter        the other of the two questions first
  c            the contract of the exercise in full
  s            the answer once more
  g            give up: show the line and why
  n            another task; this one comes again
  q            quit"""


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("exercise", nargs="?", help="the exercise to practise (any that is solved)")
    parser.add_argument(
        "--all", action="store_true", help="also exercises that are not solved, as an instructor may want"
    )


def run(args: Namespace) -> int:
    # a terminal without these signs shows question marks
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        found = practice(args.exercise, all=args.all)
        if isinstance(found, Nothing):
            print(found)
            return 0
        print("What you can type:", HELP, sep="\n")
        while isinstance(found, Task) and _session(found):
            found = practice(args.exercise, all=args.all)
    except LookupError as error:
        print(error.args[0], file=sys.stderr)
        return 1
    except (EOFError, KeyboardInterrupt):
        print()
    return 0


def _session(task: Task) -> bool:
    """Let somebody work on one task; return False if they want to quit."""
    print("", task.text(), f"Which line is wrong, and which input shows it? Its form: {task.how()[7:-1]}", "", sep="\n")
    asks_line = False
    while not task.done:
        asks_line = not task.line_known and (asks_line or task.exposed)
        word = input("line> " if asks_line else "input> ").strip()
        if word == "":
            asks_line = not asks_line and not task.line_known
            if task.exposed:
                asks_line = True
        elif word == "q":
            return False
        elif word == "n":
            return True
        elif word in ("?", "h", "help"):
            print(HELP)
        elif word == "c":
            print(task.contract)
        elif word == "s":
            print(task.text())
        elif word == "g":
            print(_bare(task, task.give_up()))
        elif asks_line or (word.isdecimal() and not task.takes_numbers):
            print(
                _bare(task, task.line(int(word)))
                if word.isdecimal()
                else "A line is a number; Enter asks for the input."
            )
        else:
            print(_exposed(task, word))
    return input("\nEnter shows the next one, q quits> ").strip() != "q"


def _exposed(task: Task, text: str) -> Told | str:
    """Return what a task says to an input that was typed."""
    text = text.removeprefix("task").removeprefix(".")
    if text.startswith("expose(") and text.endswith(")"):
        text = text[len("expose(") : -1]
    try:
        given, named = typed(text)
    except Exception as error:  # whatever a line of Python may raise
        return f"This is no input: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return _bare(task, task.expose(*given, **named))


def _bare(task: Task, told: Told) -> Told:
    """Leave out what to do next, which the prompt asks for; at the end it says when the mistake comes back."""
    return replace(told, after=told.after.split(" practice()")[0] if task.done else "")
