"""Wrong answers to lesson 9, each with its sentences: what is seen, why it is wrong, where to look."""

import torch
import torch.nn.functional as F
from torch import nn

from autograder.mistakes import Catalogue

catalogue = Catalogue()
step, component, mistake, also = catalogue.step, catalogue.component, catalogue.mistake, catalogue.also


# The right way, a step at a time. LayerNorm has the same steps as methods, so their first argument is `self`.


@step
def mean(self, x):
    return x.mean(dim=-1, keepdim=True)


@step
def variance(self, x):
    return x.var(dim=-1, unbiased=False, keepdim=True)


@step
def root(self, square, eps):
    """root of variance and eps"""
    return torch.sqrt(square + eps)


@step
def affine(self, normed, weight, bias):
    """weight and bias"""
    return normed * weight + bias


@component("mean", "variance", "root", "affine")
def layer_norm(step, x, weight, bias, eps=1e-5):
    normed = (x - step.mean(step, x)) / step.root(step, step.variance(step, x), eps)
    return step.affine(step, normed, weight, bias)


@component()
class LayerNorm(nn.Module):
    mean, variance, root, affine = mean, variance, root, affine

    def __init__(self, embed_dim, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.make(embed_dim)

    def make(self, embed_dim):
        self.weight = nn.Parameter(torch.ones(embed_dim))
        self.bias = nn.Parameter(torch.zeros(embed_dim))

    def compute(self, x):
        normed = (x - self.mean(x)) / self.root(self.variance(x), self.eps)
        return self.affine(normed, self.weight, self.bias)

    def forward(self, x):
        return self.compute(x)


@component()
class RMSNorm(nn.Module):
    root = root

    def __init__(self, embed_dim, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.make_weight(embed_dim)

    def make_weight(self, embed_dim):
        self.weight = nn.Parameter(torch.ones(embed_dim))

    def mean_square(self, x):
        """mean square"""
        return x.pow(2).mean(dim=-1, keepdim=True)

    def gain(self, normed):
        """weight"""
        return normed * self.weight

    def divide(self, x):
        return self.gain(x / self.root(self.mean_square(x), self.eps))

    def forward(self, x):
        return self.divide(x)


@component()
class ResidualConnection(nn.Module):
    def __init__(self, embed_dim, norm_first):
        super().__init__()
        self.norm_first = norm_first
        self.make_norm(embed_dim)

    def make_norm(self, embed_dim):
        self.norm = LayerNorm(embed_dim)

    def before(self, x, sublayer):
        """sum with x"""
        return x + sublayer(self.norm(x))

    def after(self, x, sublayer):
        """norm of the sum"""
        return self.norm(x + sublayer(x))

    def choose(self, x, sublayer):
        return self.before(x, sublayer) if self.norm_first else self.after(x, sublayer)

    def forward(self, x, sublayer):
        return self.choose(x, sublayer)


# Mean and variance


@mistake(
    "variance",
    symptom="The result is too small: by 13 % with 4 features, by 11 % with 5.",
    cause="The variance is divided by embed_dim - 1, as torch.var and torch.std do unless told otherwise. That is "
    "for guessing the variance of a population from a sample; here the features are all there is, so their "
    "squared deviations are simply averaged.",
    place="Give var or std the argument unbiased=False (correction=0 says the same).",
    shows=[("positions_are_normalised", "smaller", "output")],
)
def unbiased_variance(self, x):
    return x.var(dim=-1, keepdim=True)


@mistake(
    symptom="The result is too small, by 10 % or more with few features, and eps acts too weakly or too strongly.",
    cause="Two things at once that often come together, as `(x - mean) / (x.std() + eps)`: std divides by "
    "embed_dim - 1, and eps stands outside of the root. Many tutorials have this line, and it trains well, "
    "but it is not what the paper and PyTorch compute.",
    place="Take the variance with unbiased=False, add eps to it, then take the root.",
    shows=[("positions_are_normalised", "smaller", "output")],
)
class std_plus_eps:
    def variance(self, x):
        return x.var(dim=-1, keepdim=True)

    def root(self, square, eps):
        return square.sqrt() + eps


@also("std_plus_eps", "layer_norm")
def std_plus_eps_in_one_line(x, weight, bias, eps=1e-5):
    return weight * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + eps) + bias


@also("std_plus_eps", "compute")
def std_plus_eps_in_a_module(self, x):
    return self.weight * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + self.eps) + self.bias


@mistake(
    symptom="A position's result depends on the other positions, or on the other sequences of the batch.",
    cause="The mean, or the mean of the squares, runs over another axis than the features: over the sequence, over "
    "the batch, or over several axes at once. These norms look at one position at a time; otherwise tokens "
    "would see each other here, even the later ones, past every mask.",
    place="Look at `dim` wherever something is averaged: it should be -1, and nothing else.",
)
class normalised_over_another_axis:
    def mean(self, x):
        return x.mean(dim=-2, keepdim=True)

    def variance(self, x):
        return x.var(dim=-2, unbiased=False, keepdim=True)


@also("normalised_over_another_axis")
class normalised_over_the_second_axis:
    def mean(self, x):
        return x.mean(dim=1, keepdim=True)

    def variance(self, x):
        return x.var(dim=1, unbiased=False, keepdim=True)


@also("normalised_over_another_axis")
class normalised_over_the_batch:
    def mean(self, x):
        return x.mean(dim=0, keepdim=True)

    def variance(self, x):
        return x.var(dim=0, unbiased=False, keepdim=True)


@also("normalised_over_another_axis")
class normalised_over_sequence_and_features:
    def mean(self, x):
        return x.mean(dim=(-2, -1), keepdim=True)

    def variance(self, x):
        return x.var(dim=(-2, -1), unbiased=False, keepdim=True)


@also("normalised_over_another_axis")
class normalised_over_batch_and_sequence:
    def mean(self, x):
        return x.mean(dim=(0, 1), keepdim=True)

    def variance(self, x):
        return x.var(dim=(0, 1), unbiased=False, keepdim=True)


@also("normalised_over_another_axis")
class normalised_over_all_but_the_batch:
    def mean(self, x):
        return x.mean(dim=(1, 2), keepdim=True)

    def variance(self, x):
        return x.var(dim=(1, 2), unbiased=False, keepdim=True)


