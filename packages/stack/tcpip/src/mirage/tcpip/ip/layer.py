"""STAND-IN: replaced by the real one. ARP, NDP solicitation, IPv4 and IPv6 without fragments, echo, static routes."""
from __future__ import annotations
import struct
from math import inf
from mirage.types import Checksum, FrameMeta, Offload
from ..errors import AddressUnavailable, NoRoute, Unreachable, MessageTooLong
from ..wire.checksum import ones_sum, ones_sum_parts
from .interface import Interface
from .packet import ErrorKind, IcmpError, Packet

def in_prefix(a, p, n):
    return len(a) == len(p) and int.from_bytes(a, 'big') >> (len(a)*8-n) == int.from_bytes(p, 'big') >> (len(p)*8-n)

class Neighbour:
    def __init__(self): self.mac=None; self.queue=[]; self.tries=0; self.at=0.0

class Path:
    def __init__(self, ip, interface, local, remote, hop):
        self.ip, self.interface, self.local, self.remote, self.hop = ip, interface, local, remote, hop
        self.mtu = interface.mtu if interface else 65535
        self.header=b''; self.header_sum=0; self.pseudo_sum=ones_sum(local+remote); self.generation=0; self.fresh_until=-inf; self.alive=True
    def _make(self, mac):
        eth = mac + self.interface.mac
        if len(self.local)==4:
            self.header = eth+b'\x08\x00'+b'\x45\0\0\0\0\0\x40\0\x40\0\0\0'+self.local+self.remote
            self.header_sum = ones_sum(self.header[14:])
        else: self.header = eth+b'\x86\xdd'+b'\x60\0\0\0\0\0\x06\x40'+self.local+self.remote
        self.generation+=1
    def refresh(self, now):
        mac = self.ip.resolve(self.interface, self.hop, now)
        if mac is None: return False
        if self.header[:6]!=mac: self._make(mac)
        self.fresh_until = now+30
        return True
    def confirm(self, now): pass
    def reduce(self, mtu, now):
        m=max(mtu, 576 if len(self.local)==4 else 1280)
        if m<self.mtu: self.mtu=m; self.generation+=1
    def send(self, protocol, payload, now, *, traffic_class=0, hop_limit=None, fragment=False, checksum_offset=None):
        parts=[bytearray(payload[0]),*payload[1:]]; size=sum(map(len,parts))
        if checksum_offset is not None:
            v=65535-(self.pseudo_sum+protocol+size+ones_sum_parts(parts))%65535
            parts[0][checksum_offset:checksum_offset+2]=v.to_bytes(2,'big')
        if len(self.local)==4:
            h=bytearray(b'\x45'+bytes([traffic_class])+(20+size).to_bytes(2,'big')+b'\0\0\x40\0'+bytes([hop_limit or 64,protocol])+b'\0\0'+self.local+self.remote)
            h[10:12]=(65535-ones_sum(h)).to_bytes(2,'big'); kind=b'\x08\0'
        else:
            h=struct.pack('>IHBB',6<<28|traffic_class<<20,size,protocol,hop_limit or 64)+self.local+self.remote; kind=b'\x86\xdd'
        if len(h)+size>self.mtu: raise MessageTooLong(f'{size} octets')
        packet=[h,*parts]
        mac=self.ip.resolve(self.interface,self.hop,now,lambda m:self.interface.output.append((FrameMeta(),[m+self.interface.mac+kind,*packet])))
        if mac: self.interface.output.append((FrameMeta(),[mac+self.interface.mac+kind,*packet]))

