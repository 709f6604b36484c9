"""One target for each parser. A target ends, or raises; only the project's own errors are ways to end."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from cloister.audit import entry, note
from cloister.audit.checkpoint import parsed_checkpoint
from cloister.base import wire
from cloister.base.clock import system_clock
from cloister.base.errors import CloisterError, Corrupt
from cloister.base.secret import Secret
from cloister.farm import tickets
from cloister.integration.cda.document import read_document
from cloister.records import lines, subscribed
from cloister.records.fhir.xml_reading import from_xml
from cloister.records.fhir.xml_writing import to_xml
from cloister.records.terminology import ucum_scale
from cloister.records.validation.check import issues_of
from cloister.workstation import x509
from cloister.zones import algorithms, bundle, cards, compression, envelope, files, unlockers
from cloister.zones.cbor import decoded, encoded
from cloister.zones.certificates import Certificates, TrustRoots
from cloister.zones.packing import packed
from fuzz import hl7_mapping, seeds, signed

Run = Callable[[bytes], None]
NOW = datetime(2026, 11, 22, 13, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Target:
    run: Run
    seeds: Callable[[], Sequence[bytes]]


def refusing(parse: Run) -> Run:
    """Ends quietly when the bytes are refused by name; every other exception goes through."""

    def run(data: bytes) -> None:
        try:
            parse(data)
        except CloisterError as refused:
            if not refused.text:
                raise AssertionError("an error without a sentence") from refused

    return run


def cbor(data: bytes) -> None:
    assert encoded(decoded(data)) == data


def opened_envelope(data: bytes) -> None:
    label = envelope.peek_label(data)
    body = envelope.peek_body(data)
    # Nobody can sign as this key by chance: accepting would be a hole.
    try:
        envelope.opened(label, data, PUBLIC)
    except CloisterError:
        return
    assert data in seeds.objects()[label], f"a signature was made up over {body}"


PUBLIC = algorithms.sign_public(bytes(range(3, 35)))


def certificate(data: bytes) -> None:
    given = next(one for one in seeds.given("certificate") if len(one["certificates"]) == 3)
    roots = TrustRoots(given["trust"], bytes.fromhex(given["certificate_root"]), bytes.fromhex(given["access_root"]))
    known = Certificates(roots, [*(bytes.fromhex(der) for der in given["certificates"]), data])
    known.certifier("doctor")
    known.naming(PUBLIC)
    known.valid(algorithms.sha256(data), NOW)


def compressed(data: bytes) -> None:
    plain = compression.decompress(data[0] if data else 0, data[1:])
    assert len(plain) <= compression.PLAIN_BYTES_MAX


def index_part(data: bytes) -> None:
    """The plain bytes of a part, as a hostile writer with the dossier's key could seal them."""
    packed_lines = lines.Packed()
    for raw in lines.unpack_part(data).values():
        packed_lines.add(raw)
    packed_lines.read()


def index_lines(data: bytes) -> None:
    index_part(bytes((lines.FORMAT, 0)) + compression.compress(data, 0))


def opened_bundle(data: bytes) -> None:
    bundle.open_bundle("person-1", data, Secret(bytes(range(6, 38))))
    key = algorithms.hkdf(bytes(range(6, 38)), "cloister/bundle/v1/seal")
    commitment = algorithms.hkdf(bytes(range(6, 38)), "cloister/bundle/v1/commitment")
    sealed = commitment + algorithms.aead_seal(key, data, packed("cloister/bundle/v1", "person-1"))
    bundle.open_bundle("person-1", sealed, Secret(bytes(range(6, 38))))


def unlocker(data: bytes) -> None:
    """kind, then JSON parameters, as a database gives them."""
    kind, _, params = data.partition(b"|")
    body = json_of(params)
    name = kind.decode("utf-8", "replace")
    unlockers.unwrap_unlock_key(Secret(bytes(32)), unlockers.Unlocker("id", "person", name, body, data[:92]))


def params(data: bytes) -> None:
    body = json_of(data)
    for checked in (unlockers.checked_passphrase_params, cards.checked_card_params):
        try:
            checked(body)
        except CloisterError:
            continue


