# %% [markdown] lesson=3 title="Encoder-only"
r"""
# 3. Encoder-only

An encoder that reads a whole text and says something about it: what it is about, whether two texts mean the same, or
which word is hidden in it. This is BERT. In this lesson you build a classifier that reads from its first token, and the
game by which such a model learns from plain text: hide some words and guess them. The weights of a BERT from the
`transformers` library fit into your model, and its numbers are then BERT's.

You need Python, a little PyTorch, and an idea of what an encoder does (lesson 1). Lesson 1 need not be solved: its
parts are imported below, ready to use.

**How to work.** Run the cells from top to bottom. In an exercise, replace the lines `raise NotImplementedError(...)`
by your own code and run the cell; the cell below it checks your answer and, if it is wrong, tells you which mistake
it recognises. If you are stuck, write `hint("mask_tokens")` in a new cell: every call opens one more of three hints,
and the last one is nearly the answer. `progress()` shows where you stand.
"""

# %%
import torch
import torch.nn.functional as F
from torch import nn

from autograder import check, hint, progress
from workbench import figures
from workbench.parts import Encoder, TransformerEmbedding, padding_mask

# %% [markdown]
r"""
## Where you are

The left half of the picture, with its own end: there is no decoder, and what the encoder has made of the first token
goes into a small head that gives one number per class.
"""

# %% demo
if __name__ == "__main__":
    figures.transformer_map(lit="encoder")

# %% [markdown]
r"""
| exercise | minutes | difficulty | importance | points |
|---|---|---|---|---|
| 1. `SequenceClassifier` | 20 | medium | high: the whole model | 4 |
| 2. `mask_tokens` | 20 | medium | high: where BERT's questions come from | 3 |
| 3. `masked_language_model_loss` | 5 | easy | high: only what was asked may count | 2 |
| 4. `sentence_embedding` (stretch) | 10 | easy | medium: the base of semantic search | 1 |
"""

# %% [markdown]
r"""
## The idea in words

In an encoder every token sees every other one. So one token is enough to speak for the whole text, if it learns to
collect what matters. BERT puts a token of its own in front of each text for this purpose, `[CLS]`, which stands for no
word. What the last layer gives at this place goes through the *pooler*, a linear layer with a tanh, and then through
the head, a linear layer that gives one logit per class.

Texts in a batch have different lengths, and the shorter ones are filled up with padding. Padding is no part of a text:
the answer for a text must be the same, however much padding stands behind it. So no token may attend to padding.

Where does such a model get its knowledge of a language? Not from labels, which are few. Some tokens of a plain text
are hidden, and the model guesses them from both sides. A decoder must not see what comes later; an encoder may,
because what it has to guess has been taken out of its input.
"""

# %% [markdown]
r"""
## The formula

$$\begin{aligned}
x &= \mathrm{LayerNorm}(E_{\mathrm{token}} + E_{\mathrm{position}}) \\
h &= \mathrm{Encoder}(x) \\
\mathrm{logits} &= W_{\mathrm{head}} \tanh(W_{\mathrm{pooler}}\, h_0 + b_{\mathrm{pooler}}) + b_{\mathrm{head}}
\end{aligned}$$

| symbol | name | shape |
|---|---|---|
| the text | `tokens` | `[batch, time]`, whole numbers below `vocab_size`, `[CLS]` first |
| $x$, $h$ | | `[batch, time, embed_dim]` |
| $h_0$ | the state of `[CLS]` | `[batch, embed_dim]` |
| the result | `logits` | `[batch, num_classes]` |

BERT (Devlin et al. 2019) has three more traits. Its positions are *learned*. Its layers are *post-norm*, as in the paper of
2017, with a GELU as activation. And it adds one vector per *segment*, which tells the first of two texts from the
second; with a single text this is one constant vector, which can be added to every row of the position table, so the
model of this lesson does without.
"""

