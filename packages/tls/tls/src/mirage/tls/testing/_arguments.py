"""Switches that the test server and the test client share, one for each feature."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mirage.x509 import Authenticator, Certificate, chain_of_trust, from_string

from .. import Identity
from .._compression import AVAILABLE
from .._constants import GROUPS, SCHEMES, SUITES
from . import accept_anyone

__all__ = ["add_common", "authenticator", "common", "identities"]


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def add_common(parser: argparse.ArgumentParser) -> None:
    """What both sides have."""
    parser.add_argument("--versions", type=_names, metavar="V,V", help="TLSv1.3 and TLSv1.2, the favourite first")
    parser.add_argument("--suites", type=_names, metavar="S,S", help=f"of {', '.join(SUITES)}")
    parser.add_argument("--groups", type=_names, metavar="G,G", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--schemes", type=_names, metavar="S,S", help=f"signatures, of {', '.join(SCHEMES)}")
    parser.add_argument("--alpn", type=_names, metavar="P,P", help="application protocols")
    parser.add_argument("--record-size-limit", type=int, metavar="OCTETS", help="RFC 8449")
    parser.add_argument("--compression", type=_names, metavar="A,A", help=f"of certificates, of {', '.join(AVAILABLE)}")
    parser.add_argument("--raw-public-keys", choices=["no", "allow", "only"], help="of the peer (RFC 7250)")
    parser.add_argument("--raw-key", metavar="PEM", type=Path, help="show the bare public key of this private key")
    parser.add_argument("--cert", metavar="PEM", type=Path, action="append", default=[], help="chain and private key")
    parser.add_argument("--key", metavar="PEM", type=Path, help="the private key, if it is in a file of its own")
    parser.add_argument("--roots", metavar="PEM", type=Path, help="trust peers with a chain to one of these")
    parser.add_argument("--trust", metavar="HOW", help="an authenticator as mirage.x509.from_string reads it")
    parser.add_argument("--keylog", metavar="FILE", type=Path, help="add the secrets to this file (SSLKEYLOGFILE)")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS", help="for every wait on the peer")
    parser.add_argument("--export", metavar="LABEL", help="print 32 octets of exported keying material")


def common(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of a configuration that were given."""
    found: dict[str, Any] = {}
    for name in ("versions", "suites", "groups", "schemes", "alpn", "record_size_limit", "raw_public_keys"):
        if getattr(options, name) is not None:
            found[name] = getattr(options, name)
    if options.compression is not None:
        found["certificate_compression"] = options.compression
    if options.keylog is not None:
        file = options.keylog.open("a")
        found["keylog"] = lambda line: print(line, file=file, flush=True)
    return found


def identities(options: argparse.Namespace, ocsp: bytes | None = None) -> tuple[Identity, ...]:
    """What is shown."""
    extra = options.key.read_bytes() if options.key else b""
    found = [Identity.from_pem(path.read_bytes() + extra, ocsp=ocsp) for path in options.cert]
    if options.raw_key:
        found.append(Identity.from_key(options.raw_key.read_bytes()))
    return tuple(found)


def authenticator(options: argparse.Namespace, *, insecure: bool) -> Authenticator | None:
    """Who judges the peer."""
    if options.trust:
        return from_string(options.trust)
    if options.roots:
        return chain_of_trust(Certificate.load(options.roots))
    return accept_anyone if insecure else None
