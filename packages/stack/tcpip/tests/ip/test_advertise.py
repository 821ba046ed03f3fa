"""A router of ours and a host of ours: addresses, name servers and pings, in virtual time."""

from __future__ import annotations

from host import packed
from mirage.tcpip.ip.advertise import Advertiser
from mirage.tcpip.testing import Simulation
from mirage.tcpip.wire.router import Advertisement, Prefix

PREFIX = packed("2001:db8:7::")


def test_a_host_configures_itself_from_a_router() -> None:
    with Simulation(seed=5) as simulation:
        network = simulation.network(delay=0.001)
        router, host = simulation.host("router", network), simulation.host("host", network)
        inner, outer = router.stack.interfaces["eth0"], host.stack.interfaces["eth0"]
        own = packed("2001:db8:7::1")
        router.stack.ip.add_address(inner, own, 64)
        said = Advertisement(prefixes=(Prefix(PREFIX, 64, 3600, 1800),), dns=((own, 600),), mtu=1400, hop_limit=9)
        advertiser = Advertiser(router.stack.ip, inner, said, simulation.now, delay=0)
        host.stack.autoconfigure(outer)
        simulation.wait(5)
        assert outer.learned is not None
        assert list(outer.learned.dns) == [own]
        ping = host.stack.ping(6)
        ping.send(own, bytes(5000), now=simulation.now)
        answers = []
        ping.owner = lambda: answers.append(ping.read())
        simulation.run(lambda: bool(answers))
        (echo,) = answers
        assert echo is not None
        assert (echo.data, echo.source, echo.error) == (bytes(5000), own, None)
        assert 0.002 <= echo.seconds < 0.01
        path = host.stack.ip.path(own, simulation.now)
        assert path.refresh(simulation.now)
        assert (path.mtu, path.local[:8], path.header[21]) == (1400, PREFIX[:8], 9)
        assert host.stack.ip.neighbours.known[outer.index, own].router  # RFC 4861 4.4: the R flag
        advertiser.stop()
        simulation.wait(1)
        assert not [r for r in host.stack.ip.routes.all() if r.length == 0]
        assert [own for own in outer.addresses.values() if own.automatic]
        simulation.wait(4000)
        assert not [own for own in outer.addresses.values() if own.automatic]


def test_answers_to_many_questions_are_seldom() -> None:
    """RFC 4861 6.2.6: at most one in three seconds, however often hosts ask."""
    from host import Host, icmp6, messages6

    host = Host()
    advertiser = Advertiser(host.ip, host.interface, Advertisement(), host.now)
    assert len(messages6(host.give(), 134)) == 1
    sent = []
    for _ in range(300):
        ask = icmp6(133, bytes(4), source=packed("fe80::9"), to=packed("ff02::2"), mac=b"\x33\x33\0\0\0\2")
        sent += host.give(ask) + host.wait(0.1)
    assert 8 <= len(messages6(sent, 134)) <= 10
    advertiser.stop()
    ((_, _, message),) = messages6(host.take(), 134)
    assert message[6:8] == b"\0\0"
    assert host.wait(10_000) == []
