"""Why helm failed: one table from what helm 4 prints to a condition reason and its retry.

helm tells causes apart in its text alone (exit code 1 for all of them), so the patterns below are
facts of helm 4.3, each seen on a real API server; tests/cluster/test_helm_errors.py provokes them.
"""

import re
from dataclasses import dataclass

from kvhelm.api.conditions import Reason
from kvhelm.errors import HelmError


@dataclass(frozen=True)
class Cause:
    """One cause of failure: how helm words it, its reason, and whether waiting can mend it."""

    pattern: re.Pattern[str]
    reason: Reason
    transient: bool


def _cause(pattern: str, reason: Reason, *, transient: bool = False) -> Cause:
    return Cause(re.compile(pattern, re.IGNORECASE | re.DOTALL), reason, transient)


CAUSES = (
    # A webhook that is down is told in the words of an API server that is down.
    _cause(r"failed calling webhook", Reason.OBJECT_REFUSED, transient=True),
    # Who can't reach the API server can't judge anything else: first.
    _cause(
        r"kubernetes cluster unreachable|connection refused|connection reset|i/o timeout|"
        r"no such host|TLS handshake timeout|unexpected EOF|: EOF$|the server is currently unable|"
        r"etcdserver:|apiserver not ready|http2: |context deadline exceeded|"
        r"the server was unable to return a response",
        Reason.API_UNAVAILABLE,
        transient=True,
    ),
    _cause(r"context canceled|signal: ", Reason.DEADLINE_EXCEEDED, transient=True),
    _cause(
        r"another operation \(install/upgrade/rollback\) is in progress",
        Reason.RELEASE_LOCKED,
        transient=True,
    ),
    _cause(
        r"values don't meet the specifications of the schema|values\.schema",
        Reason.VALUES_REFUSED,
    ),
    _cause(
        r"exists and cannot be imported into the current release|invalid ownership metadata",
        Reason.OBJECT_IN_THE_WAY,
    ),
    _cause(r"exceeded quota", Reason.QUOTA_EXCEEDED, transient=True),
    _cause(
        r"field is immutable|updates to statefulset spec for fields other than",
        Reason.IMMUTABLE_FIELD,
    ),
    # A namespace on its way out refuses with Forbidden as well, and takes the pool with it.
    _cause(r"because it is being terminated|namespaces \"[^\"]*\" not found", Reason.DELETING),
    _cause(r"is forbidden: User ", Reason.FORBIDDEN, transient=True),
    _cause(r"conflicts? with \"|Apply failed with \d+ conflict", Reason.FIELD_CONFLICT),
    _cause(
        r"unable to detect chart|chart requires kubeVersion|validation: chart\.metadata",
        Reason.CHART_UNUSABLE,
        transient=True,
    ),
    _cause(
        r"execution error at|parse error at|executing \"|YAML parse error|no matches for kind",
        Reason.RENDER_FAILED,
    ),
    _cause(
        r"is invalid:|is forbidden:|failed to create typed patch|admission webhook .* denied",
        Reason.OBJECT_REFUSED,
    ),
)

_IN_THE_WAY = re.compile(
    r"(?P<kind>[A-Z][A-Za-z]+) \"(?P<name>[^\"]+)\" in namespace \"(?P<namespace>[^\"]*)\" exists"
)


class HelmFailed(HelmError):
    """A helm process that did not do what it was asked.

    `reason` is the condition's reason, `transient` whether the same again can succeed, `in_the_way`
    the foreign object (KIND/NAME) if that is the cause.
    """

    def __init__(
        self, message: str, reason: Reason, *, transient: bool, in_the_way: str | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.transient = transient
        self.in_the_way = in_the_way


def one_line(stderr: str) -> str:
    """Return what a person needs of helm's output: no prefix, no level lines, one line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    start = next((i for i, line in enumerate(lines) if line.startswith("Error:")), 0)
    text = " ".join(lines[start:]).removeprefix("Error:").strip()
    return text.removeprefix("UPGRADE FAILED:").strip()[:1500] or "helm said nothing"


def classify(stderr: str) -> HelmFailed:
    """Return the failure that helm's standard error tells of."""
    text = one_line(stderr)
    for cause in CAUSES:
        if cause.pattern.search(text):
            in_the_way = None
            if found := _IN_THE_WAY.search(text):
                in_the_way = f"{found['kind']}/{found['name']}"
                text = (
                    f"{in_the_way} in namespace {found['namespace']} belongs to someone else: "
                    "delete it, or give the pool another name"
                )
            return HelmFailed(text, cause.reason, transient=cause.transient, in_the_way=in_the_way)
    return HelmFailed(text, Reason.HELM_UNUSABLE, transient=True)
