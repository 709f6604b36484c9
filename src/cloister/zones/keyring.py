"""A person's opened keys for the time of one session. Spec: docs/spec/zones.md 13.

Opening verifies everything: the person's own certificate, each grant with its officer's chain and office, the
zone and epoch records. What does not verify is not used and stands in `refused`, by name. Keys stay inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NoReturn

from cloister.base.secret import Secret
from cloister.zones import envelope
from cloister.zones.bundle import Bundle
from cloister.zones.certificates import CERTIFICATE_OFFICE, Certificates, Certified, TrustRoots, certificate
from cloister.zones.commits import Commit
from cloister.zones.drafts import DraftKeys
from cloister.zones.epochs import CLOSED, PAST, Epoch, EpochKeys, Zone, verified_epoch, verified_zone
from cloister.zones.files import FileKeys
from cloister.zones.glass import GlassPart, policy_of
from cloister.zones.grants import RANK, Grant, Offices, Right, authorised_grant, check_moment
from cloister.zones.inclusion import on_record, recorded
from cloister.zones.material import RIGHTS, HeldZone, Opened, TrustMaterial, by_zone, own_certificates, preference
from cloister.zones.packing import packed
from cloister.zones.refusals import Forged, Refusal, Refused
from cloister.zones.revocations import TWO_OFFICERS, check_countersigned, ended_by_access_officers, revoked_certificates
from cloister.zones.teams import SUBJECT, Teams, Way


class Keyring:
    """What one session can open. `close()` forgets all keys; afterwards every use is Refused(closed)."""

    def __init__(self, bundle: Bundle, trust: TrustRoots, certificate: Certified, certificates: Certificates, offices: Offices) -> None:
        self._bundle: Bundle | None = bundle
        self._trust = trust
        self._certificates = certificates
        self._offices = offices
        self._opened: dict[str, Opened] = {}
        self._others: dict[str, list[Opened]] = {}  # further ways into a zone, should the best one end
        self._in_need: dict[str, Opened] = {}  # by break-glass: no grant, no renewal, only a time
        self._older: dict[str, list[Grant]] = {}  # by zone: the person's own grants that newer ones followed
        self._teams: Teams | None = None
        self._heads: dict[str, tuple[int, bytes]] = {}
        self._unrecorded: set[bytes] = set()  # certificates that were handed over and are not in the audit log
        self._signer: envelope.Signer | None = envelope.person_signer(certificate.hash, bundle.signing)
        self.certificate: Final = certificate
        self.refused: Final[list[tuple[str, Refusal]]] = []

    @classmethod
    def open(cls, *, bundle: Bundle, trust: TrustRoots, material: TrustMaterial, now: datetime) -> Keyring:
        """Verifies all of it. Raises only when the person's own certificate does not hold."""
        material, missing = on_record(material, trust, now)
        certificates = Certificates(trust, material.certificates, material.revoked_certificates)
        certificates.revoke(revoked_certificates(material.revocations, certificates))
        own = own_certificates(bundle, certificates, now)
        offices = Offices(trust, certificates, material.mandates)
        keyring = cls(bundle, trust, max(own, key=lambda one: one.not_after), certificates, offices)
        keyring.refused.extend((hashed.hex(), reason) for hashed, reason in offices.refused)
        keyring.refused.extend(missing)
        keyring._open_zones({one.hash for one in own}, material, now)
        return keyring

    def renew(self, material: TrustMaterial, now: datetime) -> None:
        """The same keys under new trust material: zones gained, lost, of a newer epoch. Raises when the own certificate ended.

        Whoever holds a zone before and after keeps it open throughout: there is no moment without it.
        """
        if self._bundle is None:
            raise Refused(Refusal.CLOSED)
        material, missing = on_record(material, self._trust, now)
        self._certificates.add(material.certificates)
        self._certificates.revoke(material.revoked_certificates)
        self._certificates.revoke(revoked_certificates(material.revocations, self._certificates))
        own = own_certificates(self._bundle, self._certificates, now)
        self._offices = Offices(self._trust, self._certificates, material.mandates)
        self.refused[:] = [*((hashed.hex(), reason) for hashed, reason in self._offices.refused), *missing]
        self._open_zones({one.hash for one in own}, material, now)

    @property
    def person(self) -> str:
        return self.certificate.person

    @property
    def trust_id(self) -> str:
        return self._trust.trust_id

    @property
    def zones(self) -> list[HeldZone]:
        return [one.held for one in (*self._opened.values(), *self._in_need.values())]

    def can(self, zone: str, right: str) -> bool:
        """Whether a grant allows "read" or "write" in this zone; a policy must permit it as well."""
        opened = self._opened.get(zone) or self._in_need.get(zone)
        if opened is None or right not in opened.held.rights:
            return False
        return opened.current or right != Right.WRITE

    def index_key(self, zone: str) -> bytes:
        return self._zone(zone).index_key.reveal()

    def epoch(self, zone: str) -> int:
        return self._zone(zone).grant.epoch

    def wrap(self, zone: str, dossier: str, key_no: int, dossier_key: Secret) -> bytes:
        """The dossier's key for everybody who holds the zone at its present epoch: nonce | ciphertext | tag, 60 bytes."""
        opened = self._zone(zone)
        if not opened.current:  # writers refuse an epoch that was replaced
            raise Refused(Refusal.EPOCH_MISSING)
        if RANK[opened.grant.right] < RANK[Right.WRITE]:
            raise Refused(Refusal.RIGHT_MISSING)
        epoch = opened.grant.epoch
        return opened.keys[epoch].wrap.seal(dossier_key.reveal(), self._bound("wrap", zone, epoch, dossier, key_no))

    def unwrap(self, zone: str, epoch: int, dossier: str, key_no: int, wrapped: bytes) -> Secret:
        opened = self._zone(zone)
        if opened.grant.right is Right.HOLD:
            raise Refused(Refusal.RIGHT_MISSING)
        keys = self._epoch_keys(opened, epoch)
        return Secret(keys.wrap.open(wrapped, self._bound("wrap", zone, epoch, dossier, key_no)))

    def passing_on(self, zone: str) -> EpochKeys:
        """The present epoch's keys, for granting them to others: needs a grant to hold the zone, or to write in it."""
        opened = self._zone(zone)
        if opened.grant.right not in (Right.HOLD, Right.WRITE):
            raise Refused(Refusal.RIGHT_MISSING)
        if not opened.current:
            raise Refused(Refusal.EPOCH_MISSING)
        return opened.keys[opened.grant.epoch]

    def files(self, zone: str) -> FileKeys:
        """The keys of the zone's files, for every epoch down to the grant's floor; they write only under the newest epoch."""
        opened = self._zone(zone)
        if opened.grant.right is Right.HOLD:
            raise Refused(Refusal.RIGHT_MISSING)
        keys = {opened.grant.epoch: opened.keys[opened.grant.epoch]}
        for number in range(opened.grant.epoch - 1, opened.grant.floor - 1, -1):
            try:
                keys[number] = self._epoch_keys(opened, number)
            except Refused:  # the past was closed when a later epoch was made
                break
        return FileKeys.of(self._trust.trust_id, keys, writes=self.can(zone, Right.WRITE))

    def team(self, team: str) -> Way:
        """A team that this person keeps or belongs to now: its seed, for naming members. An office is needed for that."""
        if self._teams is None:
            raise Refused(Refusal.CLOSED)
        return self._teams.kept(team)

    def rewrapped(self, zone: str, rows: Iterable[tuple[str, int, int, bytes]]) -> list[bytes]:
        """Wraps of [dossier, key number, epoch, wrapped] under the present epoch. The dossiers' keys do not leave this room:
        an officer who holds a zone rewraps it and reads nothing."""
        target, opened = self.passing_on(zone), self._zone(zone)
        out = []
        for dossier, key_no, epoch, wrapped in rows:
            key = self._epoch_keys(opened, epoch).wrap.open(wrapped, self._bound("wrap", zone, epoch, dossier, key_no))
            out.append(target.wrap.seal(key, self._bound("wrap", zone, target.epoch, dossier, key_no)))
        return out

    @property
    def signer(self) -> envelope.Signer:
        """Signs as this person, for as long as the session is unlocked."""
        if self._signer is None:
            raise Refused(Refusal.CLOSED)
        return self._signer

    @property
    def offices(self) -> Offices:
        """Who may sign what, as this session verified it; `offices.certificates` knows the certificates."""
        return self._offices

    def shard_seal(self, zone: str, part_no: int, plain: bytes) -> bytes:
        """A part of the zone's identity shard: epoch (4 bytes) | nonce | ciphertext | tag."""
        opened = self._zone(zone)
        if not self.can(zone, Right.WRITE):
            raise Refused(Refusal.RIGHT_MISSING)
        epoch = opened.grant.epoch
        return epoch.to_bytes(4, "big") + opened.keys[epoch].shard.seal(plain, self._bound("shard", zone, epoch, "", part_no))

    def shard_open(self, zone: str, part_no: int, sealed: bytes) -> bytes:
        opened = self._zone(zone)
        if opened.grant.right is Right.HOLD:
            raise Refused(Refusal.RIGHT_MISSING)
        if len(sealed) < 4:
            raise Forged(Refusal.TAG)
        epoch = int.from_bytes(sealed[:4], "big")
        return self._epoch_keys(opened, epoch).shard.open(sealed[4:], self._bound("shard", zone, epoch, "", part_no))

    def sign(self, label: str, body: dict[str, Any]) -> bytes:
        """The body in a signed envelope, as this person."""
        return self.signer.sign(label, body)

    def certify(
        self, *, person: str, name: str, sign_public: bytes, kem_public: bytes, office: str | None, days: int, now: datetime
    ) -> bytes:
        """A certificate officer's word for somebody's public keys; Refused for everybody else."""
        if self._bundle is None:
            raise Refused(Refusal.CLOSED)
        if self.certificate.office != CERTIFICATE_OFFICE or office == CERTIFICATE_OFFICE:
            raise Refused(Refusal.MANDATE_MISSING)
        issuer = self._certificates.der(self.certificate.hash)
        return certificate(self._bundle.sign_seed, issuer, person, name, sign_public, kem_public, office, days, now)

    def add_certificates(self, ders: Iterable[bytes]) -> None:
        """Learn certificates that an officer looks at; each is verified when it is first asked for."""
        self._certificates.add(ders)

    def learn(self, found: Mapping[str, Any], now: datetime) -> None:
        """Learn certificates of authors, {"ders", "proofs"}, as far as they are on record; each is verified when it is first asked for."""
        ders, missing = recorded(found["ders"], found["proofs"], self._trust, now)
        self._certificates.add(ders)
        self._unrecorded.update(bytes.fromhex(hashed) for hashed, _ in missing)

    def knows(self, certificate_hash: bytes) -> bool:
        """Whether this certificate was handed over, verified or not."""
        return certificate_hash in self._certificates

    def author(self, certificate_hash: bytes) -> Certified:
        """Whose certificate this is, if it leads to the root; verified once, then remembered."""
        if certificate_hash in self._unrecorded and certificate_hash not in self._certificates:
            raise Refused(Refusal.NOT_IN_AUDIT)
        return self._certificates.chained(certificate_hash)

    def author_at(self, certificate_hash: bytes, moment: datetime) -> Certified:
        """The same, and valid at that moment: what a colleague wrote stays readable after they have left."""
        return self._certificates.valid(certificate_hash, moment)

    def remember(self, commit: Commit) -> None:
        """Keep a dossier's head; a head older than one seen in this session is Forged(rolled-back)."""
        seq, hashed = self._heads.get(commit.dossier, (0, b""))
        if commit.seq < seq:
            raise Forged(Refusal.ROLLED_BACK)
        if commit.seq == seq and commit.hash != hashed or commit.seq == seq + 1 and seq and commit.previous != hashed:
            raise Forged(Refusal.CHAIN_BROKEN)
        self._heads[commit.dossier] = (commit.seq, commit.hash)

    def close_ended(self, now: datetime) -> list[str]:
        """Forget what has ended by now; says which zones are lost by that. Another way into one takes over."""
        lost = []
        for zone in [zone for zone, one in self._opened.items() if now > one.held.live_until]:
            ways = [one for one in self._others.get(zone, ()) if now <= one.held.live_until]
            if ways:
                self._opened[zone], self._others[zone] = ways[0], ways[1:]
            else:
                del self._opened[zone]
                self._others.pop(zone, None)
                lost.append(zone)
        return lost + [zone for zone, one in list(self._in_need.items()) if now > one.held.live_until and self.end_need(zone)]

    def open_in_need(self, key: Secret, part: GlassPart, zones: list[bytes], epochs: list[bytes], *, request: str, until: datetime) -> None:
        """A zone by break-glass, in this memory alone: until `until`, `end_need` or `close`. The epoch's commitment proves the key,
        the zone's signed policy says what may be done with it."""
        if self._bundle is None:
            raise Refused(Refusal.CLOSED)
        zone, records = self.zone_record(part.zone, zones), {int(envelope.peek_body(blob)["epoch"]): blob for blob in epochs}
        policy = policy_of(zone.policy)
        if policy is None or policy.approvers != part.approvers or policy.askers.get(self.person) != part.certificate:
            raise Refused(Refusal.APPROVALS_MISSING)
        record, keys = self.epoch_record(part.zone, part.epoch, records), EpochKeys(part.zone, part.epoch, key)
        if keys.commitment != record.commitment:
            raise Forged(Refusal.COMMITMENT)
        current = not any(number > part.epoch and self._stands(part.zone, number, records) for number in records)
        moment, empty = record.made, bytes(32)
        grant = Grant(
            part.zone, part.epoch, 1, self.person, self.certificate.hash, policy.right, moment, until, request, 1, empty,
            "", b"", b"", empty,
        )  # fmt: skip
        held = HeldZone(zone.zone, zone.name, zone.hospital, zone.ward, RIGHTS[policy.right], zone.policy, part.epoch, until, need=request)
        self._in_need[part.zone] = Opened(held, grant, keys.open_index_key(record.index), {part.epoch: keys}, records, current)

    def end_need(self, zone: str) -> bool:
        """Forget a zone opened in need; says whether it was open."""
        return self._in_need.pop(zone, None) is not None

    def open_sealed(self, sealed: bytes, info: bytes) -> bytes:
        """What was sealed to this person's public key; what for is in `info`, whose label keeps the kinds apart."""
        if self._bundle is None:
            raise Refused(Refusal.CLOSED)
        return self._bundle.kem.open(sealed, info)

    def draft_keys(self) -> DraftKeys:
        """For what this person types and has not saved; whoever asks closes them when the keyring is closed."""
        if self._bundle is None:
            raise Refused(Refusal.CLOSED)
        return DraftKeys(self._bundle, self._trust.trust_id)

    def open_ingest(self, zone: str, epoch: int, sealed: bytes, info: bytes) -> bytes:
        """What a machine or another zone sealed into this zone: for those who may write what they find."""
        if not self.can(zone, Right.WRITE):
            raise Refused(Refusal.RIGHT_MISSING)
        return self._epoch_keys(self._zone(zone), epoch).ingest.open(sealed, info)

    def sealing_in(self, zone: str) -> Epoch:
        """The zone's present epoch as an address to seal to: whoever writes there may also leave what they cannot write."""
        opened = self._zone(zone)
        if not self.can(zone, Right.WRITE):
            raise Refused(Refusal.RIGHT_MISSING)
        return self.epoch_record(zone, opened.grant.epoch, opened.records)

    @property
    def next_end(self) -> datetime | None:
        """When the next of the held zones ends."""
        return min((one.live_until for one in self.zones), default=None)

    def close(self) -> None:
        """Forget every key. Python cannot overwrite what it freed: the session's process ends with its memory."""
        self._opened.clear()
        self._others.clear()
        self._in_need.clear()
        self._teams = None
        self._bundle = None
        self._signer = None

    def _zone(self, zone: str) -> Opened:
        if self._bundle is None:
            raise Refused(Refusal.CLOSED)
        opened = self._opened.get(zone) or self._in_need.get(zone)
        if opened is None:
            raise Refused(Refusal.ZONE_NOT_HELD)
        return opened

    def _bound(self, what: str, zone: str, epoch: int, dossier: str, number: int) -> bytes:
        return packed(f"cloister/{what}/v1", self._trust.trust_id, zone, epoch, dossier, number)

    def _open_zones(self, hashes: set[bytes], material: TrustMaterial, now: datetime) -> None:
        assert self._bundle is not None
        ended = ended_by_access_officers(material.revocations, self._offices, now)
        teams = Teams(
            self._offices,
            person=self.person,
            certificates=hashes,
            kem=self._bundle.kem,
            teams=material.teams,
            memberships=material.memberships,
            revoked=ended.union(material.revoked_memberships),
            now=now,
        )
        self.refused.extend(teams.refused)
        revoked = ended.union(material.revoked_grants)
        zones, epochs = by_zone(material.zones, "seq"), by_zone(material.epochs, "epoch")
        found: dict[str, list[Opened]] = {}
        for grant in self._newest(material.grants, teams.subjects, revoked):
            try:
                self._offices.access_key(grant.signer, zone=grant.zone, now=now, right=grant.right)
                way = teams.way(grant) if grant.person != self.person else None
                if way is None and grant.certificate not in hashes:
                    raise Refused(Refusal.GRANT_CERTIFICATE_MISMATCH)
                if grant.hash in revoked:
                    raise Refused(Refusal.GRANT_REVOKED)
                check_moment(grant, now)
                opened = self._open_zone(grant, way, zones.get(grant.zone, []), epochs.get(grant.zone, []))
                if opened.held.policy.get(TWO_OFFICERS) is True:
                    check_countersigned(grant, material.countersignatures, self._offices, now)
                found.setdefault(grant.zone, []).append(opened)
            except (Forged, Refused) as refused:
                self.refused.append((grant.hash.hex(), refused.refusal))
        for ways in found.values():
            ways.sort(key=preference, reverse=True)
        followed = {
            older.hash.hex()
            for zone, ways in found.items()
            if ways[0].held.policy.get(PAST) == CLOSED
            for older in self._older.get(zone, ())
        }  # they open what was before, and are not refused for having been followed
        self.refused[:] = [one for one in self.refused if one[0] not in followed]
        self._teams = teams
        self._opened = {zone: ways[0] for zone, ways in found.items()}
        self._others = {zone: ways[1:] for zone, ways in found.items() if len(ways) > 1}

    def _newest(self, blobs: Iterable[bytes], subjects: set[str], ended: set[bytes]) -> list[Grant]:
        """The newest grant in each zone to this person, and to each team. Older ones are never fallen back to: the newest may
        have been a revocation's trace."""
        given: dict[tuple[str, str], dict[bytes, Grant]] = {}
        for blob in blobs:
            try:
                grant = authorised_grant(blob, self._offices, None)  # an office that has ended brings no older grant back
                if grant.person != self.person and grant.person not in subjects:
                    team = grant.person.startswith(SUBJECT)
                    raise Refused(Refusal.MEMBERSHIP_MISSING if team else Refusal.GRANT_OTHER_PERSON)
            except (Forged, Refused) as refused:
                self.refused.append((envelope.digest(blob).hex(), refused.refusal))
                continue
            given.setdefault((grant.zone, grant.person), {})[grant.hash] = grant
        opening, self._older = [], {}
        for (zone, person), grants in given.items():
            newest = max(grants.values(), key=lambda one: one.seq)
            twins = [one for one in grants.values() if one.seq == newest.seq]
            if len(twins) == 1:
                opening.append(newest)
            else:  # nobody can say which of them counts, and the order of the rows must not decide it
                self.refused.extend((one.hash.hex(), Refusal.CHAIN_BROKEN) for one in twins)
            for older in grants.values():
                if older.seq < newest.seq:
                    torn = older.seq + 1 == newest.seq and newest.previous != older.hash
                    self.refused.append((older.hash.hex(), Refusal.CHAIN_BROKEN if torn else Refusal.GRANT_REPLAYED))
                    if person == self.person and older.hash not in ended:
                        self._older.setdefault(zone, []).append(older)
        return opening

    def _open_zone(self, grant: Grant, way: Way | None, zones: list[bytes], epochs: list[bytes]) -> Opened:
        assert self._bundle is not None
        zone = self.zone_record(grant.zone, zones)
        records = {int(envelope.peek_body(blob)["epoch"]): blob for blob in epochs}
        if grant.epoch not in records:
            raise Refused(Refusal.EPOCH_MISSING)
        record = self.epoch_record(grant.zone, grant.epoch, records)
        keys = EpochKeys(grant.zone, grant.epoch, grant.open_key(way.kem if way else self._bundle.kem))
        if keys.commitment != record.commitment:
            raise Forged(Refusal.COMMITMENT)
        held = HeldZone(
            zone=zone.zone,
            name=zone.name,
            hospital=zone.hospital,
            ward=zone.ward,
            rights=RIGHTS[grant.right],
            policy=zone.policy,
            epoch=grant.epoch,
            live_until=min(grant.live_until, way.membership.live_until) if way else grant.live_until,
            team=way.team.team if way else None,
        )
        index_key = keys.open_index_key(record.index)
        current = not any(number > grant.epoch and self._stands(grant.zone, number, records) for number in records)
        return Opened(held, grant, index_key, {grant.epoch: keys}, records, current)

    def _stands(self, zone: str, number: int, records: dict[int, bytes]) -> bool:
        """A forged record of a later epoch must not stop the zone from being written."""
        try:
            self.epoch_record(zone, number, records)
        except (Forged, Refused):
            return False
        return True

    def zone_record(self, zone: str, blobs: list[bytes]) -> Zone:
        """A zone's newest record that an access officer signed: its policy counts, and no copy of it in a column."""
        best: Zone | None = None
        reason = Refusal.ZONE_MISSING
        for blob in blobs:
            try:
                found = verified_zone(blob, self._offices.claimed_key(blob), self._trust.trust_id)
                self._offices.access_key(envelope.peek_signer(blob), zone=found.zone, now=found.made)
            except (Forged, Refused) as refused:
                reason = refused.refusal
                continue
            if found.zone == zone and (best is None or found.seq > best.seq):
                best = found
        if best is None:
            raise Refused(reason)
        return best

    def epoch_record(self, zone: str, number: int, records: dict[int, bytes]) -> Epoch:
        """An epoch's record that an access officer signed, for that zone and number."""
        blob = records.get(number)
        if blob is None:
            raise Refused(Refusal.EPOCH_MISSING)
        found = verified_epoch(blob, self._offices.claimed_key(blob), self._trust.trust_id)
        self._offices.access_key(envelope.peek_signer(blob), zone=found.zone, now=found.made)
        if found.zone != zone or found.epoch != number:
            raise Forged(Refusal.SWAPPED)
        return found

    def _epoch_keys(self, opened: Opened, epoch: int) -> EpochKeys:
        """The keys of an epoch, walking back from the grant's; never below its floor."""
        keys = opened.keys.get(epoch)
        if keys is not None:
            return keys
        zone = opened.grant.zone
        if epoch < opened.grant.floor:
            raise Refused(Refusal.EPOCH_FLOOR)
        if epoch > opened.grant.epoch:
            raise Refused(Refusal.EPOCH_MISSING)
        number = min(one for one in opened.keys if one > epoch)
        while number > epoch:
            link = self.epoch_record(zone, number, opened.records).previous
            key = opened.keys[number].open_previous(link) if link is not None else self._key_of_then(zone, number - 1)
            older = EpochKeys(zone, number - 1, key)
            if older.commitment != self.epoch_record(zone, number - 1, opened.records).commitment:
                raise Forged(Refusal.COMMITMENT)
            number -= 1
            opened.keys[number] = older
        return opened.keys[epoch]

    def _key_of_then(self, zone: str, epoch: int) -> Secret:
        """Where the past was closed: by a grant of that time, which this person had and newcomers had not."""
        for grant in self._older.get(zone, ()):
            if grant.epoch == epoch and self._bundle is not None:
                return grant.open_key(self._bundle.kem)
        raise Refused(Refusal.EPOCH_FLOOR)

    def __repr__(self) -> str:
        return f"Keyring({self.person!r}, {len(self._opened)} zones)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A keyring cannot be pickled.")
