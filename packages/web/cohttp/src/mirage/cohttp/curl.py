"""`cohttp-curl`: fetch one URI."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from . import blocking
from ._tls import trusting
from .errors import HTTPError

__all__ = ["main"]

_EXAMPLES = """\
examples:
  cohttp-curl http://127.0.0.1:8080/
  cohttp-curl -v -X HEAD http://127.0.0.1:8080/
  cohttp-curl -o page.html http://127.0.0.1:8080/index.html
  cohttp-curl -d 'name=widget' http://127.0.0.1:8080/items

The exit status is 0 for a response with a status of 200 to 299, and 1 for any other and for every error.
Redirects are not followed. For https the server's certificate is checked, for its name and by the roots that the system
trusts; --cacert names a file with others. TLS is our own, or OpenSSL where the environment has CONDUIT_TLS=openssl.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cohttp-curl",
        description="Send one HTTP request and print the content of the response.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("uri", metavar="URI", help="what to fetch, as https://HOST[:PORT]/PATH or http://...")
    parser.add_argument("-X", "--request", metavar="METHOD", help="the method (GET; with -d, POST)")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the content to FILE, not to standard output")
    parser.add_argument("-d", "--data", metavar="DATA", help="send DATA as the content; @FILE sends a file")
    parser.add_argument(
        "-H", "--header", metavar="NAME:VALUE", action="append", default=[], help="send a header field; may be repeated"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show the heads on standard error")
    parser.add_argument("--cacert", metavar="FILE", help="trust these roots (PEM), not the system's, for https")
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=float, default=30.0, help="the longest wait for the server (30)"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _fetch(options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has had enough; leave nothing for the interpreter to flush into the broken pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (HTTPError, OSError) as error:
        print(f"cohttp-curl: {error}", file=sys.stderr)
        return 1


def _fetch(options: argparse.Namespace) -> int:
    body = _content(options.data)
    method = options.request or ("GET" if body is None else "POST")
    headers = [_field(text) for text in options.header]
    if body is not None and not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("content-type", "application/x-www-form-urlencoded"))
    headers.append(("user-agent", "cohttp-curl"))
    tls = None if options.cacert is None else trusting(options.cacert)
    with blocking.request(
        method, options.uri, headers=headers, body=body or b"", timeout=options.timeout, tls=tls
    ) as response:
        if options.verbose:
            _show(">", f"{response.sent.method} {response.sent.target} HTTP/1.1", response.sent.headers)
            _show("<", f"HTTP/{response.version} {response.status} {response.reason}", response.headers.raw)
        with _output(options.output) as output:
            for chunk in response:
                output.write(chunk)
            output.flush()
        if not 200 <= response.status <= 299:
            reason = response.reason.encode("ascii", "backslashreplace").decode()
            print(f"cohttp-curl: the server answered {response.status} {reason}".rstrip(), file=sys.stderr)
            return 1
        return 0


def _content(data: str | None) -> bytes | None:
    if data is None:
        return None
    if data.startswith("@"):
        with open(data[1:], "rb") as file:
            return file.read()
    return data.encode()


def _field(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    try:
        name.encode("ascii")
        value.encode("latin-1")
    except UnicodeEncodeError:
        colon = ""
    if not colon:
        raise HTTPError(f"-H {text!r}: write a header field as NAME:VALUE, in ISO-8859-1")
    return name.strip(), value.strip()


def _show(mark: str, line: str, fields: list[tuple[bytes, bytes]]) -> None:
    # Escapes for all but ASCII: some terminals take octets from 128 to 159 for commands.
    print(f"{mark} {line.encode('ascii', 'backslashreplace').decode()}", file=sys.stderr)
    for name, value in fields:
        print(f"{mark} {name.decode()}: {value.decode('ascii', 'backslashreplace')}", file=sys.stderr)
    print(mark, file=sys.stderr)


@contextlib.contextmanager
def _output(path: str | None) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdout.buffer
    else:
        with open(path, "wb") as file:
            yield file
