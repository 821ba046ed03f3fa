"""The traces of RFC 8448: our client in the place of the RFC's, byte for byte."""

from __future__ import annotations

from typing import Any

from mirage.crypto import X25519
from mirage.tls import ApplicationData, ClientConfig, Connection, HandshakeDone, PeerClosed, Session, TicketReceived
from mirage.tls._client import Offer, WaitServerHello, _send
from mirage.tls._constants import SUITES, TLS13, ContentType
from mirage.tls._hellos import ClientHello
from mirage.tls._link import Link
from mirage.tls._record import Keys, Reader, Writer
from mirage.tls._schedule import traffic_keys
from mirage.tls.testing import accept_anyone

CLIENT_HELLO = bytes.fromhex("""
    010000c00303cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7000006130113031302010000910000000b00090000
    06736572766572ff01000100000a00140012001d0017001800190100010101020103010400230000003300260024001d002099381de560e4bd43d2
    3d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c002b0003020304000d0020001e04030503060302030804080508060401050106010201
    0402050206020202002d00020101001c00024001""")
SERVER_HELLO = bytes.fromhex("""
    020000560303a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e2692800130100002e00330024001d0020c9828876112095
    fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f002b00020304""")
PRIVATE = bytes.fromhex("49af42ba7f7994852d713ef2784bcbcaa7911de26adc5642cb634540e7ea5005")
SECRETS = {
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET": "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET": "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38",
    "CLIENT_TRAFFIC_SECRET_0": "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
    "SERVER_TRAFFIC_SECRET_0": "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
    "EXPORTER_SECRET": "fe22f881176eda18eb8f44529e6792c50c9a3f89452f68d8ae311b4309d3cf50",
}
RESUMPTION_MASTER = "7df235f2031d2a051287d02b0241b0bfdaf86cc856231f2d5aba46c434ec196c"
RESUMPTION = "4ecd0eb6ec3b4d87f5d6028f922ca4c5851a277fd41311c9e62d2c9492e1c4f3"

FLIGHT = bytes.fromhex("""
    17030302a2d1ff334a56f5bff6594a07cc87b580233f500f45e489e7f33af35edf7869fcf40aa40aa2b8ea73f848a7ca07612ef9f945cb960b40
    68905123ea78b111b429ba9191cd05d2a389280f526134aadc7fc78c4b729df828b5ecf7b13bd9aefb0e57f271585b8ea9bb355c7c79020716cf
    b9b1183ef3ab20e37d57a6b9d7477609aee6e122a4cf51427325250c7d0e509289444c9b3a648f1d71035d2ed65b0e3cdd0cbae8bf2d0b227812
    cbb360987255cc744110c453baa4fcd610928d809810e4b7ed1a8fd991f06aa6248204797e36a6a73b70a2559c09ead686945ba246ab66e5edd8
    044b4c6de3fcf2a89441ac66272fd8fb330ef8190579b3684596c960bd596eea520a56a8d650f563aad27409960dca63d3e688611ea5e22f4415
    cf9538d51a200c27034272968a264ed6540c84838d89f72c24461aad6d26f59ecaba9acbbb317b66d902f4f292a36ac1b639c637ce343117b659
    622245317b49eeda0c6258f100d7d961ffb138647e92ea330faeea6dfa31c7a84dc3bd7e1b7a6c7178af36879018e3f252107f243d243dc7339d
    5684c8b0378bf30244da8c87c843f5e56eb4c5e8280a2b48052cf93b16499a66db7cca71e4599426f7d461e66f99882bd89fc50800becca62d6c
    74116dbd2972fda1fa80f85df881edbe5a37668936b335583b599186dc5c6918a396fa48a181d6b6fa4f9d62d513afbb992f2b992f67f8afe67f
    76913fa388cb5630c8ca01e0c65d11c66a1e2ac4c85977b7c7a6999bbf10dc35ae69f5515614636c0b9b68c19ed2e31c0b3b66763038ebba42f3
    b38edc0399f3a9f23faa63978c317fc9fa66a73f60f0504de93b5b845e275592c12335ee340bbc4fddd502784016e4b3be7ef04dda49f4b440a3
    0cb5d2af939828fd4ae3794e44f94df5a631ede42c1719bfdabf0253fe5175be898e750edc53370d2b""")
FINISHED = bytes.fromhex("""
    170303003575ec4dc238cce60b298044a71e219c56cc77b0517fe9b93c7a4bfc44d87f38f80338ac98fc46deb384bd1caeacab6867d726c40546""")
