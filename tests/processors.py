"""Other processors, played on this one: the libraries below torch add up in another order if they are told to.

`python tests/processors.py EVERY LESSON ...` prints, as JSON, what the right and wrong answers of lessons are told. A
test runs it once for each processor.
"""

import json
import os
import sys
import warnings

# Three libraries round: torch's own kernels, MKL below matrix products, oneDNN below some layers.
PLAYED = {
    "without vector instructions": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
    },
    "with AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
}


OTHER = "without vector instructions"  # which differs most
# All right answers are checked; of the wrong ones one in so many. `python tests/processors.py 1 LESSON` checks all.
EVERY = {OTHER: 9, "with AVX2": 17}


def environment(processor):
    """Return the environment in which a new process plays this processor."""
    return os.environ | PLAYED[processor] | {"OMP_NUM_THREADS": "1"}


def told(lesson, every=1):
    """Return {exercise: [[answer, the mistake that it is, what it is told, its share of the points]]}.

    every  of the wrong answers one in so many is checked
    """
    from lessons import alternatives, catalogue, names_only, read, reference

    from autograder.checking.check import examine
    from autograder.diagnosing import records

    found = {}
    for exercise in read(lesson).exercises:
        record = records.read(exercise)
        right = [("reference", getattr(reference(lesson), exercise)), *alternatives(lesson).of(exercise)]
        wrong = catalogue(lesson).singles(exercise)[::every]
        answers = [(name, None, call) for name, call in right]
        answers += [(str(sorted(one.replaced)), one.mistakes[0], one.call) for one in wrong]
        with names_only():
            results = [(name, mistake, examine(record, {exercise: call}, 60)) for name, mistake, call in answers]
        found[exercise] = [
            [name, mistake, result.mistake, result.earned / result.points] for name, mistake, result in results
        ]
    return found


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mistakes may use what PyTorch warns of
        found = {lesson: told(lesson, int(sys.argv[1])) for lesson in sys.argv[2:]}
        found = {"capability": torch.backends.cpu.get_cpu_capability(), "told": found}
    print(json.dumps(found))
