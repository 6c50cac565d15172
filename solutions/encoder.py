# %% [markdown] lesson=1 title="Encoder"
r"""
# 1. Encoder

In this lesson you build the encoder of the transformer: a feed-forward network, a layer that puts it behind
self-attention, and a stack of such layers. At the end your `EncoderLayer` gives the same numbers as
`nn.TransformerEncoderLayer`, in its post-norm and in its pre-norm form, and you can say of every step which
positions and which features it mixes.

You need Python, and a little PyTorch: how a class that inherits from `nn.Module` is written, and `nn.Linear`. No
other lesson has to be solved first. Two parts are closed boxes here: multi-head attention, which lesson 8,
*Multi-head attention*, opens, and `nn.LayerNorm`, which lesson 9, *Layer normalization*, opens.

**How to work.** Run the cells from top to bottom. In an exercise, replace each line `raise NotImplementedError(...)`
by your own code and run the cell; the cell below it checks your answer and, if it is wrong, tells you which mistake
it recognises. If you are stuck, write `hint("FeedForward")` in a new cell: each new one opens one more of three hints,
and the last one is nearly the answer. `progress()` shows where you stand. A long
cell that only draws is folded; a click on its three dots opens it.
"""

# %%
import math

import torch
import torch.nn.functional as F
from torch import nn

from autograder import check, hint, progress
from workbench import figures
from workbench.broken.encoder import broken_encoder_layer
from workbench.parts import MultiHeadAttention

# %% [markdown]
r"""
## Where you are

The left half of the transformer of Vaswani et al. (2017). One encoder layer is everything in the box marked N ×:
the paper's encoder has six of them, one behind the other. A number in the picture is the lesson that opens the box.
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
| 4. `encoder_bug_input`: find the bug | 10 | medium | medium: practice in reading code with suspicion | 1 |
| Question: what does the norm do? | 5 | medium | high | 3 |
| 5. `GatedFeedForward` (stretch) | 10 | easy | medium: what LLaMA and many others use | 2 |

With reading and experiments the lesson takes about 85 minutes, or 75 without the stretch exercise.
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

Each of the two is called a **sublayer**. Both only *change* the vector that they get: their result is added to it.
The path of these additions, from the first layer straight to the last, is called the **residual path**. A sublayer
that has nothing to say returns zeros, and the vector passes. What comes out has the same shape as what went in, which
is why layers can be stacked.

**Layer normalization** keeps the size of the numbers in bounds: it takes the vector of one position, subtracts the
mean of its features, divides by their standard deviation, and then multiplies and shifts each feature by learned
numbers. It can stand in two places, and that is the difference between the two forms of the layer below.
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

Read the arrow as "becomes". Post-norm is the paper's form (section 3.1). Pre-norm leaves the residual path free of
norms; it needs one more norm behind the last layer, since nothing has normalised the sum. Xiong et al. (2020) found
that it trains without the slow start of the learning rate (*warm-up*) that post-norm needs.

| name | shape |
|---|---|
| `x`, before, between and after the sublayers | `[batch, time, embed_dim]` |
| $W_\text{up}$, $W_\text{down}$ | `[ff_dim, embed_dim]`, `[embed_dim, ff_dim]` |
| hidden numbers of the feed-forward network | `[batch, time, ff_dim]`; in the paper `ff_dim` is four times `embed_dim` |
| `mask` | `[time, time]`, `[batch, 1, time]` or `[batch, time, time]`, True = may attend |
| `weights` of the attention | `[batch, heads, time, time]` |
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
single linear layer. The next cell repeats all of it. (It takes plain norms, which do not multiply or shift anything.
With two features a plain norm leaves only which of them is larger. Real layers have hundreds.)
"""

