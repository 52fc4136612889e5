"""The `windrow` command. Thin: each command parses, calls one function of another package, prints.

Nothing is imported before a command needs it, so that `windrow --help` answers at once and a worker loads no part that it
does not run.
"""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit: 0, or 2 after one sentence on standard error when what was asked can't be done."""
    from windrow.cli.init import exec_below_init

    exec_below_init()
    from windrow.cli.group import run

    sys.exit(run(sys.argv[1:]))
