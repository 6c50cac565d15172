"""Wrong answers to lesson 6, each with its sentences: what is seen, why it is wrong, where to look."""

import math
from pathlib import Path

import torch
from torch import nn

from autograder.mistakes import Catalogue, read
from workbench.parts import attention_weights

catalogue = Catalogue()
step, component, mistake, also = catalogue.step, catalogue.component, catalogue.mistake, catalogue.also


# The right way, a step at a time


@component()
class SelfAttention(nn.Module):
    def __init__(self, embed_dim, head_dim):
        nn.Module.__init__(self)
        self.embed_dim, self.head_dim = embed_dim, head_dim
        self.make_projections(embed_dim, head_dim)

    def make_projections(self, embed_dim, head_dim):
        self.q_proj = nn.Linear(embed_dim, head_dim)
        self.k_proj = nn.Linear(embed_dim, head_dim)
        self.v_proj = nn.Linear(embed_dim, head_dim)

    def arrange(self, x):
        return x

    def project(self, x):
        return self.q_proj(x), self.k_proj(x), self.v_proj(x)

    def product(self, query, key):
        return query @ key.transpose(-2, -1)

    def scale(self, scores, query, key):
        return scores / math.sqrt(query.shape[-1])

    def score(self, query, key):
        """scores"""
        return self.scale(self.product(query, key), query, key)

    def see_mask(self, mask):
        return mask

    def hide(self, scores, mask):
        """mask"""
        return scores if mask is None else scores.masked_fill(~mask, -math.inf)

    def normalise(self, scores):
        """softmax"""
        return torch.softmax(scores, dim=-1)

    def settle(self, weights, mask):
        """rows without a key"""
        return weights if mask is None else weights.masked_fill(~mask, 0.0)

    def weigh(self, scores, mask):
        """weights"""
        return self.settle(self.normalise(self.hide(scores, mask)), mask)

    def rescale(self, weights, query):
        return weights

    def combine(self, weights, query, key, value):
        """weighted sum of values"""
        return weights @ value

    def arrange_back(self, output, x):
        return output

    def answer(self, output, weights, scores):
        return output, weights

    def forward(self, x, mask=None):
        query, key, value = self.project(self.arrange(x))
        scores = self.score(query, key)
        weights = self.rescale(self.weigh(scores, self.see_mask(mask)), query)
        output = self.arrange_back(self.combine(weights, query, key, value), x)
        return self.answer(output, weights, scores)


@component()
class RelativeSelfAttention(nn.Module):
    def __init__(self, embed_dim, head_dim, max_distance):
        nn.Module.__init__(self)
        self.embed_dim, self.head_dim, self.max_distance = embed_dim, head_dim, max_distance
        self.make_projections(embed_dim, head_dim)
        self.make_bias(max_distance)

    def make_projections(self, embed_dim, head_dim):
        self.q_proj = nn.Linear(embed_dim, head_dim)
        self.k_proj = nn.Linear(embed_dim, head_dim)
        self.v_proj = nn.Linear(embed_dim, head_dim)

    def make_bias(self, max_distance):
        self.distance_bias = nn.Parameter(torch.zeros(2 * max_distance + 1))

    def project(self, x):
        return self.q_proj(x), self.k_proj(x), self.v_proj(x)

    def product(self, query, key):
        return query @ key.transpose(-2, -1)

    def scale(self, scores, query, key):
        return scores / math.sqrt(query.shape[-1])

    def score(self, query, key):
        """scores"""
        return self.scale(self.product(query, key), query, key)

    def distances(self, position):
        return position[None, :] - position[:, None]

    def clip(self, distance):
        """clipped distances"""
        return distance.clamp(-self.max_distance, self.max_distance)

    def look_up(self, clipped, distance):
        """bias of each distance"""
        return self.distance_bias[clipped + self.max_distance]

    def add_bias(self, scores, bias):
        """scores with bias"""
        return scores + bias

    def see_mask(self, mask):
        return mask

    def hide(self, scores, mask):
        """mask"""
        return scores if mask is None else scores.masked_fill(~mask, -math.inf)

    def normalise(self, scores):
        """softmax"""
        return torch.softmax(scores, dim=-1)

    def settle(self, weights, mask):
        """rows without a key"""
        return weights if mask is None else weights.masked_fill(~mask, 0.0)

    def weigh(self, scores, mask):
        """weights"""
        return self.settle(self.normalise(self.hide(scores, mask)), mask)

    def rescale(self, weights, query):
        return weights

    def bias_weights(self, weights, bias):
        return weights

    def combine(self, weights, query, key, value):
        """weighted sum of values"""
        return weights @ value

    def answer(self, output, weights, scores):
        return output, weights

    def forward(self, x, mask=None):
        query, key, value = self.project(x)
        distance = self.distances(torch.arange(x.shape[1], device=x.device))
        bias = self.look_up(self.clip(distance), distance)
        scores = self.add_bias(self.score(query, key), bias)
        weights = self.bias_weights(self.rescale(self.weigh(scores, self.see_mask(mask)), query), bias)
        return self.answer(self.combine(weights, query, key, value), weights, scores)


@step
def compare(tokens, pad_id):
    return tokens != pad_id


@step
def place(mask):
    return mask.unsqueeze(1)


@component("compare", "place")
def padding_mask(step, tokens, pad_id):
    return step.place(step.compare(tokens, pad_id))


@component()
def self_attention_bug_input(step):
    return torch.tensor([[0, 0, 1, 2], [0, 3, 4, 5]])


# Projections


@mistake(
    "project",
    only="SelfAttention",
    symptom="Query, key and value are the input itself; the output has its width.",
    cause="There are no projections, or they are never called. Without them a position can only look for what it "
    "is, and nothing about attention can be learned.",
    place="Send x through q_proj, k_proj and v_proj in forward.",
    shows=[("positions_attend_to_positions", "another shape", "output")],
)
def no_projections(self, x):
    return x, x, x


@also("no_projections")
class projections_never_made:
    def make_projections(self, embed_dim, head_dim):
        pass

    def project(self, x):
        return x, x, x


@mistake(
    "project",
    only="SelfAttention",
    symptom="Query and key are the same vectors, so every score is the same in both directions.",
    cause="One projection serves query and key. What a position looks for and what it can be found by are different "
    "things: with one projection for both, no position can look at another without being looked at.",
    place="Make two layers, and use q_proj for the query and k_proj for the key.",
    shows=[("positions_attend_to_positions", "differ", "weights")],
)
def one_projection_for_query_and_key(self, x):
    return self.q_proj(x), self.q_proj(x), self.v_proj(x)


