# %% [markdown] lesson=7 title="Scaled dot-product attention"
r"""
# 7. Scaled dot-product attention

In this lesson you build the function at the centre of every transformer: each query is compared with all keys,
the comparisons become weights, and the weights mix the values. At the end you have your own
`scaled_dot_product_attention`, which gives the same numbers as PyTorch's function of that name, and a second form of
it that never holds the whole table of scores.

You need Python and a little PyTorch: `@`, `transpose` and broadcasting. No other lesson has to be solved first.

**How to work.** Run the cells from top to bottom. In an exercise, replace the line `raise NotImplementedError(...)`
by your own code and run the cell; the cell below it checks your answer and, if it is wrong, tells you which mistake
it recognises. If you are stuck, write `hint("attention_scores")` in a new cell: each new one opens one more of three
hints, and the last one is nearly the answer. `progress()` shows where you stand. A long
cell that only draws is folded; a click on its three dots opens it.
"""

# %%
import math

import torch

from autograder import check, hint, progress
from workbench import figures, widgets
from workbench.broken.scaled_dot_product_attention import broken_attention

# %% [markdown]
r"""
## Where you are

The transformer of Vaswani et al. (2017), with an encoder, a decoder, and the inside of a multi-head attention. The
box of this lesson is the only place where one position of a sequence receives anything from another: everything
else in the picture works on each position alone.
"""

# %% demo
if __name__ == "__main__":
    figures.transformer_map(lit="scaled_dot_product_attention")

# %% [markdown]
r"""
| exercise | minutes | difficulty | importance | points |
|---|---|---|---|---|
| 1. `attention_scores` | 5 | easy | high: half of the formula | 2 |
| 2. `attention_weights` | 15 | medium | high: every mask acts here | 3 |
| 3. `scaled_dot_product_attention` | 5 | easy | high: lessons 6 and 8 are built on it | 3 |
| 4. `attention_bug_input`: find the bug | 10 | medium | medium: practice in reading code with suspicion | 1 |
| Question: why the scale? | 5 | medium | high | 3 |
| 5. `streaming_attention` (stretch) | 20 | hard | low for the other lessons, high for long sequences | 2 |

With reading and experiments the lesson takes about 90 minutes, or 65 without the stretch exercise.
"""

# %% [markdown]
r"""
## The idea in words

A Python dictionary answers a question only if the question equals one of its keys:

```python
{"cat": 10, "dog": 20, "car": 30}["cat"]
```

Attention is a dictionary that answers by degrees. It has three ingredients, all of them vectors:

- a **query**: what is being looked for;
- one **key** per entry: what this entry can be found by;
- one **value** per entry: what this entry hands over when it is found.

The query is compared with every key by a dot product, which is large when two vectors point the same way. The
comparisons are turned into positive weights that sum to 1. The answer is the mean of all values, weighted by them.
If one key fits far better than the rest, the answer is nearly that key's value, as in the dictionary. If all keys fit
equally, the answer is the plain average.

Because the answer changes smoothly with query and keys, gradients can flow through the lookup, and training can
learn to ask better questions. Nothing inside this function is learned, though: the weights are computed afresh from
every input. What a transformer learns are the projections that make query, key and value (lesson 6,
*Self-attention*).
"""

# %% [markdown]
r"""
## The formula

$$\mathrm{Attention}(Q, K, V) = \mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt{d_k}}\right) V$$

This is equation 1 of Vaswani et al. (2017, section 3.2.1). Its symbols have these names and shapes in the course:

| symbol | name | shape |
|---|---|---|
| $Q$ | `query` | `[..., queries, head_dim]` |
| $K$ | `key` | `[..., keys, head_dim]` |
| $V$ | `value` | `[..., keys, value_dim]` |
| $d_k$ | `head_dim` | a number |
| $Q K^\top / \sqrt{d_k}$ | `scores` | `[..., queries, keys]` |
| $\mathrm{softmax}(\ldots)$ | `weights` | `[..., queries, keys]`, each row sums to 1 |
| the result | `output` | `[..., queries, value_dim]` |

The three dots stand for any leading axes: none, or `batch`, or `batch, heads`. Each index of the leading axes is an
attention of its own. There are as many values as keys, but there may be more or fewer queries, and `value_dim` may
differ from `head_dim`.

Read from the inside out, the formula has three steps, and these are the first three exercises: scores, weights,
weighted mean.
"""

