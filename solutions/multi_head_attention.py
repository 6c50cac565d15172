# %% [markdown] lesson=8 title="Multi-head attention"
r"""
# 8. Multi-head attention

One attention gives each position one set of weights, so it can look for one thing at a time. In this lesson you run
several attentions side by side, each on its own part of the features, and join what they bring back. At the end you
have your own `MultiHeadAttention`, which gives the same numbers as `torch.nn.MultiheadAttention` with the same
weights.

You need Python, a little PyTorch, and an idea of what scaled dot-product attention does (lesson 7). Lesson 7 need not
be solved: its functions are imported below, ready to use.

**How to work.** Run the cells from top to bottom. In an exercise, replace the lines `raise NotImplementedError(...)`
by your own code and run the cell; the cell below it checks your answer and, if it is wrong, tells you which mistake
it recognises. If you are stuck, write `hint("split_heads")` in a new cell: every call opens one more of three hints,
and the last one is nearly the answer. `progress()` shows where you stand.
"""

# %%
import torch
from torch import nn

from autograder import check, hint, progress
from workbench import figures
from workbench.parts import attention_scores, attention_weights

# %% [markdown]
r"""
## Where you are

Multi-head attention stands in the transformer three times: in the encoder, in the decoder over the target so far, and
in the decoder over the encoder's output. It is the same component each time. Only what comes in as query, key, value
and mask differs.
"""

# %% demo
if __name__ == "__main__":
    figures.transformer_map(lit="multi_head_attention")

# %% [markdown]
r"""
| exercise | minutes | difficulty | importance | points |
|---|---|---|---|---|
| 1. `split_heads` | 10 | medium | high: the step that goes wrong most often | 2 |
| 2. `merge_heads` | 5 | easy | high: the way back | 2 |
| 3. `MultiHeadAttention` | 20 | medium | high: lessons 1 and 2 are built on it | 4 |
| 4. `GroupedQueryAttention` (stretch) | 15 | medium | medium: many large language models use it | 2 |
"""

# %% [markdown]
r"""
## The idea in words

The weights of one query sum to 1. If a word needs its subject *and* its verb, a single attention has to split its
weight between the two, and what comes back is a mixture in which neither can be told from the other.

So the features are shared out. With 8 heads and 512 features, each head gets 64 features of query, key and value, and
does a whole attention with them: its own scores, its own softmax, its own weights. One head may look at the subject
while another looks at the verb. What the heads bring back is put side by side, 8 times 64 features, and one last
linear layer, the output projection, mixes the heads' results.

Nothing becomes larger by this. The number of features stays `embed_dim`, and so does the work for the scores: 8
times 64 multiplications per pair of positions in place of 512.
"""

# %% [markdown]
r"""
## The formula

$$\mathrm{MultiHead}(Q, K, V) = \mathrm{Concat}(\mathrm{head}_1, \ldots, \mathrm{head}_h)\, W^O, \qquad
\mathrm{head}_i = \mathrm{Attention}(Q W_i^Q, K W_i^K, V W_i^V)$$

This is section 3.2.2 of Vaswani et al. (2017). The paper gives each head its own three matrices. In code the matrices
$W_1^Q, \ldots, W_h^Q$ stand side by side in one linear layer, `q_proj`, from `embed_dim` to `embed_dim` features: the
first `head_dim` of its outputs belong to head 1, the next to head 2, and so on. Key and value are treated alike, and
`out_proj` is $W^O$. The layers have a bias, as in PyTorch's module; the formula leaves it out.

| symbol | name | shape |
|---|---|---|
| $Q$ | `query` | `[batch, queries, embed_dim]` |
| $K$, $V$ | `key`, `value` | `[batch, keys, embed_dim]` |
| $h$ | `heads`, as an argument `num_heads` | a number |
| $d_k = d_v$ | `head_dim` = `embed_dim` / `heads` | a number |
| $Q W_i^Q$ of all heads | the split query | `[batch, heads, queries, head_dim]` |
| the weights of all heads | `weights` | `[batch, heads, queries, keys]` |
| the result | `output` | `[batch, queries, embed_dim]` |
"""

