"""Pictures of what is inside a language model."""

import io

import pytest
import torch
from matplotlib.image import imread

from workbench import inside


def pixels(picture):
    """Return the picture's colours, [rows, columns, 3]."""
    return torch.from_numpy(imread(io.BytesIO(picture.png), format="png")[..., :3].copy())


def blue(picture):
    """Return how many pixels are of the darkest blue."""
    return int(((pixels(picture) - torch.tensor([0.031, 0.188, 0.420])).abs().amax(dim=-1) < 0.01).sum())


def test_a_lens_shows_its_words_and_its_shares():
    shares = torch.tensor([[0.0, 0.0], [0.0, 0.0]])
    plain = inside.lens([["a", "b"], ["c", "d"]], shares, ["x", "y"], [0, 7])
    other = inside.lens([["a", "b"], ["c", "e"]], shares, ["x", "y"], [0, 7])
    assert plain.png != other.png and plain.png is not None
    assert repr(plain) == repr(other) == "What a model would say after 0 to 7 layers, behind each of 2 words."
    sure = inside.lens([["a", "b"], ["c", "d"]], torch.tensor([[0.0, 1.0], [0.0, 0.0]]), ["x", "y"], [0, 7])
    assert blue(sure) > blue(plain) + 1000


def test_the_last_layer_is_at_the_top():
    picture = inside.head_scores(torch.tensor([[0.0] * 5] * 6 + [[1.0] * 5]), "score")
    dark = ((pixels(picture) - torch.tensor([0.031, 0.188, 0.420])).abs().amax(dim=-1) < 0.01)[:, :300]
    rows = dark.any(dim=1).nonzero().flatten()
    assert rows.max() < dark.shape[0] / 3


@pytest.mark.parametrize("word", [" " * 3, "\n", "", "\xa0", "$x$", "a" * 40, "日本", " $\\frac"])
def test_any_token_can_be_a_word_and_the_size_of_the_picture_stays(word):
    shares = torch.full((2, 2), 0.5)
    picture, other = (inside.lens([[one] * 2] * 2, shares, ["x", "y"], [0, 1]) for one in (word, "a"))
    assert pixels(picture).shape == pixels(other).shape


def test_a_patch_names_both_words_where_they_differ():
    shares = torch.zeros(3, 2)
    alike, differ = (inside.patches(shares, ["in", " Rome"], ["in", other]) for other in (" Rome", " Paris"))
    assert alike.png != differ.png
    assert repr(differ) == "How far a patch moves the answer, in 3 layers and at 2 positions."


def test_heads_have_the_name_of_their_score():
    picture = inside.head_scores(torch.rand(3, 5, generator=torch.Generator().manual_seed(0)), "induction score")
    assert repr(picture) == "induction score of 5 heads in each of 3 layers."
