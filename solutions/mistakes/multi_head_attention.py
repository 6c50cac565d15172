"""Wrong answers to lesson 8, each with its sentences: what is seen, why it is wrong, where to look."""

import math
from pathlib import Path

import torch
from torch import nn

from autograder.mistakes import Catalogue, read
from workbench.parts import attention_scores, attention_weights

catalogue = Catalogue()
step, component, mistake, also = catalogue.step, catalogue.component, catalogue.mistake, catalogue.also


# The right way, a step at a time


@step
def refuse_sizes(embed_dim, num_heads):
    if embed_dim % num_heads:
        raise ValueError(f"embed_dim {embed_dim} does not split into {num_heads} heads")


@step
def cut_features(x, num_heads):
    return x.reshape(x.shape[0], x.shape[1], num_heads, x.shape[2] // num_heads)


@step
def move_heads(x):
    return x.transpose(1, 2)


@component("refuse_sizes", "cut_features", "move_heads")
def split_heads(step, x, num_heads):
    step.refuse_sizes(x.shape[-1], num_heads)
    return step.move_heads(step.cut_features(x, num_heads))


@step
def move_heads_back(x):
    return x.transpose(1, 2)


@step
def join_features(x):
    return x.reshape(x.shape[0], x.shape[1], x.shape[2] * x.shape[3])


@component("move_heads_back", "join_features")
def merge_heads(step, x):
    return step.join_features(step.move_heads_back(x))


@component()
class MultiHeadAttention(nn.Module):
    def __init__(self, embed_dim, num_heads, dropout=0.0):
        nn.Module.__init__(self)
        self.embed_dim, self.num_heads, self.num_groups = embed_dim, num_heads, num_heads
        self.check_sizes(embed_dim)
        self.make_projections(embed_dim, embed_dim)
        self.dropout = nn.Dropout(dropout)

    def check_sizes(self, embed_dim):
        if embed_dim % self.num_heads:
            raise ValueError(f"embed_dim {embed_dim} does not split into {self.num_heads} heads")

    def make_projections(self, embed_dim, shared_dim):
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, shared_dim)
        self.v_proj = nn.Linear(embed_dim, shared_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def project(self, query, key, value):
        return self.q_proj(query), self.k_proj(key), self.v_proj(value)

    def cut(self, x, heads):
        """heads apart"""
        return x.reshape(x.shape[0], x.shape[1], heads, x.shape[2] // heads).transpose(1, 2)

    def product(self, query, key):
        return query @ key.transpose(-2, -1)

    def scale(self, scores, query, key):
        return scores / math.sqrt(query.shape[-1])

    def score(self, query, key):
        """scores"""
        return self.scale(self.product(query, key), query, key)

    def head_mask(self, mask):
        return None if mask is None else mask.unsqueeze(-3)

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

    def drop(self, weights):
        return self.dropout(weights)

    def combine(self, weights, query, key, value):
        """weighted sum of values"""
        return weights @ value

    def join(self, x):
        """heads side by side"""
        return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], x.shape[1] * x.shape[3])

    def finish(self, output):
        return self.out_proj(output)

    def answer(self, output, weights, dropped, scores):
        return output, weights

    def forward(self, query, key, value, mask=None):
        query, key, value = self.project(query, key, value)
        query, key, value = (self.cut(x, self.num_heads) for x in (query, key, value))
        scores = self.score(query, key)
        weights = self.rescale(self.weigh(scores, self.head_mask(mask)), query)
        dropped = self.drop(weights)
        output = self.finish(self.join(self.combine(dropped, query, key, value)))
        return self.answer(output, weights, dropped, scores)


