"""What may be set from outside: folders, ports, sizes. Read once, checked at once, passed as an argument.

Nothing here can turn off encryption or audit: there is no such setting.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A standby: its name, and a host and port, or the folder of its socket. docs/replicas.md."""

    name: str
    host: str
    port: int
    ca: Path | None  # of its certificate, on the network; the system's authorities by default


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
    replicas: tuple[Replica, ...] = ()  # standbys of the database that answer reads
    replica_staleness_ms: int = 1000  # how old what they answer may be, beside what a session has seen
    witnesses: tuple[str, ...] = ()  # beside the two of this machine: name+key id+key@http://..., or folder:/...
    delivery_tries: int = 14  # of one notification, before it is a dead letter; about three days
    farm_address: str = ""  # this machine's address on the farm's own network; empty: one machine alone
    farm_port: int = 8444  # of the ingress; the controllers' wire is the next, the audit log's the one after
    machine: str = ""  # this machine's name in the estate
    certificate_minutes: int = 4320  # how long a machine's certificate lives
    http3: bool = False  # the gateway over UDP, too
    vpn_host: str = ""  # the server name of the VPN on the gateway's port; empty: none
    card_host: str = ""  # the server name on the gateway's port at which a card's certificate is asked for; empty: none
    tls_min: str = "1.3"  # the oldest version of TLS that the gateway speaks: 1.3, or 1.2 for old devices
    vpn_port: int = 4443  # where ocserv listens on the loopback address
    tls_certificate: Path | None = None  # the gateway's chain and key in PEM, renewed by somebody else; the local authority's by default
    tls_key: Path | None = None
    acme_directory: str = ""  # of the authority that gives the gateway's certificate (RFC 8555), https://...; empty: none
    acme_email: str = ""  # where that authority may write to
    acme_ca: Path | None = None  # whom its address is believed by, in PEM; the system's list by default
    acme_port: int = 80  # where its question by HTTP comes in (8.3): it asks at port 80, from where this one may be reached
    known_profiles_only: bool = False  # refuse what claims a profile (meta.profile) that is not loaded

    @property
    def base_url(self) -> str:
        return f"https://{self.host}" + ("" if self.port == 443 else f":{self.port}")

    card_url = property(lambda self: self.base_url.replace(self.host, self.card_host, 1) if self.card_host else "")  # empty: nowhere

    @property
    def ca_file(self) -> Path:
        return self.state / "public" / "ca.pem"

    @property
    def secrets_folder(self) -> Path:
        return self.state / "secrets"

    @property
    def farm_folder(self) -> Path:  # what Envoys watch: machines' addresses and certificates; nothing in it is secret
        return self.runtime / "farm"

    @property
    def machine_folder(self) -> Path:  # its own key and certificate, and what it was told when it joined
        return self.state / "machine"

    @property
    def terminology(self) -> Path:  # the packs that `cloister terminology load` makes
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


def _machine(environment: Mapping[str, str]) -> str:  # or the host's name, as far as it is one for a machine
    own = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().split(".", 1)[0].lower())[:40].strip("-")
    return environment.get("CLOISTER_MACHINE", "").strip() or own or "server"


def _path(environment: Mapping[str, str], name: str) -> Path | None:
    text = environment.get(name, "").strip()
    return Path(text).absolute() if text else None


def _acme_directory(environment: Mapping[str, str]) -> str:
    text = environment.get("CLOISTER_ACME_DIRECTORY", "").strip()
    if text and not text.startswith("https://"):
        raise Invalid("CLOISTER_ACME_DIRECTORY is no https address.", hint="For instance https://ca.example/acme/directory.")
    if text and environment.get("CLOISTER_TLS_CERTIFICATE", "").strip():
        raise Invalid("CLOISTER_ACME_DIRECTORY and CLOISTER_TLS_CERTIFICATE are both set.", hint="Leave one of them out.")
    return text


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


