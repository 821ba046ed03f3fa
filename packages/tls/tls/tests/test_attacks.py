"""Each known attack of `attacks.md`, tried."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mirage.tls
import pytest
from mirage.tls import (
    Alert,
    AlertReceived,
    ApplicationData,
    ClientConfig,
    Connection,
    Failure,
    NothingInCommon,
    PeerMisbehaved,
    ServerConfig,
    TicketKeys,
    TicketReceived,
    Truncated,
    UsageError,
    client,
    server,
)
from mirage.tls._compression import decompress
from mirage.tls._constants import SUITES, ContentType, Ext, Msg
from mirage.tls._hellos import ClientHello, ServerHello
from mirage.tls._messages import certificate_13, read_certificate_13
from mirage.tls._wire import message, v8, v16
from mirage.tls.testing import accept_anyone, connect, randomness, shuttle

NOW = 1_750_000_000.0
HELLO = 5  # octets of a record's header
Change = Callable[[ClientHello], ClientHello]


def serving(pki: Any, **more: Any) -> ServerConfig:
    return ServerConfig(identities=(pki.identity(),), **more)


def anyone(**more: Any) -> ClientConfig:
    return ClientConfig(authenticator=accept_anyone, **more)


def seal(sender: Connection, kind: int, content: bytes) -> bytes:
    """A record that the sender would seal, whatever its content."""
    return bytes(sender._link.writer.write(kind, content))


def plain(kind: int, content: bytes) -> bytes:
    return bytes((kind, 3, 3)) + v16(content)


def first_flight(config: ClientConfig) -> tuple[Connection, bytes]:
    ours = client(config, "example.org", NOW, randomness("client"))
    return ours, ours.handle(b"", NOW).output


def changed_hello(config: ClientConfig, change: Change) -> bytes:
    """A ClientHello of ours that somebody changed."""
    _, flight = first_flight(config)
    return plain(ContentType.HANDSHAKE, change(ClientHello.decode(flight[HELLO + 4 :])).encode())


def without(kind: int) -> Change:
    return lambda hello: replace(hello, extensions={k: v for k, v in hello.extensions.items() if k != kind})


def having(kind: int, data: bytes) -> Change:
    return lambda hello: replace(hello, extensions={**hello.extensions, kind: data})


def refused(connection: Connection, data: bytes, alert: Alert) -> Failure:
    """The octets end the connection with this alert."""
    with pytest.raises(Failure) as failure:
        connection.handle(data, NOW)
    assert failure.value.alert is alert, failure.value
    with pytest.raises(type(failure.value)):
        connection.handle(b"", NOW)
    return failure.value


# downgrades


def test_a_version_downgrade_is_seen(pki: Any) -> None:
    """Somebody takes TLS 1.3 out of the ClientHello: the server's random gives it away (RFC 8446 4.1.3)."""
    ours, flight = first_flight(anyone())
    weaker = without(Ext.SUPPORTED_VERSIONS)(ClientHello.decode(flight[HELLO + 4 :]))
    theirs = server(serving(pki), NOW, randomness("server"))
    answer = theirs.handle(plain(ContentType.HANDSHAKE, weaker.encode()), NOW).output
    failure = refused(ours, answer, Alert.ILLEGAL_PARAMETER)
    assert "choose less" in str(failure)


def test_a_fallback_is_seen(pki: Any) -> None:
    """TLS_FALLBACK_SCSV (RFC 7507)."""
    hello = changed_hello(anyone(versions=("TLSv1.2",)), lambda hello: replace(hello, suites=(*hello.suites, 0x5600)))
    refused(server(serving(pki), NOW, randomness("s")), hello, Alert.INAPPROPRIATE_FALLBACK)


@pytest.mark.parametrize("version", [0x0300, 0x0301, 0x0302])
def test_old_versions_are_not_spoken(pki: Any, version: int) -> None:
    """SSL 3.0, TLS 1.0 and TLS 1.1 (POODLE, BEAST), as client and as server."""
    hello = changed_hello(anyone(versions=("TLSv1.2",)), lambda hello: replace(hello, version=version))
    refused(server(serving(pki), NOW, randomness("s")), hello, Alert.PROTOCOL_VERSION)
    ours, _ = first_flight(anyone(versions=("TLSv1.2",)))
    answer = ServerHello(version, bytes(32), b"", 0xC02B, {}).encode()
    refused(ours, plain(ContentType.HANDSHAKE, answer), Alert.PROTOCOL_VERSION)