@also("normalised_over_another_axis")
class normalised_over_everything:
    def mean(self, x):
        return x.mean()

    def variance(self, x):
        return x.var(unbiased=False)


@also("normalised_over_another_axis", "mean")
def mean_over_the_sequence(self, x):
    return x.mean(dim=-2, keepdim=True)


@also("normalised_over_another_axis", "variance")
def variance_over_the_sequence(self, x):
    return x.var(dim=-2, unbiased=False, keepdim=True)


@also("normalised_over_another_axis", "mean_square")
def mean_square_over_the_sequence(self, x):
    return x.pow(2).mean(dim=-2, keepdim=True)


@also("normalised_over_another_axis", "mean_square")
def mean_square_over_the_second_axis(self, x):
    return x.pow(2).mean(dim=1, keepdim=True)


@also("normalised_over_another_axis", "mean_square")
def mean_square_over_the_batch(self, x):
    return x.pow(2).mean(dim=0, keepdim=True)


@also("normalised_over_another_axis", "mean_square")
def mean_square_over_sequence_and_features(self, x):
    return x.pow(2).mean(dim=(-2, -1), keepdim=True)


@also("normalised_over_another_axis", "mean_square")
def mean_square_over_everything(self, x):
    return x.pow(2).mean()


@mistake(
    symptom="In evaluation mode the result is another one than in training mode.",
    cause="Averages that were kept from training take the place of those of this position. Batch normalisation does so; "
    "layer normalisation measures the position that it normalises, in training and in evaluation alike.",
    place="Take mean and variance of x itself, whether self.training is True or False.",
    shows=[("norm_is_the_same_in_training", "is yes")],
)
class averages_kept_from_training:
    def make(self, embed_dim):
        self.weight, self.bias = nn.Parameter(torch.ones(embed_dim)), nn.Parameter(torch.zeros(embed_dim))
        self.register_buffer("running_mean", torch.zeros(1))
        self.register_buffer("running_variance", torch.ones(1))

    def mean(self, x):
        if self.training:
            self.running_mean = 0.9 * self.running_mean + 0.1 * x.mean().detach()
            return x.mean(dim=-1, keepdim=True)
        return self.running_mean

    def variance(self, x):
        if self.training:
            self.running_variance = 0.9 * self.running_variance + 0.1 * x.var().detach()
            return x.var(dim=-1, unbiased=False, keepdim=True)
        return self.running_variance


@also("averages_kept_from_training")
class averages_of_each_feature_kept_from_training:
    def make(self, embed_dim):
        self.weight, self.bias = nn.Parameter(torch.ones(embed_dim)), nn.Parameter(torch.zeros(embed_dim))
        self.register_buffer("running_mean", torch.zeros(embed_dim))
        self.register_buffer("running_var", torch.ones(embed_dim))

    def mean(self, x):
        axes = tuple(range(x.dim() - 1))
        if self.training:
            self.running_mean = 0.9 * self.running_mean + 0.1 * x.mean(dim=axes).detach()
        return x.mean(dim=axes) if self.training else self.running_mean

    def variance(self, x):
        axes = tuple(range(x.dim() - 1))
        if self.training:
            self.running_var = 0.9 * self.running_var + 0.1 * x.var(dim=axes).detach()
        return x.var(dim=axes, unbiased=False) if self.training else self.running_var


@mistake(
    symptom="PyTorch cannot fit the shapes together, or x of equal sizes gives other numbers.",
    cause="The averages have lost the axis over which they run: [batch, time] instead of [batch, time, 1]. "
    "Broadcasting lines up axes from the right, so time would meet embed_dim.",
    place="Give mean and var the argument keepdim=True.",
    shows=[("positions_are_normalised", "raise")],
)
class axis_not_kept:
    def mean(self, x):
        return x.mean(dim=-1)

    def variance(self, x):
        return x.var(dim=-1, unbiased=False)


@also("axis_not_kept", "mean")
def axis_of_the_mean_not_kept(self, x):
    return x.mean(dim=-1)


@also("axis_not_kept", "variance")
def axis_of_the_variance_not_kept(self, x):
    return x.var(dim=-1, unbiased=False)


@also("axis_not_kept", "mean_square")
def axis_of_the_mean_square_not_kept(self, x):
    return x.pow(2).mean(dim=-1)


@mistake(
    "mean",
    symptom="The features are divided by their spread, but their mean is not 0.",
    cause="The mean is not subtracted. Layer normalisation does both: it centres the features, then scales them. "
    "(RMSNorm leaves the first out, and then divides by another number, the root of the mean square.)",
    place="Look at the numerator: it should be x minus its mean.",
    shows=[("positions_are_normalised", "rows keep a mean", "output")],
)
def not_centred(self, x):
    return torch.zeros_like(x[..., :1])


@mistake(
    "layer_norm",
    symptom="The features have a mean square of 1, but not a mean of 0.",
    cause="This is RMSNorm, the stretch exercise: x is divided by the root of its mean square. Layer normalisation "
    "subtracts the mean first.",
    place="Subtract the mean, and take the variance around it.",
    shows=[("positions_are_normalised", "rows keep a mean", "output")],
)
def rms_norm_instead(x, weight, bias, eps=1e-5):
    return x / torch.sqrt(x.pow(2).mean(dim=-1, keepdim=True) + eps) * weight + bias


@also("rms_norm_instead", "compute")
def rms_norm_in_the_module(self, x):
    return x / torch.sqrt(x.pow(2).mean(dim=-1, keepdim=True) + self.eps) * self.weight + self.bias


@mistake(
    "root",
    only=("layer_norm", "LayerNorm"),
    symptom="The features have mean 0, but their variance is what it was.",
    cause="The features are centred and never divided. The next layer would still get numbers of any size.",
    place="Divide by the square root of the variance plus eps.",
    shows=[("positions_are_normalised", "rows have mean 0", "output")],
)
def not_divided(self, square, eps):
    return torch.ones_like(square)


