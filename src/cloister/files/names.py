"""Requests about names: look up, make, remove, rename, list. <linux/fuse.h>; POSIX.1-2024 for what each may answer."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import Final

from cloister.base.telemetry import log
from cloister.files import protocol
from cloister.files.ahead import draft_name
from cloister.files.connection import Answer, Handler, Request
from cloister.files.content import Draft
from cloister.files.folder import FOLDER_FLAGS, LONG_SUFFIX, Folder, link_tag
from cloister.files.saving import Replacing, Saver, is_backup, is_in_place
from cloister.files.tree import Node, Tree, is_document, parent_of
from cloister.zones import Forged, Refusal, files

SECONDS_VALID: Final = 1  # names and attributes, as long as other mounts may lag behind
TARGET_BYTES_MAX: Final = 3000  # of a symbolic link, whose sealed text must fit into the storage's
ENTRY_BYTES: Final = protocol.ENTRY_OUT.size + protocol.ATTR.size
KIND_SHIFT: Final = 12
Listed = tuple[bytes, bytes, str, int]  # name, name in the journal, stored name, kind


class Names:
    """The folder half of a mounted zone."""

    def __init__(self, tree: Tree, saver: Saver, shown_as: tuple[int, int] | None = None) -> None:
        """`shown_as`: the owner that everything has here, whoever owns it on the storage."""
        self._tree = tree
        self._shown_as = None if shown_as is None else protocol.OWNER.pack(*shown_as)
        self._saver = saver
        self._listings: dict[int, list[Listed]] = {}
        self._next = 1

    def handlers(self) -> dict[int, Handler]:
        return {
            protocol.LOOKUP: self.lookup, protocol.FORGET: self.forget, protocol.BATCH_FORGET: self.batch_forget,
            protocol.READLINK: self.readlink, protocol.SYMLINK: self.symlink, protocol.MKDIR: self.mkdir, protocol.MKNOD: self.mknod,
            protocol.UNLINK: self.unlink, protocol.RMDIR: self.rmdir, protocol.RENAME: self.rename, protocol.RENAME2: self.rename2,
            protocol.LINK: self.link, protocol.OPENDIR: self.opendir, protocol.READDIR: self.readdir,
            protocol.READDIRPLUS: self.readdirplus, protocol.RELEASEDIR: self.releasedir, protocol.FSYNCDIR: self.fsyncdir,
        }  # fmt: skip

    # --- looking up -------------------------------------------------------------------------------------

    def lookup(self, request: Request) -> Answer:
        looked = self._looked(self._tree.node(request.node), bytes(request.body[:-1]))
        return errno.ENOENT if looked is None else self.entry(*looked)

    def found(self, parent: Node, name: bytes) -> Node | None:
        """What stands under a name of this folder, or is being written under it here."""
        looked = self._looked(parent, name)
        return None if looked is None else looked[0]

    def _looked(self, parent: Node, name: bytes) -> tuple[Node, os.stat_result | None] | None:
        """The same, and what the storage has just told of it."""
        if len(name) > files.NAME_BYTES_MAX:
            raise OSError(errno.ENAMETOOLONG, "File name too long")
        known = parent.children.get(name)
        if known is not None and known.draft is not None:
            return known, None
        folder = self._tree.folder(parent)
        siv, stored = folder.name(name)
        if not folder.expected(siv):
            return None
        try:
            found = os.stat(stored, dir_fd=folder.fd, follow_symlinks=False)
        except FileNotFoundError:
            folder.check(siv, files.ABSENT)
            return None
        is_document(found)
        if folder.journal.doubt.get(siv) is not None:
            tag = folder.tag(stored)
            folder.check(siv, tag)
            if folder.journal.doubt.get(siv) == tag and self._tree.keys.writes:
                folder.settle(siv, tag)
        return self._tree.child(parent, name, siv, stored, stat.S_IFMT(found.st_mode)), found

    def entry(self, node: Node, found: os.stat_result | None = None) -> bytes:
        seconds = valid_seconds(node)
        answer = protocol.ENTRY_OUT.pack(node.number, 0, seconds, seconds, 0, 0) + self.attributes(node, found)
        node.lookups += 1
        return answer

    def attributes(self, node: Node, found: os.stat_result | None = None) -> bytes:
        """`found`: where the storage has just been asked."""
        told, owner = self._told(node, found), self._shown_as
        return told if owner is None else told[: protocol.OWNER_AT] + owner + told[protocol.OWNER_AT + len(owner) :]

    def _told(self, node: Node, found: os.stat_result | None) -> bytes:
        draft = node.draft
        if draft is not None:
            return _of_draft(node, draft)
        if node is self._tree.root:
            return protocol.attributes(protocol.ROOT, os.fstat(self._tree.folder(node).fd), 4096)
        if found is not None:
            pass
        elif node.gone and node.version is not None:
            found = os.fstat(node.version.fd)
        elif node.kind == stat.S_IFDIR and node.folder is not None:
            found = os.fstat(node.folder.fd)
        else:
            found = os.stat(node.stored, dir_fd=self._tree.folder(parent_of(node)).fd, follow_symlinks=False)
        if node.kind == stat.S_IFREG:
            return protocol.attributes(node.ino, found, files.plain_size(found.st_size))
        if node.kind == stat.S_IFLNK:
            return protocol.attributes(node.ino, found, max(1, (found.st_size - 1) * 3 // 4 - 16))
        return protocol.attributes(node.ino, found, found.st_size)

    def forget(self, request: Request) -> Answer:
        self._tree.forget(request.node, protocol.NUMBER.unpack_from(request.body)[0])
        return None

    def batch_forget(self, request: Request) -> Answer:
        count, _ = protocol.COUNT.unpack_from(request.body)
        for number in range(count):
            self._tree.forget(*protocol.FORGET_ONE.unpack_from(request.body, 8 + 16 * number))
        return None

    # --- making -----------------------------------------------------------------------------------------

    def _free(self, parent: Node, name: bytes) -> tuple[Folder, bytes, str]:
        self.writable()
        if self.found(parent, name) is not None:
            raise FileExistsError(errno.EEXIST, "File exists")
        folder = self._tree.folder(parent)
        return folder, *folder.name(name)

    def writable(self) -> None:
        if not self._tree.keys.writes:
            raise OSError(errno.EROFS, "Read-only file system")

    def mkdir(self, request: Request) -> Answer:
        mode, umask = protocol.MKDIR_IN.unpack_from(request.body)
        parent, name = self._tree.node(request.node), bytes(request.body[protocol.MKDIR_IN.size : -1])
        folder, siv, stored = self._free(parent, name)
        temporary = draft_name()
        os.mkdir(temporary, 0o700, dir_fd=folder.fd)
        new = Folder.make(self._tree.keys, os.open(temporary, FOLDER_FLAGS, dir_fd=folder.fd))
        own_by(new.fd, request, mode & ~umask & 0o7777)
        folder.note_long(name, stored)
        folder.change(
            lambda journal: [(files.SET, siv, files.ABSENT, new.id)],
            lambda: os.rename(temporary, stored, src_dir_fd=folder.fd, dst_dir_fd=folder.fd),
        )
        new.close()
        return self.entry(self._tree.child(parent, name, siv, stored, stat.S_IFDIR))

    def mknod(self, request: Request) -> Answer:
        mode, _, umask, _ = protocol.MKNOD_IN.unpack_from(request.body)
        if not stat.S_ISREG(mode):
            return errno.EPERM  # devices, pipes and sockets are nothing for a storage
        parent, name = self._tree.node(request.node), bytes(request.body[protocol.MKNOD_IN.size : -1])
        _, siv, stored = self._free(parent, name)
        node = self._tree.child(parent, name, siv, stored, stat.S_IFREG)
        self._saver.begin_new(node, mode & ~umask & 0o7777, (request.uid, request.gid))
        self._saver.save(node)
        return self.entry(node)

    def symlink(self, request: Request) -> Answer:
        name, target = bytes(request.body[:-1]).split(b"\0", 1)
        if len(target) > TARGET_BYTES_MAX:
            return errno.ENAMETOOLONG
        parent = self._tree.node(request.node)
        folder, siv, stored = self._free(parent, name)
        folder.note_long(name, stored)
        text = files.stored_text(folder.journal.folder.seal_text(target, siv))
        folder.change(lambda journal: [(files.SET, siv, files.ABSENT, link_tag(text))], lambda: os.symlink(text, stored, dir_fd=folder.fd))
        return self.entry(self._tree.child(parent, name, siv, stored, stat.S_IFLNK))

    def readlink(self, request: Request) -> Answer:
        node = self._tree.node(request.node)
        return self.target(self._tree.folder(parent_of(node)), node.siv, node.stored)

    def target(self, folder: Folder, siv: bytes, stored: str) -> bytes:
        text = os.readlink(stored, dir_fd=folder.fd)
        folder.check(siv, link_tag(text))
        return folder.journal.folder.open_text(files.sealed_text(text), siv)

    def link(self, request: Request) -> Answer:
        """A second name would need a second place in the journals: refused, as on storages that have none."""
        return errno.EPERM

    # --- removing ---------------------------------------------------------------------------------------

    def _there(self, parent: Node, name: bytes) -> Node:
        self.writable()
        node = self.found(parent, name)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return node

    def unlink(self, request: Request) -> Answer:
        node = self._there(self._tree.node(request.node), bytes(request.body[:-1]))
        folder = self._tree.folder(parent_of(node))
        if node.kind == stat.S_IFDIR:
            return errno.EISDIR
        if folder.expected(node.siv):
            folder.change(
                lambda journal: [(files.SET, node.siv, journal.live.get(node.siv, files.ABSENT), files.ABSENT)],
                lambda: os.unlink(node.stored, dir_fd=folder.fd),
            )
            folder.forget_long(node.stored)
        self._gone(node)
        return b""

    def _gone(self, node: Node) -> None:
        self._tree.detach(node)
        if node.draft is not None and not node.handles:
            node.draft.discard()
            node.draft = None
        self._tree.release(node)

    def rmdir(self, request: Request) -> Answer:
        node = self._there(self._tree.node(request.node), bytes(request.body[:-1]))
        if node.kind != stat.S_IFDIR:
            return errno.ENOTDIR
        self._remove_folder(node)
        return b""

    def _remove_folder(self, node: Node) -> None:
        inner, folder = self._tree.folder(node), self._tree.folder(parent_of(node))
        self._tree.ahead.drop(inner)
        away = draft_name()
        with inner.locked() as journal:
            if journal.live or any(child.draft is not None for child in node.children.values()):
                raise OSError(errno.ENOTEMPTY, "Directory not empty")
            folder.change(
                lambda outer: [(files.SET, node.siv, inner.id, files.ABSENT)],
                lambda: os.rename(node.stored, away, src_dir_fd=folder.fd, dst_dir_fd=folder.fd),
            )
        folder.forget_long(node.stored)
        self._tree.detach(node)
        self._tree.close_folder(node)
        clear_away(folder.fd, away)
        self._tree.release(node)

    # --- renaming ---------------------------------------------------------------------------------------

    def rename(self, request: Request) -> Answer:
        (target,) = protocol.NUMBER.unpack_from(request.body)
        return self._rename(request, target, 0, bytes(request.body[protocol.NUMBER.size : -1]))

    def rename2(self, request: Request) -> Answer:
        target, flags, _ = protocol.RENAME2_IN.unpack_from(request.body)
        return self._rename(request, target, flags, bytes(request.body[protocol.RENAME2_IN.size : -1]))

    def _rename(self, request: Request, target: int, flags: int, names: bytes) -> Answer:
        if flags & ~protocol.RENAME_NOREPLACE:
            return errno.EINVAL
        old_name, new_name = names.split(b"\0", 1)
        node, parent = self._there(self._tree.node(request.node), old_name), self._tree.node(target)
        other = self.found(parent, new_name)
        if other is node:
            return b""
        if other is not None:
            if flags & protocol.RENAME_NOREPLACE:
                return errno.EEXIST
            if (other.kind == stat.S_IFDIR) != (node.kind == stat.S_IFDIR):
                return errno.EISDIR if other.kind == stat.S_IFDIR else errno.ENOTDIR
            if other.kind == stat.S_IFDIR:
                self._remove_folder(other)
        self._saver.save(node)
        source, folder = self._tree.folder(parent_of(node)), self._tree.folder(parent)
        siv, stored = folder.name(new_name)
        folder.note_long(new_name, stored)
        if node.kind == stat.S_IFREG and is_backup(new_name) and not is_backup(old_name):
            self._saver.keep_before(source, node.siv, node.stored)
        self._move(node, source, folder, siv, stored, new_name)
        if other is not None and other.kind != stat.S_IFDIR:
            self._gone(other)
        source.forget_long(node.stored)
        self._tree.move(node, parent, new_name, siv, stored)
        return b""

    def _move(self, node: Node, source: Folder, folder: Folder, siv: bytes, stored: str, name: bytes) -> None:
        """The lines of both folders first, then the act."""
        draft: Draft | None = None
        place, tag = node.stored, source.tag(node.stored)
        source.check(node.siv, tag)
        if node.kind == stat.S_IFLNK:
            target = self.target(source, node.siv, node.stored)
            text, place = files.stored_text(folder.journal.folder.seal_text(target, siv)), draft_name()
            os.symlink(text, place, dir_fd=source.fd)
            tag = link_tag(text)
        elif node.kind == stat.S_IFREG and not is_in_place(name):
            draft = self._as_version(node, source)
            if draft is not None:
                place, tag = draft.stored, draft.new.tag
        keep = self._saver.versions_kept if node.kind == stat.S_IFREG else 0
        change = Replacing(folder, siv, stored, tag, place, keep=keep, source=source)
        given_up = (files.SET, node.siv, source.journal.live.get(node.siv, files.ABSENT), files.ABSENT)

        def act() -> None:
            change.act()
            if place != node.stored:
                os.unlink(node.stored, dir_fd=source.fd)

        if source is folder:
            moved = [] if is_backup(name) else [(files.MOVE, node.siv, files.ABSENT, siv)]  # a document's past stays with its name
            folder.change(lambda journal: [given_up, *change.lines(journal), *([] if change.replaces else moved)], act)
        else:
            first, second = sorted((source, folder), key=lambda one: one.id)
            with first.locked(), second.locked():
                folder.change(change.lines, lambda: source.change(lambda journal: [given_up], act))
        change.prune()
        if draft is not None:
            os.close(draft.fd)
            self._tree.drop_version(node)
        else:
            node.stamp = None  # rename(2) changes a file's times

    def _as_version(self, node: Node, source: Folder) -> Draft | None:
        """A file that was rewritten in place becomes a document when it gets a document's name."""
        version, _ = self._saver.current(node)
        if not version.head.flags & files.IN_PLACE:
            return None
        found = os.fstat(version.fd)
        draft = self._saver.draft(source, stat.S_IMODE(found.st_mode), version.head.file, version.head.version + 1)
        draft.copy(version)
        draft.finish(self._tree.keys)
        self._saver.owned(draft.fd, stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid))
        return draft

    # --- listing ----------------------------------------------------------------------------------------

    def opendir(self, request: Request) -> Answer:
        self._tree.folder(self._tree.node(request.node))
        number, self._next = self._next, self._next + 1
        return protocol.OPEN_OUT.pack(number, 0, 0)

    def releasedir(self, request: Request) -> Answer:
        self._listings.pop(protocol.RELEASE_IN.unpack_from(request.body)[0], None)
        return b""

    def fsyncdir(self, request: Request) -> Answer:
        folder = self._tree.folder(self._tree.node(request.node))
        os.fdatasync(folder.journal.fd)
        os.fsync(folder.fd)
        return b""

    def readdir(self, request: Request) -> Answer:
        return self._list(request, plus=False)

    def readdirplus(self, request: Request) -> Answer:
        return self._list(request, plus=True)

    def _list(self, request: Request, *, plus: bool) -> Answer:
        handle, offset, size, *_ = protocol.READ_IN.unpack_from(request.body)
        node = self._tree.node(request.node)
        if offset == 0 or handle not in self._listings:
            self._listings[handle] = list(self.listed(node))
        listing, out, length = self._listings[handle], [], 0
        for position in range(offset, len(listing)):
            name, siv, stored, kind = listing[position]
            need = (protocol.DIRENT.size + len(name) + 7) & ~7
            if length + need + (ENTRY_BYTES if plus else 0) > size:
                break
            line = protocol.DIRENT.pack(int.from_bytes(siv[:8], "big") or 1, position + 1, len(name), kind >> KIND_SHIFT) + name
            if plus:
                head = bytes(ENTRY_BYTES)  # nodeid 0: the kernel looks it up when it is asked for
                if stored:
                    with contextlib.suppress(FileNotFoundError):
                        head = self.entry(self._tree.child(node, name, siv, stored, kind))
                line = head + line
            line += bytes(-len(line) % 8)
            out.append(line)
            length += len(line)
        return b"".join(out)

    def listed(self, node: Node) -> Iterator[Listed]:
        """Every name of the folder, and an error at the end when the storage has lost some."""
        folder = self._tree.folder(node)
        yield b".", b"\0" * 16, "", stat.S_IFDIR
        yield b"..", b"\0" * 16, "", stat.S_IFDIR
        shown = set()
        for child in list(node.children.values()):
            if child.draft is not None and not child.gone:
                shown.add(child.siv)
                yield child.name, child.siv, child.stored, child.kind
        for name, siv, stored, kind in stored_names(folder):
            shown.add(siv)
            if node.children.get(name) is None or node.children[name].draft is None:
                yield name, siv, stored, kind
        missing = [siv for siv in folder.journal.live if siv not in shown and siv not in folder.journal.doubt]
        if missing:
            with folder.locked() as journal:  # nobody changes anything now: what is missing still is
                there = {siv for _, siv, _, _ in stored_names(folder)}
                gone = [siv for siv in missing if siv in journal.live and siv not in there and siv not in journal.doubt]
            if gone:
                log("files.refused", level="warning", reason=str(Refusal.MISSING_ROW), missing=len(gone))


