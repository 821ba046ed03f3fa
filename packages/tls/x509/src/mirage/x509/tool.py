"""`mirage-x509`: show, make and check certificates."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mirage.crypto import CryptoError, PrivateKey
from mirage.types import MirageError

from .authenticators import chain_of_trust, system_roots
from .build import Identity, make_ca, make_client, make_server
from .certificate import Certificate
from .crl import Crl
from .csr import Request
from .errors import InvalidEncoding, UnusableInput, ValidationError
from .pem import decode_pem
from .pkcs12 import Store, decode_pkcs12, encode_pkcs12
from .profile import profile_named
from .revocation import Revocation
from .show import show_certificate, show_crl, show_request

__all__ = ["main"]

_EXAMPLES = """\
examples:
  mirage-x509 make server localhost 127.0.0.1     HTTPS at home: writes ca.pem and localhost.pem
  mirage-x509 show localhost.pem                  what is in a file
  mirage-x509 check localhost.pem --name localhost --roots ca.pem
  mirage-x509 make ca "My CA" --days 3650         a CA alone, as ca.pem and ca-key.pem
  mirage-x509 make client "Ada" --p12             a certificate for a browser, as ada.p12 as well

`make server` and `make client` use ca.pem and ca-key.pem of the folder, and make them if there are none. Tell browsers
and curl to trust ca.pem; keep ca-key.pem to yourself. The exit status is 0, or 1 for anything that is wrong.
"""

_KEYS = {
    "p256": PrivateKey.generate_ec,
    "p384": lambda: PrivateKey.generate_ec("secp384r1"),
    "rsa": lambda: PrivateKey.generate_rsa(2048),
    "ed25519": PrivateKey.generate_ed25519,
}
_SLACK = timedelta(minutes=1)
"""How long before now a new certificate begins, as clocks differ."""

_DAYS = {"ca": 3650, "server": 397, "client": 397}


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="mirage-x509", description="Show, make and check certificates.", epilog=_EXAMPLES, formatter_class=raw
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{show,make,check}")

    show = commands.add_parser("show", help="say what is in a file: certificates, requests, lists, PKCS #12 stores")
    show.add_argument("files", metavar="FILE", nargs="+", help="PEM, DER or PKCS #12; - is standard input")
    show.add_argument("--password", help="of a PKCS #12 file (asked for if it is not given)")

    make = commands.add_parser("make", help="make a CA, or a certificate for a server or a client")
    kinds = make.add_subparsers(dest="kind", required=True, metavar="{ca,server,client}")
    for kind, what in {"ca": "a CA", "server": "a server's certificate", "client": "a client's certificate"}.items():
        each = kinds.add_parser(kind, help=f"make {what}", epilog=_EXAMPLES, formatter_class=raw)
        if kind == "server":
            each.add_argument("names", metavar="NAME", nargs="+", help="its DNS names and IP addresses")
        else:
            each.add_argument("names", metavar="NAME", nargs=1, help='its name, as "My CA" or "O=Example, CN=Ada"')
        each.add_argument("--days", type=int, default=_DAYS[kind], help=f"how long it is valid ({_DAYS[kind]})")
        each.add_argument("--key", choices=sorted(_KEYS), default="p256", help="the kind of key (p256)")
        each.add_argument("--folder", type=Path, default=Path(), help="where the CA is, and where to write (here)")
        each.add_argument("--force", action="store_true", help="write over files that are there")
        if kind == "ca":
            each.add_argument("--permit", metavar="NAME", action="append", default=[], help="certify only names below")
        else:
            each.add_argument("-o", "--output", type=Path, help="the file to write (the first name, and .pem)")
            each.add_argument("--p12", action="store_true", help="write a PKCS #12 file as well, for browsers")
            each.add_argument("--password", help="of that file (asked for if it is not given)")

    check = commands.add_parser("check", help="say whether a certificate would be trusted, and if not, what is wrong")
    check.add_argument("file", metavar="FILE", help="the certificate and its chain, PEM or DER")
    check.add_argument("--name", help="the DNS name or IP address that it should have")
    check.add_argument("--roots", metavar="FILE", help="the trusted CAs (those of the system)")
    check.add_argument("--role", choices=("server", "client"), default="server", help="of whom it is (server)")
    check.add_argument("--profile", choices=("practical", "rfc5280", "web"), default="practical", help="how strictly")
    check.add_argument("--crl", metavar="FILE", action="append", default=[], help="a revocation list; may be repeated")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    run = {"show": _show, "make": _make, "check": _check}[options.command]
    try:
        return run(options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has had enough; leave nothing for the interpreter to flush into the broken pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (MirageError, OSError) as error:
        print(f"mirage-x509: {error}", file=sys.stderr)
        return 1


def _say(text: str) -> None:
    # Names come from outside; what a terminal cannot show must not stop us.
    encoding = sys.stdout.encoding or "ascii"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def _password(options: argparse.Namespace) -> str:
    return options.password if options.password is not None else getpass.getpass("password of the PKCS #12 file: ")


# Show.


def _show(options: argparse.Namespace) -> int:
    for file in options.files:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        _say("\n\n".join(_described(data, file, options)))
    return 0


def _described(data: bytes, file: str, options: argparse.Namespace) -> list[str]:
    now = datetime.now(UTC)
    if b"-----BEGIN " in data:
        shown = [_described_block(block.label, block.data, now) for block in decode_pem(data)]
        if not shown:
            raise InvalidEncoding(f"{file}: no PEM block that could be read")
        return shown
    problems = []
    for kind in ("CERTIFICATE", "CERTIFICATE REQUEST", "X509 CRL"):
        try:
            return [_described_block(kind, data, now)]
        except InvalidEncoding as error:
            problems.append(str(error))
    if file.endswith((".p12", ".pfx")):
        store = decode_pkcs12(data, _password(options))
        parts = [f"Private key: {store.key!r}"] if store.key else []
        return parts + [show_certificate(c, now) for c in (store.certificate, *store.others) if c is not None]
    raise InvalidEncoding(f"{file} holds neither PEM nor a certificate, request or list in DER ({problems[0]})")


def _described_block(label: str, data: bytes, now: datetime) -> str:
    if label in ("CERTIFICATE", "X509 CERTIFICATE"):
        return show_certificate(Certificate(data), now)
    if label in ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"):
        return show_request(Request(data))
    if label == "X509 CRL":
        return show_crl(Crl(data))
    if label.endswith("PRIVATE KEY"):
        return f"{label.capitalize()} ({len(data)} octets; not shown)"
    return f"{label.capitalize()} ({len(data)} octets)"


# Make.


def _make(options: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    begin, end = now - _SLACK, now + timedelta(days=options.days)
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.kind == "ca":
        identity = make_ca(
            options.names[0], _KEYS[options.key](), permitted=options.permit, not_before=begin, not_after=end
        )
        _write_ca(identity, options.folder, options.force)
        return 0
    issuer = _issuer(options.folder, now)
    end = min(end, issuer.certificate.not_after)
    key = _KEYS[options.key]()
    first = options.names[0]
    if options.kind == "server":
        certificate = make_server(options.names, key.public, issuer, not_before=begin, not_after=end)
    else:
        certificate = make_client(first, key.public, issuer, not_before=begin, not_after=end)
    stem = first.rpartition("=")[2].strip().replace("*", "wildcard").replace("/", "-").replace(" ", "-").lower()
    output = options.output or options.folder / f"{stem or 'certificate'}.pem"
    own = Identity(certificate, key)
    _write(output, own.pem(issuer.certificate).encode(), options.force, secret=True)
    if options.p12:
        store = Store(key, certificate, (issuer.certificate,), first)
        data = encode_pkcs12(store, _password(options), os.urandom)
        _write(output.with_suffix(".p12"), data, options.force, secret=True)
    if options.kind == "server":
        _say(
            f"{output} holds the certificate and its key, for {', '.join(options.names)}, until {_until(certificate)}."
        )
        _say(f"Clients trust it once they trust {options.folder / 'ca.pem'}, as curl --cacert does.")
    else:
        _say(f"{output} holds the certificate of {certificate.subject} and its key, until {_until(certificate)}.")
    return 0


def _until(certificate: Certificate) -> str:
    return f"{certificate.not_after:%Y-%m-%d}"


def _issuer(folder: Path, now: datetime) -> Identity:
    """The CA of the folder; made first if there is none."""
    certificate, key = folder / "ca.pem", folder / "ca-key.pem"
    if not certificate.exists() and not key.exists():
        host = os.uname().nodename
        begin, end = now - _SLACK, now + timedelta(days=_DAYS["ca"])
        made = make_ca(f"Development CA of {host}", PrivateKey.generate_ec(), not_before=begin, not_after=end)
        _write_ca(made, folder, force=False)
        return made
    try:
        found = Identity(Certificate.load(certificate)[0], PrivateKey.from_pem(key.read_bytes()))
    except (CryptoError, IndexError) as error:
        raise UnusableInput(f"{certificate} and {key} are not a CA and its key: {error}") from None
    if found.certificate.not_after < now:
        raise UnusableInput(f"{certificate} expired; make a new one: mirage-x509 make ca NAME --force")
    return found


def _write_ca(identity: Identity, folder: Path, force: bool) -> None:
    key, certificate = folder / "ca-key.pem", folder / "ca.pem"
    if certificate.exists() and not force:
        raise UnusableInput(f"{certificate} is there already; --force writes over it")
    _write(key, identity.key.to_pem(), force, secret=True)
    _write(certificate, identity.certificate.pem().encode(), force, secret=False)
    _say(
        f"{certificate} is the CA {identity.certificate.subject}, until {_until(identity.certificate)}; "
        f"{key} is its key."
    )


def _write(path: Path, data: bytes, force: bool, secret: bool) -> None:
    """Write a file, readable by its owner alone if it is secret, and never over another unless told."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    if force and secret:
        path.unlink(missing_ok=True)
    try:
        descriptor = os.open(path, flags, 0o600 if secret else 0o644)
    except FileExistsError:
        raise UnusableInput(f"{path} is there already; --force writes over it") from None
    with open(descriptor, "wb") as file:
        file.write(data)


# Check.


def _check(options: argparse.Namespace) -> int:
    chain = Certificate.load(options.file)
    if not chain:
        raise InvalidEncoding(f"{options.file} holds no certificate")
    roots = Certificate.load(options.roots) if options.roots else system_roots()
    lists = [crl for file in options.crl for crl in Crl.load(file)]
    trust = chain_of_trust(roots, profile=profile_named(options.profile), revocation=Revocation(lists))
    try:
        found = trust(chain, name=options.name, role=options.role, now=time.time())
    except ValidationError as error:
        _say(f"NOT TRUSTED ({error.reason}): {error}")
        return 1
    _say(f"trusted{f', as {options.name}' if options.name else ''}, until {_until(min(found.path, key=_end))}:")
    for index, certificate in enumerate(found.path):
        _say(f"  {'  ' * index}{certificate!r}")
    if not options.name:
        _say("No name was asked for: give --name to check that too.")
    return 0


def _end(certificate: Certificate) -> datetime:
    return certificate.not_after
