"""A task for a classifier: does a short review say good or bad? A model that only counts words cannot tell.

Every review names a good and a bad word, one as what was so and one as what was not: `it was warm , not boring`. Its
mirror image exchanges the two, has exactly the same words, and says the opposite. Whoever decides by the words alone,
in whatever way, answers both alike and is right on one of them. Reviews always come together with their mirror images,
so such a reader is right on exactly one half.
"""

import random
from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F

from .data import draw

BAD, GOOD = 0, 1
LABELS = ("bad", "good")

GOOD_WORDS = "brilliant charming clever cosy delightful friendly generous graceful lively superb warm wonderful".split()
BAD_WORDS = "awful boring bleak careless clumsy cold dreadful gloomy noisy rude shabby tiring".split()
SUBJECTS = "evening play concert dinner hotel museum book game tour lesson".split()
# {so} is what was so and {not} what was not. In half of them the one comes first, in half the other, so that the order
# of the two words alone does not tell either.
VERDICTS = [
    "the {subject} was {so} , not {not}",
    "the {subject} was not {not} but {so}",
    "the {subject} was {so} and never {not}",
    "the {subject} was never {not} , it was {so}",
    "we found the {subject} {so} , others had called it {not}",
    "others had called the {subject} {not} , we found it {so}",
    "the {subject} was {so} although we had expected it to be {not}",
    "although we had expected the {subject} to be {not} , it was {so}",
    "nobody could call the {subject} {not} , it was {so}",
    "the {subject} was {so} , nobody could call it {not}",
    "anything but {not} , the {subject} was {so}",
    "the {subject} was {so} , anything but {not}",
]
# Sentences without a verdict, around the one that counts.
ASIDES = [
    "we went there on a monday .",
    "my sister had chosen it .",
    "it took two hours .",
    "there were four of us .",
    "we paid at the door .",
    "it was not far .",
    "a friend told us about it .",
    "we had never been there .",
]

# A training that ends within two minutes on two cores. The token vectors have to start small, as BERT's do,
#     nn.init.normal_(model.embedding.token.weight, std=TOKEN_STD)
# or the positions, which start at 0.02 too, go unseen beside them for the first hundreds of steps.
MODEL = {"embed_dim": 48, "num_heads": 4, "ff_dim": 192, "num_layers": 2, "max_len": 48, "num_classes": 2}
TOKEN_STD, STEPS, BATCH_SIZE, LEARNING_RATE = 0.02, 450, 64, 2e-3


class WordTokenizer:
    """One token per word, after three tokens that are no words: padding, [CLS] in front of a text, and [MASK]."""

    pad_id, cls_id, mask_id = 0, 1, 2

    def __init__(self, words: Iterable[str]) -> None:
        """Give the words, in their order, the ids from 3 upwards."""
        self.words = ("[PAD]", "[CLS]", "[MASK]", *dict.fromkeys(words))
        self._ids = {word: number for number, word in enumerate(self.words)}

    @property
    def vocab_size(self) -> int:
        """How many ids there are, the three special ones included."""
        return len(self.words)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, words separated by blanks, as a list that begins with [CLS].

        Raises ValueError for a word that is not known.
        """
        unknown = [word for word in text.split() if word not in self._ids]
        if unknown:
            raise ValueError(
                f"{text!r} holds {unknown[0]!r}, which this tokenizer does not know; its words are "
                f"{' '.join(self.words[3:])}"
            )
        return [self.cls_id, *(self._ids[word] for word in text.split())]

    def decode(self, ids: torch.Tensor | Iterable[int]) -> list[str]:
        """Return the words of a row of ids as a list, [CLS] included and padding left out."""
        return [self.words[number] for number in map(int, ids) if number != self.pad_id]

    def batch(self, texts: Iterable[str]) -> torch.Tensor:
        """Return the ids of several texts, int64 [batch, time], padded after the end of each."""
        rows = [self.encode(text) for text in texts]
        time = max(map(len, rows))
        return torch.tensor([row + [self.pad_id] * (time - len(row)) for row in rows], dtype=torch.int64)


REVIEWS = WordTokenizer(
    sorted(
        {
            word
            for text in (*GOOD_WORDS, *BAD_WORDS, *SUBJECTS, *ASIDES, *VERDICTS, ".")
            for word in text.split()
            if not word.startswith("{")
        }
    )
)


def split_opinions(seed: int = 0, held_out: int = 24) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return (training, held-out): lists of (good word, bad word) that together are all such pairs, and share none.

    held_out  how many pairs no model meets in one review in training; each word by itself it does meet
    """
    pairs = [(good, bad) for good in GOOD_WORDS for bad in BAD_WORDS]
    numbers = random.Random(f"split of the opinions {seed}")
    for last in range(len(pairs) - 1, 0, -1):
        other = int(numbers.random() * (last + 1))
        pairs[last], pairs[other] = pairs[other], pairs[last]
    return pairs[held_out:], pairs[:held_out]


