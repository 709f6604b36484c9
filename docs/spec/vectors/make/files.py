"""Vectors of section 27: documents, folders, names, journals. Run: see __main__.py."""

from __future__ import annotations

from typing import Any

from _cast import TRUST, ZONE, case, flipped, key, refused

from cloister.base.secret import Secret
from cloister.zones import Refusal, algorithms, epochs, files

FILE = key(60)[:16]
PLAIN = bytes(range(256)) * 257  # a block and a part of one
ZONE_KEYS = {1: key(61), 2: key(62)}


def keys(*numbers: int) -> files.FileKeys:
    held = {number: epochs.EpochKeys(ZONE, number, Secret(ZONE_KEYS[number])) for number in numbers}
    return files.FileKeys.of(TRUST, held, writes=True)


def cases() -> list[dict[str, Any]]:
    return [*documents(), *names(), *journals()]


def sealed_document(held: files.FileKeys, plain: bytes, *, file: bytes = FILE, version: int = 1) -> bytes:
    new = held.new_document(file, version)
    out = held.header(new, len(plain))
    for number in range(-(-len(plain) // files.BLOCK_BYTES)):
        block = plain[number * files.BLOCK_BYTES : (number + 1) * files.BLOCK_BYTES]
        room = bytearray(len(block) + files.OVERHEAD_BYTES)
        new.blocks.seal_into(number, block, memoryview(room))
        out += room
    return out


def documents() -> list[dict[str, Any]]:
    held = keys(1)
    short = sealed_document(held, b"Dear colleague")
    long, empty = sealed_document(held, PLAIN), sealed_document(held, b"")
    given = {"trust": TRUST, "zone": ZONE, "keys": {str(number): ZONE_KEYS[number] for number in (1, 2)}, "document": short}
    one = held.head(short)
    answer = {"hash": algorithms.sha256(b"Dear colleague"), "file": one.file, "version": 1, "tag": one.tag}
    first, second = files.HEADER_BYTES, files.HEADER_BYTES + files.SEALED_BLOCK_BYTES
    other = sealed_document(held, b"Dear colleague", version=2)
    rewrapped = keys(1, 2).rewrapped(short[: files.HEADER_BYTES]) + short[files.HEADER_BYTES :]
    wrong: dict[str, dict[str, Any]] = {
        "of another trust": {"trust": "trust-2"},
        "of another zone": {"zone": "zone-2"},
        "with another zone key": {"keys": {"1": key(63)}},
        "with another version's block": {"document": short[:first] + other[first:]},
        "with another version's number": {"document": short[:24] + bytes([9]) + short[25:]},
        "said to be rewritten in place": {"document": short[:35] + b"\x01" + short[36:]},
        "with another commitment": {"document": flipped(short, 40)},
        "changed at the end": {"document": flipped(short)},
        "cut short": {"document": short[:-1]},
        "without its last block": {"document": long[:second]},
        "lengthened": {"document": short + b"\x00"},
        "half a header": {"document": short[:100]},
        "nothing": {"document": b""},
    }
    unheld = {"keys": {"2": ZONE_KEYS[2]}}
    return [
        case("a short document", "document", given, answer),
        case("an empty document", "document", {**given, "document": empty}, head_of(held, empty, b"")),
        case("a document of more than one block", "document", {**given, "document": long}, head_of(held, long, PLAIN)),
        case("the same under the next epoch", "document", {**given, "document": rewrapped}, answer),
        *(refused(f"a document {name}", "document", Refusal.TAG, {**given, **change}) for name, change in wrong.items()),
        refused("another magic", "document", Refusal.MALFORMED, {**given, "document": b"CLF2" + short[4:]}),
        refused("below the grant's floor", "document", Refusal.EPOCH_FLOOR, {**given, **unheld}),
        refused("of an unknown epoch", "document", Refusal.EPOCH_MISSING, {**given, "document": short[:7] + b"\x09" + short[8:]}),
    ]


def head_of(held: files.FileKeys, document: bytes, plain: bytes) -> dict[str, Any]:
    one = held.head(document)
    return {"hash": algorithms.sha256(plain), "file": one.file, "version": one.version, "tag": one.tag}


def names() -> list[dict[str, Any]]:
    secret, folder = key(64), key(65)[:16]
    made = files.FolderKeys(folder, secret, 1, 0, b"")
    given = {"secret": secret, "folder": folder}
    found = []
    for name in (b"a", "Lettre à Mme López.odt".encode(), b"n" * 161, b"n" * 162, b"n" * 255):
        sealed = made.seal_name(name)
        answer = {"name": name, "stored": files.stored_name(sealed)}
        found.append(case(f"a name of {len(name)} bytes", "file-name", {**given, "sealed": sealed}, answer))
    sealed = given["sealed"] = made.seal_name(b"a name")
    wrong: dict[str, dict[str, Any]] = {
        "in another folder": {"folder": key(66)[:16]},
        "with another secret": {"secret": key(66)},
        "changed": {"sealed": flipped(sealed)},
        "cut short": {"sealed": sealed[:-1]},
        "shorter than its synthetic IV": {"sealed": sealed[:15]},
    }
    return [*found, *(refused(f"a name {name}", "file-name", Refusal.TAG, {**given, **change}) for name, change in wrong.items())]


def journals() -> list[dict[str, Any]]:
    held = keys(1)
    header = held.new_folder()
    folder = held.folder(header)
    one, two, tags = folder.seal_name(b"one")[:16], folder.seal_name(b"two")[:16], [key(70 + n)[:16] for n in range(4)]
    records = [
        files.Record(files.SET, True, 1, one, files.ABSENT, tags[0]),
        files.Record(files.SET, True, 2, one, tags[0], tags[1]),
        files.Record(files.KEEP, False, 2, one, files.ABSENT, tags[0]),
        files.Record(files.SET, True, 3, two, files.ABSENT, tags[2]),
        files.Record(files.MOVE, True, 4, one, files.ABSENT, two),
        files.Record(files.SET, True, 5, two, tags[2], files.ABSENT),
    ]
    chain, lines = folder.chain, []
    for record in records:
        lines.append(folder.seal_record(record, chain))
        chain = lines[-1][-16:]
    given = {"trust": TRUST, "zone": ZONE, "keys": {"1": ZONE_KEYS[1]}, "journal": header + b"".join(lines)}
    answer = {"count": 6, "live": {one.hex(): tags[1]}, "kept": {two.hex(): [tags[0]]}}
    before = {**answer, "count": 5, "live": {one.hex(): tags[1], two.hex(): tags[2]}}
    wrong: dict[str, tuple[bytes, Refusal]] = {
        "with a changed line": (header + flipped(lines[0], 30) + b"".join(lines[1:]), Refusal.CHAIN_BROKEN),
        "without a line": (header + b"".join(lines[:2] + lines[3:]), Refusal.CHAIN_BROKEN),
        "with two lines exchanged": (header + lines[1] + lines[0] + b"".join(lines[2:]), Refusal.CHAIN_BROKEN),
        "that begins at another number": (header[:91] + b"\x01" + header[92:] + b"".join(lines), Refusal.CHAIN_BROKEN),
        "with another folder's id": (flipped(header, 10) + b"".join(lines), Refusal.TAG),
        "of half a header": (header[:90], Refusal.TAG),
        "with another magic": (b"CLD2" + header[4:], Refusal.MALFORMED),
    }
    return [
        case("a journal", "journal", given, answer),
        case("a journal whose last line was cut short", "journal", {**given, "journal": header + b"".join(lines)[:-1]}, before),
        case("a new journal", "journal", {**given, "journal": header}, {"count": 0, "live": {}, "kept": {}}),
        *(refused(f"a journal {name}", "journal", reason, {**given, "journal": raw}) for name, (raw, reason) in wrong.items()),
        refused("a journal of another zone", "journal", Refusal.TAG, {**given, "zone": "zone-2"}),
    ]
