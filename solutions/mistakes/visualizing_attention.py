"""Wrong answers to lesson 11, each with its sentences: what is seen, why it is wrong, where to look."""

import math

import torch

from autograder.mistakes import Catalogue
from workbench.parts import shift_right

catalogue = Catalogue()
step, component, mistake, also = catalogue.step, catalogue.component, catalogue.mistake, catalogue.also


# The right way, a step at a time


@step
def mode(model):
    model.eval()


@step
def decoder_input(model, target):
    """input of the decoder"""
    return shift_right(target, model.bos_id)


@step
def gather(model, source, tokens):
    """weights of a layer"""
    memory, encoder = model.encode(source)
    _, decoder, cross = model.decode(tokens, memory, source)
    return encoder, decoder, cross


@step
def same_depth(kinds):
    return kinds


@step
def all_layers(layers):
    return layers


@step
def sentence(weights, row):
    """weights of the sentence"""
    return weights[row : row + 1]


@step
def all_heads(weights):
    return weights


@step
def of_cross(cross):
    return cross


@step
def in_order(encoder, decoder, cross):
    return encoder, decoder, cross


@component(
    "mode", "decoder_input", "gather", "same_depth", "all_layers", "sentence", "all_heads", "of_cross", "in_order"
)
def collect_attention(step, model, source, target, row=0):
    step.mode(model)
    with torch.no_grad():
        kinds = step.gather(model, source, step.decoder_input(model, target))
    encoder, decoder, cross = (
        [step.all_heads(step.sentence(weights, row)) for weights in step.all_layers(layers)]
        for layers in step.same_depth(kinds)
    )
    return step.in_order(encoder, decoder, step.of_cross(cross))


@step
def refuse(weights, tokens):
    time = weights[0].shape[-1]
    if len(tokens) != time:
        raise ValueError(f"{len(tokens)} tokens do not name {time} positions")


@step
def positions(weights, tokens):
    return weights, tokens


@step
def call(view, attention, tokens):
    view(attention=attention, tokens=tokens)


@component("refuse", "positions", "all_layers", "sentence", "all_heads", "call")
def show_self_attention(step, view, weights, tokens, row=0):
    step.refuse(weights, tokens)
    weights, tokens = step.positions(weights, tokens)
    attention = [step.all_heads(step.sentence(layer, row)) for layer in step.all_layers(weights)]
    step.call(view, attention, tokens)


@step
def decoder_words(target_tokens, bos_token):
    return [bos_token, *target_tokens[:-1]]


@step
def source_words(source_tokens):
    return source_tokens


@step
def call_all(view, encoder, decoder, cross, source_words, decoder_words):
    view(encoder_attention=encoder, encoder_tokens=source_words)
    view(decoder_attention=decoder, decoder_tokens=decoder_words, cross_attention=cross, encoder_tokens=source_words)


@component("decoder_words", "source_words", "of_cross", "in_order", "call_all")
def show_encoder_decoder(step, view, encoder, decoder, cross, source_tokens, target_tokens, bos_token):
    encoder, decoder, cross = step.in_order(encoder, decoder, step.of_cross(cross))
    step.call_all(
        view, encoder, decoder, cross, step.source_words(source_tokens), step.decoder_words(target_tokens, bos_token)
    )


# What the model is asked for


@mistake(
    "mode",
    symptom="The weights are not those that the model computes when it is used: dropout has been at work.",
    cause="The model was in training mode, or the weights were taken behind the dropout. Then random parts of the "
    "input and of the weights are missing, others are too large, and a picture shows noise.",
    place="Call model.eval() before the model reads anything, and take the weights that it returns.",
)
def dropout_left_on(model):
    pass


@also("dropout_left_on", "mode")
def training_mode_switched_on(model):
    model.train()


@also("dropout_left_on", "gather", only="collect_attention")
def dropped_weights_taken(model, source, tokens):
    memory, encoder = model.encode(source)
    _, decoder, cross = model.decode(tokens, memory, source)
    drop = model.decoder.layers[0].self_attention.dropout.train()
    return tuple([drop(weights) for weights in kind] for kind in (encoder, decoder, cross))


@mistake(
    "gather",
    symptom="The rows do not sum to 1, and some numbers are negative: these are scores.",
    cause="The scores before the softmax were taken. They say how well query and key match, but not how much "
    "of the attention a key gets, which depends on all the other keys as well.",
    place="Take the weights that encode and decode return; nothing has to be computed again.",
    shows=[("weights_of_a_sentence_come_out", "is no", "rows of *")],
)
def scores_instead_of_weights(model, source, tokens):
    caught = {}

    def scores(attention, num_heads):
        query, key = (
            caught[projection].unflatten(-1, (num_heads, -1)).transpose(1, 2)
            for projection in (attention.q_proj, attention.k_proj)
        )
        return query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])

    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda module, given, output: caught.update({module: output}))
    memory, encoder = model.encode(source)
    model.decode(tokens, memory, source)
    num_heads = encoder[0].shape[1]
    return (
        [scores(layer.self_attention, num_heads) for layer in model.encoder.layers],
        [scores(layer.self_attention, num_heads) for layer in model.decoder.layers],
        [scores(layer.cross_attention, num_heads) for layer in model.decoder.layers],
    )


@also("scores_instead_of_weights", "gather")
def logarithms_of_the_weights(model, source, tokens):
    memory, encoder = model.encode(source)
    _, decoder, cross = model.decode(tokens, memory, source)
    return tuple([weights.log() for weights in kind] for kind in (encoder, decoder, cross))


@mistake(
    "decoder_input",
    symptom="The decoder's weights belong to another input than the begin of sequence with the target behind it.",
    cause="The decoder was given the target itself. Each row would then read the token that it has to predict; in "
    "training it never did, so what you see is not what the model does.",
    place="Give decode the target shifted right: model.bos_id in front, the last token dropped.",
)
def decoder_reads_the_target(model, target):
    return target


@also("decoder_reads_the_target", "decoder_input")
def target_rolled(model, target):
    return target.roll(1, dims=1)


@also("decoder_reads_the_target", "decoder_input")
def target_shifted_twice(model, target):
    return shift_right(shift_right(target, model.bos_id), model.bos_id)


@mistake(
    "decoder_input",
    symptom="The decoder has a row too many.",
    cause="The begin of sequence was put in front, but the last token was kept. Nothing is predicted after the last "
    "token, so the decoder never reads it.",
    place="Look at how the decoder's input is made: its last token has to fall off.",
)
def last_token_read(model, target):
    return torch.cat([torch.full_like(target[:, :1], model.bos_id), target], dim=1)


