"""Train a zstd dictionary for sealed rows and index parts: scripts/train_dictionary.py OUT [FOLDER ...].

Only synthetic records may go in, because the dictionary is stored in clear: those of the demo generator, and FHIR
transaction bundles of synthetic patients (Synthea, Apache-2.0) from the folders given. Half of the bundles are
kept out, and the result is measured on them. A dictionary that was ever used stays for ever: choose a new number.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import zstandard

from cloister.base.ids import new_id
from cloister.demo.generator import generate
from cloister.records.draft import Draft, moment_of
from cloister.records.fhir.references import rewrite
from cloister.records.fhir.text import decode
from cloister.records.lines import Line
from cloister.records.search import IndexEntry
from cloister.zones import algorithms

BYTES: Final = 112 * 1024
SAMPLES_OF_A_TYPE_MAX: Final = 1500
DEMO_PATIENTS: Final = 120
SEED: Final = 20261122
LINES: Final = (1, 1, 3, 10)  # in a part: most writes are of one or a few resources


def drafts(bundle: dict[str, Any]) -> Iterator[Draft]:
    """The bundle's resources as an import would store them."""
    entries = bundle["entry"]
    ids = {entry.get("fullUrl", ""): new_id() for entry in entries}
    places = {url: f"{entry['resource']['resourceType']}/{ids[url]}" for url, entry in zip(ids, entries, strict=False)}
    for entry in entries:
        resource = entry["resource"]
        rewrite(resource, places)
        yield Draft(resource, ids[entry.get("fullUrl", "")])


def samples(bundles: list[dict[str, Any]], chance: random.Random) -> list[bytes]:
    """Rows, and index parts of few lines, with no type so frequent that it crowds out the others."""
    rows: dict[str, list[bytes]] = {}
    parts: list[bytes] = []
    moment = 1_700_000_000_000
    for bundle in bundles:
        lines: list[Line] = []
        for draft in drafts(bundle):
            moment += 1000
            rows.setdefault(draft.type, []).append(draft.raw(1, moment_of(moment)))
            lines.append(
                Line(
                    algorithms.random(32), b"", draft.content, b"", False, IndexEntry(draft.type, draft.id, 1, moment * 1000, draft.values)
                )
            )
        chance.shuffle(lines)
        while lines:
            few, lines = lines[: (size := chance.choice(LINES))], lines[size:]
            parts.append(msgspec.msgpack.encode({number: {line.entry.id: line} for number, line in enumerate(few)}))
    chosen = [row for several in rows.values() for row in chance.sample(several, min(len(several), SAMPLES_OF_A_TYPE_MAX))]
    return chosen + chance.sample(parts, min(len(parts), len(chosen) // 3))


def main(out: Path, folders: list[Path]) -> None:
    chance = random.Random(SEED)
    bundles = list(generate(DEMO_PATIENTS, SEED))
    for folder in folders:
        bundles.extend(decode(file.read_bytes()) for file in sorted(folder.rglob("*.json")))
    chance.shuffle(bundles)
    trained, kept_out = samples(bundles[::2], chance), samples(bundles[1::2], chance)
    dictionary = zstandard.train_dictionary(BYTES, trained, level=3)
    out.write_bytes(dictionary.as_bytes())
    compressor = zstandard.ZstdCompressor(level=3, dict_data=dictionary)
    before = sum(map(len, kept_out))
    after = sum(len(compressor.compress(one)) for one in kept_out)
    print(f"{out}: {len(dictionary)} bytes from {len(trained)} samples; on {len(kept_out)} others {after / before:.3f} of the bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(folder) for folder in sys.argv[2:]])
