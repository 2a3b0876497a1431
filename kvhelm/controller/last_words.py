"""Why a container does not run, in the kubelet's words and its own, and what that means."""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kvhelm.api.conditions import Reason

_LIMIT = 300
"""Characters of what a container or the kubelet said that a message carries."""

_NO_IMAGE = frozenset(
    {
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_NOT_STARTED = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)

# I20261122 21:09:27.204106  1647 vineyardd.cc:104] Hello
_GLOG_PREFIX = re.compile(r"^[IWEF]\d{4,8} [\d:.]+ +\d+ [^\]]*\] ")
_FRAME = re.compile(r" \+ 0x[0-9A-Fa-f]+$")
_TELLING = re.compile(r"^[EF]\d{4,8} |\berror\b|\bfatal\b", re.IGNORECASE)


@dataclass(frozen=True)
class LastWords:
    """What is known of a container that does not run."""

    container: str
    image: str
    reason: str
    """The kubelet's word, such as ImagePullBackOff, OOMKilled or Error."""
    exit_code: int | None
    """None if it never ran."""
    message: str
    """The kubelet's sentence, or the end of the log of a container that ended."""


def last_words_from(pod: Mapping[str, Any]) -> LastWords | None:
    """Return the last words of the first container that does not run; None if all is well."""
    if "deletionTimestamp" in pod["metadata"]:
        return None  # containers end then, and may
    status = pod.get("status") or {}
    containers = [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]
    return next((words for each in containers if (words := _words_of(each))), None)


def _words_of(status: Mapping[str, Any]) -> LastWords | None:
    if status.get("ready") or status.get("started"):
        return None
    state = status.get("state") or {}
    waiting = state.get("waiting") or {}
    last = (status.get("lastState") or {}).get("terminated")
    ended = state.get("terminated") or last
    if waiting.get("reason") in _NO_IMAGE | _NOT_STARTED:
        said, exit_code = waiting, None
    elif ended:
        said, exit_code = ended, int(ended.get("exitCode", 0))
    else:
        return None
    return LastWords(
        container=status["name"],
        image=status.get("image", ""),
        reason=said.get("reason", ""),
        exit_code=exit_code,
        message=said.get("message") or "",
    )


@dataclass(frozen=True)
class Cause:
    """What last words mean: a reason word and a sentence with the remedy."""

    reason: Reason
    message: str


_DAEMON = "vineyardd"

# By container, what it says and what that means. Of vineyardd 0.24.2 and etcd 3.4 to 3.7.
_SIGNS = (
    (
        _DAEMON,
        "unknown command line flag 'redis_endpoint'",
        Reason.BUILT_WITHOUT_REDIS,
        "this image's vineyardd was built without redis: use an image built with "
        "BUILD_VINEYARD_SERVER_REDIS=ON, or an etcd for metadata",
    ),
    (
        _DAEMON,
        # The etcd of its own that the chart keeps it from launching.
        "Failed to launch etcd",
        Reason.ETCD_OUT_OF_REACH,
        "the daemon did not reach its etcd within 5 seconds of its start: check that the pods "
        "reach the endpoints (DNS, NetworkPolicy)",
    ),
    (
        "etcd",
        "has already been bootstrapped",
        Reason.ETCD_MEMBER_LOST,
        "this member came back without its data, so the others refuse it: they go on without it "
        'until its etcd is made anew (see "An etcd of the pool\'s own" in docs/metadata.md)',
    ),
)


def cause_for(words: LastWords) -> Cause:
    """Return what last words mean to a person."""
    about, said = f"the container {words.container}", _telling_part(words.message)
    if words.reason in _NO_IMAGE:
        return Cause(
            Reason.IMAGE_UNAVAILABLE,
            f"the image {words.image} can't be pulled ({words.reason}): {said}",
        )
    if words.reason in _NOT_STARTED:
        return Cause(
            Reason.CONTAINER_NOT_STARTED, f"{about} can't be started ({words.reason}): {said}"
        )
    if words.reason == "OOMKilled":
        remedy = ": raise cache.resources.limits.memory, or lower cache.memory"
        return Cause(
            Reason.OUT_OF_MEMORY,
            f"{about} was killed at its memory limit{remedy if words.container == _DAEMON else ''}",
        )
    for container, sign, reason, remedy in _SIGNS:
        if words.container == container and sign in words.message:
            return Cause(reason, remedy)
    more = f"its last words: {said}" if said else "kubectl logs --previous has more"
    return Cause(Reason.CRASHING, f"{about} ended with exit code {words.exit_code}; {more}")


def first_cause(words: Iterable[tuple[str, LastWords | None]]) -> Cause | None:
    """Return the cause for the first pod, given by name, whose container does not run."""
    for pod, each in words:
        if each:
            cause = cause_for(each)
            return Cause(cause.reason, f"{pod}: {cause.message}.")
    return None


def _telling_part(message: str) -> str:
    """Return the first line that tells of an error and those after it, or else the last line.

    Without what a log puts before its lines: times alone would make each restart news. Without the
    frames of a backtrace.
    """
    lines = [
        line for each in message.splitlines() if (line := each.strip()) and not _FRAME.search(line)
    ]
    first = next((n for n, line in enumerate(lines) if _TELLING.search(line)), len(lines) - 1)
    return " ".join(map(_plain, lines[first:]))[:_LIMIT]


def _plain(line: str) -> str:
    """Return what a line of a log says, without when and where."""
    if line.startswith("{"):
        with suppress(ValueError):
            said = json.loads(line)
            return ": ".join(str(said[key]) for key in ("msg", "error") if key in said)
    return _GLOG_PREFIX.sub("", line)
