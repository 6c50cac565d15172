# %% [markdown] lesson=10 title="Positional embeddings"
r"""
# 10. Positional embeddings

In this lesson you build the first box of the transformer: it turns token numbers into vectors and tells each vector
where in the sequence it stands. You write the sine waves of the original paper, the learned table of BERT and GPT-2,
and the embedding that adds either of them to the tokens. The stretch exercise is the rotary embedding, which most
language models of today use instead.

You need Python and a little PyTorch: slices with a step, broadcasting, and what an `nn.Module` with an `nn.Parameter`
is. No other lesson has to be solved first.

**How to work.** Run the cells from top to bottom. In an exercise, replace each line `raise NotImplementedError(...)`
by your own code and run the cell; the cell below it checks your answer and, if it is wrong, tells you which mistake
it recognises. If you are stuck, write `hint("sinusoidal_encoding")` in a new cell: each new one opens one more of three
hints, and the last one is nearly the answer. `progress()` shows where you stand. A long
cell that only draws is folded; a click on its three dots opens it.
"""

# %%
import functools
import math

import torch
import torch.nn.functional as F
from torch import nn

from autograder import check, hint, progress
from workbench import figures, widgets
from workbench.broken.positional_embeddings import BrokenEmbedding
from workbench.parts import causal_mask, scaled_dot_product_attention
from workbench.training import train

# %% [markdown]
r"""
## Where you are

The box at the bottom of both stacks. But for the mask of the decoder, what leaves it is the only thing that the rest of
the network ever learns about the order of the tokens.
"""

# %% demo
if __name__ == "__main__":
    figures.transformer_map(lit="positional_embeddings")

# %% [markdown]
r"""
| exercise | minutes | difficulty | importance | points |
|---|---|---|---|---|
| 1. `sinusoidal_encoding` | 20 | medium | high: the paper's own positions | 3 |
| 2. `LearnedPositionalEmbedding` | 10 | easy | high: BERT and GPT-2 have it | 2 |
| 3. `TransformerEmbedding` | 15 | medium | high: every model of this course begins with it | 3 |
| 4. `position_bug_input`: find the bug | 10 | medium | medium: a bug at the end of the table | 1 |
| 5. `rotary_embedding` (stretch) | 20 | hard | low for the other lessons, high for models of today | 3 |
| Question: what do positions do? | 5 | medium | high | 3 |

With reading and experiments the lesson takes about 90 minutes, or 70 without the stretch exercise.
"""

# %% [markdown]
r"""
## The idea in words

Attention treats keys and values as a set. Exchange two words of a sentence, and self-attention gives each word the
same vector as before, just in the other place; so for attention alone, *dog bites man* and *man bites dog* hold the
same three vectors. Order has to be written into the vectors themselves.

The simplest way is to add to each token's vector a second vector that depends on its position alone, the **position
embedding**. Two kinds are common:

- a **fixed** one: a pattern of sine waves (Vaswani et al. 2017). It has no parameters and can be written down for any
  position.
- a **learned** one: a table with one row of parameters per position (Gehring et al. 2017, BERT, GPT-2). It is as
  flexible as can be, and knows nothing of positions that it has not seen in training.

Why waves, and not just the number of the position? A number that grows without bound would drown the token's
features, and if it is divided by the length, a step from one token to the next has another size in each sentence. A
wave stays between -1 and 1. One wave alone comes back to the same value again and again, but many of them together, from fast to very
slow, tell positions apart, much as the hands of a clock do: one for seconds, one for minutes, one for hours.

The position is *added*, so that the number of features stays what it is. With many features there is room for both:
training can write token and position into different directions, and the layers behind can learn to read either.
"""

# %% [markdown]
r"""
## The formula

Position $p$ gets a vector of $d$ numbers, in pairs $i = 0, 1, \ldots, d/2 - 1$:

$$\mathrm{PE}_{p,\,2i} = \sin\!\left(\frac{p}{10000^{2i/d}}\right), \qquad
\mathrm{PE}_{p,\,2i+1} = \cos\!\left(\frac{p}{10000^{2i/d}}\right)$$

This is section 3.5 of Vaswani et al. (2017). Columns $2i$ and $2i + 1$ share one frequency, $1 / 10000^{2i/d}$: 1 for the
first pair, and slower from pair to pair. With many pairs the last one comes near $1 / 10000$. Note that $2i$ is the number of the
*column*: in a program that counts the even columns 0, 2, 4, ... the exponent is that number divided by $d$, and not
twice that number.

| symbol | name | shape |
|---|---|---|
| $p$ | position, counted from 0 | `[max_len]` |
| $d$ | `embed_dim` | an even number |
| $\mathrm{PE}$ | the table | `[max_len, embed_dim]` |
"""

