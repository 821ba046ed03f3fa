"""The language of config.py: typed devices, keys, boot arguments, and the graph that they make.

Generic: it knows no device of MirageOS. A configuration makes devices by applying functions to devices, leaves choices
to **keys** (fixed when the application is configured) and values to **boot arguments** (read when it starts), and
registers its jobs. `Graph` holds the result; `describe`, `dot` and `svg` show it. `load` runs a config.py.
"""

from .config import Configuration, load, load_source, register
from .describe import describe_boot_arguments, describe_keys, dot, table, tree
from .errors import ConfigError, Location, UnknownKey, caller, language, nearest
from .graph import Edge, Graph, Setting, assign
from .impl import (
    JOB,
    Choice,
    Device,
    Function,
    Impl,
    Job,
    Made,
    Parameter,
    Typ,
    device,
    foreign,
    if_key,
    match_key,
)
from .keys import BOOL, FLOAT, INT, PATH, STR, BootArgument, Key, Kind, boot_argument, enum, key
from .svg import svg

__all__ = [
    "BOOL",
    "FLOAT",
    "INT",
    "JOB",
    "PATH",
    "STR",
    "BootArgument",
    "Choice",
    "ConfigError",
    "Configuration",
    "Device",
    "Edge",
    "Function",
    "Graph",
    "Impl",
    "Job",
    "Key",
    "Kind",
    "Location",
    "Made",
    "Parameter",
    "Setting",
    "Typ",
    "UnknownKey",
    "assign",
    "boot_argument",
    "caller",
    "describe_boot_arguments",
    "describe_keys",
    "device",
    "dot",
    "enum",
    "foreign",
    "if_key",
    "key",
    "language",
    "load",
    "load_source",
    "match_key",
    "nearest",
    "register",
    "svg",
    "table",
    "tree",
]
