"""The edge: our whole configuration beside a bare Envoy route with TLS, before the same upstream; and ten thousand idle connections.

The upstream is an Envoy that answers by itself, so that what is measured is the gateway. All three share the machine's processors:
rates are taken in turns. Where the load generator or anything else has the processors too, a ratio of rates says less than is there:
so the goal is also held against requests per second of each gateway's own processor time, the least of all turns.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import ssl
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.load import Connection
from benchmarks.measure import Result, at_least, at_most, ratio_at_least
from cloister.assemble.edge import envoy_program
from cloister.base.clock import system_clock
from cloister.base.secret import Secret
from cloister.farm import Tickets
from cloister.gateway import Plan, bootstrap, followed_files
from cloister.gateway.envoy.tls import GROUPS
from cloister.zones import algorithms, certificates

CONNECTIONS: Final = 16
SECONDS: Final = 2.0
TURNS: Final = 5
SINGLE: Final = 400
IDLE: Final = 10_000
BODY: Final = "x" * 1024
ROUTER: Final = {"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}
HCM: Final = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def manager(routes: list[dict[str, Any]]) -> dict[str, Any]:
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    config = {"@type": HCM, "stat_prefix": "bare", "http_filters": [ROUTER], "route_config": {"virtual_hosts": hosts}}
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def pipe(path: Path) -> dict[str, Any]:
    return {"pipe": {"path": str(path)}}


def upstream(plan: Plan, keys: dict[str, Any]) -> dict[str, Any]:
    """What stands behind both: a session's slot and the door, answered without work."""

    def answering(name: str, path: Path, body: str) -> dict[str, Any]:
        route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": body}}}
        return {"name": name, "address": pipe(path), "filter_chains": [{"filters": [manager([route])]}]}

    listeners = [answering("slot", Path(plan.slot(0)), BODY), answering("door", plan.door_socket, json.dumps(keys))]
    return {"static_resources": {"listeners": listeners}}


