# %% [markdown] lesson=2 title="Decoder"
r"""
# 2. Decoder

In this lesson you build the decoder of the transformer: a mask that hides the future, a layer that looks at its own
past and at what the encoder has read, and a stack of such layers. At the end your `DecoderLayer` gives the same
numbers as `nn.TransformerDecoderLayer`, in its post-norm and in its pre-norm form, and you can say where query, key
and value of each attention come from and what goes wrong if they come from elsewhere.

You need Python, and a little PyTorch: how a class that inherits from `nn.Module` is written, and boolean tensors. No
other lesson has to be solved first. Three parts are closed boxes here: the feed-forward network, which lesson 1,
*Encoder*, opens, multi-head attention (lesson 8) and the norm (lesson 9).

**How to work.** Run the cells from top to bottom. In an exercise, replace each line `raise NotImplementedError(...)`
by your own code and run the cell; the cell below it checks your answer and, if it is wrong, tells you which mistake
it recognises. If you are stuck, write `hint("causal_mask")` in a new cell: each new one opens one more of three hints,
and the last one is nearly the answer. `progress()` shows where you stand. A long
cell that only draws is folded; a click on its three dots opens it.
"""

# %%
import math

import torch
import torch.nn.functional as F
from torch import nn

from autograder import check, hint, progress
from workbench import figures, training, widgets
from workbench.broken.decoder import broken_decoder_layer
from workbench.parts import FeedForward, MultiHeadAttention

# %% [markdown]
r"""
## Where you are

The decoder of the transformer of Vaswani et al. (2017). Follow the arrow that comes from the encoder: it is the
only connection between the two. A number in the picture is the lesson that opens the box.
"""

# %% demo
if __name__ == "__main__":
    figures.transformer_map(lit="decoder")

# %% [markdown]
r"""
| exercise | minutes | difficulty | importance | points |
|---|---|---|---|---|
| 1. `causal_mask` | 10 | easy | high: every language model needs it | 2 |
| 2. `DecoderLayer` | 25 | medium | high: three sublayers, three ways to mix them up | 4 |
| 3. `Decoder` | 10 | easy | high: GPT is this without the memory | 3 |
| 4. `decoder_bug_input`: find the bug | 10 | medium | medium: practice in reading code with suspicion | 1 |
| Question: whose values? | 10 | medium | high | 3 |
| 5. `sliding_window_mask` (stretch) | 10 | medium | low for the other lessons, high for long texts | 1 |

With reading and experiments the lesson takes about 100 minutes, or 85 without the stretch exercise.
"""

# %% [markdown]
r"""
## The idea in words

A decoder writes a text one token at a time. To choose the next token it may look at two things:

1. **what it has written so far**, by self-attention. Not at what comes later: when the text is written, the later
   tokens do not exist yet. In training they do exist, all positions are computed at once, and so a **causal mask** has
   to hide them; otherwise the decoder would learn to copy the answer.
2. **what the encoder has read**, by **cross-attention** (encoder-decoder attention). The decoder asks, the encoder
   answers: the **query** comes from the decoder, and the **keys and values** come from the encoder's output, which is
   called the **memory**. Each key belongs to a position of the source, and what a query takes from there is that
   position's value. So key and value must come from the same place, or they would not belong together.

After these two comes the feed-forward network, as in the encoder. All three sublayers are wrapped in the same way: the
vector that goes in is added to what comes out (the **residual path**), and a norm stands behind the sum (post-norm) or
in front of the sublayer (pre-norm).

A decoder without an encoder leaves the second step out, with its residual and its norm. GPT-2 is such a stack (lesson 4,
*Decoder-only*). Such a layer needs no cross-attention at all, so it is not even made: what has no use should not take up
memory, nor be counted.
"""

# %% [markdown]
r"""
## The formulas

With $x$ for the decoder's vectors, $m$ for the memory, and query, key, value in this order, a post-norm layer is
(Vaswani et al. 2017, section 3.1):

$$x \leftarrow \mathrm{LayerNorm}_1(x + \mathrm{SelfAttention}(x, x, x))$$
$$x \leftarrow \mathrm{LayerNorm}_2(x + \mathrm{CrossAttention}(x, m, m))$$
$$x \leftarrow \mathrm{LayerNorm}_3(x + \mathrm{FeedForward}(x))$$

In the pre-norm form each sublayer $S$ with its norm becomes $x \leftarrow x + S(\mathrm{LayerNorm}(x))$. The memory is
not normalised there: it comes out of the encoder's final norm already.

| name | shape |
|---|---|
| `x` | `[batch, queries, embed_dim]`, the target |
| `memory` | `[batch, keys, embed_dim]`, the encoder's output for the source |
| `self_mask` | broadcasts to `[batch, queries, queries]`, True = may attend |
| `memory_mask` | broadcasts to `[batch, queries, keys]`, True = may attend |
| `self_weights` | `[batch, heads, queries, queries]` |
| `cross_weights` | `[batch, heads, queries, keys]` |
"""

