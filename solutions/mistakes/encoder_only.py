"""Wrong answers to lesson 3, each with its sentences: what is seen, why it is wrong, where to look."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from autograder.mistakes import Catalogue
from workbench.parts import Encoder, TransformerEmbedding, padding_mask

catalogue = Catalogue()
step, component, mistake, also = catalogue.step, catalogue.component, catalogue.mistake, catalogue.also


# SequenceClassifier, the right way


@component()
class SequenceClassifier(nn.Module):
    def __init__(
        self,
        vocab_size,
        embed_dim,
        num_heads,
        ff_dim,
        num_layers,
        max_len,
        num_classes,
        pad_id,
        dropout=0.0,
        activation=F.gelu,
    ):
        nn.Module.__init__(self)
        self.pad_id = pad_id
        self.embedding = self.make_embedding(vocab_size, embed_dim, max_len, dropout)
        self.norm = nn.LayerNorm(embed_dim)
        self.encoder = self.make_encoder(num_layers, embed_dim, num_heads, ff_dim, dropout, activation)
        self.pooler = nn.Linear(embed_dim, embed_dim)
        self.head = nn.Linear(embed_dim, num_classes)

    def make_embedding(self, vocab_size, embed_dim, max_len, dropout):
        return TransformerEmbedding(vocab_size, embed_dim, max_len, positions="learned", dropout=dropout)

    def make_encoder(self, num_layers, embed_dim, num_heads, ff_dim, dropout, activation):
        return Encoder(num_layers, embed_dim, num_heads, ff_dim, dropout, activation=activation)

    def mask(self, tokens):
        """padding mask"""
        return padding_mask(tokens, self.pad_id)

    def embed(self, tokens):
        return self.embedding(tokens)

    def settle(self, x):
        return self.norm(x)

    def encode(self, x, mask):
        return self.encoder(x, mask)

    def pick(self, x, embedded, tokens):
        """vector of the first token"""
        return x[:, 0]

    def pool(self, picked):
        """pooled vector"""
        return torch.tanh(self.pooler(picked))

    def score(self, pooled):
        return self.head(pooled)

    def answer(self, logits, weights):
        return logits, weights

    def forward(self, tokens):
        embedded = self.settle(self.embed(tokens))
        x, weights = self.encode(embedded, self.mask(tokens))
        return self.answer(self.score(self.pool(self.pick(x, embedded, tokens))), weights)


@mistake(
    "pick",
    symptom="The logits are read from all places, where they should be read from the first one.",
    cause="The mean (or the maximum) over the tokens is classified. That can work, but it is another model: BERT "
    "has a token of its own for this, [CLS], and its pooler and head are trained on that token's state.",
    place="Take `x[:, 0]`.",
    shows=[
        ("classifier_reads_the_first_token", "differ", "places*"),
        ("classifier_reads_the_first_token", "right", "answer"),
    ],
)
def classified_from_the_mean(self, x, embedded, tokens):
    return x.mean(dim=1)


@also("classified_from_the_mean", "pick")
def classified_from_the_mean_without_padding(self, x, embedded, tokens):
    kept = (tokens != self.pad_id).unsqueeze(-1)
    return (x * kept).sum(1) / kept.sum(1)


@also("classified_from_the_mean", "pick")
def classified_from_the_largest(self, x, embedded, tokens):
    return x.amax(dim=1)


@also("classified_from_the_mean", "pick")
def classified_from_the_sum(self, x, embedded, tokens):
    return x.sum(dim=1)


@mistake(
    "pick",
    symptom="The logits are read from the end of a text, where they should be read from its first token.",
    cause="The last token is classified. In a decoder it is the only one that has seen everything, so there it is "
    "the right one. In an encoder every token has, and [CLS] stands first; the last place may be padding.",
    place="Take `x[:, 0]`.",
    shows=[
        ("classifier_reads_the_first_token", "differ", "places*"),
        ("classifier_reads_the_first_token", "right", "answer"),
    ],
)
def classified_from_the_last_token(self, x, embedded, tokens):
    return x[:, -1]


@also("classified_from_the_last_token", "pick")
def classified_from_the_last_token_before_padding(self, x, embedded, tokens):
    return x[torch.arange(len(x), device=x.device), (tokens != self.pad_id).sum(1) - 1]


@mistake(
    "pick",
    symptom="The logits are read from the second place.",
    cause="Counting begins at 0. Place 1 is the first word of the text; [CLS] is place 0.",
    place="Take `x[:, 0]`.",
    shows=[("classifier_reads_the_first_token", "is 1")],
)
def classified_from_the_first_word(self, x, embedded, tokens):
    return x[:, min(1, x.shape[1] - 1)]


@mistake(
    "pick",
    symptom="There are logits for every token, where there should be one row per text.",
    cause="Pooler and head are applied to all places. That classifies tokens, as for finding names; a text is "
    "classified by the state of [CLS].",
    place="Take `x[:, 0]` before the pooler.",
    shows=[("classifier_computes", "another shape", "logits")],
)
def every_token_classified(self, x, embedded, tokens):
    return x


@mistake(
    "pick",
    symptom="The first text of the batch is read, place by place, instead of the first place of each text.",
    cause="`x[0]` counts along the batch, because the batch is the first axis. The first token of every text is "
    "`x[:, 0]`.",
    place="Look at the index in front of the pooler.",
    shows=[("classifier_computes", "another shape", "logits")],
)
def first_text_instead_of_first_token(self, x, embedded, tokens):
    return x[0]


@mistake(
    "pick",
    symptom="The logits are the same for all texts.",
    cause="What is classified comes from before the encoder. There the state of [CLS] is nothing but the vector of "
    "[CLS], which is the same in every text.",
    place="Use what the encoder returns.",
    shows=[("classifier_computes", "equal rows", "logits"), ("classifier_sees_all_tokens", "is no")],
)
def classified_before_the_encoder(self, x, embedded, tokens):
    return embedded[:, 0]


@mistake(
    "mask",
    symptom="Tokens attend to padding, and the logits of a text change with the amount of padding.",
    cause="The encoder got no mask. Padding has a vector like every token, so without a mask it takes part in all "
    "attention.",
    place="Give the encoder `padding_mask(tokens, self.pad_id)`.",
    shows=[
        ("classifier_hides_padding", "larger", "largest weight on padding*"),
        ("classifier_hides_padding", "is yes"),
    ],
)
def padding_ignored(self, tokens):
    return None


@mistake(
    "mask",
    symptom="Tokens attend to padding and to nothing else; in texts without padding the weights are 0.",
    cause="The mask is the wrong way round. True means may attend, so it is True where a token is *not* padding. "
    "nn.MultiheadAttention has the opposite habit.",
    place="Look for a `~`, or for `tokens == pad_id`.",
    shows=[
        ("classifier_hides_padding", "larger", "largest weight on padding*"),
        ("classifier_computes", "zero", "weights of layer *"),
    ],
)
def padding_inverted(self, tokens):
    return ~padding_mask(tokens, self.pad_id)


@also("padding_inverted", "mask")
def padding_compared_for_equality(self, tokens):
    return (tokens == self.pad_id)[:, None, :].expand(-1, tokens.shape[1], -1)


@mistake(
    "mask",
    symptom="Padding is hidden as a query and not as a key: words still attend to padding.",
    cause="The mask lies on the wrong axis. Hidden must be the *keys*, the last axis of [batch, queries, keys]; "
    "what padding itself attends to does not matter.",
    place="The mask is [batch, 1, keys]: `padding_mask`, or `unsqueeze(1)`, not `unsqueeze(2)`.",
    shows=[("classifier_hides_padding", "larger", "largest weight on padding*")],
)
def padding_masked_on_the_query_axis(self, tokens):
    return (tokens != self.pad_id).unsqueeze(2)


@mistake(
    "mask",
    symptom="It fails unless there are as many texts as tokens; then texts hide each other's tokens.",
    cause="A mask with two axes is read as [queries, keys], the same for all texts. A mask that differs from text "
    "to text needs three: [batch, 1, keys].",
    place="Use `padding_mask`, or add an axis with `unsqueeze(1)`.",
    shows=[("classifier_computes", "raise"), ("classifier_with_equal_sizes", "differ", "logits")],
)
def mask_without_its_axis(self, tokens):
    return tokens != self.pad_id


@mistake(
    "mask",
    symptom="A pad_id of 0 is treated right, another one is not.",
    cause="The code compares with 0, whatever pad_id says. 0 is a usual id for padding, and no more than that.",
    place="Keep pad_id in the constructor and use it in forward.",
    shows=[
        ("classifier_takes_a_pad_id", "right", "pad_id 0*"),
        ("classifier_hides_padding", "larger", "largest weight on padding*"),
    ],
)
def pad_id_always_0(self, tokens):
    return padding_mask(tokens, 0)


@mistake(
    "mask",
    symptom="[CLS] sees only itself: the logits do not depend on the rest of the text.",
    cause="A causal mask was left in. It belongs to decoders. In an encoder every token may look both ways, and "
    "the first token, which is to speak for all, would see nothing under it.",
    place="Give the encoder the padding mask alone.",
    shows=[("classifier_sees_all_tokens", "is no"), ("classifier_computes", "equal rows", "logits")],
)
def causal_mask_left_in(self, tokens):
    return (
        padding_mask(tokens, self.pad_id)
        & torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool, device=tokens.device).tril()
    )


@also("causal_mask_left_in", "mask")
def causal_mask_instead_of_padding(self, tokens):
    return torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool, device=tokens.device).tril()


@mistake(
    "mask",
    symptom="No token attends to [CLS].",
    cause="[CLS], the first place, was hidden together with padding. It is to be read at the end, but as a key it "
    "is a token like the others.",
    place="Hide padding and nothing else.",
)
def first_token_hidden(self, tokens):
    visible = padding_mask(tokens, self.pad_id).clone()
    visible[:, :, 0] = False
    return visible


@mistake(
    "encode",
    symptom="The attention weights are as wide as the batch, and not as the texts: texts attend to each other.",
    cause="Batch and time were exchanged on the way into the encoder, as nn.TransformerEncoder wants it without "
    "batch_first. In this course the batch comes first, so tokens of different texts attend to each other.",
    place="Give the encoder [batch, time, embed_dim], without a transpose.",
    shows=[("classifier_computes", "another shape", "weights of layer *")],
)
def batch_and_time_exchanged(self, x, mask):
    x, weights = self.encoder(x.transpose(0, 1))
    return x.transpose(0, 1), weights


@mistake(
    "make_encoder",
    symptom="The encoder has a final norm, and its layers normalise before the sublayers.",
    cause="norm_first=True is GPT-2's form. BERT is post-norm, as the paper of 2017 is: each sum of a sublayer and "
    "its input is normalised.",
    place="Build the encoder with `norm_first=False`, its default.",
    shows=[("classifier_has_its_parameters", "differ", "superfluous parameters")],
)
def norm_before_the_sublayers(self, num_layers, embed_dim, num_heads, ff_dim, dropout, activation):
    return Encoder(num_layers, embed_dim, num_heads, ff_dim, dropout, norm_first=True, activation=activation)


@mistake(
    "make_encoder",
    symptom="The feed-forward networks have another activation than was asked for.",
    cause="activation was not handed on, so the encoder took its own default, ReLU; or a fixed one was handed on.",
    place="Build the encoder with `activation=activation`.",
    shows=[("classifier_passes_the_activation", "differ")],
)
def activation_not_handed_on(self, num_layers, embed_dim, num_heads, ff_dim, dropout, activation):
    return Encoder(num_layers, embed_dim, num_heads, ff_dim, dropout)


@also("activation_not_handed_on", "make_encoder")
def activation_is_always_gelu(self, num_layers, embed_dim, num_heads, ff_dim, dropout, activation):
    return Encoder(num_layers, embed_dim, num_heads, ff_dim, dropout, activation=F.gelu)


@mistake(
    "make_encoder",
    symptom="In training nothing is dropped in the encoder.",
    cause="dropout was not handed on, so the encoder took its default of 0.",
    place="Give dropout to the embedding and to the encoder.",
    shows=[("classifier_drops_in_training", "differ", "training*"), ("classifier_computes", "right")],
)
def dropout_not_handed_to_the_encoder(self, num_layers, embed_dim, num_heads, ff_dim, dropout, activation):
    return Encoder(num_layers, embed_dim, num_heads, ff_dim, activation=activation)


@mistake(
    "make_encoder",
    symptom="Heads and layers have changed places: there are as many layers as heads were asked for.",
    cause="Encoder takes num_layers first and num_heads third. Numbers in the wrong order raise no error as long "
    "as both divide embed_dim.",
    place="Compare the order of your arguments with Encoder's, or pass them by name.",
)
def heads_and_layers_exchanged(self, num_layers, embed_dim, num_heads, ff_dim, dropout, activation):
    return Encoder(num_heads, embed_dim, num_layers, ff_dim, dropout, activation=activation)


@mistake(
    "make_embedding",
    symptom="The positions are a fixed table of waves, not a parameter.",
    cause="TransformerEmbedding's default is the sinusoidal table of the 2017 paper. BERT learns a vector per "
    "position.",
    place='Build the embedding with `positions="learned"`.',
    shows=[("classifier_has_its_parameters", "differ", "missing parameters")],
)
def sinusoidal_positions(self, vocab_size, embed_dim, max_len, dropout):
    return TransformerEmbedding(vocab_size, embed_dim, max_len, dropout=dropout)


@mistake(
    "make_embedding",
    symptom="In training the embedding drops nothing.",
    cause="dropout was not handed on to the embedding, whose default is 0.",
    place="Build the embedding with `dropout=dropout`.",
    shows=[("classifier_drops_in_training", "differ", "training*"), ("classifier_computes", "right")],
)
def dropout_not_handed_to_the_embedding(self, vocab_size, embed_dim, max_len, dropout):
    return TransformerEmbedding(vocab_size, embed_dim, max_len, positions="learned")


@mistake(
    "embed",
    symptom="There are no positions: the same token has the same vector at every place.",
    cause="The token table was used by itself. Attention knows no order, so without positions a text is a bag of "
    "words.",
    place="Call the whole embedding, `self.embedding(tokens)`.",
    shows=[("classifier_computes", "differ", "logits"), ("classifier_has_its_parameters", "right")],
)
def positions_missing(self, tokens):
    return self.embedding.token(tokens)


@mistake(
    "embed",
    symptom="The token vectors are too large by the factor √embed_dim before the positions are added.",
    cause="The paper of 2017 multiplies its embeddings by that factor, because its positions are fixed waves. BERT "
    "learns both tables and multiplies neither.",
    place="Take the factor out.",
    shows=[("classifier_computes", "differ", "logits")],
)
def tokens_scaled(self, tokens):
    return self.embedding.position(self.embedding.token(tokens) * self.embedding.token.embedding_dim**0.5)


@mistake(
    "settle",
    symptom="What enters the encoder is not normalised.",
    cause="The norm behind the embedding is missing. A post-norm encoder normalises what its sublayers give, so "
    "the first sublayer would get the plain sum of the tables.",
    place="Apply `self.norm` to what the embedding gives.",
    shows=[("classifier_computes", "differ", "weights of layer 0")],
)
def embedding_norm_missing(self, x):
    return x


@mistake(
    "encode",
    symptom="The states that the encoder gives are normalised once more.",
    cause="The norm stands behind the encoder. There a post-norm encoder has just normalised; BERT's extra norm "
    "is the one behind the embedding.",
    place="Apply `self.norm` before the encoder.",
    shows=[("classifier_computes", "differ", "logits")],
)
def norm_behind_the_encoder(self, x, mask):
    x, weights = self.encoder(x, mask)
    return self.norm(x), weights


@also("norm_behind_the_encoder")
class norm_moved_behind_the_encoder:
    def settle(self, x):
        return x

    def encode(self, x, mask):
        x, weights = self.encoder(x, mask)
        return self.norm(x), weights


@mistake(
    "pool",
    symptom="The head gets another vector than the pooler's: the pooler is not used, or without its tanh.",
    cause="The pooler is a linear layer *and* a tanh. Two linear layers without anything between them could do no "
    "more than one.",
    place="`self.head(torch.tanh(self.pooler(x[:, 0])))`",
    shows=[("classifier_computes", "differ", "logits"), ("classifier_computes", "right", "weights of layer *")],
)
def pooler_incomplete(self, picked):
    return self.pooler(picked)


@also("pooler_incomplete", "pool")
def pooler_missing(self, picked):
    return picked


@also("pooler_incomplete", "pool")
def tanh_without_a_pooler(self, picked):
    return torch.tanh(picked)


@mistake(
    "pool",
    symptom="The pooler has another activation than tanh.",
    cause="BERT's pooler uses tanh; its feed-forward networks use GELU. The two are easily mixed up.",
    place="`torch.tanh(self.pooler(x[:, 0]))`",
    shows=[("classifier_computes", "differ", "logits")],
)
def pooler_with_another_activation(self, picked):
    return F.gelu(self.pooler(picked))


@also("pooler_with_another_activation", "pool")
def pooler_with_relu(self, picked):
    return torch.relu(self.pooler(picked))


@mistake(
    "score",
    symptom="The logits are probabilities, or logarithms of probabilities.",
    cause="A softmax was applied in the model. F.cross_entropy works on logits and contains one; a second one "
    "makes the classes nearly equal.",
    place="Return what the head gives.",
    shows=[("classifier_computes", "differ", "logits")],
)
def softmax_in_the_model(self, pooled):
    return self.head(pooled).softmax(dim=-1)


@also("softmax_in_the_model", "score")
def log_softmax_in_the_model(self, pooled):
    return self.head(pooled).log_softmax(dim=-1)


@also("softmax_in_the_model", "score")
def sigmoid_in_the_model(self, pooled):
    return self.head(pooled).sigmoid()


@mistake(
    "score",
    symptom="The result is as wide as embed_dim, not as the number of classes.",
    cause="The head is not applied. The pooler gives a vector; the head makes one logit per class of it.",
    place="Return `self.head(pooled)`.",
    shows=[("classifier_computes", "another shape", "logits")],
)
def head_not_applied(self, pooled):
    return pooled


@mistake(
    "answer",
    credit=0.5,
    symptom="One tensor comes back where a pair is expected.",
    cause="Only the logits are returned. The weights are part of the answer: they show what [CLS] looks at.",
    place="Return both: logits, weights.",
    shows=[("classifier_computes", "missing", "weights of layer *")],
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
    "answer",
    credit=0.5,
    symptom="The second thing returned is not the list of attention weights, one tensor per layer with all heads.",
    cause="Only one layer's weights were returned, or they were averaged over the heads.",
    place="Pass on the list that the encoder returns.",
    shows=[("classifier_computes", "right", "logits")],
)
def other_weights_returned(self, logits, weights):
    return logits, weights[-1]


@also("other_weights_returned", "answer")
def weights_averaged_over_heads(self, logits, weights):
    return logits, [each.mean(1) for each in weights]


# mask_tokens, the right way


@step
def draw(tokens, generator):
    """first numbers drawn"""
    return torch.rand(tokens.shape, generator=generator, device=tokens.device)


@step
def second_draw(tokens, first, probability, generator):
    """second numbers drawn"""
    return torch.rand(tokens.shape, generator=generator, device=tokens.device)


@step
def draw_tokens(tokens, vocab_size, generator):
    """tokens drawn"""
    return torch.randint(vocab_size, tokens.shape, generator=generator, device=tokens.device)


@step
def find_special(tokens, special_ids):
    """special tokens"""
    return torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))


@step
def choose(first, special, probability):
    """chosen tokens"""
    return (first < probability) & ~special


@step
def hidden(fate):
    """tokens to hide"""
    return fate < 0.8


@step
def disturbed(fate):
    """tokens to disturb"""
    return fate >= 0.9


@step
def reach(chosen):
    return chosen


@step
def label(tokens, chosen, inputs):
    """labels"""
    return tokens.masked_fill(~chosen, -100)


@step
def hide(tokens, where, mask_id):
    """inputs with the mask"""
    return tokens.masked_fill(where, mask_id)


@step
def hand_over(inputs, labels):
    """inputs; labels"""
    return inputs, labels


@component(
    "draw",
    "second_draw",
    "draw_tokens",
    "find_special",
    "choose",
    "hidden",
    "disturbed",
    "reach",
    "label",
    "hide",
    "hand_over",
)
def mask_tokens(step, tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None):
    first = step.draw(tokens, generator)
    chosen = step.choose(first, step.find_special(tokens, special_ids), probability)
    fate = step.second_draw(tokens, first, probability, generator)
    others = step.draw_tokens(tokens, vocab_size, generator)
    reached = step.reach(chosen)
    inputs = step.hide(tokens, reached & step.hidden(fate), mask_id)
    inputs = torch.where(reached & step.disturbed(fate), others, inputs)
    return step.hand_over(inputs, step.label(tokens, chosen, inputs))


@mistake(
    "find_special",
    symptom="Special tokens are chosen: [CLS], [SEP] or padding get a label, and may be replaced.",
    cause="They are no words, and there is nothing to be learned from guessing them. All ids in special_ids have "
    "to be left out.",
    place="Combine the draw with `~torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))`.",
    shows=[("masking_chooses_tokens", "differ", "*special tokens with a label")],
)
def special_tokens_masked(tokens, special_ids):
    return torch.zeros_like(tokens, dtype=torch.bool)


@also("special_tokens_masked", "find_special")
def only_the_first_special_id(tokens, special_ids):
    return tokens == special_ids[0]


@also("special_tokens_masked", "find_special")
def only_the_first_place(tokens, special_ids):
    special = torch.zeros_like(tokens, dtype=torch.bool)
    special[:, 0] = True
    return special


@also("special_tokens_masked", "find_special")
def only_token_0_special(tokens, special_ids):
    return tokens == 0


@mistake(
    "choose",
    symptom="Only special tokens get a label, and no word does.",
    cause="The condition is the wrong way round: special tokens are the ones that are never chosen.",
    place="Look for a missing `~` in front of what says where special tokens stand.",
    shows=[("masking_chooses_tokens", "differ", "*special tokens with a label"), ("masking_chooses_tokens", "is 0.00")],
)
def only_special_tokens_masked(first, special, probability):
    return (first < probability) & special


@mistake(
    "choose",
    symptom="Another share of the tokens is chosen than was asked for.",
    cause="The comparison is the wrong way round, or the probability is a fixed number. A number drawn from 0 to 1 "
    "is *below* p with the probability p.",
    place="`torch.rand(...) < probability`",
    shows=[("masking_takes_a_probability", "differ", "*share of ordinary tokens with a label")],
)
def another_probability(first, special, probability):
    return (first > probability) & ~special


@also("another_probability", "choose")
def fixed_probability(first, special, probability):
    return (first < 0.15) & ~special


@also("another_probability", "choose")
def everything_chosen(first, special, probability):
    return ~special


@mistake(
    "draw",
    symptom="The same places are chosen in every text, or whole texts are.",
    cause="There are too few draws: one per place or one per text, which then holds for a whole column or row. "
    "Every token of every text is drawn for by itself.",
    place="Draw with `torch.rand(tokens.shape, ...)`.",
    shows=[("masking_chooses_tokens", "differ", "*the same for all texts*")],
)
def too_few_draws(tokens, generator):
    return torch.rand(tokens.shape[1], generator=generator, device=tokens.device).expand(tokens.shape)


@also("too_few_draws", "draw")
def one_draw_per_text(tokens, generator):
    return torch.rand(len(tokens), 1, generator=generator, device=tokens.device).expand(tokens.shape)


@mistake(
    credit=0.5,
    symptom="Exactly the share that was asked for is chosen, every time; how many are chosen is not left to chance.",
    cause="A number of tokens was worked out first, and so many were then picked from each text, or from the whole batch. "
    "Drawn for by itself, each token is chosen or not whatever becomes of the others, so their number varies.",
    place="`torch.rand(tokens.shape, ...) < probability`, without counting, sorting or shuffling.",
    shows=[("masking_leaves_the_number_to_chance", "is yes")],
)
class exact_number_chosen:
    @staticmethod
    def choose(first, special, probability):
        number = ((~special).sum(dim=1, keepdim=True) * probability).round()
        return first.masked_fill(special, 2.0).argsort(dim=1).argsort(dim=1) < number


@also("exact_number_chosen", "choose")
def exact_number_rounded_down(first, special, probability):
    number = ((~special).sum(dim=1, keepdim=True) * probability).long()
    return first.masked_fill(special, 2.0).argsort(dim=1).argsort(dim=1) < number


@also("exact_number_chosen", "choose")
def exact_number_of_the_length(first, special, probability):
    number = round(first.shape[1] * probability)
    return (first.masked_fill(special, 2.0).argsort(dim=1).argsort(dim=1) < number) & ~special


@also("exact_number_chosen", "choose")
def exact_number_of_the_batch(first, special, probability):
    number = round(int((~special).sum()) * probability)
    rank = first.masked_fill(special, 2.0).flatten().argsort().argsort()
    return (rank < number).reshape(first.shape)


@mistake(
    "mask_tokens",
    credit=0.5,
    symptom="Of the chosen tokens exactly 8 of 10 become [MASK], every time; how many do is not left to chance.",
    cause="The chosen tokens were counted, put into a random order and cut into three pieces. Drawn for by itself, what "
    "becomes of a token does not depend on what became of the others, so the numbers vary.",
    place="Draw one number for each token, and compare it with 0.8 and 0.9.",
    shows=[("masking_leaves_the_shares_to_chance", "is yes")],
)
def exact_shares(tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None):
    special = torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))
    chosen = (torch.rand(tokens.shape, generator=generator, device=tokens.device) < probability) & ~special
    order = torch.rand(tokens.shape, generator=generator, device=tokens.device).masked_fill(~chosen, 2.0)
    rank, number = order.argsort(dim=1).argsort(dim=1), chosen.sum(dim=1, keepdim=True)
    others = torch.randint(vocab_size, tokens.shape, generator=generator, device=tokens.device)
    inputs = tokens.masked_fill(chosen & (rank < (0.8 * number).long()), mask_id)
    return torch.where(chosen & (rank >= (0.9 * number).long()), others, inputs), tokens.masked_fill(~chosen, -100)


@also("exact_shares", "mask_tokens")
def exact_shares_of_the_batch(tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None):
    special = torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))
    chosen = (torch.rand(tokens.shape, generator=generator, device=tokens.device) < probability) & ~special
    order = torch.rand(tokens.shape, generator=generator, device=tokens.device).masked_fill(~chosen, 2.0)
    rank, number = order.flatten().argsort().argsort().reshape(tokens.shape), chosen.sum()
    others = torch.randint(vocab_size, tokens.shape, generator=generator, device=tokens.device)
    inputs = tokens.masked_fill(chosen & (rank < 0.8 * number), mask_id)
    return torch.where(chosen & (rank >= 0.9 * number), others, inputs), tokens.masked_fill(~chosen, -100)


@mistake(
    "hidden",
    symptom="Of 100 chosen tokens other numbers than 80, 10 and 10 become [MASK], become a random token, and stay.",
    cause="Of the chosen ones 80 % become [MASK], 10 % a random token, and 10 % stay. The shares are of the chosen "
    "tokens, not of all, and one draw has to decide among the three.",
    place="Draw one number for each token: below 0.8 [MASK], from 0.9 on a random token, between the two nothing.",
    shows=[("masking_keeps_the_shares", "differ", "of tokens with a label*")],
)
def wrong_shares(fate):
    return fate < 1.0


@also("wrong_shares")
class always_the_mask_token:
    @staticmethod
    def hidden(fate):
        return fate < 2.0

    @staticmethod
    def disturbed(fate):
        return fate > 2.0


@also("wrong_shares", "disturbed")
def never_a_random_token(fate):
    return fate > 2.0


@also("wrong_shares", "disturbed")
def never_left_as_it_is(fate):
    return fate >= 0.8


@also("wrong_shares", "hidden")
def shares_exchanged(fate):
    return fate < 0.1


@also("wrong_shares")
class random_and_mask_exchanged:
    @staticmethod
    def hidden(fate):
        return fate >= 0.9

    @staticmethod
    def disturbed(fate):
        return fate < 0.8


@also("wrong_shares", "mask_tokens")
def later_draw_takes_from_the_mask(tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None):
    special = torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))
    chosen = (torch.rand(tokens.shape, generator=generator, device=tokens.device) < probability) & ~special
    inputs = tokens.masked_fill(chosen, mask_id)
    disturbed = chosen & (torch.rand(tokens.shape, generator=generator, device=tokens.device) < 0.1)
    others = torch.randint(vocab_size, tokens.shape, generator=generator, device=tokens.device)
    return torch.where(disturbed, others, inputs), tokens.masked_fill(~chosen, -100)


@mistake(
    "mask_tokens",
    symptom="Of 100 chosen tokens other numbers than 80, 10 and 10 become [MASK], become a random token, and stay: what "
    "one draw decides, or leaves, is drawn for again.",
    cause="The shares are of all chosen tokens. A later draw meets only what the one before has left: of the 20 % behind "
    "80 % [MASK], 10 % are 2 %, and of the 90 % behind 10 % random tokens, 90 % are 81 %. Or it takes from what has been "
    "decided already.",
    place="Let one draw decide (below 0.8, from 0.9 on), or give the later draw the share of what is left: 0.5 of the "
    "last 20 %.",
    shows=[("masking_keeps_the_shares", "differ", "of tokens with a label*")],
)
def second_draw_of_what_is_left(tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None):
    special = torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))
    chosen = (torch.rand(tokens.shape, generator=generator, device=tokens.device) < probability) & ~special
    masked = chosen & (torch.rand(tokens.shape, generator=generator, device=tokens.device) < 0.8)
    inputs = tokens.masked_fill(masked, mask_id)
    disturbed = chosen & ~masked & (torch.rand(tokens.shape, generator=generator, device=tokens.device) < 0.1)
    others = torch.randint(vocab_size, tokens.shape, generator=generator, device=tokens.device)
    return torch.where(disturbed, others, inputs), tokens.masked_fill(~chosen, -100)


@also("second_draw_of_what_is_left", "mask_tokens")
def second_draw_of_what_is_left_on_the_default_device(
    tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None
):
    special = torch.isin(tokens, torch.tensor(special_ids))
    chosen = (torch.rand(tokens.shape, generator=generator) < probability) & ~special
    masked = chosen & (torch.rand(tokens.shape, generator=generator) < 0.8)
    inputs = tokens.masked_fill(masked, mask_id)
    disturbed = chosen & ~masked & (torch.rand(tokens.shape, generator=generator) < 0.1)
    others = torch.randint(vocab_size, tokens.shape, generator=generator)
    return torch.where(disturbed, others, inputs), tokens.masked_fill(~chosen, -100)


@also("second_draw_of_what_is_left", "mask_tokens")
def masked_from_what_random_tokens_left(tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None):
    special = torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))
    chosen = (torch.rand(tokens.shape, generator=generator, device=tokens.device) < probability) & ~special
    disturbed = chosen & (torch.rand(tokens.shape, generator=generator, device=tokens.device) < 0.1)
    masked = chosen & ~disturbed & (torch.rand(tokens.shape, generator=generator, device=tokens.device) < 0.9)
    others = torch.randint(vocab_size, tokens.shape, generator=generator, device=tokens.device)
    inputs = torch.where(disturbed, others, tokens).masked_fill(masked, mask_id)
    return inputs, tokens.masked_fill(~chosen, -100)


@also("second_draw_of_what_is_left", "mask_tokens")
def masked_from_what_stays_left(tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None):
    special = torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))
    chosen = (torch.rand(tokens.shape, generator=generator, device=tokens.device) < probability) & ~special
    changed = chosen & (torch.rand(tokens.shape, generator=generator, device=tokens.device) < 0.9)
    masked = torch.rand(tokens.shape, generator=generator, device=tokens.device) < 0.9
    others = torch.randint(vocab_size, tokens.shape, generator=generator, device=tokens.device)
    inputs = torch.where(changed & ~masked, others, tokens).masked_fill(changed & masked, mask_id)
    return inputs, tokens.masked_fill(~chosen, -100)


@also("second_draw_of_what_is_left", "mask_tokens")
def masked_from_what_stays_left_at_80(tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None):
    special = torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))
    chosen = (torch.rand(tokens.shape, generator=generator, device=tokens.device) < probability) & ~special
    changed = chosen & (torch.rand(tokens.shape, generator=generator, device=tokens.device) >= 0.1)
    masked = torch.rand(tokens.shape, generator=generator, device=tokens.device) < 0.8
    others = torch.randint(vocab_size, tokens.shape, generator=generator, device=tokens.device)
    inputs = torch.where(changed & ~masked, others, tokens).masked_fill(changed & masked, mask_id)
    return inputs, tokens.masked_fill(~chosen, -100)


@also("second_draw_of_what_is_left", "mask_tokens")
def masked_from_what_random_tokens_left_at_80(
    tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None
):
    special = torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))
    chosen = (torch.rand(tokens.shape, generator=generator, device=tokens.device) < probability) & ~special
    disturbed = chosen & (torch.rand(tokens.shape, generator=generator, device=tokens.device) < 0.1)
    masked = chosen & ~disturbed & (torch.rand(tokens.shape, generator=generator, device=tokens.device) < 0.8)
    others = torch.randint(vocab_size, tokens.shape, generator=generator, device=tokens.device)
    inputs = torch.where(disturbed, others, tokens).masked_fill(masked, mask_id)
    return inputs, tokens.masked_fill(~chosen, -100)


@mistake(
    "second_draw",
    symptom="All chosen tokens become [MASK]: the first draw decides their fate as well.",
    cause="The number that chose a token is below the probability, 0.15, so it is also below 0.8. What becomes of "
    "a chosen token needs a second draw (or a comparison with shares of the probability).",
    place="Call torch.rand once more for the fate of the chosen tokens.",
    shows=[("masking_chooses_tokens", "is 10 tenths")],
)
def same_draw_twice(tokens, first, probability, generator):
    return first


@mistake(
    "reach",
    symptom="Tokens that were not chosen are replaced.",
    cause="The second draw was applied to all tokens, or to all but the special ones, so most of the text becomes [MASK]. "
    "80, 10 and 10 % are shares of the chosen ones.",
    place="Combine the second draw with `chosen &`.",
    shows=[("masking_chooses_tokens", "differ", "*tokens without a label that become*")],
)
def all_tokens_replaced(chosen):
    return torch.ones_like(chosen)


@also("all_tokens_replaced", "mask_tokens")
def all_words_replaced(tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None):
    special = torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))
    chosen = (torch.rand(tokens.shape, generator=generator, device=tokens.device) < probability) & ~special
    fate = torch.rand(tokens.shape, generator=generator, device=tokens.device).masked_fill(special, 0.85)
    others = torch.randint(vocab_size, tokens.shape, generator=generator, device=tokens.device)
    inputs = torch.where(fate >= 0.9, others, tokens.masked_fill(fate < 0.8, mask_id))
    return inputs, tokens.masked_fill(~chosen, -100)


@also("all_tokens_replaced", "mask_tokens")
def all_tokens_masked_and_chosen_ones_disturbed(
    tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None
):
    special = torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))
    chosen = (torch.rand(tokens.shape, generator=generator, device=tokens.device) < probability) & ~special
    fate = torch.rand(tokens.shape, generator=generator, device=tokens.device)
    others = torch.randint(vocab_size, tokens.shape, generator=generator, device=tokens.device)
    inputs = torch.where(chosen & (fate >= 0.9), others, tokens.masked_fill(fate < 0.8, mask_id))
    return inputs, tokens.masked_fill(~chosen, -100)


@mistake(
    "mask_tokens",
    symptom="Tokens that were not chosen become random tokens.",
    cause="Where a random token comes was decided without asking which tokens are chosen. Such a place has no label, so "
    "the text is spoiled there and nothing is learned from it.",
    place="Combine the condition for random tokens with `chosen &`.",
    shows=[("masking_chooses_tokens", "differ", "*tokens without a label that are changed")],
)
def random_tokens_at_unchosen_places(tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None):
    special = torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))
    chosen = (torch.rand(tokens.shape, generator=generator, device=tokens.device) < probability) & ~special
    fate = torch.rand(tokens.shape, generator=generator, device=tokens.device)
    others = torch.randint(vocab_size, tokens.shape, generator=generator, device=tokens.device)
    inputs = tokens.masked_fill(chosen & (fate < 0.8), mask_id)
    return torch.where(fate >= 0.9, others, inputs), tokens.masked_fill(~chosen, -100)


@also("random_tokens_at_unchosen_places", "mask_tokens")
def random_tokens_at_unchosen_words(tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None):
    special = torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))
    chosen = (torch.rand(tokens.shape, generator=generator, device=tokens.device) < probability) & ~special
    masked = chosen & (torch.rand(tokens.shape, generator=generator, device=tokens.device) < 0.8)
    disturbed = ~masked & ~special & (torch.rand(tokens.shape, generator=generator, device=tokens.device) < 0.5)
    others = torch.randint(vocab_size, tokens.shape, generator=generator, device=tokens.device)
    inputs = torch.where(disturbed, others, tokens.masked_fill(masked, mask_id))
    return inputs, tokens.masked_fill(~chosen, -100)


@also("random_tokens_at_unchosen_places", "mask_tokens")
def random_tokens_at_all_that_is_not_masked(tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None):
    special = torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))
    chosen = (torch.rand(tokens.shape, generator=generator, device=tokens.device) < probability) & ~special
    masked = chosen & (torch.rand(tokens.shape, generator=generator, device=tokens.device) < 0.8)
    disturbed = ~masked & (torch.rand(tokens.shape, generator=generator, device=tokens.device) < 0.5)
    others = torch.randint(vocab_size, tokens.shape, generator=generator, device=tokens.device)
    inputs = torch.where(disturbed, others, tokens.masked_fill(masked, mask_id))
    return inputs, tokens.masked_fill(~chosen, -100)


@also("random_tokens_at_unchosen_places", "mask_tokens")
def random_tokens_where_nothing_was_chosen(tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None):
    special = torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))
    chosen = (torch.rand(tokens.shape, generator=generator, device=tokens.device) < probability) & ~special
    fate = torch.rand(tokens.shape, generator=generator, device=tokens.device)
    others = torch.randint(vocab_size, tokens.shape, generator=generator, device=tokens.device)
    inputs = tokens.masked_fill(chosen & (fate < 0.8), mask_id)
    inputs = torch.where((fate >= 0.9) & ~special, others, inputs)
    return inputs, tokens.masked_fill(~chosen, -100)


@mistake(
    "label",
    symptom="Places that are no question have a label.",
    cause="The labels are all tokens. Where nothing was chosen the label has to be -100, which the loss leaves "
    "out; otherwise the model is trained to copy.",
    place="`labels = tokens.masked_fill(~chosen, -100)`",
    shows=[("masking_chooses_tokens", "differ")],
)
def unchosen_places_with_a_label(tokens, chosen, inputs):
    return tokens.clone()


@also("unchosen_places_with_a_label", "label")
def unchosen_places_with_label_0(tokens, chosen, inputs):
    return tokens.masked_fill(~chosen, 0)


@mistake(
    "label",
    symptom="The chosen places have the label -100, and all others have one.",
    cause="The condition is the wrong way round: -100 stands where nothing is asked.",
    place="`labels = tokens.masked_fill(~chosen, -100)`, with the `~`.",
    shows=[("masking_chooses_tokens", "differ")],
)
def labels_inverted(tokens, chosen, inputs):
    return tokens.masked_fill(chosen, -100)


@mistake(
    "label",
    symptom="Labels say [MASK]: they are not the tokens that stood there.",
    cause="The labels were taken from the inputs after they had been changed, or from a tensor that is the same as "
    "the inputs under another name. The question would be its own answer.",
    place="Make the labels from the tokens before anything is replaced, and in a tensor of their own.",
    shows=[("masking_chooses_tokens", "differ", "*labels that are not the token itself")],
)
def labels_taken_after_masking(tokens, chosen, inputs):
    return inputs.masked_fill(~chosen, -100)


@mistake(
    "label",
    symptom="Some chosen places have no label: those that were left as they are, or that got a random token.",
    cause="Only places that look changed, or that show [MASK], have a label. All chosen ones count: it is the "
    "possibility of being asked anywhere that makes the model attentive everywhere.",
    place="Make the labels from `chosen` alone.",
    shows=[("masking_keeps_the_shares", "differ", "of tokens with a label, share that stays")],
)
def only_changed_places_with_a_label(tokens, chosen, inputs):
    return tokens.masked_fill(inputs == tokens, -100)


@also("only_changed_places_with_a_label", "mask_tokens")
def only_mask_tokens_with_a_label(tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None):
    special = torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))
    chosen = (torch.rand(tokens.shape, generator=generator, device=tokens.device) < probability) & ~special
    fate = torch.rand(tokens.shape, generator=generator, device=tokens.device)
    others = torch.randint(vocab_size, tokens.shape, generator=generator, device=tokens.device)
    inputs = tokens.masked_fill(chosen & (fate < 0.8), mask_id)
    inputs = torch.where(chosen & (fate >= 0.9), others, inputs)
    return inputs, tokens.masked_fill(~(chosen & (fate < 0.8)), -100)


@mistake(
    "draw_tokens",
    symptom="The random tokens are not drawn from the whole vocabulary with equal probability: some come seldom or never.",
    cause="One token was drawn for all places, the tokens of the text were shuffled, some ids were left out (special ones "
    "belong to the vocabulary, too), or the upper bound is one too low: randint never returns it.",
    place="`torch.randint(vocab_size, tokens.shape, generator=generator, device=tokens.device)`",
)
def random_tokens_not_uniform(tokens, vocab_size, generator):
    return torch.randint(vocab_size, (1, 1), generator=generator, device=tokens.device).expand(tokens.shape)


@also("random_tokens_not_uniform", "draw_tokens")
def first_token_never_drawn(tokens, vocab_size, generator):
    return torch.randint(1, vocab_size, tokens.shape, generator=generator, device=tokens.device)


@also("random_tokens_not_uniform", "draw_tokens")
def first_tokens_never_drawn(tokens, vocab_size, generator):
    return torch.randint(8, vocab_size, tokens.shape, generator=generator, device=tokens.device)


@also("random_tokens_not_uniform", "draw_tokens")
def small_ids_more_often(tokens, vocab_size, generator):
    drawn = torch.rand(tokens.shape, generator=generator, device=tokens.device)
    return (drawn.square() * vocab_size).long()


@also("random_tokens_not_uniform", "mask_tokens")
def random_tokens_that_are_not_special(tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None):
    special = torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))
    chosen = (torch.rand(tokens.shape, generator=generator, device=tokens.device) < probability) & ~special
    fate = torch.rand(tokens.shape, generator=generator, device=tokens.device)
    words = torch.tensor([token for token in range(vocab_size) if token not in special_ids], device=tokens.device)
    others = words[torch.randint(len(words), tokens.shape, generator=generator, device=tokens.device)]
    inputs = torch.where(chosen & (fate >= 0.9), others, tokens.masked_fill(chosen & (fate < 0.8), mask_id))
    return inputs, tokens.masked_fill(~chosen, -100)


@also("random_tokens_not_uniform", "draw_tokens")
def last_token_never_drawn(tokens, vocab_size, generator):
    return torch.randint(vocab_size - 1, tokens.shape, generator=generator, device=tokens.device)


@also("random_tokens_not_uniform", "draw_tokens")
def tokens_of_the_text_shuffled(tokens, vocab_size, generator):
    order = torch.randperm(tokens.numel(), generator=generator, device=tokens.device)
    return tokens.flatten()[order].reshape(tokens.shape)


@mistake(
    "second_draw",
    credit=0.5,
    symptom="The same generator gives other results each time.",
    cause="Not every draw uses the generator, so the global one has a part in it. Nobody can then repeat an "
    "experiment.",
    place="Give `generator=generator` to every torch.rand, torch.randint and torch.bernoulli.",
    shows=[("masking_uses_the_generator", "differ")],
)
def generator_ignored(tokens, first, probability, generator):
    return torch.rand(tokens.shape, device=tokens.device)


@also("generator_ignored", "draw")
def generator_ignored_for_the_choice(tokens, generator):
    return torch.rand(tokens.shape, device=tokens.device)


@also("generator_ignored", "draw_tokens")
def generator_ignored_for_the_tokens(tokens, vocab_size, generator):
    return torch.randint(vocab_size, tokens.shape, device=tokens.device)


@also("generator_ignored")
class generator_never_used:
    @staticmethod
    def draw(tokens, generator):
        return torch.rand(tokens.shape, device=tokens.device)

    @staticmethod
    def second_draw(tokens, first, probability, generator):
        return torch.rand(tokens.shape, device=tokens.device)

    @staticmethod
    def draw_tokens(tokens, vocab_size, generator):
        return torch.randint(vocab_size, tokens.shape, device=tokens.device)


@mistake(
    "hand_over",
    symptom="Inputs and labels have changed places.",
    cause="The order is part of the contract: what the model reads comes first.",
    place="Return inputs, labels.",
    shows=[("masking_chooses_tokens", "differ")],
)
def inputs_and_labels_exchanged(inputs, labels):
    return labels, inputs


@mistake(
    "hide",
    credit=0.5,
    symptom="The caller's tensor is different after the call.",
    cause="It was changed in place: by an assignment to a part of it, by `*=`, or by a method that ends in an "
    "underscore. The text is lost for the next epoch, and labels taken from it later are wrong.",
    place="Use masked_fill or torch.where, or clone first.",
    shows=[
        ("masking_changes_nothing", "differ"),
        ("guesses_change_nothing", "differ"),
        ("vectors_change_nothing", "differ"),
    ],
)
def arguments_changed_in_place(tokens, where, mask_id):
    inputs = tokens.clone()
    inputs[where] = mask_id
    tokens[where] = mask_id
    return inputs


@also("arguments_changed_in_place", "mask_tokens")
def labels_first_then_in_place(tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None):
    special = torch.isin(tokens, torch.tensor(special_ids, device=tokens.device))
    chosen = (torch.rand(tokens.shape, generator=generator, device=tokens.device) < probability) & ~special
    fate = torch.rand(tokens.shape, generator=generator, device=tokens.device)
    labels = tokens.masked_fill(~chosen, -100)
    tokens.masked_fill_(chosen & (fate < 0.8), mask_id)
    others = torch.randint(vocab_size, tokens.shape, generator=generator, device=tokens.device)
    return torch.where(chosen & (fate >= 0.9), others, tokens), labels


@mistake(
    "draw",
    credit=0.5,
    symptom="It fails as soon as the inputs live on another device, such as a GPU.",
    cause="A new tensor was made on the default device, whatever the inputs are on.",
    place="Give `device=tokens.device` to torch.tensor, torch.rand and torch.randint, or use what follows its input.",
    shows=[("masking_follows_the_tokens", "differ"), ("vectors_follow_the_states", "differ")],
)
def fixed_device(tokens, generator):
    return torch.rand(tokens.shape, generator=generator)


# masked_language_model_loss, the right way


@step
def pair_up(logits, labels):
    return logits, labels


@step
def prepare(logits):
    return logits


@step
def price(logits, labels):
    """loss of each token"""
    return F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")


@step
def average(losses, labels):
    """mean loss"""
    return losses.sum() / (labels != -100).sum()


@component("pair_up", "prepare", "price", "average")
def masked_language_model_loss(step, logits, labels):
    logits, labels = step.pair_up(logits, labels)
    return step.average(step.price(step.prepare(logits), labels), labels)


@mistake(
    "average",
    symptom="The loss is too small: it is divided by the number of all places.",
    cause="Where nothing was asked the loss is 0, but these places are still counted. The mean is over the places "
    "with a label.",
    place="Divide by `(labels != -100).sum()`, or leave the mean to F.cross_entropy.",
)
def unasked_places_in_the_divisor(losses, labels):
    return losses.mean()


@mistake(
    "price",
    symptom="Places without a label count, or it fails at the label -100.",
    cause="-100 is no token. It marks the places that the loss has to leave out; taken for a token (another "
    "ignore_index, clamped, or in absolute value), it either fails or makes the model learn nonsense.",
    place="Give F.cross_entropy `ignore_index=-100`, its default.",
)
def unasked_places_counted(logits, labels):
    return F.cross_entropy(logits.transpose(1, 2), labels.clamp(min=0), reduction="none")


@also("unasked_places_counted", "masked_language_model_loss")
def unasked_places_counted_as_token_0(logits, labels):
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten().clamp(min=0))


@also("unasked_places_counted", "price")
def another_ignore_index(logits, labels):
    return F.cross_entropy(logits.transpose(1, 2), labels, reduction="none", ignore_index=0)


@also("unasked_places_counted", "price")
def last_token_of_the_vocabulary(logits, labels):
    logarithms = logits.log_softmax(-1)
    return -logarithms.gather(-1, (labels % logits.shape[-1]).unsqueeze(-1)).squeeze(-1)


@mistake(
    "pair_up",
    symptom="Token 0 does not count as a label.",
    cause="The labels that count were found with `labels > 0`, or 0 was taken for padding. 0 is a token id like "
    "any other; only -100 marks a place that does not count.",
    place="Compare with -100.",
    shows=[("guesses_of_token_0", "differ")],
)
def token_0_left_out(logits, labels):
    return logits, labels.masked_fill(labels == 0, -100)


@mistake(
    "pair_up",
    symptom="The logits of a place are compared with the label of a neighbouring place.",
    cause="Logits and labels were shifted against each other, as for predicting the next token. Here a place is "
    "asked for its own token, which was hidden from it.",
    place="Take the shift out.",
)
def shifted_as_for_the_next_token(logits, labels):
    return logits[:, :-1], labels[:, 1:]


@also("shifted_as_for_the_next_token", "pair_up")
def shifted_the_other_way(logits, labels):
    return logits[:, 1:], labels[:, :-1]


@mistake(
    "price",
    symptom="It fails unless there are as many places as tokens in the vocabulary, and then gives another loss.",
    cause="F.cross_entropy wants the classes on axis 1. Logits [batch, time, vocab] handed over as they are are read as if "
    "places were classes.",
    place="Flatten batch and time of both, or use `transpose(1, 2)`, which moves the axis and not only its name.",
    shows=[("guesses_cost_where_they_were_asked", "raise")],
)
def places_taken_for_classes(logits, labels):
    return F.cross_entropy(logits, labels, reduction="none")


@mistake(
    "price",
    symptom="The logits that belong to a place come from several places.",
    cause="Logits [batch, time, vocab] were brought to [batch, vocab, time] by reshape or view. These cut the same row of "
    "numbers elsewhere; they do not move an axis, and nothing fails.",
    place="Flatten batch and time of both, or use `transpose(1, 2)`, which moves the axis and not only its name.",
    shows=[("guesses_cost_where_they_were_asked", "differ", "loss")],
)
def reshape_instead_of_transpose(logits, labels):
    batch, time, vocab_size = logits.shape
    return F.cross_entropy(logits.reshape(batch, vocab_size, time), labels, reduction="none")


@mistake(
    "prepare",
    symptom="Even a model that is sure and right pays a loss, and a model that is wrong hardly pays more.",
    cause="A softmax comes before the cross-entropy, which contains one. Taken for logits, probabilities lie "
    "between 0 and 1, and a second softmax makes them nearly equal.",
    place="Give F.cross_entropy the logits themselves.",
    shows=[("guesses_of_a_sure_model", "larger", "loss")],
)
def softmax_before_cross_entropy(logits):
    return logits.softmax(dim=-1)


@also("softmax_before_cross_entropy", "prepare")
def softmax_over_places_before_cross_entropy(logits):
    return logits.softmax(dim=1)


@mistake(
    "price",
    symptom="The loss is negative or far too small: no logarithm was taken.",
    cause="F.nll_loss expects logarithms of probabilities and only picks the one of each label. With logits or "
    "probabilities it picks numbers that are no logarithms.",
    place="Use F.cross_entropy on the logits, or F.log_softmax before F.nll_loss.",
)
def logarithm_missing(logits, labels):
    return F.nll_loss(logits.transpose(1, 2), labels, reduction="none")


@also("logarithm_missing", "price")
def logarithm_missing_after_the_softmax(logits, labels):
    return F.nll_loss(logits.softmax(-1).transpose(1, 2), labels, reduction="none")


@mistake(
    "price",
    symptom="The loss has the wrong sign.",
    cause="The logarithm of a probability is negative or 0. The loss is the negative logarithm, so that training "
    "makes it small.",
    place="Put a minus in front of the logarithms.",
    shows=[("guesses_cost_where_they_were_asked", "opposite", "loss")],
)
def sign_missing(logits, labels):
    return -F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")


@mistake(
    "average",
    symptom="The loss grows with the number of guesses.",
    cause="It is a sum (over all, or over each text). A mean does not depend on how many tokens happened to be chosen.",
    place="Divide by the number of places with a label.",
    shows=[("guesses_cost_where_they_were_asked", "larger", "loss")],
)
def sum_instead_of_mean(losses, labels):
    return losses.sum()


@also("sum_instead_of_mean", "average")
def sum_over_time_mean_over_batch(losses, labels):
    return losses.sum(1).mean()


@mistake(
    "average",
    symptom="A text with few hidden tokens counts as much as one with many.",
    cause="A mean of each text is taken, and then the mean of these. The contract is one mean over all guesses of "
    "the batch.",
    place="Sum over the whole batch and divide once.",
    shows=[("guesses_cost_where_they_were_asked", "differ", "loss")],
)
def mean_of_the_texts_means(losses, labels):
    return (losses.sum(1) / (labels != -100).sum(1)).mean()


@mistake(
    "average",
    symptom="One loss per place or per text comes back where a single number is expected.",
    cause='The mean is missing (`reduction="none"`, or a mean over one axis only). backward() needs one number.',
    place="Take the mean over all places with a label.",
    shows=[("guesses_cost_where_they_were_asked", "another shape", "loss")],
)
def losses_not_averaged(losses, labels):
    return losses


@also("losses_not_averaged", "average")
def losses_averaged_over_time(losses, labels):
    return losses.sum(1) / (labels != -100).sum(1)


@also("losses_not_averaged", "average")
def losses_of_the_guesses(losses, labels):
    return losses.flatten() * (labels.flatten() != -100)


@mistake(
    "average",
    symptom="The result is at least 1: it is e to the power of the loss.",
    cause="That is the perplexity, which is easier to read. What training makes small is its logarithm, the loss.",
    place="Leave out the exponential.",
    shows=[("guesses_cost_where_they_were_asked", "higher", "loss")],
)
def perplexity_instead_of_loss(losses, labels):
    return (losses.sum() / (labels != -100).sum()).exp()


@mistake(
    "average",
    symptom="The loss is larger by the factor 1.44.",
    cause="It is measured in bits, with the logarithm to base 2. The contract, like F.cross_entropy, measures in "
    "nats, with the natural logarithm.",
    place="Look for log2, or for a division by log 2.",
    shows=[("guesses_cost_where_they_were_asked", "larger", "loss")],
)
def loss_in_bits(losses, labels):
    return losses.sum() / (labels != -100).sum() / math.log(2)


@mistake(
    "average",
    credit=0.5,
    symptom="No gradient reaches what was given: nothing could be trained with this.",
    cause="The result was cut from autograd by item(), float(), detach or a new torch.tensor.",
    place="Return the tensor as it is; take item() where it is printed.",
    shows=[("guesses_cost_where_they_were_asked", "differ"), ("vectors_pass_gradients", "differ")],
)
def cut_from_autograd(losses, labels):
    return (losses.sum() / (labels != -100).sum()).item()


@also("cut_from_autograd", "average")
def detached(losses, labels):
    return (losses.sum() / (labels != -100).sum()).detach()


# sentence_embedding, the right way


@step
def keep(states, mask):
    """vectors without padding"""
    return states * mask.unsqueeze(-1)


@step
def collect(states, mask):
    """mean of the vectors"""
    return states.sum(dim=1) / mask.sum(dim=1, keepdim=True)


@step
def scale(vectors):
    """vectors of length 1"""
    return vectors / vectors.norm(dim=-1, keepdim=True)


@component("keep", "collect", "scale")
def sentence_embedding(step, states, mask):
    return step.scale(step.collect(step.keep(states, mask), mask))


@mistake(
    "keep",
    symptom="The vector of a text changes with what stands behind it as padding.",
    cause="The states of padding are in the mean. They are not 0: the encoder computes something at every place.",
    place="Multiply the states by the mask before they are added up.",
    shows=[("vectors_leave_padding_out", "differ", "*: vectors")],
)
def padding_in_the_mean(states, mask):
    return states


@mistake(
    "keep",
    symptom="The vector of a text is made of its padding; without padding it is NaN or 0.",
    cause="The mask is the wrong way round. True says that a token is no padding.",
    place="Look for a superfluous `~`.",
    shows=[("vectors_leave_padding_out", "differ", "*: vectors")],
)
def mask_inverted(states, mask):
    return states * ~mask.unsqueeze(-1)


@mistake(
    "collect",
    symptom="The state of a single place is in the vector, the first one or the last.",
    cause="The state of [CLS] is what a classifier reads, and the last one is what a decoder writes with; a sentence "
    "embedding is the mean of all states.",
    place="Add up all states that the mask keeps.",
    shows=[("vectors_are_means", "differ", "*: vectors")],
)
def first_token_only(states, mask):
    return states[:, 0]


@also("first_token_only", "collect")
def last_place_only(states, mask):
    return states[:, -1]


@mistake(
    "collect",
    symptom="In each feature the largest number was taken.",
    cause="This is max pooling, one of the variants in the paper. What is asked for is the mean.",
    place="Use the sum and the number of kept tokens.",
    shows=[("vectors_are_means", "differ", "*: vectors")],
)
def largest_instead_of_mean(states, mask):
    return states.amax(dim=1)


@mistake(
    "collect",
    symptom="The mean runs over the wrong axis.",
    cause="Over the features, or over the texts, it mixes what should stay apart. One text's tokens lie along the "
    "axis of time, axis 1.",
    place="Add up along `dim=1`.",
    shows=[("vectors_are_means", "differ")],
)
def mean_over_another_axis(states, mask):
    return states.mean(dim=-1)


@also("mean_over_another_axis", "collect")
def mean_over_the_batch(states, mask):
    return states.mean(dim=0)


@also("mean_over_another_axis", "collect")
def mean_over_everything_but_features(states, mask):
    return states.sum(dim=(0, 1), keepdim=True).squeeze(0).expand(len(states), -1)


@mistake(
    "scale",
    symptom="The vectors do not have the length 1.",
    cause="The mean was not divided by its length, or by a sum instead of the Euclidean length. Without it, a dot "
    "product of two vectors is not the cosine of their angle.",
    place="`F.normalize(mean, dim=-1)`",
    shows=[("vectors_are_means", "differ", "*: length of each vector")],
)
def not_scaled(vectors):
    return vectors


@also("not_scaled", "scale")
def scaled_by_the_sum(vectors):
    return vectors / vectors.sum(dim=-1, keepdim=True)


@also("not_scaled", "scale")
def scaled_by_absolute_values(vectors):
    return F.normalize(vectors, p=1, dim=-1)


@also("not_scaled", "scale")
def scaled_by_softmax(vectors):
    return vectors.softmax(dim=-1)


@mistake(
    "scale",
    symptom="Not each vector has the length 1: all of them together have, or each feature over the texts.",
    cause="The length was taken over the wrong axis, or over the whole tensor.",
    place="Take the length along the features, `dim=-1`.",
    shows=[("vectors_are_means", "differ", "*: length of each vector")],
)
def scaled_over_another_axis(vectors):
    return F.normalize(vectors, dim=0)


@also("scaled_over_another_axis", "scale")
def scaled_over_everything(vectors):
    return vectors / vectors.norm()


@mistake(
    "keep",
    symptom="The mean weighs the tokens in another way: each state was scaled to length 1 before.",
    cause="Scaled is the mean, once and at the end. Scaled before, every token counts alike, however strong its "
    "state is.",
    place="Take the mean of the states as they are.",
    shows=[("vectors_are_means", "differ", "*: vectors")],
)
def states_scaled_before_the_mean(states, mask):
    return F.normalize(states, dim=-1) * mask.unsqueeze(-1)


@also("states_scaled_before_the_mean")
class states_scaled_and_mean_not:
    @staticmethod
    def keep(states, mask):
        return F.normalize(states, dim=-1) * mask.unsqueeze(-1)

    @staticmethod
    def scale(vectors):
        return vectors


@also("arguments_changed_in_place", "sentence_embedding")
def padding_overwritten(states, mask):
    with torch.no_grad():
        states[~mask] = 0.0
    return F.normalize(states.sum(dim=1) / mask.sum(dim=1, keepdim=True), dim=-1)


@also("fixed_device", "keep")
def mask_made_on_the_default_device(states, mask):
    return states * torch.ones(mask.shape).unsqueeze(-1) * mask.unsqueeze(-1)


# Find the bug


def rows_of_lengths(*lengths):
    """Return texts of these lengths, [CLS] (1) first, padding (0) behind."""
    tokens = torch.arange(len(lengths) * max(lengths)).reshape(len(lengths), -1) % 40 + 3
    tokens[:, 0] = 1
    for row, length in enumerate(lengths):
        tokens[row, length:] = 0
    return tokens


@component()
def classifier_bug_input(step):
    return rows_of_lengths(2, 4, 3)


@mistake(
    "classifier_bug_input",
    symptom="On your input the broken classification is right.",
    cause="There is one text only, so there is nothing to sort and nothing to put back.",
    place="Give it several texts.",
)
def one_text_only():
    return rows_of_lengths(5)


@mistake(
    "classifier_bug_input",
    symptom="On your input the broken classification is right.",
    cause="All texts have the same length. They stay in their order, because the sort is stable, and nothing "
    "has to be put back.",
    place="Give it texts of different lengths, the shorter ones filled up with 0.",
)
def texts_of_one_length():
    return rows_of_lengths(5, 5, 5)


@mistake(
    "classifier_bug_input",
    symptom="On your input the broken classification is right.",
    cause="The longest text comes first, then the next longest: your texts are sorted already, so sorting moves "
    "none of them.",
    place="Give the texts in an order in which sorting has work to do.",
)
def longest_texts_first():
    return rows_of_lengths(5, 4, 2)


@mistake(
    "classifier_bug_input",
    symptom="On your input the broken classification is right, although sorting moves your texts.",
    cause="They change places in pairs. To sort two texts that have changed places once more is to put them back, "
    "so here the same step serves both ways. In general the way back is another one.",
    place="With three texts, write down `order`, then what `[order]` makes of it when it is applied twice. For "
    "which orders is the result not 0, 1, 2?",
)
def texts_that_change_places_in_pairs():
    return rows_of_lengths(2, 5)


@also("texts_that_change_places_in_pairs", "classifier_bug_input")
def shortest_texts_first():
    return rows_of_lengths(2, 3, 4, 5, 6)


@mistake(
    "classifier_bug_input",
    symptom="What comes back are not tokens for this classifier.",
    cause="A text is a row of whole numbers that stand for tokens. It begins with 1, which is [CLS], and 0 is "
    "padding, which stands at the end only.",
    place="Compare your tensor with the docstring, row by row.",
)
def tokens_that_do_not_fit():
    return torch.tensor([[7, 8, 9], [7, 8, 9]])


@also("tokens_that_do_not_fit", "classifier_bug_input")
def padding_in_front():
    return torch.tensor([[1, 0, 0, 7], [1, 7, 8, 9], [1, 0, 7, 8]])


@also("tokens_that_do_not_fit", "classifier_bug_input")
def tokens_with_a_fraction():
    return rows_of_lengths(2, 4, 3).float()


@also("tokens_that_do_not_fit", "classifier_bug_input")
def unknown_tokens():
    return rows_of_lengths(2, 4, 3) + 490 * (rows_of_lengths(2, 4, 3) > 1)


@also("tokens_that_do_not_fit", "classifier_bug_input")
def one_row_without_a_batch():
    return torch.tensor([1, 7, 8])


@also("tokens_that_do_not_fit", "classifier_bug_input")
def a_text_that_is_too_long():
    return rows_of_lengths(2, 60, 3)
