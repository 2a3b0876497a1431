"""`python -m kvhelm.generate [--check]`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from kvhelm import assets
from kvhelm.generate.files import difference, write


def main(arguments: Sequence[str], root: Path) -> int:
    """Write the files below `root`, or with --check print what differs; return the exit code."""
    if "--check" not in arguments:
        for name in write(root):
            print(f"wrote {name}")
        return 0
    diff = difference(root)
    if not diff:
        return 0
    print(diff)
    print("Generated files are not up to date. Run `make generate` and commit the result.")
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], assets.schemas_dir().parent))
