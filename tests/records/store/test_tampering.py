"""Whoever holds the database may change it; every change is refused by name when the record is next read."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from people import admitted, found, patient, search, weighed, weight
from store_rig import PROGRAM, Rig, Session

from cloister.base.errors import Corrupt, NotFound
from cloister.records.definitions import type_numbers
from cloister.zones import Forged, Refusal


class Record:
    """One patient with two weights, the first of them in two versions; and the administrator's hands on the rows."""

    def __init__(self, database: asyncpg.Connection[Any], dossier: bytes, patient: str, first: str, second: str) -> None:
        self.database = database
        self.dossier = uuid.UUID(bytes=dossier)
        self.patient = patient
        self.first = first
        self.second = second

    async def change(self, sql: str, *values: Any) -> None:
        await self.database.execute(sql, self.dossier, *values)


@pytest.fixture
async def record(trust: Rig, program: Session) -> AsyncIterator[Record]:
    lopez = await admitted(program, "Tampered")
    first = (await weighed(program, lopez, 70.0)).stored
    await program.records.update({**weight(lopez, 71.0), "id": first.id})
    second = (await weighed(program, lopez, 80.0)).stored
    database = await trust.connect()
    yield Record(database, first.dossier, lopez, first.id, second.id)
    for table in ("res", "res_hist", "index_part", "commit", "dossier_key", "zidx"):
        await database.execute(f"delete from care.{table} where dossier = $1", uuid.UUID(bytes=first.dossier))
    await database.execute("delete from care.dossier where id = $1", uuid.UUID(bytes=first.dossier))
    await database.close()


@pytest.fixture(params=["the session that knows it", "a session that never saw it"])
async def reader(request: pytest.FixtureRequest, trust: Rig, program: Session, record: Record) -> AsyncIterator[Session]:
    if request.param == "the session that knows it":
        yield program
        return
    session = await trust.session(PROGRAM)
    yield session
    session.close()


async def refused(reader: Session, record: Record, id: str) -> str:
    """The reason with which reading it by id and by search is refused; both must agree."""
    with pytest.raises(Corrupt) as by_id:
        await reader.records.read("Observation", id)
    with pytest.raises(Corrupt) as by_search:
        await search(reader, "Observation", f"patient={record.patient}")
    assert by_id.value.reason == by_search.value.reason
    assert isinstance(by_id.value, Forged)
    return by_id.value.reason


async def test_an_untouched_record_opens(reader: Session, record: Record) -> None:
    assert len(await found(reader, "Observation", f"patient={record.patient}")) == 2


async def test_two_swapped_ciphertexts(reader: Session, record: Record) -> None:
    await record.change(
        """update care.res a set ct = b.ct from care.res b
            where a.dossier = $1 and b.dossier = $1 and a.id = any ($2) and b.id = any ($2) and a.id <> b.id""",
        [uuid.UUID(record.first), uuid.UUID(record.second)],
    )
    assert await refused(reader, record, record.first) == Refusal.SWAPPED


async def test_a_row_put_back_to_its_older_version(reader: Session, record: Record) -> None:
    await record.change(
        "update care.res r set ct = h.ct, ver = h.ver from care.res_hist h where r.dossier = $1 and h.dossier = $1 and r.id = h.id"
    )
    assert await refused(reader, record, record.first) == Refusal.ROLLED_BACK


async def test_an_older_version_passed_off_as_the_newer(reader: Session, record: Record) -> None:
    await record.change("update care.res r set ct = h.ct from care.res_hist h where r.dossier = $1 and h.dossier = $1 and r.id = h.id")
    assert await refused(reader, record, record.first) == Refusal.SWAPPED


async def test_a_row_cut_short(reader: Session, record: Record) -> None:
    await record.change("update care.res set ct = substr(ct, 1, length(ct) - 16) where dossier = $1 and id = $2", uuid.UUID(record.first))
    assert await refused(reader, record, record.first) == Refusal.SWAPPED


async def test_a_forged_row(reader: Session, record: Record) -> None:
    await record.change("update care.res set ct = sha512(ct) where dossier = $1 and id = $2", uuid.UUID(record.first))
    assert await refused(reader, record, record.first) == Refusal.SWAPPED


async def test_a_row_taken_away(reader: Session, record: Record) -> None:
    await record.change("delete from care.res where dossier = $1 and id = $2", uuid.UUID(record.first))
    with pytest.raises(Corrupt) as missing:
        await search(reader, "Observation", f"patient={record.patient}")
    assert missing.value.reason == Refusal.MISSING_ROW
    # By its id alone it is missed wherever the dossier has been opened, as it has now.
    with pytest.raises(Corrupt) as by_id:
        await reader.records.read("Observation", record.first)
    assert by_id.value.reason == Refusal.MISSING_ROW


async def test_a_row_that_nobody_signed(reader: Session, record: Record) -> None:
    extra = uuid.uuid4()
    await record.change(
        """insert into care.res select dossier, $2, ver, day, rtype, key_no, dict_no, ct from care.res where dossier = $1 and id = $3""",
        extra,
        uuid.UUID(record.second),
    )
    with pytest.raises(Corrupt) as refused_:
        await reader.records.read("Observation", str(extra))
    assert refused_.value.reason == Refusal.EXTRA_ROW
    assert len(await found(reader, "Observation", f"patient={record.patient}")) == 2


