"""Text that every learner has: the source of Python's own standard library, one character per token.

Nothing is downloaded and no module is run: files are read where the running Python keeps them. Another version of
Python has slightly other files: from 3.11 to 3.13 a loss changed by about 0.02.
"""

import collections
import math
import random
import sysconfig
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F

from .data import CharacterTokenizer, draw

# Modules that are a single file from Python 3.11 on: about 2.4 million characters, and 0.2 million held out.
TRAINING_MODULES = (
    "argparse",
    "ast",
    "bdb",
    "calendar",
    "cmd",
    "codecs",
    "configparser",
    "contextlib",
    "csv",
    "dataclasses",
    "difflib",
    "dis",
    "doctest",
    "enum",
    "fractions",
    "ftplib",
    "functools",
    "gzip",
    "inspect",
    "ipaddress",
    "mailbox",
    "mimetypes",
    "ntpath",
    "optparse",
    "os",
    "pdb",
    "pickle",
    "pickletools",
    "platform",
    "plistlib",
    "pprint",
    "profile",
    "queue",
    "random",
    "selectors",
    "shlex",
    "smtplib",
    "socket",
    "socketserver",
    "ssl",
    "statistics",
    "subprocess",
    "tarfile",
    "tempfile",
    "threading",
    "trace",
    "traceback",
    "typing",
    "uuid",
    "weakref",
)
HELD_OUT_MODULES = ("copy", "gettext", "heapq", "shutil", "textwrap", "tokenize", "warnings", "webbrowser")

# The line break and the 95 printable characters of ASCII; everything else is left out of the text.
SOURCE = CharacterTokenizer("\n" + "".join(map(chr, range(32, 127))))

# A training that ends within a minute or two on any laptop. The token vectors have to start small, as GPT-2's do,
#     nn.init.normal_(model.embedding.token.weight, std=TOKEN_STD)
# because the tied head multiplies with them: at PyTorch's standard deviation of 1 the first loss is not 5 but 80.
MODEL = {"embed_dim": 96, "num_heads": 4, "ff_dim": 384, "num_layers": 2, "max_len": 64}
TOKEN_STD, STEPS, BATCH_SIZE, LEARNING_RATE = 0.02, 500, 32, 4e-3


def module_source(name: str) -> str:
    """Return the source of a module of the standard library: no trailing spaces, no tabs, only ASCII.

    name  as it is imported; one that is a single file
    Raises FileNotFoundError if this Python has no such file.
    """
    path = Path(sysconfig.get_path("stdlib"), f"{name}.py")
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; this Python came without the source of its standard library. "
            "Use one from python.org, conda or your system's packages"
        )
    with tokenize.open(path) as file:  # honours the encoding that the file declares
        text = "".join(f"{line.rstrip()}\n" for line in file.read().expandtabs(8).splitlines())
    return "".join(character for character in text if character in SOURCE.alphabet)


def source_ids(modules: Iterable[str]) -> torch.Tensor:
    """Return the ids [time] of the modules' source, one file after the other."""
    return torch.tensor(SOURCE.encode("".join(map(module_source, modules))), dtype=torch.int64)


def split_source() -> tuple[torch.Tensor, torch.Tensor]:
    """Return (training ids, held-out ids), each [time]. The two come from different files."""
    return source_ids(TRAINING_MODULES), source_ids(HELD_OUT_MODULES)


def character_batches(ids: torch.Tensor, batch_size: int, length: int, seed: int = 0) -> Iterator[tuple[torch.Tensor]]:
    """Yield (tokens [batch, length],) without end: pieces of the text that begin anywhere."""
    numbers = random.Random(f"pieces of source {seed}")
    starts = range(len(ids) - length + 1)
    while True:
        begins = [draw(numbers, starts) for _ in range(batch_size)]
        yield (torch.stack([ids[begin : begin + length] for begin in begins]),)


# What a model has to beat, and how it is measured: nats per character, the unit of the training loss


def uniform_loss() -> float:
    """Return the loss of who knows nothing: every character of the alphabet is as likely as any other."""
    return math.log(len(SOURCE.alphabet))


def unigram_loss(training_ids: torch.Tensor, held_out_ids: torch.Tensor) -> float:
    """Return the loss on the held-out text of who knows only how often each character occurs in the training text."""
    counts = collections.Counter(training_ids.tolist())
    total = len(training_ids) + len(SOURCE.alphabet)  # each character counts once more, so that none is impossible
    return -sum(math.log((counts[number] + 1) / total) for number in held_out_ids.tolist()) / len(held_out_ids)


@torch.no_grad()
def held_out_loss(model: torch.nn.Module, ids: torch.Tensor, length: int, batch_size: int = 64) -> float:
    """Return a language model's loss on a text that is cut into pieces; the first character of each is only given.

    model   returns logits [batch, time, vocab_size], or a tuple that begins with them, for tokens [batch, time]
    ids     [time]; what is left over after the last whole piece is not used
    length  how many characters a piece has
    """
    model.eval()
    device = next(model.parameters()).device
    pieces, total = ids[: len(ids) // length * length].view(-1, length), 0.0
    for tokens in pieces.to(device).split(batch_size):
        answer = model(tokens)
        logits = answer[0] if isinstance(answer, tuple) else answer
        total += F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="sum").item()
    return total / (len(pieces) * (length - 1))


# What a head may look for


def open_brackets(text: str) -> list[int | None]:
    """Return, for each character, where the innermost bracket is that is open behind it; None where none is.

    A bracket in a comment or in a string counts like any other, because a model reads characters only.
    """
    partner, stack, places = {")": "(", "]": "[", "}": "{"}, [], []
    for place, character in enumerate(text):
        if character in partner.values():
            stack.append(place)
        elif stack and text[stack[-1]] == partner.get(character):
            stack.pop()
        places.append(stack[-1] if stack else None)
    return places
