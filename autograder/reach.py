"""What a learner's source reaches for: library calls that an exercise forbids, and ways around the checks.

A submission runs in a process of its own, and scores by the numbers that come back from it. A few observations are
no such numbers: which library functions an answer called, how much memory it held, how it used what it was given,
which parameters it has. Those the process reports of itself, and code that reaches into the interpreter could forge
the report. No exercise needs such code, so where a notebook holds it, such reports are not believed.

What is told here costs nobody a point for numbers that are right. So it may be strict: it tells what is known to be
harmless from everything else, and not what is known to be harmful.
"""

import ast
import builtins
import sys
from dataclasses import dataclass
from types import ModuleType

from .magics import cells_of

# Modules that a notebook may import, and nothing of which changes how the interpreter runs.
HARMLESS = {"__future__", "abc", "array", "autograder", "base64", "bertviz", "bisect", "calendar", "cmath",
            "collections", "contextlib", "copy", "csv", "dataclasses", "datetime", "decimal", "difflib", "einops",
            "enum", "fractions", "functools", "graphlib", "hashlib", "heapq", "html", "IPython", "ipywidgets",
            "itertools", "json", "keyword", "logging", "math", "matplotlib", "mpl_toolkits", "numbers", "numpy",
            "operator", "os", "pandas", "pathlib", "platform", "pprint", "random", "re", "scipy", "seaborn",
            "secrets", "sklearn", "statistics", "string", "sys", "textwrap", "time", "timeit", "torch", "tqdm",
            "traceback", "types", "typing", "typing_extensions", "unicodedata", "uuid", "warnings", "workbench", "zlib"}
# What of those with more in them than that.
ONLY = {"autograder": {"check", "hint", "progress"}, "__future__": {"annotations"},
        "IPython": {"display"}, "timeit": {"default_timer"}, "traceback": {"print_exc", "format_exc"},
        "types": {"SimpleNamespace", "MappingProxyType", "NoneType"},
        "os": {"path", "getcwd", "listdir", "sep", "linesep", "cpu_count", "getenv", "environ", "makedirs", "mkdir",
               "name", "getpid", "scandir", "walk", "PathLike"},
        "sys": {"version", "version_info", "maxsize", "float_info", "int_info", "platform", "getsizeof", "executable",
                "byteorder", "argv", "getrecursionlimit", "stdout", "stderr"}}
CALLS = {"exec", "eval", "compile", "__import__", "globals", "locals", "vars", "setattr", "delattr", "get_ipython",
         "breakpoint", "memoryview", "__builtins__", "__loader__", "__spec__", "exit", "quit"}
# Names with two underscores that ordinary code uses: methods of classes, and a few things to read.
ORDINARY = {f"__{name}__" for name in """
    init name class call len getitem setitem delitem iter next repr str eq ne lt le gt ge hash enter exit doc version
    post_init add radd iadd sub rsub mul rmul imul matmul rmatmul truediv floordiv mod pow neg abs bool int float
    contains qualname index missing reversed format slots all author""".split()}
INDIRECT = {"attrgetter", "methodcaller", "update_wrapper", "get_type_hints", "ForwardRef", "stride_tricks", "memmap",
            "f2py", "ctypeslib", "make_dataclass", "get_annotations"}
FRAMES = {"tb_frame", "tb_next", "f_back", "f_globals", "f_locals", "f_builtins", "f_code", "gi_frame", "cr_frame",
          "ag_frame", "gi_code", "cr_code", "ag_code", "co_consts", "func_globals", "shell_handlers", "user_ns",
          "_getframe", "_current_frames", "settrace", "setprofile", "meta_path", "path_hooks", "exc_info",
          "last_traceback", "last_exc", "addaudithook", "monitoring", "FunctionType", "CodeType", "ModuleType",
          "walk_tb", "walk_stack", "modules_cache", "excepthook", "displayhook", "setrecursionlimit", "with_traceback"}
