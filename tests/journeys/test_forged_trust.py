"""What the database's administrator does to people, keys and grants: a reader that was added opens nothing. SECURITY.md; zones.md 8."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import pytest
from journeys_cast import FHIR, OPERATOR, PSYCHIATRIST, SURGERY_NURSE, Administrator, Company, created, patient, reference, refusal, word
from running_trust import RunningTrust

from cloister.base.secret import Secret
from cloister.zones import algorithms, bundle, certificates, envelope, grants, unlockers

TRUST: Final = (
    'trust."grant"',
    "trust.mandate",
    "trust.certificate",
    "trust.unlocker",
    "trust.identity",
    "trust.epoch",
    "trust.zone",
    "trust.trust",
    "trust.person",
)
TILLEULS: Final = "sainte-anne-tilleuls"
NOW: Final = datetime.now(UTC)


@pytest.fixture(scope="module")
def hidden(garrison: Company) -> dict[str, Any]:
    """A patient of the psychiatric ward Les Tilleuls."""
    return created(garrison.program(1), patient(word()), **{"cloister-zone": TILLEULS})


@pytest.fixture(scope="module")
def own(garrison: Company) -> dict[str, Any]:
    """A patient of the surgical ward, whom Nadia nurses."""
    return created(garrison.program(0), patient(word()), **{"cloister-zone": "saint-roch-surgery"})


@pytest.fixture(autouse=True)
def restored(intruder: Administrator, garrison: Company) -> Iterator[None]:
    with intruder.kept(*TRUST, "care.dossier_key"):
        yield
    garrison.forget_people()


def id_of(intruder: Administrator, sign_in: str) -> str:
    return str(intruder.one("select id from trust.person where sign_in = $1", sign_in))


def opens_nothing(client: httpx.Client, hidden: dict[str, Any], own: dict[str, Any] | None) -> dict[str, Any]:
    """What the session says of itself, after it was seen that the hidden patient stays hidden and everything else works."""
    family = hidden["name"][0]["family"]
    answer = client.get(f"{FHIR}/{reference(hidden)}")
    assert family not in answer.text
    assert answer.status_code in (403, 404), answer.text
    for path in (f"{FHIR}/Patient?name={family}", f"{FHIR}/Patient?_id={hidden['id']}", f"{FHIR}/Observation?patient={hidden['id']}"):
        found = client.get(path)
        assert f'"family":"{family}"' not in found.text
        assert found.status_code in (200, 403), found.text
    if own is not None:
        assert client.get(f"{FHIR}/{reference(own)}").status_code == 200
        found = client.get(f"{FHIR}/Patient?name={own['name'][0]['family']}")
        assert (found.status_code, found.json().get("total")) == (200, 1), found.text
        listed = client.get(f"{FHIR}/Encounter?status=in-progress")
        assert listed.status_code == 200, listed.text
        scanned = client.get(f"{FHIR}/Observation?_lastUpdated=gt2020-01-01")
        assert scanned.status_code == 200, scanned.text
        assert client.get("/", headers={"accept": "text/html"}).status_code == 200
    return dict(client.get("/session/state").json())


def test_another_persons_grant_under_my_name_opens_nothing(
    garrison: Company, intruder: Administrator, hidden: dict[str, Any], own: dict[str, Any]
) -> None:
    nadia, marc = id_of(intruder, SURGERY_NURSE), id_of(intruder, PSYCHIATRIST)
    intruder.change(('update trust."grant" set person = $1 where person = $2', nadia, marc))
    state = opens_nothing(garrison.fresh(SURGERY_NURSE), hidden, own)
    assert state["zones"] == 1
    assert [why for _, why in state["refused"]] == ["grant-other-person"]


def test_a_forgery_of_it_with_its_own_root_officer_and_zone_key_opens_nothing(
    garrison: Company, intruder: Administrator, hidden: dict[str, Any], own: dict[str, Any]
) -> None:
    """IT makes a root, an officer certified and mandated by it, and a grant for Nadia's genuine certificate."""
    nadia = id_of(intruder, SURGERY_NURSE)
    identity = intruder.rows("select kem_public, certificate from trust.identity where person = $1", nadia)[0]
    trust = intruder.roots.trust_id
    root, root_der = certificates.new_root("Groupement hospitalier certificate root")
    officer = bundle.new_bundle(id_of(intruder, OPERATOR))
    der = certificates.certificate(root, root_der, officer.person, "D. Colin", officer.sign_public, officer.kem_public, "access", 99, NOW)
    certified = algorithms.sha256(der)
    signer = envelope.person_signer(certified, officer.signing)
    body = grants.sign_grant(
        signer,
        trust=trust,
        zone=TILLEULS,
        epoch=1,
        floor=1,
        person=nadia,
        certificate=identity["certificate"],
        kem_public=identity["kem_public"],
        zone_key=Secret(algorithms.random(32)),
        right="write",
        not_before=NOW - timedelta(days=1),
        live_until=NOW + timedelta(days=99),
        reason="founding",
        seq=9,
    )
    access = Secret(algorithms.random(32))
    mandate = grants.mandate(access, "access", certified, officer.person, "write", None, NOW + timedelta(days=99), trust=trust)
    intruder.change(
        ("insert into trust.certificate (hash, person, der, issued) values ($1, $2, $3, now())", certified, officer.person, der),
        (
            "insert into trust.mandate (hash, office, person, body) values ($1, 'access', $2, $3)",
            algorithms.sha256(mandate),
            officer.person,
            mandate,
        ),
        (
            'insert into trust."grant" (hash, zone, person, seq, body) values ($1, $2, $3, 9, $4)',
            algorithms.sha256(body),
            TILLEULS,
            nadia,
            body,
        ),
        (
            "update trust.trust set access_root = $1, certificate_root = $2, certificate_root_der = $3",
            algorithms.sign_public(access.reveal()),
            algorithms.sign_public(root.reveal()),
            root_der,
        ),
    )
    state = opens_nothing(garrison.fresh(SURGERY_NURSE), hidden, own)
    assert state["zones"] == 1
    assert {why for _, why in state["refused"]} <= {"not-in-audit", "mandate-missing", "certificate-not-in-chain", "signature"}
    assert state["refused"]


