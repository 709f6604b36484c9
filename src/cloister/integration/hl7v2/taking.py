"""One message into the record of a session: recognised, mapped, written or parked, and only then acknowledged. HL7 v2.5 2.9.

Its Provenance is written with its resources, all or nothing, under an id that follows from sender and control id and may not
exist before: so a message is written once, also when a process dies between the write and its acknowledgement. What another
message of the same patient waits for, waits behind it. Busy and Unavailable go through: of such a message nothing is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from weakref import WeakKeyDictionary

from cloister.base.clock import iso
from cloister.base.errors import Busy, CloisterError, Conflict, Invalid, Unavailable
from cloister.integration.hl7v2 import acknowledging, mapping, tokens
from cloister.integration.hl7v2.acknowledging import Answer, Fate
from cloister.integration.hl7v2.context import SEGMENT_EXTENSION, Given, Json, Made, Names
from cloister.integration.hl7v2.datatypes import moment
from cloister.integration.hl7v2.faults import Condition, Unfit, Unreadable
from cloister.integration.hl7v2.knowing import known, versions
from cloister.integration.hl7v2.message import Message, read_message
from cloister.integration.hl7v2.overrides import SenderMapping, bound, mapping_for
from cloister.integration.hl7v2.stored_overrides import stored_overrides
from cloister.records import Records
from cloister.zones import algorithms

TURNS_MAX: Final = 4  # when another session writes to the same record at this moment
CLAIM_TURNS_MAX: Final = 40
CLAIM_SECONDS: Final = 0.1
SYSTEM: Final = "urn:cloister:hl7v2:message"
DIGEST: Final = "urn:cloister:hl7v2:sha256"
PARTICIPANT: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
BEHIND: Final = "behind"
LATER: Final = frozenset({"version", "head-moved"})


@dataclass(slots=True)
class Orders:
    """One message of a sender at a time, in the order in which they came; of one session."""

    locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    def lock(self, sender: str) -> asyncio.Lock:
        if len(self.locks) > 1000:
            self.locks = {name: lock for name, lock in self.locks.items() if lock.locked()}
        return self.locks.setdefault(sender, asyncio.Lock())


_orders: WeakKeyDictionary[Records, Orders] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a listener wants its messages taken. `park`: keep what cannot be written, and say AA; else AE, and the sender keeps it."""

    zone: str | None = None
    park: bool = True
    assumed: str = ""  # a character set for messages that name none
    replaying: str = ""  # the parked message that this is: its own place in the order is no hindrance
    overrides: SenderMapping | None = None  # tried for this one message
    certificate: str = ""  # SHA-256 of the one that the sender has shown to the listener


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """`acknowledgements` as texts, in the character set `charset` on the wire."""

    answer: Answer
    acknowledgements: tuple[str, ...]
    charset: str
    again: bool = False


async def take(records: Records, data: bytes, terms: Terms) -> Taken:
    """Raises Busy and Unavailable: then nobody knows, and the same message may be given again."""
    now = records.clock()
    zone = records.parking.zone(terms.zone)
    overrides = await stored_overrides(records, zone)
    sender = tokens.claimed_sender(data)
    by = terms.overrides or mapping_for(overrides, sender)
    try:
        message = read_message(data, assumed=by.charset or terms.assumed)
    except Unreadable as wrong:
        return Taken(answer=Answer(Fate.REJECTED, wrong), acknowledgements=(acknowledging.unreadable(data, wrong, now),), charset="ascii")
    if not terms.replaying and not bound(overrides, message.sender, terms.certificate):
        answer = Answer(Fate.REJECTED, _not_its_own())
        return Taken(answer=answer, acknowledgements=tuple(acknowledging.acknowledgements(message, answer, now)), charset=message.charset)
    async with _orders.setdefault(records, Orders()).lock(message.sender):
        answer, again = await _taken(records, message, data, by, zone, terms)
    texts = acknowledging.acknowledgements(message, answer, now)
    return Taken(answer=answer, acknowledgements=tuple(texts), charset=message.charset, again=again)


