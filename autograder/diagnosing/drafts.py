"""First drafts: what keeps an answer from being an answer, told in a sentence of its own, without what follows from it.

A line of the skeleton that is still there, a name that is not defined, a result that is printed and not returned: all
else that the probes show then follows from it. Each sentence rests on what was observed of this answer's calls.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from ..calling.facts import Line
from ..calling.local import Fault, Reply, Request
from ..calling.values import KINDS
from ..probes import Observations
from . import records
from .comparison import ANSWER, bare, differences, values
from .diagnosis import Diagnosis, describe
from .observation import is_exception, same
from .records import Record

Change = Callable[[Any], Any]  # of an output
Again = Callable[[Change], tuple[Diagnosis, Mapping[str, Observations]]]

PLAIN = re.compile("|".join(sorted(set(KINDS.values()))))
SEVERAL = re.compile(r"(\d+) values")
ASKED = re.compile(rf"a tensor|\d+ values|{PLAIN.pattern}")
GIVEN = re.compile(rf"None|\d+ values|an? \w+|{PLAIN.pattern}")
NOT_PREPARED = re.compile(r"before Module\.__init__\(\) call|has no attribute '_\w*(parameters|modules|buffers|hooks)'")
OTHER_PARAMETERS = re.compile(
    r"(?:[\w.<>]+\.)?([\w<>]+)\(\) (takes|missing|got multiple values|got an unexpected keyword)"
)
NUMPY = re.compile(r"numpy\(\)|(to|not|from) numpy|numpy\.(nd|u?int|float|bool)", re.IGNORECASE)
IMPORTS = {
    "torch": "import torch",
    "nn": "from torch import nn",
    "F": "import torch.nn.functional as F",
    "math": "import math",
    "np": "import numpy as np",
    "einops": "import einops",
    "functools": "import functools",
    "itertools": "import itertools",
}
GIVE_THOSE = "Give it those of the exercise, in the same order and with the same defaults."
ORDINALS = ("first", "second", "third", "fourth")


@dataclass(frozen=True)
class _Answer:
    """An answer that is wrong, and of which no known mistake is recognised.

    calls  that were made of it, with what they gave
    again  judges it once more with every output changed: (diagnosis, observed)
    """

    record: Record
    observed: Mapping[str, Observations]
    calls: Sequence[tuple[Request, Reply]]
    again: Again

    @cached_property
    def kinds(self) -> list[tuple[str, str, str]]:
        """[what kind of answer was expected, which one came, for which input]"""
        return [
            (value, str(self.observed[probe].values.get(name)), self.record.given[probe].get(name, ""))
            for probe, seen in self.record.reference.items()
            for name, value in seen.items()
            if probe in self.observed and bare(name) == ANSWER and isinstance(value, str)
        ]

    def called(self, request: Request) -> str:
        """Return what is called, as a learner would write it: `LayerNorm.forward`."""
        name = self.record.exercise
        return f"`{name}`" if request.build is None else f"`{name}.{request.method or 'forward'}`"

    def names(self, probe: str, count: int) -> list[tuple[str, list[str]]]:
        """Return [(label of a call, what its outputs are called)] of a probe, where there are so many outputs."""
        found: dict[str, list[str]] = {}
        for name in self.record.reference[probe]:
            label, _, about = name.rpartition(": ")
            if match := re.fullmatch(r"(?:shape|form) of (\w+)", about):
                found.setdefault(label, []).append(match[1])
        return [(label, names) for label, names in found.items() if len(names) == count]

    def outputs(self, count: int) -> str:
        """Return what this many outputs are called, in words; "" if they have no names."""
        named = (names for probe in self.record.reference for _, names in self.names(probe, count))
        return _listed(next(named, []))


def told(
    record: Record, observed: Mapping[str, Observations], calls: Sequence[tuple[Request, Reply]], again: Again
) -> str:
    """Return the sentence of a first draft, "" if the answer is none.

    observed  {probe: Observations} of an answer that is wrong and that no known mistake explains
    calls     (request, reply) of all calls that were made of it
    again     function that judges the answer once more with every output changed: (diagnosis, observed)
    """
    answer = _Answer(record, observed, calls, again)
    return next(filter(None, _sentences(answer)), "")


def elsewhere(sentence: str, observed: Mapping[str, Observations]) -> dict[str, Observations]:
    """Return {probe: Observations} of the probes in which what an answer shows does not follow from what it is told.

    That is nothing, but for an answer that lacks a parameter which some probes alone give it, such as an argument that
    the exercise had not always: under the others it shows what else is wrong.
    """
    if not sentence.endswith(GIVE_THOSE):
        return {}
    return {probe: seen for probe, seen in observed.items() if _is_taken(seen)}


def _is_taken(seen: Observations) -> bool:
    if seen.fault:
        return not _is_of_parameters(seen.fault)
    # Not every probe keeps the exception, of which it notes no more than the type.
    return not any("raised TypeError" in value for value in seen.values.values() if isinstance(value, str))


def _is_of_parameters(fault: Fault) -> bool:
    return fault.type == "TypeError" and not fault.lines and bool(OTHER_PARAMETERS.match(fault.message))


def _sentences(answer: _Answer) -> Iterator[str]:
    yield from (_component(answer, request, reply) for request, reply in answer.calls)
    faults = [(request, reply, reply.fault) for request, reply in answer.calls if reply.fault]
    # Of a parameter that is missing another call may say that its name is not defined.
    yield from (_parameters(answer, *one) for one in faults)
    for request, reply, fault in faults:
        yield _skeleton(fault)
        yield _not_prepared(fault)
        yield _no_method(answer, request, reply, fault)
        yield _undefined(answer, fault)
        yield _numpy(fault)
    yield from (_made_in_the_call(answer, request, reply) for request, reply in answer.calls)
    yield _kind(answer)
    yield _order(answer)
    yield _always_raised(answer)


# What is checked


def _component(answer: _Answer, request: Request, reply: Reply) -> str:
    """Tell a class where a function is asked for, the reverse, an object, and a class that is no module."""
    name, component = answer.record.exercise, reply.facts.component
    is_class = component in ("class", "module class")
    if request.build is None:
        return f"`{name}` is a class, and the exercise asks for a function: `def {name}(...)`." if is_class else ""
    if component == "class" and request.weights:
        return f"`{name}` is no PyTorch module, so it has no parameters. Write `class {name}(nn.Module):`."
    if is_class or component == "partial" or not reply.fault or reply.fault.lines or reply.shapes:
        return ""
    if component == "function":
        return f"`{name}` is a function, and the exercise asks for a class: `class {name}(nn.Module):`."
    return f"`{name}` is an object of the class `{component}` here, and not a class. Check the class itself."


# Exceptions


def _skeleton(fault: Fault) -> str:
    if fault.type != "NotImplementedError" or not fault.lines or fault.unsolved:
        return ""
    where, number, text = fault.lines[-1]
    if not text.startswith("raise NotImplementedError"):
        return ""
    return (
        f"In {where}, line {number} is still the skeleton's `raise NotImplementedError`, which ends the call there, "
        "whatever else you have written. Delete this line."
    )


def _not_prepared(fault: Fault) -> str:
    if fault.type == "TypeError" and "'__init__' of 'super' object" in fault.message:
        return f"{_at(fault)}The parentheses behind `super` are missing: write `super().__init__()`."
    if fault.type != "AttributeError" or not NOT_PREPARED.search(fault.message):
        return ""
    return (
        f"{_at(fault)}`super().__init__()` has not run before: it prepares a module for its layers and parameters. "
        "Make it the first line of `__init__`."
    )


def _parameters(answer: _Answer, request: Request, reply: Reply, fault: Fault) -> str:
    """Tell a forgotten `self`, and parameters that are not those of the exercise."""
    match = OTHER_PARAMETERS.match(fault.message) if fault.type == "TypeError" else None
    known = reply.facts.parameters
    if not match:
        return ""
    name, what = match.groups()
    own = known.get(name)
    is_method = reply.facts.component in ("class", "module class") and own is not None
    if own is not None and is_method and "self" not in own and what in ("takes", "got multiple values"):
        written = ", ".join(["self", *own])
        return f"{_at(fault)}`{name}` lacks `self` in front of its parameters. Write `def {name}({written}):`."
    if fault.lines:
        return ""  # a call of the learner's own
    if request.build is not None and name == "__init__":
        if own is None and is_known_class(reply):
            return _without(answer, "__init__", known)
        asked = ", ".join(f"{one}=..." for one in request.build)
        called = f"{answer.record.exercise}({asked})"
    elif name in ("__init__", request.method or "forward") or request.build is None:
        called = f"{answer.record.exercise if request.build is None else name}({', '.join(request.arguments)})"
    else:
        return ""
    if own is None:
        return ""
    yours = ", ".join(one for one in own if one != "self") or "nothing"
    return f"The check calls `{called}`, and the parameters of your `{name}` are: {yours}. " + GIVE_THOSE


def is_known_class(reply: Reply) -> bool:
    """Tell whether a component is a class of which the methods are known."""
    return reply.facts.component == "module class"


def _no_method(answer: _Answer, request: Request, reply: Reply, fault: Fault) -> str:
    """Tell that a class has no `forward`, or no other method that the exercise asks for."""
    known, method = reply.facts.parameters, request.method or "forward"
    if request.build is None or method in known or fault.lines or not is_known_class(reply):
        return ""
    is_missing = 'missing the required "forward"' in fault.message or (
        fault.type == "AttributeError" and fault.message.endswith(f"has no attribute '{method}'")
    )
    return _without(answer, method, known) if is_missing else ""


def _without(answer: _Answer, method: str, known: Mapping[str, Sequence[str]]) -> str:
    others = f"it has {_listed(known)}" if known else "it has none at all"
    name = answer.record.exercise
    return (
        f"The class `{name}` has no method `{method}`; {others}. Look at how it is spelt, and how far it is indented."
    )


def _undefined(answer: _Answer, fault: Fault) -> str:
    if fault.type == "UnboundLocalError" or "free variable" in fault.message and fault.type == "NameError":
        match = re.search(r"variable '(\w+)'", fault.message)
        return f"{_at(fault)}`{match[1]}` has no value yet when this line runs." if match else ""
    match = re.match(r"name '(\w+)' is not defined", fault.message) if fault.type == "NameError" else None
    return f"{_at(fault)}{_where_defined(answer, match[1], fault)}" if match else ""


def _where_defined(answer: _Answer, name: str, fault: Fault) -> str:
    undefined = f"The name `{name}` is not defined"
    if name == "self":
        return f"{undefined}: a method has it as its first parameter, `def {fault.lines[-1][0]}(self, ...)`."
    if fault.near.startswith("self."):
        return f"{undefined}; the object has it: write `{fault.near}`."
    if name in IMPORTS:
        return f"{undefined}. `{IMPORTS[name]}` makes it known: run the cell with the imports, or add this line to it."
    lessons = records.exercises()
    if lessons.get(name) == answer.record.lesson:
        return f"{undefined}. The cell of the exercise `{name}` of this lesson defines it: run that cell first."
    if name in lessons:
        return f"{undefined}. It is an exercise of another lesson: `from workbench.parts import {name}`."
    meant = f" Did you mean `{fault.near}`?" if fault.near else " Run the cell that defines it, or correct the name."
    return f"{undefined}.{meant}"


def _numpy(fault: Fault) -> str:
    if fault.type not in ("RuntimeError", "TypeError") or not NUMPY.search(fault.message):
        return ""
    return (
        f"{_at(fault)}NumPy takes part here, and it knows neither gradients nor devices. Compute with PyTorch's "
        "functions throughout."
    )


# What came back


def _made_in_the_call(answer: _Answer, request: Request, reply: Reply) -> str:
    made = reply.facts.made
    if made is None or not reply.shapes.keys() < {*reply.shapes, *request.weights}:
        return ""
    where, number, text = made
    return (
        f"In {where}, line {number}: `{text}`. Here a layer or parameter is made anew in every call, "
        "with new numbers, so that it can neither be trained nor be given weights. Make it once, in `__init__`, and "
        "use it here."
    )


def _kind(answer: _Answer) -> str:
    """Tell what kind of thing came back, where it is of no kind that the exercise asks for."""
    asked = [one for one in answer.kinds if ASKED.fullmatch(one[0])]
    other = [one for one in asked if one[1] != one[0] and GIVEN.fullmatch(one[1])]
    if not other or len(asked) < len(answer.kinds) - sum(is_exception(one[0]) for one in answer.kinds):
        return ""
    expected, seen, given = other[0]
    sentence = _returned(answer, expected, seen)
    if any(one[1] == one[0] for one in asked) and given and given != "nothing" and sentence:
        return f"For {given}: {sentence[0].lower()}{sentence[1:]}" if sentence[0] != "`" else f"For {given}: {sentence}"
    return sentence


def _returned(answer: _Answer, expected: str, seen: str) -> str:
    request, reply = next(((request, reply) for request, reply in answer.calls if _shows(reply, seen)), (None, None))
    if request is None or reply is None:
        return ""
    called, output = answer.called(request), reply.facts.output
    plain = bool(PLAIN.fullmatch(expected))
    count = int(expected.split()[0]) if expected != "a tensor" and not plain else 1
    names = answer.outputs(count) if count > 1 else ""
    one = "a number" if request.number else expected
    asks = f"{count} values{f', {names}' if names else ''}" if count > 1 else one
    if seen == "None":
        return _nothing(called, reply)
    if seen == "a generator":
        return f"{called} contains `yield`, which makes a generator of it. Give the result with `return`."
    if seen == "a coroutine":
        return f"{called} is written with `async def`, so that calling it does not run it. Write `def`."
    if seen == "a ndarray" and not plain:
        return f"{called} returns a NumPy array, and the exercise asks for {asks}. Compute with PyTorch throughout."
    if seen in ("a function", "a method", "a builtin_function_or_method"):
        return f"{called} returns a function, and not what it gives: the parentheses of a call are missing."
    if seen == "a tensor" and not plain:
        which = _which(answer, count)
        return f"{called} returns one tensor{which}, and the exercise asks for {asks}."
    if not seen.endswith(" values"):
        return f"{called} returns {seen}, and the exercise asks for {asks}."
    many = int(seen.split()[0])
    kind = output if output in ("list", "tuple") else ""
    if many == 1:
        comma = " A comma behind the result makes a tuple of it." if kind == "tuple" else ""
        return f"{called} returns a {kind or output} with one value in it, and the exercise asks for {asks}.{comma}"
    if count > 1:
        return f"{called} returns {many} values, and the exercise asks for {asks}."
    what = f"a {kind} of {many} values" if kind else f"{many} values (`{output}`)"
    return f"{called} returns {what}, and the exercise asks for {one}.{_one_of(answer, many)}"


def _shows(reply: Reply, seen: str) -> bool:
    output = reply.output
    if reply.fault:
        return False
    if isinstance(output, torch.Tensor):
        return seen == "a tensor"
    return seen == (f"{len(output)} values" if isinstance(output, (tuple, list)) else output)


def _nothing(called: str, reply: Reply) -> str:
    last = reply.facts.last
    line = f" Its last line is line {last[1]}, `{last[2]}`." if last else ""
    if reply.facts.printed:
        return (
            f"{called} prints something and returns nothing (`None`).{line} What is printed is only shown; `return` "
            "hands the result to whoever calls."
        )
    return f"{called} returns nothing (`None`).{line} Hand the result back with `return`."


def _one_of(answer: _Answer, many: int) -> str:
    """Say which one of several values is right, if one is."""
    for place in range(min(many, len(ORDINALS))):

        def picked(output: Any, place: int = place) -> Any:
            return output[place] if _is_of(output, many) else output

        _, observed = answer.again(picked)
        differs = differences(answer.record.expected(), values(observed)) if observed else {"all": {}}
        if all(aspects.keys() == {"gradients"} for aspects in differs.values()):  # to which all values gave a part
            return f" The {ORDINALS[place]} of them is right: return it alone."
    return ""


def _which(answer: _Answer, count: int) -> str:
    """Say which one of the outputs was returned, if its numbers are those of one."""
    for place in range(count):

        def padded(output: Any, place: int = place) -> Any:
            nothing = [torch.full((), torch.nan)] * (count - 1)
            return (*nothing[:place], output, *nothing[place:]) if isinstance(output, torch.Tensor) else output

        _, observed = answer.again(padded)
        alike = [
            same(value, seen.get(name))
            for name, value, seen in _numbers(answer, observed, count)
            if bare(name) == name_of(answer, count, place)
        ]
        if alike and all(alike):
            return f", `{name_of(answer, count, place)}`"
    return ""


def name_of(answer: _Answer, count: int, place: int) -> str:
    """Return what an output is called; "" if it has no name."""
    named = (names for probe in answer.record.reference for _, names in answer.names(probe, count))
    return next(named, [""] * count)[place]


def _numbers(
    answer: _Answer, observed: Mapping[str, Observations], count: int
) -> Iterator[tuple[str, torch.Tensor, Mapping[str, Any]]]:
    """Yield (name, what was expected, all that the probe saw) of the numbers of each probe with so many outputs."""
    for probe, expected in answer.record.expected().items():
        if probe in observed and answer.names(probe, count):
            for name, value in expected.items():
                if isinstance(value, torch.Tensor):
                    yield name, value, observed[probe].values


def _order(answer: _Answer) -> str:
    """Tell that the values came in another order: in the right one, the answer is right, or makes a known mistake."""
    counts = {int(several[1]) for expected, _, _ in answer.kinds if (several := SEVERAL.fullmatch(expected))}
    for count in sorted(counts):
        for order in _orders(answer, count):

            def ordered(output: Any, order: tuple[int, ...] = order) -> Any:
                return tuple(output[place] for place in order) if _is_of(output, len(order)) else output

            diagnosis, _ = answer.again(ordered)
            if diagnosis.passed or diagnosis.mistakes:
                request = next(request for request, reply in answer.calls if _is_of(reply.output, count))
                names = answer.outputs(count)
                return (
                    f"{answer.called(request)} returns its {count} values in another order than the exercise asks for"
                    f"{f': {names}' if names else ''}. In that order, the {ORDINALS[order[0]]} of yours comes first."
                )
    return ""


def _orders(answer: _Answer, count: int) -> list[tuple[int, ...]]:
    """Return the orders of the outputs in which a probe shows expected numbers under the name of another output."""
    found: dict[tuple[int, ...], None] = {}
    for probe, expected in answer.record.expected().items():
        seen = answer.observed[probe].values if probe in answer.observed else {}
        for label, names in answer.names(probe, count):
            full = [f"{label}: {name}" if label else name for name in names]
            for order in itertools.permutations(range(count)):
                # What comes at place order[0] of the answer belongs in the first place.
                moved = [(full[place], full[other]) for place, other in enumerate(order) if place != other]
                if any(_alike(expected, seen, asked, given) for asked, given in moved):
                    found[order] = None
            if found:
                return list(found)
    return []


def _alike(expected: Mapping[str, Any], seen: Mapping[str, Any], asked: str, given: str) -> bool:
    """Tell whether numbers were seen under one name which were expected under another, of any layer of a list."""
    pairs = [(value, seen.get(name.replace(asked, given, 1))) for name, value in expected.items() if _is(name, asked)]
    pairs = [(value, other) for value, other in pairs if isinstance(value, torch.Tensor)]
    return bool(pairs) and all(same(value, other) for value, other in pairs)


def _is(name: str, asked: str) -> bool:
    return name == asked or name.startswith(f"{asked} of layer")


def _is_of(output: Any, count: int) -> bool:
    return isinstance(output, (tuple, list)) and len(output) == count


def _always_raised(answer: _Answer) -> str:
    """Tell the first exception, where every call ends in one: nothing else is known of the answer then."""
    if not answer.calls or not all(reply.fault for _, reply in answer.calls):
        return ""
    first = answer.calls[0][1]
    given = f" The input was {first.given}." if first.given != "nothing" else ""
    return describe("answer", "", None, first.fault).replace("your code", "Your code", 1) + given


def _at(fault: Fault) -> str:
    line: Line | None = fault.lines[-1] if fault.lines else None
    return f"In {line[0]}, line {line[1]}: `{line[2]}`. " if line else ""


def _listed(names: Any) -> str:
    names = [f"`{name}`" for name in names]
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
