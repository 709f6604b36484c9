"""Stands for a session's process: passes bytes between a socket and the store gate, which sees this process as the caller."""

from __future__ import annotations

import asyncio
import contextlib
import sys


async def main(here: str, gate: str) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            other_reader, other_writer = await asyncio.open_unix_connection(gate)
        except OSError:
            writer.close()
            return

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(1 << 20):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, other_writer), pump(other_reader, writer))

    server = await asyncio.start_unix_server(connected, path=here)
    await server.serve_forever()


asyncio.run(main(sys.argv[1], sys.argv[2]))