# %% demo
if __name__ == "__main__":
    x, attended = torch.tensor([1.0, 3.0]), torch.tensor([2.0, -2.0])
    up, down = torch.tensor([[1.0, 0], [0, 1], [1, 1]]), torch.tensor([[2.0, 1, 1], [0, 3, 1]])
    print("attention added  ", x + attended)
    x = F.layer_norm(x + attended, (2,))
    print("normalised       ", x.round(decimals=3))
    change = down @ torch.relu(up @ x)
    print("feed-forward     ", change.round(decimals=3))
    print("  without ReLU   ", (down @ (up @ x)).round(decimals=3))
    print("added            ", (x + change).round(decimals=3))
    print("normalised       ", F.layer_norm(x + change, (2,)).round(decimals=3))

# %% [markdown]
r"""
How large is the second step, compared with the first? Attention has four linear layers, which lesson 8 shows. Three
of them make three vectors of each position: its **query** says what it looks for, its **key** what it can be found by,
and its **value** is what it hands over. The better a query fits a key, the larger is the **weight** with which that
key's value is taken. The fourth layer makes the output. The next item asks you to **predict** before you run anything.
Decide first, then open your choice, then run the cell below it.
"""

# %% [markdown] predict="where_the_parameters_are"
r"""
**Predict.** In the paper's base model `embed_dim` is 512 and `ff_dim` is 2048. Attention has four matrices of 512 × 512.
Which part of an encoder layer has more parameters?

- [ ] Attention, because it is the heart of the transformer :: Four matrices of 512 × 512 are about one million numbers. Count the two matrices of the feed-forward network as well.
- [ ] Both have the same number :: Attention has four matrices of 512 × 512. Each of the two matrices of the feed-forward network is four times as large as one of these.
- [x] The feed-forward network, with twice as many :: Two matrices of 2048 × 512 hold 2 · 4 · 512² numbers, attention holds 4 · 512². Two thirds of the layer's parameters are in the network that looks at one position at a time.
"""

# %% demo
if __name__ == "__main__":

    def count(module):
        return sum(parameter.numel() for parameter in module.parameters())

    print("attention   ", count(MultiHeadAttention(512, 8)))
    print("feed-forward", count(nn.Linear(512, 2048)) + count(nn.Linear(2048, 512)))
    print("two norms   ", 2 * count(nn.LayerNorm(512)))

# %% [markdown]
r"""
## Exercise 1: the feed-forward network

First up, to `ff_dim` numbers per position, then the activation, then down again. Dropout stands between activation and
`down_proj`, as in `nn.TransformerEncoderLayer`.
"""


# %% exercise="FeedForward"
class FeedForward(nn.Module):
    """Two linear layers, an activation between them, each position alone (Vaswani et al. 2017, section 3.3).

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

# %% [markdown] predict="one_position_changed"
r"""
**Predict.** A sequence has five positions. Position 2 gets another vector, and the sequence passes through your
feed-forward network once more. At which positions does the output change?

- [ ] At all five: the two layers are fully connected :: They connect all *features* of a position with each other. `nn.Linear` takes every other axis as a list of separate cases, so positions never meet.
- [x] At position 2 only :: Each position passes through the network alone, with the same weights. That is why the paper calls it *position-wise* (section 3.3).
- [ ] At position 2 and all later ones :: That would need something that carries information forward. Attention can do this, a feed-forward network cannot.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(1)
        network, x = FeedForward(embed_dim=4, ff_dim=16), torch.randn(1, 5, 4)
        other = x.clone()
        other[0, 2] = torch.randn(4)
        changed = (network(x) - network(other)).abs().amax(dim=-1)[0] > 1e-6
        print("the output changes at positions", changed.nonzero().flatten().tolist())
        reordered = network(x[:, [4, 3, 2, 1, 0]])
        print(
            "turned round, the output is turned round:",
            torch.allclose(reordered, network(x)[:, [4, 3, 2, 1, 0]], atol=1e-6),
        )

