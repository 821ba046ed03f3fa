"""Stores laid over each other: reads find the uppermost value, writes go to the upper store.

What is removed from a lower store is covered by a **whiteout**: an empty value in the upper store, in the same
directory, whose name is `.wh.` and the name that it covers (as in OCI image layers). So an overlay whose upper store
lasts is the same after a restart. A whiteout hides a name in the *lower* stores only; what the upper store holds under
that name is seen.

Invariants: no directory is seen that holds nothing to be seen; the lower stores are never written; names that start
with `.wh.` are never seen.
"""

from __future__ import annotations

from collections.abc import Sequence

from mirage.types import (
    Buffer,
    DirectoryExpected,
    Info,
    InvalidKey,
    KeyValueRO,
    KeyValueRW,
    Kind,
    NotFound,
    OutOfRange,
    ValueExpected,
    split_key,
    walk,
)

__all__ = ["OverlayStore"]

_WHITEOUT = ".wh."


class OverlayStore:
    """`upper` over `lowers`, the first of them uppermost. Fits `KeyValueRW`.

    A directory is the union of those below its name, down to the first store that has a value there. Moving a directory
    copies its values into the upper store.
    """

    def __init__(self, upper: KeyValueRW, *lowers: KeyValueRO) -> None:
        self._upper = upper
        self._lowers = lowers

    def get(self, key: str) -> bytes:
        """The whole value."""
        return self._value(key).get(key)

    def get_partial(self, key: str, offset: int, length: int) -> bytes:
        """At most `length` octets of the value from `offset` on."""
        return self._value(key).get_partial(key, offset, length)

    def info(self, key: str) -> Info:
        """What the key names."""
        return self._layers(key)[0].info(key)

    def list(self, key: str = "") -> list[tuple[str, Kind]]:
        """The segments directly below a directory, sorted, with what each names."""
        layers = self._layers(key)
        if layers[0].info(key).kind is Kind.VALUE:
            raise DirectoryExpected(key, f"{key!r} is a value and has no listing")
        found: dict[str, Kind] = {}
        hidden: set[str] = set()
        for layer in layers:
            names = layer.list(key)
            for name, kind in names:
                if not name.startswith(_WHITEOUT) and name not in hidden:
                    found.setdefault(name, kind)
            if layer is self._upper:
                hidden = {name.removeprefix(_WHITEOUT) for name, _ in names if name.startswith(_WHITEOUT)}
        return sorted(found.items())

    def digest(self, key: str) -> str:
        """`mirage.types.value_digest` of the value."""
        return self._value(key).digest(key)

    def set(self, key: str, value: Buffer) -> None:
        """Store a value in the upper store."""
        self._check_writable(key)
        if not key:
            raise ValueExpected(key, "the root is a directory and cannot become a value")
        if self._kind(key) is Kind.DIRECTORY:
            raise ValueExpected(key, f"{key!r} is a directory; remove it before making it a value")
        self._upper.set(key, value)

    def set_partial(self, key: str, offset: int, data: Buffer) -> None:
        """Overwrite a part of an existing value, copying it to the upper store first if it is not there."""
        self._check_writable(key)
        layer = self._value(key)
        if layer is self._upper:
            self._upper.set_partial(key, offset, data)
            return
        old = layer.get(key)
        if not 0 <= offset <= len(old):
            raise OutOfRange(f"offset {offset} in {key!r}, which has {len(old)} octets")
        self._upper.set(key, old[:offset] + bytes(data) + old[offset + len(data) :])

    def remove(self, key: str) -> None:
        """Remove a value, or a directory and all below it."""
        self._check_writable(key)
        if not key:
            raise InvalidKey(key, "the root cannot be removed; remove what is below it")
        self._layers(key)
        self._hide(key)
        above = key.rpartition("/")[0]
        while above and self._is_bare(above):
            self._hide(above)
            above = above.rpartition("/")[0]

    def rename(self, source: str, dest: str) -> None:
        """Move a value or a directory."""
        if not source:
            raise InvalidKey(source, "the root cannot be moved")
        self._check_writable(source)
        kind = self.info(source).kind
        self._check_writable(dest)
        if source == dest:
            return
        if dest.startswith(source + "/") and kind is Kind.DIRECTORY:
            raise ValueExpected(dest, f"{source!r} cannot be moved below itself, to {dest!r}")
        there = self._kind(dest)
        if there is Kind.DIRECTORY:
            raise ValueExpected(dest, f"{dest!r} is a directory and is not replaced")
        if kind is Kind.VALUE:
            self.set(dest, self.get(source))
        elif there is Kind.VALUE:
            raise DirectoryExpected(dest, f"the directory {source!r} cannot replace the value {dest!r}")
        else:
            for key in list(walk(self, source)):
                self.set(dest + key.removeprefix(source), self.get(key))
        self.remove(source)

    # Which stores a key is found in.

    def _layers(self, key: str) -> Sequence[KeyValueRO]:
        """The stores that together are what `key` names, uppermost first; one, if it is a value."""
        layers: Sequence[KeyValueRO] = [self._upper, *self._lowers]
        prefix = ""
        for segment in split_key(key):
            if segment.startswith(_WHITEOUT):
                raise NotFound(key, f"nothing is stored at {key!r}")
            if layers[0].info(prefix).kind is Kind.VALUE:
                raise DirectoryExpected(key, f"{prefix!r} is a value, not a directory")
            if layers[0] is self._upper and _has(self._upper, f"{prefix}/{_WHITEOUT}{segment}".lstrip("/")):
                layers = [self._upper]
            prefix = f"{prefix}/{segment}".lstrip("/")
            layers = _together(layers, prefix)
            if not layers:
                raise NotFound(key, f"nothing is stored at {key!r}")
        return layers

    def _value(self, key: str) -> KeyValueRO:
        layer = self._layers(key)[0]
        if layer.info(key).kind is Kind.DIRECTORY:
            raise ValueExpected(key, f"{key!r} is a directory, not a value")
        return layer

    def _kind(self, key: str) -> Kind | None:
        try:
            return self.info(key).kind
        except NotFound:
            return None

    def _is_bare(self, key: str) -> bool:
        try:
            return not self.list(key)
        except NotFound:  # the upper store has removed it together with its last value
            return True

    def _hide(self, key: str) -> None:
        if any(_has(lower, key) for lower in self._lowers):
            above, _, name = key.rpartition("/")
            self._upper.set(f"{above}/{_WHITEOUT}{name}".lstrip("/"), b"")
        if _has(self._upper, key):
            self._upper.remove(key)

    def _check_writable(self, key: str) -> None:
        for segment in split_key(key):
            if segment.startswith(_WHITEOUT):
                raise InvalidKey(key, f"{key!r}: names that start with {_WHITEOUT!r} are reserved for whiteouts")


def _has(store: KeyValueRO, key: str) -> bool:
    try:
        store.info(key)
    except (NotFound, DirectoryExpected):
        return False
    return True


def _together(layers: Sequence[KeyValueRO], key: str) -> Sequence[KeyValueRO]:
    """Of the stores, those that have `key`, down to the first that does not agree about what it is."""
    found: list[KeyValueRO] = []
    for layer in layers:
        try:
            kind = layer.info(key).kind
        except NotFound:
            continue
        if found and kind is Kind.VALUE:
            break
        found.append(layer)
        if kind is Kind.VALUE:
            break
    return found
