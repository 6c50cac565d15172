"""The page of a report: one file that runs no script, loads nothing, and shows what learners wrote as text."""

import datetime
from collections.abc import Iterable, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from ..display import marked_up, shown
from ..feedback.pages import INVISIBLE, is_ordinary, markdown
from . import findings, pictures
from .findings import STATES, Belief, Report

TEMPLATES = Path(__file__).parent.parent / "templates" / "report"
MOST_CHANGES, MOST_NAMELESS, MOST_PAIRS = 30, 40, 30  # that the page shows; the JSON has all
MOST_LINES = 40  # of an answer
FEW = 8  # names that stand open


def page(report: Report) -> str:
    """Return the page of a report."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "bar": _bar,
        "picture": lambda example: Markup(pictures.example(example)),
        "code": _code,
        "bare": findings.bare,
        "prose": lambda text: Markup(markdown(text)),
        "sentence": lambda text: Markup(marked_up(_visible(text))),
        "label": lambda name: name.replace("_", " "),
        "said": _visible,
    }
    titles = {one.name: f"{one.number} {one.title}" if one.number else one.title for one in report.lessons}
    return environment.get_template("page.html.j2").render(
        report=report,
        css=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        states=STATES,
        titles=titles,
        now=datetime.datetime.now(),
        summary=_summary(report),
        monday=[report.belief(name) for name in report.monday],
        groups=[one for one in report.nameless if not one.draft],
        drafts=[one for one in report.nameless if one.draft],
        places=_places,
        most={"changes": MOST_CHANGES, "nameless": MOST_NAMELESS, "pairs": MOST_PAIRS, "names": FEW},
    )


def _summary(report: Report) -> dict[str, int]:
    states = {name: sum(each.states[name] for one in report.lessons for each in one.exercises) for name in STATES}
    questions = [question for lesson in report.by_hand.written.values() for question in lesson.values()]
    return states | {
        "answers": sum(states.values()),
        "hand_ins": sum(times * many for one in report.lessons for times, many in one.again.items()),
        "waiting": sum(len(whose) for _, whose in questions),
        "waiting_points": round(sum(points * len(whose) for points, whose in questions)),
        "refused": sum(len(one.refused) for one in report.lessons),
        "flags": len(report.by_hand.flags),
        "nameless": sum(len(one.learners) for one in report.nameless if not one.draft),
        "alike": sum(map(len, report.alike.values())),
    }


def _places(belief: Belief) -> Sequence[tuple[str, list[tuple[str, int]]]]:
    """Return [(lesson, [(exercise, learners)])] of where a belief showed."""
    found: dict[str, list[tuple[str, int]]] = {}
    for (lesson, exercise), whose in belief.where.items():
        found.setdefault(lesson, []).append((exercise, len(whose)))
    return list(found.items())


def _bar(parts: Iterable[tuple[str, int]], whole: int | None = None) -> Markup:
    return Markup(pictures.bar(parts, whole))


def _visible(text: object) -> str:
    return INVISIBLE.sub("", shown(str(text), None, lines=True))


def _code(source: str) -> Markup:
    """Return code with its colours, as pygments escapes it; as plain text what would take too long."""
    lines = _visible(source).rstrip().split("\n")
    rest = [f"... and {len(lines) - MOST_LINES} more lines"] if len(lines) > MOST_LINES else []
    text = "\n".join([*lines[:MOST_LINES], *rest])
    if not is_ordinary(text):
        return Markup("<pre>{}</pre>").format(text[:2_000])
    coloured = highlight(text, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True))
    return Markup(f'<pre class="code">{coloured}</pre>')
