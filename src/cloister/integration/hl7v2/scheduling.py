"""SIU S12, S13, S14, S15, S26 to Appointment, found again by the filler's or the placer's number. HL7 v2.5 10.3, 10.6.

A cancelled or missed appointment stays, with its reason.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from cloister.integration.hl7v2 import datatypes
from cloister.integration.hl7v2.context import Given, Json, Made
from cloister.integration.hl7v2.faults import Condition, Unfit
from cloister.integration.hl7v2.message import NULL, Message, Segment
from cloister.integration.hl7v2.overrides import SenderMapping
from cloister.integration.hl7v2.patching import patched

MINUTES: Final = {"S": 1 / 60, "MIN": 1, "M": 1, "H": 60, "HR": 60, "D": 1440, "": 1}
MINUTES_MAX: Final = 60 * 24 * 31
PEOPLE_MAX: Final = 50


def number(message: Message, by: SenderMapping) -> Json:
    """SCH-2, else SCH-1."""
    segment = message.only("SCH")
    found = datatypes.entity(segment, 2, by, "FILL") or datatypes.entity(segment, 1, by, "PLAC")
    if found is None:
        raise Unfit(
            "The appointment has no number.", condition=Condition.FIELD_MISSING, place=segment.place(2), hint="Send SCH-1 or SCH-2."
        )
    return found


def appointment(given: Given, made: Made, patient: str) -> None:
    by, segment, existing = given.by, given.message.only("SCH"), given.known.appointment
    own = number(given.message, by)
    status = by.looked_up("appointment-event", given.message.event, "MSH^1^9")
    if existing is None and status != "booked":
        raise Unfit(
            "This appointment is not known here.",
            condition=Condition.KEY_UNKNOWN,
            place=segment.place(2),
            hint="Send it with S12 first.",
            reason="appointment-unknown",
        )
    patch: Json = {
        "resourceType": "Appointment",
        "id": str(existing["id"]) if existing else given.names.id("Appointment", own["system"], own["value"]),
        "identifier": [own],
        "status": status,
        "participant": _participants(given.message, by, patient, status),
        "description": segment.text_of(7, 2) or segment.text_of(6, 2) or segment.text_of(7),
        **_times(segment),
    }
    kind = datatypes.concept(segment, 8, by)
    if kind:
        patch["appointmentType"] = kind
    if status == "cancelled":
        patch["cancelationReason"] = datatypes.concept(segment, 6, by)
    services = [one for part in given.message.all("AIS") if (one := datatypes.concept(part, 3, by))]
    if services:
        patch["serviceType"] = services
    text = "\n".join(line for one in given.message.all("NTE") for value in one.values(3) if (line := one.piece(value, 1)) and line != NULL)
    if text:
        patch["comment"] = text
    made.put(patched(existing, patch), existing)


def _times(segment: Segment) -> Json:
    """SCH-11.4 and .5 (TQ), or the start with SCH-9 and SCH-10 (how long)."""
    start, end = segment.text_of(11, 4), segment.text_of(11, 5)
    if not start or start == NULL:
        return {}
    found: Json = {"start": datatypes.moment(start, segment.place(11, 4), precise=True)}
    minutes = _minutes(segment)
    if end and end != NULL:
        found["end"] = datatypes.moment(end, segment.place(11, 5), precise=True)
    elif minutes:
        found["end"] = (datatypes.order_of(found["start"]) + timedelta(minutes=minutes)).isoformat()
    if "end" not in found:
        raise Unfit(
            "The appointment has no end.",
            condition=Condition.FIELD_MISSING,
            place=segment.place(11, 5),
            hint="Send SCH-11.5, or SCH-9 and SCH-10.",
        )
    if datatypes.order_of(found["end"]) < datatypes.order_of(found["start"]):
        raise Unfit(
            "The appointment would end before it begins.",
            condition=Condition.DATA_TYPE,
            place=segment.place(11, 5),
            hint="Correct its times.",
        )
    if minutes:
        found["minutesDuration"] = minutes
    return found


def _minutes(segment: Segment) -> int:
    text = segment.text_of(9)
    if not text.isdigit() or len(text) > 6:
        return 0
    minutes = int(text) * MINUTES.get(segment.text_of(10).upper(), 1)
    return int(minutes) if 1 <= minutes <= MINUTES_MAX else 0


def _participants(message: Message, by: SenderMapping, patient: str, status: str) -> list[Json]:
    """The patient, AIP people, AIL places, AIG things."""
    said = "declined" if status == "cancelled" else "accepted"
    found: list[Json] = [{"actor": {"reference": patient}, "status": said}]
    for part in message.segments:
        actor: Json | None = None
        if part.name == "AIP":
            actor = datatypes.person(part, 3, by)
        elif part.name == "AIL":
            actor = datatypes.place_of(part, 3, by)
        elif part.name == "AIG":
            kind = datatypes.concept(part, 3, by)
            actor = {"display": kind["text"]} if kind and kind.get("text") else None
        if actor and len(found) < PEOPLE_MAX:
            found.append({"actor": actor, "status": said})
    return found
