"""What the Kubernetes API answers when it does not do what was asked.

KubeError
├── ConfigError          no usable kubeconfig or service account
├── Unreachable          no answer: refused, reset, timed out                      (transient)
├── BadAnswer            an answer that is no Kubernetes API's: a proxy, a wrong port
└── ApiError             an answer, by its HTTP status
    ├── BadRequest         400
    ├── Unauthorized       401
    ├── Forbidden          403
    ├── NotFound           404
    ├── Conflict           409   (transient, unless field managers disagree)
    │   └── AlreadyExists    409, of a create
    ├── Gone               410   a resourceVersion or continue token too old         (transient)
    ├── Invalid            422
    ├── TooManyRequests    429                                                    (transient)
    └── ServerError        5xx                                                    (transient)
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from kvhelm.errors import KubeError


class ConfigError(KubeError):
    """No kubeconfig or service account can be used; the message names what was looked at."""


class Unreachable(KubeError):
    """The API server did not answer: the connection was refused or broke, or time ran out."""

    transient = True


class BadAnswer(KubeError):
    """What answered does not speak JSON where the Kubernetes API does."""


class ApiError(KubeError):
    """A Status answer of the API server.

    `status` is the HTTP code, `reason` and `message` the server's own words, `details` what else
    it told (kind, name, causes), `retry_after` the seconds that it asked to wait, if it did.
    """

    transient_by_default: ClassVar[bool] = False

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        # Messages of several causes come on several lines; a condition or a log wants one.
        self.message = " ".join(message.split())
        super().__init__(self.message)
        self.status = status
        self.reason = reason
        self.details = details or {}
        self.retry_after = retry_after
        self.transient = self.transient_by_default and not self.has_cause("FieldManagerConflict")

    def has_cause(self, reason: str) -> bool:
        """Tell whether the server gave `reason` (such as `NamespaceTerminating`) as a cause."""
        return any(cause.get("reason") == reason for cause in self.details.get("causes") or ())


class BadRequest(ApiError):
    """400: the server cannot read the request."""


class Unauthorized(ApiError):
    """401: the credentials are missing, expired or unknown."""


class Forbidden(ApiError):
    """403: RBAC, admission or quota says no."""


class NotFound(ApiError):
    """404: no such object, or no such kind of object."""


class Conflict(ApiError):
    """409: the object changed meanwhile, or (terminal) another field manager owns the field."""

    transient_by_default = True


class AlreadyExists(Conflict):
    """409 of a create: an object of that name is there."""

    transient_by_default = False


class Gone(ApiError):
    """410: the resourceVersion or continue token is too old to go on from; list again."""

    transient_by_default = True


class Invalid(ApiError):
    """422: the object breaks its schema or a validation rule; the message names the field."""


class TooManyRequests(ApiError):
    """429: the server asks to wait `retry_after` seconds."""

    transient_by_default = True


class ServerError(ApiError):
    """5xx: the server could not do it now."""

    transient_by_default = True


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


def error_for(status: int, body: object, asked: str, retry_after: float | None = None) -> ApiError:
    """Build the error of an answer.

    `body` is the decoded answer: a Status where the API server itself wrote it, else anything.
    `asked` says what was asked (method and path), for answers that explain nothing.
    """
    told: Mapping[str, Any] = (
        body if isinstance(body, Mapping) and body.get("kind") == "Status" else {}
    )
    details = told.get("details") or {}
    reason = told.get("reason") or ""
    message = told.get("message") or ""
    if not message or message == reason:
        text = body.strip()[:200] if isinstance(body, str) else message
        message = f"{asked}: HTTP {status}" + (f": {text}" if text else "")
    if reason == "AlreadyExists":
        kind: type[ApiError] = AlreadyExists
    else:
        kind = _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
    if retry_after is None and "retryAfterSeconds" in details:
        retry_after = float(details["retryAfterSeconds"])
    return kind(status, reason, message, details, retry_after)
