"""Right answers to lesson 1 in other styles. What is declared here is accepted on purpose, and stays accepted."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from autograder.mistakes import Alternatives
from workbench.parts import EncoderLayer, FeedForward, MultiHeadAttention

alternatives = accepted = Alternatives()


# FeedForward


@accepted("FeedForward")
class WithFunctionalDropout(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.relu):
        super().__init__()
        self.rate, self.f = dropout, activation
        self.down_proj = nn.Linear(ff_dim, embed_dim)
        self.up_proj = nn.Linear(embed_dim, ff_dim)

    def forward(self, x):
        hidden = F.dropout(self.f(self.up_proj(x)), p=self.rate, training=self.training)
        return self.down_proj(hidden)


@accepted("FeedForward")
class WithMatrixProducts(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.relu):
        super().__init__()
        self.up_proj, self.down_proj = nn.Linear(embed_dim, ff_dim), nn.Linear(ff_dim, embed_dim)
        self.between = lambda hidden: F.dropout(activation(hidden), dropout, self.training)

    def forward(self, x):
        hidden = self.between(x @ self.up_proj.weight.T + self.up_proj.bias)
        return torch.einsum("...f,ef->...e", hidden, self.down_proj.weight) + self.down_proj.bias


@accepted("FeedForward")
class OnePositionAtATime(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.relu):
        super().__init__()
        self.up_proj, self.down_proj = nn.Linear(embed_dim, ff_dim), nn.Linear(ff_dim, embed_dim)
        self.drop, self.act = nn.Dropout(p=dropout), activation

    def forward(self, x):
        rows = [self.down_proj(self.drop(self.act(self.up_proj(row)))) for row in x.reshape(-1, x.shape[-1])]
        return torch.stack(rows).reshape(x.shape)


# EncoderLayer


@accepted("EncoderLayer")
class WithOneHelperForBothForms(nn.Module):
    def __init__(self, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
        self.feed_forward = FeedForward(embed_dim, ff_dim, dropout=dropout, activation=activation)
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout=dropout)
        self.drop, self.norm_first = nn.Dropout(dropout), norm_first

    def around(self, x, norm, sublayer):
        if self.norm_first:
            return x + self.drop(sublayer(norm(x)))
        return norm(x + self.drop(sublayer(x)))

    def forward(self, x, mask=None):
        kept = []

        def look_around(x):
            output, weights = self.self_attention(x, x, x, mask)
            kept.append(weights)
            return output

        x = self.around(x, self.norm1, look_around)
        return self.around(x, self.norm2, self.feed_forward), kept[0]


@accepted("EncoderLayer")
class WithConditionsInline(nn.Module):
    def __init__(self, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu):
        super().__init__()
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
        self.feed_forward = FeedForward(embed_dim, ff_dim, dropout, activation)
        for name in ("norm1", "norm2"):
            self.add_module(name, nn.LayerNorm(embed_dim, eps=1e-5))
        self.p, self.norm_first = dropout, norm_first

    def forward(self, x, mask=None):
        residual = x
        if self.norm_first:
            x = self.norm1(x)
        x, attention = self.self_attention(x, x, x, mask=mask)
        x = residual + F.dropout(x, self.p, self.training)
        if not self.norm_first:
            x = self.norm1(x)
        residual = x
        if self.norm_first:
            x = self.norm2(x)
        x = residual + F.dropout(self.feed_forward(x), self.p, self.training)
        if not self.norm_first:
            x = self.norm2(x)
        return [x, attention]


@accepted("EncoderLayer")
class WithTwoMethods(nn.Module):
    def __init__(self, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu):
        super().__init__()
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, dropout)
        self.feed_forward = FeedForward(embed_dim, ff_dim, dropout, activation)
        self.norm1, self.norm2 = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
        self.drop1, self.drop2 = nn.Dropout(dropout), nn.Dropout(dropout)
        self.compute = self.pre_norm if norm_first else self.post_norm

    def normalised(self, x, norm):
        centred = x - x.mean(-1, keepdim=True)
        return norm.weight * centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() + norm.bias

    def pre_norm(self, x, mask):
        normed = self.normalised(x, self.norm1)
        change, weights = self.self_attention(query=normed, key=normed, value=normed, mask=mask)
        x = torch.add(x, self.drop1(change))
        return self.drop2(self.feed_forward(self.normalised(x, self.norm2))) + x, weights

    def post_norm(self, x, mask):
        change, weights = self.self_attention(query=x, key=x, value=x, mask=mask)
        x = self.normalised(torch.add(x, self.drop1(change)), self.norm1)
        return self.normalised(self.drop2(self.feed_forward(x)) + x, self.norm2), weights

    def forward(self, x, mask=None):
        return self.compute(x, mask)


# Encoder


@accepted("Encoder")
class WithAnAppendingLoop(nn.Module):
    def __init__(self, num_layers, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu):
        super().__init__()
        self.final_norm = nn.LayerNorm(embed_dim) if norm_first else nn.Identity()
        self.layers = nn.ModuleList()
        for _ in range(num_layers):
            self.layers.append(EncoderLayer(embed_dim, num_heads, ff_dim, dropout, norm_first, activation))

    def forward(self, x, mask=None):
        weights = []
        for layer in self.layers:
            x, weight = layer(x, mask=mask)
            weights.append(weight)
        return self.final_norm(x), tuple(weights)


@accepted("Encoder")
class WithCopiesOfOneLayer(nn.Module):
    def __init__(self, num_layers, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu):
        super().__init__()
        layer = EncoderLayer(
            embed_dim, num_heads, ff_dim, dropout=dropout, norm_first=norm_first, activation=activation
        )
        self.layers = nn.ModuleList(copy.deepcopy(layer) for _ in range(num_layers))
        self.final_norm = nn.LayerNorm(embed_dim) if norm_first else None

    def forward(self, x, mask=None):
        weights = [None] * len(self.layers)
        for index in range(len(self.layers)):
            x, weights[index] = self.layers[index](x, mask)
        if self.final_norm is not None:
            x = self.final_norm(x)
        return x, weights


@accepted("Encoder")
class WithSequentialAsContainer(nn.Module):
    def __init__(self, num_layers, embed_dim, num_heads, ff_dim, dropout=0.0, norm_first=False, activation=F.relu):
        super().__init__()
        options = dict(dropout=dropout, norm_first=norm_first, activation=activation)
        layers = (EncoderLayer(embed_dim, num_heads, ff_dim, **options) for _ in range(num_layers))
        self.layers = nn.Sequential(*layers)
        if norm_first:
            self.final_norm = nn.LayerNorm(embed_dim)

    def forward(self, x, mask=None):
        found = []
        for layer in self.layers.children():
            answer = layer(x, mask)
            x = answer[0]
            found += [answer[1]]
        return getattr(self, "final_norm", lambda y: y)(x), found


# GatedFeedForward


@accepted("GatedFeedForward")
class GatedByFunctions(nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.silu):
        super().__init__()
        self.up_proj = nn.Linear(embed_dim, ff_dim, bias=False)
        self.gate_proj = nn.Linear(embed_dim, ff_dim, bias=False)
        self.down_proj = nn.Linear(ff_dim, embed_dim, bias=False)
        self.p, self.activation = dropout, activation

    def forward(self, x):
        both = x @ torch.cat([self.gate_proj.weight, self.up_proj.weight]).T
        gate, up = both.chunk(2, dim=-1)
        return self.down_proj(F.dropout(up * self.activation(gate), self.p, self.training))


@accepted("GatedFeedForward")
class DroppedGate(nn.Module):
    # A dropped gate is 0, and so is its product.
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=F.silu):
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = (
            nn.Linear(*sizes, bias=False) for sizes in ((embed_dim, ff_dim), (embed_dim, ff_dim), (ff_dim, embed_dim))
        )
        self.gate = lambda x: F.dropout(activation(self.gate_proj(x)), dropout, self.training)

    def forward(self, x):
        return F.linear(self.gate(x).mul(self.up_proj(x)), self.down_proj.weight)


# encoder_bug_input


@accepted("encoder_bug_input")
def a_later_sequence_that_may_not_look_back():
    x = torch.arange(3 * 5 * 8, dtype=torch.float64).reshape(3, 5, 8) % 11 / 5
    mask = torch.ones(3, 5, 5, dtype=torch.bool)
    mask[2] = torch.eye(5, dtype=torch.bool)
    return x, mask


@accepted("encoder_bug_input")
def one_sequence_whose_first_query_sees_everything():
    x = torch.arange(1 * 4 * 8).reshape(1, 4, 8) % 5 - 2.0
    return x, torch.ones(4, 4, dtype=torch.bool).triu()