@mistake(
    "decoder_input",
    symptom="The decoder has a row too few: that of the begin of sequence is missing.",
    cause="The last token was dropped and nothing was put in front. The first target token is predicted from "
    "the begin of sequence alone, and that row belongs to the picture.",
    place="Look at how the decoder's input is made: model.bos_id has to stand in front.",
)
def begin_not_read(model, target):
    return target[:, :-1]


@mistake(
    "gather",
    symptom="The encoder's weights are right, the decoder's are not: it attended to something else.",
    cause="The decoder was given the source's embeddings as its memory. What it attends to is what the "
    "encoder made of them.",
    place="Look at the second argument of decode: it is the first thing that encode returns.",
)
def embeddings_as_memory(model, source, tokens):
    _, encoder = model.encode(source)
    _, decoder, cross = model.decode(tokens, model.source_embedding(source), source)
    return encoder, decoder, cross


@mistake(
    "collect_attention",
    symptom="The model fails, because the tokens that it is given have no batch axis.",
    cause="An index removes its axis: source[row] is [keys], and the model reads [batch, keys].",
    place="Choose the sentence by a slice, source[row:row + 1] and target[row:row + 1], or take it out of the weights.",
)
def tokens_without_a_batch(model, source, target, row=0):
    model.eval()
    source, target = source[row], target[row]
    with torch.no_grad():
        memory, encoder = model.encode(source)
        _, decoder, cross = model.decode(shift_right(target, model.bos_id), memory, source)
    return encoder, decoder, cross


# One sentence, all heads, all layers


@mistake(
    "sentence",
    symptom="The first axis is the batch, with all of its sentences.",
    cause="BertViz draws one sentence, and wants a first axis of size 1. With more it fails, or mixes the axes up.",
    place="Choose a sentence in each tensor by a slice, weights[row:row + 1].",
    shows=[("one_sentence_is_taken", "differ", "*form of *"), ("one_sentence_is_shown", "differ")],
)
def whole_batch(weights, row):
    return weights


@mistake(
    "sentence",
    symptom="The batch axis is missing: three axes instead of four.",
    cause="An index removes its axis. BertViz takes the first axis away by itself, and then it must be there.",
    place="Use a slice of length 1, weights[row:row + 1], or put the axis back with unsqueeze(0).",
)
def batch_axis_dropped(weights, row):
    return weights[row]


@also("batch_axis_dropped", "sentence")
def batch_squeezed(weights, row):
    return weights[row : row + 1].squeeze(0)


@mistake(
    "sentence",
    symptom="It is always the same sentence, whichever row is asked for.",
    cause="The argument row is not used, so every other sentence's words would stand beside this one's weights.",
    place="Follow the argument row through your code.",
)
def row_ignored(weights, row):
    return weights[:1]


@also("row_ignored", "sentence")
def always_the_last_row(weights, row):
    return weights[-1:]


@mistake(
    "sentence",
    symptom="The weights belong to no sentence: they are a mean over the batch.",
    cause="The sentences of a batch have different words at the same positions. Their mean says nothing "
    "about any of them.",
    place="Look for a mean over the first axis, and choose one row instead.",
)
def sentences_averaged(weights, row):
    return weights.mean(dim=0, keepdim=True)


@mistake(
    "all_heads",
    symptom="There is one head where there should be all of them.",
    cause="The mean over the heads was taken. Heads look at different things, and their mean shows what none of "
    "them does; BertViz draws each in a colour of its own.",
    place="Look for a mean (or an index) on the axis of the heads.",
)
def heads_averaged(weights):
    return weights.mean(dim=1, keepdim=True)


@also("heads_averaged", "all_heads")
def heads_averaged_away(weights):
    return weights.mean(dim=1)


@also("heads_averaged", "all_heads")
def first_head_only(weights):
    return weights[:, :1]


@mistake(
    "all_layers",
    symptom="There is one layer where there should be all of them.",
    cause="Only one layer's weights were taken, or the mean of all. Each layer attends to what the one below it "
    "made, so each is a picture of its own.",
    place="Look for an index or a mean on the list of layers; each layer gives one entry of the result.",
)
def one_layer_only(layers):
    return layers[-1:]


@also("one_layer_only", "all_layers")
def first_layer_only(layers):
    return layers[:1]


@also("one_layer_only", "all_layers")
def layers_averaged(layers):
    return [torch.stack(list(layers)).mean(dim=0)]


@mistake(
    "of_cross",
    symptom="Cross-attention is turned over: its rows are source tokens.",
    cause="In cross-attention the decoder asks and the source answers: [queries, keys] has a row per token that "
    "the decoder reads and a column per source token. Here it was transposed.",
    place="Look for a transpose of the cross-attention, and take it out.",
)
def cross_transposed(cross):
    return [weights.transpose(-2, -1) for weights in cross]


@mistake(
    "in_order",
    symptom="Two kinds of attention have changed places.",
    cause="Encoder self-attention, decoder self-attention and cross-attention come in this order. With equal lengths "
    "no shape tells them apart, and BertViz draws the wrong one without a word.",
    place="Look at the order in which decode returns its two lists, and in which they are used.",
)
def kinds_exchanged(encoder, decoder, cross):
    return encoder, cross, decoder


@also("kinds_exchanged", "in_order")
def encoder_and_decoder_exchanged(encoder, decoder, cross):
    return decoder, encoder, cross


@also("kinds_exchanged", "in_order", only="collect_attention")
def cross_in_the_middle_of_all(encoder, decoder, cross):
    return cross, encoder, decoder


@mistake(
    "same_depth",
    symptom="It works where encoder and decoder are equally deep; otherwise layers are missing, or it fails.",
    cause="One loop runs over the layers of both. Nothing demands that an encoder and a decoder have equally many.",
    place="Give each of the three lists a loop of its own.",
    shows=[("depths_may_differ", "differ"), ("all_layers_are_shown", "differ")],
)
def same_depth_assumed(kinds):
    depth = min(map(len, kinds))
    return tuple(layers[:depth] for layers in kinds)


@also("same_depth_assumed", "same_depth")
def as_deep_as_the_encoder(kinds):
    return tuple([layers[index] for index in range(len(kinds[0]))] for layers in kinds)


@also("same_depth_assumed", "same_depth")
def as_deep_as_the_decoder(kinds):
    return tuple([layers[index] for index in range(len(kinds[1]))] for layers in kinds)


@also("same_depth_assumed", "same_depth")
def zipped_strictly(kinds):
    return tuple(zip(*[(one, other, third) for one, other, third in zip(*kinds, strict=True)], strict=True))


