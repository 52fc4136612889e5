"""`python -m windrow.server`."""

import sys

from windrow.server.main import run
from windrow.settings import Settings

if __name__ == "__main__":
    try:
        settings = Settings.from_env()
    except ValueError as error:
        sys.exit(f"{error}")
    sys.exit(run(settings))
