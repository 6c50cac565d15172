# %% [markdown] lesson=6 title="Self-attention"
r"""
# 6. Self-attention

In self-attention a sequence asks itself: every position sends out a query, and every position of the same sequence
may answer. In this lesson you build one such head, with the three projections that a transformer learns, and the mask
that keeps padding out of it. At the end you have your own `SelfAttention` and `padding_mask`, you can say which numbers
in them are learned and which are computed, and you have seen what self-attention cannot know: the order of the words.

You need Python and a little PyTorch: `nn.Module`, `nn.Linear` and broadcasting. No other lesson has to be solved first.
What is compared with what, and how, is the subject of lesson 7, *Scaled dot-product attention*. Its functions are
imported ready to use, and three sentences below say what you need to know about them.

**How to work.** Run the cells from top to bottom. In an exercise, replace the lines `raise NotImplementedError(...)`
by your own code and run the cell; the cell below it checks your answer and, if it is wrong, tells you which mistake
it recognises. If you are stuck, write `hint("SelfAttention")` in a new cell: each new one opens one more of three hints,
and the last one is nearly the answer. `progress()` shows where you stand. A long
cell that only draws is folded; a click on its three dots opens it.
"""

# %%
import math

import torch
from torch import nn

from autograder import check, hint, progress
from workbench import figures
from workbench.broken.self_attention import BrokenSelfAttention
from workbench.parts import TransformerEmbedding, attention_scores, attention_weights, scaled_dot_product_attention

# %% [markdown]
r"""
## Where you are

The box of this lesson is one head of a multi-head attention: three projections and a scaled dot-product attention. A
transformer has such heads in every layer of its encoder and, with a mask, of its decoder.
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
| 3. `self_attention_bug_input`: find the bug | 10 | medium | medium: masks go wrong quietly | 1 |
| Question: what is learned? | 5 | medium | high | 3 |
| 4. `RelativeSelfAttention` (stretch) | 20 | hard | medium: a way to tell near from far | 2 |

With reading and experiments the lesson takes about 85 minutes, or 60 without the stretch exercise.
"""

# %% [markdown]
r"""
## The idea in words

"The violin stayed in its case because **it** was out of tune." What *it* means stands somewhere else in the
sentence. Self-attention lets the vector at *it* collect from the vectors at other positions, and so become a
vector for *it, the violin*.

How this is done takes three sentences. Each position sends out a **query**, which is compared with the **key** of every
position by a dot product. A softmax turns these scores into **weights** that are positive and sum to 1. The output at
the position is the mean of the **values** of all positions, weighted by them.

In *self*-attention query, key and value are all made from the same sequence, but not in the same way. What a word looks
for (a thing that can be out of tune), what it can be found by (being such a thing), and what it hands over (which
thing) are three different matters. So there are three linear **projections**, one for each. They are what is learned.
The weights are not: they are computed afresh from every input.

Each position asks, and each position answers, its own question included. Sequences of a batch never look into each
other.
"""

# %% [markdown]
r"""
## The formula

$$Q = X W^Q, \quad K = X W^K, \quad V = X W^V, \qquad
\mathrm{head}(X) = \mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt{d_k}}\right) V$$

This is one head of section 3.2.2 of Vaswani et al. (2017), with the same $X$ in all three places. Each projection is
an `nn.Linear`, which adds a bias that the formula leaves out. The root of $d_k$ keeps the scores from growing with
`head_dim`; lesson 7 shows why they must not.

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
weights are $1 / (1 + e^2) = 0.119$ and $e^2 / (1 + e^2) = 0.881$, and its output is $0.119 \cdot 10 + 0.881 \cdot 20
= 18.81$. Position 1 has a query of 0, so both scores are 0, both weights are 0.5, and its output is the plain mean,
15.

Position 0 looks at position 1, but position 1 does not look back at position 0 in the same way: its query and its key
are different things. The next cell does the same in plain Python.
"""

