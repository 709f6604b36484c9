"""A folder held open: files in it are read, made once or replaced whole, also after its path can no longer be walked."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from cloister.base.errors import Unavailable


class Folder:
    def __init__(self, path: Path, *, owner: tuple[int, int] | None = None) -> None:
        """Made when missing; `owner` (uid, gid) is who will write in it after this process gave up root."""
        try:
            path.mkdir(parents=True, exist_ok=True)
            if owner is not None and os.geteuid() == 0:
                os.chown(path, *owner)
            self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as refused:
            hint = "Mount it, or let this user write there."
            raise Unavailable(f"The folder {path} cannot be used: {refused.strerror}.", hint=hint) from refused
        self.path = path

    def read(self, name: str) -> str | None:
        try:
            with open(os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=self._descriptor), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        return sorted(os.listdir(self._descriptor))

    def replace(self, name: str, text: str) -> None:
        """Durable and whole, or not at all."""
        new = name + ".new"
        self._write(new, text, os.O_TRUNC)
        os.rename(new, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        os.fsync(self._descriptor)

    def make(self, name: str, text: str) -> None:
        """A file that is there stays as it is: storage that locks objects would refuse otherwise."""
        with contextlib.suppress(FileExistsError):
            self._write(name, text, os.O_EXCL)

    def _write(self, name: str, text: str, flag: int) -> None:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | flag, 0o644, dir_fd=self._descriptor)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
