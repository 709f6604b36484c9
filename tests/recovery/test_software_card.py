"""A card as a file: what its PIN opens, what its counter does, and what it does not pretend."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from cloister.base.errors import Corrupt, Denied, NotFound
from cloister.offices import software_card
from cloister.zones import algorithms

PIN = "01234-56789-01234-56789"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "card-A.json"
    software_card.write_card(path, software_card.new_card("chu-test", PIN))
    return path


def point(file: Path) -> tuple[bytes, bytes]:
    """An ephemeral point towards the card, and the secret that the card must give."""
    return algorithms.ecdh_towards("P-256", bytes.fromhex(software_card.read_card(file.read_text()).public))


def test_the_pin_gives_the_secret_and_a_wrong_one_costs_a_try(file: Path) -> None:
    there, secret = point(file)
    with pytest.raises(Denied) as denied:
        software_card.agree(file, "0", there)
    assert denied.value.reason == "wrong-pin"
    assert software_card.read_card(file.read_text()).tries == software_card.TRIES - 1
    assert software_card.agree(file, f" {PIN} ", there).reveal() == secret
    assert software_card.read_card(file.read_text()).tries == software_card.TRIES


def test_a_card_without_tries_is_blocked_even_for_the_right_pin(file: Path) -> None:
    card = json.loads(file.read_text())
    file.write_text(json.dumps({**card, "tries": 0}))
    with pytest.raises(Denied) as denied:
        software_card.agree(file, PIN, point(file)[0])
    assert denied.value.reason == "card-blocked"


def test_a_copy_has_its_own_counter_which_is_why_the_pin_is_long(file: Path) -> None:
    """The honest limit: the counter is a courtesy, the PIN and Argon2id are the protection."""
    card = json.loads(file.read_text())
    file.write_text(json.dumps({**card, "tries": 99}))
    there, secret = point(file)
    assert software_card.agree(file, PIN, there).reveal() == secret
    pins = {software_card.new_pin() for _ in range(50)}
    assert len(pins) == 50
    assert all(len(pin.replace("-", "")) == 20 for pin in pins)


def test_the_file_is_its_owner_s_alone_and_never_written_over(file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        software_card.write_card(file, software_card.new_card("chu-test", PIN))


@pytest.mark.parametrize(
    "changed",
    [{"form": "another"}, {"curve": "P-521"}, {"public": "xyz"}, {"tries": "many"}, {"params": {}}, {"more": 1}],
    ids=lambda changed: next(iter(changed)),
)
def test_what_is_no_card_is_said_so(file: Path, changed: dict[str, object]) -> None:
    with pytest.raises((Corrupt, Denied)) as refused:
        software_card.read_card(json.dumps({**json.loads(file.read_text()), **changed}))
    assert refused.value.hint


@pytest.mark.parametrize("text", ["", "[]", "{}", "\x00", "null"])
def test_what_is_no_json_of_a_card_is_said_so(text: str) -> None:
    with pytest.raises(Corrupt):
        software_card.read_card(text)


def test_a_changed_card_opens_nothing(file: Path) -> None:
    """Trust, key and parameters are bound: a file that was put together from two does not open."""
    card = software_card.read_card(file.read_text())
    kek = software_card.pin_kek(PIN, card.params)
    other = software_card.new_card("chu-test", PIN)
    for changed in ({"trust": "another"}, {"public": other.public}, {"sealed": other.sealed}, {"sealed": "%%"}):
        forged = software_card.read_card(json.dumps({**json.loads(card.text()), **changed}))
        with pytest.raises(Denied):
            forged.opened(kek)


def test_a_missing_file_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as missing:
        software_card.agree(tmp_path / "card-B.json", PIN, bytes(65))
    assert "safe" in missing.value.hint
