"""A verdict is the same on every processor: other ones are played, and right and wrong answers are checked on them."""

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from lessons import LESSONS, catalogue
from processors import EVERY, PLAYED, environment


def on(processor, lesson):
    """Return what all answers of a lesson are told on a played processor, and what torch says that it is."""
    command = [sys.executable, Path(__file__).parents[1] / "processors.py", lesson, str(EVERY[processor])]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(processor), timeout=1800)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("lesson", LESSONS)
@pytest.mark.parametrize("processor", PLAYED)
def test_answers_are_told_the_same_as_on_the_processor_of_the_records(processor, lesson):
    found = on(processor, lesson)
    if platform.machine() in ("x86_64", "AMD64"):
        assert found["capability"].lower() == PLAYED[processor]["ATEN_CPU_CAPABILITY"]
    credit = {name: about.credit for name, about in catalogue(lesson).mistakes.items()}
    for exercise, answers in found["told"].items():
        assert {mistake is None for _, mistake, _, _ in answers} == {True, False}, "right and wrong ones are asked"
        for name, mistake, told, share in answers:
            expected = credit[mistake] if mistake else 1.0
            assert (told, share) == (mistake, pytest.approx(expected, abs=0.01)), (exercise, name)
