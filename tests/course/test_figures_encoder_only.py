"""What lesson 3 asks of the pictures."""

import torch

from workbench import figures


def test_a_picture_told_in_other_words_is_the_same_picture():
    picture = figures.weight_tables({"trained": torch.eye(3)})
    other = picture.told("Each query looks at its own key.")
    assert repr(other) == "Each query looks at its own key." != repr(picture)
    assert other._repr_png_()[0] == picture.png
    assert other._repr_png_()[1]["alt"] == "Each query looks at its own key."
