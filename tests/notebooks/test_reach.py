"""What a learner's source reaches for: ordinary code is never flagged, and what could forge a report always is."""

import json

import pytest
from lessons import LESSONS, REPOSITORY, alternatives, catalogue, read

from autograder.notebooks import reach

ORDINARY = [
    "import math, random, time, sys, os\nprint(sys.version, os.getcwd(), torch.__version__)",
    "import torch.nn as nn\nimport torch.nn.functional as F\nfrom torch import nn, optim, Tensor",
    "import numpy as np\nx = np.random.default_rng(3).normal(size=(2, 3))\nprint(x.mean(), np.linalg.norm(x))",
    "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([2, 3])\nax.set_title('x')\nplt.show()",
    "%matplotlib inline\nfrom matplotlib import pyplot as plt\nplt.rcParams['figure.dpi'] = 90",
    "%load_ext autoreload\n%autoreload 2",
    "%timeit attention_scores(torch.ones(2, 3), torch.ones(5, 3))",
    "%%time\nfor step in range(3):\n    print(step)",
    "%%capture out\nprint('quiet')",
    "attention_scores?",
    "from dataclasses import dataclass, field\n@dataclass\nclass Config:\n    size: int = 3\n"
    "    names: list = field(default_factory=list)\n    def __post_init__(self):\n        self.double = 2 * self.size",
    "from functools import partial, lru_cache, reduce, wraps\nadd = partial(torch.add, alpha=2)\n"
    "def logged(f):\n    @wraps(f)\n    def inner(*args):\n        return f(*args)\n    return inner",
    "from typing import Optional, Callable, NamedTuple\nclass Pair(NamedTuple):\n    a: int\n    b: int = 3",
    "from collections import Counter, defaultdict, namedtuple\nP = namedtuple('P', 'x y')\nprint(Counter('aab'))",
    "from torch.utils.data import DataLoader, TensorDataset\nfor batch in DataLoader(TensorDataset(torch.ones(3))):\n"
    "    print(batch)",
    "for p in model.parameters():\n    p.requires_grad = False\n    p.grad = None",
    "for m in model.modules():\n    if isinstance(m, nn.Dropout):\n        m.p = 0.0",
    "for name, module in model.named_modules():\n    print(name, module.__class__.__name__, type(module).__name__)",
    "model.eval()\nwith torch.no_grad():\n    model.linear.weight.copy_(torch.eye(3))\nmodel.linear.bias.data = "
    "torch.zeros(3)",
    "model.head.weight = model.embedding.weight",
    "class Layer(nn.Module):\n    def __init__(self, size):\n        super().__init__()\n        self.size = size\n"
    "        self.act = F.gelu\n        setattr(self, 'proj', nn.Linear(size, size))\n"
    "        self.register_buffer('mask', torch.ones(3))\n    def forward(self, x):\n        return self.act(x)",
    "class Old(nn.Module):\n    def __init__(self):\n        nn.Module.__init__(self)\n        self.f = lambda x: x",
    "class Base(nn.Module):\n    def forward(self, x):\n        return x\n"
    "class Child(Base):\n    def forward(self, x):\n        return Base.forward(self, x) + 1",
    "for name in ('relu', 'gelu', 'silu'):\n    print(name, getattr(F, name)(torch.ones(2)))",
    "activation = 'gelu'\nf = getattr(F, activation)",
    "act = getattr(F, 'gelu' if deep else 'relu')",
    "if hasattr(model, 'bias'):\n    print(getattr(model, 'bias', None))",
    "handle = model.register_forward_hook(lambda module, given, output: print(output.shape))\nhandle.remove()",
    "x = torch.ones(2, requires_grad=True)\nx.register_hook(print)\n(x * 3).sum().backward()\nprint(x.grad)",
    "assert torch.allclose(attention_weights(torch.zeros(2, 3)), torch.full((2, 3), 1 / 3))",
    "# compare with PyTorch\nprint(torch.equal(F.scaled_dot_product_attention(q, k, v), mine))",
    "try:\n    attention_scores(1, 2)\nexcept Exception as error:\n    print(type(error).__name__, error)",
    "import traceback\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    traceback.print_exc()",
    "with open('notes.txt') as file:\n    print(file.read())",
    "from pathlib import Path\nprint(Path('data') / 'a.txt', Path('a.txt').exists())",
    "import copy\nother = copy.deepcopy(model)\nother.load_state_dict(model.state_dict())",
    "from tqdm.auto import tqdm\nfor step in tqdm(range(3)):\n    pass",
    "from IPython.display import display, HTML, Markdown, clear_output\ndisplay(HTML('<b>x</b>'))",
    "from autograder import check, hint, progress\nhint('attention_scores')",
    "from workbench import figures\nfrom workbench.parts import Encoder\nfigures.source(Encoder)",
    "import torch.nn.functional as Fn\nprint(dir(Fn)[:3])\nhelp(torch)\nprint(math)",
    "torch.manual_seed(3)\ntorch.set_printoptions(precision=3)\ntorch.nn.utils.clip_grad_norm_(m.parameters(), 1)",
    "optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)\nfor group in optimizer.param_groups:\n"
    "    group['lr'] *= 0.5",
    "device = 'cuda' if torch.cuda.is_available() else 'cpu'\ntorch.backends.cuda.is_built()",
    "if __name__ == '__main__':\n    print('a notebook')",
    "match batch:\n    case {'x': x}:\n        print(x)\n    case Config(size=3):\n        print('three')",
    "lines = [f'{name}: {value:.3f}' for name, value in results.items()]\nprint('\\n'.join(lines))",
    "import einops\neinops.rearrange(x, 'b t (h d) -> b h t d', h=3)",
    "@torch.compile\ndef f(x):\n    return x",
    "from types import SimpleNamespace\nresult = SimpleNamespace(loss=3)\nresult.loss = 2\nresult.seen = [2, 3]",
    "import json, re, itertools, string, statistics\nprint(json.dumps({'a': 2}), re.sub('a', 'b', 'a'))",
    "x = torch.as_strided(torch.arange(6), (2, 3), (1, 2))",
    "import logging, warnings\nwarnings.filterwarnings('ignore')\nlogging.basicConfig(level=logging.INFO)",
    "result = model(x)\nresult.logits = result.logits.softmax(-1)\nstate.step = 3",
    "import torch as t, numpy as n\nprint(t.randn(2), n.ones(3))",
    "import codecs\ndecoder = codecs.getincrementaldecoder('utf-8')(errors='replace')\nprint(decoder.decode(b'a'))",
    "prnt 'this is no Python'",
    "this is a note in the wrong kind of cell",
]

