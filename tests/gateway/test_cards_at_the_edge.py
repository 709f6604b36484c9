"""The cards' own server name on the gateway's port, with a real Envoy: a certificate each time, and its word for the door alone."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from card_authority import Authority
from cryptography.hazmat.primitives import hashes
from gateway_rig import CARDS, Rig

from cloister.gateway.certificate import seen_certificate
from cloister.zones import certificates


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("Health cards", now=datetime.now(UTC))


@pytest.fixture
def claire(authority: Authority, tmp_path: Path) -> tuple[Path, Path]:
    return authority.files(authority.card("Claire Vasseur"), tmp_path)


def context(gateway: Rig, card: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(gateway.ca))
    if card is not None:
        made.load_cert_chain(*card)
    return made


def asked(
    gateway: Rig, tls: ssl.SSLContext, path: str, *headers: str, name: str = CARDS, host: str = "", session: ssl.SSLSession | None = None
) -> tuple[int, dict[str, Any], ssl.SSLSession | None]:
    """(status, body, what could be resumed); raises OSError where the connection is refused."""
    with socket.create_connection(("127.0.0.1", gateway.plan.port), timeout=10) as plain:
        with tls.wrap_socket(plain, server_hostname=name, session=session) as connection:
            lines = [f"GET {path} HTTP/1.1", f"host: {host or name}:{gateway.plan.port}", *headers, "connection: close", "", ""]
            connection.sendall("\r\n".join(lines).encode())
            answer = b""
            while part := connection.recv(65536):
                answer += part
            if not answer:
                raise ConnectionAbortedError("no answer")
            head, _, body = answer.partition(b"\r\n\r\n")
            told = json.loads(body) if body.startswith(b"{") else {}
            return int(head.split(b" ", 2)[1]), told, connection.session


def told_to_show_a_card(answer: tuple[int, dict[str, Any], ssl.SSLSession | None]) -> bool:
    """Whether the door was asked for its page about a card that was not shown, and nobody else was asked."""
    _, seen, _ = answer
    return (seen["served_by"], seen["path"]) == ("door", "/login/certificate") and not {
        "x-forwarded-client-cert", "x-cloister-card", "x-cloister-sid",
    } & seen["headers"].keys()  # fmt: skip


@pytest.mark.parametrize("path", ["/", "/login", "/login/start", "/patients", "/proof.js", "/programs/x/screen", "/oauth2/token?x=/y"])
def test_without_a_certificate_the_door_says_so_whatever_was_asked(gateway: Rig, path: str) -> None:
    forged = ("x-forwarded-client-cert: Hash=aa;Cert=bb", f"x-cloister-card: {'a' * 64}", f"cookie: __Host-ticket={gateway.ticket(0)}")
    assert told_to_show_a_card(asked(gateway, context(gateway), path, *forged))


def test_the_door_gets_the_certificate_and_a_session_its_thumbprint_whatever_the_client_says(
    gateway: Rig, claire: tuple[Path, Path], authority: Authority, tmp_path: Path
) -> None:
    other = authority.card("Somebody else").fingerprint(hashes.SHA256()).hex()
    forged = ("x-forwarded-client-cert: Hash=aa;Cert=bb", f"x-cloister-card: {other}", f"x-cloister-x5t: {other}")
    thumbprint = certificates.fingerprint(claire[0].read_text()).hex()
    status, door, _ = asked(gateway, context(gateway, claire), "/login/certificate", *forged)
    assert (status, door["served_by"]) == (200, "door")
    assert seen_certificate(door["headers"]["x-forwarded-client-cert"])[0] == claire[0].read_text()
    assert door["headers"]["x-cloister-card"] == thumbprint
    cookie = f"cookie: __Host-ticket={gateway.ticket(0)}"
    status, inside, _ = asked(gateway, context(gateway, claire), "/patients", cookie, *forged)
    assert (status, inside["served_by"], inside["headers"]["x-cloister-card"]) == (200, "slot 0", thumbprint)
    assert not {"x-forwarded-client-cert", "x-cloister-x5t"} & inside["headers"].keys()
    for path, ticket in (("/login/x", ""), ("/patients", cookie)):  # and at the web's name nobody says anything of a card
        _, seen, _ = asked(gateway, context(gateway), path, *forged, *([ticket] if ticket else []), name="localhost")
        assert not {"x-forwarded-client-cert", "x-cloister-card", "x-cloister-x5t"} & seen["headers"].keys()


def test_a_connection_is_never_resumed_without_the_card(gateway: Rig, claire: tuple[Path, Path]) -> None:
    tls = context(gateway, claire)
    _, _, session = asked(gateway, tls, "/login")
    assert session is None or not session.has_ticket
    _, _, kept = asked(gateway, context(gateway), "/login", name="localhost")
    assert kept is not None
    assert kept.has_ticket, "at the web's name there is something to resume"
    bare = context(gateway)
    _, _, other = asked(gateway, bare, "/login", name="localhost")
    for resumed in (other, None):
        assert told_to_show_a_card(asked(gateway, bare, "/patients", f"cookie: __Host-ticket={gateway.ticket(0)}", session=resumed))
    _, _, shown = asked(gateway, tls, "/login")
    with contextlib.suppress(ValueError):  # a client's own refusal: a session belongs to its context
        assert told_to_show_a_card(asked(gateway, bare, "/login", session=shown))


def test_a_connection_to_one_name_serves_no_other(gateway: Rig, claire: tuple[Path, Path]) -> None:
    """A browser that sends them over one connection, because the certificate is for both, is told to make another (RFC 9110 15.5.20)."""
    cookie = f"cookie: __Host-ticket={gateway.ticket(0)}"
    for path in ("/login", "/patients", "/login/certificate"):
        assert asked(gateway, context(gateway), path, cookie, name="localhost", host=CARDS)[0] == 421
        assert asked(gateway, context(gateway, claire), path, cookie, host="localhost")[0] == 421
    assert asked(gateway, context(gateway, claire), "/login/../patients", cookie)[0] == 400


def test_programs_and_apps_have_nothing_there(gateway: Rig, claire: tuple[Path, Path]) -> None:
    for path in ("/oauth2/token", "/enrol", "/.well-known/openid-configuration", "/fhir/R4/metadata"):
        assert asked(gateway, context(gateway, claire), path)[0] == 401, path
