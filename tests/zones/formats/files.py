"""How the formats of section 27 are opened here."""

from __future__ import annotations

from typing import Any

from cloister.base.secret import Secret
from cloister.zones import Forged, Refusal, algorithms, epochs, files


def _keys(given: dict[str, Any]) -> files.FileKeys:
    held = {int(number): epochs.EpochKeys(given["zone"], int(number), Secret(bytes.fromhex(key))) for number, key in given["keys"].items()}
    return files.FileKeys.of(given["trust"], held, writes=True)


def document(given: dict[str, Any]) -> dict[str, Any]:
    raw = bytes.fromhex(given["document"])
    head = _keys(given).head(raw)
    if len(raw) != files.sealed_size(head.size):
        raise Forged(Refusal.TAG)
    plain = bytearray(head.size)
    for number in range(-(-head.size // files.BLOCK_BYTES)):
        start = files.HEADER_BYTES + number * files.SEALED_BLOCK_BYTES
        sealed = memoryview(raw)[start : start + files.SEALED_BLOCK_BYTES]
        out = memoryview(plain)[number * files.BLOCK_BYTES : (number + 1) * files.BLOCK_BYTES]
        head.blocks.open_into(number, sealed, out)
    return {"hash": algorithms.sha256(bytes(plain)), "file": head.file, "version": head.version, "tag": head.tag}


def name(given: dict[str, Any]) -> dict[str, Any]:
    folder = files.FolderKeys(bytes.fromhex(given["folder"]), bytes.fromhex(given["secret"]), 1, 0, b"")
    sealed = bytes.fromhex(given["sealed"])
    return {"name": folder.open_name(sealed), "stored": files.stored_name(sealed)}


def journal(given: dict[str, Any]) -> dict[str, Any]:
    raw = bytes.fromhex(given["journal"])
    folder = _keys(given).folder(raw)
    chain, count = folder.chain, folder.base
    live: dict[str, bytes] = {}
    kept: dict[str, list[bytes]] = {}
    for at in range(files.JOURNAL_HEADER_BYTES, len(raw) - files.RECORD_BYTES + 1, files.RECORD_BYTES):
        line = raw[at : at + files.RECORD_BYTES]
        record, chain, count = folder.open_record(line, chain), line[-16:], count + 1
        where = record.name.hex()
        if record.kind == files.SET:
            live[where] = record.new
        elif record.kind == files.KEEP:
            kept.setdefault(where, []).append(record.new)
        elif record.kind == files.PRUNE:
            kept[where].remove(record.old)
        elif where in kept:
            kept[record.new.hex()] = kept.pop(where)
    return {"count": count, "live": {one: tag for one, tag in live.items() if tag != files.ABSENT}, "kept": kept}


FORMATS = {"document": document, "file-name": name, "journal": journal}