# %% [markdown]
r"""
So whatever a layer knows about *other* words has come in through attention. What the network adds is what can be made
of one vector. (Geva et al. 2021 read its rows as a memory of patterns and of what follows from them. That is an
interpretation, with evidence; the formula says nothing of the kind.)

## Exercise 2: one layer

`MultiHeadAttention(embed_dim, num_heads, dropout)` is ready for you. It is called with query, key, value and a mask,
and returns a pair: the output, and the weights of each head. (The **heads** are several attentions side by side, each
with projections of its own.) In *self*-attention, query, key and value are the same tensor. Write both forms of the
layer; `norm_first` chooses.
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

# %% [markdown] predict="silent_sublayers"
r"""
**Predict.** In a pre-norm layer, the last projection of both sublayers holds only zeros, weights and biases. What
does the layer return for `x`?

- [ ] Zeros :: Both sublayers return zeros. But their output is added to their input, and the input is still there.
- [ ] `x`, normalised :: That is what a post-norm layer returns. In the pre-norm form the norm stands in front of the sublayers only, not on the residual path.
- [x] `x` itself :: Each half computes x + 0. A new pre-norm layer can begin as a layer that does nothing, and learn which changes are useful.
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

# %% [markdown] predict="norm_after_training"
r"""
**Predict.** Training has made `norm2.weight` 2 and `norm2.bias` 1, for every feature. Take a vector
that comes out of a *post-norm* layer: what are the mean and the standard deviation of its features?

- [ ] 0 and 1, because it has just been normalised :: It has, but then the norm multiplies by its weight and adds its bias, and both are learned. Only a new norm has weight 1 and bias 0.
- [x] 1 and 2 :: Mean 0 and standard deviation 1 are what the norm has in between. Times 2, plus 1, gives mean 1 and standard deviation 2, for every position.
- [ ] That depends on the input :: The vector is brought to mean 0 and standard deviation 1 first, whatever it was. All that can change it afterwards is weight and bias.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(1)
        layer = EncoderLayer(embed_dim=16, num_heads=2, ff_dim=32)
        nn.init.constant_(layer.norm2.weight, 2.0)
        nn.init.constant_(layer.norm2.bias, 1.0)
        output, _ = layer(10 * torch.randn(1, 3, 16) + 100)
        for vector in output[0]:
            print(f"mean {vector.mean():.2f}, standard deviation {vector.std(correction=0):.2f}")

# %% [markdown]
r"""
Here is what you were promised: PyTorch's layer, with the weights of yours, gives your numbers. Its names differ, and
it holds the three projections of its attention in one matrix.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(1)
        x = torch.randn(2, 5, 16)
        for norm_first in (False, True):
            mine = EncoderLayer(embed_dim=16, num_heads=4, ff_dim=32, norm_first=norm_first)
            theirs = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True, norm_first=norm_first)
            own = mine.state_dict()
            projections = [f"self_attention.{name}_proj" for name in "qkv"]
            theirs.load_state_dict(
                {
                    "self_attn.in_proj_weight": torch.cat([own[f"{name}.weight"] for name in projections]),
                    "self_attn.in_proj_bias": torch.cat([own[f"{name}.bias"] for name in projections]),
                    **{
                        f"{their_name}.{kind}": own[f"{name}.{kind}"]
                        for kind in ("weight", "bias")
                        for name, their_name in {
                            "self_attention.out_proj": "self_attn.out_proj",
                            "norm1": "norm1",
                            "feed_forward.up_proj": "linear1",
                            "norm2": "norm2",
                            "feed_forward.down_proj": "linear2",
                        }.items()
                    },
                }
            )
            same = torch.allclose(mine(x)[0], theirs(x), atol=1e-5)
            print("pre-norm: " if norm_first else "post-norm:", "same numbers" if same else "other numbers")

