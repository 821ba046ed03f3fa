"""`Connection`: octets and time in, octets and events out.

It takes records apart, puts handshake messages together, hands them to the state of the handshake, and looks after what
is the same in every state: alerts, KeyUpdate, ChangeCipherSpec, application data, limits, and the end.
"""

from __future__ import annotations

from typing import Any, Final

from ._alerts import Alert
from ._client import is_address
from ._client import start as start_client
from ._constants import TLS12, TLS13, ContentType, Msg, Random
from ._events import ApplicationData, EarlyData, Event, KeysUpdated, PeerClosed, Step
from ._info import Info
from ._link import Link, Message
from ._schedule import derive, empty_hash, expand_label, next_traffic_secret, prf
from ._server import WaitClientHello
from ._trust import end_point, needs_name, read_own_chain
from ._wire import message as wire_message
from .config import ClientConfig, ServerConfig
from .errors import AlertReceived, Failure, PeerMisbehaved, Truncated, UsageError
from .tickets import Session

__all__ = ["Connection", "client", "server"]

MAX_EMPTY: Final = 32
"""Empty records in a row."""
MAX_KEY_UPDATES: Final = 32
"""KeyUpdates without application data between them."""
MAX_WARNINGS: Final = 4
MAX_CCS: Final = 4
REKEY_AFTER: Final = 1 << 24
"""Records with one key, below the limit of RFC 8446 5.5 for AES-GCM."""


def client(
    config: ClientConfig, name: str | None, now: float, random: Random, session: Session | None = None
) -> Connection:
    """A connection to the server called `name`, a DNS name in ASCII or an IP address; None only where the authenticator
    needs none. The first `handle` starts it. Raises `UsageError` for what is no name."""
    if name is None and needs_name(config.authenticator):
        raise UsageError("a chain of trust says nothing without the name it shall be for; give the server's name")
    if name is not None:
        if not name.isascii() or not name or len(name) > 253 or any(c <= " " or c == "\x7f" for c in name):
            raise UsageError(f"{name!r} is no host name; encode other scripts as A-labels (IDNA) first")
        name = name if is_address(name) else name.lower().removesuffix(".")
    link: Link[ClientConfig] = Link(config, now, random, name)
    return Connection(link, session=session)


def server(config: ServerConfig, now: float, random: Random) -> Connection:
    """A connection of a server."""
    return Connection(Link(config, now, random))


