"""SMART apps over HTTP: what an app may not do on its way in, and what it may not do once it is in."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from html import unescape
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from journeys_cast import CARDIOLOGIST, FHIR, Administrator, end_program, observation, patient, word
from running_trust import RunningTrust, SignedIn

BACK: Final = "https://app.example/back?kept=1"
VERIFIER: Final = "v" * 64
CHALLENGE: Final = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
APP: Final = "growth"


@pytest.fixture(scope="module")
def app(trust: RunningTrust) -> str:
    register = ["register", APP, "--name", "Growth", "--redirect", BACK, "--scopes", "patient/*.cruds user/*.rs"]
    subprocess.run([sys.executable, "-m", "cloister.cli", "app", *register], env=trust.environment, check=True, capture_output=True)
    listed = subprocess.run([sys.executable, "-m", "cloister.cli", "app", "list"], env=trust.environment, capture_output=True, text=True)
    assert "growth  Growth" in listed.stdout
    return APP


@pytest.fixture(scope="module")
def doctor(trust: RunningTrust) -> Iterator[SignedIn]:
    signed_in = trust.sign_in(trust.person(sign_in=CARDIOLOGIST))
    yield signed_in
    signed_in.client.post("/session/end")


@pytest.fixture(scope="module")
def two(trust: RunningTrust) -> list[str]:
    lab = trust.program(0, label="apps")
    ids = [str(lab.post("Patient", json=patient(word())).json()["id"]) for _ in range(2)]
    for id in ids:
        lab.post("Observation", json=observation(f"Patient/{id}"))
    end_program(lab)
    return ids


def asking(trust: RunningTrust, **changed: str) -> dict[str, str]:
    usual = {
        "response_type": "code", "client_id": APP, "redirect_uri": BACK, "scope": "launch/patient patient/*.cruds offline_access",
        "state": "s-1", "aud": f"{trust.base}{FHIR}", "code_challenge": CHALLENGE, "code_challenge_method": "S256",
    }  # fmt: skip
    return {name: text for name, text in {**usual, **changed}.items() if text}


def page_of(trust: RunningTrust, **changed: str) -> str:
    """The consent page's address, as the door's own page goes on to it."""
    with trust.client() as nobody:
        answer = nobody.get("/oauth2/authorize", params=asking(trust, **changed))
    assert answer.status_code == 200, answer.text
    found = re.search(r"url=(/smart/consent\?request=[\w-]+)", answer.text)
    assert found is not None
    return found[1]


def code_of(trust: RunningTrust, doctor: SignedIn, about: str, **changed: str) -> str:
    place = page_of(trust, **changed)
    assert "Growth" in doctor.client.get(place, headers={"accept": "text/html"}).text
    form = {"request": place.partition("=")[2], "answer": "allow", "patient": about}
    onward = doctor.client.post("/smart/consent", data=form)
    assert onward.status_code == 200, onward.text
    to = unescape(re.search(r'content="0; url=([^"]+)"', onward.text)[1])  # type: ignore[index]
    assert to.startswith(BACK)
    asked = parse_qs(urlsplit(to).query)
    assert asked["state"] == ["s-1"]
    return asked["code"][0]


def exchanged(trust: RunningTrust, code: str, **changed: str) -> httpx.Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "client_id": APP, "code_verifier": VERIFIER, **changed}
    with trust.client() as nobody:
        return nobody.post("/oauth2/token", data=form, headers={"origin": "https://app.example"})


def let_in(trust: RunningTrust, doctor: SignedIn, about: str, **changed: str) -> tuple[httpx.Client, dict[str, Any]]:
    answer = exchanged(trust, code_of(trust, doctor, about, **changed))
    assert answer.status_code == 200, answer.text
    token = dict(answer.json())
    client = trust.client(headers={"authorization": f"Bearer {token['access_token']}"})
    client.base_url = httpx.URL(f"{trust.base}{FHIR}/")
    return client, token


def test_an_address_that_is_not_registered_letter_by_letter_is_never_gone_to(trust: RunningTrust, app: str) -> None:
    with trust.client() as nobody:
        for wrong in (BACK + "&more=1", "https://app.example/back", "https://evil.example/", ""):
            answer = nobody.get("/oauth2/authorize", params=asking(trust, redirect_uri=wrong))
            assert answer.status_code == 400
            assert "location" not in answer.headers
            assert "evil" not in answer.text
        assert nobody.get("/oauth2/authorize", params=asking(trust, client_id="unknown")).status_code == 400


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"aud": "https://other.example/fhir"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "system/*.rs"}, "invalid_scope"),
        ({"scope": "launch patient/*.rs"}, "invalid_request"),
        ({"scope": "launch patient/*.rs", "launch": "guessed"}, "invalid_request"),
    ],
)
def test_a_wrong_question_goes_back_to_the_app_with_its_reason(trust: RunningTrust, app: str, changed: dict[str, str], error: str) -> None:
    with trust.client() as nobody:
        answer = nobody.get("/oauth2/authorize", params=asking(trust, **changed))
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(BACK)
    asked = parse_qs(urlsplit(answer.headers["location"]).query)
    assert (asked["error"], asked["state"]) == ([error], ["s-1"])


def test_a_code_is_for_its_app_once_and_with_its_verifier(trust: RunningTrust, app: str, doctor: SignedIn, two: list[str]) -> None:
    code = code_of(trust, doctor, two[0])
    assert exchanged(trust, code).status_code == 200
    assert exchanged(trust, code).json()["error"] == "invalid_grant"
    wrong: dict[str, str]
    for wrong in ({"code_verifier": "w" * 64}, {"redirect_uri": "https://app.example/back"}, {"client_id": "pulse"}):
        assert exchanged(trust, code_of(trust, doctor, two[0]), **wrong).json()["error"] == "invalid_grant"


def test_a_patient_whom_the_person_cannot_open_is_no_choice(trust: RunningTrust, app: str, doctor: SignedIn) -> None:
    elsewhere = trust.program(1, label="apps")
    id = elsewhere.post("Patient", json=patient(word())).json()["id"]
    end_program(elsewhere)
    form = {"request": page_of(trust).partition("=")[2], "answer": "allow", "patient": id}
    assert doctor.client.post("/smart/consent", data=form).status_code == 404


def test_an_app_is_confined_to_its_patient_in_every_way(
    trust: RunningTrust, app: str, doctor: SignedIn, two: list[str], administrator: Administrator
) -> None:
    mine, other = two
    client, token = let_in(trust, doctor, mine)
    assert token["patient"] == mine
    assert client.get(f"Patient/{mine}").status_code == 200
    found = client.get(f"Observation?patient={mine}").json()["entry"][0]["resource"]["id"]
    for path in (f"Patient/{other}", f"Patient/{other}/$everything", f"Patient/{other}/_history", f"Patient/{other}/Observation"):
        assert client.get(path).status_code == 404, path
    for path in (
        f"Observation?patient={other}",
        "Patient?_summary=count",
        "Observation?patient:missing=false&_summary=count",
        "Patient?birthdate=gt1900-01-01",
    ):
        assert client.get(path).json()["total"] <= 1, path
    assert {entry["resource"]["id"] for entry in client.get("Patient").json()["entry"]} == {mine}
    assert other not in client.get("_history").text
    assert client.post("Observation", json=observation(f"Patient/{mine}")).status_code == 201
    assert client.post("Observation", json=observation(f"Patient/{other}")).status_code == 403
    assert client.put(f"Observation/{found}", json={**observation(f"Patient/{other}"), "id": found}).status_code in (400, 403)
    assert client.post("Patient", json=patient(word())).status_code == 403
    unknown = "01a22802-0000-7fd6-b851-26b44d70f862"
    assert client.put(f"Patient/{unknown}", json={**patient(word()), "id": unknown}).status_code == 403
    assert client.post("Practitioner", json={"resourceType": "Practitioner"}).status_code == 403
    manifest = client.get("$export", headers={"prefer": "respond-async"})
    place = manifest.headers["content-location"]
    while client.get(place).status_code == 202:
        pass
    types = {one["type"]: one["count"] for one in client.get(place).json()["output"]}
    assert types["Patient"] == 1
    assert any("app growth" in entry["reason"] and entry["action"] == "read" for entry in administrator.entries(session=doctor.session))
    for path in ("/account", "/session/state", "/patients", "/smart/apps"):
        client.base_url = httpx.URL(trust.base)
        assert client.get(path).status_code == 403, path
    client.close()


def test_scopes_of_the_person_are_not_confined_and_still_no_more_than_asked(
    trust: RunningTrust, app: str, doctor: SignedIn, two: list[str]
) -> None:
    client, token = let_in(trust, doctor, "", scope="user/Patient.rs")
    assert "patient" not in token
    assert "refresh_token" not in token
    assert all(client.get(f"Patient/{id}").status_code == 200 for id in two)
    assert client.get("Observation").status_code == 403
    client.close()


def test_an_app_gives_its_access_back(trust: RunningTrust, app: str, doctor: SignedIn, two: list[str]) -> None:
    client, token = let_in(trust, doctor, two[0])
    with trust.client() as nobody:
        assert nobody.post("/oauth2/revoke", data={"client_id": APP, "token": token["access_token"]}).status_code == 200
    assert client.get(f"Patient/{two[0]}").status_code == 401
    client.close()


def jkt_of(key: ECKey) -> str:
    public = key.as_dict(private=False)
    text = json.dumps({name: public[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


class Proving:
    """An app's side with joserfc: a key of its own, and proofs by it."""

    def __init__(self, trust: RunningTrust) -> None:
        self.trust, self.key, self.nonce = trust, ECKey.generate_key("P-256"), ""

    def proof(self, method: str, path: str, token: str = "") -> str:
        claims: dict[str, Any] = {"jti": word(), "htm": method, "htu": f"{self.trust.base}{path}", "iat": int(time.time())}
        claims |= {"nonce": self.nonce} if self.nonce else {}
        claims |= {"ath": base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()} if token else {}
        return jwt.encode({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.key.as_dict(private=False)}, claims, self.key)

    def fetch(self, **form: str) -> httpx.Response:
        self.nonce = ""
        with self.trust.client(auth=None) as nobody:
            return nobody.post("/oauth2/token", data={"client_id": APP, **form}, headers={"dpop": self.proof("POST", "/oauth2/token")})

    def by_code(self, code: str) -> httpx.Response:
        return self.fetch(grant_type="authorization_code", code=code, redirect_uri=BACK, code_verifier=VERIFIER)

    def ask(self, path: str, token: str) -> httpx.Response:
        headers = {"authorization": f"DPoP {token}", "dpop": self.proof("GET", path, token), "origin": "https://app.example"}
        with self.trust.client(auth=None) as nobody:
            answer = nobody.get(path, headers=headers)
        self.nonce = answer.headers.get("dpop-nonce", self.nonce)
        return answer


