"""How long to wait before trying again."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays in seconds that double from `base` to `cap`.

    Each is cut at random by up to half, so that those who failed together do not return together.
    """

    base: float
    cap: float

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after `failures` failures in a row (1 or more)."""
        # The exponent is bounded: 2**2000 is no float.
        longest = min(self.cap, self.base * 2.0 ** min(failures - 1, 60))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
