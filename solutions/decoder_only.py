# %% [markdown] lesson=4 title="Decoder-only"
r"""
# 4. Decoder-only

A decoder that reads what has been written so far and says what comes next: this is a language model, and it is all
that GPT-2 and its successors are. In this lesson you build the loss it is trained with, the model itself, and the loop
that writes text with it. At the end you have trained your model on Python's own source, let it write, and found a head
in it that looks for brackets. With the same weights, your model gives the same logits and writes the same text as GPT-2 of
the `transformers` library.

You need Python, a little PyTorch (modules, indexing, `F.cross_entropy`), and an idea of what a decoder does: it takes one
vector per token and gives one vector per token, each of which has received something from the tokens before it and from none
behind it. Lesson 2, *Decoder*, opens this box. No other lesson has to be solved first: what this one needs is imported
below, ready to use.

**How to work.** Run the cells from top to bottom. In an exercise, replace the lines `raise NotImplementedError(...)`
by your own code and run the cell; the cell below it checks your answer and, if it is wrong, tells you which mistake
it recognises. If you are stuck, write `hint("next_token_loss")` in a new cell: each new one opens one more of three
hints, and the last one is nearly the answer. `progress()` shows where you stand. A long
cell that only draws is folded; a click on its three dots opens it.
"""

# %%
import copy
import functools
import math
import textwrap

import torch
import torch.nn.functional as F
from torch import nn

from autograder import check, hint, progress
from workbench import characters, figures, pretrained, widgets
from workbench.broken.decoder_only import broken_repetition_penalty
from workbench.parts import Decoder, TransformerEmbedding, causal_mask, merge_heads, split_heads
from workbench.training import train


def gelu_tanh(x):
    """Return the activation of GPT-2, the tanh approximation of GELU (Hendrycks and Gimpel 2016, section 2)."""
    return F.gelu(x, approximate="tanh")


# %% [markdown]
r"""
## Where you are

Take the decoder of the paper's picture and remove what connects it with the encoder: the attention to the memory,
with its residual and its norm. What remains is the model of this lesson: embedding, a stack of masked self-attention
and feed-forward network, and a linear layer that gives one number per token of the vocabulary.
"""

# %% demo
if __name__ == "__main__":
    figures.transformer_map(lit="decoder_only")

# %% [markdown]
r"""
| exercise | minutes | difficulty | importance | points |
|---|---|---|---|---|
| 1. `next_token_loss` | 10 | medium | high: off by one position here, and the model learns to copy | 3 |
| 2. `LanguageModel` | 15 | medium | high: the whole model | 4 |
| 3. `filter_logits` | 20 | medium | medium: what every text generator offers | 3 |
| 4. `generate` | 10 | medium | high: how a model writes | 3 |
| 5. `language_model_bug_input`: find the bug | 5 | easy | medium: signs are easily forgotten | 1 |
| Question: what would leak? | 10 | medium | high | 3 |
| 6. `generate_with_cache` (stretch) | 30 | hard | high in practice: no language model is served without it | 3 |

With reading and experiments the lesson takes about 90 minutes, and the stretch exercise half an hour more.
"""

# %% [markdown]
r"""
## The idea in words

A text has its own answers in it: what follows "the cat" is the next word of the text. So a language model needs no
labels. It reads the tokens 0 to $t$ and gives a score, a *logit*, to each token of the vocabulary for the place
$t + 1$. The causal mask keeps position $t$ from seeing anything later, so *all* positions of a text can be trained in
a single pass, and each of them has been asked an honest question.

To write, the model is asked for the token after the last one. One token is chosen from its answer and appended, and
the model is asked again.
"""

# %% [markdown]
r"""
## The formula

The probability of a text is a product, one factor for each token given those before it, and the loss is the mean of
its negative logarithms:

$$p(x_0, \ldots, x_{n-1}) = p(x_0) \prod_{t=0}^{n-2} p(x_{t+1} \mid x_0, \ldots, x_t), \qquad
\mathrm{loss} = -\frac{1}{n - 1} \sum_{t=0}^{n-2} \log p(x_{t+1} \mid x_0, \ldots, x_t)$$

A text of $n$ tokens gives $n - 1$ terms: nothing predicts the first token, and what the last position predicts is not
in the text. The model gives logits, and a softmax makes probabilities of them.

| symbol | name | shape |
|---|---|---|
| $x$ | `tokens` | `[batch, time]`, whole numbers below `vocab_size` |
| the scores at every position | `logits` | `[batch, time, vocab_size]` |
| $p(\cdot \mid x_0, \ldots, x_t)$ | softmax of `logits[:, t]` | `[batch, vocab_size]` |
"""

# %% [markdown]
r"""
## A worked example

The text is *the cat sat*, three tokens, so there are two predictions. After *the* the model gives the token *cat* the
probability 1/2; after *the cat* it gives *sat* the probability 1/4. The loss is

$$\frac{-\log \tfrac12 - \log \tfrac14}{2} = \frac{0.693 + 1.386}{2} = 1.040.$$

$e^{1.040} = 2.83$ is called the *perplexity*: on average the model was as undecided as if it had had to choose among
2.83 equally likely tokens.
"""

# %% demo
if __name__ == "__main__":
    loss = (-math.log(1 / 2) - math.log(1 / 4)) / 2
    print(f"loss {loss:.3f}, perplexity {math.exp(loss):.2f}")

# %% [markdown]
r"""
The next item asks you to **predict** before you run anything. Decide first, then open your choice, then run the cell
below it.
"""

# %% [markdown] predict="untrained_loss"
r"""
**Predict.** A model with a vocabulary of 1000 tokens has learned nothing yet and gives all of them the same logit. What
is its loss, about?

- [ ] 0, because all logits are equal :: A loss of 0 needs the right token to have probability 1. Equal logits spread the probability evenly.
- [x] 6.9 :: Every token has the probability 1/1000, and −log(1/1000) = log 1000 = 6.9. A new model whose first loss is far from the logarithm of its vocabulary has something wrong with it.
- [ ] 1000 :: That is its perplexity. The loss is the logarithm of it.
"""

# %% demo
if __name__ == "__main__":
    print(f"{F.cross_entropy(torch.zeros(1, 1000), torch.tensor([7])):.3f}")

# %% [markdown]
r"""
## Exercise 1: the loss

`F.cross_entropy` takes logits, applies the logarithm of the softmax itself, and expects the classes on the *second*
axis: `[rows, classes]` with `[rows]` targets, or `[batch, classes, time]` with `[batch, time]` targets.
"""