# %% [markdown]
r"""
## Exercise 3: the stack

One layer lets every position look around once. In a stack, the second layer looks at vectors that know their
surroundings already. All layers have the same form, and each has weights of its own.
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
        self.layers = nn.ModuleList(
            [EncoderLayer(embed_dim, num_heads, ff_dim, dropout, norm_first, activation) for _ in range(num_layers)]
        )
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
Sequences of a batch have different lengths, so the short ones are filled up with **padding**. The mask
`[batch, 1, time]` hides it from every query. Then padding must not matter: here a sequence of five tokens is encoded
alone, and with two tokens of padding behind it.
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
## Experiment: where a word goes

What does a layer do to the words of a sentence? To see it, we choose vectors and weights by hand that can be drawn
without loss. With three features and a plain norm, every vector that leaves a post-norm layer has mean 0 and length
$\sqrt 3$: such vectors lie on a circle. We place the words on this circle: *fish* and *coins* far from each other, *bank*
half-way between, *near*, *in* and *the* on the other side. Query, key and value are the vectors themselves (the query
halved), so words attend to what lies near them **on the circle**, and the feed-forward network is silenced. The layer
is your `EncoderLayer`; only its weights are set by hand.
"""

# %% [markdown] predict="one_word_two_sentences"
r"""
**Predict.** *bank* has the same vector in "fish near the bank" and in "coins in the bank", and its neighbour in the
text is *the* both times. Where does the layer move it?

- [ ] Nowhere: the same word has the same vector :: So it is when it enters the layer. What is added to it is a mean over the words of its own sentence, and the sentences differ.
- [ ] Towards *the*, its neighbour :: Attention does not know who stands next to whom. It compares vectors, and the vector of *the* lies on the opposite side of the circle.
- [x] Towards *fish* in the first, towards *coins* in the second :: Apart from itself, *bank* attends most to the word whose key fits its query best, and the values of what it attends to are added to it.
"""

# %% demo
if __name__ == "__main__":
    # Where on the circle each word stands, in degrees.
    DIRECTIONS = {"fish": 150, "coins": 30, "bank": 90, "near": 235, "the": 270, "in": 305}
    # Two directions at right angles, of length 1 and with mean 0: they span the plane of the circle.
    PLANE = torch.tensor([[1.0, -1, 0], [1, 1, -2]]) / torch.tensor([[2.0], [6.0]]).sqrt()

    def place(word):
        angle = math.radians(DIRECTIONS[word])
        return math.sqrt(3) * torch.tensor([math.cos(angle), math.sin(angle)]) @ PLANE

    def layer_by_hand(times):
        """Return a layer that adds `times` the mean of what a word attends to, and does no more."""
        layer = EncoderLayer(embed_dim=3, num_heads=1, ff_dim=4).eval()
        attention = layer.self_attention
        for projection, factor in (
            (attention.q_proj, 0.5),
            (attention.k_proj, 1.0),
            (attention.v_proj, 1.0),
            (attention.out_proj, times),
        ):
            projection.load_state_dict({"weight": factor * torch.eye(3), "bias": torch.zeros(3)})
        layer.feed_forward.down_proj.load_state_dict({"weight": torch.zeros(3, 4), "bias": torch.zeros(3)})
        return layer

    pictures, lines = {}, []
    with figures.once_solved():
        for sentence, title, times in (
            ("fish near the bank", "value added", 4.0),
            ("coins in the bank", "value added", 4.0),
            ("coins in the bank", "value subtracted", -1.0),
        ):
            words = sentence.split()
            before = torch.stack([place(word) for word in words])
            after, weights = layer_by_hand(times)(before.unsqueeze(0))
            moves = zip((before @ PLANE.T).tolist(), (after[0] @ PLANE.T).tolist(), strict=True)
            pictures[f"{sentence}\n{title}"] = dict(zip(words, moves, strict=True))
            looks = ", ".join(
                f"{word} {weight:.2f}" for word, weight in zip(words, weights[0, 0, -1].tolist(), strict=True)
            )
            lines.append(f"{sentence}, {title}: bank attends to {looks}")
        print("\n".join(lines))
        figures.arrows(
            pictures, xlabel="first coordinate (no unit)", ylabel="second coordinate (no unit)", circle=math.sqrt(3)
        ).show()