@mistake(
    "variance",
    symptom="The variance of the result is far below 1, the lower the more features there are.",
    cause="The squared deviations are summed and not averaged. Divided by the length of the vector, as F.normalize "
    "does, the result has length 1; normalised features have variance 1.",
    place="Take the mean of the squares, not their sum (or the norm).",
    shows=[("positions_are_normalised", "smaller", "output")],
)
def sum_instead_of_mean(self, x):
    return (x - x.mean(dim=-1, keepdim=True)).pow(2).sum(dim=-1, keepdim=True)


@also("sum_instead_of_mean", "mean_square")
def sum_of_squares(self, x):
    return x.pow(2).sum(dim=-1, keepdim=True)


@also("sum_instead_of_mean", "divide")
def divided_by_the_length(self, x):
    return F.normalize(x, dim=-1, eps=self.eps) * self.weight


@mistake(
    "variance",
    credit=0.5,
    symptom="Features with a large mean, such as 8192, give NaN or numbers far too large or too small.",
    cause="The variance is computed as mean(x²) - mean(x)². On paper that is the same; in float32 it is the small "
    "difference of two huge numbers, and all of its digits are lost.",
    place="Subtract the mean first, then square and average: mean((x - mean)²), or x.var with unbiased=False.",
    shows=[("large_means_do_no_harm", "differ"), ("positions_are_normalised", "right")],
)
def difference_of_mean_squares(self, x):
    return x.pow(2).mean(dim=-1, keepdim=True) - x.mean(dim=-1, keepdim=True).pow(2)


@mistake(
    "mean_square",
    symptom="The mean square of the result is not 1.",
    cause="Squaring and averaging have changed places: the mean is squared. Then positive and negative features "
    "cancel before their size is measured. RMS is the root of the mean of the squares.",
    place="Square each feature first, then take the mean.",
    shows=[("positions_are_normalised", "differ", "mean square*")],
)
def square_of_the_mean(self, x):
    return x.mean(dim=-1, keepdim=True).pow(2)


@mistake(
    "mean_square",
    symptom="The result is too large: the mean square of its features is above 1.",
    cause="The features are divided by the mean of their absolute values, which is never larger than the root of "
    "the mean of their squares.",
    place="Square each feature, take the mean, then the root.",
    shows=[("positions_are_normalised", "higher", "mean square*")],
)
def mean_of_absolute_values(self, x):
    return x.abs().mean(dim=-1, keepdim=True).pow(2)


@mistake(
    "divide",
    symptom="With weight 1, the features of each position come to mean 0.",
    cause="The mean is subtracted, as layer normalisation does. RMSNorm leaves the centring out: the features keep "
    "their mean.",
    place="Look for `x - mean`: x itself is divided.",
    shows=[("positions_are_normalised", "rows have mean 0", "output")],
)
def centred_as_well(self, x):
    centred = x - x.mean(dim=-1, keepdim=True)
    return self.gain(centred / torch.sqrt(centred.pow(2).mean(dim=-1, keepdim=True) + self.eps))


@also("centred_as_well", "divide")
def centred_and_divided_by_the_root_mean_square_of_x(self, x):
    return self.gain((x - x.mean(dim=-1, keepdim=True)) / self.root(self.mean_square(x), self.eps))


@also("centred_as_well", "divide")
def centred_and_divided_by_the_unbiased_spread(self, x):
    return self.gain((x - x.mean(dim=-1, keepdim=True)) / torch.sqrt(x.var(dim=-1, keepdim=True) + self.eps))


@also("centred_as_well", "divide")
def centred_and_divided_by_std_plus_eps(self, x):
    return self.gain((x - x.mean(dim=-1, keepdim=True)) / (x.std(dim=-1, keepdim=True) + self.eps))


@also("centred_as_well", "divide")
def centred_and_divided_by_the_biased_std_plus_eps(self, x):
    return self.gain((x - x.mean(dim=-1, keepdim=True)) / (x.std(dim=-1, unbiased=False, keepdim=True) + self.eps))


@mistake(
    "mean_square",
    symptom="The mean of the features is still there, but it is not measured: with weight 1, the mean square of the "
    "result is not 1.",
    cause="var and std measure how far the features are from their mean. RMSNorm has no mean: it measures how far they "
    "are from 0, by the mean of their squares.",
    place="Look for var or std: square x itself, and take the mean.",
    shows=[
        ("positions_are_normalised", "rows keep a mean", "output"),
        ("positions_are_normalised", "differ", "mean square*"),
    ],
)
def spread_in_place_of_size(self, x):
    return x.var(dim=-1, unbiased=False, keepdim=True)


@also("spread_in_place_of_size", "mean_square")
def unbiased_spread_in_place_of_size(self, x):
    return x.var(dim=-1, keepdim=True)


@also("spread_in_place_of_size", "divide")
def std_plus_eps_in_place_of_size(self, x):
    return self.gain(x / (x.std(dim=-1, keepdim=True) + self.eps))


@also("spread_in_place_of_size", "divide")
def biased_std_plus_eps_in_place_of_size(self, x):
    return self.gain(x / (x.std(dim=-1, unbiased=False, keepdim=True) + self.eps))


@also("spread_in_place_of_size", "divide")
def std_alone_in_place_of_size(self, x):
    return self.gain(x / x.std(dim=-1, keepdim=True))


@also("spread_in_place_of_size", "divide")
def biased_std_alone_in_place_of_size(self, x):
    return self.gain(x / x.std(dim=-1, unbiased=False, keepdim=True))


# The root and eps


@mistake(
    "root",
    symptom="Features that are far apart come out too small, and features that are close together too large.",
    cause="The features are divided by the mean of the squares itself. That is in squared units; its square root is "
    "the size that is to be divided out.",
    place="Take the square root of the denominator.",
)
def root_missing(self, square, eps):
    return square + eps


@mistake(
    "root",
    symptom="If the numbers of x become twice as large, the result becomes four times as large. It should stay the same.",
    cause="x is multiplied by the root that it should be divided by. torch.rsqrt is the root's reciprocal already: "
    "`* torch.rsqrt(...)` divides, and `/ torch.rsqrt(...)` multiplies.",
    place="Divide by torch.sqrt, or multiply by torch.rsqrt.",
)
def multiplied_by_the_root(self, square, eps):
    return torch.rsqrt(square + eps)


