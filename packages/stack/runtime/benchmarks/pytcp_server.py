"""What `bench_pytcp.py` has PyTCP's interpreter run: an echo, a sink and a source on a TAP, on PyTCP's own sockets.

``python -O -c TEXT TAP ADDRESS/LENGTH OCTETS PORT PORT PORT``: the ports of the echo, of the sink, which tells what it
counted, and of the source of that many octets. Nothing of ours is imported here, and PyTCP nowhere else.
"""

import importlib
import os
import sys
import threading

BLOCK = bytes(range(256)) * 256


def echo(connection):
    """Send everything back."""
    while data := connection.recv(len(BLOCK)):
        connection.send(data)


def sink(connection):
    """Count, and tell the sum at the end."""
    count = 0
    while data := connection.recv(len(BLOCK)):
        count += len(data)
    connection.send(b"%d" % count)


def source(connection):
    """Send as many octets as the command line says."""
    left = int(sys.argv[3])
    while left > 0:
        left -= connection.send(BLOCK[:left])


def accept(listener, work):
    """Serve every connection in a thread of its own, as programs on blocking sockets do."""

    def serve(connection):
        try:
            work(connection)
            connection.close()
        except OSError as error:  # the harness leaves when its time is over
            print(f"{work.__name__}: {error}", file=sys.stderr)

    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def main():
    """Start the stack, say so, and serve until the harness closes the pipe."""
    stack = importlib.import_module("pytcp.stack")
    socket = importlib.import_module("pytcp.runtime.socket")
    host = importlib.import_module("net_addr").Ip4IfAddr(sys.argv[2])
    stack.init(
        **stack.initialize_interface__tap(sys.argv[1]),
        ip4_host=host,
        ip4_dhcp=False,
        ip6_support=False,
        ip6_gua_autoconfig=False,
        ip6_lla_autoconfig=False,
    )
    stack.start()
    for work, port in zip((echo, sink, source), map(int, sys.argv[4:]), strict=True):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind((sys.argv[2].partition("/")[0], port))
        listener.listen()
        threading.Thread(target=accept, args=(listener, work), daemon=True).start()
    print("ready", os.getpid(), flush=True)
    sys.stdin.read()


main()
