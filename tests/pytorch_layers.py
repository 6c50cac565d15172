"""PyTorch's own layers as witnesses: their parameters and gradients, matched with those of the course's layers."""

import torch

DTYPES = [torch.float32, torch.float64]

# Our names of an encoder layer's parts, and PyTorch's.
LAYER = {
    "self_attention.out_proj": "self_attn.out_proj",
    "feed_forward.up_proj": "linear1",
    "feed_forward.down_proj": "linear2",
    "norm1": "norm1",
    "norm2": "norm2",
}
ATTENTIONS = (("self_attention", "self_attn"),)


def copy_layer(ours, theirs, names=LAYER, attentions=ATTENTIONS):
    """Give our layer the parameters of PyTorch's.

    names       our name -> PyTorch's, of what has a weight and a bias
    attentions  (our name, PyTorch's) of attentions, whose three projections PyTorch keeps as one matrix
    """
    with torch.no_grad():
        for our_name, their_name in names.items():
            for kind in ("weight", "bias"):
                ours.get_parameter(f"{our_name}.{kind}").copy_(theirs.get_parameter(f"{their_name}.{kind}"))
        for our_name, their_name in attentions:
            for kind in ("weight", "bias"):
                thirds = theirs.get_parameter(f"{their_name}.in_proj_{kind}").chunk(3)
                for projection, third in zip(("q_proj", "k_proj", "v_proj"), thirds, strict=True):
                    ours.get_parameter(f"{our_name}.{projection}.{kind}").copy_(third)


def gradients_of_layer(ours, theirs, names=LAYER, attentions=ATTENTIONS):
    """Yield (ours, PyTorch's) gradient of each parameter."""
    for our_name, their_name in names.items():
        for kind in ("weight", "bias"):
            yield (ours.get_parameter(f"{our_name}.{kind}").grad, theirs.get_parameter(f"{their_name}.{kind}").grad)
    for our_name, their_name in attentions:
        for kind in ("weight", "bias"):
            thirds = theirs.get_parameter(f"{their_name}.in_proj_{kind}").grad.chunk(3)
            for projection, third in zip(("q_proj", "k_proj", "v_proj"), thirds, strict=True):
                yield ours.get_parameter(f"{our_name}.{projection}.{kind}").grad, third


def shaken(module):
    """Give every parameter, biases and norms too, numbers that differ from each other."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.uniform_(-0.5, 0.5)
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1.0)
    return module


def largest(pairs):
    """Return the largest difference; where PyTorch's numbers exceed 1, as a share of the largest of them.

    Gradients through three layers reach 20 here, and float32 has seven digits, wherever the point stands.
    """
    return max((one - other).abs().max().item() / max(1.0, other.abs().max().item()) for one, other in pairs)
