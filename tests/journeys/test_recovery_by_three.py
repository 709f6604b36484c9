"""A zone's key comes back only with IT, medical and management together: on a whole trust, through the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from journeys_cast import Administrator
from running_trust import RunningTrust, running_trust

from cloister.zones import envelope

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
IT, OTHER_IT = "sebastien.lemoine", "damien.colin"
MEDICAL, OTHER_MEDICAL = "benedicte.arnaud", "etienne.roche"
MANAGEMENT, NURSE = "vincent.aubry", "thomas.olivier"
SESSIONS_END_SECONDS = 6
WARD, PIN = "saint-roch-cardiology", "482913"


def person_id(table: Table, sign_in: str) -> str:
    return str(Administrator.of(table.trust).one("select id from trust.person where sign_in = $1", sign_in))


class Table:
    """The three parties at one table, each with its own sign-in."""

    def __init__(self, trust: RunningTrust, folder: Path) -> None:
        self.trust, self.folder = trust, folder
        self.papers = json.loads((trust.state / "demo" / "recovery.json").read_text())
        self.environment = {**trust.environment, "SOFTHSM2_CONF": str(folder / "softhsm.conf"), "PYTHONWARNINGS": "ignore"}

    def begin(self, *arguments: str, who: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "cloister.cli", "ceremony", *arguments, "--as", who]
        begun = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True, env=self.environment)
        assert begun.stdin is not None
        begun.stdin.write(self.trust.person(sign_in=who)["passphrase"] + "\n")
        begun.stdin.flush()
        return begun

    def run(self, *arguments: str, who: str, typed: str = "", fails: bool = False) -> str:
        begun = self.begin(*arguments, who=who)
        shown, said = begun.communicate(f"{typed}\n" if typed else "", timeout=120)
        assert (begun.returncode != 0) is fails, shown + said
        return said if fails else shown

    def opened(self, *arguments: str, who: str) -> str:
        return self.run(*arguments, who=who).split()[1]

    def seated(self, number: str, *arguments: str, who: str = MEDICAL) -> subprocess.Popen[str]:
        begun = self.begin("seat", number, *arguments, who=who)
        assert begun.stdout is not None
        assert "You have the seat" in begun.stdout.readline(), begun.communicate(timeout=20)
        return begun

    def finished(self, begun: subprocess.Popen[str], *pins: str) -> str:
        shown, said = begun.communicate("".join(f"{pin}\n" for pin in pins), timeout=120)
        return shown + said

    def give(self, number: str, who: str = IT) -> None:
        self.run("give", number, who=who, typed=self.papers["passphrase"])


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    folder = tmp_path_factory.mktemp("table")
    (folder / "tokens").mkdir()
    (folder / "softhsm.conf").write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    with running_trust(CLOISTER_SLOTS="16") as trust:
        yield Table(trust, folder)


def test_a_drill_is_done_by_three_and_is_remembered(table: Table) -> None:
    assert "never" in table.run("status", who=MANAGEMENT)
    number = table.opened("drill", who=MANAGEMENT)
    seat = table.seated(number)
    table.give(number)
    table.run("card", number, "--file", table.papers["cards"]["A"], who=MANAGEMENT)
    assert "canary was opened" in table.finished(seat, table.papers["pins"]["A"])
    shown = table.run("show", number, who=OTHER_IT)
    assert "done" in shown
    assert all(step in shown for step in ("join", "escrow", "card", "finish"))
    assert "never" not in table.run("status", who=MANAGEMENT)
    assert "every key is sealed" in table.run("status", who=MEDICAL)


def test_a_ward_whose_officers_lost_its_key_gets_it_back_and_a_lost_card_is_replaced(table: Table) -> None:
    """With a card in a reader for set B: its key never leaves the token."""
    administrator = Administrator.of(table.trust)
    token = ["softhsm2-util", "--init-token", "--free", "--label", "rec-b", "--pin", PIN, "--so-pin", "12345678"]
    subprocess.run(token, check=True, capture_output=True, env={**os.environ, **table.environment})
    administrator.change((f"update trust.\"grant\" set revoked = now() where zone = '{WARD}' and \"right\" = 'hold'",))
    time.sleep(SESSIONS_END_SECONDS)  # those of the two officers, who lost something
    made = table.run("replace", "--set", "B", "--card", "pkcs11:rec-b", "--module", MODULE, who=MEDICAL, typed=PIN)
    assert "Management takes the card" in made
    assert "1 missing" in table.run("status", who=MEDICAL)  # nobody is left who holds that ward's key

    number = table.opened("open", "--zone", WARD, "--to", person_id(table, OTHER_MEDICAL), "--reason", "both lost their keys", who=OTHER_IT)
    seat = table.seated(number)
    table.give(number, who=OTHER_IT)
    table.run("card", number, "--file", table.papers["cards"]["A"], who=MANAGEMENT)
    said = table.finished(seat, "00000-00000-00000-00000", table.papers["pins"]["A"])
    assert "This PIN does not open the card" in said
    granted = administrator.rows('select body from trust."grant" where hash = $1', bytes.fromhex(said.split("done: ")[1].split()[0]))
    assert envelope.peek_body(granted[0]["body"])["reason"] == "recovery: both lost their keys"
    assert "1 seals made" in table.run("reseal", who=OTHER_MEDICAL)
    assert "every key is sealed" in table.run("status", who=MANAGEMENT)

    number = table.opened("drill", "--set", "B", who=IT)
    seat = table.seated(number, "--card", "pkcs11:rec-b", "--module", MODULE)
    table.run("card", number, who=MANAGEMENT)
    table.give(number)
    assert "canary was opened" in table.finished(seat, PIN)


def test_each_party_takes_its_own_part_only_and_any_of_them_stops_it(table: Table) -> None:
    assert "error" in table.run("status", who=NURSE, fails=True)
    number = table.opened("drill", who=MEDICAL)
    seat = table.seated(number)
    for arguments, who in ((("card", number), IT), (("card", number), OTHER_MEDICAL)):
        assert "another party" in table.run(*arguments, who=who, fails=True)
    assert "not the passphrase" in table.run("give", number, who=IT, typed="not-the-passphrase-of-it", fails=True)
    table.run("stop", number, "--reason", "the table is not complete", who=MANAGEMENT)
    assert "stopped" in table.finished(seat)
    assert "stopped" in table.run("show", number, who=IT)


def test_three_wrong_pins_stop_the_ceremony(table: Table) -> None:
    number = table.opened("drill", who=MANAGEMENT)
    seat = table.seated(number)
    table.give(number)
    table.run("card", number, "--file", table.papers["cards"]["A"], who=MANAGEMENT)
    assert "wrong three times" in table.finished(seat, "1", "2", "3")
    assert "stopped" in table.run("show", number, who=IT)


def test_a_trust_without_recovery_gets_it_and_a_drill_proves_it(table: Table) -> None:
    """Last of this file: the recovery of the demo is taken away."""
    tables = [f"delete from trust.{name}" for name in ("recovery_canary", "recovery_set", "recovery_escrow")]
    Administrator.of(table.trust).change(*tables, "delete from trust.epoch_seal where kind = 'recovery'")
    assert "card set A: none" in table.run("status", who=IT)
    assert "not founded" in table.run("drill", who=IT, fails=True)
    cards = {name: table.folder / f"card-{name}.json" for name in ("A", "B")}
    found = ("found", "--card-a", f"software:{cards['A']}", "--card-b", f"software:{cards['B']}")
    assert "IT first" in table.run(*found, who=OTHER_MEDICAL, fails=True)
    assert "another party" in table.run("escrow", who=MEDICAL, fails=True)
    passphrase = table.run("escrow", who=IT).split()[-1]
    pins = [line.split()[-1] for line in table.run(*found, who=OTHER_MEDICAL).splitlines() if "PIN of card" in line]
    assert "every key is sealed" in table.run("status", who=MANAGEMENT)

    number = table.opened("drill", "--set", "B", who=MANAGEMENT)
    seat = table.seated(number, "--card", f"software:{cards['B']}")  # the file at the officer's own desk, with its counter
    table.run("give", number, who=OTHER_IT, typed=passphrase)
    table.run("card", number, who=MANAGEMENT)
    assert "canary was opened" in table.finished(seat, "1", pins[1])
