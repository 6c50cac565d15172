"""Tables of weights with names, and bars."""

import pytest
import torch

from workbench import figures


def size(picture):
    """Return (width, height) in pixels."""
    return tuple(int.from_bytes(picture.png[start : start + 4], "big") for start in (16, 20))


def test_a_table_with_names_differs_from_one_with_numbers():
    weights = torch.tensor([[0.75, 0.25], [0.5, 0.5]])
    plain = figures.weight_tables({"one": weights})
    named = figures.weight_tables({"one": weights}, row_names=["dog", "bites"], column_names=["dog", "bites"])
    assert named.png != plain.png
    assert repr(named) == repr(plain) == "one: largest weight per query 0.75, 0.50."


def test_each_table_may_have_names_of_its_own():
    tables = {"one": torch.eye(2), "two": torch.eye(3)}
    names = {"one": ["a", "b"], "two": ["c", "d", "e"]}
    assert figures.weight_tables(tables, row_names=names, column_names=names).png
    with pytest.raises(ValueError, match="ticks"):
        figures.weight_tables(tables, row_names=["a", "b"])


def test_a_wide_table_is_wider_and_a_tall_one_taller():
    small, wide, tall = (
        size(figures.weight_tables({"t": torch.ones(shape) / shape[1]})) for shape in ((5, 5), (5, 37), (11, 5))
    )
    assert wide[0] > small[0] and tall[1] > small[1]


def test_bars_say_their_numbers_in_words_and_are_drawn_for_every_series():
    panels = [
        figures.Panel(
            "Right answers", "share in %", {"before": [0.0, 12.5], "after": [99.8, 0.5]}, bound=("chance", 10.0)
        )
    ]
    picture = figures.bars(["short", "long"], panels)
    assert repr(picture) == (
        "Right answers (share in %), before: short 0, long 12.5.\n"
        "Right answers (share in %), after: short 99.8, long 0.5."
    )
    fewer = figures.bars(["short", "long"], [figures.Panel("Right answers", "share in %", {"before": [0.0, 12.5]})])
    assert picture.png != fewer.png


def test_bars_refuse_a_series_that_does_not_fit_the_names():
    with pytest.raises(ValueError):
        figures.bars(["short", "long"], [figures.Panel("t", "y", {"one": [1.0, 2.0, 3.0]})])
