"""Lesson 4 against transformers' GPT-2: the same weights give the same logits, losses, gradients and texts."""

from pathlib import Path

import pytest
import torch
from gpt2_numbers import their_numbers
from witness import witnessed

from autograder import probes
from autograder.authoring import lesson
from autograder.calling.local import Here
from autograder.diagnosing.comparison import differences, values
from workbench import parts
from workbench.broken.decoder_only import broken_repetition_penalty

gpt2 = pytest.importorskip("transformers.models.gpt2.modeling_gpt2")
warpers = pytest.importorskip("transformers.generation.logits_process")

reference = lesson.load(Path(__file__).parents[2] / "solutions" / "decoder_only.py")
VOCAB, EMBED, HEADS, FF, LAYERS, MAX_LEN = 61, 24, 3, 37, 3, 23
NAMES = "norm3", "embedding.", "decoder."
DTYPES = [torch.float32, torch.float64]


def pair(ours, dtype=torch.float32):
    """Return our model and GPT-2 with the same weights, both in evaluation mode."""
    config = gpt2.GPT2Config(
        vocab_size=VOCAB,
        n_positions=MAX_LEN,
        n_embd=EMBED,
        n_layer=LAYERS,
        n_head=HEADS,
        n_inner=FF,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
        attn_implementation="eager",
    )
    assert config.activation_function == "gelu_new" and config.tie_word_embeddings
    theirs = gpt2.GPT2LMHeadModel(config)
    torch.manual_seed(4)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter.uniform_(-0.5, 0.5)
            if "ln_" in name and name.endswith("weight"):
                parameter.add_(1.0)
    mine = ours.LanguageModel(VOCAB, EMBED, HEADS, FF, LAYERS, MAX_LEN, dropout=0.1)
    numbers = their_numbers(theirs, lambda parameter: parameter.detach(), *NAMES)
    missing, unexpected = mine.load_state_dict(numbers, strict=False)
    # GPT-2 has numbers for everything but the head, which is the token table: nothing in it is idle.
    assert not unexpected and missing == ["head.weight"]
    assert sum(one.numel() for one in mine.parameters()) == sum(one.numel() for one in theirs.parameters())
    assert mine.head.weight is mine.embedding.token.weight
    return mine.to(dtype).eval(), theirs.to(dtype).eval()


def largest(pairs):
    """Return the largest difference; where GPT-2's numbers exceed 1, as a share of the largest of them."""
    return max((one - other).abs().max().item() / max(1.0, other.abs().max().item()) for one, other in pairs)


def apart(one, other):
    return (one - other).abs().item()


def cross_entropy(logits, labels):
    return torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, VOCAB), labels[:, 1:].reshape(-1))


def witness_of_loss(dtype):
    return "GPT2LMHeadModel" if dtype == torch.float32 else "F.cross_entropy"


def texts(*shape, seed=1):
    return torch.randint(VOCAB, shape, generator=torch.Generator().manual_seed(seed))


def whose(module):
    return "box" if module is parts else "reference"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ours", [reference, parts])
def test_the_model_is_gpt_2(ours, dtype):
    mine, theirs = pair(ours, dtype)
    tokens = texts(5, 17)
    logits, weights = mine(tokens)
    expected = theirs(tokens, output_attentions=True, labels=tokens)
    name = f"LanguageModel ({whose(ours)}), GPT2LMHeadModel"
    witnessed("decoder_only", f"{name}: logits", dtype, largest([(logits, expected.logits)]))
    witnessed("decoder_only", f"{name}: attentions", dtype, largest(zip(weights, expected.attentions, strict=True)))
    loss = ours.next_token_loss(logits, tokens)
    # GPT-2 computes its loss in float32 whatever the model is in, so a float64 model needs PyTorch's.
    their_loss = expected.loss if dtype == torch.float32 else cross_entropy(expected.logits, tokens)
    witnessed(
        "decoder_only", f"next_token_loss ({whose(ours)}), {witness_of_loss(dtype)}", dtype, apart(loss, their_loss)
    )
    loss.backward()
    their_loss.backward()
    gradients = their_numbers(theirs, lambda parameter: parameter.grad, *NAMES)
    pairs = [(mine.get_parameter(name).grad, gradient) for name, gradient in gradients.items()]
    witnessed("decoder_only", f"{name}: gradients", dtype, largest(pairs))
    assert all(parameter.grad is not None for parameter in mine.parameters())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ours", [reference, parts])
def test_padding_costs_what_gpt_2_makes_of_ignored_labels(ours, dtype):
    _, theirs = pair(reference, dtype)
    tokens = texts(3, 11)
    tokens[1, 7:], tokens[2, :3] = 0, 0
    logits = theirs(tokens).logits.detach()
    labels = tokens.masked_fill(tokens == 0, -100)
    expected = theirs(tokens, labels=labels).loss if dtype == torch.float32 else cross_entropy(logits, labels)
    seen = ours.next_token_loss(logits, tokens, pad_id=0)
    witnessed(
        "decoder_only",
        f"next_token_loss ({whose(ours)}), {witness_of_loss(dtype)}: padding",
        dtype,
        apart(seen, expected),
    )