# %% [markdown] predict="padding_seen"
r"""
**Predict.** A text of 5 tokens stands in a batch with one of 8, so it gets 3 tokens of padding. Somebody forgets the
padding mask. What happens to the logits of the short text?

- [ ] Nothing: the token [PAD] has no meaning, so its vector is 0 :: Padding has a row in the token table like any other token, and a position besides. Some implementations keep that row at 0, but the position and the layers make something of it all the same.
- [ ] Nothing: the head reads only [CLS] :: The head does, but [CLS] is a mixture of all tokens that it attends to, and without a mask the three paddings are among them.
- [x] They change, and change again with the length of the other text :: [CLS] gives part of its attention to padding. The answer for a text then depends on its neighbours in the batch, which is hard to find, because nothing fails.
"""

# %% [markdown]
r"""
## Exercise 1: a classifier
"""

# %% exercise="SequenceClassifier"
class SequenceClassifier(nn.Module):
    """An encoder that classifies a text by its first token (BERT: Devlin et al. 2019, section 3).

    vocab_size   how many tokens there are
    embed_dim    features of each position
    num_heads    heads of each attention; a divisor of embed_dim
    ff_dim       hidden features of each feed-forward network
    num_layers   how many layers the encoder has
    max_len      the longest sequence
    num_classes  how many classes there are
    pad_id       the id that stands for padding
    dropout      of the embedding and of the encoder
    activation   of the feed-forward networks

    It has these parts, under these names:
    embedding    TransformerEmbedding with learned positions
    norm         nn.LayerNorm of what the embedding gives
    encoder      Encoder with norm_first=False
    pooler       nn.Linear from embed_dim to embed_dim, followed by tanh
    head         nn.Linear from embed_dim to num_classes
    """

    def __init__(self, vocab_size, embed_dim, num_heads, ff_dim, num_layers, max_len, num_classes, pad_id,
                 dropout=0.0, activation=F.gelu):
        super().__init__()
        ### BEGIN SOLUTION
        self.pad_id = pad_id
        self.embedding = TransformerEmbedding(vocab_size, embed_dim, max_len, positions="learned", dropout=dropout)
        self.norm = nn.LayerNorm(embed_dim)
        self.encoder = Encoder(num_layers, embed_dim, num_heads, ff_dim, dropout, activation=activation)
        self.pooler = nn.Linear(embed_dim, embed_dim)
        self.head = nn.Linear(embed_dim, num_classes)
        ### END SOLUTION

    def forward(self, tokens):
        """Return (logits, weights).

        tokens   [batch, time]  integer, time at most max_len; the first token of each text is [CLS], and the
                 end of a text may be filled with pad_id

        logits   [batch, num_classes]  from the first token alone, before any softmax
        weights  a list with the attention weights of each layer, [batch, heads, queries, keys]

        Every token sees every token that is not padding, and no padding. The logits of a text do not depend
        on how much padding follows it. The embedding raises the ValueError for a sequence that is too long.
        """
        ### BEGIN SOLUTION
        x = self.norm(self.embedding(tokens))
        x, weights = self.encoder(x, padding_mask(tokens, self.pad_id))
        pooled = torch.tanh(self.pooler(x[:, 0]))  # [batch, embed_dim]: the state of [CLS]
        return self.head(pooled), weights
        ### END SOLUTION

# %% [markdown] hint="SequenceClassifier"
r"""
Five parts in the constructor, and in `forward` one after the other: embedding, norm, encoder, pooler, head. Read
`help(TransformerEmbedding)` and `help(Encoder)`: which defaults are not BERT's? Where does the encoder learn what is
padding?
"""

# %% [markdown] hint="SequenceClassifier"
r"""
`padding_mask(tokens, pad_id)` gives `[batch, 1, keys]`, True where a key is no padding: this is the mask that the encoder
wants. It returns the states and the list of weights. Of the states, `[CLS]` is `x[:, 0]`. `dropout` and `activation` must
be handed on.
"""

