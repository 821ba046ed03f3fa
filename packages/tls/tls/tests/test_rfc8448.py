"""The traces of RFC 8448: our client in the place of the RFC's, byte for byte."""

from __future__ import annotations

from typing import Any

from mirage.crypto import X25519
from mirage.tls import ApplicationData, ClientConfig, Connection, HandshakeDone, PeerClosed, Session, TicketReceived
from mirage.tls._client import Offer, WaitServerHello, _begin_early, _send
from mirage.tls._constants import TLS13, ContentType, Scheme
from mirage.tls._hellos import ClientHello
from mirage.tls._link import Link
from mirage.tls.testing import accept_anyone
from mirage.x509 import Certificate

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
EARLY_DATA_RECORD = bytes.fromhex("1703030017ab1df420e75c457a7cc5d2844f76d5aee4b4edbf049be0")
EARLY_FLIGHT = bytes.fromhex("""
    1703030061dc48237b4b879f50d0d4d262ea8b4716eb40ddc1eb957e11126e8a7149c2d012d37a7115957e64ce30008b9e0323f2c05a9c1c77b4
    f37849a695ab255060a33fee770ca95cb8486bfd0843b87024865ca35cc41c4e515c64dcb1369f98635bc7a5""")
EARLY_FINISHED = bytes.fromhex("""
    1703030015aca6fc944841298df99593725f9bf9754429b12f09170303003500f8b467d14cf22a4b3f0b6ae0d8e6cc8d08e0db3515ef5c2bdf19
    22eafbb70009964716d834fb70c3d2a56c5b1f5f6bdba6c333cf""")
EARLY_CLIENT_DATA = bytes.fromhex("""
    1703030043b1cebce242aa201be9ae5e1cb2a9aa4b33d4e866af1edb068919237741aa031d7a74d491c99b9d4e232b74206bc6fbaa04fe78be44
    a9b4f54320a17eb76992afac3103""")
EARLY_SERVER_DATA = bytes.fromhex("""
    1703030043275e9f20acff57bc000657d3867df039cccf79047884cf75771746f740b5a83f462a0954c3581393a203a25a7dd14141ef1a37900c
    db62ff62dee1ba39ab2590cbf194""")
EARLY_CLIENT_ALERT = bytes.fromhex("17030300130facce3246bdfc6369838d6a82ae6de5d422dc")
EARLY_SERVER_ALERT = bytes.fromhex("17030300135b18af444e8e1eec7158fb62d8f2577d37ba5d")
EARLY_PRIVATE = bytes.fromhex("bff91188283846dd6a2134ef7180ca2b0b14fb10dce707b5098c0dddc813b2df")
EARLY_TRAFFIC = "3fbbe6a60deb66c30a32795aba0eff7eaa10105586e7be5c09678d63b6caab62"
EARLY_EXPORTER = "b2026866610937d7423e5be90862ccf24c0e6091186d34f812089ff5be2ef7df"
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

# 6, a client that shows a certificate
ASKED_HELLO = bytes.fromhex("""
    16030100c0010000bc03036a472236328b83af40386d3a3e1f1ce624fa4ed89ab865a4ff0f4144ce3ae2330000061301130313020100008d0000
    000b0009000006736572766572ff01000100000a00140012001d00170018001901000101010201030104003300260024001d0020089cc2671f73
    8d9a671e5b2e464981d05b76e361aa22aea91f1d49ca10a7a362002b0003020304000d0020001e04030503060302030804080508060401050106
    0102010402050206020202002d00020101001c00024001""")
ASKED_SERVER_HELLO = bytes.fromhex("""
    160303005a0200005603033b50fdf1c3d572e40e68953e7fff4e2758459c59afa0582c0ea032874255fe6e00130100002e00330024001d00206c
    2e50e865919a6b5a12dfaf918f92b442567b0f89bc54478c6921366658f062002b00020304""")
