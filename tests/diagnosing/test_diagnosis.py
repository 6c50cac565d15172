"""From what an answer shows to what it is told: when two observations are the same, and what is said where they differ.

Sizes are distinct primes.
"""

import math

import pytest
import torch

from autograder.diagnosing.observation import ABSOLUTE, RELATIVE, same, same_signature, signature


def test_numbers_are_the_same_within_the_tolerance_and_slack_widens_it():
    expected = torch.tensor([2.0, 0.0])
    for share, equal in ((0.9, True), (1.2, False)):
        relative = expected * (1 + RELATIVE * share)
        absolute = expected + torch.tensor([0.0, ABSOLUTE * 2 * share])
        assert same(expected, relative) == same(expected, absolute) == equal
        assert same(expected, expected * (1 + 7 * RELATIVE * share), slack=7) == equal
        assert same(expected, expected + torch.tensor([0.0, 7 * ABSOLUTE * 2 * share]), slack=7) == equal
