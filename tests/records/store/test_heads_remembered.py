"""A create in a record that nobody else writes in asks the store once; what others write in it is never lost, and never decided without."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from people import admitted, found, stay, weighed, weight
from store_rig import CARDIOLOGY, PROGRAM, Rig, Session

from cloister.base.errors import Conflict
from cloister.records.dossiers import MOVES_REMEMBERED


def counted(session: Session, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each statement is asked for from now on."""
    calls: Counter[str] = Counter()
    ask = session.gate.call

    async def call(method: str, /, **arguments: Any) -> Any:
        calls[method] += 1
        return await ask(method, **arguments)

    monkeypatch.setattr(session.gate, "call", call)
    return calls


async def settled(session: Session) -> str:
    """A patient in whose record this session alone writes, and has for a while."""
    id = await admitted(session)
    for number in range(MOVES_REMEMBERED):
        await weighed(session, id, 60 + number)
    return id


async def test_who_writes_alone_asks_the_store_once_a_create(program: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    id = await settled(program)
    calls = counted(program, monkeypatch)
    for number in range(5):
        await weighed(program, id, 80 + number)
    assert calls == {"write": 5}


async def test_what_another_has_written_meanwhile_stays(trust: Rig, program: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    id = await settled(program)
    other = await trust.session(PROGRAM)
    await weighed(other, id, 90)
    calls = counted(program, monkeypatch)
    await weighed(program, id, 91)
    assert calls == {"write": 2, "open_dossiers": 1}  # refused; then on the head that is there, which is not asked for twice
    assert len(await found(program, "Observation", f"patient={id}")) == MOVES_REMEMBERED + 2
    assert len(await found(other, "Observation", f"patient={id}")) == MOVES_REMEMBERED + 2
    other.close()


async def test_where_others_write_it_is_asked_first(trust: Rig, program: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    id = await settled(program)
    other = await trust.session(PROGRAM)
    for number in range(MOVES_REMEMBERED):
        await weighed(other, id, 60 + number)
        await weighed(program, id, 60 + number)
    await weighed(other, id, 90)
    calls = counted(program, monkeypatch)
    await weighed(program, id, 91)
    assert calls == {"open_dossiers": 1, "write": 1}
    other.close()


async def test_what_decides_on_a_version_is_decided_on_the_present_one(trust: Rig, program: Session) -> None:
    id = await settled(program)
    written = (await weighed(program, id, 70)).stored
    other = await trust.session(PROGRAM)
    await other.records.update({**weight(id, 71), "id": written.id}, if_match=1)
    with pytest.raises(Conflict):
        await program.records.update({**weight(id, 72), "id": written.id}, if_match=1)
    updated = await program.records.update({**weight(id, 73), "id": written.id}, if_match=2)
    assert updated.stored.version == 3
    other.close()


async def test_what_a_zone_gets_a_token_for_is_written_on_the_present_head(program: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zone that was given the record a moment ago would miss it."""
    id = await settled(program)
    calls = counted(program, monkeypatch)
    await program.records.create(stay(id, CARDIOLOGY))
    assert calls["open_dossiers"] >= 1


async def test_many_at_once_about_one_patient_are_all_stored(trust: Rig, program: Session) -> None:
    id = await settled(program)
    other = await trust.session(PROGRAM)
    await asyncio.gather(*(weighed(one, id, 50 + number) for number in range(8) for one in (program, other)))
    assert len(await found(other, "Observation", f"patient={id}")) == MOVES_REMEMBERED + 16
    other.close()
