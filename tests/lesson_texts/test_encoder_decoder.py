"""Lesson 5 gives what nn.Transformer and transformers' Marian give with the same weights, and writes the same texts."""

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import GenerationConfig, MarianConfig, MarianMTModel
from transformers.models.marian.modeling_marian import shift_tokens_right
from witness import witnessed

from autograder.authoring import lesson
from autograder.probes import encoder_decoder as encoder_decoder_probes
from workbench import parts
from workbench.broken import encoder_decoder as broken

LESSON = lesson.load(Path(__file__).parents[2] / "solutions" / "encoder_decoder.py")
WRITTEN_TWICE = pytest.mark.parametrize("own", [LESSON, parts], ids=["reference", "workbench.parts"])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])

VOCAB, WIDTH, HEADS, HIDDEN, MAX_LEN = 23, 12, 3, 17, 19
EOS, PAD = 0, 22  # as in Marian's own vocabularies: the end comes first, padding last


def built(own, norm_first=False, source_vocab_size=VOCAB, bos_id=PAD):
    torch.manual_seed(5)
    model = own.EncoderDecoder(
        source_vocab_size,
        VOCAB,
        WIDTH,
        HEADS,
        HIDDEN,
        encoder_layers=2,
        decoder_layers=3,
        max_len=MAX_LEN,
        pad_id=PAD,
        bos_id=bos_id,
        norm_first=norm_first,
    )
    return model.eval()


def padded_batch(batch=5, keys=7, queries=11):
    """Return source and target; each row of the source ends in as many padding tokens as its number."""
    torch.manual_seed(7)
    source, target = torch.randint(1, PAD, (batch, keys)), torch.randint(1, PAD, (batch, queries))
    for row in range(1, batch):
        source[row, keys - row :] = PAD
    return source, target


def gradients(logits, parameters):
    """Return the gradient of a sum of logits in which no two count the same."""
    weights = torch.linspace(-1.0, 1.0, logits.numel(), dtype=logits.dtype).view_as(logits)
    found = torch.autograd.grad((logits * weights).sum() / 10, list(parameters.values()), allow_unused=True)
    return dict(zip(parameters, found, strict=True))


def largest(differences):
    return max(difference.abs().max().item() for difference in differences)


# shift_right


def test_shift_right_gives_what_marian_reads():
    _, target = padded_batch()
    assert torch.equal(LESSON.shift_right(target, 3), shift_tokens_right(target, PAD, 3))


# nn.Transformer


def of_nn_transformer(get):
    """Return {our name: tensor} of an nn.Transformer, where `get` gives the tensor of one of its names."""
    found = {}
    for stack, layers in (("encoder", 2), ("decoder", 3)):
        for layer in (f"{stack}.layers.{index}." for index in range(layers)):
            attentions = {"self_attention": "self_attn"}
            if stack == "decoder":
                attentions["cross_attention"] = "multihead_attn"
            for ours, theirs in attentions.items():
                for kind in ("weight", "bias"):
                    chunks = get(f"{layer}{theirs}.in_proj_{kind}").chunk(3)
                    for projection, chunk in zip(("q_proj", "k_proj", "v_proj"), chunks, strict=True):
                        found[f"{layer}{ours}.{projection}.{kind}"] = chunk
                    found[f"{layer}{ours}.out_proj.{kind}"] = get(f"{layer}{theirs}.out_proj.{kind}")
            names = {"feed_forward.up_proj": "linear1", "feed_forward.down_proj": "linear2"}
            names |= {f"norm{number}": f"norm{number}" for number in range(1, 4 if stack == "decoder" else 3)}
            for ours, theirs in names.items():
                for kind in ("weight", "bias"):
                    found[f"{layer}{ours}.{kind}"] = get(f"{layer}{theirs}.{kind}")
    return found


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@WRITTEN_TWICE
@DTYPES
@pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])
def test_logits_and_gradients_are_those_of_nn_transformer(own, dtype, norm_first):
    model = built(own, norm_first, source_vocab_size=29).to(dtype)
    theirs = nn.Transformer(WIDTH, HEADS, 2, 3, HIDDEN, dropout=0.0, batch_first=True, norm_first=norm_first).to(dtype)
    if not norm_first:  # nn.Transformer puts a norm behind both stacks in any case
        theirs.encoder.norm = theirs.decoder.norm = None
    state = of_nn_transformer(dict(theirs.named_parameters()).__getitem__)
    finals = (
        {
            f"{stack}.final_norm.{kind}": f"{stack}.norm.{kind}"
            for stack in ("encoder", "decoder")
            for kind in ("weight", "bias")
        }
        if norm_first
        else {}
    )
    state |= {ours: dict(theirs.named_parameters())[name] for ours, name in finals.items()}
    model.load_state_dict(model.state_dict() | state)

    source, target = padded_batch()
    logits = model(source, target)
    hidden = source == PAD
    x = theirs(
        model.source_embedding(source),
        model.target_embedding(LESSON.shift_right(target, PAD)),
        tgt_mask=nn.Transformer.generate_square_subsequent_mask(target.shape[1]).isinf(),
        src_key_padding_mask=hidden,
        memory_key_padding_mask=hidden,
    )
    wanted = model.head(x)
    form = "pre-norm" if norm_first else "post-norm"
    label = f"EncoderDecoder of {'workbench.parts' if own is parts else 'the lesson'}, nn.Transformer {form}"
    witnessed("encoder_decoder", f"{label}: logits", dtype, largest([logits - wanted]))

    ours = gradients(logits, dict(model.named_parameters()))
    outer = {name: value for name, value in model.named_parameters() if not name.startswith(("encoder.", "decoder."))}
    found = gradients(wanted, dict(theirs.named_parameters()) | outer)
    expected = of_nn_transformer(found.__getitem__) | {name: found[name] for name in outer}
    expected |= {name: found[other] for name, other in finals.items()}
    assert expected.keys() == ours.keys()
    witnessed("encoder_decoder", f"{label}: gradients", dtype, largest(ours[name] - expected[name] for name in ours))