@also("same_depth_assumed", "call_all")
def one_view_for_all(view, encoder, decoder, cross, source_words, decoder_words):
    view(
        encoder_attention=encoder,
        decoder_attention=decoder,
        cross_attention=cross,
        encoder_tokens=source_words,
        decoder_tokens=decoder_words,
    )


@also("same_depth_assumed", "call_all")
def one_view_of_the_shared_layers(view, encoder, decoder, cross, source_words, decoder_words):
    depth = min(len(encoder), len(decoder))
    view(
        encoder_attention=encoder[:depth],
        decoder_attention=decoder[:depth],
        cross_attention=cross[:depth],
        encoder_tokens=source_words,
        decoder_tokens=decoder_words,
    )


@also("same_depth_assumed", "call_all")
def one_view_with_included_layers(view, encoder, decoder, cross, source_words, decoder_words):
    view(
        encoder_attention=encoder,
        decoder_attention=decoder,
        cross_attention=cross,
        encoder_tokens=source_words,
        decoder_tokens=decoder_words,
        include_layers=list(range(min(len(encoder), len(decoder)))),
    )


@also("same_depth_assumed", "call_all")
def encoder_shares_a_view_with_the_decoder(view, encoder, decoder, cross, source_words, decoder_words):
    view(
        encoder_attention=encoder, encoder_tokens=source_words, decoder_attention=decoder, decoder_tokens=decoder_words
    )
    view(cross_attention=cross, encoder_tokens=source_words, decoder_tokens=decoder_words)


@also("same_depth_assumed", "call_all")
def one_view_per_layer_of_both(view, encoder, decoder, cross, source_words, decoder_words):
    if len(encoder) != len(decoder):
        raise ValueError(f"{len(encoder)} layers of the encoder and {len(decoder)} of the decoder")
    view(
        encoder_attention=encoder,
        decoder_attention=decoder,
        cross_attention=cross,
        encoder_tokens=source_words,
        decoder_tokens=decoder_words,
    )


# Words


@mistake(
    "positions",
    symptom="The special tokens are missing in what is shown.",
    cause="[CLS], [SEP] and padding were left out. Heads attend to them like to any token, often with most of their "
    "weight; without them rows and words do not fit, or rows no longer sum to 1.",
    place="Give a word for every position, in the order in which the model read them.",
)
def special_tokens_missing(weights, tokens):
    return weights, [token for token in tokens if not token.startswith("[")]


@also("special_tokens_missing", "positions")
def first_and_last_token_cut(weights, tokens):
    return weights, tokens[1:-1]


@also("special_tokens_missing", "positions")
def special_positions_cut(weights, tokens):
    kept = [i for i, token in enumerate(tokens) if not token.startswith("[")]
    return [layer[:, :, kept][..., kept] for layer in weights], [tokens[i] for i in kept]


@also("special_tokens_missing", "positions")
def padding_cut(weights, tokens):
    kept = [i for i, token in enumerate(tokens) if token != "[PAD]"]
    return [layer[:, :, kept][..., kept] for layer in weights], [tokens[i] for i in kept]


@also("special_tokens_missing", "positions")
def first_and_last_position_cut(weights, tokens):
    return [layer[..., 1:-1, 1:-1] for layer in weights], tokens[1:-1]


@also("special_tokens_missing", "source_words")
def special_source_tokens_missing(source_tokens):
    return [token for token in source_tokens if not token.startswith("<")]


@also("special_tokens_missing", "source_words")
def end_of_source_cut(source_tokens):
    return source_tokens[:-1]


@also("special_tokens_missing", "decoder_words")
def begin_without_a_word(target_tokens, bos_token):
    return target_tokens[:-1]


@also("special_tokens_missing")
class special_tokens_missing_everywhere:
    @staticmethod
    def source_words(source_tokens):
        return [token for token in source_tokens if not token.startswith("<")]

    @staticmethod
    def decoder_words(target_tokens, bos_token):
        return [token for token in target_tokens if not token.startswith("<")]


@mistake(
    "decoder_words",
    symptom="The decoder's rows bear the names of what they predict, one place too early.",
    cause="Row i of the decoder has read target token i - 1, and the query was computed from that. Named after the "
    "target, every line in the picture starts at the wrong word, and the begin of sequence is missing.",
    place="Put bos_token in front of the target's words and drop the last one.",
)
def rows_named_after_targets(target_tokens, bos_token):
    return target_tokens


@also("rows_named_after_targets", "call_all")
def cross_rows_named_after_targets(view, encoder, decoder, cross, source_words, decoder_words):
    view(encoder_attention=encoder, encoder_tokens=source_words)
    view(decoder_attention=decoder, decoder_tokens=decoder_words)
    view(cross_attention=cross, encoder_tokens=source_words, decoder_tokens=[*decoder_words[1:], "<eos>"])


@mistake(
    "decoder_words",
    symptom="The decoder has a word too many.",
    cause="bos_token was put in front, but the target's last word was kept. The decoder never reads the last one: "
    "nothing is predicted after it. BertViz refuses words that do not fit.",
    place="Drop the last of target_tokens.",
)
def one_word_too_many(target_tokens, bos_token):
    return [bos_token, *target_tokens]


@mistake(
    "source_words",
    symptom="The begin of sequence stands before the source's words as well.",
    cause="Only the decoder starts from the begin of sequence. The encoder reads the source as it is.",
    place="Give the source's words as they come.",
)
def source_shifted_too(source_tokens):
    return ["<bos>", *source_tokens[:-1]]


# What BertViz is asked for


@mistake(
    "refuse",
    credit=0.5,
    symptom="Words that do not fit the positions raise no ValueError that names both numbers.",
    cause="Nothing compares the number of words with the number of positions, or the message does not say them. A "
    "word too many or too few is the sign that words and weights come from different sentences.",
    place="Compare len(tokens) with the size of the last axis before the view is called, and name both.",
)
def sizes_not_compared(weights, tokens):
    pass


@also("sizes_not_compared", "refuse")
def asserted_sizes(weights, tokens):
    assert len(tokens) == weights[0].shape[-1]


@also("sizes_not_compared", "refuse")
def silent_error(weights, tokens):
    if len(tokens) != weights[0].shape[-1]:
        raise ValueError("tokens and weights do not fit")


@also("sizes_not_compared", "refuse")
def too_few_only(weights, tokens):
    time = weights[0].shape[-1]
    if len(tokens) < time:
        raise ValueError(f"{len(tokens)} tokens for {time} positions")


