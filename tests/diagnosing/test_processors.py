"""A verdict is the same on every processor: other ones are played, and right and wrong answers are checked on them."""

import functools
import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from lessons import LESSONS, catalogue
from processors import EVERY, PLAYED, environment


@functools.lru_cache(maxsize=1)
def on(processor):
    """Return what all answers of each lesson are told on a played processor, and what torch says that it is.

    One process for all lessons: to start one takes longer than to check the answers of most.
    """
    command = [sys.executable, Path(__file__).parents[1] / "processors.py", str(EVERY[processor]), *LESSONS]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(processor), timeout=3600)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("lesson", LESSONS)
@pytest.mark.parametrize("processor", PLAYED)
def test_answers_are_told_the_same_as_on_the_processor_of_the_records(processor, lesson):
    found = on(processor)
    if platform.machine() in ("x86_64", "AMD64"):
        assert found["capability"].lower() == PLAYED[processor]["ATEN_CPU_CAPABILITY"]
    credit = {name: about.credit for name, about in catalogue(lesson).mistakes.items()}
    for exercise, answers in found["told"][lesson].items():
        assert {mistake is None for _, mistake, _, _ in answers} == {True, False}, "right and wrong ones are asked"
        for name, mistake, told, share in answers:
            expected = credit[mistake] if mistake else 1.0
            assert (told, share) == (mistake, pytest.approx(expected, abs=0.01)), (exercise, name)
