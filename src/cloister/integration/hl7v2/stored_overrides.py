"""The senders' mappings in the record: a Basic of the hospital's register, sealed, versioned and audited like everything else.

http://hl7.org/fhir/R4/basic.html. Read once in a few seconds in each session.
"""

from __future__ import annotations

import base64
import binascii
import time
from typing import Final
from weakref import WeakKeyDictionary

from cloister.integration.hl7v2.context import Names
from cloister.integration.hl7v2.overrides import Overrides, encoded, read_overrides
from cloister.records import Records

SYSTEM: Final = "urn:cloister:hl7v2"
KEPT_SECONDS: Final = 5.0
_kept: WeakKeyDictionary[Records, dict[str, tuple[float, Overrides]]] = WeakKeyDictionary()


def place_of(records: Records, zone: str) -> str:
    return Names(records.parking.name_key(zone)).id("hl7v2-mapping")


async def stored_overrides(records: Records, zone: str, *, fresh: bool = False) -> Overrides:
    kept = _kept.setdefault(records, {})
    there = kept.get(zone)
    if there is not None and not fresh and time.monotonic() - there[0] < KEPT_SECONDS:
        return there[1]
    reference = f"Basic/{place_of(records, zone)}"
    stored = (await records.many([reference])).get(reference)
    found = Overrides()
    if stored is not None:
        text = next(
            (one.get("valueBase64Binary", "") for one in (stored.resource or {}).get("extension", ()) if one.get("url") == SYSTEM), ""
        )
        try:
            found = read_overrides(base64.b64decode(text, validate=True))
        except binascii.Error:
            found = Overrides()
    kept[zone] = (time.monotonic(), found)
    return found


async def keep_overrides(records: Records, zone: str, overrides: Overrides) -> None:
    """The whole mapping of a zone, in place of what was there."""
    resource = {
        "resourceType": "Basic",
        "id": place_of(records, zone),
        "code": {"coding": [{"system": SYSTEM, "code": "mapping"}], "text": "HL7 v2: what differs from sender to sender"},
        "extension": [{"url": SYSTEM, "valueBase64Binary": base64.b64encode(encoded(overrides)).decode()}],
    }
    await records.update(resource, zone=zone)
    _kept.setdefault(records, {}).pop(zone, None)