@also("multiplied_by_the_root", "root")
def multiplied_by_the_root_plus_eps(self, square, eps):
    return 1 / (torch.sqrt(square) + eps)


@also("multiplied_by_the_root", "root")
def multiplied_by_the_root_without_eps(self, square, eps):
    return torch.rsqrt(square)


@mistake(
    "root",
    symptom="If the numbers of x become four times as large, the result becomes twice as large. It should stay the same.",
    cause="The root is taken twice. std is the root of the variance already, and rms that of the mean square; whoever "
    "takes sqrt or rsqrt of them once more divides by too little where numbers are large.",
    place="Take one root: of the variance or the mean square, with eps added to it.",
)
def root_of_the_root(self, square, eps):
    return torch.sqrt(torch.sqrt(square) + eps)


@also("root_of_the_root", "root")
def root_of_the_root_with_eps_inside(self, square, eps):
    return torch.sqrt(torch.sqrt(square + eps))


@also("root_of_the_root", "root")
def root_of_the_root_plus_eps(self, square, eps):
    return torch.sqrt(torch.sqrt(square)) + eps


@also("root_of_the_root", "root")
def root_of_the_root_without_eps(self, square, eps):
    return torch.sqrt(torch.sqrt(square))


@mistake(
    "root",
    symptom="Nearly right for ordinary features, wrong where they are close together or eps is large.",
    cause="eps stands outside of the root. There it is compared with the spread of the features; under the root, "
    "with its square. With eps 1e-5 under the root, features that are 0.003 apart are already damped.",
    place="Add eps before the root is taken: sqrt(... + eps).",
    shows=[("eps_stands_under_the_root", "differ")],
)
def eps_outside_the_root(self, square, eps):
    return torch.sqrt(square) + eps


@mistake(
    "root",
    symptom="Features that are all equal (for RMSNorm: all zero) give NaN.",
    cause="eps is missing. Where the spread is 0, nothing divided by nothing is NaN, which then spreads through "
    "every layer.",
    place="Add eps under the root.",
    shows=[("equal_features_give_no_nan", "NaN", "output")],
)
def eps_missing(self, square, eps):
    return torch.sqrt(square)


@mistake(
    "root",
    credit=0.5,
    symptom="The argument eps makes no difference.",
    cause="A fixed number stands where eps should, or eps is not passed on. Models differ here (BERT has 1e-12, "
    "GPT-2 1e-5), and loaded weights only give the same numbers with their own eps.",
    place="Follow eps from the argument to the root.",
    shows=[("eps_stands_under_the_root", "differ")],
)
def eps_ignored(self, square, eps):
    return torch.sqrt(square + 1e-5)


@also("eps_ignored", "root")
def eps_fixed_at_a_millionth(self, square, eps):
    return torch.sqrt(square + 1e-6)


@also("eps_ignored", "root")
def eps_fixed_at_a_hundred_millionth(self, square, eps):
    return torch.sqrt(square + 1e-8)


@mistake(
    "root",
    credit=0.5,
    symptom="eps changes nothing, except for features so close together that it replaces their spread.",
    cause="eps is used as a floor: the denominator is eps or the spread, whichever is larger. It has to be added "
    "under the root, always.",
    place="Look for max, maximum or clamp around the denominator.",
)
def eps_as_a_floor(self, square, eps):
    return torch.sqrt(square.clamp(min=eps))


@also("eps_as_a_floor", "root")
def eps_as_a_floor_of_the_root(self, square, eps):
    return torch.sqrt(square).clamp(min=eps)


@mistake(
    "layer_norm",
    credit=0.5,
    symptom="Right wherever eps is given; without it, features that are close together come out too large or too small.",
    cause="The default of eps is another one. PyTorch's is 1e-5, and so is this course's.",
    place="Look at the list of parameters: eps=1e-5.",
    shows=[("eps_has_its_default", "differ"), ("eps_stands_under_the_root", "right")],
)
def another_default_eps(x, weight, bias, eps=1e-6):
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + eps) * weight + bias


@also("another_default_eps", "layer_norm")
def default_eps_of_bert(x, weight, bias, eps=1e-12):
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + eps) * weight + bias


@also("another_default_eps", "LayerNorm")
class LayerNormWithAnotherDefault(nn.Module):
    def __init__(self, embed_dim, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(embed_dim))
        self.bias = nn.Parameter(torch.zeros(embed_dim))
        self.eps = eps

    def forward(self, x):
        normed = (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + self.eps)
        return normed * self.weight + self.bias


@also("another_default_eps", "RMSNorm")
class RMSNormWithAnotherDefault(nn.Module):
    def __init__(self, embed_dim, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(embed_dim))
        self.eps = eps

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


# Weight and bias


@mistake(
    "make",
    credit=0.5,
    symptom="With weights that are given all is right, but a new norm does not only normalise.",
    cause="A parameter starts at another number. A new norm leaves the normalised features as they are, which takes a "
    "weight of 1 and a bias of 0, and training moves them from there; a weight of 0 would let nothing through.",
    place="Look at what the parameters are given in __init__.",
    shows=[
        ("features_are_scaled_and_shifted", "right"),
        ("a_new_norm_only_normalises", "differ"),
        ("residual_starts_with_a_plain_norm", "differ"),
        ("residual_has_two_forms", "right"),
    ],
)
def other_starting_values(self, embed_dim):
    self.weight, self.bias = nn.Parameter(torch.zeros(embed_dim)), nn.Parameter(torch.zeros(embed_dim))


@also("other_starting_values", "make")
def bias_starts_at_one(self, embed_dim):
    self.weight, self.bias = nn.Parameter(torch.ones(embed_dim)), nn.Parameter(torch.ones(embed_dim))


@also("other_starting_values", "make")
def both_start_at_random(self, embed_dim):
    self.weight, self.bias = nn.Parameter(torch.rand(embed_dim)), nn.Parameter(torch.rand(embed_dim))


@also("other_starting_values", "make_weight")
def weight_starts_at_zero(self, embed_dim):
    self.weight = nn.Parameter(torch.zeros(embed_dim))


