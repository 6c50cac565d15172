"""What official grading asks of a component."""

from dataclasses import fields, is_dataclass

import torch
from lessons import REPOSITORY

from autograder.diagnosing import records
from autograder.grading import judge

REFERENCE = judge.Reference(REPOSITORY / "solutions")


def sizes_asked(exercise, seed):
    """Return the sizes and other plain arguments of all calls that the probes make with fresh numbers."""
    return [
        (_sizes(request.arguments), _sizes(request.build))
        for request in REFERENCE.fresh(records.read(exercise), seed).requests
    ]


def _sizes(value):
    if isinstance(value, torch.Tensor):
        return tuple(value.shape)
    if isinstance(value, dict):
        return {name: _sizes(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_sizes(one) for one in value]
    if is_dataclass(value):
        return {field.name: _sizes(getattr(value, field.name)) for field in fields(value)}
    return value
