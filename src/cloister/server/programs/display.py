"""The command lines of a run: Xvnc on a private socket, and the window manager in it. xvnc(1), icewm(1), openbox(1). Pure."""

from __future__ import annotations

import secrets
import struct
from pathlib import Path
from typing import Final

from cloister.server.programs import remote
from cloister.server.programs.plan import ProgramKind, Rules, side
from cloister.server.programs.rooting import HOME, RFB_SOCKET, XAUTHORITY

XVNC: Final = "/usr/bin/Xvnc"
OPENBOX: Final = "/usr/bin/openbox"
ICEWM: Final = "/usr/bin/icewm"
ICEWMBG: Final = "/usr/bin/icewmbg"  # of the same package: paints the background
SETXKBMAP: Final = "/usr/bin/setxkbmap"
DISPLAY: Final = ":1"
CUT_TEXT_BYTES_MAX: Final = 262_144
ANY_ADDRESS: Final = 0xFFFF  # FamilyWild of an .Xauthority entry
PACKAGES: Final = {
    XVNC: "tigervnc-standalone-server", OPENBOX: "openbox", ICEWM: "icewm", remote.CLIENTS[0]: "freerdp2-x11", SETXKBMAP: "x11-xkb-utils",
}  # fmt: skip


def xvnc(rules: Rules, *, width: int, height: int, title: str, ready_fd: int, cookie: str) -> list[str]:
    """No TCP, no network password: whoever holds the socket is the session. `AllowOverride` empty: no program inside changes
    a rule. `noreset`: else the screen begins anew, and ends who is just arriving, each time its last program has left."""
    yes = {True: "1", False: "0"}
    return [
        XVNC, DISPLAY, "-displayfd", str(ready_fd), "-geometry", f"{side(width)}x{side(height)}", "-depth", "24", "-desktop", title,
        "-rfbport", "-1", "-rfbunixpath", str(RFB_SOCKET), "-rfbunixmode", "432", "-SecurityTypes", "None", "-AlwaysShared",
        "-AllowOverride", "", "-AcceptSetDesktopSize", "1", "-MaxCutText", str(CUT_TEXT_BYTES_MAX),
        "-AcceptCutText", yes[rules.clipboard_in], "-SendCutText", yes[rules.clipboard_out], "-SendPrimary", "0", "-SetPrimary", "0",
        "-IdleTimeout", "0", "-noreset", "-nolisten", "tcp", "-nolisten", "local", "-auth", cookie, "-Log", "*:stderr:0",
    ]  # fmt: skip


def authority() -> bytes:
    """An .Xauthority with one fresh MIT-MAGIC-COOKIE-1, for any address (Xsecurity(7), Xau(3))."""
    fields = (b"", b"1", b"MIT-MAGIC-COOKIE-1", secrets.token_bytes(16))
    return struct.pack(">H", ANY_ADDRESS) + b"".join(struct.pack(">H", len(one)) + one for one in fields)


def manager(kind: ProgramKind) -> list[str]:
    """A desktop has a bar, a menu and frames (icewm); a single window has none of it and is as large as the screen (openbox).
    Each says through READY when it manages; icewm by SIGUSR1 to a parent of its own account, which is a shell here."""
    if kind is ProgramKind.DESKTOP:
        return ["/bin/sh", "-c", ICEWM_WATCHED]
    return [OPENBOX, "--sm-disable", "--startup", f"sh -c 'echo > {READY}'", "--config-file", f"{PRIVATE}/window.xml"]


PRIVATE: Final = "/run/person"
READY: Final = f"{PRIVATE}/ready"
ICEWM_WATCHED: Final = (
    f"trap 'echo > {READY}' USR1; {ICEWM} --notify & wait $!; status=$?; "
    "while kill -0 $! 2>/dev/null; do wait $!; status=$?; done; exit $status"
)
OPENBOX_WINDOW: Final = """<?xml version="1.0" encoding="UTF-8"?>
<openbox_config xmlns="http://openbox.org/3.4/rc">
 <focus><focusNew>yes</focusNew></focus>
 <desktops><number>1</number></desktops>
 <applications>
  <application class="*" type="normal"><decor>no</decor><maximized>yes</maximized></application>
 </applications>
</openbox_config>
"""
# One workspace, no machine to switch off, no monitor of a machine; its menu is made of the .desktop files that this server has.
ICEWM_PREFERENCES: Final = """ShowTaskBar=1
TaskBarShowWorkspaces=0
TaskBarShowCPUStatus=0
TaskBarShowMEMStatus=0
TaskBarShowNetStatus=0
TaskBarShowMailboxStatus=0
TaskBarShowAPMAuto=0
TaskBarShowCollapseButton=0
TaskBarDoubleHeight=0
WorkspaceNames=" 1 "
TimeFormat="%H:%M"
RebootCommand=""
ShutdownCommand=""
SuspendCommand=""
HibernateCommand=""
LockCommand=""
ShowHelp=0
ShowAbout=0
ShowRun=0
ShowThemesMenu=0
ShowFocusModeMenu=0
ShowSettingsMenu=0
ShowLogoutSubMenu=0
ShowProgramsMenu=0
ConfirmLogout=1
DesktopBackgroundColor="rgb:2A/4A/68"
"""
FILES: Final = {
    "window.xml": OPENBOX_WINDOW,
    "icewm/preferences": ICEWM_PREFERENCES,
    "icewm/theme": 'Theme="icedesert/default.theme"\n',
    "icewm/menu": "menuprogreload Programs folder 0 icewm-menu-fdo\n",
    "icewm/programs": "",
    "icewm/toolbar": "",
    "icewm/keys": "",
}  # below PRIVATE


def environment(language: str) -> dict[str, str]:
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/games", "HOME": str(HOME), "USER": "person", "LOGNAME": "person", "SHELL": "/bin/bash",
        "DISPLAY": DISPLAY, "XAUTHORITY": XAUTHORITY, "LANG": "C.UTF-8", "LANGUAGE": language, "XDG_RUNTIME_DIR": "/run/person",
        "TERM": "xterm", "ICEWM_PRIVCFG": f"{PRIVATE}/icewm",
        "GTK_USE_PORTAL": "0", "NO_AT_BRIDGE": "1", "GSETTINGS_BACKEND": "memory", "XDG_CONFIG_DIRS": "/etc/xdg", "TMPDIR": "/tmp",
    }  # fmt: skip


def lacking(kind: ProgramKind) -> str:
    """The Debian package that this server lacks to show programs of this kind, or nothing."""
    wanted = [XVNC, SETXKBMAP, ICEWM if kind is ProgramKind.DESKTOP else OPENBOX]
    for path in wanted:
        if not Path(path).exists():
            return PACKAGES[path]
    if kind is ProgramKind.WINDOWS and remote.installed() is None:
        return PACKAGES[remote.CLIENTS[0]]
    return ""