@also("one_projection_for_query_and_key", "project")
def key_projection_for_the_query(self, x):
    return self.k_proj(x), self.k_proj(x), self.v_proj(x)


@also("one_projection_for_query_and_key", "project")
def query_projection_for_all(self, x):
    return self.q_proj(x), self.q_proj(x), self.q_proj(x)


@also("one_projection_for_query_and_key", "make_projections")
def one_layer_under_two_names(self, embed_dim, head_dim):
    self.q_proj = self.k_proj = nn.Linear(embed_dim, head_dim)
    self.v_proj = nn.Linear(embed_dim, head_dim)


@also("one_projection_for_query_and_key", "make_projections")
def one_layer_under_three_names(self, embed_dim, head_dim):
    self.q_proj = self.k_proj = self.v_proj = nn.Linear(embed_dim, head_dim)


@mistake(
    "project",
    only="SelfAttention",
    symptom="The output is a mixture of the inputs themselves, and has their width.",
    cause="The raw input is used as the value. What a position hands over is learned as well: v_proj picks from its "
    "features what the others can use.",
    place="Send x through v_proj to make the value.",
    shows=[("positions_attend_to_positions", "another shape", "output")],
)
def raw_input_as_value(self, x):
    return self.q_proj(x), self.k_proj(x), x


@also("raw_input_as_value")
class value_projection_never_made:
    def make_projections(self, embed_dim, head_dim):
        self.q_proj = nn.Linear(embed_dim, head_dim)
        self.k_proj = nn.Linear(embed_dim, head_dim)

    def project(self, x):
        return self.q_proj(x), self.k_proj(x), x


@mistake(
    "project",
    only="SelfAttention",
    symptom="The output is a mixture of the keys.",
    cause="The weights are applied to the key, or the key serves as value too. Keys are there to be compared with; "
    "what a query takes home is the value.",
    place="Look at where v_proj is used, and at the last product.",
    shows=[("positions_attend_to_positions", "differ", "output")],
)
def key_as_value(self, x):
    return self.q_proj(x), self.k_proj(x), self.k_proj(x)


@also("key_as_value", "combine")
def weights_applied_to_the_key(self, weights, query, key, value):
    return weights @ key


@mistake(
    "project",
    only="SelfAttention",
    symptom="The scores come out transposed: each key asks, and each query answers.",
    cause="Query and key have changed places, in the projections or in the product.",
    place="The query stands left in the product and comes from q_proj, the key right and from k_proj.",
    shows=[("positions_attend_to_positions", "differ", "weights")],
)
def query_and_key_exchanged(self, x):
    return self.k_proj(x), self.q_proj(x), self.v_proj(x)


@also("query_and_key_exchanged", "score")
def key_stands_left_in_the_product(self, query, key):
    return key @ query.transpose(-2, -1) / math.sqrt(query.shape[-1])


@mistake(
    "project",
    only="SelfAttention",
    symptom="The module computes with the right parameters in the wrong places.",
    cause="The projection of the value has changed places with another one. Weights that were trained elsewhere "
    "would then be used for something else.",
    place="Look at the three lines in which the projections are applied.",
    shows=[("parameters_are_as_agreed", "right"), ("positions_attend_to_positions", "differ")],
)
def projections_exchanged(self, x):
    return self.q_proj(x), self.v_proj(x), self.k_proj(x)


@also("projections_exchanged", "project")
def projections_of_query_and_value_exchanged(self, x):
    return self.v_proj(x), self.k_proj(x), self.q_proj(x)


@mistake(
    "project",
    only="SelfAttention",
    symptom="The product of input and weight does not fit, or gives other numbers where embed_dim equals head_dim.",
    cause="The projection is transposed. nn.Linear keeps its weight as [size_out, size_in] and computes "
    "x @ weight.T + bias; with equal sizes the wrong product raises no error.",
    place="Call the layer, as in self.q_proj(x), in place of writing the product; and make it with embed_dim first.",
    shows=[("positions_attend_to_positions", "differ")],
)
def projection_transposed(self, x):
    return tuple(x @ layer.weight + layer.bias for layer in (self.q_proj, self.k_proj, self.v_proj))


@also("projection_transposed", "make_projections")
def projection_made_the_wrong_way_round(self, embed_dim, head_dim):
    self.q_proj = nn.Linear(head_dim, embed_dim)
    self.k_proj = nn.Linear(head_dim, embed_dim)
    self.v_proj = nn.Linear(head_dim, embed_dim)


@mistake(
    "make_projections",
    credit=0.5,
    symptom="Parameters are missing: the projections have no bias.",
    cause="The formula of the paper shows none, but the module of this course has one in each projection, as "
    "nn.Linear has by default. Weights from elsewhere do not fit without it.",
    place="Look for bias=False.",
    shows=[("parameters_are_as_agreed", "differ")],
)
def no_bias(self, embed_dim, head_dim):
    self.q_proj = nn.Linear(embed_dim, head_dim, bias=False)
    self.k_proj = nn.Linear(embed_dim, head_dim, bias=False)
    self.v_proj = nn.Linear(embed_dim, head_dim, bias=False)


@mistake(
    symptom="The parameters have other names than those agreed.",
    cause="Weights are loaded by name, from other implementations as well. A layer of another name stays as it was "
    "when it was made, so nothing that is computed with it can be compared.",
    place="Call the layers q_proj, k_proj and v_proj.",
    shows=[("parameters_are_as_agreed", "differ")],
)
class other_parameter_names:
    def make_projections(self, embed_dim, head_dim):
        self.w_q = nn.Linear(embed_dim, head_dim)
        self.w_k = nn.Linear(embed_dim, head_dim)
        self.w_v = nn.Linear(embed_dim, head_dim)

    def project(self, x):
        return self.w_q(x), self.w_k(x), self.w_v(x)


@also("other_parameter_names")
class names_with_a_capital:
    def make_projections(self, embed_dim, head_dim):
        self.W_q = nn.Linear(embed_dim, head_dim)
        self.W_k = nn.Linear(embed_dim, head_dim)
        self.W_v = nn.Linear(embed_dim, head_dim)

    def project(self, x):
        return self.W_q(x), self.W_k(x), self.W_v(x)


@also("other_parameter_names")
class names_of_what_is_made:
    def make_projections(self, embed_dim, head_dim):
        self.query = nn.Linear(embed_dim, head_dim)
        self.key = nn.Linear(embed_dim, head_dim)
        self.value = nn.Linear(embed_dim, head_dim)

    def project(self, x):
        return self.query(x), self.key(x), self.value(x)


