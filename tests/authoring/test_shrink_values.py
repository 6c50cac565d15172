"""Small inputs of exercises about texts: what is cut, and what has to stay."""

from autograder.authoring.shrink import Asked, Bench, numbers_in, shrunk
from autograder.calling.local import Here, Request


def spell(text, table):
    """Return the numbers of the letters of a text; of a double letter, that of the pair."""
    found, place = [], 0
    while place < len(text):
        length = 2 if text[place : place + 2] in table else 1
        found.append(table[text[place : place + length]])
        place += length
    return found


def letter_by_letter(text, table):
    return [table[letter] for letter in text]


def from_the_end(text, table):
    return spell(text, table)[::-1]


REQUEST = Request(
    "spell", {"text": "abracadabbra", "table": dict(zip("abcdr", range(5), strict=True)) | {"bb": 9}}, plain=True
)


def bench(**wrong):
    differs = {"probe": {"numbers": []}}
    return Bench([Here({"spell": spell})], {name: (Here({"spell": one}), differs) for name, one in wrong.items()})


def small(*names):
    answers = bench(letter_by_letter=letter_by_letter, from_the_end=from_the_end)
    return shrunk(answers, Asked(REQUEST, "output", "numbers", ("probe",)), list(names))


def test_a_text_is_cut_to_the_letters_that_show_it():
    found = small("letter_by_letter")
    assert found.request.arguments["text"] == "bb" and found.expected == {"result": "[9]"}
    found = small("from_the_end")
    assert len(found.request.arguments["text"]) == 2 and found.expected == {
        "result": str(spell(**found.request.arguments))
    }


def test_an_entry_stays_that_any_answer_looks_for():
    table = small("letter_by_letter").request.arguments["table"]
    # The right answer needs the pair alone, and the wrong one would raise without the letter.
    assert table == {"b": 1, "bb": 9}


def test_letters_and_entries_count_as_something_to_read():
    assert numbers_in(REQUEST) > numbers_in(Request("spell", {"text": "a", "table": {"a": 0}}, plain=True)) > 0
    assert numbers_in(Request("spell", {"text": "abracadabbra"})) == 0


def test_the_reference_is_not_called_with_an_empty_text():
    called = []

    def noting(text, table):
        called.append(text)
        return spell(text, table)

    wrong = {"one": (Here({"spell": letter_by_letter}), {"probe": {"numbers": []}})}
    shrunk(Bench([Here({"spell": noting})], wrong), Asked(REQUEST, "output", "numbers", ("probe",)), ["one"])
    assert called and "" not in called