@also("other_starting_values", "make_weight")
def weight_starts_at_random(self, embed_dim):
    self.weight = nn.Parameter(torch.rand(embed_dim))


@also("other_starting_values", "make_norm")
def norm_starts_at_zero(self, embed_dim):
    self.norm = LayerNorm(embed_dim)
    nn.init.zeros_(self.norm.weight)


@also("other_starting_values", "make_norm")
def norm_starts_at_random(self, embed_dim):
    self.norm = LayerNorm(embed_dim)
    nn.init.normal_(self.norm.weight, 1.0, 0.02)


@mistake(
    "affine",
    symptom="With weight 1 and bias 0 all features are 1; with others, weight and bias have changed places.",
    cause="The bias is multiplied by and the weight is added. The names say it: a weight is a factor.",
    place="Look at the last line, or at the order of the arguments with which the function is called.",
    shows=[("positions_are_normalised", "constant", "output")],
)
def weight_and_bias_exchanged(self, normed, weight, bias):
    return normed * bias + weight


@mistake(
    "affine",
    symptom="The weight changes nothing.",
    cause="The factor of each feature is missing, so every feature keeps variance 1, whatever training would like.",
    place="Multiply the normalised features by the weight before the bias is added.",
    shows=[("positions_are_normalised", "right"), ("features_are_scaled_and_shifted", "differ")],
)
def weight_missing(self, normed, weight, bias):
    return normed + bias


@also("weight_missing", "gain")
def weight_unused(self, normed):
    return normed


@mistake(
    "affine",
    symptom="The bias changes nothing.",
    cause="The bias is never added, so every feature keeps mean 0, whatever training would like.",
    place="Add the bias at the very end.",
    shows=[("positions_are_normalised", "right"), ("features_are_scaled_and_shifted", "differ")],
)
def bias_missing(self, normed, weight, bias):
    return normed * weight


@also("bias_missing")
class bias_not_even_made:
    def make(self, embed_dim):
        self.weight = nn.Parameter(torch.ones(embed_dim))
        self.bias = None

    def affine(self, normed, weight, bias):
        return normed * weight


@mistake(
    "affine",
    symptom="Weight and bias change nothing: mean and variance are always 0 and 1.",
    cause="The normalised features are returned as they are. Without weight and bias the layer could never give "
    "the next one anything but mean 0 and variance 1.",
    place="Multiply by the weight, then add the bias.",
    shows=[("features_are_scaled_and_shifted", "rows have mean 0", "output")],
)
def weight_and_bias_missing(self, normed, weight, bias):
    return normed


@mistake(
    "affine",
    symptom="The bias arrives multiplied by the weight.",
    cause="The bias is added before the weight multiplies. The order is: normalise, multiply by the weight, add the "
    "bias.",
    place="Look at the brackets of the last line.",
    shows=[("features_are_scaled_and_shifted", "differ")],
)
def bias_before_weight(self, normed, weight, bias):
    return (normed + bias) * weight


@mistake(
    "affine",
    symptom="Each feature is too large by once its normalised value.",
    cause="The weight is taken as a correction to 1. Some models store it so (Gemma does), but then it starts at 0. "
    "Here it starts at 1 and is the factor itself.",
    place="Multiply by the weight, not by 1 + weight.",
    shows=[("positions_are_normalised", "multiple", "output")],
)
def weight_counted_from_one(self, normed, weight, bias):
    return normed * (1 + weight) + bias


@also("weight_counted_from_one", "gain")
def weight_of_rms_counted_from_one(self, normed):
    return normed * (1 + self.weight)


@mistake(
    "layer_norm",
    symptom="What comes out is normalised, whatever the weight and the bias are.",
    cause="Weight and bias are applied to x before it is normalised, so the normalisation takes back most of what "
    "they did. They have the last word.",
    place="Normalise first, then multiply by the weight and add the bias.",
    shows=[("features_are_scaled_and_shifted", "differ")],
)
def normalised_last(x, weight, bias, eps=1e-5):
    x = x * weight + bias
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + eps)


@also("normalised_last", "compute")
def normalised_last_in_the_module(self, x):
    x = x * self.weight + self.bias
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + self.eps)


@also("normalised_last", "divide")
def weighed_before_the_mean_square(self, x):
    x = x * self.weight
    return x / self.root(x.pow(2).mean(dim=-1, keepdim=True), self.eps)


@mistake(
    "make_weight",
    symptom="There is a bias among the parameters.",
    cause="RMSNorm has no bias: it scales and does not shift. Weights of a model with RMSNorm hold none.",
    place="Leave the bias out of __init__, and out of forward.",
    shows=[("parameters_have_their_names", "differ", "other trained parameters")],
)
def bias_in_rms_norm(self, embed_dim):
    self.weight = nn.Parameter(torch.ones(embed_dim))
    self.bias = nn.Parameter(torch.zeros(embed_dim))


@also("bias_in_rms_norm")
class bias_added_in_rms_norm:
    def make_weight(self, embed_dim):
        self.weight = nn.Parameter(torch.ones(embed_dim))
        self.bias = nn.Parameter(torch.zeros(embed_dim))

    def gain(self, normed):
        return normed * self.weight + self.bias


@mistake(
    "make",
    symptom="weight or bias is missing from the state dict, or is there and not trained.",
    cause="A plain tensor as an attribute is no parameter: the optimizer does not find it, the state dict does not "
    "save it, and it stays behind when the model moves to a GPU. A buffer is saved and moved, but not "
    "trained.",
    place="Wrap each tensor in nn.Parameter where it is assigned in __init__.",
    shows=[("parameters_have_their_names", "differ")],
)
def parameters_not_registered(self, embed_dim):
    self.weight = torch.ones(embed_dim)
    self.bias = torch.zeros(embed_dim)


@also("parameters_not_registered", "make")
def plain_tensors_that_want_a_gradient(self, embed_dim):
    self.weight = torch.ones(embed_dim, requires_grad=True)
    self.bias = torch.zeros(embed_dim, requires_grad=True)


@also("parameters_not_registered", "make")
def parameters_as_buffers(self, embed_dim):
    self.register_buffer("weight", torch.ones(embed_dim))
    self.register_buffer("bias", torch.zeros(embed_dim))


