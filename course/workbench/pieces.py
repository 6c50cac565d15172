"""Pieces of a text, inside which byte-level BPE merges bytes."""

import functools
import re

from .letters import LETTERS, NUMBERS, SPACES, between

Merges = list[tuple[bytes, bytes]]  # in the order in which they were found


@functools.cache
def _pattern() -> re.Pattern[str]:
    """Return GPT-2's expression for a piece (Radford et al. 2019), with a piece for each digit, as SmolLM2 has it."""
    letter, number, space = map(between, (LETTERS, NUMBERS, SPACES))
    return re.compile(
        "|".join(
            (
                f"[{number}]",
                "'(?:[sdmt]|ll|ve|re)",
                f" ?[{letter}]+",
                f" ?[^{space}{letter}{number}]+",
                # White space keeps its last blank for the word behind it; a digit takes none.
                f"[{space}]+(?![^{space}{number}])",
                f"[{space}]+",
            )
        )
    )


def pieces(text: str) -> list[str]:
    """Return a text cut into the pieces inside which bytes are merged, as SmolLM2's tokenizer cuts it.

    A piece is a word with the blank before it, a contraction such as 's, a single digit, a run of other signs with the
    blank before them, or white space. Joined, they are the text.
    """
    return _pattern().findall(text)
