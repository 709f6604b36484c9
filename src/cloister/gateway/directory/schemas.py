"""How accounts and groups are written down in a directory: Active Directory, and what most others do. A closed list; one a directory.

Active Directory: MS-ADTS. RFC 2307 with inetOrgPerson (RFC 2798), groups of names (RFC 4519) and entryUUID (RFC 4530): OpenLDAP, 389 DS.
Nothing here knows how a directory is reached (ldap.py).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from cloister.base.errors import Invalid, Unavailable

ACCOUNT_DISABLED: Final = 0x0002  # MS-ADTS 2.2.16, userAccountControl: ADS_UF_ACCOUNTDISABLE
NAME_CHARACTERS_MAX: Final = 300
DN_CHARACTERS_MAX: Final = 500
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
DAYS_MAX: Final = 1_000_000  # since 1970: the year 4707
FILETIME_EPOCH: Final = datetime(1601, 1, 1, tzinfo=UTC)
FILETIME_MAX: Final = DAYS_MAX * 24 * 3600 * 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    dn: str
    values: Mapping[str, Sequence[bytes]]

    def text(self, name: str) -> str:
        return next(iter(self.texts(name)), "")

    def texts(self, name: str) -> list[str]:
        return [bytes(one).decode("utf-8", "replace")[:NAME_CHARACTERS_MAX] for one in self.values.get(name, ())]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """`ends`: from when on it is closed, as the directory has said in advance; None for never."""

    id: str
    account: str
    upn: str
    dn: str
    name: str
    mail: str
    disabled: bool
    ends: datetime | None = None

    def closed(self, now: datetime) -> bool:
        return self.disabled or (self.ends is not None and now >= self.ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group that has changed, with the ids of its members."""

    name: str
    members: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What changed, and from where to ask on. `anew`: everything was read."""

    source: str
    cursor: int
    anew: bool = False
    accounts: tuple[Account, ...] = ()
    groups: tuple[Group, ...] = ()


class Reader(Protocol):
    """One connection, bound as the account that reads. Every search is whole or raises Unavailable."""

    def rows(self, wanted: str, attributes: Sequence[str]) -> Iterator[Entry]: ...
    def root(self, attributes: Sequence[str]) -> Entry: ...
    def escaped(self, text: str) -> str: ...
    def same(self, dn: str) -> str: ...


class Schema(Protocol):
    def looked_at(self, reader: Reader) -> str:
        """A word for the operator who adds a directory; raises for one that is no use."""

    def changed(self, reader: Reader, source: str, cursor: int) -> Changes:
        """What changed after `cursor` of `source`; all, where that is another's or 0."""

    def people(self, reader: Reader) -> list[Account]:
        """Everybody who is there now: whoever is missing was removed. Raises Unavailable for a directory that shows nobody."""

    def name_of(self, reader: Reader, id: str, name: str) -> str:
        """What an account binds as."""


