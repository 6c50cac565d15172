"""Arrows: where things stand before and after."""

import pytest

from workbench import figures

MOVES = {"one": {"a": ((0.0, 2.0), (1.5, 0.5)), "b": ((-1.0, -0.02), (-1.0, 0.0))}}


def test_arrows_say_in_words_where_each_thing_goes():
    picture = figures.arrows(MOVES, "x (m)", "y (m)")
    assert repr(picture) == "one: a goes from (0.0, 2.0) to (1.5, 0.5), b goes from (-1.0, 0.0) to (-1.0, 0.0)."
    assert picture.png.startswith(b"\x89PNG")


def test_a_circle_a_second_panel_and_another_move_change_the_picture():
    pictures = [
        figures.arrows(MOVES, "x", "y"),
        figures.arrows(MOVES, "x", "y", circle=2.0),
        figures.arrows(MOVES | {"two": MOVES["one"]}, "x", "y"),
        figures.arrows({"one": MOVES["one"] | {"a": ((0.0, 2.0), (0.0, 2.0))}}, "x", "y"),
    ]
    assert len({picture.png for picture in pictures}) == 4


def test_something_that_starts_at_the_origin_is_drawn_too():
    assert figures.arrows({"one": {"a": ((0.0, 0.0), (1.0, 0.0))}}, "x", "y").png


def test_a_place_without_a_second_number_is_refused():
    with pytest.raises((TypeError, ValueError)):
        figures.arrows({"one": {"a": ((0.0, 1.0), (1.0,))}}, "x", "y")
