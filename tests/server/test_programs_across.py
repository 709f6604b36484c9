"""What crosses between a person and a published program's screen, through a real Xvnc: keys, sizes, clipboard, pictures, no sound."""

from __future__ import annotations

import asyncio
import base64
import shutil
import struct
import time
import zlib
from pathlib import Path
from typing import Final

import pytest
from programs_rig import EVERYTHING, Program, left_behind, program, why_not
from screen_client import Screen, Through

from cloister.base.errors import Unavailable
from cloister.server.programs import remote
from cloister.server.programs.looking import Looker
from cloister.server.programs.plan import Folders, ProgramKind, ProgramPlan, Rules
from cloister.server.programs.rfb import CAPS, EXTENDED_CLIPBOARD, NOTIFY, PROVIDE, REQUEST, TEXT, FromBrowser, cut_text, set_encodings

needs_programs = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")
TERMINAL: Final = ("xterm", "-xrm", "XTerm*allowWindowOps: true", "-e", "bash", "--norc")
COPIED: Final = "copied out"
COPY: Final = f"printf '\\033]52;c;%s\\a' {base64.b64encode(COPIED.encode()).decode()} > /dev/tty"
PASTED: Final = "printf '\\033]52;c;?\\a' > /dev/tty; IFS= read -rs -t 3 -d $'\\a' got < /dev/tty; echo \"${got##*;}\" | base64 -d"
ACCENTS: Final = "éàùçêôîëœ€ñß"


@needs_programs
@pytest.mark.asyncio
async def test_accents_arrive_whatever_the_layout_and_the_screen_follows_the_window(tmp_path: Path) -> None:
    async with program(tmp_path, *TERMINAL) as one:
        screen = await one.look()
        for layout in ("us", "fr", "de"):
            await one.running.lay_out(layout)
            said = await one.shell(f"echo {ACCENTS} aqzwm12; setxkbmap -query | grep layout", done=f"done-{layout}")
            assert said.splitlines()[0] == f"{ACCENTS} aqzwm12"
            assert said.split()[-1] == layout
        before = await one.shell("stty size < /dev/tty", done="before")
        screen.resize(1200, 500)
        deadline = time.monotonic() + 10
        while (screen.width, screen.height) != (1200, 500) and time.monotonic() < deadline:
            screen.frame()
        wait = f"for i in $(seq 80); do [ \"$(stty size < /dev/tty)\" != '{before.strip()}' ] && break; sleep 0.1; done"
        after = await one.shell(f"{wait}; stty size < /dev/tty; ls /dev/snd", done="after")
        (rows, columns), (rows_after, columns_after) = (map(int, text.split()[:2]) for text in (before, after))
        assert rows_after < rows  # the window as well, not the screen alone
        assert columns_after > columns
        assert "'/dev/snd': No such file" in after  # nothing to make a sound with


@needs_programs
@pytest.mark.asyncio
@pytest.mark.parametrize("out", [True, False])
async def test_a_clipboard_leaves_only_where_the_rule_and_the_place_allow_it(tmp_path: Path, out: bool) -> None:
    async with program(tmp_path, *TERMINAL, rules=EVERYTHING) as one:  # Xvnc would let it pass: the session's word is what counts here
        said = FromBrowser(clipboard_in=False, clipboard_out=out)
        browser = Screen(Through(await one.running.screen(), said))
        await one.shell(COPY, done="copied")
        deadline = time.monotonic() + (10 if out else 1.5)
        while browser.cut_text != COPIED and time.monotonic() < deadline:
            browser.frame()
        assert browser.cut_text == (COPIED if out else "")
        if not out:
            assert browser.notices > 0  # it was there, and it was told of; its text did not come
            for words in (cut_text(REQUEST | TEXT), cut_text(CAPS | NOTIFY | PROVIDE | TEXT, struct.pack(">I", 1 << 20))):
                browser._sock.sendall(words)
            await one.shell(COPY, done="copied-again")
            browser.frame()
            browser.frame()
            assert browser.cut_text == ""
        browser.cut("pasted in")
        assert (await one.shell(PASTED, done="pasted")).strip() != "pasted in"  # no clipboard comes in


@needs_programs
@pytest.mark.asyncio
async def test_a_clipboard_comes_in_where_it_may_and_xvnc_itself_keeps_one_that_may_not_leave(tmp_path: Path) -> None:
    async with program(tmp_path, *TERMINAL, rules=Rules(clipboard_in=True, transfer_out=True)) as one:
        browser = Screen(await one.running.screen())  # past the session's filter
        await one.shell(COPY, done="copied")
        browser.frame()
        browser.frame()
        assert browser.cut_text == ""
        browser.cut("pasted in")
        assert (await one.shell(PASTED, done="pasted")).strip() == "pasted in"


def test_a_request_for_the_clipboard_passes_only_outward_and_other_words_stay_where_they_are() -> None:
    hello = b"RFB 003.008\n" + b"\x01" + b"\x01"
    out, held = FromBrowser(clipboard_in=False, clipboard_out=True), FromBrowser(clipboard_in=True, clipboard_out=False)
    assert out.feed(hello) == hello
    first = held.feed(hello)
    assert first.startswith(hello)
    assert EXTENDED_CLIPBOARD in first  # before the browser's own words
    ask, give, tell = cut_text(REQUEST | TEXT), cut_text(PROVIDE | TEXT, b"zip"), cut_text(NOTIFY | TEXT)
    assert [out.feed(one) for one in (ask, give, tell)] == [ask, b"", b""]
    assert [held.feed(one) for one in (ask, give, tell)] == [b"", give, tell]
    both = cut_text(REQUEST | PROVIDE | TEXT)
    assert (out.feed(both), held.feed(both)) == (b"", b"")
    assert held.feed(set_encodings(bytes(4))) == set_encodings(EXTENDED_CLIPBOARD + bytes(4))  # it cannot be taken back