@also("other_parameter_names")
class names_written_out:
    def make_projections(self, embed_dim, head_dim):
        self.query_proj = nn.Linear(embed_dim, head_dim)
        self.key_proj = nn.Linear(embed_dim, head_dim)
        self.value_proj = nn.Linear(embed_dim, head_dim)

    def project(self, x):
        return self.query_proj(x), self.key_proj(x), self.value_proj(x)


@mistake(
    only="SelfAttention",
    symptom="There is a projection too many: the output goes through a fourth layer.",
    cause="An output projection was added. It belongs to multi-head attention (lesson 8), where it mixes the heads; "
    "a single head returns its head_dim features as they are.",
    place="Take the fourth layer out, and return the product of weights and value.",
    shows=[("parameters_are_as_agreed", "differ")],
)
class output_projection_added:
    def make_projections(self, embed_dim, head_dim):
        self.q_proj = nn.Linear(embed_dim, head_dim)
        self.k_proj = nn.Linear(embed_dim, head_dim)
        self.v_proj = nn.Linear(embed_dim, head_dim)
        self.out_proj = nn.Linear(head_dim, embed_dim)

    def combine(self, weights, query, key, value):
        return self.out_proj(weights @ value)


# The batch


@mistake(
    only="SelfAttention",
    symptom="What stands in one sequence of the batch changes the outputs of another.",
    cause="The tokens of several sequences attend to each other: the batch was taken for the sequence, or both "
    "were made into one long sequence. A batch is there to save time; its sequences have nothing in common.",
    place="Look for a transpose of the first two axes, a flatten or a reshape of x. Matrix products leave leading "
    "axes alone, so none is needed.",
    shows=[("sequences_do_not_meet", "differ")],
)
class tokens_mixed_across_the_batch:
    def arrange(self, x):
        return x.transpose(0, 1)

    def arrange_back(self, output, x):
        return output.transpose(0, 1)


@also("tokens_mixed_across_the_batch", "arrange")
def batch_taken_for_the_sequence(self, x):
    return x.transpose(0, 1)


@also("tokens_mixed_across_the_batch")
class batch_made_one_long_sequence:
    def arrange(self, x):
        return x.reshape(1, x.shape[0] * x.shape[1], x.shape[2])

    def arrange_back(self, output, x):
        return output.reshape(x.shape[0], x.shape[1], output.shape[-1])


@also("tokens_mixed_across_the_batch")
class batch_flattened:
    def arrange(self, x):
        return x.reshape(x.shape[0] * x.shape[1], x.shape[2])

    def arrange_back(self, output, x):
        return output.reshape(x.shape[0], x.shape[1], output.shape[-1])


# The closed boxes word their errors in another way.


def weigh_by_the_box(self, scores, mask):
    return attention_weights(scores, mask)


@also("tokens_mixed_across_the_batch")
class box_given_batch_and_sequence_exchanged:
    arrange, arrange_back = tokens_mixed_across_the_batch.arrange, tokens_mixed_across_the_batch.arrange_back
    weigh = weigh_by_the_box


@also("tokens_mixed_across_the_batch")
class box_given_the_batch_as_the_sequence:
    arrange, weigh = batch_taken_for_the_sequence, weigh_by_the_box


@also("tokens_mixed_across_the_batch")
class box_given_one_long_sequence:
    arrange, arrange_back = batch_made_one_long_sequence.arrange, batch_made_one_long_sequence.arrange_back
    weigh = weigh_by_the_box


@also("tokens_mixed_across_the_batch")
class box_given_the_flattened_batch:
    arrange, arrange_back = batch_flattened.arrange, batch_flattened.arrange_back
    weigh = weigh_by_the_box


# The weights


@mistake(
    only="SelfAttention",
    symptom="The weights do not depend on the input.",
    cause="The attention weights are held as a parameter. They are not learned but computed, from every input "
    "afresh. What is learned are the projections that make queries and keys.",
    place="Take the parameter out, and compute the scores from query and key.",
    shows=[("parameters_are_as_agreed", "differ")],
)
class weights_held_as_a_parameter:
    def make_projections(self, embed_dim, head_dim):
        self.q_proj = nn.Linear(embed_dim, head_dim)
        self.k_proj = nn.Linear(embed_dim, head_dim)
        self.v_proj = nn.Linear(embed_dim, head_dim)
        self.weights = nn.Parameter(torch.zeros(64, 64))

    def score(self, query, key):
        time = query.shape[1]
        return self.weights[:time, :time].expand(len(query), time, time)


@also("weights_held_as_a_parameter")
class attention_weights_held_as_a_parameter:
    def make_projections(self, embed_dim, head_dim):
        self.q_proj = nn.Linear(embed_dim, head_dim)
        self.k_proj = nn.Linear(embed_dim, head_dim)
        self.v_proj = nn.Linear(embed_dim, head_dim)
        self.attention_weights = nn.Parameter(torch.zeros(64, 64))

    def score(self, query, key):
        time = query.shape[1]
        return self.attention_weights[:time, :time].expand(len(query), time, time)


@also("weights_held_as_a_parameter")
class learned_weights_multiply_the_scores:
    def make_projections(self, embed_dim, head_dim):
        self.q_proj = nn.Linear(embed_dim, head_dim)
        self.k_proj = nn.Linear(embed_dim, head_dim)
        self.v_proj = nn.Linear(embed_dim, head_dim)
        self.weights = nn.Parameter(torch.ones(64, 64))

    def score(self, query, key):
        time = query.shape[1]
        return query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1]) * self.weights[:time, :time]


@mistake(
    "score",
    symptom="The scores are too large by the factor √head_dim, so the weights are too sharp.",
    cause="The scale is missing. A dot product of head_dim terms has a variance of about head_dim.",
    place="Use scaled_dot_product_attention or attention_scores, or divide by the root of head_dim.",
    shows=[("positions_attend_to_positions", "differ", "weights")],
)
def no_scale(self, query, key):
    return query @ key.transpose(-2, -1)


@also("no_scale")
class no_scale_and_empty_rows_left:
    def score(self, query, key):
        return query @ key.transpose(-2, -1)

    def weigh(self, scores, mask):
        return torch.softmax(scores if mask is None else scores.masked_fill(~mask, -math.inf), dim=-1)


@also("no_scale")
class no_scale_and_a_finite_fill:
    def score(self, query, key):
        return query @ key.transpose(-2, -1)

    def weigh(self, scores, mask):
        return torch.softmax(scores if mask is None else scores.masked_fill(~mask, -1e9), dim=-1)


