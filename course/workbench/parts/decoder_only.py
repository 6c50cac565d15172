"""Closed boxes of lesson 4."""

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .decoder import Decoder, causal_mask
from .multi_head_attention import merge_heads, split_heads
from .positional_embeddings import TransformerEmbedding

gelu_tanh = functools.partial(F.gelu, approximate="tanh")


def next_token_loss(logits: torch.Tensor, tokens: torch.Tensor, pad_id: int | None = None) -> torch.Tensor:
    """Return the mean cross-entropy of each token given those before it; see lesson 4.

    logits  [batch, time, vocab_size], after each of the tokens
    tokens  [batch, time]
    pad_id  the id whose targets do not count; None: all count
    """
    ignored = -100 if pad_id is None else pad_id
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=ignored)


class LanguageModel(nn.Module):
    """A decoder that predicts the next token (GPT-2), with a tied head; see lesson 4."""

    def __init__(
        self,
        vocab_size: int,
        embed_dim: int,
        num_heads: int,
        ff_dim: int,
        num_layers: int,
        max_len: int,
        dropout: float = 0.0,
        activation: Callable[[torch.Tensor], torch.Tensor] = gelu_tanh,
    ) -> None:
        super().__init__()
        self.max_len, self.num_heads = max_len, num_heads
        self.embedding = TransformerEmbedding(vocab_size, embed_dim, max_len, "learned", dropout)
        self.decoder = Decoder(num_layers, embed_dim, num_heads, ff_dim, dropout, True, activation, False)
        self.head = nn.Linear(embed_dim, vocab_size, bias=False)
        self.head.weight = self.embedding.token.weight

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return (logits [batch, time, vocab_size], [weights of each layer]) for tokens [batch, time]."""
        visible = causal_mask(tokens.shape[1]).to(tokens.device)
        x, weights, _ = self.decoder(self.embedding(tokens), None, visible)
        return self.head(x), weights


def filter_logits(
    logits: torch.Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> torch.Tensor:
    """Return logits [..., vocab_size] with -inf where a token is not to be drawn; see lesson 4.

    temperature  divides every logit
    top_k        how many of the largest stay, and their equals; None: all
    top_p        the likeliest stay until they have this probability together; None: all
    Raises ValueError if the temperature is 0 or less.
    """
    if temperature <= 0:
        raise ValueError(f"a temperature of {temperature} cannot divide; choose a positive one")
    logits = torch.div(logits, temperature)
    if top_k is not None and top_k < logits.shape[-1]:
        smallest = logits.kthvalue(logits.shape[-1] - top_k + 1, dim=-1, keepdim=True).values
        logits = torch.where(logits < smallest, -torch.inf, logits)
    if top_p is not None:
        # From the unlikely end: who has no more than 1 - top_p together with all that are less likely goes.
        ordered, order = logits.sort(dim=-1)
        stay = ordered.softmax(-1).cumsum(-1) > 1 - top_p
        stay[..., -1] = True
        logits = logits.where(stay.gather(-1, order.argsort(dim=-1)), -torch.inf)
    return logits


def _choose(
    logits: torch.Tensor,
    sample: bool,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    generator: torch.Generator | None,
) -> torch.Tensor:
    """Return one token per row of logits [batch, vocab_size], as [batch, 1]."""
    if not sample:
        return logits.max(dim=-1, keepdim=True).indices
    return torch.multinomial(F.softmax(filter_logits(logits, temperature, top_k, top_p), -1), 1, generator=generator)


@torch.no_grad()
def generate(
    model: Any,
    tokens: torch.Tensor,
    max_new_tokens: int,
    sample: bool = False,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Return tokens [batch, time + max_new_tokens], the given ones first; see lesson 4."""
    model.eval()
    for _ in range(max_new_tokens):
        logits = model(tokens[:, -model.max_len :])[0][:, -1]
        tokens = torch.hstack([tokens, _choose(logits, sample, temperature, top_k, top_p, generator)])
    return tokens


@torch.no_grad()
def generate_with_cache(
    model: Any,
    tokens: torch.Tensor,
    max_new_tokens: int,
    sample: bool = False,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Return what `generate` returns, from keys and values that are computed once; see lesson 4."""
    model.eval()
    cache: dict[int, list[torch.Tensor]] = {}
    for _ in range(max_new_tokens):
        context = tokens[:, -model.max_len :]
        if tokens.shape[1] > model.max_len:
            cache = {}  # the context has slid, so every token has another position
        x = _last_position(model, context, cache)
        chosen = _choose(model.head(x), sample, temperature, top_k, top_p, generator)
        tokens = torch.hstack([tokens, chosen])
    return tokens


def _last_position(model: Any, context: torch.Tensor, cache: dict[int, list[torch.Tensor]]) -> torch.Tensor:
    """Return the decoder's output [batch, embed_dim] at the last position, and add what is new to the cache."""
    known = cache[0][0].shape[2] if cache else 0
    x = model.embedding(context)[:, known:]
    visible = causal_mask(x.shape[1], context.shape[1]).to(x.device)
    for index, layer in enumerate(model.decoder.layers):
        attention, normed = layer.self_attention, layer.norm1(x)
        query, *new = (
            split_heads(projection(normed), model.num_heads)
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        cache[index] = [torch.cat(pair, dim=2) for pair in zip(cache[index], new, strict=True)] if known else new
        key, value = cache[index]
        x = x + attention.out_proj(merge_heads(F.scaled_dot_product_attention(query, key, value, visible)))
        x = x + layer.feed_forward(layer.norm3(x))
    last: torch.Tensor = model.decoder.final_norm(x[:, -1])
    return last
