"""RFC 8448 3, the simple 1-RTT handshake: our client in the place of the RFC's, byte for byte."""

from __future__ import annotations

from mirage.crypto import X25519
from mirage.tls import ApplicationData, ClientConfig, Connection, HandshakeDone, TicketReceived
from mirage.tls._client import Offer, WaitServerHello
from mirage.tls._constants import SUITES, ContentType
from mirage.tls._hellos import ClientHello
from mirage.tls._link import Link
from mirage.tls._record import Keys, Writer
from mirage.tls.testing import accept_anyone

CLIENT_HELLO = bytes.fromhex("""
    010000c00303cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7000006130113031302010000910000000b00090000
    06736572766572ff01000100000a00140012001d0017001800190100010101020103010400230000003300260024001d002099381de560e4bd43d2
    3d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c002b0003020304000d0020001e04030503060302030804080508060401050106010201
    0402050206020202002d00020101001c00024001""")
SERVER_HELLO = bytes.fromhex("""
    020000560303a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e2692800130100002e00330024001d0020c9828876112095
    fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f002b00020304""")
FLIGHT = bytes.fromhex("""
    080000240022000a00140012001d00170018001901000101010201030104001c00024001000000000b0001b9000001b50001b0308201ac30820115
    a003020102020102300d06092a864886f70d01010b0500300e310c300a06035504031303727361301e170d3136303733303031323335395a170d32
    36303733303031323335395a300e310c300a0603550403130372736130819f300d06092a864886f70d010101050003818d0030818902818100b4bb
    498f8279303d980836399b36c6988c0c68de55e1bdb826d3901a2461eafd2de49a91d015abbc9a95137ace6c1af19eaa6af98c7ced43120998e187
    a80ee0ccb0524b1b018c3e0b63264d449a6d38e22a5fda430846748030530ef0461c8ca9d9efbfae8ea6d1d03e2bd193eff0ab9a8002c47428a6d3
    5a8d88d79f7f1e3f0203010001a31a301830090603551d1304023000300b0603551d0f0404030205a0300d06092a864886f70d01010b0500038181
    0085aad2a0e5b9276b908c65f73a7267170618a54c5f8a7b337d2df7a594365417f2eae8f8a58c8f8172f9319cf36b7fd6c55b80f21a0301515672
    6096fd335e5e67f2dbf102702e608ccae6bec1fc63a42a99be5c3eb7107c3c54e9b9eb2bd5203b1c3b84e0a8b2f759409ba3eac9d91d402dcc0cc8
    f8961229ac9187b42b4de100000f000084080400805a747c5d88fa9bd2e55ab085a61015b7211f824cd484145ab3ff52f1fda8477b0b7abc90db78
    e2d33a5c141a078653fa6bef780c5ea248eeaaa785c4f394cab6d30bbe8d4859ee511f602957b15411ac027671459e46445c9ea58c181e818e95b8
    c3fb0bf3278409d3be152a3da5043e063dda65cdf5aea20d53dfacd42f74f3140000209b9b141d906337fbd2cbdce71df4deda4ab42c309572cb7f
    ffee5454b78f0718""")
FINISHED_RECORD = bytes.fromhex("""
    170303003575ec4dc238cce60b298044a71e219c56cc77b0517fe9b93c7a4bfc44d87f38f80338ac98fc46deb384bd1caeacab6867d726c40546""")

PRIVATE = bytes.fromhex("49af42ba7f7994852d713ef2784bcbcaa7911de26adc5642cb634540e7ea5005")
SECRETS = {
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET": "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET": "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38",
    "CLIENT_TRAFFIC_SECRET_0": "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
    "SERVER_TRAFFIC_SECRET_0": "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
    "EXPORTER_SECRET": "fe22f881176eda18eb8f44529e6792c50c9a3f89452f68d8ae311b4309d3cf50",
}
HANDSHAKE_KEY = ("3fce516009c21727d0f2e4e86ee403bc", "5d313eb2671276ee13000b30")
APPLICATION_KEY = ("9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e984")
RESUMPTION_MASTER = "7df235f2031d2a051287d02b0241b0bfdaf86cc856231f2d5aba46c434ec196c"
RESUMPTION = "4ecd0eb6ec3b4d87f5d6028f922ca4c5851a277fd41311c9e62d2c9492e1c4f3"


def writer(key: tuple[str, str]) -> Writer:
    """The server's sealing, with the keys that the RFC prints."""
    found = Writer()
    found.keys = Keys(SUITES["TLS_AES_128_GCM_SHA256"], *map(bytes.fromhex, key))
    return found


def test_simple_handshake() -> None:
    """Each secret, our Finished as it goes on the wire, the key of the ticket, and data."""
    lines: list[str] = []
    config = ClientConfig(
        authenticator=accept_anyone, versions=("TLSv1.3",), record_size_limit=16_385, keylog=lines.append
    )
    link: Link[ClientConfig] = Link(config, 0.0, lambda size: bytes(size), "server")
    connection = Connection(link)
    hello = ClientHello.decode(CLIENT_HELLO[4:])
    assert hello.encode() == CLIENT_HELLO
    link.client_random = hello.random
    link.transcript.add(CLIENT_HELLO)
    link.writer.version = 0x0303
    link.compatibility = True  # the RFC's client does not speak the compatibility mode
    share = X25519.private(PRIVATE)
    assert share.public in CLIENT_HELLO
    connection._state = WaitServerHello(Offer(hello, {0x001D: share.exchange}, None))
    connection._started = True

    assert connection.handle(b"\x16\x03\x03" + len(SERVER_HELLO).to_bytes(2, "big") + SERVER_HELLO, 0.0).output == b""
    step = connection.handle(bytes(writer(HANDSHAKE_KEY).write(ContentType.HANDSHAKE, FLIGHT)), 0.0)
    assert isinstance(step.events[0], HandshakeDone)
    assert step.output == FINISHED_RECORD
    assert {line.split()[0]: line.split()[2] for line in lines} == SECRETS
    assert link.resumption_secret.hex() == RESUMPTION_MASTER

    sending = writer(APPLICATION_KEY)
    ticket = bytes.fromhex("040000130000001efad6aac502000000047469636b0000")
    step = connection.handle(bytes(sending.write(ContentType.HANDSHAKE, ticket)), 0.0)
    assert isinstance(step.events[0], TicketReceived)
    assert step.events[0].session.secret.hex() == RESUMPTION
    data = bytes(range(50))
    # 3: the first record of application data of the client
    assert bytes(connection.send(data)).hex() == (
        "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2"
        "977014bd1e3deae63aeebb21694915e4"
    )
    step = connection.handle(bytes(sending.write(ContentType.DATA, data)), 0.0)
    assert step.events == (ApplicationData(data),)
