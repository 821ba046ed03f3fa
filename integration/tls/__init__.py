"""Our own TLS against the TLS of others, in both roles, over loopback: `./noxw -s integration -- tls`."""
