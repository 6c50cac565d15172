# %% [markdown] lesson=9 title="Layer normalization"
r"""
# 9. Layer normalization

In this lesson you build the two small things that stand around every attention and every feed-forward network of a
transformer: the norm, which brings the numbers of each position back to a known size, and the residual connection,
which lets the input pass by. At the end you have your own `LayerNorm`, which gives the same numbers as PyTorch's
`nn.LayerNorm`, and a `ResidualConnection` that knows both places where a norm can stand.

You need Python and a little PyTorch: means along an axis, broadcasting, and what an `nn.Module` with an
`nn.Parameter` is. No other lesson has to be solved first.

**How to work.** Run the cells from top to bottom. In an exercise, replace each line `raise NotImplementedError(...)`
by your own code and run the cell; the cell below it checks your answer and, if it is wrong, tells you which mistake
it recognises. If you are stuck, write `hint("layer_norm")` in a new cell: every call opens one more of three hints,
and the last one is nearly the answer. `progress()` shows where you stand.
"""

# %%
import math

import torch
from torch import nn

from autograder import check, hint, progress
from workbench import figures

# %% [markdown]
r"""
## Where you are

Every box *add and normalize* in the picture is one `ResidualConnection`. The encoder layer has two of them, the
decoder layer three.
"""

# %% demo
if __name__ == "__main__":
    figures.transformer_map(lit="layer_normalization")

# %% [markdown]
r"""
| exercise | minutes | difficulty | importance | points |
|---|---|---|---|---|
| 1. `layer_norm` | 15 | medium | high: the formula, with its three traps | 3 |
| 2. `LayerNorm` | 10 | easy | high: it stands in every layer | 2 |
| 3. `ResidualConnection` | 10 | easy | high: it decides whether a deep stack can be trained | 3 |
| 4. `RMSNorm` (stretch) | 10 | easy | medium: most recent language models use it | 2 |
"""

# %% [markdown]
r"""
## The idea in words

A deep network is a long chain of functions, and each of them gets what the one before it gives. If one gives numbers
that are ten times too large, the next works far outside of the range in which it has learned anything, its gradients
are off as well, and the error grows from layer to layer. Normalisation cuts this chain: it measures how large the
numbers are at this moment, and divides that out.

**Layer normalisation** (Ba, Kiros and Hinton 2016) does so for each position of each sequence alone. One token's
vector has `embed_dim` features. Their mean is subtracted and the result is divided by their standard deviation, so
that the features of this position have mean 0 and variance 1. No other token and no other sentence of the batch is
looked at. So a token's result does not depend on what else happens to be in the batch, a batch of one is as good as
any other, and training and evaluation are the same. Batch normalisation has none of these three properties.

Mean 0 and variance 1 would be a harsh rule for every layer, so each feature gets two learned numbers, a **weight** to
be multiplied by and a **bias** to be added. They start at 1 and 0, and training moves them to where the next layer
wants its inputs.
"""

# %% [markdown]
r"""
## The formula

For one position with features $x_1, \ldots, x_d$:

$$\mu = \frac{1}{d} \sum_{i=1}^{d} x_i, \qquad
\sigma^2 = \frac{1}{d} \sum_{i=1}^{d} (x_i - \mu)^2, \qquad
y_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \epsilon}} \cdot g_i + b_i$$

| symbol | name | shape |
|---|---|---|
| $x$, $y$ | `x`, the result | `[..., embed_dim]` |
| $d$ | `embed_dim` | a number |
| $\mu$, $\sigma^2$ | mean and variance, one per position | `[..., 1]` |
| $g$, $b$ | `weight`, `bias` | `[embed_dim]`, shared by all positions |
| $\epsilon$ | `eps` | a small number: without it, features that are all equal would give 0 / 0 |

Two details of it are easy to get wrong. The variance is divided by $d$, not by $d - 1$: it describes these $d$
numbers and is no estimate of anything else. And $\epsilon$ is added to the variance, *under* the root.
"""

# %% [markdown]
r"""
## A worked example

One position with four features, 1, 3, 5 and 7; weight 1, bias 0. Take a pencil and follow:

| | | | | | |
|---|---|---|---|---|---|
| features | 1 | 3 | 5 | 7 | mean $16 / 4 = 4$ |
| minus the mean | -3 | -1 | 1 | 3 | |
| squared | 9 | 1 | 1 | 9 | variance $20 / 4 = 5$ |
| divided by $\sqrt 5 = 2.236$ | -1.342 | -0.447 | 0.447 | 1.342 | |

The last row has mean 0 and variance 1. The next cell does the same in plain Python.
"""

