"""Which profiles a resource is checked by: those that it claims (meta.profile), as far as they are loaded, and extensions by theirs.

Spec: http://hl7.org/fhir/R4/resource.html#Meta.profile, extensibility.html. A resource that claims nothing costs one look at `meta`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cloister.records.profiles import fhirpath
from cloister.records.profiles.checking import Check
from cloister.records.profiles.extensions import extensions_of
from cloister.records.profiles.rules import Profile, compiled
from cloister.records.profiles.stored import BASE
from cloister.records.terminology import shelf
from cloister.records.terminology.valuesets import ValueSets
from cloister.records.validation.issues import Fault

Json = dict[str, Any]
PROFILES_MAX: Final = 20  # of one resource
KEPT_MAX: Final = 2000
KIND: Final = "StructureDefinition"


@dataclass(slots=True)
class _Compiled:
    """What was compiled from the library of this process, and the rule for what is not loaded."""

    changes: int = -1
    profiles: dict[str, Profile | None] = field(default_factory=dict)
    known_only: bool = False


_kept: Final = _Compiled()


def warm(*, known_only: bool) -> None:
    """`known_only`: refuse what claims a profile that is not loaded (CLOISTER_KNOWN_PROFILES_ONLY)."""
    _kept.known_only = known_only
    fhirpath.warm()


def profile_of(value_sets: ValueSets, address: str) -> Profile | None:
    """The compiled profile of an address; None where it is not loaded, or is a data type's or resource's own definition."""
    if address.startswith(BASE) and "/" not in address[len(BASE) :] and address[len(BASE)].isupper():
        return None
    if value_sets is not shelf.value_sets():
        return _compiled(value_sets, address)
    if _kept.changes != shelf.changes():
        _kept.changes = shelf.changes()
        _kept.profiles.clear()
    if address not in _kept.profiles:
        if len(_kept.profiles) >= KEPT_MAX:  # addresses come from clients
            _kept.profiles.clear()
        _kept.profiles[address] = _compiled(value_sets, address)
    return _kept.profiles[address]


def _compiled(value_sets: ValueSets, address: str) -> Profile | None:
    if not value_sets.library.has(KIND, address):
        return None
    definition = value_sets.library.resource(KIND, address)
    return compiled(definition) if definition.get("derivation") == "constraint" else None


def claims(resource: Json) -> list[str]:
    """The profiles that a resource says it meets."""
    found = resource.get("meta", {}).get("profile", ())
    return [one for one in found[:PROFILES_MAX] if isinstance(one, str)]


def lawful(resource: Json) -> bool:
    """True unless a profile that the resource claims says otherwise."""
    return not any(one.severity == "error" for one in claimed_faults(resource, warn=False))


def faults(resource: Json) -> list[Fault]:
    return [one for one in claimed_faults(resource, warn=False) if one.severity == "error"]


def claimed_faults(resource: Json, *, warn: bool) -> list[Fault]:
    """What is wrong by the profiles that the resource claims; `warn` adds what may be wrong or could not be checked."""
    return faults_by(shelf.value_sets(), resource, claims(resource), warn=warn, strict=_kept.known_only)


def faults_by(value_sets: ValueSets, resource: Json, addresses: Sequence[str], *, warn: bool, strict: bool = False) -> list[Fault]:
    """What is wrong by these profiles. `strict`: one that is not loaded is an error, and otherwise a warning."""
    check = Check(value_sets, lambda address: profile_of(value_sets, address), resource, warn=warn)
    known = False
    for number, address in enumerate(addresses):
        profile = profile_of(value_sets, address)
        if profile is None:
            _unknown(check, value_sets, resource, address, number, strict)
        elif profile.type != resource.get("resourceType"):
            text = f"The profile {address[:200]} is one of {profile.type[:64]}."
            check.found.append(Fault(["meta", "profile"], "value", "profile-type", text, "Leave it out."))
        else:
            known = True
            check.by(profile, resource, [])
    if known or warn:
        _extensions(check, resource)
    return _once(check.found)


def _unknown(check: Check, value_sets: ValueSets, resource: Json, address: str, number: int, strict: bool) -> None:
    if address.partition("|")[0] == f"{BASE}{resource.get('resourceType')}":
        return
    text = f"The profile {address[:200]} is not loaded, so nothing was checked by it."
    hint = "Have it loaded with 'cloister terminology load', or leave it out."
    severity = "error" if strict else "warning"
    if strict or check.warn:
        check.found.append(Fault(["meta", "profile", number], "not-found", "unknown-profile", text, hint, severity=severity))


def _extensions(check: Check, resource: Json) -> None:
    """Every extension whose definition is loaded, wherever it stands."""
    for path, extension, places in extensions_of(resource):
        profile = check.profile(str(extension.get("url", "")))
        if profile is not None and profile.type == "Extension":
            check.by(profile, extension, path)
            if check.warn and profile.context and places.isdisjoint(profile.context):
                text = f"By its definition this extension belongs on {', '.join(profile.context[:5])}."
                check.found.append(Fault(path, "structure", "extension-context", text, "Move it there.", severity="warning"))


def _once(found: list[Fault]) -> list[Fault]:
    """What several profiles, or an extension and its slice, say alike is said once."""
    seen: dict[tuple[str, str, str], Fault] = {}
    for one in found:
        seen.setdefault((repr(one.path), one.rule, one.text), one)
    return list(seen.values())
