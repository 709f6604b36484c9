"""The recovery ceremony: signed statements, and a table of what may follow what. Spec: docs/spec/zones.md 24.

One party opens it with a reason. Then an access officer takes the seat at which the key will appear, IT gives its half
and management the card, each from a session of its own and each another person; the officer finishes. Any party stops it,
and it expires. Pure: who may do what is decided here from verified statements, and nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeVar

from cloister.base.errors import CloisterError, Denied, Invalid
from cloister.zones import Forged, Keyring, Refusal, algorithms, envelope, recovery

LABEL: Final = "cloister/ceremony/v1"
HAND_INFO: Final = "cloister/ceremony-hand/v1|"  # what a party's browser or command line seals to that party's own session
PART_INFO: Final = "cloister/ceremony-part/v1|"  # what one party's session seals to the seat
LIFE: Final = timedelta(hours=2)
LIFE_MAX: Final = timedelta(hours=24)
WRONG_PINS_MAX: Final = 3
REASON_CHARACTERS_MAX: Final = 500
SKEW: Final = timedelta(minutes=5)


class Party(StrEnum):
    IT = "it"
    MEDICAL = "medical"
    MANAGEMENT = "management"


PARTIES: Final = {
    "certificate-officer": Party.IT,
    "it-operator": Party.IT,
    "access-officer": Party.MEDICAL,
    "management": Party.MANAGEMENT,
}


class Purpose(StrEnum):
    RECOVER = "recover"
    DRILL = "drill"


class State(StrEnum):
    OPEN = "open"
    SEATED = "seated"  # an access officer's session waits for the two halves
    ESCROW_GIVEN = "escrow-given"
    CARD_GIVEN = "card-given"
    READY = "ready"
    DONE = "done"
    STOPPED = "stopped"
    EXPIRED = "expired"


class Step(StrEnum):
    JOIN = "join"
    ESCROW = "escrow"
    CARD = "card"
    WRONG_PIN = "wrong-pin"
    FINISH = "finish"
    STOP = "stop"


LIVE: Final = (State.OPEN, State.SEATED, State.ESCROW_GIVEN, State.CARD_GIVEN, State.READY)
# Joining again begins a new seat: what was sealed to the old one is worth nothing any more.
NEXT: Final[dict[tuple[State, Step], State]] = {
    (State.SEATED, Step.ESCROW): State.ESCROW_GIVEN,
    (State.SEATED, Step.CARD): State.CARD_GIVEN,
    (State.CARD_GIVEN, Step.ESCROW): State.READY,
    (State.ESCROW_GIVEN, Step.CARD): State.READY,
    (State.READY, Step.WRONG_PIN): State.READY,
    (State.READY, Step.FINISH): State.DONE,
    **{(state, Step.JOIN): State.SEATED for state in LIVE},
    **{(state, Step.STOP): State.STOPPED for state in LIVE},
}
WHOSE: Final = {
    Step.JOIN: Party.MEDICAL,
    Step.ESCROW: Party.IT,
    Step.CARD: Party.MANAGEMENT,
    Step.WRONG_PIN: Party.MEDICAL,
    Step.FINISH: Party.MEDICAL,
}


@dataclass(frozen=True, slots=True)
class Opening:
    """What is to be recovered, for whom, and why; `hash` names the ceremony in every later statement."""

    hash: bytes
    purpose: Purpose
    zone: str
    epoch: int
    set: str
    recipient: str  # nobody in a drill
    right: str
    reason: str
    person: str
    at: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Statement:
    """One verified step."""

    step: Step
    person: str
    party: Party
    at: datetime
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ceremony:
    """Where a ceremony stands. `refused` says what was on the table and did not count."""

    opening: Opening
    state: State = State.OPEN
    seats: Mapping[Party, str] = field(default_factory=dict)
    given: Mapping[Step, Statement] = field(default_factory=dict)  # of the present seat
    wrong_pins: int = 0
    refused: tuple[str, ...] = ()

    @property
    def key(self) -> bytes:
        """The seat's public key; nothing before somebody joined."""
        return bytes(self.given[Step.JOIN].details["key"]) if Step.JOIN in self.given else b""


