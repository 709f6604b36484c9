"""People and programs sign in to a running trust: through Envoy, the door, the broker, an agent and a session of their own."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import httpx
import pytest
from running_trust import RunningTrust, bound_to

WARD = "saint-roch-cardiology"


def test_a_ward_doctor_signs_in_and_sees_the_work_list(trust: RunningTrust) -> None:
    doctor = trust.sign_in(trust.person(role="doctor", ward=WARD))
    page = doctor.client.get("/", headers={"accept": "text/html"})
    assert page.status_code == 200
    assert "<html" in page.text


def test_signing_in_again_joins_the_same_session_and_ends_older_tickets(trust: RunningTrust) -> None:
    nurse = trust.person(role="nurse", ward=WARD)
    first, second = trust.sign_in(nurse), trust.sign_in(nurse)
    assert first.session == second.session
    assert second.client.get("/", headers={"accept": "text/html"}).status_code == 200
    assert first.client.get("/session/state").status_code == 401


def test_two_people_have_two_sessions(trust: RunningTrust) -> None:
    one = trust.sign_in(trust.person(sign_in="ines.lambert"))
    other = trust.sign_in(trust.person(sign_in="lucas.perrin"))
    assert one.session != other.session
    assert one.client.get("/session/state").json()["person"] != other.client.get("/session/state").json()["person"]


def test_after_signing_out_the_ticket_leads_back_to_the_sign_in(trust: RunningTrust) -> None:
    nurse = trust.sign_in(trust.person(sign_in="thomas.olivier"))
    assert nurse.client.post("/session/end").status_code == 200
    time.sleep(0.6)  # the last answer leaves, then the process ends
    page = nurse.client.get("/patients", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=/patients")


@pytest.mark.alone
def test_wrong_passphrase_and_unknown_name_get_one_answer(trust: RunningTrust) -> None:
    with trust.client() as client:
        wrong, _ = trust.prove(client, "hugo.blanchard", "not-the-passphrase")
        nobody, _ = trust.prove(client, "nobody.at-all", "not-the-passphrase")
    assert wrong.status_code == nobody.status_code == 401
    assert wrong.json() == nobody.json()
    assert "set-cookie" not in wrong.headers
    assert abs(wrong.elapsed.total_seconds() - nobody.elapsed.total_seconds()) < 0.25


def test_an_unknown_name_is_offered_the_same_parameters_every_time(trust: RunningTrust) -> None:
    with trust.client() as client:
        offers = [client.post("/login/start", json={"sign_in": "nobody.at-all"}).json()["passphrase"] for _ in range(2)]
        known = client.post("/login/start", json={"sign_in": "hugo.blanchard"}).json()["passphrase"]
    assert offers[0] == offers[1]
    assert set(offers[0]) == set(known)


def test_a_flow_is_for_one_attempt(trust: RunningTrust) -> None:
    with trust.client() as client:
        flow = client.post("/login/start", json={"sign_in": "hugo.blanchard"}).json()["flow"]
        body = {"flow": flow, "verifier": "A" * 43 + "="}
        assert client.post("/login/passphrase", json=body).status_code == 401
        assert client.post("/login/passphrase", json=body).status_code == 404


def test_guessing_a_colleagues_passphrase_is_slowed_down_and_does_not_lock_others_out(trust: RunningTrust) -> None:
    with trust.client() as client:
        answers = []
        for _ in range(7):
            flow = client.post("/login/start", json={"sign_in": "olivier.picard"}).json()["flow"]
            answers.append(client.post("/login/passphrase", json={"flow": flow, "verifier": "A" * 43 + "="}))
    assert [answer.status_code for answer in answers[:5]] == [401] * 5
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    trust.sign_in(trust.person(sign_in="camille.dasilva")).client.close()


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"{", "application/json"), (b"[]", "application/json"), (b"{}", "application/json"), (b'{"sign_in":7}', "application/json"),
     (b"sign_in=x", "application/x-www-form-urlencoded"), (b'{"sign_in":"' + b"x" * 70_000 + b'"}', "application/json")],
)  # fmt: skip
def test_what_is_no_sign_in_is_refused_by_name(trust: RunningTrust, body: bytes, kind: str) -> None:
    with trust.client() as client:
        answer = client.post("/login/start", content=body, headers={"content-type": kind})
    assert answer.status_code == 400
    assert answer.json()["text"]


def test_a_programs_token_works_at_once(trust: RunningTrust) -> None:
    answer = trust.program().get("Patient", params={"_count": 2})
    assert answer.status_code == 200
    assert answer.json()["resourceType"] == "Bundle"


def test_a_programs_second_token_leaves_the_first_one_valid(trust: RunningTrust) -> None:
    first, second = trust.program(), trust.program()
    assert second.get("Patient", params={"_count": 1}).status_code == 200
    assert first.get("Patient", params={"_count": 1}).status_code == 200


def _token(trust: RunningTrust, **request: object) -> httpx.Response:
    with trust.client() as client:
        return client.post("/oauth2/token", **request)  # type: ignore[arg-type]


def test_token_errors_are_those_of_rfc_6749(trust: RunningTrust) -> None:
    one = trust.sign_ins["programs"][0]
    right = (one["client_id"], one["client_secret"])
    granted = {"grant_type": "client_credentials"}
    posted = {**granted, "client_id": right[0], "client_secret": right[1]}
    assert _token(trust, data=posted).status_code == 200
    wrong = _token(trust, data=granted, auth=(right[0], "A" * 43))
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    assert wrong.headers["www-authenticate"].startswith("Basic")
    unknown = _token(trust, data=granted, auth=("no-such-program", right[1]))
    assert unknown.json() == wrong.json()
    assert _token(trust, data={"grant_type": "password"}, auth=right).json()["error"] == "unsupported_grant_type"
    assert _token(trust, data={}, auth=right).json()["error"] == "invalid_request"
    assert _token(trust, data=posted, auth=right).json()["error"] == "invalid_request"
    assert _token(trust, json=granted, auth=right).json()["error"] == "invalid_request"
    person = trust.person(role="doctor")
    assert _token(trust, data=granted, auth=(person["sign_in"], person["passphrase"])).json()["error"] == "invalid_client"


def test_a_program_cannot_sign_in_as_a_person(trust: RunningTrust) -> None:
    one = trust.sign_ins["programs"][0]
    with trust.client() as client:
        answer, _ = trust.prove(client, one["client_id"], one["client_secret"])
    assert answer.status_code == 401


def test_the_door_says_what_is_offered_before_anybody_signs_in(trust: RunningTrust) -> None:
    with trust.client() as client:
        metadata = client.get("/fhir/R4/metadata")
        smart = client.get("/.well-known/smart-configuration").json()
        page = client.get("/login", headers={"accept-language": "fr-FR,fr;q=0.9"})
    assert metadata.headers["content-type"].startswith("application/fhir+json")
    assert metadata.json()["resourceType"] == "CapabilityStatement"
    assert smart["token_endpoint"] == f"{trust.base}/oauth2/token"
    assert page.status_code == 200
    assert 'lang="fr"' in page.text


def test_static_files_are_compressed_and_kept_by_browsers(trust: RunningTrust) -> None:
    with trust.client() as client:
        path = next(part.split('"')[0] for part in client.get("/login").text.split('src="') if part.startswith("/static/"))
        answer = client.get(path)
        again = client.get(path, headers={"if-none-match": answer.headers["etag"]})
        missing = client.get("/static/../secrets/ticket.key")
    assert "immutable" in answer.headers["cache-control"]
    assert again.status_code == 304
    assert missing.status_code in (401, 404)


def _licences(trust: RunningTrust, *words: str) -> str:
    command = [sys.executable, "-m", "cloister.cli", "licence", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=trust.environment, check=True)
    return done.stdout


def test_when_the_licences_are_used_up_people_see_their_place_and_come_in_when_it_is_their_turn(trust: RunningTrust) -> None:
    first = trust.sign_in(trust.person(sign_in="ines.lambert"))
    waiting = _two_others(trust)
    _licences(trust, "set", "record", "1", "--reserve", "1", "--for", "192.0.2.0/24")
    try:
        _they_wait_and_come_in(trust, waiting)
    finally:  # whoever signs in afterwards must not wait for ever
        _licences(trust, "remove", "record")
    assert first.client.get("/session/state").status_code == 200


def _they_wait_and_come_in(trust: RunningTrust, waiting: list[dict[str, Any]]) -> None:
    clients, said = [trust.client(), trust.client()], []
    for client, person in zip(clients, waiting, strict=True):
        answer, _ = trust.prove(client, person["sign_in"], person["passphrase"])
        assert (answer.status_code, answer.headers.get("retry-after")) == (202, "2"), answer.text
        assert "set-cookie" not in answer.headers
        said.append(answer.json())
    assert [(one["place"], one["of"], one["reason"]) for one in said] == [(1, 1, "licences"), (2, 2, "queue")]
    bound_to(clients[1], said[0]["flow"])
    stolen = clients[1].post("/login/wait", json={"waiting": said[0]["waiting"]})
    assert stolen.status_code == 404
    assert clients[0].post("/login/wait", json={"waiting": "A" * 80}).status_code == 404
    _licences(trust, "set", "record", "500")
    for client, one in zip(clients, said, strict=True):
        bound_to(client, one["flow"])
        came = client.post("/login/wait", json={"waiting": one["waiting"]})
        assert (came.status_code, set(came.json())) == (200, {"session", "public_key", "unlocker", "next"})
        assert "__Host-ticket=" in came.headers["set-cookie"]
    assert "of 500 in use" in _licences(trust, "list")


def _two_others(trust: RunningTrust) -> list[dict[str, Any]]:
    """People who have no session: the last of the demo's, whatever they did before."""
    found = [dict(one) for one in trust.sign_ins["people"] if one["role"] in ("doctor", "nurse")][-2:]
    for person in found:
        trust.end_session_of(person["sign_in"])
    return found