# %% demo
if __name__ == "__main__":
    def normalised(features):
        center = sum(features) / len(features)
        spread = sum((feature - center) ** 2 for feature in features) / len(features)
        return [round((feature - center) / math.sqrt(spread), 3) for feature in features]

    print(normalised([1, 3, 5, 7]))

# %% [markdown] predict="other_scale"
r"""
**Predict.** Each feature is multiplied by 10, and then 100 is added: 110, 130, 150, 170. What does the normalisation give?

- [ ] Ten times the numbers of before: -13.42, -4.47, 4.47, 13.42 :: The deviations from the mean are ten times larger, but so is their standard deviation, and one is divided by the other.
- [ ] The numbers of before plus 100 :: The mean rises by 100 as well, and it is subtracted.
- [x] The same as before: -1.342, -0.447, 0.447, 1.342 :: A shift of all features moves the mean along, and a factor multiplies the deviations and their standard deviation alike. What is left is the pattern of the features, not their size.
"""

# %% demo
if __name__ == "__main__":
    print(normalised([110, 130, 150, 170]))

# %% [markdown]
r"""
## Exercise 1: the function
"""

# %% exercise="layer_norm"
def layer_norm(x, weight, bias, eps=1e-5):
    """Return x with each position normalised over its features (Ba, Kiros and Hinton 2016, section 3).

    x       [..., embed_dim]  floating point, any leading axes
    weight  [embed_dim]  factor of each feature, applied after the normalisation
    bias    [embed_dim]  added to each feature at the very end
    eps     number that is added to the variance, under the root

    The result has the shape, dtype and device of x; no argument is changed. The variance is the mean
    of the squared deviations, divided by embed_dim. Features that are all equal give the bias. Features
    whose mean is much larger than their spread (8192 and 1, say) are normalised like others. Gradients
    reach x, weight and bias. Nothing has to be raised.

    nn.LayerNorm, F.layer_norm and PyTorch's other norms may not be used in this exercise.
    """
    ### BEGIN SOLUTION
    mean = x.mean(dim=-1, keepdim=True)  # [..., 1]
    variance = x.var(dim=-1, unbiased=False, keepdim=True)  # [..., 1]
    return (x - mean) / torch.sqrt(variance + eps) * weight + bias
    ### END SOLUTION

# %% [markdown] hint="layer_norm"
r"""
The features of one position are the last axis. You need two numbers per position, and they must still fit against
`x` when you subtract and divide. Which argument of `mean` keeps the axis?
"""

# %% [markdown] hint="layer_norm"
r"""
Look up the arguments of `torch.var`: what does it divide by if you say nothing? With four features the difference is
already visible. And where exactly does eps stand in the formula?
"""

# %% [markdown] hint="layer_norm"
r"""
Mean: `x.mean(dim=-1, keepdim=True)`. Variance: `x.var(...)` with the same two arguments and `unbiased=False`. Subtract
the mean from `x`, divide by `torch.sqrt` of variance plus eps, multiply by the weight, then add the bias.
"""

# %% check="layer_norm" points=3

# %% [markdown]
r"""
The worked example with your function, and beside it a position whose features are all equal:
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        rows = torch.tensor([[1.0, 3.0, 5.0, 7.0], [2.0, 2.0, 2.0, 2.0]])
        weight, bias = torch.ones(4), torch.zeros(4)
        for row in layer_norm(rows, weight, bias):
            print([round(number, 3) for number in row.tolist()])

# %% [markdown]
r"""
## Exercise 2: the module

The function needs weight and bias from somewhere. A module owns them: as `nn.Parameter` they appear in its state
dict, move with it to another device, and are found by the optimizer. Use your function. (If it is not right yet, this
exercise can still earn its points: it is checked with a right one in its place.)
"""

# %% exercise="LayerNorm" uses="layer_norm"
class LayerNorm(nn.Module):
    """Layer normalisation with its parameters (Ba, Kiros and Hinton 2016, section 3).

    embed_dim  number of features of a position
    eps        number that is added to the variance, under the root

    Its state dict holds two parameters, both [embed_dim]: `weight`, which starts at 1, and `bias`, which
    starts at 0.

    forward(x) takes x [..., embed_dim], floating point, with any leading axes, and returns layer_norm of it
    with these parameters: same shape, dtype and device, x unchanged. Training and evaluation mode give the
    same. Nothing has to be raised.

    nn.LayerNorm, F.layer_norm and PyTorch's other norms may not be used in this exercise.
    """

    def __init__(self, embed_dim, eps=1e-5):
        super().__init__()
        ### BEGIN SOLUTION
        self.weight = nn.Parameter(torch.ones(embed_dim))
        self.bias = nn.Parameter(torch.zeros(embed_dim))
        self.eps = eps
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        return layer_norm(x, self.weight, self.bias, self.eps)
        ### END SOLUTION

# %% [markdown] hint="LayerNorm"
r"""
What does the module have to remember from `__init__` until `forward`? Two tensors and one number. Which of them should
training change?
"""

# %% [markdown] hint="LayerNorm"
r"""
A tensor becomes a parameter by `nn.Parameter(...)`, and gets its name in the state dict from the attribute it is
assigned to. `torch.ones` and `torch.zeros` make the start values. A plain number such as eps is just an attribute.
"""

# %% [markdown] hint="LayerNorm"
r"""
In `__init__`: `self.weight` is an `nn.Parameter` of `embed_dim` ones, `self.bias` one of `embed_dim` zeros, and
`self.eps` is eps. In `forward`: call `layer_norm` with `x` and these three, and return what it gives.
"""

# %% check="LayerNorm" points=2

# %% [markdown]
r"""
## The residual connection

