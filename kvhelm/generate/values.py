"""The values of the pool's chart: their defaults, and their JSON schemas."""

from collections.abc import Callable

from pydantic import BaseModel
from ruamel.yaml.comments import CommentedMap

from kvhelm.api import v1alpha1 as api
from kvhelm.generate.schemas import DRAFT, Schema, inlined, plain, rewritten, shared, terse
from kvhelm.values import PoolIdentity


def _properties(change: Callable[[Schema], Schema]) -> Schema:
    schema = rewritten(inlined(api.PoolSpec), change)
    for field in api.CONTROLLER_FIELDS:
        del schema["properties"][api.PoolSpec.model_fields[field].alias]
    schema["properties"]["pool"] = rewritten(inlined(PoolIdentity), change)
    # helm hands these to every chart with a subchart.
    for given in ("global", "kvcachepool-objects"):
        schema["properties"][given] = {"type": "object"}
    return schema


def values_schema() -> Schema:
    """Return the chart's values.schema.json: terse, since every revision's Secret holds it."""
    return {"$schema": DRAFT, **shared(_properties(terse))}


def described_values_schema() -> Schema:
    """Return the schema of the chart's values with descriptions, for editors."""
    title = "Values of the kvcachepool chart"
    return {"$schema": DRAFT, "title": title, **_properties(plain)}


def chart_values(model: type[BaseModel] = api.PoolSpec) -> CommentedMap:
    """Return the chart's values.yaml: the defaults of the models."""
    values = CommentedMap()
    for name, field in model.model_fields.items():
        if model is api.PoolSpec and name in api.CONTROLLER_FIELDS:
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            values[field.alias] = chart_values(field.annotation)
        elif not field.is_required() and field.default is not None:
            values[field.alias] = field.default
    return values