def signed_opening(keyring: Keyring, *, opening: Mapping[str, Any], at: datetime, until: datetime) -> bytes:
    body = {**opening, "trust": keyring.trust_id, "at": _milliseconds(at), "until": _milliseconds(until)}
    return keyring.sign(LABEL, body)


def check_opening(opening: Mapping[str, Any], life: timedelta) -> None:
    """Raises Invalid, in words for whoever fills in the form."""
    if not 0 < len(opening["reason"].strip()) <= REASON_CHARACTERS_MAX:
        raise Invalid("A ceremony needs a reason.", hint=f"Write why, in at most {REASON_CHARACTERS_MAX} characters.", reason="reason")
    if opening["set"] not in recovery.SETS:
        raise Invalid("There are two card sets, A and B.", hint="Choose the set whose card is at hand.", reason="set")
    if not timedelta(minutes=5) <= life <= LIFE_MAX:
        raise Invalid("A ceremony lasts from five minutes to a day.", hint="Choose a time between.", reason="life")
    if opening["purpose"] == Purpose.RECOVER and (not opening["recipient"] or opening["right"] not in ("hold", "read", "write")):
        raise Invalid("It must be said who receives the key, and with which right.", hint="Name a certified person.", reason="recipient")


def verified_opening(blob: bytes, keyring: Keyring) -> Opening:
    """Raises Forged unless a certified person signed it for this trust."""
    person, fields = _verified(blob, keyring)
    opening = Opening(
        hash=envelope.digest(blob),
        purpose=_one_of(Purpose, fields.text("purpose")),
        zone=fields.text("zone"),
        epoch=fields.number("epoch", low=1),
        set=fields.text("set"),
        recipient=fields.text("recipient"),
        right=fields.text("right"),
        reason=fields.text("reason"),
        person=person,
        at=_moment(fields.number("at", high=_MILLISECONDS_MAX)),
        until=_moment(fields.number("until", high=_MILLISECONDS_MAX)),
    )
    fields.done()
    if not timedelta() < opening.until - opening.at <= LIFE_MAX:
        raise Forged(Refusal.MALFORMED)
    return opening


def signed_statement(keyring: Keyring, ceremony: Ceremony, step: Step, at: datetime, **details: Any) -> bytes:
    body = {"trust": keyring.trust_id, "ceremony": ceremony.opening.hash, "step": str(step), "at": _milliseconds(at)}
    return keyring.sign(LABEL, {**body, "details": details})


def verified_statement(blob: bytes, keyring: Keyring, roles: Mapping[str, str], of: Opening) -> Statement:
    """A party's word on this ceremony. An access officer needs a standing mandate: a role is only a row."""
    person, fields = _verified(blob, keyring)
    if fields.octets("ceremony", 32) != of.hash:
        raise Forged(Refusal.SWAPPED)
    step, at = _one_of(Step, fields.text("step")), _moment(fields.number("at", high=_MILLISECONDS_MAX))
    details = fields.mapping("details")
    fields.done()
    party = party_of(roles, person)
    if party is Party.MEDICAL:
        keyring.offices.access_key(envelope.peek_signer(blob), zone=of.zone, now=at)
    return Statement(step, person, party, at, details)


def party_of(roles: Mapping[str, str], person: str) -> Party:
    party = PARTIES.get(roles.get(person, ""))
    if party is None:
        raise Denied("Only IT, access officers and management take part in a recovery.", reason="other-office")
    return party


