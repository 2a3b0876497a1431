"""What a message may not say."""

from collections.abc import Iterable

from kvhelm.metadata.findings import Finding


def no_answer_leaks(findings: Iterable[Finding], answered: str) -> None:
    """Check that no message carries what an endpoint answered."""
    for each in findings:
        assert answered not in each.message
