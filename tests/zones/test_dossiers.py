"""A dossier on somebody else's disk: swapped, rolled-back, cut, missing and forged rows are refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zones_cast import NOW, TRUST, WARD, Trust, at_most_refused, digest, dossier_key, refused

from cloister.base.errors import Invalid
from cloister.base.secret import Secret
from cloister.zones import DossierKey, Forged, Keyring, Refusal, algorithms, commits, compression, dossiers, envelope

PLACE: dict[str, Any] = {"trust": TRUST, "rtype": "Observation", "id": "obs-1", "version": 2, "dict_no": 1}
MILLISECONDS = int(NOW.timestamp() * 1000)
KEY = dossier_key()


def sealed_at(key: DossierKey = KEY, plain: bytes = b"plain", **changed: Any) -> bytes:
    return key.seal_version(**{**PLACE, **changed}, compressed=plain)


@pytest.mark.parametrize(
    "change",
    [
        {"trust": "other"},
        {"rtype": "Condition"},
        {"id": "obs-2"},
        {"version": 1},
        {"version": 3},
        {"dict_no": 0},
    ],
)
def test_no_version_opens_in_anothers_place(change: dict[str, Any]) -> None:
    sealed = sealed_at()
    assert KEY.open_version(**PLACE, sealed=sealed) == b"plain"
    with refused(Refusal.TAG):
        KEY.open_version(**{**PLACE, **change}, sealed=sealed)


def test_no_version_opens_in_another_dossier_or_under_another_key_number() -> None:
    secret = Secret(algorithms.random(32))
    sealed = sealed_at(DossierKey("dossier-1", 1, secret))
    for other in (DossierKey("dossier-2", 1, secret), DossierKey("dossier-1", 2, secret), dossier_key()):
        with refused(Refusal.TAG):
            other.open_version(**PLACE, sealed=sealed)


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_type_and_id_cannot_run_into_each_other(rtype: str, id: str, other_type: str, other_id: str) -> None:
    sealed = sealed_at(rtype=rtype, id=id)
    if (rtype, id) == (other_type, other_id):
        assert KEY.open_version(**{**PLACE, "rtype": rtype, "id": id}, sealed=sealed) == b"plain"
        return
    with refused(Refusal.TAG):
        KEY.open_version(**{**PLACE, "rtype": other_type, "id": other_id}, sealed=sealed)


@given(st.binary(max_size=100))
def test_any_bytes_given_as_a_row_or_an_index_part_are_refused(junk: bytes) -> None:
    with refused(Refusal.TAG):
        KEY.open_version(**PLACE, sealed=junk)
    with refused(Refusal.TAG):
        KEY.open_index_part(0, junk)


@pytest.mark.parametrize(
    "change", [{"version": -1}, {"version": 2**63}, {"dict_no": -1}, {"dict_no": 2**31}, {"id": "x" * 256}, {"id": "\ud800"}]
)
def test_a_place_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with refused(Refusal.MALFORMED):
        sealed_at(**change)


def test_index_parts_open_in_their_own_place() -> None:
    part = KEY.seal_index_part(3, b"entries")
    assert KEY.open_index_part(3, part) == b"entries"
    with refused(Refusal.TAG):
        KEY.open_index_part(2, part)
    with refused(Refusal.TAG):
        KEY.open_version(TRUST, "Observation", "obs-1", 1, 0, part)


@pytest.mark.parametrize("number", [-1, 2**64])
def test_a_number_that_no_format_holds_is_refused(trust: Trust, number: int) -> None:
    with refused(Refusal.MALFORMED):
        KEY.open_index_part(number, bytes(40))
    with refused(Refusal.MALFORMED):
        dossier_key(key_no=number)
    keyring = trust.keyring(trust.grant())
    with refused(Refusal.MALFORMED):
        keyring.unwrap(WARD, 1, "dossier-1", number, bytes(60))
    with refused(Refusal.MALFORMED):
        keyring.shard_open(WARD, number, bytes(3) + b"\1" + bytes(40))


def test_a_row_is_the_one_its_index_entry_means() -> None:
    sealed = sealed_at()
    kept = dossiers.row_digest(sealed)
    for length in (16, 32):
        dossiers.check_row(sealed, 2, indexed_version=2, indexed_digest=kept[:length])
    with refused(Refusal.ROLLED_BACK):
        dossiers.check_row(sealed, 1, indexed_version=2, indexed_digest=kept)
    with refused(Refusal.EXTRA_ROW):
        dossiers.check_row(sealed, 3, indexed_version=2, indexed_digest=kept)
    with refused(Refusal.SWAPPED):
        dossiers.check_row(sealed_at(), 2, indexed_version=2, indexed_digest=kept)
    with refused(Refusal.MALFORMED):
        dossiers.check_row(sealed, 2, indexed_version=2, indexed_digest=b"")


def test_the_root_of_the_parts_does_not_depend_on_their_order_only_on_what_they_are() -> None:
    a, b = digest(b"a"), digest(b"b")
    root = dossiers.parts_root({0: a, 1: b})
    assert dossiers.parts_root({1: b, 0: a}) == root
    others = {dossiers.parts_root(parts) for parts in ({0: b, 1: a}, {0: a}, {}, {0: a, 2: b})}
    assert len(others | {root}) == 5
    with pytest.raises(Invalid):
        dossiers.parts_root({0: b"short"})


# --- the chain ---


class Chart:
    """Adèle's keyring and a dossier with three commits."""

    def __init__(self, trust: Trust) -> None:
        self.trust = trust
        self.adele = trust.keyring(trust.grant())
        self.key = dossier_key()
        self.parts = {0: self.key.seal_index_part(0, b"first"), 1: self.key.seal_index_part(1, b"second")}
        self.entries = [commits.version_entry("Observation", f"obs-{n}", 1, False, sealed_at(id=f"obs-{n}")) for n in range(300)]
        self.blobs: list[bytes] = []
        for seq, versions in enumerate((self.entries, self.entries[:1], []), start=1):
            self.blobs.append(self.commit(seq, versions))

    def commit(self, seq: int, versions: list[bytes], **changed: Any) -> bytes:
        terms: dict[str, Any] = {
            "seq": seq,
            "previous": envelope.digest(self.blobs[seq - 2]) if seq > 1 else commits.NO_PREVIOUS,
            "versions": versions,
            "parts": dossiers.parts_root({no: digest(part) for no, part in self.parts.items()}),
            "milliseconds": MILLISECONDS + seq,
            **changed,
        }
        return commits.sign_commit(terms.pop("keyring", self.adele), terms.pop("key", self.key), **terms)

    def verified(self, blob: bytes, **changed: Any) -> commits.Commit:
        return commits.verified_commit(blob, self.adele, **{"dossier": "dossier-1", "key": self.key, **changed})


