"""Names on their way into and out of the text protocol."""

from __future__ import annotations

import unicodedata
from typing import Final

from .errors import ArgumentError

_FUNCTION_LIMIT: Final = 512  # bytes, as libgearman allows
_HANDLE_LIMIT: Final = 63


def decode(name: bytes) -> str:
    """Return a name as text; bytes that are not UTF-8 become lone surrogates, as in file names."""
    return name.decode("utf-8", "surrogateescape")


def encode_function(function: str | bytes) -> bytes:
    """Return the name of a function as one word of a command."""
    return _encode(function, "function name", _FUNCTION_LIMIT)


def encode_handle(job_handle: str | bytes) -> bytes:
    """Return the handle of a job as one word of a command."""
    return _encode(job_handle, "job handle", _HANDLE_LIMIT)


def _encode(name: str | bytes, what: str, limit: int) -> bytes:
    """Return a name as bytes; what the server could take for two words, or lines, is refused."""
    if not isinstance(name, (str, bytes)):
        raise TypeError(f"the {what} must be str or bytes, not {type(name).__name__}")
    text = decode(name) if isinstance(name, bytes) else name
    if not text:
        raise ArgumentError(f"the {what} is empty")
    for character in text:
        if character.isspace() or unicodedata.category(character) == "Cc":
            raise ArgumentError(f"the {what} has {character!r} in it; the command would end there")
    try:
        encoded = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ArgumentError(
            f"the {what} has a lone surrogate at {error.start}, which UTF-8 cannot carry"
        ) from None
    if len(encoded) > limit:
        raise ArgumentError(f"the {what} has {len(encoded)} bytes, {limit} are allowed")
    return encoded
