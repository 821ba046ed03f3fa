"""The public names of the package, which are imported when they are first used."""

from __future__ import annotations

import mirage.types


def test_every_public_name_is_there() -> None:
    """`__all__` and the table of homes agree, name by name."""
    homes = [name for names in mirage.types._HOMES.values() for name in names]
    assert sorted(homes) == sorted(mirage.types.__all__)
    for name in homes:
        assert getattr(mirage.types, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As in any module."""
    assert not hasattr(mirage.types, "no_such_name")