@pytest.fixture(scope="module")
def chart(trust: Trust) -> Chart:
    return Chart(trust)


def test_a_commit_of_hundreds_of_versions_is_small_and_says_who_wrote(chart: Chart) -> None:
    assert len(chart.blobs[0]) < 450
    found = chart.verified(chart.blobs[0])
    assert (found.author.person, found.seq, found.count, found.key_no) == ("adele", 1, 300, 1)
    assert found.at.timestamp() * 1000 == pytest.approx(MILLISECONDS + 1)
    commits.check_versions(found, chart.entries)
    commits.check_versions(found, chart.entries[::-1])
    commits.check_parts(found, chart.parts)


def test_versions_that_are_missing_added_or_exchanged_are_refused(chart: Chart) -> None:
    found = chart.verified(chart.blobs[0])
    forged = commits.version_entry("Observation", "obs-0", 1, False, b"forged")
    undeleted = commits.version_entry("Observation", "obs-0", 1, True, sealed_at(id="obs-0"))
    with refused(Refusal.MISSING_ROW):
        commits.check_versions(found, chart.entries[:-1])
    with refused(Refusal.EXTRA_ROW):
        commits.check_versions(found, [*chart.entries, forged])
    for wrong in (forged, undeleted):
        with refused(Refusal.SWAPPED):
            commits.check_versions(found, [wrong, *chart.entries[1:]])


