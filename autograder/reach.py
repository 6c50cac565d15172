"""What a learner's source reaches for: library calls that an exercise forbids, and ways around the checks.

A submission runs in a process of its own, and scores by the numbers that come back from it. A few observations are
no such numbers: which library functions an answer called, how much memory it held, how often it used what it was
given. Those the process reports of itself, and code that reaches into the interpreter could forge the report. No
exercise needs such code, so where a notebook holds it, such reports are not believed.
"""

import ast
import builtins
from dataclasses import dataclass

from .definitions import notebook_tree

# Modules through which the interpreter, or what is loaded in it, can be changed.
MODULES = {"autograder", "builtins", "codeop", "ctypes", "gc", "imp", "importlib", "inspect", "marshal", "pickle",
           "pkgutil", "runpy", "unittest", "zipimport", "_thread", "cffi", "dill", "cloudpickle", "joblib", "atexit",
           "IPython", "ipykernel"}
FRONT_DOOR = {"check", "hint", "progress"}  # of autograder, which notebooks import
CALLS = {"exec", "eval", "compile", "__import__", "globals", "locals", "vars", "setattr", "delattr", "get_ipython",
         "breakpoint", "memoryview"}
# Attributes with two underscores that ordinary classes define or read.
ORDINARY = {"__init__", "__name__", "__class__", "__call__", "__len__", "__getitem__", "__setitem__", "__iter__",
            "__next__", "__repr__", "__str__", "__eq__", "__hash__", "__enter__", "__exit__", "__doc__", "__version__",
            "__post_init__", "__add__", "__mul__", "__matmul__", "__contains__", "__qualname__"}
INDIRECT = {"attrgetter", "methodcaller"}  # of operator: getattr by another name
FRAMES = {"tb_frame", "tb_next", "f_back", "f_globals", "f_locals", "f_builtins", "f_code", "gi_frame", "cr_frame",
          "ag_frame", "gi_code", "co_consts", "func_globals", "shell_handlers", "user_ns", "_getframe",
          "_current_frames", "settrace", "setprofile", "meta_path", "path_hooks", "exc_info", "last_traceback",
          "last_exc", "addaudithook", "monitoring", "FunctionType", "CodeType", "ModuleType", "walk_tb", "walk_stack"}
# Parts of torch that load or make code, or that watch and change how functions run.
TORCH = {"overrides", "_C", "_ops", "ops", "library", "jit", "compile", "_dynamo", "fx", "utils", "package", "load",
         "hub", "classes", "multiprocessing", "distributed", "set_default_device"}
# Modules that others hold as an attribute, such as torch.sys.
HELD = MODULES | {"sys"}


@dataclass(frozen=True)
class Reach:
    """A place where source reaches for something: the line, and what it says there."""

    line: int
    what: str


def into_the_interpreter(sources):
    """Return [(index of the source, Reach)] of everything that could change what the process reports of itself."""
    found = []
    for index, source in enumerate(sources):
        tree = notebook_tree(source)
        if tree is not None:
            found += [(index, reach) for reach in _Watch().of(tree)]
    return found


def named(sources, forbidden):
    """Return [(index of the source, Reach)] of every place that names one of the forbidden library functions.

    forbidden  names such as "scaled_dot_product_attention". A function that the sources define themselves may
               have any name: what counts is one that is taken out of a library.
    """
    found = []
    for index, source in enumerate(sources):
        tree = notebook_tree(source)
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Attribute) and node.attr in forbidden and not _is_self(node.value):
                found.append((index, Reach(node.lineno, ast.unparse(node))))
            elif isinstance(node, ast.ImportFrom):
                found += [(index, Reach(node.lineno, f"{node.module}.{alias.name}")) for alias in node.names
                          if alias.name in forbidden and (node.module or "").split(".")[0] == "torch"]
            elif _is_call(node, "getattr") and len(node.args) > 1 and _constant(node.args[1]) in forbidden:
                found.append((index, Reach(node.lineno, ast.unparse(node))))
    return found


def _is_self(node):
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def _is_call(node, name):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _constant(node):
    return node.value if isinstance(node, ast.Constant) else None


