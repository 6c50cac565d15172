"""Right answers to lesson 5 in other styles. What is declared here is accepted on purpose, and stays accepted."""

import torch
from torch import nn

from autograder.mistakes import Alternatives
from workbench.parts import Decoder, Encoder, TransformerEmbedding, causal_mask, padding_mask

alternatives = accepted = Alternatives()


# shift_right


@accepted("shift_right")
def padded_on_the_left(tokens, bos_id):
    return nn.functional.pad(tokens[:, :-1], (1, 0), value=bos_id)


@accepted("shift_right")
def rolled_and_overwritten(tokens, bos_id):
    shifted = torch.roll(tokens, shifts=1, dims=1)
    shifted[:, 0] = bos_id
    return shifted


@accepted("shift_right")
def filled_in(tokens, bos_id):
    shifted = tokens.new_empty(tokens.shape)
    shifted[:, 1:] = tokens[:, :-1]
    shifted[:, 0] = bos_id
    return shifted


@accepted("shift_right")
def begin_joined_first(tokens, bos_id):
    batch, _ = tokens.shape
    front = tokens.new_full((batch, 1), bos_id)
    return torch.cat((front, tokens), dim=-1)[:, :-1]


# EncoderDecoder


@accepted("EncoderDecoder")
class PaddingOfTheTargetHiddenToo(nn.Module):
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
        nn.Module.__init__(self)
        self.head = nn.Linear(embed_dim, target_vocab_size)
        self.decoder = Decoder(decoder_layers, embed_dim, num_heads, ff_dim, dropout=dropout, norm_first=norm_first)
        self.encoder = Encoder(encoder_layers, embed_dim, num_heads, ff_dim, dropout=dropout, norm_first=norm_first)
        self.target_embedding = TransformerEmbedding(target_vocab_size, embed_dim, max_len, "sinusoidal", dropout)
        self.source_embedding = TransformerEmbedding(source_vocab_size, embed_dim, max_len, "sinusoidal", dropout)
        self.padding, self.begin = pad_id, bos_id

    def encode(self, source):
        hidden, weights = self.encoder(self.source_embedding(source), mask=(source != self.padding).unsqueeze(1))
        return hidden, weights

    def decode(self, tokens, memory, source):
        time = tokens.size(1)
        visible = torch.ones(time, time, dtype=torch.bool, device=tokens.device).tril()
        visible = visible & ((tokens != self.padding) | (tokens == self.begin)).unsqueeze(1)
        x, mine, cross = self.decoder(
            self.target_embedding(tokens), memory, self_mask=visible, memory_mask=(source != self.padding)[:, None, :]
        )
        return self.head(x), mine, cross

    def forward(self, source, target):
        memory = self.encode(source)[0]
        begin = target.new_full((target.size(0), 1), self.begin)
        return self.decode(torch.cat([begin, target], dim=1)[:, :-1], memory, source)[0]


@accepted("EncoderDecoder")
class AllInForward(nn.Module):
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
        self.pad_id, self.bos_id = pad_id, bos_id
        self.source_embedding = TransformerEmbedding(source_vocab_size, embed_dim, max_len, dropout=dropout)
        self.target_embedding = TransformerEmbedding(target_vocab_size, embed_dim, max_len, dropout=dropout)
        self.encoder = Encoder(encoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first)
        self.decoder = Decoder(decoder_layers, embed_dim, num_heads, ff_dim, dropout, norm_first)
        self.head = nn.Linear(embed_dim, target_vocab_size)
        # A mask for the longest target; it moves with the model and is not stored.
        self.register_buffer("visible", causal_mask(max_len), persistent=False)

    def encode(self, source):
        mask = padding_mask(source, self.pad_id).expand(-1, source.shape[1], -1)
        return self.encoder(self.source_embedding(source), mask)

    def decode(self, tokens, memory, source):
        queries = tokens.shape[1]
        mask = padding_mask(source, self.pad_id).expand(-1, queries, -1)
        output = self.decoder(self.target_embedding(tokens), memory, self.visible[:queries, :queries], mask)
        return (self.head(output[0]), *output[1:])

    def forward(self, source, target):
        tokens = torch.roll(target, 1, dims=1)
        tokens[:, 0] = self.bos_id
        keys = padding_mask(source, self.pad_id)
        memory = self.encoder(self.source_embedding(source), keys)[0]
        queries = target.shape[1]
        x = self.decoder(self.target_embedding(tokens), memory, self.visible[:queries, :queries], keys)[0]
        return self.head(x)


# greedy_decode


@accepted("greedy_decode")
@torch.no_grad()
def mode_restored_and_tokens_preallocated(model, source, bos_id, eos_id, pad_id, max_len):
    was_training = model.training
    model.eval()
    memory, _ = model.encode(source)
    batch = source.size(0)
    tokens = torch.full((batch, max_len + 1), pad_id, dtype=torch.long, device=source.device)
    tokens[:, 0] = bos_id
    alive = torch.ones(batch, dtype=torch.bool, device=source.device)
    time = 0
    while time < max_len and alive.any():
        logits = model.decode(tokens[:, : time + 1], memory, source)[0]
        best = torch.softmax(logits[:, -1, :], dim=-1).max(dim=-1).indices
        tokens[alive, time + 1] = best[alive]
        alive &= best != eos_id
        time += 1
    model.train(was_training)
    return tokens[:, 1 : time + 1]


