"""What all movable things share: what the hand asks, what the learner's functions answer, and a still picture."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from ..figures import Picture

HERE = Path(__file__).parent


class Movable(anywidget.AnyWidget):
    """A widget that asks `answer` again whenever the hand has moved something.

    asked  what the hand has set, by name; the browser writes it
    told   what `answer(asked)` returned; the browser draws it. If it raised, only `fault` in it changes: the picture
           stays as it was, and the sentence stands below it
    fixed  what does not change
    """

    asked = traitlets.Dict().tag(sync=True)
    told = traitlets.Dict().tag(sync=True)
    fixed = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        script: str,
        answer: Callable[[dict[str, Any]], dict[str, Any]],
        still: Callable[[dict[str, Any], dict[str, Any]], Picture],
        asked: dict[str, Any],
        fixed: dict[str, Any],
    ) -> None:
        """Ask once, so that a function that is not solved yet says so here, before anything is shown.

        script  the file beside this one that draws it, with `render({model, el})`
        still   makes the picture for wherever widgets do not run, from (asked, told)
        """
        self._answer, self._still = answer, still
        told = answer(copy.deepcopy(asked)) | {"fault": ""}
        self._esm = "\n".join((HERE / name).read_text(encoding="utf-8") for name in ("shared.js", script))
        self._css = (HERE / "shared.css").read_text(encoding="utf-8")
        super().__init__(asked=asked, told=told, fixed=fixed)

    @traitlets.observe("asked")
    def _move(self, change: Any) -> None:
        if change.old is traitlets.Undefined or not self.told:
            return
        try:
            self.told = self._answer(copy.deepcopy(change.new)) | {"fault": ""}
        except Exception as error:  # whatever the learner's function raises is the learner's to see
            self.told = self.told | {"fault": f"{type(error).__name__}: {error}"}

    def show(self) -> None:
        """Show it now; a cell shows only its last expression by itself."""
        from IPython.display import display

        display(self)

    def __repr__(self) -> str:
        return str(self.told["sentence"])

    def picture(self) -> Picture:
        """Return the still picture of how it stands now."""
        return self._still(self.asked, self.told)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        picture = self.picture()
        drawn = picture._repr_png_()
        if drawn is not None:
            data["image/png"], metadata["image/png"] = drawn
        data["text/plain"] = picture.sentence
        return data, metadata
