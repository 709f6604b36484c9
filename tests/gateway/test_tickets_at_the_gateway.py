"""Who gets through Envoy, and to whom: with a real Envoy, a small door and two small sessions."""

from __future__ import annotations

import base64
import json

import pytest
from gateway_rig import YANIS, Rig

from cloister.farm import Tickets


def _none_ticket(ticket: str) -> str:
    """RFC 8725 3.1: a token that says of itself that it needs no signature."""
    _, body, _ = ticket.split(".")
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).decode().rstrip("=")
    return f"{header}.{body}."


def test_a_nurse_with_a_ticket_reaches_her_own_session(gateway: Rig) -> None:
    answer = gateway.get("/patients", gateway.ticket(0)).json()
    assert answer["served_by"] == "slot 0"
    assert answer["headers"]["x-cloister-sid"] == "session-of-adele"
    claims = Tickets.claims_of(answer["headers"]["x-cloister-ticket"])
    assert (claims.sid, claims.epoch, claims.person) == ("session-of-adele", 3, "adele")
    assert claims.exp > 1_700_000_000


def test_a_program_sends_its_ticket_as_bearer_token(gateway: Rig) -> None:
    with gateway.client() as client:
        answer = client.get("/fhir/R4/Patient", headers={"authorization": f"Bearer {gateway.ticket(1, session=YANIS)}"})
    assert answer.json()["served_by"] == "slot 1"


def test_two_tickets_in_one_request_never_mix_two_sessions(gateway: Rig) -> None:
    both = {"authorization": f"Bearer {gateway.ticket(1, session=YANIS)}"}
    answer = gateway.get("/fhir/R4/Patient", gateway.ticket(0), **both).json()
    assert (answer["served_by"], answer["headers"]["x-cloister-sid"]) == ("slot 1", YANIS)
    assert Tickets.claims_of(answer["headers"]["x-cloister-ticket"]).sid == YANIS
    forged = {"authorization": f"Bearer {gateway.ticket(1, session=YANIS, by=gateway.stranger)}"}
    assert gateway.get("/fhir/R4/Patient", gateway.ticket(0), **forged).status_code == 401


def test_without_a_ticket_a_browser_is_shown_the_sign_in(gateway: Rig) -> None:
    answer = gateway.get("/patients/7", accept="text/html")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=/patients/7"


def test_without_a_ticket_a_fhir_client_gets_an_operation_outcome(gateway: Rig) -> None:
    answer = gateway.get("/fhir/R4/Patient")
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("application/fhir+json")
    assert answer.json()["issue"][0]["code"] == "login"
    assert answer.headers["www-authenticate"] == 'Bearer realm="cloister"'


def test_without_a_ticket_a_page_in_use_is_led_to_the_sign_in(gateway: Rig) -> None:
    answer = gateway.get("/here", hx_request="true")
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/login")


@pytest.mark.parametrize("kind", ["forged", "expired", "unsigned", "cut short"])
def test_a_bad_ticket_is_no_ticket(gateway: Rig, kind: str) -> None:
    ticket = {
        "forged": gateway.ticket(0, by=gateway.stranger),
        "expired": gateway.ticket(0, seconds=-60),
        "unsigned": _none_ticket(gateway.ticket(0)),
        "cut short": gateway.ticket(0)[:-8],
    }[kind]
    assert gateway.get("/fhir/R4/Patient", ticket).status_code == 401


def test_a_ticket_for_an_empty_slot_leads_to_nobody_else(gateway: Rig) -> None:
    """Slot 2 is declared and nobody listens there: never another person's session, but a way back to the sign-in."""
    answer = gateway.get("/patients", gateway.ticket(2))
    assert answer.status_code == 401
    assert "ended" in answer.json()["text"]
    page = gateway.get("/patients", gateway.ticket(2), accept="text/html")
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=/patients")


def test_a_ticket_for_a_slot_that_was_never_declared_leads_to_nobody(gateway: Rig) -> None:
    assert gateway.get("/patients", gateway.ticket(3333)).status_code == 401


