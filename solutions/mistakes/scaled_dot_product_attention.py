"""Wrong answers to lesson 7, each with its sentences: what is seen, why it is wrong, where to look."""

import math

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
def finish(weights, query):
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


@component("product", "scale", "hide", "normalise", "settle", "finish", "combine", "answer")
def scaled_dot_product_attention(step, query, key, value, mask=None):
    scores = attention_scores(step, query, key)
    weights = step.finish(attention_weights(step, scores, mask), query)
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
def carry_sum(total, shrink):
    """sum carried over"""
    return total * shrink


@step
def carry_output(output, shrink):
    """output carried over"""
    return output * shrink


@step
def close(output, total):
    """division by the sum"""
    return output / total


@component("product", "scale", "first_maximum", "blocks", "new_maximum", "carry_sum", "carry_output", "close")
def streaming_attention(step, query, key, value, block_size):
    largest, total, output = step.first_maximum(query), 0.0, 0.0
    for keys, values in step.blocks(key, value, block_size):
        scores = attention_scores(step, query, keys)
        larger = step.new_maximum(largest, scores)
        shrink, powers = (largest - larger).exp(), (scores - larger).exp()
        total = step.carry_sum(total, shrink) + powers.sum(dim=-1, keepdim=True)
        output, largest = step.carry_output(output, shrink) + powers @ values, larger
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
)
def key_and_query_exchanged(query, key):
    return key @ query.transpose(-2, -1)


@mistake(
    "product",
    symptom="The matrix product of query and key does not fit: both end in head_dim.",
    cause="A dot product runs along head_dim, so that axis must meet itself: [queries, head_dim] times "
    "[head_dim, keys]. The key has to be transposed first.",
    place="Look at the second factor of the product: its last two axes should change places.",
)
def key_not_transposed(query, key):
    return query @ key


@mistake(
    "product",
    symptom="It fits one number of leading axes only, and fails, or answers wrongly, with any other.",
    cause="Axes are counted from the front. Which number the last two have depends on how many come before "
    "them: none for one sequence, batch, batch and heads. From the back they are always -2 and -1.",
    place="Look at the arguments of transpose or permute (`.T` and `.t()` turn all axes round).",
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
)
def no_scale(scores, query, key):
    return scores


@mistake(
    "scale",
    symptom="The scores are too small by the factor √head_dim.",
    cause="They were divided by head_dim itself, or by its root twice (once in attention_scores and once more "
    "outside). The spread of a sum of head_dim terms grows with the root of head_dim, not with head_dim.",
    place="Look for a missing square root, or for a second division.",
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
)
def multiplied_by_the_scale(scores, query, key):
    return scores * math.sqrt(query.shape[-1])


@mistake(
    "scale",
    symptom="The scores change with the length of the sequence.",
    cause="They are divided by a size of the sequence, not by the size of a vector. What is summed in a dot "
    "product are the head_dim features, so only head_dim can set the scale.",
    place="Look at which axis the divisor comes from: head_dim is the last axis of the query.",
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
    cause="The divisor is a fixed number, such as the 8 that belongs to the head_dim of 64 in the paper. "
    "Another head_dim needs another divisor.",
    place="Take the size from the last axis of the query.",
)
def fixed_scale(scores, query, key):
    return scores / 8


@mistake(
    symptom="The rows of the weights do not sum to 1: they sum to 1/√head_dim.",
    cause="The scale was applied to the weights. Dividing after the softmax shrinks the output and leaves the "
    "softmax as saturated as before; the scale belongs to the scores.",
    place="Move the division in front of the softmax.",
)
class scale_after_the_softmax:
    @staticmethod
    def scale(scores, query, key):
        return scores

    @staticmethod
    def finish(weights, query):
        return weights / math.sqrt(query.shape[-1])


# The mask


@mistake(
    symptom="Hidden keys keep their weight: the mask changes nothing.",
    cause="The mask is never used, or not passed on. Padding and the future would then be read like any token.",
    place="Follow the argument `mask` through your code.",
)
class mask_ignored:
    @staticmethod
    def hide(scores, mask):
        return scores

    @staticmethod
    def settle(weights, mask):
        return weights


