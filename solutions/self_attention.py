# %% [markdown] lesson=6 title="Self-attention"
r"""
# 6. Self-attention

In self-attention a sequence asks itself: every position sends out a query, and every position of the same sequence
may answer. In this lesson you build one such head, with the three projections that a transformer learns, and the mask
that keeps padding out of it. At the end you have your own `SelfAttention` and `padding_mask`.

You need Python, a little PyTorch, and an idea of what scaled dot-product attention does (lesson 7). Lesson 7 need not
be solved: its functions are imported below, ready to use.

**How to work.** Run the cells from top to bottom. In an exercise, replace the lines `raise NotImplementedError(...)`
by your own code and run the cell; the cell below it checks your answer and, if it is wrong, tells you which mistake
it recognises. If you are stuck, write `hint("SelfAttention")` in a new cell: every call opens one more of three hints,
and the last one is nearly the answer. `progress()` shows where you stand.
"""

# %%
import torch
from torch import nn

from autograder import check, hint, progress
from workbench import figures
from workbench.parts import attention_scores, attention_weights, scaled_dot_product_attention

# %% [markdown]
r"""
## Where you are

The box of this lesson is one head of a multi-head attention: three projections and a scaled dot-product attention.
"""

# %% demo
if __name__ == "__main__":
    figures.transformer_map(lit="self_attention")

# %% [markdown]
r"""
| exercise | minutes | difficulty | importance | points |
|---|---|---|---|---|
| 1. `SelfAttention` | 15 | medium | high: what a transformer learns about attention is here | 3 |
| 2. `padding_mask` | 10 | easy | high: every batch of sentences needs it | 2 |
| 3. `RelativeSelfAttention` (stretch) | 20 | hard | medium: a way to tell near from far | 2 |
"""

# %% [markdown]
r"""
## The idea in words

"The animal didn't cross the street because **it** was too tired." What *it* means stands somewhere else in the
sentence. Self-attention lets the vector at *it* collect from the vectors at other positions, and by that become a
vector for *it, the animal*.

Query, key and value are all made from the same input, but not in the same way. What a word looks for (a noun that can
be tired), what it can be found by (being such a noun), and what it hands over (which animal) are three different
things. So there are three linear projections, one for each. They are what is learned. The weights themselves are not:
they are computed afresh from every input.

Each position asks, and each position answers, its own question included. Sentences of a batch never look into each
other.
"""

# %% [markdown]
r"""
## The formula

$$Q = X W^Q, \quad K = X W^K, \quad V = X W^V, \qquad
\mathrm{head}(X) = \mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt{d_k}}\right) V$$

This is one head of section 3.2.2 of Vaswani et al. (2017), with the same $X$ in all three places. Each projection is
an `nn.Linear`, which adds a bias that the formula leaves out.

| symbol | name | shape |
|---|---|---|
| $X$ | `x` | `[batch, time, embed_dim]` |
| $W^Q, W^K, W^V$ | `q_proj`, `k_proj`, `v_proj` | each from `embed_dim` to `head_dim` |
| $d_k$ | `head_dim` | a number |
| the softmax | `weights` | `[batch, queries, keys]`, and both are `time` long |
| the result | `output` | `[batch, queries, head_dim]` |
"""

# %% [markdown]
r"""
## A worked example

Two positions with two features each, and `head_dim` 1. Position 0 is $x_0 = (1, 0)$, position 1 is $x_1 = (0, 1)$.
The projections, without bias, are $W^Q = (2, 0)$, $W^K = (0, 1)$, $W^V = (10, 20)$, each a row of two numbers to be
multiplied with $x$ and summed:

| | query | key | value |
|---|---|---|---|
| position 0 | 2 | 0 | 10 |
| position 1 | 0 | 1 | 20 |

The scores of position 0 are $2 \cdot 0 = 0$ for itself and $2 \cdot 1 = 2$ for position 1; $\sqrt{d_k}$ is 1. Its
weights are $1 / (1 + e^2) = 0.119$ and $e^2 / (1 + e^2) = 0.881$, and its output is
$0.119 \cdot 10 + 0.881 \cdot 20 = 18.81$. Position 1 has a query of 0, so both scores are 0 and its output is the plain
mean, 15.

Position 0 looks at position 1, but position 1 does not look back: its query and its key are different things.
"""

