"""A raw client of the Kubernetes API: dictionaries in, dictionaries out, no models.

Decoding an answer is one `json.loads`; typed models cost thirteen times that.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from kvhelm.kube.config import Config, load_config
from kvhelm.kube.errors import BadAnswer, Gone
from kvhelm.kube.resource import Object, Resource
from kvhelm.kube.transport import JSON, Query, Transport

_MERGE_PATCH = "application/merge-patch+json"
_JSON_PATCH = "application/json-patch+json"
_APPLY_PATCH = "application/apply-patch+yaml"  # JSON is YAML
_METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
_METHODS = {
    "get": "GET",
    "list": "GET",
    "create": "POST",
    "patch": "PATCH",
    "apply": "PATCH",
    "delete": "DELETE",
}
_PAGE = 500  # objects, as kubectl and client-go

Operations = list[Object]
"""The operations of a JSON patch."""


class ObjectList(NamedTuple):
    """All objects of a list, and the resourceVersion to watch from."""

    items: list[Object]
    resource_version: str


class Client:
    """One API server, one identity, one pool of connections.

    Every method raises a subclass of KubeError (see kvhelm.kube.errors). Timeouts are in seconds
    and bound the whole call, its repetitions included. A call is repeated, twice at most, when
    the server asks for it (429, or 5xx with Retry-After), or when the connection breaks and doing
    it twice does no harm; whoever deletes must expect NotFound.

    `**query` takes the API's own query parameters: `labelSelector="a=b"`, `dryRun="All"`,
    `fieldManager="kvhelm"`, `fieldValidation="Strict"`.
    """

    def __init__(self, config: Config) -> None:
        """Use `connect`, unless the configuration was loaded by other means."""
        self._transport = Transport(config)

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None, context: str | None = None) -> Self:
        """Read the configuration by kubectl's rules; nothing is sent yet. Raises ConfigError."""
        return cls(await load_config(kubeconfig, context))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; watches still open end with Unreachable."""
        await self._transport.close()

    @property
    def host(self) -> str:
        """URL of the API server."""
        return self._transport.host

    @property
    def requests(self) -> Counter[tuple[str, str]]:
        """HTTP requests sent, by verb and resource, such as `("patch", "pods/status")`.

        Verbs are get, list, watch, create, patch, apply and delete.
        """
        return self._transport.requests

    async def get(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        metadata_only: bool = False,
        subresource: str = "",
        timeout: float = 30.0,
    ) -> Object:
        """Read one object."""
        return await self._call(
            "get",
            resource,
            namespace,
            name,
            subresource,
            accept=_METADATA if metadata_only else JSON,
            timeout=timeout,
        )

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        metadata_only: bool = False,
        timeout: float = 30.0,
        **query: str,
    ) -> ObjectList:
        """Read all objects of a namespace, or of all, page by page; the timeout is a page's.

        Items carry neither `kind` nor `apiVersion`: the API leaves them out of lists.
        """
        items: list[Object] = []
        asked: dict[str, str | int] = {**query, "limit": _PAGE}
        while True:
            try:
                page = await self._call(
                    "list",
                    resource,
                    namespace,
                    accept=_METADATA_LIST if metadata_only else JSON,
                    query=asked,
                    timeout=timeout,
                )
            except Gone:
                if "continue" not in asked:
                    raise
                # The pages outlived the server's history: once more, in one piece.
                items, asked = [], {**query}
                continue
            items += page.get("items") or ()
            token = page["metadata"].get("continue")
            if not token:
                return ObjectList(items, page["metadata"].get("resourceVersion", ""))
            asked["continue"] = token

    async def create(
        self,
        resource: Resource,
        obj: Object,
        namespace: str | None = None,
        *,
        timeout: float = 30.0,
        **query: str,
    ) -> Object:
        """Create an object, by default in the namespace that it names."""
        namespace = namespace or obj["metadata"].get("namespace")
        if resource.namespaced and not namespace:
            raise ValueError(f"{resource.kind} needs a namespace")
        return await self._call(
            "create", resource, namespace, body=obj, query=query, timeout=timeout, repeatable=False
        )

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: Object | Operations,
        namespace: str | None = None,
        *,
        subresource: str = "",
        metadata_only: bool = False,
        timeout: float = 30.0,
        **query: str,
    ) -> Object:
        """Patch an object: a dictionary is a merge patch, a list of operations a JSON patch.

        With `metadata_only` the answer is the object's metadata alone.

        With `metadata.resourceVersion` in a merge patch, the server answers Conflict if the
        object is no longer of that version.
        """
        operations = isinstance(body, list)
        return await self._call(
            "patch",
            resource,
            namespace,
            name,
            subresource,
            body=body,
            content_type=_JSON_PATCH if operations else _MERGE_PATCH,
            accept=_METADATA if metadata_only else JSON,
            query=query,
            timeout=timeout,
            repeatable=not operations,
        )

    async def patch_status(
        self,
        resource: Resource,
        name: str,
        status: Object,
        namespace: str | None = None,
        *,
        timeout: float = 30.0,
        **query: str,
    ) -> Object:
        """Merge `status` into the object's status, and leave the rest of the object alone."""
        body = {"status": status}
        return await self.patch(
            resource,
            name,
            body,
            namespace,
            subresource="status",
            metadata_only=False,
            timeout=timeout,
            **query,
        )

    async def apply(
        self,
        resource: Resource,
        obj: Object,
        namespace: str | None = None,
        *,
        field_manager: str,
        force: bool = False,
        subresource: str = "",
        timeout: float = 30.0,
        **query: str,
    ) -> Object:
        """Apply an object server-side; `force` takes fields over from other managers.

        `apiVersion` and `kind` are filled in. Raises Conflict (terminal) when another manager
        owns a field and `force` is not given.
        """
        metadata = obj["metadata"]
        return await self._call(
            "apply",
            resource,
            namespace or metadata.get("namespace"),
            metadata["name"],
            subresource,
            body={"apiVersion": resource.api_version, "kind": resource.kind, **obj},
            content_type=_APPLY_PATCH,
            query={**query, "fieldManager": field_manager, "force": force},
            timeout=timeout,
        )

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str | None = None,
        grace_period: int | None = None,
        timeout: float = 30.0,
    ) -> Object:
        """Delete one object; with `uid` or `resource_version`, only if it is still that one.

        `propagation` is Background, Foreground or Orphan; `grace_period` is in seconds. Raises
        Conflict when the object is another by now.
        """
        options: Object = {}
        if uid or resource_version:
            wanted = {"uid": uid, "resourceVersion": resource_version}
            options["preconditions"] = {k: v for k, v in wanted.items() if v}
        if propagation:
            options["propagationPolicy"] = propagation
        if grace_period is not None:
            options["gracePeriodSeconds"] = grace_period
        return await self._call(
            "delete", resource, namespace, name, body=options or None, timeout=timeout
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: object = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout: float = 30.0,
    ) -> Any:
        """Send any request, such as GET /readyz; returns decoded JSON, or text that is none.

        Counted as resource `other`.
        """
        return await self._transport.send(
            method,
            path,
            query,
            count=(method.lower(), "other"),
            body=body,
            content_type=content_type,
            accept=accept,
            timeout=timeout,
            repeatable=method in ("GET", "PUT", "DELETE"),
        )

    def stream_watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        metadata_only: bool = False,
        timeout: float,
        silence: float,
        **query: str,
    ) -> AbstractAsyncContextManager[AsyncIterator[Object]]:
        """Open one watch; within the context, iterate over its events as they come.

        The server is asked to end the watch after `timeout` seconds, and is taken for dead after
        `silence` seconds without a byte (then Unreachable is raised). Bookmarks are asked for and
        yielded. Entering raises what the server answered; an ERROR event is raised as the error
        that it holds, Gone for a resourceVersion that is too old.
        """
        asked: dict[str, str | int | bool] = {
            "watch": True,
            "allowWatchBookmarks": True,
            "timeoutSeconds": int(timeout),
            **query,
        }
        return self._transport.stream(
            resource.path(namespace),
            asked,
            count=("watch", resource.plural),
            accept=_METADATA if metadata_only else JSON,
            timeout=timeout + silence,
            silence=silence,
        )

    async def _call(
        self,
        verb: str,
        resource: Resource,
        namespace: str | None,
        name: str = "",
        subresource: str = "",
        *,
        body: object = None,
        content_type: str = JSON,
        accept: str = JSON,
        query: Query | None = None,
        timeout: float,
        repeatable: bool = True,
    ) -> Object:
        path = resource.path(namespace, name, subresource)
        answer = await self._transport.send(
            _METHODS[verb],
            path,
            query,
            count=(verb, f"{resource.plural}/{subresource}" if subresource else resource.plural),
            body=body,
            content_type=content_type,
            accept=accept,
            timeout=timeout,
            repeatable=repeatable,
        )
        if not isinstance(answer, dict):
            raise BadAnswer(f"{self.host}{path} answered no JSON object: is it a Kubernetes API?")
        return answer
