"""What the cells of a notebook say as long as an exercise is not solved."""

import pytest

from workbench import figures


def test_a_block_ends_where_what_learners_write_in_an_empty_cell_is_missing(capsys):
    with figures.once_solved("Model"):
        print("before")
        Model()  # noqa: F821
        print("after")
    assert capsys.readouterr().out == (
        "before\nModel is not written yet: write it in the empty cell, then run this cell again.\n"
    )


def test_a_name_that_nobody_was_asked_to_define_is_an_error():
    with pytest.raises(NameError, match="Modle"), figures.once_solved("Model"):
        Modle()  # noqa: F821