@pytest.mark.parametrize("destination", ["admin.sock", "door.sock", "slots/../door.sock", "slots/0.sock,slots/1.sock", "slots/x.sock"])
def test_a_signed_destination_that_is_no_slot_is_refused(gateway: Rig, destination: str) -> None:
    folder = gateway.plan.slots_folder.parent
    assert gateway.get("/patients", gateway.ticket(0, destination=f"{folder}/{destination}")).status_code == 403


def test_what_only_the_gateway_may_say_is_stripped_from_a_request(gateway: Rig) -> None:
    answer = gateway.get(
        "/patients",
        gateway.ticket(0),
        x_cloister_sid="session-of-yanis",
        x_cloister_slot="1",
        x_cloister_dst=gateway.plan.slot(1),
        x_cloister_host="10.1.2.3:8444",
        X_Cloister_Ticket="forged",
        x_envoy_original_dst_host=gateway.plan.slot(1),
        x_forwarded_for="10.1.2.3",
        forwarded="for=10.1.2.3",
        x_real_ip="10.1.2.3",
        client_cert="forged",
    ).json()
    assert answer["served_by"] == "slot 0"
    assert answer["headers"]["x-cloister-sid"] == "session-of-adele"
    assert answer["headers"]["x-cloister-dst"] == gateway.plan.slot(0)
    assert Tickets.claims_of(answer["headers"]["x-cloister-ticket"]).sid == "session-of-adele"
    assert "10.1.2.3" not in answer["headers"]["x-forwarded-for"]
    gone = {"x-cloister-slot", "x-cloister-host", "x-envoy-original-dst-host", "forwarded", "x-real-ip", "client-cert"}
    assert not gone & set(answer["headers"])


def test_the_door_is_not_told_of_a_session_by_a_client(gateway: Rig) -> None:
    answer = gateway.get("/login/start", x_cloister_sid="session-of-adele").json()
    assert answer["served_by"] == "door"
    assert "x-cloister-sid" not in answer["headers"]


def test_a_destination_that_only_a_client_names_leads_nowhere(gateway: Rig) -> None:
    """Without a ticket, and with a good one that names another slot or none that there is."""
    named = {"x_cloister_dst": gateway.plan.slot(1), "x_cloister_sid": YANIS, "x_cloister_ticket": "forged"}
    assert gateway.get("/patients", **named).status_code == 401
    for other in (gateway.plan.slot(3), "/etc/passwd", "127.0.0.1:1", f"{gateway.plan.slot(0)},{gateway.plan.slot(1)}"):
        assert gateway.get("/patients", gateway.ticket(0, destination=other), **named).status_code in (401, 403, 503), other


@pytest.mark.parametrize("path", ["/login%2f..%2fpatients", "/static/%2e%2e%2fpatients", "/login\\..\\patients"])
def test_paths_that_hide_slashes_reach_nobody(gateway: Rig, path: str) -> None:
    assert gateway.get(path).status_code in (400, 401)


def test_a_path_that_climbs_out_of_the_door_needs_a_ticket(gateway: Rig) -> None:
    with gateway.client() as client:
        request = client.build_request("GET", "/")
        request.url = request.url.copy_with(raw_path=b"/login/../patients")
        assert client.send(request).status_code == 401


def test_the_public_paths_need_no_ticket(gateway: Rig) -> None:
    for path in ("/login", "/login/start", "/static/app.js", "/oauth2/token", "/fhir/R4/metadata", "/.well-known/smart-configuration"):
        assert gateway.get(path).json()["served_by"] == "door", path
    for path in ("/loginx", "/fhir/R4/metadatas", "/staticx", "/fhir/R4"):
        assert gateway.get(path).status_code == 401, path


def test_every_answer_carries_the_security_headers(gateway: Rig) -> None:
    for answer in (gateway.get("/login"), gateway.get("/patients"), gateway.get("/patients", gateway.ticket(0))):
        assert answer.headers["strict-transport-security"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["server"] == "cloister"
        assert not [name for name in answer.headers if name.startswith("x-envoy")]
