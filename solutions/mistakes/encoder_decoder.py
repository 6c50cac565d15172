"""Wrong answers to lesson 5, each with its sentences: what is seen, why it is wrong, where to look."""

import math

import torch
from torch import nn

from autograder.mistakes import Catalogue
from workbench.parts import Decoder, Encoder, TransformerEmbedding, causal_mask, padding_mask

catalogue = Catalogue()
step, component, mistake, also = catalogue.step, catalogue.component, catalogue.mistake, catalogue.also


# The right way, a step at a time


@step
def begin(tokens, bos_id):
    return torch.full_like(tokens[:, :1], bos_id)


@step
def kept(tokens):
    """tokens without the last"""
    return tokens[:, :-1]


@component("begin", "kept")
def shift_right(step, tokens, bos_id):
    return torch.cat([step.begin(tokens, bos_id), step.kept(tokens)], dim=1)


@component()
class EncoderDecoder(nn.Module):
    def __init__(
        self,
        source_vocab_size,
        target_vocab_size,
        embed_dim,
        num_heads,
        ff_dim,
        encoder_layers,
        decoder_layers,
        max_len,
        pad_id,
        bos_id,
        dropout=0.0,
        norm_first=False,
    ):
        super().__init__()
        self.remember(pad_id, bos_id)
        self.make_source_embedding(source_vocab_size, target_vocab_size, embed_dim, max_len, dropout)
        self.make_target_embedding(source_vocab_size, target_vocab_size, embed_dim, max_len, dropout)
        sizes = (embed_dim, num_heads, ff_dim, dropout, norm_first)
        self.make_encoder(encoder_layers, decoder_layers, *sizes)
        self.make_decoder(encoder_layers, decoder_layers, *sizes)
        self.make_head(embed_dim, target_vocab_size)

    def remember(self, pad_id, bos_id):
        self.pad_id, self.bos_id = pad_id, bos_id

    def make_source_embedding(self, source_vocab_size, target_vocab_size, embed_dim, max_len, dropout):
        self.source_embedding = TransformerEmbedding(source_vocab_size, embed_dim, max_len, dropout=dropout)

    def make_target_embedding(self, source_vocab_size, target_vocab_size, embed_dim, max_len, dropout):
        self.target_embedding = TransformerEmbedding(target_vocab_size, embed_dim, max_len, dropout=dropout)

    def make_encoder(self, encoder_layers, decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first):
        self.encoder = Encoder(encoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first)

    def make_decoder(self, encoder_layers, decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first):
        self.decoder = Decoder(decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first)

    def make_head(self, embed_dim, target_vocab_size):
        self.head = nn.Linear(embed_dim, target_vocab_size)

    def embed_source(self, source):
        return self.source_embedding(source)

    def embed_target(self, tokens):
        return self.target_embedding(tokens)

    def encoder_mask(self, source):
        """padding mask"""
        return padding_mask(source, self.pad_id)

    def self_mask(self, tokens):
        """causal mask"""
        return causal_mask(tokens.shape[1]).to(tokens.device)

    def memory_mask(self, source):
        """padding mask"""
        return padding_mask(source, self.pad_id)

    def encode(self, source):
        return self.encoder(self.embed_source(source), self.encoder_mask(source))

    def run_decoder(self, tokens, memory, source):
        return self.decoder(self.embed_target(tokens), memory, self.self_mask(tokens), self.memory_mask(source))

    def finish(self, x):
        return self.head(x)

    def decode(self, tokens, memory, source):
        x, self_weights, cross_weights = self.run_decoder(tokens, memory, source)
        return self.finish(x), self_weights, cross_weights

    def decoder_input(self, target):
        """input of the decoder"""
        return torch.cat([torch.full_like(target[:, :1], self.bos_id), target[:, :-1]], dim=1)

    def forward(self, source, target):
        memory, _ = self.encode(source)
        logits, _, _ = self.decode(self.decoder_input(target), memory, source)
        return logits


@step
def mode(model):
    model.eval()


@step
def first_tokens(source, bos_id):
    return torch.full_like(source[:, :1], bos_id)


@step
def memory_of(model, source):
    return model.encode(source)[0]


@step
def memory_again(model, memory, source):
    return memory


@step
def read_by_decoder(tokens, source):
    """tokens so far"""
    return tokens


@step
def logits_of_the_next(logits):
    """logits of the next token"""
    return logits[:, -1]


@step
def best_token(logits):
    return logits.argmax(dim=-1)


@step
def filled(best, over, pad_id, eos_id):
    """tokens with padding"""
    return best.masked_fill(over, pad_id)


@step
def over_after(over, best, eos_id):
    return over | (best == eos_id)


@step
def all_done(over, best, eos_id):
    return bool(over.all())


@step
def steps_of(max_len):
    return max_len


@step
def written(tokens, max_len, pad_id):
    """text without its begin"""
    return tokens[:, 1:]


@component(
    "mode",
    "memory_of",
    "first_tokens",
    "steps_of",
    "memory_again",
    "read_by_decoder",
    "logits_of_the_next",
    "best_token",
    "filled",
    "over_after",
    "all_done",
    "written",
)
def greedy_decode(step, model, source, bos_id, eos_id, pad_id, max_len):
    step.mode(model)
    memory = step.memory_of(model, source)
    tokens = step.first_tokens(source, bos_id)
    over = torch.zeros(len(source), dtype=torch.bool)
    for _ in range(step.steps_of(max_len)):
        memory = step.memory_again(model, memory, source)
        logits = step.logits_of_the_next(model.decode(step.read_by_decoder(tokens, source), memory, source)[0])
        best = step.filled(step.best_token(logits), over, pad_id, eos_id)
        tokens = torch.cat([tokens, best[:, None]], dim=1)
        over = step.over_after(over, best, eos_id)
        if step.all_done(over, best, eos_id):
            break
    return step.written(tokens, max_len, pad_id)


@component()
def translator_bug_input(step):
    return torch.tensor([[3, 4, 5, 6], [7, 8, 0, 0]])


# Beam search, one row after another: a text is (tokens, sum of log-probabilities)


@step
def log_probabilities(logits):
    return logits.log_softmax(dim=-1)


@step
def first_texts(begin, num_beams):
    return [(begin, torch.tensor(0.0))]


