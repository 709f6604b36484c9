"""A real domain controller: proving, synchronising what changed, closing accounts, and who may not be believed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from directory_cast import DOOR, HERS, KNOWN, OFFICER, Sessions, written
from postgres import Cluster
from samba_rig import PASSWORD, Controller, domain_controller, missing

from cloister.base.clock import system_clock
from cloister.base.errors import Denied, Unavailable
from cloister.base.secret import Secret
from cloister.gateway import sign_ins
from cloister.zones import certificates

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "a domain controller")


@pytest.fixture(scope="module")
def dc() -> Iterator[Controller]:
    with domain_controller() as running:
        running.add("claire.vasseur", HERS, "Claire Vasseur")
        running.add("somebody.new", "Somebody-new-here-1", "Somebody New")
        running.tool("group", "add", "cardiology")
        yield running


def directory(dc: Controller, **changed: Any) -> sign_ins.Directory:
    usual = sign_ins.Directory(
        id="hr", kind="administrative", priority=1, urls=(dc.url,), base=dc.base, bind="Administrator@hospital.test",
        password=Secret(PASSWORD.encode()), ca=dc.ca,
    )  # fmt: skip
    return replace(usual, **changed)


def test_a_server_is_believed_only_with_a_certificate_of_its_authority_and_name(dc: Controller) -> None:
    assert sign_ins.Ldap(directory(dc)).looked_at().startswith("its counter")
    _, stranger = certificates.new_tls_ca("A stranger's authority")
    for wrong in (directory(dc, ca=stranger.decode()), directory(dc, urls=(f"ldaps://127.0.0.2:{dc.port}",))):
        with pytest.raises(Unavailable):
            sign_ins.Ldap(wrong).looked_at()
    # The first that answers is asked: a dead one before it costs a moment.
    assert sign_ins.Ldap(directory(dc, urls=("ldaps://localhost:1", dc.url))).looked_at().startswith("its counter")


async def test_synchronising_proposes_and_links_nobody_by_itself(dc: Controller, database: Cluster, pool: Any) -> None:
    await written(database, directory(dc))
    directories, sessions = sign_ins.Directories(pool, DOOR, system_clock), Sessions()
    work = sign_ins.Synchronising(pool, directories, sessions, system_clock)  # type: ignore[arg-type]
    await work.once()
    proposed = {(row["kind"], row["what"]) for row in await pool.fetch("select kind, what from estate.directory_proposal")}
    assert {("link", "claire.vasseur"), ("person", "somebody.new")} <= proposed
    assert await directories.account_of("claire") == "none"
    with pytest.raises(Denied):
        await directories.prove(KNOWN, HERS)  # the right password of an account that nobody has linked
    # Nothing changed, so nothing is read again; what is known is not proposed twice.
    before = await pool.fetchrow("select cursor from estate.directory")
    await work.once()
    assert await pool.fetchrow("select cursor from estate.directory") == before
    assert len(await pool.fetch("select id from estate.directory_proposal where what = 'claire.vasseur'")) == 1


async def test_a_linked_account_proves_its_person_and_a_closed_one_ends_their_session(dc: Controller, database: Cluster, pool: Any) -> None:
    await written(database, directory(dc))
    await written(database, directory(dc, id="medical", kind="medical", priority=0, urls=("ldaps://localhost:1",)))  # away
    noted: list[Any] = []

    async def audit(entries: Any) -> None:
        noted.extend(entries)

    directories = sign_ins.Directories(pool, DOOR, system_clock)
    sessions = Sessions(
        [SimpleNamespace(id="s-1", person="claire", kind="person"), SimpleNamespace(id="s-9", person="anna", kind="person")],
    )
    work = sign_ins.Synchronising(pool, directories, sessions, system_clock)  # type: ignore[arg-type]
    await work.once()
    assert (await pool.fetchrow("select fault from estate.directory where id = 'medical'"))["fault"].startswith("No server")
    proposals = sign_ins.Proposals(pool, audit)
    open_now = (await proposals.listed(OFFICER, {}))["proposals"]  # type: ignore[arg-type]
    link = next(one for one in open_now if one["kind"] == "link")
    with pytest.raises(Denied):
        await proposals.decided(SimpleNamespace(id="s-1", person="claire", role="doctor"), {"id": link["id"], "answer": "accept"})  # type: ignore[arg-type]
    await proposals.decided(OFFICER, {"id": link["id"], "answer": "accept"})  # type: ignore[arg-type]
    assert noted[0]["action"] == "proposal-accepted"
    assert await directories.account_of("claire") == "enabled"
    await directories.prove(KNOWN, HERS)
    for wrong in ("another-password", "", HERS + "1"):
        with pytest.raises(Denied):
            await directories.prove(KNOWN, wrong)
    with pytest.raises(Denied):
        await directories.prove(replace(KNOWN, person=None), HERS)

    dc.tool("group", "addmembers", "cardiology", "claire.vasseur")
    await work.once()
    (joined,) = await pool.fetch("select what, state from estate.directory_proposal where kind = 'join'")
    assert (joined["what"], joined["state"]) == ("cardiology", "open")
    assert sessions.ended == []

    dc.tool("user", "disable", "claire.vasseur")
    began = time.monotonic()
    await work.once()
    assert time.monotonic() - began < 40  # and a round begins every twenty seconds
    assert sessions.ended == ["s-1 directory-account-closed"]
    assert await directories.account_of("claire") == "disabled"
    with pytest.raises(Denied):
        await directories.prove(KNOWN, HERS)
    dc.tool("user", "enable", "claire.vasseur")
    await work.once()
    await directories.prove(KNOWN, HERS)

    # The contract's last day is known in advance; when it has come, the directory changes nothing, and still it closes.
    dc.tool("user", "setexpiry", "claire.vasseur", "--days=1")
    await work.once()
    assert (len(sessions.ended), await directories.account_of("claire")) == (1, "enabled")
    later = sign_ins.Synchronising(pool, directories, sessions, lambda: system_clock() + timedelta(days=2))  # type: ignore[arg-type]
    await later.end_closed()
    assert sessions.ended[1:] == ["s-1 directory-account-closed"]
    assert await directories.account_of("claire") == "disabled"
    dc.tool("user", "setexpiry", "claire.vasseur", "--noexpiry")
    await work.once()
    assert await directories.account_of("claire") == "enabled"

    dc.tool("user", "delete", "somebody.new")
    fresh = sign_ins.Synchronising(pool, directories, sessions, system_clock)  # type: ignore[arg-type]
    await fresh.once()  # the whole list, hourly and after a restart: whoever is missing is closed
    assert (await pool.fetchrow("select disabled from estate.directory_account where account = 'somebody.new'"))["disabled"]


async def test_an_outage_ends_nobodys_work(database: Cluster, pool: Any, dc: Controller) -> None:
    await written(database, directory(dc, urls=("ldaps://localhost:1",)))
    await pool.fetch("insert into estate.directory_account (directory, id, account, dn, person) values ('hr', '1', 'c', 'cn', 'claire')")
    directories = sign_ins.Directories(pool, DOOR, system_clock)
    sessions = Sessions([SimpleNamespace(id="s-1", person="claire", kind="person")])
    await sign_ins.Synchronising(pool, directories, sessions, system_clock).once()  # type: ignore[arg-type]
    assert sessions.ended == []
    assert await directories.account_of("claire") == "away"  # which a trust's rules may forbid, and the usual ones do not
    with pytest.raises(Unavailable):
        await directories.prove(KNOWN, HERS)


def test_the_password_of_a_directory_is_in_no_row_in_clear(dc: Controller) -> None:
    sealed = sign_ins.DoorKey(DOOR, "directory").seal(PASSWORD.encode(), b"hr")
    assert PASSWORD.encode() not in sealed
    assert PASSWORD not in repr(directory(dc))