def after(ceremony: Ceremony, said: Statement) -> Ceremony:
    """The ceremony after one more step; Denied by name when the step may not be taken."""
    if ceremony.state in LIVE and not ceremony.opening.at - SKEW <= said.at <= ceremony.opening.until:
        raise Denied("This ceremony is over: its time has passed.", hint="Open another one.", reason="ceremony-expired")
    there = NEXT.get((ceremony.state, said.step))
    if there is None:
        raise Denied(f"This cannot be done now: the ceremony is '{ceremony.state}'.", hint="Load the page again.", reason="ceremony-state")
    if WHOSE.get(said.step, said.party) is not said.party:
        raise Denied("This step belongs to another party.", hint="Let that party take it, from its own session.", reason="other-party")
    if said.step is Step.STOP:
        return replace(ceremony, state=there)
    seats = _seated(ceremony, said)
    if said.step is Step.JOIN:
        if len(bytes(said.details.get("key", b""))) != algorithms.KEM_PUBLIC_BYTES:
            raise Forged(Refusal.MALFORMED)
        return replace(ceremony, state=there, seats=seats, given={Step.JOIN: said})
    if said.details.get("seat") != algorithms.sha256(ceremony.key):
        raise Denied("This was given to a seat that was left.", hint="Load the page, and give it again.", reason="other-seat")
    if said.step is Step.WRONG_PIN:
        wrong = ceremony.wrong_pins + 1
        return replace(ceremony, wrong_pins=wrong, state=State.STOPPED if wrong >= WRONG_PINS_MAX else there)
    return replace(ceremony, state=there, seats=seats, given={**ceremony.given, said.step: said})


def _seated(ceremony: Ceremony, said: Statement) -> dict[Party, str]:
    """Three parties are three people, and whoever finishes is who sat down."""
    others = {person for party, person in ceremony.seats.items() if party is not said.party}
    if said.person in others:
        raise Denied("One person cannot be two parties.", hint="Let somebody else take this part.", reason="one-person")
    if said.step is Step.JOIN and said.person == ceremony.opening.recipient:
        raise Denied("Nobody grants to oneself.", hint="Let another access officer take this seat.", reason="grant-self")
    if said.step in (Step.FINISH, Step.WRONG_PIN) and ceremony.seats.get(Party.MEDICAL) != said.person:
        raise Denied("Another access officer has this seat.", hint="Let that officer finish, or take the seat anew.", reason="other-seat")
    # Parts that were given to the old seat are gone with it, so their givers may change too.
    kept = {} if said.step is Step.JOIN else dict(ceremony.seats)
    return {**kept, said.party: said.person}


def walked(opening: Opening, said: Iterable[Statement], now: datetime) -> Ceremony:
    """All steps in their order; one that does not count is named in `refused` and changes nothing."""
    ceremony = Ceremony(opening)
    for one in said:
        try:
            ceremony = after(ceremony, one)
        except CloisterError as refused:
            ceremony = replace(ceremony, refused=(*ceremony.refused, f"{one.step}: {refused.reason}"))
    if ceremony.state in LIVE and now > opening.until:
        return replace(ceremony, state=State.EXPIRED)
    return ceremony


def hand_info(ceremony: Opening, what: str) -> str:
    """HPKE info of what a party hands to its own session: "escrow", "card", "pin" or "secret"."""
    return f"{HAND_INFO}{ceremony.hash.hex()}|{what}"


def part_info(ceremony: Opening, step: Step, giver: str) -> bytes:
    return f"{PART_INFO}{ceremony.hash.hex()}|{step}|{giver}".encode()


def _verified(blob: bytes, keyring: Keyring) -> tuple[str, Any]:
    """Who signed, by a certificate that held at the time, and the fields of the body."""
    hashed = envelope.certificate_hash(envelope.peek_signer(blob))
    fields = envelope.fields(LABEL, blob, keyring.author(hashed).sign_public)
    if fields.text("trust") != keyring.trust_id:
        raise Forged(Refusal.TRUST)
    at = envelope.peek_body(blob).get("at")
    if not isinstance(at, int) or isinstance(at, bool) or not 0 <= at <= _MILLISECONDS_MAX:
        raise Forged(Refusal.MALFORMED)
    return keyring.author_at(hashed, _moment(at)).person, fields


_Kind = TypeVar("_Kind", bound=StrEnum)


def _one_of(kind: type[_Kind], text: str) -> _Kind:
    try:
        return kind(text)
    except ValueError:
        raise Forged(Refusal.MALFORMED) from None


_MILLISECONDS_MAX: Final = 253_370_764_800_000  # year 9999


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
