"""Where a resource belongs: which dossier, and for which zones a dossier's key is wrapped. Spec: docs/spec/zones.md.

A resource about a patient lives in that patient's dossier; what names no patient and points at something in a patient's
record (Provenance, Task...) beside it; everything else (Practitioner, Organization, Location...) in the register of the
hospital. A new dossier is wrapped for the writer's home zone; an admission, which is an Encounter in progress at a ward's
Location, wraps it for the ward's zone too.
"""

from __future__ import annotations

from typing import Any, Final

from cloister.access import Actor
from cloister.base.errors import Denied
from cloister.base.ids import new_uuid
from cloister.records.dossier import Dossier
from cloister.zones import Keyring, algorithms

PATIENT: Final = "patient"
REGISTER: Final = "register"
IN_PROGRESS: Final = frozenset({"arrived", "triaged", "in-progress", "onleave"})


def new_patient_dossier() -> Dossier:
    """Its id says nothing of the patient's, so that it cannot be looked for and never collides."""
    return Dossier(new_uuid().bytes, PATIENT)


class Places:
    """What this session's zones say about placement."""

    def __init__(self, actor: Actor, keyring: Keyring) -> None:
        self._actor = actor
        self._keyring = keyring
        self._readable: frozenset[str] = frozenset()

    @property
    def readable(self) -> frozenset[str]:
        """The zones to read in; the same object while they are the same, because every decision asks for it."""
        readable = frozenset(held.zone for held in self._keyring.zones if "read" in held.rights)
        if readable != self._readable:
            self._readable = readable
        return self._readable

    @property
    def preferred(self) -> list[str]:
        """The zones of the actor's own hospital: where an id is looked for first."""
        return [held.zone for held in self._keyring.zones if held.hospital == self._actor.hospital]

    def writable(self, dossier: Dossier) -> bool:
        return any(self._keyring.can(zone, "write") for zone in dossier.zones)

    def home(self, wanted: str | None = None) -> str:
        """The zone of a new dossier: the one asked for, else the hospital's for hospital-wide staff, else one's ward's."""
        if wanted is not None:
            if not self._keyring.can(wanted, "write"):
                raise Denied("You cannot write in this zone.", hint="Name a zone that you hold, or none.", reason="zone-not-held")
            return wanted
        able = [held for held in self._keyring.zones if self._keyring.can(held.zone, "write")]
        if not able:
            raise Denied("You hold no zone to write in.", hint="Ask the access officer.", reason="zone-not-held")
        own = [held for held in able if held.hospital == self._actor.hospital] or able
        hospital_wide = [held for held in own if held.ward is None]
        return sorted(held.zone for held in hospital_wide or own)[0]

    def hospital_of(self, zone: str) -> str:
        return next(held.hospital for held in self._keyring.zones if held.zone == zone)

    def register_zones(self, zone: str) -> frozenset[str]:
        """The zones that a hospital's register is wrapped for, as far as this session holds them."""
        hospital = self.hospital_of(zone)
        return frozenset(held.zone for held in self._keyring.zones if held.hospital == hospital and self._keyring.can(held.zone, "write"))

    def register_id(self, zone: str) -> bytes:
        """The register's dossier id: the same for all who hold the hospital's zone, so that it is founded once."""
        hospital = self.hospital_of(zone)
        own = [held.zone for held in self._keyring.zones if held.hospital == hospital and held.ward is None]
        key = self._keyring.index_key(sorted(own)[0] if own else zone)
        return algorithms.hmac256(key, b"cloister/register/v1|" + hospital.encode())[:16]

    def admission_zones(self, resource: dict[str, Any]) -> frozenset[str]:
        """The zones of the wards at which this Encounter is going on, as far as this session may wrap for them."""
        if resource.get("resourceType") != "Encounter" or resource.get("status") not in IN_PROGRESS:
            return frozenset()
        wards = {held.ward: held.zone for held in self._keyring.zones if held.ward and self._keyring.can(held.zone, "write")}
        found = set()
        for location in resource.get("location", ()):
            text = location.get("location", {}).get("reference", "")
            if location.get("status", "active") in ("active", "reserved") and text.startswith("Location/"):
                zone = wards.get(text.removeprefix("Location/"))
                if zone is not None:
                    found.add(zone)
        return frozenset(found)
