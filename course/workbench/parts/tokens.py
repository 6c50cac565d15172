"""Closed boxes for the tokens of the capstone: byte-level BPE (Sennrich et al. 2016; Radford et al. 2019)."""

import collections
import itertools
from collections.abc import Mapping, Sequence

from ..pieces import Merges, pieces


def train_merges(text: str, count: int) -> Merges:
    """Return the first `count` merges of a text, as pairs of bytes; fewer if nothing is left to merge."""
    words = collections.Counter(pieces(text))
    split = {word: [bytes([byte]) for byte in word.encode()] for word in words}
    pairs: collections.Counter[tuple[bytes, bytes]] = collections.Counter()
    where: dict[tuple[bytes, bytes], set[str]] = collections.defaultdict(set)

    def note(word: str, times: int) -> None:
        for pair in itertools.pairwise(split[word]):
            pairs[pair] += times
            where[pair].add(word)

    for word, times in words.items():
        note(word, times)
    merges: Merges = []
    while len(merges) < count and (pairs := +pairs):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for word in where.pop(best):
            note(word, -words[word])
            split[word] = merged(split[word], best)
            note(word, words[word])
    return merges


def merged(tokens: Sequence[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    """Return tokens in which a pair has become one wherever it stands, from left to right."""
    done: list[bytes] = []
    place = 0
    while place < len(tokens):
        found = tuple(tokens[place : place + 2]) == pair
        done.append(pair[0] + pair[1] if found else tokens[place])
        place += 2 if found else 1
    return done


def encode(text: str, merges: Sequence[tuple[bytes, bytes]], vocabulary: Mapping[bytes, int]) -> list[int]:
    """Return the ids of a text; a byte that the vocabulary lacks is left out before anything is merged."""
    ranks = {pair: rank for rank, pair in reversed(list(enumerate(merges)))}
    known: dict[str, list[int]] = {}
    ids: list[int] = []
    for piece in pieces(text):
        if piece not in known:
            tokens = [bytes([byte]) for byte in piece.encode() if bytes([byte]) in vocabulary]
            while pairs := [pair for pair in itertools.pairwise(tokens) if pair in ranks]:
                tokens = merged(tokens, min(pairs, key=ranks.__getitem__))
            known[piece] = [vocabulary[token] for token in tokens]
        ids += known[piece]
    return ids


def decode(ids: Sequence[int], vocabulary: Mapping[bytes, int]) -> str:
    """Return the text of ids, with U+FFFD for bytes that are no UTF-8."""
    tokens = {number: token for token, number in vocabulary.items()}
    return b"".join(tokens[number] for number in ids).decode("utf-8", errors="replace")
