"""The kernel's side of FUSE: numbers and structures of <linux/fuse.h>, protocol 7.31 and later.

Little is interpreted here; each structure is named after the kernel's, its fields in the kernel's order.
"""

from __future__ import annotations

import os
from struct import Struct
from typing import Final

MAJOR: Final = 7
MINOR: Final = 40  # what this side knows; 31 is the least that it works with
MINOR_MIN: Final = 31
ROOT: Final = 1
REQUEST_BYTES_MAX: Final = 1 << 20  # 256 pages
PAGES_MAX: Final = 256
BUFFER_BYTES: Final = REQUEST_BYTES_MAX + 4096  # fuse_in_header, fuse_write_in and the data

LOOKUP, FORGET, GETATTR, SETATTR, READLINK, SYMLINK = 1, 2, 3, 4, 5, 6
MKNOD, MKDIR, UNLINK, RMDIR, RENAME, LINK, OPEN, READ, WRITE, STATFS, RELEASE = 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18
FSYNC, SETXATTR, GETXATTR, LISTXATTR, REMOVEXATTR, FLUSH, INIT = 20, 21, 22, 23, 24, 25, 26
OPENDIR, READDIR, RELEASEDIR, FSYNCDIR = 27, 28, 29, 30
GETLK, SETLK, SETLKW, ACCESS, CREATE, INTERRUPT, BMAP, DESTROY, IOCTL, POLL = 31, 32, 33, 34, 35, 36, 37, 38, 39, 40
NOTIFY_REPLY, BATCH_FORGET, FALLOCATE, READDIRPLUS, RENAME2, LSEEK, COPY_FILE_RANGE = 41, 42, 43, 44, 45, 46, 47

IN_HEADER: Final = Struct("=IIQQIIIHH")  # len opcode unique nodeid uid gid pid total_extlen padding
OUT_HEADER: Final = Struct("=IiQ")  # len error unique
INIT_IN: Final = Struct("=IIII")  # major minor max_readahead flags
INIT_OUT: Final = Struct("=IIIIHHIIHHII24x")
ATTR: Final = Struct("=QQQQQQIIIIIIIIII")
ENTRY_OUT: Final = Struct("=QQQQII")  # nodeid generation entry_valid attr_valid and their nanoseconds; then ATTR
ATTR_OUT: Final = Struct("=QII")  # attr_valid, its nanoseconds, dummy; then ATTR
OPEN_IN: Final = Struct("=II")  # flags open_flags
OPEN_OUT: Final = Struct("=QIi")  # fh open_flags backing_id
CREATE_IN: Final = Struct("=IIII")  # flags mode umask open_flags
MKDIR_IN: Final = Struct("=II")  # mode umask
MKNOD_IN: Final = Struct("=IIII")  # mode rdev umask padding
READ_IN: Final = Struct("=QQIIQII")  # fh offset size read_flags lock_owner flags padding
WRITE_IN: Final = Struct("=QQIIQII")
WRITE_OUT: Final = Struct("=II")  # size padding
RELEASE_IN: Final = Struct("=QIIQ")  # fh flags release_flags lock_owner
FLUSH_IN: Final = Struct("=QIIQ")  # fh unused padding lock_owner
FSYNC_IN: Final = Struct("=QII")  # fh fsync_flags padding
SETATTR_IN: Final = Struct("=IIQQQQQQIIIIIIII")
GETATTR_IN: Final = Struct("=IIQ")  # getattr_flags dummy fh
LK_IN: Final = Struct("=QQQQIIII")  # fh owner start end type pid lk_flags padding
LK_OUT: Final = Struct("=QQII")  # start end type pid
RENAME2_IN: Final = Struct("=QII")  # newdir flags padding
DIRENT: Final = Struct("=QQII")  # ino off namelen type
STATFS_OUT: Final = Struct("=QQQQQIIII24x")
FORGET_ONE: Final = Struct("=QQ")  # nodeid nlookup
NUMBER: Final = Struct("=Q")
COUNT: Final = Struct("=II")

# fuse_init flags that this side wants where the kernel has them
ASYNC_READ, POSIX_LOCKS, ATOMIC_O_TRUNC, BIG_WRITES, DONT_MASK, FLOCK_LOCKS = 1 << 0, 1 << 1, 1 << 3, 1 << 5, 1 << 6, 1 << 10
AUTO_INVAL_DATA, DO_READDIRPLUS, READDIRPLUS_AUTO, ASYNC_DIO, PARALLEL_DIROPS = 1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 18
HANDLE_KILLPRIV, MAX_PAGES, CACHE_SYMLINKS = 1 << 19, 1 << 22, 1 << 23
WANTED: Final = (
    ASYNC_READ | POSIX_LOCKS | ATOMIC_O_TRUNC | BIG_WRITES | DONT_MASK | FLOCK_LOCKS | DO_READDIRPLUS | READDIRPLUS_AUTO
    | ASYNC_DIO | PARALLEL_DIROPS | HANDLE_KILLPRIV | MAX_PAGES
)  # fmt: skip

FOPEN_DIRECT_IO, FOPEN_KEEP_CACHE, FOPEN_NOFLUSH = 1 << 0, 1 << 1, 1 << 5
LK_FLOCK: Final = 1 << 0
RENAME_NOREPLACE: Final = 1
FATTR_MODE, FATTR_UID, FATTR_GID, FATTR_SIZE, FATTR_ATIME, FATTR_MTIME, FATTR_FH = 1, 2, 4, 8, 16, 32, 64
FATTR_ATIME_NOW, FATTR_MTIME_NOW = 128, 256

HEAD: Final = IN_HEADER.size
OUT: Final = OUT_HEADER.size


OWNER: Final = Struct("=II")
OWNER_AT: Final = 68  # in fuse_attr: uid, gid


def attributes(ino: int, found: os.stat_result, size: int, *, mtime_ns: int | None = None, mode: int | None = None) -> bytes:
    """fuse_attr of what the storage tells, with the size that people see."""
    atime, mtime, ctime = found.st_atime_ns, found.st_mtime_ns if mtime_ns is None else mtime_ns, found.st_ctime_ns
    return ATTR.pack(
        ino, size, (size + 511) // 512, atime // 10**9, mtime // 10**9, ctime // 10**9, atime % 10**9, mtime % 10**9, ctime % 10**9,
        found.st_mode if mode is None else mode, found.st_nlink, found.st_uid, found.st_gid, 0, 65536, 0,
    )  # fmt: skip
