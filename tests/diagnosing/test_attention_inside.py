"""A mistake of attention is known wherever attention is written: lesson 7's have the same names in lessons 6 and 8.

The answers are written with the attention inline, in the ways in which learners write what stands around a mistake.
"""

import pytest
import torch
from torch import nn

from autograder.checking.check import examine
from autograder.diagnosing import records

pytestmark = pytest.mark.filterwarnings("ignore")

INSIDE = {
    "SelfAttention": """
class SelfAttention(nn.Module):
    def __init__(self, embed_dim, head_dim):
        super().__init__()
        self.v_proj = nn.Linear(embed_dim, head_dim)
        self.k_proj = nn.Linear(embed_dim, head_dim)
        self.q_proj = nn.Linear(embed_dim, head_dim)

    def forward(self, x, mask=None):
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        d = q.size(-1)
        ATTEND
        return w @ v, w
""",
    "MultiHeadAttention": """
class MultiHeadAttention(nn.Module):
    def __init__(self, embed_dim, num_heads, dropout=0.0):
        super().__init__()
        if embed_dim % num_heads != 0:
            raise ValueError(f"{embed_dim} features do not go into {num_heads} heads")
        self.h, self.d = num_heads, embed_dim // num_heads
        self.out_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.drop = nn.Dropout(p=dropout)

    def forward(self, query, key, value, mask=None):
        b, d = query.size(0), self.d
        q = self.q_proj(query).view(b, -1, self.h, d).transpose(1, 2)
        k = self.k_proj(key).view(b, -1, self.h, d).transpose(1, 2)
        v = self.v_proj(value).view(b, -1, self.h, d).transpose(1, 2)
        if mask is not None and mask.dim() == 3:
            mask = mask[:, None]
        ATTEND
        out = (self.drop(w) @ v).transpose(1, 2).contiguous().view(b, -1, self.h * d)
        return self.out_proj(out), w
""",
}

SCORES = "s = q @ k.transpose(-2, -1) / d**0.5"
HIDE = "s = s if mask is None else s.masked_fill(mask == 0, float('-inf'))"
CLEAR = "w = w if mask is None else w.masked_fill(mask == 0, 0.0)"
SOFTMAX = "w = torch.softmax(s, dim=-1)"
MISTAKES = {
    "no_scale": ["s = torch.matmul(q, k.mT)", HIDE, "w = s.softmax(-1).nan_to_num()"],
    "divided_by_head_dim": ["s = torch.einsum('...qd,...kd->...qk', q, k) / d", HIDE, SOFTMAX, CLEAR],
    "multiplied_by_the_scale": ["s = q @ k.transpose(-1, -2) * d**0.5", HIDE, SOFTMAX, CLEAR],
    "fixed_scale": ["s = q @ k.mT * 0.125", HIDE, SOFTMAX, CLEAR],
    "scale_after_the_softmax": ["s = q @ k.mT", HIDE, SOFTMAX, CLEAR, "w = w * d**-0.5"],
    "softmax_over_another_axis": [SCORES, HIDE, "w = nn.Softmax(dim=1)(s)"],
    "softmax_twice": [SCORES, HIDE, "w = s.softmax(-1).softmax(-1)", CLEAR],
    "sigmoid_instead": [SCORES, HIDE, "w = torch.sigmoid(s)"],
    "exp_without_the_maximum": [SCORES, HIDE, "w = s.exp()", "w = w / w.sum(-1, keepdim=True)", CLEAR],
    "hidden_scores_set_to_zero": [SCORES, "s = s if mask is None else s * mask", SOFTMAX],
    "mask_added_as_numbers": [SCORES, "s = s if mask is None else s + mask.float()", SOFTMAX],
    "plus_infinity_on_hidden_keys": [SCORES, HIDE.replace("-inf", "inf"), SOFTMAX],
    "renormalised_after_the_softmax": [
        SCORES,
        SOFTMAX,
        "w = w if mask is None else w * mask / (w * mask).sum(-1, keepdim=True).clamp_min(1e-9)",
    ],
    "nan_on_empty_rows": [SCORES, HIDE, SOFTMAX],
    "finite_fill": [SCORES, "s = s if mask is None else s.masked_fill(~mask, -1e9)", SOFTMAX],
}


def diagnosed(exercise, lines):
    names = {"torch": torch, "nn": nn}
    exec(INSIDE[exercise].replace("ATTEND", "\n        ".join(lines)), names)
    return examine(records.read(exercise), {exercise: names[exercise]}, 60)


@pytest.mark.parametrize("exercise", INSIDE)
def test_what_stands_around_the_mistakes_is_right(exercise):
    assert diagnosed(exercise, [SCORES, HIDE, SOFTMAX, CLEAR]).passed


@pytest.mark.parametrize("exercise", INSIDE)
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_of_attention_has_its_name_inside_other_lessons(name, exercise):
    found = diagnosed(exercise, MISTAKES[name])
    assert not found.passed and found.mistakes == (name,)
