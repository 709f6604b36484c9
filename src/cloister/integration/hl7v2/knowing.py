"""What the record knows of a message's patient, visit and orders: looked up in the session before anything is mapped.

Decides nothing but identity: several patients under one identifier stop the message, a merged one leads to who took their place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from cloister.integration.hl7v2.context import Known, Names
from cloister.integration.hl7v2.faults import Condition, Unfit
from cloister.integration.hl7v2.mapping import Wanted, wanted, written_before
from cloister.integration.hl7v2.message import Message
from cloister.integration.hl7v2.overrides import SenderMapping
from cloister.records import Records, parse

ALTERNATIVES: Final = 50  # of one search
MERGES_MAX: Final = 5


async def known(records: Records, message: Message, by: SenderMapping, names: Names) -> tuple[Known, str]:
    """(what is known, the patient's id). Raises Unfit where the patient is unknown and the sender may bring none."""
    asked = wanted(message, by)
    found = await _patients(records, asked.patients)
    patient = await _one(records, found, "PID^1^3")
    if patient is None and message.type not in by.own.creates_patients:
        raise Unfit(
            "Nobody here has this identifier.",
            condition=Condition.KEY_UNKNOWN,
            place="PID^1^3",
            hint="Send the patient's ADT first.",
            reason="patient-unknown",
        )
    id = str(patient["id"]) if patient is not None else names.id("Patient", asked.patients[0])
    prior = await _prior(records, asked, id)
    orders: dict[str, Mapping[str, Any]] = {}
    for resource in await _by_identifier(records, "ServiceRequest", asked.orders):
        for one in resource.get("identifier", ()):
            orders[f"{one.get('system')}|{one.get('value')}"] = resource
    visits = await _by_identifier(records, "Encounter", [asked.encounter] if asked.encounter else [])
    booked = await _by_identifier(records, "Appointment", [asked.appointment] if asked.appointment else [])
    written = await records.many(written_before(message, names, id))
    encounter = _visit(visits, id, patient)
    whole = Known(
        patient=patient,
        prior=prior,
        encounter=encounter,
        orders=orders,
        appointment=booked[0] if booked else None,
        written={reference: stored.resource or {} for reference, stored in written.items()},
    )
    return whole, id


def _visit(visits: Sequence[Mapping[str, Any]], id: str, patient: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The visit of this number, if it is this patient's, or of one who was merged into them."""
    if not visits:
        return None
    merged = {one.get("other", {}).get("reference") for one in (patient or {}).get("link", ()) if one.get("type") == "replaces"}
    own = [one for one in visits if one.get("subject", {}).get("reference") in {f"Patient/{id}", *merged}]
    if not own:
        raise Unfit(
            "This visit number belongs to another patient.",
            condition=Condition.KEY_DUPLICATE,
            place="PV1^1^19",
            hint="Correct PV1-19 or PID-3.",
            reason="visit-of-another",
        )
    return own[0]


async def _patients(records: Records, keys: Sequence[str]) -> list[Mapping[str, Any]]:
    return await _by_identifier(records, "Patient", keys)


async def patient_of(records: Records, keys: Sequence[str]) -> Mapping[str, Any] | None:
    """The one patient with one of these identifiers; Unfit when there are several."""
    return await _one(records, await _patients(records, keys), "")


async def _prior(records: Records, asked: Wanted, id: str) -> Mapping[str, Any] | None:
    found = [one for one in await _patients(records, asked.prior) if one["id"] != id]
    merged = [one for one in found if any(link.get("other", {}).get("reference") == f"Patient/{id}" for link in one.get("link", ()))]
    left = [one for one in found if one not in merged]
    if len(left) > 1:
        raise Unfit(
            "Several patients have the prior identifier.",
            condition=Condition.KEY_DUPLICATE,
            place="MRG^1^1",
            hint="Merge them one by one.",
            reason="patient-ambiguous",
        )
    return left[0] if left else None


async def _one(records: Records, found: Sequence[Mapping[str, Any]], place: str) -> Mapping[str, Any] | None:
    """The one patient who is meant: whoever was merged stands for the one that took their place."""
    heads = {str(one["id"]): one for one in [await _survivor(records, one) for one in found]}
    if len(heads) > 1:
        raise Unfit(
            "Several patients have this identifier.",
            condition=Condition.KEY_DUPLICATE,
            place=place,
            hint="Merge them, then replay the message.",
            reason="patient-ambiguous",
        )
    return next(iter(heads.values()), None)


async def _survivor(records: Records, patient: Mapping[str, Any]) -> Mapping[str, Any]:
    here = patient
    for _ in range(MERGES_MAX):
        to = next((str(one["other"]["reference"]) for one in here.get("link", ()) if one.get("type") == "replaced-by"), "")
        stored = (await records.many([to])).get(to) if to else None
        if stored is None:
            return here
        here = stored.resource or {}
    return here


async def _by_identifier(records: Records, type: str, keys: Sequence[str]) -> list[Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for first in range(0, len(keys), ALTERNATIVES):
        text = ",".join(_escaped(one) for one in keys[first : first + ALTERNATIVES])
        page = await records.search(parse(type, [("identifier", text), ("_count", "200")], strict=True))
        found |= {hit.stored.id: hit.stored.resource or {} for hit in page.hits}
    return list(found.values())


def _escaped(key: str) -> str:
    """A token for a search: the bar between system and value stays. http://hl7.org/fhir/R4/search.html#escaping."""
    system, _, value = key.partition("|")
    return "|".join(part.replace("\\", "\\\\").replace(",", "\\,").replace("$", "\\$").replace("|", "\\|") for part in (system, value))


def versions(found: Known) -> dict[str, int]:
    """Type/id to the version that was looked at: a write builds on it, or is looked at again."""
    several: Iterable[Mapping[str, Any] | None] = (
        found.patient,
        found.prior,
        found.encounter,
        found.appointment,
        *found.orders.values(),
        *found.written.values(),
    )
    return {f"{one['resourceType']}/{one['id']}": int(one.get("meta", {}).get("versionId", 0)) for one in several if one}
