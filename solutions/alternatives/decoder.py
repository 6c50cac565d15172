"""Right answers to lesson 2 in other styles. What is declared here is accepted on purpose, and stays accepted."""

import torch
import torch.nn.functional as F
from torch import nn

from autograder.mistakes import Alternatives
from workbench.parts import DecoderLayer, FeedForward, MultiHeadAttention

alternatives = accepted = Alternatives()


# causal_mask


@accepted("causal_mask")
def lower_triangle(queries, keys=None):
    keys = queries if keys is None else keys
    return torch.tril(torch.ones(queries, keys, dtype=torch.bool), diagonal=keys - queries)


@accepted("causal_mask")
def not_the_upper_triangle(queries, keys=None):
    keys = keys or queries
    return ~torch.ones(queries, keys).triu(keys - queries + 1).bool()


@accepted("causal_mask")
def last_rows_of_a_square(queries, keys=None):
    if keys is None:
        keys = queries
    return torch.tril(torch.ones(keys, keys)).bool()[-queries:]


@accepted("causal_mask")
def entry_by_entry(queries, keys=None):
    keys = queries if keys is None else keys
    mask = torch.zeros((queries, keys), dtype=torch.bool)
    for query in range(queries):
        mask[query, : keys - queries + query + 1] = True
    return mask


# sliding_window_mask


@accepted("sliding_window_mask")
def cut_twice(queries, window, keys=None):
    keys = queries if keys is None else keys
    mask = torch.ones(queries, keys, dtype=torch.bool)
    return mask.tril(keys - queries).triu(keys - queries - window + 1)


@accepted("sliding_window_mask")
def range_by_range(queries, window, keys=None):
    keys = queries if keys is None else keys
    mask = torch.zeros(queries, keys, dtype=torch.bool)
    for row in range(queries):
        here = keys - queries + row
        mask[row, max(0, here - window + 1) : here + 1] = True
    return mask


@accepted("sliding_window_mask")
def difference_of_two_triangles(queries, window, keys=None):
    keys = queries if keys is None else keys
    everything = torch.ones(queries, keys)
    return (everything.tril(keys - queries) - everything.tril(keys - queries - window)) == 1


# DecoderLayer


@accepted("DecoderLayer")
class WithOneHelperForBothForms(nn.Module):
    def __init__(
        self, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu, cross_attention=True
    ):
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(embed_dim) for _ in range(3))
        self.feed_forward = FeedForward(embed_dim, ff_dim, dropout=dropout, activation=activation)
        self.cross_attention = MultiHeadAttention(embed_dim, num_heads, dropout=dropout)
        if not cross_attention:
            del self.cross_attention, self.norm2
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout=dropout)
        self.drop, self.norm_first = nn.Dropout(dropout), norm_first

    def around(self, x, norm, sublayer):
        if self.norm_first:
            return x + self.drop(sublayer(norm(x)))
        return norm(x + self.drop(sublayer(x)))

    def forward(self, x, memory=None, self_mask=None, memory_mask=None):
        kept = {"self": None, "cross": None}

        def look_back(x):
            output, kept["self"] = self.self_attention(x, x, x, self_mask)
            return output

        def look_across(x):
            output, kept["cross"] = self.cross_attention(x, memory, memory, memory_mask)
            return output

        x = self.around(x, self.norm1, look_back)
        if memory is not None:
            x = self.around(x, self.norm2, look_across)
        return self.around(x, self.norm3, self.feed_forward), kept["self"], kept["cross"]


@accepted("DecoderLayer")
class WithConditionsInline(nn.Module):
    def __init__(
        self, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu, cross_attention=True
    ):
        super().__init__()
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
        self.cross_attention = MultiHeadAttention(embed_dim, num_heads, dropout) if cross_attention else None
        self.feed_forward = FeedForward(embed_dim, ff_dim, dropout, activation)
        for number in (1, 2, 3) if cross_attention else (1, 3):
            self.add_module(f"norm{number}", nn.LayerNorm(embed_dim))
        self.p, self.norm_first = dropout, norm_first

    def forward(self, x, memory=None, self_mask=None, memory_mask=None):
        cross = None
        residual = x
        if self.norm_first:
            x = self.norm1(x)
        x, own = self.self_attention(query=x, key=x, value=x, mask=self_mask)
        x = residual + F.dropout(x, self.p, self.training)
        if not self.norm_first:
            x = self.norm1(x)
        if memory is not None:
            residual = x
            if self.norm_first:
                x = self.norm2(x)
            x, cross = self.cross_attention(query=x, key=memory, value=memory, mask=memory_mask)
            x = residual + F.dropout(x, self.p, self.training)
            if not self.norm_first:
                x = self.norm2(x)
        residual = x
        if self.norm_first:
            x = self.norm3(x)
        x = residual + F.dropout(self.feed_forward(x), self.p, self.training)
        if not self.norm_first:
            x = self.norm3(x)
        return [x, own, cross]


