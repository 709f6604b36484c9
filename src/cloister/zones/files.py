"""Files of a zone on any storage: documents, folders, names, journals. Spec: docs/spec/zones.md 27.

Bytes only: which file is read or written, and when, is decided in the room `files`. A document's version
has a key of its own, wrapped under the zone's epoch; a folder has a key for its names (AES-SIV) and for the
chain of records that says which version stands under which name.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from cloister.base.secret import Secret
from cloister.zones import algorithms
from cloister.zones.epochs import EpochKeys
from cloister.zones.packing import packed
from cloister.zones.refusals import Forged, Refusal, Refused

BLOCK_BYTES: Final = 65536
OVERHEAD_BYTES: Final = algorithms.NONCE_BYTES + algorithms.TAG_BYTES
SEALED_BLOCK_BYTES: Final = BLOCK_BYTES + OVERHEAD_BYTES
IN_PLACE: Final = 1  # flag: blocks are rewritten where they stand, and the length is the storage's word

_HEADER: Final = struct.Struct(">4sI16sQI32s68s")
HEADER_BYTES: Final = _HEADER.size
_FOLDER: Final = struct.Struct(">4sI16s60s")
_DOCUMENT: Final = struct.Struct(">I16sQQI32s")  # packed() of file, version, flags, commitment
_JOURNAL: Final = struct.Struct(">84sQ16s")
JOURNAL_HEADER_BYTES: Final = _JOURNAL.size
_RECORD: Final = struct.Struct(">BBxxxxxxQ16s16s16s")
RECORD_BYTES: Final = _RECORD.size + 16
TAG_BYTES: Final = 16
ABSENT: Final = bytes(TAG_BYTES)
DOCUMENT_MAGIC: Final = b"CLF1"
FOLDER_MAGIC: Final = b"CLD1"
NAME_BYTES_MAX: Final = 255
SHORT_NAME_CHARACTERS: Final = 236
LONG_NAME: Final = "~"

SET, KEEP, PRUNE, MOVE = 1, 2, 3, 4  # kinds of journal records


class EpochFiles:
    """What one epoch of a zone gives to its files."""

    __slots__ = ("_wrap", "document", "epoch", "key")

    def __init__(self, trust: str, zone: str, epoch: int, key: Secret) -> None:
        self.epoch: Final = epoch
        self.key: Final = key
        self.document: Final = packed("cloister/file/v1", trust, zone, epoch)  # what is bound to each document begins with this
        self._wrap = algorithms.Aead(algorithms.hkdf(key.reveal(), "cloister/files/v1/wrap"))

    def seal(self, plain: bytes, bound: bytes) -> bytes:
        return self._wrap.seal(plain, bound)

    def open(self, sealed: bytes, bound: bytes) -> bytes:
        return self._wrap.open(sealed, bound)

    def __repr__(self) -> str:
        return f"EpochFiles({self.epoch}, ...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A key cannot be pickled.")


@dataclass(frozen=True, slots=True)
class Head:
    """What a document's header says once it was opened."""

    file: bytes
    version: int
    flags: int
    size: int
    tag: bytes  # of this version, in the folder's journal
    epoch: int
    blocks: Blocks


