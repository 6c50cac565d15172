# %% [markdown] lesson=5 title="Encoder-decoder"
r"""
# 5. Encoder-decoder

In this lesson you put an encoder and a decoder together into the transformer of Vaswani et al. (2017): a model that
reads one sequence and writes another, such as a translation. Then you let it write, first with the simplest rule
there is and then, as a stretch, with beam search. At the end you have a model that gives the same numbers as
PyTorch's `nn.Transformer`, and writes the same texts as a Marian translation model of the `transformers` library.

The parts inside, embeddings, encoder, decoder and masks, come ready-made from `workbench.parts`; you build them
yourself in other lessons. No other lesson has to be solved first.

**How to work.** Run the cells from top to bottom. In an exercise, replace the line `raise NotImplementedError(...)`
by your own code and run the cell; the cell below it checks your answer and, if it is wrong, tells you which mistake
it recognises. If you are stuck, write `hint("shift_right")` in a new cell: every call opens one more of three hints,
and the last one is nearly the answer. `progress()` shows where you stand.
"""

# %%
import math

import torch
from torch import nn

from autograder import check, hint, progress
from workbench import data, figures
from workbench.parts import Decoder, Encoder, TransformerEmbedding, causal_mask, padding_mask

# %% [markdown]
r"""
| exercise | minutes | difficulty | importance | points |
|---|---|---|---|---|
| 1. `shift_right` | 5 | easy | high: without it a model learns to copy | 1 |
| 2. `EncoderDecoder` | 25 | medium | high: the whole transformer | 4 |
| 3. `greedy_decode` | 15 | medium | high: how a model writes | 3 |
| 4. `beam_search` (stretch) | 40 | hard | medium: better texts from the same model | 3 |
"""

# %% [markdown]
r"""
## The idea in words

The **encoder** reads the source once and turns it into a *memory*: one vector per source token, each of which knows
its whole sentence. The **decoder** writes the target one token at a time. To choose the next token it looks at two
things: the tokens that it has written so far (self-attention, which may not look ahead) and the memory
(cross-attention, which may look anywhere except at padding).

In training nothing has to be written, because the target is known. The decoder is given the target itself, moved one
place to the right: in front stands a token that means *begin*, and the last token falls off. So the output at each
place is asked for the token at that place, and has seen only those before it. All places are trained in one call.

| place | 0 | 1 | 2 | 3 |
|---|---|---|---|---|
| target | `1` | `9` | `7` | end |
| the decoder reads | begin | `1` | `9` | `7` |
| and shall answer | `1` | `9` | `7` | end |

## The formula

A target $y_1, \ldots, y_n$ of a source $x$ has the probability

$$p(y \mid x) = \prod_{t=1}^{n} p(y_t \mid y_0, y_1, \ldots, y_{t-1},\; \mathrm{encoder}(x)),$$

where $y_0$ is the begin token. Each factor is a softmax over the vocabulary, and one row of the logits. The encoder's
part is the same in all factors: it runs once.
"""

# %% [markdown] predict="where_the_end_goes"
r"""
**Predict.** The target of a training pair is `1 9 7 end`. How many rows of logits does the decoder give, and what is the last
one asked for?

- [ ] 3 rows; the last one is asked for `7` :: Then the model would never be trained to stop. The end is a token like the others, and has to be predicted.
- [x] 4 rows; the last one is asked for `end` :: The decoder reads `begin 1 9 7`, four tokens. Having seen all of the text, it has to say that the text is over.
- [ ] 5 rows; the last one is asked for what follows `end` :: Nothing follows the end. That is why the last token falls off when the target is shifted.
"""

# %% [markdown]
r"""
## Exercise 1: the shift
"""

