"""Pools that the API server takes; and what it takes, the objects of the release fit as well."""

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from kvhelm.api.v1alpha1 import parse_spec
from kvhelm.controller.watches import POOLS
from kvhelm.kube.client import Client
from kvhelm.values import Defaults, values_for
from tests.chart.rendering import helm
from tests.cluster.operators import Operator
from tests.cluster.stories import Stories

SAMPLES = sorted((Path(__file__).parents[1] / "samples").glob("*.yaml"))


def read(path: Path) -> dict[str, Any]:
    pool: dict[str, Any] = YAML(typ="safe").load(path)
    return pool


async def dry_run(client: Client, manifest: dict[str, Any]) -> dict[str, Any]:
    return await client.create(POOLS, manifest, "default", dryRun="All", fieldValidation="Strict")


def pool(**spec: Any) -> dict[str, Any]:
    body = {"cache": {"image": "vineyardd:1"}} | spec
    return {
        "apiVersion": POOLS.api_version,
        "kind": POOLS.kind,
        "metadata": {"name": "good"},
        "spec": body,
    }


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
async def test_the_api_server_takes_every_sample(
    client: Client, operator: Operator, sample: Path
) -> None:
    stored = await dry_run(client, read(sample))
    # Nothing is changed on the way, and only the number of replicas has a default.
    assert stored["spec"] == {"replicas": 1} | read(sample)["spec"]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
async def test_kubernetes_takes_what_the_chart_makes_of_it(stories: Stories, sample: Path) -> None:
    manifest = read(sample)
    values = values_for(
        parse_spec(manifest["spec"]),
        name=manifest["metadata"]["name"],
        namespace=stories.namespace,
        uid="0f1d2c3b-1111-2222-3333-444455556666",
        defaults=Defaults(),
    )
    objects = helm("template", "my-pool", "--namespace", stories.namespace, values=values)
    taken = await stories.kubectl(
        *("apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-"),
        "--warnings-as-errors",
        stdin=objects,
    )
    assert "statefulset.apps/my-pool-daemon serverside-applied (server dry run)" in taken


@pytest.mark.parametrize(
    "cache",
    [
        # What only looks like an error.
        {"extraArgs": ["--rpcx=1", "--metadata=1", "--sizes=1", "--v=", "--log_dir=/tmp/a b=c"]},
        {"memory": "1Mi"},
        {"memory": "0.5Gi"},
        {"memory": 1048576},
        {"memory": "64Ti"},
        {"memory": "10G", "resources": {"limits": {"memory": "10Gi"}}},
        {"memory": "20Gi", "resources": {"requests": {"memory": "22Gi"}}},
        {"memory": "1Gi", "resources": {"requests": {"memory": "1280Mi"}}},
        {"resources": {"requests": {"cpu": 0}, "limits": {"cpu": (0.5).__str__()}}},
        {"resources": {"requests": {"cpu": "1000m"}, "limits": {"cpu": 1}}},
        {"image": "v"},
        {"image": "registry:5000"},
        {"image": "Registry.Example.com/a_b/c__d/e--f.g:Tag_1.2-3"},
        {"image": "10.0.0.1:5000/a:b@sha256:" + "0" * 64},
        {"env": [{"name": "_A1", "value": "$(MY_NODE_NAME)"}]},
    ],
    ids=str,
)
async def test_the_api_server_takes_what_is_unusual(
    client: Client, operator: Operator, cache: dict[str, Any]
) -> None:
    await dry_run(client, pool(cache={"image": "v:1"} | cache))


@pytest.mark.parametrize(
    "metadata",
    [
        {"managed": {}},
        {"etcd": {"endpoints": ["http://a_b.c-d:1", "http://[::1]:65535"]}},
        {"etcd": {"endpoints": ["http://etcd:2379"], "prefix": "/kvhelmet/mine"}},
        {"etcd": {"endpoints": ["http://etcd:2379"], "prefix": "/a/b/c/_d/e.f/kvhelm"}},
    ],
    ids=str,
)
async def test_the_api_server_takes_metadata_services(
    client: Client, operator: Operator, metadata: dict[str, Any]
) -> None:
    await dry_run(client, pool(metadata=metadata))


async def test_a_client_that_is_not_strict_loses_what_it_misspelt(stories: Stories) -> None:
    misspelt = pool(cache={"image": "vineyardd:1", "memmory": "4Gi"}, suspend=True)
    stored = await stories.client.create(POOLS, misspelt, stories.namespace)
    assert stored["spec"]["cache"] == {"image": "vineyardd:1"}
    # kubectl shows the server's warning where it was told to go on.
    text = json.dumps(misspelt)
    with pytest.raises(AssertionError, match=r'unknown field "spec\.cache\.memmory"'):
        await stories.kubectl(
            *("create", "--validate=warn", "--warnings-as-errors", "-f", "-"), stdin=text
        )
    # And by itself it is strict.
    with pytest.raises(AssertionError, match=r'strict decoding error: unknown field "spec\.cache'):
        await stories.kubectl("apply", "-f", "-", stdin=text)