# %% [markdown]
r"""
## A worked example

Three tokens, written one after the other. Rows are queries, columns are keys, 1 means True:

| | key 0 | key 1 | key 2 |
|---|---|---|---|
| query 0 | 1 | 0 | 0 |
| query 1 | 1 | 1 | 0 |
| query 2 | 1 | 1 | 1 |

The diagonal is 1: the vector at position 1 belongs to a token that has been written, and is used to predict token 2.
With all scores equal, the rows of weights are $(1, 0, 0)$, $(\tfrac12, \tfrac12, 0)$ and
$(\tfrac13, \tfrac13, \tfrac13)$.

When the text is then continued by a fourth token, and the first three need not be computed again, there is *one* query
and *four* keys. The query is the last position, so it may see them all: its mask is the row $(1, 1, 1, 1)$, and not
the first row of the table. With two new tokens and five keys, the rows are $(1, 1, 1, 1, 0)$ and $(1, 1, 1, 1, 1)$.
The triangle sits in the lower right corner.

Now the cross-attention of one target token, with a source of two. Say that its query fits the second key better, and
the scores are $0$ and $\ln 3 = 1.0986$. The exponentials are 1 and 3, so the weights are $\tfrac14$ and $\tfrac34$. If the
source's values are $8$ and $4$, the output is $\tfrac14 \cdot 8 + \tfrac34 \cdot 4 = 5$. The target's own vector has
decided on the weights, and nothing else of it is in the 5; the residual path adds it afterwards.
"""

# %% demo
if __name__ == "__main__":
    table = torch.tensor([[1.0, 0, 0], [1, 1, 0], [1, 1, 1]])
    weights = torch.softmax(torch.zeros(3, 3).masked_fill(table == 0, -math.inf), dim=-1)
    print("weights with equal scores:")
    for row in weights.tolist():
        print([round(weight, 2) for weight in row])
    weights = torch.softmax(torch.tensor([0.0, math.log(3)]), dim=-1)
    output = weights @ torch.tensor([8.0, 4.0])
    print(
        "cross-attention: weights", [round(weight, 2) for weight in weights.tolist()], "output", round(output.item(), 2)
    )

# %% [markdown]
r"""
## Exercise 1: the causal mask

The mask is boolean, and **True means: may attend**. It depends on two numbers only, never on the text.
"""


# %% exercise="causal_mask"
def causal_mask(queries, keys=None):
    """Return a mask that hides the future (Vaswani et al. 2017, section 3.2.3).

    queries  how many queries; they are the last positions of the sequence
    keys     how many keys, at least as many as queries: the whole sequence; None: as many as queries

    The mask is a boolean tensor [queries, keys], True where a query may attend to a key: at its own
    position and at all before it. Nothing has to be raised.
    """
    ### BEGIN SOLUTION
    if keys is None:
        keys = queries
    positions = torch.arange(keys)
    # The queries are the last ones: query 0 stands at position keys - queries.
    return positions <= positions[keys - queries :].unsqueeze(-1)  # [queries, keys]
    ### END SOLUTION


# %% [markdown] hint="causal_mask"
r"""
A query at position i may see the key at position j if j is not later than i. Which comparison is that, and what does
it give on the diagonal?
"""

# %% [markdown] hint="causal_mask"
r"""
Either compare positions: `torch.arange(keys)` as a row with the positions of the queries as a column. Or cut a triangle
out of a square of True: look up `torch.ones(..., dtype=torch.bool)` and `torch.tril` with its argument `diagonal`.
"""

# %% [markdown] hint="causal_mask"
r"""
Let keys be queries if it is None. Make torch.ones(queries, keys, dtype=torch.bool) and call .tril(keys - queries) on
it. The shift keys - queries moves the triangle into the lower right corner, and is 0 for a square.
"""

# %% check="causal_mask" points=2

# %% [markdown]
r"""
Move along a text with your mask. All scores are equal here, so each position shares its weight evenly among what it may
see. Then lower the number of queries: with three queries and six keys, which are the queries?
"""

# %% demo
if __name__ == "__main__":
    words = "the cat sat on the mat".split()

    def along_the_text(queries, row):
        mask, row = causal_mask(queries, len(words)), min(row, queries - 1)
        weights = mask.float() / mask.sum(dim=-1, keepdim=True)
        sees, place = int(mask[row].sum()), len(words) - queries + row
        return f"Row {row} is the word {words[place]!r} at position {place}. It sees {sees} of {len(words)} words.", [
            widgets.Table("your mask", mask.float(), [f"row {index}" for index in range(queries)], words),
            widgets.Bars(f"weights of row {row}", words, {"weight": weights[row]}, span=(0.0, 1.0)),
        ]

    with figures.once_solved():
        widgets.dials(along_the_text, queries=(1, 6, 6), row=(0, 5, 3)).show()

# %% [markdown]
r"""
The next item asks you to **predict** before you run anything. Decide first, then open your choice, then run the cell
below it.
"""

