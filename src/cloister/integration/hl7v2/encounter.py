"""PV1, PV2, ZBE, ZFV, ZFM to Encounter: one for each visit number, its movements kept in order.
HL7 v2.5 3.4.3; IHE PAM (ZBE) and its French extension.

A movement of ZBE is an entry of Encounter.location under its own id: INSERT adds it, UPDATE replaces it, CANCEL takes it out;
the periods follow from the movements' order in time, also when one comes late.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from cloister.integration.hl7v2 import datatypes
from cloister.integration.hl7v2.context import Given, Json, Made
from cloister.integration.hl7v2.faults import Condition, Unfit
from cloister.integration.hl7v2.message import NULL, Message, Segment
from cloister.integration.hl7v2.overrides import SenderMapping
from cloister.integration.hl7v2.patching import DELETE, Patch, patched

# What the event makes of the visit; None leaves it as it is.
STATUS: Final = {
    "A01": "in-progress",
    "A02": "in-progress",
    "A03": "finished",
    "A04": "in-progress",
    "A05": "planned",
    "A06": "in-progress",
    "A07": "in-progress",
    "A11": "cancelled",
    "A12": "in-progress",
    "A13": "in-progress",
    "A38": "cancelled",
}
CANCELS: Final = frozenset({"A11", "A12", "A13", "A38"})
PLACES: Final = frozenset({"A01", "A02", "A04", "A05", "A06", "A07", "A12"})
NOT_ID: Final = re.compile(r"[^A-Za-z0-9\-.]")
ROLES: Final = ((7, "ATND"), (8, "REF"), (9, "CON"), (17, "ADM"))
ACTIONS: Final = ("INSERT", "UPDATE", "CANCEL")
LOCATIONS_MAX: Final = 500


def visit(message: Message, by: SenderMapping) -> Json | None:
    """The visit's identifier: PV1-19, else PID-18; None for a message about no visit."""
    segment = message.first("PV1")
    if segment is None or segment.text_of(2) == "N":  # PAM: N, not applicable
        return None
    for one, number, kind in ((segment, 19, "VN"), (message.first("PID"), 18, "AN")):
        values = one.values(number) if one is not None else []
        if one is not None and values:
            return datatypes.identifier(one, number, values[0], by, kind)
    return None


def encounter(given: Given, made: Made, patient: str, identifier: Json) -> str:
    """The visit as this message leaves it; returns its reference."""
    message, by, existing = given.message, given.by, given.known.encounter
    segment = message.only("PV1")
    event = message.event
    id = str(existing["id"]) if existing else given.names.id("Encounter", identifier["system"], identifier["value"])
    if existing:  # of a patient who was merged since: the visit stays in the record where it began
        patient = str(existing.get("subject", {}).get("reference", patient))
    status = STATUS.get(event) or str((existing or {}).get("status") or _guessed(segment))
    movement = message.first("ZBE")
    if event == "A12":
        status = str((existing or {}).get("status") or status)
    patch: Patch = {"resourceType": "Encounter", "id": id, "status": status, "subject": {"reference": patient}}
    numbers = [one for one in (existing or {}).get("identifier", ()) if one.get("system") != identifier["system"]]
    patch["identifier"] = [*numbers, identifier]
    if segment.given(2) or not existing:
        code = by.looked_up("patient-class", segment.text_of(2), segment.place(2))
        patch["class"] = {"system": f"{datatypes.V3}ActCode", "code": code}
    _who_and_why(message, segment, by, patch)
    _period(message, segment, movement, existing, patch)
    places = _places(message, segment, movement, by, existing, ended=status == "finished" and event != "A03")
    patch["location"] = places if places else DELETE
    _hospitalization(message, segment, by, existing, patch)
    return made.put(patched(existing, patch), existing)


def _guessed(segment: Segment) -> str:
    """Of a message that only tells of a visit: by its times."""
    return "finished" if segment.given(45) and not segment.is_null(45) else "in-progress"


def _who_and_why(message: Message, segment: Segment, by: SenderMapping, patch: Patch) -> None:
    participants = []
    for number, role in ROLES:
        found = datatypes.person(segment, number, by)
        if found:
            participants.append({"type": [datatypes.coded(role, f"{datatypes.V3}ParticipationType")], "individual": found})
    if participants:
        patch["participant"] = participants
    if segment.given(4):
        kind = by.table("admission-type").get(segment.text_of(4))
        patch["priority"] = datatypes.coded(kind, f"{datatypes.V3}ActPriority") if kind else None
    if segment.given(10):
        service = datatypes.concept(segment, 10, by)
        patch["serviceType"] = DELETE if segment.is_null(10) else service
    more = message.first("PV2")
    if more is not None and more.given(3):
        reason = datatypes.concept(more, 3, by)
        patch["reasonCode"] = DELETE if more.is_null(3) else [reason] if reason else None


def _period(message: Message, segment: Segment, movement: Segment | None, existing: Mapping[str, Any] | None, patch: Patch) -> None:
    period = dict((existing or {}).get("period") or {})
    if segment.given(44) and not segment.is_null(44):
        period["start"] = datatypes.moment(segment.text_of(44), segment.place(44))
    elif "start" not in period and message.event in ("A01", "A04") and (happened := _happened(message, movement)):
        period["start"] = happened
    if message.event == "A13" or segment.is_null(45):
        period.pop("end", None)
    elif segment.given(45):
        period["end"] = datatypes.moment(segment.text_of(45), segment.place(45))
    elif message.event == "A03":
        end = _happened(message, movement)
        if end:
            period["end"] = end
    if "start" in period and "end" in period and datatypes.order_of(period["end"]) < datatypes.order_of(period["start"]):
        raise Unfit(
            "The visit would end before it began.",
            condition=Condition.DATA_TYPE,
            place=segment.place(45),
            hint="Correct PV1-44 or PV1-45.",
            reason="order",
        )
    patch["period"] = period or DELETE