@mistake(
    "score",
    symptom="The scores are too small, so the weights are too equal.",
    cause="They were divided by the size of the input, embed_dim, or by its root. What is compared are queries and "
    "keys, and those have head_dim features.",
    place="Look at the scale: the root of the last size of the query, not of x.",
    shows=[("positions_attend_to_positions", "differ", "weights")],
)
def scaled_by_embed_dim(self, query, key):
    return query @ key.transpose(-2, -1) / math.sqrt(self.embed_dim)


@also("scaled_by_embed_dim", "score")
def divided_by_embed_dim(self, query, key):
    return query @ key.transpose(-2, -1) / self.embed_dim


@mistake(
    "score",
    only="SelfAttention",
    symptom="The scores are too small by the factor √head_dim, so the weights are too equal.",
    cause="They were divided by head_dim itself, or by its root twice: the imported functions have scaled them "
    "already.",
    place="Look for a second division, or for a missing square root.",
    shows=[("positions_attend_to_positions", "differ", "weights")],
)
def divided_by_head_dim(self, query, key):
    return query @ key.transpose(-2, -1) / query.shape[-1]


@mistake(
    "score",
    only="SelfAttention",
    symptom="The scores change with the length of the sequence.",
    cause="They are divided by a size of the sequence. What is summed in a dot product are the head_dim features.",
    place="Look at which axis the divisor comes from: head_dim is the last axis of the query.",
    shows=[("positions_attend_to_positions", "differ", "weights")],
)
def scaled_by_the_sequence_length(self, query, key):
    return query @ key.transpose(-2, -1) / math.sqrt(key.shape[1])


@also("scaled_by_the_sequence_length", "score")
def divided_by_the_sequence_length(self, query, key):
    return query @ key.transpose(-2, -1) / key.shape[1]


@mistake(
    "weigh",
    symptom="The rows of the weights do not sum to 1; sums over another axis do.",
    cause="The softmax runs over the wrong axis, the queries or the batch. Each query hands out one unit of "
    "attention among the keys, and the keys are the last axis.",
    place="Look at `dim` of the softmax: it should be -1.",
    shows=[("positions_attend_to_positions", "rows do not sum to 1", "weights")],
)
def softmax_over_another_axis(self, scores, mask):
    hidden = scores if mask is None else scores.masked_fill(~mask, -math.inf)
    return torch.nan_to_num(torch.softmax(hidden, dim=1))


@also("softmax_over_another_axis", "weigh")
def softmax_over_the_batch(self, scores, mask):
    hidden = scores if mask is None else scores.masked_fill(~mask, -math.inf)
    return torch.nan_to_num(torch.softmax(hidden, dim=0))


@mistake(
    "combine",
    only="SelfAttention",
    symptom="Each output collects from those that attend to it.",
    cause="The weights are transposed. Row i of the weights belongs to query i, and row i of the output is that row "
    "times the value. In self-attention the shapes fit either way.",
    place="Look for a superfluous transpose of the weights.",
    shows=[("positions_attend_to_positions", "differ", "output")],
)
def weights_transposed(self, weights, query, key, value):
    return weights.transpose(-2, -1) @ value


# The mask


@mistake(
    "see_mask",
    only="SelfAttention",
    symptom="Padding is not hidden from the others; its own rows are empty instead.",
    cause="The mask acts on the query axis. A mask [batch, 1, keys] says which keys may be seen: hiding a query "
    "only means that nobody computes what is never used.",
    place="Look for a transpose of the mask, or for an axis inserted at another place.",
    shows=[("hidden_keys_have_no_influence", "differ"), ("positions_attend_to_positions", "right")],
)
def padding_masked_on_the_query_axis(self, mask):
    return None if mask is None else mask.transpose(-2, -1)


@mistake(
    "see_mask",
    only="SelfAttention",
    credit=0.5,
    symptom="Keys are hidden as they should be, and some queries as well.",
    cause="The mask was made to act on both axes, so that hidden positions lose their own rows too. The mask says "
    "exactly which pairs may attend; nothing has to be added to it.",
    place="Look for a product, or an `&`, of the mask and its transpose.",
    shows=[("hidden_keys_have_no_influence", "differ"), ("positions_attend_to_positions", "right")],
)
def mask_on_both_axes(self, mask):
    return None if mask is None else mask & mask.transpose(-2, -1)


@mistake(
    "weigh",
    symptom="Hidden keys keep their weight: the mask changes nothing.",
    cause="The mask is never used, or not passed on.",
    place="Follow the argument `mask` through forward.",
    shows=[
        ("hidden_keys_have_no_influence", "not zero", "*largest weight on a hidden key"),
        ("positions_attend_to_positions", "right"),
    ],
)
def mask_ignored(self, scores, mask):
    return torch.softmax(scores, dim=-1)


@mistake(
    "weigh",
    symptom="True and False have changed places in the mask: what should be seen is hidden.",
    cause="The mask is read the wrong way round. In this course True means may attend; in nn.MultiheadAttention "
    "True means ignore, which is where the habit comes from.",
    place="Look for a superfluous (or missing) `~` in front of the mask.",
    shows=[("hidden_keys_have_no_influence", "differ", "*weights"), ("padding_is_hidden", "differ")],
)
def mask_inverted(self, scores, mask):
    if mask is None:
        return torch.softmax(scores, dim=-1)
    return torch.softmax(scores.masked_fill(mask, -math.inf), dim=-1).masked_fill(mask, 0.0)


@also("mask_inverted", "weigh")
def mask_inverted_and_rows_left(self, scores, mask):
    if mask is None:
        return torch.softmax(scores, dim=-1)
    return torch.softmax(scores.masked_fill(mask, -math.inf), dim=-1)


@also("mask_inverted", "compare")
def padding_is_true(tokens, pad_id):
    return tokens == pad_id


@mistake(
    "weigh",
    only="SelfAttention",
    symptom="The rows of the weights no longer sum to 1 once a mask is given.",
    cause="The mask is applied after the softmax, which had already given the hidden keys their share.",
    place="Hide the scores before the softmax, or let the imported functions do it.",
    shows=[("hidden_keys_have_no_influence", "rows do not sum to 1", "*: weights")],
)
def mask_after_the_softmax(self, scores, mask):
    weights = torch.softmax(scores, dim=-1)
    return weights if mask is None else weights.masked_fill(~mask, 0.0)