class Ip:
    def __init__(self, settings, random, counters):
        self.settings, self.random, self.counters = settings, random, counters
        self.interfaces={}; self.receivers={}; self.error_receivers={}; self.routes_=[]; self.neighbours={}; self._paths={}
    def add_interface(self, name, mac, mtu, offload=Offload.NONE, max_frame=None, now=0.0):
        i=Interface(name,len(self.interfaces)+1,mac,mtu,offload,max_frame); self.interfaces[name]=i
        self.add_address(i,b'\xfe\x80'+bytes(6)+bytes([mac[0]^2])+mac[1:3]+b'\xff\xfe'+mac[3:],64); return i
    def add_address(self, interface, address, prefix, **_):
        if not isinstance(address,bytes): address=address.packed
        interface.addresses[address]=prefix
    def remove_address(self, interface, address): interface.addresses.pop(address,None)
    def add_route(self, prefix, gateway, interface, metric=0):
        self.routes_.append((prefix.network_address.packed,prefix.prefixlen,gateway.packed if gateway else None,interface))
    def is_local(self, a): return any(a in i.addresses for i in self.interfaces.values())
    def is_group(self, a): return a[0]==0xff if len(a)==16 else a[0]>=224
    def path(self, remote, now, local=None, interface=None):
        key=(remote,local,interface)
        if (p:=self._paths.get(key)): return p
        best=None
        for i in ([interface] if interface else self.interfaces.values()):
            for a,n in i.addresses.items():
                if in_prefix(remote,a,n) and (best is None or n>best[0]): best=(n,i,a,remote)
        for net,n,gw,i in self.routes_:
            if in_prefix(remote,net,n) and (best is None or n>best[0]):
                a=next((a for a in i.addresses if len(a)==len(remote) and a[:2]!=b'\xfe\x80'),None)
                if a: best=(n,i,a,gw or remote)
        if best is None: raise NoRoute(f'no route leads to {remote.hex()}')
        p=self._paths[key]=Path(self,best[1],local or best[2],remote,best[3]); return p
    def resolve(self, interface, hop, now, queued=None):
        n=self.neighbours.setdefault(hop,Neighbour())
        if n.mac: return n.mac
        if queued and len(n.queue)<16: n.queue.append(queued)
        if n.tries==0 or now>=n.at:
            if n.tries>=3: n.tries=0; n.queue.clear(); raise Unreachable(f'{hop.hex()} does not answer')
            n.tries+=1; n.at=now+1; self._ask(interface,hop)
        return None
    def _ask(self, i, hop):
        if len(hop)==4:
            a=next((a for a in i.addresses if len(a)==4),bytes(4))
            i.output.append((FrameMeta(),[b'\xff'*6+i.mac+b'\x08\x06'+b'\0\1\x08\0\6\4\0\1'+i.mac+a+bytes(6)+hop]))
        else:
            a=next((a for a in i.addresses if len(a)==16 and a[:2]==hop[:2]),next(a for a in i.addresses if len(a)==16))
            d=b'\xff\2'+bytes(9)+b'\1\xff'+hop[13:]
            self._icmp6(i,a,d,b'\x33\x33'+d[12:],b'\x87\0\0\0\0\0\0\0'+hop+b'\1\1'+i.mac)
    def _icmp6(self, i, src, dst, mac, body):
        body=bytearray(body); body[2:4]=(65535-(ones_sum(src+dst)+58+len(body)+ones_sum(body))%65535).to_bytes(2,'big')
        i.output.append((FrameMeta(),[mac+i.mac+b'\x86\xdd'+struct.pack('>IHBB',6<<28,len(body),58,255)+src+dst+body]))
    def _learn(self, hop, mac):
        n=self.neighbours.setdefault(hop,Neighbour()); n.mac=bytes(mac); n.tries=0; q,n.queue=n.queue,[]
        for f in q: f(n.mac)
    def frame(self, i, meta, f, now):
        kind=bytes(f[12:14])
        if kind==b'\x08\x06' and len(f)>=42:
            op=f[21]; 
            if bytes(f[38:42]) in i.addresses:
                self._learn(bytes(f[28:32]),f[22:28])
                if op==1: i.output.append((FrameMeta(),[bytes(f[6:12])+i.mac+b'\x08\x06\0\1\x08\0\6\4\0\2'+i.mac+bytes(f[38:42])+bytes(f[22:32])]))
        elif kind==b'\x08\0' and len(f)>=34 and f[14]>>4==4:
            ihl=(f[14]&15)*4; total=f[16]<<8|f[17]
            if ihl<20 or total<ihl or total>len(f)-14 or (f[20]<<8|f[21])&0x3fff: self.counters['ip4.dropped']+=1; return
            if meta.checksum is Checksum.COMPLETE and ones_sum(f[14:14+ihl]): self.counters['ip4.bad-checksum']+=1; return
            src,dst=bytes(f[26:30]),bytes(f[30:34])
            if dst not in i.addresses and not i.transparent: self.counters['ip4.not-for-us']+=1; return
            p=f[14+ihl:14+total]
            if f[23]==1 and p[0]==8 and dst in i.addresses:
                b=bytearray(p); b[0]=0; b[2:4]=b'\0\0'; b[2:4]=(65535-ones_sum(b)).to_bytes(2,'big')
                try: self.path(src,now,local=dst,interface=i).send(1,[b],now)
                except Exception: pass
            self._up(i,src,dst,f[23],p,meta,f[22],f[15],f[14:])
        elif kind==b'\x86\xdd' and len(f)>=54:
            length=f[18]<<8|f[19]; 
            if 54+length>len(f): return
            src,dst=bytes(f[22:38]),bytes(f[38:54]); p=f[54:54+length]
            if f[20]==58 and p:
                if p[0]==135 and len(p)>=24:
                    t=bytes(p[8:24])
                    if t in i.addresses and any(src):
                        if len(p)>=32 and p[24]==1: self._learn(src,p[26:32])
                        self._icmp6(i,t,src,bytes(f[6:12]),b'\x88\0\0\0\x60\0\0\0'+t+b'\2\1'+i.mac)
                    return
                if p[0]==136 and len(p)>=32: self._learn(bytes(p[8:24]),p[26:32]); return
                if p[0]==128 and dst in i.addresses: self._icmp6(i,dst,src,bytes(f[6:12]),b'\x81\0\0\0'+bytes(p[4:])); return
            if dst in i.addresses or i.transparent: self._up(i,src,dst,f[20],p,meta,f[21],(f[14]<<4|f[15]>>4)&255,f[14:])
    def _up(self, i, src, dst, proto, p, meta, ttl, tc, raw):
        self.last_now=0
        r=self.receivers.get(proto)
        if r: r(Packet(i,src,dst,proto,p,meta.checksum,ttl,tc,raw,False), self.now)
    now=0.0
    def poll(self, now): self.now=now
    def next_deadline(self): return inf
