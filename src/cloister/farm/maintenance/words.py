"""What people are told before their server goes, in each language of the pages. It speaks of the house, never of a patient."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

CLOSES: Final = {
    "en": "The server that you work on closes at {time}. What you have typed is kept: sign out and in again whenever it suits you "
    "before then, and go on at once on another server.",
    "fr": "Le serveur sur lequel vous travaillez s'arrête à {time}. Votre saisie est conservée : déconnectez-vous puis reconnectez-vous "
    "quand cela vous convient avant cette heure, et continuez aussitôt sur un autre serveur.",
}


def closes(deadline: datetime, *, zone: str, message: str = "") -> dict[str, str]:
    """By language code; an operator's own words come after ours, as they were written."""
    time = deadline.astimezone(ZoneInfo(zone)).strftime("%H:%M")
    return {language: text.format(time=time) + (f" {message}" if message else "") for language, text in CLOSES.items()}
