"""The front door: what `check`, `hint` and `progress` do for a learner, in a notebook, a terminal, a plain Python."""

import functools
import gc
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from busy import processors_busy
from IPython.core.formatters import DisplayFormatter
from lessons import REPOSITORY, reference

from autograder import check, hint, progress
from autograder.calling import limit, local
from autograder.calling.limit import Limit, TimeUp
from autograder.checking import progress_file
from autograder.checking.check import examine
from autograder.checking.result import MIME_TYPE
from autograder.diagnosing.records import read
from workbench import parts

LESSON = reference("scaled_dot_product_attention")


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFORMER_TAXONOMY_STATE", str(tmp_path / "state"))


def without_scale(query, key):
    return query @ key.transpose(-2, -1)


def unsolved(query, key):
    """Return scores."""
    raise NotImplementedError("this exercise is not solved yet")


def test_a_right_answer_earns_all_points():
    result = check(LESSON.attention_scores)
    assert (result.exercise, result.points, result.earned, result.passed) == ("attention_scores", 2, 2, True)
    assert result.mistake is None and result.says == []


def test_a_wrong_answer_is_told_its_mistake_in_three_steps():
    result = check(without_scale, exercise="attention_scores")
    assert (result.mistake, result.passed, result.earned) == ("no_scale", False, 0)
    symptom, cause, place = result.says
    assert "too large" in symptom and "variance" in cause and "square root" in place


def test_text_opens_one_step_at_a_time():
    result = check(without_scale, exercise="attention_scores")
    symptom, cause, place = (sentence[:25] for sentence in result.says)
    assert symptom in repr(result) and cause not in repr(result)
    assert cause in repr(result.more()) and place not in repr(result)
    assert place in repr(result.more().more())


def test_html_opens_what_more_has_opened():
    result = check(without_scale, exercise="attention_scores")
    opened = []
    for _ in range(3):
        opened.append(result._repr_html_().count("<details open>"))
        result.more()
    assert opened == [0, 1, 2]


def test_html_hides_the_cause_in_the_symptom_and_the_place_in_the_cause():
    shown = check(without_scale, exercise="attention_scores")._repr_html_()
    symptom, why, where = shown.index("too large"), shown.index("Why?"), shown.index("Where to look")
    assert symptom < why < where
    assert shown.count("<details>") == 3 and shown.index("</details>") > where


def test_html_needs_no_colour_and_fits_dark_and_light_pages():
    shown = check(without_scale, exercise="attention_scores")._repr_html_()
    assert "✗ differs" in shown and "✓ right" in shown
    assert "color:" not in shown.replace("border-color:", "")


def test_an_unsolved_exercise_says_so_in_one_line():
    result = check(unsolved, exercise="attention_scores")
    assert repr(result) == ('attention_scores: not solved yet, 0 of 2 points. hint("attention_scores") opens a hint.')
    assert result.unsolved and result.earned == 0 and not result.passed


def test_an_exception_shows_the_learners_own_line_and_none_of_ours(capsys):
    def attention_scores(query, key):
        mixed = torch.cat([query, key], dim=0)
        return mixed @ key

    result = check(attention_scores)
    text = " ".join(repr(result).split())
    assert "Your code raised RuntimeError" in text
    assert "`mixed = torch.cat([query, key], dim=0)`" in text
    assert [function for function, _, _ in result.fault.lines] == ["attention_scores"]
    assert "local.py" not in text and "Traceback" not in text
    assert capsys.readouterr() == ("", "")


def test_an_exception_deep_in_a_learners_helper_shows_the_helpers_line():
    def helper(x):
        return x.reshape(1, 2, 3, 4, 5, 6)

    def attention_scores(query, key):
        return helper(query)

    assert "In helper, line" in " ".join(repr(check(attention_scores)).split())


def test_unknown_behaviour_is_described_and_no_cause_is_claimed():
    def attention_scores(query, key):
        return without_scale(query, key) / 3.5 + 0.25

    result = check(attention_scores)
    assert result.mistake is None and not result.passed
    assert "scores[0, 2, 3] is" in result.says[0] and "query [2, 3, 7], key [2, 5, 7]" in result.says[0]