REACHING = [
    "exec('x = 1')",
    "ｅｘｅｃ('x = 1')",
    "eval('1')",
    "compile('1', '', 'eval')",
    "__import__('gc')",
    "globals()['check']",
    "vars(torch)",
    "locals()",
    "__builtins__",
    "get_ipython().kernel",
    "breakpoint()",
    "memoryview(b'x')",
    "import gc",
    "import inspect",
    "import ctypes",
    "import importlib",
    "import builtins",
    "import threading",
    "import signal",
    "import socket",
    "import subprocess",
    "import asyncio",
    "import multiprocessing",
    "import pickle",
    "import atexit",
    "import zmq",
    "import code",
    "import pdb",
    "import unittest.mock",
    "import helper",
    "import concurrent.futures",
    "import queue",
    "import mmap",
    "import faulthandler",
    "import weakref, gc",
    "from . import helper",
    "from os import *",
    "from os import fork",
    "os.fork()\nimport os",
    "import os as o\no.kill(1, 9)",
    "import sys\nsys.modules",
    "from sys import modules",
    "import sys as s\ns._getframe()",
    "import sys\nsys.path.append('.')",
    "import sys\nsys.settrace(print)",
    "import sys\nsys.setrecursionlimit(10)",
    "from __future__ import barry_as_FLUFL",
    "import autograder",
    "import autograder.calling.inside",
    "from autograder.calling import inside",
    "import IPython",
    "from IPython import get_ipython",
    "from IPython.core import interactiveshell",
    "torch.equal = lambda *a: True",
    "torch.Tensor.clone = f",
    "import torch as t\nt.equal = f",
    "T = torch\nT.equal = 3",
    "(torch.nn.functional).softmax = f",
    "type(x).clone = f",
    "check.grade = f",
    "for torch.equal in [f]: pass",
    "with a as torch.equal: pass",
    "[0 for torch.equal in [f]]",
    "del torch.equal",
    "str.join = f",
    "setattr(torch, 'equal', f)",
    "def g(self):\n    self.equal = f\ng(torch)",
    "g(torch)",
    "holder = [torch]",
    "class C:\n    def g(self):\n        self.clone = f\nC.g(torch.Tensor)",
    "class C:\n    def g(self):\n        self.clone = f\nh = C.g",
    "class C:\n    def g(self):\n        def h(self):\n            self.clone = f\n        h(torch.Tensor)",
    "class C:\n    def g(self):\n        self = torch.Tensor\n        self.clone = f",
    "import functools\nfunctools.update_wrapper(x, y, ('equal',), ())",
    "from functools import wraps\nwraps(x, assigned=('a',))",
    "torch._C",
    "torch.overrides",
    "from torch.overrides import TorchFunctionMode",
    "torch.ops.aten.softmax",
    "import torch as t\nt.ops.aten",
    "from torch import ops",
    "torch.jit.script(f)",
    "torch.compiler.set_stance('default')",
    "torch._refs",
    "F.torch._C",
    "nn.functional._in_projection",
    "torch.threading",
    "torch.sys",
    "math.sys",
    "figures.sys",
    "class M(TorchFunctionMode): pass",
    "class T(torch.Tensor): pass",
    "class M(type): pass",
    "class T(nn.Parameter): pass",
    "class T:\n    def __torch_function__(self): pass",
    "class T:\n    __torch_function__ = f",
    "class T:\n    @property\n    def __class__(self): return torch.Tensor",
    "class L(nn.Module):\n    def named_parameters(self): yield 'a', 1",
    "class L(nn.Module):\n    state_dict = lambda self: {}",
    "type('T', (), {'f': g})",
    "class L(nn.Module):\n    def __getattr__(self, name): pass",
    "class L(nn.Module):\n    def __setattr__(self, n, v): pass",
    "model.stub_calls.clear()",
    "getattr(model, 'stub_calls')",
    "model._forward_hooks.clear()",
    "nn.modules.module.register_module_forward_hook(f)",
    "f.__globals__",
    "f.__closure__",
    "x.__dict__",
    "x.__reduce__",
    "getattr(F, 'scaled_dot' + '_product_attention')",
    "getattr(torch, name)",
    "getattr(f, '__code__')",
    "name = input()\ngetattr(torch, name)",
    "from operator import attrgetter",
    "import operator\noperator.attrgetter('a.b')",
    "try:\n    1 / 0\nexcept Exception as e:\n    e.__traceback__.tb_frame",
    "error.with_traceback(None)",
    "open('/proc/self/mem', 'rb')",
    "open(path)",
    "open('/run/sandbox/connection.json')",
    "open('helper.py', 'w')",
    "from pathlib import Path\nPath('/proc/self/mem').read_bytes()",
    "import pathlib\npathlib.Path(p).open()",
    "import numpy as np\nnp.memmap('x')",
    "import numpy as np\nnp.lib.stride_tricks.as_strided(a, (1,), (1,))",
    "import numpy as np\nnp.load('x', allow_pickle=True)",
    "torch.load('x')",
    "import typing\ntyping.get_type_hints(f)",
    "import timeit\ntimeit.timeit('x')",
    "import random\nrandom._os",
    "import codecs\ncodecs.builtins",
    "from codecs import register_error",
    "import collections\ncollections._sys",
    "!ls",
    "files = !ls",
    "%run helper.py",
    "run helper.py",
    "%%bash\nls",
    "%%writefile helper.py\nx = 1",
    "%load_ext helper",
    "load_ext helper",
    "%system ls",
    "%sx ls",
    "%%time\nexec('1')",
    "%time exec('1')",
    "%time x = {exec('1')}",
    "%timeit -n 1 exec('1')",
    "%%timeit\nexec('1')",
    "%%timeit exec('1')\npass",
    "%%capture\n%%time\nexec('1')",
    "%%capture\nimport gc",
    "%%prun\nx",
    "%alias x ls",
    "%env A=1",
    "time exec('1')",
    "await asyncio.sleep(1)\nimport asyncio",
    "async def f():\n    import gc",
    "match x:\n    case C(__dict__=d): pass",
    "f = lambda: exec",
    "def f(x=exec): pass",
    "class C:\n    x = exec",
    "[e for e in (exec,)]",
    "@exec\ndef f(): pass",
    "x: exec = 1",
    "%time x\n" * 60,
    "x = " + "(" * 150 + ")" * 150 + "\n" + "-" * 5000 + "1",
]


