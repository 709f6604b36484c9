"""A root's passphrase at the command line: one more officer, for its own office, and for nobody who holds the other."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from running_trust import RunningTrust, SignedIn, running_trust

sys.path.insert(0, str(Path(__file__).parents[1] / "identity"))

from soft_authenticator import SoftAuthenticator

from cloister.offices import applying

PASSPHRASE = "bouleau-vitrail-compas-orage"


@pytest.fixture(scope="module")
def trust() -> Iterator[RunningTrust]:
    with running_trust(CLOISTER_DEMO_PATIENTS="0", CLOISTER_SLOTS="16") as running:
        yield running


def cloister(trust: RunningTrust, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cloister.cli", *arguments]
    return subprocess.run(command, env={**os.environ, **trust.environment}, capture_output=True, text=True, timeout=60, check=False)


def passphrase_of_root(trust: RunningTrust, office: str, folder: Path) -> Path:
    """From the demo's safe, as a file."""
    file = folder / office
    file.write_text(json.loads((trust.state / "demo" / "roots.json").read_text())[office])
    return file


def enrol(trust: RunningTrust, officer: SignedIn, sign_in: str, name: str, role: str) -> tuple[str, str]:
    """Registered by an officer on the page, and the keys brought through the door; applicant and words."""
    form = {"name": name, "sign_in": sign_in, "role": role, "hospital": "", "language": "en"}
    page = officer.client.post("/offices/applicants", data=form, headers={"accept": "text/html"})
    code = re.search(r"<code>([0-9A-Z-]{23})</code>", page.text)
    assert code is not None, page.text[:2000]
    client = trust.client()
    begun = client.post("/enrol/start", json={"sign_in": sign_in, "code": code[1]}).raise_for_status().json()
    key = SoftAuthenticator(origin=trust.base)
    attestation = key.create(begun["passkey"])
    made = applying.answer(
        trust=begun["trust"], applicant=begun["applicant"], person=begun["person"], challenge=base64.b64decode(begun["challenge"]),
        passphrase=PASSPHRASE, passkeys=[applying.NewPasskey(credential_id=attestation["id"], attestation=attestation, prf=b"\x07" * 32)],
    )  # fmt: skip
    answer = client.post("/enrol/finish", json={"flow": begun["flow"], **made.body})
    assert answer.status_code == 201, answer.text
    assert answer.json() == {"words": made.words}
    return begun["applicant"], made.words


def refused(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_new_access_officer_is_certified_by_it_and_mandated_by_the_access_root(trust: RunningTrust, tmp_path: Path) -> None:
    lemoine = trust.sign_in(trust.person(sign_in="sebastien.lemoine"))
    applicant, words = enrol(trust, lemoine, "odile.martin", "Dr Odile Martin", "access-officer")
    safe = passphrase_of_root(trust, "access", tmp_path)
    arguments = ("office", "mandate", "access", "odile.martin", "--passphrase-file", str(safe), "--words", words)
    assert "Nobody with keys" in refused(cloister(trust, *arguments))
    certified = lemoine.client.post(f"/offices/applicants/{applicant}/certify", data={"words": words})
    assert certified.status_code == 303, certified.text
    assert "not the words" in refused(cloister(trust, *arguments[:-1], "acorn " * 7))
    wrong = tmp_path / "wrong"
    wrong.write_text("not-the-passphrase-of-a-root")
    assert "wrong" not in refused(cloister(trust, *arguments[:4], "--passphrase-file", str(wrong), "--words", words)).lower()
    done = cloister(trust, *arguments)
    assert done.returncode == 0, done.stderr
    assert "mandated Dr Odile Martin" in done.stdout
    odile = trust.sign_in({"sign_in": "odile.martin", "passphrase": PASSPHRASE})
    assert odile.client.get("/offices/zones", headers={"accept": "text/html"}).status_code == 200
    lemoine.client.post("/session/end")


def test_a_new_certificate_officer_is_certified_by_the_root_and_by_no_colleague(trust: RunningTrust, tmp_path: Path) -> None:
    besson = trust.sign_in(trust.person(sign_in="laure.besson"))
    applicant, words = enrol(trust, besson, "remi.garcia", "Rémi Garcia", "certificate-officer")
    page = besson.client.post(f"/offices/applicants/{applicant}/certify", data={"words": words}, headers={"accept": "text/html"})
    assert page.status_code == 403
    safe = passphrase_of_root(trust, "certificate", tmp_path)
    done = cloister(trust, "office", "mandate", "certificate", "remi.garcia", "--passphrase-file", str(safe), "--words", words)
    assert done.returncode == 0, done.stderr
    remi = trust.sign_in({"sign_in": "remi.garcia", "passphrase": PASSPHRASE})
    assert remi.client.get("/offices/people", headers={"accept": "text/html"}).status_code == 200
    applicant, words = enrol(trust, remi, "lise.faure", "Lise Faure", "nurse")
    assert remi.client.post(f"/offices/applicants/{applicant}/certify", data={"words": words}).status_code == 303
    lise = trust.sign_in({"sign_in": "lise.faure", "passphrase": PASSPHRASE})
    assert lise.client.get("/account", headers={"accept": "text/html"}).status_code == 200


def test_nobody_holds_both_offices_and_a_clinician_holds_none(trust: RunningTrust, tmp_path: Path) -> None:
    safe = passphrase_of_root(trust, "access", tmp_path)
    for sign_in in ("sebastien.lemoine", "claire.vasseur"):
        done = cloister(trust, "office", "mandate", "access", sign_in, "--passphrase-file", str(safe), "--words", "x")
        assert "not certified as an access officer" in refused(done)
    assert "There is no office" in refused(cloister(trust, "office", "mandate", "both", "claire.vasseur"))


def test_guessing_codes_is_slowed_and_every_failure_has_one_answer(trust: RunningTrust) -> None:
    client, answers = trust.client(), []
    for _ in range(7):
        answers.append(client.post("/enrol/start", json={"sign_in": "no.such.applicant", "code": "AAAAA-AAAAA-AAAAA-AAAAA"}))
    assert {answer.status_code for answer in answers[:5]} == {401}
    assert len({answer.text for answer in answers[:5]}) == 1
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) > 0


@pytest.mark.parametrize("body", [{}, [], {"flow": "x"}, {"flow": 1, "unlockers": "y"}, {"flow": "a" * 5000}])
def test_nonsense_at_the_enrolment_door_is_refused(trust: RunningTrust, body: Any) -> None:
    answer: httpx.Response = trust.client().post("/enrol/finish", json=body)
    assert answer.status_code in (400, 404)
