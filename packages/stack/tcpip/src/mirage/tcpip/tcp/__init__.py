"""TCP after RFC 9293: a connection is a state machine; how it sends, receives and recovers are files of their own."""
