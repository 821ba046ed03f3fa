"""`python -m mirage.cohttp_server` is `cohttp-server`."""

import sys

from ._command import main

sys.exit(main())
