"""The `mirage` command: configures, describes, builds and runs unikernels.

A config.py imports `mirage.tool.devices` and nothing else of this package; `mirage.tool.cli` is the command.
"""

__version__ = "0.1.0"
