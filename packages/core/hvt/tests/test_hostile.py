"""Guests that mean harm: machine code in place of the library OS, doing what no honest guest does.

Each must end alone: with a status, or with a `GuestFault` that says what it did. Nothing else may leave the tender, and
no octet outside the guest may be read or written.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mirage.hvt import Disk, FrameSocket, GuestFault, Tender, build
from mirage.hvt._format import Header
from mirage.libos import layout

pytestmark = [pytest.mark.kvm, pytest.mark.tool("gcc"), pytest.mark.slow]

LAYOUT = layout()
ARGUMENTS = LAYOUT["SHARED_ADDRESS"] + LAYOUT["SHARED_CALL"]
PORTS = [value for name, value in sorted(LAYOUT.items()) if name.startswith("CALL_")]
RAM_END = LAYOUT["RAM_BASE"] + (8 << 20)
WILD = [
    *(0, 1, 4095, 1 << 20, 1 << 31, 1 << 32, 1 << 47, 1 << 63, (1 << 64) - 1, (1 << 64) - 4096),
    *(LAYOUT["IMAGE_BASE"] - 1, LAYOUT["IMAGE_BASE"], LAYOUT["TABLES_BASE"], LAYOUT["RAM_BASE"] - 1),
    *(LAYOUT["RAM_BASE"], RAM_END - 1, RAM_END, RAM_END + 1),
]


def store(address: int, value: int) -> bytes:
    """`movabs $value, %rax; movabs %rax, address`."""
    return b"\x48\xb8" + struct.pack("<Q", value) + b"\x48\xa3" + struct.pack("<Q", address)


def call(port: int, *arguments: int) -> bytes:
    """A hypercall: arguments into the shared page, `mov $port, %edx; out %eax, (%dx)`."""
    stores = [store(ARGUMENTS + 8 * i, value) for i, value in enumerate(arguments)]
    return b"".join(stores) + b"\xba" + struct.pack("<I", port) + b"\xef"


EXIT = call(LAYOUT["CALL_EXIT"], 42)
SPIN = b"\xeb\xfe"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An honest image, to be spoilt."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "main.py").write_text("")
    return build(folder / "image.hvt", folder / "main.py").path


def spoil(image: Path, code: bytes) -> Path:
    """The image with machine code where the guest begins."""
    data = bytearray(image.read_bytes())
    at = Header.unpack(bytes(data)).start - LAYOUT["IMAGE_BASE"]
    assert len(code) < 16384
    data[at : at + len(code)] = code
    spoilt = image.with_name("spoilt.hvt")
    spoilt.write_bytes(data)
    return spoilt


def run(image: Path, code: bytes) -> tuple[int, bytes]:
    """Run machine code; its status and what it printed."""
    said: list[bytes] = []
    with Tender(spoil(image, code), memory=8 << 20, console=said.append) as tender:
        return tender.run(), b"".join(said)


def test_an_honest_hypercall_works(image: Path) -> None:
    """The tests' own assembler can print, so what follows fails for the reason it says."""
    text = int.from_bytes(b"fine\n\0\0\0", "little")
    code = store(LAYOUT["RAM_BASE"], text) + call(LAYOUT["CALL_WRITE"], LAYOUT["RAM_BASE"], 5) + EXIT
    assert run(image, code) == (42, b"fine\n")


@pytest.mark.parametrize("port", [LAYOUT["CALL_WRITE"], LAYOUT["CALL_READ"], LAYOUT["CALL_ENTROPY"]])
def test_wild_addresses_are_refused(image: Path, port: int) -> None:
    """Every combination of a wild address and a wild length that leaves the guest is answered with EFAULT."""
    wild = [a for a in WILD if not LAYOUT["RAM_BASE"] <= a < RAM_END and a != LAYOUT["IMAGE_BASE"]]
    code = b"".join(call(port, address, length) for address in wild for length in (1, 1 << 16, (1 << 64) - 1))
    assert run(image, code + EXIT) == (42, b"")


def test_the_last_octet_is_the_last(image: Path) -> None:
    """A length that reaches one octet past the memory is refused, one that ends with it is not."""
    code = call(LAYOUT["CALL_WRITE"], RAM_END - 4, 4) + call(LAYOUT["CALL_WRITE"], RAM_END - 4, 5) + EXIT
    assert run(image, code) == (42, bytes(4))


