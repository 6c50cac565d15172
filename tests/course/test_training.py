"""Training falls, ends by itself, repeats itself exactly, and leaves the global generators alone."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from workbench import data, parts, training

DATES, _ = data.split_dates()


def small_model(dropout=0.1):
    torch.manual_seed(0)
    return parts.EncoderDecoder(
        data.WRITTEN_DATES.vocab_size,
        data.ISO_DATES.vocab_size,
        embed_dim=16,
        num_heads=2,
        ff_dim=32,
        encoder_layers=1,
        decoder_layers=1,
        max_len=64,
        pad_id=0,
        bos_id=1,
        dropout=dropout,
        norm_first=True,
    )


def loss(model, source, target):
    return F.cross_entropy(model(source, target).transpose(1, 2), target, ignore_index=0)


def trained(steps=40, **options):
    model = small_model()
    done = training.train(model, data.date_batches(DATES, 32), loss, steps, learning_rate=5e-3, **options)
    return model, done


def test_the_loss_on_dates_falls():
    _, done = trained()
    assert len(done.losses) == 40 and done.seconds > 0
    assert sum(done.losses[-5:]) < 0.8 * sum(done.losses[:5])


def test_the_same_seed_gives_the_same_model():
    (one, first), (same, second), (_, third) = trained(12), trained(12), trained(12, seed=1)
    assert first.losses == second.losses
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert first.losses != third.losses  # dropout drew other places


def test_the_number_of_threads_changes_no_digit():
    threads, seen = torch.get_num_threads(), set()

    def noting_threads(*batch):
        seen.add(torch.get_num_threads())
        return loss(*batch)

    try:
        losses = []
        for count in (1, 4):
            torch.set_num_threads(count)
            done = training.train(small_model(), data.date_batches(DATES, 32), noting_threads, 5, learning_rate=5e-3)
            losses.append(done.losses)
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert losses[0] == losses[1]
    assert seen == {1}  # a model as small as this one might show no difference


def test_training_does_not_touch_the_global_generator():
    torch.manual_seed(3)
    before, model = torch.get_rng_state(), nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 1, bias=False))
    torch.set_rng_state(before)
    training.train(model, itertools.repeat((torch.ones(3, 2),)), lambda model, x: model(x).square().mean(), 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_trained_model_is_left_in_evaluation_mode():
    assert not trained(1)[0].training


def test_the_learning_rate_rises_in_a_line_and_falls_to_nothing():
    shares = [training._share(step, 100, 0.1) for step in range(101)]
    assert shares[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert shares[10] == pytest.approx(1.0) and shares[55] == pytest.approx(0.5) and shares[100] == pytest.approx(0.0)


def test_too_few_batches_are_reported():
    batches = itertools.islice(data.date_batches(DATES, 4), 3)
    with pytest.raises(ValueError, match="ended after 3 of 5 steps"):
        training.train(small_model(), batches, loss, 5)


def test_a_loss_that_is_no_number_ends_the_training():
    with pytest.raises(FloatingPointError, match="loss of step 1 is nan"):
        training.train(small_model(), data.date_batches(DATES, 4), lambda *batch: loss(*batch) * float("nan"), 5)


def test_a_short_training_shows_no_progress_bar(capsys):
    trained(2)
    assert capsys.readouterr() == ("", "")


def test_a_model_learns_on_the_device_that_it_was_moved_to():
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    model = small_model().to("cuda")
    done = training.train(model, data.date_batches(DATES, 32), loss, 40, learning_rate=5e-3)
    assert next(model.parameters()).is_cuda and done.losses[-1] < done.losses[0]
    source, _ = data.date_tensors(data.date_pairs(DATES[:3]))
    assert parts.greedy_decode(model, source.to("cuda"), 1, 2, 0, 12).is_cuda
    assert parts.beam_search(model, source.to("cuda"), 1, 2, 0, 12, 2)[0].is_cuda
