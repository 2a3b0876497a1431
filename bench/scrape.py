"""One look at the metrics of a process, as Prometheus would see them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


@dataclass(frozen=True)
class Scrape:
    """What /metrics answered."""

    text: str = ""

    @cached_property
    def _samples(self) -> tuple[Sample, ...]:
        families = text_string_to_metric_families(self.text)
        return tuple(sample for family in families for sample in family.samples)

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over all samples with these labels; 0 if there are none."""
        return sum(sample.value for sample in self._named(name, labels))

    def counts(self, name: str, *labels: str) -> dict[str, int]:
        """Return a metric by the values of some of its labels, joined by a space."""
        counts: dict[str, int] = {}
        for sample in self._named(name, {}):
            key = " ".join(sample.labels[label] for label in labels)
            counts[key] = counts.get(key, 0) + int(sample.value)
        return counts

    def _named(self, name: str, labels: dict[str, str]) -> Iterator[Sample]:
        for sample in self._samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                yield sample


def difference(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Return by how much counts grew, most first; what did not grow is left out."""
    grown = {key: count - before.get(key, 0) for key, count in after.items()}
    return dict(sorted(((k, n) for k, n in grown.items() if n), key=lambda item: -item[1]))