def test_the_tender_does_not_write_page_tables(image: Path) -> None:
    """What ring 3 cannot write itself, a hypercall does not write for it."""
    header = Header.unpack(image.read_bytes()[:4096])
    targets = (header.pml4, header.gdt, header.idt, header.task, header.page_tables, LAYOUT["IMAGE_BASE"])
    code = b"".join(call(LAYOUT["CALL_ENTROPY"], address, 4096) for address in targets)
    with Tender(spoil(image, code + EXIT), memory=8 << 20) as tender:
        before = [bytes(tender._image[a - LAYOUT["IMAGE_BASE"] :][:4096]) for a in targets[1:]]
        assert tender.run() == 42
        assert before == [bytes(tender._image[a - LAYOUT["IMAGE_BASE"] :][:4096]) for a in targets[1:]]


def test_unknown_ports_end_the_guest(image: Path) -> None:
    """The report names the port."""
    with pytest.raises(GuestFault, match="port 0x80, which is no hypercall"):
        run(image, call(0x80))


def test_a_wild_fault_report_is_refused(image: Path) -> None:
    """Not even the guest's last words are read from where they are not."""
    for address in (0, RAM_END - 8, (1 << 64) - 8):
        with pytest.raises(GuestFault, match="wild address"):
            run(image, call(LAYOUT["CALL_FAULT"], address, 0, 11))


@pytest.mark.parametrize(
    ("instruction", "vector"),
    [
        ("f4", "general protection"),  # hlt
        ("0f0b", "invalid instruction"),  # ud2
        ("0f20d8", "general protection"),  # mov %cr3, %rax
        ("0f01f8", "general protection"),  # swapgs
        ("cd80", "general protection|invalid instruction"),  # int $0x80, which kvm_pvm makes an invalid instruction
        ("31c0f7f0", "division"),  # div %eax by 0
        ("31e450", "stack fault|page fault"),  # push with rsp 0
        ("48b8000000000000008050c3", "general protection|page fault"),  # ret to no address
    ],
)
def test_forbidden_instructions_are_reported(image: Path, instruction: str, vector: str) -> None:
    """Each exception runs on its own stack, reaches ring 3 and is reported."""
    stack = store(LAYOUT["SHARED_ADDRESS"] + LAYOUT["SHARED_STACK"], RAM_END)
    load = b"\x48\xbc" + struct.pack("<Q", RAM_END - 4096)  # movabs $address, %rsp
    with pytest.raises(GuestFault, match=vector):
        run(image, stack + load + bytes.fromhex(instruction) + SPIN)