@also("sizes_not_compared", "refuse")
def too_many_only(weights, tokens):
    time = weights[0].shape[-1]
    if len(tokens) > time:
        raise ValueError(f"{len(tokens)} tokens for {time} positions")


@also("sizes_not_compared", "show_self_attention")
def nothing_shown_and_nothing_said(view, weights, tokens, row=0):
    if len(tokens) == weights[0].shape[-1]:
        view(attention=[layer[row : row + 1] for layer in weights], tokens=tokens)


@mistake(
    "show_self_attention",
    symptom="Too many words are cut off, or too few filled up, where a ValueError is due.",
    cause="Made to fit, the words no longer belong to the positions, and nobody notices.",
    place="Raise a ValueError instead of mending the words.",
)
def tokens_made_to_fit(view, weights, tokens, row=0):
    time = weights[0].shape[-1]
    words = [*tokens, *["[PAD]"] * time][:time]
    view(attention=[layer[row : row + 1] for layer in weights], tokens=words)


@also("tokens_made_to_fit", "show_self_attention")
def tokens_cut_to_fit(view, weights, tokens, row=0):
    view(attention=[layer[row : row + 1] for layer in weights], tokens=tokens[: weights[0].shape[-1]])


@mistake(
    "call",
    symptom="The view gets names that mean something else, or two things in each other's places.",
    cause="BertViz tells the kinds apart by the names of the arguments: attention and tokens for a model with one "
    "stack; encoder_, decoder_ and cross_attention with encoder_ and decoder_tokens for one with two.",
    place="Compare each name in your call of view with the docstring.",
)
def other_names(view, attention, tokens):
    view(encoder_attention=attention, encoder_tokens=tokens)


@also("other_names", "call")
def names_of_a_decoder(view, attention, tokens):
    view(decoder_attention=attention, decoder_tokens=tokens)


@also("other_names", "call")
def arguments_exchanged(view, attention, tokens):
    view(tokens, attention)


@also("other_names", "call_all")
def names_of_one_stack(view, encoder, decoder, cross, source_words, decoder_words):
    view(attention=encoder, tokens=source_words)
    view(attention=decoder, tokens=decoder_words)
    view(cross_attention=cross, encoder_tokens=source_words, decoder_tokens=decoder_words)


@also("other_names", "call_all")
def words_exchanged(view, encoder, decoder, cross, source_words, decoder_words):
    view(encoder_attention=encoder, encoder_tokens=decoder_words)
    view(decoder_attention=decoder, cross_attention=cross, encoder_tokens=decoder_words, decoder_tokens=source_words)


@also("other_names", "call_all")
def words_of_cross_exchanged(view, encoder, decoder, cross, source_words, decoder_words):
    view(encoder_attention=encoder, encoder_tokens=source_words)
    view(decoder_attention=decoder, decoder_tokens=decoder_words)
    view(cross_attention=cross, encoder_tokens=decoder_words, decoder_tokens=source_words)


@mistake(
    "call_all",
    symptom="One of the three kinds of attention is not shown.",
    cause="Encoder self-attention, decoder self-attention and cross-attention each tell something that the others do "
    "not. What is not given to the view is left out without a word.",
    place="Count the kinds in your calls of view, for equal and for different depths.",
)
def kind_forgotten(view, encoder, decoder, cross, source_words, decoder_words):
    view(encoder_attention=encoder, encoder_tokens=source_words)
    view(decoder_attention=decoder, decoder_tokens=decoder_words)


@also("kind_forgotten", "call_all")
def cross_attention_only(view, encoder, decoder, cross, source_words, decoder_words):
    view(cross_attention=cross, encoder_tokens=source_words, decoder_tokens=decoder_words)


@also("kind_forgotten", "call_all")
def decoder_forgotten(view, encoder, decoder, cross, source_words, decoder_words):
    view(encoder_attention=encoder, encoder_tokens=source_words)
    view(cross_attention=cross, encoder_tokens=source_words, decoder_tokens=decoder_words)


@also("kind_forgotten", "call_all")
def encoder_forgotten(view, encoder, decoder, cross, source_words, decoder_words):
    view(decoder_attention=decoder, decoder_tokens=decoder_words, cross_attention=cross, encoder_tokens=source_words)


@also("kind_forgotten", "call_all")
def encoder_forgotten_where_depths_differ(view, encoder, decoder, cross, source_words, decoder_words):
    if len(encoder) == len(decoder):
        view(
            encoder_attention=encoder,
            decoder_attention=decoder,
            cross_attention=cross,
            encoder_tokens=source_words,
            decoder_tokens=decoder_words,
        )
    else:
        view(
            decoder_attention=decoder, decoder_tokens=decoder_words, cross_attention=cross, encoder_tokens=source_words
        )


@mistake(
    "call_all",
    symptom="A kind of attention is given to the view without its words.",
    cause="Each call of the view stands alone: it knows no words from the call before. Cross-attention has two kinds of "
    "words, those of the decoder at its rows and those of the source at its columns.",
    place="Give encoder_tokens, decoder_tokens or both in each call, as its kinds need them.",
)
def kind_without_words(view, encoder, decoder, cross, source_words, decoder_words):
    view(encoder_attention=encoder, encoder_tokens=source_words)
    view(decoder_attention=decoder, decoder_tokens=decoder_words)
    view(cross_attention=cross)


@also("kind_without_words", "call_all")
def cross_without_source_words(view, encoder, decoder, cross, source_words, decoder_words):
    view(encoder_attention=encoder, encoder_tokens=source_words)
    view(decoder_attention=decoder, decoder_tokens=decoder_words, cross_attention=cross)


@mistake(
    "call_all",
    symptom="A kind of attention is shown twice.",
    cause="Views of their own were added, but the kind is still part of another view.",
    place="Go through your calls of view, for equal and for different depths: each kind belongs in one of them.",
)
def kind_shown_twice(view, encoder, decoder, cross, source_words, decoder_words):
    view(
        encoder_attention=encoder,
        decoder_attention=decoder,
        cross_attention=cross,
        encoder_tokens=source_words,
        decoder_tokens=decoder_words,
    )
    view(cross_attention=cross, encoder_tokens=source_words, decoder_tokens=decoder_words)


@also("kind_shown_twice", "call_all")
def kind_shown_twice_where_depths_differ(view, encoder, decoder, cross, source_words, decoder_words):
    view(
        encoder_attention=encoder,
        decoder_attention=decoder,
        cross_attention=cross,
        encoder_tokens=source_words,
        decoder_tokens=decoder_words,
    )
    if len(encoder) != len(decoder):
        view(
            decoder_attention=decoder, decoder_tokens=decoder_words, cross_attention=cross, encoder_tokens=source_words
        )


