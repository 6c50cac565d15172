"""Right answers to lesson 6 in other styles. What is declared here is accepted on purpose, and stays accepted."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from autograder.mistakes import Alternatives

alternatives = accepted = Alternatives()


# SelfAttention


@accepted("SelfAttention")
class FormulaWrittenOut(nn.Module):
    def __init__(self, embed_dim, head_dim):
        super().__init__()
        self.v_proj = nn.Linear(embed_dim, head_dim)
        self.k_proj = nn.Linear(embed_dim, head_dim)
        self.q_proj = nn.Linear(embed_dim, head_dim)
        self.scale = math.sqrt(head_dim)

    def forward(self, x, mask=None):
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        scores = q @ k.transpose(-2, -1) / self.scale
        if mask is not None:
            scores = scores.masked_fill(mask == 0, float("-inf"))
        weights = torch.softmax(scores, dim=-1)
        if mask is not None:
            weights = weights.nan_to_num(0.0)
        return weights @ v, weights


@accepted("SelfAttention")
class BatchedProducts(nn.Module):
    def __init__(self, embed_dim, head_dim):
        super().__init__()
        self.head_dim = head_dim
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(embed_dim, head_dim) for _ in range(3))

    def forward(self, x, mask=None):
        query = self.q_proj(x) * self.head_dim**-0.5
        scores = torch.bmm(query, self.k_proj(x).permute(0, 2, 1))
        if mask is None:
            mask = torch.ones(1, 1, 1, dtype=torch.bool, device=x.device)
        scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
        weights = F.softmax(scores, dim=2) * mask
        return torch.bmm(weights, self.v_proj(x)), weights


@accepted("SelfAttention")
class SequenceAfterSequence(nn.Module):
    def __init__(self, embed_dim, head_dim):
        super().__init__()
        for name in ("q_proj", "k_proj", "v_proj"):
            setattr(self, name, nn.Linear(embed_dim, head_dim))

    def forward(self, x, mask=None):
        batch, time, _ = x.shape
        if mask is not None:
            mask = mask.expand(batch, time, time)
        outputs, tables = [], []
        for number, sequence in enumerate(x):
            query, key, value = self.q_proj(sequence), self.k_proj(sequence), self.v_proj(sequence)
            scores = torch.einsum("qd,kd->qk", query, key) / key.shape[-1] ** 0.5
            if mask is not None:
                scores = scores.masked_fill(~mask[number], -torch.inf)
            powers = torch.exp(scores - scores.detach().amax(dim=-1, keepdim=True).nan_to_num(neginf=0.0))
            total = powers.sum(-1, keepdim=True)
            weights = powers / total.masked_fill(total == 0, 1)
            outputs.append(weights @ value)
            tables.append(weights)
        return torch.stack(outputs), torch.stack(tables)


# padding_mask


@accepted("padding_mask")
def by_indexing(tokens, pad_id):
    return (tokens != pad_id)[:, None, :]


@accepted("padding_mask")
def negated(tokens, pad_id):
    return ~(tokens == pad_id).view(tokens.size(0), 1, tokens.size(1))


@accepted("padding_mask")
def by_where(tokens, pad_id):
    return torch.where(tokens == pad_id, False, True).unsqueeze(-2)


@accepted("padding_mask")
def filled(tokens, pad_id):
    mask = torch.ones_like(tokens, dtype=torch.bool)
    mask[tokens == pad_id] = False
    return mask.unsqueeze(1)


# RelativeSelfAttention


@accepted("RelativeSelfAttention")
class LoopsOverPositions(nn.Module):
    def __init__(self, embed_dim, head_dim, max_distance):
        super().__init__()
        self.q_proj = nn.Linear(embed_dim, head_dim)
        self.k_proj = nn.Linear(embed_dim, head_dim)
        self.v_proj = nn.Linear(embed_dim, head_dim)
        self.distance_bias = nn.Parameter(torch.zeros(2 * max_distance + 1))
        self.m = max_distance

    def forward(self, x, mask=None):
        time = x.size(1)
        rows = []
        for query in range(time):
            places = [max(-self.m, min(self.m, key - query)) + self.m for key in range(time)]
            rows.append(torch.stack([self.distance_bias[place] for place in places]))
        scores = self.q_proj(x) @ self.k_proj(x).mT / math.sqrt(self.q_proj.out_features) + torch.stack(rows)
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = torch.nan_to_num(scores.softmax(-1))
        return weights @ self.v_proj(x), weights


@accepted("RelativeSelfAttention")
class ByOneHot(nn.Module):
    def __init__(self, embed_dim, head_dim, max_distance):
        super().__init__()
        self.distance_bias = nn.Parameter(torch.zeros(2 * max_distance + 1))
        self.q_proj, self.k_proj, self.v_proj = [nn.Linear(embed_dim, head_dim) for _ in range(3)]
        self.register_buffer("reach", torch.tensor(max_distance), persistent=False)

    def forward(self, x, mask=None):
        reach = len(self.distance_bias) // 2
        steps = torch.arange(x.shape[1]).to(x.device)
        places = torch.minimum(
            torch.maximum(steps.unsqueeze(0) - steps.unsqueeze(1) + reach, torch.zeros_like(steps)),
            torch.full_like(steps, 2 * reach),
        )
        chosen = (places.unsqueeze(-1) == torch.arange(2 * reach + 1, device=x.device)).to(x.dtype)
        scores = torch.einsum("bqd,bkd->bqk", self.q_proj(x), self.k_proj(x)) * self.k_proj.out_features**-0.5
        scores = scores + chosen @ self.distance_bias
        if mask is None:
            weights = F.softmax(scores, dim=-1)
        else:
            weights = torch.where(mask, torch.where(mask, scores, -torch.inf).softmax(-1), 0.0)
        return [torch.bmm(weights, self.v_proj(x)), weights]


# self_attention_bug_input


@accepted("self_attention_bug_input")
def one_sequence_with_padding_in_front():
    return torch.tensor([[0, 7, 2]])


@accepted("self_attention_bug_input")
def padding_between_tokens():
    return torch.tensor([[4, 0, 0, 9], [1, 2, 0, 0]], dtype=torch.int32)


@accepted("self_attention_bug_input")
def one_of_many_that_is_padded_in_front():
    tokens = torch.zeros(5, 11, dtype=torch.long)
    tokens[:, :7] = torch.arange(1, 8)
    tokens[3] = torch.tensor([0] * 6 + [5, 4, 3, 2, 1])
    return tokens
