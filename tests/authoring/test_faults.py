"""What is wrong with probes, mistakes and alternatives is told with file, line and remedy, before anything is slow."""

import re
import shutil

import lessons
import own_lesson
import pytest

from autograder import __main__ as command
from autograder.authoring import faults, record
from autograder.authoring.lesson import LessonError
from autograder.diagnosing import records

TWICE = """
@mistake("mean", symptom="S.", cause="C.", place="P.")
def one_mean_again(x):
    return x.mean()
"""
UNCHANGED = "unchanged(seen, component(x=numbers.tensor(*numbers.axes(3, 7))))"
LAST = "    with_no_gradient -= mean\n    return x - 0\n"
# what is wrong -> (which file, text, what is written instead, text of the line that is blamed, words of the message)
FAULTY = {
    "probes: syntax": (
        "probes",
        "zero(component, numbers, seen):",
        "zero(component, numbers, seen)",
        "def rows_lie",
        "this is not Python: expected ':'; correct it",
    ),
    "probes: a name": (
        "probes",
        "numbers.tensor(*numbers.axes(*leading, 7))",
        "number.tensor(*leading, 7)",
        "number.tensor",
        "NameError: name 'number' is not defined",
    ),
    "probes: an import": (
        "probes",
        "from . import probe",
        "from . import prob",
        "from . import prob",
        "ImportError: cannot import name 'prob'",
    ),
    "probes: a module": (
        "probes",
        "from . import probe",
        "import einopps\nfrom . import probe",
        "import einopps",
        "there is no module 'einopps'; install it, or correct the name",
    ),
    "probes: an exception": (
        "probes",
        "    seen.gradients(component(",
        "    1 / 0\n    seen.gradients(component(",
        "1 / 0",
        "ZeroDivisionError: division by zero; correct it",
    ),
    "probes: an argument": (
        "probes",
        '"gradients reach x")',
        '"gradients reach x", choose=True)',
        "choose=True",
        "@probe has no argument 'choose'; write 'chooses'",
    ),
    "probes: no sentence": ("probes", '"gradients reach x"', '" "', '" "', "needs the name of its exercise and a sent"),
    "probes: nothing but a name": (
        "probes",
        '@probe("EXERCISE", "gradients reach x")',
        '@probe("EXERCISE")',
        '@probe("EXERCISE")',
        "@probe lacks 'sentence'; add it",
    ),
    "probes: noted twice": (
        "probes",
        'f"{len(leading) + 1} axes"',
        '""',
        "see_output(",
        "observation 'answer' was noted twice; give each call its own label=",
    ),
    "probes: unknown exercise": (
        "probes",
        '@probe("EXERCISE", "gradients',
        '@probe("EXERCSE", "gradients',
        '@probe("EXERCSE"',
        "probe 'gradients_arrive' names the unknown exercise",
    ),
    "probes: arguments": (
        "probes",
        "arrive(component, numbers, seen)",
        "arrive(component, seen)",
        "gradients reach x",
        "takes (component, seen); write def gradients_arrive(component, numbers, seen)",
    ),
    "probes: a name twice": (
        "probes",
        "def gradients_arrive",
        "def rows_lie_around_zero",
        "gradients reach x",
        "has a probe 'rows_lie_around_zero' already; choose another name",
    ),
    "probes: a keyword of the call": (
        "probes",
        "gradients=True",
        "gradient=True",
        "gradient=True",
        "called like this, the reference raises TypeError",
    ),
    "probes: a keyword of numbers": (
        "probes",
        "numbers.tensor(*numbers.axes(*leading, 7))",
        "numbers.tensor(*numbers.axes(*leading, 7), hihg=3)",
        "hihg",
        "tensor() has no argument 'hihg'",
    ),
    "probes: a number": (
        "probes",
        "seen.gradients(component(",
        'seen.note("axes", 2)\n    seen.gradients(component(',
        '"gradients reach x"',
        "probe 'gradients_arrive' notes a value of type int as 'axes'; note a tensor, or a string such as",
    ),
    "probes: no mistake fails it": (
        "probes",
        '@probe("EXERCISE", "x is not changed")',
        '@probe("EXERCISE", "a batch may be empty")\ndef empty_batches(component, numbers, seen):\n'
        '    seen.see(component(x=numbers.tensor(0, 7)), "rows")\n\n\n@probe("EXERCISE", "x is not changed")',
        "a batch may be empty",
        "probe 'empty_batches' is failed by no mistake of 'EXERCISE'; write one that it shows, or remove the probe",
    ),
    "mistakes: syntax": ("mistakes", "return x - mean", "return x -", "return x -", "this is not Python"),
    "mistakes: an import": (
        "mistakes",
        "return x.mean()",
        "return torch.mean(x)",
        '@mistake("mean"',
        "(mean: one_mean_for_everything)' raises NameError: name 'torch' is not defined, in line",
    ),
    "mistakes: an import of a right step": (
        "mistakes",
        "return x - mean",
        "return torch.sub(x, mean)",
        '@component("mean"',
        "'EXERCISE' made of the right steps in mistakes/ raises NameError: name 'torch' is not defined, in line",
    ),
    "mistakes: no catalogue": (
        "mistakes",
        "catalogue = Catalogue()\nstep",
        "step",
        "step, component",
        "NameError: name 'catalogue' is not defined",
    ),
    "mistakes: unknown step": (
        "mistakes",
        '@mistake("subtract",',
        '@mistake("subtrcat",',
        '@mistake("subtrcat"',
        "'subtracted_in_place' replaces the unknown step 'subtrcat'; choose from mean, subtract, EXERCISE",
    ),
    "mistakes: unknown step of a component": (
        "mistakes",
        '@component("mean", "subtract")',
        '@component("mean", "sub")',
        '@component("mean", "sub")',
        "uses the unknown step 'sub'",
    ),
    "mistakes: an argument": (
        "mistakes",
        'symptom="The result',
        'simptom="The result',
        '@mistake("subtract"',
        "@mistake has no argument 'simptom'; write 'symptom'",
    ),
    "mistakes: no sentence": (
        "mistakes",
        'symptom="The result is right, and x has changed."',
        'symptom=""',
        '@mistake("subtract"',
        "mistake 'subtracted_in_place' has no symptom; write symptom=",
    ),
    "mistakes: a sentence is missing": (
        "mistakes",
        'symptom="The result is right, and x has changed.",',
        "",
        '@mistake("subtract"',
        "@mistake lacks 'symptom'; add it",
    ),
    "mistakes: a claim about no probe": (
        "mistakes",
        '("x_stays_as_it_was", "differ")',
        '("x_stays", "differ")',
        '@mistake("subtract"',
        "shows= of mistake 'subtracted_in_place': 'x_stays' is no probe of this lesson; choose from",
    ),
    "mistakes: a claim without a relation": (
        "mistakes",
        '("x_stays_as_it_was", "differ")',
        '("x_stays_as_it_was", "difer")',
        '@mistake("subtract"',
        "'difer' is no relation; write 'differ'",
    ),
    "mistakes: a claim that is not true": (
        "mistakes",
        '"rows keep a mean"',
        '"rows have mean 0"',
        '@mistake("mean"',
        "does not show ('rows_lie_around_zero', 'rows have mean 0'), so its symptom is not true of it: 'The",
    ),
    "mistakes: too much credit": (
        "mistakes",
        '@mistake("subtract",',
        '@mistake("subtract", credit=50,',
        "credit=50",
        "gives a credit of 50; write the share of the points, from 0 to 1",
    ),
    "mistakes: only nothing": (
        "mistakes",
        '@mistake("subtract",',
        '@mistake("subtract", only="own",',
        'only="own"',
        "names the unknown component 'own'",
    ),
    "mistakes: arguments": (
        "mistakes",
        "def one_mean_for_everything(x)",
        "def one_mean_for_everything(x, dim)",
        '@mistake("mean"',
        "takes (x, dim) where mean takes (x); give it the same arguments",
    ),
    "mistakes: another way of nothing": (
        "mistakes",
        LAST,
        LAST + '\n\n@also("one_mean", "mean")\ndef a(x): pass\n',
        '@also("one_mean"',
        "@also names the unknown mistake 'one_mean'",
    ),
    "mistakes: twice": (
        "mistakes",
        LAST,
        LAST + TWICE.replace("one_mean_again", "subtracted_in_place"),
        '@mistake("mean", symptom="S."',
        "declared twice; use @also('subtracted_in_place', ...)",
    ),
    "mistakes: no component": (
        "mistakes",
        "def EXERCISE(step, x)",
        "def EXERCIS(step, x)",
        "Wrong answers",
        "no component is declared for the exercise 'EXERCISE'; declare it",
    ),
    "mistakes: it looks right": (
        "mistakes",
        "return x.mean()",
        "return x.mean(-1, True)",
        '@mistake("mean"',
        "shows nothing under the probes; add a probe that tells it from a right answer",
    ),
    "mistakes: two are one": (
        "mistakes",
        LAST,
        LAST + TWICE,
        '@mistake("mean", symptom="S."',
        "look the same to all probes; add a probe that tells them apart, or merge them into one mistake",
    ),
    "mistakes: the right steps are wrong": (
        "mistakes",
        "return x - mean",
        "return mean - x",
        '@component("mean"',
        "made of the right steps in mistakes/ differs from the reference",
    ),
    "alternatives: syntax": ("alternatives", "def by_a_sum(x):", "def by_a_sum(x:", "def by_a_sum", "not Python"),
    "alternatives: an import": (
        "alternatives",
        "import torch\n",
        "",
        '@accepted("EXERCISE")',
        "the alternative by_a_matrix raises NameError: name 'torch' is not defined, in line",
    ),
    "alternatives: unknown exercise": (
        "alternatives",
        '@accepted("EXERCISE")\ndef by_a_sum',
        '@accepted("sum")\ndef by_a_sum',
        '@accepted("sum")',
        "'by_a_sum' answers the unknown exercise 'sum'",
    ),
    "text: a constant": (
        "text",
        "import torch\n",
        "import torch\n\nSIZE = UNKNOWN\n",
        "SIZE = UNKNOWN",
        "NameError: name 'UNKNOWN' is not defined",
    ),
}


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A new lesson in a temporary course, which is the current folder."""
    monkeypatch.chdir(tmp_path)
    return own_lesson.begin(tmp_path, monkeypatch)


def refused(own):
    """Record a lesson that cannot be recorded, and return its one fault."""
    with pytest.raises(LessonError) as error:
        record.record([own.read()], own.root / "recorded", workers=1)
    assert not (own.root / "recorded").exists()
    return error.value.faults


def test_a_new_lesson_has_no_fault_and_is_recorded(own):
    advice = []
    assert record.record([own.read()], own.root / "recorded", workers=1, advised=advice.append) and advice == []
    made = records.read(own.name, own.root / "recorded")
    assert [one["mistakes"] for one in made.behaviours] == [
        ["one_mean_for_everything"],
        ["subtracted_in_place"],
    ]  # both at once follow from what each shows alone
    assert {probe for one in made.behaviours for probe in one["differs"]} == {name for name, _ in made.probes}
    assert not record.record([own.read()], own.root / "recorded", workers=1)


@pytest.mark.parametrize("case", FAULTY)
def test_a_fault_is_told_with_file_line_fact_and_remedy(case, own):
    kind, old, new, blamed, words = FAULTY[case]
    own.replace(kind, old, new)
    (fault,) = refused(own)
    path = own.paths[kind].relative_to(own.root)
    assert words.replace("EXERCISE", own.name) in f"{fault.fact}; {fault.remedy}"
    assert str(fault) == f"{path}:{fault.line}: {fault.fact}; {fault.remedy}"
    assert blamed.replace("EXERCISE", own.name) in own.paths[kind].read_text().split("\n")[fault.line - 1]


def test_what_falls_over_one_answer_only_names_that_answer(own):
    own.replace("mistakes", "    return x - 0\n", "    return None\n")
    own.replace(
        "probes",
        UNCHANGED,
        "reply = component(x=numbers.tensor(3, 7))\n    "
        'seen.note("first", reply.output[0])\n    seen.note("second", reply.output.dtype.type, reply.given)',
    )
    (fault,) = refused(own)
    assert fault.path == str(own.paths["probes"].relative_to(own.root))


def test_a_solution_that_raises_is_told_with_the_line_that_raises(own):
    own.replace("text", "return x - x.mean(dim=-1, keepdim=True)", "return x - x.mena()")
    (fault,) = refused(own)
    assert "raises AttributeError" in fault.fact and "`return x - x.mena()`" in fault.fact
    line = int(fault.fact.split("in line ")[1].split(":")[0])
    assert "x.mena()" in own.paths["text"].read_text().split("\n")[line - 1]


@pytest.mark.parametrize(
    ("kind", "words"),
    [("probes", "the lesson has no probes; write "), ("mistakes", "the lesson has no mistakes; write solutions/")],
)
def test_a_file_that_is_missing_is_told_with_its_place(kind, words, own):
    own.paths[kind].unlink()
    (fault,) = refused(own)
    assert words in f"{fault.fact}; {fault.remedy}" and fault.line == 1 and fault.path == f"solutions/{own.name}.py"


def test_mistakes_in_several_files_are_one_catalogue_and_no_name_stands_in_two(own):
    path = own.paths["mistakes"]
    text, folder = path.read_text(), path.with_suffix("")
    head = text[: text.index("@")]
    folder.mkdir()
    path.rename(folder / "part_1.py")
    more = folder / "part_2.py"
    more.write_text(f"{head}@step\ndef another(x):\n    return x\n")
    assert {"mean", "another"} <= faults.written(own.read()).catalogue.steps.keys()
    more.write_text(f"{head}\n@step\ndef mean(x):\n    return x\n")
    (fault,) = refused(own)
    assert "step 'mean' is declared in two files" in fault.fact and "part_2.py" in fault.path
    assert "@step" in more.read_text().split("\n")[fault.line - 1]
    more.write_text("# nothing yet\n")
    (fault,) = refused(own)
    assert "declares no catalogue" in fault.fact and "part_2.py" in fault.path


def test_an_exercise_without_probe_or_mistake_is_told(own):
    path = own.paths["probes"]
    path.write_text(path.read_text().replace(f'@probe("{own.name}"', '@probe("another"'))
    path = own.paths["mistakes"]
    path.write_text(path.read_text().split("# What people do instead")[0])
    faults = refused(own)
    facts = [fault.fact for fault in faults]
    assert f"exercise '{own.name}' has no probe" in facts and f"exercise '{own.name}' has no mistake" in facts
    assert sum("names the unknown exercise 'another'" in fact for fact in facts) == 3


def test_faults_of_several_files_are_told_together(own):
    for kind, old in (
        ("probes", "zero(component, numbers, seen):"),
        ("mistakes", "def mean(x):"),
        ("alternatives", "def by_a_sum(x):"),
    ):
        own.replace(kind, old, old[:-1])
    assert len({fault.path for fault in refused(own)}) == 3


def test_an_exercise_of_another_lesson_is_not_taken_again(own):
    other = own.paths["text"].with_name("other.py")
    other.write_text(own.paths["text"].read_text())
    (fault,) = refused(own)
    assert fault.fact == f"solutions/other.py has an exercise '{own.name}', too"


def test_probes_that_ask_the_same_whatever_the_seed_is_are_refused(own):
    path = own.paths["probes"]
    fixed = re.sub(r"numbers\.tensor\(\*numbers\.axes\((.*?)\)\)", r"torch.ones(\1).cumsum(-1)", path.read_text())
    path.write_text(fixed.replace("from . import", "import torch\n\nfrom . import", 1))
    (fault,) = refused(own)
    assert "so a list of the answers earns the points" in fault.fact and "numbers.axes" in fault.remedy
    assert path.read_text().splitlines()[fault.line - 1].startswith(f'@probe("{own.name}", "each row')


def test_a_lesson_with_sizes_of_its_own_is_recorded_with_the_advice_to_draw_them(own):
    path, advice = own.paths["probes"], []
    path.write_text(path.read_text().replace("numbers.axes(", "("))
    assert record.record([own.read()], own.root / "recorded", workers=1, advised=advice.append)
    assert [one.line for one in advice] == [7] and "with the same sizes whatever the seed is" in advice[0].fact


def test_what_hangs_on_rounding_is_told_at_its_probe(own):
    # Each row sums to 0 but for what is rounded.
    own.replace(
        "probes",
        UNCHANGED,
        "reply = component(x=numbers.tensor(31, 7))\n    "
        'seen.note("place", (reply.output.sum(-1) > 0).sum())\n    unchanged(seen, reply)',
    )
    (fault,) = refused(own)
    assert "x_stays" in fault.fact


def test_nothing_is_observed_many_times_where_a_fault_can_be_seen_at_once(own, monkeypatch):
    slow = []
    monkeypatch.setitem(record.STEPS, record.RECORD, lambda *given: slow.append(given))
    own.replace("mistakes", "return x.mean()", "return x.mean(-1, True)")
    assert "shows nothing" in refused(own)[0].fact and slow == []


# Side by side, and one exercise alone

SEVEN = lessons.read("scaled_dot_product_attention")


def test_exercises_that_are_recorded_side_by_side_are_those_of_the_course(tmp_path):
    shutil.copytree(records.FOLDER / SEVEN.name, tmp_path / SEVEN.name)
    seen = []
    quick = ["attention_scores", "attention_bug_input"]
    assert not record.record([SEVEN], tmp_path, only=quick, workers=2, progress=lambda *told: seen.append(told))
    assert seen == [(what, done, 2) for what in (record.FIRST, record.RECORD) for done in (1, 2)]


def test_one_exercise_is_recorded_and_the_files_of_the_others_stay(tmp_path):
    folder = tmp_path / SEVEN.name
    folder.mkdir()
    for name in ("attention_weights", "gone"):
        (folder / f"{name}.json").write_text("{}")
    assert record.record([SEVEN], tmp_path, only=["attention_scores"])
    assert {path.stem for path in folder.glob("*.json")} == {"attention_weights", "gone", "attention_scores"}
    assert [path.name for path in sorted(folder.rglob("attention_scores.*"))] == [
        "attention_scores.json",
        "attention_scores.practice",
        "attention_scores.json",
        "attention_scores.json",
    ]
    assert (folder / "attention_weights.json").read_text() == "{}"


def test_an_exercise_that_does_not_exist_is_refused_with_the_nearest(capsys):
    assert command.main(["record", "7", "--only", "atention_scores"]) == 1
    assert capsys.readouterr().err == (
        "there is no exercise 'atention_scores' in scaled_dot_product_attention; write 'attention_scores'\n"
    )
