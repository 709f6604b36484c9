"""Runs a command inside a mount of its own namespaces, as `cloister zone mount` does: `inside.py FOLDER POINT COMMAND...`."""

from __future__ import annotations

import sys
from pathlib import Path

from files_rig import zone_keys

from cloister.files import Options, run_inside

if __name__ == "__main__":
    sys.exit(run_inside(zone_keys(), Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:], Options()))