def test_an_apps_token_that_is_bound_to_its_key_is_of_no_use_without_it(
    trust: RunningTrust, app: str, doctor: SignedIn, two: list[str]
) -> None:
    mine, thief, path = Proving(trust), Proving(trust), f"{FHIR}/Patient/{two[0]}"
    answer = mine.by_code(code_of(trust, doctor, two[0], dpop_jkt=jkt_of(mine.key)))
    assert (answer.status_code, answer.json()["token_type"]) == (200, "DPoP"), answer.text
    token, refresh = answer.json()["access_token"], answer.json()["refresh_token"]
    first = mine.ask(path, token)
    assert first.status_code == 401
    assert 'error="use_dpop_nonce"' in first.headers["www-authenticate"]
    assert "dpop-nonce" in first.headers["access-control-expose-headers"].lower()
    assert mine.ask(path, token).json()["id"] == two[0]
    thief.nonce = mine.nonce
    assert thief.ask(path, token).status_code == 401
    with trust.client(auth=None) as nobody:
        assert nobody.get(path, headers={"authorization": f"Bearer {token}"}).status_code == 401
        asked = {"origin": "https://app.example", "access-control-request-method": "GET"}
        assert "dpop" in nobody.options(path, headers=asked).headers["access-control-allow-headers"].split(", ")
        plain = {"grant_type": "refresh_token", "refresh_token": refresh, "client_id": APP}
    # A public app's refresh token is bound to the key, too; each is taken once, so each trial has its own.
    assert thief.fetch(**plain).json()["error"] == "invalid_dpop_proof"
    refresh = mine.by_code(code_of(trust, doctor, two[0])).json()["refresh_token"]
    with trust.client(auth=None) as nobody:
        assert nobody.post("/oauth2/token", data={**plain, "refresh_token": refresh}).json()["error"] == "invalid_dpop_proof"
    again = mine.fetch(**{**plain, "refresh_token": mine.by_code(code_of(trust, doctor, two[0])).json()["refresh_token"]}).json()
    assert mine.ask(path, again["access_token"]).status_code in (200, 401)
    assert mine.ask(path, again["access_token"]).status_code == 200
    # Said in advance whose key it is (RFC 9449 10), the code is of no use to another, nor without a proof.
    assert thief.by_code(code_of(trust, doctor, two[0], dpop_jkt=jkt_of(mine.key))).json()["error"] == "invalid_dpop_proof"
    assert exchanged(trust, code_of(trust, doctor, two[0], dpop_jkt=jkt_of(mine.key))).json()["error"] == "invalid_dpop_proof"
    with trust.client() as nobody:
        wrong = nobody.get("/oauth2/authorize", params=asking(trust, dpop_jkt="short"))
        assert parse_qs(urlsplit(wrong.headers["location"]).query)["error"] == ["invalid_request"]
    # An app that only learns who: its opaque token is bound as well.
    who = mine.by_code(code_of(trust, doctor, "", scope="openid profile")).json()["access_token"]
    mine.nonce = thief.nonce = ""
    assert mine.ask("/oauth2/userinfo", who).json()["name"]
    assert thief.ask("/oauth2/userinfo", who).status_code == 401
    with trust.client(auth=None) as nobody:
        assert nobody.get("/oauth2/userinfo", headers={"authorization": f"Bearer {who}"}).status_code == 401


