# %% [markdown] lesson=8 title="Multi-head attention"
r"""
# 8. Multi-head attention

One attention gives each position one set of weights, so it can look for one thing at a time. In this lesson you run
several attentions side by side, each on its own part of the features, and join what they bring back. At the end you
have your own `MultiHeadAttention`, which gives the same numbers as `torch.nn.MultiheadAttention` with the same
weights.

You need Python, a little PyTorch (`reshape`, `transpose`, what an `nn.Module` is), and an idea of what scaled dot-product
attention does: scores from query and key, weights by softmax, the mean of the values, weighted by them. Lesson 7,
*Scaled dot-product attention*, opens that box. It need not be solved: its functions are imported below, ready to use.

**How to work.** Run the cells from top to bottom. In an exercise, replace the lines `raise NotImplementedError(...)`
by your own code and run the cell; the cell below it checks your answer and, if it is wrong, tells you which mistake
it recognises. If you are stuck, write `hint("split_heads")` in a new cell: each new one opens one more of three hints,
and the last one is nearly the answer. `progress()` shows where you stand. A long
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
from workbench.broken.multi_head_attention import BrokenMultiHeadAttention
from workbench.parts import attention_scores, attention_weights
from workbench.training import train

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
| 4. `multi_head_bug_input`: find the bug | 10 | medium | medium: a bug that no shape betrays | 1 |
| Question: why several heads? | 5 | medium | high | 3 |
| 5. `GroupedQueryAttention` (stretch) | 15 | medium | medium: many large language models use it | 2 |

With reading and experiments the lesson takes about 90 minutes, or 75 without the stretch exercise.
"""

# %% [markdown]
r"""
## The idea in words

The weights of one query sum to 1. If a word needs its subject *and* its verb, a single attention has to split its
weight between the two, and what comes back is their mean, in which the one can hardly be told from the other.

So the features are shared out. With 8 heads and 512 features, each **head** gets 64 features of query, key and value,
and does a whole attention with them: its own scores, its own softmax, its own weights. One head may look at the
subject while another looks at the verb. What the heads bring back is put side by side, 8 times 64 features, and one
last linear layer, the **output projection**, mixes the heads' results.

Two things are easily misread. A head does *not* see a part of the sequence: it sees all positions, with a part of the
features. And these are not features of the input but of its projections, each of which is made of all features of the
input. What a head attends to is thus its own to learn.

Nothing gets larger. The number of features stays `embed_dim`, and so does the work for the scores: 8
times 64 multiplications per pair of positions in place of 512.
"""

# %% [markdown]
r"""
## The formula

$$\mathrm{MultiHead}(Q, K, V) = \mathrm{Concat}(\mathrm{head}_1, \ldots, \mathrm{head}_h)\, W^O$$

$$\mathrm{head}_i = \mathrm{Attention}(Q W_i^Q, K W_i^K, V W_i^V)$$

This is section 3.2.2 of Vaswani et al. (2017). The paper gives each head its own three matrices. In code the matrices
$W_1^Q, \ldots, W_h^Q$ stand side by side in one linear layer, `q_proj`, from `embed_dim` to `embed_dim` features: the
first `head_dim` of its outputs belong to head 1, the next to head 2, and so on (code counts heads from 0). Key and
value are treated alike, and `out_proj` is $W^O$. The layers have a bias, as in PyTorch's module; the formula leaves it
out.

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
## A worked example: two heads fetch two things

One query, two keys, two features, two heads: every head has a single feature, so `head_dim` is 1. The projections are
left out. The query is $(2, 2)$: its first feature looks for key A, its second one for key B.

| | key | value | score in head 0 | weight in head 0 | score in head 1 | weight in head 1 |
|---|---|---|---|---|---|---|
| A | $(2, 0)$ | $(10, 20)$ | $2 \cdot 2 = 4$ | $e^4 / (e^4 + e^0) = 0.982$ | $2 \cdot 0 = 0$ | 0.018 |
| B | $(0, 2)$ | $(30, 40)$ | $2 \cdot 0 = 0$ | 0.018 | $2 \cdot 2 = 4$ | 0.982 |

Head 0 has only first features: it brings back $0.982 \cdot 10 + 0.018 \cdot 30 = 10.36$, nearly the 10 of A. Head 1 has
only second ones: $0.018 \cdot 20 + 0.982 \cdot 40 = 39.64$, nearly the 40 of B. Side by side they are (10.36, 39.64), one
thing from each key.

A single head with both features has the score $(2 \cdot 2 + 2 \cdot 0) / \sqrt 2 = 2.83$ for A and the same for B, so
both weights are 1/2, and it brings back the mean of the values, (20, 30). The next cell does the same in plain Python.
"""

