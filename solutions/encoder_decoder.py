# %% [markdown] lesson=5 title="Encoder-decoder"
r"""
# 5. Encoder-decoder

In this lesson you put an encoder and a decoder together into the transformer of Vaswani et al. (2017): a model that
reads one sequence and writes another, such as a translation. Then you let it write, first with the simplest rule
there is and then, as a stretch, with beam search. At the end you have a model of your own that you have trained, in
about a minute, to read dates as people write them and to write them as computers do; you have seen where it looks while
it writes, and where it fails.

You need Python and a little PyTorch: `nn.Module`, indexing and broadcasting. The parts inside, embeddings, encoder,
decoder and masks, come ready-made from `workbench.parts`; you build them yourself in other lessons. No other lesson has
to be solved first.

**How to work.** Run the cells from top to bottom. In an exercise, replace the lines `raise NotImplementedError(...)`
by your own code and run the cell; the cell below it checks your answer and, if it is wrong, tells you which mistake
it recognises. If you are stuck, write `hint("shift_right")` in a new cell: each new one opens one more of three hints,
and the last one is nearly the answer. `progress()` shows where you stand. A long
cell that only draws is folded; a click on its three dots opens it.
"""

# %%
import math
import re

import torch
from torch import nn

from autograder import check, hint, progress
from workbench import data, figures, pretrained, training
from workbench.broken.encoder_decoder import Copier, broken_greedy_decode
from workbench.parts import Decoder, Encoder, TransformerEmbedding, causal_mask, padding_mask

# %% [markdown]
r"""
## Where you are

This lesson is about the whole picture: the encoder on the left, the decoder in the middle, and the arrow between them.
"""

# %% demo
if __name__ == "__main__":
    figures.transformer_map(lit="encoder_decoder")

# %% [markdown]
r"""
| exercise | minutes | difficulty | importance | points |
|---|---|---|---|---|
| 1. `shift_right` | 5 | easy | high: without it a model learns to copy | 1 |
| 2. `EncoderDecoder` | 20 | medium | high: the whole transformer | 4 |
| 3. `greedy_decode` | 15 | medium | high: how a model writes | 3 |
| 4. `translator_bug_input`: find the bug | 10 | medium | medium: batches end row by row | 1 |
| Question: a loss that is too good | 5 | medium | high: everybody meets it once | 3 |
| 5. `beam_search` (stretch) | 40 | hard | medium: better texts from the same model | 3 |

With reading and experiments the lesson takes about 120 minutes, or 80 without the stretch exercise: keep beam search
for another day.
"""

# %% [markdown]
r"""
## The idea in words

A text is a row of *tokens*: here single characters, each of which has a number, its id. A token learns about others by
*attention*: it asks with a *query*, which is compared with the *keys* of the others. A softmax turns the results into
weights that sum to 1, and the *values* of the others are averaged with these weights. So the axes below that are called
`queries` and `keys` are the tokens that ask and the tokens that are asked. More is not needed here; lessons 6 and 7
build attention.

The **encoder** reads the source once and turns it into a *memory*: one vector per source token, each of which has
collected from the whole sentence. The **decoder** writes the target one token at a time. To choose the next token it
looks at two things: the tokens that it has written so far (self-attention, which may not look ahead) and the memory
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
part is the same in all factors: it runs once. Training makes the loss small, which is the mean of $-\log$ of the
factors. The logarithm is the natural one, so the unit of the loss is called the *nat*.

| symbol | name | shape |
|---|---|---|
| $x$ | `source` | `[batch, keys]`, token ids |
| $y_1, \ldots, y_n$ | `target` | `[batch, queries]`, token ids, the end included |
| $y_0, \ldots, y_{n-1}$ | what the decoder reads | `[batch, queries]`: the target, shifted |
| $\mathrm{encoder}(x)$ | `memory` | `[batch, keys, embed_dim]` |
| before the softmax | `logits` | `[batch, queries, target_vocab_size]` |
| | self-attention's weights, encoder | `[batch, heads, keys, keys]` |
| | self-attention's weights, decoder | `[batch, heads, queries, queries]` |
| | cross-attention's weights | `[batch, heads, queries, keys]` |

Source and target have vocabularies of their own, and lengths of their own.

## A worked example

A model is to write `1 9 end`. Suppose it gives `1` a probability of 0.5 at the first place; `9` one of 0.8 at the
second, where it has read `1`; and `end` one of 0.9 at the third, where it has read `1 9`. Then the whole text has the
probability $0.5 \cdot 0.8 \cdot 0.9 = 0.36$, and the loss is
$(-\ln 0.5 - \ln 0.8 - \ln 0.9) / 3 = (0.693 + 0.223 + 0.105) / 3 = 0.341$. The next cell does the same.
"""