@mistake(
    symptom="The keys that may be attended get no weight, and the hidden ones get all of it.",
    cause="The mask is read the wrong way round. Here, as in F.scaled_dot_product_attention, True means may "
    "attend. In nn.MultiheadAttention True means ignore, which is where the habit comes from.",
    place="Look for a missing (or superfluous) `~` in front of the mask.",
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
    symptom="Hidden keys still have weight, a little less than without the mask.",
    cause="The boolean mask was added to the scores, so True counted as 1 and False as 0. An additive mask holds 0 "
    "and minus infinity; a boolean one has to be turned into that first.",
    place="Look at how the mask meets the scores: masked_fill(~mask, -inf) or torch.where.",
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
    symptom="Hidden keys still have weight, as if their score were 0.",
    cause="The scores of hidden keys are set to 0 (multiplied by the mask, or filled with 0 or a tiny number). "
    "The softmax turns a score of 0 into exp(0) = 1, which is more than any negative score gets. A hidden "
    "key needs exp(score) = 0, so its score must be minus infinity.",
    place="Look at the number that hidden scores get.",
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
    "is thrown away. Either hide the scores before the softmax, or divide by the new row sums.",
    place="Look at where the mask is applied.",
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
    symptom="Hidden keys get weight when all scores of a row are low, or when a row is hidden altogether.",
    cause="Hidden scores are filled with a large but finite number such as -1e9. Once the other scores are as low "
    "as that, hidden keys take part again; and in a row without any visible key all fills are equal, so "
    "the softmax spreads the weight over keys that should have none.",
    place="Fill with minus infinity, and set rows without a visible key to 0 afterwards.",
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


@mistake(
    "settle",
    credit=0.5,
    symptom="A query that may attend to nothing gets NaN.",
    cause="In a row without any permitted key the softmax divides 0 by 0. Such rows occur: every query of a "
    "sequence that is all padding, or the first one under a strict causal mask. One NaN spreads through "
    "every layer.",
    place="After the softmax, set the weights of hidden keys to 0 (masked_fill with ~mask, or nan_to_num).",
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


@mistake(
    "normalise",
    symptom="All weights together sum to 1, where each row should.",
    cause="The softmax runs over the whole tensor. Every query has its own unit of attention to hand out.",
    place="Give the softmax, or the sum of the exponentials, the axis -1 (and keepdim=True for a sum).",
)
def softmax_over_everything(scores):
    return torch.softmax(scores.flatten(), dim=0).reshape(scores.shape)


@mistake(
    "normalise",
    symptom="Large scores give NaN.",
    cause="exp overflows float32 near 88 and float64 near 709, and infinity divided by infinity is NaN. "
    "Subtracting each row's largest score first changes nothing in the result, as numerator and "
    "denominator shrink by the same factor, and no exponent is then above 0.",
    place="Subtract the maximum of each row before exp, or use torch.softmax, which does.",
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
)
def softmax_missing(scores):
    return scores


@mistake(
    "normalise",
    symptom="The weights are negative: they are logarithms.",
    cause="log_softmax gives the logarithm of the weights, which suits a loss. A weighted mean needs the weights.",
    place="Use softmax where log_softmax stands.",
)
def log_softmax_instead(scores):
    return torch.log_softmax(scores, dim=-1)


@mistake(
    "normalise",
    symptom="Each weight lies between 0 and 1, but the rows do not sum to 1.",
    cause="A sigmoid judges every key on its own. In a softmax the keys compete for one unit of attention.",
    place="Use a softmax over the last axis.",
)
def sigmoid_instead(scores):
    return torch.sigmoid(scores)


@mistake(
    "normalise",
    symptom="The rows sum to 1, but some weights are negative or very large.",
    cause="The scores were divided by their sum. Scores can be negative and can cancel; exp makes them positive "
    "first, and only then is dividing by the sum a share.",
    place="Put an exponential between the scores and the sum.",
)
def divided_by_the_sum_of_scores(scores):
    return scores / scores.sum(dim=-1, keepdim=True)


@mistake(
    "normalise",
    symptom="The rows sum to 1, but the weights are too equal.",
    cause="The softmax is applied twice. The first gives the weights; a second one takes them for scores, and as "
    "they all lie between 0 and 1, nearly levels them.",
    place="Look for a second softmax: in attention_weights and once more outside.",
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
)
def weights_applied_to_the_key(weights, query, key, value):
    return weights @ key


@mistake(
    "combine",
    symptom="The last product does not fit, or mixes the wrong rows when queries and keys are equally many.",
    cause="The weights are transposed. Row i of the weights belongs to query i, and row i of the output is that "
    "row times the value.",
    place="Look for a superfluous transpose of the weights.",
)
def weights_transposed(weights, query, key, value):
    return weights.transpose(-2, -1) @ value


@mistake(
    "answer",
    symptom="The second thing returned is not a set of weights: its rows do not sum to 1.",
    cause="The scores are returned in place of the weights. What others look at, and what BertViz draws, are the "
    "weights after the softmax.",
    place="Look at the return statement.",
)
def scores_returned_as_weights(output, weights, scores):
    return output, scores


@mistake(
    "answer",
    symptom="Output and weights have changed places.",
    cause="The order is part of the contract: (output, weights), as in nn.MultiheadAttention.",
    place="Look at the return statement.",
)
def output_and_weights_exchanged(output, weights, scores):
    return weights, output


@mistake(
    "answer",
    credit=0.5,
    symptom="One tensor comes back where a pair is expected.",
    cause="Only the output is returned. The weights are part of the answer: later lessons look at them.",
    place="Return both: output, weights.",
)
def weights_not_returned(output, weights, scores):
    return output


# Streaming


@mistake(
    symptom="Right with one block, wrong as soon as a later block holds a larger score.",
    cause="When a block raises the running maximum, what was summed before belongs to the old one. Sum and output "
    "both have to be multiplied by exp(old maximum - new maximum), or they count in another unit.",
    place="Look at what happens to the running sum and the running output when the maximum grows.",
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
)
def output_not_rescaled(output, shrink):
    return output


@mistake(
    "carry_sum",
    symptom="Right with one block, wrong as soon as a later block holds a larger score.",
    cause="The running output is brought to the new maximum, the running sum is not. Both are sums of "
    "exp(score - maximum).",
    place="Multiply the running sum by the same factor as the running output.",
)
def sum_not_rescaled(total, shrink):
    return total


@mistake(
    "first_maximum",
    credit=0.5,
    symptom="Queries whose scores are all far below zero give NaN, or lose their digits.",
    cause="The running maximum starts at 0, so it never falls to where the scores are, and every exponential "
    "underflows to 0. It has to start below every score: at minus infinity.",
    place="Look at the first value of the running maximum.",
)
def maximum_starts_at_zero(query):
    return torch.zeros(*query.shape[:-1], 1, dtype=query.dtype, device=query.device)


@mistake(
    symptom="Large scores give NaN.",
    cause="exp is taken of the plain scores, which overflows float32 near 88. The running maximum is what keeps "
    "exponents at or below 0, here as in every softmax.",
    place="Subtract the running maximum before exp, and rescale what was summed before.",
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
)
def not_divided_by_the_sum(output, total):
    return output


@mistake(
    "blocks",
    credit=0.5,
    symptom="Wrong where block_size does not divide the number of keys.",
    cause="The number of blocks is rounded down, so the keys that are left over are never seen.",
    place="Let the loop run to the number of keys in steps of block_size; slicing past the end is harmless.",
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
)
def ordinary_input():
    numbers = torch.arange(24.0).reshape(2, 3, 4) / 24
    return numbers, numbers, numbers, None


@mistake(
    "attention_bug_input",
    symptom="What comes back cannot be given to an attention function.",
    cause="query and key end in the same head_dim, and there is one value for each key. The rest is free.",
    place="Compare the shapes with the docstring, and return all four: query, key, value, mask (or None).",
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
)
def one_query_only():
    return torch.tensor([[1000.0]]), torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [5.0]]), None


