"""A few requests to the local API server as its administrator: readiness, version, nodes."""

import http.client
import json
import ssl
from typing import Any

from kvhelm.errors import LocalError
from kvhelm.local.certificates import Certificates
from kvhelm.local.parts import HOST

# Seconds for one answer.
_TIMEOUT = 10.0


class Api:
    """The HTTPS endpoints of one cluster's parts, seen with the administrator's certificate."""

    def __init__(self, certificates: Certificates, port: int) -> None:
        """Speak to the part that listens at `port`; nothing is sent yet."""
        self._port = port
        self._context = ssl.create_default_context(cafile=str(certificates.certificate("ca")))
        self._context.load_cert_chain(certificates.certificate("admin"), certificates.key("admin"))

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Send one request; return status and body. Raises OSError when nobody answers."""
        connection = http.client.HTTPSConnection(
            HOST, self._port, timeout=_TIMEOUT, context=self._context
        )
        try:
            content = None if body is None else json.dumps(body)
            headers = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def healthy(self, path: str) -> bool:
        """Tell whether a health endpoint answers 200."""
        try:
            return self.request("GET", path)[0] == http.HTTPStatus.OK
        except OSError:
            return False

    def get(self, path: str) -> Any:
        """Return the object or list at `path`, None if there is none."""
        return self._object("GET", path, None, missing=http.HTTPStatus.NOT_FOUND)

    def create(self, path: str, body: Any) -> bool:
        """Create an object; tell whether it was new. Raises LocalError in the server's words."""
        return self._object("POST", path, body, missing=http.HTTPStatus.CONFLICT) is not None

    def _object(self, method: str, path: str, body: Any, missing: http.HTTPStatus) -> Any:
        try:
            status, content = self.request(method, path, body)
        except OSError as error:
            raise LocalError(f"the local API server does not answer: {error}") from error
        if status == missing:
            return None
        answer = json.loads(content)
        if status >= http.HTTPStatus.BAD_REQUEST:
            raise LocalError(f"the local API server refused: {answer.get('message', status)}")
        return answer