# %% [markdown] predict="share_of_the_mask"
r"""
**Predict.** A text of 1000 tokens has a causal mask of 1000 × 1000. About what share of it is True?

- [ ] A thousandth :: That is the diagonal alone: each query would see nothing but itself.
- [x] Half :: Query 0 sees one key, the last one sees 1000, on average a query sees half of them. Whoever computes the whole table of scores throws away the other half.
- [ ] All but the diagonal :: The diagonal is True as well. What is False are the keys that come later, and they make up half of the table.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        mask = causal_mask(1000)
        print(mask.sum().item(), "of", mask.numel(), "are True")

# %% [markdown]
r"""
## Exercise 2: one layer

`MultiHeadAttention(embed_dim, num_heads, dropout)` is called with query, key, value and a mask, and returns the output
and the weights of each head. `FeedForward(embed_dim, ff_dim, dropout, activation)` takes one tensor and returns one.
Your layer makes no mask of its own: it uses the two that it is given, each in its place.

There are two ways to have no cross-attention. A layer that *has* it may be called once without a memory. A layer that is
made with `cross_attention=False` never has a memory, and so has neither `cross_attention` nor `norm2`; the norm of its
feed-forward network is `norm3` all the same, so that a name means one thing.
"""

# %% [markdown] predict="where_the_value_comes_from"
r"""
**Predict.** A target of 5 tokens attends to a source of 7 tokens, but by mistake the value is taken from the decoder.
What happens?

- [ ] It works, and the numbers are somewhat different :: The weights are `[5, 7]`: 7 of them for each query, one per source token. Which 5 values should they mix?
- [x] It fails, because 7 weights meet 5 values :: And so it is found at once. With a target as long as the source nothing fails, and the decoder mixes its own words by weights that were meant for others. That is why we test with different lengths *and* with equal ones.
- [ ] It gives the same numbers :: The values are what a query receives. If they come from the decoder, all that arrives of the source is in which proportions the decoder's own words are mixed.
"""

# %% demo
if __name__ == "__main__":
    attention = MultiHeadAttention(embed_dim=4, num_heads=2)
    target, memory = torch.randn(1, 5, 4), torch.randn(1, 7, 4)
    try:
        attention(target, memory, target)
    except RuntimeError as error:
        print("RuntimeError:", str(error).splitlines()[0])


# %% exercise="DecoderLayer"
class DecoderLayer(nn.Module):
    """Self-attention, cross-attention and a feed-forward network (Vaswani et al. 2017, section 3.1).

    embed_dim   features of each position
    num_heads   heads of both attentions; they divide embed_dim
    ff_dim      hidden numbers of the feed-forward network
    dropout     probability of dropout, in training only: on the attentions' weights, inside the feed-forward
                network, and on the output of each sublayer before it is added
    norm_first  False: post-norm, norm(x + sublayer(x)); True: pre-norm, x + sublayer(norm(x))
    activation  that of the feed-forward network
    cross_attention  False: the layer has no parameters for a memory, and is never called with one

    The parts are self_attention and cross_attention (MultiHeadAttention), feed_forward (FeedForward),
    norm1, norm2 and norm3 (nn.LayerNorm), which belong to the three sublayers in this order. A layer with
    cross_attention=False has neither cross_attention nor norm2; its others keep their names.
    """

    def __init__(
        self, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu, cross_attention=True
    ):
        super().__init__()
        ### BEGIN SOLUTION
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
        if cross_attention:
            self.cross_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
        self.feed_forward = FeedForward(embed_dim, ff_dim, dropout, activation)
        self.norm1 = nn.LayerNorm(embed_dim)
        if cross_attention:
            self.norm2 = nn.LayerNorm(embed_dim)
        self.norm3 = nn.LayerNorm(embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first
        ### END SOLUTION

    def forward(self, x, memory=None, self_mask=None, memory_mask=None):
        """Return (x, self_weights, cross_weights).

        x            [batch, queries, embed_dim]  floating point: the target
        memory       [batch, keys, embed_dim]  the encoder's output, used as it is; None: cross-attention is
                     skipped with its residual and norm2
        self_mask    boolean [queries, queries], [batch, 1, queries] or [batch, queries, queries], True
                     where a query may attend to a position of x; None: everywhere, no mask is added
        memory_mask  boolean [queries, keys], [batch, 1, keys] or [batch, queries, keys], True where a
                     query may attend to a position of the memory; None: everywhere

        x is [batch, queries, embed_dim]; self_weights [batch, heads, queries, queries] and cross_weights
        [batch, heads, queries, keys] are those that the attentions return, and cross_weights is None
        without a memory. The arguments are not changed.
        """
        ### BEGIN SOLUTION
        cross_weights = None
        if self.norm_first:
            normed = self.norm1(x)
            attended, self_weights = self.self_attention(normed, normed, normed, self_mask)
            x = x + self.dropout(attended)
            if memory is not None:
                attended, cross_weights = self.cross_attention(self.norm2(x), memory, memory, memory_mask)
                x = x + self.dropout(attended)
            x = x + self.dropout(self.feed_forward(self.norm3(x)))
        else:
            attended, self_weights = self.self_attention(x, x, x, self_mask)
            x = self.norm1(x + self.dropout(attended))
            if memory is not None:
                attended, cross_weights = self.cross_attention(x, memory, memory, memory_mask)
                x = self.norm2(x + self.dropout(attended))
            x = self.norm3(x + self.dropout(self.feed_forward(x)))
        return x, self_weights, cross_weights
        ### END SOLUTION


# %% [markdown] hint="DecoderLayer"
r"""
Write the post-norm form first: three times `x = norm(x + sublayer(x))`, in the order of the formulas above. Which of
the three arguments of the cross-attention is `x`?
"""

# %% [markdown] hint="DecoderLayer"
r"""
The cross-attention is called with `x` as query (in pre-norm: `self.norm2(x)`) and with `memory` twice, as key and as
value, and with `memory_mask`. Put its two lines under `if memory is not None:` and set `cross_weights = None` before.
`self.dropout` wraps each sublayer's output.
"""

# %% [markdown] hint="DecoderLayer"
r"""
Post-norm: attended, self_weights = self_attention(x, x, x, self_mask); x = norm1(x + dropout(attended)); with a memory:
attended, cross_weights = cross_attention(x, memory, memory, memory_mask); x = norm2(x + dropout(attended)); x = norm3(x
+ dropout(feed_forward(x))). Pre-norm: the same sublayers on norm1(x), norm2(x), norm3(x), and plain sums: x = x +
dropout(...). The memory is never normalised here. In __init__, make cross_attention and norm2 under `if cross_attention:`,
and all other parts always.
"""

# %% check="DecoderLayer" points=4

# %% [markdown]
r"""
PyTorch's layer, with the weights of yours, gives your numbers. Two things to notice: its names, and its masks, in which
True means the opposite.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(2)
        x, memory = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
        for norm_first in (False, True):
            mine = DecoderLayer(embed_dim=16, num_heads=4, ff_dim=32, norm_first=norm_first)
            theirs = nn.TransformerDecoderLayer(16, 4, 32, dropout=0.0, batch_first=True, norm_first=norm_first)
            own, state = mine.state_dict(), {}
            for kind in ("weight", "bias"):
                for name, their_name in {"self_attention": "self_attn", "cross_attention": "multihead_attn"}.items():
                    state[f"{their_name}.in_proj_{kind}"] = torch.cat(
                        [own[f"{name}.{one}_proj.{kind}"] for one in "qkv"]
                    )
                    state[f"{their_name}.out_proj.{kind}"] = own[f"{name}.out_proj.{kind}"]
                for name, their_name in {
                    "feed_forward.up_proj": "linear1",
                    "feed_forward.down_proj": "linear2",
                    "norm1": "norm1",
                    "norm2": "norm2",
                    "norm3": "norm3",
                }.items():
                    state[f"{their_name}.{kind}"] = own[f"{name}.{kind}"]
            theirs.load_state_dict(state)
            mask = causal_mask(5)
            same = torch.allclose(mine(x, memory, mask)[0], theirs(x, memory, tgt_mask=~mask), atol=1e-5)
            print("pre-norm: " if norm_first else "post-norm:", "same numbers" if same else "other numbers")

