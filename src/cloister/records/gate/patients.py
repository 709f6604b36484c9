"""Whose dossier a call is about, for the audit log: a privacy officer asks who opened one patient's record.

A row's dossier is known from the arguments, from an earlier answer, or from this one, after which it is remembered.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

from cloister.records.gate import reading, trust, writing
from cloister.records.gate.statement import Arguments

KEPT_MAX: Final = 100_000


def patient_of(text: str) -> str:
    """An audit note's object, if it is a dossier's name (the text of its UUID), else nothing."""
    return text if len(text) == 36 and text[8] == "-" and "/" not in text else ""


class Patients:
    def __init__(self) -> None:
        self._known: dict[bytes, str] = {}  # row -> dossier

    def before(self, form: Arguments) -> str | None:
        """The dossier that a call will read; None when its answer must be waited for. Empty where the notes say it themselves."""
        if isinstance(form, reading.RowsById):
            return self._known.get(form.ids[0]) if form.ids else ""
        if isinstance(form, reading.Rows):
            return _name(form.dossiers[0]) if form.dossiers else ""
        if isinstance(form, (reading.Versions, trust.Readers)):
            return _name(form.dossier)
        if isinstance(form, writing.Write) and len(form.dossier) == 1:
            return _name(form.dossier[0])
        return ""

    def after(self, form: Arguments, answer: Any) -> str:
        if not isinstance(form, reading.RowsById):
            return ""
        rows = answer[0]
        if len(self._known) + len(rows) > KEPT_MAX:
            self._known.clear()
        self._known.update((row[1], _name(row[0])) for row in rows)
        return _name(rows[0][0]) if rows else ""


def _name(row: bytes) -> str:
    return str(uuid.UUID(bytes=row))