# %% exercise="next_token_loss"
def next_token_loss(logits, tokens, pad_id=None):
    """Return the mean cross-entropy of each token given those before it (Radford et al. 2018, section 3.1).

    logits  [batch, time, vocab_size]  floating point: what the model says after each of the tokens, before
            any softmax
    tokens  [batch, time]  int64: the text itself, the same that the model has read; the shift by one is done
            here, along time
    pad_id  the id that stands for padding, which may be 0; a target that is padding does not count.
            None: there is no padding, and every target counts

    The result is a tensor without axes, in nats: the sum over all targets that count, of all sequences
    together, divided by their number. Gradients reach the logits. The arguments are not changed, and may live
    on any device. Nothing has to be raised; a text in which no target counts is never given.
    """
    ### BEGIN SOLUTION
    predictions = logits[:, :-1]  # what follows the last token is unknown
    targets = tokens[:, 1:]  # the first token is predicted by nothing
    if pad_id is not None:
        targets = targets.masked_fill(targets == pad_id, -100)  # the number that cross_entropy leaves out
    return F.cross_entropy(predictions.transpose(1, 2), targets)
    ### END SOLUTION


# %% [markdown] hint="next_token_loss"
r"""
Write the positions of a text of four tokens in one row and, below each, the token that the logits of this position
should predict. Which position has nothing below it? Which token is predicted by none?
"""

# %% [markdown] hint="next_token_loss"
r"""
Leave out the last position of the logits and the first of the tokens: `[:, :-1]` and `[:, 1:]`. Then the axes: either
flatten batch and time of both (`flatten(0, 1)`, `flatten()`), or bring the vocabulary to axis 1. For padding look at
the argument `ignore_index` of `F.cross_entropy` and at its default.
"""

# %% [markdown] hint="next_token_loss"
r"""
`predictions = logits[:, :-1]` and `targets = tokens[:, 1:]`. If `pad_id is not None`, replace it in a copy of the
targets by -100 with `masked_fill`. Return `F.cross_entropy(predictions.transpose(1, 2), targets)`.
"""

# %% check="next_token_loss" points=3

# %% [markdown]
r"""
The worked example with your function. The third position predicts what follows *sat*, which nobody asks for: its logits
do not matter.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        tokens = torch.tensor([[0, 1, 2]])  # the cat sat
        logits = torch.log(torch.tensor([[[0.25, 0.5, 0.25], [0.5, 0.25, 0.25], [0.8, 0.1, 0.1]]]))
        print(f"{next_token_loss(logits, tokens):.3f}")

# %% [markdown]
r"""
## Exercise 2: the model

Three choices make a decoder a GPT-2 (Radford et al. 2018, section 4.1; 2019, section 2.3): positions are *learned*,
the norms stand *before* the sublayers with one more at the end, and the activation is GELU in its tanh approximation.

The last layer is **tied** (Press and Wolf 2017; Vaswani et al. 2017, section 3.4). The embedding has one vector per
token, and the last layer needs one vector per token as well, whose product with the hidden state is the logit. They
are the same table: one parameter, used twice, and trained from both sides. In GPT-2 this saves 39 million parameters
of 163.

To tie is to let two names mean one object. `a.weight = b.weight` does that; copying the numbers does not, because two
copies go separate ways at the first training step.

Two closed boxes are at hand:

- `TransformerEmbedding(vocab_size, embed_dim, max_len, positions="sinusoidal", dropout=0.0)` takes tokens and returns a
  vector for each; its table of tokens is the parameter `token.weight`;
- `Decoder(num_layers, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu,
  cross_attention=True)` is called with these vectors and `self_mask=`, and returns three things: the vectors of the last
  layer, the list of attention weights, and one more list, which holds nothing but None without an encoder. Made with
  `cross_attention=False`, its layers have no parameters for an encoder's output, which a language model does not have.

`causal_mask(time)` makes the mask `[time, time]`, True where a position may be seen.
"""


# %% exercise="LanguageModel"
class LanguageModel(nn.Module):
    """A decoder that predicts the next token (GPT-2: Radford et al. 2019, section 2.3).

    vocab_size  how many tokens there are
    embed_dim   features of each position
    num_heads   heads of each attention; a divisor of embed_dim
    ff_dim      hidden features of each feed-forward network
    num_layers  how many layers the decoder has
    max_len     the longest sequence
    dropout     of the embedding and of the decoder
    activation  of the feed-forward networks

    It has these parts, under these names:
    embedding   TransformerEmbedding with learned positions
    decoder     Decoder with norm_first=True and cross_attention=False, so that no parameter is idle
    head        nn.Linear from embed_dim to vocab_size, without bias; its weight is the parameter
                embedding.token.weight itself, not a copy of it, and stands in the state dict under both names
    """

    def __init__(
        self, vocab_size, embed_dim, num_heads, ff_dim, num_layers, max_len, dropout=0.0, activation=gelu_tanh
    ):
        super().__init__()
        self.max_len, self.num_heads = max_len, num_heads  # generate and generate_with_cache read these
        ### BEGIN SOLUTION
        self.embedding = TransformerEmbedding(vocab_size, embed_dim, max_len, positions="learned", dropout=dropout)
        self.decoder = Decoder(
            num_layers,
            embed_dim,
            num_heads,
            ff_dim,
            dropout,
            norm_first=True,
            activation=activation,
            cross_attention=False,
        )
        self.head = nn.Linear(embed_dim, vocab_size, bias=False)
        self.head.weight = self.embedding.token.weight
        ### END SOLUTION

    def forward(self, tokens):
        """Return (logits, weights).

        tokens   [batch, time]  integer, time at most max_len

        logits   [batch, time, vocab_size]  for the token after each position, before any softmax
        weights  a list with the attention weights of each layer, [batch, heads, queries, keys]

        No position sees a later one. The model works on whatever device it was moved to. The embedding
        raises the ValueError for a sequence that is too long.
        """
        ### BEGIN SOLUTION
        mask = causal_mask(tokens.shape[1]).to(tokens.device)
        x, weights, _ = self.decoder(self.embedding(tokens), self_mask=mask)
        return self.head(x), weights
        ### END SOLUTION


# %% [markdown] hint="LanguageModel"
r"""
Three parts in the constructor, and one line each in `forward`: tokens to vectors, vectors through the decoder, vectors
to logits. Which defaults of `TransformerEmbedding` and `Decoder` are not those of GPT-2?
"""

# %% [markdown] hint="LanguageModel"
r"""
`TransformerEmbedding` takes `positions="learned"`; `Decoder` takes `norm_first=True` and `cross_attention=False`, and
`dropout` and `activation` must be handed on. The decoder adds no mask by itself: give it `self_mask=causal_mask(time)`, on
the device of the tokens. It returns three things.
"""

# %% [markdown] hint="LanguageModel"
r"""
The head: `self.head = nn.Linear(embed_dim, vocab_size, bias=False)` and then
`self.head.weight = self.embedding.token.weight`. In `forward`:
`x, weights, _ = self.decoder(self.embedding(tokens), self_mask=mask)`, and return `self.head(x), weights`.
"""

# %% check="LanguageModel" points=4

# %% [markdown]
r"""
A small one. Its head has no parameters of its own: they are those of the token table. Before you run the cell, count them by
hand, with $d$ = `embed_dim` = 48 and `ff_dim` = $4d$:

