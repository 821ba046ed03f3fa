"""What `test_join.py` runs on a shared network: `NETWORK serve` says at port 80 by which address it was asked, and
`NETWORK ask ADDRESS ...` asks. Both say their own addresses first: of IPv4, and who serves the one of IPv6 too."""

import asyncio
import ipaddress
import sys

from mirage.runtime import run


async def answer(reader, writer):
    await reader.read(1000)
    body = writer.get_extra_info("sockname")[0].encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body))
    writer.close()


async def own_addresses():
    """Its own, once the advertised prefix has made one."""
    interface = next(iter(asyncio.get_running_loop().stack.interfaces.values()))
    while True:
        addresses = [own.address for own in interface.addresses.values() if not own.tentative]
        found = {len(address): address for address in addresses if address[:1] != b"\xfe"}
        if len(found) == 2:
            return [str(ipaddress.ip_address(found[size])) for size in (4, 16)]
        await asyncio.sleep(0.01)


async def main(command, *addresses):
    own = await asyncio.wait_for(own_addresses(), 20)
    if command == "serve":
        await asyncio.start_server(answer, "", 80)
        print(*own, flush=True)
        await asyncio.Event().wait()
    print(own[0])
    for address in addresses:
        reader, writer = await asyncio.open_connection(address, 80)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        print((await reader.read()).rpartition(b"\r\n")[2].decode())
        writer.close()


run(main(*sys.argv[2:]), sys.argv[1])
