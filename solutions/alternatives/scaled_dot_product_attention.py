"""Right answers to lesson 7 in other styles. What is declared here is accepted on purpose, and stays accepted."""

import math

import torch
import torch.nn.functional as F

from autograder.mistakes import Alternatives

alternatives = accepted = Alternatives()


# attention_scores


@accepted("attention_scores")
def scale_on_the_query(query, key):
    return (query * query.shape[-1] ** -0.5) @ key.mT


@accepted("attention_scores")
def half_the_scale_on_each_side(query, key):
    quarter = key.size(-1) ** -0.25
    return torch.matmul(query * quarter, (key * quarter).transpose(-1, -2))


@accepted("attention_scores")
def by_einsum(query, key):
    return torch.einsum("...qd,...kd->...qk", query, key) / math.sqrt(key.shape[-1])


@accepted("attention_scores")
def by_broadcasting(query, key):
    return (query.unsqueeze(-2) * key.unsqueeze(-3)).sum(-1) / query.new_tensor(query.shape[-1]).sqrt()


@accepted("attention_scores")
def one_score_at_a_time(query, key):
    rows = []
    for i in range(query.shape[-2]):
        row = [(query[..., i, :] * key[..., j, :]).sum(-1) for j in range(key.shape[-2])]
        rows.append(torch.stack(row, dim=-1))
    return torch.stack(rows, dim=-2) / query.shape[-1] ** 0.5


# attention_weights


@accepted("attention_weights")
def nan_replaced_by_zero(scores, mask=None):
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not(), float("-inf"))
    return torch.nan_to_num(F.softmax(scores, dim=-1))


@accepted("attention_weights")
def filled_by_where(scores, mask=None):
    if mask is None:
        mask = torch.ones_like(scores, dtype=torch.bool)
    weights = torch.where(mask, scores, -torch.inf).softmax(-1)
    return torch.where(mask, weights, 0.0)


@accepted("attention_weights")
def smallest_number_and_zero_afterwards(scores, mask=None):
    if mask is None:
        return scores.softmax(-1)
    weights = scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min).softmax(-1)
    return weights * mask


@accepted("attention_weights")
def own_softmax(scores, mask=None):
    if mask is None:
        mask = torch.ones_like(scores, dtype=torch.bool)
    largest = scores.masked_fill(~mask, -torch.inf).amax(dim=-1, keepdim=True).nan_to_num(neginf=0.0)
    powers = torch.exp(scores.masked_fill(~mask, -torch.inf) - largest)
    total = powers.sum(dim=-1, keepdim=True)
    return powers / torch.where(total == 0, 1.0, total)


@accepted("attention_weights")
def largest_of_all_subtracted_first(scores, mask=None):
    scores = scores - scores.detach().amax(dim=-1, keepdim=True)
    if mask is None:
        return scores.softmax(dim=-1)
    return scores.masked_fill(~mask, -torch.inf).softmax(dim=-1).masked_fill(~mask, 0.0)


@accepted("attention_weights")
def through_logarithms(scores, mask=None):
    if mask is not None:
        scores = torch.where(mask, scores, torch.tensor(-torch.inf, dtype=scores.dtype, device=scores.device))
    weights = torch.exp(scores - torch.logsumexp(scores, dim=-1, keepdim=True))
    return weights if mask is None else weights.masked_fill(~mask, 0)


@accepted("attention_weights")
def rows_without_keys_filled_afterwards(scores, mask=None):
    if mask is None:
        return torch.softmax(scores, dim=-1)
    empty = ~mask.any(dim=-1, keepdim=True)
    hidden = (~mask) & ~empty
    return torch.softmax(scores.masked_fill(hidden, -torch.inf), dim=-1).masked_fill(empty, 0.0)


# scaled_dot_product_attention


@accepted("scaled_dot_product_attention")
def all_in_one(query, key, value, mask=None):
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(dim=-1)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    return weights @ value, weights


@accepted("scaled_dot_product_attention")
def with_einsum_and_a_list(query, key, value, mask=None):
    scores = torch.einsum("...qd,...kd->...qk", query, key).div(math.sqrt(query.size(-1)))
    if mask is not None:
        scores = torch.where(mask, scores, float("-inf"))
    weights = torch.nan_to_num(F.softmax(scores, -1), nan=0.0)
    return [torch.einsum("...qk,...kv->...qv", weights, value), weights]


# streaming_attention


@accepted("streaming_attention")
def sliced_and_in_place(query, key, value, block_size):
    scale = 1 / math.sqrt(query.shape[-1])
    maximum = query.new_full((*query.shape[:-1], 1), float("-inf"))
    total = query.new_zeros((*query.shape[:-1], 1))
    output = query.new_zeros((*query.shape[:-1], value.shape[-1]))
    for start in range(0, key.shape[-2], block_size):
        block = slice(start, start + block_size)
        scores = scale * torch.einsum("...qd,...kd->...qk", query, key[..., block, :])
        highest = torch.max(maximum, scores.max(dim=-1, keepdim=True).values)
        powers = torch.exp(scores - highest)
        factor = torch.exp(maximum - highest)
        total *= factor
        total += powers.sum(-1, keepdim=True)
        output *= factor
        output += powers @ value[..., block, :]
        maximum = highest
    return output / total


@accepted("streaming_attention")
def normalised_in_every_step(query, key, value, block_size):
    output = logarithm = None
    for keys, values in zip(key.split(block_size, -2), value.split(block_size, -2), strict=True):
        scores = query @ keys.mT / query.shape[-1] ** 0.5
        here = torch.logsumexp(scores, -1, keepdim=True)
        mean = torch.exp(scores - here) @ values
        if output is None:
            output, logarithm = mean, here
        else:
            both = torch.logaddexp(logarithm, here)
            output = output * torch.exp(logarithm - both) + mean * torch.exp(here - both)
            logarithm = both
    return output


# attention_bug_input


@accepted("attention_bug_input")
def another_head_with_large_scores():
    query, key = torch.ones(2, 1, 1), torch.ones(2, 3, 1)
    key[1] = 500.0
    return query, key, torch.tensor([[[1.0], [2.0], [3.0]]]).expand(2, 3, 1), None


@accepted("attention_bug_input")
def a_hidden_key_that_towers_above_the_others():
    query, key = torch.ones(1, 1), torch.tensor([[0.0], [1.0], [900.0]])
    return query, key, torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[True, True, False]])
