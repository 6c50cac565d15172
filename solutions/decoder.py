# %% [markdown] lesson=2 title="Decoder"
r"""
# 2. Decoder

In this lesson you build the decoder of the transformer: a mask that hides the future, a layer that looks at its own
past and at what the encoder has read, and a stack of such layers. At the end your `DecoderLayer` gives the same
numbers as `nn.TransformerDecoderLayer`, in its post-norm and in its pre-norm form.

You need Python, and a little PyTorch: how a class that inherits from `nn.Module` is written, and boolean tensors. No
other lesson has to be solved first: multi-head attention (lesson 8) and the feed-forward network (lesson 1) are closed
boxes here.

**How to work.** Run the cells from top to bottom. In an exercise, replace each line `raise NotImplementedError(...)`
by your own code and run the cell; the cell below it checks your answer and, if it is wrong, tells you which mistake
it recognises. If you are stuck, write `hint("causal_mask")` in a new cell: every call opens one more of three hints,
and the last one is nearly the answer. `progress()` shows where you stand.
"""

# %%
import torch
import torch.nn.functional as F
from torch import nn

from autograder import check, hint, progress
from workbench import figures
from workbench.parts import FeedForward, MultiHeadAttention

# %% [markdown]
r"""
## Where you are

The right half of the transformer of Vaswani et al. (2017). Follow the arrow that comes from the encoder: it is the
only connection between the two halves.
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
| 4. `sliding_window_mask` (stretch) | 10 | medium | low for the other lessons, high for long texts | 1 |
"""

# %% [markdown]
r"""
## The idea in words

A decoder writes a text one token at a time. To choose the next token it may look at two things:

1. **what it has written so far**, by self-attention. Not at what comes later: when the text is written, the later
   tokens do not exist yet. In training they do exist, all positions are computed at once, and so a mask has to hide
   them; otherwise the decoder would learn to copy the answer.
2. **what the encoder has read**, by *cross-attention*. The decoder asks, the encoder answers: the **query** comes from
   the decoder, and the **keys and values** come from the encoder's output, which is called the memory. Each row of
   keys is a position of the source, and what a query finds under such a key is that position's value. So key and value
   must come from the same place, or they would not belong together.

After these two comes the feed-forward network, as in the encoder. All three sublayers are wrapped in the same way: add
to the residual path, and normalise behind (post-norm) or in front (pre-norm).

A decoder without an encoder simply leaves the second step out. That is GPT.
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
"""

# %% [markdown]
r"""
## Exercise 1: the causal mask
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
    return positions <= positions[keys - queries:].unsqueeze(-1)  # [queries, keys]
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
## Exercise 2: one layer

`MultiHeadAttention(embed_dim, num_heads, dropout)` is called with query, key, value and a mask, and returns the output
and the weights of each head. `FeedForward(embed_dim, ff_dim, dropout, activation)` takes one tensor and returns one.
"""

# %% [markdown] predict="where_the_value_comes_from"
r"""
**Predict.** A target of 5 tokens attends to a source of 7 tokens, but by mistake the value is taken from the decoder.
What happens?

- [ ] It works, and the numbers are somewhat different :: The weights are `[5, 7]`: 7 of them for each query, one per source token. Which 5 values should they mix?
- [x] It fails, because 7 weights meet 5 values :: And so it is found at once. With a target as long as the source nothing fails, and the decoder mixes its own words by weights that were meant for others. That is why we test with different lengths *and* with equal ones.
- [ ] It gives the same numbers :: The values are what a query receives. If they come from the decoder, nothing of the source ever arrives.
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

    The parts are self_attention and cross_attention (MultiHeadAttention), feed_forward (FeedForward),
    norm1, norm2 and norm3 (nn.LayerNorm), which belong to the three sublayers in this order.
    """

    def __init__(self, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu):
        super().__init__()
        ### BEGIN SOLUTION
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
        self.cross_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
        self.feed_forward = FeedForward(embed_dim, ff_dim, dropout, activation)
        self.norm1 = nn.LayerNorm(embed_dim)
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
dropout(...). The memory is never normalised here.
"""

# %% check="DecoderLayer" points=4

# %% [markdown]
r"""
## Experiment: the past must not move