@mistake(
    "weigh",
    only="SelfAttention",
    symptom="No position sees a later one, even without a mask.",
    cause="A causal mask is built in. It belongs to the decoder (lesson 2), which passes it as `mask`; "
    "self-attention by itself looks both ways.",
    place="Look for tril or triu in forward.",
    shows=[("positions_attend_to_positions", "differ", "weights")],
)
def causal_mask_left_in(self, scores, mask):
    past = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    mask = past if mask is None else past & mask
    return torch.softmax(scores.masked_fill(~mask, -math.inf), dim=-1).masked_fill(~mask, 0.0)


@mistake(
    "weigh",
    credit=0.5,
    symptom="Ordinary rows are right, but in extreme ones hidden keys still count: where every key is hidden, or a hidden "
    "one has a very large score.",
    cause="Hidden scores are filled with a large but finite number, or it is added to them. In a row without any visible "
    "key the softmax still gives out one unit of weight, to keys that should have none.",
    place="Use the imported functions, or fill with minus infinity and set such rows to 0 after the softmax.",
    shows=[("hidden_keys_have_no_influence", "right"), ("positions_attend_to_positions", "right")],
)
def finite_fill(self, scores, mask):
    return torch.softmax(scores if mask is None else scores.masked_fill(~mask, -1e9), dim=-1)


@mistake(
    "weigh",
    credit=0.5,
    symptom="A query that may attend to nothing gets NaN.",
    cause="In a row where every score is minus infinity the softmax divides 0 by 0.",
    place="Use the imported functions, or set the weights of hidden keys to 0 after the softmax.",
    shows=[("empty_rows_get_zero_weights", "NaN", "weights"), ("hidden_keys_have_no_influence", "right")],
)
def nan_on_empty_rows(self, scores, mask):
    return torch.softmax(scores if mask is None else scores.masked_fill(~mask, -math.inf), dim=-1)


# Relative positions


@mistake(
    "distances",
    symptom="Before and after have changed places.",
    cause="The distance was taken from key to query. Here it runs from the query to the key, j - i, so that a later "
    "key has a positive distance.",
    place="Look at the difference of positions: keys along the row minus queries along the column.",
    shows=[("distance_alone", "differ")],
)
def distance_reversed(self, position):
    return position[:, None] - position[None, :]


@mistake(
    "distances",
    symptom="The same number is used before and after: distances -1 and 1 are not told apart.",
    cause="The distance has lost its sign. Language has a direction, so each side has numbers of its own.",
    place="Look for abs.",
    shows=[("distance_alone", "differ")],
)
def distance_without_direction(self, position):
    return (position[None, :] - position[:, None]).abs()


@also("distance_without_direction")
class one_number_for_both_directions:
    def make_bias(self, max_distance):
        self.distance_bias = nn.Parameter(torch.zeros(max_distance + 1))

    def look_up(self, clipped, distance):
        return self.distance_bias[clipped.abs()]


@mistake(
    "distances",
    symptom="Every query sees the same numbers: they belong to the place of the key.",
    cause="The numbers were looked up by the position of the key. A distance is the difference of two positions.",
    place="Subtract the positions of the queries, as a column, from those of the keys, as a row.",
    shows=[("distance_alone", "differ")],
)
def number_per_position(self, position):
    return position[None, :].expand(len(position), len(position))


@mistake(
    "clip",
    symptom="Sequences longer than max_distance fail, or use the number of another distance.",
    cause="Distances are not clipped. Beyond max_distance there is no entry; and an index below 0 counts from the end "
    "of the tensor, which raises no error.",
    place="Limit the distances on both sides with clamp before they become indices.",
    shows=[("any_length_is_welcome", "differ")],
)
def distances_not_clipped(self, distance):
    return distance


@also("distances_not_clipped", "clip")
def clipped_on_one_side_only(self, distance):
    return distance.clamp(max=self.max_distance)


@also("distances_not_clipped", "look_up")
def distances_taken_modulo(self, clipped, distance):
    return self.distance_bias[(distance + self.max_distance) % len(self.distance_bias)]


@mistake(
    "clip",
    symptom="The outermost numbers are never used, or those next to them.",
    cause="The limit is off by one. A key at exactly max_distance still has a number of its own, which all keys "
    "further away share.",
    place="Clamp to -max_distance and max_distance, both included.",
    shows=[("distance_alone", "differ")],
)
def clipped_off_by_one(self, distance):
    return distance.clamp(1 - self.max_distance, self.max_distance - 1)


@also("clipped_off_by_one", "clip")
def clipped_below_the_last(self, distance):
    return distance.clamp(-self.max_distance, self.max_distance - 1)


@mistake(
    "look_up",
    symptom="Each distance gets the number of another one.",
    cause="The distances are used as indices as they are. Entry 0 belongs to the distance -max_distance, and a "
    "negative index counts from the end.",
    place="Add max_distance to the clipped distances before indexing.",
    shows=[("distance_alone", "differ")],
)
def index_without_offset(self, clipped, distance):
    return self.distance_bias[clipped]


@mistake(
    "look_up",
    symptom="Keys further away than max_distance get no number.",
    cause="Beyond the limit nothing is added. Far keys share the number of the largest distance, so that the model can "
    "learn what far means.",
    place="Clip the distances in place of masking the numbers.",
    shows=[("distance_alone", "differ")],
)
def far_keys_without_a_number(self, clipped, distance):
    return self.distance_bias[clipped + self.max_distance].masked_fill(clipped != distance, 0.0)


@mistake(
    "look_up",
    symptom="Keys further away than max_distance get no weight.",
    cause="Far keys are hidden. That is local attention, another idea: here every key can still be seen, and the far "
    "ones share the number of the largest distance.",
    place="Clip the distances in place of hiding far keys.",
    shows=[("distance_alone", "differ")],
)
def far_keys_hidden(self, clipped, distance):
    return self.distance_bias[clipped + self.max_distance].masked_fill(clipped != distance, -math.inf)


@mistake(
    "add_bias",
    symptom="The numbers of the distances change nothing.",
    cause="distance_bias is never added to the scores.",
    place="Add the table of numbers to the scores, before the softmax.",
    shows=[("distance_alone", "constant", "*: weights")],
)
def bias_never_added(self, scores, bias):
    return scores


@mistake(
    "add_bias",
    symptom="The numbers of the distances count too little.",
    cause="They were added before the scores were divided, so they are divided by the root of head_dim as well.",
    place="Divide first, then add: attention_scores gives scores that are divided already.",
    shows=[("distance_alone", "differ")],
)
def bias_divided_as_well(self, scores, bias):
    return scores + bias / math.sqrt(self.head_dim)