def test_an_endless_loop_is_ended_by_signals(image: Path) -> None:
    """A guest that never looks at its signals is ended by the third."""
    command = [sys.executable, "-m", "mirage.hvt", "run", str(spoil(image, call(LAYOUT["CALL_UNKNOWN"], 1) + SPIN))]
    with subprocess.Popen(
        [*command[:4], "--memory", "8", *command[4:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as tender:
        assert tender.stdout is not None
        assert tender.stderr is not None
        assert b"not supported" in tender.stdout.readline()
        while tender.poll() is None:
            tender.send_signal(signal.SIGTERM)
            try:
                tender.wait(0.5)  # long enough to say why it ends, after which another would kill it
            except subprocess.TimeoutExpired:
                continue
        assert tender.returncode == 125
        assert b"did not react" in tender.stderr.read()


ANY = st.one_of(st.sampled_from(WILD), st.integers(0, (1 << 64) - 1), st.integers(0, 1 << 16))
QUIET = [port for port in PORTS if port != LAYOUT["CALL_WAIT"]]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(st.tuples(st.sampled_from([*QUIET, 0x4FF, 0x508, 0xFFFF]), ANY, ANY, ANY), max_size=40))
def test_any_hypercalls_end_in_a_status_or_a_fault(image: Path, calls: list[tuple[int, int, int, int]]) -> None:
    """Random calls with random arguments raise nothing but `GuestFault`."""
    try:
        status, _ = run(image, b"".join(call(*words) for words in calls) + EXIT)
        assert 0 <= status <= 255
    except GuestFault:
        pass


def test_waiting_comes_to_an_end(image: Path) -> None:
    """A wait returns after the time it names, however odd the other arguments."""
    code = b"".join(call(LAYOUT["CALL_WAIT"], n, (1 << 64) - 1, 1 << 63) for n in (0, 1, 1000, 1_000_000))
    assert run(image, code + EXIT)[0] == 42


# ---- Devices -------------------------------------------------------------------------------------------------------

RESULT = ARGUMENTS + 40
RINGS = LAYOUT["RAM_BASE"] + (1 << 20)
IN, OUT = RINGS + 4096, RINGS + 4096 + LAYOUT["NET_RING"]
COME, TAKEN, PUT, GONE = (RINGS + 8 * i for i in range(4))
REQUEST = LAYOUT["RAM_BASE"] + 4096
SAY = call(LAYOUT["CALL_WRITE"], RESULT, 8)
"""Prints the result of the call before."""
LOOK = call(LAYOUT["CALL_LOOK"])
START = call(LAYOUT["CALL_NET_START"], 1, RINGS)
FRAME = bytes(range(60))


@pytest.fixture(scope="module")
def with_devices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An honest image with a disk, number 0, and a network, number 1."""
    folder = tmp_path_factory.mktemp("devices")
    (folder / "main.py").write_text("")
    (folder / "disk").write_bytes(bytes([7]) * 8192)
    return build(folder / "image.hvt", folder / "main.py", devices={"blk0": "block", "net0": "net"}).path


def with_network(image: Path, code: bytes, *, read_only: bool = False) -> tuple[list[int], list[bytes]]:
    """Run machine code with a disk and a network: the results that it printed, and the frames that it sent."""
    ours, guests = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    said: list[bytes] = []
    with ours, guests:
        ours.send(bytes(12) + FRAME)
        given = {
            "net0": FrameSocket(guests.fileno(), mac=b"\2\0\0\0\0\1"),
            "blk0": Disk(image.with_name("disk"), read_only=read_only),
        }
        with Tender(spoil(image, code + EXIT), memory=8 << 20, console=said.append, devices=given) as tender:
            assert tender.run() == 42
        ours.setblocking(False)
        sent = []
        while True:
            try:
                sent.append(ours.recv(70000))
            except BlockingIOError:
                break
            if not sent[-1]:
                break
    return [result for (result,) in struct.iter_unpack("<q", b"".join(said))], [frame for frame in sent if frame]


def block(index: int, operation: int, offset: int, address: int, length: int) -> bytes:
    """A request to a disk, and its result printed."""
    words = (index, operation, offset, address, length)
    stores = b"".join(store(REQUEST + 8 * i, word) for i, word in enumerate(words))
    return stores + call(LAYOUT["CALL_BLOCK"], REQUEST) + SAY


def frame(at: int, words: list[int]) -> bytes:
    """Words into a ring."""
    return b"".join(store(at + 8 * i, word) for i, word in enumerate(words))


def test_an_honest_use_of_devices_works(with_devices: Path) -> None:
    """The tests' own rings and requests are right, so what follows fails for the reason it says."""
    code = START + SAY + frame(OUT, [72, *[0x0101010101010101] * 9]) + store(PUT, 80) + LOOK
    code += call(LAYOUT["CALL_WRITE"], IN + 8 + 12, 8)
    code += block(0, LAYOUT["BLOCK_READ"], 512, LAYOUT["RAM_BASE"] + 8192, 1024)
    code += call(LAYOUT["CALL_WRITE"], LAYOUT["RAM_BASE"] + 8192 + 1016, 8)
    results, sent = with_network(with_devices, code)
    assert results == [0, int.from_bytes(FRAME[:8], "little"), 1024, 0x0707070707070707]
    assert sent == [b"\1" * 72]


def test_wild_rings_are_refused(with_devices: Path) -> None:
    """Outside the guest, not at a page, where page tables are, of a device that is none or no network."""
    header = Header.unpack(with_devices.read_bytes()[:4096])
    wild = [a for a in WILD if a and not LAYOUT["RAM_BASE"] <= a < RAM_END]
    wild += [RINGS + 8, RAM_END - LAYOUT["NET_RINGS"] + 4096, header.pml4, header.page_tables]
    code = b"".join(call(LAYOUT["CALL_NET_START"], 1, address) + SAY for address in wild)
    indexes = [0, 2, 15, 16, 1 << 32, (1 << 64) - 1]
    code += b"".join(call(LAYOUT["CALL_NET_START"], index, RINGS) + SAY for index in indexes)
    code += b"".join(call(LAYOUT["CALL_NET_OFFLOAD"], index, 0) + SAY for index in indexes)
    code += b"".join(call(LAYOUT["CALL_NET_OFFLOAD"], 1, flags) + SAY for flags in (16, 1 << 40, (1 << 64) - 1))
    results, sent = with_network(with_devices, code)
    assert results == [-14] * len(wild) + [-22] * (2 * len(indexes) + 3)
    assert not sent


@pytest.mark.parametrize("counts", [(8, 0, 4, 0), (8, 16, 0, 0), (0, 0, 1 << 20, 0), (1 << 62, 1 << 62, 0, 0)])
def test_rings_whose_counts_make_no_sense_are_refused(with_devices: Path, counts: tuple[int, ...]) -> None:
    """Odd ones, more taken than came, more than a ring holds, more than there ever can be."""
    code = b"".join(store(COME + 8 * i, count) for i, count in enumerate(counts))
    assert with_network(with_devices, code + START + SAY) == ([-22], [])


@pytest.mark.parametrize(
    "code",
    [
        store(PUT, 7),
        store(PUT, (1 << 64) - 8),
        store(PUT, LAYOUT["NET_RING"] + 8),
        store(TAKEN, 88),
        store(TAKEN, (1 << 64) - 8),
        *(frame(OUT, [length]) + store(PUT, 80) for length in (0, 25, LAYOUT["NET_LONGEST"] + 1, 1 << 63)),
        frame(OUT, [LAYOUT["NET_SKIP"]]) + store(PUT, 8),
        frame(OUT, [200]) + store(PUT, 80),
        store(PUT, 80),
    ],
    ids=range(12),
)
def test_broken_rings_end_the_guest(with_devices: Path, code: bytes) -> None:
    """Counts that lie about the other's part, lengths that are none, records that reach past what was put."""
    first = LOOK + store(TAKEN, 80)  # the frame that waits outside
    with pytest.raises(GuestFault, match="broke the rings of net0"):
        with_network(with_devices, START + first + code + LOOK)


def test_what_the_tender_counts_is_its_own(with_devices: Path) -> None:
    """A guest that changes the tender's words gains nothing: they are written, and not read."""
    code = START + LOOK + store(COME, 1 << 40) + store(GONE, 1 << 40) + store(TAKEN, 80)
    code += frame(OUT, [72, *[5] * 9]) + store(PUT, 80) + LOOK
    code += call(LAYOUT["CALL_WRITE"], COME, 8) + call(LAYOUT["CALL_WRITE"], GONE, 8)
    results, sent = with_network(with_devices, code)
    assert results == [80, 80]
    assert len(sent) == 1


def test_wild_requests_to_disks_are_refused(with_devices: Path) -> None:
    """Beside the guest, past the disk's end, not whole sectors, no operation, no disk; nothing is changed."""
    ram, most = LAYOUT["RAM_BASE"] + 8192, (1 << 64) - 1
    reading, writing, flush = (LAYOUT[f"BLOCK_{name}"] for name in ("READ", "WRITE", "FLUSH"))
    before = with_devices.with_name("disk").read_bytes()
    wild = [a for a in WILD if not LAYOUT["RAM_BASE"] <= a < RAM_END and a != LAYOUT["IMAGE_BASE"]]
    cases = [(block(0, operation, 0, address, 512), -14) for address in wild for operation in (reading, writing)]
    cases += [(block(0, reading, 0, RAM_END - 511, 512), -14), (block(0, reading, 0, LAYOUT["IMAGE_BASE"], 512), -14)]
    for offset, length in ((8192, 512), (7680, 1024), (most, 512), (0, most), (1 << 63, 512), (100, 512), (0, 100)):
        cases += [(block(0, operation, offset, ram, length), -22) for operation in (reading, writing)]
    cases += [(block(index, reading, 0, ram, 512), -22) for index in (1, 2, 16, most)]
    cases += [
        (block(0, 3, 0, ram, 512), -22),
        (block(0, most, 0, ram, 512), -22),
        (block(0, flush, most, most, most), 0),
    ]
    cases += [(call(LAYOUT["CALL_BLOCK"], address) + SAY, -14) for address in wild]
    assert with_network(with_devices, b"".join(code for code, _ in cases)) == ([result for _, result in cases], [])
    assert with_devices.with_name("disk").read_bytes() == before
    assert with_network(with_devices, block(0, writing, 0, ram, 512), read_only=True) == ([-30], [])


DEVICE_CALLS = [
    value for name, value in sorted(LAYOUT.items()) if name.startswith(("CALL_LOOK", "CALL_NET", "CALL_BL"))
]
WORDS = st.one_of(ANY, st.sampled_from([0, 8, 72, 80, LAYOUT["NET_RING"], LAYOUT["NET_SKIP"], RINGS, REQUEST]))
STEP = st.one_of(
    st.tuples(st.sampled_from(DEVICE_CALLS), st.sampled_from([0, 1, 2, REQUEST]), WORDS).map(
        lambda words: call(*words)
    ),
    st.tuples(st.sampled_from([COME, TAKEN, PUT, GONE, OUT, OUT + 80, IN]), WORDS).map(lambda words: store(*words)),
    st.tuples(*[WORDS] * 5).map(lambda words: frame(REQUEST, list(words))),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=40))
def test_any_use_of_devices_ends_in_a_status_or_a_fault(with_devices: Path, steps: list[bytes]) -> None:
    """Random words in rings and requests, and random calls, raise nothing but `GuestFault`."""
    with contextlib.suppress(GuestFault):
        with_network(with_devices, START + b"".join(steps))
