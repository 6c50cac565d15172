"""Which of a learner's cells is which released one, and where an answer is: on a lesson of six cells, without files."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader_course import graded

from autograder.intake.matching import Matched, count, unfenced
from autograder.intake.notebook import LearnerCell
from autograder.intake.rebuild import OWN, merge
from autograder.notebooks.magics import MOST_READ

F, G = "def f(x):\n    return x + 2", "def g(x):\n    return x + 3"
EMPTY = "def {}(x):\n    raise NotImplementedError('this exercise is not solved yet')"
ASKS = "Why are the scores divided by the root of the number of features?"
STUB = "YOUR ANSWER HERE"
BECAUSE = "Because large numbers saturate the softmax."


def lesson():
    """Return prose, the exercises f and g with their checks, a demonstration and a question, as they are released."""
    return [
        new_markdown_cell("prose", id="prose"),
        graded(new_code_cell(EMPTY.format("f")), "f"),
        graded(new_code_cell("check(f)"), "check_f", 1, solution=False),
        graded(new_code_cell(EMPTY.format("g")), "g"),
        graded(new_code_cell("check(g)"), "check_g", 1, solution=False),
        new_code_cell("f(g(2))", id="demo"),
        graded(new_markdown_cell(f"{ASKS}\n\n{STUB}"), "why_root", 3),
    ]


PLACE = {"prose": 0, "f": 1, "check_f": 2, "g": 3, "check_g": 4, "demo": 5, "why_root": 6}


def code(source, grade_id=None, cell_id=None, **more):
    return LearnerCell("code", source, grade_id, cell_id, **more)


def words(source, grade_id=None, cell_id=None, kind="markdown", **more):
    return LearnerCell(kind, source, grade_id, cell_id, **more)


def saved(**answers):
    """Return the lesson as it is saved with its metadata, with these sources in the place of the released ones."""
    kinds = {"code": code, "markdown": words}
    return [
        kinds[cell.cell_type](answers.get(name, cell.source), name if name in ("f", "g", "why_root") else None, cell.id)
        for name, cell in zip(PLACE, lesson(), strict=True)
    ]


def places(*cells):
    return Matched(lesson(), cells).places


def answer(name, *cells):
    """Return the `Answer` to an exercise, or None."""
    return Matched(lesson(), cells).answers.get(PLACE[name])


def rebuilt(*cells):
    """Return ({name: source} of the released cells, sources of the learner's own in their order, comments)."""
    made, comments = merge(lesson(), cells)
    kept = [cell.source for cell in made if not cell.id.startswith(OWN)]
    return dict(zip(PLACE, kept, strict=True)), [c.source for c in made if c.id.startswith(OWN)], comments


# Cells that are released ones


def test_a_cell_is_known_by_its_name_before_its_id_and_by_its_id_before_its_text():
    assert places(code("x", "g", "f-cell")) == [PLACE["g"]]
    assert places(code("x", "another lesson's", "f-cell")) == [PLACE["f"]]
    assert places(code("check(g)", None, "f-cell")) == [PLACE["f"]]
    assert places(code(" check(g)\n")) == [PLACE["check_g"]] and places(code("check(h)")) == [None]


def test_a_cell_that_claims_the_name_of_another_lesson_is_not_known_by_its_text():
    assert places(code("check(g)", "check_h")) == [None]


def test_by_its_id_an_answer_is_known_in_any_kind_and_other_cells_in_their_own():
    assert places(words("x", None, "f-cell"), words("x", None, "demo"), code("x", None, "prose")) == [1, None, None]
    assert places(code("x", None, "why_root-cell"), code("x", None, "demo")) == [PLACE["why_root"], PLACE["demo"]]


def test_by_their_text_equal_cells_are_taken_in_their_order_and_each_once():
    released = [new_code_cell("same", id="a"), new_code_cell("same", id="b"), new_markdown_cell("same", id="c")]
    mine = [code("same"), words("same"), code("same"), code("same")]
    assert Matched(released, mine).places == [0, 2, 1, None]
    assert Matched(released, [code("x", None, "a"), code("same")]).places == [0, 1]


def test_a_question_is_known_by_how_it_begins_in_any_cell_that_nothing_else_is_known_of():
    mine = f"My answers\n\n{ASKS.replace(' ', '  ')}\n\n{STUB[:6]} and more"
    assert places(words(mine)) == [None], (
        "the first 80 characters are compared, and here they reach beyond the question"
    )
    released = lesson()
    released[6].source = f"{ASKS} Give a reason that is a sentence.\n\n{STUB}"
    asked = f"My answers\n\n{ASKS.replace(' ', '  ')} Give a reason that is a phrase. {BECAUSE}"
    assert Matched(released, [words(asked), code(asked), words(asked, "x")]).places == [6, 6, 6]
    assert Matched(released, [words(asked[:70])]).places == [None]
    assert Matched(released, [words("x", "why_root"), words(asked)]).places == [6, None]


@pytest.mark.parametrize(("length", "known"), [(39, False), (40, True)])
def test_a_question_that_is_too_short_to_be_known_by_its_text_is_not(length, known):
    released = lesson()
    released[6].source = "?" * length
    assert Matched(released, [words(f"{'?' * length} {BECAUSE}")]).places == [6 if known else None]
    released[1].source = "x" * length
    assert Matched(released, [code(f"{'x' * length} = 2")]).places == [None], "code is not looked for in this way"


# Answers in code


def test_an_answer_is_its_own_cell_where_that_solves_it_whatever_else_does():
    found = answer("f", code(F.replace("2", "5"), "f"), code(F))
    assert (found.cells, found.source, found.solved) == ([0], F.replace("2", "5"), True)


def test_of_its_copies_the_last_one_that_solves_it_counts_and_else_the_last():
    one, other = F, F.replace("2", "5")
    assert answer("f", code(one, "f"), code(other, "f"), code("", "f")).cells == [1]
    assert answer("f", code("", "f"), code("x = 2", "f")).cells == [1]


def test_elsewhere_code_is_sooner_taken_than_raw_text_and_that_sooner_than_words():
    mine = [code(F), words(F, kind="raw"), words(F), code(F), words(F, kind="raw"), words(F)]
    assert answer("f", *mine).cells == [3]
    assert answer("f", *mine[1:3], *mine[4:]).cells == [2]
    assert answer("f", mine[2], mine[5]).cells == [1]


def test_what_is_no_code_around_an_answer_is_left_out():
    assert answer("f", words(f"Mine:\n```python\n{F}\n```\nDone.")).source == F
    assert answer("f", words(f"Mine:\n```python\n{F}\n```", "f")).source == F
    explained = f'"""\n```\nf(2)\n```\n"""\n{F}'
    assert answer("f", code(explained)).source == explained


@pytest.mark.parametrize(
    ("source", "solved"),
    [
        (EMPTY.format("f"), False),
        (f"\n{EMPTY.format('f')}\n", False),
        ("", False),
        (" \n", False),
        (f"y = 2\n{EMPTY.format('f')}", False),
        ("y = 2", True),
        ("def f(x):\n    return (", True),
        (F, True),
    ],
)
def test_an_answer_is_solved_if_it_is_more_than_what_was_released(source, solved):
    found = answer("f", code(source, "f"))
    assert (found.cells, found.source, found.solved) == ([0], source, solved)


def test_an_answer_that_is_nowhere_is_none():
    assert answer("f", code("y = 2"), code("f"), code("def f(x):\n    return (")) is None


def test_an_answer_is_not_looked_for_in_a_released_cell_as_it_was_released():
    released = [*lesson(), new_code_cell(F, id="given")]
    assert 1 not in Matched(released, [code(F, None, "given")]).answers
    assert Matched(released, [code(f"{F}\n\n", None, "given"), code(F.replace("2", "5"), None, "demo")]).answers[
        1
    ].cells == [1]


def test_a_cell_that_has_an_answer_and_stands_where_its_cell_stood_is_that_cell():
    def stands(*cells):
        matched = Matched(lesson(), cells)
        return matched.places, {place: copies for place, copies in matched.copies.items() if copies}

    check = {name: code(f"check({name})") for name in "fg"}
    assert stands(code(F), check["f"], code(G), check["g"])[0] == [1, 2, 3, 4]
    assert stands(code(F), check["f"])[1] == {1: [0], 2: [1]}
    assert stands(check["f"], code(F))[0] == [2, None]
    assert stands(check["f"], code(F), check["g"])[0] == [2, None, 4]
    assert stands(code(f"{F}\n{G}"), check["g"])[0] == [3, 4]
    assert stands(code(f"{F}\n{G}"), check["f"])[0] == [None, 2]
    assert stands(words("prose"), code(F))[0] == [0, 1]
    skeleton = code(EMPTY.format("f"), "f")
    assert stands(skeleton, code(F))[0] == [1, None] and stands(code(F), skeleton)[0] == [None, 1]


def test_answers_in_one_cell_are_parted_where_they_stand_in_the_order_of_the_lesson():
    first = f"  # mine\nimport math\n\n{F}\n    # the end of f"
    second = f"# about g\n{G}\n\nprint(g(2))  # X"
    both = code(f"\n{first}\n\n{second}\n")
    assert (answer("f", both).source, answer("g", both).source) == (first, second)


@pytest.mark.parametrize(
    "source",
    [
        f"{G}\n{F}",
        f"{F}\n{G}\n{F}",
        "f = lambda x: x + 2; g = f",
        f"%time\n{F}\n{G}",
    ],
    ids=["in another order", "entangled", "on one line", "not Python as it stands"],
)
def test_answers_that_cannot_be_parted_are_each_the_whole_cell(source):
    assert answer("f", code(source)).source == answer("g", code(source)).source == source


def test_a_notebook_counts_by_its_graded_cells_and_solved_answers():
    assert count(lesson(), saved()) == (5, 0)
    assert count(lesson(), saved(f=F, why_root=f"{ASKS}\n\n{BECAUSE}")) == (5, 2)
    assert count(lesson(), [code(F), code("f(2)")]) == (0, 1)


def test_what_magics_would_make_too_long_to_read_is_taken_for_no_python():
    """IPython reads a cell once more for each of its magics; what is read before goes on the same account."""
    magics, ends = "%time\n" * 25, [f"\n{name} = 2" for name in "abc"]
    mine = [code(magics + end.rjust(MOST_READ // 25 - len(magics), "#")) for end in ends]
    matched = Matched(lesson(), [*mine, code(F)])
    assert [matched.reading(index) is not None for index in range(4)] == [True, False, False, True]


# Answers in words


def test_a_written_answer_is_the_last_of_its_cells_that_says_something():
    mine = [words(BECAUSE, "why_root"), words("Another.", "why_root"), words(f"{ASKS}\n\n{STUB}", "why_root")]
    found = answer("why_root", *mine)
    assert (found.cells, found.source, found.solved) == ([1], "Another.", True)
    for nothing in ("", f" {ASKS}\n{STUB}", ASKS):
        found = answer("why_root", words(nothing, "why_root"))
        assert (found.cells, found.source, found.solved) == ([0], f"{ASKS}\n\n{STUB}", False)
    assert answer("why_root", words(f"# {ASKS}", "why_root")).solved


QUESTION = words(f"{ASKS}\n\n{STUB}", "why_root")


def test_a_written_answer_is_taken_from_below_its_question_and_else_from_above():
    one, two, three = (words(f"{BECAUSE} {number}") for number in "123")
    below = answer("why_root", one, QUESTION, two, three)
    assert (below.cells, below.source, below.solved) == ([2, 3], ASKS, True)
    assert answer("why_root", one, two, QUESTION).cells == [0, 1]
    assert answer("why_root", code(F, "f"), QUESTION, one).cells == [2]
    assert not answer("why_root", QUESTION, words(f"```\n{F}\n```")).solved, "it is the answer to another exercise"
    assert answer("why_root", one, words("prose"), two, QUESTION, code("check(g)"), three).cells == [2]


def test_between_a_question_and_its_answer_may_stand_code_and_nothing_that_was_released():
    assert answer("why_root", QUESTION, code("f(2)"), words(""), words(BECAUSE)).cells == [3]
    assert not answer("why_root", QUESTION, words("prose"), words(BECAUSE)).solved


def test_where_the_question_is_gone_its_answer_is_below_what_stood_before_it():
    before = [code("check(g)"), code("f(g(2))")]
    assert answer("why_root", words("My notes"), *before, words(BECAUSE), code("f(2)"), words("2")).cells == [3, 5]
    assert answer("why_root", words(BECAUSE)) is None


def test_of_a_question_all_is_kept_but_where_to_write():
    released = lesson()
    released[6].source = f"\n{ASKS}\n\n{STUB}\n \n"
    assert Matched(released, [words("x", "why_root"), words("", "why_root")]).answers[6].source == "x"
    assert Matched(released, [words("", "why_root"), words(BECAUSE)]).answers[6].source == f"\n{ASKS}"


def test_a_text_that_names_the_question_is_its_answer_wherever_it_stands():
    mine = [words(f"why_root: {BECAUSE}"), words("prose"), QUESTION]
    assert answer("why_root", *mine).cells == [0]
    assert answer("why_root", words("My notes"), words("prose"), mine[0], code("check(f)"), QUESTION).cells == [2]
    released = lesson()
    released[6].metadata.nbgrader.grade_id = "why"
    mine[2] = words(f"{ASKS}\n\n{STUB}", "why")
    assert not Matched(released, mine).answers[6].solved, "a word that any text may have"


@pytest.mark.parametrize(
    ("cell", "is_text"),
    [
        (words("!"), True),
        (words("!", kind="raw"), True),
        (words(" \n"), False),
        (code(BECAUSE), True),
        (code("# a comment"), True),
        (code("'a text'"), True),
        (code("f(2)"), False),
        (code("one two three"), True),
        (code("one two"), False),
        (code("one two three four five ="), True),
        (code("one two three four ="), True),
        (code("one two three four = ="), False),
        (code("one two three four five = ="), True),
        (code("one two three four five x = ( :"), False),
        (code("%%html\none two three four"), False),
        (code("%cd here\nand these are words"), False),
        (code("  !pip install einops\nand these are words"), False),
        (code("# " + "x" * 19_998), True),
        (code("# " + "x" * 19_999), False),
        (code(F), False),
    ],
)
def test_a_text_is_what_is_no_code_that_runs(cell, is_text):
    assert answer("why_root", QUESTION, cell).solved == is_text


# Text cells with code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x = 2", "x = 2"),
        ("a\n```\nx = 2\n```\nb", "x = 2"),
        ("```python\nx = 2\n```\nb\n~~~ PY\ny = 3\n~~~", "x = 2\ny = 3"),
        ("```text\nno\n```\n```py\nx = 2\n```", "x = 2"),
        ("```text\nno\n```", "```text\nno\n```"),
        ("````\nx = '''\n```\n'''\n````\nb", "x = '''\n```\n'''"),
        ("```\nx = 2\n``` python\ny = 3\n```", "x = 2\n``` python\ny = 3"),
        ("```\nx = 2\n~~~\ny = 3\n```", "x = 2\n~~~\ny = 3"),
        ("   ```\nx = 2\n   ```\nb", "x = 2"),
        ("    ```\nx = 2", "    ```\nx = 2"),
        ("```\nx = 2", "x = 2"),
    ],
)
def test_of_a_text_the_code_is_what_stands_between_its_fences(text, code):
    assert unfenced(text) == code


# What is said about an answer


def test_an_answer_in_its_own_cell_is_nothing_to_speak_of():
    sources, own, comments = rebuilt(*saved(f=F, g=G, why_root=BECAUSE))
    assert (sources["f"], sources["g"], sources["why_root"], own, comments) == (F, G, BECAUSE, [], {})
    sources = rebuilt(code(f"{F}\n{G}"))[0]
    assert (sources["f"], sources["g"]) == (F, G)


def test_it_is_said_where_an_answer_was_found_and_that_one_is_missing():
    sources, own, comments = rebuilt(words("prose"), code("import math\nROOT = 2"), code(G), code("check(f)"))
    assert sources["g"] == G and sources["f"] == EMPTY.format("f") and own == ["import math\nROOT = 2"]
    assert comments == {
        "f": "This answer cell was missing, so it counts as not solved.",
        "g": "This answer was not in its own cell. It was found in cell 3 of the notebook.",
        "why_root": "This answer cell was missing, so it counts as not solved.",
    }


def test_it_is_said_which_of_several_copies_counts():
    copies = [code(F.replace("2", number), "f") for number in "57"]
    assert rebuilt(*copies)[2]["f"] == (
        "This answer cell appeared 2 times. The last one counts; the others were run before it."
    )
    for solved in (1, 2):
        assert rebuilt(*copies[:solved], code(EMPTY.format("f"), "f"))[2]["f"] == (
            f"This answer cell appeared {solved + 1} times. The last one that is solved counts."
        )
    asked = [words(f"{BECAUSE} {number}", "why_root") for number in "57"]
    assert rebuilt(*asked)[2]["why_root"].startswith("This answer cell appeared 2 times. The last one counts")


def test_a_written_answer_is_put_below_its_question_without_the_signs_of_a_comment():
    sources, own, comments = rebuilt(QUESTION, code(f"# {BECAUSE}\n#\n## And:\nit works\n#no"), words("# A headline"))
    assert sources["why_root"] == f"{ASKS}\n\n{BECAUSE}\n\nAnd:\nit works\nno\n\n# A headline"
    assert own == [] and "why_root" not in comments


def picture(data, name="image.png"):
    return {"attachments": {name: {"image/png": data}}}


def test_pictures_come_along_and_two_of_one_name_stay_two():
    shows = "![](attachment:image.png) and attachment:image.png"
    cells = [words(shows, **picture(data)) for data in ("one", "other", "one")]
    made, _ = merge(lesson(), [QUESTION, *cells])
    other = shows.replace("image.png", "1-image.png")
    assert made[6].source == "\n\n".join([ASKS, shows, other, shows])
    assert made[6].attachments == {"image.png": {"image/png": "one"}, "1-image.png": {"image/png": "other"}}
    assert "attachments" not in merge(lesson(), [QUESTION, words(BECAUSE)])[0][6]


def test_pictures_that_found_no_room_are_counted_for_written_answers():
    cells = [words(BECAUSE, left_out=2), words(BECAUSE, left_out=3)]
    comment = rebuilt(QUESTION, *cells)[2]["why_root"]
    assert comment.startswith("Pictures of this cell that are not shown: 5.")
    twice = [words(BECAUSE, "why_root", left_out=7)] * 2
    assert rebuilt(*twice)[2]["why_root"].startswith(
        "This answer cell appeared 2 times. The last one counts; the others"
    )
    assert "run before it. Pictures of this cell that are not shown: 7." in rebuilt(*twice)[2]["why_root"]
    assert "f" not in rebuilt(words(f"```\n{F}\n```", "f", left_out=2))[2]


def test_own_cells_keep_their_kind_and_pictures_and_raw_ones_become_text():
    mine = [code("x = 2"), words("![](attachment:image.png)", left_out=3, **picture("one")), words("<b>", kind="raw")]
    made, _ = merge(lesson(), [words("prose"), *mine, words(BECAUSE, "why_root")])
    own = [cell for cell in made if cell.id.startswith(OWN)]
    assert [(cell.cell_type, cell.id) for cell in own] == [
        ("code", f"{OWN}1"),
        ("markdown", f"{OWN}2"),
        ("markdown", f"{OWN}3"),
    ]
    assert own[0].source == "x = 2" and own[2].source == "<b>" and "attachments" not in own[2]
    assert own[1].source.startswith("![](attachment:image.png)\n\n*Pictures of this cell that are not shown: 3.")
    assert own[1].source.endswith("*") and own[1].attachments == picture("one")["attachments"]


def test_own_cells_stand_after_what_they_followed_and_before_the_answer_that_needs_them():
    mine = [
        code("top = 2"),
        words("prose"),
        code("after = 2"),
        code("check(f)"),
        code("ROOT = 2"),
        code("def f(x):\n    return ROOT"),
    ]
    made, _ = merge(lesson(), [*mine, words(BECAUSE, "why_root")])
    assert [cell.source for cell in made][:6] == [
        "top = 2",
        "prose",
        "after = 2",
        "ROOT = 2",
        mine[-1].source,
        "check(f)",
    ]
    assert [cell.id for cell in made if cell.id.startswith(OWN)] == [f"{OWN}{number}" for number in (1, 2, 3)]