@component()
class GroupedQueryAttention(nn.Module):
    def __init__(self, embed_dim, num_heads, num_groups, dropout=0.0):
        nn.Module.__init__(self)
        self.embed_dim, self.num_heads, self.num_groups = embed_dim, num_heads, num_groups
        self.check_sizes(embed_dim)
        self.check_groups()
        self.make_projections(embed_dim, self.shared_heads() * (embed_dim // num_heads))
        self.dropout = nn.Dropout(dropout)

    def check_sizes(self, embed_dim):
        if embed_dim % self.num_heads:
            raise ValueError(f"embed_dim {embed_dim} does not split into {self.num_heads} heads")

    def check_groups(self):
        if self.num_heads % self.num_groups:
            raise ValueError(f"{self.num_heads} heads do not form {self.num_groups} groups")

    def shared_heads(self):
        return self.num_groups

    def make_projections(self, embed_dim, shared_dim):
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, shared_dim)
        self.v_proj = nn.Linear(embed_dim, shared_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def project(self, query, key, value):
        return self.q_proj(query), self.k_proj(key), self.v_proj(value)

    def cut(self, x, heads):
        """heads apart"""
        return x.reshape(x.shape[0], x.shape[1], heads, x.shape[2] // heads).transpose(1, 2)

    def spread(self, x):
        """heads spread over groups"""
        return x.repeat_interleave(self.num_heads // x.shape[1], dim=1)

    def spread_both(self, key, value):
        return self.spread(self.cut(key, self.shared_heads())), self.spread(self.cut(value, self.shared_heads()))

    def product(self, query, key):
        return query @ key.transpose(-2, -1)

    def scale(self, scores, query, key):
        return scores / math.sqrt(query.shape[-1])

    def score(self, query, key):
        """scores"""
        return self.scale(self.product(query, key), query, key)

    def head_mask(self, mask):
        return None if mask is None else mask.unsqueeze(-3)

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

    def drop(self, weights):
        return self.dropout(weights)

    def combine(self, weights, query, key, value):
        """weighted sum of values"""
        return weights @ value

    def join(self, x):
        """heads side by side"""
        return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], x.shape[1] * x.shape[3])

    def finish(self, output):
        return self.out_proj(output)

    def answer(self, output, weights, dropped, scores):
        return output, weights

    def forward(self, query, key, value, mask=None):
        query, key, value = self.project(query, key, value)
        query = self.cut(query, self.num_heads)
        key, value = self.spread_both(key, value)
        scores = self.score(query, key)
        weights = self.rescale(self.weigh(scores, self.head_mask(mask)), query)
        dropped = self.drop(weights)
        output = self.finish(self.join(self.combine(dropped, query, key, value)))
        return self.answer(output, weights, dropped, scores)


@component()
def multi_head_bug_input(step):
    x = torch.arange(96.0).reshape(2, 4, 12).sin()
    return x, x, x, torch.tensor([[[True, True, True, True]], [[True, True, False, False]]])


# Splitting


@mistake(
    symptom="The shape is right and the numbers are not: a head holds all features of a few positions, where it "
    "should hold a few features of all positions.",
    cause="view and reshape never move a number, they only set new boundaries. The heads can be cut out of the "
    "last axis, but they do not come in front of the positions by writing the sizes in that order.",
    place="Reshape to [batch, time, heads, head_dim] first, then let the axes 1 and 2 change places.",
    shows=[("split_shares_out_the_features", "right", "*shape of *"), ("split_shares_out_the_features", "differ")],
)
class split_without_the_transpose:
    @staticmethod
    def cut_features(x, num_heads):
        return x.reshape(x.shape[0], num_heads, x.shape[1], x.shape[2] // num_heads)

    @staticmethod
    def move_heads(x):
        return x


@also("split_without_the_transpose", "cut")
def cut_without_the_transpose(self, x, heads):
    return x.reshape(x.shape[0], heads, x.shape[1], x.shape[2] // heads)


@mistake(
    "move_heads",
    only=("split_heads", "MultiHeadAttention"),
    symptom="The axes are in the order batch, time, heads, head_dim.",
    cause="The last axis has been cut, but the heads still stand behind the positions. Matrix products work on the "
    "last two axes, so each position would compare its own heads with each other.",
    place="After the reshape, let the axes 1 and 2 change places.",
    shows=[("split_shares_out_the_features", "another shape", "*shape of *")],
)
def heads_left_behind_the_positions(x):
    return x


@also("heads_left_behind_the_positions")
class attention_between_the_heads_of_a_position:
    def cut(self, x, heads):
        return x.reshape(x.shape[0], x.shape[1], heads, x.shape[2] // heads)

    def join(self, x):
        return x.reshape(x.shape[0], x.shape[1], x.shape[2] * x.shape[3])


@mistake(
    only=("split_heads", "merge_heads", "MultiHeadAttention"),
    symptom="The shape is right, but the features of the heads are interleaved: a head does not get neighbouring ones.",
    cause="The last axis was treated as [head_dim, heads], so the features are dealt out to the heads in turn like "
    "cards. Head 0 owns the first head_dim outputs of the projection, head 1 the next.",
    place="Look at the order of the two axes that the reshape cuts or joins: heads first, then head_dim.",
    shows=[
        ("split_shares_out_the_features", "right", "*shape of *"),
        ("split_shares_out_the_features", "differ"),
        ("merge_joins_the_features", "right", "*shape of *"),
        ("merge_joins_the_features", "differ"),
    ],
)
class features_dealt_out_in_turn:
    @staticmethod
    def cut_features(x, num_heads):
        return x.reshape(x.shape[0], x.shape[1], x.shape[2] // num_heads, num_heads)

    @staticmethod
    def move_heads(x):
        return x.permute(0, 3, 1, 2)


@also("features_dealt_out_in_turn")
class features_joined_in_turn:
    @staticmethod
    def move_heads_back(x):
        return x.permute(0, 2, 3, 1)


@also("features_dealt_out_in_turn")
class features_dealt_out_and_joined_in_turn:
    def cut(self, x, heads):
        return x.reshape(x.shape[0], x.shape[1], x.shape[2] // heads, heads).permute(0, 3, 1, 2)

    def join(self, x):
        return x.permute(0, 2, 3, 1).reshape(x.shape[0], x.shape[2], x.shape[1] * x.shape[3])


@also("features_dealt_out_in_turn", "cut")
def features_dealt_out_but_joined_in_order(self, x, heads):
    return x.reshape(x.shape[0], x.shape[1], x.shape[2] // heads, heads).permute(0, 3, 1, 2)


@also("features_dealt_out_in_turn", "join")
def features_cut_in_order_but_joined_in_turn(self, x):
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], x.shape[2], x.shape[1] * x.shape[3])


@mistake(
    "cut_features",
    symptom="The number of heads and head_dim have changed places.",
    cause="The number of heads was taken for the size of each head. With 3 heads, 21 features make 3 heads of 7, "
    "not 7 heads of 3.",
    place="Look at the reshape: the axis of size num_heads comes before the axis of size embed_dim // num_heads.",
    shows=[("split_shares_out_the_features", "another shape", "*shape of *")],
)
def heads_and_head_dim_exchanged(x, num_heads):
    return x.reshape(x.shape[0], x.shape[1], x.shape[2] // num_heads, num_heads)


@mistake(
    "move_heads",
    symptom="The last two axes are in the order head_dim, time.",
    cause="The features were moved as well as the heads. The result ends in [time, head_dim], so that the matrix "
    "product with a transposed key runs along the features.",
    place="Only the axes 1 and 2 change places, after the reshape.",
    shows=[("split_shares_out_the_features", "another shape", "*shape of *")],
)
def features_in_front_of_the_positions(x):
    return x.permute(0, 2, 3, 1)


@mistake(
    "split_heads",
    symptom="Each head holds all features, where it should hold its own part of them.",
    cause="x was copied for every head. In multi-head attention the features are shared out: that is what keeps "
    "the work the same however many heads there are.",
    place="Cut the last axis into [heads, head_dim] in place of adding a new axis.",
    shows=[("split_shares_out_the_features", "another shape", "*shape of *")],
)
def all_features_to_every_head(x, num_heads):
    if x.shape[-1] % num_heads:
        raise ValueError(f"embed_dim {x.shape[-1]} does not split into {num_heads} heads")
    return x.unsqueeze(1).expand(-1, num_heads, -1, -1)


@mistake(
    "split_heads",
    symptom="The result is a collection of tensors instead of one with a heads axis.",
    cause="The features were cut into one tensor per head. One tensor with an axis for the heads lets a single "
    "matrix product work on all of them.",
    place="torch.stack(pieces, dim=1) would join them; a reshape with a transpose needs no pieces.",
    shows=[("split_shares_out_the_features", "differ")],
)
def one_tensor_per_head(x, num_heads):
    if x.shape[-1] % num_heads:
        raise ValueError(f"embed_dim {x.shape[-1]} does not split into {num_heads} heads")
    return x.chunk(num_heads, dim=-1)


# Sizes that do not divide


@mistake(
    "refuse_sizes",
    credit=0.5,
    symptom="Sizes that do not divide are not refused, or torch stumbles over them with an error of its own.",
    cause="The check is missing. Integer division rounds down without a word, so features can be lost, and the "
    "error that torch raises speaks of shapes that the caller has never seen.",
    place="Before anything else: if the remainder of the division is not 0, raise a ValueError with both sizes.",
    shows=[("split_refuses_what_does_not_divide", "differ"), ("indivisible_sizes_are_refused", "differ")],
)
def indivisible_sizes_accepted(embed_dim, num_heads):
    pass


@also("indivisible_sizes_accepted")
class features_left_over_are_lost:
    @staticmethod
    def refuse_sizes(embed_dim, num_heads):
        pass

    @staticmethod
    def cut_features(x, num_heads):
        size = x.shape[2] // num_heads
        return torch.stack([x[..., i * size : (i + 1) * size] for i in range(num_heads)], dim=2)


@also("indivisible_sizes_accepted")
class last_size_left_to_torch:
    @staticmethod
    def refuse_sizes(embed_dim, num_heads):
        pass

    @staticmethod
    def cut_features(x, num_heads):
        return x.reshape(x.shape[0], x.shape[1], num_heads, -1)


@also("indivisible_sizes_accepted")
class number_of_positions_left_to_torch:
    @staticmethod
    def refuse_sizes(embed_dim, num_heads):
        pass

    @staticmethod
    def cut_features(x, num_heads):
        return x.reshape(x.shape[0], -1, num_heads, x.shape[2] // num_heads)


@also("indivisible_sizes_accepted", "check_sizes")
def module_does_not_check_its_sizes(self, embed_dim):
    pass


@also("indivisible_sizes_accepted")
class module_rounds_down:
    def check_sizes(self, embed_dim):
        pass

    def make_projections(self, embed_dim, shared_dim):
        head_dim = embed_dim // self.num_heads
        self.q_proj = nn.Linear(embed_dim, self.num_heads * head_dim)
        self.k_proj = nn.Linear(embed_dim, self.num_groups * head_dim)
        self.v_proj = nn.Linear(embed_dim, self.num_groups * head_dim)
        self.out_proj = nn.Linear(self.num_heads * head_dim, embed_dim)


@mistake(
    "refuse_sizes",
    credit=0.5,
    symptom="Sizes that do not divide are refused, but not with a ValueError.",
    cause="The type of an error is part of the contract: callers catch ValueError. An assert says that the code "
    "itself is wrong, and disappears when Python runs with -O.",
    place="Write `raise ValueError(...)` under an if.",
    shows=[
        ("split_refuses_what_does_not_divide", "differ", "*answer"),
        ("indivisible_sizes_are_refused", "differ", "*answer"),
    ],
)
def error_of_another_type(embed_dim, num_heads):
    assert embed_dim % num_heads == 0, f"embed_dim {embed_dim} does not split into {num_heads} heads"


@also("error_of_another_type", "check_sizes")
def module_asserts_its_sizes(self, embed_dim):
    assert embed_dim % self.num_heads == 0, f"embed_dim {embed_dim} does not split into {self.num_heads} heads"


@mistake(
    "refuse_sizes",
    credit=0.5,
    symptom="The ValueError does not tell both sizes.",
    cause="Who reads the message wants to know which two numbers do not fit, and they can be far away from the "
    "place where the error appears.",
    place="Make the message an f-string that holds embed_dim and num_heads.",
    shows=[
        ("split_refuses_what_does_not_divide", "is no", "*names both sizes"),
        ("indivisible_sizes_are_refused", "is no", "*names both sizes"),
    ],
)
def error_without_the_sizes(embed_dim, num_heads):
    if embed_dim % num_heads:
        raise ValueError("embed_dim must be divisible by num_heads")


@also("error_without_the_sizes", "check_sizes")
def module_does_not_name_its_sizes(self, embed_dim):
    if embed_dim % self.num_heads:
        raise ValueError("embed_dim must be divisible by num_heads")


@mistake(
    "check_groups",
    credit=0.5,
    symptom="Heads that do not divide into the groups are not refused, or torch stumbles over them with an error of "
    "its own.",
    cause="The number of groups is not checked. With 6 heads and 4 groups no number of heads per group is right.",
    place="In __init__: if num_heads % num_groups is not 0, raise a ValueError with both numbers.",
    shows=[("indivisible_sizes_are_refused", "differ")],
)
def indivisible_groups_accepted(self):
    pass


@also("indivisible_groups_accepted")
class groups_cut_off:
    def check_groups(self):
        pass

    def spread(self, x):
        return x.repeat_interleave(-(-self.num_heads // x.shape[1]), dim=1)[:, : self.num_heads]


@mistake(
    "check_groups",
    credit=0.5,
    symptom="Heads that do not divide into the groups are refused, but not with a ValueError.",
    cause="The type of an error is part of the contract: callers catch ValueError. An assert says that the code "
    "itself is wrong, and disappears when Python runs with -O.",
    place="Look at the check of num_groups: write `raise ValueError(...)` under an if.",
    shows=[("indivisible_sizes_are_refused", "differ", "*answer")],
)
def error_of_another_type_for_groups(self):
    assert self.num_heads % self.num_groups == 0, f"{self.num_heads} heads do not form {self.num_groups} groups"


@mistake(
    "check_groups",
    credit=0.5,
    symptom="The ValueError for groups that do not fit does not tell both sizes.",
    cause="Who reads the message wants to know which two numbers do not fit, and they can be far away from the "
    "place where the error appears.",
    place="Make the message an f-string that holds num_heads and num_groups.",
    shows=[("indivisible_sizes_are_refused", "is no", "*names both sizes")],
)
def error_without_the_groups(self):
    if self.num_heads % self.num_groups:
        raise ValueError("num_heads must be divisible by num_groups")


# Merging


@mistake(
    "move_heads_back",
    symptom="The shape is right and the numbers are not: each position gets features of several positions, "
    "in place of its own from all heads.",
    cause="reshape never moves a number, it only sets new boundaries. Before the last two axes become one, they "
    "have to be heads and head_dim, so heads and positions must change places first.",
    place="Let the axes 1 and 2 change places, then reshape to [batch, time, heads * head_dim].",
    shows=[("merge_joins_the_features", "right", "*shape of *"), ("merge_joins_the_features", "differ")],
)
def merge_without_the_transpose(x):
    return x.reshape(x.shape[0], x.shape[2], x.shape[1], x.shape[3])


@also("merge_without_the_transpose", "move_heads_back")
def another_pair_of_axes_exchanged(x):
    return x.transpose(-2, -1).reshape(x.shape[0], x.shape[2], x.shape[1], x.shape[3])


@also("merge_without_the_transpose", "join")
def join_without_the_transpose(self, x):
    return x.reshape(x.shape[0], x.shape[2], x.shape[1] * x.shape[3])


@mistake(
    "merge_heads",
    only=("split_heads", "merge_heads", "MultiHeadAttention"),
    symptom="The shape is right and the numbers are not: what belongs to one sequence of the batch comes out in another.",
    cause="Batch and heads have changed places in a reshape. Folded into one axis, batch first means a a a b b b, heads "
    "first a b a b a b; view and reshape move no number, so the axis has to be unfolded in the order in which it was "
    "folded.",
    place="Look at each view or reshape in which batch and heads stand side by side, and name its axes in their order.",
    shows=[
        ("split_shares_out_the_features", "right", "*shape of *"),
        ("split_shares_out_the_features", "differ"),
        ("merge_joins_the_features", "right", "*shape of *"),
        ("merge_joins_the_features", "differ"),
    ],
)
def heads_and_batch_mixed(x):
    batch, heads, time, head_dim = x.shape
    x = x.reshape(batch * heads, time, head_dim).view(heads, batch, time, head_dim)
    return x.permute(1, 2, 0, 3).reshape(batch, time, heads * head_dim)


@also("heads_and_batch_mixed", "merge_heads")
def heads_and_batch_mixed_and_left_in_front(x):
    batch, heads, time, head_dim = x.shape
    x = x.reshape(batch * heads, time, head_dim).view(heads, batch, time, head_dim)
    return x.permute(0, 2, 1, 3).reshape(batch, time, heads * head_dim)


@also("heads_and_batch_mixed", "merge_heads")
def batch_moved_in_place_of_the_positions(x):
    batch, heads, time, head_dim = x.shape
    return x.transpose(0, 1).reshape(batch, time, heads * head_dim)


@also("heads_and_batch_mixed", "merge_heads")
def heads_first_unfolded_as_batch_first(x):
    batch, heads, time, head_dim = x.shape
    x = x.transpose(0, 1).reshape(batch, heads, time, head_dim)
    return x.transpose(1, 2).reshape(batch, time, heads * head_dim)


@also("heads_and_batch_mixed", "move_heads")
def heads_first_in_a_shape_of_batch_first(x):
    batch, time, heads, head_dim = x.shape
    return x.permute(2, 0, 1, 3).reshape(batch, heads, time, head_dim)


@also("heads_and_batch_mixed", "join")
def joined_with_heads_and_batch_mixed(self, x):
    batch, heads, time, head_dim = x.shape
    x = x.reshape(batch * heads, time, head_dim).view(heads, batch, time, head_dim)
    return x.permute(1, 2, 0, 3).reshape(batch, time, heads * head_dim)


@also("heads_and_batch_mixed", "join")
def joined_with_heads_and_batch_mixed_and_left_in_front(self, x):
    batch, heads, time, head_dim = x.shape
    x = x.reshape(batch * heads, time, head_dim).view(heads, batch, time, head_dim)
    return x.permute(0, 2, 1, 3).reshape(batch, time, heads * head_dim)


@also("heads_and_batch_mixed", "join")
def heads_first_joined_as_batch_first(self, x):
    batch, heads, time, head_dim = x.shape
    x = x.transpose(0, 1).reshape(batch, heads, time, head_dim)
    return x.transpose(1, 2).reshape(batch, time, heads * head_dim)


@also("heads_and_batch_mixed", only="MultiHeadAttention")
class heads_first_joined_and_weights_unfolded_as_batch_first:
    join = heads_first_joined_as_batch_first

    def answer(self, output, weights, dropped, scores):
        return output, weights.transpose(0, 1).reshape(weights.shape)


@also("heads_and_batch_mixed", "answer", only="MultiHeadAttention")
def weights_unfolded_as_batch_first(self, output, weights, dropped, scores):
    return output, weights.transpose(0, 1).reshape(weights.shape)


@also("heads_and_batch_mixed", "answer", only="MultiHeadAttention")
def weights_unfolded_as_heads_first(self, output, weights, dropped, scores):
    batch, heads, queries, keys = weights.shape
    return output, weights.reshape(heads, batch, queries, keys).transpose(0, 1)


@also("heads_and_batch_mixed", only="MultiHeadAttention")
class batch_first_joined_and_weights_unfolded_as_heads_first:
    join, answer = joined_with_heads_and_batch_mixed, weights_unfolded_as_heads_first


@also("heads_and_batch_mixed", only="MultiHeadAttention")
class batch_first_unfolded_as_heads_first_and_left_in_front:
    join, answer = joined_with_heads_and_batch_mixed_and_left_in_front, weights_unfolded_as_heads_first


@mistake(
    "join_features",
    symptom="torch refuses the view: its size is not compatible with the tensor's size and stride.",
    cause="A transpose moves no number, it only counts the axes differently. After it, the features of two heads "
    "do not lie side by side in memory, and view, which never copies, cannot make one axis of them.",
    place="Use reshape, which copies where it must, or write .contiguous() in front of .view(...).",
    shows=[("merge_joins_the_features", "raise")],
)
def view_of_a_transposed_tensor(x):
    return x.view(x.shape[0], x.shape[1], x.shape[2] * x.shape[3])


@mistake(
    "join_features",
    symptom="There are still four axes.",
    cause="Heads and positions have changed places, but heads and head_dim are still two axes.",
    place="Reshape to [batch, time, heads * head_dim] at the end.",
    shows=[("merge_joins_the_features", "another shape", "*shape of *")],
)
def heads_not_joined(x):
    return x


@mistake(
    "merge_heads",
    symptom="The result has heads times as many positions, each with head_dim features.",
    cause="The heads were put one after the other along the sequence. Each position keeps its place, and the "
    "features of its heads stand side by side.",
    place="Join along the last axis.",
    shows=[("merge_joins_the_features", "another shape", "*shape of *")],
)
def heads_joined_along_the_sequence(x):
    return x.flatten(1, 2)


@also("heads_joined_along_the_sequence", "merge_heads")
def heads_interleaved_along_the_sequence(x):
    return x.transpose(1, 2).flatten(1, 2)


@mistake(
    "merge_heads",
    only=("merge_heads", "MultiHeadAttention"),
    symptom="The features of the heads are gone: their mean, or their sum, is left.",
    cause="Heads are concatenated, not averaged or added. Each of them found something else, and the output "
    "projection learns what to do with each; after an average nobody can tell them apart.",
    place="Put the heads side by side along the last axis.",
    shows=[("merge_joins_the_features", "another shape", "*shape of *")],
)
def heads_averaged(x):
    return x.mean(dim=1)


@also("heads_averaged", "merge_heads")
def heads_added(x):
    return x.sum(dim=1)


@also("heads_averaged", "combine")
def mean_of_the_weights_used_by_all_heads(self, weights, query, key, value):
    return weights.mean(dim=1, keepdim=True) @ value


@also("heads_averaged", "combine")
def mean_of_the_heads_given_to_all(self, weights, query, key, value):
    return (weights @ value).mean(dim=1, keepdim=True).expand(-1, self.num_heads, -1, -1)


@also("heads_averaged", "combine")
def sum_of_the_heads_given_to_all(self, weights, query, key, value):
    return (weights @ value).sum(dim=1, keepdim=True).expand(-1, self.num_heads, -1, -1)


@also("heads_averaged")
class mean_of_the_heads_projected:
    def make_projections(self, embed_dim, shared_dim):
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, shared_dim)
        self.v_proj = nn.Linear(embed_dim, shared_dim)
        self.out_proj = nn.Linear(embed_dim // self.num_heads, embed_dim)

    def join(self, x):
        return x.mean(dim=1)


@mistake(
    "merge_heads",
    only=("merge_heads", "MultiHeadAttention"),
    symptom="One head takes the place of all: the others are computed and thrown away, or there are none.",
    cause="Only one attention is computed or kept. Several heads are several attentions at once, each with its "
    "own weights, and all of them make the output.",
    place="Look for an index such as [:, 0] or [0], and for num_heads being used where the features are split.",
    shows=[("merge_joins_the_features", "another shape", "*shape of *")],
)
def only_one_head(x):
    return x[:, 0]


@also("only_one_head", "merge_heads")
def only_the_last_head(x):
    return x[:, -1]


@also("only_one_head", "combine")
def weights_of_the_first_head_for_all(self, weights, query, key, value):
    return weights[:, :1] @ value


@mistake(
    only="MultiHeadAttention",
    symptom="The weights have a single head, or none; where keys are grouped, query and key do not even fit.",
    cause="num_heads is never used to split the features. One attention over all embed_dim features has one "
    "set of weights per query, however the projections are called.",
    place="Split query, key and value into heads after their projections, and merge the heads before out_proj.",
    shows=[("every_head_attends", "differ")],
)
class heads_never_split:
    def cut(self, x, heads):
        return x.unsqueeze(1)


@also("heads_never_split")
class no_heads_axis_at_all:
    def cut(self, x, heads):
        return x

    def head_mask(self, mask):
        return mask

    def join(self, x):
        return x


@mistake(
    only="MultiHeadAttention",
    symptom="The projections have heads times as many outputs as agreed.",
    cause="Each head got embed_dim features of its own. In multi-head attention the embedding is shared out: "
    "head_dim is embed_dim / num_heads, so that all heads together are as wide as one.",
    place="Let q_proj, k_proj and v_proj have embed_dim outputs, and out_proj embed_dim inputs.",
    shows=[("parameters_are_as_agreed", "differ")],
)
class every_head_as_wide_as_the_embedding:
    def make_projections(self, embed_dim, shared_dim):
        self.q_proj = nn.Linear(embed_dim, self.num_heads * embed_dim)
        self.k_proj = nn.Linear(embed_dim, self.num_heads * embed_dim)
        self.v_proj = nn.Linear(embed_dim, self.num_heads * embed_dim)
        self.out_proj = nn.Linear(self.num_heads * embed_dim, embed_dim)


# Scores


@mistake(
    "score",
    symptom="The weights are too equal: the scores are too small.",
    cause="They were divided by the size of the whole embedding. What is compared in a head are vectors of "
    "head_dim features, so the root of head_dim brings the scores back to a variance of 1.",
    place="Look at the scale: it is the root of the last size of the split query. attention_scores does it for you.",
    shows=[("every_head_attends", "differ", "weights")],
)
def scaled_by_embed_dim(self, query, key):
    return query @ key.transpose(-2, -1) / math.sqrt(self.embed_dim)


@also("scaled_by_embed_dim", "score")
def divided_by_embed_dim(self, query, key):
    return query @ key.transpose(-2, -1) / self.embed_dim


@mistake(
    "score",
    symptom="The scores are too large by the factor √head_dim, so the weights are too sharp.",
    cause="The scale is missing. A dot product of head_dim terms has a variance of about head_dim.",
    place="Use attention_scores, or divide by the root of head_dim.",
    shows=[("every_head_attends", "differ", "weights")],
)
def no_scale(self, query, key):
    return query @ key.transpose(-2, -1)


@mistake(
    "score",
    symptom="The scores are too small by the factor √head_dim, so the weights are too equal.",
    cause="They were divided by head_dim itself, or by its root twice: attention_scores has scaled them already.",
    place="Look for a second division, or for a missing square root.",
    shows=[("every_head_attends", "differ", "weights")],
)
def divided_by_head_dim(self, query, key):
    return query @ key.transpose(-2, -1) / query.shape[-1]


@mistake(
    "score",
    only="MultiHeadAttention",
    symptom="The scale does not fit: it is right only if there are as many heads as features in a head.",
    cause="The scores were divided by the root of the number of heads. It is the length of the vectors that makes "
    "dot products large, not how many heads there are.",
    place="Look at the divisor: the root of head_dim.",
    shows=[("every_head_attends", "differ", "weights")],
)
def scaled_by_the_number_of_heads(self, query, key):
    return query @ key.transpose(-2, -1) / math.sqrt(self.num_heads)


# Masks


@mistake(
    "head_mask",
    symptom="Masks with three axes fail, or hide the wrong keys where batch and heads are equally many.",
    cause="The mask has no axis for the heads, the scores have one. Broadcasting lines axes up from the end, so "
    "the batch axis of a mask [batch, queries, keys] meets the heads of the scores.",
    place="Put an axis of size 1 in front of the last two axes of the mask: unsqueeze(-3).",
    shows=[("hidden_keys_have_no_influence", "differ"), ("every_head_attends", "right")],
)
def heads_and_batch_confused_in_the_mask(self, mask):
    return mask


@also("heads_and_batch_confused_in_the_mask", "head_mask")
def mask_gets_two_axes_in_front(self, mask):
    return None if mask is None else mask.unsqueeze(0).unsqueeze(0)


@mistake(
    "head_mask",
    symptom="Where the sequences of a batch have different masks, some heads get the mask of another sequence.",
    cause="The masks are repeated in another order than the scores lie in. With the heads of a sequence side by side the "
    "scores lie a a a b b b, and so do masks from repeat_interleave; with all sequences of a head side by side it is "
    "a b a b a b, which is what repeat gives.",
    place="Look at how query and key are folded and how the mask is repeated, or give the mask an axis of size 1 for the "
    "heads and let it broadcast.",
    shows=[("hidden_keys_have_no_influence", "not zero", "*largest weight on a hidden key")],
)
def mask_repeated_in_another_order(self, mask):
    if mask is None or mask.dim() == 2:
        return mask
    return mask.repeat(self.num_heads, 1, 1).reshape(mask.shape[0], self.num_heads, mask.shape[1], mask.shape[2])


@also("mask_repeated_in_another_order", "head_mask")
def mask_interleaved_for_scores_with_heads_first(self, mask):
    if mask is None or mask.dim() == 2:
        return mask
    repeated = mask.repeat_interleave(self.num_heads, dim=0)
    return repeated.reshape(self.num_heads, mask.shape[0], mask.shape[1], mask.shape[2]).transpose(0, 1)


@mistake(
    "head_mask",
    credit=0.5,
    symptom="Masks with three axes work. A mask [queries, keys] fails, or hides the wrong keys where the sizes "
    "happen to fit.",
    cause="The heads axis was inserted at place 1, counted from the front. In a mask without a batch axis, place 1 "
    "lies between queries and keys.",
    place="Count from the end: unsqueeze(-3) suits masks with two axes and with three.",
    shows=[("hidden_keys_have_no_influence", "differ"), ("every_head_attends", "right")],
)
def heads_axis_counted_from_the_front(self, mask):
    return None if mask is None else mask.unsqueeze(1)


@mistake(
    "weigh",
    symptom="Hidden keys keep their weight: the mask changes nothing.",
    cause="The mask is never used, or not passed on to attention_weights.",
    place="Follow the argument `mask` through forward.",
    shows=[
        ("hidden_keys_have_no_influence", "not zero", "*largest weight on a hidden key"),
        ("every_head_attends", "right"),
    ],
)
def mask_ignored(self, scores, mask):
    return torch.softmax(scores, dim=-1)


@mistake(
    "weigh",
    symptom="The mask has the opposite effect: the keys that may be attended get no weight.",
    cause="The mask is read the wrong way round. In this course True means may attend; in nn.MultiheadAttention "
    "True means ignore, which is where the habit comes from.",
    place="Look for a superfluous (or missing) `~` in front of the mask.",
    shows=[("hidden_keys_have_no_influence", "differ", "*weights")],
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


@mistake(
    "weigh",
    only="MultiHeadAttention",
    symptom="The rows of the weights no longer sum to 1 once a mask is given.",
    cause="The mask is applied after the softmax, which had already given the hidden keys their share.",
    place="Give the mask to attention_weights, or hide the scores before the softmax.",
    shows=[("hidden_keys_have_no_influence", "rows do not sum to 1", "*: weights")],
)
def mask_after_the_softmax(self, scores, mask):
    weights = torch.softmax(scores, dim=-1)
    return weights if mask is None else weights.masked_fill(~mask, 0.0)


@mistake(
    "weigh",
    credit=0.5,
    symptom="Ordinary rows are right, but in extreme ones hidden keys still count: where every key is hidden, or a hidden "
    "one has a very large score.",
    cause="Hidden scores are filled with a large but finite number, or it is added to them. In a row without any visible "
    "key the softmax still gives out one unit of weight, to keys that should have none.",
    place="Use attention_weights, or fill with minus infinity and set such rows to 0 after the softmax.",
    shows=[("hidden_keys_have_no_influence", "right"), ("every_head_attends", "right")],
)
def finite_fill(self, scores, mask):
    return torch.softmax(scores if mask is None else scores.masked_fill(~mask, -1e9), dim=-1)


@mistake(
    "weigh",
    credit=0.5,
    symptom="A query that may attend to nothing gets NaN.",
    cause="In a row where every score is minus infinity the softmax divides 0 by 0.",
    place="Use attention_weights, or set the weights of hidden keys to 0 after the softmax.",
    shows=[("empty_rows_get_zero_weights", "NaN", "weights"), ("hidden_keys_have_no_influence", "right")],
)
def nan_on_empty_rows(self, scores, mask):
    return torch.softmax(scores if mask is None else scores.masked_fill(~mask, -math.inf), dim=-1)


@mistake(
    "weigh",
    symptom="The rows of the weights do not sum to 1; sums over another axis do.",
    cause="The softmax runs over the wrong axis: the heads, the queries or the batch. Each query of each head hands "
    "out one unit of attention among the keys, and the keys are the last axis.",
    place="Look at `dim` of the softmax: it should be -1.",
    shows=[("every_head_attends", "rows do not sum to 1", "weights")],
)
def softmax_over_another_axis(self, scores, mask):
    hidden = scores if mask is None else scores.masked_fill(~mask, -math.inf)
    return torch.nan_to_num(torch.softmax(hidden, dim=1))


@also("softmax_over_another_axis", "weigh")
def softmax_over_the_queries(self, scores, mask):
    hidden = scores if mask is None else scores.masked_fill(~mask, -math.inf)
    return torch.nan_to_num(torch.softmax(hidden, dim=2))


@also("softmax_over_another_axis", "weigh")
def softmax_over_the_batch(self, scores, mask):
    hidden = scores if mask is None else scores.masked_fill(~mask, -math.inf)
    return torch.nan_to_num(torch.softmax(hidden, dim=0))


@mistake(
    "normalise",
    symptom="The weights of all heads of a query together sum to 1, where those of each head should.",
    cause="The softmax runs over heads and keys at once. Each head is an attention of its own, and hands out one unit of "
    "attention among the keys, whatever the other heads do.",
    place="Keep the heads as an axis of their own, and take the softmax over the last axis, the keys.",
    shows=[("every_head_attends", "rows do not sum to 1", "weights")],
)
def softmax_over_heads_and_keys(self, scores):
    return torch.softmax(scores.transpose(1, 2).flatten(2), dim=-1).unflatten(2, scores.shape[1::2]).transpose(1, 2)


@also("softmax_over_heads_and_keys")
class softmax_over_heads_and_keys_and_nan_left:
    normalise = softmax_over_heads_and_keys

    def settle(self, weights, mask):
        return weights


# Projections


@mistake(
    "finish",
    symptom="The output is not projected: it holds the heads' results as they are.",
    cause="out_proj is missing or never called. Without it the features of one head never meet those of another "
    "inside this layer; W^O of the paper is the fourth learned matrix.",
    place="Send the merged heads through out_proj at the end of forward.",
    shows=[("every_head_attends", "differ", "output")],
)
def no_output_projection(self, output):
    return output


@also("no_output_projection")
class output_projection_never_made:
    def make_projections(self, embed_dim, shared_dim):
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, shared_dim)
        self.v_proj = nn.Linear(embed_dim, shared_dim)

    def finish(self, output):
        return output


@mistake(
    "project",
    only="MultiHeadAttention",
    symptom="The projections of query, key and value change nothing.",
    cause="The inputs are split into heads as they are. The projections are what is learned about what to ask for, "
    "what to be found by, and what to hand over.",
    place="Send each of the three through its own projection, then split.",
    shows=[("every_head_attends", "differ", "weights")],
)
def no_projections(self, query, key, value):
    return query, key[..., : self.k_proj.out_features], value[..., : self.v_proj.out_features]


@mistake(
    only="MultiHeadAttention",
    symptom="All heads have the same weights.",
    cause="The heads share one projection. Each head needs its own, or they all ask the same question; in one layer "
    "of embed_dim outputs, each head owns head_dim of them.",
    place="Make the projections from embed_dim to embed_dim features, and split their outputs among the heads.",
    shows=[("every_head_attends", "differ", "weights")],
)
class heads_share_a_projection:
    def make_projections(self, embed_dim, shared_dim):
        head_dim = embed_dim // self.num_heads
        self.q_proj = nn.Linear(embed_dim, head_dim)
        self.k_proj = nn.Linear(embed_dim, head_dim)
        self.v_proj = nn.Linear(embed_dim, head_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def cut(self, x, heads):
        return x.unsqueeze(1).expand(-1, heads, -1, -1)


@also("heads_share_a_projection", "cut")
def first_part_of_the_features_for_all_heads(self, x, heads):
    return x[..., : x.shape[-1] // heads].unsqueeze(1).expand(-1, heads, -1, -1)


@mistake(
    "project",
    only="MultiHeadAttention",
    symptom="The module computes with the right parameters in the wrong places.",
    cause="Two projections have changed places: q_proj belongs to the query, k_proj to the key, v_proj to the "
    "value. Weights that were trained elsewhere would then be used for something else.",
    place="Look at the three lines in which the projections are applied.",
    shows=[("parameters_are_as_agreed", "right"), ("every_head_attends", "differ")],
)
def projections_exchanged(self, query, key, value):
    return self.k_proj(query), self.q_proj(key), self.v_proj(value)


@also("projections_exchanged", "project")
def projections_of_key_and_value_exchanged(self, query, key, value):
    return self.q_proj(query), self.v_proj(key), self.k_proj(value)


@also("projections_exchanged", "project")
def projections_of_query_and_value_exchanged(self, query, key, value):
    return self.v_proj(query), self.k_proj(key), self.q_proj(value)


@also("projections_exchanged", "project")
def out_projection_used_for_the_value(self, query, key, value):
    return self.q_proj(query), self.k_proj(key), self.out_proj(value)


@mistake(
    "project",
    only="MultiHeadAttention",
    symptom="One projection does the work of two, and another one is idle or the same parameter.",
    cause="Query, key and value need a projection each. With one for query and key a position cannot look for "
    "anything but what it offers itself, and every score is the same in both directions.",
    place="Look at where the projections are made and applied: three layers, each used once.",
    shows=[("every_head_attends", "differ")],
)
def one_projection_for_two(self, query, key, value):
    return self.q_proj(query), self.q_proj(key), self.v_proj(value)


@also("one_projection_for_two", "project")
def key_projection_for_the_value(self, query, key, value):
    return self.q_proj(query), self.k_proj(key), self.k_proj(value)


@also("one_projection_for_two", "project")
def value_projection_for_the_key(self, query, key, value):
    return self.q_proj(query), self.v_proj(key), self.v_proj(value)


@also("one_projection_for_two", "project")
def one_projection_for_all(self, query, key, value):
    return self.q_proj(query), self.q_proj(key), self.q_proj(value)


@also("one_projection_for_two", "make_projections")
def one_layer_under_two_names(self, embed_dim, shared_dim):
    self.q_proj = self.k_proj = nn.Linear(embed_dim, embed_dim)
    self.v_proj = nn.Linear(embed_dim, shared_dim)
    self.out_proj = nn.Linear(embed_dim, embed_dim)


@also("one_projection_for_two", "make_projections")
def one_layer_under_three_names(self, embed_dim, shared_dim):
    self.q_proj = self.k_proj = self.v_proj = nn.Linear(embed_dim, embed_dim)
    self.out_proj = nn.Linear(embed_dim, embed_dim)


@mistake(
    "project",
    symptom="Query, key and value are all made from the first argument; the other two change nothing.",
    cause="This computes self-attention whatever is passed in. In encoder-decoder attention keys and values come "
    "from elsewhere, and the module must be able to do both.",
    place="Look at the lines with the projections: each takes its own argument.",
    shows=[("every_head_attends", "differ")],
)
def key_and_value_arguments_ignored(self, query, key, value):
    return self.q_proj(query), self.k_proj(query), self.v_proj(query)


@mistake(
    "project",
    only="MultiHeadAttention",
    symptom="The argument `value` changes nothing: what is handed over is made from the key.",
    cause="v_proj is applied to the key. In a transformer both are often the same tensor, which hides it, but what "
    "a position is found by and what it hands over are two arguments.",
    place="Look at the argument of v_proj.",
    shows=[("every_head_attends", "right", "weights"), ("every_head_attends", "differ", "output")],
)
def value_taken_from_the_key(self, query, key, value):
    return self.q_proj(query), self.k_proj(key), self.v_proj(key)


@mistake(
    "combine",
    symptom="The argument `value` changes nothing: the output is mixed from the projected keys.",
    cause="The weights are applied to the key. Keys are there to be compared with; what a query takes home is the "
    "projected value.",
    place="Look at the product of the weights: its other factor should be the value, after v_proj and the split.",
    shows=[("every_head_attends", "right", "weights"), ("every_head_attends", "differ", "output")],
)
def weights_applied_to_the_key(self, weights, query, key, value):
    return weights @ key


@mistake(
    "project",
    only="MultiHeadAttention",
    symptom="What is handed over is made from the query, and it fails when queries and keys differ in number.",
    cause="v_proj is applied to the query. A query collects from others: keys and values belong together, position "
    "by position, and come from the same place.",
    place="Look at the argument of v_proj.",
    shows=[("every_head_attends", "differ")],
)
def value_taken_from_the_query(self, query, key, value):
    return self.q_proj(query), self.k_proj(key), self.v_proj(query)


@mistake(
    "make_projections",
    credit=0.5,
    symptom="Parameters are missing: the projections have no bias.",
    cause="The formula of the paper shows none, but the module of this course has one in each projection, as "
    "PyTorch's has by default. Weights from elsewhere do not fit without it.",
    place="Look for bias=False.",
    shows=[("parameters_are_as_agreed", "differ")],
)
def no_bias(self, embed_dim, shared_dim):
    self.q_proj = nn.Linear(embed_dim, embed_dim, bias=False)
    self.k_proj = nn.Linear(embed_dim, shared_dim, bias=False)
    self.v_proj = nn.Linear(embed_dim, shared_dim, bias=False)
    self.out_proj = nn.Linear(embed_dim, embed_dim, bias=False)


@also("no_bias", "make_projections")
def no_bias_but_in_the_output(self, embed_dim, shared_dim):
    self.q_proj = nn.Linear(embed_dim, embed_dim, bias=False)
    self.k_proj = nn.Linear(embed_dim, shared_dim, bias=False)
    self.v_proj = nn.Linear(embed_dim, shared_dim, bias=False)
    self.out_proj = nn.Linear(embed_dim, embed_dim)


@mistake(
    symptom="The parameters have other names than those agreed.",
    cause="Weights are loaded by name, from other implementations as well. A layer of another name stays as it was "
    "when it was made, so nothing that is computed with it can be compared.",
    place="Call the layers q_proj, k_proj, v_proj and out_proj.",
    shows=[("parameters_are_as_agreed", "differ")],
)
class other_parameter_names:
    def make_projections(self, embed_dim, shared_dim):
        self.w_q = nn.Linear(embed_dim, embed_dim)
        self.w_k = nn.Linear(embed_dim, shared_dim)
        self.w_v = nn.Linear(embed_dim, shared_dim)
        self.w_o = nn.Linear(embed_dim, embed_dim)

    def project(self, query, key, value):
        return self.w_q(query), self.w_k(key), self.w_v(value)

    def finish(self, output):
        return self.w_o(output)


@also("other_parameter_names")
class names_with_a_capital:
    def make_projections(self, embed_dim, shared_dim):
        self.W_q = nn.Linear(embed_dim, embed_dim)
        self.W_k = nn.Linear(embed_dim, shared_dim)
        self.W_v = nn.Linear(embed_dim, shared_dim)
        self.W_o = nn.Linear(embed_dim, embed_dim)

    def project(self, query, key, value):
        return self.W_q(query), self.W_k(key), self.W_v(value)

    def finish(self, output):
        return self.W_o(output)


@also("other_parameter_names")
class names_written_out:
    def make_projections(self, embed_dim, shared_dim):
        self.query_proj = nn.Linear(embed_dim, embed_dim)
        self.key_proj = nn.Linear(embed_dim, shared_dim)
        self.value_proj = nn.Linear(embed_dim, shared_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def project(self, query, key, value):
        return self.query_proj(query), self.key_proj(key), self.value_proj(value)


@also("other_parameter_names")
class name_of_the_last_only:
    def make_projections(self, embed_dim, shared_dim):
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, shared_dim)
        self.v_proj = nn.Linear(embed_dim, shared_dim)
        self.o_proj = nn.Linear(embed_dim, embed_dim)

    def finish(self, output):
        return self.o_proj(output)


# The same on top of the closed boxes, which word their errors in another way


def score_by_the_box(self, query, key):
    return attention_scores(query, key)


def weigh_by_the_box(self, scores, mask):
    return attention_weights(scores, mask)


@also("heads_and_batch_confused_in_the_mask")
class box_given_a_mask_without_heads:
    head_mask, weigh = heads_and_batch_confused_in_the_mask, weigh_by_the_box


@also("heads_and_batch_confused_in_the_mask")
class box_given_a_mask_with_two_axes_in_front:
    head_mask, weigh = mask_gets_two_axes_in_front, weigh_by_the_box


@also("heads_axis_counted_from_the_front")
class box_given_a_mask_with_an_axis_at_place_1:
    head_mask, weigh = heads_axis_counted_from_the_front, weigh_by_the_box


@also("heads_left_behind_the_positions")
class boxes_given_heads_behind_the_positions:
    cut, join = attention_between_the_heads_of_a_position.cut, attention_between_the_heads_of_a_position.join
    score, weigh = score_by_the_box, weigh_by_the_box


@also("heads_never_split")
class boxes_given_no_heads_axis:
    cut, join, head_mask = no_heads_axis_at_all.cut, no_heads_axis_at_all.join, no_heads_axis_at_all.head_mask
    score, weigh = score_by_the_box, weigh_by_the_box


@also("key_and_value_arguments_ignored")
class boxes_given_the_query_three_times:
    project, score, weigh = key_and_value_arguments_ignored, score_by_the_box, weigh_by_the_box


@also("indivisible_groups_accepted")
class boxes_given_indivisible_groups:
    check_groups, score = indivisible_groups_accepted, score_by_the_box


# Groups


@mistake(
    "spread",
    symptom="The query has more heads than key and value, and the product of the two does not fit.",
    cause="Key and value have one head for each group, and were never repeated. Every head of the query needs a "
    "key of its own to be compared with, if only a copy.",
    place="Between the split and the scores: repeat each group for all of its heads.",
    shows=[("every_head_attends", "raise")],
)
def groups_never_repeated(self, x):
    return x


@also("groups_never_repeated")
class boxes_given_unrepeated_groups:
    spread, score = groups_never_repeated, score_by_the_box


@mistake(
    "spread",
    symptom="The heads meet the keys of the wrong groups.",
    cause="The groups were repeated in turn, a b a b a b, where neighbouring heads should share: a a a b b b.",
    place="Look at how key and value are repeated: repeat_interleave keeps copies together, repeat does not.",
    shows=[("every_head_attends", "differ")],
)
def groups_repeated_in_turn(self, x):
    return x.repeat(1, self.num_heads // x.shape[1], 1, 1)


@mistake(
    "spread",
    symptom="The heads do not see the keys in their places: positions are repeated, or query and key do not fit.",
    cause="Key and value are repeated along the positions. It is the groups that are repeated, so that there are as many "
    "heads as the query has, and each of them sees every position once.",
    place="Look at the axis along which key and value are repeated: after the split the groups are axis 1, [batch, groups, "
    "keys, head_dim].",
    shows=[("every_head_attends", "differ")],
)
def groups_repeated_along_time(self, x):
    return x.repeat_interleave(self.num_heads // x.shape[1], dim=2)


@also("groups_repeated_along_time", "spread")
def positions_laid_out_as_heads(self, x):
    batch, groups, time, head_dim = x.shape
    return x.repeat_interleave(self.num_heads // groups, dim=2).reshape(batch, self.num_heads, time, head_dim)


@also("groups_repeated_along_time", "spread")
def positions_repeated_before_the_split(self, x):
    batch, groups, time, head_dim = x.shape
    x = x.transpose(1, 2).repeat(1, self.num_heads // groups, 1, 1)
    return x.reshape(batch, time, self.num_heads, head_dim).transpose(1, 2)


@mistake(
    "shared_heads",
    symptom="k_proj and v_proj have the wrong number of outputs.",
    cause="num_groups was taken for the number of heads in a group. It says how many heads key and value have.",
    place="k_proj and v_proj have num_groups * head_dim outputs.",
    shows=[("parameters_are_as_agreed", "differ")],
)
def groups_taken_for_their_size(self):
    return self.num_heads // self.num_groups


@mistake(
    "shared_heads",
    symptom="k_proj and v_proj have as many outputs as q_proj.",
    cause="Each head has its own key and value, which is plain multi-head attention and saves nothing. Each "
    "group has one key and one value.",
    place="k_proj and v_proj have num_groups * head_dim outputs, and are split into num_groups.",
    shows=[("parameters_are_as_agreed", "differ")],
)
def every_head_its_own_key(self):
    return self.num_heads


@mistake(
    "shared_heads",
    symptom="k_proj and v_proj have the outputs of a single head.",
    cause="All heads share one key and one value. This is multi-query attention, the case of one group.",
    place="k_proj and v_proj have num_groups * head_dim outputs, and are split into num_groups.",
    shows=[("parameters_are_as_agreed", "differ")],
)
def one_group_for_all(self):
    return 1


@mistake(
    symptom="v_proj has as many outputs as q_proj.",
    cause="Only the keys are shared within a group. Keys and values are kept in memory together, and both are shared.",
    place="Make v_proj as narrow as k_proj, and treat the value like the key.",
    shows=[("parameters_are_as_agreed", "differ")],
)
class only_the_key_grouped:
    def make_projections(self, embed_dim, shared_dim):
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, shared_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def spread_both(self, key, value):
        return self.spread(self.cut(key, self.num_groups)), self.cut(value, self.num_heads)


@also("only_the_key_grouped")
class only_the_value_grouped:
    def make_projections(self, embed_dim, shared_dim):
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, shared_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def spread_both(self, key, value):
        return self.cut(key, self.num_heads), self.spread(self.cut(value, self.num_groups))


@mistake(
    symptom="k_proj and v_proj have as many outputs as q_proj, and the heads of a group still share.",
    cause="Keys and values are made for every head and then averaged within each group. The paper does this once, to "
    "the weights, when it converts a trained multi-head model; the layer itself projects to one per group.",
    place="Let k_proj and v_proj have num_groups * head_dim outputs, and repeat what they give.",
    shows=[("parameters_are_as_agreed", "differ")],
)
class keys_averaged_within_groups:
    def make_projections(self, embed_dim, shared_dim):
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def spread_both(self, key, value):
        both = []
        for x in (key, value):
            grouped = self.cut(x, self.num_heads).unflatten(1, (self.num_groups, -1))
            both.append(self.spread(grouped.mean(dim=2)))
        return both


# Dropout


@mistake(
    "drop",
    credit=0.5,
    symptom="Dropout changes nothing in training.",
    cause="The dropout layer is not made, or never called, so the argument `dropout` is without effect.",
    place="Apply it to the weights, between the softmax and the product with the value.",
    shows=[("dropout_acts_on_the_weights_in_training", "is no", "*dropout changes the output")],
)
def dropout_missing(self, weights):
    return weights


@mistake(
    "drop",
    credit=0.5,
    symptom="Dropout is active in evaluation as well.",
    cause="F.dropout drops always, unless it is told whether the module is in training. nn.Dropout asks by itself.",
    place="Make an nn.Dropout in __init__, or pass training=self.training.",
    shows=[("dropout_acts_on_the_weights_in_training", "differ", "*in evaluation*")],
)
def dropout_in_evaluation(self, weights):
    return nn.functional.dropout(weights, self.dropout.p)


@mistake(
    credit=0.5,
    symptom="In training, single features of the output are dropped, not weights.",
    cause="Dropout acts on the output. In this module it acts on the weights, so that a query now and then has to "
    "do without a key; what leaves a sublayer is dropped by the encoder layer (lesson 1).",
    place="Move the dropout between the softmax and the product with the value.",
    shows=[("dropout_acts_on_the_weights_in_training", "is yes", "*dropped one by one")],
)
class dropout_on_the_output:
    def drop(self, weights):
        return weights

    def finish(self, output):
        return self.dropout(self.out_proj(output))


@also("dropout_on_the_output")
class dropout_on_the_merged_heads:
    def drop(self, weights):
        return weights

    def finish(self, output):
        return self.out_proj(self.dropout(output))


@mistake(
    credit=0.5,
    only="MultiHeadAttention",
    symptom="In training the rows of the weights still sum to 1 after dropout: nothing was dropped from them.",
    cause="Dropout acts on the scores. A score of 0 is not a weight of 0: the key keeps its exp(0) = 1.",
    place="Apply dropout after the softmax.",
    shows=[("dropout_acts_on_the_weights_in_training", "differ")],
)
class dropout_on_the_scores:
    def drop(self, weights):
        return weights

    def weigh(self, scores, mask):
        scores = self.dropout(scores)
        if mask is None:
            return torch.softmax(scores, dim=-1)
        return torch.softmax(scores.masked_fill(~mask, -math.inf), dim=-1).masked_fill(~mask, 0.0)


@mistake(
    "answer",
    credit=0.5,
    symptom="In training the weights that come back do not sum to 1: some of them are dropped.",
    cause="The weights are returned after dropout. Who looks at them wants to see where a head attends, not which "
    "weights happened to be dropped this time.",
    place="Keep the weights from before dropout under a name of their own, and return those.",
    shows=[("dropout_acts_on_the_weights_in_training", "rows do not sum to 1", "*in training: weights")],
)
def weights_returned_after_dropout(self, output, weights, dropped, scores):
    return output, dropped


# The answer


@mistake(
    "answer",
    credit=0.5,
    symptom="The weights have no heads axis: they are the mean over the heads.",
    cause="nn.MultiheadAttention averages the weights it returns, unless told otherwise. Here each head keeps its "
    "own matrix, because heads look at different things and a mean shows none of them.",
    place="Return the weights as they are, [batch, heads, queries, keys].",
    shows=[("every_head_attends", "another shape", "shape of weights")],
)
def weights_averaged_over_heads(self, output, weights, dropped, scores):
    return output, weights.mean(dim=1)


@mistake(
    "answer",
    credit=0.5,
    symptom="One tensor comes back where a pair is expected.",
    cause="Only the output is returned. The weights are part of the answer: later lessons look at them.",
    place="Return both: output, weights.",
    shows=[("every_head_attends", "is a tensor", "answer")],
)
def weights_not_returned(self, output, weights, dropped, scores):
    return output


@mistake(
    "answer",
    symptom="Output and weights have changed places.",
    cause="The order is part of the contract: (output, weights), as in nn.MultiheadAttention.",
    place="Look at the return statement.",
    shows=[("every_head_attends", "another shape", "shape of *")],
)
def output_and_weights_exchanged(self, output, weights, dropped, scores):
    return weights, output


@mistake(
    "answer",
    only="MultiHeadAttention",
    symptom="The second thing returned is not a set of weights: its rows do not sum to 1.",
    cause="The scores are returned in place of the weights.",
    place="Look at the return statement, and at which name holds the result of the softmax.",
    shows=[("every_head_attends", "rows do not sum to 1", "weights")],
)
def scores_returned_as_weights(self, output, weights, dropped, scores):
    return output, scores


# Habits


@mistake(
    "cut_features",
    credit=0.5,
    symptom="No gradient reaches one of the inputs, or any: what comes before this there could never be trained.",
    cause="The result was cut from autograd by detach, .data, torch.no_grad, numpy or a new torch.tensor.",
    place="Look for one of these, and compute with the tensors as they come.",
    shows=[
        ("split_passes_gradients", "differ"),
        ("merge_passes_gradients", "differ"),
        ("gradients_reach_everything", "differ"),
    ],
)
def cut_from_autograd(x, num_heads):
    return x.detach().reshape(x.shape[0], x.shape[1], num_heads, x.shape[2] // num_heads)


@also("cut_from_autograd", "cut_features")
def cut_in_numpy(x, num_heads):
    numbers = x.detach().numpy()
    return torch.from_numpy(numbers.reshape(x.shape[0], x.shape[1], num_heads, x.shape[2] // num_heads))


@also("cut_from_autograd", "cut_features")
def cut_in_numpy_without_detach(x, num_heads):
    return torch.from_numpy(x.numpy().reshape(x.shape[0], x.shape[1], num_heads, x.shape[2] // num_heads))


@also("cut_from_autograd", "join_features")
def joined_in_numpy(x):
    return torch.from_numpy(x.detach().numpy().reshape(x.shape[0], x.shape[1], x.shape[2] * x.shape[3]))


@also("cut_from_autograd", "join_features")
def joined_in_numpy_without_detach(x):
    return torch.from_numpy(x.numpy().reshape(x.shape[0], x.shape[1], x.shape[2] * x.shape[3]))


@also("cut_from_autograd", "drop")
def weights_without_autograd(self, weights):
    return self.dropout(weights.detach())


@also("cut_from_autograd", "answer")
def weights_returned_without_autograd(self, output, weights, dropped, scores):
    return output, weights.detach()


@also("cut_from_autograd", "project")
def inputs_without_autograd(self, query, key, value):
    return self.q_proj(query.detach()), self.k_proj(key.detach()), self.v_proj(value.detach())


@mistake(
    "cut_features",
    credit=0.5,
    symptom="What comes out has another dtype than what went in, or torch refuses to multiply the two.",
    cause="A dtype is fixed in the code, or a tensor takes part that does not follow the inputs: float64 loses digits "
    "without a word, and float16 and bfloat16 lose the speed and the memory they are used for.",
    place="Look for .float(), dtype=torch.float32 or a new tensor that does not follow the inputs.",
    shows=[("split_follows_x", "differ"), ("merge_follows_x", "differ"), ("modules_follow_the_inputs", "differ")],
)
def fixed_dtype(x, num_heads):
    return x.float().reshape(x.shape[0], x.shape[1], num_heads, x.shape[2] // num_heads)


@also("fixed_dtype", "weigh")
def weights_as_float32(self, scores, mask):
    if mask is None:
        return torch.softmax(scores, dim=-1, dtype=torch.float32)
    hidden = scores.masked_fill(~mask, -math.inf)
    return torch.softmax(hidden, dim=-1, dtype=torch.float32).masked_fill(~mask, 0.0)


@mistake(
    "weigh",
    credit=0.5,
    symptom="It fails as soon as the inputs live on another device, such as a GPU.",
    cause="A new tensor was made on the default device, whatever the inputs are on.",
    place="Make it with zeros_like, full_like or device=x.device, or do without it.",
    shows=[
        ("split_follows_x", "is no", "made on*"),
        ("merge_follows_x", "is no", "made on*"),
        ("modules_follow_the_inputs", "is no", "made on*"),
    ],
)
def fixed_device(self, scores, mask):
    if mask is None:
        return torch.softmax(scores, dim=-1)
    hidden = torch.where(mask, scores, torch.full(scores.shape, -math.inf, dtype=scores.dtype))
    return torch.softmax(hidden, dim=-1).masked_fill(~mask, 0.0)


@mistake(
    symptom="The numbers may be right, but the code calls a library function that does the whole exercise.",
    cause="This lesson opens that box. Later lessons may use it again, and then you know what is in it.",
    place="Use attention_scores and attention_weights, and split and merge the heads yourself.",
    only="MultiHeadAttention",
    shows=[("modules_call_no_library_attention", "differ")],
)
class library_attention:
    def forward(self, query, key, value, mask=None):
        query, key, value = self.project(query, key, value)
        query, key, value = (self.cut(x, self.num_heads) for x in (query, key, value))
        mask, function = self.head_mask(mask), nn.functional.scaled_dot_product_attention
        eye = torch.eye(key.shape[-2], dtype=key.dtype, device=key.device).expand(*key.shape[:-1], key.shape[-2])
        weights = function(query, key, eye, attn_mask=mask)
        dropped = self.drop(function(query, key, eye, attn_mask=mask))
        return self.finish(self.join(dropped @ value)), weights


@also("library_attention", only="MultiHeadAttention")
class library_attention_with_its_own_dropout:
    def forward(self, query, key, value, mask=None):
        query, key, value = self.project(query, key, value)
        query, key, value = (self.cut(x, self.num_heads) for x in (query, key, value))
        mask, function = self.head_mask(mask), nn.functional.scaled_dot_product_attention
        output = function(query, key, value, attn_mask=mask, dropout_p=self.dropout.p if self.training else 0.0)
        return self.finish(self.join(output)), self.weigh(self.score(query, key), mask)


@also("library_attention", "MultiHeadAttention")
class library_module_wrapped(nn.Module):
    def __init__(self, embed_dim, num_heads, dropout=0.0):
        nn.Module.__init__(self)
        self.attention = nn.MultiheadAttention(embed_dim, num_heads, dropout, batch_first=True)

    def forward(self, query, key, value, mask=None):
        return self.attention(query, key, value, attn_mask=mask)


@also("library_attention", "MultiHeadAttention")
class library_module_wrapped_with_all_weights(nn.Module):
    def __init__(self, embed_dim, num_heads, dropout=0.0):
        nn.Module.__init__(self)
        self.attention = nn.MultiheadAttention(embed_dim, num_heads, dropout=dropout, batch_first=True)

    def forward(self, query, key, value, mask=None):
        if mask is not None:
            mask = (~mask).expand(query.shape[0], query.shape[1], key.shape[1])
            mask = mask.repeat_interleave(self.attention.num_heads, dim=0)
        return self.attention(query, key, value, attn_mask=mask, average_attn_weights=False)


@mistake(
    symptom="The numbers may be right, but the code calls a library function that does the whole exercise.",
    cause="This lesson opens that box. Later lessons may use it again, and then you know what is in it.",
    place="Use attention_scores and attention_weights, and repeat the groups yourself.",
    only="GroupedQueryAttention",
    shows=[("modules_call_no_library_attention", "differ")],
)
class library_grouped_attention:
    def forward(self, query, key, value, mask=None):
        query, key, value = self.project(query, key, value)
        query = self.cut(query, self.num_heads)
        mask, function = self.head_mask(mask), nn.functional.scaled_dot_product_attention
        output = function(
            query,
            self.cut(key, self.num_groups),
            self.cut(value, self.num_groups),
            attn_mask=mask,
            dropout_p=self.dropout.p if self.training else 0.0,
            enable_gqa=True,
        )
        return self.finish(self.join(output)), self.weigh(self.score(query, self.spread_both(key, value)[0]), mask)


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
    only=("MultiHeadAttention", "GroupedQueryAttention"),
    without=(
        "scaled_by_the_second_axis",  # is scaled_by_the_number_of_heads here
        "small_finite_fill_with_clean_rows",  # shows where scores are very low, which is asked in lesson 7 alone
        "one_maximum_for_all_rows",  # shows where rows are far apart
    ),
)


# Find the bug


@mistake(
    "multi_head_bug_input",
    symptom="On your input the broken attention is right.",
    cause="All sequences of your batch have the same mask, so it does no harm to give a sequence the mask of another "
    "one.",
    place="Ask in which order the batch and the heads lie in the scores, and in which order the masks lie.",
    shows=[("bug_input_fits", "right")],
)
def one_mask_for_all_sequences():
    x = torch.arange(96.0).reshape(2, 4, 12).sin()
    return x, x, x, torch.ones(4, 4, dtype=torch.bool).tril()


@also("one_mask_for_all_sequences", "multi_head_bug_input")
def equal_padding_in_all_sequences():
    x = torch.arange(144.0).reshape(3, 4, 12).sin()
    return x, x, x, torch.tensor([True, True, True, False]).expand(3, 1, 4)


@mistake(
    "multi_head_bug_input",
    symptom="On your input the broken attention is right.",
    cause="There is no mask, and without one nothing is mixed up: the projections, the scores and the merge are right.",
    place="Look at the two lines that prepare the mask.",
    shows=[("bug_input_fits", "right")],
)
def no_mask_at_all():
    x = torch.arange(96.0).reshape(2, 4, 12).sin()
    return x, x, x, None


@mistake(
    "multi_head_bug_input",
    symptom="On your input the broken attention is right.",
    cause="There is one sequence only. Its mask is repeated for each head, and that is right.",
    place="Give it at least two sequences, and ask which of them each copy of a mask meets.",
    shows=[("bug_input_fits", "right")],
)
def one_sequence_only():
    x = torch.arange(48.0).reshape(1, 4, 12).sin()
    return x, x, x, torch.tensor([[[True, True, False, False]]])


@mistake(
    "multi_head_bug_input",
    symptom="On your input the broken attention is right.",
    cause="Your masks differ from sequence to sequence, and they are indeed mixed up, but it does not show: all "
    "keys of a sequence are alike, so the mean of the values is the same whichever of them are hidden.",
    place="Keep the masks, and give every position a vector of its own.",
    shows=[("bug_input_fits", "right")],
)
def positions_that_are_all_alike():
    x = torch.ones(2, 4, 12)
    return x, x, x, torch.tensor([[[True, True, True, True]], [[True, True, False, False]]])


@mistake(
    "multi_head_bug_input",
    symptom="What comes back cannot be given to the module.",
    cause="query, key and value are [batch, time, 12] with the same batch, there is one value for each key, and "
    "the mask knows nothing of heads.",
    place="Compare the shapes with the docstring, and return all four: query, key, value, mask (or None).",
    shows=[("bug_input_fits", "differ")],
)
def input_that_does_not_fit():
    x = torch.ones(2, 4, 12)
    return x, x, x, torch.ones(2, 3, 4, 4, dtype=torch.bool)


@also("input_that_does_not_fit", "multi_head_bug_input")
def input_of_another_width():
    x = torch.ones(2, 4, 6)
    return x, x, x, None


@also("input_that_does_not_fit", "multi_head_bug_input")
def input_of_two_batches():
    return torch.ones(2, 4, 12), torch.ones(3, 4, 12), torch.ones(3, 4, 12), None


@also("input_that_does_not_fit", "multi_head_bug_input")
def input_without_a_mask():
    x = torch.ones(2, 4, 12)
    return x, x, x


@also("input_that_does_not_fit", "multi_head_bug_input")
def input_that_is_not_finite():
    x = torch.full((2, 4, 12), math.inf)
    return x, x, x, None
