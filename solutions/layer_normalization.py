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
it recognises. If you are stuck, write `hint("layer_norm")` in a new cell: each new one opens one more of three hints,
and the last one is nearly the answer. `progress()` shows where you stand. A long
cell that only draws is folded; a click on its three dots opens it.
"""

# %%
import math

import torch
import torch.nn.functional as F
from torch import nn

from autograder import check, hint, progress
from workbench import figures, widgets
from workbench.broken.layer_normalization import broken_layer_norm
from workbench.parts import FeedForward, MultiHeadAttention
from workbench.training import train

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
| 4. `norm_bug_input`: find the bug | 10 | medium | medium: right on paper, wrong in float32 | 1 |
| Question: where do norms stand? | 5 | medium | high | 3 |
| 5. `RMSNorm` (stretch) | 10 | easy | medium: many recent language models use it | 2 |

With reading and experiments the lesson takes about 80 minutes, or 65 without the stretch exercise.
"""

# %% [markdown]
r"""
## The idea in words

A deep network is a long chain of functions, and each of them gets what the one before it gives. If one gives numbers
that are ten times too large, the next works far outside of the range in which it has learned anything, its gradients
are off as well, and the error grows from layer to layer. Normalisation cuts this chain: it measures how large the
numbers are at this moment, and divides that out.

**Layer normalisation** (Ba, Kiros and Hinton 2016; the *norm* for short) does so for each position of each sequence alone. One token's
vector has `embed_dim` features. Their mean is subtracted and the result is divided by their standard deviation, so
that the features of this position have mean 0 and variance 1. No other token and no other sentence of the batch is
looked at. So a token's result does not depend on what else happens to be in the batch, a batch of one is as good as
any other, and training and evaluation are the same. Batch normalisation, which measures each feature over the whole
batch, has none of these three properties.

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

The last row has mean 0 and variance 1. The next cell does the same in plain Python, without $\epsilon$, which is so
small that it would not show here.
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

Three traps are waiting: the axis, the divisor of the variance, and the place of $\epsilon$. The formula above tells all
three.
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
Take this vector into your hand. Shift it and stretch it as you like: what does your norm leave of that? Then move the last
feature alone, far away from the others: what happens to those that have not moved?
"""

# %% demo
if __name__ == "__main__":

    def before_and_after(shift, stretch, last_feature):
        x = shift + stretch * torch.tensor([1.0, 3.0, 5.0, last_feature])
        y = layer_norm(x, torch.ones(4), torch.zeros(4))
        names = ["first", "second", "third", "last"]
        return f"Mean {x.mean():.1f} and standard deviation {x.std(correction=0):.1f} before the norm.", [
            widgets.Bars("before", names, {"feature": x}, span=(-40.0, 40.0)),
            widgets.Bars("after your layer_norm", names, {"feature": y}, span=(-2.0, 2.0)),
        ]

    with figures.once_solved():
        widgets.dials(
            before_and_after, shift=(-10.0, 10.0, 0.0), stretch=(0.0, 3.0, 1.0), last_feature=(-10.0, 10.0, 7.0)
        ).show()

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
    with these parameters: same shape, dtype and device, x unchanged. Gradients reach x and the parameters.
    Training and evaluation mode give the same. Nothing has to be raised.

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

# %% [markdown] predict="other_sentence"
r"""
**Predict.** A batch holds two sentences. Every number of the *second* one is multiplied by 100. What happens to the first
sentence behind the norm?

- [x] Nothing :: Mean and variance are those of one position. What the other positions hold, in this sentence or in another one, is not looked at.
- [ ] Its numbers become smaller, because the variance of the batch has grown :: This is what batch normalisation does in training. Layer normalisation measures each position alone.
- [ ] Nothing in training, but in evaluation the running averages have changed :: There are no running averages here: training and evaluation compute the same. Batch normalisation has them.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(9)
        sentences = torch.randn(2, 5, 8)  # [batch, time, features]
        louder = sentences * torch.tensor([1.0, 100.0]).reshape(2, 1, 1)
        layer, batch = LayerNorm(8), nn.BatchNorm1d(8)  # the second one wants [batch, features, time]
        for name, norm in (("LayerNorm", layer), ("BatchNorm1d", lambda x: batch(x.transpose(1, 2)).transpose(1, 2))):
            same = torch.allclose(norm(sentences)[0], norm(louder)[0], atol=1e-5)
            print(f"{name}: the first sentence is", "the same" if same else "another")

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
| **pre-norm** | $x + \mathrm{sublayer}(\mathrm{norm}(x))$ | GPT-2 and most large language models since |

In the post-norm form everything passes through the norm, the residual path too, so after many layers little is left
of the plain way back, and such stacks need a careful **warm-up**: the learning rate starts at 0 and rises over the
first steps. In the pre-norm form the path of $x$ is untouched from the first layer to the last (Xiong et al. 2020).
"""