# %% exercise="shift_right"
def shift_right(tokens, bos_id):
    """Return what the decoder reads when it is trained on a target (Vaswani et al. 2017, section 3.1).

    tokens  [batch, time]  integers, at least one token: the target
    bos_id  integer: the id of the token that means begin of sequence

    The result is [batch, time]: bos_id first in every row, then the tokens without the last one. It has
    the dtype and the device of tokens, which are not changed. Padding is moved like any other token.
    Nothing has to be raised.
    """
    ### BEGIN SOLUTION
    begin = torch.full_like(tokens[:, :1], bos_id)  # [batch, 1]
    return torch.cat([begin, tokens[:, :-1]], dim=1)
    ### END SOLUTION

# %% [markdown] hint="shift_right"
r"""
Write the example of the table above on paper: which column is new, and which old column has gone?
"""

# %% [markdown] hint="shift_right"
r"""
All columns but the last are `tokens[:, :-1]`. You need one column of begin tokens, `[batch, 1]`, with the dtype and
on the device of `tokens`: look up `torch.full_like`.
"""

# %% [markdown] hint="shift_right"
r"""
Make the column with `torch.full_like(tokens[:, :1], bos_id)`, and join it with `tokens[:, :-1]` by `torch.cat` along
`dim=1`.
"""

# %% check="shift_right" points=1

# %% [markdown]
r"""
## Exercise 2: the model

The parts, with their shapes:

- `TransformerEmbedding(vocab_size, embed_dim, max_len, dropout=...)` turns tokens `[batch, time]` into vectors
  `[batch, time, embed_dim]`, positions included.
- `Encoder(num_layers, embed_dim, num_heads, ff_dim, dropout, norm_first)` takes `(x, mask)` and returns
  `(x, [weights of each layer])`.
- `Decoder(num_layers, embed_dim, num_heads, ff_dim, dropout, norm_first)` takes
  `(x, memory, self_mask, memory_mask)` and returns `(x, [self weights], [cross weights])`, one entry per layer.
- `padding_mask(tokens, pad_id)` is `[batch, 1, keys]`, True where a token is no padding.
- `causal_mask(queries)` is `[queries, queries]`, True where a key is not later than the query. It is made on the CPU.

Three attentions, three masks: the encoder may look at the source except its padding; the decoder's self-attention may
look at the target, but not ahead; its cross-attention may look at the memory, where the *source* was not padding. The
padding of the target needs no mask of its own: it stands at the end, so no real token can see it anyway.
"""

