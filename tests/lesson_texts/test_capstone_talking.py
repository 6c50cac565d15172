"""Cache, prompt and stream give what transformers and Python's own decoder give; the model talks through all three."""

import codecs
import os
import random

import lessons
import pytest
import torch
from transformers import AutoTokenizer, DynamicCache

from autograder.assemble import assemble
from workbench import smollm2
from workbench.pretrained import PretrainedError

torch.set_num_threads(1)
OURS = lessons.reference("capstone")
CACHES = {"reference": OURS.KeyValueCache, "box": smollm2.KeyValueCache} | dict(
    lessons.alternatives("capstone").of("KeyValueCache")
)
STREAMS = {"reference": OURS.stream_text} | dict(lessons.alternatives("capstone").of("stream_text"))


@pytest.mark.parametrize("name", CACHES)
def test_a_cache_holds_what_that_of_transformers_holds(name):
    ours, theirs, read = CACHES[name](23), DynamicCache(), 0
    for time in (5, 1, 1, 7):
        key, value = torch.rand(2, 3, time, 11), torch.rand(2, 3, time, 11)
        assert ours.positions(time).tolist() == list(range(read, read + time))
        expected = theirs.update(key, value, 0)
        for one, other in zip(ours.append(key, value), expected, strict=True):
            assert torch.equal(one, other)
        read += time
    with pytest.raises(ValueError, match="23"):
        ours.append(*torch.rand(2, 2, 3, 10, 11))
    assert ours.positions(1).tolist() == [14]


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_shows_what_pythons_own_decoder_shows(name):
    """Tokens of random bytes, most of them parts of characters, against `codecs.getincrementaldecoder`."""
    draw = random.Random(7)
    for _ in range(300):
        text = "".join(draw.choice(["a", " ", "é", "€", "語", "🙂", "\ufffd", "\u0301"]) for _ in range(9)).encode()
        if draw.random() < 0.5:  # wrong bytes as well
            place = draw.randrange(len(text))
            text = text[:place] + bytes([draw.choice([0x80, 0xBF, 0xC3, 0xE2, 0xF0])]) + text[place + 1 :]
        cuts = sorted(draw.sample(range(1, len(text)), 5))
        tokens = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        shown = []
        STREAMS[name](iter(range(len(tokens))), tokens, shown.append)
        assert "".join(shown) == text.decode("utf-8", errors="replace") and "" not in shown
        try:
            text.decode()
        except UnicodeDecodeError:
            continue  # where bytes are wrong, when they are shown is open
        decoder = codecs.getincrementaldecoder("utf-8")()
        assert shown == [piece for token in tokens if (piece := decoder.decode(token))]


@pytest.fixture(scope="module")
def tokenizer():
    """SmolLM2's tokenizer with its chat template, as transformers makes it of the same file."""
    try:
        file = smollm2.path()
        __import__("gguf")
    except (PretrainedError, ImportError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the weights are not installed: make weights ({error})")
    return AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)


TALK = [
    {"role": "user", "content": "What is gravity?"},
    {"role": "assistant", "content": "A force.\n\nIt pulls."},
    {"role": "user", "content": " Are you sure? 🙂 "},
]


def test_a_prompt_is_the_one_that_the_model_was_trained_with(tokenizer):
    def encode(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    for messages in (TALK[:1], TALK, [{"role": "system", "content": "Be brief."}, *TALK]):
        expected = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        for prompt in [OURS.chat_prompt, *dict(lessons.alternatives("capstone").of("chat_prompt")).values()]:
            assert prompt(messages, encode, smollm2.START, smollm2.END).tolist() == [expected]


def test_smollm2_answers_in_the_parts_of_the_lessons(tokenizer, capsys):
    def encode(text):
        return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]

    spelled = [tokenizer.decode([number]).encode() for number in range(len(tokenizer))]
    model = smollm2.load(assemble({"reference": lessons.REPOSITORY / "solutions"}, check=False))
    messages = smollm2.chat(
        model,
        lambda messages: OURS.chat_prompt(messages, encode, smollm2.START, smollm2.END),
        lambda ids, show: OURS.stream_text(ids, spelled, show),
        ["What is the capital of France?", "And of Italy?"],
        cache=OURS.KeyValueCache,
        max_new_tokens=20,
    )
    assert messages[1]["content"] == "The capital of France is Paris."
    assert messages[3]["content"] == "The capital of Italy is Rome."
    assert "SmolLM2: The capital of France is Paris.\n" in capsys.readouterr().out