# %% demo
if __name__ == "__main__":
    vectors = [(1, 0), (0, 1)]
    rows = {"query": (2, 0), "key": (0, 1), "value": (10, 20)}
    queries, keys, values = (
        [sum(a * b for a, b in zip(x, row, strict=True)) for x in vectors] for row in rows.values()
    )
    print("queries", queries, "keys", keys, "values", values)
    for position, asking in enumerate(queries):
        exponentials = [math.exp(asking * asked) for asked in keys]
        shares = [exponential / sum(exponentials) for exponential in exponentials]
        mixed = sum(share * value for share, value in zip(shares, values, strict=True))
        print(f"position {position}: weights", [round(share, 3) for share in shares], "output", round(mixed, 2))

# %% [markdown]
r"""
Could one projection serve as query and key? It would save a third of the numbers. The next item asks you to
**predict** what it would cost. Decide first, then open your choice, then run the cell below it.
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
and a mask, in this order, and returns `(output, weights)`. It divides by the root of `head_dim`, and it hides what the
mask forbids. What is left for you is the part that learns.
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
    divided by the square root of head_dim. Each sequence of the batch attends to itself alone, and may have any
    length. Scores may be of any size: a hidden key has a weight of exactly 0, however large its score. A query
    that may attend to nothing has weights and output of exactly 0, and no gradient holds NaN. Both results have
    the dtype of x, which is that of the parameters, and its device. The arguments are not changed. Nothing has to
    be raised.

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
Here is the worked example again, with your module. Compare with your pencil.
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

# %% [markdown] predict="longer_sentence"
r"""
**Predict.** `SelfAttention(embed_dim=8, head_dim=4)` is used for sentences of 10 tokens, and then for sentences of 100.
How many learned numbers does it hold in the second case?

- [ ] 100 times as many, since there are 100 times as many weights :: There are: 100 × 100 in place of 10 × 10. But none of them is learned. They are computed from the sentence, and forgotten after it.
- [ ] 10 times as many, one set for each position :: One set serves all positions: `nn.Linear` does the same to each. This is why a sentence may have any length.
- [x] As many as before: 108 :: Three projections with 8 × 4 numbers and a bias of 4 each. The number of weights depends on the sentence, the number of parameters does not.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(6)
        attention = SelfAttention(embed_dim=8, head_dim=4)
        for time in (10, 100):
            _, weights = attention(torch.randn(1, time, 8))
            print(
                f"{time:3} tokens: {weights.numel():6} weights,",
                sum(parameter.numel() for parameter in attention.parameters()),
                "learned numbers",
            )

# %% [markdown]
r"""
## Exercise 2: a mask for padding

Sentences have different lengths, tensors do not. So the shorter sentences of a batch are filled up with a token that
means nothing, the **padding**. No position may collect anything from it. A **mask** is boolean, and True means: may
attend. This one says which *keys* are real. By hand, with 0 as padding:

| | | | | | |
|---|---|---|---|---|---|
| tokens | 5 | 8 | 2 | 0 | 0 |
| mask | True | True | True | False | False |

The same row of the mask holds for every query of the sentence, so the mask of a batch is `[batch, 1, keys]`: the axis
of size 1 is stretched to as many queries as there are.
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
Two sentences of three and five tokens, filled up with 0, go through your module. Queries 3 and 4 of the first sentence
are padding themselves.
"""