# %% [markdown]
r"""
## A worked example

With `embed_dim` 4 there are two pairs, with frequencies $1 / 10000^{0/4} = 1$ and $1 / 10000^{2/4} = 0.01$:

| position | column 0: $\sin(p)$ | column 1: $\cos(p)$ | column 2: $\sin(0.01\,p)$ | column 3: $\cos(0.01\,p)$ |
|---|---|---|---|---|
| 0 | 0 | 1 | 0 | 1 |
| 1 | 0.841 | 0.540 | 0.010 | 1.000 |
| 2 | 0.909 | -0.416 | 0.020 | 1.000 |

The fast pair tells neighbours apart; the slow pair has hardly moved, and will take 628 positions to come round. The
next cell does the same in plain Python.
"""

# %% demo
if __name__ == "__main__":
    for place in range(3):
        angles = [place / 10000 ** (even / 4) for even in (0, 2)]
        print(place, [round(wave(angle), 3) for angle in angles for wave in (math.sin, math.cos)])

# %% [markdown]
r"""
## Exercise 1: the waves

The whole table can be made without a loop over its positions or its columns. The one trap is the exponent: the 2 in $2i$.
"""


# %% exercise="sinusoidal_encoding"
def sinusoidal_encoding(max_len, embed_dim):
    """Return one wave pattern per position (Vaswani et al. 2017, section 3.5).

    max_len    number of positions; they are counted from 0
    embed_dim  even number of features

    The table is [max_len, embed_dim], in float32. Sine and cosine alternate: even columns hold sines, odd
    columns cosines, and columns 2i and 2i + 1 share the frequency 1 / 10000^(2i / embed_dim).

    Raises ValueError if embed_dim is odd; its message names embed_dim.
    """
    ### BEGIN SOLUTION
    if embed_dim % 2:
        raise ValueError(f"embed_dim {embed_dim} is odd, but sines and cosines come in pairs; choose an even number")
    position = torch.arange(max_len).unsqueeze(1)  # [max_len, 1]
    frequency = 10000.0 ** (-torch.arange(0, embed_dim, 2) / embed_dim)  # [embed_dim / 2]
    table = torch.empty(max_len, embed_dim)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency)
    return table
    ### END SOLUTION


# %% [markdown] hint="sinusoidal_encoding"
r"""
Make the positions a column and the frequencies a row: their product holds the angle of every position and every pair,
without a loop. How many frequencies are there?
"""

# %% [markdown] hint="sinusoidal_encoding"
r"""
`torch.arange(0, embed_dim, 2)` gives the even columns 0, 2, 4, ..., and these are the $2i$ of the formula. A slice with a
step, `table[:, 0::2]`, is all even columns of a table, and `1::2` all odd ones; both can be assigned to.
"""

# %% [markdown] hint="sinusoidal_encoding"
r"""
First refuse an odd `embed_dim` with a ValueError that names it. Positions: `torch.arange(max_len)` with an axis of size
1 behind. Frequencies: 10000.0 to the power of minus the even columns over `embed_dim`. Make an empty table, put the
sines of the product into the even columns and the cosines into the odd ones.
"""

# %% check="sinusoidal_encoding" points=3

# %% [markdown] predict="position_zero"
r"""
**Predict.** Which vector is added to the token at position 0?

- [ ] Zeros, so that the first token stays what it is :: The sines are 0 at position 0, but every second column holds a cosine, and the cosine of 0 is 1.
- [x] 0, 1, 0, 1, ... :: All angles are 0 there: every sine is 0 and every cosine 1.
- [ ] Ones :: This would need only cosines. In even columns there are sines, which are 0 at 0.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        print(sinusoidal_encoding(1, 8)[0].tolist())

# %% [markdown]
r"""
## Experiment: the table as an image

Each row is a position and each column a feature: 100 positions of 64 features from your function.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        figures.heat("value of the wave", sinusoidal_encoding(100, 64), rows="position", columns="feature").show()

# %% [markdown]
r"""
What to see: on the left, fast waves that change from row to row. Towards the right they become slower, and the last
columns hardly change in 100 positions: stripes of sines, which stay near 0, and of cosines, which stay near 1. They would
tell positions apart in a text of thousands of tokens; in a short one, a third of the features says next to nothing.
"""

# %% [markdown]
r"""
Walk along the table. On the left is the row of one position, on the right one wave: the sine and the cosine of a frequency,
two neighbouring columns. Lines mark where you are. Which waves tell neighbours apart, and which only places that are far
from each other?
"""

