"""The stand-in's error responses, worded as Polar words them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.demo.polar.request_models import validation_entries

Model = TypeVar("Model", bound=BaseModel)


class RefusalError(Exception):
    """A request is refused; ``response`` says why."""

    def __init__(
        self, status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {content}")
        self.response = JSONResponse(content, status, headers)


def parse_json(body: bytes) -> Any:
    """Return the parsed ``body``; RefusalError, 422, if it is not JSON."""
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        entry = {
            "type": "json_invalid",
            "loc": ["body", error.pos],
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": error.msg},
        }
        raise invalid([entry]) from None


def validate(model: type[Model], value: Any, *location: str) -> Model:
    """Return ``value``, found at ``location`` in the request, as a ``model``; else RefusalError, 422."""
    try:
        return model.model_validate(value, from_attributes=True)  # as FastAPI does
    except ValidationError as error:
        raise invalid(validation_entries(error, *location)) from None


def invalid(detail: Sequence[Mapping[str, Any]], error: str = "RequestValidationError") -> RefusalError:
    """Return a 422 whose ``detail`` has an entry for each problem."""
    return RefusalError(422, {"error": error, "detail": detail})


def not_found() -> RefusalError:
    """Return the 404 for a resource that does not exist."""
    return RefusalError(404, {"error": "ResourceNotFound", "detail": "Not found"})


def respond_to_error(_request: Request, error: Exception) -> Response:
    """Return the response for a RefusalError, or for the framework's own 404 and 405."""
    match error:
        case RefusalError():
            return error.response
        case HTTPException():
            return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
    raise error