# %% demo
if __name__ == "__main__":

    def attend(query, keys, values):
        scores = [sum(a * b for a, b in zip(query, key, strict=True)) / math.sqrt(len(query)) for key in keys]
        exponentials = [math.exp(score) for score in scores]
        shares = [exponential / sum(exponentials) for exponential in exponentials]
        return [
            round(sum(share * value[i] for share, value in zip(shares, values, strict=True)), 2)
            for i in range(len(values[0]))
        ]

    print("head 0     ", attend([2], [[2], [0]], [[10], [30]]))
    print("head 1     ", attend([2], [[0], [2]], [[20], [40]]))
    print("single head", attend([2, 2], [[2, 0], [0, 2]], [[10, 20], [30, 40]]))

# %% [markdown]
r"""
## How features are shared out

In a program all heads work in one go, so their features have to lie in an axis of their own. Two positions, six
features, two heads; the features of both positions are numbered through:

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

This is the step that goes wrong most often, because a wrong split has the right shape. Think of the table above: which
cut separates its columns, and which its rows?
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
        raise ValueError(
            f"embed_dim {embed_dim} does not split into {num_heads} heads; choose a multiple of {num_heads}"
        )
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
    after the softmax and before dropout. Scores may be of any size: a
    hidden key has a weight of exactly 0, however large its score. A query that may attend to nothing has weights
    of exactly 0, and no gradient holds NaN. Both results have the dtype of the arguments, which is that of the
    parameters, and their device. The arguments are not changed.

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

# %% [markdown] predict="whose_features"
r"""
**Predict.** A module has 12 features and 3 heads, and all 12 features are different. In the input, only the *last* feature of
each position is changed. Which heads change their weights?

- [ ] Only head 2, which owns the last four features :: It owns the last four outputs of the *projections*. Each of those is made of all 12 features of the input.
- [x] All three :: A projection comes before the split, and each of its outputs is made of all 12 features. The split shares out what the projections have made.
- [ ] None, because the heads attend to positions, not to features :: They attend to positions by comparing features. Other features give other scores.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(8)
        attention = MultiHeadAttention(embed_dim=12, num_heads=3)
        x = torch.randn(1, 5, 12)
        changed = x.clone()
        changed[..., -1] += 1
        with torch.no_grad():
            before, after = attention(x, x, x)[1], attention(changed, changed, changed)[1]
        for number in range(3):
            same = torch.allclose(before[0, number], after[0, number], atol=1e-5)
            print(f"head {number}:", "the same weights" if same else "other weights")

# %% [markdown] predict="number_of_parameters"
r"""
**Predict.** A `MultiHeadAttention` with 512 features is built with 1 head, and then with 8 heads. How does the number of
its parameters change?

- [ ] 8 times as many, one set for each head :: It would be so if every head had projections to 512 features. Here each head's projection has 64 outputs: 8 · 64 = 512.
- [x] Not at all :: The four layers go from 512 to 512 features in both cases. Heads are only a way to read their outputs.
- [ ] An eighth, since each head has only 64 features :: Each head has an eighth of the parameters, but there are 8 of them.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        for num_heads in (1, 8):
            parameters = MultiHeadAttention(512, num_heads).parameters()
            print(f"num_heads {num_heads}: {sum(parameter.numel() for parameter in parameters)} parameters")

# %% [markdown]
r"""
## Experiment: silence one head at a time

A module with random weights has heads, but no division of work. So this one is trained, on a task that needs three
things at once. A sequence has 8 tokens, drawn at random from 11. Each of the six inner positions has to tell

