"""What a component may call is found in its code, and where it cannot be known, everything may be called."""

import functools
import textwrap
from types import SimpleNamespace

import pytest
import torch

from autograder.calling.helpers import LookedThrough, may_call

NAMES = ("split", "merge")

CALLS_NONE = {
    "a function": "def answer(x): return x + 1",
    "another name that it is part of": "def answer(x): return x.split_heads",
    "a function of torch with a closure": "@torch.no_grad()\ndef answer(x): return x",
    "a class": "class answer(nn.Module):\n    def forward(self, x): return getattr(self, 'norm')(x)",
    "a cell beside it does": "def answer(x): return other\nother = 3\ndef beside(x): return split(x)",
    "a closed box": "answer = type('answer', (MultiHeadAttention,), {})",
}
CALLS_ONE = {
    "a function": "def answer(x): return split(x)",
    "a function within it": "def answer(x): return (lambda: [split(one) for one in x])()",
    "what it calls in turn": "def answer(x): return other(x)\ndef other(x): return split(x)",
    "a closure": "def made(one):\n    def answer(x): return one(x)\n    return answer\n"
    "answer = made(lambda x: split(x))",
    "a default": "def answer(x, one=lambda x: split(x)): return one(x)",
    "a decorator of torch's": "@torch.no_grad()\ndef answer(x): return split(x)",
    "a decorator of Python's": "@functools.lru_cache\ndef answer(x): return split(x)",
    "a part of another one": "answer = functools.partial(lambda n, x: split(x), 3)",
    "what lies in a dict": "def answer(x): return steps['a'][0].one(x)\n"
    "steps = {'a': [SimpleNamespace(one=lambda x: split(x))]}",
    "a property": "class answer(nn.Module):\n    @property\n    def heads(self): return split(self)",
    "a method": "class answer(nn.Module):\n    def forward(self, x): return self.parts(x)\n"
    "    parts = staticmethod(lambda x: split(x))",
    "a base class": "class base(nn.Module):\n    def forward(self, x): return split(x)\nclass answer(base): pass",
    "a class that it builds": "def answer(x): return Inner()(x)\n"
    "class Inner:\n    def __call__(self, x): return split(x)",
    "an object": "class Inner:\n    def __call__(self, x): return split(x)\nanswer = Inner()",
    "an object of a class that nothing tells a module": "del __name__\nclass Inner:\n"
    "    def __call__(self, x): return split(x)\nanswer = Inner()",
    "a module that takes another's name": "__name__ = 'torch.nn'\ndef answer(x): return split(x)",
    "an object's method": "class Inner:\n    def go(self, x): return split(x)\nanswer = Inner().go",
    "an attribute of a module": "def answer(x): return lesson.split(x)",
    "an import": "def answer(x):\n    from lesson import split\n    return split(x)",
    "a text": "def answer(x): return getattr(lesson, 'split')(x)",
}
MAY_CALL_ALL = {
    "globals": "def answer(x): return globals()['spl' + 'it'](x)",
    "the modules": "def answer(x):\n    import sys\n    return getattr(sys.modules['lesson'], 'spl' + 'it')(x)",
    "the notebook itself": "def answer(x): return getattr(notebook, 'spl' + 'it')(x)\nimport __main__ as notebook",
    "code from a text": "def answer(x): return eval('spl' 'it(x)')",
    "too much to look through": "many = [[] for _ in range(6000)]\ndef answer(x): return many",
}


def answer(source):
    from torch import nn

    from workbench.parts import MultiHeadAttention

    names = dict(
        __name__="lesson", torch=torch, nn=nn, functools=functools, MultiHeadAttention=MultiHeadAttention,
        SimpleNamespace=SimpleNamespace,
    )  # fmt: skip
    exec(textwrap.dedent(source), names)
    return names["answer"]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        *((source, ()) for source in CALLS_NONE.values()),
        *((source, ("split",)) for source in CALLS_ONE.values()),
        *((source, NAMES) for source in MAY_CALL_ALL.values()),
    ],
    ids=[*CALLS_NONE, *CALLS_ONE, *MAY_CALL_ALL],
)
def test_a_component_may_call_what_its_code_names_and_all_where_that_is_unknown(source, found):
    assert may_call(answer(source), NAMES) == found
    assert LookedThrough().may_call(answer(source), ()) == ()


def test_another_component_and_other_names_are_looked_through_anew():
    known = LookedThrough()
    for one in (CALLS_NONE["a class"], CALLS_ONE["a function"]):
        assert known.may_call(answer(one), NAMES) == may_call(answer(one), NAMES)
    component = answer(CALLS_ONE["a function"])
    assert known.may_call(component, NAMES) == ("split",) and known.may_call(component, ("merge",)) == ()
