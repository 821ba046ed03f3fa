"""The octets of each protocol: a `parse` and a `build` for every header, symmetric, and nothing with a memory."""
