"""Everything that a library would import only when it is first used, imported here: sessions may open no file, and the
gate and the controller drop to accounts that may be unable to read the folder in which this program lies.

`forbid_late_imports` makes a forgotten one loud: the log names the module, and the import fails.
"""

from __future__ import annotations

# ruff: noqa: F401
import ast
import asyncio.sslproto
import bdb
import concurrent.futures.process
import concurrent.futures.thread
import decimal
import email.message
import email.parser
import email.utils
import encodings.ascii
import encodings.cp1252
import encodings.hex_codec
import encodings.idna
import encodings.latin_1
import encodings.punycode
import encodings.utf_8
import encodings.utf_8_sig
import encodings.utf_16
import gettext
import html.entities
import http.cookies
import ipaddress
import json.encoder
import linecache
import locale
import logging.handlers
import multiprocessing.connection
import sys
import sysconfig
import tempfile
import time
import tokenize
import traceback
import unicodedata
import urllib.parse
import zoneinfo
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

import anyio._backends._asyncio
import anyio.to_thread
import jinja2.debug
import starlette.applications
import starlette.background
import starlette.concurrency
import starlette.exceptions
import starlette.formparsers
import starlette.middleware.errors
import starlette.middleware.exceptions
import starlette.requests
import starlette.responses
import starlette.routing
import uvicorn.lifespan.off
import uvicorn.logging
import uvicorn.loops.asyncio
import uvicorn.protocols.http.httptools_impl

from cloister.base.telemetry import log


class LateImports:
    """A finder that stands first and refuses: nothing can be read from disk any more."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        log("late_import", level="error", module=name)
        raise ModuleNotFoundError(f"'{name}' was not imported in time.", name=name)


def forbid_late_imports() -> None:
    sys.meta_path.insert(0, LateImports())


# Two functions of the standard library read a file at their first call.
time.tzset()
time.strptime("2000", "%Y")