# %% [markdown] predict="padding_asks"
r"""
**Predict.** What do the rows of these two queries look like in the table of weights?

- [ ] All 0, because padding takes no part :: It takes no part as a *key*. The mask has no row for each query: whoever asks, the same keys are hidden.
- [x] Like other rows: positive weights for the three real keys :: Padding asks like any other position, and gets an answer. Nobody uses it: what comes out at padding is left aside later, by the loss or by whoever reads the result.
- [ ] NaN, because nothing is left for them :: Three keys are left. A row becomes empty only if *every* key of the sentence is padding, and then it is 0 in this course.
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
What to see: in the left table the columns of keys 3 and 4 are 0, and every row still sums to 1. The tables differ
although the module is the same: the weights belong to the input. And they are not symmetric: who looks at whom, and who
is looked at, are two questions.

Weights show from where an output collects, in this head. They do not show what a model does with it afterwards, so they
are no explanation of its answer.

## Experiment: the words change places

Now two sentences of the same words: *the dog bites the man* and *the man bites the dog*. Each word has a vector of its
own, drawn at random, and your module is as it was made, with random projections (those of query and key twice as
large, so that the weights differ visibly).
"""

# %% [markdown] predict="words_change_places"
r"""
**Predict.** The output at *dog*, in the second sentence compared with the first, is

- [ ] another vector, because now the dog is bitten :: This is what the *sentence* says. Your module is given a vector per word, and the five vectors are the same ones as before.
- [x] the same vector, at another place :: The query of *dog* meets the same five pairs of key and value, in another order. A sum does not depend on the order of its terms.
- [ ] the output that was at *man* before, because it stands in that place now :: Nothing in the formula knows places. The output follows the word.
"""

# %% demo
if __name__ == "__main__":
    ids = {"the": 0, "dog": 1, "bites": 2, "man": 3}
    first, second = "the dog bites the man".split(), "the man bites the dog".split()
    dog, man = first.index("dog"), first.index("man")
    torch.manual_seed(6)
    embedding = TransformerEmbedding(vocab_size=4, embed_dim=32, max_len=5)

    def new_head():
        torch.manual_seed(6)
        head = SelfAttention(embed_dim=32, head_dim=16)
        with torch.no_grad():
            head.q_proj.weight.mul_(2)
            head.k_proj.weight.mul_(2)
        return head

    def attend(words, vectors_of, head):
        with torch.no_grad():
            output, weights = head(vectors_of(torch.tensor([[ids[word] for word in words]])))
        return output[0], weights[0]

    with figures.once_solved():
        (one, weights_one), (other, weights_other) = (
            attend(words, embedding.token, new_head()) for words in (first, second)
        )
        print("the output at dog follows dog:", torch.allclose(one[dog], other[man], atol=1e-5))
        print("the output at man follows man:", torch.allclose(one[man], other[dog], atol=1e-5))
        print("the mean over the sentence is the same:", torch.allclose(one.mean(0), other.mean(0), atol=1e-5))
        names = {"the dog bites the man": first, "the man bites the dog": second}
        figures.weight_tables(
            dict(zip(names, (weights_one, weights_other), strict=True)), row_names=names, column_names=names
        ).show()

# %% [markdown]
r"""
What to see: the second table is the first one with the rows and columns of *dog* and *man* exchanged. Look up any
pair of words in both: the weight is the same. Whoever is asked for the mean of the outputs cannot tell who bites
whom.

Look also at the two rows of *the*.
"""