class ActiveDirectory:
    """Changes by uSNChanged: a counter that is each server's own (MS-ADTS 3.1.1.1.9)."""

    PEOPLE: Final = "(objectCategory=person)(objectClass=user)"
    ATTRIBUTES: Final = (
        "objectGUID", "sAMAccountName", "userPrincipalName", "displayName", "mail", "userAccountControl", "accountExpires", "uSNChanged",
    )  # fmt: skip

    def looked_at(self, reader: Reader) -> str:
        return f"its counter is at {self._head(reader)[1]}"

    def changed(self, reader: Reader, source: str, cursor: int) -> Changes:
        server, usn = self._head(reader)
        if server != source:  # another server counts for itself: begin anew
            cursor = 0
        if usn <= cursor:
            return Changes(source=server, cursor=usn)
        since = f"(uSNChanged>={cursor + 1})"
        accounts = tuple(self._account(row) for row in reader.rows(f"(&{self.PEOPLE}{since})", self.ATTRIBUTES))
        groups = tuple(self._group(reader, row) for row in reader.rows(f"(&(objectCategory=group){since})", ["sAMAccountName"]))
        return Changes(source=server, cursor=usn, anew=cursor == 0, accounts=accounts, groups=groups)

    def people(self, reader: Reader) -> list[Account]:
        return somebody([self._account(row) for row in reader.rows(f"(&{self.PEOPLE})", self.ATTRIBUTES)])

    def name_of(self, reader: Reader, id: str, name: str) -> str:
        return name

    def _group(self, reader: Reader, row: Entry) -> Group:
        # Asked of the members, because a large group's own list comes in pieces (MS-ADTS 3.1.1.3.1.3.3).
        of = f"(&{self.PEOPLE}(memberOf={reader.escaped(row.dn)}))"
        return Group(name=row.text("sAMAccountName"), members=frozenset(self._guid(one) for one in reader.rows(of, ["objectGUID"])))

    def _account(self, row: Entry) -> Account:
        flags = int(row.text("userAccountControl") or 0)
        return Account(
            id=self._guid(row), account=row.text("sAMAccountName"), upn=row.text("userPrincipalName"), dn=row.dn[:DN_CHARACTERS_MAX],
            name=row.text("displayName"), mail=row.text("mail"), disabled=bool(flags & ACCOUNT_DISABLED),
            ends=filetime(row.text("accountExpires")),
        )  # fmt: skip

    @staticmethod
    def _head(reader: Reader) -> tuple[str, int]:
        root = reader.root(["dsServiceName", "highestCommittedUSN"])
        if not root.text("highestCommittedUSN").isdigit():
            raise Invalid("This is no Active Directory.", hint="For another directory say --schema rfc2307.", reason="directory")
        return root.text("dsServiceName"), int(root.text("highestCommittedUSN"))

    @staticmethod
    def _guid(row: Entry) -> str:
        raw = bytes(next(iter(row.values.get("objectGUID", ())), b""))
        if len(raw) != 16:
            raise Invalid("The directory gave an account without an id.", reason="directory")
        return str(uuid.UUID(bytes_le=raw))


