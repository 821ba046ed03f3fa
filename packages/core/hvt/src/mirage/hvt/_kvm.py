"""`/dev/kvm` through its ioctls: one virtual machine with one virtual processor.

The numbers and structures are those of Linux's `include/uapi/linux/kvm.h` and `arch/x86/include/uapi/asm/kvm.h`.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct

from mirage.hvt.errors import HostError

_CREATE_VM, _VCPU_MMAP_SIZE, _GET_SUPPORTED_CPUID = 0xAE01, 0xAE04, 0xC008AE05
_CREATE_VCPU, _SET_USER_MEMORY_REGION = 0xAE41, 0x4020AE46
_RUN, _GET_REGS, _SET_REGS, _GET_SREGS, _SET_SREGS = 0xAE80, 0x8090AE81, 0x4090AE82, 0x8138AE83, 0x4138AE84
_GET_MSRS, _SET_MSRS, _SET_SIGNAL_MASK, _SET_CPUID2 = 0xC008AE88, 0x4008AE89, 0x4004AE8B, 0x4008AE90
_GET_TSC_KHZ, _GET_XSAVE, _SET_XSAVE, _GET_XCRS, _SET_XCRS = 0xAEA3, 0x9000AEA4, 0x5000AEA5, 0x8188AEA6, 0x4188AEA7
_XSAVE_SIZE, _XCRS_SIZE = 4096, 392

RUNNING_REQUESTS = (
    *(_RUN, _GET_REGS, _SET_REGS, _GET_SREGS, _GET_MSRS, _SET_SIGNAL_MASK, _GET_TSC_KHZ, _GET_XSAVE, _GET_XCRS),
)
"""What a machine that is set up still asks of the kernel: to run, to be looked at, to be saved."""

EXIT_IO, EXIT_SHUTDOWN, EXIT_FAIL_ENTRY, EXIT_INTERNAL_ERROR = 2, 8, 9, 17

REGISTERS = (
    *("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp"),
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip", "rflags"),
)
_REGS = struct.Struct("<18Q")
_SREGS_SIZE = 312
_MSR = struct.Struct("<IIIIQ")
MSR_TSC, MSR_STAR, MSR_LSTAR, MSR_SFMASK = 0x10, 0xC0000081, 0xC0000082, 0xC0000084

STATE_SIZE = _REGS.size + _SREGS_SIZE + _XCRS_SIZE + _XSAVE_SIZE
"""Octets of `Machine.save`."""

CR0 = 0x80050033
"""Protected mode, paging, write protection, native floating-point errors."""
CR4 = 0x50620
"""PAE, SSE and its exceptions, FSGSBASE, XSAVE."""
EFER = 0xD01
"""System calls, long mode, no-execute."""


def address_of(memory: mmap.mmap | bytearray) -> int:
    """Where writable octets lie in this process."""
    # `ctypes` takes longer to import than a guest to boot; its C half is all that is needed.
    import _ctypes

    class Octet(_ctypes._SimpleCData):  # type: ignore[type-arg]
        _type_ = "c"

    address: int = _ctypes.addressof(Octet.from_buffer(memory))
    return address


def _open() -> int:
    try:
        return os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        advice = "load its module (modprobe kvm_intel, or kvm_amd) and enable virtualisation in the firmware"
        raise HostError(f"this machine has no /dev/kvm: {advice}; the unix target runs without it") from None
    except PermissionError:
        raise HostError("you may not open /dev/kvm: usermod -aG kvm $USER, then log in again") from None


class Machine:
    """A virtual machine. Its memory regions are mappings that the caller keeps alive."""

    def __init__(self) -> None:
        if os.uname().machine != "x86_64":
            raise HostError(f"a guest needs an x86-64 processor, and this is {os.uname().machine}; use the unix target")
        self._kvm = _open()
        self._descriptors = [self._kvm]
        self.run: mmap.mmap | None = None
        try:
            self._vm = fcntl.ioctl(self._kvm, _CREATE_VM, 0)
            self._descriptors.append(self._vm)
            self.vcpu = fcntl.ioctl(self._vm, _CREATE_VCPU, 0)
            self._descriptors.append(self.vcpu)
            self.run = mmap.mmap(self.vcpu, fcntl.ioctl(self._kvm, _VCPU_MMAP_SIZE, 0))
            self._offer_features()
        except OSError as error:
            self.close()
            raise HostError(f"/dev/kvm refused a virtual machine: {error.strerror}") from error
        self._regions: list[tuple[int, int, int]] = []

    def close(self) -> None:
        """End the machine; may be called again."""
        if self.run is not None:
            self.run.close()
            self.run = None
        while self._descriptors:
            os.close(self._descriptors.pop())

    def add_memory(self, guest: int, memory: mmap.mmap) -> None:
        """Make a mapping the guest's physical memory at an address."""
        region = guest, len(memory), address_of(memory)
        self._set_region(len(self._regions), *region)
        self._regions.append(region)

    def _set_region(self, slot: int, guest: int, size: int, address: int) -> None:
        fcntl.ioctl(self._vm, _SET_USER_MEMORY_REGION, struct.pack("<IIQQQ", slot, 0, guest, size, address))

    def forget_translations(self) -> None:
        """Have KVM drop all that it knows of the guest's page tables, which were changed behind its back."""
        for slot, (guest, size, address) in enumerate(self._regions):
            self._set_region(slot, guest, 0, address)
            self._set_region(slot, guest, size, address)

    def _offer_features(self) -> None:
        """Give the guest every processor feature that KVM can; ordinary KVM checks CR4 and XCR0 against these."""
        features = bytearray(8 + 40 * 256)
        struct.pack_into("<I", features, 0, 256)
        fcntl.ioctl(self._kvm, _GET_SUPPORTED_CPUID, features)
        fcntl.ioctl(self.vcpu, _SET_CPUID2, features)
        leaves: dict[tuple[int, int], tuple[int, ...]] = {}
        for i in range(struct.unpack_from("<I", features)[0]):
            function, index, flags, *registers = struct.unpack_from("<7I", features, 8 + 40 * i)
            leaves[function, index if flags & 1 else 0] = tuple(registers)
        # kvm_pvm lists no XSAVE, and has it: there XCR0 is the host's.
        has_xsave = leaves.get((1, 0), (0, 0, 0, 0))[2] >> 26 & 1
        self._xcr0 = leaves.get((13, 0), (0, 0, 0, 0))[0] & 0xE7 if has_xsave else 0
        words = [*leaves.get((1, 0), (0,) * 4)[2:], *leaves.get((7, 0), (0,) * 4)[1:], self._xcr0]
        self.features = struct.pack("<6I", *words)
        """What software picks its code by: a snapshot goes on only where these are the same."""

    def enter_long_mode(self, pml4: int, gdt: tuple[int, int], idt: tuple[int, int], task: tuple[int, int]) -> None:
        """64-bit mode in ring 3, with flat segments. The pairs are address and limit."""
        state = bytearray(_SREGS_SIZE)
        fcntl.ioctl(self.vcpu, _GET_SREGS, state)

        def segment(at: int, base: int, limit: int, selector: int, *attributes: int) -> None:
            struct.pack_into("<QIH10B", state, at, base, limit, selector, *attributes, 0, 0, 0)

        # type, present, privilege, 32-bit, code or data, 64-bit, pages
        segment(0, 0, 0xFFFFFFFF, 0x33, 11, 1, 3, 0, 1, 1, 1)
        for i in range(1, 6):
            segment(24 * i, 0, 0xFFFFFFFF, 0x2B, 3, 1, 3, 1, 1, 0, 1)
        segment(24 * 6, task[0], task[1], 0x40, 11, 1, 0, 0, 0, 0, 0)
        struct.pack_into("<QHHHH", state, 192, *gdt, 0, 0, 0)
        struct.pack_into("<QHHHH", state, 208, *idt, 0, 0, 0)
        struct.pack_into("<6Q", state, 224, CR0, 0, pml4, CR4, 0, EFER)
        try:
            fcntl.ioctl(self.vcpu, _SET_SREGS, bytes(state))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise HostError("this processor, as KVM shows it, lacks FSGSBASE or XSAVE; the guest needs both") from error
        if self._xcr0:
            fcntl.ioctl(self.vcpu, _SET_XCRS, struct.pack("<4IQ", 1, 0, 0, 0, self._xcr0) + bytes(368))

    def set_msr(self, index: int, value: int) -> None:
        """Write a model-specific register."""
        fcntl.ioctl(self.vcpu, _SET_MSRS, _MSR.pack(1, 0, index, 0, value))

    def tsc(self) -> int:
        """The guest's time-stamp counter now."""
        buffer = bytearray(_MSR.pack(1, 0, MSR_TSC, 0, 0))
        fcntl.ioctl(self.vcpu, _GET_MSRS, buffer)
        value: int = _MSR.unpack(buffer)[4]
        return value

    def tsc_khz(self) -> int:
        """How fast the time-stamp counter runs."""
        return fcntl.ioctl(self.vcpu, _GET_TSC_KHZ, 0)

    def let_through(self, signals: int) -> None:
        """Block all signals but these (bit n - 1 is signal n) while the guest runs: they end `KVM_RUN`."""
        mask = ~signals & (1 << 64) - 1
        # struct kvm_signal_mask: the kernel reads what follows the length, so ioctl's copy must hold both.
        fcntl.ioctl(self.vcpu, _SET_SIGNAL_MASK, struct.pack("<IQ", 8, mask))

    def registers(self) -> dict[str, int]:
        """The general registers."""
        buffer = bytearray(_REGS.size)
        fcntl.ioctl(self.vcpu, _GET_REGS, buffer)
        return dict(zip(REGISTERS, _REGS.unpack(buffer), strict=True))

    def fs_base(self) -> int:
        """The base of the FS segment, by which the C library knows a thread."""
        state = bytearray(_SREGS_SIZE)
        fcntl.ioctl(self.vcpu, _GET_SREGS, state)
        base: int = struct.unpack_from("<Q", state, 3 * 24)[0]
        return base

    def set_registers(self, values: dict[str, int]) -> None:
        """Set all general registers; those not named become 0."""
        fcntl.ioctl(self.vcpu, _SET_REGS, _REGS.pack(*(values.get(name, 0) for name in REGISTERS)))

    def save(self) -> bytes:
        """The processor's state, after `finish_io`: general, special and extended registers."""
        parts = []
        for request, size in (
            (_GET_REGS, _REGS.size),
            (_GET_SREGS, _SREGS_SIZE),
            (_GET_XCRS, _XCRS_SIZE),
            (_GET_XSAVE, _XSAVE_SIZE),
        ):
            buffer = bytearray(size)
            fcntl.ioctl(self.vcpu, request, buffer)
            parts.append(bytes(buffer))
        return b"".join(parts)

    def restore(self, state: bytes) -> None:
        """Set what `save` gave."""
        at = 0
        for request, size in (
            (_SET_REGS, _REGS.size),
            (_SET_SREGS, _SREGS_SIZE),
            (_SET_XCRS, _XCRS_SIZE),
            (_SET_XSAVE, _XSAVE_SIZE),
        ):
            fcntl.ioctl(self.vcpu, request, bytearray(state[at : at + size]))
            at += size

    def enter(self) -> int | None:
        """Run the guest until it leaves: the reason, or None when a signal ended the run."""
        try:
            fcntl.ioctl(self.vcpu, _RUN, 0)
        except InterruptedError:
            return None
        assert self.run is not None
        reason: int = struct.unpack_from("<I", self.run, 8)[0]
        return reason

    def finish_io(self) -> None:
        """Complete a port access whose exit has been served, so that the registers are those after it."""
        assert self.run is not None
        self.run[1] = 1  # immediate_exit
        self.enter()
        self.run[1] = 0

    def port(self) -> int:
        """The port of the access that ended the run."""
        assert self.run is not None
        value: int = struct.unpack_from("<H", self.run, 34)[0]
        return value