TICKET = bytes.fromhex("""
    17030300de3a6b8f90414a97d6959c3487680de5134a2b240e6cffac116e95d41d6af8f6b580dcf3d11d63c758db289a015940252f55713e061d
    c13e078891a38efbcf5753ad8ef170ad3c7353d16d9da773b9ca7f2b9fa1b6c0d4a3d03f75e09c30ba1e62972ac46f75f7b981be63439b2999ce
    13064615139891d5e4c5b406f16e3fc181a77ca475840025db2f0a77f81b5ab05b94c01346755f69232c86519d86cbeeac87aac347d143f9605d
    64f650db4d023e70e952ca49fe5137121c74bc2697687e248746d6df353005f3bce18696129c8153556b3b6c6779b37bf15985684f""")
SERVER_DATA = bytes.fromhex("""
    17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c00
    47c2abf332540dd032e167c2955d""")
SERVER_ALERT = bytes.fromhex("""
    1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9""")
CLIENT_DATA = bytes.fromhex("""
    1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a29770
    14bd1e3deae63aeebb21694915e4""")
CLIENT_ALERT = bytes.fromhex("""
    1703030013c9872760655666b74d7ff1153efd6db6d0b0e3""")

# 4, resumed with early data
EARLY_HELLO = bytes.fromhex("""
    010001fc03031bc3ceb6bbe39cff938355b5a50adb6db21b7a6af649d7b4bc419d7876487d95000006130113031302010001cd0000000b000900
    0006736572766572ff01000100000a00140012001d00170018001901000101010201030104003300260024001d0020e4ffb68ac05f8d96c99da2
    6698346c6be16482badddafe051a66b4f18d668f0b002a0000002b0003020304000d0020001e0403050306030203080408050806040105010601
    02010402050206020202002d00020101001c00024001001500570000000000000000000000000000000000000000000000000000000000000000
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000002900
    dd00b800b22c035d829359ee5ff7af4ec900000000262a6494dc486d2c8a34cb33fa90bf1b0070ad3c498883c9367c09a2be785abc55cd226097
    a3a982117283f82a03a143efd3ff5dd36d64e861be7fd61d2827db279cce145077d454a3664d4e6da4d29ee03725a6a4dafcd0fc67d2aea70529
    513e3da2677fa5906c5b3f7d8f92f228bda40dda721470f9fbf297b5aea617646fac5c03272e970727c621a79141ef5f7de6505e5bfbc388e933
    43694093934ae4d357fad6aacb""")
EARLY_SERVER_HELLO = bytes.fromhex("""
    0200005c03033ccfd2dec890222763472ae8136777c9d7358777bb66e91ea5122495f559ea2d00130100003400290002000000330024001d0020
    121761ee42c333e1b9e77b60dd57c2053cd94512ab47f115e86eff50942cea31002b00020304""")
EARLY_FLIGHT = bytes.fromhex("""
    080000280026000a00140012001d00170018001901000101010201030104001c0002400100000000002a00001400002048d3e0e1b3d907c6acff
    145e16090388c77b05c050b634ab1a88bbd0dd1a34b2""")
EARLY_FINISHED = bytes.fromhex("""
    140000207230a9c952c25cd6138fc5e6628308c41c5335dd81b9f96bcea50fd32bda416d""")
EARLY_PRIVATE = bytes.fromhex("bff91188283846dd6a2134ef7180ca2b0b14fb10dce707b5098c0dddc813b2df")
BINDER = "3add4fb2d8fdf822a0ca3cf7678ef5e88dae990141c5924d57bb6fa31b9e5f9d"

# 5, after a HelloRetryRequest
FIRST_HELLO = bytes.fromhex("""
    010000b00303b0b1c5a5aa37c5919f2ed1d5c6fff7fcb7849716945a2b8cee9258a346677b6f000006130113031302010000810000000b000900
    0006736572766572ff01000100000a00080006001d00170018003300260024001d0020e8e8e3f3b93a25ed97a14a7dcacb8a272c6288e585c648
    4d05262fcad062ad1f002b0003020304000d0020001e040305030603020308040805080604010501060102010402050206020202002d00020101
    001c00024001""")
RETRY = bytes.fromhex("""
    16030300b0020000ac0303cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c001301000084003300020017002c00
    74007271dcd04bb88bc3189119398a00000000eefafc76c146b823b096f8aacad365dd0030953f4edf625636e5f21bb2e23fcc654b1b5b40318d
    10d137abcbb87574e36e8a1f025f7dfa5d6e50781b5eda4aa15b0c8be778257d16aa3030e9e7841dd9e4c0342267e8ca0caf571fb2b7cff0f934
    b0002b00020304""")
