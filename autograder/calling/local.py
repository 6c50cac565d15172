"""Where a component comes from, and the only way to call it: a request goes in, a reply comes out.

Both are plain data (names, tensors, strings), so the component may live in this kernel, in a notebook on
disk, or in another process: probes cannot tell, and need not.
"""

import functools
import gc
import itertools
import re
import sys
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Protocol, cast

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

from . import facts, values
from .facts import Facts
from .facts import Fault as Fault
from .fitting import fit
from .helpers import LookedThrough
from .limit import Limit
from .meta import LightMode, OnMeta
from .numbers import Numbers

MOST_NUMBERS = 500_000  # of all tensors of one output, those without bytes included; no exercise needs a third of it
MOST_ITEMS = 2_000  # values in one output, tensors included
PROJECTIONS = ("q_proj", "k_proj", "v_proj")  # in this order they may be one
JOINED = re.compile(r"(.*)in_proj[._](weight|bias)")

# Where an answer is to be written with torch alone, "workbench.*" among what is forbidden means all code of that
# package, and ANY_LIBRARY that of any package which is installed. No function has such a name.
LIBRARY, ANY_LIBRARY = ".*", "*.*"
PYTHON_AND_TORCH = {"torch", "functorch"} | set(sys.stdlib_module_names) - {"__main__"}
INSTALLED = re.compile(r"[\\/](site|dist)-packages[\\/]")


@dataclass
class Request:
    """One call of one component.

    component  name of the component
    arguments  name -> value, in the order of the component's parameters; they are passed by position
    build      for a class: the arguments of its constructor, passed by name; None for a function
    weights    for a class: state-dict name -> tensor, loaded before the call
    as_made    for a class: True leaves parameters without a weight as they start, False fills them with a pattern
    training   for a class: True calls it in training mode, False in evaluation mode
    fit        for a class: how it is trained before the call, as the arguments of `fit` in a dict; None: not at all
    method     for a class: what is called, if not the object itself
    before     for a class: (method, {argument: value}) of calls of the same object that come first, in order; what
               they give, or raise, is not looked at
    seed       the seed of torch's generator during the call
    gradients  True: return the gradient of a fixed weighted sum of all outputs for each tensor argument, and
               for each parameter under "weights.NAME"
    device     where the arguments are moved before the call
    forbidden  names of torch functions whose use is reported, and of libraries that may not compute anything: see
               `LIBRARY`
    watch_memory  True: report how many numbers the call held at once at most
    plain      True: the output is no tensor but a plain value (a text, whole numbers, a list of them), and is returned
    number     True: a Python number that comes back, alone or in a tuple or list, counts as a tensor without axes
    parts      components that this one calls and that are replaced by right ones for this call
    helpers    names of other components of its lesson: whether its code may call them is reported
    """

    component: str
    arguments: dict[str, Any]
    build: dict[str, Any] | None = None
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    as_made: bool = False
    training: bool = False
    fit: dict[str, Any] | None = None
    method: str = ""
    before: tuple[tuple[str, dict[str, Any]], ...] = ()
    seed: int = 0
    gradients: bool = False
    device: str | None = None
    forbidden: tuple[str, ...] = ()
    watch_memory: bool = False
    plain: bool = False
    number: bool = False
    parts: tuple[str, ...] = ()
    helpers: tuple[str, ...] = ()


@dataclass
class Reply:
    """What a call gave.

    output     tensor, or tuple / list of tensors, or a string that says what else came back
    value      the output as a plain value, see `values`, if that was asked for; None if it is none
    fault      the exception, if one was raised
    changed    names of arguments that the call changed in place
    gradients  argument name -> tensor, or None where no gradient arrives
    cut        where gradients are asked for: numbers, from 1, of the outputs through which none goes
    used       forbidden functions and libraries that the call used
    helpers    those of the request's helpers that the component's code may call; None where that is not known
    shapes     for a class: state-dict name -> shape, of all parameters and buffers
    trained    for a class: names of the parameters that require a gradient
    shared     for a class: groups of parameter names that are one and the same tensor
    reports    name of a `Stub` argument -> what it reports of its use
    held       most numbers (elements of tensors) held at once, if that was watched
    facts      what tells a first draft
    given      one line that describes the arguments
    """

    given: str
    output: Any = None
    value: Any = None
    fault: Fault | None = None
    changed: tuple[str, ...] = ()
    gradients: dict[str, torch.Tensor | None] = field(default_factory=dict)
    cut: tuple[int, ...] = ()
    used: tuple[str, ...] = ()
    helpers: tuple[str, ...] | None = None
    shapes: dict[str, list[int]] = field(default_factory=dict)
    trained: tuple[str, ...] = ()
    shared: tuple[tuple[str, ...], ...] = ()
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    held: int | None = None
    facts: Facts = field(default_factory=Facts)