# Marian


def marian(dtype=torch.float32, seed=0, tied=True):
    """Return a small Marian with random weights: post-norm, ReLU, sines and cosines in halves, scaled embeddings.

    tied  True: embeddings and head share one table, as in Marian's checkpoints. With random weights such a model
          repeats itself; False: three large tables, which write texts of many lengths
    """
    torch.manual_seed(seed)
    config = MarianConfig(
        vocab_size=VOCAB,
        d_model=WIDTH,
        encoder_layers=2,
        decoder_layers=3,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=HIDDEN,
        decoder_ffn_dim=HIDDEN,
        activation_function="relu",
        max_position_embeddings=MAX_LEN,
        scale_embedding=True,
        dropout=0.0,
        init_std=0.2,
        pad_token_id=PAD,
        eos_token_id=EOS,
        decoder_start_token_id=PAD,
        forced_eos_token_id=None,
        tie_word_embeddings=tied,
        attn_implementation="eager",
    )
    model = MarianMTModel(config).eval().to(dtype)
    assert tied == (model.lm_head.weight is model.model.shared.weight)
    if not tied:
        with torch.no_grad():
            for table in (model.model.encoder.embed_tokens, model.model.decoder.embed_tokens, model.lm_head):
                table.weight.mul_(5)
    model.final_logits_bias.copy_(torch.linspace(1.5, -0.5, VOCAB, dtype=dtype))
    model.final_logits_bias[0, PAD] = -1e4  # as in Marian's checkpoints, which never write padding
    return model


def of_marian(get, layers=(2, 3)):
    """Return {our name: tensor} of the layers of a Marian, where `get` gives the tensor of one of its names."""
    found, attention = {}, {"q_proj": "q_proj", "k_proj": "k_proj", "v_proj": "v_proj", "out_proj": "out_proj"}
    for stack, count in zip(("encoder", "decoder"), layers, strict=True):
        for layer in (f"{stack}.layers.{index}." for index in range(count)):
            names = {"feed_forward.up_proj": "fc1", "feed_forward.down_proj": "fc2", "norm1": "self_attn_layer_norm"}
            names |= {f"self_attention.{ours}": f"self_attn.{theirs}" for ours, theirs in attention.items()}
            if stack == "decoder":
                names |= {f"cross_attention.{ours}": f"encoder_attn.{theirs}" for ours, theirs in attention.items()}
                names |= {"norm2": "encoder_attn_layer_norm", "norm3": "final_layer_norm"}
            else:
                names |= {"norm2": "final_layer_norm"}
            found |= {
                f"{layer}{ours}.{kind}": get(f"model.{layer}{theirs}.{kind}")
                for ours, theirs in names.items()
                for kind in ("weight", "bias")
            }
    return found