@step
def candidates_of(texts, log_probs):
    """Return [(sum, number of the text, token)] of all continuations, the best first."""
    sums = torch.stack([total for _, total in texts])[:, None] + log_probs
    order = sums.flatten().argsort(descending=True).tolist()
    vocab_size = log_probs.shape[1]
    return [(sums.flatten()[place], place // vocab_size, place % vocab_size) for place in order]


@step
def continued(texts, number, token, rank):
    return torch.cat([texts[number][0], torch.tensor([token])])


@step
def score_of(total, length, max_len, length_penalty):
    return total / length**length_penalty


@step
def sorted_out(candidates, ends, num_beams):
    """Return the candidates that are set aside and those that go on."""
    done = [one for rank, one in enumerate(candidates) if ends(one) and rank < num_beams]
    return done, [one for one in candidates if not ends(one)][:num_beams]


@step
def set_aside(finished, new):
    return finished + new


@step
def enough(finished, texts, num_beams):
    return not texts


@step
def best_of(finished):
    return max(finished, key=lambda one: one[1].item())


@step
def as_answer(tokens, scores):
    return tokens, scores


@component(
    "mode",
    "memory_of",
    "memory_again",
    "logits_of_the_next",
    "log_probabilities",
    "first_texts",
    "candidates_of",
    "continued",
    "score_of",
    "sorted_out",
    "set_aside",
    "enough",
    "best_of",
    "as_answer",
)
def beam_search(step, model, source, bos_id, eos_id, pad_id, max_len, num_beams, length_penalty=1.0):
    step.mode(model)
    memory = step.memory_of(model, source)
    found = []
    for row in range(len(source)):
        texts, finished = step.first_texts(torch.tensor([bos_id]), num_beams), []
        for length in range(1, max_len + 1):
            memory = step.memory_again(model, memory, source)
            beams = len(texts)
            logits, _, _ = model.decode(
                torch.stack([text for text, _ in texts]),
                memory[row : row + 1].expand(beams, -1, -1),
                source[row : row + 1].expand(beams, -1),
            )
            log_probs = step.log_probabilities(step.logits_of_the_next(logits))
            done, going = step.sorted_out(
                step.candidates_of(texts, log_probs),
                lambda one, length=length: one[2] == eos_id or length == max_len,
                num_beams,
            )
            finished = step.set_aside(
                finished,
                [
                    (
                        step.continued(texts, number, token, rank)[1:],
                        step.score_of(total, length, max_len, length_penalty),
                    )
                    for rank, (total, number, token) in enumerate(done)
                ],
            )
            texts = [
                (step.continued(texts, number, token, rank), total) for rank, (total, number, token) in enumerate(going)
            ]
            if step.enough(finished, texts, num_beams):
                break
        found.append(step.best_of(finished))
    tokens = nn.utils.rnn.pad_sequence([text for text, _ in found], batch_first=True, padding_value=pad_id)
    return step.as_answer(tokens, torch.stack([score for _, score in found]))


# shift_right


@mistake(
    "shift_right",
    symptom="The tokens come back unmoved, and there is no begin token.",
    cause="The decoder would read at each place the very token that it is asked for. It would learn to copy, the "
    "loss would fall to nearly 0, and with nothing to copy it could write nothing.",
    place="Put the begin token in front and drop the last token.",
    shows=[("tokens_move_one_place", "differ")],
)
def not_shifted(tokens, bos_id):
    return tokens


@also("not_shifted", "shift_right")
def a_copy_unmoved(tokens, bos_id):
    return tokens.clone()


@mistake(
    "shift_right",
    symptom="The begin token has taken the place of the first token; all others stand where they stood.",
    cause="Nothing was moved: the first token was overwritten. From the second place on the decoder would read the very "
    "token that it is asked for, and the first token is lost.",
    place="Put the begin token in front of the tokens, and drop the last one instead of the first.",
    shows=[("tokens_move_one_place", "differ")],
)
def first_token_overwritten(tokens, bos_id):
    tokens = tokens.clone()
    tokens[:, 0] = bos_id
    return tokens


@also("first_token_overwritten", "shift_right")
def first_token_dropped_where_the_last_should_be(tokens, bos_id):
    return torch.cat([torch.full_like(tokens[:, :1], bos_id), tokens[:, 1:]], dim=1)


@mistake(
    "shift_right",
    symptom="The tokens have moved to the left: each place holds the token that comes after it.",
    cause="The decoder is to read what came before the token that it predicts. Moved to the left it reads what "
    "comes after, which it will not have when it writes.",
    place="Cut off the last column, not the first one, and put the begin token in front.",
    shows=[("tokens_move_one_place", "differ")],
)
def shifted_to_the_left(tokens, bos_id):
    return torch.cat([tokens[:, 1:], torch.full_like(tokens[:, :1], bos_id)], dim=1)


@also("shifted_to_the_left", "shift_right")
def rolled_to_the_left(tokens, bos_id):
    return torch.roll(tokens, -1, dims=1)


@also("shifted_to_the_left", "shift_right")
def rolled_to_the_left_with_begin(tokens, bos_id):
    tokens = torch.roll(tokens, -1, dims=1)
    tokens[:, -1] = bos_id
    return tokens


@also("shifted_to_the_left", "shift_right")
def begin_in_front_and_first_dropped_twice(tokens, bos_id):
    shifted = torch.zeros_like(tokens)
    shifted[:, :-1] = tokens[:, 1:]
    return shifted


@mistake(
    "begin",
    symptom="The tokens have moved by one place, but what stands in front is not the begin token.",
    cause="The first place must hold bos_id, in every row: it is all that the decoder has when it writes its first "
    "token. A 0, a copy of the first token or the last token of the row says something else.",
    place="Look at how the first column is made.",
    shows=[("tokens_move_one_place", "differ")],
)
def no_begin_token(tokens, bos_id):
    return torch.zeros_like(tokens[:, :1])


@also("no_begin_token", "begin")
def last_token_in_front(tokens, bos_id):
    return tokens[:, -1:]


@also("no_begin_token", "begin")
def first_token_kept(tokens, bos_id):
    return tokens[:, :1]


@also("no_begin_token", "begin")
def a_one_in_front(tokens, bos_id):
    return torch.ones_like(tokens[:, :1])


@mistake(
    "shift_right",
    symptom="A row has become shorter by one token.",
    cause="The last token was dropped and nothing was put in front. Without a begin token the decoder has nothing "
    "to read when it has to write the first one.",
    place="Join a column of bos_id and the tokens without the last one.",
    shows=[("tokens_move_one_place", "another shape", "*: tokens")],
)
def nothing_in_front(tokens, bos_id):
    return tokens[:, :-1]


@also("nothing_in_front", "shift_right")
def first_token_dropped(tokens, bos_id):
    return tokens[:, 1:]


@mistake(
    "kept",
    symptom="A row has become longer by one token.",
    cause="The begin token was put in front and no token was dropped. The decoder would give one row of logits more "
    "than there are tokens to predict.",
    place="Drop the last column of the tokens.",
    shows=[("tokens_move_one_place", "another shape", "*: tokens")],
)
def last_token_not_dropped(tokens):
    return tokens


@mistake(
    "shift_right",
    symptom="The rows have moved, not the tokens in them.",
    cause="The shift runs along the batch, so each target got its neighbour's tokens. The time is axis 1.",
    place="Look at the axis of cat, roll or the slices.",
    shows=[("tokens_move_one_place", "differ")],
)
def rows_shifted(tokens, bos_id):
    return torch.cat([torch.full_like(tokens[:1], bos_id), tokens[:-1]], dim=0)


@also("rows_shifted", "shift_right")
def rows_rolled(tokens, bos_id):
    tokens = torch.roll(tokens, 1, dims=0)
    tokens[0] = bos_id
    return tokens


@mistake(
    "shift_right",
    symptom="From the second place on, all tokens of a row are the same.",
    cause="The tokens were moved within one tensor, each place reading what the step before had just written there. "
    "The copy needs a source that does not change.",
    place="Make a new tensor, or clone before you assign slices.",
    shows=[("tokens_move_one_place", "differ")],
)
def tokens_smeared(tokens, bos_id):
    tokens = tokens.clone()
    tokens[:, 0] = bos_id
    for place in range(1, tokens.shape[1]):
        tokens[:, place] = tokens[:, place - 1]
    return tokens


@also("tokens_smeared", "shift_right")
def first_token_smeared(tokens, bos_id):
    tokens = tokens.clone()
    for place in range(1, tokens.shape[1]):
        tokens[:, place] = tokens[:, place - 1]
    tokens[:, 0] = bos_id
    return tokens


@mistake(
    "shift_right",
    credit=0.5,
    symptom="The result has another dtype than the tokens.",
    cause="The begin column is made with a fixed dtype (torch.full with a float, torch.zeros, torch.tensor), and "
    "torch.cat turns everything into the wider one. Embeddings take integers only.",
    place="Make the column with full_like or new_full, which follow the tokens.",
    shows=[("shift_follows_the_tokens", "differ", "answer for *")],
)
def another_dtype(tokens, bos_id):
    front = torch.full((len(tokens), 1), float(bos_id), device=tokens.device)
    return torch.cat([front, tokens[:, :-1]], dim=1)


@also("another_dtype", "shift_right")
def always_int64(tokens, bos_id):
    front = torch.full((len(tokens), 1), bos_id, dtype=torch.int64, device=tokens.device)
    return torch.cat([front, tokens[:, :-1]], dim=1)


@also("another_dtype", "shift_right")
def floats_from_zeros(tokens, bos_id):
    shifted = torch.zeros(tokens.shape, device=tokens.device)
    shifted[:, 0], shifted[:, 1:] = bos_id, tokens[:, :-1]
    return shifted


@also("another_dtype", "shift_right")
def int64_on_the_default_device(tokens, bos_id):
    return torch.cat([torch.full((len(tokens), 1), bos_id), tokens[:, :-1]], dim=1)


@mistake(
    "shift_right",
    credit=0.5,
    symptom="It fails as soon as the tokens live on another device, such as a GPU.",
    cause="The begin column was made on the default device, whatever the tokens are on.",
    place="Make it with full_like or new_full, or give device=tokens.device.",
    shows=[("shift_follows_the_tokens", "is no")],
)
def begin_on_the_default_device(tokens, bos_id):
    return torch.cat([torch.full((len(tokens), 1), bos_id, dtype=tokens.dtype), tokens[:, :-1]], dim=1)


# EncoderDecoder: what the decoder reads


@mistake(
    "decoder_input",
    symptom="The logits at a place move with the target token at the same place, which they are to predict.",
    cause="The decoder reads the target unshifted. It would learn to copy what it sees; the loss falls to nearly 0, "
    "and when there is no target to copy nothing useful comes out.",
    place="In forward, give decode the target through shift_right.",
    shows=[("logits_do_not_see_their_token", "differ", "places whose logits move*")],
)
def decoder_input_not_shifted(self, target):
    return target


@also("decoder_input_not_shifted", "decoder_input")
def first_input_replaced(self, target):
    return torch.cat([torch.full_like(target[:, :1], self.bos_id), target[:, 1:]], dim=1)


@mistake(
    "decoder_input",
    symptom="The first places are wrong: the decoder does not begin with bos_id.",
    cause="The target was moved to the right, but the place in front was filled with something else: padding, 0, "
    "or the token that fell off at the end.",
    place="Use shift_right with self.bos_id.",
)
def no_begin_token_in_forward(self, target):
    return torch.roll(target, 1, dims=1)


@also("no_begin_token_in_forward", "decoder_input")
def padding_in_front(self, target):
    return torch.cat([torch.full_like(target[:, :1], self.pad_id), target[:, :-1]], dim=1)


@also("no_begin_token_in_forward", "decoder_input")
def zero_in_front(self, target):
    return torch.cat([torch.zeros_like(target[:, :1]), target[:, :-1]], dim=1)


@also("no_begin_token_in_forward", "decoder_input")
def first_token_twice(self, target):
    return torch.cat([target[:, :1], target[:, :-1]], dim=1)


@mistake(
    "decoder_input",
    symptom="There is one row of logits less than the target has tokens.",
    cause="The last token was dropped and no begin token put in front, as for a language model. Here the first "
    "token has to be predicted too, from the begin token and the source.",
    place="Use shift_right, which keeps the length.",
    shows=[("logits_of_a_padded_batch", "another shape", "logits")],
)
def target_shortened(self, target):
    return target[:, :-1]


@also("target_shortened", "forward")
def logits_shortened(self, source, target):
    memory, _ = self.encode(source)
    return self.decode(self.decoder_input(target), memory, source)[0][:, :-1]


@mistake(
    "decoder_input",
    symptom="There is one row of logits more than the target has tokens.",
    cause="The begin token was put in front and no token dropped. Nothing follows the last token, so nothing can be "
    "asked of the additional row.",
    place="Use shift_right, which keeps the length.",
    shows=[("logits_of_a_padded_batch", "another shape", "logits")],
)
def target_lengthened(self, target):
    return torch.cat([torch.full_like(target[:, :1], self.bos_id), target], dim=1)


@mistake(
    "decode",
    symptom="decode does not take its tokens as they are: it shifts them.",
    cause="decode is also used while a text is written, with tokens that begin with bos_id already. Shifted there, "
    "the newest token would fall off in each step and never be read. Only forward has a whole target.",
    place="Call shift_right in forward and nowhere else.",
    shows=[("decode_reads_tokens_and_memory", "differ", "logits")],
)
def decode_shifts(self, tokens, memory, source):
    tokens = torch.cat([torch.full_like(tokens[:, :1], self.bos_id), tokens[:, :-1]], dim=1)
    x, self_weights, cross_weights = self.run_decoder(tokens, memory, source)
    return self.finish(x), self_weights, cross_weights


@also("decode_shifts")
class decode_shifts_instead_of_forward:
    def decode(self, tokens, memory, source):
        tokens = torch.cat([torch.full_like(tokens[:, :1], self.bos_id), tokens[:, :-1]], dim=1)
        x, self_weights, cross_weights = self.run_decoder(tokens, memory, source)
        return self.finish(x), self_weights, cross_weights

    def decoder_input(self, target):
        return target


# EncoderDecoder: the masks


@mistake(
    "self_mask",
    symptom="The logits move with target tokens that come later.",
    cause="The decoder's self-attention has no causal mask, so each place sees the whole target, the token that it "
    "has to predict included. The shift alone does not prevent that.",
    place="Give the decoder causal_mask(queries) as its self_mask.",
    shows=[("decode_reads_tokens_and_memory", "larger", "largest weight on a hidden key in self_weights*")],
)
def target_leaking(self, tokens):
    return None


@also("target_leaking", "self_mask")
def only_padding_of_the_target_hidden(self, tokens):
    return padding_mask(tokens, self.pad_id)


@also("target_leaking", "self_mask")
def everything_visible(self, tokens):
    return torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool, device=tokens.device)


@mistake(
    "self_mask",
    symptom="The logits move with later target tokens, and not with earlier ones: the causal mask is inverted.",
    cause="In this course True means may attend, and causal_mask is made that way. In nn.Transformer True means "
    "hidden, which is where the habit of inverting comes from.",
    place="Pass the mask on as it is, without ~ and without transposing it.",
    shows=[("decode_reads_tokens_and_memory", "larger", "largest weight on a hidden key in self_weights*")],
)
def causal_mask_inverted(self, tokens):
    return ~causal_mask(tokens.shape[1]).to(tokens.device)


@also("causal_mask_inverted", "self_mask")
def causal_mask_transposed(self, tokens):
    return causal_mask(tokens.shape[1]).to(tokens.device).T


@also("causal_mask_inverted", "self_mask")
def triu_with_the_diagonal(self, tokens):
    return torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool, device=tokens.device).triu()