# %% [markdown]
r"""
## A worked example

Two positions, six features, two heads. The features of both positions are numbered through:

| | features of head 0 | features of head 1 |
|---|---|---|
| position 0 | 0, 1, 2 | 3, 4, 5 |
| position 1 | 6, 7, 8 | 9, 10, 11 |

After the split, head 0 holds the first column of this table, (0, 1, 2) and (6, 7, 8): *both* positions, half of the
features. Head 1 holds the second column. Each head needs all positions, because attention compares positions.
"""

# %% [markdown] predict="view_as_heads"
r"""
**Predict.** These twelve numbers are `x` with shape `[batch, time, embed_dim]` = `[1, 2, 6]`. Somebody splits them by
`x.view(1, 2, 2, 3)` and calls the axes batch, heads, time, head_dim. Which numbers does head 0 hold?

- [ ] (0, 1, 2) and (6, 7, 8) :: That is what a head should hold, but view cannot do it: it never moves a number. It reads all numbers in their order and only sets new boundaries.
- [x] (0, 1, 2) and (3, 4, 5) :: The first six numbers in memory are those of position 0. So head 0 gets the whole of position 0, head 1 the whole of position 1, and what is called time is really the halves of one position. All shapes fit, and nothing complains.
- [ ] (0, 2, 4) and (6, 8, 10) :: view takes neighbouring numbers, never every second one.
"""

# %% demo
if __name__ == "__main__":
    x = torch.arange(12).reshape(1, 2, 6)
    print("head 0 after view:", x.view(1, 2, 2, 3)[0, 0].tolist())

# %% [markdown]
r"""
## Exercise 1: split the heads
"""

# %% exercise="split_heads"
def split_heads(x, num_heads):
    """Return x with its features shared out to heads (Vaswani et al. 2017, section 3.2.2).

    x          [batch, time, embed_dim]  floating point: one vector per position
    num_heads  positive integer: how many heads there are

    The result is [batch, heads, time, head_dim] with head_dim = embed_dim / num_heads. Head 0 gets the
    first head_dim features of every position, head 1 the next, and so on. It has the dtype and the
    device of x, which is not changed.

    Raises ValueError if num_heads does not divide embed_dim; the message names both sizes.
    """
    ### BEGIN SOLUTION
    batch, time, embed_dim = x.shape
    if embed_dim % num_heads != 0:
        raise ValueError(f"embed_dim {embed_dim} does not split into {num_heads} heads; choose a multiple of {num_heads}")
    head_dim = embed_dim // num_heads
    # Only the features may be divided by the reshape; the heads then change places with the positions.
    return x.reshape(batch, time, num_heads, head_dim).transpose(1, 2)
    ### END SOLUTION

# %% [markdown] hint="split_heads"
r"""
Two steps: first cut the last axis into two, heads and head_dim, and leave batch and time as they are. Then bring the
axes into the order that is asked for. In which order are they after the first step?
"""

# %% [markdown] hint="split_heads"
r"""
A reshape sets new boundaries and never moves a number, so it can cut the last axis, but it cannot put the heads in
front of the positions. Moving an axis is what `transpose` is for. Before all that: the operator `%` tells whether
`num_heads` divides `embed_dim`.
"""

# %% [markdown] hint="split_heads"
r"""
If `embed_dim % num_heads` is not 0, raise a `ValueError` with an f-string that holds both numbers. Otherwise reshape
`x` to `[batch, time, num_heads, embed_dim // num_heads]` and apply `.transpose(1, 2)`.
"""

# %% check="split_heads" points=2

# %% [markdown]
r"""
Here is the worked example with your function. Compare it with the table above.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        for number, head in enumerate(split_heads(torch.arange(12.0).reshape(1, 2, 6), 2)[0]):
            print(f"head {number}:", head.tolist())

# %% [markdown]
r"""
## Exercise 2: merge the heads