@mistake(
    "add_bias",
    symptom="A distance whose number is 0 has a score of 0.",
    cause="The scores were multiplied by the numbers. Adding b to a score multiplies the weight by exp(b), up to the "
    "sum; 0 leaves it as it is.",
    place="Put a plus in place of the product.",
    shows=[("distance_alone", "differ")],
)
def bias_multiplied(self, scores, bias):
    return scores * bias


@mistake(
    symptom="The rows of the weights do not sum to 1, and some weights are negative.",
    cause="The numbers of the distances were added to the weights, after the softmax. They belong to the scores.",
    place="Add them before the softmax.",
    shows=[("positions_attend_to_positions", "rows do not sum to 1", "weights")],
)
class bias_after_the_softmax:
    def add_bias(self, scores, bias):
        return scores

    def bias_weights(self, weights, bias):
        return weights + bias


@mistake(
    "make_bias",
    symptom="distance_bias is no parameter: training would never change it.",
    cause="It is a plain tensor or a buffer. Only an nn.Parameter is found by optimizers.",
    place="Wrap the zeros in nn.Parameter.",
    shows=[("parameters_are_as_agreed", "differ")],
)
def bias_not_learned(self, max_distance):
    self.register_buffer("distance_bias", torch.zeros(2 * max_distance + 1))


@also("bias_not_learned", "make_bias")
def bias_as_a_plain_tensor(self, max_distance):
    self.distance_bias = torch.zeros(2 * max_distance + 1)


@mistake(
    "make_bias",
    credit=0.5,
    symptom="Before any training the distance counts already: distance_bias does not begin with zeros.",
    cause="The numbers are drawn, or left as the memory was. With zeros the module begins as plain self-attention, and "
    "training decides which distances matter.",
    place="Look at what the nn.Parameter is made from.",
    shows=[("bias_begins_with_zeros", "differ", "weights")],
)
def bias_not_zero_at_first(self, max_distance):
    self.distance_bias = nn.Parameter(torch.randn(2 * max_distance + 1))


@also("bias_not_zero_at_first", "make_bias")
def bias_rising_at_first(self, max_distance):
    self.distance_bias = nn.Parameter(torch.arange(2 * max_distance + 1) / (2 * max_distance + 1))


@mistake(
    "make_bias",
    symptom="distance_bias has another size: there are too few numbers.",
    cause="From -max_distance to max_distance there are max_distance numbers on each side, and one for 0.",
    place="The size is 2 * max_distance + 1.",
    shows=[("parameters_are_as_agreed", "differ")],
)
def bias_of_another_size(self, max_distance):
    self.distance_bias = nn.Parameter(torch.zeros(2 * max_distance))


@also("bias_of_another_size", "make_bias")
def bias_for_one_side(self, max_distance):
    self.distance_bias = nn.Parameter(torch.zeros(max_distance + 1))


@also("bias_of_another_size", "make_bias")
def bias_for_max_distance_distances(self, max_distance):
    self.distance_bias = nn.Parameter(torch.zeros(max_distance))


# The padding mask


@mistake(
    "place",
    symptom="The mask is [batch, queries, 1]: it hides queries.",
    cause="The new axis is on the wrong side. Padding must not be *seen*, so the keys are hidden, and what is the same "
    "for all is the axis of the queries.",
    place="Insert the axis between batch and keys: unsqueeze(1).",
    shows=[("padding_is_hidden", "another shape", "*shape of mask")],
)
def mask_on_the_query_axis(mask):
    return mask.unsqueeze(-1)


@also("mask_on_the_query_axis", "place")
def mask_on_the_query_axis_for_all_keys(mask):
    return mask.unsqueeze(-1).expand(-1, -1, mask.shape[1])


@mistake(
    "place",
    credit=0.5,
    symptom="The mask is [batch, queries, keys] and hides the queries of padding as well.",
    cause="Keys and queries are both masked. The rows of padding need no mask, as their outputs are not used; and empty "
    "rows are what many implementations of attention answer with NaN.",
    place="The mask of the keys alone is enough: [batch, 1, keys].",
    shows=[("padding_is_hidden", "another shape", "*shape of mask")],
)
def queries_masked_as_well(mask):
    return mask.unsqueeze(1) & mask.unsqueeze(2)


@mistake(
    "place",
    symptom="The mask has two axes, [batch, keys].",
    cause="The axis of the queries is missing. Against weights [batch, queries, keys], the batch of this mask would "
    "meet the queries.",
    place="Insert an axis of size 1 between batch and keys: unsqueeze(1).",
    shows=[("padding_is_hidden", "another shape", "*shape of mask")],
)
def axis_of_the_queries_missing(mask):
    return mask


@mistake(
    "place",
    symptom="The mask is [1, batch, keys].",
    cause="The new axis stands in front of the batch, so that the batch of the mask meets the queries of the weights.",
    place="Insert the axis between batch and keys: unsqueeze(1).",
    shows=[("padding_is_hidden", "another shape", "*shape of mask")],
)
def axis_in_front_of_the_batch(mask):
    return mask.unsqueeze(0)


@mistake(
    "place",
    credit=0.5,
    symptom="The mask has four axes, [batch, 1, 1, keys].",
    cause="An axis for the heads was added. In this course multi-head attention adds it by itself, so that the same "
    "mask serves one head and many.",
    place="One new axis is enough: unsqueeze(1).",
    shows=[("padding_is_hidden", "another shape", "*shape of mask")],
)
def axis_for_the_heads_added(mask):
    return mask.unsqueeze(1).unsqueeze(2)


@mistake(
    "place",
    credit=0.5,
    symptom="The mask says the right thing once per query, where once is enough: [batch, queries, keys].",
    cause="The mask was written out for all queries. An axis of size 1 broadcasts, takes no memory, and also suits a "
    "decoder with another number of queries.",
    place="Leave the expand out: [batch, 1, keys].",
    shows=[("padding_is_hidden", "another shape", "*shape of mask")],
)
def mask_written_out_for_all_queries(mask):
    return mask.unsqueeze(1).expand(-1, mask.shape[1], -1)


@mistake(
    "compare",
    credit=0.5,
    symptom="The mask holds numbers, not booleans.",
    cause="Ones and zeros look like a mask, but `~` turns an integer 1 into -2 and refuses a float, and "
    "F.scaled_dot_product_attention adds a float mask to the scores.",
    place="Leave the result of the comparison as it is.",
    shows=[("padding_is_hidden", "differ", "*dtype of the mask")],
)
def mask_of_numbers(tokens, pad_id):
    return (tokens != pad_id).int()


@also("mask_of_numbers", "compare")
def mask_of_long_numbers(tokens, pad_id):
    return (tokens != pad_id).long()


