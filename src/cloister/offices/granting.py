"""Granting: an access officer gives, changes and ends what a person may open; zones are made, and two officers agree.
Spec: docs/spec/zones.md 8, 9, 18.

A grant names the exact certificate that the officer's own session has verified, and is sealed to the key in it. What
the store says is used for finding only: a row that lies leads to a refusal here or in the person's session.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cloister.base.errors import Conflict, Denied, Invalid
from cloister.base.wire import Caller
from cloister.zones import Forged, Keyring, Refusal, algorithms, certificates, envelope, epochs, grants, revocations

SKEW: Final = timedelta(minutes=5)
LIFE_MAX: Final = timedelta(days=1096)
REASON_CHARACTERS_MIN: Final = 3
CLINICAL: Final = frozenset({"doctor", "nurse", "program"})
ACCESS_OFFICER: Final = "access-officer"


@dataclass(frozen=True, slots=True)
class Subject:
    """One person as verified here: the certificate that holds now, and the public key that it vouches for."""

    person: str
    name: str
    role: str
    certificate: certificates.Certified
    kem_public: bytes


async def subject_of(keyring: Keyring, gate: Caller, person: str, now: datetime) -> Subject:
    """Raises by name when the certificate does not lead to the root, is over or revoked, or is for other keys."""
    return verified_subject(keyring, await gate.call("office_person", person=person), person, now)


def verified_subject(keyring: Keyring, row: Mapping[str, Any], person: str, now: datetime) -> Subject:
    """The same from the store's row."""
    if row["certificate"] is None:
        raise Denied(f"{row['name']} has no keys yet.", hint="The certificate officer enrols people.", reason="no-keys")
    keyring.add_certificates(bytes(one["der"]) for one in row["certificates"])
    certified = keyring.author_at(bytes(row["certificate"]), now)
    if certified.person != person:
        raise Forged(Refusal.SWAPPED)
    if algorithms.sha256(bytes(row["kem_public"])) != certified.kem_digest:
        raise Forged(Refusal.CERTIFICATE_OTHER_KEYS)
    return Subject(person, certified.name, row["role"], certified, bytes(row["kem_public"]))


async def grant(
    keyring: Keyring,
    gate: Caller,
    *,
    zone: str,
    person: str,
    right: str,
    live_until: datetime,
    reason: str,
    now: datetime,
    not_before: datetime | None = None,
    past: bool = True,
) -> bytes:
    """A new grant, or the change of one: the newest counts. Its hash. `past` False closes what is older than this epoch."""
    signed = await signed_grant(
        keyring,
        gate,
        zone=zone,
        person=person,
        right=right,
        live_until=live_until,
        reason=reason,
        now=now,
        not_before=not_before,
        past=past,
    )
    await gate.call("trust_put", objects=[signed])
    return envelope.digest(signed["body"])


async def signed_grant(
    keyring: Keyring,
    gate: Caller,
    *,
    zone: str,
    person: str,
    right: str,
    live_until: datetime,
    reason: str,
    now: datetime,
    not_before: datetime | None = None,
    past: bool = True,
) -> dict[str, Any]:
    """The object for `trust_put`, after all that can be refused has been."""
    begin = (not_before or now) - SKEW
    checked_terms(reason, begin, live_until, now)
    if person == keyring.person:
        raise Denied("An officer may not grant to oneself.", hint="Ask another access officer.", reason=Refusal.GRANT_SELF)
    wanted = grants.Right(right)
    keyring.offices.access_key(keyring.signer.id, zone=zone, now=now, right=wanted)
    keys = keyring.passing_on(zone)
    row = await gate.call("office_person", person=person)
    subject = verified_subject(keyring, row, person, now)
    check_role(subject, wanted)
    seq, previous = newest_of(row["grants"], zone)
    return sealed_grant(
        keyring, keys, subject, right=wanted, seq=seq + 1, previous=previous, not_before=begin, live_until=live_until, reason=reason,
        floor=1 if past else keys.epoch,
    )  # fmt: skip


