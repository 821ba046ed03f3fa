class ProportionalRateReduction:
    __slots__=("d","o","rf","st")
    def __init__(self): self.d=self.o=self.rf=self.st=0
    def start(self, flight, ssthresh, mss): self.d=self.o=0; self.rf=max(flight,1); self.st=ssthresh
    def on_sent(self,n): self.o+=n
    def on_ack(self, delivered, flight, mss, safe):
        self.d+=delivered
        if flight>self.st: r=-(-self.d*self.st//self.rf)-self.o
        else:
            r=max(self.d-self.o,delivered)
            if safe: r+=mss
            r=min(self.st-flight,r)
        if self.o==0 and r<mss: r=mss
        return max(r,0)