The way back: what the heads have computed is put side by side again, so that every position has one vector.
"""

# %% exercise="merge_heads"
def merge_heads(x):
    """Return the heads' features side by side, the inverse of split_heads (Vaswani et al. 2017, section 3.2.2).

    x  [batch, heads, time, head_dim]  floating point: one vector per head and position

    The result is [batch, time, heads * head_dim]: for every position the features of head 0, then
    those of head 1, and so on. It has the dtype and the device of x, which is not changed. Nothing
    has to be raised.
    """
    ### BEGIN SOLUTION
    batch, heads, time, head_dim = x.shape
    # The heads go back beside their features first; after a transpose the numbers no longer lie in the order of the
    # axes, so that view would refuse and reshape copies.
    return x.transpose(1, 2).reshape(batch, time, heads * head_dim)
    ### END SOLUTION

# %% [markdown] hint="merge_heads"
r"""
Undo the two steps of `split_heads` in the opposite order. Which axes have to be neighbours before they can become one?
"""

# %% [markdown] hint="merge_heads"
r"""
First heads and time change places, then the last two axes become one. If PyTorch says "view size is not compatible
with input tensor's size and stride", use `reshape`: it copies where `view` cannot go.
"""

# %% [markdown] hint="merge_heads"
r"""
Take the four sizes from `x.shape`, apply `.transpose(1, 2)` to `x`, and reshape the result to
`[batch, time, heads * head_dim]`.
"""

# %% check="merge_heads" points=2

# %% [markdown]
r"""
## Exercise 3: multi-head attention

Now the whole: project, split, attend in all heads at once, merge, project. From lesson 7 you have two closed boxes,
imported at the top. They take any leading axes, so they work on all heads of the whole batch in one call:

- `attention_scores(query, key)` gives the scaled scores `[..., queries, keys]`;
- `attention_weights(scores, mask)` gives weights of the same shape; the mask has to broadcast to the scores.

Two details need care. The mask that comes in knows nothing of heads, and the scores have a heads axis: a mask
`[batch, queries, keys]` against scores `[batch, heads, queries, keys]` would line up batch with heads. And dropout
acts on the weights just before they meet the values, while the weights that you return are those before dropout, so
that each row sums to 1.

(If your `split_heads` or `merge_heads` is not right yet, this exercise can still earn its points: it is checked with
right ones in their place.)
"""

# %% exercise="MultiHeadAttention" uses="split_heads merge_heads"
class MultiHeadAttention(nn.Module):
    """Attention by several heads, each on its own part of the features (Vaswani et al. 2017, section 3.2.2).

    embed_dim  features of each position, in query, key, value and output
    num_heads  how many heads share them; head_dim = embed_dim / num_heads
    dropout    probability with which a weight is dropped before the values are mixed, in training only

    q_proj, k_proj, v_proj and out_proj are nn.Linear layers from embed_dim to embed_dim features, with bias.

    forward(query, key, value, mask=None) -> (output, weights)

    query  [batch, queries, embed_dim]  floating point: what asks
    key    [batch, keys, embed_dim]  floating point: what is compared with the query
    value  [batch, keys, embed_dim]  floating point: what is handed over
    mask   boolean, [queries, keys], [batch, 1, keys] or [batch, queries, keys], the same for all heads:
           True where a query may attend to a key; None: everywhere

    output is [batch, queries, embed_dim]. weights are [batch, heads, queries, keys], one matrix per head,
    after the softmax and before dropout. A query that may attend to nothing has weights of exactly 0, and
    no gradient holds NaN. The arguments are not changed.

    Raises ValueError, when it is built or when it is called, if num_heads does not divide embed_dim; the
    message names both sizes.

    F.scaled_dot_product_attention and nn.MultiheadAttention may not be used in this lesson.
    """

    def __init__(self, embed_dim, num_heads, dropout=0.0):
        super().__init__()
        ### BEGIN SOLUTION
        self.num_heads = num_heads
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def forward(self, query, key, value, mask=None):
        ### BEGIN SOLUTION
        query = split_heads(self.q_proj(query), self.num_heads)  # [batch, heads, queries, head_dim]
        key = split_heads(self.k_proj(key), self.num_heads)  # [batch, heads, keys, head_dim]
        value = split_heads(self.v_proj(value), self.num_heads)  # [batch, heads, keys, head_dim]
        if mask is not None:
            mask = mask.unsqueeze(-3)  # [..., 1, queries, keys], one mask for all heads
        weights = attention_weights(attention_scores(query, key), mask)  # [batch, heads, queries, keys]
        output = merge_heads(self.dropout(weights) @ value)  # [batch, queries, embed_dim]
        return self.out_proj(output), weights
        ### END SOLUTION

# %% [markdown] hint="MultiHeadAttention"
r"""
Four linear layers and one `nn.Dropout` are made in `__init__`, and `num_heads` is remembered. In `forward`, query, key
and value each go through their own projection and are then split; from there on they have four axes.
"""

# %% [markdown] hint="MultiHeadAttention"
r"""
The axis of the heads stands third from the end in the scores. `mask.unsqueeze(-3)` puts an axis of size 1 there,
counted from the end, so it suits a mask with two axes as well as one with three.
"""

# %% [markdown] hint="MultiHeadAttention"
r"""
In `forward`: project and split all three. Give the mask its heads axis, unless it is None. The weights are
`attention_weights` of `attention_scores` and the mask. Apply your dropout layer to the weights, multiply with the
split value by `@`, merge the heads, and send the result through `out_proj`. Return it together with the weights from
before dropout.
"""

# %% check="MultiHeadAttention" points=4

# %% [markdown]
r"""
Here are the weights of a module that has learned nothing yet: five random positions, three heads, no later key. Each
head has its own table, and every row sums to 1.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(8)
        attention = MultiHeadAttention(embed_dim=12, num_heads=3)
        x = 2 * torch.randn(1, 5, 12)
        with torch.no_grad():
            output, weights = attention(x, x, x, torch.ones(5, 5, dtype=torch.bool).tril())
        figures.weight_tables({f"head {number}": table for number, table in enumerate(weights[0])}).show()