def test_weak_suites_are_not_spoken() -> None:
    """No CBC, RC4, export, anonymous, static RSA or finite-field suites: Lucky 13, Sweet32, FREAK, Logjam, ROBOT."""
    assert all(re.fullmatch(r"TLS_(ECDHE_(ECDSA|RSA)_WITH_)?(AES_.*_(GCM|CCM)|CHACHA20).*", name) for name in SUITES)
    config = anyone()
    assert not {scheme.name for scheme in config.scheme_values} & {"rsa_pkcs1_sha1", "ecdsa_sha1", "rsa_pkcs1_md5"}


def test_compression_is_refused(pki: Any) -> None:
    """CRIME: a ServerHello that compresses, and a ClientHello of TLS 1.3 that offers it."""
    ours, _ = first_flight(anyone(versions=("TLSv1.2",)))
    answer = ServerHello(0x0303, bytes(32), b"", 0xC02B, {}, compression=1).encode()
    refused(ours, plain(ContentType.HANDSHAKE, answer), Alert.ILLEGAL_PARAMETER)
    hello = changed_hello(anyone(), lambda hello: replace(hello, compressions=b"\1\0"))
    refused(server(serving(pki), NOW, randomness("s")), hello, Alert.ILLEGAL_PARAMETER)


# sessions and renegotiation


@pytest.mark.parametrize("kind", [Ext.EXTENDED_MASTER_SECRET, Ext.RENEGOTIATION_INFO])
def test_sessions_that_do_not_stand_for_their_handshake(pki: Any, kind: int) -> None:
    """Triple handshake (RFC 7627), and prefix injection (RFC 5746): the peer must have both, in both roles."""
    config = anyone(versions=("TLSv1.2",))
    refused(server(serving(pki), NOW, randomness("s")), changed_hello(config, without(kind)), Alert.HANDSHAKE_FAILURE)
    ours, flight = first_flight(config)
    answer = server(serving(pki), NOW, randomness("s")).handle(flight, NOW).output
    size = int.from_bytes(answer[6:9], "big")
    hello = ServerHello.decode(answer[9 : 9 + size])
    items = {k: v for k, v in hello.extensions.items() if k != kind}
    refused(ours, plain(ContentType.HANDSHAKE, replace(hello, extensions=items).encode()), Alert.HANDSHAKE_FAILURE)


def test_renegotiation_of_a_client_is_refused(pki: Any) -> None:
    """A second ClientHello in TLS 1.2 is answered with a warning; whoever insists is gone."""
    ours, theirs, _, _ = connect(anyone(versions=("TLSv1.2",)), serving(pki))
    hello = first_flight(anyone())[1][HELLO:]
    for _ in range(4):
        step = theirs.handle(seal(ours, ContentType.HANDSHAKE, hello), NOW)
        assert ours.handle(step.output, NOW).events == ()
    refused(theirs, seal(ours, ContentType.HANDSHAKE, hello), Alert.UNEXPECTED_MESSAGE)


def test_a_ticket_that_was_changed(pki: Any) -> None:
    """It is none; a binder that was changed ends the handshake."""
    config, taking = anyone(), serving(pki, tickets=TicketKeys(bytes(32)))
    events = connect(config, taking)[2]
    session = next(event.session for event in events if isinstance(event, TicketReceived))
    for at in range(0, len(session.ticket), 7):
        ticket = bytearray(session.ticket)
        ticket[at] ^= 1
        assert not connect(config, taking, session=replace(session, ticket=bytes(ticket)))[0].info.resumed
    with pytest.raises(PeerMisbehaved, match="binder") as failure:
        connect(config, taking, session=replace(session, secret=bytes(32)))
    assert failure.value.alert is Alert.DECRYPT_ERROR


# the key exchange