@mistake(
    "call",
    symptom="Nothing is shown: the view is never called.",
    cause="The arguments were made and returned. This function has to call the view with them.",
    place="End with a call, view(attention=..., tokens=...).",
)
def view_not_called(view, attention, tokens):
    return dict(attention=attention, tokens=tokens)


@also("view_not_called", "call_all")
def no_view_called(view, encoder, decoder, cross, source_words, decoder_words):
    return dict(encoder_attention=encoder, decoder_attention=decoder, cross_attention=cross)


# The measures, right, a step at a time


@step
def read(weights):
    return weights


@step
def along(weights):
    """weights of the tokens before"""
    return weights.diagonal(offset=-1, dim1=-2, dim2=-1)


@step
def mean_of_diagonal(found, weights):
    """mean of these"""
    return found.mean(dim=-1)


@step
def result(numbers, weights):
    return numbers


@component("read", "along", "mean_of_diagonal", "result")
def previous_token_score(step, weights):
    weights = step.read(weights)
    return step.result(step.mean_of_diagonal(step.along(weights), weights), weights)


@step
def logarithm(weights):
    return torch.log2(weights.masked_fill(weights == 0, 1.0))


@step
def sign(total):
    """sign"""
    return -total


@step
def over_keys(terms):
    """sum over keys"""
    return terms.sum(dim=-1)


@step
def over_queries(rows):
    """mean over queries"""
    return rows.mean(dim=-1)


@component("read", "logarithm", "over_keys", "sign", "over_queries", "result")
def attention_entropy(step, weights):
    weights = step.read(weights)
    rows = step.over_keys(weights * step.logarithm(weights))
    return step.result(step.over_queries(step.sign(rows)), weights)


@step
def distances(time, weights):
    position = torch.arange(time, device=weights.device)
    return (position.unsqueeze(0) - position.unsqueeze(1)).abs()


@step
def weighted(weights, apart):
    """weighted distances"""
    return weights * apart


@component("read", "distances", "weighted", "over_keys", "over_queries", "result")
def attention_distance(step, weights):
    weights = step.read(weights)
    apart = step.distances(weights.shape[-1], weights)
    return step.result(step.over_queries(step.over_keys(step.weighted(weights, apart))), weights)


MEASURES = "previous_token_score", "attention_entropy", "attention_distance"


@mistake(
    "read",
    symptom="There is one number where there should be one per head.",
    cause="The mean was taken over heads, or over the batch, as well. Heads do different things: that is why they "
    "are measured one by one.",
    place="Take sums and means along the last two axes only; all other axes stay.",
    only=MEASURES,
    shows=[("leading_axes_stay", "another shape", "* axes: number of each table")],
)
def axes_averaged(weights):
    return weights.mean(dim=tuple(range(weights.dim() - 2))) if weights.dim() > 2 else weights


@also("axes_averaged", "result", only=MEASURES)
def one_number_for_all(numbers, weights):
    return numbers.mean()


@also("axes_averaged", "read", only=MEASURES)
def heads_averaged_first(weights):
    return weights.mean(dim=-3)


@also("axes_averaged", "result", only=MEASURES)
def heads_averaged_last(numbers, weights):
    return numbers.mean(dim=-1)


@mistake(
    "read",
    symptom="Rows and columns are exchanged: what is measured is where keys are looked at from.",
    cause="Rows are queries, and the sum along a row, over the keys, is 1. Here columns are taken for rows.",
    place="Look at the sign of the offset, or at the axis along which you sum.",
    only=("previous_token_score", "attention_entropy"),
)
def rows_and_columns_exchanged(weights):
    return weights.transpose(-2, -1)


@also("rows_and_columns_exchanged", "along")
def diagonal_above(weights):
    return weights.diagonal(offset=1, dim1=-2, dim2=-1)


@mistake(
    "along",
    symptom="What is measured is how much each query looks at itself.",
    cause="The main diagonal holds the weight of query i on key i. The token before is one column to the left.",
    place="Take the diagonal below the main one: offset=-1.",
)
def diagonal_itself(weights):
    return weights.diagonal(dim1=-2, dim2=-1)


@mistake(
    "along",
    symptom="What is measured is how much each query looks two tokens back.",
    cause="The diagonal right below the main one has the offset -1; the next one is at -2.",
    place="Look at the offset.",
)
def two_tokens_back(weights):
    return weights.diagonal(offset=-2, dim1=-2, dim2=-1)


@mistake(
    "along",
    symptom="The weights on all earlier keys are counted, not only those on the key right before.",
    cause="tril keeps everything below a diagonal. A previous-token head looks at one key.",
    place="Take the diagonal alone.",
    shows=[("leading_axes_stay", "larger", "* axes: number of each table")],
)
def all_earlier_keys(weights):
    rows = weights.tril(-1).sum(dim=-1)
    return rows[..., 1:]


@mistake(
    "mean_of_diagonal",
    symptom="The score is a little too small, the more so the shorter the sentence.",
    cause="It was divided by the number of all queries. The first query has no key before it and is not counted.",
    place="Take the mean of the entries that there are, time - 1.",
    shows=[
        ("leading_axes_stay", "multiple", "* axes: number of each table"),
        ("leading_axes_stay", "smaller", "* axes: number of each table"),
    ],
)
def first_query_counted(found, weights):
    return found.sum(dim=-1) / weights.shape[-1]


@mistake(
    "over_queries",
    symptom="The result grows with the number of queries.",
    cause="The sum over the queries was taken instead of the mean, so long sentences always win.",
    place="Take the mean over the queries, and the sum only over the keys.",
    shows=[
        ("leading_axes_stay", "multiple", "* axes: number of each table"),
        ("leading_axes_stay", "larger", "* axes: number of each table"),
    ],
)
def summed_over_queries(rows):
    return rows.sum(dim=-1)


@also("summed_over_queries", "mean_of_diagonal")
def diagonal_summed(found, weights):
    return found.sum(dim=-1)


@mistake(
    "over_queries",
    symptom="There is a number per query where there should be one per table.",
    cause="The mean over the queries is missing. A measure says in one number what a head does.",
    place="Take the mean along the axis that is left.",
    shows=[("leading_axes_stay", "another shape", "* axes: number of each table")],
)
def queries_kept(rows):
    return rows


@also("queries_kept", "mean_of_diagonal")
def diagonal_kept(found, weights):
    return found


