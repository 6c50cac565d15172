"""python -m bench.grading: submissions per minute of plain nbgrader and of this project's grading, on the same class.

Both grade the same submissions of the same lesson on this machine, one after the other in one run. Plain means
nbgrader's own steps on the released notebooks: every cell runs in an ordinary kernel, one submission after the other,
and the checks print their own scores. Ours means `python -m autograder grade`: sandboxed, judged, side by side.
"""

import argparse
import collections
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from unittest import mock

import nbformat
import psutil

from autograder.authoring.lesson import read
from autograder.course import with_programs
from autograder.grading import classroom, judge, unit
from autograder.grading.grade import Grading
from autograder.grading.gradebook import connected_once
from autograder.grading.log import logged
from autograder.grading.run import RunAnswers
from autograder.sandbox import warm

REPOSITORY = Path(__file__).parent.parent
PLAIN = """\
c = get_config()
c.CourseDirectory.course_id = "transformer_taxonomy"
c.CourseDirectory.source_directory = "solutions/notebooks"
c.CourseDirectory.release_directory = "course"
c.Execute.timeout = 120
"""
RUN = "its kernel: started in a sandbox and ended"
KIND = "{:<46} {:>6} {:>9} {:>12} {:>10} {:>16}"


class Class(classroom.Class):
    """A released class of one lesson, with as many submissions as are asked for."""

    def __init__(self, folder, lesson, count, demos=True):
        super().__init__(REPOSITORY, folder, lesson)
        self.prepare()
        for other in (self.folder / "solutions" / "notebooks").iterdir():
            if other.name != lesson.folder:
                shutil.rmtree(other)
        if not demos:
            self.drop_demonstrations()
        with logged(self.folder / "release.log"):
            self.release()
        answers = list(classroom.answers_of(lesson).items())
        released = self.released()
        for number in range(count):
            name, one = answers[number % len(answers)]
            self.submit(f"{number:04d}_{name}", classroom._filled(released, one))
        self.count = count

    def drop_demonstrations(self):
        path = self.folder / "solutions" / "notebooks" / self.assignment / self.file
        notebook = nbformat.read(path, 4)
        notebook.cells = [cell for cell in notebook.cells if not cell.id.startswith("demo-")]
        nbformat.write(notebook, path)

    def time(self, *command):
        """Run a command in the class's folder; return (seconds, processor seconds, peak MB of its largest process)."""
        environment = os.environ | {"PATH": with_programs(), "OMP_NUM_THREADS": "1"}
        begun, used = time.perf_counter(), os.times()
        with open(self.folder / "bench.log", "w") as log:
            process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)
            memory = _Memory(process.pid)
            memory.start()
            code = process.wait()
            memory.end()
        after = os.times()
        if code:
            sys.exit((self.folder / "bench.log").read_text()[-3000:])
        processor = after.children_user + after.children_system - used.children_user - used.children_system
        return time.perf_counter() - begun, processor, memory.most


class _Memory(threading.Thread):
    """Samples how much memory the coordinating process holds, in MB, twice a second."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.process, self.most, self._done = psutil.Process(pid), 0, threading.Event()

    def run(self):
        while not self._done.wait(0.5):
            try:
                self.most = max(self.most, self.process.memory_info().rss / 2**20)
            except psutil.Error:
                return

    def end(self):
        self._done.set()
        self.join()


def plain(folder, lesson, count, demos):
    """Grade a class with nothing but nbgrader."""
    one = Class(folder, lesson, count, demos)
    (one.folder / "nbgrader_config.py").write_text(PLAIN)
    return one.time(sys.executable, "-m", "nbgrader", "autograde", lesson.folder)


def ours(folder, lesson, count):
    """Grade a class with this project's command."""
    one = Class(folder, lesson, count)
    return one.time(sys.executable, "-m", "autograder", "grade", lesson.name, "--root", str(one.folder))


def where_it_goes(folder, lesson, count):
    """Return {step: seconds} of a mean submission of this project's grading, one after the other in this process."""
    one, steps = Class(folder, lesson, count), collections.Counter()
    grading = Grading(one.folder, lesson.name)
    grading.config.SandboxKernelManager.prove_first = False

    def timed(function, step):
        begun = time.perf_counter()
        found = function()
        steps[step] += time.perf_counter() - begun
        return found

    def watched(owner, method, step):
        plain = getattr(owner, method)
        return mock.patch.object(owner, method, lambda *given: timed(lambda: plain(*given), step))

    with contextlib.ExitStack() as stack, warm(), connected_once(), logged(one.folder / "bench.log"):
        stack.enter_context(watched(RunAnswers, "_run", "the learner's cells"))
        stack.enter_context(watched(judge, "judge", "checks: probes, calls of the answer, diagnosis"))
        for number, learner in enumerate(grading.learners()):
            submission = timed(lambda learner=learner: grading.submission(learner), "reading and rebuilding it")
            found = timed(lambda one=submission: unit.run(grading.unit(one)), RUN)
            timed(lambda one=submission, found=found: grading.record(one, found), "nbgrader records and writes it")
            if not number:
                steps.clear()  # the first one loads the lesson's text and the modules
    steps[RUN] -= steps["the learner's cells"] + steps["checks: probes, calls of the answer, diagnosis"]
    return {step: seconds / (count - 1) for step, seconds in steps.items()}


def row(name, count, measured, base=None):
    seconds, processor, memory = measured
    rate = count / seconds * 60
    ratio = "" if base is None else f"{rate / base:.1f}x"
    print(
        KIND.format(
            name, count, f"{rate:.1f}", f"{seconds / count:.2f} s", ratio, f"{processor / count:.2f} s, {memory:.0f} MB"
        ),
        flush=True,
    )
    return rate


def parser():
    """Return what reads the options of the command."""
    parser = argparse.ArgumentParser(prog="python -m bench.grading", description=__doc__.split("\n")[0])
    parser.add_argument("--class-size", type=int, default=40, metavar="N", help="submissions graded by both (40)")
    parser.add_argument(
        "--growth",
        type=int,
        nargs="*",
        default=[],
        metavar="N",
        help="more sizes that only ours grades, such as 200 1000",
    )
    parser.add_argument("--lesson", default="scaled_dot_product_attention", metavar="NAME")
    return parser


def main():
    args = parser().parse_args()
    lesson = read(REPOSITORY / "solutions" / f"{args.lesson}.py")
    load = os.getloadavg()[0]
    print(f"{lesson.title}; {os.cpu_count()} processors, load {load:.1f} before\n")
    print(KIND.format("", "class", "per min.", "each", "of plain", "processor, memory"))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        base = row("plain nbgrader autograde", args.class_size, plain(f"{folder}/plain", lesson, args.class_size, True))
        row(
            "plain, demonstrations taken out",
            args.class_size,
            plain(f"{folder}/bare", lesson, args.class_size, False),
            base,
        )
        for size in (args.class_size, *args.growth):
            row("ours: sandboxed, judged, side by side", size, ours(f"{folder}/ours{size}", lesson, size), base)
        print("\nWhere the time of a submission of ours goes, one at a time:")
        steps = where_it_goes(f"{folder}/steps", lesson, min(20, args.class_size))
        for step, seconds in sorted(steps.items(), key=lambda step: -step[1]):
            print(f"  {seconds:.3f} s  {step}")
        print(f"  {sum(steps.values()):.3f} s  in all")


if __name__ == "__main__":
    main()