# %% [markdown] hint="SequenceClassifier"
r"""
In the constructor `TransformerEmbedding(vocab_size, embed_dim, max_len, positions="learned", dropout=dropout)` and
`Encoder(num_layers, embed_dim, num_heads, ff_dim, dropout, activation=activation)`, then `nn.LayerNorm` and the two
linear layers. In `forward`: `x, weights = self.encoder(self.norm(self.embedding(tokens)), padding_mask(tokens, self.pad_id))`,
and return `self.head(torch.tanh(self.pooler(x[:, 0])))` with the weights.
"""

# %% check="SequenceClassifier" points=4

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(3)
        model = SequenceClassifier(vocab_size=50, embed_dim=24, num_heads=3, ff_dim=64, num_layers=2, max_len=12,
                                   num_classes=4, pad_id=0)
        text = torch.tensor([[1, 23, 42, 7, 2]])  # [CLS], three words, [SEP]
        padded = F.pad(text, (0, 3), value=0)
        print("logits         ", [round(logit, 3) for logit in model(text)[0][0].tolist()])
        print("with padding   ", [round(logit, 3) for logit in model(padded)[0][0].tolist()])
        print("[CLS] looks at ", [round(weight, 3) for weight in model(padded)[1][0][0, 0, 0].tolist()])

# %% [markdown]
r"""
## Hiding tokens

BERT's training text is prepared like this (Devlin et al. 2019, section 3.1). Each token is chosen with probability 15 %.
Of the chosen ones

- 80 % are replaced by the token `[MASK]`,
- 10 % are replaced by a random token of the vocabulary,
- 10 % stay as they are,

and *all* chosen ones are to be guessed. Why not always `[MASK]`? In use the model never meets that token. If it had
something to say only where `[MASK]` stands, it could be careless about all other places. Now any token may be one
that is asked for, and any token may be wrong, so a good state is needed everywhere.

`[CLS]`, `[SEP]`, padding and the like are no words: special tokens are never chosen.

By hand: of a text of 200 ordinary tokens about 30 are chosen; about 24 of them become `[MASK]`, 3 become some other
token, 3 stay. 30 places have a label, the token that stood there. The other 170 have the label −100, the number that
`F.cross_entropy` leaves out.

## Exercise 2: mask the tokens
"""

# %% exercise="mask_tokens"
def mask_tokens(tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None):
    """Return (inputs, labels) for guessing hidden tokens (Devlin et al. 2019, section 3.1).

    tokens       [batch, time]  integer: the texts
    mask_id      the id of [MASK]
    vocab_size   how many tokens there are
    special_ids  list of the ids that are never chosen: [CLS], [SEP], padding and so on
    probability  with which each other token is chosen
    generator    torch.Generator to draw with; None: the global one

    Each token is drawn for by itself, in every text anew. Of the chosen ones 80 % become mask_id, 10 %
    become a random token, any of the vocabulary with equal probability, and 10 % stay.

    inputs  [batch, time]  what the model reads
    labels  [batch, time]  the true token where one was chosen, whatever became of it, and -100 elsewhere

    All draws come from the generator. The argument is not changed, and the results live where it lives.
    """
    ### BEGIN SOLUTION
    def draw():  # one number between 0 and 1 for each token
        return torch.rand(tokens.shape, generator=generator, device=tokens.device)

    special = torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))
    chosen = (draw() < probability) & ~special
    labels = tokens.masked_fill(~chosen, -100)

    fate = draw()
    random_tokens = torch.randint(vocab_size, tokens.shape, generator=generator, device=tokens.device)
    inputs = tokens.masked_fill(chosen & (fate < 0.8), mask_id)
    inputs = torch.where(chosen & (fate >= 0.9), random_tokens, inputs)
    return inputs, labels
    ### END SOLUTION

# %% [markdown] hint="mask_tokens"
r"""
Two questions for each token, answered by two draws: is it chosen, and if so, what becomes of it? The labels need only the
first answer. `torch.rand(tokens.shape, generator=generator)` gives one number between 0 and 1 for each token; how often
is it below 0.15?
"""

