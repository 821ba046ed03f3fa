"""The one suite that all packages share: it builds the website unikernel, boots it, and drives it from outside.

`targets` holds the interface: `build(target) -> artifact`, `boot(artifact) -> running`. Tests know nothing else of a
target, so that a process and a virtual machine run through the very same checks. `crawl` looks at every page with a
client that shares no code with our server. `website` is the program behind ``./noxw -s website``.
"""
