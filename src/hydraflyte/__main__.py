"""``python -m hydraflyte`` is the ``hydraflyte`` command."""

import sys

from hydraflyte.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
