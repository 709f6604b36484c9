"""What the gate may know of a message: keyed hashes of its number and of whom it is about, and one word of why it waits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from cloister.integration.hl7v2.context import Names
from cloister.integration.hl7v2.message import Message
from cloister.zones import algorithms

WORD: Final = re.compile(r"[^a-z0-9-]+")
PEOPLE_MAX: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    message: bytes  # 16 bytes: sender and control id
    lines: tuple[bytes, ...]  # 16 bytes each: sender and one identifier of the patient, as they were sent
    hash: bytes  # 32 bytes, of the whole message


def marks(message: Message, digest: bytes, names: Names) -> Marks:
    """Made of the text as it was sent, so that what cannot be mapped keeps its place too."""
    people = []
    for name, number in (("PID", 3), ("MRG", 1)):
        segment = message.first(name)
        if segment is not None:
            people += [segment.piece(value, 1) + "\x1e" + segment.piece(value, 4) for value in segment.values(number)]
    lines = tuple(_token(names, "line", message.sender, one) for one in dict.fromkeys(people[:PEOPLE_MAX]))
    return Marks(
        message=_token(names, "message", message.sender, message.control),
        lines=lines,
        hash=algorithms.hmac256(names.key, b"hash\x1f" + digest),
    )


def _token(names: Names, *parts: str) -> bytes:
    return algorithms.hmac256(names.key, "\x1f".join(parts).encode())[:16]


def claimed_sender(data: bytes) -> str:
    """MSH-3.1|MSH-4.1 of bytes whose character set is not known yet: names of senders are ASCII."""
    line = data[:1000].lstrip(b"\r\n ").split(b"\r", 1)[0]
    if len(line) < 9:
        return "|"
    fields = line.split(line[3:4])
    first = [fields[number].split(line[4:5])[0].decode("ascii", "replace").strip() if len(fields) > number else "" for number in (2, 3)]
    return "|".join(first)


def reason_word(reason: str) -> str:
    return WORD.sub("-", reason.lower()).strip("-")[:60] or "unknown"