@pytest.mark.parametrize("group", ["x25519", "x448", "secp256r1", "secp384r1", "secp521r1", "X25519MLKEM768"])
def test_shares_that_are_no_elements(pki: Any, group: str) -> None:
    """Points off the curve, small subgroups, wrong lengths: refused in both roles, without a key made of them."""
    config = anyone(groups=(group,), versions=("TLSv1.3",), grease=False)
    code = config.group_values[0].code
    size = len(config.group_values[0].offer(randomness("x"))[0])
    for share in (bytes(size), b"\x04" + b"\xff" * (size - 1), b"\1", b"\1" * (size + 1)):
        if share[:1] == b"\x04" and group.startswith(("x", "X")):
            continue
        data = v16(code.to_bytes(2, "big") + v16(share))
        hello = changed_hello(config, having(Ext.KEY_SHARE, data))
        theirs = server(serving(pki, groups=(group,), versions=("TLSv1.3",)), NOW, randomness("s"))
        refused(theirs, hello, Alert.ILLEGAL_PARAMETER)
        ours, flight = first_flight(config)
        answer = server(serving(pki, groups=(group,), versions=("TLSv1.3",)), NOW, randomness("s")).handle(flight, NOW)
        size_of_hello = int.from_bytes(answer.output[3:5], "big")
        hello_13 = ServerHello.decode(answer.output[HELLO + 4 : HELLO + size_of_hello])
        items = {**hello_13.extensions, Ext.KEY_SHARE: code.to_bytes(2, "big") + v16(share)}
        bad = replace(hello_13, extensions=items).encode()
        refused(ours, plain(ContentType.HANDSHAKE, bad), Alert.ILLEGAL_PARAMETER)


def test_a_retry_that_repeats_itself(pki: Any) -> None:
    """A second HelloRetryRequest, one for a group that has a share already, and one that changes nothing."""
    retrying = serving(pki, groups=("secp521r1",), versions=("TLSv1.3",))
    ours, flight = first_flight(anyone())
    retry = server(retrying, NOW, randomness("s")).handle(flight, NOW).output
    ours.handle(retry, NOW)
    refused(ours, retry, Alert.UNEXPECTED_MESSAGE)
    hello = ServerHello.decode(retry[HELLO + 4 : HELLO + int.from_bytes(retry[3:5], "big")])
    for items in ({Ext.KEY_SHARE: b"\0\x1d"}, {}):
        ours, _ = first_flight(anyone())
        again = replace(hello, extensions={Ext.SUPPORTED_VERSIONS: b"\3\4", **items}, session_id=_id_of(ours))
        refused(ours, plain(ContentType.HANDSHAKE, again.encode()), Alert.ILLEGAL_PARAMETER)


def _id_of(connection: Connection) -> bytes:
    return bytes(connection._state.offer.hello.session_id)


def test_a_second_hello_that_differs(pki: Any) -> None:
    """After a HelloRetryRequest only what it asks for may change (RFC 8446 4.1.2)."""
    ours, flight = first_flight(anyone())
    theirs = server(serving(pki, groups=("secp521r1",), versions=("TLSv1.3",)), NOW, randomness("s"))
    second = ours.handle(theirs.handle(flight, NOW).output, NOW).output
    record = second[6:]  # behind the ChangeCipherSpec
    hello = ClientHello.decode(record[HELLO + 4 :])
    changed = replace(hello, suites=hello.suites[:-1]).encode()
    refused(theirs, plain(ContentType.HANDSHAKE, changed), Alert.ILLEGAL_PARAMETER)


# what is sent without protection, or in the wrong place


def test_nothing_without_protection_is_taken_once_there_are_keys(pki: Any) -> None:
    """An injected alert, message or datum ends a connection of TLS 1.3, and never looks like an orderly end."""
    for kind, content in ((ContentType.ALERT, b"\1\0"), (ContentType.HANDSHAKE, b"\x18\0\0\1\0")):
        ours, theirs, _, _ = connect(anyone(), serving(pki))
        refused(ours, plain(kind, content), Alert.UNEXPECTED_MESSAGE)
        ours, theirs, _, _ = connect(anyone(), serving(pki))
        theirs.handle(bytes(ours.update_keys()), NOW)  # new keys, sequence number 0 again
        refused(theirs, plain(kind, content), Alert.UNEXPECTED_MESSAGE)
    ours, _, _, _ = connect(anyone(versions=("TLSv1.2",)), serving(pki))
    refused(ours, plain(ContentType.ALERT, b"\1\0"), Alert.BAD_RECORD_MAC)
    ours, _ = first_flight(anyone())
    refused(ours, plain(ContentType.DATA, b"early"), Alert.UNEXPECTED_MESSAGE)


def test_a_key_change_in_the_middle_of_a_record(pki: Any) -> None:
    """RFC 8446 5.1: what follows a KeyUpdate in its record was sealed with the wrong keys."""
    ours, theirs, _, _ = connect(anyone(), serving(pki))
    update = message(Msg.KEY_UPDATE, b"\0")
    refused(theirs, seal(ours, ContentType.HANDSHAKE, update + b"\x18"), Alert.UNEXPECTED_MESSAGE)


