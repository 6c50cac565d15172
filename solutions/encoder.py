# %% [markdown] lesson=1 title="Encoder"
r"""
# 1. Encoder

In this lesson you build the encoder of the transformer: a feed-forward network, a layer that puts it behind
self-attention, and a stack of such layers. At the end your `EncoderLayer` gives the same numbers as
`nn.TransformerEncoderLayer`, in its post-norm and in its pre-norm form.

You need Python, and a little PyTorch: how a class that inherits from `nn.Module` is written, and `nn.Linear`. No
other lesson has to be solved first. Multi-head attention is a closed box here, which lesson 8 opens.

**How to work.** Run the cells from top to bottom. In an exercise, replace each line `raise NotImplementedError(...)`
by your own code and run the cell; the cell below it checks your answer and, if it is wrong, tells you which mistake
it recognises. If you are stuck, write `hint("FeedForward")` in a new cell: every call opens one more of three hints,
and the last one is nearly the answer. `progress()` shows where you stand.
"""

# %%
import torch
import torch.nn.functional as F
from torch import nn

from autograder import check, hint, progress
from workbench import figures
from workbench.parts import MultiHeadAttention

# %% [markdown]
r"""
## Where you are

The left half of the transformer of Vaswani et al. (2017). One encoder layer is everything in the box marked N ×.
"""

# %% demo
if __name__ == "__main__":
    figures.transformer_map(lit="encoder")

# %% [markdown]
r"""
| exercise | minutes | difficulty | importance | points |
|---|---|---|---|---|
| 1. `FeedForward` | 10 | easy | high: most parameters of a transformer are here | 2 |
| 2. `EncoderLayer` | 20 | medium | high: the decoder's layer is a variation of it | 4 |
| 3. `Encoder` | 10 | easy | high: BERT is this, with embeddings in front | 3 |
| 4. `GatedFeedForward` (stretch) | 10 | easy | medium: what most language models use today | 2 |
"""

# %% [markdown]
r"""
## The idea in words

An encoder gets one vector per token and returns one vector per token. What goes in knows only its own token and its
place; what comes out describes the token *in this sentence*. Between them the same two steps are done again and
again:

1. **Look around.** Self-attention lets each position gather from all others what is of use to it. It is the only
   step in which anything passes from one position to another.
2. **Think alone.** A feed-forward network works on each position by itself, with the same weights everywhere.

Both steps only *change* the vector that they get: their result is added to it. The path of these additions, from the
first layer straight to the last, is called the **residual path**; along it information and gradients travel through
many layers unharmed. Layer normalization keeps the size of the numbers in bounds. It can stand in two places, and
that is the difference between the two forms of the layer below.
"""

# %% [markdown]
r"""
## The formulas

The feed-forward network is equation 2 of Vaswani et al. (2017, section 3.3), here with any activation $f$:

$$\mathrm{FeedForward}(x) = W_\text{down} \, f(W_\text{up} \, x + b_\text{up}) + b_\text{down}$$

With $S$ for a sublayer, which is first self-attention and then the feed-forward network, each half of an encoder
layer is one of these two lines:

$$\text{post-norm:} \quad x \leftarrow \mathrm{LayerNorm}(x + S(x)) \qquad\qquad
\text{pre-norm:} \quad x \leftarrow x + S(\mathrm{LayerNorm}(x))$$

Post-norm is the paper's form (section 3.1). Pre-norm (Xiong et al. 2020) leaves the residual path free of norms: it
trains deep stacks more easily, and needs one more norm behind the last layer, since nothing has normalised the sum.

| name | shape |
|---|---|
| `x` | `[batch, time, embed_dim]` |
| hidden numbers of the feed-forward network | `[batch, time, ff_dim]`, in the paper four times as many as `embed_dim` |
| `mask` | `[time, time]`, `[batch, 1, time]` or `[batch, time, time]`, True = may attend |
| `weights` | `[batch, heads, time, time]` |
"""