# %% [markdown] predict="the_twice"
r"""
**Predict.** *The* stands in the sentence twice, once before *dog* and once before *man*. Compare the outputs at the two places.

- [x] They are equal :: Both have the same vector, so the same query, and both ask all five positions of the sentence. Nothing tells them apart.
- [ ] They differ, because their neighbours differ :: Self-attention has no neighbours. All positions are equally near, for every query.
- [ ] They differ, because the second one has more words before it :: It would with a causal mask, as in a decoder: there the second *the* sees more keys. Without a mask both see all five.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        output, _ = attend(first, embedding.token, new_head())
        print("both the's get the same output:", torch.allclose(output[0], output[3], atol=1e-5))

# %% [markdown]
r"""
So where does a transformer get the order from? From its input: before the first layer, a vector that belongs to the
*position* is added to the vector of the word. Lesson 10, *Positional embeddings*, opens that box; here it stands
ready as `TransformerEmbedding`. The next cell measures, for each word, how far its output moves when *dog* and *man*
change places, as a share of its length: once with the words alone, once with positions added.
"""

# %% demo
if __name__ == "__main__":
    follow = [0, 4, 2, 3, 1]  # where each word of the first sentence stands in the second
    moved = {}
    with figures.once_solved():
        for name, vectors_of in (("words alone", embedding.token), ("positions added", embedding)):
            before, after = (attend(words, vectors_of, new_head())[0] for words in (first, second))
            share = (after[follow] - before).norm(dim=-1) / before.norm(dim=-1)
            moved[name] = [round(100 * number) for number in share.tolist()]
        print("words alone: no output moves:", max(moved["words alone"]) == 0)
        print("positions added: every output moves:", min(moved["positions added"]) > 0)
        figures.bars(
            first,
            [
                figures.Panel(
                    "What moves when dog and man change places", "change of the output in % of its length", moved
                )
            ],
            xlabel="the output at this word",
        ).show()

# %% [markdown]
r"""
What to see: without positions there is nothing but zeros. With positions every output moves, also at *bites*, which
stays where it was: the words around it have other places now. How far they move says nothing about the meaning, since
nothing here has been trained; that they move at all is what training needs.

## Exercise 3: find the bug

Half of a batch may be padding, and every key of it costs dot products that nobody uses. Somebody has written a module
that leaves them out. Read it.
"""

# %% demo
if __name__ == "__main__":
    figures.source(BrokenSelfAttention)

# %% [markdown]
r"""
It has been tried on the usual inputs, with the same parameters as your module:
"""

# %% demo
if __name__ == "__main__":

    def compare(name, tokens, mask=None):
        tokens = torch.tensor(tokens)
        x = vectors[tokens]
        mask = padding_mask(tokens, pad_id=0) if mask is None else mask
        with torch.no_grad():
            right, wrong = (module(x, mask)[0] for module in (attention, broken))
        print(f"{name}:", "same output" if torch.allclose(right, wrong, atol=1e-5) else "DIFFERENT output")

    with figures.once_solved():
        torch.manual_seed(6)
        vectors = torch.randn(10, 8)  # one for each id
        attention, broken = SelfAttention(embed_dim=8, head_dim=4), BrokenSelfAttention(embed_dim=8, head_dim=4)
        broken.load_state_dict(attention.state_dict())
        compare("no padding", [[4, 1, 7, 3], [2, 9, 5, 6]])
        compare("two sentences, both with padding", [[4, 1, 0, 0], [2, 0, 0, 0]])
        compare("one sentence is all padding", [[0, 0, 0, 0], [2, 9, 5, 0]])
        compare("no later key", [[4, 1, 7, 3]], torch.ones(4, 4, dtype=torch.bool).tril())

# %% [markdown]
r"""
And still it is wrong for some tokens. Supply them. A good way to work: ask of the comment in the code what it takes
for granted, and when that does not hold. It does happen in practice: where a model continues texts, the texts of a
batch have to *end* together.
"""


# %% exercise="self_attention_bug_input"
def self_attention_bug_input():
    """Return tokens for which BrokenSelfAttention gives a wrong output.

    The result is [batch, time], integers from 0 to 9: token ids, where 0 is padding, wherever it stands. At
    most 100 sequences and 100 tokens each.

    Each id has a vector of its own, and the mask is padding_mask(tokens, 0). The tokens count if the output at
    one real token or more is not that of SelfAttention with the same parameters (rounding is not a bug). What
    comes out at padding does not count.
    """
    ### BEGIN SOLUTION
    # The bug: the keys that are kept are the first ones, as if padding always stood at the end. Here the
    # longest sequence has three tokens, so the key of the last place is left out, and that is a real token.
    return torch.tensor([[0, 0, 1, 2], [0, 3, 4, 5]])
    ### END SOLUTION


# %% [markdown] hint="self_attention_bug_input"
r"""
`longest` is a number of tokens. The slice `x[:, :longest]` uses it as a place. When is that not the same?
"""

# %% [markdown] hint="self_attention_bug_input"
r"""
The slice keeps the *first* positions. That is right where every sequence begins with its tokens and ends with its
padding. Put the padding somewhere else, and count: how many positions are kept, and which tokens stand behind them?
"""

# %% [markdown] hint="self_attention_bug_input"
r"""
Return a tensor with a row like `[0, 0, 1, 2]`, padding in front. Two tokens are real, so two keys are kept: those of
the padding. Mind the other rows, if you have any: a row without padding makes `longest` the whole length, and then
nothing is left out.
"""

# %% check="self_attention_bug_input" points=1

# %% [markdown]
r"""
## Question: what is learned?
"""

# %% [markdown] question="what_is_learned" points=3
r"""
In notes on transformers you may read: "The query of token 0 is multiplied with the keys of all other tokens. The
attention weights are also a learnable parameter. The weight is combined with the value of token 0 to get its new
embedding." Put this right, in four to six sentences:

1. What is learned in a head of self-attention, and what are the weights instead? How can you tell the two apart when
   the sentence gets longer?
2. With which keys is the query of token 0 compared?
3. Which values go into the new vector of token 0, and with which weights?

### BEGIN SOLUTION
**Sample answer.** Learned are the three projections: their weights and biases are parameters, which stay the same
from sentence to sentence until a training step changes them. The attention weights are computed from each sentence,
by a softmax over the scores of its queries and keys; another sentence has other weights. A sentence of ten times the
length has a hundred times as many attention weights, but the module has as many parameters as before. The query of
token 0 is compared with the keys of all tokens, its own included, unless a mask forbids some. The new vector of token
0 is the sum of the values of *all* tokens, each times the weight that token 0 gives to it; if only its own value went
in, nothing could pass from one token to another, and there would be no context.

**Rubric.** One point each:
1. the projections are learned and the weights are computed from the input, *and* a sign by which to tell (the number of
   parameters does not depend on the length, or another input gives other weights); half a point without the sign;
2. all keys, its own included (a mask may forbid some); half a point for "all" if it stays open whether its own is
   meant;
3. the values of all tokens, in the weights of token 0's row; half a point if the weights are not said to be that row.
### END SOLUTION
"""

# %% [markdown]
r"""
## Stretch: attention that can tell near from far

Adding positions to the input is one way to tell a head about order. Another way is to tell the *scores* how far apart
two positions are. Shaw et al. (2018) learn a vector for each distance; Raffel et al. (2020), in T5, learn a
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

A worked example with $m = 1$, three positions, and query and key that say nothing, so that all dot products are 0. Let
the numbers be $b_{-1} = 0$, $b_0 = \ln 2$ and $b_1 = \ln 3$, so that their exponentials are 1, 2 and 3:

| | key 0 | key 1 | key 2 | sum | weights |
|---|---|---|---|---|---|
| query 0 | 2 | 3 | 3 | 8 | 0.25, 0.375, 0.375 |
| query 1 | 1 | 2 | 3 | 6 | 0.167, 0.333, 0.5 |
| query 2 | 1 | 1 | 2 | 4 | 0.25, 0.25, 0.5 |