def test_an_app_may_be_registered_so_that_it_gets_bound_tokens_only(
    trust: RunningTrust, app: str, doctor: SignedIn, two: list[str], administrator: Administrator
) -> None:
    administrator.change(f"update estate.client set bound = true where id = '{APP}'")
    try:
        assert exchanged(trust, code_of(trust, doctor, two[0])).json()["error"] == "invalid_dpop_proof"
        assert Proving(trust).by_code(code_of(trust, doctor, two[0])).json()["token_type"] == "DPoP"
    finally:
        administrator.change(f"update estate.client set bound = false where id = '{APP}'")


def test_only_pages_of_registered_apps_may_ask(trust: RunningTrust, app: str, doctor: SignedIn, two: list[str]) -> None:
    client, _ = let_in(trust, doctor, two[0])
    asked = {"access-control-request-method": "GET", "access-control-request-headers": "authorization"}
    with trust.client() as nobody:
        for origin, known in (("https://app.example", True), ("https://evil.example", False), ("null", False)):
            before = nobody.options(f"{FHIR}/Patient/{two[0]}", headers={"origin": origin, **asked})
            assert before.status_code == 204
            assert (before.headers.get("access-control-allow-origin") == origin) == known
            assert "access-control-allow-credentials" not in before.headers
            answer = client.get(f"Patient/{two[0]}", headers={"origin": origin})
            assert (answer.headers.get("access-control-allow-origin") == origin) == known
            found = nobody.get(f"{FHIR}/.well-known/smart-configuration", headers={"origin": origin})
            assert (found.headers.get("access-control-allow-origin") == origin) == known
        assert "access-control-allow-origin" not in doctor.client.get("/", headers={"origin": "https://app.example"}).headers
    client.close()


def test_an_app_waits_while_the_session_is_locked_and_goes_on_after_its_person_came_back(
    trust: RunningTrust, app: str, doctor: SignedIn, two: list[str]
) -> None:
    client, token = let_in(trust, doctor, two[0])
    doctor.client.post("/session/lock")
    assert client.get(f"Patient/{two[0]}").status_code == 401
    back = trust.sign_in(trust.person(sign_in=CARDIOLOGIST))
    assert client.get(f"Patient/{two[0]}").status_code == 401  # a token of before
    form = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"], "client_id": APP}
    with trust.client() as nobody:
        again = nobody.post("/oauth2/token", data=form)
        assert again.status_code == 200, again.text
        assert nobody.post("/oauth2/token", data=form).json()["error"] == "invalid_grant"  # each is used once
    client.headers["authorization"] = f"Bearer {again.json()['access_token']}"
    assert client.get(f"Patient/{two[0]}").status_code == 200
    assert client.get(f"Patient/{two[1]}").status_code == 404
    back.client.post("/session/end")
    client.close()
