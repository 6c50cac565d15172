"""What a trained model shows is compared in meaning; every other output to the letter, pictures by their pixels."""

import base64
import copy
import io

import matplotlib
import nbformat
import pytest
import torch
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_notebook, new_output

from autograder.notebooks import meaning
from workbench import views

LINES = "your model: loss 0.250 after 300 steps\n  held out: 97.5% right, drift -0.02\n2 x 4 heads, none beyond 4e+05\n"


def said(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def drawn(colour="white", size=(2, 1), **metadata):
    """Return an output that shows a picture in one colour."""
    file = io.BytesIO()
    Figure(figsize=size, facecolor=colour).savefig(file, format="png")
    data = {"image/png": base64.b64encode(file.getvalue()).decode(), "text/plain": "A picture."}
    return new_output("display_data", data=data, metadata=metadata)


def seen(seed=3, tokens="abcde", heads=2, end="."):
    """Return an output that shows an interactive view of random weights."""
    numbers = torch.Generator().manual_seed(seed)
    weights = [torch.randn(1, heads, 5, 5, generator=numbers).softmax(-1) for _ in range(2)]
    view = views.head_view(weights, list(tokens), html_action="return")
    return new_output("display_data", data={"text/html": view.html, "text/plain": repr(view)[:-1] + end})


VIEWED = "in layer .*? gives .*? [01][.][0-9]+"


def differences(stored, fresh, trained=""):
    """Return how the outputs of a cell differ; trained=None: of a cell that is not marked."""
    cell = new_code_cell("demo()", metadata=meaning.metadata(trained))
    return meaning.differences(cell, stored, fresh)


SAME = {
    "a number within 2 percent": ("0.250", "0.254"),
    "a whole number within 2 percent": ("300", "305"),
    "a number that got a digit more": ("97.5%", "98.98%"),
    "a number near 0, by its last digit": ("-0.02", "-0.03"),
    "an exponent, by its only digit": ("4e+05", "5e+05"),
    "other blanks, as columns are as wide as numbers": ("held out: 97.5%", "held out:  97.5%"),
}


@pytest.mark.parametrize("case", SAME)
def test_a_trained_model_may_print_numbers_that_are_near(case):
    assert LINES.count(SAME[case][0]) == 1
    assert differences([said(LINES)], [said(LINES.replace(*SAME[case]))]) == []


OTHER = {
    "another word": ("right", "wrong"),
    "a word more": ("held out", "all held out"),
    "a word that ran into a number": ("loss 0.250", "loss0.250"),
    "a number off by 3 percent": ("0.250", "0.258"),
    "a whole number off by 3 percent": ("300", "309"),
    "another small number of things": ("2 x 4", "3 x 4"),
    "a number near 0, by two of its last digits": ("-0.02", "0.00"),
    "another power of ten": ("4e+05", "4e+06"),
    "nan": ("0.250", "nan"),
    "a number less": ("2 x 4 heads", "4 heads"),
    "one row less": ("  held out: 97.5% right, drift -0.02\n", ""),
    "one row more": ("2 x 4", "and\n2 x 4"),
}


@pytest.mark.parametrize("case", OTHER)
def test_a_trained_model_may_not_print_anything_else(case):
    assert LINES.count(OTHER[case][0]) == 1
    (fault,) = differences([said(LINES)], [said(LINES.replace(*OTHER[case]))])
    assert fault.startswith("stdout: ")


@pytest.mark.parametrize(
    "fresh",
    [
        [],
        [said(LINES)],
        [said(LINES), drawn(), drawn()],
        [drawn(), said(LINES)],
        [said(LINES, "stderr"), drawn()],
        [said(LINES), new_output("display_data", data={"image/png": drawn().data["image/png"]})],
        [said(LINES), new_output("execute_result", data=dict(drawn().data))],
    ],
    ids=["nothing", "no picture", "two pictures", "another order", "stderr", "a picture without words", "a result"],
)
def test_outputs_of_another_number_or_kind_are_another_output(fresh):
    stored = [said(LINES), drawn()]
    assert differences(stored, stored) == []
    (fault,) = differences(stored, fresh)
    assert fault.startswith("the outputs are ") and fault.endswith(
        "but the stored ones are stream stdout; display_data image/png text/plain"
    )


def test_a_picture_of_a_trained_model_may_show_other_numbers_in_the_same_size():
    assert differences([drawn("white")], [drawn("black")]) == []
    assert differences([drawn()], [drawn(size=(2, 2))]) == [
        "image/png: a picture of (200, 200) pixels, but the stored one has (100, 200)"
    ]
    (fault,) = differences([drawn(alt="Loss falls.")], [drawn(alt="Loss rises.")])
    assert fault.startswith("metadata: ")


def test_what_a_model_writes_may_be_anything_as_long_as_it_is_there():
    line = "3 may 1979 is 1979-05-03, and your model writes 1979-{}\n"
    stored, fresh = said(line.format("05-03") * 2), said(line.format("12-11") * 2)
    assert differences([stored], [fresh], "model writes .*") == []
    assert differences([stored], [fresh], "") != []
    for second in ("", "3 may 1979 is 1979-05-03\n", line.format("05-03").replace("may", "july")):
        assert differences([stored], [said(line.format("05-03") + second)], "model writes .*") != []


def test_a_view_may_hold_other_weights_of_the_same_heads_and_words():
    assert seen(3).data["text/plain"] != seen(5).data["text/plain"]
    assert differences([seen(3)], [seen(5)], VIEWED) == []
    assert differences([seen(3)], [seen(5)], "") != []
    for other in (seen(5, tokens="abcdx"), seen(5, heads=3), seen(5, end="!")):
        assert differences([seen(3)], [other], VIEWED) != []


def test_what_may_be_anything_hides_no_picture_that_is_missing():
    picture = f'<img src="data:image/png;base64,{drawn().data["image/png"]}">'
    assert meaning.text_differs(f"drawn: {picture}", f"drawn: {picture}", "drawn: .*") == ""
    assert meaning.text_differs(f"drawn: {picture}", "drawn: none", "drawn: .*") == "0 packed parts, but 1 stored"


def test_another_script_makes_another_view(monkeypatch):
    stored = seen(3)
    monkeypatch.setattr("workbench.views.bertviz.scripts", lambda view: ("", "attentionView.draw = () => {};"))
    assert differences([stored], [seen(3)], VIEWED) == ["text/html: another interactive view"]


def test_every_other_cell_is_compared_to_the_letter():
    assert differences([said(LINES)], [said(LINES)], None) == []
    for old, new in SAME.values():
        assert differences([said(LINES)], [said(LINES.replace(old, new))], None) != []
    assert differences([seen(3)], [seen(3)], None) == []
    assert differences([seen(3)], [seen(5)], None) != []


def test_a_picture_of_every_other_cell_may_differ_by_what_the_eye_cannot_see():
    assert differences([drawn("#ffffff")], [drawn("#fefdff")], None) == []
    for other in (drawn("#ffffee"), drawn("black"), drawn(size=(2, 2))):
        (fault,) = differences([drawn("#ffffff")], [other], None)
        assert fault.startswith("image/png: ")


def test_the_bytes_of_a_picture_may_be_others(monkeypatch):
    stored = drawn()
    monkeypatch.setattr(matplotlib, "__version__", "another")  # matplotlib writes it into the file
    assert drawn().data["image/png"] != stored.data["image/png"]
    assert differences([stored], [drawn()], None) == []


def test_a_notebook_says_the_same_only_with_the_same_cells_and_marks():
    cell = new_code_cell("demo()", metadata=meaning.metadata(""), outputs=[said(LINES)], execution_count=1, id="demo")
    stored = new_notebook(cells=[cell], metadata={"number": 7})
    near = copy.deepcopy(stored)
    near.cells[0].outputs = [said(LINES.replace("0.250", "0.251"))]
    assert meaning.same_notebook(stored, near)

    def changed(change):
        other = copy.deepcopy(near)
        change(other)
        return not meaning.same_notebook(stored, nbformat.from_dict(other))

    assert changed(lambda notebook: notebook.cells[0].outputs.clear())
    assert changed(lambda notebook: notebook.cells[0].update(source="demo(2)"))
    assert changed(lambda notebook: notebook.cells[0].update(metadata={}))
    assert changed(lambda notebook: notebook.cells[0].update(id="other"))
    assert changed(lambda notebook: notebook.cells.append(notebook.cells[0]))
    assert changed(lambda notebook: notebook.metadata.update(number=8))


@pytest.mark.parametrize(
    ("trained", "tags", "varies"),
    [
        (None, None, None),
        ("", ["trained", "nbval-ignore-output"], None),
        ("a.*", ["trained", "nbval-ignore-output"], {"varies": "a.*"}),
    ],
)
def test_the_mark_is_a_tag_that_nbval_knows_too(trained, tags, varies):
    made = meaning.metadata(trained)
    assert (made.get("tags"), made.get("transformer_taxonomy")) == (tags, varies)
    assert meaning.is_trained(new_code_cell(metadata=made)) == (trained is not None)
