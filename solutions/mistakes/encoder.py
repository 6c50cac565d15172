"""Wrong answers to lesson 1, each with its sentences: what is seen, why it is wrong, where to look."""

import torch
import torch.nn.functional as F
from torch import nn

from autograder.mistakes import Catalogue
from workbench.parts import MultiHeadAttention

catalogue = Catalogue()
component, mistake, also = catalogue.component, catalogue.mistake, catalogue.also


# The right way, a step at a time


@component()
class FeedForward(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.relu):
        super().__init__()
        self.make_projections(embed_dim, ff_dim)
        self.choose_activation(activation)
        self.hidden_dropout = nn.Dropout(dropout)

    def make_projections(self, embed_dim, ff_dim):
        self.up_proj = nn.Linear(embed_dim, ff_dim)
        self.down_proj = nn.Linear(ff_dim, embed_dim)

    def choose_activation(self, activation):
        self.activation = activation

    def take_in(self, x):
        return x

    def activate(self, x):
        """activation"""
        return self.activation(x)

    def drop_hidden(self, x):
        return self.hidden_dropout(x)

    def hand_out(self, x, output):
        return output

    def forward(self, x):
        hidden = self.drop_hidden(self.activate(self.up_proj(self.take_in(x))))
        return self.hand_out(x, self.down_proj(hidden))


@component()
class GatedFeedForward(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.silu):
        super().__init__()
        self.make_branches(embed_dim, ff_dim)
        self.choose_gate_activation(activation)
        self.product_dropout = nn.Dropout(dropout)

    def make_branches(self, embed_dim, ff_dim):
        self.gate_proj = nn.Linear(embed_dim, ff_dim, bias=False)
        self.up_proj = nn.Linear(embed_dim, ff_dim, bias=False)
        self.down_proj = nn.Linear(ff_dim, embed_dim, bias=False)

    def choose_gate_activation(self, activation):
        self.activation = activation

    def take_in_both(self, x):
        return x

    def multiply(self, x):
        """gated product"""
        return self.activation(self.gate_proj(x)) * self.up_proj(x)

    def drop_product(self, x):
        return self.product_dropout(x)

    def hand_out_product(self, x, output):
        return output

    def forward(self, x):
        return self.hand_out_product(x, self.down_proj(self.drop_product(self.multiply(self.take_in_both(x)))))


@component()
class EncoderLayer(nn.Module):
    def __init__(self, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu):
        super().__init__()
        self.make_attention(embed_dim, num_heads, dropout)
        self.make_feed_forward(embed_dim, ff_dim, dropout, activation)
        self.make_norms(embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.choose_form(norm_first)

    def make_attention(self, embed_dim, num_heads, dropout):
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout)

    def make_feed_forward(self, embed_dim, ff_dim, dropout, activation):
        self.feed_forward = FeedForward(embed_dim, ff_dim, dropout, activation)

    def make_norms(self, embed_dim):
        self.norm1, self.norm2 = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)

    def choose_form(self, norm_first):
        self.norm_first = norm_first

    def choose_mask(self, x, mask):
        return mask

    def attend(self, x, given, mask):
        """self_attention; weights of self_attention"""
        return self.self_attention(given, given, given, mask)

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

    def first_half(self, x, mask):
        given = self.before(x, self.norm1)
        change, weights = self.attend(x, given, mask)
        return self.after(x, given, change, self.norm1), weights

    def second_half(self, x):
        given = self.before(x, self.norm2)
        return self.after(x, given, self.feed_forward(given), self.norm2)

    def whole(self, x, mask):
        x, weights = self.first_half(x, mask)
        return self.second_half(x), weights

    def answer(self, x, weights):
        return x, weights

    def forward(self, x, mask=None):
        return self.answer(*self.whole(x, self.choose_mask(x, mask)))


@component()
class Encoder(nn.Module):
    def __init__(self, num_layers, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu):
        super().__init__()
        self.make_layers(num_layers, (embed_dim, num_heads, ff_dim), dropout, norm_first, activation)
        self.make_final_norm(embed_dim, norm_first)

    def make_layers(self, num_layers, sizes, dropout, norm_first, activation):
        layers = [self.make_layer(sizes, dropout, norm_first, activation) for _ in range(num_layers)]
        self.layers = nn.ModuleList(layers)

    def make_layer(self, sizes, dropout, norm_first, activation):
        return EncoderLayer(*sizes, dropout, norm_first, activation)

    def make_final_norm(self, embed_dim, norm_first):
        if norm_first:
            self.final_norm = nn.LayerNorm(embed_dim)

    def mask_of_layer(self, x, mask, index):
        return mask

    def run(self, x, mask):
        weights = []
        for index, layer in enumerate(self.layers):
            x, of_this_layer = layer(x, self.mask_of_layer(x, mask, index))
            weights.append(of_this_layer)
        return x, weights

    def finish(self, x):
        return self.final_norm(x) if hasattr(self, "final_norm") else x

    def answer_of_all(self, x, weights):
        return x, weights

    def forward(self, x, mask=None):
        x, weights = self.run(x, mask)
        return self.answer_of_all(self.finish(x), weights)


@component()
def encoder_bug_input(step):
    x = torch.arange(2 * 3 * 8).reshape(2, 3, 8) % 7 - 3.0
    return x, torch.tensor([[[True, True, True]], [[True, True, False]]])


# The feed-forward networks


@mistake(
    "activate",
    symptom="The network is linear: twice the input gives twice the change of the output.",
    cause="The activation is missing. Two linear layers without anything between them are one linear layer, "
    "however many hidden numbers there are.",
    place="Apply the activation to what up_proj returns.",
    shows=[("feed_forward_takes_an_activation", "differ")],
)
def activation_missing(self, x):
    return x


@also("activation_missing", "FeedForward")
class NoActivation(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.relu):
        super().__init__()
        self.up_proj = nn.Linear(embed_dim, ff_dim)
        self.down_proj = nn.Linear(ff_dim, embed_dim)
        self.net = lambda x: self.down_proj(F.dropout(self.up_proj(x), dropout, self.training))

    def forward(self, x):
        return self.net(x)


@mistake(
    "multiply",
    symptom="The output is the same whatever activation is asked for: the plain product of the branches.",
    cause="The gate is not activated. Without its activation it does not say how much passes, from none to all; it is one "
    "more factor. (Shazeer tried this as well, and calls it bilinear.)",
    place="Apply the activation to what gate_proj returns.",
    shows=[("gated_takes_an_activation", "differ")],
)
def gate_not_activated(self, x):
    return self.gate_proj(x) * self.up_proj(x)


@mistake(
    symptom="With ReLU no output is negative: all that was below 0 has been cut off.",
    cause="The activation acts on the result of down_proj. A sublayer has to be able to subtract from the "
    "residual path as well as to add to it, so its last step is linear; the activation belongs between "
    "the two layers.",
    place="Look at the order: up_proj, activation, dropout, down_proj.",
    shows=[("feed_forward_computes", "not negative", "*: output")],
)
class activation_after_the_second_layer:
    def activate(self, x):
        return x

    def hand_out(self, x, output):
        return self.activation(output)


@also("activation_after_the_second_layer", "hand_out")
def activation_after_both_layers(self, x, output):
    return self.activation(output)


@also("activation_after_the_second_layer", "FeedForward")
class ActivationLast(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.relu):
        super().__init__()
        self.up_proj = nn.Linear(embed_dim, ff_dim)
        self.down_proj = nn.Linear(ff_dim, embed_dim)
        self.activation, self.dropout = activation, nn.Dropout(dropout)

    def forward(self, x):
        return self.dropout(self.activation(self.down_proj(self.up_proj(x))))


@also("activation_after_the_second_layer", "hand_out_product")
def activation_after_the_product(self, x, output):
    return self.activation(output)


@mistake(
    symptom="The input passes through the activation before the first layer sees it.",
    cause="The activation acts on x itself. What is negative there is thrown away (with ReLU), although the first "
    "layer could have used it. The activation belongs to the hidden numbers.",
    place="Look at what the activation is applied to: the result of up_proj, not x.",
    shows=[("feed_forward_computes", "differ")],
)
class activation_before_the_first_layer:
    def take_in(self, x):
        return self.activation(x)

    def activate(self, x):
        return x


@also("activation_before_the_first_layer", "take_in")
def activation_before_both_layers(self, x):
    return self.activation(x)


@mistake(
    "choose_activation",
    symptom="The output is the same whatever activation is asked for.",
    cause="The activation is fixed in the code, and the argument is not used. BERT and GPT-2 are built with "
    "F.gelu, the paper's transformer with F.relu.",
    place="Keep the argument in __init__, and call it in forward.",
    shows=[("feed_forward_takes_an_activation", "differ"), ("gated_takes_an_activation", "differ")],
)
def activation_fixed(self, activation):
    self.activation = F.relu


@also("activation_fixed", "choose_activation")
def activation_fixed_to_gelu(self, activation):
    self.activation = F.gelu


@also("activation_fixed", "choose_gate_activation")
def gate_fixed_to_silu(self, activation):
    self.activation = F.silu


