"""The tender's half of a guest's devices: frames in shared rings, and requests to disks.

Nothing that the guest writes is believed: counts and lengths in the rings are checked each time, and read once; what is
wrong ends the guest with a `GuestFault`. What the guest may know of another device's errors is an error number.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from mirage.hvt import _table
from mirage.hvt.devices import TUNSETOFFLOAD, Disk, FrameSocket, Tap
from mirage.hvt.errors import GuestFault, HostError
from mirage.libos import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mirage.hvt._memory import GuestMemory

    Device = Tap | FrameSocket | Disk

L = layout()
PAGE = L["PAGE"]
_RING, _RINGS, _SHORTEST, _LONGEST, _SKIP = (
    L[f"NET_{name}"] for name in ("RING", "RINGS", "SHORTEST", "LONGEST", "SKIP")
)
_COME, _TAKEN, _PUT, _GONE, _ERROR = range(5)  # the words of struct rings
_ROOM = 8 + _LONGEST
_BATCH = 64
"""Frames taken from outside at one exit; the rest comes with the next."""
_REQUEST = struct.Struct("<5Q")
_KNOWN_OFFLOADS = 0xF
_OFFLOAD = b"OFFLOAD"
"""The word that a socket of frames gets in place of the ioctl, with the flags behind it: shorter than any frame."""
_PLUGGED_OUT = {errno.EIO, errno.ENETDOWN}
"""What Linux says when a TAP is there but not up."""
_NO_ROOM = {errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM}
_REFUSED = {errno.EINVAL, errno.EMSGSIZE}
"""The frame or its header made no sense."""


class Network:
    """One network: a descriptor, and the rings while the guest has the device open."""

    def __init__(self, name: str, descriptor: int, *, offload_by_word: bool = False) -> None:
        self.name = name
        self.descriptor = descriptor
        self._offload_by_word = offload_by_word
        self.dropped = 0
        """Frames of the guest that could not be sent."""
        self.carried = 0
        """Frames, both ways."""
        self.blocked = False
        """The host's side has no room for the guest's next frame."""
        self.full = False
        """The guest has left no room for another frame."""
        self.ended = False
        self._come = self._gone = 0
        self._told = 0
        self._relieved = False
        self._words: memoryview | None = None
        self._views: tuple[memoryview, ...] = ()

    def start(self, rings: memoryview) -> bool:
        """Use these rings from now on; False when what they count makes no sense.

        They may have been in use before, when a guest is resumed.
        """
        words = rings[:40].cast("Q")
        for newer, older in ((_COME, _TAKEN), (_PUT, _GONE)):
            last, first = words[newer], words[older]
            if last >> 62 or (first | last) % 8 or not 0 <= last - first <= _RING:
                words.release()
                return False
        ends = PAGE, PAGE + _RING, PAGE + 2 * _RING
        self._in, self._out = rings[ends[0] : ends[1]], rings[ends[1] : ends[2]]
        self._in_words, self._out_words = self._in.cast("Q"), self._out.cast("Q")
        self._views = (self._in_words, self._out_words, self._in, self._out, words, rings)
        self._come, self._gone = words[_COME], words[_GONE]
        self._told = words[_TAKEN]
        words[_ERROR] = 0
        self._words = words
        return True

    def stop(self) -> None:
        """The guest has closed the device, or ended."""
        self._words = None
        for view in self._views:
            view.release()
        self._views = ()

    def close(self) -> None:
        """Give the descriptor back too; may be called again."""
        self.stop()
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def set_offload(self, flags: int) -> None:
        """Have the host's side use these offloads, in the numbers of TUNSETOFFLOAD. Raises `OSError`."""
        if self._offload_by_word:
            os.write(self.descriptor, _OFFLOAD + bytes([flags]))
        else:
            fcntl.ioctl(self.descriptor, TUNSETOFFLOAD, flags)

    def exchange(self) -> None:
        """Carry frames both ways. Raises `GuestFault`."""
        if self._words is not None and not self.ended:
            if self._words[_PUT] != self._gone:
                self._send(self._words)
            self._receive(self._words)

    def _broken(self) -> GuestFault:
        return GuestFault(f"the guest broke the rings of {self.name}")

    def _send(self, words: memoryview) -> None:
        """Take what the guest has put, until the host's side has no room."""
        put, gone = words[_PUT], self._gone
        if not 0 <= put - gone <= _RING or put % 8:
            raise self._broken()
        out, lengths, descriptor = self._out, self._out_words, self.descriptor
        was_blocked, self.blocked = self.blocked, False
        while gone < put:
            at = gone % _RING
            length = lengths[at >> 3]
            if length == _SKIP:
                gone += _RING - at
                continue
            if not _SHORTEST <= length <= min(_LONGEST, _RING - at - 8):
                raise self._broken()
            try:
                os.write(descriptor, out[at + 8 : at + 8 + length])
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self.blocked = True
                    break
                self.dropped += 1
                if error.errno not in _PLUGGED_OUT and error.errno not in _REFUSED:
                    self._end(words)
                    break
            gone += 8 + (length + 7 & ~7)
            self.carried += 1
        if gone > put:
            raise self._broken()
        self._relieved = self._relieved or (was_blocked and gone != self._gone)
        self._gone = words[_GONE] = gone

    def _receive(self, words: memoryview) -> None:
        """Put what has come into the guest's ring, one batch at most."""
        come, taken = self._come, words[_TAKEN]
        if not 0 <= come - taken <= _RING or taken % 8:
            raise self._broken()
        into, lengths, descriptor = self._in, self._in_words, self.descriptor
        self.full = False
        for _ in range(_BATCH):
            start = come % _RING
            rest = _RING - start
            skip = rest if rest < _ROOM else 0
            if _RING - (come - taken) < skip + _ROOM:
                self.full = True
                break
            at = 0 if skip else start
            try:
                length = os.readv(descriptor, [into[at + 8 : at + _ROOM]])
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno not in _PLUGGED_OUT:
                    self._end(words)
                break
            if not length:
                self._end(words)
                break
            if length < _SHORTEST:
                continue
            if skip:
                lengths[start >> 3] = _SKIP
            lengths[at >> 3] = length
            come += skip + 8 + (length + 7 & ~7)
            self.carried += 1
        self._come = words[_COME] = come

    def _end(self, words: memoryview) -> None:
        """The host's side is gone: an interface that was deleted, a socket that was closed."""
        self.ended = self._relieved = True
        words[_ERROR] = errno.ENODEV

    @property
    def active(self) -> bool:
        """Whether the guest has the device open, and the host's side is there."""
        return self._words is not None and not self.ended

    def news(self) -> bool:
        """Whether something has happened that a sleeping guest was not told yet; it counts as told then."""
        if self._words is None:
            return False
        told, self._told = self._told, self._come
        relieved, self._relieved = self._relieved, False
        return relieved or (told != self._come and self._words[_TAKEN] != self._come)


