"""Tickets on the whole way from browser to session: which are taken, which not, and what both browsers of one person see."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx
import pytest
from journeys_cast import CARDIOLOGIST, FHIR, PSYCHIATRIC_NURSE, PSYCHIATRIST, Company, end_program, refusal, told, until
from running_trust import RunningTrust, SignedIn

from cloister.zones import algorithms

HTML: Final = {"accept": "text/html"}
STATE: Final = "/session/state"


def part(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims_of(ticket: str) -> dict[str, Any]:
    body = ticket.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))


class Forger:
    """Makes tickets: with the trust's own key, as a tricked door would, or with another."""

    def __init__(self, trust: RunningTrust) -> None:
        self.seed = (trust.state / "secrets" / "ticket.key").read_bytes()
        with trust.client() as somebody:
            self.kid = somebody.get("/login/keys").json()["keys"][0]["kid"]

    def ticket(self, claims: dict[str, Any], *, seed: bytes = b"", **header: Any) -> str:
        head = {"alg": "EdDSA", "kid": self.kid, "typ": "JWT"} | header
        signed = f"{part(json.dumps(head).encode())}.{part(json.dumps(claims).encode())}"
        return f"{signed}.{part(algorithms.sign(seed or self.seed, signed.encode()))}"


@pytest.fixture(scope="module")
def forger(trust: RunningTrust) -> Forger:
    return Forger(trust)


@pytest.fixture(scope="module")
def claire(company: Company) -> SignedIn:
    return company.signed_in(CARDIOLOGIST)


@pytest.fixture(scope="module")
def elise(company: Company) -> SignedIn:
    return company.signed_in(PSYCHIATRIC_NURSE)


@pytest.fixture
def stranger(trust: RunningTrust) -> Iterator[httpx.Client]:
    with trust.client() as client:
        yield client


def with_ticket(client: httpx.Client, ticket: str, path: str = f"{FHIR}/Patient", **headers: str) -> httpx.Response:
    return client.get(path, headers={"cookie": f"__Host-ticket={ticket}", **headers})


def test_the_forger_can_make_a_good_ticket(stranger: httpx.Client, forger: Forger, claire: SignedIn) -> None:
    """Else the refusals below would show nothing."""
    stranger.auth = claire.client.auth  # as if the browser's key could be stolen, too
    now = int(time.time())
    made = forger.ticket(claims_of(claire.ticket) | {"iat": now, "exp": now + 500})
    assert with_ticket(stranger, made, STATE).json()["session"] == claire.session


def hs256(forger: Forger, claims: dict[str, Any]) -> str:
    """RFC 8725 2.1: the public key taken for a shared one."""
    signed = f"{part(json.dumps({'alg': 'HS256', 'kid': forger.kid}).encode())}.{part(json.dumps(claims).encode())}"
    return f"{signed}.{part(hmac.digest(algorithms.sign_public(forger.seed), signed.encode(), 'sha256'))}"


def unsigned(forger: Forger, claims: dict[str, Any]) -> str:
    return f"{part(json.dumps({'alg': 'none', 'kid': forger.kid}).encode())}.{part(json.dumps(claims).encode())}."


def changed(forger: Forger, claims: dict[str, Any]) -> str:
    head, _, signature = forger.ticket(claims).split(".")
    return f"{head}.{part(json.dumps(claims | {'epoch': 99}).encode())}.{signature}"


