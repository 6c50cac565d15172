"""The parts of many lessons make one transformer, whosever they are; a wrong one is found by switching."""

import json
import shutil

import lessons
import pytest
import torch

from autograder import assemble as assembling
from autograder.assemble import PARTS, AssemblyError, assemble
from autograder.authoring import recorder
from autograder.authoring.lesson import BEGIN, END
from workbench import parts as boxes

torch.set_num_threads(1)
SOLUTIONS = lessons.REPOSITORY / "solutions"
# Parts that no encoder, decoder or model is made of, and mask_tokens, whose draws nobody prescribes.
APART = {
    "scaled_dot_product_attention",
    "SelfAttention",
    "RelativeSelfAttention",
    "ResidualConnection",
    "sliding_window_mask",
    "mask_tokens",
}


@pytest.fixture(scope="module")
def reference():
    return assemble({"reference": SOLUTIONS}, check=False)


@pytest.fixture(scope="module")
def trial(reference):
    """The lessons, loaded once for all tests that try many choices."""
    return assembling.Wiring(reference._sources)


def differs(trial, origins):
    """Return what is first seen to differ from the boxes' models if the parts have these origins, or None."""
    return assembling.difference(assembling.observed(trial.connect(origins)), assembling.of_the_boxes())


def skeleton(text):
    """Return a lesson text as a learner gets it: the solutions are replaced by the error of an unsolved exercise."""
    lines, inside = [], False
    for line in text.split("\n"):
        if line.strip() in (BEGIN, END):
            inside = line.strip() == BEGIN
            if inside:
                lines.append(line.replace(BEGIN, 'raise NotImplementedError("this is not solved yet")'))
        elif not inside:
            lines.append(line)
    return "\n".join(lines)


def notebook(*sources):
    cells = [
        {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
        for source in sources
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4})


def write(folder, lesson, *sources):
    path = folder / f"01_{lesson}" / f"{lesson}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(notebook(*sources), encoding="utf-8")
    return path


# Right parts


def test_every_lesson_text_gives_its_parts(reference):
    assert set(reference.choices.values()) == {"reference"} and list(reference.choices) == list(PARTS)
    assert set(PARTS) <= set(boxes.__all__)


@pytest.mark.parametrize("part", PARTS)
def test_any_right_part_can_be_exchanged(trial, part):
    for one, others in (("box", "reference"), ("reference", "box")):
        assert differs(trial, dict.fromkeys(PARTS, others) | {part: one}) is None


def test_a_switch_to_a_right_part_changes_no_number(reference):
    assert reference.switch("MultiHeadAttention", "box").agrees() and reference.agrees()
    assert assemble(
        {"reference": SOLUTIONS}, dict.fromkeys(PARTS, "box") | {"Encoder": "reference"}, check=False
    ).agrees()


def test_what_is_observed_of_right_parts_is_no_error(reference):
    assert not [value for values in reference.observe().values() for value in values if isinstance(value, str)]


@pytest.mark.parametrize(
    "choices, wanted",
    [
        ({}, {"Encoder": "reference", "EncoderLayer": "reference", "MultiHeadAttention": "reference"}),
        ({"EncoderLayer": "box"}, {"Encoder": "reference", "EncoderLayer": "box", "MultiHeadAttention": "reference"}),
        ({"Encoder": "box"}, {"Encoder": "box", "EncoderLayer": "reference", "MultiHeadAttention": "reference"}),
        ({"MultiHeadAttention": "box", "LayerNorm": "box"}, {"Encoder": "reference", "MultiHeadAttention": "box"}),
    ],
)
def test_a_model_is_made_of_the_parts_that_were_chosen(choices, wanted):
    chosen = assemble({"reference": SOLUTIONS}, choices, check=False)
    model = chosen.encoder(2, 12, 3, 17, norm_first=True)
    made = {
        "Encoder": model,
        "EncoderLayer": model.layers[1],
        "MultiHeadAttention": model.layers[1].self_attention,
        "LayerNorm": model.layers[1].norm2,
    }
    for name, part in made.items():
        by = "workbench.parts" in type(part).__module__ or type(part) is torch.nn.LayerNorm
        assert ("box" if by else "reference") == chosen.choices[name]
    assert wanted.items() <= chosen.choices.items()


