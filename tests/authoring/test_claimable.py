"""`record --claims` shows what may be claimed of each mistake, and whether what is claimed is true."""

import own_lesson
import pytest

from autograder.authoring import claimable, faults, record


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return own_lesson.begin(tmp_path, monkeypatch)


def paragraphs(own):
    """Return {mistake: the lines about it}."""
    with record.quiet():
        texts = [text.split("\n") for text in claimable.shown(faults.written(own.read()), own.name)][1:]
    return {lines[0].partition(":")[0]: lines[1:] for lines in texts}


def test_what_is_true_of_every_way_to_make_a_mistake_may_be_claimed(own):
    one, other = paragraphs(own).values()
    assert "    ('rows_lie_around_zero', 'rows keep a mean') true" in one
    assert any(line.startswith("  rows_lie_around_zero: differ, ") and "rows keep a mean" in line for line in one)
    assert "  x_stays_as_it_was: differ" in other and "  right: rows_lie_around_zero" in other


def test_a_claim_that_is_not_true_is_marked(own):
    own.replace("mistakes", '"rows keep a mean"', '"rows have mean 0"')
    one, _ = paragraphs(own).values()
    assert "    ('rows_lie_around_zero', 'rows have mean 0') NOT TRUE" in one