@mistake(
    "over_keys",
    only="attention_entropy",
    symptom="The result is too small by the number of keys.",
    cause="The mean over the keys was taken where a sum is due. The weights of a row sum to 1 already: a sum "
    "weighted by them is a mean.",
    place="Sum over the keys, then take the mean over the queries.",
    shows=[
        ("leading_axes_stay", "multiple", "* axes: number of each table"),
        ("leading_axes_stay", "smaller", "* axes: number of each table"),
    ],
)
def mean_over_keys(terms):
    return terms.mean(dim=-1)


@mistake(
    "along",
    symptom="It works for some numbers of axes and fails, or answers wrongly, for others.",
    cause="Axes were counted from the front, or left to the default, which takes the first two. The table is in the "
    "last two, however many axes come before it.",
    place="Count from the back: -2 are the queries, -1 the keys.",
)
def first_two_axes(weights):
    return weights.diagonal(offset=-1)


@also("first_two_axes", "along")
def axes_two_and_three(weights):
    return weights.diagonal(offset=-1, dim1=2, dim2=3)


@also("first_two_axes", "over_keys")
def fourth_axis(terms):
    return terms.sum(dim=3)


# Entropy


@mistake(
    "logarithm",
    symptom="The entropy is too small by the factor 0.69: it is in nats.",
    cause="The natural logarithm was taken. Bits need the logarithm to base 2, torch.log2, or a division by ln 2.",
    place="Look at the logarithm.",
    shows=[
        ("leading_axes_stay", "multiple", "* axes: number of each table"),
        ("leading_axes_stay", "smaller", "* axes: number of each table"),
    ],
)
def nats_instead_of_bits(weights):
    return torch.log(weights.masked_fill(weights == 0, 1.0))


@also("nats_instead_of_bits")
class nats_with_nan_replaced:
    @staticmethod
    def logarithm(weights):
        return torch.log(weights.clamp_min(1e-12))


@also("nats_instead_of_bits", "logarithm")
def decimal_digits(weights):
    return torch.log10(weights.masked_fill(weights == 0, 1.0))


@mistake(
    "logarithm",
    credit=0.5,
    symptom="NaN comes out as soon as a weight is exactly 0.",
    cause="log2(0) is minus infinity, and 0 times minus infinity is NaN, in every row that has a key without any "
    "weight: all rows but the last of a causal head.",
    place="Keep zeros away from the logarithm, or replace what it gives for them by 0.",
    shows=[("zeros_are_nothing_special", "NaN", "*: number of each table")],
)
def zeros_give_nan(weights):
    return torch.log2(weights)


@also("zeros_give_nan", "attention_entropy")
def zeros_give_nan_in_nats_changed(weights):
    return -(weights * weights.log() / math.log(2)).sum(dim=-1).mean(dim=-1)


@mistake(
    "logarithm",
    symptom="The entropy is slightly off: something was added to all weights.",
    cause="A number such as 0.001 was added before the logarithm, to keep zeros away. It changes every "
    "logarithm. Only zeros need help, or a number far smaller than any weight that matters.",
    place="Replace zeros alone, or make the number smaller than 1e-9.",
)
def large_epsilon(weights):
    return torch.log2(weights + 1e-3)


@mistake(
    "sign",
    symptom="The entropy is negative.",
    cause="Logarithms of numbers below 1 are negative, so the sum needs a minus in front.",
    place="Look for the sign of the sum.",
    shows=[("leading_axes_stay", "opposite", "* axes: number of each table")],
)
def minus_forgotten(total):
    return total


@mistake(
    "attention_entropy",
    symptom="The entropy is too large: it is that of the mean of all rows.",
    cause="The mean over the queries was taken before the logarithm. Queries that are sharp, but look at different "
    "keys, seem spread out then.",
    place="Compute the entropy of each row first, then take the mean.",
    shows=[("leading_axes_stay", "larger", "* axes: number of each table")],
)
def entropy_of_the_mean_row(weights):
    mean = weights.mean(dim=-2)
    return -(mean * torch.log2(mean.masked_fill(mean == 0, 1.0))).sum(dim=-1)


@mistake(
    "attention_entropy",
    symptom="The entropy is divided by the largest one there could be.",
    cause="Divided by log2 of the number of keys it is a share from 0 to 1, a measure of its own, and no longer bits.",
    place="Leave that division out.",
    shows=[
        ("leading_axes_stay", "multiple", "* axes: number of each table"),
        ("leading_axes_stay", "smaller", "* axes: number of each table"),
    ],
)
def share_of_the_largest_entropy(weights):
    bits = -(weights * torch.log2(weights.masked_fill(weights == 0, 1.0))).sum(dim=-1).mean(dim=-1)
    return bits / math.log2(weights.shape[-1])


# Distance


@mistake(
    "distances",
    symptom="Looking back and looking ahead cancel: the distance is too small, or negative.",
    cause="The sign of the difference was kept. A distance is how far away a key is, before or after alike.",
    place="Take the absolute value of the differences.",
)
def signed_distance(time, weights):
    position = torch.arange(time, device=weights.device)
    return position.unsqueeze(0) - position.unsqueeze(1)


@also("signed_distance", "distances")
def signed_distance_backwards(time, weights):
    position = torch.arange(time, device=weights.device)
    return position.unsqueeze(1) - position.unsqueeze(0)


@also("signed_distance", "attention_distance")
def absolute_value_too_late(weights):
    position = torch.arange(weights.shape[-1], device=weights.device)
    rows = (weights * (position.unsqueeze(0) - position.unsqueeze(1))).sum(dim=-1)
    return rows.abs().mean(dim=-1)


@mistake(
    "distances",
    symptom="Far keys count too much: the distances are squared.",
    cause="The mean of squares is not the mean of distances; one far key outweighs many near ones.",
    place="Take the absolute value instead of the square.",
    shows=[("leading_axes_stay", "larger", "* axes: number of each table")],
)
def squared_distance(time, weights):
    position = torch.arange(time, device=weights.device)
    return (position.unsqueeze(0) - position.unsqueeze(1)) ** 2


@mistake(
    "distances",
    symptom="Distances are too large by 1: a query that looks at itself should have 0.",
    cause="The distance of neighbours is 1, and that of a position to itself is 0.",
    place="Look for + 1 in the table of distances.",
    shows=[("leading_axes_stay", "larger", "* axes: number of each table")],
)
def counted_from_one(time, weights):
    position = torch.arange(time, device=weights.device)
    return (position.unsqueeze(0) - position.unsqueeze(1)).abs() + 1


