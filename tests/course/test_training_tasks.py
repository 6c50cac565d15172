"""Characters of Python's own source, and reviews that no bag of words can read: the data, and what a model learns."""

import itertools
import math
import random
import sysconfig

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from workbench import characters, classification, parts, training

TRAINING, HELD_OUT = characters.split_source()
OPINIONS, HELD_OUT_OPINIONS = classification.split_opinions()


def equal_batches(left, right):
    """Return whether two lists of batches hold the same tensors."""
    return all(torch.equal(a, b) for pair in zip(left, right, strict=True) for a, b in zip(*pair, strict=True))


# Characters: the text


def test_a_module_is_read_as_it_stands_in_its_file():
    source = characters.module_source("textwrap")
    assert "\ndef dedent(text):\n" in source and source.endswith("\n")
    assert not any(line != line.rstrip() or "\t" in line for line in source.splitlines())


def test_every_character_has_an_id_and_comes_back():
    for name in characters.TRAINING_MODULES + characters.HELD_OUT_MODULES:
        source = characters.module_source(name)
        assert len(source) > 5000
        assert characters.SOURCE.decode(characters.SOURCE.encode(source)) == source


def test_no_file_is_both_trained_on_and_held_out():
    assert len({*characters.TRAINING_MODULES, *characters.HELD_OUT_MODULES}) == (
        len(characters.TRAINING_MODULES) + len(characters.HELD_OUT_MODULES)
    )
    assert len(TRAINING) > 2_000_000 and len(HELD_OUT) > 150_000


def test_the_text_is_the_same_every_time():
    again = characters.split_source()
    assert torch.equal(again[0], TRAINING) and torch.equal(again[1], HELD_OUT)


def test_what_is_no_ascii_is_left_out(tmp_path, monkeypatch):
    (tmp_path / "small.py").write_bytes("# coding: latin-1\nif é:\n\treturn  \n".encode("latin-1"))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    assert characters.module_source("small") == "# coding: latin-1\nif :\n        return\n"


def test_a_python_without_its_source_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(FileNotFoundError, match="argparse.py is missing.*without the source"):
        characters.split_source()


def test_pieces_of_source_follow_from_their_seed_and_stand_in_the_text():
    one, same, other = (
        list(itertools.islice(characters.character_batches(HELD_OUT, 3, 11, seed), 2)) for seed in (0, 0, 1)
    )
    assert equal_batches(one, same) and not equal_batches(one, other) and not torch.equal(one[0][0], one[1][0])
    text = characters.SOURCE.decode(HELD_OUT)
    assert one[0][0].shape == (3, 11)
    assert all(characters.SOURCE.decode(row) in text for (tokens,) in one for row in tokens)


def test_the_shortest_text_has_one_piece():
    assert torch.equal(next(characters.character_batches(HELD_OUT[:7], 2, 7))[0], HELD_OUT[:7].expand(2, 7))


# Characters: baselines


def test_the_uniform_loss_is_the_logarithm_of_the_alphabet():
    assert characters.uniform_loss() == pytest.approx(math.log(96))


def test_the_unigram_loss_by_hand():
    training_ids, held_out_ids = (torch.tensor(characters.SOURCE.encode(text)) for text in ("aab", "ac"))
    expected = -(math.log(3 / 99) + math.log(1 / 99)) / 2  # each of 96 characters counts once more
    assert characters.unigram_loss(training_ids, held_out_ids) == pytest.approx(expected)


def test_counting_characters_is_better_than_knowing_nothing():
    unigram = characters.unigram_loss(TRAINING, HELD_OUT)
    assert unigram < characters.uniform_loss() - 1
    assert unigram == pytest.approx(3.14, abs=0.05)  # 3.127 on Python 3.11, 3.151 on 3.13


def test_the_held_out_loss_of_a_model_that_counts_is_the_unigram_loss():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            counts = torch.bincount(TRAINING, minlength=characters.SOURCE.vocab_size) + 1.0
            counts[:3] = 0  # the special tokens are no characters
            self.logits = nn.Parameter(counts.log())

        def forward(self, tokens):
            return self.logits.expand(*tokens.shape, -1), []

    ids = HELD_OUT[: 1001 * 7 + 3]
    targets = ids[: 1001 * 7].view(-1, 7)[:, 1:].flatten()
    assert characters.held_out_loss(Counts(), ids, 7) == pytest.approx(characters.unigram_loss(TRAINING, targets), 1e-5)


