"""Runs an image on /dev/kvm: maps it, starts the processor, serves hypercalls.

The guest is not trusted. A hypercall's arguments stand in the shared page; every address and length in them is checked
against the image and the memory (`GuestMemory.view`), and nothing the guest says is used as an address of this process.

Signals are blocked in this thread except while the guest runs or sleeps, so none is lost between a look and a wait: the
kernel swaps the mask as it enters the guest (KVM_SET_SIGNAL_MASK), and what ended the run is still pending afterwards.
"""

from __future__ import annotations

import mmap
import os
import select
import struct
import sys
import time

from mirage.hvt._format import Header, unpack_arguments
from mirage.hvt._kvm import (
    EXIT_IO,
    MSR_LSTAR,
    MSR_SFMASK,
    MSR_STAR,
    Machine,
)
from mirage.hvt._memory import GuestMemory, anonymous, map_image, map_rest
from mirage.hvt.errors import GuestFault, HostError, ImageError
from mirage.libos import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Mapping, Sequence

    from mirage.hvt._devices import Device, Devices
    from mirage.hvt._sleep import Sleeper
    from mirage.hvt._snapshot import Base, Snapshot
else:
    import _signal as signal  # `signal` itself makes enumerations of its numbers first, which takes milliseconds

__all__ = ["Tender"]

L = layout()
PAGE = L["PAGE"]
LARGE = 512 * PAGE
IMAGE_BASE, RAM_BASE, TABLES_BASE = L["IMAGE_BASE"], L["RAM_BASE"], L["TABLES_BASE"]
SHARED = L["SHARED_ADDRESS"] - IMAGE_BASE

_TABLE = 0x27  # present, writable, user, accessed: what lies below decides
_USER = 0x8000000000000067  # dirty, accessed, user, writable, present; no execute
_LARGE_USER = 0x80000000000000E7  # large, dirty, accessed, user, writable, present; no execute
_LARGE_KERNEL = 0x80000000000000E3

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGQUIT)
_ENDING = 1 << signal.SIGINT - 1 | 1 << signal.SIGTERM - 1
_PATIENCE = 3
"""A guest that leaves so many of these signals lying, one after the other, is ended."""
_EAGAIN, _EFAULT, _EIO, _EOPNOTSUPP = 11, 14, 5, 95
_U64 = (1 << 64) - 1

_CALL = struct.Struct("<3Q")
_BOOT = struct.Struct("<11Q64s")
_TRAP = struct.Struct("<8Q")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