@also("causal_mask_inverted", "self_mask")
def mask_of_nn_transformer(self, tokens):
    mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1], device=tokens.device)
    return mask.bool()


@mistake(
    "run_decoder",
    symptom="With as many source tokens as target tokens the answer is wrong; with other sizes the masks do not fit.",
    cause="The decoder's two masks are exchanged: its self-attention runs over the target and needs the causal "
    "mask, its cross-attention runs over the source and needs the source's padding mask.",
    place="Look at the order of the decoder's arguments, or pass them by name: self_mask=, memory_mask=.",
    shows=[("decode_reads_tokens_and_memory", "raise"), ("equal_sizes_are_nothing_special", "differ", "logits")],
)
def masks_of_source_and_target_swapped(self, tokens, memory, source):
    return self.decoder(self.embed_target(tokens), memory, self.memory_mask(source), self.self_mask(tokens))


@mistake(
    "memory_mask",
    symptom="Cross-attention hides or shows source tokens by the wrong measure; where the sizes differ it may fail.",
    cause="The mask of cross-attention belongs to its keys, and these are places of the source. A mask of the target "
    "(causal, or its padding) says nothing about them.",
    place="Make memory_mask from the source's padding.",
)
def target_mask_in_cross_attention(self, source):
    return causal_mask(source.shape[1]).to(source.device)


@also("target_mask_in_cross_attention", "run_decoder")
def causal_mask_in_both_attentions(self, tokens, memory, source):
    mask = self.self_mask(tokens)
    return self.decoder(self.embed_target(tokens), memory, mask, mask)


@also("target_mask_in_cross_attention", "run_decoder")
def padding_of_the_target_in_cross_attention(self, tokens, memory, source):
    return self.decoder(self.embed_target(tokens), memory, self.self_mask(tokens), padding_mask(tokens, self.pad_id))


@also("target_mask_in_cross_attention", "run_decoder")
def causal_and_padding_in_cross_attention(self, tokens, memory, source):
    both = causal_mask(source.shape[1])[: tokens.shape[1]].to(source.device) & padding_mask(source, self.pad_id)
    return self.decoder(self.embed_target(tokens), memory, self.self_mask(tokens), both)


@mistake(
    "encoder_mask",
    symptom="The memory changes when padding is put behind a source.",
    cause="The encoder attends to padding. How much there is depends on the other texts of the batch, so the same "
    "source would mean something else in other company.",
    place="Give the encoder the padding mask of the source.",
    shows=[
        ("encode_reads_the_source", "larger", "largest weight on a hidden key*"),
        ("padding_means_nothing", "is yes"),
    ],
)
def padding_read_by_the_encoder(self, source):
    return None


@mistake(
    "memory_mask",
    symptom="Cross-attention gives weight to places of the source that are padding.",
    cause="The encoder's mask only keeps padding out of the memory's other places. The memory still has a vector for "
    "each padding place, and the decoder must be told not to look at it.",
    place="Give the decoder the source's padding mask as memory_mask.",
    shows=[("decode_reads_tokens_and_memory", "larger", "largest weight on a hidden key in cross_weights*")],
)
def padding_read_by_cross_attention(self, source):
    return None


@mistake(
    symptom="Padding behind a source changes the answer, in the encoder and in cross-attention.",
    cause="No mask hides the padding of the source. It has to be hidden twice: in the encoder's self-attention and "
    "in the decoder's cross-attention, which both have the source's places as keys.",
    place="Use padding_mask(source, self.pad_id) for both.",
    shows=[
        ("encode_reads_the_source", "larger", "largest weight on a hidden key*"),
        ("decode_reads_tokens_and_memory", "larger", "largest weight on a hidden key in cross_weights*"),
        ("padding_means_nothing", "is yes"),
    ],
)
class source_padding_ignored:
    def encoder_mask(self, source):
        return None

    def memory_mask(self, source):
        return None


@mistake(
    symptom="Padding of the source is attended to, and the rest is not: by the encoder, by cross-attention, or by both.",
    cause="The padding mask is read the wrong way round. In this course True means may attend; in nn.Transformer "
    "True means is ignored.",
    place="Use padding_mask as it is, or compare with != and not with ==.",
)
class padding_mask_inverted:
    def encoder_mask(self, source):
        return ~padding_mask(source, self.pad_id)

    def memory_mask(self, source):
        return ~padding_mask(source, self.pad_id)


@also("padding_mask_inverted", "encoder_mask")
def padding_mask_inverted_in_the_encoder(self, source):
    return ~padding_mask(source, self.pad_id)


@also("padding_mask_inverted", "memory_mask")
def padding_mask_inverted_in_cross_attention(self, source):
    return ~padding_mask(source, self.pad_id)


@mistake(
    "encoder_mask",
    symptom="The memory of a source token does not depend on the tokens after it.",
    cause="The encoder got a causal mask. It reads a whole text that is there already, so every place may look at "
    "every other; only the decoder, which writes, may not look ahead.",
    place="Give the encoder the padding mask alone.",
    shows=[("encode_reads_the_source", "differ", "memory")],
)
def causal_mask_in_the_encoder(self, source):
    return causal_mask(source.shape[1]).to(source.device)


@also("causal_mask_in_the_encoder", "encoder_mask")
def causal_and_padding_mask_in_the_encoder(self, source):
    return causal_mask(source.shape[1]).to(source.device) & padding_mask(source, self.pad_id)


@mistake(
    "remember",
    symptom="It is right for one id of padding, or of the begin token, and wrong for others.",
    cause="The ids are fixed in the code, 0 for padding or 1 for begin, say. Every vocabulary numbers its special "
    "tokens in its own way; Marian's padding, for example, is the last id.",
    place="Use self.pad_id and self.bos_id, as they were given to the constructor.",
)
def ids_fixed(self, pad_id, bos_id):
    self.pad_id, self.bos_id = 0, 1


@also("ids_fixed", "remember")
def id_of_padding_fixed(self, pad_id, bos_id):
    self.pad_id, self.bos_id = 0, bos_id


@also("ids_fixed", "remember")
def id_of_begin_fixed(self, pad_id, bos_id):
    self.pad_id, self.bos_id = pad_id, 1


@also("ids_fixed", "remember")
def id_of_begin_follows_padding(self, pad_id, bos_id):
    self.pad_id, self.bos_id = pad_id, pad_id + 1


@mistake(
    "remember",
    symptom="The ids of padding and begin are exchanged.",
    cause="The padding mask hides the begin token instead of padding, and the decoder begins with padding.",
    place="Compare the order of the arguments with the assignment in __init__.",
)
def ids_exchanged(self, pad_id, bos_id):
    self.pad_id, self.bos_id = bos_id, pad_id


# EncoderDecoder: the parts


