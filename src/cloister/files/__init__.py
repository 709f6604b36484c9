"""Encrypted folders: a zone's files on any storage, mounted through /dev/fuse for whoever holds the zone. Spec: docs/spec/zones.md 27.

Keys come from the session's keyring (`Keyring.files`); the format is `zones.files`; here are the file system and the storage.
"""

from cloister.files import converting, mounts, passing, place, verifying, versions
from cloister.files.folder import FOLDER_FLAGS
from cloister.files.mounting import Options, Served, attach, more_descriptors, open_device, run_inside

__all__ = [
    "FOLDER_FLAGS",
    "Options",
    "Served",
    "attach",
    "converting",
    "more_descriptors",
    "mounts",
    "open_device",
    "passing",
    "place",
    "run_inside",
    "verifying",
    "versions",
]