ASKED_FLIGHT = bytes.fromhex("""
    17030302166d0a7ac079b32a94aa68c4e2893e8bd0d3c185f549c236fbbce3d647f08f3c94a2bf424d8708883605ad8955f97718b0213dead13d
    fb23ebb8381da582756612bcb5a5d40847719fbe9f179bfae656f3ecfd59a4c0d35132ce418a7e46f6b6a60622f8a6c06b28d83360163563be9c
    37f97eb902326924a72b3ed8c8381277d1581cab9c3715ac2401398467ad7ebfab3d0c3419e750104f7d62c5027901f2e4cd4ca5b8071eb03d3c
    732d83215066dfc4d291d4c1ff3b8d7e4298f677d4d51dea1168d8f16cb27ba40266313a1fedf9e23cc77f765450f9e96f05d08f3da245b14d49
    46f07ec81eed6d56f26bd574f0b7f7c7047037c16fce3b23754e662fad73e2b7213f6af296769c99a1d38e6232e0ec8dc4f84d6aa6f7de3887be
    0057862f9018e0ab396705aa4090ab5f2dff6325a557e7320d4effd46bb4f997d163207cce6665294aa4465541e3fe37ee7350659ea550d6dcb6
    af3c518852c7a14c3cc15bc32b3273bdf1751da184203135b117d300204fb12d58ca9ac34b68eca27030832f7a4b46d2a55757f63fe8f6e85ac4
    7469e6198da88a64586bf23c69590de822263be75fd836847240c48f8c145cd6bd698962e7edc234ebe59231351eef8d7652cf3b08ab3af6e5ec
    74c58a8da34b39f9b0d6c4279a9a1f82071729e7059dd7f7b95b9433c4684ce1891a6d33432d52eddb0b8cee9181d403eccc12991f1ad4aa62c3
    6049713a7bb135fdda6661a05a93f8c16f""")
ASKED_SIGNATURE = bytes.fromhex("""
    186b2223b503a759c35dba0e9721b4b579138d5f0f5e6ec7feaaf27f3ad7f386c2c7bd7cb2be52fbf5ed8393f406ee79369692ec7ac695651d85
    8219e672a8eb7b2a677b640b46ab630edc5f3f2f8272b9c0d906f81f84ddc5b8c7bcf955c78a3cf99e5016f73e04eb7dfcb28833f13e8f75ec2f
    f3581e2f098ad4157fd6d6ad""")
ASKED_FINISHED = bytes.fromhex("""
    1703030280b46a63934e673841abaf267403bc677f6b6d2a1e2f12bb5f62683bfe36a82673f06d6287ddd609bcf2f5fd3225923d24af3c76682c
    180ee571a17ca4bfbe2f510dc9a0e1fca5cff2cee87d11cb531a6ef90bf5309a6b63bbbc0b88ea45103a4304091543859fa11ec032ed873444cd
    5185ead5f6a76420f0f0286acef802c8e4788c23275f1b06da600f4a7decd0bc59d7bef10e649ae32690397fc3d4ed6f30f801d8cd569b71ad4f
    a05ea7cf2ac2dfa150d220505d4011b34d09d53853eba61a101e4f8dca47d8171a884b19259a3dd48c5ac141983edc77814d25e7f66bbbdb9096
    839266e06561828ecfb27eafd4e9e81a0b96e3bfa42dae5ad80359b9a6661402c3a2104177030106dbd8f65bb6a0159d512eb13af22a259f313b
    d58c2e21fe053d57f2a962b0a4ea682c96f70b79b560136192823b27be6a2fb7b1c751ccc0e3303615541485b7b307b423332c11efa80b72f9b8
    0a53e53f7bb38a3af4c59f8008bad0544e5614e688ff57bccd6935f81f447f420c1c1bf4058818e90bf5dc716ccae42524856df8250bcdbd7af6
    5f82dd53061d024f6d2ff5c11e3792a9a70e0ee2a3c20a1b968ac391f8f92831135d25242ada2fe241c2653ec996339dfa12dfae7a3373df88b0
    7ca27aef6dc266a25f13f75c76039c1f46fd7a53ae6399c999f4b2aee18e480d6d12bfae226bbdc92a6ad50b4d3bac7abc3b3651eb5be56f33bf
    41127b3ca886dc714a50d1490357bd40d9fd6be42209a4ddb9ebb2987e29f120f05814614d2c79320015b461fe7324447670a1af5f65caed15b4
    74ab7faa495016adf808e53b94ef54afbb0e0a3a2732ab597f7d5923c77386aa5124731f8cc73e703b341c175a454939a77ab64313c15cf3fe03
    c4f33842564976""")