| | | |
|---|---|---|
| token table | $65 d$ | 3 120 |
| position table | $32 d$ | 1 536 |
| attention, per layer | four projections with bias: $4 d^2 + 4 d$ | 9 408 |
| feed-forward network, per layer | $2 \cdot 4 d^2$ and the biases $4 d + d$ | 18 672 |
| two norms, per layer | $4 d$ | 192 |
| final norm | $2 d$ | 96 |

Together $65 d + 32 d + 3 (12 d^2 + 13 d) + 2 d = 89\,568$.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(4)
        model = LanguageModel(vocab_size=65, embed_dim=48, num_heads=4, ff_dim=192, num_layers=3, max_len=32)
        logits, weights = model(torch.randint(65, (2, 20)))
        print("logits", list(logits.shape), "weights", len(weights), "layers of", list(weights[0].shape))
        print("parameters", sum(parameter.numel() for parameter in model.parameters()))

# %% [markdown]
r"""
## From logits to a choice

To take the likeliest token each time is called *greedy*. It tends to run in circles. To *draw* a token with the
probability that the model gives it keeps the text lively, but the thousands of unlikely tokens have a large
probability together, and sooner or later one of them derails the text. So the logits are changed before a token is
drawn:

- **temperature** $T$: the logits are divided by $T$. Below 1 the likely tokens gain, above 1 the unlikely ones.
- **top-k**: only the $k$ likeliest tokens stay.
- **top-p**, also called nucleus sampling: go through the tokens from the likeliest down, and stop as soon as their
  probabilities add up to $p$. When the model is sure, one token is enough; when it is not, many stay.

By hand, for four tokens with the probabilities 0.50, 0.25, 0.15, 0.10:

| setting | who stays | probabilities after the next softmax |
|---|---|---|
| temperature 0.5 | all | 0.725, 0.181, 0.065, 0.029 (each probability squared, then divided by their sum) |
| top-k 3 | the first three | 0.556, 0.278, 0.167 |
| top-p 0.7 | the first alone has 0.50, less than 0.7; with the second it is 0.75: two stay | 0.667, 0.333 |

"""

# %% [markdown] predict="top_p"
r"""
**Predict.** The same four probabilities, 0.50, 0.25, 0.15, 0.10, and top-p 0.8. How many tokens stay?

- [ ] Two: 0.50 + 0.25 = 0.75 is the most that fits under 0.8 :: Together they have less than 0.8, so the model's answer is not covered yet. The token that crosses the limit stays, too.
- [x] Three :: 0.75 is not enough; with the third it is 0.90, and one stops there. The token that crosses the limit stays, so at least one always does.
- [ ] All four, of which each is below 0.8 :: The limit is for the sum, not for each of them.
"""

# %% [markdown]
r"""
The cell behind the next exercise tells.

## Exercise 3: filter the logits
"""


# %% exercise="filter_logits"
def filter_logits(logits, temperature=1.0, top_k=None, top_p=None):
    """Return logits from which a token can be drawn (Holtzman et al. 2020, sections 3.1 to 3.3).

    logits       [..., vocab_size]  floating point: one row per text
    temperature  positive number: every logit is divided by it
    top_k        positive integer: the top_k largest logits of each row stay, and whatever equals the
                 smallest of them; as many as vocab_size or more keep all. None: all stay
    top_p        number above 0 and at most 1: the likeliest tokens of each row stay until their
                 probabilities add up to top_p; the token that reaches it stays too, so there is always
                 one. 1.0 keeps all. None: all stay

    They act in this order, each on what the one before has left: temperature, top-k, top-p. What does
    not stay has the logit -inf, everything else keeps its place in the row. A constant added to a whole
    row does not matter. The argument is not changed.

    Raises ValueError if the temperature is 0 or less; the message names the temperature.
    """
    ### BEGIN SOLUTION
    if temperature <= 0:
        raise ValueError(
            f"a temperature of {temperature} cannot divide; choose a positive one, or take the largest logit"
        )
    logits = logits / temperature
    if top_k is not None:
        kth_largest = logits.topk(min(top_k, logits.shape[-1])).values[..., -1:]
        logits = logits.masked_fill(logits < kth_largest, -math.inf)
    if top_p is not None and top_p < 1.0:
        ordered, order = logits.sort(dim=-1, descending=True)
        probabilities = ordered.softmax(dim=-1)
        likelier = probabilities.cumsum(dim=-1) - probabilities  # what the tokens before this one have together
        remove = (likelier >= top_p).scatter(-1, order, likelier >= top_p)  # back in the order of the vocabulary
        logits = logits.masked_fill(remove, -math.inf)
    return logits
    ### END SOLUTION


# %% [markdown] hint="filter_logits"
r"""
Each of the three settings is a step of its own, and each takes the logits that the step before has left. A token that
is to go gets the logit -inf, so that every later softmax gives it 0. What has to be computed for top-k is a single
number per row: the smallest logit that stays.
"""

# %% [markdown] hint="filter_logits"
r"""
`logits.topk(k).values[..., -1:]` is that number, if k is not larger than the row. For top-p sort the row in descending
order, take the softmax and its `cumsum`. A token goes if the tokens *before* it already have top_p together, so
compare `cumsum` minus the token's own probability.
"""

# %% [markdown] hint="filter_logits"
r"""
After `ordered, order = logits.sort(dim=-1, descending=True)` you know in sorted order who goes: call it `remove`, boolean.
`remove.scatter(-1, order, remove)` brings it back to the order of the vocabulary, and `masked_fill` with `-math.inf`
does the rest. Rounding can lift the sum of all probabilities over 1, so skip this step if `top_p` is 1.
"""

# %% check="filter_logits" points=3

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        logits = torch.log(torch.tensor([0.50, 0.25, 0.15, 0.10]))
        for setting in (dict(temperature=0.5), dict(top_k=3), dict(top_p=0.7), dict(top_p=0.8)):
            print(setting, [round(share, 3) for share in filter_logits(logits, **setting).softmax(-1).tolist()])

# %% [markdown]
r"""
## Exercise 4: write

The model reads at most `max_len` tokens. A longer text is not refused: the model gets its end, the last `max_len`
tokens, while the text itself stays whole.

Dropout would disturb the model, and no gradient is needed, so writing happens in evaluation mode and under
`torch.no_grad()`.
"""