@mistake(
    "make_target_embedding",
    symptom="The tokens of one side, or of both, get their vectors without positions.",
    cause="A plain nn.Embedding is used there, or the table of tokens by itself. Attention treats its input as a set: without positions the model "
    "cannot tell 12 from 21 on that side.",
    place="Make both embeddings a TransformerEmbedding, and call them as a whole.",
    shows=[("logits_of_a_padded_batch", "differ")],
)
def positions_missing_on_one_side(self, source_vocab_size, target_vocab_size, embed_dim, max_len, dropout):
    self.target_embedding = nn.Embedding(target_vocab_size, embed_dim)


@also("positions_missing_on_one_side", "make_source_embedding")
def positions_missing_in_the_source(self, source_vocab_size, target_vocab_size, embed_dim, max_len, dropout):
    self.source_embedding = nn.Embedding(source_vocab_size, embed_dim)


@also("positions_missing_on_one_side", "embed_target")
def only_token_vectors_of_the_target(self, tokens):
    return self.target_embedding.token(tokens)


@also("positions_missing_on_one_side", "embed_source")
def only_token_vectors_of_the_source(self, source):
    return self.source_embedding.token(source)


@also("positions_missing_on_one_side")
class positions_missing_on_both_sides:
    def embed_source(self, source):
        return self.source_embedding.token(source)

    def embed_target(self, tokens):
        return self.target_embedding.token(tokens)


@mistake(
    "make_target_embedding",
    symptom="Both sides use the same table of token vectors.",
    cause="There is one embedding for two vocabularies. Id 7 is one thing in the source and another in the target. "
    "(The paper shares one table, because there both languages share one vocabulary.)",
    place="Make source_embedding and target_embedding separately, each with its own vocab_size.",
)
def one_embedding_for_both_sides(self, source_vocab_size, target_vocab_size, embed_dim, max_len, dropout):
    # As large as the larger vocabulary, so that no id is out of range.
    size = max(source_vocab_size, target_vocab_size)
    self.source_embedding = TransformerEmbedding(size, embed_dim, max_len, dropout=dropout)
    self.target_embedding = self.source_embedding


@also("one_embedding_for_both_sides", "make_target_embedding")
def source_embedding_used_twice(self, source_vocab_size, target_vocab_size, embed_dim, max_len, dropout):
    self.target_embedding = self.source_embedding


@also("one_embedding_for_both_sides", "embed_target")
def target_embedded_as_source(self, tokens):
    return self.source_embedding(tokens)


@also("one_embedding_for_both_sides", "embed_source")
def source_embedded_as_target(self, source):
    return self.target_embedding(source)


@mistake(
    symptom="The embeddings have the sizes of each other's vocabulary.",
    cause="source_vocab_size and target_vocab_size are exchanged. With vocabularies of the same size it would pass "
    "unseen; with others an id is out of range, or a part of the table is never used.",
    place="Compare the order of the arguments with those of the two embeddings.",
    shows=[("parts_have_their_names", "differ", "parameters of another shape")],
)
class vocabularies_exchanged:
    def make_source_embedding(self, source_vocab_size, target_vocab_size, embed_dim, max_len, dropout):
        self.source_embedding = TransformerEmbedding(target_vocab_size, embed_dim, max_len, dropout=dropout)

    def make_target_embedding(self, source_vocab_size, target_vocab_size, embed_dim, max_len, dropout):
        self.target_embedding = TransformerEmbedding(source_vocab_size, embed_dim, max_len, dropout=dropout)


@mistake(
    "make_decoder",
    symptom="Encoder and decoder have the same number of layers, whatever was asked for.",
    cause="One depth is used for both stacks. They are independent: the encoder runs once for a text, the decoder "
    "once for every token, so services often make the encoder deep and the decoder shallow.",
    place="Build the encoder with encoder_layers and the decoder with decoder_layers.",
)
def one_depth_for_both_stacks(self, encoder_layers, decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first):
    self.decoder = Decoder(encoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first)


@also("one_depth_for_both_stacks", "make_encoder")
def depth_of_the_decoder_for_both(
    self, encoder_layers, decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first
):
    self.encoder = Encoder(decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first)


@also("one_depth_for_both_stacks", "run_decoder")
def layer_reads_the_layer_of_its_number(self, tokens, memory, source):
    if len(self.encoder.layers) != len(self.decoder.layers):
        raise ValueError("encoder and decoder need the same number of layers")
    return self.decoder(self.embed_target(tokens), memory, self.self_mask(tokens), self.memory_mask(source))


@mistake(
    symptom="Encoder and decoder have each other's number of layers.",
    cause="encoder_layers and decoder_layers are exchanged.",
    place="Compare the order of the arguments with those of the two stacks.",
    shows=[("parts_have_their_names", "differ")],
)
class depths_exchanged:
    def make_encoder(self, encoder_layers, decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first):
        self.encoder = Encoder(decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first)

    def make_decoder(self, encoder_layers, decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first):
        self.decoder = Decoder(encoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first)


@mistake(
    symptom="With norm_first=True a stack is still post-norm.",
    cause="norm_first does not reach both stacks. They would be of two kinds, and pre-norm weights would not fit.",
    place="Pass norm_first to the encoder and to the decoder.",
    shows=[("norm_first_reaches_both_stacks", "differ"), ("logits_of_a_padded_batch", "right")],
)
class norm_first_not_passed_on:
    def make_encoder(self, encoder_layers, decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first):
        self.encoder = Encoder(encoder_layers, embed_dim, num_heads, ff_dim, dropout)

    def make_decoder(self, encoder_layers, decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first):
        self.decoder = Decoder(decoder_layers, embed_dim, num_heads, ff_dim, dropout)


@also("norm_first_not_passed_on", "make_encoder")
def norm_first_not_passed_to_the_encoder(
    self, encoder_layers, decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first
):
    self.encoder = Encoder(encoder_layers, embed_dim, num_heads, ff_dim, dropout)


@also("norm_first_not_passed_on", "make_decoder")
def norm_first_not_passed_to_the_decoder(
    self, encoder_layers, decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first
):
    self.decoder = Decoder(decoder_layers, embed_dim, num_heads, ff_dim, dropout)


@mistake(
    "make_source_embedding",
    credit=0.5,
    symptom="In training, dropout leaves a part of the model alone.",
    cause="dropout is one of the model's own arguments and has to be handed to four parts: two embeddings and two "
    "stacks. A part that does not get it keeps its default of 0.",
    place="Look at the arguments of all four parts; in the embeddings it must be passed by name.",
    shows=[("dropout_acts_in_training", "differ", "*training*"), ("logits_of_a_padded_batch", "right")],
)
def dropout_not_passed_on(self, source_vocab_size, target_vocab_size, embed_dim, max_len, dropout):
    self.source_embedding = TransformerEmbedding(source_vocab_size, embed_dim, max_len)


@also("dropout_not_passed_on", "make_target_embedding")
def dropout_not_passed_to_the_target(self, source_vocab_size, target_vocab_size, embed_dim, max_len, dropout):
    self.target_embedding = TransformerEmbedding(target_vocab_size, embed_dim, max_len)


@also("dropout_not_passed_on")
class dropout_not_passed_to_the_embeddings:
    def make_source_embedding(self, source_vocab_size, target_vocab_size, embed_dim, max_len, dropout):
        self.source_embedding = TransformerEmbedding(source_vocab_size, embed_dim, max_len)

    def make_target_embedding(self, source_vocab_size, target_vocab_size, embed_dim, max_len, dropout):
        self.target_embedding = TransformerEmbedding(target_vocab_size, embed_dim, max_len)


@also("dropout_not_passed_on", "make_encoder")
def dropout_not_passed_to_the_encoder(
    self, encoder_layers, decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first
):
    self.encoder = Encoder(encoder_layers, embed_dim, num_heads, ff_dim, norm_first=norm_first)


@also("dropout_not_passed_on", "make_decoder")
def dropout_not_passed_to_the_decoder(
    self, encoder_layers, decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first
):
    self.decoder = Decoder(decoder_layers, embed_dim, num_heads, ff_dim, norm_first=norm_first)


@also("dropout_not_passed_on")
class dropout_not_passed_to_the_stacks:
    def make_encoder(self, encoder_layers, decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first):
        self.encoder = Encoder(encoder_layers, embed_dim, num_heads, ff_dim, norm_first=norm_first)

    def make_decoder(self, encoder_layers, decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first):
        self.decoder = Decoder(decoder_layers, embed_dim, num_heads, ff_dim, norm_first=norm_first)


@also("dropout_not_passed_on")
class dropout_not_passed_anywhere:
    def make_source_embedding(self, source_vocab_size, target_vocab_size, embed_dim, max_len, dropout):
        self.source_embedding = TransformerEmbedding(source_vocab_size, embed_dim, max_len)

    def make_target_embedding(self, source_vocab_size, target_vocab_size, embed_dim, max_len, dropout):
        self.target_embedding = TransformerEmbedding(target_vocab_size, embed_dim, max_len)

    def make_encoder(self, encoder_layers, decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first):
        self.encoder = Encoder(encoder_layers, embed_dim, num_heads, ff_dim, norm_first=norm_first)

    def make_decoder(self, encoder_layers, decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first):
        self.decoder = Decoder(decoder_layers, embed_dim, num_heads, ff_dim, norm_first=norm_first)


@mistake(
    "run_decoder",
    symptom="The logits do not depend on the source.",
    cause="The decoder gets no memory, so it skips its cross-attention: a language model that writes some target, "
    "whatever the source says.",
    place="Pass the memory as the decoder's second argument.",
)
def memory_not_passed_on(self, tokens, memory, source):
    return self.decoder(self.embed_target(tokens), None, self.self_mask(tokens))