# %% demo
if __name__ == "__main__":

    def along_the_waves(position, wave):
        table = sinusoidal_encoding(100, 32)
        row = {"sines": table[position, 0::2], "cosines": table[position, 1::2]}
        pair = {"sine": table[:, 2 * wave], "cosine": table[:, 2 * wave + 1]}
        span = (-1.0, 1.0)
        sine, cosine = table[position, 2 * wave : 2 * wave + 2].tolist()
        return f"At position {position}, wave {wave} has the sine {sine:.2f} and the cosine {cosine:.2f}.", [
            widgets.Lines("one row", range(16), row, span, "wave, from fast to slow", at=wave),
            widgets.Lines("two columns", range(100), pair, span, "position", at=position),
        ]

    with figures.once_solved():
        widgets.dials(along_the_waves, position=(0, 99, 20), wave=(0, 15, 3)).show()

# %% [markdown] predict="same_distance"
r"""
**Predict.** Take the dot product of rows 3 and 5 of the table, and that of rows 103 and 105. How do they compare?

- [ ] The second is larger, because the positions are larger :: The numbers in the table do not grow with the position; waves stay between -1 and 1, and each row has the same length.
- [ ] They have nothing to do with each other :: Each pair of columns contributes sin a sin b + cos a cos b, and that is the cosine of the *difference* of the two angles.
- [x] They are equal :: Each pair contributes cos((5 - 3) · frequency), in which only the distance is left. This is what the paper hoped for: attention to "two tokens back" looks the same everywhere.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        waves = sinusoidal_encoding(128, 64)
        for first, second in ((3, 5), (103, 105), (3, 25)):
            print(f"rows {first} and {second}: {waves[first] @ waves[second]:.3f}")

# %% [markdown]
r"""
And here are the dot products for all distances up to 60, divided by that of a row with itself: once counted from position 0,
once from position 50. A table of random numbers stands beside them: this is how a learned table begins.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(10)
        distances, waves, noise = list(range(61)), sinusoidal_encoding(128, 64), torch.randn(128, 64)
        likeness = {
            f"{name}, from {place}": [
                (table[place] @ table[place + distance] / table[place].square().sum()).item() for distance in distances
            ]
            for name, table, place in (("waves", waves, 0), ("waves", waves, 50), ("random table", noise, 0))
        }
        figures.lines(
            distances,
            xlabel="distance in positions",
            panels=[figures.Panel("Dot products of rows", "share of that at distance 0", likeness)],
        ).show()

# %% [markdown]
r"""
What to see: the two curves of the waves are one, so only the distance counts. Near positions are alike and far ones are less so,
though it goes up and down a little. In the random table no two rows are alike, so a learned table begins without any
notion of *near*, and training has to bring it.
"""

# %% [markdown]
r"""
## Exercise 2: a learned table

The table may as well be learned: one row of parameters per position, added to the tokens' vectors. Training then
decides what a position looks like. The price: there is no row for a position beyond the table, so a longer sequence
has to be refused, and with an error that says why.
"""


# %% exercise="LearnedPositionalEmbedding"
class LearnedPositionalEmbedding(nn.Module):
    """Add a learned vector per position (Gehring et al. 2017, section 3.1; Vaswani et al. 2017, section 3.5).

    max_len    number of positions that there are vectors for
    embed_dim  number of features

    Its state dict holds one parameter: `weight` [max_len, embed_dim], whose rows start at numbers of their
    own, so that a new table tells positions apart.

    forward(x) takes x [batch, time, embed_dim] and returns x plus row 0 of the weight at the first position,
    row 1 at the second and so on, the same for every sequence of the batch. The result has the shape, dtype
    and device of x, and x is not changed. Gradients reach x and the rows that were added.

    forward raises ValueError if time is larger than max_len; its message names both.
    """

    def __init__(self, max_len, embed_dim):
        super().__init__()
        ### BEGIN SOLUTION
        self.weight = nn.Parameter(0.02 * torch.randn(max_len, embed_dim))
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        time, max_len = x.shape[1], len(self.weight)
        if time > max_len:
            raise ValueError(f"{time} positions are more than max_len {max_len}; shorten the sequence")
        return x + self.weight[:time]
        ### END SOLUTION


# %% [markdown] hint="LearnedPositionalEmbedding"
r"""
A tensor becomes a parameter by `nn.Parameter(...)`, and its name in the state dict is that of the attribute. Which axis
of `x` counts the positions?
"""

# %% [markdown] hint="LearnedPositionalEmbedding"
r"""
Of the table you need the first `time` rows: a slice. It is `[time, embed_dim]`, and broadcasting adds it to each
sequence of the batch. Before that, compare `time` with the number of rows.
"""

# %% [markdown] hint="LearnedPositionalEmbedding"
r"""
In `__init__`, `self.weight` is an `nn.Parameter` of `torch.randn(max_len, embed_dim)`, times 0.02 as in BERT and GPT-2.
In `forward`, `time` is `x.shape[1]`; raise the ValueError if it exceeds `len(self.weight)`, and otherwise return the sum
of `x` and the slice up to `time`.
"""

# %% check="LearnedPositionalEmbedding" points=2

