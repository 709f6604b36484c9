"""A real OpenLDAP server: proving, what changed, who is closed, and that what did not come whole closes nobody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final

import pytest
from directory_cast import DOOR, HERS, KNOWN, OFFICER, Sessions, written
from postgres import Cluster
from slapd_rig import BASE, CUT_SHORT, PASSWORD, READER, WHOLE, Slapd, missing, open_ldap, person

from cloister.base.clock import system_clock
from cloister.base.errors import Denied, Invalid, Unavailable
from cloister.base.secret import Secret
from cloister.gateway import sign_ins
from cloister.zones import certificates

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "slapd")
CLAIRES: Final = f"uid=claire.vasseur,ou=people,{BASE}"
FOR_GOOD: Final = "pwdAccountLockedTime: 000001010000Z"


@pytest.fixture
def slapd() -> Iterator[Slapd]:
    """One for each test: a tenth of a second, and nothing is left of the test before."""
    with open_ldap() as running:
        people = [person("claire.vasseur", "Claire Vasseur", HERS), person("somebody.new", "Somebody New", "Somebody-new-here-1")]
        people += [person(f"colleague.{number}", f"Colleague {number}", "A-colleague-1") for number in range(3)]
        running.change("".join(people))
        yield running


def directory(slapd: Slapd, **changed: Any) -> sign_ins.Directory:
    usual = sign_ins.Directory(
        id="medical", kind="medical", priority=1, urls=(slapd.url,), base=BASE, bind=READER, password=Secret(PASSWORD.encode()),
        ca=slapd.ca, schema="rfc2307",
    )  # fmt: skip
    return replace(usual, **changed)


class Work:
    """The rounds of a door, asked one by one."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.noted: list[Any] = []
        self.sessions = Sessions([SimpleNamespace(id="s-1", person="claire", kind="person")])
        self.directories = sign_ins.Directories(pool, DOOR, system_clock)
        self.fresh()

    def fresh(self) -> None:
        """After a restart of the door."""
        self._work = sign_ins.Synchronising(self.pool, self.directories, self.sessions, system_clock)  # type: ignore[arg-type]

    async def round(self) -> str:
        """What is wrong with the directory after one more round."""
        await self._work.once()
        return str((await self.pool.fetchrow("select fault from estate.directory"))["fault"])

    async def link_claire(self) -> None:
        async def audit(entries: Any) -> None:
            self.noted.extend(entries)

        proposals = sign_ins.Proposals(self.pool, audit)
        open_now = (await proposals.listed(OFFICER, {}))["proposals"]  # type: ignore[arg-type]
        link = next(one for one in open_now if one["kind"] == "link")
        await proposals.decided(OFFICER, {"id": link["id"], "answer": "accept"})  # type: ignore[arg-type]

    async def closed(self, account: str) -> bool:
        return bool((await self.pool.fetchrow("select disabled from estate.directory_account where account = $1", account))["disabled"])


def test_only_a_certificate_of_its_authority_and_name_is_believed_and_a_useless_directory_is_named(slapd: Slapd) -> None:
    assert sign_ins.Ldap(directory(slapd)).looked_at() == "people are there"
    _, stranger = certificates.new_tls_ca("A stranger's authority")
    for wrong in (directory(slapd, ca=stranger.decode()), directory(slapd, urls=(f"ldaps://127.0.0.1:{slapd.port}",))):
        with pytest.raises(Unavailable):
            sign_ins.Ldap(wrong).looked_at()
    with pytest.raises(Unavailable, match="noSuchObject"):
        sign_ins.Ldap(directory(slapd, base="dc=elsewhere,dc=test")).looked_at()
    with pytest.raises(Unavailable, match="shows nobody"):
        sign_ins.Ldap(directory(slapd, base=f"ou=groups,{BASE}")).looked_at()
    with pytest.raises(Invalid, match="no Active Directory"):
        sign_ins.Ldap(directory(slapd, schema="active-directory")).looked_at()
    with pytest.raises(Denied):
        sign_ins.Ldap(directory(slapd, password=Secret(b"another"))).looked_at()


async def test_an_openldap_account_proves_its_person_wherever_it_is_moved(slapd: Slapd, database: Cluster, pool: Any) -> None:
    await written(database, directory(slapd))
    work = Work(pool)
    assert await work.round() == ""
    proposed = {(row["kind"], row["what"]) for row in await pool.fetch("select kind, what from estate.directory_proposal")}
    assert {("link", "claire.vasseur"), ("person", "somebody.new"), ("person", "colleague.2")} <= proposed
    with pytest.raises(Denied):
        await work.directories.prove(KNOWN, HERS)  # nobody has linked it yet
    await work.link_claire()
    await work.directories.prove(KNOWN, HERS)
    for wrong in ("another-password", "", HERS + "1"):
        with pytest.raises(Denied):
            await work.directories.prove(KNOWN, wrong)
    with pytest.raises(Denied):
        await work.directories.prove(replace(KNOWN, person=None), HERS)
    # Her branch gets another name: her entry's own time does not change, and no round has passed.
    slapd.change(f"dn: ou=people,{BASE}\nchangetype: modrdn\nnewrdn: ou=staff\ndeleteoldrdn: 1\n")
    await work.directories.prove(KNOWN, HERS)
    work.fresh()
    assert await work.round() == ""
    assert not await work.closed("claire.vasseur")
    # Somebody new gets the name and place that were hers: another entry, so another person, before any round has seen it.
    slapd.change(
        f"dn: uid=claire.vasseur,ou=staff,{BASE}\nchangetype: delete\n\n" + person("claire.vasseur", "Claire Vasseur", HERS, unit="staff")
    )
    with pytest.raises(Denied):
        await work.directories.prove(KNOWN, HERS)