class Connection:
    """One end of a TLS connection; made by `client` and `server`.

    After a `Failure` every call raises it again.
    """

    __slots__ = (
        "_ccs",
        "_closed",
        "_early",
        "_early_left",
        "_empty",
        "_failure",
        "_handshake",
        "_info",
        "_is_client",
        "_key_updates",
        "_link",
        "_peer_closed",
        "_session",
        "_started",
        "_state",
        "_update_owed",
        "_warnings",
    )

    def __init__(self, link: Link[Any], session: Session | None = None) -> None:
        self._link = link
        self._is_client = isinstance(link.config, ClientConfig)
        self._session = session
        self._state: Any = None if self._is_client else WaitClientHello()
        self._started = not self._is_client
        self._handshake = bytearray()
        self._early = b""
        self._early_left = 0 if self._is_client else link.config.early_data
        self._failure: Failure | None = None
        self._info: Info | None = None
        self._closed = False
        self._peer_closed = False
        self._update_owed = False
        self._empty = self._key_updates = self._warnings = self._ccs = 0

    # where it stands

    @property
    def done(self) -> bool:
        """Whether the handshake is done."""
        return bool(self._link.done)

    @property
    def closed(self) -> bool:
        """Whether we have said that we send nothing more, or the connection failed."""
        return self._closed or self._failure is not None

    @property
    def peer_closed(self) -> bool:
        """Whether the peer has said that it sends nothing more."""
        return self._peer_closed

    @property
    def failure(self) -> Failure | None:
        """What ended the connection before its time."""
        return self._failure

    @property
    def info(self) -> Info:
        """What was agreed. Raises `UsageError` before the handshake is done."""
        if not self._link.done:
            raise UsageError("nothing is agreed yet; wait for HandshakeDone")
        if self._info is None:
            self._info = self._link.info()
        return self._info

    # octets

    def handle(self, data: bytes | bytearray | memoryview, now: float) -> Step:
        """Take what arrived. Raises `Failure`; send its `output` all the same."""
        if self._failure is not None:
            raise self._failure
        link = self._link
        link.now = now
        link.events, link.output = [], []
        try:
            if link.done and not self._handshake and not self._peer_closed:  # most calls bring data and nothing else
                content, taken = link.reader.read_data(data)
                if taken:
                    self._empty = self._key_updates = self._warnings = 0
                    if taken == len(data):
                        return Step(b"", (ApplicationData(content),))
                    link.events.append(ApplicationData(content))
                    data = memoryview(data)[taken:]
            if not self._started:
                self._started = True
                self._state = start_client(link, self._session, self._early)
                if link.writer.keys is not None and self._early:
                    link.output.append(link.writer.write(ContentType.DATA, self._early))
                self._session, self._early = None, b""
            if data and not self._peer_closed:
                self._read(data)
        except Failure as failure:
            raise self._fail(failure) from None
        return Step(b"".join(link.output) if link.output else b"", tuple(link.events))

    def take(self, data: bytes | bytearray | memoryview) -> bytes:
        """The application data, where these octets are one record of it and nothing else: the short way of `handle`.

        Otherwise nothing, and nothing has happened: give them to `handle`.
        """
        if self._failure is not None or not self._link.done or self._handshake or self._peer_closed:
            return b""
        if content := self._link.reader.read_one(data):
            self._empty = self._key_updates = self._warnings = 0
        return content

    def eof(self) -> None:
        """The transport ended. Raises `Truncated` unless the peer had said that it was done."""
        if self._failure is not None or self._peer_closed:
            return
        self._closed = True
        where = "in the middle of the data" if self._link.done else "during the handshake"
        self._failure = Truncated(f"the connection ended {where}, without close_notify; what came may be a part")
        raise self._failure

    def send(self, data: bytes | bytearray | memoryview) -> bytes | bytearray:
        """The records for some data. Raises `UsageError` before the handshake is done and after `close`."""
        link = self._link
        if self._closed or not link.done or self._failure is not None:
            self._may_send()  # which says why not
        if not data:
            return b""
        writer = link.writer
        keys = writer.keys
        assert keys is not None
        if self._update_owed or (keys.sequence >= REKEY_AFTER and keys.version == TLS13):
            self._update_owed = False
            return self._send_key_update(request=False) + writer.write(ContentType.DATA, data)
        return writer.write(ContentType.DATA, data)

    def send_early(self, data: bytes) -> None:
        """Client: send this with the first flight (0-RTT), if the session allows it. Raises `UsageError`.

        It can be sent again by whoever records it: only what may be done twice belongs here. `EarlyDataRejected` says
        that the server did not take it.
        """
        if not self._is_client or self._started:
            raise UsageError("early data is a client's, before its first handle")
        if self._session is None or not self._session.early_data:
            raise UsageError("early data needs a session whose server takes it; see Session.early_data")
        if len(self._early) + len(data) > self._session.early_data:
            raise UsageError(f"the server takes {self._session.early_data} octets of early data at the most")
        self._early += data

    def close(self) -> bytes | bytearray:
        """close_notify; what the peer still sends is taken until its own. Nothing the second time."""
        if self.closed:
            return b""
        self._closed = True
        if not self._started:
            return b""
        kind = Alert.CLOSE_NOTIFY if self._link.done else Alert.USER_CANCELED
        output = self._link.writer.write(ContentType.ALERT, bytes((1, kind)))
        if kind is Alert.USER_CANCELED:
            output += self._link.writer.write(ContentType.ALERT, bytes((1, Alert.CLOSE_NOTIFY)))
        return output

    def update_keys(self, request: bool = False) -> bytes | bytearray:
        """New keys for what we send; with `request` the peer shall do the same (RFC 8446 4.6.3)."""
        self._may_send()
        if self._link.version != TLS13:
            raise UsageError("TLS 1.2 has no KeyUpdate; open another connection")
        self._update_owed = False
        return self._send_key_update(request=request)

    def export(self, label: str, context: bytes | None, length: int) -> bytes:
        """Keying material for another protocol (RFC 5705 4, RFC 8446 7.5). Raises `UsageError`."""
        link = self._link
        if not link.done:
            raise UsageError("keys are exported once the handshake is done")
        algorithm = link.suite.hash
        if not 0 < length <= 255 * algorithm.digest_size:
            raise UsageError(f"{length} octets cannot be exported")
        if link.version == TLS13:
            secret = derive(algorithm, link.exporter_secret, label, empty_hash(algorithm))
            return expand_label(algorithm, secret, "exporter", algorithm.digest(context or b""), length)
        seed = link.client_random + link.server_random
        if context is not None:
            seed += len(context).to_bytes(2, "big") + context
        return prf(algorithm, link.exporter_secret, label.encode("ascii"), seed, length)

    def channel_binding(self, kind: str) -> bytes:
        """What ties an authentication in the application to this connection (RFC 5929, RFC 9266).

        tls-exporter; tls-unique (TLS 1.2); tls-server-end-point. Raises `UsageError`.
        """
        link = self._link
        if not link.done:
            raise UsageError("channels are bound once the handshake is done")
        if kind == "tls-exporter":
            return self.export("EXPORTER-Channel-Binding", b"", 32)
        if kind == "tls-unique":
            if link.version == TLS13:
                raise UsageError("tls-unique is not for TLS 1.3 (RFC 9266 3); use tls-exporter")
            return bytes(link.first_finished)
        if kind == "tls-server-end-point":
            chain = link.peer_chain if self._is_client else read_own_chain(link.identity.chain if link.identity else ())
            if not chain:
                raise UsageError("the server showed no certificate on this connection; use tls-exporter")
            return end_point(chain[0])
        raise UsageError(
            f"no channel binding is called {kind}; there are tls-exporter, tls-unique, tls-server-end-point"
        )

    # inside

    def _may_send(self) -> None:
        if self._failure is not None:
            raise UsageError(f"the connection has failed: {self._failure}")
        if self._closed:
            raise UsageError("the connection was closed by us; nothing more can be sent")
        if not self._link.done:
            raise UsageError("the handshake is not done; wait for HandshakeDone")

    def _fail(self, failure: Failure) -> Failure:
        self._failure = failure
        link = self._link
        if failure.alert is not None and not isinstance(failure, AlertReceived):
            if link.alert_secret and link.writer.keys is None:
                link.send_compatibility_ccs()
                link.write_with(link.alert_secret)
            link.output.append(link.writer.write(ContentType.ALERT, bytes((2, failure.alert))))
        failure.output = b"".join(link.output)
        failure.events = tuple(link.events)
        return failure

    def _read(self, data: bytes | bytearray | memoryview) -> None:
        for kind, content in self._link.reader.read(data):
            if kind == ContentType.DATA:
                self._data(content)
            elif kind == ContentType.HANDSHAKE:
                self._messages(content)
            elif kind == ContentType.ALERT:
                self._alert(content)
                if self._peer_closed:
                    return  # RFC 8446 6.1: what follows is ignored
            elif kind == ContentType.CCS:
                self._change_cipher_spec(content)
            else:
                raise PeerMisbehaved(f"content of the unknown type {kind}", Alert.UNEXPECTED_MESSAGE)

    def _data(self, content: bytes | bytearray) -> None:
        link = self._link
        if self._handshake:
            raise PeerMisbehaved("data in the middle of a handshake message", Alert.UNEXPECTED_MESSAGE)
        if not link.done and not link.reading_early:
            raise PeerMisbehaved("data before the handshake is done", Alert.UNEXPECTED_MESSAGE)
        if not content:
            self._empty += 1
            if self._empty > MAX_EMPTY:
                raise PeerMisbehaved("empty records without end", Alert.UNEXPECTED_MESSAGE)
            return
        self._empty = 0
        if link.reading_early:
            self._early_left -= len(content)
            if self._early_left < 0:
                raise PeerMisbehaved("more early data than was allowed", Alert.UNEXPECTED_MESSAGE)
            link.events.append(EarlyData(content))
            return
        self._key_updates = self._warnings = 0
        events: list[Event] = link.events
        if events and isinstance(events[-1], ApplicationData):
            events[-1] = ApplicationData(events[-1].data + content)
        else:
            events.append(ApplicationData(content))

    def _messages(self, content: bytes | bytearray) -> None:
        link, buffer = self._link, self._handshake
        if not content:
            raise PeerMisbehaved("an empty record of the handshake", Alert.UNEXPECTED_MESSAGE)  # RFC 8446 5.1
        buffer += content
        at = 0
        while len(buffer) - at >= 4:
            length = int.from_bytes(buffer[at + 1 : at + 4], "big")
            if length > link.config.max_handshake:
                raise PeerMisbehaved(f"a handshake message of {length} octets", Alert.DECODE_ERROR)
            stop = at + 4 + length
            if stop > len(buffer):
                break
            raw = bytes(buffer[at:stop])
            at = stop
            keys, answers = link.reader.keys, len(link.output)
            self._message(Message(raw[0], raw[4:], raw))
            if link.reader.keys is not keys and at != len(buffer):
                raise PeerMisbehaved("a change of keys in the middle of a record", Alert.UNEXPECTED_MESSAGE)
            if len(link.output) != answers and at != len(buffer) and not link.done:
                raise PeerMisbehaved("a message before its turn", Alert.UNEXPECTED_MESSAGE)
        del buffer[:at]

    def _message(self, message: Message) -> None:
        link, kind = self._link, message.kind
        if link.done and kind == Msg.KEY_UPDATE and link.version == TLS13:
            self._key_update(message.body)
        elif kind in self._state.expects:
            self._state = self._state.receive(message, link)
        elif link.done and link.version == TLS12 and kind in (Msg.HELLO_REQUEST, Msg.CLIENT_HELLO):
            self._refuse_renegotiation()
        elif kind == Msg.HELLO_REQUEST and link.version == TLS12 and self._is_client and not message.body:
            pass  # RFC 5246 7.4.1.1: ignored during a handshake
        else:
            raise PeerMisbehaved(f"a handshake message of the type {kind} has no place here", Alert.UNEXPECTED_MESSAGE)

    def _refuse_renegotiation(self) -> None:
        """RFC 5746 4.5: say no; whoever insists is gone."""
        self._warning("renegotiation is not spoken here")
        self._link.output.append(self._link.writer.write(ContentType.ALERT, bytes((1, Alert.NO_RENEGOTIATION))))

    def _key_update(self, body: bytes) -> None:
        link = self._link
        if body not in (b"\0", b"\1"):
            raise PeerMisbehaved(
                "a malformed KeyUpdate", Alert.DECODE_ERROR if len(body) != 1 else Alert.ILLEGAL_PARAMETER
            )
        self._key_updates += 1
        if self._key_updates > MAX_KEY_UPDATES:
            raise PeerMisbehaved("KeyUpdates without end", Alert.UNEXPECTED_MESSAGE)
        link.read_with(next_traffic_secret(link.suite.hash, link.read_secret))
        link.events.append(KeysUpdated())
        if body == b"\1":
            self._update_owed = True  # RFC 8446 4.6.3: before the next data; one answer to all that came until then

    def _send_key_update(self, request: bool) -> bytes | bytearray:
        link = self._link
        output = link.writer.write(ContentType.HANDSHAKE, wire_message(Msg.KEY_UPDATE, bytes((request,))))
        link.write_with(next_traffic_secret(link.suite.hash, link.write_secret))
        return output

    def _alert(self, content: bytes | bytearray) -> None:
        link = self._link
        if len(content) != 2:
            raise PeerMisbehaved("a malformed alert", Alert.DECODE_ERROR)
        if self._handshake:
            raise PeerMisbehaved("an alert in the middle of a handshake message", Alert.UNEXPECTED_MESSAGE)
        level, code = content
        if code == Alert.CLOSE_NOTIFY:
            if not link.done:
                raise AlertReceived("the peer closed during the handshake", Alert.CLOSE_NOTIFY)
            self._peer_closed = True
            link.events.append(PeerClosed())
            return
        # RFC 6066 3: before the version is known, the warning of a server that does not have the name
        warning = level == 1 and (link.version == TLS12 or (not link.version and code == Alert.UNRECOGNIZED_NAME))
        if code == Alert.USER_CANCELED or warning:
            self._warning("warnings without end")
            return
        try:
            alert = Alert(code)
        except ValueError:
            raise AlertReceived(f"the peer gave up with the unknown alert {code}") from None
        raise AlertReceived(f"the peer gave up: {alert.text}", alert)

    def _warning(self, message: str) -> None:
        self._warnings += 1
        if self._warnings > MAX_WARNINGS:
            raise PeerMisbehaved(message, Alert.UNEXPECTED_MESSAGE)

    def _change_cipher_spec(self, content: bytes | bytearray) -> None:
        link = self._link
        if content != b"\x01":
            raise PeerMisbehaved("a malformed ChangeCipherSpec", Alert.UNEXPECTED_MESSAGE)
        if self._handshake:
            raise PeerMisbehaved("ChangeCipherSpec in the middle of a message", Alert.UNEXPECTED_MESSAGE)
        if link.version == TLS12:
            change = getattr(self._state, "change_cipher_spec", None)
            if change is None:
                raise PeerMisbehaved("ChangeCipherSpec has no place here", Alert.UNEXPECTED_MESSAGE)
            self._state = change(link)
            return
        self._ccs += 1
        # RFC 8446 5: dropped between the first ClientHello and the peer's Finished
        if link.done or self._ccs > MAX_CCS or (not self._is_client and not link.client_random):
            raise PeerMisbehaved("ChangeCipherSpec has no place here", Alert.UNEXPECTED_MESSAGE)