def test_the_norms_of_a_model_are_those_of_lesson_9(reference):
    for eps in (None, 1e-12):
        model = reference.build("Encoder", 2, 12, 3, 17, norm_first=True, norm_eps=eps)
        norms = [module for name, module in model.named_modules() if "norm" in name]
        assert len(norms) == 5 and {type(norm) for norm in norms} == {reference["LayerNorm"]}
        assert {norm.eps for norm in norms} == {eps or 1e-5}
    with_boxes = reference.switch("LayerNorm", "box").build("Encoder", 2, 12, 3, 17, norm_eps=1e-12)
    assert type(with_boxes.layers[0].norm1).__module__ != reference["LayerNorm"].__module__
    assert with_boxes.layers[0].norm1.eps == 1e-12


def test_a_norm_in_two_places_stays_one(reference):
    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = self.second = torch.nn.LayerNorm(5)

    assembly = reference.switch("FeedForward", Twice)
    model = assembly.build("FeedForward")
    assert model.first is model.second and type(model.first) is assembly["LayerNorm"]


def test_a_switch_makes_another_assembly_and_leaves_this_one(reference):
    before = reference.encoder(1, 12, 3, 17)
    switched = reference.switch("EncoderLayer", "box")
    after = reference.encoder(1, 12, 3, 17)
    assert type(before.layers[0]) is type(after.layers[0]) is reference["EncoderLayer"]
    assert type(switched.encoder(1, 12, 3, 17).layers[0]) is switched["EncoderLayer"] is not reference["EncoderLayer"]
    assert boxes.Encoder(1, 12, 3, 17).layers[0].__class__ is boxes.EncoderLayer


def test_all_models_can_be_built(reference):
    assert reference.decoder(1, 12, 3, 17)(torch.zeros(2, 5, 12))[0].shape == (2, 5, 12)
    assert reference.classifier(23, 12, 3, 17, 1, 7, 5, 0)(torch.ones(2, 5, dtype=torch.long))[0].shape == (2, 5)
    assert reference.language_model(23, 12, 3, 17, 1, 7)(torch.ones(2, 5, dtype=torch.long))[0].shape == (2, 5, 23)
    tokens = torch.ones(2, 5, dtype=torch.long)
    assert reference.encoder_decoder(23, 29, 12, 3, 17, 2, 1, 7, 0, 1)(tokens, tokens).shape == (2, 5, 29)


# Wrong parts


@pytest.mark.parametrize("part", [part for part in PARTS if part not in APART])
def test_a_wrong_part_is_found_by_switching(reference, trial, part):
    wrongs = lessons.catalogue(PARTS[part]).singles(part)
    seen = (wrong for wrong in wrongs if differs(trial, dict.fromkeys(PARTS, "reference") | {part: wrong.call}))
    wrong = next(seen)  # some mistakes show in a check only: another type of error, dropout, an argument changed
    broken = reference.switch(part, wrong.call)
    assert broken.choices[part] == "given" and not broken.agrees()
    assert part in broken.suspects().parts, wrong.mistakes
    assert broken.switch(part, "reference").agrees()


def test_two_wrong_parts_are_found_together(reference):
    broken = reference.switch("merge_heads", lambda x: x.flatten(2)).switch(
        "causal_mask", lambda queries, keys=None: torch.ones(queries, keys or queries, dtype=torch.bool)
    )
    found = broken.suspects()
    assert set(found.parts) == {"merge_heads", "causal_mask"} and "together" in found.says


def test_nobody_is_suspected_of_right_numbers(reference):
    assert reference.suspects().parts == ()


# A learner's notebooks


def test_a_course_of_skeletons_is_all_boxes_and_works(tmp_path):
    for lesson in assembling.LESSONS:
        (tmp_path / f"{lesson}.py").write_text(skeleton((SOLUTIONS / f"{lesson}.py").read_text()), encoding="utf-8")
    for check in (True, False):
        assembly = assemble(tmp_path, check=check)
        assert set(assembly.choices.values()) == {"box"} and set(assembly.reasons.values()) == {"not solved yet"}
        assert assembly.agrees()
    assert assembly.switch("Encoder", "learner").choices["Encoder"] == "box"


