"""What `test_command.py` runs on a network of the gateway's: as a process, and as a guest on /dev/kvm.

It serves HTTP at port 80, says its octets' digest at port 7, and asks whom it is told to.
"""

import asyncio
import hashlib
import sys

from mirage.runtime import run

OPTIONS = dict(word[2:].partition("=")[::2] for word in sys.argv[1:] if word.startswith("--"))


async def http(reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.split()[1].lstrip(b"/") or b"6")
    body = b"hello\n" if size == 6 else bytes(size)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % size + body)
    await writer.drain()
    writer.close()


async def digest(reader, writer):
    found = hashlib.sha256()
    while data := await reader.read(1 << 18):
        found.update(data)
    writer.write(found.hexdigest().encode())
    writer.close()


async def main():
    loop = asyncio.get_running_loop()
    for port, handle in ((80, http), (7, digest)):
        await asyncio.start_server(handle, "", port)
    interface = next(iter(loop.stack.interfaces.values()))
    print("offload", interface.offload.value, flush=True)
    if "ask" in OPTIONS:
        reader, writer = await asyncio.open_connection("10.0.2.2", int(OPTIONS["ask"]))
        writer.write(b"from the guest")
        writer.write_eof()
        print("heard", (await reader.read()).decode(), flush=True)
        writer.close()
    for name in OPTIONS.get("names", "").split(","):
        if name:
            found = await loop.getaddrinfo(name, 80)
            print("found", *sorted({address[4][0] for address in found}), flush=True)
    print("ready", flush=True)
    await asyncio.Event().wait()


run(main(), network=OPTIONS.get("device", "/dev/net0"))