@mistake(
    "encode",
    symptom="The memory is not what the encoder makes of the source.",
    cause="The decoder is given the embedded source: token vectors that know nothing of each other. What makes a "
    "place of the source meaningful is its context, and that is the encoder's work.",
    place="Return what the encoder returns.",
)
def memory_without_the_encoder(self, source):
    x = self.embed_source(source)
    return x, self.encoder(x, self.encoder_mask(source))[1]


@mistake(
    credit=0.5,
    symptom="encode returns the memory alone.",
    cause="It returns a pair: the memory, and the list of weights that the encoder gives with it. Who calls encode "
    "takes the pair apart, as greedy_decode does.",
    place="Return both things that self.encoder returns; in forward, take the first.",
    shows=[("encode_reads_the_source", "missing")],
)
class memory_without_weights:
    def encode(self, source):
        return self.encoder(self.embed_source(source), self.encoder_mask(source))[0]

    def forward(self, source, target):
        return self.decode(self.decoder_input(target), self.encode(source), source)[0]


@mistake(
    credit=0.5,
    symptom="decode returns the logits alone.",
    cause="It returns three things: the logits, and the two lists of weights that the decoder gives with them. Who "
    "calls decode takes them apart, as greedy_decode does.",
    place="Return the logits, the self-attention's weights and the cross-attention's weights; in forward, take the "
    "first.",
    shows=[("decode_reads_tokens_and_memory", "missing")],
)
class logits_without_weights:
    def decode(self, tokens, memory, source):
        return self.finish(self.run_decoder(tokens, memory, source)[0])

    def forward(self, source, target):
        memory, _ = self.encode(source)
        return self.decode(self.decoder_input(target), memory, source)


@mistake(
    "run_decoder",
    symptom="Cross-attention looks at the target, not at the source.",
    cause="The decoder is given the embedded target where the memory belongs. Only the query of cross-attention comes "
    "from the decoder; its keys and values come from the encoder's output.",
    place="The second argument of the decoder is the memory.",
    shows=[("decode_reads_tokens_and_memory", "another shape", "cross_weights*")],
)
def target_in_the_place_of_the_memory(self, tokens, memory, source):
    x = self.embed_target(tokens)
    return self.decoder(x, x, self.self_mask(tokens))


@also("target_in_the_place_of_the_memory", "run_decoder")
def memory_and_target_exchanged(self, tokens, memory, source):
    return self.decoder(memory, self.embed_target(tokens), None, None)


@mistake(
    "finish",
    symptom="What comes out are vectors of embed_dim numbers, not logits over the vocabulary.",
    cause="The decoder's output is returned as it is. The head turns each vector into one number per token of the "
    "target's vocabulary.",
    place="Send the decoder's output through self.head.",
    shows=[("logits_of_a_padded_batch", "another shape", "logits")],
)
def head_forgotten(self, x):
    return x


@mistake(
    "finish",
    symptom="The logits have been through a softmax.",
    cause="Cross-entropy takes logits and does the softmax itself. Done twice, all probabilities come close to each "
    "other, and training hardly moves.",
    place="Return what the head gives.",
)
def softmax_on_the_logits(self, x):
    return self.head(x).softmax(dim=-1)


@also("softmax_on_the_logits", "finish")
def log_softmax_on_the_logits(self, x):
    return self.head(x).log_softmax(dim=-1)


@mistake(
    "forward",
    symptom="There are logits for one place only.",
    cause="Only the last place is returned, as in decoding, where nothing else is new. Training learns from all "
    "places at once.",
    place="Return the logits of all places from decode and from forward.",
    shows=[("logits_of_a_padded_batch", "another shape", "logits")],
)
def only_the_last_place(self, source, target):
    memory, _ = self.encode(source)
    return self.decode(self.decoder_input(target), memory, source)[0][:, -1]


@also("only_the_last_place", "finish")
def only_the_last_place_in_decode(self, x):
    return self.head(x[:, -1:])


@also("only_the_last_place", "finish")
def only_the_last_place_without_its_axis(self, x):
    return self.head(x[:, -1])


@mistake(
    "forward",
    credit=0.5,
    symptom="forward returns more than the logits.",
    cause="What decode returns was passed on as it is, with the attention weights. forward is made for training and "
    "returns one tensor.",
    place="Unpack what decode returns and return the first of the three.",
    shows=[("logits_of_a_padded_batch", "missing", "logits")],
)
def forward_returns_weights_too(self, source, target):
    memory, _ = self.encode(source)
    return self.decode(self.decoder_input(target), memory, source)


@mistake(
    "make_head",
    credit=0.5,
    symptom="The head has no bias.",
    cause="The head of this lesson is an nn.Linear with bias. (Many models leave it out, mostly when the head shares "
    "its weight with the embedding.)",
    place="Make the head without bias=False.",
    shows=[("parts_have_their_names", "differ", "missing parameters")],
)
def head_without_bias(self, embed_dim, target_vocab_size):
    self.head = nn.Linear(embed_dim, target_vocab_size, bias=False)


@mistake(
    "self_mask",
    credit=0.5,
    symptom="It fails as soon as the model lives on another device, such as a GPU.",
    cause="causal_mask makes its mask on the CPU, and it is used there without being moved.",
    place="Move it: causal_mask(queries).to(tokens.device).",
    shows=[("model_follows_its_inputs", "is no")],
)
def causal_mask_left_on_the_cpu(self, tokens):
    return causal_mask(tokens.shape[1])


# greedy_decode


@mistake(
    "memory_again",
    credit=0.5,
    symptom="The tokens are right, but each source is encoded again for every token that is written.",
    cause="The source does not change while the target is written, and neither does the memory. This is why the model "
    "has encode and decode: the first is called once, the second in each step.",
    place="Move model.encode in front of the loop.",
    shows=[
        ("greedy_encodes_once", "is again and again"),
        ("greedy_encodes_once", "right", "*tokens"),
        ("beams_encode_once", "is again and again"),
    ],
)
def encoder_run_at_every_step(model, memory, source):
    return model.encode(source)[0]


@also("encoder_run_at_every_step", "greedy_decode")
def forward_used_at_every_step(model, source, bos_id, eos_id, pad_id, max_len):
    model.eval()
    tokens, over = source[:, :0], torch.zeros(len(source), dtype=torch.bool)
    while tokens.shape[1] < max_len and not over.all():
        target = torch.cat([tokens, torch.full_like(source[:, :1], pad_id)], dim=1)
        shifted = torch.cat([torch.full_like(source[:, :1], bos_id), target[:, :-1]], dim=1)
        memory, _ = model.encode(source)
        best = model.decode(shifted, memory, source)[0][:, -1].argmax(-1)
        best = torch.where(over, torch.full_like(best, pad_id), best)
        over = over | (best == eos_id)
        tokens = torch.cat([tokens, best[:, None]], dim=1)
    return tokens


@mistake(
    symptom="Every row has max_len tokens, and noise follows its end.",
    cause="The end of sequence is never looked at. The model says eos_id when its text is over; whatever it says "
    "after that means nothing.",
    place="Remember for each row whether it has ended, write padding from then on, and leave the loop when all have.",
    shows=[("greedy_rows_end_by_themselves", "another shape")],
)
class end_of_sequence_ignored:
    @staticmethod
    def over_after(over, best, eos_id):
        return over


@mistake(
    "filled",
    only=("greedy_decode",),
    symptom="Noise follows the end of the rows that end before the others.",
    cause="A row that has ended goes on being written until the longest one ends. What the model says about it then "
    "means nothing, and would be taken for text.",
    place="Where a row is over, write pad_id instead of the new token.",
    shows=[("greedy_rows_end_by_themselves", "differ")],
)
def noise_after_the_end(best, over, pad_id, eos_id):
    return best


@mistake(
    "over_after",
    only=("greedy_decode",),
    symptom="One padding follows the end of a row, and then the row comes to life again.",
    cause="Whether a row is over is worked out from its last token alone. One step after the end the last token is "
    "padding, and the end is forgotten.",
    place="Remember in `over` which rows have ever ended: add to it (`|`), and never start it afresh.",
    shows=[("greedy_rows_end_by_themselves", "differ")],
)
def end_of_a_row_forgotten(over, best, eos_id):
    return best == eos_id


@also("end_of_a_row_forgotten", "greedy_decode")
def end_seen_in_the_last_token_only(model, source, bos_id, eos_id, pad_id, max_len):
    model.eval()
    with torch.no_grad():
        memory, _ = model.encode(source)
        tokens = torch.full_like(source[:, :1], bos_id)
        for _ in range(max_len):
            best = model.decode(tokens, memory, source)[0][:, -1].argmax(dim=-1)
            best = best.masked_fill(tokens[:, -1] == eos_id, pad_id)
            tokens = torch.cat([tokens, best[:, None]], dim=1)
            if (tokens == eos_id).any(dim=1).all():
                break
    return tokens[:, 1:]


@mistake(
    symptom="Rows go on after their end, unless all of them write eos_id in the same step.",
    cause="Each step asks whether all rows have *just now* written eos_id. Rows end at different steps, and those that "
    "ended before have gone on by then; so the loop runs up to max_len, and noise follows the ends.",
    place="Remember which rows have ended, `over = over | (best == eos_id)`; write pad_id in these, and leave the loop "
    "when over.all().",
    shows=[("greedy_rows_end_by_themselves", "another shape"), ("greedy_takes_the_most_probable", "right")],
)
class all_rows_end_at_once:
    @staticmethod
    def filled(best, over, pad_id, eos_id):
        return best

    @staticmethod
    def over_after(over, best, eos_id):
        return best == eos_id


