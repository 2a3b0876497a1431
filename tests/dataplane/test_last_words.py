"""What a real vineyardd says when it ends, and what the pool's condition makes of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvhelm.api.conditions import Reason
from kvhelm.controller.last_words import cause_for, last_words_from
from tests.chart.rendering import render
from tests.dataplane.conftest import MEMORY, StartRedis
from tests.dataplane.parts import Part, free_port, vineyardd

_KEPT = 2048
"""Bytes of a log's end that a kubelet keeps as termination message."""


async def test_a_build_without_redis(
    start_redis: StartRedis, parts: list[Part], tmp_path: Path
) -> None:
    redis = await start_redis()
    metadata = {"redis": {"endpoint": redis.url}}
    assert await cause_of_end(metadata, parts, tmp_path) is Reason.BUILT_WITHOUT_REDIS


async def test_an_etcd_that_does_not_answer_the_daemon(parts: list[Part], tmp_path: Path) -> None:
    metadata = {"etcd": {"endpoints": [f"http://127.0.0.1:{free_port()}"], "prefix": "/a/b"}}
    assert await cause_of_end(metadata, parts, tmp_path) is Reason.ETCD_OUT_OF_REACH


async def cause_of_end(metadata: Mapping[str, Any], parts: list[Part], folder: Path) -> Reason:
    """Run a daemon that can't work, and return the cause that its pod's status leads to."""
    rendered = render({"cache": {"memory": MEMORY}, "metadata": metadata})
    daemon = vineyardd(folder, rendered, "pool-0")
    parts.append(daemon)
    daemon.start()
    terminated = {
        "exitCode": await daemon.ended(),
        "reason": "Error",
        "message": daemon.said[-_KEPT:],
    }
    assert rendered.vineyardd["terminationMessagePolicy"] == "FallbackToLogsOnError"
    container = {"name": rendered.vineyardd["name"], "state": {"terminated": terminated}}
    words = last_words_from({"metadata": {}, "status": {"containerStatuses": [container]}})
    assert words
    return cause_for(words).reason