async def test_an_index_part_taken_away(record: Record, trust: Rig) -> None:
    await record.change("delete from care.index_part where dossier = $1 and part_no = 2")
    await _refused_anew(trust, record, Refusal.PARTS)


async def test_an_index_part_of_another_record(record: Record, trust: Rig, program: Session) -> None:
    other = (await weighed(program, await admitted(program))).stored.dossier
    await record.change(
        """update care.index_part p set ct = o.ct from care.index_part o
            where p.dossier = $1 and o.dossier = $2 and p.part_no = 2 and o.part_no = 2""",
        uuid.UUID(bytes=other),
    )
    await _refused_anew(trust, record, Refusal.PARTS)


async def test_a_whole_record_rolled_back_under_a_session_that_saw_it(record: Record, program: Session) -> None:
    await record.change("delete from care.commit where dossier = $1 and seq = 4")
    await record.change("update care.dossier set seq = 3 where id = $1")
    await record.change("delete from care.index_part where dossier = $1 and part_no = 4")
    await record.change("delete from care.res where dossier = $1 and id = $2", uuid.UUID(record.second))
    with pytest.raises(Corrupt) as rolled:
        await search(program, "Observation", f"patient={record.patient}")
    assert rolled.value.reason in (Refusal.ROLLED_BACK, Refusal.MISSING_ROW)
    with pytest.raises(Corrupt) as head:
        await program.records.read("Observation", record.first)
    assert head.value.reason == Refusal.ROLLED_BACK


async def test_a_head_of_another_record(record: Record, trust: Rig, program: Session) -> None:
    other = (await weighed(program, await admitted(program))).stored.dossier
    await record.change(
        "update care.commit c set blob = o.blob from care.commit o where c.dossier = $1 and c.seq = 4 and o.dossier = $2 and o.seq = 2",
        uuid.UUID(bytes=other),
    )
    await _refused_anew(trust, record, Refusal.SWAPPED)


async def test_a_forged_head(record: Record, trust: Rig) -> None:
    await record.change("update care.commit set blob = set_byte(blob, length(blob) - 5, 7) where dossier = $1 and seq = 4")
    await _refused_anew(trust, record, Refusal.SIGNATURE)


async def test_a_wrapped_key_of_another_record(record: Record, trust: Rig, program: Session) -> None:
    other = (await weighed(program, await admitted(program))).stored.dossier
    await record.change(
        """update care.dossier_key k set wrapped = o.wrapped from care.dossier_key o
            where k.dossier = $1 and o.dossier = $2 and k.zone = o.zone""",
        uuid.UUID(bytes=other),
    )
    await _refused_anew(trust, record, Refusal.TAG)


async def test_history_that_was_cut_or_changed(record: Record, program: Session) -> None:
    assert len(await program.records.history("Observation", record.first)) == 2
    await record.change("update care.res_hist set ct = sha512(ct) where dossier = $1")
    with pytest.raises(Corrupt) as changed:
        await program.records.vread("Observation", record.first, 1)
    assert changed.value.reason == Refusal.SWAPPED
    await record.change("delete from care.res_hist where dossier = $1")
    with pytest.raises(Corrupt) as cut:
        await program.records.history("Observation", record.first)
    assert cut.value.reason == Refusal.MISSING_ROW


async def test_a_token_set_on_another_patient_finds_nobody_wrong(record: Record, trust: Rig, program: Session) -> None:
    """Tokens only prune: a lying index can hide, it cannot make somebody match."""
    wanted = patient("Wanted")
    made = (await program.records.create(wanted)).stored
    value = wanted["identifier"][0]["value"]
    await record.change(
        """update care.zidx z set toks = o.toks from care.zidx o
            where z.dossier = $1 and z.rtype = $3 and o.rtype = $3 and o.dossier = $2 and z.zone = o.zone""",
        uuid.UUID(bytes=made.dossier),
        type_numbers()["Patient"],
    )
    assert await found(program, "Patient", f"identifier=urn:test:ins|{value}") == [made.id]


async def _refused_anew(trust: Rig, record: Record, reason: Refusal) -> None:
    """By a session that has not opened this record before."""
    session = await trust.session(PROGRAM)
    for ask in (
        session.records.read("Observation", record.first),
        search(session, "Observation", f"patient={record.patient}"),
        session.records.open_chart(record.patient),
        session.records.create(weight(record.patient)),
    ):
        with pytest.raises(Corrupt) as refused_:
            await ask
        assert refused_.value.reason == reason
    session.close()


async def test_a_record_whose_rows_are_all_gone_does_not_come_back_empty(record: Record, program: Session) -> None:
    for table in ("res", "index_part"):
        await record.change(f"delete from care.{table} where dossier = $1")
    with pytest.raises((Corrupt, NotFound)):
        await search(program, "Observation", f"patient={record.patient}")
    with pytest.raises(Corrupt):
        await program.records.read("Observation", record.first)