# %% [markdown] predict="silent_sublayer"
r"""
**Predict.** The sublayer gives only zeros, as if it had nothing to say. What does the pre-norm form return for x?

- [ ] norm(x) :: In the pre-norm form only the sublayer sees the normalised x. This would be the answer for the post-norm form.
- [x] x itself :: The sublayer adds nothing, and x has passed by untouched. A stack of such layers is the identity, which is a good place to start from.
- [ ] 0 :: The sublayer's zeros are added to x; they do not take its place.
"""

# %% demo
if __name__ == "__main__":

    def silent(features):
        return [0 for _ in features]

    def added(features, others):
        return [feature + other for feature, other in zip(features, others, strict=True)]

    x = [1, 3, 5, 7]
    print("post-norm:", normalised(added(x, silent(x))))
    print("pre-norm: ", added(x, silent(normalised(x))))

# %% [markdown]
r"""
## Exercise 3: residual connection and norm

Two lines of Python, and the order of three words in each of them decides whether a deep stack can be trained: the
experiment below will show it.
"""


# %% exercise="ResidualConnection" uses="LayerNorm"
class ResidualConnection(nn.Module):
    """A residual connection around a sublayer, with a norm (Vaswani et al. 2017, section 3.1; Xiong et al. 2020).

    embed_dim   number of features of a position
    norm_first  True: pre-norm, the sublayer sees the normalised input, and its output is added to the input
                as it came; False: post-norm, the sum of input and output is normalised

    Its state dict holds `norm.weight` and `norm.bias`, both [embed_dim]: one LayerNorm with the eps and the
    starting values that it has by default. There is no dropout.

    forward(x, sublayer) takes x [batch, time, embed_dim] and a function of one tensor that returns a tensor
    of the same shape. The sublayer is called once, with one tensor. The result has the shape of x, and x is
    not changed. Gradients reach x on both paths, and the norm. Nothing has to be raised.
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
## Experiment: how deep can you go?

Here is a stack of encoder layers, each with attention and a feed-forward network (closed boxes, which lessons 8 and 1
open). Around each of these sublayers stands a residual connection: yours with `norm_first` True or False, or one
without any norm, $x + \mathrm{sublayer}(x)$. The pre-norm stack has one more norm at its end. All weights are drawn so that
a linear layer keeps the size of what it gets.
"""

# %% demo
if __name__ == "__main__":
    TOKENS, TIME, WIDTH = 11, 8, 32

    class Stack(nn.Module):
        """Encoder layers with embeddings in front and a linear layer behind, in one of three forms."""

        def __init__(self, form, layers, seed=0):
            super().__init__()
            self.form = form
            self.token, self.position = nn.Embedding(TOKENS, WIDTH), nn.Embedding(TIME, WIDTH)
            self.layers = nn.ModuleList(
                nn.ModuleList([MultiHeadAttention(WIDTH, 4), FeedForward(WIDTH, 2 * WIDTH)]) for _ in range(layers)
            )
            self.residuals = nn.ModuleList(
                ResidualConnection(WIDTH, norm_first=form == "pre-norm") for _ in range(2 * layers)
            )
            self.final_norm = LayerNorm(WIDTH) if form == "pre-norm" else nn.Identity()
            self.answer = nn.Linear(WIDTH, TOKENS)
            numbers = torch.Generator().manual_seed(seed)
            with torch.no_grad():
                for name, parameter in sorted(self.named_parameters()):
                    if parameter.dim() == 2:
                        embedding = name in ("token.weight", "position.weight")
                        parameter.normal_(std=1.0 if embedding else parameter.shape[1] ** -0.5, generator=numbers)
                    elif name.endswith("bias"):
                        parameter.zero_()

        def forward(self, tokens):
            x = self.token(tokens) + self.position.weight  # [batch, time, features]
            residuals, self.sizes = iter(self.residuals), []
            for attention, feed_forward in self.layers:
                for sublayer in (lambda x, attend=attention: attend(x, x, x)[0], feed_forward):
                    residual = next(residuals)
                    x = x + sublayer(x) if self.form == "no norm" else residual(x, sublayer)
                self.sizes.append(x.square().mean().sqrt().item())
            return self.answer(self.final_norm(x))

    def loss(stack, tokens):
        return F.cross_entropy(stack(tokens).flatten(0, 1), tokens.flip(1).flatten())

    def sequences(seed=9):
        numbers = torch.Generator().manual_seed(seed)
        while True:
            yield (torch.randint(TOKENS, (32, TIME), generator=numbers),)