# %% [markdown]
r"""
## Exercise 3: tokens and positions

Now the whole box. Tokens are numbers from 0 to `vocab_size - 1`; `nn.Embedding` holds one row of parameters for each of
them. To a token's row the position is added, from your waves or from your learned table, and dropout acts on the *sum*
(Vaswani et al. 2017, section 5.4).

The waves are not trained, and yet they belong to the model: they must be saved with it and move with it to a GPU.
A tensor of this kind is called a *buffer*, and `register_buffer` makes one.

Two things that other models do here are left out on purpose. The paper multiplies the token vectors by
$\sqrt{d}$ (section 3.4), and BERT has a layer norm behind the sum. In this course the embedding is the plain sum.

(If your functions above are not right yet, this exercise can still earn its points: it is checked with right ones in
their places.)
"""


# %% exercise="TransformerEmbedding" uses="sinusoidal_encoding LearnedPositionalEmbedding"
class TransformerEmbedding(nn.Module):
    """Token embedding plus position, then dropout (Vaswani et al. 2017, sections 3.4, 3.5 and 5.4).

    vocab_size  number of tokens that there are
    embed_dim   number of features
    max_len     number of positions
    positions   "sinusoidal": the fixed waves; "learned": a LearnedPositionalEmbedding
    dropout     probability with which a number of the sum is dropped in training, as nn.Dropout does it

    Its state dict holds `token.weight` [vocab_size, embed_dim], a parameter, and one entry whose name begins
    with `position`, [max_len, embed_dim]: a parameter if it is learned, otherwise not trained.

    forward(tokens) takes integers [batch, time] and returns [batch, time, embed_dim]: dropout of the sum of
    the tokens' rows and the positions' rows, positions counted from 0. There is no factor and no norm.
    Evaluation mode drops nothing. tokens is not changed. dtype and device are those of the parameters.
    Gradients reach the row of every token, of token 0 as well, and the positions' rows if they are learned.

    forward raises ValueError if time is larger than max_len; its message names both.
    """

    def __init__(self, vocab_size, embed_dim, max_len, positions="sinusoidal", dropout=0.0):
        super().__init__()
        ### BEGIN SOLUTION
        self.token = nn.Embedding(vocab_size, embed_dim)
        if positions == "learned":
            self.position = LearnedPositionalEmbedding(max_len, embed_dim)
        else:
            self.register_buffer("position", sinusoidal_encoding(max_len, embed_dim))
        self.dropout = nn.Dropout(dropout)
        self.positions, self.max_len = positions, max_len
        ### END SOLUTION

    def forward(self, tokens):
        ### BEGIN SOLUTION
        time = tokens.shape[1]
        if time > self.max_len:
            raise ValueError(f"{time} tokens are more than max_len {self.max_len}; shorten the sequence")
        x = self.token(tokens)  # [batch, time, embed_dim]
        if self.positions == "learned":
            x = self.position(x)
        else:
            x = x + self.position[:time]
        return self.dropout(x)
        ### END SOLUTION


# %% [markdown] hint="TransformerEmbedding"
r"""
Three things are made in `__init__`: the token embedding under the name `token`, the position under the name `position`,
and a dropout. Which of the two kinds of position is a module, and which is a plain table?
"""

# %% [markdown] hint="TransformerEmbedding"
r"""
`self.register_buffer("position", table)` keeps the waves: afterwards `self.position` is the table. The learned
embedding is assigned to `self.position` like any module; it adds itself, so call it with the tokens' vectors. For the
waves, add the slice up to `time` yourself.
"""

# %% [markdown] hint="TransformerEmbedding"
r"""
`__init__`: `nn.Embedding(vocab_size, embed_dim)`; either `LearnedPositionalEmbedding` or the buffer; `nn.Dropout(dropout)`;
and remember `positions` and `max_len`. `forward`: raise the ValueError if there are too many tokens; look the tokens up;
add the position in one of the two ways; return the dropout of the sum.
"""

# %% check="TransformerEmbedding" points=3

# %% [markdown]
r"""
Here are the same two tokens in two orders. Without positions the second table would hold the rows of the first, exchanged:
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(7)
        embedding = TransformerEmbedding(vocab_size=2, embed_dim=4, max_len=8).eval()
        for pair in ([0, 1], [1, 0]):
            print(pair)
            for row in embedding(torch.tensor([pair]))[0].tolist():
                print("  ", [round(number, 2) for number in row])

# %% [markdown]
r"""
## Exercise 4: find the bug