@mistake(
    "attention_bug_input",
    symptom="On your input the broken attention is right.",
    cause="All queries have large scores. Overflow is not the bug: the code subtracts a maximum before exp.",
    place="Look at which maximum that is, and what it does to a query whose scores are much smaller.",
)
def large_scores_everywhere():
    query = torch.tensor([[1000.0], [1001.0]])
    return query, torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [5.0]]), None


@mistake(
    "attention_bug_input",
    symptom="On your input the broken attention is right.",
    cause="You tried a query that may attend to nothing. The code treats it well: its output is 0.",
    place="Look at the lines before the mask is used.",
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
    symptom="No gradient reaches the inputs: nothing before this function could ever be trained.",
    cause="The result was cut from autograd by detach, .data, torch.no_grad, numpy or a new torch.tensor.",
    place="Look for one of these, and compute with the tensors as they come.",
)
def cut_from_autograd(query, key):
    return query.detach() @ key.detach().transpose(-2, -1)


@also("cut_from_autograd", "normalise")
def weights_cut_from_autograd(scores):
    return torch.softmax(scores.detach(), dim=-1)


@mistake(
    "attention_scores",
    credit=0.5,
    symptom="The caller's tensors are different after the call.",
    cause="An argument was changed in place (a method that ends in an underscore, `/=`, or assignment to a part). "
    "The caller still needs it, and autograd forbids it for a parameter.",
    place="Use the form that returns a new tensor: `x = x / 2` instead of `x /= 2`, masked_fill instead of masked_fill_.",
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


@also("arguments_changed_in_place", "streaming_attention")
def query_scaled_in_place_before_the_loop(query, key, value, block_size):
    query *= query.shape[-1] ** -0.5
    largest, total, output = first_maximum(query), 0.0, 0.0
    for keys, values in blocks(key, value, block_size):
        scores = product(query, keys)
        larger = new_maximum(largest, scores)
        shrink, powers = (largest - larger).exp(), (scores - larger).exp()
        total, output = total * shrink + powers.sum(dim=-1, keepdim=True), output * shrink + powers @ values
        largest = larger
    return close(output, total)


@mistake(
    "scale",
    credit=0.5,
    only=("attention_scores", "scaled_dot_product_attention"),
    symptom="float64 goes in and float32 comes out.",
    cause="The dtype is fixed in the code, so precision is lost without a word.",
    place="Look for .float(), dtype=torch.float32 or a new tensor that does not follow the inputs.",
)
def fixed_dtype(scores, query, key):
    return (scores / query.shape[-1] ** 0.5).float()


@also("fixed_dtype", "normalise")
def weights_of_fixed_dtype(scores):
    return torch.softmax(scores, dim=-1, dtype=torch.float32)


@also("fixed_dtype", "close")
def output_of_fixed_dtype(output, total):
    return (output / total).to(torch.float32)


@mistake(
    "hide",
    credit=0.5,
    symptom="It fails as soon as the inputs live on another device, such as a GPU.",
    cause="A new tensor was made on the default device, whatever the inputs are on.",
    place="Make it with zeros_like, full_like or device=scores.device, or use masked_fill, which needs none.",
)
def fixed_device(scores, mask):
    return scores if mask is None else torch.where(mask, scores, torch.full(scores.shape, -math.inf))


@also("fixed_device", "first_maximum")
def maximum_on_a_fixed_device(query):
    return torch.full((*query.shape[:-1], 1), -math.inf, dtype=query.dtype)


@mistake(
    symptom="The numbers may be right, but the code calls a library function that does the whole exercise.",
    cause="This lesson opens that box. Later lessons may use it again, and then you know what is in it.",
    place="Write the steps with matrix products, masked_fill and softmax.",
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
