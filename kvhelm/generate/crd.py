"""The CustomResourceDefinition of KVCachePool, and the JSON schema of its manifests."""

from typing import Any

from kvhelm.api import v1alpha1 as api
from kvhelm.api.status import PoolStatus
from kvhelm.generate.schemas import DRAFT, Schema, inlined, plain, rewritten, structural


def _ready(path: str) -> str:
    return f'.status.conditions[?(@.type=="Ready")].{path}'


# Name, type, path, priority (0 is always shown, 1 with -o wide), description.
_COLUMNS = (
    ("Ready", "string", _ready("status"), 0, "Whether the pool is as its spec asks"),
    ("Reason", "string", _ready("reason"), 0, "Why"),
    ("Daemons", "integer", ".status.readyReplicas", 0, "Daemons that serve"),
    ("Wanted", "integer", ".spec.replicas", 0, "Daemons that the spec asks for"),
    ("GPU", "string", ".spec.scheduler.gpuType", 0, "GPU type of the nodes"),
    ("Revision", "integer", ".status.release.revision", 0, "Revision of the Helm release"),
    ("Chart", "string", ".status.rollout.standing", 0, "Whether the operator's chart is there"),
    ("Age", "date", ".metadata.creationTimestamp", 0, "Time since the pool was created"),
    ("Metadata", "string", ".status.metadata.kind", 1, "Kind of the metadata service"),
    (
        "Metadata-Ready",
        "string",
        '.status.conditions[?(@.type=="MetadataReady")].reason',
        1,
        "What is known of the metadata service",
    ),
    ("Endpoint", "string", ".status.endpoint", 1, "HOST:PORT of the pool"),
    ("Release", "string", ".status.release.name", 1, "Name of the Helm release"),
    ("Message", "string", _ready("message"), 1, "What a person should know"),
)


def _kubernetes_object(spec: Schema, status: Schema) -> Schema:
    return {
        "type": "object",
        "description": "A pool of vineyardd cache daemons that inference engines share.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": "Group and version of the API.", "type": "string"},
            "kind": {"description": "The kind of object.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }


def crd() -> dict[str, Any]:
    """Return the CustomResourceDefinition of KVCachePool."""
    spec = rewritten(inlined(api.PoolSpec), structural)
    # The one default of the CRD: the scale subresource and HPAs need a number to start from.
    spec["properties"]["replicas"]["default"] = 1
    status = rewritten(inlined(PoolStatus), structural)
    conditions = status["properties"]["conditions"]
    conditions["x-kubernetes-list-type"] = "map"
    conditions["x-kubernetes-list-map-keys"] = ["type"]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{api.PLURAL}.{api.GROUP}",
            # To delete the CRD deletes every pool: uninstalling the operator does not.
            "annotations": {"helm.sh/resource-policy": "keep"},
        },
        "spec": {
            "group": api.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": api.KIND,
                "listKind": f"{api.KIND}List",
                "plural": api.PLURAL,
                "singular": api.KIND.lower(),
                "shortNames": [api.SHORT_NAME],
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": api.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": [
                        {
                            "name": name,
                            "type": kind,
                            "jsonPath": path,
                            "priority": priority,
                            "description": text,
                        }
                        for name, kind, path, priority, text in _COLUMNS
                    ],
                    "schema": {"openAPIV3Schema": _kubernetes_object(spec, status)},
                }
            ],
        },
    }


def object_schema() -> Schema:
    """Return the JSON schema of a KVCachePool manifest, for editors."""
    schema = _kubernetes_object(
        rewritten(inlined(api.PoolSpec), plain), rewritten(inlined(PoolStatus), plain)
    )
    schema["properties"]["apiVersion"]["const"] = api.API_VERSION
    schema["properties"]["kind"]["const"] = api.KIND
    schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
    return {"$schema": DRAFT, "title": api.KIND, **schema}
