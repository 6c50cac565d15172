"""python bench/dates.py [--device cuda]: train the encoder-decoder of lesson 5 on dates, print time and exact match.

Exact match is the share of held-out dates (no model saw them in training, in any style) whose ISO form is right in
every character.
"""

import argparse

import torch
import torch.nn.functional as F

from workbench import data, parts, training

SIZES = dict(embed_dim=64, num_heads=4, ff_dim=128, encoder_layers=2, decoder_layers=2, max_len=64)


def build(seed, **changes):
    """Return an untrained model for the date task."""
    torch.manual_seed(seed)
    return parts.EncoderDecoder(
        data.WRITTEN_DATES.vocab_size,
        data.ISO_DATES.vocab_size,
        pad_id=data.ISO_DATES.pad_id,
        bos_id=data.ISO_DATES.bos_id,
        **SIZES | changes,
    )


def loss(model, source, target):
    """Return the mean cross-entropy of the target's tokens, padding left out."""
    return F.cross_entropy(model(source, target).transpose(1, 2), target, ignore_index=data.ISO_DATES.pad_id)


def exact_match(model, pairs, batch_size=500):
    """Return the share of [(written, ISO)] that the model translates without a fault."""
    iso, device, right = data.ISO_DATES, next(model.parameters()).device, 0
    for batch in (pairs[start : start + batch_size] for start in range(0, len(pairs), batch_size)):
        source, _ = data.date_tensors(batch)
        tokens = parts.greedy_decode(model, source.to(device), iso.bos_id, iso.eos_id, iso.pad_id, max_len=12)
        right += sum(iso.decode(row) == wanted for row, (_, wanted) in zip(tokens, batch, strict=True))
    return right / len(pairs)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--device", default="cpu")
    options.add_argument("--steps", type=int, default=600)
    options.add_argument("--batch", type=int, default=128)
    options.add_argument("--rate", type=float, default=3e-3)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--post-norm", action="store_true")
    options.add_argument("--dropout", type=float, default=0.0)
    chosen = options.parse_args()
    known, held_out = data.split_dates()
    model = build(chosen.seed, norm_first=not chosen.post_norm, dropout=chosen.dropout).to(chosen.device)
    done = training.train(
        model,
        data.date_batches(known, chosen.batch, chosen.seed),
        loss,
        chosen.steps,
        learning_rate=chosen.rate,
        seed=chosen.seed,
        title="dates",
    )
    print(
        f"{sum(p.numel() for p in model.parameters())} parameters, {torch.get_num_threads()} threads, "
        f"{chosen.steps} steps of {chosen.batch}, {done.seconds:.0f} s, last loss {done.losses[-1]:.4f}"
    )
    print(f"exact match on {len(held_out)} held-out dates: {exact_match(model, data.date_pairs(held_out)):.2%}")
    print(f"the same in longer styles: {exact_match(model, data.date_pairs(held_out, styles=data.LONG_STYLES)):.2%}")


if __name__ == "__main__":
    main()