# %% [markdown] predict="one_projection"
r"""
**Predict.** Somebody uses one projection for query and key. Which is then true of the *scores*, whatever the input and
without a mask?

- [x] The score of position 0 for position 1 equals that of position 1 for position 0 :: Both are the dot product of the same two vectors, so the table of scores is symmetric. Attention is not: "it" should look at "animal" without "animal" having to look at "it".
- [ ] Every position gives its highest score to itself :: Often, but not always: the dot product of a vector with itself is its squared length, and a longer vector in a similar direction can have a larger one.
- [ ] All scores of a row are equal :: The keys still differ from position to position, and so do the scores.
"""

# %% demo
if __name__ == "__main__":
    torch.manual_seed(6)
    shared = torch.randn(4, 3)
    scores = shared @ shared.T
    print("symmetric:", torch.allclose(scores, scores.T))
    print("rows whose highest score is their own:", (scores.argmax(dim=1) == torch.arange(4)).sum().item(), "of 4")

# %% [markdown]
r"""
## Exercise 1: self-attention

From lesson 7 you have a closed box, imported at the top: `scaled_dot_product_attention` takes a query, a key, a value
and a mask, in this order, and returns `(output, weights)`.
"""

# %% exercise="SelfAttention"
class SelfAttention(nn.Module):
    """One head of self-attention: queries, keys and values of the same sequence (Vaswani et al. 2017, section 3.2).

    embed_dim  features of each position of the input
    head_dim   features of each query, key and value

    q_proj, k_proj and v_proj are nn.Linear layers from embed_dim to head_dim features, with bias.

    forward(x, mask=None) -> (output, weights)

    x     [batch, time, embed_dim]  floating point: one vector per position
    mask  boolean, [queries, keys], [batch, 1, keys] or [batch, queries, keys], where queries and keys are
          both the positions of x: True where a query may attend to a key; None: everywhere

    output is [batch, queries, head_dim]. weights are [batch, queries, keys], after the softmax. The scores are
    divided by the square root of head_dim. A query that may attend to nothing has weights and output of
    exactly 0, and no gradient holds NaN. The arguments are not changed. Nothing has to be raised.

    F.scaled_dot_product_attention and nn.MultiheadAttention may not be used in this lesson.
    """

    def __init__(self, embed_dim, head_dim):
        super().__init__()
        ### BEGIN SOLUTION
        self.q_proj = nn.Linear(embed_dim, head_dim)
        self.k_proj = nn.Linear(embed_dim, head_dim)
        self.v_proj = nn.Linear(embed_dim, head_dim)
        ### END SOLUTION

    def forward(self, x, mask=None):
        ### BEGIN SOLUTION
        query, key, value = self.q_proj(x), self.k_proj(x), self.v_proj(x)  # each [batch, time, head_dim]
        return scaled_dot_product_attention(query, key, value, mask)
        ### END SOLUTION

# %% [markdown] hint="SelfAttention"
r"""
What is learned are three layers, made once in `__init__`. What is computed from each input belongs in `forward`.
"""

# %% [markdown] hint="SelfAttention"
r"""
`nn.Linear(size_in, size_out)` works on the last axis and leaves batch and time alone. Apply all three layers to the
same `x`. The imported function does the rest, scale and mask included.
"""

# %% [markdown] hint="SelfAttention"
r"""
In `__init__`, make `self.q_proj`, `self.k_proj` and `self.v_proj`, each an `nn.Linear` from `embed_dim` to `head_dim`.
In `forward`, give the three results for `x`, in this order, and the mask to `scaled_dot_product_attention`, and return
what it returns.
"""

# %% check="SelfAttention" points=3

# %% [markdown]
r"""
Here is the worked example with your module.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        attention = SelfAttention(embed_dim=2, head_dim=1)
        numbers = {"q_proj": [[2.0, 0.0]], "k_proj": [[0.0, 1.0]], "v_proj": [[10.0, 20.0]]}
        state = {f"{name}.weight": torch.tensor(weight) for name, weight in numbers.items()}
        attention.load_state_dict(state | {f"{name}.bias": torch.zeros(1) for name in numbers})
        output, weights = attention(torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]))
        print("weights", [[round(weight, 3) for weight in row] for row in weights[0].tolist()])
        print("output ", [round(number, 2) for number in output[0, :, 0].tolist()])

# %% [markdown]
r"""
## Exercise 2: a mask for padding