def json_of(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        raise Corrupt("no JSON") from None


def fhir(data: bytes) -> None:
    issues_of(json_of(data))


def frame(data: bytes) -> None:
    """A peer's bytes on the wire, in two pieces: messages, or a refusal that ends the connection."""
    frames = wire.Frames()
    frames.feed(data[: len(data) // 2])
    frames.feed(data[len(data) // 2 :])


TICKETS = tickets.Tickets(Secret(bytes(32)), clock=system_clock)


def ticket(data: bytes) -> None:
    tickets.verified_ticket(data.decode("utf-8", "replace"), TICKETS.jwks(), now=NOW)


def ticket_claims(data: bytes) -> None:
    """Claims that are signed by our own key: a former program's, or a bug's."""
    header = tickets._text(json.dumps({"alg": "EdDSA", "kid": tickets.key_id(algorithms.sign_public(bytes(32)))}).encode())
    inner = f"{header}.{tickets._text(data)}"
    signature = tickets._text(algorithms.sign(bytes(32), inner.encode()))
    tickets.verified_ticket(f"{inner}.{signature}", TICKETS.jwks(), now=NOW)


def audit_entry(data: bytes) -> None:
    """The plain bytes of a sealed entry, as a hostile session could write them."""
    sealed = entry.Sealed(NOW, "session@1", 1, "use", b"", 1, 0, 0, 0, b"")
    entry.opened_entry(sealed, lambda _body, _bound: data)


def checkpoint(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    found = parsed_checkpoint(text)
    assert found.parsed == note.parsed_note(text)


def card_certificate(data: bytes) -> None:
    try:
        x509.read_certificate(data)
    except x509.NotReadable:
        raise Corrupt("no certificate") from None


FILE_KEYS = files.FileKeys("trust-1", "zone-1", {1: Secret(bytes(range(30, 62)))}, writes=True)


def file_header(data: bytes) -> None:
    FILE_KEYS.head(data)


def file_journal(data: bytes) -> None:
    FILE_KEYS.folder(data)


def file_name(data: bytes) -> None:
    sealed = files.sealed_name(data.decode("utf-8", "surrogateescape"))
    assert files.stored_name(sealed) == data.decode()


def hl7_message(data: bytes) -> None:
    """A message through its reader and its mapper, as if nothing were known of its patient."""
    message = hl7_mapping.read_message(data, assumed="8859/15")
    by = hl7_mapping.mapping_for(hl7_mapping.Overrides(), message.sender)
    hl7_mapping.check_kind(message, by)
    hl7_mapping.wanted(message, by)
    hl7_mapping.mapped(
        hl7_mapping.Given(message=message, by=by, names=hl7_mapping.Names(bytes(32)), known=hl7_mapping.Known(), patient="p")
    )


def fhir_xml(data: bytes) -> None:
    """What is read from XML and is valid is the same after it was written as XML and read again."""
    resource = from_xml(data)
    if not issues_of(resource):
        assert from_xml(to_xml(resource)) == resource


def subscription(data: bytes) -> None:
    channel = {"type": "rest-hook", "endpoint": "https://a.example/"}
    subscribed.wish_of({"criteria": data.decode("utf-8", "replace"), "channel": channel}, NOW)


def unit(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    same = ucum_scale.conversion(text, text)
    assert same in (None, (1, 0))
    ucum_scale.conversion(text, "g/L")


def cda_document(data: bytes) -> None:
    read_document(data)


def hexed(format: str, name: str) -> Callable[[], list[bytes]]:
    return lambda: [bytes.fromhex(text) for text in seeds.given(format, name)]


def jsons(format: str, name: str) -> Callable[[], list[bytes]]:
    return lambda: [json.dumps(value).encode() for value in seeds.given(format, name)]


FHIR = [
    {"resourceType": "Patient", "id": "1", "name": [{"family": "Lopez", "given": ["Ana"]}], "birthDate": "1950-02-29"},
    {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "valueQuantity": {"value": 1.5, "unit": "mmol/L"}},
    {"resourceType": "DiagnosticReport", "status": "final", "code": {"text": "x"}, "contained": [{"resourceType": "Media"}]},
    {"resourceType": "Condition", "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">&amp;</div>'}},
    {"resourceType": "MedicationRequest", "dosageInstruction": [{"timing": {"repeat": {"offset": 1, "when": ["AC"]}}}]},
]
CHECKPOINT = "cloister.audit/trust-1\n7\n" + "A" * 43 + "=\ntime 1795352400\n\n\u2014 cloister.audit/trust-1 AAAAAAAA\n"
CLAIMS = {"iss": tickets.ISSUER, "aud": tickets.AUDIENCE, "iat": int(NOW.timestamp()), "exp": int((NOW + timedelta(minutes=5)).timestamp())}
PLACE = {"person": "person-1", "sid": "session-1", "dst": "server-1", "slot": 1, "epoch": 1}
CHANGES: list[dict[str, Any]] = [{}, {"iat": "x"}, {"exp": None}, {"slot": "1"}, {"sid": 1}, {"iat": 1e300}, {"epoch": True}, {"kid": 1}]
ENTRY = b"".join(
    len(text).to_bytes(2, "big") + text for text in (b"doctor", b"session-1", b"read", b"Patient", b"id", b"success", b"", b"")
)

TARGETS: dict[str, Target] = {
    "cbor": Target(refusing(cbor), seeds.values),
    "envelope": Target(refusing(opened_envelope), lambda: [blob for some in seeds.objects().values() for blob in some]),
    "certificate": Target(refusing(certificate), lambda: [blob for blob in seeds.blobs() if blob[:2] == b"\x30\x82"]),
    "compression": Target(refusing(compressed), lambda: [b"\x00" + blob for blob in hexed("compression", "compressed")()]),
    "index-part": Target(refusing(index_part), lambda: [bytes((lines.FORMAT, 0)) + compression.compress(b"\x80", 0)]),
    "index-lines": Target(refusing(index_lines), lambda: [b"\x80", bytes.fromhex("8101" + "81a161" + "96c40100c40100c40100010290")]),
    "bundle": Target(refusing(opened_bundle), hexed("bundle", "sealed")),
    "unlocker": Target(refusing(unlocker), lambda: [b"passphrase|" + one for one in jsons("unlocker", "params")()]),
    "unlocker-params": Target(refusing(params), lambda: [*jsons("passphrase", "params")(), *jsons("unlocker", "params")()]),
    "fhir": Target(refusing(fhir), lambda: [json.dumps(one).encode() for one in FHIR]),
    "wire-frame": Target(refusing(frame), lambda: [wire.pack([1, "read", {"id": "x", "zones": ["a"], "n": 1, "raw": b"\x00"}])]),
    "ticket": Target(refusing(ticket), lambda: [TICKETS.issue(session="s", destination="d", slot=1, person="p", epoch=1).encode()]),
    "ticket-claims": Target(refusing(ticket_claims), lambda: [json.dumps({**CLAIMS, **PLACE, **one}).encode() for one in CHANGES]),
    "audit-entry": Target(refusing(audit_entry), lambda: [ENTRY, ENTRY + bytes(7)]),
    "checkpoint-note": Target(refusing(checkpoint), lambda: [CHECKPOINT.encode()]),
    "card-certificate": Target(refusing(card_certificate), lambda: [blob for blob in seeds.blobs() if blob[:2] == b"\x30\x82"]),
    "file-header": Target(refusing(file_header), lambda: [FILE_KEYS.header(FILE_KEYS.new_document(bytes(16), 1), 100)]),
    "file-journal": Target(refusing(file_journal), lambda: [FILE_KEYS.new_folder()]),
    "file-name": Target(refusing(file_name), lambda: [b"=AAAAAAAAAAAAAAAAAAAAAAAA", b"=AAAA_-8"]),
    "hl7-message": Target(refusing(hl7_message), lambda: hl7_mapping.MESSAGES),
    "fhir-xml": Target(refusing(fhir_xml), lambda: [to_xml(one) for one in FHIR]),
    "subscription": Target(refusing(subscription), lambda: [b"Observation?code=8867-4&value-quantity=gt5|http://unitsofmeasure.org|g"]),
    "unit": Target(refusing(unit), lambda: [b"mL/min/{1.73_m2}", b"10*9/L", b"kg.m/s2", b"[degF]", b"(m2)-1"]),
    "cda-document": Target(refusing(cda_document), lambda: [hl7_mapping.DOCUMENT]),
    **{name: Target(refusing(run), corpus) for name, (run, corpus) in signed.targets().items()},
}


ORDER = tuple(sorted(TARGETS))
SEEDS_EACH_MAX = 24


def everything(data: bytes) -> None:
    """All targets in one process: the first byte says which."""
    if data:
        TARGETS[ORDER[data[0] % len(ORDER)]].run(data[1:])


def some_of_each() -> list[bytes]:
    """Of each target's corpus a share from all over it."""
    found = []
    for number, name in enumerate(ORDER):
        corpus = TARGETS[name].seeds()
        assert corpus, f"{name} has no seed"
        found += [bytes((number,)) + one for one in corpus[:: max(1, len(corpus) // SEEDS_EACH_MAX)]]
    return found


TARGETS["all"] = Target(everything, some_of_each)
