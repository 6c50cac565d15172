"""Wrong answers to lesson 7, each with its sentences: what is seen, why it is wrong, where to look."""

import math

import numpy as np
import torch

from autograder.mistakes import Catalogue

catalogue = Catalogue()
step, component, mistake, also = catalogue.step, catalogue.component, catalogue.mistake, catalogue.also


# The right way, a step at a time


@step
def product(query, key):
    return query @ key.transpose(-2, -1)


@step
def scale(scores, query, key):
    return scores / math.sqrt(query.shape[-1])


@step
def hide(scores, mask):
    """mask"""
    return scores if mask is None else scores.masked_fill(~mask, -math.inf)


@step
def normalise(scores):
    """softmax"""
    return torch.softmax(scores, dim=-1)


@step
def settle(weights, mask):
    """rows without a key"""
    return weights if mask is None else weights.masked_fill(~mask, 0.0)


@step
def rescale(weights, query):
    return weights


@step
def combine(weights, query, key, value):
    """weighted sum of values"""
    return weights @ value


@step
def answer(output, weights, scores):
    return output, weights


@component("product", "scale")
def attention_scores(step, query, key):
    return step.scale(step.product(query, key), query, key)


@component("hide", "normalise", "settle")
def attention_weights(step, scores, mask=None):
    return step.settle(step.normalise(step.hide(scores, mask)), mask)


@component("product", "scale", "hide", "normalise", "settle", "rescale", "combine", "answer")
def scaled_dot_product_attention(step, query, key, value, mask=None):
    scores = attention_scores(step, query, key)
    weights = step.rescale(attention_weights(step, scores, mask), query)
    return step.answer(step.combine(weights, query, key, value), weights, scores)


@step
def first_maximum(query):
    return torch.full((*query.shape[:-1], 1), -math.inf, dtype=query.dtype, device=query.device)


@step
def blocks(key, value, block_size):
    return zip(key.split(block_size, dim=-2), value.split(block_size, dim=-2), strict=True)


@step
def new_maximum(largest, scores):
    """largest score so far"""
    return torch.maximum(largest, scores.amax(dim=-1, keepdim=True))


@step
def factor(largest, larger):
    return (largest - larger).exp()


@step
def carry_sum(total, shrink):
    """sum carried over"""
    return total * shrink


@step
def extend_sum(total, powers):
    return total + powers.sum(dim=-1, keepdim=True)


@step
def carry_output(output, shrink):
    """output carried over"""
    return output * shrink


@step
def extend_output(output, powers, values, total):
    return output + powers @ values


@step
def keep_maximum(largest, larger):
    return larger


@step
def close(output, total):
    """division by the sum"""
    return output / total


@component(
    "product",
    "scale",
    "first_maximum",
    "blocks",
    "new_maximum",
    "factor",
    "carry_sum",
    "extend_sum",
    "carry_output",
    "extend_output",
    "keep_maximum",
    "close",
)
def streaming_attention(step, query, key, value, block_size):
    largest, total, output = step.first_maximum(query), 0.0, 0.0
    for keys, values in step.blocks(key, value, block_size):
        scores = attention_scores(step, query, keys)
        larger = step.new_maximum(largest, scores)
        shrink, powers = step.factor(largest, larger), (scores - larger).exp()
        total = step.extend_sum(step.carry_sum(total, shrink), powers)
        output = step.extend_output(step.carry_output(output, shrink), powers, values, total)
        largest = step.keep_maximum(largest, larger)
    return step.close(output, total)


@component()
def attention_bug_input(step):
    return torch.tensor([[0.0], [1000.0]]), torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [5.0]]), None


# The product of query and key


@mistake(
    "product",
    only=("attention_scores", "scaled_dot_product_attention"),
    symptom="The scores come out transposed: one row per key instead of one per query.",
    cause="Scores are read by row: row i holds what query i thinks of every key. With key and query exchanged, "
    "each key would ask and each query would answer, and the softmax would run over the wrong ones.",
    place="Look at the order of the matrix product: the query stands left, the transposed key right.",
    shows=[("scores_are_scaled_dot_products", "transposed", "scores")],
)
def key_and_query_exchanged(query, key):
    return key @ query.transpose(-2, -1)


@mistake(
    "product",
    symptom="The matrix product of query and key does not fit: both end in head_dim.",
    cause="A dot product runs along head_dim, so that axis must meet itself: [queries, head_dim] times "
    "[head_dim, keys]. The key has to be transposed first.",
    place="Look at the second factor of the product: its last two axes should change places.",
    shows=[("scores_are_scaled_dot_products", "raise"), ("output_is_a_weighted_mean_of_values", "raise")],
)
def key_not_transposed(query, key):
    return query @ key


@mistake(
    "product",
    symptom="It fits one number of leading axes only, and fails, or answers wrongly, with any other.",
    cause="Axes are counted from the front. Which number the last two have depends on how many come before "
    "them: none for one sequence, batch, batch and heads. From the back they are always -2 and -1.",
    place="Look at the arguments of transpose or permute (`.T` and `.t()` turn all axes round).",
    shows=[
        ("scores_take_leading_axes", "differ"),
        ("attention_takes_leading_axes", "differ"),
        ("streaming_takes_leading_axes", "differ"),
    ],
)
def axes_counted_from_the_front(query, key):
    return query @ key.transpose(1, 2)


@also("axes_counted_from_the_front", "product")
def axes_permuted_from_the_front(query, key):
    return query @ key.permute(0, 2, 1)


@also("axes_counted_from_the_front", "product")
def axes_for_batch_matrix_product(query, key):
    return torch.bmm(query, key.transpose(1, 2))


@also("axes_counted_from_the_front", "product")
def axes_named_by_einsum(query, key):
    return torch.einsum("bqd,bkd->bqk", query, key)


@also("axes_counted_from_the_front", "product")
def all_axes_reversed(query, key):
    return query @ key.T


@also("axes_counted_from_the_front", "product")
def axes_of_a_matrix(query, key):
    return query @ key.t()


@mistake(
    "product",
    symptom="The length of the vectors has dropped out: every score lies within the same small range.",
    cause="This is the cosine of the angle between query and key. Attention uses the plain dot product, in "
    "which a longer query or key counts for more; only the root of head_dim is divided out.",
    place="Look for a normalisation of query and key, and take it out.",
    shows=[("scores_are_scaled_dot_products", "smaller", "scores")],
)
def cosine_instead_of_dot_product(query, key):
    return torch.nn.functional.normalize(query, dim=-1) @ torch.nn.functional.normalize(key, dim=-1).transpose(-2, -1)


# The scale


@mistake(
    "scale",
    symptom="The scores are too large by the factor √head_dim.",
    cause="The scale is missing. A dot product of head_dim independent terms of variance 1 has variance "
    "head_dim, so without the division the softmax saturates as head_dim grows, and gradients vanish.",
    place="Divide the product by the square root of the size of the last axis.",
    shows=[
        ("scores_are_scaled_dot_products", "multiple", "scores"),
        ("scores_are_scaled_dot_products", "larger", "scores"),
    ],
)
def no_scale(scores, query, key):
    return scores