@also("activation_fixed", "choose_gate_activation")
def gate_fixed_to_sigmoid(self, activation):
    self.activation = torch.sigmoid


@mistake(
    "take_in",
    symptom="If one position is changed, the output of others moves.",
    cause="Positions are mixed. The feed-forward network works on each position alone; the exchange between "
    "positions is the business of attention.",
    place="Look for a mean, a sum, a reshape or a transposition over the axis of time.",
    shows=[("feed_forward_treats_positions_alone", "is 0, 1, 2, 3, 4")],
)
def positions_mixed(self, x):
    return x + x.mean(dim=-2, keepdim=True)


@also("positions_mixed", "take_in")
def positions_replaced_by_their_mean(self, x):
    return x.mean(dim=-2, keepdim=True).expand_as(x)


@also("positions_mixed", "forward", only="FeedForward")
def layers_along_the_time_axis(self, x):
    x = x.transpose(-2, -1)
    return self.down_proj(self.drop_hidden(self.activate(self.up_proj(x)))).transpose(-2, -1)


@also("positions_mixed", "activate")
def hidden_numbers_averaged_over_positions(self, x):
    hidden = self.activation(x)
    return hidden.mean(dim=-2, keepdim=True).expand_as(hidden)


@mistake(
    "FeedForward",
    symptom="up_proj refuses what it is given: a whole sequence as one long vector.",
    cause="The positions were joined to one vector before the first layer, as a picture is in front of a classifier. "
    "nn.Linear works on the last axis, and takes all axes in front of it as separate cases.",
    place="Look for flatten, view or reshape in forward, and take it out.",
    shows=[("feed_forward_computes", "raise")],
)
class sequence_as_one_vector(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.relu):
        super().__init__()
        self.up_proj, self.down_proj = nn.Linear(embed_dim, ff_dim), nn.Linear(ff_dim, embed_dim)
        self.activation, self.dropout = activation, nn.Dropout(dropout)

    def forward(self, x):
        flat = x.flatten(1)  # [batch, time * embed_dim]
        return self.down_proj(self.dropout(self.activation(self.up_proj(flat)))).reshape(x.shape)


@mistake(
    "hand_out",
    symptom="The input is contained in the output: subtract it, and the right output is left.",
    cause="The residual is added inside the network. It belongs to the layer around it, which would add it a "
    "second time.",
    place="Return what down_proj gives, and no more.",
    shows=[("feed_forward_computes", "differ"), ("gated_computes", "differ")],
)
def residual_inside(self, x, output):
    return x + output


@also("residual_inside", "hand_out_product")
def residual_inside_gated(self, x, output):
    return x + output


@mistake(
    "hand_out",
    symptom="Every output has mean 0 and variance 1 over its features, or twice the input gives the same output.",
    cause="There is a layer norm inside of the network. Norms belong to the layer around it, which decides whether they "
    "stand before or behind the addition.",
    place="Take the norm out of the feed-forward network.",
    shows=[("feed_forward_computes", "differ"), ("gated_computes", "differ")],
)
def norm_inside(self, x, output):
    return F.layer_norm(output, output.shape[-1:])


@also("norm_inside", "hand_out_product")
def norm_inside_gated(self, x, output):
    return F.layer_norm(output, output.shape[-1:])


@also("norm_inside", "take_in")
def norm_at_the_start(self, x):
    return F.layer_norm(x, x.shape[-1:])


@also("norm_inside", "take_in_both")
def norm_at_the_start_of_both(self, x):
    return F.layer_norm(x, x.shape[-1:])


@mistake(
    "make_projections",
    symptom="up_proj goes from ff_dim to embed_dim, and down_proj from embed_dim to ff_dim.",
    cause="The names are exchanged, or the sizes: nn.Linear takes the number of inputs first. up_proj makes the "
    "vector wider (embed_dim to ff_dim), down_proj brings it back. Weights that are loaded by name find no "
    "place otherwise.",
    place="Compare the arguments of both nn.Linear with their names.",
    shows=[("feed_forward_has_two_layers", "differ", "parameters of another shape")],
)
def projections_exchanged(self, embed_dim, ff_dim):
    self.up_proj = nn.Linear(ff_dim, embed_dim)
    self.down_proj = nn.Linear(embed_dim, ff_dim)


@also("projections_exchanged", "FeedForward")
class NamesExchanged(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.relu):
        super().__init__()
        self.down_proj, self.up_proj = nn.Linear(embed_dim, ff_dim), nn.Linear(ff_dim, embed_dim)
        self.activation, self.dropout = activation, nn.Dropout(dropout)

    def forward(self, x):
        return self.up_proj(self.dropout(self.activation(self.down_proj(x))))


@mistake(
    "FeedForward",
    credit=0.5,
    symptom="There are two linear layers, but not under the names up_proj and down_proj.",
    cause="The names are part of the contract, because weights are loaded by name. In other code the layers are "
    "called linear1 and linear2, fc1 and fc2, or w_1 and w_2.",
    place="Assign the two layers to self.up_proj and self.down_proj.",
    shows=[("feed_forward_has_two_layers", "differ", "missing parameters")],
)
class layers_under_other_names(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.relu):
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(embed_dim, ff_dim), nn.Linear(ff_dim, embed_dim)
        self.activation, self.dropout = activation, nn.Dropout(dropout)

    def forward(self, x):
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


@also("layers_under_other_names", "FeedForward")
class LayersCalledFullyConnected(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.relu):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(embed_dim, ff_dim), nn.Linear(ff_dim, embed_dim)
        self.activation, self.dropout = activation, nn.Dropout(dropout)

    def forward(self, x):
        return self.fc2(self.dropout(self.activation(self.fc1(x))))


@also("layers_under_other_names", "FeedForward")
class LayersCalledAsInTheFormula(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.relu):
        super().__init__()
        self.w_1, self.w_2 = nn.Linear(embed_dim, ff_dim), nn.Linear(ff_dim, embed_dim)
        self.activation, self.dropout = activation, nn.Dropout(dropout)

    def forward(self, x):
        return self.w_2(self.dropout(self.activation(self.w_1(x))))


@mistake(
    "FeedForward",
    symptom="There are two linear layers, but not under the names up_proj and down_proj, and the activation is "
    "always the same.",
    cause="In an nn.Sequential the layers are called `0`, `3` and the like, and an nn.ReLU in it stays ReLU, "
    "whatever activation is asked for. The names are part of the contract, because weights are loaded by name.",
    place="Assign the two layers to self.up_proj and self.down_proj, keep activation, and call all in forward.",
    shows=[
        ("feed_forward_has_two_layers", "differ", "missing parameters"),
        ("feed_forward_takes_an_activation", "differ"),
    ],
)
class layers_in_a_sequence(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.relu):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(embed_dim, ff_dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(ff_dim, embed_dim)
        )

    def forward(self, x):
        return self.net(x)


@also("layers_in_a_sequence", "FeedForward")
class LayersInASequenceWithDropoutLast(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.relu):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(embed_dim, ff_dim), nn.ReLU(), nn.Linear(ff_dim, embed_dim), nn.Dropout(dropout)
        )

    def forward(self, x):
        return self.net(x)


@mistake(
    "make_projections",
    credit=0.5,
    symptom="A layer has no bias: its parameter is missing.",
    cause="The layers were made without bias. Many recent models do that (the stretch exercise as well), but the "
    "paper's network has both, and so have the checkpoints that are loaded into it.",
    place="Take bias=False out.",
    shows=[("feed_forward_has_two_layers", "differ", "missing parameters")],
)
def no_bias(self, embed_dim, ff_dim):
    self.up_proj = nn.Linear(embed_dim, ff_dim, bias=False)
    self.down_proj = nn.Linear(ff_dim, embed_dim, bias=False)


@also("no_bias", "make_projections")
def no_bias_below(self, embed_dim, ff_dim):
    self.up_proj = nn.Linear(embed_dim, ff_dim)
    self.down_proj = nn.Linear(ff_dim, embed_dim, bias=False)


@mistake(
    "make_branches",
    credit=0.5,
    symptom="A layer has a bias, which should not be there.",
    cause="The layers have biases. Shazeer leaves them out, as most models with gates do, and checkpoints have no "
    "numbers for them.",
    place="Make the three layers with bias=False.",
    shows=[("gated_has_three_layers", "differ", "superfluous parameters")],
)
def bias_kept(self, embed_dim, ff_dim):
    self.gate_proj, self.up_proj = nn.Linear(embed_dim, ff_dim), nn.Linear(embed_dim, ff_dim)
    self.down_proj = nn.Linear(ff_dim, embed_dim)


@also("bias_kept", "make_branches")
def bias_kept_below(self, embed_dim, ff_dim):
    self.gate_proj = nn.Linear(embed_dim, ff_dim, bias=False)
    self.up_proj = nn.Linear(embed_dim, ff_dim, bias=False)
    self.down_proj = nn.Linear(ff_dim, embed_dim)


@mistake(
    "multiply",
    symptom="gate_proj and up_proj have changed places.",
    cause="The activation acts on the wrong branch. The gate is the branch that passes through it; the other one "
    "stays linear. With weights trained the other way round, the network computes something else.",
    place="Look at which projection stands inside of the activation.",
    shows=[("gated_computes", "differ")],
)
def activation_on_the_other_branch(self, x):
    return self.gate_proj(x) * self.activation(self.up_proj(x))


