"""A TCP connection (RFC 9293): what the application sees of it, and what arriving segments do to it.

The state is in `state`; its two halves are `sender` and `receiver`; `transmit` puts out what is due, `timers` does what
time asks for. Nothing is sent from within `segment`: it notes what is due, and `Stack.poll` sends it, so that an answer
of the application goes out with the acknowledgment of the question.

`segment` is RFC 9293 3.10.7.4 in the RFC's order. What nearly always comes and goes takes the fast lane instead
(`mirage.tcpip.tcp.lane`), which does the same; `Connection.fast = False` closes it.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, ClassVar, Final

from mirage.types.devices import Buffer

from ..errors import ConnectionAborted, ConnectionRefused, ConnectionReset, NetworkFailure, NotConnected
from ..news import Endpoint
from ..wire.tcp import ACK, CWR, ECE, FIN, RST, SYN, Options, parse_options
from . import handshake, pmtu, transmit
from .lane import LEAST_FULL
from .receiver import Receiver
from .sender import Sender
from .state import State

if TYPE_CHECKING:
    from ..ip.packet import IcmpError
    from .framer import Framer
    from .plpmtud import PathMtuSearch
    from .tcp import Listener, Tcp

__all__ = ["Connection"]

_M: Final = 0xFFFFFFFF
_HALF: Final = 0x80000000
_QUICK_ACKS: Final = 16
"""Full segments that are acknowledged one by one, at first and after a loss."""
_ANSWERS: Final = 10
_ANSWERS_TIME: Final = 5.0
"""RFC 5961 7: so many challenges in so many seconds."""
_PAWS_IDLE: Final = 24 * 86400.0
"""After this much silence a timestamp may have wrapped (RFC 7323 5.5)."""


class Connection(Endpoint):
    """One connection. Made by `Stack.connect` and by listeners; an endpoint of `mirage.tcpip.news`.

    There are news when it is established, when there is something to read, at the peer's end, when what waits to be
    sent has sunk to `low_water`, and when it is over.
    """

    __slots__ = (
        "_scheduled",
        "ack_at",
        "ack_due",
        "ack_octets",
        "answered",
        "answered_from",
        "closed_by_application",
        "corked",
        "cwr_due",
        "delayed_ack",
        "ecn",
        "ecn_echo",
        "ecn_recover",
        "eof",
        "error",
        "framer",
        "heap_at",
        "holding",
        "keepalive",
        "keepalive_idle",
        "keepalive_interval",
        "keepalive_limit",
        "keepalive_since",
        "keepalive_tries",
        "key",
        "last_ack_sent",
        "last_heard",
        "last_sent",
        "life_at",
        "listener",
        "loopback",
        "low_water",
        "max_window",
        "more",
        "nodelay",
        "path_generation",
        "peer_mss",
        "persist_tries",
        "progress_at",
        "quick_acks",
        "receive_full",
        "receive_most",
        "receive_mss",
        "receive_size",
        "receiver",
        "scale",
        "scaled",
        "search",
        "segment_limit",
        "sender",
        "soft_error",
        "state",
        "syn_due",
        "syn_time",
        "syn_tries",
        "tcp",
        "timestamp_offset",
        "timestamp_recent",
        "timestamp_recent_at",
        "timestamps",
        "user_timeout",
        "waiting_for_room",
        "window",
    )

    fast: ClassVar[bool] = True
    """Whether the fast lane may be taken; a test turns it off."""

    def __init__(self, tcp: Tcp, key: bytes, framer: Framer, sender: Sender, receiver: Receiver, now: float) -> None:
        super().__init__(tcp.news)
        settings = tcp.settings
        self.tcp = tcp
        self.key = key
        self.framer = framer
        self.sender = sender
        self.receiver = receiver
        self.state = State.CLOSED
        self.error: NetworkFailure | None = None
        """Why it is over, if not by both sides' close."""
        self.soft_error: NetworkFailure | None = None
        """What ICMP said last, and what explains a time-out (RFC 5927 4)."""
        self.eof = False
        """The peer has said that it sends no more."""
        self.closed_by_application = False
        self.listener: Listener | None = None
        self.loopback = framer.path.interface is tcp.ip.loopback
        """Whether it is between this host and itself: then nothing from a link is part of it."""
        # What was agreed on in the handshake
        self.path_generation = framer.path.generation
        self.peer_mss = 536  # RFC 9293 3.7.1, MUST-15
        self.segment_limit = 0xFFFF
        """The MSS that the application allows at most, in either direction: see `limit_segments`."""
        self.receive_mss = 0
        """What our SYN said that a segment to us may carry."""
        self.receive_most = 0
        """What is left of that beside the timestamps: no segment carries more (RFC 6691)."""
        self.receive_full = 0
        """What the peer's full segments carry, as far as has been seen: often less, for its path or its window."""
        self.receive_size = 0
        """What the last segment carried that was less and may be full all the same."""
        self.scaled = True
        """Whether windows are scaled (RFC 7323 2.2)."""
        self.scale = 0
        """The shift of the windows that the peer sends."""
        self.timestamps = settings.timestamps
        self.timestamp_offset = 0
        self.timestamp_recent = 0
        self.timestamp_recent_at = now
        self.ecn = False
        self.ecn_echo = False
        self.ecn_recover = 0
        self.cwr_due = False
        # What the peer offered
        self.window = 0
        self.max_window = 0
        # What is due
        self._scheduled = False
        self.syn_due = False
        self.syn_tries = 0
        self.syn_time = now
        self.ack_due = False
        self.ack_at = inf
        self.ack_octets = 0
        self.quick_acks = _QUICK_ACKS
        """How many of the next full segments are acknowledged each at once (RFC 9293 3.8.6.3 allows every one): the
        peer has a small window, at first and after a loss, and what an odd segment waits for holds all of it up."""
        self.last_ack_sent = 0
        self.answered = 0
        """How many segments that cannot be were answered since `answered_from`."""
        self.answered_from = now
        # Time
        self.heap_at = inf
        self.life_at = inf
        """When the state itself ends: FIN-WAIT-2 of a closed connection."""
        self.last_heard = now
        self.last_sent = now
        self.progress_at = now
        """When something was acknowledged last, or went out with nothing else under way."""
        self.persist_tries = 0
        self.holding = False
        self.search: PathMtuSearch | None = None
        """Made when large segments are suspected not to get through."""
        # What the application may choose
        self.nodelay = False
        """Whether small segments are sent at once (no Nagle, RFC 9293 3.7.4)."""
        self.corked = False
        """Whether only full segments are sent, but for what has waited a timeout (200 ms at least) and what the end of
        the stream flushes: Linux's TCP_CORK. Turn it off, and `schedule`, for the rest to go."""
        self.more = False
        """The same, until the next poll only, for what was written last (MSG_MORE): `write` takes it back, and after
        that poll an acknowledgment lets the rest go as Nagle does."""
        self.delayed_ack = settings.delayed_ack
        self.user_timeout = settings.user_timeout
        self.keepalive = False
        self.keepalive_idle = settings.keepalive_idle
        self.keepalive_interval = settings.keepalive_interval
        self.keepalive_limit = settings.keepalive_probes
        self.keepalive_tries = 0
        """Probes since `last_heard`, if that is `keepalive_since`; otherwise somebody has answered."""
        self.keepalive_since = now
        self.low_water = 0
        """When `queued` has sunk to this after `wait_for_room`, there are news."""
        self.waiting_for_room = False

    # What the application does

    @property
    def readable(self) -> int:
        """Octets that `read` would give."""
        return self.receiver.readable

    @property
    def queued(self) -> int:
        """Octets that were written and not sent yet."""
        return self.sender.queued

    @property
    def unacknowledged(self) -> int:
        """Octets of sequence space that were sent and not acknowledged yet."""
        return self.sender.nxt - self.sender.una

    def write(self, data: Buffer) -> None:
        """Send `data`, which must not be changed afterwards. Nothing is refused: heed `queued`.

        Raises `NotConnected` after `shutdown` or `close`, and when the connection is over.
        """
        sender = self.sender
        if not self.state.may_write or sender.fin_queued:
            raise NotConnected(f"{self!r} takes no more data: {self._why_not()}")
        if self.more:
            self.more = False
        if size := len(data):
            sender.queue.append(data)
            sender.queued += size
            if not self._scheduled:
                self._scheduled = True
                self.tcp.scheduled.append(self)

    def read(self, limit: int | None = None) -> Buffer:
        """Take at most `limit` octets that have come in order; empty when there are none: at the end, if `eof`.

        What it gives may be a view into the frames given to `Stack.input`, valid until `Stack.poll`.
        """
        receiver = self.receiver
        count = receiver.readable
        if not count:
            return b""
        if len(receiver.chunks) == 1 and (limit is None or limit >= count):
            receiver.readable = 0
            data = receiver.chunks.pop()
        else:
            data = receiver.read(limit)
            count = len(data)
        self._taken(count)
        return data

    def peek(self) -> list[Buffer]:
        """What `read` would give, in the pieces that it came in and not copied: for `writev`, say. The list is the
        connection's own; the views in it are valid until `Stack.poll` or `skip`."""
        return self.receiver.chunks

    def skip(self, count: int) -> None:
        """Take `count` octets, at most `readable`, that `peek` has shown."""
        self.receiver.skip(count)
        self._taken(count)

    def _taken(self, count: int) -> None:
        """The application took octets: the window may open, and the peer may have to hear of it."""
        receiver = self.receiver
        receiver.grow(count, self.last_heard, self.sender.rtt.srtt)
        if receiver.edge - receiver.nxt < receiver.capacity >> 1 and receiver.worth_telling(self.receive_mss):
            self.ack_due = True
            self.schedule()

    def wait_for_room(self, low_water: int) -> None:
        """Have news once when `queued` has sunk to `low_water`."""
        self.low_water = low_water
        self.waiting_for_room = True
        self.schedule()

    def limit_segments(self, mss: int) -> None:
        """Send segments of at most `mss` octets, options included (RFC 6691), and offer no larger MSS to the peer,
        which hears of it only if our SYN has not gone out yet: Linux's TCP_MAXSEG."""
        self.segment_limit = mss
        if self.syn_tries == 0:
            self.receive_mss = min(self.receive_mss, mss)
        if self.state is not State.SYN_SENT:
            handshake.limit(self)

    def shutdown(self) -> None:
        """Send no more: a FIN follows what was written. Reading goes on. Repeating it does nothing."""
        if self.state.may_write and not self.sender.fin_queued:
            self.sender.fin_queued = True
            self.schedule()

    def close(self) -> None:
        """The application is done: what was written is still sent. Data that was not read, or comes now, resets the
        connection (RFC 9293 3.6.1, RFC 2525 2.17), because the peer must not believe that it was received."""
        if self.closed_by_application:
            return
        self.closed_by_application = True
        if self.state is State.SYN_SENT:
            self.finish(ConnectionAborted("closed before it was established"))
        elif self.receiver.readable:
            self.abort()
        else:
            self.shutdown()
            if self.state is State.FIN_WAIT_2:
                self.life_at = self.tcp.now + self.tcp.settings.fin_wait_2
                self.set_timer()

    def abort(self) -> None:
        """Reset the connection; what was written and not acknowledged may be lost (RFC 9293 3.10.5)."""
        self.closed_by_application = True
        if self.state is not State.CLOSED:
            if self.state is not State.SYN_SENT and self.state is not State.TIME_WAIT:
                transmit.reset(self, self.tcp.now)
            self.finish(ConnectionAborted("aborted by this side"))

    def vanish(self) -> None:
        """Forget the connection without a word to the peer, because another stack goes on with it (`handover`)."""
        self.finish(ConnectionAborted("handed over to another stack"))

    def _why_not(self) -> str:
        if self.state is State.CLOSED:
            return str(self.error or "it is closed")
        return f"it was shut down ({self.state.value})"

    # What arrives

    def segment(
        self,
        sequence: int,
        acknowledgment: int,
        flags: int,
        window: int,
        payload: memoryview,
        raw_options: memoryview,
        marked: bool,
        now: float,
    ) -> None:
        """A segment with a good checksum has come; `marked`: its packet bears CE (RFC 3168 5).

        This is the long way: RFC 9293 3.10.7.3 and 3.10.7.4, with RFC 7323, RFC 5961 and RFC 3168 where they come in.
        """
        options = parse_options(raw_options)
        if self.state is State.SYN_SENT:
            handshake.answered(self, sequence, acknowledgment, flags, window, payload, options, now)
            return
        receiver = self.receiver
        start = receiver.unwrap(sequence)
        if self.state is State.SYN_RECEIVED and flags & (SYN | RST | ACK) == SYN | ACK and start == receiver.irs:
            # Both sides opened at once: what counts of the peer's SYN,ACK is the ACK (RFC 9293 3.5, figure 7).
            start, flags = start + 1, flags & ~SYN
        if self.timestamps and not flags & RST:
            if options.timestamps is None:
                self.tcp.counters["tcp.no-timestamp"] += 1
                return  # RFC 7323 3.2: drop it
            if self._outdated(options.timestamps[0], now):
                self.tcp.counters["tcp.paws"] += 1
                if payload or flags & (SYN | FIN):
                    self._acknowledge_now()  # RFC 7323 5.3 R1; not for an ACK that others have overtaken
                return
        if self.state is State.SYN_RECEIVED and flags & SYN and start == receiver.irs and not flags & RST:
            if not flags & ACK:
                self.syn_due = True  # our SYN,ACK was lost
                self.schedule()
                return
            start, flags = receiver.nxt, flags & ~SYN  # both opened at once, and this acknowledges our SYN
        length = len(payload) + bool(flags & FIN) + bool(flags & SYN)
        if not receiver.acceptable(start, length):
            # First check. A RST outside the window is nothing (RFC 9293 3.10.7.4).
            if flags & RST:
                return
            if length and start + length <= receiver.nxt:
                # It came twice, so our ACK was lost: the next one must echo this transmission, not the first.
                self._remember_timestamp(start, options, now)
                if payload:
                    self.quick_acks = _QUICK_ACKS
                    receiver.duplicate = receiver.duplicate or (start, start + len(payload))
            if payload or flags & FIN or self.may_answer():
                self._acknowledge_now()
            if start != receiver.nxt or flags & SYN:
                return
            payload, flags = payload[:0], flags & ~FIN  # the window is closed: its ACK counts all the same
        self.last_heard = now
        if flags & RST:
            self._reset_by_peer(start, now)
            return
        if flags & SYN:
            self._challenge()  # RFC 5961 4.2
            return
        if not flags & ACK:
            return
        self._remember_timestamp(start, options, now)
        if self.ecn:
            if flags & CWR:
                self.ecn_echo = False
            if marked:
                self.ecn_echo = True
                self.ack_due = True
                self.schedule()
        if not self._acknowledged(start, acknowledgment, flags, window, payload, options, now):
            return
        if payload:
            self._data(start, payload, now)
        if flags & FIN and self.state is not State.CLOSED:
            receiver.fin = start + len(payload)
            if receiver.nxt < receiver.fin:
                self._acknowledge_now()  # it came before its time: RFC 5681 4.2
        if receiver.fin is not None and receiver.nxt == receiver.fin and not self.eof:
            self._end_of_peer(now)

    def hold(self) -> None:
        """What was received may be a view: have it copied by the end of the turn if nobody has read it."""
        if not self.holding:
            self.holding = True
            self.tcp.holding.append(self)

    def received(self, size: int, now: float) -> None:
        """In-order data has come: the application hears of it, and the peer will."""
        if not self._has_news:
            self.tell()
        if size >= LEAST_FULL and size != self.receive_full:
            self._measure(size)
        self.ack_octets = octets = self.ack_octets + size
        full = self.receive_full
        if octets >= full << 1 or (self.quick_acks and size >= full):
            if self.quick_acks:
                self.quick_acks -= 1
            self.ack_due = True
            self.schedule()
        elif self.ack_at == inf:
            self.ack_at = at = now + self.delayed_ack
            if at < self.heap_at:
                self.tcp.wake_at(self, at)

    def _measure(self, size: int) -> None:
        """A segment that may be full carried `size` octets. RFC 9293 3.8.6.3 asks for an acknowledgment of every second
        full one: a peer that never sends as much as our MSS would else wait for that of the third, or for the timer.

        Two in succession with less are believed, one with more at once. What is larger than any segment are several,
        that the device has put together.
        """
        if size < self.receive_full:
            if size == self.receive_size:
                self.receive_full = size
            self.receive_size = size
        elif size <= self.receive_most:
            self.receive_full = size

    def _outdated(self, value: int, now: float) -> bool:
        """PAWS: the timestamp is older than one that was seen (RFC 7323 5.3)."""
        return (value - self.timestamp_recent) & _M >= _HALF and now - self.timestamp_recent_at < _PAWS_IDLE

    def _remember_timestamp(self, start: int, options: Options, now: float) -> None:
        """What to echo from now on (RFC 7323 4.3 (2)); PAWS has seen that it is no older."""
        if self.timestamps and options.timestamps is not None and start <= self.last_ack_sent:
            self.timestamp_recent = options.timestamps[0]
            self.timestamp_recent_at = now

    def _reset_by_peer(self, start: int, now: float) -> None:
        """Second check: RST (RFC 9293 3.10.7.4, RFC 5961 3.2)."""
        if start != self.receiver.nxt:
            self._challenge()
            return
        self.tcp.counters["tcp.resets-received"] += 1
        if self.state is State.SYN_RECEIVED:
            self.finish(ConnectionRefused("the peer reset the connection while it was being opened"))
        else:
            self.finish(ConnectionReset("the peer reset the connection"))

    def may_answer(self) -> bool:
        """Whether a segment that cannot be, and brings nothing, gets an ACK: ten in five seconds do (RFC 5961 7).

        Two ends that have lost each other would answer each other's ACKs for ever. Each connection counts for itself: a
        limit that they shared would tell one peer what somebody sends to another, and so which ports and numbers the
        other has (CVE-2016-5696).
        """
        now = self.tcp.now
        if now - self.answered_from >= _ANSWERS_TIME:
            self.answered_from, self.answered = now, 0
        self.answered += 1
        if self.answered > _ANSWERS:
            self.tcp.counters["tcp.answers-withheld"] += 1
            return False
        return True

    def _challenge(self) -> None:
        """An ACK that lets an honest peer find out what is wrong; few of them (RFC 5961 7)."""
        if self.may_answer():
            self.tcp.counters["tcp.challenge-acks"] += 1
            self._acknowledge_now()

    def _acknowledge_now(self) -> None:
        self.ack_due = True
        self.schedule()

    def _acknowledged(
        self,
        start: int,
        acknowledgment: int,
        flags: int,
        window: int,
        payload: memoryview,
        options: Options,
        now: float,
    ) -> bool:
        """Fifth check: the ACK field. False when the segment goes no further."""
        sender = self.sender
        ack = sender.una + ((acknowledgment - sender.una + _HALF) & _M) - _HALF
        if self.state is State.SYN_RECEIVED:
            if not sender.una < ack <= sender.nxt:
                self.tcp.reset_for(self, acknowledgment, now)
                return False
            handshake.established(self, window, options, now)
        elif not sender.una - self.max_window <= ack <= sender.nxt:
            self._challenge()  # RFC 5961 5.2
            return False
        offered = window << self.scale
        if ack >= sender.una:
            blocks = []
            echo = self.echo(options, now)
            if options.sack and sender.sack:
                for left, right in options.sack[:4]:
                    low = sender.una + ((left - sender.una + _HALF) & _M) - _HALF
                    blocks.append((low, low + ((right - left) & _M)))
                if blocks[0][1] <= ack or (len(blocks) > 1 and blocks[1][0] <= blocks[0][0] < blocks[1][1]):
                    sender.on_dsack()  # RFC 2883 4
                    # What arrived twice made the peer say so, and its ACK of the first time was lost. Linux echoes the
                    # timestamp of the first time nevertheless: that is the age of the segment, and no round trip.
                    echo = None
            duplicate = (
                ack == sender.una and bool(sender.sent) and not payload and not flags & FIN and offered == self.window
            )
            congested = bool(self.ecn and flags & ECE and ack > self.ecn_recover)
            if congested:
                self.ecn_recover = sender.nxt
                self.cwr_due = True
            acked = sender.on_ack(ack, blocks, duplicate, echo, self._echoes_before(options), congested, now)
            if acked:
                self.framer.path.confirm(now)
                self.progress_at = now
                self._after_acknowledgment(now)
            if self.search is not None:
                if acked:
                    self.search.on_progress()
                pmtu.outcome(self, now)
            if start >= self.receiver.nxt - self.receiver.capacity:
                # RFC 9293 3.10.7.4: the window of the newest segment counts; `ack` is the newest, or equal
                self.window = offered
                self.max_window = max(self.max_window, offered)
                sender.edge = sender.una + offered
        if self.state is not State.CLOSED:
            self.schedule()
            self.set_timer()
        return self.state is not State.CLOSED

    def echo(self, options: Options, now: float) -> float | None:
        """The round trip that an echoed timestamp tells of, in seconds (RFC 7323 4)."""
        if not self.timestamps or options.timestamps is None:
            return None
        ticks = (transmit.timestamp(self, now) - options.timestamps[1]) & _M
        return ticks / 1000 if ticks < _HALF else None

    def _echoes_before(self, options: Options) -> bool:
        """Whether an ACK after a retransmission is for the original: its timestamp is older (RFC 3522 3.2)."""
        sender = self.sender
        if not self.timestamps or options.timestamps is None or not sender.sent:
            return False
        since = sender.undo_before
        if since is None:
            return False
        return (options.timestamps[1] - transmit.timestamp(self, since)) & _M >= _HALF

    def _after_acknowledgment(self, now: float) -> None:
        """Our FIN may have been acknowledged."""
        sender = self.sender
        if not sender.fin_sent or sender.una < sender.nxt:
            return
        if self.state is State.FIN_WAIT_1:
            self.state = State.FIN_WAIT_2
            if self.closed_by_application:
                self.life_at = now + self.tcp.settings.fin_wait_2
        elif self.state is State.CLOSING:
            self.enter_time_wait(now)
        elif self.state is State.LAST_ACK:
            self.finish(None)

    def _data(self, start: int, payload: memoryview, now: float) -> None:
        """Seventh check: the text of the segment."""
        receiver = self.receiver
        if not self.state.may_receive:
            return  # behind the peer's FIN: it cannot be
        if self.closed_by_application:
            self.tcp.counters["tcp.data-after-close"] += 1
            transmit.reset(self, now)
            self.finish(ConnectionReset("data came after the application had closed the connection"))
            return
        before = receiver.nxt
        gap = bool(receiver.ranges)
        receiver.take(start, payload)
        if receiver.nxt > before:
            self.hold()
            self.received(receiver.nxt - before, now)
        if gap or receiver.nxt == before:
            if receiver.dropped:
                self.tcp.counters["tcp.pieces-dropped"] += receiver.dropped
                receiver.dropped = 0
            self.quick_acks = _QUICK_ACKS
            self._acknowledge_now()  # RFC 5681 4.2: at once when it is out of order or fills a gap

    def _end_of_peer(self, now: float) -> None:
        """Eighth check: the peer's FIN, once everything before it has come."""
        self.receiver.nxt += 1
        self.eof = True
        self._acknowledge_now()
        if self.state is State.ESTABLISHED:
            self.state = State.CLOSE_WAIT
        elif self.state is State.FIN_WAIT_1:
            self.state = State.CLOSING
        elif self.state is State.FIN_WAIT_2:
            self.enter_time_wait(now)
        self.tell()

    def icmp_error(self, failure: NetworkFailure, hard: bool, error: IcmpError, now: float) -> None:
        """ICMP says that segments do not arrive. It ends only a connection that is being opened (RFC 5927 4)."""
        if hard and self.state in {State.SYN_SENT, State.SYN_RECEIVED}:
            self.finish(failure)
        else:
            self.soft_error = failure

    # How it goes on

    def schedule(self) -> None:
        """Have `transmit.output` called when the stack is polled next."""
        if not self._scheduled:
            self._scheduled = True
            self.tcp.scheduled.append(self)

    def set_timer(self) -> None:
        """Have `timers.expired` called at the earliest of this connection's deadlines, or a little before."""
        at = self.sender.timer_at
        if self.ack_at < at:
            at = self.ack_at
        if self.life_at < at:
            at = self.life_at
        if self.keeps_alive:
            at = min(at, self.keepalive_at)
        if at < self.heap_at:
            self.tcp.wake_at(self, at)

    @property
    def keeps_alive(self) -> bool:
        """Whether the timer of keep-alive runs. While data is under way that of retransmission does its work, and
        when it has come this one is set again."""
        return self.keepalive and self.state.synchronized and not self.sender.sent

    @property
    def keepalive_at(self) -> float:
        """When the next keep-alive probe is due (RFC 9293 3.8.4)."""
        tries = self.keepalive_tries if self.last_heard == self.keepalive_since else 0
        return self.last_heard + self.keepalive_idle + tries * self.keepalive_interval

    def enter_time_wait(self, now: float) -> None:
        """Both sides are done, and this one keeps the address pair for a while (RFC 9293 3.4.2)."""
        self.state = State.TIME_WAIT
        self.tcp.time_wait(self, now)
        self.tell()

    def finish(self, error: NetworkFailure | None) -> None:
        """It is over."""
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self.error = error
        sender = self.sender
        sender.queue, sender.sent, sender.queued, sender.sacked, sender.lost = [], [], 0, 0, 0
        sender.timer_at = self.ack_at = self.life_at = inf
        self.tcp.forget(self)
        self.tell()

    def __repr__(self) -> str:
        framer = self.framer
        return f"<Connection {framer.local_port} to {framer.remote_port}: {self.state.value}>"
