"""The TLS of others, as clients and as servers. What one of them cannot do, or not be told to, is said by `Cannot`."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from . import firefox
from .ours import REQUEST, Authority

NSS_VERSIONS = {"TLSv1.3": "tls1.3", "TLSv1.2": "tls1.2"}
SECONDS = 20


class Cannot(Exception):
    """The peer lacks the feature, or a way to ask for it; the reason stands in the table."""


class Refused(Exception):
    """The peer did not get its answer; the message is what it said."""


def program(command: list[str], data: bytes = REQUEST, *, linger: float = 0.0) -> bytes:
    """Run a client to its end and give all that it printed. With `linger` its input stays open for so many seconds.

    Raises `Refused` unless our answer is there.
    """
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(SECONDS, process.kill)
        timer.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(data)
                process.stdin.flush()
            if linger:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(linger)
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            said = process.stdout.read()
            process.wait()
        finally:
            timer.cancel()
    if b"answered by mirage" not in said:
        raise Refused(said.decode("utf-8", "replace")[-600:])
    return said


class Client:
    """Asks our server."""

    name: ClassVar[str]
    tool: ClassVar[str | None] = None
    without_tickets_12: ClassVar[str] = ""
    """Why it does not resume sessions of TLS 1.2 by tickets, if it does not."""
    browser: ClassVar[bool] = False
    """Whether its requests are its own, and it makes connections that nobody asked for."""

    def __init__(self, good: Authority, folder: Path) -> None:
        self.good = good
        self.folder = folder

    def ask(self, port: int, feature: str = "", trust: Authority | None = None, name: str = "localhost") -> bytes:
        """Ask for a page, in the way that a feature wants. Raises `Cannot`, `Refused`."""
        raise NotImplementedError


class OpensslClient(Client):
    """OpenSSL's own client."""

    name, tool = "openssl s_client", "openssl"

    def ask(self, port: int, feature: str = "", trust: Authority | None = None, name: str = "localhost") -> bytes:
        """See `Client`."""
        session = self.folder / "session.pem"
        more = {
            "alpn": ["-alpn", "h2,http/1.1"],
            "client certificate": ["-cert", str(self.good.file(name="client"))],
            "resume first": ["-sess_out", str(session)],
            "resume": ["-sess_in", str(session)],
            "early data": ["-sess_in", str(session), "-early_data", str(self._early())],
            "key update": [],
        }.get(feature, [])
        if feature == "hybrid":
            raise Cannot("from OpenSSL 3.5 on")
        quiet = [] if feature == "key update" else ["-ign_eof"]
        command = [
            *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", name, "-verify_hostname", name),
            *("-CAfile", str((trust or self.good).root_file), "-verify_return_error", *quiet, *more),
        ]
        if feature == "key update":
            # Each K on a line of its own updates both directions; what comes then is under new keys.
            return self._typed(command)
        return program(command, b"\n" if feature == "early data" else REQUEST)

    def _early(self) -> Path:
        path = self.folder / "early"
        path.write_bytes(REQUEST)
        return path

    @staticmethod
    def _typed(command: list[str]) -> bytes:
        """Lines with time between them, as a person types: s_client looks at commands only so."""
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as p:
            assert p.stdin is not None
            timer = threading.Timer(SECONDS, p.kill)
            timer.start()
            for line in (b"K\n", b"K\n", b"GET / HTTP/1.0\n", b"\n"):
                time.sleep(0.3)
                with contextlib.suppress(BrokenPipeError):
                    p.stdin.write(line)
                    p.stdin.flush()
            assert p.stdout is not None
            said = p.stdout.read()
            timer.cancel()
        if b"answered by mirage" not in said or said.count(b"KEYUPDATE") < 2:
            raise Refused(said.decode("utf-8", "replace")[-600:])
        return said


class CurlClient(Client):
    """curl, over OpenSSL."""

    name, tool = "curl", "curl"
    without_tickets_12 = "curl takes no tickets of TLS 1.2"

    def ask(self, port: int, feature: str = "", trust: Authority | None = None, name: str = "localhost") -> bytes:
        """See `Client`."""
        if feature in ("early data", "key update"):
            raise Cannot("this curl has no switch for it")
        if feature == "resume first":
            return b""  # a process keeps its sessions, so it is one that connects twice
        if feature == "hybrid":
            raise Cannot("built with OpenSSL 3.0")
        certificate = ["--cert", str(self.good.file(name="client"))] if feature == "client certificate" else []
        return program(
            [
                *("curl", "-sS", "--http1.1", "--cacert", str((trust or self.good).root_file), *certificate),
                *("--resolve", f"{name}:{port}:127.0.0.1"),
                *([f"https://{name}:{port}/"] * (2 if feature == "resume" else 1)),
            ]
        )