@mistake(
    "scale",
    symptom="The scores are too small by the factor √head_dim.",
    cause="They were divided by head_dim itself, or by its root twice (once in attention_scores and once more "
    "outside). The spread of a sum of head_dim terms grows with the root of head_dim, not with head_dim.",
    place="Look for a missing square root, or for a second division.",
    shows=[
        ("scores_are_scaled_dot_products", "multiple", "scores"),
        ("scores_are_scaled_dot_products", "smaller", "scores"),
    ],
)
def divided_by_head_dim(scores, query, key):
    return scores / query.shape[-1]


@also("divided_by_head_dim", "scale")
def divided_by_the_root_twice(scores, query, key):
    return scores / query.shape[-1] ** 0.5 / query.shape[-1] ** 0.5


@mistake(
    "scale",
    symptom="The scores are too large by the factor head_dim.",
    cause="They are multiplied by the root of head_dim, where they should be divided by it. The scale is there "
    "to bring the spread of the scores back to 1, and multiplying drives it up.",
    place="Look at the operator in front of the root; `head_dim ** -0.5` multiplies, `head_dim ** 0.5` divides.",
    shows=[
        ("scores_are_scaled_dot_products", "multiple", "scores"),
        ("scores_are_scaled_dot_products", "larger", "scores"),
    ],
)
def multiplied_by_the_scale(scores, query, key):
    return scores * math.sqrt(query.shape[-1])


@mistake(
    "scale",
    symptom="The scores change with the length of the sequence.",
    cause="They are divided by a size of the sequence, not by the size of a vector. What is summed in a dot "
    "product are the head_dim features, so only head_dim can set the scale.",
    place="Look at which axis the divisor comes from: head_dim is the last axis of the query.",
    shows=[("scores_are_scaled_dot_products", "multiple", "scores")],
)
def scaled_by_the_sequence_length(scores, query, key):
    return scores / math.sqrt(key.shape[-2])


@also("scaled_by_the_sequence_length", "scale")
def scaled_by_the_root_of_queries(scores, query, key):
    return scores / math.sqrt(query.shape[-2])


@also("scaled_by_the_sequence_length", "scale")
def scaled_by_keys(scores, query, key):
    return scores / key.shape[-2]


@also("scaled_by_the_sequence_length", "scale")
def scaled_by_queries(scores, query, key):
    return scores / query.shape[-2]


@also("scaled_by_the_sequence_length", "scale")
def scaled_by_the_second_axis(scores, query, key):
    return scores / math.sqrt(query.shape[1])


@mistake(
    "scale",
    symptom="The scores are right for one head_dim only.",
    cause="The scale is a fixed number, such as the 8 that belongs to the head_dim of 64 in the paper, or the 2 of a "
    "worked example with 4 features. Another head_dim needs another number.",
    place="Take the size from the last axis of the query.",
    shows=[("scores_are_scaled_dot_products", "multiple", "scores")],
)
def fixed_scale(scores, query, key):
    return scores / 8


@also("fixed_scale", "scale")
def fixed_scale_of_4_features(scores, query, key):
    return scores * 0.5


@also("fixed_scale", "scale")
def fixed_scale_of_16_features(scores, query, key):
    return scores / 4


@also("fixed_scale", "scale")
def fixed_scale_of_32_features(scores, query, key):
    return scores / math.sqrt(32)


@also("fixed_scale", "scale")
def fixed_scale_of_128_features(scores, query, key):
    return scores / math.sqrt(128)


@also("fixed_scale", "scale")
def fixed_scale_of_256_features(scores, query, key):
    return scores / 16


@also("fixed_scale", "scale")
def fixed_scale_of_512_features(scores, query, key):
    return scores / math.sqrt(512)


@also("fixed_scale", "scale")
def fixed_scale_of_768_features(scores, query, key):
    return scores / math.sqrt(768)


@also("fixed_scale", "scale")
def fixed_scale_of_2_features(scores, query, key):
    return scores / math.sqrt(2)


@mistake(
    symptom="The rows of the weights do not sum to 1: they sum to 1/√head_dim.",
    cause="The scale was applied to the weights. Dividing after the softmax shrinks the output and leaves the "
    "softmax as saturated as before; the scale belongs to the scores.",
    place="Move the division in front of the softmax.",
    shows=[("output_is_a_weighted_mean_of_values", "rows do not sum to 1", "weights")],
)
class scale_after_the_softmax:
    @staticmethod
    def scale(scores, query, key):
        return scores

    @staticmethod
    def rescale(weights, query):
        return weights / math.sqrt(query.shape[-1])


# The mask


@mistake(
    symptom="Hidden keys keep their weight: the mask changes nothing.",
    cause="The mask is never used, or not passed on. Padding and the future would then be read like any token.",
    place="Follow the argument `mask` through your code.",
    shows=[
        ("hidden_keys_get_no_weight", "not zero", "*largest weight on a hidden key"),
        ("hidden_keys_have_no_influence", "not zero", "*largest weight on a hidden key"),
        ("weights_are_a_softmax_over_keys", "right"),
        ("output_is_a_weighted_mean_of_values", "right"),
    ],
)
class mask_ignored:
    @staticmethod
    def hide(scores, mask):
        return scores

    @staticmethod
    def settle(weights, mask):
        return weights


@mistake(
    symptom="The mask has the opposite effect: the keys that may be attended get no weight.",
    cause="The mask is read the wrong way round. Here, as in F.scaled_dot_product_attention, True means may "
    "attend. In nn.MultiheadAttention True means ignore, which is where the habit comes from.",
    place="Look for a missing (or superfluous) `~` in front of the mask.",
    shows=[
        ("hidden_keys_get_no_weight", "differ", "*: weights"),
        ("hidden_keys_have_no_influence", "differ", "*: weights"),
    ],
)
class mask_inverted:
    @staticmethod
    def hide(scores, mask):
        return scores if mask is None else scores.masked_fill(mask, -math.inf)

    @staticmethod
    def settle(weights, mask):
        return weights if mask is None else weights.masked_fill(mask, 0.0)


@also("mask_inverted")
class mask_inverted_and_rows_left:
    @staticmethod
    def hide(scores, mask):
        return scores if mask is None else scores.masked_fill(mask, -math.inf)

    @staticmethod
    def settle(weights, mask):
        return weights


@also("mask_inverted")
class mask_inverted_and_nan_replaced:
    @staticmethod
    def hide(scores, mask):
        return scores if mask is None else scores.masked_fill(mask, -math.inf)

    @staticmethod
    def settle(weights, mask):
        return torch.nan_to_num(weights)


@also("mask_inverted", "hide")
def mask_inverted_before_the_softmax_only(scores, mask):
    return scores if mask is None else scores.masked_fill(mask, -math.inf)


@mistake(
    "hide",
    symptom="Hidden keys still take part in the softmax, with a little less weight than without the mask.",
    cause="The boolean mask was added to the scores, so True counted as 1 and False as 0. An additive mask holds 0 "
    "and minus infinity; a boolean one has to be turned into that first.",
    place="Look at how the mask meets the scores: masked_fill(~mask, -inf) or torch.where.",
    shows=[
        ("hidden_keys_get_no_weight", "differ", "*: weights"),
        ("hidden_keys_have_no_influence", "differ", "*: weights"),
        ("weights_are_a_softmax_over_keys", "right"),
        ("output_is_a_weighted_mean_of_values", "right"),
    ],
)
def mask_added_as_numbers(scores, mask):
    return scores if mask is None else scores + mask


@also("mask_added_as_numbers")
class mask_added_and_rows_left:
    @staticmethod
    def hide(scores, mask):
        return scores if mask is None else scores + mask.to(scores.dtype)

    @staticmethod
    def settle(weights, mask):
        return weights