FORGERIES: Final = {
    "signed by another key": lambda f, c: f.ticket(c, seed=bytes(32)),
    "signed by another key that it brings along": lambda f, c: f.ticket(
        c, seed=bytes(32), jwk={"kty": "OKP", "crv": "Ed25519", "x": part(algorithms.sign_public(bytes(32)))}
    ),
    "of a key nobody has": lambda f, c: f.ticket(c, seed=bytes(32), kid="other"),
    "unsigned": unsigned,
    "signed with the public key as a shared secret": hs256,
    "changed after signing": changed,
    "for another audience": lambda f, c: f.ticket(c | {"aud": "another"}),
    "of another issuer": lambda f, c: f.ticket(c | {"iss": "another"}),
    "expired": lambda f, c: f.ticket(c | {"iat": c["iat"] - 900, "exp": c["iat"] - 300}),
    "without an end": lambda f, c: f.ticket({name: value for name, value in c.items() if name != "exp"}),
    "with too long a life": lambda f, c: f.ticket(c | {"exp": c["iat"] + 86_400}),
    "not valid yet": lambda f, c: f.ticket(c | {"nbf": c["iat"] + 300}),
    "issued tomorrow": lambda f, c: f.ticket(c | {"iat": c["iat"] + 86_400, "exp": c["iat"] + 86_900}),
    "cut short": lambda f, c: f.ticket(c)[:-9],
    "empty": lambda f, c: "",
    "not a ticket": lambda f, c: "a.b.c",
}  # fmt: skip


@pytest.mark.parametrize("kind", FORGERIES)
def test_a_ticket_that_is_not_good_is_no_ticket(kind: str, stranger: httpx.Client, forger: Forger, claire: SignedIn) -> None:
    now = int(time.time())
    ticket = FORGERIES[kind](forger, claims_of(claire.ticket) | {"iat": now, "exp": now + 500})
    answer = with_ticket(stranger, ticket)
    status = 403 if kind == "for another audience" else 401  # RFC 9110: good, and not for here
    assert (answer.status_code, answer.json()["resourceType"]) == (status, "OperationOutcome"), answer.text
    assert stranger.get(f"{FHIR}/Patient", headers={"authorization": f"Bearer {ticket or '-'}"}).status_code == status
    page = with_ticket(stranger, ticket, "/", **HTML)
    assert page.status_code == 403 or (page.status_code, page.headers["location"].partition("?")[0]) == (303, "/login")


def test_nobody_without_a_ticket_reaches_anything_but_the_door(stranger: httpx.Client) -> None:
    for path in (
        f"{FHIR}/Patient",
        f"{FHIR}/Patient/1",
        STATE,
        "/session/key",
        "/patients",
        "/account",
        "/console/ciphertext",
        "/x",
        "/slots/0",
    ):
        assert stranger.get(path).status_code == 401, path
    for path in ("/session/unlock", "/session/end", f"{FHIR}/Patient", f"{FHIR}"):
        assert stranger.post(path, json={}).status_code == 401, path
    assert stranger.get("/login").status_code == 200
    assert stranger.get(f"{FHIR}/metadata").status_code == 200


def test_a_ticket_for_one_session_opens_no_other_even_if_the_door_was_tricked(
    stranger: httpx.Client, forger: Forger, claire: SignedIn, elise: SignedIn
) -> None:
    mine, hers = claims_of(elise.ticket), claims_of(claire.ticket)
    for mixed in (mine | {"dst": hers["dst"], "slot": hers["slot"]}, mine | {"sid": hers["sid"]}):
        answer = with_ticket(stranger, forger.ticket(mixed))
        assert answer.status_code == 421, answer.text
        assert "family" not in answer.text
        assert with_ticket(stranger, forger.ticket(mixed), STATE).status_code == 421
    for destination in (
        "/etc/passwd",
        "/run/docker.sock",
        hers["dst"] + "/../../gate.sock",
        str(hers["dst"]).replace("slots/", "control/"),
        "10.0.0.1:80",
        "",
    ):
        assert with_ticket(stranger, forger.ticket(mine | {"dst": destination})).status_code in (401, 403, 503)
    assert with_ticket(stranger, forger.ticket(mine | {"epoch": 99})).status_code == 401
    assert with_ticket(stranger, forger.ticket(mine | {"epoch": 0})).status_code == 401