class PythonClient(Client):
    """The standard library."""

    name = "Python ssl"

    def __init__(self, good: Authority, folder: Path) -> None:
        super().__init__(good, folder)
        self._context: ssl.SSLContext | None = None
        self._session: ssl.SSLSession | None = None

    def ask(self, port: int, feature: str = "", trust: Authority | None = None, name: str = "localhost") -> bytes:
        """See `Client`."""
        if feature in ("early data", "key update"):
            raise Cannot("not in the module ssl")
        if feature == "hybrid":
            raise Cannot("from OpenSSL 3.5 on")
        if feature != "resume" or self._context is None:
            self._context = ssl.create_default_context(cafile=str((trust or self.good).root_file))
            self._session = None
        if feature == "alpn":
            self._context.set_alpn_protocols(["h2", "http/1.1"])
        if feature == "client certificate":
            self._context.load_cert_chain(self.good.file(name="client"))
        try:
            with (
                socket.create_connection(("127.0.0.1", port), SECONDS) as raw,
                self._context.wrap_socket(raw, server_hostname=name, session=self._session) as secure,
            ):
                secure.sendall(REQUEST)
                said = b""
                while piece := secure.recv(65536):
                    said += piece
                self._session = secure.session
                return said
        except OSError as error:
            raise Refused(str(error)) from None


class GnutlsClient(Client):
    """GnuTLS's client."""

    name, tool = "gnutls-cli", "gnutls-cli"

    def ask(self, port: int, feature: str = "", trust: Authority | None = None, name: str = "localhost") -> bytes:
        """See `Client`."""
        if feature == "hybrid":
            raise Cannot("from GnuTLS 3.8.8 on")
        more = {
            "alpn": ["--alpn", "h2", "--alpn", "http/1.1"],
            "client certificate": [
                *(
                    "--x509certfile",
                    str(self.good.file(name="client")),
                    "--x509keyfile",
                    str(self.good.file(name="client")),
                )
            ],
            "resume": ["--resume", "--waitresumption"],
            "early data": ["--resume", "--waitresumption", "--earlydata", str(self._early())],
            "key update": ["--inline-commands"],
        }.get(feature, [])
        if feature == "resume first":
            return b""  # `--resume` connects twice by itself
        data = b"^rekey^\n" + REQUEST if feature == "key update" else REQUEST
        return program(
            [
                *("gnutls-cli", "--x509cafile", str((trust or self.good).root_file), "--logfile", str(self._log())),
                *("-p", str(port), "--sni-hostname", name, "--verify-hostname", name, *more, "127.0.0.1"),
            ],
            data,
            linger=3,
        )

    def _log(self) -> Path:
        return self.folder / "gnutls.log"

    def _early(self) -> Path:
        path = self.folder / "early"
        path.write_bytes(REQUEST)
        return path


def nss_database(good: Authority, folder: Path, *, identities: tuple[tuple[str, Path], ...] = ()) -> Path:
    """A database of NSS that trusts an authority and has certificates with their keys, each under its name."""
    database = folder / "nss"
    if not database.exists():
        database.mkdir()
        where = ("-d", f"sql:{database}")
        _run("certutil", "-N", *where, "--empty-password")
        _run("certutil", "-A", *where, "-n", "root", "-t", "CT,C,", "-i", str(good.root_file))
        for label, pem in identities:
            store = folder / f"{label}.p12"
            words = ("-export", "-in", str(pem), "-name", label, "-out", str(store), "-passout", "pass:p")
            _run("openssl", "pkcs12", *words)
            _run("pk12util", "-i", str(store), *where, "-W", "p", "-K", "")
    return database


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)


class NssClient(Client):
    """The client of NSS, whose TLS Firefox and Thunderbird speak."""

    name, tool = "NSS tstclnt", "tstclnt"

    def ask(self, port: int, feature: str = "", trust: Authority | None = None, name: str = "localhost") -> bytes:
        """See `Client`."""
        if feature in ("alpn", "key update"):
            raise Cannot("tstclnt has no switch that shows it")
        if feature == "hybrid":
            raise Cannot("not among tstclnt's groups")
        if feature == "ed25519":
            raise Cannot("NSS takes no Ed25519 certificates of servers")
        folder = self.folder / (trust or self.good).label
        folder.mkdir(exist_ok=True)
        # Left to itself tstclnt shows any certificate that it has.
        clients = () if feature == "no certificate" else (("client", self.good.file(name="client")),)
        database = nss_database(trust or self.good, folder, identities=clients)
        more = {
            "client certificate": ["-n", "client"],
            "p521": ["-I", "x25519,P521"],
            "resume": ["-L", "2"],
            "early data": ["-L", "2", "-Z"],
        }.get(feature, [])
        if feature == "resume first":
            return b""  # `-L 2` connects twice by itself
        (self.folder / "request").write_bytes(REQUEST)
        return program(
            [
                *("tstclnt", "-h", "127.0.0.1", "-a", name, "-p", str(port), "-d", f"sql:{database}"),
                *("-V", "tls1.2:tls1.3", "-u", "-A", str(self.folder / "request"), *more),
            ]
        )


