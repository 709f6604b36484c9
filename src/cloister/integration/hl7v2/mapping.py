"""Which messages are taken, what each makes, and what must be known of the record before. The table is KINDS.

HL7 v2.5 3.3 (ADT), 4.4.1 (ORM), 7.3.1 (ORU), 10.3 (SIU); IHE PAM. Pure: a message and what is known become resources.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cloister.integration.hl7v2 import encounter, orders, patient, results, scheduling
from cloister.integration.hl7v2.context import Given, Json, Made, Names
from cloister.integration.hl7v2.faults import Condition, Unfit, Unreadable
from cloister.integration.hl7v2.message import Message
from cloister.integration.hl7v2.overrides import SenderMapping

ADT: Final = frozenset({"A01", "A02", "A03", "A04", "A05", "A08", "A11", "A12", "A13", "A28", "A31", "A40"})
PERSON_ONLY: Final = frozenset({"A28", "A31", "A40"})
EVENTS: Final = {
    "ADT": ADT,
    "ORU": frozenset({"R01"}),
    "ORM": frozenset({"O01"}),
    "SIU": frozenset({"S12", "S13", "S14", "S15", "S26"}),
}
# Segments that a mapper reads, by message type; and those that say nothing which the record keeps.
READ: Final = {
    "ADT": frozenset(["MSH", "EVN", "PID", "PD1", "NK1", "PV1", "PV2", "IN1", "MRG", "ZBE", "ZFM", "ZFV"]),
    "ORU": frozenset(["MSH", "PID", "PV1", "ORC", "OBR", "OBX", "NTE", "PD1", "NK1"]),
    "ORM": frozenset(["MSH", "PID", "PV1", "PV2", "ORC", "OBR", "NTE", "PD1", "IN1"]),
    "SIU": frozenset(["MSH", "PID", "PV1", "SCH", "RGS", "AIS", "AIG", "AIL", "AIP", "NTE", "PD1"]),
}
PASSED_OVER: Final = frozenset(
    [
        "SFT",
        "ROL",
        "DB1",
        "OBX",
        "AL1",
        "DG1",
        "DRG",
        "PR1",
        "GT1",
        "IN2",
        "IN3",
        "ACC",
        "UB1",
        "UB2",
        "PDA",
        "ZFA",
        "ZFP",
        "ZFD",
        "ZFS",
        "TQ1",
        "TQ2",
        "SPM",
        "CTI",
        "DSC",
        "FT1",
        "CTD",
        "BLG",
        "EVN",
        "PV2",
        "NK1",
        "IN1",
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to look for in the record: identifiers as 'system|value'."""

    patients: tuple[str, ...]
    prior: tuple[str, ...] = ()
    encounter: str = ""
    orders: tuple[str, ...] = ()
    appointment: str = ""


def check_kind(message: Message, by: SenderMapping) -> None:
    """Raises Unreadable for a message of a kind that is not taken: it would never be."""
    header = message.header
    events = EVENTS.get(message.type)
    if events is None:
        raise Unreadable(
            f"Messages of type '{message.type[:10]}' are not taken.",
            condition=Condition.MESSAGE_TYPE,
            place=header.place(9),
            hint="Send ADT, ORU, ORM or SIU.",
        )
    if message.event not in events:
        raise Unreadable(
            f"The event '{message.event[:10]}' is not taken.",
            condition=Condition.EVENT_CODE,
            place=header.place(9, 2),
            hint=f"Send one of {', '.join(sorted(events))}.",
        )
    if header.text_of(11) not in by.own.processing:
        raise Unreadable(
            "This sender's processing id is not taken.",
            condition=Condition.PROCESSING_ID,
            place=header.place(11),
            hint="Send P, or allow it in the mapping.",
        )


def unknown_segments(message: Message) -> list[str]:
    return [one.text for one in message.segments if one.name not in READ[message.type] and one.name not in PASSED_OVER]


def check_segments(message: Message, by: SenderMapping) -> None:
    known = READ[message.type] | PASSED_OVER | by.kept
    for one in message.segments:
        if one.name not in known and by.own.refuse_unknown:
            raise Unfit(
                f"Segment {one.name} is not known.",
                condition=Condition.SEGMENT_SEQUENCE,
                place=f"{one.name}^{one.number}",
                hint="Keep it, by this sender's mapping.",
                reason="segment-unknown",
            )


def wanted(message: Message, by: SenderMapping) -> Wanted:
    """Whom and what the message is about."""
    segment = message.only("PID")
    people = tuple(_key(one) for one in patient.keys_of(patient.identifiers(segment, 3, by)))
    prior: tuple[str, ...] = ()
    if message.event == "A40":
        prior = tuple(_key(one) for one in patient.keys_of(patient.identifiers(message.only("MRG"), 1, by)))
    visit = None if message.event in PERSON_ONLY else encounter.visit(message, by)
    asked: Sequence[str] = ()
    if message.type == "ORU":
        asked = results.keys(message, by)
    elif message.type == "ORM":
        asked = orders.keys(message, by)
    booked = _key(scheduling.number(message, by)) if message.type == "SIU" else ""
    return Wanted(
        patients=people, prior=prior, encounter=_key(visit) if visit else "", orders=tuple(dict.fromkeys(asked)), appointment=booked
    )


def _key(identifier: Json) -> str:
    return f"{identifier['system']}|{identifier['value']}"


def written_before(message: Message, names: Names, patient_id: str) -> list[str]:
    """References of what this message writes under ids of its own, to be looked at first."""
    return patient.coverage_ids(message, names, patient_id) if message.type == "ADT" else []


def mapped(given: Given) -> Made:
    """The resources of one message. Raises Unfit with the place of what cannot be mapped."""
    check_segments(given.message, given.by)
    made = Made()
    KINDS[given.message.type](given, made)
    return made


def _adt(given: Given, made: Made) -> None:
    about = patient.patient(given, made)
    patient.coverages(given, made, about)
    if given.message.event == "A40":
        patient.merged(given, made, about)
    if given.message.event in PERSON_ONLY:
        return
    visit = encounter.visit(given.message, given.by)
    if visit is not None:
        encounter.encounter(given, made, about, visit)
    elif given.message.event not in ("A08", "A04"):
        segment = given.message.only("PV1")
        raise Unfit("There is no visit number.", condition=Condition.FIELD_MISSING, place=segment.place(19), hint="Send PV1-19.")


def _about(given: Given, made: Made) -> str:
    """The patient of a message that is not about who they are: known, or brought where the mapping allows it."""
    if given.known.patient is None:
        return patient.patient(given, made)
    return f"Patient/{given.patient}"


def _visit(given: Given) -> str:
    known = given.known.encounter
    return f"Encounter/{known['id']}" if known else ""


def _oru(given: Given, made: Made) -> None:
    results.results(given, made, _about(given, made), _visit(given))


def _orm(given: Given, made: Made) -> None:
    orders.orders(given, made, _about(given, made), _visit(given))


def _siu(given: Given, made: Made) -> None:
    scheduling.appointment(given, made, _about(given, made))


KINDS: Final[dict[str, Callable[[Given, Made], None]]] = {"ADT": _adt, "ORU": _oru, "ORM": _orm, "SIU": _siu}
