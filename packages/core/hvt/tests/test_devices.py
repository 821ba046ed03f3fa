"""Networks and disks of a guest: the table, what is refused, and the real thing over a socket and a file."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mirage.hvt import BuildError, Disk, FrameSocket, HostError, ImageError, Tap, Tender, _table, build
from mirage.hvt.__main__ import main
from mirage.hvt._sleep import Sleeper
from mirage.libos import layout

MAC = bytes.fromhex("020000000001")
HEADER = bytes(12)
guest = [pytest.mark.kvm, pytest.mark.tool("gcc"), pytest.mark.slow]


def on_kvm(test: Callable[..., None]) -> Callable[..., None]:
    """Marks a test that boots a guest."""
    for mark in guest:
        test = mark(test)
    return test


# ---- The table and what is given -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "0", "Net0", "a/b", "net 0", "x" * 16, "null", "console", "urandom", "néo"])
def test_what_is_no_name_is_refused(name: str, tmp_path: Path) -> None:
    """A name must make a file below /dev that is not there already."""
    (tmp_path / "main.py").write_text("")
    with pytest.raises(BuildError, match="no name"):
        build(tmp_path / "image.hvt", tmp_path / "main.py", devices={name: "net"})


def test_the_table_is_read_as_it_was_written() -> None:
    """Sorted by name, with nothing told yet; and it is bounded."""
    data = _table.needed({"net0": "net", "blk0": "block"}).ljust(_table.SIZE, b"\0")
    assert [(entry.name, entry.kind, entry.size) for entry in _table.read(data)] == [
        ("blk0", "block", 0),
        ("net0", "net", 0),
    ]
    with pytest.raises(BuildError, match="16 at most"):
        _table.needed({f"net{n}": "net" for n in range(17)})
    with pytest.raises(BuildError, match="only net and block"):
        _table.needed({"net0": "printer"})


@pytest.mark.parametrize("damage", [(0, b"\xff"), (0, b"/"), (16, b"\x07"), (64, b"net0".ljust(16, b"\0"))])
def test_a_damaged_table_is_refused(damage: tuple[int, bytes]) -> None:
    """A name that is none, a kind that is none, a name twice."""
    data = bytearray(_table.needed({"net0": "net", "net1": "net"}).ljust(_table.SIZE, b"\0"))
    data[damage[0] : damage[0] + len(damage[1])] = damage[1]
    with pytest.raises(ImageError, match="damaged"):
        _table.read(bytes(data))


def test_what_is_no_disk_is_refused(tmp_path: Path) -> None:
    """Nothing there, a folder, a pipe, a crooked size, a disk that somebody writes; and no descriptor stays."""
    before = os.listdir("/proc/self/fd")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "crooked").write_bytes(bytes(1000))
    (tmp_path / "disk").write_bytes(bytes(1024))
    for name, reason in (("none", "No such file"), ("pipe", "neither a file"), ("crooked", r"truncate -s %512")):
        with pytest.raises(HostError, match=reason):
            Disk(tmp_path / name).open()
    with pytest.raises(HostError, match="neither a file nor a block device"):
        Disk(tmp_path, read_only=True).open()
    writer, size = Disk(tmp_path / "disk").open()
    assert size == 1024
    with pytest.raises(HostError, match="in use by another program"):
        Disk(tmp_path / "disk", read_only=True).open()
    os.close(writer)
    assert os.listdir("/proc/self/fd") == before


def test_what_is_no_network_is_refused() -> None:
    """Interface names, addresses and measures that cannot be."""
    for name in ("", "sixteen-letters!", "a b", "a/b"):
        with pytest.raises(HostError, match="no interface name"):
            Tap(name).open()
    if os.access("/dev/net/tun", os.R_OK | os.W_OK):
        reason = "no TAP of one queue" if os.geteuid() == 0 else "sudo ip tuntap add dev lo mode tap user [1-9]"
        with pytest.raises(HostError, match=reason):
            Tap("lo").open()
    with pytest.raises(ValueError, match="no address of one station"):
        Tap("tap0", mac=b"\xff" * 6)
    with pytest.raises(ValueError, match="an MTU is"):
        FrameSocket(0, mac=MAC, mtu=1 << 20)
    with pytest.raises(HostError, match="no open socket"):
        FrameSocket(99_999, mac=MAC).open()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--net", "net0"], "NAME=VALUE"),
        (["--net", "net0=eth0"], "tap:INTERFACE"),
        (["--net", "net0=tap:"], "tap:INTERFACE"),
        (["--net", "a=tap:x", "--net", "a=tap:y"], "each once"),
        (["--net", "a=tap:x", "--block", "a=file"], "two devices"),
        (["--arg", "key"], "KEY=VALUE"),
        (["--arg-file", "key"], "KEY=VALUE"),
        (["--arg-file", "key=/no/such/file"], "/no/such/file cannot be read: No such file"),
        (["--arg-file", "key=/dev/zero"], "/dev/zero must be a text of at most 96 KiB"),
        (["--arg-file", f"key={sys.executable}"], "no text in UTF-8"),
        (["--block"], "wants a value"),
    ],
)
def test_wrong_options_say_what_is_wanted(words: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before any image is opened."""
    assert main(["run", *words, "none.hvt"][: None if len(words) > 1 else 2]) == 125
    assert reason in capsys.readouterr().err