Sentences have different lengths, tensors do not. So the shorter sentences of a batch are filled up with a token that
means nothing, the padding. No position may collect anything from it. The mask says which *keys* are real. What the
padding itself asks for need not be masked: its outputs are not used.
"""

# %% exercise="padding_mask"
def padding_mask(tokens, pad_id):
    """Return the attention mask that hides padding (the key_padding_mask of nn.MultiheadAttention, inverted).

    tokens  [batch, keys]  integers: token ids
    pad_id  integer: the id that stands for padding, wherever in a sequence it appears

    The mask is boolean, [batch, 1, keys], on the device of tokens: True for every key that is not padding. Its
    middle axis has size 1, so that it is the same for all queries of a sequence. tokens are not changed.
    Nothing has to be raised.
    """
    ### BEGIN SOLUTION
    return (tokens != pad_id).unsqueeze(1)
    ### END SOLUTION

# %% [markdown] hint="padding_mask"
r"""
Comparing a tensor with a number gives a boolean tensor of the same shape. Which comparison is True for real tokens?
"""

# %% [markdown] hint="padding_mask"
r"""
The weights are `[batch, queries, keys]`, and the mask has to broadcast to them. Padding concerns the keys, so it is
the axis of the queries that has size 1.
"""

# %% [markdown] hint="padding_mask"
r"""
Compare `tokens` with `pad_id` by `!=`, and insert an axis of size 1 between batch and keys with `.unsqueeze(1)`.
"""

# %% check="padding_mask" points=2

# %% [markdown]
r"""
Two sentences of three and five tokens, filled up with 0. Every row still sums to 1, and the columns of the padding are
empty.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(6)
        tokens = torch.tensor([[5, 8, 2, 0, 0], [7, 3, 9, 4, 2]])
        attention = SelfAttention(embed_dim=8, head_dim=4)
        with torch.no_grad():
            output, weights = attention(3 * torch.randn(2, 5, 8), padding_mask(tokens, pad_id=0))
        figures.weight_tables({"three tokens, two padding": weights[0], "five tokens": weights[1]}).show()

# %% [markdown]
r"""
## Stretch: attention that can tell near from far

Self-attention knows no order: if the positions of the input change places, the outputs change places with them, and
nothing else happens. Most transformers add positions to the input (lesson 10). Another way is to tell the *scores* how
far apart two positions are. Shaw et al. (2018) learn a vector for each distance; Raffel et al. (2020), in T5, learn a
single number for each distance and add it to the score.

Let $d = j - i$ be the distance from query $i$ to key $j$: 0 is the position itself, 1 the next one, -1 the one before.
Distances beyond $\pm m$ share the number of $\pm m$, because far is far, and because then a longer sentence than any
in training needs no new numbers. So there are $2m + 1$ numbers $b_{-m}, \ldots, b_m$, and

$$\mathrm{score}_{ij} = \frac{q_i \cdot k_j}{\sqrt{d_k}} + b_{\max(-m,\, \min(m,\, j - i))}.$$

With $m = 2$ and four positions, these are the distances that count:

| | key 0 | key 1 | key 2 | key 3 |
|---|---|---|---|---|
| query 0 | 0 | 1 | 2 | 2 |
| query 1 | -1 | 0 | 1 | 2 |
| query 2 | -2 | -1 | 0 | 1 |
| query 3 | -2 | -2 | -1 | 0 |

## Exercise 3: self-attention with relative positions

Two boxes of lesson 7 help here: `attention_scores(query, key)` gives the scaled scores, and
`attention_weights(scores, mask)` the weights.
"""