@pytest.mark.parametrize("ours", [reference, parts])
def test_filters_leave_what_transformers_leaves(ours):
    logits = 3 * torch.randn(50, VOCAB, generator=torch.Generator().manual_seed(3))
    for temperature in (0.3, 1.0, 1.7):
        for top_k in (None, 1, 5, 60, 90):
            for top_p in (None, 0.05, 0.5, 0.93, 1.0):
                expected = logits / temperature
                if top_k is not None:
                    expected = warpers.TopKLogitsWarper(top_k)(None, expected)
                if top_p is not None:
                    expected = warpers.TopPLogitsWarper(top_p)(None, expected)
                seen = ours.filter_logits(logits, temperature, top_k, top_p)
                assert torch.equal(seen == -torch.inf, expected == -torch.inf), (temperature, top_k, top_p)
                assert torch.allclose(seen.softmax(-1), expected.softmax(-1))


@pytest.mark.parametrize("use_cache", [False, True])
@pytest.mark.parametrize("ours", [reference, parts])
@pytest.mark.parametrize("write", ["generate", "generate_with_cache"])
def test_greedy_text_is_that_of_gpt_2(write, ours, use_cache):
    mine, theirs = pair(ours)
    mine.train()  # writing has to switch dropout off by itself
    for batch, time, new in ((7, 3, 20), (1, 1, 22), (5, 22, 1)):
        tokens = texts(batch, time, seed=time)
        expected = theirs.generate(
            tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=new, do_sample=False, use_cache=use_cache
        )
        seen = getattr(ours, write)(mine, tokens, new)
        assert torch.equal(seen, expected)
        assert len(seen[:, time:].unique()) > 1 or seen[:, time:].numel() < 3


@pytest.mark.parametrize("use_cache", [False, True])
@pytest.mark.parametrize("ours", [reference, parts])
@pytest.mark.parametrize("write", ["generate", "generate_with_cache"])
@pytest.mark.parametrize(
    "how",
    [
        dict(),
        dict(temperature=0.7),
        dict(temperature=3.0, top_k=20),
        dict(temperature=3.0, top_p=0.9),
        dict(temperature=2.0, top_k=30, top_p=0.8),
    ],
    ids=lambda how: ", ".join(f"{name} {value}" for name, value in how.items()) or "plain",
)
def test_drawn_text_is_that_of_gpt_2_with_the_same_seed(how, write, ours, use_cache):
    mine, theirs = pair(ours)
    tokens = texts(11, 4)
    plain = dict(temperature=1.0, top_k=0, top_p=1.0)  # GPT-2's own default is top_k=50
    torch.manual_seed(9)
    expected = theirs.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        max_new_tokens=19,
        do_sample=True,
        use_cache=use_cache,
        **plain | how,
    )
    write = getattr(ours, write)
    torch.manual_seed(9)
    assert torch.equal(write(mine, tokens, 19, sample=True, **how), expected)
    # A generator of one's own with this seed yields the numbers that the global one yields.
    generator = torch.Generator().manual_seed(9)
    assert torch.equal(write(mine, tokens, 19, sample=True, generator=generator, **how), expected)
    assert not torch.equal(
        expected, theirs.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=19, do_sample=False)
    )


@pytest.mark.parametrize("ours", [reference, parts])
def test_a_text_longer_than_the_context_is_the_same_with_and_without_a_cache(ours):
    mine, theirs = pair(ours)
    tokens = texts(3, 19)
    seen = ours.generate_with_cache(mine, tokens, 12)
    assert torch.equal(seen, ours.generate(mine, tokens, 12))
    for time in range(19, 31):  # each token is the likeliest after the 23 before it
        logits = theirs(seen[:, max(0, time - MAX_LEN) : time]).logits[:, -1]
        assert torch.equal(logits.argmax(-1), seen[:, time])


@pytest.mark.parametrize(
    "exercise", ["next_token_loss", "LanguageModel", "filter_logits", "generate", "generate_with_cache"]
)
def test_the_closed_boxes_show_what_the_reference_shows(exercise):
    seen = [
        values(probes.observe("decoder_only", exercise, Here({exercise: getattr(module, exercise)}), "boxes"))
        for module in (reference, parts)
    ]
    assert seen[0] and not differences(*seen)


# Find the bug


@pytest.mark.parametrize(("lowest", "wrong"), [(0.0, False), (-5.0, True)])
def test_the_broken_penalty_is_that_of_transformers_unless_a_written_token_has_a_negative_logit(lowest, wrong):
    torch.manual_seed(4)
    logits, tokens = lowest + 5 * torch.rand(7, 61), torch.randint(61, (7, 5))
    right = warpers.RepetitionPenaltyLogitsProcessor(1.2)(tokens, logits.clone())
    broken = broken_repetition_penalty(logits, tokens, 1.2)
    assert torch.allclose(broken, right) != wrong
    # It fails nowhere but there.
    negative = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, tokens, True) & (logits < 0)
    assert torch.allclose(broken[~negative], right[~negative])
    assert (broken[negative] > logits[negative]).all() and (right[negative] < logits[negative]).all()


def test_the_last_position_of_a_piece_is_never_asked_what_comes_next():
    torch.manual_seed(4)
    model = reference.LanguageModel(11, 6, 2, 7, 2, 5)
    logits, _ = model(torch.randint(11, (3, 5)))
    logits.retain_grad()
    reference.next_token_loss(logits, torch.randint(11, (3, 5))).backward()
    asked = logits.grad.abs().sum((0, 2)) > 0
    assert asked.tolist() == [True, True, True, True, False]