@also("parameters_not_registered", "make")
def parameters_frozen(self, embed_dim):
    self.weight = nn.Parameter(torch.ones(embed_dim), requires_grad=False)
    self.bias = nn.Parameter(torch.zeros(embed_dim), requires_grad=False)


@also("parameters_not_registered", "make")
def bias_not_registered(self, embed_dim):
    self.weight = nn.Parameter(torch.ones(embed_dim))
    self.bias = torch.zeros(embed_dim)


@also("parameters_not_registered", "make_weight")
def weight_not_registered(self, embed_dim):
    self.weight = torch.ones(embed_dim)


@also("parameters_not_registered", "make_weight")
def weight_as_buffer(self, embed_dim):
    self.register_buffer("weight", torch.ones(embed_dim))


@mistake(
    "make",
    credit=0.5,
    symptom="The numbers per feature are there, but their shape is not [embed_dim].",
    cause="There is one number for all features, or an axis of size 1 too many. Weights of another model could not "
    "be loaded; broadcasting needs no extra axes, as embed_dim is the last axis of x.",
    place="Look at the sizes in torch.ones and torch.zeros: embed_dim alone.",
    shows=[("parameters_have_their_names", "another shape", "*in the state dict")],
)
def parameters_of_another_shape(self, embed_dim):
    self.weight = nn.Parameter(torch.ones(1))
    self.bias = nn.Parameter(torch.zeros(1))


@also("parameters_of_another_shape", "make")
def parameters_with_one_axis_more(self, embed_dim):
    self.weight = nn.Parameter(torch.ones(1, embed_dim))
    self.bias = nn.Parameter(torch.zeros(1, embed_dim))


@also("parameters_of_another_shape", "make")
def parameters_with_two_axes_more(self, embed_dim):
    self.weight = nn.Parameter(torch.ones(1, 1, embed_dim))
    self.bias = nn.Parameter(torch.zeros(1, 1, embed_dim))


@also("parameters_of_another_shape", "make_weight")
def weight_of_another_shape(self, embed_dim):
    self.weight = nn.Parameter(torch.ones(1))


@also("parameters_of_another_shape", "make_weight")
def weight_with_one_axis_more(self, embed_dim):
    self.weight = nn.Parameter(torch.ones(1, embed_dim))


@mistake(
    credit=0.5,
    symptom="There are trained parameters, but not under the names weight and bias.",
    cause="The names are part of the contract, because weights are loaded by name. In papers and other code they "
    "are called gamma and beta, scale and shift, or gain.",
    place="Rename them in __init__ and in forward.",
    shows=[
        ("parameters_have_their_names", "is missing", "weight in the state dict"),
        ("features_are_scaled_and_shifted", "right"),
    ],
)
class parameters_under_other_names:
    def make(self, embed_dim):
        self.gamma = nn.Parameter(torch.ones(embed_dim))
        self.beta = nn.Parameter(torch.zeros(embed_dim))

    def compute(self, x):
        normed = (x - self.mean(x)) / self.root(self.variance(x), self.eps)
        return self.affine(normed, self.gamma, self.beta)


@also("parameters_under_other_names")
class parameters_in_a_module_of_their_own:
    def make(self, embed_dim):
        self.params = nn.ParameterDict({"a": torch.ones(embed_dim), "beta": torch.zeros(embed_dim)})

    def compute(self, x):
        normed = (x - self.mean(x)) / self.root(self.variance(x), self.eps)
        return self.affine(normed, self.params["a"], self.params["beta"])


@also("parameters_under_other_names")
class weight_called_gamma:
    def make_weight(self, embed_dim):
        self.gamma = nn.Parameter(torch.ones(embed_dim))

    def gain(self, normed):
        return normed * self.gamma


# ResidualConnection


@mistake(
    symptom="Around a sublayer that gives zeros, nothing of x is left.",
    cause="The residual is missing: the input is not added to the sublayer's output. Then each sublayer has to pass "
    "on everything by itself, and the gradient has no way past it.",
    place="Add x to the sublayer's output, in both forms.",
    shows=[("residual_lets_the_input_pass", "differ")],
)
class residual_missing:
    def before(self, x, sublayer):
        return sublayer(self.norm(x))

    def after(self, x, sublayer):
        return self.norm(sublayer(x))


@also("residual_missing", "before")
def residual_missing_in_pre_norm(self, x, sublayer):
    return sublayer(self.norm(x))


@also("residual_missing", "after")
def residual_missing_in_post_norm(self, x, sublayer):
    return self.norm(sublayer(x))


@mistake(
    "before",
    symptom="Around a sublayer that gives zeros, pre-norm returns the normalised x where x itself is expected.",
    cause="What is added is the normalised input, often because x was overwritten: `x = norm(x)`. The path past the "
    "sublayer is to carry x as it came; then a stack of layers has one path that nothing touches.",
    place="Keep x, and give the normalised input another name or none.",
    shows=[("residual_lets_the_input_pass", "differ", "pre-norm: output")],
)
def residual_from_the_normed_input(self, x, sublayer):
    x = self.norm(x)
    return x + sublayer(x)


@also("residual_from_the_normed_input")
class residual_from_the_normed_input_in_both:
    def before(self, x, sublayer):
        x = self.norm(x)
        return x + sublayer(x)

    def after(self, x, sublayer):
        return self.norm(self.norm(x) + sublayer(x))


@mistake(
    symptom="norm_first=True gives the post-norm result, and norm_first=False the pre-norm result.",
    cause="The two forms have changed places. norm_first means that the norm comes before the sublayer, which is "
    "pre-norm.",
    place="Look at the `if`, and at the line under it.",
)
class pre_and_post_norm_swapped:
    def before(self, x, sublayer):
        return self.norm(x + sublayer(x))

    def after(self, x, sublayer):
        return x + sublayer(self.norm(x))


@mistake(
    symptom="Around a sublayer that gives zeros, x comes back shifted by the norm's bias; the sum itself is not "
    "normalised.",
    cause="The norm is applied to the sublayer's output only, before x is added. Post-norm normalises the whole "
    "sum; pre-norm normalises what goes into the sublayer. This is neither.",
    place="Look at what stands between the brackets of the norm.",
)
class norm_on_the_sublayers_output:
    def before(self, x, sublayer):
        return x + self.norm(sublayer(x))

    def after(self, x, sublayer):
        return x + self.norm(sublayer(x))


