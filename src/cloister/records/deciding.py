"""What the index cannot decide: candidates are opened, and the resource itself is looked at.

Spec: http://hl7.org/fhir/R4/search.html#composite, #text. Opening is bounded, and audited like any other reading.
"""

from __future__ import annotations

from typing import Final

from cloister.base.errors import Busy
from cloister.records.dossier import Dossier
from cloister.records.dossiers import Dossiers, Notes
from cloister.records.lines import Line
from cloister.records.linking import Found, too_costly
from cloister.records.search import Query, Targets, decided, matches

OPENED_MAX: Final = 5000
OPENED_AT_ONCE: Final = 200
ATTEMPTS: Final = 4


async def decide(query: Query, candidates: list[Found], targets: Targets, opened: Dossiers) -> list[Found]:
    """Those of the candidates that match when they are opened; of what is written meanwhile, the version that is opened counts."""
    if len(candidates) > OPENED_MAX:
        raise too_costly(query)
    found: list[Found] = []
    for _ in range(ATTEMPTS):
        again: list[tuple[Dossier, Line]] = []
        for start in range(0, len(candidates), OPENED_AT_ONCE):
            part = candidates[start : start + OPENED_AT_ONCE]
            dossiers = await opened.open([dossier for dossier, _ in part])
            pairs = [(dossiers[dossier], line) for dossier, line in part if dossier in dossiers]
            stored, _ = await opened.rows(pairs, _notes(query, pairs))
            for (dossier, line), one in zip(pairs, stored, strict=True):
                if one is None or one.version != line.entry.version:
                    again.append((dossier, line))
                elif one.resource is not None and decided(query, one.resource):
                    found.append((dossier.id, line))
        if not again:
            return found
        candidates = await _anew(query, again, targets, opened)
    raise Busy("These records are being written too quickly to be read.", hint="Try again.")


async def _anew(query: Query, pairs: list[tuple[Dossier, Line]], targets: Targets, opened: Dossiers) -> list[Found]:
    """The lines of now, for what was written while it was opened; without those that do not match any more."""
    dossiers = await opened.open([dossier.id for dossier, _ in pairs], fresh=True)
    found: list[Found] = []
    for old, line in pairs:
        now = dossiers[old.id].line(line.entry.type, line.entry.id) if old.id in dossiers else None
        if now is not None and not now.deleted and matches(query, now.entry, targets=targets, undecided=True):
            found.append((old.id, now))
    return found


def _notes(query: Query, pairs: list[tuple[Dossier, Line]]) -> Notes:
    return [
        {"action": "search", "kind": query.type, "object": name, "reason": "looked through"}
        for name in dict.fromkeys(dossier.name for dossier, _ in pairs)
    ]
