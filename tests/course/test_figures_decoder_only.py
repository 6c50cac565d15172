"""What lesson 4 asks of the pictures: texts side by side."""

from workbench import figures


def size(picture):
    """Return (width, height) in pixels."""
    return tuple(int.from_bytes(picture.png[start : start + 4], "big") for start in (16, 20))


def test_texts_are_told_as_they_are_and_a_dollar_is_no_formula():
    picture = figures.texts({"before": "a$b$", "after": "def f():\n    return $x^"})
    assert repr(picture) == "before: a$b$\nafter: def f():\n    return $x^"
    assert picture.png != figures.texts({"before": "a$b", "after": "def f():\n    return $x^"}).png


def test_more_lines_make_the_picture_higher_and_more_texts_make_it_wider():
    one, high, two = (figures.texts(columns) for columns in ({"a": "x"}, {"a": "x\n" * 11}, {"a": "x", "b": "x"}))
    assert size(high)[1] > size(one)[1] and size(two)[0] > 1.5 * size(one)[0]


def test_what_is_too_long_for_its_column_is_cut_off():
    assert size(figures.texts({"a": "x" * 500}, width=20)) == size(figures.texts({"a": "x" * 20}, width=20))


def test_with_a_height_the_picture_is_as_high_whatever_the_texts_are():
    short, full, long = (figures.texts({"a": text}, height=3) for text in ("x", "x\nx\nx", "x\nx\nx\nx\nx"))
    assert size(short) == size(full) == size(long) and long.png == full.png != short.png