def test_without_a_place_the_lessons_beside_the_one_that_runs_are_taken(tmp_path, monkeypatch):
    write(tmp_path, "multi_head_attention", SPLIT.format(RIGHT))
    beside = tmp_path / "11_visualizing_attention"
    beside.mkdir()
    monkeypatch.chdir(beside)
    assert assemble(check=False).choices["split_heads"] == "learner"
    monkeypatch.chdir(SOLUTIONS.parent)  # not in a lesson's folder: those of the course
    assert "not solved yet" in assemble(check=False).reasons["split_heads"]
    alone = tmp_path / "nothing" / "here"
    alone.mkdir(parents=True)
    monkeypatch.chdir(alone)
    boxes_only = assemble()
    assert set(boxes_only.choices.values()) == {"box"} and boxes_only.agrees()
    assert "no lesson encoder" in boxes_only.reasons["Encoder"]


def test_solved_notebooks_give_what_the_lesson_texts_give():
    folder = SOLUTIONS / "notebooks"
    solved = {lesson for lesson in assembling.LESSONS if list(folder.glob(f"*_{lesson}/{lesson}.ipynb"))}
    assembly = assemble(folder, check=False)
    assert {PARTS[part] for part, whose in assembly.choices.items() if whose == "learner"} == solved != set()
    assert not any(part in assembly.reasons for part, lesson in PARTS.items() if lesson in solved)
    assert assembly.agrees()


SPLIT = "import torch\ndef split_heads(x, num_heads):\n    {}"
RIGHT = "return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)"
WRONG = (
    "if x.shape[-1] % num_heads:\n        raise ValueError(f'{x.shape[-1]} {num_heads}')\n"
    "    return x.reshape(x.shape[0], num_heads, x.shape[1], -1)"
)


@pytest.fixture
def recorded(tmp_path):
    """A folder of recorded answers with two exercises of lesson 8."""
    lesson = lessons.read("multi_head_attention")
    for name in ("split_heads", "merge_heads"):
        record = recorder.record(
            lesson,
            lesson.exercises[name],
            vars(lessons.reference(lesson.name))[name],
            lessons.catalogue(lesson.name),
            pairs=False,
        )
        recorder.write(record, tmp_path / "recorded")
    return tmp_path / "recorded"


def test_a_box_stands_for_what_fails_its_check_and_the_table_says_why(tmp_path, recorded):
    write(
        tmp_path,
        "multi_head_attention",
        "print('no experiment is run'); 1 / 0",
        "from workbench.parts import *",
        SPLIT.format(WRONG),
        "def merge_heads(x):\n    return x.transpose(1, 2).flatten(2)",
        "class MultiHeadAttention(torch.nn.Module):\n    def __init__(self, *sizes):\n"
        "        raise NotImplementedError('MultiHeadAttention is not solved yet')",
        "def GroupedQuery(:",
    )
    assembly = assemble(tmp_path, recorded=recorded)
    assert assembly.choices["merge_heads"] == "learner" and assembly.choices["split_heads"] == "box"
    assert "split without the transpose" in assembly.reasons["split_heads"]
    assert assembly.reasons["MultiHeadAttention"] == "not solved yet"
    assert "cell 6" in assembly.reasons["GroupedQueryAttention"]
    assert "no lesson encoder among" in assembly.reasons["Encoder"]
    assert assembly.agrees()
    for shown in (repr(assembly), assembly._repr_html_()):
        assert "1 learner" in shown and "not solved yet" in shown and "merge_heads" in shown


def test_a_wrong_answer_is_taken_if_it_is_asked_for_and_then_suspected(tmp_path, recorded):
    write(tmp_path, "multi_head_attention", SPLIT.format(WRONG))
    assembly = assemble(tmp_path, {"split_heads": "learner"}, recorded=recorded)
    assert assembly.choices["split_heads"] == "learner" and "not right" in assembly.reasons["split_heads"]
    assert assembly.suspects().parts == ("split_heads",)
    assert assembly.switch("split_heads", "box").agrees()