@mistake(
    "hide",
    symptom="Hidden keys still take part in the softmax, as if their score were 0.",
    cause="The scores of hidden keys are set to 0 (multiplied by the mask, or filled with 0 or a tiny number). "
    "The softmax turns a score of 0 into exp(0) = 1, which is more than any negative score gets. A hidden "
    "key needs exp(score) = 0, so its score must be minus infinity.",
    place="Look at the number that hidden scores get.",
    shows=[
        ("hidden_keys_get_no_weight", "differ", "*: weights"),
        ("hidden_keys_have_no_influence", "differ", "*: weights"),
        ("weights_are_a_softmax_over_keys", "right"),
        ("output_is_a_weighted_mean_of_values", "right"),
    ],
)
def hidden_scores_set_to_zero(scores, mask):
    return scores if mask is None else scores * mask


@also("hidden_scores_set_to_zero")
class hidden_scores_set_to_zero_and_rows_left:
    @staticmethod
    def hide(scores, mask):
        return scores if mask is None else scores * mask

    @staticmethod
    def settle(weights, mask):
        return weights


@also("hidden_scores_set_to_zero")
class hidden_scores_set_to_a_tiny_number:
    @staticmethod
    def hide(scores, mask):
        return scores if mask is None else scores.masked_fill(~mask, 1e-9)

    @staticmethod
    def settle(weights, mask):
        return weights


@mistake(
    symptom="The rows of the weights no longer sum to 1 once a mask is given.",
    cause="The mask is applied after the softmax, which had already given the hidden keys their share; that share "
    "is thrown away. Hidden before the softmax, these keys never get a share, and the others have it all.",
    place="Look at where the mask is applied.",
    shows=[
        ("hidden_keys_get_no_weight", "rows do not sum to 1", "*: weights"),
        ("hidden_keys_have_no_influence", "rows do not sum to 1", "*: weights"),
    ],
)
class mask_after_the_softmax:
    @staticmethod
    def hide(scores, mask):
        return scores

    @staticmethod
    def settle(weights, mask):
        return weights if mask is None else weights * mask


@mistake(
    credit=0.5,
    symptom="Where a hidden key has by far the largest score of its row, the row comes out as 0 or NaN.",
    cause="The softmax still counts the hidden keys, and what the mask leaves is divided by its sum afterwards. If a "
    "hidden key's score exceeds all visible ones by about 100, it takes the whole weight: the exponentials of "
    "the visible keys are 0 in float32, and no division brings them back.",
    place="Hide the scores before the softmax, or before the maximum is taken, and nothing has to be divided again.",
    shows=[
        ("largest_score_may_be_hidden", "0 or NaN", "*: sum of each row of weights"),
        ("largest_score_may_be_hidden_here", "0 or NaN", "*: sum of each row of weights"),
    ],
)
class renormalised_after_the_softmax:
    @staticmethod
    def hide(scores, mask):
        return scores

    @staticmethod
    def settle(weights, mask):
        if mask is None:
            return weights
        weights = weights * mask
        return weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-9)


@also("renormalised_after_the_softmax")
class renormalised_with_a_small_number_added:
    @staticmethod
    def hide(scores, mask):
        return scores

    @staticmethod
    def settle(weights, mask):
        if mask is None:
            return weights
        weights = weights.masked_fill(~mask, 0.0)
        return weights / (weights.sum(dim=-1, keepdim=True) + 1e-13)


@also("renormalised_after_the_softmax")
class renormalised_without_protection:
    @staticmethod
    def hide(scores, mask):
        return scores

    @staticmethod
    def settle(weights, mask):
        if mask is None:
            return weights
        weights = weights * mask
        return weights / weights.sum(dim=-1, keepdim=True)


@also("renormalised_after_the_softmax")
class filled_with_zero_and_renormalised_without_protection:
    @staticmethod
    def hide(scores, mask):
        return scores

    @staticmethod
    def settle(weights, mask):
        if mask is None:
            return weights
        weights = weights.masked_fill(~mask, 0.0)
        return weights / weights.sum(dim=-1, keepdim=True)


@also("renormalised_after_the_softmax")
class renormalised_and_nan_replaced:
    @staticmethod
    def hide(scores, mask):
        return scores

    @staticmethod
    def settle(weights, mask):
        if mask is None:
            return weights
        weights = weights * mask
        return torch.nan_to_num(weights / weights.sum(dim=-1, keepdim=True))


@also("renormalised_after_the_softmax")
class maximum_over_hidden_keys_as_well:
    @staticmethod
    def hide(scores, mask):
        return scores

    @staticmethod
    def normalise(scores):
        return torch.exp(scores - scores.amax(dim=-1, keepdim=True))

    @staticmethod
    def settle(weights, mask):
        powers = weights if mask is None else weights * mask
        total = powers.sum(dim=-1, keepdim=True)
        return powers / torch.where(total == 0, 1.0, total)


@mistake(
    credit=0.5,
    symptom="Where all visible scores of a row lie far below 0, the row comes out as 0 or NaN.",
    cause="The scores of hidden keys are set to 0 before the softmax, and what the mask leaves is divided by its sum "
    "afterwards. Where every visible score lies about 100 below that 0, the hidden keys take the whole weight, and "
    "for the visible ones nothing is left to divide.",
    place="Give hidden scores minus infinity in place of 0, and take out the second use of the mask.",
    shows=[
        ("low_scores_do_not_leak", "0 or NaN", "*: sum of each row of weights"),
        ("extreme_scores_are_safe", "0 or NaN", "*: sum of each row of weights"),
    ],
)
class hidden_scores_zeroed_then_renormalised:
    @staticmethod
    def hide(scores, mask):
        return scores if mask is None else scores * mask

    @staticmethod
    def settle(weights, mask):
        if mask is None:
            return weights
        weights = weights * mask
        return weights / (weights.sum(dim=-1, keepdim=True) + 1e-13)


@also("hidden_scores_zeroed_then_renormalised")
class hidden_scores_zeroed_then_renormalised_without_protection:
    @staticmethod
    def hide(scores, mask):
        return scores if mask is None else scores.masked_fill(~mask, 0.0)

    @staticmethod
    def settle(weights, mask):
        if mask is None:
            return weights
        weights = weights * mask
        return weights / weights.sum(dim=-1, keepdim=True)


@mistake(
    symptom="Every row with a hidden key is lost: its visible keys get NaN, or 0 where NaN was replaced.",
    cause="The scores of hidden keys are set to plus infinity. The softmax subtracts the largest score of the row, and "
    "infinity minus infinity is NaN. A hidden key needs exp(score) = 0: minus infinity.",
    place="Look at the sign of the infinity.",
    shows=[
        ("hidden_keys_get_no_weight", "0 or NaN", "*: sum of each row of weights"),
        ("hidden_keys_have_no_influence", "0 or NaN", "*: sum of each row of weights"),
        ("weights_are_a_softmax_over_keys", "right"),
        ("output_is_a_weighted_mean_of_values", "right"),
    ],
)
class plus_infinity_on_hidden_keys:
    @staticmethod
    def hide(scores, mask):
        return scores if mask is None else scores.masked_fill(~mask, math.inf)

    @staticmethod
    def settle(weights, mask):
        return weights