@mistake(
    "distances",
    symptom="Only looking back counts: later keys have a distance of 0.",
    cause="Differences were cut off at 0. An encoder's heads look ahead as well.",
    place="Use the absolute value instead of clamp or a mask.",
    shows=[("leading_axes_stay", "smaller", "* axes: number of each table")],
)
def looking_back_only(time, weights):
    position = torch.arange(time, device=weights.device)
    return (position.unsqueeze(1) - position.unsqueeze(0)).clamp_min(0)


@mistake(
    "weighted",
    symptom="The distance does not depend on the weights, or only on the largest of each row.",
    cause="Each key counts with its weight. The most attended key alone, or all keys alike, is another measure.",
    place="Multiply each distance by its weight.",
)
def most_attended_key_only(weights, apart):
    return torch.nn.functional.one_hot(weights.argmax(dim=-1), weights.shape[-1]).to(weights.dtype) * apart


@also("most_attended_key_only", "weighted")
def weights_not_used(weights, apart):
    return (weights.new_zeros(weights.shape) + apart) / weights.shape[-1]


@mistake(
    "distances",
    symptom="The distance is divided by the length of the sentence.",
    cause="It is asked for in positions. Divided by the length it is a share, which hides that a previous-token head "
    "always looks one position back. The weights of a row sum to 1 already, so the sum over the keys is a "
    "mean.",
    place="Look for a division by a size, or for a mean over the keys where a sum is due.",
    shows=[
        ("leading_axes_stay", "multiple", "* axes: number of each table"),
        ("leading_axes_stay", "smaller", "* axes: number of each table"),
    ],
)
def share_of_the_length(time, weights):
    position = torch.arange(time, device=weights.device)
    return (position.unsqueeze(0) - position.unsqueeze(1)).abs() / time


@also("share_of_the_length", "distances")
def share_of_the_largest_distance(time, weights):
    position = torch.arange(time, device=weights.device)
    return (position.unsqueeze(0) - position.unsqueeze(1)).abs() / (time - 1)


@also("share_of_the_length", "over_keys", only="attention_distance")
def mean_over_the_keys(terms):
    return terms.mean(dim=-1)


# Finding heads, right, a step at a time


@step
def number_of(measure, layer):
    """number of each head"""
    return measure(layer).mean(dim=0)


@step
def order(scores, count):
    """heads in order"""
    return scores.flatten().topk(count).indices