# %% exercise="generate" uses="filter_logits"
def generate(model, tokens, max_new_tokens, sample=False, temperature=1.0, top_k=None, top_p=None, generator=None):
    """Return the tokens with max_new_tokens more behind them, each chosen from the model's answer.

    model           an nn.Module: model(tokens) returns (logits [batch, time, vocab_size], weights), and it
                    takes at most model.max_len tokens
    tokens          [batch, time]  integer: the texts to continue, time at least 1
    max_new_tokens  how many tokens are appended
    sample          False: the token with the largest logit is appended (greedy), and the arguments below
                    do not matter: a temperature of 0 is fine. True: the token is drawn
    temperature, top_k, top_p   what filter_logits takes, for drawing
    generator       torch.Generator to draw with; None: the global one

    The result is [batch, time + max_new_tokens], the given tokens first; the argument is not changed.
    Each step gives the model the last model.max_len tokens, or all if there are fewer. The model is put
    into evaluation mode, in which it may be left, and no gradients are recorded. Tokens are drawn with
    torch.multinomial from the softmax of the filtered logits, one call per step for the whole batch, so
    that the same generator gives the same text as in transformers.
    """
    ### BEGIN SOLUTION
    model.eval()
    with torch.no_grad():
        for _ in range(max_new_tokens):
            logits, _ = model(tokens[:, -model.max_len :])
            logits = logits[:, -1]  # [batch, vocab_size]: what follows the last token
            if sample:
                probabilities = filter_logits(logits, temperature, top_k, top_p).softmax(dim=-1)
                chosen = torch.multinomial(probabilities, num_samples=1, generator=generator)  # [batch, 1]
            else:
                chosen = logits.argmax(dim=-1, keepdim=True)
            tokens = torch.cat([tokens, chosen], dim=1)
    return tokens
    ### END SOLUTION


# %% [markdown] hint="generate"
r"""
One step: ask the model, look at one position of its answer, choose a token for each text of the batch, append it.
Which position is it? And before the loop: in which mode does the model have to be?
"""

# %% [markdown] hint="generate"
r"""
`tokens[:, -model.max_len:]` are the last `max_len` tokens, or all of them. Of the logits you need `[:, -1]`. Greedy is
`argmax`, with `keepdim=True` so that the result can be appended by `torch.cat` along the axis of time. For drawing,
`filter_logits` comes first, then the softmax, then `torch.multinomial`.
"""

# %% [markdown] hint="generate"
r"""
`model.eval()`, then `with torch.no_grad():` around a loop of `max_new_tokens` steps. In each step
`logits, _ = model(tokens[:, -model.max_len:])` and `logits = logits[:, -1]`. If `sample`:
`torch.multinomial(filter_logits(logits, temperature, top_k, top_p).softmax(dim=-1), num_samples=1, generator=generator)`,
otherwise the argmax. At the end of each step `tokens = torch.cat([tokens, chosen], dim=1)`.
"""

# %% check="generate" points=3

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(4)
        model = LanguageModel(vocab_size=10, embed_dim=16, num_heads=2, ff_dim=32, num_layers=2, max_len=8)
        start = torch.tensor([[3, 1, 4]])
        print("greedy", generate(model, start, 9)[0].tolist())
        for temperature in (0.1, 1.0, 10.0):
            print(
                f"temperature {temperature}",
                generate(model, start, 9, sample=True, temperature=temperature)[0].tolist(),
            )

# %% [markdown]
r"""
This model has learned nothing, so the text means nothing. That the greedy text repeats its last token again and again
is no accident: with a tied head, a token's own vector is the direction in which a fresh model points.
"""

# %% [markdown]
r"""
## The trap of the missing shift

Before you train in earnest, look at what happens when the shift is forgotten: position $t$ is asked for token $t$, which it
has just read.
"""

# %% [markdown] predict="no_shift"
r"""
**Predict.** A small model is trained for 100 steps without the shift. What is its loss then, and what does it write after *def*?

- [ ] The loss stays high, so the mistake is noticed at once :: The question has become easier, not harder: the answer stands in the input.
- [x] The loss is nearly 0, and it writes *defffffff* :: It has learned to repeat the token that it reads. With a tied head this is especially easy. A loss that falls far too well is a warning.
- [ ] The loss is nearly 0, and it writes good Python :: Good Python would need a guess of what comes next, and nobody has ever asked it for that.
"""

# %% demo trained
if __name__ == "__main__":
    torch.set_num_threads(1)  # matrices as small as these get no faster on several threads
    training_text, held_out_text = characters.split_source()
    with figures.once_solved():
        torch.manual_seed(4)
        copier = LanguageModel(
            characters.SOURCE.vocab_size, embed_dim=48, num_heads=4, ff_dim=96, num_layers=1, max_len=64
        )
        nn.init.normal_(copier.embedding.token.weight, std=characters.TOKEN_STD)
        done = train(
            copier,
            characters.character_batches(training_text, 16, 64),
            lambda model, tokens: F.cross_entropy(model(tokens)[0].flatten(0, 1), tokens.flatten()),
            steps=100,
            learning_rate=1e-2,
        )
        print("loss below 0.2:", done.losses[-1] < 0.2)
        start = torch.tensor([characters.SOURCE.encode("def")])
        print(characters.SOURCE.decode(generate(copier, start, 20)[0]))

# %% [markdown]
r"""
## Experiment: a language model of Python

Every Python comes with a text that is long enough to learn from: the source of its standard library. `workbench.characters`
takes 50 of its modules as training text, 2.4 million characters, and holds out 8 others to measure with. A token is a single
character. Your `LanguageModel` gets two layers with four heads, 239 520 parameters, a context of 64 characters, and 500
steps of 32 pieces of text, with your `next_token_loss`. It takes less than a minute; a bar shows how far it is.

Two losses to compare with need no model at all. Whoever knows nothing gives each of the 96 characters the same probability:
$\log 96 = 4.56$ nats. Whoever only knows how frequent each character is (a *unigram* model, which counts in the training
text) pays 3.13 nats per held-out character.
"""

