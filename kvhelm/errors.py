"""The tree of everything that kvhelm raises on purpose.

KvhelmError
├── SpecError       a pool's spec that kvhelm can't use
├── HelmError       helm failed, is missing or too old (kvhelm.helm.errors has its causes)
├── MetadataError   the metadata service can't be used
├── KubeError       the API server refused, or can't be reached (kvhelm.kube.errors)
└── LocalError      a part of the local control plane can't be built, started or stopped
"""


class KvhelmError(Exception):
    """An error whose text is one clear line for a person: what is wrong, and what mends it.

    `transient` tells whether trying again later, with nothing changed, can help.
    """

    transient = False


class SpecError(KvhelmError):
    """A pool's spec can't be used; the message names the field."""


class HelmError(KvhelmError):
    """A helm process failed, or helm itself can't be used."""


class MetadataError(KvhelmError):
    """The metadata service of a pool can't be used."""


class KubeError(KvhelmError):
    """The Kubernetes API refused a request, or can't be reached."""


class LocalError(KvhelmError):
    """The local control plane can't do what was asked; the message holds the log's tail."""
