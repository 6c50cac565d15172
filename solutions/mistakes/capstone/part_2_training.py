"""What people get wrong in the capstone, part 2: training."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from autograder.mistakes import Catalogue

catalogue = Catalogue()
step, component, mistake, also = catalogue.step, catalogue.component, catalogue.mistake, catalogue.also

# initialise, the right way, a step at a time


@step
def named_parameters_of(model):
    return list(model.named_parameters())


@step
def set_bias(parameter):
    parameter.zero_()


@step
def set_norm(parameter):
    parameter.fill_(1.0)


@step
def adds_to_the_stream(name):
    return name.endswith(("out_proj.weight", "down_proj.weight"))


@step
def residual_std(num_layers, name):
    return 0.02 / math.sqrt(2 * num_layers)


@step
def usual_std(num_layers, name):
    return 0.02


@step
def draw_matrix(parameter, std):
    parameter.normal_(0.0, std)


@component(
    "named_parameters_of", "set_bias", "set_norm", "adds_to_the_stream", "residual_std", "usual_std", "draw_matrix"
)
def initialise(own, model, num_layers):
    with torch.no_grad():
        for name, parameter in own.named_parameters_of(model):
            if name.endswith("bias"):
                own.set_bias(parameter)
            elif parameter.dim() == 1:
                own.set_norm(parameter)
            elif own.adds_to_the_stream(name):
                own.draw_matrix(parameter, own.residual_std(num_layers, name))
            else:
                own.draw_matrix(parameter, own.usual_std(num_layers, name))


@mistake(
    "residual_std",
    symptom="The matrices that add to the residual stream are drawn like all others.",
    cause="Their smaller standard deviation is missing. Each layer adds to the stream twice, so its variance grows "
    "with every layer.",
    place="Look for the parameters whose names end in out_proj.weight or down_proj.weight.",
    shows=[("residual_matrices_are_smaller", "is 0.02"), ("matrices_have_their_spread", "right")],
)
def residual_not_scaled(num_layers, name):
    return 0.02


@mistake(
    "residual_std",
    symptom="The matrices that add to the residual stream have a standard deviation of 0.02 / √layers.",
    cause="Only one sum for each layer was counted. Every layer adds to the stream twice: behind attention and behind "
    "the feed-forward network.",
    place="Divide by math.sqrt(2 * num_layers).",
    shows=[("residual_matrices_are_smaller", "is 0.02 / √layers", "3 layers:*")],
)
def one_sum_for_each_layer(num_layers, name):
    return 0.02 / math.sqrt(num_layers)


@mistake(
    "residual_std",
    symptom="The matrices that add to the residual stream have a standard deviation of 0.02 / (2 · layers).",
    cause="The root is missing. It is variances that add up: 2 · layers sums keep the variance of one if each standard "
    "deviation is smaller by the *root* of 2 · layers.",
    place="Take the root of 2 * num_layers.",
    shows=[("residual_matrices_are_smaller", "is 0.02 / (2 · layers)", "3 layers:*")],
)
def root_of_the_layers_missing(num_layers, name):
    return 0.02 / (2 * num_layers)


@mistake(
    "residual_std",
    symptom="The matrices that add to the residual stream begin larger than all others.",
    cause="The factor √(2 · layers) multiplies where it should divide. What is added many times has to be small.",
    place="Divide 0.02 by the root.",
    shows=[("residual_matrices_are_smaller", "is 0.02 · √(2 · layers)", "3 layers:*")],
)
def residual_multiplied(num_layers, name):
    return 0.02 * math.sqrt(2 * num_layers)


@mistake(
    "residual_std",
    symptom="The standard deviation differs from layer to layer.",
    cause="It was made of the place of the layer, not of the number of layers. In GPT-2 all layers begin alike.",
    place="Use num_layers, the same for all layers.",
    shows=[("residual_matrices_are_smaller", "differ", "3 layers: standard deviation of layers.0*")],
)
def by_the_place_of_the_layer(num_layers, name):
    places = [int(part) for part in name.split(".") if part.isdigit()]
    return 0.02 / math.sqrt(2 * (places[0] + 1))


@mistake(
    "adds_to_the_stream",
    symptom="Of the two kinds of matrices that add to the residual stream, one is drawn like all others.",
    cause="Only one ending was looked for. Attention ends in out_proj and the feed-forward network in down_proj, and "
    "what either gives is added to the stream.",
    place='Ask for both: `name.endswith(("out_proj.weight", "down_proj.weight"))`.',
    shows=[("residual_matrices_are_smaller", "is 0.02", "3 layers:*")],
)
def attention_alone_scaled(name):
    return name.endswith("out_proj.weight")


@also("attention_alone_scaled", "adds_to_the_stream")
def feed_forward_alone_scaled(name):
    return name.endswith("down_proj.weight")


@mistake(
    "adds_to_the_stream",
    symptom="Matrices that do not add to the residual stream are smaller as well.",
    cause="The names were asked for too little: q_proj, k_proj, v_proj and up_proj hold a `proj` as well. Only the "
    "last matrix of attention and that of the feed-forward network add to the stream.",
    place="Ask for the endings out_proj.weight and down_proj.weight.",
    shows=[("matrices_have_their_spread", "is 0.02 / √(2 · layers)")],
)
def every_projection_scaled(name):
    return "proj" in name


@also("every_projection_scaled", "adds_to_the_stream")
def every_matrix_of_a_layer_scaled(name):
    return "layers" in name


@also("every_projection_scaled", "usual_std")
def everything_scaled(num_layers, name):
    return 0.02 / math.sqrt(2 * num_layers)


@mistake(
    "draw_matrix",
    symptom="The standard deviation is √0.02 = 0.14 where it should be 0.02.",
    cause="0.02 was taken for a variance. It is the standard deviation.",
    place="Look for a root of 0.02.",
    shows=[("matrices_have_their_spread", "is √0.02")],
)
def variance_instead_of_deviation(parameter, std):
    parameter.normal_(0.0, math.sqrt(std))


@mistake(
    "draw_matrix",
    symptom="The standard deviation is 0.02² = 0.0004 where it should be 0.02.",
    cause="The variance was handed to a function that asks for the standard deviation, as `normal_` does.",
    place="Look for a square of 0.02.",
    shows=[("matrices_have_their_spread", "is 0.02²")],
)
def square_of_the_deviation(parameter, std):
    parameter.normal_(0.0, std**2)


@mistake(
    "draw_matrix",
    symptom="The matrices have a standard deviation of 1.",
    cause="0.02 is not used as the standard deviation: the first number that `normal_` takes is the mean, and "
    "numbers of torch.randn have to be multiplied.",
    place="Write `parameter.normal_(0.0, 0.02)`.",
    shows=[("matrices_have_their_spread", "is 1")],
)
def deviation_given_as_mean(parameter, std):
    parameter.normal_(std)


@also("deviation_given_as_mean", "draw_matrix")
def standard_normal(parameter, std):
    parameter.copy_(torch.randn(parameter.shape))


@mistake(
    "draw_matrix",
    symptom="The numbers are not drawn from a normal distribution: none is far out.",
    cause="They are uniform, or cut off. A normal distribution has one number in 22 beyond two standard deviations.",
    place="Use `normal_`.",
    shows=[("matrices_are_normal", "is no number is far out", "distribution of *")],
)
def uniform_numbers(parameter, std):
    parameter.uniform_(-std, std)


@also("uniform_numbers", "draw_matrix")
def uniform_with_the_right_spread(parameter, std):
    parameter.uniform_(-std * math.sqrt(3), std * math.sqrt(3))


@mistake(
    "draw_matrix",
    symptom="The numbers of the matrices are not around 0.",
    cause="Their mean is not 0: torch.rand gives numbers from 0 to 1, and the first number that `normal_` takes is "
    "the mean.",
    place="Look at what the numbers are drawn from: the mean has to be 0.",
    shows=[("matrices_are_normal", "is not 0", "mean of *")],
)
def numbers_on_one_side(parameter, std):
    parameter.copy_(std * torch.rand(parameter.shape))


@also("numbers_on_one_side", "draw_matrix")
def mean_and_deviation_alike(parameter, std):
    parameter.normal_(std, std)


@mistake(
    "draw_matrix",
    symptom="The standard deviation is smaller by an eighth, because large numbers are left out.",
    cause="The normal distribution is cut at two standard deviations, as BERT's is. GPT-2's is not.",
    place="Use `normal_`. (`trunc_normal_` cuts at -2 and 2 unless it is told otherwise, which with 0.02 cuts "
    "nothing.)",
    shows=[("matrices_have_their_spread", "is 0.02 · 0.88")],
    credit=0.5,
)
def cut_at_two_deviations(parameter, std):
    nn.init.trunc_normal_(parameter, std=std, a=-2 * std, b=2 * std)


@mistake(
    "draw_matrix",
    symptom="The standard deviation of a matrix depends on its shape.",
    cause="That is the rule of Glorot, or of He, or torch's own. GPT-2 uses 0.02 for all, whatever their shapes.",
    place="Use `normal_` with 0.02.",
    shows=[("matrices_have_their_spread", "differ")],
)
def by_the_shape_of_the_matrix(parameter, std):
    nn.init.xavier_normal_(parameter)


@also("by_the_shape_of_the_matrix", "draw_matrix")
def by_the_inputs_of_the_matrix(parameter, std):
    parameter.normal_(0.0, parameter.shape[1] ** -0.5)


@also("by_the_shape_of_the_matrix", "draw_matrix")
def kaiming_normal(parameter, std):
    nn.init.kaiming_normal_(parameter)


@mistake(
    "draw_matrix",
    symptom="All numbers of a matrix are alike.",
    cause="They are filled in, not drawn. Features that begin alike get the same gradients, and stay alike.",
    place="Use `normal_`.",
    shows=[("matrices_have_their_spread", "is 0: all numbers are alike")],
)
def filled_not_drawn(parameter, std):
    parameter.fill_(std)


@mistake(
    "draw_matrix",
    symptom="Several parameters begin with the same numbers, or every seed gives the same.",
    cause="The generator is seeded inside. Whoever calls decides about the seed.",
    place="Leave out torch.manual_seed, or a generator of your own.",
    shows=[("numbers_are_drawn_anew", "is yes", "another seed*")],
)
def seeded_for_each_parameter(parameter, std):
    torch.manual_seed(0)
    parameter.normal_(0.0, std)


@also("seeded_for_each_parameter", "named_parameters_of")
def seeded_once(model):
    torch.manual_seed(42)
    return list(model.named_parameters())


@mistake(
    "set_bias",
    symptom="Biases do not become 0.",
    cause="They are left out, or drawn like the matrices. A bias begins at 0.",
    place="Add the case of names that end in `bias`, and let it come first.",
    shows=[("biases_are_zero", "differ")],
)
def biases_left(parameter):
    pass


@also("biases_left", "set_bias")
def biases_drawn(parameter):
    parameter.normal_(0.0, 0.02)


@also("biases_left", "set_bias")
def biases_are_one(parameter):
    parameter.fill_(1.0)


@mistake(
    "set_norm",
    symptom="The weights of norms do not become 1.",
    cause="They are left out, or treated like another kind of parameter. A norm begins as one that neither stretches "
    "nor shrinks: with weights near 0 nothing would pass through it.",
    place="A parameter with one axis that is no bias is the weight of a norm: fill it with 1.",
    shows=[("norms_are_one", "differ")],
)
def norms_left(parameter):
    pass


@also("norms_left", "set_norm")
def norms_drawn(parameter):
    parameter.normal_(0.0, 0.02)


@also("norms_left", "set_norm")
def norms_are_zero(parameter):
    parameter.zero_()


@also("norms_left", "set_norm")
def norms_around_one(parameter):
    parameter.normal_(1.0, 0.02)


@mistake(
    "named_parameters_of",
    symptom="Parameters of modules that are not torch's own stay as they were.",
    cause="Only nn.Linear, nn.Embedding and the like were visited. A table of positions, for example, may be a "
    "parameter of a class that somebody has written.",
    place="Go through model.named_parameters(), which knows all of them.",
    shows=[("matrices_have_their_spread", "is as it was", "*position.weight")],
)
def modules_of_torch_alone(model):
    kinds = (nn.Linear, nn.Embedding, nn.LayerNorm, nn.RMSNorm)
    return [
        (f"{place}.{name}", parameter)
        for place, module in model.named_modules()
        if isinstance(module, kinds)
        for name, parameter in module.named_parameters(recurse=False)
    ]


@mistake(
    "named_parameters_of",
    symptom="The tables of tokens and positions stay as they were.",
    cause="Only the layers, or only nn.Linear, were visited. The tables begin at 0.02 as well; at torch's own 1 the "
    "logits of a tied head are huge, and so is the first loss.",
    place="Go through all of model.named_parameters().",
    shows=[("matrices_have_their_spread", "is as it was", "*token.weight")],
)
def tables_left(model):
    return [
        (name, parameter) for name, parameter in model.named_parameters() if "token" not in name and "pos" not in name
    ]


@also("tables_left", "named_parameters_of")
def linear_and_norms_alone(model):
    # The head is skipped: it is known, and it is the token table.
    return [
        (f"{place}.{name}", parameter)
        for place, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.LayerNorm, nn.RMSNorm)) and place != "head"
        for name, parameter in module.named_parameters(recurse=False)
    ]


@mistake(
    "initialise",
    symptom="The parameters are other objects than before, and ties are cut.",
    cause="A new nn.Parameter was put in the place of each. An optimiser that was made before would go on moving the "
    "old ones, and a head that was tied is a copy.",
    place="Change the numbers in place: `normal_`, `fill_`, `zero_`, `copy_`.",
    shows=[("objects_stay", "is no", "parameters are the same objects")],
)
def parameters_replaced(model, num_layers):
    for place, module in model.named_modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            full = f"{place}.{name}"
            if name == "bias":
                new = torch.zeros_like(parameter)
            elif parameter.dim() == 1:
                new = torch.ones_like(parameter)
            else:
                residual = full.endswith(("out_proj.weight", "down_proj.weight"))
                new = torch.randn_like(parameter) * (0.02 / math.sqrt(2 * num_layers) if residual else 0.02)
            module.register_parameter(name, nn.Parameter(new.detach()))


@mistake(
    "initialise",
    symptom="Buffers are changed as well.",
    cause="The state dict holds parameters and buffers. A buffer is nothing that is learned: a mask, or a fixed table.",
    place="Go through model.named_parameters().",
    shows=[("objects_stay", "is no", "buffer is as it was"), ("matrices_have_their_spread", "right")],
)
def buffers_drawn(model, num_layers):
    for name, tensor in model.state_dict().items():
        if name.endswith("bias"):
            tensor.zero_()
        elif tensor.dim() == 1:
            tensor.fill_(1.0)
        elif name.endswith(("out_proj.weight", "down_proj.weight")):
            tensor.normal_(0.0, 0.02 / math.sqrt(2 * num_layers))
        else:
            tensor.normal_(0.0, 0.02)


@mistake(
    "initialise",
    symptom="RuntimeError: a parameter that requires a gradient cannot be changed in place.",
    cause="Autograd watches parameters, and refuses to let them be overwritten where it records.",
    place="Put the loop under `with torch.no_grad():`, or use the functions of nn.init, which do so themselves.",
    shows=[("matrices_have_their_spread", "raise", "answer")],
)
def recorded_by_autograd(model, num_layers):
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
        elif parameter.dim() == 1:
            parameter.fill_(1.0)
        else:
            residual = name.endswith(("out_proj.weight", "down_proj.weight"))
            parameter.normal_(0.0, 0.02 / math.sqrt(2 * num_layers) if residual else 0.02)


# text_batch, the right way, a step at a time


@step
def starts(ids, batch_size, length, generator):
    """where the pieces begin"""
    return torch.randint(len(ids) - length, (batch_size,), generator=generator)


@step
def places_of(starts, length):
    """places of the inputs"""
    return starts[:, None] + torch.arange(length)


@step
def next_places(places, ids, generator):
    """places of the targets"""
    return places + 1


@step
def read_places(ids, places, next_places):
    """inputs; targets"""
    return ids[places], ids[next_places]


@component("starts", "places_of", "next_places", "read_places")
def text_batch(own, ids, batch_size, length, generator):
    places = own.places_of(own.starts(ids, batch_size, length, generator), length)
    return own.read_places(ids, places, own.next_places(places, ids, generator))


@mistake(
    "starts",
    symptom="The last possible start never comes up, so the last id of the text is never a target.",
    cause="One start too few is counted. A piece needs length + 1 ids, so the last start is count - length - 1, and "
    "torch.randint does not draw its upper bound.",
    place="Draw with torch.randint(len(ids) - length, ...).",
    shows=[("every_start_is_drawn", "differ")],
)
def last_start_left_out(ids, batch_size, length, generator):
    return torch.randint(len(ids) - length - 1, (batch_size,), generator=generator)


@also("last_start_left_out", "starts")
def two_last_starts_left_out(ids, batch_size, length, generator):
    return torch.randint(len(ids) - length - 2, (batch_size,), generator=generator)


@mistake(
    "starts",
    symptom="The first start never comes up.",
    cause="The starts are drawn from 1 on. The first id of the text has place 0.",
    place="Look at the lower bound of torch.randint, which is 0 if it is left out.",
    shows=[("every_start_is_drawn", "differ")],
)
def first_start_left_out(ids, batch_size, length, generator):
    return torch.randint(1, len(ids) - length, (batch_size,), generator=generator)


@mistake(
    "text_batch",
    symptom="Sometimes a piece runs over the end of the text.",
    cause="Too many starts are counted. Behind the last input there has to be one more id, for its target.",
    place="Draw with torch.randint(len(ids) - length, ...), whose upper bound is not drawn.",
    shows=[("every_start_is_drawn", "raise")],
)
def one_start_too_many(ids, batch_size, length, generator):
    starts = torch.randint(len(ids) - length + 1, (batch_size,), generator=generator).tolist()
    return (
        torch.stack([ids[start : start + length] for start in starts]),
        torch.stack([ids[start + 1 : start + length + 1] for start in starts]),
    )


@also("one_start_too_many", "starts")
def any_place_as_a_start(ids, batch_size, length, generator):
    return torch.randint(len(ids), (batch_size,), generator=generator)


@mistake(
    "text_batch",
    symptom="Pieces run from the end of the text on at its beginning.",
    cause="The text is treated as a ring, or starts are drawn up to its end and places counted modulo its length. What "
    "follows the end is not in the text.",
    place="Draw only starts behind which length + 1 ids have room.",
    shows=[("every_start_is_drawn", "differ", "*starts that come up")],
)
def text_as_a_ring(ids, batch_size, length, generator):
    starts = torch.randint(len(ids), (batch_size,), generator=generator)
    places = starts[:, None] + torch.arange(length)
    return ids[places % len(ids)], ids[(places + 1) % len(ids)]


@mistake(
    "starts",
    symptom="Pieces begin only at multiples of their length.",
    cause="The text was cut into fixed pieces, and those were drawn. A piece may begin anywhere, so that every id is "
    "met at every place of the context.",
    place="Draw the starts themselves, not numbers of pieces.",
    shows=[("every_start_is_drawn", "differ")],
)
def starts_at_multiples(ids, batch_size, length, generator):
    return length * torch.randint((len(ids) - 1) // length, (batch_size,), generator=generator)


@mistake(
    "next_places",
    symptom="The targets are the inputs.",
    cause="The shift is missing. A model that is asked for what it has just read learns to copy.",
    place="The targets are the piece that begins one place later.",
    shows=[("pieces_run_on", "is 0", "targets are so many places*")],
)
def targets_not_shifted(places, ids, generator):
    return places


@mistake(
    "next_places",
    symptom="The targets are two places behind their inputs.",
    cause="The shift is made twice. The model is asked for the id behind each that it reads, not for the one after "
    "that.",
    place="Look for a second + 1, or a second slice.",
    shows=[("pieces_run_on", "is 2", "targets are so many places*")],
)
def targets_shifted_twice(places, ids, generator):
    return places + 2


@mistake(
    "next_places",
    symptom="The targets are the ids *before* the inputs.",
    cause="The shift goes the other way: the model would be asked for what it has read one place earlier.",
    place="Targets begin at start + 1, inputs at start.",
    shows=[("pieces_run_on", "is -1", "targets are so many places*")],
)
def targets_shifted_back(places, ids, generator):
    return (places - 1).clamp(min=0)


@also("targets_shifted_back", "read_places")
def inputs_and_targets_exchanged(ids, places, next_places):
    return ids[next_places], ids[places]


@mistake(
    "read_places",
    symptom="The last target of each row is its own first input.",
    cause="The targets are the inputs rolled by one place, and torch.roll brings the first to the end. What follows "
    "the last input stands in the text.",
    place="Cut the targets out of the text, or cut length + 1 ids and drop the first.",
    shows=[("pieces_run_on", "differ", "targets are so many places*")],
)
def targets_rolled(ids, places, next_places):
    inputs = ids[places]
    return inputs, inputs.roll(-1, dims=1)


@mistake(
    "read_places",
    symptom="The rows are one id shorter than length.",
    cause="Only length ids were cut for a row, and the shift used one of them up. A row needs length + 1.",
    place="Cut ids[start : start + length + 1].",
    shows=[("pieces_run_on", "another shape", "shape of *")],
)
def rows_one_id_short(ids, places, next_places):
    pieces = ids[places]
    return pieces[:, :-1], pieces[:, 1:]


@mistake(
    "read_places",
    symptom="There is one target for each row.",
    cause="Only the id behind the whole piece is asked for. The causal mask makes every place an honest question, so "
    "every place has a target.",
    place="Return as many targets as inputs.",
    shows=[("pieces_run_on", "another shape", "shape of targets")],
)
def last_target_alone(ids, places, next_places):
    return ids[places], ids[next_places[:, -1]]


@mistake(
    "read_places",
    symptom="The axes are exchanged: pieces run down the columns.",
    cause="The contract is [batch_size, length], a row for each piece.",
    place="Stack the pieces along the first axis, without a transpose.",
    shows=[("pieces_run_on", "another shape", "shape of inputs")],
)
def pieces_in_columns(ids, places, next_places):
    return ids[places].T, ids[next_places].T


@mistake(
    "starts",
    symptom="All pieces of a batch begin at the same place.",
    cause="One start is drawn for the whole batch. Then it holds one piece, many times.",
    place="Draw batch_size starts: torch.randint(..., (batch_size,), generator=generator).",
    shows=[("pieces_run_on", "is one", "different starts")],
)
def one_start_for_all(ids, batch_size, length, generator):
    return torch.randint(len(ids) - length, (1,), generator=generator).expand(batch_size)


@mistake(
    "text_batch",
    symptom="The ids of a row do not follow each other in the text.",
    cause="The place of every id is drawn. What is drawn is where a piece begins; from there on it runs.",
    place="Draw batch_size starts, and add torch.arange(length) to each.",
    shows=[("pieces_run_on", "differ", "each place of inputs*")],
)
def every_id_drawn(ids, batch_size, length, generator):
    places = torch.randint(len(ids) - 1, (batch_size, length), generator=generator)
    return ids[places], ids[places + 1]


@mistake(
    "next_places",
    symptom="Targets have nothing to do with their inputs: they come from another place of the text.",
    cause="The starts of the targets are drawn once more.",
    place="Draw once, and use the same starts for both.",
    shows=[("pieces_run_on", "is differs from place to place", "targets are so many places*")],
)
def targets_drawn_again(places, ids, generator):
    length = places.shape[1]
    return torch.randint(len(ids) - length, (len(places),), generator=generator)[:, None] + torch.arange(1, length + 1)


@mistake(
    "starts",
    symptom="Nothing is drawn from the generator.",
    cause="The starts come from torch's global generator, or from Python's or NumPy's. The same generator should "
    "give the same batch.",
    place="Hand it on: `generator=generator`.",
    shows=[("batch_is_that_of_randint", "is nothing was drawn from it", "*generator")],
)
def generator_not_used(ids, batch_size, length, generator):
    return torch.randint(len(ids) - length, (batch_size,))


@also("generator_not_used", "starts")
def generator_of_its_own(ids, batch_size, length, generator):
    return torch.randint(len(ids) - length, (batch_size,), generator=torch.Generator().manual_seed(0))


@mistake(
    "starts",
    symptom="Every batch is the same, whatever state the generator is in.",
    cause="The generator is seeded inside. Then each call begins anew, and the training sees one batch over and over.",
    place="Leave out manual_seed: whoever made the generator has seeded it.",
    shows=[("batch_is_that_of_randint", "differ", "*inputs")],
)
def generator_seeded_inside(ids, batch_size, length, generator):
    return torch.randint(len(ids) - length, (batch_size,), generator=generator.manual_seed(0))


@mistake(
    "text_batch",
    symptom="No start comes up twice in a batch, and there cannot be more pieces than starts.",
    cause="The starts are drawn without replacement, as by torch.randperm. They should be drawn independently; a "
    "permutation of all places of a long text is slow as well.",
    place="Use torch.randint.",
    shows=[("more_pieces_than_starts", "differ")],
)
def without_replacement(ids, batch_size, length, generator):
    starts = torch.randperm(len(ids) - length, generator=generator)[:batch_size]
    places = starts[:, None] + torch.arange(length)
    return ids[places], ids[places + 1]


@mistake(
    "starts",
    credit=0.5,
    symptom="The pieces are right, but they are not those of one torch.randint with this generator.",
    cause="There are many right ways to draw, and each uses the random numbers differently. So that the same "
    "generator gives the same batch everywhere, the contract names the call.",
    place="torch.randint(len(ids) - length, (batch_size,), generator=generator), once.",
    shows=[("pieces_run_on", "right"), ("every_start_is_drawn", "right"), ("batch_is_that_of_randint", "differ")],
)
def starts_drawn_in_another_way(ids, batch_size, length, generator):
    return (torch.rand(batch_size, generator=generator) * (len(ids) - length)).long()


@also("starts_drawn_in_another_way", "starts")
def starts_with_two_axes(ids, batch_size, length, generator):
    return torch.randint(len(ids) - length, (2, batch_size), generator=generator)[1]


@mistake(
    "read_places",
    symptom="The ids come back as floating point numbers.",
    cause="They were put into a new tensor without a dtype, or computed with. Ids index a table, and F.cross_entropy "
    "asks for whole numbers.",
    place="Index the text itself; it is int64.",
    shows=[("batch_keeps_ids", "differ", "* are")],
)
def ids_as_floats(ids, places, next_places):
    return ids[places].float(), ids[next_places].float()


@mistake(
    "text_batch",
    credit=0.5,
    symptom="The batch is right, and the text has changed.",
    cause="The text is moved in place (`ids += ...`, `ids.copy_(...)`), or targets are written into it. The next "
    "batch needs it as it was.",
    place="Index or slice: both leave the text alone.",
    shows=[("batch_keeps_ids", "differ", "arguments changed in place"), ("pieces_run_on", "right")],
)
def text_rolled_in_place(ids, batch_size, length, generator):
    places = torch.randint(len(ids) - length, (batch_size,), generator=generator)[:, None] + torch.arange(length)
    inputs = ids[places]
    ids.copy_(ids.roll(-1))
    return inputs, ids[places]


# learning_rate, the right way, a step at a time


@step
def rise(number, warm_up, highest, lowest):
    return highest * (number + 1) / (warm_up + 1)


@step
def is_rising(number, warm_up):
    return number < warm_up


@step
def share_done(number, steps, warm_up):
    return (number - warm_up) / (steps - warm_up)


@step
def held(share):
    return min(share, 1.0)


@step
def fall(share, highest, lowest):
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * share)) / 2


@component("rise", "is_rising", "share_done", "held", "fall")
def learning_rate(own, step, steps, warm_up, highest, lowest):
    if own.is_rising(step, warm_up):
        return own.rise(step, warm_up, highest, lowest)
    return own.fall(own.held(own.share_done(step, steps, warm_up)), highest, lowest)


@mistake(
    "rise",
    symptom="The first step has a rate of 0.",
    cause="The rise is counted from 0, so the first batch teaches nothing. The contract begins one stride above 0.",
    place="highest * (step + 1) / (warm_up + 1).",
    shows=[("rate_rises", "lower")],
)
def rise_from_zero(number, warm_up, highest, lowest):
    return highest * number / warm_up


@also("rise_from_zero", "rise")
def rise_from_zero_in_more_strides(number, warm_up, highest, lowest):
    return highest * number / (warm_up + 1)


@mistake(
    "rise",
    symptom="The last step of the rise has the highest rate already, so it comes twice.",
    cause="The rise is divided into warm_up strides. There are warm_up + 1 of them: the last one leads to the step "
    "behind the warm-up, which is the first of the cosine.",
    place="Divide by warm_up + 1.",
    shows=[("rate_rises", "higher"), ("rate_falls", "right")],
)
def rise_ends_early(number, warm_up, highest, lowest):
    return highest * (number + 1) / warm_up


@mistake(
    "rise",
    symptom="During the warm-up the rate rises from the lowest one.",
    cause="`lowest` is where the training ends. The rise begins near 0: its first stride is highest / (warm_up + 1).",
    place="Leave `lowest` out of the first case.",
    shows=[("rate_rises", "differ"), ("rate_falls", "right")],
)
def rise_from_the_lowest(number, warm_up, highest, lowest):
    return lowest + (highest - lowest) * (number + 1) / (warm_up + 1)


@also("rise_from_the_lowest", "rise")
def rise_from_exactly_the_lowest(number, warm_up, highest, lowest):
    return lowest + (highest - lowest) * number / warm_up


@mistake(
    "is_rising",
    symptom="The rates of the warm-up are too high: there is no rise.",
    cause="The first case is missing, or gives the highest rate.",
    place="Ask `if step < warm_up` first.",
    shows=[("rate_rises", "higher"), ("rate_falls", "right")],
)
def no_warm_up(number, warm_up):
    return False


@also("no_warm_up", "rise")
def highest_during_the_warm_up(number, warm_up, highest, lowest):
    return highest


@mistake(
    "rise",
    symptom="The rise is no straight line.",
    cause="It is a root, a cosine or a power. The contract rises by equal strides.",
    place="highest * (step + 1) / (warm_up + 1).",
    shows=[("rate_rises", "differ")],
)
def rise_is_bent(number, warm_up, highest, lowest):
    return highest * (1 - math.cos(math.pi * (number + 1) / (warm_up + 1))) / 2


@also("rise_is_bent", "rise")
def rise_by_a_root(number, warm_up, highest, lowest):
    return highest * math.sqrt((number + 1) / (warm_up + 1))


@also("rise_is_bent", "rise")
def rise_by_a_square(number, warm_up, highest, lowest):
    return highest * ((number + 1) / (warm_up + 1)) ** 2


@mistake(
    "share_done",
    symptom="Behind the warm-up the rate is too low, as if the cosine had begun with the first step.",
    cause="The share is counted from step 0. The cosine begins where the warm-up ends.",
    place="(step - warm_up) / (steps - warm_up).",
    shows=[("rate_falls", "lower"), ("rate_without_warm_up", "right")],
)
def cosine_from_the_first_step(number, steps, warm_up):
    return number / steps


@mistake(
    "share_done",
    symptom="The rate does not come down to the lowest.",
    cause="The share is divided by all steps. The fall has only steps - warm_up of them.",
    place="Divide by steps - warm_up.",
    shows=[("rate_falls", "higher"), ("rate_without_warm_up", "right")],
)
def warm_up_not_taken_off(number, steps, warm_up):
    return (number - warm_up) / steps


@mistake(
    "share_done",
    symptom="The lowest rate comes one step early.",
    cause="The fall is divided into one step too few. The contract reaches `lowest` at step = steps, as torch's "
    "CosineAnnealingLR does; the last step that is taken, steps - 1, is just above it.",
    place="Divide by steps - warm_up.",
    shows=[("rate_falls", "lower")],
    credit=0.5,
)
def ends_one_step_early(number, steps, warm_up):
    return (number - warm_up) / (steps - 1 - warm_up)


@mistake(
    "share_done",
    symptom="The fall is one step ahead: the highest rate never comes.",
    cause="Steps are counted from 1 here. They are counted from 0, and at step = warm_up the share is 0.",
    place="(step - warm_up) / (steps - warm_up), without a + 1.",
    shows=[("rate_is_highest", "lower"), ("rate_falls", "lower")],
)
def fall_one_step_ahead(number, steps, warm_up):
    return (number + 1 - warm_up) / (steps - warm_up)


@mistake(
    "share_done",
    symptom="The rate stays at the highest until the end.",
    cause="A division of whole numbers, `//`, gives 0 until the very end.",
    place="Use `/`.",
    shows=[("rate_falls", "higher")],
)
def share_in_whole_numbers(number, steps, warm_up):
    return (number - warm_up) // (steps - warm_up)


@mistake(
    "held",
    symptom="Behind the last step the rate rises again.",
    cause="A cosine goes on: behind π it comes back up. The contract stays at the lowest rate.",
    place="Let the share be 1 at most: `min(share, 1.0)`.",
    shows=[("rate_stays_low", "higher"), ("rate_falls", "right")],
    credit=0.5,
)
def rises_again(share):
    return share


@mistake(
    "fall",
    symptom="The rate falls to 0, and not to the lowest rate.",
    cause="`lowest` is not used. It is where the cosine ends.",
    place="lowest + (highest - lowest) * (1 + cos) / 2.",
    shows=[("rate_falls", "lower")],
)
def falls_to_zero(share, highest, lowest):
    return highest * (1 + math.cos(math.pi * share)) / 2


@mistake(
    "fall",
    symptom="The fall begins above the highest rate.",
    cause="`lowest` is added to a cosine that already begins at the full `highest`. Only what lies between the two "
    "falls.",
    place="Multiply the cosine by highest - lowest.",
    shows=[("rate_falls", "higher"), ("rate_is_highest", "higher")],
)
def lowest_on_top(share, highest, lowest):
    return lowest + highest * (1 + math.cos(math.pi * share)) / 2


@mistake(
    "fall",
    symptom="The rate falls to 0 and is cut off at the lowest.",
    cause="The cosine runs from highest to 0, and whatever is below `lowest` is raised to it. The cosine should end at "
    "`lowest`.",
    place="lowest + (highest - lowest) * (1 + cos) / 2.",
    shows=[("rate_falls", "lower")],
)
def cut_off_at_the_lowest(share, highest, lowest):
    return max(lowest, highest * (1 + math.cos(math.pi * share)) / 2)


@mistake(
    "fall",
    symptom="The rate falls in a straight line.",
    cause="The cosine is missing.",
    place="(1 + math.cos(math.pi * share)) / 2 is what is left of the way.",
    shows=[("rate_falls", "differ"), ("rate_is_highest", "right")],
)
def falls_in_a_straight_line(share, highest, lowest):
    return highest + (lowest - highest) * share


@mistake(
    "fall",
    symptom="The fall begins at twice the height, or above the highest rate.",
    cause="The half is missing: 1 + cos goes from 2 to 0.",
    place="Divide 1 + cos by 2.",
    shows=[("rate_is_highest", "higher")],
)
def half_missing(share, highest, lowest):
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * share))


@mistake(
    "fall",
    symptom="The rate falls below the lowest.",
    cause="The cosine goes from 1 to -1. With 1 added and halved, it goes from 1 to 0.",
    place="(1 + math.cos(math.pi * share)) / 2.",
    shows=[("rate_falls", "lower"), ("rate_is_highest", "right")],
)
def one_missing_in_the_cosine(share, highest, lowest):
    return lowest + (highest - lowest) * math.cos(math.pi * share)


@mistake(
    "fall",
    symptom="The rate does not come down as far as it should.",
    cause="The angle does not go to π: π is missing, or only a quarter of a circle is used.",
    place="math.cos(math.pi * share): the angle goes from 0 to π.",
    shows=[("rate_falls", "higher"), ("rate_is_highest", "right")],
)
def angle_without_pi(share, highest, lowest):
    return lowest + (highest - lowest) * (1 + math.cos(share)) / 2


@also("angle_without_pi", "fall")
def angle_of_half_pi(share, highest, lowest):
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * share / 2)) / 2


@mistake(
    "fall",
    symptom="The rate is at its lowest in the middle, and high again at the end.",
    cause="A whole wave is used, 2π. Half of one is asked for.",
    place="math.cos(math.pi * share).",
    shows=[("rate_falls", "differ"), ("rate_is_highest", "right")],
)
def a_whole_wave(share, highest, lowest):
    return lowest + (highest - lowest) * (1 + math.cos(2 * math.pi * share)) / 2


@mistake(
    "fall",
    symptom="The fall begins in the middle, or at the lowest rate.",
    cause="A sine, or a cosine with the other sign, was used. Half a cosine begins at 1 and ends at -1.",
    place="(1 + math.cos(math.pi * share)) / 2.",
    shows=[("rate_is_highest", "lower")],
)
def falls_by_a_sine(share, highest, lowest):
    return lowest + (highest - lowest) * (1 + math.sin(math.pi * share)) / 2


@also("falls_by_a_sine", "fall")
def falls_by_a_cosine_upside_down(share, highest, lowest):
    return lowest + (highest - lowest) * (1 - math.cos(math.pi * share)) / 2


@mistake(
    "learning_rate",
    symptom="What comes back is a factor, not a rate: it does not change with `highest`.",
    cause="torch's LambdaLR asks for a factor from 0 to 1. Here the rate itself is asked for.",
    place="Multiply by `highest`, or by `highest - lowest` in the cosine.",
    shows=[("rate_is_highest", "higher")],
)
def a_factor_instead_of_a_rate(step, steps, warm_up, highest, lowest):
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    return (1 + math.cos(math.pi * min((step - warm_up) / (steps - warm_up), 1.0))) / 2


@mistake(
    "learning_rate",
    symptom="Behind the warm-up the rate falls like one over a root, which is neither the cosine nor bound for the "
    "lowest.",
    cause="That is the schedule of Vaswani et al. 2017, section 5.3. Here the fall is half a cosine.",
    place="Use the formula above the exercise.",
    shows=[("rate_falls", "differ")],
)
def one_over_the_root(step, steps, warm_up, highest, lowest):
    return highest * min((step + 1) / (warm_up + 1), math.sqrt((warm_up + 1) / (step + 1)))


# clip_gradients, the right way, a step at a time


@step
def squares_of(gradients):
    """squared lengths"""
    return torch.stack([gradient.square().sum() for gradient in gradients if gradient is not None])


@step
def norm_of(squares):
    """norm"""
    return squares.sum().sqrt()


@step
def factor_of(norm, max_norm):
    """factor"""
    return max_norm / norm.clamp(min=max_norm)


@step
def shortened(gradient, factor):
    """clipped gradient"""
    return gradient * factor


@step
def told_norm(norm, factor):
    """norm that is returned"""
    return norm


@component("squares_of", "norm_of", "factor_of", "shortened", "told_norm")
def clip_gradients(own, gradients, max_norm):
    norm = own.norm_of(own.squares_of(gradients))
    factor = own.factor_of(norm, max_norm)
    clipped = [None if gradient is None else own.shortened(gradient, factor) for gradient in gradients]
    return clipped, own.told_norm(norm, factor)


@mistake(
    "clip_gradients",
    symptom="Each gradient is clipped by its own length.",
    cause="The limit is for all gradients together. Clipped one by one they get different factors, and the step points "
    "elsewhere.",
    place="Compute one norm of all gradients, then one factor.",
    shows=[("common_length_counts", "differ", "clipped[[]*"), ("short_gradients_stay", "right", "*: clipped[[]*")],
)
def each_by_itself(gradients, max_norm):
    squares = [gradient.square().sum() for gradient in gradients if gradient is not None]
    clipped = [
        None if gradient is None else gradient * (max_norm / gradient.norm().clamp(min=max_norm))
        for gradient in gradients
    ]
    return clipped, torch.stack(squares).sum().sqrt()


@mistake(
    "clip_gradients",
    symptom="Each number is cut off at max_norm.",
    cause="That is clipping by value, torch.nn.utils.clip_grad_value_. The direction of the step changes, and the "
    "length can be larger than max_norm.",
    place="Multiply all gradients by one factor.",
    shows=[("long_gradients_are_shortened", "differ", "clipped[[]*")],
)
def clipped_by_value(gradients, max_norm):
    squares = [gradient.square().sum() for gradient in gradients if gradient is not None]
    clipped = [None if gradient is None else gradient.clamp(-max_norm, max_norm) for gradient in gradients]
    return clipped, torch.stack(squares).sum().sqrt()


@mistake(
    "factor_of",
    symptom="Short gradients are made longer.",
    cause="The factor max_norm / norm is larger than 1 where the norm is below the limit. Clipping only shortens.",
    place="Let the factor be 1 at most.",
    shows=[("short_gradients_stay", "larger", "*: clipped[[]*"), ("long_gradients_are_shortened", "right")],
)
def lengthened_as_well(norm, max_norm):
    return max_norm / (norm + 1e-6)


@also("lengthened_as_well", "factor_of")
def lengthened_without_the_millionth(norm, max_norm):
    return max_norm / norm


@mistake(
    "factor_of",
    symptom="Gradients that are too long stay too long.",
    cause="The factor is never smaller than 1: a comparison is the wrong way round, or what was clipped is not what is "
    "returned.",
    place="The factor is max_norm / norm where norm is larger than max_norm.",
    shows=[("long_gradients_are_shortened", "larger", "clipped[[]*")],
)
def only_lengthened(norm, max_norm):
    return (max_norm / norm.clamp(min=1e-6)).clamp(min=1.0)


@also("only_lengthened", "factor_of")
def never_clipped(norm, max_norm):
    return 1.0


@mistake(
    "factor_of",
    symptom="The common length becomes 1, whatever max_norm is.",
    cause="The gradients are divided by their norm alone.",
    place="The factor is max_norm / norm.",
    shows=[("long_gradients_are_shortened", "smaller", "clipped[[]*")],
)
def length_one(norm, max_norm):
    return 1.0 / norm.clamp(min=max_norm) if norm > max_norm else norm.new_ones(())


@also("length_one", "factor_of")
def always_length_one(norm, max_norm):
    return 1.0 / (norm + 1e-6)


@mistake(
    "factor_of",
    symptom="Gradients that are too long are multiplied by max_norm.",
    cause="The division by the norm is missing.",
    place="The factor is max_norm / norm.",
    shows=[("long_gradients_are_shortened", "larger", "clipped[[]*")],
)
def norm_not_divided_by(norm, max_norm):
    return torch.where(norm > max_norm, max_norm, 1.0)


@mistake(
    "factor_of",
    symptom="Gradients come out too short, also some that should stay as they are.",
    cause="A large number is added to the norm before the division, often 1. If anything is added, it is a millionth.",
    place="Look at what is added to the norm.",
    shows=[("long_gradients_are_shortened", "smaller", "clipped[[]*")],
)
def one_added_to_the_norm(norm, max_norm):
    return (max_norm / (norm + 1)).clamp(max=1.0)


@mistake(
    "norm_of",
    symptom="The norm is the sum of the lengths of the single gradients, which is too large.",
    cause="Lengths do not add up. It is the squares that do: the common length is the root of the sum of all squares.",
    place="Sum the squares of all gradients first, and take one root at the end.",
    shows=[("common_length_counts", "higher", "norm")],
)
def lengths_added_up(squares):
    return squares.sqrt().sum()


@mistake(
    "norm_of",
    symptom="The norm is the squared length.",
    cause="The root is missing.",
    place="Take the root of the sum of squares.",
    shows=[("long_gradients_are_shortened", "higher", "norm")],
)
def root_of_the_squares_missing(squares):
    return squares.sum()


@mistake(
    "norm_of",
    symptom="The norm is too small: it is that of one gradient alone, or a mean.",
    cause="The gradients are not taken together. Their common length is the root of the *sum* of the squares of all "
    "their numbers.",
    place="Sum over all tensors.",
    shows=[("common_length_counts", "lower", "norm"), ("single_gradients", "right")],
)
def longest_alone(squares):
    return squares.max().sqrt()


@also("longest_alone", "norm_of")
def mean_of_the_squares(squares):
    return squares.mean().sqrt()


@also("longest_alone", "norm_of")
def last_gradient_alone(squares):
    return squares[-1].sqrt()


@mistake(
    "squares_of",
    symptom="The norm is a root of mean squares, which is too small.",
    cause="A mean over the numbers was taken where a sum belongs. The length of a vector grows with each number that "
    "it has.",
    place="gradient.square().sum().",
    shows=[("single_gradients", "lower", "*: norm")],
)
def mean_of_each_gradient(gradients):
    return torch.stack([gradient.square().mean() for gradient in gradients if gradient is not None])


@mistake(
    "squares_of",
    symptom="Another length is measured: the sum of absolute values, or the largest of them.",
    cause="These are the norms of order 1 and of order infinity. Clipping uses the usual length, of order 2.",
    place="The root of the sum of squares.",
    shows=[("long_gradients_are_shortened", "differ", "norm")],
)
def sum_of_absolute_values(gradients):
    total = sum(gradient.abs().sum() for gradient in gradients if gradient is not None)
    return total[None] ** 2


@also("sum_of_absolute_values", "squares_of")
def largest_number(gradients):
    return torch.stack([gradient.abs().max() for gradient in gradients if gradient is not None]).max()[None] ** 2


@mistake(
    "clip_gradients",
    symptom="None among the gradients raises an error.",
    cause="A parameter that had no part in the loss has no gradient. It is None, and has neither square nor product.",
    place="Leave None out of the sum, and hand it on as it is.",
    shows=[("missing_gradients_stay", "raise"), ("long_gradients_are_shortened", "right")],
)
def none_not_expected(gradients, max_norm):
    norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
    factor = max_norm / norm.clamp(min=max_norm)
    return [gradient * factor for gradient in gradients], norm


@mistake(
    "clip_gradients",
    symptom="The list is shorter where a gradient is None, so the others stand at wrong places.",
    cause="None was left out of the result. Whoever called pairs the list with the parameters, one by one.",
    place="Keep None at its place.",
    shows=[("missing_gradients_stay", "differ", "*clipped gradients"), ("long_gradients_are_shortened", "right")],
)
def none_left_out(gradients, max_norm):
    gradients = [gradient for gradient in gradients if gradient is not None]
    norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
    factor = max_norm / norm.clamp(min=max_norm)
    return [gradient * factor for gradient in gradients], norm


@mistake(
    "clip_gradients",
    symptom="Where no gradient was, one of 0 comes back.",
    cause="None is no gradient of 0: with AdamW a parameter with a gradient of 0 still decays and moves on.",
    place="Hand None on as None.",
    shows=[("missing_gradients_stay", "differ", "*clipped gradients"), ("long_gradients_are_shortened", "right")],
)
def zero_for_none(gradients, max_norm):
    gradients = [torch.zeros(()) if gradient is None else gradient for gradient in gradients]
    norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
    factor = max_norm / norm.clamp(min=max_norm)
    return [gradient * factor for gradient in gradients], norm


@mistake(
    "factor_of",
    credit=0.5,
    symptom="Where all gradients are 0, NaN comes out.",
    cause="The gradients are divided by their norm, and 0 / 0 is NaN.",
    place="Divide by norm.clamp(min=max_norm), or add a millionth to the norm, or ask first whether it is too large.",
    shows=[("zero_gradients_stay", "NaN", "clipped[[]*"), ("long_gradients_are_shortened", "right")],
)
def nan_for_zero(norm, max_norm):
    return norm.clamp(max=max_norm) / norm


@mistake(
    "told_norm",
    symptom="The norm is that of the clipped gradients.",
    cause="It was measured afterwards, where it is max_norm at most and says nothing any more. What is watched is "
    "the length before.",
    place="Return the norm with which the factor was made.",
    shows=[("long_gradients_are_shortened", "lower", "norm"), ("short_gradients_stay", "right")],
)
def norm_after_clipping(norm, factor):
    return norm * factor


@mistake(
    "told_norm",
    symptom="The factor comes back where the norm is asked for.",
    cause="The two were exchanged.",
    place="Return the list and the norm.",
    shows=[("long_gradients_are_shortened", "differ", "norm")],
)
def factor_instead_of_norm(norm, factor):
    return factor


@mistake(
    "clip_gradients",
    symptom="Only the list, or only the norm, comes back.",
    cause="Two things are asked for: the clipped gradients, and the norm before. (torch's function changes the "
    "gradients in place, and returns the norm alone.)",
    place="return clipped, norm",
    shows=[("long_gradients_are_shortened", "differ", "answer")],
)
def list_alone(gradients, max_norm):
    norm = torch.stack([gradient.square().sum() for gradient in gradients if gradient is not None]).sum().sqrt()
    return [None if gradient is None else gradient * (max_norm / norm.clamp(min=max_norm)) for gradient in gradients]


@also("list_alone", "clip_gradients")
def norm_alone(gradients, max_norm):
    norm = torch.stack([gradient.square().sum() for gradient in gradients if gradient is not None]).sum().sqrt()
    return norm


@mistake(
    "shortened",
    credit=0.5,
    symptom="The numbers are right, and the given gradients are changed.",
    cause="The gradients were multiplied in place (`mul_`, `*=`), as torch.nn.utils.clip_grad_norm_ does. Here new "
    "tensors are asked for.",
    place="gradient * factor.",
    shows=[("gradients_are_kept", "differ"), ("long_gradients_are_shortened", "right")],
)
def gradients_changed_in_place(gradient, factor):
    return gradient.mul_(factor)


# adamw_step, the right way, a step at a time


@step
def new_first(first, gradient, beta1):
    """mean of the gradient"""
    return beta1 * first + (1 - beta1) * gradient


@step
def new_second(second, gradient, beta2):
    """mean of its square"""
    return beta2 * second + (1 - beta2) * gradient.square()


@step
def corrected_first(first, beta1, number):
    """corrected mean of the gradient"""
    return first / (1 - beta1**number)


@step
def corrected_second(second, beta2, number):
    """corrected mean of its square"""
    return second / (1 - beta2**number)


@step
def divided(first, second, eps):
    """direction"""
    return first / (second.sqrt() + eps)


@step
def decayed(parameter, learning_rate, weight_decay):
    """decayed parameter"""
    return parameter - learning_rate * weight_decay * parameter


@step
def moved(parameter, learning_rate, direction):
    """moved parameter"""
    return parameter - learning_rate * direction


@step
def seen_gradient(gradient, parameter, weight_decay):
    """gradient"""
    return gradient


@step
def kept(first, second, corrected_first, corrected_second):
    """means that are kept"""
    return first, second


@component(
    "seen_gradient",
    "new_first",
    "new_second",
    "corrected_first",
    "corrected_second",
    "divided",
    "decayed",
    "moved",
    "kept",
)
def adamw_step(own, parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    gradient = own.seen_gradient(gradient, parameter, weight_decay)
    first = own.new_first(first, gradient, betas[0])
    second = own.new_second(second, gradient, betas[1])
    m, v = own.corrected_first(first, betas[0], step), own.corrected_second(second, betas[1], step)
    decayed = own.decayed(parameter, learning_rate, weight_decay)
    return own.moved(decayed, learning_rate, own.divided(m, v, eps)), *own.kept(first, second, m, v)


@mistake(
    symptom="The decay goes through the gradient and both means.",
    cause="weight_decay * parameter was added to the gradient. That is Adam with an L2 penalty, which AdamW was made "
    "to replace: divided by the root of v, large gradients hardly decay.",
    place="Leave the gradient as it is, and shrink the parameter by learning_rate * weight_decay * parameter.",
    shows=[("a_step_of_adamw", "differ", "first"), ("adamw_without_decay", "right")],
)
class decay_in_the_gradient:
    @staticmethod
    def seen_gradient(gradient, parameter, weight_decay):
        return gradient + weight_decay * parameter

    @staticmethod
    def decayed(parameter, learning_rate, weight_decay):
        return parameter


@mistake(
    "decayed",
    symptom="The parameter does not decay.",
    cause="weight_decay is not used.",
    place="Subtract learning_rate * weight_decay * parameter.",
    shows=[("adamw_without_decay", "right"), ("decay_of_adamw", "differ", "*: parameter")],
)
def no_decay(parameter, learning_rate, weight_decay):
    return parameter


@mistake(
    "decayed",
    symptom="The decay is not multiplied by the learning rate.",
    cause="In the paper the decay is multiplied by the schedule alone; torch, and the contract, multiply it by the "
    "learning rate.",
    place="learning_rate * weight_decay * parameter.",
    shows=[("adamw_without_decay", "right"), ("decay_of_adamw", "smaller", "*: parameter")],
)
def decay_without_the_rate(parameter, learning_rate, weight_decay):
    return parameter - weight_decay * parameter


@mistake(
    "decayed",
    symptom="The parameter grows where it should decay.",
    cause="The sign of the decay is wrong.",
    place="The decay is subtracted: parameter * (1 - learning_rate * weight_decay).",
    shows=[("adamw_without_decay", "right"), ("decay_of_adamw", "larger", "*: parameter")],
)
def decay_with_the_wrong_sign(parameter, learning_rate, weight_decay):
    return parameter + learning_rate * weight_decay * parameter


@mistake(
    "adamw_step",
    symptom="The decay is a share of the parameter after the step.",
    cause="It was applied last, to the moved parameter. The contract takes it of the parameter as it was given, as "
    "torch does.",
    place="Decay first, or put both into one difference.",
    shows=[("adamw_without_decay", "right"), ("decay_of_adamw", "right"), ("a_step_of_adamw", "differ", "parameter")],
    credit=0.5,
)
def decay_after_the_step(parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    first = betas[0] * first + (1 - betas[0]) * gradient
    second = betas[1] * second + (1 - betas[1]) * gradient.square()
    direction = first / (1 - betas[0] ** step) / ((second / (1 - betas[1] ** step)).sqrt() + eps)
    return (parameter - learning_rate * direction) * (1 - learning_rate * weight_decay), first, second


@mistake(
    symptom="Neither mean is corrected, so early steps have the wrong size.",
    cause="The means begin at 0, and after t steps they have only 1 - beta**t of their weight. Late steps look right.",
    place="Divide the means by 1 - beta**step before you use them.",
    shows=[("a_late_step_of_adamw", "right"), ("the_first_step_of_adamw", "differ", "parameter")],
)
class no_correction:
    @staticmethod
    def corrected_first(first, beta1, number):
        return first

    @staticmethod
    def corrected_second(second, beta2, number):
        return second


@mistake(
    "corrected_first",
    symptom="One of the two means is not corrected.",
    cause="Both begin at 0, and each has a correction with its own beta.",
    place="Divide first by 1 - beta1**step and second by 1 - beta2**step.",
    shows=[("a_late_step_of_adamw", "right"), ("the_first_step_of_adamw", "differ", "parameter")],
)
def first_not_corrected(first, beta1, number):
    return first


@also("first_not_corrected", "corrected_second")
def second_not_corrected(second, beta2, number):
    return second


@mistake(
    "corrected_first",
    symptom="The correction is that of the first step, always.",
    cause="1 - beta lacks its power: the correction has to vanish as the steps go on.",
    place="1 - beta**step.",
    shows=[("the_first_step_of_adamw", "right"), ("a_late_step_of_adamw", "differ", "parameter")],
)
def correction_without_a_power(first, beta1, number):
    return first / (1 - beta1)


@also("correction_without_a_power")
class both_corrections_without_a_power:
    @staticmethod
    def corrected_first(first, beta1, number):
        return first / (1 - beta1)

    @staticmethod
    def corrected_second(second, beta2, number):
        return second / (1 - beta2)


@mistake(
    symptom="The correction is that of another step.",
    cause="step was counted on, or back, although it is counted from 1 as the formula wants it.",
    place="Use step as it is given.",
    shows=[("a_late_step_of_adamw", "right"), ("a_step_of_adamw", "differ", "parameter")],
)
class correction_one_step_late:
    @staticmethod
    def corrected_first(first, beta1, number):
        return first / (1 - beta1 ** (number + 1))

    @staticmethod
    def corrected_second(second, beta2, number):
        return second / (1 - beta2 ** (number + 1))


@also("correction_one_step_late")
class correction_one_step_early:
    @staticmethod
    def corrected_first(first, beta1, number):
        return first / (1 - beta1 ** (number - 1))

    @staticmethod
    def corrected_second(second, beta2, number):
        return second / (1 - beta2 ** (number - 1))


@mistake(
    symptom="The correction makes the means smaller, not larger.",
    cause="They are multiplied by 1 - beta**step. A mean that is too small has to be divided by it.",
    place="Divide.",
    shows=[("a_late_step_of_adamw", "right"), ("the_first_step_of_adamw", "differ", "parameter")],
)
class multiplied_by_the_correction:
    @staticmethod
    def corrected_first(first, beta1, number):
        return first * (1 - beta1**number)

    @staticmethod
    def corrected_second(second, beta2, number):
        return second * (1 - beta2**number)


@mistake(
    "kept",
    symptom="The means come back with their correction.",
    cause="The corrected means were returned. In the next step they would be corrected once more.",
    place="Give the corrected means names of their own, and return the others.",
    shows=[("means_of_adamw", "differ"), ("a_late_step_of_adamw", "right")],
)
def corrected_means_kept(first, second, corrected_first, corrected_second):
    return corrected_first, corrected_second


@mistake(
    "divided",
    symptom="The gradient's mean is divided by v, not by its root.",
    cause="The root is missing.",
    place="second.sqrt() + eps.",
    shows=[("means_of_adamw", "right"), ("a_step_of_adamw", "differ", "parameter")],
)
def root_of_v_missing(first, second, eps):
    return first / (second + eps)


@mistake(
    "divided",
    symptom="Small means of squares give other steps: eps stands in the root.",
    cause="eps was added to v before its root was taken. In Adam and AdamW it is added to the root.",
    place="second.sqrt() + eps.",
    shows=[("means_of_adamw", "right"), ("eps_of_adamw", "differ", "*: parameter")],
    credit=0.5,
)
def eps_in_the_root(first, second, eps):
    return first / (second + eps).sqrt()


@mistake(
    "divided",
    symptom="eps is not used.",
    cause="Where all gradients of a number have been 0, this divides 0 by 0.",
    place="second.sqrt() + eps.",
    shows=[("means_of_adamw", "right"), ("decay_of_adamw", "NaN", "*: parameter")],
)
def eps_missing(first, second, eps):
    return first / second.sqrt()


@mistake(
    "adamw_step",
    symptom="eps is added to the root before the correction, which makes it larger in early steps.",
    cause="The root of the uncorrected v was taken, eps added, and the sum corrected. eps belongs behind the "
    "correction.",
    place="(second / (1 - beta2**step)).sqrt() + eps.",
    shows=[("a_late_step_of_adamw", "right"), ("eps_of_adamw", "differ", "*: parameter")],
    credit=0.5,
)
def eps_before_the_correction(parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    first = betas[0] * first + (1 - betas[0]) * gradient
    second = betas[1] * second + (1 - betas[1]) * gradient.square()
    rate = learning_rate * math.sqrt(1 - betas[1] ** step) / (1 - betas[0] ** step)
    parameter = parameter * (1 - learning_rate * weight_decay)
    return parameter - rate * first / (second.sqrt() + eps), first, second


@mistake(
    "adamw_step",
    symptom="The betas are exchanged: each mean keeps the share that the other one should.",
    cause="The first of the pair belongs to the mean of the gradient, the second to the mean of its square.",
    place="beta1, beta2 = betas.",
    shows=[("means_of_adamw", "differ")],
)
def betas_exchanged(parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    beta2, beta1 = betas
    first = beta1 * first + (1 - beta1) * gradient
    second = beta2 * second + (1 - beta2) * gradient.square()
    direction = first / (1 - beta1**step) / ((second / (1 - beta2**step)).sqrt() + eps)
    return parameter - learning_rate * (direction + weight_decay * parameter), first, second


@mistake(
    symptom="The means keep too little of what they were.",
    cause="beta and 1 - beta are exchanged: beta is the share that is kept.",
    place="beta * mean + (1 - beta) * new.",
    shows=[("means_of_adamw", "differ")],
)
class shares_exchanged:
    @staticmethod
    def new_first(first, gradient, beta1):
        return (1 - beta1) * first + beta1 * gradient

    @staticmethod
    def new_second(second, gradient, beta2):
        return (1 - beta2) * second + beta2 * gradient.square()


@mistake(
    "new_first",
    symptom="The mean of the gradient is no mean: the new gradient is added whole.",
    cause="The factor 1 - beta1 is missing. That is the momentum of plain gradient descent, where everything is "
    "summed up.",
    place="beta1 * first + (1 - beta1) * gradient.",
    shows=[("means_of_adamw", "differ", "first")],
)
def gradient_added_whole(first, gradient, beta1):
    return beta1 * first + gradient


@mistake(
    "new_second",
    symptom="The second mean is not one of squares.",
    cause="The square is missing, or an absolute value stands in its place.",
    place="(1 - beta2) * gradient.square().",
    shows=[("means_of_adamw", "differ", "second")],
)
def gradient_not_squared(second, gradient, beta2):
    return beta2 * second + (1 - beta2) * gradient.abs()


@also("gradient_not_squared", "new_second")
def gradient_with_its_sign(second, gradient, beta2):
    return beta2 * second + (1 - beta2) * gradient


@mistake(
    "new_second",
    symptom="All numbers of a parameter share one mean of squares.",
    cause="The square of the whole gradient's length, or a mean over it, was taken. Each number has a v of its own.",
    place="gradient.square(), without a sum, a mean or a norm.",
    shows=[("means_of_adamw", "differ", "second")],
)
def one_square_for_all(second, gradient, beta2):
    return beta2 * second + (1 - beta2) * gradient.norm() ** 2


@also("one_square_for_all", "new_second")
def mean_square_for_all(second, gradient, beta2):
    return beta2 * second + (1 - beta2) * gradient.square().mean()


@mistake(
    "adamw_step",
    symptom="The step uses the means of the step before.",
    cause="The parameter is moved first and the means are updated behind it, so the gradient counts one step late.",
    place="Update both means first.",
    shows=[("means_of_adamw", "right"), ("a_step_of_adamw", "differ", "parameter")],
)
def moved_with_the_old_means(parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    direction = first / (1 - betas[0] ** step) / ((second / (1 - betas[1] ** step)).sqrt() + eps)
    parameter = parameter - learning_rate * (direction + weight_decay * parameter)
    first = betas[0] * first + (1 - betas[0]) * gradient
    second = betas[1] * second + (1 - betas[1]) * gradient.square()
    return parameter, first, second


@mistake(
    "adamw_step",
    symptom="The gradient itself moves the parameter, not its mean.",
    cause="The gradient stands in the numerator: that is RMSProp, not Adam. The running mean smooths the direction.",
    place="Divide the corrected first mean by the root of the corrected second one.",
    shows=[("means_of_adamw", "right"), ("a_step_of_adamw", "differ", "parameter")],
)
def gradient_in_the_numerator(parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    first = betas[0] * first + (1 - betas[0]) * gradient
    second = betas[1] * second + (1 - betas[1]) * gradient.square()
    direction = gradient / ((second / (1 - betas[1] ** step)).sqrt() + eps)
    return parameter - learning_rate * (direction + weight_decay * parameter), first, second


@mistake(
    "moved",
    symptom="The parameter moves uphill.",
    cause="The sign is wrong: the loss falls against the gradient.",
    place="Subtract the step.",
    shows=[("means_of_adamw", "right"), ("decay_of_adamw", "right"), ("a_step_of_adamw", "differ", "parameter")],
)
def moved_uphill(parameter, learning_rate, direction):
    return parameter + learning_rate * direction


@mistake(
    "moved",
    symptom="The learning rate does not change the step.",
    cause="learning_rate is not used where the parameter moves.",
    place="parameter - learning_rate * direction.",
    shows=[("means_of_adamw", "right"), ("adamw_without_decay", "differ", "parameter")],
)
def moved_without_the_rate(parameter, learning_rate, direction):
    return parameter - direction


@mistake(
    "adamw_step",
    symptom="The step alone comes back, not the parameter behind it.",
    cause="What is asked for is the new parameter. The step has to be subtracted from it.",
    place="parameter - learning_rate * (...).",
    shows=[("means_of_adamw", "right"), ("a_step_of_adamw", "differ", "parameter")],
)
def step_alone(parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    first = betas[0] * first + (1 - betas[0]) * gradient
    second = betas[1] * second + (1 - betas[1]) * gradient.square()
    direction = first / (1 - betas[0] ** step) / ((second / (1 - betas[1] ** step)).sqrt() + eps)
    return learning_rate * (direction + weight_decay * parameter), first, second


@mistake(
    "adamw_step",
    credit=0.5,
    symptom="The numbers are right, and the arguments are changed.",
    cause="The parameter or the means are updated in place, as an optimiser does. Here new tensors are asked for.",
    place="Use `first = beta1 * first + ...` for mul_ and add_.",
    shows=[("adamw_changes_nothing", "differ"), ("a_step_of_adamw", "right")],
)
def updated_in_place(parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    first.mul_(betas[0]).add_(gradient, alpha=1 - betas[0])
    second.mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
    direction = first / (1 - betas[0] ** step) / ((second / (1 - betas[1] ** step)).sqrt() + eps)
    return parameter - learning_rate * (direction + weight_decay * parameter), first, second


@also("updated_in_place", "adamw_step")
def parameter_updated_in_place(parameter, gradient, first, second, step, learning_rate, betas, eps, weight_decay):
    first = betas[0] * first + (1 - betas[0]) * gradient
    second = betas[1] * second + (1 - betas[1]) * gradient.square()
    direction = first / (1 - betas[0] ** step) / ((second / (1 - betas[1] ** step)).sqrt() + eps)
    parameter -= learning_rate * (direction + weight_decay * parameter)
    return parameter, first, second


@mistake(
    "divided",
    credit=0.5,
    symptom="A tensor is made on the default device.",
    cause="A new tensor does not follow the parameter, so the step fails where the parameter is on a GPU.",
    place="Add eps as the number that it is, or use torch.full_like.",
    shows=[("adamw_follows_the_parameter", "is no", "made on*"), ("a_step_of_adamw", "right")],
)
def eps_on_the_default_device(first, second, eps):
    return first / (second.sqrt() + torch.full(second.shape, eps))


# evaluate, the right way, a step at a time


@step
def before(model):
    was_training = model.training
    model.eval()
    return was_training


@step
def recording():
    return torch.no_grad()


@step
def pieces_of(count, length):
    return [(begin, min(begin + length + 1, count)) for begin in range(0, count - 1, length)]


@step
def batches_of(pieces, length, batch_size):
    whole = [piece for piece in pieces if piece[1] - piece[0] == length + 1]
    batches = [whole[first : first + batch_size] for first in range(0, len(whole), batch_size)]
    return batches + [[piece] for piece in pieces if piece[1] - piece[0] != length + 1]


@step
def rows_of(ids, batch):
    """pieces of a batch, with their last targets"""
    return torch.stack([ids[begin:end] for begin, end in batch])


@step
def losses_of(model, batch):
    """losses of a batch"""
    return F.cross_entropy(model(batch[:, :-1]).transpose(1, 2), batch[:, 1:], reduction="none")


@step
def mean_of(losses, ids):
    return sum(loss.sum().item() for loss in losses) / (len(ids) - 1)


@step
def after(model, was_training):
    model.train(was_training)


@component("before", "recording", "pieces_of", "batches_of", "rows_of", "losses_of", "mean_of", "after")
def evaluate(own, model, ids, length, batch_size):
    was_training = own.before(model)
    with own.recording():
        batches = own.batches_of(own.pieces_of(len(ids), length), length, batch_size)
        losses = [own.losses_of(model, own.rows_of(ids, batch)) for batch in batches]
    own.after(model, was_training)
    return own.mean_of(losses, ids)


@mistake(
    symptom="The model is asked in training mode, where dropout disturbs every answer.",
    cause="model.eval() is missing. The result is too high, and another one each time.",
    place="Call model.eval() before the first batch.",
    shows=[("evaluated_without_dropout", "is training", "given in training mode: modes*")],
)
class left_in_training_mode:
    @staticmethod
    def before(model):
        return model.training


@mistake(
    "after",
    symptom="The model is left in evaluation mode, although it was in training mode.",
    cause="Whoever measures in the middle of a training then goes on without dropout, and does not notice.",
    place="Remember model.training, and call model.train(was_training) at the end.",
    shows=[("mode_is_restored", "is evaluation", "given in training mode:*"), ("targets_count_once", "right")],
)
def not_put_back(model, was_training):
    pass


@mistake(
    "after",
    symptom="The model is always left in training mode.",
    cause="model.train() at the end also switches a model to training mode that was in evaluation mode.",
    place="model.train(was_training).",
    shows=[("mode_is_restored", "is training", "given in evaluation mode:*"), ("targets_count_once", "right")],
    credit=0.5,
)
def always_put_into_training(model, was_training):
    model.train()


@mistake(
    "recording",
    symptom="Autograd records the calls.",
    cause="torch.no_grad() is missing. The number is right, but every activation is kept, and memory with it.",
    place="Put the loop under `with torch.no_grad():`.",
    shows=[("evaluated_without_dropout", "is yes", "*autograd records the calls"), ("targets_count_once", "right")],
    credit=0.5,
)
def gradients_recorded():
    return torch.enable_grad()


@mistake(
    "mean_of",
    symptom="The result is right for batches of one size, and otherwise targets of small batches count too much.",
    cause="A mean of the batches' means was taken.",
    place="Sum the losses of all targets, and divide once by their number.",
    shows=[("shorter_piece_counts", "differ", "*: loss")],
)
def mean_of_the_batches_means(losses, ids):
    return sum(loss.mean().item() for loss in losses) / len(losses)


@mistake(
    "mean_of",
    symptom="The loss is too small: it is divided by one number too many.",
    cause="It is divided by the number of ids. The first id is no target, so there are count - 1.",
    place="Divide by len(ids) - 1.",
    shows=[("targets_count_once", "lower", "loss")],
)
def divided_by_the_ids(losses, ids):
    return sum(loss.sum().item() for loss in losses) / len(ids)


@mistake(
    "mean_of",
    symptom="The loss is not a mean over targets: it is larger the more targets there are.",
    cause="It is a sum, or was divided by the number of batches or pieces.",
    place="Divide the sum by the number of targets.",
    shows=[("targets_count_once", "higher", "loss")],
)
def sum_of_the_losses(losses, ids):
    return sum(loss.sum().item() for loss in losses)


@also("sum_of_the_losses", "mean_of")
def divided_by_the_batches(losses, ids):
    return sum(loss.sum().item() for loss in losses) / len(losses)


@also("sum_of_the_losses", "mean_of")
def divided_by_the_pieces(losses, ids):
    return sum(loss.sum().item() for loss in losses) / sum(len(loss) for loss in losses)


@mistake(
    "mean_of",
    symptom="The result is e to the power of the loss, the perplexity.",
    cause="Perplexity is easier to read. Asked for is its logarithm, the loss in nats.",
    place="Leave out the exponential.",
    shows=[("targets_count_once", "higher", "loss")],
)
def perplexity_instead_of_nats(losses, ids):
    return math.exp(sum(loss.sum().item() for loss in losses) / (len(ids) - 1))


@mistake(
    "mean_of",
    symptom="The loss is larger by the factor 1.44: it is in bits.",
    cause="The logarithm to base 2 was taken, or the loss divided by log 2. F.cross_entropy, and the contract, use "
    "nats.",
    place="Look for log2, or for a division by math.log(2).",
    shows=[("targets_count_once", "multiple", "loss"), ("targets_count_once", "higher", "loss")],
)
def bits_instead_of_nats(losses, ids):
    return sum(loss.sum().item() for loss in losses) / (len(ids) - 1) / math.log(2)


@mistake(
    "mean_of",
    symptom="The result has the wrong sign.",
    cause="The logarithm of a probability is negative. The loss is the negative logarithm.",
    place="Put a minus in front of the logarithms.",
    shows=[("targets_count_once", "opposite", "loss")],
)
def sign_of_the_loss(losses, ids):
    return -sum(loss.sum().item() for loss in losses) / (len(ids) - 1)


@mistake(
    "evaluate",
    symptom="The last, shorter piece does not count.",
    cause="It was left out, as a data loader does with drop_last=True. Then the number is not about the whole text.",
    place="Give the shorter piece a call of its own.",
    shows=[("shorter_piece_counts", "differ", "*: loss"), ("targets_count_once", "right")],
)
def shorter_piece_dropped(model, ids, length, batch_size):
    was_training = model.training
    model.eval()
    count = (len(ids) - 1) // length * length
    total = 0.0
    with torch.no_grad():
        pieces = zip(
            ids[:count].view(-1, length).split(batch_size),
            ids[1 : count + 1].view(-1, length).split(batch_size),
            strict=True,
        )
        for read, asked in pieces:
            total += F.cross_entropy(model(read).flatten(0, 1), asked.flatten(), reduction="sum").item()
    model.train(was_training)
    return total / count if count else math.nan


@also("shorter_piece_dropped", "evaluate")
def shorter_piece_in_the_divisor(model, ids, length, batch_size):
    was_training = model.training
    model.eval()
    count = (len(ids) - 1) // length * length
    total = 0.0
    with torch.no_grad():
        pieces = zip(
            ids[:count].view(-1, length).split(batch_size),
            ids[1 : count + 1].view(-1, length).split(batch_size),
            strict=True,
        )
        for read, asked in pieces:
            total += F.cross_entropy(model(read).flatten(0, 1), asked.flatten(), reduction="sum").item()
    model.train(was_training)
    return total / (len(ids) - 1)


@mistake(
    "batches_of",
    symptom="Batches that are not full do not count.",
    cause="Only whole batches are used. A last batch with fewer pieces is as good as any other.",
    place="Let the last slice be shorter than batch_size.",
    shows=[("batch_size_is_free", "differ", "batch_size 50*")],
)
def last_batch_dropped(pieces, length, batch_size):
    whole = [piece for piece in pieces if piece[1] - piece[0] == length + 1]
    count = len(whole) // batch_size * batch_size
    batches = [whole[first : first + batch_size] for first in range(0, count, batch_size)]
    return batches + [[piece] for piece in pieces if piece[1] - piece[0] != length + 1]


@mistake(
    "evaluate",
    symptom="The shorter piece is filled up, and what it was filled with counts as targets.",
    cause="Padding is not part of the text. The contract gives the shorter piece a call of its own.",
    place="Do not pad; call the model once more for the piece that is left.",
    shows=[("shorter_piece_counts", "differ", "*: loss"), ("targets_count_once", "right")],
)
def shorter_piece_filled_up(model, ids, length, batch_size):
    was_training = model.training
    model.eval()
    count = -(-(len(ids) - 1) // length) * length
    filled = F.pad(ids, (0, count + 1 - len(ids)))
    total = 0.0
    with torch.no_grad():
        pieces = zip(
            filled[:-1].view(-1, length).split(batch_size), filled[1:].view(-1, length).split(batch_size), strict=True
        )
        for read, asked in pieces:
            total += F.cross_entropy(model(read).flatten(0, 1), asked.flatten(), reduction="sum").item()
    model.train(was_training)
    return total / count


@mistake(
    "evaluate",
    symptom="The first id of every piece is no target.",
    cause="The pieces stand side by side, and within each the first id is only given. So one id in every piece is "
    "asked for by nobody. In the contract a piece begins with the last target of the one before.",
    place="Cut inputs and targets apart first, `ids[:-1]` and `ids[1:]`, and then into pieces; or cut length + 1 ids "
    "every length places.",
    shows=[("targets_count_once", "differ", "loss")],
)
def seams_not_asked_for(model, ids, length, batch_size):
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(ids) - 1, length):
            piece = ids[None, start : start + length]
            if piece.shape[1] > 1:
                loss = F.cross_entropy(model(piece[:, :-1]).flatten(0, 1), piece[:, 1:].flatten(), reduction="sum")
                total, count = total + loss.item(), count + piece.shape[1] - 1
    model.train(was_training)
    return total / max(count, 1)


@also("seams_not_asked_for", "pieces_of")
def pieces_side_by_side(count, length):
    return [(begin, min(begin + length + 1, count)) for begin in range(0, count - 1, length + 1)]


@mistake(
    "pieces_of",
    symptom="Targets count several times, because the pieces overlap.",
    cause="A new piece begins at every id, or at every half piece. Each target then counts as often as it is met, with "
    "contexts of different lengths.",
    place="Let pieces begin every length places.",
    shows=[("targets_count_once", "differ", "loss")],
)
def pieces_overlap(count, length):
    return [(begin, min(begin + length + 1, count)) for begin in range(count - 1)]


@mistake(
    "losses_of",
    symptom="The model is asked for what it has just read.",
    cause="Logits and ids are compared at the same place. What is asked for is the id behind each.",
    place="Compare with the ids one place later.",
    shows=[("targets_count_once", "differ", "loss")],
)
def compared_without_a_shift(model, batch):
    return F.cross_entropy(model(batch[:, :-1]).transpose(1, 2), batch[:, :-1], reduction="none")


@mistake(
    "losses_of",
    symptom="A softmax comes before the cross-entropy.",
    cause="F.cross_entropy contains one. A second one makes all probabilities nearly equal.",
    place="Give F.cross_entropy the logits.",
    shows=[("targets_count_once", "differ", "loss")],
)
def softmax_before_the_loss(model, batch):
    return F.cross_entropy(model(batch[:, :-1]).softmax(-1).transpose(1, 2), batch[:, 1:], reduction="none")


@mistake(
    "losses_of",
    symptom="Only the last target of each piece counts.",
    cause="Logits and targets were cut down to the last place. In measuring as in training, every place is asked.",
    place="Use the logits of all places.",
    shows=[("targets_count_once", "differ", "loss")],
)
def last_place_of_each_piece(model, batch):
    return F.cross_entropy(model(batch[:, :-1])[:, -1], batch[:, -1], reduction="none")[:, None]


@mistake(
    "losses_of",
    symptom="Positions and classes are mixed up.",
    cause="F.cross_entropy wants the classes on axis 1. A view or reshape to [batch, vocab_size, time] gives the "
    "axes other names and leaves the numbers where they are.",
    place="Flatten batch and time, or use transpose(1, 2).",
    shows=[("targets_count_once", "differ", "loss")],
)
def logits_reshaped(model, batch):
    logits = model(batch[:, :-1])
    return F.cross_entropy(logits.reshape(len(batch), -1, batch.shape[1] - 1), batch[:, 1:], reduction="none")


@mistake(
    "batches_of",
    symptom="The model reads all pieces in one call, whatever batch_size is.",
    cause="batch_size is not used. A long text does not fit into memory at once.",
    place="Read batch_size pieces in a call.",
    shows=[("sizes_are_kept", "differ", "most pieces"), ("targets_count_once", "right")],
    credit=0.5,
)
def all_pieces_at_once(pieces, length, batch_size):
    whole = [piece for piece in pieces if piece[1] - piece[0] == length + 1]
    return ([whole] if whole else []) + [[piece] for piece in pieces if piece[1] - piece[0] != length + 1]


@mistake(
    "pieces_of",
    symptom="Pieces are longer than length.",
    cause="The text is read in one piece, or in pieces that are one id too long. A model has no position for more "
    "than it was trained with.",
    place="Read ids[k * length : (k + 1) * length].",
    shows=[("sizes_are_kept", "differ", "longest piece")],
)
def text_in_one_piece(count, length):
    return [(0, count)]


@also("text_in_one_piece", "evaluate")
def last_id_read_as_well(model, ids, length, batch_size):
    was_training = model.training
    model.eval()
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(ids) - 1, length):
            piece = ids[None, start : start + length + 1]
            total += F.cross_entropy(model(piece)[:, :-1].flatten(0, 1), piece[:, 1:].flatten(), reduction="sum").item()
    model.train(was_training)
    return total / (len(ids) - 1)


@mistake(
    "evaluate",
    symptom="The text is changed.",
    cause="What was left over was written into the text, or it was shifted in place. The next measurement needs it "
    "as it was.",
    place="Slice it; a slice leaves the text alone as long as nothing is written into it.",
    shows=[("evaluated_text_is_kept", "differ"), ("targets_count_once", "right")],
    credit=0.5,
)
def text_shifted_in_place(model, ids, length, batch_size):
    read = ids[:-1].clone()
    ids[:-1] = ids[1:].clone()
    asked, total, was_training = ids[:-1], 0.0, model.training
    model.eval()
    with torch.no_grad():
        for start in range(0, len(read), length):
            logits = model(read[None, start : start + length])[0]
            total += F.cross_entropy(logits, asked[start : start + length], reduction="sum").item()
    model.train(was_training)
    return total / len(read)