@needs_programs
@pytest.mark.asyncio
async def test_a_second_viewer_sees_the_screen_and_touches_nothing(tmp_path: Path) -> None:
    async with program(tmp_path, *TERMINAL) as one:
        await one.shell("true")
        looker = Looker(await one.running.screen())
        seen = await looker.look()
        assert seen is not None
        assert (seen.width, seen.height) == (800, 600)
        assert len(set(_pixels(seen.png))) > 1
        assert await _changes(one, looker)
        watcher = Screen(Through(await one.running.screen(), FromBrowser(clipboard_in=False, clipboard_out=False, view_only=True)))
        watcher.until_drawn()
        watcher.type("touch ~/Exchange/by-the-watcher\n")
        watcher.resize(400, 400)
        watcher.cut("pasted")
        await one.shell("true", done="later")
        assert "by-the-watcher" not in {name for name, _, _ in await one.running.files()}
        assert (await one.look()).width == 800
        looker.close()
        with pytest.raises(Unavailable):
            await looker.look()


async def _changes(one: Program, looker: Looker) -> bool:
    deadline = time.monotonic() + 10
    await one.shell("seq 100 > /dev/tty", done="drawn")
    while time.monotonic() < deadline:
        if await looker.look() is not None:
            return True
    return False


def _pixels(png: bytes) -> list[bytes]:
    """Of the one compressed part (PNG, RFC 2083)."""
    at, parts = 8, b""
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        parts += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    plain = zlib.decompress(parts)
    return [plain[at : at + 3] for at in range(1, min(len(plain), 240_000), 3)]


@pytest.mark.skipif(bool(why_not("icewm")), reason=why_not("icewm") or "-")
@pytest.mark.asyncio
async def test_a_desktop_has_a_bar_and_programs_and_its_end_is_the_runs_end(tmp_path: Path) -> None:
    async with program(tmp_path, *TERMINAL, kind="desktop") as one:
        said = await one.shell("ls -d /proc/[0-9]* | while read p; do cat $p/comm; done")
        assert {"icewm", "Xvnc", "xterm"} <= set(said.split())
        (await one.look()).type("exit\n")  # the terminal goes, the desktop stays
        await asyncio.sleep(0.3)
        assert one.running.ended is None
    assert left_behind() == []


# --- Windows servers ---------------------------------------------------------------------------------------------------


def _plan(rules: Rules = EVERYTHING, storage: str = "", **of: str) -> ProgramPlan:
    return ProgramPlan(
        run="r", session="s", session_pid=1, session_uid=1, application="word", title="Word", kind=ProgramKind.WINDOWS, program_uid=1,
        display_uid=2, group="g", remote={"host": "win1.example", "port": "3389", **of}, rules=rules, folders=Folders(storage=storage),
    )  # fmt: skip


def _command(plan: ProgramPlan) -> list[str]:
    return remote.command(plan, width=1280, height=700, layout="fr", client="xfreerdp")


def test_a_remote_program_is_asked_for_as_the_clients_manual_says() -> None:
    app = _command(_plan(program="||WINWORD", security="nla", certificate="ab:cd"))
    assert {"/app:||WINWORD", "/sec:nla", "/cert:fingerprint:sha256:ab:cd", "/kbd:0x40C", "/audio-mode:2", "+clipboard"} <= set(app)
    assert not {"/f", "/dynamic-resolution"} & set(app)
    assert "/drive:Exchange,/home/person/Exchange" in app
    desktop = _command(_plan(Rules(), storage="/srv/zones", host="2001:db8::7"))
    assert {"/v:[2001:db8::7]:3389", "/f", "/dynamic-resolution", "/cert:deny", "-clipboard"} <= set(desktop)
    assert [word for word in desktop if word.startswith("/drive")] == ["/drive:zones,/home/person/zones"]  # no file may pass
    assert not any(word.startswith(("/app", "/sec:", "/u:", "/p:", "/d:")) for word in desktop)  # no name and no password, either


@pytest.mark.skipif(shutil.which("xfreerdp") is None, reason="not installed: xfreerdp")
@pytest.mark.asyncio
async def test_the_installed_client_understands_every_word_of_it() -> None:
    """It would end with status 128 at a word that it does not know; it ends for want of a screen."""
    for plan in (_plan(program="||WINWORD", security="nla"), _plan(Rules(), storage="/srv/zones")):
        words = [word for word in _command(plan)[1:] if word != remote.RDP_FILE]
        client = await asyncio.create_subprocess_exec(
            "xfreerdp", *words, env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said = (await client.communicate())[1].decode()
        assert client.returncode != 128, said
        assert "display" in said
        assert "Unexpected keyword" not in said


def test_each_end_of_a_remote_desktop_has_a_name() -> None:
    for status, said, name in (
        (134, "ERRCONNECT_LOGON_FAILURE [0x00020014]", "rdp-sign-in"), (131, "ERRCONNECT_PASSWORD_EXPIRED", "rdp-expired"),
        (143, "certificate not trusted, aborting. ERRCONNECT_TLS_CONNECT_FAILED", "rdp-certificate"),
        (133, "ERRCONNECT_SECURITY_NEGO_CONNECT_FAILED", "rdp-security"), (147, "", "rdp-broken-off"), (140, "", "rdp-unreachable"),
        (131, "ERRCONNECT_ACCOUNT_LOCKED_OUT", "rdp-account"), (5, "", "rdp-replaced"), (0, "", "rdp-ended"),
        (2, "certificate", "rdp-ended"), (77, "", "program"),
    ):  # fmt: skip
        assert remote.why(status, said) == name, (status, said)