# %% [markdown]
r"""
## Exercise 3: the stack

Each layer works on what the layer before it has made of the target. The memory is finished: all layers get the same.
"""


# %% exercise="Decoder" uses="DecoderLayer"
class Decoder(nn.Module):
    """A stack of decoder layers, all with the same memory (Vaswani et al. 2017, section 3.1).

    num_layers  how many layers, each with weights of its own
    embed_dim, num_heads, ff_dim, dropout, norm_first, activation, cross_attention  those of each DecoderLayer

    The parts are layers (nn.ModuleList) and, only if norm_first, final_norm (nn.LayerNorm), which comes
    behind the last layer.
    """

    def __init__(
        self,
        num_layers,
        embed_dim,
        num_heads,
        ff_dim,
        dropout=0.0,
        norm_first=False,
        activation=F.relu,
        cross_attention=True,
    ):
        super().__init__()
        ### BEGIN SOLUTION
        self.layers = nn.ModuleList(
            [
                DecoderLayer(embed_dim, num_heads, ff_dim, dropout, norm_first, activation, cross_attention)
                for _ in range(num_layers)
            ]
        )
        self.norm_first = norm_first
        if norm_first:
            self.final_norm = nn.LayerNorm(embed_dim)
        ### END SOLUTION

    def forward(self, x, memory=None, self_mask=None, memory_mask=None):
        """Return (x, self_weights, cross_weights), the weights as two lists with one entry per layer.

        x            [batch, queries, embed_dim]  floating point: the target
        memory       [batch, keys, embed_dim]  the encoder's output, the same for every layer; None: no
                     cross-attention, and cross_weights is a list of None
        self_mask    boolean [queries, queries], [batch, 1, queries] or [batch, queries, queries], True
                     where a query may attend to a position of x; None: everywhere, no mask is added
        memory_mask  boolean [queries, keys], [batch, 1, keys] or [batch, queries, keys], True where a
                     query may attend to a position of the memory; None: everywhere

        The arguments are not changed.
        """
        ### BEGIN SOLUTION
        all_self_weights, all_cross_weights = [], []
        for layer in self.layers:
            x, self_weights, cross_weights = layer(x, memory, self_mask, memory_mask)
            all_self_weights.append(self_weights)
            all_cross_weights.append(cross_weights)
        if self.norm_first:
            x = self.final_norm(x)
        return x, all_self_weights, all_cross_weights
        ### END SOLUTION


