"""Lesson 10 against PyTorch's embedding and the tables and rotations of transformers: the same numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2Model, LlamaConfig, MarianConfig
from transformers.models.gptj import modeling_gptj
from transformers.models.llama import modeling_llama
from transformers.models.marian.modeling_marian import MarianEncoder, MarianSinusoidalPositionalEmbedding
from transformers.models.xlm.modeling_xlm import create_sinusoidal_embeddings
from witness import witnessed

from autograder import probes
from autograder.authoring import lesson
from autograder.calling.local import Here
from autograder.diagnosing.comparison import differences, values
from workbench import parts

LESSON = "positional_embeddings"
reference = lesson.load(Path(__file__).parents[2] / "solutions" / f"{LESSON}.py")
both = pytest.mark.parametrize("ours", [reference, parts], ids=["lesson", "parts"])
in_both_dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
MAX_LEN, WIDTH, VOCAB = 11, 14, 13


def numbers(*shape, dtype, seed=1):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def halves_first(width):
    """Return the order of features that turns neighbouring pairs into two halves: 0, 2, 4, ..., 1, 3, 5, ..."""
    return [*range(0, width, 2), *range(1, width, 2)]


def compare(what, dtype, ours, theirs):
    """Witness outputs and gradients.

    ours, theirs  (output, leaves): a tensor, and the tensors whose gradients are compared
    """
    weights = numbers(*ours[0].shape, dtype=dtype, seed=2)
    gradients = [torch.autograd.grad((output * weights).sum(), leaves) for output, leaves in (ours, theirs)]
    witnessed(LESSON, what, dtype, (ours[0] - theirs[0]).abs().max().item())
    largest = max((one - other).abs().max().item() for one, other in zip(*gradients, strict=True))
    witnessed(LESSON, f"{what}: gradients", dtype, largest)


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


# Waves


def test_the_waves_are_marians_with_its_halves_interleaved():
    table = MarianSinusoidalPositionalEmbedding(MAX_LEN, WIDTH).create_weight()
    ours = reference.sinusoidal_encoding(MAX_LEN, WIDTH)[:, halves_first(WIDTH)]
    witnessed(LESSON, "sinusoidal_encoding, Marian", ours.dtype, (ours - table).abs().max().item())


def test_the_waves_are_xlms():
    table = create_sinusoidal_embeddings(MAX_LEN, WIDTH, torch.empty(MAX_LEN, WIDTH))
    ours = reference.sinusoidal_encoding(MAX_LEN, WIDTH)
    witnessed(LESSON, "sinusoidal_encoding, XLM", ours.dtype, (ours - table).abs().max().item())


@both
def test_the_waves_are_the_parts_of_numpys_complex_exponential(ours, double):
    turns = np.exp(1j * np.outer(np.arange(MAX_LEN), 10000 ** (-np.arange(0, WIDTH, 2) / WIDTH)))
    expected = torch.from_numpy(np.stack((turns.imag, turns.real), axis=-1).reshape(MAX_LEN, WIDTH))
    table = ours.sinusoidal_encoding(MAX_LEN, WIDTH)
    assert table.dtype == torch.float64
    witnessed(LESSON, "sinusoidal_encoding, numpy", table.dtype, (table - expected).abs().max().item())


def test_the_dot_product_of_two_rows_depends_on_their_distance_only(double):
    table = reference.sinusoidal_encoding(31, WIDTH)
    products = table @ table.T
    for distance in (0, 1, 7, 17):
        along = products.diagonal(distance)
        assert torch.allclose(along, along[0])


# Learned positions and the embedding


@in_both_dtypes
def test_learned_positions_are_an_nn_embedding_of_the_positions(dtype):
    x, table = numbers(2, 5, WIDTH, dtype=dtype), numbers(MAX_LEN, WIDTH, dtype=dtype, seed=3)
    mine = reference.LearnedPositionalEmbedding(MAX_LEN, WIDTH).to(dtype)
    theirs = nn.Embedding(MAX_LEN, WIDTH, dtype=dtype)
    for module in (mine, theirs):
        module.load_state_dict({"weight": table})
    x1, x2 = (x.clone().requires_grad_() for _ in range(2))
    compare(
        "LearnedPositionalEmbedding, nn.Embedding",
        dtype,
        (mine(x1), [x1, mine.weight]),
        (x2 + theirs(torch.arange(5)), [x2, theirs.weight]),
    )


@both
@in_both_dtypes
def test_the_embedding_with_learned_positions_is_gpt2s(ours, dtype):
    model = (
        GPT2Model(GPT2Config(vocab_size=VOCAB, n_positions=MAX_LEN, n_embd=WIDTH, n_layer=0, n_head=1, embd_pdrop=0.0))
        .to(dtype)
        .train()
    )
    model.ln_f = nn.Identity()  # a GPT-2 without layers, and without the norm behind them, is its embedding
    mine = ours.TransformerEmbedding(VOCAB, WIDTH, MAX_LEN, positions="learned").to(dtype)
    mine.load_state_dict({"token.weight": model.wte.weight, "position.weight": model.wpe.weight})
    tokens = torch.arange(10).reshape(2, 5) * 7 % VOCAB
    compare(
        f"TransformerEmbedding{' of parts' * (ours is parts)}, GPT-2",
        dtype,
        (mine(tokens), [mine.token.weight, mine.position.weight]),
        (model(tokens).last_hidden_state, [model.wte.weight, model.wpe.weight]),
    )


@both
@in_both_dtypes
def test_the_embedding_with_waves_is_marians_with_its_halves_interleaved(ours, dtype):
    config = MarianConfig(
        vocab_size=VOCAB,
        pad_token_id=0,
        d_model=WIDTH,
        max_position_embeddings=MAX_LEN,
        encoder_layers=0,
        encoder_attention_heads=1,
        dropout=0.0,
        scale_embedding=False,
    )
    encoder = MarianEncoder(config)  # without layers it is its embedding
    with torch.no_grad():
        encoder.embed_positions.weight.copy_(encoder.embed_positions.create_weight())
    encoder.to(dtype)
    order = halves_first(WIDTH)
    mine = ours.TransformerEmbedding(VOCAB, WIDTH, MAX_LEN).to(dtype)
    with torch.no_grad():
        mine.token.weight[:, order] = encoder.embed_tokens.weight
        # Marian keeps its table in float32.
        mine.position[:, order] = encoder.embed_positions.weight
    tokens = torch.arange(10).reshape(2, 5) * 7 % (VOCAB - 1) + 1
    output = encoder(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state
    tables = mine.token.weight, encoder.embed_tokens.weight
    # Gradients are compared in Marian's order of features.
    weights = numbers(2, 5, WIDTH, dtype=dtype, seed=2)
    ours_in_order = mine(tokens)[..., order]
    what = f"TransformerEmbedding{' of parts' * (ours is parts)}, Marian"
    witnessed(LESSON, what, dtype, (ours_in_order - output).abs().max().item())
    (mine_gradient,) = torch.autograd.grad((ours_in_order * weights).sum(), [tables[0]])
    (their_gradient,) = torch.autograd.grad((output * weights).sum(), [tables[1]])
    witnessed(LESSON, f"{what}: gradients", dtype, (mine_gradient[:, order] - their_gradient).abs().max().item())


# Rotary


def angles(positions, base, dtype):
    return torch.from_numpy(np.multiply.outer(positions.numpy(), base ** (-np.arange(0, WIDTH, 2) / WIDTH))).to(dtype)


@both
@in_both_dtypes
@pytest.mark.parametrize("base", [10000.0, 100.0])
def test_rotary_is_llamas_with_its_halves_interleaved(ours, dtype, base):
    x = numbers(2, 3, 5, WIDTH, dtype=dtype)
    positions = torch.tensor([[0, 1, 2, 3, 4], [9, 4, 17, 3, 11]])
    order = halves_first(WIDTH)
    if dtype == torch.float32:
        config = LlamaConfig(
            hidden_size=3 * WIDTH, num_attention_heads=3, rope_parameters={"rope_type": "default", "rope_theta": base}
        )
        cosine, sine = modeling_llama.LlamaRotaryEmbedding(config)(x, positions)
    else:  # its own sines are of float32, whatever the dtype of x
        angle = torch.cat([angles(positions, base, dtype)] * 2, dim=-1)
        cosine, sine = angle.cos(), angle.sin()
    x1, x2 = (x.clone().requires_grad_() for _ in range(2))
    turned, _ = modeling_llama.apply_rotary_pos_emb(x2[..., order], x2[..., order], cosine, sine)
    mine = ours.rotary_embedding(x1, positions.unsqueeze(1), base)[..., order]
    what = f"rotary_embedding{' of parts' * (ours is parts)}, Llama, base {base:g}"
    compare(what, dtype, (mine, [x1]), (turned, [x2]))


@in_both_dtypes
def test_rotary_is_gpt_js_which_pairs_neighbours_too(dtype):
    x = numbers(2, 3, 5, WIDTH, dtype=dtype)
    angle = angles(torch.arange(5), 10000.0, dtype).unsqueeze(0)
    x1, x2 = (x.clone().requires_grad_() for _ in range(2))
    # GPT-J keeps the heads behind the time.
    turned = modeling_gptj.apply_rotary_pos_emb(x2.transpose(1, 2), angle.sin(), angle.cos()).transpose(1, 2)
    compare("rotary_embedding, GPT-J", dtype, (reference.rotary_embedding(x1), [x1]), (turned, [x2]))


def test_rotary_scores_depend_on_the_distance_only(double):
    query, key = numbers(2, 1, WIDTH, dtype=torch.float64)

    def score(at, other):
        return (
            reference.rotary_embedding(query, torch.tensor([at]))
            @ reference.rotary_embedding(key, torch.tensor([other])).T
        ).item()

    assert score(0, 3) == pytest.approx(score(17, 20)) != pytest.approx(score(0, 4))


def test_rotary_tells_late_positions_apart_in_bfloat16():
    x = torch.ones(1, 2, dtype=torch.bfloat16)
    late, later = (reference.rotary_embedding(x, torch.tensor([position])) for position in (256, 257))
    assert late.dtype == torch.bfloat16 and not torch.equal(late, later)


# Contract


@both
@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_a_long_sequence_is_refused_with_both_sizes(ours, positions):
    embedding = ours.TransformerEmbedding(VOCAB, WIDTH, MAX_LEN, positions)
    with pytest.raises(ValueError, match="17.*11"):
        embedding(torch.zeros(2, 17, dtype=torch.long))


@pytest.mark.parametrize(
    "name", ["sinusoidal_encoding", "LearnedPositionalEmbedding", "TransformerEmbedding", "rotary_embedding"]
)
def test_the_closed_box_shows_what_the_reference_shows(name):
    right, box = (
        values(probes.observe(LESSON, name, Here({name: getattr(module, name)}), "box"))
        for module in (reference, parts)
    )
    assert not differences(right, box)


# Find the bug


def shown(given):
    """Return what the probes of the bug see of an input."""
    seen = probes.observe(LESSON, "position_bug_input", Here({"position_bug_input": lambda: given}), "bug")
    return [value for one in seen.values() for value in one.values.values()]


def tokens(*shape):
    return torch.zeros(*shape, dtype=torch.long)


def test_the_broken_embedding_is_wrong_just_where_one_row_is_left_or_one_token_is_new():
    wrong = {
        (before, new)
        for before in range(1, 12)
        for new in range(1, 12)
        if shown((tokens(2, before), tokens(2, new)))[-1] == "gives a wrong output"
    }
    assert wrong == {(7, new) for new in range(2, 9)} | {(before, 1) for before in range(8, 12)}


@pytest.mark.parametrize(
    "given",
    [
        None,
        "x",
        tokens(1, 7),
        (tokens(1, 7), 2),
        (tokens(1, 7), tokens(1, 2), 3),
        (tokens(1, 0), tokens(1, 2)),
        (tokens(1, 101), tokens(1, 2)),
        (tokens(7), tokens(2)),
        (tokens(1, 7) - 1, tokens(1, 2)),
        (tokens(1, 7) + 13, tokens(1, 2)),
        (tokens(1, 7).to("meta"), tokens(1, 2)),
        (tokens(1, 7).bool(), tokens(1, 2)),
        (tokens(1, 7).to_sparse(), tokens(1, 2)),
        (tokens(1, 7), tokens(2, 2)),
    ],
    ids=str,
)
def test_an_input_that_does_not_fit_is_not_run(given):
    assert shown(given)[-1] == "is not run"