def sealed_grant(
    keyring: Keyring,
    keys: epochs.EpochKeys,
    subject: Subject,
    *,
    right: grants.Right,
    seq: int,
    previous: bytes,
    not_before: datetime,
    live_until: datetime,
    reason: str,
    floor: int = 1,
) -> dict[str, Any]:
    body = grants.sign_grant(
        keyring.signer,
        trust=keyring.trust_id,
        zone=keys.zone,
        epoch=keys.epoch,
        floor=floor,
        person=subject.person,
        certificate=subject.certificate.hash,
        kem_public=subject.kem_public,
        zone_key=keys.key,
        right=right,
        not_before=not_before,
        live_until=live_until,
        reason=reason.strip(),
        seq=seq,
        previous=previous,
    )
    return {
        "kind": "grant", "body": body, "zone": keys.zone, "person": subject.person, "seq": seq, "right": str(right), "epoch": keys.epoch,
        "not_before": milliseconds(not_before), "live_until": milliseconds(live_until),
    }  # fmt: skip


async def end_grant(keyring: Keyring, gate: Caller, *, target: bytes, person: str | None, reason: str, now: datetime) -> None:
    """The grant is over at once, and so are the sessions that opened with it. A new epoch is a further act (rotation)."""
    await gate.call("trust_put", objects=[revoked(keyring, "grant", target, person, reason, now)])


def revoked(keyring: Keyring, kind: str, target: bytes, person: str | None, reason: str, now: datetime) -> dict[str, Any]:
    """A signed revocation, for `trust_put`."""
    checked_reason(reason)
    body = revocations.revocation(
        keyring.signer, trust=keyring.trust_id, kind=kind, target=target, person=person, reason=reason.strip(), at=now
    )
    return {"kind": "revocation", "body": body, "of": kind, "target": target, "at": milliseconds(now)}


async def renew_grants(keyring: Keyring, gate: Caller, *, person: str, now: datetime) -> int:
    """Everything that this person is granted, again, for the certificate that holds now; how many. After a new certificate."""
    subject = await subject_of(keyring, gate, person, now)
    if person == keyring.person:
        raise Denied("An officer may not grant to oneself.", hint="Ask another access officer.", reason=Refusal.GRANT_SELF)
    objects = []
    for row in newest_living((await gate.call("office_person", person=person))["grants"], now):
        told = envelope.peek_body(bytes(row["body"]))
        if told.get("certificate") == subject.certificate.hash:
            continue
        keys = keyring.passing_on(row["zone"])
        until = datetime.fromisoformat(row["live_until"])
        right = grants.Right(row["right"])
        check_role(subject, right)
        objects.append(
            sealed_grant(
                keyring, keys, subject, right=right, seq=row["seq"] + 1, previous=bytes(row["hash"]), not_before=now - SKEW,
                live_until=until, reason=str(told.get("reason") or "Renewed"), floor=int(told.get("floor") or 1),
            )
        )  # fmt: skip
    if objects:
        await gate.call("trust_put", objects=objects)
    return len(objects)


async def countersign(keyring: Keyring, gate: Caller, *, body: bytes, now: datetime) -> None:
    """A second officer's agreement, after this session has verified the grant as the person's would."""
    found = grants.authorised_grant(body, keyring.offices, now)
    _, first = keyring.offices.access_key(found.signer, zone=found.zone, now=now)
    if keyring.person in (found.person, first.person if first is not None else ""):
        raise Denied(
            "A second officer signs, who is not the first and not the person granted to.", hint="Ask a colleague.", reason="one-officer"
        )
    signed = revocations.countersignature(keyring.signer, trust=keyring.trust_id, grant=found, at=now)
    await gate.call("trust_put", objects=[{"kind": "countersignature", "body": signed, "target": found.hash}])


def check_role(subject: Subject, right: grants.Right) -> None:
    """Whoever certifies or runs the machines is granted nothing; an officer holds and does not read; a clinician does not hold."""
    office = subject.certificate.office
    if office == grants.Office.CERTIFICATE:
        raise Denied("A certificate officer is granted no zone.", hint="One person may not certify and grant.", reason=Refusal.BOTH_OFFICES)
    holds = office == grants.Office.ACCESS
    if holds != (right is grants.Right.HOLD) or (not holds and subject.role not in CLINICAL):
        raise Denied(
            f"{subject.name} may not have this right.",
            hint="Access officers hold a zone's key, clinicians and programs read or write; nobody else is granted a zone.",
            reason="right-of-another-role",
        )


