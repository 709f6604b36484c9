"""Deterministic CBOR and the signed envelope: one encoding for each meaning, and a name for every refusal."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from zones_cast import at_most_refused, refused

from cloister.zones import Refusal, algorithms, envelope
from cloister.zones.cbor import DEPTH_MAX, Fields, decoded, encoded
from cloister.zones.packing import packed

plain = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=40) | st.text(max_size=20)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=30), inner, max_size=5)


# With a lambda, Hypothesis may parse this file where it refuses an example, which Python 3.11 cannot do as deep in the stack as that.
values = st.recursive(plain, nested, max_leaves=12)
SEED = bytes(range(32))
PUBLIC = algorithms.sign_public(SEED)


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(values)
def test_what_was_encoded_is_decoded_as_an_independent_reader_sees_it(value: Any) -> None:
    raw = encoded(value)
    assert cbor2.loads(raw) == value
    if depth(value) <= DEPTH_MAX:
        assert decoded(raw) == value
    else:
        with refused(Refusal.MALFORMED):
            decoded(raw)


@given(st.binary(max_size=200))
def test_any_bytes_are_either_the_one_encoding_of_a_value_or_refused(junk: bytes) -> None:
    with at_most_refused(Refusal.MALFORMED):
        assert encoded(decoded(junk)) == junk


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x18\x17",  # 23 in two bytes
        b"\x19\x00\xff",
        b"\x1a\x00\x00\xff\xff",
        b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff",
        b"\x1c",
        b"\x5f\x41a\xff",  # indefinite bytes
        b"\x9f\xff",
        b"\xbf\xff",
        b"\xf7",  # undefined
        b"\xf9\x00\x00",  # a float
        b"\xfb" + bytes(8),
        b"\xf8\x20",
        b"\xc0\x60",  # a tag
        b"\xd8\x1c\x80",
        b"\x61\xff",  # not UTF-8
        b"\x63\xed\xa0\x80",  # a lone surrogate
        b"\x42a",  # cut short
        b"\x82\x01",
        b"\xa1\x61a",
        b"\xa1\x01\x02",  # a key that is no text
        b"\xa2\x61b\x01\x61a\x02",  # unsorted
        b"\xa2\x61a\x01\x61a\x02",  # twice the same key
        b"\x01\x01",  # something after the end
        b"\x81" * 1000 + b"\x01",  # too deep
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",  # an array of 2^64 - 1
        b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
    ],
)
def test_a_second_encoding_is_refused(raw: bytes) -> None:
    with refused(Refusal.MALFORMED):
        decoded(raw)


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), values), st.sampled_from(["a", "b", "c"]))
def test_fields_of_another_kind_are_refused_by_name(body: dict[str, Any], name: str) -> None:
    for read in ("text", "text_or_none", "number", "octets", "octets_or_none", "texts_or_none", "mapping"):
        with at_most_refused(Refusal.MALFORMED):
            value = getattr(Fields(body), read)(name)
            assert value is None or type(value) in {str, int, bytes, tuple, dict}


@pytest.mark.parametrize("body", [None, [], 1, b"", "text"])
def test_a_body_that_is_no_map_is_refused(body: Any) -> None:
    with refused(Refusal.MALFORMED):
        Fields(body)


def test_a_field_that_nobody_reads_is_refused() -> None:
    fields = Fields({"a": 1, "b": 2})
    fields.number("a")
    with refused(Refusal.MALFORMED):
        fields.done()


parts = st.lists(st.text(max_size=5) | st.binary(max_size=5), max_size=4)


@given(parts, parts)
def test_two_lists_of_parts_never_pack_alike(a: list[str | bytes], b: list[str | bytes]) -> None:
    def flat(parts: list[str | bytes]) -> list[bytes]:
        return [part.encode() if isinstance(part, str) else part for part in parts]

    assert (packed("label", *a) == packed("label", *b)) == (flat(a) == flat(b))


@given(st.dictionaries(st.text(max_size=8), plain, max_size=6))
def test_a_signed_body_comes_back(body: dict[str, Any]) -> None:
    blob = envelope.signed("cloister/test/v1", "somebody", body, SEED)
    assert envelope.opened("cloister/test/v1", blob, PUBLIC) == body
    assert envelope.peek_signer(blob) == "somebody"
    assert envelope.peek_label(blob) == "cloister/test/v1"


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_of_an_envelope_is_refused(place: int, change: int) -> None:
    blob = bytearray(envelope.signed("cloister/test/v1", "somebody", {"text": "hello", "n": 1}, SEED))
    blob[place % len(blob)] ^= change
    with refused(Refusal.SIGNATURE, Refusal.MALFORMED, Refusal.LABEL, Refusal.ALGORITHM):
        envelope.opened("cloister/test/v1", bytes(blob), PUBLIC)


@given(st.binary(max_size=150))
def test_any_bytes_given_as_an_envelope_are_refused(junk: bytes) -> None:
    for read in (envelope.peek_signer, envelope.peek_body, envelope.peek_label):
        with at_most_refused(Refusal.MALFORMED):
            read(junk)
    with refused(Refusal.MALFORMED, Refusal.SIGNATURE, Refusal.LABEL):
        envelope.opened("cloister/test/v1", junk, PUBLIC)


def test_another_kind_of_object_and_another_algorithm_are_refused() -> None:
    blob = envelope.signed("cloister/test/v1", "somebody", {}, SEED)
    with refused(Refusal.LABEL):
        envelope.opened("cloister/other/v1", blob, PUBLIC)
    label, _, signer, raw, _ = decoded(blob)
    for algorithm in (0, 2, -1, 2**32):
        signature = algorithms.sign(SEED, encoded([label, algorithm, signer, raw]))
        with refused(Refusal.ALGORITHM):
            envelope.opened(label, encoded([label, algorithm, signer, raw, signature]), PUBLIC)


def test_a_signature_cannot_be_moved_to_another_signer_or_label() -> None:
    label, algorithm, _, raw, signature = decoded(envelope.signed("cloister/test/v1", "adele", {"a": 1}, SEED))
    with refused(Refusal.SIGNATURE):
        envelope.opened(label, encoded([label, algorithm, "bruno", raw, signature]), PUBLIC)
    with refused(Refusal.SIGNATURE):
        envelope.opened("cloister/other/v1", encoded(["cloister/other/v1", algorithm, "adele", raw, signature]), PUBLIC)


def test_a_signed_body_that_is_no_map_is_refused() -> None:
    raw = encoded([1])
    signature = algorithms.sign(SEED, encoded(["l", envelope.ED25519, "s", raw]))
    with refused(Refusal.MALFORMED):
        envelope.opened("l", encoded(["l", envelope.ED25519, "s", raw, signature]), PUBLIC)


@pytest.mark.parametrize("signer", ["", "zz", "00", "AB" * 32, "ab" * 31, "ab" * 33, " " + "ab" * 32, "root/access"])
def test_a_signer_has_one_spelling(signer: str) -> None:
    with refused(Refusal.MALFORMED):
        envelope.certificate_hash(signer)
