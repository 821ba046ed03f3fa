"""The handshake messages behind the hellos: decoded and encoded in pairs. Decoders raise `PeerMisbehaved`."""

from __future__ import annotations

from dataclasses import dataclass

from ._constants import Ext, Msg
from ._wire import Cursor, extensions, message, u16s, v8, v16, v24
from .errors import PeerMisbehaved

__all__ = [
    "MAX_CHAIN",
    "Ticket13",
    "certificate_12",
    "certificate_13",
    "certificate_request_12",
    "certificate_request_13",
    "certificate_status",
    "certificate_verify",
    "compressed_certificate",
    "encrypted_extensions",
    "finished",
    "read_certificate_12",
    "read_certificate_13",
    "read_certificate_request_12",
    "read_certificate_request_13",
    "read_certificate_verify",
    "read_compressed_certificate",
    "read_encrypted_extensions",
    "read_ocsp",
    "read_server_key_exchange",
    "read_ticket_12",
    "read_ticket_13",
    "server_key_exchange",
    "ticket_12",
    "ticket_13",
    "write_ocsp",
]

MAX_CHAIN = 16
"""Certificates in one message at the most."""


def encrypted_extensions(items: dict[int, bytes]) -> bytes:
    """RFC 8446 4.3.1."""
    return message(Msg.ENCRYPTED_EXTENSIONS, extensions(items))


def read_encrypted_extensions(body: bytes) -> dict[int, bytes]:
    """RFC 8446 4.3.1."""
    cursor = Cursor(body, "EncryptedExtensions")
    found = cursor.extensions()
    cursor.done()
    return found


def certificate_13(context: bytes, entries: list[tuple[bytes, dict[int, bytes]]]) -> bytes:
    """RFC 8446 4.4.2: certificates (or one raw public key), each with its extensions."""
    parts = [v24(data) + extensions(items) for data, items in entries]
    return message(Msg.CERTIFICATE, v8(context) + v24(b"".join(parts)))


def read_certificate_13(body: bytes) -> tuple[bytes, list[tuple[bytes, dict[int, bytes]]]]:
    """RFC 8446 4.4.2: the context and the entries."""
    cursor = Cursor(body, "Certificate")
    context, inner = cursor.vector(1), Cursor(cursor.vector(3), "Certificate")
    cursor.done()
    entries: list[tuple[bytes, dict[int, bytes]]] = []
    while inner.more:
        if len(entries) == MAX_CHAIN:
            raise inner.malformed(f"it has more than {MAX_CHAIN} certificates")
        entries.append((inner.vector(3, 1), inner.extensions()))
    return context, entries


def compressed_certificate(algorithm: int, length: int, data: bytes) -> bytes:
    """RFC 8879 4."""
    return message(Msg.COMPRESSED_CERTIFICATE, algorithm.to_bytes(2, "big") + length.to_bytes(3, "big") + v24(data))


def read_compressed_certificate(body: bytes) -> tuple[int, int, bytes]:
    """RFC 8879 4: the algorithm, the length that it shall have, and the compressed octets."""
    cursor = Cursor(body, "CompressedCertificate")
    found = cursor.integer(2), cursor.integer(3), cursor.vector(3, 1)
    cursor.done()
    return found


def certificate_request_13(context: bytes, items: dict[int, bytes]) -> bytes:
    """RFC 8446 4.3.2."""
    return message(Msg.CERTIFICATE_REQUEST, v8(context) + extensions(items))


def read_certificate_request_13(body: bytes) -> tuple[bytes, dict[int, bytes]]:
    """RFC 8446 4.3.2."""
    cursor = Cursor(body, "CertificateRequest")
    found = cursor.vector(1), cursor.extensions()
    cursor.done()
    return found


def certificate_verify(scheme: int, signature: bytes) -> bytes:
    """RFC 8446 4.4.3, and RFC 5246 7.4.8."""
    return message(Msg.CERTIFICATE_VERIFY, scheme.to_bytes(2, "big") + v16(signature))


def read_certificate_verify(body: bytes) -> tuple[int, bytes]:
    """The scheme and the signature."""
    cursor = Cursor(body, "CertificateVerify")
    found = cursor.integer(2), cursor.vector(2)
    cursor.done()
    return found


def finished(verify_data: bytes) -> bytes:
    """RFC 8446 4.4.4."""
    return message(Msg.FINISHED, verify_data)


def write_ocsp(response: bytes) -> bytes:
    """A CertificateStatus with an OCSP response (RFC 6066 8)."""
    return b"\x01" + v24(response)


