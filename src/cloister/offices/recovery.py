"""Recovery in the parties' sessions: what each of IT, medical and management does, and what all of them see. docs/recovery.md.

The zone key appears in one place only: the session of the access officer who took the seat, because that officer alone may sign
the grant in which it leaves again. What IT's and management's sessions give is sealed to a key of that session's memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from cloister.base.errors import Conflict, Denied, Invalid, NotFound
from cloister.base.secret import Secret
from cloister.identity import learn_signers
from cloister.offices import ceremony as states
from cloister.offices.ceremony import Ceremony, Party, Purpose, State, Step
from cloister.offices.software_card import read_card
from cloister.zones import Forged, Keyring, Refusal, algorithms, envelope, epochs, grants, recovery, unlockers

KINDS: Final = {Purpose.RECOVER: "recovery", Purpose.DRILL: "recovery-drill"}
AUDIENCE: Final = list(states.PARTIES)
ESCROW_NAME: Final = "recovery/escrow"
DRILL_EVERY: Final = timedelta(days=365)
GRANT_LIFE: Final = timedelta(days=365)
CLOSED: Final = {State.DONE: "done", State.STOPPED: "refused"}


class Gate(Protocol):
    async def call(self, method: str, /, **arguments: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Office:
    """One session at work: its keys, the gate, who has which role, and what the clock says."""

    keyring: Keyring
    gate: Gate
    roles: Mapping[str, str]  # person to role, of the directory
    now: datetime

    @property
    def party(self) -> Party:
        return states.party_of(self.roles, self.keyring.person)


@dataclass(slots=True)
class Seats:
    """The HPKE keys that one session made for ceremonies; they are nowhere else, and end with it."""

    seeds: dict[bytes, Secret] = field(default_factory=dict)

    def private(self, of: states.Opening) -> algorithms.KemPrivate:
        seed = self.seeds.setdefault(of.hash, Secret(algorithms.random(32)))
        return algorithms.KemPrivate(seed.reveal())

    def leave(self, of: states.Opening) -> None:
        self.seeds.pop(of.hash, None)


@dataclass(frozen=True, slots=True)
class Standing:
    """How recovery stands in the trust: what every party's page begins with."""

    sets: dict[str, recovery.RecoverySet]
    escrow: bool
    canary: tuple[str, int] | None
    last_drill: datetime | None
    drill_due: bool
    drills: list[tuple[str, str, datetime]]  # request, name, when
    refused: list[str]  # why records of card sets do not count
    zones: list[tuple[str, str]]


# --- how it stands ------------------------------------------------------------------------------------


async def set_records(gate: Gate) -> tuple[bytes, ...]:
    """For whoever makes an epoch: SealMaterial.records["recovery-set"]."""
    return tuple(bytes(body) for body in (await gate.call("recovery_records"))["sets"])


async def standing(office: Office) -> Standing:
    rows = await office.gate.call("recovery_records")
    bodies = tuple(bytes(body) for body in rows["sets"])
    await learn(office, [*bodies, *(bytes(body) for row in rows["drills"] for body in row[2:])])
    drills = []
    for request, name, opened, finished in rows["drills"]:
        try:
            opening = states.verified_opening(bytes(opened), office.keyring)
            said = states.verified_statement(bytes(finished), office.keyring, office.roles, opening)
        except (Forged, Denied):
            continue
        if opening.purpose is Purpose.DRILL and said.step is Step.FINISH:
            drills.append((str(request), str(name), said.at))
    last = max((when for _, _, when in drills), default=None)
    canary = rows["canary"]
    return Standing(
        sets=recovery.present_sets(bodies, office.keyring.offices),
        escrow=bool(rows["escrows"]),
        canary=None if canary is None else (str(canary[0]), int(canary[1])),
        last_drill=last,
        drill_due=last is None or office.now - last > DRILL_EVERY,
        drills=drills,
        zones=[(str(zone), str(name)) for zone, name in rows["zones"]],
        refused=[reason for body in bodies if (reason := _refusal(body, office))],
    )


def _refusal(body: bytes, office: Office) -> str:
    try:
        recovery.verified_set(body, office.keyring.offices)
    except (Forged, Denied) as refused:
        return refused.reason
    return ""