# Parts of torch that load or make code, or that watch and change how functions run, and what they are called elsewhere.
TORCH = {"overrides", "ops", "library", "jit", "compile", "fx", "package", "load", "hub", "classes",
         "multiprocessing", "distributed", "set_default_device", "export", "compiler", "func", "futures"}
UTILS = {"data", "rnn", "clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "vector_to_parameters"}
HOOKS = {"register_module_forward_hook", "register_module_forward_pre_hook", "register_module_full_backward_hook",
         "register_module_buffer_registration_hook", "register_module_parameter_registration_hook",
         "register_module_module_registration_hook", "register_parametrization", "from_file", "fromfile", "tofile",
         "TorchFunctionMode", "TorchDispatchMode", "DisableTorchFunction", "DisableTorchFunctionSubclass"}
# What tells how an argument was used, where the argument is an object that counts.
COUNTERS = {"_forward_hooks", "_forward_pre_hooks"}
# What a module says of itself; one that says something else may lie.
SELF_REPORTS = {"state_dict", "named_parameters", "parameters", "named_modules", "modules", "load_state_dict",
                "requires_grad_", "to", "train", "apply", "_apply"}
# Methods whose result is surely a tensor or a number, whoever has them.
GIVE_TENSORS = {"softmax", "view", "reshape", "clone", "detach", "item", "float", "double", "mean", "sum", "transpose",
                "flatten", "squeeze", "unsqueeze", "masked_fill", "contiguous", "cpu", "tolist", "exp", "log", "sqrt"}
FILES = {"proc", "sandbox", "fd", "dev", "sys"}  # folders in which no data file lies
NOT_SHOWN = set(sys.stdlib_module_names) - HARMLESS - {"code", "copyreg", "select", "signal", "symbol", "this",
                                                        "queue", "token", "test", "resource", "trace", "profile"}


@dataclass(frozen=True)
class Reach:
    """A place where source reaches for something: the line, and what it says there."""

    line: int
    what: str


def into_the_interpreter(sources):
    """Return [(index of the source, Reach)] of everything that could change what the process reports of itself."""
    cells, found, names = cells_of(sources), [], _Names()
    for cell in cells:  # first what names mean: they hold in all cells
        for tree in cell.trees:
            names.learn(tree)
    for index, cell in enumerate(cells):
        found += [(index, Reach(*odd)) for odd in cell.odd]
        for tree in cell.trees:
            try:
                found += [(index, reach) for reach in _Watch(names, cell.magics).of(tree)]
            except RecursionError:
                found.append((index, Reach(1, "code that is nested too deeply to be read")))
    return found


def named(sources, forbidden):
    """Return [(index of the source, Reach)] of every place that names one of the forbidden library functions.

    forbidden  names such as "scaled_dot_product_attention". A function that the sources define themselves may
               have any name: what counts is one that is taken out of a library.
    """
    found = []
    for index, cell in enumerate(cells_of(sources)):
        for node in (node for tree in cell.trees for node in ast.walk(tree)):
            if isinstance(node, ast.Attribute) and node.attr in forbidden and not _is_self(node.value):
                found.append((index, Reach(node.lineno, _text(node))))
            elif isinstance(node, ast.ImportFrom):
                found += [(index, Reach(node.lineno, f"{node.module}.{alias.name}")) for alias in node.names
                          if alias.name in forbidden and (node.module or "").split(".")[0] == "torch"]
            elif _is_call(node, "getattr") and len(node.args) > 1 and _constant(node.args[1]) in forbidden:
                found.append((index, Reach(node.lineno, _text(node))))
    return found


def _text(node):
    try:
        return ast.unparse(node)[:80]
    except RecursionError:
        return "code that is nested too deeply to be read"


def _is_self(node):
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def _is_call(node, name):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _constant(node):
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _root(node):
    """Return what a chain of attributes, subscripts and calls begins with."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node


def _is_module(name):
    """Tell whether a dotted name, such as torch.nn or torch.threading, leads to a module."""
    first, *rest = name.split(".")
    found = sys.modules.get(first)
    for part in rest:
        found = getattr(found, part, None)
    return isinstance(found, ModuleType)


class _Names:
    """What the names of a notebook mean, as far as that can be read off: modules, and constant texts."""

    def __init__(self):
        # Released cells import these.
        self.modules = {"torch": "torch", "nn": "torch.nn", "F": "torch.nn.functional", "math": "math",
                        "figures": "workbench.figures", "parts": "workbench.parts"}
        self.texts = {}
        self.methods = {}  # of the notebook's own classes

    def learn(self, tree):
        """Note what a cell binds."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    name = alias.name if alias.asname else alias.name.split(".")[0]
                    self.modules[alias.asname or name] = name
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if alias.name in ("functional", "nn", "linalg", "path", "pyplot", "figures", "parts", "data"):
                        self.modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
            elif isinstance(node, ast.ClassDef):
                self.methods.setdefault(node.name, set()).update(
                    part.name for part in node.body if isinstance(part, ast.FunctionDef) and not part.decorator_list)
            elif isinstance(node, (ast.Assign, ast.For, ast.comprehension, ast.NamedExpr)):
                self._assign(node)

    def _assign(self, node):
        value = node.value if isinstance(node, (ast.Assign, ast.NamedExpr)) else node.iter
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if not isinstance(target, ast.Name):
                continue
            module = self.module(value) if isinstance(node, ast.Assign) else None
            if module and (isinstance(value, ast.Name) or _is_module(module)):
                self.modules[target.id] = module
            self.texts.setdefault(target.id, []).append(value)

    def module(self, node):
        """Return the dotted name of the module that an expression is or is part of, None if it is none."""
        parts = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in self.modules:
            return ".".join([self.modules[node.id], *reversed(parts)])
        return None

    def constants(self, node, depth=0):
        """Return every text that an expression may be, None if that cannot be read off."""
        if isinstance(node, ast.Constant):
            return [node.value] if isinstance(node.value, str) else None
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            found = [self.constants(item, depth) for item in node.elts]
            return None if None in found else [text for texts in found for text in texts]
        if isinstance(node, ast.IfExp):
            found = [self.constants(part, depth) for part in (node.body, node.orelse)]
            return None if None in found else [*found[0], *found[1]]
        if isinstance(node, ast.Name) and depth < 3 and node.id in self.texts:
            found = [self.constants(value, depth + 1) for value in self.texts[node.id]]
            return None if None in found else [text for texts in found for text in texts]
        return None


class _Watch(ast.NodeVisitor):
    """Collects what reaches into the interpreter in one cell."""

    def __init__(self, names, magics):
        self.names, self.magics = names, magics
        self.found, self.called = [], set()
        self.owned = set()      # names of modules where they stand for something in them, or are only shown
        self.trusted = False    # whether `self` is surely an object of the learner's own class
        self.in_class = False

    def of(self, tree):
        self.visit(tree)
        return self.found

    def note(self, node, what=None):
        self.found.append(Reach(node.lineno, what or _text(node)))

    # Imports

    def visit_Import(self, node):
        for alias in node.names:
            self._module(node, alias.name, None)
            if alias.asname is None and alias.name.split(".")[0] in ("autograder", "IPython"):
                self.note(node)

    def visit_ImportFrom(self, node):
        if node.level:
            self.note(node)
        self._module(node, node.module or "", {alias.name for alias in node.names})

    def _module(self, node, module, names):
        if module == "autograder.assemble" and names == {"assemble"}:
            return  # lesson 11 puts the learner's own parts together with it
        first, *rest = module.split(".")
        inner = {*rest, *(names or ())}
        # Of a whole module each attribute is looked at where it is used.
        taken = rest[:1] or names
        foreign = first in ONLY and taken is not None and not {*taken} <= ONLY[first]
        if first in ("autograder", "IPython") and taken is None:
            foreign = True
        of_torch = first == "torch" and (inner & TORCH or "utils" in inner and not inner & UTILS
                                         or any(name.startswith("_") for name in inner))
        hidden = any(name.startswith("_") and name != "__version__" for name in inner)
        star = "*" in inner and first not in ("math", "torch", "workbench")
        if first not in HARMLESS or foreign or of_torch or hidden or star or inner & (INDIRECT | FRAMES | HOOKS):
            self.note(node)

    # Names and attributes

    def visit_Name(self, node):
        if node.id in CALLS or node.id.startswith("__") and node.id not in ORDINARY:
            self.note(node)
        elif node.id in self.names.modules and isinstance(node.ctx, ast.Load) and node not in self.owned:
            self.note(node, f"the module {node.id} given away")
        elif _is_self(node) and isinstance(node.ctx, ast.Store):
            self.note(node)

    def visit_Attribute(self, node):
        self.owned.add(node.value)
        if self._is_reach(node.attr, node) or self._is_unbound(node):
            self.note(node)
        self.generic_visit(node)

    def _is_unbound(self, node):
        """Tell whether this is a method that is taken from a class, and could be given any object as its self."""
        return (isinstance(node.value, ast.Name) and node.attr in self.names.methods.get(node.value.id, ())
                and node not in self.called)

    def _is_reach(self, name, node):
        hidden = name.startswith("__") and name.endswith("__") and name not in ORDINARY
        if hidden and _is_call(node.value, "super"):
            return False
        if hidden or name in FRAMES | INDIRECT | HOOKS | {"_C", "_VF", "ctypes"}:
            return True
        if name in COUNTERS or name.startswith("stub_"):
            return True
        if name == "modules" and node not in self.called:
            return True  # of sys; that of an nn.Module is called
        return self._is_of_module(name, self.names.module(node.value))

    def _is_of_module(self, name, module):
        """Tell whether a module's attribute of this name leads out of what notebooks need."""
        if module is None:
            return False
        first, *rest = module.split(".")
        if not rest and first in ONLY and name not in ONLY[first]:
            return True
        if first == "torch" and name in TORCH or rest[-1:] == ["utils"] and first == "torch" and name not in UTILS:
            return True
        return name in NOT_SHOWN or name in ("sys", "os", "builtins") or name.startswith("_") and name not in ORDINARY

    # Calls

    def visit_Call(self, node):
        if node in self.magics:
            return
        if _is_call(node, "getattr") or _is_call(node, "hasattr"):
            self._getattr(node)
        elif _is_call(node, "open") or isinstance(node.func, ast.Name) and node.func.id in ("Path", "PurePath"):
            self._file(node)
        elif _is_call(node, "type") and len(node.args) != 1:
            self.note(node)
        elif _is_call(node, "setattr") and node.args and _is_self(node.args[0]) and self.trusted:
            for argument in node.args:
                self.visit(argument)
            return
        elif isinstance(node.func, ast.Attribute) and node.func.attr in ("open", "Path", "load", "loadtxt", "save"):
            self._open(node)
        if any(keyword.arg in ("assigned", "allow_pickle", "metaclass") for keyword in node.keywords):
            self.note(node)
        if isinstance(node.func, ast.Attribute) and (node.func.attr == "modules" and not node.args
                                                     or node.args and _is_self(node.args[0]) and self.trusted):
            self.called.add(node.func)
        if isinstance(node.func, ast.Name) and node.func.id in ("print", "dir", "help", "type", "getattr", "hasattr"):
            self.owned.update(node.args)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "reload":
            self.owned.update(node.args)
        self.generic_visit(node)

    def _getattr(self, node):
        names = self.names.constants(node.args[1]) if len(node.args) > 1 else None
        if names is None or any(self._is_reach(name, ast.Attribute(node.args[0], name)) for name in names
                                if name != "modules"):
            self.note(node)

    def _open(self, node):
        module = self.names.module(node.func.value) or ""
        if node.func.attr == "Path" or module.split(".")[0] in ("numpy", "io", "os", "pathlib"):
            self._file(node)

    def _file(self, node):
        """Note a file that is not surely one of data: the memory of a process is a file, too."""
        paths = self.names.constants(node.args[0]) if node.args else ["."]
        if paths is None or any({*path.split("/")} & FILES or path.endswith(".py") for path in paths):
            self.note(node)

    # What puts something where others look for theirs

    def visit_Assign(self, node):
        for target in node.targets:
            self._target(target, node.value)
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            self.owned.add(node.value)  # another name for a module is known as one
        self.generic_visit(node)

    def visit_AugAssign(self, node):
        self._target(node.target, node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node):
        self._target(node.target, node.value)
        self.generic_visit(node)

    def visit_For(self, node):
        self._target(node.target)
        self.generic_visit(node)

    def visit_comprehension(self, node):
        self._target(node.target)
        self.generic_visit(node)

    def visit_With(self, node):
        for item in node.items:
            if item.optional_vars is not None:
                self._target(item.optional_vars)
        self.generic_visit(node)

    visit_AsyncFor, visit_AsyncWith = visit_For, visit_With

    def visit_Delete(self, node):
        for target in node.targets:
            self._target(target)
        self.generic_visit(node)

    def _target(self, target, value=None):
        """Note what puts something callable, or anything unclear, into somebody else's object: `torch.equal = ...`."""
        if isinstance(target, (ast.Tuple, ast.List)):
            for part in target.elts:
                self._target(part)
        elif isinstance(target, ast.Starred):
            self._target(target.value)
        elif isinstance(target, ast.Attribute) and not (_is_self(_root(target)) and self.trusted):
            root = _root(target)
            of_others = isinstance(root, ast.Name) and (root.id in self.names.modules or root.id in ONLY["autograder"]
                                                        or hasattr(builtins, root.id))
            if of_others or not self._is_plain(value):
                self.note(target)

    def _is_plain(self, value):
        """Tell whether a value is surely nothing that takes the place of a function: a number, a tensor, a layer."""
        if isinstance(value, ast.Call):
            root = _root(value)
            if isinstance(value.func, ast.Attribute) and value.func.attr in GIVE_TENSORS:
                return True
            return isinstance(root, ast.Name) and (self.names.modules.get(root.id, "").split(".")[0] == "torch"
                                                   or root.id in ("int", "float", "bool", "str", "len", "list", "dict"))
        if isinstance(value, (ast.BinOp, ast.UnaryOp, ast.Compare, ast.Constant)):
            return True
        if isinstance(value, (ast.List, ast.Tuple, ast.Dict, ast.ListComp)):
            return True
        return isinstance(value, ast.Attribute) and value.attr in ("data", "grad", "T", "mT", "weight", "bias")

    def visit_MatchClass(self, node):
        for name in node.kwd_attrs:
            if name.startswith(("__", "stub_")) or name in FRAMES | COUNTERS:
                self.note(node)
        self.generic_visit(node)

    def visit_ClassDef(self, node):
        for base in [*node.bases, *(keyword.value for keyword in node.keywords)]:
            if _text(base).rpartition(".")[2] in ("Tensor", "Parameter", "type") or _text(base).endswith("Mode"):
                self.note(base)
        for part in node.body:
            if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)) and part.name in SELF_REPORTS:
                self.note(part, f"def {part.name}")
            for name in (_bound_in_class(part) if isinstance(part, (ast.Assign, ast.AnnAssign)) else ()):
                if name in SELF_REPORTS:
                    self.note(part)
        before, self.in_class = self.in_class, True
        self.generic_visit(node)
        self.in_class = before

    def visit_FunctionDef(self, node):
        if node.name.startswith("__") and node.name.endswith("__") and node.name not in ORDINARY - {"__class__"}:
            self.note(node, f"def {node.name}")
        before = self.trusted, self.in_class
        if any(argument.arg in ("self", "cls") for argument in ast.walk(node.args) if isinstance(argument, ast.arg)):
            self.trusted = self.in_class
        self.in_class = False
        self.generic_visit(node)
        self.trusted, self.in_class = before

    visit_AsyncFunctionDef = visit_FunctionDef


def _bound_in_class(node):
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]
