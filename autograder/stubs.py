"""Arguments that are not plain data, described by plain data, so that a probe can ask for them anywhere."""

from dataclasses import dataclass

import torch.nn.functional as F

from .submission import Stub


@dataclass
class Activation(Stub):
    """A function of torch.nn.functional, by its name: "gelu"."""

    name: str

    def make(self):
        return getattr(F, self.name)
