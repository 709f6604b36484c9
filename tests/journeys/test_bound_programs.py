"""Programs whose tokens are bound to a key (RFC 9449), by a JOSE library and by an unmodified client; and one pace for all sessions."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from journeys_cast import FHIR, end_program
from running_trust import RunningTrust
from test_node_clients_unchanged import run

NUMBER: Final = 1  # of the demo's programs: others use the first
LABELS: Final = ("pace-1", "pace-2")


class Keyed:
    """A program's side with joserfc: proofs as RFC 9449 4.2 says, or with something wrong."""

    def __init__(self, trust: RunningTrust) -> None:
        self.key = ECKey.generate_key("P-256")
        self.trust = trust
        self.http = trust.client(auth=None)
        self.nonce = ""
        self.token = ""

    def proof(self, method: str, path: str, **wrong: Any) -> str:
        claims: dict[str, Any] = {"jti": str(uuid.uuid4()), "htm": method, "htu": f"{self.trust.base}{path}", "iat": int(time.time())}
        if self.token:
            claims["ath"] = urlsafe_b64encode(hashlib.sha256(self.token.encode()).digest()).rstrip(b"=").decode()
        claims |= {"nonce": self.nonce} if self.nonce else {}
        claims |= {name: value for name, value in wrong.items() if name in claims}
        key = wrong.get("key", self.key)
        header = {"typ": wrong.get("typ", "dpop+jwt"), "alg": "ES256", "jwk": key.as_dict(private=False)}
        return jwt.encode(header, claims, key)

    def fetch(self, *, proof: str | None = None, **form: str) -> httpx.Response:
        program = self.trust.sign_ins["programs"][NUMBER]
        headers = {"dpop": proof or self.proof("POST", "/oauth2/token")}
        data = {"grant_type": "client_credentials", "session_label": "bound", **form}
        return self.http.post("/oauth2/token", data=data, auth=(program["client_id"], program["client_secret"]), headers=headers)

    def read(self, *, scheme: str = "DPoP", proof: str | None = None, **wrong: Any) -> httpx.Response:
        path = f"{FHIR}/Patient"
        headers = {"authorization": f"{scheme} {self.token}", "dpop": proof or self.proof("GET", path, **wrong)}
        answer = self.http.get(f"{path}?_count=1", headers=headers)
        self.nonce = answer.headers.get("dpop-nonce", self.nonce)
        return answer


def cloister(trust: RunningTrust, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "cloister.cli", *arguments], env=trust.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bound(trust: RunningTrust) -> Iterator[Keyed]:
    """A program with a bound token and the session's first nonce."""
    keyed = Keyed(trust)
    answer = keyed.fetch()
    assert (answer.status_code, answer.json()["token_type"]) == (200, "DPoP"), answer.text
    keyed.token = answer.json()["access_token"]
    first = keyed.read()
    assert first.status_code == 401
    assert 'error="use_dpop_nonce"' in first.headers["www-authenticate"]
    yield keyed
    assert keyed.read().status_code == 200
    keyed.http.post("/session/end", headers={"authorization": f"DPoP {keyed.token}", "dpop": keyed.proof("POST", "/session/end")})
    keyed.http.close()


def test_a_bound_token_opens_with_a_proof_of_its_key_and_only_so(trust: RunningTrust, bound: Keyed) -> None:
    assert bound.read().status_code == 200
    stranger = ECKey.generate_key("P-256")
    for wrong in (
        {"key": stranger}, {"htm": "POST"}, {"htu": f"{trust.base}{FHIR}/Observation"}, {"ath": "A" * 43}, {"iat": int(time.time()) - 3600},
        {"typ": "JWT"}, {"nonce": "x" * 16}, {"jti": "short"},
    ):  # fmt: skip
        refused = bound.read(**wrong)
        assert refused.status_code == 401, wrong
        assert refused.headers["www-authenticate"].startswith("DPoP error=")
    assert bound.read(scheme="Bearer").status_code == 401, "a bound token is no bearer token"
    assert bound.http.get(f"{FHIR}/Patient", headers={"authorization": f"DPoP {bound.token}"}).status_code == 401
    proof = bound.proof("GET", f"{FHIR}/Patient")
    assert [bound.read(proof=proof).status_code for _ in range(2)] == [200, 401], "a proof is good once"
    assert bound.read(htu=f"{trust.base.upper().replace('HTTPS', 'https')}{FHIR}/Patient?x=1").status_code == 200, "RFC 9449 4.3, point 9"


def test_the_token_endpoint_takes_a_proof_once_and_of_now(trust: RunningTrust) -> None:
    keyed = Keyed(trust)
    proof = keyed.proof("POST", "/oauth2/token")
    assert keyed.fetch(proof=proof).status_code == 200
    old = keyed.proof("POST", "/oauth2/token", iat=int(time.time()) - 120)
    elsewhere = keyed.proof("POST", "/oauth2/token", htu=f"{trust.base}/oauth2/revoke")
    for wrong in (proof, old, elsewhere, "x.y.z", keyed.proof("GET", "/oauth2/token")):
        answer = keyed.fetch(proof=wrong)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof")


def test_introspection_names_the_key(trust: RunningTrust, bound: Keyed) -> None:
    program = trust.sign_ins["programs"][NUMBER]
    said = bound.http.post("/oauth2/introspect", data={"token": bound.token}, auth=(program["client_id"], program["client_secret"])).json()
    assert (said["token_type"], said["cnf"]["jkt"]) == ("DPoP", bound.key.thumbprint())


def test_a_program_that_is_registered_as_bound_gets_no_other_token(trust: RunningTrust, bound: Keyed) -> None:
    program = trust.sign_ins["programs"][NUMBER]
    credentials = (program["client_id"], program["client_secret"])
    cloister(trust, "program", "register", program["client_id"], "--bound")
    try:
        assert "tokens bound to a key" in cloister(trust, "program", "list")
        plain = bound.http.post("/oauth2/token", data={"grant_type": "client_credentials", "session_label": "bound"}, auth=credentials)
        assert (plain.status_code, plain.json()["error"]) == (400, "invalid_dpop_proof")
        assert Keyed(trust).fetch().json()["token_type"] == "DPoP"
    finally:
        cloister(trust, "program", "register", program["client_id"])


def test_openid_client_as_it_comes_binds_its_token(trust: RunningTrust) -> None:
    program = trust.sign_ins["programs"][NUMBER]
    found = run(trust, "openid-client", "dpop.mjs", trust.base, program["client_id"], program["client_secret"])
    assert found["type"].lower() == "dpop"
    assert found["seen"] == [[200, "Bundle"], [200, "Bundle"]]


def test_the_sessions_of_a_program_share_one_pace(trust: RunningTrust) -> None:
    """Twice the sessions, and still one burst: 20 at once and two a second, however many ask."""
    program = trust.sign_ins["programs"][NUMBER]["client_id"]
    cloister(trust, "program", "limit", program, "--per-second", "2", "--burst", "20")
    sessions = [trust.program(NUMBER, label=label) for label in LABELS]
    try:
        began = time.monotonic()

        def asks(client: httpx.Client) -> list[int]:
            return [client.get("Patient?_count=1").status_code for _ in range(20)]

        with ThreadPoolExecutor(len(sessions)) as pool:
            answers = [code for codes in pool.map(asks, sessions) for code in codes]
        lasted = time.monotonic() - began
        assert set(answers) == {200, 429}
        assert 18 <= answers.count(200) <= 20 + 2 * lasted + len(sessions)
    finally:
        cloister(trust, "program", "limit", program)
        for client in sessions:
            end_program(client)
