"""Records: the sealed FHIR R4 store of one session, and the store gate. Only this door is imported from outside.

Names are loaded when first asked for, because the store gate's process enters through
`cloister.records.gate` and must not load validation, search or keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloister.records import loading, sealed_in
    from cloister.records.behalf import OnBehalf
    from cloister.records.chart import Chart
    from cloister.records.fhir import published
    from cloister.records.fhir.exchange import Exchange
    from cloister.records.fhir.routes import endpoint
    from cloister.records.fhir.sending import as_sent
    from cloister.records.fhir.warming import warm
    from cloister.records.records import Records
    from cloister.records.search import parse
    from cloister.records.stored import Hit, Outcome, Page, Reader, Stored, Written

__all__ = [
    "Chart",
    "Exchange",
    "Hit",
    "OnBehalf",
    "Outcome",
    "Page",
    "Reader",
    "Records",
    "Stored",
    "Written",
    "as_sent",
    "endpoint",
    "loading",
    "parse",
    "published",
    "sealed_in",
    "warm",
]


def __getattr__(name: str) -> Any:
    if name == "OnBehalf":
        from cloister.records.behalf import OnBehalf

        return OnBehalf
    if name == "Chart":
        from cloister.records.chart import Chart

        return Chart
    if name == "Records":
        from cloister.records.records import Records

        return Records
    if name == "Exchange":
        from cloister.records.fhir.exchange import Exchange

        return Exchange
    if name == "published":
        import cloister.records.fhir.published as published

        return published
    if name == "endpoint":
        from cloister.records.fhir.routes import endpoint

        return endpoint
    if name == "as_sent":
        from cloister.records.fhir.sending import as_sent

        return as_sent
    if name == "warm":
        from cloister.records.fhir.warming import warm

        return warm
    if name == "parse":
        from cloister.records.search import parse

        return parse
    if name == "loading":
        import cloister.records.loading as loading

        return loading
    if name == "sealed_in":
        import cloister.records.sealed_in as sealed_in

        return sealed_in
    if name in __all__:
        from cloister.records import stored

        return getattr(stored, name)
    raise AttributeError(name)
