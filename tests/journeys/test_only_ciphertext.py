"""The whole database, all files and all keys of IT, and no patient in them. SECURITY.md."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pytest
from journeys_cast import CARDIOLOGIST, FHIR, Administrator, Company, bundle, condition, created, observation, patient, reference, word
from key_trial import Trial
from running_trust import RunningTrust
from what_is_stored import dump, files, keys_of_it, occurrences

from cloister.demo import generate

SEED: Final = 1  # of the demo's patients
WARD: Final = "Psychiatrie adulte – Les Tilleuls"  # in clear on purpose: it shows that the search can find


class Written:
    """What one clinician has just written: words that occur nowhere else."""

    def __init__(self) -> None:
        self.family, self.given, self.note, self.ins, self.mistyped = word(), word(), word(), f"1{os.urandom(6).hex()}", word()
        self.asked, self.broken = word(), word()

    @property
    def words(self) -> list[str]:
        return [self.family, self.given, self.note, self.ins, self.asked, self.broken, self.mistyped]


@pytest.fixture(scope="module")
def written(trust: RunningTrust, company: Company) -> Written:
    """A patient, a note and a diagnosis of one's own, searches for them, and every mistake that quotes them."""
    made, claire = Written(), company.person(CARDIOLOGIST)
    system = "https://numbers.example/patients"
    who = created(claire, patient(made.family, made.given, "1938-02-17", identifier=[{"system": system, "value": made.ins}]))
    created(claire, condition(reference(who), "I21.4", made.note))
    reading = created(claire, observation(reference(who), note=[{"text": made.note}]))
    claire.put(f"{FHIR}/{reference(reading)}", json=reading | {"note": [{"text": f"{made.note} again"}]}).raise_for_status()
    for path in (
        f"Patient?name={made.family}",
        f"Patient?identifier={system}|{made.ins}",
        f"Patient?name={made.asked}&_sort={made.asked}",
        f"{made.asked}/{made.asked}",
        f"Patient/{made.asked}/_history/{made.asked}",
        f"Observation?patient={who['id']}&code={made.asked}&{made.asked}=1",
    ):
        claire.get(f"{FHIR}/{path}")
    for body in (
        b'{"resourceType":"Patient","name":"%s"' % made.broken.encode(),
        json.dumps({"resourceType": made.broken, "x": made.broken}).encode(),
    ):
        claire.post(f"{FHIR}/Patient", content=body, headers={"content-type": "application/fhir+json"})
        claire.post(f"{FHIR}", content=body, headers={"content-type": "application/fhir+json"})
    wrong = bundle(
        ("POST", "Patient", patient(made.broken, birthDate="1971-02-31")), ("GET", f"Patient?name={made.asked}", None), kind="batch"
    )
    claire.post(FHIR, json=wrong)
    claire.get(f"/patients?q={made.family}")
    claire.get(f"/patients/{who['id']}")
    claire.get(f"/{made.asked}", headers={"x-cloister-sid": made.asked, "referer": f"https://localhost/{made.asked}"})
    with trust.client() as somebody:
        somebody.post("/login/start", json={"sign_in": made.mistyped})
        somebody.post("/login/passphrase", json={"flow": made.mistyped, "verifier": made.mistyped})
        somebody.post("/oauth2/token", data={"grant_type": "client_credentials"}, auth=(made.mistyped, made.mistyped))
        somebody.get(f"/login?next={made.mistyped}", headers={"user-agent": made.mistyped})
    return made