One token of the target is nudged, the one at position 2. How much does each position of the output move, with your
mask and without it?
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(2)
        layer = DecoderLayer(embed_dim=8, num_heads=2, ff_dim=16).eval()
        x, memory = torch.randn(1, 5, 8), torch.randn(1, 7, 8)
        nudged = x.clone()
        nudged[0, 2] += torch.randn(8)
        for name, mask in (("causal mask", causal_mask(5)), ("no mask", None)):
            before, after = (layer(given, memory, mask)[0] for given in (x, nudged))
            distances = (after - before).norm(dim=-1)[0].tolist()
            print(f"{name:>11}:", "  ".join(f"{distance:.2f}" for distance in distances))

# %% [markdown]
r"""
What to see: with the mask, positions 0 and 1 stay where they are, to the last digit. Position 2 moves most, and those
behind it move because they look back at it. Without the mask everything moves.

## Exercise 3: the stack
"""

# %% exercise="Decoder" uses="DecoderLayer"
class Decoder(nn.Module):
    """A stack of decoder layers, all with the same memory (Vaswani et al. 2017, section 3.1).

    num_layers  how many layers, each with weights of its own
    embed_dim, num_heads, ff_dim, dropout, norm_first, activation  those of each DecoderLayer

    The parts are layers (nn.ModuleList) and, only if norm_first, final_norm (nn.LayerNorm), which comes
    behind the last layer.
    """

    def __init__(self, num_layers, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu):
        super().__init__()
        ### BEGIN SOLUTION
        self.layers = nn.ModuleList([
            DecoderLayer(embed_dim, num_heads, ff_dim, dropout, norm_first, activation) for _ in range(num_layers)
        ])
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
Make the layers by a list comprehension inside `nn.ModuleList([...])`, and hand on all arguments, dropout, norm_first and
activation too. In `forward`, give every layer `x`, `memory` and both masks, in the order of its signature, and append
what it returns to two lists.
"""

# %% [markdown] hint="Decoder"
r"""
For each layer: `x, self_weights, cross_weights = layer(x, memory, self_mask, memory_mask)`; append each of the weights
to its list (None, too). After the loop, if norm_first, x = final_norm(x), once; make that norm in __init__, and only if
norm_first. Return x and the two lists.
"""

# %% check="Decoder" points=3

# %% [markdown]
r"""
## Stretch: a window that slides

The cost of attention grows with the square of the length, and most of what a token needs is close by. So each query
may be allowed to see only the last few keys, say a window of 3, itself included:

| | key 0 | key 1 | key 2 | key 3 | key 4 |
|---|---|---|---|---|---|
| query 0 | 1 | 0 | 0 | 0 | 0 |
| query 1 | 1 | 1 | 0 | 0 | 0 |
| query 2 | 1 | 1 | 1 | 0 | 0 |
| query 3 | 0 | 1 | 1 | 1 | 0 |
| query 4 | 0 | 0 | 1 | 1 | 1 |

Nothing is lost for good. With a window of 3 a layer looks back by 2 positions, so a stack of $n$ layers looks back by
$2n$: information climbs from layer to layer. Longformer (Beltagy et al. 2020) and Mistral 7B (Jiang et al. 2023) do
this.

## Exercise 4: the sliding window
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
    distance = positions[keys - queries:].unsqueeze(-1) - positions  # [queries, keys], how far the key lies back
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

# %% [markdown]
r"""
## What people get wrong here

- **"The value is from the decoder."** In encoder-decoder attention keys *and values* come from the encoder's output;
  only the query comes from the decoder. Otherwise nothing of the source would ever reach the target.
- **The mask of the target used for the source.** The causal mask belongs to self-attention. The source has been read
  completely, so every query may see all of it, except padding.
- **A diagonal that is off by one.** If a query may not see itself, the first one sees nothing at all. If it sees one
  key more, the decoder sees the very token that it should predict: the loss is wonderful, and the generated text is
  not.
- **A square mask where there are fewer queries than keys.** With cached keys the queries are the last positions.
- **The polarity of masks.** Here True means *may attend*, as in `F.scaled_dot_product_attention`. In
  `nn.TransformerDecoderLayer` a boolean `tgt_mask` means the opposite: True is *not allowed*.
- **Testing with sources and targets of equal length only.** Half of the mistakes above do not show then.

## Read next

- Vaswani et al. (2017), *Attention Is All You Need*: section 3.1 for the decoder, section 3.2.3 for its two kinds of
  attention.
- Beltagy et al. (2020), *Longformer: The Long-Document Transformer*: section 3.1 for the sliding window.

Lesson 4, *Decoder-only*, makes a language model of this stack without a memory; lesson 5, *Encoder-decoder*, connects
it to the encoder of lesson 1.
"""
