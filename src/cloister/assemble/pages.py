"""What the door serves that other rooms make: the sign-in page, static files, the capability statement."""

from __future__ import annotations

import json

from cloister.base.settings import Settings
from cloister.gateway import StaticFile, read_files, static_file
from cloister.records import capability_statement, loading
from cloister.web import STATIC_FOLDER, Pages, read_pages, static_names


def sign_in_pages() -> Pages:
    return read_pages(modules=())


def static_files() -> dict[str, StaticFile]:
    return read_files(STATIC_FOLDER, immutable=static_names())


def capability_file(settings: Settings) -> StaticFile:
    """The CapabilityStatement of this installation (FHIR R4, capabilitystatement.html: implementation.url)."""
    statement = {**json.loads(capability_statement()), "implementation": {"description": "Cloister", "url": f"{settings.base_url}/fhir/R4"}}
    return static_file("metadata.fhir", json.dumps(statement, ensure_ascii=False, separators=(",", ":")).encode())


def terminology_file(settings: Settings) -> StaticFile:
    """The TerminologyCapabilities, of what was loaded when this trust was started; a session tells what itself has."""
    loading.refresh(settings.terminology)
    return static_file("terminology.fhir", loading.terminology_statement())