class FileKeys:
    """The keys of one zone's files: every epoch that the grant opens. New things are sealed under the newest."""

    def __init__(self, trust: str, zone: str, epochs: Mapping[int, Secret], *, writes: bool) -> None:
        if not epochs:
            raise Refused(Refusal.EPOCH_MISSING)
        self.trust: Final = trust
        self.zone: Final = zone
        self.writes: Final = writes
        self._epochs = {number: EpochFiles(trust, zone, number, key) for number, key in epochs.items()}
        self.newest: Final = max(epochs)

    @classmethod
    def of(cls, trust: str, keys: Mapping[int, EpochKeys], *, writes: bool) -> FileKeys:
        zone = next(iter(keys.values())).zone
        return cls(trust, zone, {number: one.files for number, one in keys.items()}, writes=writes)

    def epoch(self, number: int) -> EpochFiles:
        try:
            return self._epochs[number]
        except KeyError:
            raise Refused(Refusal.EPOCH_FLOOR if number < self.newest else Refusal.EPOCH_MISSING) from None

    def revealed(self) -> dict[int, bytes]:
        """For the sealed message to the mounting process, and for nothing else."""
        return {number: one.key.reveal() for number, one in self._epochs.items()}

    # --- documents ----------------------------------------------------------------------------------

    def new_document(self, file: bytes, version: int, *, flags: int = 0) -> NewDocument:
        return NewDocument(self, file, version, flags)

    def header(self, new: NewDocument, size: int) -> bytes:
        bound = self._document(self.newest, new.file, new.version, new.flags, new.commitment)
        sealed = self.epoch(self.newest).seal(new.secret + size.to_bytes(8, "big"), bound)
        return _HEADER.pack(DOCUMENT_MAGIC, self.newest, new.file, new.version, new.flags, new.commitment, sealed)

    def head(self, raw: bytes) -> Head:
        """A document's header, opened; Forged when it is not what was written."""
        if len(raw) < HEADER_BYTES:
            raise Forged(Refusal.TAG)
        magic, epoch, file, version, flags, commitment, sealed = _HEADER.unpack_from(raw)
        if magic != DOCUMENT_MAGIC:
            raise Forged(Refusal.MALFORMED)
        plain = self.epoch(epoch).open(sealed, self._document(epoch, file, version, flags, commitment))
        key, commits = _expanded(plain[:32])
        if not algorithms.same(commits, commitment):
            raise Forged(Refusal.COMMITMENT)
        return Head(file, version, flags, int.from_bytes(plain[32:], "big"), commitment[:TAG_BYTES], epoch, Blocks(key, file, version))

    def rewrapped(self, raw: bytes) -> bytes:
        """The same header under the newest epoch; the document's key and blocks stay as they are."""
        _, epoch, file, version, flags, commitment, sealed = _HEADER.unpack_from(raw)
        plain = self.epoch(epoch).open(sealed, self._document(epoch, file, version, flags, commitment))
        again = self.epoch(self.newest).seal(plain, self._document(self.newest, file, version, flags, commitment))
        return _HEADER.pack(DOCUMENT_MAGIC, self.newest, file, version, flags, commitment, again)

    def _document(self, epoch: int, file: bytes, version: int, flags: int, commitment: bytes) -> bytes:
        return self.epoch(epoch).document + _DOCUMENT.pack(len(file), file, version, flags, len(commitment), commitment)

    # --- folders ------------------------------------------------------------------------------------

    def new_folder(self) -> bytes:
        """The first bytes of a new folder's journal."""
        return self._folder(algorithms.random(16), algorithms.random(32))

    def folder(self, raw: bytes) -> FolderKeys:
        """The folder that a journal's first bytes are of."""
        if len(raw) < JOURNAL_HEADER_BYTES:
            raise Forged(Refusal.TAG)
        sealed, base, start = _JOURNAL.unpack_from(raw)
        magic, epoch, folder, wrapped = _FOLDER.unpack(sealed)
        if magic != FOLDER_MAGIC:
            raise Forged(Refusal.MALFORMED)
        secret = self.epoch(epoch).open(wrapped, packed("cloister/folder/v1", self.trust, self.zone, epoch, folder))
        keys = FolderKeys(folder, secret, epoch, base, start)
        if not algorithms.same(start, keys.start(base)):
            raise Forged(Refusal.CHAIN_BROKEN)
        return keys

    def shortened(self, keys: FolderKeys, base: int) -> bytes:
        """The first bytes of the same folder's next journal, whose records begin at number `base`; under the newest epoch."""
        return self._folder(keys.folder, keys.secret, base)

    def _folder(self, folder: bytes, secret: bytes, base: int = 0) -> bytes:
        bound = packed("cloister/folder/v1", self.trust, self.zone, self.newest, folder)
        sealed = _FOLDER.pack(FOLDER_MAGIC, self.newest, folder, self.epoch(self.newest).seal(secret, bound))
        return _JOURNAL.pack(sealed, base, FolderKeys(folder, secret, self.newest, base, b"").start(base))

    def __repr__(self) -> str:
        return f"FileKeys({self.zone!r}, epochs {sorted(self._epochs)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A key cannot be pickled.")


class NewDocument:
    """A version that is being written: its secret, and what seals its blocks."""

    __slots__ = ("blocks", "commitment", "file", "flags", "secret", "version")

    def __init__(self, keys: FileKeys, file: bytes, version: int, flags: int) -> None:
        self.file = file
        self.version = version
        self.flags = flags
        self.secret = algorithms.random(32)
        key, self.commitment = _expanded(self.secret)
        self.blocks = Blocks(key, file, version)

    @property
    def tag(self) -> bytes:
        return self.commitment[:TAG_BYTES]