# %% [markdown]
r"""
## A worked example

One query, three keys, `head_dim` 4, and values that are single numbers. Take a pencil and follow:

| | key | value | dot product with the query $(1, 1, 1, 1)$ | divided by $\sqrt 4 = 2$ | exponential | weight |
|---|---|---|---|---|---|---|
| first | $(1, 1, 1, 1)$ | 10 | 4 | 2 | $e^2 = 7.389$ | $7.389 / 11.107 = 0.665$ |
| second | $(1, 1, 0, 0)$ | 20 | 2 | 1 | $e^1 = 2.718$ | $2.718 / 11.107 = 0.245$ |
| third | $(1, -1, 1, -1)$ | 30 | 0 | 0 | $e^0 = 1.000$ | $1.000 / 11.107 = 0.090$ |

The exponentials sum to 11.107, and each of them divided by this sum is a weight: this is the softmax. The output is
$0.665 \cdot 10 + 0.245 \cdot 20 + 0.090 \cdot 30 = 14.25$: mostly the first value, with a little of the others. The
next cell does the same in plain Python, without rounding in between.
"""

# %% demo
if __name__ == "__main__":
    keys = [(1, 1, 1, 1), (1, 1, 0, 0), (1, -1, 1, -1)]
    values = [10, 20, 30]

    def look_up(query):
        products = [sum(a * b for a, b in zip(query, key, strict=True)) for key in keys]
        scaled = [product / math.sqrt(len(query)) for product in products]
        exponentials = [math.exp(score) for score in scaled]
        shares = [exponential / sum(exponentials) for exponential in exponentials]
        print("scores ", scaled)
        print("weights", [round(share, 3) for share in shares])
        print("output ", round(sum(share * value for share, value in zip(shares, values, strict=True)), 3))

    look_up((1, 1, 1, 1))

# %% [markdown]
r"""
The next item asks you to **predict** before you run anything. Decide first, then open your choice, then run the cell
below it.
"""

# %% [markdown] predict="zero_query"
r"""
**Predict.** The same keys and values are asked with the query $(0, 0, 0, 0)$. What is the output?

- [ ] 0 :: A query of zeros makes all scores 0, but a score of 0 is not a weight of 0: $e^0 = 1$.
- [ ] 10, the first value :: No key is preferred: the three scores are equal, and softmax has no rule that the first one wins a tie.
- [x] 20, the mean of the values :: All scores are 0, so all exponentials are 1 and all weights 1/3. Who asks for nothing in particular gets the average.
"""

# %% demo
if __name__ == "__main__":
    look_up((0, 0, 0, 0))

# %% [markdown]
r"""
The direction of a query says what it looks for, its length how sharply. Take one into your hand: drag the tip of the
query, or move the sliders. The keys have two components here, so that they fit on paper. Turn the query from *cat* to
*car*; then stretch it until one key takes everything, and shrink it to nothing.
"""

# %% demo
if __name__ == "__main__":
    widgets.query_by_hand().show()

# %% [markdown]
r"""
## Why the scores are divided

Softmax reacts to differences between scores: a key whose score is 1 higher gets $e \approx 2.7$ times the weight, one
whose score is 10 higher gets 22 026 times the weight. So it matters how large scores typically are.
"""

# %% [markdown] predict="dot_product_size"
r"""
**Predict.** A query and a key have 64 components each, drawn independently with mean 0 and variance 1. About how large, plus or
minus, is their dot product typically (its standard deviation)?

- [ ] 1 :: That is the size of each of the 64 products. Adding 64 of them with random signs leads further away from 0.
- [x] 8 :: The 64 products have mean 0 and variance 1 each. Variances of independent terms add up to 64, and the standard deviation is its root, 8.
- [ ] 64 :: This would need all 64 products to have the same sign. Most of them cancel: the variance is 64, the standard deviation is its root.
"""

# %% demo
if __name__ == "__main__":
    torch.manual_seed(7)
    lines = []
    for head_dim in (4, 64, 1024):
        products = (torch.randn(10_000, head_dim) * torch.randn(10_000, head_dim)).sum(dim=-1)
        lines.append(
            f"head_dim {head_dim:4}: standard deviation {products.std():4.1f}, root of head_dim {head_dim**0.5:2.0f}"
        )
    print("\n".join(lines))

# %% [markdown]
r"""
So dot products grow with $\sqrt{d_k}$, and dividing by $\sqrt{d_k}$ brings their variance back to 1, whatever
`head_dim` is. This is footnote 4 of the paper. After exercise 3 you will see what happens to the weights without it.

## Exercise 1: the scores
"""


# %% exercise="attention_scores"
def attention_scores(query, key):
    """Return how well each query matches each key (Vaswani et al. 2017, section 3.2.1).

    query  [..., queries, head_dim]  floating point: what each query looks for
    key    [..., keys, head_dim]  floating point, same leading axes: what each key can be found by

    The scores are [..., queries, keys]: the dot product of each query with each key, divided by the
    square root of head_dim. They have the dtype and the device of the arguments, which are not
    changed. Nothing has to be raised: torch itself refuses sizes that do not fit.

    F.scaled_dot_product_attention and nn.MultiheadAttention may not be used in this lesson.
    """
    ### BEGIN SOLUTION
    head_dim = query.shape[-1]
    return query @ key.transpose(-2, -1) / math.sqrt(head_dim)
    ### END SOLUTION


