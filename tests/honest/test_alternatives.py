"""Every accepted alternative, written with the habits of people, is right locally and officially, in every lesson.

A notebook holds an answer to each exercise of a lesson, each written with another habit. Here one notebook of each
lesson is tried, and alternatives.py run by itself tries as many as it takes to see every answer once.
"""

import pytest
from alternatives import how_many, made, tried
from lessons import LESSONS, read
from sandboxes import need_bubblewrap


@pytest.fixture(scope="module")
def found():
    """{lesson: (what official grading says, what the checks in the notebook say)}"""
    need_bubblewrap()
    return {lesson: both for (lesson, _), both in tried({(lesson, 1): made(lesson, 1) for lesson in LESSONS}).items()}


@pytest.mark.parametrize("lesson", LESSONS)
def test_no_point_is_lost_and_nobody_is_looked_at(found, lesson):
    officially, locally = found[lesson]
    assert officially == {name: [about.points, False] for name, about in read(lesson).exercises.items()}
    assert locally == officially


def test_a_lesson_has_more_than_one_notebook_of_right_answers():
    assert max(map(how_many, LESSONS)) > 1
