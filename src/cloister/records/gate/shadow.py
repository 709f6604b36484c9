"""A screen shown to a second person: letters and sealed pictures between two sessions. The gate sees who and when, and no picture.

Only the session that was let in gets pictures, only the one that lets in gives them, and either ends it. Each step is on record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from msgspec import Meta

from cloister.base.errors import Conflict, Denied, NotFound
from cloister.base.ids import new_id
from cloister.records.gate.statement import Arguments, Call, Note, Statement

LETTER_BYTES_MAX: Final = 16 * 1024
FRAME_BYTES_MAX: Final = 1024 * 1024
ASKED_SECONDS: Final = 180  # an unanswered question is no question any more
SHOWN_HOURS: Final = 2
OPEN_MAX: Final = 5  # of one watcher

LIVE: Final = f"""(s.state = 'shown' and s.made > now() - interval '{SHOWN_HOURS} hours'
    or s.state = 'asked' and s.made > now() - interval '{ASKED_SECONDS} seconds')"""
ASK: Final = f"""
    insert into care.shadow (id, watcher, watcher_session, shown, letter)
    select $1::text, $2::text, $3::text, p.id, $5::bytea from trust.person p
     where p.sign_in = $4 and p.kind = 'person' and not p.disabled and p.id <> $2
       and (select count(*) from care.shadow s where s.watcher = $2 and {LIVE}) < {OPEN_MAX}
    returning shown"""
TIDY: Final = "delete from care.shadow where made < now() - interval '1 day'"
OF_ME: Final = f"""
    select s.id, s.watcher, s.state, s.letter, s.made::text, s.shown_session from care.shadow s
     where s.shown = $1 and {LIVE} order by s.made limit 20"""
ANSWER: Final = f"""
    update care.shadow s set state = $3, answer = $4, shown_session = $5, changed = now()
     where s.id = $1 and s.shown = $2 and s.state = 'asked' and {LIVE} returning s.watcher"""
PUT: Final = f"""
    update care.shadow s set frame = $3, seq = s.seq + 1, changed = now()
     where s.id = $1 and s.shown_session = $2 and s.state = 'shown' and {LIVE} returning s.seq"""
# Written, not only read: that somebody still looks is known by it, and a standby that lags is not asked.
GET: Final = f"""
    update care.shadow s set changed = s.changed where s.id = $1 and s.watcher_session = $2
    returning s.state, s.shown, s.answer, s.seq, case when s.seq > $3 then s.frame end, {LIVE}"""
END: Final = """
    update care.shadow s set state = 'ended', frame = null, changed = now()
     where s.id = $1 and (s.shown = $2 or s.watcher = $2) and s.state in ('asked', 'shown') returning s.id"""

Id = Annotated[str, Meta(min_length=1, max_length=64)]
Letter = Annotated[bytes, Meta(min_length=1, max_length=LETTER_BYTES_MAX)]


class Nothing(Arguments):
    pass


class ShadowAsk(Arguments):
    sign_in: Annotated[str, Meta(min_length=1, max_length=200)]
    letter: Letter


class ShadowAnswer(Arguments):
    """`answer`: the sealed and signed key; nothing refuses."""

    id: Id
    answer: Annotated[bytes, Meta(max_length=LETTER_BYTES_MAX)] = b""


class ShadowPut(Arguments):
    id: Id
    frame: Annotated[bytes, Meta(min_length=1, max_length=FRAME_BYTES_MAX)]


class ShadowGet(Arguments):
    id: Id
    after: Annotated[int, Meta(ge=0, lt=2**62)] = 0


class ShadowId(Arguments):
    id: Id


async def shadow_ask(call: Call, arguments: ShadowAsk) -> Any:
    """[the question's id, the person who is asked]."""
    await call.database.execute(TIDY)
    number = new_id()
    shown = await call.database.fetchval(ASK, number, call.person, call.session, arguments.sign_in, arguments.letter)
    if shown is None:
        raise NotFound("There is nobody of this name to ask, or you ask too often.", hint="Check the sign-in name.", reason="shadow-whom")
    return [number, shown]


async def shadow_of_me(call: Call, arguments: Nothing) -> list[list[Any]]:
    """[id, watcher, state, letter, since, session that shows] of those who ask, or look at one's screen."""
    return [list(row) for row in await call.database.fetch(OF_ME, call.person)]


async def shadow_answer(call: Call, arguments: ShadowAnswer) -> None:
    state = "shown" if arguments.answer else "refused"
    if await call.database.fetchval(ANSWER, arguments.id, call.person, state, arguments.answer, call.session) is None:
        raise Conflict("This question is not open any more.", hint="Load the page again.", reason="shadow-over")


async def shadow_put(call: Call, arguments: ShadowPut) -> int:
    seq = await call.database.fetchval(PUT, arguments.id, call.session, arguments.frame)
    if seq is None:
        raise Denied("Your screen is not shown any more.", reason="shadow-over")
    return int(seq)


async def shadow_get(call: Call, arguments: ShadowGet) -> list[Any]:
    """[state, who is shown, answer, number of the newest picture, the picture if it is newer than `after`]."""
    row = await call.database.fetchrow(GET, arguments.id, call.session, arguments.after)
    if row is None:
        raise NotFound("There is no such screen for you.", reason="shadow-over")
    state = row[0] if row[5] or row[0] not in ("asked", "shown") else "ended"
    return [state, row[1], bytes(row[2] or b""), int(row[3]), bytes(row[4]) if row[4] is not None and state == "shown" else b""]


async def shadow_end(call: Call, arguments: ShadowId) -> bool:
    return await call.database.fetchval(END, arguments.id, call.person) is not None


def _noted(action: str) -> Any:
    def notes(arguments: Any) -> Sequence[Note]:
        done = "shadow-refuse" if action == "shadow-answer" and not arguments.answer else action
        return [Note(action=done, kind="shadow", object=getattr(arguments, "id", "") or f"sign-in/{arguments.sign_in}"[:200])]

    return notes


STATEMENTS: Final = (
    Statement("shadow_ask", ShadowAsk, shadow_ask, notes=_noted("shadow-ask")),
    Statement("shadow_of_me", Nothing, shadow_of_me),
    Statement("shadow_answer", ShadowAnswer, shadow_answer, notes=_noted("shadow-answer")),
    Statement("shadow_put", ShadowPut, shadow_put, noted_first=False),
    Statement("shadow_get", ShadowGet, shadow_get),
    Statement("shadow_end", ShadowId, shadow_end, notes=_noted("shadow-end")),
)