# %% exercise="RelativeSelfAttention"
class RelativeSelfAttention(nn.Module):
    """Self-attention that adds a learned number per distance to each score (Raffel et al. 2020, section 2.1).

    The clipping of distances is that of Shaw et al. (2018, section 3.2); T5 itself sorts distances into
    buckets, and does not scale its scores.

    embed_dim     features of each position of the input
    head_dim      features of each query, key and value
    max_distance  positive integer: keys that are further away than this count as this far

    q_proj, k_proj and v_proj are nn.Linear layers from embed_dim to head_dim features, with bias.
    distance_bias is an nn.Parameter [2 * max_distance + 1], zeros at first: its entries belong to the distances
    -max_distance, ..., -1, 0, 1, ..., max_distance from a query to a key, in this order.

    forward(x, mask=None) -> (output, weights)

    x     [batch, time, embed_dim]  floating point: one vector per position
    mask  boolean, [queries, keys], [batch, 1, keys] or [batch, queries, keys]: True where a query may
          attend to a key; None: everywhere

    The score of query i for key j is their dot product divided by the square root of head_dim, plus the entry of
    distance_bias for j - i, clipped to the range of distances. output is [batch, queries, head_dim], weights are
    [batch, queries, keys], as in SelfAttention. Sequences may be shorter or longer than max_distance. A query
    that may attend to nothing has weights and output of exactly 0, and no gradient holds NaN. The arguments are
    not changed. Nothing has to be raised.

    F.scaled_dot_product_attention and nn.MultiheadAttention may not be used in this lesson.
    """

    def __init__(self, embed_dim, head_dim, max_distance):
        super().__init__()
        ### BEGIN SOLUTION
        self.max_distance = max_distance
        self.q_proj = nn.Linear(embed_dim, head_dim)
        self.k_proj = nn.Linear(embed_dim, head_dim)
        self.v_proj = nn.Linear(embed_dim, head_dim)
        self.distance_bias = nn.Parameter(torch.zeros(2 * max_distance + 1))
        ### END SOLUTION

    def forward(self, x, mask=None):
        ### BEGIN SOLUTION
        position = torch.arange(x.shape[1], device=x.device)
        distance = position.unsqueeze(0) - position.unsqueeze(1)  # [queries, keys], key minus query
        distance = distance.clamp(-self.max_distance, self.max_distance)
        # The entries are counted from 0, the distances from -max_distance.
        bias = self.distance_bias[distance + self.max_distance]  # [queries, keys]
        scores = attention_scores(self.q_proj(x), self.k_proj(x)) + bias  # [batch, queries, keys]
        weights = attention_weights(scores, mask)
        return weights @ self.v_proj(x), weights
        ### END SOLUTION

# %% [markdown] hint="RelativeSelfAttention"
r"""
First make the table of distances, as in the text above, for as many positions as `x` has. `torch.arange` gives the
positions; a row of keys minus a column of queries gives all differences at once.
"""

# %% [markdown] hint="RelativeSelfAttention"
r"""
`clamp` limits the distances. A tensor can be indexed by a table of integers, and the result has the shape of the
table. Mind that entry 0 of `distance_bias` belongs to the distance `-max_distance`: an index below 0 would count from
the end, without any error.
"""

# %% [markdown] hint="RelativeSelfAttention"
r"""
With `position = torch.arange(time, device=x.device)`, the table is `position[None, :] - position[:, None]`, clamped to
`-max_distance` and `max_distance`. Add `max_distance` to it and index `self.distance_bias` with it. Add the result to
`attention_scores` of the projected queries and keys, then go on with `attention_weights` and the projected values.
"""

# %% check="RelativeSelfAttention" points=2

# %% [markdown]
r"""
## Summary

- In self-attention query, key and value come from the same sequence, each through a projection of its own.
- The projections are learned. The weights are computed from each input.
- Query and key differ, so that looking is not mutual; the value differs from both, so that what is found need not be
  what it was found by.
- Padding is hidden as a key: the mask is `[batch, 1, keys]`.
- Without positions, self-attention treats the sequence as a set.

## What people get wrong here

- **"The attention weights are learned parameters."** Then every sentence would get the same weights. Learned are the
  projections; the weights follow from them and from the sentence.
- **"The value of the position itself is combined with its weights."** All values are: the weights of a query say how
  much of each position's value goes into its output.
- **Masking the rows of padding instead of its columns.** What the padding asks for does not matter. What others take
  from it does.
- **`x @ W` with the weight of an `nn.Linear`.** The layer holds its weight as `[size_out, size_in]` and multiplies by
  the transpose. With equal sizes the wrong product raises no error.
- **A batch axis taken for the sequence.** Several modules of PyTorch, `nn.MultiheadAttention` among them, expect
  `[time, batch, features]` unless they get `batch_first=True`. Here the batch comes first, and no sentence may ever
  influence another one.

## Read next

- Vaswani et al. (2017), *Attention Is All You Need*: section 3.2, and section 4 on why self-attention.
- Shaw, Uszkoreit and Vaswani (2018), *Self-Attention with Relative Position Representations*: section 3.
- Raffel et al. (2020), *Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer*: section 2.1.

Lesson 7, *Scaled dot-product attention*, opens the box that you used here. Lesson 8, *Multi-head attention*, runs
several heads side by side.
"""