def test_no_header_of_a_client_leads_to_another_session(stranger: httpx.Client, claire: SignedIn, elise: SignedIn) -> None:
    hers = claims_of(claire.ticket)
    stranger.auth = elise.client.auth
    lies = {
        "x-cloister-sid": claire.session,
        "X-Cloister-Epoch": "7",
        "x-cloister-exp": "1",
        "x-cloister-dst": hers["dst"],
        "x-cloister-anything": hers["dst"],
        "x-envoy-original-dst-host": hers["dst"],
        "x-envoy-original-path": "/login",
        "x-envoy-upstream-alt-stat-name": "x",
        "x-envoy-internal": "true",
        "x-forwarded-for": "10.1.2.3",
        "x-forwarded-proto": "http",
        "x-original-url": "/session/end",
        "x-rewrite-url": "/session/end",
        "forwarded": "for=10.1.2.3",
        "x-http-method-override": "DELETE",
        "host": "evil.example",
    }
    for name, value in lies.items():
        assert with_ticket(stranger, elise.ticket, STATE, **{name: value}).json()["session"] == elise.session, name
        assert stranger.get(f"{FHIR}/Patient", headers={name: value}).status_code == 401, name
    for name in ("x_cloister_sid", "x_envoy_internal"):
        assert with_ticket(stranger, elise.ticket, STATE, **{name: claire.session}).status_code == 400, name
    everything = with_ticket(stranger, elise.ticket, f"{FHIR}/Patient?_summary=count", **lies)
    assert everything.json()["total"] == elise.client.get(f"{FHIR}/Patient?_summary=count").json()["total"]


def test_links_in_answers_name_the_trusts_address_whatever_host_a_client_sends(
    trust: RunningTrust, stranger: httpx.Client, elise: SignedIn
) -> None:
    stranger.auth = elise.client.auth
    answer = with_ticket(stranger, elise.ticket, f"{FHIR}/Patient?_count=1", host="evil.example")
    assert "evil.example" not in answer.text
    assert answer.json()["link"][0]["url"].startswith(f"{trust.base}{FHIR}/Patient")


def test_two_tickets_in_one_request_never_mix(stranger: httpx.Client, claire: SignedIn, elise: SignedIn) -> None:
    stranger.auth = claire.client.auth
    answer = stranger.get(STATE, headers={"cookie": f"__Host-ticket={elise.ticket}", "authorization": f"Bearer {claire.ticket}"})
    assert answer.json()["session"] == claire.session
    answer = stranger.get(STATE, headers={"cookie": f"__Host-ticket={elise.ticket}; __Host-ticket={claire.ticket}"})
    assert answer.status_code == 401 or answer.json()["session"] in (elise.session, claire.session)


def test_another_site_cannot_make_a_browser_write(claire: SignedIn) -> None:
    for site in ("cross-site", "same-site"):
        answer = claire.client.post("/session/lock", headers={"sec-fetch-site": site})
        assert answer.status_code == 403
        assert claire.client.post(f"{FHIR}/Patient", json={}, headers={"sec-fetch-site": site}).status_code == 403
    assert claire.client.get(STATE).json()["state"] == "active"
    cookie = claire.client.post("/session/key").headers.get("set-cookie", "")
    assert cookie == ""


def test_the_ticket_cookie_is_kept_from_scripts_and_other_sites(trust: RunningTrust, company: Company) -> None:
    person = trust.person(sign_in=PSYCHIATRIST)
    with trust.client() as client:
        answer, _ = trust.prove(client, person["sign_in"], person["passphrase"])
        rules = {rule.strip() for rule in answer.headers["set-cookie"].split(";")[1:]}
        assert rules == {"Path=/", "Max-Age=600", "Secure", "HttpOnly", "SameSite=Strict"}
        client.headers["cookie"] = answer.headers["set-cookie"].split(";")[0]
        assert client.post("/session/end").status_code == 200


def test_a_ticket_near_its_end_is_renewed_for_its_own_session_only(
    stranger: httpx.Client, forger: Forger, claire: SignedIn, elise: SignedIn
) -> None:
    now = int(time.time())
    stranger.auth = elise.client.auth
    old = forger.ticket(claims_of(elise.ticket) | {"iat": now - 400, "exp": now + 120})
    answer = with_ticket(stranger, old, f"{FHIR}/Patient?_summary=count")
    renewed = claims_of(answer.headers["set-cookie"].split(";")[0].partition("=")[2])
    assert (renewed["sid"], renewed["person"]) == (elise.session, claims_of(elise.ticket)["person"])
    assert 0 < renewed["exp"] - now <= 600
    assert "set-cookie" not in with_ticket(stranger, elise.ticket, f"{FHIR}/Patient?_summary=count").headers