@pytest.mark.parametrize(
    ("swallow", "why"),
    [("pass", "computed for 0.5 seconds, did not return"), ("time.sleep(0.1)", "stopped after 3 seconds by the clock")],
)
def test_a_call_that_never_returns_is_stopped(swallow, why, request):
    if "computed" in why:
        request.getfixturevalue("patient")
    names = {"time": time}
    exec(
        textwrap.dedent(f"""
        def attention_scores(query, key):
            while True:
                try:
                    {swallow}
                except:
                    pass
        """),
        names,
    )
    started = time.monotonic()
    result = check(names["attention_scores"], seconds=0.5)
    assert time.monotonic() - started < 20
    assert not result.passed and result.earned == 0
    assert why in result.says[0]


def test_the_time_limit_holds_in_another_thread_too(patient):
    caught = []

    def learners():
        while True:
            pass

    def work():
        try:
            with Limit(0.2):
                learners()
        except TimeUp as reason:
            caught.append(reason.burned)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(20)
    assert caught == [True]


def test_in_another_thread_waiting_ends_too():
    caught = []

    def learners():
        while True:
            time.sleep(0.05)

    def work():
        try:
            with Limit(5, wall=0.3):
                learners()
        except TimeUp as reason:
            caught.append(reason.burned)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(20)
    assert caught == [False]


def test_a_look_may_come_as_soon_as_a_call_begins(monkeypatch):
    """As on a computer that is so busy that a tenth of a second passes between two lines."""
    monkeypatch.setattr(limit, "TICK", 1e-5)
    for _ in range(20):
        with Limit(60):
            sum(range(1000))
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_what_other_programs_take_is_not_counted(patient):
    """By the clock every call takes longer than is allowed, as on a busy computer."""

    def attention_scores(query, key):
        time.sleep(0.2)
        return query @ key.mT / query.shape[-1] ** 0.5

    begun = time.monotonic()
    assert check(attention_scores, seconds=1).passed
    assert time.monotonic() - begun > 1


def test_code_that_waits_is_stopped_and_that_is_no_try(monkeypatch):
    def attention_scores(query, key):
        while True:
            time.sleep(60)

    remembered = []
    monkeypatch.setattr(progress_file, "_write", lambda exercise, **state: remembered.append(exercise))
    result = check(attention_scores, seconds=0.1)
    assert not result.passed and not result.conclusive and remembered == []
    assert "stopped after 0.6 seconds by the clock, before your code had computed for 0.1" in result.says[0]
    assert "does not count as a try" in repr(result) and "loop" not in repr(result)
    assert check(lambda query, key: query, "attention_scores").conclusive and remembered == ["attention_scores"]


LIGHT = """
import sys
import torch
before = set(sys.modules)
from autograder import check

def attention_scores(query, key):
    return query @ key.mT / query.shape[-1] ** 0.5

def attention_weights(scores, mask=None):
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1).nan_to_num()

class FeedForward(torch.nn.Module):
    def __init__(self, embed_dim, ff_dim, dropout=0.0, activation=torch.nn.functional.relu):
        super().__init__()
        self.up_proj, self.down_proj = torch.nn.Linear(embed_dim, ff_dim), torch.nn.Linear(ff_dim, embed_dim)
        self.activation, self.dropout = activation, torch.nn.Dropout(dropout)

    def forward(self, x):
        return self.down_proj(self.dropout(self.activation(self.up_proj(x))))

assert check(attention_scores).passed and check(attention_weights).passed and check(FeedForward).passed
assert check(lambda query, key: query @ key.mT, "attention_scores").mistakes
print(*(set(sys.modules) - before))
"""


def test_a_check_brings_nothing_heavy_with_it():
    """What it imports, each fresh kernel of a learner and of a class imports before its first answer."""
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    heavy = {"nbformat", "jsonschema", "IPython", "jupyter_client", "nbclient", "nbgrader", "sqlalchemy", "matplotlib"}
    heavy |= {"sympy", "torch._dynamo", "torch.distributed.tensor", "torch._inductor", "torch.onnx"}
    found = set(done.stdout.split())
    assert {module for module in found if module in heavy or module.partition(".")[0] in heavy} == set()


HOW_LONG = """
import time
import torch
begun = time.thread_time()
import torch._dynamo
print(time.thread_time() - begun)
"""
FIRST_CHECK = """
import sys
from autograder import check

def attention_scores(query, key):
    import torch._dynamo  # broken off it could not be imported any more
    return query @ key.mT / query.shape[-1] ** 0.5

assert "torch._dynamo" not in sys.modules
result = check(attention_scores, seconds=float(sys.argv[1]))
assert result.passed, result
assert sys.modules["torch._dynamo"].optimize
"""