# %% exercise="EncoderDecoder" uses="shift_right"
class EncoderDecoder(nn.Module):
    """The transformer that reads one sequence and writes another (Vaswani et al. 2017, figure 1).

    source_vocab_size, target_vocab_size  how many token ids there are on either side
    embed_dim, num_heads, ff_dim  sizes of all layers
    encoder_layers, decoder_layers  how many layers each stack has; they may differ
    max_len     longest source and longest target
    pad_id      the id that means padding, in the source; padding stands at the end of a row
    bos_id      the id that the decoder reads first
    dropout     for both embeddings and both stacks
    norm_first  True: pre-norm, in both stacks; False: post-norm, as in the paper

    Parts, by these names: source_embedding and target_embedding, each a TransformerEmbedding with its own
    weights and with sinusoidal positions (its default); encoder, an Encoder; decoder, a Decoder; head, an
    nn.Linear with bias from embed_dim to target_vocab_size.

    Sizes that do not fit are refused by the parts. Arguments are not changed, and the model works on any
    device that it was moved to.
    """

    def __init__(self, source_vocab_size, target_vocab_size, embed_dim, num_heads, ff_dim, encoder_layers,
                 decoder_layers, max_len, pad_id, bos_id, dropout=0.0, norm_first=False):
        ### BEGIN SOLUTION
        super().__init__()
        self.pad_id, self.bos_id = pad_id, bos_id
        self.source_embedding = TransformerEmbedding(source_vocab_size, embed_dim, max_len, dropout=dropout)
        self.target_embedding = TransformerEmbedding(target_vocab_size, embed_dim, max_len, dropout=dropout)
        self.encoder = Encoder(encoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first)
        self.decoder = Decoder(decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first)
        self.head = nn.Linear(embed_dim, target_vocab_size)
        ### END SOLUTION

    def encode(self, source):
        """Return (memory, weights) for a source; its padding is attended to by nobody.

        source   [batch, keys]  integers: the source tokens
        memory   [batch, keys, embed_dim]
        weights  what the encoder returns as weights: a list, one entry per layer
        """
        ### BEGIN SOLUTION
        return self.encoder(self.source_embedding(source), padding_mask(source, self.pad_id))
        ### END SOLUTION

    def decode(self, tokens, memory, source):
        """Return (logits, self_weights, cross_weights) for what the decoder reads.

        tokens  [batch, queries]  integers: the begin token and what is written so far; taken as they are
        memory  [batch, keys, embed_dim]  what encode returned for the source
        source  [batch, keys]  integers: the source tokens, which tell where the memory is padding

        logits are [batch, queries, target_vocab_size], before any softmax; the weights are the decoder's
        two lists. A token attends to itself, to the tokens before it, and to the memory except its
        padding. (Padding at the end of tokens needs no mask of its own. What comes out at places that are
        padding does not matter: no loss looks at it.)
        """
        ### BEGIN SOLUTION
        queries = tokens.shape[1]
        x, self_weights, cross_weights = self.decoder(
            self.target_embedding(tokens),
            memory,
            self_mask=causal_mask(queries).to(tokens.device),
            memory_mask=padding_mask(source, self.pad_id),
        )
        return self.head(x), self_weights, cross_weights
        ### END SOLUTION

    def forward(self, source, target):
        """Return the logits [batch, queries, target_vocab_size] for a target that is known, as in training.

        source  [batch, keys]  integers: the source tokens
        target  [batch, queries]  integers: the target tokens with their end, without the begin token

        The logits at each place are for the target token at the same place: the decoder reads the target
        shifted to the right.
        """
        ### BEGIN SOLUTION
        memory, _ = self.encode(source)
        logits, _, _ = self.decode(shift_right(target, self.bos_id), memory, source)
        return logits
        ### END SOLUTION

# %% [markdown] hint="EncoderDecoder"
r"""
`__init__` makes five parts. `encode` is one line: embed, then encode, with one mask. `decode` embeds the target side,
runs the decoder with two masks, and ends with the head. `forward` joins the two. Which sequence does each mask belong
to?
"""

# %% [markdown] hint="EncoderDecoder"
r"""
The padding mask of the *source* is used twice: in the encoder, and as `memory_mask` in the decoder, because the keys
of cross-attention are the source's places. The causal mask is the decoder's `self_mask`; move it with
`.to(tokens.device)`. `decode` takes its tokens as they are; only `forward` shifts, since only there the whole target
is known.
"""

# %% [markdown] hint="EncoderDecoder"
r"""
`encode`: return `self.encoder(self.source_embedding(source), padding_mask(source, self.pad_id))`. `decode`: give
`self.decoder` the embedded tokens, the memory, `causal_mask(tokens.shape[1]).to(tokens.device)` and the same padding
mask; it returns three things, and the first goes through `self.head`. `forward`: take the memory from `encode`, call
`decode` with `shift_right(target, self.bos_id)`, and return the logits alone.
"""

# %% check="EncoderDecoder" points=4

# %% [markdown]
r"""
## Exercise 3: greedy decoding

After training there is a source and no target. The model writes the target itself: it reads the begin token, says
which token is most probable next, reads that as well, and so on. The most probable token each time: this is why the
rule is called greedy.

A batch is decoded side by side, and its rows do not end together. A row that has said *end* is over; what the model
says about it afterwards is noise, and padding is written in its place until the longest row is done.
"""