def bare(plan: Plan, port: int) -> dict[str, Any]:
    files = {"certificate_chain": {"filename": str(plan.certificate_chain)}, "private_key": {"filename": str(plan.private_key)}}
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    same = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3", "ecdh_curves": GROUPS}
    tls = {"@type": kind, "common_tls_context": {"tls_certificates": [files], "tls_params": same}}
    cluster = {
        "name": "slot",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "slot", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": pipe(Path(plan.slot(0)))}}]}]},
    }
    chain = {
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
        "filters": [manager([{"match": {"prefix": "/"}, "route": {"cluster": "slot"}}])],
    }
    listener = {"name": "bare", "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}, "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


class Gateways:
    """Three Envoys: the upstream, the bare one and ours."""

    def __init__(self, folder: Path, port: int) -> None:
        (folder / "slots").mkdir()
        authority_key, authority = certificates.new_tls_ca("Bench")
        key, chain = certificates.tls_certificate(authority_key, authority, ["localhost"], 2)
        for name, content in (("ca.pem", authority), ("key.pem", key), ("chain.pem", chain)):
            (folder / name).write_bytes(content)
        self.plan = Plan(
            address="127.0.0.1", port=port, slots_folder=folder / "slots", slots=64, door_socket=folder / "door.sock",
            admin_socket=folder / "admin.sock", certificate_chain=folder / "chain.pem", private_key=folder / "key.pem",
            strict_transport=True, dynamic=folder,
        )  # fmt: skip
        tickets = Tickets(Secret(algorithms.random(32)), clock=system_clock)
        self.ticket = tickets.issue(session="s", destination=self.plan.slot(0), slot=0, person="p", epoch=1)
        self.tls = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        configurations = {"upstream": upstream(self.plan, tickets.jwks()), "bare": bare(self.plan, port + 1), "ours": bootstrap(self.plan)}
        for name, followed in followed_files(self.plan).items():
            (folder / name).write_text(json.dumps(followed))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name, configuration in configurations.items():
            (folder / f"{name}.json").write_text(json.dumps(configuration))
            command = [str(envoy_program()), "-c", str(folder / f"{name}.json"), "--disable-hot-restart", "--concurrency", "1", "-l", "off"]
            self.processes[name] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def processor(self, name: str) -> float:
        """Seconds of processor time so far, of all threads (/proc/PID/task/TID/schedstat)."""
        threads = Path(f"/proc/{self.processes[name].pid}/task").iterdir()
        return sum(int((one / "schedstat").read_text().split()[0]) for one in threads) / 1e9

    def memory_mib(self, name: str) -> float:
        status = Path(f"/proc/{self.processes[name].pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(10)


@contextmanager
def gateways() -> Iterator[Gateways]:
    folder = Path(tempfile.mkdtemp(prefix="cloister-bench-gw-", dir="/tmp"))
    made = Gateways(folder, 20_000 + os.getpid() % 20_000)
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def ready(made: Gateways) -> None:
    for port in (made.plan.port, made.plan.port + 1):
        while True:
            try:
                one = await Connection.open(port, made.tls, made.ticket)
                status, _ = await one.request("GET", "/patients")
                one.close()
                if status == 200:
                    break
            except OSError:
                pass
            await asyncio.sleep(0.1)


async def _rate(made: Gateways, port: int) -> float:
    """Requests a second of CONNECTIONS clients."""
    connections = [await Connection.open(port, made.tls, made.ticket) for _ in range(CONNECTIONS)]
    done, end = 0, time.perf_counter() + SECONDS

    async def ask(one: Connection) -> None:
        nonlocal done
        while time.perf_counter() < end:
            status, _ = await one.request("GET", "/patients")
            assert status == 200, status
            done += 1

    await asyncio.gather(*(ask(one) for one in connections))
    for one in connections:
        one.close()
    return done / SECONDS


async def _latencies(made: Gateways, port: int) -> list[float]:
    one = await Connection.open(port, made.tls, made.ticket)
    taken = []
    for _ in range(SINGLE):
        began = time.perf_counter()
        await one.request("GET", "/patients")
        taken.append((time.perf_counter() - began) * 1000)
    one.close()
    return taken


async def rates(made: Gateways) -> list[Result]:
    ports = {"bare": made.plan.port + 1, "ours": made.plan.port}
    measured: dict[str, list[float]] = {"bare": [], "ours": []}
    spent: dict[str, list[float]] = {"bare": [], "ours": []}
    single: dict[str, list[float]] = {"bare": [], "ours": []}
    for _ in range(TURNS):
        for name, port in ports.items():
            before = made.processor(name)
            rate = await _rate(made, port)
            measured[name].append(rate)
            spent[name].append((made.processor(name) - before) / (rate * SECONDS) * 1e6)
            single[name] += await _latencies(made, port)
    ours, plain = statistics.median(measured["ours"]), statistics.median(measured["bare"])
    added = statistics.median(single["ours"]) - statistics.median(single["bare"])
    costs = {name: min(values) for name, values in spent.items()}
    return [
        ratio_at_least("requests a second, whole configuration beside a bare route with TLS", ours, plain, "1/s", 0.9),
        ratio_at_least("the same per second of the gateway's own processor time", 1e6 / costs["ours"], 1e6 / costs["bare"], "1/s", 0.9),
        at_most("added latency, median of one client", added, "ms", 0.3),
        Result(name="Envoy's processor time a request, ours beside bare", value=costs["ours"], baseline=costs["bare"], unit="us"),
    ]


async def _standing(made: Gateways) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection("127.0.0.1", made.plan.port, ssl=made.tls, server_hostname="localhost")
    return writer


async def idle(made: Gateways) -> list[Result]:
    """TLS connections that stand and ask nothing; somebody else is still served."""
    before = made.memory_mib("ours")
    writers = []
    for _ in range(IDLE // 100):
        writers += await asyncio.gather(*(_standing(made) for _ in range(100)))
    standing = sum(1 for writer in writers if not writer.is_closing())
    spent = made.processor("ours")
    await asyncio.sleep(5)
    cost = (made.processor("ours") - spent) / 5 * 100
    taken = await _latencies(made, made.plan.port)
    grown = made.memory_mib("ours") - before
    for writer in writers:
        writer.close()
    return [
        at_least("idle connections that stand", standing, "", IDLE),
        Result(name="their memory in Envoy", value=round(grown * 1024 / IDLE, 1), unit="KiB each"),
        Result(name="their processor time", value=round(cost, 2), unit="% of a core"),
        Result(name="a request meanwhile, median", value=round(statistics.median(taken), 2), unit="ms"),
    ]
