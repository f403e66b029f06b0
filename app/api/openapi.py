"""The API's description as OpenAPI 3.1, made from the table of operations and the types of their answers."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from app.api.answers import ErrorAnswer
from app.api.operations import Operation, Parameter

_SCHEMAS = "#/components/schemas/{model}"

Json = dict[str, Any]

_AS_ANSWERED: JsonSchemaMode = "serialization"
_AS_SENT: JsonSchemaMode = "validation"


def describe(operations: Sequence[Operation]) -> Json:
    """Return the OpenAPI document of ``operations``."""
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "credit-granter storefront API",
            "version": version("credit-granter"),
            "description": "Tells a storefront what became of an order's credits.",
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(operations),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _describe(operation: Operation) -> Json:
    return {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [_parameter(one) for one in operation.parameters],
        **({"requestBody": {"required": True, **_content(operation.body)}} if operation.body else {}),
        "responses": dict(_answers(operation)),
    }


def _parameter(one: Parameter) -> Json:
    return {
        "name": one.name,
        "in": one.place,
        "required": one.place == "path",
        "schema": dict(one.schema),
        "description": one.description,
        "example": one.example,
    }


def _answers(operation: Operation) -> Iterator[tuple[str, Json]]:
    for model in operation.answers:
        yield str(model.http_status), {"description": model.__doc__ or "", **_content(model)}
    for error in operation.errors:
        described = {"description": error.__doc__ or "", **_content(ErrorAnswer)}
        yield str(error.status), described | _headers(error.headers)


def _content(model: type[BaseModel]) -> Json:
    schema = {"$ref": _SCHEMAS.format(model=model.__name__)}
    return {"content": {"application/json": {"schema": schema}}}


def _headers(headers: Mapping[str, str]) -> Json:
    return {"headers": {name: {"schema": {"type": "string"}} for name in headers}} if headers else {}


def _schemas(operations: Sequence[Operation]) -> Json:
    answers: list[type[BaseModel]] = [ErrorAnswer, *(model for one in operations for model in one.answers)]
    bodies = [one.body for one in operations if one.body]
    models = [(one, _AS_ANSWERED) for one in dict.fromkeys(answers)] + [(one, _AS_SENT) for one in bodies]
    _, found = models_json_schema(models, ref_template=_SCHEMAS)
    schemas: Json = found["$defs"]
    return schemas
