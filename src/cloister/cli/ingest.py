"""`cloister ingest`: what a laboratory machine or a modality does, with nothing but its secret and the trust's two public roots.

It verifies whom it seals to before it seals: the zone's and the epoch's records lead to the pinned access root, its own
certificate to the pinned certificate root. It holds no zone key and can read nothing back. docs/ingest.md.
"""

from __future__ import annotations

import base64
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer

from cloister.base.clock import system_clock
from cloister.base.errors import CloisterError, Conflict, Corrupt, Denied, Invalid, NotFound, Unavailable
from cloister.base.settings import read_settings
from cloister.cli.place import Trust, find_trust
from cloister.identity import programs
from cloister.records import sealed_in
from cloister.zones import Keyring, TrustMaterial, TrustRoots, bundle, envelope, epochs, unlockers

PATH: Final = "/fhir/R4/$ingest"
SECONDS_MAX: Final = 60.0


@dataclass(frozen=True, slots=True)
class Device:
    """A machine that has verified the trust: its signer, and the epochs it may seal into, by zone."""

    keyring: Keyring
    epochs: dict[str, epochs.Epoch]
    next: int

    def message(self, zone: str, seq: int, content: bytes) -> bytes:
        epoch = self.epochs.get(zone)
        if epoch is None:
            known = ", ".join(sorted(self.epochs)) or "none"
            raise NotFound(f"This machine may not seal into zone '{zone[:80]}'.", hint=f"It may seal into: {known}.")
        signer = self.keyring.signer
        return sealed_in.sealed_content(signer, trust=self.keyring.trust_id, epoch=epoch, seq=seq, content=content, now=system_clock())


def device_of(rows: dict[str, Any], roots: TrustRoots, client_secret: str) -> Device:
    """Everything that the trust answered, verified against the pinned roots."""
    row = next((one for one in rows["unlockers"] if one["kind"] == "service"), None)
    if row is None:
        raise NotFound("This program has no client secret.", hint="Ask the certificate officer.")
    kek, _ = unlockers.service_secrets(programs.client_secret_bytes(client_secret).reveal())
    person = rows["person"]["id"]
    stored = unlockers.Unlocker(row["id"], person, row["kind"], dict(row["params"]), base64.b64decode(row["sealed"]))
    keys = bundle.open_bundle(person, base64.b64decode(rows["identity"]["sealed_private"]), unlockers.unwrap_unlock_key(kek, stored))
    material = TrustMaterial(
        certificates=[base64.b64decode(one["der"]) for one in rows["certificates"]],
        mandates=[base64.b64decode(one["body"]) for one in rows["mandates"]],
    )
    # A machine pins no audit log: it believes signatures that lead to the two roots, and reveals nothing but what it measured.
    roots = TrustRoots(roots.trust_id, roots.certificate_root_public, roots.access_root_public)
    keyring = Keyring.open(bundle=keys, trust=roots, material=material, now=system_clock())
    able = {}
    for zone, _, record, newest in rows["zones"]:
        policy = keyring.zone_record(zone, [base64.b64decode(record)]).policy
        blob = base64.b64decode(newest)
        number = int(envelope.peek_body(blob)["epoch"])
        epoch = keyring.epoch_record(zone, number, {number: blob})
        if policy.get("ingest", {}).get(keyring.person) == keyring.certificate.hash.hex():
            able[zone] = epoch
    return Device(keyring, able, int(rows["next"]))


def read_roots(path: Path) -> TrustRoots:
    """The file public/trust.json of the trust, which the machine got once and by hand."""
    try:
        body = json.loads(path.read_text())
        return TrustRoots(body["trust"], bytes.fromhex(body["certificate_root"]), bytes.fromhex(body["access_root"]))
    except (OSError, ValueError, KeyError, TypeError) as wrong:
        raise Corrupt(f"The trust's roots cannot be read from {path}.", hint="Copy public/trust.json of the trust once more.") from wrong


class Line:
    """The machine's session at the trust."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._http = httpx.Client(base_url=trust.base, verify=trust.tls(), timeout=SECONDS_MAX, trust_env=False)

    def sign_in(self) -> None:
        program = self._trust.program
        secret = program.client_secret.reveal().decode()
        answer = self._sent("POST", "/oauth2/token", data={"grant_type": "client_credentials"}, auth=(program.client_id, secret))
        self._http.headers["authorization"] = f"Bearer {answer['access_token']}"

    def describe(self) -> dict[str, Any]:
        return self._sent("GET", PATH)

    def put(self, zone: str, epoch: int, seq: int, body: bytes) -> dict[str, Any]:
        asked = {"zone": zone, "epoch": epoch, "seq": seq}
        return self._sent("POST", PATH, params=asked, content=body, headers={"content-type": "application/octet-stream"})

    def _sent(self, method: str, path: str, **what: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, path, **what)
        except httpx.TransportError as lost:
            raise Unavailable(f"The trust at {self._trust.base} does not answer.", hint="Is it running?") from lost
        if answer.status_code < 400:
            return dict(answer.json())
        raise _refused(answer)

    def close(self) -> None:
        self._http.close()


def _refused(answer: httpx.Response) -> CloisterError:
    """What the trust said, as an OperationOutcome or as OAuth 2 errors are."""
    try:
        body = answer.json()
        issue = (body.get("issue") or [{}])[0]
        text = issue.get("details", {}).get("text") or body.get("error_description") or body.get("error") or "refused"
        hint = str(issue.get("diagnostics") or "")
    except ValueError:
        text, hint = f"HTTP {answer.status_code}", ""
    kind = {401: Denied, 403: Denied, 409: Conflict, 412: Conflict, 503: Unavailable}.get(answer.status_code, Invalid)
    return kind(str(text)[:300], hint=hint[:300])


def ingest_files(
    files: Annotated[list[Path], typer.Argument(help="FHIR resources or Bundles, a JSON file each.")],
    zone: Annotated[str, typer.Option(help="The zone to seal into, such as a ward's.")],
    program: Annotated[str, typer.Option(help="This machine's client id.")],
    secret_file: Annotated[Path, typer.Option(help="A file with its client secret.")],
    roots: Annotated[Path | None, typer.Option(help="The trust's public/trust.json; this state folder's by default.")] = None,
    sequence: Annotated[int | None, typer.Option(min=1, help="The first message's number; the next free one by default.")] = None,
) -> None:
    """Seal FHIR files into a zone, as a machine that can read nothing there."""
    settings = read_settings()
    trust = find_trust(settings, hospital=None, program=program, secret_file=secret_file)
    pinned = read_roots(roots or settings.state / "public" / "trust.json")
    line = Line(trust)
    try:
        line.sign_in()
        device = device_of(line.describe(), pinned, trust.program.client_secret.reveal().decode())
        for seq, path in enumerate(files, start=sequence or device.next):
            answer = line.put(zone, device.epochs[zone].epoch if zone in device.epochs else 0, seq, device.message(zone, seq, _read(path)))
            print(f"{path.name}: number {seq}, {'was there already, ' if answer['again'] else ''}{answer['state']}")
    finally:
        line.close()
    print(f"{len(files):,} sealed into {zone}", file=sys.stderr)


def _read(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        json.loads(raw)
    except OSError as wrong:
        raise NotFound(f"{path} cannot be read: {wrong.strerror}.") from wrong
    except ValueError:
        raise Invalid(f"{path} is not JSON.", hint="Give one FHIR resource or Bundle in each file.") from None
    return raw


__all__ = ["Device", "Line", "device_of", "ingest_files", "read_roots"]
