"""Right answers to lesson 8 in other styles. What is declared here is accepted on purpose, and stays accepted."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from autograder.mistakes import Alternatives

alternatives = accepted = Alternatives()


# split_heads


@accepted("split_heads")
def split_by_view_and_permute(x, num_heads):
    if x.size(-1) % num_heads:
        raise ValueError(f"{x.size(-1)} features, {num_heads} heads")
    return x.view(x.size(0), x.size(1), num_heads, x.size(-1) // num_heads).permute(0, 2, 1, 3)


@accepted("split_heads")
def split_by_unflatten(x, num_heads):
    embed_dim = x.shape[2]
    head_dim, rest = divmod(embed_dim, num_heads)
    if rest:
        raise ValueError(f"num_heads={num_heads} does not divide embed_dim={embed_dim}")
    return x.unflatten(2, (num_heads, head_dim)).swapaxes(1, 2).contiguous()


@accepted("split_heads")
def split_in_pieces(x, num_heads):
    if x.shape[-1] % num_heads != 0:
        raise ValueError(f"cannot split {x.shape[-1]} into {num_heads}")
    return torch.stack(x.chunk(num_heads, dim=-1), dim=1)


@accepted("split_heads")
def split_by_slices(x, num_heads):
    head_dim = x.shape[-1] // num_heads
    if head_dim * num_heads != x.shape[-1]:
        raise ValueError("embed_dim {}, num_heads {}".format(*x.shape[2:], num_heads))
    return torch.stack([x[:, :, head * head_dim : (head + 1) * head_dim] for head in range(num_heads)], 1)


# merge_heads


@accepted("merge_heads")
def merge_by_contiguous_view(x):
    batch, heads, time, head_dim = x.size()
    return x.transpose(1, 2).contiguous().view(batch, time, heads * head_dim)


@accepted("merge_heads")
def merge_by_flatten(x):
    return x.permute(0, 2, 1, 3).flatten(start_dim=-2)


@accepted("merge_heads")
def merge_by_concatenation(x):
    return torch.cat(x.unbind(dim=1), dim=-1)


# MultiHeadAttention


@accepted("MultiHeadAttention")
class EverythingInForward(nn.Module):
    def __init__(self, embed_dim, num_heads, dropout=0.0):
        super().__init__()
        if embed_dim % num_heads != 0:
            raise ValueError(f"embed_dim {embed_dim} is not a multiple of num_heads {num_heads}")
        self.h, self.d = num_heads, embed_dim // num_heads
        self.p = dropout
        self.out_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.register_buffer("scale", torch.tensor(1.0), persistent=False)

    def forward(self, query, key, value, mask=None):
        B, L, E = query.shape
        q = self.q_proj(query).view(B, L, self.h, self.d).transpose(1, 2)
        k = self.k_proj(key).view(B, -1, self.h, self.d).transpose(1, 2)
        v = self.v_proj(value).view(B, -1, self.h, self.d).transpose(1, 2)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.d)
        if mask is not None:
            if mask.dim() == 2:
                mask = mask.unsqueeze(0)
            mask = mask.unsqueeze(1)
            scores = scores.masked_fill(~mask, float("-inf"))
        weights = torch.nan_to_num(scores.softmax(dim=-1))
        out = F.dropout(weights, self.p, self.training) @ v
        return self.out_proj(out.transpose(1, 2).contiguous().view(B, L, E)), weights


@accepted("MultiHeadAttention")
class ByEinsum(nn.Module):
    def __init__(self, embed_dim, num_heads, dropout=0.0):
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise ValueError(f"{num_heads=} does not divide {embed_dim=}")
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            self.add_module(name, nn.Linear(embed_dim, embed_dim))
        self.drop = nn.Dropout(dropout)

    def forward(self, query, key, value, mask=None):
        q, k, v = (
            layer(x).unflatten(-1, (self.num_heads, self.head_dim))
            for layer, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        )
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * self.head_dim**-0.5
        if mask is None:
            weights = torch.softmax(scores, -1)
        else:
            mask = mask.expand(query.shape[0], query.shape[1], key.shape[1])[:, None]
            weights = torch.where(mask, torch.where(mask, scores, -torch.inf).softmax(-1), 0.0)
        return self.out_proj(torch.einsum("bhqk,bkhd->bqhd", self.drop(weights), v).flatten(-2)), weights


@accepted("MultiHeadAttention")
class HeadAfterHead(nn.Module):
    def __init__(self, embed_dim, num_heads, dropout=0.0):
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"{embed_dim} features for {num_heads} heads")
        self.num_heads, self.head_dim = num_heads, embed_dim // num_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(embed_dim, embed_dim) for _ in range(4))
        self.dropout = nn.Dropout(dropout)

    def forward(self, query, key, value, mask=None):
        query, key, value = self.q_proj(query), self.k_proj(key), self.v_proj(value)
        outputs, all_weights = [], []
        for start in range(0, query.shape[-1], self.head_dim):
            part = slice(start, start + self.head_dim)
            scores = torch.matmul(query[..., part], key[..., part].transpose(1, 2)) / self.head_dim**0.5
            if mask is not None:
                scores = scores.masked_fill(torch.logical_not(mask), -torch.inf)
            weights = torch.softmax(scores, dim=-1)
            if mask is not None:
                weights = weights.masked_fill(torch.logical_not(mask), 0.0)
            outputs.append(self.dropout(weights) @ value[..., part])
            all_weights.append(weights)
        return self.out_proj(torch.cat(outputs, dim=-1)), torch.stack(all_weights, dim=1)


@accepted("MultiHeadAttention")
class HeadsInTheBatch(nn.Module):
    def __init__(self, embed_dim, num_heads, dropout=0.0):
        super().__init__()
        self.heads = num_heads
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)
        self.dropout = nn.Dropout(p=dropout)

    def split(self, x):
        batch, time, embed_dim = x.shape
        if embed_dim % self.heads:
            raise ValueError(f"embed_dim {embed_dim}, heads {self.heads}")
        return x.reshape(batch, time, self.heads, -1).transpose(1, 2).reshape(batch * self.heads, time, -1)

    def forward(self, query, key, value, mask=None):
        batch, queries, embed_dim = query.shape
        query, key, value = self.split(self.q_proj(query)), self.split(self.k_proj(key)), self.split(self.v_proj(value))
        scores = torch.bmm(query * query.shape[-1] ** -0.5, key.mT)
        weights = scores.softmax(-1)
        if mask is not None:
            mask = mask.expand(batch, *scores.shape[1:]).repeat_interleave(self.heads, dim=0)
            weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1) * mask
        output = torch.bmm(self.dropout(weights), value).reshape(batch, self.heads, queries, -1)
        output = output.transpose(1, 2).reshape(batch, queries, embed_dim)
        return [self.out_proj(output), weights.reshape(batch, self.heads, queries, -1)]


# GroupedQueryAttention


@accepted("GroupedQueryAttention")
class GroupsAsAnAxis(nn.Module):
    def __init__(self, embed_dim, num_heads, num_groups, dropout=0.0):
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim {embed_dim}, num_heads {num_heads}")
        if num_heads % num_groups:
            raise ValueError(f"num_heads {num_heads}, num_groups {num_groups}")
        self.groups, self.per_group = num_groups, num_heads // num_groups
        head_dim = embed_dim // num_heads
        self.q_proj = nn.Linear(embed_dim, num_heads * head_dim)
        self.k_proj = nn.Linear(embed_dim, num_groups * head_dim)
        self.v_proj = nn.Linear(embed_dim, num_groups * head_dim)
        self.out_proj = nn.Linear(num_heads * head_dim, embed_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query, key, value, mask=None):
        q = self.q_proj(query).unflatten(-1, (self.groups, self.per_group, -1))
        k = self.k_proj(key).unflatten(-1, (self.groups, -1))
        v = self.v_proj(value).unflatten(-1, (self.groups, -1))
        scores = torch.einsum("bqgpd,bkgd->bgpqk", q, k) / math.sqrt(q.shape[-1])
        if mask is not None:
            mask = mask[..., None, None, :, :]
            scores = scores.masked_fill(~mask, -math.inf)
        weights = torch.nan_to_num(scores.softmax(-1))
        output = torch.einsum("bgpqk,bkgd->bqgpd", self.dropout(weights), v).flatten(-3)
        return self.out_proj(output), weights.flatten(1, 2)


@accepted("GroupedQueryAttention")
class GroupsExpanded(nn.Module):
    def __init__(self, embed_dim, num_heads, num_groups, dropout=0.0):
        super().__init__()
        self.embed_dim, self.num_heads, self.num_groups = embed_dim, num_heads, num_groups
        if embed_dim % num_heads:
            raise ValueError(f"{embed_dim} is not a multiple of {num_heads}")
        if num_heads % num_groups:
            raise ValueError(f"{num_heads} is not a multiple of {num_groups}")
        self.head_dim = embed_dim // num_heads
        self.k_proj = nn.Linear(embed_dim, self.head_dim * num_groups)
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, self.head_dim * num_groups)
        self.out_proj = nn.Linear(embed_dim, embed_dim)
        self.p = dropout

    def forward(self, query, key, value, mask=None):
        batch, queries, _ = query.shape
        q = self.q_proj(query).reshape(batch, queries, self.num_heads, self.head_dim).transpose(1, 2)
        k = self.k_proj(key).reshape(batch, -1, self.num_groups, self.head_dim).transpose(1, 2)
        v = self.v_proj(value).reshape(batch, -1, self.num_groups, self.head_dim).transpose(1, 2)
        group = torch.arange(self.num_heads, device=query.device) // (self.num_heads // self.num_groups)
        k, v = k[:, group], v[:, group]
        scores = q @ k.mT * self.head_dim**-0.5
        if mask is None:
            mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device)
        mask = mask.unsqueeze(-3)
        weights = torch.where(mask, scores, -torch.inf).softmax(-1).masked_fill(~mask, 0.0)
        output = F.dropout(weights, p=self.p, training=self.training) @ v
        return self.out_proj(output.transpose(1, 2).reshape(batch, queries, self.embed_dim)), weights


# multi_head_bug_input


@accepted("multi_head_bug_input")
def more_queries_than_keys_and_three_masks():
    query, key = (
        torch.linspace(-1, 1, 3 * 5 * 12).reshape(3, 5, 12),
        torch.linspace(-3, 2, 3 * 2 * 12).reshape(3, 2, 12),
    )
    mask = torch.ones(3, 5, 2, dtype=torch.bool)
    mask[0, :, 0] = mask[2, 1:, 1] = False
    return [query, key, key, mask]


@accepted("multi_head_bug_input")
def a_sequence_that_is_all_padding():
    x = torch.linspace(-1, 1, 48).reshape(2, 2, 12).double()
    return x, x, x, torch.tensor([[[True, True]], [[False, False]]])
