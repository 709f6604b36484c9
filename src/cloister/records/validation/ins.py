"""The French national health identifier (INS): a patient has it only while the identity is qualified and its strict traits are there.

Facts: code de la santé publique, L1111-8-1 and R1111-8-1 and following; référentiel Identifiant national de santé and RNIV (Agence
du numérique en santé, DGOS); the matricule is the NIR or NIA, 13 characters and a key, 97 - n mod 97, in which 2A counts as 19 and 2B
as 18 (INSEE). How FHIR says it: FR Core Patient INS, https://hl7.fr/ig/fhir/core. Written by us; no profile text is copied.

A patient without such a number is not looked at: one comparison an identifier.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from cloister.records.validation.issues import Fault

Node = dict[str, Any]
ROOT: Final = "urn:oid:1.2.250.1.213.1.4."
# NIR, NIA, and the test and demonstration ranges of the NIR; the calculated INS-C, which came before, has a form of its own.
MATRICULES: Final = frozenset(f"{ROOT}{last}" for last in (8, 9, 10, 11))
CALCULATED: Final = f"{ROOT}2"
NUMBERS: Final = MATRICULES | {CALCULATED}
# Sex, year and month of birth, place of birth (Corsica with its letter), order; key. Months above 12 are for unknown ones.
MATRICULE: Final = re.compile(r"([1-478]\d{4}(?:\d\d|2[AB])\d{6})(\d\d)", re.ASCII)
CALCULATED_FORM: Final = re.compile(r"\d{22}", re.ASCII)
INSEE_CODE: Final = re.compile(r"(?:\d\d|2[AB])\d{3}", re.ASCII)
CORE: Final = "https://hl7.fr/ig/fhir/core/StructureDefinition/"
RELIABILITY: Final = f"{CORE}fr-core-identity-reliability"
BIRTH_NAMES: Final = f"{CORE}fr-core-patient-birth-list-given-name"
INSEE: Final = f"{CORE}fr-core-address-insee-code"
BIRTH_PLACE: Final = "http://hl7.org/fhir/StructureDefinition/patient-birthPlace"
STATUS_SYSTEM: Final = "identity-status"  # FR Core 2.2, where "validée" and "qualifiée" are two codes; before, VALI meant both
SEXES: Final = frozenset({"male", "female", "unknown"})
WITHHOLD: Final = "Leave the number out until the identity is qualified: it may be neither kept nor sent before."


def lawful(patient: Node) -> bool:
    """True unless a national number stands where it may not."""
    for identifier in patient.get("identifier", ()):
        if identifier.get("system") in NUMBERS:
            return not any(True for _ in _faults(patient))
    return True


def faults(patient: Node) -> list[Fault]:
    return list(_faults(patient))


def without_number(patient: Node) -> Node:
    """The patient as may be sent on: with its national numbers where the identity is qualified, and without them where not."""
    if lawful(patient):
        return patient
    kept = [one for one in patient["identifier"] if one.get("system") not in NUMBERS]
    rest = {name: value for name, value in patient.items() if name != "identifier"}
    return rest | {"identifier": kept} if kept else rest


def key_is_right(matricule: str) -> bool:
    """Whether 15 characters are a NIR or NIA with its key."""
    match = MATRICULE.fullmatch(matricule)
    if match is None:
        return False
    number = int(match[1].replace("2A", "19", 1) if match[1][5:7] == "2A" else match[1].replace("2B", "18", 1))
    return int(match[2]) == 97 - number % 97


def _faults(patient: Node) -> Iterator[Fault]:
    numbered = False
    for place, identifier in enumerate(patient.get("identifier", ())):
        system, value = identifier.get("system"), identifier.get("value")
        if system not in NUMBERS:
            continue
        numbered = True
        if not isinstance(value, str) or not _well_formed(system, value):
            text = "This is no national health identifier: its form or its key is wrong."
            hint = "Correct it: 13 characters and the key, 97 less the number modulo 97, without blanks."
            yield Fault(["identifier", place, "value"], "invariant", "ins-key", text, hint)
    if numbered:
        yield from _traits(patient)


def _well_formed(system: str, value: str) -> bool:
    return CALCULATED_FORM.fullmatch(value) is not None if system == CALCULATED else key_is_right(value)


def _traits(patient: Node) -> Iterator[Fault]:
    """Of a qualified identity: its status, and the five strict traits beside the number."""
    if not _qualified(patient):
        text = "A national health identifier (INS) stands here, and the identity is not qualified."
        yield Fault(["identifier"], "business-rule", "ins-qualified", text, WITHHOLD)
    official = [(place, one) for place, one in enumerate(patient.get("name", ())) if one.get("use") == "official"]
    if len(official) != 1:
        text = "A qualified identity has one official name, which is the name of birth."
        yield Fault(["name"], "business-rule", "ins-birth-name", text, "Send one name with use 'official'.")
    else:
        yield from _name(*official[0])
    if "birthDate" not in patient:
        yield _missing(["birthDate"], "ins-birth-date", "its date of birth", "birthDate")
    if patient.get("gender") not in SEXES:
        yield _missing(["gender"], "ins-sex", "its sex", "gender: male, female or unknown")
    if not _born_at(patient):
        hint = f"the extension {BIRTH_PLACE} with the place's INSEE code ({INSEE})"
        yield _missing(["extension"], "ins-birth-place", "its place of birth by INSEE code", hint)


def _name(place: int, name: Node) -> Iterator[Fault]:
    if not name.get("family"):
        yield _missing(["name", place, "family"], "ins-birth-name", "its name of birth", "family")
    given = [one for one in name.get("given", ()) if one]
    listed = any(one.get("url") == BIRTH_NAMES and one.get("valueString") for one in name.get("extension", ()))
    if not given and not listed:
        yield _missing(["name", place, "given"], "ins-given", "its first given name of birth", "given")


def _missing(path: list[str | int], rule: str, what: str, hint: str) -> Fault:
    return Fault(
        path, "business-rule", rule, f"A patient with a national health identifier (INS) lacks {what}.", f"Send {hint}; or no number."
    )


def _qualified(patient: Node) -> bool:
    for extension in patient.get("extension", ()):
        if extension.get("url") == RELIABILITY:
            for part in extension.get("extension", ()):
                coding = part.get("valueCoding", {})
                wanted = "QUAL" if str(coding.get("system", "")).endswith(STATUS_SYSTEM) else "VALI"
                if part.get("url") == "identityStatus" and coding.get("code") == wanted:
                    return True
    return False


def _born_at(patient: Node) -> bool:
    for extension in patient.get("extension", ()):
        if extension.get("url") == BIRTH_PLACE:
            for part in extension.get("valueAddress", {}).get("extension", ()):
                code = part.get("valueCoding", {}).get("code") or part.get("valueCode") or part.get("valueString")
                if part.get("url") == INSEE and INSEE_CODE.fullmatch(str(code)):
                    return True
    return False