- the token **before** it,
- the token **after** it, and
- the **first** token of the sequence.

The model is as small as can be: token and position are added, your attention comes next, and one linear layer reads
the three answers from its output. Whatever an answer needs has to be fetched by attention. One model has four heads of 12
features, another one a single head of 48; they have equally many parameters.
"""

# %% demo
if __name__ == "__main__":
    TOKENS, TIME, WIDTH = 11, 8, 48

    class Teller(nn.Module):
        """Tells the token before, the token after and the first token of the sequence, for each inner position."""

        def __init__(self, num_heads, seed=0):
            super().__init__()
            self.token, self.position = nn.Embedding(TOKENS, WIDTH), nn.Embedding(TIME, WIDTH)
            self.attention = MultiHeadAttention(WIDTH, num_heads)
            self.answers = nn.Linear(WIDTH, 3 * TOKENS)
            # All numbers are drawn by name, so that the order in which your layers are made does not matter.
            numbers = torch.Generator().manual_seed(seed)
            with torch.no_grad():
                for name, parameter in sorted(self.named_parameters()):
                    embedding = name in ("token.weight", "position.weight")
                    parameter.normal_(std=1.0 if embedding else WIDTH**-0.5, generator=numbers)

        def forward(self, tokens):
            x = self.token(tokens) + self.position.weight  # [batch, time, features]
            output, weights = self.attention(x, x, x)
            return self.answers(output)[:, 1:-1].unflatten(-1, (3, TOKENS)), weights

    def right_answers(tokens):
        first = tokens[:, :1].expand(-1, TIME - 2)
        return torch.stack([tokens[:, :-2], tokens[:, 2:], first], dim=-1)  # [batch, inner positions, 3]

    def loss(model, tokens):
        return F.cross_entropy(model(tokens)[0].flatten(0, 2), right_answers(tokens).flatten())

    def sequences(seed):
        numbers = torch.Generator().manual_seed(seed)
        while True:
            yield (torch.randint(TOKENS, (64, TIME), generator=numbers),)

    @functools.cache
    def trained(num_heads, seed=0):
        teller = Teller(num_heads, seed)
        train(teller, sequences(seed=1), loss, steps=600, learning_rate=3e-3, title=f"num_heads {num_heads}")
        return teller

    torch.set_num_threads(1)  # with tensors this small, two threads spend their time waiting for each other
    with figures.once_solved():
        for num_heads in (1, 4):
            size = sum(parameter.numel() for parameter in trained(num_heads).parameters())
            print(f"num_heads {num_heads}: a model of {size} parameters, trained")

# %% [markdown]
r"""
How is a head silenced without touching your code? What it brings back is multiplied by its own columns of the output
projection: with 12 features per head, head 2 has columns 24 to 35 of `out_proj.weight`. If these columns are set to 0,
the output is what it would be if head 2 had brought back zeros.
"""

# %% [markdown] predict="one_head_less"
r"""
**Predict.** The model with four heads gives all three answers right. Now one of its heads is silenced. What happens?

