"""A process that mounts an encrypted folder for a test: `mount_process.py FOLDER POINT WRITES EPOCH...`, keys from standard input."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cloister.base.secret import Secret
from cloister.files import Options, Served, mounting
from cloister.zones import files


def main() -> None:
    folder, point, trust, zone, writes, *epochs = sys.argv[1:]
    secrets = sys.stdin.buffer.read(32 * len(epochs))
    held = {int(number): Secret(secrets[32 * at : 32 * at + 32]) for at, number in enumerate(epochs)}
    keys = files.FileKeys(trust, zone, held, writes=writes == "writes")
    os.umask(0)
    mounting.more_descriptors()
    fuse = mounting.open_device()
    mounting.attach(fuse, Path(point), "cloister")
    served = Served(keys, os.open(folder, mounting.FOLDER_FLAGS), fuse, Options(guarded=False))
    print("mounted", flush=True)
    served.run()


if __name__ == "__main__":
    main()
