"""Right answers to lesson 3 in other styles. What is declared here is accepted on purpose, and stays accepted."""

import torch
import torch.nn.functional as F
from torch import nn

from autograder.mistakes import Alternatives
from workbench import classification
from workbench.parts import Encoder, TransformerEmbedding

alternatives = accepted = Alternatives()


# SequenceClassifier


@accepted("SequenceClassifier")
class WithAMaskOfItsOwn(nn.Module):
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
        super().__init__()
        self.head = nn.Linear(embed_dim, num_classes)
        self.pooler = nn.Linear(embed_dim, embed_dim)
        self.encoder = Encoder(
            num_layers, embed_dim, num_heads, ff_dim, dropout=dropout, norm_first=False, activation=activation
        )
        self.norm = nn.LayerNorm(embed_dim, eps=1e-5)
        self.embedding = TransformerEmbedding(vocab_size, embed_dim, max_len, "learned", dropout)
        self.padding = pad_id

    def forward(self, tokens):
        kept = (tokens != self.padding)[:, None, :].expand(-1, tokens.shape[1], -1)
        hidden, attentions = self.encoder(self.norm(self.embedding(tokens)), mask=kept)
        first, *_ = hidden.unbind(dim=1)
        return self.head(self.pooler(first).tanh()), attentions


@accepted("SequenceClassifier")
class LayerByLayer(nn.Module):
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
        super().__init__()
        self.embedding = TransformerEmbedding(vocab_size, embed_dim, max_len, positions="learned", dropout=dropout)
        self.norm = nn.LayerNorm(embed_dim)
        self.encoder = Encoder(num_layers, embed_dim, num_heads, ff_dim, dropout, activation=activation)
        self.pooler = nn.Linear(embed_dim, embed_dim)
        self.head = nn.Linear(embed_dim, num_classes)
        self.pad_id = pad_id

    def forward(self, tokens):
        mask = tokens.ne(self.pad_id).unsqueeze(1)
        x, weights = self.norm(self.embedding(tokens)), ()
        for layer in self.encoder.layers:
            x, of_this_layer = layer(x, mask)
            weights += (of_this_layer,)
        # Pooler and head work on each position alone, so picking [CLS] at the end is the same.
        return self.head(torch.tanh(self.pooler(x)))[:, 0, :], weights


# mask_tokens


@accepted("mask_tokens")
def by_bernoulli_as_in_transformers(tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None):
    inputs, labels = tokens.clone(), tokens.clone()
    chances = torch.full(tokens.shape, probability, device=tokens.device)
    for special in special_ids:
        chances.masked_fill_(tokens == special, 0.0)
    chosen = torch.bernoulli(chances, generator=generator).bool()
    labels[~chosen] = -100
    masked = torch.bernoulli(torch.full_like(chances, 0.8), generator=generator).bool() & chosen
    inputs[masked] = mask_id
    disturbed = torch.bernoulli(torch.full_like(chances, 0.5), generator=generator).bool() & chosen & ~masked
    others = torch.randint(vocab_size, tokens.shape, generator=generator, dtype=torch.long, device=tokens.device)
    return torch.where(disturbed, others, inputs), labels


@accepted("mask_tokens")
def by_one_draw(tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None):
    number = torch.rand(tokens.shape, generator=generator, device=tokens.device) / probability
    for special in special_ids:
        number = torch.where(tokens == special, 2.0, number)
    others = torch.randint(0, vocab_size, tokens.shape, generator=generator, device=tokens.device)
    inputs = torch.where(number < 0.8, mask_id, torch.where(number < 0.9, others, tokens))
    labels = torch.where(number < 1.0, tokens, -100)
    return inputs, labels


@accepted("mask_tokens")
def text_by_text(tokens, mask_id, vocab_size, special_ids, probability=0.15, generator=None):
    inputs, labels = tokens.clone(), torch.full_like(tokens, -100)
    special = torch.tensor(special_ids, device=tokens.device)
    for row in range(len(tokens)):
        first, second = torch.rand(2, tokens.shape[1], generator=generator, device=tokens.device)
        chosen = (first < probability) & (tokens[row, :, None] != special).all(-1)
        labels[row] = torch.where(chosen, tokens[row], labels[row])
        inputs[row] = torch.where(chosen & (second >= 0.2), mask_id, inputs[row])
        others = torch.randint(vocab_size, (tokens.shape[1],), generator=generator, device=tokens.device)
        inputs[row] = torch.where(chosen & (second < 0.1), others, inputs[row])
    return inputs, labels


# masked_language_model_loss


@accepted("masked_language_model_loss")
def vocabulary_moved(logits, labels):
    return nn.CrossEntropyLoss()(logits.permute(0, 2, 1), labels)


@accepted("masked_language_model_loss")
def picked_by_gather(logits, labels):
    asked = labels != -100
    logarithms = logits.log_softmax(-1).gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return -(logarithms * asked).sum() / asked.sum()


@accepted("masked_language_model_loss")
def asked_places_only(logits, labels):
    asked = (labels != -100).flatten().to(logits.dtype)
    losses = F.nll_loss(F.log_softmax(logits, -1).flatten(0, 1), labels.flatten(), reduction="none")
    return torch.dot(losses, asked) / asked.sum()


# sentence_embedding


@accepted("sentence_embedding")
def by_a_matrix_product(states, mask):
    weights = mask.to(states.dtype) / mask.sum(dim=1, keepdim=True)
    mean = (weights.unsqueeze(1) @ states).squeeze(1)
    return mean / mean.pow(2).sum(dim=-1, keepdim=True).sqrt()


@accepted("sentence_embedding")
def sum_is_enough(states, mask):
    return F.normalize(states.masked_fill(~mask[..., None], 0.0).sum(1))


@accepted("sentence_embedding")
def clamped_as_in_sentence_transformers(states, mask):
    expanded = mask.unsqueeze(-1).expand(states.size()).to(states.dtype)
    mean = torch.sum(states * expanded, 1) / torch.clamp(expanded.sum(1), min=1e-9)
    return F.normalize(mean, p=2, dim=1)


# classifier_bug_input


@accepted("classifier_bug_input")
def many_texts_of_many_lengths():
    tokens = torch.arange(3, 43).repeat(20, 1)
    tokens[:, 0] = 1
    return tokens * (torch.arange(40) < 1 + 7 * torch.arange(20)[:, None] % 40)


@accepted("classifier_bug_input")
def reviews():
    return classification.REVIEWS.batch(["the", "the hotel was warm", "the hotel"])


@accepted("classifier_bug_input")
def the_middle_one_first():
    return torch.tensor([[1, 7, 0], [1, 0, 0], [1, 7, 8]], dtype=torch.int32)
