"""Searches of the screens, through the same parser and rules as every FHIR client's."""

from __future__ import annotations

from cloister.epr.kit.module import Resource
from cloister.epr.kit.visit import Visit
from cloister.records import Page, parse


async def find(visit: Visit, kind: str, *pairs: tuple[str, str]) -> Page:
    """One search, strictly: an unknown parameter is our own mistake and must not silently widen an answer."""
    return await visit.records.search(parse(kind, pairs, strict=True, now=visit.now))


def bodies(page: Page, kind: str) -> list[Resource]:
    """The resources of one type on a page, matches and included ones."""
    return [hit.stored.resource for hit in page.hits if hit.stored.type == kind and hit.stored.resource is not None]
