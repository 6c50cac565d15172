"""Wrong answers score what they score without an attack, secrets stay unread, and neighbours unharmed."""

import functools
import json
import os

import psutil
import pytest
import tables
from attacked import LESSON, Host
from attacks import ATTACKS, WRONG, Attack

from autograder.intake.rebuild import NOTES

RIGHT = {name: LESSON.exercises[name].source for name in WRONG}

TITLE = "The red team"


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    one = Host(tmp_path_factory.mktemp("host"))
    yield one
    os.environ.pop("SECRET_OF_THE_GRADER", None)
    one.server.close()


@pytest.fixture(scope="module")
def honest(host):
    """What the wrong answers earn without an attack."""
    return host.run({})[0]


def test_wrong_answers_earn_nothing_and_right_ones_everything(host, honest):
    assert set(honest.values()) == {0}
    assert host.run(RIGHT)[0] == {name: LESSON.exercises[name].points for name in RIGHT}


def test_there_are_enough_attacks_and_each_has_a_name_of_its_own():
    assert len(ATTACKS) >= 60 and len({(attack.kind, attack.name) for attack in ATTACKS}) == len(ATTACKS)


@functools.cache
def row(kind):
    return tables.row(TITLE, attack=kind, tried=0, gained_points=0, read_secrets=0, neighbours_harmed=0)


def keep(attack, gained, known, harmed):
    kept = row(attack.kind)
    kept["tried"] += 1
    kept["gained_points"] += gained > 0
    kept["read_secrets"] += known
    kept["neighbours_harmed"] += bool(harmed)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: f"{attack.kind}: {attack.name}".replace(" ", "_"))
def test_an_attack_gains_nothing_reads_nothing_and_harms_nobody(host, honest, attack: Attack):
    # An answer helps itself alone, and a cell may help any of them.
    points, text = host.run(attack.answers, attack.code, tuple(attack.answers) or tuple(WRONG))
    flagged = {check.removeprefix("check_") for check in json.loads(text)["metadata"][NOTES].get("flags", {})}
    gained = sum(points[name] - honest[name] for name in points if name not in flagged)
    known, harmed = host.secrets_in(text), host.harmed()
    keep(attack, gained, known, harmed)
    assert {name: points[name] for name in points if name not in flagged} == {
        name: honest[name] for name in points if name not in flagged
    }
    assert not known
    assert harmed == []
    first = "".join(
        output.get("text", "")
        for cell in json.loads(text)["cells"][1:2]
        for output in cell["outputs"]
        for output in [{**output, "text": "".join(output.get("text", ""))}]
    )
    assert "DID" in first or "REFUSED" in first or "left out of the rest of the run" in first, first or text[-3000:]
    assert [process for process in psutil.Process().children(recursive=True) if process.name() == "bwrap"] == []


@pytest.mark.parametrize("kind", sorted({attack.kind for attack in ATTACKS}))
def test_an_honest_neighbour_keeps_every_point(host, kind):
    assert host.run(RIGHT)[0] == {name: LESSON.exercises[name].points for name in RIGHT}
