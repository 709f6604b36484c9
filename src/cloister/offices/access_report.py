"""A patient's access report: who opened the record, when and why (EHDS Regulation 2025/327 article 9; GDPR article 15).

As PDF in French or English, and as a FHIR R4 Bundle of AuditEvents after IHE BALP (Basic Audit Log Patterns). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cloister.audit import Entry
from cloister.base.clock import iso
from cloister.offices.pdf import Pdf

BALP: Final = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit"
EVENT_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-event-type"
RESTFUL: Final = "http://hl7.org/fhir/restful-interaction"
PARTICIPANT: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
OBJECT_ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"
OBJECT_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
# action of an entry: AuditEvent.action, restful-interaction, BALP profile
ACTS: Final = {
    "read": ("R", "read", "PatientRead"),
    "vread": ("R", "vread", "PatientRead"),
    "history": ("R", "history-instance", "PatientRead"),
    "search": ("E", "search-type", "PatientQuery"),
    "create": ("C", "create", "PatientCreate"),
    "update": ("U", "update", "PatientUpdate"),
    "delete": ("D", "delete", "PatientDelete"),
}
OUTCOMES: Final = {"success": "0", "denied": "4", "refused": "4", "failed": "8"}
WORDS: Final = {
    "en": {
        "title": "Who opened this record", "patient": "Patient", "from": "From", "until": "until", "made": "Made on", "by": "by",
        "time": "Time (UTC)", "who": "Who", "what": "What", "outcome": "Outcome", "none": "Nobody opened this record in this time.",
        "law": "Regulation (EU) 2025/327, article 9; Regulation (EU) 2016/679, article 15.", "entries": "entries",
        "proof": "Each line is an entry of the trust's audit log; the number is its place there, under signed checkpoints.",
    },
    "fr": {
        "title": "Qui a ouvert ce dossier", "patient": "Patient", "from": "Du", "until": "au", "made": "Établi le", "by": "par",
        "time": "Heure (UTC)", "who": "Qui", "what": "Quoi", "outcome": "Résultat",
        "none": "Personne n'a ouvert ce dossier pendant cette période.",
        "law": "Règlement (UE) 2025/327, article 9 ; règlement (UE) 2016/679, article 15.", "entries": "entrées",
        "proof": "Chaque ligne est une entrée du journal d'audit ; le numéro est sa place, sous des points de contrôle signés.",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What goes into it: entries with their numbers in the log, newest first."""

    patient: str
    since: datetime
    until: datetime
    made: datetime
    officer: str
    trust: str
    names: Mapping[str, str]  # of people
    entries: Sequence[tuple[int, Entry]]

    def who(self, entry: Entry) -> str:
        return self.names.get(entry.actor, entry.actor)


def as_pdf(report: Report, language: str) -> bytes:
    words = WORDS.get(language, WORDS["en"])
    pdf = Pdf(words["title"], footer=f"{report.trust} - {words['title']}")
    pdf.heading(words["title"])
    pdf.line(f"{words['patient']}: Patient/{report.patient}")
    pdf.line(f"{words['from']} {report.since:%Y-%m-%d} {words['until']} {report.until:%Y-%m-%d}, {len(report.entries)} {words['entries']}")
    pdf.line(f"{words['made']} {report.made:%Y-%m-%d %H:%M} UTC, {words['by']} {report.officer}")
    pdf.line(words["law"])
    pdf.line(words["proof"])
    pdf.space()
    if not report.entries:
        pdf.line(words["none"])
        return pdf.finished()
    widths = (52, 108, 140, 160, 60)
    pdf.row(("no.", words["time"], words["who"], words["what"], words["outcome"]), widths, bold=True)
    for seq, entry in report.entries:
        what = f"{entry.action} {entry.kind}" + (f" ({entry.reason})" if entry.reason else "")
        pdf.row((str(seq), f"{entry.at:%Y-%m-%d %H:%M:%S}", report.who(entry), what, entry.outcome), widths)
    return pdf.finished()


def as_bundle(report: Report) -> dict[str, Any]:
    """A FHIR R4 Bundle (collection) of AuditEvents."""
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": iso(report.made),
        "entry": [{"fullUrl": f"urn:cloister:audit:{seq}", "resource": audit_event(report, seq, entry)} for seq, entry in report.entries],
    }


def audit_event(report: Report, seq: int, entry: Entry) -> dict[str, Any]:
    action, interaction, profile = ACTS.get(entry.action, ("E", "operation", ""))
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": f"entry-{seq}",
        "type": {"system": EVENT_TYPE, "code": "rest", "display": "RESTful Operation"},
        "subtype": [{"system": RESTFUL, "code": interaction}],
        "action": action,
        "recorded": iso(entry.at),
        "outcome": OUTCOMES.get(entry.outcome, "8"),
        "agent": [
            {
                "type": {"coding": [{"system": PARTICIPANT, "code": "IRCP", "display": "information recipient"}]},
                "who": {"identifier": {"system": "urn:cloister:person", "value": entry.actor}, "display": report.who(entry)},
                "requestor": True,
            }
        ],
        "source": {"observer": {"display": entry.source or "session"}},
        "entity": [
            {
                "what": {"reference": f"Patient/{report.patient}"},
                "type": {"system": OBJECT_TYPE, "code": "1", "display": "Person"},
                "role": {"system": OBJECT_ROLE, "code": "1", "display": "Patient"},
            },
            {
                "what": {"identifier": {"system": "urn:cloister:object", "value": entry.object or entry.patient}},
                "type": {"system": OBJECT_TYPE, "code": "2", "display": "System Object"},
                "role": {"system": OBJECT_ROLE, "code": "4", "display": "Domain Resource"},
            },
        ],
    }
    if profile:
        event["meta"] = {"profile": [f"{BALP}.{profile}"]}
    if entry.reason:
        event["outcomeDesc"] = entry.reason
    return event
