"""Wheels with compiled modules, as the package index has them, compute in a guest."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from mirage.hvt import Tender, build

pytestmark = [pytest.mark.kvm, pytest.mark.tool("gcc"), pytest.mark.slow]

NUMPY = """
    import importlib.metadata
    import numpy

    matrix = numpy.random.default_rng(7).random((200, 200))
    print(numpy.allclose(numpy.linalg.solve(matrix, matrix.sum(axis=1)), 1))
    wave = numpy.sin(2 * numpy.pi * 5 * numpy.arange(256) / 256)
    print(int(abs(numpy.fft.rfft(wave)).argmax()))
    print(numpy.random.Generator(numpy.random.PCG64(1)).integers(0, 1000, 3).tolist())
    print(importlib.metadata.version("numpy") == numpy.__version__)
"""

CRYPTOGRAPHY = """
    import datetime
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    # The GCM specification's test case 14: 256-bit key, everything zero.
    print(AESGCM(bytes(32)).encrypt(bytes(12), bytes(16), None).hex())
    private = X25519PrivateKey.generate()
    other = X25519PrivateKey.generate()
    print(private.exchange(other.public_key()) == other.exchange(private.public_key()))
    key = Ed25519PrivateKey.generate()
    key.public_key().verify(key.sign(b"words"), b"words")
    try:
        key.public_key().verify(key.sign(b"words"), b"others")
    except InvalidSignature:
        print("refused")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "guest")])
    day = datetime.datetime(2026, 1, 1)
    unsigned = x509.CertificateBuilder(name, name, key.public_key(), 5, day, day.replace(year=2027))
    text = unsigned.sign(key, None).public_bytes(serialization.Encoding.PEM)
    print(x509.load_pem_x509_certificate(text).subject.rfc4514_string())
"""

ORJSON = """
    import datetime, uuid
    import orjson

    value = {"a": [1, 2.5, None, True, "na\\u00efve"], "n": {"b": []}}
    print(orjson.loads(orjson.dumps(value)) == value)
    print(orjson.dumps([datetime.datetime(2026, 1, 2, 3, 4, 5), uuid.UUID(int=7)]).decode())
    try:
        orjson.loads(b"[1,")
    except orjson.JSONDecodeError as error:
        print("position", error.pos)
"""

PYDANTIC = """
    from pydantic_core import SchemaValidator, ValidationError, core_schema as s

    fields = {"name": s.str_schema(min_length=2), "age": s.int_schema(ge=0), "when": s.datetime_schema()}
    schema = s.typed_dict_schema({name: s.typed_dict_field(one) for name, one in fields.items()})
    validator = SchemaValidator(schema)
    found = validator.validate_json(b'{"name": "Ada", "age": "36", "when": "2026-01-02T03:04:05Z"}')
    print(found["name"], found["age"] + 1, found["when"].isoformat())
    try:
        validator.validate_python({"name": "A", "age": -1, "when": "soon"})
    except ValidationError as error:
        print([one["type"] for one in error.errors()])
"""

CASES = {
    "numpy": (NUMPY, ["True", "5", "[473, 511, 755]", "True"]),
    "cryptography": (
        CRYPTOGRAPHY,
        ["cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919", "True", "refused", "CN=guest"],
    ),
    "orjson": (
        ORJSON,
        ["True", '["2026-01-02T03:04:05","00000000-0000-0000-0000-000000000007"]', "position 3"],
    ),
    "pydantic-core": (
        PYDANTIC,
        [
            "Ada 37 2026-01-02T03:04:05+00:00",
            "['string_too_short', 'greater_than_equal', 'datetime_from_date_parsing']",
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_unmodified_wheel_computes_in_a_guest(tmp_path: Path, name: str) -> None:
    """Known answers, round trips and refusals, with what is required and the libraries that are bundled."""
    script, expected = CASES[name]
    (tmp_path / "main.py").write_text(textwrap.dedent(script))
    image = build(tmp_path / "image.hvt", tmp_path / "main.py", distributions=[name])
    said: list[bytes] = []
    with Tender(image.path, console=said.append) as tender:
        status = tender.run()
    assert (b"".join(said).decode().splitlines(), status) == (expected, 0)