def found(source):
    return [one.what for _, one in reach.into_the_interpreter([source])]


OF_ITS_OWN = [
    "def f(x):\n    parts = x.chunk(3)\n    return torch.cat(parts)",
    "def f(x):\n    parts = []\n    for one in x:\n        parts.append(one)\n    return torch.cat([*parts])",
    "def f(x, math):\n    return g(math, x)",
    "f = lambda nn: g(nn)",
    "def f(x):\n    for figures in x:\n        show(figures)",
    "parts = ['a', 'b']\ndef f():\n    return g(parts)",
    "figures = [1, 2]\nprint(sum(figures), figures[0])\nfor one in figures:\n    g(figures)",
    "with g() as (figures, other):\n    h(figures)\nh([one for one in figures if one in figures])",
    "if x:\n    math = 1\nelse:\n    math = 2\ng(math)",
    "for figures in x:\n    g(figures)",
    "g([nn for nn in x], sum(F for F in x))",
    "class math:\n    F = 3\n    both = F, F\ng(math())",
]
OF_THE_OUTSIDE = [
    "from workbench import parts\ndef f(x):\n    return g(parts)",
    "g(math)\nmath = 3",
    "math = 3\ndef f():\n    return g(math)",
    "math = 3\nf = lambda: g(math)",
    "math = 3\nf = (math for _ in x)",
    "math = 3\nif x:\n    import math\ng(math)",
    "math = 3\nmath = torch\ng(math)",
    "math = 3\nimport torch as math\ng(math)",
    "def f():\n    global math\n    import math\nmath = 3\nf()\ng(math)",
    "try:\n    math = 1 / 0\nexcept ZeroDivisionError:\n    pass\ng(math)",
    "for one in x:\n    math = 3\ng(math)",
    "if x:\n    math = 3\ng(math)",
    "for math in x:\n    pass\ng(math)",
    "with g():\n    math = h()\ng(math)",
    "[math for _ in x]",
    "math = 3\ndef f(y=math, z=torch): pass",
    "def f(x, y=g(math)):\n    math = 3",
    "def f(x):\n    global math\n    math = math\n    return g(math)",
    "def f(x):\n    math = []\n    def inner():\n        global math\n        return g(math)\n    return inner",
    "def f(x):\n    import math\n    return g(math)",
    "def f(x):\n    parts = math\n    return g(parts)",
]


