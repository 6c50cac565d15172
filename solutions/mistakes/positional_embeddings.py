"""Wrong answers to lesson 10, each with its sentences: what is seen, why it is wrong, where to look."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from autograder.mistakes import Catalogue

catalogue = Catalogue()
step, component, mistake, also = catalogue.step, catalogue.component, catalogue.mistake, catalogue.also

SINES, LEARNED, EMBEDDING, ROTARY = (
    "sinusoidal_encoding",
    "LearnedPositionalEmbedding",
    "TransformerEmbedding",
    "rotary_embedding",
)


# The right way, a step at a time


@step
def refuse_odd(size):
    if size % 2:
        raise ValueError(f"the size {size} is odd; choose an even number")


@step
def places(max_len):
    return torch.arange(max_len)


@step
def root_of_all(base):
    return base


@step
def exponents(columns, size):
    return columns / size


@step
def frequencies(base, exponent):
    return base**-exponent


@step
def interleave(sine, cosine):
    """sines and cosines in turn"""
    return torch.stack((sine, cosine), dim=-1).flatten(-2)


@step
def present(table):
    return table


@component("refuse_odd", "places", "root_of_all", "exponents", "frequencies", "interleave", "present")
def sinusoidal_encoding(step, max_len, embed_dim):
    step.refuse_odd(embed_dim)
    columns = torch.arange(0, embed_dim, 2)
    frequency = step.frequencies(step.root_of_all(10000.0), step.exponents(columns, embed_dim))
    angle = step.places(max_len).unsqueeze(1) * frequency
    return step.present(step.interleave(torch.sin(angle), torch.cos(angle)))


@step
def find(x, positions):
    return torch.arange(x.shape[-2], device=x.device) if positions is None else positions


@step
def split(x):
    """first of each pair; second of each pair"""
    return x[..., 0::2], x[..., 1::2]


@step
def turn(first, second, sine, cosine):
    """first, turned; second, turned"""
    return first * cosine - second * sine, first * sine + second * cosine


@step
def join(first, second):
    """pairs together"""
    return torch.stack((first, second), dim=-1).flatten(-2)


@component("refuse_odd", "find", "root_of_all", "exponents", "frequencies", "split", "turn", "join")
def rotary_embedding(step, x, positions=None, base=10000.0):
    step.refuse_odd(x.shape[-1])
    columns = torch.arange(0, x.shape[-1], 2, device=x.device, dtype=x.dtype)
    frequency = step.frequencies(step.root_of_all(base), step.exponents(columns, x.shape[-1]))
    angle = step.find(x, positions).unsqueeze(-1) * frequency
    first, second = step.split(x)
    return step.join(*step.turn(first, second, torch.sin(angle), torch.cos(angle)))


def refuse_long(self, time, max_len):
    if time > max_len:
        raise ValueError(f"a sequence of {time} is longer than max_len {max_len}")


def wave_table(max_len, embed_dim):
    angle = torch.arange(max_len).unsqueeze(1) * 10000.0 ** (-torch.arange(0, embed_dim, 2) / embed_dim)
    return torch.stack((torch.sin(angle), torch.cos(angle)), dim=-1).flatten(-2)


@component()
class LearnedPositionalEmbedding(nn.Module):
    refuse_long = refuse_long

    def __init__(self, max_len, embed_dim):
        super().__init__()
        self.max_len = max_len
        self.make_rows(max_len, embed_dim)

    def make_rows(self, max_len, embed_dim):
        self.weight = nn.Parameter(0.02 * torch.randn(max_len, embed_dim))

    def pick(self, x):
        """rows of the positions"""
        return self.weight[: x.shape[1]]

    def combine(self, x, rows):
        """sum with x"""
        return x + rows

    def forward(self, x):
        self.refuse_long(x.shape[1], self.max_len)
        return self.combine(x, self.pick(x))


@component()
class TransformerEmbedding(nn.Module):
    refuse_long = refuse_long

    def __init__(self, vocab_size, embed_dim, max_len, positions="sinusoidal", dropout=0.0):
        super().__init__()
        self.max_len, self.kind = max_len, positions
        self.make_token(vocab_size, embed_dim)
        if positions == "learned":
            self.make_learned(max_len, embed_dim)
        else:
            self.make_waves(max_len, embed_dim)
        self.dropout = nn.Dropout(dropout)

    def make_token(self, vocab_size, embed_dim):
        self.token = nn.Embedding(vocab_size, embed_dim)

    def make_learned(self, max_len, embed_dim):
        self.position = LearnedPositionalEmbedding(max_len, embed_dim)

    def make_waves(self, max_len, embed_dim):
        self.register_buffer("position", wave_table(max_len, embed_dim))

    def table(self):
        """table of positions"""
        return self.position.weight if self.kind == "learned" else self.position

    def look_up(self, tokens):
        """embedding of tokens"""
        return self.token(tokens)

    def place(self, tokens):
        """rows of the positions"""
        return self.table()[: tokens.shape[1]]

    def add(self, x, rows):
        """sum of both"""
        return x + rows

    def drop(self, x):
        return self.dropout(x)

    def embed(self, tokens):
        return self.drop(self.add(self.look_up(tokens), self.place(tokens)))

    def forward(self, tokens):
        self.refuse_long(tokens.shape[1], self.max_len)
        return self.embed(tokens)


# Frequencies


@mistake(
    "exponents",
    symptom="The first pair of features is right; from pair to pair the waves slow down too fast.",
    cause="The exponent is twice what it should be. In `arange(0, size, 2)` the numbers 0, 2, 4, ... are the 2i of "
    "the formula already, and they were multiplied by 2 once more (or divided by half the size).",
    place="Look at the exponent: the number of the even column, divided by the number of features.",
    shows=[
        ("one_pair_is_enough", "right"),
        ("waves_fill_the_table", "differ"),
    ],
)
def exponent_doubled(columns, size):
    return 2 * columns / size


@also("exponent_doubled", SINES)
def exponent_doubled_in_a_loop(max_len, embed_dim):
    if embed_dim % 2:
        raise ValueError(f"embed_dim {embed_dim} is odd")
    table = torch.zeros(max_len, embed_dim)
    for position in range(max_len):
        for i in range(0, embed_dim, 2):
            angle = position / 10000 ** (2 * i / embed_dim)
            table[position, i], table[position, i + 1] = math.sin(angle), math.cos(angle)
    return table


@also("exponent_doubled", SINES)
def exponent_doubled_and_odd_size_not_refused(max_len, embed_dim):
    angle = torch.arange(max_len).unsqueeze(1) / 10000 ** (2 * torch.arange(0, embed_dim, 2) / embed_dim)
    table = torch.zeros(max_len, embed_dim)
    table[:, 0::2], table[:, 1::2] = torch.sin(angle), torch.cos(angle)
    return table


@mistake(
    "exponents",
    symptom="The first pair of features is right; from pair to pair the waves slow down too little.",
    cause="The exponent is half of what it should be: the number of the pair, i, is divided by the number of "
    "features, where the formula has 2i. (A base of 100 for 10000 does the same.) The slowest wave then has a "
    "frequency near 1/100.",
    place="Look at the exponent: 2i, the number of the even column, divided by the number of features. Then count "
    "the zeros of the base.",
    shows=[
        ("one_pair_is_enough", "right"),
        ("waves_fill_the_table", "differ"),
    ],
)
def exponent_halved(columns, size):
    return columns / 2 / size


@mistake(
    "exponents",
    symptom="The first pair of features is right; all others hardly move at all.",
    cause="The exponent is not divided by the number of features, so already the second pair has a frequency of "
    "1/10000² of the first.",
    place="Divide the exponent by embed_dim (or head_dim).",
    shows=[
        ("one_pair_is_enough", "right"),
        ("waves_fill_the_table", "differ"),
    ],
)
def exponent_not_divided(columns, size):
    return columns


@mistake(
    "exponents",
    credit=0.5,
    symptom="With two pairs or more, the first is right, and the others are too slow: the last one has exactly 1 / base.",
    cause="The frequencies are spread so that the last pair has exactly 1/10000, as in tensor2tensor and fairseq. That is a "
    "good table too, but not the formula of the paper, which would reach 1/10000 one pair after the last.",
    place="Divide by the number of pairs, not by that number minus 1.",
    shows=[("waves_fill_the_table", "differ")],
)
def spacing_of_tensor2tensor(columns, size):
    return columns / 2 / max(size // 2 - 1, 1)


@also("spacing_of_tensor2tensor", "exponents")
def spacing_without_care_for_one_pair(columns, size):
    return columns / (size - 2)


@also("spacing_of_tensor2tensor", "exponents")
def spacing_of_fairseq(columns, size):
    return columns / 2 * (1.0 / (size // 2 - 1))


@also("spacing_of_tensor2tensor", "exponents")
def spacing_in_whole_numbers(columns, size):
    return columns / 2 * (1 / (size // 2 - 1))


@mistake(
    "exponents",
    symptom="All pairs of features have the same frequency.",
    cause="The number of the pair does not reach the exponent: it is missing there, or `//` has rounded the quotient down to "
    "0. Waves of one speed all come round at the same position, and from there on nothing is told apart.",
    place="Look at the exponent: it grows from pair to pair, 0/d, 2/d, 4/d and so on, with `/` and not `//`.",
    shows=[("waves_fill_the_table", "differ")],
)
def frequencies_equal(columns, size):
    return columns // size


@also("frequencies_equal", "exponents")
def frequencies_equal_to_that_of_the_second_pair(columns, size):
    return 0 * columns + 2 / size


@also("frequencies_equal", "exponents")
def frequencies_equal_to_the_root_of_that(columns, size):
    return 0 * columns + 1 / size


@also("frequencies_equal", "exponents")
def frequencies_equal_to_the_slowest(columns, size):
    return columns**0


@mistake(
    "exponents",
    symptom="There are two frequencies and no more: 1, and 1 / base.",
    cause="The exponent is a whole number, because `//` rounds it down: 0 for the first pairs and 1 for the last ones.",
    place="Divide with `/`.",
    shows=[("waves_fill_the_table", "differ")],
)
def exponent_rounded_down(columns, size):
    return 2 * columns // size


@mistake(
    "exponents",
    symptom="The first pair of features is the slowest, and from pair to pair the waves become faster.",
    cause="The frequencies stand in the reverse order. Which pair is fast is a convention, but the formula begins with "
    "frequency 1, and weights that were trained with one order do not fit the other.",
    place="Let the exponent begin at 0 and grow: columns 0, 2, 4, ... divided by the number of features.",
    shows=[("waves_fill_the_table", "differ")],
)
def frequencies_reversed(columns, size):
    return columns.flip(0) / size


@also("frequencies_reversed", "exponents")
def frequencies_reversed_from_the_slowest(columns, size):
    return 1 - columns / size


@mistake(
    SINES,
    symptom="The two columns of a pair have different frequencies.",
    cause="Each column has a frequency of its own. The two columns of a pair share one: the odd column 2i + 1 has "
    "the exponent 2i / d, like its neighbour. Only so do they know distances, as sin² + cos² = 1 shows.",
    place="Compute the frequencies from the even columns alone, and use them for both.",
)
def frequency_per_column(max_len, embed_dim):
    if embed_dim % 2:
        raise ValueError(f"embed_dim {embed_dim} is odd")
    angle = torch.arange(max_len).unsqueeze(1) / 10000 ** (torch.arange(embed_dim) / embed_dim)
    table = torch.empty(max_len, embed_dim)
    table[:, 0::2], table[:, 1::2] = torch.sin(angle[:, 0::2]), torch.cos(angle[:, 1::2])
    return table


@also("frequency_per_column", SINES)
def frequency_per_column_doubled(max_len, embed_dim):
    if embed_dim % 2:
        raise ValueError(f"embed_dim {embed_dim} is odd")
    angle = torch.arange(max_len).unsqueeze(1) / 10000 ** (2 * torch.arange(embed_dim) / embed_dim)
    table = torch.empty(max_len, embed_dim)
    table[:, 0::2], table[:, 1::2] = torch.sin(angle[:, 0::2]), torch.cos(angle[:, 1::2])
    return table


@also("frequency_per_column", SINES)
def frequency_per_column_and_odd_size_accepted(max_len, embed_dim):
    angle = torch.arange(max_len).unsqueeze(1) / 10000 ** (torch.arange(embed_dim) / embed_dim)
    table = torch.empty(max_len, embed_dim)
    table[:, 0::2], table[:, 1::2] = torch.sin(angle[:, 0::2]), torch.cos(angle[:, 1::2])
    return table


@also("frequency_per_column", SINES)
def frequency_per_column_and_odd_size_not_named(max_len, embed_dim):
    if embed_dim % 2:
        raise ValueError("the size must be even")
    angle = torch.arange(max_len).unsqueeze(1) / 10000 ** (torch.arange(embed_dim) / embed_dim)
    table = torch.empty(max_len, embed_dim)
    table[:, 0::2], table[:, 1::2] = torch.sin(angle[:, 0::2]), torch.cos(angle[:, 1::2])
    return table


@mistake(
    "root_of_all",
    only=SINES,
    symptom="The first pair of columns is right; the others have waves that are too fast or too slow.",
    cause="The base is another number. The paper has 10000. A missing or superfluous 0 is easy to overlook; and in "
    "exp(-log(10000) ...) it has to be the natural logarithm, math.log, and not log10 or log2.",
    place="Count the zeros, and look at the logarithm if there is one.",
    shows=[
        ("one_pair_is_enough", "right"),
        ("waves_fill_the_table", "differ"),
    ],
)
def base_1000(base):
    return 1000.0


@also("base_1000", "root_of_all")
def base_100000(base):
    return 100000.0


@also("base_1000", "root_of_all")
def logarithm_to_base_10(base):
    return math.exp(math.log10(base))


@also("base_1000", "root_of_all")
def logarithm_to_base_2(base):
    return math.exp(math.log2(base))


@mistake(
    "frequencies",
    symptom="The first pair of features is right; in the others the waves become faster and not slower.",
    cause="The positions are multiplied by 10000^(2i/d), where the formula divides by it.",
    place="Look for a missing minus sign in the exponent, or for a `*` where `/` should be.",
    shows=[
        ("one_pair_is_enough", "right"),
        ("waves_fill_the_table", "differ"),
    ],
)
def frequencies_inverted(base, exponent):
    return base**exponent


@also("frequencies_inverted", SINES)
def minus_missing_in_the_exponential(max_len, embed_dim):
    if embed_dim % 2:
        raise ValueError(f"embed_dim {embed_dim} is odd")
    position = torch.arange(max_len, dtype=torch.float).unsqueeze(1)
    frequency = torch.exp(torch.arange(0, embed_dim, 2).float() * (math.log(10000.0) / embed_dim))
    table = torch.zeros(max_len, embed_dim)
    table[:, 0::2], table[:, 1::2] = torch.sin(position * frequency), torch.cos(position * frequency)
    return table


# Sine, cosine and the order of columns


@mistake(
    "interleave",
    symptom="Position 0 begins with 1, 0, 1, 0 where 0, 1, 0, 1 is expected.",
    cause="Sine and cosine have changed places: even columns are sines, which are 0 at position 0, and odd columns "
    "are cosines. For the network one is as good as the other, but weights trained with one do not fit the "
    "other.",
    place="Look at which of the two goes into the columns 0::2.",
    shows=[("waves_begin_at_position_zero", "differ")],
)
def sine_and_cosine_exchanged(sine, cosine):
    return torch.stack((cosine, sine), dim=-1).flatten(-2)


@mistake(
    "interleave",
    credit=0.5,
    symptom="All waves are there, but the sines fill one half of the columns and the cosines the other.",
    cause="The two halves are concatenated. That is a valid way: tensor2tensor and Marian do it, and since the "
    "network can learn any order of columns, it works as well. The paper's formula, and this course, let sine "
    "and cosine alternate, and weights of one kind do not fit the other.",
    place="Put the sines into the columns 0::2 and the cosines into 1::2, or stack the two and flatten.",
    shows=[("waves_begin_at_position_zero", "differ")],
)
def halves_concatenated(sine, cosine):
    return torch.cat((sine, cosine), dim=-1)


@also("halves_concatenated", "interleave")
def halves_with_the_cosine_first(sine, cosine):
    return torch.cat((cosine, sine), dim=-1)


@mistake(
    "interleave",
    symptom="Neighbouring columns are equal.",
    cause="Both columns of a pair hold the sine. From the sine alone one cannot tell whether the wave is rising or "
    "falling; with the cosine beside it, every angle is different from every other.",
    place="Put the cosine into the odd columns.",
    shows=[("waves_begin_at_position_zero", "constant", "output")],
)
def only_sines(sine, cosine):
    return torch.stack((sine, sine), dim=-1).flatten(-2)


@also("only_sines", "interleave")
def only_cosines(sine, cosine):
    return torch.stack((cosine, cosine), dim=-1).flatten(-2)


# Positions


@mistake(
    "places",
    symptom="Row 0 holds what belongs into row 1, and so on: everything is one position too far.",
    cause="Positions are counted from 1. The first token has position 0, where all sines are 0 and all cosines 1.",
    place="Look at where the positions begin: arange(max_len).",
    shows=[
        ("waves_begin_at_position_zero", "differ"),
        ("learned_rows_are_added", "differ"),
        ("embedding_is_a_sum", "differ"),
        ("rotary_turns_neighbouring_features", "differ"),
    ],
)
def positions_from_one(max_len):
    return torch.arange(1, max_len + 1)


@also("positions_from_one", "pick")
def rows_from_one(self, x):
    return self.weight[1 : x.shape[1] + 1]


@also("positions_from_one", "place")
def rows_of_the_embedding_from_one(self, tokens):
    return self.table()[1 : tokens.shape[1] + 1]


@also("positions_from_one", "find")
def angles_from_one(x, positions):
    return torch.arange(1, x.shape[-2] + 1, device=x.device) if positions is None else positions


@mistake(
    "places",
    symptom="A position's row changes with max_len, and neighbours differ too little.",
    cause="Positions are divided by the number of positions. They are counted 0, 1, 2, ...: the fastest wave moves "
    "by one radian per token, in every table.",
    place="Use the positions as they are.",
)
def positions_divided_by_max_len(max_len):
    return torch.arange(max_len) / max_len


@mistake(
    "places",
    symptom="All waves are too fast, or all too slow, the first pair of columns included.",
    cause="The angles are multiplied by a number, such as 2π or 1/2. The fastest wave moves by one radian per position, "
    "and not by one turn or by half a radian.",
    place="Use position times frequency as the angle, without another factor.",
    shows=[
        ("one_pair_is_enough", "differ"),
    ],
)
def angles_multiplied(max_len):
    return torch.arange(max_len) * (2 * math.pi)


@also("angles_multiplied", "places")
def angles_halved(max_len):
    return torch.arange(max_len) / 2


@also("angles_multiplied", "places")
def angles_doubled(max_len):
    return 2 * torch.arange(max_len)


@mistake(
    "present",
    credit=0.5,
    symptom="The numbers are right, but the table has another shape than [max_len, embed_dim].",
    cause="The table is transposed, or has an axis of size 1 more, for the batch. Broadcasting adds a table "
    "[time, embed_dim] to every sequence of a batch without it.",
    place="Look at what is returned: one row per position, one column per feature.",
    shows=[("waves_fill_the_table", "another shape", "*shape of output")],
)
def table_of_another_shape(table):
    return table.unsqueeze(0)


@also("table_of_another_shape", "present")
def table_with_the_batch_in_the_middle(table):
    return table.unsqueeze(1)


@also("table_of_another_shape", "present")
def table_transposed(table):
    return table.T


@mistake(
    "pick",
    symptom="PyTorch cannot fit the shapes together, or all tokens of a sequence get the same position.",
    cause="Positions are counted along the batch, or along the features. Axis 0 counts sequences and axis 1 their "
    "tokens. When both are equal, or the batch is 1, such code runs without an error.",
    place="Look at which axis gives the number of positions: shape[1].",
)
def batch_indexed(self, x):
    return self.weight[: x.shape[0]]


@also("batch_indexed", "pick")
def batch_indexed_for_each_sequence(self, x):
    return self.weight[: x.shape[0]].unsqueeze(1)


@also("batch_indexed", "place")
def batch_indexed_in_the_embedding(self, tokens):
    return self.table()[: tokens.shape[0]]


@also("batch_indexed", "place")
def batch_indexed_for_each_sequence_in_the_embedding(self, tokens):
    return self.table()[: tokens.shape[0]].unsqueeze(1)


@also("batch_indexed", "pick")
def features_indexed(self, x):
    return self.weight[: x.shape[-1]]


@mistake(
    "find",
    symptom="PyTorch cannot fit the shapes together, or it works for some numbers of axes only.",
    cause="Positions are counted along another axis than time: the batch or the heads. Time is the last axis but "
    "one, however many axes come before it.",
    place="Take the number of positions from x.shape[-2].",
)
def another_axis_counted(x, positions):
    return torch.arange(x.shape[0], device=x.device) if positions is None else positions


@also("another_axis_counted", "find")
def axis_1_counted(x, positions):
    return torch.arange(x.shape[1], device=x.device) if positions is None else positions


@mistake(
    "pick",
    symptom="It works for sequences of max_len tokens, and PyTorch cannot fit the shapes together for shorter ones.",
    cause="The whole table is added. A sequence of `time` tokens needs the first `time` rows.",
    place="Take a slice of the table.",
)
def whole_table_added(self, x):
    return self.weight


@also("whole_table_added", "place")
def whole_table_added_in_the_embedding(self, tokens):
    return self.table()


@mistake(
    "pick",
    symptom="The rows come from the end of the table, so a token's position depends on the length of the sequence.",
    cause="The last `time` rows are taken where the first `time` are meant. The first token has position 0.",
    place="Look at the slice: [:time], not [-time:].",
)
def last_rows_taken(self, x):
    return self.weight[-x.shape[1] :]


@also("last_rows_taken", "place")
def last_rows_taken_in_the_embedding(self, tokens):
    return self.table()[-tokens.shape[1] :]


@mistake(
    "place",
    symptom="Equal tokens get equal vectors, wherever they stand, or a large token raises an IndexError.",
    cause="The table of positions is asked for the tokens, as if a token's number were its place.",
    place="The rows of positions are 0, 1, 2, ..., whatever the tokens are: a slice up to time.",
)
def positions_looked_up_by_token(self, tokens):
    return self.table()[tokens % self.max_len]


@also("positions_looked_up_by_token", "place")
def positions_looked_up_by_token_without_care(self, tokens):
    return F.embedding(tokens, self.table())


# Sizes that do not fit


@mistake(
    "refuse_odd",
    credit=0.5,
    symptom="An odd size is accepted, or ends in an error of PyTorch's that does not say why.",
    cause="Sine and cosine, or the two features that turn together, come in pairs; with an odd size one is left "
    "over. Whoever makes this mistake wants to be told at once, and by which size.",
    place="At the top, raise a ValueError if the size is odd, with the size in its message.",
    shows=[("odd_width_of_waves_is_refused", "differ"), ("odd_head_dim_is_refused", "differ")],
)
def odd_size_accepted(size):
    return None


@also("odd_size_accepted", SINES)
def odd_table_fails_at_its_cosines(max_len, embed_dim):
    angle = torch.arange(max_len).unsqueeze(1) * 10000.0 ** (-torch.arange(0, embed_dim, 2) / embed_dim)
    table = torch.zeros(max_len, embed_dim)
    table[:, 0::2], table[:, 1::2] = torch.sin(angle), torch.cos(angle)
    return table


@also("odd_size_accepted", SINES)
def odd_table_without_its_last_cosine(max_len, embed_dim):
    angle = torch.arange(max_len).unsqueeze(1) * 10000.0 ** (-torch.arange(0, embed_dim, 2) / embed_dim)
    table = torch.zeros(max_len, embed_dim)
    table[:, 0::2], table[:, 1::2] = torch.sin(angle), torch.cos(angle)[:, : embed_dim // 2]
    return table


@also("odd_size_accepted", SINES)
def odd_table_with_one_column_less(max_len, embed_dim):
    pairs = embed_dim // 2
    angle = torch.arange(max_len).unsqueeze(1) * 10000.0 ** (-2 * torch.arange(pairs) / embed_dim)
    return torch.stack((torch.sin(angle), torch.cos(angle)), dim=-1).flatten(-2)


@also("odd_size_accepted", ROTARY)
def last_feature_not_turned(x, positions=None, base=10000.0):
    pairs = x.shape[-1] // 2
    positions = torch.arange(x.shape[-2], device=x.device) if positions is None else positions
    columns = torch.arange(pairs, device=x.device, dtype=x.dtype)
    angle = positions.unsqueeze(-1) * base ** (-2 * columns / x.shape[-1])
    output = x.clone()
    first, second = x[..., 0 : 2 * pairs : 2], x[..., 1::2]
    output[..., 0 : 2 * pairs : 2] = first * torch.cos(angle) - second * torch.sin(angle)
    output[..., 1::2] = first * torch.sin(angle) + second * torch.cos(angle)
    return output


@mistake(
    "refuse_odd",
    credit=0.5,
    symptom="A size that does not fit is refused, but not by a ValueError that names it.",
    cause="The error is of another kind (an assert, which `python -O` removes), or its message leaves a size out. An "
    "error should say what was found: whoever reads it far away from your code needs the numbers.",
    place="Raise a ValueError with the sizes in an f-string.",
    shows=[
        ("waves_fill_the_table", "right"),
        ("learned_rows_are_added", "right"),
        ("embedding_is_a_sum", "right"),
        ("rotary_turns_neighbouring_features", "right"),
    ],
)
def refusal_without_the_size(size):
    if size % 2:
        raise ValueError("the size must be even")


@also("refusal_without_the_size", "refuse_odd")
def refusal_by_assert(size):
    assert size % 2 == 0


@also("refusal_without_the_size", "refuse_long")
def refusal_without_the_length(self, time, max_len):
    if time > max_len:
        raise ValueError("the sequence is too long")


@also("refusal_without_the_size", "refuse_long")
def refusal_without_the_limit(self, time, max_len):
    if time > max_len:
        raise ValueError(f"a sequence of {time} is too long")


@also("refusal_without_the_size", "refuse_long")
def refusal_with_the_limit_alone(self, time, max_len):
    if time > max_len:
        raise ValueError(f"the sequence is longer than {max_len}")


@also("refusal_without_the_size", "refuse_long")
def long_sequence_refused_by_assert(self, time, max_len):
    assert time <= max_len, f"{time} is more than {max_len}"


@also("refusal_without_the_size", "refuse_long")
def long_sequence_refused_by_another_error(self, time, max_len):
    if time > max_len:
        raise IndexError(f"{time} is more than {max_len}")


@mistake(
    "refuse_long",
    credit=0.5,
    only=LEARNED,
    symptom="A sequence longer than max_len is accepted, or ends in an error of PyTorch's that does not say why.",
    cause="The table ends at max_len. Whatever stands in for the missing rows (the first ones again, the last one, "
    "fewer tokens), the model has never been trained for it; it is better to be told.",
    place="Compare time with max_len, and raise a ValueError that names both.",
)
def long_sequence_accepted(self, time, max_len):
    return None


@also("long_sequence_accepted", "refuse_long", only=EMBEDDING)
def long_sequence_accepted_with_waves(self, time, max_len):
    if self.kind == "learned" and time > max_len:  # as LearnedPositionalEmbedding does by itself
        raise ValueError(f"a sequence of {time} is longer than max_len {max_len}")


@also("long_sequence_accepted", "refuse_long", only=EMBEDDING)
def long_sequence_accepted_with_both_kinds(self, time, max_len):
    return None


@also("long_sequence_accepted")
class rows_used_again:
    def refuse_long(self, time, max_len):
        return None

    def pick(self, x):
        return self.weight[torch.arange(x.shape[1], device=x.device) % self.max_len]


@also("long_sequence_accepted")
class last_row_used_again:
    def refuse_long(self, time, max_len):
        return None

    def pick(self, x):
        return self.weight[torch.arange(x.shape[1], device=x.device).clamp(max=self.max_len - 1)]


@also("long_sequence_accepted")
class row_beyond_the_table_asked_for:
    def refuse_long(self, time, max_len):
        return None

    def pick(self, x):
        return F.embedding(torch.arange(x.shape[1], device=x.device), self.weight)


@also("long_sequence_accepted")
class rows_of_the_embedding_used_again:
    def refuse_long(self, time, max_len):
        return None

    def place(self, tokens):
        return self.table()[torch.arange(tokens.shape[1], device=tokens.device) % self.max_len]


@also("long_sequence_accepted")
class row_beyond_the_embeddings_table_asked_for:
    def refuse_long(self, time, max_len):
        return None

    def place(self, tokens):
        return F.embedding(torch.arange(tokens.shape[1], device=tokens.device), self.table())


@also("long_sequence_accepted")
class tokens_beyond_the_table_cut_off:
    def refuse_long(self, time, max_len):
        return None

    def embed(self, tokens):
        tokens = tokens[:, : self.max_len]
        return self.drop(self.add(self.look_up(tokens), self.place(tokens)))


# How position meets token


@mistake(
    "combine",
    symptom="The tokens' vectors have dropped out: only the rows of the positions come back.",
    cause="The rows are returned and not added. This module gives x back with the positions in it.",
    place="Return x plus the rows.",
)
def rows_not_added(self, x, rows):
    return rows


@also("rows_not_added", "combine")
def rows_not_added_but_repeated(self, x, rows):
    return rows.expand_as(x)


@mistake(
    "combine",
    symptom="The result has twice as many features as x.",
    cause="The position is put beside the token's features, not added to them. Every layer behind expects embed_dim "
    "features, and a sum is enough: in that many dimensions there is room for both.",
    place="Add, where you concatenate.",
    shows=[
        ("learned_rows_are_added", "another shape", "*shape of output"),
        ("embedding_is_a_sum", "another shape", "*shape of output"),
    ],
)
def concatenated_instead_of_added(self, x, rows):
    return torch.cat((x, rows.expand_as(x)), dim=-1)


@also("concatenated_instead_of_added", "add")
def concatenated_in_the_embedding(self, x, rows):
    return torch.cat((x, rows.expand_as(x)), dim=-1)


@mistake(
    "combine",
    symptom="The result is a product: where a row holds 0, nothing of the token is left.",
    cause="Token and position are multiplied. The embedding is their sum.",
    place="Add, where you multiply.",
)
def multiplied_instead_of_added(self, x, rows):
    return x * rows


@also("multiplied_instead_of_added", "add")
def multiplied_in_the_embedding(self, x, rows):
    return x * rows


@mistake(
    "add",
    symptom="Nothing is added to the tokens' rows: order leaves no trace.",
    cause="The positions are made, and never added. The network behind would treat the tokens as a set.",
    place="Add the rows of the positions to the tokens' rows.",
    shows=[("embedding_is_a_sum", "zero", "*what is added*")],
)
def positions_missing(self, x, rows):
    return x


@mistake(
    "add",
    symptom="The tokens' rows count twice.",
    cause="LearnedPositionalEmbedding returns its input with the positions already added. Whoever adds its result to "
    "the tokens once more has the tokens twice.",
    place="Return what the learned embedding gives, without another `x +`.",
)
def tokens_counted_twice(self, x, rows):
    return x + x + rows if self.kind == "learned" else x + rows


@mistake(
    "add",
    symptom="The positions count twice.",
    cause="The positions are added in two places.",
    place="Look for a second sum, behind the learned embedding or behind the waves.",
)
def positions_added_twice(self, x, rows):
    return x + rows + rows


@also("positions_added_twice", "add")
def learned_positions_added_twice(self, x, rows):
    return x + rows + rows if self.kind == "learned" else x + rows


@mistake(
    "look_up",
    credit=0.5,
    symptom="The tokens' rows are multiplied by the root of embed_dim.",
    cause="You know your paper: Vaswani et al. (section 3.4) do so, where they share these weights with the output "
    "layer. BERT and GPT-2 do not, and this course leaves the factor out, so that loaded weights fit.",
    place="Take the factor out.",
)
def factor_of_the_paper(self, tokens):
    return self.token(tokens) * math.sqrt(self.token.embedding_dim)


@mistake(
    credit=0.5,
    symptom="There are more trained parameters than two tables, or something comes back normalised.",
    cause="There is a layer norm behind the sum, as BERT has it. In this course the embedding is the plain sum, and a "
    "model that wants a norm there adds it.",
    place="Take the norm out.",
)
class norm_added:
    def make_token(self, vocab_size, embed_dim):
        self.token = nn.Embedding(vocab_size, embed_dim)
        self.norm = nn.LayerNorm(embed_dim)

    def add(self, x, rows):
        return self.norm(x + rows)


@also("norm_added", "add")
def norm_without_parameters_added(self, x, rows):
    return F.layer_norm(x + rows, x.shape[-1:])


@also("norm_added", "look_up")
def tokens_normalised(self, tokens):
    return F.layer_norm(self.token(tokens), (self.token.embedding_dim,))


# Dropout


@mistake(
    "drop",
    symptom="In training nothing is dropped.",
    cause="The dropout is missing, or made and never called.",
    place="Apply it to the sum, at the very end.",
    shows=[("embedding_drops_the_sum", "not zero", "*output")],
)
def dropout_missing(self, x):
    return x


@mistake(
    "embed",
    symptom="With a dropout of 1 something is left in training: one of the two summands.",
    cause="Dropout acts on the tokens alone, or on the positions alone. The paper applies it to their sum.",
    place="Add first, then drop.",
)
def dropout_on_one_summand(self, tokens):
    return self.add(self.drop(self.look_up(tokens)), self.place(tokens))


@also("dropout_on_one_summand", "embed")
def dropout_on_the_positions(self, tokens):
    return self.add(self.look_up(tokens), self.drop(self.place(tokens)))


@mistake(
    "drop",
    symptom="In evaluation mode numbers are dropped, and the result changes from call to call.",
    cause="F.dropout is called without saying whether the module is training, and it takes that for yes.",
    place="Use nn.Dropout, which is told by train() and eval(), or pass self.training.",
)
def dropout_in_evaluation(self, x):
    return F.dropout(x, self.dropout.p)


@mistake(
    "drop",
    credit=0.5,
    symptom="In training the numbers that are kept stay as they are.",
    cause="Dropout makes up for what it takes: what is kept is divided by the probability with which it is kept, so "
    "that the sum over many features stays the same on average. Then nothing has to change in evaluation.",
    place="Use nn.Dropout, or divide by 1 - dropout.",
    shows=[("embedding_makes_up_for_what_is_dropped", "is 0, or stays as it is")],
)
def dropout_not_made_up_for(self, x):
    return x * (torch.rand(x.shape, device=x.device) >= self.dropout.p) if self.training else x


# The tables


@mistake(
    "make_token",
    credit=0.5,
    symptom="The row of token 0 gets no gradient.",
    cause="padding_idx=0 makes a token of padding of token 0: its row starts at 0 and is never trained. In this course "
    "every token has a row that is trained, and padding is hidden by masks.",
    place="Leave padding_idx out.",
    shows=[("embedding_trains_every_row", "zero")],
)
def token_0_taken_for_padding(self, vocab_size, embed_dim):
    self.token = nn.Embedding(vocab_size, embed_dim, padding_idx=0)


@mistake(
    "make_rows",
    symptom="weight is missing from the state dict, or is there and not trained.",
    cause="A plain tensor as an attribute is no parameter: the optimizer does not find it, the state dict does not "
    "save it, and it stays behind when the model moves to a GPU. A buffer is saved and moved, but not "
    "trained; here the rows are to be learned.",
    place="Wrap the table in nn.Parameter where it is assigned in __init__.",
    shows=[("learned_table_is_a_parameter", "differ")],
)
def rows_not_registered(self, max_len, embed_dim):
    self.weight = torch.zeros(max_len, embed_dim)


@also("rows_not_registered", "make_rows")
def rows_as_a_buffer(self, max_len, embed_dim):
    self.register_buffer("weight", torch.zeros(max_len, embed_dim))


@also("rows_not_registered", "make_rows")
def rows_frozen(self, max_len, embed_dim):
    self.weight = nn.Parameter(0.02 * torch.randn(max_len, embed_dim), requires_grad=False)


@also("rows_not_registered", "make_rows")
def rows_are_waves(self, max_len, embed_dim):
    self.register_buffer("weight", torch.arange(max_len).unsqueeze(1) * torch.ones(embed_dim) / max_len)


@mistake(
    "make_rows",
    credit=0.5,
    symptom="With a weight that is given all is right, but a new one holds the same number everywhere.",
    cause="A table that starts at one number gives all positions the same vector, so a new model cannot tell them apart. "
    "Small random numbers differ from the first step on, and are no louder than the tokens.",
    place="Look at what nn.Parameter is given in __init__.",
    shows=[("learned_rows_start_at_random", "is alike"), ("learned_rows_are_added", "right")],
)
def rows_start_alike(self, max_len, embed_dim):
    self.weight = nn.Parameter(torch.zeros(max_len, embed_dim))


@also("rows_start_alike", "make_rows")
def rows_start_at_one(self, max_len, embed_dim):
    self.weight = nn.Parameter(torch.ones(max_len, embed_dim))


@mistake(
    "make_rows",
    credit=0.5,
    symptom="weight is there, but its shape is not [max_len, embed_dim].",
    cause="The table is transposed, or has an axis of size 1 more. Broadcasting adds [time, embed_dim] to every "
    "sequence without it, and weights of another model would not fit.",
    place="Look at the sizes in __init__: one row per position.",
)
def rows_of_another_shape(self, max_len, embed_dim):
    self.weight = nn.Parameter(0.02 * torch.randn(embed_dim, max_len))


@also("rows_of_another_shape")
class rows_with_an_axis_for_the_batch:
    def make_rows(self, max_len, embed_dim):
        self.weight = nn.Parameter(0.02 * torch.randn(1, max_len, embed_dim))

    def pick(self, x):
        return self.weight[:, : x.shape[1]]


@also("rows_of_another_shape")
class columns_as_positions:
    def make_rows(self, max_len, embed_dim):
        self.weight = nn.Parameter(0.02 * torch.randn(embed_dim, max_len))

    def pick(self, x):
        return self.weight[:, : x.shape[1]].T


@mistake(
    credit=0.5,
    symptom="There is a trained table of the right shape, but not under the name weight.",
    cause="The names are part of the contract, because weights are loaded by name. An nn.Embedding inside gives "
    "`embedding.weight` or the like.",
    place="Make the table an nn.Parameter, and assign it to `self.weight`.",
    shows=[
        ("learned_table_is_a_parameter", "is missing", "weight in the state dict"),
        ("learned_rows_are_added", "right"),
    ],
)
class rows_under_another_name:
    def make_rows(self, max_len, embed_dim):
        self.embedding = nn.Embedding(max_len, embed_dim)

    def pick(self, x):
        return self.embedding(torch.arange(x.shape[1], device=x.device))


@mistake(
    "make_waves",
    symptom="With sinusoidal positions the table is trained.",
    cause="The waves are an nn.Parameter (or an nn.Embedding that is not frozen), or the table is a learned one "
    "whatever positions says. Fixed waves are a buffer: saved and moved with the model, and left as they are.",
    place="Use self.register_buffer for the waves, and choose by the argument positions.",
    shows=[("embedding_has_two_tables", "is yes", "sinusoidal: entry position... is trained")],
)
def waves_trainable(self, max_len, embed_dim):
    self.position = nn.Parameter(wave_table(max_len, embed_dim))


@also("waves_trainable")
class waves_trainable_in_an_embedding:
    def make_waves(self, max_len, embed_dim):
        self.position = nn.Embedding.from_pretrained(wave_table(max_len, embed_dim), freeze=False)

    def table(self):
        return self.position.weight


@mistake(
    "make_waves",
    credit=0.5,
    symptom="The state dict has no table of positions, or the table stays behind when the model moves to a GPU.",
    cause="The waves are a plain attribute, a buffer that is not saved, or are made anew in each call. A buffer that "
    "is saved travels with the model, and whoever loads it gets the very table it was trained with.",
    place='Use self.register_buffer("position", ...) in __init__.',
)
def waves_not_in_the_state_dict(self, max_len, embed_dim):
    self.position = wave_table(max_len, embed_dim)


@also("waves_not_in_the_state_dict", "make_waves")
def waves_in_a_buffer_that_is_not_saved(self, max_len, embed_dim):
    self.register_buffer("position", wave_table(max_len, embed_dim), persistent=False)


@also("waves_not_in_the_state_dict")
class waves_made_in_each_call:
    def make_waves(self, max_len, embed_dim):
        self.width = embed_dim

    def table(self):
        return self.position.weight if self.kind == "learned" else wave_table(self.max_len, self.width)


@also("waves_not_in_the_state_dict")
class waves_made_on_the_tokens_device:
    def make_waves(self, max_len, embed_dim):
        self.width = embed_dim

    def table(self):
        device = self.token.weight.device
        return self.position.weight if self.kind == "learned" else wave_table(self.max_len, self.width).to(device)


@mistake(
    credit=0.5,
    symptom="There is a table of positions, but its name does not begin with `position`, or it has another shape.",
    cause="Name and shape are part of the contract, because weights are loaded by them: one entry whose name begins "
    "with `position`, of shape [max_len, embed_dim].",
    place="Look at the name and the shape of what __init__ makes for the positions.",
    shows=[("embedding_has_two_tables", "is under another name, or of another shape")],
)
class table_under_another_name:
    def make_learned(self, max_len, embed_dim):
        self.pe = LearnedPositionalEmbedding(max_len, embed_dim)

    def make_waves(self, max_len, embed_dim):
        self.register_buffer("pe", wave_table(max_len, embed_dim))

    def table(self):
        return self.pe.weight if self.kind == "learned" else self.pe


@also("table_under_another_name")
class waves_under_another_name:
    def make_waves(self, max_len, embed_dim):
        self.register_buffer("pe", wave_table(max_len, embed_dim))

    def table(self):
        return self.position.weight if self.kind == "learned" else self.pe


@also("table_under_another_name")
class waves_with_an_axis_for_the_batch:
    def make_waves(self, max_len, embed_dim):
        self.register_buffer("position", wave_table(max_len, embed_dim).unsqueeze(0))

    def place(self, tokens):
        return self.table()[: tokens.shape[1]] if self.kind == "learned" else self.position[:, : tokens.shape[1]]


@mistake(
    credit=0.5,
    symptom="token.weight is missing from the state dict.",
    cause="The token embedding has another name. The names are part of the contract, because weights are loaded by "
    "name.",
    place="Call the attribute `token`.",
    shows=[("embedding_has_two_tables", "is missing", "*token.weight in the state dict")],
)
class tokens_under_another_name:
    def make_token(self, vocab_size, embed_dim):
        self.token_embedding = nn.Embedding(vocab_size, embed_dim)

    def look_up(self, tokens):
        return self.token_embedding(tokens)


@also("tokens_under_another_name")
class tokens_called_embedding:
    def make_token(self, vocab_size, embed_dim):
        self.embedding = nn.Embedding(vocab_size, embed_dim)

    def look_up(self, tokens):
        return self.embedding(tokens)


@mistake(
    "make_token",
    symptom="token.weight has another shape than [vocab_size, embed_dim], and looking tokens up fails.",
    cause="The sizes of nn.Embedding have changed places: first how many rows there are, then how long each is.",
    place="nn.Embedding(vocab_size, embed_dim).",
)
def token_sizes_exchanged(self, vocab_size, embed_dim):
    self.token = nn.Embedding(embed_dim, vocab_size)


@mistake(
    "make_learned",
    symptom="With learned positions the table is not trained: it holds the waves.",
    cause="The argument positions is never asked for, so the waves stand for both kinds.",
    place="Choose by it in __init__, and use the same choice in forward.",
)
def positions_argument_ignored(self, max_len, embed_dim):
    self.make_waves(max_len, embed_dim)
    self.kind = "sinusoidal"


@also("waves_trainable", "make_waves")
def always_learned(self, max_len, embed_dim):
    self.make_learned(max_len, embed_dim)
    self.kind = "learned"


# Rotary


@mistake(
    credit=0.5,
    symptom="Each vector keeps its length, but other features turn together: i and i + head_dim / 2.",
    cause="This is a right rotary embedding in the order of GPT-NeoX, and of Llama in transformers, often written "
    "with a function rotate_half. It does the same on features in another order. This exercise has the order "
    "of the paper, where neighbours 2i and 2i + 1 form a pair, and weights of one order do not fit the other.",
    place="Take the features 0::2 and 1::2 where you take the two halves, and interleave the results.",
    shows=[
        ("rotary_turns_neighbouring_features", "right", "*length of each vector"),
        ("rotary_turns_neighbouring_features", "differ", "*output"),
    ],
)
class halves_paired:
    def split(x):
        return x.chunk(2, dim=-1)

    def join(first, second):
        return torch.cat((first, second), dim=-1)


@also("halves_paired", ROTARY)
def halves_paired_by_rotate_half(x, positions=None, base=10000.0):
    if x.shape[-1] % 2:
        raise ValueError(f"head_dim {x.shape[-1]} is odd")
    if positions is None:
        positions = torch.arange(x.shape[-2], device=x.device)
    frequency = 1.0 / base ** (torch.arange(0, x.shape[-1], 2, device=x.device).to(x.dtype) / x.shape[-1])
    angle = positions[..., None] * frequency
    angle = torch.cat((angle, angle), dim=-1)
    first, second = x.chunk(2, dim=-1)
    return x * angle.cos() + torch.cat((-second, first), dim=-1) * angle.sin()


@mistake(
    "join",
    symptom="Each vector keeps its length, but its features come back in another order.",
    cause="The pairs are taken apart in one way and put together in the other: neighbours are turned and then written "
    "as two halves, or halves are turned and then interleaved. Query and key would both be shuffled alike, so "
    "their scores still know distances, but the result is not that of the paper.",
    place="What was taken from 0::2 and 1::2 has to go back there: stack along a new last axis, then flatten.",
    shows=[
        ("rotary_turns_neighbouring_features", "right", "*length of each vector"),
        ("rotary_turns_neighbouring_features", "differ", "*output"),
    ],
)
def pairs_written_as_halves(first, second):
    return torch.cat((first, second), dim=-1)


@also("pairs_written_as_halves", "split")
def halves_written_as_pairs(x):
    return x.chunk(2, dim=-1)


@mistake(
    ROTARY,
    symptom="The vectors do not keep their lengths, so nothing was turned.",
    cause="Two ways to form pairs are mixed: the angles are repeated for neighbours (repeat_interleave) while rotate_half "
    "exchanges the two halves, or the other way round. Then the two features of a pair get different angles.",
    place="Decide for neighbours, in the angles and in the exchange of features.",
    shows=[("rotary_turns_neighbouring_features", "differ", "*length of each vector")],
)
def two_pairings_mixed(x, positions=None, base=10000.0):
    if x.shape[-1] % 2:
        raise ValueError(f"head_dim {x.shape[-1]} is odd")
    if positions is None:
        positions = torch.arange(x.shape[-2], device=x.device)
    frequency = base ** (-torch.arange(0, x.shape[-1], 2, device=x.device).to(x.dtype) / x.shape[-1])
    angle = (positions.unsqueeze(-1) * frequency).repeat_interleave(2, dim=-1)
    first, second = x.chunk(2, dim=-1)
    return x * angle.cos() + torch.cat((-second, first), dim=-1) * angle.sin()


@also("two_pairings_mixed", ROTARY)
def two_pairings_mixed_the_other_way(x, positions=None, base=10000.0):
    if x.shape[-1] % 2:
        raise ValueError(f"head_dim {x.shape[-1]} is odd")
    if positions is None:
        positions = torch.arange(x.shape[-2], device=x.device)
    frequency = base ** (-torch.arange(0, x.shape[-1], 2, device=x.device).to(x.dtype) / x.shape[-1])
    angle = positions.unsqueeze(-1) * frequency
    angle = torch.cat((angle, angle), dim=-1)
    exchanged = torch.stack((-x[..., 1::2], x[..., 0::2]), dim=-1).flatten(-2)
    return x * angle.cos() + exchanged * angle.sin()


@mistake(
    "turn",
    symptom="Lengths are kept, but each pair has turned the wrong way.",
    cause="The rotation runs backwards: the minus sign stands before the other sine. Scores still know the distance "
    "of query and key, but before and after have changed places, and weights that were trained the usual way "
    "do not fit.",
    place="The new first feature is first · cos - second · sin, the new second one first · sin + second · cos.",
    shows=[
        ("rotary_turns_neighbouring_features", "right", "*length of each*"),
        ("rotary_turns_neighbouring_features", "differ", "*output"),
    ],
)
def turned_backwards(first, second, sine, cosine):
    return first * cosine + second * sine, second * cosine - first * sine


@mistake(
    "turn",
    symptom="The vectors do not keep their lengths.",
    cause="The minus sign of the rotation is missing (or there are two). With two plus signs, vectors are stretched "
    "and squeezed; only one of the two products with the sine is subtracted.",
    place="The new first feature is first · cos - second · sin, the new second one first · sin + second · cos.",
    shows=[("rotary_turns_neighbouring_features", "differ", "*length of each vector")],
)
def minus_sign_missing(first, second, sine, cosine):
    return first * cosine + second * sine, first * sine + second * cosine


@also("minus_sign_missing", "turn")
def two_minus_signs(first, second, sine, cosine):
    return first * cosine - second * sine, second * cosine - first * sine


@mistake(
    "turn",
    symptom="The first feature of each pair is right, the second is not, and lengths are not kept.",
    cause="The second line reads the first feature after the first line has overwritten it. Both lines of the "
    "rotation need both features as they came.",
    place="Keep both features under names of their own before you assign anything.",
    shows=[("rotary_turns_neighbouring_features", "differ", "*length of each vector")],
)
def first_feature_overwritten(first, second, sine, cosine):
    first = first * cosine - second * sine
    return first, first * sine + second * cosine


@mistake(
    "turn",
    symptom="Position 0 is changed: its features have changed places there.",
    cause="Sine and cosine are exchanged. At position 0 the angle is 0, the cosine 1 and the sine 0, so each feature "
    "has to be multiplied by the cosine to stay as it is.",
    place="Look at which of the two multiplies the feature itself.",
)
def sine_and_cosine_of_the_turn_exchanged(first, second, sine, cosine):
    return first * sine - second * cosine, first * cosine + second * sine


@mistake(
    "turn",
    symptom="The features shrink with the position and never mix.",
    cause="Each feature is only multiplied by a cosine (or by cosine and sine apart). A rotation mixes the two "
    "features of a pair; that is how the length is kept.",
    place="Add the products with the sine of the other feature.",
    shows=[("rotary_turns_neighbouring_features", "differ", "*length of each vector")],
)
def features_not_mixed(first, second, sine, cosine):
    return first * cosine, second * cosine


@also("features_not_mixed", "turn")
def features_multiplied_by_waves(first, second, sine, cosine):
    return first * sine, second * cosine


@mistake(
    "turn",
    symptom="The waves are added, and x itself is not turned.",
    cause="This is the sinusoidal encoding. The rotary embedding adds nothing: it turns each pair of features.",
    place="Replace the sum by the two lines of the rotation.",
)
def waves_added(first, second, sine, cosine):
    return first + sine, second + cosine


@mistake(
    "find",
    credit=0.5,
    symptom="The argument positions makes no difference.",
    cause="Positions are always 0, 1, 2, ... With a key-value cache the query's position is far from 0, so it has to "
    "be possible to say.",
    place="Make positions yourself only if there are none.",
    shows=[("rotary_takes_positions", "differ")],
)
def positions_ignored(x, positions):
    return torch.arange(x.shape[-2], device=x.device)


@mistake(
    "root_of_all",
    only=ROTARY,
    credit=0.5,
    symptom="The argument base makes no difference.",
    cause="A fixed 10000 stands where base should. Models for long texts have a larger base: Llama 3 has 500000.",
    place="Follow base from the argument to the frequencies.",
    shows=[("rotary_uses_its_base", "differ")],
)
def base_ignored(base):
    return 10000.0


@mistake(
    ROTARY,
    credit=0.5,
    symptom="Right wherever base is given; without it, the frequencies are other ones.",
    cause="The default of base is another one. The paper has 10000.",
    place="Look at the list of parameters: base=10000.0.",
    shows=[("rotary_uses_its_base", "right"), ("rotary_turns_neighbouring_features", "differ")],
)
def another_default_base(x, positions=None, base=1000.0):
    if x.shape[-1] % 2:
        raise ValueError(f"head_dim {x.shape[-1]} is odd")
    positions = torch.arange(x.shape[-2], device=x.device) if positions is None else positions
    column = torch.arange(0, x.shape[-1], 2, device=x.device, dtype=x.dtype)
    angle = positions.unsqueeze(-1) * base ** (-column / x.shape[-1])
    first, second = x[..., 0::2], x[..., 1::2]
    return torch.stack(
        (first * angle.cos() - second * angle.sin(), first * angle.sin() + second * angle.cos()), dim=-1
    ).flatten(-2)


@also("another_default_base", ROTARY)
def default_base_of_llama_3(x, positions=None, base=500000.0):
    if x.shape[-1] % 2:
        raise ValueError(f"head_dim {x.shape[-1]} is odd")
    positions = torch.arange(x.shape[-2], device=x.device) if positions is None else positions
    column = torch.arange(0, x.shape[-1], 2, device=x.device, dtype=x.dtype)
    angle = positions.unsqueeze(-1) * base ** (-column / x.shape[-1])
    first, second = x[..., 0::2], x[..., 1::2]
    return torch.stack(
        (first * angle.cos() - second * angle.sin(), first * angle.sin() + second * angle.cos()), dim=-1
    ).flatten(-2)


# Habits


@mistake(
    ROTARY,
    credit=0.5,
    symptom="float32 and float64 are turned rightly, and half precision raises an error or comes back in another dtype.",
    cause="PyTorch has complex numbers of two float32 or two float64, none of bfloat16, and hardly any of float16. "
    "Large models compute in half precision, and Llama's code turns its features in float32 and brings them back.",
    place="Give view_as_complex x.float(), and bring the result back with .to(x.dtype).",
    shows=[("rotary_keeps_half_precision", "differ"), ("rotary_turns_neighbouring_features", "right")],
)
def complex_numbers_of_half_precision(x, positions=None, base=10000.0):
    if x.shape[-1] % 2:
        raise ValueError(f"head_dim {x.shape[-1]} is odd")
    if positions is None:
        positions = torch.arange(x.shape[-2], device=x.device)
    theta = 1.0 / base ** (torch.arange(0, x.shape[-1], 2, device=x.device) / x.shape[-1])
    angle = positions[..., None] * theta
    turns = torch.polar(torch.ones_like(angle), angle)
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)


# Find the bug


@component()
def position_bug_input(step):
    return torch.zeros(1, 7, dtype=torch.long), torch.zeros(1, 2, dtype=torch.long)


@mistake(
    "position_bug_input",
    symptom="On your input the broken embedding is right.",
    cause="The whole sequence is shorter than the table, so there is a row for each token, wherever the new ones "
    "begin.",
    place="Let the table end in the middle of the new tokens, or before them.",
)
def shorter_than_the_table():
    return torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([[7, 8], [9, 10]])


@mistake(
    "position_bug_input",
    symptom="On your input the broken embedding is right.",
    cause="The last token gets the last row: the sequence is exactly as long as the table.",
    place="Go one step further, and look at what the slice holds then.",
)
def exactly_as_long_as_the_table():
    return torch.zeros(1, 5, dtype=torch.long), torch.zeros(1, 3, dtype=torch.long)


@mistake(
    "position_bug_input",
    symptom="On your input the broken embedding raises a ValueError, and so it should.",
    cause="There are more new tokens than max_len, and these are counted.",
    place="What is not counted? Let the new tokens be few, and those before them many.",
)
def more_new_tokens_than_rows():
    return torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 9, dtype=torch.long)


@mistake(
    "position_bug_input",
    symptom="On your input the broken embedding raises an error, though one of PyTorch's own.",
    cause="You are close: the sequence is too long, and nothing has noticed it. But the number of rows that are left "
    "is neither 1 nor that of the new tokens, so PyTorch cannot add them.",
    place="Choose how many tokens come before so that the rows that are left *can* be added. What does broadcasting "
    "stretch?",
)
def rows_that_cannot_be_added():
    return torch.zeros(1, 6, dtype=torch.long), torch.zeros(1, 4, dtype=torch.long)


@also("rows_that_cannot_be_added", "position_bug_input")
def no_rows_for_several_tokens():
    return torch.zeros(1, 9, dtype=torch.long), torch.zeros(1, 3, dtype=torch.long)


@mistake(
    "position_bug_input",
    symptom="What comes back cannot be given to an embedding.",
    cause="before and new are integers from 0 to 12, both [batch, time] with the same batch, and neither is empty.",
    place="Compare with the docstring, and return both: before, new.",
)
def input_that_does_not_fit():
    return torch.zeros(1, 7), torch.zeros(1, 2)


@also("input_that_does_not_fit", "position_bug_input")
def input_with_an_unknown_token():
    return torch.full((1, 7), 13), torch.zeros(1, 2, dtype=torch.long)


@also("input_that_does_not_fit", "position_bug_input")
def input_of_two_batches():
    return torch.zeros(2, 7, dtype=torch.long), torch.zeros(3, 2, dtype=torch.long)


@also("input_that_does_not_fit", "position_bug_input")
def start_in_place_of_the_tokens_before():
    return torch.zeros(1, 2, dtype=torch.long), 7
