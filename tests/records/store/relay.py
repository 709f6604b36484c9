"""Stands for a session's process: passes bytes between a socket and the store gate, which sees this process as the caller.

Every test starts one, hundreds of them in all, so that it imports next to nothing.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Until one side has nothing more to say; then neither has."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 20):
            sink.sendall(data)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def main(here: str, gate: str) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(here)
    listener.listen()
    while True:
        near, _ = listener.accept()
        far = socket.socket(socket.AF_UNIX)
        try:
            far.connect(gate)
        except OSError:
            near.close()
            continue
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=pump, args=(source, sink), daemon=True).start()


main(sys.argv[1], sys.argv[2])