@mistake(
    "all_done",
    symptom="All rows stop when the first one ends.",
    cause="The loop is left as soon as any row says eos_id. The texts of a batch have different lengths, and the "
    "longer ones are cut off.",
    place="Leave the loop when all rows have ended: over.all(), not .any().",
    shows=[("greedy_rows_end_by_themselves", "another shape")],
)
def batch_ends_with_its_first_row(over, best, eos_id):
    return bool(over.any())


@also("batch_ends_with_its_first_row", "all_done")
def first_row_decides_for_all(over, best, eos_id):
    return bool(over[0])


@mistake(
    "all_done",
    symptom="The result has max_len columns, although all rows ended before; the last columns are padding.",
    cause="Writing goes on after all rows are over. It costs time for nothing: the model is run for padding.",
    place="Leave the loop as soon as all rows are over.",
    credit=0.5,
    shows=[("greedy_rows_end_by_themselves", "another shape")],
)
def written_up_to_max_len(over, best, eos_id):
    return False


@also("written_up_to_max_len", "all_done")
def ends_only_if_all_end_together(over, best, eos_id):
    return bool((best == eos_id).all())


@mistake(
    "greedy_decode",
    credit=0.5,
    symptom="The end of sequence itself is missing from the rows.",
    cause="A row was padded from its eos_id on instead of after it. The end is the last token of a text: without it "
    "nobody can tell a text that ended from one that was cut off at max_len.",
    place="Write the token first, and update which rows are over afterwards.",
)
def end_of_sequence_not_written(model, source, bos_id, eos_id, pad_id, max_len):
    model.eval()
    memory, _ = model.encode(source)
    tokens, over = torch.full_like(source[:, :1], bos_id), torch.zeros(len(source), dtype=torch.bool)
    for _ in range(max_len):
        best = model.decode(tokens, memory, source)[0][:, -1].argmax(-1)
        over = over | (best == eos_id)
        tokens = torch.cat([tokens, best.masked_fill(over, pad_id)[:, None]], dim=1)
        if over.all():
            break
    return tokens[:, 1:]


@also("end_of_sequence_not_written", "greedy_decode")
def loop_left_before_the_end_is_written(model, source, bos_id, eos_id, pad_id, max_len):
    model.eval()
    memory, _ = model.encode(source)
    tokens, over = torch.full_like(source[:, :1], bos_id), torch.zeros(len(source), dtype=torch.bool)
    for _ in range(max_len):
        best = model.decode(tokens, memory, source)[0][:, -1].argmax(-1)
        over = over | (best == eos_id)
        if over.all():
            break
        tokens = torch.cat([tokens, best.masked_fill(over, pad_id)[:, None]], dim=1)
    return tokens[:, 1:]


@also("end_of_sequence_not_written", "written")
def end_of_sequence_replaced_at_last(tokens, max_len, pad_id):
    ends = (tokens[:, 1:] == pad_id).int().cumsum(1) == 0
    last = ends.sum(1, keepdim=True) - 1
    complete = last < tokens.shape[1] - 2
    return tokens[:, 1:].scatter(1, last, torch.where(complete, pad_id, tokens[:, 1:].gather(1, last)))


@mistake(
    "written",
    credit=0.5,
    symptom="The begin token is still in front of every row.",
    cause="The begin token is what the decoder reads first, not something that it wrote.",
    place="Return the tokens from the second column on.",
    shows=[("greedy_takes_the_most_probable", "another shape")],
)
def begin_token_kept(tokens, max_len, pad_id):
    return tokens


@mistake(
    "logits_of_the_next",
    symptom="From the second token on the texts are wrong: the logits are not read from the last place.",
    cause="decode returns logits for every place that it was given. The newest ones, for the token that comes next, "
    "are those of the last place.",
    place="Take logits[:, -1].",
    shows=[("greedy_takes_the_most_probable", "differ"), ("two_beams_find_the_best_text", "differ")],
)
def first_place_read(logits):
    return logits[:, 0]


@also("first_place_read", "logits_of_the_next")
def last_but_one_place_read(logits):
    return logits[:, max(0, logits.shape[1] - 2)]


@also("first_place_read", "logits_of_the_next")
def mean_over_the_places(logits):
    return logits.mean(dim=1)


@mistake(
    "read_by_decoder",
    symptom="The first token is right, and later ones forget what was written before.",
    cause="The decoder is given the newest token alone. Without a cache it remembers nothing: it has to read all "
    "that was written, from the begin token on, in every step.",
    place="Give decode the whole of tokens, and append to it in each step.",
)
def past_forgotten(tokens, source):
    return tokens[:, -1:]


@also("past_forgotten", "read_by_decoder")
def begin_token_forgotten(tokens, source):
    return tokens[:, 1:] if tokens.shape[1] > 1 else tokens


@mistake(
    "first_tokens",
    symptom="The texts are wrong from the first token on: the decoder does not begin with bos_id.",
    cause="It was trained to begin from bos_id. Beginning from padding, from 0, from the end of sequence or from the "
    "source's first token puts it into a state that it never saw.",
    place="Fill the first column with bos_id.",
)
def other_first_token(source, bos_id):
    return torch.zeros_like(source[:, :1])


@also("other_first_token", "first_tokens")
def one_as_first_token(source, bos_id):
    return torch.ones_like(source[:, :1])


@also("other_first_token", "first_tokens")
def first_token_of_the_source(source, bos_id):
    return source[:, :1]


@also("other_first_token", "greedy_decode")
def padding_as_first_token(model, source, bos_id, eos_id, pad_id, max_len):
    return greedily(model, source, pad_id, eos_id, pad_id, max_len)


@also("other_first_token", "greedy_decode")
def end_as_first_token(model, source, bos_id, eos_id, pad_id, max_len):
    return greedily(model, source, eos_id, eos_id, pad_id, max_len)


def greedily(model, source, bos_id, eos_id, pad_id, max_len):
    """Return what greedy decoding writes, begun with any token."""
    model.eval()
    memory, _ = model.encode(source)
    tokens, over = torch.full_like(source[:, :1], bos_id), torch.zeros(len(source), dtype=torch.bool)
    for _ in range(max_len):
        best = model.decode(tokens, memory, source)[0][:, -1].argmax(-1).masked_fill(over, pad_id)
        tokens, over = torch.cat([tokens, best[:, None]], dim=1), over | (best == eos_id)
        if over.all():
            break
    return tokens[:, 1:]


@mistake(
    "first_tokens",
    symptom="The decoder reads the source as if it had written it.",
    cause="Decoding began with the source's tokens, as with a language model that continues a text. Here the source "
    "is heard through the memory alone, and the decoder begins with bos_id.",
    place="Begin with one column of bos_id.",
)
def begun_with_the_source(source, bos_id):
    return source


@also("begun_with_the_source", "read_by_decoder")
def source_read_in_front(tokens, source):
    return torch.cat([source, tokens], dim=1)


@mistake(
    "best_token",
    symptom="The texts are not the most probable ones, and others in every run.",
    cause="The next token is drawn by its probability. That is sampling; greedy decoding takes the most probable "
    "token and gives the same text every time.",
    place="Take argmax of the logits.",
)
def sampled(logits):
    return torch.multinomial(logits.softmax(dim=-1), 1).squeeze(1)


@mistake(
    "best_token",
    symptom="The texts are the least probable ones.",
    cause="The smallest logit was taken for the best one. Logits are no distances: the larger, the more probable.",
    place="Take argmax of the logits.",
)
def least_probable_token(logits):
    return logits.argmin(dim=-1)


@mistake(
    "steps_of",
    credit=0.5,
    symptom="A text that does not end by itself has one token too few.",
    cause="The begin token was counted. max_len says how many tokens are written, eos_id included and bos_id not.",
    place="Let the loop run max_len times.",
    shows=[("greedy_stops_at_max_len", "differ")],
)
def one_token_too_few(max_len):
    return max_len - 1


@mistake(
    "steps_of",
    credit=0.5,
    symptom="A text that does not end by itself has one token too many.",
    cause="The loop runs once more than max_len, often because the length is compared with <= and the begin token "
    "forgotten.",
    place="Let the loop run max_len times.",
    shows=[("greedy_stops_at_max_len", "another shape")],
)
def one_token_too_many(max_len):
    return max_len + 1


@mistake(
    "mode",
    symptom="The texts are those of a model in training mode: dropout is still at work.",
    cause="Nothing puts the model into evaluation mode. After training it still drops numbers at random, and writes "
    "another text each time.",
    place="Call model.eval() before you encode.",
)
def model_left_in_training_mode(model):
    pass


@also("model_left_in_training_mode", "mode")
def model_put_into_training_mode(model):
    model.train()


@mistake(
    "filled",
    symptom="Another token than pad_id follows the end of a row.",
    cause="A row that is over gets eos_id again and again, or a fixed 0, instead of pad_id. Whoever reads the result "
    "knows padding by its id only.",
    place="Fill with pad_id.",
    credit=0.5,
    shows=[("greedy_rows_end_by_themselves", "differ")],
)
def other_padding(best, over, pad_id, eos_id):
    return best.masked_fill(over, eos_id)


@also("other_padding", "filled")
def zero_as_padding(best, over, pad_id, eos_id):
    return best.masked_fill(over, 0)


@also("other_padding", "filled")
def minus_one_as_padding(best, over, pad_id, eos_id):
    return best.masked_fill(over, -1)


# beam_search