class Blocks:
    """The blocks of one version: nonce | ciphertext | tag, bound to file, version and number."""

    __slots__ = ("_bound", "_cipher")

    def __init__(self, key: bytes, file: bytes, version: int) -> None:
        self._cipher = algorithms.InPlaceAead(key)
        self._bound = file + version.to_bytes(8, "big")

    def seal_into(self, number: int, plain: memoryview | bytearray | bytes, out: memoryview) -> int:
        """The length of what was written to `out`."""
        return self._cipher.seal_into(plain, self._bound + number.to_bytes(8, "big"), out)

    def open_into(self, number: int, sealed: memoryview, out: memoryview) -> int:
        """The length of the plaintext; Forged(tag) when the block is another, cut or changed."""
        return self._cipher.open_into(sealed, self._bound + number.to_bytes(8, "big"), out)


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a folder's journal: the tag that stands, was kept or was given up under a name."""

    kind: int
    first: bool  # of a group that is carried out together
    moment: int  # microseconds, for people
    name: bytes  # the synthetic IV of the name
    old: bytes
    new: bytes


class FolderKeys:
    """One folder's names and journal."""

    __slots__ = ("_journal", "_names", "base", "chain", "epoch", "folder", "secret")

    def __init__(self, folder: bytes, secret: bytes, epoch: int, base: int, chain: bytes) -> None:
        self.folder: Final = folder
        self.secret: Final = secret
        self.epoch: Final = epoch
        self.base: Final = base
        self.chain: Final = chain
        self._names = algorithms.Siv(algorithms.hkdf(secret, "cloister/folder/v1/names", length=64))
        self._journal = algorithms.Mac(algorithms.hkdf(secret, "cloister/folder/v1/journal"))

    def start(self, base: int) -> bytes:
        return self._journal.of(packed("cloister/journal/v1", self.folder, base))[:16]

    def seal_name(self, name: bytes) -> bytes:
        """Synthetic IV (16) | ciphertext. The first 16 bytes stand for the name in the journal."""
        return self._names.seal(name, self.folder)

    def open_name(self, sealed: bytes) -> bytes:
        return self._names.open(sealed, self.folder)

    def seal_text(self, plain: bytes, name: bytes) -> bytes:
        """A symbolic link's target, bound to its name."""
        return self._names.seal(plain, self.folder + name)

    def open_text(self, sealed: bytes, name: bytes) -> bytes:
        return self._names.open(sealed, self.folder + name)

    def seal_record(self, chain: bytes, kind: int, first: bool, moment: int, name: bytes, old: bytes, new: bytes) -> bytes:
        """The fields of a `Record`, after the record that `chain` ends."""
        raw = _RECORD.pack(kind, first, moment, name, old, new)
        return raw + self._journal.of(chain + raw)[:16]

    def open_record(self, raw: bytes, chain: bytes) -> Record:
        body, found = raw[: _RECORD.size], raw[_RECORD.size :]
        if not algorithms.same(found, self._journal.of(chain + body)[:16]):
            raise Forged(Refusal.CHAIN_BROKEN)
        kind, first, moment, name, old, new = _RECORD.unpack(body)
        return Record(kind, bool(first), moment, name, old, new)

    def __repr__(self) -> str:
        return "FolderKeys(...)"


def stored_name(sealed: bytes) -> str:
    """A sealed name as a file's name: base64url (RFC 4648, 5) without padding, or the hash of one that is too long."""
    text = base64.urlsafe_b64encode(sealed).decode().rstrip("=")
    if len(text) <= SHORT_NAME_CHARACTERS:
        return "=" + text
    return LONG_NAME + base64.urlsafe_b64encode(algorithms.sha256(sealed)).decode().rstrip("=")


def sealed_name(text: str) -> bytes:
    """What `stored_name` made of a short one; Forged for anything else."""
    sealed = sealed_text(text)
    if stored_name(sealed) != text:
        raise Forged(Refusal.MALFORMED)
    return sealed


def stored_text(sealed: bytes) -> str:
    """A sealed target as a symbolic link's text."""
    return "=" + base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def sealed_text(text: str) -> bytes:
    if not text.startswith("="):
        raise Forged(Refusal.MALFORMED)
    try:
        return base64.b64decode(text[1:] + "=" * (-(len(text) - 1) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise Forged(Refusal.MALFORMED) from None


def sealed_size(plain: int) -> int:
    """How long a document of this length is on the storage."""
    return HEADER_BYTES + plain + -(-plain // BLOCK_BYTES) * OVERHEAD_BYTES


def plain_size(stored: int) -> int:
    """The length that a document of this stored length claims; 0 for what is shorter than a header."""
    body = max(0, stored - HEADER_BYTES)
    whole, rest = divmod(body, SEALED_BLOCK_BYTES)
    return whole * BLOCK_BYTES + max(0, rest - OVERHEAD_BYTES)


def _expanded(secret: bytes) -> tuple[bytes, bytes]:
    """(block key, commitment) of a version's secret."""
    both = algorithms.hmac512(secret, b"cloister/file/v1/keys")
    return both[:32], both[32:]