A model that writes a text gets one new token at a time, and does not want to embed all the earlier ones again. So somebody
has written an embedding whose positions can begin anywhere. Read it.
"""

# %% demo
if __name__ == "__main__":
    figures.source(BrokenEmbedding)

# %% [markdown]
r"""
It has been compared with yours, which is given the whole sequence:
"""

# %% demo
if __name__ == "__main__":

    def answer(embed, *arguments, **keywords):
        try:
            return embed(*arguments, **keywords)
        except (ValueError, RuntimeError):
            return None

    def compare(name, before, new):
        right = answer(mine, torch.cat((before, new), dim=1))
        wrong = answer(broken, new, start=before.shape[1])
        if right is None and wrong is None:
            print(f"{name}: refused, as it should be")
        elif right is not None and wrong is not None and torch.equal(right[:, before.shape[1] :], wrong):
            print(f"{name}: same output")
        else:
            print(f"{name}: DIFFERENT")

    with figures.once_solved():
        torch.manual_seed(10)
        mine, broken = TransformerEmbedding(13, 6, max_len=8, positions="learned"), BrokenEmbedding(13, 6, max_len=8)
        tables = {"token.weight" if "token" in name else "position": table for name, table in mine.state_dict().items()}
        _ = broken.load_state_dict(tables)
        some = torch.randint(13, (2, 20))
        compare("8 tokens at once", some[:, :0], some[:, :8])
        compare("5 before, 1 new", some[:, :5], some[:, 5:6])
        compare("5 before, 3 new", some[:, :5], some[:, 5:8])
        compare("9 tokens at once", some[:, :0], some[:, :9])
        compare("6 before, 4 new", some[:, :6], some[:, 6:10])

# %% [markdown]
r"""
And still it is wrong for some inputs: it gives an output where there should be none. Supply one. A good way to work: try what
`torch.arange(8)[6:10]` gives, and then slices that begin further on. What would PyTorch do when it adds such rows to the
tokens' vectors?
"""


# %% exercise="position_bug_input"
def position_bug_input():
    """Return (before, new), a sequence in two pieces for which BrokenEmbedding(13, 6, max_len=8) is wrong.

    before  integers [batch, tokens before]: what the model has seen already
    new     integers [batch, time]: what is embedded now, with start = the number of tokens before

    Tokens are from 0 to 12, and every size is from 1 to 100. The input counts if BrokenEmbedding gives an
    output for the new tokens and it is wrong. Right is what a TransformerEmbedding with the same numbers
    gives for the whole sequence at these places: a ValueError, if the sequence is longer than max_len.
    """
    ### BEGIN SOLUTION
    # The bug: only the new tokens are counted, and a slice past the end is short without a word. With 7 tokens
    # before, one row is left, and broadcasting adds it to both new tokens.
    return torch.zeros(1, 7, dtype=torch.long), torch.zeros(1, 2, dtype=torch.long)
    ### END SOLUTION


# %% [markdown] hint="position_bug_input"
r"""
The `if` counts the new tokens only. So nothing stops a sequence that is too long because of what came before, except that PyTorch
cannot add the rows that are left. When can it?
"""

# %% [markdown] hint="position_bug_input"
r"""
A slice never raises an error: `torch.arange(8)[7:9]` has one element, and `torch.arange(8)[8:9]` none. And an axis of size 1 is
broadcast: `torch.zeros(2, 6) + torch.zeros(1, 6)` is no error.
"""

# %% [markdown] hint="position_bug_input"
r"""
With 7 tokens before and 2 new ones the last token would be at position 8, for which there is no row. The slice holds one row, which is
added to both new tokens. Return `torch.zeros(1, 7, dtype=torch.long)` and `torch.zeros(1, 2, dtype=torch.long)`.
"""

# %% check="position_bug_input" points=1

# %% [markdown]
r"""
## Stretch: turn instead of add

You have seen that dot products of waves depend on the distance only. The *rotary* embedding of Su et al. (2021) makes
this true for attention itself. Nothing is added to the tokens. Instead, query and key are turned just before their dot
product is taken: the features form pairs, each pair is a point in a plane, and at position $p$ the point is turned by
the angle $p\,\theta_i$ about the origin:

$$\begin{pmatrix} y_{2i} \\ y_{2i+1} \end{pmatrix} =
\begin{pmatrix} \cos p\theta_i & -\sin p\theta_i \\ \sin p\theta_i & \cos p\theta_i \end{pmatrix}
\begin{pmatrix} x_{2i} \\ x_{2i+1} \end{pmatrix}, \qquad \theta_i = 10000^{-2i/d}$$

The frequencies are those of the waves, with `head_dim` for $d$. If a query is turned by $p\,\theta$ and a key by
$q\,\theta$, the angle between them changes by $(p - q)\,\theta$, so their dot product knows the distance $p - q$ and
nothing else about the positions. Turning changes no length.