@mistake(
    "log_probabilities",
    symptom="The scores are not sums of log-probabilities: probabilities were added.",
    cause="The probability of a text is the product of those of its tokens, so the logarithms are added. Adding "
    "probabilities themselves rewards length, and one improbable token costs almost nothing.",
    place="Take log_softmax, not softmax.",
)
def probabilities_added(logits):
    return logits.softmax(dim=-1)


@mistake(
    "log_probabilities",
    symptom="The scores are not sums of log-probabilities: plain logits were added.",
    cause="Logits are known up to a constant for each place only, so logits of different beams cannot be compared. "
    "log_softmax takes that constant out.",
    place="Take log_softmax of the logits before you add.",
)
def logits_added(logits):
    return logits


@mistake(
    "continued",
    symptom="The tokens do not belong to the scores: texts were continued that are not those which won.",
    cause="After a step, beam 0 may continue what was beam 2. The new tokens were appended to the texts in their old "
    "order, so heads and tails of different texts are mixed.",
    place="Pick the texts by the beam index (place // vocab_size) before you append.",
)
def beams_not_followed(texts, number, token, rank):
    return torch.cat([texts[min(rank, len(texts) - 1)][0], torch.tensor([token])])


@mistake(
    "first_texts",
    symptom="Only one text is followed in each step, as in greedy decoding.",
    cause="Either there is only one beam, or all beams are copies: they begin with the same empty text and the same "
    "sum, so each candidate is there num_beams times, and the copies of the best take all places.",
    place="Begin with one text, or with sums of minus infinity for all beams but the first; then keep num_beams "
    "different texts.",
)
def beams_that_are_copies(begin, num_beams):
    return [(begin, torch.tensor(0.0))] * num_beams


@mistake(
    "candidates_of",
    symptom="Each beam goes its own way, and the best text is missed.",
    cause="Every text keeps its own best continuation. The candidates of all texts have to be ranked together, so "
    "that a good text can be continued in two ways and a bad one in none.",
    place="Flatten beams and vocabulary into one axis before you take the best.",
)
def every_beam_keeps_its_best(texts, log_probs):
    if len(texts) == 1:
        sums = (texts[0][1] + log_probs[0]).tolist()
        order = sorted(range(len(sums)), key=lambda token: -sums[token])
        return [(texts[0][1] + log_probs[0, token], 0, token) for token in order]
    ranked = log_probs.argsort(dim=-1, descending=True)
    return [
        (total + log_probs[number, ranked[number, place]], number, int(ranked[number, place]))
        for place in range(log_probs.shape[1])
        for number, (_, total) in enumerate(texts)
    ]


