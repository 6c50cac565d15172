"""The largest differences from outside implementations, kept for a table at the end of the test run."""

import tables

DIFFERENCES = []  # (lesson, what was compared with what, dtype, largest difference)
LIMITS = {"float32": 1e-5, "float64": 1e-10}


def witnessed(lesson, what, dtype, difference):
    """Keep the largest difference that was seen, and hold it against the limit of its dtype.

    lesson      name of the lesson
    what        what was compared with what: "EncoderLayer, nn.TransformerEncoderLayer: gradients"
    dtype       torch.float32 or torch.float64
    difference  the largest difference of any two numbers
    """
    name, difference = str(dtype).removeprefix("torch."), float(difference)
    DIFFERENCES.append((lesson, what, name, difference))
    tables.row("largest differences from outside implementations", compared=f"{lesson}: {what}", dtype=name,
               difference=difference)
    assert difference < LIMITS[name], f"{what} in {name}: {difference:.1e} is not under {LIMITS[name]:.0e}"