def test_a_sleep_ends_with_a_signal_or_a_file() -> None:
    """What is pending before the wait ends it at once, for it is looked at and not taken."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    reader, writer = os.pipe()
    sleeper = Sleeper({signal.SIGUSR1})
    try:
        assert not sleeper.wait([reader], [], 0.001)
        os.write(writer, b"x")
        assert not sleeper.wait([reader], [], None)
        signal.raise_signal(signal.SIGUSR1)
        for _ in range(2):
            assert sleeper.wait([reader], [], None)
        assert signal.sigwait({signal.SIGUSR1}) == signal.SIGUSR1
        assert not sleeper.wait([reader], [], None)
        with pytest.raises(HostError, match="1024 open files"):
            sleeper.wait([1024], [], 0)
    finally:
        sleeper.close()
        sleeper.close()
        os.close(reader)
        os.close(writer)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ---- Guests --------------------------------------------------------------------------------------------------------

NETWORK = """
import fcntl, os, select, struct, sys, time
TUNSETOFFLOAD = 0x400454D0
def opened(flags=os.O_RDWR | os.O_NONBLOCK): return os.open("/dev/net0", flags)
def receive(net):
    head, frame = bytearray(12), bytearray(70000)
    n = os.readv(net, [head, frame]) - 12
    return bytes(head), bytes(frame[:n])
def send(net, frame, head=bytes(12)): return os.writev(net, [head, frame[:14], frame[14:]])
"""


class Peer:
    """The other end of a guest's network, in a thread of its own that no signal reaches."""

    def __init__(self, talk: Callable[[socket.socket], None], stop: bool = False) -> None:
        """`stop` ends the guest when the talk is over; a talk that fails always does."""
        self.ours, self.guests = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.ours, self.guests):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.ours.settimeout(60)
        self.error: BaseException | None = None
        self._talk, self._stop = talk, stop
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._talk(self.ours)
        except BaseException as error:
            self.error = error
        if self._stop or self.error is not None:
            os.kill(os.getpid(), signal.SIGTERM)

    def __enter__(self) -> Peer:
        self._handler = signal.signal(signal.SIGTERM, lambda *_: None)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._thread.join()
        signal.signal(signal.SIGTERM, self._handler)
        self.ours.close()
        self.guests.close()


def image_of(folder: Path, script: str, **devices: str) -> Path:
    """An image of a script."""
    (folder / "main.py").write_text(textwrap.dedent(script))
    return build(folder / "image.hvt", folder / "main.py", devices=devices).path


