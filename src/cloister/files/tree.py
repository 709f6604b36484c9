"""What the kernel knows of a mounted zone: nodes by number, each with its place, its open folder, version or draft."""

from __future__ import annotations

import contextlib
import os
import resource
import stat
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from cloister.base.errors import NotFound
from cloister.files.ahead import Ahead
from cloister.files.content import Draft, InPlace, Version
from cloister.files.folder import FOLDER_FLAGS, Folder
from cloister.files.protocol import ROOT
from cloister.zones import Forged, Refusal, files

VERSIONS_OPEN_MAX: Final = 2048  # read again without being opened again: the documents of a busy folder, a descriptor each
FOLDERS_OPEN_MAX: Final = 512  # two descriptors each
Stamp = tuple[int, int, int, int]


class Node:
    """One name that the kernel holds."""

    __slots__ = (
        "base", "children", "dirty", "draft", "folder", "gone", "handles", "in_place", "kind", "lookups", "mode", "name", "number", "owner",
        "parent", "seen", "siv", "stamp", "stored", "times", "version",
    )  # fmt: skip

    def __init__(self, number: int, parent: Node | None, name: bytes, siv: bytes, stored: str, kind: int) -> None:
        self.number = number
        self.parent = parent
        self.name = name
        self.siv = siv  # stands for the name in the folder's journal
        self.stored = stored
        self.kind = kind  # stat.S_IFMT
        self.lookups = 0
        self.handles = 0
        self.children: dict[bytes, Node] = {}
        self.folder: Folder | None = None
        self.seen = 0  # lines of the folder's journal when it was last open
        self.version: Version | InPlace | None = None
        self.stamp: Stamp | None = None  # of the stored file that `version` is
        self.draft: Draft | None = None
        self.dirty = False
        self.base = files.ABSENT  # tag of the version that the present writing began with, or has itself saved
        self.mode = 0
        self.owner = (0, 0)
        self.times: tuple[int, int] | None = None
        self.in_place: bool | None = None  # whether the name is one of a lock or temporary file
        self.gone = False  # removed, and still open

    @property
    def ino(self) -> int:
        return int.from_bytes(self.siv[:8], "big") or ROOT


class Tree:
    """All nodes, and the bound on what is open at once."""

    def __init__(self, keys: files.FileKeys, root_fd: int) -> None:
        self.keys: Final = keys
        self.root: Final = Node(ROOT, None, b"", b"", "", stat.S_IFDIR)
        self.root.lookups = 1
        self.root.folder = Folder(keys, root_fd)
        self._nodes: dict[int, Node] = {ROOT: self.root}
        self._next = ROOT + 1
        self._versions: OrderedDict[Node, None] = OrderedDict()
        self._folders: OrderedDict[Node, None] = OrderedDict()
        self._versions_max = min(VERSIONS_OPEN_MAX, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
        self.ahead: Final = Ahead()

    def node(self, number: int) -> Node:
        try:
            return self._nodes[number]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory") from None

    def child(self, parent: Node, name: bytes, siv: bytes, stored: str, kind: int) -> Node:
        """The node of a name, known or new."""
        node = parent.children.get(name)
        if node is not None and node.kind == kind:
            return node
        if node is not None:
            node.gone = True
        node = Node(self._next, parent, name, siv, stored, kind)
        self._next += 1
        self._nodes[node.number] = node
        parent.children[name] = node
        return node

    def folder(self, node: Node) -> Folder:
        """The folder of a node, opened again if need be; Forged when it is not the one that its parent knows."""
        folder = node.folder
        if folder is not None:
            return folder
        if node.kind != stat.S_IFDIR or node.parent is None:
            raise NotADirectoryError(20, "Not a directory")
        outer = self.folder(node.parent)
        folder = Folder(self.keys, os.open(node.stored, FOLDER_FLAGS, dir_fd=outer.fd), seen=node.seen)
        try:
            outer.check(node.siv, folder.id)
        except Forged:
            folder.close()
            raise
        node.folder = folder
        self._folders[node] = None
        if len(self._folders) > FOLDERS_OPEN_MAX:
            for old in self._folders:
                if old is not node:
                    self.close_folder(old)
                    break
        return folder

    def close_folder(self, node: Node) -> None:
        if node.folder is not None and node is not self.root:
            self.ahead.drop(node.folder)
            self._rest(node.folder)
            node.seen = node.folder.journal.count
            node.folder.close()
            node.folder = None
        self._folders.pop(node, None)

    def _rest(self, folder: Folder) -> None:
        if folder.journal.loose and self.keys.writes:
            with contextlib.suppress(OSError):  # of a folder that was removed, or a full disk: then the doubt stays
                folder.rest()

    def rest(self) -> None:
        self.ahead.drop_all()
        for node in [self.root, *self._folders]:
            if node.folder is not None:
                self._rest(node.folder)

    # --- open versions ----------------------------------------------------------------------------------

    def keep_version(self, node: Node, version: Version | InPlace, stamp: Stamp) -> None:
        if node.version is not None:
            node.version.close()
        node.version, node.stamp = version, stamp
        self._versions[node] = None
        if len(self._versions) > self._versions_max:
            for old in list(self._versions)[: self._versions_max // 4]:
                if not old.handles:
                    self.drop_version(old)

    def drop_version(self, node: Node) -> None:
        self._versions.pop(node, None)
        if node.version is not None:
            node.version.close()
            node.version, node.stamp = None, None

    # --- forgetting -------------------------------------------------------------------------------------

    def forget(self, number: int, lookups: int) -> None:
        node = self._nodes.get(number)
        if node is None or node is self.root:
            return
        node.lookups -= lookups
        self.release(node)

    def release(self, node: Node) -> None:
        """Let go of a node that neither the kernel nor a handle holds."""
        if node.lookups > 0 or node.handles or node.children or node.draft is not None or node is self.root:
            return
        self._nodes.pop(node.number, None)
        self.drop_version(node)
        self.close_folder(node)
        parent = node.parent
        if parent is not None and parent.children.get(node.name) is node:
            del parent.children[node.name]
            self.release(parent)

    def detach(self, node: Node) -> None:
        """The name is no longer this node's."""
        node.gone = True
        if node.parent is not None and node.parent.children.get(node.name) is node:
            del node.parent.children[node.name]

    def move(self, node: Node, parent: Node, name: bytes, siv: bytes, stored: str) -> None:
        if node.parent is not None and node.parent.children.get(node.name) is node:
            del node.parent.children[node.name]
        node.parent, node.name, node.siv, node.stored, node.in_place = parent, name, siv, stored, None
        parent.children[name] = node

    def drafts(self) -> Iterator[Node]:
        return (node for node in list(self._nodes.values()) if node.draft is not None)

    def heads(self) -> dict[bytes, int]:
        """Folder id -> lines seen, of the folders that are open."""
        open_now = [self.root, *self._folders]
        return {node.folder.id: node.folder.journal.count for node in open_now if node.folder is not None}


def parent_of(node: Node) -> Node:
    if node.parent is None:
        raise NotFound("The root of a zone has no name.", reason="root")
    return node.parent


def stamp_of(found: os.stat_result) -> Stamp:
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def is_document(found: os.stat_result) -> bool:
    if stat.S_ISREG(found.st_mode) and found.st_size < files.HEADER_BYTES:
        raise Forged(Refusal.TAG)
    return stat.S_ISREG(found.st_mode)