# %% [markdown]
r"""
## Stretch: grouped-query attention

A model that writes text keeps the keys and values of all earlier positions in memory, for every head of every layer.
For long texts this cache can outgrow the model itself. Shazeer (2019) let all heads share one set of keys and values,
which shrinks the cache by the number of heads, at some cost in quality. Ainslie et al. (2023) went half way: the heads
form groups, and each *group* has its own keys and values.

With 6 heads and 2 groups, heads 0, 1 and 2 ask the keys of group 0, and heads 3, 4 and 5 those of group 1. Each head
still has its own queries, hence its own weights. With as many groups as heads this is multi-head attention, and with
one group it is Shazeer's multi-query attention.

## Exercise 4: grouped-query attention
"""

# %% exercise="GroupedQueryAttention" uses="split_heads merge_heads"
class GroupedQueryAttention(nn.Module):
    """Multi-head attention whose heads share keys and values in groups (Ainslie et al. 2023, section 2.2).

    embed_dim   features of each position, in query, key, value and output
    num_heads   how many heads the query has; head_dim = embed_dim / num_heads
    num_groups  how many heads key and value have; head h uses group h // (num_heads / num_groups), so
                that neighbouring heads share
    dropout     probability with which a weight is dropped before the values are mixed, in training only

    q_proj and out_proj are nn.Linear layers from embed_dim to embed_dim features, k_proj and v_proj from
    embed_dim to num_groups * head_dim; all have a bias.

    forward(query, key, value, mask=None) -> (output, weights)

    query  [batch, queries, embed_dim]  floating point: what asks
    key    [batch, keys, embed_dim]  floating point: what is compared with the query
    value  [batch, keys, embed_dim]  floating point: what is handed over
    mask   boolean, [queries, keys], [batch, 1, keys] or [batch, queries, keys], the same for all heads:
           True where a query may attend to a key; None: everywhere

    output is [batch, queries, embed_dim]. weights are [batch, heads, queries, keys], one matrix for each of
    the num_heads heads, after the softmax and before dropout. A query that may attend to nothing has
    weights of exactly 0, and no gradient holds NaN. The arguments are not changed.

    Raises ValueError, when it is built or when it is called, if num_heads does not divide embed_dim or
    num_groups does not divide num_heads; the message names the two sizes that do not fit.

    F.scaled_dot_product_attention and nn.MultiheadAttention may not be used in this lesson.
    """

    def __init__(self, embed_dim, num_heads, num_groups, dropout=0.0):
        super().__init__()
        ### BEGIN SOLUTION
        if num_heads % num_groups != 0:
            raise ValueError(f"{num_heads} heads do not form {num_groups} groups; choose a divisor of {num_heads}")
        self.num_heads, self.num_groups = num_heads, num_groups
        head_dim = embed_dim // num_heads
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, num_groups * head_dim)
        self.v_proj = nn.Linear(embed_dim, num_groups * head_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def forward(self, query, key, value, mask=None):
        ### BEGIN SOLUTION
        query = split_heads(self.q_proj(query), self.num_heads)  # [batch, heads, queries, head_dim]
        key = split_heads(self.k_proj(key), self.num_groups)  # [batch, groups, keys, head_dim]
        value = split_heads(self.v_proj(value), self.num_groups)  # [batch, groups, keys, head_dim]
        heads_per_group = self.num_heads // self.num_groups
        key = key.repeat_interleave(heads_per_group, dim=1)  # [batch, heads, keys, head_dim]
        value = value.repeat_interleave(heads_per_group, dim=1)  # [batch, heads, keys, head_dim]
        if mask is not None:
            mask = mask.unsqueeze(-3)  # [..., 1, queries, keys], one mask for all heads
        weights = attention_weights(attention_scores(query, key), mask)  # [batch, heads, queries, keys]
        output = merge_heads(self.dropout(weights) @ value)  # [batch, queries, embed_dim]
        return self.out_proj(output), weights
        ### END SOLUTION

# %% [markdown] hint="GroupedQueryAttention"
r"""
Start from your `MultiHeadAttention`. Only key and value change: their projections are narrower, and they are split
into groups in place of heads. What has to happen before the scores, so that every head finds its key?
"""

# %% [markdown] hint="GroupedQueryAttention"
r"""
Each group has to be repeated for all of its heads. For two groups a and b and six heads the order is a a a b b b, not
a b a b a b. PyTorch has one method for each of the two orders.
"""

# %% [markdown] hint="GroupedQueryAttention"
r"""
`k_proj` and `v_proj` have `num_groups * (embed_dim // num_heads)` outputs. Split both with
`split_heads(..., self.num_groups)` and apply `.repeat_interleave(self.num_heads // self.num_groups, dim=1)`. The rest
is as before. If `num_heads % num_groups` is not 0, raise a `ValueError` that names both.
"""

# %% check="GroupedQueryAttention" points=2

# %% [markdown]
r"""
## Summary

- The features are shared out to heads; each head has its own scores, its own softmax and its own weights.
- `head_dim` is `embed_dim / num_heads`, so the size and the work stay what they are with a single head.
- Splitting cuts the feature axis and then moves the heads in front of the positions. Merging does the same backwards.
- The scale belongs to the vectors that are compared: it is the root of `head_dim`, not of `embed_dim`.
- The output projection is the only place where what one head found meets what another head found.

## What people get wrong here

- **Splitting by `view` alone.** The shape is right, and the numbers are mixed: part of the positions ends up in each
  head. Training can still make progress with it, so it may go unnoticed.
- **"The heads are averaged."** They are put side by side, and a learned projection mixes them. Averaged are only the
  weights that `nn.MultiheadAttention` returns, unless `average_attn_weights=False` is given.
- **"More heads cost more."** Each head is narrower in return. What grows is only the number of weight matrices.
- **The mask's polarity.** True means *may attend* in this course and in `F.scaled_dot_product_attention`; in
  `nn.MultiheadAttention` True means *is ignored*.
- **A mask without a heads axis.** When batch and heads happen to be equally many, broadcasting lines one up with the
  other, and no error is raised.

## Read next

- Vaswani et al. (2017), *Attention Is All You Need*: section 3.2.2, and table 3, rows (A), where the number of heads
  is varied at a fixed amount of work.
- Michel, Levy and Neubig (2019), *Are Sixteen Heads Really Better than One?*
- Shazeer (2019), *Fast Transformer Decoding: One Write-Head is All You Need*.
- Ainslie et al. (2023), *GQA: Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints*: section 2.2.
"""