# %% [markdown] hint="attention_scores"
r"""
All dot products of several queries with several keys are one matrix product. Which shape must its second factor
have, so that `[queries, head_dim]` times it gives `[queries, keys]`?
"""

# %% [markdown] hint="attention_scores"
r"""
The last two axes of the key must change places, and only these two, however many axes come before them. Axes can be
counted from the end with negative numbers: look up `torch.Tensor.transpose`.
"""

# %% [markdown] hint="attention_scores"
r"""
Multiply `query` by `key.transpose(-2, -1)` with `@`, then divide by `math.sqrt` of the size of the last axis of
`query`.
"""

# %% check="attention_scores" points=2

# %% [markdown]
r"""
## From scores to weights

Softmax turns a row of scores $s_1, s_2, \ldots$ into weights that are positive and sum to 1:

$$w_j = \frac{e^{s_j}}{\sum_i e^{s_i}}$$

You may use `torch.softmax`. One of its properties will be useful again and again:
"""

# %% [markdown] predict="shifted_scores"
r"""
**Predict.** 1000 is added to every score of a row. What happens to the weights that `torch.softmax` gives?

- [ ] They become NaN, because $e^{1000}$ is infinite in float32 :: This is what the formula gives if you type it in as it stands. `torch.softmax` first subtracts the largest score of the row, so no exponential is larger than 1.
- [ ] They all come closer to each other, because 1000 drowns the differences :: The differences stay what they were, and only they count: every exponential is multiplied by the same $e^{1000}$.
- [x] Nothing :: $e^{s + 1000} = e^{s} \cdot e^{1000}$, and the common factor cancels in the fraction.
"""

# %% demo
if __name__ == "__main__":
    row = torch.tensor([2.0, 1.0, 0.0])
    typed_in = torch.exp(row + 1000)
    print("torch.softmax of the scores  ", torch.softmax(row, dim=0))
    print("torch.softmax, 1000 added    ", torch.softmax(row + 1000, dim=0))
    print("formula typed in, 1000 added ", typed_in / typed_in.sum())

# %% [markdown]
r"""
A **mask** says which keys a query may attend to: not to padding, for example, or not to words that come later. In
this course a mask is boolean, and **True means: may attend**. A forbidden key must have a weight of exactly 0, and
the permitted ones must share the whole attention, so that the row still sums to 1. In the worked example, forbid the
first key: the scores 1 and 0 are left, the weights are $e / (e + 1) = 0.731$ and $1 / (e + 1) = 0.269$, and the
output is $0.731 \cdot 20 + 0.269 \cdot 30 = 22.69$. The paper gets there by setting forbidden scores to $-\infty$
before the softmax (section 3.2.3), since $e^{-\infty} = 0$.

One row needs thought: a query that may attend to nothing, as in a sequence that is nothing but padding.
A softmax over nothing is $0 / 0$. In this course such a query gets weights of 0, so it receives nothing, and no NaN
may reach its gradient either, because a single NaN spreads to the parameters with the next training step.

## Exercise 2: the weights
"""


# %% exercise="attention_weights"
def attention_weights(scores, mask=None):
    """Return the softmax of each query's scores (Vaswani et al. 2017, section 3.2.1).

    scores  [..., queries, keys]  floating point, of any size: 1e5 or -1e5 must not spoil the weights
    mask    boolean, broadcasts to the scores, True where a query may attend to a key; None: everywhere

    The weights have the shape, dtype and device of scores; neither argument is changed. The weights
    of a query sum to 1, and the weight of a forbidden key is exactly 0. A query that may attend to
    nothing has only weights of exactly 0, and the gradient of scores holds no NaN. Nothing has to
    be raised.

    F.scaled_dot_product_attention and nn.MultiheadAttention may not be used in this lesson.
    """
    ### BEGIN SOLUTION
    if mask is None:
        return torch.softmax(scores, dim=-1)
    weights = torch.softmax(scores.masked_fill(~mask, -math.inf), dim=-1)
    # A query that may attend to nothing has a row of -inf only, and softmax gives 0 / 0 = NaN.
    return weights.masked_fill(~mask, 0.0)
    ### END SOLUTION


# %% [markdown] hint="attention_weights"
r"""
Begin without a mask: a softmax, along which axis? Each *query's* weights sum to 1. Then ask which score a forbidden
key must have, so that its exponential is 0 and the others share everything.
"""

# %% [markdown] hint="attention_weights"
r"""
`tensor.masked_fill(where, number)` returns a copy with `number` wherever `where` is True. The mask is True where a
query *may* attend, so you need its opposite, `~mask`. Afterwards look at `torch.softmax(torch.tensor([-math.inf,
-math.inf]), dim=-1)`: this is what an empty row gives.
"""

