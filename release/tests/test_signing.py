"""Signatures by ssh-keygen, attestations where there is an identity."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from release import signing
from release.errors import Failed


@pytest.fixture
def key(tmp_path: Path) -> Path:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(tmp_path / "key")]
    subprocess.run(command, check=True)
    (tmp_path / "allowed").write_text(f"release {(tmp_path / 'key.pub').read_text()}")
    return tmp_path / "key"


@pytest.mark.tool("ssh-keygen")
def test_a_signature_speaks_for_a_file_and_nothing_else(key: Path, tmp_path: Path) -> None:
    """Another file, another signer and another purpose are refused; signed again, the octets are the same."""
    file, allowed = tmp_path / "a.whl", tmp_path / "allowed"
    file.write_bytes(b"a wheel")
    first = signing.sign(file, key).read_bytes()
    signing.verify(file, allowed, "release")
    assert signing.sign(file, key).read_bytes() == first
    with pytest.raises(Failed):
        signing.verify(file, allowed, "somebody")
    file.write_bytes(b"another wheel")
    with pytest.raises(Failed):
        signing.verify(file, allowed, "release")
    file.write_bytes(b"a wheel")
    command = ["ssh-keygen", "-Y", "sign", "-q", "-f", str(key), "-n", "git"]
    other = subprocess.run(command, input=b"a wheel", capture_output=True, check=True).stdout
    (tmp_path / "a.whl.sig").write_bytes(other)
    with pytest.raises(Failed):
        signing.verify(file, allowed, "release")


def test_only_a_workflow_has_an_identity() -> None:
    """On a person's machine there is nothing to attest."""
    assert signing.identity({}) is None
    assert signing.identity({"ACTIONS_ID_TOKEN_REQUEST_TOKEN": ""}) is None
    assert signing.identity({"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x"}) == "github"
    assert signing.identity({"GITLAB_OIDC_TOKEN": "x"}) == "gitlab"


def test_an_attestation_becomes_a_provenance_that_the_index_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The form of PEP 740, made of what the attesting program left; a stand-in for it is found on Python's path."""
    from mirage.index import read_file
    from mirage.index.testing import wheel

    program = "import pathlib, sys; pathlib.Path(sys.argv[2] + '.publish.attestation').write_text('{\"version\": 1}')"
    (tmp_path / "pypi_attestations.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    made = wheel("mirage-a", "0.1.0")
    file = tmp_path / made.filename
    file.write_bytes(made.data)
    provenance = signing.attest(file, {"kind": "GitHub", "repository": "mirage/python", "workflow": "release.yml"})
    said = json.loads(provenance.read_text())
    assert said["version"] == 1
    assert said["attestation_bundles"][0]["attestations"] == [{"version": 1}]
    assert read_file(file.name, made.data, uploaded=0, provenance=provenance.read_bytes()).provenance


def test_what_leaves_no_attestation_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that says nothing and makes nothing is no success."""
    (tmp_path / "pypi_attestations.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    (tmp_path / "a.whl").write_bytes(b"")
    with pytest.raises(Failed, match="left no attestation"):
        signing.attest(tmp_path / "a.whl", {"kind": "GitHub"})