# %% demo
if __name__ == "__main__":
    factors = {"1": 0.5, "9": 0.8, "end": 0.9}
    losses = [-math.log(factor) for factor in factors.values()]
    print("probability of the text:", round(math.prod(factors.values()), 2))
    print("losses:", [round(loss, 3) for loss in losses], "mean:", round(sum(losses) / len(losses), 3))

# %% [markdown]
r"""
The next item asks you to **predict** before you run anything. Decide first, then open your choice, then run the cell
below it.
"""

# %% [markdown] predict="where_the_end_goes"
r"""
**Predict.** The target of a training pair is `1 9 7 end`. How many rows of logits does the decoder give, and what is the last
one asked for?

- [ ] 3 rows; the last one is asked for `7` :: Then the model would never be trained to stop. The end is a token like the others, and has to be predicted.
- [x] 4 rows; the last one is asked for `end` :: The decoder reads `begin 1 9 7`, four tokens. Having seen all of the text, it has to say that the text is over.
- [ ] 5 rows; the last one is asked for what follows `end` :: Nothing follows the end. That is why the last token falls off when the target is shifted.
"""

# %% demo
if __name__ == "__main__":
    target = ["1", "9", "7", "end"]
    for read, asked in zip(["begin", *target[:-1]], target, strict=True):
        print(f"the decoder reads {read:>5}, and is asked for {asked}")

# %% [markdown]
r"""
## Exercise 1: the shift

This way of training is called *teacher forcing* (Williams and Zipser 1989): whatever the model would have written, the
teacher's text is what it reads.
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

The model has three kinds of attention (section 3.2.3 of the paper), and each has its mask:

| | queries from | keys and values from | may not look at |
|---|---|---|---|
| the encoder's self-attention | the source | the source | padding of the source |
| the decoder's self-attention | the target | the target | what comes later |
| cross-attention | the target | the memory | padding of the source |

The padding of the target needs no mask of its own: it stands at the end, so no real token can see it anyway.
"""

# %% [markdown] predict="shape_of_cross_attention"
r"""
**Predict.** A source of 7 tokens, of which the last 2 are padding, and a target of 4 tokens. What is the table of weights
of one head in cross-attention, and what does the mask empty in it?

- [x] 4 rows, 7 columns; the last two columns are empty :: The queries come from the decoder, one per target token. Keys and values come from the memory, one per source token, and the mask is that of the source's padding.
- [ ] 7 rows, 4 columns; the last two rows are empty :: This is the table the other way round: the source would ask, and the target would answer. Then the decoder would learn nothing about the source.
- [ ] 4 rows, 4 columns; above the diagonal it is empty :: This is the decoder's self-attention. Cross-attention has no causal mask: the source is known from its beginning to its end.
"""

# %% demo
if __name__ == "__main__":
    torch.manual_seed(5)
    box = Decoder(1, 8, 2, 16)  # one layer with two heads, from the closed boxes
    source = torch.tensor([[5, 3, 4, 9, 6, 0, 0]])
    x, memory = torch.randn(1, 4, 8), torch.randn(1, 7, 8)
    _, self_weights, cross_weights = box(x, memory, causal_mask(4), padding_mask(source, 0))
    for name, weights in (("self-attention", self_weights[0]), ("cross-attention", cross_weights[0])):
        empty = (weights[0, 0] == 0).all(dim=0).nonzero().flatten().tolist()
        print(f"{name}: rows and columns {list(weights.shape[-2:])}, empty columns {empty}")


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

    def __init__(
        self,
        source_vocab_size,
        target_vocab_size,
        embed_dim,
        num_heads,
        ff_dim,
        encoder_layers,
        decoder_layers,
        max_len,
        pad_id,
        bos_id,
        dropout=0.0,
        norm_first=False,
    ):
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
A small model of yours, untrained, with an encoder of one layer and a decoder of two. Its loss should be near that of
guessing: with 13 tokens, $\ln 13 = 2.56$.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(5)
        small = EncoderDecoder(
            source_vocab_size=11,
            target_vocab_size=13,
            embed_dim=16,
            num_heads=2,
            ff_dim=32,
            encoder_layers=1,
            decoder_layers=2,
            max_len=20,
            pad_id=0,
            bos_id=1,
        ).eval()
        source, target = torch.randint(3, 11, (64, 7)), torch.randint(3, 13, (64, 5))
        logits = small(source, target)
        print("logits", list(logits.shape))
        print(
            "loss between 2 and 4:", 2 < nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten()).item() < 4
        )