def _not_its_own() -> Unfit:
    return Unreadable(
        "The certificate of this connection does not belong to the sender that the message names.",
        condition=Condition.INTERNAL,
        place="MSH-3",
        hint="Write the certificate's SHA-256 into the sender's entry of the mapping (certificates).",
        reason="sender-certificate",
    )


async def _taken(records: Records, message: Message, data: bytes, by: SenderMapping, zone: str, terms: Terms) -> tuple[Answer, bool]:
    names = Names(records.parking.name_key(zone))
    digest = algorithms.sha256(data)
    marks = tokens.marks(message, digest, names)
    try:
        mapping.check_kind(message, by)
        try:
            return await _written(records, message, by, names, zone, terms, marks, digest)
        finally:
            await records.parking.done(zone, marks.message, marks.lines)
    except (Busy, Unavailable):
        raise
    except Unreadable as wrong:
        return Answer(Fate.REJECTED, wrong), False
    except CloisterError as wrong:
        return await _kept(records, message, data, _unfit(wrong), marks, zone, terms), False


async def _written(
    records: Records, message: Message, by: SenderMapping, names: Names, zone: str, terms: Terms, marks: tokens.Marks, digest: bytes
) -> tuple[Answer, bool]:
    """(the answer, whether the message came before). Raises what keeps it from being written."""
    id = names.id("message", message.sender, message.control)
    for turn in range(TURNS_MAX):
        before = await _before(records, id, digest, marks, zone, terms)
        if before is not None:
            return before, True
        try:
            made = await _write(records, message, by, names, zone, id, digest)
            return Answer(Fate.WRITTEN, notes=tuple(made.notes)), False
        except Conflict as race:  # somebody else changed the record, or wrote this very message
            if race.reason not in LATER or turn + 1 == TURNS_MAX:
                raise
    raise AssertionError("the last turn returns or raises")


async def _before(records: Records, id: str, digest: bytes, marks: tokens.Marks, zone: str, terms: Terms) -> Answer | None:
    """What was answered to this very message before; raises Unfit for a number used twice, and for one that waits behind another."""
    held, waiting = await _claimed(records, marks, zone)
    if held is not None and not terms.replaying:  # also when a person has corrected and replayed it since
        _same(held["hash"] == marks.hash.hex())
        return Answer(Fate.PARKED, _again())
    stored = (await records.many([f"Provenance/{id}"])).get(f"Provenance/{id}")
    if stored is not None:
        _same(_digest_of(stored.resource or {}) == digest.hex())
        return Answer(Fate.WRITTEN)
    if waiting:
        raise Unfit(
            "An earlier message about this patient waits for a person.",
            condition=Condition.LOCKED,
            hint="Replay the earlier one first.",
            reason=BEHIND,
        )
    return None


async def _claimed(records: Records, marks: tokens.Marks, zone: str) -> tuple[dict[str, Any] | None, int]:
    """Waits a little while another session has a message about the same patient; Busy after that."""
    for turn in range(CLAIM_TURNS_MAX):
        try:
            return await records.parking.held(zone, marks.message, marks.lines)
        except Busy as taken:
            if taken.reason != "line-taken" or turn + 1 == CLAIM_TURNS_MAX:
                raise
            await asyncio.sleep(CLAIM_SECONDS)
    raise AssertionError("the last turn returns or raises")


def _same(same: bool) -> None:
    if not same:
        raise Twice()


class Twice(Unfit):
    """A control id that came before with other bytes: never parked, for it would stand in the first one's place."""

    def __init__(self) -> None:
        super().__init__(
            "This control id was used for another message.",
            condition=Condition.KEY_DUPLICATE,
            place="MSH^1^10",
            hint="Give each message its own MSH-10.",
            reason="control-id-twice",
        )


def _again() -> Unfit:
    return Unfit("The message is kept, sealed, until a person has looked at it.", condition=Condition.ACCEPTED, reason="parked")


