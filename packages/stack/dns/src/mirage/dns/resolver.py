"""The resolver: `lookup` and `Exchange` on asyncio, and what programs ask for: the addresses of a name and its names.

It works on any event loop that has `create_datagram_endpoint` and `create_connection`, this project's own stack
included, and uses nothing else of it.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from typing import Literal

from mirage.types import Random

import dns.message
import dns.name
import dns.rdatatype
import dns.reversename

from .cache import Cache
from .errors import LocalMisuse, NameNotFound, NoData, ResolutionFailed, ServersFailed, TooManyQueries
from .exchange import Exchange, Question, Send
from .lookup import Answer, candidates, lookup
from .message import MAX_TCP, Name, frame, parse_name
from .settings import Address, Settings

__all__ = ["Family", "Resolver"]

Family = Literal[0, 4, 6]
"""Which addresses are wanted: 4 or 6, or 0 for both."""


class Resolver:
    """A stub resolver with a cache. Belongs to one event loop. `counters` says what was sent and dropped."""

    def __init__(self, settings: Settings, random: Random) -> None:
        self.settings = settings
        self.cache = Cache(settings.cache_entries)
        self.counters: Counter[str] = Counter()
        self._random = random
        self._under_way: dict[Question, asyncio.Task[dns.message.Message]] = {}
        self._turn = 0

    async def query(self, name: str | Name, rdtype: int | str) -> Answer:
        """The records of an absolute name; a name or type that does not exist is an `Answer` too.

        Raises `BadName`, `LocalMisuse` (a type that is none of records, such as ANY), `NoServers`, `TooManyQueries`,
        `TimedOut`, `ServersFailed`.
        """
        kind = dns.rdatatype.RdataType.make(rdtype)
        if dns.rdatatype.is_metatype(kind):
            raise LocalMisuse(f"{kind.name} is no type of records; ask for one type at a time")
        loop = asyncio.get_running_loop()
        steps = lookup(Question(parse_name(name), kind), self.cache, self.settings, loop.time())
        try:
            question = next(steps)
            while True:
                response = await self._ask(question)
                question = steps.send((response, loop.time()))
        except StopIteration as end:
            answer: Answer = end.value
            return answer

    async def addresses(self, name: str, family: Family = 0) -> list[Address]:
        """The addresses of a name, of both families asked for at once, those of IPv6 first.

        The text may be an address itself; hosts and the search list are looked at. Raises `NameNotFound`, `NoData` and
        what `query` raises.
        """
        if (literal := _literal(name)) is not None:
            return _of_family([literal], family, name)
        absolute = parse_name(name)
        for candidate in candidates(name, absolute, self.settings):
            known = self.settings.hosts.addresses(candidate)
            if known is not None:
                if not known:
                    raise NameNotFound(f"{name} does not exist, by definition")
                return _of_family(list(known), family, name)
        failures: list[ResolutionFailed] = []
        for candidate in candidates(name, absolute, self.settings):
            try:
                return await self._addresses(candidate, family)
            except (NoData, ServersFailed, NameNotFound) as error:
                failures.append(error)
        # As libc has it: a name that exists counts most, then one of which nobody could say.
        raise min(failures, key=lambda error: (NoData, ServersFailed, NameNotFound).index(type(error)))

    async def _addresses(self, name: Name, family: Family) -> list[Address]:
        wanted = [t for f, t in ((6, dns.rdatatype.AAAA), (4, dns.rdatatype.A)) if family in {0, f}]
        results = await asyncio.gather(*(self.query(name, kind) for kind in wanted), return_exceptions=True)
        answers = [result for result in results if isinstance(result, Answer)]
        found = [ipaddress.ip_address(r.address) for a in answers if a.rrset is not None for r in a.rrset]
        if found:
            return found
        for result in results:
            if isinstance(result, BaseException):
                raise result
        if any(answer.rcode == 0 for answer in answers):
            raise NoData(f"{name} has no address of the kind that is wanted")
        raise NameNotFound(f"there is no name {name}")

    async def names(self, address: str | Address) -> list[str]:
        """The names of an address, without the dot at their end. Raises `ValueError` for what is no address, and what
        `addresses` raises.
        """
        address = ipaddress.ip_address(address)
        known = self.settings.hosts.names(address)
        if known:
            return [_text(name) for name in known]
        answer = await self.query(dns.reversename.from_address(str(address)), dns.rdatatype.PTR)
        if answer.rrset is not None:
            return [_text(record.target) for record in answer.rrset]
        raise (NoData if answer.rcode == 0 else NameNotFound)(f"{address} has no name")

    async def _ask(self, question: Question) -> dns.message.Message:
        """The response to a question; who asks for the same meanwhile gets the same."""
        task = self._under_way.get(question)
        if task is None:
            if len(self._under_way) >= self.settings.max_queries:
                raise TooManyQueries(f"{self.settings.max_queries} questions are under way; ask again later")
            task = asyncio.get_running_loop().create_task(self._exchange(question))
            self._under_way[question] = task
            task.add_done_callback(lambda done: self._finished(question, done))
        return await asyncio.shield(task)

    def _finished(self, question: Question, task: asyncio.Task[dns.message.Message]) -> None:
        self._under_way.pop(question, None)
        if not task.cancelled():
            task.exception()  # whoever asked may have gone: then nobody is told

    async def _exchange(self, question: Question) -> dns.message.Message:
        first = 0
        if self.settings.rotate and self.settings.servers:
            first, self._turn = self._turn % len(self.settings.servers), self._turn + 1
        loop = asyncio.get_running_loop()
        exchange = Exchange(question, self.settings, self._random, loop.time(), first=first)
        runner = _Runner(exchange, loop)
        try:
            return await runner.run()
        finally:
            runner.close()
            self.counters.update(exchange.counters)

    async def close(self) -> None:
        """End what is under way; whoever waits for it is cancelled."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Runner:
    """Moves the octets of one exchange."""

    def __init__(self, exchange: Exchange, loop: asyncio.AbstractEventLoop) -> None:
        self.exchange = exchange
        self.loop = loop
        self._transports: list[asyncio.Transport | asyncio.DatagramTransport] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()

    async def run(self) -> dns.message.Message:
        while not self.exchange.done:
            self._woken.clear()
            for send in self.exchange.poll(self.loop.time()):
                task = self.loop.create_task(self._send(send))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            deadline = self.exchange.next_deadline()
            if deadline is None:
                break
            timer = self.loop.call_at(deadline, self._woken.set)
            try:
                await self._woken.wait()
            finally:
                timer.cancel()
        return self.exchange.result()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for transport in self._transports:
            transport.abort()

    async def _send(self, send: Send) -> None:
        host = str(send.server.address)
        try:
            if send.tcp:
                stream, _ = await self.loop.create_connection(lambda: _Stream(self, send.token), host, send.server.port)
                self._transports.append(stream)
                stream.write(frame(send.payload))
                return
            local = ("::" if send.server.address.version == 6 else "0.0.0.0", send.source_port)  # noqa: S104
            endpoint, _ = await self.loop.create_datagram_endpoint(
                lambda: _Endpoint(self, send.token),
                local_addr=local if send.source_port else None,
                remote_addr=(host, send.server.port),
            )
        except OSError:
            self.failed(send.token)
            return
        self._transports.append(endpoint)
        endpoint.sendto(send.payload)

    def input(self, token: int, octets: bytes) -> None:
        self.exchange.input(token, octets, self.loop.time())
        self._woken.set()

    def failed(self, token: int) -> None:
        self.exchange.failed(token, self.loop.time())
        self._woken.set()


class _Endpoint(asyncio.DatagramProtocol):
    def __init__(self, runner: _Runner, token: int) -> None:
        self.runner = runner
        self.token = token

    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr  # the endpoint is connected: only the server's datagrams come here
        self.runner.input(self.token, data)

    def error_received(self, exc: Exception) -> None:
        del exc
        self.runner.failed(self.token)


class _Stream(asyncio.Protocol):
    """One message comes back; then the connection has done its work."""

    def __init__(self, runner: _Runner, token: int) -> None:
        self.runner = runner
        self.token = token
        self._buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= 2:
            end = 2 + int.from_bytes(self._buffer[:2], "big")
            if len(self._buffer) >= end:
                self.runner.input(self.token, bytes(self._buffer[2:end]))
                self._buffer.clear()
        if len(self._buffer) > 2 + MAX_TCP:
            self.runner.failed(self.token)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.runner.failed(self.token)


def _literal(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _of_family(found: list[Address], family: Family, name: str) -> list[Address]:
    wanted = [address for address in found if family in {0, address.version}]
    if not wanted:
        raise NoData(f"{name} has no address of IPv{family}")
    return wanted


def _text(name: Name) -> str:
    return name.to_text(omit_final_dot=True)