# %% exercise="greedy_decode"
def greedy_decode(model, source, bos_id, eos_id, pad_id, max_len):
    """Return what the model writes for a source if it always takes the most probable token.

    model    has encode(source) -> (memory, weights) and decode(tokens, memory, source) -> (logits, weights,
             weights), as EncoderDecoder has; it is an nn.Module
    source   [batch, keys]  integers: the source tokens
    bos_id   integer: what the decoder reads first
    eos_id   integer: a row that has written it is over
    pad_id   integer: what stands in a row after its eos_id
    max_len  integer, 1 or more: how many tokens are written at most, eos_id included

    The result is [batch, time], integers on the device of source: what was written after bos_id (which is
    left out), with the eos_id where a row reached it. time is the length of the longest row: writing stops
    as soon as all rows are over, or after max_len tokens. Each row of the source is encoded once. The model
    decodes in evaluation mode, and may be left in it. source is not changed. Nothing has to be raised.
    """
    ### BEGIN SOLUTION
    model.eval()
    with torch.no_grad():
        memory, _ = model.encode(source)
        tokens = torch.full_like(source[:, :1], bos_id)  # [batch, 1]
        over = torch.zeros_like(source[:, 0], dtype=torch.bool)  # [batch]
        for _ in range(max_len):
            logits, _, _ = model.decode(tokens, memory, source)
            best = logits[:, -1].argmax(dim=-1).masked_fill(over, pad_id)
            tokens = torch.cat([tokens, best[:, None]], dim=1)
            over = over | (best == eos_id)
            if over.all():
                break
    return tokens[:, 1:]
    ### END SOLUTION

# %% [markdown] hint="greedy_decode"
r"""
Before the loop: the memory, and a column of begin tokens. In the loop: the logits of *all* places come back, and only
the last place says something new. What has to be remembered from one step to the next besides the tokens?
"""

# %% [markdown] hint="greedy_decode"
r"""
Keep a boolean per row, `over`. The next tokens are `logits[:, -1].argmax(dim=-1)`, a vector `[batch]`; where `over` is
True they become `pad_id` (`masked_fill`). Append them as a column, then update `over` with `== eos_id`, and leave the
loop when all rows are over.
"""

# %% [markdown] hint="greedy_decode"
r"""
`model.eval()`, then under `torch.no_grad()`: `memory, _ = model.encode(source)`; `tokens =
torch.full_like(source[:, :1], bos_id)`; `over` all False. At most `max_len` times: decode; the best next token,
`masked_fill(over, pad_id)`; `tokens = torch.cat([tokens, best[:, None]], dim=1)`; `over = over | (best == eos_id)`; if
`over.all()`, break. Return `tokens[:, 1:]`.
"""

# %% check="greedy_decode" points=3

# %% [markdown]
r"""
## Stretch: beam search

Greedy decoding cannot take anything back. In this table a model chooses the first token and then the second; the
numbers are probabilities:

| first token | its probability | best second token | its probability | both |
|---|---|---|---|---|
| `a` | 0.6 | `x` | 0.3 | 0.18 |
| `b` | 0.4 | `y` | 0.9 | 0.36 |

Greedy takes `a`, and from there the best text has 0.18. The text `b y` is twice as probable. **Beam search** keeps the
`num_beams` best beginnings instead of one. At each step every beginning is continued by every token, and of all these
candidates the best are kept.

Probabilities of long texts are tiny, so their logarithms are summed instead of multiplying them. Each further token
adds a negative number, which would favour short texts; so finished texts are compared by

$$\mathrm{score}(y) = \frac{\log p(y \mid x)}{n^{\,\alpha}},$$

with $n$ tokens and the `length_penalty` $\alpha$: 0 compares sums, 1 compares means per token. (The name is
historical: a larger value favours *longer* texts.)
"""

# %% demo
if __name__ == "__main__":
    texts = {"a x": [0.6, 0.3], "b y": [0.4, 0.9]}
    for text, probabilities in texts.items():
        total = sum(math.log(probability) for probability in probabilities)
        print(f"{text}: sum of logarithms {total:.3f}, per token {total / len(probabilities):.3f}, "
              f"probability {math.exp(total):.2f}")