@also("plus_infinity_on_hidden_keys", "hide")
def plus_infinity_with_hidden_keys_cleared(scores, mask):
    return scores if mask is None else scores.masked_fill(~mask, math.inf)


@also("plus_infinity_on_hidden_keys")
class plus_infinity_and_nan_replaced:
    @staticmethod
    def hide(scores, mask):
        return scores if mask is None else scores.masked_fill(~mask, math.inf)

    @staticmethod
    def settle(weights, mask):
        return torch.nan_to_num(weights)


@mistake(
    symptom="In every row with a hidden key the visible keys get no weight.",
    cause="Hidden scores are filled with a large positive number, so the hidden keys take the whole weight of their "
    "row. To get none, they need minus infinity.",
    place="Look at the sign of the number that hidden scores get.",
    shows=[
        ("hidden_keys_get_no_weight", "differ", "*: weights"),
        ("hidden_keys_have_no_influence", "differ", "*: weights"),
        ("weights_are_a_softmax_over_keys", "right"),
        ("output_is_a_weighted_mean_of_values", "right"),
    ],
)
class large_positive_fill:
    @staticmethod
    def hide(scores, mask):
        return scores if mask is None else scores.masked_fill(~mask, 1e9)

    @staticmethod
    def settle(weights, mask):
        return weights


@also("large_positive_fill", "hide")
def large_positive_fill_with_hidden_keys_cleared(scores, mask):
    return scores if mask is None else scores.masked_fill(~mask, 1e9)


@also("large_positive_fill")
class large_positive_number_added:
    @staticmethod
    def hide(scores, mask):
        return scores if mask is None else scores + (~mask) * 1e9

    @staticmethod
    def settle(weights, mask):
        return weights


@mistake(
    credit=0.5,
    symptom="Ordinary rows are right, but in extreme ones hidden keys still count: where the visible scores are very low, "
    "where a hidden one is very large, or where every key is hidden.",
    cause="Hidden scores are filled with a large but finite number such as -1e9, or it is added to them. Once the other "
    "scores are as low as what comes of that, hidden keys take part again; and in a row without any visible key the "
    "softmax still gives out one unit of weight, to keys that should have none.",
    place="Fill with minus infinity, and set rows without a visible key to 0 afterwards.",
    shows=[
        ("hidden_keys_get_no_weight", "right"),
        ("hidden_keys_have_no_influence", "right"),
        ("weights_are_a_softmax_over_keys", "right"),
        ("output_is_a_weighted_mean_of_values", "right"),
    ],
)
class finite_fill:
    @staticmethod
    def hide(scores, mask):
        return scores if mask is None else scores.masked_fill(~mask, -1e9)

    @staticmethod
    def settle(weights, mask):
        return weights


@also("finite_fill", "hide")
def finite_fill_with_clean_rows(scores, mask):
    return scores if mask is None else scores.masked_fill(~mask, -1e9)


@also("finite_fill", "hide")
def small_finite_fill_with_clean_rows(scores, mask):
    return scores if mask is None else scores.masked_fill(~mask, -1e4)


@also("finite_fill")
class small_finite_fill:
    @staticmethod
    def hide(scores, mask):
        return scores if mask is None else scores.masked_fill(~mask, -1e4)

    @staticmethod
    def settle(weights, mask):
        return weights


@also("finite_fill")
class largest_finite_fill:
    @staticmethod
    def hide(scores, mask):
        return scores if mask is None else scores.masked_fill(~mask, torch.finfo(scores.dtype).min)

    @staticmethod
    def settle(weights, mask):
        return weights


@also("finite_fill")
class finite_number_added:
    @staticmethod
    def hide(scores, mask):
        return scores if mask is None else scores + (~mask) * -1e9

    @staticmethod
    def settle(weights, mask):
        return weights


@also("finite_fill")
class small_finite_number_added:
    @staticmethod
    def hide(scores, mask):
        return scores if mask is None else scores + (~mask) * -1e4

    @staticmethod
    def settle(weights, mask):
        return weights


@also("finite_fill")
class logarithm_of_nearly_zero_added:
    @staticmethod
    def hide(scores, mask):
        return scores if mask is None else scores + (mask.to(scores.dtype) + 1e-45).log()

    @staticmethod
    def settle(weights, mask):
        return weights


@also("finite_fill", "hide")
def small_finite_number_added_with_clean_rows(scores, mask):
    return scores if mask is None else scores + (~mask) * -1e4


@mistake(
    "settle",
    credit=0.5,
    symptom="A query that may attend to nothing gets NaN.",
    cause="In a row without any permitted key the softmax divides 0 by 0. Such rows occur: every query of a "
    "sequence that is all padding, or the first one under a strict causal mask. One NaN spreads through "
    "every layer.",
    place="After the softmax, set the weights of hidden keys to 0 (masked_fill with ~mask, or nan_to_num).",
    shows=[
        ("empty_rows_get_zero_weights", "NaN", "weights"),
        ("empty_rows_give_zero_output", "NaN", "weights"),
        ("hidden_keys_get_no_weight", "right"),
        ("hidden_keys_have_no_influence", "right"),
    ],
)
def nan_on_empty_rows(weights, mask):
    return weights


@also("nan_on_empty_rows")
class nan_on_empty_rows_by_addition:
    @staticmethod
    def hide(scores, mask):
        return scores if mask is None else scores + torch.zeros_like(scores).masked_fill(~mask, -math.inf)

    @staticmethod
    def settle(weights, mask):
        return weights


@mistake(
    credit=0.5,
    symptom="The weights are right, but where a query may attend to nothing the gradient is NaN.",
    cause="The NaN was replaced after the softmax, but the hidden scores were not cut off before it: minus "
    "infinity was added, or the mask multiplied. Replacing mends the value, not the gradient: backwards, "
    "NaN times 0 is still NaN. masked_fill and torch.where cut hidden scores off, so nothing flows back "
    "through them.",
    place="Hide the scores with masked_fill or torch.where, not by adding or multiplying.",
    shows=[
        ("empty_rows_get_zero_weights", "NaN", "gradient*"),
        ("empty_rows_give_zero_output", "NaN", "gradient*"),
        ("empty_rows_get_zero_weights", "right", "weights"),
        ("empty_rows_give_zero_output", "right", "weights"),
    ],
)
class nan_gradient_on_empty_rows:
    @staticmethod
    def hide(scores, mask):
        return scores if mask is None else scores + torch.zeros_like(scores).masked_fill(~mask, -math.inf)

    @staticmethod
    def settle(weights, mask):
        return torch.nan_to_num(weights)


# The softmax


@mistake(
    "normalise",
    symptom="The rows of the weights do not sum to 1; sums over another axis do.",
    cause="The softmax runs over the wrong axis (the queries, the batch or the heads). Each query hands out one "
    "unit of attention among the keys, so the keys, the last axis, are what must sum to 1.",
    place="Look at `dim` of the softmax: it should be -1.",
    shows=[
        ("weights_take_leading_axes", "rows do not sum to 1", "*: weights"),
        ("attention_takes_leading_axes", "rows do not sum to 1", "*: weights"),
    ],
)
def softmax_over_another_axis(scores):
    return torch.softmax(scores, dim=-2)


@also("softmax_over_another_axis", "normalise")
def softmax_over_the_first_axis(scores):
    return torch.softmax(scores, dim=0)