# %% [markdown]
r"""
## Exercise 3: greedy decoding

After training there is a source and no target. The model writes the target itself: it reads the begin token, says
which token is most probable next, reads that as well, and so on. The most probable token each time: this is why the
rule is called greedy.

A batch is decoded side by side, and its rows do not end together. A row that has said *end* is over; what the model
says about it afterwards is noise, and padding is written in its place until the longest row is done.
"""

# %% [markdown] predict="how_often_the_encoder_runs"
r"""
**Predict.** A text of 11 tokens is written. How often do encoder and decoder run?

- [ ] Both 11 times :: It would give the same text, and waste the work of ten encoder runs. The source does not change while the target is written.
- [x] The encoder once, the decoder 11 times :: The memory is made once and kept. The decoder runs for each token, because each token is read before the next is chosen.
- [ ] Both once :: That is training, where all tokens of the target are known. Here the second token cannot be read before it is written.
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

    The result is [batch, time], integers: what was written after bos_id (which is left out), with the
    eos_id where a row reached it. time is the length of the longest row: writing stops as soon as all rows
    are over, or after max_len tokens. Each row of the source is encoded once. The model
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
Your function with an untrained model, whose text is noise, and a count of how often each side runs:
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(5)
        small = EncoderDecoder(
            source_vocab_size=11,
            target_vocab_size=13,
            embed_dim=16,
            num_heads=2,
            ff_dim=32,
            encoder_layers=1,
            decoder_layers=2,
            max_len=20,
            pad_id=0,
            bos_id=1,
        )
        runs = {"encoder": 0, "decoder": 0}

        def count(name):
            def one_more(module, inputs, output):
                runs[name] += 1

            return one_more

        small.encoder.register_forward_hook(count("encoder"))
        small.decoder.register_forward_hook(count("decoder"))
        # No token has the id 99, so no text ends before it has 11 tokens.
        tokens = greedy_decode(small, torch.randint(3, 11, (2, 7)), bos_id=1, eos_id=99, pad_id=0, max_len=11)
        print("written:", list(tokens.shape), "runs:", runs)

# %% [markdown]
r"""
## Experiment: dates

`workbench.data` writes dates as people do, in 24 styles and five languages, and your model is to write them as ISO
8601 does, one character at a time. All of it is made by rules, from a seed. Every date from 1900 to 2099 occurs,
except 2000 dates that are held out: no model sees them in training, in whatever style.
"""

# %% demo
if __name__ == "__main__":
    known, held_out = data.split_dates()
    for written, iso in data.date_pairs(known[:6]):
        print(f"{written:36} {iso}")
    print("characters: at most", max(len(written) for written, _ in data.date_pairs(known)), "in a text")

# %% [markdown]
r"""
The next cell trains your model: 450 steps with 64 dates each, which takes about half a minute, with a bar that shows how
far it is. The trained model is kept until you run this cell again; do so if you change the model.
"""

# %% demo trained
if __name__ == "__main__":
    trained = []

    def translator():
        """Return (model, losses): your model, trained on dates when this is called for the first time."""
        if not trained:
            torch.manual_seed(5)
            model = EncoderDecoder(
                data.WRITTEN_DATES.vocab_size,
                data.ISO_DATES.vocab_size,
                embed_dim=64,
                num_heads=4,
                ff_dim=128,
                encoder_layers=2,
                decoder_layers=2,
                max_len=64,
                pad_id=data.ISO_DATES.pad_id,
                bos_id=data.ISO_DATES.bos_id,
                norm_first=True,
            )
            done = training.train(
                model, data.date_batches(known, batch_size=64), date_loss, steps=450, learning_rate=3e-3, title="dates"
            )
            trained.append((model, done.losses))
        return trained[0]

    def date_loss(model, source, target):
        logits = model(source, target)  # [batch, queries, vocab]
        return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=data.ISO_DATES.pad_id)

    with figures.once_solved():
        model, losses = translator()
        steps = [1, 2, 4, 8, 16, 32, 64, 128, 256, 450]
        picture = figures.curves(
            steps,
            xlabel="training step",
            panels=[
                figures.Panel(
                    "Training on dates",
                    "loss in nats per character",
                    {"your model": [losses[step - 1] for step in steps]},
                    log=True,
                    bound=("guessing among 14 tokens", math.log(data.ISO_DATES.vocab_size)),
                )
            ],
        )
        picture.told("The loss falls from that of guessing to less than a hundredth of it.").show()

# %% [markdown]
r"""
What to see: the loss begins where guessing is, and ends below a hundredth of it. Both axes count in factors, so the
last steps change less than it looks. A small loss is no translation yet: see what the model writes.