@also("mask_of_numbers", "compare")
def mask_of_floats(tokens, pad_id):
    return (tokens != pad_id).float()


@mistake(
    "compare",
    credit=0.5,
    symptom="The mask holds 0 and minus infinity.",
    cause="This is an additive mask, to be added to scores. The masks of this course are boolean, True where a query "
    "may attend.",
    place="Return the comparison itself.",
    shows=[("padding_is_hidden", "infinite", "*True as 1")],
)
def additive_mask(tokens, pad_id):
    return torch.zeros(tokens.shape, device=tokens.device).masked_fill(tokens == pad_id, -math.inf)


@mistake(
    "compare",
    symptom="Right only if padding is the smallest id, 0.",
    cause="The argument pad_id is not used, or ids below it are taken for padding too. Which id stands for padding "
    "depends on the vocabulary.",
    place="Compare with pad_id, by !=.",
    shows=[("padding_is_hidden", "right", "pad_id 0: *"), ("padding_is_hidden", "differ")],
)
def pad_id_taken_for_zero(tokens, pad_id):
    return tokens != 0


@also("pad_id_taken_for_zero", "compare")
def ids_up_to_the_padding_hidden(tokens, pad_id):
    return tokens > pad_id


@mistake(
    "compare",
    symptom="Right only if padding stands at the end.",
    cause="The mask was made from the length of each sequence, or from the first padding on. Models that write text "
    "are often padded in front.",
    place="Compare each token with pad_id; the place does not matter.",
    shows=[("padding_is_hidden", "right"), ("padding_stands_anywhere", "differ")],
)
def padding_assumed_at_the_end(tokens, pad_id):
    lengths = (tokens != pad_id).sum(dim=1, keepdim=True)
    return torch.arange(tokens.shape[1], device=tokens.device) < lengths


@also("padding_assumed_at_the_end", "compare")
def everything_after_the_first_padding_hidden(tokens, pad_id):
    return (tokens != pad_id).long().cumprod(dim=1).bool()


@mistake(
    "compare",
    credit=0.5,
    symptom="The mask is made on the default device, wherever the tokens are.",
    cause="It was built as a new tensor, from a list or by torch.ones, without the device of the tokens.",
    place="Compare the tensor as a whole: the result is where the tokens are.",
    shows=[("mask_follows_the_tokens", "is another device")],
)
def mask_on_the_default_device(tokens, pad_id):
    mask = torch.ones(tokens.shape, dtype=torch.bool)
    mask[tokens == pad_id] = False
    return mask


@also("mask_on_the_default_device", "compare")
def mask_from_zeros_on_the_default_device(tokens, pad_id):
    return torch.zeros(tokens.shape, dtype=torch.bool) | (tokens != pad_id)


# The answer


@mistake(
    "answer",
    credit=0.5,
    symptom="One tensor comes back where a pair is expected.",
    cause="Only the output is returned. The weights are part of the answer: later lessons look at them.",
    place="Return both: output, weights.",
    shows=[("positions_attend_to_positions", "is a tensor", "answer")],
)
def weights_not_returned(self, output, weights, scores):
    return output


@mistake(
    "answer",
    symptom="Output and weights have changed places.",
    cause="The order is part of the contract: (output, weights), as in nn.MultiheadAttention.",
    place="Look at the return statement.",
    shows=[("positions_attend_to_positions", "another shape", "shape of *")],
)
def output_and_weights_exchanged(self, output, weights, scores):
    return weights, output


@mistake(
    "answer",
    symptom="The second thing returned is not a set of weights: its rows do not sum to 1.",
    cause="The scores are returned in place of the weights.",
    place="Look at the return statement, and at which name holds the result of the softmax.",
    shows=[("positions_attend_to_positions", "rows do not sum to 1", "weights")],
)
def scores_returned_as_weights(self, output, weights, scores):
    return output, scores


# Habits


@mistake(
    "project",
    credit=0.5,
    symptom="No gradient reaches the input, or the projections of query and key.",
    cause="Something was cut from autograd by detach, .data, torch.no_grad, numpy or a new torch.tensor.",
    place="Look for one of these, and compute with the tensors as they come.",
    shows=[("gradients_reach_everything", "differ")],
)
def cut_from_autograd(self, x):
    return self.q_proj(x.detach()), self.k_proj(x.detach()), self.v_proj(x.detach())


@also("cut_from_autograd", "answer")
def weights_returned_without_autograd(self, output, weights, scores):
    return output, weights.detach()


@also("cut_from_autograd", "combine")
def weights_cut_from_autograd(self, weights, query, key, value):
    return weights.detach() @ value


@mistake(
    "weigh",
    credit=0.5,
    symptom="What comes out has another dtype than what went in, or torch refuses to multiply the two.",
    cause="A dtype is fixed in the code, or a tensor takes part that does not follow the input: float64 loses digits "
    "without a word, and float16 and bfloat16 lose the speed and the memory they are used for.",
    place="Look for .float(), dtype=torch.float32 or a new tensor that does not follow the input.",
    shows=[("modules_follow_x", "differ")],
)
def fixed_dtype(self, scores, mask):
    if mask is None:
        return torch.softmax(scores, dim=-1, dtype=torch.float32)
    hidden = scores.masked_fill(~mask, -math.inf)
    return torch.softmax(hidden, dim=-1, dtype=torch.float32).masked_fill(~mask, 0.0)


@mistake(
    "weigh",
    credit=0.5,
    symptom="It fails as soon as the input lives on another device, such as a GPU.",
    cause="A new tensor was made on the default device, whatever the input is on.",
    place="Make it with zeros_like, full_like or device=x.device, or do without it.",
    shows=[("modules_follow_x", "is no", "made on*")],
)
def fixed_device(self, scores, mask):
    if mask is None:
        return torch.softmax(scores, dim=-1)
    hidden = torch.where(mask, scores, torch.full(scores.shape, -math.inf, dtype=scores.dtype))
    return torch.softmax(hidden, dim=-1).masked_fill(~mask, 0.0)


@mistake(
    symptom="The numbers may be right, but the code calls a library function that does the whole exercise.",
    cause="Lessons 6 to 8 open that box. Later lessons may use it again, and then you know what is in it.",
    place="Use the functions that are imported at the top of the lesson.",
    only="SelfAttention",
    shows=[("modules_call_no_library_attention", "differ")],
)
class library_attention:
    def forward(self, x, mask=None):
        query, key, value = self.project(x)
        mask, function = self.see_mask(mask), nn.functional.scaled_dot_product_attention
        if mask is not None and mask.dim() == 2:
            mask = mask.unsqueeze(0)
        eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device).expand(len(x), -1, -1)
        return function(query, key, value, attn_mask=mask), function(query, key, eye, attn_mask=mask)