# %% [markdown]
r"""
What to see: in the first two pictures *bank* starts at the same place and goes to *fish* in one sentence and to *coins*
in the other. Its vector now says which bank is meant: this is what "context" means in an encoder. *the* moves too,
towards the word that it attends to most, apart from itself. The others hardly move, because they have words to attend
to on both sides of them.

The third picture has **the same weights** as the second, to the last digit, and every word goes the other way. Only the
output projection has changed: it subtracts what it added before. So weights tell *from where* something comes; what
comes is decided by the projections of value and output, and no picture of weights shows those. In a layer by hand they
were chosen so that words move towards what they attend to. Is that so in general?
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(1)
        alignments = []
        for _ in range(100):
            layer = EncoderLayer(embed_dim=64, num_heads=4, ff_dim=64, norm_first=True).eval()
            layer.feed_forward.down_proj.load_state_dict({"weight": torch.zeros(64, 64), "bias": torch.zeros(64)})
            x = F.layer_norm(torch.randn(1, 7, 64), (64,))
            with torch.no_grad():
                output, weights = layer(x)
            attended_to = weights.mean(dim=1) @ x  # the mean of the vectors themselves, over all heads
            alignments.append(F.cosine_similarity(output - x, attended_to, dim=-1))
        alignments = torch.cat(alignments)
        print(
            f"cosine between a word's change and what it attends to: mean {alignments.mean().abs():.1f}, "
            f"largest {alignments.abs().max():.1f}"
        )

# %% [markdown]
r"""
In a hundred new layers with random projections, 64 features wide, the change of a vector has nothing to do with the
direction of what it attends to: a cosine of 1 would mean the same direction, 0 means at right angles. Training decides
where words go, and a large weight does not prove that the token has moved towards that word, or that it mattered.

Try it: give `layer_by_hand(4.0)` its own output again, five times in all, and look where the words are
(`x[0] @ PLANE.T`). All four end up in nearly the same place: values that only ever pull words together make a stack
forget which word is which. It is well that learned projections can do other things.
"""

# %% [markdown]
r"""
## Exercise 4: find the bug

Somebody wanted a faster encoder layer. It takes the parts of a post-norm layer and does their work with two tricks.
"""

# %% demo
if __name__ == "__main__":
    figures.source(broken_encoder_layer)

# %% [markdown]
r"""
It has been tried, with your layer beside it. (If a line says *DIFFERENT*, your layer of exercise 2 is not right yet.)
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(1)
        layer = EncoderLayer(embed_dim=8, num_heads=2, ff_dim=16).eval()
        one_sequence = torch.tensor([[[True] * 5 + [False] * 2]])  # [batch, 1, time]
        for name, x, mask in (
            ("no mask", torch.randn(3, 7, 8), None),
            ("100 positions", torch.randn(3, 100, 8), None),
            ("no later position", torch.randn(3, 7, 8), torch.ones(7, 7, dtype=torch.bool).tril()),
            ("one sequence with padding", torch.randn(1, 7, 8), one_sequence),
            ("three sequences with padding", torch.randn(3, 7, 8), one_sequence.expand(3, 1, 7)),
        ):
            same = torch.allclose(layer(x, mask)[0], broken_encoder_layer(layer, x, mask)[0], atol=1e-4)
            print(f"{name}:", "same output" if same else "DIFFERENT output")

# %% [markdown]
r"""
And still it is wrong for some inputs. Supply one. A good way to work: say of each of the two tricks what it relies on,
and look for an input where that does not hold.
"""


# %% exercise="encoder_bug_input"
def encoder_bug_input():
    """Return (x, mask) for which broken_encoder_layer gives a wrong output.

    x     [batch, time, 8]  floating point, finite: batch at most 16, time at most 200
    mask  boolean [time, time], [batch, 1, time] or [batch, time, time], True where a query may attend
          to a key; or None

    The input is given to broken_encoder_layer with an EncoderLayer(embed_dim=8, num_heads=2, ff_dim=11)
    whose weights you do not know. It counts if at least one number of the output x is off by more than 0.01.
    """
    ### BEGIN SOLUTION
    # The bug: mask[0] is the mask of the first sequence. If it is full, the padding of all others is seen.
    x = torch.arange(2 * 3 * 8).reshape(2, 3, 8) % 7 - 3.0
    mask = torch.tensor([[[True, True, True]], [[True, True, False]]])  # [batch, 1, time]
    return x, mask
    ### END SOLUTION


