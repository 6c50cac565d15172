"""Tokens of byte-level BPE: pieces of a text, vocabularies, and those of SmolLM2, as bytes.

A vocabulary is {token: id}, where a token is `bytes`. Merges are pairs of tokens, in the order in which they were
found: the earlier one goes first.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from . import smollm2
from .gguf_file import GgufFile
from .pieces import Merges as Merges
from .pieces import pieces as pieces

CONTROL = 3  # the kind of token, in a GGUF file, that stands for no text


def byte_vocabulary(merges: Sequence[tuple[bytes, bytes]]) -> dict[bytes, int]:
    """Return {token: id}: 0 to 255 for the bytes, and from 256 on what the merges make, in their order."""
    vocabulary = {bytes([byte]): byte for byte in range(256)}
    for left, right in merges:
        # Two merges may make the same token.
        vocabulary.setdefault(left + right, len(vocabulary))
    return vocabulary


# SmolLM2


@dataclass(frozen=True)
class Tokens:
    """The tokens of a published model.

    merges      [(left, right)], the earliest first
    vocabulary  {token: id}, the special ones included
    special     {"<|im_start|>": id}: tokens that stand for no text; no merges lead to them
    """

    merges: Merges
    vocabulary: dict[bytes, int]
    special: dict[str, int]


@functools.cache
def printable_bytes() -> dict[str, int]:
    """Return {character: byte} of GPT-2's alphabet, which writes each byte as a character that can be seen.

    A byte that Latin-1 shows is its own character; the others, such as the blank, are those from U+0100 on, in order.
    """
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(0x100 + place): byte for place, byte in enumerate(hidden)}


@functools.cache
def smollm2_tokens() -> Tokens:
    """Return the tokens of SmolLM2-135M-Instruct (Apache-2.0); reading them takes some seconds, once.

    Raises PretrainedError if a package is not installed, or if its file is not the one that we know.
    """
    file = GgufFile(smollm2.path())
    return _tokens(*(file.settings[f"tokenizer.ggml.{name}"] for name in ("tokens", "merges", "token_type")))


def _tokens(tokens: Sequence[str], merges: Sequence[str], kinds: Sequence[int]) -> Tokens:
    """Return tokens as bytes that were written in GPT-2's alphabet; special ones are written as they are."""
    alphabet = printable_bytes()

    def read(token: str) -> bytes:
        return bytes(alphabet[character] for character in token)

    special = {token: number for number, token in enumerate(tokens) if kinds[number] == CONTROL}
    return Tokens(
        [(read(left), read(right)) for left, _, right in (merge.partition(" ") for merge in merges)],
        {token.encode() if token in special else read(token): number for number, token in enumerate(tokens)},
        special,
    )


Encode = Callable[[str, Merges, dict[bytes, int]], list[int]]


def encode_with_special(text: str, encode: Encode, tokens: Tokens) -> list[int]:
    """Return the ids of a text in which special tokens may stand, such as <|im_start|>; `encode` does the rest.

    It is for prompts that the program writes. What a person has typed goes through `encode` alone: it must not be able
    to end its own turn.
    """
    ids: list[int] = []
    for part in re.split(f"({_any_of(tokens.special)})", text):
        ids += [tokens.special[part]] if part in tokens.special else encode(part, tokens.merges, tokens.vocabulary)
    return ids


def _any_of(special: Mapping[str, int]) -> str:
    """Return an expression for any of the special tokens, the longest first; without one, for nothing."""
    return "|".join(map(re.escape, sorted(special, key=len, reverse=True))) or "(?!)"
