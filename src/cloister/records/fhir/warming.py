"""Everything that is loaded or compiled at first use, done once before sessions are forked: a session may open no file."""

from __future__ import annotations

from cloister.records import search, validation
from cloister.records.definitions import load, type_numbers
from cloister.records.fhir.capability import capability_statement
from cloister.records.fhir.text import decode, encode
from cloister.records.fhir.xml_reading import from_xml
from cloister.records.fhir.xml_shapes import shape
from cloister.records.fhir.xml_writing import to_xml
from cloister.records.profiles import applying
from cloister.records.terminology import shelf


def warm(*, known_profiles_only: bool = False) -> None:
    """Load the definitions, compile every search parameter and validator, and use each once.

    `known_profiles_only`: refuse to store what claims a profile that is not loaded.
    """
    load()
    type_numbers()
    capability_statement()
    search.warm()
    validation.warm()
    shelf.refresh(None)
    applying.warm(known_only=known_profiles_only)
    div = '<div xmlns="http://www.w3.org/1999/xhtml">warm</div>'
    resource = decode(b'{"resourceType":"Observation","status":"final","code":{"text":"warm"},"valueQuantity":{"value":1.0}}')
    resource["text"] = {"status": "generated", "div": div}
    validation.check(resource)
    search.extract(resource)
    search.parse("Observation", [("patient", "Patient/1"), ("code", "http://loinc.org|8480-6"), ("_sort", "-date")])
    encode(resource)
    for name in load().elements:
        shape(name)
    from_xml(to_xml(resource))