def _happened(message: Message, movement: Segment | None) -> str:
    """When the event took place: ZBE-2, EVN-6, EVN-2."""
    event = message.first("EVN")
    for segment, number in ((movement, 2), (event, 6), (event, 2)):
        if segment is not None and segment.given(number) and not segment.is_null(number):
            return datatypes.moment(segment.text_of(number), segment.place(number), precise=True)
    return ""


def _hospitalization(message: Message, segment: Segment, by: SenderMapping, existing: Mapping[str, Any] | None, patch: Patch) -> None:
    found = dict((existing or {}).get("hospitalization") or {})
    modes = message.first("ZFM")  # mode of entry and of leaving, where from and where to (PMSI)
    for name, one, number in (
        ("admitSource", modes, 1),
        ("dischargeDisposition", modes, 2),
        ("admitSource", segment, 14),
        ("dischargeDisposition", segment, 36),
    ):
        if one is None or not one.given(number):
            continue
        if one.is_null(number):
            found.pop(name, None)
        elif name not in found or one is modes or modes is None:
            found[name] = datatypes.concept(one, number, by)
    if modes is not None:
        for name, number in (("origin", 3), ("destination", 4)):
            if modes.text_of(number) not in ("", NULL):
                found[name] = {"display": f"PMSI {modes.text_of(number)}"}
    way = message.first("ZFV")  # ZFV-1: the facility that the patient came from, and when
    if way is not None and way.text_of(1) not in ("", NULL):
        found["origin"] = {"display": way.text_of(1)}
    if segment.given(5):
        found["preAdmissionIdentifier"] = datatypes.identifier(segment, 5, segment.values(5)[0], by)
    found = {name: value for name, value in found.items() if value}
    patch["hospitalization"] = found or DELETE


# --- movements ---------------------------------------------------------------------------------------------


def _places(
    message: Message, segment: Segment, movement: Segment | None, by: SenderMapping, existing: Mapping[str, Any] | None, *, ended: bool
) -> list[Json]:
    """Where the patient was, is and will be, in order of time, each until the next."""
    entries = [dict(one) for one in (existing or {}).get("location", ())][:LOCATIONS_MAX]
    place = datatypes.place_of(segment, 3, by)
    if movement is not None:
        entries = _moved(entries, message, movement, place, by)
    elif message.event == "A12":
        entries = entries[:-1] if len(entries) > 1 else entries
    elif place is not None and (message.event in PLACES or not entries):
        start = _happened(message, None)
        if not entries or entries[-1]["location"] != place:
            entries.append({"location": place, **({"period": {"start": start}} if start else {})})
    elif place is not None and message.event == "A08":
        entries[-1]["location"] = place
    return _in_order(entries, message, movement, ended=ended)


def _moved(entries: list[Json], message: Message, movement: Segment, place: Json | None, by: SenderMapping) -> list[Json]:
    """ZBE-1 which movement, ZBE-2 since when, ZBE-4 INSERT, UPDATE or CANCEL, ZBE-7 the medical unit."""
    action = movement.needed(4)
    if action not in ACTIONS:
        raise Unfit("ZBE-4 is no action.", condition=Condition.TABLE_VALUE, place=movement.place(4), hint="Send INSERT, UPDATE or CANCEL.")
    id = NOT_ID.sub("-", f"mvt-{movement.needed(1)}")[:64]
    others = [one for one in entries if one.get("id") != id]
    if action == "CANCEL":
        return others
    if place is None or message.event == "A03":  # a leaving, or a change of responsibility without a change of place
        return entries
    found: Json = {"id": id, "location": place}
    if movement.given(2):
        found["period"] = {"start": datatypes.moment(movement.text_of(2), movement.place(2), precise=True)}
    unit = movement.text_of(7, 1) or movement.text_of(7, 10)
    if unit and unit != NULL and not place.get("reference") and (named := by.location(unit)):
        found["location"] = {**place, "reference": named}
    return [*others, found]


def _in_order(entries: list[Json], message: Message, movement: Segment | None, *, ended: bool) -> list[Json]:
    """Each place lasts until the next begins; the last until the visit ends."""
    ordered = sorted(enumerate(entries), key=lambda one: (_start(one[1]), one[0]))
    found = [one for _, one in ordered]
    for here, after in zip(found, found[1:], strict=False):
        until = (after.get("period") or {}).get("start")
        here["status"] = "completed"
        if until:
            here["period"] = {**(here.get("period") or {}), "end": until}
    if found and not ended:  # of a visit that had ended before, the last place stays as it was
        last = found[-1]
        leaves = message.event == "A03"
        last["status"] = "completed" if leaves else "planned" if message.event == "A05" else "active"
        end = _happened(message, movement) if leaves else ""
        period = {name: value for name, value in (last.get("period") or {}).items() if name != "end"}
        if end and (not period.get("start") or datatypes.order_of(end) >= datatypes.order_of(period["start"])):
            period["end"] = end
        if period:
            last["period"] = period
        else:
            last.pop("period", None)
    return found


def _start(entry: Json) -> float:
    start = (entry.get("period") or {}).get("start")
    return datatypes.order_of(start).timestamp() if start else 0.0
