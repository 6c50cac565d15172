"""Pictures of texts that are cut into tokens."""

from workbench.token_pictures import COLUMNS, _placed, strips, written


def size(picture):
    """Return (width, height) in pixels."""
    return tuple(int.from_bytes(picture.png[start : start + 4], "big") for start in (16, 20))


def test_a_token_is_written_in_signs_that_can_be_seen():
    assert written(b" the\n") == "␣the⏎"
    assert written("é".encode()) == "é" and written(b"\xc3") == "C3" and written(b" \xce") == "␣CE"
    assert written(b"a\xa9\xc3\xa9") == "aA9é"


def test_a_picture_has_the_size_of_its_rows_whatever_is_written():
    few, many = strips({"one": [b"a"]}), strips({"one": [b"abc"] * 500})
    assert size(few) == size(many)
    assert size(strips({"one": [b"a"], "two": []}))[1] > size(few)[1]
    assert few.png != many.png


def test_what_has_no_room_ends_in_dots():
    placed = list(_placed([b"abcdefg"] * 50, 2))
    assert placed[-1][0] == 1 and placed[-1][2] == "..."
    assert all(column + len(text) <= COLUMNS for _, column, text in placed)
    assert {line for line, _, _ in placed} == {0, 1}
    assert "..." not in [text for *_, text in _placed([b"ab"] * 3, 1)]


def test_the_sentence_tells_titles_counts_and_tokens():
    assert repr(strips({"one": [b" a", b"\xff"]})) == "one: 2 tokens, ␣a FF ..."