class Tender:
    """One guest. Make it, `run` it once, `close` it; or use it in a `with` statement.

    `console` is called with what the guest prints; the default writes to standard output. `stdin` is a file descriptor
    that the guest's standard input reads from, None for an empty one. `snapshot` is the file to which the guest may
    save itself. `devices` are the networks and disks that the image needs, by name (`mirage.hvt.devices`). `core` is
    the file to which a guest that faults is written, for a debugger. Raises `HostError` and `ImageError`.
    """

    _base: Base | None = None
    """The image as it is in its file, where the guest may save itself."""

    def __init__(
        self,
        image: str | os.PathLike[str],
        arguments: Sequence[str] = (),
        *,
        memory: int | None = None,
        console: Callable[[bytes], object] | None = None,
        stdin: int | None = None,
        snapshot: str | os.PathLike[str] | None = None,
        devices: Mapping[str, Device] | None = None,
        log_unknown: bool = False,
        core: str | os.PathLike[str] | None = None,
    ) -> None:
        self._prepare(console, stdin, snapshot, core)
        with open(image, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            self.header = header = Header.unpack(file.read(PAGE))
            end = header.end - IMAGE_BASE
            if not PAGE <= end <= min(size, L["IMAGE_LIMIT"]) or end % PAGE:
                raise ImageError(f"{os.fspath(image)} is cut short; build it again")
            file.seek(header.arguments_offset)
            argv, environment = unpack_arguments(file.read(header.arguments_size))
            self._image = map_image(file.fileno(), end, header)
            rest = map_rest(file.fileno(), header)
            if snapshot is not None:
                from mirage.hvt._snapshot import Base

                self._base = Base.of(image, file.fileno())
        self.memory = memory if memory is not None else header.memory
        if self.memory % LARGE or not 4 * LARGE <= self.memory <= L["RAM_LIMIT"]:
            self._image.close()
            if self._base is not None:
                self._base.close()
            raise HostError(
                f"the memory must be a multiple of 2 MiB, from 8 MiB to 8 GiB, and not {self.memory} octets"
            )
        self._ram = anonymous(self.memory)
        directories = (self.memory + (1 << 30) - 1) >> 30
        tables = PAGE * (1 + directories + self.memory // LARGE)
        # Few of its pages are touched: no large ones.
        size = (tables + LARGE - 1) // LARGE * LARGE
        self._tables = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._guest = GuestMemory(header, self._image, self._ram, self._tables, rest)
        try:
            self.machine = Machine()
        except BaseException:
            self._guest.close()
            raise
        try:
            self._load([*argv, *arguments], environment, directories, log_unknown)
            self._attach(devices or {}, resumed=False)
        except BaseException:
            self.close()
            raise

    def _prepare(
        self,
        console: Callable[[bytes], object] | None,
        stdin: int | None,
        snapshot: str | os.PathLike[str] | None,
        core: str | os.PathLike[str] | None,
    ) -> None:
        self._console = console or self._print
        self._stdin = stdin
        self._snapshot: int | str | os.PathLike[str] | None = snapshot
        self._core: int | str | os.PathLike[str] | None = core
        self._saved: Snapshot | None = None
        self._given: Mapping[str, Device] = {}
        self._source = -1
        self._reset()

    def _reset(self) -> None:
        """What a guest that has not run begins with."""
        self._unknown: list[int] = []
        self._awaits_input = False
        self._period = 0
        self._tick_due = False
        self._signals = 0
        self._ignored = 0
        self._devices: Devices | None = None
        self._sleeper: Sleeper | None = None
        self._ended = False
        self.exits = 0
        """How often the guest left for the tender."""

    @classmethod
    def resume(
        cls,
        snapshot: str | os.PathLike[str],
        *,
        console: Callable[[bytes], object] | None = None,
        stdin: int | None = None,
        devices: Mapping[str, Device] | None = None,
        core: str | os.PathLike[str] | None = None,
        image: str | os.PathLike[str] | None = None,
        share: bool = False,
    ) -> Tender:
        """A guest that goes on where a snapshot was taken; many may, from one file, and they share the image's pages.

        `image` says where the image is that it was taken of, if no longer where it was. `share` is for many guests of
        one snapshot, and for `rewind`: they share all that they do not change, and each has less of its own; but what
        it touches first takes it longer.

        Its monotonic clock goes on, its wall clock is right, and its random generator is seeded anew. It must be given
        devices that are like those it had. Raises `HostError` where they are not, or the processor has other features,
        and `ImageError`.
        """
        from mirage.hvt._snapshot import Snapshot

        saved = Snapshot.read(snapshot)
        tender = cls.__new__(cls)
        tender._prepare(console, stdin, None, core)
        tender.header, tender.memory = saved.header, saved.ram
        tender._saved, tender._given = saved, devices or {}
        tender._source = os.open(snapshot, os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = saved.map(tender._source, image, share)
            tender._image, tender._ram, tender._tables, _ = parts
            tender._guest = GuestMemory(saved.header, *parts)
            tender.machine = Machine()
        except BaseException:
            tender._close_memory()
            raise
        if tender.machine.features != saved.features:
            tender.close()
            raise HostError("this snapshot was taken on a processor with other features; boot its image anew")
        try:
            tender._connect()
            tender._go_on()
        except BaseException:
            tender.close()
            raise
        return tender

    def _go_on(self) -> None:
        """Set the processor and the clocks of a guest whose memory is as it was saved, and give it entropy."""
        saved, machine = self._saved, self.machine
        assert saved is not None
        machine.restore(saved.state)
        self._set_system_calls()
        self._period = saved.period
        at = SHARED + L["SHARED_BOOT"]
        words = list(_BOOT.unpack_from(self._image, at))
        words[5:9] = machine.tsc_khz(), machine.tsc(), saved.monotonic, time.time_ns()
        words[10:] = words[10] + 1, os.urandom(64)
        _BOOT.pack_into(self._image, at, *words)
        self._attach(self._given, resumed=True)

    def rewind(self) -> None:
        """Make the guest one that has just been resumed, for another `run`; nothing of the last one is left.

        This is several times as quick as a new `Tender.resume`, for the virtual machine stays. It is for a guest that
        was resumed and whose `run` returned, in a process that is not confined. Raises `HostError`.
        """
        from mirage.hvt import _rewind

        if self._saved is None or not self._ended:
            raise HostError("only a guest that was resumed, and has ended by itself, can be rewound; resume it anew")
        self._ended = False
        self.machine.finish_io()
        if _rewind.rewind(self._saved, self._source, self._guest):
            # KVM keeps translations of the page tables, and hears of a change only from the guest.
            self.machine.forget_translations()
        if self._devices is not None:
            self._devices.close()
        if self._sleeper is not None:
            self._sleeper.close()
        self._reset()
        self._go_on()

    def _attach(self, given: Mapping[str, Device], *, resumed: bool) -> None:
        """Open the devices that the image or the snapshot needs, and what a sleep with files to watch needs."""
        (first,) = struct.unpack_from("<Q", self._image, SHARED + L["SHARED_DEVICES"] + L["DEVICE_NAME"])
        if given or first:
            from mirage.hvt._devices import Devices

            self._devices = Devices(given, self._guest, resumed)
        if self._devices is not None or self._stdin is not None:
            from mirage.hvt._sleep import Sleeper

            self._sleeper = Sleeper(self._mask)

    def __enter__(self) -> Tender:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Give everything back; may be called again."""
        self.machine.close()
        if self._devices is not None:
            self._devices.close()
        if self._sleeper is not None:
            self._sleeper.close()
        self._close_memory()

    def _close_memory(self) -> None:
        if self._base is not None:
            self._base.close()
        if self._source >= 0:
            os.close(self._source)
            self._source = -1
        if hasattr(self, "_guest"):
            self._guest.close()

    # ---- Before the guest runs -------------------------------------------------------------------------------------

    def _load(self, arguments: list[str], environment: list[str], directories: int, log_unknown: bool) -> None:
        header, machine = self.header, self.machine
        self._connect()

        # The memory's size for ring 0, then its page directories; each entry is a page of 2 MiB until it is split.
        regions = self.memory // LARGE
        struct.pack_into("<Q", self._tables, 0, self.memory)
        struct.pack_into(
            f"<{regions}Q", self._tables, PAGE, *(RAM_BASE + i * LARGE | _LARGE_USER for i in range(regions))
        )
        # The one where the library OS puts the first stack's guard page is split here, where it costs least.
        guard = (self.memory - min(L["STACK_PAGES"] * PAGE, self.memory // 8)) // LARGE - 1
        table, pages = PAGE * (1 + directories + guard), RAM_BASE + guard * LARGE
        struct.pack_into("<512Q", self._tables, table, *range(pages | _USER, pages + LARGE | _USER, PAGE))
        struct.pack_into("<Q", self._tables, PAGE + 8 * guard, TABLES_BASE + table | _TABLE)
        large = len(self._tables) // LARGE
        struct.pack_into(
            f"<{large}Q",
            self._image,
            header.tables_directory - IMAGE_BASE,
            *(TABLES_BASE + i * LARGE | _LARGE_KERNEL for i in range(large)),
        )
        struct.pack_into(
            f"<{directories}Q",
            self._image,
            header.pdpt - IMAGE_BASE + 8 * (RAM_BASE >> 30),
            *(TABLES_BASE + PAGE * (1 + i) | _TABLE for i in range(directories)),
        )

        strings = b"".join(text.encode() + b"\0" for text in [*arguments, *environment])
        if len(strings) > 128 << 10:
            raise HostError("the arguments and the environment are longer than 128 KiB")
        self._ram[: len(strings)] = strings
        machine.enter_long_mode(header.pml4, (header.gdt, 79), (header.idt, 511), (header.task, 3 * PAGE - 1))
        self._set_system_calls()
        machine.set_registers({"rip": header.start, "rflags": L["USER_FLAGS"]})
        _BOOT.pack_into(
            self._image,
            SHARED + L["SHARED_BOOT"],
            *(self.memory, header.end - IMAGE_BASE, len(strings), len(arguments), len(environment)),
            *(machine.tsc_khz(), machine.tsc(), time.monotonic_ns(), time.time_ns(), log_unknown, 0),
            os.urandom(64),
        )

    def _connect(self) -> None:
        for base, mapping in self._guest.regions:
            self.machine.add_memory(base, mapping)

    def _set_system_calls(self) -> None:
        self.machine.set_msr(MSR_LSTAR, self.header.syscall_stub)
        self.machine.set_msr(MSR_STAR, (L["KERNEL_CS"] << 32) | (0x23 << 48))
        self.machine.set_msr(MSR_SFMASK, 0x47700)

    @staticmethod
    def _print(data: bytes) -> None:
        sys.stdout.flush()
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]

    # ---- Hypercalls ------------------------------------------------------------------------------------------------

    def _write(self, address: int, length: int, _: int) -> int:
        length = min(length, 1 << 20)
        view = self._guest.view(address, length)
        if view is None:
            return -_EFAULT
        with view:
            self._console(bytes(view))
        return length

    def _read(self, address: int, length: int, _: int) -> int:
        if self._stdin is None:
            return 0
        self._awaits_input = not self._input_ready(0)
        if self._awaits_input:
            return -_EAGAIN
        length = min(length, 1 << 16)
        if not length:
            return 1  # whether there is something to read
        view = self._guest.view(address, length, write=True)
        if view is None:
            return -_EFAULT
        with view:
            try:
                return os.readv(self._stdin, [view])
            except OSError:
                return -_EIO

    def _entropy(self, address: int, length: int, _: int) -> int:
        length = min(length, 1 << 16)
        view = self._guest.view(address, length, write=True)
        if view is None:
            return -_EFAULT
        with view:
            view[:] = os.urandom(length)
        return length

    def _wait(self, nanoseconds: int, _: int, __: int) -> int:
        """Sleep until the time has come, input or a frame has come, or a signal that the guest must hear of.

        Not at all where it has not yet taken a signal, which may have come as its library OS went to sleep, or where
        a frame has come since it last looked. Ticks are for a guest that runs: the first one that comes meanwhile is
        the last.
        """
        left = _signed(nanoseconds)
        deadline = None if left < 0 else time.monotonic_ns() + left
        self._tick_due = False
        while not self._signals and not self._handed_over() and not self._frames_came():
            timeout = None if deadline is None else max(0, deadline - time.monotonic_ns()) / 1e9
            self._sleep(timeout)
            if self._tick_due:
                signal.setitimer(signal.ITIMER_REAL, 0)
            if deadline is not None and time.monotonic_ns() >= deadline:
                break
            if self._awaits_input and self._input_ready(0):
                break
            if self._devices is not None:
                self._devices.exchange()
        if self._tick_due:
            self._arm()
        self._hand_over_signals()
        return 0

    def _frames_came(self) -> bool:
        return self._devices is not None and self._devices.news()

    def _sleep(self, timeout: float | None) -> None:
        """Wait for a signal, for input or for frames."""
        readable, writable = self._devices.waits_for() if self._devices is not None else ([], [])
        if self._awaits_input and self._stdin is not None:
            readable.append(self._stdin)
        if self._sleeper is not None and (readable or writable):
            if self._sleeper.wait(readable, writable, timeout):
                self._take_signals()
        elif timeout is None:
            self._note(signal.sigwait(self._mask))
        elif (info := signal.sigtimedwait(self._mask, timeout)) is not None:
            self._note(info.si_signo)

    def _input_ready(self, timeout: float) -> bool:
        return self._stdin is not None and bool(select.select([self._stdin], [], [], timeout)[0])

    def _tick(self, microseconds: int, _: int, __: int) -> int:
        self._period = min(max(microseconds, 500), 1_000_000) if microseconds else 0
        self._arm()
        return 0

    def _arm(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self._period / 1e6, self._period / 1e6)

    def _save(self, _: int, __: int, ___: int) -> int:
        """Write the guest, as it is after this hypercall, to the snapshot's file."""
        if self._snapshot is None or self._base is None:
            return -_EOPNOTSUPP
        from mirage.hvt._snapshot import Snapshot

        struct.pack_into("<q", self._image, SHARED + L["SHARED_CALL"] + 40, 0)
        self.machine.finish_io()
        boot = _BOOT.unpack_from(self._image, SHARED + L["SHARED_BOOT"])
        monotonic = boot[7] + (self.machine.tsc() - boot[6]) * 1_000_000 // max(boot[5], 1)
        saved = Snapshot(
            self.header,
            (len(self._image), self.memory, len(self._tables)),
            self._period,
            monotonic & _U64,
            self.machine.save(),
            self.machine.features,
            self._base,
        )
        saved.write(self._snapshot, self._image, self._ram, self._tables)
        return 0

    def _log_unknown(self, number: int, _: int, __: int) -> int:
        if number not in self._unknown and len(self._unknown) < 1000:
            self._unknown.append(number)
            self._console(f"libos: system call {number} is not supported\n".encode())
        return 0

    # ---- Interruptions ---------------------------------------------------------------------------------------------

    _mask = frozenset({signal.SIGALRM, *_FORWARDED})

    def _note(self, number: int) -> None:
        if number == signal.SIGALRM:
            self._tick_due = True
        else:
            self._signals |= 1 << (number - 1)

    def _take_signals(self) -> None:
        while (info := signal.sigtimedwait(self._mask, 0)) is not None:
            self._note(info.si_signo)

    def _handed_over(self) -> int:
        """The signals that the guest has been given, and has not yet taken."""
        waiting: int = struct.unpack_from("<Q", self._image, SHARED + L["SHARED_SIGNALS"])[0]
        return waiting

    def _hand_over_signals(self) -> None:
        if not self._signals:
            return
        waiting = self._handed_over()
        self._ignored = self._ignored + 1 if waiting & self._signals & _ENDING else 0
        if self._ignored == _PATIENCE:
            raise self._stopped(f"the guest did not react to {_PATIENCE} signals that ask it to end")
        struct.pack_into("<Q", self._image, SHARED + L["SHARED_SIGNALS"], waiting | self._signals)
        self._signals = 0

    def _interrupt(self) -> None:
        """Make the guest's library OS look around: at once when the application runs, else when it is done."""
        self._tick_due = False
        self._hand_over_signals()
        self.machine.finish_io()
        registers = self.machine.registers()
        struct.pack_into("<Q", self._image, SHARED + L["SHARED_PENDING"], 1)
        if self.header.text <= registers["rip"] < self.header.text_end:
            return
        stack = struct.unpack_from("<Q", self._image, SHARED + L["SHARED_STACK"])[0]
        trap = (L["TRAP_TICK"], 0, registers["rip"], L["USER_CS"], registers["rflags"], registers["rsp"], 0, 0)
        _TRAP.pack_into(self._image, SHARED + L["SHARED_TRAP"], *trap)
        registers |= {"rip": self.header.entry_trap, "rsp": stack, "rflags": L["USER_FLAGS"]}
        self.machine.set_registers(registers)

    # ---- Running ---------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Run the guest until it ends; returns its exit status. Raises `GuestFault`.

        In the main thread, SIGINT and its like go to the guest meanwhile.
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, self._mask)
        alarm = signal.getsignal(signal.SIGALRM)
        signal.signal(signal.SIGALRM, lambda *_: None)  # the default action would end this process
        try:
            self._arm()
            self.machine.let_through(sum(1 << (s - 1) for s in self._mask))
            status = self._loop()
        except GuestFault as fault:
            self._dump(fault)
            raise
        else:
            self._ended = True
            return status
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.sigtimedwait({signal.SIGALRM}, 0)
            signal.signal(signal.SIGALRM, alarm)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _dump(self, fault: GuestFault) -> None:
        if self._core is None:
            return
        from mirage.hvt._core import write_core

        registers = fault.registers or self.machine.registers()
        with open(self._core, "wb") as file:
            write_core(file.fileno(), self._guest, registers, self.machine.fs_base(), fault.signal)

    def confine(self) -> None:
        """Give up for good, in the whole process, what `run` does not need.

        That is: gaining privileges, being root, and every system call but a few (see `mirage.hvt._sandbox`). Files of
        a core and of a snapshot are created now; without a core the file stays empty. Raises `HostError`.
        """
        from mirage.hvt import _fault, _sandbox, _symbols  # noqa: F401 - no file can be opened later, modules included

        if self._core is not None:
            from mirage.hvt import _core  # noqa: F401
        if self._core is not None and not isinstance(self._core, int):
            self._core = os.open(self._core, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        if self._snapshot is not None and not isinstance(self._snapshot, int):
            if os.path.exists(self._snapshot):
                os.unlink(self._snapshot)  # guests may run on it: it must not change
            self._snapshot = os.open(self._snapshot, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        _sandbox.enter()

    def _loop(self) -> int:
        machine, image = self.machine, self._image
        call_at, result_at = SHARED + L["SHARED_CALL"], SHARED + L["SHARED_CALL"] + 40
        calls: dict[int, Callable[[int, int, int], int]] = {
            L["CALL_WRITE"]: self._write,
            L["CALL_READ"]: self._read,
            L["CALL_WAIT"]: self._wait,
            L["CALL_TICK"]: self._tick,
            L["CALL_UNKNOWN"]: self._log_unknown,
            L["CALL_ENTROPY"]: self._entropy,
            L["CALL_SNAPSHOT"]: self._save,
        }
        devices = self._devices
        if devices is not None:
            calls |= devices.calls()
        while True:
            reason = machine.enter()
            self.exits += 1
            if devices is not None:
                devices.exchange()
            if reason is None:
                self._take_signals()
                self._interrupt()
                continue
            if reason != EXIT_IO:
                raise self._stopped(f"the guest's processor stopped (KVM exit {reason})")
            port = machine.port()
            arguments = _CALL.unpack_from(image, call_at)
            if port in calls:
                struct.pack_into("<q", image, result_at, calls[port](*arguments))
            elif port == L["CALL_EXIT"]:
                return int(arguments[0]) & 0xFF
            elif port == L["CALL_FAULT"]:
                return self._fault(*arguments)
            else:
                raise self._stopped(f"the guest used port {port:#x}, which is no hypercall")

    def _fault(self, address: int, kind: int, number: int) -> int:
        """The library OS reports a fault that nobody handles, or a deadly signal."""
        if kind == L["FAULT_SIGNAL"]:
            return 128 + (number & 63)
        from mirage.hvt import _fault

        raise _fault.exception(self._guest, address, kind, self.machine.fs_base())

    def _stopped(self, what: str) -> GuestFault:
        from mirage.hvt import _fault

        return _fault.stopped(what, self.machine.registers(), self._guest, self.machine.fs_base())