@also("softmax_over_another_axis", "normalise")
def softmax_over_the_second_axis(scores):
    return torch.softmax(scores, dim=1)


@also("softmax_over_another_axis", "normalise")
def softmax_over_the_third_axis(scores):
    return torch.softmax(scores, dim=2)


@also("softmax_over_another_axis")
class softmax_over_another_axis_and_nan_left:
    normalise = staticmethod(softmax_over_another_axis)

    @staticmethod
    def settle(weights, mask):
        return weights


@also("softmax_over_another_axis")
class softmax_over_the_first_axis_and_nan_left:
    normalise = staticmethod(softmax_over_the_first_axis)

    @staticmethod
    def settle(weights, mask):
        return weights


@also("softmax_over_another_axis")
class softmax_over_the_second_axis_and_nan_left:
    normalise = staticmethod(softmax_over_the_second_axis)

    @staticmethod
    def settle(weights, mask):
        return weights


@also("softmax_over_another_axis")
class softmax_over_the_third_axis_and_nan_left:
    normalise = staticmethod(softmax_over_the_third_axis)

    @staticmethod
    def settle(weights, mask):
        return weights


@mistake(
    "normalise",
    symptom="Rows that should each sum to 1 share a single unit of weight.",
    cause="The softmax runs over several axes at once: the whole tensor, or queries and keys together. Every query has "
    "its own unit of attention to hand out.",
    place="Give the softmax, or the sum of the exponentials, the axis -1 (and keepdim=True for a sum).",
    shows=[
        ("weights_are_a_softmax_over_keys", "rows do not sum to 1", "weights"),
        ("output_is_a_weighted_mean_of_values", "rows do not sum to 1", "weights"),
    ],
)
def softmax_over_everything(scores):
    return torch.softmax(scores.flatten(), dim=0).reshape(scores.shape)


@also("softmax_over_everything", "normalise")
def softmax_over_queries_and_keys_together(scores):
    return torch.softmax(scores.flatten(-2), dim=-1).reshape(scores.shape)


@mistake(
    "normalise",
    symptom="Large scores give NaN.",
    cause="exp overflows float32 near 88 and float64 near 709, and infinity divided by infinity is NaN. "
    "Subtracting each row's largest score first changes nothing in the result, as numerator and "
    "denominator shrink by the same factor, and no exponent is then above 0.",
    place="Subtract the maximum of each row before exp, or use torch.softmax, which does.",
    shows=[("large_scores_do_not_overflow", "NaN", "*: weights"), ("extreme_scores_are_safe", "NaN", "*: weights")],
)
def exp_without_the_maximum(scores):
    return scores.exp() / scores.exp().sum(dim=-1, keepdim=True)


@also("exp_without_the_maximum")
class exp_without_the_maximum_and_rows_left:
    @staticmethod
    def normalise(scores):
        return scores.exp() / scores.exp().sum(dim=-1, keepdim=True)

    @staticmethod
    def settle(weights, mask):
        return weights


@also("exp_without_the_maximum")
class exp_without_the_maximum_times_the_mask:
    @staticmethod
    def hide(scores, mask):
        return scores

    @staticmethod
    def normalise(scores):
        return scores.exp()

    @staticmethod
    def settle(weights, mask):
        weights = weights if mask is None else weights * mask
        return weights / weights.sum(dim=-1, keepdim=True)


@also("exp_without_the_maximum")
class exp_without_the_maximum_filled_with_zero:
    @staticmethod
    def hide(scores, mask):
        return scores

    @staticmethod
    def normalise(scores):
        return scores.exp()

    @staticmethod
    def settle(weights, mask):
        weights = weights if mask is None else weights.masked_fill(~mask, 0.0)
        return weights / weights.sum(dim=-1, keepdim=True)


@mistake(
    "normalise",
    symptom="Rows whose scores lie far below those of other rows give NaN.",
    cause="One maximum, that of the whole tensor, is subtracted from all rows. A row far below it has only "
    "exponentials of 0, and 0 divided by 0 is NaN. Each row needs its own maximum.",
    place="Take the maximum with dim=-1 and keepdim=True.",
    shows=[("extreme_scores_are_safe", "NaN", "rows far apart: weights")],
)
def one_maximum_for_all_rows(scores):
    powers = (scores - scores.max()).exp()
    return powers / powers.sum(dim=-1, keepdim=True)


@mistake(
    "normalise",
    symptom="The weights are negative or larger than 1: they are the scores.",
    cause="The softmax is missing. Scores say how well query and key agree; weights are shares, positive and "
    "with a sum of 1, and the softmax turns the one into the other.",
    place="Apply a softmax over the last axis.",
    shows=[
        ("weights_are_a_softmax_over_keys", "rows do not sum to 1", "weights"),
        ("output_is_a_weighted_mean_of_values", "rows do not sum to 1", "weights"),
    ],
)
def softmax_missing(scores):
    return scores


@mistake(
    "normalise",
    symptom="The weights are negative: they are logarithms.",
    cause="log_softmax gives the logarithm of the weights, which suits a loss. A weighted mean needs the weights.",
    place="Use softmax where log_softmax stands.",
    shows=[
        ("weights_are_a_softmax_over_keys", "rows do not sum to 1", "weights"),
        ("output_is_a_weighted_mean_of_values", "rows do not sum to 1", "weights"),
    ],
)
def log_softmax_instead(scores):
    return torch.log_softmax(scores, dim=-1)


@mistake(
    "normalise",
    symptom="Each weight lies between 0 and 1, but the rows do not sum to 1.",
    cause="A sigmoid judges every key on its own. In a softmax the keys compete for one unit of attention.",
    place="Use a softmax over the last axis.",
    shows=[
        ("weights_are_a_softmax_over_keys", "rows do not sum to 1", "weights"),
        ("output_is_a_weighted_mean_of_values", "rows do not sum to 1", "weights"),
        ("weights_are_a_softmax_over_keys", "not negative", "weights"),
        ("output_is_a_weighted_mean_of_values", "not negative", "weights"),
    ],
)
def sigmoid_instead(scores):
    return torch.sigmoid(scores)


@mistake(
    "normalise",
    symptom="The rows sum to 1, but some weights are negative or very large.",
    cause="The scores were divided by their sum. Scores can be negative and can cancel; exp makes them positive "
    "first, and only then is dividing by the sum a share.",
    place="Put an exponential between the scores and the sum.",
    shows=[
        ("weights_are_a_softmax_over_keys", "rows sum to 1", "weights"),
        ("output_is_a_weighted_mean_of_values", "rows sum to 1", "weights"),
    ],
)
def divided_by_the_sum_of_scores(scores):
    return scores / scores.sum(dim=-1, keepdim=True)


@mistake(
    "normalise",
    symptom="The rows sum to 1, but the weights are too equal.",
    cause="The softmax is applied twice. The first gives the weights; a second one takes them for scores, and as "
    "they all lie between 0 and 1, nearly levels them.",
    place="Look for a second softmax: in attention_weights and once more outside.",
    shows=[
        ("weights_are_a_softmax_over_keys", "rows sum to 1", "weights"),
        ("output_is_a_weighted_mean_of_values", "rows sum to 1", "weights"),
    ],
)
def softmax_twice(scores):
    return torch.softmax(torch.softmax(scores, dim=-1), dim=-1)


# The output