def _root(node):
    """Return what a chain of attributes, subscripts and calls begins with."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node


def _is_plain(value):
    """Tell whether a value is surely nothing that can be called in the place of a function: a number, or a layer."""
    if isinstance(value, ast.Call):
        root = _root(value)
        return isinstance(root, ast.Name) and root.id in ("torch", "nn", "F")
    if isinstance(value, (ast.BinOp, ast.UnaryOp, ast.Compare, ast.Constant)):
        return True
    return isinstance(value, ast.Attribute) and value.attr in ("data", "grad", "T", "mT")


class _Watch(ast.NodeVisitor):
    """Collects what reaches into the interpreter in one cell."""

    def __init__(self):
        self.found, self.called, self.modules = [], set(), {"torch", "F", "nn", "math", "figures", "parts"}

    def of(self, tree):
        for node in ast.walk(tree):  # first the names, wherever in the cell they are bound
            if isinstance(node, ast.Import):
                self.modules |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        self.visit(tree)
        return self.found

    def note(self, node, what=None):
        self.found.append(Reach(node.lineno, what or ast.unparse(node)[:80]))

    def visit_Import(self, node):
        for alias in node.names:
            self._module(node, alias.name, set())

    def visit_ImportFrom(self, node):
        self._module(node, node.module or "", {alias.name for alias in node.names})

    def _module(self, node, module, names):
        first, *rest = module.split(".")
        if first == "autograder" and not rest and names and names <= FRONT_DOOR:
            return
        if first in MODULES or names & (INDIRECT | FRAMES) or first == "sys" and "modules" in names or first == "torch" and {*rest, *names} & TORCH:
            self.note(node)

    def visit_Attribute(self, node):
        name = node.attr
        hidden = name.startswith("__") and name.endswith("__") and name not in ORDINARY
        loaded = name == "modules" and node not in self.called
        of_torch = isinstance(node.value, ast.Name) and node.value.id == "torch" and name in TORCH
        super_init = _is_call(node.value, "super")
        if hidden and not super_init or name in FRAMES | HELD | INDIRECT or of_torch or loaded:
            self.note(node)
        self.generic_visit(node)

    def visit_Name(self, node):
        if node.id in CALLS or node.id.startswith("__") and node.id not in ("__name__", "__doc__"):
            self.note(node)

    def visit_Call(self, node):
        if _is_call(node, "getattr") and not (len(node.args) > 1 and self._is_ordinary(_constant(node.args[1]))):
            self.note(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "modules":
            self.called.add(node.func)  # a method of nn.Module; sys.modules is not called
        self.generic_visit(node)

    def _is_ordinary(self, name):
        return isinstance(name, str) and not name.startswith("__") and name not in FRAMES | HELD | {"modules"}

    def visit_Assign(self, node):
        for target in node.targets:
            self._target(target, node.value)
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

    def visit_With(self, node):
        for item in node.items:
            if item.optional_vars is not None:
                self._target(item.optional_vars)
        self.generic_visit(node)

    def visit_Delete(self, node):
        for target in node.targets:
            self._target(target)
        self.generic_visit(node)

    def _target(self, target, value=None):
        """Note what puts something callable, or anything unclear, where others look for theirs: `torch.equal = ...`."""
        if isinstance(target, (ast.Tuple, ast.List)):
            for part in target.elts:
                self._target(part)
        elif isinstance(target, ast.Starred):
            self._target(target.value)
        elif isinstance(target, ast.Attribute) and not _is_self(_root(target)):
            root = _root(target)
            of_others = isinstance(root, ast.Name) and (root.id in self.modules or root.id in FRONT_DOOR
                                                        or hasattr(builtins, root.id))
            if of_others or not _is_plain(value):
                self.note(target)

    def visit_MatchClass(self, node):
        for name in node.kwd_attrs:
            if name.startswith("__") or name in FRAMES:
                self.note(node)
        self.generic_visit(node)

    def visit_ClassDef(self, node):
        for base in [*node.bases, *(keyword.value for keyword in node.keywords)]:
            if "Mode" in ast.unparse(base):
                self.note(base)
        self.generic_visit(node)

    def visit_FunctionDef(self, node):
        if node.name.startswith("__torch_"):
            self.note(node, f"def {node.name}")
        self.generic_visit(node)
