"""The newcomer's first command where real nodes can be had."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvhelm.local import cluster as local
from kvhelm.local.places import cache_root

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]


@pytest.fixture
def state(able: None, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "s"
    yield folder
    local.down("demo", state=folder)


def test_the_demo_ends_with_a_tensor_that_went_from_node_to_node(state: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kvhelm", "demo"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(state.parent),
            "KVHELM_CACHE": str(cache_root()),
            "KVHELM_STATE": str(state),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout
    assert done.returncode == 0, said + done.stderr
    (beside,) = re.findall(r"^ +[\d.]+ s +pod +ready +daemon-0 on (node-\d)", said, re.MULTILINE)
    assert f"An engine on {beside} puts a tensor into the pool" in said
    # The sum of 0 to 999,999, as it came over the network.
    assert "float32 (1000, 1000) sum 499999500000.0" in said
