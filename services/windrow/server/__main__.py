"""`python -m windrow.server`."""

import sys

from windrow.server.main import REFUSED, run
from windrow.settings import Settings

if __name__ == "__main__":
    try:
        settings = Settings.from_env()
    except ValueError as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED)
    sys.exit(run(settings))
