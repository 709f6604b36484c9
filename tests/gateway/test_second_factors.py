"""One-time codes, codes on paper and challenges in a real PostgreSQL: each counts once, however many doors are asked at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import asyncpg
import pyotp
import pytest
import pytest_asyncio
from postgres import Cluster, cluster

from cloister.base.database import open_pool
from cloister.base.errors import Busy, Denied, NotFound
from cloister.base.migrations import migrate
from cloister.base.secret import Secret
from cloister.farm import migrations as farm_migrations
from cloister.gateway import limits, sign_ins
from cloister.gateway import migrations as gateway_migrations
from cloister.gateway.kept import Challenges
from cloister.gateway.limits import Counted, Limits
from cloister.identity import challenge, codes

ADELE = SimpleNamespace(id="s-1", person="adele", role="nurse")
SECRET = Secret(b"d" * 32)


class Moments:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 29, 12, 0, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="module")
def database() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest_asyncio.fixture
async def pool(database: Cluster) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(**database.arguments())
    await connection.execute("drop schema if exists estate, trust cascade; drop table if exists public.migration")
    await migrate(connection, [*farm_migrations(), *gateway_migrations()])
    await connection.execute(
        """alter role cloister_estate login; create schema trust; grant usage on schema trust to cloister_estate;
           create table trust.person (id text, sign_in text, name text, kind text, role text, hospital text, language text, disabled bool);
           insert into trust.person values ('adele', 'adele.morel', 'Adèle Morel', 'person', 'nurse', 'saint-roch', 'fr', false);
           grant select on trust.person to cloister_estate"""
    )
    await connection.close()
    made = await open_pool(database.arguments(user="cloister_estate"), smallest=1)
    yield made
    await made.close()


@pytest.fixture
def clock() -> Moments:
    return Moments()


@pytest.fixture
def factors(pool: Any, clock: Moments) -> sign_ins.Factors:
    return sign_ins.Factors(pool, SECRET, clock, issuer="Cloister")


async def enrolled(factors: sign_ins.Factors, clock: Moments) -> pyotp.TOTP:
    made = await factors.begin_totp(ADELE, {})  # type: ignore[arg-type]
    assert made["uri"].startswith("otpauth://totp/Cloister:adele.morel?secret=")
    phone = pyotp.TOTP(made["secret"])
    await factors.confirm_totp(ADELE, {"code": phone.at(clock.now)})  # type: ignore[arg-type]
    return phone


async def test_a_code_counts_once_also_the_one_of_the_enrolment(factors: sign_ins.Factors, clock: Moments) -> None:
    phone = await enrolled(factors, clock)
    assert await factors.take("adele", phone.at(clock.now)) is None
    clock.now += timedelta(seconds=30)
    assert await factors.take("adele", phone.at(clock.now)) == "totp"
    assert await factors.take("adele", phone.at(clock.now)) is None
    assert await factors.take("adele", phone.at(clock.now - timedelta(seconds=30))) is None
    assert await factors.take("nobody", phone.at(clock.now)) is None


async def test_a_telephone_half_a_minute_off_is_taken_and_a_minute_off_is_not(factors: sign_ins.Factors, clock: Moments) -> None:
    phone = await enrolled(factors, clock)
    clock.now += timedelta(minutes=10)
    assert await factors.take("adele", phone.at(clock.now + timedelta(seconds=60))) is None
    assert await factors.take("adele", phone.at(clock.now - timedelta(seconds=60))) is None
    assert await factors.take("adele", phone.at(clock.now + timedelta(seconds=30))) == "totp"


async def test_of_ten_thousand_attempts_at_once_one_succeeds(factors: sign_ins.Factors, clock: Moments) -> None:
    phone = await enrolled(factors, clock)
    clock.now += timedelta(minutes=5)
    code = phone.at(clock.now)
    taken = await asyncio.gather(*(factors.take("adele", code) for _ in range(10_000)))
    assert [one for one in taken if one] == ["totp"]


async def test_a_secret_that_was_never_confirmed_proves_nothing(factors: sign_ins.Factors, clock: Moments) -> None:
    made = await factors.begin_totp(ADELE, {})  # type: ignore[arg-type]
    assert await factors.take("adele", pyotp.TOTP(made["secret"]).at(clock.now)) is None
    with pytest.raises(NotFound):
        await factors.confirm_totp(ADELE, {"code": "000000"})  # type: ignore[arg-type]


async def test_codes_on_paper_count_once_each_and_new_ones_replace_the_old(factors: sign_ins.Factors, pool: Any) -> None:
    old = (await factors.make_paper(ADELE, {}))["codes"]  # type: ignore[arg-type]
    assert len(set(old)) == codes.PAPER_CODES
    assert await factors.take("adele", old[0].lower().replace("-", " ")) == "paper"
    assert await factors.take("adele", old[0]) is None
    assert await factors.take("somebody-else", old[1]) is None
    both = await asyncio.gather(*(factors.take("adele", old[1]) for _ in range(200)))
    assert [one for one in both if one] == ["paper"]
    assert (await factors.ways(ADELE, {}))["paper"] == codes.PAPER_CODES - 2  # type: ignore[arg-type]
    await factors.make_paper(ADELE, {})  # type: ignore[arg-type]
    assert await factors.take("adele", old[2]) is None
    stored = await pool.fetch("select digest from estate.paper_code")
    assert not any(code.replace("-", "").encode() in bytes(row["digest"]) for code in old for row in stored)


async def test_a_challenge_is_answered_once_at_whichever_door(pool: Any, clock: Moments) -> None:
    one, other = (Challenges(sign_ins.Kept(pool, SECRET, clock), clock) for _ in range(2))
    asked = await one.issue(challenge.Purpose.SIGN_IN, "adele.morel")

    async def answered(door: Challenges) -> bool:
        try:
            return (await door.take(asked.flow, challenge.Purpose.SIGN_IN)).value == asked.value
        except Denied:
            return False

    assert sum(await asyncio.gather(*(answered(door) for door in (one, other) * 100))) == 1
    late = await one.issue(challenge.Purpose.SIGN_IN, "adele.morel")
    clock.now += challenge.CHALLENGE_LIFE
    with pytest.raises(Denied):
        await other.take(late.flow, challenge.Purpose.SIGN_IN)


async def test_the_database_learns_neither_name_nor_content_of_what_is_kept(pool: Any, clock: Moments) -> None:
    name = await sign_ins.Kept(pool, SECRET, clock).keep("app-code", {"person": "adele"}, timedelta(seconds=60))
    (row,) = await pool.fetch("select * from estate.kept")
    assert b"adele" not in bytes(row["sealed"])
    assert name.encode() not in bytes(row["digest"])
    assert await sign_ins.Kept(pool, Secret(b"e" * 32), clock).see("app-code", name) is None
    assert await sign_ins.Kept(pool, SECRET, clock).see("other-kind", name) is None


async def test_after_a_hundred_failures_in_a_row_nothing_guessable_is_taken_until_somebody_has_proved_themselves(
    pool: Any, clock: Moments
) -> None:
    counted = Limits(pool, clock)
    for _ in range(limits.FAILURES_MAX):
        await counted.failed("10.0.0.1", "adele.morel")
        clock.now += timedelta(minutes=16)
    for name in ("adele.morel", "adele.morel"):
        clock.now += timedelta(days=3)  # time alone takes nothing away
        with pytest.raises(Busy) as busy:
            await counted.check("10.0.0.1", name)
        assert busy.value.reason == "sign-in-exhausted"
    await counted.check("10.0.0.1", None)  # a passkey or card is not asked
    await counted.succeeded("adele.morel")
    await counted.check("10.0.0.1", "adele.morel")


def test_addresses_of_one_customer_count_together() -> None:
    assert limits.key_of(Counted.ADDRESS, "2001:db8::1") == limits.key_of(Counted.ADDRESS, "2001:db8::ffff:2")
    assert limits.key_of(Counted.ADDRESS, "2001:db8:0:1::1") != limits.key_of(Counted.ADDRESS, "2001:db8::1")
    assert limits.key_of(Counted.ADDRESS, "10.0.0.1") != limits.key_of(Counted.ADDRESS, "10.0.0.2")