# %% [markdown]
r"""
The first look is at 24 layers that have learned nothing yet. Two numbers are measured for each layer: the **size** of
the numbers that leave it (the root of their mean square), and the **gradient norm** of the first matrix of its feed-forward
network, that is, how strongly the loss pulls at this layer. All are (geometric) means over five starts.
"""

# %% [markdown] predict="no_norm"
r"""
**Predict.** In the stack without norms, each of the 48 sublayers adds something whose size is in proportion to what it gets. How large
are the numbers that leave the stack, if those that enter are near 1?

- [ ] Near 1 :: Each addition makes them larger, and nothing makes them smaller again. This is what post-norm sees to.
- [ ] Near 7, the root of 48 :: This would be so if each sublayer added numbers near 1. But it gets what has grown already, and adds as much again. (In the pre-norm stack each sublayer gets numbers near 1: there the guess is good.)
- [x] Many thousands at least :: Each sublayer multiplies the size by some factor, and factors multiply: if it is only 1.3, 48 of them make 300 000.
"""

# %% demo trained
if __name__ == "__main__":
    FORMS = ("post-norm", "pre-norm", "no norm")
    torch.set_num_threads(1)  # with tensors this small, two threads spend their time waiting for each other

    def measured(form, layers=24, starts=5):
        logarithms = []
        for seed in range(starts):
            stack = Stack(form, layers, seed)
            loss(stack, *next(sequences())).backward()
            pulls = [feed_forward.up_proj.weight.grad.norm().item() for _, feed_forward in stack.layers]
            logarithms.append(torch.tensor([stack.sizes, pulls], dtype=torch.float64).log())
        return torch.stack(logarithms).mean(dim=0).exp().tolist()

    with figures.once_solved():
        sizes, pulls = zip(*(measured(form) for form in FORMS), strict=True)
        for form, size, pull in zip(FORMS, sizes, pulls, strict=True):
            first = f"{pull[0]:.1g}" if pull[0] < 1e8 else "over 1e+08"  # how far over, rounding decides
            print(
                f"{form:9}: size {size[-1]:.0g} behind layer 24, gradient norm {first} in layer 1, "
                f"{pull[-1]:.1g} in layer 24"
            )
        figures.lines(
            list(range(1, 25)),
            xlabel="layer",
            panels=[
                figures.Panel(
                    "Size behind each layer", "root mean square", dict(zip(FORMS, sizes, strict=True)), log=True
                ),
                figures.Panel("Gradient norm in each layer", "norm", dict(zip(FORMS, pulls, strict=True)), log=True),
                figures.Panel("The same, closer", "norm", dict(zip(FORMS[:2], pulls[:2], strict=True))),
            ],
        ).told(
            "Size and gradient norm in each of 24 layers: without norms both explode; in the post-norm form the size "
            "stays 1 and the gradient rises towards the last layer; in the pre-norm form the size grows slowly and "
            "the gradient falls."
        ).show()

# %% [markdown]
r"""
What to see: without norms each layer makes the numbers larger by the same factor, which is a straight line on this
axis, up to 400 000 behind layer 24, and the gradients are about a million in the last layers and billions in the first.
Post-norm brings every position back to size 1 behind each sublayer. Pre-norm lets the numbers on the residual path
grow, but slowly, to 5, since each sublayer gets numbers near 1 and adds numbers near 1.

Both norms keep the gradients in bounds, and the third panel shows how they differ. In the post-norm stack the gradient
rises, and the last layers are pulled hardest. In the pre-norm stack it falls to about half: the larger the sum has grown,
the less it matters what a layer adds to it. Xiong et al. (2020, section 3.3) derive this for the last layer: in
post-norm its gradient is as large in a deep stack as in a shallow one, in pre-norm it shrinks with the root of the depth.

Does it matter? The next cell trains stacks of 2 and of 12 layers to reverse a sequence of 8 tokens, at the full learning rate
from the first step on.
"""

