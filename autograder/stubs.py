"""Arguments that are not plain data, described by plain data, so that a probe can ask for them anywhere."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .submission import Stub


@dataclass
class Activation(Stub):
    """A function of torch.nn.functional, by its name: "gelu"."""

    name: str

    def make(self):
        return getattr(F, self.name)


@dataclass
class Sublayer(Stub):
    """A function of one tensor, x -> x @ matrix. It reports how often it was called, and with what first."""

    matrix: torch.Tensor

    def make(self):
        return _Sublayer(self.matrix)

    def report(self, made):
        return {"calls": str(len(made.given)), "input": made.given[0] if made.given else "none"}


class _Sublayer:
    def __init__(self, matrix):
        self.matrix, self.given = matrix, []

    def __call__(self, x):
        self.given.append(x.detach().clone() if isinstance(x, torch.Tensor) else f"a {type(x).__name__}")
        return x @ self.matrix.to(x)


@dataclass
class TableTranslator(Stub):
    """An encoder-decoder that looks its logits up, so that decoding can be judged without a model that was built.

    table    [rows, vocab_size]: the logits; the source and all that was read so far decide which row is used
    bos_id   what forward puts in front of a target
    eos_id   the end of sequence
    lengths  [source_vocab_size]: after how many tokens a text ends, by the first token of its source; None: the
             end of sequence is a token of the table like the others
    """

    table: torch.Tensor
    bos_id: int
    eos_id: int
    lengths: torch.Tensor | None = None

    def make(self):
        return _Translator(self.table, self.bos_id, self.eos_id, self.lengths)

    def report(self, made):
        return {"rows encoded": made.encoded}


class _Translator(torch.nn.Module):
    def __init__(self, table, bos_id, eos_id, lengths):
        super().__init__()
        self.table, self.bos_id, self.eos_id, self.lengths, self.encoded = table, bos_id, eos_id, lengths, 0

    def encode(self, source):
        self.encoded += len(source)
        return source[:, :, None].float(), []

    def decode(self, tokens, memory, source):
        if not tokens.shape[0] == memory.shape[0] == source.shape[0]:
            raise ValueError(f"decode got {tokens.shape[0]} rows of tokens, {memory.shape[0]} of memory and "
                             f"{source.shape[0]} of source; each row needs its own")
        place, heard = torch.arange(tokens.shape[1]), torch.arange(source.shape[1])
        # Odd squares are far from regular in a table with a prime number of rows: any change finds another row.
        of_source = ((memory[:, :, 0].long() * 3 + source) * (2 * heard + 5) ** 2).sum(1, keepdim=True)
        so_far = ((tokens + 1) * (2 * place + 3) ** 2).cumsum(1)
        # In training mode the answers are others, as they would be under dropout.
        logits = self.table[(of_source + so_far + self.training) % len(self.table)]
        if self.lengths is not None:
            ends = place + 1 == self.lengths[memory[:, 0, 0].long()][:, None]
            logits = logits.clone()
            logits[:, :, self.eos_id] += torch.where(ends, 9.0, -9.0)
        return logits, [], []

    def forward(self, source, target):
        begin = torch.full_like(target[:, :1], self.bos_id)
        memory, _ = self.encode(source)
        return self.decode(torch.cat([begin, target[:, :-1]], dim=1), memory, source)[0]