@mistake(
    "combine",
    symptom="The output has the width of the key, not of the value.",
    cause="The weights are applied to the key. Keys are there to be compared with; what a query takes home is "
    "the value.",
    place="Look at the last product: weights @ value.",
    shows=[("output_is_a_weighted_mean_of_values", "another shape", "*output")],
)
def weights_applied_to_the_key(weights, query, key, value):
    return weights @ key


@mistake(
    "combine",
    symptom="The last product does not fit, or mixes the wrong rows when queries and keys are equally many.",
    cause="The weights are transposed. Row i of the weights belongs to query i, and row i of the output is that "
    "row times the value.",
    place="Look for a superfluous transpose of the weights.",
    shows=[("output_is_a_weighted_mean_of_values", "differ")],
)
def weights_transposed(weights, query, key, value):
    return weights.transpose(-2, -1) @ value


@mistake(
    "answer",
    symptom="The second thing returned is not a set of weights: its rows do not sum to 1.",
    cause="The scores are returned in place of the weights. What others look at, and what BertViz draws, are the "
    "weights after the softmax.",
    place="Look at the return statement.",
    shows=[("output_is_a_weighted_mean_of_values", "rows do not sum to 1", "weights")],
)
def scores_returned_as_weights(output, weights, scores):
    return output, scores


@mistake(
    "answer",
    symptom="Output and weights have changed places.",
    cause="The order is part of the contract: (output, weights), as in nn.MultiheadAttention.",
    place="Look at the return statement.",
    shows=[("output_is_a_weighted_mean_of_values", "another shape", "shape of *")],
)
def output_and_weights_exchanged(output, weights, scores):
    return weights, output


@mistake(
    "answer",
    credit=0.5,
    symptom="One tensor comes back where a pair is expected.",
    cause="Only the output is returned. The weights are part of the answer: later lessons look at them.",
    place="Return both: output, weights.",
    shows=[("output_is_a_weighted_mean_of_values", "is a tensor", "answer")],
)
def weights_not_returned(output, weights, scores):
    return output


# Streaming


@mistake(
    symptom="Right with one block, wrong as soon as a later block holds a larger score.",
    cause="When a block raises the running maximum, what was summed before belongs to the old one. Sum and output "
    "both have to be multiplied by exp(old maximum - new maximum), or they count in another unit.",
    place="Look at what happens to the running sum and the running output when the maximum grows.",
    shows=[
        ("streaming_equals_full_attention", "differ"),
    ],
)
class nothing_rescaled:
    @staticmethod
    def carry_sum(total, shrink):
        return total

    @staticmethod
    def carry_output(output, shrink):
        return output


@mistake(
    "carry_output",
    symptom="Right with one block, wrong as soon as a later block holds a larger score.",
    cause="The running sum is brought to the new maximum, the running output is not. Both are sums of "
    "exp(score - maximum).",
    place="Multiply the running output by the same factor as the running sum.",
    shows=[
        ("streaming_equals_full_attention", "differ"),
    ],
)
def output_not_rescaled(output, shrink):
    return output


@mistake(
    "carry_sum",
    symptom="Right with one block, wrong as soon as a later block holds a larger score.",
    cause="The running output is brought to the new maximum, the running sum is not. Both are sums of "
    "exp(score - maximum).",
    place="Multiply the running sum by the same factor as the running output.",
    shows=[
        ("streaming_equals_full_attention", "differ"),
    ],
)
def sum_not_rescaled(total, shrink):
    return total


@mistake(
    "streaming_attention",
    symptom="The output is divided by too small a sum: that of the first block, or 0.",
    cause="The running sum is brought to each new maximum, but the exponentials of the new block are never added to it.",
    place="Add the sum of the new block's exponentials to the running sum, beside the line that does this for the "
    "output.",
    shows=[("streaming_equals_full_attention", "differ", "block_size 1: *")],
)
def sum_not_extended(query, key, value, block_size):
    largest = None
    for keys, values in blocks(key, value, block_size):
        scores = scale(product(query, keys), query, keys)
        if largest is None:
            largest = scores.amax(dim=-1, keepdim=True)
            powers = (scores - largest).exp()
            total, output = powers.sum(dim=-1, keepdim=True), powers @ values
            continue
        larger = new_maximum(largest, scores)
        shrink, powers = (largest - larger).exp(), (scores - larger).exp()
        total, output, largest = shrink * total, shrink * output + powers @ values, larger
    return output / total


@also("sum_not_extended", "extend_sum")
def sum_never_begun(total, powers):
    return total


@mistake(
    symptom="Right with one block; with more, what earlier blocks have added is gone.",
    cause="A running number is overwritten where it should grow: the sum, the output, or both hold what the last block "
    "has given. What came before has to be carried along, brought to the new maximum.",
    place="Look at the lines at the end of the loop: sum and output are extended, and the new maximum is kept.",
    shows=[
        ("streaming_equals_full_attention", "differ"),
    ],
)
class earlier_blocks_forgotten:
    @staticmethod
    def extend_sum(total, powers):
        return powers.sum(dim=-1, keepdim=True)

    @staticmethod
    def extend_output(output, powers, values, total):
        return powers @ values


@also("earlier_blocks_forgotten", "extend_sum")
def sum_of_the_last_block(total, powers):
    return powers.sum(dim=-1, keepdim=True)


@also("earlier_blocks_forgotten", "extend_output")
def output_of_the_last_block(output, powers, values, total):
    return powers @ values


@also("earlier_blocks_forgotten", "keep_maximum")
def maximum_never_kept(largest, larger):
    return largest


@mistake(
    "new_maximum",
    credit=0.5,
    symptom="Right for ordinary scores; where an earlier block holds much larger ones, the output is NaN.",
    cause="The maximum is that of the block alone. If it falls, what was summed before is multiplied by exp(old maximum "
    "- new maximum), which overflows; the running maximum never falls.",
    place="Take the larger of the old maximum and the block's: torch.maximum.",
    shows=[("streaming_equals_full_attention", "right"), ("streaming_is_stable", "NaN", "*: output")],
)
def maximum_of_the_block_alone(largest, scores):
    return scores.amax(dim=-1, keepdim=True)


@mistake(
    "factor",
    symptom="What earlier blocks have added grows where it should shrink, or becomes NaN.",
    cause="The factor is turned over: exp(new maximum - old maximum). What was summed relative to the old maximum is too "
    "large for the new one, and exp(old maximum - new maximum), at most 1, makes it smaller.",
    place="Look at the order of the two maxima in the exponent.",
    shows=[("streaming_equals_full_attention", "differ", "block_size 1: *")],
)
def factor_turned_over(largest, larger):
    return (larger - largest).exp()


@also("factor_turned_over", "streaming_attention")
def factor_turned_over_from_the_second_block_on(query, key, value, block_size):
    largest = None
    for keys, values in blocks(key, value, block_size):
        scores = scale(product(query, keys), query, keys)
        if largest is None:
            largest = scores.amax(dim=-1, keepdim=True)
            powers = (scores - largest).exp()
            total, output = powers.sum(dim=-1, keepdim=True), powers @ values
            continue
        larger = new_maximum(largest, scores)
        grow, powers = (larger - largest).exp(), (scores - larger).exp()
        total, output = grow * total + powers.sum(dim=-1, keepdim=True), grow * output + powers @ values
        largest = larger
    return output / total