def test_a_signed_out_persons_ticket_leads_nowhere(trust: RunningTrust, stranger: httpx.Client) -> None:
    marc = trust.sign_in(trust.person(sign_in=PSYCHIATRIST))
    assert marc.client.get(f"{FHIR}/Patient").status_code == 200
    assert marc.client.post("/session/end").status_code == 200

    def ended() -> bool:  # until the session's process is gone, it says itself that the stranger's key is another
        answer = with_ticket(stranger, marc.ticket)
        return answer.status_code == 401 and ("ended" in told(answer) or "ended" in answer.text)

    until(ended)
    assert with_ticket(stranger, marc.ticket, "/", **HTML).status_code == 303


def test_whoever_signs_out_is_let_in_again_at_once(trust: RunningTrust) -> None:
    """The old session may still be on its way out; the new one does not wait for it and never joins it."""
    one, seen = trust.sign_ins["programs"][1], set()
    with trust.client() as client:
        for _ in range(12):
            form = {"grant_type": "client_credentials", "session_label": "restless"}
            answer = client.post("/oauth2/token", data=form, auth=(one["client_id"], one["client_secret"]))
            assert answer.status_code == 200, answer.text
            bearer = {"authorization": f"Bearer {answer.json()['access_token']}"}
            seen.add(client.get(STATE, headers=bearer).json()["session"])
            assert client.post("/session/end", headers=bearer).status_code == 200
    assert len(seen) == 12


def test_a_programs_workers_fetch_tokens_at_once_and_all_of_them_work(trust: RunningTrust) -> None:
    one = trust.sign_ins["programs"][1]

    def work(_: int) -> tuple[int, int, str]:
        with trust.client() as client:
            form = {"grant_type": "client_credentials", "session_label": "workers"}
            answer = client.post("/oauth2/token", data=form, auth=(one["client_id"], one["client_secret"]))
            bearer = {"authorization": f"Bearer {answer.json().get('access_token', '-')}"}
            return (
                answer.status_code,
                client.get(f"{FHIR}/Patient?_count=1", headers=bearer).status_code,
                client.get(STATE, headers=bearer).text[:60],
            )

    with ThreadPoolExecutor(8) as pool:
        seen = set(pool.map(work, range(24)))
    assert {one[:2] for one in seen} == {(200, 200)}
    assert len(seen) == 1, "one session serves them all"


def test_people_who_sign_in_at_once_each_get_their_own_session(trust: RunningTrust) -> None:
    names = ("helene.caron", "mathieu.roussel", "ines.lambert", "lucas.perrin", "julie.fontaine")
    with ThreadPoolExecutor(5) as pool:
        sessions = list(pool.map(lambda name: trust.sign_in(trust.person(sign_in=name)), names))
    assert len({one.session for one in sessions}) == 5
    for one in sessions:
        assert one.client.get(f"{FHIR}/Patient?_count=1").status_code == 200
        one.client.post("/session/end")


def test_a_slot_that_was_given_to_somebody_else_refuses_the_former_ticket(besieged: RunningTrust, garrison: Company) -> None:
    nadia = besieged.sign_in(besieged.person(sign_in="thomas.olivier"))
    slot = claims_of(nadia.ticket)["slot"]
    nadia.client.post("/session/end")
    time.sleep(0.2)
    for _ in range(2 * int(besieged.environment["CLOISTER_SLOTS"])):
        program = garrison.fresh_program()
        claims = claims_of(program.headers["authorization"].partition(" ")[2])
        if claims["slot"] == slot:
            break
        end_program(program)
    assert claims["slot"] == slot
    with besieged.client() as former:
        for path in (f"{FHIR}/Patient", STATE, "/session/key"):
            answer = with_ticket(former, nadia.ticket, path)
            assert answer.status_code == 421, answer.text
        assert former.post("/session/end", headers={"cookie": f"__Host-ticket={nadia.ticket}"}).status_code == 421
        assert program.get(STATE).json()["session"] == claims["sid"]
    end_program(program)