@accepted("greedy_decode")
def one_row_after_another(model, source, bos_id, eos_id, pad_id, max_len):
    model.eval()
    texts = []
    for row in source:
        row = row[None]
        memory = model.encode(row)[0]
        text = [bos_id]
        while len(text) <= max_len and text[-1] != eos_id:
            logits = model.decode(torch.tensor([text]), memory, row)[0]
            text.append(int(logits[0, -1].topk(1).indices))
        texts.append(text[1:])
    time = max(len(text) for text in texts)
    return torch.tensor([text + [pad_id] * (time - len(text)) for text in texts])


@accepted("greedy_decode")
def only_living_rows_are_decoded(model, source, bos_id, eos_id, pad_id, max_len):
    model.eval()
    memory, _ = model.encode(source)
    tokens = source.new_full((len(source), 1), bos_id)
    for _ in range(max_len):
        living = ~(tokens[:, 1:] == eos_id).any(dim=1)
        if not living.any():
            break
        new = torch.full((len(source), 1), pad_id, device=source.device)
        logits, _, _ = model.decode(tokens[living], memory[living], source[living])
        new[living] = logits[:, -1].argmax(-1, keepdim=True)
        tokens = torch.cat((tokens, new), dim=1)
    return tokens[:, 1:]


# beam_search


@accepted("beam_search")
def lists_of_texts(model, source, bos_id, eos_id, pad_id, max_len, num_beams, length_penalty=1.0):
    model.eval()
    answers = []
    for row in range(source.size(0)):
        memory, _ = model.encode(source[row : row + 1])
        texts, finished = [([bos_id], 0.0)], []
        for length in range(1, max_len + 1):
            candidates = []
            for text, total in texts:
                logits = model.decode(torch.tensor([text]), memory, source[row : row + 1])[0]
                for token, value in enumerate(torch.log_softmax(logits[0, -1], dim=-1).tolist()):
                    candidates.append((total + value, text + [token]))
            candidates.sort(key=lambda one: one[0], reverse=True)
            texts = []
            for rank, (total, text) in enumerate(candidates[: 2 * num_beams]):
                if text[-1] == eos_id or length == max_len:
                    if rank < num_beams:
                        finished.append((total / length**length_penalty, text[1:]))
                elif len(texts) < num_beams:
                    texts.append((text, total))
        answers.append(max(finished))
    time = max(len(text) for _, text in answers)
    tokens = torch.tensor([text + [pad_id] * (time - len(text)) for _, text in answers])
    return tokens, torch.tensor([score for score, _ in answers])


@accepted("beam_search")
@torch.no_grad()
def stopped_when_nothing_better_can_come(model, source, bos_id, eos_id, pad_id, max_len, num_beams, length_penalty=1.0):
    model.eval()
    memories, _ = model.encode(source)
    tokens, scores = [], []
    for memory, row in zip(memories, source, strict=True):
        texts, totals = row.new_tensor([[bos_id]]), torch.zeros(1)
        best, best_score = None, float("-inf")
        for length in range(1, max_len + 1):
            logits = model.decode(texts, memory[None].repeat(len(texts), 1, 1), row[None].repeat(len(texts), 1))[0]
            sums = totals[:, None] + nn.functional.log_softmax(logits[:, -1], dim=-1)
            sums, places = torch.sort(sums.flatten(), descending=True)
            beams = torch.div(places, logits.shape[-1], rounding_mode="floor")
            texts = torch.cat([texts[beams], places.remainder(logits.shape[-1])[:, None]], dim=1)
            ended = texts[:, -1] == eos_id if length < max_len else torch.ones(len(texts), dtype=torch.bool)
            for text, total in zip(
                texts[:num_beams][ended[:num_beams]], sums[:num_beams][ended[:num_beams]], strict=True
            ):
                score = total.item() / length**length_penalty
                if score > best_score:
                    best, best_score = text[1:], score
            texts, totals = texts[~ended][:num_beams], sums[~ended][:num_beams]
            # The longest text there can be, if all tokens to come were certain.
            if not len(texts) or totals[0].item() / max_len**length_penalty <= best_score:
                break
        tokens.append(best)
        scores.append(best_score)
    return nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=pad_id), torch.tensor(scores)


# translator_bug_input


@accepted("translator_bug_input")
def one_long_row_among_short_ones():
    source = torch.zeros(5, 11, dtype=torch.int32)
    source[:, 0] = 9
    source[3] = torch.tensor([3, 4, 5, 6, 7, 8, 9, 3, 4, 5, 6])
    return source


@accepted("translator_bug_input")
def a_row_that_is_all_padding():
    return torch.tensor([[0, 0, 0], [5, 4, 3]])


@accepted("translator_bug_input")
def three_lengths():
    return torch.tensor([[3, 4, 5], [6, 7, 0], [8, 0, 0]])