# %% [markdown] hint="mask_tokens"
r"""
`torch.isin(tokens, torch.tensor(special_ids))` says where special tokens stand. With `chosen` known, the labels are
`tokens.masked_fill(~chosen, -100)`. For the fate of the chosen draw a second time: below 0.8 is `[MASK]`, from 0.9 on is a
random token, and what lies between stays.
"""

# %% [markdown] hint="mask_tokens"
r"""
`chosen = (torch.rand(...) < probability) & ~special`, and `fate = torch.rand(...)`. Then
`inputs = tokens.masked_fill(chosen & (fate < 0.8), mask_id)` and
`inputs = torch.where(chosen & (fate >= 0.9), torch.randint(vocab_size, tokens.shape, generator=generator), inputs)`.
Give `generator=generator` and `device=tokens.device` to every draw.
"""

# %% check="mask_tokens" points=3

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        text = torch.arange(100, 116).unsqueeze(0)
        inputs, labels = mask_tokens(text, mask_id=4, vocab_size=1000, special_ids=[0, 1, 2, 4], probability=0.4,
                                     generator=torch.Generator().manual_seed(3))
        for name, row in (("text", text), ("inputs", inputs), ("labels", labels)):
            print(f"{name:7}", "".join(f"{token:5}" for token in row[0].tolist()))

# %% [markdown]
r"""
## Exercise 3: the loss

The model gives logits for every place, but only the chosen ones were a question. At all others the token stands in plain
sight, and a model that is praised for repeating what it sees learns nothing else.

By hand, for a text of four tokens of which two were chosen: if the model gives the true tokens the probabilities 1/2
and 1/4 there, the loss is $(0.693 + 1.386) / 2 = 1.040$, whatever it says at the other two.
"""

# %% exercise="masked_language_model_loss"
def masked_language_model_loss(logits, labels):
    """Return the mean cross-entropy of the tokens that were to be guessed (Devlin et al. 2019, section 3.1).

    logits  [batch, time, vocab_size]  floating point: what the model says at each place, before any softmax
    labels  [batch, time]  integer: the true token, or -100 where nothing was to be guessed

    The result is a tensor without axes, in nats: the sum over all places with a label, of all texts
    together, divided by their number. Logits and labels belong together place by place. Gradients reach
    the logits. The arguments are not changed. Nothing has to be raised; labels that are all -100 are
    never given.
    """
    ### BEGIN SOLUTION
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    ### END SOLUTION

# %% [markdown] hint="masked_language_model_loss"
r"""
`F.cross_entropy` wants the classes on axis 1: `[rows, classes]` with `[rows]` targets. What are the rows here? And what
does its argument `ignore_index` do?
"""

# %% [markdown] hint="masked_language_model_loss"
r"""
Every place of every text is a row: flatten batch and time into one axis, of the logits and of the labels. Nothing is
shifted: the logits of a place are about the token of this place.
"""

# %% [markdown] hint="masked_language_model_loss"
r"""
`F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)`; -100 is also the default.
"""