The norm never stands alone. Around each **sublayer** (an attention or a feed-forward network) the input takes a second
way, past it, and is added to what comes out: $x + \mathrm{sublayer}(x)$. This is the residual connection of He et al.
(2016). The sublayer then only has to learn what should *change*, and the gradient has a way back through the
addition on which nothing multiplies it.

There are two places for the norm:

| | formula | who does it |
|---|---|---|
| **post-norm** | $\mathrm{norm}(x + \mathrm{sublayer}(x))$ | Vaswani et al. (2017), BERT |
| **pre-norm** | $x + \mathrm{sublayer}(\mathrm{norm}(x))$ | GPT-2 and nearly all models since |

In the post-norm form everything passes through the norm, the residual path too, so after many layers little is left
of the plain way back, and such stacks need a careful warm-up of the learning rate. In the pre-norm form the path of $x$
is untouched from the first layer to the last (Xiong et al. 2020).
"""

# %% [markdown] predict="silent_sublayer"
r"""
**Predict.** The sublayer gives only zeros, as if it had nothing to say. What does the pre-norm form return for x?

- [ ] norm(x) :: In the pre-norm form only the sublayer sees the normalised x. This would be the answer for the post-norm form.
- [x] x itself :: The sublayer adds nothing, and x has passed by untouched. A stack of such layers is the identity, which is a good place to start from.
- [ ] 0 :: The sublayer's zeros are added to x; they do not take its place.
"""

# %% [markdown]
r"""
## Exercise 3: residual connection and norm
"""

# %% exercise="ResidualConnection" uses="LayerNorm"
class ResidualConnection(nn.Module):
    """A residual connection around a sublayer, with a norm (Vaswani et al. 2017, section 3.1; Xiong et al. 2020).

    embed_dim   number of features of a position
    norm_first  True: pre-norm, the sublayer sees the normalised input, and its output is added to the input
                as it came; False: post-norm, the sum of input and output is normalised

    Its state dict holds `norm.weight` and `norm.bias`, both [embed_dim]: one LayerNorm with the eps that it
    has by default. There is no dropout.

    forward(x, sublayer) takes x [batch, time, embed_dim] and a function of one tensor that returns a tensor
    of the same shape. The sublayer is called once, with one tensor. The result has the shape of x, and x is
    not changed. Nothing has to be raised.
    """

    def __init__(self, embed_dim, norm_first):
        super().__init__()
        ### BEGIN SOLUTION
        self.norm = LayerNorm(embed_dim)
        self.norm_first = norm_first
        ### END SOLUTION

    def forward(self, x, sublayer):
        ### BEGIN SOLUTION
        if self.norm_first:
            return x + sublayer(self.norm(x))
        return self.norm(x + sublayer(x))
        ### END SOLUTION

# %% [markdown] hint="ResidualConnection"
r"""
Write both formulas of the table as one line of Python each. `sublayer` is called like any function, and so is a
module.
"""

# %% [markdown] hint="ResidualConnection"
r"""
`__init__` makes one `LayerNorm(embed_dim)` under the name `norm`, and remembers `norm_first`; `forward` asks for
it with `if`. Check in both lines what exactly is added: the input as it came.
"""

# %% [markdown] hint="ResidualConnection"
r"""
If `self.norm_first`: `x` plus the sublayer's answer to `self.norm(x)`. Otherwise: `self.norm` of the whole sum, `x` plus
the sublayer's answer to `x`.
"""

# %% check="ResidualConnection" points=3

# %% [markdown]
r"""
## Stretch: half of it is enough

Zhang and Sennrich (2019) asked which half of layer normalisation does the work, the centring or the scaling, and kept
only the scaling. The mean is not subtracted and there is no bias; what is divided by is the root of the mean square:

