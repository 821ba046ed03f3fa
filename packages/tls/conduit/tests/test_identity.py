"""Certificates and keys from PEM."""

from __future__ import annotations

from pathlib import Path

import pytest
from mirage.conduit import ConfigurationError, Identity
from mirage.conduit.testing import Authority


def test_one_text_or_two(authority: Authority, tmp_path: Path) -> None:
    """The key may stand before, behind or apart from the certificates; `to_pem` gives one text with all."""
    pem = authority.issue("site.test")
    at = pem.index(b"-----BEGIN PRIVATE")
    whole = Identity.from_pem(pem)
    assert len(whole.chain) == 2
    assert Identity.from_pem(pem[at:] + pem[:at]) == Identity.from_pem(pem[:at], pem[at:]) == whole
    assert Identity.from_pem(whole.to_pem()) == whole
    (tmp_path / "both.pem").write_bytes(pem)
    assert Identity.from_files(tmp_path / "both.pem") == whole
    assert b"PRIVATE" not in repr(whole).encode()


def test_the_error_says_what_is_missing(authority: Authority, tmp_path: Path) -> None:
    """Each mistake has its own message, with the file's name."""
    pem = authority.issue("site.test")
    at = pem.index(b"-----BEGIN PRIVATE")
    other = authority.issue("site.test")
    for text, told in (
        (pem[:at], "no private key"),
        (pem[at:], "no certificate"),
        (pem + other[other.index(b"-----BEGIN PRIVATE") :], "2 private keys"),
        (pem[:at] + other[other.index(b"-----BEGIN PRIVATE") :], "does not belong"),
        (pem.replace(b"MII", b"!!!"), "cannot be used"),
    ):
        (tmp_path / "file.pem").write_bytes(text)
        with pytest.raises(ConfigurationError, match=rf"file\.pem: .*{told}"):
            Identity.from_files(tmp_path / "file.pem")
    with pytest.raises(ConfigurationError, match="No such file"):
        Identity.from_files(tmp_path / "absent.pem")