# %% exercise="beam_search"
def beam_search(model, source, bos_id, eos_id, pad_id, max_len, num_beams, length_penalty=1.0):
    """Return (tokens, scores): for each source the best text that a search with num_beams beams finds.

    The rules are those of transformers' beam search with early_stopping="never"; the score is that of
    Wu et al. (2016, section 7) with the simpler penalty length ** length_penalty.

    model           has encode and decode as EncoderDecoder has; it is an nn.Module
    source          [batch, keys]  integers: the source tokens
    bos_id          integer: what the decoder reads first; it is no part of a text
    eos_id          integer: a text that has it is finished
    pad_id          integer: what stands in a row after its eos_id
    max_len         integer, 1 or more: how many tokens a text has at most, eos_id included
    num_beams       integer, 1 or more: how many unfinished texts of each row go on
    length_penalty  number, 0 or more: the exponent of the length in the score

    Each row of the batch is a search of its own. It begins with one empty text. In each step every
    unfinished text is continued by every token of the vocabulary; these candidates are ranked by the sum of
    the log-probabilities of their tokens. A candidate is finished if it ends in eos_id or has max_len
    tokens. Of the num_beams best candidates, those that are finished are set aside. Of all candidates that
    are not finished, the num_beams best go on. The search ends when no text goes on any more, or earlier if
    nothing better can come. The answer is the text set aside with the highest score: its sum of
    log-probabilities divided by its number of tokens (eos_id included) to the power of length_penalty.

    tokens are [batch, time], integers on the device of source: the best texts without bos_id, padded with
    pad_id after their end, where time is the length of the longest of them. scores are [batch]. Each row of
    the source is encoded once. The model decodes in evaluation mode, and may be left in it. source is not
    changed. Ties do not occur in the checks. Nothing has to be raised.
    """
    ### BEGIN SOLUTION
    model.eval()
    batch = len(source)
    with torch.no_grad():
        memory, _ = model.encode(source)
        # Beams are rows of a larger batch: [batch * num_beams, ...].
        memory = memory.repeat_interleave(num_beams, dim=0)
        sources = source.repeat_interleave(num_beams, dim=0)
        tokens = source.new_full((batch, num_beams, 1), bos_id)
        # All beams of a row begin alike. Only one of them counts, or each text would be found num_beams times.
        totals = memory.new_full((batch, num_beams), -math.inf)
        totals[:, 0] = 0.0
        best_tokens = source.new_full((batch, max_len), pad_id)
        best_scores = memory.new_full((batch,), -math.inf)
        lengths = source.new_zeros(batch)
        for length in range(1, max_len + 1):
            logits, _, _ = model.decode(tokens.flatten(0, 1), memory, sources)
            log_probs = logits[:, -1].log_softmax(dim=-1).unflatten(0, (batch, num_beams))
            vocab_size = log_probs.shape[-1]
            candidates = (totals[:, :, None] + log_probs).flatten(1)  # [batch, num_beams * vocab_size]
            # At most num_beams candidates end in eos_id, so twice as many leave num_beams that go on.
            totals, places = candidates.topk(2 * num_beams)
            beams, last = places // vocab_size, places % vocab_size
            tokens = torch.cat([pick(tokens, beams), last[:, :, None]], dim=2)

            finished = (last == eos_id) | (length == max_len)
            scores = (totals / length**length_penalty).masked_fill(~finished, -math.inf)[:, :num_beams]
            score, beam = scores.max(dim=1)
            better = score > best_scores
            best_scores = torch.where(better, score, best_scores)
            lengths = lengths.masked_fill(better, length)
            best_tokens[better, :length] = pick(tokens, beam[:, None])[better, 0, 1:]

            totals, beams = totals.masked_fill(finished, -math.inf).topk(num_beams)
            tokens = pick(tokens, beams)
    after = torch.arange(max_len, device=source.device) >= lengths[:, None]
    return best_tokens.masked_fill(after, pad_id)[:, :int(lengths.max())], best_scores


