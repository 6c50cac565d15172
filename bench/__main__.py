"""python -m bench [EXERCISE ...]: how long a check takes to answer, and how long the import takes.

Everything is measured in one run on one machine, and nothing is asserted: compare the ratios, since the seconds are
this machine's. A wrong answer takes longer than a right one where the exercise uses other components, because it is
probed again with right ones in their places.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
IMPORTS = ("import torch", "import autograder", "from autograder import check")
TIMED = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"
KIND = "{:<34} {:>10} {:>10} {:>10} {:>10}"


def seconds(call):
    """Return how long one call took."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def row(name, times, last=""):
    """Return one line of a table: median, fastest and slowest of these seconds."""
    return KIND.format(name, *(f"{value:.3f} s" for value in (statistics.median(times), min(times), max(times))), last)


def imports(runs):
    """Print how long each import takes in a process of its own; the processes take turns."""
    times = {code: [] for code in IMPORTS}
    for _ in range(runs + 1):
        for code, taken in times.items():
            done = subprocess.run(
                [sys.executable, "-c", TIMED.format(code)], cwd=REPOSITORY, check=True, capture_output=True, text=True
            )
            taken.append(float(done.stdout))
    print(KIND.format(f"import, {runs} fresh processes", "median", "fastest", "slowest", "of torch"))
    torch = statistics.median(times[IMPORTS[0]][1:])
    for code, taken in times.items():
        # The first process reads files that are not in memory yet; the others are the ordinary case.
        print(row(code, taken[1:], f"{statistics.median(taken[1:]) / torch:.2f}"))


def answers(lesson, exercise, count):
    """Return the reference of an exercise, and up to `count` of its known mistakes, spread over all of them."""
    from autograder import mistakes
    from autograder.authoring import faults
    from autograder.authoring.lesson import read
    from autograder.notebooks import definitions

    text = REPOSITORY / "solutions" / f"{lesson}.py"
    right = getattr(definitions.load(text), exercise)
    firsts = {}
    for one in mistakes.read(faults.beside(read(text), "mistakes")).singles(exercise):
        firsts.setdefault(one.mistakes[0], one.call)
    wrong = list(firsts.values())
    return right, wrong[:: max(1, len(wrong) // count)][:count]


def checks(lesson, exercise, runs):
    """Print how long a right answer, wrong answers, and the probes of the right answer alone take."""
    from autograder import check, probes
    from autograder.calling.local import Here
    from autograder.diagnosing import records

    right, wrong = answers(lesson, exercise, runs)
    here = Here({exercise: right})
    calls = [
        ("right", lambda: check(right, exercise)),
        ("probes alone", lambda: probes.observe(lesson, exercise, here, records.SEED)),
    ]
    first = seconds(calls[0][1])
    times = {name: [] for name, _ in calls}
    for _ in range(runs):
        for name, call in calls:
            times[name].append(seconds(call))
    probing = statistics.median(times["probes alone"])
    print(row(exercise, times["right"], f"{statistics.median(times['right']) / probing:.2f}"))
    times["wrong"] = [seconds(lambda one=one: check(one, exercise)) for one in wrong]
    print(row(f"  {len(wrong)} mistakes", times["wrong"], f"{statistics.median(times['wrong']) / probing:.2f}"))
    print(row("  probes alone", times["probes alone"], "1.00"))
    return first, times


def main():
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n")[0])
    parser.add_argument("exercises", nargs="*", metavar="EXERCISE", help="all that are recorded, if none is given")
    parser.add_argument("--runs", type=int, default=7, metavar="N", help="how often each thing is measured (7)")
    args = parser.parse_args()
    imports(args.runs)

    os.environ["TRANSFORMER_TAXONOMY_STATE"] = tempfile.mkdtemp(prefix="progress-of-bench-")
    import torch

    from autograder.diagnosing import records

    recorded = records.exercises()
    if unknown := [name for name in args.exercises if name not in recorded]:
        parser.error(f"there is no exercise {unknown[0]!r}; there are {', '.join(recorded)}")
    print(f"\n{KIND.format(f'check, {args.runs} runs', 'median', 'fastest', 'slowest', 'of probes')}")
    firsts, medians = [], []
    for name in args.exercises or sorted(recorded, key=lambda name: (recorded[name], name)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # mistakes may use what PyTorch warns of
            first, times = checks(recorded[name], name, args.runs)
        firsts.append((first, name))
        medians += [(statistics.median(times[kind]), f"{name}, {kind}") for kind in ("right", "wrong")]
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(
        f"\nSlowest median: {max(medians)[0]:.3f} s ({max(medians)[1]}). Slowest first check of an exercise: "
        f"{max(firsts)[0]:.3f} s ({max(firsts)[1]}).\n{os.cpu_count()} processors, {torch.get_num_threads()} threads "
        f"of torch {torch.__version__}{load}."
    )


if __name__ == "__main__":
    main()