# %% demo trained
if __name__ == "__main__":
    STEPS = 150
    with figures.once_solved():
        panels = []
        for layers in (2, 12):
            losses = {
                form: torch.tensor(
                    train(
                        Stack(form, layers),
                        sequences(),
                        loss,
                        STEPS,
                        learning_rate=2e-3,
                        warmup=0,
                        title=f"{layers} layers, {form}",
                    ).losses
                )
                for form in ("post-norm", "pre-norm")
            }
            # Each point is the mean of ten steps, as single steps jump.
            means = {form: of_steps.reshape(-1, 10).mean(dim=1).tolist() for form, of_steps in losses.items()}
            panels.append(
                figures.Panel(f"{layers} layers", "loss in nats", means, bound=("guessing", math.log(TOKENS)))
            )
        figures.lines(list(range(10, STEPS + 1, 10)), xlabel="step", panels=panels).told(
            "Loss in training: with 2 layers both forms learn; with 12 layers pre-norm learns and post-norm hardly "
            "does."
        ).show()

# %% [markdown]
r"""
What to see: with 2 layers the two forms learn alike. With 12 layers the pre-norm stack still learns, and the post-norm stack
stays close to guessing.

This does not show that post-norm cannot be trained: Vaswani et al. (2017, section 5.3) trained 6 layers of it, and
BERT has up to 24, both with thousands of steps of warm-up. It is also only one task at one learning rate. What do a smaller `learning_rate`, `warmup=0.3` and more `STEPS` change? Try it.
"""

# %% [markdown]
r"""
## Exercise 4: find the bug

Somebody else has written the function with another formula for the variance, for which x has to be read only once: the
mean of the squares minus the square of the mean. On paper both formulas are equal. Read it.
"""

# %% demo
if __name__ == "__main__":
    figures.source(broken_layer_norm)

# %% [markdown]
r"""
It has been tried on the usual inputs:
"""

# %% demo
if __name__ == "__main__":

    def compare(name, x, eps=1e-5):
        weight, bias = torch.linspace(-1, 1, x.shape[-1]), torch.linspace(0, 1, x.shape[-1])
        right, wrong = (norm(x, weight, bias, eps) for norm in (layer_norm, broken_layer_norm))
        print(f"{name}:", "same output" if torch.allclose(right, wrong, atol=1e-3) else "DIFFERENT output")

    with figures.once_solved():
        torch.manual_seed(9)
        x = torch.randn(3, 5, 16)
        compare("ordinary numbers", x)
        compare("one axis, another eps", x[0, 0], eps=0.5)
        compare("numbers in the thousands, of both signs", 1000 * x)
        compare("numbers near 0", x / 1000)
        compare("features that are all equal", torch.full((3, 4), 2.0))

# %% [markdown]
r"""
And still it is wrong for some inputs. Supply one. A good way to work: choose two numbers, compute their variance by
hand, once by each formula, and write down how large the numbers on the way are. For which choice are they much larger than
the result?
"""


# %% exercise="norm_bug_input"
def norm_bug_input():
    """Return x for which broken_layer_norm gives a wrong output.

    x  [..., embed_dim]  float32, one axis or more

    Every size is from 1 to 100, there are at most 100 000 numbers, and none is beyond 1 000 000 in either
    direction. weight is 1, bias is 0, and eps is 1e-5. The input counts if the output is off by more than
    0.1 somewhere. Right is what torch.nn.functional.layer_norm gives for the same numbers in float64.
    """
    ### BEGIN SOLUTION
    # The bug: mean of squares and square of the mean are near 10 ** 8 here, where the numbers that float32 holds lie 8
    # apart. Their difference should be 1, and what rounding leaves of it is anything.
    return torch.tensor([10_000.0, 10_002.0])
    ### END SOLUTION


# %% [markdown] hint="norm_bug_input"
r"""
The formula is right on paper, for any numbers. So the bug is in what float32 makes of it. It holds about seven digits
of a number, however large that is.
"""

# %% [markdown] hint="norm_bug_input"
r"""
Two numbers that are nearly equal are subtracted: the mean of the squares and the square of the mean. When are these
two large, and their difference small? The tried inputs were spread around 0, so that the mean was small.
"""

# %% [markdown] hint="norm_bug_input"
r"""
The features of a position need a mean that is large, and differences that are small: 10 000 and 10 002. The mean of their squares is
100 020 002 and the square of their mean 100 020 001; float32 can hold neither. Return them as a float32 tensor.
"""

# %% check="norm_bug_input" points=1

# %% [markdown]
r"""
## Question: where do norms stand?
"""