async def unsealed(office: Office) -> list[tuple[str, int, str]]:
    """(zone, epoch, set) of every epoch without a genuine seal for the set's present card: none, when all is well."""
    present = await standing(office)
    sets, (canary, newest) = present.sets, present.canary or ("", 0)
    missing, after = [], ("", 0)
    while rows := await office.gate.call("recovery_seals", after=after, limit=200):
        have: dict[tuple[str, int], set[str]] = {}
        await learn(office, [bytes(row[3]) for row in rows if row[3] is not None])
        for zone, epoch, _, body in rows:
            if zone == canary and epoch < newest:  # an old canary's key is gone, as it should be
                continue
            found = have.setdefault((zone, epoch), set())
            if body is not None and (name := _genuine(office, bytes(body), zone, epoch, sets)):
                found.add(name)
        missing += [(zone, epoch, name) for (zone, epoch), found in have.items() for name in sorted(sets.keys() - found)]
        after = (rows[-1][0], rows[-1][1])
    return missing


def _genuine(office: Office, body: bytes, zone: str, epoch: int, sets: Mapping[str, recovery.RecoverySet]) -> str:
    try:
        seal = recovery.verified_seal(body, office.keyring.offices)
    except (Forged, Denied):
        return ""
    fits = (seal.zone, seal.epoch) == (zone, epoch) and seal.set in sets and sets[seal.set].hash == seal.set_hash
    return seal.set if fits else ""


# --- a ceremony, step by step -------------------------------------------------------------------------


async def open_ceremony(
    office: Office, *, purpose: str, zone: str, set: str, reason: str, recipient: str = "", right: str = "", minutes: int = 120
) -> str:
    """The ceremony's id. Any of the three parties opens it; it asks all of them."""
    _ = office.party
    found = await standing(office)
    kind = Purpose.DRILL if purpose == Purpose.DRILL else Purpose.RECOVER
    if not found.sets or found.canary is None:
        raise NotFound("Recovery was not founded in this trust.", hint="cloister ceremony escrow, then cloister ceremony found.")
    if kind is Purpose.DRILL:
        zone, recipient, right = found.canary[0], "", ""
    elif zone == found.canary[0]:
        raise Invalid("The canary zone is for drills.", hint="Open a drill instead.", reason="canary")
    elif recipient not in office.roles:
        raise Invalid("There is no such person.", hint="Name a certified person of this trust.", reason="recipient")
    asked = {"purpose": str(kind), "set": set, "reason": reason, "recipient": recipient, "right": right, "zone": zone}
    life = timedelta(minutes=minutes)
    states.check_opening(asked, life)
    newest = max(int(row[0]) for row in (await office.gate.call("recovery_zone", zone=zone))["epochs"])
    body = states.signed_opening(office.keyring, opening={**asked, "epoch": newest}, at=office.now, until=office.now + life)
    note = _note("recovery-open", f"{zone}/{newest}", reason)
    values = {"kind": KINDS[kind], "zone": zone, "body": body, "audience": AUDIENCE, "seconds": int(life.total_seconds())}
    return str(await office.gate.call("request_open", **values, audit=[note]))


async def ceremonies(office: Office, *, open_only: bool = False) -> list[tuple[str, Ceremony]]:
    """Those that this person may see, the newest first."""
    rows = await office.gate.call("requests", kinds=list(KINDS.values()), open_only=open_only)
    found = []
    for row in rows[:50]:
        try:
            found.append((str(row[0]), await ceremony(office, str(row[0]))))
        except (Forged, Denied):  # a row that nobody signed: not a ceremony
            continue
    return found


async def ceremony(office: Office, request: str) -> Ceremony:
    """Walked from its signed statements; what the gate says about it counts only where it ends it."""
    rows = await office.gate.call("request", id=request)
    row, blobs = rows["request"], [bytes(part[4]) for part in rows["parts"]]
    await learn(office, [bytes(row[6]), *blobs])
    opening = states.verified_opening(bytes(row[6]), office.keyring)
    if row[1] != KINDS[opening.purpose]:
        raise Forged(Refusal.SWAPPED)
    said, refused = [], []
    for blob in blobs:
        try:
            said.append(states.verified_statement(blob, office.keyring, office.roles, opening))
        except (Forged, Denied) as failed:
            refused.append(f"part: {failed.reason}")
    found = states.walked(opening, said, office.now)
    state = State.STOPPED if found.state in states.LIVE and row[7] in ("refused", "withdrawn", "done") else found.state
    return Ceremony(opening, state, found.seats, found.given, found.wrong_pins, (*found.refused, *refused))


