"""Vectors of sections 10 and 11: versions, index parts, rows, and compression. Run: see __main__.py."""

from __future__ import annotations

from typing import Any

import zstandard
from _cast import DOSSIER, OBSERVATION, TRUST, case, flipped, key, refused

from cloister.base.secret import Secret
from cloister.zones import DossierKey, Refusal, algorithms, compression, dossiers

KEY = DossierKey(DOSSIER, 1, Secret(key(40)))
PLAIN = b'{"resourceType":"Observation","status":"final"}'


def cases() -> list[dict[str, Any]]:
    return [*versions(), *index_parts(), *rows(), *compressions()]


def versions() -> list[dict[str, Any]]:
    compressed = compression.compress(PLAIN, 0)
    sealed = KEY.seal_version(TRUST, "Observation", OBSERVATION, 1, 0, compressed)
    given = {
        "key": key(40),
        "trust": TRUST,
        "dossier": DOSSIER,
        "key_no": 1,
        "type": "Observation",
        "id": OBSERVATION,
        "version": 1,
        "dict_no": 0,
        "sealed": sealed,
    }
    wrong: dict[str, dict[str, Any]] = {
        "of another dossier": {"dossier": DOSSIER[:-1] + "9"},
        "of another trust": {"trust": "trust-2"},
        "of another key number": {"key_no": 2},
        "as another type": {"type": "Condition"},
        "as another resource": {"id": OBSERVATION[:-1] + "9"},
        "as a newer version": {"version": 2},
        "with another dictionary": {"dict_no": 1},
        "with another key": {"key": key(41)},
        "changed": {"sealed": flipped(sealed)},
        "cut short": {"sealed": sealed[:-32]},
        "nothing": {"sealed": b""},
        "in the index key's place": {"sealed": KEY.seal_index_part(0, compressed)},
    }
    return [
        case("a version", "version", given, {"compressed": compressed, "plain": PLAIN.decode(), "commitment": KEY.commitment}),
        *(refused(f"a version {name}", "version", Refusal.TAG, {**given, **change}) for name, change in wrong.items()),
    ]


def index_parts() -> list[dict[str, Any]]:
    sealed = KEY.seal_index_part(3, b"index part")
    given = {"key": key(40), "dossier": DOSSIER, "key_no": 1, "part_no": 3, "sealed": sealed}
    wrong: dict[str, dict[str, Any]] = {
        "of another dossier": {"dossier": DOSSIER[:-1] + "9"},
        "of another key number": {"key_no": 2},
        "in another part's place": {"part_no": 2},
        "changed": {"sealed": flipped(sealed)},
        "cut short": {"sealed": sealed[:-1]},
    }
    hashes = {str(n): algorithms.sha256(bytes([n])) for n in (0, 1, 2, 10)}
    return [
        case("an index part", "index-part", given, {"plain": b"index part"}),
        *(refused(f"an index part {name}", "index-part", Refusal.TAG, {**given, **change}) for name, change in wrong.items()),
        case(
            "the root of four parts",
            "parts-root",
            {"parts": hashes},
            {"root": dossiers.parts_root({int(n): one for n, one in hashes.items()})},
        ),
        case("the root of no part", "parts-root", {"parts": {}}, {"root": dossiers.parts_root({})}),
    ]


def rows() -> list[dict[str, Any]]:
    sealed = KEY.seal_version(TRUST, "Observation", OBSERVATION, 3, 0, compression.compress(PLAIN, 0))
    given = {"sealed": sealed, "version": 3, "indexed_version": 3, "indexed_hash": algorithms.sha256(sealed)}
    wrong: dict[str, tuple[Refusal, dict[str, Any]]] = {
        "an older row": (Refusal.ROLLED_BACK, {"version": 2}),
        "a newer row": (Refusal.EXTRA_ROW, {"version": 4}),
        "another row": (Refusal.SWAPPED, {"sealed": flipped(sealed)}),
        "a row cut short": (Refusal.SWAPPED, {"sealed": sealed[:-1]}),
    }
    return [
        case("the row of the index", "row", given, {}),
        *(refused(name, "row", reason, {**given, **change}) for name, (reason, change) in wrong.items()),
    ]


def compressions() -> list[dict[str, Any]]:
    frame = compression.compress(PLAIN, 0)
    with_dictionary = compression.compress(PLAIN, 1)
    magic = zstandard.ZstdCompressor().compress(PLAIN)
    parameters = zstandard.ZstdCompressionParameters(format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_content_size=False)
    no_size = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    unsized = no_size.compress(PLAIN) + no_size.flush()
    huge = bytes.fromhex("a0") + (64 * 1024 * 1024 + 1).to_bytes(4, "little") + frame[2:]
    assert len(frame) % 32 == 0
    wrong = {
        "nothing": (Refusal.MALFORMED, 0, b""),
        "a frame cut short": (Refusal.MALFORMED, 0, frame[:20]),
        "zeros": (Refusal.MALFORMED, 0, bytes(32)),
        "a frame with its magic number": (Refusal.MALFORMED, 0, padded(magic)),
        "a frame without content size": (Refusal.MALFORMED, 0, padded(unsized)),
        "a frame of too much content": (Refusal.MALFORMED, 0, padded(huge)),
        "a length that is no step": (Refusal.MALFORMED, 0, frame + b"\x00"),
        "a dictionary that nobody has": (Refusal.ALGORITHM, 99, frame),
    }
    return [
        case("a frame", "compression", {"dict_no": 0, "compressed": frame}, {"plain": PLAIN.decode()}),
        case("a frame of a dictionary", "compression", {"dict_no": 1, "compressed": with_dictionary}, {"plain": PLAIN.decode()}),
        case("a frame of nothing", "compression", {"dict_no": 0, "compressed": compression.compress(b"", 0)}, {"plain": ""}),
        case(
            "what follows the frame is not looked at",
            "compression",
            {"dict_no": 0, "compressed": flipped(frame)},
            {"plain": PLAIN.decode()},
        ),
        *(
            refused(f"compression: {name}", "compression", reason, {"dict_no": number, "compressed": blob})
            for name, (reason, number, blob) in wrong.items()
        ),
    ]


def padded(frame: bytes) -> bytes:
    return frame + bytes(-len(frame) % 32)