# %% [markdown] question="where_norms_stand" points=3
r"""
In notes on transformers you may read: "We add layer normalization between multi-head attention and feed forward, to maintain
zero mean and unit variance." Put this right, in four to six sentences:

1. Over what is normalised? And why do the numbers behind a trained norm usually *not* have mean 0 and variance 1?
2. Where exactly does the norm stand in the post-norm and in the pre-norm form, and what does the residual path do in
   each?
3. What does the experiment show of the gradient norm by depth in the two forms, and what would you expect of a deep
   post-norm stack that is trained without warm-up?

### BEGIN SOLUTION
**Sample answer.** Each position of each sequence is normalised by itself, over its features, not over the batch or the sequence.
Its features then have mean 0 and variance 1, but they are multiplied by a learned weight and shifted by a learned bias, one
per feature, so what leaves the norm has whatever mean and variance training found useful. The norm is not a layer between
attention and feed-forward: every sublayer has one of its own, together with its residual connection. Post-norm is
norm(x + sublayer(x)), so that the residual path runs through every norm; pre-norm is x + sublayer(norm(x)), where it runs
from the first layer to the last untouched. In the experiment the gradient norm of the post-norm stack rises towards the
last layers, and in the pre-norm stack it falls gently, as the numbers on the residual path grow. A deep post-norm stack that
starts at the full learning rate gets too large steps in its last layers, and hardly learns.

**Rubric.** One point each:
1. per position over the features *and* the learned weight and bias; half a point for one of the two;
2. both forms right, and the residual path through the norm or past it;
3. the two directions of the gradient norm *or* the failing of the 12-layer post-norm stack, with a sensible conclusion (smaller steps
   at first, warm-up).
### END SOLUTION
"""

# %% [markdown]
r"""
## Stretch: half of it is enough

Zhang and Sennrich (2019) asked which half of layer normalisation does the work, the centring or the scaling, and kept
only the scaling. The mean is not subtracted and there is no bias; what is divided by is the root of the mean square:

$$y_i = \frac{x_i}{\sqrt{\frac{1}{d} \sum_{j=1}^{d} x_j^2 + \epsilon}} \cdot g_i$$

For the features 1, 3, 5, 7 the mean square is $(1 + 9 + 25 + 49) / 4 = 21$, its root 4.583, and the result 0.218,
0.655, 1.091, 1.528: the mean square is now 1, but the mean is not 0. In plain Python:
"""

# %% demo
if __name__ == "__main__":
    features = [1, 3, 5, 7]
    mean_square = sum(feature**2 for feature in features) / len(features)
    print(mean_square, [round(feature / math.sqrt(mean_square), 3) for feature in features])

# %% [markdown]
r"""
There is less to compute and less to learn, and in the experiments of Zhang and Sennrich the models were about as good. T5
(Raffel et al. 2020, section 2.1) and LLaMA (Touvron et al. 2023, section 2.2) use it.

## Exercise 5: RMSNorm
"""


# %% exercise="RMSNorm"
class RMSNorm(nn.Module):
    """Normalisation by the root of the mean square (Zhang and Sennrich 2019, section 4).

    embed_dim  number of features of a position
    eps        number that is added to the mean square, under the root

    Its state dict holds one parameter: `weight` [embed_dim], which starts at 1.

    forward(x) takes x [..., embed_dim], floating point, with any leading axes. Each position is divided by
    the root of the mean square of its features, and each feature multiplied by its weight. The result has
    the shape, dtype and device of x, and x is not changed. A position of zeros gives zeros. Gradients reach
    x and the weight. Nothing has to be raised.

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
- Without any norm the numbers and gradients of a deep stack explode. With norms they stay in bounds; in the post-norm form
  the last layers get the largest gradients, in the pre-norm form the smallest.
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
- **The mean of the squares minus the square of the mean.** It is the variance on paper. In float32 it loses its digits when
  the mean is large and the spread small.
- **Forgetting that a pre-norm stack needs one more norm at its end.** No layer normalises its own output, so
  the last one's goes out as large as it has grown (lesson 1, *Encoder*).

## Read next

- Ba, Kiros and Hinton (2016), *Layer Normalization*: section 3, and section 5 for what it is invariant to.
- Xiong et al. (2020), *On Layer Normalization in the Transformer Architecture*: figure 1 shows both forms side by
  side; section 3 is about gradients at the start and about warm-up.
- Zhang and Sennrich (2019), *Root Mean Square Layer Normalization*: section 3 on re-centring, section 4 for RMSNorm.
- Vaswani et al. (2017), *Attention Is All You Need*: section 3.1, the sentence on residual connections, and section 5.3,
  the warm-up.
- He et al. (2016), *Deep Residual Learning for Image Recognition*: section 3.1.

Lesson 1, *Encoder*, puts two of your residual connections into a layer, and lesson 2, *Decoder*, three. What stands inside
of them is opened by lesson 8, *Multi-head attention*, and lesson 1.
"""
