"""Where to look: the line is found by edits of the learner's own code, and told only where it is certain."""

import linecache
import random
import textwrap

import pytest
import torch
from lessons import alternatives

from autograder import check
from autograder.checking.check import examine
from autograder.checking.where import Where
from autograder.diagnosing import records
from autograder.locating.search import SECONDS, locate
from autograder.locating.source import NoSource, code_of

RIGHT = """
    import math
    import torch


    def product(query, key):
        return query @ key.mT


    def attention_scores(query, key):
        width = query.shape[-1]
        root = math.sqrt(width)
        return product(query, key) / root
"""
SCORES = "attention_scores"


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFORMER_TAXONOMY_STATE", str(tmp_path / "state"))


def cell(text, name=SCORES):
    """Return what a cell of this text defines under a name, as IPython leaves it: with its source in `linecache`."""
    text = textwrap.dedent(text).lstrip("\n")
    file = f"<cell {len(linecache.cache)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    names = {"__name__": "__main__"}
    exec(compile(text, file, "exec", dont_inherit=True), names)
    return names[name]


def seeded(right, wrong):
    """Return the right answer with a text in it replaced, and the number of the line on which it stood."""
    text = textwrap.dedent(RIGHT).lstrip("\n")
    assert text.count(right) == 1
    return cell(text.replace(right, wrong)), text[: text.index(right)].count("\n") + 1


def found(component, exercise=SCORES, seconds=200.0):
    """Return the `Located` of an answer. The test machine may be slow: there is time to try everything."""
    return locate(records.read(exercise), component, seconds, lambda done, every: None)


def lines(located):
    return [line for place in located.places for line in range(place.first, place.last + 1)]


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("query.shape[-1]", "query.shape[-2]"),
        ("math.sqrt(width)", "math.sqrt(width * 4)"),
    ],
)
def test_a_mistake_is_placed_on_its_line_also_in_a_helper(right, wrong):
    component, line = seeded(right, wrong)
    assert lines(found(component)) == [line]


def test_a_mistake_that_has_no_name_is_placed_as_well():
    component = cell(
        """
        import torch

        def attention_scores(query, key):
            product = torch.matmul(query, key.mT)
            return product * 0.37
        """,
        "attention_scores",
    )
    result = check(component)
    assert not result.mistakes
    assert result.where(200.0).lines == (5,)


def test_what_may_be_put_right_in_several_lines_is_placed_in_none():
    component = cell(
        """
        import torch

        def attention_scores(query, key):
            turned = key.mT
            scores = query @ turned
            scores = scores + 0.0
            return scores
        """
    )
    located = found(component)
    assert lines(located) == [] and "no line is certain" in located.why


def test_of_two_mistakes_each_has_its_line_also_in_a_helper():
    text = textwrap.dedent(RIGHT).replace("query @ key.mT", "query @ key.mT + 3.5")
    located = found(cell(text.replace("query.shape[-1]", "query.shape[-2]")))
    assert lines(located) == [6, 10] and not located.between


def test_three_mistakes_are_not_placed_as_two():
    text = textwrap.dedent(RIGHT).replace("query @ key.mT", "query @ key.mT + 3.5")
    text = text.replace("query.shape[-1]", "query.shape[-2]").replace("/ root", "/ root + 0.7 * key.sum()")
    assert lines(found(cell(text))) == []


def test_two_mistakes_that_show_apart_have_a_line_each():
    located = found(
        cell(
            """
            import torch

            def attention_weights(scores, mask=None):
                if mask is not None:
                    scores = scores.masked_fill(mask, float("-inf"))
                weights = torch.softmax(scores * 1.25, dim=-1)
                return torch.nan_to_num(weights)
            """,
            "attention_weights",
        ),
        "attention_weights",
    )
    assert lines(located) == [5, 6] and not located.between
    assert (
        Where("attention_weights", located).says().startswith("A small change of each of these lines, and of no others")
    )


def test_another_default_that_hides_the_mistake_is_no_place_of_it():
    component = cell(
        """
        import torch

        def causal_mask(queries, keys=None):
            if keys == 1:
                keys = queries
            return torch.tril(torch.ones(keys, keys)).bool()[-queries:]
        """,
        "causal_mask",
    )
    assert lines(found(component, "causal_mask")) == []


def test_a_line_that_is_not_run_is_left_alone_and_a_statement_of_many_lines_is_one():
    component = cell(
        """
        import torch

        def attention_scores(query, key):
            if query.dim() < 1:
                return query * key
            return torch.matmul(
                query,
                key.mT,
            ) / (
                query.shape[-2]
                ** 0.5
            )
        """,
        "attention_scores",
    )
    located = found(component, "attention_scores")
    assert [(place.first, place.last) for place in located.places] == [(6, 12)]


