"""A database that was put back from a backup serves nobody until two officers, one of each office, have signed for it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from audit_rig import kem_of_office, opened_log
from running_trust import RunningTrust, begin, folders, founded_once

from cloister.assemble import owner_connection, sign_restore
from cloister.base.errors import Conflict, Denied
from cloister.base.settings import read_settings

CERTIFIES, GRANTS, PRIVACY = "sebastien.lemoine", "benedicte.arnaud", "agnes.maillard"


def passphrase(trust: RunningTrust, sign_in: str) -> str:
    return str(trust.person(sign_in=sign_in)["passphrase"])


def accepts(trust: RunningTrust, officer: str, secret: str) -> str:
    return asyncio.run(sign_restore(read_settings(trust.environment), officer, "disk of 22 November replaced", secret))


def settled(trust: RunningTrust) -> dict[str, object]:
    deadline = time.monotonic() + 20
    while True:
        found = json.loads((trust.state / "audit-status" / "witnesses.json").read_text())
        if found["size"] and all(one["size"] == found["size"] for one in found["witnesses"]):
            return dict(found)
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


async def entries_of(trust: RunningTrust) -> list[tuple[str, str, str]]:
    settings = read_settings(trust.environment)
    connection = await owner_connection(settings)
    try:
        kem = await kem_of_office(connection, PRIVACY, passphrase(trust, PRIVACY))
        public = json.loads((trust.state / "public" / "trust.json").read_text())
        return [(one.action, one.actor, one.reason) for _, one in await opened_log(connection, public["trust"], kem)]
    finally:
        await connection.close()


@pytest.mark.timeout(300)
def test_a_restored_database_is_refused_until_two_officers_accept_it() -> None:
    with folders() as (state, runtime):
        founded_once(state)
        shutil.copytree(state / "database", state.with_name("backup"), symlinks=True)
        trust = begin(state, runtime)
        try:
            trust.wait_for("ready: ")
            settled(trust)
            with pytest.raises(Conflict):
                accepts(trust, CERTIFIES, passphrase(trust, CERTIFIES))
            for _ in range(3):
                trust.sign_in(trust.person(role="nurse")).client.post("/session/end")
            time.sleep(2)
            lost = settled(trust)["size"]
            trust.stop()
            shutil.rmtree(state / "database")
            shutil.move(state.with_name("backup"), state / "database")

            trust = begin(state, runtime)
            trust.wait_for("accept-restore")
            assert f"holds a signed checkpoint of {lost:,}" in trust.shown()
            with pytest.raises(LookupError):
                trust.pid_of("gate")
            assert "ready: " not in trust.shown(), "nothing is served"
            with pytest.raises(Denied):
                accepts(trust, CERTIFIES, "a wrong passphrase")
            with pytest.raises(Denied):
                accepts(trust, "claire.vasseur", passphrase(trust, "claire.vasseur"))
            assert "an access officer must sign" in accepts(trust, CERTIFIES, passphrase(trust, CERTIFIES))
            assert "an access officer must sign" in accepts(trust, "laure.besson", passphrase(trust, "laure.besson")), (
                "the same office twice"
            )
            time.sleep(2.5)
            assert "ready: " not in trust.shown()
            assert "Both officers have signed" in accepts(trust, GRANTS, passphrase(trust, GRANTS))
            trust.wait_for("ready: ")
            settled(trust)
            words = [one for one in asyncio.run(entries_of(trust)) if one[0] == "restore-accepted"]
            assert len(words) == 2
            assert all("disk of 22 November" in reason for _, _, reason in words)
            evidence = json.loads((state / "witness" / "witness.json").read_text())["evidence"]
            assert [one["refusal"] for one in evidence] == ["restored"], "the break stays on file"
            environment = {**os.environ, **trust.environment}
            verify = [sys.executable, "-m", "cloister.cli", "audit", "verify"]
            assert subprocess.run(verify, env=environment, capture_output=True, check=False).returncode == 0
        finally:
            trust.stop()