async def join(office: Office, request: str, seats: Seats) -> None:
    """An access officer takes the seat: the key will appear in this session, and nowhere else."""
    found = await ceremony(office, request)
    seats.leave(found.opening)
    await _say(office, request, found, Step.JOIN, key=seats.private(found.opening).public)


async def give_escrow(office: Office, request: str, seats: Seats, sealed_kek: bytes) -> None:
    """IT opens the outer seal and gives its half; `sealed_kek` comes from the passphrase, sealed to this session."""
    found = await ceremony(office, request)
    check_party(office, Party.IT)
    kek = Secret(_handed(seats, found, "escrow", sealed_kek))
    seal, of = await _seal_and_set(office, found)
    row = await _recovery_data(office, of)
    kept = unlockers.Unlocker(
        ESCROW_NAME, office.keyring.trust_id, unlockers.UnlockerKind.PASSPHRASE, json.loads(row["params"]), bytes(row["sealed"])
    )
    try:
        escrow = recovery.Escrow(unlockers.unwrap_unlock_key(kek, kept))
    except Forged:
        await _noted(office, "recovery-wrong-passphrase", request, outcome="refused")
        raise Denied("This is not the passphrase of the recovery data.", hint="Try again.", reason="wrong-secret") from None
    half = escrow.open(seal, of).packed()
    await _say(office, request, found, Step.ESCROW, sealed=_to_seat(office, found, Step.ESCROW, half))


async def escrow_params(office: Office, request: str) -> dict[str, Any]:
    """How the passphrase of the recovery data is derived."""
    _, of = await _seal_and_set(office, await ceremony(office, request))
    return dict(json.loads((await _recovery_data(office, of))["params"]))


def hand_key(seats: Seats, found: Ceremony) -> bytes:
    """To which a party's browser or command line seals what it hands to this session."""
    return seats.private(found.opening).public


async def give_card(office: Office, request: str, seats: Seats, sealed_file: bytes | None) -> None:
    """Management brings the card: a real one to the reader at the table, a software card as its sealed file."""
    found = await ceremony(office, request)
    check_party(office, Party.MANAGEMENT)
    _, of = await _seal_and_set(office, found)
    details: dict[str, Any] = {"of": of.hash, "sealed": None}
    if sealed_file is not None:
        text = _handed(seats, found, "card", sealed_file)
        if bytes.fromhex(read_card(text).public) != of.card:
            raise Invalid(
                "This is not the present card of this set.", hint="Bring the card of the set that was named.", reason="other-card"
            )
        details["sealed"] = _to_seat(office, found, Step.CARD, text)
    await _say(office, request, found, Step.CARD, **details)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the officer's desk needs to ask for the PIN: of a software card, or of a card in a reader."""

    key: bytes
    curve: str
    card: bytes
    ephemeral: bytes
    params: dict[str, Any] | None  # None: a card in a reader


async def asked(office: Office, request: str, seats: Seats) -> Asked:
    found = await ceremony(office, request)
    half, of, card = await _at_the_seat(office, found, seats)
    return Asked(found.key, of.curve, of.card, half.ephemeral, None if card is None else card.params)


async def finish(office: Office, request: str, seats: Seats, *, pin_kek: bytes | None = None, secret: bytes | None = None) -> str:
    """With the PIN's key (software card) or the card's own secret: the grant's hash, or what the drill opened."""
    found = await ceremony(office, request)
    half, of, card = await _at_the_seat(office, found, seats)
    if secret is not None:
        shared = Secret(_handed(seats, found, "secret", secret))
    elif card is not None and pin_kek is not None:
        try:
            shared = Secret(algorithms.ecdh(of.curve, card.opened(Secret(_handed(seats, found, "pin", pin_kek))).reveal(), half.ephemeral))
        except Denied:
            await _wrong_pin(office, request, found)
            raise
    else:
        raise Invalid("The card is needed, or its file and PIN.", hint="Put the card into the reader.", reason="no-card")
    keys = await _recovered(office, found, half, of, shared)
    result = await (_drilled(office, keys) if found.opening.purpose is Purpose.DRILL else _granted(office, found, keys))
    await _say(office, request, found, Step.FINISH, result=result)
    seats.leave(found.opening)
    return result


async def stop(office: Office, request: str, reason: str) -> None:
    """Any party, at any time before the end."""
    if not reason.strip():
        raise Invalid("Say why it is stopped.", reason="reason")
    found = await ceremony(office, request)
    await _say(office, request, found, Step.STOP, reason=reason[: states.REASON_CHARACTERS_MAX])