# %% [markdown] hint="Decoder"
r"""
What changes from layer to layer, and what stays the same? The target's vectors are worked on by one layer after the
other; the memory is finished.
"""

# %% [markdown] hint="Decoder"
r"""
Make the layers by a list comprehension inside `nn.ModuleList([...])`, and hand on all arguments, dropout, norm_first,
activation and cross_attention too. In `forward`, give every layer `x`, `memory` and both masks, in the order of its signature, and append
what it returns to two lists.
"""

# %% [markdown] hint="Decoder"
r"""
For each layer: `x, self_weights, cross_weights = layer(x, memory, self_mask, memory_mask)`; append each of the weights
to its list (None, too). After the loop, if norm_first, x = final_norm(x), once; make that norm in __init__, and only if
norm_first. Return x and the two lists.
"""

# %% check="Decoder" points=3

# %% [markdown] predict="what_cross_attention_costs"
r"""
**Predict.** In the paper `ff_dim` is four times `embed_dim`. What share of a decoder layer's parameters does it save to make
the layer without cross-attention? Count the weights of the projections by hand: an attention has four of
`embed_dim` × `embed_dim`.

- [ ] A third, because it is one of three sublayers :: The sublayers are not of one size. The feed-forward network has two matrices of `embed_dim` × 4 `embed_dim`, as many numbers as two attentions together.
- [x] A quarter :: Two attentions are 4 + 4, and the feed-forward network is 4 + 4, in units of `embed_dim` × `embed_dim`. Without cross-attention 12 of 16 are left.
- [ ] Nothing, because without a memory it is not used anyway :: Not used is not the same as not there: the numbers lie in memory and in every checkpoint, and an optimizer keeps a record of each.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        whole, lean = (
            sum(parameter.numel() for parameter in Decoder(6, 512, 8, 2048, cross_attention=choice).parameters())
            for choice in (True, False)
        )
        print(f"the paper's decoder: {whole} parameters; without cross-attention: {lean}, {lean / whole:.0%} of them")

# %% [markdown]
r"""
## Experiment: the past must not move

One token is nudged: its vector becomes another one. Which outputs move, and how far? Your `Decoder` has two layers
here, six target positions and four source positions. Two predictions first.
"""

# %% [markdown] predict="target_nudged"
r"""
**Predict.** Position 2 of the target is nudged, under the causal mask. At which positions does the output of the two
layers change?

- [ ] At position 2 only :: Later positions attend to it, so what they receive changes as well. Only a network without attention would keep it to one position.
- [ ] At 2, 3 and 4: two layers carry it two steps :: A causal mask lets a query see *all* earlier keys, not just the one before it. One layer is enough to reach the end.
- [x] At position 2 and all later ones, never before :: Positions 0 and 1 may not look at position 2 in any layer, so they cannot even notice it, however many layers there are.
- [ ] Everywhere, because there are two layers :: For that, position 0 would have to hear of position 2 from somebody. All that it may attend to is itself, in every layer.
"""

# %% [markdown] predict="source_nudged"
r"""
**Predict.** Now the *last* position of the source is nudged, still with the causal mask on the target. At which positions does
the output change?

- [ ] At the last one only, because of the causal mask :: The causal mask belongs to self-attention. The source has been read completely before the first target token is written.
- [x] At all, position 0 included :: Every query may attend to the whole memory. The first word of a translation may well depend on the last word of the source.
- [ ] Nowhere: the values of the decoder are its own :: That is the belief which this lesson puts right. In cross-attention keys and values come from the memory, so what is in the memory arrives.
"""

# %% demo
if __name__ == "__main__":

    def other_at(x, position):
        """Return a copy of x [batch, time, features] in which one position has another vector."""
        x = x.clone()
        x[:, position] = torch.randn(x.shape[-1])
        return x

    panels, lines = [], []
    with figures.once_solved():
        torch.manual_seed(2)
        decoder = Decoder(num_layers=2, embed_dim=16, num_heads=2, ff_dim=32).eval()
        x, memory = torch.randn(1, 6, 16), torch.randn(1, 4, 16)
        for title, given in (
            ("position 2 of the target is nudged", (other_at(x, 2), memory)),
            ("the last position of the source is nudged", (x, other_at(memory, 3))),
        ):
            moved = {}
            for name, mask in (("causal mask", causal_mask(6)), ("no mask", None)):
                with torch.no_grad():
                    before, after = decoder(x, memory, mask)[0][0], decoder(*given, mask)[0][0]
                moved[name] = [round(distance, 1) for distance in (after - before).norm(dim=-1).tolist()]
                unmoved = [position for position in range(6) if torch.equal(before[position], after[position])]
                lines.append(f"{title}, {name}: equal to the last digit at {unmoved or 'no position'}")
            panels.append(figures.Panel(title, "how far the output moves (no unit)", moved))
        print("\n".join(lines))
        figures.bars(range(6), panels, xlabel="position in the target").show()

# %% [markdown]
r"""
What to see: on the left, under the mask, positions 0 and 1 stay where they are, to the last digit. Position 2 moves most,
those behind it move because they look back at it. Without the mask, the past moves as well. On the right (mind
its scale) every position moves, with and without the mask, since the memory is open to all of them.

