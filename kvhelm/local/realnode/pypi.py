"""What pip brings from PyPI: what a lock file pins, and nothing else."""

import subprocess
import sys
from pathlib import Path

from kvhelm.errors import LocalError

# Seconds for PyPI to send about 100 MB.
_TIMEOUT = 900.0


def run_pip(command: str, lock: Path, *options: str | Path) -> None:
    """Run `pip install` or `download` for what `lock` pins. Raises LocalError in pip's words."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check"),
            *("--require-hashes", "--no-deps", *options, "--requirement", lock),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    if done.returncode:
        raise LocalError(f"pip can't fetch what {lock.name} pins: {done.stderr.strip()[-500:]}")
