"""The tokens of the capstone: the reference and the alternatives against the library `tokenizers`, on odd texts."""

import random
import re

import lessons
import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from workbench import parts, tokens

LESSON = next(lesson for lesson, exercise in lessons.EXERCISES if exercise == "encode")
TEXTS = [
    "I'm sure they'll say: 3.14159 is 10 000,5?\n\n  \tZoë\u00a0naïve \r\n",
    "Москва, Ελληνικά, हिन्दी १२३, 日本語の文章; ½Ⅷ² \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\x00\x04!\x04!! \U00040000\U000e0100\ufeff" + "7" * 200 + " " * 200 + "ab" * 200,
]


def hands(exercise):
    """Return {name: a right answer} of all that the course knows."""
    known = {f"alternative {name}": one for name, one in lessons.alternatives(LESSON).of(exercise)}
    right = lessons.catalogue(LESSON).right(exercise)
    return known | {"reference": getattr(lessons.reference(LESSON), exercise), "right steps": right}


@pytest.fixture(scope="module")
def smollm2():
    try:
        return tokens.smollm2_tokens()
    except tokens.PretrainedError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def witness(smollm2):
    letter = {byte: character for character, byte in tokens.printable_bytes().items()}
    shown = {
        token: token.decode() if number in smollm2.special.values() else "".join(letter[byte] for byte in token)
        for token, number in smollm2.vocabulary.items()
    }
    merges = [(shown[left], shown[right]) for left, right in smollm2.merges]
    made = tokenizers.Tokenizer(
        models.BPE({shown[token]: number for token, number in smollm2.vocabulary.items()}, merges)
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    made.decoder = decoders.ByteLevel()
    return made


@pytest.mark.parametrize("name", hands("encode"))
def test_every_right_answer_gives_the_ids_of_smollm2(name, smollm2, witness):
    slow = "searched_in_the_list" in name  # it looks for each pair in the list of 48 900
    for text in [text[:12] for text in TEXTS] if slow else TEXTS:
        ids = hands("encode")[name](text, smollm2.merges, smollm2.vocabulary)
        assert list(ids) == witness.encode(text).ids


@pytest.mark.parametrize("name", hands("decode"))
def test_every_right_answer_gives_the_text_of_smollm2(name, smollm2, witness):
    numbers = random.Random("decode")
    for text in TEXTS:
        ids = witness.encode(text).ids
        for some in (ids, ids[1:-1], numbers.sample(ids, len(ids))):
            assert hands("decode")[name](some, smollm2.vocabulary) == witness.decode(some, skip_special_tokens=False)


@pytest.mark.parametrize("name", hands("train_merges"))
def test_every_right_answer_finds_the_merges_of_the_closed_box(name):
    for text in TEXTS:
        assert hands("train_merges")[name](text, 30) == parts.train_merges(text, 30)


def test_the_example_by_pencil_is_right():
    text = lessons.TEXTS[LESSON].read_text(encoding="utf-8")
    merged = re.findall(r"^\| \*(.+?)\* \|", text, re.MULTILINE)
    expected = [tuple(one.replace("␣", " ") for one in re.split(r" (?=\S)", pair)) for pair in merged]
    found = lessons.reference(LESSON).train_merges("see seed seeds", 10)
    assert [(left.decode(), right.decode()) for left, right in found] == expected