SECOND_HELLO = bytes.fromhex("""
    010001fc0303b0b1c5a5aa37c5919f2ed1d5c6fff7fcb7849716945a2b8cee9258a346677b6f000006130113031302010001cd0000000b000900
    0006736572766572ff01000100000a00080006001d001700180033004700450017004104a6da7392ec591e17abfd535964b99894d13befb221b3
    def2ebe3830eac8f0151812677c4d6d2237e85cf01d6910cfb83954e76ba7352830534159897e8065780002b0003020304000d0020001e040305
    030603020308040805080604010501060102010402050206020202002c0074007271dcd04bb88bc3189119398a00000000eefafc76c146b823b0
    96f8aacad365dd0030953f4edf625636e5f21bb2e23fcc654b1b5b40318d10d137abcbb87574e36e8a1f025f7dfa5d6e50781b5eda4aa15b0c8b
    e778257d16aa3030e9e7841dd9e4c0342267e8ca0caf571fb2b7cff0f934b0002d00020101001c00024001001500af""") + bytes(0xAF)
RETRIED_SERVER_HELLO = bytes.fromhex("""
    160303007b020000770303bb341d847fd789c47c387172dc0c9bf147fccacb5043d86ca4c598d3ff571b9800130100004f003300450017004104
    583e054b7a66672ae020ad9d2686fcc85b5ad41a134a0f03ee72b893052bd85b4c8de6776f5b04ac07d83540eab3e3d9c547bc6528c4317d2946
    86093a6cad7d002b00020304""")
RETRIED_FLIGHT = bytes.fromhex("""
    170303029699bee20baf5b7fc727bfab6223928a381e6d0cf9c4da653f9d2a7b23f7de11cce842d5cf75631763450ffb8b0cc1d238e658af7a12
    adc86243114ab14a1da2fae42621ce483fb6242eabfaad52566b02b31d2eddedefeb80e66a9900d5f973b40c4fdf74719ecf1b68d7f9c3b6ceb9
    03ca13dd1bb8f8187ae33417e1d152522c5822a1a03ad52c838c55953d610222874cce8e1790b229a2aa0b53c8d377ee720182951dc6181dc5d9
    0bd1f0105ed1e84aa5f75957c6661897079e5ea5007449e3197bdc7c9beeedddeafdd844afa5c315ecfe65e576afe909812880620ec7048b42d7
    f5c78d76f299d6d82534bdd8f512febc0ed3814aca470cd8000d3e1cb9962b052fbb950df683a52c2ba77ed3713b122937a6e5170964e2ab7969
    dcd980b3db9b458da7603124d6dc005e4d6e04b4d0c4baf3275db827dbba0a6db09672171fc057b3851d7e026841e2978fbd2346bbefdd0376bb
    1108fe9acc92189f5650aa5e85d8e8c7b67ac510dba003d3d7e16350bb66d45013efd44c9b607c0d318c4c7d1a1f5cbc57e20611804e3787d7b4
    a4b5f08ed8fd70bdaeade02260b12ab842ef690b4a3ee7911e841b374ecd5ebbbc2a54d047b600336dd7d0c88b4bc10e58ee6cb656de7247fa20
    d8e91deb84628608cf80615b62e96c1491c7ac3755eb6901405d3474fe1ac79d106a0cee56c2577fc88480f96cb6b8c681b7b68b53c146093908
    f350888175bdfb0b1e31ad61e30ba0adfe6d223aa03c0783b5001a57587c328a9afcfcfb978d1cd4328f7d9d60530e630befd96c0c816ee20b01
    00768ae2a6df51fc68f172740a79af11398ee3be1252491fa9c693479e877f94ab7c5f8cad480203e6ab7b87dd71e8a0729113df17f5eee86ce1
    08d1d72007ec1cd13c85a6c149621e77b7d78d805a30f0be030c315e54""")
RETRIED_FINISHED = bytes.fromhex("""
    1703030035d74f1923c662fd34137c6f502f3dd2b93d951d1b3bc97e42afe23c31abea92fe91b474999e85e3b791ce252fe8c3e9f939a4120cb2""")
FIRST_PRIVATE = bytes.fromhex("0ed02f8e8117efc75ca7ac32aa7e34eda64cdc0ddad154a5e85289f959f63204")
SECOND_PRIVATE = bytes.fromhex("ab5473467e19346ceb0a0414e41da21d4d2445bc3025afe97c4e8dc8d513da39")


def trace_client(lines: list[str], **more: Any) -> tuple[Connection, Link[ClientConfig]]:
    """A client as the RFC's: without the compatibility mode, with its record size limit."""
    config = ClientConfig(
        authenticator=accept_anyone, versions=("TLSv1.3",), record_size_limit=16_385, keylog=lines.append, **more
    )
    link: Link[ClientConfig] = Link(config, 0.0, lambda size: bytes(size), "server")
    connection = Connection(link)
    link.writer.version = 0x0303
    link.compatibility = True
    connection._started = True
    return connection, link


def plain(message: bytes) -> bytes:
    return b"\x16\x03\x03" + len(message).to_bytes(2, "big") + message