def talk(
    folder: Path, script: str, peer: Callable[[socket.socket], None], *, mtu: int = 1500, stop: bool = False
) -> tuple[str, Tender]:
    """Run a script whose network is a peer; what it printed, and its tender after the end."""
    said: list[bytes] = []
    image = image_of(folder, NETWORK + textwrap.dedent(script), net0="net")
    with Peer(peer, stop) as other:
        devices = {"net0": FrameSocket(other.guests.fileno(), mac=MAC, mtu=mtu)}
        with Tender(image, memory=32 << 20, console=said.append, devices=devices) as tender:
            tender.run()
    if other.error is not None:
        raise AssertionError(b"".join(said).decode()) from other.error
    return b"".join(said).decode(), tender


@on_kvm
def test_the_devices_given_must_be_those_needed(tmp_path: Path) -> None:
    """What is missing, superfluous or of another kind is named, with the option that mends it."""
    image = image_of(tmp_path, "", net0="net", blk0="block")
    (tmp_path / "disk").write_bytes(bytes(512))
    disk, before = Disk(tmp_path / "disk"), os.listdir("/proc/self/fd")
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        network = FrameSocket(left.fileno(), mac=MAC)
        for given, reason in (
            ({}, "needs the disk blk0, which was not given: --block blk0=FILE"),
            ({"blk0": disk}, "needs the network net0, which was not given: --net net0=tap:INTERFACE"),
            ({"blk0": network, "net0": network}, "needs blk0 as another kind"),
            ({"blk0": disk, "net0": network, "net1": network}, "does not know the device net1; it knows blk0, net0"),
        ):
            with pytest.raises(HostError, match=reason):
                Tender(image, devices=given)
        with Tender(image, devices={"blk0": disk, "net0": network}) as tender:
            assert tender.run() == 0
    assert os.listdir("/proc/self/fd") == before
    plain = image_of(tmp_path, "")
    with pytest.raises(HostError, match="does not know the device blk0; it knows none"):
        Tender(plain, devices={"blk0": disk})