@pytest.mark.parametrize("source", OF_ITS_OWN)
def test_a_name_that_a_function_or_a_cell_has_for_something_of_its_own_is_no_module(source):
    assert found(source) == []


@pytest.mark.parametrize("source", OF_THE_OUTSIDE)
def test_a_module_stays_one_whatever_else_may_be_called_the_same(source):
    assert found(source) != []


@pytest.mark.parametrize("source", ORDINARY, ids=lambda source: source[:50])
def test_ordinary_code_reaches_into_nothing(source):
    assert found(source) == []


@pytest.mark.parametrize("source", REACHING, ids=lambda source: source[:50])
def test_code_that_could_forge_a_report_is_found(source):
    assert found(source) != []


@pytest.mark.parametrize("name", LESSONS)
def test_answers_of_the_course_right_and_wrong_reach_into_nothing(name):
    sources = {exercise.source for exercise in read(name).exercises.values()}
    for exercise in read(name).exercises:
        others = alternatives(name)
        sources |= {others.source(exercise, style) for style, _ in others.of(exercise)}
        # Mistakes are made of the same steps again and again.
        sources |= {catalogue(name).source(wrong) for wrong in catalogue(name).singles(exercise)[::5]}
    assert [(one, source) for source in sorted(sources) for _, one in reach.into_the_interpreter([source])] == []