@pytest.fixture(scope="module")
def everything(written: Written, trust: RunningTrust, administrator: Administrator, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """All tables as a backup holds them, and all files of the machine that belong to the trust, read after they are on the disk."""
    administrator.change("select pg_switch_wal()")
    administrator.rows("checkpoint")
    os.sync()
    published = trust.state / "terminology"  # code systems as their makers publish them: every code, whoever has it
    belonging = [path for path in files(trust.state, trust.runtime) if published not in path.parents]
    return [*dump(administrator, tmp_path_factory.mktemp("dump")), *belonging]


@pytest.fixture(scope="module")
def generated(trust: RunningTrust) -> list[dict[str, Any]]:
    """The demo's patients in clear, made again from the seed."""
    patients = int(trust.environment["CLOISTER_DEMO_PATIENTS"])
    return [entry["resource"] for one in generate(patients, SEED) for entry in one["entry"]]


def test_the_search_sees_what_is_in_clear(everything: list[Path], tmp_path: Path) -> None:
    found = occurrences([WARD, "claire.vasseur"], everything, tmp_path)
    assert any("trust.ward" in name for name in found[WARD])
    assert any("/base/" in name for name in found[WARD]), "the database's own files are not among what was searched"
    assert len(everything) > 500


def test_nothing_that_claire_wrote_asked_or_mistyped_is_in_any_table_or_file(
    everything: list[Path], written: Written, tmp_path: Path
) -> None:
    assert occurrences([*written.words, "1938-02-17"], everything, tmp_path) == {}


def test_no_name_birth_date_number_or_address_of_a_patient_is_in_any_table_or_file(
    everything: list[Path], generated: list[dict[str, Any]], trust: RunningTrust, tmp_path: Path
) -> None:
    people = [resource for resource in generated if resource["resourceType"] == "Patient"]
    assert len(people) == int(trust.environment["CLOISTER_DEMO_PATIENTS"])
    staff = " ".join(one["name"] for one in trust.sign_ins["people"])
    names = {name for one in people for part in one["name"] for name in (part["family"], *part["given"])}
    # A nurse may be called as a patient is, and nurses are in clear; Pascal is a language that PostgreSQL's catalogue speaks of.
    names = {name for name in names if name not in staff} - occurrences(
        names, files(trust.state / "database" / "18" / "base" / "1"), tmp_path
    ).keys()
    assert len(names) >= len(people)
    whole = {
        f"{given}{between}{part['family']}"
        for one in people
        for part in one["name"]
        for given in part["given"]
        for between in (" ", '","', '"],"')
    }
    numbers = {identifier["value"] for one in people for identifier in one["identifier"]}
    reached = {telecom["value"] for one in people for telecom in one["telecom"]} | {
        line for one in people for line in one["address"][0]["line"]
    }
    born = {one["birthDate"] for one in people} | {one["birthDate"].replace("-", "") for one in people}
    assert occurrences(names | whole | numbers | reached | born, everything, tmp_path) == {}


def test_no_note_and_no_code_of_a_patient_is_in_any_table_or_file(
    everything: list[Path], generated: list[dict[str, Any]], administrator: Administrator, tmp_path: Path
) -> None:
    public = [row["name"] for row in administrator.rows("select name from trust.hospital union select name from trust.ward")]
    texts, coded = set(), set()
    for name, value in chain.from_iterable(
        strings(resource) for resource in generated if resource["resourceType"] not in ("Location", "Organization")
    ):
        if name in ("data", "text", "div", "display", "valueString") and len(value) >= 24:
            texts.update(value[place : place + 24] for place in range(0, len(value) - 23, 200))
        elif name == "code" and len(value) >= 5 and any(letter.isdigit() for letter in value):
            coded.add(value)  # ICD-10 such as F32.1, LOINC such as 8867-4, ATC such as C07AB07
    texts = {text for text in texts if not any(text in name for name in public)}  # names of wards and hospitals are in clear
    assert len(texts) > 50
    assert len(coded) > 20
    quoted = {f'"{one}"' for one in coded} | {f'"code":"{one}' for one in coded}
    assert occurrences(texts | quoted | {one for one in coded if len(one) >= 7}, everything, tmp_path) == {}


def strings(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for inner, one in value.items():
            yield from strings(one, inner)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one, name)


def test_no_secret_of_a_person_or_program_is_in_any_table_or_file(everything: list[Path], trust: RunningTrust, tmp_path: Path) -> None:
    secrets = [one["passphrase"] for one in trust.sign_ins["people"]] + [one["client_secret"] for one in trust.sign_ins["programs"]]
    roots = json.loads((trust.state / "demo" / "roots.json").read_text())
    assert occurrences([*secrets, *roots.values()], everything, tmp_path) == {}


def test_sealed_rows_look_like_chance(written: Written, administrator: Administrator) -> None:
    rows = administrator.rows("select ct from care.res order by id limit 400")
    sample = b"".join(bytes(row["ct"]) for row in rows)
    packed = subprocess.run(["gzip", "-9c"], input=sample, capture_output=True, check=True).stdout
    assert len(packed) > len(sample), "ciphertext does not compress; text does"


def test_no_key_of_it_opens_anything(written: Written, administrator: Administrator, trust: RunningTrust) -> None:
    roots = json.loads((trust.state / "demo" / "roots.json").read_text())
    held = keys_of_it(administrator, roots)
    assert {(trust.state / "secrets" / name).read_bytes() for name in ("ticket.key", "door.key")} <= held
    assert len(held) > 200
    trial = Trial(administrator)
    assert [what for key in held for what in trial.opened_by(key)] == []


def test_the_same_trial_opens_claires_patients_with_claires_passphrase(
    written: Written, administrator: Administrator, trust: RunningTrust
) -> None:
    """Were the trial blind, the test before would show nothing."""
    claire = trust.person(sign_in=CARDIOLOGIST)
    trial, steps = Trial(administrator), []
    key = trial.passphrase_key(claire["sign_in"], claire["passphrase"])
    for _ in range(4):  # passphrase -> unlock key -> private keys -> zone key -> dossier keys -> rows
        found = trial.opened_by(key.reveal())
        steps.append(sorted({what.partition(" ")[0] for what in found}))
        key = trial.next_key(found, key)
    assert steps == [["unlocker"], ["identity"], ["grant"], ["key", "names"]]
    assert {what.partition(" ")[0] for what in trial.opened_by(key.reveal())} == {"version", "index"}