@mistake(
    symptom="Right with one block; with more, earlier blocks count too little.",
    cause="The running output is divided by the running sum in every block, so what is carried along is divided again "
    "with each new one.",
    place="Divide once, after the loop; or multiply the old output by the old sum before you add to it.",
    shows=[
        ("streaming_equals_full_attention", "differ"),
    ],
)
class divided_in_every_block:
    @staticmethod
    def extend_output(output, powers, values, total):
        return (output + powers @ values) / total

    @staticmethod
    def close(output, total):
        return output


@mistake(
    "first_maximum",
    credit=0.5,
    symptom="Queries whose scores are all far below zero give NaN, or lose their digits.",
    cause="The running maximum starts at 0, so it never falls to where the scores are, and every exponential "
    "underflows to 0. It has to start below every score: at minus infinity.",
    place="Look at the first value of the running maximum.",
    shows=[("streaming_starts_below_every_score", "differ")],
)
def maximum_starts_at_zero(query):
    return torch.zeros(*query.shape[:-1], 1, dtype=query.dtype, device=query.device)


@mistake(
    symptom="Large scores give NaN.",
    cause="exp is taken of the plain scores, which overflows float32 near 88. The running maximum is what keeps "
    "exponents at or below 0, here as in every softmax.",
    place="Subtract the running maximum before exp, and rescale what was summed before.",
    shows=[("streaming_is_stable", "NaN", "*: output")],
)
class no_running_maximum:
    @staticmethod
    def first_maximum(query):
        return torch.zeros(*query.shape[:-1], 1, dtype=query.dtype, device=query.device)

    @staticmethod
    def new_maximum(largest, scores):
        return largest


@mistake(
    "streaming_attention",
    symptom="Right with one block; with more, each block counts the same, however small its scores.",
    cause="Each block gets a softmax of its own and the results are averaged. Weights must be comparable across "
    "blocks: add up numerators and denominators separately, and divide once at the end.",
    place="Look for a softmax (or a division) inside the loop.",
    shows=[
        ("streaming_equals_full_attention", "differ"),
    ],
)
def one_softmax_per_block(query, key, value, block_size):
    outputs = [attend(query, keys, values) for keys, values in blocks(key, value, block_size)]
    return sum(outputs) / len(outputs)


@also("one_softmax_per_block", "streaming_attention")
def softmaxes_of_blocks_added(query, key, value, block_size):
    return sum(attend(query, keys, values) for keys, values in blocks(key, value, block_size))


def attend(query, key, value):
    """Return plain attention, the whole of it at once."""
    return normalise(scale(product(query, key), query, key)) @ value


@mistake(
    "close",
    symptom="The output is too large: its weights do not sum to 1.",
    cause="The running output is never divided by the running sum. Inside the loop there are only numerators.",
    place="Divide by the sum once, after the loop.",
    shows=[("streaming_equals_full_attention", "larger", "*: output")],
)
def not_divided_by_the_sum(output, total):
    return output


@mistake(
    "blocks",
    credit=0.5,
    symptom="Wrong where block_size does not divide the number of keys.",
    cause="The number of blocks is rounded down, so the keys that are left over are never seen.",
    place="Let the loop run to the number of keys in steps of block_size; slicing past the end is harmless.",
    shows=[
        ("streaming_equals_full_attention", "right", "block_size 1: *"),
        ("streaming_equals_full_attention", "differ"),
    ],
)
def last_block_dropped(key, value, block_size):
    whole = key.shape[-2] // block_size * block_size
    for start in range(0, whole, block_size):
        yield key[..., start : start + block_size, :], value[..., start : start + block_size, :]


@mistake(
    "streaming_attention",
    symptom="The numbers are right, but scores of all keys are held at once.",
    cause="The loop is not over the keys, or there is none. With n queries and keys the score matrix holds n times "
    "n numbers; never holding it is the point of this exercise.",
    place="Compute the scores inside the loop, for one block of keys at a time.",
    shows=[("streaming_equals_full_attention", "right"), ("streaming_never_holds_all_scores", "is yes")],
)
def whole_score_matrix_held(query, key, value, block_size):
    return attend(query, key, value)


@also("whole_score_matrix_held", "streaming_attention")
def blocks_over_the_queries(query, key, value, block_size):
    return torch.cat([attend(block, key, value) for block in query.split(block_size, dim=-2)], dim=-2)


# Find the bug


@mistake(
    "attention_bug_input",
    symptom="On your input the broken attention is right.",
    cause="Its scores are as usual, all of the same size, and there the bug does no harm. It needs queries whose "
    "scores are far apart.",
    place="Find the line in which one query's numbers meet another's, and ask when that would matter.",
    shows=[("bug_input_fits", "right")],
)
def ordinary_input():
    numbers = torch.arange(24.0).reshape(2, 3, 4) / 24
    return numbers, numbers, numbers, None


@mistake(
    "attention_bug_input",
    symptom="What comes back cannot be given to an attention function.",
    cause="query and key end in the same head_dim, and there is one value for each key. The rest is free.",
    place="Compare the shapes with the docstring, and return all four: query, key, value, mask (or None).",
    shows=[("bug_input_fits", "differ")],
)
def input_that_does_not_fit():
    return torch.ones(2, 3), torch.ones(5, 3), torch.ones(7, 3), None


@also("input_that_does_not_fit", "attention_bug_input")
def input_of_two_lengths():
    return torch.ones(2, 3), torch.ones(5, 7), torch.ones(5, 3), None


@also("input_that_does_not_fit", "attention_bug_input")
def input_without_a_mask():
    return torch.ones(2, 3), torch.ones(5, 3), torch.ones(5, 3)


@mistake(
    "attention_bug_input",
    symptom="On your input the broken attention is right.",
    cause="There is one query only, and what it may attend to is treated well. The bug is in what one query does "
    "to another.",
    place="Give it at least two queries that differ.",
    shows=[("bug_input_fits", "right")],
)
def one_query_only():
    return torch.tensor([[1000.0]]), torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [5.0]]), None


@mistake(
    "attention_bug_input",
    symptom="On your input the broken attention is right.",
    cause="All queries have large scores. Overflow is not the bug: the code subtracts a maximum before exp.",
    place="Look at which maximum that is, and what it does to a query whose scores are much smaller.",
    shows=[("bug_input_fits", "right")],
)
def large_scores_everywhere():
    query = torch.tensor([[1000.0], [1001.0]])
    return query, torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [5.0]]), None


@mistake(
    "attention_bug_input",
    symptom="On your input the broken attention is right.",
    cause="You tried a query that may attend to nothing. The code treats it well: its output is 0.",
    place="Look at the lines before the mask is used.",
    shows=[("bug_input_fits", "right")],
)
def query_without_visible_keys():
    numbers = torch.arange(6.0).reshape(3, 2) / 6
    mask = torch.ones(3, 3, dtype=torch.bool)
    mask[1] = False
    return numbers, numbers, numbers, mask


# Habits


@mistake(
    "product",
    credit=0.5,
    only=("attention_scores", "scaled_dot_product_attention"),
    symptom="No gradient reaches one of the inputs, or any: what comes before this function there could never be "
    "trained.",
    cause="The result was cut from autograd by detach, .data, torch.no_grad, numpy or a new torch.tensor.",
    place="Look for one of these, and compute with the tensors as they come.",
    shows=[
        ("scores_pass_gradients", "differ"),
        ("weights_pass_gradients", "differ"),
        ("attention_passes_gradients", "differ"),
    ],
)
def cut_from_autograd(query, key):
    return query.detach() @ key.detach().transpose(-2, -1)


