"""Where the files that travel with kvhelm are: chart, operator chart, schemas, examples.

`kvhelm/_assets` holds links to the top-level folders that people edit; a wheel holds the files.
"""

from pathlib import Path

_ASSETS = Path(__file__).resolve().parent / "_assets"


def chart_dir() -> Path:
    """Return the folder of the pool's chart."""
    return (_ASSETS / "chart").resolve()


def deploy_dir() -> Path:
    """Return the folder of the operator's own chart."""
    return (_ASSETS / "deploy").resolve()


def schemas_dir() -> Path:
    """Return the folder of the generated schemas (CRD and JSON schemas)."""
    return (_ASSETS / "schemas").resolve()


def examples_dir() -> Path:
    """Return the folder of example pools; `sample.yaml` is the one of the demo."""
    return (_ASSETS / "examples").resolve()