# %% [markdown] hint="attention_weights"
r"""
Three steps: fill the forbidden scores with `-math.inf`; take the softmax along the last axis; fill the weights with
`0.0` in the same forbidden places. The last step changes nothing except in empty rows, where it replaces NaN, and it
keeps the gradient clean there as well. Without a mask only the softmax remains.
"""

# %% check="attention_weights" points=3

# %% [markdown]
r"""
## Exercise 3: put together

What is left of the formula is the product of the weights with the values. Use your two functions. (If one of them is
not right yet, this exercise can still earn its points: it is checked with right ones in their place.)
"""


# %% exercise="scaled_dot_product_attention" uses="attention_scores attention_weights"
def scaled_dot_product_attention(query, key, value, mask=None):
    """Return (output, weights) of attention (Vaswani et al. 2017, section 3.2.1, equation 1).

    query  [..., queries, head_dim]  floating point: what each query looks for
    key    [..., keys, head_dim]  floating point, same leading axes: what each key can be found by
    value  [..., keys, value_dim]  floating point, same leading axes: what each key hands over
    mask   boolean, broadcasts to [..., queries, keys], True where a query may attend to a key;
           None: everywhere

    output is [..., queries, value_dim], for each query the mean of the values, weighted by its weights;
    weights are [..., queries, keys]. Both have the dtype and the device of the arguments, which are not
    changed. A query that may attend to nothing has weights and output of exactly 0, and no gradient
    holds NaN. Nothing has to be raised.

    F.scaled_dot_product_attention and nn.MultiheadAttention may not be used in this lesson.
    """
    ### BEGIN SOLUTION
    weights = attention_weights(attention_scores(query, key), mask)
    return weights @ value, weights
    ### END SOLUTION


# %% [markdown] hint="scaled_dot_product_attention"
r"""
You have `[queries, keys]` and `[keys, value_dim]`, and want `[queries, value_dim]`. Which product is that?
"""

# %% [markdown] hint="scaled_dot_product_attention"
r"""
Scores from query and key; weights from the scores and the mask; one matrix product of the weights with the value. The
function returns a pair.
"""

# %% [markdown] hint="scaled_dot_product_attention"
r"""
Give the result of `attention_scores` to `attention_weights`, together with the mask, and keep it as `weights`. The
output is `weights @ value`. Return the output first and the weights second.
"""

# %% check="scaled_dot_product_attention" points=3

# %% [markdown]
r"""
Here is the worked example again, now with your function, without and with the mask. Compare with your pencil.
"""

# %% demo
if __name__ == "__main__":
    query = torch.tensor([[1.0, 1, 1, 1]])
    key = torch.tensor([[1.0, 1, 1, 1], [1, 1, 0, 0], [1, -1, 1, -1]])
    value = torch.tensor([[10.0], [20.0], [30.0]])
    with figures.once_solved():
        for mask in (None, torch.tensor([[False, True, True]])):
            output, weights = scaled_dot_product_attention(query, key, value, mask)
            print("weights", [round(weight, 3) for weight in weights[0].tolist()], "output", round(output.item(), 3))

# %% [markdown]
r"""
The promise of this lesson was the numbers of PyTorch's own function. It gives the output alone, without the weights; with a
mask it means the same, True may attend.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(7)
        query, key, value = torch.randn(2, 3, 11, 16), torch.randn(2, 3, 7, 16), torch.randn(2, 3, 7, 5)
        for name, mask in {"no mask": None, "a random mask": torch.rand(11, 7) < 0.5}.items():
            mine, _ = scaled_dot_product_attention(query, key, value, mask)
            theirs = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask)
            print(f"{name}: shape {list(mine.shape)}, the same numbers: {torch.allclose(mine, theirs, atol=1e-5)}")

# %% [markdown]
r"""
The query that you turned before is back, and answers with *your* functions now. Hide a key and see who gets its weight;
hide all three. Then switch the division off: how much sharper do the weights become?
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        widgets.query_by_hand(attention_scores, scaled_dot_product_attention).show()

# %% [markdown]
r"""
And here are the weights of five random queries for five random keys, under three masks. Each row of a table belongs
to one query.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(7)
        query, key, value = 1.5 * torch.randn(3, 5, 16)
        no_later_key = torch.ones(5, 5, dtype=torch.bool).tril()
        padded = torch.tensor([True, True, True, False, False]).expand(5, 5).clone()
        padded[1] = False
        masks = {"no mask": None, "no later key": no_later_key, "no key 3 or 4; query 1: none": padded}
        tables = {name: scaled_dot_product_attention(query, key, value, mask)[1] for name, mask in masks.items()}
        figures.weight_tables(tables).show()

# %% [markdown]
r"""
What to see: every row sums to 1, except the empty one. A mask does not merely erase weights: what the forbidden keys
had goes to the permitted ones of the same row, in proportion. Under *no later key*, query 0 has only key 0 left and
gives it everything.
"""

# %% [markdown] predict="swapped_keys"
r"""
**Predict.** Keys 0 and 1 change places, and values 0 and 1 change places as well. The queries stay. What happens to the output?

