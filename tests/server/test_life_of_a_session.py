"""A session from sign-in to its end, with real processes."""

from __future__ import annotations

from server_rig import Rig


async def test_a_nurse_signs_in_unlocks_and_reads_in_a_process_of_her_own(server: Rig) -> None:
    adele = await server.sign_in("adele")
    assert (await adele.get("/")).status_code == 401
    answer = await adele.unlock()
    assert answer.json()["state"] == "active"
    page = (await adele.get("/")).json()
    assert page["name"] == "Adèle Martin"
    assert page["zones"] == ["zone-ward"]
    assert page["pid"] == await adele.pid()
    assert server.gate.notes[-1]["action"] == "unlock"