Now the held-out dates. An answer is right if *every* character is (exact match). Then the same dates in longer
phrases, one style for each language, such as *on thursday, the 3rd of april in the year 1930*. No text in training
was so long, and none had words such as *year* or *giorno* in it.
"""

# %% [markdown] predict="longer_phrases"
r"""
**Predict.** Nearly all held-out dates come out right. How many of the same dates in longer phrases?

- [ ] Nearly all: day, month and year are written as before :: So it would be if the model had learned the *rule*: find the number of the day, the name of the month, the year. Measure first.
- [ ] About half :: It would be a good guess if some languages worked and others not. They all fail.
- [x] Nearly none :: Nothing in training asked the model to find a day further back than it ever stood, or to pass over words that it never saw. What it does there was never corrected.
"""

# %% demo trained
if __name__ == "__main__":

    def write(texts):
        """Return what your trained model writes for a list of texts."""
        model, _ = translator()
        iso = data.ISO_DATES
        tokens = greedy_decode(model, data.WRITTEN_DATES.batch(texts), iso.bos_id, iso.eos_id, iso.pad_id, max_len=12)
        return [iso.decode(row) for row in tokens]

    def right(pairs):
        """Return the share of [(written, ISO)] whose every character is right, in %."""
        texts, wanted = zip(*pairs, strict=True)
        return 100 * sum(one == other for one, other in zip(write(texts), wanted, strict=True)) / len(pairs)

    def about(share):
        return "nearly all" if share > 90 else "fewer than one in ten" if share < 10 else "a part"

    with figures.once_solved():
        usual = data.date_pairs(held_out[:1000])
        longer = data.date_pairs(held_out[:1000], styles=data.LONG_STYLES)
        shares = {"held-out\ndates": right(usual)}
        for blanks in (1, 2, 4):
            shares[f"{blanks} blank{'s' * (blanks > 1)}\nin front"] = right(
                [(" " * blanks + written, iso) for written, iso in usual]
            )
        shares["longer\nphrases"] = right(longer)
        print("characters: at most", max(len(written) for written, _ in longer), "in a longer phrase")
        print("held-out dates:", about(shares["held-out\ndates"]), "are right")
        print("longer phrases:", about(shares["longer\nphrases"]), "are right")
        picture = figures.bars(
            list(shares),
            [
                figures.Panel(
                    "What your model translates without a fault", "exact match in %", {"dates": list(shares.values())}
                )
            ],
        )
        picture.told(
            "Nearly all held-out dates are right, fewer with each blank in front of them, and nearly none in "
            "longer phrases."
        ).show()

# %% [markdown]
r"""
What to see: **on longer phrases the model fails**, and plainly. Two things are new in them, and the bars in the
middle tell them apart. They show the same held-out dates with blanks in front: no new word, nearly only new places
for the old ones, and the share falls with each blank. So the model has learned *where* to look in part by counting
places from the beginning (a position is added to every character: lesson 10, *Positional embeddings*). The longer
phrases add words which it has never seen, and nothing has ever taught it to pass over them.