- [x] Nothing :: Each query finds the same pairs of key and value, in another order, and a weighted sum does not depend on the order. Attention by itself knows no order, which is why lesson 10 exists.
- [ ] Rows 0 and 1 of the output change places :: The rows of the output belong to the queries, and these have not moved. What changes places are columns 0 and 1 of the weights.
- [ ] It becomes a different mixture :: It would if only the keys had moved. Here every value is still found by its own key.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(7)
        query, key, value = torch.randn(3, 5, 16)
        swapped = [1, 0, 2, 3, 4]
        output, weights = scaled_dot_product_attention(query, key, value)
        new_output, new_weights = scaled_dot_product_attention(query, key[swapped], value[swapped])
        print("same output:", torch.allclose(output, new_output, atol=1e-5))
        print("same weights:", torch.allclose(weights, new_weights, atol=1e-5))
        print("same weights, columns swapped:", torch.allclose(weights[:, swapped], new_weights, atol=1e-5))

# %% [markdown]
r"""
## Experiment: what the scale is for

Random queries meet 64 random keys, with `head_dim` from 4 to 1024. Two numbers are measured, with the scale and
without it (your scores, multiplied by the root again):

- the **variance** of the scores;
- the **entropy** of the weights, in bits. If a query spreads its weight evenly over $n$ keys, its entropy is
  $\log_2 n$: 6 bits for all 64 keys, 0 bits for a single one.
"""

# %% demo
if __name__ == "__main__":
    head_dims = [4, 16, 64, 256, 1024]
    variances = {"without the scale": [], "with the scale": []}
    entropies = {"without the scale": [], "with the scale": []}
    lines = []
    with figures.once_solved():
        torch.manual_seed(7)
        for head_dim in head_dims:
            query, key = torch.randn(16, 64, head_dim), torch.randn(16, 64, head_dim)
            scaled = attention_scores(query, key)
            for name, scores in (("without the scale", scaled * head_dim**0.5), ("with the scale", scaled)):
                weights = attention_weights(scores)
                entropy = torch.special.entr(weights).sum(dim=-1) / math.log(2)  # from nats to bits
                variances[name].append(scores.var().item())
                entropies[name].append(entropy.mean().item())
                lines.append(
                    f"head_dim {head_dim:4}, {name:>17}: variance {scores.var():6.1f}, "
                    f"entropy {entropy.mean():.1f} bits"
                )
        print("\n".join(lines))
        figures.curves(
            head_dims,
            xlabel="head_dim",
            panels=[
                figures.Panel("Variance of the scores", "variance", variances, log=True),
                figures.Panel("Entropy of the weights", "entropy in bits", entropies, bound=("64 equal weights", 6)),
            ],
        ).show()

# %% [markdown]
r"""
What to see: without the scale the variance is `head_dim` itself, and the entropy falls towards 0, so a random query
looks at a single random key before it has learned anything. With the scale both lines are flat: 5.3 bits, as
if every query looked evenly at about 40 of the 64 keys, however large `head_dim` is.

Why is looking at a single key so bad? The slope of a weight $w$ with respect to its own score is $w (1 - w)$. At
$w = 0.5$ this is 0.25, at $w = 0.999$ it is 0.001. A softmax that is already certain passes almost no gradient back,
so training can hardly correct it. The paper says it suspects just this (section 3.2.1).

Try it: replace `head_dim**0.5` by `head_dim**-0.5` in the cell above, so that the line called *without the scale* has
scores divided by `head_dim` itself.
"""

# %% [markdown]
r"""
## Exercise 4: find the bug

Somebody else has written attention as well, without `torch.softmax`. Read it.
"""

# %% demo
if __name__ == "__main__":
    figures.source(broken_attention)

# %% [markdown]
r"""
It has been tried on the usual inputs:
"""

# %% demo
if __name__ == "__main__":

    def compare(name, query, key, value, mask):
        right, wrong = (
            attend(query, key, value, mask)[0] for attend in (scaled_dot_product_attention, broken_attention)
        )
        print(f"{name}:", "same output" if torch.allclose(right, wrong, atol=1e-4) else "DIFFERENT output")

    with figures.once_solved():
        torch.manual_seed(7)
        query, key, value = torch.randn(2, 3, 11, 16), torch.randn(2, 3, 7, 16), torch.randn(2, 3, 7, 5)
        one_row_empty = torch.rand(11, 7) < 0.5
        one_row_empty[4] = False
        compare("no mask", query, key, value, None)
        compare("random mask, one row empty", query, key, value, one_row_empty)
        compare("no later key", query, query, query, torch.ones(11, 11, dtype=torch.bool).tril())
        compare("scores of 1e5", torch.full_like(query, 200), torch.full_like(key, 125), value, None)

