"""The code blocks of a Markdown file. A word behind the language says what a test does with them.

`run` and other words name a step of tests/docs/test_readme.py, `norun` is for what no test can run.
GitHub shows neither.
"""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "chart/*.md", "deploy/*.md", "examples/*.md", "bench/*.md")
    for path in ROOT.glob(pattern)
)


class Block(NamedTuple):
    """One fenced block."""

    language: str
    purpose: str
    text: str


def blocks_of(path: Path) -> list[Block]:
    """Return the fenced blocks of a file, in order."""
    found = re.findall(r"^```(\w*) *(.*)\n((?:.*\n)*?)^```$", path.read_text(), re.MULTILINE)
    return [Block(*each) for each in found]
