"""The model of the empty cell against transformers' GPT-2, how other names are understood, and what leaks earn."""

import re
from pathlib import Path

import pytest
import torch
from gpt2_numbers import their_numbers
from torch import nn

from autograder import check
from autograder.authoring import lesson
from autograder.mistakes import read as read_mistakes
from autograder.mistakes import read_alternatives
from autograder.probes.capstone import gpt_name_meant

SOLUTIONS = Path(__file__).parents[2] / "solutions"
reference = lesson.load(SOLUTIONS / "capstone.py")
catalogue = read_mistakes(SOLUTIONS / "mistakes" / "capstone.py")
STYLES = read_alternatives(SOLUTIONS / "alternatives" / "capstone.py").of("GPT")
VOCAB, EMBED, HEADS, LAYERS, MAX_LEN = 61, 24, 3, 3, 23


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_with_the_same_numbers_it_computes_what_gpt2_computes_and_passes_the_same_gradients(dtype):
    gpt2 = pytest.importorskip("transformers.models.gpt2.modeling_gpt2")
    config = gpt2.GPT2Config(
        vocab_size=VOCAB,
        n_positions=MAX_LEN,
        n_embd=EMBED,
        n_layer=LAYERS,
        n_head=HEADS,
        bos_token_id=None,
        eos_token_id=None,
        attn_implementation="eager",
    )
    theirs = gpt2.GPT2LMHeadModel(config).to(dtype).eval()
    torch.manual_seed(4)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3 + ("ln" in name and name.endswith("weight")))
    ours = reference.GPT(VOCAB, EMBED, HEADS, LAYERS, MAX_LEN).to(dtype)
    ours.load_state_dict(their_numbers(theirs, lambda parameter: parameter.detach(), "norm2"))
    tokens = torch.randint(VOCAB, (2, MAX_LEN))
    mine, other = ours(tokens), theirs(tokens).logits
    torch.testing.assert_close(mine, other)
    for logits in (mine, other):
        nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten()).backward()
    for name, gradient in their_numbers(theirs, lambda parameter: parameter.grad, "norm2").items():
        torch.testing.assert_close(ours.get_parameter(name).grad, gradient, msg=name)


@pytest.mark.parametrize(
    ("sizes", "count"), [((50257, 768, 12, 12, 1024), 124_439_808), ((50257, 1600, 25, 48, 1024), 1_557_611_200)]
)
def test_gpt2_has_as_many_parameters_as_it_is_said_to_have(sizes, count):
    with torch.device("meta"):
        model = reference.GPT(*sizes)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


# Names


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("wte.weight", "token.weight"),
        ("transformer.wpe.weight", "position.weight"),
        ("pos_emb", "position.weight"),
        ("tok_embedding.weight", "token.weight"),
        ("ln_f.bias", "final_norm.bias"),
        ("head.weight", ""),
        ("lm_head.weight", ""),
        ("blocks.2.ln_1.weight", "layers.2.norm1.weight"),
        ("h.0.attn.c_proj.bias", "layers.0.self_attention.out_proj.bias"),
        ("h.0.mlp.c_proj.bias", "layers.0.feed_forward.down_proj.bias"),
        ("h.0.mlp.c_fc.weight", "layers.0.feed_forward.up_proj.weight"),
        ("layers.1.self_attn.q_proj.weight", "layers.1.self_attention.q_proj.weight"),
        ("layers.1.linear2.weight", "layers.1.feed_forward.down_proj.weight"),
        ("layers.1.attn.key.weight", "layers.1.self_attention.k_proj.weight"),
        ("layers.10.ffn.0.bias", "layers.10.feed_forward.up_proj.bias"),
        ("layers.0.ffn.2.bias", "layers.0.feed_forward.down_proj.bias"),
    ],
)
def test_other_names_are_understood(name, meant):
    assert gpt_name_meant(name) == meant


class WithPytorchsLayers(nn.Module):
    """Right but for the names, which are those of nn.TransformerEncoderLayer."""

    def __init__(self, vocab_size, embed_dim, num_heads, num_layers, max_len):
        super().__init__()
        self.token, self.position = nn.Embedding(vocab_size, embed_dim), nn.Embedding(max_len, embed_dim)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                embed_dim,
                num_heads,
                4 * embed_dim,
                dropout=0.0,
                activation=lambda x: nn.functional.gelu(x, approximate="tanh"),
                batch_first=True,
                norm_first=True,
            )
            for _ in range(num_layers)
        )
        self.final_norm = nn.LayerNorm(embed_dim)

    def forward(self, tokens):
        time = tokens.shape[1]
        if time > self.position.num_embeddings:
            raise ValueError("too long")
        x = self.token(tokens) + self.position.weight[:time]
        mask = torch.ones(time, time, dtype=torch.bool, device=tokens.device).triu(1)
        for layer in self.layers:
            x = layer(x, src_mask=mask)
        return self.final_norm(x) @ self.token.weight.T


def test_pytorchs_layer_computes_what_is_asked_for_and_lacks_the_names_alone():
    result = check(WithPytorchsLayers, exercise="GPT")
    assert result.mistakes == ("other_names",), result
    assert result.earned == result.points / 2


# A training in which the future is seen


@pytest.mark.parametrize("name", ["no_causal_mask", "mask_hides_one_too_few"])
def test_who_sees_the_future_learns_nothing_of_use(name):
    (wrong, *_) = [one for one in catalogue.singles("GPT") if one.mistakes == (name,)]
    result = check(wrong.call, exercise="GPT")
    state = {sentence: state for sentence, state in result.rows}
    (learns,) = [sentence for sentence in state if "steps of training" in sentence]
    assert state[learns] == "differs" and result.mistakes == (name,) and result.earned == 0


@pytest.mark.parametrize(("style", "component"), STYLES)
def test_other_right_styles_learn(style, component):
    result = check(component, exercise="GPT")
    assert result.passed, result


def test_whoever_is_right_is_told_the_loss_of_the_short_training_too():
    assert re.search(r"after 50 steps its loss on a new text is \d\.\d nats", check(reference.GPT).note)
