"""Real nodes up, used and down, again and again: `python -m tests.e2e.cycles 20`.

Each cycle starts a cluster of two nodes and the operator, makes a pool Ready, puts an array on one
node, gets it on the other, and stops all. Prints what each took, and whatever is left on the
machine; ends with code 1 if anything is. Needs what real nodes need, and about half a minute a
cycle; `make test` does not run it.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from kvhelm.kube.client import Client
from kvhelm.kube.resource import NAMESPACES
from kvhelm.local.cluster import Cluster, down, up
from kvhelm.local.operator import ensure_operator
from kvhelm.local.realnode.client import ensure_client_image
from kvhelm.local.realnode.power import load_image
from kvhelm.local.realnode.traces import traces
from tests.e2e.pools import NODES, Pools

NAME = "cycles"


def main() -> None:
    """Run the cycles; the first one may build and fetch things, and does not count."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    ensure_client_image()
    cycle()
    took = []
    failed = False
    for number in range(1, count + 1):
        seconds, left = cycle()
        took.append(seconds)
        words = "  ".join(f"{what} {each:5.1f} s" for what, each in seconds.items())
        print(f"{number:3}  {words}  {'nothing left' if not left else 'LEFT:'}", flush=True)
        for each in left:
            print(f"       {each}", flush=True)
        failed = failed or bool(left)
    for what in took[0]:
        of_all = [seconds[what] for seconds in took]
        print(f"{what}: median {statistics.median(of_all):.1f} s, longest {max(of_all):.1f} s")
    sys.exit(failed)


def cycle() -> tuple[dict[str, float], list[str]]:
    """Run one cycle; return the seconds of its parts, and what it has left."""
    before = set(seen())
    with tempfile.TemporaryDirectory(prefix="kvhelm-cycles-") as folder:
        state = Path(folder, "state")
        marks = [time.monotonic()]
        cluster = up(NAME, real_nodes=len(NODES), state=state)
        marks.append(time.monotonic())
        try:
            asyncio.run(smoke(cluster))
            marks.append(time.monotonic())
        finally:
            down(NAME, state=state)
        marks.append(time.monotonic())
        left = [*traces(cluster.place), *(f"file {each}" for each in state.rglob("*"))]
    left += sorted(set(seen()) - before)
    parts = [after - since for since, after in pairwise(marks)]
    return dict(zip(("up", "smoke", "down"), parts, strict=True)), left


def seen() -> Iterator[str]:
    """Tell what there is on this machine of what real nodes could leave beside their own traces."""
    for interface in Path("/sys/class/net").iterdir():
        yield f"interface {interface.name}"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        yield f"mount {line}"
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it ended meanwhile
        if "kvhelm-cycles-" in command:
            yield f"process {process.name} {command[:200]}"


async def smoke(cluster: Cluster) -> None:
    """Make a pool Ready, and use it from both nodes."""
    await asyncio.to_thread(load_image, cluster.place, ensure_client_image())
    await asyncio.to_thread(ensure_operator, cluster)
    async with await Client.connect(cluster.kubeconfig) as client:
        await client.create(NAMESPACES, {"metadata": {"name": NAME}})
        pools = Pools(client, cluster, NAME, "")
        await pools.create("pool", replicas=2, metadata={"managed": {}})
        await pools.ready("pool")
        first, second = [await pools.engine("pool", node) for node in NODES]
        assert await pools.fetch(second, await pools.put(first, 3)) == 30_000


if __name__ == "__main__":
    main()
