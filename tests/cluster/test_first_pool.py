"""The sample, word for word, becomes a release that is Ready."""

from pathlib import Path

from tests.cluster.stories import Stories, condition

SAMPLE = Path(__file__).parents[1] / "samples" / "seed-pool.yaml"
NAME = "test-aibrix-model-deepseek-coder-33b-instruct-kvcache"


async def test_the_sample_becomes_a_release(stories: Stories) -> None:
    # The sample names the namespace default; the test has its own.
    manifest = SAMPLE.read_text().replace("namespace: default", f"namespace: {stories.namespace}")
    await stories.kubectl("apply", "-f", "-", stdin=manifest)
    pool = await stories.ready(NAME)
    assert condition(pool, "Available")["status"] == "True"
    assert condition(pool, "MetadataReady")["reason"] == "EtcdReady"
    assert NAME in await stories.helm("list")
    history = await stories.helm("history", NAME)
    assert "deployed" in history
    table = await stories.kubectl("get", "kvcp")
    assert "PoolReady" in table