The number for held-out dates is no lie. It answers the question that was asked: dates that are *drawn like those of
training*. Whoever wants longer phrases has to train on longer phrases, or to measure before promising. Here is how it
goes wrong; the answers look like dates all the same:
"""

# %% demo trained="your model writes .*"
if __name__ == "__main__":
    # Another processor may train a model that goes wrong in another way.
    with figures.once_solved():
        for (written, iso), answer in zip(longer[:5], write([written for written, _ in longer[:5]]), strict=True):
            print(f"{written}\n    is {iso}, and your model writes {answer}")

# %% [markdown]
r"""
Type dates of your own: `write(["3 may 1979", "le 14 juillet 2026"])`. Only lower case occurred in training.

## Experiment: where it looks

While the model writes a character of the year, which characters of the source does cross-attention look at? The next
cell takes one text that is held out, and shows the weights of the last layer (the mean of its four heads). A row
belongs to the character that is *about to be written*.
"""

# %% demo trained
if __name__ == "__main__":

    @torch.no_grad()
    def cross_attention(text, iso):
        """Return the weights [characters of the ISO date and its end, characters of the text] of the last layer."""
        model, _ = translator()
        source, target = data.date_tensors([(text, iso)])
        memory = model.encode(source)[0]
        _, _, cross_weights = model.decode(shift_right(target, data.ISO_DATES.bos_id), memory, source)
        return cross_weights[-1][0].mean(dim=0)

    date = held_out[0]
    text, iso = data.written_date(date, "english", "{weekday}, {day} {month} {year}"), date.isoformat()
    print(text, "->", iso)
    with figures.once_solved():
        picture = figures.weight_tables(
            {"Cross-attention, last layer": cross_attention(text, iso)},
            rows="about to be written",
            columns="character of the source",
            row_names=[*iso, "end"],
            column_names=list(text),
        )
        picture.told(
            "The rows of the year look at the year in the source, those of the month at the name of the month, "
            "those of the day at the day."
        ).show()

# %% [markdown]
r"""
One text may be chance. So take 100 held-out dates in two styles, *3 may 1979* and *may 3, 1979*, and sum the weights
over the characters of each field:
"""

# %% demo trained
if __name__ == "__main__":
    FIELDS = ["year", "month", "day", "between"]
    OF_ISO = torch.tensor([0, 0, 0, 0, 3, 1, 1, 3, 2, 2, 3])  # yyyy-mm-dd and the end

    def fields(text):
        """Return the number of the field that each character belongs to."""
        found = torch.full((len(text),), FIELDS.index("between"))
        for match in re.finditer("[a-z]+|[0-9]+", text):
            name = "month" if match[0].isalpha() else "year" if len(match[0]) == 4 else "day"
            found[match.start() : match.end()] = FIELDS.index(name)
        return found

    def looked(style):
        """Return the mean share [field about to be written, field of the source] of cross-attention."""
        table = torch.zeros(4, 4)
        for date in held_out[:100]:
            text = data.written_date(date, "english", style)
            weights = cross_attention(text, date.isoformat())
            rows, columns = nn.functional.one_hot(OF_ISO, 4).float(), nn.functional.one_hot(fields(text), 4).float()
            table += rows.T @ weights @ columns / rows.sum(dim=0)[:, None] / 100
        return table[:3]

    with figures.once_solved():
        tables = {"3 may 1979": looked("{day} {month} {year}"), "may 3, 1979": looked("{month} {day}, {year}")}
        for style, table in tables.items():
            print(f"{style}: each field looks most at its own:", table.argmax(dim=1).tolist() == [0, 1, 2])
        picture = figures.weight_tables(
            tables,
            rows="about to be written",
            columns="looked at in the source",
            row_names=FIELDS[:3],
            column_names=FIELDS,
        )
        picture.told(
            "In both styles most weight lies on the diagonal: year on year, month on month, day on day."
        ).show()

# %% [markdown]
r"""
What to see: most weight lies on the diagonal, year to year, month to month, day to day, whether the month stands before
the day or behind it. Nobody told the model which characters belong together. It learned from pairs of texts alone that
`05` has to do with *may*.

What the picture does not show: *why* a character was chosen. Each vector of the memory has been through two layers of
self-attention, so what stands at the place of the *m* of *may* may hold much about the rest of the text; a weight says
how much was taken from a place, and not what was taken.

## Exercise 4: find the bug