@also("cut_from_autograd", "normalise")
def weights_cut_from_autograd(scores):
    return torch.softmax(scores.detach(), dim=-1)


@also("cut_from_autograd", "product", only=("attention_scores", "scaled_dot_product_attention"))
def product_in_numpy(query, key):
    return torch.from_numpy(np.matmul(query.detach().numpy(), np.swapaxes(key.detach().numpy(), -1, -2)))


@also("cut_from_autograd", "product", only=("attention_scores", "scaled_dot_product_attention"))
def product_in_numpy_without_detach(query, key):
    return torch.from_numpy(np.matmul(query.numpy(), np.swapaxes(key.numpy(), -1, -2)))


@also("cut_from_autograd", "answer")
def weights_returned_without_autograd(output, weights, scores):
    return output, weights.detach()


@also("cut_from_autograd", "attention_scores")
def scores_in_numpy(query, key):
    query, key = query.detach().numpy(), key.detach().numpy()
    return torch.from_numpy(query @ np.swapaxes(key, -1, -2) / np.sqrt(query.shape[-1]))


@also("cut_from_autograd", "scaled_dot_product_attention")
def all_in_numpy(query, key, value, mask=None):
    query, key, value = query.detach().numpy(), key.detach().numpy(), value.detach().numpy()
    scores = query @ np.swapaxes(key, -1, -2) / np.sqrt(query.shape[-1])
    if mask is not None:
        scores = np.where(mask.numpy(), scores, -np.inf)
    largest = scores.max(axis=-1, keepdims=True)
    powers = np.exp(scores - np.where(np.isinf(largest), 0, largest))
    total = powers.sum(axis=-1, keepdims=True)
    weights = powers / np.where(total == 0, 1, total)
    return torch.from_numpy(weights @ value), torch.from_numpy(weights)


@also("cut_from_autograd", "scaled_dot_product_attention")
def all_in_numpy_with_one_dtype(query, key, value, mask=None):
    query, key, value = query.detach().numpy(), key.detach().numpy(), value.detach().numpy()
    scores = query @ np.swapaxes(key, -1, -2) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = np.where(mask.numpy(), scores, -np.inf)
    largest = scores.max(axis=-1, keepdims=True)
    powers = np.exp(scores - np.where(np.isinf(largest), 0, largest))
    total = powers.sum(axis=-1, keepdims=True)
    weights = powers / np.where(total == 0, 1, total)
    return torch.from_numpy(weights @ value), torch.from_numpy(weights)


@also("cut_from_autograd", "normalise")
def softmax_in_numpy(scores):
    powers = np.exp(scores.detach().numpy() - scores.detach().numpy().max(axis=-1, keepdims=True))
    return torch.from_numpy(powers / powers.sum(axis=-1, keepdims=True))


@also("cut_from_autograd", "normalise")
def softmax_in_numpy_without_detach(scores):
    powers = np.exp(scores.numpy() - scores.numpy().max(axis=-1, keepdims=True))
    return torch.from_numpy(powers / powers.sum(axis=-1, keepdims=True))


@mistake(
    "attention_scores",
    credit=0.5,
    symptom="The caller's tensors are different after the call.",
    cause="An argument was changed in place (a method that ends in an underscore, `/=`, or assignment to a part). "
    "The caller still needs it, and autograd forbids it for a parameter.",
    place="Use the form that returns a new tensor: `x = x / 2` instead of `x /= 2`, masked_fill instead of masked_fill_.",
    shows=[
        ("scores_change_nothing", "differ"),
        ("weights_change_nothing", "differ"),
        ("attention_changes_nothing", "differ"),
        ("streaming_changes_nothing", "differ"),
    ],
)
def arguments_changed_in_place(query, key):
    query /= math.sqrt(query.shape[-1])
    return query @ key.transpose(-2, -1)


@also("arguments_changed_in_place", "attention_weights")
def scores_changed_in_place(scores, mask=None):
    if mask is not None:
        scores.masked_fill_(~mask, -math.inf)
    return torch.nan_to_num(torch.softmax(scores, dim=-1))


@also("arguments_changed_in_place", "scaled_dot_product_attention")
def query_changed_in_place(query, key, value, mask=None):
    query *= query.shape[-1] ** -0.5
    weights = settle(normalise(hide(product(query, key), mask)), mask)
    return weights @ value, weights


@mistake(
    "scale",
    credit=0.5,
    only=("attention_scores", "scaled_dot_product_attention"),
    symptom="What comes out has another dtype than what went in.",
    cause="A dtype is fixed in the code, or a tensor takes part that does not follow the inputs: float64 loses digits "
    "without a word, and float16 and bfloat16 lose the speed and the memory they are used for.",
    place="Look for .float(), dtype=torch.float32 or a new tensor that does not follow the inputs.",
    shows=[
        ("scores_follow_the_inputs", "differ"),
        ("weights_follow_the_inputs", "differ"),
        ("attention_follows_the_inputs", "differ"),
        ("streaming_follows_the_inputs", "differ"),
    ],
)
def fixed_dtype(scores, query, key):
    return (scores / query.shape[-1] ** 0.5).float()


@also("fixed_dtype", "normalise")
def weights_of_fixed_dtype(scores):
    return torch.softmax(scores, dim=-1, dtype=torch.float32)


@mistake(
    "hide",
    credit=0.5,
    symptom="It fails as soon as the inputs live on another device, such as a GPU.",
    cause="A new tensor was made on the default device, whatever the inputs are on.",
    place="Make it with zeros_like, full_like or device=scores.device, or use masked_fill, which needs none.",
    shows=[
        ("weights_follow_the_inputs", "is no", "made on the inputs' device"),
        ("attention_follows_the_inputs", "is no", "made on the inputs' device"),
        ("streaming_follows_the_inputs", "is no", "made on the inputs' device"),
    ],
)
def fixed_device(scores, mask):
    return scores if mask is None else torch.where(mask, scores, torch.full(scores.shape, -math.inf))


@mistake(
    symptom="The numbers may be right, but the code calls a library function that does the whole exercise.",
    cause="This lesson opens that box. Later lessons may use it again, and then you know what is in it.",
    place="Write the steps with matrix products, masked_fill and softmax.",
    shows=[
        ("weights_call_no_library_attention", "differ"),
        ("attention_calls_no_library_attention", "differ"),
        ("streaming_calls_no_library_attention", "differ"),
    ],
)
class library_attention:
    @staticmethod
    def scaled_dot_product_attention(query, key, value, mask=None):
        function = torch.nn.functional.scaled_dot_product_attention
        eye = torch.eye(key.shape[-2], dtype=key.dtype, device=key.device).expand(*key.shape[:-1], key.shape[-2])
        return function(query, key, value, attn_mask=mask), function(query, key, eye, attn_mask=mask)


@also("library_attention", "attention_weights")
def library_attention_on_scores(scores, mask=None):
    eye = torch.eye(scores.shape[-1], dtype=scores.dtype, device=scores.device).expand(*scores.shape[:-2], -1, -1)
    return torch.nn.functional.scaled_dot_product_attention(scores, eye, eye, attn_mask=mask, scale=1.0)


@also("library_attention", "streaming_attention")
def library_attention_in_one_block(query, key, value, block_size):
    return torch.nn.functional.scaled_dot_product_attention(query, key, value)
