"""What `helm install` says at its end."""

import json

from tests.chart.rendering import IMAGE, Values, helm, merged


def notes(values: Values) -> str:
    printed = helm(
        *("install", "my-pool", "--namespace", "models", "--dry-run=client", "--output", "json"),
        values=merged({"cache": {"image": IMAGE}}, values),
    )
    text = json.loads(printed)["info"]["notes"]
    assert isinstance(text, str)
    return text


def test_the_notes_tell_how_to_connect_and_what_is_lost_when() -> None:
    said = notes({"service": {"port": 19600}})
    assert "my-pool-rpc.models.svc:19600" in said
    assert "my-pool-connection" in said
    assert "/var/run/vineyard-kubernetes/models/my-pool" in said
    assert "kubectl -n models rollout restart statefulset my-pool-daemon" in said


def test_the_notes_tell_only_what_is_so() -> None:
    said = notes(
        {
            "cache": {"socket": "EmptyDir"},
            "metadata": {"etcd": {"endpoints": ["http://etcd:2379"]}},
        }
    )
    assert "/var/run" not in said
    assert "etcd" not in said
