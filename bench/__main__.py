"""`bench` and `python -m bench`: a signal that comes while the suite is still being imported ends it in order too."""

import sys

from bench.errors import tell
from bench.interrupt import INTERRUPTED, NOTHING, interruptible


def main() -> int:
    """Runs the words of the command line; the exit code."""
    try:
        with interruptible():
            from bench import cli

            return cli.main()
    except KeyboardInterrupt:
        tell(NOTHING)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