@step
def names(best, scores):
    """layer and head"""
    return torch.stack([best // scores.shape[1], best % scores.shape[1]], dim=1)


@step
def found(heads):
    return heads


@component("number_of", "order", "names", "found")
def find_heads(step, weights, measure, count=1):
    scores = torch.stack([step.number_of(measure, layer) for layer in weights])
    return step.found(step.names(step.order(scores, count), scores))


@mistake(
    "number_of",
    symptom="Heads are found that are sharp in no sentence, or missed that are.",
    cause="The weights were averaged over the batch before they were measured. Sentences attend to different "
    "places, and their mean is a table that no sentence has.",
    place="Measure first, then take the mean over the batch.",
)
def averaged_before_measuring(measure, layer):
    return measure(layer.mean(dim=0))


@mistake(
    "number_of",
    symptom="Only one sentence of the batch counts.",
    cause="A head that happens to do something in one sentence is not a head that does it. Take the mean over all.",
    place="Look for an index on the batch axis.",
)
def first_sentence_only(measure, layer):
    return measure(layer)[0]


@also("first_sentence_only", "number_of")
def last_sentence_only(measure, layer):
    return measure(layer[-1])


@also("first_sentence_only", "number_of")
def largest_sentence(measure, layer):
    return measure(layer).amax(dim=0)


@mistake(
    "order",
    symptom="The heads with the smallest measure are found.",
    cause="Sorting goes from small to large unless it is told otherwise, and topk knows largest=False.",
    place="Look for descending=True, or at the end from which you take.",
)
def smallest_first(scores, count):
    return scores.flatten().argsort()[:count]


@mistake(
    "order",
    symptom="The right heads are found, in the wrong order.",
    cause="They were taken from the end of an ascending order, so the largest comes last.",
    place="Turn the order round, or sort with descending=True.",
)
def largest_last(scores, count):
    return scores.flatten().argsort()[-count:]


@mistake(
    "order",
    symptom="One head is found, however many are asked for.",
    cause="argmax gives the place of the largest number only.",
    place="Use topk or argsort, and the argument count.",
)
def count_ignored(scores, count):
    return scores.flatten().argmax().reshape(1)


@mistake(
    "names",
    symptom="Layer and head are exchanged.",
    cause="Each row is (layer, head), in this order.",
    place="Look at the order in which both are put together.",
)
def head_before_layer(best, scores):
    return torch.stack([best % scores.shape[1], best // scores.shape[1]], dim=1)


@mistake(
    "names",
    symptom="Places are counted through wrongly: layers or heads come out that do not exist.",
    cause="In the flattened table each layer takes as many places as there are heads. So the layer is the place "
    "divided by the number of heads, not by the number of layers.",
    place="Look at the divisor.",
)
def divided_by_the_layers(best, scores):
    return torch.stack([best // scores.shape[0], best % scores.shape[0]], dim=1)


@mistake(
    "names",
    symptom="The places in the flattened table come out, one number per head.",
    cause="A place counted through all heads has to be taken apart into layer and head.",
    place="Divide by the number of heads: the result is the layer, the rest the head.",
)
def places_instead_of_names(best, scores):
    return best


@mistake(
    "names",
    symptom="Layers and heads stand in rows of their own: [2, count] instead of [count, 2].",
    cause="Each row is one head. Stacking without dim=1 puts all layers into the first row.",
    place="Stack along dim=1, or transpose.",
)
def rows_of_layers_and_heads(best, scores):
    return torch.stack([best // scores.shape[1], best % scores.shape[1]])


@mistake(
    "found",
    credit=0.5,
    symptom="Layers and heads are counted from 1.",
    cause="Python and BertViz count from 0.",
    place="Look for + 1.",
)
def heads_counted_from_one(heads):
    return heads + 1


@mistake(
    "found",
    credit=0.5,
    symptom="Layer and head are not whole numbers.",
    cause="/ divides to fractions. An index has to be an integer.",
    place="Divide by //, or convert with long() at the end.",
)
def fractions(heads):
    return heads.float()


@also("fractions", "names")
def layer_with_a_fraction(best, scores):
    return torch.stack([best / scores.shape[1], best % scores.shape[1]], dim=1)


@mistake(
    "find_heads",
    symptom="The best heads of each layer are found, not the best of all.",
    cause="The maximum was taken layer by layer. The two best heads may well be in one layer.",
    place="Compare the numbers of all layers at once: flatten the table first.",
)
def best_of_each_layer(weights, measure, count=1):
    scores = torch.stack([measure(layer).mean(dim=0) for layer in weights])
    heads = scores.argmax(dim=1)
    best = torch.stack([torch.arange(len(heads)), heads], dim=1)
    return best[scores.amax(dim=1).argsort(descending=True)][:count]


@also("best_of_each_layer", "find_heads")
def first_layers_first(weights, measure, count=1):
    heads = torch.stack([measure(layer).mean(dim=0) for layer in weights]).argmax(dim=1)
    return torch.stack([torch.arange(len(heads)), heads], dim=1)[:count]


@mistake(
    "found",
    credit=0.5,
    symptom="The heads come back as a list.",
    cause="An integer tensor [count, 2] is asked for, which can be indexed and compared like the rest.",
    place="Turn the list into a tensor by torch.tensor, or stack layers and heads along dim=1.",
)
def heads_in_a_list(heads):
    return [(layer, head) for layer, head in heads.tolist()]


# Habits


@mistake(
    "attention_entropy",
    credit=0.5,
    symptom="What the caller gave is different after the call.",
    cause="An argument was changed in place (a method that ends in an underscore, `*=`, assignment to a part, insert "
    "or pop). Weights and words are still needed, for the next picture and the next measure.",
    place="Use the form that makes something new: masked_fill instead of masked_fill_, a new list instead of insert.",
)
def arguments_changed_in_place(weights):
    logarithms = torch.log2(weights.clone().masked_fill_(weights == 0, 1.0))
    return weights.mul_(logarithms).neg_().sum(dim=-1).mean(dim=-1)


@also("arguments_changed_in_place", "show_self_attention")
def list_changed_in_place(view, weights, tokens, row=0):
    refuse(weights, tokens)
    for index, layer in enumerate(weights):
        weights[index] = layer[row : row + 1]
    view(attention=weights, tokens=tokens)


@also("arguments_changed_in_place", "decoder_words")
def words_changed_in_place(target_tokens, bos_token):
    target_tokens.insert(0, bos_token)
    target_tokens.pop()
    return target_tokens


@also("arguments_changed_in_place", "find_heads")
def layers_replaced_by_their_numbers(weights, measure, count=1):
    for index, layer in enumerate(weights):
        weights[index] = measure(layer).mean(dim=0)
    scores = torch.stack(weights)
    best = scores.flatten().topk(count).indices
    return torch.stack([best // scores.shape[1], best % scores.shape[1]], dim=1)


# view_bug_input


@component()
def view_bug_input(step):
    return torch.tensor([[[[0.0, 1.0], [0.5, 0.5]]]])


@mistake(
    "view_bug_input",
    symptom="On your weights the broken function shows what it should.",
    cause="Source and target have different lengths. Then it can tell the axis of the queries from that of the keys "
    "by their sizes, and leaves the table as it is.",
    place="Ask when the sizes cannot tell which axis is which.",
    shows=[("bug_weights_fit", "right")],
)
def source_and_target_of_different_lengths():
    return torch.tensor([[[[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]]])


@also("source_and_target_of_different_lengths", "view_bug_input")
def more_queries_than_keys():
    return torch.linspace(0.0, 4.0, 30).reshape(1, 2, 5, 3).sin().softmax(-1)


@mistake(
    "view_bug_input",
    symptom="On your weights the broken function shows what it should.",
    cause="Your table is turned over, rows for columns, but it reads the same afterwards: the weight from query i to "
    "key j is the weight from query j to key i. So it is with even weights and with a diagonal.",
    place="Keep the lengths, and let one query look at a key without the same the other way round.",
    shows=[("bug_weights_fit", "right")],
)
def table_that_reads_the_same_both_ways():
    return torch.eye(3)[None, None]


@also("table_that_reads_the_same_both_ways", "view_bug_input")
def even_weights():
    return torch.full((1, 2, 4, 4), 0.25)


@also("table_that_reads_the_same_both_ways", "view_bug_input")
def queries_and_keys_reversed():
    return torch.eye(5).flip(0)[None, None]


@mistake(
    "view_bug_input",
    symptom="On your weights the broken function shows what it should.",
    cause="There is one token on either side. A table with a single weight has no rows and columns to exchange.",
    place="Give it two tokens or more on either side.",
    shows=[("bug_weights_fit", "right")],
)
def one_token_on_either_side():
    return torch.ones(1, 2, 1, 1)


@mistake(
    "view_bug_input",
    symptom="What you return are no attention weights.",
    cause="Weights come out of a softmax: they are from 0 to 1, and the row of each query sums to 1. Scores do not, "
    "and columns do not either.",
    place="Apply softmax(-1) to your numbers, or write rows that sum to 1.",
    shows=[("bug_weights_fit", "differ")],
)
def rows_that_do_not_sum_to_one():
    return torch.arange(16.0).reshape(1, 1, 4, 4)


@also("rows_that_do_not_sum_to_one", "view_bug_input")
def columns_that_sum_to_one():
    return torch.arange(9.0).reshape(1, 1, 3, 3).sin().softmax(-2)


@also("rows_that_do_not_sum_to_one", "view_bug_input")
def weights_that_are_not_finite():
    return torch.full((1, 1, 2, 2), math.nan)


@mistake(
    "view_bug_input",
    symptom="What comes back is not the cross-attention of one sentence.",
    cause="One tensor of floating point numbers is wanted, [1, heads, queries, keys], no axis longer than 20: one layer, "
    "one sentence.",
    place="Compare the shape with the docstring. A table [queries, keys] becomes one with table[None, None].",
    shows=[("bug_weights_fit", "differ")],
)
def table_without_its_axes():
    return torch.tensor([[0.0, 1.0], [0.5, 0.5]])


@also("table_without_its_axes", "view_bug_input")
def several_sentences():
    return torch.ones(2, 1, 3, 3) / 3


@also("table_without_its_axes", "view_bug_input")
def list_of_layers():
    return [torch.tensor([[[[0.0, 1.0], [0.5, 0.5]]]])]


@also("table_without_its_axes", "view_bug_input")
def whole_numbers():
    return torch.eye(3, dtype=torch.long)[None, None]


@also("table_without_its_axes", "view_bug_input")
def far_too_long():
    return torch.ones(1, 1, 100, 100).tril().softmax(-1)
