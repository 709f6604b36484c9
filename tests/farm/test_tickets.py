"""Tickets: what is accepted, and each way to be refused."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloister.base.errors import CloisterError, Corrupt, Denied
from cloister.base.secret import Secret
from cloister.farm import Tickets, verified_ticket
from cloister.zones import algorithms

NOW = datetime(2026, 11, 22, 13, 0, tzinfo=UTC)


def issuer(seed: bytes = bytes(32), *earlier: bytes) -> Tickets:
    return Tickets(Secret(seed), clock=lambda: NOW, earlier_keys=earlier)


def ticket(tickets: Tickets, **changed: Any) -> str:
    return tickets.issue(**{"session": "s-1", "destination": "/run/c/slots/7.sock", "slot": 7, "person": "adele", "epoch": 3, **changed})


def remade(text: str, seed: bytes, part: int, **changed: Any) -> str:
    """The ticket with some members changed, signed anew by this key."""
    parts = text.split(".")
    members = json.loads(base64.urlsafe_b64decode(parts[part] + "=="))
    parts[part] = base64.urlsafe_b64encode(json.dumps({**members, **changed}).encode()).decode().rstrip("=")
    signature = algorithms.sign(seed, f"{parts[0]}.{parts[1]}".encode())
    return f"{parts[0]}.{parts[1]}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def test_a_ticket_says_whose_session_it_opens_and_where() -> None:
    tickets = issuer()
    claims = verified_ticket(ticket(tickets), tickets.jwks(), now=NOW)
    assert (claims.sid, claims.dst, claims.slot, claims.person, claims.epoch) == ("s-1", "/run/c/slots/7.sock", 7, "adele", 3)
    assert (claims.iss, claims.aud) == ("cloister", "cloister-session")


def test_no_ticket_lives_longer_than_ten_minutes() -> None:
    tickets = issuer()
    text = ticket(tickets, seconds=86_400)
    claims = verified_ticket(text, tickets.jwks(), now=NOW)
    assert claims.exp - claims.iat == 600
    verified_ticket(text, tickets.jwks(), now=NOW + timedelta(seconds=594))
    for moment in (NOW + timedelta(seconds=595), NOW - timedelta(seconds=60)):
        with pytest.raises(Denied) as refused:
            verified_ticket(text, tickets.jwks(), now=moment)
        assert refused.value.reason == "ticket-expired"


def test_the_key_is_published_as_rfc_8037_says() -> None:
    (key,) = issuer().jwks()["keys"]
    assert {name: key[name] for name in ("kty", "crv", "alg", "use")} == {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig"}
    # RFC 8037 appendix A.3: the thumbprint of the key in A.2
    seed = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    assert issuer(seed).jwks()["keys"][0]["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_after_a_rotation_earlier_tickets_still_open() -> None:
    old = issuer(bytes(32))
    new = issuer(b"1" * 32, algorithms.sign_public(bytes(32)))
    verified_ticket(ticket(old), new.jwks(), now=NOW)
    verified_ticket(ticket(new), new.jwks(), now=NOW)
    with pytest.raises(Corrupt):
        verified_ticket(ticket(new), old.jwks(), now=NOW)


def test_forged_tickets_are_refused_by_name() -> None:
    tickets, good = issuer(), ticket(issuer())
    parts = good.split(".")
    forged = {
        "another key": ticket(issuer(b"2" * 32)),
        "another key under our id": remade(good, b"2" * 32, 1, person="bruno"),
        "no signature": f"{parts[0]}.{parts[1]}.",
        "no algorithm": remade(good, bytes(32), 0, alg="none"),
        "symmetric": remade(good, bytes(32), 0, alg="HS256"),
        "changed body": f"{parts[0]}.{parts[1][:-2]}AA.{parts[2]}",
        "two parts": f"{parts[0]}.{parts[1]}",
        "nothing": "",
        "garbage": "a.b.c",
        "long": good + "A" * 5000,
        "other audience": remade(good, bytes(32), 1, aud="other"),
        "more claims": remade(good, bytes(32), 1, admin=True),
    }
    for name, text in forged.items():
        with pytest.raises(CloisterError) as refused:
            verified_ticket(text, tickets.jwks(), now=NOW)
        assert refused.value.category in ("corrupt", "denied"), name
    with pytest.raises(Denied) as refused:
        verified_ticket(forged["other audience"], tickets.jwks(), now=NOW)
    assert refused.value.reason == "ticket-audience"
