class Secrets:
    def __init__(self, random): self.r=random; self.n=0
    def initial_sequence(self,*a): return int.from_bytes(self.r.generate(4),'big')
    def timestamp_offset(self,*a): return 7
    def port_offset(self,*a): return 3
    def next_port(self): self.n+=1; return self.n