# %% demo trained
if __name__ == "__main__":

    @functools.cache  # trained once, looked at in the cells below
    def trained_model(seed=6):
        """Return (the model before training, the model after it, the loss of each step)."""
        torch.manual_seed(seed)
        model = LanguageModel(characters.SOURCE.vocab_size, **characters.MODEL)
        nn.init.normal_(model.embedding.token.weight, std=characters.TOKEN_STD)
        fresh = copy.deepcopy(model).eval()
        batches = characters.character_batches(training_text, characters.BATCH_SIZE, characters.MODEL["max_len"])
        done = train(
            model,
            batches,
            lambda model, tokens: next_token_loss(model(tokens)[0], tokens),
            characters.STEPS,
            characters.LEARNING_RATE,
        )
        # The last position of a piece has no token after it, so it was never asked for one, and does not know how.
        model.max_len = characters.MODEL["max_len"] - 1
        return fresh, model, done.losses

    with figures.once_solved():
        _, model, losses = trained_model()
        uniform, unigram = characters.uniform_loss(), characters.unigram_loss(training_text, held_out_text)
        held_out_loss = characters.held_out_loss(model, held_out_text, characters.MODEL["max_len"])
        print(
            f"held out: below the uniform loss {uniform:.2f}: {held_out_loss < uniform}, "
            f"below the unigram loss {unigram:.2f}: {held_out_loss < unigram}, below 2.3: {held_out_loss < 2.3}"
        )
        smooth = [sum(losses[start : start + 10]) / 10 for start in range(0, len(losses), 10)]
        steps = [start + 5 for start in range(0, len(losses), 10)]
        picture = figures.lines(
            steps,
            xlabel="training step",
            panels=[
                figures.Panel(
                    "Learning Python, letter by letter",
                    "loss in nats per character",
                    {"your model, training text": smooth, "frequencies of characters": [unigram] * len(steps)},
                    bound=("all characters alike", uniform),
                )
            ],
        )
        picture.told(
            "The loss of your model begins near that of who knows nothing, falls below that of who knows the "
            "frequencies of characters within the first 100 steps, and goes on falling, ever more slowly."
        ).show()

# %% [markdown]
r"""
What to see: the curve begins near the loss of who knows nothing: a new model whose first loss is far from it has something
wrong with it. Within the first 100 steps it falls below the loss of who knows the frequencies of characters. All that lies below is
made of *context*: what stood before. On held-out modules the loss is below 2.3 nats per character, so on average the model is
about as undecided as among 10 equally likely characters, $e^{2.3} = 10$, instead of 96.

One line of the cell deserves a second look: `model.max_len = ... - 1`. A piece of 64 tokens gives 63 questions, so the
64th position learned nothing about what comes next. A text that grows while it is written would make use of just this position,
again and again. Reading one token less avoids it. (Others train on pieces that are one token longer than the model's
context; your loss, which shifts by itself, takes tokens and logits of one length.)

Now let it write.
"""

# %% [markdown] predict="greedy_text"
r"""
**Predict.** The trained model continues *def* greedily, with the likeliest character each time. What does its text look like?

- [ ] Like the best Python that it can write, since each choice is the best one :: The likeliest next character each time does not give the likeliest text, and a likely text is not a typical one.
- [x] It soon repeats itself and does not stop doing so :: After a phrase, the likeliest continuation is often this phrase again; once it is in the context twice, even more so. Holtzman et al. (2020) show the same with models thousands of times as large.
- [ ] Like random letters, since one minute of training is not enough :: The loss says otherwise: it is far below that of letters drawn by their frequencies.
"""

# %% demo trained
if __name__ == "__main__":
    with figures.once_solved():
        fresh, model, _ = trained_model()
        start = torch.tensor([characters.SOURCE.encode("def ")])
        how = dict(sample=True, temperature=0.8)
        written = {
            "before training, drawn": generate(fresh, start, 250, generator=torch.Generator().manual_seed(4), **how),
            "after training, drawn": generate(model, start, 250, generator=torch.Generator().manual_seed(4), **how),
            "after training, greedy": generate(model, start, 250),
        }
        picture = figures.texts(
            {
                name: "\n".join(
                    textwrap.fill(line, 44, drop_whitespace=False)
                    for line in characters.SOURCE.decode(text[0][text[0] > characters.SOURCE.eos_id]).split("\n")
                )
                for name, text in written.items()
            },
            width=46,
            height=12,
        )
        picture.told(
            "Three texts that begin with def: before training random characters, after training something with the "
            "shape of Python in words that do not exist, and greedily the same few words again and again."
        ).show()

# %% [markdown]
r"""
What to see: before training, all characters are about equally frequent. After it, there are words, underscores, indented lines,
now and then a bracket, or a keyword in a place where it could stand. Nothing of it would run. The model sees 63 characters and knows
no names; what it has learned is how Python *looks*. And the greedy text runs in a circle.

(The texts differ from machine to machine: two numbers that are nearly equal come out the other way round, and from there on
the text is another. Print your own: `print(characters.SOURCE.decode(generate(model, start, 500, sample=True)[0]))`.)

## Watch it choose

Here is the same model, one character at a time. The bars are the probabilities that your `filter_logits` leaves, the
thin line in each is what the model said. Click a character to go on with it, or let one be drawn. Then move the
sliders: at which temperature does the model stop writing words? Which top-p leaves only one character? The
shades of the text show where one head looks from the last character.
"""

# %% demo trained
if __name__ == "__main__":
    with figures.once_solved():
        _, model, _ = trained_model()
        widgets.next_token(
            model,
            filter_logits,
            encode=characters.SOURCE.encode,
            spell=lambda token: characters.SOURCE.decode([token]) or f"<{token}>",
            text="def __in",
            max_len=model.max_len,
        ).show()

# %% [markdown]
r"""
## A head that looks for brackets

To close a bracket rightly, a model must know which one is open. Is there a head that looks for it? For each character that
stands at least four places behind an open bracket, the next cell measures how much weight each head gives to the innermost
open one. A number alone says little: some heads look at *everything* that far back. So the same places are measured
in another piece of text, where no bracket stands there except by chance.
"""

# %% demo trained
if __name__ == "__main__":

    def weight_on_brackets(weights, pieces):
        """Return the mean weight on the innermost open bracket, and on the same places in another piece: [layers, heads]."""
        rows = [characters.open_brackets(characters.SOURCE.decode(piece)) for piece in pieces]
        place = torch.tensor(
            [[-1 if bracket is None else bracket for bracket in row] for row in rows]
        )  # [pieces, time]
        counts = (place >= 0) & (torch.arange(place.shape[1]) - place >= 4)
        means = []
        for shift in (0, 1):  # as it is, and with the brackets of the piece before
            where, which = place.roll(shift, dims=0).clamp(min=0), counts.roll(shift, dims=0)
            picked = [
                layer.gather(-1, where[:, None, :, None].expand(-1, layer.shape[1], -1, 1))[..., 0] for layer in weights
            ]  # of each layer [pieces, heads, time]
            means.append(torch.stack([(layer * which[:, None]).sum(dim=(0, 2)) / which.sum() for layer in picked]))
        return means

    with figures.once_solved():
        _, model, _ = trained_model()
        length = characters.MODEL["max_len"]
        pieces = held_out_text[: 400 * length].view(-1, length)
        with torch.inference_mode():
            on_bracket, elsewhere = weight_on_brackets(model(pieces)[1], pieces)
        heads = [(layer, head) for layer in range(len(on_bracket)) for head in range(on_bracket.shape[1])]
        picture = figures.bars(
            [f"layer {layer}\nhead {head}" for layer, head in heads],
            panels=[
                figures.Panel(
                    "Who looks at the innermost open bracket?",
                    "mean weight",
                    {
                        "on the bracket": [round(number, 2) for number in on_bracket.flatten().tolist()],
                        "on the same place in another text": [
                            round(number, 2) for number in elsewhere.flatten().tolist()
                        ],
                    },
                )
            ],
        )
        picture.told(
            "The mean weight of each head on the innermost open bracket. One head of the second layer gives it "
            "several times as much as to the same place in another text."
        ).show()