Key 2 of query 0 is two places away, and shares the number of one place: 3.
"""

# %% demo
if __name__ == "__main__":
    exponentials = {-1: 1, 0: 2, 1: 3}
    for query in range(3):
        row = [exponentials[max(-1, min(1, key - query))] for key in range(3)]
        print(f"query {query}:", row, [round(number / sum(row), 3) for number in row])

# %% [markdown]
r"""
## Exercise 4: self-attention with relative positions

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
    [batch, queries, keys], as in SelfAttention. Sequences may be shorter or longer than max_distance. Scores may be
    of any size: a hidden key has a weight of exactly 0, however large its score. A query that may attend to
    nothing has weights and output of exactly 0, and no gradient holds NaN. Both results have the dtype of x, which
    is that of the parameters, and its device. The arguments are not changed. Nothing has to be raised.

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
The worked example with your module, and then the two sentences once more. The words have no positions added; the only
thing that knows about order is `distance_bias`.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        relative = RelativeSelfAttention(embed_dim=2, head_dim=1, max_distance=1)
        with torch.no_grad():
            for parameter in relative.parameters():
                parameter.zero_()
            relative.distance_bias.copy_(torch.tensor([1.0, 2.0, 3.0]).log())
            weights = relative(torch.zeros(1, 3, 2))[1][0]
        print("weights", [[round(weight, 3) for weight in row] for row in weights.tolist()])

        torch.manual_seed(6)
        relative = RelativeSelfAttention(embed_dim=32, head_dim=16, max_distance=1)
        for biases in ([0.0, 0.0, 0.0], [2.0, 0.0, 0.0]):
            with torch.no_grad():
                relative.distance_bias.copy_(torch.tensor(biases))
            before, after = (attend(words, embedding.token, relative)[0] for words in (first, second))
            print(
                f"biases {biases}: the output at dog is the same in both sentences:",
                torch.allclose(before[dog], after[man], atol=1e-5),
            )

# %% [markdown]
r"""
With biases of 0 it is the self-attention of exercise 1. With a bias of 2 for whatever stands before, the output at
*dog* is another one in the second sentence: in the first, one word stands before *dog*, in the second, four.

## Summary

- In self-attention query, key and value come from the same sequence, each through a projection of its own.
- The projections are learned. The weights are computed from each input.
- Query and key differ, so that looking is not mutual; the value differs from both, so that what is found need not be
  what it was found by.
- Padding is hidden as a key: the mask is `[batch, 1, keys]`.
- Without positions, self-attention treats the sequence as a set: when the words change places, the outputs change
  places with them, and nothing else happens.

## What people get wrong here

- **"The attention weights are a learnable parameter, too."** Then every sentence would get the same weights. What is
  learned are the projections; the weights follow from them and from the sentence.
- **"The query is compared with the keys of all *other* tokens."** Its own key is among them, unless a mask hides it.
- **"The value of the position itself is combined with its weights."** All values are: the weights of a query say how
  much of each position's value goes into its output. Otherwise nothing could pass from one position to another.
- **"The output at *it* must change when the sentence says something else."** Only if the vectors change. Self-attention
  alone sees no order, so it needs positions in its input or in its scores.
- **Masking the rows of padding instead of its columns.** What the padding asks for does not matter. What others take
  from it does.
- **Taking it for granted that padding stands at the end.** Many tokenizers can put it in front as well. A mask that is
  made from the tokens is right in both cases; a slice is not.
- **`x @ W` with the weight of an `nn.Linear`.** The layer holds its weight as `[size_out, size_in]` and multiplies by
  the transpose. With equal sizes the wrong product raises no error.
- **A batch axis taken for the sequence.** Several modules of PyTorch, `nn.MultiheadAttention` among them, expect
  `[time, batch, features]` unless they get `batch_first=True`. Here the batch comes first, and no sentence may ever
  influence another one.

## Read next

- Vaswani et al. (2017), *Attention Is All You Need*: section 3.2, section 3.5 for the positions that are added to the
  input, and section 4 on why self-attention.
- Shaw, Uszkoreit and Vaswani (2018), *Self-Attention with Relative Position Representations*: section 3.
- Raffel et al. (2020), *Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer*: section
  2.1.
- The documentation of the tokenizers in `transformers`: `padding_side` says where padding is put.

Lesson 7, *Scaled dot-product attention*, opens the box that you used here. Lesson 8, *Multi-head attention*, runs
several heads side by side. Lesson 10, *Positional embeddings*, gives the words their places.
"""