$$y_i = \frac{x_i}{\sqrt{\frac{1}{d} \sum_{j=1}^{d} x_j^2 + \epsilon}} \cdot g_i$$

For the features 1, 3, 5, 7 the mean square is $(1 + 9 + 25 + 49) / 4 = 21$, its root 4.583, and the result 0.218,
0.655, 1.091, 1.528: the mean square is now 1, but the mean is not 0.

## Exercise 4: RMSNorm
"""

# %% exercise="RMSNorm"
class RMSNorm(nn.Module):
    """Normalisation by the root of the mean square (Zhang and Sennrich 2019, section 4).

    embed_dim  number of features of a position
    eps        number that is added to the mean square, under the root

    Its state dict holds one parameter: `weight` [embed_dim], which starts at 1.

    forward(x) takes x [..., embed_dim], floating point, with any leading axes. Each position is divided by
    the root of the mean square of its features, and each feature multiplied by its weight. The result has
    the shape, dtype and device of x, and x is not changed. A position of zeros gives zeros. Nothing has to
    be raised.

    nn.RMSNorm, F.rms_norm and PyTorch's other norms may not be used in this exercise.
    """

    def __init__(self, embed_dim, eps=1e-5):
        super().__init__()
        ### BEGIN SOLUTION
        self.weight = nn.Parameter(torch.ones(embed_dim))
        self.eps = eps
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        mean_square = x.pow(2).mean(dim=-1, keepdim=True)  # [..., 1]
        return x / torch.sqrt(mean_square + self.eps) * self.weight
        ### END SOLUTION

# %% [markdown] hint="RMSNorm"
r"""
Read the name backwards: square the features, take the mean of the squares, take the root. It is `layer_norm` with
two things left out and the variance replaced.
"""

# %% [markdown] hint="RMSNorm"
r"""
`x.pow(2)` squares each feature. The mean runs along the last axis, with `keepdim=True`; eps is added before the root.
"""

# %% [markdown] hint="RMSNorm"
r"""
The parameter is made as in `LayerNorm`. In `forward`, divide `x` by `torch.sqrt` of the mean of `x.pow(2)` plus
`self.eps`, and multiply by `self.weight`. Nothing is subtracted and nothing is added.
"""

# %% check="RMSNorm" points=2

# %% [markdown]
r"""
## Summary

- Layer normalisation brings the features of each position to mean 0 and variance 1, then a learned weight and bias
  per feature scale and shift them.
- Mean and variance are computed from the position itself, in training and in evaluation alike. Learned are the
  weight and the bias.
- The residual connection adds the input to the sublayer's output. Post-norm normalises the sum, pre-norm only what
  the sublayer sees.
- RMSNorm leaves out the mean and the bias.

## What people get wrong here

- **"The layer norm keeps mean 0 and variance 1 between attention and feed-forward."** Only until weight and bias
  have their say: after training, the output of the norm has whatever mean and variance was useful. And the norm
  does not stand *between* the two as a layer of its own: each sublayer has one, with its residual connection.
- **Dividing by $d - 1$.** `torch.var` and `torch.std` do so unless told otherwise. With 768 features the variance is
  off by 0.13 % and the result by half of that, and nobody notices; with 4 features the result is off by 13 %.
- **eps outside of the root.** $\sqrt{\sigma^2} + \epsilon$ is nearly the same for ordinary features, but not for
  features that are almost equal, and the gradient of the root at 0 is infinite.
- **The wrong axis.** Layer normalisation looks at one position. A mean over the batch or the sequence lets tokens
  see each other, even the future, past every mask.
- **Pre-norm with the residual taken behind the norm.** $\mathrm{norm}(x) + \mathrm{sublayer}(\mathrm{norm}(x))$ looks
  alike, but the untouched path is gone, and with it the reason for the pre-norm form.
- **Forgetting that a pre-norm stack needs one more norm at its end.** No layer normalises its own output, so
  the last one's goes out as large as it has grown (lesson 1, *Encoder*).

## Read next

- Ba, Kiros and Hinton (2016), *Layer Normalization*: section 3, and section 5 for what it is invariant to.
- Xiong et al. (2020), *On Layer Normalization in the Transformer Architecture*: figure 1 shows both forms side by
  side.
- Zhang and Sennrich (2019), *Root Mean Square Layer Normalization*: section 3 on re-centring, section 4 for RMSNorm.
- Vaswani et al. (2017), *Attention Is All You Need*: section 3.1, the sentence on residual connections.

Lesson 1, *Encoder*, puts two of your residual connections into a layer.
"""