@on_kvm
def test_options_and_manifest(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`build --block`, `show`, `run` with arguments: the application finds them as words, in order."""
    monkeypatch.setattr(sys, "stdin", None)
    script = tmp_path / "main.py"
    script.write_text("import os, sys\nprint(sys.argv[1:], os.lseek(os.open('/dev/blk0', 0), 0, 2))\n")
    image, disk = str(tmp_path / "image.hvt"), tmp_path / "disk"
    disk.write_bytes(bytes(2048))
    assert main(["build", str(script), "-o", image, "--block", "blk0", "--net", "net0", "--memory", "16"]) == 0
    assert main(["show", "--json", image]) == 0
    assert '"blk0": "block",\n  "net0": "net"' in capfd.readouterr().out
    assert main(["build", str(script), "-o", image, "--block", "blk0", "--memory", "16"]) == 0
    text = tmp_path / "text"
    text.write_text("two\nlines\n")
    options = ["--block", f"blk0={disk}:ro", "--arg", "host=a=b", f"--arg-file=text={text}", "--arg=port=80"]
    assert main(["run", *options, image, "word"]) == 0
    assert r"['--host=a=b', '--port=80', '--text=two\nlines\n', 'word'] 2048" in capfd.readouterr().out


@on_kvm
def test_frames_pass_both_ways(tmp_path: Path) -> None:
    """Whole, with their headers, of every length; the device knows its address and its MTU."""
    sizes = [14, 15, 21, 60, 1514, 9014, 65549]
    heads = [bytes([i]) * 12 for i in range(len(sizes))]

    def peer(end: socket.socket) -> None:
        for head, size in zip(heads, sizes, strict=True):
            end.send(head + os.urandom(1) * size)
            back = end.recv(70000)
            assert back == head[::-1] + bytes(range(256)) * (size // 256) + bytes(range(size % 256))

    output, tender = talk(
        tmp_path,
        """
        net = opened()
        ifreq = fcntl.ioctl(net, 0x8927, bytes(40))
        print(ifreq[18:24].hex(), struct.unpack_from("=i", fcntl.ioctl(net, 0x8921, bytes(40)), 16)[0])
        for _ in range(7):
            select.select([net], [], [])
            head, frame = receive(net)
            assert frame == frame[:1] * len(frame)
            n = len(frame)
            send(net, (bytes(range(256)) * (n // 256 + 1))[:n], head[::-1])
        for call, *arguments in ((os.read, net, 100), (os.write, net, bytes(25)), (os.writev, net, [bytes(65600)]),
                                 (os.pread, net, 100, 0), (os.lseek, net, 0, 0), (fcntl.ioctl, net, 0x1234, 0)):
            try:
                call(*arguments)
            except OSError as error:
                print(error.errno, end=" ")
        """,
        peer,
        mtu=9000,
    )
    assert output == f"{MAC.hex()} 9000\n11 22 22 29 29 25 "
    assert tender.exits < 200


@on_kvm
def test_a_frame_wakes_a_sleeping_guest_and_costs_one_exit(tmp_path: Path) -> None:
    """By poll, by epoll and by a read that waits: no more exits than frames, so nothing is polled meanwhile."""
    waits = {
        "poll": "poll = select.poll(); poll.register(net, select.POLLIN); wait = poll.poll",
        "epoll": "epoll = select.epoll(); epoll.register(net, select.EPOLLIN); wait = epoll.poll",
        "read": "os.set_blocking(net, True); wait = lambda: None",
    }

    def peer(end: socket.socket) -> None:
        for n in range(300):
            frame = HEADER + n.to_bytes(2, "big") * 30
            time.sleep(0.001)  # the guest sleeps by now, most often
            end.send(frame)
            assert end.recv(2000) == frame

    for name, how in waits.items():
        script = f"net = opened()\n{how}\nfor n in range(300):\n    wait()\n    head, frame = receive(net)\n"
        _, tender = talk(tmp_path, script + "    send(net, frame)\n", peer)
        assert 300 < tender.exits < 1200, name


@on_kvm
def test_a_frame_leaves_though_the_application_computes(tmp_path: Path) -> None:
    """Not only the first, which finds the ring empty: the tick takes those that follow."""
    numbers: list[int] = []

    def peer(end: socket.socket) -> None:
        numbers.extend(end.recv(2000)[12] for _ in range(3))

    output, _ = talk(
        tmp_path,
        "net = opened()\nfor n in range(3): send(net, bytes([n]) * 60)\nwhile True: pass",
        peer,
        stop=True,
    )
    assert numbers == [0, 1, 2], output


@on_kvm
def test_one_who_looks_and_never_waits_sees_frames(tmp_path: Path) -> None:
    """By poll without waiting, and by reading until there is something."""
    looks = ("while not select.select([net], [], [], 0)[0]: pass", "pass")

    def peer(end: socket.socket) -> None:
        assert end.recv(2000)
        end.send(HEADER + bytes(60))
        assert end.recv(2000)

    for look in looks:
        script = (
            f"net = opened()\nsend(net, bytes(60))\n{look}\nwhile True:\n"
            "    try:\n        head, frame = receive(net)\n        break\n    except BlockingIOError:\n        pass\n"
            "send(net, frame)\nwhile True: pass\n"
        )
        talk(tmp_path, script, peer, stop=True)


@on_kvm
def test_a_full_ring_waits_and_loses_nothing(tmp_path: Path) -> None:
    """Ten times what a ring holds, each way, in frames of all sizes, against a slow other side."""
    count = 600

    def size(n: int) -> int:
        return 14 + n * 97 % 9000

    def peer(end: socket.socket) -> None:
        for n in range(count):
            if n % 50 == 0:
                time.sleep(0.02)
            frame = end.recv(70000)
            assert frame == HEADER + bytes([n % 256]) * size(n), n
        for n in range(count):
            end.send(HEADER + bytes([n % 256]) * size(n))
        assert end.recv(2000)

    output, _ = talk(
        tmp_path,
        f"""
        net = opened()
        refused = 0
        for n in range({count}):
            while True:
                try:
                    send(net, bytes([n % 256]) * (14 + n * 97 % 9000))
                    break
                except BlockingIOError:
                    refused += 1
                    select.select([], [net], [])
        for n in range({count}):
            select.select([net], [], [])
            if n % 100 == 0:
                time.sleep(0.02)
            assert receive(net)[1] == bytes([n % 256]) * (14 + n * 97 % 9000), n
        send(net, bytes(60))
        print(refused > 0)
        """,
        peer,
    )
    assert output.startswith("True")


@on_kvm
def test_the_end_of_the_other_side_is_an_error(tmp_path: Path) -> None:
    """A guest that sleeps is woken for it; what came before is read first."""

    def peer(end: socket.socket) -> None:
        end.send(HEADER + bytes(60))
        assert end.recv(2000)
        end.shutdown(socket.SHUT_RDWR)
        time.sleep(0.3)

    output, _ = talk(
        tmp_path,
        """
        net = opened()
        select.select([net], [], [])
        print(len(receive(net)[1]), send(net, bytes(60)))
        print(select.select([net], [], [])[0] == [net])
        for call in (lambda: receive(net), lambda: send(net, bytes(60))):
            try:
                call()
            except OSError as error:
                print(error.strerror)
        """,
        peer,
    )
    assert output == "60 72\nTrue\nNo such device\nNo such device\n"


@on_kvm
def test_a_network_is_opened_again(tmp_path: Path) -> None:
    """Rings go when the last descriptor does; memory is not used up; a look at the file's kind opens it too."""

    def peer(end: socket.socket) -> None:
        for _ in range(100):
            end.send(end.recv(2000))

    output, _ = talk(
        tmp_path,
        """
        import stat
        print(stat.S_ISCHR(os.stat("/dev/net0").st_mode), os.path.exists("/dev/net1"))
        for n in range(100):
            net = opened()
            other = os.dup(net)
            os.close(net)
            send(other, bytes([n]) * 60)
            select.select([other], [], [])
            assert receive(other)[1] == bytes([n]) * 60
            os.close(other)
        """,
        peer,
    )
    assert output == "True False\n"


DISK = """
import fcntl, os, stat, sys
def attempt(call, *arguments):
    try:
        return call(*arguments)
    except OSError as error:
        return error.strerror
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 100 sectors, each with its number in it."""
    path = tmp_path / "disk.img"
    path.write_bytes(b"".join(bytes([n]) * 512 for n in range(100)))
    return path


def use_disk(folder: Path, script: str, disk: Disk) -> list[str]:
    """Run a script whose disk this is; the lines that it printed."""
    said: list[bytes] = []
    image = image_of(folder, DISK + textwrap.dedent(script), blk0="block")
    with Tender(image, memory=32 << 20, console=said.append, devices={"blk0": disk}) as tender:
        tender.run()
    return b"".join(said).decode().splitlines()


@on_kvm
def test_a_disk_is_a_file_of_sectors(tmp_path: Path, disk: Path) -> None:
    """Its kind, its size, reads and writes at any sector, and what reaches past the end."""
    lines = use_disk(
        tmp_path,
        """
        disk = os.open("/dev/blk0", os.O_RDWR)
        print(stat.S_ISBLK(os.fstat(disk).st_mode), os.lseek(disk, 0, 2), attempt(os.lseek, disk, 0, os.SEEK_DATA))
        print(os.pread(disk, 1024, 5 * 512) == bytes([5]) * 512 + bytes([6]) * 512)
        parts = [bytearray(512), bytearray(1024)]
        print(os.preadv(disk, parts, 98 * 512), parts[0] == bytes([98]) * 512, parts[1][:2], parts[1][512:514])
        print(os.pwrite(disk, b"x" * 1024, 512), os.pwritev(disk, [b"y" * 512, b"z" * 512], 99 * 512))
        print(attempt(os.pread, disk, 512, 100 * 512), attempt(os.pwrite, disk, bytes(512), 100 * 512))
        crooked = (os.pread, 100, 0), (os.pread, 512, 7), (os.pwrite, b"x", 0), (os.pwrite, bytes(512), 1)
        for call, *arguments in crooked:
            print(attempt(call, disk, *arguments), end="; ")
        print(attempt(os.fsync, disk), attempt(os.ftruncate, disk, 0), attempt(fcntl.flock, disk, fcntl.LOCK_EX))
        print(int.from_bytes(fcntl.ioctl(disk, 0x80081272, bytes(8)), "little"))
        reader = os.open("/dev/blk0", os.O_RDONLY)
        print(attempt(os.pwrite, reader, bytes(512), 0))
        print(len(open("/dev/blk0", "rb").read(1000)))
        """,
        Disk(disk),
    )
    assert lines == [
        "True 51200 Invalid argument",
        "True",
        "1024 True bytearray(b'cc') bytearray(b'\\x00\\x00')",
        "1024 512",
        "b'' No space left on device",
        "Invalid argument; Invalid argument; Invalid argument; Invalid argument; None Invalid argument None",
        "51200",
        "Bad file descriptor",
        "1000",
    ]
    expected = bytearray(b"".join(bytes([n]) * 512 for n in range(100)))
    expected[512:1536], expected[99 * 512 :] = b"x" * 1024, b"y" * 512
    assert disk.read_bytes() == expected


@on_kvm
def test_a_disk_to_read_only(tmp_path: Path, disk: Path) -> None:
    """It cannot be opened for writing, and two guests may share it."""
    lines = use_disk(
        tmp_path,
        """
        print(attempt(os.open, "/dev/blk0", os.O_RDWR), attempt(os.open, "/dev/blk0", os.O_WRONLY))
        disk = os.open("/dev/blk0", os.O_RDONLY)
        print(os.pread(disk, 512, 0) == bytes(512), attempt(os.write, disk, bytes(512)), os.fsync(disk))
        """,
        Disk(disk, read_only=True),
    )
    assert lines == ["Read-only file system Read-only file system", "True Bad file descriptor None"]


@on_kvm
def test_a_disk_cut_short_is_an_error(tmp_path: Path, disk: Path) -> None:
    """What the host's file has lost is never made up."""
    image = image_of(
        tmp_path,
        DISK + "disk = os.open('/dev/blk0', os.O_RDWR)\nsys.stdin.readline()\nprint(attempt(os.pread, disk, 512, 0))",
        blk0="block",
    )
    said: list[bytes] = []
    reader, writer = os.pipe()
    given = {"blk0": Disk(disk)}
    with Tender(image, memory=32 << 20, console=said.append, stdin=reader, devices=given) as tender:
        os.truncate(disk, 0)
        os.write(writer, b"\n")
        tender.run()
    os.close(reader)
    os.close(writer)
    assert b"".join(said) == b"Input/output error\n"


# ---- Snapshots -----------------------------------------------------------------------------------------------------

SAVED = """
net, disk = opened(), os.open("/dev/blk0", os.O_RDWR)
device = os.open("/dev/snapshot", os.O_RDWR)
os.write(device, b"1")
send(net, bytes([int(os.read(device, 9))]) * 60)
select.select([net], [], [])
print(receive(net)[1][:2], os.pread(disk, 512, 512)[:1], flush=True)
"""


@on_kvm
def test_a_resumed_guest_goes_on_with_its_devices(tmp_path: Path, disk: Path) -> None:
    """Rings and open files go on, on the devices that are given anew; others are refused, and so are none."""

    def peer(end: socket.socket) -> None:
        back = end.recv(2000)
        end.send(HEADER + back[12:14] * 20)

    said: list[bytes] = []
    image, state = image_of(tmp_path, NETWORK + SAVED, net0="net", blk0="block"), tmp_path / "state"
    for clone in range(3):
        with Peer(peer) as other:
            given: dict[str, FrameSocket | Disk] = {
                "net0": FrameSocket(other.guests.fileno(), mac=MAC),
                "blk0": Disk(disk),
            }
            if not clone:
                tender = Tender(image, memory=32 << 20, console=said.append, devices=given, snapshot=state)
            else:
                tender = Tender.resume(state, console=said.append, devices=given)
            with tender:
                tender.run()
        assert other.error is None
    assert b"".join(said).splitlines() == [b"b'\\x00\\x00' b'\\x01'", *[b"b'\\x01\\x01' b'\\x01'"] * 2]
    small = tmp_path / "small.img"
    small.write_bytes(bytes(512))
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        network = FrameSocket(left.fileno(), mac=MAC)
        for devices, reason in (
            ({}, "needs the disk blk0"),
            ({"net0": network, "blk0": Disk(small)}, "had 51200 octets when the snapshot was taken"),
            ({"net0": network, "blk0": Disk(disk, read_only=True)}, "had 51200 octets"),
            ({"net0": FrameSocket(left.fileno(), mac=MAC, mtu=9000), "blk0": Disk(disk)}, "MTU of net0 was 1500"),
        ):
            with pytest.raises(HostError, match=reason):
                Tender.resume(state, devices=devices)


@on_kvm
def test_a_damaged_snapshot_has_no_rings(tmp_path: Path, disk: Path) -> None:
    """Rings that would be outside the guest, or whose counts make no sense, are refused when it is resumed."""
    image, state = image_of(tmp_path, NETWORK + SAVED, net0="net", blk0="block"), tmp_path / "state"
    with Peer(lambda end: end.send(HEADER + end.recv(2000)[12:])) as other:
        given = {"net0": FrameSocket(other.guests.fileno(), mac=MAC), "blk0": Disk(disk)}
        with Tender(image, memory=32 << 20, console=lambda _: None, devices=given, snapshot=state) as tender:
            tender.run()
        data = state.read_bytes()
        name = data.index(b"net0".ljust(16, b"\0") + b"\1")
        rings = int.from_bytes(data[name + 40 : name + 48], "little")
        assert rings > layout()["RAM_BASE"]
        for place in (1, rings + 8, rings + (64 << 20), (1 << 64) - 4096, layout()["IMAGE_BASE"]):
            bad = bytearray(data)
            bad[name + 40 : name + 48] = place.to_bytes(8, "little")
            (tmp_path / "bad").write_bytes(bad)
            with pytest.raises(HostError, match="snapshot is damaged"):
                Tender.resume(tmp_path / "bad", devices=given)


def test_select_takes_what_the_sleeper_gives() -> None:
    """The limit of `select`, which the error of `Sleeper` speaks of, is the one that this interpreter has."""
    with pytest.raises(ValueError, match="out of range"):
        select.select([1024], [], [], 0)


@on_kvm
def test_ticks_do_not_disturb_a_sleeping_guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that compute make the tender interrupt the guest; once all sleep, the first tick is the last."""
    image = image_of(
        tmp_path,
        """
        import threading, time
        def compute():
            for _ in range(100_000): pass
            time.sleep(1)
        threads = [threading.Thread(target=compute) for _ in range(3)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """,
    )
    sleeps, real = [], Tender._sleep

    def counted(tender: Tender, timeout: float | None) -> None:
        sleeps.append(timeout)
        real(tender, timeout)

    monkeypatch.setattr(Tender, "_sleep", counted)
    with Tender(image, memory=32 << 20) as tender:
        assert tender.run() == 0
    assert len(sleeps) < 100, "a tick every 2 ms would be 500"
