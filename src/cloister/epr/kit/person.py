"""A patient as the NHS Common User Interface guide 'Patient banner' shows one: FAMILY NAME, Given (Title), birth, gender, number."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from cloister.epr.kit.fhir import code_of, each, text_of
from cloister.epr.kit.moment import Moment, age_parts
from cloister.epr.kit.words import Words

# HL7 table 0203 through http://terminology.hl7.org/CodeSystem/v2-0203: what a hospital calls its numbers; best first.
NUMBER_KINDS: Final = ("INS", "NH", "MR", "PI", "SS")
# urn:oid of the French national health identifier (INS) and of its test and demo spaces.
INS_SYSTEMS: Final = tuple(f"urn:oid:1.2.250.1.213.1.4.{last}" for last in (8, 9, 10, 11))


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What tells one patient from another; empty text where nothing is known."""

    id: str
    family: str
    given: str
    title: str
    born: Moment
    died: Moment
    deceased: bool
    gender: str
    number: str
    address: str = ""
    phone: str = ""

    def name(self, words: Words) -> str:
        """LOPEZ, Maria (Mrs)"""
        family, given = self.family.upper(), self.given
        text = ", ".join(part for part in (family, given) if part) or words("kit.not-known")
        return f"{text} ({self.title})" if self.title else text

    @property
    def order(self) -> tuple[str, str, str]:
        """For sorting: accents and capitals count for nothing."""
        return _folded(self.family), _folded(self.given), self.born.text

    def age(self, words: Words, on: date) -> str:
        """'67 y', or nothing when the birth date is not known; at death for the deceased."""
        born = self.born.day
        if born is None:
            return ""
        end = self.died.day if self.deceased and self.died.day else on
        number, unit = age_parts(born, end)
        return words(f"kit.age.{unit}", number=number)

    def sex(self, words: Words) -> str:
        return words.or_else(f"kit.gender.{self.gender}", words("kit.not-known"))


def _folded(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter)).casefold()


def traits_of(patient: Mapping[str, Any]) -> Traits:
    name = _name(patient)
    died = patient.get("deceasedDateTime")
    return Traits(
        id=str(patient.get("id") or ""),
        family=str(name.get("family") or ""),
        given=" ".join(str(part) for part in name.get("given") or ()) or _unparted(name),
        title=" ".join(str(part) for part in name.get("prefix") or ()),
        born=Moment(str(patient.get("birthDate") or "")),
        died=Moment(str(died or "")),
        deceased=bool(died) or patient.get("deceasedBoolean") is True,
        gender=str(patient.get("gender") or "unknown"),
        number=_number(patient),
        address=_address(patient),
        phone=next((str(item["value"]) for item in each(patient, "telecom") if item.get("system") == "phone" and item.get("value")), ""),
    )


def _name(patient: Mapping[str, Any]) -> Mapping[str, Any]:
    names = list(each(patient, "name"))
    for use in ("official", "usual"):
        for name in names:
            if name.get("use") == use:
                return name
    return names[0] if names else {}


def _unparted(name: Mapping[str, Any]) -> str:
    """A name that came only as text: shown whole, because nobody can say which part is the family name."""
    return "" if name.get("family") else str(name.get("text") or "")


def _number(patient: Mapping[str, Any]) -> str:
    found: list[tuple[int, str]] = []
    for identifier in each(patient, "identifier"):
        value = str(identifier.get("value") or "")
        if not value:
            continue
        kind = code_of(identifier.get("type"))
        if identifier.get("system") in INS_SYSTEMS:
            kind = "INS"
        found.append((NUMBER_KINDS.index(kind) if kind in NUMBER_KINDS else len(NUMBER_KINDS), value))
    return min(found, key=lambda pair: pair[0])[1] if found else ""


def _address(patient: Mapping[str, Any]) -> str:
    for address in each(patient, "address"):
        lines = [str(line) for line in address.get("line") or ()]
        town = " ".join(str(address[part]) for part in ("postalCode", "city") if address.get(part))
        return ", ".join(part for part in (*lines, town) if part) or str(address.get("text") or "")
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allergy:
    """One line in the banner and on the allergy card."""

    id: str
    substance: str
    severe: bool
    reactions: str
    status: str  # 'active', 'inactive', 'resolved', 'entered-in-error' or 'refuted'
    criticality: str
    since: Moment


def allergy_of(resource: Mapping[str, Any]) -> Allergy:
    reactions = [text_of(manifestation) for reaction in each(resource, "reaction") for manifestation in each(reaction, "manifestation")]
    verification = code_of(resource.get("verificationStatus"))
    status = verification if verification in ("entered-in-error", "refuted") else code_of(resource.get("clinicalStatus")) or "active"
    return Allergy(
        id=str(resource.get("id") or ""),
        substance=text_of(resource.get("code")),
        severe=resource.get("criticality") == "high"
        or any(reaction.get("severity") == "severe" for reaction in each(resource, "reaction")),
        reactions=", ".join(text for text in reactions if text),
        status=status,
        criticality=str(resource.get("criticality") or ""),
        since=Moment(str(resource.get("onsetDateTime") or resource.get("recordedDate") or "")),
    )