def test_a_wrap_of_a_dossier_for_another_ward_is_refused_and_shows_nothing(
    garrison: Company, intruder: Administrator, hidden: dict[str, Any], own: dict[str, Any]
) -> None:
    dossier = intruder.dossier_of(reference(hidden))
    intruder.change(
        (
            "insert into care.dossier_key (dossier, key_no, epoch, zone, wrapped)"
            " select dossier, key_no, epoch, 'saint-roch-surgery', wrapped"
            " from care.dossier_key where dossier = $1",
            dossier,
        )
    )
    nadia = garrison.fresh(SURGERY_NURSE)
    answer = nadia.get(f"{FHIR}/{reference(hidden)}")
    assert (answer.status_code, refusal(answer)) == (500, "tag")
    assert hidden["name"][0]["family"] not in answer.text
    assert nadia.get(f"{FHIR}/{reference(own)}").status_code == 200
    assert nadia.get(f"{FHIR}/Patient?name={own['name'][0]['family']}").json()["total"] == 1


def test_it_that_replaces_claires_passphrase_gets_her_session_and_none_of_her_keys(
    besieged: RunningTrust, garrison: Company, intruder: Administrator
) -> None:
    garrison.fresh("claire.vasseur").post("/session/end")
    claire, chosen = id_of(intruder, "claire.vasseur"), "the-passphrase-of-it-25"
    params = unlockers.new_passphrase_params()
    kek, verifier = unlockers.passphrase_secrets(chosen, params)
    own = unlockers.wrap_unlock_key(kek, secrets.token_hex(8), claire, "passphrase", params, Secret(algorithms.random(32)))
    intruder.change(
        (
            "update trust.unlocker set id = $2, params = $3, sealed = $4, verifier = $5 where person = $1",
            claire,
            own.id,
            str(params).replace("'", '"'),
            own.sealed,
            unlockers.stored_verifier(verifier),
        )
    )
    with besieged.client() as impostor:
        answer, key = besieged.prove(impostor, "claire.vasseur", chosen)
        place = answer.json()
        assert answer.status_code == 200, "whoever writes the verifier's hash passes the door"
        impostor.headers["cookie"] = answer.headers["set-cookie"].split(";")[0]
        sealed = algorithms.kem_seal(base64.b64decode(place["public_key"]), key, unlockers.session_unlock_info(place["session"]))
        unlocked = impostor.post("/session/unlock", json={"unlocker": place["unlocker"]["id"], "sealed": base64.b64encode(sealed).decode()})
        assert (unlocked.status_code, unlocked.json()["category"]) in {(403, "denied"), (500, "corrupt")}, unlocked.text
        assert impostor.get(f"{FHIR}/Patient").status_code == 401
        impostor.post("/session/end")