def checked_reason(reason: str) -> None:
    if not REASON_CHARACTERS_MIN <= len(reason.strip()) <= grants.REASON_CHARACTERS_MAX:
        raise Invalid("Say why.", hint="The reason stands in the signed object, for whoever asks later.", reason="reason-missing")


def checked_terms(reason: str, begin: datetime, end: datetime, now: datetime) -> None:
    checked_reason(reason)
    if end <= begin or end <= now:
        raise Invalid("This would end before it begins.", hint="Choose a later end.", reason="term")
    if end - now > LIFE_MAX:
        raise Invalid("A grant lasts three years at most.", hint="Choose an earlier end, and renew it then.", reason="term")


def newest_of(rows: Iterable[Mapping[str, Any]], zone: str) -> tuple[int, bytes]:
    """Sequence and hash of the newest grant in a zone; (0, zeros) where there is none."""
    found = max((row for row in rows if row["zone"] == zone), key=lambda row: int(row["seq"]), default=None)
    return (0, grants.NO_PREVIOUS) if found is None else (int(found["seq"]), bytes(found["hash"]))


def newest_living(rows: Iterable[Mapping[str, Any]], now: datetime) -> list[Mapping[str, Any]]:
    """Each zone's newest grant, where that one still holds: an older one counts no more."""
    newest: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row["zone"] not in newest or row["seq"] > newest[row["zone"]]["seq"]:
            newest[row["zone"]] = row
    return [row for row in newest.values() if row["revoked"] is None and datetime.fromisoformat(row["live_until"]) > now]


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


# --- zones ------------------------------------------------------------------------------------------------


async def create_zone(
    keyring: Keyring,
    gate: Caller,
    *,
    zone: str,
    name: str,
    hospital: str,
    ward: str | None,
    policy: Mapping[str, Any],
    now: datetime,
    live_until: datetime,
) -> list[str]:
    """A zone, its first epoch, and its key to the other access officers; their names. The maker keeps no key.

    Nobody grants to oneself: one of those officers grants it back, and so two have agreed before anybody opens it.
    """
    if not zone.replace("-", "").isalnum() or not zone.islower() or len(zone) > 100:
        raise Invalid("A zone's id has small letters, digits and hyphens.", hint="For example: saint-roch-staff", reason="zone-id")
    if not 0 < len(name.strip()) <= 200:
        raise Invalid("A zone needs a name.", reason="zone-name")
    if await gate.call("office_zones", zone=zone):
        raise Conflict("There is a zone of this id.", hint="Choose another id.", reason="zone-exists")
    others = await other_officers(keyring, gate, now)
    if not others:
        raise Denied(
            "No other access officer could keep this zone's key.", hint="Have a second officer mandated first.", reason="no-second-officer"
        )
    keys = epochs.EpochKeys(zone, 1, epochs.new_zone_key())
    signer, trust = keyring.signer, keyring.trust_id
    record = epochs.zone_record(
        signer, trust=trust, zone=zone, name=name.strip(), hospital=hospital, ward=ward, policy=dict(policy), made=now
    )
    first = epochs.epoch_record(signer, trust=trust, keys=keys, index_key=epochs.new_index_key(), previous=None, made=now)
    objects: list[dict[str, Any]] = [
        {
            "kind": "zone",
            "body": record,
            "zone": zone,
            "hospital": hospital,
            "ward": ward,
            "name": name.strip(),
            "policy": json.dumps(dict(policy)),
        },
        {"kind": "epoch", "body": first, "zone": zone, "epoch": 1},
    ]
    for one in others:
        objects.append(
            sealed_grant(
                keyring, keys, one, right=grants.Right.HOLD, seq=1, previous=grants.NO_PREVIOUS, not_before=now - SKEW,
                live_until=live_until, reason="New zone",
            )
        )  # fmt: skip
    await gate.call("trust_put", objects=objects)
    return [one.name for one in others]


async def other_officers(keyring: Keyring, gate: Caller, now: datetime) -> list[Subject]:
    """The access officers beside oneself whose mandates hold now, each verified."""
    found = []
    for row in await gate.call("office_people", role=ACCESS_OFFICER, limit=200):
        if row["id"] == keyring.person or row["certificate"] is None:
            continue
        try:
            one = await subject_of(keyring, gate, row["id"], now)
            keyring.offices.access_key(one.certificate.hash.hex(), zone=None, now=now)
        except (Denied, Forged):
            continue
        found.append(one)
    return found


