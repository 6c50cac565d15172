"""Ways to points that were not earned, to what is none of a submission's business, and to other people's harm.

Each attack is code that stands in a cell of the learner's own, before the answers, or that takes the place of an
answer. It says DID where it did what it set out to do within its own process, and REFUSED where the system did not
let it, so that a misspelt attack does not pass for a defence. In braces stand paths of the host.
"""

from dataclasses import dataclass, field

UNSCALED = "def attention_scores(query, key):\n    return query @ key.transpose(-2, -1)\n"
UNMASKED = "def attention_weights(scores, mask=None):\n    return torch.softmax(scores, dim=-1)\n"
WHOLE = """def streaming_attention(query, key, value, block_size):
    return torch.softmax(query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5, dim=-1) @ value
"""
LIBRARY = """def scaled_dot_product_attention(query, key, value, mask=None):
    import torch.nn.functional as F
    eye = torch.eye(key.shape[-2], dtype=value.dtype, device=value.device).expand(*key.shape[:-1], key.shape[-2])
    attend = CALL
    weights = torch.nan_to_num(attend(query, key, eye, attn_mask=mask))
    return weights @ value, weights
"""
# Wrong answers: too large, without the mask, by a forbidden call, and with the whole table in memory.
WRONG = {
    "attention_scores": UNSCALED,
    "attention_weights": UNMASKED,
    "scaled_dot_product_attention": LIBRARY.replace("CALL", "F.scaled_dot_product_attention"),
    "streaming_attention": WHOLE,
}


@dataclass(frozen=True)
class Attack:
    """One attack: its class, a name, code for a cell before the answers, and answers that replace wrong ones."""

    kind: str
    name: str
    code: str = "print('DID')"
    answers: dict = field(default_factory=dict)


def own(kind, **codes):
    """Return attacks that stand in a cell of their own."""
    return [Attack(kind, name, code.strip("\n")) for name, code in codes.items()]


def scores(kind, **bodies):
    """Return attacks that take the place of attention_scores; the body begins behind the line with `def`."""
    head = "def attention_scores(query, key):\n"
    return [
        Attack(
            kind,
            name,
            answers={"attention_scores": head + "".join(f"    {line}\n" for line in body.strip("\n").splitlines())},
        )
        for name, body in bodies.items()
    ]


def library(kind, **calls):
    """Return attacks that hide a forbidden call: an expression for the function, or (code before, expression)."""
    found = []
    for name, call in calls.items():
        before, expression = call if isinstance(call, tuple) else ("", call)
        answer = LIBRARY.replace("CALL", expression)
        found.append(Attack(kind, name, before + "\nprint('DID')", {"scaled_dot_product_attention": answer}))
    return found


def tried(body):
    """Return code that says REFUSED where the system refuses."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
    return f"try:\n{lines}except BaseException as error:\n    print('REFUSED', type(error).__name__)\n"


def read(path):
    return tried(f"print('DID', open({path!r}, errors='replace').read())")


PATCH_HERE = """
from autograder.calling import inside, local
right = inside.Own.call
def forged(self, request):
    reply = right(self, request)
    {change}
    return reply
local.Here.call = forged
inside.Own.call = forged
print('DID')
"""

ATTACKS = [
    *own(
        "comparison patched",
        allclose="torch.allclose = lambda *a, **k: True\ntorch.equal = torch.isclose = torch.allclose\nprint('DID')",
        equality="torch.Tensor.__eq__ = lambda self, other: True\nprint('DID')",
        asserts_removed="""