class Stub:
    """An argument that is not plain data, described by plain data: a callable, a model, a generator.

    A dataclass whose fields are plain. `make` builds the thing where the component lives; `report` returns what
    can be observed of its use: {name: tensor, string or number}.
    """

    def make(self) -> Any:
        raise NotImplementedError

    def report(self, made: Any) -> dict[str, Any]:
        return {}


class Source(Protocol):
    """What answers calls: components of this process, or of one that is not trusted."""

    def limit(self, seconds: float) -> AbstractContextManager[object]:
        """Let the code compute for so many seconds in all calls of a block, and raise `TimeUp` if it takes more."""

    def expect(self, requests: Iterable[Request]) -> None:
        """Say which calls will be made next, in this order, where that makes them faster."""

    def call(self, request: Request) -> Reply:
        """Call a component and return its `Reply`."""


@functools.cache
def _is_frozen() -> bool:
    """Tell whether whoever started this process has frozen what was there, and wants it so.

    Asked once: Python counts every single object, which takes longer than all calls of a check.
    """
    return gc.get_freeze_count() > 0


class Here:
    """Components that live in this process."""

    def __init__(
        self, components: Mapping[str, Callable[..., Any]], parts: Mapping[str, Callable[..., Any]] | None = None
    ) -> None:
        self._components, self._parts = dict(components), parts or {}
        self.looked_through = LookedThrough()
        self._limit: AbstractContextManager[None] = nullcontext()

    @contextmanager
    def limit(self, seconds: float, wall: float | None = None) -> Iterator[Limit]:
        """Let the learner's code compute for so many seconds in all calls of a block; see `Limit`.

        `TimeUp` is raised by the call that takes more.
        """
        self._limit = limit = Limit(seconds, wall)
        # Torch and the notebook bring a quarter of a million objects. A learner who collects garbage (`gc.collect()`)
        # in each call looks through all of them, and pays for it with seconds: only what is made from here on is.
        keep = _is_frozen()
        gc.freeze()
        try:
            yield limit
        finally:
            self._limit = nullcontext()
            if not keep:
                gc.unfreeze()

    def expect(self, requests: Iterable[Request]) -> None:
        """Do nothing: a call costs nothing but itself here."""

    def call(self, request: Request) -> Reply:
        """Call a component and return its `Reply`. Raises nothing that the component raises."""
        with _usual_modes():
            return self._call(request)

    def _call(self, request: Request) -> Reply:
        component = self._components[request.component]
        arguments = {name: _fresh(value, request) for name, value in request.arguments.items()}
        before = {name: _copy(value) for name, value in arguments.items()}
        reply = Reply(given=describe((request.build or {}) | request.arguments, request.before))
        reply.facts.component = facts.of_component(component)
        reply.helpers = self.looked_through.may_call(component, request.helpers)
        printed = facts.printed_so_far()
        functions, memory = _Functions(request.forbidden), _Memory()
        parts = {name: self._parts[name] for name in request.parts}
        try:
            with ExitStack() as stack:
                stack.enter_context(torch.random.fork_rng(devices=[]))
                _seed(request)
                stack.enter_context(_replaced(component, parts))
                # What a library made for a module is its work as much as what it computes later.
                with functions if functions.libraries else nullcontext(), self._limit:
                    called = component if request.build is None else _module(component, request, reply)
                with self._limit:
                    if request.fit is not None and isinstance(called, torch.nn.Module):
                        fit(called, **request.fit)
                        called.train(request.training)
                _seed(request)  # again: what building a module drew is nobody's business
                if request.device == "meta":
                    stack.enter_context(OnMeta())
                if request.watch_memory:
                    stack.enter_context(memory)
                if request.build is not None:
                    stack.enter_context(facts.parameters_noted(reply.facts))
                # Not while a module is built: that takes a hundred functions, none of which answers anything.
                with functions if request.forbidden else nullcontext(), self._limit:
                    for method, given in request.before:
                        earlier = getattr(called, method)
                        with suppress(Exception):
                            earlier(*(_fresh(value, request) for value in given.values()))
                    output = (getattr(called, request.method) if request.method else called)(*arguments.values())
            written = getattr(called, request.method or "forward", called) if request.build is not None else called
            facts.about(reply.facts, output, written, facts.printed_since(printed))
            large = _too_large(output)
            reply.output = large or _plain(output, request.number)
            if request.plain and not large:
                reply.output, reply.value = _as_value(output, reply.output)
            if request.gradients:
                with self._limit:
                    reply.gradients = _gradients(None if large else output, _leaves(arguments, called, request))
                reply.cut = () if large else _cut(output)
        except Exception as error:
            reply.fault, reply.facts.parameters = facts.fault(error), facts.parameters(component)
        reply.changed = tuple(name for name in arguments if _differs(before[name], arguments[name]))
        reply.reports = {
            name: value.report(arguments[name]) for name, value in request.arguments.items() if isinstance(value, Stub)
        }
        reply.used, reply.held = tuple(sorted(functions.used)), memory.most
        return reply