@also("norm_on_the_sublayers_output", "after")
def norm_on_the_output_in_post_norm(self, x, sublayer):
    return x + self.norm(sublayer(x))


@also("norm_on_the_sublayers_output", "before")
def norm_on_the_output_in_pre_norm(self, x, sublayer):
    return x + self.norm(sublayer(x))


@mistake(
    "before",
    symptom="norm_first makes no difference.",
    cause="The argument norm_first is never asked for, or is asked for in a way that always has the same answer, so "
    "one form stands for both.",
    place="Keep norm_first in __init__ and choose by it in forward.",
)
def norm_first_unused(self, x, sublayer):
    return self.norm(x + sublayer(x))


@also("norm_first_unused", "after")
def always_pre_norm(self, x, sublayer):
    return x + sublayer(self.norm(x))


@mistake(
    symptom="In one form or in both, the norm's parameters change nothing: no gradient arrives at them.",
    cause="The norm is made and never called. What is returned is the plain sum x + sublayer(x).",
    place="Call self.norm: on the sum in post-norm, on the sublayer's input in pre-norm.",
    shows=[("residual_passes_gradients", "is none arrives")],
)
class norm_missing:
    def before(self, x, sublayer):
        return x + sublayer(x)

    def after(self, x, sublayer):
        return x + sublayer(x)


@also("norm_missing", "before")
def norm_missing_in_pre_norm(self, x, sublayer):
    return x + sublayer(x)


@also("norm_missing", "after")
def norm_missing_in_post_norm(self, x, sublayer):
    return x + sublayer(x)


@mistake(
    symptom="The sublayer sees the normalised x, and the sum is normalised too.",
    cause="The norm is applied on both sides of the sublayer. Each form has it once: pre-norm in front of the "
    "sublayer, post-norm behind the sum.",
    place="Take one of the two norms out, depending on norm_first.",
)
class norm_on_both_sides:
    def before(self, x, sublayer):
        return self.norm(x + sublayer(self.norm(x)))

    def after(self, x, sublayer):
        return self.norm(x + sublayer(self.norm(x)))


@also("norm_on_both_sides", "before")
def norm_on_both_sides_of_pre_norm(self, x, sublayer):
    return self.norm(x + sublayer(self.norm(x)))


@also("norm_on_both_sides", "after")
def norm_on_both_sides_of_post_norm(self, x, sublayer):
    return self.norm(x + sublayer(self.norm(x)))


@mistake(
    "choose",
    symptom="The sublayer is called twice.",
    cause="Both forms are computed and one is thrown away, or the sublayer is called again for a number that was "
    "there already. It costs twice the time, and a sublayer with dropout gives another answer each time.",
    place="Decide by norm_first first, then call the sublayer once and keep its answer.",
    shows=[("residual_calls_the_sublayer_once", "differ", "*calls of the sublayer")],
)
def sublayer_called_twice(self, x, sublayer):
    pre, post = self.before(x, sublayer), self.after(x, sublayer)
    return pre if self.norm_first else post


@also("sublayer_called_twice")
class sublayer_applied_twice:
    def before(self, x, sublayer):
        return x + sublayer(sublayer(self.norm(x)))

    def after(self, x, sublayer):
        return self.norm(x + sublayer(sublayer(x)))


@mistake(
    "choose",
    symptom="The call raises a TypeError: the sublayer is given more than one tensor.",
    cause="Attention takes query, key and value, but a residual connection knows nothing of that: its sublayer is any "
    "function of one tensor. Whoever wants attention in it passes `lambda x: attention(x, x, x)[0]`.",
    place="Call the sublayer with one tensor.",
    shows=[("residual_has_two_forms", "raise")],
)
def sublayer_given_three_tensors(self, x, sublayer):
    if self.norm_first:
        normed = self.norm(x)
        return x + sublayer(normed, normed, normed)
    return self.norm(x + sublayer(x, x, x))


@mistake(
    "make_norm",
    symptom="norm.weight and norm.bias are missing from the state dict.",
    cause="The norm is not an attribute of the module under the name `norm` (it is made anew in each call, or kept "
    "in a plain list), so its parameters are neither saved nor trained.",
    place="Assign the LayerNorm to self.norm in __init__.",
    shows=[("residual_has_one_norm", "is missing", "norm.weight in the state dict")],
)
def norm_not_registered(self, embed_dim):
    norms = [LayerNorm(embed_dim)]
    self.norm = lambda x: norms[0](x)


@mistake(
    credit=0.5,
    symptom="There is a norm, but not under the name `norm`.",
    cause="The names are part of the contract, because weights are loaded by name.",
    place="Call the attribute `norm`.",
    shows=[
        ("residual_has_one_norm", "is missing", "norm.weight in the state dict"),
        ("residual_has_two_forms", "right"),
    ],
)
class norm_under_another_name:
    def make_norm(self, embed_dim):
        self.layer_norm = LayerNorm(embed_dim)

    def before(self, x, sublayer):
        return x + sublayer(self.layer_norm(x))

    def after(self, x, sublayer):
        return self.layer_norm(x + sublayer(x))


@mistake(
    "make_norm",
    credit=0.5,
    symptom="Numbers that are close together come out too large or too small; all others are right.",
    cause="The norm is made with an eps of your own. This course's is 1e-5, the default of LayerNorm.",
    place="Make the norm from embed_dim alone.",
    shows=[("residual_normalises_as_layer_norm_does", "differ"), ("residual_has_two_forms", "right")],
)
def norm_with_another_eps(self, embed_dim):
    self.norm = LayerNorm(embed_dim, eps=1e-6)


@also("norm_with_another_eps", "make_norm")
def norm_with_the_eps_of_bert(self, embed_dim):
    self.norm = LayerNorm(embed_dim, eps=1e-12)