def test_simple_handshake() -> None:
    """3: every secret, our Finished, the ticket's key, data and the end, as they go on the wire."""
    lines: list[str] = []
    connection, link = trace_client(lines)
    hello = ClientHello.decode(CLIENT_HELLO[4:])
    assert hello.encode() == CLIENT_HELLO
    link.client_random = hello.random
    link.transcript.add(CLIENT_HELLO)
    share = X25519.private(PRIVATE)
    assert share.public in CLIENT_HELLO
    connection._state = WaitServerHello(Offer(hello, {0x001D: share.exchange}, None))

    assert connection.handle(plain(SERVER_HELLO), 0.0).output == b""
    step = connection.handle(FLIGHT, 0.0)
    assert isinstance(step.events[0], HandshakeDone)
    assert step.output == FINISHED
    assert {line.split()[0]: line.split()[2] for line in lines} == SECRETS
    assert link.resumption_secret.hex() == RESUMPTION_MASTER

    [event] = connection.handle(TICKET, 0.0).events
    assert isinstance(event, TicketReceived)
    assert event.session.secret.hex() == RESUMPTION
    assert (event.session.lifetime, event.session.early_data) == (30, 1024)
    assert connection.send(bytes(range(50))) == CLIENT_DATA
    assert connection.handle(SERVER_DATA, 0.0).events == (ApplicationData(bytes(range(50))),)
    assert connection.close() == CLIENT_ALERT
    assert connection.handle(SERVER_ALERT, 0.0).events == (PeerClosed(),)


def test_resumed_with_early_data() -> None:
    """4: the binder, and both Finished, which cover the whole of it."""
    lines: list[str] = []
    connection, link = trace_client(lines)
    suite = SUITES["TLS_AES_128_GCM_SHA256"]
    hello = ClientHello.decode((EARLY_HELLO + b"\0\x21\x20" + bytes(32))[4:])
    session = Session(
        version=TLS13,
        suite=suite.name,
        secret=bytes.fromhex(RESUMPTION),
        ticket=b"",
        name="server",
        received=0,
        lifetime=30,
    )
    link.client_random, link.suite = hello.random, suite
    share = X25519.private(EARLY_PRIVATE)
    assert share.public in EARLY_HELLO
    offer = _send(link, Offer(hello, {0x001D: share.exchange}, session, early=b"early"))
    assert offer.hello.encode()[:-35] == EARLY_HELLO
    assert offer.hello.encode()[-32:].hex() == BINDER
    link._flight.clear()
    connection._state = WaitServerHello(offer)
    connection.handle(plain(EARLY_SERVER_HELLO), 0.0)
    secrets = {line.split()[0]: bytes.fromhex(line.split()[2]) for line in lines}
    sending = Writer()
    sending.keys = traffic_keys(suite, secrets["SERVER_HANDSHAKE_TRAFFIC_SECRET"])
    link.writer.keys = Keys(suite, bytes(16), bytes(12))  # of the early data, which was sent
    step = connection.handle(bytes(sending.write(ContentType.HANDSHAKE, EARLY_FLIGHT)), 0.0)
    assert connection.info.early_data
    assert connection.info.resumed
    end = 5 + int.from_bytes(step.output[3:5], "big")  # EndOfEarlyData, under the early keys
    opening = Reader()
    opening.keys = traffic_keys(suite, secrets["CLIENT_HANDSHAKE_TRAFFIC_SECRET"])
    assert list(opening.read(step.output[end:])) == [(ContentType.HANDSHAKE, EARLY_FINISHED)]


def test_after_a_retry() -> None:
    """5: the cookie and the share go into the second ClientHello; the transcript begins with a hash."""
    connection, link = trace_client([], groups=("x25519", "secp256r1", "secp384r1"))
    hello = ClientHello.decode(FIRST_HELLO[4:])
    link.transcript.add(FIRST_HELLO)
    first = X25519.private(FIRST_PRIVATE)
    assert first.public in FIRST_HELLO
    connection._state = WaitServerHello(Offer(hello, {0x001D: first.exchange}, None))
    # the random numbers of this client are zeros, which are no key of P-256
    draw = iter([SECOND_PRIVATE])
    link.random = lambda size: next(draw)
    output = connection.handle(RETRY, 0.0).output
    ours, theirs = ClientHello.decode(output[9:]), ClientHello.decode(SECOND_HELLO[4:])
    assert {kind: data for kind, data in theirs.extensions.items() if kind != 21} == ours.extensions

    # the RFC's client pads its second hello, so from here on the transcript is its own
    messages = link.transcript._messages
    assert messages is not None
    messages[-1] = SECOND_HELLO
    connection.handle(RETRIED_SERVER_HELLO, 0.0)
    step = connection.handle(RETRIED_FLIGHT, 0.0)
    assert step.output == RETRIED_FINISHED
    assert connection.info.retried
    assert connection.info.group == "secp256r1"