# %% [markdown] hint="encoder_bug_input"
r"""
There are two tricks: leaving the mask out, and working in pieces. One of them is right for every input. Which one, and
why? Exercise 1 has the answer.
"""

# %% [markdown] hint="encoder_bug_input"
r"""
Pieces do no harm, because positions are treated alone. So look at the mask: what is `mask[0]` for a mask
`[batch, 1, time]`? When is the mask left out although it hides something?
"""

# %% [markdown] hint="encoder_bug_input"
r"""
`mask[0]` belongs to the first sequence of the batch. Take two sequences, such as `x = torch.randn(2, 3, 8)`, and a mask
`[2, 1, 3]` that is True everywhere, except at the last position of the *second* sequence. Return x and the mask.
"""

# %% check="encoder_bug_input" points=1

# %% [markdown]
r"""
Batches are often sorted by length, the longest sequence first (`torch.nn.utils.rnn.pack_padded_sequence` asks for it by
default). Then this bug strikes every time, and no error is raised: the model is trained and used with padding in its
sentences, and nothing says so.
"""

# %% [markdown]
r"""
## Question: what does the norm do?
"""

# %% [markdown] question="what_the_norm_does" points=3
r"""
In notes on transformers you may read: "After all this we add layer normalization between multi-head attention and
feed-forward layer to maintain zero mean and unit variance." Put this right, in four to six sentences:

1. Mean and variance of *what* are taken: over which axis, separately for what? And are they 0 and 1 in what the norm
   hands on, once it has been trained?
2. "Between attention and feed-forward" describes neither form exactly. Where do the norms of a layer stand in post-norm,
   where in pre-norm, and what does that mean for the residual path?
3. Which form needs a norm behind the last layer, and why does the other not need it?

### BEGIN SOLUTION
**Sample answer.** The norm takes mean and variance over the features of one position, for each position of each
sequence on its own; neither the batch nor the other positions have a part in it. In between, the vector has mean 0 and
variance 1, but then each feature is multiplied by a learned weight and shifted by a learned bias, so what is handed on
has whatever mean and variance training has found useful. There are two norms per layer, one for each sublayer. In
post-norm they stand behind the additions, norm(x + sublayer(x)), so the residual path itself runs through every norm; in
pre-norm they stand in front of the sublayers, x + sublayer(norm(x)), and the residual path runs from the first layer to
the last as a plain sum. Therefore a pre-norm stack needs a final norm: the sum has never been normalised and can grow
with every layer. A post-norm layer ends in a norm, so its output is normalised already.

**Rubric.** One point each:
1. over the features of each position, *and* the learned weight and bias; half a point for one of the two;
2. behind the addition against in front of the sublayer, and the residual path with or without norms on it; half a point
   for the places without the residual path;
3. pre-norm, because nothing has normalised the sum; half a point without a reason.
### END SOLUTION
"""

# %% [markdown]
r"""
## Stretch: a gate

A hidden number of your feed-forward network is one linear function of the input, bent by the activation. Shazeer
(2020) replaced it by a product of two linear functions: one branch passes through the activation and says *how much*,
the other says *what*.

$$\mathrm{GatedFeedForward}(x) = W_\text{down} \left( f(W_\text{gate} \, x) \odot W_\text{up} \, x \right)$$

Here $\odot$ multiplies number by number. With $f(z) = z \cdot \sigma(z)$, where $\sigma(z) = 1 / (1 + e^{-z})$, which
PyTorch calls `F.silu`, this is SwiGLU, the feed-forward network of LLaMA and of many others. It has three matrices
instead of two, and no biases; to keep the number of parameters, `ff_dim` is taken two thirds as large. The paper offers
no explanation for its success; it credits "divine benevolence".

By hand, with ReLU as $f$ so that a pencil is enough: let $x = (1, 2)$, let $W_\text{gate}$ have the rows $(1, 1)$ and
$(1, -1)$, and $W_\text{up}$ the rows $(2, 0)$ and $(0, 5)$. The gate is $(3, -1)$, and ReLU makes it $(3, 0)$. The
other branch is $(2, 10)$. The product is $(6, 0)$: the second hidden number, though large, is shut off.
"""