@mistake(
    "multiply",
    symptom="Both branches have passed through the activation.",
    cause="Only the gate is activated. The linear branch carries the content, and has to be free to take any value.",
    place="Look at how often the activation is called: once is enough.",
    shows=[("gated_computes", "differ")],
)
def activation_on_both_branches(self, x):
    return self.activation(self.gate_proj(x)) * self.activation(self.up_proj(x))


@mistake(
    "multiply",
    symptom="The activation has been applied to the product of the branches.",
    cause="The branches are multiplied first and activated afterwards. A gate is activated by itself, and then "
    "decides how much of the other branch passes.",
    place="Look at the parentheses: activation(gate) * up, not activation(gate * up).",
    shows=[("gated_computes", "differ")],
)
def activation_on_the_product(self, x):
    return self.activation(self.gate_proj(x) * self.up_proj(x))


@mistake(
    "multiply",
    symptom="The branches are added where they should be multiplied.",
    cause="A sum of two branches is a wider hidden layer. A gate multiplies: where it is 0, nothing of the other "
    "branch passes.",
    place="Look at the operator between the two branches.",
    shows=[("gated_computes", "differ")],
)
def branches_added(self, x):
    return self.activation(self.gate_proj(x)) + self.up_proj(x)


@mistake(
    "multiply",
    symptom="Both branches are the same numbers: a projection is multiplied by its own activation.",
    cause="Both branches come from the same projection, so the gate can only weigh a number by itself. Gate and "
    "content are projected with weights of their own.",
    place="Look at the two factors: gate_proj in one, up_proj in the other.",
    shows=[("gated_computes", "differ")],
)
def one_projection_for_both_branches(self, x):
    gate = self.gate_proj(x)
    return self.activation(gate) * gate


@also("one_projection_for_both_branches", "multiply")
def up_projection_for_both_branches(self, x):
    return self.activation(self.up_proj(x)) * self.up_proj(x)


@also("one_projection_for_both_branches", "make_branches")
def one_layer_under_two_names(self, embed_dim, ff_dim):
    self.gate_proj = self.up_proj = nn.Linear(embed_dim, ff_dim, bias=False)
    self.down_proj = nn.Linear(ff_dim, embed_dim, bias=False)


@mistake(
    "multiply",
    symptom="Nothing is multiplied: there is one branch, and it passes through the activation.",
    cause="This is the network without a gate, a linear layer on each side of the activation. F.silu alone makes no "
    "SwiGLU: the GLU in the name is the product of two branches.",
    place="Multiply activation(gate_proj(x)) by up_proj(x).",
    shows=[("gated_computes", "differ")],
)
def no_gate(self, x):
    return self.activation(self.up_proj(x))


@also("no_gate", "multiply")
def gate_alone(self, x):
    return self.activation(self.gate_proj(x))


@also("no_gate", "GatedFeedForward")
class NoGateMade(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.silu):
        super().__init__()
        self.up_proj = nn.Linear(embed_dim, ff_dim, bias=False)
        self.down_proj = nn.Linear(ff_dim, embed_dim, bias=False)
        self.activation, self.dropout = activation, nn.Dropout(dropout)

    def forward(self, x):
        return self.down_proj(self.dropout(self.activation(self.up_proj(x))))


@also("no_gate", "GatedFeedForward")
class NoGateMadeAndBiasKept(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.silu):
        super().__init__()
        self.up_proj, self.down_proj = nn.Linear(embed_dim, ff_dim), nn.Linear(ff_dim, embed_dim)
        self.activation, self.dropout = activation, nn.Dropout(dropout)

    def forward(self, x):
        return self.down_proj(self.dropout(self.activation(self.up_proj(x))))


@mistake(
    "GatedFeedForward",
    credit=0.5,
    symptom="The layers are not under the names gate_proj, up_proj and down_proj.",
    cause="The names are part of the contract, because weights are loaded by name. LLaMA's own code says w1, w3 and w2; "
    "elsewhere gate and content are the two halves of one layer.",
    place="Make three layers, and assign them to self.gate_proj, self.up_proj and self.down_proj.",
    shows=[("gated_has_three_layers", "differ", "missing parameters")],
)
class branches_under_other_names(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.silu):
        super().__init__()
        self.w1, self.w3 = nn.Linear(embed_dim, ff_dim, bias=False), nn.Linear(embed_dim, ff_dim, bias=False)
        self.w2 = nn.Linear(ff_dim, embed_dim, bias=False)
        self.activation, self.dropout = activation, nn.Dropout(dropout)

    def forward(self, x):
        return self.w2(self.dropout(self.activation(self.w1(x)) * self.w3(x)))


@also("branches_under_other_names", "GatedFeedForward")
class LayersNumberedInOrder(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.silu):
        super().__init__()
        self.w1, self.w2 = nn.Linear(embed_dim, ff_dim, bias=False), nn.Linear(embed_dim, ff_dim, bias=False)
        self.w3 = nn.Linear(ff_dim, embed_dim, bias=False)
        self.activation, self.dropout = activation, nn.Dropout(dropout)

    def forward(self, x):
        return self.w3(self.dropout(self.activation(self.w1(x)) * self.w2(x)))


@also("branches_under_other_names", "GatedFeedForward")
class BranchesInOneLayer(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.silu):
        super().__init__()
        self.gate_up_proj = nn.Linear(embed_dim, 2 * ff_dim, bias=False)
        self.down_proj = nn.Linear(ff_dim, embed_dim, bias=False)
        self.activation, self.dropout = activation, nn.Dropout(dropout)

    def forward(self, x):
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)
        return self.down_proj(self.dropout(self.activation(gate) * up))


@also("branches_under_other_names", "GatedFeedForward")
class FirstLayerMakesBothBranches(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.silu):
        super().__init__()
        self.up_proj = nn.Linear(embed_dim, 2 * ff_dim, bias=False)
        self.down_proj = nn.Linear(ff_dim, embed_dim, bias=False)
        self.activation, self.dropout = activation, nn.Dropout(dropout)

    def forward(self, x):
        gate, up = self.up_proj(x).chunk(2, dim=-1)
        return self.down_proj(self.dropout(self.activation(gate) * up))


# Dropout


@mistake(
    "drop_hidden",
    symptom="Numbers are dropped in evaluation mode as well.",
    cause="Dropout is called without being told the mode: F.dropout(x, p) drops always, and so does an nn.Dropout "
    "that is made afresh in forward. A trained model would then answer by chance.",
    place="Use an nn.Dropout made in __init__, or hand training=self.training to F.dropout.",
    shows=[
        ("feed_forward_drops_hidden_numbers", "differ", "evaluation*"),
        ("gated_drops_hidden_numbers", "differ", "evaluation*"),
        ("encoder_layer_drops_outputs", "differ", "*evaluation*"),
    ],
)
def dropout_in_evaluation(self, x):
    return F.dropout(x, self.hidden_dropout.p)


@also("dropout_in_evaluation", "drop_product")
def product_dropped_in_evaluation(self, x):
    return F.dropout(x, self.product_dropout.p)


@also("dropout_in_evaluation", "drop")
def output_dropped_in_evaluation(self, change):
    return F.dropout(change, self.dropout.p)


@also("dropout_in_evaluation", "drop")
def fresh_dropout_in_every_call(self, change):
    return nn.Dropout(self.dropout.p)(change)


@mistake(
    "drop_hidden",
    credit=0.5,
    symptom="In training nothing is dropped, whatever dropout is.",
    cause="The dropout is never applied. The numbers in evaluation are right, but the model will learn its "
    "training data by heart more readily.",
    place="Call the dropout in forward, in the place that the docstring names.",
    shows=[
        ("feed_forward_drops_hidden_numbers", "differ", "training*"),
        ("gated_drops_hidden_numbers", "differ", "training*"),
    ],
)
def dropout_not_applied(self, x):
    return x


@also("dropout_not_applied", "drop_product")
def product_not_dropped(self, x):
    return x


@mistake(
    "drop",
    credit=0.5,
    symptom="In training the output of a sublayer is added without dropout.",
    cause="Dropout acts in three places: on the attention's weights, inside the feed-forward network, and on the output "
    "of each sublayer before it is added. The last one is the layer's own business.",
    place="Look at the two additions: x + self.dropout(...) in each.",
    shows=[("encoder_layer_drops_outputs", "differ", "*training*")],
)
def output_not_dropped(self, change):
    return change


@also("output_not_dropped", "second_half")
def second_output_not_dropped(self, x):
    if self.norm_first:
        return x + self.feed_forward(self.norm2(x))
    return self.norm2(x + self.feed_forward(x))


@also("output_not_dropped", "first_half")
def first_output_not_dropped(self, x, mask):
    if self.norm_first:
        normed = self.norm1(x)
        change, weights = self.self_attention(normed, normed, normed, mask)
        return x + change, weights
    change, weights = self.self_attention(x, x, x, mask)
    return self.norm1(x + change), weights