def test_what_was_not_recorded_cannot_be_checked_and_is_not_used(tmp_path):
    write(tmp_path, "multi_head_attention", SPLIT.format(RIGHT))
    assembly = assemble(tmp_path, recorded=tmp_path / "nothing")
    assert assembly.choices["split_heads"] == "box" and "autograder record" in assembly.reasons["split_heads"]


def test_the_first_lessons_that_have_a_part_right_give_it(tmp_path, recorded):
    write(tmp_path, "multi_head_attention", SPLIT.format(RIGHT), "def merge_heads(x):\n    return x.flatten(2)")
    assembly = assemble({"mine": tmp_path, "reference": SOLUTIONS}, {"EncoderLayer": "box"}, check=False)
    assert assembly.choices["split_heads"] == assembly.choices["merge_heads"] == "mine"
    assert assembly.choices["Encoder"] == "reference" and assembly.choices["EncoderLayer"] == "box"
    assert assembly.suspects().parts == ("merge_heads",)
    assert assembly.switch("merge_heads", "reference").agrees()


def test_parts_are_found_under_any_name_that_a_lesson_gives_them(tmp_path):
    encoder = (SOLUTIONS / "encoder.py").read_text()
    for old, new in (
        ("from workbench.parts import MultiHeadAttention", "from workbench import parts"),
        ("from workbench.parts import MultiHeadAttention", "from workbench.parts import MultiHeadAttention as Heads"),
    ):
        text = encoder.replace(old, new)
        name = "parts.MultiHeadAttention" if new.endswith("parts") else "Heads"
        (tmp_path / "encoder.py").write_text(text.replace("= MultiHeadAttention(", f"= {name}("), encoding="utf-8")
        assembly = assemble({"mine": tmp_path, "reference": SOLUTIONS}, check=False)
        layer = assembly.encoder(1, 12, 3, 17).layers[0]
        assert assembly.choices["EncoderLayer"] == "mine"
        assert type(layer.self_attention) is assembly["MultiHeadAttention"]
        assert assembly["MultiHeadAttention"].__module__.startswith("multi_head_attention")


def test_a_part_that_is_not_defined_is_a_box_for_the_others_of_its_lesson(tmp_path):
    text = (SOLUTIONS / "multi_head_attention.py").read_text()
    write(tmp_path, "multi_head_attention", text.replace("def split_heads(", "def split_my_heads("))
    assembly = assemble(tmp_path, check=False)
    assert assembly.choices["split_heads"] == "box" and assembly.choices["MultiHeadAttention"] == "learner"
    assert assembly.agrees()


def test_a_lesson_that_cannot_be_loaded_gives_way_to_the_boxes(tmp_path):
    (tmp_path / "encoder.py").write_text("import nothing_of_this_name\n", encoding="utf-8")
    (tmp_path / "decoder.py").write_text("def causal_mask(:\n", encoding="utf-8")
    assembly = assemble(tmp_path)
    assert "nothing_of_this_name" in assembly.reasons["Encoder"] and "SyntaxError" in assembly.reasons["causal_mask"]
    assert set(assembly.choices.values()) == {"box"} and assembly.agrees()


# Errors


def test_an_error_names_the_place_the_fact_and_the_remedy(tmp_path, reference):
    with pytest.raises(AssemblyError, match="this folder holds no lesson; give the one"):
        assemble(tmp_path)
    with pytest.raises(AssemblyError, match="there is no such file or folder; give"):
        assemble(tmp_path / "nowhere")
    (tmp_path / "poem.py").write_text("")
    with pytest.raises(AssemblyError, match="this is not a lesson with parts; choose from"):
        assemble([tmp_path / "poem.py"])
    with pytest.raises(AssemblyError, match="there is no part 'Layernorm'; did you mean 'LayerNorm'"):
        reference.switch("Layernorm", "box")
    with pytest.raises(AssemblyError, match="there is no choice of a part 'boxes'; did you mean 'box'"):
        reference.switch("LayerNorm", "boxes")
    with pytest.raises(AssemblyError, match="cannot be called 'box'"):
        assemble({"box": SOLUTIONS})
    first = write(tmp_path, "encoder", "1")
    shutil.copytree(first.parent, tmp_path / "02_encoder")
    with pytest.raises(AssemblyError, match="are the same lesson; remove one"):
        assemble(tmp_path)