class Rfc2307:
    """Changes by modifyTimestamp (RFC 4512 3.4), which servers of one directory replicate; seconds since 1970 are the cursor.

    A change that another server made reaches this one a little later with its own, older time, and a second may still be going on: the
    last minute is asked for again. What is older than that is found by the whole reading.
    """

    SOURCE: Final = "modifyTimestamp"
    OVERLAP: Final = timedelta(seconds=60)
    PEOPLE: Final = "(|(objectClass=inetOrgPerson)(objectClass=posixAccount))(uid=*)"
    GROUPS: Final = "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup))"
    ATTRIBUTES: Final = (
        "entryUUID", "uid", "cn", "displayName", "mail", "modifyTimestamp", "shadowExpire", "pwdAccountLockedTime", "nsAccountLock",
    )  # fmt: skip
    MEMBERS: Final = ("member", "uniqueMember")
    LOCKED_FOR_GOOD: Final = "000001010000Z"  # draft-behera-ldap-password-policy 5.3.3; another time is a wait after wrong passwords

    def looked_at(self, reader: Reader) -> str:
        if next(reader.rows(f"(&{self.PEOPLE})", ["entryUUID"]), None) is None:
            somebody([])
        return "people are there"

    def changed(self, reader: Reader, source: str, cursor: int) -> Changes:
        anew = source != self.SOURCE or cursor == 0
        since = "" if anew else f"(modifyTimestamp>={generalized(cursor - int(self.OVERLAP.total_seconds()))})"
        rows = list(reader.rows(f"(&{self.PEOPLE}{since})", self.ATTRIBUTES))
        groups = list(reader.rows(f"(&{self.GROUPS}{since})", ["cn", "memberUid", "modifyTimestamp", *self.MEMBERS]))
        newest = max([0 if anew else cursor, *(seconds(row.text("modifyTimestamp")) for row in (*rows, *groups))])
        return Changes(
            source=self.SOURCE, cursor=newest, anew=anew, accounts=tuple(self._account(row) for row in rows),
            groups=tuple(self._groups(reader, groups)),
        )  # fmt: skip

    def people(self, reader: Reader) -> list[Account]:
        return somebody([self._account(row) for row in reader.rows(f"(&{self.PEOPLE})", self.ATTRIBUTES)])

    def name_of(self, reader: Reader, id: str, name: str) -> str:
        """The name that the entry has now: a renamed branch changes the names below it, and not their times.

        Of an entry that is gone a name that nobody has: its old one may be somebody else's by now.
        """
        found = next(reader.rows(f"(&{self.PEOPLE}(entryUUID={reader.escaped(id)}))", ["uid"]), None)
        return found.dn if found is not None else f"entryUUID={id}"

    def _groups(self, reader: Reader, groups: Sequence[Entry]) -> Iterator[Group]:
        """Members are named by their names or by their uid; groups within groups are not followed."""
        if not groups:
            return
        by_name: dict[str, str] = {}
        by_uid: dict[str, str] = {}
        for row in reader.rows(f"(&{self.PEOPLE})", ["entryUUID", "uid"]):
            by_name[reader.same(row.dn)] = by_uid[row.text("uid")] = entry_id(row)
        for group in groups:
            named = [reader.same(bytes(one).decode("utf-8", "replace")) for list in self.MEMBERS for one in group.values.get(list, ())]
            members = [by_name.get(one) for one in named] + [by_uid.get(one) for one in group.texts("memberUid")]
            yield Group(name=group.text("cn"), members=frozenset(one for one in members if one is not None))

    def _account(self, row: Entry) -> Account:
        return Account(
            id=entry_id(row), account=row.text("uid"), upn="", dn=row.dn[:DN_CHARACTERS_MAX],
            name=row.text("displayName") or row.text("cn"), mail=row.text("mail"), disabled=self._closed(row), ends=self._ends(row),
        )  # fmt: skip

    def _closed(self, row: Entry) -> bool:
        """Closed by hand: for good by the password policy, or by 389 DS's lock."""
        return row.text("pwdAccountLockedTime") == self.LOCKED_FOR_GOOD or row.text("nsAccountLock").lower() == "true"

    def _ends(self, row: Entry) -> datetime | None:
        """RFC 2307 shadowExpire, in days."""
        day = row.text("shadowExpire")
        return EPOCH + timedelta(days=int(day)) if day.isdigit() and 0 < int(day) < DAYS_MAX else None


SCHEMAS: Final[dict[str, Schema]] = {"active-directory": ActiveDirectory(), "rfc2307": Rfc2307()}


def somebody(found: list[Account]) -> list[Account]:
    """A directory that shows nobody has lost its people, or its reader has lost the right to see them: nobody is closed for that."""
    if not found:
        raise Unavailable("The directory shows nobody.", hint="Look at --base, and at what its reader may see.", reason="directory")
    return found


def entry_id(row: Entry) -> str:
    try:
        return str(uuid.UUID(row.text("entryUUID")))
    except ValueError:
        raise Invalid("The directory gave an account without entryUUID (RFC 4530).", reason="directory") from None


def filetime(text: str) -> datetime | None:
    """MS-ADTS 2.2 accountExpires: tenths of a microsecond since 1601 UTC; 0, and what no calendar holds, is never."""
    tenths = int(text) if text.isdigit() else 0
    return FILETIME_EPOCH + timedelta(microseconds=tenths // 10) if 0 < tenths < FILETIME_MAX else None


def generalized(seconds: int) -> str:
    """RFC 4517 3.3.13."""
    return f"{max(EPOCH, EPOCH + timedelta(seconds=seconds)):%Y%m%d%H%M%SZ}"


def seconds(time: str) -> int:
    """Of a generalized time in UTC; 0 for any other text."""
    try:
        return int((datetime.strptime(time[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC) - EPOCH).total_seconds()) if time.endswith("Z") else 0
    except ValueError:
        return 0
