"""A picture of a text cut into tokens."""

from collections.abc import Iterator, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .figures import Picture, as_png, on_paper

COLUMNS = 84  # letters that a line has room for
LETTER, LINE = 0.095, 0.3  # inches
TINTS = ("#d6e6f2", "#fbe3c8", "#d9eee3")  # neighbours differ, and each token has a border as well


def strips(rows: Mapping[str, Sequence[bytes]], lines: int = 2) -> Picture:
    """Return a picture of texts in letters of one width, a box around each token.

    rows   {title: tokens}; the title is followed by how many there are, and stands alone where there are none
    lines  for how many lines each row has room; what does not fit ends in dots

    A blank is shown as ␣, the end of a line as ⏎, and a byte that is no character by itself in hexadecimal.
    """
    with on_paper():
        high = len(rows) * (lines + 1) * LINE + 0.1
        figure = Figure(figsize=(COLUMNS * LETTER + 0.3, high))
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set(xlim=(-1, COLUMNS + 1), ylim=(high / LINE, 0))
        axes.set_axis_off()
        for number, (title, tokens) in enumerate(rows.items()):
            top = number * (lines + 1) + 0.7
            counted = f"{title}: {len(tokens)} tokens" if tokens else title
            axes.text(0, top, counted, fontsize=10, va="center", parse_math=False)
            _draw(axes, tokens, top + 1, lines)
        png = as_png(figure, whole=True)
    told = (
        f"{title}: {len(tokens)} tokens, {' '.join(map(written, tokens[:12]))} ..." for title, tokens in rows.items()
    )
    return Picture("\n".join(told), png=png)


def written(token: bytes) -> str:
    """Return a token in signs that can be seen: a byte that is part of no character in hexadecimal."""
    text = token.decode("utf-8", errors="surrogateescape").replace(" ", "␣").replace("\n", "⏎")
    return "".join(f"{ord(one) - 0xDC00:02X}" if 0xDC80 <= ord(one) <= 0xDCFF else one for one in text)


def _draw(axes: Axes, tokens: Sequence[bytes], top: float, lines: int) -> None:
    for place, (line, column, text) in enumerate(_placed(tokens, lines)):
        if text != "...":
            tint = TINTS[place % len(TINTS)]
            axes.add_patch(
                Rectangle(
                    (column + 0.08, top + line - 0.42), len(text) - 0.16, 0.84, facecolor=tint, edgecolor="0.35", lw=0.7
                )
            )
        for at, letter in enumerate(text):  # one by one, so that a letter stands in its place whatever its width
            axes.text(
                column + at + 0.5,
                top + line,
                letter,
                family="monospace",
                fontsize=9,
                ha="center",
                va="center",
                parse_math=False,
            )


def _placed(tokens: Sequence[bytes], lines: int) -> Iterator[tuple[int, int, str]]:
    """Yield (line, column, text) of each token that has room, and of the dots where not all have."""
    line = column = 0
    for text in map(written, tokens):
        if column + len(text) > COLUMNS - (4 if line == lines - 1 else 0):
            if line == lines - 1:
                yield line, column, "..."
                return
            line, column = line + 1, 0
        yield line, column, text
        column += len(text)
