"""Gives up what a tender that runs a guest does not need: privileges, and all system calls but a few.

The filter is a program of the kernel's classic BPF (`include/uapi/linux/filter.h`, `seccomp.h`) over
`struct seccomp_data`. Whatever it does not allow fails with EPERM, so that Python can say what failed. Memory may be
mapped, but never executable; of the ioctls only those of a virtual processor that runs are left, and the TAP's offload.
"""

from __future__ import annotations

import os
import struct

from mirage.hvt._kvm import RUNNING_REQUESTS
from mirage.hvt.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2
_NOBODY = 65534
_TUNSETOFFLOAD = 0x400454D0

_X86_64 = 0xC000003E
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050001, 0x80000000  # the second is ERRNO with EPERM
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_PROT_EXEC = 4
_INSTRUCTION = struct.Struct("<HBBI")

_MMAP, _MPROTECT, _IOCTL = 9, 10, 16
CALLS = {
    "read": 0,
    "write": 1,
    "close": 3,
    "fstat": 5,
    "lseek": 8,
    "munmap": 11,
    "brk": 12,
    "rt_sigaction": 13,
    "rt_sigprocmask": 14,
    "rt_sigreturn": 15,
    "pread64": 17,
    "pwrite64": 18,
    "readv": 19,
    "writev": 20,
    "select": 23,
    "sched_yield": 24,
    "mremap": 25,
    "madvise": 28,
    "setitimer": 38,
    "getpid": 39,
    "exit": 60,
    "fsync": 74,
    "geteuid": 107,
    "fdatasync": 75,
    "ftruncate": 77,
    "rt_sigtimedwait": 128,
    "sigaltstack": 131,
    "gettid": 186,
    "futex": 202,
    "restart_syscall": 219,
    "clock_gettime": 228,
    "clock_nanosleep": 230,
    "exit_group": 231,
    "pselect6": 270,
    "preadv": 295,
    "pwritev": 296,
    "getrandom": 318,
    "preadv2": 327,
    "pwritev2": 328,
}
"""What is allowed whatever its arguments: numbers of `asm/unistd_64.h`."""


def filter_program(calls: Iterable[int], requests: Iterable[int]) -> list[tuple[int, int, int, int]]:
    """The instructions: code, how many to skip if true, if false, operand."""
    program = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, _X86_64), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER)]
    for call in sorted(calls):
        program += [(_EQUAL, 0, 1, call), (_RETURN, 0, 0, _ALLOW)]
    low_half_of_third = _ARGUMENTS + 16
    program += [
        *((_EQUAL, 1, 0, _MMAP), (_EQUAL, 0, 4, _MPROTECT)),
        *((_LOAD, 0, 0, low_half_of_third), (_ANY_BIT, 0, 1, _PROT_EXEC)),
        *((_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)),
    ]
    program += [(_EQUAL, 1, 0, _IOCTL), (_RETURN, 0, 0, _REFUSE), (_LOAD, 0, 0, _ARGUMENTS + 8)]
    for request in sorted(requests):
        program += [(_EQUAL, 0, 1, request), (_RETURN, 0, 0, _ALLOW)]
    return [*program, (_RETURN, 0, 0, _REFUSE)]


def enter() -> None:
    """Drop root, forbid new privileges, install the filter; for this process and for good. Raises `HostError`."""
    # `ctypes` takes longer to import than a guest to boot; its C half is all that is needed.
    import _ctypes

    prctl = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type] # None: this program itself
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    program = filter_program(CALLS.values(), {*RUNNING_REQUESTS, _TUNSETOFFLOAD})
    code = bytearray(b"".join(_INSTRUCTION.pack(*instruction) for instruction in program))

    class Octet(_ctypes._SimpleCData):  # type: ignore[type-arg]
        _type_ = "c"

    first = Octet.from_buffer(code)  # keeps the instructions where they are
    descriptor = struct.pack("<H6xQ", len(program), _ctypes.addressof(first))
    for words in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _MODE_FILTER, descriptor, 0, 0)):
        if _ctypes.call_function(prctl, words):
            raise HostError("the kernel takes no system-call filter (CONFIG_SECCOMP_FILTER); use --unconfined")
