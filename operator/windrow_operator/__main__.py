"""`python -m windrow_operator`: the operator, set up by its environment alone."""

from __future__ import annotations

import sys

from windrow_operator.cluster import ApiError
from windrow_operator.config import Config
from windrow_operator.main import run

if __name__ == "__main__":
    try:
        sys.exit(run(Config.from_env()))
    except (ValueError, ApiError, OSError) as error:
        sys.exit(f"Error: {error}")