@mistake(
    credit=0.5,
    symptom="In training, other numbers are dropped, or scaled up, than the hidden ones behind the activation.",
    cause="Dropout stands in another place. Here it acts on the hidden numbers, between the activation and "
    "down_proj; the output is dropped by the layer around it.",
    place="Look at where the dropout is called.",
    shows=[("feed_forward_drops_hidden_numbers", "differ"), ("gated_drops_hidden_numbers", "differ")],
)
class dropout_in_another_place:
    def drop_hidden(self, x):
        return x

    def hand_out(self, x, output):
        return self.hidden_dropout(output)


@also("dropout_in_another_place")
class dropout_of_the_input:
    def take_in(self, x):
        return self.hidden_dropout(x)

    def drop_hidden(self, x):
        return x


@also("dropout_in_another_place", "hand_out")
def dropout_of_the_output_too(self, x, output):
    return self.hidden_dropout(output)


@also("dropout_in_another_place")
class dropout_before_the_activation:
    def activate(self, x):
        return self.activation(self.hidden_dropout(x))

    def drop_hidden(self, x):
        return x


@also("dropout_in_another_place")
class dropout_of_the_gated_output:
    def drop_product(self, x):
        return x

    def hand_out_product(self, x, output):
        return self.product_dropout(output)


@mistake(
    "make_attention",
    credit=0.5,
    symptom="Inside a sublayer nothing is dropped in training.",
    cause="A part was built without the dropout, so it has its default of 0. One dropout serves for all: the "
    "attention's weights, the hidden numbers, and the outputs of the sublayers.",
    place="Look at how the parts are built in __init__, and count the arguments.",
    shows=[("encoder_layer_drops_inside", "smaller"), ("encoder_passes_the_dropout", "differ")],
)
def dropout_not_passed_on(self, embed_dim, num_heads, dropout):
    self.self_attention = MultiHeadAttention(embed_dim, num_heads)


@also("dropout_not_passed_on", "make_feed_forward")
def dropout_not_passed_to_feed_forward(self, embed_dim, ff_dim, dropout, activation):
    self.feed_forward = FeedForward(embed_dim, ff_dim, activation=activation)


@also("dropout_not_passed_on")
class dropout_passed_to_neither:
    def make_attention(self, embed_dim, num_heads, dropout):
        self.self_attention = MultiHeadAttention(embed_dim, num_heads)

    def make_feed_forward(self, embed_dim, ff_dim, dropout, activation):
        self.feed_forward = FeedForward(embed_dim, ff_dim, activation=activation)


@also("dropout_not_passed_on", "make_layer")
def dropout_not_passed_to_layers(self, sizes, dropout, norm_first, activation):
    return EncoderLayer(*sizes, norm_first=norm_first, activation=activation)


# Residual and norm in the layer


@mistake(
    "add",
    symptom="What a sublayer gives is handed on alone: the input that it was given is not added.",
    cause="A residual is missing. Each sublayer computes a change, and the change is added to its input; without "
    "the addition a deep stack loses what it was given, and gradients fade on the way back.",
    place="Look for the two additions `x + ...`, one per sublayer.",
    shows=[("encoder_layer_keeps_the_residual_path", "differ")],
)
def residual_missing(self, x, given, change):
    return change


@also("residual_missing", "first_half")
def first_residual_missing(self, x, mask):
    given = self.before(x, self.norm1)
    change, weights = self.attend(x, given, mask)
    change = self.drop(change)
    return (change if self.norm_first else self.norm1(change)), weights


@also("residual_missing", "second_half")
def second_residual_missing(self, x):
    change = self.drop(self.feed_forward(self.before(x, self.norm2)))
    return change if self.norm_first else self.norm2(change)


@also("residual_missing", "add")
def residual_missing_in_post_norm(self, x, given, change):
    return x + change if self.norm_first else change


@also("residual_missing", "add")
def residual_missing_in_pre_norm(self, x, given, change):
    return change if self.norm_first else x + change


@also("residual_missing", "first_half")
def first_residual_missing_in_post_norm(self, x, mask):
    change, weights = self.attend(x, self.before(x, self.norm1), mask)
    return (x + self.drop(change) if self.norm_first else self.norm1(self.drop(change))), weights


@also("residual_missing", "second_half")
def second_residual_missing_in_post_norm(self, x):
    change = self.drop(self.feed_forward(self.before(x, self.norm2)))
    return x + change if self.norm_first else self.norm2(change)


@also("residual_missing", "EncoderLayer")
class SublayersInARow(nn.Module):
    def __init__(self, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu):
        super().__init__()
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
        self.feed_forward = FeedForward(embed_dim, ff_dim, dropout, activation)
        self.norm1, self.norm2 = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
        self.drop1, self.drop2 = nn.Dropout(dropout), nn.Dropout(dropout)
        self.norm_first = norm_first

    def forward(self, x, mask=None):
        if self.norm_first:
            x = self.norm1(x)
            x, weights = self.self_attention(x, x, x, mask)
            return self.drop2(self.feed_forward(self.norm2(self.drop1(x)))), weights
        x, weights = self.self_attention(x, x, x, mask)
        x = self.norm1(self.drop1(x))
        return self.norm2(self.drop2(self.feed_forward(x))), weights