def test_a_method_of_a_class_is_looked_through():
    component = cell(
        """
        import torch
        from torch import nn

        class RMSNorm(nn.Module):
            def __init__(self, embed_dim, eps=1e-5):
                super().__init__()
                self.weight = nn.Parameter(torch.ones(embed_dim))
                self.eps = eps

            def forward(self, x):
                square = x.pow(2).mean(-1, keepdim=True)
                normal = x / torch.rsqrt(square + self.eps)
                return self.weight * normal
        """,
        "RMSNorm",
    )
    assert lines(found(component, "RMSNorm")) in ([12], [11, 12])


def test_a_right_answer_has_no_line_and_says_so():
    located = found(cell(RIGHT))
    assert lines(located) == [] and located.why == "Every probe is right here."


def test_the_seconds_and_an_interruption_end_the_search_and_nothing_is_said():
    component, _ = seeded("query.shape[-1]", "query.shape[-2]")
    assert "seconds were not enough" in found(component, seconds=0.0).why

    def interrupted(done, every):
        raise KeyboardInterrupt

    located = locate(records.read(SCORES), component, SECONDS, interrupted)
    assert "You stopped the search" in located.why and lines(located) == []


def test_an_edit_without_an_end_costs_little():
    component = cell(
        """
        import torch

        def attention_scores(query, key):
            while query is None:
                pass
            return query @ key.mT / query.shape[-2] ** 0.5
        """,
        "attention_scores",
    )
    located = found(component, "attention_scores")
    assert lines(located) == [6]
    assert located.seconds < 60


def test_the_search_leaves_nothing_behind(capsys):
    component = cell(
        """
        import random
        import torch

        def attention_scores(query, key):
            print("here", random.random(), torch.rand(1))
            return query @ key.mT / query.shape[-2] ** 0.5
        """,
        "attention_scores",
    )
    names = dict(component.__globals__)
    states = random.getstate(), torch.random.get_rng_state(), torch.get_num_threads()
    found(component, "attention_scores")
    assert component.__globals__.keys() == names.keys()
    assert all(component.__globals__[name] is held for name, held in names.items())
    assert random.getstate() == states[0] and torch.equal(torch.random.get_rng_state(), states[1])
    assert torch.get_num_threads() == states[2]
    assert capsys.readouterr().out == ""


def test_code_that_cannot_be_run_again_by_itself_is_refused_in_a_sentence():
    outer = torch.tensor(1.0)

    def attention_scores(query, key):
        return outer * query @ key.mT

    with pytest.raises(NoSource, match="inside of another function"):
        code_of(attention_scores, set())
    assert "inside of another function" in check(attention_scores).where().says()
    assert "neither a plain function nor a class" in found(torch.nn.Identity(), "attention_scores").why


def test_what_is_shown_marks_the_line_and_holds_no_edit():
    component, line = seeded("query.shape[-1]", "query.shape[-2]")
    shown = check(component).where(200.0)
    assert shown.lines == (line,)
    marked = [text for text in repr(shown).splitlines() if text.startswith("→")]
    assert marked == [f"→ {line:>3}      width = query.shape[-2]"]
    assert "shape[-1]" not in repr(shown) and "shape[-1]" not in shown._repr_html_()
    assert "and of no other" in shown.says()


def test_a_named_mistake_keeps_its_place_beside_the_line():
    component = cell(
        "def attention_scores(query, key):\n    return query @ key.mT * key.shape[-1] ** 0.5", "attention_scores"
    )
    result = check(component)
    assert result.mistakes
    assert repr(result.where(200.0)).splitlines()[1][:30] == result.says[2][:30]


def test_a_wrong_result_tells_how_to_ask_and_others_do_not():
    wrong = check(cell("def attention_scores(query, key):\n    return query @ key.mT * 0.3", "attention_scores"))
    assert "<code>check(attention_scores).where()</code>" in wrong._repr_html_()
    assert "(.where() looks for the line in your code)" in repr(wrong)
    right = check(alternatives("scaled_dot_product_attention").of("attention_scores")[0][1], "attention_scores")
    assert "where()" not in right._repr_html_()
    with pytest.raises(LookupError, match="attention_scores is right"):
        right.where()


def test_official_results_do_not_offer_it():
    record = records.read("attention_scores")
    component = cell("def attention_scores(query, key):\n    return query @ key.mT", "attention_scores")
    assert "where()" not in examine(record, {record.exercise: component})._repr_html_()