# --- inside -------------------------------------------------------------------------------------------


async def _at_the_seat(office: Office, found: Ceremony, seats: Seats) -> tuple[recovery.Half, recovery.RecoverySet, Any]:
    """Both halves, opened in this session's memory."""
    if found.state is not State.READY:
        raise Conflict("Not all parties have given their part.", hint="Wait for IT and management.", reason="ceremony-state")
    private = seats.private(found.opening)
    if private.public != found.key:
        raise Denied("The seat was taken in another session.", hint="Take the seat anew; both parts are given again.", reason="other-seat")
    escrow, card = found.given[Step.ESCROW], found.given[Step.CARD]
    half = recovery.unpacked_half(_from_part(private, found, escrow))
    _, of = await _seal_and_set(office, found)
    if card.details.get("of") != of.hash:
        raise Forged(Refusal.SWAPPED)
    return half, of, read_card(_from_part(private, found, card)) if card.details.get("sealed") is not None else None


async def _recovered(office: Office, found: Ceremony, half: recovery.Half, of: recovery.RecoverySet, shared: Secret) -> epochs.EpochKeys:
    """The epoch's keys, if they are those that its signed record committed to."""
    seal, _ = await _seal_and_set(office, found)
    if half.context != seal.context:
        raise Forged(Refusal.SWAPPED)
    keys = epochs.EpochKeys(found.opening.zone, found.opening.epoch, half.open(of, shared))
    rows = await office.gate.call("recovery_zone", zone=found.opening.zone)
    for number, body in rows["epochs"]:
        if number == found.opening.epoch:
            await learn(office, [bytes(body)])
            record = epochs.verified_epoch(bytes(body), office.keyring.offices.claimed_key(bytes(body)), office.keyring.trust_id)
            office.keyring.offices.access_key(envelope.peek_signer(bytes(body)), zone=record.zone, now=record.made)
            if (record.zone, record.epoch, record.commitment) != (keys.zone, keys.epoch, keys.commitment):
                raise Forged(Refusal.COMMITMENT)
            return keys
    raise NotFound("The zone's key generation is not known.", reason="epoch-missing")


async def _granted(office: Office, found: Ceremony, keys: epochs.EpochKeys) -> str:
    """A new grant to the recipient's exact certificate; the only form in which the key leaves this session."""
    opening = found.opening
    person = await office.gate.call("office_person", person=opening.recipient)
    certificates = office.keyring.offices.certificates
    certificates.add([bytes(row["der"]) for row in person["certificates"]])
    certified = certificates.valid(bytes(person["certificate"]), office.now)
    if certified.person != opening.recipient or certified.kem_digest != algorithms.sha256(bytes(person["kem_public"])):
        raise Forged(Refusal.CERTIFICATE_OTHER_KEYS)
    before = max((row for row in person["grants"] if row["zone"] == opening.zone), key=lambda row: int(row["seq"]), default=None)
    until = office.now + GRANT_LIFE
    body = grants.sign_grant(
        office.keyring.signer,
        trust=office.keyring.trust_id,
        zone=opening.zone,
        epoch=keys.epoch,
        floor=1,
        person=opening.recipient,
        certificate=certified.hash,
        kem_public=bytes(person["kem_public"]),
        zone_key=keys.key,
        right=opening.right,
        not_before=office.now - states.SKEW,
        live_until=until,
        reason=f"recovery: {opening.reason}",
        seq=1 if before is None else int(before["seq"]) + 1,
        previous=grants.NO_PREVIOUS if before is None else bytes(before["hash"]),
    )
    row = {
        "kind": "grant",
        "body": body,
        "zone": opening.zone,
        "person": opening.recipient,
        "seq": 1 if before is None else int(before["seq"]) + 1,
        "right": opening.right,
        "epoch": keys.epoch,
        "not_before": _milliseconds(office.now - states.SKEW),
        "live_until": _milliseconds(until),
    }
    await office.gate.call("trust_put", objects=[row])
    return envelope.digest(body).hex()


async def _drilled(office: Office, keys: epochs.EpochKeys) -> str:
    canary = (await office.gate.call("recovery_records"))["canary"]
    await learn(office, [bytes(canary[2])])
    return recovery.open_canary(bytes(canary[2]), keys, office.keyring.offices).decode()


