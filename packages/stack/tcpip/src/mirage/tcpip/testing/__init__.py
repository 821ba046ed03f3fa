"""For tests of what runs over the stack: seeded links in virtual time, and a scripted peer."""