That the past does not move is more than tidy: when a text is written token by token, whatever has been computed for the
earlier positions stays valid. Lesson 4, *Decoder-only*, keeps it in a cache. And in training, one pass over a sequence
gives a prediction at every position, none of which has seen its answer.

## Experiment: what the mask is for

Suppose that somebody forgets the mask, or draws its diagonal one key too far. Nothing fails. To see what happens, your
decoder is trained to predict the next token of sequences that **cannot be predicted**: every token is drawn at random
from eight. Whoever does not know the answer can do no better than to give each token 1/8, with a loss of
$\ln 8 = 2.08$.
"""

# %% demo trained
if __name__ == "__main__":

    class Guesser(nn.Module):
        """Predicts the next token of sequences of 13 tokens out of 8, with a decoder and one mask."""

        def __init__(self, mask):
            super().__init__()
            self.token, self.position, self.mask = nn.Embedding(8, 32), nn.Embedding(13, 32), mask
            self.decoder = Decoder(2, 32, 2, 64, norm_first=True, cross_attention=False)
            self.head = nn.Linear(32, 8)

        def forward(self, tokens):
            x = self.token(tokens) + self.position.weight
            return self.head(self.decoder(x, self_mask=self.mask)[0])  # [batch, 13, 8]

    def next_token_loss(model, tokens):
        return F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())

    steps, losses = [1, 2, 4, 8, 16, 32, 64, 128], {}
    with figures.once_solved():
        one_too_many = causal_mask(13, 14)[:, :13]  # query i sees key i + 1 as well
        for name, mask in (("causal mask", causal_mask(13)), ("one key too many", one_too_many), ("no mask", None)):
            torch.manual_seed(2)
            batches = [(torch.randint(8, (64, 14)),) for _ in range(128)]
            done = training.train(Guesser(mask), batches, next_token_loss, 128, learning_rate=1e-2, title=name)
            losses[name] = [done.losses[step - 1] for step in steps]
        at_the_end = "\n".join(f"{name}: loss {loss[-1]:.1f} at the end" for name, loss in losses.items())
        print(at_the_end)
        figures.curves(
            steps,
            xlabel="training step",
            panels=[
                figures.Panel(
                    "Predicting what cannot be predicted",
                    "loss in nats",
                    losses,
                    bound=("without any knowledge", math.log(8)),
                ),
            ],
        ).told("Loss during training.\n" + at_the_end).show()

# %% [markdown]
r"""
What to see: with the causal mask the loss stays at 2.1 (ln 8), as it must. With one key too many it falls almost to 0: each
query sees the very token that it should predict, and copies it. No mask at all does the same. The 0.2 that is left
comes from the last position, whose answer is not in the input: $\ln 8$ at one position of 13 is a mean of 0.16.

A loss that is far better than anybody can explain is therefore a reason to look at the mask. In use there is no next
token to be copied, and a model that has learned nothing but copying writes nonsense.
"""

# %% [markdown]
r"""
## Exercise 4: find the bug

Somebody wanted to save matrix products. This function takes the parts of a post-norm layer and does their work, the
projections of its attentions included. (`F.linear(x, weight, bias)` is what `nn.Linear` computes; `split_heads` and
`merge_heads`, which lesson 8 builds, and `scaled_dot_product_attention`, which lesson 7 builds, are right.)
"""

# %% demo
if __name__ == "__main__":
    figures.source(broken_decoder_layer)

# %% [markdown]
r"""
It has been tried, with your layer beside it. (If a line says *DIFFERENT*, your layer of exercise 2 is not right yet.)
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(2)
        layer = DecoderLayer(embed_dim=8, num_heads=2, ff_dim=16).eval()
        source_padding = torch.tensor([True] * 5 + [False] * 2).expand(3, 1, 7)
        for name, x, memory, masks in (
            ("no mask", torch.randn(3, 5, 8), torch.randn(3, 7, 8), {}),
            ("causal mask", torch.randn(3, 5, 8), torch.randn(3, 7, 8), {"self_mask": causal_mask(5)}),
            ("padding in the source", torch.randn(3, 5, 8), torch.randn(3, 7, 8), {"memory_mask": source_padding}),
            ("one target token", torch.randn(3, 1, 8), torch.randn(3, 7, 8), {}),
            ("a target longer than the source", torch.randn(3, 50, 8), torch.randn(3, 7, 8), {}),
        ):
            right, broken = layer(x, memory, **masks), broken_decoder_layer(layer, x, memory, **masks)
            same = all(torch.allclose(*pair, atol=1e-4) for pair in zip(right, broken, strict=True))
            print(f"{name}:", "same output" if same else "DIFFERENT output")

