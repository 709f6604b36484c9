"""System-call filters: of a program (everything but what opens ways out), and of the keeper (files, and nothing else).

A program is nobody we know, so its filter names what is refused: new namespaces and mounts, other kinds of sockets than local and
IP ones (AF_VSOCK reaches the host past every network namespace), tracing, keys, loading of code into the kernel.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from cloister.server import seccomp
from cloister.server.seccomp import ALLOW, AUDIT_ARCH_X86_64, KILL_PROCESS, Instruction, failing

NEW_NAMESPACES: Final = 0x7E020000  # every CLONE_NEW* of clone(2)
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
REFUSED_TO_PROGRAMS: Final = {
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161,
    "move_mount": 429, "open_tree": 428, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442,
    "unshare": 272, "setns": 308, "init_module": 175, "finit_module": 313, "delete_module": 176, "kexec_load": 246,
    "kexec_file_load": 320, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "keyctl": 250, "add_key": 248,
    "request_key": 249, "swapon": 167, "swapoff": 168,
    "reboot": 169, "settimeofday": 164, "clock_settime": 227, "clock_adjtime": 305, "adjtimex": 159, "acct": 163, "syslog": 103,
    "quotactl": 179, "open_by_handle_at": 304, "name_to_handle_at": 303, "iopl": 172, "ioperm": 173, "pidfd_getfd": 438,
    "lookup_dcookie": 212,
    "vhangup": 153, "fanotify_init": 300, "sethostname": 170, "setdomainname": 171, "kcmp": 312, "process_madvise": 440,
}  # fmt: skip
CALLS_OF_FILES: Final = {
    "openat": 257, "unlinkat": 263, "renameat": 264, "renameat2": 316, "mkdirat": 258, "linkat": 265, "symlinkat": 266, "readlinkat": 267,
    "fchmod": 91, "fchmodat": 268, "fchmodat2": 452, "fchown": 93, "fchownat": 260, "utimensat": 280, "fsync": 74, "fdatasync": 75,
    "ftruncate": 77, "fallocate": 285, "pread64": 17, "pwrite64": 18, "preadv": 295, "pwritev": 296, "preadv2": 327, "pwritev2": 328,
    "getdents64": 217, "fstatfs": 138, "statfs": 137, "flock": 73, "copy_file_range": 326, "sendfile": 40, "newfstatat": 262, "statx": 332,
    "umask": 95, "rmdir": 84, "fadvise64": 221, "faccessat": 269, "faccessat2": 439, "open": 2, "stat": 4, "lstat": 6, "access": 21,
    "readlink": 89, "getcwd": 79, "wait4": 61,
}  # fmt: skip
F_GETLK, F_SETLK, F_SETLKW, F_SETPIPE_SZ, F_OFD = 5, 6, 7, 1031, (36, 37, 38)


def _head() -> list[Instruction]:
    return [
        (seccomp.LOAD, 0, 0, seccomp.ARCH_AT),
        (seccomp.JUMP_EQUAL, 1, 0, AUDIT_ARCH_X86_64),
        (seccomp.RETURN, 0, 0, KILL_PROCESS),
        (seccomp.LOAD, 0, 0, seccomp.NUMBER_AT),
        (seccomp.JUMP_GREATER_EQUAL, 0, 1, seccomp.X32_BIT),
        (seccomp.RETURN, 0, 0, KILL_PROCESS),
    ]


def of_program() -> list[Instruction]:
    lines = _head()
    for number in REFUSED_TO_PROGRAMS.values():
        lines += seccomp.answer(number, failing(errno.EPERM))
    for number in seccomp.CALLS_UNKNOWN.values():  # clone3 hides its flags behind a pointer; io_uring goes past this filter
        lines += seccomp.answer(number, failing(errno.ENOSYS))
    lines += seccomp.if_bit(seccomp.CLONE, 0, NEW_NAMESPACES, failing(errno.EPERM), ALLOW)
    kinds = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
    lines += seccomp.only_values(seccomp.SOCKET, 0, kinds, failing(errno.EAFNOSUPPORT))
    lines += seccomp.only_values(seccomp.SOCKETPAIR, 0, (socket.AF_UNIX,), failing(errno.EAFNOSUPPORT))
    lines += seccomp.guarded(
        seccomp.IOCTL,
        [
            (seccomp.LOAD, 0, 0, seccomp.argument_at(1)),
            (seccomp.JUMP_EQUAL, 1, 0, TIOCSTI),
            (seccomp.JUMP_EQUAL, 0, 1, TIOCLINUX),
            (seccomp.RETURN, 0, 0, failing(errno.EPERM)),
            (seccomp.RETURN, 0, 0, ALLOW),
        ],
    )
    return [*lines, (seccomp.RETURN, 0, 0, ALLOW)]


def of_keeper(own_pid: int) -> list[Instruction]:
    """The session's own filter, with the calls of a file system; what Landlock leaves of them is the storage."""
    lines = _head()
    for number in CALLS_OF_FILES.values():
        lines += seccomp.answer(number, ALLOW)
    lines += seccomp.only_values(seccomp.FCNTL, 1, (*seccomp.FCNTL_ALLOWED, F_GETLK, F_SETLK, F_SETLKW, *F_OFD), failing(errno.EPERM))
    return [*lines, *seccomp.program(own_pid)[len(_head()) :]]


def filter_program() -> list[str]:
    return seccomp.install(of_program())


def filter_keeper() -> list[str]:
    return seccomp.install(of_keeper(os.getpid()))
