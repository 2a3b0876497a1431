"""Why a container does not run, in the kubelet's words and its own, and what that means."""

import re
from collections.abc import Iterable, Mapping
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
        message=_telling_part(said.get("message") or ""),
    )


def _telling_part(message: str) -> str:
    """Return the first line that tells of an error and those after it, or else the last line.

    Without what a log puts before its lines: times alone would make each restart news. Without the
    frames of a backtrace.
    """
    lines = [
        line for each in message.splitlines() if (line := each.strip()) and not _FRAME.search(line)
    ]
    first = next((n for n, line in enumerate(lines) if _TELLING.search(line)), len(lines) - 1)
    return " ".join(_GLOG_PREFIX.sub("", line) for line in lines[first:])[:_LIMIT]


@dataclass(frozen=True)
class Cause:
    """What last words mean: a reason word and a sentence with the remedy."""

    reason: Reason
    message: str


def cause_for(words: LastWords) -> Cause:
    """Return what last words mean to a person."""
    about = f"the container {words.container}"
    if words.reason in _NO_IMAGE:
        return Cause(
            Reason.IMAGE_UNAVAILABLE,
            f"the image {words.image} can't be pulled ({words.reason}): {words.message}",
        )
    if words.reason in _NOT_STARTED:
        return Cause(
            Reason.CONTAINER_NOT_STARTED,
            f"{about} can't be started ({words.reason}): {words.message}",
        )
    if words.reason == "OOMKilled":
        remedy = ": raise cache.resources.limits.memory, or lower cache.memory"
        return Cause(
            Reason.OUT_OF_MEMORY,
            f"{about} was killed at its memory limit{remedy if words.container == _DAEMON else ''}",
        )
    if words.container == _DAEMON:
        for sign, reason, remedy in _DAEMONS_WORDS:
            if sign in words.message:
                return Cause(reason, remedy)
    said = (
        f"its last words: {words.message}" if words.message else "kubectl logs --previous has more"
    )
    return Cause(Reason.CRASHING, f"{about} ended with exit code {words.exit_code}; {said}")


_DAEMON = "vineyardd"

# What vineyardd 0.24.2 says, and what it means.
_DAEMONS_WORDS = (
    (
        "unknown command line flag 'redis_endpoint'",
        Reason.BUILT_WITHOUT_REDIS,
        "this image's vineyardd was built without redis: use an image built with "
        "BUILD_VINEYARD_SERVER_REDIS=ON, or an etcd for metadata",
    ),
    (
        # The etcd of its own that the chart keeps it from launching.
        "Failed to launch etcd",
        Reason.ETCD_OUT_OF_REACH,
        "the daemon did not reach its etcd within 5 seconds of its start: check that the pods "
        "reach the endpoints (DNS, NetworkPolicy)",
    ),
)


def first_cause(words: Iterable[tuple[str, LastWords | None]]) -> Cause | None:
    """Return the cause for the first pod, given by name, whose container does not run."""
    for pod, each in words:
        if each:
            cause = cause_for(each)
            return Cause(cause.reason, f"{pod}: {cause.message}.")
    return None