async def _seal_and_set(office: Office, found: Ceremony) -> tuple[recovery.RecoverySeal, recovery.RecoverySet]:
    """The seal of the ceremony's epoch for the present card of its set."""
    opening = found.opening
    sets = (await standing(office)).sets
    of = sets.get(opening.set)
    rows = await office.gate.call("recovery_zone", zone=opening.zone)
    for epoch, part, body in rows["seals"]:
        if of is not None and (epoch, part) == (opening.epoch, recovery.SETS.index(opening.set)):
            await learn(office, [bytes(body)])
            seal = recovery.verified_seal(bytes(body), office.keyring.offices)
            if (seal.zone, seal.epoch, seal.set_hash) != (opening.zone, opening.epoch, of.hash):
                raise Forged(Refusal.SWAPPED)
            return seal, of
    raise NotFound("This epoch was not sealed for this card set.", hint="Use the other set.", reason="no-seal")


async def _recovery_data(office: Office, of: recovery.RecoverySet) -> Mapping[str, Any]:
    """The sealed keys that this card set was made with; a later renewal does not change what older seals need."""
    check_party(office, Party.IT)
    for row in (await office.gate.call("recovery_records"))["escrows"]:
        if envelope.peek_body(bytes(row["body"])).get("kem") == of.escrow:
            return dict(row)
    raise NotFound("The recovery data of this card set is not here.", hint="Restore it from a backup.", reason="no-escrow")


async def _say(office: Office, request: str, found: Ceremony, step: Step, **details: Any) -> Ceremony:
    """Sign a step, see that it may be taken, put it on the table, and end the request where it ends."""
    if step not in (Step.JOIN, Step.STOP):
        details["seat"] = algorithms.sha256(found.key)
    there = states.after(found, states.Statement(step, office.keyring.person, office.party, office.now, details))
    if office.now > found.opening.until:
        raise Denied("This ceremony is over: its time has passed.", hint="Open another one.", reason="ceremony-expired")
    body = states.signed_statement(office.keyring, found, step, office.now, **details)
    note = _note(f"recovery-{step}", request, f"{found.opening.zone}/{found.opening.epoch}")
    await office.gate.call("request_part", id=request, kind=str(step), body=body, audit=[note])
    if there.state in CLOSED:
        kind = "drill" if found.opening.purpose is Purpose.DRILL else "recovery"
        closing = _note(f"{kind}-{there.state}", request, envelope.digest(body).hex())
        await office.gate.call("request_close", id=request, state=CLOSED[there.state], audit=[closing])
    return there


async def _wrong_pin(office: Office, request: str, found: Ceremony) -> None:
    there = await _say(office, request, found, Step.WRONG_PIN)
    if there.state is State.STOPPED:
        raise Denied("The PIN was wrong three times: the ceremony was stopped.", hint="Open another one.", reason="ceremony-stopped")


async def _noted(office: Office, action: str, what: str, *, outcome: str) -> None:
    await office.gate.call("audit_append", entries=[{**_note(action, what, ""), "outcome": outcome}])


def _note(action: str, what: str, reason: str) -> dict[str, str]:
    return {"action": action, "kind": "ceremony", "object": what[:200], "reason": reason[:200]}


def check_party(office: Office, party: Party) -> None:
    if office.party is not party:
        raise Denied("This step belongs to another party.", hint="Let that party take it, from its own session.", reason="other-party")


def _handed(seats: Seats, found: Ceremony, what: str, sealed: bytes) -> bytes:
    """What this party's own browser or command line sealed to this session."""
    try:
        return seats.private(found.opening).open(sealed, states.hand_info(found.opening, what).encode())
    except Forged:
        raise Denied("This was not sealed for this session.", hint="Load the page again.", reason="unlock-message") from None


def _to_seat(office: Office, found: Ceremony, step: Step, plain: bytes) -> bytes:
    if not found.key:
        raise Conflict("No access officer has taken the seat.", hint="Wait until one has.", reason="ceremony-state")
    return algorithms.kem_seal(found.key, plain, states.part_info(found.opening, step, office.keyring.person))


def _from_part(private: algorithms.KemPrivate, found: Ceremony, said: states.Statement) -> bytes:
    return private.open(bytes(said.details["sealed"]), states.part_info(found.opening, said.step, said.person))


async def learn(office: Office, blobs: Iterable[bytes]) -> None:
    """The certificates of whoever signed these, so that they can be verified."""
    await learn_signers(office.gate, office.keyring, blobs, office.now)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
