"""What `test_command.py` runs on a network of the gateway's: as a process, and as a guest on /dev/kvm.

It asks the server that it is told of, by IPv4 and by IPv6; then it serves HTTP at port 80, says the digest of what it
hears at port 7, and who asks at port 9.
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


async def peer(reader, writer):
    writer.write(writer.get_extra_info("peername")[0].encode())
    writer.close()


async def digest(reader, writer):
    found = hashlib.sha256()
    while data := await reader.read(1 << 18):
        found.update(data)
    writer.write(found.hexdigest().encode())
    writer.close()


async def ask(address, words):
    reader, writer = await asyncio.open_connection(address, int(OPTIONS["ask"]))
    writer.write(words)
    writer.write_eof()
    print("heard", (await reader.read()).decode(), flush=True)
    writer.close()


async def main():
    loop = asyncio.get_running_loop()
    for port, handle in ((80, http), (7, digest), (9, peer)):
        await asyncio.start_server(handle, "", port)
    interface = next(iter(loop.stack.interfaces.values()))
    print("offload", interface.offload.value, flush=True)
    await ask("10.0.2.2", b"by IPv4")
    async with asyncio.timeout(20):  # the prefix is advertised at once; the address is tried out first
        while not any(own.address[0] == 0xFD and not own.tentative for own in interface.addresses.values()):
            await asyncio.sleep(0.01)
    await ask("fd00::2", b"by IPv6")
    print("ready", flush=True)
    await asyncio.Event().wait()


run(main(), network=OPTIONS.get("device", "/dev/net0"))
