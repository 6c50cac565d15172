"""python -m autograder COMMAND: what learners, instructors and authors do with the course from a terminal."""

import argparse
import importlib
import sys

# name -> (module with `arguments(parser)` and `run(args)`, what it does); only the chosen module is imported
COMMANDS = {
    "learn": ("autograder.learn", "open JupyterLab on the lessons"),
    "progress": ("autograder.checking.progress_map", "show what a learner has solved, on the map of the transformer"),
    "practice": ("autograder.checking.practice_terminal", "practise with mistakes: find the input and the line"),
    "grade": ("autograder.grading.grade", "grade the submissions of a lesson"),
    "class": ("autograder.grading.classroom", "simulate a whole class with nbgrader, from release to grades"),
    "new-lesson": ("autograder.authoring.scaffold", "begin a lesson: a text, probes, mistakes and alternatives"),
    "record": ("autograder.authoring.record", "record the observations that checks compare answers with"),
    "build": ("autograder.authoring.build", "make the solved notebooks from the lesson texts"),
    "release": ("autograder.authoring.release", "make the learners' notebooks from the solved ones"),
}


def main(words: list[str] | None = None) -> int:
    words = sys.argv[1:] if words is None else words
    parser = argparse.ArgumentParser(prog="python -m autograder", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (place, help_text) in COMMANDS.items():
        command = commands.add_parser(name, help=help_text, description=help_text)
        if words[:1] == [name]:
            importlib.import_module(place).arguments(command)
    args, rest = parser.parse_known_args(words)
    if rest and not hasattr(args, "options"):  # only `learn` hands options on
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        args.options = rest
    module = importlib.import_module(COMMANDS[args.command][0])
    from autograder.authoring.lesson import LessonError
    from autograder.course import CourseError

    try:
        code: int = module.run(args)
        return code
    except (LessonError, CourseError) as error:
        print(error, file=sys.stderr)
        return 1
    except Exception as error:
        from autograder.scarcity import lacking

        if not (lack := lacking(error)):
            raise
        print(f"{lack}, and run the same command again", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