def mirrored_reviews(opinions: Sequence[tuple[str, str]], count: int, seed: int = 0) -> list[tuple[str, int]]:
    """Return `count` (text, label), each even one followed by its mirror image; label 1 is good, 0 is bad.

    opinions  (good word, bad word) to draw from, such as those of `split_opinions`
    Raises ValueError if the count is odd.
    """
    if count % 2:
        raise ValueError(f"{count} reviews cannot all have a mirror image; choose an even number")
    numbers = random.Random(f"reviews {seed}")
    return [review for _ in range(count // 2) for review in _mirrored(opinions, numbers)]


def _mirrored(opinions: Sequence[tuple[str, str]], numbers: random.Random) -> list[tuple[str, int]]:
    """Return the review in which the good word is what was so, and the one in which the bad word is."""
    good, bad = draw(numbers, opinions)
    verdict, subject = draw(numbers, VERDICTS), draw(numbers, SUBJECTS)
    before, after = ([draw(numbers, ASIDES) for _ in range(draw(numbers, range(2)))] for _ in range(2))
    template = " ".join([*before, f"{verdict} .", *after])
    return [
        (template.format(subject=subject, **{"so": so, "not": other}), label)
        for so, other, label in ((good, bad, GOOD), (bad, good, BAD))
    ]


def review_tensors(reviews: Iterable[tuple[str, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (tokens [batch, time], labels [batch]) of [(text, label)]."""
    texts, labels = zip(*reviews, strict=True)
    return REVIEWS.batch(texts), torch.tensor(labels)


def review_batches(
    opinions: Sequence[tuple[str, str]], batch_size: int, seed: int = 0
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield (tokens, labels) without end, each batch drawn anew and every review in it with its mirror image."""
    numbers = random.Random(f"batches of reviews {seed}")
    while True:
        yield review_tensors([review for _ in range(batch_size // 2) for review in _mirrored(opinions, numbers)])


# What a model has to beat, and how it is measured


def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of rows whose largest logit is the one of the label.

    logits  [batch, num_classes]
    labels  [batch]
    """
    return (logits.argmax(-1) == labels).double().mean().item()


@torch.no_grad()
def held_out_accuracy(model: torch.nn.Module, reviews: Iterable[tuple[str, int]], batch_size: int = 256) -> float:
    """Return the share of reviews that a classifier gets right.

    model    returns (logits [batch, num_classes], weights) for tokens [batch, time]
    reviews  [(text, label)]
    """
    model.eval()
    device = next(model.parameters()).device
    tokens, labels = (tensor.to(device) for tensor in review_tensors(reviews))
    return accuracy(torch.cat([model(rows)[0] for rows in tokens.split(batch_size)]), labels)


def word_counts(reviews: Iterable[tuple[str, int]]) -> torch.Tensor:
    """Return how often each word occurs in each review, [reviews, vocab_size]; padding and [CLS] are no words."""
    tokens, _ = review_tensors(reviews)
    counts = F.one_hot(tokens, REVIEWS.vocab_size).sum(1).float()
    counts[:, [REVIEWS.pad_id, REVIEWS.cls_id]] = 0
    return counts


def bag_of_words_accuracy(
    training_reviews: Sequence[tuple[str, int]], held_out_reviews: Sequence[tuple[str, int]], steps: int = 200
) -> float:
    """Return the share of held-out reviews that a logistic regression on word counts gets right.

    It is trained on the training reviews, with a weight for each word and one for each class.
    """
    counts, labels = word_counts(training_reviews), torch.tensor([label for _, label in training_reviews])
    weight = torch.zeros(len(LABELS), REVIEWS.vocab_size, requires_grad=True)
    bias = torch.zeros(len(LABELS), requires_grad=True)
    optimizer = torch.optim.Adam([weight, bias], lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(F.linear(counts, weight, bias), labels).backward()
        optimizer.step()
    labels = torch.tensor([label for _, label in held_out_reviews])
    # Each different bag is answered once: on the edge between the classes rounding would else answer equal bags unlike.
    bags, which = word_counts(held_out_reviews).unique(dim=0, return_inverse=True)
    with torch.no_grad():
        return accuracy(F.linear(bags, weight, bias)[which], labels)
