"""ORM^O01: ORC and OBR to ServiceRequest, found again by the placer's number. HL7 v2.5 4.4.1, 4.5.1, table 0119.

NW makes, XO changes, CA and DC revoke, HD holds, SC reports the status that ORC-5 names. Nothing is deleted.
"""

from __future__ import annotations

from typing import Final

from cloister.integration.hl7v2 import datatypes
from cloister.integration.hl7v2.context import Given, Json, Made
from cloister.integration.hl7v2.faults import Condition, Unfit
from cloister.integration.hl7v2.message import NULL, Message, Segment
from cloister.integration.hl7v2.overrides import SenderMapping
from cloister.integration.hl7v2.patching import patched

NEW: Final = "NW"
STATUS_CHANGED: Final = "SC"
ORDERS_MAX: Final = 500


def pairs(message: Message) -> list[tuple[Segment, Segment | None, list[Segment]]]:
    """Each ORC with the OBR that follows it, and its notes."""
    found: list[tuple[Segment, Segment | None, list[Segment]]] = []
    for segment in message.segments:
        if segment.name == "ORC":
            found.append((segment, None, []))
        elif segment.name == "OBR" and found and found[-1][1] is None:
            found[-1] = (found[-1][0], segment, [])
        elif segment.name == "NTE" and found:
            found[-1][2].append(segment)
    if not found or len(found) > ORDERS_MAX:
        raise Unfit("There is no ORC segment, or too many.", condition=Condition.SEGMENT_SEQUENCE, place="ORC", hint="Send ORC, then OBR.")
    return found


def placer(order: Segment, request: Segment | None, by: SenderMapping) -> Json:
    found = datatypes.entity(order, 2, by, "PLAC") or (datatypes.entity(request, 2, by, "PLAC") if request is not None else None)
    if found is None:
        raise Unfit("There is no placer order number.", condition=Condition.FIELD_MISSING, place=order.place(2), hint="Send ORC-2.")
    return found


def keys(message: Message, by: SenderMapping) -> list[str]:
    return [f"{one['system']}|{one['value']}" for order, request, _ in pairs(message) for one in (placer(order, request, by),)]


def orders(given: Given, made: Made, patient: str, encounter: str) -> None:
    for order, request, notes in pairs(given.message):
        _order(given, made, order, request, notes, patient, encounter)


def _order(given: Given, made: Made, order: Segment, request: Segment | None, notes: list[Segment], patient: str, encounter: str) -> None:
    by = given.by
    number = placer(order, request, by)
    key = f"{number['system']}|{number['value']}"
    existing = given.known.orders.get(key)
    control = order.needed(1)
    if control == STATUS_CHANGED:
        status = by.looked_up("order-status", order.text_of(5), order.place(5))
    else:
        status = by.looked_up("order-control", control, order.place(1))
    if existing is None and control not in (NEW, "XO"):
        raise Unfit(
            "This order is not known here.",
            condition=Condition.KEY_UNKNOWN,
            place=order.place(2),
            hint="Send it with NW first.",
            reason="order-unknown",
        )
    filler = datatypes.entity(order, 3, by, "FILL")
    others = [
        one for one in (existing or {}).get("identifier", ()) if one.get("system") not in {number["system"], filler and filler["system"]}
    ]
    patch: Json = {
        "resourceType": "ServiceRequest",
        "id": str(existing["id"]) if existing else given.names.id("ServiceRequest", number["system"], number["value"]),
        "identifier": [*others, number, *([filler] if filler else [])],
        "status": status,
        "intent": "order",
        "subject": {"reference": patient},
        "encounter": {"reference": encounter} if encounter else None,
        "authoredOn": datatypes.moment(order.text_of(9), order.place(9), precise=True) if order.text_of(9) not in ("", NULL) else None,
        "requester": datatypes.person(order, 12, by),
    }
    if request is not None:
        patch |= _asked(request, by)
    elif existing is None:
        raise Unfit("A new order says nothing of what is asked for.", condition=Condition.SEGMENT_SEQUENCE, place="OBR", hint="Send OBR.")
    text = "\n".join(line for one in notes for value in one.values(3) if (line := one.piece(value, 1)) and line != NULL)
    if text:
        patch["note"] = [{"text": text}]
    made.put(patched(existing, patch), existing)


def _asked(request: Segment, by: SenderMapping) -> Json:
    code = datatypes.concept(request, 4, by)
    if code is None:
        raise Unfit("OBR-4 is missing.", condition=Condition.FIELD_MISSING, place=request.place(4), hint="Send what is asked for.")
    reasons = [one for value in request.values(31) if (one := datatypes.concept(request, 31, by, value))]
    wanted = request.text_of(27, 4) or request.text_of(36)
    priority = request.text_of(27, 6) or request.text_of(5)
    return {
        "code": code,
        "reasonCode": reasons,
        "priority": by.table("priority").get(priority, "routine"),
        "occurrenceDateTime": datatypes.moment(wanted, request.place(27)) if wanted and wanted != NULL else None,
    }
