"""Where the API server is and who we are to it.

The official package reads kubeconfigs and service accounts and knows their ways to authenticate:
client certificates, tokens, token files, exec plugins. It reads them once; this reads them again,
because a service account's token is replaced while we run.
"""

import os
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config
from kubernetes.aio.config.incluster_config import SERVICE_HOST_ENV_NAME, SERVICE_TOKEN_FILENAME

from kvhelm.kube.errors import ConfigError

_Load = Callable[[Configuration], Awaitable[None]]


class Config:
    """One API server and one identity; `reload` reads again what may have been replaced."""

    def __init__(self, configuration: Configuration, load: _Load) -> None:
        self._configuration = configuration
        self._load = load

    @property
    def host(self) -> str:
        """URL of the API server, without a slash at its end."""
        return str(self._configuration.host).rstrip("/")

    @property
    def authorization(self) -> str | None:
        """The Authorization header, if this identity has one (client certificates have none)."""
        token = self._configuration.api_key.get("BearerToken")
        return token.strip() if token else None

    @property
    def server_name(self) -> str | None:
        """The name to expect in the server's certificate, where it is not the host's."""
        name = self._configuration.tls_server_name
        return str(name) if name else None

    @property
    def proxy(self) -> str | None:
        """URL of the proxy, from the kubeconfig or else from HTTPS_PROXY and NO_PROXY."""
        if self._configuration.proxy:
            return str(self._configuration.proxy)
        url = urlsplit(self.host)
        if not url.hostname or proxy_bypass(url.hostname):
            return None
        return getproxies().get(url.scheme)

    def tls_files(self) -> tuple[bytes, ...]:
        """Return what the TLS context is made of, so that a replacement can be noticed."""
        c = self._configuration
        return tuple(Path(f).read_bytes() for f in (c.ssl_ca_cert, c.cert_file, c.key_file) if f)

    def ssl_context(self) -> ssl.SSLContext:
        """Build the TLS context: the cluster's authority and our client certificate, if any."""
        c = self._configuration
        context = ssl.create_default_context(cafile=c.ssl_ca_cert)
        # Python 3.13 demands extensions that the authorities of many clusters lack; kubectl
        # does not.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if c.cert_file:
            context.load_cert_chain(c.cert_file, c.key_file)
        if not c.verify_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    async def reload(self) -> None:
        """Read tokens and certificates again. Raises ConfigError."""
        try:
            await self._load(self._configuration)
        except Exception as e:  # of any type: the loader lets its parsers' errors through
            raise ConfigError(f"cannot use the Kubernetes configuration: {e}") from e


async def load_config(kubeconfig: Path | None = None, context: str | None = None) -> Config:
    """Find the configuration by kubectl's rules, and read it.

    The kubeconfig given; else KUBECONFIG; else the pod's service account; else ~/.kube/config.
    Raises ConfigError.
    """
    if not kubeconfig and not context and _runs_in_pod():
        config = Config(Configuration(), _load_service_account)
    else:
        config = Config(Configuration(), _kubeconfig_loader(_kubeconfig_paths(kubeconfig), context))
    await config.reload()
    return config


def _runs_in_pod() -> bool:
    return (
        "KUBECONFIG" not in os.environ
        and SERVICE_HOST_ENV_NAME in os.environ
        and Path(SERVICE_TOKEN_FILENAME).exists()
    )


def _kubeconfig_paths(kubeconfig: Path | None) -> str:
    paths = str(kubeconfig or os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    if not any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path):
        raise ConfigError(f"no kubeconfig at {paths} (set KUBECONFIG, or run inside a cluster)")
    return paths


async def _load_service_account(configuration: Configuration) -> None:
    load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]


def _kubeconfig_loader(paths: str, context: str | None) -> _Load:
    loader = None

    async def load(configuration: Configuration) -> None:
        # The loader is kept: it knows until when an exec plugin's token is good.
        nonlocal loader
        if loader is None:
            loader = await load_kube_config(  # type: ignore[no-untyped-call]
                config_file=paths,
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
        else:
            await loader.load_and_set(configuration)

    return load
