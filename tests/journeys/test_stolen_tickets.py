"""A thief has the cookie, or a recorded request, or another browser's key: none of it opens a session. With a whole trust running."""

from __future__ import annotations

import contextlib
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx
import pytest
from journeys_cast import CARDIOLOGIST, FHIR, PSYCHIATRIC_NURSE, SURGERY_NURSE, Company
from running_trust import RunningTrust, SignedIn

from cloister.cli.key_bound import KeyBound
from cloister.farm.proofs import ProofKey
from cloister.zones import unlockers

STATE: Final = "/session/state"
AT_ONCE: Final = 200


@pytest.fixture(scope="module")
def claire(company: Company) -> SignedIn:
    return company.signed_in(CARDIOLOGIST)


@pytest.fixture
def thief(trust: RunningTrust, claire: SignedIn) -> Iterator[httpx.Client]:
    """Has Claire's cookie, and no key but one of their own."""
    with trust.client(headers={"cookie": f"__Host-ticket={claire.ticket}"}) as client:
        yield client


@pytest.mark.parametrize("path", [STATE, "/", "/patients", f"{FHIR}/Patient", "/session/key", "/session/live"])
def test_a_stolen_cookie_opens_nothing_from_its_first_second(thief: httpx.Client, path: str) -> None:
    own = thief.get(path)
    assert own.status_code == 401, "proven by the thief's own key"
    thief.auth = None
    answer = thief.get(path, headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers.get("location", "").partition("#")[0]) in ((303, "/login/prove"), (401, "")), path
    assert "patient" not in answer.text.lower()


def test_nor_does_it_write_unlock_lock_or_end(thief: httpx.Client, claire: SignedIn) -> None:
    for path in (f"{FHIR}/Patient", "/session/unlock", "/session/lock", "/session/end", "/session/vpn", "/account/passkeys/start"):
        assert thief.post(path, json={}).status_code == 401, path
    assert claire.client.get(STATE).json()["state"] == "active"


def recorded(claire: SignedIn) -> tuple[str, str]:
    """The address of one request and a good proof for it, not used yet."""
    bound = claire.client.auth
    assert isinstance(bound, KeyBound)
    claire.client.get(STATE)  # the nonce is fresh now
    address = f"{claire.client.base_url}".rstrip("/") + STATE
    return address, bound.key.proof("GET", address, nonce=bound.nonce)


def test_a_recorded_proof_is_good_once_for_its_own_request_only(thief: httpx.Client, claire: SignedIn) -> None:
    _, proof = recorded(claire)
    assert thief.get("/session/key", headers={"dpop": proof}).status_code == 401, "another address"
    assert thief.post("/session/lock", headers={"dpop": proof}).status_code == 401, "another method"
    assert thief.get(STATE, headers={"dpop": proof}).status_code == 200, "its own request, which was not sent yet"
    again = thief.get(STATE, headers={"dpop": proof})
    assert (again.status_code, again.json()["reason"]) == (401, "proof-again")
    assert thief.get(STATE, headers=[("dpop", proof), ("dpop", proof)]).status_code == 401


def test_of_many_at_once_with_one_proof_one_is_answered(thief: httpx.Client, claire: SignedIn) -> None:
    _, proof = recorded(claire)
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda _: thief.get(STATE, headers={"dpop": proof}).status_code, range(AT_ONCE)))
    assert (answers.count(200), answers.count(401)) == (1, AT_ONCE - 1)


def test_an_old_nonce_or_none_asks_for_a_new_proof(claire: SignedIn, thief: httpx.Client) -> None:
    bound = claire.client.auth
    assert isinstance(bound, KeyBound)
    address = f"{claire.client.base_url}".rstrip("/") + STATE
    for nonce in ("", "AAAAAAAAAAAAAAAA"):
        answer = thief.get(STATE, headers={"dpop": bound.key.proof("GET", address, nonce=nonce)})
        assert (answer.status_code, answer.json()["reason"]) == (401, "proof-nonce")
        assert 'error="use_dpop_nonce"' in answer.headers["www-authenticate"]
        assert answer.headers["dpop-nonce"]


def test_a_session_is_joined_only_with_a_key(trust: RunningTrust) -> None:
    """Fixation: a ticket is for the key that proved this very sign-in; without one, or with a proof for another, there is none."""
    person = trust.person(sign_in=SURGERY_NURSE)
    for bad in ({}, {"dpop": ""}, {"dpop": "a.b.c"}, {"dpop": ProofKey().proof("POST", f"{trust.base}/login/passphrase", nonce="another")}):
        with trust.client(auth=None) as client:
            started: Any = client.post("/login/start", json={"sign_in": person["sign_in"]}).json()
            _, verifier = unlockers.passphrase_secrets(person["passphrase"], started["passphrase"])
            body = {"flow": started["flow"], "verifier": b64encode(verifier).decode()}
            answer = client.post("/login/passphrase", json=body, headers=bad)
            assert answer.status_code in (400, 403), answer.text
            assert "set-cookie" not in answer.headers


def test_a_cookie_that_was_planted_before_signing_in_is_of_no_use(trust: RunningTrust, claire: SignedIn) -> None:
    person = trust.person(sign_in=PSYCHIATRIC_NURSE)
    with trust.client(headers={"cookie": f"__Host-ticket={claire.ticket}"}) as client:
        answer, _ = trust.prove(client, person["sign_in"], person["passphrase"])
        fresh = answer.headers["set-cookie"].split(";")[0].partition("=")[2]
        assert fresh != claire.ticket
        assert answer.json()["session"] != claire.session
        client.headers["cookie"] = f"__Host-ticket={fresh}"
        assert client.get(STATE).json()["session"] == answer.json()["session"]
        client.post("/session/end")


def test_another_site_cannot_make_a_browser_act_even_with_the_cookie(trust: RunningTrust, claire: SignedIn) -> None:
    with trust.client(auth=None, headers={"cookie": f"__Host-ticket={claire.ticket}", "origin": "https://evil.example"}) as browser:
        for site in ("cross-site", "same-site"):
            for kind in ("application/x-www-form-urlencoded", "text/plain"):
                answer = browser.post("/session/end", content=b"a=b", headers={"content-type": kind, "sec-fetch-site": site})
                assert answer.status_code in (401, 403)
    assert claire.client.get(STATE).status_code == 200


def test_an_ended_session_is_gone_within_a_second_on_open_connections_too(trust: RunningTrust, company: Company) -> None:
    """Envoy's connection stays open: what ends is the process."""
    nadia = trust.sign_in(trust.person(sign_in=SURGERY_NURSE))
    assert nadia.client.get(STATE).status_code == 200
    with nadia.client.stream("GET", "/session/live") as live:
        began = time.monotonic()
        end = trust.client(auth=nadia.client.auth, headers=dict(nadia.client.headers))
        assert end.post("/session/end").status_code == 200
        with contextlib.suppress(httpx.TransportError):
            list(live.iter_raw())
        while end.get(STATE).status_code == 200:  # the process says so itself while it ends
            assert time.monotonic() - began < 5
        took = time.monotonic() - began
        end.close()
    assert took < 1.0, took