Somebody has written greedy decoding with less to remember: there is no `over`. Read it.
"""

# %% demo
if __name__ == "__main__":
    figures.source(broken_greedy_decode)

# %% [markdown]
r"""
To try it, you do not need a trained model. `Copier` is a translator without any parameters: its translation of a text
is the text itself. After the end it begins again, since nobody has taught it what comes after the end.
"""

# %% demo
if __name__ == "__main__":
    figures.source(Copier)

# %% [markdown]
r"""
It has been tried on the usual sources, where 0 is padding, 1 begins and 2 ends:
"""

# %% demo
if __name__ == "__main__":

    def compare(name, source):
        source = torch.tensor(source)
        mine, theirs = (
            decode(Copier(), source, bos_id=1, eos_id=2, pad_id=0, max_len=12)
            for decode in (greedy_decode, broken_greedy_decode)
        )
        print(f"{name}: {mine.tolist()},", "same" if torch.equal(mine, theirs) else f"DIFFERENT: {theirs.tolist()}")

    with figures.once_solved():
        compare("one row", [[3, 4, 5]])
        compare("two rows", [[3, 4, 5], [6, 7, 8]])
        compare("two rows with padding", [[3, 4, 5, 0, 0], [6, 7, 8, 0, 0]])
        compare("two lengths", [[3, 4, 5], [6, 7, 0]])

# %% [markdown]
r"""
All ISO dates have the same length, so the experiment above would never have found it either. And still it is wrong
for some sources. Supply one. A good way to work: play the loop on paper, with one column for each row of the batch.
"""


# %% exercise="translator_bug_input"
def translator_bug_input():
    """Return a source for which broken_greedy_decode writes a wrong text.

    The result is [batch, keys], integers from 3 to 9, with 0 as padding at the end of a row. At most 100 rows and
    20 tokens each.

    The model is Copier, with bos_id 1, eos_id 2 and pad_id 0, and max_len leaves room for all texts and their
    ends. The source counts if broken_greedy_decode returns other tokens than greedy_decode has to.
    """
    ### BEGIN SOLUTION
    # The bug: only the last token is asked whether a row is over. One step after its end the last token is
    # padding, so the row comes to life again, unless the longest row is done by then.
    return torch.tensor([[3, 4, 5, 6], [7, 8, 0, 0]])
    ### END SOLUTION


# %% [markdown] hint="translator_bug_input"
r"""
Which row is over is worked out afresh in every step, from `tokens[:, -1]`. What stands there one step after the end,
and what two steps after it?
"""

# %% [markdown] hint="translator_bug_input"
r"""
End, padding, and then? The second padding is written only if the last token is the end, and it no longer is. For this
to show, the loop must still be running two steps after a row has ended.
"""

# %% [markdown] hint="translator_bug_input"
r"""
The loop runs until the longest row has ended. So return two rows, one of which is at least two tokens longer than the
other: four tokens, and two tokens with two of padding behind them.
"""

# %% check="translator_bug_input" points=1

# %% [markdown]
r"""
## Question: a loss that is too good
"""

# %% [markdown] question="too_good_a_loss" points=3
r"""
A friend writes a transformer for dates. After a few steps its loss is almost 0, far below yours, and still it writes
nothing but nonsense. In the code you find that the decoder is given the target as it is, without `shift_right`.
Explain in four to six sentences:

1. Why is the loss so small, although the causal mask is right?
2. Why does the same model write nonsense?
3. Your friend says: "But in training the decoder writes one token after the other, so it cannot know the next one."
   What does it do in training instead, and what keeps it honest there?

### BEGIN SOLUTION
**Sample answer.** The causal mask lets each place look at itself and at those before it. Without the shift, the token
that stands at a place is the very token that is asked for there, so the model only has to copy its input, which is
learned in a few steps, and the source is not needed at all. In writing there is no such token: the model is given the
begin token and what it has written, and copies the last token that it reads, so it repeats itself and ignores the
source. In training nothing is written. The decoder is given the whole target at once, and gives logits for all places
in one call. Two things together keep it honest: the shift, by which the token that is asked for stands one place
later, and the causal mask, which hides that later place. Each of them alone is not enough.

**Rubric.** One point each:
1. each place sees the token it is asked for, because the mask permits a place itself; half a point for "it can copy"
   without saying why the mask does not help;
