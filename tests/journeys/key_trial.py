"""One key, tried everywhere that a row, a name list, a person's keys or a grant could be opened. Formats: docs/spec/zones.md."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from journeys_cast import Administrator
from what_is_stored import opens

from cloister.base.secret import Secret
from cloister.records.definitions import load
from cloister.zones import DossierKey, algorithms, bundle, envelope, unlockers
from cloister.zones.cbor import encoded
from cloister.zones.epochs import EpochKeys
from cloister.zones.packing import packed

ROWS: Final = 12
Row = dict[str, Any]


class Trial:
    """Rows as the database holds them."""

    def __init__(self, administrator: Administrator) -> None:
        ask, self.trust = administrator.rows, administrator.roots.trust_id
        self.types = load().types
        # One dossier of which the cardiologist holds the key, so that the chain from her passphrase reaches its rows.
        one = "(select min(k.dossier::text) from care.dossier_key k join care.dossier d on d.id = k.dossier"
        one += " and d.kind = 'patient' where k.zone = 'saint-roch')::uuid"
        first = f"order by dossier = {one} desc limit {ROWS}"
        self.versions = ask(f"select dossier::text, rtype, id::text, ver, key_no, dict_no, ct from care.res {first}")
        self.parts = ask(f"select dossier::text, part_no, ct from care.index_part {first}")
        self.wraps = ask(f"select dossier::text, key_no, zone, epoch, wrapped from care.dossier_key {first}")
        self.shards = ask(f"select zone, part_no, ct from care.shard_part order by zone limit {ROWS}")
        self.identities = ask("select person, sealed_private from trust.identity")
        self.unlockers = ask("select id, person, kind, params::text as params, sealed from trust.unlocker")
        self.grants = ask("select zone, body from trust.\"grant\" order by zone = 'saint-roch' desc limit 12")
        self.people = {row["sign_in"]: row["id"] for row in ask("select id, sign_in from trust.person")}
        self._made: dict[str, Callable[[Secret], Secret]] = {}

    def passphrase_key(self, sign_in: str, passphrase: str) -> Secret:
        row = next(row for row in self.unlockers if row["person"] == self.people[sign_in] and row["kind"] == "passphrase")
        return unlockers.passphrase_secrets(passphrase, json.loads(row["params"]))[0]

    def next_key(self, found: list[str], key: Secret) -> Secret:
        """The key inside the first thing that was opened; of a zone's, that of the newest dossier."""
        return self._made[found[0]](key)

    def opened_by(self, raw: bytes) -> list[str]:
        """The names of what this key opens."""
        key, self._made = Secret(raw), {}
        kinds = (self._wrap, self.wraps), (self._unlocker, self.unlockers), (self._identity, self.identities)
        for attempt, rows in (*kinds, (self._shard, self.shards), (self._version, self.versions), (self._part, self.parts)):
            for row in rows:
                attempt(key, row)
        kem = algorithms.KemPrivate(raw)
        for row in self.grants:
            self._grant(kem, key, row)
        return list(self._made)

    def _try(self, name: str, key: Secret, attempt: Callable[[Secret], Any]) -> None:
        if opens(lambda: attempt(key)):
            self._made[name] = attempt

    def _bound(self, what: str, zone: str, epoch: int, dossier: str, number: int) -> bytes:
        return packed(f"cloister/{what}/v1", self.trust, zone, epoch, dossier, number)

    def _wrap(self, key: Secret, row: Row) -> None:
        bound = self._bound("wrap", row["zone"], row["epoch"], row["dossier"], row["key_no"])
        name = f"key of {row['dossier']} for {row['zone']}"
        self._try(name, key, lambda held: Secret(EpochKeys(row["zone"], row["epoch"], held).wrap.open(row["wrapped"], bound)))

    def _shard(self, key: Secret, row: Row) -> None:
        epoch = int.from_bytes(row["ct"][:4], "big")
        bound = self._bound("shard", row["zone"], epoch, "", row["part_no"])
        self._try(
            f"names of {row['zone']} {row['part_no']}",
            key,
            lambda held: EpochKeys(row["zone"], epoch, held).shard.open(row["ct"][4:], bound),
        )

    def _version(self, key: Secret, row: Row) -> None:
        place = (self.trust, self.types[row["rtype"]], row["id"], row["ver"], row["dict_no"], row["ct"])
        self._try(f"version {row['id']}", key, lambda held: DossierKey(row["dossier"], row["key_no"], held).open_version(*place))

    def _part(self, key: Secret, row: Row) -> None:
        name = f"index {row['part_no']} of {row['dossier']}"
        self._try(name, key, lambda held: DossierKey(row["dossier"], 1, held).open_index_part(row["part_no"], row["ct"]))

    def _identity(self, key: Secret, row: Row) -> None:
        self._try(f"identity of {row['person']}", key, lambda held: bundle.open_bundle(row["person"], row["sealed_private"], held).kem_seed)

    def _unlocker(self, key: Secret, row: Row) -> None:
        held = unlockers.Unlocker(row["id"], row["person"], row["kind"], json.loads(row["params"]), row["sealed"])
        self._try(f"unlocker of {row['person']}", key, lambda kek: unlockers.unwrap_unlock_key(kek, held))

    def _grant(self, kem: algorithms.KemPrivate, key: Secret, row: Row) -> None:
        body, signer = envelope.peek_body(row["body"]), envelope.peek_signer(row["body"])
        sealed = body.pop("sealed")
        info = b"cloister/grant-seal/v1|" + algorithms.sha256(encoded(["cloister/grant/v1", signer, body]))
        self._try(f"grant of {row['zone']} for {body['person']}", key, lambda _: Secret(kem.open(sealed, info)))
