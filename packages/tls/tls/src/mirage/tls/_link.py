"""What the states of a handshake act on: keys, transcript, the octets to send, and what was agreed so far.

A state is a frozen value; receiving a message makes the next one, and everything else that the message causes is a call
of a method here, or an assignment to one of the facts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from ._constants import TLS13, ContentType, NamedGroup, Random, Scheme, Suite
from ._events import Event, HandshakeDone
from ._info import Info
from ._record import Keys, Reader, Writer
from ._schedule import Transcript, traffic_keys
from .config import ClientConfig, ServerConfig

if TYPE_CHECKING:
    from mirage.x509 import Certificate

    from .identity import Identity
    from .tickets import Session

__all__ = ["ClientLink", "Link", "Message", "ServerLink", "State"]

_ConfigT = TypeVar("_ConfigT", ClientConfig, ServerConfig)


class Message:
    """A handshake message: its type, its body, and both with the header."""

    __slots__ = ("body", "kind", "raw")

    def __init__(self, kind: int, body: bytes, raw: bytes) -> None:
        self.kind = kind
        self.body = body
        self.raw = raw


class Link(Generic[_ConfigT]):
    """The mutable part of a handshake; see the module."""

    def __init__(self, config: _ConfigT, now: float, random: Random, name: str | None = None) -> None:
        self.config: _ConfigT = config
        self.now = now
        self.random = random
        self.name = name
        """Client: whom we want to talk to, a DNS name or an IP address."""
        self.session: Session | None = None
        self.reader = Reader()
        self.writer = Writer()
        self.transcript = Transcript()
        self.events: list[Event] = []
        self.output: list[bytes | bytearray] = []
        self._flight = bytearray()

        self.version = 0
        self.suite: Suite
        self.group: NamedGroup | None = None
        self.scheme: Scheme | None = None
        self.server_name: str | None = None
        self.alpn: str | None = None
        self.peer_chain: tuple[Certificate, ...] = ()
        self.peer_key: bytes | None = None
        self.ocsp: bytes | None = None
        self.resumed = False
        self.early_data = False
        self.retried = False
        self.identity: Identity | None = None
        """Server: what it showed."""
        self.client_resumes = False
        """Server: whether the client said that it takes tickets."""
        self.done = False
        self.reading_early = False
        self.compatibility = False
        """Whether the one ChangeCipherSpec for middleboxes was sent (RFC 8446 D.4)."""

        self.client_random = b""
        self.server_random = b""
        self.read_secret = b""
        self.write_secret = b""
        self.alert_secret = b""
        """Client: with what an alert is sealed between the server's hello and the end of the handshake."""
        self.exporter_secret = b""
        """TLS 1.3: exporter_master_secret. TLS 1.2: the master secret."""
        self.early_exporter_secret = b""
        self.resumption_secret = b""
        self.first_finished = b""
        """TLS 1.2: what tls-unique is."""

    # what states do

    def send(self, raw: bytes) -> None:
        """Send a handshake message; messages of one flight share records."""
        self.transcript.add(raw)
        self._flight += raw

    def send_unhashed(self, raw: bytes) -> None:
        """Send a message that comes after the handshake, or is not part of its transcript."""
        self._flight += raw

    def flush(self) -> None:
        """Make records of the messages so far, with the keys of now."""
        if self._flight:
            self.output.append(self.writer.write(ContentType.HANDSHAKE, self._flight))
            self._flight = bytearray()

    def send_ccs(self) -> None:
        """ChangeCipherSpec: of TLS 1.2, or to please middleboxes."""
        self.flush()
        keys, self.writer.keys = self.writer.keys, None
        self.output.append(self.writer.write(ContentType.CCS, b"\x01"))
        self.writer.keys = keys

    def send_compatibility_ccs(self) -> None:
        """RFC 8446 D.4: once, and before what is encrypted."""
        if not self.compatibility:
            self.compatibility = True
            self.send_ccs()

    def read_with(self, secret: bytes) -> None:
        """From the next record on the peer's keys are those of this traffic secret."""
        self.read_secret = secret
        self.reader.keys = traffic_keys(self.suite, secret)

    def write_with(self, secret: bytes) -> None:
        """From now on our keys are those of this traffic secret."""
        self.flush()
        self.write_secret = secret
        self.writer.keys = traffic_keys(self.suite, secret)

    def read_keys(self, keys: Keys) -> None:
        """The peer's keys, of TLS 1.2."""
        self.reader.keys = keys

    def write_keys(self, keys: Keys) -> None:
        """Our keys, of TLS 1.2."""
        self.flush()
        self.writer.keys = keys

    def log(self, label: str, secret: bytes) -> None:
        """A line of SSLKEYLOGFILE."""
        if self.config.keylog is not None:
            self.config.keylog(f"{label} {self.client_random.hex()} {secret.hex()}")

    def limit_records(self, peer: int | None) -> None:
        """RFC 8449: the peer's limit binds our records, and ours binds the peer's."""
        if peer is None:
            return
        typed = 1 if self.version == TLS13 else 0  # 4: in TLS 1.3 the limit counts the type as well
        self.writer.limit = min(self.writer.limit, peer - typed)
        if self.config.record_size_limit is not None:
            self.reader.limit = min(self.reader.limit, self.config.record_size_limit - typed)

    def finish(self) -> None:
        """The handshake is done."""
        self.done = True
        self.reader.plain_alerts = False
        self.transcript.forget()
        self.events.append(HandshakeDone(self.info()))

    def info(self) -> Info:
        """What was agreed."""
        return Info(
            version="TLSv1.3" if self.version == TLS13 else "TLSv1.2",
            suite=self.suite.name,
            group=self.group.name if self.group else None,
            scheme=self.scheme.name if self.scheme else None,
            server_name=self.server_name,
            alpn=self.alpn,
            peer_chain=self.peer_chain,
            peer_key=self.peer_key,
            ocsp=self.ocsp,
            resumed=self.resumed,
            early_data=self.early_data,
            retried=self.retried,
        )


ClientLink = Link[ClientConfig]
ServerLink = Link[ServerConfig]

_Link_contra = TypeVar("_Link_contra", contravariant=True)


class State(Protocol[_Link_contra]):
    """Where a handshake stands."""

    @property
    def expects(self) -> tuple[int, ...]:
        """The types of the messages that may come now."""

    def receive(self, message: Message, link: _Link_contra) -> State[_Link_contra]:
        """The state after a message of one of these types. Raises `Failure`."""