2. in writing, the token to be copied is not there (it copies the last one read, or never learned to use the source);
3. all places at once from the known target, *and* shift together with causal mask; half a point for one of the two.
### END SOLUTION
"""

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

The probability of a long text is tiny, so one adds logarithms instead of multiplying probabilities. Each further token
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
        print(
            f"{text}: sum of logarithms {total:.3f}, per token {total / len(probabilities):.3f}, "
            f"probability {math.exp(total):.2f}"
        )

# %% [markdown]
r"""
## Exercise 5: beam search

The rules are in the docstring, in full, because two searches that differ in a detail find different texts. Read them
twice; then begin with one row and two beams.
"""


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

    tokens are [batch, time], integers: the best texts without bos_id, padded with pad_id after their end,
    where time is the length of the longest of them. scores are [batch]. Each row of
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
        best_tokens = torch.full((batch, max_len), pad_id, device=source.device)
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
    return best_tokens.masked_fill(after, pad_id)[:, : int(lengths.max())], best_scores


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
What does the search find that greedy decoding does not? The next cell lets a model choose as in the table above, and
decodes it with one beam and with two.
"""

# %% demo
if __name__ == "__main__":

    class Chooser(nn.Module):
        """Writes `a` (3) or `b` (4), then `x` (5) or `y` (6) or another token (7), then the end, as in the table."""

        AFTER = {1: {3: 0.6, 4: 0.4}, 3: {5: 0.3, 6: 0.25, 7: 0.25, 4: 0.2}, 4: {6: 0.9, 5: 0.1}}

        def encode(self, source):
            return torch.zeros(*source.shape, 1), []

        def decode(self, tokens, memory, source):
            logits = torch.full((*tokens.shape, 8), -30.0)
            for row, text in enumerate(tokens.tolist()):
                for token, probability in self.AFTER.get(text[-1], {2: 1.0}).items():
                    logits[row, -1, token] = math.log(probability)
            return logits, [], []

    with figures.once_solved():
        for beams in (1, 2):
            tokens, scores = beam_search(
                Chooser(),
                torch.tensor([[3]]),
                bos_id=1,
                eos_id=2,
                pad_id=0,
                max_len=4,
                num_beams=beams,
                length_penalty=0.0,
            )
            names = {2: "end", 3: "a", 4: "b", 5: "x", 6: "y"}
            print(
                f"{beams} beam{'s' * (beams > 1)}:",
                *[names[token] for token in tokens[0].tolist()],
                f"with probability {scores[0].exp():.2f}",
            )

# %% [markdown]
r"""
On the dates there is little to gain: a character of an ISO date is nearly always certain. In translation of sentences
it is different; Vaswani et al. (2017, section 6.1) used 4 beams and $\alpha = 0.6$, with the length penalty of Wu et
al.

## Published weights in your model

The Marian models, one for each of more than a thousand pairs of languages (Junczys-Dowmunt et al. 2018; Tiedemann and
Thottingal 2020), are the transformer of this lesson: post-norm, with sinusoidal positions. So their numbers fit into your
`EncoderDecoder`, and `pretrained.load` puts them there. It knows of three differences: the sines stand before the cosines
(lesson 10, *Positional embeddings*), the table of tokens is multiplied by the square root of `embed_dim` once and for all, and
the decoder begins with the padding token, which is `model.bos_id` therefore.

The next cell needs no network: `pretrained.made_here("marian")` lets the `transformers` library make a small Marian with
random numbers, and write it into a folder, as it writes published ones.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        try:
            folder, theirs = pretrained.made_here("marian")
        except pretrained.PretrainedError as missing:
            print(f"Nothing to compare with: {missing}.")
        else:
            from autograder.assemble import assemble

            mine = assemble({}, {"EncoderDecoder": EncoderDecoder})  # your class, and closed boxes inside
            model = pretrained.load(folder, mine)
            source = torch.tensor([[7, 30, 5, 81, 16, 0], [9, 44, 0, 2, 2, 2]])  # 0 ends a text, 2 is padding
            target = torch.tensor([[23, 6, 90, 0], [12, 71, 3, 0]])
            with torch.inference_mode():
                logits = theirs(
                    input_ids=source,
                    attention_mask=(source != model.pad_id).long(),
                    decoder_input_ids=shift_right(target, model.bos_id),
                ).logits
                difference = (model(source, target) - logits).abs().max().item()
            print("logits differ by less than 0.0001:", difference < 1e-4)

# %% [markdown]
r"""
With a network, or with the folder of a checkpoint, write its name between the quotes in the next cell and run it:
`Helsinki-NLP/opus-mt-en-de` translates from English to German (0.3 GB, once). Its tokenizer needs one more package, `pip
install sentencepiece`; where it is missing, the cell says so. Some Marian checkpoints on the hub hold their numbers as a pickle only, a
format that can run code when it is opened. `pretrained.load` does not open it, and says how to turn it into a folder that
can be read: `MarianMTModel.from_pretrained(...).save_pretrained(...)`, and the tokenizer likewise.
"""

# %% demo
if __name__ == "__main__":
    checkpoint = ""  # "Helsinki-NLP/opus-mt-en-de", or a folder

    with figures.once_solved():
        if checkpoint:
            marian, tokenizer = pretrained.load(checkpoint, mine), pretrained.tokenizer(checkpoint)
            source = tokenizer("The cat sat on the mat because it was tired.", return_tensors="pt")["input_ids"]
            written = greedy_decode(marian, source, marian.bos_id, tokenizer.eos_token_id, marian.pad_id, max_len=40)
            print(tokenizer.decode(written[0], skip_special_tokens=True))
        else:
            print("No checkpoint is named. The cell then loads it into your model, and lets it translate.")

# %% [markdown]
r"""
## Summary

