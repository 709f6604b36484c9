"""A program or desktop of a Windows server: the command line of xfreerdp(1), FreeRDP 2.11, and what its end means. Pure.

The name stands in a file of the namespace and the password comes over standard input: never on a command line, where any process of
this server could read them. Tried with xrdp (TLS) and FreeRDP's own shadow server (network level authentication).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cloister.server.programs.plan import ProgramPlan, side
from cloister.server.programs.rooting import EXCHANGE, ZONES

CLIENTS: Final = ("/usr/bin/xfreerdp", "/usr/bin/xfreerdp3")
RDP_FILE: Final = "/run/person/person.rdp"
SOUND_NOWHERE: Final = 2
# Microsoft's numbers of keyboard layouts: a Windows program gets keys, not characters.
LAYOUTS: Final = {
    "us": "0x409", "gb": "0x809", "fr": "0x40C", "de": "0x407", "be": "0x80C", "ch(fr)": "0x100C", "ch(de)": "0x807", "es": "0x40A",
    "it": "0x410", "pt": "0x816", "ca(fr)": "0xC0C",
}  # fmt: skip


def installed() -> str | None:
    return next((path for path in CLIENTS if Path(path).exists()), None)


def command(plan: ProgramPlan, *, width: int, height: int, layout: str, client: str) -> list[str]:
    remote = plan.remote
    host = f"[{remote['host']}]" if ":" in remote["host"] else remote["host"]
    words = [client, RDP_FILE, f"/v:{host}:{remote.get('port', '3389')}", "/from-stdin:force", f"/kbd:{LAYOUTS.get(layout, '0x409')}"]
    # `deny`: a certificate that no authority of this server signed ends it; nobody is asked, and nothing is trusted on first use.
    words.append(f"/cert:fingerprint:sha256:{remote['certificate']}" if remote.get("certificate") else "/cert:deny")
    if remote.get("security"):
        words.append(f"/sec:{remote['security']}")
    words += [f"/audio-mode:{SOUND_NOWHERE}", "/log-level:ERROR"]
    words += ["+clipboard" if plan.rules.clipboard_in or plan.rules.clipboard_out else "-clipboard", "-themes", "-wallpaper"]
    words.append(f"/size:{side(width)}x{side(height)}")
    words += [f"/app:{remote['program']}"] if remote.get("program") else ["/f", "/dynamic-resolution"]
    if plan.folders.storage:
        words.append(f"/drive:zones,{ZONES}")
    if plan.rules.transfer_in or plan.rules.transfer_out:  # which way a file passes, the session decides at the folder's other side
        words.append(f"/drive:Exchange,{EXCHANGE}")
    return words


def rdp_file(user: str, domain: str) -> str:
    """Whose session is asked for (the .rdp format that Windows itself writes)."""
    lines = (("username", user), ("domain", domain))
    return "".join(f"{name}:s:{''.join(one for one in value if one.isprintable())}\r\n" for name, value in lines if value)


# --- ends ---------------------------------------------------------------------------------------------------------

# What xfreerdp writes, first match first; then its exit status. The pages have a sentence for each of these names.
_SAID: Final = (
    ("CERTIFICATE", "rdp-certificate"),
    ("certificate not trusted", "rdp-certificate"),
    ("ERRCONNECT_LOGON_FAILURE", "rdp-sign-in"),
    ("ERRCONNECT_WRONG_PASSWORD", "rdp-sign-in"),
    ("ERRCONNECT_AUTHENTICATION_FAILED", "rdp-sign-in"),
    ("ERRCONNECT_PASSWORD_MUST_CHANGE", "rdp-expired"),
    ("PASSWORD_EXPIRED", "rdp-expired"),
    ("PASSWORD_CERTAINLY_EXPIRED", "rdp-expired"),
    ("ERRCONNECT_ACCOUNT_", "rdp-account"),
    ("ERRCONNECT_CLIENT_REVOKED", "rdp-account"),
    ("ERRCONNECT_ACCESS_DENIED", "rdp-not-allowed"),
    ("ERRCONNECT_INSUFFICIENT_PRIVILEGES", "rdp-not-allowed"),
    ("ERRCONNECT_LOGON_TYPE_NOT_GRANTED", "rdp-not-allowed"),
    ("ERRCONNECT_SECURITY_NEGO_CONNECT_FAILED", "rdp-security"),
    ("ERRCONNECT_DNS", "rdp-unreachable"),
    ("ERRCONNECT_CONNECT_FAILED", "rdp-unreachable"),
    ("ERRCONNECT_KDC_UNREACHABLE", "rdp-directory"),
    ("ERRCONNECT_CONNECT_TRANSPORT_FAILED", "rdp-broken-off"),
    ("ERRCONNECT_TLS_CONNECT_FAILED", "rdp-security"),
)
_STATUS: Final = {
    0: "rdp-ended", 1: "rdp-ended", 2: "rdp-ended", 3: "rdp-idle", 4: "rdp-idle", 5: "rdp-replaced", 7: "rdp-not-allowed",
    9: "rdp-not-allowed", 11: "rdp-ended", 12: "rdp-ended", 132: "rdp-sign-in", 133: "rdp-security", 134: "rdp-sign-in",
    135: "rdp-account", 139: "rdp-unreachable", 140: "rdp-unreachable", 141: "rdp-unreachable", 143: "rdp-security",
    144: "rdp-not-allowed", 147: "rdp-broken-off", 148: "rdp-expired", 149: "rdp-expired", 150: "rdp-directory", 151: "rdp-account",
    152: "rdp-expired", 153: "rdp-account", 154: "rdp-sign-in", 155: "rdp-not-allowed", 156: "rdp-account", 157: "rdp-account",
    158: "rdp-not-allowed",
}  # fmt: skip
ENDS: Final = frozenset({*_STATUS.values(), *(name for _, name in _SAID)})


def why(status: int, said: str) -> str:
    """The name of this end; `program` for one that has none."""
    if status > 12:
        for mark, name in _SAID:
            if mark in said:
                return name
    return _STATUS.get(status, "program")
