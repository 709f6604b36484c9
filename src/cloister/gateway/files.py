"""Static files from memory: compressed once, named by their hash, so that a browser asks for each only once.

RFC 9110 8.8.3 (ETag), RFC 9111, RFC 8246 (immutable). Nothing is read from disk after the start: a path in a
request is only ever looked up among these names.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

YEAR: Final = "public, max-age=31536000, immutable"
ASK_AGAIN: Final = "no-cache"
COMPRESSED: Final = (
    "text/",
    "application/javascript",
    "application/json",
    "application/fhir",
    "image/svg+xml",
    "application/wasm",
    "application/manifest+json",
)
TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
    ".fhir": "application/fhir+json; charset=utf-8",
    ".fhirxml": "application/fhir+xml; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    content: bytes
    compressed: bytes | None  # by gzip, where that is smaller
    media_type: str
    etag: str
    immutable: bool  # its name changes whenever its content does


def static_file(name: str, content: bytes, *, immutable: bool = False) -> StaticFile:
    media_type = TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    packed = gzip.compress(content, 9, mtime=0) if media_type.startswith(COMPRESSED) else content
    smaller = packed if len(packed) < len(content) else None
    return StaticFile(content, smaller, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"', immutable)


def read_files(folder: Path, *, immutable: Container[str] = ()) -> dict[str, StaticFile]:
    """Every file below the folder by its path; those in `immutable` carry their hash in the name."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}
    return {name: static_file(name, path.read_bytes(), immutable=name in immutable) for name, path in sorted(paths.items())}


def file_response(files: Mapping[str, StaticFile], name: str, request: Request) -> Response:
    file = files.get(name)
    if file is None:
        return PlainTextResponse("There is no such file.\n", status_code=404)
    headers = {"etag": file.etag, "cache-control": YEAR if file.immutable else ASK_AGAIN, "vary": "accept-encoding"}
    if file.etag in (tag.strip() for tag in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    if file.compressed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.compressed, media_type=file.media_type, headers={**headers, "content-encoding": "gzip"})
    return Response(file.content, media_type=file.media_type, headers=headers)