# %% [markdown]
r"""
And still it is wrong for some inputs, all of whose numbers are finite. Supply one. A good way to work: take the lines
one by one, and say what each is meant to do, and for which inputs it does something else.
"""


# %% exercise="attention_bug_input"
def attention_bug_input():
    """Return (query, key, value, mask) for which broken_attention gives a wrong output.

    query  [..., queries, head_dim]  floating point
    key    [..., keys, head_dim]  floating point, same leading axes
    value  [..., keys, value_dim]  floating point, same leading axes
    mask   boolean, broadcasts to [..., queries, keys], True where a query may attend to a key; or None

    All numbers are finite, every size is at least 1, and no tensor holds more than 100 000 numbers.
    The input counts if broken_attention runs on it, and if at least one query that may attend to
    something gets an output that is off by more than a hundredth of the largest absolute number in
    value (rounding is not a bug). Right is what torch.nn.functional.scaled_dot_product_attention
    gives.
    """
    ### BEGIN SOLUTION
    # The bug: scores.max() is the largest score of the whole tensor, not that of each query. Here the
    # first query has scores of 0, the second one's reach 2000, and exp(0 - 2000) is 0 in float32.
    query = torch.tensor([[0.0], [1000.0]])
    key = torch.tensor([[1.0], [2.0]])
    value = torch.tensor([[3.0], [5.0]])
    return query, key, value, None
    ### END SOLUTION


# %% [markdown] hint="attention_bug_input"
r"""
The attention of a query must not depend on which other queries are in the same call. Which line mixes numbers of
different queries?
"""

# %% [markdown] hint="attention_bug_input"
r"""
`scores.max()` has no `dim`: it is the largest score of *all* queries, all heads, the whole batch, and of the hidden
keys as well. Subtracting the same number everywhere is harmless on paper. But what does `torch.exp(torch.tensor(-200.0))` give?
"""

# %% [markdown] hint="attention_bug_input"
r"""
Take `head_dim` 1 and two queries: the number 0 and the number 1000, with two keys such as 1 and 2, and two different
positive values. All scores of the first query lie 2000 below the largest one, so all its exponentials are 0, and the
line that protects empty rows turns this into an output of 0. Return the three tensors, and None as the mask.
"""

# %% check="attention_bug_input" points=1

# %% [markdown]
r"""
## Question: why the scale?
"""

# %% [markdown] question="why_scale" points=3
r"""
In notes on transformers you may read: "The matrix product of query and key is scaled by the embedding size, to avoid
explosion." Put this right, in four to six sentences:

1. By what exactly are the scores divided, and why by that? Say what it does to their variance.
2. A softmax that subtracts the largest score never overflows. What goes wrong in training without the scale all the
   same?
3. What would the weights look like if the scores were divided by `head_dim` instead?

### BEGIN SOLUTION
**Sample answer.** The scores are divided by the square root of `head_dim`, the number of components of one query and
one key in one head, not by the embedding size. If the components are independent with mean 0 and variance 1, a dot
product is a sum of `head_dim` terms of variance 1, so its variance is `head_dim`; dividing by the root divides the
variance by `head_dim` and makes it 1, whatever `head_dim` is. Without the scale nothing explodes, but the differences
between scores are so large that the softmax saturates: nearly all weight falls on one key (in the experiment the
entropy falls from 4 bits at `head_dim` 4 to 0.2 bits at 1024). There the slope of the softmax is almost 0,
so hardly any gradient reaches query and key, and the choice of that key can hardly be unlearned. Divided by
`head_dim`, the scores have variance 1 / `head_dim`, all close to 0, and the weights are nearly equal (almost 6 bits
for 64 keys at `head_dim` 64): at first every query gets about the plain mean of the values.

**Rubric.** One point each:
1. the square root of `head_dim` *and* the variance argument (variance `head_dim` becomes 1); half a point if the
   number is right without a reason;
2. saturation and vanishing gradients, not overflow; half a point for "one key takes all" without the gradient;
3. nearly uniform weights, because the scores are too close to 0.
### END SOLUTION
"""

