"""The kinds of field that a pool's spec is made of: bounded strings with Kubernetes' own rules.

Every string and list is bounded: the API server refuses CEL rules over unbounded ones
("estimated rule cost exceeds budget"). A pattern has its say twice: in the JSON schemas and here
as `pattern`, in the CRD as a CEL rule, which can say in words what is wrong and what mends it.
What the API server would refuse later, in an object of the release, is refused here already.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_QUALIFIED_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_PORT = (  # 1 to 65535
    "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6([0-4][0-9]{3}|5([0-4][0-9]{2}|5([0-2][0-9]|3[0-5]))))"
)
_LABEL_VALUE = f"^({_QUALIFIED_NAME})?$"
_LABEL_KEY = f"^({_SUBDOMAIN}/)?{_QUALIFIED_NAME}$"
_LABEL_KEY_LENGTH = 253 + 1 + 63
_RESOURCE_NAME = (
    f"^(cpu|memory|ephemeral-storage|hugepages-[1-9][0-9]*[KMG]i|{_SUBDOMAIN}/{_QUALIFIED_NAME})$"
)
_QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"
_MEMORY = r"^[0-9]+(\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$"
_PATH_PART = "[a-z0-9]+([._-]+[a-z0-9]+)*"
_IMAGE = (
    rf"^([A-Za-z0-9]([-.A-Za-z0-9]*[A-Za-z0-9])?(:[0-9]+)?/)?{_PATH_PART}(/{_PATH_PART})*"
    r"(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?$"
)
_ENDPOINT = rf"^http://([A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\]):{_PORT}$"
_REDIS = rf"^redis://([A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\]):{_PORT}$"
_PREFIX = r"^(/[A-Za-z0-9_-][A-Za-z0-9._-]*){2,}$"


def rule(cel: str, message: str) -> dict[str, str]:
    """Return one CEL rule of the CRD; the message names the remedy (the API server the field)."""
    return {"rule": cel, "message": message}


def rules(*each: dict[str, str]) -> dict[str, Any]:
    """Return CEL rules in the form that `json_schema_extra` takes."""
    return {"x-kubernetes-validations": list(each)}


def spelled(pattern: str, message: str, *, max_length: int, min_length: int | None = 1) -> Any:
    """Return what bounds a string; `message` is the API server's where the pattern is missed."""
    return Field(
        min_length=min_length,
        max_length=max_length,
        pattern=pattern,
        json_schema_extra=rules(rule(f"self.matches(r'{pattern}')", message)),
    )


def keyed(pattern: str, max_key: int, message: str, *, at_most: int, **extra: Any) -> Any:
    """Return what bounds a map; `message` is the API server's where a key misses the pattern."""
    said = rule(f"self.all(key, size(key) <= {max_key} && key.matches(r'{pattern}'))", message)
    more = extra.pop("more", ())
    return Field(max_length=at_most, json_schema_extra={**rules(said, *more), **extra})


class Part(BaseModel):
    """A part of the object: camelCase outside, unknown fields refused, never changed in place."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )


Text = Annotated[str, StringConstraints(max_length=1024)]
"""Free text of 1,024 characters at most."""

LabelValue = Annotated[
    str,
    spelled(
        _LABEL_VALUE,
        "must be a label's value: letters, digits, '-', '_' and '.', "
        "with a letter or digit at both ends",
        min_length=None,
        max_length=63,
    ),
]
"""A label's value: 63 characters at most, and it may be empty."""

LabelKey = Annotated[
    str,
    spelled(
        _LABEL_KEY,
        "must be a label's key, such as example.com/gpu: [DNS-PREFIX/]NAME",
        max_length=_LABEL_KEY_LENGTH,
    ),
]
"""A label's key, with or without a DNS prefix."""

Labels = Annotated[
    dict[LabelKey, LabelValue],
    keyed(
        _LABEL_KEY,
        _LABEL_KEY_LENGTH,
        "a key must be a label's, such as example.com/gpu: [DNS-PREFIX/]NAME",
        at_most=16,
    ),
]
"""Labels that something must have."""

_RESERVED_ANNOTATION = r"^(([^/]*\.)?helm\.sh|kvcache\.aibrix\.ai)/"

Annotations = Annotated[
    dict[LabelKey, Text],
    keyed(
        _LABEL_KEY,
        _LABEL_KEY_LENGTH,
        "a key must be an annotation's, such as example.com/internal: [DNS-PREFIX/]NAME",
        at_most=32,
        more=(
            rule(
                f"!self.exists(key, key.matches(r'{_RESERVED_ANNOTATION}'))",
                "annotations of helm.sh and kvcache.aibrix.ai belong to Helm and kvhelm: "
                "use another domain",
            ),
        ),
        propertyNames={"not": {"pattern": _RESERVED_ANNOTATION}},
    ),
]
"""Annotations, none of Helm's or kvhelm's own."""

DnsName = Annotated[
    str,
    spelled(
        f"^{_SUBDOMAIN}$",
        "must be an object's name: lower-case letters, digits, '-' and '.', "
        "with a letter or digit at both ends",
        max_length=253,
    ),
]
"""The name of an object (RFC 1123 subdomain)."""


