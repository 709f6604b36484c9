"""One suite for an ordinary zone and one of psychiatry, without tokens for codes: the same searches, the same answers."""

from __future__ import annotations

import pytest
from searched_people import ALONG, SEARCHES, TAGS, settled, table
from store_rig import Session

from cloister.records import Page, parse
from cloister.records.search.parse import pairs_of


async def asked(session: Session, type: str, text: str, id: dict[str, str]) -> Page:
    question = "&".join(part for part in (text.replace("+", "%2B"), f"_tag={TAGS}|{id['mark']}") if part)
    return await session.records.search(parse(type, pairs_of(question), strict=True))


@pytest.mark.parametrize("zone", ["general", "psychiatric"])
async def test_every_zone_gives_the_same_answers(zone: str, program: Session, tilleuls: Session) -> None:
    session, outsider = (program, tilleuls) if zone == "general" else (tilleuls, program)
    id = await settled(session)
    names = {one: name for name, one in id.items()}
    wrong = []
    for type, text, expected in table(SEARCHES, id):
        page = await asked(session, type, text, id)
        found = [names.get(hit.stored.id, "?") for hit in page.hits]
        counted = await asked(session, type, f"{text}&_summary=count", id)
        same = found == expected.split(">") if ">" in expected else sorted(found) == sorted(expected.split())
        if not same or not page.total == counted.total == len(found):
            wrong.append((type, text, expected, found, page.total, counted.total))
        hidden = await asked(outsider, type, text, id)
        if (hidden.total, hidden.hits) != (0, ()):
            wrong.append((type, text, "told to an outsider"))
    for type, text, expected in table(ALONG, id):
        page = await asked(session, type, text, id)
        found = [names.get(hit.stored.id, "?") for hit in page.hits if hit.mode == "include"]
        if sorted(found) != sorted(expected.split()) or page.total != 1:
            wrong.append((type, text, expected, found, page.total))
        hidden = await asked(outsider, type, text, id)
        if (hidden.total, hidden.hits) != (0, ()):
            wrong.append((type, text, "told to an outsider"))
    assert not wrong, "\n".join(map(str, wrong))
