"""What people get wrong in the capstone, part 3: a model from an empty cell."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from autograder.mistakes import Catalogue
from workbench import parts

catalogue = Catalogue()
step, component, mistake, also = catalogue.step, catalogue.component, catalogue.mistake, catalogue.also

# The right way, a step at a time


@component()
class GPT(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_heads, num_layers, max_len):
        nn.Module.__init__(self)
        self.num_heads, self.max_len = num_heads, max_len
        self.make_tables(vocab_size, embed_dim, max_len)
        self.make_layers(embed_dim, num_layers)
        self.final_norm = self.make_norm(embed_dim)
        self.make_head(vocab_size, embed_dim)

    def make_tables(self, vocab_size, embed_dim, max_len):
        self.token = nn.Embedding(vocab_size, embed_dim)
        self.position = nn.Embedding(max_len, embed_dim)

    def make_layers(self, embed_dim, num_layers):
        self.layers = nn.ModuleList([self.make_layer(embed_dim) for _ in range(num_layers)])

    def make_layer(self, embed_dim):
        return nn.ModuleDict(
            {
                "norm1": self.make_norm(embed_dim),
                "self_attention": self.make_attention(embed_dim),
                "norm2": self.make_norm(embed_dim),
                "feed_forward": self.make_feed_forward(embed_dim),
            }
        )

    def make_norm(self, embed_dim):
        return nn.LayerNorm(embed_dim)

    def make_attention(self, embed_dim):
        return nn.ModuleDict(
            {name: nn.Linear(embed_dim, embed_dim) for name in ("q_proj", "k_proj", "v_proj", "out_proj")}
        )

    def make_feed_forward(self, embed_dim):
        return nn.ModuleDict(
            {"up_proj": nn.Linear(embed_dim, 4 * embed_dim), "down_proj": nn.Linear(4 * embed_dim, embed_dim)}
        )

    def make_head(self, vocab_size, embed_dim):
        pass

    def refuse(self, tokens):
        if tokens.shape[1] > self.max_len:
            raise ValueError(f"{tokens.shape[1]} tokens are more than max_len {self.max_len}")
        return tokens

    def places(self, tokens):
        """position vectors"""
        return self.position.weight[: tokens.shape[1]]

    def embed(self, tokens):
        """token and position vectors"""
        return self.token(tokens) + self.places(tokens)

    def project(self, attention, x):
        """query; key; value"""
        return attention["q_proj"](x), attention["k_proj"](x), attention["v_proj"](x)

    def split(self, x):
        """heads"""
        batch, time, embed_dim = x.shape
        return x.view(batch, time, self.num_heads, embed_dim // self.num_heads).transpose(1, 2)

    def scale(self, query, key):
        """scores"""
        return query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])

    def hide(self, scores):
        """masked scores"""
        time = scores.shape[-1]
        future = torch.ones(time, time, dtype=torch.bool, device=scores.device).triu(1)
        return scores.masked_fill(future, -math.inf)

    def weigh(self, scores):
        """attention weights"""
        return scores.softmax(dim=-1)

    def mix(self, weights, value):
        """weighted mean of the values"""
        return weights @ value

    def merge(self, x):
        """heads side by side"""
        batch, heads, time, head_dim = x.shape
        return x.transpose(1, 2).reshape(batch, time, heads * head_dim)

    def finish(self, attention, x):
        """output of attention"""
        return attention["out_proj"](x)

    def attend(self, attention, x):
        query, key, value = self.project(attention, x)
        query, key, value = self.split(query), self.split(key), self.split(value)
        weights = self.weigh(self.hide(self.scale(query, key)))
        return self.finish(attention, self.merge(self.mix(weights, value)))

    def activate(self, x):
        """activation"""
        return F.gelu(x, approximate="tanh")

    def feed(self, feed_forward, x):
        """output of the feed-forward network"""
        return feed_forward["down_proj"](self.activate(feed_forward["up_proj"](x)))

    def first(self, layer, x):
        """behind attention"""
        return x + self.attend(layer["self_attention"], layer["norm1"](x))

    def second(self, layer, x):
        """behind the feed-forward network"""
        return x + self.feed(layer["feed_forward"], layer["norm2"](x))

    def layer(self, layer, x):
        return self.second(layer, self.first(layer, x))

    def stack(self, x):
        """behind all layers"""
        for layer in self.layers:
            x = self.layer(layer, x)
        return x

    def normalise(self, x):
        """behind the final norm"""
        return self.final_norm(x)

    def score(self, x):
        """logits"""
        return x @ self.token.weight.T

    def answer(self, logits):
        return logits

    def forward(self, tokens):
        x = self.embed(self.refuse(tokens))
        return self.answer(self.score(self.normalise(self.stack(x))))


# The mask


@mistake(
    "hide",
    symptom="Positions notice a token that comes after them: the future is seen.",
    cause="There is no causal mask, or it hides nothing. Each position then reads the token that it is to predict: its loss "
    "in training falls nearly to 0, and it has learned to copy, which is of no use where the future is not there yet.",
    place="Hide the scores above the diagonal, with -inf and before the softmax, or give `is_causal=True` to "
    "F.scaled_dot_product_attention.",
    shows=[("gpt_does_not_see_the_future", "differ")],
)
def no_causal_mask(self, scores):
    return scores


@also("no_causal_mask", "hide")
def mask_not_assigned(self, scores):
    time = scores.shape[-1]
    scores.masked_fill(torch.ones(time, time, dtype=torch.bool, device=scores.device).triu(1), -math.inf)
    return scores


@mistake(
    "hide",
    symptom="Each position notices the token right after it, and none of those behind that.",
    cause="The mask is off by one: the diagonal above the main one is left open. What stands there is just the token that is "
    "to be predicted.",
    place="Hide from the first diagonal above the main one: `triu(1)`, which is `~tril()`.",
    shows=[("gpt_does_not_see_the_future", "differ")],
)
def mask_hides_one_too_few(self, scores):
    time = scores.shape[-1]
    return scores.masked_fill(torch.ones(time, time, dtype=torch.bool, device=scores.device).triu(2), -math.inf)


@mistake(
    "hide",
    symptom="Each position attends to itself and to what comes later, and not to what came before.",
    cause="The mask is the wrong way round: it hides the past. Some masks say True for what is hidden (`masked_fill`, "
    "nn.MultiheadAttention), some for what is seen (F.scaled_dot_product_attention), and one was taken for the other.",
    place="Look at which triangle is True, and at what True means where you use it.",
    shows=[("gpt_does_not_see_the_future", "differ")],
)
def mask_hides_the_past(self, scores):
    time = scores.shape[-1]
    return scores.masked_fill(~torch.ones(time, time, dtype=torch.bool, device=scores.device).triu(), -math.inf)


@also("mask_hides_the_past", "hide")
def mask_taken_for_its_opposite(self, scores):
    time = scores.shape[-1]
    return scores.masked_fill(torch.ones(time, time, dtype=torch.bool, device=scores.device).tril(-1), -math.inf)


@mistake(
    symptom="Attention weights do not sum to 1, and by that a position notices what comes after it.",
    cause="The weights of later positions were set to 0 after the softmax, which had already given them their share. The "
    "earlier a position stands, the less is left for it; and how much that is depends on the future.",
    place="Hide the scores before the softmax, with -inf.",
    shows=[("gpt_does_not_see_the_future", "differ"), ("gpt_attends", "differ")],
)
class masked_after_the_softmax:
    def hide(self, scores):
        return scores

    def weigh(self, scores):
        return scores.softmax(dim=-1).tril()


# Scores and weights


@mistake(
    "scale",
    symptom="Attention is too sharp: nearly all weight lies on the largest score.",
    cause="The scores are not divided by the square root of the size of a head. A dot product of head_dim terms has about "
    "head_dim times the variance of one, and the softmax saturates.",
    place="Divide the scores by `math.sqrt(head_dim)`.",
    shows=[("gpt_attends", "differ")],
)
def no_scale(self, query, key):
    return query @ key.transpose(-2, -1)


@mistake(
    "scale",
    symptom="Attention is too even: the scores are divided by too much.",
    cause="The scores are divided by the square root of embed_dim. Their products run over the features of one head, and it is "
    "the number of these that counts.",
    place="Divide by the square root of the last axis of the query, behind the split into heads.",
    shows=[("gpt_attends", "differ")],
)
def scaled_by_embed_dim(self, query, key):
    return query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1] * self.num_heads)


# Projections and heads


@mistake(
    "split",
    symptom="Heads are mixed with positions: the numbers of one head come from several positions.",
    cause="`view` went straight to [batch, heads, time, head_dim]. It only gives new names to places in memory; there the "
    "features of one position lie side by side, so they end up as several positions of one head.",
    place="View as [batch, time, heads, head_dim] first, and then `transpose(1, 2)`.",
    shows=[("gpt_attends", "differ")],
)
def split_without_the_transpose(self, x):
    batch, time, embed_dim = x.shape
    return x.reshape(batch, self.num_heads, time, embed_dim // self.num_heads)


@mistake(
    "merge",
    symptom="Behind attention, heads are mixed with positions.",
    cause="The heads were put side by side without bringing them back behind the positions. `reshape` of [batch, heads, time, "
    "head_dim] cuts the wrong numbers into rows.",
    place="`transpose(1, 2)` first, then `reshape(batch, time, embed_dim)`.",
    shows=[("gpt_attends", "differ")],
)
def merge_without_the_transpose(self, x):
    batch, heads, time, head_dim = x.shape
    return x.reshape(batch, time, heads * head_dim)


@mistake(
    symptom="There is one head, however many were asked for.",
    cause="num_heads is not used. One head has one pattern of attention for all features; several look at several things at "
    "once.",
    place="Split query, key and value into num_heads parts before the scores.",
    shows=[("gpt_attends", "differ")],
)
class one_head:
    def split(self, x):
        return x.unsqueeze(1)


@mistake(
    "attend",
    symptom="Texts of a batch see each other.",
    cause="Batch and time have changed places in attention. nn.MultiheadAttention takes [time, batch, embed_dim] unless it is "
    "told `batch_first=True`.",
    place="Look at which axis the scores run over: it has to be that of the positions.",
    shows=[("gpt_keeps_texts_apart", "differ")],
)
def attention_across_the_batch(self, attention, x):
    return GPT.attend(self, attention, x.transpose(0, 1)).transpose(0, 1)


# Norms and residual paths


@mistake(
    symptom="The norms stand behind the sublayers: what was added is normalised along with the residual path.",
    cause="This is the post-norm form of the paper of 2017. GPT-2 normalises what goes *into* a sublayer, and leaves the "
    "residual path alone from the embedding to the final norm.",
    place="Write `x = x + sublayer(norm(x))`.",
    shows=[("gpt_feeds_forward", "differ"), ("gpt_attends", "differ")],
)
class norms_behind_the_sublayers:
    def first(self, layer, x):
        return layer["norm1"](x + self.attend(layer["self_attention"], x))

    def second(self, layer, x):
        return layer["norm2"](x + self.feed(layer["feed_forward"], x))


@mistake(
    symptom="The residual path carries the normalised numbers.",
    cause="x was replaced by norm(x) before the sum: `x = norm(x)`, then `x = x + sublayer(x)`. The path from the embedding to "
    "the final norm is then normalised anew in each layer, and nothing gets through as it was.",
    place="Keep x, and normalise only what the sublayer is given: `x = x + sublayer(norm(x))`.",
    shows=[("gpt_without_layers", "differ")],
)
class residual_from_the_normalised:
    def first(self, layer, x):
        x = layer["norm1"](x)
        return x + self.attend(layer["self_attention"], x)

    def second(self, layer, x):
        x = layer["norm2"](x)
        return x + self.feed(layer["feed_forward"], x)


@mistake(
    symptom="A sublayer replaces x instead of adding to it.",
    cause="A residual path is missing. With silent sublayers nothing is left of the tokens, and in a deep model gradients have "
    "no short way back.",
    place="Write `x = x + ...` for both sublayers.",
    shows=[("gpt_without_layers", "differ")],
)
class residual_missing:
    def first(self, layer, x):
        return self.attend(layer["self_attention"], layer["norm1"](x))

    def second(self, layer, x):
        return self.feed(layer["feed_forward"], layer["norm2"](x))


@also("residual_missing", "first")
def residual_of_attention_missing(self, layer, x):
    return self.attend(layer["self_attention"], layer["norm1"](x))


@also("residual_missing", "second")
def residual_of_the_network_missing(self, layer, x):
    return self.feed(layer["feed_forward"], layer["norm2"](x))


@mistake(
    "second",
    symptom="The feed-forward network gets the numbers of the first norm: norm2 is not used.",
    cause="One norm serves both sublayers. Each has its own weight and bias, and learns its own.",
    place="Look at the norm in front of the feed-forward network.",
    shows=[("gpt_feeds_forward", "differ")],
)
def one_norm_for_both(self, layer, x):
    return x + self.feed(layer["feed_forward"], layer["norm1"](x))


@mistake(
    "normalise",
    symptom="The logits are those of hidden states that were never normalised: final_norm is not used.",
    cause="The final norm is missing. In a pre-norm model nothing normalises the residual path but this: it has grown with each "
    "layer, and so do the logits.",
    place="Apply `self.final_norm` behind the last layer, before the head.",
    shows=[("gpt_without_layers", "differ")],
)
def final_norm_missing(self, x):
    return x


# The feed-forward network


@mistake(
    "activate",
    symptom="The activation is ReLU.",
    cause="ReLU is that of the paper of 2017. GPT-2 uses GELU, which lets a little of negative numbers through.",
    place='Use `F.gelu(x, approximate="tanh")`.',
    shows=[("gpt_feeds_forward", "differ")],
)
def relu(self, x):
    return F.relu(x)


@mistake(
    "activate",
    credit=0.5,
    symptom="The activation is GELU in its exact form; the logits are off by little.",
    cause="F.gelu and nn.GELU compute the exact GELU unless they are told otherwise. GPT-2 was trained with the tanh "
    "approximation, which differs in the third or fourth digit.",
    place='Use `F.gelu(x, approximate="tanh")`.',
    shows=[("gpt_feeds_forward", "differ")],
)
def exact_gelu(self, x):
    return F.gelu(x)


# Tokens, positions and the head


@mistake(
    "embed",
    symptom="The model does not know where a token stands: positions are not added.",
    cause="The position table is made and never used. All that attention knows of order without it is what the mask hides.",
    place="Add `self.position.weight[:time]` to the token vectors.",
    shows=[("gpt_without_layers", "differ")],
)
def positions_missing(self, tokens):
    return self.token(tokens)


@mistake(
    "places",
    symptom="Positions are counted from 1: each token gets the vector of the next place.",
    cause="`arange(1, time + 1)` begins one place too late, and of a text of max_len tokens the last one has no vector.",
    place="Count from 0: `torch.arange(time)`.",
    shows=[("gpt_without_layers", "differ")],
)
def positions_from_one(self, tokens):
    return self.position(torch.arange(1, tokens.shape[1] + 1, device=tokens.device))


@mistake(
    symptom="There is a head with numbers of its own.",
    cause="The head should be the token table itself, one parameter that is trained from both sides. A linear layer of its own, "
    "or a copy, has numbers of its own, which go their own way in training.",
    place="Return `F.linear(x, self.token.weight)`, or give the head the table: `self.head.weight = self.token.weight`.",
    shows=[("gpt_has_its_parameters", "differ", "superfluous parameters")],
)
class head_not_tied:
    def make_head(self, vocab_size, embed_dim):
        self.head = nn.Linear(embed_dim, vocab_size, bias=False)

    def score(self, x):
        return self.head(x)


@also("head_not_tied")
class head_not_tied_with_a_bias:
    def make_head(self, vocab_size, embed_dim):
        self.head = nn.Linear(embed_dim, vocab_size)

    def score(self, x):
        return self.head(x)


@also("head_not_tied")
class head_copied:
    def make_head(self, vocab_size, embed_dim):
        self.head = nn.Linear(embed_dim, vocab_size, bias=False)
        self.head.weight = nn.Parameter(self.token.weight.detach().clone())

    def score(self, x):
        return self.head(x)


# What comes out


@mistake(
    "answer",
    symptom="Probabilities come back instead of logits.",
    cause="A softmax was applied at the end. F.cross_entropy does that itself, and a second one in front of it makes all "
    "tokens nearly equally likely.",
    place="Return the products with the token table as they are.",
    shows=[("gpt_computes", "differ", "logits")],
)
def softmax_at_the_end(self, logits):
    return logits.softmax(dim=-1)


@also("softmax_at_the_end", "answer")
def log_softmax_at_the_end(self, logits):
    return logits.log_softmax(dim=-1)


@mistake(
    "answer",
    credit=0.5,
    symptom="More than one value comes back.",
    cause="The contract asks for the logits alone, as one tensor. Others return attention weights or a loss beside them, and who "
    "expects a tensor gets a tuple.",
    place="Return the logits, and nothing beside them.",
    shows=[("gpt_returns_logits", "differ", "answer")],
)
def more_than_logits(self, logits):
    return logits, None


@also("more_than_logits", "answer")
def logits_in_a_tuple(self, logits):
    return (logits,)


# The stack of layers


@mistake(
    "make_layers",
    symptom="All layers are one and the same: they share their parameters.",
    cause="`[layer] * n` is a list of one layer, n times. Each layer has to be made anew.",
    place="Make the layers in a loop: `nn.ModuleList(make() for _ in range(num_layers))`.",
    shows=[("gpt_has_its_parameters", "differ", "parameters that are one and the same")],
)
def one_layer_many_times(self, embed_dim, num_layers):
    self.layers = nn.ModuleList([self.make_layer(embed_dim)] * num_layers)


@mistake(
    "make_layers",
    symptom="PyTorch knows nothing of the layers: their parameters are missing.",
    cause="They are kept in a plain list. Only what is an attribute, or in an nn.ModuleList, is found by state_dict, by an "
    "optimizer and by `.to(device)`.",
    place="Write `self.layers = nn.ModuleList(...)`.",
    shows=[("gpt_has_its_parameters", "differ", "missing parameters")],
)
def layers_in_a_plain_list(self, embed_dim, num_layers):
    torch.manual_seed(0)
    self.layers = [self.make_layer(embed_dim) for _ in range(num_layers)]


@mistake(
    "stack",
    symptom="Only the last layer counts.",
    cause="In the loop each layer gets the embedding again, and what the one before it made is lost.",
    place="Hand on what the layer gave: `x = layer(x)`.",
    shows=[("gpt_computes", "differ")],
)
def each_layer_gets_the_embedding(self, x):
    for layer in self.layers:
        y = self.layer(layer, x)
    return y


@mistake(
    "stack",
    symptom="Only the first layer counts.",
    cause="The loop returns in its first round.",
    place="Look at how far the return is indented.",
    shows=[("gpt_computes", "differ")],
)
def returns_in_the_loop(self, x):
    for layer in self.layers:
        return self.layer(layer, x)


# Names


@mistake(
    credit=0.5,
    symptom="Parts have other names than the contract gives them.",
    cause="Names are what numbers are loaded by: a file with weights for `token.weight` finds nothing in a model that calls "
    "it otherwise, however right its computation is.",
    place="Compare `GPT(...).state_dict().keys()` with the table of the contract.",
    shows=[("gpt_has_its_parameters", "is some", "parameters under other names")],
)
class other_names:
    def make_tables(self, vocab_size, embed_dim, max_len):
        self.wte = nn.Embedding(vocab_size, embed_dim)
        self.wpe = nn.Embedding(max_len, embed_dim)

    def embed(self, tokens):
        return self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]

    def score(self, x):
        return x @ self.wte.weight.T


@also("other_names")
class layers_under_other_names:
    def make_layers(self, embed_dim, num_layers):
        self.blocks = nn.ModuleList([self.make_layer(embed_dim) for _ in range(num_layers)])

    def stack(self, x):
        for layer in self.blocks:
            x = self.layer(layer, x)
        return x


@also("other_names")
class positions_as_a_parameter:
    def make_tables(self, vocab_size, embed_dim, max_len):
        self.token = nn.Embedding(vocab_size, embed_dim)
        self.position = nn.Parameter(torch.randn(max_len, embed_dim))

    def places(self, tokens):
        return self.position[: tokens.shape[1]]


@also("other_names")
class parts_under_other_names:
    def make_layer(self, embed_dim):
        return nn.ModuleDict(
            {
                "ln_1": self.make_norm(embed_dim),
                "attn": self.make_attention(embed_dim),
                "ln_2": self.make_norm(embed_dim),
                "mlp": self.make_feed_forward(embed_dim),
            }
        )

    def first(self, layer, x):
        return x + self.attend(layer["attn"], layer["ln_1"](x))

    def second(self, layer, x):
        return x + self.feed(layer["mlp"], layer["ln_2"](x))


@mistake(
    "make_attention",
    symptom="Projections of attention have no bias.",
    cause="Later models leave it out. GPT-2 has one in every linear layer.",
    place="Make q_proj, k_proj, v_proj and out_proj with their bias.",
    shows=[("gpt_has_its_parameters", "differ", "missing parameters")],
)
def projections_without_a_bias(self, embed_dim):
    biases = {"q_proj": False, "k_proj": False, "v_proj": False, "out_proj": True}
    return nn.ModuleDict({name: nn.Linear(embed_dim, embed_dim, bias=bias) for name, bias in biases.items()})


@also("projections_without_a_bias", "make_attention")
def no_projection_has_a_bias(self, embed_dim):
    names = ("q_proj", "k_proj", "v_proj", "out_proj")
    return nn.ModuleDict({name: nn.Linear(embed_dim, embed_dim, bias=False) for name in names})


# Refusals and the rest


@mistake(
    "refuse",
    credit=0.5,
    symptom="A sequence that is too long is not refused with a ValueError.",
    cause="Nothing looks at the length. Then either PyTorch fails somewhere inside, in words that help nobody, or the text is cut "
    "in silence.",
    place="At the beginning of forward: `if tokens.shape[1] > self.max_len: raise ValueError(...)`, with both numbers in it.",
    shows=[("gpt_refuses_long_sequences", "differ")],
)
def too_long_not_refused(self, tokens):
    return tokens


@also("too_long_not_refused")
class too_long_is_an_index_error:
    def refuse(self, tokens):
        return tokens

    def places(self, tokens):
        return self.position(torch.arange(tokens.shape[1], device=tokens.device))


@also("too_long_not_refused", "refuse")
def too_long_is_cut(self, tokens):
    return tokens[:, -self.max_len :]


@also("too_long_not_refused", "refuse")
def too_long_is_asserted(self, tokens):
    assert tokens.shape[1] <= self.max_len, "too long"
    return tokens


@mistake(
    "refuse",
    symptom="A sequence of max_len tokens is refused.",
    cause="The comparison is `>=`. max_len tokens have max_len positions, and there are so many.",
    place="Refuse only what is longer: `>`.",
    shows=[("gpt_comes_in_sizes", "raise", "*answer"), ("gpt_refuses_long_sequences", "right")],
)
def max_len_refused(self, tokens):
    if tokens.shape[1] >= self.max_len:
        raise ValueError(f"{tokens.shape[1]} tokens are too many for max_len {self.max_len}")
    return tokens


@mistake(
    "first",
    credit=0.5,
    symptom="In training mode the logits are others: something is dropped.",
    cause="There is dropout, which the contract does not have. (nn.TransformerEncoderLayer drops a tenth unless it is told "
    "otherwise; models of today are trained without it, as each text is read about once.)",
    place="Remove the dropout, or set it to 0.",
    shows=[("gpt_drops_nothing", "differ")],
)
def dropout(self, layer, x):
    return x + F.dropout(self.attend(layer["self_attention"], layer["norm1"](x)), 1.0, self.training)


@mistake(
    "hide",
    credit=0.5,
    symptom="It fails as soon as the model and the tokens live on another device, such as a GPU.",
    cause="A new tensor was made on the default device, wherever the tokens are.",
    place="Make it with `device=tokens.device`, or `device=x.device`; or register it as a buffer, which moves with the model.",
    shows=[("gpt_follows_its_device", "differ")],
)
def fixed_device(self, scores):
    time = scores.shape[-1]
    return torch.where(torch.ones(time, time).tril().bool(), scores, -math.inf)


# What is made more rarely; only those above are looked for in pairs that change each other's numbers


@mistake(
    "hide",
    symptom="No position attends to itself, and the first one attends to nothing.",
    cause="The mask is off by one: it hides the diagonal as well. A position may attend to itself, because its own token is "
    "not what it is to predict. Without that the first row has no key left, and a softmax over nothing is NaN.",
    place="Hide from the first diagonal above the main one: `triu(1)`, and not `triu()`.",
)
def mask_hides_one_too_many(self, scores):
    time = scores.shape[-1]
    return scores.masked_fill(torch.ones(time, time, dtype=torch.bool, device=scores.device).triu(), -math.inf)


@also("mask_hides_one_too_many", "hide")
def mask_hides_one_too_many_finite(self, scores):
    time = scores.shape[-1]
    return scores.masked_fill(torch.ones(time, time, dtype=torch.bool, device=scores.device).triu(), -1e9)


@mistake(
    "hide",
    symptom="Later positions are not hidden: they get a score of 0, which is often more than those that count.",
    cause="The scores were multiplied with the mask. A score of 0 is a score like any other; the softmax gives it e to the "
    "power of 0, which is 1, before it divides.",
    place="Fill with -inf where nothing may be seen: `scores.masked_fill(future, -math.inf)`.",
    shows=[("gpt_does_not_see_the_future", "differ")],
)
def scores_multiplied_with_the_mask(self, scores):
    return scores.tril()


@mistake(
    "scale",
    symptom="Attention is too even: the scores are divided by head_dim itself, or twice by its root.",
    cause="The root is missing, or the query was divided before F.scaled_dot_product_attention, which divides again.",
    place="Divide once, by the square root of head_dim; F.scaled_dot_product_attention does it for you.",
    shows=[("gpt_attends", "differ")],
)
def scaled_by_head_dim(self, query, key):
    return query @ key.transpose(-2, -1) / query.shape[-1]


@mistake(
    "weigh",
    symptom="The weights that a query gives to its keys do not sum to 1.",
    cause="The softmax has the wrong axis: that of the queries, or that of the heads. Each query has one unit of attention for "
    "its keys, and the keys are the last axis.",
    place="Write `softmax(dim=-1)`.",
    shows=[("gpt_attends", "differ")],
)
def softmax_over_queries(self, scores):
    return scores.softmax(dim=-2)


@also("softmax_over_queries", "weigh")
def softmax_over_heads(self, scores):
    return scores.softmax(dim=1)


@mistake(
    "project",
    symptom="Queries and keys have changed places.",
    cause="Scores were made of keys and queries the other way round, so that each key asks and each query is asked. With one "
    "projection for all three, this comes of another order than query, key, value.",
    place="Compare the order in which you make, unpack and use query, key and value.",
    shows=[("gpt_attends", "differ")],
)
def query_and_key_exchanged(self, attention, x):
    return attention["k_proj"](x), attention["q_proj"](x), attention["v_proj"](x)


@mistake(
    "project",
    symptom="What attention gathers are the keys: v_proj is not used.",
    cause="The weights were applied to the keys. A key says what a position can be found by, and the value what it gives.",
    place="Multiply the weights with the value.",
    shows=[("gpt_attends", "differ")],
)
def values_are_keys(self, attention, x):
    return attention["q_proj"](x), attention["k_proj"](x), attention["k_proj"](x)


@mistake(
    "project",
    symptom="What attention gathers are the inputs as they are: v_proj is not used.",
    cause="The weights were applied to x itself. Each head has a projection of its own for what it passes on.",
    place="Multiply the weights with `v_proj(x)`, split into heads.",
    shows=[("gpt_attends", "differ")],
)
def values_not_projected(self, attention, x):
    return attention["q_proj"](x), attention["k_proj"](x), x


@mistake(
    "split",
    symptom="The features of the heads are interleaved: each head has every so-many-th feature.",
    cause="Features were viewed as [head_dim, heads] instead of [heads, head_dim]. A model that is trained like this works, but "
    "with the numbers of another one it computes something else.",
    place="View as [batch, time, heads, head_dim]: the first head_dim features belong to head 0.",
    shows=[("gpt_attends", "differ")],
)
def heads_interleaved(self, x):
    batch, time, embed_dim = x.shape
    return x.view(batch, time, embed_dim // self.num_heads, self.num_heads).permute(0, 3, 1, 2)


@mistake(
    "finish",
    symptom="out_proj is not used.",
    cause="What the heads have gathered was added to the residual path as it is. out_proj mixes the heads, and learns how much "
    "each of them may add.",
    place="Return `self.out_proj(...)` from attention.",
    shows=[("gpt_without_layers", "differ")],
)
def output_not_projected(self, attention, x):
    return x


@mistake(
    symptom="What a sublayer gives is normalised before it is added, and what goes into it is not.",
    cause="The norm stands around the sublayer's output: `x + norm(sublayer(x))`. GPT-2 has it around the input.",
    place="Write `x = x + sublayer(norm(x))`.",
    shows=[("gpt_without_layers", "differ")],
)
class norms_of_the_output:
    def first(self, layer, x):
        return x + layer["norm1"](self.attend(layer["self_attention"], x))

    def second(self, layer, x):
        return x + layer["norm2"](self.feed(layer["feed_forward"], x))


@mistake(
    symptom="The sublayers get x as it is: the norms inside the layers are not used.",
    cause="norm1 and norm2 are made and never called, so what goes into a sublayer grows with depth.",
    place="Write `x = x + sublayer(norm(x))`.",
    shows=[("gpt_feeds_forward", "differ")],
)
class norms_of_the_layers_missing:
    def first(self, layer, x):
        return x + self.attend(layer["self_attention"], x)

    def second(self, layer, x):
        return x + self.feed(layer["feed_forward"], x)


@mistake(
    symptom="The final norm stands in front of the layers.",
    cause="It normalises the embedding (as BERT does), and nothing normalises what the head gets.",
    place="Apply `self.final_norm` behind the last layer.",
    shows=[("gpt_feeds_forward", "differ"), ("gpt_attends", "differ")],
)
class final_norm_in_front:
    def embed(self, tokens):
        return self.final_norm(self.token(tokens) + self.places(tokens))

    def normalise(self, x):
        return x


@mistake(
    symptom="The final norm is applied in every layer.",
    cause="It stands inside the loop over the layers. The residual path between them is to stay as it is.",
    place="Move `self.final_norm` out of the loop, behind its end.",
    shows=[("gpt_without_layers", "differ")],
)
class final_norm_in_the_loop:
    def stack(self, x):
        for layer in self.layers:
            x = self.final_norm(self.layer(layer, x))
        return x

    def normalise(self, x):
        return x


@mistake(
    "layer",
    symptom="Both sublayers get the same x, and both outputs are added to it.",
    cause="They run side by side, as in GPT-J. In GPT-2 the feed-forward network gets what attention has added already.",
    place="Let the second line of the layer use the x that the first one has made.",
    shows=[("gpt_computes", "differ")],
)
def sublayers_side_by_side(self, layer, x):
    return self.first(layer, x) + self.feed(layer["feed_forward"], layer["norm2"](x))


@mistake(
    "layer",
    symptom="The feed-forward network comes before attention.",
    cause="The two lines of the layer have changed places.",
    place="Attention first, then the feed-forward network.",
    shows=[("gpt_computes", "differ")],
)
def feed_forward_first(self, layer, x):
    return self.first(layer, self.second(layer, x))


@mistake(
    "activate",
    symptom="There is no activation: the feed-forward network is linear.",
    cause="Two linear layers without anything between them are one linear layer, however wide they are.",
    place='Put `F.gelu(..., approximate="tanh")` between up_proj and down_proj.',
    shows=[("gpt_feeds_forward", "differ")],
)
def activation_missing(self, x):
    return x


@mistake(
    "feed",
    symptom="The activation stands behind down_proj, and none between the two linear layers.",
    cause="What an activation is for is that a non-linear step stands between the two. Behind the second it also cuts off "
    "what the network could take away from the residual path.",
    place="Write `down_proj(activation(up_proj(x)))`.",
    shows=[("gpt_feeds_forward", "differ")],
)
def activation_at_the_end(self, feed_forward, x):
    return self.activate(feed_forward["down_proj"](feed_forward["up_proj"](x)))


@mistake(
    "make_feed_forward",
    symptom="The feed-forward network has another number of hidden features than 4 * embed_dim.",
    cause="GPT-2's feed-forward networks are four times as wide as its residual path.",
    place="Make up_proj with 4 * embed_dim outputs, and down_proj with as many inputs.",
    shows=[("gpt_has_its_parameters", "differ", "parameters of another shape")],
)
def feed_forward_not_wider(self, embed_dim):
    return nn.ModuleDict({"up_proj": nn.Linear(embed_dim, embed_dim), "down_proj": nn.Linear(embed_dim, embed_dim)})


@also("feed_forward_not_wider", "make_feed_forward")
def feed_forward_twice_as_wide(self, embed_dim):
    return nn.ModuleDict(
        {"up_proj": nn.Linear(embed_dim, 2 * embed_dim), "down_proj": nn.Linear(2 * embed_dim, embed_dim)}
    )


@mistake(
    "places",
    symptom="All tokens of a text get the same position vector: that of its place in the batch.",
    cause="Positions were counted along the batch. The first axis of tokens is the batch, and time the second.",
    place="Use `tokens.shape[1]` for the number of positions.",
    shows=[("gpt_without_layers", "differ")],
)
def positions_along_the_batch(self, tokens):
    return self.position(torch.arange(tokens.shape[0], device=tokens.device))[:, None]


@mistake(
    "embed",
    symptom="Token vectors are larger than the table's by the square root of embed_dim.",
    cause="That factor belongs to the paper of 2017 (section 3.4). GPT-2 has none.",
    place="Add token and position vectors as they are.",
    shows=[("gpt_without_layers", "differ")],
)
def tokens_scaled(self, tokens):
    return self.token(tokens) * math.sqrt(self.token.embedding_dim) + self.places(tokens)


@mistake(
    symptom="The head is tied, and has a bias that the contract does not know.",
    cause="nn.Linear has a bias unless it is told otherwise. GPT-2's head is the token table and nothing else.",
    place="Make it with `bias=False`, or do without a layer: `F.linear(x, self.token.weight)`.",
    shows=[("gpt_has_its_parameters", "differ", "superfluous parameters")],
)
class head_with_a_bias:
    def make_head(self, vocab_size, embed_dim):
        self.head = nn.Linear(embed_dim, vocab_size)
        self.head.weight = self.token.weight

    def score(self, x):
        return self.head(x)


@mistake(
    "score",
    credit=0.5,
    symptom="The logits are right, but the token table is trained from one side only.",
    cause="The head uses the table's numbers without its gradients (`detach`, `.data`, or under `no_grad`). Tied means that both "
    "uses train it.",
    place="Use `self.token.weight` itself.",
    shows=[("gpt_is_tied", "differ"), ("gpt_computes", "right")],
)
def head_detached(self, x):
    return x @ self.token.weight.detach().T


@mistake(
    "answer",
    symptom="Only the logits of the last position come back.",
    cause="That is what is needed to write. To train, every position is asked for the token that follows it.",
    place="Return the logits of all positions; who writes takes the last one: `logits[:, -1]`.",
    shows=[("gpt_returns_logits", "another shape", "shape of logits")],
)
def only_the_last_position(self, logits):
    return logits[:, -1]


@also("only_the_last_position", "answer")
def only_the_last_position_kept(self, logits):
    return logits[:, -1:]


@mistake(
    "hide",
    symptom="The numbers may be right, but a part of them is computed by another library than torch.",
    cause="There is one rule for this cell: torch alone. What `workbench` or another library computes was written by "
    "somebody else, and this model is to be yours from the first line to the last.",
    place="Write that part yourself. The lesson that it belongs to has shown how, and none of them takes more than a few "
    "lines of torch.",
    shows=[("gpt_is_of_torch_alone", "differ")],
)
def borrowed_parts(self, scores):
    mask = parts.causal_mask(scores.shape[-1], scores.shape[-1])
    return scores.masked_fill(~mask.to(scores.device), -math.inf)


@also("borrowed_parts", "make_norm")
def borrowed_norm(self, embed_dim):
    return parts.LayerNorm(embed_dim)