def valid_seconds(node: Node) -> int:
    """Lock files are asked for every time."""
    if node.in_place is None:
        node.in_place = is_in_place(node.name)
    return 0 if node.in_place else SECONDS_VALID


def stored_names(folder: Folder, refused: list[tuple[str, Refusal]] | None = None) -> Iterator[Listed]:
    """What lies in a folder and belongs there; the rest is said (in `refused`, or in the log) and left out."""
    with os.scandir(folder.fd) as entries:
        found = [(entry.name, entry.stat(follow_symlinks=False).st_mode) for entry in entries if entry.name[0] in "=~"]
    journal = folder.refresh()
    for stored, mode in found:
        if stored.endswith(LONG_SUFFIX) and stored.startswith(files.LONG_NAME):
            continue
        try:
            siv, name = folder.plain(stored)
            if siv not in journal.live and siv not in journal.doubt:
                raise Forged(Refusal.EXTRA_ROW)
        except (Forged, FileNotFoundError) as wrong:
            reason = wrong.refusal if isinstance(wrong, Forged) else Refusal.MISSING_ROW
            if refused is None:
                log("files.refused", level="warning", reason=str(reason), stored=stored)
            else:
                refused.append((stored, reason))
            continue
        yield name, siv, stored, stat.S_IFMT(mode)


def clear_away(dir_fd: int, name: str) -> None:
    """Remove a folder that has no name any more, with its journal and its kept versions."""
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(name, FOLDER_FLAGS, dir_fd=dir_fd)
        try:
            for entry in os.listdir(fd):
                try:
                    os.unlink(entry, dir_fd=fd)
                except IsADirectoryError:
                    clear_away(fd, entry)
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=dir_fd)


def own_by(fd: int, request: Request, mode: int) -> None:
    if os.geteuid() == 0 and (request.uid, request.gid) != (0, 0):
        os.fchown(fd, request.uid, request.gid)
    os.fchmod(fd, mode)


def _of_draft(node: Node, draft: Draft) -> bytes:
    now = draft.changed_ns
    mtime = node.times[1] if node.times is not None else now
    seconds, part = mtime // 10**9, mtime % 10**9
    return protocol.ATTR.pack(
        node.ino, draft.size, (draft.size + 511) // 512, seconds, seconds, now // 10**9, part, part, now % 10**9,
        stat.S_IFREG | node.mode, 1, *node.owner, 0, 65536, 0,
    )  # fmt: skip
