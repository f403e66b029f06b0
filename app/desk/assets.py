"""The desk's own files: a style sheet. Each URL contains a hash of the file, so browsers keep it for ever."""

import hashlib
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from app.desk.errors import DeskError

_TYPES = {"css": "text/css", "svg": "image/svg+xml"}
_KEPT_FOR_EVER = "public, max-age=31536000, immutable"


class Assets:
    """The files of ``app/desk/static``, read once."""

    def __init__(self) -> None:
        self._files = {one.name: one.read_bytes() for one in (files("app.desk") / "static").iterdir()}
        self._hashes = {name: hashlib.sha256(data).hexdigest()[:12] for name, data in self._files.items()}

    def url(self, name: str) -> str:
        """Return the URL of a file, relative to the desk."""
        return f"static/{self._hashes[name]}/{name}"

    async def get(self, request: Request) -> Response:
        """Return a file. A hash of another version gets the present one, which is not kept then."""
        name = request.path_params["name"]
        if name not in self._files:
            raise DeskError(404, "There is no such file.")
        is_current = request.path_params["hash"] == self._hashes[name]
        return Response(
            self._files[name],
            media_type=_TYPES[name.rpartition(".")[2]],
            headers={"Cache-Control": _KEPT_FOR_EVER if is_current else "no-store"},
        )
