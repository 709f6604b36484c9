"""How a draft becomes the version that everybody sees, and what is kept of the one before. Spec: docs/spec/zones.md 27.4."""

from __future__ import annotations

import base64
import contextlib
import fnmatch
import os
import re
import stat
from collections.abc import Sequence
from typing import Final

from cloister.base.errors import CloisterError
from cloister.files.ahead import draft_name
from cloister.files.content import Draft, InPlace, Version, unless_done
from cloister.files.folder import FILE_FLAGS, VERSIONS, Folder
from cloister.files.journal import Journal, Line
from cloister.files.tree import Node, Tree, parent_of, stamp_of
from cloister.zones import algorithms, files

# Lock and temporary files of editors and offices: seen by others at once, rewritten where they stand, never kept.
IN_PLACE: Final = ("~$*", ".~lock.*#", "*.tmp", "*.lock", ".lock", "*.swp", "*.swo", "*.swx", "*.partial", "*.part", "*.crdownload")
BACKUP: Final = ("*~", "*.bak", *IN_PLACE)  # a document that is renamed to one of these is about to be saved anew
_in_place: Final = re.compile("|".join(map(fnmatch.translate, IN_PLACE))).match
_backup: Final = re.compile("|".join(map(fnmatch.translate, BACKUP))).match
VERSIONS_KEPT: Final = 20


def is_in_place(name: bytes) -> bool:
    return _in_place(os.fsdecode(name).lower()) is not None


def is_backup(name: bytes) -> bool:
    return _backup(os.fsdecode(name).lower()) is not None


def kept_name(tag: bytes) -> str:
    return f"{VERSIONS}/{base64.urlsafe_b64encode(tag).decode().rstrip('=')}"


class Saver:
    """Versions of one mounted zone."""

    def __init__(self, tree: Tree, *, versions_kept: int = VERSIONS_KEPT) -> None:
        self._tree = tree
        self.versions_kept = versions_kept
        self._self = os.geteuid(), os.getegid()  # whose the files are that this process makes

    # --- reading ----------------------------------------------------------------------------------------

    def current(self, node: Node) -> tuple[Version | InPlace, bool]:
        """(what stands under the node's name now, whether it is the one that was open already)."""
        folder = self._tree.folder(parent_of(node))
        found = os.stat(node.stored, dir_fd=folder.fd, follow_symlinks=False)
        stamp = stamp_of(found)
        if node.version is not None and node.stamp == stamp:
            folder.refresh()
            folder.check(node.siv, node.version.head.tag)
            return node.version, True
        for _ in range(3):  # another mount may replace it between the look and the opening
            fd = os.open(node.stored, FILE_FLAGS, dir_fd=folder.fd)
            try:
                version: Version | InPlace = Version(self._tree.keys, fd)
                if version.head.flags & files.IN_PLACE:
                    os.close(fd)
                    fd = os.open(node.stored, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder.fd)
                    version = InPlace(self._tree.keys, fd)
                stamp = stamp_of(os.fstat(fd))
                folder.check(node.siv, version.head.tag)
            except (CloisterError, OSError):
                os.close(fd)
                again = os.stat(node.stored, dir_fd=folder.fd, follow_symlinks=False)
                if again.st_ino != found.st_ino:
                    found = again
                    continue
                raise
            if folder.journal.doubt.get(node.siv) == version.head.tag and self._tree.keys.writes:
                folder.settle(node.siv, version.head.tag)
            self._tree.keep_version(node, version, stamp)
            return version, False
        raise OSError(11, "Resource temporarily unavailable")

    # --- drafts -----------------------------------------------------------------------------------------

    def begin(self, node: Node, *, empty: bool) -> Draft:
        """The draft of a node; it begins with the present version, or with nothing."""
        if node.draft is not None:
            if empty:
                node.draft.truncate(0)
            node.dirty = True
            return node.draft
        version, _ = self.current(node)
        return self.begin_next(node, version, empty=empty)

    def begin_next(self, node: Node, version: Version | InPlace, *, empty: bool) -> Draft:
        """The draft that follows what `current` has just given."""
        folder = self._tree.folder(parent_of(node))
        found = os.fstat(version.fd)
        node.mode, node.owner = stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid)
        draft = self.draft(folder, node.mode, version.head.file, version.head.version + 1)
        if not empty:
            with unless_done(draft.discard):
                draft.copy(version)
        node.draft, node.dirty = draft, True
        return draft

    def begin_new(self, node: Node, mode: int, owner: tuple[int, int]) -> None:
        node.mode, node.owner, node.base = mode, owner, files.ABSENT
        node.draft = self.draft(self._tree.folder(parent_of(node)), mode, algorithms.random(16), 1)
        node.dirty = True

    def draft(self, folder: Folder, mode: int, file: bytes, version: int) -> Draft:
        new = self._tree.keys.new_document(file, version)
        made = self._tree.ahead.take(folder, mode)
        if made is None:
            return Draft(new, folder.fd, draft_name(), mode)
        return Draft(new, folder.fd, made.stored, made.mode, fd=made.fd)

    def make_in_place(self, node: Node, mode: int, owner: tuple[int, int], *, fresh: bool) -> None:
        """A new file that is there at once, whole with its header, for every mount; `fresh` fails if another was faster."""
        folder = self._tree.folder(parent_of(node))
        new = self._tree.keys.new_document(algorithms.random(16), 1, flags=files.IN_PLACE)
        draft = Draft(new, folder.fd, draft_name(), mode)
        with unless_done(draft.discard):
            draft.finish(self._tree.keys)
            self.own(draft, mode, owner)

            def lines(journal: Journal) -> Sequence[Line]:
                if fresh and node.siv in journal.live:
                    raise FileExistsError(17, "File exists")
                return [(files.SET, node.siv, journal.live.get(node.siv, files.ABSENT), new.tag)]

            folder.note_long(node.name, node.stored)
            folder.change(lines, lambda: os.rename(draft.stored, node.stored, src_dir_fd=folder.fd, dst_dir_fd=folder.fd))
        found = self.owned(draft.fd, mode, owner)
        self._tree.keep_version(node, InPlace(self._tree.keys, draft.fd), stamp_of(found))

    # --- saving -----------------------------------------------------------------------------------------

    def save(self, node: Node, *, sync: bool = False) -> None:
        """Let the draft become the version, if there is anything new; on the disk before anybody sees it when `sync`."""
        draft = node.draft
        if draft is None or not node.dirty or node.gone:
            return
        folder = self._tree.folder(parent_of(node))
        draft.finish(self._tree.keys)
        self.own(draft, node.mode, node.owner)
        if node.times is not None:
            os.utime(draft.fd, ns=node.times)
        folder.note_long(node.name, node.stored)
        change = Replacing(folder, node.siv, node.stored, draft.new.tag, draft.stored, keep=self.versions_kept, own=node.base)
        if sync:
            os.fdatasync(draft.fd)
            change.sync = True
        folder.change(change.lines, change.act)
        change.prune()
        node.base = draft.new.tag
        node.draft, node.dirty, node.times = None, False, None
        self._tree.keep_version(node, draft.saved(self._tree.keys), stamp_of(self.owned(draft.fd, node.mode, node.owner)))

    def keep_before(self, folder: Folder, siv: bytes, stored: str) -> None:
        """Keep what stands under a name that is about to be given up for a backup's name."""
        with folder.locked() as journal:
            tag = journal.live.get(siv, files.ABSENT)
            if tag == files.ABSENT or tag in journal.kept.get(siv, ()):
                return
            link_version(folder, stored, tag)
            journal.append([(files.KEEP, siv, files.ABSENT, tag)])

    def own(self, draft: Draft, mode: int, owner: tuple[int, int]) -> None:
        """Before it is seen: whose it is, where that is not what its making has made it."""
        if owner != self._self and self._self[0] == 0:
            os.fchown(draft.fd, *owner)
        if draft.mode | 0o600 != mode:
            os.fchmod(draft.fd, mode)

    def owned(self, fd: int, mode: int, owner: tuple[int, int]) -> os.stat_result:
        """As the storage tells it, once it has its name. A folder may hand down its group or an access list: then it is set again."""
        found = os.fstat(fd)
        strange = owner != (found.st_uid, found.st_gid) and self._self[0] == 0
        if strange:
            os.fchown(fd, *owner)
        if strange or stat.S_IMODE(found.st_mode) != mode:
            os.fchmod(fd, mode)
            found = os.fstat(fd)
        return found