# %% [markdown]
r"""
What to see: a head of the second layer stands out. It gives the open bracket several times the weight that the same places get
elsewhere. Nobody told the model what a bracket is. Here is this head on one line of text: a row is a character that asks.
"""

# %% demo trained
if __name__ == "__main__":
    line = "f = open(join(path, name), mode)"
    with figures.once_solved():
        _, model, _ = trained_model()
        layer, head = max(heads, key=lambda place: (on_bracket - elsewhere)[place])
        with torch.inference_mode():
            weights = model(torch.tensor([characters.SOURCE.encode(line)]))[1][layer][0, head]
        picture = figures.weight_tables(
            {"the head that looks for brackets": weights}, row_names=list(line), column_names=list(line)
        )
        picture.told(
            "The weights of the head that looks for brackets, on a line of Python: below the diagonal, dark "
            "columns stand under the opening brackets."
        ).show()

# %% [markdown]
r"""
What to see: dark columns under the two opening brackets, the outer one first and then the inner one. Above the diagonal is
nothing, because of the causal mask. It is no perfect head: behind the closing bracket it still looks back at the inner one,
which is closed by then.

**What this cannot show.** That the head *looks* at brackets does not mean that the model *closes* them by it: the weight may
be idle, and other heads and the residual path carry information, too. A weight is no reason. What an answer depends on is
seen when something is changed. So change the bracket, and nothing else:
"""

# %% demo trained
if __name__ == "__main__":
    with figures.once_solved():
        _, model, _ = trained_model()
        lines_of_text = ["y = value(index", "y = value[index"]
        closing = characters.SOURCE.encode(")]")
        with torch.inference_mode():
            next_character = [
                model(torch.tensor([characters.SOURCE.encode(line)]))[0][0, -1].softmax(-1) for line in lines_of_text
            ]
        picture = figures.bars(
            [f"behind\n{line}" for line in lines_of_text],
            panels=[
                figures.Panel(
                    "Which bracket comes next?",
                    "probability",
                    {
                        name: [round(shares[token].item(), 2) for shares in next_character]
                        for name, token in zip((")", "]"), closing, strict=True)
                    },
                )
            ],
        )
        picture.told(
            "The probability of a round and of a square closing bracket: behind a square opening bracket the round one is "
            "less likely than behind a round one, and the square one is likelier."
        ).show()

# %% [markdown]
r"""
What to see: with a square bracket six characters back, the round closing bracket is less likely than it was, and the square one
likelier. So the model does use the bracket. (It need not prefer the right one: round brackets are many times as frequent in
Python, and a model that was trained from another seed, or for a shorter time, may still favour them.) Whether it does so *by
this head*, only silencing the head would show; lesson 8, *Multi-head attention*, does such an experiment.

## Exercise 5: find the bug

The greedy text ran in circles. A common remedy is a *repetition penalty* (Keskar et al. 2019, section 4.1): before a token
is chosen, the logits of all tokens that are in the text already are divided by a number such as 1.2. Somebody has written it
down like this:
"""

# %% demo
if __name__ == "__main__":
    figures.source(broken_repetition_penalty)

# %% [markdown]
r"""
It has been tried:
"""

# %% demo
if __name__ == "__main__":

    def try_penalty(name, logits, tokens):
        before, after = (row.gather(-1, tokens) for row in (logits, broken_repetition_penalty(logits, tokens)))
        print(f"{name}:", "a written token GAINS" if (after > before).any() else "no written token gains")

    torch.manual_seed(4)
    try_penalty("one text", 5 * torch.rand(1, 11), torch.tensor([[3, 1, 4]]))
    try_penalty("a token written three times", 5 * torch.rand(1, 11), torch.tensor([[7, 7, 7]]))
    try_penalty("seven texts", 5 * torch.rand(7, 11), torch.randint(11, (7, 5)))
    try_penalty("a very likely token", torch.tensor([[100.0, 1.0, 1.0]]), torch.tensor([[0]]))

# %% [markdown]
r"""
And still it sometimes does the opposite of what it is meant to do: it makes a written token likelier. Supply logits and a text
with which that happens. A good way to work: a softmax does not notice if a constant is added to all logits. Does this
penalty notice?
"""


# %% exercise="language_model_bug_input"
def language_model_bug_input():
    """Return (logits, tokens) for which broken_repetition_penalty raises the logit of a token that was written before.

    logits  [batch, vocab_size]  floating point, finite: what a model says about the next token of each text
    tokens  [batch, time]  integer, each at least 0 and below vocab_size: what has been written so far

    Every size is at least 1, and no tensor holds more than 100 000 numbers. The input counts if the logit of at least
    one token that stands in tokens is larger after the penalty of 1.2 than before, by more than 0.001.
    """
    ### BEGIN SOLUTION
    # The bug: a negative number divided by 1.2 comes closer to 0, so it grows. The logits of all tokens may be negative.
    return torch.tensor([[2.0, -3.0, 1.0]]), torch.tensor([[1]])
    ### END SOLUTION


# %% [markdown] hint="language_model_bug_input"
r"""
Who is written and who is not, is found out rightly. Look at the arithmetic: a logit $x$ of a written token becomes
$x / 1.2$. Draw both as points on a line of numbers, for several $x$.
"""

# %% [markdown] hint="language_model_bug_input"
r"""
All trials used `torch.rand`, which is never negative. What are logits allowed to be? And what is, say, $-6 / 1.2$?
"""

# %% [markdown] hint="language_model_bug_input"
r"""
−6 becomes −5, which is larger. So take one row of logits with a negative one, such as `torch.tensor([[2.0, -3.0, 1.0]])`, and
a text in which just this token stands, `torch.tensor([[1]])`. (The `transformers` library multiplies negative logits by the
penalty and divides the others.)
"""

# %% check="language_model_bug_input" points=1

# %% [markdown]
r"""
## Question: what would leak?
"""

