"""The kinds of field that a pool's spec is made of: bounded strings with Kubernetes' own rules.

Every string and list is bounded: the API server refuses CEL rules over unbounded ones
("estimated rule cost exceeds budget").
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel

QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"
MEMORY_PATTERN = r"^[1-9][0-9]*(\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$"
ENDPOINT_PATTERN = r"^http://([A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}$"
PREFIX_PATTERN = r"^(/[A-Za-z0-9_-][A-Za-z0-9._-]*){2,}$"
LABEL_KEY_PATTERN = (
    r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
)


def rule(cel: str, message: str) -> dict[str, str]:
    """Return one CEL rule of the CRD; the message names the remedy (the API server the field)."""
    return {"rule": cel, "message": message}


def rules(*each: dict[str, str]) -> dict[str, Any]:
    """Return CEL rules in the form that `json_schema_extra` takes."""
    return {"x-kubernetes-validations": list(each)}


class Part(BaseModel):
    """A part of the object: camelCase outside, unknown fields refused, never changed in place."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )


def _int_or_string(pattern: str) -> Any:
    return WithJsonSchema(
        {
            "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "maxLength": 24,
            "pattern": pattern,
        }
    )


LabelValue = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
    ),
]
"""A label's value: 63 characters at most."""

LabelKey = Annotated[
    str, StringConstraints(min_length=1, max_length=253, pattern=LABEL_KEY_PATTERN)
]
"""A label's key, with or without a DNS prefix."""

DnsName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"),
]
"""The name of an object (RFC 1123 subdomain)."""

Text = Annotated[str, StringConstraints(max_length=1024)]
"""Free text of 1,024 characters at most."""

Quantity = Annotated[
    Annotated[int, Field(ge=0)] | Annotated[str, Field(max_length=24, pattern=QUANTITY_PATTERN)],
    _int_or_string(QUANTITY_PATTERN),
]
"""A Kubernetes quantity such as `500m`, `2`, `4Gi`."""

Memory = Annotated[
    Annotated[int, Field(ge=1)] | Annotated[str, Field(max_length=24, pattern=MEMORY_PATTERN)],
    _int_or_string(MEMORY_PATTERN),
]
"""An amount of memory as a Kubernetes quantity: `4Gi` is 4 * 2**30 bytes, `4G` 4 * 10**9."""

Image = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=512,
        pattern=r"^[a-z0-9][A-Za-z0-9._/-]*(:[0-9]+/[A-Za-z0-9._/-]+)?"
        r"(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?$",
    ),
]
"""An image reference: REGISTRY/NAME:TAG or with @sha256:DIGEST."""

EtcdEndpoint = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255, pattern=ENDPOINT_PATTERN),
    Field(
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
                f"self.matches(r'{ENDPOINT_PATTERN}')",
                "must be http://HOST:PORT, without a path",
            ),
        )
    ),
]
"""A client URL of an etcd: http://HOST:PORT. vineyardd speaks no TLS and sends no password."""

KeyPrefix = Annotated[
    str,
    StringConstraints(min_length=4, max_length=200, pattern=PREFIX_PATTERN),
    Field(
        json_schema_extra=rules(
            rule(
                f"self.matches(r'{PREFIX_PATTERN}')",
                "must have two segments or more, such as /team/pool; "
                "a segment has letters, digits, '.', '_', '-' and does not start with '.'",
            ),
            rule(
                "!(self + '/').startsWith('/kvhelm/')",
                "/kvhelm is kept for prefixes that kvhelm derives: choose another first segment",
            ),
        )
    ),
]
"""A key prefix of two segments or more, outside /kvhelm."""
