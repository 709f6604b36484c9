"""One notification: an empty POST over TLS, to the address that was checked, following nothing. RFC 9110 9.3.3.

http://hl7.org/fhir/R4/subscription.html#rest-hook. The answer's body is not read; a redirect is a refusal.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable, Sequence
from typing import Final

import httpcore
from httpcore import AsyncNetworkBackend, AsyncNetworkStream

from cloister.gateway.outbound.addresses import Host, Refused, chosen

SECONDS_MAX: Final = 10.0
GONE: Final = 410


class Checked(AsyncNetworkBackend):
    """Connects to nothing but the address that was resolved and checked here; the certificate is for the name."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[object] | None = None,
    ) -> AsyncNetworkStream:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        address = chosen([str(one[4][0]) for one in found], self._host)
        return await self._inner.connect_tcp(address, port, timeout=timeout)

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[object] | None = None
    ) -> AsyncNetworkStream:
        raise Refused("No notification goes to a socket.")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def context_of(host: Host) -> ssl.SSLContext:
    """TLS 1.2 or later, name and chain verified; by the operator's authority where one was given."""
    try:
        return ssl.create_default_context(cadata=host.authority or None)
    except ssl.SSLError:
        raise Refused(f"The authority that was given for {host.host} is no certificate.") from None


async def post(endpoint: str, host: Host, headers: Sequence[tuple[str, str]]) -> None:
    """Returns when the receiver has taken it (2xx); Refused otherwise."""
    timeouts = dict.fromkeys(("connect", "read", "write", "pool"), SECONDS_MAX)
    try:
        async with (
            asyncio.timeout(SECONDS_MAX),
            httpcore.AsyncConnectionPool(ssl_context=context_of(host), network_backend=Checked(host), retries=0) as pool,
            pool.stream(
                "POST", endpoint, headers=[*headers, ("Content-Length", "0"), ("Connection", "close")], extensions={"timeout": timeouts}
            ) as answer,
        ):
            status = answer.status
    except (TimeoutError, httpcore.TimeoutException):
        raise Refused(f"{host.host} did not answer within {SECONDS_MAX:.0f} seconds.") from None
    except ssl.SSLError as wrong:
        raise Refused(f"{host.host}: its certificate was refused ({wrong.reason or 'TLS'}).") from None
    except socket.gaierror:
        raise Refused(f"The name {host.host} cannot be resolved.") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as lost:
        text = "its certificate was refused" if "CERTIFICATE" in str(lost).upper() else f"no connection ({type(lost).__name__})"
        raise Refused(f"{host.host}: {text}.") from None
    if 300 <= status < 400:
        raise Refused(f"{host.host} answered with a redirect ({status}), which is not followed.")
    if not 200 <= status < 300:
        raise Refused(f"{host.host} answered {status}.", gone=status == GONE)