By hand, for the point $(1, 0)$ with $\theta = 1$: at position 0 it stays; at position 1 it becomes
$(\cos 1, \sin 1) = (0.540, 0.841)$; at position 2 it becomes $(\cos 2, \sin 2) = (-0.416, 0.909)$. The dot product of the
points at positions 0 and 1 is 0.540. At positions 1 and 2 it is $0.540 \cdot (-0.416) + 0.841 \cdot 0.909 = 0.540$ again.

One thing has to be agreed on: **which features form a pair**. In the paper, and in this exercise, neighbours do: 0 with
1, 2 with 3. In GPT-NeoX, and in Llama as `transformers` stores it, feature $i$ is paired with feature $i + d/2$. Both
are good, and each is the other with the features in another order; but weights that were trained with one give
nonsense with the other.
"""

# %% demo
if __name__ == "__main__":
    points = [(math.cos(place), math.sin(place)) for place in range(3)]
    print("points      ", [tuple(round(number, 3) for number in point) for point in points])
    print("dot products", [round(sum(a * b for a, b in zip(points[i], points[i + 1], strict=True)), 3) for i in (0, 1)])

# %% [markdown]
r"""
## Exercise 5: rotary embedding

The formula turns each pair by a matrix of four numbers, but no matrix has to be made: two lines, one for the first feature of every
pair and one for the second, are enough.
"""


# %% exercise="rotary_embedding"
def rotary_embedding(x, positions=None, base=10000.0):
    """Return x with each pair of features turned by its position's angle (Su et al. 2021, section 3.2.2).

    x          [..., time, head_dim]  floating point, any leading axes, head_dim even: queries or keys
    positions  integers [..., time], broadcast to the axes of x without the last; None: 0, 1, 2, ...
    base       the number whose powers are the frequencies: pair i turns by base^(-2i / head_dim) per position

    Pairs are neighbours, as in the paper: features 2i and 2i + 1. (GPT-NeoX, and Llama in transformers, pair
    i with i + head_dim / 2 instead.) A pair (1, 0) becomes (cos, sin) of its angle: it turns from the first
    feature towards the second. The result has the shape, dtype and device of x; no argument is changed.
    Gradients reach x.

    Raises ValueError if head_dim is odd; its message names head_dim.
    """
    ### BEGIN SOLUTION
    time, head_dim = x.shape[-2:]
    if head_dim % 2:
        raise ValueError(f"head_dim {head_dim} is odd, but features turn in pairs; choose an even number")
    if positions is None:
        positions = torch.arange(time, device=x.device)
    # Angles need float32 at least: bfloat16 cannot tell position 256 from 257.
    column = torch.arange(0, head_dim, 2, device=x.device, dtype=torch.promote_types(x.dtype, torch.float32))
    angle = positions.unsqueeze(-1) * base ** (-column / head_dim)  # [..., time, head_dim / 2]
    sine, cosine = torch.sin(angle).to(x.dtype), torch.cos(angle).to(x.dtype)
    first, second = x[..., 0::2], x[..., 1::2]
    pairs = torch.stack((first * cosine - second * sine, first * sine + second * cosine), dim=-1)
    return pairs.flatten(-2)  # [..., time, head_dim]
    ### END SOLUTION


# %% [markdown] hint="rotary_embedding"
r"""
The angles are those of exercise 1: positions as a column, frequencies as a row. Then take all first features of the
pairs and all second ones, with a slice that has a step, and write down the two lines of the rotation.
"""

# %% [markdown] hint="rotary_embedding"
r"""
With `x[..., 0::2]` and `x[..., 1::2]` both parts are `[..., time, head_dim / 2]`, just as the angles are. To interleave two
results again, stack them along a new last axis, so that each pair lies together, and flatten the last two axes into one.
"""

# %% [markdown] hint="rotary_embedding"
r"""
Refuse an odd `head_dim`. If there are no positions, make them with `torch.arange(time, device=x.device)`. Angles:
`positions.unsqueeze(-1)` times base to the power of minus the even columns over `head_dim`. The new first feature is first · cos −
second · sin, the new second one is first · sin + second · cos. Return `torch.stack` of the two with `dim=-1`, flattened by
`flatten(-2)`.
"""

# %% check="rotary_embedding" points=3

# %% [markdown]
r"""
Only the distance counts: the same query and key at several places.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(7)
        query, key = torch.randn(2, 1, 8)
        for at, other in ((0, 2), (50, 52), (0, 3)):
            turned = [
                rotary_embedding(vector, torch.tensor([place]))[0] for vector, place in ((query, at), (key, other))
            ]
            print(f"query at {at}, key at {other}: score {turned[0] @ turned[1]:.3f}")

