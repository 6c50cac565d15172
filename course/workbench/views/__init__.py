"""Views of attention, for the transformer that a learner has built: in any notebook and any browser, offline.

`collect` takes weights, queries and keys out of a model while it reads. `head_view`, `model_view` and `neuron_view`
are BertViz's views with BertViz's arguments, also of any list of attention tensors; `heat_map` shows numbers, and
`before_and_after` one text in several models.

    from workbench.views import collect, head_view
    head_view(collect(model, ids, tokens=words))
"""

from .attention import Attention, Kind, ViewError
from .collect import collect
from .heat import before_and_after, heat_map
from .interactive import View, head_view, model_view, neuron_view

__all__ = [
    "collect",
    "head_view",
    "model_view",
    "neuron_view",
    "heat_map",
    "before_and_after",
    "Attention",
    "Kind",
    "View",
    "ViewError",
]
