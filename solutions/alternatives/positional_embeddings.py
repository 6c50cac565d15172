"""Right answers to lesson 10 in other styles. What is declared here is accepted on purpose, and stays accepted."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from autograder.mistakes import Alternatives

alternatives = accepted = Alternatives()


# sinusoidal_encoding


@accepted("sinusoidal_encoding")
def by_exponential_and_logarithm(max_len, embed_dim):
    if embed_dim % 2 != 0:
        raise ValueError(f"Cannot use sin/cos positional encoding with odd dim (got dim={embed_dim:d})")
    pe = torch.zeros(max_len, embed_dim)
    position = torch.arange(0, max_len).unsqueeze(1)
    div_term = torch.exp(torch.arange(0, embed_dim, 2, dtype=torch.float) * -(math.log(10000.0) / embed_dim))
    pe[:, 0::2] = torch.sin(position.float() * div_term)
    pe[:, 1::2] = torch.cos(position.float() * div_term)
    return pe


@accepted("sinusoidal_encoding")
def number_by_number(max_len, embed_dim):
    if embed_dim % 2 == 1:
        raise ValueError(f"embed_dim={embed_dim} must be even")
    rows = [
        [
            (math.sin if column % 2 == 0 else math.cos)(position / 10000 ** (column // 2 * 2 / embed_dim))
            for column in range(embed_dim)
        ]
        for position in range(max_len)
    ]
    return torch.tensor(rows)


@accepted("sinusoidal_encoding")
def stacked_outer_product(max_len, embed_dim):
    pairs, left_over = divmod(embed_dim, 2)
    if left_over:
        raise ValueError(f"{embed_dim} features do not form pairs")
    angle = torch.outer(torch.arange(max_len).float(), torch.pow(10000, -torch.arange(pairs) / pairs))
    return torch.stack((angle.sin(), angle.cos()), dim=2).reshape(max_len, embed_dim)


@accepted("sinusoidal_encoding")
def cosine_as_a_shifted_sine(max_len, embed_dim):
    if embed_dim & 1:
        raise ValueError(f"embed_dim has to be even, not {embed_dim}")
    column = torch.arange(embed_dim)
    exponent = torch.div(column, 2, rounding_mode="floor") * 2 / embed_dim
    angle = torch.arange(max_len, dtype=torch.float64)[:, None] / 10000**exponent
    return torch.sin(angle + column % 2 * math.pi / 2).float()


# LearnedPositionalEmbedding


@accepted("LearnedPositionalEmbedding")
class AnEmbeddingItself(nn.Embedding):
    def __init__(self, max_len, embed_dim):
        super().__init__(max_len, embed_dim)

    def forward(self, x):
        time = x.size(1)
        if self.num_embeddings < time:
            raise ValueError(f"max_len is {self.num_embeddings}, but the sequence has {time} tokens")
        return super().forward(torch.arange(time, device=x.device)) + x


@accepted("LearnedPositionalEmbedding")
class WithIndices(nn.Module):
    def __init__(self, max_len, embed_dim):
        super().__init__()
        self.max_len = max_len
        self.weight = nn.Parameter(torch.empty(max_len, embed_dim).normal_(std=0.02))
        self.register_buffer("positions", torch.arange(max_len), persistent=False)

    def forward(self, x):
        _, time, _ = x.shape
        if time > self.max_len:
            raise ValueError(f"time {time} > max_len {self.max_len}")
        return x + F.embedding(self.positions[:time], self.weight).unsqueeze(0)


# TransformerEmbedding


def waves(max_len, embed_dim):
    angle = torch.arange(max_len).unsqueeze(1) * 10000.0 ** (-torch.arange(0, embed_dim, 2) / embed_dim)
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)


@accepted("TransformerEmbedding")
class OneTableForBoth(nn.Module):
    def __init__(self, vocab_size, embed_dim, max_len, positions="sinusoidal", dropout=0.0):
        super().__init__()
        self.token = nn.Embedding(vocab_size, embed_dim)
        if positions == "sinusoidal":
            self.position = nn.Embedding.from_pretrained(waves(max_len, embed_dim), freeze=True)
        else:
            self.position = nn.Embedding(max_len, embed_dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, tokens):
        time = tokens.shape[-1]
        if time > self.position.num_embeddings:
            raise ValueError(f"max_len is {self.position.num_embeddings}, the sequence has {time}")
        return self.drop(self.token(tokens) + self.position(torch.arange(time, device=tokens.device)))


@accepted("TransformerEmbedding")
class WithPaddingAndAnotherName(nn.Module):
    def __init__(self, vocab_size, embed_dim, max_len, positions="sinusoidal", dropout=0.0):
        super().__init__()
        table = nn.Parameter(torch.randn(max_len, embed_dim)) if positions == "learned" else waves(max_len, embed_dim)
        if isinstance(table, nn.Parameter):
            self.position_table = table
        else:
            self.register_buffer("position_table", table)
        self.token = nn.Embedding(vocab_size, embed_dim, padding_idx=0)
        self.probability = dropout

    def forward(self, tokens):
        (time, max_len) = tokens.shape[1], self.position_table.shape[0]
        if time > max_len:
            raise ValueError(f"{time} tokens, but only {max_len} positions")
        x = F.embedding(tokens, self.token.weight) + self.position_table[None, :time]
        return F.dropout(x, self.probability, training=self.training)


# rotary_embedding


@accepted("rotary_embedding")
def by_complex_numbers(x, positions=None, base=10000.0):
    head_dim = x.shape[-1]
    if head_dim % 2:
        raise ValueError(f"head_dim is {head_dim}")
    if positions is None:
        positions = torch.arange(x.shape[-2], device=x.device)
    theta = 1.0 / base ** (torch.arange(0, head_dim, 2, device=x.device) / head_dim)
    angle = positions[..., None] * theta
    turns = torch.polar(torch.ones_like(angle), angle)
    # There are no complex numbers of bfloat16, and hardly any of float16.
    pairs = x.to(torch.promote_types(x.dtype, torch.float32)).reshape(*x.shape[:-1], -1, 2)
    return torch.view_as_real(torch.view_as_complex(pairs) * turns).flatten(-2).to(x.dtype)


@accepted("rotary_embedding")
def by_exchanging_neighbours(x, positions=None, base=10000.0):
    if x.shape[-1] % 2 == 1:
        raise ValueError(f"head_dim {x.shape[-1]} is odd")
    if positions is None:
        positions = torch.arange(x.shape[-2], device=x.device)
    theta = base ** (-torch.arange(0, x.shape[-1], 2, device=x.device) / x.shape[-1])
    angle = (positions.unsqueeze(-1) * theta).repeat_interleave(2, dim=-1)
    exchanged = torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).reshape(x.shape)
    return (x * angle.cos() + exchanged * angle.sin()).to(x.dtype)


@accepted("rotary_embedding")
def by_rotation_matrices(x, positions=None, base=10000.0):
    pairs, odd = divmod(x.shape[-1], 2)
    if odd:
        raise ValueError(f"head_dim {x.shape[-1]} does not split into pairs")
    positions = torch.arange(x.shape[-2], device=x.device) if positions is None else positions
    theta = base ** (-torch.arange(pairs, dtype=x.dtype, device=x.device) / pairs)
    angle = positions.to(x.dtype)[..., None] * theta
    rows = torch.stack((angle.cos(), -angle.sin(), angle.sin(), angle.cos()), dim=-1).unflatten(-1, (2, 2))
    return (rows @ x.unflatten(-1, (pairs, 2)).unsqueeze(-1)).squeeze(-1).flatten(-2)


@accepted("rotary_embedding")
def written_into_an_empty_tensor(x, positions=None, base=10000.0):
    if x.size(-1) % 2:
        raise ValueError(f"odd head_dim {x.size(-1)}")
    if positions is None:
        positions = torch.arange(x.size(-2)).to(x.device)
    angle = torch.einsum(
        "...t,i->...ti", positions.to(x.dtype), base ** (-torch.arange(0, x.size(-1), 2).to(x) / x.size(-1))
    )
    output = torch.empty_like(x)
    output[..., ::2] = x[..., ::2] * angle.cos() - x[..., 1::2] * angle.sin()
    output[..., 1::2] = x[..., ::2] * angle.sin() + x[..., 1::2] * angle.cos()
    return output


# position_bug_input


@accepted("position_bug_input")
def one_new_token_behind_the_end():
    return torch.arange(8).repeat(3, 1), torch.tensor([[1], [2], [3]])


@accepted("position_bug_input")
def one_row_for_eight_tokens():
    return [torch.ones(2, 7, dtype=torch.int32), torch.ones(2, 8, dtype=torch.int32)]