@pytest.mark.parametrize("path", sorted((REPOSITORY / "course").glob("*/*.ipynb")), ids=lambda path: path.stem)
def test_no_cell_of_a_released_notebook_reaches_into_anything(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert reach.into_the_interpreter(["".join(cell["source"]) for cell in cells]) == []


def test_names_mean_the_same_in_all_cells():
    cells = ["import torch as t", "s = t", "s.equal = 3"]
    assert [(index, one.line) for index, one in reach.into_the_interpreter(cells)] == [(2, 1)]


@pytest.mark.parametrize(
    "source",
    [
        "F.softmax(x)",
        "from torch.nn.functional import softmax as quiet",
        "getattr(F, 'softmax')",
        "x.softmax(-1)",
        "def f(x, g=F.softmax): pass",
        "class C:\n    g = F.softmax",
        "%time F.softmax(x)",
    ],
)
def test_a_forbidden_call_is_named(source):
    assert [one.line for _, one in reach.named([source], {"softmax"})] != []


def test_a_function_of_ones_own_may_have_any_name():
    assert reach.named(["def softmax(x): return x\nsoftmax(2)\nself.softmax(3)"], {"softmax"}) == []


@pytest.mark.parametrize(
    "source",
    [
        "x = 1\0",
        "(" * 3000,
        "-" * 100_000 + "1",
        "1" + "+1" * 50_000,
        "!ls\n" * 700,
        "%time x\n" * 700,
        "\ud800",
        "[" * 90 + "]" * 90,
        "a." * 20_000 + "b",
        "f(" * 80 + ")" * 80,
        "lambda: " * 2_000 + "1",
        "return 3",
        "global x\nx: int = 3",
        "nonlocal x",
        "x = 1\n\r\x0c\x00",
        "%%",
        "%",
        "!",
        "?",
        "\\",
        "%%time\n" * 30,
        "'" * 5_001,
        "f'{" * 60,
        "x = 0x" + "f" * 50_000,
        "eval(0x" + "f" * 50_000 + ")",
        "x = y" + " + y" * 3_000,
    ],
    ids=lambda source: repr(source[:20]),
)
def test_whatever_a_cell_holds_it_is_read(source):
    from nbformat.v4 import new_code_cell

    from autograder.notebooks.demos import unneeded
    from autograder.notebooks.needed import doubt, needed
    from autograder.notebooks.session import without_older

    reach.into_the_interpreter([source])
    reach.named([source], {"softmax"})
    unneeded([new_code_cell("x = 1", id="demo-1"), new_code_cell(source)])
    needed([source], ["x"])
    doubt([source], "x")
    without_older([source, source])
