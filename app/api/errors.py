"""The errors of the API, each with its HTTP status and its code."""

from collections.abc import Mapping
from typing import ClassVar


class ApiError(Exception):
    """A request that is answered with an error; its text is the answer's ``detail``."""

    status: ClassVar[int]
    code: ClassVar[str]
    headers: Mapping[str, str] = {}


class InvalidRequestError(ApiError):
    """An id, a parameter or a body that cannot be used."""

    status = 400
    code = "invalid_request"


class UnauthorizedError(ApiError):
    """No token, or a wrong one."""

    status = 401
    code = "unauthorized"
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class NotFoundError(ApiError):
    """Polar has no such customer, or the rules have no such offer."""

    status = 404
    code = "not_found"


class ConflictError(ApiError):
    """The key was used for another customer."""

    status = 409
    code = "conflict"


class NotOfferedError(ApiError):
    """The offer has not begun or is over, or the customer has had it as often as one customer can."""

    status = 422
    code = "not_offered"


class UnavailableError(ApiError):
    """Redis or Polar cannot be asked now."""

    status = 503
    code = "unavailable"
    headers: Mapping[str, str] = {"Retry-After": "5"}
