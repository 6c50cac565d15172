"""A kernel that is none: the judge's calls are answered in this process, but travel as they do to a sandbox."""

import json

from autograder.calling import inside
from autograder.calling.remote import Remote


class Loopback:
    """A channel to components that live in this process.

    names   what the notebook defines
    forged  function that may change (content, buffers) of an answer
    """

    ended = ""

    @staticmethod
    def computed():
        return 0.0

    def __init__(self, names, forged=lambda content, buffers: (content, buffers)):
        self.names, self.forged, self.asked = names, forged, []

    def ask(self, content, buffers):
        self.asked.append((content, buffers))
        sent = json.loads(json.dumps(content))
        answers, given = inside.answers(self.names, sent, [memoryview(buffer) for buffer in buffers])
        forged, rest = [], []
        for one in answers["answers"]:
            own, given = given[: one["buffers"]], given[one["buffers"] :]
            one, own = self.forged(one, own)
            forged.append(one | {"buffers": len(own)} if isinstance(one, dict) else one)
            rest += own
        return json.loads(json.dumps({"answers": forged})), [memoryview(buffer) for buffer in rest]


def remote(names, **options):
    """Return a submission whose components are these."""
    channel = Loopback(names, **options)
    return Remote(lambda: channel)
