"""What this server offers, a row for each: address, methods, and what the standard calls it. Spec: http://hl7.org/fhir/R4/http.html#summary.

The routes, the CapabilityStatement and the OpenAPI document are all made from these rows, so none of them can claim what
another does not have. Rows only: which function answers is said in routes.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GET: Final = ("GET",)
POST: Final = ("POST",)
BOTH: Final = ("GET", "POST")
OPERATION: Final = "http://hl7.org/fhir/OperationDefinition/"
SUMMARY: Final = "http://hl7.org/fhir/uv/ips/OperationDefinition/summary"
SUBSCRIPTION_STATUS: Final = "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-status"
EXPORT: Final = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/"


@dataclass(frozen=True, slots=True)
class Offered:
    """`path` is below the base address; the first row whose path and method fit answers.

    `code`: of http://hl7.org/fhir/R4/valueset-type-restful-interaction.html or -system-restful-interaction.html.
    `definition`: of an operation, the canonical address of its OperationDefinition (what follows OPERATION, if it is HL7's).
    `types`: the resource types that have it; empty for all (or, without {type} in the path, for the system).
    """

    key: str
    path: str
    methods: tuple[str, ...]
    says: str
    code: str = ""
    definition: str = ""
    types: tuple[str, ...] = ()
    of: str = ""  # the one type whose own address this is
    any_format: bool = False  # its answer may be of another format than FHIR's

    @property
    def operation(self) -> str:
        """The name of the operation, without '$'."""
        name = self.path.rpartition("/$")[2] if "/$" in self.path else ""
        return "" if "/" in name else name

    @property
    def canonical(self) -> str:
        return self.definition if ":" in self.definition else OPERATION + self.definition


def _terminology(name: str, definition: str, type: str, says: str, *, by_id: bool = True) -> tuple[Offered, ...]:
    of_type = Offered(name, f"/{{type}}/${name}", BOTH, says, definition=definition, types=(type,))
    of_one = Offered(name, f"/{{type}}/{{id}}/${name}", BOTH, says, definition=definition, types=(type,))
    return (of_type, of_one) if by_id else (of_type,)


OFFERED: Final = (
    Offered("metadata", "/metadata", GET, "What this server does; mode=terminology: which code systems it knows.", "capabilities"),
    Offered("openapi", "/openapi.json", GET, "This server's addresses as OpenAPI 3.1.", any_format=True),
    Offered("describe", "/$ingest", GET, "What a machine needs to seal into a zone that it cannot read.", any_format=True),
    Offered("put", "/$ingest", POST, "Takes one sealed and signed message.", any_format=True),
    Offered("export_of_system", "/$export", BOTH, "Everything that you can open, as files.", definition=f"{EXPORT}export"),
    Offered(
        "everything_of_all", "/Patient/$everything", BOTH, "The records of every patient whom you can open.",
        definition="Patient-everything", of="Patient",
    ),
    Offered(
        "export_of_patients", "/Patient/$export", BOTH, "Every patient whom you can open, as files.", definition=f"{EXPORT}patient-export",
        of="Patient",
    ),
    Offered(
        "export_of_group", "/Group/{id}/$export", BOTH, "The patients of a group, as files.", definition=f"{EXPORT}group-export", of="Group"
    ),
    Offered("export_status", "/$export-status/{job}", GET, "How far an export is.", any_format=True),
    Offered("export_cancel", "/$export-status/{job}", ("DELETE",), "Ends an export.", any_format=True),
    Offered("export_file", "/$export-file/{job}/{number}", GET, "One file of an export.", any_format=True),
    Offered("import_begin", "/$import", POST, "Begins to store the lines of NDJSON that are sent."),
    Offered("import_status", "/$import-status/{job}", GET, "How far an import is.", any_format=True),
    Offered("import_cancel", "/$import-status/{job}", ("DELETE",), "Ends an import.", any_format=True),
    Offered("import_report", "/$import-report/{job}", GET, "What became of each line of an import.", any_format=True),
    Offered("hl7v2", "/$hl7v2", POST, "One HL7 v2 message; its acknowledgements are the answer.", any_format=True),
    Offered("hl7v2_mapping", "/$hl7v2-mapping", BOTH, "What differs from sender to sender of HL7 v2 messages.", any_format=True),
    Offered("parked", "/$parked", GET, "Messages that wait for a person: why and since when.", any_format=True),
    Offered("replay", "/$parked/{message}/replay", POST, "Writes a waiting message.", any_format=True),
    Offered("cda", "/$cda", POST, "Takes a CDA document.", any_format=True),
    Offered("summary", "/Patient/{id}/$summary", BOTH, "The International Patient Summary.", definition=SUMMARY, of="Patient"),
    Offered("bundle", "", POST, "All entries of a Bundle or none (transaction), or each by itself (batch).", "transaction"),
    Offered("bundle", "/", POST, "The same with a slash at the end.", "batch"),
    Offered("search_types", "", GET, "What matches of several types: _type=Patient,Encounter.", "search-system"),
    Offered("search_types", "/", GET, "The same with a slash at the end.", "search-system"),
    Offered("search_types_by_post", "/_search", POST, "The same, its question in no address.", "search-system"),
    Offered("history_of_all", "/_history", GET, "Every version of everything that you can open, newest first.", "history-system"),
    Offered("history_of_type", "/{type}/_history", GET, "Every version of this type that you can open, newest first.", "history-type"),
    Offered("search_by_post", "/{type}/_search", POST, "A search whose question stands in no address.", "search-type"),
    Offered("validate", "/{type}/$validate", POST, "Whether a resource would be accepted.", definition="Resource-validate"),
    Offered("lastn", "/{type}/$lastn", BOTH, "The last observations of each kind.", definition="Observation-lastn", types=("Observation",)),
    Offered("validate", "/{type}/{id}/$validate", BOTH, "Whether a change would be accepted.", definition="Resource-validate"),
    Offered(
        "everything", "/{type}/{id}/$everything", BOTH, "A patient's whole record.", definition="Patient-everything", types=("Patient",)
    ),
    Offered(
        "everything", "/{type}/{id}/$everything", BOTH, "What belongs to one stay.", definition="Encounter-everything", types=("Encounter",)
    ),
    Offered(
        "document", "/{type}/{id}/$document", BOTH, "A composition with all that it names.", definition="Composition-document",
        types=("Composition",),
    ),
    Offered(
        "subscription_status", "/{type}/{id}/$status", GET, "What a subscription has told, and why not.", definition=SUBSCRIPTION_STATUS,
        types=("Subscription",),
    ),
    *_terminology("lookup", "CodeSystem-lookup", "CodeSystem", "What a code means.", by_id=False),
    *_terminology("validate-code", "CodeSystem-validate-code", "CodeSystem", "Whether a code is in a code system."),
    *_terminology("validate-code", "ValueSet-validate-code", "ValueSet", "Whether a code is in a value set."),
    *_terminology("subsumes", "CodeSystem-subsumes", "CodeSystem", "Whether one code includes another."),
    *_terminology("expand", "ValueSet-expand", "ValueSet", "The codes of a value set."),
    *_terminology("translate", "ConceptMap-translate", "ConceptMap", "A code in other words of another system."),
    Offered("closure", "/$closure", POST, "A table of what lies under what, kept for a client.", definition="ConceptMap-closure"),
    Offered("binary_create", "/Binary", POST, "Bytes of any kind, as themselves or as a resource.", "create", of="Binary"),
    Offered("binary_read", "/Binary/{id}", GET, "Bytes as themselves or as a resource.", "read", of="Binary", any_format=True),
    Offered("binary_update", "/Binary/{id}", ("PUT",), "Other bytes under the same id.", "update", of="Binary"),
    Offered("search", "/{type}", GET, "The resources of a type that match.", "search-type"),
    Offered("create", "/{type}", POST, "A new resource, or none if one matches If-None-Exist.", "create"),
    Offered("update_where", "/{type}", ("PUT",), "A new version of the one resource that matches; a new one when none does.", "update"),
    Offered("delete_where", "/{type}", ("DELETE",), "Deletes the one resource that matches.", "delete"),
    Offered("patch_where", "/{type}", ("PATCH",), "Changes some places of the one resource that matches.", "patch"),
    Offered("read", "/{type}/{id}", GET, "The current version of a resource.", "read"),
    Offered("update", "/{type}/{id}", ("PUT",), "A new version of a resource, or its first.", "update"),
    Offered("delete", "/{type}/{id}", ("DELETE",), "Deletes a resource; its versions are kept.", "delete"),
    Offered("patch", "/{type}/{id}", ("PATCH",), "Changes some places of a resource.", "patch"),
    Offered("history", "/{type}/{id}/_history", GET, "The versions of a resource, newest first.", "history-instance"),
    Offered("vread", "/{type}/{id}/_history/{version}", GET, "One version of a resource.", "vread"),
    Offered("compartment", "/{type}/{id}/{member}", GET, "A search within one patient's record; * for all types.", types=("Patient",)),
    Offered("compartment_by_post", "/{type}/{id}/{member}/_search", POST, "The same, its question in no address.", types=("Patient",)),
)  # fmt: skip


def of_type(type: str) -> list[Offered]:
    """The rows that a resource type has."""
    return [one for one in OFFERED if one.of == type or ("{type}" in one.path and (not one.types or type in one.types))]


def of_system() -> list[Offered]:
    return [one for one in OFFERED if "{type}" not in one.path and not one.of]