# %% [markdown] question="what_would_leak" points=3
r"""
In notes on transformers you may read: "In the decoder the future tokens are not interacted with in attention, to avoid
leakage." Say what stands behind this sentence, in four to six sentences:

1. What exactly would leak, from where to where, if `LanguageModel` had no causal mask? What would become of the loss in training,
   and of the texts that the model writes?
2. A text of $n$ tokens is trained on in one pass of the model, and written in many. How many predictions does the one
   pass train, and why does writing need a pass per token?
3. While a text is written, there *are* no future tokens. Somebody therefore leaves the mask out there. Does the model then write the
   same?

### BEGIN SOLUTION
**Sample answer.** Position $t$ is asked for token $t + 1$, which stands in the same input one place further. Without a mask
attention hands the state of that place back to position $t$, so the answer is in the question: the loss falls nearly to 0 by
copying, and nothing is learned about language. When the model writes, the place after the last one is empty, there is nothing to copy, and
the text is worthless. With the mask, all positions answer independently of what follows, so one pass trains
$n - 1$ predictions at once. In writing, each token depends on the one that was chosen before it, so it can be asked for only when
that one is known: one pass per token (with a cache, a pass over a single position). Without the mask the last position sees the same
tokens as before, but in every layer after the first one it sees other *states*: the earlier positions now mix in tokens that
came after them, which never happened in training. So the text is another, and a worse one (and a cache would be wrong,
because old states would change with each new token).

**Rubric.** One point each:
1. the target itself is in the input, one place further; the loss falls, the texts are worthless (half a point without the
   second part);
2. $n - 1$ predictions in one pass; a token can be asked for only after the one before it has been chosen;
3. no: the states of earlier positions change in the deeper layers (half a point for "no" with another sensible reason).
### END SOLUTION
"""

# %% [markdown]
r"""
## Stretch: the same with a cache

`generate` computes everything anew for each token: for the hundredth token the 99 before it run through all layers
once more. But because of the causal mask, nothing about an old position depends on a new one. What a new token needs
from an old one is its key and its value, in every layer, and these do not change. So they are kept: this is the
*key-value cache* (Shazeer 2019). Each step then computes a single position, and only attention looks back, at the keys and
values in the cache.

Three things must be right. The new token has its own *position*, not position 0. Its *mask* has fewer queries than
keys: the queries are the last positions, which is what `causal_mask(queries, keys)` means by its two sizes. And when
the text outgrows `max_len`, the context slides: every token gets another position, so all that was cached is wrong and has
to be computed again.

By hand: the text has 5 tokens, and 3 more are to be written. Without a cache the passes have 5, 6 and 7 positions, 18 in all.
With one they have 5, 1 and 1, which is 7. In the second pass there is one query, at position 5, and there are six keys, five of them
from the cache; `causal_mask(1, 6)` is True for all six. In general $n$ new tokens after $k$ cost about $n k + n^2 / 2$ positions without a
cache and $k + n$ with one.

## Exercise 6: generate with a cache
"""


