"""The `mirage` command: configures, describes, builds and runs unikernels.

A config.py imports `mirage.tool.devices` and nothing else of this package; `mirage.tool.cli` is the command.
"""

import importlib.metadata

__version__ = importlib.metadata.version("mirage-tool")