@also("library_attention")
class library_attention_for_the_output:
    def forward(self, x, mask=None):
        query, key, value = self.project(x)
        output = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=self.see_mask(mask))
        return output, self.weigh(self.score(query, key), self.see_mask(mask))


@also("library_attention", "SelfAttention")
class library_module_wrapped(nn.Module):
    def __init__(self, embed_dim, head_dim):
        nn.Module.__init__(self)
        self.attention = nn.MultiheadAttention(embed_dim, 1, batch_first=True)

    def forward(self, x, mask=None):
        return self.attention(x, x, x, attn_mask=mask)


@mistake(
    symptom="The numbers may be right, but the code calls a library function that does the whole exercise.",
    cause="Lessons 6 to 8 open that box. Later lessons may use it again, and then you know what is in it.",
    place="Use attention_scores and attention_weights, which are imported at the top of the lesson.",
    only="RelativeSelfAttention",
    shows=[("modules_call_no_library_attention", "differ")],
)
class library_attention_with_bias:
    def forward(self, x, mask=None):
        query, key, value = self.project(x)
        distance = self.distances(torch.arange(x.shape[1], device=x.device))
        bias = self.look_up(self.clip(distance), distance)
        weights = self.weigh(self.add_bias(self.score(query, key), bias), mask)
        hidden = bias if mask is None else torch.where(mask, bias, -math.inf)
        return nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=hidden), weights


# What is known of attention itself, from lesson 7

catalogue.inherit(
    read(Path(__file__).with_name("scaled_dot_product_attention.py")),
    "product",
    "scale",
    "hide",
    "normalise",
    "settle",
    "rescale",
    "combine",
    only=("SelfAttention", "RelativeSelfAttention"),
    without=(
        "key_and_query_exchanged",  # is query_and_key_exchanged here
        "weights_applied_to_the_key",  # is key_as_value
        "softmax_over_the_third_axis",  # which is the last one
        "softmax_over_the_third_axis_and_nan_left",
        "small_finite_fill_with_clean_rows",  # shows where scores are very low, which is asked in lesson 7 alone
        "one_maximum_for_all_rows",  # shows where rows are far apart
        "axes_counted_from_the_front",  # fits where there are always three axes, as do the next three
        "axes_permuted_from_the_front",
        "axes_for_batch_matrix_product",
        "axes_named_by_einsum",
    ),
)


# Tokens that shall expose the bug


@mistake(
    "self_attention_bug_input",
    symptom="On your tokens the broken module is right.",
    cause="Nothing is padding, so the longest sequence is as long as the row, and no key is left out.",
    place="Put padding, the id 0, into every sequence.",
    shows=[("bug_tokens_fit", "right")],
)
def tokens_without_padding():
    return torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])


@mistake(
    "self_attention_bug_input",
    symptom="On your tokens the broken module is right.",
    cause="All padding stands at the end. There the keys that are left out are the padding, as its author meant it.",
    place="Ask where else padding can stand.",
    shows=[("bug_tokens_fit", "right")],
)
def padding_at_the_end():
    return torch.tensor([[1, 2, 0, 0, 0], [3, 4, 5, 0, 0]])


@also("padding_at_the_end", "self_attention_bug_input")
def one_sequence_with_padding_at_the_end():
    return torch.tensor([[1, 2, 3, 0]])


@mistake(
    "self_attention_bug_input",
    symptom="On your tokens the broken module is right.",
    cause="Padding stands in a good place, but one sequence of the batch has none. It is the longest, its length is "
    "the whole row, and so nobody loses a key.",
    place="Take care that every sequence of the batch has padding.",
    shows=[("bug_tokens_fit", "right")],
)
def one_full_sequence():
    return torch.tensor([[0, 0, 1, 2], [3, 4, 5, 6]])


@mistake(
    "self_attention_bug_input",
    symptom="On your tokens the broken module is right.",
    cause="There is padding in front of or between tokens, but no real token stands so far back that its key is left "
    "out: the longest sequence has as many tokens as the last place that is used.",
    place="Count the real tokens of each sequence. Some sequence needs a real token behind the largest count.",
    shows=[("bug_tokens_fit", "right")],
)
def nothing_real_is_left_out():
    return torch.tensor([[0, 1, 2, 0, 0], [3, 4, 5, 0, 0]])


@mistake(
    "self_attention_bug_input",
    symptom="On your tokens the broken module is right.",
    cause="Real keys are left out, but those that stay are the same tokens, and the mean of equal values does not "
    "tell how many there were.",
    place="Use different ids, so that a token that is missed has something that the others do not have.",
    shows=[("bug_tokens_fit", "right")],
)
def tokens_all_alike():
    return torch.tensor([[0, 3, 3], [0, 3, 3]])


@mistake(
    "self_attention_bug_input",
    symptom="On your tokens no output can be wrong.",
    cause="There is nothing but padding. What counts is the output at a real token.",
    place="Put ids from 1 to 9 among the padding.",
    shows=[("bug_tokens_fit", "right")],
)
def nothing_but_padding():
    return torch.zeros(2, 5, dtype=torch.long)


@mistake(
    "self_attention_bug_input",
    symptom="What comes back cannot be used as token ids.",
    cause="The module is given one integer tensor, [batch, time], with ids from 0 to 9. The mask and the vectors are "
    "made from it.",
    place="Return torch.tensor([[...], [...]]) with whole numbers, and rows of the same length.",
    shows=[("bug_tokens_fit", "differ")],
)
def tokens_that_do_not_fit():
    return torch.tensor([[0.0, 0.0, 1.0, 2.0]])


@also("tokens_that_do_not_fit", "self_attention_bug_input")
def tokens_without_a_batch():
    return torch.tensor([0, 0, 1, 2])


@also("tokens_that_do_not_fit", "self_attention_bug_input")
def tokens_as_lists():
    return [[0, 0, 1, 2], [0, 3, 4, 5]]


@also("tokens_that_do_not_fit", "self_attention_bug_input")
def ids_above_nine():
    return torch.tensor([[0, 0, 10, 11], [0, 12, 13, 14]])


@also("tokens_that_do_not_fit", "self_attention_bug_input")
def tokens_and_mask():
    tokens = torch.tensor([[0, 0, 1, 2], [0, 3, 4, 5]])
    return tokens, (tokens != 0).unsqueeze(1)