def test_index_parts_that_are_old_swapped_or_missing_are_refused(chart: Chart) -> None:
    found = chart.verified(chart.blobs[-1])
    older = chart.key.seal_index_part(0, b"first")
    first, second = chart.parts[0], chart.parts[1]
    for parts in ({0: older, 1: second}, {0: second, 1: first}, {0: first}, {}, {**chart.parts, 2: older}):
        with refused(Refusal.PARTS):
            commits.check_parts(found, parts)


def test_a_whole_chain_is_walked(chart: Chart) -> None:
    walked = commits.verify_chain(chart.blobs, chart.adele, dossier="dossier-1", key=chart.key)
    assert [one.seq for one in walked] == [1, 2, 3]
    assert commits.verify_chain(chart.blobs, chart.adele, dossier="dossier-1", known=(2, walked[1].hash))
    assert commits.verify_chain([], chart.adele, dossier="dossier-1") == []


def test_a_chain_that_was_cut_reordered_or_rewritten_is_refused(chart: Chart) -> None:
    one, two, three = chart.blobs
    twin = chart.commit(2, chart.entries[:2])
    for wrong in ([two, three], [one, three], [one, three, two], [one, one], [one, twin, three]):
        with refused(Refusal.CHAIN_BROKEN):
            commits.verify_chain(wrong, chart.adele, dossier="dossier-1")
    head = (3, envelope.digest(three))
    with refused(Refusal.ROLLED_BACK):
        commits.verify_chain([one, two], chart.adele, dossier="dossier-1", known=head)
    with refused(Refusal.CHAIN_BROKEN):
        commits.verify_chain([one, twin], chart.adele, dossier="dossier-1", known=(2, envelope.digest(two)))


def test_a_head_older_than_one_seen_in_this_session_is_refused(chart: Chart, trust: Trust) -> None:
    keyring = trust.keyring(trust.grant())
    one, two, three = (chart.verified(blob) for blob in chart.blobs)
    for commit in (one, two, two, three):
        keyring.remember(commit)
    with refused(Refusal.ROLLED_BACK):
        keyring.remember(two)
    twin = chart.verified(chart.commit(3, chart.entries[:5]))
    with refused(Refusal.CHAIN_BROKEN):
        keyring.remember(twin)
    fresh = trust.keyring(trust.grant())
    fresh.remember(one)
    with refused(Refusal.CHAIN_BROKEN):
        fresh.remember(chart.verified(chart.commit(2, [], previous=bytes(31) + b"\1")))


def test_a_commit_of_another_dossier_or_trust_is_refused(chart: Chart) -> None:
    with refused(Refusal.SWAPPED):
        chart.verified(chart.blobs[0], dossier="dossier-2", key=None)
    body = envelope.peek_body(chart.blobs[0])
    with refused(Refusal.TRUST):
        chart.verified(chart.adele.sign(commits.COMMIT_LABEL, {**body, "trust": "other"}))


def test_a_certificate_without_the_dossiers_key_moves_no_head(chart: Chart, trust: Trust) -> None:
    """Bruno is certified, works with the database's administrator, and was never given this dossier's key."""
    bruno = trust.keyring(who=trust.bruno)
    body = {**envelope.peek_body(chart.blobs[2]), "seq": 4, "previous": envelope.digest(chart.blobs[2])}
    rolled = bruno.sign(commits.COMMIT_LABEL, body)
    assert chart.verified(rolled, key=None).author.person == "bruno"  # genuine as far as signatures go
    with refused(Refusal.COMMITMENT):
        chart.verified(rolled)
    with refused(Refusal.COMMITMENT):
        chart.verified(chart.commit(3, [], keyring=bruno, key=dossier_key()))


def test_a_wrong_key_is_noticed_before_anything_is_opened(chart: Chart) -> None:
    with refused(Refusal.COMMITMENT):
        chart.verified(chart.blobs[0], key=dossier_key())
    with refused(Refusal.SWAPPED):
        chart.verified(chart.blobs[0], key=dossier_key(key_no=2))


