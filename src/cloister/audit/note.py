"""Signed notes (C2SP signed-note, tlog-checkpoint, tlog-cosignature): a text, an empty line, signature lines.

`— name base64(key id | signature)`; a verifier ignores lines of keys that it does not know. Signing and verifying come
in as callables: this room knows no algorithm. Spec: docs/spec/zones.md 14.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cloister.base.errors import Corrupt

ED25519: Final = b"\x01"
COSIGNATURE: Final = b"\x04"  # Ed25519 with a time, by a witness
ML_DSA_65: Final = b"\xffcloister/ml-dsa-65"  # no byte is assigned to it
NOTE_BYTES_MAX: Final = 64 * 1024
LINES_MAX: Final = 32
KEY_ID_BYTES: Final = 4

Sign = Callable[[bytes], bytes]
Verify = Callable[[bytes, bytes], None]  # message, signature; raises when it is not the signer's


@dataclass(frozen=True, slots=True)
class NoteKey:
    """Who signs notes: a name and a public key of one kind; `verify` is of that key."""

    name: str
    kind: bytes
    public: bytes
    verify: Verify = field(repr=False, compare=False)

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + self.kind + self.public).digest()[:KEY_ID_BYTES]

    def text(self) -> str:
        """The verifier key as people hand it on: name+key id+kind and key."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(self.kind + self.public).decode()}"


@dataclass(frozen=True, slots=True)
class NoteSigner:
    key: NoteKey
    sign: Sign = field(repr=False, compare=False)

    def line(self, text: str) -> str:
        return signature_line(self.key, self.sign(text.encode()))

    def cosignature(self, text: str, seconds: int) -> str:
        """C2SP cosignature/v1: seen at this time, as a continuation of what this witness had seen before."""
        return signature_line(self.key, seconds.to_bytes(8, "big") + self.sign(cosigned(text, seconds)))


@dataclass(frozen=True, slots=True)
class Note:
    text: str  # with its last newline
    lines: tuple[tuple[str, bytes, bytes], ...]  # name, key id, signature

    def signature(self, key: NoteKey) -> bytes | None:
        """This key's first signature, unverified; None when it has not signed."""
        return next((signature for name, id, signature in self.lines if (name, id) == (key.name, key.id)), None)

    def verified(self, key: NoteKey) -> None:
        """Returns when this key signed the text; raises Corrupt otherwise."""
        signature = self.signature(key)
        if signature is None:
            raise Corrupt("This checkpoint is not signed by the audit log's key.", reason="signature")
        key.verify(self.text.encode(), signature)

    def witnessed(self, key: NoteKey) -> int:
        """When the witness cosigned, in seconds since 1970; raises Corrupt when it did not."""
        signature = self.signature(key)
        if signature is None or len(signature) < 8:
            raise Corrupt("This checkpoint is not cosigned by that witness.", reason="signature")
        seconds = int.from_bytes(signature[:8], "big")
        key.verify(cosigned(self.text, seconds), signature[8:])
        return seconds


def cosigned(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def signature_line(key: NoteKey, signature: bytes) -> str:
    return f"\u2014 {key.name} {base64.b64encode(key.id + signature).decode()}\n"


def parsed_note(note: str) -> Note:
    """The text and its signature lines, nothing verified; Corrupt(note) unless it has the one form."""
    text, mark, signatures = note.rpartition("\n\n")
    if len(note) > NOTE_BYTES_MAX or not mark or not signatures.endswith("\n") or any(ord(c) < 32 and c != "\n" for c in note):
        raise _broken()
    lines = signatures[:-1].split("\n")
    if len(lines) > LINES_MAX:
        raise _broken()
    return Note(text + "\n", tuple(map(_line, lines)))


def _line(line: str) -> tuple[str, bytes, bytes]:
    dash, _, rest = line.partition(" ")
    name, _, body = rest.partition(" ")
    try:
        raw = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise _broken() from None
    if dash != "\u2014" or not name or "+" in name or len(raw) <= KEY_ID_BYTES:
        raise _broken()
    return name, raw[:KEY_ID_BYTES], raw[KEY_ID_BYTES:]


def _broken() -> Corrupt:
    return Corrupt("This is not a signed note.", reason="note")
