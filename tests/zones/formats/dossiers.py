"""How the formats of sections 10 and 11 are opened here."""

from __future__ import annotations

from typing import Any

from cloister.base.secret import Secret
from cloister.zones import DossierKey, compression, dossiers


def key(given: dict[str, Any]) -> DossierKey:
    return DossierKey(given["dossier"], given["key_no"], Secret(bytes.fromhex(given["key"])))


def version(given: dict[str, Any]) -> dict[str, Any]:
    opened = key(given)
    place = (given["trust"], given["type"], given["id"], given["version"], given["dict_no"])
    compressed = opened.open_version(*place, bytes.fromhex(given["sealed"]))
    plain = compression.decompress(given["dict_no"], compressed).decode()
    return {"compressed": compressed, "plain": plain, "commitment": opened.commitment}


def index_part(given: dict[str, Any]) -> dict[str, Any]:
    return {"plain": key(given).open_index_part(given["part_no"], bytes.fromhex(given["sealed"]))}


def parts_root(given: dict[str, Any]) -> dict[str, Any]:
    return {"root": dossiers.parts_root({int(number): bytes.fromhex(hashed) for number, hashed in given["parts"].items()})}


def row(given: dict[str, Any]) -> dict[str, Any]:
    indexed = {"indexed_version": given["indexed_version"], "indexed_digest": bytes.fromhex(given["indexed_hash"])}
    dossiers.check_row(bytes.fromhex(given["sealed"]), given["version"], **indexed)
    return {}


def compressed(given: dict[str, Any]) -> dict[str, Any]:
    return {"plain": compression.decompress(given["dict_no"], bytes.fromhex(given["compressed"])).decode()}


FORMATS = {"version": version, "index-part": index_part, "parts-root": parts_root, "row": row, "compression": compressed}
