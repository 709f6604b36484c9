"""Integration: what other systems send and ask for that is not FHIR. Only this door is imported from outside.

HL7 v2 messages, CDA documents, lists of people in CSV, the International Patient Summary. Works through the door of the
records, as the session that it is in: it reads and writes what that session may, and nothing goes round validation or keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloister.integration import people, waiting
    from cloister.integration.hl7v2.acknowledging import away
    from cloister.integration.warming import warm

__all__ = ["away", "operations", "people", "waiting", "warm"]


def operations() -> dict[str, Any]:
    """Who answers which row of what the FHIR endpoint offers."""
    from cloister.integration import serving

    return serving.OPERATIONS


def __getattr__(name: str) -> Any:
    if name == "away":
        from cloister.integration.hl7v2.acknowledging import away

        return away
    if name == "warm":
        from cloister.integration.warming import warm

        return warm
    if name == "people":
        import cloister.integration.people as people

        return people
    if name == "waiting":
        import cloister.integration.waiting as waiting

        return waiting
    raise AttributeError(name)
