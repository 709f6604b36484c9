"""What the door serves that other rooms make: the sign-in page, static files, what is said of the FHIR endpoint."""

from __future__ import annotations

from functools import cache
from typing import Final

from starlette.requests import Request

from cloister.base.settings import Settings
from cloister.epr import LANGUAGES
from cloister.gateway import Published, StaticFile, language_of, read_files, static_file
from cloister.records import loading
from cloister.records import published as fhir_published
from cloister.web import STATIC_FOLDER, Pages, read_pages, static_names

FHIR: Final = "/fhir/R4"


@cache
def sign_in_pages() -> Pages:
    return read_pages(modules=())


def static_files() -> dict[str, StaticFile]:
    return read_files(STATIC_FOLDER, immutable=static_names())


def published(settings: Settings) -> dict[str, Published]:
    """What anybody may know of the FHIR endpoint: its statements in both formats, its OpenAPI document, its page."""
    loading.refresh(settings.terminology)
    modes = {
        "full": fhir_published.capabilities(settings.base_url),
        "terminology": fhir_published.in_both(loading.terminology_statement()),  # of what was loaded when this trust was started
    }
    statements = {
        (mode, xml): static_file("metadata.fhirxml" if xml else "metadata.fhir", both.xml if xml else both.json)
        for mode, both in modes.items()
        for xml in (False, True)
    }
    document = static_file("openapi.json", fhir_published.openapi(settings.base_url))
    pages, rows = sign_in_pages(), fhir_published.rows()
    page = {one: static_file("openapi.html", pages.render("api.html", language=one, rows=rows).encode()) for one in LANGUAGES}

    def metadata(request: Request) -> StaticFile:
        mode = "terminology" if request.query_params.get("mode") == "terminology" else "full"
        return statements[mode, fhir_published.wants_xml(request)]

    def readable(request: Request) -> StaticFile:
        asked = request.query_params.get("lang", "")
        return page[asked if asked in page else language_of(request)]

    return {f"{FHIR}/metadata": metadata, f"{FHIR}/openapi.json": lambda request: document, f"{FHIR}/openapi": readable}