@contextmanager
def _usual_modes() -> Iterator[None]:
    """Let code run in torch's usual modes, whichever a notebook has set for itself."""
    dtype = torch.get_default_dtype()
    with ExitStack() as stack:
        if not torch.is_grad_enabled():
            stack.enter_context(torch.enable_grad())
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        if torch.is_anomaly_enabled():
            stack.enter_context(torch.autograd.set_detect_anomaly(False))
        if "torch._dynamo" in sys.modules:
            # What an answer was compiled to shows neither its calls nor its lines, and needs a compiler.
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        if dtype != torch.float32:
            stack.callback(torch.set_default_dtype, dtype)
            torch.set_default_dtype(torch.float32)
        yield


def _seed(request: Request) -> None:
    """Seed torch's generator. `torch.manual_seed` also writes down, for every GPU, who called it: a millisecond."""
    if request.device in (None, "cpu", "meta"):
        torch.default_generator.manual_seed(request.seed)
    else:
        torch.manual_seed(request.seed)


def _module(component: Callable[..., Any], request: Request, reply: Reply) -> Any:
    """Build a learner's class, note its parameters, load the weights, and return it ready to be called.

    A trained parameter that gets no weight from the request is filled with a pattern of its own, so that what a
    wrong answer computes is the same every time. A module may be kept under several names, as in an `nn.Sequential`
    beside its own attribute: its parameters are known by the names that the request asks for.
    """
    build = {name: value.make() if isinstance(value, Stub) else value for name, value in (request.build or {}).items()}
    module = component(**build)
    if not isinstance(module, torch.nn.Module):
        return module
    state = _named(module.state_dict(keep_vars=True), request)
    reply.shapes = {name: list(tensor.shape) for name, tensor in state.items()}
    parameters = {
        name: parameter
        for name, parameter in module.named_parameters(remove_duplicate=False)
        if parameter.requires_grad and name in state
    }
    reply.trained = tuple(parameters)
    reply.shared = tuple(sorted(tuple(group) for group in _groups(parameters) if len(group) > 1))
    with torch.no_grad():
        for name, tensor in state.items():
            given = number_for(name, request.weights)
            if given is not None and given.shape == tensor.shape:
                tensor.copy_(given)
            elif name in parameters and not request.as_made:
                tensor.copy_(_pattern(name, tensor.shape))
    floats = [
        value for value in request.arguments.values() if isinstance(value, torch.Tensor) and value.is_floating_point()
    ]
    floats += list(request.weights.values())
    # To move what need not move takes a tenth of the time of a large model's check.
    held = {tensor.dtype for tensor in itertools.chain(state.values(), module.buffers())}
    if floats and any(dtype.is_floating_point and dtype != floats[0].dtype for dtype in held):
        module.to(floats[0].dtype)
    if request.device:
        module.to(request.device)
    return module.train(request.training)


@functools.lru_cache(maxsize=1024)
def _pattern(name: str, shape: torch.Size) -> torch.Tensor:
    """Return what fills a parameter without a weight; it is shared, and must not change."""
    return Numbers(f"weights {name}").tensor(*shape, low=-1.0, high=1.0)


