"""What helm prints, told apart (tests/cluster/test_helm_errors.py has the real helm print it)."""

import pytest

from kvhelm.api.conditions import Reason
from kvhelm.helm.errors import classify

IN_THE_WAY = (
    'Release "p" does not exist. Installing it now.\n'
    'Error: unable to continue with install: Service "p-rpc" in namespace "ns" exists and cannot '
    "be imported into the current release: invalid ownership metadata; label validation error: "
    'missing key "app.kubernetes.io/managed-by": must be set to "Helm"\n'
)


def test_an_object_in_the_way_is_named_with_its_remedy() -> None:
    error = classify(IN_THE_WAY)
    assert (error.reason, error.transient) == (Reason.OBJECT_IN_THE_WAY, False)
    assert error.in_the_way == "Service/p-rpc"
    assert str(error) == (
        "Service/p-rpc in namespace ns belongs to someone else: "
        "delete it, or give the pool another name"
    )


@pytest.mark.parametrize(
    ("printed", "message"),
    [
        ("Error: UPGRADE FAILED: no luck", "no luck"),
        ('level=WARN msg="upgrade failed"\nError: one\n  two\n', "one two"),
        ("something else\n", "something else"),
        ("", "helm said nothing"),
    ],
)
def test_one_line_for_a_person(printed: str, message: str) -> None:
    assert str(classify(printed)) == message


@pytest.mark.parametrize(
    ("printed", "reason", "transient"),
    [
        # The cause that is named first in a text is not always the cause.
        (
            "Internal error occurred: failed calling webhook: connect: connection refused",
            Reason.OBJECT_REFUSED,
            True,
        ),
        (
            'secrets "s" is forbidden: unable to create new content in namespace ns because it is '
            "being terminated",
            Reason.DELETING,
            False,
        ),
        ('services "s" is forbidden: exceeded quota: q', Reason.QUOTA_EXCEEDED, True),
        ('secrets is forbidden: User "u" cannot list resource', Reason.FORBIDDEN, True),
        ('services "s" is forbidden: a policy denied request: no', Reason.OBJECT_REFUSED, False),
        (
            'StatefulSet.apps "s" is invalid: spec.serviceName: Invalid value: "x": field is '
            "immutable",
            Reason.IMMUTABLE_FIELD,
            False,
        ),
        ("etcdserver: request timed out", Reason.API_UNAVAILABLE, True),
        ("words that no helm has said yet", Reason.HELM_UNUSABLE, True),
    ],
)
def test_causes_that_look_alike(printed: str, reason: Reason, transient: bool) -> None:
    error = classify(f"Error: {printed}\n")
    assert (error.reason, error.transient) == (reason, transient)
