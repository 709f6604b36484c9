"""Code systems that are a grammar rather than a list: units, languages, media types, addresses.

They can be checked and not listed. Spec: http://hl7.org/fhir/R4/terminologies-systems.html.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from cloister.records.terminology.ucum import is_unit

UCUM: Final = "http://unitsofmeasure.org"
# RFC 5646, 2.1: language, script, region, variants, extensions, private use; or private use alone.
LANGUAGE: Final = re.compile(
    r"(?:[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})(?:-[a-z]{4})?(?:-(?:[a-z]{2}|\d{3}))?(?:-(?:[a-z\d]{5,8}|\d[a-z\d]{3}))*"
    r"(?:-[a-wy-z\d](?:-[a-z\d]{2,8})+)*(?:-x(?:-[a-z\d]{1,8})+)?|x(?:-[a-z\d]{1,8})+",
    re.IGNORECASE,
)
# RFC 6838, 4.2, with the parameters that Attachment.contentType may carry.
MEDIA: Final = re.compile(r"[a-z\d][\w!#$&^.+-]{0,126}/[a-z\d][\w!#$&^.+-]{0,126}(?: *; *[\w!#$&^.+-]+=[^;\s]+)*", re.IGNORECASE | re.ASCII)
ADDRESS: Final = re.compile(r"[a-z][a-z\d+.-]*:\S+", re.IGNORECASE)
TIME_ZONE: Final = re.compile(r"[A-Za-z][\w+-]*(?:/[A-Za-z][\w+-]*){0,2}", re.ASCII)
CHARACTERS_MAX: Final = 4096


def _matches(form: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda code: len(code) <= CHARACTERS_MAX and form.fullmatch(code) is not None


GRAMMARS: Final[dict[str, Callable[[str], bool]]] = {
    UCUM: is_unit,
    "urn:ietf:bcp:47": _matches(LANGUAGE),
    "urn:ietf:bcp:13": _matches(MEDIA),
    "urn:ietf:rfc:3986": _matches(ADDRESS),
    "https://www.iana.org/time-zones": _matches(TIME_ZONE),
}
NAMES: Final = {
    UCUM: "Unified Code for Units of Measure",
    "urn:ietf:bcp:47": "Tags for identifying languages",
    "urn:ietf:bcp:13": "Media types",
    "urn:ietf:rfc:3986": "Uniform resource identifiers",
    "https://www.iana.org/time-zones": "Time zones",
}