@mistake(
    "candidates_of",
    symptom="The sums of the texts before are left out: only the newest token counts.",
    cause="Candidates are ranked by the log-probability of their last token alone. A text with an improbable "
    "beginning would win with one probable token.",
    place="Add the sum of each text to the log-probabilities of its continuations.",
)
def only_the_last_token_counts(texts, log_probs):
    order = log_probs.flatten().argsort(descending=True).tolist()
    vocab_size = log_probs.shape[1]
    return [(log_probs.flatten()[place], place // vocab_size, place % vocab_size) for place in order]


@mistake(
    "score_of",
    symptom="The scores do not depend on length_penalty: they are plain sums.",
    cause="Texts of different lengths are compared by their sums. Each token makes a sum smaller, so short texts "
    "win, whatever length_penalty says.",
    place="Divide the sum by length ** length_penalty.",
)
def length_penalty_ignored(total, length, max_len, length_penalty):
    return total


@also("length_penalty_ignored", "score_of")
def divided_by_the_same_for_all(total, length, max_len, length_penalty):
    return total / max_len**length_penalty


@mistake(
    "score_of",
    symptom="The scores are means per token, whatever length_penalty says.",
    cause="The sum was divided by the length itself. length_penalty is the exponent: 0 compares sums, 1 compares "
    "means, numbers between and above are allowed.",
    place="Divide by length ** length_penalty.",
)
def always_the_mean(total, length, max_len, length_penalty):
    return total / length


@also("always_the_mean", "score_of")
def penalty_as_a_factor(total, length, max_len, length_penalty):
    return total / (length * length_penalty) if length_penalty else total


@mistake(
    "score_of",
    symptom="Long texts lose where they should gain: the scores grow with the length instead of shrinking.",
    cause="The sum is multiplied by the penalty. Log-probabilities are negative, so the sum of a long text is far "
    "below 0; dividing brings it back, multiplying drives it further down.",
    place="Divide by length ** length_penalty.",
)
def multiplied_by_the_penalty(total, length, max_len, length_penalty):
    return total * length**length_penalty


@mistake(
    "score_of",
    symptom="The scores are divided by another length than that of the text.",
    cause="The length is off by one: the begin token was counted, or the end of sequence left out. What counts are "
    "the tokens that were written, eos_id included, because each of them has its term in the sum.",
    place="Look at which tokens the length counts.",
)
def begin_token_counted(total, length, max_len, length_penalty):
    return total / (length + 1) ** length_penalty


@also("begin_token_counted", "score_of")
def end_not_counted(total, length, max_len, length_penalty):
    return total / max(1, length - 1) ** length_penalty


@mistake(
    "score_of",
    symptom="The scores are those of another formula for the length.",
    cause="This is the length penalty of Wu et al. (2016), ((5 + length) / 6) ** length_penalty. This exercise, like "
    "transformers, uses length ** length_penalty.",
    place="Divide by length ** length_penalty.",
    credit=0.5,
)
def penalty_of_wu(total, length, max_len, length_penalty):
    return total / ((5 + length) / 6) ** length_penalty


@mistake(
    credit=0.5,
    symptom="The tokens are right, but the scores are sums that were not divided.",
    cause="The penalty was used to choose the text and then forgotten. The score that is returned is the one by which "
    "the text won.",
    place="Return the divided sum.",
    shows=[
        ("length_penalty_is_an_exponent", "differ", "*: scores"),
        ("length_penalty_is_an_exponent", "right", "*: tokens"),
    ],
)
class sums_returned_as_scores:
    @staticmethod
    def score_of(total, length, max_len, length_penalty):
        return torch.stack([total / length**length_penalty, total])

    @staticmethod
    def best_of(finished):
        text, both = max(finished, key=lambda one: one[1][0].item())
        return text, both[1]


@mistake(
    "sorted_out",
    symptom="Texts that ended keep a beam and push others out.",
    cause="A finished text stays among the num_beams that go on and takes up a place. Set aside, it leaves its place "
    "to the next best text, which may turn out better.",
    place="Take twice num_beams candidates: set those aside that end, and let the best num_beams of the others go on.",
)
def finished_texts_keep_their_beams(candidates, ends, num_beams):
    done = [one for one in candidates[:num_beams] if ends(one)]
    return done, [one for one in candidates[:num_beams] if not ends(one)]


@mistake(
    "sorted_out",
    symptom="A text wins although num_beams better candidates stood before it in the step in which it ended.",
    cause="Every candidate that ends is set aside, also one that is ranked behind the num_beams best. The search has "
    "to take 2 * num_beams candidates so that enough texts go on; but to be set aside a text must be among "
    "the num_beams best.",
    place="Count the rank of each candidate, from 0, and set a text aside only if its rank is below num_beams.",
)
def any_rank_set_aside(candidates, ends, num_beams):
    candidates = candidates[: 2 * num_beams]
    return [one for one in candidates if ends(one)], [one for one in candidates if not ends(one)][:num_beams]


@also("any_rank_set_aside", "sorted_out")
def all_that_end_set_aside(candidates, ends, num_beams):
    return [one for one in candidates if ends(one)], [one for one in candidates if not ends(one)][:num_beams]


@mistake(
    "sorted_out",
    symptom="Texts go on after their end of sequence.",
    cause="A candidate that ends was not set aside and not taken out, so it is continued like any other, and what "
    "follows its end counts.",
    place="Treat candidates that end in eos_id apart before the next step.",
)
def finished_texts_go_on(candidates, ends, num_beams):
    done = [one for rank, one in enumerate(candidates) if ends(one) and rank < num_beams]
    return done, [] if all(map(ends, candidates)) else candidates[:num_beams]


@mistake(
    symptom="Texts that ended early are lost: only those that were there in the last step can win.",
    cause="What ended is not remembered, or overwritten by what ends later. The best text may have ended long before "
    "the search does.",
    place="Keep all texts that ended, or the best of them, through all steps.",
)
class finished_texts_forgotten:
    @staticmethod
    def set_aside(finished, new):
        return new or finished


@also("finished_texts_forgotten", "sorted_out")
def end_of_sequence_not_looked_at(candidates, ends, num_beams):
    over = all(map(ends, candidates))
    return (candidates[:num_beams], []) if over else ([], candidates[:num_beams])


@mistake(
    "enough",
    symptom="The search stops too early and misses better texts.",
    cause="It ends with the first text that ends, or as soon as num_beams texts have ended. An unfinished text may "
    "still end with a better score, above all when length_penalty rewards length.",
    place="Go on until max_len, or until no text that goes on can beat the best one.",
)
def stopped_too_early(finished, texts, num_beams):
    return bool(finished) or not texts


@also("stopped_too_early", "enough")
def stopped_with_num_beams_finished(finished, texts, num_beams):
    return len(finished) >= num_beams or not texts


@also("stopped_too_early", "best_of")
def first_finished_text_returned(finished):
    return finished[0]


@also("stopped_too_early", "sorted_out")
def stopped_when_the_best_candidate_ends(candidates, ends, num_beams):
    if ends(candidates[0]):
        return [candidates[0]], []
    return [], [one for one in candidates if not ends(one)][:num_beams]


@also("stopped_too_early", "sorted_out")
def stopped_when_the_best_candidate_ends_and_others_set_aside(candidates, ends, num_beams):
    done = [one for rank, one in enumerate(candidates) if ends(one) and rank < num_beams]
    going = [one for one in candidates if not ends(one)][:num_beams]
    return done, [] if ends(candidates[0]) else going


@mistake(
    "best_of",
    symptom="The text returned is one that ended, but not the one with the highest score.",
    cause="The last text that ended is returned, or the one with the lowest score. Texts end in the order of their "
    "lengths, not of their scores; and scores are negative, so the best one is nearest to 0.",
    place="Compare the scores of all texts that ended, and take the largest.",
)
def other_finished_text_returned(finished):
    return finished[-1]


@also("other_finished_text_returned", "best_of")
def worst_finished_text_returned(finished):
    return min(finished, key=lambda one: one[1].item())


@mistake(
    "beam_search",
    symptom="The rows of a batch are mixed up: a text is continued with another row's source.",
    cause="The memory was repeated in another order than the beams. With beams flattened as [row 0, row 0, row 1, "
    "row 1], the memory needs repeat_interleave; repeat gives [row 0, row 1, row 0, row 1].",
    place="Use repeat_interleave(num_beams, dim=0) for the memory and for the source.",
)
def memory_in_another_order(model, source, bos_id, eos_id, pad_id, max_len, num_beams, length_penalty=1.0):
    model.eval()
    memory, _ = model.encode(source)
    memory, sources = memory.repeat(num_beams, 1, 1), source.repeat(num_beams, 1)
    return flat_search(model, memory, sources, len(source), bos_id, eos_id, pad_id, max_len, num_beams, length_penalty)


@also("memory_in_another_order", "beam_search")
def only_the_memory_in_another_order(model, source, bos_id, eos_id, pad_id, max_len, num_beams, length_penalty=1.0):
    model.eval()
    memory, _ = model.encode(source)
    memory, sources = memory.repeat(num_beams, 1, 1), source.repeat_interleave(num_beams, 0)
    return flat_search(model, memory, sources, len(source), bos_id, eos_id, pad_id, max_len, num_beams, length_penalty)


def flat_search(model, memory, sources, batch, bos_id, eos_id, pad_id, max_len, num_beams, length_penalty):
    """Return tokens and scores of a search whose beams are rows of one large batch."""
    texts = [
        [(torch.tensor([bos_id]), 0.0)] + [(torch.tensor([bos_id]), -math.inf)] * (num_beams - 1) for _ in range(batch)
    ]
    finished = [[] for _ in range(batch)]
    for length in range(1, max_len + 1):
        tokens = torch.stack([text for row in texts for text, _ in row])
        log_probs = model.decode(tokens, memory, sources)[0][:, -1].log_softmax(-1)
        for row in range(batch):
            here = log_probs[row * num_beams : (row + 1) * num_beams]
            sums = (torch.tensor([total for _, total in texts[row]])[:, None] + here).flatten()
            going = []
            for rank, place in enumerate(sums.argsort(descending=True).tolist()):
                text = torch.cat([texts[row][place // here.shape[1]][0], torch.tensor([place % here.shape[1]])])
                if text[-1] == eos_id or length == max_len:
                    finished[row] += [(text[1:], sums[place] / length**length_penalty)] if rank < num_beams else []
                elif len(going) < num_beams:
                    going.append((text, sums[place].item()))
            texts[row] = going or texts[row]
    found = [max(row, key=lambda one: one[1].item()) for row in finished]
    tokens = nn.utils.rnn.pad_sequence([text for text, _ in found], batch_first=True, padding_value=pad_id)
    return tokens, torch.stack([score for _, score in found])


@mistake(
    "beam_search",
    credit=0.5,
    symptom="The texts are right, but each source is encoded num_beams times.",
    cause="The source was repeated for the beams before it was encoded. All beams of a row hear the same source: "
    "encode it once and repeat the memory.",
    place="Call encode first and repeat_interleave afterwards.",
    shows=[("beams_encode_once", "is once for every beam"), ("two_beams_find_the_best_text", "right")],
)
def every_beam_encoded(model, source, bos_id, eos_id, pad_id, max_len, num_beams, length_penalty=1.0):
    model.eval()
    sources = source.repeat_interleave(num_beams, 0)
    memory, _ = model.encode(sources)
    return flat_search(model, memory, sources, len(source), bos_id, eos_id, pad_id, max_len, num_beams, length_penalty)


@also("encoder_run_at_every_step", "beam_search")
def encoder_run_for_every_length(model, source, bos_id, eos_id, pad_id, max_len, num_beams, length_penalty=1.0):
    tokens, scores = every_beam_encoded(model, source, bos_id, eos_id, pad_id, max_len, num_beams, length_penalty)
    for _ in range(max_len):
        model.encode(source)
    return tokens, scores


@also("beams_that_are_copies", "beam_search")
def greedy_instead_of_beams(model, source, bos_id, eos_id, pad_id, max_len, num_beams, length_penalty=1.0):
    model.eval()
    memory, _ = model.encode(source)
    return flat_search(model, memory, source, len(source), bos_id, eos_id, pad_id, max_len, 1, length_penalty)


@mistake(
    "as_answer",
    credit=0.5,
    symptom="The tokens come back without their scores.",
    cause="The function returns a pair: the tokens and the score of each row.",
    place="Return both.",
    shows=[("two_beams_find_the_best_text", "differ")],
)
def scores_not_returned(tokens, scores):
    return tokens


@also("begin_token_kept", "as_answer")
def begin_token_kept_in_the_text(tokens, scores):
    return torch.cat([torch.full_like(tokens[:, :1], 7), tokens], dim=1), scores


# Habits


@mistake(
    "greedy_decode",
    credit=0.5,
    symptom="The caller's source is different after the call.",
    cause="The source was changed in place. The caller still needs it.",
    place="Make new tensors with full_like, cat and masked_fill, and assign to no part of source.",
    shows=[("greedy_changes_nothing", "differ"), ("beams_change_nothing", "differ")],
)
def source_changed_in_place(model, source, bos_id, eos_id, pad_id, max_len):
    tokens = greedily(model, source, bos_id, eos_id, pad_id, max_len)
    source.fill_(bos_id)
    return tokens


@also("source_changed_in_place", "memory_of", only="beam_search")
def source_used_up(model, source):
    memory = model.encode(source)[0]
    source[:, -1] = source[:, 0]
    return memory


# Sources that shall expose the bug


@mistake(
    "translator_bug_input",
    symptom="On your source the broken decoding is right.",
    cause="There is one row only, and the loop ends with it. The bug is in what happens to a row that has ended while "
    "others go on.",
    place="Give it two rows at least.",
)
def one_row_only():
    return torch.tensor([[3, 4, 5, 6]])


@mistake(
    "translator_bug_input",
    symptom="On your source the broken decoding is right.",
    cause="All rows are the same text, so they do everything together.",
    place="Use rows that differ, and above all in their lengths.",
)
def rows_all_alike():
    return torch.tensor([[3, 4, 5, 0], [3, 4, 5, 0]])


@mistake(
    "translator_bug_input",
    symptom="On your source the broken decoding is right.",
    cause="All rows have the same length, so all end at the same step, as ISO dates always do. Nobody is over while "
    "others go on.",
    place="Fill a row with padding at its end, so that it ends earlier than another.",
)
def rows_of_one_length():
    return torch.tensor([[3, 4, 5, 6], [7, 8, 9, 3]])


@also("rows_of_one_length", "translator_bug_input")
def rows_of_one_length_with_padding():
    return torch.tensor([[3, 4, 0, 0], [7, 8, 0, 0]])


@mistake(
    "translator_bug_input",
    symptom="On your source the broken decoding is right.",
    cause="The shorter row ends one step before the longer. In that one step the last token is the end, and the "
    "code does write padding after it.",
    place="Ask what the last token of the shorter row is one step later.",
)
def rows_one_step_apart():
    return torch.tensor([[3, 4, 5, 6], [7, 8, 9, 0]])


@also("rows_one_step_apart", "translator_bug_input")
def many_rows_one_step_apart():
    return torch.tensor([[3, 4, 5, 6], [7, 8, 9, 0], [4, 4, 4, 4]])


@mistake(
    "translator_bug_input",
    symptom="What comes back cannot be used as a source.",
    cause="A source is one integer tensor, [batch, keys]: ids from 3 to 9, and 0 as padding at the end of a row. "
    "Begin and end, 1 and 2, are added by the decoding itself.",
    place="Return torch.tensor([[...], [...]]) with such ids, and rows that are filled up to the same length.",
)
def source_that_does_not_fit():
    return torch.tensor([[3.0, 4.0, 5.0, 6.0], [7.0, 8.0, 0.0, 0.0]])


@also("source_that_does_not_fit", "translator_bug_input")
def source_without_a_batch():
    return torch.tensor([3, 4, 5, 6])


@also("source_that_does_not_fit", "translator_bug_input")
def source_as_lists():
    return [[3, 4, 5, 6], [7, 8, 0, 0]]


@also("source_that_does_not_fit", "translator_bug_input")
def source_with_begin_and_end():
    return torch.tensor([[1, 3, 4, 5, 6, 2], [1, 7, 8, 2, 0, 0]])


@also("source_that_does_not_fit", "translator_bug_input")
def source_padded_in_front():
    return torch.tensor([[3, 4, 5, 6], [0, 0, 7, 8]])


@also("source_that_does_not_fit", "translator_bug_input")
def source_as_text():
    return "3456"
