"""PEM, the textual form (RFC 7468): ``-----BEGIN CERTIFICATE-----``, base64, ``-----END CERTIFICATE-----``."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import NamedTuple

from .errors import InvalidEncoding

__all__ = ["Block", "decode_pem", "encode_pem"]

MAX_SIZE = 64 << 20
"""Octets of text at the most: the system's roots take about 200 KB."""

_BEGIN = re.compile(rb"^-----BEGIN ([A-Z0-9][A-Z0-9 .#]{0,60})-----[ \t\r]*$", re.MULTILINE)


class Block(NamedTuple):
    """One block: its label (``CERTIFICATE``) and its octets."""

    label: str
    data: bytes


def decode_pem(text: bytes | str) -> Iterator[Block]:
    """The blocks of a text, whatever stands between them. Raises `InvalidEncoding` for a block that is broken."""
    raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
    if len(raw) > MAX_SIZE:
        raise InvalidEncoding(f"a PEM text of more than {MAX_SIZE} octets")
    pos = 0
    while begin := _BEGIN.search(raw, pos):
        label = begin[1].decode()
        end = raw.find(b"\n-----END " + begin[1] + b"-----", begin.end())
        if end < 0:
            raise InvalidEncoding(f"a PEM block {label} without its END line")
        lines = raw[begin.end() : end].split()
        pos = end + 1
        if b"Proc-Type:" in lines or any(line.startswith(b"-----") for line in lines):
            # RFC 1421 headers come with the old encryption of keys; openssl pkcs8 -topk8 rewrites such a key.
            raise InvalidEncoding(f"a PEM block {label} with headers; write it anew with openssl pkcs8 -topk8")
        try:
            yield Block(label, base64.b64decode(b"".join(lines), validate=True))
        except (binascii.Error, ValueError):
            raise InvalidEncoding(f"a PEM block {label} that is not base64") from None


def encode_pem(label: str, data: bytes) -> str:
    """One block, with lines of 64 characters (RFC 7468 2)."""
    text = base64.b64encode(data).decode()
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""))