@accepted("DecoderLayer")
class WithAListOfSublayers(nn.Module):
    def __init__(
        self, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu, cross_attention=True
    ):
        super().__init__()
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
        self.cross_attention = cross_attention and MultiHeadAttention(embed_dim, num_heads, dropout)
        self.feed_forward = FeedForward(embed_dim, ff_dim, dropout, activation)
        self.norm1, self.norm3 = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
        self.norm2 = nn.LayerNorm(embed_dim) if cross_attention else nn.Identity()
        self.drops = nn.ModuleList(nn.Dropout(dropout) for _ in range(3))
        self.norm_first = norm_first

    def forward(self, x, memory=None, self_mask=None, memory_mask=None):
        steps = [
            (self.norm1, lambda y: self.self_attention(y, y, y, self_mask)),
            (self.norm2, lambda y: self.cross_attention(y, memory, memory, memory_mask)),
            (self.norm3, lambda y: (self.feed_forward(y), None)),
        ]
        weights = []
        for number, ((norm, sublayer), drop) in enumerate(zip(steps, self.drops, strict=True)):
            if number == 1 and memory is None:
                weights.append(None)
                continue
            change, found = sublayer(norm(x) if self.norm_first else x)
            x = drop(change) + x
            x = x if self.norm_first else norm(x)
            weights.append(found)
        return x, weights[0], weights[1]


# Decoder


@accepted("Decoder")
class WithAnAppendingLoop(nn.Module):
    def __init__(self, num_layers, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, **options):
        super().__init__()
        self.final_norm = nn.LayerNorm(embed_dim) if norm_first else nn.Identity()
        self.layers = nn.ModuleList()
        for _ in range(num_layers):
            self.layers.append(DecoderLayer(embed_dim, num_heads, ff_dim, dropout, norm_first, **options))

    def forward(self, x, memory=None, self_mask=None, memory_mask=None):
        own, cross = (), ()
        for layer in self.layers:
            x, *found = layer(x, memory=memory, self_mask=self_mask, memory_mask=memory_mask)
            own, cross = (*own, found[0]), (*cross, found[1])
        return self.final_norm(x), own, cross


@accepted("Decoder")
class WithZip(nn.Module):
    def __init__(
        self,
        num_layers,
        embed_dim,
        num_heads,
        ff_dim,
        dropout=0.0,
        norm_first=False,
        activation=F.relu,
        cross_attention=True,
    ):
        super().__init__()
        options = dict(dropout=dropout, norm_first=norm_first, activation=activation, cross_attention=cross_attention)
        layers = (DecoderLayer(embed_dim, num_heads, ff_dim, **options) for _ in range(num_layers))
        self.layers = nn.Sequential(*layers)
        self.final_norm = nn.LayerNorm(embed_dim) if norm_first else None

    def forward(self, x, memory=None, self_mask=None, memory_mask=None):
        found = []
        for layer in self.layers:
            answer = layer(x, memory, self_mask, memory_mask)
            x = answer[0]
            found.append(answer[1:])
        self_weights, cross_weights = zip(*found, strict=True)
        if self.final_norm is not None:
            x = self.final_norm(x)
        return x, list(self_weights), list(cross_weights)


# decoder_bug_input


@accepted("decoder_bug_input")
def one_token_on_both_sides():
    return torch.ones(1, 1, 8), torch.arange(8.0).reshape(1, 1, 8), None, None


@accepted("decoder_bug_input")
def equal_lengths_with_both_masks():
    x = torch.arange(2 * 5 * 8, dtype=torch.float64).reshape(2, 5, 8) % 11 / 5
    memory_mask = torch.tensor([[[True] * 3 + [False] * 2], [[True] * 5]])
    return x, x.flip(1), torch.ones(5, 5, dtype=torch.bool).tril(), memory_mask