def pick(tokens, beams):
    """Return the rows of tokens [batch, beams, time] that the indices beams [batch, chosen] name."""
    return tokens.gather(1, beams[:, :, None].expand(-1, -1, tokens.shape[2]))
    ### END SOLUTION

# %% [markdown] hint="beam_search"
r"""
Begin with a batch of one row and plain Python lists: a list of (tokens, sum) for the texts that go on, and a list of
(tokens, score) for those set aside. Write one step on paper with two beams and a vocabulary of three tokens: there are
six candidates. When that works, loop over the rows of the batch, or flatten rows and beams into one larger batch.
"""

# %% [markdown] hint="beam_search"
r"""
The candidates of one row are `sums[:, None] + logits[:, -1].log_softmax(-1)`, `[beams, vocab_size]`. Flatten them and
take `topk(2 * num_beams)`, which sorts: at most `num_beams` of them can end in `eos_id`, so enough are left that go
on. The index divided by `vocab_size` (`//`) is the text that is continued, the rest (`%`) is the new token. If all
beams exist from the beginning, all but the first must start with a sum of minus infinity.
"""

# %% [markdown] hint="beam_search"
r"""
For one row: `texts` is `[[bos_id]]`, `sums` is `[0.]`. For each length from 1 to `max_len`: decode all texts (expand
memory and source to their number); candidates as in the second hint; go through the sorted candidates with their rank:
the new text is the old one plus the token; if the token is `eos_id` or the length is `max_len`, and the rank is below
`num_beams`, set it aside with sum / length ** length_penalty; if it is not finished and fewer than `num_beams` have
been kept, keep it. The answer is the one set aside with the highest score, without `bos_id`. At the end pad the rows
to the longest.
"""

# %% check="beam_search" points=3

# %% [markdown]
r"""
## Trained on dates

`workbench.data` writes dates as people do, in several styles and in five languages (*tuesday, 3 may 1979*, *3.5.1979*,
*le 3 mai 1979* ...), and the model is to answer `1979-05-03`, one character at a time. No model sees a held-out date
in training, in whatever style. `python bench/dates.py` trains and measures one from the closed boxes:

As measured on two CPU cores (172 686 parameters, 600 steps of 128 dates, 27 seconds): 99.80 % of 2000 held-out dates
are right in every character. Of dates in longer phrases (*on thursday, the 3rd of april in the year 1930*) the same
model gets 0.5 % right: neither such phrases nor positions so far from the beginning occurred in training.
"""

# %% [markdown]
r"""
## What people get wrong here

- **The decoder reads the target unshifted.** Then each place sees the very token that it is asked for. The loss falls
  to nearly 0 within minutes, and the model can write nothing.
- **Keys and values of cross-attention.** Both come from the memory; only the query comes from the decoder. So the
  mask of cross-attention is the *source's* padding mask.
- **Two masks exchanged.** With source and target of the same length no shape complains.
- **The encoder runs at every step.** The result is right and the time is not: the source does not change while the
  target is written.
- **One row ends, and the others are cut off; or it goes on, and noise follows its end.** The end belongs to a row, not
  to the batch.
- **Beams that are not followed by their past.** After each step a beam may continue another beam's text: tokens (and a
  cache, if there is one) have to be picked by the same indices as the sums.
- **Encoder and decoder need not be equally deep.** Translation services often use a deep encoder, which runs once, and
  a shallow decoder, which runs at every step.

## Read next

- Vaswani et al. (2017), *Attention Is All You Need*: sections 3.1 and 3.2.3 for the three attentions and their masks,
  section 6.1 for the beam search that was used.
- Wu et al. (2016), *Google's Neural Machine Translation System*: section 7 for beam search and length penalty.
- Kasai et al. (2021), *Deep Encoder, Shallow Decoder*: why the depths differ in practice.
- The source of `MarianMTModel` in `transformers`, whose small sibling agrees with your model in our tests.
"""