# %% check="masked_language_model_loss" points=2

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        logits = torch.log(torch.tensor([[[0.5, 0.3, 0.2], [0.9, 0.05, 0.05], [0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]]))
        labels = torch.tensor([[0, -100, 1, -100]])
        print(f"{masked_language_model_loss(logits, labels):.3f}")

# %% [markdown]
r"""
## Stretch: one vector for a text

To find texts that mean the same, each text gets one vector, and vectors are compared. The state of `[CLS]` seems made for
this, but before it is trained for a task it serves badly; the *mean* of all states is better (Reimers and Gurevych 2019,
section 3). The vectors are scaled to length 1, so that the dot product of two of them is the cosine of their angle: 1
for the same direction, 0 for a right angle.

Padding must not be part of the mean. Its states are there, and they are not 0.

## Exercise 4: a sentence embedding
"""

# %% exercise="sentence_embedding"
def sentence_embedding(states, mask):
    """Return one vector of length 1 for each text (Reimers and Gurevych 2019, section 3).

    states  [batch, time, embed_dim]  floating point: what the encoder gives
    mask    [batch, time]  boolean, True where a token is no padding; at least one in each text

    The result is [batch, embed_dim]: the mean of the states that the mask keeps, divided by its Euclidean
    length. It has the dtype and the device of states. The arguments are not changed.
    """
    ### BEGIN SOLUTION
    kept = mask.unsqueeze(-1)  # [batch, time, 1]
    mean = (states * kept).sum(dim=1) / kept.sum(dim=1)
    return F.normalize(mean, dim=-1)
    ### END SOLUTION

# %% [markdown] hint="sentence_embedding"
r"""
`states.mean(dim=1)` would be the mean over all places. What must happen to the states of padding before they are added
up, and by what number must the sum be divided?
"""

# %% [markdown] hint="sentence_embedding"
r"""
Give the mask a last axis, `mask.unsqueeze(-1)`, so that it fits the states: `[batch, time, 1]`. As a factor True counts
as 1 and False as 0. The number of kept tokens of each text is the sum of the mask along the same axis.
"""

# %% [markdown] hint="sentence_embedding"
r"""
With `kept = mask.unsqueeze(-1)`: the mean is `(states * kept).sum(dim=1) / kept.sum(dim=1)`, and `F.normalize(mean, dim=-1)`
divides each row by its length.
"""

# %% check="sentence_embedding" points=1

# %% [markdown]
r"""
## Trained on a small task

Is *it was warm , not boring* good, and *it was boring , not warm* bad? The two have exactly the same words, so whoever
decides by counting words, in whatever way, is right on one half of such pairs. `workbench.classification` makes reviews
of this kind, always with their mirror image, and keeps pairs of opinion words for measuring that no training review
holds:

```python
from workbench import classification
from workbench.training import train

opinions, held_out = classification.split_opinions()
model = SequenceClassifier(classification.REVIEWS.vocab_size, pad_id=classification.REVIEWS.pad_id, **classification.MODEL)
torch.nn.init.normal_(model.embedding.token.weight, std=classification.TOKEN_STD)
train(model, classification.review_batches(opinions, classification.BATCH_SIZE),
      lambda model, tokens, labels: F.cross_entropy(model(tokens)[0], labels),
      classification.STEPS, classification.LEARNING_RATE)
classification.held_out_accuracy(model, classification.mirrored_reviews(held_out, 1000))
```

As measured with the closed boxes on a CPU (65 330 parameters, 450 steps of 64 reviews): all of 2000 held-out reviews
right, after 12 seconds on one core, where a trained bag of words gets exactly 50 %. In the first layer, three heads give
0.52 to 0.66 of the weight of [CLS] to the two opinion words; an even share would be 0.12. Which heads these are changes
with the seed.
"""

# %% [markdown]
r"""
## What people get wrong here

- **The mean, or the last token, in the classifier.** A mean can be a good choice too, as the stretch shows, but BERT's
  pooler and head are trained on the state of `[CLS]`, and their weights are worth nothing elsewhere.
- **Padding as a word.** Without the mask everything runs, trains and scores a little worse; and the answer depends on
  the batch. With the mask turned round, the model reads nothing *but* padding.
- **Labels everywhere.** With the loss over all places the model is praised for copying 85 % of its input.
- **Labels from the inputs.** The label is the token *before* it was hidden. Code that changes `tokens` in place and
  then copies it asks the model to guess `[MASK]`.
- **80/10/10 of the chosen ones**, not of all; and drawn in two steps, the second step splits what the first has left.

## What to read next

- Devlin et al. (2019), *BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding*, sections 3
  and 3.1; appendix C.2 compares other shares than 80/10/10.
- Liu et al. (2019), *RoBERTa*: the same model, trained with new masks in every epoch.
- Reimers and Gurevych (2019), *Sentence-BERT*: one vector for a sentence.
"""
