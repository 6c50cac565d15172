"""Wrong answers to lesson 4, each with its sentences: what is seen, why it is wrong, where to look."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from autograder.mistakes import Catalogue
from workbench import parts
from workbench.parts import Decoder, TransformerEmbedding, causal_mask, merge_heads, split_heads
from workbench.parts.decoder_only import gelu_tanh

catalogue = Catalogue()
step, component, mistake, also = catalogue.step, catalogue.component, catalogue.mistake, catalogue.also


# next_token_loss, the right way, a step at a time


@step
def pair_up(logits, tokens):
    """logits that predict; tokens to predict"""
    return logits[:, :-1], tokens[:, 1:]


@step
def leave_out(targets, tokens, pad_id):
    """targets without padding"""
    return targets if pad_id is None else targets.masked_fill(targets == pad_id, -100)


@step
def prepare(logits):
    return logits


@step
def price(logits, targets):
    """loss of each token"""
    return F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")


@step
def average(losses, targets):
    """mean loss"""
    return losses.sum() / (targets != -100).sum()


@component("pair_up", "leave_out", "prepare", "price", "average")
def next_token_loss(step, logits, tokens, pad_id=None):
    logits, targets = step.pair_up(logits, tokens)
    targets = step.leave_out(targets, tokens, pad_id)
    return step.average(step.price(step.prepare(logits), targets), targets)


# The shift


@mistake(
    "pair_up",
    symptom="Each position is asked for the token that it has just read.",
    cause="The shift is missing: logits and tokens are compared at the same place. Position t has read token t, "
    "so a model that is trained like this learns to copy. It has to be asked for token t + 1.",
    place="Leave out the last position of the logits, `[:, :-1]`, and the first of the tokens, `[:, 1:]`.",
    shows=[("loss_looks_one_token_ahead", "differ")],
)
def no_shift(logits, tokens):
    return logits, tokens


@also("no_shift", "pair_up")
def no_shift_last_left_out(logits, tokens):
    return logits[:, :-1], tokens[:, :-1]


@also("no_shift", "pair_up")
def no_shift_first_left_out(logits, tokens):
    return logits[:, 1:], tokens[:, 1:]


@mistake(
    "pair_up",
    symptom="Each position is asked for the token after the next, and one prediction too few counts.",
    cause="The shift is made twice. The tokens come in as they were read, and one shift by one place is all that "
    "is needed.",
    place="Look for a second shift: `[:, 2:]`, or `[:, 1:]` on what was shifted before.",
)
def double_shift(logits, tokens):
    return logits[:, :-2], tokens[:, 2:]


@also("double_shift", "pair_up")
def double_shift_by_steps(logits, tokens):
    targets = tokens[:, 1:]
    return logits[:, :-1][:, :-1], targets[:, 1:]


@mistake(
    "pair_up",
    symptom="A position at the end of one sequence is asked for a token of the next one.",
    cause="The shift was made after flattening, or once more there. Flattened, the sequences lie in a row behind each other, "
    "and a shift by one place crosses from the end of one to the beginning of the next. With a single sequence in the batch "
    "nobody notices.",
    place="Shift once, along the axis of time, `logits[:, :-1]` and `tokens[:, 1:]`, and flatten then.",
    shows=[("loss_looks_one_token_ahead", "differ", "positions whose logits count")],
)
def shift_across_rows(logits, tokens):
    return logits.flatten(0, 1)[None, :-1], tokens.flatten()[None, 1:]


@also("shift_across_rows", "pair_up")
def shift_across_rows_by_roll(logits, tokens):
    return logits.flatten(0, 1)[None], tokens.flatten().roll(-1)[None]


@also("shift_across_rows", "pair_up")
def shift_once_more_across_rows(logits, tokens):
    logits, targets = logits[:, :-1], tokens[:, 1:]
    return logits.flatten(0, 1)[None, :-1], targets.flatten()[None, 1:]


@mistake(
    "pair_up",
    symptom="Each position is asked for the token before its own.",
    cause="The shift goes the other way. The logits at position t belong to token t + 1, so it is the logits that "
    "lose their end, and the tokens that lose their beginning.",
    place="Exchange the slices: `logits[:, :-1]` and `tokens[:, 1:]`.",
)
def shift_the_other_way(logits, tokens):
    return logits[:, 1:], tokens[:, :-1]


@also("shift_the_other_way", "pair_up")
def roll_the_other_way(logits, tokens):
    return logits, tokens.roll(1, dims=1)


@mistake(
    "pair_up",
    symptom="The last position counts, although nothing follows it.",
    cause="The text is treated as a ring, or is filled up at its end: the last position is asked for a token that "
    "is not in the text. A text of n tokens has n - 1 predictions.",
    place="Leave out the last position of the logits (`torch.roll` brings the first token to the end).",
    shows=[("loss_looks_one_token_ahead", "differ", "positions whose logits count")],
)
def last_position_counted(logits, tokens):
    return logits, tokens.roll(-1, dims=1)


@also("last_position_counted", "pair_up")
def last_position_asked_for_token_0(logits, tokens):
    return logits, F.pad(tokens[:, 1:], (0, 1), value=0)


@mistake(
    "pair_up",
    symptom="Only the last target of each sequence counts.",
    cause="The loss looks at one position, as writing does. In training every position is asked, and the causal "
    "mask keeps each of these questions honest.",
    place="Use all positions but the last.",
)
def only_the_last_target(logits, tokens):
    return logits[:, -2:-1], tokens[:, -1:]


# The cross-entropy


@mistake(
    "price",
    symptom="It fails unless there are as many positions as tokens in the vocabulary, and then gives another loss.",
    cause="F.cross_entropy wants the classes on axis 1. Logits [batch, time, vocab] handed over as they are, or "
    "brought to [batch, vocab, time] by reshape, are read as if positions were classes.",
    place="Flatten batch and time of both, or use `transpose(1, 2)`, which moves the axis and not only its name.",
)
def positions_taken_for_classes(logits, targets):
    return F.cross_entropy(logits, targets, reduction="none")


@also("positions_taken_for_classes", "price")
def reshape_instead_of_transpose(logits, targets):
    batch, time, vocab_size = logits.shape
    return F.cross_entropy(logits.reshape(batch, vocab_size, time), targets, reduction="none")


@mistake(
    "prepare",
    symptom="Even a model that is sure and right pays a loss, and a model that is wrong hardly pays more.",
    cause="A softmax comes before the cross-entropy, which contains one. Taken for logits, probabilities lie "
    "between 0 and 1, and a second softmax makes them nearly equal.",
    place="Give F.cross_entropy the logits themselves.",
    shows=[("loss_of_a_sure_model", "higher", "loss")],
)
def softmax_before_cross_entropy(logits):
    return logits.softmax(dim=-1)


@also("softmax_before_cross_entropy", "prepare")
def softmax_over_positions_before_cross_entropy(logits):
    return logits.softmax(dim=1)


@mistake(
    "price",
    symptom="The loss is negative or far too small: no logarithm was taken.",
    cause="F.nll_loss expects logarithms of probabilities and only picks the one of each target. With logits or "
    "probabilities it picks numbers that are no logarithms.",
    place="Use F.cross_entropy on the logits, or F.log_softmax before F.nll_loss.",
)
def logarithm_missing(logits, targets):
    return F.nll_loss(logits.transpose(1, 2), targets, reduction="none")


@also("logarithm_missing", "price")
def logarithm_missing_after_the_softmax(logits, targets):
    return F.nll_loss(logits.softmax(-1).transpose(1, 2), targets, reduction="none")


@mistake(
    "price",
    symptom="The loss has the wrong sign.",
    cause="The logarithm of a probability is negative or 0. The loss is the negative logarithm, so that training "
    "makes it small.",
    place="Put a minus in front of the logarithms.",
    shows=[("loss_looks_one_token_ahead", "opposite", "loss")],
)
def sign_missing(logits, targets):
    return -F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")


# Padding


@mistake(
    "leave_out",
    symptom="Positions that are asked for padding count.",
    cause="pad_id is not used. The model would be trained to write padding, and sentences that are short among "
    "long ones would count for little but that.",
    place="Replace the targets that are padding by -100, or give pad_id to `ignore_index`.",
    shows=[("loss_leaves_padding_out", "differ", "*positions whose logits count")],
)
def padding_counted(targets, tokens, pad_id):
    return targets


@mistake(
    "average",
    symptom="The loss is too small as soon as there is padding.",
    cause="The losses of padding are 0, but they are still counted when the sum is divided. The mean is over the "
    "targets that count.",
    place="Divide by the number of targets that are not padding.",
    shows=[("loss_leaves_padding_out", "lower", "*loss")],
)
def padding_in_the_divisor(losses, targets):
    return losses.mean()


@mistake(
    "leave_out",
    symptom="It is the wrong positions that do not count: those that have read padding, not those that are asked "
    "for it.",
    cause="Padding was looked for in the input. What does not count is a target, the token one place later.",
    place="Compare the shifted tokens with pad_id, not the tokens that were read.",
    shows=[("loss_leaves_padding_out", "differ", "*positions whose logits count")],
)
def padding_looked_for_in_the_input(targets, tokens, pad_id):
    if pad_id is None:
        return targets
    return targets.masked_fill(tokens[:, : targets.shape[1]] == pad_id, -100)


@mistake(
    "next_token_loss",
    credit=0.5,
    symptom="Without a pad_id an error is raised; with one the loss is right.",
    cause="pad_id is handed on as it is, and may be None. `ignore_index` has to be a number, and a comparison of a tensor "
    "with None gives a plain True or False, no mask.",
    place="Ask `if pad_id is not None`, and leave nothing out otherwise: -100 as ignore_index leaves out no token.",
    shows=[("loss_looks_one_token_ahead", "raise"), ("loss_leaves_padding_out", "right")],
)
def none_taken_for_a_pad_id(logits, tokens, pad_id=None):
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], ignore_index=pad_id)


@also("none_taken_for_a_pad_id", "next_token_loss")
def none_given_to_nll_loss(logits, tokens, pad_id=None):
    logarithms = F.log_softmax(logits[:, :-1], dim=-1).transpose(1, 2)
    return F.nll_loss(logarithms, tokens[:, 1:], ignore_index=pad_id)


@also("none_taken_for_a_pad_id", "next_token_loss")
def none_in_masked_fill(logits, tokens, pad_id=None):
    targets = tokens[:, 1:]
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), targets.masked_fill(targets == pad_id, -100))


@also("none_taken_for_a_pad_id", "next_token_loss")
def none_in_where(logits, tokens, pad_id=None):
    targets = tokens[:, 1:]
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), torch.where(targets == pad_id, -100, targets))


@also("none_taken_for_a_pad_id", "next_token_loss")
def none_in_a_mask_of_floats(logits, tokens, pad_id=None):
    targets = tokens[:, 1:]
    losses = F.cross_entropy(logits[:, :-1].transpose(1, 2), targets, reduction="none")
    counts = (targets != pad_id).float()
    return (losses * counts).sum() / counts.sum()


@mistake(
    "leave_out",
    credit=0.5,
    symptom="With a pad_id of 0 padding counts; with other ids it does not.",
    cause="`if pad_id:` is False for 0 as well as for None. 0 is a token id like any other, and a usual one for "
    "padding.",
    place="Write `if pad_id is not None:`.",
    shows=[("loss_leaves_padding_out", "differ", "pad_id 0:*"), ("loss_leaves_padding_out", "right", "pad_id 5:*")],
)
def pad_id_0_taken_for_none(targets, tokens, pad_id):
    return targets.masked_fill(targets == pad_id, -100) if pad_id else targets


@mistake(
    "leave_out",
    credit=0.5,
    symptom="Without a pad_id the targets that are token 0 do not count.",
    cause="The code takes 0 for padding where nothing was said. Without a pad_id there is no padding.",
    place="Leave nothing out if pad_id is None.",
    shows=[("loss_without_padding_counts_all", "differ")],
)
def token_0_always_left_out(targets, tokens, pad_id):
    return targets.masked_fill(targets == (pad_id or 0), -100)


# The mean


@mistake(
    "average",
    symptom="The loss is right for sequences of one length; with padding, short sequences count too much.",
    cause="A mean of each sequence is taken, and then the mean of these. A token of a short sequence then counts "
    "more than one of a long sequence; the contract is one mean over all targets.",
    place="Sum over the whole batch and divide once.",
    shows=[("loss_looks_one_token_ahead", "right"), ("loss_leaves_padding_out", "differ")],
)
def mean_of_the_sequences_means(losses, targets):
    return (losses.sum(1) / (targets != -100).sum(1)).mean()


@mistake(
    "average",
    symptom="The loss grows with the number of targets.",
    cause="It is a sum (over all, or over each sequence). A mean does not depend on the size of the batch, and "
    "neither does a good learning rate then.",
    place="Divide by the number of targets that count.",
    shows=[("loss_looks_one_token_ahead", "higher", "loss")],
)
def sum_instead_of_mean(losses, targets):
    return losses.sum()


@also("sum_instead_of_mean", "average")
def sum_over_time_mean_over_batch(losses, targets):
    return losses.sum(1).mean()


@mistake(
    "average",
    symptom="One loss per position comes back where a single number is expected.",
    cause='The mean is missing (`reduction="none"`, or a mean over one axis only). backward() needs one number.',
    place="Take the mean over all targets.",
    shows=[("loss_looks_one_token_ahead", "another shape", "shape of loss")],
)
def losses_not_averaged(losses, targets):
    return losses


@also("losses_not_averaged", "average")
def losses_averaged_over_time(losses, targets):
    return losses.sum(1) / (targets != -100).sum(1)


@also("losses_not_averaged", "average")
def losses_in_a_row(losses, targets):
    return losses.flatten()


@mistake(
    "average",
    symptom="The result is at least 1: it is e to the power of the loss.",
    cause="That is the perplexity, which is easier to read. What training makes small is its logarithm, the loss.",
    place="Leave out the exponential.",
    shows=[("loss_looks_one_token_ahead", "higher", "loss")],
)
def perplexity_instead_of_loss(losses, targets):
    return (losses.sum() / (targets != -100).sum()).exp()


@mistake(
    "average",
    symptom="The loss is larger by the factor 1.44.",
    cause="It is measured in bits, with the logarithm to base 2. The contract, like F.cross_entropy, measures in "
    "nats, with the natural logarithm.",
    place="Look for log2, or for a division by log 2.",
    shows=[("loss_looks_one_token_ahead", "higher", "loss")],
)
def loss_in_bits(losses, targets):
    return losses.sum() / (targets != -100).sum() / math.log(2)


@mistake(
    "average",
    credit=0.5,
    symptom="No gradient reaches the logits: nothing could be trained with this loss.",
    cause="The loss was cut from autograd by item(), float(), detach or a new torch.tensor.",
    place="Return the tensor as it is; take item() where it is printed.",
)
def cut_from_autograd(losses, targets):
    return (losses.sum() / (targets != -100).sum()).item()


@also("cut_from_autograd", "average")
def detached(losses, targets):
    return (losses.sum() / (targets != -100).sum()).detach()


# Arguments, in all functions


# LanguageModel


@component()
class LanguageModel(nn.Module):
    def __init__(
        self, vocab_size, embed_dim, num_heads, ff_dim, num_layers, max_len, dropout=0.0, activation=gelu_tanh
    ):
        nn.Module.__init__(self)
        self.max_len, self.num_heads = max_len, num_heads
        self.embedding = self.make_embedding(vocab_size, embed_dim, max_len, dropout)
        self.decoder = self.make_decoder(num_layers, embed_dim, num_heads, ff_dim, dropout, activation)
        self.make_head(vocab_size, embed_dim)

    def make_embedding(self, vocab_size, embed_dim, max_len, dropout):
        return TransformerEmbedding(vocab_size, embed_dim, max_len, positions="learned", dropout=dropout)

    def make_decoder(self, num_layers, embed_dim, num_heads, ff_dim, dropout, activation):
        return Decoder(
            num_layers,
            embed_dim,
            num_heads,
            ff_dim,
            dropout,
            norm_first=True,
            activation=activation,
            cross_attention=False,
        )

    def make_head(self, vocab_size, embed_dim):
        self.head = nn.Linear(embed_dim, vocab_size, bias=False)
        self.head.weight = self.embedding.token.weight

    def mask(self, tokens):
        """causal mask"""
        return causal_mask(tokens.shape[1]).to(tokens.device)

    def embed(self, tokens):
        return self.embedding(tokens)

    def decode(self, x, mask):
        x, weights, _ = self.decoder(x, self_mask=mask)
        return x, weights

    def score(self, x):
        return self.head(x)

    def answer(self, logits, weights):
        return logits, weights

    def forward(self, tokens):
        x, weights = self.decode(self.embed(tokens), self.mask(tokens))
        return self.answer(self.score(x), weights)


@mistake(
    "mask",
    symptom="Earlier positions change when a later token does: the future is seen.",
    cause="The causal mask is missing. The decoder adds none by itself, and without it each position sees the "
    "token that it is to predict.",
    place="Give the decoder `self_mask=causal_mask(tokens.shape[1])`.",
    shows=[("model_does_not_see_the_future", "differ")],
)
def no_causal_mask(self, tokens):
    return None


@mistake(
    "mask",
    symptom="Each position sees itself and what comes later, and not what came before.",
    cause="The triangle is the wrong way round. A position may attend to keys that are not later than itself: the "
    "lower triangle, True on and below the diagonal.",
    place="Use causal_mask as it is: no `~`, no transpose, no triu.",
)
def causal_mask_inverted(self, tokens):
    return torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool, device=tokens.device).triu()


@also("causal_mask_inverted", "mask")
def causal_mask_negated(self, tokens):
    return ~causal_mask(tokens.shape[1]).to(tokens.device)


@mistake(
    "decode",
    symptom="The decoder is given a memory, and the call fails, or cross-attention takes part in it.",
    cause="The decoder was given a memory: its own input, or the mask, which came to stand in the place of the "
    "memory because it was passed second without its name. A decoder-only model has no memory.",
    place="Call the decoder with `self_mask=mask` by name, and with nothing for the memory.",
)
def memory_given(self, x, mask):
    x, weights, _ = self.decoder(x, x, self_mask=mask)
    return x, weights


@also("memory_given", "decode")
def mask_passed_as_memory(self, x, mask):
    x, weights, _ = self.decoder(x, mask)
    return x, weights


@also("memory_given", "decode")
def memory_given_and_masked(self, x, mask):
    x, weights, _ = self.decoder(x, x, mask, mask)
    return x, weights


@mistake(
    "make_head",
    symptom="The head and the token embedding do not train one table together: each has a gradient of its own, or one of them "
    "has none.",
    cause="They should be one parameter under two names. A head of its own has its own numbers; a copy, or shared "
    "`.data`, begins with the same numbers, but training changes the two separately.",
    place="Write `self.head.weight = self.embedding.token.weight`, with nothing around it.",
    shows=[("model_is_tied", "differ")],
)
def head_not_tied(self, vocab_size, embed_dim):
    self.head = nn.Linear(embed_dim, vocab_size, bias=False)


@also("head_not_tied", "make_head")
def head_copied(self, vocab_size, embed_dim):
    self.head = nn.Linear(embed_dim, vocab_size, bias=False)
    self.head.weight = nn.Parameter(self.embedding.token.weight.clone())


@also("head_not_tied", "make_head")
def head_data_shared(self, vocab_size, embed_dim):
    self.head = nn.Linear(embed_dim, vocab_size, bias=False)
    self.head.weight.data = self.embedding.token.weight.data


@also("head_not_tied", "score")
def head_detached(self, x):
    return F.linear(x, self.head.weight.detach())


@mistake(
    credit=0.5,
    symptom="The logits are right, but the model has no part of the name head.",
    cause="The hidden states are multiplied by the token table itself, which ties the two, but leaves nothing that others "
    "could call: generate_with_cache uses model.head, and weights of GPT-2 are loaded into it by name.",
    place="Make `self.head`, an nn.Linear without bias, and let its weight be the token table.",
    shows=[("model_has_its_parameters", "differ", "missing parameters"), ("model_computes", "right")],
)
class head_without_its_name:
    def make_head(self, vocab_size, embed_dim):
        pass

    def score(self, x):
        return x @ self.embedding.token.weight.T


@also("head_without_its_name")
class head_under_another_name:
    def make_head(self, vocab_size, embed_dim):
        self.lm_head = nn.Linear(embed_dim, vocab_size, bias=False)
        self.lm_head.weight = self.embedding.token.weight

    def score(self, x):
        return self.lm_head(x)


@mistake(
    "make_head",
    symptom="There is a parameter head.bias, which the contract does not have.",
    cause="nn.Linear has a bias unless it is told otherwise. GPT-2's head has none: it is the token table and "
    "nothing else.",
    place="Make it with `bias=False`.",
    shows=[("model_has_its_parameters", "differ", "superfluous parameters")],
)
def head_with_a_bias(self, vocab_size, embed_dim):
    self.head = nn.Linear(embed_dim, vocab_size)
    self.head.weight = self.embedding.token.weight


@also("head_with_a_bias", "make_head")
def head_with_a_bias_and_not_tied(self, vocab_size, embed_dim):
    self.head = nn.Linear(embed_dim, vocab_size)


@mistake(
    "make_decoder",
    symptom="The decoder has no final norm, and its layers normalise after the sublayers.",
    cause="norm_first was left at False, the form of the 2017 paper. GPT-2 normalises the input of each sublayer "
    "and adds one norm behind the last layer.",
    place="Build the decoder with `norm_first=True`.",
)
def norm_after_the_sublayers(self, num_layers, embed_dim, num_heads, ff_dim, dropout, activation):
    return Decoder(num_layers, embed_dim, num_heads, ff_dim, dropout, activation=activation, cross_attention=False)


@mistake(
    "make_decoder",
    credit=0.5,
    symptom="The logits are right, but each layer has cross_attention and norm2, which nothing uses.",
    cause="The decoder was made with its default, cross_attention=True. Without an encoder these parameters are idle: they "
    "never get a gradient, but they are stored and counted, about a third more than the layers need.",
    place="Build the decoder with `cross_attention=False`.",
    shows=[("model_has_its_parameters", "differ", "superfluous parameters"), ("model_computes", "right")],
)
def idle_cross_attention(self, num_layers, embed_dim, num_heads, ff_dim, dropout, activation):
    return Decoder(num_layers, embed_dim, num_heads, ff_dim, dropout, norm_first=True, activation=activation)


@mistake(
    "make_decoder",
    symptom="The feed-forward networks have another activation than was asked for.",
    cause="activation was not handed on, so the decoder took its own default, ReLU; or a fixed one was handed on.",
    place="Build the decoder with `activation=activation`.",
)
def activation_not_handed_on(self, num_layers, embed_dim, num_heads, ff_dim, dropout, activation):
    return Decoder(num_layers, embed_dim, num_heads, ff_dim, dropout, norm_first=True, cross_attention=False)


@also("activation_not_handed_on", "make_decoder")
def activation_is_always_gelu(self, num_layers, embed_dim, num_heads, ff_dim, dropout, activation):
    return Decoder(
        num_layers, embed_dim, num_heads, ff_dim, dropout, norm_first=True, activation=F.gelu, cross_attention=False
    )


@also("activation_not_handed_on", "make_decoder")
def activation_is_always_gelu_tanh(self, num_layers, embed_dim, num_heads, ff_dim, dropout, activation):
    return Decoder(
        num_layers, embed_dim, num_heads, ff_dim, dropout, norm_first=True, activation=gelu_tanh, cross_attention=False
    )


@mistake(
    "make_decoder",
    symptom="In training nothing is dropped in the decoder.",
    cause="dropout was not handed on, so the decoder took its default of 0.",
    place="Give dropout to the embedding and to the decoder.",
)
def dropout_not_handed_to_the_decoder(self, num_layers, embed_dim, num_heads, ff_dim, dropout, activation):
    return Decoder(
        num_layers, embed_dim, num_heads, ff_dim, norm_first=True, activation=activation, cross_attention=False
    )


@mistake(
    "make_decoder",
    symptom="Heads and layers have changed places: there are as many layers as heads were asked for.",
    cause="Decoder takes num_layers first and num_heads third. Numbers in the wrong order raise no error as long "
    "as both divide embed_dim.",
    place="Compare the order of your arguments with Decoder's, or pass them by name.",
)
def heads_and_layers_exchanged(self, num_layers, embed_dim, num_heads, ff_dim, dropout, activation):
    return Decoder(
        num_heads, embed_dim, num_layers, ff_dim, dropout, norm_first=True, activation=activation, cross_attention=False
    )


@mistake(
    "make_embedding",
    symptom="The positions are a fixed table of waves, not a parameter.",
    cause="TransformerEmbedding's default is the sinusoidal table of the 2017 paper. GPT-2 learns a vector per "
    "position.",
    place='Build the embedding with `positions="learned"`.',
)
def sinusoidal_positions(self, vocab_size, embed_dim, max_len, dropout):
    return TransformerEmbedding(vocab_size, embed_dim, max_len, dropout=dropout)


@mistake(
    "make_embedding",
    symptom="In training the embedding drops nothing.",
    cause="dropout was not handed on to the embedding, whose default is 0.",
    place="Build the embedding with `dropout=dropout`.",
)
def dropout_not_handed_to_the_embedding(self, vocab_size, embed_dim, max_len, dropout):
    return TransformerEmbedding(vocab_size, embed_dim, max_len, positions="learned")


@mistake(
    "embed",
    symptom="There are no positions: the same token has the same vector at every place.",
    cause="The token table was used by itself. Attention cannot tell one order from another, so without positions "
    "the model knows which tokens came before, but hardly in which order.",
    place="Call the whole embedding, `self.embedding(tokens)`.",
)
def positions_missing(self, tokens):
    return self.embedding.token(tokens)


@mistake(
    "embed",
    symptom="The vectors that enter the decoder are too large by the factor √embed_dim.",
    cause="The paper of 2017 multiplies its embeddings by that factor, because its positions are fixed waves. "
    "GPT-2 learns both tables and multiplies neither.",
    place="Take the factor out.",
)
def embedding_scaled(self, tokens):
    return self.embedding(tokens) * self.embedding.token.embedding_dim**0.5


@also("embedding_scaled", "embed")
def tokens_scaled(self, tokens):
    return self.embedding.position(self.embedding.token(tokens) * self.embedding.token.embedding_dim**0.5)


@mistake(
    "score",
    symptom="The logits are probabilities, or logarithms of probabilities.",
    cause="A softmax was applied in the model. F.cross_entropy and the filters of the next exercises work on "
    "logits, and apply the softmax themselves.",
    place="Return what the head gives.",
)
def softmax_in_the_model(self, x):
    return self.head(x).softmax(dim=-1)


@also("softmax_in_the_model", "score")
def log_softmax_in_the_model(self, x):
    return self.head(x).log_softmax(dim=-1)


@mistake(
    "score",
    symptom="Logits come back for the last position only.",
    cause="While a text is written only the last position matters, and generate looks at it by itself. For "
    "training the logits of all positions are needed.",
    place="Apply the head to all positions.",
    shows=[("model_computes", "differ", "form of logits")],
)
def last_position_only(self, x):
    return self.head(x[:, -1:])


@also("last_position_only", "score")
def last_position_without_its_axis(self, x):
    return self.head(x[:, -1])


@mistake(
    "score",
    symptom="The output is as wide as embed_dim, not as the vocabulary.",
    cause="The head is not applied. The decoder returns vectors, and only the head compares them with the vector "
    "of every token.",
    place="Return `self.head(x)`.",
    shows=[("model_computes", "differ", "form of logits")],
)
def head_not_applied(self, x):
    return x


@mistake(
    "answer",
    credit=0.5,
    symptom="One tensor comes back where a pair is expected.",
    cause="Only the logits are returned. The weights are part of the answer: BertViz is fed with them.",
    place="Return both: logits, weights.",
    shows=[("model_computes", "is a tensor", "answer")],
)
def weights_not_returned(self, logits, weights):
    return logits


@mistake(
    "answer",
    credit=0.5,
    symptom="Logits and weights have changed places.",
    cause="The order is part of the contract: the output first, the weights second, as everywhere in the course.",
    place="Look at the return statement.",
)
def logits_and_weights_exchanged(self, logits, weights):
    return weights, logits


@mistake(
    "decode",
    credit=0.5,
    symptom="The second thing returned is not the list of self-attention weights.",
    cause="The decoder returns three things: x, the self-attention weights and the cross-attention weights, which "
    "are None without a memory. The wrong ones, or only one layer's, were passed on.",
    place="Unpack all three: `x, weights, _ = self.decoder(...)`.",
)
def other_weights_returned(self, x, mask):
    x, _, weights = self.decoder(x, self_mask=mask)
    return x, weights


@also("other_weights_returned", "decode")
def weights_of_the_last_layer_only(self, x, mask):
    x, weights, _ = self.decoder(x, self_mask=mask)
    return x, weights[-1]


@also("other_weights_returned", "decode")
def weights_stacked_over_layers_and_averaged(self, x, mask):
    x, weights, _ = self.decoder(x, self_mask=mask)
    return x, [each.mean(1) for each in weights]


# filter_logits, the right way


@step
def refuse(temperature):
    if temperature <= 0:
        raise ValueError(f"a temperature of {temperature} cannot divide; choose a positive one")


@step
def cool(logits, temperature):
    """division by temperature"""
    return logits / temperature


@step
def warm(logits, temperature):
    return logits


@step
def below_top_k(logits, top_k):
    """what top_k takes out"""
    return logits < logits.topk(min(top_k, logits.shape[-1])).values[..., -1:]


@step
def shown_to_top_p(cooled, filtered):
    return filtered


@step
def sort(logits):
    """sorted logits; order of the logits"""
    return logits.sort(dim=-1, descending=True)


@step
def shares(ordered):
    """softmax"""
    return ordered.softmax(dim=-1)


@step
def beyond_top_p(probabilities, top_p):
    """what top_p takes out"""
    return (probabilities.cumsum(dim=-1) - probabilities >= top_p) & (top_p < 1)


@step
def put_back(remove, order):
    """what top_p takes out, in the old order"""
    return remove.scatter(-1, order, remove)


@step
def fill(logits, remove):
    """logits taken out"""
    return logits.masked_fill(remove, -math.inf)


@step
def hand_over(logits):
    return logits


@component(
    "refuse",
    "cool",
    "warm",
    "below_top_k",
    "shown_to_top_p",
    "sort",
    "shares",
    "beyond_top_p",
    "put_back",
    "fill",
    "hand_over",
)
def filter_logits(step, logits, temperature=1.0, top_k=None, top_p=None):
    step.refuse(temperature)
    cooled = filtered = step.cool(logits, temperature)
    if top_k is not None:
        filtered = step.fill(cooled, step.below_top_k(cooled, top_k))
    if top_p is not None:
        ordered, order = step.sort(step.shown_to_top_p(cooled, filtered))
        remove = step.put_back(step.beyond_top_p(step.shares(ordered), top_p), order)
        filtered = step.fill(filtered, remove)
    return step.hand_over(step.warm(filtered, temperature))


# Temperature


@mistake(
    "cool",
    symptom="A low temperature levels the probabilities and a high one sharpens them.",
    cause="The logits are multiplied by the temperature, and have to be divided by it. Divided by a small number, "
    "differences between logits grow, and the likeliest token takes more.",
    place="Write `logits / temperature`.",
)
def multiplied_by_the_temperature(logits, temperature):
    return logits * temperature


@mistake(
    "cool",
    symptom="The temperature changes nothing.",
    cause="It is not used, or it divides probabilities. After the softmax a division by the temperature makes all "
    "probabilities smaller alike, and the next normalisation takes it back.",
    place="Divide the logits by the temperature, before any softmax.",
    shows=[("filter_has_a_temperature", "differ")],
)
def temperature_without_effect(logits, temperature):
    return logits


@also("temperature_without_effect", "cool")
def temperature_after_the_softmax(logits, temperature):
    return (logits.softmax(dim=-1) / temperature).log()


@mistake(
    "cool",
    symptom="The probabilities are much too equal: logits that are probabilities lie close together.",
    cause="A softmax was applied before the temperature and its result was treated as logits. What a later "
    "softmax makes of numbers between 0 and 1 is nearly uniform.",
    place="Work on the logits from beginning to end; take a softmax only to find out who goes.",
)
def probabilities_taken_for_logits(logits, temperature):
    return logits.softmax(dim=-1) / temperature


@mistake(
    "cool",
    symptom="The temperature acts twice: a temperature of 3 does what 9 should do.",
    cause="The logits are divided by it in two places, such as at the beginning and again before the last softmax. "
    "Whoever gets the filtered logits takes their softmax as they are.",
    place="Look for a second `/ temperature`.",
    shows=[("filter_has_a_temperature", "differ"), ("text_is_drawn_from_what_is_left", "differ")],
)
def temperature_twice(logits, temperature):
    return logits / temperature**2


@also("temperature_twice", "warm")
def temperature_once_more_at_the_end(logits, temperature):
    return logits / temperature


@mistake(
    symptom="With a temperature, top-p keeps another number of tokens than it should.",
    cause="The filters come before the temperature. The temperature changes the probabilities, so it also changes "
    "how many tokens reach top_p; the order is temperature, top-k, top-p.",
    place="Divide by the temperature first.",
)
class temperature_after_the_filters:
    @staticmethod
    def cool(logits, temperature):
        return logits

    @staticmethod
    def warm(logits, temperature):
        return logits / temperature


@mistake(
    "refuse",
    credit=0.5,
    symptom="A temperature of 0 or less is accepted.",
    cause="Division by 0 gives infinities and NaN; a negative temperature turns likely into unlikely. Neither is "
    "a choice that somebody makes on purpose.",
    place="Raise a ValueError if `temperature <= 0`.",
    shows=[("filter_refuses_cold", "differ")],
)
def cold_accepted(temperature):
    pass


@also("cold_accepted", "refuse")
def negative_temperature_accepted(temperature):
    if temperature == 0:
        raise ValueError(f"a temperature of {temperature} cannot divide")


@also("cold_accepted", "refuse")
def zero_temperature_accepted(temperature):
    if temperature < 0:
        raise ValueError(f"a temperature of {temperature} cannot divide")


@mistake(
    "refuse",
    credit=0.5,
    symptom="A temperature of 0 or less is refused, but not with a ValueError that names it.",
    cause="A caller who wants to react needs the type, and a reader needs the number. An assert disappears when "
    "Python runs with -O.",
    place='`raise ValueError(f"... {temperature} ...")`',
    shows=[("filter_refuses_cold", "differ"), ("filter_has_a_temperature", "right")],
)
def cold_refused_otherwise(temperature):
    assert temperature > 0, f"temperature {temperature}"


@also("cold_refused_otherwise", "refuse")
def cold_refused_without_its_number(temperature):
    if temperature <= 0:
        raise ValueError("the temperature must be positive")


# Top-k


@mistake(
    "below_top_k",
    symptom="One token too many or too few stays.",
    cause="The limit is the k-th largest logit, and it stays itself: remove what is *smaller*. With `<=` the k-th "
    "goes as well; the element at index k is already the one behind it.",
    place="Look at the index of the limit and at the comparison: `logits < logits.topk(k).values[..., -1:]`.",
)
def top_k_off_by_one(logits, top_k):
    return logits <= logits.topk(min(top_k, logits.shape[-1])).values[..., -1:]


@also("top_k_off_by_one", "below_top_k")
def top_k_keeps_one_more(logits, top_k):
    return logits < logits.topk(min(top_k + 1, logits.shape[-1])).values[..., -1:]


@also("top_k_off_by_one", "below_top_k")
def top_k_keeps_one_less(logits, top_k):
    return logits < logits.topk(max(1, min(top_k - 1, logits.shape[-1]))).values[..., -1:]


@mistake(
    "below_top_k",
    credit=0.5,
    symptom="Of several equal logits at the limit only some stay.",
    cause="The k indices that topk returns are kept. Which of several equals is among them is chance; by the "
    "contract, as in transformers, whatever equals the k-th largest stays.",
    place="Compare with the value of the k-th largest, and not with the indices.",
    shows=[("filter_keeps_equals", "differ"), ("filter_keeps_the_top_k", "right")],
)
def equals_of_the_kth_removed(logits, top_k):
    keep = torch.zeros_like(logits).scatter(-1, logits.topk(min(top_k, logits.shape[-1])).indices, 1.0)
    return keep == 0


@mistake(
    "below_top_k",
    credit=0.5,
    symptom="A top_k larger than the vocabulary is an error.",
    cause="topk refuses more elements than there are. Such a top_k asks for nothing: all tokens stay.",
    place="Take `min(top_k, logits.shape[-1])`.",
    shows=[("filter_with_a_large_top_k", "raise")],
)
def top_k_beyond_the_vocabulary(logits, top_k):
    return logits < logits.topk(top_k).values[..., -1:]


@mistake(
    "below_top_k",
    symptom="Some rows keep too many tokens and others too few.",
    cause="One limit is used for all rows: that of the whole tensor, or of one row. Every text has its own logits.",
    place="Take topk along the last axis and keep that axis: `.values[..., -1:]`.",
)
def one_limit_for_all_rows(logits, top_k):
    return logits < logits.flatten().topk(min(top_k, logits.numel())).values[-1]


@also("one_limit_for_all_rows", "below_top_k")
def limit_of_the_first_row(logits, top_k):
    limits = logits.topk(min(top_k, logits.shape[-1])).values[..., -1]
    return logits < limits.flatten()[0]


@mistake(
    "below_top_k",
    symptom="The likeliest tokens go and the unlikeliest stay.",
    cause="The comparison is the wrong way round, or the smallest logits were taken.",
    place="Remove what is smaller than the k-th largest.",
)
def top_k_keeps_the_smallest(logits, top_k):
    return logits > logits.topk(min(top_k, logits.shape[-1]), largest=False).values[..., -1:]


@mistake(
    "below_top_k",
    symptom="top_k changes nothing.",
    cause="The argument is not used, or what was computed from it is not used.",
    place="Follow the argument top_k through your code.",
    shows=[("filter_keeps_the_top_k", "zero", "*removed")],
)
def top_k_without_effect(logits, top_k):
    return torch.zeros_like(logits, dtype=torch.bool)


# Top-p


@mistake(
    "beyond_top_p",
    symptom="One token too many or too few stays under top_p; where the first token already reaches it, none may "
    "be left.",
    cause="The token that reaches top_p stays. So a token goes if those *before* it have top_p together, not if "
    "they have it together with itself, and not one place later.",
    place="Compare `cumsum - probability` with top_p, or shift what is to go by one place.",
)
def top_p_off_by_one(probabilities, top_p):
    return (probabilities.cumsum(dim=-1) >= top_p) & (top_p < 1)


@also("top_p_off_by_one", "beyond_top_p")
def top_p_off_by_one_strictly(probabilities, top_p):
    return probabilities.cumsum(dim=-1) > top_p


@also("top_p_off_by_one", "beyond_top_p")
def top_p_off_by_one_but_the_first(probabilities, top_p):
    remove = (probabilities.cumsum(dim=-1) > top_p) & (top_p < 1)
    remove[..., 0] = False
    return remove


@also("top_p_off_by_one", "beyond_top_p")
def top_p_keeps_one_more(probabilities, top_p):
    remove = (probabilities.cumsum(dim=-1) > top_p) & (top_p < 1)
    return F.pad(remove, (2, 0))[..., :-2]


@mistake(
    "beyond_top_p",
    credit=0.5,
    symptom="With top_p 1.0 unlikely tokens go when another is almost certain.",
    cause="Probabilities are rounded. As soon as the first ones add up to 1 in float32, all others seem to lie "
    "beyond the limit. top_p=1.0 asks for nothing, and has to keep all.",
    place="Skip this step if top_p is 1.",
)
def rounding_at_top_p_1(probabilities, top_p):
    return probabilities.cumsum(dim=-1) - probabilities >= top_p


@mistake(
    "beyond_top_p",
    credit=0.5,
    symptom="With a tiny top_p no token is left, not even the likeliest.",
    cause="The probabilities are added up from the unlikely end and compared with 1 - top_p. If top_p is tiny, "
    "1 - top_p is 1 in float32, and the sum of all of them is no larger.",
    place="Let the likeliest token stay in any case: `remove[..., -1] = False` where it stands last.",
    shows=[("filter_leaves_one_token", "NaN", "*probabilities")],
)
def likeliest_not_kept(probabilities, top_p):
    from_the_end = probabilities.flip(-1).cumsum(dim=-1).flip(-1)
    return (from_the_end <= 1 - top_p) & (top_p < 1)


@also("likeliest_not_kept", "filter_logits")
def likeliest_not_kept_in_ascending_order(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature <= 0:
        raise ValueError(f"temperature {temperature}")
    logits = logits / temperature
    if top_k is not None:
        logits = logits.masked_fill(logits < logits.topk(min(top_k, logits.shape[-1])).values[..., -1:], -math.inf)
    if top_p is not None and top_p < 1.0:
        ordered, order = logits.sort(dim=-1)
        remove = ordered.softmax(dim=-1).cumsum(dim=-1) <= 1 - top_p
        logits = logits.masked_fill(remove.scatter(-1, order, remove), -math.inf)
    return logits


@mistake(
    "sort",
    symptom="The unlikeliest tokens stay, and the likeliest go.",
    cause="The probabilities are added up from the unlikely end, as if they were sorted the other way.",
    place="Sort in descending order.",
)
def top_p_from_the_unlikely_end(logits):
    return logits.sort(dim=-1)


@mistake(
    "put_back",
    symptom="The wrong tokens are removed, though as many as there should be.",
    cause="Who goes is known in sorted order, and is applied to the vocabulary's order. Place i of the sorted row "
    "belongs to token order[i], so the answer has to be written there: scatter, and not gather.",
    place="`remove.scatter(-1, order, remove)`",
)
def sorted_order_not_undone(remove, order):
    return remove


@also("sorted_order_not_undone", "put_back")
def gather_instead_of_scatter(remove, order):
    return remove.gather(-1, order)


@mistake(
    "put_back",
    symptom="One row alone is filtered rightly. With several rows, each loses what any of them loses, whole rows go, or "
    "an error is raised.",
    cause="The places of what goes were taken out of all rows together, as `order[remove]`, so that nothing says from which "
    "row each came. Code that was made for one row of logits runs on, and removes from all.",
    place="Bring the answer back row by row: `remove.scatter(-1, order, remove)`.",
    shows=[("filter_keeps_the_top_p", "differ"), ("filter_takes_leading_axes", "right", "1 axes:*")],
)
def removed_from_all_rows(remove, order):
    gone = torch.zeros(order.shape[-1], dtype=torch.bool)
    gone[order[remove]] = True
    return gone.expand_as(remove)


@also("removed_from_all_rows", "put_back")
def whole_rows_removed(remove, order):
    gone = torch.zeros_like(remove)
    gone[order[remove]] = True
    return gone


@mistake(
    "put_back",
    symptom="All rows keep as many tokens as the first one, or as the one that keeps the most.",
    cause="How many tokens stay is found out once for the whole batch. A row that is sure needs fewer tokens to reach top_p "
    "than one that is not.",
    place="Decide in each row by its own sums: a comparison gives one answer per row and place.",
    shows=[("filter_keeps_the_top_p", "right"), ("filter_treats_each_row", "differ")],
)
def as_many_from_each_row(remove, order):
    remove = remove.flatten(0, -2)[0].expand_as(remove) if remove.dim() > 1 else remove
    return remove.scatter(-1, order, remove)


@also("as_many_from_each_row", "put_back")
def as_many_from_each_row_as_of_the_least_sure(remove, order):
    remove = remove.flatten(0, -2).all(dim=0).expand_as(remove) if remove.dim() > 1 else remove
    return remove.scatter(-1, order, remove)


@mistake(
    "shown_to_top_p",
    symptom="With top_k and top_p together too many tokens stay.",
    cause="top_p looks at probabilities from before top_k. The order is top-k first, and top-p on what is left: "
    "the tokens that stay share all of the probability.",
    place="Give the result of top_k to top_p.",
)
def top_p_before_top_k(cooled, filtered):
    return cooled


@mistake(
    "shares",
    symptom="Nothing useful is added up: logits stand where probabilities should.",
    cause="The cumulative sum runs over logits. They may be negative and do not add up to 1; top_p is a "
    "probability, so a softmax comes first.",
    place="Take the softmax of the sorted logits before cumsum.",
)
def logits_added_up(ordered):
    return ordered


@mistake(
    "shares",
    symptom="The probabilities of one row depend on the other rows.",
    cause="The softmax runs over the batch. The probabilities of one text add up to 1 over the vocabulary, the "
    "last axis.",
    place="Give the softmax `dim=-1`.",
)
def softmax_over_the_batch(ordered):
    return ordered.softmax(dim=0)


@mistake(
    "beyond_top_p",
    symptom="top_p changes nothing.",
    cause="The argument is not used, or what was computed from it is not used.",
    place="Follow the argument top_p through your code.",
    shows=[("filter_keeps_the_top_p", "zero", "*removed")],
)
def top_p_without_effect(probabilities, top_p):
    return torch.zeros_like(probabilities, dtype=torch.bool)


@mistake(
    "beyond_top_p",
    symptom="Every token less likely than top_p goes.",
    cause="Each probability is compared with top_p by itself. top_p limits what the tokens that stay have *together*.",
    place="Add the probabilities up with cumsum, from the likeliest down.",
)
def each_probability_compared(probabilities, top_p):
    return probabilities < top_p


# What a removed token gets


@mistake(
    "fill",
    symptom="What is removed gets the logit 0 and can still be drawn.",
    cause="The softmax makes exp(0) = 1 of a logit of 0, which may be more than others have. A token that is not "
    "to be drawn needs exp(logit) = 0.",
    place="Fill with -math.inf.",
    shows=[("filter_keeps_the_top_k", "zero", "*removed")],
)
def removed_logits_set_to_zero(logits, remove):
    return logits.masked_fill(remove, 0.0)


@also("removed_logits_set_to_zero", "fill")
def removed_logits_multiplied_by_zero(logits, remove):
    return logits * ~remove


@mistake(
    "fill",
    credit=0.5,
    symptom="What is removed has a large negative logit in place of -inf.",
    cause="A finite fill works as long as all other logits are far above it. Minus infinity works always, and "
    "others can recognise by it what was removed.",
    place="Fill with -math.inf.",
    shows=[("filter_keeps_the_top_k", "zero", "*removed")],
)
def finite_fill(logits, remove):
    return logits.masked_fill(remove, -1e9)


@also("finite_fill", "fill")
def small_finite_fill(logits, remove):
    return logits.masked_fill(remove, -1e4)


@also("finite_fill", "fill")
def smallest_number_fill(logits, remove):
    return logits.masked_fill(remove, torch.finfo(logits.dtype).min)


@mistake(
    "hand_over",
    symptom="Probabilities come back where logits are expected.",
    cause="A softmax was applied at the end. Whoever draws applies it, and a second softmax would nearly level "
    "the probabilities.",
    place="Return the filtered logits.",
)
def probabilities_returned(logits):
    return logits.softmax(dim=-1)


@mistake(
    "hand_over",
    symptom="The logits come back sorted.",
    cause="Place i of a row no longer belongs to token i, so another token would be drawn.",
    place="Return the logits in the order in which they came; only what is removed changes.",
)
def sorted_logits_returned(logits):
    return logits.sort(dim=-1, descending=True).values


@also("sorted_logits_returned", "filter_logits")
def sorted_logits_returned_by_top_p(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature <= 0:
        raise ValueError(f"temperature {temperature} is not positive")
    logits = logits / temperature
    if top_k is not None:
        smallest = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < smallest, -math.inf)
    if top_p is not None:
        logits = logits.sort(dim=-1, descending=True).values
        probabilities = logits.softmax(dim=-1)
        before = probabilities.cumsum(dim=-1) - probabilities
        logits = logits.masked_fill((before >= top_p) & (top_p < 1), -math.inf)
    return logits


@also("sorted_logits_returned", "filter_logits")
def sorted_logits_returned_by_top_p_and_rounding(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature <= 0:
        raise ValueError(f"temperature {temperature} is not positive")
    logits = logits / temperature
    if top_k is not None:
        smallest = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < smallest, -math.inf)
    if top_p is not None:
        logits = logits.sort(dim=-1, descending=True).values
        probabilities = logits.softmax(dim=-1)
        logits = logits.masked_fill(probabilities.cumsum(dim=-1) - probabilities >= top_p, -math.inf)
    return logits


# generate, the right way


@step
def quiet(model):
    model.eval()


@step
def recording():
    return torch.no_grad()


@step
def count(tokens, max_new_tokens):
    return range(max_new_tokens)


@step
def crop(tokens, max_len):
    """last max_len tokens"""
    return tokens[:, -max_len:]


@step
def last(logits):
    """logits of the last token"""
    return logits[:, -1]


@step
def best(logits, temperature, top_k, top_p):
    return logits.argmax(dim=-1, keepdim=True)


@step
def chances(logits, temperature, top_k, top_p):
    """probabilities"""
    return parts.filter_logits(logits, temperature, top_k, top_p).softmax(dim=-1)


@step
def draw(probabilities, generator):
    """drawn tokens"""
    return torch.multinomial(probabilities, num_samples=1, generator=generator)


@step
def samples(sample):
    return sample


@step
def append(tokens, chosen):
    """text so far"""
    return torch.cat([tokens, chosen], dim=1)


@step
def finish(tokens, given, max_len):
    return tokens


WRITING = ("quiet", "recording", "count", "crop", "last", "best", "chances", "draw", "samples", "append", "finish")


@component(*WRITING)
def generate(
    step, model, tokens, max_new_tokens, sample=False, temperature=1.0, top_k=None, top_p=None, generator=None
):
    step.quiet(model)
    given = tokens
    with step.recording():
        for _ in step.count(tokens, max_new_tokens):
            logits = step.last(model(step.crop(tokens, model.max_len))[0])
            if step.samples(sample):
                chosen = step.draw(step.chances(logits, temperature, top_k, top_p), generator)
            else:
                chosen = step.best(logits, temperature, top_k, top_p)
            tokens = step.append(tokens, chosen)
    return step.finish(tokens, given, model.max_len)


# generate_with_cache, the right way


@step
def start(layers):
    return [None] * layers


@step
def known(caches, index):
    return caches[index]


@step
def keep(caches, index, pair):
    caches[index] = pair


@step
def stale(tokens, max_len):
    return tokens.shape[1] > max_len


@step
def embed_new(model, context, cached):
    """embedding of the new tokens"""
    return model.embedding(context)[:, cached:]


@step
def view(queries, keys):
    """mask"""
    return causal_mask(queries, keys)


@step
def ready(layer, x):
    """norm1"""
    return layer.norm1(x)


@step
def project(attention, x, num_heads):
    """query; key; value"""
    return [split_heads(layer(x), num_heads) for layer in (attention.q_proj, attention.k_proj, attention.v_proj)]


@step
def join(old, new, max_len):
    return torch.cat([old, new], dim=2)


@step
def attend(attention, query, key, value, mask):
    """attention"""
    return attention.out_proj(merge_heads(F.scaled_dot_product_attention(query, key, value, mask)))


@step
def add_attended(layer, x, attended):
    """sum after the attention"""
    return x + attended


@step
def add_fed(layer, x):
    """sum after the feed-forward"""
    return x + layer.feed_forward(layer.norm3(x))


@step
def close(model, x):
    """logits"""
    return model.head(model.decoder.final_norm(x))


@component(
    "quiet",
    "count",
    "last",
    "best",
    "chances",
    "draw",
    "samples",
    "append",
    "start",
    "known",
    "keep",
    "stale",
    "embed_new",
    "view",
    "ready",
    "project",
    "join",
    "attend",
    "add_attended",
    "add_fed",
    "close",
)
def generate_with_cache(
    step, model, tokens, max_new_tokens, sample=False, temperature=1.0, top_k=None, top_p=None, generator=None
):
    step.quiet(model)
    layers = model.decoder.layers
    with torch.no_grad():
        caches, cached = step.start(len(layers)), 0
        for _ in step.count(tokens, max_new_tokens):
            context = tokens[:, -model.max_len :]
            if step.stale(tokens, model.max_len):
                caches, cached = step.start(len(layers)), 0
            x = step.embed_new(model, context, cached)
            visible = None
            for index, layer in enumerate(layers):
                query, key, value = step.project(layer.self_attention, step.ready(layer, x), model.num_heads)
                old = step.known(caches, index)
                if old is not None:
                    key, value = (step.join(*pair, model.max_len) for pair in zip(old, (key, value), strict=True))
                step.keep(caches, index, (key, value))
                visible = step.view(query.shape[2], key.shape[2])
                x = step.add_attended(layer, x, step.attend(layer.self_attention, query, key, value, visible))
                x = step.add_fed(layer, x)
            cached = context.shape[1]
            logits = step.last(step.close(model, x))
            if step.samples(sample):
                chosen = step.draw(step.chances(logits, temperature, top_k, top_p), generator)
            else:
                chosen = step.best(logits, temperature, top_k, top_p)
            tokens = step.append(tokens, chosen)
    return tokens


# Writing, with and without a cache


@mistake(
    "quiet",
    symptom="The model is called in training mode, and dropout disturbs the text.",
    cause="A model is in training mode until somebody says otherwise. In this mode dropout takes a part of the "
    "numbers at random, so the model answers worse than it could.",
    place="Call `model.eval()` before the loop.",
)
def model_left_in_training_mode(model):
    pass


@also("model_left_in_training_mode", "quiet")
def model_put_into_training_mode(model):
    model.train()


@mistake(
    "last",
    symptom="The appended tokens do not follow the last token: another position's answer was taken.",
    cause="The logits have a row for every position. Only the last one says what comes next; the others predict "
    "tokens that are already there.",
    place="Take `logits[:, -1]`.",
)
def not_the_last_position(logits):
    return logits[:, 0]


@also("not_the_last_position", "last")
def last_position_but_one(logits):
    return logits[:, -2 if logits.shape[1] > 1 else -1]


@also("not_the_last_position", "last")
def mean_of_all_positions(logits):
    return logits.mean(dim=1)


@mistake(
    "best",
    symptom="All texts of the batch get the same token.",
    cause="One token is chosen for the whole batch: the argmax runs over everything, or only the first text is "
    "looked at. Every text has its own row of logits.",
    place="Take the argmax over the last axis, and keep the batch.",
)
def one_token_for_the_whole_batch(logits, temperature, top_k, top_p):
    return logits[:1].argmax(dim=-1, keepdim=True).expand(len(logits), 1)


@also("one_token_for_the_whole_batch", "best")
def argmax_of_everything(logits, temperature, top_k, top_p):
    return (logits.argmax() % logits.shape[-1]).expand(len(logits), 1)


@mistake(
    "best",
    symptom="The least likely token is appended.",
    cause="The smallest logit was taken, or a sort was read from the wrong end.",
    place="Use argmax.",
)
def smallest_logit(logits, temperature, top_k, top_p):
    return logits.argmin(dim=-1, keepdim=True)


@mistake(
    "count",
    symptom="One token too many or too few is appended.",
    cause="Every step of the loop appends one token, so there are max_new_tokens steps.",
    place="Look at the bounds of your loop.",
    shows=[("text_is_greedy", "another shape", "*shape of text")],
)
def one_step_off(tokens, max_new_tokens):
    return range(max_new_tokens - 1)


@also("one_step_off", "count")
def one_step_more(tokens, max_new_tokens):
    return range(max_new_tokens + 1)


@mistake(
    "count",
    symptom="The text has max_new_tokens tokens in all.",
    cause="max_new_tokens was taken for the length of the result. It says how many are *added* to those given.",
    place="Repeat max_new_tokens times, however long the given text is.",
)
def max_new_tokens_taken_for_the_length(tokens, max_new_tokens):
    return range(max_new_tokens - tokens.shape[1])


@mistake(
    "samples",
    symptom="Nothing is drawn: texts that begin alike all go on alike, even where sample is True.",
    cause="The likeliest token is taken in any case: the argument sample is not used, or an argmax stands behind "
    "the filters. With sample=True one of the tokens that the filters leave is drawn.",
    place="Follow the argument `sample` through your code, and draw with torch.multinomial.",
)
def nothing_drawn(sample):
    return False


@also("nothing_drawn", "draw")
def likeliest_taken_after_the_filters(probabilities, generator):
    return probabilities.argmax(dim=-1, keepdim=True)


@mistake(
    "samples",
    symptom="The text is drawn where it should be greedy, and greedy where it should be drawn.",
    cause="The two branches are exchanged. sample=True asks for a draw, False for the likeliest token.",
    place="Look at the `if` that reads sample.",
    only="generate",
)
def sample_inverted(sample):
    return not sample


@mistake(
    "best",
    credit=0.5,
    symptom="Greedy text fails if the temperature is 0, though it is not used there.",
    cause="The filters are called for greedy text as well, and refuse a temperature of 0. People set it to 0 to say that "
    "nothing shall be drawn; with sample=False the arguments behind it do not matter.",
    place="Call filter_logits only where sample is True.",
    shows=[
        ("greedy_text_needs_no_temperature", "is raised ValueError"),
        ("cached_greedy_text_needs_no_temperature", "is raised ValueError"),
    ],
)
def filters_asked_for_greedy_text(logits, temperature, top_k, top_p):
    return parts.filter_logits(logits, temperature, top_k, top_p).argmax(dim=-1, keepdim=True)


@mistake(
    "append",
    symptom="New tokens stand in front of the text.",
    cause="A text grows at its end. What the model reads next must end with the token that was chosen last.",
    place="Put the old tokens first: `torch.cat([tokens, chosen], dim=1)`.",
)
def new_tokens_in_front(tokens, chosen):
    return torch.cat([chosen, tokens], dim=1)


@mistake(
    "append",
    symptom="The chosen token does not fit behind the text, or comes to stand under it as a text of its own.",
    cause="tokens are [batch, time] and grow along the axis of time, axis 1. The chosen tokens need an axis of "
    "length 1 there.",
    place="`torch.cat([tokens, chosen], dim=1)` with chosen [batch, 1], from `keepdim=True` or `[:, None]`.",
)
def appended_along_the_batch(tokens, chosen):
    return torch.cat([tokens, chosen], dim=0)


@also("appended_along_the_batch", "append")
def appended_without_its_axis(tokens, chosen):
    return torch.cat([tokens, chosen.squeeze(1)], dim=1)


# Writing without a cache


@mistake(
    "recording",
    credit=0.5,
    symptom="Gradients are recorded while text is written.",
    cause="No gradient is ever asked for, but autograd keeps what it would need for one. Memory and time grow with "
    "every step for nothing.",
    place="Write `with torch.no_grad():` around the loop, or `@torch.no_grad()` above the function.",
    shows=[("text_without_dropout_and_gradients", "differ", "gradients recorded")],
)
def gradients_recorded():
    return torch.enable_grad()


@mistake(
    "crop",
    symptom="The model is given more than max_len tokens, and refuses them.",
    cause="The context is not cut. A model with learned positions has no vector for a place beyond max_len, so a "
    "longer text has to be shown to it by its end.",
    place="Give the model `tokens[:, -model.max_len:]`.",
)
def context_not_cropped(tokens, max_len):
    return tokens


@also("context_not_cropped", "crop")
def context_cropped_one_too_long(tokens, max_len):
    return tokens[:, -max_len - 1 :]


@mistake(
    "crop",
    symptom="Once the text is longer than max_len, the same token follows again and again.",
    cause="The context is cut at the wrong end: the model always sees the beginning of the text, and never what "
    "it has written itself.",
    place="Take the last tokens, `tokens[:, -model.max_len:]`.",
)
def context_cropped_at_the_wrong_end(tokens, max_len):
    return tokens[:, :max_len]


@mistake(
    "crop",
    symptom="The model sees less of the text than it could.",
    cause="The context is shorter than max_len: cut by one token too many, or to the last token alone. What is "
    "not shown to the model cannot have an influence.",
    place="Give the model the last max_len tokens.",
)
def context_too_short(tokens, max_len):
    return tokens[:, -1:]


@also("context_too_short", "crop")
def context_one_too_short(tokens, max_len):
    return tokens[:, -(max_len - 1) :]


@also("context_too_short", "crop")
def context_emptied_when_full(tokens, max_len):
    return tokens if tokens.shape[1] <= max_len else tokens[:, -1:]


@mistake(
    "finish",
    symptom="The beginning of the text is missing.",
    cause="The given tokens are part of the result, all of them. Cutting the context must not cut the text: the "
    "model's input and the text are two things.",
    place="Return the whole text; keep the cropped context under a name of its own.",
)
def beginning_lost(tokens, given, max_len):
    return tokens[:, given.shape[1] :]


@also("beginning_lost", "finish")
def only_the_context_returned(tokens, given, max_len):
    return tokens[:, -max_len:]


@also("beginning_lost", "finish")
def text_cropped_before_the_loop(tokens, given, max_len):
    return tokens[:, max(given.shape[1] - max_len, 0) :]


@also("beginning_lost", "finish")
def text_cropped_in_each_step(tokens, given, max_len):
    return tokens[:, -(max_len + 1) :]


@mistake(
    "chances",
    symptom="Tokens are drawn that the filters should have removed.",
    cause="temperature, top_k or top_p do not reach filter_logits, or its result is not used.",
    place="Draw from the softmax of `filter_logits(logits, temperature, top_k, top_p)`.",
    only="generate",
)
def filters_not_applied(logits, temperature, top_k, top_p):
    return logits.softmax(dim=-1)


@also("filters_not_applied", "chances", only="generate")
def only_the_temperature_applied(logits, temperature, top_k, top_p):
    return (logits / temperature).softmax(dim=-1)


@also("filters_not_applied", "chances", only="generate")
def temperature_not_passed_on(logits, temperature, top_k, top_p):
    return parts.filter_logits(logits, 1.0, top_k, top_p).softmax(dim=-1)


@also("filters_not_applied", "chances", only="generate")
def top_p_not_passed_on(logits, temperature, top_k, top_p):
    return parts.filter_logits(logits, temperature, top_k, None).softmax(dim=-1)


@also("filters_not_applied", "chances", only="generate")
def top_k_not_passed_on(logits, temperature, top_k, top_p):
    return parts.filter_logits(logits, temperature, None, top_p).softmax(dim=-1)


@also("temperature_twice", "chances", only="generate")
def temperature_before_the_filters_too(logits, temperature, top_k, top_p):
    return parts.filter_logits(logits / temperature, temperature, top_k, top_p).softmax(dim=-1)


@also("temperature_twice", "chances", only="generate")
def temperature_behind_the_filters_too(logits, temperature, top_k, top_p):
    return (parts.filter_logits(logits, temperature, top_k, top_p) / temperature).softmax(dim=-1)


@mistake(
    "chances",
    symptom="torch.multinomial refuses what it is given.",
    cause="It was given logits. It wants probabilities, or other numbers that are not negative, in proportion to "
    "which it draws.",
    place="Put a softmax between filter_logits and torch.multinomial.",
    only="generate",
)
def logits_given_to_multinomial(logits, temperature, top_k, top_p):
    return parts.filter_logits(logits, temperature, top_k, top_p)


@also("logits_given_to_multinomial", "chances", only="generate")
def log_probabilities_given_to_multinomial(logits, temperature, top_k, top_p):
    return parts.filter_logits(logits, temperature, top_k, top_p).log_softmax(dim=-1)


@mistake(
    "chances",
    symptom="The filters see probabilities: they keep too many tokens, and the draws are too even.",
    cause="A softmax comes before filter_logits, which takes logits. Probabilities lie between 0 and 1, so the "
    "softmax that follows makes them nearly equal.",
    place="Give filter_logits the logits of the model.",
    only="generate",
)
def probabilities_filtered(logits, temperature, top_k, top_p):
    return parts.filter_logits(logits.softmax(dim=-1), temperature, top_k, top_p).softmax(dim=-1)


@mistake(
    "draw",
    credit=0.5,
    symptom="The same generator gives another text each time.",
    cause="The generator is not passed on, so the global one draws. Nobody can then repeat a text.",
    place="Give `generator=generator` to torch.multinomial.",
    only="generate",
    shows=[("text_is_drawn_with_the_generator", "is no", "*the same generator gives the same text")],
)
def generator_ignored(probabilities, generator):
    return torch.multinomial(probabilities, num_samples=1)


@also("generator_ignored", "draw", only="generate")
def categorical_without_a_generator(probabilities, generator):
    return torch.distributions.Categorical(probabilities).sample()[:, None]


@mistake(
    "draw",
    credit=0.5,
    symptom="The draws are fair, but they are not those of torch.multinomial with this generator.",
    cause="There are many right ways to draw, and each uses the random numbers differently. To write what "
    "transformers writes with the same generator, one call of torch.multinomial per step has to draw for "
    "the whole batch.",
    place="Draw with `torch.multinomial(probabilities, num_samples=1, generator=generator)`.",
    only="generate",
)
def drawn_in_another_way(probabilities, generator):
    noise = torch.rand(probabilities.shape, generator=generator)
    return (probabilities.log() - (-noise.log()).log()).argmax(dim=-1, keepdim=True)


@also("drawn_in_another_way", "draw", only="generate")
def drawn_by_the_cumulative_sum(probabilities, generator):
    mark = torch.rand(len(probabilities), 1, generator=generator)
    return (probabilities.cumsum(dim=-1) < mark).sum(dim=-1, keepdim=True).clamp(max=probabilities.shape[-1] - 1)


@mistake(
    "draw",
    symptom="All texts of a batch get the same drawn token.",
    cause="One draw is made for the whole batch. Every text is drawn for by itself.",
    place="Give torch.multinomial all rows, [batch, vocab_size]; it draws one token for each.",
    only="generate",
)
def one_draw_for_the_whole_batch(probabilities, generator):
    return torch.multinomial(probabilities[0], num_samples=1, generator=generator).expand(len(probabilities), 1)


# The cache


@mistake(
    "embed_new",
    symptom="Right at the first new token, then wrong: every later token is embedded at position 0.",
    cause="The embedding counts positions from 0 in whatever it is given. Given the new token alone, it puts it "
    "at the beginning of the text.",
    place="Embed the whole context and cut off what is cached: `model.embedding(context)[:, cached:]`.",
)
def cache_positions_restart(model, context, cached):
    return model.embedding(context[:, cached:])


@mistake(
    "embed_new",
    symptom="New tokens get a neighbour's position.",
    cause="The position is off by one. The first new token stands behind `cached` tokens, and positions are "
    "counted from 0, so its position is `cached`.",
    place="Look at the number by which positions are moved.",
)
def cache_positions_off_by_one(model, context, cached):
    if not cached:
        return model.embedding(context)
    table = model.embedding.position.weight
    return model.embedding.dropout(
        model.embedding.token(context[:, cached:]) + table[cached - 1 : context.shape[1] - 1]
    )


@mistake(
    "view",
    symptom="Right for the given text, then wrong: a new token sees the first token only.",
    cause="The mask has no offset. With fewer queries than keys the queries are the last positions; a triangle "
    "that begins at the top left treats them as the first.",
    place="Use `causal_mask(queries, keys)` with both sizes.",
)
def mask_without_offset(queries, keys):
    return torch.ones(queries, keys, dtype=torch.bool).tril()


@mistake(
    "view",
    symptom="The first new token is already wrong: tokens of the given text have seen those behind them.",
    cause="There is no mask. A single new token may see everything, but the given text is read in one go, and "
    "there each token may see only what came before it.",
    place="Give the attention `causal_mask(queries, keys)`.",
)
def no_mask_with_a_cache(queries, keys):
    return None


@mistake(
    "embed_new",
    symptom="Tokens stand in the cache several times: the whole text is put in again in every step.",
    cause="All tokens go through the layers in each step, and their keys are appended to those that are already "
    "there. Only what is not yet in the cache may go through.",
    place="Leave out the first `cached` positions of the context.",
)
def context_cached_again(model, context, cached):
    return model.embedding(context)


@mistake(
    credit=0.5,
    symptom="The text is right, but tokens pass through the layers again and again.",
    cause="Nothing is kept, or not the keys and values: they are computed anew from all tokens in each step. The "
    "text shows no difference; time and energy do.",
    place="Keep key and value of each layer, after the projections, and compute those of new tokens only.",
    shows=[("cached_text_is_the_same", "right"), ("cached_keys_are_kept", "is some again")],
)
class keys_computed_again:
    @staticmethod
    def stale(tokens, max_len):
        return True


@also("keys_computed_again", "generate_with_cache")
def generate_called_instead(model, tokens, max_new_tokens, sample, temperature, top_k, top_p, generator):
    model.eval()
    with torch.no_grad():
        for _ in range(max_new_tokens):
            logits = model(tokens[:, -model.max_len :])[0][:, -1]
            if sample:
                probabilities = parts.filter_logits(logits, temperature, top_k, top_p).softmax(dim=-1)
                chosen = torch.multinomial(probabilities, num_samples=1, generator=generator)
            else:
                chosen = logits.argmax(dim=-1, keepdim=True)
            tokens = torch.cat([tokens, chosen], dim=1)
    return tokens


@mistake(
    "keep",
    symptom="New tokens see only themselves and the token before them, or the given text without what was written.",
    cause="The cache is not carried on: it is replaced by the newest key and value, or stays what it was after "
    "the given text. It has to grow by one token in each step.",
    place="Store the joined key and value, old and new, in every step.",
)
def cache_not_carried_on(caches, index, pair):
    new = 1 if caches[index] is not None else pair[0].shape[2]
    caches[index] = pair[0][:, :, -new:], pair[1][:, :, -new:]


@also("cache_not_carried_on", "keep")
def cache_stays_after_the_given_text(caches, index, pair):
    if caches[index] is None:
        caches[index] = pair


@also("cache_not_carried_on", "known")
def cache_never_read(caches, index):
    return None


@mistake(
    symptom="Layers read each other's keys and values.",
    cause="There is one cache for all layers. Every layer has its own projections, so it needs a cache of its own.",
    place="Keep one pair of key and value per layer. (`[[]] * layers` is one list under several names.)",
)
class one_cache_for_all_layers:
    @staticmethod
    def known(caches, index):
        return caches[0]

    @staticmethod
    def keep(caches, index, pair):
        caches[0] = pair


@mistake(
    "join",
    symptom="Old and new keys do not fit together, or are joined along the wrong axis.",
    cause="With heads the axis of time is the third: [batch, heads, time, head_dim]. The cache grows along it.",
    place="Give torch.cat `dim=2` (or `dim=-2`).",
)
def joined_along_another_axis(old, new, max_len):
    return torch.cat([old, new], dim=1)


@also("joined_along_another_axis", "join")
def joined_along_the_features(old, new, max_len):
    return torch.cat([old, new], dim=-1)


@also("joined_along_another_axis", "join")
def joined_along_the_batch(old, new, max_len):
    return torch.cat([old, new], dim=0)


@mistake(
    "stale",
    symptom="Right as long as the text fits into max_len, then an error or another text.",
    cause="The cache is kept when the context slides. Every token then has another position, so its vector, and "
    "with it all keys and values in all layers, has changed. Dropping the oldest key is not enough.",
    place="Throw the cache away as soon as the text is longer than max_len, and compute the context anew.",
)
def cache_kept_when_the_context_slides(tokens, max_len):
    return False


@also("cache_kept_when_the_context_slides")
class last_token_alone_when_the_context_slides:
    @staticmethod
    def stale(tokens, max_len):
        return False

    @staticmethod
    def embed_new(model, context, cached):
        return model.embedding(context)[:, -1:] if cached else model.embedding(context)


@also("cache_kept_when_the_context_slides")
class oldest_key_dropped:
    @staticmethod
    def stale(tokens, max_len):
        return False

    @staticmethod
    def embed_new(model, context, cached):
        return model.embedding(context)[:, min(cached, model.max_len - 1) :]

    @staticmethod
    def join(old, new, max_len):
        return torch.cat([old, new], dim=2)[:, :, -max_len:]


@mistake(
    "project",
    symptom="The heads are mixed up: key and value are cached before they are split, or split another way.",
    cause="split_heads moves the heads in front of the time. A plain view cuts the features of neighbouring "
    "positions together.",
    place="Use split_heads from workbench.parts for query, key and value.",
)
def heads_split_by_view(attention, x, num_heads):
    batch, time, _ = x.shape
    return [
        layer(x).reshape(batch, num_heads, time, -1) for layer in (attention.q_proj, attention.k_proj, attention.v_proj)
    ]


@mistake(
    "project",
    symptom="The model is read as if it had a single head.",
    cause="The heads were not split. Each head has its own weights; one softmax over all features is another "
    "attention.",
    place="Use split_heads with model.num_heads.",
)
def one_head_only(attention, x, num_heads):
    return [split_heads(layer(x), 1) for layer in (attention.q_proj, attention.k_proj, attention.v_proj)]


@mistake(
    "attend",
    symptom="Already the first new token is another: the attention's output projection is missing.",
    cause="The joined heads go through out_proj before they are added. Without it the layer is another function.",
    place="Apply `attention.out_proj` to the merged heads.",
)
def output_projection_missing(attention, query, key, value, mask):
    return merge_heads(F.scaled_dot_product_attention(query, key, value, mask))


@mistake(
    "ready",
    symptom="Already the first new token is another: attention gets what another norm gives, or none.",
    cause="The layers are pre-norm: query, key and value are projections of the normalised vectors. The sum that "
    "runs along the residual path stays as it is.",
    place="Project `layer.norm1(x)`, and add the result to `x`.",
)
def attention_without_its_norm(layer, x):
    return x


@also("attention_without_its_norm", "ready")
def attention_with_another_norm(layer, x):
    return layer.norm3(x)


@mistake(
    "add_fed",
    symptom="Already the first new token is another: the feed-forward network gets what another norm gives, or none.",
    cause="Each sublayer has a norm of its own, and weights that belong to it. norm1 is that of self_attention; that of "
    "the feed-forward network is norm3.",
    place="`x = x + layer.feed_forward(layer.norm3(x))`",
)
def feed_forward_with_another_norm(layer, x):
    return x + layer.feed_forward(layer.norm1(x))


@also("feed_forward_with_another_norm", "add_fed")
def feed_forward_without_a_norm(layer, x):
    return x + layer.feed_forward(x)


@mistake(
    "add_fed",
    symptom="It fails, because it asks a layer for norm2, which the layers of a language model do not have.",
    cause="norm2 belongs to cross-attention, and without an encoder there is neither. The norms that are there keep their "
    "names: norm1 for self_attention, norm3 for feed_forward.",
    place="`x = x + layer.feed_forward(layer.norm3(x))`",
    shows=[("cached_text_is_the_same", "raise")],
)
def second_norm_asked_for(layer, x):
    return x + layer.feed_forward(layer.norm2(x))


@mistake(
    "add_attended",
    symptom="Already the first new token is another: a residual path is missing.",
    cause="Each sublayer's output is added to its input. If it takes the input's place, everything that the layer "
    "before knew has to pass through attention.",
    place="`x = x + attended`, and the same for the feed-forward network.",
)
def residual_missing_with_a_cache(layer, x, attended):
    return attended


@also("residual_missing_with_a_cache", "add_fed")
def second_residual_missing_with_a_cache(layer, x):
    return layer.feed_forward(layer.norm3(x))


@mistake(
    "close",
    symptom="Already the first new token is another: the final norm is missing.",
    cause="In a pre-norm decoder the sum of all sublayers reaches the end without a norm, so one more follows "
    "after the last layer.",
    place="Apply `model.decoder.final_norm` before the head.",
)
def final_norm_missing(model, x):
    return model.head(x)


# Find the bug


@component()
def language_model_bug_input(step):
    return torch.tensor([[2.0, -3.0, 1.0]]), torch.tensor([[1]])


@mistake(
    "language_model_bug_input",
    symptom="On your input the broken penalty is right: no written token gets a larger logit.",
    cause="No logit is negative. Divided by 1.2, a positive number becomes smaller, as it should.",
    place="For which numbers does division by 1.2 *not* give something smaller?",
)
def positive_logits_only():
    return torch.tensor([[2.0, 3.0, 1.0]]), torch.tensor([[1, 1, 2]])


@mistake(
    "language_model_bug_input",
    symptom="On your input the broken penalty is right: no written token gets a larger logit.",
    cause="There are negative logits, but only of tokens that are not in the text. The penalty leaves them alone.",
    place="Let a token with a negative logit stand in `tokens`.",
)
def negative_where_nothing_was_written():
    return torch.tensor([[2.0, -3.0, 1.0]]), torch.tensor([[0, 2]])


@also("negative_where_nothing_was_written", "language_model_bug_input")
def written_in_another_text_of_the_batch():
    return torch.tensor([[2.0, -3.0], [1.0, 1.0]]), torch.tensor([[0], [1]])


@mistake(
    "language_model_bug_input",
    symptom="On your input the broken penalty is right: no written token gets a larger logit.",
    cause="The logits of the written tokens are 0, and 0 divided by anything is 0. (Whether that is a penalty is a "
    "good question, but the logit is not larger than before.)",
    place="Try written tokens with a logit on either side of 0.",
)
def logits_of_zero():
    return torch.zeros(1, 3), torch.tensor([[1]])


@mistake(
    "language_model_bug_input",
    symptom="What comes back cannot be given to a repetition penalty.",
    cause="It takes logits [batch, vocab_size], finite floating point numbers, and tokens [batch, time], whole "
    "numbers from 0 to vocab_size - 1, one row of each for every text.",
    place="Compare the shapes and dtypes with the docstring, and return both: logits, tokens.",
)
def logits_and_tokens_that_do_not_fit():
    return torch.tensor([2.0, -3.0, 1.0]), torch.tensor([1])


@also("logits_and_tokens_that_do_not_fit", "language_model_bug_input")
def logits_alone():
    return torch.tensor([[2.0, -3.0, 1.0]])


@also("logits_and_tokens_that_do_not_fit", "language_model_bug_input")
def two_texts_and_one_row_of_logits():
    return torch.tensor([[2.0, -3.0, 1.0]]), torch.tensor([[1], [2]])


@also("logits_and_tokens_that_do_not_fit", "language_model_bug_input")
def infinite_logits():
    return torch.tensor([[2.0, -math.inf, 1.0]]), torch.tensor([[1]])


@also("logits_and_tokens_that_do_not_fit", "language_model_bug_input")
def tokens_with_a_fraction():
    return torch.tensor([[2.0, -3.0, 1.0]]), torch.tensor([[1.0]])


@also("logits_and_tokens_that_do_not_fit", "language_model_bug_input")
def a_token_outside_the_vocabulary():
    return torch.tensor([[2.0, -3.0, 1.0]]), torch.tensor([[3]])
