"""STAND-IN: replaced by the real one."""
from __future__ import annotations
from typing import NamedTuple
from .news import Endpoint
from .errors import AddressInUse
class Datagram(NamedTuple):
    data: bytes; source: bytes; port: int; local: bytes; interface: object; hop_limit: int
class UdpEndpoint(Endpoint):
    def __init__(self, udp, local, port, version):
        super().__init__(udp.news); self.udp, self.local, self.port, self.version, self.queue = udp, local, port, version, []; self.remote=None
    def connect(self, address, port): self.remote=(address,port)
    def send(self, data, remote=None, port=0, *, now=None, **_):
        from .stack import packed
        if remote is None: remote,port=self.remote
        p=self.udp.ip.path(packed(remote), self.udp.ip.now, local=self.local)
        p.send(17,[self.port.to_bytes(2,'big')+port.to_bytes(2,'big')+(8+len(data)).to_bytes(2,'big')+b'\0\0',bytes(data)],self.udp.ip.now,checksum_offset=6)
    def read(self): return self.queue.pop(0) if self.queue else None
    def take_error(self): return None
    def close(self): self.udp.table.pop(self.port,None)
class Udp:
    def __init__(self, ip, settings, random, news, counters):
        self.ip, self.news, self.table = ip, news, {}; ip.receivers[17]=self.packet; self.next=40000
    def bind(self, local=None, port=0, *, interface=None, reuse=False, version=None):
        if not port: self.next+=1; port=self.next
        if port in self.table: raise AddressInUse(f'port {port}')
        e=self.table[port]=UdpEndpoint(self,local,port,version); return e
    def packet(self, p, now):
        e=self.table.get(int.from_bytes(p.payload[2:4],'big'))
        if e: e.queue.append(Datagram(bytes(p.payload[8:]),p.source,int.from_bytes(p.payload[:2],'big'),p.destination,p.interface,p.hop_limit)); e.tell()
