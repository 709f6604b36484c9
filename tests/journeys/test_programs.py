"""Programs that prove themselves by a key pair, tokens that permit less than their program, and tokens that are taken back."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from journeys_cast import FHIR, Administrator, end_program, observation, patient, word
from running_trust import RunningTrust

from cloister.gateway import assertions
from cloister.zones import algorithms

CLIENT = "lab-gateway"
LABEL = "with-keys"


def cloister(trust: RunningTrust, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "cloister.cli", *arguments], env=trust.environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def key_file(trust: RunningTrust, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The laboratory's key, registered beside its secret, so that other tests go on as before."""
    folder = tmp_path_factory.mktemp("keys")
    (folder / "public.json").write_text(cloister(trust, "program", "key", str(folder / "key.pem")))
    assert (folder / "key.pem").stat().st_mode & 0o077 == 0
    cloister(trust, "program", "register", CLIENT, "--keys", str(folder / "public.json"))
    assert "secret or 1 keys" in cloister(trust, "program", "list")
    return folder / "key.pem"


@pytest.fixture(scope="module")
def secret_file(trust: RunningTrust, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("secret") / "secret"
    file.write_text(trust.sign_ins["programs"][0]["client_secret"])
    return file


def asserted(trust: RunningTrust, key_file: Path, *, jti: str = "", **form: str) -> dict[str, str]:
    key, jwk = algorithms.program_key(key_file.read_bytes())
    made = assertions.made_assertion(key, jwk, CLIENT, f"{trust.base}/oauth2/token", jti or str(uuid.uuid4()), now=datetime.now(UTC))
    return {"grant_type": "client_credentials", "client_assertion_type": assertions.TYPE, "client_assertion": made, **form}


def bearer(trust: RunningTrust, token: str) -> httpx.Client:
    client = trust.client(headers={"authorization": f"Bearer {token}"})
    client.base_url = httpx.URL(f"{trust.base}{FHIR}/")
    return client


@pytest.fixture(scope="module")
def opened(trust: RunningTrust, key_file: Path, secret_file: Path) -> Iterator[str]:
    """A session that was opened without its secret passing the door; a token of it."""
    token = cloister(trust, "program", "open", CLIENT, "--key", str(key_file), "--secret-file", str(secret_file), "--label", LABEL).strip()
    yield token
    end_program(bearer(trust, token))


def token_of(trust: RunningTrust, form: dict[str, str]) -> dict[str, Any]:
    with trust.client() as nobody:
        answer = nobody.post("/oauth2/token", data=form)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_an_assertion_alone_opens_nothing_and_says_what_to_do(trust: RunningTrust, key_file: Path) -> None:
    with trust.client() as nobody:
        answer = nobody.post("/oauth2/token", data=asserted(trust, key_file, session_label="never-opened"))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert "session_unlock" in answer.json()["error_description"]


def test_while_the_session_is_open_a_standard_assertion_gets_a_token(trust: RunningTrust, key_file: Path, opened: str) -> None:
    with bearer(trust, opened) as first:
        assert first.get("Patient?_count=1").status_code == 200
    answer = token_of(trust, asserted(trust, key_file, session_label=LABEL, scope="system/Patient.rs"))
    assert answer["scope"] == "system/Patient.rs"
    with bearer(trust, answer["access_token"]) as narrow:
        assert narrow.get("Patient?_count=1").status_code == 200


def test_an_assertion_is_taken_once(trust: RunningTrust, key_file: Path, opened: str) -> None:
    form = asserted(trust, key_file, session_label=LABEL)
    token_of(trust, form)
    with trust.client() as nobody:
        again = nobody.post("/oauth2/token", data=form)
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")


def test_a_narrow_token_reads_what_its_scopes_say_and_nothing_else(trust: RunningTrust, key_file: Path, opened: str) -> None:
    with bearer(trust, opened) as whole:
        about = whole.post("Patient", json=patient(word())).json()["id"]
        made = whole.post("Observation", json=observation(f"Patient/{about}")).json()["id"]
    token = token_of(trust, asserted(trust, key_file, session_label=LABEL, scope="system/Observation.read"))["access_token"]
    with bearer(trust, token) as narrow:
        assert narrow.get(f"Observation/{made}").status_code == 200
        refused = narrow.get(f"Patient/{about}")
        assert refused.status_code == 403
        assert refused.json()["issue"][0]["details"]["coding"][0]["code"] == "scope-missing"
        assert narrow.delete(f"Observation/{made}").status_code == 403
        assert narrow.get("$ingest").status_code == 403
        bundle = narrow.get(f"Observation?_id={made}&_include=Observation:subject").json()
        assert [entry["resource"]["resourceType"] for entry in bundle["entry"]] == ["Observation"]
        everything = narrow.get(f"Patient/{about}/$everything")
        assert everything.status_code == 403
        narrow.base_url = httpx.URL(trust.base)
        assert narrow.get("/session/state").status_code == 403
        assert narrow.post("/session/end").status_code == 403


def test_a_scope_header_from_outside_is_not_believed(trust: RunningTrust, key_file: Path, opened: str) -> None:
    token = token_of(trust, asserted(trust, key_file, session_label=LABEL, scope="system/Observation.rs"))["access_token"]
    with bearer(trust, token) as narrow:
        assert narrow.get("Patient?_count=1", headers={"x-cloister-scope": "system/*.cruds"}).status_code == 403


def test_scopes_beyond_what_is_offered_are_refused(trust: RunningTrust, key_file: Path, opened: str) -> None:
    with trust.client() as nobody:
        for scope in ("patient/*.rs", "system/Nonsense.rs", '"'):
            answer = nobody.post("/oauth2/token", data=asserted(trust, key_file, session_label=LABEL, scope=scope))
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


def test_a_token_is_looked_at_and_taken_back_and_the_others_go_on(trust: RunningTrust, key_file: Path, opened: str) -> None:
    token = token_of(trust, asserted(trust, key_file, session_label=LABEL, scope="system/Patient.rs"))["access_token"]
    with trust.client() as nobody:
        seen = nobody.post("/oauth2/introspect", data=asserted(trust, key_file, token=token)).json()
        assert (seen["active"], seen["client_id"], seen["scope"]) == (True, CLIENT, "system/Patient.rs")
        other = trust.sign_ins["programs"][1]
        strange = nobody.post("/oauth2/introspect", data={"token": token}, auth=(other["client_id"], other["client_secret"])).json()
        assert strange == {"active": False}
        assert nobody.post("/oauth2/revoke", data=asserted(trust, key_file, token=token)).status_code == 200
        assert nobody.post("/oauth2/revoke", data=asserted(trust, key_file, token="no token")).status_code == 200
    with bearer(trust, token) as taken:
        assert taken.get("Patient?_count=1").status_code == 401
    with bearer(trust, opened) as other_token:
        assert other_token.get("Patient?_count=1").status_code == 200


def test_the_configuration_lies_beside_the_fhir_address(trust: RunningTrust) -> None:
    with trust.client() as nobody:
        found = nobody.get(f"{FHIR}/.well-known/smart-configuration").json()
    assert "private_key_jwt" in found["token_endpoint_auth_methods_supported"]
    assert "client-confidential-asymmetric" in found["capabilities"]


def test_a_change_of_a_program_is_on_record(administrator: Administrator, key_file: Path) -> None:
    assert any(entry["action"] == "register-client" and entry["object"] == f"client/{CLIENT}" for entry in administrator.entries())


def test_a_used_assertion_is_kept_only_as_a_digest(administrator: Administrator, key_file: Path, opened: str) -> None:
    row = administrator.rows("select digest, until from estate.assertion limit 1")
    assert len(row[0]["digest"]) == 32
    assert json.dumps(str(row)).find("eyJ") < 0


def test_a_program_that_asks_too_fast_is_told_when_to_go_on(trust: RunningTrust, key_file: Path, opened: str) -> None:
    cloister(trust, "program", "limit", CLIENT, "--per-second", "1", "--burst", "3", "--at-once", "2")
    try:
        token = token_of(trust, asserted(trust, key_file, session_label=LABEL))["access_token"]
        with bearer(trust, token) as client:
            answers = [client.get("Patient?_count=1") for _ in range(20)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert [answer.status_code for answer in answers[:3]] == [200, 200, 200]
        assert refused
        assert int(refused[0].headers["retry-after"]) >= 1
        assert refused[0].json()["issue"][0]["code"] == "throttled"
    finally:
        cloister(trust, "program", "limit", CLIENT)
    with bearer(trust, token_of(trust, asserted(trust, key_file, session_label=LABEL))["access_token"]) as client:
        assert client.get("Patient?_count=1").status_code in (200, 429)