# %% exercise="generate_with_cache" uses="filter_logits"
def generate_with_cache(
    model, tokens, max_new_tokens, sample=False, temperature=1.0, top_k=None, top_p=None, generator=None
):
    """Return what generate returns, and compute keys and values of each token only once (Shazeer 2019).

    model   a LanguageModel, from any hand. Of it you may use
            model.max_len, model.num_heads
            model.embedding(tokens)  [batch, time, embed_dim], positions counted from 0
            model.decoder.layers     each with norm1, self_attention (q_proj, k_proj, v_proj, out_proj), norm3 and
                                     feed_forward; norm2 would be that of cross_attention, and neither is there
            model.decoder.final_norm, model.head

    The other arguments and the result are those of generate: the same tokens, greedy or drawn. As long
    as the text is not longer than model.max_len, no token passes through a layer twice. Once it is
    longer, every step computes the last model.max_len tokens anew, because their positions have changed.
    """

    ### BEGIN SOLUTION
    def attend(attention, x, cache, mask):
        query, key, value = (
            split_heads(project(x), model.num_heads)
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        if cache is not None:
            key, value = torch.cat([cache[0], key], dim=2), torch.cat([cache[1], value], dim=2)
        output = F.scaled_dot_product_attention(query, key, value, mask)  # [batch, heads, queries, head_dim]
        return attention.out_proj(merge_heads(output)), (key, value)

    model.eval()
    cached = model.max_len  # a full cache is thrown away, so the first step begins with none
    with torch.no_grad():
        for _ in range(max_new_tokens):
            context = tokens[:, -model.max_len :]
            if cached == model.max_len:
                cached, caches = 0, [None] * len(model.decoder.layers)
            x = model.embedding(context)[:, cached:]  # the new tokens, each at its own position
            mask = causal_mask(x.shape[1], context.shape[1]).to(tokens.device)
            for index, layer in enumerate(model.decoder.layers):
                attended, caches[index] = attend(layer.self_attention, layer.norm1(x), caches[index], mask)
                x = x + attended
                x = x + layer.feed_forward(layer.norm3(x))
            cached = context.shape[1]
            logits = model.head(model.decoder.final_norm(x[:, -1]))  # [batch, vocab_size]
            if sample:
                probabilities = filter_logits(logits, temperature, top_k, top_p).softmax(dim=-1)
                chosen = torch.multinomial(probabilities, num_samples=1, generator=generator)
            else:
                chosen = logits.argmax(dim=-1, keepdim=True)
            tokens = torch.cat([tokens, chosen], dim=1)
    return tokens
    ### END SOLUTION


# %% [markdown] hint="generate_with_cache"
r"""
Begin with your `generate` and replace the call of the model by what the model does: embedding, layers, final norm,
head. A pre-norm layer without a memory is two lines: `x = x + attention(norm1(x))`, then
`x = x + feed_forward(norm3(x))`. If this writes the same text, add the cache.
"""

# %% [markdown] hint="generate_with_cache"
r"""
Keep one pair of key and value per layer, `[batch, heads, cached, head_dim]`, and a number that says how many tokens are
in it. `model.embedding(context)[:, cached:]` gives the new tokens with their right positions. In each layer compute query,
key and value of the new tokens only, put the cached key and value in front along the axis of time, and keep the
result as the new cache. The mask is `causal_mask(new, new + cached)`.
"""

# %% [markdown] hint="generate_with_cache"
r"""
In a layer: `query, key, value = (split_heads(project(layer.norm1(x)), model.num_heads) for project in (...))`, then
`key = torch.cat([cached_key, key], dim=2)` and the value likewise, then
`layer.self_attention.out_proj(merge_heads(F.scaled_dot_product_attention(query, key, value, mask)))` added to `x`. After
all layers `cached = context.shape[1]`. At the beginning of a step with `cached == model.max_len`, throw all caches away
and set `cached = 0`.
"""

# %% check="generate_with_cache" points=3

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(4)
        model = LanguageModel(vocab_size=50, embed_dim=128, num_heads=4, ff_dim=512, num_layers=4, max_len=256)
        start = torch.randint(50, (1, 8))
        texts = [write(model, start, 200) for write in (generate, generate_with_cache)]
        print("the same 208 tokens:", torch.equal(*texts))

        def positions(write):
            """Return how many positions pass through the first layer while 200 tokens are written."""
            seen = []
            hook = model.decoder.layers[0].norm1.register_forward_hook(
                lambda _, given, output: seen.append(output.shape[1])
            )
            write(model, start, 200)
            hook.remove()
            return sum(seen)

        print(
            "positions that were computed:",
            positions(generate),
            "without a cache,",
            positions(generate_with_cache),
            "with it",
        )

# %% [markdown]
r"""
## Published weights in your model

Your model has the parts of GPT-2, by other names. `workbench.pretrained` has a table of these names, and `pretrained.load`
puts the numbers of a checkpoint into a `LanguageModel`, in two lines:

```python
mine = assemble({}, {"LanguageModel": LanguageModel})  # your class from this notebook, and closed boxes inside
model = pretrained.load(checkpoint, mine)
```

`assemble()` without arguments would put in every other part that you have solved as well: your attention, your norms.
`checkpoint` is a folder that `save_pretrained` of the `transformers` library wrote, or a name on the Hugging Face hub,
from where the files are fetched once. Any GPT-2 will do, whatever stands before its names and whatever head it has. A head
that your model does not have is left out, and a line says so.

The next cell needs no network: `pretrained.made_here("gpt2")` lets `transformers` make a GPT-2 of three layers with random
numbers, and write it into a folder. What it writes is nonsense, but it has to be the same nonsense.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        try:
            folder, theirs = pretrained.made_here("gpt2")
        except pretrained.PretrainedError as missing:
            print(f"Nothing to compare with: {missing}.")
        else:
            from autograder.assemble import assemble

            mine = assemble({}, {"LanguageModel": LanguageModel})
            model = pretrained.load(folder, mine)
            tokens = torch.arange(3, 17).reshape(2, 7)
            with torch.inference_mode():
                difference = (model(tokens)[0] - theirs(tokens).logits).abs().max().item()
            print("logits differ by less than 0.0001:", difference < 1e-4)
            written = theirs.generate(
                tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=12, do_sample=False
            )
            print("the same greedy text:", torch.equal(generate(model, tokens, 12), written))
            counts = [sum(parameter.numel() for parameter in one.parameters()) for one in (model, theirs)]
            print("parameters:", counts[0], "in yours,", counts[1], "in theirs")

# %% [markdown]
r"""
The smallest GPT-2 has 50 257 tokens, 768 features, 12 layers and 1024 positions. By the table above that makes
$50257 d + 1024 d + 12 (12 d^2 + 13 d) + 2 d$ with $d = 768$. Your class counts as well, without memory for the numbers: on
the device *meta* a tensor has a shape and nothing else.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        with torch.device("meta"):
            model = LanguageModel(50257, 768, num_heads=12, ff_dim=3072, num_layers=12, max_len=1024)
        d = 768
        by_hand = 50257 * d + 1024 * d + 12 * (12 * d**2 + 13 * d) + 2 * d
        print("by hand:", by_hand, " in your model:", sum(parameter.numel() for parameter in model.parameters()))

# %% [markdown]
r"""
This is the number that is published for it, 124 million, to the last digit: none of them is idle. With a network, or with
the folder of a checkpoint, write its name between the quotes in the next cell, `openai-community/gpt2` for instance (0.5 GB,
once), and run it. Offline, a folder that was saved elsewhere does the same, by
`GPT2LMHeadModel.from_pretrained(...).save_pretrained(...)`, and the tokenizer likewise.
"""

# %% demo
if __name__ == "__main__":
    checkpoint = ""  # "openai-community/gpt2", or a folder

    with figures.once_solved():
        if checkpoint:
            gpt2, tokenizer = pretrained.load(checkpoint, mine), pretrained.tokenizer(checkpoint)
            start = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
            print(tokenizer.decode(generate(gpt2, start, 20)[0]))
            print(tokenizer.decode(generate(gpt2, start, 20, sample=True, temperature=0.8, top_p=0.9)[0]))
        else:
            print("No checkpoint is named. The cell then loads it into your model, and lets it write.")

# %% [markdown]
r"""
## Summary

- A language model gives logits for the next token at every position. The causal mask makes all of these honest questions, so
  a text of $n$ tokens trains $n - 1$ predictions in one pass.
- The loss is the mean cross-entropy of logits and tokens, shifted by one. Its yardsticks are the logarithm of the vocabulary
  and the loss of a unigram model.
- The head is tied: the token table, used a second time.
- To write is to ask, choose and append. Temperature, top-k and top-p change the logits before a token is drawn.
- With a cache of keys and values each token passes through the layers once.

## What people get wrong here

- **The shift.** Without it the model is asked for the token that it has just read, learns to copy within seconds, and
  its loss looks wonderful. With two shifts it learns to skip a word.
- **A softmax in the model.** `F.cross_entropy` contains one. A second one squeezes all logits into the range from 0 to
  1, and the loss hardly falls.
- **A copied head.** The numbers agree before training and never again.
- **The last position.** While a text is written, only the last row of logits is news. The rows before it predict what
  is already there.
- **A context that is used to its last place and was never trained there.** Pieces of `max_len` tokens ask nothing of position
  `max_len` − 1.
- **Order of the filters.** Temperature first: it changes how many tokens top-p keeps. After the softmax it would do
  nothing but multiply all probabilities by the same number.
- **"The likeliest token each time gives the best text."** It gives circles.
- **Logits treated as if 0 meant something.** Only differences between logits count; whoever divides or multiplies single ones
  has to say what is to happen below 0.

## Read next

- Radford et al. (2018), *Improving Language Understanding by Generative Pre-Training*, sections 3.1 and 4.1, and
  Radford et al. (2019), *Language Models are Unsupervised Multitask Learners*, section 2: GPT and GPT-2.
- Press and Wolf (2017), *Using the Output Embedding to Improve Language Models*: the tied head.
- Holtzman et al. (2020), *The Curious Case of Neural Text Degeneration*: why greedy text runs in circles, and top-p.
- Keskar et al. (2019), *CTRL: A Conditional Transformer Language Model for Controllable Generation*, section 4.1: the repetition
  penalty.
- Shazeer (2019), *Fast Transformer Decoding: One Write-Head is All You Need*: what the cache costs, and how to make it
  smaller.

Lesson 3, *Encoder-only*, learns from plain text in the other way: it guesses hidden tokens and sees both sides. Lesson 5,
*Encoder-decoder*, gives the decoder a source to attend to. Lesson 8, *Multi-head attention*, opens the attention inside, and
its stretch exercise makes the cache smaller.
"""
