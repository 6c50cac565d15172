"""The largest differences from outside implementations, for a table at the end of the test run."""

import tables

LIMITS = {"float32": 1e-5, "float64": 1e-10}
_ROWS = {}


def witnessed(lesson, what, dtype, difference):
    """Keep the largest difference that was seen of each thing compared, and hold it against the limit of its dtype.

    lesson      name of the lesson
    what        what was compared with what: "EncoderLayer, nn.TransformerEncoderLayer: gradients"
    dtype       torch.float32 or torch.float64
    difference  the largest difference of any two numbers
    """
    name, difference = str(dtype).removeprefix("torch."), float(difference)
    key = (lesson, what, name)
    if key not in _ROWS:
        _ROWS[key] = tables.row(
            "largest differences from outside implementations",
            compared=f"{lesson}: {what}",
            dtype=name,
            comparisons=0,
            difference=difference,
        )
    _ROWS[key]["comparisons"] += 1
    _ROWS[key]["difference"] = max(_ROWS[key]["difference"], difference)
    assert difference < LIMITS[name], f"{what} in {name}: {difference:.1e} is not under {LIMITS[name]:.0e}"
