"""Render the chart with a real helm, as objects: tests read fields, never text."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from kvhelm import assets
from kvhelm.local.tools import ensure_helm

Object = dict[str, Any]
Values = Mapping[str, Any]

SAMPLE = Path(__file__).parents[1] / "samples" / "seed-pool.yaml"
IMAGE = "vineyardcloudnative/vineyardd:v0.24.2"
HELM_DEADLINE = 60.0


class Refused(Exception):
    """Helm refused the values; the text is its message."""


@cache
def helm_path() -> Path:
    return ensure_helm()


def helm(*arguments: str | Path, values: Values, chart: Path | None = None) -> str:
    """Run helm away from any cluster and return what it printed."""
    done = subprocess.run(
        [helm_path(), *arguments, chart or assets.chart_dir(), "--values", "-"],
        input=json.dumps(values),
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "KUBECONFIG": os.devnull},
        capture_output=True,
        text=True,
        timeout=HELM_DEADLINE,
    )
    if done.returncode:
        raise Refused(done.stderr + done.stdout)
    return done.stdout


def merged(base: Values, over: Values) -> dict[str, Any]:
    """Return `base` with `over` laid on it, mappings key by key."""
    result = dict(base)
    for key, value in over.items():
        known = result.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        result[key] = merged(known, value) if both else value  # type: ignore[arg-type]
    return result


@dataclass(frozen=True)
class Rendered:
    """The objects of one release."""

    objects: tuple[Object, ...]

    def find(self, kind: str, suffix: str) -> Object | None:
        """Return the object of that kind whose name ends so, if there is one."""
        found = [
            each
            for each in self.objects
            if each["kind"] == kind and each["metadata"]["name"].endswith(f"-{suffix}")
        ]
        assert len(found) <= 1
        return found[0] if found else None

    def get(self, kind: str, suffix: str) -> Object:
        """Return the object of that kind whose name ends so."""
        found = self.find(kind, suffix)
        assert found, f"no {kind} -{suffix}"
        return found

    @property
    def daemons(self) -> Object:
        """The spec of the daemons' StatefulSet."""
        return self.get("StatefulSet", "daemon")["spec"]  # type: ignore[no-any-return]

    @property
    def pod(self) -> Object:
        """The spec of the daemons' pods."""
        return self.daemons["template"]["spec"]  # type: ignore[no-any-return]

    @property
    def vineyardd(self) -> Object:
        (container,) = self.pod["containers"]
        return container  # type: ignore[no-any-return]

    @cached_property
    def flags(self) -> dict[str, str]:
        """vineyardd's flags; each is given once, as --flag=value."""
        pairs = [argument.removeprefix("--").partition("=") for argument in self.vineyardd["args"]]
        flags = {name: value for name, _, value in pairs}
        assert len(flags) == len(pairs)
        return flags

    @property
    def etcd_pod(self) -> Object:
        """The spec of the pods of the pool's own etcd."""
        return self.get("StatefulSet", "etcd")["spec"]["template"]["spec"]  # type: ignore[no-any-return]

    @property
    def etcd(self) -> Object:
        (container,) = self.etcd_pod["containers"]
        return container  # type: ignore[no-any-return]

    @property
    def connection(self) -> dict[str, str]:
        """What the connection ConfigMap tells engines."""
        return self.get("ConfigMap", "connection")["data"]  # type: ignore[no-any-return]


def sample_spec() -> dict[str, Any]:
    """Return the spec of the sample pool."""
    spec: dict[str, Any] = YAML(typ="safe").load(SAMPLE)["spec"]
    return spec


@cache
def _render(values: str, release: str, namespace: str, chart: Path | None) -> Rendered:
    text = helm(
        "template", release, "--namespace", namespace, values=json.loads(values), chart=chart
    )
    return Rendered(tuple(each for each in YAML(typ="safe").load_all(text) if each))


def render(
    values: Values | None = None,
    release: str = "my-pool",
    namespace: str = "models",
    *,
    chart: Path | None = None,
) -> Rendered:
    """Render the chart with these values (an image is added). Raises Refused."""
    full = merged({"cache": {"image": IMAGE}}, values or {})
    return _render(json.dumps(full, sort_keys=True), release, namespace, chart)


def refusal(values: Values) -> str:
    """Return helm's message for values that it must refuse."""
    try:
        render(values)
    except Refused as refused:
        return str(refused)
    raise AssertionError(f"helm took {values}")