def test_data_in_the_middle_of_a_message(pki: Any) -> None:
    """RFC 8446 5.1: the parts of a handshake message come in a row."""
    for kind, content in ((ContentType.DATA, b"x"), (ContentType.ALERT, b"\2\x28")):
        ours, theirs, _, _ = connect(anyone(), serving(pki))
        theirs.handle(seal(ours, ContentType.HANDSHAKE, b"\x18\0"), NOW)
        refused(theirs, seal(ours, kind, content), Alert.UNEXPECTED_MESSAGE)


def test_an_early_change_cipher_spec(pki: Any) -> None:
    """CVE-2014-0224: ChangeCipherSpec before the key exchange, in both roles of TLS 1.2."""
    ours, flight = first_flight(anyone(versions=("TLSv1.2",)))
    theirs = server(serving(pki), NOW, randomness("s"))
    answer = theirs.handle(flight, NOW).output
    refused(theirs, plain(ContentType.CCS, b"\1"), Alert.UNEXPECTED_MESSAGE)
    size = int.from_bytes(answer[6:9], "big") + 4
    ours.handle(plain(ContentType.HANDSHAKE, answer[HELLO : HELLO + size]), NOW)
    refused(ours, plain(ContentType.CCS, b"\1"), Alert.UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_messages_that_are_left_out_or_out_of_order(pki: Any, version: str) -> None:
    """SMACK, SKIP: in no state is a message taken that is not of the types that the state names."""
    config = anyone(versions=(version,))
    for count in range(1, 6):
        for kind in (0, 1, 2, 4, 5, 8, 11, 12, 13, 14, 15, 16, 20, 22, 24, 25, 99):
            ours, flight = first_flight(config)
            theirs = server(serving(pki), NOW, randomness("s"))
            sides, data = (theirs, ours), flight
            for turn in range(count):
                data = sides[turn % 2].handle(data, NOW).output
                if not data:
                    break
            target, sender = sides[count % 2], sides[(count + 1) % 2]
            if kind in target._state.expects or (kind == Msg.KEY_UPDATE and version == "TLSv1.3" and target.done):
                continue
            if version == "TLSv1.2" and kind in (Msg.HELLO_REQUEST, Msg.CLIENT_HELLO):
                continue  # refused with a warning: another test
            writer, keys = sender._link.writer, sender._link.writer.keys
            if target._link.reader.keys is None:
                writer.keys = None
            record = bytes(writer.write(ContentType.HANDSHAKE, message(kind, b"\0")))
            writer.keys = keys
            with pytest.raises(Failure) as failure:
                target.handle(record, NOW)
            assert failure.value.alert in (Alert.UNEXPECTED_MESSAGE, Alert.BAD_RECORD_MAC)


def test_extensions_that_were_not_offered(pki: Any) -> None:
    """A server's extension without the client's, or in the wrong message."""
    config = anyone(versions=("TLSv1.2",))
    ours, flight = first_flight(config)
    answer = server(serving(pki), NOW, randomness("s")).handle(flight, NOW).output
    hello = ServerHello.decode(answer[9 : 9 + int.from_bytes(answer[6:9], "big")])
    bad = replace(hello, extensions={**hello.extensions, Ext.ALPN: v16(v8(b"h2"))}).encode()
    refused(ours, plain(ContentType.HANDSHAKE, bad), Alert.UNSUPPORTED_EXTENSION)


def test_an_extension_twice(pki: Any) -> None:
    """RFC 8446 4.2."""
    _, flight = first_flight(anyone())
    body = flight[HELLO + 4 :]
    hello = ClientHello.decode(body)
    block = b"".join(k.to_bytes(2, "big") + v16(v) for k, v in hello.extensions.items())
    twice = body[: -len(block) - 2] + v16(block + b"\0\x17\0\0")
    refused(
        server(serving(pki), NOW, randomness("s")),
        plain(ContentType.HANDSHAKE, message(Msg.CLIENT_HELLO, twice)),
        Alert.ILLEGAL_PARAMETER,
    )


# the end


def test_truncation_is_seen(pki: Any) -> None:
    """A transport that ends without close_notify, at any time."""
    ours, theirs, _, _ = connect(anyone(), serving(pki))
    with pytest.raises(Truncated, match="a part"):
        ours.eof()
    with pytest.raises(UsageError):
        ours.send(b"x")
    ours, _ = first_flight(anyone())
    with pytest.raises(Truncated):
        ours.eof()
    ours, theirs, _, _ = connect(anyone(), serving(pki))
    ours.handle(bytes(theirs.close()), NOW)
    ours.eof()
    assert ours.handle(b"after the end", NOW).events == ()


def test_a_close_during_the_handshake_is_no_orderly_end(pki: Any) -> None:
    """close_notify before the handshake is done."""
    ours, _ = first_flight(anyone())
    with pytest.raises(AlertReceived):
        ours.handle(plain(ContentType.ALERT, b"\1\0"), NOW)


# floods


def flooded(receiver: Connection, make: Callable[[], bytes], most: int = 40) -> Failure:
    """The same again and again ends the connection before long."""
    for _ in range(most):
        try:
            receiver.handle(make(), NOW)
        except Failure as failure:
            return failure
    raise AssertionError(f"{most} of them were taken")


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_empty_records(pki: Any, version: str) -> None:
    """Empty application data costs the sender nothing and us a decryption; empty messages are forbidden."""
    ours, theirs, _, _ = connect(anyone(versions=(version,)), serving(pki))
    flooded(theirs, lambda: seal(ours, ContentType.DATA, b""))
    ours, theirs, _, _ = connect(anyone(versions=(version,)), serving(pki))
    assert theirs.handle(seal(ours, ContentType.DATA, b"") + seal(ours, ContentType.DATA, b"x"), NOW).events
    ours, theirs, _, _ = connect(anyone(versions=(version,)), serving(pki))
    refused(theirs, seal(ours, ContentType.HANDSHAKE, b""), Alert.UNEXPECTED_MESSAGE)


def test_key_updates(pki: Any) -> None:
    """KeyUpdates without data between them; however many ask for an answer, it is one, and goes with our next data."""
    ours, theirs, _, _ = connect(anyone(), serving(pki))
    step = theirs.handle(b"".join(bytes(ours.update_keys(request=True)) for _ in range(20)), NOW)
    assert step.output == b""
    assert len(theirs.send(b"x")) == (5 + 5 + 1 + 16) + (5 + 1 + 1 + 16)
    assert len(theirs.send(b"x")) == 5 + 1 + 1 + 16
    flooded(theirs, lambda: bytes(ours.update_keys()))
    ours, theirs, _, _ = connect(anyone(), serving(pki))
    for _ in range(100):
        theirs.handle(bytes(ours.update_keys()), NOW)
        assert theirs.handle(ours.send(b"x"), NOW).events == (ApplicationData(b"x"),)


def test_warnings_and_tickets(pki: Any) -> None:
    """Alerts that change nothing, ChangeCipherSpecs, and tickets, without end."""
    ours, theirs, _, _ = connect(anyone(versions=("TLSv1.2",)), serving(pki))
    flooded(theirs, lambda: seal(ours, ContentType.ALERT, bytes((1, Alert.NO_RENEGOTIATION))))
    ours, theirs, _, _ = connect(anyone(), serving(pki))
    flooded(theirs, lambda: seal(ours, ContentType.ALERT, bytes((1, Alert.USER_CANCELED))))
    ours, _ = first_flight(anyone())
    flooded(ours, lambda: plain(ContentType.CCS, b"\1"))
    ours, theirs, _, _ = connect(anyone(), serving(pki))
    ticket = message(Msg.NEW_SESSION_TICKET, bytes.fromhex("0000000a000000000000047469636b0000"))
    flooded(ours, lambda: seal(theirs, ContentType.HANDSHAKE, ticket))


def test_padding(pki: Any) -> None:
    """A record of nothing but zeros is refused; long padding costs no loop of ours, and leaves the data."""
    ours, theirs, _, _ = connect(anyone(), serving(pki))
    step = theirs.handle(seal(ours, 0, b"data\x17" + bytes(16_000)), NOW)
    assert step.events == (ApplicationData(b"data"),)
    refused(theirs, seal(ours, 0, bytes(16_000)), Alert.UNEXPECTED_MESSAGE)


def test_large_messages_and_records(pki: Any) -> None:
    """A length beyond the limit is refused before its octets come; so are too many certificates."""
    ours, _ = first_flight(anyone())
    refused(ours, plain(ContentType.HANDSHAKE, b"\x0b\x7f\xff\xff"), Alert.DECODE_ERROR)
    ours, _ = first_flight(anyone())
    refused(ours, b"\x16\x03\x03\x40\x01", Alert.RECORD_OVERFLOW)
    ours, theirs, _, _ = connect(anyone(), serving(pki))
    refused(theirs, b"\x17\x03\x03\x41\x01", Alert.RECORD_OVERFLOW)
    ours, theirs, _, _ = connect(anyone(), serving(pki))
    ours._link.writer.limit = 20_000
    refused(theirs, seal(ours, ContentType.DATA, bytes(16_385)), Alert.RECORD_OVERFLOW)
    with pytest.raises(PeerMisbehaved, match="certificates"):
        read_certificate_13(certificate_13(b"", [(b"x", {})] * 17)[4:])


def test_a_certificate_that_is_a_bomb() -> None:
    """RFC 8879 5: no more comes out than was announced, and no more is announced than is taken."""
    bomb = zlib.compress(bytes(1 << 24))
    with pytest.raises(PeerMisbehaved, match="another length"):
        decompress("zlib", bomb, 1000, 10_000)
    with pytest.raises(PeerMisbehaved, match="more than"):
        decompress("zlib", bomb, 1 << 24, 10_000)
    for wrong in (b"", b"\0" * 100, zlib.compress(b"x") + b"y"):
        with pytest.raises(PeerMisbehaved):
            decompress("zlib", wrong, 1, 10_000)


def test_keys_are_changed_before_they_wear_out(pki: Any) -> None:
    """RFC 8446 5.5: after 2^24 records a KeyUpdate goes first."""
    ours, theirs, _, _ = connect(anyone(), serving(pki))
    for end in (ours._link.writer.keys, theirs._link.reader.keys):
        assert end is not None
        end.sequence = 1 << 24
    step = theirs.handle(ours.send(b"x"), NOW)
    assert [type(event).__name__ for event in step.events] == ["KeysUpdated", "ApplicationData"]


def test_nothing_of_a_record_that_is_not_authentic(pki: Any) -> None:
    """The records before it count, nothing of it does, and the connection is over."""
    ours, theirs, _, _ = connect(anyone(), serving(pki))
    good, bad = bytes(ours.send(b"good")), bytearray(ours.send(b"bad"))
    bad[-1] ^= 1
    failure = refused(theirs, good + bytes(bad), Alert.BAD_RECORD_MAC)
    assert failure.events == (ApplicationData(b"good"),)
    assert failure.output


def test_not_tls_at_all(pki: Any) -> None:
    """HTTP, SSH and noise are refused at the first octets, with an alert and without a fuss."""
    for octets in (b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", bytes(16), b"\x80\x2e\x01\0\x02"):
        failure = refused(server(serving(pki), NOW, randomness("s")), octets, Alert.UNEXPECTED_MESSAGE)
        assert failure.output[:1] == b"\x15"


def test_nothing_in_common_says_so(pki: Any) -> None:
    """No group, no suite, no scheme: each is said by the server, and understood by the client."""
    for ours_only, theirs_only in (
        ({"groups": ("x448",)}, {"groups": ("secp521r1",)}),
        ({"suites": ("TLS_AES_128_GCM_SHA256",)}, {"suites": ("TLS_AES_256_GCM_SHA384",)}),
        ({"schemes": ("rsa_pss_rsae_sha256",)}, {}),
    ):
        ours, flight = first_flight(anyone(versions=("TLSv1.3",), **ours_only))
        theirs = server(serving(pki, versions=("TLSv1.3",), **theirs_only), NOW, randomness("s"))
        with pytest.raises(NothingInCommon) as failure:
            shuttle(ours, theirs, flight, NOW)
        with pytest.raises(AlertReceived, match="handshake_failure"):
            ours.handle(failure.value.output, NOW)


def test_every_line_of_attacks_names_tests_that_exist() -> None:
    """`attacks.md` lies beside the code; each of its rows names a test of this folder."""
    text = (Path(mirage.tls.__file__).parent / "attacks.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert len(rows) > 20
    sources = {path.name: path.read_text() for path in Path(__file__).parent.glob("test_*.py")}
    for row in rows:
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row)
        assert named, row
        for file, test in named:
            assert f"def {test}(" in sources[file], (file, test)
