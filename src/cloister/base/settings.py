"""What may be set from outside: folders, ports, sizes. Read once, checked at once, passed as an argument.

Nothing here can turn off encryption or audit: there is no such setting.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.base.errors import Invalid

SOCKET_PATH_BYTES_MAX: Final = 107  # sun_path of unix(7), less its final zero


@dataclass(frozen=True, slots=True, kw_only=True)
class Mllp:
    """Where HL7 v2 messages are listened for, and as which program they enter. docs/integration.md."""

    port: int  # 0: nowhere
    address: str
    transport: str  # tls, or tcp-loopback: without TLS, and then only on this machine's own addresses
    certificate: Path | None  # chain and key in PEM; the trust's own by default
    key: Path | None
    clients: Path | None  # authorities of senders' certificates in PEM: senders must show one
    program: str  # a client id; the demo's first program by default
    secret_file: Path | None
    zone: str  # that new records enter
    on_error: str  # park or refuse
    assumed: str  # MSH-18 for messages that name no character set; empty refuses those that need one
    patience_seconds: int  # how long a message is kept trying while the record cannot be reached


TRANSPORTS: Final = ("tls", "tcp-loopback")
POLICIES: Final = ("park", "refuse")
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One trust on one machine."""

    state: Path  # everything that must be kept: database, secrets, founding
    runtime: Path  # sockets and pid files; short, because of sun_path; emptied at every start
    address: str  # where Envoy listens
    port: int
    host: str  # the name in the certificate and in printed addresses
    slots: int  # sessions at once on this server
    demo_patients: int
    idle_lock_seconds: int
    linger_seconds: int  # how long a session without a browser is kept
    checkpoint_age_seconds: int = 600  # how old the audit log's newest checkpoint may be when a session opens
    mllp: Mllp | None = None
    witnesses: tuple[str, ...] = ()  # beside the two of this machine: name+key id+key@http://..., or folder:/...
    known_profiles_only: bool = False  # refuse what claims a profile (meta.profile) that is not loaded

    @property
    def base_url(self) -> str:
        return f"https://{self.host}" + ("" if self.port == 443 else f":{self.port}")

    @property
    def ca_file(self) -> Path:
        return self.state / "public" / "ca.pem"

    @property
    def secrets_folder(self) -> Path:
        return self.state / "secrets"

    @property
    def terminology(self) -> Path:
        """The packs that `cloister terminology load` makes."""
        return self.state / "terminology"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    def socket(self, name: str) -> Path:
        return self.runtime / f"{name}.sock"

    def slot(self, number: int) -> Path:
        return self.runtime / "slots" / f"{number}.sock"


def _number(environment: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = environment.get(name, "").strip() or str(default)
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise Invalid(f"{name} is '{text[:40]}'.", hint=f"Set {name} to a whole number from {low} to {high}.")
    return value


def _flag(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name, "").strip().lower() or "no"
    if text not in ("yes", "no", "1", "0", "true", "false"):
        raise Invalid(f"{name} is '{text[:40]}'.", hint=f"Set {name} to yes or no.")
    return text in ("yes", "1", "true")


def _mllp(environment: Mapping[str, str]) -> Mllp:
    def text(name: str, usual: str = "") -> str:
        return environment.get(f"CLOISTER_MLLP_{name}", "").strip() or usual

    def file(name: str) -> Path | None:
        return Path(text(name)).absolute() if text(name) else None

    found = Mllp(
        port=_number(environment, "CLOISTER_MLLP_PORT", 0, 0, 65535),
        address=text("ADDRESS", "127.0.0.1"),
        transport=text("TRANSPORT", "tls"),
        certificate=file("CERTIFICATE"),
        key=file("KEY"),
        clients=file("CLIENTS"),
        program=text("PROGRAM"),
        secret_file=file("SECRET_FILE"),
        zone=text("ZONE"),
        on_error=text("ON_ERROR", "park"),
        assumed=text("ASSUMED"),
        patience_seconds=_number(environment, "CLOISTER_MLLP_PATIENCE_SECONDS", 20, 1, 600),
    )
    if found.transport not in TRANSPORTS or found.on_error not in POLICIES:
        raise Invalid("CLOISTER_MLLP_TRANSPORT or CLOISTER_MLLP_ON_ERROR is no known word.", hint="tls or tcp-loopback; park or refuse.")
    if found.transport == "tcp-loopback" and found.address not in LOOPBACK:
        raise Invalid(
            "Without TLS, messages are taken from this machine alone.", hint="Set CLOISTER_MLLP_ADDRESS to 127.0.0.1, or use TLS."
        )
    if (found.certificate is None) != (found.key is None):
        raise Invalid("A certificate needs its key.", hint="Set CLOISTER_MLLP_CERTIFICATE and CLOISTER_MLLP_KEY, or neither.")
    return found


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this environment; raises Invalid with the variable's name when one is wrong."""
    env = os.environ if environment is None else environment
    state = Path(env.get("CLOISTER_STATE", "").strip() or ".cloister").absolute()
    short = hashlib.sha256(str(state).encode()).hexdigest()[:10]
    default = Path("/run/cloister") / short if os.geteuid() == 0 else Path(f"/tmp/cloister-{os.geteuid()}-{short}")
    runtime = Path(env.get("CLOISTER_RUNTIME", "").strip() or default).absolute()
    if len(str(runtime / "slots" / "99999.sock").encode()) > SOCKET_PATH_BYTES_MAX:
        raise Invalid(
            f"The runtime folder's path is too long for a socket: {runtime}.",
            hint="Set CLOISTER_RUNTIME to a short path, such as /tmp/cloister.",
        )
    return Settings(
        state=state,
        runtime=runtime,
        address=env.get("CLOISTER_ADDRESS", "").strip() or "127.0.0.1",
        port=_number(env, "CLOISTER_PORT", 8443, 1, 65535),
        host=env.get("CLOISTER_HOST", "").strip() or "localhost",
        slots=_number(env, "CLOISTER_SLOTS", 1024, 1, 20000),
        demo_patients=_number(env, "CLOISTER_DEMO_PATIENTS", 200, 0, 1_000_000),
        idle_lock_seconds=_number(env, "CLOISTER_IDLE_LOCK_SECONDS", 600, 5, 86_400),
        linger_seconds=_number(env, "CLOISTER_LINGER_SECONDS", 3600, 5, 604_800),
        checkpoint_age_seconds=_number(env, "CLOISTER_CHECKPOINT_AGE_SECONDS", 600, 60, 86_400),
        known_profiles_only=_flag(env, "CLOISTER_KNOWN_PROFILES_ONLY"),
        mllp=_mllp(env),
        witnesses=tuple(env.get("CLOISTER_WITNESSES", "").split()),
    )