- [ ] All three answers suffer a little :: That would be so if each head fetched a bit of everything. But the weights of one head are shared by all that it fetches, so it pays to specialise.
- [x] It depends on the head: one answer is lost, or part of it, or none :: There are four heads for three things to fetch. You will see one head for *before*, one for *after*, and two that share the third.
- [ ] The model gives nothing sensible any more, since it was trained with four heads :: The output projection adds up what the heads bring. Without one term of the sum, the others are what they were.
"""

# %% demo trained
if __name__ == "__main__":
    tokens = torch.randint(TOKENS, (2048, TIME), generator=torch.Generator().manual_seed(2))

    def right_in_percent(teller, silenced=()):
        matrix = teller.attention.out_proj.weight
        kept, head_dim = matrix.detach().clone(), WIDTH // 4
        with torch.no_grad():
            for head in silenced:
                matrix[:, head * head_dim : (head + 1) * head_dim] = 0
            answers = teller(tokens)[0].argmax(dim=-1)
            matrix.copy_(kept)
        return [round(100 * share) for share in (answers == right_answers(tokens)).double().mean((0, 1)).tolist()]

    with figures.once_solved():
        four = trained(num_heads=4)
        results = {"one wide\nhead": right_in_percent(trained(num_heads=1)), "four\nheads": right_in_percent(four)}
        for silenced in ([0], [1], [2], [3], [2, 3]):
            results["without\n" + " and ".join(map(str, silenced))] = right_in_percent(four, silenced)
        answers = {
            name: list(shares)
            for name, shares in zip(("before", "after", "first"), zip(*results.values(), strict=True), strict=True)
        }
        picture = figures.bars(
            list(results),
            xlabel="heads that are there, or silenced",
            panels=[
                figures.Panel(
                    "What is lost with a head", "right answers in %", answers, bound=("guessing", 100 / TOKENS)
                )
            ],
        )
        picture.told(
            "Right answers with one wide head, with four heads, and with one or two of the four silenced: "
            "with a head goes one answer, a part of one, or none."
        ).show()

# %% [markdown]
r"""
Silence other heads yourself. Is there one that nobody misses? And which two can be lost together?
"""

# %% demo trained
if __name__ == "__main__":

    def what_is_right(**heads):
        silenced = [index for index, there in enumerate(heads.values()) if not there]
        shares = right_in_percent(trained(num_heads=4), silenced)
        return f"Silenced: {', '.join(map(str, silenced)) or 'none'}.", [
            widgets.Bars("right answers in %", ["before", "after", "first"], {"right": shares}, span=(0.0, 100.0))
        ]

    with figures.once_solved():
        widgets.dials(what_is_right, head_0=True, head_1=True, head_2=True, head_3=True).show()

# %% [markdown]
r"""
And this is where the heads look: the weights of the query at position 4, averaged over the 2048 sequences.
"""

# %% demo trained
if __name__ == "__main__":
    with figures.once_solved():
        weights = trained(num_heads=4)(tokens)[1].mean(dim=0)  # [heads, queries, keys]
        picture = figures.weight_tables({"weights of query 4": weights[:, 4]}, rows="head", columns="key")
        picture.told("Weights of query 4: head 0 looks at key 5, head 1 at key 3, heads 2 and 3 at key 0.").show()

# %% [markdown]
r"""
What to see: with four heads every answer is right. Without head 0 the token after is lost, nearly down to guessing, and
without head 1 the token before; the other answers stay right. These two heads do one thing each, and their weights say
the same.

Now compare heads 2 and 3. In the table of weights both look at the first token, head 3 with most of its weight. But without
head 2 a third of the answers about it go wrong, and without head 3 none. Head 3 is no idler, though: silence both, and
the first token is lost as well. So the table shows where a head looks, and not what would be missing without it.
Silencing one head at a time shows that, but overlooks what two heads both know.

The single wide head has as many parameters, but only one set of weights for three keys. It has none of the answers always
right.

Michel, Levy and Neubig (2019) did this with a translation model of 16 heads per layer, and found that most heads can be
silenced alone without much loss. Be careful with the conclusion: zeros are nothing that the rest of the network has met
in training, so a drop shows that this model relies on the head, and not that the head does the work alone. And another
start shares out the work in another way: write `trained(num_heads=4, seed=1)` in the last two cells, and run them again.
"""

# %% [markdown]
r"""
## Exercise 4: find the bug

