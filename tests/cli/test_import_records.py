"""Karim, who looks after interfaces, imports records: whole, half good, twice, interrupted, while the database is away."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tarfile
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from import_trust import ImportTrust

from cloister.base.errors import Denied, NotFound, Unavailable
from cloister.cli.importing import channel

Typed = Callable[..., Result]


def patient(number: int, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": str(uuid.UUID(int=number)), **more}


def transaction(*resources: dict[str, Any]) -> dict[str, Any]:
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": f"urn:uuid:{resource['id']}",
                "resource": resource,
                "request": {"method": "POST", "url": resource["resourceType"]},
            }
            for resource in resources
        ],
    }


def observation(number: int, of: int) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": str(uuid.UUID(int=number)), "subject": {"reference": f"urn:uuid:{uuid.UUID(int=of)}"}}


def write(folder: Path, name: str, body: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(body if isinstance(body, str) else json.dumps(body))
    return path


def reports(trust: ImportTrust) -> list[dict[str, Any]]:
    """Summaries of all runs, the oldest first, each with its rejected lines."""
    found = []
    for folder in sorted(path.parent for path in (trust.state / "import").glob("*/summary.json")):
        lines = folder / "rejected.ndjson"
        rejected = [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []
        found.append({**json.loads((folder / "summary.json").read_text()), "lines": rejected})
    return found


def test_a_folder_of_bundles_goes_in_by_two_sessions_at_once(trust: ImportTrust, typed: Typed, tmp_path: Path) -> None:
    for number in range(1, 13):
        write(tmp_path / "in", f"{number:02}.json", transaction(patient(number), observation(1000 + number, number)))
    result = typed("import", tmp_path / "in")
    assert result.exit_code == 0, result.output
    assert len(trust.stored) == 24
    assert sorted(set(trust.tokens)) == ["import-0", "import-1"]
    assert trust.under_way_most == 2
    assert trust.ended == 2, "both sessions were ended"
    assert "24 resources stored" in result.stdout


@pytest.mark.parametrize("kind", ["tar.xz", "tar.gz", "zip", "json.gz"])
def test_an_archive_is_read_without_being_unpacked(trust: ImportTrust, typed: Typed, tmp_path: Path, kind: str) -> None:
    body = json.dumps(transaction(patient(1))).encode()
    path = tmp_path / f"records.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/1.json", body)
            archive.writestr("a/notes.txt", "not a record")
    elif kind == "json.gz":
        path.write_bytes(gzip.compress(body))
    else:
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as archive:
            member = tarfile.TarInfo("../../etc/1.json")  # a name that must stay a name
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
        path.write_bytes(lzma.compress(raw.getvalue()) if kind == "tar.xz" else gzip.compress(raw.getvalue()))
    before = {file for file in tmp_path.rglob("*") if "state" not in file.parts}
    assert typed("import", path).exit_code == 0
    assert len(trust.stored) == 1
    assert {file for file in tmp_path.rglob("*") if "state" not in file.parts} == before


def test_ndjson_goes_in_with_patients_before_what_refers_to_them(trust: ImportTrust, typed: Typed, tmp_path: Path) -> None:
    lines = [{"resourceType": "Observation", "id": f"o{number}", "subject": {"reference": "Patient/p1"}} for number in range(600)]
    write(tmp_path / "in", "a.ndjson", "\n".join(json.dumps(line) for line in lines))
    write(tmp_path / "in", "z.ndjson", json.dumps({"resourceType": "Patient", "id": "p1"}) + "\n")
    write(tmp_path / "in", "zz.ndjson", json.dumps({"resourceType": "Organization", "id": "h"}) + "\n\n")
    assert typed("import", tmp_path / "in").exit_code == 0
    assert len(trust.stored) == 602
    assert trust.seen_types[:2] == ["Organization", "Patient"]


def test_a_collection_is_written_under_its_own_ids(trust: ImportTrust, typed: Typed, tmp_path: Path) -> None:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": {"resourceType": "Patient", "id": "p1"}}]}
    assert typed("import", write(tmp_path / "in", "c.json", bundle)).exit_code == 0
    assert set(trust.stored) == {"Patient/p1"}


def test_a_second_run_stores_nothing_and_sends_nothing(trust: ImportTrust, typed: Typed, tmp_path: Path) -> None:
    path = write(tmp_path / "in", "1.json", transaction(patient(1), observation(2, 1)))
    typed("import", path)
    sent = trust.bundles
    result = typed("import", path)
    assert result.exit_code == 0
    assert trust.bundles == sent
    assert reports(trust)[1]["skipped"] == 2
    typed("import", path, "--again")
    assert trust.bundles == sent + 1
    assert reports(trust)[2]["present"] == 2


def test_of_a_half_good_bundle_the_good_half_goes_in_and_the_rest_is_named(trust: ImportTrust, typed: Typed, tmp_path: Path) -> None:
    bundle = transaction(patient(1), patient(2, birthDate="wrong"), observation(3, 2))
    result = typed("import", write(tmp_path / "in", "half.json", bundle))
    assert result.exit_code == 64
    assert set(trust.stored) == {f"Patient/{uuid.UUID(int=1)}", f"Observation/{uuid.UUID(int=3)}"}
    # What pointed at the refused patient still points there, by its literal id: it may follow later.
    assert trust.stored[f"Observation/{uuid.UUID(int=3)}"]["subject"]["reference"] == f"Patient/{uuid.UUID(int=2)}"
    (report,) = reports(trust)
    assert (report["new"], report["rejected"]) == (2, 1)
    (line,) = report["lines"]
    assert line == {
        "file": "half.json",
        "entry": 2,
        "resource": f"Patient/{uuid.UUID(int=2)}",
        "element": "Patient.birthDate",
        "rule": "date",
        "text": "This is not a date of the calendar.",
        "hint": "Correct the value.",
    }


def test_a_corrected_file_completes_what_was_rejected(trust: ImportTrust, typed: Typed, tmp_path: Path) -> None:
    typed("import", write(tmp_path / "in", "1.json", transaction(patient(1), patient(2, birthDate="wrong"))))
    assert typed("import", write(tmp_path / "in", "1.json", transaction(patient(1), patient(2, birthDate="1950-01-01")))).exit_code == 0
    assert len(trust.stored) == 2


def test_bad_lines_bad_files_and_foreign_things_are_reported_and_the_rest_is_kept(trust: ImportTrust, typed: Typed, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write(folder, "1.json", '{"resourceType": "Bundle", "type"')
    write(folder, "2.json", {"resourceType": "Bundle", "type": "message", "entry": []})
    write(folder, "3.json", {"hello": "world"})
    write(folder, "4.ndjson", '{"resourceType": "Patient", "id": "p1"}\nnonsense\n{"resourceType": "Patient"}\n')
    write(folder, "5.json", {**transaction(patient(9)), "entry": [*transaction(patient(9))["entry"], {"resource": patient(10)}]})
    (folder / "6.tar.xz").write_bytes(lzma.compress(b"half an archive")[:-9])
    result = typed("import", folder)
    assert result.exit_code == 64
    assert set(trust.stored) == {"Patient/p1", f"Patient/{uuid.UUID(int=9)}"}
    places = {(line["file"], line["entry"], line["rule"]) for line in reports(trust)[0]["lines"]}
    assert places == {
        ("1.json", None, "json"),
        ("2.json", None, "bundle-type"),
        ("3.json", None, "resource-type"),
        ("4.ndjson", 2, "json"),
        ("4.ndjson", 3, "id"),
        ("5.json", 2, "bdl-3"),
        ("6.tar.xz", None, "file"),
    }
    assert all(line["hint"] for line in reports(trust)[0]["lines"])


def test_a_create_without_an_id_is_still_one_resource_after_two_runs(trust: ImportTrust, typed: Typed, tmp_path: Path) -> None:
    entry = {"resource": {"resourceType": "Patient", "gender": "female"}, "request": {"method": "POST", "url": "Patient"}}
    path = write(tmp_path / "in", "1.json", {"resourceType": "Bundle", "type": "transaction", "entry": [entry, entry]})
    typed("import", path)
    typed("import", path, "--again")
    assert len(trust.stored) == 2


def test_a_stopped_database_is_waited_for(trust: ImportTrust, typed: Typed, tmp_path: Path) -> None:
    trust.away = 4
    assert typed("import", write(tmp_path / "in", "1.json", transaction(patient(1)))).exit_code == 0
    assert len(trust.stored) == 1


def test_a_token_that_no_longer_holds_is_renewed(trust: ImportTrust, typed: Typed, tmp_path: Path) -> None:
    trust.expired = 1
    assert typed("import", write(tmp_path / "in", "1.json", transaction(patient(1))), "--workers", 1).exit_code == 0
    assert len(trust.tokens) == 2


def test_an_import_that_was_cut_off_goes_on_where_it_stopped(
    trust: ImportTrust, typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 7):
        write(tmp_path / "in", f"{number}.json", transaction(patient(number)))
    monkeypatch.setattr(channel, "PATIENCE_SECONDS", 0.0)
    send = channel.Channel.send

    async def send_until_the_database_stops(self: channel.Channel, unit: Any) -> Any:
        if unit.source == "4.json":
            trust.away = 10_000
        return await send(self, unit)

    monkeypatch.setattr(channel.Channel, "send", send_until_the_database_stops)
    stopped = typed("import", tmp_path / "in", "--workers", 1)
    assert isinstance(stopped.exception, Unavailable)
    assert "goes on where it stopped" in stopped.exception.hint
    assert len(trust.stored) == 3
    trust.away = 0
    sent = trust.bundles
    monkeypatch.setattr(channel.Channel, "send", send)
    assert typed("import", tmp_path / "in").exit_code == 0
    assert trust.bundles == sent + 3
    assert len(trust.stored) == 6
    first, second = reports(trust)
    assert (first["complete"], second["complete"]) == (False, True)


def test_another_hospital_is_chosen_by_name_and_an_unknown_one_is_refused(trust: ImportTrust, typed: Typed, tmp_path: Path) -> None:
    path = write(tmp_path / "in", "1.json", transaction(patient(1)))
    typed("import", path, "--hospital", "sainte-anne")
    assert reports(trust)[0]["program"] == "sainte-anne-gateway"
    refused = typed("import", path, "--hospital", "nowhere")
    assert isinstance(refused.exception, NotFound)
    assert "saint-roch, sainte-anne" in refused.exception.hint


def test_what_is_in_one_hospital_is_not_taken_for_being_in_the_other(trust: ImportTrust, typed: Typed, tmp_path: Path) -> None:
    path = write(tmp_path / "in", "1.json", transaction(patient(1)))
    typed("import", path)
    typed("import", path, "--hospital", "sainte-anne")
    assert trust.bundles == 2


def test_nobody_there_is_said_soon_with_what_to_do(
    trust: ImportTrust, typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "FIRST_CONTACT_SECONDS", 0.1)
    known = json.loads((trust.state / "demo" / "sign-ins.json").read_text())
    (trust.state / "demo" / "sign-ins.json").write_text(json.dumps({**known, "base": "https://localhost:1"}))
    refused = typed("import", write(tmp_path / "in", "1.json", transaction(patient(1))))
    assert isinstance(refused.exception, Unavailable)
    assert "cloister up" in refused.exception.hint


def test_another_program_needs_its_secret(trust: ImportTrust, typed: Typed, tmp_path: Path) -> None:
    refused = typed("import", write(tmp_path / "in", "1.json", transaction(patient(1))), "--program", "pacs")
    assert "--secret-file" in getattr(refused.exception, "hint", "")
    assert not isinstance(refused.exception, Denied)


def test_no_secret_is_in_the_reports(trust: ImportTrust, typed: Typed, tmp_path: Path) -> None:
    typed("import", write(tmp_path / "in", "1.json", transaction(patient(1), patient(2, birthDate="wrong"))))
    for file in (trust.state / "import").rglob("*"):
        if file.is_file():
            assert b"a-secret" not in file.read_bytes()
            assert file.stat().st_mode & 0o077 == 0
