"""python -m autograder COMMAND: what learners, instructors and authors do with the course from a terminal."""

import argparse
import importlib
import importlib.util
import io
import sys

from autograder.course import PACKAGE, CourseError

# name -> (module with `arguments(parser)` and `run(args)`, what it does); only the chosen module is imported
COMMANDS = {
    "learn": ("autograder.learn", "put the lessons into a folder of your own, and open JupyterLab there"),
    "progress": ("autograder.checking.progress_map", "show what a learner has solved, on the map of the transformer"),
    "practice": ("autograder.checking.practice_terminal", "practise with mistakes: find the input and the line"),
    "grade": ("autograder.grading.grade", "grade the submissions of lessons"),
    "feedback": ("autograder.reporting.feedback", "write the learners' feedback pages, side by side"),
    "report": ("autograder.reporting.report", "show what a class knows and believes: a page, JSON and tables"),
    "class": ("autograder.grading.classroom", "simulate a whole class with nbgrader, from release to grades"),
    "new-lesson": ("autograder.authoring.scaffold", "begin a lesson: a text, probes, mistakes and alternatives"),
    "add-mistake": ("autograder.reporting.naming", "draft a mistake from wrong answers of a class that have no name"),
    "record": ("autograder.authoring.record", "record the observations that checks compare answers with"),
    "build": ("autograder.authoring.build", "make the solved notebooks from the lesson texts"),
    "release": ("autograder.authoring.release", "make the learners' notebooks from the solved ones"),
}


# What `pip install "transformer-taxonomy[teach]"` adds, as modules; learners do without.
TEACH = ("nbgrader", "jupytext", "nh3", "latex2mathml", "sqlalchemy")


def main(words: list[str] | None = None) -> int:
    words = sys.argv[1:] if words is None else words
    for stream in (sys.stdout, sys.stderr):
        # A terminal without some of our signs shows question marks, as one of Windows' in cp1252 does.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    parser = argparse.ArgumentParser(prog="python -m autograder", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    try:
        for name, (place, help_text) in COMMANDS.items():
            command = commands.add_parser(name, help=help_text, description=help_text)
            if words[:1] == [name]:
                importlib.import_module(place).arguments(command)
        args, rest = parser.parse_known_args(words)
        if rest and not hasattr(args, "options"):  # only `learn` hands options on
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        if rest:
            args.options = rest
        code: int = importlib.import_module(COMMANDS[args.command][0]).run(args)
        return code
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    except Exception as error:
        if not (said := _in_words(error)):
            raise
        print(said, file=sys.stderr)
        return 1


def _in_words(error: Exception) -> str:
    """Return what is lacking here, as a sentence with a remedy; "" for an error that is none of this kind."""
    missing = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if missing in TEACH:
        return (
            f"{missing} is not installed, which this command needs, and learners do not; "
            f'install what instructors need: pip install "{PACKAGE}[teach]"'
        )
    if importlib.util.find_spec("nbgrader") is None:
        return ""
    from autograder.scarcity import lacking

    lack = lacking(error)
    return f"{lack}, and run the same command again" if lack else ""


if __name__ == "__main__":
    sys.exit(main())