# %% [markdown]
r"""
And still it is wrong for some inputs. Supply one. A good way to work: for each `if`, ask what it wants to know, and
whether it asks for exactly that.
"""


# %% exercise="decoder_bug_input"
def decoder_bug_input():
    """Return (x, memory, self_mask, memory_mask) for which broken_decoder_layer gives a wrong output.

    x            [batch, queries, 8]  floating point, finite: the target
    memory       [batch, keys, 8]  floating point, finite: the encoder's output
    self_mask    boolean [queries, queries], [batch, 1, queries] or [batch, queries, queries], True where
                 a query may attend to a position of x; or None
    memory_mask  boolean [queries, keys], [batch, 1, keys] or [batch, queries, keys], True where a query
                 may attend to a position of the memory; or None

    batch is at most 16, queries and keys are at most 200. The input is given to broken_decoder_layer with
    a DecoderLayer(embed_dim=8, num_heads=2, ff_dim=11) whose weights you do not know. It counts if at
    least one number of the output x is off by more than 0.01.
    """
    ### BEGIN SOLUTION
    # The bug: equal shapes do not make a self-attention. With a target as long as the source, the
    # cross-attention takes key and value from the target, and the memory has no influence at all.
    x = torch.arange(2 * 3 * 8).reshape(2, 3, 8) % 7 - 3.0
    memory = torch.arange(2 * 3 * 8).reshape(2, 3, 8) % 5 - 2.0
    return x, memory, None, None
    ### END SOLUTION


# %% [markdown] hint="decoder_bug_input"
r"""
`attend` is called twice: once for self-attention, once for cross-attention. How does it find out which of the two it is?
"""

# %% [markdown] hint="decoder_bug_input"
r"""
It compares shapes. In self-attention `asking` and `asked` are the same tensor, so their shapes are equal. Is the
reverse true as well? What would be taken from where?
"""

# %% [markdown] hint="decoder_bug_input"
r"""
Take a target that is as long as the source: `x = torch.randn(2, 3, 8)` and `memory = torch.randn(2, 3, 8)`, and None for
both masks.
"""

# %% check="decoder_bug_input" points=1

# %% [markdown]
r"""
PyTorch's own multi-head attention has the same shortcut, done right: it asks whether query, key and value *are* one and
the same tensor (`is`), not whether they look alike.
"""

# %% [markdown]
r"""
## Question: whose values?
"""

# %% [markdown] question="whose_values" points=3
r"""
In notes on transformers you may read: "The encoder-decoder attention uses the key from the encoder and the query from the
decoder to calculate the attention weights. The value is from the decoder." Put this right, in four to six sentences:

1. Where does the value come from, and why must it come from the same place as the key?
2. What would happen if it did come from the decoder: with a target of another length than the source, and with one of
   the same length? What of the source would then still reach the target?
3. Which mask belongs to which of the two attentions, and why does the causal mask not belong to both?

### BEGIN SOLUTION
**Sample answer.** Key *and* value come from the encoder's output; only the query is the decoder's. A weight says how
well a query fits one key, and what it then takes is that key's value, so key and value have to be two descriptions of
the same source position. With values from the decoder, a source of another length gives an error, because there are as
many weights per query as source positions, and another number of values. With equal lengths nothing fails: each query
mixes the target's own vectors in weights that belong to source positions. Of the source only these weights would
arrive, never its content, and target positions that the causal mask hides could slip in as well. The causal mask
belongs to self-attention, because later target tokens do not exist yet when the text is written; cross-attention gets
the mask of the source's padding only, since the source has been read completely.

**Rubric.** One point each:
1. value from the encoder's output, *and* that key and value describe the same position; half a point without a reason;
2. an error for different lengths, silence for equal ones, *and* that nothing of the source's content arrives; half a
   point for one of the two;
3. causal mask for self-attention, padding of the source for cross-attention, *and* that the whole source is known;
   half a point without a reason.
### END SOLUTION
"""

# %% [markdown]
r"""
## Stretch: a window that slides

The cost of attention grows with the square of the length, and local context is known to matter (Beltagy et al. 2020,
section 3.1). So each query may be allowed to see only the last few keys, say a window of 3, itself included:

| | key 0 | key 1 | key 2 | key 3 | key 4 |
|---|---|---|---|---|---|
| query 0 | 1 | 0 | 0 | 0 | 0 |
| query 1 | 1 | 1 | 0 | 0 | 0 |
| query 2 | 1 | 1 | 1 | 0 | 0 |
| query 3 | 0 | 1 | 1 | 1 | 0 |
| query 4 | 0 | 0 | 1 | 1 | 1 |

Count a row by hand: query 3 stands at position 3 and may see the distances 0, 1 and 2, which are keys 3, 2 and 1. With
one new query and five keys, the query stands at position 4, and its row is the last one of the table. Longformer
(Beltagy et al. 2020) and Mistral 7B (Jiang et al. 2023) use such windows.

## Exercise 5: the sliding window
"""