class Replacing:
    """One document takes the place of another under a name: the lines for the journal, the act, and what it makes superfluous."""

    def __init__(
        self,
        folder: Folder,
        siv: bytes,
        stored: str,
        tag: bytes,
        place: str,
        *,
        keep: int,
        own: bytes = files.ABSENT,
        source: Folder | None = None,
    ) -> None:
        """`own`: the tag that the same writing saved before; such steps are not kept. `place`: where it lies now, in `source`."""
        self._folder = folder
        self._siv = siv
        self._stored = stored
        self._tag = tag
        self._place = place
        self._source = source or folder
        self._keep = keep
        self._own = own
        self._pruned: list[bytes] = []
        self.sync = False
        self.replaces = False

    def lines(self, journal: Journal) -> Sequence[Line]:
        old = journal.live.get(self._siv, files.ABSENT)
        self.replaces = old != files.ABSENT
        planned: list[Line] = [(files.SET, self._siv, old, self._tag)]
        if old not in (files.ABSENT, self._own) and self._keep and self._replaces_document():
            link_version(self._folder, self._stored, old)  # before its line: who is killed in between leaves a spare link, not a gap
            planned.append((files.KEEP, self._siv, files.ABSENT, old))
            kept = journal.kept.get(self._siv, [])
            self._pruned = kept[: max(0, len(kept) + 1 - self._keep)]
            planned += [(files.PRUNE, self._siv, tag, files.ABSENT) for tag in self._pruned]
        return planned

    def _replaces_document(self) -> bool:
        """A link that gives way to a document is no earlier version of it."""
        return stat.S_ISREG(os.stat(self._stored, dir_fd=self._folder.fd, follow_symlinks=False).st_mode)

    def act(self) -> None:
        if self.sync:
            os.fdatasync(self._folder.journal.fd)  # the line first: a document without its line would be refused
        os.rename(self._place, self._stored, src_dir_fd=self._source.fd, dst_dir_fd=self._folder.fd)
        if self.sync:
            os.fsync(self._folder.fd)

    def prune(self) -> None:
        for tag in self._pruned:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(kept_name(tag), dir_fd=self._folder.fd)


def link_version(folder: Folder, stored: str, tag: bytes) -> None:
    """A second name for what stands there, among the folder's versions."""
    for _ in range(2):
        try:
            os.link(stored, kept_name(tag), src_dir_fd=folder.fd, dst_dir_fd=folder.fd, follow_symlinks=False)
            return
        except FileExistsError:
            return
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):
                os.mkdir(VERSIONS, 0o700, dir_fd=folder.fd)
    raise FileNotFoundError(2, "No such file or directory")
