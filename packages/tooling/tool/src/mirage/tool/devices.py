"""The devices of MirageOS: the one module that a config.py imports.

Types: `KV_RO`, `KV_RW`, `SERVICE`, `CONSOLE`, `MONOTONIC_CLOCK`, `WALL_CLOCK`, `RANDOM`, `JOB`. Each device is a row of
data: the packages it needs, and the expression that makes it in the generated main.py. Everything of
`mirage.functoria` that a config.py needs is here too.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal, TypeAlias, overload

from mirage.functoria import (
    BOOL,
    FLOAT,
    INT,
    JOB,
    PATH,
    STR,
    BootArgument,
    Device,
    Function,
    Impl,
    Job,
    Key,
    Parameter,
    Typ,
    boot_argument,
    device,
    enum,
    foreign,
    if_key,
    key,
    language,
    match_key,
    register,
)
from mirage.types import Console, KeyValueRO, KeyValueRW, MonotonicClock, Random, WallClock

__all__ = [
    "BOOL",
    "CONSOLE",
    "DNS_PORT",
    "DRAIN",
    "FLOAT",
    "HOST",
    "INT",
    "JOB",
    "KV_RO",
    "KV_RW",
    "MONOTONIC_CLOCK",
    "NETWORK",
    "PATH",
    "PORT",
    "RANDOM",
    "SERVICE",
    "STR",
    "WALL_CLOCK",
    "BootArgument",
    "BuildTree",
    "Impl",
    "Job",
    "Key",
    "Service",
    "boot_argument",
    "console",
    "crunch",
    "directory",
    "dns_server",
    "enum",
    "foreign",
    "generated",
    "http_server",
    "https_server",
    "if_key",
    "key",
    "match_key",
    "memory",
    "monotonic_clock",
    "network",
    "random",
    "register",
    "static_site",
    "tar",
    "wall_clock",
]

language("mirage.tool")


class Service:
    """Stands for `mirage.cohttp.message.Service` in the types of config.py, which imports no run-time package."""


KV_RO: Typ[KeyValueRO] = Typ("KV_RO", "mirage.types:KeyValueRO")
KV_RW: Typ[KeyValueRW] = Typ("KV_RW", "mirage.types:KeyValueRW", parents=(KV_RO,))
CONSOLE: Typ[Console] = Typ("CONSOLE", "mirage.types:Console")
MONOTONIC_CLOCK: Typ[MonotonicClock] = Typ("MONOTONIC_CLOCK", "mirage.types:MonotonicClock")
WALL_CLOCK: Typ[WallClock] = Typ("WALL_CLOCK", "mirage.types:WallClock")
RANDOM: Typ[Random] = Typ("RANDOM", "mirage.types:Random")
SERVICE: Typ[Service] = Typ("SERVICE", "mirage.cohttp.message:Service")
NETWORK: Typ[object] = Typ("NETWORK", "asyncio:AbstractEventLoop")
"""Where sockets come from: not a device that is handed on, but the event loop that everything runs in."""

HOST = boot_argument("host", STR, "127.0.0.1", "Address to listen on.")
PORT = boot_argument("port", INT, 8080, "TCP port to listen on; 0 picks a free one.")
STACK = "stack"
HTTPS_PORT = boot_argument("https-port", INT, 0, "TCP port to listen on for HTTPS; 0 picks a free one.")
CERTIFICATE = boot_argument(
    "certificate", STR, "", "PEM file with certificate and key, or its text; none: one for development."
)
REDIRECT = boot_argument("redirect", BOOL, False, "Whether plain HTTP is only sent to HTTPS, for good (HSTS).")
WHOSE_NETWORK = key(
    "network",
    enum("host", STACK),
    "host",
    "Whose TCP/IP: the host's, or a stack of its own (always, in hvt).",
)
DEVICE = boot_argument(
    "device", STR, "/dev/net0", "The stack's network device: /dev/net0, tap:NAME, or what mirage-gateway gives."
)
IPV4 = boot_argument(
    "ipv4", STR, "dhcp", "The stack's IPv4 address, as in 10.0.0.2/24; dhcp asks for one, none does not."
)
IPV6 = boot_argument(
    "ipv6", STR, "auto", "The stack's IPv6 address, as in fd00::2/64; auto takes what routers advertise."
)
GATEWAY = boot_argument("gateway", STR, "", "The router of the stack's network; DHCP tells of one.")
DNS = boot_argument("dns", STR, "", "Name servers for the stack, joined by commas; DHCP tells of some.")
INSPECT = boot_argument(
    "inspect",
    STR,
    "",
    "Where mirage net may look into the running stack: the path of a Unix socket, or a TCP port of the stack.",
)
DNS_PORT = boot_argument("dns-port", INT, 53, "UDP and TCP port to answer names on; 0 picks a free one.")
DRAIN = boot_argument("drain", FLOAT, 5.0, "Seconds given to open requests when asked to stop.")


@dataclass(frozen=True)
class BuildTree:
    """A tree of files that the build puts into the artifact as one blob.

    `folder` is a folder of the application, copied as it is; or `render` (``module:function``) is called as
    ``function(output: pathlib.Path)`` in the application's folder when the build finds that one of `source` (files,
    folders, or patterns such as ``../packages/*/docs``), the rendering module's own files or one of `packages` has
    changed. Paths are relative to config.py.
    """

    folder: str | None = None
    render: str | None = None
    source: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


def _crunched(name: str, label: str, tree: BuildTree) -> Impl[KeyValueRO]:
    made: Function[[], KeyValueRO] = device(
        Device(
            name,
            KV_RO,
            "CrunchStore({data})",
            imports=("from mirage.crunch import CrunchStore",),
            packages=("mirage-crunch>=0.1,<0.2",),
            label=label,
            build=tree,
        )
    )
    return made()


def crunch(folder: str | PurePath, *, name: str = "files") -> Impl[KeyValueRO]:
    """A folder of the application, compiled into the artifact; read-only."""
    return _crunched(name, f"crunch({str(folder)!r})", BuildTree(folder=str(folder)))


def generated(
    *, render: str, source: Sequence[str | PurePath], packages: Sequence[str] = (), name: str = "content"
) -> Impl[KeyValueRO]:
    """A tree of files that a function of the application's produces when it is built; see `BuildTree`.

    The function, and the `packages` that it needs, are used on the building host only and never linked.
    """
    tree = BuildTree(render=render, source=tuple(map(str, source)), packages=tuple(packages))
    return _crunched(name, f"generated({render!r})", tree)


_Path: TypeAlias = "str | PurePath | Key[PurePath] | BootArgument[PurePath] | Key[str] | BootArgument[str]"


@overload
def directory(path: _Path, *, read_only: Literal[False] = ..., name: str = ...) -> Impl[KeyValueRW]: ...
@overload
def directory(path: _Path, *, read_only: Literal[True], name: str = ...) -> Impl[KeyValueRO]: ...
def directory(path: _Path, *, read_only: bool = False, name: str = "files") -> Impl[KeyValueRO]:
    """A directory of the host, opened when the program starts; a relative path is one from where it is started."""
    made: Function[[], KeyValueRO] = device(
        Device(
            name,
            KV_RO if read_only else KV_RW,
            "DirectoryStore({path}, read_only=True)" if read_only else "DirectoryStore({path})",
            imports=("from mirage.kv import DirectoryStore",),
            packages=("mirage-kv>=0.1,<0.2",),
            parameters={"path": path},
            label=f"directory({_show(path)})",
            uses=("files",),
        )
    )
    return made()


def tar(file: str | PurePath, *, name: str = "files") -> Impl[KeyValueRO]:
    """A tar archive of the host, opened when the program starts."""
    made: Function[[], KeyValueRO] = device(
        Device(
            name,
            KV_RO,
            "TarStore(Path({file}).read_bytes())",
            imports=("from pathlib import Path", "from mirage.tar import TarStore"),
            packages=("mirage-tar>=0.1,<0.2",),
            parameters={"file": str(file)},
            label=f"tar({str(file)!r})",
            uses=("files",),
        )
    )
    return made()


def memory(*, name: str = "store") -> Impl[KeyValueRW]:
    """An empty store in memory."""
    row = Device(
        name,
        KV_RW,
        "MemoryStore()",
        imports=("from mirage.kv import MemoryStore",),
        packages=("mirage-kv>=0.1,<0.2",),
        label="memory()",
    )
    made: Function[[], KeyValueRW] = device(row)
    return made()


@functools.cache
def console() -> Impl[Console]:
    """Where the unikernel says what it does; the same device however often it is asked for."""
    made: Function[[], Console] = device(_host_device("console", CONSOLE, "StandardOutput", _CONSOLE, "import sys"))
    return made()


@functools.cache
def network() -> Impl[object]:
    """Where sockets come from: the host, or a TCP/IP stack of the program's own, as the key `network` says."""
    host = device(Device("host_network", NETWORK, "", label="the host's sockets"))
    own = device(
        Device(
            "stack",
            NETWORK,
            "run_on_stack(main(arguments), {device}, ipv4={ipv4}, ipv6={ipv6}, gateway={gateway}, dns={dns}, "
            "inspect={inspect})",
            imports=("from mirage.runtime.boot import run as run_on_stack",),
            packages=("mirage-runtime>=0.1,<0.2",),
            parameters={
                "device": DEVICE,
                "ipv4": IPV4,
                "ipv6": IPV6,
                "gateway": GATEWAY,
                "dns": DNS,
                "inspect": INSPECT,
            },
            label="a TCP/IP stack of its own",
        )
    )
    return match_key(WHOSE_NETWORK, {"host": host(), STACK: own()})


@functools.cache
def monotonic_clock() -> Impl[MonotonicClock]:
    """Time that never goes back; the same device however often it is asked for."""
    made: Function[[], MonotonicClock] = device(
        _host_device("monotonic_clock", MONOTONIC_CLOCK, "HostMonotonicClock", _MONOTONIC, "import time")
    )
    return made()


@functools.cache
def wall_clock() -> Impl[WallClock]:
    """The time of day; the same device however often it is asked for."""
    made: Function[[], WallClock] = device(
        _host_device("wall_clock", WALL_CLOCK, "HostWallClock", _WALL, "import time")
    )
    return made()


@functools.cache
def random() -> Impl[Random]:
    """Random octets from the host; the same device however often it is asked for."""
    made: Function[[], Random] = device(_host_device("random", RANDOM, "HostRandom", _RANDOM, "import os"))
    return made()


def _host_device(name: str, typ: Typ[Any], class_: str, definition: str, import_: str) -> Device:
    return Device(name, typ, f"{class_}()", imports=(import_,), definition=definition, label=f"{name}()")


_CONSOLE = '''
class StandardOutput:
    """The console: the standard output, written at once."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
'''

_MONOTONIC = '''
class HostMonotonicClock:
    """Time that never goes back."""

    def elapsed_ns(self) -> int:
        return time.monotonic_ns()
'''

_WALL = '''
class HostWallClock:
    """The time of day."""

    def now_ns(self) -> int:
        return time.time_ns()
'''

_RANDOM = '''
class HostRandom:
    """Random octets from the host's operating system."""

    def generate(self, size: int) -> bytes:
        return os.urandom(size)
'''


_SERVE = '''
async def serve_http(service: Service, host: str, port: int, drain: float) -> None:
    """Serve until cancelled; open requests then get `drain` seconds."""
    try:
        server = await serve(service, host, port)
    except OSError as error:
        reason = os.strerror(error.errno) if (error.errno or 0) > 0 else error
        sys.exit(f"{NAME}: cannot listen on {host} port {port}: {reason}; --host and --port choose another address")
    print(f"{NAME}: serving on {server.url}", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await server.drain(drain)
'''


def static_site(
    store: Impl[KeyValueRO], *, listing: bool | Key[bool] | BootArgument[bool] = False, cache_control: str | None = None
) -> Impl[Service]:
    """A service that answers with the values of a store, as a web server serves files.

    `listing` shows what is in a directory that has no index.html; `cache_control` is that header field for all answers.
    """
    options = {"listing": listing, "cache_control": cache_control}
    given = {name: value for name, value in options.items() if value is not False and value is not None}
    made: Function[[Impl[KeyValueRO]], Service] = device(
        Device(
            "site",
            SERVICE,
            f"static({{0}}{''.join(f', {name}={{{name}}}' for name in given)})",
            takes=(KV_RO,),
            imports=("from mirage.cohttp.static import static",),
            packages=("mirage-cohttp>=0.1,<0.2",),
            parameters=given,
            label="static_site",
        )
    )
    return made(store)


def http_server(
    service: Impl[Service],
    *,
    host: str | Key[str] | BootArgument[str] = HOST,
    port: int | Key[int] | BootArgument[int] = PORT,
    drain: float | Key[float] | BootArgument[float] = DRAIN,
) -> Impl[Job]:
    """An HTTP/1.1 server for a service, until the program is asked to stop; open requests then get `drain` seconds."""
    made: Function[[Impl[Service]], Job] = device(
        Device(
            "server",
            JOB,
            "serve_http({0}, {host}, {port}, {drain})",
            takes=(SERVICE,),
            imports=(
                "import os",
                "import sys",
                "from mirage.cohttp import serve",
                "from mirage.cohttp.message import Service",
            ),
            definition=_SERVE,
            packages=("mirage-cohttp>=0.1,<0.2",),
            parameters={"host": host, "port": port, "drain": drain},
            label="http_server",
            uses=("sockets",),
        ),
        after=(network(),),
    )
    return made(service)


_SERVE_HTTPS = '''
async def serve_https(
    service: Service, host: str, port: int, https_port: int, certificate: str, redirect: bool, drain: float
) -> None:
    """Serve over TLS, and in the clear too, until cancelled; open requests then get `drain` seconds.

    With `redirect` the port in the clear only sends clients to the other, and these are told to remember it (HSTS).
    """
    at, key = https_port, ""
    try:
        if certificate:
            # A virtual machine has no file to read it from: it is started with the text.
            text = "-----BEGIN " in certificate
            identity = Identity.from_pem(certificate.encode()) if text else Identity.from_files(certificate)
        else:
            made = development([host], now=time.time())
            identity, key = made.identity, f" with the development key {made.pin}"
        private = strict_transport(service) if redirect else service
        secure = await serve(private, host, https_port, tls=ServerTls(identity=identity))
        at = port
        plain = await serve(redirect_to_https(secure.address[1]) if redirect else service, host, port)
    except OSError as error:
        reason = os.strerror(error.errno) if (error.errno or 0) > 0 else error
        other = "--host, --port and --https-port choose other places"
        sys.exit(f"{NAME}: cannot listen on {host} port {at}: {reason}; {other}")
    except MirageError as error:
        sys.exit(f"{NAME}: {error}")
    print(f"{NAME}: serving on {plain.url}", flush=True)
    print(f"{NAME}: serving on {secure.url}{key}", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.gather(plain.drain(drain), secure.drain(drain))
'''


def https_server(
    service: Impl[Service],
    *,
    host: str | Key[str] | BootArgument[str] = HOST,
    port: int | Key[int] | BootArgument[int] = PORT,
    https_port: int | Key[int] | BootArgument[int] = HTTPS_PORT,
    certificate: str | Key[str] | BootArgument[str] = CERTIFICATE,
    redirect: bool | Key[bool] | BootArgument[bool] = REDIRECT,
    drain: float | Key[float] | BootArgument[float] = DRAIN,
) -> Impl[Job]:
    """`http_server`, and the same service over TLS at a second port.

    `certificate` is a PEM file with a certificate, those above it, and its key, or the text of one; `mirage run` has a
    virtual machine, which sees no files, started with the text. Without a certificate there is one for development,
    made at each start, and the console says its key's fingerprint, by which a client can trust it. With `redirect` the
    first port sends every client to the same place on the second, and browsers remember to come there.
    TLS is our own, or OpenSSL where the environment has ``CONDUIT_TLS=openssl``.
    """
    made: Function[[Impl[Service]], Job] = device(
        Device(
            "server",
            JOB,
            "serve_https({0}, {host}, {port}, {https_port}, {certificate}, {redirect}, {drain})",
            takes=(SERVICE,),
            imports=(
                "import os",
                "import sys",
                "import time",
                "from mirage.cohttp import serve",
                "from mirage.cohttp.message import Service",
                "from mirage.cohttp.secure import redirect_to_https, strict_transport",
                "from mirage.conduit import Identity, ServerTls",
                "from mirage.conduit.development import development",
                "from mirage.types import MirageError",
            ),
            definition=_SERVE_HTTPS,
            packages=(
                "mirage-cohttp>=0.1,<0.2",
                "mirage-conduit[native]>=0.1,<0.2",
                "mirage-types>=0.1,<0.2",
            ),
            parameters={
                "host": host,
                "port": port,
                "https_port": https_port,
                "certificate": certificate,
                "redirect": redirect,
                "drain": drain,
            },
            label="https_server",
            uses=("sockets",),
        ),
        after=(network(),),
    )
    return made(service)


_SERVE_DNS = '''
async def serve_dns(store: KeyValueRO, zones: list[tuple[str, str | None]], host: str, port: int) -> None:
    """Answer from the store's zone files until cancelled; each has the name of its zone where it does not say it."""
    try:
        found = [Zone.parse(store.get(key).decode(), origin, file=key) for key, origin in zones]
        server = await serve_names(Authority(found), host, port)
    except (MirageError, UnicodeDecodeError) as error:
        sys.exit(f"{NAME}: {error}")
    except OSError as error:
        reason = os.strerror(error.errno) if (error.errno or 0) > 0 else error
        sys.exit(f"{NAME}: cannot listen on {host} port {port}: {reason}; --host and --dns-port choose another address")
    names = ", ".join(zone.origin.to_text() for zone in found)
    print(f"{NAME}: answering for {names} on {server.address[0]} port {server.address[1]}", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await server.close()
'''


def dns_server(
    store: Impl[KeyValueRO],
    zones: Mapping[str, str | None],
    *,
    host: str | Key[str] | BootArgument[str] = HOST,
    port: int | Key[int] | BootArgument[int] = DNS_PORT,
) -> Impl[Job]:
    """An authoritative name server over UDP and TCP, until the program is asked to stop.

    `zones` says which values of the store are zone files (RFC 1035), each with the name of its zone, or None where the
    file begins with ``$ORIGIN``.
    """
    listed = repr(list(zones.items())).replace("{", "{{").replace("}", "}}")
    made: Function[[Impl[KeyValueRO]], Job] = device(
        Device(
            "name_server",
            JOB,
            f"serve_dns({{0}}, {listed}, {{host}}, {{port}})",
            takes=(KV_RO,),
            imports=(
                "import os",
                "import sys",
                "from mirage.dns import Authority, Zone",
                "from mirage.dns import serve as serve_names",
                "from mirage.types import KeyValueRO, MirageError",
            ),
            definition=_SERVE_DNS,
            packages=("mirage-dns>=0.1,<0.2", "mirage-types>=0.1,<0.2"),
            parameters={"host": host, "port": port},
            label="dns_server",
            uses=("sockets",),
        ),
        after=(network(),),
    )
    return made(store)


def _show(value: Parameter) -> str:
    return f"--{value.name}" if isinstance(value, Key | BootArgument) else repr(str(value))
