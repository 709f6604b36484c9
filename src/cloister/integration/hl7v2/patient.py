"""PID, PD1, NK1, IN1 to Patient and Coverage. HL7 v2.5 3.4.2, 3.4.5, 3.4.10, 6.5.6; IHE PAM French extension (PID-3, PID-32).

The national number (INS) is kept only of an identity that its sender calls validated (PID-32 = VALI); otherwise it is left out
and the sender is told. Whoever may not send a number may not have it stored by us either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cloister.integration.hl7v2 import datatypes
from cloister.integration.hl7v2.context import Given, Json, Made
from cloister.integration.hl7v2.faults import Condition, Unfit
from cloister.integration.hl7v2.message import NULL, Message, Segment
from cloister.integration.hl7v2.overrides import SenderMapping
from cloister.integration.hl7v2.patching import DELETE, Patch, patched

RELIABILITY: Final = "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-identity-reliability"
RELIABILITY_CODES: Final = "https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0445"
BIRTH_PLACE: Final = "http://hl7.org/fhir/StructureDefinition/patient-birthPlace"
VALIDATED: Final = "VALI"
IDENTIFIERS_MAX: Final = 50


def identifiers(segment: Segment, number: int, by: SenderMapping) -> list[Json]:
    """PID-3 or MRG-1. Raises Unfit where none is given."""
    values = segment.values(number)[:IDENTIFIERS_MAX]
    found = [one for value in values if (one := datatypes.identifier(segment, number, value, by)) is not None]
    if not found:
        raise Unfit(
            f"{segment.name}-{number} has no identifier.",
            condition=Condition.FIELD_MISSING,
            place=segment.place(number),
            hint="Send the patient's identifier with its authority.",
        )
    return found


def is_ins(identifier: Mapping[str, Any]) -> bool:
    return str(identifier.get("system", "")).removeprefix("urn:oid:") in datatypes.INS


def reliability(segment: Segment) -> set[str]:
    """PID-32, which repeats."""
    return {segment.piece(value, 1) for value in segment.values(32)} - {"", NULL}


def keys_of(found: list[Json]) -> list[Json]:
    """By which a patient is looked for: what hospitals give; the national number only where there is nothing else."""
    own = [one for one in found if not is_ins(one) and _type(one) in ("", "PI", "MR", "PT")]
    return own or [one for one in found if not is_ins(one)] or found


def _type(identifier: Json) -> str:
    codings = identifier.get("type", {}).get("coding") or [{}]
    return str(codings[0].get("code", ""))


def patient(given: Given, made: Made) -> str:
    """The patient as this message leaves them; returns the reference."""
    segment = given.message.only("PID")
    existing = given.known.patient
    patch: Patch = {"resourceType": "Patient", "id": given.patient}
    patch["identifier"] = _merged(existing, _kept_identifiers(segment, given, made))
    if not existing:
        patch["active"] = True
    _person(segment, given.by, patch)
    _places(segment, given.by, patch)
    _states(segment, given.by, patch, existing)
    _others(given, patch)
    return made.put(patched(existing, patch), existing)


def _kept_identifiers(segment: Segment, given: Given, made: Made) -> list[Json]:
    found = identifiers(segment, 3, given.by)
    if VALIDATED in reliability(segment) and given.ins:
        return found
    kept = [one for one in found if not is_ins(one)]
    if len(kept) < len(found):
        lacks = (
            "its strict traits or its key are not right" if not given.ins else "PID-32 does not say that the identity is validated (VALI)"
        )
        made.notes.append(f"The INS was not kept: {lacks}.")
    if not kept:
        raise Unfit(
            "The only identifier is an INS, and the identity is not validated.",
            condition=Condition.KEY_UNKNOWN,
            place=segment.place(3),
            hint="Send the local identifier, or PID-32 = VALI.",
            reason="ins-not-validated",
        )
    return kept


def _merged(existing: Mapping[str, Any] | None, found: list[Json]) -> list[Json]:
    """Each authority's identifiers as now sent; those of other authorities stay."""
    systems = {one["system"] for one in found}
    return [*(one for one in (existing or {}).get("identifier", ()) if one.get("system") not in systems), *found]


def _person(segment: Segment, by: SenderMapping, patch: Patch) -> None:
    names = [one for value in segment.values(5) if (one := datatypes.human_name(segment, value, by)) is not None]
    if names:
        patch["name"] = names
    if segment.given(7):
        patch["birthDate"] = DELETE if segment.is_null(7) else datatypes.day(segment.text_of(7), segment.place(7))
    if segment.given(8):
        patch["gender"] = DELETE if segment.is_null(8) else by.looked_up("gender", segment.text_of(8), segment.place(8))
    if segment.given(13) or segment.given(14):
        values = [value for number in (13, 14) for value in segment.values(number)]
        found = [one for value in values if (one := datatypes.telecom(segment, value, by)) is not None]
        patch["telecom"] = found or DELETE
    if segment.given(15):
        language = datatypes.concept(segment, 15, by)
        patch["communication"] = [{"language": language, "preferred": True}] if language and not segment.is_null(15) else DELETE
    if segment.given(16):
        status = "" if segment.is_null(16) else by.looked_up("marital", segment.text_of(16), segment.place(16))
        patch["maritalStatus"] = datatypes.coded(status, _marital(status)) if status else DELETE


