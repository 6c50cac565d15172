# %% [markdown] lesson=11 title="Visualizing attention with BertViz"
r"""
# 11. Visualizing attention with BertViz

A transformer that works is still a black box until you see what its heads look at. In this lesson you take the
attention weights out of a transformer, hand them to BertViz, which draws them, and write three small measures that say
in one number what a head does. At the end you can find, among all heads of a model, the one that does a given thing.

You need Python and a little PyTorch. No other lesson has to be solved first: the transformer is a closed box here.

**How to work.** Run the cells from top to bottom. In an exercise, replace the line `raise NotImplementedError(...)`
by your own code and run the cell; the cell below it checks your answer and, if it is wrong, tells you which mistake
it recognises. If you are stuck, write `hint("collect_attention")` in a new cell: every call opens one more of three
hints, and the last one is nearly the answer. `progress()` shows where you stand.
"""

# %%
import torch

from autograder import check, hint, progress
from workbench import figures, planted
from workbench.parts import EncoderDecoder, shift_right

# %% [markdown]
r"""
| exercise | minutes | difficulty | importance | points |
|---|---|---|---|---|
| 1. `collect_attention` | 15 | medium | high: all pictures begin here | 3 |
| 2. `show_self_attention` | 10 | easy | high: models with one stack, such as BERT and GPT-2 | 2 |
| 3. `show_encoder_decoder` | 15 | medium | high: your own transformer | 3 |
| 4. `previous_token_score` | 10 | easy | medium: one head in one number | 1 |
| 5. `attention_entropy` | 10 | medium | medium: sharp or spread out | 2 |
| 6. `attention_distance` | 10 | easy | medium: near or far | 1 |
| 7. `find_heads` (stretch) | 20 | hard | medium: how heads are found in large models | 2 |
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
the right, the keys. It believes what it is told: a wrong table, or a right one with wrong words beside it, makes a
picture that looks just as convincing. So the work of this lesson is small but has to be exact.

**What the decoder reads.** Its row $i$ predicts target token $i$, but what it has read there is target token $i - 1$,
and in row 0 the begin of sequence. A row is named after what was read, because the query was computed from it.

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
    return tuple([weights[row:row + 1] for weights in layers] for layers in (encoder, decoder, cross))
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
    model = EncoderDecoder(20, 20, embed_dim=8, num_heads=2, ff_dim=16, encoder_layers=1, decoder_layers=2,
                           max_len=8, pad_id=0, bos_id=1)
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

Your function gets the view as an argument, so that it works with either, and with anything else that is called in the
same way. While you try it out, `told` from the next cell will do: it draws nothing and prints what it is given.
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
    view(attention=[layer[row:row + 1] for layer in weights], tokens=tokens)
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

# %% [markdown]
r"""
## Exercise 3: an encoder-decoder

For an encoder-decoder the views have other arguments: `encoder_attention`, `decoder_attention` and `cross_attention`
for the three lists, `encoder_tokens` and `decoder_tokens` for the words. Any of the three kinds may be left out, and a
kind that is given needs its words. Given all three, BertViz puts them into one picture with a menu.

There is a trap. BertViz counts the layers of the first kind that it is given, and takes as many of every other.
With two layers in the encoder and three in the decoder, the decoder's last layer is never shown, without a word; with
three and two, it fails with an `IndexError`. So kinds of different depths need views of their own.
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
Which words stand at the decoder's rows? See the table in *The idea in words*. Then ask which kinds always have equally
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
For the picture, write `from bertviz import head_view` and give `head_view` instead of `told`. This transformer is not
trained, so its lines say nothing yet: every position looks at all others, more or less.

## A head in one number

A large model has hundreds of heads, too many to look at. Three measures say roughly what a head does, each a mean over
the queries. Take this table of a causal head over three tokens:

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

Clark et al. (2019) use such measures on BERT. Each function below takes any leading axes and keeps them, so a whole
layer `[batch, heads, time, time]` gives a number per sentence and head.

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

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        table = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])
        for measure in (previous_token_score, attention_entropy, attention_distance):
            print(f"{measure.__name__:20} {measure(table):.2f}")

# %% [markdown]
r"""
## Stretch: find a head

`planted.previous_token_model()` is a language model of 3 layers with 4 heads each. Eleven of its heads are random; one was
built by hand and looks at the token before. Which one? Looking at twelve pictures would do. A function that ranks all
heads by a measure does it for a thousand.

## Exercise 7: find heads
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
- Every position has a token, special ones included. Heads often look at those.
- Kinds of different depths need views of their own.

## What people get wrong here

- **"The row named after a token shows how that token was chosen."** It shows what the model looked at after it had
  read that token. The choice was made one row earlier.
- **"The mean over the heads is a summary."** Heads do different things, and their mean does none of them.
- **"Leave out [CLS], the separators and the padding, they are not words."** Then rows and words no longer fit, or rows
  do not sum to 1, and you miss where many heads put most of their weight.
- **"A head with a large weight explains the prediction."** The weight says how much of a value was taken, not how large
  that value is or what later layers make of it. Look, then test by changing something.

## Read next

- Vig (2019), *A Multiscale Visualization of Attention in the Transformer Model*: BertViz itself.
- Clark et al. (2019), *What Does BERT Look At?*: section 3 on the measures, section 4 on heads and syntax.
- Vig and Belinkov (2019), *Analyzing the Structure of Attention in a Transformer Language Model*: the mean distance, layer by layer.
- Jain and Wallace (2019), *Attention is not Explanation*, and Wiegreffe and Pinter (2019), *Attention is not not
  Explanation*.
"""
