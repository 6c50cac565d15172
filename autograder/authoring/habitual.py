"""Habits, given to any answer from outside: each changes what comes out, or the arguments, and no numbers.

Habits are declared once for all lessons (`diagnosing/habits.py`), so a probe that only a habit fails is failed by no
mistake of its lesson. These find out whether it notices one.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch

Habit = Callable[[Callable[..., Any]], Callable[..., Any]]


def _each(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Return a component's output, every tensor in it changed."""
    if isinstance(value, torch.Tensor):
        return change(value)
    return type(value)(_each(one, change) for one in value) if isinstance(value, tuple | list) else value


def _on_output(change: Callable[[torch.Tensor], torch.Tensor]) -> Habit:
    return lambda call: lambda *given, **named: _each(call(*given, **named), change)


def _overwrites(call: Callable[..., Any]) -> Callable[..., Any]:
    def overwriting(*given: Any, **named: Any) -> Any:
        output = call(*given, **named)
        with torch.no_grad():
            for one in given:
                if isinstance(one, torch.Tensor):
                    one.zero_()
        return output

    return overwriting


def _elsewhere(output: torch.Tensor) -> torch.Tensor:
    """Return an output that was put together with a new tensor on the default device."""
    return torch.stack([output, torch.zeros(output.shape, dtype=output.dtype)])[0]


def _always(dtype: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what gives an output this dtype, if it has a floating point one."""
    return lambda output: output.to(dtype) if output.is_floating_point() else output


# {what the habit is called in the lessons: what gives it to a function}
HABITS: dict[str, Habit] = {
    "cut_from_autograd": _on_output(torch.Tensor.detach),
    "fixed_dtype": _on_output(_always(torch.float32)),
    "fixed_device": _on_output(_elsewhere),
    "arguments_changed_in_place": _overwrites,
}
ALWAYS_DOUBLE = _on_output(_always(torch.float64))  # shows where what is made follows no input


def with_habit(component: Any, habit: Habit) -> Any:
    """Return a function or a class that does what this one does, and has the habit."""
    if not isinstance(component, type):
        return habit(component)
    whole: Any = component

    def forward(self: Any, *given: Any, **named: Any) -> Any:
        return habit(functools.partial(whole.forward, self))(*given, **named)

    return type(component.__name__, (component,), {"forward": forward})