import ast
class Gone(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.Pass()
get_ipython().ast_transformers.append(Gone())
print('DID')
""",
        same_patched="""
import autograder.diagnosing.observation as o, autograder.diagnosing.diagnosis as d
o.same = d.same = lambda *a: True
print('DID')
""",
    ),
    *scores(
        "odd values",
        always_equal="class Yes:\n    def __eq__(self, other): return True\n    shape = (2, 3, 5)\nreturn Yes()",
        lying_subclass="""
class Liar(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return True if 'equal' in str(function) or 'close' in str(function) else super().__torch_function__(
            function, types, args, kwargs or {})
return (query @ key.transpose(-2, -1)).as_subclass(Liar)
""",
        nan="return torch.full((*query.shape[:-1], key.shape[-2]), float('nan'))",
        infinite="return torch.full((*query.shape[:-1], key.shape[-2]), float('inf'))",
        huge_integer="return 10 ** 10000",
        huge_tensor="return torch.zeros(40_000_000)",
        expanded_without_end="return torch.zeros(1).expand(2 ** 50)",
        sparse="return (query @ key.transpose(-2, -1)).to_sparse()",
        meta="return (query @ key.transpose(-2, -1)).to('meta')",
        nested="value = [query]\nfor _ in range(500): value = [value]\nreturn value",
        endless_list="return [query] * 100_000",
        text="class T(str):\n    def __eq__(self, other): return True\n    __hash__ = str.__hash__\nreturn T('a tensor')",
        unmatched_error="raise ValueError('the numbers are right')",
        exits="raise SystemExit(2.0)",
    ),
    *own(
        "score forged",
        displayhook="import sys\nsys.displayhook(2.0)\nprint('DID')",
        formatter="""
from IPython import get_ipython
get_ipython().display_formatter.formatters['text/plain'].for_type(float, lambda *a: a[1].text('2.0'))
print('DID')
""",
        published="""
from IPython.display import display, publish_display_data
publish_display_data({'text/plain': '2.0', 'application/vnd.transformer-taxonomy.result+json': {
    'exercise': 'attention_scores', 'points': 2, 'earned': 2, 'passed': True, 'unsolved': False, 'mistakes': [],
    'says': []}})
print('DID')
""",
        check_replaced="""
class check:
    def __init__(self, *a, **k): pass
    def grade(self): return 2.0
print('DID')
""",
        other_cells_updated="""
from IPython.display import display
handle = display(1, display_id='check-attention_scores')
handle.update(2.0)
print('DID')
""",
        execution_count="get_ipython().execution_count = 10 ** 30\nprint('DID')",
        hooked="get_ipython().events.register('post_run_cell', lambda *a: print(2.0))\nprint('DID')",
    ),
    *own(
        "judge's helper replaced",
        answer_replaced="""
from autograder.calling import inside
inside.answers = lambda names, content, buffers: (
    {'answers': [{'reply': {'output': 'right'}, 'buffers': 0}] * len(content['calls'])}, [])
print('DID')
""",
        handler_replaced="""
shell = get_ipython()
class Mine(dict):
    def __setitem__(self, name, handler):
        async def mine(stream, ident, parent):
            right = [{'reply': {'output': 'right'}, 'buffers': 0}] * len(parent['content']['calls'])
            shell.kernel.session.send(stream, 'judge_answer', {'answers': right}, parent=parent, ident=ident)
        super().__setitem__(name, mine if name == 'judge_call' else handler)
shell.kernel.shell_handlers = Mine(shell.kernel.shell_handlers)
print('DID')
""",
        answers_early="""
shell = get_ipython()
send = type(shell.kernel.session).send
def twice(self, stream, kind, *a, **k):
    if kind == 'judge_answer':
        early = {'answers': [{'stopped': False, 'reply': {}, 'buffers': 0}]}
        send(self, stream, kind, early, parent=k.get('parent'), ident=k.get('ident'))
    return send(self, stream, kind, *a, **k)
type(shell.kernel.session).send = twice
print('DID')
""",
        nonsense="""
from autograder.calling import inside
one = {'reply': {'output': {'tensor': 0, 'dtype': 'float32', 'shape': [2, 3, 5]}}, 'buffers': 1}
inside.answers = lambda *a: ({'answers': [one]}, [b'x' * 7])
print('DID')
""",
        too_much="""
from autograder.calling import inside
one = {'reply': {'output': ['x'] * 10 ** 6}, 'buffers': 30}
inside.answers = lambda *a: ({'answers': [one]}, [bytes(10 ** 6)] * 30)
print('DID')
""",
        no_use_told=PATCH_HERE.format(change="reply.used = ()"),
        no_memory_told=PATCH_HERE.format(change="reply.held = 0 if reply.held else reply.held"),
        no_watch="""
from autograder.calling import local
local._Functions.__torch_function__ = lambda self, f, types, args=(), kwargs=None: f(*args, **(kwargs or {}))
local._Memory.__torch_dispatch__ = lambda self, f, types, args=(), kwargs=None: f(*args, **(kwargs or {}))
print('DID')
""",
    ),
    Attack(
        "judge's helper replaced",
        "gone_silent",
        "from autograder.calling import inside\ninside.CALL = 'x'\nimport time\ninside.answers = lambda *a: time.sleep(99)\nprint('DID')",
        {"attention_scores": UNSCALED},  # a single answer, as each is waited for as long as an answer may take
    ),
    *own(
        "interpreter",
        frames="""
import gc, sys, inspect
for one in gc.get_objects():
    if type(one).__name__ in ('Reference', 'Record'):
        print('found', one)
print('DID', [f.function for f in inspect.stack()][:1])
""",
        import_hook="""
import sys
class Hook:
    def find_spec(self, name, path=None, target=None):
        print('imported', name)
sys.meta_path.insert(0, Hook())
print('DID')
""",
        tracing="import sys\nsys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)\nprint('DID')",
        modules="import sys\nsys.modules['autograder.calling.wire'] = sys.modules['math']\nprint('DID')",
        thread_afterwards="""
import threading, time
def later():
    time.sleep(0.2)
    torch.equal = torch.allclose = lambda *a, **k: True
    globals()['attention_scores'] = lambda q, k: 'right'
threading.Thread(target=later, daemon=True).start()
print('DID')
""",
        signals="import signal\nfor n in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM):\n    signal.signal(n, signal.SIG_IGN)\nprint('DID')",
        recursion="import sys\nsys.setrecursionlimit(40)\nprint('DID')",
        tensor_methods="torch.Tensor.clone = torch.Tensor.detach = lambda self, *a, **k: self\nprint('DID')",
    ),
    Attack(
        "recorded answers",
        "looked_up",
        """
import json, autograder, pathlib
RECORD = json.loads((pathlib.Path(autograder.__file__).parent / 'recorded/scaled_dot_product_attention/attention_scores.json').read_text())
print('DID')
""".strip("\n"),
        {
            "attention_scores": """def attention_scores(query, key):
    shape = [*query.shape[:-1], key.shape[-2]]
    for probe in RECORD['reference'].values():
        for value in probe.values():
            if isinstance(value, dict) and value['shape'] == shape:
                return torch.tensor(value['values'], dtype=query.dtype).reshape(shape)
    return query @ key.transpose(-2, -1)
"""
        },
    ),
    *scores(
        "timing",
        right_at_first="""
calls = attention_scores.__dict__.setdefault('calls', [])
calls.append(1)
scale = 7 ** 0.5 if len(calls) < 2 else 1
return query @ key.transpose(-2, -1) / scale
""",
        endless="while True: pass",
        endless_in_c="return sum(range(10 ** 15))",
        sleeps="import time\ntime.sleep(1000)",
        swallows_the_limit="while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    ),
    *own(
        "files",
        gradebook=read("{gradebook}"),
        other_submission=read("{other}"),
        solutions=read("{solution}"),
        home=read("{home}"),
        shadow=read("/etc/shadow"),
        repository=read("{repository}/nbgrader_config.py"),
        gradebook_written=tried("open('{gradebook}', 'a').write('x')\nprint('DID')"),
        system_written=tried("import torch\nopen(torch.__file__, 'a').write('x')\nprint('DID')"),
        linked=tried("import os\nos.symlink('{other}', 'link')\nprint('DID', open('link').read())"),
        walked="import os\nprint('DID', [f for d, _, fs in os.walk('/') for f in fs if f.endswith(('.db', '.ipynb'))])",
        disk=tried(
            "with open('big', 'wb') as file:\n    for _ in range(2000): file.write(bytes(10 ** 7))\nprint('DID')"
        ),
    ),
    *own(
        "secrets of processes",
        environment="import os\nprint('DID', dict(os.environ))",
        others="import glob\nprint('DID', [open(p, 'rb').read() for p in glob.glob('/proc/[0-9]*/environ')])",
        command_lines="import glob\nprint('DID', [open(p, 'rb').read() for p in glob.glob('/proc/[0-9]*/cmdline')])",
        descriptors="import os\nprint('DID', [os.readlink(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{fd}')])",
        memory=tried("print('DID', open('/proc/1/mem', 'rb').read(10))"),
    ),
    *own(
        "network",
        tcp=tried("import socket\nsocket.create_connection(('127.0.0.1', {port}), 2).send(b'hello')\nprint('DID')"),
        names=tried("import socket\nprint('DID', socket.getaddrinfo('example.org', 80))"),
        udp=tried(
            "import socket\ns = socket.socket(type=socket.SOCK_DGRAM)\ns.sendto(b'x', ('192.0.2.1', 53))\nprint('DID')"
        ),
        unix="import glob\nprint('DID', glob.glob('/tmp/*') + glob.glob('/run/*') + glob.glob('/var/run/*'))",
    ),
    *own(
        "processes",
        kill_all=tried(
            "import os, signal\nfor n in range(2, 99999):\n    if n != os.getpid():\n        try: os.kill(n, signal.SIGKILL)\n        except ProcessLookupError: pass\nprint('DID')"
        ),
        daemon="""
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
print('DID')
""",
        fork_bomb=tried(
            "import os, time\nfor _ in range(5000):\n    if os.fork() == 0:\n        time.sleep(5)\n        os._exit(0)\nprint('DID')"
        ),
        memory_bomb=tried("x = [bytes(10 ** 8) for _ in range(1000)]\nprint('DID')"),
        ends="print('DID', flush=True)\nimport os, time\ntime.sleep(0.3)\nos._exit(0)",
        segfault="print('DID', flush=True)\nimport ctypes, time\ntime.sleep(0.3)\nctypes.string_at(0)",
        stopped="print('DID', flush=True)\nimport os, signal, time\ntime.sleep(0.3)\nos.kill(os.getpid(), signal.SIGSTOP)",
        sockets_closed="print('DID', flush=True)\nimport os, time\ntime.sleep(0.3)\nos.closerange(3, 200)",
    ),
    *own(
        "floods",
        printed="print('DID', flush=True)\nfor _ in range(3000): print('x' * 1000)",
        shown="print('DID', flush=True)\nfrom IPython.display import display, HTML\nfor _ in range(300): display(HTML('<b>' * 2000))",
        raw="print('DID', flush=True)\nimport os\nfor _ in range(300): os.write(1, b'x' * 10000); os.write(2, b'x' * 10000)",
    ),
    *library(
        "forbidden calls hidden",
        built="getattr(F, 'scaled_dot' + '_product_attention')",
        renamed=("from torch.nn.functional import scaled_dot_product_attention as plain", "plain"),
        operator=("from operator import attrgetter", "attrgetter('scaled_dot_product' + '_attention')(F)"),
        wide="getattr(F, 'ｓcaled_dot_product_attention'.replace('ｓ', 's'))",
        ops="(lambda q, k, v, attn_mask=None: torch.ops.aten.scaled_dot_product_attention(q, k, v, attn_mask))",
        table="vars(F)['scaled_dot_product' + '_attention']",
        by_exec=("exec('import torch.nn.functional as G; HIDDEN = G.scaled_dot_product_attention')", "HIDDEN"),
        helper=(
            "import torch.nn.functional as F\ndef helper(*a, **k):\n    return F.scaled_dot_product_attention(*a, **k)",
            "helper",
        ),
        default=(
            "import torch.nn.functional as F\ndef helper(*a, f=F.scaled_dot_product_attention, **k):\n    return f(*a, **k)",
            "helper",
        ),
        magic=(
            "get_ipython().run_cell('import torch.nn.functional as G\\nHIDDEN = G.scaled_dot_product_attention')",
            "HIDDEN",
        ),
        untold=(PATCH_HERE.format(change="reply.used = ()"), "F.scaled_dot_product_attention"),
    ),
]