ASKED_CLIENT_ALERT = bytes.fromhex("1703030013e4ad7d44c29245339d355962c779b89ef44c58")
ASKED_SERVER_ALERT = bytes.fromhex("17030300131decc5d6e64bba8a6f21b4fd077497da2a90cb")
ASKED_CERTIFICATE = bytes.fromhex("""
    308201b23082011ba003020102020101300d06092a864886f70d01010b05003011310f300d06035504031306636c69656e74301e170d31363037
    33303031323335395a170d3236303733303031323335395a3011310f300d06035504031306636c69656e7430819f300d06092a864886f70d0101
    01050003818d0030818902818100c38175e004a68d093f823b9c379d201fbc0bb7a1c791905e3fbf76847e44e751ebbcd360bd945c81e5222bcc
    8846d3a8a0f93e9bf5bebabd92edf1de1ff19021703e7ab6c0901513f97e39b111f09c9348971c7b211984a754cd45fe095af0ea4236829bccf7
    a7fe9b2888e78ab477690a5b9e1ccbe91c6a4a0f97a7e02842010203010001a31a301830090603551d1304023000300b0603551d0f0404030207
    80300d06092a864886f70d01010b0500038181001a7a5a018532b022af0767d486160cff2d167a1915d23835b54594916dc680be5d2e626076c5
    d52722ebcc775d7d99f980be2fc94d34acf6cc00ba90cbcfb0608aa1e7e3971ef0c07a41d47ad8345d1f81fe418a1cf41054429fd217bd777dc1
    cf08f05df90799c659361e0f1a8ee4ac0f7897420bdbc823da80a2f2ba23081c""")
ASKED_PRIVATE = bytes.fromhex("c040b2bb8f3addd20fd4058c547003a3c6f9c1cd915d5e535c87d8d191aaf071")

# 7, with what middleboxes want to see
BOXED_HELLO = bytes.fromhex("""
    16030100e0010000dc03034e640a3f2c2738f09c9418bd78edccd7559d0531199276d4d92a0e9ee9d77d0920a80c165581a8e0d06c0018d54d3a
    06dd32cfd4051eb026fad3fd0ba99269e6ef00061301130313020100008d0000000b0009000006736572766572ff01000100000a00140012001d
    00170018001901000101010201030104003300260024001d00208e7292cf3056dbb0d25fcbe55c107dc9bbf83dd9708f39203ba341249a7d9b63
    002b0003020304000d0020001e040305030603020308040805080604010501060102010402050206020202002d00020101001c00024001""")
BOXED_SERVER_HELLO = bytes.fromhex("""
    160303007a020000760303e5dd5948c435f7a38f0f0130708dc322d9df09abd4838117c183a7bb6d994f2c20a80c165581a8e0d06c0018d54d3a
    06dd32cfd4051eb026fad3fd0ba99269e6ef130100002e00330024001d00203e30f0f4ba551afd62768341175f5265e4daf0c8841617aa4fafdd
    2142320c22002b00020304""")