class ChromiumClient(Client):
    """A browser, headless, whose trust is a database of NSS."""

    name, tool, browser = "Chromium", "chromium", True

    def ask(self, port: int, feature: str = "", trust: Authority | None = None, name: str = "localhost") -> bytes:
        """See `Client`."""
        if feature == "ed25519":
            raise Cannot("Chromium takes no Ed25519 certificates")
        if feature == "p521":
            raise Cannot("not among Chromium's groups")
        if feature == "key update":
            raise Cannot("a browser has no switch for it")
        if feature == "client certificate":
            raise Cannot("Chromium asks its user, or a policy of the machine, which certificate to show")
        if feature == "resume first":
            return b""  # a page in a page in a page has it connect often enough
        home = self.folder / (trust or self.good).label
        (home / ".pki").mkdir(parents=True, exist_ok=True)
        nss_database(trust or self.good, home)
        with contextlib.suppress(FileExistsError):
            (home / ".pki" / "nssdb").symlink_to(home / "nss")
        return program(
            [
                *("env", f"HOME={home}", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
                *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"),
                *(("--enable-features=EnableTLS13EarlyData",) if feature == "early data" else ()),
                *(f"--user-data-dir={home}/profile", "--host-resolver-rules=MAP * 127.0.0.1", "--dump-dom"),
                f"https://{name}:{port}/{'frames/3' if feature in ('resume', 'early data') else ''}",
            ]
        )


class FirefoxClient(Client):
    """The other browser, whose trust is a database of NSS in its profile."""

    name, tool, browser = "Firefox", "firefox-esr", True

    def ask(self, port: int, feature: str = "", trust: Authority | None = None, name: str = "localhost") -> bytes:
        """See `Client`."""
        if feature == "ed25519":
            raise Cannot("NSS takes no Ed25519 certificates of servers")
        if feature == "key update":
            raise Cannot("a browser has no switch for it")
        if feature == "resume first":
            return b""  # a page in a page in a page has it connect often enough
        authority = trust or self.good
        showing = feature == "client certificate"
        home = authority.folder / ("firefox-showing" if showing else "firefox")  # of all tests: it takes long to start
        home.mkdir(exist_ok=True)
        identities = (("client", self.good.file(name="client")),) if showing else ()
        preferences = {"security.default_personal_cert": "Select Automatically"} if showing else {}
        profile = nss_database(authority, home, identities=identities)
        path = "frames/3" if feature in ("resume", "early data") else ""
        try:
            return firefox.page(profile, f"https://{name}:{port}/{path}", preferences).encode()
        except firefox.Refusal as error:
            raise Refused(str(error)) from None


CLIENTS: tuple[type[Client], ...] = (
    *(OpensslClient, CurlClient, PythonClient, GnutlsClient, NssClient),
    *(ChromiumClient, FirefoxClient),
)


class Peer:
    """A server of others."""

    name: ClassVar[str]
    tool: ClassVar[str | None] = None

    def __init__(self, good: Authority, folder: Path) -> None:
        self.good = good
        self.folder = folder

    @contextlib.contextmanager
    def serving(self, feature: str, kind: str = "ecdsa-p256") -> Iterator[int]:
        """Serve, and give the port. Raises `Cannot`."""
        raise NotImplementedError
        yield 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _server(command: list[str], port: int) -> Iterator[int]:
    """A program that listens, from when it does until the end of the block."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            deadline = time.monotonic() + SECONDS
            while True:
                if process.poll() is not None:
                    assert process.stderr is not None
                    raise Refused(f"{command[0]} ended: {process.stderr.read().decode()[-400:]}")
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                assert time.monotonic() < deadline, f"{command[0]} does not listen"
                time.sleep(0.05)
            yield port
        finally:
            process.kill()


class OpensslServer(Peer):
    """OpenSSL's own server, which answers with its status."""

    name, tool = "openssl s_server", "openssl"

    @contextlib.contextmanager
    def serving(self, feature: str, kind: str = "ecdsa-p256") -> Iterator[int]:
        """See `Peer`."""
        if feature == "hybrid":
            raise Cannot("from OpenSSL 3.5 on")
        port, pem = _free_port(), str(self.good.file(kind))
        more = {
            "client certificate": ["-Verify", "2", "-CAfile", str(self.good.root_file), "-verify_return_error"],
            "retry": ["-groups", "P-384"],
            "alpn": ["-alpn", "http/1.1"],
            "early data": ["-early_data"],
            "TLSv1.2": ["-tls1_2"],
        }.get(feature, [])
        page = [] if feature == "early data" else ["-www"]  # which reads none
        command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", pem, "-key", pem, *page, *more]
        with _server(command, port):
            yield port


class PythonServer(Peer):
    """The standard library, in a thread."""

    name = "Python ssl"

    @contextlib.contextmanager
    def serving(self, feature: str, kind: str = "ecdsa-p256") -> Iterator[int]:
        """See `Peer`."""
        if feature == "early data":
            raise Cannot("not in the module ssl")
        if feature == "hybrid":
            raise Cannot("from OpenSSL 3.5 on")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.good.file(kind))
        if feature == "client certificate":
            context.load_verify_locations(self.good.root_file)
            context.verify_mode = ssl.CERT_REQUIRED
        elif feature == "retry":
            context.set_ecdh_curve("secp384r1")
        elif feature == "alpn":
            context.set_alpn_protocols(["http/1.1"])
        elif feature == "TLSv1.2":
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        listener = socket.create_server(("127.0.0.1", 0))
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                try:
                    raw, _ = listener.accept()
                    raw.settimeout(SECONDS)
                    with contextlib.suppress(OSError), context.wrap_socket(raw, server_side=True) as secure:
                        secure.recv(65536)
                        secure.sendall(b"HTTP/1.0 200 OK\r\n\r\n<html>Python</html>\n")
                        secure.unwrap()
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(SECONDS)


