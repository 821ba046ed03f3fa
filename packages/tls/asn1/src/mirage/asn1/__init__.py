"""ASN.1 grammars as Python values.

A **grammar** says what values there are and how they are encoded: ``sequence(Point, x=integer, y=integer)``. Each one
can `decode` octets under DER, strictly, or BER, leniently; `encode` a value in DER; and make up `random` values.
Errors say where in the value, and at which octet. Octets from outside raise `DecodeError` and nothing else, within
`Limits` of size, depth and count.

`walk` and `dump` show any encoding without a grammar. `mirage.asn1.testing` rewrites DER into the stranger
forms of BER. Nothing here does I/O.
"""

from ._constructed import Part, default, optional, sequence, sequence_of, set_, set_of
from ._grammar import BER, DER, Element, Grammar, Limits, Rules
from ._oid import Oid, oid, relative_oid
from ._primitive import BitString, bit_flags, bit_string, boolean, enumerated, integer, null, octet_string
from ._strings import (
    bmp_string,
    general_string,
    ia5_string,
    numeric_string,
    printable_string,
    teletex_string,
    universal_string,
    utf8_string,
    visible_string,
)
from ._tagging import (
    Chosen,
    WithOctets,
    any_,
    choice,
    explicit,
    implicit,
    in_bit_string,
    in_octet_string,
    octets_of,
    recursive,
    with_octets,
)
from ._times import generalized_time, utc_time
from ._tree import Node, dump, walk
from ._wire import APPLICATION, CONTEXT, PRIVATE, UNIVERSAL
from .errors import Asn1Error, DecodeError, EncodeError, GrammarError

__all__ = [
    "APPLICATION",
    "BER",
    "CONTEXT",
    "DER",
    "PRIVATE",
    "UNIVERSAL",
    "Asn1Error",
    "BitString",
    "Chosen",
    "DecodeError",
    "Element",
    "EncodeError",
    "Grammar",
    "GrammarError",
    "Limits",
    "Node",
    "Oid",
    "Part",
    "Rules",
    "WithOctets",
    "any_",
    "bit_flags",
    "bit_string",
    "bmp_string",
    "boolean",
    "choice",
    "default",
    "dump",
    "enumerated",
    "explicit",
    "general_string",
    "generalized_time",
    "ia5_string",
    "implicit",
    "in_bit_string",
    "in_octet_string",
    "integer",
    "null",
    "numeric_string",
    "octet_string",
    "octets_of",
    "oid",
    "optional",
    "printable_string",
    "recursive",
    "relative_oid",
    "sequence",
    "sequence_of",
    "set_",
    "set_of",
    "teletex_string",
    "universal_string",
    "utc_time",
    "utf8_string",
    "visible_string",
    "walk",
    "with_octets",
]