def read_ocsp(data: bytes) -> bytes:
    """The OCSP response in a CertificateStatus."""
    cursor = Cursor(data, "CertificateStatus")
    if cursor.integer(1) != 1:
        raise cursor.malformed("it is no OCSP response")
    found = cursor.vector(3, 1)
    cursor.done()
    return found


def certificate_status(response: bytes) -> bytes:
    """RFC 6066 8, a message of TLS 1.2."""
    return message(Msg.CERTIFICATE_STATUS, write_ocsp(response))


@dataclass(frozen=True, slots=True)
class Ticket13:
    """NewSessionTicket of TLS 1.3 (RFC 8446 4.6.1); the lifetime in seconds."""

    lifetime: int
    age_add: int
    nonce: bytes
    ticket: bytes
    early_data: int


def ticket_13(ticket: Ticket13, extra: dict[int, bytes]) -> bytes:
    """RFC 8446 4.6.1."""
    items = dict(extra)
    if ticket.early_data:
        items[Ext.EARLY_DATA] = ticket.early_data.to_bytes(4, "big")
    head = ticket.lifetime.to_bytes(4, "big") + ticket.age_add.to_bytes(4, "big")
    return message(Msg.NEW_SESSION_TICKET, head + v8(ticket.nonce) + v16(ticket.ticket) + extensions(items))


def read_ticket_13(body: bytes) -> Ticket13:
    """RFC 8446 4.6.1."""
    cursor = Cursor(body, "NewSessionTicket")
    lifetime, age_add = cursor.integer(4), cursor.integer(4)
    nonce, ticket, items = cursor.vector(1), cursor.vector(2, 1), cursor.extensions()
    cursor.done()
    early = 0
    if Ext.EARLY_DATA in items:
        inner = Cursor(items[Ext.EARLY_DATA], "early_data")
        early = inner.integer(4)
        inner.done()
    return Ticket13(lifetime, age_add, nonce, ticket, early)


def certificate_12(chain: tuple[bytes, ...]) -> bytes:
    """RFC 5246 7.4.2."""
    return message(Msg.CERTIFICATE, v24(b"".join([v24(der) for der in chain])))


def read_certificate_12(body: bytes) -> list[bytes]:
    """RFC 5246 7.4.2."""
    cursor = Cursor(body, "Certificate")
    inner = Cursor(cursor.vector(3), "Certificate")
    cursor.done()
    found: list[bytes] = []
    while inner.more:
        if len(found) == MAX_CHAIN:
            raise inner.malformed(f"it has more than {MAX_CHAIN} certificates")
        found.append(inner.vector(3, 1))
    return found


def server_key_exchange(parameters: bytes, scheme: int, signature: bytes) -> bytes:
    """RFC 8422 5.4."""
    return message(Msg.SERVER_KEY_EXCHANGE, parameters + scheme.to_bytes(2, "big") + v16(signature))


def read_server_key_exchange(body: bytes) -> tuple[int, bytes, bytes, int, bytes]:
    """Group, share, the octets of both that are signed, scheme and signature (RFC 8422 5.4)."""
    cursor = Cursor(body, "ServerKeyExchange")
    if cursor.integer(1) != 3:
        raise PeerMisbehaved("the server names no group for its key exchange")
    group, share = cursor.integer(2), cursor.vector(1, 1)
    parameters = body[: cursor.at]
    scheme, signature = cursor.integer(2), cursor.vector(2)
    cursor.done()
    return group, share, parameters, scheme, signature


def certificate_request_12(schemes: tuple[int, ...], authorities: bytes) -> bytes:
    """RFC 5246 7.4.4; the types of certificates are rsa_sign and ecdsa_sign."""
    return message(Msg.CERTIFICATE_REQUEST, v8(b"\x01\x40") + v16(u16s(schemes)) + v16(authorities))


def read_certificate_request_12(body: bytes) -> tuple[int, ...]:
    """The schemes that the server takes."""
    cursor = Cursor(body, "CertificateRequest")
    cursor.vector(1, 1)
    schemes = cursor.u16s()
    cursor.vector(2)
    cursor.done()
    return schemes


def ticket_12(lifetime: int, ticket: bytes) -> bytes:
    """RFC 5077 3.3."""
    return message(Msg.NEW_SESSION_TICKET, lifetime.to_bytes(4, "big") + v16(ticket))


def read_ticket_12(body: bytes) -> tuple[int, bytes]:
    """Lifetime in seconds, and the ticket, which may be empty."""
    cursor = Cursor(body, "NewSessionTicket")
    found = cursor.integer(4), cursor.vector(2)
    cursor.done()
    return found
