"""Compression before sealing: zstd (RFC 8878) with trained dictionaries. Spec: docs/spec/zones.md 11.

Dictionary 0 is none. Dictionaries are trained on synthetic data only, because they are stored in clear,
and one that was ever used stays for ever. Padded to 32-byte steps, so that lengths tell less.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import zstandard

from cloister.base.errors import Invalid
from cloister.zones.refusals import Forged, Refusal

LEVEL: Final = 3
PLAIN_BYTES_MAX: Final = 64 * 1024 * 1024
STEP_BYTES: Final = 32


class _Codec:
    """One dictionary's compressor and decompressor, built once: a session is forked with them ready."""

    def __init__(self, dictionary: bytes | None) -> None:
        frame = {"format": zstandard.FORMAT_ZSTD1_MAGICLESS, "write_checksum": False, "write_dict_id": False, "write_content_size": True}
        parameters = zstandard.ZstdCompressionParameters.from_level(LEVEL, **frame)
        if dictionary is None:
            self.compressor = zstandard.ZstdCompressor(compression_params=parameters)
            self.decompressor = zstandard.ZstdDecompressor(format=zstandard.FORMAT_ZSTD1_MAGICLESS)
            return
        data = zstandard.ZstdCompressionDict(dictionary)
        data.precompute_compress(level=LEVEL)
        self.compressor = zstandard.ZstdCompressor(dict_data=data, compression_params=parameters)
        self.decompressor = zstandard.ZstdDecompressor(dict_data=data, format=zstandard.FORMAT_ZSTD1_MAGICLESS)


def _codecs() -> dict[int, _Codec]:
    folder = Path(__file__).parent
    found = {0: _Codec(None)}
    for file in folder.glob("dictionary-*.zstd"):
        found[int(file.stem.removeprefix("dictionary-"))] = _Codec(file.read_bytes())
    return found


_CODECS: Final = _codecs()
DEFAULT: Final = max(_CODECS)


def compress(raw: bytes, dict_no: int = DEFAULT) -> bytes:
    """A zstd frame, zero-padded to a step. Keep `dict_no` (by default DEFAULT) in the row."""
    if len(raw) > PLAIN_BYTES_MAX:
        raise Invalid("This resource is too large.", hint="Store large content as a Binary of its own.")
    codec = _CODECS.get(dict_no)
    if codec is None:
        raise Forged(Refusal.ALGORITHM)
    frame: bytes = codec.compressor.compress(raw)
    return frame + bytes(-len(frame) % STEP_BYTES)


def decompress(dict_no: int, compressed: bytes) -> bytes:
    """The raw bytes; Forged(algorithm) for an unknown dictionary, Forged(malformed) for anything that is no frame."""
    codec = _CODECS.get(dict_no)
    if codec is None:
        raise Forged(Refusal.ALGORITHM)
    try:
        # Without its size (-1) a frame is none of ours.
        if len(compressed) % STEP_BYTES or not 0 <= zstandard.frame_content_size(_MAGIC + compressed[:18]) <= PLAIN_BYTES_MAX:
            raise Forged(Refusal.MALFORMED)
        raw: bytes = codec.decompressor.decompress(compressed, max_output_size=PLAIN_BYTES_MAX)
    except zstandard.ZstdError:
        raise Forged(Refusal.MALFORMED) from None
    return raw


_MAGIC: Final = zstandard.FRAME_HEADER
