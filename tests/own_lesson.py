"""A lesson of an instructor's own, begun in a temporary course, with probes in a folder of its own."""

import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

from autograder import probes
from autograder.authoring import lesson, scaffold

COUNT = itertools.count(1)  # probes are imported once, so that no two lessons may have the same name


@dataclass
class OwnLesson:
    """The files of a new lesson; its exercise is called like the lesson."""

    root: Path
    name: str
    paths: dict

    def replace(self, kind, old, new):
        """Replace one place in the text, probes, mistakes or alternatives; EXERCISE stands for the exercise."""
        path, old, new = self.paths[kind], *(text.replace("EXERCISE", self.name) for text in (old, new))
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, (kind, old)
        path.write_text(text.replace(old, new), encoding="utf-8")

    def read(self):
        return lesson.read(self.paths["text"])


def begin(root, monkeypatch, number=None):
    """Begin a lesson in a folder, as `new-lesson` does, and return it. What is imported of it goes with the test."""
    name = f"own_lesson_{next(COUNT)}"
    (root / "probes").mkdir()
    (root / "nbgrader_config.py").write_text("c = get_config()\n", encoding="utf-8")
    monkeypatch.setattr(probes, "__path__", [str(root / "probes"), *probes.__path__])
    monkeypatch.setattr(probes, "_PROBES", dict(probes._PROBES))
    scaffold.begin(root, name, "A lesson of one's own", number)
    monkeypatch.setitem(sys.modules, f"{probes.__name__}.{name}", None)
    monkeypatch.delitem(sys.modules, f"{probes.__name__}.{name}")
    return OwnLesson(root, name, scaffold.places(root, name))