class Devices:
    """The devices of one guest, by their places in its table. Raises `HostError` and `ImageError`."""

    def __init__(self, given: Mapping[str, Device], guest: GuestMemory, resumed: bool) -> None:
        """Open what the table in the image names and what is given must be; the table is filled in.

        A guest that is resumed goes on with the rings, the sizes and the addresses that it had.
        """
        self._guest = guest
        self._entries = _table.read(guest.image[_table.PLACE : _table.PLACE + _table.SIZE])
        _check_given(self._entries, given)
        self._networks: dict[int, Network] = {}
        self._disks: dict[int, tuple[int, int, bool]] = {}
        try:
            for index, entry in enumerate(self._entries):
                device = given[entry.name]
                if isinstance(device, Disk):
                    self._open_disk(index, entry, device, resumed)
                else:
                    self._open_network(index, entry, device, resumed)
                self._write_entry(index)
        except BaseException:
            self.close()
            raise
        self.networks = list(self._networks.values())

    def _open_disk(self, index: int, entry: _table.Entry, device: Disk, resumed: bool) -> None:
        descriptor, size = device.open()
        self._disks[index] = descriptor, size, device.read_only
        flags = L["DEVICE_READ_ONLY"] if device.read_only else 0
        if resumed and (entry.size, entry.flags) != (size, flags):
            was = f"{entry.size} octets{', read-only' if entry.flags else ''}"
            raise HostError(f"the disk {entry.name} had {was} when the snapshot was taken; {device.path} is another")
        entry.size, entry.flags = size, flags

    def _open_network(self, index: int, entry: _table.Entry, device: Tap | FrameSocket, resumed: bool) -> None:
        descriptor, mac, mtu = device.open()
        offload_by_word = isinstance(device, FrameSocket) and device.offload
        self._networks[index] = Network(entry.name, descriptor, offload_by_word=offload_by_word)
        if not resumed:
            entry.size, entry.mac, entry.rings, entry.offload = mtu, mac, 0, 0
            return
        if entry.size != mtu:
            raise HostError(f"the MTU of {entry.name} was {entry.size} when the snapshot was taken, and is {mtu} now")
        if entry.rings and self._start(index, entry.rings):
            raise HostError(f"the snapshot is damaged: the rings of {entry.name} are at no place; take it again")
        if entry.offload and self._set_offload(index, entry.offload):
            raise HostError(f"the host's side of {entry.name} lacks offloads that the guest uses; boot its image anew")

    def _write_entry(self, index: int) -> None:
        at = _table.PLACE + index * L["DEVICE_SIZE"]
        self._guest.image[at : at + L["DEVICE_SIZE"]] = self._entries[index].pack()

    def close(self) -> None:
        """Give everything back; may be called again."""
        for network in self._networks.values():
            network.close()
        while self._disks:
            os.close(self._disks.popitem()[1][0])

    def calls(self) -> dict[int, Callable[[int, int, int], int]]:
        """What serves the hypercalls of devices, by port."""
        return {
            L["CALL_LOOK"]: lambda *_: 0,
            L["CALL_NET_START"]: lambda index, rings, _: -self._start(index, rings),
            L["CALL_NET_OFFLOAD"]: lambda index, flags, _: -self._set_offload(index, flags),
            L["CALL_BLOCK"]: lambda address, *_: self._block(address),
        }

    # ---- Networks --------------------------------------------------------------------------------------------------

    def exchange(self) -> None:
        """Carry frames: to be called whenever the guest has left. Raises `GuestFault`."""
        for network in self.networks:
            network.exchange()

    def news(self) -> bool:
        """Whether a guest that wants to sleep must look first."""
        return any(network.news() for network in self.networks)

    def waits_for(self) -> tuple[list[int], list[int]]:
        """The descriptors that end the guest's sleep: when they are readable, and when they are writable."""
        active = [network for network in self.networks if network.active]
        return [n.descriptor for n in active if not n.full], [n.descriptor for n in active if n.blocked]

    def _start(self, index: int, address: int) -> int:
        """Start or stop using rings; returns an error number, or 0."""
        network = self._networks.get(index)
        if network is None:
            return errno.EINVAL
        rings = None
        if address:
            rings = None if address % PAGE else self._guest.view(address, _RINGS, write=True)
            if rings is None:
                return errno.EFAULT
        network.stop()
        if rings is not None and not network.start(rings):
            return errno.EINVAL
        self._entries[index].rings = address
        self._write_entry(index)
        return 0

    def _set_offload(self, index: int, flags: int) -> int:
        """Pass TUNSETOFFLOAD on; returns an error number, or 0."""
        network = self._networks.get(index)
        if network is None or flags & ~_KNOWN_OFFLOADS:
            return errno.EINVAL
        try:
            network.set_offload(flags)
        except OSError as error:
            return error.errno or errno.EIO
        self._entries[index].offload = flags
        self._write_entry(index)
        return 0

    # ---- Disks -----------------------------------------------------------------------------------------------------

    def _block(self, address: int) -> int:
        """Serve one struct block_request; returns octets, or a negative error number."""
        words = self._guest.read(address, _REQUEST.size)
        if words is None:
            return -errno.EFAULT
        index, operation, offset, place, length = _REQUEST.unpack(words)
        if index not in self._disks:
            return -errno.EINVAL
        disk, size, read_only = self._disks[index]
        try:
            if operation == L["BLOCK_FLUSH"]:
                if not read_only:
                    os.fsync(disk)
                return 0
            if operation not in {L["BLOCK_READ"], L["BLOCK_WRITE"]} or length > min(size, L["BLOCK_MOST"]):
                return -errno.EINVAL
            if offset > size - length or length % L["SECTOR"] or offset % L["SECTOR"]:
                return -errno.EINVAL
            reading = operation == L["BLOCK_READ"]
            if read_only and not reading:
                return -errno.EROFS
            octets = self._guest.view(place, length, write=reading)
            if octets is None:
                return -errno.EFAULT
            with octets:
                done = os.preadv(disk, [octets], offset) if reading else os.pwritev(disk, [octets], offset)
        except OSError as error:
            return -(error.errno or errno.EIO)
        # A part of a sector, or nothing: the file was cut short behind our back.
        return done - done % L["SECTOR"] or (-errno.EIO if length else 0)


def _check_given(entries: list[_table.Entry], given: Mapping[str, Device]) -> None:
    """The devices given must be those needed, each of the right kind. Raises `HostError`."""
    for entry in entries:
        option = f"--net {entry.name}=tap:INTERFACE" if entry.kind == "net" else f"--block {entry.name}=FILE"
        device = given.get(entry.name)
        if device is None:
            what = "network" if entry.kind == "net" else "disk"
            raise HostError(f"the image needs the {what} {entry.name}, which was not given: {option}")
        if isinstance(device, Disk) != (entry.kind == "block"):
            raise HostError(f"the image needs {entry.name} as another kind of device: {option}")
    names = [entry.name for entry in entries]
    for name, device in given.items():
        if name not in names:
            knows = f"it knows {', '.join(names)}" if names else "it knows none"
            option = f"--block {name}" if isinstance(device, Disk) else f"--net {name}"
            raise HostError(
                f"the image does not know the device {name}; {knows}; build it with {option}, or leave it out"
            )