# %% [markdown]
r"""
## Experiment: past the trained length

What happens to a model that meets a sequence longer than all those it was trained on? Vaswani et al. (2017, section 3.5)
chose the waves because they hoped that these would let the model extrapolate. Try it, on a small task in which only the
position counts: at each position, give the token that stands **three places before**. The model is an embedding, one attention
with a causal mask (lessons 6 and 7 open that box), and a linear layer. It is trained on 16 tokens, and then tested on 64,
with

- `TransformerEmbedding` and its **sinusoidal** positions, with a table of 64 rows;
- `TransformerEmbedding` and **learned** positions, with a table of 64 rows;
- tokens without positions, query and key turned by your **rotary** embedding. (Without the stretch exercise the picture shows the other
  two.)
"""

# %% [markdown] predict="past_the_length"
r"""
**Predict.** All three give every answer right on the 16 trained positions. Which of them still do so at position 30?

- [ ] Sinusoidal and rotary: their waves can be computed for any position :: They can be computed. But the sinusoidal model has learned to read rows 0 to 15 of its table, and what row 30 means to it, nobody has taught it.
- [ ] All three, since looking three places back is the same everywhere :: It is the same to us. A model with added positions sees vectors, and has to learn for each of them which other one stands three places before.
- [x] Only rotary :: Its scores depend on the distance only, and the distance 3 has been trained, wherever it occurs.
"""

# %% demo trained
if __name__ == "__main__":
    VOCAB, WIDTH, TRAINED, LONG, BACK = 11, 32, 16, 64, 3

    class Reader(nn.Module):
        """Gives the token that stands some places before, by one attention, with one of three kinds of position."""

        def __init__(self, kind, seed=0):
            super().__init__()
            self.kind = kind
            rotary = kind == "rotary"
            self.embedding = nn.Embedding(VOCAB, WIDTH) if rotary else TransformerEmbedding(VOCAB, WIDTH, LONG, kind)
            self.q_proj, self.k_proj, self.v_proj = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
            self.answer = nn.Linear(WIDTH, VOCAB)
            # All numbers are drawn by name, so that the order in which your tables are made does not matter.
            numbers = torch.Generator().manual_seed(seed)
            with torch.no_grad():
                for name, parameter in sorted(self.named_parameters()):
                    parameter.normal_(std=1.0 if name.startswith("embedding") else WIDTH**-0.5, generator=numbers)

        def forward(self, tokens):
            x = self.embedding(tokens)  # [batch, time, features]
            query, key = self.q_proj(x), self.k_proj(x)
            if self.kind == "rotary":
                query, key = rotary_embedding(query), rotary_embedding(key)
            output, weights = scaled_dot_product_attention(query, key, self.v_proj(x), causal_mask(tokens.shape[1]))
            return self.answer(output)[:, BACK:], weights  # the first positions have nothing that far before them

    def loss(reader, tokens):
        return F.cross_entropy(reader(tokens)[0].flatten(0, 1), tokens[:, :-BACK].flatten())

    def sequences(seed=1):
        numbers = torch.Generator().manual_seed(seed)
        while True:
            yield (torch.randint(VOCAB, (64, TRAINED), generator=numbers),)

    @functools.cache
    def trained(kind):
        reader = Reader(kind)
        train(reader, sequences(), loss, steps=600, learning_rate=3e-3, title=kind)
        return reader

    torch.set_num_threads(1)  # with tensors this small, two threads spend their time waiting for each other
    tokens = torch.randint(VOCAB, (512, LONG), generator=torch.Generator().manual_seed(2))
    right = {}
    for kinds in (("sinusoidal", "learned"), ("rotary",)):
        with figures.once_solved():
            for kind in kinds:
                answers = trained(kind)(tokens)[0].argmax(dim=-1)
                right[kind] = (100 * (answers == tokens[:, :-BACK]).double().mean(dim=0)).tolist()
    if right:
        figures.lines(
            list(range(BACK, LONG)),
            xlabel="position",
            border=("trained up to here", TRAINED - 1),
            panels=[
                figures.Panel("Three places before", "right answers in %", right, bound=("guessing", 100 / VOCAB)),
            ],
        ).told(
            "Right answers by position: all kinds are right at the trained positions; past them, sinusoidal and "
            "learned positions fail at once, and rotary goes on for a long way."
        ).show()

# %% [markdown]
r"""
Far out even rotary makes mistakes. Where does it look there?
"""

# %% demo trained
if __name__ == "__main__":
    with figures.once_solved():
        weights = trained("rotary")(tokens)[1].mean(dim=0)  # [queries, keys], the mean over all sequences
        for position in (15, 63):
            by_distance = weights[position, : position + 1].flip(0)
            print(
                f"position {position}: more than a tenth of the weight goes to distances",
                (by_distance > 0.1).nonzero().flatten().tolist(),
            )

