"""Damien, who runs the machines, looks at the database: he sees ciphertext, and whether all of it is still whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from machine_cast import Machine

from cloister.demo import portions


def words_of_patients() -> set[str]:
    """Family names and the words of notes that the demo's patients could have."""
    found = set()
    for portion in portions(5, 1):
        for entry in portion.bundle["entry"]:
            resource = entry["resource"]
            if resource["resourceType"] == "Patient":
                found |= {name["family"] for name in resource["name"]} | {resource["identifier"][0]["value"]}
            if resource["resourceType"] == "Condition":
                found.add(resource["code"]["text"])
    return found


def test_what_the_administrator_looks_at_is_ciphertext(machine: Machine) -> None:
    done = machine.types("look", "ciphertext", "--rows", "50")
    assert done.returncode == 0, done.stderr
    assert re.search(r"care\.res +\d", done.stdout)
    assert "ct=" in done.stdout
    for word in words_of_patients():
        assert word not in done.stdout
        assert word.encode().hex() not in done.stdout


def test_the_audit_log_tells_the_machine_s_administrator_that_something_was_done_and_is_whole(machine: Machine) -> None:
    tail = machine.types("audit", "tail", "-n", "200").stdout
    assert len(re.findall(r" record +session@[0-9a-f]{8} no\. \d+$", tail, re.M)) >= 10
    assert "lab-gateway" not in tail, "who it was is for the privacy officer"
    assert machine.types("audit", "verify").returncode == 0


def test_sessions_are_listed_and_ended(machine: Machine) -> None:
    nurse = machine.trust.person(role="nurse")
    signed = machine.trust.sign_in(nurse)
    listed = machine.types("session", "list").stdout
    assert re.search(rf"{signed.session}  active +{re.escape(nurse['sign_in'])}", listed)
    assert machine.types("session", "end", signed.session).returncode == 0
    assert signed.session not in machine.types("session", "list").stdout
    assert signed.client.get("/", follow_redirects=False).status_code != 200
    unknown = machine.types("session", "end", "no-such-session")
    assert unknown.returncode == 66
    assert "Traceback" not in unknown.stderr


def test_every_dossier_is_whole_after_an_import(machine: Machine) -> None:
    done = machine.types("verify")
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d+ dossiers are whole, 0 are not$", done.stdout, re.M)


@contextmanager
def changed(machine: Machine, table: str, dossier: Any, statement: str, *values: Any) -> Iterator[None]:
    """Rows of one dossier changed, and put back afterwards."""
    machine.sql(f"create table public.kept as select * from {table} where dossier = $1::uuid", dossier)
    machine.sql(statement, dossier, *values)
    try:
        yield
    finally:
        machine.sql(f"delete from {table} where dossier = $1::uuid", dossier)
        machine.sql(f"insert into {table} select * from public.kept")
        machine.sql("drop table public.kept")


LAST = "(select max(seq) from care.commit where dossier = $1::uuid)"
FIRST = "(select min(id::text)::uuid from care.res where dossier = $1::uuid)"
CHANGES = {
    "rolled-back": ("care.commit", f"delete from care.commit where dossier = $1::uuid and seq = {LAST}"),
    "parts": ("care.index_part", "update care.index_part set ct = ct || '\\x00'::bytea where dossier = $1::uuid"),
    "missing-row": ("care.res", f"delete from care.res where dossier = $1::uuid and id = {FIRST}"),
    "signature": (
        "care.commit",
        "update care.commit set blob = overlay(blob placing '\\x00'::bytea from length(blob) - 8) where dossier = $1::uuid and seq = 1",
    ),
}


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_a_changed_dossier_is_named_with_what_is_wrong(machine: Machine, name: str) -> None:
    dossier = machine.sql("select id::text from care.dossier where kind = 'patient' order by id limit 1")[0]["id"]
    table, statement = CHANGES[name]
    with changed(machine, table, dossier, statement):
        done = machine.types("verify")
        assert done.returncode == 65
        assert re.search(rf"^broken: dossier {dossier}: {name}", done.stdout, re.M), done.stdout
    assert machine.types("verify").returncode == 0


def test_a_half_good_bundle_enters_the_real_trust_by_halves(machine: Machine, tmp_path: Path) -> None:
    bundle = next(portion.bundle for portion in portions(3, 99, hospital="saint-roch") if portion.name.startswith("patient"))
    spoiled = next(place for place, entry in enumerate(bundle["entry"]) if entry["resource"]["resourceType"] == "Observation")
    bundle["entry"][spoiled]["resource"]["status"] = "perhaps"
    (tmp_path / "half.json").write_text(json.dumps(bundle))
    done = machine.types("import", str(tmp_path / "half.json"))
    assert done.returncode == 64, done.stderr
    assert f"{len(bundle['entry']) - 1} resources stored" in done.stdout
    summary = json.loads(Path(re.search(r"^summary: (.+)$", done.stdout, re.M)[1]).read_text())  # type: ignore[index]
    (line,) = [json.loads(text) for text in Path(summary["rejected_file"]).read_text().splitlines()]
    assert (line["file"], line["entry"], line["element"], line["rule"]) == ("half.json", spoiled + 1, "Observation.status", "binding")
    again = machine.types("import", str(tmp_path / "half.json"))
    assert "0 resources stored" in again.stdout
    assert machine.types("verify").returncode == 0


def test_ndjson_enters_the_real_trust_in_any_order(machine: Machine, tmp_path: Path) -> None:
    subject = {"reference": "Patient/ndjson-1"}
    lines = [
        {"resourceType": "Observation", "id": f"nd-{number}", "status": "final", "code": {"text": "x"}, "subject": subject}
        for number in range(300)
    ]
    (tmp_path / "Observation.ndjson").write_text("\n".join(json.dumps(line) for line in lines))
    (tmp_path / "Patient.ndjson").write_text(json.dumps({"resourceType": "Patient", "id": "ndjson-1"}))
    first = machine.types("import", str(tmp_path))
    assert "301 resources stored" in first.stdout, first.stdout + first.stderr
    again = machine.types("import", str(tmp_path), "--again")
    assert "0 resources stored" in again.stdout
    assert "301 were there already" in again.stdout
    assert machine.trust.program().get("Observation/nd-299").status_code == 200
