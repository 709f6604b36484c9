"""Sockets bound while still root, so that the account that answers on them need own no folder."""

from __future__ import annotations

import os
import socket
from pathlib import Path

BACKLOG: int = 1024


def bound_socket(path: Path, *, uid: int, gid: int, mode: int) -> socket.socket:
    """A listening UNIX socket at this path, with this owner, group and mode from its first moment."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    before = os.umask(0o777)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    os.chown(path, uid, gid)
    path.chmod(mode)
    listener.listen(BACKLOG)
    return listener