# %% [markdown]
r"""
## Stretch: attention without the table

The table of scores has `queries` × `keys` numbers. For a text of 100 000 tokens this is $10^{10}$, or 40 GB in float32,
for every head. Yet the output is small, and each row of it is just a weighted mean. Can it be computed while the keys
pass by in blocks, keeping only a few numbers per query?

The obstacle is softmax: it needs the largest score and the sum of the exponentials of the *whole* row. But both can
be kept up to date. Let $m$ be the largest score so far and $\ell$ the sum of $e^{s - m}$ so far. When a block of
scores arrives,

$$m' = \max(m, \text{largest score of the block}), \qquad
\ell' = \ell \cdot e^{m - m'} + \sum_{s \,\in\, \text{block}} e^{s - m'}.$$

The factor $e^{m - m'}$ converts what was computed relative to the old maximum: the property of softmax that you met
above, put to work. Start with $m = -\infty$ and $\ell = 0$. By hand, for the scores 1, 3, 2 in blocks of one:

| score | $m'$ | $\ell'$ |
|---|---|---|
| 1 | 1 | $0 + e^{0} = 1$ |
| 3 | 3 | $1 \cdot e^{1 - 3} + e^{0} = 1.1353$ |
| 2 | 3 | $1.1353 \cdot e^{0} + e^{-1} = 1.5032$ |

In one go it is $e^{-2} + e^{0} + e^{-1} = 1.5032$, the same. Milakov and Gimelshein (2018) described this *online softmax*;
FlashAttention (Dao et al. 2022) carries the output along in the same way, and computes exact attention in blocks that
fit into fast memory.
"""

# %% demo
if __name__ == "__main__":
    biggest, summed = -math.inf, 0.0
    for score in (1.0, 3.0, 2.0):
        bigger = max(biggest, score)
        summed = summed * math.exp(biggest - bigger) + math.exp(score - bigger)
        biggest = bigger
        print(f"score {score}: maximum {biggest}, sum {summed:.4f}")

# %% [markdown]
r"""
## Exercise 5: streaming attention

The output is a sum over the keys too. What has to be carried along for it, and what must happen to it when the
maximum rises?
"""


# %% exercise="streaming_attention" uses="attention_scores"
def streaming_attention(query, key, value, block_size):
    """Return the output of attention, from one block of keys at a time (Dao et al. 2022, section 3.1).

    The softmax over blocks is that of Milakov and Gimelshein (2018, section 3).

    query       [..., queries, head_dim]  floating point: what each query looks for
    key         [..., keys, head_dim]  floating point, same leading axes: what each key can be found by
    value       [..., keys, value_dim]  floating point, same leading axes: what each key hands over
    block_size  positive integer: how many keys make a block; it need not divide keys and may exceed it

    The result is the output alone, [..., queries, value_dim], equal up to rounding to that of
    scaled_dot_product_attention without a mask, with the dtype and the device of the arguments,
    which are not changed. Scores and exponentials are held for one block at a time: no intermediate
    is as wide as all keys. Scores of 1e5 or -1e5 must not spoil the output. Nothing has to be raised.

    F.scaled_dot_product_attention and nn.MultiheadAttention may not be used in this lesson.
    """
    ### BEGIN SOLUTION
    maximum = torch.full_like(query[..., :1], -math.inf)  # [..., queries, 1]
    total, output = 0.0, 0.0
    blocks = zip(key.split(block_size, dim=-2), value.split(block_size, dim=-2), strict=True)
    for key_block, value_block in blocks:
        scores = attention_scores(query, key_block)  # [..., queries, block]
        new_maximum = torch.maximum(maximum, scores.amax(dim=-1, keepdim=True))
        # What was summed so far is relative to the old maximum; this makes it relative to the new one.
        correction = torch.exp(maximum - new_maximum)
        exponentials = torch.exp(scores - new_maximum)
        total = total * correction + exponentials.sum(dim=-1, keepdim=True)
        output = output * correction + exponentials @ value_block
        maximum = new_maximum
    return output / total
    ### END SOLUTION


# %% [markdown] hint="streaming_attention"
r"""
The demo keeps two numbers, for one query. You need them for every query, as tensors `[..., queries, 1]`, and a third
one for the output: the sum of exponential times value so far, `[..., queries, value_dim]`. Divide at the very end.
"""

# %% [markdown] hint="streaming_attention"
r"""
`key.split(block_size, dim=-2)` gives the blocks of keys, the last one smaller if need be; split the value in the same
way and go through both with `zip`. In each block: scores; the new maximum, from the old one and
`scores.amax(dim=-1, keepdim=True)`; the factor that converts what you have.
"""

# %% [markdown] hint="streaming_attention"
r"""
Begin with a maximum of `-math.inf` for every query, and sum and output at 0. Per block: the factor is exp(old maximum
− new maximum); the exponentials are exp(scores − new maximum). The sum becomes sum · factor + the exponentials summed
over the block (keep the axis). The output becomes output · factor + the matrix product of the exponentials with the
block of values. Remember the new maximum. After the last block, return output / sum.
"""

# %% check="streaming_attention" points=2

# %% [markdown]
r"""
## Experiment: memory as the sequence grows

How large is the largest tensor that each of your two functions makes? Self-attention is meant here, so there are as
many queries as keys.
"""

