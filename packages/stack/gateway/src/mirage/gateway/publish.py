"""Ports of the host that lead into a guest, as a value."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from .errors import BadOption
from .policy import Address

__all__ = ["LOCALHOST", "UNIX", "Publication", "parse_publication"]

LOCALHOST = "localhost"

UNIX = "unix:"
"""What the name of a socket file begins with."""

_FORM = "write [ADDRESS:]HOSTPORT:[GUEST:]GUESTPORT[/udp] or unix:PATH:GUESTPORT, like 8080:80 or 127.0.0.1:5353:53/udp"


@dataclass(frozen=True, slots=True)
class Publication:
    """What comes to `host` and `port` of the host goes to `guest_port` of a guest."""

    host: str
    """An address of the host, `LOCALHOST` for its loopback in both versions of IP, ``*`` for all; or ``unix:`` and the
    path of a socket, which is its owner's only."""
    port: int
    """0 picks a free one."""
    guest_port: int
    guest: Address | None = None
    """None: the first guest, by the version of IP that the client uses where the guest has both."""
    udp: bool = False


def parse_publication(text: str) -> Publication:
    """A publication from ``[ADDRESS:]HOSTPORT:[GUEST:]GUESTPORT[/udp|/tcp]``, addresses of IPv6 in brackets, or from
    ``unix:PATH:GUESTPORT``.

    Raises `BadOption`.
    """
    if text.startswith(UNIX):
        path, _, number = text[len(UNIX) :].rpartition(":")
        if not path or not _is_number(number) or not 1 <= int(number) <= 65535:
            raise BadOption(f"{text!r} publishes nothing: {_FORM}")
        return Publication(UNIX + path, 0, int(number))
    body, slash, protocol = text.partition("/")
    if slash and protocol not in {"tcp", "udp"}:
        raise BadOption(f"{text!r} ends in neither /tcp nor /udp")
    words = _split(body)
    host = LOCALHOST if len(words) < 3 or _is_number(words[0]) else words.pop(0)
    guest = words.pop(1) if len(words) == 3 else None
    if len(words) != 2 or not all(map(_is_number, words)):
        raise BadOption(f"{text!r} publishes nothing: {_FORM}")
    outside, inside = map(int, words)
    if outside > 65535 or not 1 <= inside <= 65535:
        raise BadOption(f"{text!r}: ports are 1 to 65535, and the host's may be 0 for any that is free")
    try:
        if host not in {LOCALHOST, "*"}:
            host = str(ipaddress.ip_address(host))
        return Publication(host, outside, inside, ipaddress.ip_address(guest) if guest else None, protocol == "udp")
    except ValueError as error:
        raise BadOption(f"{text!r}: {error}; {_FORM}") from None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _split(text: str) -> list[str]:
    """At the colons that are not within brackets, which are taken off."""
    words, word, inside = [], "", False
    for letter in text:
        if letter in "[]":
            inside = letter == "["
        elif letter == ":" and not inside:
            words.append(word)
            word = ""
        else:
            word += letter
    return [*words, word]