async def test_a_reader_whose_password_was_changed_is_an_outage_and_no_wrong_guess(slapd: Slapd, database: Cluster, pool: Any) -> None:
    await written(database, directory(slapd))
    work = Work(pool)
    await work.round()
    await work.link_claire()
    slapd.change(f"dn: {READER}\nchangetype: modify\nreplace: userPassword\nuserPassword: Another-one-1\n")
    with pytest.raises(Unavailable):
        await work.directories.prove(KNOWN, HERS)
    assert await work.round() != ""
    assert work.sessions.ended == []


async def test_accounts_closed_in_openldap_end_sessions_and_removed_ones_are_closed(slapd: Slapd, database: Cluster, pool: Any) -> None:
    await written(database, directory(slapd))
    work = Work(pool)
    await work.round()
    await work.link_claire()
    slapd.change(
        f"dn: cn=cardiology,ou=groups,{BASE}\nchangetype: add\nobjectClass: groupOfNames\ncn: cardiology\n"
        f"member: UID=Claire.Vasseur, ou=people,{BASE}\n\n"
        f"dn: cn=rota,ou=groups,{BASE}\nchangetype: add\nobjectClass: posixGroup\ncn: rota\ngidNumber: 100\nmemberUid: claire.vasseur\n"
    )
    await work.round()
    joined = {row["what"] for row in await pool.fetch("select what from estate.directory_proposal where kind = 'join'")}
    assert joined == {"cardiology", "rota"}
    assert work.sessions.ended == []
    # A wait after wrong passwords is nobody's end: whoever knows a name could end its session.
    slapd.change(f"dn: {CLAIRES}\nchangetype: modify\nreplace: pwdAccountLockedTime\npwdAccountLockedTime: 20260101000000Z\n")
    await work.round()
    assert work.sessions.ended == []
    slapd.change(f"dn: {CLAIRES}\nchangetype: modify\nreplace: pwdAccountLockedTime\n{FOR_GOOD}\n")
    await work.round()
    assert work.sessions.ended == ["s-1 directory-account-closed"]
    assert await work.directories.account_of("claire") == "disabled"
    with pytest.raises(Denied):
        await work.directories.prove(KNOWN, HERS)
    slapd.change(f"dn: {CLAIRES}\nchangetype: modify\ndelete: pwdAccountLockedTime\n")
    await work.round()
    await work.directories.prove(KNOWN, HERS)
    slapd.change(f"dn: uid=colleague.1,ou=people,{BASE}\nchangetype: modify\nadd: shadowExpire\nshadowExpire: 20000\n")
    slapd.change(f"dn: uid=colleague.2,ou=people,{BASE}\nchangetype: modify\nadd: shadowExpire\nshadowExpire: 90000\n")
    await work.round()
    assert await work.closed("colleague.1")
    assert (await pool.fetchrow("select ends from estate.directory_account where account = 'colleague.2'"))["ends"].year == 2216
    slapd.change(f"dn: uid=somebody.new,ou=people,{BASE}\nchangetype: delete\n")
    work.fresh()
    await work.round()
    assert await work.closed("somebody.new")
    assert not await work.closed("colleague.2")


async def test_a_list_that_did_not_come_whole_closes_nobody(slapd: Slapd, database: Cluster, pool: Any) -> None:
    await written(database, directory(slapd))
    work = Work(pool)
    await work.round()
    slapd.stop()
    slapd.begin(CUT_SHORT)
    work.fresh()
    assert "sizeLimitExceeded" in await work.round()
    slapd.stop()
    assert (await work.round()).startswith("No server")
    slapd.begin(WHOLE)
    slapd.change("".join(f"dn: uid={name},ou=people,{BASE}\nchangetype: delete\n\n" for name in ("somebody.new", "claire.vasseur")))
    slapd.change("".join(f"dn: uid=colleague.{number},ou=people,{BASE}\nchangetype: delete\n\n" for number in range(3)))
    work.fresh()
    assert "shows nobody" in await work.round()
    assert not [row for row in await pool.fetch("select disabled from estate.directory_account") if row["disabled"]]
