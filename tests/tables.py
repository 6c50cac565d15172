"""Tables that tests fill and the end of the run prints: a title, columns, and one row for each thing measured."""

_TABLES = {}


def row(title, **columns):
    """Add a row to the table of this title, the keywords are its columns, and return it, so that it can be updated."""
    _TABLES.setdefault(title, []).append(columns)
    return columns


def kept():
    """Return all rows, as plain data for another process."""
    return _TABLES


def add(others):
    """Add the rows that another process kept."""
    for title, rows in others.items():
        _TABLES.setdefault(title, []).extend(rows)


def written():
    """Return (title, text) of every table, with a last row of sums for whole numbers."""
    return [(title, _text(rows)) for title, rows in _TABLES.items()]


def _text(rows):
    names = list(rows[0])
    body = [[_cell(one.get(name, "")) for name in names] for one in rows]
    sums = [sum(one.get(name, 0) for one in rows) if isinstance(rows[0][name], int) else "" for name in names]
    if any(sums):
        body.append(["all together", *map(_cell, sums[1:])])
    heads = [name.replace("_", " ") for name in names]
    widths = [max(len(line[column]) for line in [heads, *body]) for column in range(len(names))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in [heads, *body]
    )


def _cell(value):
    return f"{value:.1e}" if isinstance(value, float) else str(value)
