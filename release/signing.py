"""Who vouches for a file: signatures by ssh-keygen, and attestations (PEP 740) where there is an identity to attest.

An SSH key is what a release manager has anyway; ``ssh-keygen -Y verify`` checks it everywhere. An attestation
speaks for a workflow, so it is made only inside one that can prove what it is (OpenID Connect), by `pypi-attestations`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tasks import files

from .errors import Failed

__all__ = ["NAMESPACE", "attest", "identity", "sign", "verify"]

NAMESPACE = "mirage-release"
"""What these signatures are for (ssh-keygen -n): one made for something else does not pass."""
_IDENTITIES = {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "github", "GITLAB_OIDC_TOKEN": "gitlab"}


def sign(path: Path, key: Path) -> Path:
    """Sign a file; the signature lies beside it, with `.sig` at its name's end. Raises `Failed`."""
    signature = path.with_name(f"{path.name}.sig")
    made = _run(["ssh-keygen", "-Y", "sign", "-q", "-f", str(key), "-n", NAMESPACE], path.read_bytes())
    files.write(signature, made)
    return signature


def verify(path: Path, allowed: Path, who: str) -> None:
    """Check a file's signature against a file of allowed signers (ssh-keygen(1)). Raises `Failed`."""
    signature = path.with_name(f"{path.name}.sig")
    words = ["-f", str(allowed), "-I", who, "-n", NAMESPACE, "-s", str(signature)]
    _run(["ssh-keygen", "-Y", "verify", *words], path.read_bytes())


def identity(environment: Mapping[str, str] = os.environ) -> str | None:
    """The kind of identity that this process can prove, None for none: a person's machine has none."""
    return next((kind for name, kind in _IDENTITIES.items() if environment.get(name)), None)


def attest(path: Path, publisher: Mapping[str, str]) -> Path:
    """Attest a file; its provenance lies beside it. Only where `identity` says there is one. Raises `Failed`.

    `publisher` is who publishes, as PEP 740 writes it: its `kind` and what that kind needs.
    """
    attestation = path.with_name(f"{path.name}.publish.attestation")
    if not attestation.exists():
        _run([sys.executable, "-m", "pypi_attestations", "sign", str(path)], b"")
    try:
        said = json.loads(attestation.read_text())
    except (OSError, ValueError) as error:
        raise Failed(f"pypi-attestations left no attestation of {path.name}: {error}") from error
    bundle = {"publisher": dict(publisher), "attestations": [said]}
    provenance = path.with_name(f"{path.name}.provenance")
    files.write(provenance, json.dumps({"version": 1, "attestation_bundles": [bundle]}, indent=1) + "\n")
    return provenance


def _run(command: list[str], data: bytes) -> bytes:
    try:
        result = subprocess.run(command, input=data, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise Failed(f"there is no {command[0]}; ./noxw -s doctor says how to get it") from error
    if result.returncode:
        said = (result.stderr or result.stdout).decode(errors="replace").strip()
        raise Failed(f"{' '.join(command)}: {said}")
    return result.stdout