# %% exercise="sliding_window_mask" uses="causal_mask"
def sliding_window_mask(queries, window, keys=None):
    """Return a mask that hides the future and the distant past (Beltagy et al. 2020, section 3.1).

    queries  how many queries; they are the last positions of the sequence
    window   how many keys a query may attend to at most, itself included; at least 1
    keys     how many keys, at least as many as queries: the whole sequence; None: as many as queries

    The mask is a boolean tensor [queries, keys], True where a query may attend to a key: at its own
    position and at the window - 1 positions before it, as far as they exist. Nothing has to be raised.
    """
    ### BEGIN SOLUTION
    if keys is None:
        keys = queries
    positions = torch.arange(keys)
    distance = positions[keys - queries :].unsqueeze(-1) - positions  # [queries, keys], how far the key lies back
    return causal_mask(queries, keys) & (distance < window)
    ### END SOLUTION


# %% [markdown] hint="sliding_window_mask"
r"""
The future is hidden by a mask that you have already. Of what is left, hide the keys that lie too far back. Two boolean
tensors are combined by `&`.
"""

# %% [markdown] hint="sliding_window_mask"
r"""
A key lies `position of the query - position of the key` back: 0 for the query itself. Which distances belong to a window
of 3? The queries are the last positions, so query 0 stands at `keys - queries`.
"""

# %% [markdown] hint="sliding_window_mask"
r"""
The distances 0 to window - 1 are allowed. With positions = torch.arange(keys), the distance is positions[keys -
queries:].unsqueeze(-1) - positions; return causal_mask(queries, keys) & (distance < window). Or cut the causal mask a
second time, with .triu(keys - queries - window + 1).
"""

# %% check="sliding_window_mask" points=1

# %% [markdown] predict="window_and_layers"
r"""
**Predict.** A decoder of three layers gets a window of 3. How far back can the output at position 9 be influenced?

- [ ] By 2 positions, to position 7 :: This holds for one layer. In the second layer, position 9 attends to position 7, whose vector has already taken something from position 5.
- [x] By 6 positions, to position 3 :: Each layer looks back by 2, and three layers one after the other by 3 · 2 = 6.
- [ ] By 8 positions, to position 1 :: A window of 3 includes the query itself, so a layer looks back by 2, and 2 · 3 is 6.
- [ ] To the very beginning :: That is so under the causal mask. Under a window it takes more layers, one for every 2 positions.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(2)
        for num_layers in (1, 2, 3):
            decoder = Decoder(num_layers=num_layers, embed_dim=8, num_heads=2, ff_dim=16)
            x = torch.randn(1, 10, 8, requires_grad=True)
            output, _, _ = decoder(x, self_mask=sliding_window_mask(10, window=3))
            (output[0, 9] * torch.randn(8)).sum().backward()  # which inputs have an influence on position 9?
            reached = x.grad[0].abs().amax(dim=-1).nonzero().flatten().tolist()
            print(f"layers: {num_layers}, position 9 depends on positions {reached}")

# %% [markdown]
r"""
## Summary

- A decoder layer has three sublayers: masked self-attention over what has been written, cross-attention over what the
  encoder has read, and a feed-forward network.
- A causal mask lets a query see its own position and all before it. With fewer queries than keys, the queries are the
  last positions.
- In cross-attention the query comes from the decoder, key and value from the memory. Its mask is that of the source.
- Under the causal mask nothing that happens later changes an earlier output, in any number of layers. Without it,
  training rewards copying.
- Without a memory, the same stack is the body of a language model. Made without cross-attention, it has a quarter fewer
  parameters.

## What people get wrong here

- **"The value is from the decoder."** In encoder-decoder attention keys *and values* come from the encoder's output;
  only the query comes from the decoder. Otherwise nothing of the source's content would ever reach the target.
- **The mask of the target used for the source.** The causal mask belongs to self-attention. The source has been read
  completely, so every query may see all of it, except padding.
- **A diagonal that is off by one.** If a query may not see itself, the first one sees nothing at all. If it sees one
  key more, the decoder sees the very token that it should predict: the loss is wonderful, and the generated text is
  not.
- **A square mask where there are fewer queries than keys.** With cached keys the queries are the last positions.
- **The polarity of masks.** Here True means *may attend*, as in `F.scaled_dot_product_attention`. In
  `nn.TransformerDecoderLayer` a boolean `tgt_mask` means the opposite: True is *not allowed*.
- **Testing with sources and targets of different lengths only, or of equal lengths only.** Some mistakes show in the
  first case, some in the second.

## Read next

- Vaswani et al. (2017), *Attention Is All You Need*: section 3.1 for the decoder, section 3.2.3 for its two kinds of
  attention.
- Beltagy et al. (2020), *Longformer: The Long-Document Transformer*: section 3.1 for the sliding window.
- The PyTorch page of `nn.TransformerDecoderLayer`: compare its arguments with yours, the masks above all.

Lesson 4, *Decoder-only*, makes a language model of this stack without a memory; lesson 5, *Encoder-decoder*, connects
it to the encoder of lesson 1, *Encoder*. Lesson 8, *Multi-head attention*, opens the box of both attentions.
"""
