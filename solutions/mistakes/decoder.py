"""Wrong answers to lesson 2, each with its sentences: what is seen, why it is wrong, where to look."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from autograder.mistakes import Catalogue
from workbench.parts import FeedForward, MultiHeadAttention

catalogue = Catalogue()
step, component, mistake, also = catalogue.step, catalogue.component, catalogue.mistake, catalogue.also


# The right way, a step at a time


@step
def count_keys(queries, keys):
    return queries if keys is None else keys


@step
def visible(queries, keys):
    return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)


@step
def give_mask(mask):
    return mask


@component("count_keys", "visible", "give_mask")
def causal_mask(step, queries, keys=None):
    return step.give_mask(step.visible(queries, step.count_keys(queries, keys)))


@step
def count_keys_of_window(queries, keys):
    return queries if keys is None else keys


@step
def near(queries, keys, window):
    positions = torch.arange(keys)
    distance = positions[keys - queries :].unsqueeze(-1) - positions
    return (distance >= 0) & (distance < window)


@step
def give_window(mask):
    return mask


@component("count_keys_of_window", "near", "give_window")
def sliding_window_mask(step, queries, window, keys=None):
    return step.give_window(step.near(queries, step.count_keys_of_window(queries, keys), window))


@component()
class DecoderLayer(nn.Module):
    def __init__(
        self, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu, cross_attention=True
    ):
        super().__init__()
        self.make_attentions(embed_dim, num_heads, dropout)
        self.make_feed_forward(embed_dim, ff_dim, dropout, activation)
        self.make_norms(embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.choose_form(norm_first)
        self.choose_sublayers(cross_attention)

    def make_attentions(self, embed_dim, num_heads, dropout):
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
        self.cross_attention = MultiHeadAttention(embed_dim, num_heads, dropout)

    def make_feed_forward(self, embed_dim, ff_dim, dropout, activation):
        self.feed_forward = FeedForward(embed_dim, ff_dim, dropout, activation)

    def make_norms(self, embed_dim):
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(embed_dim) for _ in range(3))

    def choose_form(self, norm_first):
        self.norm_first = norm_first

    def choose_sublayers(self, cross_attention):
        if not cross_attention:
            self.cross_attention = self.norm2 = None

    def choose_masks(self, x, memory, self_mask, memory_mask):
        return self_mask, memory_mask

    def attend_self(self, x, given, mask):
        """self_attention; weights of self_attention"""
        return self.self_attention(given, given, given, mask)

    def attend_memory(self, x, given, memory, mask):
        """cross_attention; weights of cross_attention"""
        return self.cross_attention(given, memory, memory, mask)

    def before(self, x, norm):
        return norm(x) if self.norm_first else x

    def after(self, x, given, change, norm):
        total = self.add(x, given, self.drop(change))
        return total if self.norm_first else norm(total)

    def drop(self, change):
        return self.dropout(change)

    def add(self, x, given, change):
        """sum with x"""
        return x + change

    def look_back(self, x, mask):
        given = self.before(x, self.norm1)
        change, weights = self.attend_self(x, given, mask)
        return self.after(x, given, change, self.norm1), weights

    def look_across(self, x, memory, mask):
        given = self.before(x, self.norm2)
        change, weights = self.attend_memory(x, given, memory, mask)
        return self.after(x, given, change, self.norm2), weights

    def without_memory(self, x):
        return x, None

    def think(self, x):
        given = self.before(x, self.norm3)
        return self.after(x, given, self.feed_forward(given), self.norm3)

    def whole(self, x, memory, self_mask, memory_mask):
        x, self_weights = self.look_back(x, self_mask)
        if memory is None:
            x, cross_weights = self.without_memory(x)
        else:
            x, cross_weights = self.look_across(x, memory, memory_mask)
        return self.think(x), self_weights, cross_weights

    def answer(self, x, self_weights, cross_weights):
        return x, self_weights, cross_weights

    def forward(self, x, memory=None, self_mask=None, memory_mask=None):
        masks = self.choose_masks(x, memory, self_mask, memory_mask)
        return self.answer(*self.whole(x, memory, *masks))


@component()
class Decoder(nn.Module):
    def __init__(
        self,
        num_layers,
        embed_dim,
        num_heads,
        ff_dim,
        dropout=0.0,
        norm_first=False,
        activation=F.relu,
        cross_attention=True,
    ):
        super().__init__()
        self.choose_attentions(cross_attention)
        self.make_layers(num_layers, (embed_dim, num_heads, ff_dim), dropout, norm_first, activation)
        self.make_final_norm(embed_dim, norm_first)

    def choose_attentions(self, cross_attention):
        self.cross_attention = cross_attention

    def make_layers(self, num_layers, sizes, dropout, norm_first, activation):
        layers = [self.make_layer(sizes, dropout, norm_first, activation) for _ in range(num_layers)]
        self.layers = nn.ModuleList(layers)

    def make_layer(self, sizes, dropout, norm_first, activation):
        return DecoderLayer(*sizes, dropout, norm_first, activation, self.cross_attention)

    def make_final_norm(self, embed_dim, norm_first):
        if norm_first:
            self.final_norm = nn.LayerNorm(embed_dim)

    def masks_of_layer(self, x, self_mask, memory_mask, index):
        return self_mask, memory_mask

    def memory_of_layer(self, x, memory, index):
        return memory

    def run(self, x, memory, self_mask, memory_mask):
        self_weights, cross_weights = [], []
        for index, layer in enumerate(self.layers):
            masks = self.masks_of_layer(x, self_mask, memory_mask, index)
            x, of_itself, of_the_memory = layer(x, self.memory_of_layer(x, memory, index), *masks)
            self_weights.append(of_itself)
            cross_weights.append(of_the_memory)
        return x, self_weights, cross_weights

    def finish(self, x):
        return self.final_norm(x) if hasattr(self, "final_norm") else x

    def answer_of_all(self, x, self_weights, cross_weights):
        return x, self_weights, cross_weights

    def forward(self, x, memory=None, self_mask=None, memory_mask=None):
        x, self_weights, cross_weights = self.run(x, memory, self_mask, memory_mask)
        return self.answer_of_all(self.finish(x), self_weights, cross_weights)


@component()
def decoder_bug_input(step):
    x = torch.arange(2 * 3 * 8).reshape(2, 3, 8) % 7 - 3.0
    return x, torch.arange(2 * 3 * 8).reshape(2, 3, 8) % 5 - 2.0, None, None


# The causal mask


@mistake(
    "visible",
    symptom="The diagonal is False: no query sees itself, and the first one sees nothing at all.",
    cause="The triangle is one step too small. The vector at a position belongs to a token that is known already; "
    "what has to be hidden are the positions behind it.",
    place="Look at the comparison (< for <=), or at the second argument of tril or triu.",
    shows=[("causal_mask_hides_the_future", "lower", "*: mask")],
)
def diagonal_hidden(queries, keys):
    return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries - 1)


@mistake(
    "visible",
    symptom="Every query sees one key of the future.",
    cause="The triangle is one step too large. The key behind a position is the very token that it should "
    "predict, and training would learn to copy it.",
    place="Look at the second argument of tril or triu, or for a + 1 in the comparison.",
    shows=[("causal_mask_hides_the_future", "higher", "*: mask")],
)
def one_future_key_visible(queries, keys):
    return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries + 1)


@mistake(
    "visible",
    symptom="Queries see themselves and the future, and their past is hidden.",
    cause="The triangle lies on the wrong side of the diagonal. Rows are queries and columns are keys, so what came "
    "before a query stands to the left of the diagonal, which is below it: tril.",
    place="Look for triu, or a >= between the wrong sides.",
    shows=[("causal_mask_hides_the_future", "transposed", "*: mask")],
)
def triangle_reversed(queries, keys):
    return torch.ones(queries, keys, dtype=torch.bool).triu(keys - queries)


@also("triangle_reversed", "visible")
def positions_compared_the_other_way(queries, keys):
    return torch.arange(keys) >= torch.arange(queries).unsqueeze(-1)


@mistake(
    "give_mask",
    symptom="The mask is True exactly where it should be False.",
    cause="The mask says what is hidden. In this course, as in F.scaled_dot_product_attention, True means may "
    "attend; nn.MultiheadAttention and nn.Transformer have it the other way round.",
    place="Look for a `~`, or for triu with a diagonal of 1, and turn it round.",
    shows=[
        ("causal_mask_hides_the_future", "differ", "*: mask"),
        ("window_holds_as_many_keys_as_it_says", "differ", "*: mask"),
    ],
)
def mask_inverted(mask):
    return ~mask


@also("mask_inverted", "visible")
def hidden_part_of_a_square(queries, keys):
    return torch.ones(queries, keys, dtype=torch.bool).triu(1)


@also("mask_inverted", "give_window")
def window_inverted(mask):
    return ~mask


@mistake(
    "visible",
    symptom="With more keys than queries, the last queries do not see the last keys.",
    cause="The triangle sits in the upper left corner, as if the queries were the first positions. They are the "
    "last ones: the earlier positions have been computed before, and only their keys are still here.",
    place="Move the diagonal by keys - queries.",
    shows=[
        ("causal_mask_takes_the_last_queries", "differ", "*: mask"),
        ("window_takes_the_last_queries", "differ", "*: mask"),
    ],
)
def aligned_at_the_top_left(queries, keys):
    return torch.ones(queries, keys, dtype=torch.bool).tril()


@also("aligned_at_the_top_left", "near")
def window_aligned_at_the_top_left(queries, keys, window):
    distance = torch.arange(queries).unsqueeze(-1) - torch.arange(keys)
    return (distance >= 0) & (distance < window)


@mistake(
    "visible",
    symptom="With more keys than queries, every query sees all keys, or the diagonal lies elsewhere.",
    cause="The diagonal is moved by the wrong number, or in the wrong direction. Query 0 stands at position keys - "
    "queries, and sees that many keys besides its own.",
    place="Look at the number by which the diagonal is moved.",
    shows=[("causal_mask_hides_the_future", "right"), ("causal_mask_takes_the_last_queries", "differ", "*: mask")],
)
def diagonal_moved_by_keys(queries, keys):
    return torch.ones(queries, keys, dtype=torch.bool).tril(0 if keys == queries else keys)


@also("diagonal_moved_by_keys", "visible")
def diagonal_moved_the_other_way(queries, keys):
    return torch.ones(queries, keys, dtype=torch.bool).tril(queries - keys)


@mistake(
    "count_keys",
    symptom="The mask is square even with more keys than queries.",
    cause="The argument keys is not used. With cached keys there are more of them than queries.",
    place="Look at the sizes with which the mask is made.",
    shows=[
        ("causal_mask_takes_the_last_queries", "differ", "*: shape"),
        ("window_takes_the_last_queries", "differ", "*: shape"),
    ],
)
def keys_ignored(queries, keys):
    return queries


@also("keys_ignored", "count_keys_of_window")
def keys_of_window_ignored(queries, keys):
    return queries


@mistake(
    "visible",
    symptom="The shape is [keys, queries].",
    cause="The axes are exchanged. Rows belong to queries and columns to keys, as in the scores.",
    place="Look at the order of the two sizes.",
    shows=[("causal_mask_takes_the_last_queries", "differ", "*: shape")],
)
def axes_exchanged(queries, keys):
    return torch.ones(keys, queries, dtype=torch.bool).tril()


@also("axes_exchanged", "visible")
def axes_exchanged_and_moved(queries, keys):
    return torch.ones(keys, queries, dtype=torch.bool).tril(queries - keys)


@also("axes_exchanged", "visible")
def transposed_at_the_end(queries, keys):
    return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries).T


@mistake(
    "visible",
    symptom="Every entry is True: nothing is hidden.",
    cause="No triangle was cut out of the mask, so every query sees the whole future.",
    place="Look for torch.tril; a tensor's own .tril() returns a new tensor, and does not change the old one.",
    shows=[("causal_mask_hides_the_future", "constant", "*: mask")],
)
def nothing_hidden(queries, keys):
    return torch.ones(queries, keys, dtype=torch.bool)


@mistake(
    "give_mask",
    credit=0.5,
    symptom="The entries are numbers, where True and False were asked for.",
    cause="The mask has the dtype of torch.ones or arange. A boolean mask can be inverted by ~ and combined by &, and "
    "cannot be mistaken for something that is added to scores.",
    place="Make it with dtype=torch.bool, or call .bool() at the end.",
    shows=[
        ("causal_mask_hides_the_future", "differ", "*: dtype"),
        ("causal_mask_hides_the_future", "right", "*: mask"),
        ("window_holds_as_many_keys_as_it_says", "differ", "*: dtype"),
        ("window_holds_as_many_keys_as_it_says", "right", "*: mask"),
    ],
)
def not_boolean(mask):
    return mask.float()


@also("not_boolean", "give_mask")
def long_integers(mask):
    return mask.long()


@also("not_boolean", "give_mask")
def short_integers(mask):
    return mask.int()


@also("not_boolean", "give_window")
def window_of_floats(mask):
    return mask.float()


@also("not_boolean", "give_window")
def window_of_long_integers(mask):
    return mask.long()


@also("not_boolean", "give_window")
def window_of_short_integers(mask):
    return mask.int()


@mistake(
    "give_mask",
    symptom="The mask holds 0 and minus infinity, or other large negative numbers.",
    cause="This is an additive mask, which is added to the scores. The masks of this course are boolean; the "
    "attention itself turns them into minus infinity.",
    place="Return the boolean tensor, before masked_fill or where.",
    shows=[
        ("causal_mask_hides_the_future", "differ", "*: dtype"),
        ("causal_mask_hides_the_future", "lower", "*: mask"),
        ("window_holds_as_many_keys_as_it_says", "differ", "*: dtype"),
    ],
)
def additive_mask(mask):
    return torch.zeros(mask.shape).masked_fill(~mask, -math.inf)


@also("additive_mask", "give_mask")
def large_negative_numbers(mask):
    return torch.zeros(mask.shape).masked_fill(~mask, -1e9)


@also("additive_mask", "give_window")
def additive_window(mask):
    return torch.zeros(mask.shape).masked_fill(~mask, -math.inf)


@mistake(
    "give_mask",
    credit=0.5,
    symptom="The mask has more axes than [queries, keys].",
    cause="Axes for batch or heads were added. The mask is the same for all of them, and who uses it adds the axes "
    "that are needed; the shape that was agreed on is [queries, keys].",
    place="Look for unsqueeze, None in an index, or a size of 1 in front.",
    shows=[
        ("causal_mask_hides_the_future", "differ", "*: shape"),
        ("window_holds_as_many_keys_as_it_says", "differ", "*: shape"),
    ],
)
def extra_axes(mask):
    return mask.unsqueeze(0)


@also("extra_axes", "give_mask")
def two_extra_axes(mask):
    return mask[None, None]


@also("extra_axes", "give_window")
def window_with_an_extra_axis(mask):
    return mask.unsqueeze(0)


@also("extra_axes", "give_window")
def window_with_two_extra_axes(mask):
    return mask[None, None]


# The sliding window


@mistake(
    "near",
    symptom="Every query sees one key more than the window holds.",
    cause="The window was counted without the query itself. A window of 3 is the query and the two keys before it, "
    "so the largest distance is window - 1.",
    place="Look at the comparison with window: < and not <=, or at the diagonal of triu.",
    shows=[("window_holds_as_many_keys_as_it_says", "higher", "*: mask")],
)
def window_too_long(queries, keys, window):
    positions = torch.arange(keys)
    distance = positions[keys - queries :].unsqueeze(-1) - positions
    return (distance >= 0) & (distance <= window)


@mistake(
    "near",
    symptom="Every query sees one key less than the window holds.",
    cause="The query itself is missing, or the window ends one key too early. A window of 3 is the query and the "
    "two keys before it.",
    place="Look at both comparisons: distances from 0 to window - 1 are allowed.",
    shows=[("window_holds_as_many_keys_as_it_says", "lower", "*: mask")],
)
def window_too_short(queries, keys, window):
    positions = torch.arange(keys)
    distance = positions[keys - queries :].unsqueeze(-1) - positions
    return (distance >= 0) & (distance < window - 1)


@also("window_too_short", "near")
def window_without_the_query(queries, keys, window):
    positions = torch.arange(keys)
    distance = positions[keys - queries :].unsqueeze(-1) - positions
    return (distance > 0) & (distance < window)


@mistake(
    "near",
    symptom="Queries see keys of the future.",
    cause="The window is open on both sides, as in an encoder. A decoder's window reaches into the past only.",
    place="Look for an absolute value; combine the window with the causal mask by &.",
    shows=[("window_holds_as_many_keys_as_it_says", "differ", "*: mask")],
)
def window_on_both_sides(queries, keys, window):
    positions = torch.arange(keys)
    return (positions[keys - queries :].unsqueeze(-1) - positions).abs() < window


@also("window_on_both_sides", "near")
def window_centred_on_the_query(queries, keys, window):
    positions = torch.arange(keys)
    return (positions[keys - queries :].unsqueeze(-1) - positions).abs() <= window // 2


@also("window_on_both_sides", "near")
def only_the_distant_past_hidden(queries, keys, window):
    positions = torch.arange(keys)
    return positions[keys - queries :].unsqueeze(-1) - positions < window


@mistake(
    "near",
    symptom="The window has no effect: every query sees its whole past.",
    cause="Only the future is hidden. The keys that lie window positions back, or more, have to be hidden as well.",
    place="Look at where window is used.",
    shows=[("window_holds_as_many_keys_as_it_says", "higher", "*: mask")],
)
def window_unused(queries, keys, window):
    return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)


@mistake(
    "near",
    symptom="The window does not move with the query: the keys come in fixed blocks.",
    cause="The sequence was cut into blocks of the window's size. The first query of a block then sees nothing "
    "before it; a sliding window moves on by one key with every query.",
    place="Look for a division of the positions by window; compare their difference with it instead.",
    shows=[("window_holds_as_many_keys_as_it_says", "differ", "*: mask")],
)
def fixed_blocks(queries, keys, window):
    positions = torch.arange(keys)
    of_queries = positions[keys - queries :].unsqueeze(-1)
    return (of_queries // window == positions // window) & (positions <= of_queries)


@mistake(
    "near",
    symptom="What lies inside the window is hidden, and the distant past is visible.",
    cause="The comparison with window is the wrong way round. The keys that are near may be attended, at a distance "
    "less than window.",
    place="Look at the comparison with window, or for tril in place of triu.",
    shows=[("window_holds_as_many_keys_as_it_says", "differ", "*: mask")],
)
def distant_past_only(queries, keys, window):
    positions = torch.arange(keys)
    return positions[keys - queries :].unsqueeze(-1) - positions >= window


@also("window_too_long", "near")
def window_too_long_and_cut_unshifted(queries, keys, window):
    return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries).triu(-window)


@mistake(
    "near",
    symptom="With more keys than queries, the queries see more of the past than the window holds.",
    cause="The future is hidden rightly, but the far end of the window is cut as if the queries were the first "
    "positions. They are the last ones, at the near end and at the far end.",
    place="Look at the diagonal of triu, or at the positions of the queries: they begin at keys - queries.",
)
def far_end_unshifted(queries, keys, window):
    return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries).triu(1 - window)


# Where query, key and value come from


@mistake(
    "attend_memory",
    symptom="With a target as long as the source nothing of the memory's content arrives; with other lengths it fails.",
    cause="The value is taken from the decoder. In cross-attention only the query comes from the decoder: key and "
    "value are two projections of the memory, and what a query finds under a key is that position's value.",
    place="Look at the third argument of cross_attention: it is memory.",
    shows=[("decoder_layer_in_post_norm_form", "raise"), ("decoder_layer_with_equal_lengths", "differ", "*: x")],
)
def value_from_the_decoder(self, x, given, memory, mask):
    return self.cross_attention(given, memory, given, mask)


@also("value_from_the_decoder", "attend_memory")
def value_from_the_decoder_not_normed(self, x, given, memory, mask):
    return self.cross_attention(given, memory, x, mask)


@mistake(
    "attend_memory",
    symptom="The cross weights compare the target with itself; where target and source differ in length it fails.",
    cause="The key is taken from the decoder. The decoder's query has to be compared with the positions of the "
    "source, so the key comes from the memory, as the value does.",
    place="Look at the second argument of cross_attention: it is memory.",
    shows=[
        ("decoder_layer_in_post_norm_form", "raise"),
        ("decoder_layer_with_equal_lengths", "differ", "*: cross_weights"),
    ],
)
def key_from_the_decoder(self, x, given, memory, mask):
    return self.cross_attention(given, given, memory, mask)


@also("key_from_the_decoder", "attend_memory")
def key_from_the_decoder_not_normed(self, x, given, memory, mask):
    return self.cross_attention(given, x, memory, mask)


@mistake(
    "attend_memory",
    symptom="The memory has no influence: change it, and nothing moves.",
    cause="The cross-attention is a second self-attention, with query, key and value from the decoder. It is the "
    "only place where the source can reach the target.",
    place="Look at the arguments of cross_attention: the query is x, key and value are memory.",
)
def memory_not_used(self, x, given, memory, mask):
    return self.cross_attention(given, given, given)


@also("memory_not_used", "attend_memory")
def memory_not_used_with_its_mask(self, x, given, memory, mask):
    return self.cross_attention(given, given, given, mask)


@mistake(
    "attend_memory",
    symptom="The cross weights have one row per position of the source, where they need one per position of the "
    "target.",
    cause="Query and memory are exchanged: the encoder asks and the decoder answers. The decoder is the one that "
    "wants to know something, so the query is its own.",
    place="Look at the first argument of cross_attention: it is x, or its norm.",
    shows=[("decoder_layer_with_equal_lengths", "differ", "*: cross_weights")],
)
def query_and_memory_exchanged(self, x, given, memory, mask):
    return self.cross_attention(memory, given, given, mask)


@also("query_and_memory_exchanged", "attend_memory")
def query_from_the_memory(self, x, given, memory, mask):
    return self.cross_attention(memory, memory, memory, mask)


@mistake(
    "attend_memory",
    symptom="In the pre-norm form the memory has been normalised once more.",
    cause="The memory is used as it is: it comes out of the encoder's final norm. norm2 belongs to the decoder's "
    "own vectors.",
    place="Look at the second and third argument of cross_attention.",
    shows=[("decoder_layer_in_pre_norm_form", "differ", "cross_weights")],
)
def memory_normed_too(self, x, given, memory, mask):
    memory = self.norm2(memory) if self.norm_first else memory
    return self.cross_attention(given, memory, memory, mask)


@also("memory_normed_too", "attend_memory")
def memory_normed_in_both_forms(self, x, given, memory, mask):
    memory = self.norm2(memory)
    return self.cross_attention(given, memory, memory, mask)


@mistake(
    "attend_self",
    symptom="In the pre-norm form self-attention mixes, or compares with, numbers that are not normalised.",
    cause="Only the query went through the norm; key or value are the plain x. In self-attention all three are "
    "the same tensor, and in pre-norm that is norm1(x).",
    place="Look at the three arguments of self_attention.",
    shows=[("decoder_layer_in_pre_norm_form", "differ", "x")],
)
def only_the_query_normed(self, x, given, mask):
    return self.self_attention(given, x, x, mask)


@also("only_the_query_normed", "attend_self")
def value_not_normed(self, x, given, mask):
    return self.self_attention(given, given, x, mask)


@mistake(
    "attend_memory",
    symptom="In the pre-norm form the cross-attention asks with numbers that are not normalised.",
    cause="The query of cross-attention is the plain x. In pre-norm every sublayer gets its input normalised: "
    "here by norm2.",
    place="Look at the first argument of cross_attention.",
    shows=[("decoder_layer_in_pre_norm_form", "differ", "cross_weights")],
)
def query_not_normed(self, x, given, memory, mask):
    return self.cross_attention(x, memory, memory, mask)


@mistake(
    "attend_memory",
    symptom="Both attentions work with the same parameters.",
    cause="self_attention serves for the memory as well. The two ask different things of different vectors, and "
    "have projections of their own.",
    place="Look at which attention is called with the memory, and at how the two are made.",
)
def one_attention_for_both(self, x, given, memory, mask):
    return self.self_attention(given, memory, memory, mask)


@also("one_attention_for_both", "make_attentions")
def one_attention_under_two_names(self, embed_dim, num_heads, dropout):
    self.self_attention = self.cross_attention = MultiHeadAttention(embed_dim, num_heads, dropout)


@also("one_attention_for_both")
class only_one_attention:
    def make_attentions(self, embed_dim, num_heads, dropout):
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout)

    def attend_memory(self, x, given, memory, mask):
        return self.self_attention(given, memory, memory, mask)


@mistake(
    symptom="The weights of self_attention act where those of cross_attention should, and the other way round.",
    cause="The two attentions are exchanged. Training from scratch would not notice, loaded weights do.",
    place="Look at which attention is called first, and with what.",
    shows=[("decoder_layer_in_post_norm_form", "differ", "self_weights")],
)
class attentions_exchanged:
    def attend_self(self, x, given, mask):
        return self.cross_attention(given, given, given, mask)

    def attend_memory(self, x, given, memory, mask):
        return self.self_attention(given, memory, memory, mask)


# Masks


@mistake(
    "choose_masks",
    symptom="Positions see the future although self_mask hides it.",
    cause="self_mask is not handed to the self-attention. In training the decoder would read the tokens that it "
    "should predict.",
    place="Follow the argument self_mask: it is the fourth one of self_attention, and the third one of each layer.",
    shows=[
        ("decoder_layer_obeys_the_self_mask", "larger", "*largest weight on a hidden key in self_weights"),
        ("decoder_obeys_the_masks", "larger", "*largest weight on a hidden key in self_weights*"),
    ],
)
def self_mask_ignored(self, x, memory, self_mask, memory_mask):
    return None, memory_mask


@also("self_mask_ignored", "masks_of_layer")
def no_layer_gets_the_self_mask(self, x, self_mask, memory_mask, index):
    return None, memory_mask


@also("self_mask_ignored", "masks_of_layer")
def first_layer_only_gets_the_self_mask(self, x, self_mask, memory_mask, index):
    return (self_mask if index == 0 else None), memory_mask


@mistake(
    "choose_masks",
    symptom="Padding of the source has weight although memory_mask hides it.",
    cause="memory_mask is not handed to the cross-attention. A source would then be translated differently "
    "depending on how much padding stands behind it.",
    place="Follow the argument memory_mask: it is the fourth one of cross_attention, and the fourth one of each layer.",
    shows=[
        ("decoder_layer_obeys_the_memory_mask", "larger", "*largest weight on a hidden key in cross_weights"),
        ("decoder_obeys_the_masks", "larger", "*largest weight on a hidden key in cross_weights*"),
    ],
)
def source_padding_ignored(self, x, memory, self_mask, memory_mask):
    return self_mask, None


@also("source_padding_ignored", "masks_of_layer")
def no_layer_gets_the_memory_mask(self, x, self_mask, memory_mask, index):
    return self_mask, None


@also("source_padding_ignored", "masks_of_layer")
def first_layer_only_gets_the_memory_mask(self, x, self_mask, memory_mask, index):
    return self_mask, (memory_mask if index == 0 else None)


@mistake(
    "choose_masks",
    symptom="Neither mask has any effect.",
    cause="No mask is handed on. self_mask belongs to self-attention and memory_mask to cross-attention.",
    place="Follow both arguments through your code.",
    shows=[
        ("decoder_layer_obeys_the_self_mask", "larger", "*largest weight on a hidden key in self_weights"),
        ("decoder_layer_obeys_the_memory_mask", "larger", "*largest weight on a hidden key in cross_weights"),
        ("decoder_obeys_the_masks", "larger", "*largest weight on a hidden key in *"),
    ],
)
def masks_ignored(self, x, memory, self_mask, memory_mask):
    return None, None


@also("masks_ignored", "masks_of_layer")
def no_layer_gets_a_mask(self, x, self_mask, memory_mask, index):
    return None, None


@mistake(
    "choose_masks",
    symptom="The cross-attention hides the positions of the source behind the query's own number, or it fails where target "
    "and source differ in length.",
    cause="The target's mask is applied to the memory. Position 3 of the source is not later than position 2 of the "
    "target: the source has been read completely, and only its padding is hidden.",
    place="Look at the mask that cross_attention gets: memory_mask, not self_mask.",
)
def target_mask_on_the_memory(self, x, memory, self_mask, memory_mask):
    return self_mask, self_mask


@also("target_mask_on_the_memory", "choose_masks")
def target_mask_by_default(self, x, memory, self_mask, memory_mask):
    return self_mask, self_mask if memory_mask is None else memory_mask


@also("target_mask_on_the_memory", "choose_masks")
def causal_mask_on_the_memory(self, x, memory, self_mask, memory_mask):
    if memory is None:
        return self_mask, None
    causal = torch.ones(x.shape[1], memory.shape[1], dtype=torch.bool, device=x.device).tril()
    return self_mask, causal if memory_mask is None else causal & memory_mask


@also("target_mask_on_the_memory", "masks_of_layer")
def target_mask_on_the_memory_for_the_layers(self, x, self_mask, memory_mask, index):
    return self_mask, self_mask


@mistake(
    "choose_masks",
    symptom="Each of the two masks acts on the other attention.",
    cause="The masks are exchanged. self_mask says what the target may see of itself, memory_mask what it may see "
    "of the source; in calls by position self_mask comes first.",
    place="Look at the order in which the masks are handed on.",
)
def masks_exchanged(self, x, memory, self_mask, memory_mask):
    return memory_mask, self_mask


@also("masks_exchanged", "masks_of_layer")
def masks_exchanged_for_the_layers(self, x, self_mask, memory_mask, index):
    return memory_mask, self_mask


@mistake(
    "choose_masks",
    symptom="Keys that may be attended get no weight, and hidden ones get all of it.",
    cause="A mask is inverted on its way. MultiHeadAttention of this course takes True as may attend, as the layer "
    "does; it is nn.MultiheadAttention in which True means ignore.",
    place="Look for a `~` or `== 0` in front of a mask, and take it out.",
)
def a_mask_inverted(self, x, memory, self_mask, memory_mask):
    return tuple(None if mask is None else ~mask for mask in (self_mask, memory_mask))


@also("a_mask_inverted", "choose_masks")
def self_mask_inverted(self, x, memory, self_mask, memory_mask):
    return (None if self_mask is None else ~self_mask), memory_mask


@also("a_mask_inverted", "choose_masks")
def memory_mask_inverted(self, x, memory, self_mask, memory_mask):
    return self_mask, None if memory_mask is None else ~memory_mask


@also("a_mask_inverted", "masks_of_layer")
def masks_inverted_for_the_layers(self, x, self_mask, memory_mask, index):
    return tuple(None if mask is None else ~mask for mask in (self_mask, memory_mask))


@mistake(
    "choose_masks",
    symptom="The future is hidden even when no mask is given.",
    cause="The decoder adds a causal mask of its own. In this course the caller decides: self_mask=None means that "
    "everything may be seen, and a mask that is given is used as it is.",
    place="Look for tril or causal_mask inside the class, and take it out.",
    shows=[
        ("decoder_layer_adds_no_mask", "differ", "positions that move if the last position of x is changed"),
        ("decoder_adds_no_mask", "differ", "no mask*"),
    ],
)
def mask_of_its_own(self, x, memory, self_mask, memory_mask):
    causal = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
    return causal if self_mask is None else causal & self_mask, memory_mask


@also("mask_of_its_own", "choose_masks")
def mask_of_its_own_by_default(self, x, memory, self_mask, memory_mask):
    causal = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
    return causal if self_mask is None else self_mask, memory_mask


@also("mask_of_its_own", "choose_masks")
def mask_of_its_own_instead(self, x, memory, self_mask, memory_mask):
    return torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril(), memory_mask


@also("mask_of_its_own", "masks_of_layer")
def mask_of_its_own_by_default_for_the_layers(self, x, self_mask, memory_mask, index):
    causal = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
    return causal if self_mask is None else self_mask, memory_mask


# Without a memory


@mistake(
    "whole",
    credit=0.5,
    symptom="Without a memory it fails.",
    cause="The cross-attention is called even when there is no memory. A decoder alone (lesson 4) leaves that "
    "sublayer out: with its residual, its norm and its weights, which are None.",
    place="Put the cross-attention under `if memory is not None`.",
    shows=[("decoder_layer_without_memory", "raise"), ("decoder_without_memory", "raise")],
)
def needs_a_memory(self, x, memory, self_mask, memory_mask):
    x, self_weights = self.look_back(x, self_mask)
    x, cross_weights = self.look_across(x, memory, memory_mask)
    return self.think(x), self_weights, cross_weights


@also("needs_a_memory", "without_memory")
def memory_demanded(self, x):
    raise ValueError("memory is missing")


@also("needs_a_memory", "DecoderLayer")
class NeverWithoutMemory(nn.Module):
    def __init__(
        self, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu, cross_attention=True
    ):
        super().__init__()
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
        self.feed_forward = FeedForward(embed_dim, ff_dim, dropout, activation)
        self.norm1, self.norm3 = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
        if cross_attention:
            self.cross_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
            self.norm2 = nn.LayerNorm(embed_dim)
        self.dropout, self.norm_first = nn.Dropout(dropout), norm_first

    def forward(self, x, memory=None, self_mask=None, memory_mask=None):
        batch, keys, embed_dim = memory.shape
        if self.norm_first:
            y = self.norm1(x)
            y, self_weights = self.self_attention(y, y, y, self_mask)
            x = x + self.dropout(y)
            y, cross_weights = self.cross_attention(self.norm2(x), memory, memory, memory_mask)
            x = x + self.dropout(y)
            return x + self.dropout(self.feed_forward(self.norm3(x))), self_weights, cross_weights
        y, self_weights = self.self_attention(x, x, x, self_mask)
        x = self.norm1(x + self.dropout(y))
        y, cross_weights = self.cross_attention(x, memory, memory, memory_mask)
        x = self.norm2(x + self.dropout(y))
        return self.norm3(x + self.dropout(self.feed_forward(x))), self_weights, cross_weights


@mistake(
    "without_memory",
    symptom="Without a memory the output is not that of self-attention and feed-forward alone.",
    cause="Something is put in the place of the cross-attention: x as its own memory, or norm2 without it. "
    "The whole sublayer is skipped, with residual and norm.",
    place="Look at what runs when memory is None: nothing of the second sublayer should.",
    shows=[("decoder_layer_without_memory", "differ", "*: x")],
)
def second_sublayer_not_skipped(self, x):
    return self.look_across(x, x, None)


@also("second_sublayer_not_skipped", "without_memory")
def second_norm_not_skipped(self, x):
    return self.norm2(x), None


@also("second_sublayer_not_skipped", "without_memory")
def second_norm_not_skipped_in_post_norm(self, x):
    return (x if self.norm_first else self.norm2(x)), None


@also("second_sublayer_not_skipped", "without_memory")
def residual_doubled(self, x):
    return (x + x if self.norm_first else self.norm2(x + x)), None


@mistake(
    "without_memory",
    credit=0.5,
    symptom="Without a memory the third thing that comes back is not None.",
    cause="There were no cross weights, and None says so. Zeros, or the self weights once more, would be taken "
    "for an attention that took place.",
    place="Set cross_weights to None before the condition.",
    shows=[("decoder_layer_without_memory", "differ"), ("decoder_without_memory", "differ")],
)
def cross_weights_invented(self, x):
    return x, x.new_zeros(len(x), x.shape[1], x.shape[1])


@also("cross_weights_invented", "answer")
def self_weights_twice_without_memory(self, x, self_weights, cross_weights):
    return x, self_weights, self_weights if cross_weights is None else cross_weights


@also("cross_weights_invented", "answer")
def two_values_without_memory(self, x, self_weights, cross_weights):
    return (x, self_weights) if cross_weights is None else (x, self_weights, cross_weights)


@also("cross_weights_invented", "answer_of_all")
def one_none_for_all_layers(self, x, self_weights, cross_weights):
    return x, self_weights, None if cross_weights[0] is None else cross_weights


@also("cross_weights_invented", "answer_of_all")
def no_entries_without_memory(self, x, self_weights, cross_weights):
    return x, self_weights, [weights for weights in cross_weights if weights is not None]


@also("cross_weights_invented", "answer_of_all")
def two_lists_without_memory(self, x, self_weights, cross_weights):
    return (x, self_weights) if cross_weights[0] is None else (x, self_weights, cross_weights)


# Made without cross-attention


@mistake(
    "choose_sublayers",
    credit=0.5,
    symptom="With cross_attention=False, cross_attention or norm2 is made all the same.",
    cause="The argument is not used where the parts are made. In a model without an encoder their parameters are idle: "
    "they are stored, counted and handed to the optimizer, and a checkpoint of GPT-2 has no numbers for them.",
    place="Make cross_attention and norm2 in __init__ under `if cross_attention:`.",
    shows=[
        ("decoder_layer_without_cross_attention", "differ", "*superfluous parameters"),
        ("decoder_layer_without_cross_attention", "right", "*missing parameters"),
        ("decoder_layer_in_post_norm_form", "right"),
    ],
)
def cross_attention_always_made(self, cross_attention):
    pass


@also("cross_attention_always_made", "choose_sublayers")
def second_norm_always_made(self, cross_attention):
    if not cross_attention:
        self.cross_attention = None


@also("cross_attention_always_made", "choose_sublayers")
def only_the_second_norm_left_out(self, cross_attention):
    if not cross_attention:
        self.norm2 = None


@mistake(
    "choose_sublayers",
    symptom="cross_attention=False makes the layer with cross-attention, and True without.",
    cause="The condition is the wrong way round. True, the default, is the layer of the paper, with all three sublayers.",
    place="Look for a `not` in front of cross_attention in __init__, or for the two branches of an if.",
    shows=[("decoder_layer_without_cross_attention", "differ", "*superfluous parameters")],
)
def choice_of_cross_attention_inverted(self, cross_attention):
    if cross_attention:
        self.cross_attention = self.norm2 = None


@also("choice_of_cross_attention_inverted", "choose_attentions")
def choice_of_cross_attention_inverted_for_the_layers(self, cross_attention):
    self.cross_attention = not cross_attention


@mistake(
    credit=0.5,
    symptom="With cross_attention=False the layer has no norm3.",
    cause="The norms were numbered anew, or the wrong one was left out. norm2 belongs to cross-attention and goes with "
    "it; norm3 belongs to the feed-forward network in every layer, so that a name means one thing.",
    place="Look at which norms are made for cross_attention=False: norm1 and norm3.",
    shows=[
        ("decoder_layer_without_cross_attention", "differ", "*missing parameters"),
        ("decoder_layer_in_post_norm_form", "right"),
    ],
)
class norms_numbered_anew:
    def choose_sublayers(self, cross_attention):
        self.last = "norm3" if cross_attention else "norm2"
        if not cross_attention:
            self.cross_attention = self.norm3 = None

    def think(self, x):
        norm = getattr(self, self.last)
        given = self.before(x, norm)
        return self.after(x, given, self.feed_forward(given), norm)


@also("norms_numbered_anew", "choose_sublayers")
def third_norm_left_out(self, cross_attention):
    if not cross_attention:
        del self.cross_attention, self.norm3


@mistake(
    "choose_sublayers",
    credit=0.5,
    symptom="With cross_attention=False a part is missing that the layer needs.",
    cause="More was left out than belongs to cross-attention. A layer of a language model still has self_attention, "
    "feed_forward, norm1 and norm3, and its dropout.",
    place="Look at what stands under `if cross_attention:` in __init__: cross_attention and norm2, nothing else.",
    shows=[
        ("decoder_layer_without_cross_attention", "differ", "*missing parameters"),
        ("decoder_layer_in_post_norm_form", "right"),
    ],
)
def too_much_left_out(self, cross_attention):
    if not cross_attention:
        del self.cross_attention, self.norm2, self.feed_forward, self.norm3


@also("too_much_left_out", "choose_sublayers")
def self_attention_left_out(self, cross_attention):
    if not cross_attention:
        del self.self_attention, self.norm1


@mistake(
    "whole",
    credit=0.5,
    symptom="With cross_attention=False the layer is built as it should be, and fails when it is called.",
    cause="forward touches cross_attention or norm2 although there is no memory, and they are not there. What belongs to "
    "the second sublayer may be named only where a memory is given.",
    place="Look for self.norm2 or self.cross_attention outside of `if memory is not None`.",
    shows=[
        ("decoder_layer_without_cross_attention", "right", "*missing parameters"),
        ("decoder_layer_without_memory", "right"),
    ],
)
def second_norm_touched_without_memory(self, x, memory, self_mask, memory_mask):
    x, self_weights = self.look_back(x, self_mask)
    normed, cross_weights = self.norm2(x), None
    if memory is not None:
        given = normed if self.norm_first else x
        change, cross_weights = self.attend_memory(x, given, memory, memory_mask)
        x = self.after(x, given, change, self.norm2)
    return self.think(x), self_weights, cross_weights


@also("second_norm_touched_without_memory")
class missing_second_norm_touched_without_memory:
    def choose_sublayers(self, cross_attention):
        if not cross_attention:
            del self.cross_attention, self.norm2

    def whole(self, x, memory, self_mask, memory_mask):
        x, self_weights = self.look_back(x, self_mask)
        normed, cross_weights = self.norm2(x), None
        if memory is not None:
            given = normed if self.norm_first else x
            change, cross_weights = self.attend_memory(x, given, memory, memory_mask)
            x = self.after(x, given, change, self.norm2)
        return self.think(x), self_weights, cross_weights


@mistake(
    "__init__",
    credit=0.5,
    symptom="The constructor takes no argument cross_attention.",
    cause="The argument is missing. A model without an encoder, as in lesson 4, asks for layers without cross-attention, "
    "and they must know of it when they are made. (Earlier editions of this lesson did not have it.)",
    place="Add `cross_attention=True` as the last argument of __init__, and make cross_attention and norm2 only if it is "
    "True; a Decoder hands it on to its layers.",
    shows=[
        ("decoder_layer_without_cross_attention", "raise"),
        ("decoder_without_cross_attention", "raise"),
    ],
    only="DecoderLayer",
)
def no_choice_of_cross_attention(self, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu):
    nn.Module.__init__(self)
    self.make_attentions(embed_dim, num_heads, dropout)
    self.make_feed_forward(embed_dim, ff_dim, dropout, activation)
    self.make_norms(embed_dim)
    self.dropout = nn.Dropout(dropout)
    self.choose_form(norm_first)


# Python's message, by which the mistake is told from others that raise here, names the class that a learner writes.
no_choice_of_cross_attention.__qualname__ = "DecoderLayer.__init__"


@also("no_choice_of_cross_attention", "__init__", only="Decoder")
def no_choice_of_cross_attention_for_the_layers(
    self, num_layers, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu
):
    nn.Module.__init__(self)
    self.choose_attentions(True)
    self.make_layers(num_layers, (embed_dim, num_heads, ff_dim), dropout, norm_first, activation)
    self.make_final_norm(embed_dim, norm_first)


no_choice_of_cross_attention_for_the_layers.__qualname__ = "Decoder.__init__"


@mistake(
    "choose_sublayers",
    symptom="No layer can be made: the constructor fails.",
    cause="The argument cross_attention, True or False, is kept under the name of the attention, and PyTorch does not let "
    "a module be replaced by a bool.",
    place="Look for `self.cross_attention = cross_attention`. Whether there is a memory is all that forward has to ask; "
    "if you keep the argument, give it another name.",
    shows=[("decoder_layer_in_post_norm_form", "raise")],
)
def argument_under_the_name_of_the_attention(self, cross_attention):
    self.cross_attention = cross_attention


@mistake(
    "choose_attentions",
    credit=0.5,
    symptom="With cross_attention=False the layers of the stack have cross_attention and norm2 all the same.",
    cause="cross_attention is not handed on to the layers, which then take their default, True.",
    place="Look at how the layers are built, and count the arguments: cross_attention is the last one.",
    shows=[
        ("decoder_without_cross_attention", "differ", "*superfluous parameters"),
        ("decoder_without_cross_attention", "right", "*missing parameters"),
        ("decoder_in_post_norm_form", "right"),
    ],
)
def cross_attention_not_passed_on(self, cross_attention):
    self.cross_attention = True


@also("cross_attention_not_passed_on", "make_layers")
def cross_attention_passed_to_the_first_layer_only(self, num_layers, sizes, dropout, norm_first, activation):
    layers = [self.make_layer(sizes, dropout, norm_first, activation)]
    layers += [DecoderLayer(*sizes, dropout, norm_first, activation) for _ in range(num_layers - 1)]
    self.layers = nn.ModuleList(layers)


@mistake(
    "make_layer",
    symptom="The layers take cross_attention for their activation, and fail when they are called.",
    cause="Arguments that are passed by position have slipped: activation stands before cross_attention.",
    place="Count the arguments with which the layers are built, or pass cross_attention by its name.",
    shows=[("decoder_in_post_norm_form", "raise")],
)
def cross_attention_in_the_place_of_activation(self, sizes, dropout, norm_first, activation):
    return DecoderLayer(*sizes, dropout, norm_first, self.cross_attention)


# Residual and norm


@mistake(
    "add",
    symptom="What a sublayer gives is handed on alone: the input that it was given is not added.",
    cause="A residual is missing. Each of the three sublayers computes a change, and the change is added to its "
    "input; without the addition a deep stack loses what it was given.",
    place="Look for the three additions `x + ...`, one per sublayer; the third one is forgotten most often.",
    shows=[("decoder_layer_keeps_the_residual_path", "differ")],
)
def residual_missing(self, x, given, change):
    return change


@also("residual_missing", "look_back")
def first_residual_missing(self, x, mask):
    change, weights = self.attend_self(x, self.before(x, self.norm1), mask)
    return (self.drop(change) if self.norm_first else self.norm1(self.drop(change))), weights


@also("residual_missing", "look_across")
def second_residual_missing(self, x, memory, mask):
    change, weights = self.attend_memory(x, self.before(x, self.norm2), memory, mask)
    return (self.drop(change) if self.norm_first else self.norm2(self.drop(change))), weights


@also("residual_missing", "think")
def third_residual_missing(self, x):
    change = self.drop(self.feed_forward(self.before(x, self.norm3)))
    return change if self.norm_first else self.norm3(change)


@also("residual_missing", "DecoderLayer")
class SublayersInARow(nn.Module):
    def __init__(
        self, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu, cross_attention=True
    ):
        super().__init__()
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
        self.feed_forward = FeedForward(embed_dim, ff_dim, dropout, activation)
        self.norm1, self.norm3 = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
        if cross_attention:
            self.cross_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
            self.norm2 = nn.LayerNorm(embed_dim)
        self.drop1, self.drop2, self.drop3 = (nn.Dropout(dropout) for _ in range(3))
        self.norm_first = norm_first

    def forward(self, x, memory=None, self_mask=None, memory_mask=None):
        cross_weights = None
        if self.norm_first:
            x = self.norm1(x)
        x, self_weights = self.self_attention(x, x, x, self_mask)
        x = self.drop1(x) if self.norm_first else self.norm1(self.drop1(x))
        if memory is not None:
            x = self.norm2(x) if self.norm_first else x
            x, cross_weights = self.cross_attention(x, memory, memory, memory_mask)
            x = self.drop2(x) if self.norm_first else self.norm2(self.drop2(x))
        if self.norm_first:
            return self.drop3(self.feed_forward(self.norm3(x))), self_weights, cross_weights
        return self.norm3(self.drop3(self.feed_forward(x))), self_weights, cross_weights


@also("residual_missing", "add")
def residual_missing_in_post_norm(self, x, given, change):
    return x + change if self.norm_first else change


@also("residual_missing", "add")
def residual_missing_in_pre_norm(self, x, given, change):
    return change if self.norm_first else x + change


@also("residual_missing", "think")
def third_residual_missing_in_post_norm(self, x):
    change = self.drop(self.feed_forward(self.before(x, self.norm3)))
    return x + change if self.norm_first else self.norm3(change)


@mistake(
    "add",
    symptom="What a sublayer gives is added to itself; the input that it was given is lost.",
    cause="The output of the sublayer has taken the name of its input: behind `x = sublayer(x)`, `x + x` is twice the "
    "change. The residual path needs the x from before.",
    place="Give the sublayer's output a name of its own, and add it to the x that went in.",
    shows=[("decoder_layer_keeps_the_residual_path", "differ")],
)
def input_overwritten(self, x, given, change):
    return change + change


@also("input_overwritten", "after")
def input_overwritten_by_what_is_dropped_later(self, x, given, change, norm):
    total = change + self.drop(change)
    return total if self.norm_first else norm(total)


@also("input_overwritten", "add")
def input_overwritten_in_post_norm(self, x, given, change):
    return x + change if self.norm_first else change + change


@also("input_overwritten", "after")
def input_overwritten_in_post_norm_by_what_is_dropped_later(self, x, given, change, norm):
    return x + self.drop(change) if self.norm_first else norm(change + self.drop(change))


@also("input_overwritten", "look_back")
def first_input_overwritten(self, x, mask):
    x, weights = self.attend_self(x, self.before(x, self.norm1), mask)
    return (x + self.drop(x) if self.norm_first else self.norm1(x + self.drop(x))), weights


@also("input_overwritten", "look_back")
def first_input_overwritten_in_post_norm(self, x, mask):
    change, weights = self.attend_self(x, self.before(x, self.norm1), mask)
    return (x + self.drop(change) if self.norm_first else self.norm1(change + self.drop(change))), weights


@also("input_overwritten", "look_across")
def second_input_overwritten(self, x, memory, mask):
    x, weights = self.attend_memory(x, self.before(x, self.norm2), memory, mask)
    return (x + self.drop(x) if self.norm_first else self.norm2(x + self.drop(x))), weights


@also("input_overwritten", "look_across")
def second_input_overwritten_in_post_norm(self, x, memory, mask):
    change, weights = self.attend_memory(x, self.before(x, self.norm2), memory, mask)
    return (x + self.drop(change) if self.norm_first else self.norm2(change + self.drop(change))), weights


@also("input_overwritten", "think")
def third_input_overwritten(self, x):
    x = self.feed_forward(self.before(x, self.norm3))
    return x + self.drop(x) if self.norm_first else self.norm3(x + self.drop(x))


@also("input_overwritten", "think")
def third_input_overwritten_in_post_norm(self, x):
    change = self.feed_forward(self.before(x, self.norm3))
    return x + self.drop(change) if self.norm_first else self.norm3(change + self.drop(change))


@mistake(
    "add",
    symptom="In the pre-norm form a change is added to the normalised input, not to the input.",
    cause="The residual is taken behind the norm. In pre-norm the path of the additions runs past the norms, "
    "from the first layer to the last; the norm stands in the branch only.",
    place="Look for `x = norm(x)` in front of a sublayer: give the normed tensor a name of its own.",
    shows=[("decoder_layer_in_pre_norm_form", "differ", "x")],
)
def residual_from_the_normed_input(self, x, given, change):
    return given + change


@also("residual_from_the_normed_input", "look_back")
def first_residual_from_the_normed_input(self, x, mask):
    given = self.before(x, self.norm1)
    change, weights = self.attend_self(x, given, mask)
    return self.after(given, given, change, self.norm1), weights


@also("residual_from_the_normed_input", "look_across")
def second_residual_from_the_normed_input(self, x, memory, mask):
    given = self.before(x, self.norm2)
    change, weights = self.attend_memory(x, given, memory, mask)
    return self.after(given, given, change, self.norm2), weights


@also("residual_from_the_normed_input", "think")
def third_residual_from_the_normed_input(self, x):
    given = self.before(x, self.norm3)
    return self.after(given, given, self.feed_forward(given), self.norm3)


@mistake(
    "choose_form",
    symptom="norm_first=False gives the numbers of pre-norm, and norm_first=True those of post-norm.",
    cause="The two forms are exchanged. norm_first=True says that the norm comes before the sublayer, in the "
    "branch; False that it comes behind the addition.",
    place="Look at the condition, or at what stands in its two branches.",
    shows=[("decoder_layer_in_pre_norm_form", "differ", "x"), ("decoder_layer_in_post_norm_form", "differ", "x")],
)
def forms_exchanged(self, norm_first):
    self.norm_first = not norm_first


@mistake(
    "choose_form",
    credit=0.5,
    symptom="The layer gives the same numbers for norm_first=True and norm_first=False.",
    cause="norm_first is not used: only one of the two forms was written.",
    place="Keep norm_first in __init__ and let forward choose between two forms.",
    shows=[("decoder_layer_keeps_the_residual_path", "differ")],
)
def norm_first_unused(self, norm_first):
    self.norm_first = False


@also("norm_first_unused", "choose_form")
def always_pre_norm(self, norm_first):
    self.norm_first = True


@also("norm_first_unused", "DecoderLayer")
class PostNormOnly(nn.Module):
    def __init__(
        self, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu, cross_attention=True
    ):
        super().__init__()
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
        self.feed_forward = FeedForward(embed_dim, ff_dim, dropout, activation)
        self.norm1, self.norm3 = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
        if cross_attention:
            self.cross_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
            self.norm2 = nn.LayerNorm(embed_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, memory=None, self_mask=None, memory_mask=None):
        attended, self_weights = self.self_attention(x, x, x, self_mask)
        x = self.norm1(x + self.dropout(attended))
        cross_weights = None
        if memory is not None:
            attended, cross_weights = self.cross_attention(x, memory, memory, memory_mask)
            x = self.norm2(x + self.dropout(attended))
        return self.norm3(x + self.dropout(self.feed_forward(x))), self_weights, cross_weights


@mistake(
    "after",
    symptom="In the post-norm form the residual is not normalised.",
    cause="The norm acts on the sublayer's output alone, before the addition. Post-norm normalises the sum: "
    "norm(x + sublayer(x)).",
    place="Look at the parentheses of the norm: the addition stands inside.",
    shows=[("decoder_layer_in_post_norm_form", "differ", "x")],
)
def norm_on_the_change_only(self, x, given, change, norm):
    change = self.drop(change)
    return x + (change if self.norm_first else norm(change))


@also("norm_on_the_change_only", "after")
def norm_on_the_change_in_both_forms(self, x, given, change, norm):
    return x + norm(self.drop(change))


@mistake(
    "after",
    symptom="In the pre-norm form every sum has been normalised as well, or in post-norm every input.",
    cause="The norm is used twice, in front of the sublayer and behind the addition. One of the two makes the "
    "form; both together cut the residual path that pre-norm keeps free.",
    place="Look at what stands behind the addition in the pre-norm form, and in front of the sublayer in post-norm.",
)
def normed_before_and_after(self, x, given, change, norm):
    return norm(self.add(x, given, self.drop(change)))


@also("normed_before_and_after", "before")
def normed_before_in_both_forms(self, x, norm):
    return norm(x)


@mistake(
    "think",
    symptom="A norm is missing.",
    cause="There are three norms in a layer, one for each sublayer. Without one of them the numbers grow from layer "
    "to layer, and the loaded weights of that norm have no effect.",
    place="Count the norms in forward: norm1, norm2, norm3, in the order of the sublayers.",
    shows=[("decoder_layer_keeps_the_residual_path", "differ")],
)
def norm_missing(self, x):
    return x + self.drop(self.feed_forward(x))


@also("norm_missing", "look_back")
def first_norm_missing(self, x, mask):
    change, weights = self.attend_self(x, x, mask)
    return x + self.drop(change), weights


@also("norm_missing", "look_across")
def second_norm_missing(self, x, memory, mask):
    change, weights = self.attend_memory(x, x, memory, mask)
    return x + self.drop(change), weights


@also("norm_missing")
class all_norms_missing:
    def before(self, x, norm):
        return x

    def after(self, x, given, change, norm):
        return self.add(x, given, self.drop(change))


@also("norm_missing", "after")
def all_norms_missing_in_post_norm(self, x, given, change, norm):
    return self.add(x, given, self.drop(change))


@also("norm_missing", "before")
def all_norms_missing_in_pre_norm(self, x, norm):
    return x


@also("norm_missing", "think")
def last_norm_missing_in_post_norm(self, x):
    return x + self.drop(self.feed_forward(self.before(x, self.norm3)))


@also("norm_missing", "think")
def last_norm_missing_in_pre_norm(self, x):
    return self.after(x, x, self.feed_forward(x), self.norm3)


@also("norm_missing", "look_back")
def first_norm_missing_in_post_norm(self, x, mask):
    change, weights = self.attend_self(x, self.before(x, self.norm1), mask)
    return x + self.drop(change), weights


@also("norm_missing", "look_across")
def second_norm_missing_in_post_norm(self, x, memory, mask):
    change, weights = self.attend_memory(x, self.before(x, self.norm2), memory, mask)
    return x + self.drop(change), weights


@mistake(
    "make_norms",
    symptom="Sublayers are normalised by the same parameters.",
    cause="One norm serves several sublayers. A norm has a weight and a bias of its own, and the three places need "
    "different ones; a checkpoint has numbers for three.",
    place="Make three nn.LayerNorm in __init__, and use each in its place.",
    shows=[("decoder_layer_keeps_the_residual_path", "differ")],
)
def one_norm_for_all(self, embed_dim):
    self.norm1 = self.norm2 = self.norm3 = nn.LayerNorm(embed_dim)


@also("one_norm_for_all", "make_norms")
def one_norm_for_the_last_two(self, embed_dim):
    self.norm1, self.norm2 = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
    self.norm3 = self.norm2


@also("one_norm_for_all", "think")
def second_norm_used_twice(self, x):
    given = self.before(x, self.norm2)
    return self.after(x, given, self.feed_forward(given), self.norm2)


@also("one_norm_for_all")
class only_two_norms:
    def make_norms(self, embed_dim):
        self.norm1, self.norm2 = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)

    def think(self, x):
        given = self.before(x, self.norm2)
        return self.after(x, given, self.feed_forward(given), self.norm2)


@mistake(
    symptom="Two norms have changed places: the weights of each act where those of the other should.",
    cause="Norms are exchanged. norm1 belongs to self_attention, norm2 to cross_attention, norm3 to feed_forward; "
    "training from scratch would not notice, loaded weights do.",
    place="Look at which norm stands with which sublayer.",
    shows=[("decoder_layer_in_pre_norm_form", "differ", "x"), ("decoder_layer_in_post_norm_form", "differ", "x")],
)
class norms_exchanged:
    def look_across(self, x, memory, mask):
        given = self.before(x, self.norm3)
        change, weights = self.attend_memory(x, given, memory, mask)
        return self.after(x, given, change, self.norm3), weights

    def think(self, x):
        given = self.before(x, self.norm2)
        return self.after(x, given, self.feed_forward(given), self.norm2)


@also("norms_exchanged")
class first_two_norms_exchanged:
    def look_back(self, x, mask):
        given = self.before(x, self.norm2)
        change, weights = self.attend_self(x, given, mask)
        return self.after(x, given, change, self.norm2), weights

    def look_across(self, x, memory, mask):
        given = self.before(x, self.norm1)
        change, weights = self.attend_memory(x, given, memory, mask)
        return self.after(x, given, change, self.norm1), weights


# The order of the sublayers


@mistake(
    "whole",
    symptom="The sublayers have worked in another order.",
    cause="The order is: look at what was written so far, then at the source, then think. A query for the source "
    "should know already what has been written.",
    place="Look at the order of the three sublayers in forward.",
    shows=[("decoder_layer_in_pre_norm_form", "differ", "x"), ("decoder_layer_in_post_norm_form", "differ", "x")],
)
def sublayers_in_another_order(self, x, memory, self_mask, memory_mask):
    cross_weights = None
    if memory is not None:
        x, cross_weights = self.look_across(x, memory, memory_mask)
    x, self_weights = self.look_back(x, self_mask)
    return self.think(x), self_weights, cross_weights


@also("sublayers_in_another_order", "whole")
def feed_forward_between_the_attentions(self, x, memory, self_mask, memory_mask):
    x, self_weights = self.look_back(x, self_mask)
    x, cross_weights = self.think(x), None
    if memory is not None:
        x, cross_weights = self.look_across(x, memory, memory_mask)
    return x, self_weights, cross_weights


@also("sublayers_in_another_order", "whole")
def feed_forward_first(self, x, memory, self_mask, memory_mask):
    x, self_weights = self.look_back(self.think(x), self_mask)
    cross_weights = None
    if memory is not None:
        x, cross_weights = self.look_across(x, memory, memory_mask)
    return x, self_weights, cross_weights


@mistake(
    "whole",
    symptom="The cross-attention knows nothing of what self-attention found.",
    cause="Both attentions got the layer's input, side by side. Each sublayer works on the result of the one before.",
    place="Look at which x each sublayer gets, and at what its output is added to.",
)
def attentions_side_by_side(self, x, memory, self_mask, memory_mask):
    after_self, self_weights = self.look_back(x, self_mask)
    if memory is None:
        return self.think(after_self), self_weights, None
    change, cross_weights = self.attend_memory(x, self.before(x, self.norm2), memory, memory_mask)
    return self.think(self.after(after_self, after_self, change, self.norm2)), self_weights, cross_weights


@mistake(
    "whole",
    symptom="What a sublayer gives is added to an earlier input of the layer, not to that sublayer's own input.",
    cause="The residual was kept once and used again. Each sublayer's output is added to what that sublayer was given, "
    "which is the result of the sublayer before it; otherwise that result is not on the residual path.",
    place="Look at the second and the third addition: the x in each is the result of the addition before (in post-norm, "
    "of its norm).",
    shows=[("decoder_layer_keeps_the_residual_path", "differ")],
)
def residual_from_an_earlier_input(self, x, memory, self_mask, memory_mask):
    after_self, self_weights = self.look_back(x, self_mask)
    if memory is None:
        return self.think(after_self), self_weights, None
    given = self.before(after_self, self.norm2)
    change, cross_weights = self.attend_memory(after_self, given, memory, memory_mask)
    return self.think(self.after(x, given, change, self.norm2)), self_weights, cross_weights


@also("residual_from_an_earlier_input", "whole")
def third_residual_from_the_input(self, x, memory, self_mask, memory_mask):
    half, self_weights = self.look_back(x, self_mask)
    cross_weights = None
    if memory is not None:
        half, cross_weights = self.look_across(half, memory, memory_mask)
    given = self.before(half, self.norm3)
    return self.after(x, given, self.feed_forward(given), self.norm3), self_weights, cross_weights


@also("residual_from_an_earlier_input", "whole")
def all_residuals_from_the_input(self, x, memory, self_mask, memory_mask):
    half, self_weights = self.look_back(x, self_mask)
    cross_weights = None
    if memory is not None:
        given = self.before(half, self.norm2)
        change, cross_weights = self.attend_memory(half, given, memory, memory_mask)
        half = self.after(x, given, change, self.norm2)
    given = self.before(half, self.norm3)
    return self.after(x, given, self.feed_forward(given), self.norm3), self_weights, cross_weights


@also("residual_from_an_earlier_input", "whole")
def third_residual_from_behind_self_attention(self, x, memory, self_mask, memory_mask):
    x, self_weights = self.look_back(x, self_mask)
    half, cross_weights = x, None
    if memory is not None:
        half, cross_weights = self.look_across(x, memory, memory_mask)
    given = self.before(half, self.norm3)
    return self.after(x, given, self.feed_forward(given), self.norm3), self_weights, cross_weights


@also("residual_from_an_earlier_input", "whole")
def all_residuals_from_the_input_in_post_norm(self, x, memory, self_mask, memory_mask):
    half, self_weights = self.look_back(x, self_mask)
    cross_weights = None
    if memory is not None:
        given = self.before(half, self.norm2)
        change, cross_weights = self.attend_memory(half, given, memory, memory_mask)
        half = self.after(half if self.norm_first else x, given, change, self.norm2)
    given = self.before(half, self.norm3)
    change = self.feed_forward(given)
    return self.after(half if self.norm_first else x, given, change, self.norm3), self_weights, cross_weights


# Dropout and activation


@mistake(
    "drop",
    symptom="Numbers are dropped in evaluation mode as well.",
    cause="Dropout is called without being told the mode: F.dropout(x, p) drops always, and so does an nn.Dropout "
    "that is made afresh in forward. A trained model would then answer by chance.",
    place="Use an nn.Dropout made in __init__, or hand training=self.training to F.dropout.",
    shows=[("decoder_layer_drops_outputs", "differ", "*evaluation*")],
)
def dropout_in_evaluation(self, change):
    return F.dropout(change, self.dropout.p)


@mistake(
    "drop",
    credit=0.5,
    symptom="In training the output of a sublayer is added without dropout.",
    cause="The dropout is not applied to each sublayer's output. The numbers in evaluation are right, but the model "
    "will learn its training data by heart more readily.",
    place="Call the dropout on each sublayer's output, before the addition.",
    shows=[("decoder_layer_drops_outputs", "differ", "*training*")],
)
def dropout_not_applied(self, change):
    return change


@also("dropout_not_applied", "look_back")
def first_output_not_dropped(self, x, mask):
    given = self.before(x, self.norm1)
    change, weights = self.attend_self(x, given, mask)
    return (x + change if self.norm_first else self.norm1(x + change)), weights


@also("dropout_not_applied", "look_across")
def second_output_not_dropped(self, x, memory, mask):
    given = self.before(x, self.norm2)
    change, weights = self.attend_memory(x, given, memory, mask)
    return (x + change if self.norm_first else self.norm2(x + change)), weights


@also("dropout_not_applied", "think")
def third_output_not_dropped(self, x):
    change = self.feed_forward(self.before(x, self.norm3))
    return x + change if self.norm_first else self.norm3(x + change)


@mistake(
    "make_attentions",
    credit=0.5,
    symptom="Inside a sublayer nothing is dropped in training.",
    cause="A part was built without the dropout, so it has its default of 0. One dropout serves for all: the "
    "attentions' weights, the hidden numbers, and the outputs of the sublayers.",
    place="Look at how the parts are built in __init__, and count the arguments.",
    shows=[("decoder_layer_drops_inside", "smaller"), ("decoder_passes_the_dropout", "differ")],
)
def dropout_not_passed_on(self, embed_dim, num_heads, dropout):
    self.self_attention = MultiHeadAttention(embed_dim, num_heads)
    self.cross_attention = MultiHeadAttention(embed_dim, num_heads)


@also("dropout_not_passed_on", "make_attentions")
def dropout_not_passed_to_cross_attention(self, embed_dim, num_heads, dropout):
    self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
    self.cross_attention = MultiHeadAttention(embed_dim, num_heads)


@also("dropout_not_passed_on", "make_feed_forward")
def dropout_not_passed_to_feed_forward(self, embed_dim, ff_dim, dropout, activation):
    self.feed_forward = FeedForward(embed_dim, ff_dim, activation=activation)


@also("dropout_not_passed_on")
class dropout_passed_to_no_part:
    def make_attentions(self, embed_dim, num_heads, dropout):
        self.self_attention = MultiHeadAttention(embed_dim, num_heads)
        self.cross_attention = MultiHeadAttention(embed_dim, num_heads)

    def make_feed_forward(self, embed_dim, ff_dim, dropout, activation):
        self.feed_forward = FeedForward(embed_dim, ff_dim, activation=activation)


@also("dropout_not_passed_on", "make_layer")
def dropout_not_passed_to_layers(self, sizes, dropout, norm_first, activation):
    return DecoderLayer(*sizes, norm_first=norm_first, activation=activation, cross_attention=self.cross_attention)


@mistake(
    "make_feed_forward",
    symptom="The output is the same whatever activation is asked for.",
    cause="The activation is not handed to the feed-forward network, which then takes its default, F.relu.",
    place="Look at how the parts are built in __init__, and count the arguments.",
    shows=[
        ("decoder_layer_passes_the_activation", "differ"),
        ("decoder_passes_the_activation", "differ"),
        ("decoder_layer_in_post_norm_form", "right"),
        ("decoder_in_post_norm_form", "right"),
    ],
)
def activation_not_passed_on(self, embed_dim, ff_dim, dropout, activation):
    self.feed_forward = FeedForward(embed_dim, ff_dim, dropout)


@also("activation_not_passed_on", "make_layer")
def activation_not_passed_to_the_layers(self, sizes, dropout, norm_first, activation):
    return DecoderLayer(*sizes, dropout, norm_first, cross_attention=self.cross_attention)


# What is returned


@mistake(
    "answer",
    symptom="x comes back alone, without the weights of the attentions.",
    cause="The contract of the course is (x, self_weights, cross_weights), so that the weights can be looked at "
    "later on.",
    place="Look at the return statement.",
    shows=[("decoder_layer_in_post_norm_form", "missing"), ("decoder_in_post_norm_form", "missing")],
)
def weights_not_returned(self, x, self_weights, cross_weights):
    return x


@also("weights_not_returned", "answer_of_all")
def weights_of_no_layer_returned(self, x, self_weights, cross_weights):
    return x


@mistake(
    "answer",
    symptom="Self weights and cross weights are exchanged.",
    cause="They are returned in the wrong order: first those of the self-attention, then those of the cross-attention.",
    place="Look at the return statement, or at the names in the loop.",
)
def weights_exchanged(self, x, self_weights, cross_weights):
    return x, cross_weights, self_weights


@also("weights_exchanged", "answer_of_all")
def lists_exchanged(self, x, self_weights, cross_weights):
    return x, cross_weights, self_weights


@mistake(
    "answer",
    credit=0.5,
    symptom="x and one kind of weights come back, the other is missing.",
    cause="Three things are asked for: x, the self weights and the cross weights.",
    place="Look at the return statement.",
    shows=[("decoder_layer_in_post_norm_form", "missing"), ("decoder_in_post_norm_form", "missing")],
)
def one_kind_of_weights(self, x, self_weights, cross_weights):
    return x, self_weights


@also("one_kind_of_weights", "answer")
def cross_weights_only(self, x, self_weights, cross_weights):
    return x, cross_weights


@also("one_kind_of_weights", "answer_of_all")
def list_of_self_weights_only(self, x, self_weights, cross_weights):
    return x, self_weights


@also("one_kind_of_weights", "answer_of_all")
def list_of_cross_weights_only(self, x, self_weights, cross_weights):
    return x, cross_weights


@mistake(
    "answer",
    credit=0.5,
    symptom="The weights have lost the axis of the heads.",
    cause="They were averaged over the heads, as nn.MultiheadAttention does by default. Heads look at different "
    "things, and their mean shows none of them; return what the attentions return.",
    place="Look for a mean over axis 1.",
)
def weights_averaged_over_heads(self, x, self_weights, cross_weights):
    return x, self_weights.mean(dim=1), None if cross_weights is None else cross_weights.mean(dim=1)


@mistake(
    "answer",
    credit=0.5,
    symptom="No gradient comes back through the weights.",
    cause="The weights were cut from autograd by detach or .data. A loss may well use them, to make a head attend "
    "to something, for example.",
    place="Return the weights as the attentions returned them.",
)
def weights_detached(self, x, self_weights, cross_weights):
    return x, self_weights.detach(), None if cross_weights is None else cross_weights.detach()


# The stack


@mistake(
    "make_layers",
    symptom="All layers are one and the same: their parameters are shared.",
    cause="[layer] * n lists one object n times, and calling one layer n times does the same. The paper's layers "
    "have weights of their own.",
    place="Call DecoderLayer(...) once per layer, inside a loop or a list comprehension.",
    shows=[("decoder_has_its_parameters", "differ")],
)
def layers_share_weights(self, num_layers, sizes, dropout, norm_first, activation):
    self.layers = nn.ModuleList([self.make_layer(sizes, dropout, norm_first, activation)] * num_layers)


@also("layers_share_weights")
class one_layer_called_again_and_again:
    def make_layers(self, num_layers, sizes, dropout, norm_first, activation):
        self.layers = nn.ModuleList([self.make_layer(sizes, dropout, norm_first, activation)])
        self.num_layers = num_layers

    def run(self, x, memory, self_mask, memory_mask):
        self_weights, cross_weights = [], []
        for _ in range(self.num_layers):
            x, of_itself, of_the_memory = self.layers[0](x, memory, self_mask, memory_mask)
            self_weights.append(of_itself)
            cross_weights.append(of_the_memory)
        return x, self_weights, cross_weights


@also("layers_share_weights", "Decoder")
class OneLayerInASequence(nn.Module):
    def __init__(
        self,
        num_layers,
        embed_dim,
        num_heads,
        ff_dim,
        dropout=0.0,
        norm_first=False,
        activation=F.relu,
        cross_attention=True,
    ):
        super().__init__()
        layer = DecoderLayer(embed_dim, num_heads, ff_dim, dropout, norm_first, activation, cross_attention)
        self.layers = nn.Sequential(*(layer for _ in range(num_layers)))
        self.final_norm = nn.LayerNorm(embed_dim) if norm_first else None

    def forward(self, x, memory=None, self_mask=None, memory_mask=None):
        found = [[], []]
        for layer in self.layers:
            x, *weights = layer(x, memory, self_mask, memory_mask)
            found[0] += [weights[0]]
            found[1] += [weights[1]]
        return (x if self.final_norm is None else self.final_norm(x)), *found


@mistake(
    "make_layers",
    symptom="The layers are several, but a part of them is one and the same: its parameters are shared.",
    cause="The part was made once and given to every layer. The paper's layers have attentions, feed-forward network and "
    "norms of their own; a layer that is handed its parts has to copy them (copy.deepcopy).",
    place="Look for a part that is made outside of the loop, or assigned to a layer after it was built.",
    shows=[
        ("decoder_has_its_parameters", "differ", "*one and the same"),
        ("decoder_has_its_parameters", "right", "*missing parameters"),
    ],
)
def one_part_for_all_layers(self, num_layers, sizes, dropout, norm_first, activation):
    self.layers = nn.ModuleList([self.make_layer(sizes, dropout, norm_first, activation) for _ in range(num_layers)])
    for layer in self.layers:
        layer.feed_forward = self.layers[0].feed_forward


@also("one_part_for_all_layers", "make_layers")
def one_self_attention_for_all_layers(self, num_layers, sizes, dropout, norm_first, activation):
    self.layers = nn.ModuleList([self.make_layer(sizes, dropout, norm_first, activation) for _ in range(num_layers)])
    for layer in self.layers:
        layer.self_attention = self.layers[0].self_attention


@also("one_part_for_all_layers", "make_layers")
def one_cross_attention_for_all_layers(self, num_layers, sizes, dropout, norm_first, activation):
    self.layers = nn.ModuleList([self.make_layer(sizes, dropout, norm_first, activation) for _ in range(num_layers)])
    for layer in self.layers:
        layer.cross_attention = self.layers[0].cross_attention


@also("one_part_for_all_layers", "make_layers")
def all_sublayers_for_all_layers(self, num_layers, sizes, dropout, norm_first, activation):
    self.layers = nn.ModuleList([self.make_layer(sizes, dropout, norm_first, activation) for _ in range(num_layers)])
    for layer in self.layers:
        for part in ("self_attention", "cross_attention", "feed_forward"):
            setattr(layer, part, getattr(self.layers[0], part))


@mistake(
    "make_layers",
    symptom="PyTorch knows of no layers: their parameters are missing from the state dict.",
    cause="The layers are kept in a plain Python list. An optimiser never sees them, .to(device) leaves them "
    "behind, and weights cannot be loaded into them.",
    place="Put the list into nn.ModuleList.",
    shows=[("decoder_has_its_parameters", "differ", "*missing parameters")],
)
def layers_in_a_plain_list(self, num_layers, sizes, dropout, norm_first, activation):
    self.layers = [self.make_layer(sizes, dropout, norm_first, activation) for _ in range(num_layers)]


@mistake(
    "make_layers",
    symptom="There are as many layers for every num_layers.",
    cause="The number of layers is fixed in the code, such as the 6 of the paper.",
    place="Look at the loop that makes the layers: it should run num_layers times.",
    shows=[("decoder_has_its_parameters", "differ")],
)
def number_of_layers_fixed(self, num_layers, sizes, dropout, norm_first, activation):
    self.layers = nn.ModuleList([self.make_layer(sizes, dropout, norm_first, activation) for _ in range(6)])


@also("number_of_layers_fixed", "make_layers")
def always_one_layer(self, num_layers, sizes, dropout, norm_first, activation):
    self.layers = nn.ModuleList([self.make_layer(sizes, dropout, norm_first, activation)])


@mistake(
    "run",
    symptom="The output is that of one layer alone: what the others did is lost.",
    cause="Every layer got the input of the stack. Each has to work on what the one before it returned.",
    place="Look at the loop: the x that a layer returns is the x that the next one gets.",
    shows=[("decoder_in_post_norm_form", "differ", "x"), ("decoder_of_one_layer", "right")],
)
def layers_not_chained(self, x, memory, self_mask, memory_mask):
    found = [layer(x, memory, self_mask, memory_mask) for layer in self.layers]
    return found[-1][0], [one[1] for one in found], [one[2] for one in found]


@also("layers_not_chained", "run")
def first_layer_only(self, x, memory, self_mask, memory_mask):
    found = [layer(x, memory, self_mask, memory_mask) for layer in self.layers]
    return found[0][0], [one[1] for one in found], [one[2] for one in found]


@mistake(
    "run",
    symptom="The layers work in reverse order.",
    cause="The stack is run from its last layer to its first. Layer 0 reads the embeddings.",
    place="Look at the loop for `reversed`, an insert at the front, or a negative index.",
    shows=[("decoder_in_post_norm_form", "differ", "x")],
)
def layers_in_reverse_order(self, x, memory, self_mask, memory_mask):
    self_weights, cross_weights = [], []
    for layer in reversed(self.layers):
        x, of_itself, of_the_memory = layer(x, memory, self_mask, memory_mask)
        self_weights.append(of_itself)
        cross_weights.append(of_the_memory)
    return x, self_weights, cross_weights


@mistake(
    "memory_of_layer",
    symptom="The memory does not reach all layers.",
    cause="Not every layer gets the memory. Each layer of the decoder attends to the encoder's finished output; "
    "there is no pairing of encoder layers with decoder layers.",
    place="Look at the second argument of the layers' call: memory, in every round.",
    shows=[("decoder_in_post_norm_form", "differ", "x")],
)
def memory_not_passed_on(self, x, memory, index):
    return None


@also("memory_not_passed_on", "memory_of_layer")
def memory_for_the_first_layer_only(self, x, memory, index):
    return memory if index == 0 else None


@also("memory_not_passed_on", "memory_of_layer")
def memory_for_the_last_layer_only(self, x, memory, index):
    return memory if index == len(self.layers) - 1 else None


@also("memory_not_passed_on", "memory_of_layer")
def target_as_memory(self, x, memory, index):
    return None if memory is None else x


@also("memory_not_passed_on", "memory_of_layer")
def target_as_memory_behind_the_first_layer(self, x, memory, index):
    return x if index and memory is not None else memory


@mistake(
    "finish",
    symptom="In the pre-norm form the output is not normalised.",
    cause="The final norm is missing, or is made and not used. In pre-norm nothing has normalised the sum along "
    "the residual path, so a last norm stands behind the last layer.",
    place="Apply self.final_norm to x after the loop, if norm_first.",
    shows=[("decoder_in_pre_norm_form", "differ", "x")],
)
def final_norm_missing(self, x):
    return x


@also("final_norm_missing", "make_final_norm")
def final_norm_not_made(self, embed_dim, norm_first):
    pass


@mistake(
    "make_final_norm",
    credit=0.5,
    symptom="There is a final_norm in the post-norm form as well.",
    cause="In post-norm every layer ends in a norm, so its output is normalised already. A second norm changes "
    "the numbers, and a checkpoint has none for it.",
    place="Make final_norm only if norm_first.",
    shows=[("decoder_has_its_parameters", "differ", "post-norm: superfluous parameters")],
)
def final_norm_in_post_norm(self, embed_dim, norm_first):
    self.final_norm = nn.LayerNorm(embed_dim)


@also("final_norm_in_post_norm")
class final_norm_made_in_post_norm:
    def make_final_norm(self, embed_dim, norm_first):
        self.final_norm, self.norm_first = nn.LayerNorm(embed_dim), norm_first

    def finish(self, x):
        return self.final_norm(x) if self.norm_first else x


@mistake(
    "make_final_norm",
    symptom="The final norm stands in the post-norm form, and is missing in the pre-norm form.",
    cause="The condition is the wrong way round. Pre-norm layers end in a plain sum, so it is their stack that "
    "needs a last norm.",
    place="Look at the condition under which final_norm is made.",
    shows=[("decoder_has_its_parameters", "differ")],
)
def final_norm_in_the_wrong_form(self, embed_dim, norm_first):
    if not norm_first:
        self.final_norm = nn.LayerNorm(embed_dim)


@mistake(
    symptom="In the pre-norm form every layer's output has been normalised.",
    cause="The final norm is applied after every layer. It stands once, behind the last one; between the layers "
    "the residual path is left alone.",
    place="Look at the indentation: final_norm comes after the loop.",
    shows=[("decoder_in_pre_norm_form", "differ", "x")],
)
class final_norm_after_every_layer:
    def run(self, x, memory, self_mask, memory_mask):
        self_weights, cross_weights = [], []
        for layer in self.layers:
            x, of_itself, of_the_memory = layer(x, memory, self_mask, memory_mask)
            x = self.final_norm(x) if hasattr(self, "final_norm") else x
            self_weights.append(of_itself)
            cross_weights.append(of_the_memory)
        return x, self_weights, cross_weights

    def finish(self, x):
        return x


@mistake(
    "make_layer",
    symptom="norm_first changes the final norm only: the layers have the same form in both cases.",
    cause="norm_first is not handed to the layers, which then take their default, post-norm.",
    place="Look at how the layers are built, and count the arguments.",
)
def norm_first_not_passed_on(self, sizes, dropout, norm_first, activation):
    return DecoderLayer(*sizes, dropout, activation=activation, cross_attention=self.cross_attention)


@mistake(
    "answer_of_all",
    symptom="Only one layer's weights come back.",
    cause="The loop overwrites the weights of the layer before. A list with one entry per layer is what the "
    "pictures of lesson 11 need.",
    place="Append the weights of each layer to two lists, and return the lists.",
)
def weights_of_one_layer_only(self, x, self_weights, cross_weights):
    return x, self_weights[-1], cross_weights[-1]


@also("weights_of_one_layer_only", "answer_of_all")
def weights_of_the_first_layer_only(self, x, self_weights, cross_weights):
    return x, self_weights[0], cross_weights[0]


@mistake(
    "answer_of_all",
    credit=0.5,
    symptom="The weights are one tensor, where a list of one tensor per layer was asked for.",
    cause="The weights were stacked. Layers need not have weights of the same shape, and without a memory there "
    "is nothing to stack, so the course keeps lists.",
    place="Return the lists as they are, without torch.stack or torch.cat.",
)
def weights_in_one_tensor(self, x, self_weights, cross_weights):
    return x, torch.stack(self_weights), None if cross_weights[0] is None else torch.stack(cross_weights)


@also("weights_in_one_tensor", "answer_of_all")
def weights_in_one_tensor_always(self, x, self_weights, cross_weights):
    return x, torch.stack(self_weights), torch.stack(cross_weights)


@mistake(
    "answer_of_all",
    credit=0.5,
    symptom="The weights come back as one list of pairs.",
    cause="Self weights and cross weights of each layer were kept together. Two lists are asked for, one of each kind.",
    place="Make two lists, and append to each.",
)
def weights_in_pairs(self, x, self_weights, cross_weights):
    return x, list(zip(self_weights, cross_weights, strict=True))


# Find the bug


@mistake(
    "decoder_bug_input",
    symptom="On your input the broken layer is right.",
    cause="Target and source differ in length, and then the layer takes key and value from the memory, as it "
    "should. What it does otherwise is the question.",
    place="Look at the condition in `attend`: which of your inputs would it take for a self-attention?",
)
def lengths_differ():
    return (
        torch.arange(2 * 3 * 8).reshape(2, 3, 8) % 7 - 3.0,
        torch.arange(2 * 5 * 8).reshape(2, 5, 8) % 5 - 2.0,
        None,
        None,
    )


@mistake(
    "decoder_bug_input",
    symptom="On your input the broken layer is right.",
    cause="You tried its masks, and it obeys them: each attention gets the mask that belongs to it. The bug is in "
    "what is attended to, not in what is hidden.",
    place="Look at where query, key and value come from, in each of the two branches.",
)
def masks_tried():
    x, memory = torch.arange(3 * 8).reshape(1, 3, 8) % 7 - 3.0, torch.arange(5 * 8).reshape(1, 5, 8) % 5 - 2.0
    return x, memory, torch.ones(3, 3, dtype=torch.bool).tril(), torch.tensor([[[True] * 4 + [False]]])


@also("masks_tried", "decoder_bug_input")
def padding_of_the_source_tried():
    x, memory = torch.arange(3 * 8).reshape(1, 3, 8) % 7 - 3.0, torch.arange(5 * 8).reshape(1, 5, 8) % 5 - 2.0
    return x, memory, None, torch.tensor([[[True] * 4 + [False]]])


@mistake(
    "decoder_bug_input",
    symptom="On your input the broken layer is right.",
    cause="There is a single query, as when a text is continued by one token. That is done well as long as the "
    "source has another length.",
    place="The number of queries alone does not matter. Compare it with the number of keys.",
)
def one_query():
    return torch.arange(8).reshape(1, 1, 8) % 7 - 3.0, torch.arange(5 * 8).reshape(1, 5, 8) % 5 - 2.0, None, None


@mistake(
    "decoder_bug_input",
    symptom="On your input the broken layer is right, although it takes key and value from the wrong place.",
    cause="Your memory_mask hides the whole memory, so no value can be seen, neither a right nor a wrong one.",
    place="The lengths are well chosen. Let the queries see something of the memory.",
)
def memory_hidden():
    x = torch.arange(2 * 3 * 8).reshape(2, 3, 8) % 7 - 3.0
    return x, x.flip(1), None, torch.zeros(2, 1, 3, dtype=torch.bool)


@mistake(
    "decoder_bug_input",
    symptom="What comes back cannot be given to the layer.",
    cause="x and memory are [batch, queries, 8] and [batch, keys, 8], floating point, finite and of the same "
    "batch; a mask has one of the shapes of the docstring, or is None.",
    place="Compare type and shape of all four with the docstring: x, memory, self_mask, memory_mask.",
)
def input_that_does_not_fit():
    return torch.ones(3, 8), torch.ones(5, 8), None, None


@also("input_that_does_not_fit", "decoder_bug_input")
def input_without_masks():
    return torch.ones(1, 3, 8), torch.ones(1, 5, 8)


@also("input_that_does_not_fit", "decoder_bug_input")
def input_of_two_batches():
    return torch.ones(1, 3, 8), torch.ones(2, 5, 8), None, None


@also("input_that_does_not_fit", "decoder_bug_input")
def self_mask_without_an_axis_for_queries():
    return torch.ones(2, 3, 8), torch.ones(2, 5, 8), torch.ones(2, 3, dtype=torch.bool), None


@also("input_that_does_not_fit", "decoder_bug_input")
def memory_mask_of_the_target():
    return torch.ones(1, 3, 8), torch.ones(1, 5, 8), None, torch.ones(3, 3, dtype=torch.bool).tril()


# Habits
