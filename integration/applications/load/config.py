# mirage >=0.1,<0.2
"""An application for the tests of the transport: it streams, counts and waits as it is asked to."""

from mirage.tool.devices import SERVICE, foreign, http_server, register

service = foreign("unikernel:service", takes=(), gives=SERVICE, packages=("mirage-cohttp>=0.1,<0.2",))

register("load", http_server(service()))
