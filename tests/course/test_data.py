"""Dates as people write them: made from a seed, readable in one way only, and held-out dates stay unseen."""

import datetime
import itertools
import random
import re

import pytest
import torch

from workbench import data

DATES, HELD_OUT = data.split_dates()
EVERY_STYLE = [
    (language, style) for language in data.STYLES for style in data.STYLES[language] + data.LONG_STYLES[language]
]


# Characters as tokens


def test_a_text_comes_back_from_its_ids():
    tokenizer = data.CharacterTokenizer("abc ")
    assert tokenizer.encode("a cab") == [3, 6, 5, 3, 4]
    assert tokenizer.decode([3, 6, 5, 3, 4]) == "a cab"
    assert tokenizer.vocab_size == 7


def test_nothing_after_the_end_of_sequence_is_text():
    tokenizer = data.CharacterTokenizer("abc")
    ids = [tokenizer.bos_id, 3, 4, tokenizer.eos_id, 5, tokenizer.pad_id]
    assert tokenizer.decode(ids) == tokenizer.decode(torch.tensor(ids)) == "ab"


def test_a_batch_is_padded_behind_the_end_of_each_text():
    tokenizer = data.CharacterTokenizer("abc")
    assert tokenizer.batch(["abc", "c", ""]).tolist() == [[3, 4, 5], [5, 0, 0], [0, 0, 0]]
    assert tokenizer.batch(["ab", "c"], end=True).tolist() == [[3, 4, 2], [5, 2, 0]]


def test_an_unknown_character_is_named():
    with pytest.raises(ValueError, match="'x'.*alphabet is 'abc'"):
        data.CharacterTokenizer("abc").encode("abx")


# Dates


@pytest.mark.parametrize(
    "written, language, style",
    [
        ("thursday, 3 may 1979", "english", "{weekday}, {day} {month} {year}"),
        ("may 3rd, 1979", "english", "{month} {th}, {year}"),
        ("thu 3 may 1979", "english", "{wd} {day} {mon} {year}"),
        ("03.05.1979", "german", "{day02}.{month02}.{year}"),
        ("donnerstag, den 3. mai 1979", "german", "{weekday}, den {day}. {month} {year}"),
        ("le jeudi 3 mai 1979", "french", "le {weekday} {th} {month} {year}"),
        ("jueves, 3 de mayo de 1979", "spanish", "{weekday}, {day} de {month} de {year}"),
        ("3/5/1979", "italian", "{day}/{number}/{year}"),
    ],
)
def test_the_third_of_may_1979_is_written_as_people_write_it(written, language, style):
    assert style in data.STYLES[language]
    assert data.written_date(datetime.date(1979, 5, 3), language, style) == written


def test_a_day_is_spoken_as_its_language_speaks_it():
    def spoken(day, language):
        return data.written_date(datetime.date(2000, 1, day), language, "{th}")

    assert [spoken(day, "english") for day in (1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 30, 31)] == [
        "1st",
        "2nd",
        "3rd",
        "4th",
        "11th",
        "12th",
        "13th",
        "21st",
        "22nd",
        "23rd",
        "30th",
        "31st",
    ]
    assert [spoken(1, "french"), spoken(2, "french")] == ["1er", "2"]
    assert [spoken(1, "italian"), spoken(2, "italian")] == ["1º", "2"]


def test_every_language_has_twelve_months_and_seven_days_of_its_own():
    for names, count in ((data.MONTHS, 12), (data.WEEKDAYS, 7)):
        assert names.keys() == data.STYLES.keys() == data.LONG_STYLES.keys()
        assert all(len(set(words.split())) == count for words in names.values())
        assert len({word[:3] for word in names["english"].split()}) == count  # short names are told apart


@pytest.mark.parametrize("language, style", EVERY_STYLE)
def test_a_style_tells_every_date_and_no_two_dates_alike(language, style):
    days = [data.FIRST_DATE + datetime.timedelta(number) for number in range(366)]
    days += [datetime.date(year, 2, 28) for year in range(1901, 2100)]
    written = [data.written_date(day, language, style) for day in days]
    assert len(set(written)) == len(days)
    for text in written:
        data.WRITTEN_DATES.encode(text)


def test_where_a_date_is_all_numbers_the_day_comes_first():
    date = datetime.date(1979, 5, 31)
    texts = [data.written_date(date, language, style) for language, style in EVERY_STYLE]
    numeric = [text for text in texts if not re.search("[a-z]", text)]
    assert len(numeric) == 5
    assert all(re.fullmatch(r"31[./]0?5[./]1979", text) for text in numeric)


def test_held_out_dates_are_never_trained_on():
    assert not set(DATES) & set(HELD_OUT)
    assert len(HELD_OUT) == 2000
    assert len(DATES) + len(HELD_OUT) == len({*DATES, *HELD_OUT}) == 73_049  # all days of two centuries
    assert data.split_dates() == (DATES, HELD_OUT) != data.split_dates(seed=1)


def test_pairs_and_batches_follow_from_their_seed():
    assert data.date_pairs(HELD_OUT[:50]) == data.date_pairs(HELD_OUT[:50])
    assert data.date_pairs(HELD_OUT[:50]) != data.date_pairs(HELD_OUT[:50], seed=1)
    one, same, other = (list(itertools.islice(data.date_batches(DATES, 3, seed), 2)) for seed in (0, 0, 1))
    assert all(
        torch.equal(a, b) for left, right in zip(one, same, strict=True) for a, b in zip(left, right, strict=True)
    )
    assert not torch.equal(one[0][1], other[0][1])
    assert not torch.equal(one[0][1], one[1][1])


def test_the_seed_gives_the_same_data_everywhere():
    assert data.date_pairs(HELD_OUT[:3]) == [
        ("mardi 4 octobre 2089", "2089-10-04"),
        ("the 3rd of april 1930", "1930-04-03"),
        ("20/6/2060", "2060-06-20"),
    ]


def test_the_global_generators_are_left_alone():
    random.seed(3)
    torch.manual_seed(3)
    before = random.getstate(), torch.get_rng_state()
    next(data.date_batches(data.split_dates()[0], 5))
    assert random.getstate() == before[0] and torch.equal(torch.get_rng_state(), before[1])


def test_a_batch_holds_the_ids_of_texts_and_their_iso_form():
    pairs = data.date_pairs(HELD_OUT[:20])
    source, target = data.date_tensors(pairs)
    assert [data.WRITTEN_DATES.decode(row) for row in source] == [written for written, _ in pairs]
    assert [data.ISO_DATES.decode(row) for row in target] == [iso for _, iso in pairs]
    assert target.shape == (20, 11) and (target[:, -1] == data.ISO_DATES.eos_id).all()


def test_every_style_and_language_occurs():
    pairs = data.date_pairs(HELD_OUT)
    written = {
        data.written_date(datetime.date.fromisoformat(iso), language, style): (language, style)
        for _, iso in pairs
        for language, style in EVERY_STYLE
    }
    assert {written[text] for text, _ in pairs} >= {
        (language, style)
        for language in data.STYLES
        for style in data.STYLES[language]
        if not style.startswith("{day}/")
    }


def test_long_styles_are_longer_than_any_text_of_training():
    longest = max(
        len(data.written_date(date, language, style))
        for date in DATES[::20]
        for language in data.STYLES
        for style in data.STYLES[language]
    )
    shortest = min(
        len(data.written_date(date, language, style))
        for date in DATES[::20]
        for language in data.LONG_STYLES
        for style in data.LONG_STYLES[language]
    )
    assert shortest > longest == 35