# %% [markdown]
r"""
## A worked example

One token whose vector is $(1, 3)$, in the post-norm form. Suppose that attention returns $(2, -2)$ for it.

- Add: $(1, 3) + (2, -2) = (3, 1)$.
- Normalise: the mean is 2 and the standard deviation 1, which gives $(1, -1)$.
- Feed-forward: say that $W_\text{up}$ has the rows $(1, 0)$, $(0, 1)$, $(1, 1)$. The three hidden numbers are
  $1, -1, 0$, and ReLU leaves $1, 0, 0$. If $W_\text{down}$ has the rows $(2, 1, 1)$ and $(0, 3, 1)$, the result is
  $(2, 0)$.
- Add: $(1, -1) + (2, 0) = (3, -1)$. Normalise: the mean is 1, the standard deviation 2, which gives $(1, -1)$ again.

Without ReLU the feed-forward network would have returned $(1, -3)$: hidden numbers below 0 are where it differs from a
single linear layer. The next cell repeats the second half.
"""

# %% demo
if __name__ == "__main__":
    x = torch.tensor([1.0, -1.0])
    up, down = torch.tensor([[1.0, 0], [0, 1], [1, 1]]), torch.tensor([[2.0, 1, 1], [0, 3, 1]])
    print("with ReLU   ", down @ torch.relu(up @ x))
    print("without     ", down @ (up @ x))
    print("normalised  ", F.layer_norm(x + down @ torch.relu(up @ x), (2,)))

# %% [markdown]
r"""
## Exercise 1: the feed-forward network
"""

