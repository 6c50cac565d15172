"""Lines over a linear axis, and large tables as images."""

import pytest
import torch

from workbench import figures

PANEL = figures.Panel("Loss", "loss in nats", {"one": [3.0, 2.0, 1.0], "two": [3.0, 3.0, 2.5]})


def test_lines_tell_where_each_series_begins_and_ends():
    assert repr(figures.lines([1, 2, 5], [PANEL], "step")) == (
        "Loss (loss in nats), one: 3 at 1, 1 at 5 (step).\nLoss (loss in nats), two: 3 at 1, 2.5 at 5 (step)."
    )


def test_the_border_the_bound_and_the_logarithmic_axis_are_drawn():
    plain = figures.lines([1, 2, 5], [PANEL], "step").png
    bound = figures.Panel(PANEL.title, PANEL.ylabel, PANEL.series, bound=("guessing", 2.4))
    log = figures.Panel(PANEL.title, PANEL.ylabel, PANEL.series, log=True)
    others = [
        figures.lines([1, 2, 5], [PANEL], "step", border=("end", 3)).png,
        figures.lines([1, 2, 5], [bound], "step").png,
        figures.lines([1, 2, 5], [log], "step").png,
    ]
    assert len({plain, *others}) == 4


def test_lines_refuse_a_series_of_another_length():
    with pytest.raises(ValueError):
        figures.lines([1, 2], [PANEL], "step")


def test_heat_shows_the_numbers_and_says_what_they_are():
    table = torch.linspace(-1, 1, 35).reshape(5, 7)
    picture = figures.heat("wave", table, rows="position", columns="feature")
    assert repr(picture) == "wave: a table of 5 rows (position) and 7 columns (feature)."
    assert picture.png != figures.heat("wave", -table, rows="position", columns="feature").png