@mistake(
    "add",
    symptom="What a sublayer gives is added to itself; the input that it was given is lost.",
    cause="The output of the sublayer has taken the name of its input: behind `x = sublayer(x)`, `x + x` is twice the "
    "change. The residual path needs the x from before.",
    place="Give the sublayer's output a name of its own, and add it to the x that went in.",
    shows=[("encoder_layer_keeps_the_residual_path", "differ")],
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


@also("input_overwritten", "add")
def input_overwritten_in_pre_norm(self, x, given, change):
    return change + change if self.norm_first else x + change


@also("input_overwritten", "after")
def input_overwritten_in_pre_norm_by_what_is_dropped_later(self, x, given, change, norm):
    return change + self.drop(change) if self.norm_first else norm(x + self.drop(change))


@also("input_overwritten", "first_half")
def first_input_overwritten(self, x, mask):
    x, weights = self.attend(x, self.before(x, self.norm1), mask)
    x = self.drop(x)
    return (x + x if self.norm_first else self.norm1(x + x)), weights


@also("input_overwritten", "first_half")
def first_input_overwritten_by_what_is_dropped_later(self, x, mask):
    x, weights = self.attend(x, self.before(x, self.norm1), mask)
    return (x + self.drop(x) if self.norm_first else self.norm1(x + self.drop(x))), weights


@also("input_overwritten", "first_half")
def first_input_overwritten_in_post_norm(self, x, mask):
    change, weights = self.attend(x, self.before(x, self.norm1), mask)
    change = self.drop(change)
    return (x + change if self.norm_first else self.norm1(change + change)), weights


@also("input_overwritten", "first_half")
def first_input_overwritten_in_post_norm_by_what_is_dropped_later(self, x, mask):
    change, weights = self.attend(x, self.before(x, self.norm1), mask)
    return (x + self.drop(change) if self.norm_first else self.norm1(change + self.drop(change))), weights


@also("input_overwritten", "second_half")
def second_input_overwritten(self, x):
    x = self.drop(self.feed_forward(self.before(x, self.norm2)))
    return x + x if self.norm_first else self.norm2(x + x)


@also("input_overwritten", "second_half")
def second_input_overwritten_by_what_is_dropped_later(self, x):
    x = self.feed_forward(self.before(x, self.norm2))
    return x + self.drop(x) if self.norm_first else self.norm2(x + self.drop(x))


@also("input_overwritten", "second_half")
def second_input_overwritten_in_post_norm(self, x):
    change = self.drop(self.feed_forward(self.before(x, self.norm2)))
    return x + change if self.norm_first else self.norm2(change + change)


@also("input_overwritten", "second_half")
def second_input_overwritten_in_post_norm_by_what_is_dropped_later(self, x):
    change = self.feed_forward(self.before(x, self.norm2))
    return x + self.drop(change) if self.norm_first else self.norm2(change + self.drop(change))


@mistake(
    "add",
    symptom="In the pre-norm form the change is added to the normalised input, not to the input.",
    cause="The residual is taken behind the norm. In pre-norm the path of the additions runs past the norms, "
    "from the first layer to the last; the norm stands in the branch only.",
    place="Look for `x = norm(x)` in front of a sublayer: give the normed tensor a name of its own.",
    shows=[("encoder_layer_in_pre_norm_form", "differ", "x")],
)
def residual_from_the_normed_input(self, x, given, change):
    return given + change


@also("residual_from_the_normed_input", "first_half")
def first_residual_from_the_normed_input(self, x, mask):
    given = self.before(x, self.norm1)
    change, weights = self.attend(x, given, mask)
    return self.after(given, given, change, self.norm1), weights


@also("residual_from_the_normed_input", "second_half")
def second_residual_from_the_normed_input(self, x):
    given = self.before(x, self.norm2)
    return self.after(given, given, self.feed_forward(given), self.norm2)


@also("residual_from_the_normed_input", "EncoderLayer")
class NormOverwritesTheInput(nn.Module):
    def __init__(self, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu):
        super().__init__()
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
        self.feed_forward = FeedForward(embed_dim, ff_dim, dropout, activation)
        self.norm1, self.norm2 = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
        self.dropout, self.norm_first = nn.Dropout(dropout), norm_first

    def forward(self, x, mask=None):
        if self.norm_first:
            x = self.norm1(x)
        attended, weights = self.self_attention(x, x, x, mask)
        x = x + self.dropout(attended)
        x = self.norm2(x) if self.norm_first else self.norm1(x)
        x = x + self.dropout(self.feed_forward(x))
        return (x if self.norm_first else self.norm2(x)), weights


@mistake(
    "choose_form",
    symptom="norm_first=False gives the numbers of pre-norm, and norm_first=True those of post-norm.",
    cause="The two forms are exchanged. norm_first=True says that the norm comes before the sublayer, in the "
    "branch; False that it comes behind the addition.",
    place="Look at the condition, or at what stands in its two branches.",
    shows=[("encoder_layer_in_pre_norm_form", "differ", "x"), ("encoder_layer_in_post_norm_form", "differ", "x")],
)
def forms_exchanged(self, norm_first):
    self.norm_first = not norm_first


@also("forms_exchanged", "EncoderLayer")
class BranchesExchanged(nn.Module):
    def __init__(self, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu):
        super().__init__()
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
        self.feed_forward = FeedForward(embed_dim, ff_dim, dropout, activation)
        self.norm1, self.norm2 = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
        self.dropout, self.norm_first = nn.Dropout(dropout), norm_first

    def forward(self, x, mask=None):
        if self.norm_first:
            attended, weights = self.self_attention(x, x, x, mask)
            x = self.norm1(x + self.dropout(attended))
            return self.norm2(x + self.dropout(self.feed_forward(x))), weights
        normed = self.norm1(x)
        attended, weights = self.self_attention(normed, normed, normed, mask)
        x = x + self.dropout(attended)
        return x + self.dropout(self.feed_forward(self.norm2(x))), weights


@mistake(
    "choose_form",
    credit=0.5,
    symptom="The layer gives the same numbers for norm_first=True and norm_first=False.",
    cause="norm_first is not used: only one of the two forms was written.",
    place="Keep norm_first in __init__ and let forward choose between two forms.",
    shows=[("encoder_layer_keeps_the_residual_path", "differ")],
)
def norm_first_unused(self, norm_first):
    self.norm_first = False


@also("norm_first_unused", "choose_form")
def always_pre_norm(self, norm_first):
    self.norm_first = True


@mistake(
    "after",
    symptom="In the post-norm form the residual is not normalised.",
    cause="The norm acts on the sublayer's output alone, before the addition. Post-norm normalises the sum: "
    "norm(x + sublayer(x)).",
    place="Look at the parentheses of the norm: the addition stands inside.",
    shows=[("encoder_layer_in_post_norm_form", "differ", "x")],
)
def norm_on_the_change_only(self, x, given, change, norm):
    change = self.drop(change)
    return x + (change if self.norm_first else norm(change))


@also("norm_on_the_change_only", "after")
def norm_on_the_change_in_both_forms(self, x, given, change, norm):
    return x + norm(self.drop(change))


@mistake(
    "after",
    symptom="In the pre-norm form every sum has been normalised as well.",
    cause="The norm is used twice, in front of the sublayer and behind the addition. One of the two makes the "
    "form; both together cut the residual path that pre-norm keeps free.",
    place="Look at what stands behind the addition in the pre-norm form: nothing should.",
    shows=[("encoder_layer_in_pre_norm_form", "differ", "x")],
)
def normed_before_and_after(self, x, given, change, norm):
    return norm(self.add(x, given, self.drop(change)))


@mistake(
    "before",
    symptom="In the post-norm form the sublayers get normalised inputs as well.",
    cause="The norm in front of the sublayer is used in both forms. In post-norm a sublayer gets x as it is, and the norm "
    "stands behind the addition only.",
    place="Look at what the sublayers are called with in the post-norm form.",
    shows=[("encoder_layer_in_post_norm_form", "differ", "x")],
)
def normed_before_in_both_forms(self, x, norm):
    return norm(x)


@mistake(
    "second_half",
    symptom="A norm is missing.",
    cause="There are two norms in a layer, one for each sublayer. Without one of them the numbers grow from "
    "layer to layer, and the loaded weights of that norm have no effect.",
    place="Count the norms in forward: norm1 with self_attention, norm2 with feed_forward.",
    shows=[("encoder_layer_keeps_the_residual_path", "differ")],
)
def norm_missing(self, x):
    return x + self.drop(self.feed_forward(x))


@also("norm_missing", "first_half")
def first_norm_missing(self, x, mask):
    change, weights = self.attend(x, x, mask)
    return x + self.drop(change), weights


@also("norm_missing")
class both_norms_missing:
    def before(self, x, norm):
        return x

    def after(self, x, given, change, norm):
        return self.add(x, given, self.drop(change))


@also("norm_missing", "second_half")
def last_norm_missing_in_post_norm(self, x):
    return x + self.drop(self.feed_forward(self.before(x, self.norm2)))


@also("norm_missing", "first_half")
def first_norm_missing_in_post_norm(self, x, mask):
    change, weights = self.attend(x, self.before(x, self.norm1), mask)
    return x + self.drop(change), weights


@also("norm_missing", "after")
def both_norms_missing_in_post_norm(self, x, given, change, norm):
    return self.add(x, given, self.drop(change))


@also("norm_missing", "second_half")
def second_norm_missing_in_pre_norm(self, x):
    return self.after(x, x, self.feed_forward(x), self.norm2)


@also("norm_missing", "first_half")
def first_norm_missing_in_pre_norm(self, x, mask):
    change, weights = self.attend(x, x, mask)
    return self.after(x, x, change, self.norm1), weights


@also("norm_missing", "before")
def both_norms_missing_in_pre_norm(self, x, norm):
    return x


@mistake(
    "make_norms",
    symptom="Both sublayers are normalised by the same parameters.",
    cause="One norm serves both sublayers. A norm has a weight and a bias of its own, and the two places need "
    "different ones; a checkpoint has numbers for two.",
    place="Make two nn.LayerNorm in __init__, and use norm1 and norm2, each in its place.",
    shows=[("encoder_layer_keeps_the_residual_path", "differ")],
)
def one_norm_for_both(self, embed_dim):
    self.norm1 = self.norm2 = nn.LayerNorm(embed_dim)


@also("one_norm_for_both", "second_half")
def first_norm_used_twice(self, x):
    given = self.before(x, self.norm1)
    return self.after(x, given, self.feed_forward(given), self.norm1)


@also("one_norm_for_both")
class only_one_norm:
    def make_norms(self, embed_dim):
        self.norm1 = nn.LayerNorm(embed_dim)

    def second_half(self, x):
        given = self.before(x, self.norm1)
        return self.after(x, given, self.feed_forward(given), self.norm1)


@mistake(
    "whole",
    symptom="The weights of norm1 act where those of norm2 should, and the other way round.",
    cause="The two norms are exchanged. norm1 belongs to self_attention and norm2 to feed_forward; training from "
    "scratch would not notice, loaded weights do.",
    place="Look at which norm stands with which sublayer.",
    shows=[("encoder_layer_in_pre_norm_form", "differ", "x"), ("encoder_layer_in_post_norm_form", "differ", "x")],
)
def norms_exchanged(self, x, mask):
    given = self.before(x, self.norm2)
    change, weights = self.attend(x, given, mask)
    x = self.after(x, given, change, self.norm2)
    given = self.before(x, self.norm1)
    return self.after(x, given, self.feed_forward(given), self.norm1), weights


@mistake(
    "attend",
    symptom="In the pre-norm form the weights, or what they mix, are computed from numbers that are not normalised.",
    cause="Only the query went through the norm; key or value are the plain x. In self-attention all three are "
    "the same tensor, and in pre-norm that is norm1(x).",
    place="Look at the three arguments of the attention.",
    shows=[("encoder_layer_in_pre_norm_form", "differ", "x")],
)
def only_the_query_normed(self, x, given, mask):
    return self.self_attention(given, x, x, mask)


@also("only_the_query_normed", "attend")
def value_not_normed(self, x, given, mask):
    return self.self_attention(given, given, x, mask)


# The order of the sublayers


@mistake(
    "whole",
    symptom="The feed-forward network has worked on vectors that have not yet looked around.",
    cause="The sublayers are in the wrong order. First attention gathers from the other positions, then the "
    "feed-forward network works on what was gathered.",
    place="Exchange the two halves of forward.",
    shows=[
        ("encoder_layer_in_pre_norm_form", "differ", "weights"),
        ("encoder_layer_in_post_norm_form", "differ", "weights"),
    ],
)
def feed_forward_first(self, x, mask):
    given = self.before(x, self.norm1)
    x = self.after(x, given, self.feed_forward(given), self.norm1)
    given = self.before(x, self.norm2)
    change, weights = self.attend(x, given, mask)
    return self.after(x, given, change, self.norm2), weights


@also("feed_forward_first", "whole")
def feed_forward_first_with_its_own_norm(self, x, mask):
    return self.first_half(self.second_half(x), mask)


@mistake(
    "whole",
    symptom="The feed-forward network knows nothing of what attention found.",
    cause="Both sublayers got the layer's input, side by side. In the paper's layer the second works on the result "
    "of the first.",
    place="Look at what is handed to feed_forward: the x after the first addition and norm.",
    shows=[("encoder_layer_obeys_the_mask", "differ", "*: x")],
)
def sublayers_side_by_side(self, x, mask):
    attended, weights = self.attend(x, self.before(x, self.norm1), mask)
    change = self.drop(self.feed_forward(self.before(x, self.norm2)))
    if self.norm_first:
        return x + self.drop(attended) + change, weights
    return self.norm2(self.norm1(x + self.drop(attended)) + change), weights


@also("sublayers_side_by_side", "whole")
def side_by_side_in_post_norm(self, x, mask):
    attended, weights = self.attend(x, self.before(x, self.norm1), mask)
    if self.norm_first:
        x = x + self.drop(attended)
        return x + self.drop(self.feed_forward(self.norm2(x))), weights
    return self.norm2(self.norm1(x + self.drop(attended)) + self.drop(self.feed_forward(x))), weights


@also("sublayers_side_by_side", "whole")
def side_by_side_in_pre_norm(self, x, mask):
    attended, weights = self.attend(x, self.before(x, self.norm1), mask)
    if self.norm_first:
        return x + self.drop(attended) + self.drop(self.feed_forward(self.norm2(x))), weights
    x = self.norm1(x + self.drop(attended))
    return self.norm2(x + self.drop(self.feed_forward(x))), weights


@also("sublayers_side_by_side", "whole")
def side_by_side_under_one_norm(self, x, mask):
    given = self.before(x, self.norm1)
    attended, weights = self.attend(x, given, mask)
    total = x + self.drop(attended) + self.drop(self.feed_forward(given))
    return (total if self.norm_first else self.norm1(total)), weights


@mistake(
    "whole",
    symptom="What the feed-forward network gives is added to the layer's input: the output of the first half is not on "
    "the residual path.",
    cause="Each sublayer's output is added to that sublayer's own input. For the second one this is what the first half "
    "gave; the layer's x is the input of the first one only.",
    place="Look at the second addition: the tensor that stands there is the result of the first addition (in post-norm, "
    "of its norm).",
    shows=[("encoder_layer_keeps_the_residual_path", "differ")],
)
def second_residual_from_the_input(self, x, mask):
    after_attention, weights = self.first_half(x, mask)
    change = self.drop(self.feed_forward(self.before(after_attention, self.norm2)))
    return (x + change if self.norm_first else self.norm2(x + change)), weights


@also("second_residual_from_the_input", "whole")
def second_residual_from_the_input_in_post_norm(self, x, mask):
    half, weights = self.first_half(x, mask)
    change = self.drop(self.feed_forward(self.before(half, self.norm2)))
    return (half + change if self.norm_first else self.norm2(x + change)), weights


@also("second_residual_from_the_input", "whole")
def second_residual_from_the_input_in_pre_norm(self, x, mask):
    half, weights = self.first_half(x, mask)
    change = self.drop(self.feed_forward(self.before(half, self.norm2)))
    return (x + change if self.norm_first else self.norm2(half + change)), weights


# Masks


@mistake(
    "choose_mask",
    symptom="Keys that the mask hides have weight.",
    cause="The mask is not handed to the attention, or not in every layer. Padding is then read like any token, and a sentence gets other "
    "vectors when it stands in a batch with a longer one.",
    place="Follow the argument `mask`: it is the fourth one of self_attention, and the second one of each layer.",
    shows=[
        ("encoder_layer_obeys_the_mask", "larger", "*largest weight on a hidden key*"),
        ("encoder_obeys_the_mask", "larger", "*largest weight on a hidden key*"),
    ],
)
def padding_ignored(self, x, mask):
    return None


@also("padding_ignored", "mask_of_layer")
def no_layer_gets_the_mask(self, x, mask, index):
    return None


@also("padding_ignored", "mask_of_layer")
def first_layer_only_gets_the_mask(self, x, mask, index):
    return mask if index == 0 else None


@also("padding_ignored", "EncoderLayer")
class MaskNotPassedOn(nn.Module):
    def __init__(self, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu):
        super().__init__()
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
        self.feed_forward = FeedForward(embed_dim, ff_dim, dropout, activation)
        self.norm1, self.norm2 = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
        self.dropout, self.norm_first = nn.Dropout(dropout), norm_first

    def around(self, x, norm, sublayer):
        return x + self.dropout(sublayer(norm(x))) if self.norm_first else norm(x + self.dropout(sublayer(x)))

    def look_around(self, x):
        output, self.weights = self.self_attention(x, x, x)
        return output

    def forward(self, x, mask=None):
        x = self.around(x, self.norm1, self.look_around)
        return self.around(x, self.norm2, self.feed_forward), self.weights


@mistake(
    "choose_mask",
    symptom="The keys that may be attended get no weight, and the hidden ones get all of it.",
    cause="The mask is inverted on its way. MultiHeadAttention of this course takes True as may attend, as the "
    "layer does; it is nn.MultiheadAttention in which True means ignore.",
    place="Look for a `~` or `== 0` in front of the mask, and take it out.",
    shows=[
        ("encoder_layer_obeys_the_mask", "larger", "*largest weight on a hidden key*"),
        ("encoder_obeys_the_mask", "larger", "*largest weight on a hidden key*"),
    ],
)
def mask_inverted(self, x, mask):
    return None if mask is None else ~mask


@also("mask_inverted", "mask_of_layer")
def mask_inverted_for_the_layers(self, x, mask, index):
    return None if mask is None else ~mask


@mistake(
    "choose_mask",
    symptom="Where no mask is given, positions do not see those that come after them.",
    cause="A causal mask is left in. It belongs to the decoder, which must not see the future; an encoder reads "
    "the whole sentence at once, in both directions.",
    place="Look for tril, triu or a causal mask, and take it out.",
    shows=[("encoder_layer_sees_everything", "is 6"), ("encoder_in_post_norm_form", "differ")],
)
def causal_mask_left_in(self, x, mask):
    time = x.shape[1]
    return torch.ones(time, time, dtype=torch.bool, device=x.device).tril()


@also("causal_mask_left_in", "choose_mask")
def causal_mask_on_top(self, x, mask):
    causal = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
    return causal if mask is None else causal & mask


@also("causal_mask_left_in", "choose_mask")
def causal_mask_by_default(self, x, mask):
    return torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril() if mask is None else mask


@also("causal_mask_left_in", "mask_of_layer")
def causal_mask_for_the_layers(self, x, mask, index):
    time = x.shape[1]
    return torch.ones(time, time, dtype=torch.bool, device=x.device).tril()


@also("causal_mask_left_in", "mask_of_layer")
def causal_mask_on_top_for_the_layers(self, x, mask, index):
    causal = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
    return causal if mask is None else causal & mask


@also("causal_mask_left_in", "mask_of_layer")
def causal_mask_by_default_for_the_layers(self, x, mask, index):
    return torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril() if mask is None else mask


@mistake(
    "attend",
    symptom="The weights have the axes of batch and time exchanged: sequences attend to each other.",
    cause="The tensor was transposed, as nn.MultiheadAttention wants it without batch_first=True. In this course "
    "the batch always comes first.",
    place="Look for a transpose(0, 1) around the attention.",
    shows=[
        ("encoder_layer_in_post_norm_form", "another shape", "weights"),
        ("encoder_in_post_norm_form", "another shape", "weights*"),
    ],
)
def batch_taken_as_the_sequence(self, x, given, mask):
    given = given.transpose(0, 1)
    change, weights = self.self_attention(given, given, given, mask)
    return change.transpose(0, 1), weights


@also("batch_taken_as_the_sequence", "run")
def batch_taken_as_the_sequence_in_the_stack(self, x, mask):
    x, weights = x.transpose(0, 1), []
    for layer in self.layers:
        x, of_this_layer = layer(x, mask)
        weights.append(of_this_layer)
    return x.transpose(0, 1), weights


# What is handed on and returned


@mistake(
    "make_feed_forward",
    symptom="The output is the same whatever activation is asked for.",
    cause="The activation is not handed to the feed-forward network, which then takes its default, F.relu.",
    place="Look at how the feed-forward network is built in __init__, and count the arguments.",
    shows=[
        ("encoder_layer_passes_the_activation", "differ"),
        ("encoder_passes_the_activation", "differ"),
        ("encoder_layer_in_post_norm_form", "right"),
        ("encoder_in_post_norm_form", "right"),
    ],
)
def activation_not_passed_on(self, embed_dim, ff_dim, dropout, activation):
    self.feed_forward = FeedForward(embed_dim, ff_dim, dropout)


@also("activation_not_passed_on", "make_layer")
def activation_not_passed_to_the_layers(self, sizes, dropout, norm_first, activation):
    return EncoderLayer(*sizes, dropout, norm_first)


@mistake(
    "answer",
    symptom="x comes back alone, without the weights of the attention.",
    cause="The contract of the course is a pair (x, weights), so that the weights can be looked at later on.",
    place="Look at the return statement.",
    shows=[
        ("encoder_layer_in_post_norm_form", "missing", "weights"),
        ("encoder_in_post_norm_form", "missing", "weights*"),
    ],
)
def weights_not_returned(self, x, weights):
    return x


@also("weights_not_returned", "answer_of_all")
def weights_of_no_layer_returned(self, x, weights):
    return x


@mistake(
    "answer",
    symptom="The first thing that comes back are the weights, and the second is x.",
    cause="The pair is in the wrong order: x comes first, as in every module of the course.",
    place="Look at the return statement.",
    shows=[
        ("encoder_layer_in_post_norm_form", "another shape", "x"),
        ("encoder_in_post_norm_form", "differ", "form of x"),
    ],
)
def answer_exchanged(self, x, weights):
    return weights, x


@also("answer_exchanged", "answer_of_all")
def answer_of_all_exchanged(self, x, weights):
    return weights, x


@mistake(
    "answer",
    credit=0.5,
    symptom="The weights have lost the axis of the heads.",
    cause="They were averaged over the heads, as nn.MultiheadAttention does by default. Heads look at different "
    "things, and their mean shows none of them; return what self_attention returns.",
    place="Look for a mean over axis 1.",
    shows=[
        ("encoder_layer_in_post_norm_form", "another shape", "weights"),
        ("encoder_in_post_norm_form", "another shape", "weights*"),
    ],
)
def weights_averaged_over_heads(self, x, weights):
    return x, weights.mean(dim=1)


@also("weights_averaged_over_heads", "answer_of_all")
def all_weights_averaged_over_heads(self, x, weights):
    return x, [of_this_layer.mean(dim=1) for of_this_layer in weights]


# The stack


@mistake(
    "make_layers",
    symptom="All layers are one and the same: their parameters are shared.",
    cause="[layer] * n lists one object n times, and calling one layer n times does the same. The paper's layers "
    "have weights of their own.",
    place="Call EncoderLayer(...) once per layer, inside a loop or a list comprehension.",
    shows=[("encoder_has_its_parameters", "differ")],
)
def layers_share_weights(self, num_layers, sizes, dropout, norm_first, activation):
    self.layers = nn.ModuleList([self.make_layer(sizes, dropout, norm_first, activation)] * num_layers)


@also("layers_share_weights")
class one_layer_called_again_and_again:
    def make_layers(self, num_layers, sizes, dropout, norm_first, activation):
        self.layers = nn.ModuleList([self.make_layer(sizes, dropout, norm_first, activation)])
        self.num_layers = num_layers

    def run(self, x, mask):
        weights = []
        for _ in range(self.num_layers):
            x, of_this_layer = self.layers[0](x, mask)
            weights.append(of_this_layer)
        return x, weights


@also("layers_share_weights", "Encoder")
class OneLayerInASequence(nn.Module):
    def __init__(self, num_layers, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu):
        super().__init__()
        layer = EncoderLayer(embed_dim, num_heads, ff_dim, dropout, norm_first, activation)
        self.layers = nn.Sequential(*(layer for _ in range(num_layers)))
        self.final_norm = nn.LayerNorm(embed_dim) if norm_first else None

    def forward(self, x, mask=None):
        all_weights = []
        for layer in self.layers:
            x, weights = layer(x, mask)
            all_weights += [weights]
        return (x if self.final_norm is None else self.final_norm(x)), all_weights


@mistake(
    symptom="The first layer works again and again; the parameters of the others have no influence.",
    cause="There are as many layers as asked for, but the loop calls the same one in each step.",
    place="Look at the loop in forward: it should go through self.layers, and call the layer of the step.",
    shows=[("encoder_in_post_norm_form", "differ", "x")],
)
class first_layer_called_again_and_again:
    def run(self, x, mask):
        weights = []
        for _ in self.layers:
            x, of_this_layer = self.layers[0](x, mask)
            weights.append(of_this_layer)
        return x, weights


@mistake(
    "make_layers",
    symptom="The layers are several, but a part of them is one and the same: its parameters are shared.",
    cause="The part was made once and given to every layer. The paper's layers have attention, feed-forward network and "
    "norms of their own; a layer that is handed its parts has to copy them (copy.deepcopy).",
    place="Look for a part that is made outside of the loop, or assigned to a layer after it was built.",
    shows=[
        ("encoder_has_its_parameters", "differ", "*one and the same"),
        ("encoder_has_its_parameters", "right", "*missing parameters"),
    ],
)
def one_part_for_all_layers(self, num_layers, sizes, dropout, norm_first, activation):
    self.layers = nn.ModuleList([self.make_layer(sizes, dropout, norm_first, activation) for _ in range(num_layers)])
    for layer in self.layers:
        layer.feed_forward = self.layers[0].feed_forward


@also("one_part_for_all_layers", "make_layers")
def one_attention_for_all_layers(self, num_layers, sizes, dropout, norm_first, activation):
    self.layers = nn.ModuleList([self.make_layer(sizes, dropout, norm_first, activation) for _ in range(num_layers)])
    for layer in self.layers:
        layer.self_attention = self.layers[0].self_attention


@also("one_part_for_all_layers", "make_layers")
def both_sublayers_for_all_layers(self, num_layers, sizes, dropout, norm_first, activation):
    self.layers = nn.ModuleList([self.make_layer(sizes, dropout, norm_first, activation) for _ in range(num_layers)])
    for layer in self.layers:
        layer.self_attention, layer.feed_forward = self.layers[0].self_attention, self.layers[0].feed_forward


@also("one_part_for_all_layers", "make_layers")
def two_norms_for_all_layers(self, num_layers, sizes, dropout, norm_first, activation):
    self.layers = nn.ModuleList([self.make_layer(sizes, dropout, norm_first, activation) for _ in range(num_layers)])
    for layer in self.layers:
        layer.norm1, layer.norm2 = self.layers[0].norm1, self.layers[0].norm2


@mistake(
    "make_layers",
    symptom="PyTorch knows of no layers: their parameters are missing from the state dict.",
    cause="The layers are kept in a plain Python list. An optimiser never sees them, .to(device) leaves them "
    "behind, and weights cannot be loaded into them.",
    place="Put the list into nn.ModuleList.",
    shows=[("encoder_has_its_parameters", "differ", "*missing parameters")],
)
def layers_in_a_plain_list(self, num_layers, sizes, dropout, norm_first, activation):
    self.layers = [self.make_layer(sizes, dropout, norm_first, activation) for _ in range(num_layers)]


@mistake(
    "make_layers",
    symptom="There are as many layers for every num_layers.",
    cause="The number of layers is fixed in the code, such as the 6 of the paper.",
    place="Look at the loop that makes the layers: it should run num_layers times.",
    shows=[("encoder_has_its_parameters", "differ")],
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
    shows=[("encoder_in_post_norm_form", "differ", "x"), ("encoder_of_one_layer", "right")],
)
def layers_not_chained(self, x, mask):
    weights, output = [], x
    for layer in self.layers:
        output, of_this_layer = layer(x, mask)
        weights.append(of_this_layer)
    return output, weights


@also("layers_not_chained", "run")
def first_layer_only(self, x, mask):
    found = [layer(x, mask) for layer in self.layers]
    return found[0][0], [weights for _, weights in found]


@mistake(
    "run",
    symptom="The layers work in reverse order.",
    cause="The stack is run from its last layer to its first. Layer 0 reads the embeddings.",
    place="Look at the loop for `reversed`, an insert at the front, or a negative index.",
    shows=[("encoder_in_post_norm_form", "differ", "x")],
)
def layers_in_reverse_order(self, x, mask):
    weights = []
    for layer in reversed(self.layers):
        x, of_this_layer = layer(x, mask)
        weights.append(of_this_layer)
    return x, weights


@also("layers_in_reverse_order", "run")
def layers_in_reverse_order_weights_too(self, x, mask):
    weights = []
    for layer in reversed(self.layers):
        x, of_this_layer = layer(x, mask)
        weights.insert(0, of_this_layer)
    return x, weights


@mistake(
    "run",
    symptom="An input is added once more: that of the stack to its output, or that of each layer to the layer's output.",
    cause="There is a residual around the whole stack, or around each layer. The layers have their residuals inside.",
    place="Look for an addition in the Encoder's forward: there is none.",
    shows=[("encoder_of_one_layer", "differ", "x")],
)
def residual_around_the_layers(self, x, mask):
    weights = []
    for layer in self.layers:
        output, of_this_layer = layer(x, mask)
        x = x + output
        weights.append(of_this_layer)
    return x, weights


@also("residual_around_the_layers", "run")
def residual_around_the_stack(self, x, mask):
    weights, given = [], x
    for layer in self.layers:
        x, of_this_layer = layer(x, mask)
        weights.append(of_this_layer)
    return given + x, weights


@mistake(
    "finish",
    symptom="In the pre-norm form the output is not normalised.",
    cause="The final norm is missing, or is made and not used. In pre-norm nothing has normalised the sum along "
    "the residual path, so a last norm stands behind the last layer.",
    place="Apply self.final_norm to x after the loop, if norm_first.",
    shows=[("encoder_in_pre_norm_form", "differ", "x")],
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
    shows=[("encoder_has_its_parameters", "differ", "post-norm: superfluous parameters")],
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
    shows=[("encoder_has_its_parameters", "differ")],
)
def final_norm_in_the_wrong_form(self, embed_dim, norm_first):
    if not norm_first:
        self.final_norm = nn.LayerNorm(embed_dim)


@mistake(
    symptom="In the pre-norm form every layer's output has been normalised.",
    cause="The final norm is applied after every layer. It stands once, behind the last one; between the layers "
    "the residual path is left alone.",
    place="Look at the indentation: final_norm comes after the loop.",
    shows=[("encoder_in_pre_norm_form", "differ", "x")],
)
class final_norm_after_every_layer:
    def run(self, x, mask):
        weights = []
        for layer in self.layers:
            x, of_this_layer = layer(x, mask)
            x = self.finish(x)
            weights.append(of_this_layer)
        return x, weights

    def forward(self, x, mask=None):
        return self.run(x, mask)


@mistake(
    "finish",
    symptom="In the pre-norm form the output has been normalised twice.",
    cause="final_norm is applied twice behind the last layer, for example in the loop's last step and once more after it.",
    place="Count the calls of final_norm: one is enough.",
    shows=[("encoder_in_pre_norm_form", "differ", "x")],
)
def final_norm_twice(self, x):
    return self.final_norm(self.final_norm(x)) if hasattr(self, "final_norm") else x


@mistake(
    only="Encoder",
    symptom="In the pre-norm form the norm has been applied to the input of the stack.",
    cause="final_norm stands in front of the first layer. There the sublayers' own norms do the work; it is the "
    "sum behind the last layer that nobody has normalised.",
    place="Move final_norm behind the loop.",
    shows=[("encoder_in_pre_norm_form", "differ", "x")],
)
class final_norm_in_front:
    def forward(self, x, mask=None):
        return self.run(self.finish(x), mask)


@mistake(
    "make_layer",
    symptom="norm_first changes the final norm only: the layers have the same form in both cases.",
    cause="norm_first is not handed to the layers, which then take their default, post-norm.",
    place="Look at how the layers are built, and count the arguments.",
)
def norm_first_not_passed_on(self, sizes, dropout, norm_first, activation):
    return EncoderLayer(*sizes, dropout, activation=activation)


@also("norm_first_not_passed_on", "make_layer")
def norm_first_always_passed_on(self, sizes, dropout, norm_first, activation):
    return EncoderLayer(*sizes, dropout, True, activation)


@mistake(
    "answer_of_all",
    symptom="Only one layer's weights come back.",
    cause="The loop overwrites the weights of the layer before. A list with one tensor per layer is what the "
    "pictures of lesson 11 need.",
    place="Append the weights of each layer to a list, and return the list.",
    shows=[("encoder_in_post_norm_form", "differ", "form of weights")],
)
def weights_of_one_layer_only(self, x, weights):
    return x, weights[-1]


@also("weights_of_one_layer_only", "answer_of_all")
def weights_of_the_first_layer_only(self, x, weights):
    return x, weights[0]


@also("weights_of_one_layer_only", "answer_of_all")
def last_weights_in_a_list(self, x, weights):
    return x, weights[-1:]


@mistake(
    "answer_of_all",
    credit=0.5,
    symptom="The weights are one tensor, where a list of one tensor per layer was asked for.",
    cause="The weights were stacked or concatenated. Layers need not have weights of the same shape (a decoder "
    "without a memory has none for its cross-attention), so the course keeps a list.",
    place="Return the list as it is, without torch.stack or torch.cat.",
    shows=[("encoder_in_post_norm_form", "differ", "form of weights"), ("encoder_in_post_norm_form", "right", "x")],
)
def weights_in_one_tensor(self, x, weights):
    return x, torch.stack(weights)


@also("weights_in_one_tensor", "answer_of_all")
def weights_stacked_behind_the_batch(self, x, weights):
    return x, torch.stack(weights, dim=1)


@also("weights_in_one_tensor", "answer_of_all")
def weights_concatenated(self, x, weights):
    return x, torch.cat(weights)


# Find the bug


@mistake(
    "encoder_bug_input",
    symptom="On your input the broken layer is right.",
    cause="Your mask hides nothing, so it makes no difference whether the layer uses it. The bug is in when the "
    "layer leaves a mask out.",
    place="Return a mask that is False somewhere, and ask for which masks the first trick acts.",
)
def nothing_hidden():
    return torch.arange(2 * 3 * 8).reshape(2, 3, 8) % 7 - 3.0, None


@also("nothing_hidden", "encoder_bug_input")
def mask_that_is_true_everywhere():
    return torch.arange(2 * 3 * 8).reshape(2, 3, 8) % 7 - 3.0, torch.ones(2, 1, 3, dtype=torch.bool)


@mistake(
    "encoder_bug_input",
    symptom="On your input the broken layer is right.",
    cause="You tried a sequence that is longer than one piece. The feed-forward network treats every position "
    "alone, so it does not matter in which company a position passes through it.",
    place="Look at the other trick: the mask that is left out.",
)
def longer_than_a_piece():
    return torch.arange(2 * 67 * 8).reshape(2, 67, 8) % 7 - 3.0, None


@mistake(
    "encoder_bug_input",
    symptom="On your input the broken layer is right.",
    cause="The first sequence of your batch is padded (or it is the only one), and then the mask is used. What the "
    "layer looks at before it leaves the mask out is the first sequence, and no other.",
    place="Give the padding to another sequence, and let the first one be full.",
)
def first_sequence_padded():
    x = torch.arange(2 * 3 * 8).reshape(2, 3, 8) % 7 - 3.0
    return x, torch.tensor([[[True, True, False]], [[True, True, True]]])


@also("first_sequence_padded", "encoder_bug_input")
def the_only_sequence_padded():
    return torch.arange(3 * 8).reshape(1, 3, 8) % 7 - 3.0, torch.tensor([[[True, True, False]]])


@mistake(
    "encoder_bug_input",
    symptom="On your input the broken layer is right.",
    cause="Your mask [time, time] is the same for all sequences, and its first row hides something, so the mask is "
    "used.",
    place="Return one mask per sequence, [batch, 1, time], and ask which of them the layer looks at.",
)
def one_mask_for_all_sequences():
    return torch.arange(2 * 3 * 8).reshape(2, 3, 8) % 7 - 3.0, torch.ones(3, 3, dtype=torch.bool).tril()


@mistake(
    "encoder_bug_input",
    symptom="On your input the broken layer is right, although it leaves the mask out.",
    cause="All vectors of x are the same. A mean of equal vectors is that vector, whatever the weights are, so "
    "nobody can see whether a mask was used. Inputs of zeros or ones hide many a bug.",
    place="The mask is well chosen. Fill x with numbers that differ from position to position.",
)
def all_vectors_alike():
    return torch.ones(2, 3, 8), torch.tensor([[[True, True, True]], [[True, True, False]]])


@mistake(
    "encoder_bug_input",
    symptom="What comes back cannot be given to the layer.",
    cause="x is [batch, time, 8], floating point and finite, and a mask has one of the three shapes of the "
    "docstring: [time, time], [batch, 1, time] or [batch, time, time].",
    place="Compare type and shape of both with the docstring, and return the pair (x, mask).",
)
def input_that_does_not_fit():
    return torch.ones(3, 8), None


@also("input_that_does_not_fit", "encoder_bug_input")
def mask_without_an_axis_for_queries():
    return torch.ones(2, 3, 8), torch.ones(2, 3, dtype=torch.bool)


@also("input_that_does_not_fit", "encoder_bug_input")
def input_without_a_mask():
    return torch.ones(2, 3, 8)


# Habits


@mistake(
    "take_in",
    credit=0.5,
    symptom="No gradient reaches the input: nothing before this module could ever be trained.",
    cause="The input was cut from autograd by detach, .data, torch.no_grad, numpy or a new torch.tensor.",
    place="Look for one of these, and compute with the tensors as they come.",
    shows=[
        ("feed_forward_passes_gradients", "is none arrives"),
        ("gated_passes_gradients", "is none arrives"),
        ("encoder_layer_passes_gradients", "is none arrives"),
        ("encoder_passes_gradients", "is none arrives"),
    ],
)
def cut_from_autograd(self, x):
    return x.detach()


@also("cut_from_autograd", "run")
def cut_from_autograd_between_the_layers(self, x, mask):
    weights = []
    for layer in self.layers:
        x, of_this_layer = layer(x.detach(), mask)
        weights.append(of_this_layer)
    return x, weights


@mistake(
    "answer",
    credit=0.5,
    symptom="No gradient comes back through the weights.",
    cause="The weights were cut from autograd by detach or .data. A loss may well use them, to make a head attend "
    "to something, for example.",
    place="Return the weights as self_attention returned them.",
    shows=[("encoder_layer_passes_gradients", "differ"), ("encoder_passes_gradients", "differ")],
)
def weights_detached(self, x, weights):
    return x, weights.detach()


@also("weights_detached", "answer_of_all")
def weights_of_all_layers_detached(self, x, weights):
    return x, [of_this_layer.detach() for of_this_layer in weights]
