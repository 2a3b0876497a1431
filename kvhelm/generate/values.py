"""The values of the pool's chart: their defaults, and their JSON schemas."""

from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from ruamel.yaml.comments import CommentedMap

from kvhelm.api import v1alpha1 as api
from kvhelm.generate.schemas import DRAFT, Schema, inlined, plain, rewritten, shared, terse
from kvhelm.values import PoolIdentity


def _properties(change: Callable[[Schema], Schema]) -> Schema:
    schema = rewritten(inlined(api.PoolSpec), change)
    _without(schema, api.PoolSpec, api.CONTROLLER_FIELDS)
    schema["properties"]["pool"] = rewritten(inlined(PoolIdentity), change)
    # helm hands these to every chart with a subchart.
    for given in ("global", "kvcachepool-objects"):
        schema["properties"][given] = {"type": "object"}
    return schema


def _without(schema: Schema, model: type[BaseModel], fields: Mapping[str, Any]) -> None:
    """Take the controller's fields out of a schema."""
    for name, inner in fields.items():
        field = model.model_fields[name]
        if inner is True:
            del schema["properties"][field.alias]
        else:
            _without(schema["properties"][field.alias], _model_of(field.annotation), inner)


def _model_of(annotation: Any) -> type[BaseModel]:
    """Return the model of a field that may be left out."""
    return next(each for each in get_args(annotation) if each is not type(None))  # type: ignore[no-any-return]


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
        if model is api.PoolSpec and api.CONTROLLER_FIELDS.get(name) is True:
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            values[field.alias] = chart_values(field.annotation)
        elif not field.is_required() and field.default is not None:
            values[field.alias] = field.default
    return values