def with_weights_of(theirs, own):
    """Return our model with a Marian's weights.

    Its one table of token vectors (the embeddings on both sides and, if tied, the head) is copied into three tables
    of ours; the factor sqrt(d_model) that Marian puts on embeddings goes into the two embeddings' tables; its
    positions, in halves, replace our interleaved ones; its bias of the logits is the bias of our head.
    """
    model, dtype = built(own), theirs.dtype
    model.to(dtype)
    state = of_marian(dict(theirs.named_parameters()).__getitem__)
    for side, stack in (("source_embedding", theirs.model.encoder), ("target_embedding", theirs.model.decoder)):
        state[f"{side}.token.weight"] = stack.embed_tokens.weight * WIDTH**0.5
        position = next(name for name in model.state_dict() if name.startswith(f"{side}.position"))
        state[position] = stack.embed_positions.weight
    state |= {"head.weight": theirs.lm_head.weight, "head.bias": theirs.final_logits_bias[0]}
    assert state.keys() == model.state_dict().keys()
    model.load_state_dict(state)
    return model


@WRITTEN_TWICE
@DTYPES
def test_logits_and_gradients_are_those_of_marian(own, dtype):
    theirs = marian(dtype)
    model = with_weights_of(theirs, own)
    source, target = padded_batch()
    logits = model(source, target)
    wanted = theirs(input_ids=source, attention_mask=source != PAD, labels=target).logits
    label = f"EncoderDecoder of {'workbench.parts' if own is parts else 'the lesson'}, MarianMTModel"
    real = torch.arange(VOCAB) != PAD
    witnessed("encoder_decoder", f"{label}: logits", dtype, largest([(logits - wanted)[..., real]]))

    ours = gradients(logits, dict(model.named_parameters()))
    named = {name: value for name, value in theirs.named_parameters() if value.requires_grad}
    found = gradients(wanted, named)
    expected = of_marian(found.__getitem__)
    differences = [ours[name] - expected[name] for name in expected]
    # One table there, three here. Marian's embedding lets no gradient into the row of padding, with which its
    # decoder begins; that row is left out.
    tables = (ours["source_embedding.token.weight"] + ours["target_embedding.token.weight"]) * WIDTH**0.5
    differences.append((tables + ours["head.weight"] - found["model.shared.weight"])[real])
    witnessed("encoder_decoder", f"{label}: gradients", dtype, largest(differences))


@WRITTEN_TWICE
@DTYPES
def test_memory_and_attention_weights_are_those_of_marian(own, dtype):
    theirs = marian(dtype)
    model = with_weights_of(theirs, own)
    source, target = padded_batch()
    with torch.no_grad():
        memory, encoder_weights = model.encode(source)
        _, self_weights, cross_weights = model.decode(LESSON.shift_right(target, PAD), memory, source)
        wanted = theirs(input_ids=source, attention_mask=source != PAD, labels=target, output_attentions=True)
    # A padding query's own row is nobody's business; Marian computes it as well.
    pairs = [
        *zip(encoder_weights, wanted.encoder_attentions, strict=True),
        *zip(self_weights, wanted.decoder_attentions, strict=True),
        *zip(cross_weights, wanted.cross_attentions, strict=True),
        (memory, wanted.encoder_last_hidden_state),
    ]
    label = f"EncoderDecoder of {'workbench.parts' if own is parts else 'the lesson'}, MarianMTModel"
    witnessed("encoder_decoder", f"{label}: memory and weights", dtype, largest(a - b for a, b in pairs))


def texts(tokens):
    """Return rows of ids, each up to its end of sequence."""
    rows = [row.tolist() for row in tokens]
    return [row[: row.index(EOS) + 1] if EOS in row else [token for token in row if token != PAD] for row in rows]


def written_by_marian(theirs, source, **how):
    settings = GenerationConfig(
        do_sample=False,
        pad_token_id=PAD,
        eos_token_id=EOS,
        decoder_start_token_id=PAD,
        max_new_tokens=13,
        return_dict_in_generate=True,
        output_scores=True,
        **how,
    )
    return theirs.generate(input_ids=source, attention_mask=(source != PAD).long(), generation_config=settings)


@WRITTEN_TWICE
@pytest.mark.parametrize("seed", range(5))
def test_greedy_texts_are_those_of_marian(own, seed):
    theirs = marian(seed=seed, tied=False)
    model = with_weights_of(theirs, own)
    source, _ = padded_batch()
    found = texts(own.greedy_decode(model, source, PAD, EOS, PAD, max_len=13))
    assert found == texts(written_by_marian(theirs, source, num_beams=1).sequences[:, 1:])


