"""Secrets of TLS 1.3 (RFC 8446 7) and of TLS 1.2 (RFC 5246 5, 8.1; RFC 7627 4), and the transcript they depend on.

early ---Derive---> handshake ---Derive---> master        PSK or zeros, then (EC)DHE, then zeros go in
  |                     |                      |
  binder, c e traffic   c/s hs traffic         c/s ap traffic, exporter, resumption
"""

from __future__ import annotations

import functools

from mirage.crypto import HashAlgorithm, hkdf_expand, hkdf_extract, hmac

from ._constants import Msg, Suite
from ._record import Keys

__all__ = [
    "Transcript",
    "derive",
    "early_secret",
    "expand_label",
    "finished_data",
    "handshake_secret",
    "keys_12",
    "master_secret",
    "next_traffic_secret",
    "prf",
    "traffic_keys",
]


class Transcript:
    """The running hash of the handshake's messages. Before the hash is known the messages are kept."""

    __slots__ = ("_chosen", "_hash", "_messages")

    def __init__(self) -> None:
        self._messages: list[bytes] | None = []
        self._chosen = False

    def add(self, raw: bytes) -> None:
        """One more message, with its header."""
        if self._messages is not None:
            self._messages.append(raw)
        if self._chosen:
            self._hash.update(raw)

    def choose(self, algorithm: HashAlgorithm, *, keep: bool = False) -> None:
        """From now on the hash is known. `keep` the messages too: TLS 1.2 signs them with another hash."""
        assert self._messages is not None
        self._hash = algorithm.new(b"".join(self._messages))
        self._chosen = True
        if not keep:
            self._messages = None

    def messages(self) -> bytes:
        """All of them, where they are kept."""
        assert self._messages is not None
        return b"".join(self._messages)

    def forget(self) -> None:
        """Keep the messages no longer."""
        self._messages = None

    def retry(self, algorithm: HashAlgorithm) -> None:
        """The first ClientHello is replaced by its hash (RFC 8446 4.4.1)."""
        assert self._messages is not None
        digest = algorithm.digest(b"".join(self._messages))
        self._messages = [bytes((Msg.MESSAGE_HASH, 0, 0, len(digest))) + digest]

    def with_tail(self, algorithm: HashAlgorithm, tail: bytes) -> bytes:
        """The hash as if this were the next message; before `choose`."""
        assert self._messages is not None
        return algorithm.digest(b"".join([*self._messages, tail]))

    def digest(self) -> bytes:
        """The hash so far; after `choose`."""
        return self._hash.copy().digest()


@functools.lru_cache(maxsize=256)
def _label(label: str, length: int, context: bytes) -> bytes:
    name = b"tls13 " + label.encode("ascii")
    return length.to_bytes(2, "big") + bytes((len(name),)) + name + bytes((len(context),)) + context


def expand_label(algorithm: HashAlgorithm, secret: bytes, label: str, context: bytes, length: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446 7.1)."""
    if context:
        name = b"tls13 " + label.encode("ascii")
        info = length.to_bytes(2, "big") + bytes((len(name),)) + name + bytes((len(context),)) + context
    else:
        info = _label(label, length, b"")
    return hkdf_expand(algorithm, secret, info, length)


def derive(algorithm: HashAlgorithm, secret: bytes, label: str, digest: bytes) -> bytes:
    """Derive-Secret, given the transcript's hash."""
    return expand_label(algorithm, secret, label, digest, algorithm.digest_size)


@functools.lru_cache(maxsize=8)
def empty_hash(algorithm: HashAlgorithm) -> bytes:
    """The hash of nothing."""
    return algorithm.digest(b"")


def early_secret(algorithm: HashAlgorithm, psk: bytes | None = None) -> bytes:
    """The first secret of the schedule; without a pre-shared key it is a constant."""
    return _plain_early_secret(algorithm) if psk is None else hkdf_extract(algorithm, b"", psk)


@functools.lru_cache(maxsize=8)
def _plain_early_secret(algorithm: HashAlgorithm) -> bytes:
    return hkdf_extract(algorithm, b"", bytes(algorithm.digest_size))


@functools.lru_cache(maxsize=8)
def _plain_derived(algorithm: HashAlgorithm) -> bytes:
    return derive(algorithm, _plain_early_secret(algorithm), "derived", empty_hash(algorithm))


def handshake_secret(algorithm: HashAlgorithm, early: bytes | None, shared: bytes | None) -> bytes:
    """The second, from the first (None: the constant one) and the key exchange (None: a PSK without one)."""
    derived = _plain_derived(algorithm) if early is None else derive(algorithm, early, "derived", empty_hash(algorithm))
    return hkdf_extract(algorithm, derived, bytes(algorithm.digest_size) if shared is None else shared)


def master_secret(algorithm: HashAlgorithm, handshake: bytes) -> bytes:
    """The third."""
    salt = derive(algorithm, handshake, "derived", empty_hash(algorithm))
    return hkdf_extract(algorithm, salt, bytes(algorithm.digest_size))


def traffic_keys(suite: Suite, secret: bytes) -> Keys:
    """The key of one direction (RFC 8446 7.3)."""
    key = expand_label(suite.hash, secret, "key", b"", suite.aead.key_size)
    return Keys(suite, key, expand_label(suite.hash, secret, "iv", b"", 12))


def next_traffic_secret(algorithm: HashAlgorithm, secret: bytes) -> bytes:
    """After a KeyUpdate (RFC 8446 7.2)."""
    return expand_label(algorithm, secret, "traffic upd", b"", algorithm.digest_size)


def finished_data(algorithm: HashAlgorithm, secret: bytes, digest: bytes) -> bytes:
    """What a Finished, or a binder, has (RFC 8446 4.4.4)."""
    key = expand_label(algorithm, secret, "finished", b"", algorithm.digest_size)
    return hmac(algorithm, key, digest)


def prf(algorithm: HashAlgorithm, secret: bytes, label: bytes, seed: bytes, length: int) -> bytes:
    """The pseudorandom function of TLS 1.2 (RFC 5246 5)."""
    seed = label + seed
    output, a = b"", seed
    while len(output) < length:
        a = hmac(algorithm, secret, a)
        output += hmac(algorithm, secret, a + seed)
    return output[:length]


def keys_12(suite: Suite, master: bytes, client_random: bytes, server_random: bytes) -> tuple[Keys, Keys]:
    """The keys with which the client and the server write (RFC 5246 6.3)."""
    key, iv = suite.aead.key_size, 4 if suite.explicit_nonce else 12
    block = prf(suite.hash, master, b"key expansion", server_random + client_random, 2 * (key + iv))
    ivs = block[2 * key :]
    return Keys(suite, block[:key], ivs[:iv]), Keys(suite, block[key : 2 * key], ivs[iv:])