def _marital(code: str) -> str:
    return f"{datatypes.V3}NullFlavor" if code == "UNK" else f"{datatypes.V3}MaritalStatus"


def _places(segment: Segment, by: SenderMapping, patch: Patch) -> None:
    if not segment.given(11):
        return
    found = [one for value in segment.values(11) if (one := datatypes.address(segment, value, by)) is not None]
    birth = [one for one in found if datatypes.BIRTH in one]
    patch["address"] = [one for one in found if datatypes.BIRTH not in one] or (DELETE if segment.is_null(11) else None)
    if birth:
        place = {name: value for name, value in birth[0].items() if name != datatypes.BIRTH}
        patch["extension"] = [{"url": BIRTH_PLACE, "valueAddress": place}]


def _states(segment: Segment, by: SenderMapping, patch: Patch, existing: Mapping[str, Any] | None) -> None:
    if segment.given(29) and not segment.is_null(29):
        patch["deceasedDateTime"], patch["deceasedBoolean"] = datatypes.moment(segment.text_of(29), segment.place(29)), DELETE
    elif segment.given(30):
        dead = segment.text_of(30) == "Y"
        if not (dead and (existing or {}).get("deceasedDateTime")):
            patch["deceasedBoolean"], patch["deceasedDateTime"] = dead, DELETE
    codes = sorted(reliability(segment))
    old = {one.get("url"): one for one in (existing or {}).get("extension", ())}
    new = {one["url"]: one for one in patch.get("extension", ())}
    if codes:
        status = by.looked_up("identity-reliability", VALIDATED if VALIDATED in codes else codes[0], segment.place(32))
        coding = {"system": RELIABILITY_CODES, "code": status}
        new[RELIABILITY] = {"url": RELIABILITY, "extension": [{"url": "identityStatus", "valueCoding": coding}]}
    if new:
        patch["extension"] = list({**old, **new}.values())


def _others(given: Given, patch: Patch) -> None:
    doctor = given.message.first("PD1")
    if doctor is not None and doctor.given(4):
        found = datatypes.person(doctor, 4, given.by)
        patch["generalPractitioner"] = DELETE if doctor.is_null(4) else [found] if found else None
    contacts = [one for segment in given.message.all("NK1") if (one := _contact(segment, given.by))]
    if contacts:
        patch["contact"] = contacts


def _contact(segment: Segment, by: SenderMapping) -> Json | None:
    values = segment.values(2)
    name = datatypes.human_name(segment, values[0], by) if values else None
    phones = [one for number in (5, 6) for value in segment.values(number) if (one := datatypes.telecom(segment, value, by))]
    places = [one for value in segment.values(4) if (one := datatypes.address(segment, value, by))]
    role = by.table("contact-relationship").get(segment.text_of(7), "")
    kinds = [kind for kind in (datatypes.concept(segment, 3, by), datatypes.coded(role, f"{datatypes.V2}0131") if role else None) if kind]
    found = {"relationship": kinds, "name": name, "telecom": phones, "address": places[0] if places else None}
    return {part: value for part, value in found.items() if value} if name or phones else None


def coverages(given: Given, made: Made, patient: str) -> None:
    """IN1: one Coverage for each insurer, found again by its number within the patient's."""
    for segment in given.message.all("IN1"):
        policy, payer = segment.text_of(36) or segment.text_of(2), segment.text_of(4)
        if not policy and not payer:
            continue
        id = given.names.id("Coverage", given.patient, segment.text_of(3) or payer, segment.text_of(2))
        existing = given.known.written.get(f"Coverage/{id}")
        found: Json = {
            "resourceType": "Coverage",
            "id": id,
            "status": "active",
            "beneficiary": {"reference": patient},
            "payor": [{"display": payer or segment.text_of(3)}],
            "subscriberId": segment.text_of(36),
            "type": datatypes.concept(segment, 15, given.by),
            "order": segment.number,
        }
        period = {}
        for name, number in (("start", 12), ("end", 13)):
            if segment.given(number) and not segment.is_null(number):
                period[name] = datatypes.day(segment.text_of(number), segment.place(number))
        if period:
            found["period"] = period
        made.put({name: value for name, value in found.items() if value not in ("", None)}, existing)


def coverage_ids(message: Message, names: Any, patient: str) -> list[str]:
    """The references that `coverages` will write."""
    return [
        f"Coverage/{names.id('Coverage', patient, segment.text_of(3) or segment.text_of(4), segment.text_of(2))}"
        for segment in message.all("IN1")
    ]


def merged(given: Given, made: Made, patient: str) -> None:
    """A40: the patient of MRG-1 gives way to that of PID; nothing of either record is taken away. HL7 v2.5 3.3.40."""
    prior = given.known.prior
    if prior is None:
        made.notes.append("The patient of MRG-1 is not here; the surviving identity was kept.")
        return
    gone = f"Patient/{prior['id']}"
    links = [one for one in prior.get("link", ()) if one.get("type") != "replaced-by"]
    made.put({**prior, "active": False, "link": [*links, {"other": {"reference": patient}, "type": "replaced-by"}]}, prior)
    survivor = made.resources.get(patient) or dict(given.known.patient or {})
    others = [one for one in survivor.get("link", ()) if one.get("other", {}).get("reference") != gone]
    made.put({**survivor, "link": [*others, {"other": {"reference": gone}, "type": "replaces"}]}, given.known.patient)
