"""Drafts in the store: each person sees, replaces and removes only their own, and the oldest give way."""

from __future__ import annotations

import pytest
from store_rig import ADELE, PROGRAM, VASSEUR, Rig

from cloister.base.errors import Denied


def name(number: int) -> bytes:
    return number.to_bytes(16, "big")


async def test_adele_finds_her_drafts_again_and_vasseur_finds_none_of_them(trust: Rig) -> None:
    adele, vasseur = await trust.session(ADELE), await trust.session(VASSEUR)
    await adele.gate.call("draft_put", name=name(1), body=b"first")
    await adele.gate.call("draft_put", name=name(1), body=b"second")
    await vasseur.gate.call("draft_drop", name=name(1))
    again = await trust.session(ADELE)
    assert [[bytes(n), bytes(body)] for n, body, _ in await again.gate.call("drafts", names=[name(1)])] == [[name(1), b"second"]]
    assert await vasseur.gate.call("draft_names") == []
    assert await vasseur.gate.call("drafts", names=[name(1)]) == []
    await again.gate.call("draft_drop", name=name(1))
    assert await again.gate.call("draft_names") == []
    for session in (adele, vasseur, again):
        session.close()


async def test_the_fifty_newest_stay_and_a_program_keeps_none(trust: Rig) -> None:
    adele, program = await trust.session(ADELE), await trust.session(PROGRAM)
    for number in range(53):
        await adele.gate.call("draft_put", name=name(number), body=b"x")
    assert [bytes(one) for one in await adele.gate.call("draft_names")] == [name(number) for number in range(52, 2, -1)]
    with pytest.raises(Denied):
        await program.gate.call("draft_put", name=name(1), body=b"x")
    adele.close()
    program.close()
