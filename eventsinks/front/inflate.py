"""Inflating gzip within a bound: too large a result is given up before it is in memory."""

from __future__ import annotations

import zlib

PIECE = 64 * 1024  # bytes that are put in and taken out at once
MEMBERS = 100  # gzip allows several, one after another
GZIP = 16 + zlib.MAX_WBITS


class Corrupt(Exception):
    """The data is not gzip, or is incomplete."""


class Bomb(Exception):
    """The result would be larger than the bound."""


def inflate(packed: bytes, limit: int) -> bytes:
    """Return the inflated data, at most `limit` bytes. Raises Corrupt and Bomb."""
    inflater, members, size = zlib.decompressobj(GZIP), 1, 0
    pieces: list[bytes] = []
    fed, position = b"", 0
    while True:
        if not fed:
            fed = packed[position : position + PIECE]
            position += len(fed)
        if inflater.eof and fed:
            inflater, members = zlib.decompressobj(GZIP), members + 1
        if members > MEMBERS:
            raise Corrupt(f"it has more than {MEMBERS} parts")
        piece, idle = inflate_next(inflater, fed), not fed
        fed = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
        size += len(piece)
        if size > limit:
            raise Bomb
        pieces.append(piece)
        if idle and not piece:
            break
    if not inflater.eof:
        raise Corrupt("it ends in the middle")
    return b"".join(pieces)


def inflate_next(inflater: zlib._Decompress, fed: bytes) -> bytes:
    """Return the next piece of inflated data. Raises Corrupt."""
    try:
        return b"" if inflater.eof else inflater.decompress(fed, PIECE)
    except zlib.error:
        raise Corrupt("it is no gzip") from None