# %% exercise="FeedForward"
class FeedForward(nn.Module):
    """Two linear layers with an activation between them, for each position alone (Vaswani et al. 2017, section 3.3).

    embed_dim   features of each position
    ff_dim      how many hidden numbers each position gets
    dropout     probability with which a hidden number is dropped, after the activation, in training only
    activation  function of a tensor, acts on each number: F.relu, F.gelu

    The layers are up_proj and down_proj, both nn.Linear with bias.
    """

    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.relu):
        super().__init__()
        ### BEGIN SOLUTION
        self.up_proj = nn.Linear(embed_dim, ff_dim)
        self.down_proj = nn.Linear(ff_dim, embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.activation = activation
        ### END SOLUTION

    def forward(self, x):
        """Return a tensor like x; x is not changed.

        x  [..., embed_dim]  floating point: one vector per position
        """
        ### BEGIN SOLUTION
        hidden = self.activation(self.up_proj(x))  # [..., ff_dim]
        return self.down_proj(self.dropout(hidden))
        ### END SOLUTION

# %% [markdown] hint="FeedForward"
r"""
"For each position alone" needs no loop. What does `nn.Linear` do with the axes in front of the last one?
"""

# %% [markdown] hint="FeedForward"
r"""
Make four things in `__init__`: a linear layer from `embed_dim` to `ff_dim`, one back, an `nn.Dropout`, and a note of
which activation was asked for. `nn.Dropout` does nothing in evaluation mode, so you need not look at the mode yourself.
"""

# %% [markdown] hint="FeedForward"
r"""
In `forward`, apply `self.up_proj`, then `self.activation`, then `self.dropout`, then `self.down_proj`, and return what
comes out. There is no activation at the end, no residual and no norm: those belong to the layer around it.
"""

# %% check="FeedForward" points=2

# %% [markdown]
r"""
## Exercise 2: one layer

`MultiHeadAttention(embed_dim, num_heads, dropout)` is ready for you. It is called with query, key, value and a mask,
and returns a pair: the output, and the weights of each head. In *self*-attention, query, key and value are the same
tensor.
"""

# %% [markdown] predict="silent_sublayers"
r"""
**Predict.** In a pre-norm layer, the last projection of both sublayers holds only zeros, weights and biases. What
does the layer return for `x`?

- [ ] Zeros :: Both sublayers return zeros. But their output is added to their input, and the input is still there.
- [ ] `x`, normalised :: That is what a post-norm layer returns. In the pre-norm form the norm stands in front of the sublayers only, not on the residual path.
- [x] `x` itself :: Each half computes x + 0. A new pre-norm layer can begin as a layer that does nothing, and learn which changes are useful.
"""

# %% exercise="EncoderLayer" uses="FeedForward"
class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each with residual and norm (Vaswani et al. 2017, section 3.1).

    embed_dim   features of each position
    num_heads   heads of the attention; they divide embed_dim
    ff_dim      hidden numbers of the feed-forward network
    dropout     probability of dropout, in training only: on the attention's weights, inside the feed-forward
                network, and on the output of each sublayer before it is added
    norm_first  False: post-norm, norm(x + sublayer(x)); True: pre-norm, x + sublayer(norm(x))
    activation  that of the feed-forward network

    The parts are self_attention (MultiHeadAttention), feed_forward (FeedForward), norm1 and norm2
    (nn.LayerNorm): norm1 belongs to self_attention, norm2 to feed_forward.
    """

    def __init__(self, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu):
        super().__init__()
        ### BEGIN SOLUTION
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
        self.feed_forward = FeedForward(embed_dim, ff_dim, dropout, activation)
        self.norm1 = nn.LayerNorm(embed_dim)
        self.norm2 = nn.LayerNorm(embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first
        ### END SOLUTION

    def forward(self, x, mask=None):
        """Return (x, weights): x [batch, time, embed_dim] after the layer, weights [batch, heads, time, time].

        x     [batch, time, embed_dim]  floating point
        mask  boolean [time, time], [batch, 1, time] or [batch, time, time], True where a query may
              attend to a key; None: everywhere

        The weights are those that self_attention returns. The arguments are not changed.
        """
        ### BEGIN SOLUTION
        if self.norm_first:
            normed = self.norm1(x)
            attended, weights = self.self_attention(normed, normed, normed, mask)
            x = x + self.dropout(attended)
            x = x + self.dropout(self.feed_forward(self.norm2(x)))
        else:
            attended, weights = self.self_attention(x, x, x, mask)
            x = self.norm1(x + self.dropout(attended))
            x = self.norm2(x + self.dropout(self.feed_forward(x)))
        return x, weights
        ### END SOLUTION

# %% [markdown] hint="EncoderLayer"
r"""
Write the post-norm form first: two lines of the form `x = norm(x + sublayer(x))`. The attention returns a pair, so
its line becomes two. What the second sublayer works on is the result of the first.
"""

# %% [markdown] hint="EncoderLayer"
r"""
In the pre-norm form the sublayer gets `self.norm1(x)`, and as query, key *and* value. What is added is still the plain
`x`: keep it. `self.dropout` wraps the output of a sublayer, just before the addition, in both forms.
"""

# %% [markdown] hint="EncoderLayer"
r"""
Post-norm: attended, weights = self_attention(x, x, x, mask); x = norm1(x + dropout(attended)); x = norm2(x +
dropout(feed_forward(x))). Pre-norm: normed = norm1(x); attended, weights = self_attention(normed, normed, normed,
mask); x = x + dropout(attended); x = x + dropout(feed_forward(norm2(x))). Return x and weights.
"""

# %% check="EncoderLayer" points=4

# %% [markdown]
r"""
The prediction from above, with your layer:
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(1)
        x = torch.randn(1, 3, 4)
        for norm_first in (True, False):
            layer = EncoderLayer(embed_dim=4, num_heads=2, ff_dim=8, norm_first=norm_first)
            for projection in (layer.self_attention.out_proj, layer.feed_forward.down_proj):
                nn.init.zeros_(projection.weight)
                nn.init.zeros_(projection.bias)
            same = torch.equal(layer(x)[0], x)
            print("pre-norm: " if norm_first else "post-norm:", "x itself" if same else "something else")

# %% [markdown]
r"""
## Exercise 3: the stack
"""

# %% [markdown] predict="layers_times_three"
r"""
**Predict.** `nn.ModuleList([EncoderLayer(...)] * 3)` has three layers. How many parameters has it, compared with one layer?

- [ ] Three times as many :: `[layer] * 3` is a list that names the *same* layer three times. No second layer is ever made.
- [x] As many as one layer :: The three entries are one object. All three share their weights, and each training step changes them for all three.
- [ ] None, because a list hides them :: A plain Python list would hide them from PyTorch. `nn.ModuleList` makes them known.
"""

# %% demo
if __name__ == "__main__":
    def count(module):
        return sum(parameter.numel() for parameter in module.parameters())

    one = nn.Linear(4, 4)
    print("one layer              ", count(one))
    print("[layer] * 3            ", count(nn.ModuleList([one] * 3)))
    print("three layers in a loop ", count(nn.ModuleList(nn.Linear(4, 4) for _ in range(3))))

# %% exercise="Encoder" uses="EncoderLayer"
class Encoder(nn.Module):
    """A stack of encoder layers, each on the output of the one before (Vaswani et al. 2017, section 3.1).

    num_layers  how many layers, each with weights of its own
    embed_dim, num_heads, ff_dim, dropout, norm_first, activation  those of each EncoderLayer

    The parts are layers (nn.ModuleList) and, only if norm_first, final_norm (nn.LayerNorm), which comes
    behind the last layer.
    """

    def __init__(self, num_layers, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu):
        super().__init__()
        ### BEGIN SOLUTION
        self.layers = nn.ModuleList([
            EncoderLayer(embed_dim, num_heads, ff_dim, dropout, norm_first, activation) for _ in range(num_layers)
        ])
        self.norm_first = norm_first
        if norm_first:
            self.final_norm = nn.LayerNorm(embed_dim)
        ### END SOLUTION

    def forward(self, x, mask=None):
        """Return (x, weights): x [batch, time, embed_dim], weights a list of [batch, heads, time, time] per layer.

        x     [batch, time, embed_dim]  floating point
        mask  boolean [time, time], [batch, 1, time] or [batch, time, time], True where a query may
              attend to a key, the same for every layer; None: everywhere

        The arguments are not changed.
        """
        ### BEGIN SOLUTION
        all_weights = []
        for layer in self.layers:
            x, weights = layer(x, mask)
            all_weights.append(weights)
        if self.norm_first:
            x = self.final_norm(x)
        return x, all_weights
        ### END SOLUTION

# %% [markdown] hint="Encoder"
r"""
How do you get `num_layers` layers that are not one and the same? And what must hold them, so that PyTorch finds their
parameters?
"""

# %% [markdown] hint="Encoder"
r"""
A list comprehension inside `nn.ModuleList([...])` calls `EncoderLayer(...)` once per layer. Hand on all the other
arguments, dropout, norm_first and activation too. In `forward`, go through `self.layers`, give each the `x` that the one before
returned, and the mask.
"""

# %% [markdown] hint="Encoder"
r"""
Start with an empty list. For each layer: `x, weights = layer(x, mask)`, and append the weights to the list. After the
loop, if `norm_first`, apply `self.final_norm` to `x` once; it is made in `__init__`, and only if `norm_first`. Return
`x` and the list.
"""

# %% check="Encoder" points=3

# %% [markdown]
r"""
Padding must not matter. Here a sequence of five tokens is encoded alone, and with two tokens of padding behind it:
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(1)
        encoder = Encoder(num_layers=2, embed_dim=8, num_heads=2, ff_dim=16).eval()
        x = torch.randn(1, 7, 8)
        mask = torch.tensor([[[True] * 5 + [False] * 2]])  # [batch, 1, time]
        alone, _ = encoder(x[:, :5])
        padded, _ = encoder(x, mask)
        print("same vectors with the mask:   ", torch.allclose(alone, padded[:, :5], atol=1e-5))
        print("same vectors without the mask:", torch.allclose(alone, encoder(x)[0][:, :5], atol=1e-5))

# %% [markdown]
r"""
## Stretch: a gate

Shazeer (2020) replaced the hidden layer by a product of two: one branch passes through the activation and says *how
much*, the other says *what*.

$$\mathrm{GatedFeedForward}(x) = W_\text{down} \left( f(W_\text{gate} \, x) \odot W_\text{up} \, x \right)$$

With $f(z) = z \cdot \sigma(z)$, which PyTorch calls `F.silu`, this is SwiGLU, the feed-forward network of LLaMA and of
many others. It has three matrices instead of two, and no biases; to keep the number of parameters, `ff_dim` is taken
two thirds as large. The paper offers no explanation for its success; it credits "divine benevolence".

## Exercise 4: the gated feed-forward network
"""

# %% exercise="GatedFeedForward"
class GatedFeedForward(nn.Module):
    """A feed-forward network whose hidden numbers are a product of two branches (Shazeer 2020, section 2).

    embed_dim   features of each position
    ff_dim      how many hidden numbers each branch gives
    dropout     probability with which a product is dropped before down_proj, in training only
    activation  function of a tensor, acts on the numbers of gate_proj: F.silu (SwiGLU), F.gelu (GEGLU)

    The layers are gate_proj, up_proj and down_proj, all nn.Linear without bias.
    """

    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.silu):
        super().__init__()
        ### BEGIN SOLUTION
        self.gate_proj = nn.Linear(embed_dim, ff_dim, bias=False)
        self.up_proj = nn.Linear(embed_dim, ff_dim, bias=False)
        self.down_proj = nn.Linear(ff_dim, embed_dim, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.activation = activation
        ### END SOLUTION

    def forward(self, x):
        """Return a tensor like x; x is not changed.

        x  [..., embed_dim]  floating point: one vector per position
        """
        ### BEGIN SOLUTION
        hidden = self.activation(self.gate_proj(x)) * self.up_proj(x)  # [..., ff_dim]
        return self.down_proj(self.dropout(hidden))
        ### END SOLUTION

# %% [markdown] hint="GatedFeedForward"
r"""
Begin with your `FeedForward`. Which line changes, and which layer is new? Both branches read the same `x`.
"""

# %% [markdown] hint="GatedFeedForward"
r"""
`nn.Linear(..., bias=False)`, three times. Only the gate passes through the activation; the other branch stays as it is,
and `*` multiplies the two number by number.
"""

# %% [markdown] hint="GatedFeedForward"
r"""
hidden = activation(gate_proj(x)) * up_proj(x); return down_proj(dropout(hidden)).
"""

# %% check="GatedFeedForward" points=2

# %% [markdown]
r"""
## What people get wrong here

- **"The feed-forward network mixes the tokens."** It treats every position alone, with the same weights. Only
  attention carries anything from one position to another.
- **"Layer normalization between attention and feed-forward gives the data mean 0 and variance 1."** Every position is
  normalised on its own, over its features, and then scaled and shifted by learned parameters, so mean and variance are
  what training makes of them. And where the norm stands matters: behind the addition (post-norm), or inside the
  branch (pre-norm).
- **In pre-norm, adding to the normalised input.** Then the residual path passes through every norm after all, and
  what pre-norm is for is lost.
- **`[layer] * n`.** One layer, n times.
- **Forgetting the final norm of a pre-norm stack.** The sum along the residual path grows with depth, and nothing
  behind it has ever seen it normalised.
- **The polarity of masks.** Here True means *may attend*. `src_key_padding_mask` of `nn.TransformerEncoder` has the
  opposite meaning: True means *is ignored*.

## Read next

- Vaswani et al. (2017), *Attention Is All You Need*: section 3.1 for the layer, 3.3 for the feed-forward network, 5.4
  for where dropout acts.
- Xiong et al. (2020), *On Layer Normalization in the Transformer Architecture*: pre-norm against post-norm.
- Shazeer (2020), *GLU Variants Improve Transformer*: four pages, for the stretch exercise.

Lesson 2, *Decoder*, adds a second attention to this layer. Lesson 8 opens the box that you used for attention, and lesson 9 that of the norm.
"""