def _int_or_string(pattern: str, minimum: int, *said: dict[str, str]) -> Any:
    return WithJsonSchema(
        {
            "anyOf": [{"type": "integer", "minimum": minimum}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "maxLength": 24,
            "pattern": pattern,
            **rules(*said),
        }
    )


Quantity = Annotated[
    Annotated[int, Field(ge=0)] | Annotated[str, Field(max_length=24, pattern=_QUANTITY)],
    _int_or_string(
        _QUANTITY,
        0,
        rule(
            f"string(self).matches(r'{_QUANTITY}')",
            "must be a quantity such as 500m, 2 or 4Gi "
            "(suffixes m, k, M, G, T, P, Ki, Mi, Gi, Ti, Pi)",
        ),
    ),
]
"""A Kubernetes quantity such as `500m`, `2`, `4Gi`."""

ResourceList = Annotated[
    dict[Annotated[str, StringConstraints(max_length=317, pattern=_RESOURCE_NAME)], Quantity],
    keyed(
        _RESOURCE_NAME,
        _LABEL_KEY_LENGTH,
        "a resource must be cpu, memory, ephemeral-storage, hugepages-SIZE such as hugepages-2Mi, "
        "or have a domain, such as nvidia.com/gpu",
        at_most=8,
    ),
]
"""Amounts of what a node has."""


def _amount(least: int, written: str) -> Any:
    """Return the schema of an amount of bytes; `written` is the least one as people write it."""
    return _int_or_string(
        _MEMORY,
        least,
        rule(
            f"string(self).matches(r'{_MEMORY}') && "
            f"quantity(string(self)).compareTo(quantity('{written}')) >= 0 && "
            "quantity(string(self)).compareTo(quantity('64Ti')) <= 0",
            f"must be a quantity from {written} to 64Ti such as 4Gi; "
            "a number without a unit is bytes",
        ),
    )


Memory = Annotated[
    Annotated[int, Field(ge=2**20)] | Annotated[str, Field(max_length=24, pattern=_MEMORY)],
    _amount(2**20, "1Mi"),
]
"""An amount of memory as a Kubernetes quantity: `4Gi` is 4 * 2**30 bytes, `4G` 4 * 10**9."""

VolumeSize = Annotated[
    Annotated[int, Field(ge=2**30)] | Annotated[str, Field(max_length=24, pattern=_MEMORY)],
    _amount(2**30, "1Gi"),
]
"""The size of a volume as a Kubernetes quantity, 1Gi at least."""

Image = Annotated[
    str,
    spelled(
        _IMAGE,
        "must be an image such as registry.example.com/team/vineyardd:v0.24.2: "
        "a lower-case path, with :TAG or @sha256:DIGEST",
        max_length=512,
    ),
]
"""An image reference: REGISTRY/NAME:TAG or with @sha256:DIGEST."""

Cidr = Annotated[
    str,
    Field(
        max_length=49,
        pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$",
        json_schema_extra=rules(
            rule(
                "isCIDR(self) && cidr(self) == cidr(self).masked()",
                "must be a range of addresses such as 10.0.0.0/8, "
                "whose address has no bits beyond the prefix",
            )
        ),
    ),
]
"""A range of IPv4 or IPv6 addresses in CIDR form."""

EtcdEndpoint = Annotated[
    str,
    Field(
        min_length=1,
        max_length=255,
        pattern=_ENDPOINT,
        json_schema_extra=rules(
            rule(
                "!self.startsWith('https://')",
                "vineyardd speaks no TLS: use an http:// client URL of the etcd",
            ),
            rule(
                "!self.contains('@')",
                "vineyardd sends no user and password: use an etcd without authentication",
            ),
            rule(
                "self.startsWith('https://') || self.contains('@') || "
                f"self.matches(r'{_ENDPOINT}')",
                "must be http://HOST:PORT, without a path; an endpoint is one URL of the list",
            ),
        ),
    ),
]
"""A client URL of an etcd: http://HOST:PORT. vineyardd speaks no TLS and sends no password."""

RedisEndpoint = Annotated[
    str,
    Field(
        min_length=1,
        max_length=255,
        pattern=_REDIS,
        json_schema_extra=rules(
            rule(
                "!self.startsWith('rediss://')",
                "vineyardd speaks no TLS: use a redis:// URL",
            ),
            rule(
                "!self.contains('@')",
                "vineyardd sends no user and password: use a redis without authentication",
            ),
            rule(
                f"self.startsWith('rediss://') || self.contains('@') || self.matches(r'{_REDIS}')",
                "must be redis://HOST:PORT, without a database number or path",
            ),
        ),
    ),
]
"""The URL of a redis: redis://HOST:PORT. vineyardd speaks no TLS, sends no password and uses
database 0."""

KeyPrefix = Annotated[
    str,
    Field(
        min_length=4,
        max_length=200,
        pattern=_PREFIX,
        json_schema_extra=rules(
            rule(
                f"self.matches(r'{_PREFIX}')",
                "must have two segments or more, such as /team/pool; "
                "a segment has letters, digits, '.', '_', '-' and does not start with '.'",
            ),
            rule(
                "!(self + '/').startsWith('/kvhelm/')",
                "/kvhelm is kept for prefixes that kvhelm derives: choose another first segment",
            ),
        ),
    ),
]
"""A key prefix of two segments or more, outside /kvhelm."""
