"""Drivers on the real thing: processes, a virtual machine that heeds its power button, a Redfish service over HTTPS, a magic packet."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloister.base.errors import Denied, Invalid, Unavailable, Unsupported
from cloister.base.secret import Secret
from cloister.farm.power.drivers.driver import Driver, Seen
from cloister.farm.power.drivers.local import LocalDriver
from cloister.farm.power.drivers.qemu import QemuDriver
from cloister.farm.power.drivers.redfish_client import RedfishDriver, Service
from cloister.farm.power.drivers.wake_on_lan import WakeOnLanDriver, magic_packet
from cloister.farm.power.machines_file import read_machines


async def until(driver: Driver, wanted: Seen, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while await driver.seen() is not wanted:
        assert time.monotonic() < end, f"not {wanted} within {seconds} s"
        await asyncio.sleep(0.1)


# --- processes -------------------------------------------------------------------------------------------


async def test_a_program_is_started_found_again_and_stopped_by_another_controller(tmp_path: Path) -> None:
    def driver() -> LocalDriver:
        return LocalDriver(tmp_path / "s1", [sys.executable, "-c", "import time; time.sleep(600)"], {}, off_seconds=5)

    first = driver()
    assert await first.seen() is Seen.OFF
    await first.on()
    await first.on()
    assert await driver().seen() is Seen.ON
    pid = int((tmp_path / "s1" / "pid").read_text().split()[0])
    assert os.getsid(pid) == pid, "a Ctrl-C at the controller passes it by"
    await driver().off()
    assert await first.seen() is Seen.OFF


async def test_a_program_that_does_not_heed_is_killed_and_a_foreign_process_is_left_alone(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    driver = LocalDriver(tmp_path / "s1", [sys.executable, "-c", stubborn], {}, off_seconds=0.3)
    await driver.on()
    while "up" not in (tmp_path / "s1" / "log").read_text():
        await asyncio.sleep(0.05)
    await driver.off()
    assert await driver.seen() is Seen.OFF
    (tmp_path / "s1" / "pid").write_text(f"{os.getpid()} 1\n")  # our number, another beginning
    assert await driver.seen() is Seen.OFF
    await driver.off()


async def test_a_program_that_cannot_be_started_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="could not be started"):
        await LocalDriver(tmp_path / "s1", ["/no/such/program"], {}).on()


# --- a virtual machine ---------------------------------------------------------------------------------------

# A boot sector: says "up" on the first serial line, lets its power button raise an event (PM1_EN, ACPI 4.8.4.1), sleeps until it
# was pressed (PM1_STS), and switches itself off (PM1_CNT with SLP_EN). Ports as SeaBIOS sets them: 0x600, 0x602, 0x604.
GUEST = bytes.fromhex(
    "31c0 8ed8 be347c baf803 ac 84c0 7403 ee ebf8"  # ds = 0; each character of the text to port 0x3f8
    "ba0206 b80001 ef"  # PM1_EN: power button
    "ba0006 fb f4 ed f6c401 74f8"  # sleep; until bit 8 of PM1_STS
    "ba0406 b80020 ef f4 ebfd".replace(" ", "")
)
QEMU = shutil.which("qemu-system-x86_64")
needs_qemu = pytest.mark.skipif(QEMU is None, reason="needs the Debian package qemu-system-x86")


def disk(path: Path, guest: bytes) -> Path:
    text = b"up\r\n\0"
    code = guest.replace(b"\xbe\x34\x7c", b"\xbe" + (0x7C00 + len(guest)).to_bytes(2, "little"))
    path.write_bytes((code + text).ljust(510, b"\0") + b"\x55\xaa" + bytes(512 * 2047))
    return path


def virtual(tmp_path: Path, guest: bytes, off_seconds: float) -> QemuDriver:
    drive = f"file={disk(tmp_path / 'disk', guest)},format=raw,if=ide"
    arguments = ["-m", "16", "-nodefaults", "-drive", drive, "-serial", f"file:{tmp_path / 'serial'}"]
    return QemuDriver(tmp_path / "vm", arguments, off_seconds=off_seconds)


@needs_qemu
async def test_a_virtual_machine_boots_and_heeds_its_power_button(tmp_path: Path) -> None:
    machine = virtual(tmp_path, GUEST, 20.0)
    assert await machine.seen() is Seen.OFF
    await machine.on()
    await until(machine, Seen.ON)
    end = time.monotonic() + 30
    serial = tmp_path / "serial"
    while not serial.exists() or b"up" not in serial.read_bytes():
        assert time.monotonic() < end, (tmp_path / "vm" / "log").read_text()
        await asyncio.sleep(0.1)
    began = time.monotonic()
    await machine.off()
    assert time.monotonic() - began < 15, "it heeded the button"
    assert await machine.seen() is Seen.OFF


@needs_qemu
async def test_a_virtual_machine_that_does_not_heed_is_ended(tmp_path: Path) -> None:
    machine = virtual(tmp_path, b"\xfa\xf4\xeb\xfd", 0.5)  # interrupts off, halt
    await machine.on()
    await until(machine, Seen.ON)
    await machine.off()
    assert await machine.seen() is Seen.OFF


# --- a baseboard controller --------------------------------------------------------------------------------------

UUID = "27946b59-9e44-4fa7-8e91-f3527a1ef094"
PASSWORD = "open-sesame-4711"
# OpenStack's emulator of Redfish; its made-up machine takes 1 to 11 seconds to change, here always one.
EMULATOR = "import random, sys; random.randint = lambda low, high: 1; from sushy_tools.emulator.main import main; sys.exit(main())"


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bmc")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    files = folder / "bmc.pem", folder / "bmc.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files[1].write_bytes(private)
    return files


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("bmc")
    chain, key = certificate(folder)
    (folder / "users").write_text(f"admin:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
    (folder / "config").write_text(f"SUSHY_EMULATOR_AUTH_FILE = {str(folder / 'users')!r}\nSUSHY_EMULATOR_STATE_DIR = {str(folder)!r}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--config", str(folder / "config"), "--fake", "--interface", "127.0.0.1", "--port", str(port)]
    options += ["--ssl-certificate", str(chain), "--ssl-key", str(key)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", EMULATOR, *options], stdout=log, stderr=log, cwd=folder)
    try:
        end = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end
            time.sleep(0.1)
        found = f"https://127.0.0.1:{port}"
        yield Service(
            url=found, system=f"/redfish/v1/Systems/{UUID}", user="admin", password=Secret(PASSWORD.encode()), ca=chain,
            auth="basic",
        )  # fmt: skip
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


async def test_a_machine_is_switched_through_redfish_over_https(service: Service) -> None:
    driver = RedfishDriver(service, off_seconds=15)
    assert await driver.seen() is Seen.OFF
    await driver.on()
    await until(driver, Seen.ON)
    await driver.on()
    await driver.off()
    assert await driver.seen() is Seen.OFF
    await driver.off()


async def test_redfish_refuses_a_wrong_password_and_an_unknown_authority_and_neither_is_logged(
    service: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    from dataclasses import replace

    with pytest.raises(Denied) as denied:
        await RedfishDriver(replace(service, password=Secret(b"wrong-word-0815"))).seen()
    other, _ = certificate(tmp_path)
    with pytest.raises(Unavailable) as unknown:
        await RedfishDriver(replace(service, ca=other)).seen()
    with pytest.raises(Unavailable):
        await RedfishDriver(replace(service, url="https://127.0.0.1:9")).seen()
    with pytest.raises(Unavailable, match="404"):
        await RedfishDriver(replace(service, system="/redfish/v1/Systems/other")).seen()
    out, err = capfd.readouterr()
    for word in (PASSWORD, "wrong-word-0815"):
        assert word not in caplog.text + out + err + repr(denied.value) + repr(unknown.value) + repr(service)
        assert word not in str(denied.value.__cause__) + str(unknown.value.__cause__)


def test_redfish_is_not_spoken_in_the_clear(service: Service) -> None:
    from dataclasses import replace

    with pytest.raises(Invalid):
        RedfishDriver(replace(service, url="http://127.0.0.1"))


# --- a magic packet --------------------------------------------------------------------------------------------------


async def test_a_magic_packet_arrives_and_a_command_switches_off(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as card:
        card.bind(("127.0.0.1", 0))
        card.settimeout(5)
        command = ["/bin/sh", "-c", f"touch {tmp_path}/off"]
        driver = WakeOnLanDriver("52:54:00:12:34:56", address="127.0.0.1", port=card.getsockname()[1], off_command=command)
        await driver.on()
        received = card.recv(2000)
    assert received == b"\xff" * 6 + bytes.fromhex("525400123456") * 16
    await driver.off()
    assert (tmp_path / "off").exists()
    assert await driver.seen() is Seen.UNKNOWN


async def test_what_cannot_be_switched_says_so() -> None:
    for wrong in ("52:54:00:12:34", "52:54:00:12:34:zz", ""):
        with pytest.raises(Invalid):
            magic_packet(wrong)
    with pytest.raises(Unsupported):
        await WakeOnLanDriver("52:54:00:12:34:56").off()
    with pytest.raises(Unavailable):
        await WakeOnLanDriver("52:54:00:12:34:56", off_command=["/bin/false"]).off()


# --- the machines file --------------------------------------------------------------------------------------------------


def written(folder: Path, machines: object, mode: int = 0o600) -> Path:
    path = folder / "machines.json"
    path.write_text(machines if isinstance(machines, str) else json.dumps(machines))
    path.chmod(mode)
    return path


def test_the_machines_file_makes_drivers_and_keeps_credentials_to_itself(tmp_path: Path) -> None:
    (tmp_path / "bmc").write_text(f"admin\n{PASSWORD}\n")
    (tmp_path / "bmc").chmod(0o600)
    redfish = {"url": "https://bmc1", "system": "/redfish/v1/Systems/1", "credentials": str(tmp_path / "bmc"), "ca": "/etc/bmc.pem"}
    machines = [
        {"server": "a", "group": "ward", "driver": "local", "settings": {"folder": "/srv/a", "command": ["agent"]}},
        {"server": "b", "group": "ward", "driver": "qemu", "settings": {"folder": "/srv/b", "arguments": ["-m", "16"], "accel": "kvm"}},
        {"server": "c", "group": "ward", "driver": "redfish", "settings": redfish},
        {"server": "d", "group": "ward", "driver": "wake-on-lan", "settings": {"mac": "52:54:00:12:34:56"}},
    ]
    found = read_machines(written(tmp_path, machines))
    assert [(one.server, one.kind) for one in found.values()] == [("a", "local"), ("b", "qemu"), ("c", "redfish"), ("d", "wake-on-lan")]
    assert PASSWORD not in repr(found)
    assert read_machines(tmp_path / "nothing.json") == {}


LOCAL = {"server": "a", "group": "ward", "driver": "local", "settings": {"folder": "/srv/a", "command": ["agent"]}}


@pytest.mark.parametrize(
    "machines",
    [
        "not json", {}, [{}], [{**LOCAL, "driver": "magic"}], [{**LOCAL, "settings": {}}], [LOCAL, LOCAL],
        [{**LOCAL, "settings": {**LOCAL["settings"], "shell": True}}], [{**LOCAL, "settings": {"folder": "/srv/a", "command": "rm -rf"}}],
        [{**LOCAL, "driver": "redfish", "settings": {"url": "https://b", "system": "/", "credentials": "/no/such/file", "ca": "/"}}],
    ],
    ids=lambda one: str(one)[:50],
)  # fmt: skip
def test_a_machines_file_that_is_wrong_is_refused_by_name(tmp_path: Path, machines: object) -> None:
    with pytest.raises(Invalid) as refused:
        read_machines(written(tmp_path, machines))
    assert "machines.json" in refused.value.text
    assert refused.value.hint


def test_a_machines_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Denied, match="may be read by others"):
        read_machines(written(tmp_path, [LOCAL], mode=0o644))
