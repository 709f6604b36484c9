"""Rotas that come as a table or from a directory: shown line by line, signed by an officer, and nothing before."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rotas_cast import ARNAUD, CELINE, HOSPITAL, LEMOINE, Enter, renewed
from store_rig import Rig

from cloister.base.clock import system_clock
from cloister.base.errors import Conflict, Invalid
from cloister.offices import proposals, teams

DAY = datetime(2030, 1, 7, tzinfo=UTC)


async def test_an_officer_signs_the_lines_that_are_right_and_no_other(trust: Rig, enter: Enter) -> None:
    officer, now = await enter(ARNAUD), system_clock()
    team = await teams.create(officer.keyring, officer.gate, name="Imported nights", hospital=HOSPITAL, now=now)
    await renewed(officer)
    table = f"""person;team;from;until
{CELINE.sign_in};imported NIGHTS;2030-01-07T21:00Z;2030-01-08T07:00Z
nobody.here;Imported nights;2030-01-07T21:00Z;2030-01-08T07:00Z
{LEMOINE.sign_in};Imported nights;2030-01-07T21:00Z;2030-01-08T07:00Z
{CELINE.sign_in};Another team;2030-01-07T21:00Z;2030-01-08T07:00Z
{CELINE.sign_in};Imported nights;2020-01-07T21:00Z;2020-01-08T07:00Z
"""
    number = await proposals.propose(officer.gate, proposals.read_table(table), "rota.csv")
    proposal = next(one for one in await proposals.waiting(officer.gate) if one.id == number)
    assert proposal.source == "rota.csv"
    lines = await proposals.checked(officer.gate, proposal, now)
    assert [bool(one.problem) for one in lines] == [False, True, True, True, True]
    view = await teams.shown(officer.keyring, officer.gate, team=team, start=DAY, end=DAY + timedelta(days=7))
    assert view.turns == (), "a proposal is nothing yet"
    with pytest.raises(Conflict):
        await proposals.sign(officer.keyring, officer.gate, number, [2, 3], now)
    with pytest.raises(Conflict):
        await proposals.sign(officer.keyring, officer.gate, number, [], now)
    assert await proposals.sign(officer.keyring, officer.gate, number, [2], now) == 1
    view = await teams.shown(officer.keyring, officer.gate, team=team, start=DAY, end=DAY + timedelta(days=7))
    assert [turn.person for turn in view.turns] == [CELINE.id]
    assert number not in [one.id for one in await proposals.waiting(officer.gate)]


def test_a_directorys_groups_are_read_as_teams() -> None:
    export = """# exported
dn: cn=nights,ou=groups,dc=hospital
objectClass: groupOfNames
cn: Cardiology, nights
member: uid=adele.test,ou=people,dc=hospital
member: cn=Celine,uid=celine.test,ou=people,
 dc=hospital

dn: cn=days,ou=groups,dc=hospital
cn:: Sm91cnM=
memberUid: bruno.test
"""
    lines = proposals.read_directory(export, start=DAY, end=DAY + timedelta(days=30))
    assert [(one.person, one.team) for one in lines] == [
        ("adele.test", "Cardiology, nights"),
        ("celine.test", "Cardiology, nights"),
        ("bruno.test", "Jours"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "person,team\na,b\n",
        "person,team,from,until\n",
        "person,team,from,until\na,b,tomorrow,2030-01-01T00:00\n",
        "person,team,from,until\na,,2030-01-01T00:00,2030-01-02T00:00\n",
        "person,team,from,until\n" + "a,b,2030-01-01T00:00,2030-01-02T00:00\n" * 501,
        'person,team,from,until\n"a,b\n',
    ],
)
def test_a_table_that_is_wrong_is_refused_with_the_line_and_what_to_do(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        proposals.read_table(text)
    assert refused.value.hint


@given(st.text(max_size=300))
def test_any_text_is_a_table_or_a_clear_refusal(text: str) -> None:
    for read in (proposals.read_table, lambda one: proposals.read_directory(one, start=DAY, end=DAY + timedelta(days=1))):
        with contextlib.suppress(Invalid):
            assert read("person,team,from,until\n" + text)