def _replicas(environment: Mapping[str, str]) -> tuple[Replica, ...]:
    """CLOISTER_REPLICAS: 'name=host:port', or 'name=/folder/of/its/socket', separated by spaces."""
    found: list[Replica] = []
    ca = environment.get("CLOISTER_REPLICA_CA", "").strip()
    for text in environment.get("CLOISTER_REPLICAS", "").split():
        name, mark, place = text.partition("=")
        host, _, port = (place, "", "5432") if place.startswith("/") else place.rpartition(":") if ":" in place else (place, "", "5432")
        if not mark or not name or not host or not port.isdigit() or not 0 < int(port) < 65536 or name in {one.name for one in found}:
            hint = "Write name=host:port or name=/folder/of/its/socket, each name once, with spaces."
            raise Invalid(f"CLOISTER_REPLICAS has '{text[:60]}'.", hint=hint)
        found.append(Replica(name=name, host=host, port=int(port), ca=Path(ca).absolute() if ca else None))
    return tuple(found)


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this environment; raises Invalid with the variable's name when one is wrong."""
    env = os.environ if environment is None else environment
    state = Path(env.get("CLOISTER_STATE", "").strip() or ".cloister").absolute()
    short = hashlib.sha256(str(state).encode()).hexdigest()[:10]
    default = Path("/run/cloister") / short if os.geteuid() == 0 else Path(f"/tmp/cloister-{os.geteuid()}-{short}")
    runtime = Path(env.get("CLOISTER_RUNTIME", "").strip() or default).absolute()
    if len(str(runtime / "slots" / "99999.sock").encode()) > SOCKET_PATH_BYTES_MAX:
        hint = "Set CLOISTER_RUNTIME to a short path, such as /tmp/cloister."
        raise Invalid(f"The runtime folder's path is too long for a socket: {runtime}.", hint=hint)
    host = env.get("CLOISTER_HOST", "").strip() or "localhost"
    return Settings(
        state=state,
        runtime=runtime,
        address=env.get("CLOISTER_ADDRESS", "").strip() or "127.0.0.1",
        port=_number(env, "CLOISTER_PORT", 8443, 1, 65535),
        host=host,
        slots=_number(env, "CLOISTER_SLOTS", 1024, 1, 20000),
        demo_patients=_number(env, "CLOISTER_DEMO_PATIENTS", 200, 0, 1_000_000),
        idle_lock_seconds=_number(env, "CLOISTER_IDLE_LOCK_SECONDS", 600, 5, 86_400),
        linger_seconds=_number(env, "CLOISTER_LINGER_SECONDS", 3600, 5, 604_800),
        checkpoint_age_seconds=_number(env, "CLOISTER_CHECKPOINT_AGE_SECONDS", 600, 60, 86_400),
        delivery_tries=_number(env, "CLOISTER_DELIVERY_TRIES", 14, 1, 100),
        known_profiles_only=_flag(env, "CLOISTER_KNOWN_PROFILES_ONLY"),
        http3=_flag(env, "CLOISTER_HTTP3"),
        vpn_host=env.get("CLOISTER_VPN_HOST", "").strip() or (f"vpn.{host}" if _flag(env, "CLOISTER_VPN") else ""),
        vpn_port=_number(env, "CLOISTER_VPN_PORT", 4443, 1, 65535),
        card_host=env.get("CLOISTER_CARD_HOST", "").strip().lower(),
        tls_min=env.get("CLOISTER_TLS_MIN", "").strip() or "1.3",
        tls_certificate=_path(env, "CLOISTER_TLS_CERTIFICATE"),
        tls_key=_path(env, "CLOISTER_TLS_KEY"),
        acme_directory=_acme_directory(env),
        acme_email=env.get("CLOISTER_ACME_EMAIL", "").strip(),
        acme_ca=_path(env, "CLOISTER_ACME_CA"),
        acme_port=_number(env, "CLOISTER_ACME_PORT", 80, 1, 65535),
        replicas=_replicas(env),
        replica_staleness_ms=_number(env, "CLOISTER_REPLICA_STALENESS_MS", 1000, 50, 60_000),
        farm_address=env.get("CLOISTER_FARM_ADDRESS", "").strip(),
        farm_port=_number(env, "CLOISTER_FARM_PORT", 8444, 1, 65533),
        machine=_machine(env),
        certificate_minutes=_number(env, "CLOISTER_MACHINE_CERTIFICATE_MINUTES", 4320, 1, 43_200),
        mllp=_mllp(env),
        witnesses=tuple(env.get("CLOISTER_WITNESSES", "").split()),
    )