async def _write(records: Records, message: Message, by: SenderMapping, names: Names, zone: str, id: str, digest: bytes) -> Made:
    found, patient = await known(records, message, by, names)
    seen = versions(found)
    given = Given(message=message, by=by, names=names, known=found, patient=patient)
    for one in (given, replace(given, ins=False)):
        made = mapping.mapped(one)
        provenance = _provenance(records, message, by, id, digest, made, f"Patient/{patient}")
        entries = [_entry(resource, seen.get(reference)) for reference, resource in made.resources.items()]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [*entries, _entry(provenance, 0)]}
        try:
            await records.transaction(bundle, zone=zone)
            return made
        except Invalid as wrong:  # the national number may not stand there: an admission does not wait for that
            if not wrong.reason.startswith("ins-") or not one.ins:
                raise
    raise AssertionError("the second turn returns or raises")


def _entry(resource: Json, version: int | None) -> Json:
    url = f"{resource['resourceType']}/{resource['id']}"
    request = {"method": "PUT", "url": url, **({"ifMatch": f'W/"{version}"'} if version is not None else {})}
    return {"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource, "request": request}


def _provenance(records: Records, message: Message, by: SenderMapping, id: str, digest: bytes, made: Made, patient: str) -> Json:
    """Which message of whom made this: http://hl7.org/fhir/R4/provenance.html."""
    kept = [text for text in mapping.unknown_segments(message) if text[:3] in by.kept]
    sent = message.header.text_of(7)
    who = {"display": message.sender}
    agents: list[Json] = [{"type": {"coding": [{"system": PARTICIPANT, "code": "assembler"}]}, "who": who}]
    if records.actor.role != "program":
        agents.append({"type": {"coding": [{"system": PARTICIPANT, "code": "enterer"}]}, "who": {"display": records.actor.name}})
    extensions = [{"url": DIGEST, "valueString": digest.hex()}, *({"url": SEGMENT_EXTENSION, "valueString": text} for text in kept)]
    return {
        "resourceType": "Provenance",
        "id": id,
        "extension": extensions,
        "target": [{"reference": one} for one in dict.fromkeys((patient, *made.resources))],
        "recorded": iso(records.clock()),
        **({"occurredDateTime": moment(sent, "MSH^1^7")} if sent else {}),
        "activity": {"text": f"{message.type}^{message.event}"},
        "agent": agents,
        "entity": [{"role": "source", "what": {"identifier": {"system": SYSTEM, "value": f"{message.sender}|{message.control}"}}}],
    }


def _digest_of(provenance: Mapping[str, Any]) -> str:
    return next((str(one.get("valueString")) for one in provenance.get("extension", ()) if one.get("url") == DIGEST), "")


def _unfit(wrong: CloisterError) -> Unfit:
    """What the record refused, in the words of a sender."""
    if isinstance(wrong, Unfit):
        return wrong
    return Unfit(wrong.text, condition=Condition.INTERNAL, hint=wrong.hint, reason=wrong.reason or wrong.category)


async def _kept(records: Records, message: Message, data: bytes, wrong: Unfit, marks: tokens.Marks, zone: str, terms: Terms) -> Answer:
    """Parked where the terms say so and it can be; else refused: its sender keeps it."""
    if not terms.park or terms.replaying or isinstance(wrong, Twice):
        return Answer(Fate.REFUSED, wrong)
    head = {
        "kind": "hl7v2",
        "sender": message.sender,
        "control": message.control,
        "type": f"{message.type}^{message.event}",
        "text": wrong.text,
        "hint": wrong.hint,
        "place": wrong.place,
        "assumed": terms.assumed,
    }
    try:
        await records.parking.park(
            zone, head, data, message=marks.message, lines=marks.lines, hash=marks.hash, reason=tokens.reason_word(wrong.reason)
        )
    except (Busy, Unavailable):
        raise
    except CloisterError as full:
        return Answer(Fate.REFUSED, _unfit(full))
    return Answer(Fate.PARKED, wrong)
