"""Makes the kit's folder: the same trust, options and version give the same bytes, on any machine."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloister import __version__
from cloister.base.errors import Conflict, Invalid, Unavailable, Unsupported
from cloister.cli.kit import policies, signing
from cloister.zones import algorithms

ROOT: Final = Path(__file__).resolve().parents[4]
PACKAGING: Final = ROOT / "packaging" / "cloister-workstation"
BUILD_CARD: Final = ROOT / "scripts" / "build-card-deb"
BEGIN, END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
README: Final = """\
Cloister workstation kit {version} for {origin}

Check   openssl pkeyutl -verify -rawin -pubin -inkey KEY.pem -sigfile SHA256SUMS.sig -in SHA256SUMS && sha256sum -c SHA256SUMS
        KEY.pem is what `cloister workstation key` prints at the trust; compare its fingerprint there:
        {fingerprint}
Linux   sh install.sh [--kiosk] [--without-card] [--key KEY.pem]       again is harmless; --remove takes it back
        DESTDIR=TREE sh install.sh                                     prepares an image
Windows windows/*.reg (reg import, or as a policy); trust/cloister-trust.crt into "Trusted Root Certification Authorities",
        unless the browsers' policy, which believes it for this address alone, is enough

chromium/, edge/   policies of the browsers; cloister-kiosk.json only for thin terminals
trust/             the authority of the trust's certificate, where it is its own
card/              the card agent's package, and the address that may ask it
kiosk/             the unit of a thin terminal: one browser, one address, nothing kept (needs cage and a browser)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the kit is for. `origin` and `card_origin` are https addresses without a path; `authority` is PEM, or empty."""

    origin: str
    card_origin: str
    authority: bytes
    names: tuple[str, ...]  # in the server's certificate; the authority is believed for these alone
    card: bool


def anchors_of(pem: bytes) -> list[bytes]:
    """DER of each certificate in a PEM file; Invalid when there is none."""
    found = [part.partition(END)[0] for part in pem.split(BEGIN)[1:]]
    try:
        anchors = [base64.b64decode(b"".join(one.split()), validate=True) for one in found]
    except ValueError:
        anchors = []
    if not anchors:
        raise Invalid("There is no certificate in this file.", hint="Name the authority's certificate in PEM with --ca.")
    return anchors


def make(out: Path, wanted: Wanted, key: algorithms.SignPrivate) -> int:
    """Fills and signs a new folder; the number of its files. Conflict when it is there and not empty."""
    if not PACKAGING.is_dir():
        raise Unsupported("This installation has no packaging folder.", hint="Make the kit from a checkout of Cloister.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Conflict(f"{out} is there already.", hint="Name a new folder; a kit is never changed after it was signed.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".kit-") as folder:
        tree = Path(folder) / "kit"
        _fill(tree, wanted, key.public)
        signing.sign(tree, key)
        if out.exists():
            out.rmdir()
        tree.rename(out)
    return signing.check(out, key.public)


def _fill(tree: Path, wanted: Wanted, public: bytes) -> None:
    anchors = anchors_of(wanted.authority) if wanted.authority else []
    everywhere = policies.workstation(wanted.origin, wanted.card_origin, anchors, wanted.names)
    terminal = policies.terminal(wanted.origin, wanted.card_origin)
    for name, content in (("cloister", everywhere), ("cloister-kiosk", terminal)):
        _write(tree, f"chromium/{name}.json", _json(content))
        _write(tree, f"edge/{name}.json", _json(policies.for_edge(content)))
        _write(tree, f"windows/{name}-chrome.reg", policies.registry(content, "SOFTWARE\\Policies\\Google\\Chrome"))
        _write(tree, f"windows/{name}-edge.reg", policies.registry(policies.for_edge(content), "SOFTWARE\\Policies\\Microsoft\\Edge"))
    if anchors:
        _write(tree, "trust/cloister-trust.crt", wanted.authority.decode("ascii"))
    _write(tree, "kiosk/kiosk.conf", f"ORIGIN={wanted.origin}\n")
    for name in ("kiosk/kiosk", "kiosk/cloister-kiosk.service", "install.sh"):
        _write(tree, name, (PACKAGING / Path(name).name).read_text())
    _write(tree, "card/origins", f"{wanted.origin}\n")
    _write(tree, "kit.json", _json({"version": __version__, "origin": wanted.origin, "card_origin": wanted.card_origin}))
    _write(tree, "README.txt", README.format(version=__version__, origin=wanted.origin, fingerprint=signing.fingerprint(public)))
    if wanted.card:
        _card_package(tree / "card")


def _card_package(folder: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        raise Unavailable("The card agent's package needs dpkg-deb.", hint="Make the kit on Debian, or use --without-card.")
    done = subprocess.run([sys.executable, str(BUILD_CARD), str(folder)], capture_output=True, text=True)
    if done.returncode:
        raise Unavailable("The card agent's package could not be made.", hint=done.stderr.strip()[-200:] or "Try scripts/build-card-deb.")


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def _write(tree: Path, name: str, text: str) -> None:
    target = tree / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(text.encode())
    target.chmod(0o755 if name in ("install.sh", "kiosk/kiosk") else 0o644)
