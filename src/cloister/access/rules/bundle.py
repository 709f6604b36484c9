"""A version of a trust's rules as one signed object: Cedar text, networks and the examples that it was tested by.

Signed by the access root, which lies in medical's safe: neither IT nor one officer alone can loosen what holds. Spec: docs/policies.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from cloister.access.rules.checked import Rules
from cloister.access.rules.examples import check_examples, read_examples
from cloister.access.rules.standing import Network, Networks, read_networks
from cloister.base.errors import Invalid, NotFound
from cloister.zones import Forged, Refusal, TrustRoots, envelope

LABEL: Final = "cloister/rules/v1"
FORM: Final = 1
FILES: Final = ("rules.cedar", "networks.csv", "examples.csv")
FILE_BYTES_MAX: Final = 1_000_000
USUAL: Final = Path(__file__).parent / "usual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    version: int
    made: int  # milliseconds since 1970 UTC
    note: str
    rules: Rules
    networks: Networks
    examples: str


def read_folder(folder: Path, version: int, *, made: int = 0, note: str = "") -> Bundle:
    """The three files of a folder, which must agree with each other: an example that fails is refused by its line."""
    texts = {}
    for name in FILES:
        try:
            raw = (folder / name).read_bytes()
        except OSError as wrong:
            raise NotFound(
                f"{folder / name} cannot be read: {wrong.strerror}.", hint=f"A policy is a folder of {', '.join(FILES)}."
            ) from None
        if len(raw) > FILE_BYTES_MAX:
            raise Invalid(f"{name} is too large.", hint=f"At most {FILE_BYTES_MAX} bytes.", reason="rules")
        try:
            texts[name] = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise Invalid(f"{name} is not UTF-8.", hint="Save it as UTF-8.", reason="rules") from None
    found = Bundle(
        version=version,
        made=made,
        note=note,
        rules=Rules(texts["rules.cedar"], version),
        networks=read_networks(texts["networks.csv"]),
        examples=texts["examples.csv"],
    )
    check_examples(read_examples(found.examples), found.rules, found.networks)
    return found


@cache
def usual() -> Bundle:
    """What holds until a trust has published rules of its own: version 0."""
    return read_folder(USUAL, 0, note="usual")


def signed(bundle: Bundle, root: envelope.Signer, trust: str) -> bytes:
    body = {
        "v": FORM,
        "trust": trust,
        "version": bundle.version,
        "made": bundle.made,
        "note": bundle.note,
        "text": bundle.rules.text,
        "networks": [[row.network, row.place, row.name] for row in bundle.networks.rows],
        "examples": bundle.examples,
    }
    return root.sign(LABEL, body)


def opened(blob: bytes, roots: TrustRoots) -> Bundle:
    """The bundle, if this trust's access root signed it; raises Forged otherwise."""
    body = envelope.opened(LABEL, blob, roots.access_root_public)
    try:
        if body["v"] != FORM or body["trust"] != roots.trust_id or not isinstance(body["version"], int):
            raise Forged(Refusal.MALFORMED)
        networks = Networks(Network(network=str(a), place=str(b), name=str(c)) for a, b, c in body["networks"])
        return Bundle(
            version=body["version"],
            made=int(body["made"]),
            note=str(body["note"]),
            rules=Rules(str(body["text"]), body["version"]),
            networks=networks,
            examples=str(body["examples"]),
        )
    except (KeyError, TypeError, ValueError):
        raise Forged(Refusal.MALFORMED) from None