class GnutlsServer(Peer):
    """GnuTLS's server."""

    name, tool = "gnutls-serv", "gnutls-serv"

    @contextlib.contextmanager
    def serving(self, feature: str, kind: str = "ecdsa-p256") -> Iterator[int]:
        """See `Peer`."""
        if feature == "hybrid":
            raise Cannot("from GnuTLS 3.8.8 on")
        port, pem = _free_port(), str(self.good.file(kind))
        more = {
            "client certificate": ["--require-client-cert", "--verify-client-cert"],
            "retry": ["--priority", "NORMAL:-GROUP-ALL:+GROUP-SECP384R1"],
            "alpn": ["--alpn", "http/1.1", "--alpn-fatal"],
            "early data": ["--earlydata"],
            "TLSv1.2": ["--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2"],
        }.get(feature, [])
        authority = ["--x509cafile", str(self.good.root_file)]
        command = ["gnutls-serv", "--http", "-p", str(port), "--x509certfile", pem, "--x509keyfile", pem]
        with _server([*command, *authority, *more], port):
            yield port


class NssServer(Peer):
    """NSS's server."""

    name, tool = "NSS selfserv", "selfserv"

    @contextlib.contextmanager
    def serving(self, feature: str, kind: str = "ecdsa-p256") -> Iterator[int]:
        """See `Peer`."""
        if feature == "hybrid":
            raise Cannot("not among selfserv's groups")
        if kind == "ed25519":
            raise Cannot("NSS takes no Ed25519 certificates of servers")
        folder = self.folder / f"selfserv-{kind}"
        folder.mkdir(exist_ok=True)
        database = nss_database(self.good, folder, identities=(("server", self.good.file(kind)),))
        port = _free_port()
        more = {
            "client certificate": ["-r", "-r"],
            "retry": ["-I", "P384"],
            "alpn": ["-Q"],
            "early data": ["-Z"],
        }.get(feature, [])
        nickname = ["-n" if kind.startswith("rsa") else "-e", "server"]
        versions = "tls1.2:tls1.2" if feature == "TLSv1.2" else "tls1.2:tls1.3"
        command = ["selfserv", *nickname, "-p", str(port), "-d", f"sql:{database}", "-V", versions, "-u", "-H", "1"]
        with _server([*command, *more], port):
            if feature == "early data":
                time.sleep(11)  # its guard against replay, which knows the last ten seconds, takes none before
            yield port


PEERS: tuple[type[Peer], ...] = (OpensslServer, PythonServer, GnutlsServer, NssServer)
