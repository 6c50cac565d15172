"""Right answers to lesson 9 in other styles. What is declared here is accepted on purpose, and stays accepted."""

import torch
import torch.nn.functional as F
from torch import nn

from autograder.mistakes import Alternatives

alternatives = accepted = Alternatives()


# layer_norm


@accepted("layer_norm")
def variance_by_hand(x, weight, bias, eps=1e-5):
    centred = x - x.sum(dim=-1, keepdim=True) / x.shape[-1]
    variance = centred.pow(2).mean(-1, True)
    return weight * centred * torch.rsqrt(variance + eps) + bias


@accepted("layer_norm")
def var_mean_and_addcmul(x, weight, bias, eps=1e-5):
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    return torch.addcmul(bias, (x - mean) / (variance + eps).sqrt(), weight)


@accepted("layer_norm")
def axes_added_by_hand(x, weight, bias, eps=1e-5):
    mean, std = x.mean(-1), (x.var(-1, unbiased=False) + eps) ** 0.5
    return (x - mean[..., None]) / std.unsqueeze(-1) * weight + bias


@accepted("layer_norm")
def by_matrix_products(x, weight, bias, eps=1e-5):
    averaging = x.new_full((x.shape[-1], 1), 1 / x.shape[-1])
    centred = x - x @ averaging
    return centred / torch.sqrt(centred**2 @ averaging + eps) * weight + bias


@accepted("layer_norm")
def in_double_precision(x, weight, bias, eps=1e-5):
    double = x.double()
    variance = double.var(-1, correction=0, keepdim=True)
    return ((double - double.mean(-1, keepdim=True)) / (variance + eps).sqrt()).to(x.dtype) * weight + bias


# LayerNorm


@accepted("LayerNorm")
class EverythingInForward(nn.Module):
    def __init__(self, embed_dim, eps=1e-5):
        super().__init__()
        self.bias = nn.Parameter(torch.empty(embed_dim))
        self.weight = nn.Parameter(torch.empty(embed_dim))
        self.epsilon = eps
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x):
        mean = x.mean(dim=-1, keepdim=True)
        spread = ((x - mean) ** 2).mean(dim=-1, keepdim=True).add(self.epsilon).sqrt()
        return self.weight * ((x - mean) / spread) + self.bias


@accepted("LayerNorm")
class ParametersRegisteredByName(nn.Module):
    def __init__(self, embed_dim, eps=1e-5):
        super().__init__()
        for name, number in (("weight", 1.0), ("bias", 0.0)):
            self.register_parameter(name, nn.Parameter(torch.full((embed_dim,), number)))
        # A buffer that is not saved may hold eps: what else a module keeps is its own business.
        self.register_buffer("eps", torch.tensor(eps), persistent=False)

    def forward(self, x):
        variance, mean = torch.var_mean(x, -1, unbiased=False, keepdim=True)
        return torch.addcmul(self.bias, (x - mean) * (variance + self.eps).rsqrt(), self.weight)


# ResidualConnection


@accepted("ResidualConnection")
class WithNnLayerNorm(nn.Module):
    def __init__(self, embed_dim, norm_first):
        super().__init__()
        self.norm, self.pre = nn.LayerNorm(embed_dim), norm_first

    def forward(self, x, sublayer):
        output = sublayer(self.norm(x) if self.pre else x)
        output = output + x
        return output if self.pre else self.norm(output)


@accepted("ResidualConnection")
class FormChosenInInit(nn.Module):
    def __init__(self, embed_dim, norm_first):
        super().__init__()
        self.norm = nn.LayerNorm(embed_dim)
        self.form = self._before if norm_first else self._after

    def _before(self, x, sublayer):
        return torch.add(sublayer(self.norm(x)), x)

    def _after(self, x, sublayer):
        return F.layer_norm(x + sublayer(x), x.shape[-1:], self.norm.weight, self.norm.bias)

    def forward(self, x, sublayer):
        return self.form(x, sublayer)


# RMSNorm


@accepted("RMSNorm")
class WithRsqrt(nn.Module):
    def __init__(self, embed_dim, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(embed_dim))

    def forward(self, x):
        # As Llama does it: in float32 at least, and back.
        working = x if x.dtype == torch.float64 else x.float()
        normed = working * torch.rsqrt(working.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * normed.to(x.dtype)


@accepted("RMSNorm")
class WithTheVectorNorm(nn.Module):
    def __init__(self, embed_dim, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(embed_dim))
        self.embed_dim, self.eps = embed_dim, eps

    def forward(self, x):
        mean_square = torch.einsum("...d,...d->...", x, x).unsqueeze(-1) / self.embed_dim
        return x * self.weight / (mean_square + self.eps) ** 0.5


# norm_bug_input


@accepted("norm_bug_input")
def one_position_far_from_zero():
    x = torch.linspace(-1, 1, 30).reshape(2, 3, 5)
    x[1, 2] -= 100_000
    return x


@accepted("norm_bug_input")
def a_million_and_neighbours():
    return 999_990 + torch.arange(7.0)