Somebody else has written multi-head attention with `torch.bmm`, a matrix product for tensors of three axes. So batch and
heads have to become one axis. Read it.
"""

# %% demo
if __name__ == "__main__":
    figures.source(BrokenMultiHeadAttention)

# %% [markdown]
r"""
It has the same parameters as your module, so both can be given the same weights. It has been tried on the usual inputs:
"""

# %% demo
if __name__ == "__main__":

    def compare(name, query, key, mask):
        with torch.no_grad():
            right, wrong = (attention(query, key, key, mask)[0] for attention in (mine, broken))
        print(f"{name}:", "same output" if torch.allclose(right, wrong, atol=1e-5) else "DIFFERENT output")

    with figures.once_solved():
        torch.manual_seed(8)
        mine, broken = MultiHeadAttention(12, 3), BrokenMultiHeadAttention(12, 3)
        _ = broken.load_state_dict(mine.state_dict())
        x, memory = torch.randn(5, 7, 12), torch.randn(5, 11, 12)
        compare("no mask", x, x, None)
        compare("no later key", x, x, torch.ones(7, 7, dtype=torch.bool).tril())
        compare("cross-attention with a random mask", x, memory, torch.rand(7, 11) < 0.5)
        compare("one sequence with padding", x[:1], x[:1], torch.tensor([[[True] * 4 + [False] * 3]]))

# %% [markdown]
r"""
And still it is wrong for some inputs. Supply one. A good way to work: write down, for a batch of two sequences, which
sequence and which head each of the six matrices in `scores` belongs to, and then the same for the six masks.
"""


# %% exercise="multi_head_bug_input"
def multi_head_bug_input():
    """Return (query, key, value, mask) for which BrokenMultiHeadAttention(12, 3) gives a wrong output.

    query  [batch, queries, 12]  floating point
    key    [batch, keys, 12]  floating point
    value  [batch, keys, 12]  floating point
    mask   boolean, [queries, keys], [batch, 1, keys] or [batch, queries, keys], the same for all heads:
           True where a query may attend to a key; or None

    Every size is from 1 to 100, and no number is beyond 10 000 in either direction. The weights of the layers are
    random; the check chooses them. The input counts if the output differs somewhere from that of a right
    module with the same weights, by more than a hundredth of the largest absolute number in the right output.
    """
    ### BEGIN SOLUTION
    # The bug: repeat lays the masks as a b a b a b, but the scores lie as a a a b b b, the heads of a sequence
    # together. So most heads of most sequences get the mask of another sequence.
    x = torch.arange(96.0).reshape(2, 4, 12).sin()
    mask = torch.ones(2, 1, 4, dtype=torch.bool)
    mask[1, :, 2:] = False
    return x, x, x, mask
    ### END SOLUTION


# %% [markdown] hint="multi_head_bug_input"
r"""
All that has been tried has something in common: within one call, every sequence has the same mask. Which line would be
wrong otherwise?
"""

# %% [markdown] hint="multi_head_bug_input"
r"""
Two sequences a and b with three heads each: in `flatten_heads` the batch comes before the heads, so the scores lie as
a a a b b b. Run `torch.tensor([[1], [2]]).repeat(3, 1)` and see how `repeat` lays the masks.
"""

# %% [markdown] hint="multi_head_bug_input"
r"""
Make `x` from random numbers, `[2, 4, 12]`, and use it as query, key and value. Make a mask of True with the shape
`[2, 1, 4]`, and set the last two keys of the second sequence to False, as if they were padding. Return x three times,
and the mask.
"""

# %% check="multi_head_bug_input" points=1

# %% [markdown]
r"""
## Question: why several heads?
"""

# %% [markdown] question="why_heads" points=3
r"""
In notes on transformers you may read: "`head_dim` is `embed_dim` / number of heads. This is done to maintain the size of
the embedding after the heads are concatenated." That is true. Say what it leaves out, in four to six sentences:

1. What can several heads do that a single head of the full width cannot? Use the word *softmax*.
2. If each of 8 heads had `embed_dim` features in place of `embed_dim` / 8, what would that cost?
3. What does the output projection do with what the heads bring back, and what would be lost if the heads were averaged
   in its place?

### BEGIN SOLUTION
**Sample answer.** One head has one softmax, so its weights for a query sum to 1 once: if it has to fetch two things,
it splits its weight and brings back a mixture. Several heads have a softmax each, so that each can put nearly all its
weight on one thing, and the results arrive in separate features (in the experiment a single wide head has none
of the three answers always right, four heads have all of them). With `embed_dim` features for each of 8 heads, the projections
would have 8 times as many parameters, and scores and weighted means would take 8 times as many multiplications; with
`embed_dim` / 8 both are the same as for a single head. The heads' results stand side by side, so the output projection
has its own weights for each feature of each head, and can use what head 0 found in another way than what head 1 found.
In an average all heads are treated alike, so it could not be told any more which head found what.