def number_for(name: str, weights: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    """Return what a parameter is filled with: the weight of its name, or None.

    Query, key and value of attention may have one projection for all three, as in nn.MultiheadAttention:
    `in_proj_weight` and `in_proj.weight` get those of `q_proj`, `k_proj` and `v_proj`, one below the other.
    """
    match = JOINED.fullmatch(name)
    if name in weights or not match:
        return weights.get(name)
    parts = [weights.get(f"{match[1]}{projection}.{match[2]}") for projection in PROJECTIONS]
    found = [part for part in parts if part is not None]
    return torch.cat(found) if len(found) == len(parts) else None


def _named(tensors: dict[str, Any], request: Request) -> dict[str, Any]:
    """Return the tensors without the further names of those that the request asks for under another one."""
    kept: set[str] = set()
    for group in _groups(tensors):
        kept.update([name for name in group if name in request.weights] or group)
    return {name: tensor for name, tensor in tensors.items() if name in kept}


def _groups(tensors: Mapping[str, object]) -> Collection[list[str]]:
    """Return the names of each tensor."""
    owners: dict[int, list[str]] = {}
    for name, tensor in tensors.items():
        owners.setdefault(id(tensor), []).append(name)
    return owners.values()


def _leaves(arguments: dict[str, Any], called: object, request: Request) -> dict[str, torch.Tensor]:
    leaves = {
        name: value for name, value in arguments.items() if isinstance(value, torch.Tensor) and value.requires_grad
    }
    if isinstance(called, torch.nn.Module):
        parameters = _named(dict(called.named_parameters(remove_duplicate=False)), request)
        leaves |= {f"weights.{group[0]}": parameters[group[0]] for group in _groups(parameters)}
    return leaves


def describe(arguments: Mapping[str, Any], before: Iterable[tuple[str, dict[str, Any]]] = ()) -> str:
    """Return one line that names the arguments and their shapes: `query [2, 3, 7], mask [3, 7]`.

    before  calls that came first: `count 2, after append(key [2, 3, 5, 7])`
    """

    def one(name: str, value: Any) -> str:
        if isinstance(value, torch.Tensor):
            return f"{name} {list(value.shape)}"
        return name if isinstance(value, Stub) else f"{name} {values.short(value)}"

    def listed(given: Mapping[str, Any]) -> str:
        return ", ".join(one(name, value) for name, value in given.items())

    calls = [f"{method}({listed(given)})" for method, given in before]
    after = f"after {' and '.join(calls)}" if calls else ""
    return ", ".join(filter(None, (listed(arguments), after))) or "nothing"


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else values.copied(value)


def _fresh(value: Any, request: Request) -> Any:
    if isinstance(value, Stub):
        return value.make()
    if not isinstance(value, torch.Tensor):
        return values.copied(value)
    fresh = value.detach().clone()
    if request.device:
        fresh = fresh.to(request.device)
    return fresh.requires_grad_(request.gradients and fresh.is_floating_point())


def _differs(before: Any, after: Any) -> bool:
    if isinstance(before, values.CONTAINERS):
        return not values.alike(before, after)
    if not isinstance(before, torch.Tensor):
        return False
    if before.is_meta:
        return False
    if before.dtype == after.dtype and torch.equal(before, after.detach()):  # NaN is nowhere equal, and asked for below
        return False
    return before.shape != after.shape or not torch.equal(
        torch.nan_to_num(before.detach().double()), torch.nan_to_num(after.detach().double())
    )


def _too_large(output: Any) -> str | None:
    """Return what an output is that no exercise asks for, by its size alone; None if it may be looked at."""
    waiting, items, numbers = [output], 0, 0
    while waiting and items <= MOST_ITEMS:
        one = waiting.pop()
        items += 1
        if isinstance(one, (list, tuple)):
            # Not asked in its own words, which may be a learner's.
            kind: Any = list if isinstance(one, list) else tuple
            if kind.__len__(one) > MOST_ITEMS:
                return f"a {kind.__name__} of {kind.__len__(one)} values, too large to be looked at"
            waiting.extend(kind.__iter__(one))
        elif isinstance(one, torch.Tensor):
            with torch._C.DisableTorchFunctionSubclass():
                numbers += one.numel()
            if numbers > MOST_NUMBERS:
                return f"a tensor of {numbers} numbers, too large to be looked at"
    return None


def _plain(output: Any, number: bool = False) -> Any:
    if isinstance(output, torch.Tensor):
        return output.detach().as_subclass(torch.Tensor)
    if isinstance(output, (tuple, list)):
        return tuple(_plain(item, number) for item in output)
    if number and type(output) in (int, float):
        return torch.tensor(float(output), dtype=torch.float64)
    return "None" if output is None else f"a {type(output).__name__}"


def _as_value(output: Any, words: Any) -> tuple[Any, Any]:
    """Return (the kind of an output in words, it as a plain value); of what is none, the words that it has already."""
    if isinstance(output, torch.Tensor):
        return words, None
    try:
        value = values.plain(output)
    except values.NotPlainError as reason:
        holds = f"{values.kind(output)} that holds {reason}" if type(output) in values.CONTAINERS else str(reason)
        return holds, None
    return values.kind(value), value


def _gradients(output: Any, leaves: dict[str, torch.Tensor]) -> dict[str, torch.Tensor | None]:
    """Differentiate a weighted sum of all outputs; the weights follow a fixed pattern, so no two count the same."""
    tensors = [t for t in tree_flatten(output)[0] if isinstance(t, torch.Tensor) and t.requires_grad]
    trained = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    if not tensors or not trained:
        return dict.fromkeys(leaves)
    total = sum(
        (t * (torch.arange(t.numel(), dtype=t.dtype).reshape(t.shape) * 37 % 64 - 31) / 32).sum() for t in tensors
    )
    found = torch.autograd.grad(cast(torch.Tensor, total), list(trained.values()), allow_unused=True)
    return dict.fromkeys(leaves) | dict(zip(trained, found, strict=True))


def _cut(output: Any) -> tuple[int, ...]:
    """Return the numbers, from 1, of the outputs through which no gradient goes."""
    outputs = output if isinstance(output, (tuple, list)) else (output,)
    tensors = [[one for one in tree_flatten(part)[0] if isinstance(one, torch.Tensor)] for part in outputs]
    return tuple(
        number for number, part in enumerate(tensors, 1) if part and not any(one.requires_grad for one in part)
    )


@contextmanager
def _replaced(component: Callable[..., Any], parts: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    """Let the component's module see right `parts` under their names while it runs."""
    if not parts:
        yield
        return
    names = facts.names_around(component)
    missing = object()
    before = {name: names.get(name, missing) for name in parts}
    names.update(parts)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is missing:
                names.pop(name, None)
            else:
                names[name] = value


class _Functions(TorchFunctionMode):
    """Remembers which of the forbidden torch functions run, and whether a forbidden library called any function."""

    def __init__(self, forbidden: Collection[str]) -> None:
        super().__init__()
        self.forbidden = set(forbidden)
        self.libraries = {name for name in forbidden if name.endswith(LIBRARY)}
        self.used: set[str] = set()

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        if name in self.forbidden:
            self.used.add(name)
        if self.libraries:
            self.used |= self.libraries & set(_author(sys._getframe(1)))
        return function(*args, **(kwargs or {}))


def _author(frame: FrameType | None) -> tuple[str, ...]:
    """Return the names of the library whose code called a function of torch; () if that is nobody's but an answer's.

    Torch calls itself, and Python's own library calls what it is given: whoever called these is meant.
    """
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in PYTHON_AND_TORCH:
            # This package may be installed there as well: it builds an answer's module, and fills it with numbers.
            is_another = INSTALLED.search(frame.f_code.co_filename) and package != __name__.partition(".")[0]
            return (f"{package}{LIBRARY}", *([ANY_LIBRARY] if is_another else []))
        frame = frame.f_back
    return ()


class _Memory(LightMode):
    """Counts the numbers that live in tensors made during a call, and remembers the most."""

    def __init__(self) -> None:
        super().__init__()
        self._made: list[weakref.ref[torch.Tensor]] = []
        self.most: int | None = None

    def __torch_dispatch__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = function(*args, **(kwargs or {}))
        arguments = {_storage(t) for t in tree_flatten((args, kwargs))[0] if isinstance(t, torch.Tensor)}
        known = {_storage(t) for t in self._alive()}

        def note(value: Any) -> Any:
            # A view of something given is not something made.
            if isinstance(value, torch.Tensor) and (_storage(value) not in arguments or _storage(value) in known):
                self._made.append(weakref.ref(value))
            return value

        tree_map(note, output)
        sizes = {_storage(t): t.untyped_storage().nbytes() // t.element_size() for t in self._alive()}
        self.most = max(self.most or 0, sum(sizes.values()))
        return output

    def _alive(self) -> list[torch.Tensor]:
        self._made = [made for made in self._made if made() is not None]
        return [tensor for made in self._made if (tensor := made()) is not None]


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