# %% [markdown] predict="longer_sequence"
r"""
**Predict.** The sequence becomes twice as long. How does the largest tensor grow, in the plain form and in the streaming form with
a fixed `block_size`?

- [ ] Both double :: In the plain form the table of scores has twice as many rows *and* twice as many columns.
- [x] Plain: four times. Streaming: twice :: The plain table is queries × keys. The streaming form holds queries × block_size at a time, and only the queries become more.
- [ ] Plain: four times. Streaming: it stays the same :: The blocks are of keys only. All queries are still there, each with its row of scores for the block.
"""

# %% demo
if __name__ == "__main__":
    lengths = [128, 256, 512, 1024, 2048]
    mebibytes = {"plain": [], "streaming, blocks of 64": []}
    lines = []
    with figures.once_solved():
        for length in lengths:
            torch.manual_seed(7)
            query, key, value = torch.randn(3, length, 32)
            plain = figures.largest_tensor(scaled_dot_product_attention, query, key, value)
            streaming = figures.largest_tensor(streaming_attention, query, key, value, 64)
            same = torch.allclose(
                scaled_dot_product_attention(query, key, value)[0],
                streaming_attention(query, key, value, 64),
                atol=1e-4,
            )
            mebibytes["plain"].append(plain / 2**20)
            mebibytes["streaming, blocks of 64"].append(streaming / 2**20)
            lines.append(
                f"{length:4} tokens: plain {plain / 2**20:6.3f} MiB, "
                f"streaming {streaming / 2**20:.3f} MiB, same output: {same}"
            )
        print("\n".join(lines))
        figures.curves(
            lengths,
            xlabel="tokens in the sequence",
            panels=[figures.Panel("Largest tensor", "size in MiB", mebibytes, log=True)],
        ).show()

# %% [markdown]
r"""
What to see: the plain line is twice as steep, because it grows with the square. At 2048 tokens the plain table has
2048 × 2048 numbers of 4 bytes, which is 16 MiB; a block has 2048 × 64 of them, 0.5 MiB. The outputs are the same.

Two things that the picture does not show. The *work* is still queries × keys dot products: streaming saves memory, not
arithmetic. And while PyTorch records for a backward pass, it keeps the blocks of all steps: to save memory in training
as well, FlashAttention computes them a second time when the gradient is needed.
"""

# %% [markdown]
r"""
## Summary

- Attention is a lookup by degrees: scores from query and key, weights by softmax over the keys, and the mean of the
  values, weighted by them.
- The scores are divided by the square root of `head_dim`, so that their variance stays near 1 and gradients can
  pass through the softmax.
- A mask acts before the softmax, so that the permitted keys share the whole weight. A query that may attend to
  nothing gets zeros.
- Only differences between scores count, within one row. Stable softmax and streaming attention both rest on this.
- The function has no parameters. It treats keys and values as a set, without order.

## What people get wrong here

- **"Query times key is scaled by the embedding size."** By the square root of `head_dim`. With 8 heads of 64
  components the embedding has 512, and dividing by $\sqrt{512}$ would leave a variance of 64 / 512 = 1 / 8. The two
  are equal only when there is a single head as wide as the embedding, which is probably where the belief comes from.
- **"The scale avoids an explosion."** Subtracting the largest score avoids overflow. The scale keeps the softmax away
  from saturation, where gradients vanish.
- **"The attention weights are learned parameters."** They are computed from each input. What is learned are the
  projections in front of this function.
- **Masks have two polarities in PyTorch.** In `F.scaled_dot_product_attention`, and in this course, True means *takes
  part*. In `nn.MultiheadAttention`, for `attn_mask` and `key_padding_mask`, True means *is ignored*. Mixing them up
  raises no error.
- **Zeroing weights after the softmax, and leaving it at that.** The rows then no longer sum to 1. Dividing by the new
  sum repairs it.
- **Filling with -1e9 instead of -∞.** It works until scores are as low themselves, gives an empty row equal weights for
  keys that it may not see, and does not fit into float16.
- **Softmax along the wrong axis.** With as many queries as keys all shapes fit, and nothing complains. Ask which
  numbers must sum to 1.

## Read next

- Vaswani et al. (2017), *Attention Is All You Need*: section 3.2.1 with footnote 4 for this lesson, section 3.2.3 for
  the three places where attention is used, and what is masked there.
- Milakov and Gimelshein (2018), *Online normalizer calculation for softmax*: section 3.
- Dao et al. (2022), *FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness*: section 3.1.
- The PyTorch page of `torch.nn.functional.scaled_dot_product_attention`: it shows a plain version in Python. After
  today you can read every line of it.

Lesson 6, *Self-attention*, puts the learned projections in front of your function. Lesson 8, *Multi-head attention*,
runs several of them side by side.
"""