def test_it_that_makes_the_operator_a_doctor_with_everybodys_grants_opens_nothing(
    garrison: Company, intruder: Administrator, hidden: dict[str, Any]
) -> None:
    damien = id_of(intruder, OPERATOR)
    intruder.change(
        ("update trust.person set role = 'doctor', hospital = 'sainte-anne' where id = $1", damien),
        ('update trust."grant" set person = $1', damien),
    )
    state = opens_nothing(garrison.fresh(OPERATOR), hidden, None)
    assert state["zones"] == 0
    assert {why for _, why in state["refused"]} == {"grant-other-person"}
    garrison.fresh(OPERATOR).post("/session/end")


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (
            "update trust.epoch set body = set_byte(body, 150, get_byte(body, 150) # 1)",
            {"signature", "malformed", "commitment", "swapped", "zone-missing"},
        ),
        (
            "update trust.epoch e set body = o.body from trust.epoch o where o.zone = 'sainte-anne' and e.zone <> o.zone",
            {"epoch-missing", "swapped"},
        ),
        ("delete from trust.epoch", {"epoch-missing"}),
        ("update trust.zone set body = set_byte(body, 150, get_byte(body, 150) # 1)", {"signature", "malformed", "zone-missing"}),
        ("delete from trust.mandate where office = 'access'", {"mandate-missing", "certificate-missing"}),
        ("update trust.mandate set body = set_byte(body, 150, get_byte(body, 150) # 1)", {"mandate-missing", "signature", "malformed"}),
        ('update trust."grant" set body = set_byte(body, 1000, get_byte(body, 1000) # 1)', {"signature", "tag", "malformed"}),
        ('update trust."grant" set revoked = now()', {"grant-revoked"}),
        (
            "update trust.certificate set revoked = now() where person in (select person from trust.mandate where office = 'access')",
            {"certificate-revoked"},
        ),
    ],
)
def test_a_zone_whose_papers_were_changed_is_not_opened_and_the_reason_is_named(
    change: str, reasons: set[str], garrison: Company, intruder: Administrator, own: dict[str, Any]
) -> None:
    intruder.change("set local session_replication_role = replica", change)
    nadia = garrison.fresh(SURGERY_NURSE)
    state = nadia.get("/session/state").json()
    assert (state["state"], state["zones"]) == ("active", 0)
    # What was changed is not what was put on record; what hangs on it is then missing. Past that, its own reason.
    assert {why for _, why in state["refused"]} <= reasons | {"not-in-audit", "zone-missing", "epoch-missing", "mandate-missing"}
    assert state["refused"]
    assert nadia.get(f"{FHIR}/{reference(own)}").status_code in (403, 404)


@pytest.mark.parametrize(
    "change",
    [
        "update trust.identity i set sealed_private = o.sealed_private from trust.identity o where i.person = $1 and o.person = $2",
        "update trust.identity set sealed_private = substr(sealed_private, 1, 90) || sealed_private where person = any (array[$1, $2])",
        "update trust.certificate c set der = o.der from trust.certificate o where c.person = $1 and o.person = $2",
        "delete from trust.certificate where person in ($1, $2)",
        "update trust.unlocker u set sealed = o.sealed from trust.unlocker o where u.person = $1 and o.person = $2",
    ],
)
def test_a_person_whose_keys_or_certificate_were_changed_is_told_so_and_gets_nothing(
    change: str, besieged: RunningTrust, garrison: Company, intruder: Administrator
) -> None:
    garrison.fresh(SURGERY_NURSE).post("/session/end")
    intruder.change(
        "set local session_replication_role = replica",
        (change, id_of(intruder, SURGERY_NURSE), id_of(intruder, PSYCHIATRIST)),
    )
    with pytest.raises(httpx.HTTPStatusError) as refused:
        besieged.sign_in(besieged.person(sign_in=SURGERY_NURSE))
    told = refused.value.response.json()
    assert told["reason"] in {"bundle", "wrong-secret", "wrong-key", "certificate-other-keys", "certificate-missing"}, told
    assert told["hint"]


def test_a_revoked_grant_ends_at_the_next_opening(garrison: Company, intruder: Administrator, own: dict[str, Any]) -> None:
    nadia = garrison.fresh(SURGERY_NURSE)
    nadia.get(f"{FHIR}/{reference(own)}").raise_for_status()
    intruder.change(('update trust."grant" set revoked = now() where person = $1', id_of(intruder, SURGERY_NURSE)))
    again = garrison.fresh(SURGERY_NURSE)
    assert again.get("/session/state").json()["zones"] == 0
    assert again.get(f"{FHIR}/{reference(own)}").status_code == 404


def test_a_file_of_the_pinned_roots_is_what_decides_not_the_database(besieged: RunningTrust, intruder: Administrator) -> None:
    row = intruder.rows("select certificate_root, access_root from trust.trust")[0]
    assert (intruder.roots.certificate_root_public, intruder.roots.access_root_public) == (row["certificate_root"], row["access_root"])
    assert (besieged.state / "public" / "trust.json").stat().st_mode & 0o022 == 0