def test_an_author_must_have_been_certified_at_the_time(chart: Chart, trust: Trust) -> None:
    for moment, reason in ((0, Refusal.CERTIFICATE_NOT_YET), (4_000_000_000_000, Refusal.CERTIFICATE_EXPIRED)):
        with refused(reason):
            chart.verified(chart.commit(1, [], milliseconds=moment))
    late = trust.keyring(trust.grant(trust.bruno), who=trust.bruno, revoked_certificates={digest(trust.adele_der): NOW})
    with refused(Refusal.CERTIFICATE_REVOKED):
        commits.verified_commit(chart.commit(1, [], milliseconds=MILLISECONDS + 1), late, dossier="dossier-1")


def test_a_commit_by_an_unknown_author_is_refused(chart: Chart) -> None:
    stranger = Trust()
    blob = chart.commit(1, [], keyring=stranger.keyring())
    with refused(Refusal.CERTIFICATE_MISSING):
        chart.verified(blob)


@given(st.integers(0, 10_000), st.integers(1, 255), st.integers(0, 420))
def test_every_changed_or_cut_commit_is_refused_by_name(chart: Chart, place: int, change: int, cut: int) -> None:
    blob = bytearray(chart.blobs[0])
    blob[place % len(blob)] ^= change
    for wrong in (bytes(blob), chart.blobs[0][:cut]):
        with pytest.raises(Forged):
            chart.verified(wrong)


fields = ["dossier", "seq", "previous", "count", "versions", "parts", "key_no", "commitment", "time", "proof", "extra"]


values = st.none() | st.integers(-(2**63), 2**63) | st.binary(max_size=40) | st.text(max_size=4)


@given(st.dictionaries(st.sampled_from(fields), values, min_size=1))
def test_a_signed_commit_of_the_wrong_form_is_refused_by_name(chart: Chart, changes: dict[str, Any]) -> None:
    body = envelope.peek_body(chart.blobs[0])
    if {**body, **changes} == body:
        return
    blob = chart.adele.sign(commits.COMMIT_LABEL, {**body, **changes})
    with refused(*Refusal):
        chart.verified(blob)


# --- compression ---


@given(st.binary(max_size=5_000))
def test_what_was_compressed_comes_back(raw: bytes) -> None:
    for number in {0, compression.DEFAULT}:
        packed = compression.compress(raw, number)
        assert len(packed) % compression.STEP_BYTES == 0
        assert compression.decompress(number, packed) == raw


@given(st.binary(max_size=200))
def test_any_bytes_given_as_compressed_are_bytes_or_refused_by_name(junk: bytes) -> None:
    with at_most_refused(Refusal.MALFORMED):
        assert isinstance(compression.decompress(0, junk), bytes)


def test_an_unknown_dictionary_and_a_bomb_are_refused() -> None:
    with refused(Refusal.ALGORITHM):
        compression.decompress(255, b"")
    with refused(Refusal.ALGORITHM):
        compression.compress(b"", 255)
    with pytest.raises(Invalid):
        compression.compress(bytes(compression.PLAIN_BYTES_MAX + 1), 0)
    bomb = b"\xe0" + (2**50).to_bytes(8, "little") + b"\x01\x00\x00"
    with refused(Refusal.MALFORMED):
        compression.decompress(0, bomb)


def test_the_same_dossier_is_shared_by_two_wards(trust: Trust) -> None:
    secret = dossiers.new_dossier_key()
    adele: Keyring = trust.keyring(trust.grant(), trust.grant(zone="zone-other"))
    wraps = {zone: adele.wrap(zone, "dossier-1", 1, secret) for zone in (WARD, "zone-other")}
    bruno = trust.keyring(trust.grant(trust.bruno, zone="zone-other", right="read"), who=trust.bruno)
    sealed = sealed_at(DossierKey("dossier-1", 1, secret))
    opened = DossierKey("dossier-1", 1, bruno.unwrap("zone-other", 1, "dossier-1", 1, wraps["zone-other"]))
    assert opened.open_version(**PLACE, sealed=sealed) == b"plain"
    with refused(Refusal.ZONE_NOT_HELD):
        bruno.unwrap(WARD, 1, "dossier-1", 1, wraps[WARD])
