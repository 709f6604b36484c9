"""How the format of section 4 is opened here."""

from __future__ import annotations

from typing import Any

from encoding import shown

from cloister.zones import envelope


def opened(given: dict[str, Any]) -> dict[str, Any]:
    blob = bytes.fromhex(given["blob"])
    body = envelope.opened(given["label"], blob, bytes.fromhex(given["public"]))
    return {"signer": envelope.peek_signer(blob), "body": shown(body), "hash": envelope.digest(blob)}


FORMATS = {"envelope": opened}