async def set_policy(keyring: Keyring, gate: Caller, *, zone: str, changes: Mapping[str, Any], now: datetime) -> None:
    """A newer record of the zone. Two officers are asked for only once every grant has its second signature: nobody is locked out."""
    (row,) = await gate.call("office_zones", zone=zone) or [None]
    if row is None:
        raise Invalid("There is no such zone.", hint="Load the page again.", reason="zone")
    record = verified_zone(keyring, bytes(row["body"]))
    policy = {**record.policy, **changes}
    if policy.get(revocations.TWO_OFFICERS) and not record.policy.get(revocations.TWO_OFFICERS):
        lacking = [one for one in await all_grants(keyring, gate, zone, now) if one["countersigned"] == 0 and one["root"] is False]
        if lacking:
            raise Conflict(
                f"{len(lacking)} grants of this zone have one signature only.",
                hint="Have a second officer sign them first, or these people lose the zone.",
                reason="grants-lack-second",
            )
    body = epochs.zone_record(
        keyring.signer, trust=keyring.trust_id, zone=zone, name=record.name, hospital=record.hospital, ward=record.ward, policy=policy,
        made=now, seq=record.seq + 1,
    )  # fmt: skip
    columns = {"zone": zone, "hospital": record.hospital, "ward": record.ward, "name": record.name, "policy": json.dumps(policy)}
    await gate.call("trust_put", objects=[{"kind": "zone", "body": body, **columns}])


def verified_zone(keyring: Keyring, body: bytes) -> epochs.Zone:
    """The zone's record, if an officer signed it who was mandated then."""
    signer = envelope.peek_signer(body)
    made = envelope.peek_body(body).get("made")
    moment = datetime.fromtimestamp(int(made) / 1000).astimezone() if isinstance(made, int) else datetime.fromtimestamp(0).astimezone()
    public, _ = keyring.offices.access_key(signer, zone=None, now=moment)
    return epochs.verified_zone(body, public, keyring.trust_id)


async def all_grants(keyring: Keyring, gate: Caller, zone: str, now: datetime) -> list[dict[str, Any]]:
    """Every living grant of a zone, each person's and team's newest only, verified here: `refused` says why one opens nothing.

    `countersigned` counts second signatures on these terms; the person's own session verifies them.
    """
    rows: list[dict[str, Any]] = []
    after = b""
    while page := await gate.call("office_grants", zone=zone, after=after, limit=200):
        rows += page
        after = bytes(page[-1]["hash"])
    second = [envelope.peek_body(bytes(body)).get("terms") for body in await gate.call("office_countersignatures", zone=zone)]
    newest: dict[str, dict[str, Any]] = {}
    for row in rows:
        whose = row["person"] or f"team:{row['team']}"
        if whose not in newest or row["seq"] > newest[whose]["seq"]:
            newest[whose] = shown(keyring, row, now) | {"subject": row["subject"]}
            newest[whose]["countersigned"] = second.count(newest[whose]["terms"])
    return sorted(newest.values(), key=lambda row: str(row["subject"]))


def shown(keyring: Keyring, row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """A grant's row with what its verified body says: who signed it, why, and for which certificate; or why it is refused."""
    told = {**row, "refused": "", "reason": "", "signer": "", "signer_id": "", "root": False, "terms": None, "certificate": b"", "floor": 1}
    try:
        found = grants.authorised_grant(bytes(row["body"]), keyring.offices, now)
        told |= {"reason": found.reason, "terms": revocations.terms_of(found), "certificate": found.certificate, "floor": found.floor}
        told["root"] = found.signer == envelope.ROOT_ACCESS
        if not told["root"]:
            officer = keyring.author(envelope.certificate_hash(found.signer))
            told |= {"signer": officer.name, "signer_id": officer.person}
        if found.person != (row["person"] or f"team:{row['team']}") or found.zone != row["zone"]:
            raise Forged(Refusal.SWAPPED)
        grants.check_moment(found, now)
    except (Forged, Denied) as refused:
        told["refused"] = refused.reason
    return told
