"""Acknowledgements: MSA and ERR, in original and enhanced mode. HL7 v2.5 2.9.2, 2.9.3, 2.15.1, 2.15.5, 2.15.8.

Said only of what is certain: AA and CA after the sealed write, or after the sealed parking. The same message gets the same words again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from cloister.integration.hl7v2.escapes import USUAL, Delimiters, escaped
from cloister.integration.hl7v2.faults import NAMES, Condition, Unfit, Unreadable
from cloister.integration.hl7v2.message import Message, read_message
from cloister.zones import algorithms

TEXT_CHARACTERS_MAX: Final = 250  # ERR-8 is TX; some receivers cut at 250
NAME: Final = "CLOISTER"
ALWAYS, NEVER, ERROR, SUCCESS = "AL", "NE", "ER", "SU"  # table 0155


class Fate(StrEnum):
    """What became of a message."""

    WRITTEN = "written"
    PARKED = "parked"  # kept sealed, for a person to look at
    REFUSED = "refused"  # AE: the sender keeps it
    REJECTED = "rejected"  # AR: it cannot be followed, or is of a kind that is not taken


APPLICATION: Final = {Fate.WRITTEN: "AA", Fate.PARKED: "AA", Fate.REFUSED: "AE", Fate.REJECTED: "AR"}
ACCEPT: Final = {Fate.WRITTEN: "CA", Fate.PARKED: "CA", Fate.REFUSED: "CE", Fate.REJECTED: "CR"}


@dataclass(frozen=True, slots=True)
class Answer:
    """`fault` says why, where the message was not simply written."""

    fate: Fate
    fault: Unfit | None = None
    notes: Sequence[str] = ()  # said as warnings


def acknowledgements(message: Message, answer: Answer, now: datetime) -> list[str]:
    """What is to be sent back, in this order; nothing, where the sender asked for nothing (MSH-15, MSH-16)."""
    accept, application = message.header.text_of(15), message.header.text_of(16)
    if not accept and not application:  # original mode
        return [_acknowledgement(message, APPLICATION[answer.fate], answer, now)]
    good = answer.fate in (Fate.WRITTEN, Fate.PARKED)
    codes = [
        *([ACCEPT[answer.fate]] if _wanted(accept, good) else []),
        *([APPLICATION[answer.fate]] if _wanted(application, good) else []),
    ]
    return [_acknowledgement(message, code, answer, now) for code in codes]


def _wanted(condition: str, good: bool) -> bool:
    return condition == ALWAYS or (condition == SUCCESS and good) or (condition == ERROR and not good)


def _acknowledgement(message: Message, code: str, answer: Answer, now: datetime) -> str:
    by, header = message.delimiters, message.header
    # Its own number follows from the message's: the same answer to the same message.
    number = algorithms.sha256(f"{message.sender}|{message.control}|{code}".encode()).hex()[:20].upper()
    event = message.event
    type = by.component.join(("ACK", event, "ACK")) if event else "ACK"
    head = _joined(
        by,
        [
            "MSH" + by.field + by.characters,
            *(_whole(header.text_of(field), by) for field in (5, 6, 3, 4)),
            now.strftime("%Y%m%d%H%M%S+0000"),
            "",
            type,
            number,
            header.text_of(11) or "P",
            header.text_of(12) or "2.5",
            "",
            "",
            NEVER,
            NEVER,
            "",
            _whole(header.text_of(18), by),
        ],
    )
    text = answer.fault.text if answer.fault is not None else ""
    lines = [head, _joined(by, ["MSA", code, _whole(message.control, by), _whole(text[:80], by)])]
    severity = "W" if answer.fate is Fate.PARKED else "E"
    if answer.fault is not None:
        lines.append(_error(by, answer.fault, severity))
    lines += [_joined(by, ["ERR", "", "", "0", "W", "", "", "", _whole(note[:TEXT_CHARACTERS_MAX], by)]) for note in answer.notes]
    return "\r".join(lines) + "\r"


def _error(by: Delimiters, fault: Unfit, severity: str) -> str:
    """ERR-2 where, ERR-3 which, ERR-4 how bad, ERR-7 what to do, ERR-8 in words."""
    condition = by.component.join((str(int(fault.condition)), NAMES[fault.condition], "HL70357"))
    where = fault.place.replace("^", by.component)
    return _joined(
        by,
        [
            "ERR",
            "",
            where,
            condition,
            severity,
            "",
            "",
            _whole(fault.hint[:TEXT_CHARACTERS_MAX], by),
            _whole(fault.text[:TEXT_CHARACTERS_MAX], by),
        ],
    )


def unreadable(data: bytes, fault: Unfit, now: datetime) -> str:
    """The answer to bytes whose header cannot be followed: what can be guessed of sender and control id is repeated."""
    fields = data[:2000].split(b"\r", 1)[0].split(b"|")
    guessed = [fields[number].decode("ascii", "replace")[:199] if len(fields) > number else "" for number in (2, 3, 9)]
    by = USUAL
    sender, facility, control = (_whole("".join(one for one in text if one.isprintable()), by) for text in guessed)
    head = _joined(
        by, ["MSH" + by.field + by.characters, NAME, "", sender, facility, now.strftime("%Y%m%d%H%M%S+0000"), "", "ACK", "0", "P", "2.5"]
    )
    return "\r".join((head, _joined(by, ["MSA", "AR", control, _whole(fault.text[:80], by)]), _error(by, fault, "E"))) + "\r"


def away(data: bytes, now: datetime) -> bytes:
    """The answer to a message of which nobody knows whether it was taken: its sender keeps it and sends it again."""
    try:
        message = read_message(data, assumed="8859/15")
    except Unreadable as wrong:
        return unreadable(data, wrong, now).encode("ascii", "replace")
    hint = "Send it again: what was taken already is recognised."
    fault = Unfit("The record cannot be reached.", condition=Condition.INTERNAL, hint=hint, reason="away")
    texts = acknowledgements(message, Answer(Fate.REFUSED, fault), now)
    return texts[0].encode(message.charset, "replace") if texts else b""


def _whole(text: str, by: Delimiters) -> str:
    return escaped(text, by)


def _joined(by: Delimiters, fields: Sequence[str]) -> str:
    return by.field.join(fields).rstrip(by.field)