@mistake(
    credit=0.5,
    symptom="In training mode the result is another one than in evaluation mode.",
    cause="There is dropout on the sublayer's output. The paper has it there, but in this course the layers of "
    "lessons 1 and 2 do it, and this component has none.",
    place="Take the dropout out.",
    shows=[("residual_has_no_dropout", "is yes")],
)
class dropout_added:
    def before(self, x, sublayer):
        return x + F.dropout(sublayer(self.norm(x)), 0.1, self.training)

    def after(self, x, sublayer):
        return self.norm(x + F.dropout(sublayer(x), 0.1, self.training))


# Habits


@mistake(
    credit=0.5,
    symptom="The gradient of x is wrong, or none arrives.",
    cause="Something was cut from autograd by detach, .data, torch.no_grad, numpy or a new torch.tensor. Mean and "
    "variance are functions of x too, and gradients must flow through them.",
    place="Look for one of these, and compute with the tensors as they come.",
    shows=[("gradients_reach_everything", "differ")],
)
class cut_from_autograd:
    def mean(self, x):
        return x.mean(dim=-1, keepdim=True).detach()

    def variance(self, x):
        return x.var(dim=-1, unbiased=False, keepdim=True).detach()


@also("cut_from_autograd", "mean")
def mean_cut_from_autograd(self, x):
    return x.mean(dim=-1, keepdim=True).detach()


@also("cut_from_autograd", "variance")
def variance_cut_from_autograd(self, x):
    return x.var(dim=-1, unbiased=False, keepdim=True).detach()


@also("cut_from_autograd", "mean_square")
def mean_square_cut_from_autograd(self, x):
    return x.pow(2).mean(dim=-1, keepdim=True).detach()


@mistake(
    "root",
    credit=0.5,
    symptom="It fails as soon as x lives on another device, such as a GPU.",
    cause="A new tensor was made on the default device, whatever x is on.",
    place="Make it with full_like, zeros_like or device=x.device, or use a plain number, which has no device.",
    shows=[("norms_follow_the_inputs", "differ")],
)
def fixed_device(self, square, eps):
    return torch.sqrt(square + torch.full(square.shape, eps))


@mistake(
    "layer_norm",
    symptom="The numbers may be right, but the code calls a library function that does the whole exercise.",
    cause="This lesson opens that box. Later lessons may use it again, and then you know what is in it.",
    place="Write the steps with mean, var and sqrt, and with parameters of your own.",
    shows=[("norms_call_no_library_norm", "differ")],
)
def library_norm(x, weight, bias, eps=1e-5):
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


@also("library_norm", "compute")
def library_norm_in_the_module(self, x):
    return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)


@also("library_norm", "LayerNorm")
class LibraryLayerNorm(nn.LayerNorm):
    def __init__(self, embed_dim, eps=1e-5):
        super().__init__(embed_dim, eps=eps)


@also("library_norm", "LayerNorm")
class WrappedLayerNorm(nn.Module):
    def __init__(self, embed_dim, eps=1e-5):
        super().__init__()
        self.norm = nn.LayerNorm(embed_dim, eps=eps)

    def forward(self, x):
        return self.norm(x)


@also("library_norm", "divide")
def library_rms_norm(self, x):
    return F.rms_norm(x, x.shape[-1:], self.weight, self.eps)


@also("library_norm", "RMSNorm")
class LibraryRMSNorm(nn.RMSNorm):
    def __init__(self, embed_dim, eps=1e-5):
        super().__init__(embed_dim, eps=eps)


# Find the bug


@component()
def norm_bug_input(step):
    return torch.tensor([10_000.0, 10_002.0])


@mistake(
    "norm_bug_input",
    symptom="On your input the broken norm is right.",
    cause="Its numbers are of ordinary size. Then the squares are as well, and float32 holds them with enough digits.",
    place="Look for the line in which two numbers are subtracted that can both be large, and nearly equal.",
)
def numbers_of_ordinary_size():
    return torch.linspace(-1, 1, 24).reshape(2, 3, 4)


@mistake(
    "norm_bug_input",
    symptom="On your input the broken norm is right.",
    cause="The numbers are large, but so are their differences, and so is their variance. What rounding takes from "
    "it does not matter.",
    place="Keep the mean large, and bring the features of a position close to each other.",
)
def large_numbers_that_are_far_apart():
    return 1e5 * torch.linspace(-1, 1, 24).reshape(2, 3, 4)


@mistake(
    "norm_bug_input",
    symptom="On your input the broken norm is right.",
    cause="The features are closer to each other than to 0, but not by enough: what rounding takes from the squares "
    "is still small against the variance.",
    place="Make the mean larger, or the differences smaller.",
)
def mean_that_is_not_large_enough():
    return torch.tensor([[200.0, 201.0, 202.0, 203.0]])


@mistake(
    "norm_bug_input",
    symptom="On your input the broken norm is right.",
    cause="All features of a position are equal. Their variance is 0 by both formulas, and x minus the mean is 0 "
    "as well.",
    place="Let the features differ, a little.",
)
def features_that_are_all_equal():
    return torch.full((2, 4), 4096.0)


@mistake(
    "norm_bug_input",
    symptom="On your input the broken norm is right.",
    cause="All numbers are close to 0. There float32 is at its best: it holds seven digits of any number, "
    "however small.",
    place="Small differences are a good idea. Now add something to all of them.",
)
def numbers_close_to_zero():
    return torch.linspace(-1, 1, 24).reshape(2, 3, 4) / 4096


@mistake(
    "norm_bug_input",
    symptom="What comes back cannot be given to the norm.",
    cause="x is one float32 tensor: every size from 1 to 100, and no number beyond a million.",
    place="Compare with the docstring. A tensor of whole numbers needs a decimal point: 1.0, not 1.",
)
def input_that_does_not_fit():
    return torch.tensor([10_000, 10_002])


@also("input_that_does_not_fit", "norm_bug_input")
def input_in_float64():
    return torch.tensor([10_000.0, 10_002.0], dtype=torch.float64)


@also("input_that_does_not_fit", "norm_bug_input")
def input_with_weight_and_bias():
    return torch.tensor([10_000.0, 10_002.0]), torch.ones(2), torch.zeros(2)


@also("input_that_does_not_fit", "norm_bug_input")
def input_beyond_a_million():
    return torch.tensor([1e8, 1e8 + 16])