def unlock(client: httpx.Client, place: dict[str, Any], key: bytes) -> httpx.Response:
    sealed = algorithms.kem_seal(base64.b64decode(place["public_key"]), key, f"cloister/session-unlock/v1|{place['session']}".encode())
    return client.post("/session/unlock", json={"unlocker": place["unlocker"]["id"], "sealed": base64.b64encode(sealed).decode()})


def test_a_person_who_signs_in_elsewhere_goes_on_there_and_the_first_browser_is_led_to_the_sign_in(trust: RunningTrust) -> None:
    marc = trust.person(sign_in=PSYCHIATRIST)
    first = trust.sign_in(marc)
    page = first.client.get(f"{FHIR}/Patient?_count=1").json()
    with trust.client() as second:
        answer, key = trust.prove(second, marc["sign_in"], marc["passphrase"])
        place = answer.json()
        second.headers["cookie"] = answer.headers["set-cookie"].split(";")[0]
        assert place["session"] == first.session
        # Between the proof and the unlocking: the keys are gone, for both.
        locked = second.get(f"{FHIR}/Patient")
        assert (locked.status_code, locked.json()["issue"][0]["code"]) == (401, "login")
        assert second.get(STATE).json()["state"] == "locked"
        old = first.client.get(f"{FHIR}/Patient")
        assert old.status_code == 401
        assert "elsewhere" in old.text
        stolen = unlock(first.client, place, key)
        assert stolen.status_code == 401, "the first browser's ticket does not even unlock"
        assert unlock(second, place, key).status_code == 200
        assert second.get(f"{FHIR}/Patient?_count=1").json()["total"] == page["total"]
        again = unlock(second, place, key)
        assert again.status_code == 409, "a recorded unlock message opens nothing a second time"
        # The first browser: page, fragment, FHIR and its way back.
        shown = first.client.get("/", headers=HTML)
        assert (shown.status_code, shown.headers["location"]) == (303, "/login")
        fragment = first.client.get("/", headers={"hx-request": "true"})
        assert (fragment.status_code, fragment.headers["hx-redirect"]) == (401, "/login")
        assert first.client.post("/session/end").status_code == 401
        back = trust.sign_in(marc)
        assert back.session == first.session
        assert second.get(f"{FHIR}/Patient").status_code == 401
        back.client.post("/session/end")


def test_a_locked_session_gives_nothing_and_opens_again_with_the_passphrase_only(trust: RunningTrust) -> None:
    marc = trust.person(sign_in=PSYCHIATRIST)
    at = trust.sign_in(marc)
    assert at.client.post("/session/lock").status_code == 200
    for path in (f"{FHIR}/Patient", "/patients?q=a", "/account"):
        assert at.client.get(path).status_code == 401, path
    key = at.client.get("/session/key").json()
    wrong = unlock(at.client, key | {"unlocker": {"id": claims_of(at.ticket)["sid"]}}, bytes(32))
    assert wrong.status_code in (403, 404)
    back = trust.sign_in(marc)
    assert back.session == at.session
    assert back.client.get(f"{FHIR}/Patient").status_code == 200
    back.client.post("/session/end")


def test_a_session_that_is_guessed_at_ends(trust: RunningTrust) -> None:
    marc = trust.person(sign_in=PSYCHIATRIST)
    with trust.client() as client:
        answer, _ = trust.prove(client, marc["sign_in"], marc["passphrase"])
        client.headers["cookie"] = answer.headers["set-cookie"].split(";")[0]
        statuses = []
        for _ in range(6):
            statuses.append(unlock(client, answer.json(), bytes(32)).status_code)
            time.sleep(0.05)
        assert statuses[:5] == [403] * 5 or statuses[:5] == [500] * 5, statuses
        until(lambda: client.get(STATE).status_code == 401)


def test_refusal_is_an_operation_outcome_for_fhir_and_words_for_people(stranger: httpx.Client) -> None:
    answer = stranger.get(f"{FHIR}/Patient", headers={"cookie": "__Host-ticket=x"})
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert refusal(answer) == ""
    assert "Sign in" in answer.text