# %% demo
if __name__ == "__main__":
    x = torch.tensor([1.0, 2.0])
    gate, up = torch.tensor([[1.0, 1], [1, -1]]) @ x, torch.tensor([[2.0, 0], [0, 5]]) @ x
    print("gate            ", gate)
    print("other branch    ", up)
    print("product, ReLU   ", torch.relu(gate) * up)
    print("product, F.silu ", (F.silu(gate) * up).round(decimals=2))

# %% [markdown]
r"""
With `F.silu` the gate is not quite shut: something passes for the negative number as well, and so do gradients.

## Exercise 5: the gated feed-forward network
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
## Summary

- An encoder layer is two sublayers: self-attention, which carries information between positions, and a feed-forward
  network, which works on each position alone.
- Each sublayer's output is added to its input. Post-norm normalises behind the addition, pre-norm in front of the
  sublayer; a pre-norm stack has one more norm at its end.
- A norm works on the features of one position, and ends in a learned weight and bias.
- Input and output have the same shape, `[batch, time, embed_dim]`, so layers can be stacked. Each has its own weights.
- Weights of attention say from where a vector receives something. What it receives, and where it moves, is decided by
  the projections.
- Two thirds of a layer's parameters are in the feed-forward network, if `ff_dim` is four times `embed_dim`.

## What people get wrong here

- **"The feed-forward network mixes the tokens."** It treats every position alone, with the same weights. Only
  attention carries anything from one position to another.
- **"Layer normalization between attention and feed-forward gives the data mean 0 and variance 1."** Every position is
  normalised on its own, over its features, and then scaled and shifted by learned parameters, so mean and variance are
  what training makes of them. And where the norm stands matters: behind the addition (post-norm), or inside the
  branch (pre-norm).
- **"A word moves towards what it attends to."** If the projections are made for it. In general it moves by what the
  projections of value and output make of those words.
- **In pre-norm, adding to the normalised input.** Then the residual path passes through every norm after all, and
  what pre-norm is for is lost.
- **`[layer] * n`.** One layer, n times.
- **Forgetting the final norm of a pre-norm stack.** The sum along the residual path grows with depth, and nothing
  behind it has ever seen it normalised.
- **The polarity of masks.** Here True means *may attend*. `src_key_padding_mask` of `nn.TransformerEncoder` has the
  opposite meaning: True means *is ignored*.
- **Testing with one sequence, or with all of the same length.** What goes wrong between the sequences of a batch does
  not show then.

## Read next

- Vaswani et al. (2017), *Attention Is All You Need*: section 3.1 for the layer, 3.3 for the feed-forward network, 5.4
  for where dropout acts.
- Xiong et al. (2020), *On Layer Normalization in the Transformer Architecture*: pre-norm against post-norm.
- Geva et al. (2021), *Transformer Feed-Forward Layers Are Key-Value Memories*: section 2 for the idea.
- Shazeer (2020), *GLU Variants Improve Transformer*: four pages, for the stretch exercise.

Lesson 2, *Decoder*, adds a second attention to this layer. Lesson 3, *Encoder-only*, makes a classifier of your stack.
Lesson 8, *Multi-head attention*, opens the box that you used for attention, lesson 9, *Layer normalization*, that of the
norm, and lesson 10, *Positional embeddings*, shows how the words get their places.
"""