BOXED_FLIGHT = bytes.fromhex("""
    14030300010117030302a248de891d9c3624a67a6c6f0601ab7ac20c1f6a9e14d2e6007e999e130367a8af1bcfea9498fbce19df4505eece3a25
    da523cbe55ea1b3bda4e91995e455d500a4faa6227b7111e1c8547e2d7c179db215303d25827f3cd18f48f6491328cf5c0f814d388150bd9e926
    4aae491db6995069bea17665d5e0c817284d4ac21880054c3657331e23a9304dc88a15c04ec80bd3852bf7f9d3c6615b15fac83bbca031c6d231
    0d9f5d7a4b020a4f7c19062b65c05a1d3264b557ec9d8e0f7cee27e36f793039de8dd96edfca9009e0651034bff31d7f349eece01d99fcb5fcab
    840d7707c72299c3b5d04564e880a33c5e846c762e3d922bb55303d1d87cc0f06573f17dcb9b8ffd35bbd883c1cb3aa24fcc325005f768ce2fb6
    24ca97b6c4d98e17f35bc2c7940a06100c2d448db7180b2d862164435c9c210e9860394e05aab23ff1b0203f662c588da5bc4411477a30b41136
    c488a0a63fcab5c15ac613226dae827a1d1fe95ece6b30bcee1560a8d408d264555e760f9bfc624c2c87fd0456c9bfb41bcd1a7b212786d2b67f
    d57804facfa1eef7cf2919d8b998c9789f763b4d9caa093a9ded43175d46a76b4d54f0ce0c5d2259b607e30a9d241263874fa59d6f570dc40d83
    a2d83bf9e9850d454c57806535a8998ae0357df92f00b9667344c24114ccc9ef539124b204e7e6e748c30a28a3d1d183997243eaccbbd33b0c11
    15a0327106a1e6a75271d4983086f632ff0eb8b4c63102cbcef5bb72dae1279d5de8eb19096d8cdb07fa8ea989788fac23e66e0488c193f3f3fe
    a8c8838896bf3ae4b6848d42ced4bdf41abe6fc331b44225e7a1f7d3564147d5458e71aa909cb02be958bbc42e3aa5a27cc6eaf4b6fe51ae4495
    694d8ab6320aab920183fd5b31a359042fbd67391ec5e4d1892a2e5210141a494e9301b24a113c474c7f2a73457847""")
BOXED_FINISHED = bytes.fromhex("""
    140303000101170303003532d030e273773a8696c799981af6ced07f87482e81565e394e87c867f33df3d65b7506f1a626af91d4821d5f7a1f21
    0ef8dd3c6d16""")
BOXED_CLIENT_ALERT = bytes.fromhex("17030300130f629155382dba23c4e2c5f7f84e6f2ed3083d")
BOXED_SERVER_ALERT = bytes.fromhex("1703030013b7257b0fecaf69d4f09e3f891e2a25d1e28845")
BOXED_PRIVATE = bytes.fromhex("dea00b45695dc781f19d34a62c1afd31ab4369af1e855a3bbb258d8442cde6d7")


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


def data_and_the_end(connection: Connection, data: tuple[bytes, bytes] | None, alerts: tuple[bytes, bytes]) -> None:
    """The records of ours and of theirs behind a handshake; the data is always the same."""
    if data is not None:
        assert connection.send(bytes(range(50))) == data[0]
        assert connection.handle(data[1], 0.0).events == (ApplicationData(bytes(range(50))),)
    assert connection.close() == alerts[0]
    assert connection.handle(alerts[1], 0.0).events == (PeerClosed(),)


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
    data_and_the_end(connection, (CLIENT_DATA, SERVER_DATA), (CLIENT_ALERT, SERVER_ALERT))