@WRITTEN_TWICE
@pytest.mark.parametrize("num_beams, length_penalty", [(2, 0.0), (3, 1.0), (5, 0.6), (4, 2.0)])
@pytest.mark.parametrize("seed", range(3))
def test_texts_of_beam_search_are_those_of_marian(own, seed, num_beams, length_penalty):
    theirs = marian(seed=seed, tied=False)
    model = with_weights_of(theirs, own)
    source, _ = padded_batch()
    tokens, scores = own.beam_search(model, source, PAD, EOS, PAD, 13, num_beams, length_penalty)
    wanted = written_by_marian(
        theirs, source, num_beams=num_beams, length_penalty=length_penalty, early_stopping="never"
    )
    assert texts(tokens) == texts(wanted.sequences[:, 1:])
    label = f"beam_search of {'workbench.parts' if own is parts else 'the lesson'}, MarianMTModel.generate: scores"
    witnessed("encoder_decoder", label, torch.float32, (scores - wanted.sequences_scores).abs().max())


def test_the_texts_that_are_compared_differ_in_length_and_from_greedy_ones():
    lengths, better = set(), 0
    for seed in range(5):
        model = with_weights_of(marian(seed=seed, tied=False), LESSON)
        source, _ = padded_batch()
        greedy = texts(LESSON.greedy_decode(model, source, PAD, EOS, PAD, 13))
        beams = texts(LESSON.beam_search(model, source, PAD, EOS, PAD, 13, 3)[0])
        lengths |= {len(text) for text in greedy + beams}
        better += sum(one != other for one, other in zip(greedy, beams, strict=True))
    assert len(lengths) > 3 and better > 3


# What the model is not told cannot help it


def test_a_text_is_the_same_in_any_company():
    model = built(LESSON)
    source, _ = padded_batch()
    together = texts(LESSON.greedy_decode(model, source, PAD, EOS, PAD, 13))
    alone = [texts(LESSON.greedy_decode(model, row[row != PAD][None], PAD, EOS, PAD, 13))[0] for row in source]
    assert together == alone


# The decoding in which the bug is to be found

USUAL_SOURCES = {
    "there is one row only": [[3, 4, 5, 0]],
    "all rows are alike": [[3, 4, 0], [3, 4, 0]],
    "all rows end at the same step": [[3, 4, 5, 0, 0], [6, 7, 8, 0, 0]],
    "no row ends more than one step before the last": [[3, 4, 5], [6, 7, 0], [8, 9, 3]],
}
RULES = dict(bos_id=broken.BOS, eos_id=broken.EOS, pad_id=broken.PAD, max_len=13)


def test_the_copier_writes_its_source_and_begins_again_after_the_end():
    source = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 0, 0, 0], [0, 0, 0, 0, 0]])
    texts = LESSON.greedy_decode(broken.Copier(), source, **RULES)
    assert texts.tolist() == [[3, 4, 5, 6, 7, 2], [8, 9, 2, 0, 0, 0], [2, 0, 0, 0, 0, 0]]
    tokens = torch.tensor([[1, 8, 9, 2]])
    assert broken.Copier().decode(tokens, source[1:2], source[1:2])[0].argmax(-1).tolist() == [[8, 9, 2, 8]]


@pytest.mark.parametrize("reason", USUAL_SOURCES)
def test_the_bug_stays_hidden_on_usual_sources_and_the_probe_knows_why(reason):
    source = torch.tensor(USUAL_SOURCES[reason])
    right, wrong = (
        decode(broken.Copier(), source, **RULES) for decode in (LESSON.greedy_decode, broken.broken_greedy_decode)
    )
    assert torch.equal(right, wrong)
    assert encoder_decoder_probes._effect(source) == f"is right: {reason}"


@pytest.mark.parametrize("source", [[[3, 4, 5, 6], [7, 8, 0, 0]], [[0, 0], [3, 4]], [[9, 0, 0], [3, 4, 5]]])
def test_the_bug_shows_where_a_row_ends_two_steps_before_the_last(source):
    source = torch.tensor(source)
    right, wrong = (
        decode(broken.Copier(), source, **RULES) for decode in (LESSON.greedy_decode, broken.broken_greedy_decode)
    )
    assert not torch.equal(right, wrong)
    assert encoder_decoder_probes._effect(source) == "writes a wrong text"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "3456",
        5,
        [[3, 4]],
        torch.tensor([3, 4]),
        torch.ones(2, 3),
        torch.zeros(2, 0).long(),
        torch.full((2, 21), 3),
        torch.full((101, 2), 3),
        torch.tensor([[3, 10]]),
        torch.tensor([[3, -1]]),
        torch.tensor([[1, 3, 2]]),
        torch.tensor([[0, 3]]),
        torch.tensor([[True, False]]),
    ],
    ids=lambda answer: str(getattr(answer, "shape", answer))[:20],
)
def test_what_cannot_be_a_source_is_told_and_never_run(answer):
    assert encoder_decoder_probes._misfit(answer)
