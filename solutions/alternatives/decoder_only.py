"""Right answers to lesson 4 in other styles. What is declared here is accepted on purpose, and stays accepted."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from autograder.mistakes import Alternatives
from workbench.parts import Decoder, TransformerEmbedding, causal_mask, filter_logits, merge_heads, split_heads
from workbench.parts.decoder_only import gelu_tanh

alternatives = accepted = Alternatives()


# next_token_loss


@accepted("next_token_loss")
def flattened(logits, tokens, pad_id=None):
    logits, targets = logits[:, :-1], tokens[:, 1:]
    return F.cross_entropy(
        logits.reshape(-1, logits.size(-1)), targets.reshape(-1), ignore_index=-100 if pad_id is None else pad_id
    )


@accepted("next_token_loss")
def picked_by_gather(logits, tokens, pad_id=None):
    targets = tokens[:, 1:]
    logarithms = logits[:, :-1].log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    counts = torch.ones_like(targets, dtype=torch.bool) if pad_id is None else targets != pad_id
    return -(logarithms * counts).sum() / counts.sum()


@accepted("next_token_loss")
def mean_of_what_counts(logits, tokens, pad_id=None):
    losses = nn.CrossEntropyLoss(reduction="none")(logits.permute(0, 2, 1)[..., :-1], tokens[:, 1:])
    if pad_id is None:
        return losses.mean()
    counts = (tokens[:, 1:] != pad_id).to(losses.dtype)
    return torch.sum(losses * counts) / torch.sum(counts)


@accepted("next_token_loss")
def last_target_ignored(logits, tokens, pad_id=None):
    targets = torch.cat([tokens[:, 1:], torch.full_like(tokens[:, :1], -100)], dim=1)
    if pad_id is not None:
        targets = torch.where(targets == pad_id, -100, targets)
    return F.nll_loss(F.log_softmax(logits, dim=-1).flatten(0, 1), targets.flatten())


# LanguageModel


@accepted("LanguageModel")
class HeadMadeFirst(nn.Module):
    def __init__(
        self, vocab_size, embed_dim, num_heads, ff_dim, num_layers, max_len, dropout=0.0, activation=gelu_tanh
    ):
        super().__init__()
        self.max_len, self.num_heads = max_len, num_heads
        self.head = nn.Linear(embed_dim, vocab_size, bias=False)
        self.decoder = Decoder(
            num_layers,
            embed_dim,
            num_heads,
            ff_dim,
            dropout=dropout,
            norm_first=True,
            activation=activation,
            cross_attention=False,
        )
        self.embedding = TransformerEmbedding(vocab_size, embed_dim, max_len, positions="learned", dropout=dropout)
        self.embedding.token.weight = self.head.weight

    def forward(self, tokens):
        mask = torch.ones(tokens.size(1), tokens.size(1), dtype=torch.bool, device=tokens.device).tril()
        hidden, self_weights, cross_weights = self.decoder(self.embedding(tokens), None, mask)
        return self.head(hidden), self_weights


@accepted("LanguageModel")
class HeadCalledThroughItsTable(nn.Module):
    def __init__(
        self, vocab_size, embed_dim, num_heads, ff_dim, num_layers, max_len, dropout=0.0, activation=gelu_tanh
    ):
        super().__init__()
        self.embedding = TransformerEmbedding(vocab_size, embed_dim, max_len, "learned", dropout)
        self.decoder = Decoder(num_layers, embed_dim, num_heads, ff_dim, dropout, True, activation, False)
        self.head = nn.Linear(embed_dim, vocab_size, False)
        self.head.weight = self.embedding.token.weight
        self.register_buffer("mask", causal_mask(max_len), persistent=False)

    def forward(self, tokens):
        time = tokens.shape[1]
        x, weights, _ = self.decoder(self.embedding(tokens), self_mask=self.mask[:time, :time])
        return torch.einsum("btd,vd->btv", x, self.embedding.token.weight), tuple(weights)


# filter_logits


@accepted("filter_logits")
def from_the_unlikely_end(logits, temperature=1.0, top_k=None, top_p=None):
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, not {temperature}")
    logits = logits / temperature
    if top_k is not None:
        limit = torch.topk(logits, min(top_k, logits.size(-1)), dim=-1)[0][..., -1, None]
        logits = logits.masked_fill(logits < limit, float("-inf"))
    if top_p is not None and top_p < 1.0:
        ordered, indices = torch.sort(logits, descending=False)
        remove = ordered.softmax(dim=-1).cumsum(dim=-1) <= 1 - top_p
        remove[..., -1:] = False
        logits = logits.masked_fill(remove.scatter(-1, indices, remove), float("-inf"))
    return logits


@accepted("filter_logits")
def shifted_by_one_place(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature <= 0:
        raise ValueError(f"temperature {temperature} is not positive")
    logits = logits.clone() / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        limit = logits.sort(descending=True).values[..., top_k - 1].unsqueeze(-1)
        logits[logits < limit] = -math.inf
    if top_p is not None and top_p != 1:
        ordered, order = torch.sort(logits, descending=True)
        remove = torch.cumsum(F.softmax(ordered, dim=-1), dim=-1) > top_p
        remove[..., 1:] = remove[..., :-1].clone()
        remove[..., 0] = False
        logits[torch.zeros_like(remove).scatter(-1, order, remove)] = -math.inf
    return logits


@accepted("filter_logits")
def logarithms_of_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature <= 0:
        raise ValueError(f"temperature is {temperature:g}")
    logits = F.log_softmax(logits / temperature, dim=-1)
    if top_k is not None:
        limit = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values.amin(dim=-1, keepdim=True)
        logits = torch.where(logits >= limit, logits, -torch.inf)
    if top_p is not None and top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True)
        probabilities = ordered.exp() / ordered.exp().sum(-1, keepdim=True)
        stays = probabilities.cumsum(-1) - probabilities < top_p
        ordered = ordered.masked_fill(~stays, -torch.inf)
        logits = torch.empty_like(ordered).scatter_(-1, order, ordered)
    return logits


# generate


@accepted("generate")
@torch.no_grad()
def with_a_decorator(
    model, tokens, max_new_tokens, sample=False, temperature=1.0, top_k=None, top_p=None, generator=None
):
    was_training = model.training
    model.eval()
    for _ in range(max_new_tokens):
        context = tokens if tokens.size(1) <= model.max_len else tokens[:, -model.max_len :]
        logits = model(context)[0][:, -1, :]
        if sample:
            logits = filter_logits(logits, temperature=temperature, top_k=top_k, top_p=top_p)
            token = torch.multinomial(F.softmax(logits, dim=-1), 1, generator=generator)
        else:
            _, token = torch.topk(logits, k=1, dim=-1)
        tokens = torch.cat((tokens, token), dim=1)
    model.train(was_training)
    return tokens


@accepted("generate")
@torch.inference_mode()
def into_a_table(model, tokens, max_new_tokens, sample=False, temperature=1.0, top_k=None, top_p=None, generator=None):
    model = model.eval()
    batch, time = tokens.shape
    text = tokens.new_empty(batch, time + max_new_tokens)
    text[:, :time] = tokens
    for end in range(time, time + max_new_tokens):
        logits, _ = model(text[:, max(0, end - model.max_len) : end])
        logits = filter_logits(logits[:, -1], temperature, top_k, top_p) if sample else logits[:, -1]
        text[:, end] = (
            torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(1) if sample else logits.argmax(-1)
        )
    return text


# generate_with_cache


@accepted("generate_with_cache")
@torch.no_grad()
def one_token_at_a_time(
    model, tokens, max_new_tokens, sample=False, temperature=1.0, top_k=None, top_p=None, generator=None
):
    model.eval()
    caches = [[] for _ in model.decoder.layers]

    def read(token, position):
        x = model.embedding.token(token) + model.embedding.position.weight[position]  # [batch, 1, embed_dim]
        for layer, cache in zip(model.decoder.layers, caches, strict=True):
            attention, normed = layer.self_attention, layer.norm1(x)
            cache.append(
                [split_heads(project(normed), model.num_heads) for project in (attention.k_proj, attention.v_proj)]
            )
            key, value = (torch.cat(kept, dim=-2) for kept in zip(*cache, strict=True))
            query = split_heads(attention.q_proj(normed), model.num_heads)
            weights = (query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1)
            x = x + attention.out_proj(merge_heads(weights @ value))
            x = x + layer.feed_forward(layer.norm3(x))
        return model.decoder.final_norm(x)[:, -1] @ model.embedding.token.weight.T

    end = tokens.shape[1] + max_new_tokens
    read_so_far = 0
    while tokens.shape[1] < end:
        context = tokens[:, -model.max_len :]
        if tokens.shape[1] > model.max_len:
            read_so_far = 0
            for cache in caches:
                cache.clear()
        for position in range(read_so_far, context.shape[1]):
            logits = read(context[:, position : position + 1], position)
        read_so_far = context.shape[1]
        if sample:
            chosen = torch.multinomial(
                filter_logits(logits, temperature, top_k, top_p).softmax(-1), 1, generator=generator
            )
        else:
            chosen = logits.argmax(-1, keepdim=True)
        tokens = torch.cat([tokens, chosen], dim=-1)
    return tokens


@accepted("generate_with_cache")
@torch.no_grad()
def whole_model_once_the_context_slides(
    model, tokens, max_new_tokens, sample=False, temperature=1.0, top_k=None, top_p=None, generator=None
):
    model.eval()
    keys, values = {}, {}
    for _ in range(max_new_tokens):
        time = tokens.shape[1]
        if time > model.max_len:
            logits = model(tokens[:, -model.max_len :])[0][:, -1]
        else:
            done = keys[0].shape[1] if keys else 0
            x = model.embedding(tokens)[:, done:]
            for i, layer in enumerate(model.decoder.layers):
                h, attention = layer.norm1(x), layer.self_attention
                keys[i] = torch.cat([keys[i], attention.k_proj(h)], 1) if done else attention.k_proj(h)
                values[i] = torch.cat([values[i], attention.v_proj(h)], 1) if done else attention.v_proj(h)
                q, k, v = (split_heads(t, model.num_heads) for t in (attention.q_proj(h), keys[i], values[i]))
                out = F.scaled_dot_product_attention(q, k, v, attn_mask=causal_mask(time - done, time).to(x.device))
                x = x + attention.out_proj(merge_heads(out))
                x = x + layer.feed_forward(layer.norm3(x))
            logits = model.head(model.decoder.final_norm(x))[:, -1, :]
        if sample:
            probabilities = F.softmax(filter_logits(logits, temperature, top_k, top_p), dim=-1)
            chosen = torch.multinomial(probabilities, 1, generator=generator)
        else:
            chosen = logits.argmax(dim=-1).unsqueeze(-1)
        tokens = torch.cat([tokens, chosen], 1)
    return tokens


# language_model_bug_input


@accepted("language_model_bug_input")
def log_probabilities():
    return torch.arange(14.0).reshape(2, 7).log_softmax(dim=-1), torch.tensor([[0, 1, 2], [3, 4, 5]])


@accepted("language_model_bug_input")
def one_negative_logit_among_many_texts():
    logits = torch.ones(5, 11, dtype=torch.float64)
    logits[3, 7] = -1.0
    return logits, torch.full((5, 2), 7, dtype=torch.int32)