def test_an_import_is_never_broken_off_and_costs_nobody_anything(tmp_path):
    script = tmp_path / "first.py"
    script.write_text(FIRST_CHECK)
    takes = float(subprocess.run([sys.executable, "-c", HOW_LONG], capture_output=True, text=True, check=True).stdout)
    done = subprocess.run([sys.executable, script, str(takes / 2)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_time_is_not_up_where_a_weak_reference_calls_back(monkeypatch):
    """Python swallows what is raised there, and prints it."""
    monkeypatch.setattr(limit, "TICK", 60)  # the alarm does not ring meanwhile
    learners = SimpleNamespace(f_code=SimpleNamespace(co_filename="/home/ann/answer.py"), f_back=None)
    called = SimpleNamespace(f_code=SimpleNamespace(co_filename=weakref.__file__), f_back=learners)
    over = limit.Limit(0)
    with over:
        assert over.due(called) is None
        assert over.due(learners).burned


def test_what_an_import_runs_from_no_file_is_of_the_import(tmp_path, monkeypatch):
    """Packages make functions from text, as `dataclass` does: a file of this name is nowhere, and not the learner's."""
    code = f"{using_up(0.5)}\nexec({using_up(1)!r}, {{}})"
    (tmp_path / "package_that_takes_long.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(limit, "_NOT_THE_LEARNERS", (*limit._NOT_THE_LEARNERS, f"{os.path.realpath(tmp_path)}/"))

    def attention_scores(query, key):
        import package_that_takes_long  # noqa: F401

        return query @ key.mT / query.shape[-1] ** 0.5

    assert check(attention_scores, seconds=0.5).passed


@pytest.mark.parametrize("frozen", [False, True], ids=["usual", "frozen before"])
def test_who_collects_garbage_pays_for_their_own_and_not_for_ours(frozen, monkeypatch):
    counts, asked, count = [], [], gc.get_freeze_count
    monkeypatch.setattr(local, "_is_frozen", functools.cache(local._is_frozen.__wrapped__))
    monkeypatch.setattr(gc, "get_freeze_count", lambda: asked.append(1) or count())

    def attention_scores(query, key):
        counts.append(len(gc.get_objects()))
        return query @ key.mT / query.shape[-1] ** 0.5

    assert check(attention_scores).passed  # torch imports what it needs
    counts.clear(), asked.clear(), local._is_frozen.cache_clear()
    try:
        if frozen:
            gc.freeze()
        before = len(gc.get_objects())
        assert check(attention_scores).passed
        assert max(counts) < 20_000 and (frozen or before > 50_000)
        assert check(attention_scores).passed and len(asked) == 1, "it counts all objects of the process"
        assert (gc.get_freeze_count() > 0) is frozen
    finally:
        gc.unfreeze()


def test_several_mistakes_are_a_list():
    def scaled_dot_product_attention(query, key, value, mask=None):
        scores = query @ key.mT
        weights = torch.softmax(scores if mask is None else scores.masked_fill(mask, -torch.inf), -1)
        weights = weights.nan_to_num()
        return weights.detach() @ value, weights.detach()

    result = check(scaled_dot_product_attention)
    assert result.mistakes == ("no_scale", "mask_inverted", "cut_from_autograd")
    assert "Three mistakes at once.\n" in repr(result).replace(" " * 18, "")
    assert "3. No gradient reaches query and key.\n" in repr(result)
    html = result._repr_html_()
    assert html.count("<ol ") == 3 and html.count("<li>") == 9 and "<li>No gradient reaches query and key.</li>" in html


def using_up(seconds):
    return f"import time\nend = time.thread_time() + {seconds}\nwhile time.thread_time() < end:\n    pass"


def test_a_module_of_the_learners_own_that_never_ends_is_stopped(tmp_path, monkeypatch, patient):
    (tmp_path / "mine_that_never_ends.py").write_text("while True:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def attention_scores(query, key):
        import mine_that_never_ends  # noqa: F401

    assert "computed for 0.2 seconds" in check(attention_scores, seconds=0.2).says[0]


RIGHT_AT_FIRST = """
from autograder import check

def attention_scores(query, key):
    return query @ key.mT / query.shape[-1] ** 0.5

result = check(attention_scores, seconds=3)
assert result.passed, result
"""


def test_a_right_answer_is_right_with_all_processors_busy(tmp_path):
    script = tmp_path / "first.py"
    script.write_text(RIGHT_AT_FIRST)
    with processors_busy(3):
        done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


WAYS = {
    "lambda": "attention_scores = lambda query, key: mine(query, key)",
    "another name": "attention_scores = mine",
    "partial": "def scaled(by, query, key):\n    return query @ key.mT / query.shape[-1] ** by\n"
    "attention_scores = functools.partial(scaled, 0.5)",
    "object": "class Scores:\n    def __call__(self, query, key):\n        return mine(query, key)\n"
    "attention_scores = Scores()",
    "method": "class Scores:\n    def of(self, query, key):\n        return mine(query, key)\n"
    "attention_scores = Scores().of",
    "module": "class Scores(torch.nn.Module):\n    def forward(self, query, key):\n        return mine(query, key)\n"
    "attention_scores = Scores()",
    "wrapped": "@around\ndef attention_scores(query, key):\n    return mine(query, key)",
    "wrapped, and named": "attention_scores = functools.wraps(mine)(around(mine))",
    "kept": "@functools.lru_cache\ndef attention_scores(query, key):\n    return mine(query, key)",
    "compiled": "attention_scores = torch.compile(mine, backend='eager')",
}
INSIDE = {
    "partial": "functools.partial(attention_scores)",
    "wrapped": "functools.wraps(attention_scores)(around(attention_scores))",
    "compiled": "torch.compile(attention_scores, backend='eager')",
    "partial of a partial": "functools.partial(functools.partial(attention_scores))",
}
AROUND = """
def mine(query, key):
    return query @ key.mT / query.shape[-1] ** 0.5

def around(function):
    def inner(*inputs):
        return function(*inputs)
    return inner
"""


def checked(source):
    names = {"check": check, "torch": torch, "functools": functools}
    exec(f"{AROUND}\n{source}", names)
    return names["result"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what torch.compile imports
@pytest.mark.parametrize("way", WAYS)
def test_a_component_is_known_by_the_name_that_the_notebook_gives_it(way):
    result = checked(f"{WAYS[way]}\nresult = check(attention_scores)")
    assert (result.exercise, result.passed) == ("attention_scores", True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what torch.compile imports
@pytest.mark.parametrize("way", INSIDE)
def test_a_component_without_such_a_name_is_known_by_what_it_wraps(way):
    source = "def attention_scores(query, key):\n    return mine(query, key)\n"
    result = checked(f"{source}result = check({INSIDE[way]})")
    assert (result.exercise, result.passed) == ("attention_scores", True)


def test_a_component_that_a_function_defines_is_known_there():
    source = (
        "def inside():\n    attention_scores = lambda query, key: mine(query, key)\n    return check(attention_scores)"
    )
    assert checked(f"{source}\nresult = inside()").passed


@pytest.mark.parametrize("component", ["lambda query, key: query", "functools.partial(lambda query, key: query)"])
def test_what_has_no_name_at_all_is_refused_with_the_remedy(component):
    with pytest.raises(LookupError, match=r"nothing tells which exercise .* check\(component, exercise="):
        checked(f"result = check({component})")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what torch.compile imports
@pytest.mark.parametrize(
    "made", ["functools.partial(whole)", "Whole()", "torch.compile(whole, backend='eager')", "around(whole)"]
)
def test_helpers_are_replaced_in_whatever_calls_them(made):
    source = f"""
def attention_scores(query, key):
    return query

def attention_weights(scores, mask=None):
    return scores

def whole(query, key, value, mask=None):
    weights = attention_weights(attention_scores(query, key), mask)
    return weights @ value, weights

class Whole:
    def __call__(self, query, key, value, mask=None):
        return whole(query, key, value, mask)

scaled_dot_product_attention = {made}
result = check(scaled_dot_product_attention)
"""
    result = checked(source)
    assert result.passed and "Judged with right versions of attention_scores and attention_weights" in result.note


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what torch.compile imports
def test_what_was_compiled_runs_as_it_is_written():
    def compiler(graph, inputs):
        raise AssertionError("nothing is compiled in a check")

    @torch.compile(backend=compiler)
    def attention_scores(query, key):
        return query @ key.mT / query.shape[-1] ** 0.5

    assert check(attention_scores).passed


def test_a_component_without_source_text_can_be_checked():
    names = {"torch": torch}
    exec("attention_scores = lambda query, key: query @ key.mT / query.shape[-1] ** 0.5", names)
    assert check(names["attention_scores"], exercise="attention_scores").passed


def test_a_callable_object_can_be_checked():
    class Scores:
        def __call__(self, query, key):
            return query @ key.mT / query.shape[-1] ** 0.5

    assert check(Scores(), exercise="attention_scores").passed


def test_a_helper_that_is_unsolved_or_wrong_costs_nothing_here():
    names = {}
    exec(
        textwrap.dedent("""
        def attention_scores(query, key):
            raise NotImplementedError("this exercise is not solved yet")

        def attention_weights(scores, mask=None):
            return scores

        def scaled_dot_product_attention(query, key, value, mask=None):
            weights = attention_weights(attention_scores(query, key), mask)
            return weights @ value, weights
        """),
        names,
    )
    result = check(names["scaled_dot_product_attention"])
    assert result.passed and result.earned == result.points
    assert "Judged with right versions of attention_scores and attention_weights" in repr(result)
    assert not check(names["attention_weights"]).passed, "the learner's own helper is in its place again"


def test_what_is_printed_and_warned_is_shown_and_costs_nothing(capsys):
    import warnings

    def attention_scores(query, key):
        print("<b>scores</b>", file=sys.stderr)
        warnings.warn("careful", stacklevel=1)
        return LESSON.attention_scores(query, key)

    result = check(attention_scores)
    assert result.passed and result.earned == 2
    assert "&lt;b&gt;scores&lt;/b&gt;" in result._repr_html_() and "careful" in result.printed
    assert capsys.readouterr() == ("", "")


def test_a_misspelt_exercise_names_the_nearest():
    with pytest.raises(LookupError, match="did you mean 'attention_scores'"):
        check(without_scale, exercise="attention_score")
    with pytest.raises(LookupError, match="check\\(component, exercise="):
        check(without_scale)


def test_something_that_is_no_component_is_refused_with_the_remedy():
    with pytest.raises(TypeError, match="check needs the component itself"):
        check(torch.zeros(2), exercise="attention_scores")


def test_grade_returns_the_points_as_a_number_and_shows_the_table(capsys):
    assert check(LESSON.attention_scores).grade() == 2.0
    assert "attention_scores: right" in capsys.readouterr().out


def test_a_result_carries_its_data_for_reports():
    data = check(without_scale, exercise="attention_scores")._repr_mimebundle_()[MIME_TYPE]
    assert json.loads(json.dumps(data))["mistakes"] == ["no_scale"]


def test_hints_open_one_at_a_time_and_stay_open():
    assert "Hint 1 of 3" in repr(hint("attention_scores")) and "2 more" in repr(hint("attention_weights"))
    second = repr(hint("attention_scores"))
    assert "Hint 1 of 3" in second and "Hint 2 of 3" in second and "Hint 3" not in second
    hint("attention_scores")
    assert "That was the last hint." in repr(hint(LESSON.attention_scores))
    with pytest.raises(LookupError, match="did you mean"):
        hint("attention_scorse")


def test_a_cell_that_is_run_again_opens_no_other_hint(monkeypatch):
    cell = {}
    kernel = SimpleNamespace(get_parent=lambda channel: {"metadata": cell})
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(kernel=kernel))
    cell["cellId"] = "a"
    assert "Hint 2 of 3" not in repr(hint("attention_scores")) + repr(hint("attention_scores"))
    cell["cellId"] = "b"
    assert "Hint 2 of 3" in repr(hint("attention_scores"))
    cell["cellId"] = "a"
    assert "Hint 2 of 3" not in repr(hint("attention_scores"))
    cell.clear()  # a terminal, or an editor that does not say which cell this is
    assert "Hint 3 of 3" in repr(hint("attention_scores"))


def test_progress_of_one_lesson_and_forgetting_it(capsys):
    check(LESSON.attention_scores)
    hint("layer_norm")
    shown = repr(progress(7))
    assert "attention_scores" in shown and "layer_norm" not in shown
    assert repr(progress("scaled_dot_product_attention")) == shown
    assert "<img" not in progress(7)._repr_html_() and "<img" in progress()._repr_html_()
    progress(7).reset()
    copy = Path(capsys.readouterr().out.split("kept in ")[1].strip().rstrip("."))
    assert "attention_scores" in json.loads(copy.read_text())
    assert "✓" not in repr(progress(7)).splitlines()[1] and "Hint 2" in repr(hint("layer_norm"))
    progress(6).reset()
    assert capsys.readouterr().out == "There is nothing to forget.\n"
    with pytest.raises(LookupError, match="there is no lesson 13; the lessons are 1 Encoder, 2 Decoder"):
        progress(13)


def test_a_notebook_shows_the_result_of_a_check_and_no_bare_number_below_it(capsys):
    points = check(LESSON.attention_scores).grade()
    data, _ = DisplayFormatter().format(points)
    assert (points, data["text/plain"], data["text/html"]) == (2.0, "2.0", "")


def test_progress_outlives_the_kernel_and_counts_points():
    check(LESSON.attention_scores)
    check(without_scale, exercise="attention_scores")
    check(LESSON.attention_weights)
    check(unsolved, exercise="streaming_attention")
    assert "◐ attention_scores " in repr(progress()) and "✓ attention_weights " in repr(progress())
    assert repr(progress()).startswith("3 of "), "the last try counts"
    assert "attention_weights" in progress()._repr_html_()


def test_progress_that_cannot_be_written_stops_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRANSFORMER_TAXONOMY_STATE", str(tmp_path / "file"))
    assert check(LESSON.attention_scores).passed
    assert "Hint 1" in repr(hint("attention_scores"))


def test_without_the_solutions_every_check_answers_and_names_mistakes(tmp_path):
    """A learner's copy holds course/ and autograder/, and nothing of solutions/."""
    for name in ("autograder", "course"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    program = """
        import sys
        from pathlib import Path
        sys.modules["solutions"] = None
        from autograder import check
        def attention_scores(query, key):
            return query @ key.transpose(-2, -1) / query.shape[-1]
        print(check(attention_scores).mistake)
        print([m for m in sys.modules.values() if "solutions" in Path(getattr(m, "__file__", None) or "").parts])
        """
    paths = {
        "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, tmp_path / "course"))),
        "TRANSFORMER_TAXONOMY_STATE": str(tmp_path),
    }
    system = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=paths | system,
        timeout=120,
    )
    assert done.stdout.splitlines() == ["divided_by_head_dim", "[]"], done.stderr


def test_importing_the_machine_does_not_import_torch():
    program = "import sys, autograder; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_official_grading_can_use_fresh_numbers(dtype):
    for seed in ("one", "two"):
        result = examine(read("attention_scores"), {"attention_scores": LESSON.attention_scores}, seed=seed)
        assert not result.passed, "recorded answers belong to recorded numbers: fresh ones need a fresh record"


# Only the learner's own work counts, in every call of a check, as in grading


def attends_by_the_library(query, key, value, mask=None):
    """Right, and with a forbidden call in those calls only in which no probe looks for one."""
    output, weights = LESSON.scaled_dot_product_attention(query, key, value, mask)
    if query.shape[-2] == key.shape[-2]:
        torch.nn.functional.scaled_dot_product_attention(query, key, value)
    return output, weights


def test_a_forbidden_call_is_found_in_whatever_call_it_hides():
    result = check(attends_by_the_library, "scaled_dot_product_attention")
    assert (result.passed, result.earned) == (False, 0)
    assert result.says == [
        "This exercise forbids a library call that your code made while it ran: "
        "`scaled_dot_product_attention`. Write it yourself."
    ]


def test_an_argument_that_changes_in_some_calls_only_costs_what_the_mistake_costs():
    def attends(query, key, value, mask=None):
        found = LESSON.scaled_dot_product_attention(query, key, value, mask)
        if query.shape[-2] == key.shape[-2] and not query.requires_grad:
            query += 1
        return found

    result = check(attends, "scaled_dot_product_attention")
    assert not result.passed and result.earned < result.points
    assert result.says == [
        "In some calls your code changes its arguments in place: query. Leave the arguments unchanged."
    ]


def test_the_closed_box_that_does_what_an_exercise_asks_for_is_no_answer_to_it():
    result = check(parts.scaled_dot_product_attention)
    assert not result.passed and "write it yourself" in " ".join(result.says)
    assert parts.scaled_dot_product_attention(*torch.ones(3, 1, 2, 4))[0].shape == (1, 2, 4)


def test_an_output_that_nothing_can_be_done_with_is_a_wrong_answer():
    class Odd(torch.Tensor):
        @classmethod
        def __torch_function__(cls, *arguments, **named):
            raise TypeError("nobody looks at me")

    result = check(lambda query, key: torch.ones(2, 3).as_subclass(Odd), "attention_scores")
    assert not result.passed and result.earned == 0 and result.says


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (torch.zeros(1).expand(500_000_000), "a tensor of 500000000 numbers, too large to be looked at"),
        ([torch.zeros(1)] * 1_000_000, "a list of 1000000 values, too large to be looked at"),
    ],
)
def test_an_output_beyond_all_size_is_told_by_its_size(output, said):
    result = check(lambda query, key: output, "attention_scores")
    assert not result.passed and said in " ".join(result.says)