def test_the_innermost_open_bracket_is_found():
    assert characters.open_brackets("f([a], b) c") == [None, 1, 2, 2, 1, 1, 1, 1, None, None, None]
    assert characters.open_brackets("a) (]") == [None, None, None, 3, 3]  # one that closes nothing changes nothing


# Reviews: the data


def test_a_mirror_image_has_the_same_words_and_the_other_label():
    reviews = classification.mirrored_reviews(OPINIONS, 2000)
    for (text, label), (image, other) in zip(reviews[::2], reviews[1::2], strict=True):
        assert sorted(text.split()) == sorted(image.split()) and text != image
        assert {label, other} == {classification.GOOD, classification.BAD}


@pytest.mark.parametrize("verdict", classification.VERDICTS)
def test_a_verdict_names_once_what_was_so_and_once_what_was_not(verdict):
    assert verdict.count("{so}") == verdict.count("{not}") == verdict.count("{subject}") == 1


def test_the_order_of_the_two_words_alone_does_not_tell():
    first = [verdict.index("{so}") < verdict.index("{not}") for verdict in classification.VERDICTS]
    assert first.count(True) == first.count(False)


def test_no_review_is_both_trained_on_and_held_out():
    assert not set(OPINIONS) & set(HELD_OUT_OPINIONS)
    assert len(OPINIONS) + len(HELD_OUT_OPINIONS) == len({*OPINIONS, *HELD_OUT_OPINIONS}) == 12 * 12
    trained, held_out = (classification.mirrored_reviews(opinions, 4000) for opinions in (OPINIONS, HELD_OUT_OPINIONS))
    assert not set(trained) & set(held_out)
    words = [set(" ".join(text for text, _ in reviews).split()) for reviews in (trained, held_out)]
    assert words[1] <= words[0]  # what is new is the pair, and not a word


def test_reviews_and_batches_follow_from_their_seed():
    assert classification.split_opinions() == (OPINIONS, HELD_OUT_OPINIONS) != classification.split_opinions(seed=1)
    assert classification.mirrored_reviews(OPINIONS, 50) == classification.mirrored_reviews(OPINIONS, 50)
    assert classification.mirrored_reviews(OPINIONS, 50) != classification.mirrored_reviews(OPINIONS, 50, seed=1)
    one, same, other = (
        list(itertools.islice(classification.review_batches(OPINIONS, 6, seed), 2)) for seed in (0, 0, 1)
    )
    assert equal_batches(one, same)
    assert not torch.equal(one[0][0], other[0][0]) and not torch.equal(one[0][0], one[1][0])


def test_the_seed_gives_the_same_reviews_everywhere():
    assert classification.mirrored_reviews(HELD_OUT_OPINIONS, 2) == [
        ("the tour was friendly , not tiring . it took two hours .", 1),
        ("the tour was tiring , not friendly . it took two hours .", 0),
    ]


def test_the_global_generators_are_left_alone():
    random.seed(3)
    torch.manual_seed(3)
    before = random.getstate(), torch.get_rng_state()
    next(classification.review_batches(classification.split_opinions()[0], 4))
    next(characters.character_batches(HELD_OUT, 2, 5))
    assert random.getstate() == before[0] and torch.equal(torch.get_rng_state(), before[1])


def test_a_batch_begins_with_cls_and_is_padded_behind_the_text():
    reviews = classification.mirrored_reviews(OPINIONS, 60)
    tokens, labels = classification.review_tensors(reviews)
    assert (tokens[:, 0] == classification.REVIEWS.cls_id).all()
    assert labels.tolist() == [label for _, label in reviews]
    assert (tokens == classification.REVIEWS.pad_id).any()
    for row, (text, _) in zip(tokens, reviews, strict=True):
        assert classification.REVIEWS.decode(row) == ["[CLS]", *text.split()]
        assert not row[1 + len(text.split()) :].any()
    assert tokens.shape[1] < classification.MODEL["max_len"]