def test_resumed_with_early_data() -> None:
    """4: the binder, the early data under its own keys, its end, both Finished, data and the end."""
    lines: list[str] = []
    connection, link = trace_client(lines)
    hello = ClientHello.decode((EARLY_HELLO + b"\0\x21\x20" + bytes(32))[4:])
    session = Session(
        version=TLS13,
        suite="TLS_AES_128_GCM_SHA256",
        secret=bytes.fromhex(RESUMPTION),
        ticket=b"",
        name="server",
        received=0,
        lifetime=30,
    )
    link.client_random = hello.random
    share = X25519.private(EARLY_PRIVATE)
    assert share.public in EARLY_HELLO
    offer = _send(link, Offer(hello, {0x001D: share.exchange}, session, early=b"ABCDEF"))
    assert offer.hello.encode()[:-35] == EARLY_HELLO
    assert offer.hello.encode()[-32:].hex() == BINDER
    link._flight.clear()
    connection._state = WaitServerHello(_begin_early(link, offer, session))
    assert {line.split()[0]: line.split()[2] for line in lines} == {"CLIENT_EARLY_TRAFFIC_SECRET": EARLY_TRAFFIC}
    assert link.early_exporter_secret.hex() == EARLY_EXPORTER
    assert link.writer.write(ContentType.DATA, b"ABCDEF") == EARLY_DATA_RECORD

    connection.handle(plain(EARLY_SERVER_HELLO), 0.0)
    step = connection.handle(EARLY_FLIGHT, 0.0)
    assert connection.info.early_data
    assert connection.info.resumed
    assert step.output == EARLY_FINISHED  # EndOfEarlyData under the early keys, Finished under the handshake's
    data_and_the_end(connection, (EARLY_CLIENT_DATA, EARLY_SERVER_DATA), (EARLY_CLIENT_ALERT, EARLY_SERVER_ALERT))


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


class ClientIdentity:
    """The client's certificate of section 6, whose private key the RFC does not show: its one signature stands here."""

    chain = (ASKED_CERTIFICATE,)
    ocsp = None

    @property
    def key(self) -> ClientIdentity:
        return self

    @staticmethod
    def scheme_for(schemes: list[Scheme], version: int) -> Scheme:
        assert version == TLS13
        return next(scheme for scheme in schemes if scheme.name == "rsa_pss_rsae_sha256")

    @staticmethod
    def sign(scheme: Any, data: bytes) -> bytes:
        """What is to be signed is right if the signature is one of it."""
        Certificate.decode(ASKED_CERTIFICATE).public_key.verify(scheme, ASKED_SIGNATURE, data)
        return ASKED_SIGNATURE


def begin(connection: Connection, link: Link[ClientConfig], record: bytes, private: bytes) -> None:
    """Put the trace's ClientHello, a record, in the place of ours."""
    hello = ClientHello.decode(record[9:])
    assert record[:5] + hello.encode() == record
    link.client_random = hello.random
    link.transcript.add(record[5:])
    share = X25519.private(private)
    assert share.public in record
    connection._state = WaitServerHello(Offer(hello, {0x001D: share.exchange}, None))


def test_client_authentication() -> None:
    """6: the server asks, and the client shows a certificate and signs; all of it in one record."""
    connection, link = trace_client([])
    object.__setattr__(link.config, "identities", (ClientIdentity(),))
    begin(connection, link, ASKED_HELLO, ASKED_PRIVATE)
    assert connection.handle(ASKED_SERVER_HELLO, 0.0).output == b""
    step = connection.handle(ASKED_FLIGHT, 0.0)
    assert step.output == ASKED_FINISHED
    assert connection.info.scheme == "ecdsa_secp256r1_sha256"
    data_and_the_end(connection, None, (ASKED_CLIENT_ALERT, ASKED_SERVER_ALERT))


def test_compatibility_mode() -> None:
    """7: a session identifier, and a ChangeCipherSpec from both sides that means nothing."""
    connection, link = trace_client([])
    link.compatibility = False
    begin(connection, link, BOXED_HELLO, BOXED_PRIVATE)
    assert connection.handle(BOXED_SERVER_HELLO, 0.0).output == b""
    assert connection.handle(BOXED_FLIGHT, 0.0).output == BOXED_FINISHED
    data_and_the_end(connection, None, (BOXED_CLIENT_ALERT, BOXED_SERVER_ALERT))
