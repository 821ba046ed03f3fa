"""The command `cohttp-server`: a directory served over HTTP.

Its parts are elsewhere: `mirage.kv.DirectoryStore` reads the files, `mirage.cohttp.static` answers requests, and
`mirage.cohttp.serve` moves the octets. Here they are put together, with options, an access log and signals.
"""

from ._command import main

__all__ = ["main"]