def test_an_unknown_word_is_named():
    with pytest.raises(ValueError, match="'lukewarm', which this tokenizer does not know"):
        classification.REVIEWS.encode("it was lukewarm")


def test_an_odd_number_of_reviews_is_refused():
    with pytest.raises(ValueError, match="7 reviews cannot all have a mirror image"):
        classification.mirrored_reviews(OPINIONS, 7)


# Reviews: the baseline


def test_a_bag_of_words_is_right_on_exactly_one_half():
    trained = classification.mirrored_reviews(OPINIONS, 1000)
    held_out = classification.mirrored_reviews(HELD_OUT_OPINIONS, 1000, seed=1)
    assert classification.bag_of_words_accuracy(trained, held_out) == 0.5
    assert classification.bag_of_words_accuracy(trained, trained) == 0.5


def test_the_bag_of_words_can_read_reviews_whose_words_do_tell():
    plain = [
        (f"the hotel was {word} .", label)
        for label, words in enumerate((classification.BAD_WORDS, classification.GOOD_WORDS))
        for word in words
    ]
    assert classification.bag_of_words_accuracy(plain, plain) == 1.0


def test_a_classifier_without_positions_answers_mirror_images_alike():
    torch.manual_seed(0)
    model = classifier().double()
    tokens, _ = classification.review_tensors(classification.mirrored_reviews(OPINIONS, 40))
    with torch.no_grad():
        assert not torch.allclose(model(tokens)[0][::2], model(tokens)[0][1::2], atol=1e-6)
        model.embedding.position.weight.zero_()
        torch.testing.assert_close(model(tokens)[0][::2], model(tokens)[0][1::2], rtol=0, atol=1e-10)


# Short trainings of small models: a few seconds


def language_model():
    model = parts.LanguageModel(
        characters.SOURCE.vocab_size, embed_dim=32, num_heads=2, ff_dim=64, num_layers=1, max_len=32
    )
    nn.init.normal_(model.embedding.token.weight, std=characters.TOKEN_STD)
    return model


def classifier():
    model = parts.SequenceClassifier(
        classification.REVIEWS.vocab_size,
        embed_dim=32,
        num_heads=2,
        ff_dim=64,
        num_layers=2,
        max_len=48,
        num_classes=2,
        pad_id=classification.REVIEWS.pad_id,
    )
    nn.init.normal_(model.embedding.token.weight, std=classification.TOKEN_STD)
    return model


def trained_on_source(device="cpu"):
    torch.manual_seed(0)
    model = language_model().to(device)
    done = training.train(
        model,
        characters.character_batches(TRAINING, 16, 32),
        lambda model, tokens: parts.next_token_loss(model(tokens)[0], tokens),
        150,
        learning_rate=1e-2,
    )
    return model, done


def trained_on_reviews(device="cpu"):
    torch.manual_seed(0)
    model = classifier().to(device)
    done = training.train(
        model,
        classification.review_batches(OPINIONS, 32),
        lambda model, tokens, labels: F.cross_entropy(model(tokens)[0], labels),
        300,
        learning_rate=4e-3,
    )
    return model, done


def test_a_small_language_model_soon_knows_more_than_how_often_characters_occur():
    model, done = trained_on_source()
    assert done.losses[0] == pytest.approx(math.log(characters.SOURCE.vocab_size), abs=0.3)
    unigram = characters.unigram_loss(TRAINING, HELD_OUT)
    assert characters.held_out_loss(model, HELD_OUT[:20_000], 32) < unigram - 0.2


def test_a_small_classifier_soon_reads_what_a_bag_of_words_cannot():
    model, done = trained_on_reviews()
    assert done.losses[0] == pytest.approx(math.log(2), abs=0.1)
    assert classification.held_out_accuracy(model, classification.mirrored_reviews(HELD_OUT_OPINIONS, 400)) > 0.8


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_both_learn_on_the_device_that_they_were_moved_to():
    model, _ = trained_on_source("cuda")
    assert next(model.parameters()).is_cuda and characters.held_out_loss(model, HELD_OUT[:20_000], 32) < 3
    model, _ = trained_on_reviews("cuda")
    reviews = classification.mirrored_reviews(HELD_OUT_OPINIONS, 400)
    assert next(model.parameters()).is_cuda and classification.held_out_accuracy(model, reviews) > 0.8