- The encoder reads the source once; the decoder writes with its eyes on the memory and on what it has written.
- In training the target is known. It is shifted to the right, and all places are trained in one call; shift and causal
  mask together keep each place from seeing its own token.
- Three attentions, three masks: the source's padding in the encoder and in cross-attention, the causal mask in the
  decoder's self-attention.
- Queries of cross-attention come from the decoder, keys and values from the encoder.
- Writing is a loop. Greedy decoding takes the most probable token, beam search keeps several beginnings. A row that has
  ended has to be remembered.
- Your model learned the dates that it was trained on, and dates like them. On longer phrases it fails.
"""

# %% [markdown]
r"""
## What people get wrong here

- **The decoder reads the target unshifted.** Then each place sees the very token that it is asked for. The loss falls
  to nearly 0 in no time, and the model can write nothing.
- **"In training, too, the decoder writes one token after the other."** It reads the known target and answers at all
  places in one call; the causal mask keeps each place from looking ahead. One after the other is only for writing.
- **"Cross-attention takes its keys from the encoder and its values from the decoder."** Keys *and values* come from the
  memory; only the query comes from the decoder. So the mask of cross-attention is the *source's* padding mask.
- **Two masks exchanged.** With source and target of the same length no shape complains.
- **The encoder runs at every step.** The result is right and the time is not: the source does not change while the
  target is written.
- **One row ends, and the others are cut off; or it goes on, and noise follows its end.** The end belongs to a row, not
  to the batch, and has to be remembered.
- **"99 % on held-out data: the task is learned."** Held-out dates are drawn like the training dates. For texts drawn in
  another way, such as longer ones, this number promises nothing.
- **Beams that are not followed by their past.** After each step a beam may continue another beam's text: tokens (and a
  cache, if there is one) have to be picked by the same indices as the sums.
- **Encoder and decoder need not be equally deep.** Translation services often use a deep encoder, which runs once, and
  a shallow decoder, which runs at every step.

## Read next

- Vaswani et al. (2017), *Attention Is All You Need*: sections 3.1 and 3.2.3 for the three attentions and their masks,
  section 6.1 for the beam search that was used.
- Wu et al. (2016), *Google's Neural Machine Translation System*: section 7 for beam search and length penalty.
- Kasai et al. (2021), *Deep Encoder, Shallow Decoder*: why the depths differ in practice.
- The source of `MarianMTModel` in `transformers`: in this course's tests it and the solution of this lesson, given the
  same weights, write the same texts.

Lesson 1, *Encoder*, and lesson 2, *Decoder*, open the two large boxes. Lesson 10, *Positional embeddings*, looks at
what happens beyond the trained length. Lesson 11, *Visualizing attention with BertViz*, puts all your own parts in
the place of the closed boxes, and trains them on these dates.
"""
