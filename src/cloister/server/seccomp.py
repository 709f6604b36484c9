"""The system-call filter of a session, assembled here as classic BPF (seccomp(2), x86-64 only).

An allow-list. What an honest session may try answers an errno; what only an intruder tries kills the process.
io_uring_setup and clone3 answer ENOSYS, because uvloop and glibc ask for them and then do without.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
from collections.abc import Sequence
from typing import Final

from cloister.base.process import system_call

SECCOMP: Final = 317
SET_MODE_FILTER: Final = 1
FLAG_TSYNC: Final = 1
AUDIT_ARCH_X86_64: Final = 0xC000003E
X32_BIT: Final = 0x40000000

ALLOW: Final = 0x7FFF0000
KILL_PROCESS: Final = 0x80000000
ERRNO: Final = 0x00050000

LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
JUMP_EQUAL: Final = 0x15
JUMP_GREATER_EQUAL: Final = 0x35
JUMP_ANY_BIT: Final = 0x45
RETURN: Final = 0x06

NUMBER_AT: Final = 0  # offsets in struct seccomp_data
ARCH_AT: Final = 4


def argument_at(index: int) -> int:
    """The lower half of an argument; every one checked below is an int or holds flags below 2**32."""
    return 16 + 8 * index


CALLS_ALLOWED: Final = {
    "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "munmap": 11, "brk": 12, "rt_sigaction": 13,
    "rt_sigprocmask": 14, "rt_sigreturn": 15, "readv": 19, "writev": 20, "select": 23, "sched_yield": 24, "mremap": 25,
    "madvise": 28, "dup": 32, "nanosleep": 35, "getpid": 39, "connect": 42, "accept": 43, "sendto": 44, "recvfrom": 45,
    "sendmsg": 46, "recvmsg": 47, "shutdown": 48, "listen": 50, "getsockname": 51, "getpeername": 52, "setsockopt": 54, "getsockopt": 55,
    "exit": 60, "uname": 63, "gettimeofday": 96, "getrlimit": 97, "getrusage": 98, "times": 100, "getuid": 102, "getgid": 104,
    "geteuid": 107, "getegid": 108, "getppid": 110, "sigaltstack": 131, "gettid": 186, "futex": 202, "sched_getaffinity": 204,
    "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231,
    "epoll_wait": 232, "epoll_ctl": 233, "pselect6": 270, "ppoll": 271, "set_robust_list": 273, "epoll_pwait": 281,
    "accept4": 288, "eventfd2": 290, "epoll_create1": 291, "pipe2": 293, "getrandom": 318, "membarrier": 324, "rseq": 334,
    "epoll_pwait2": 441,
}  # fmt: skip
# Honest code may ask and must hear no.
CALLS_WITHOUT_FILES: Final = {
    "open": 2, "stat": 4, "lstat": 6, "access": 21, "getcwd": 79, "readlink": 89, "openat": 257, "readlinkat": 267,
    "faccessat": 269, "faccessat2": 439, "openat2": 437,
}  # fmt: skip
CALLS_UNKNOWN: Final = {"clone3": 435, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427}
CALLS_OF_INTRUDERS: Final = {
    "execve": 59, "execveat": 322, "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "init_module": 175,
    "finit_module": 313, "kexec_load": 246, "kexec_file_load": 320, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
    "mount": 165, "move_mount": 429, "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308, "keyctl": 250,
    "pidfd_getfd": 438,
}  # fmt: skip

MMAP, MPROTECT, IOCTL, SOCKET, SOCKETPAIR, CLONE, FCNTL, PRCTL = 9, 10, 16, 41, 53, 56, 72, 157
TGKILL, NEWFSTATAT, STATX, PRLIMIT64 = 234, 262, 332, 302
PROT_EXEC: Final = 4
CLONE_THREAD: Final = 0x10000
AT_EMPTY_PATH: Final = 0x1000
FIONREAD, FIONBIO, FIONCLEX, FIOCLEX = 0x541B, 0x5421, 0x5450, 0x5451
PR_SET_NAME, PR_SET_VMA = 15, 0x53564D41
FCNTL_ALLOWED: Final = (0, 1, 2, 3, 4, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC

Instruction = tuple[int, int, int, int]


def failing(number: int) -> int:
    return ERRNO | number


def answer(number: int, verdict: int) -> list[Instruction]:
    return [(JUMP_EQUAL, 0, 1, number), (RETURN, 0, 0, verdict)]


def only_values(number: int, argument: int, values: Sequence[int], otherwise: int) -> list[Instruction]:
    checks: list[Instruction] = []
    for position, value in enumerate(values):
        checks.append((JUMP_EQUAL, len(values) - position, 0, value))
    return guarded(number, [(LOAD, 0, 0, argument_at(argument)), *checks, (RETURN, 0, 0, otherwise), (RETURN, 0, 0, ALLOW)])


def if_bit(number: int, argument: int, bit: int, then: int, otherwise: int) -> list[Instruction]:
    return guarded(
        number,
        [(LOAD, 0, 0, argument_at(argument)), (JUMP_ANY_BIT, 0, 1, bit), (RETURN, 0, 0, then), (RETURN, 0, 0, otherwise)],
    )


def guarded(number: int, block: list[Instruction]) -> list[Instruction]:
    """The block for this call alone; it ends in a return on every path, so the loaded number is never lost."""
    return [(JUMP_EQUAL, 0, len(block), number), *block]


def program(own_pid: int) -> list[Instruction]:
    """The whole filter, for the process with this pid (which alone it may signal)."""
    refused, no_file = failing(errno.EPERM), failing(errno.EACCES)
    lines: list[Instruction] = [
        (LOAD, 0, 0, ARCH_AT),
        (JUMP_EQUAL, 1, 0, AUDIT_ARCH_X86_64),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, NUMBER_AT),
        (JUMP_GREATER_EQUAL, 0, 1, X32_BIT),
        (RETURN, 0, 0, KILL_PROCESS),
    ]
    for number in CALLS_ALLOWED.values():
        lines += answer(number, ALLOW)
    for number in CALLS_OF_INTRUDERS.values():
        lines += answer(number, KILL_PROCESS)
    for number in CALLS_UNKNOWN.values():
        lines += answer(number, failing(errno.ENOSYS))
    for number in CALLS_WITHOUT_FILES.values():
        lines += answer(number, no_file)
    lines += if_bit(MMAP, 2, PROT_EXEC, refused, ALLOW)
    lines += if_bit(MPROTECT, 2, PROT_EXEC, refused, ALLOW)
    lines += if_bit(CLONE, 0, CLONE_THREAD, ALLOW, refused)
    lines += if_bit(NEWFSTATAT, 3, AT_EMPTY_PATH, ALLOW, no_file)  # glibc's fstat(3)
    lines += if_bit(STATX, 2, AT_EMPTY_PATH, ALLOW, no_file)
    lines += only_values(SOCKET, 0, (socket.AF_UNIX,), failing(errno.EAFNOSUPPORT))
    lines += only_values(SOCKETPAIR, 0, (socket.AF_UNIX,), failing(errno.EAFNOSUPPORT))
    lines += only_values(IOCTL, 1, (FIONREAD, FIONBIO, FIONCLEX, FIOCLEX), failing(errno.ENOTTY))
    lines += only_values(FCNTL, 1, FCNTL_ALLOWED, refused)
    lines += only_values(PRCTL, 0, (PR_SET_NAME, PR_SET_VMA), refused)
    lines += only_values(PRLIMIT64, 2, (0,), refused)  # reading limits, not setting them
    lines += only_values(TGKILL, 0, (own_pid,), refused)
    return [*lines, (RETURN, 0, 0, refused)]


def install(lines: Sequence[Instruction] | None = None) -> list[str]:
    """Filter this process for good, as a session unless said otherwise; returns what is missing and why. Needs no_new_privs."""
    machine = platform.machine()
    if machine != "x86_64":
        return [f"system-call filter: written for x86_64, this machine is {machine}"]
    lines = program(os.getpid()) if lines is None else lines
    code = b"".join(struct.pack("=HBBI", *line) for line in lines)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("@HxxxxxxP", len(lines), ctypes.addressof(buffer)))
    try:
        system_call(SECCOMP, SET_MODE_FILTER, FLAG_TSYNC, ctypes.cast(header, ctypes.c_void_p))
    except OSError as refused:
        return [f"system-call filter: the kernel refused it ({errno.errorcode.get(refused.errno or 0, '?')})"]
    return []