**Rubric.** One point each:
1. one softmax per head, so one set of weights that sum to 1 for each thing to fetch; half a point for "different
   heads learn different things" without the reason;
2. 8 times the parameters of the projections *or* 8 times the work for scores and values;
3. the projection weighs each feature of each head by itself (concatenation keeps them apart), and an average mixes them
   beyond recovery.
### END SOLUTION
"""

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

How much does it save? For every position, layer and group the cache holds `head_dim` numbers of the key and as many of
the value. Take 32 layers, 32 heads of 128 features, a text of 8192 tokens and 2 bytes per number: these are
$2 \cdot 32 \cdot 32 \cdot 128 \cdot 8192 \cdot 2$ bytes = 4 GiB, for a single text. With 8 groups it is 1 GiB.
"""

# %% demo
if __name__ == "__main__":
    for groups in (32, 8, 1):
        cache = 2 * 32 * groups * 128 * 8192 * 2  # key and value, layers, groups, head_dim, tokens, bytes
        print(f"num_groups {groups:2}: {cache / 2**30:5.3f} GiB")

# %% [markdown]
r"""
By hand, for 6 heads and 2 groups: the keys of the groups, a and b, have to become six, one for each head, in the order
a a a b b b. Then everything goes on as in multi-head attention.

## Exercise 5: grouped-query attention
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
    the num_heads heads, after the softmax and before dropout. Scores may be of any size: a
    hidden key has a weight of exactly 0, however large its score. A query that may attend to nothing has weights
    of exactly 0, and no gradient holds NaN. Both results have the dtype of the arguments, which is that of the
    parameters, and their device. The arguments are not changed.

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
- Every head sees all positions, and all features of the input through its projections. What a head has to itself are
  its softmax and its weights, so that each head can fetch another thing.
- The scale belongs to the vectors that are compared: it is the root of `head_dim`, not of `embed_dim`.
- The output projection is the only place where what one head found meets what another head found.

## What people get wrong here

- **"A head sees a part of the sentence", or "a part of the embedding".** It sees every position, and its projections
  read every feature of the embedding. What is shared out are the outputs of the projections.
- **Splitting by `view` alone.** The shape is right, and the numbers are mixed: part of the positions ends up in each
  head. Training can still make progress with it, so it may go unnoticed.
- **"The heads are averaged."** They are put side by side, and a learned projection mixes them. Only the weights that
  `nn.MultiheadAttention` returns are averaged, unless `average_attn_weights=False` is given.
- **"More heads cost more."** Each head is narrower in return: parameters and multiplications stay the same. What grows
  is only the number of tables of weights.
- **"This head does syntax."** A table of weights shows where a head looks, and silencing it shows what this model misses
  without it, on these data. Neither says what the head's values carry, and with another seed the heads share the work
  out in another way.
- **The mask's polarity.** True means *may attend* in this course and in `F.scaled_dot_product_attention`; in
  `nn.MultiheadAttention` True means *is ignored*.
- **A mask without a heads axis.** When batch and heads happen to be equally many, broadcasting lines one up with the
  other, and no error is raised. The same happens where batch and heads are one axis and the masks are repeated in the
  wrong order.

## Read next

- Vaswani et al. (2017), *Attention Is All You Need*: section 3.2.2, and table 3, rows (A), where the number of heads
  is varied at a fixed amount of work.
- Michel, Levy and Neubig (2019), *Are Sixteen Heads Really Better than One?*: section 3.2 does our experiment with a
  translation model, and section 3.3 keeps only one head of a layer.
- Jain and Wallace (2019), *Attention is not Explanation*: what a table of weights does not show.
- Shazeer (2019), *Fast Transformer Decoding: One Write-Head is All You Need*.
- Ainslie et al. (2023), *GQA: Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints*: section 2.2.

Lesson 1, *Encoder*, and lesson 2, *Decoder*, build layers around your module. Lesson 11, *Visualizing attention with
BertViz*, shows all heads of all layers at once.
"""
