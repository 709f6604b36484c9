"""Messages that wait for a person: looked at, replayed, put aside. For the page, the command line, and whoever may write in the zone.

A replay goes the way of every message, in the session of the person who replays: their policy, their keys, their name on its
Provenance. Of one patient the oldest goes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from cloister.base.errors import CloisterError, Conflict, Invalid
from cloister.integration.hl7v2.acknowledging import Fate
from cloister.integration.hl7v2.message import CHARSETS, read_message
from cloister.integration.hl7v2.overrides import mapping_for, read_overrides
from cloister.integration.hl7v2.stored_overrides import keep_overrides, stored_overrides
from cloister.integration.hl7v2.taking import Terms, take
from cloister.integration.hl7v2.tokens import claimed_sender, reason_word
from cloister.records import Records


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A waiting message, opened. `text` has a line for each segment; `mapping` is the zone's, as JSON."""

    id: str
    zone: str
    reason: str
    tries: int
    since: Any
    behind: bool
    sender: str
    type: str
    why: str
    hint: str
    place: str
    text: str
    mapping: str


async def listed(records: Records) -> tuple[list[Any], int]:
    """(lines of the list, oldest first, how many there are): nothing of the messages themselves."""
    return await records.parking.listed()


async def look(records: Records, id: str) -> Replay:
    """The message in the clear, in this session; the reading is on record before it is shown."""
    found = await records.parking.open(id)
    head, line = found.head, found.waiting
    overrides = await stored_overrides(records, line.zone, fresh=True)
    assumed = mapping_for(overrides, str(head.get("sender", ""))).charset or str(head.get("assumed", ""))

    return Replay(
        id=id,
        zone=line.zone,
        reason=line.reason,
        tries=line.tries,
        since=line.since,
        behind=line.behind,
        sender=str(head.get("sender", "")),
        type=str(head.get("type", "")),
        why=str(head.get("text", "")),
        hint=str(head.get("hint", "")),
        place=str(head.get("place", "")).replace("^", "-"),
        text=_shown(found.content, assumed),
        mapping=msgspec.json.format(msgspec.json.encode(overrides)).decode(),
    )


def _shown(content: bytes, assumed: str) -> str:
    try:
        message = read_message(content, assumed=assumed)
        return "\n".join(one.text for one in message.segments)
    except CloisterError:
        return content.decode("utf-8", "replace").replace("\r", "\n")


async def replay(records: Records, id: str, *, text: str | None = None, mapping: str | None = None) -> None:
    """Write it, as it came or as it was corrected; with `mapping`, the zone's mapping is changed first.

    Conflict when an earlier one of the same patient waits; Invalid, with place and hint, when it still cannot be written.
    """
    found = await records.parking.open(id)
    if found.waiting.behind:
        raise Conflict("An earlier message about this patient waits.", hint="Replay that one first.", reason="behind")
    zone, head = found.waiting.zone, found.head
    overrides = await stored_overrides(records, zone, fresh=True)
    if mapping is not None:
        changed = read_overrides(mapping.encode())
        if changed != overrides:
            await keep_overrides(records, zone, changed)
            overrides = changed
    content = found.content
    assumed = mapping_for(overrides, claimed_sender(content)).charset or str(head.get("assumed", ""))
    if text is not None and text.replace("\r\n", "\n").strip() != _shown(content, assumed).strip():
        content = _bytes_of(text, content, assumed)
    if claimed_sender(content) != str(head["sender"]) or read_message(content, assumed=assumed).control != head["control"]:
        raise Invalid("Sender and control id of a message stay as they are.", hint="Correct the other fields.", reason="message-other")
    terms = Terms(zone=zone, park=False, assumed=assumed, replaying=id)
    taken = await take(records, content, terms)
    if taken.answer.fate is Fate.WRITTEN:
        await records.parking.close(id, "done", "written")
        return
    fault = taken.answer.fault
    assert fault is not None
    if not found.waiting.behind:
        await records.parking.close(id, "waiting", reason_word(fault.reason))
    place = f" ({fault.place.replace('^', '-')})" if fault.place else ""
    raise Invalid(f"{fault.text}{place}", hint=fault.hint, reason=fault.reason)


def _bytes_of(text: str, before: bytes, assumed: str) -> bytes:
    """What a person typed, in the character set of the message."""
    charset = "utf-8"
    try:
        charset = read_message(before, assumed=assumed).charset
    except CloisterError:
        charset = CHARSETS.get(assumed.upper(), "utf-8")
    try:
        return text.replace("\r\n", "\n").strip("\n").replace("\n", "\r").encode(charset) + b"\r"
    except UnicodeEncodeError as beyond:
        raise Invalid(
            f"The character '{text[beyond.start]}' is not in this message's character set.",
            hint="Write it otherwise, or change MSH-18 to UNICODE UTF-8.",
            reason="charset",
        ) from None


async def drop(records: Records, id: str) -> None:
    """A person puts it aside: its bytes are gone, its line stays on record, and its sender is told it was taken."""
    await records.parking.open(id)  # whoever may not open it may not put it aside
    await records.parking.close(id, "dropped", "put-aside")