# %% [markdown]
r"""
What to see: on the trained positions all are right. One step further, the learned table falls to guessing: its rows from
16 on hold the random numbers they began with. The sinusoidal model falls just as suddenly. Its rows are not random, but they are new
to the network: it is close to guessing at most positions, and lucky at a few. Rotary does not even notice the border,
because distance 3 is distance 3. Far out it loses as well: in 16 tokens no distance is larger than 15, so nothing has taught it
to leave distances like 59 and 60 alone, and some of them happen to get weight.

So "can be computed for any length" and "works at any length" are two things. Press, Smith and Lewis (2022) find the same
in language models, and rotary better than the waves, though not for long either. This is one small model and one task, in which
only the distance counts; where the place itself matters, such as the beginning of a text, an added position can do what
rotary cannot.
"""

# %% [markdown]
r"""
## Question: what do positions do?
"""

# %% [markdown] question="what_positions_do" points=3
r"""
In notes on transformers you may read: "Position embeddings are token embeddings augmented with a position-dependent pattern of
values arranged in a vector." Put this right, in four to six sentences:

1. What is the position embedding, what is it added to, and what could a self-attention without it (and without a mask) not
   tell apart?
2. Which numbers are learned with sinusoidal positions, which with a learned table, and what can each of the two do with a position
   beyond `max_len`?
3. "Sine waves can be computed for any position, so a model with them can read texts of any length." What does the
   experiment say to this, and why does the rotary embedding do better in it?

### BEGIN SOLUTION
**Sample answer.** The position embedding is the pattern itself, a vector that depends on the position alone and is the same for
every token; the input of the transformer is the sum of this vector and the token's embedding. Without it, self-attention gives each token
the same vector in whatever order the tokens stand, so "dog bites man" and "man bites dog" cannot be told apart. With sinusoidal positions only the
token table is learned; with a learned table there are also `max_len` rows of positions. The waves can be computed for a position beyond the
table, if somebody makes a longer one; a learned table has nothing there, and the sequence must be refused. But in the experiment the model with
waves is right up to the trained length and near guessing from the next position on: its attention has learned to read the rows that it has
met, and new rows mean nothing to it. With the rotary embedding a score depends on the distance between query and key only, and the
distances that matter have all been trained, at every place.

**Rubric.** One point each:
1. a vector for the position alone, added to the token's, *and* the loss of order without it; half a point for one of the two;
2. what is learned in each, *and* that the learned table ends (waves could be continued);
3. the sudden fall past the trained length in spite of waves that exist, *and* the distance as the reason for rotary; half a point for one
   of the two.
### END SOLUTION
"""

# %% [markdown]
r"""
## Summary

- Attention knows no order, so the position has to be written into the vectors.
- Waves of many frequencies, sine and cosine in pairs, tell positions apart, and the dot product of two rows depends
  on their distance only.
- A learned table is more flexible and ends at `max_len`.
- The embedding of a transformer is the token's row plus the position's row, with dropout on the sum.
- The rotary embedding turns query and key, so that their score depends on the distance only.
- Past the trained length, added positions are strangers to the network, even if they can be computed.

## What people get wrong here

- **The exponent, twice.** With `torch.arange(0, embed_dim, 2)` the 2 of $2i$ is in it already. Multiplying by 2 once
  more makes the frequencies fall twice as fast, and training goes on as if nothing were wrong.
- **Sine and cosine as two halves.** `torch.cat((sin, cos), dim=-1)` is what tensor2tensor, Marian and diffusion models
  do, and it is as good: the columns are in another order. But tables of one kind do not fit weights of the other.
- **The waves as a plain attribute.** They then stay on the CPU when the model moves, and are missing from the state
  dict. As a parameter, on the other hand, they would be trained.
- **The batch counted as time.** `position[:tokens.shape[0]]` goes through without an error when batch and time are
  equal, or when the batch is 1.
- **"Sinusoidal positions work for any length."** They can be *computed* for any length. What the network does with
  positions that it never met in training is another question, and in the experiment the answer is: it guesses.
- **"Position embeddings are token embeddings with a pattern."** The position embedding is the pattern. What the layers
  get is the sum of both.
- **A slice past the end of the table.** It is short and raises nothing, and a single row that is left is added to
  everything.

## Read next

- Vaswani et al. (2017), *Attention Is All You Need*: section 3.5, and rows (E) of table 3, where the learned table does
  as well as the waves.
- Gehring et al. (2017), *Convolutional Sequence to Sequence Learning*: section 3.1.
- Su et al. (2021), *RoFormer: Enhanced Transformer with Rotary Position Embedding*: sections 3.2 and 3.4.
- Press, Smith and Lewis (2022), *Train Short, Test Long: Attention with Linear Biases Enables Input Length
  Extrapolation*: section 2 compares sinusoidal, rotary and other positions past the trained length.

Lesson 6, *Self-attention*, shows what is missing without this box: permute the tokens, and the outputs permute with
them. Lesson 4, *Decoder-only*, writes texts one token at a time, where positions have to go on at the right place.
"""
