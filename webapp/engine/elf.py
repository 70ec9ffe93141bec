"""Shortens the names that a shared library of Linux exports: `scipy_cblas_sgemm` becomes `cblas_sgemm`.

A name without its prefix is the end of the name that the file already holds, so nothing in it moves: each symbol
points a little further into the table of strings, and the hash table, by which names are looked up, is written anew.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

ELF_64_LITTLE_ENDIAN = b"\x7fELF\x02\x01"
LOADED, DYNAMIC = 1, 2
HASH, STRINGS, SYMBOLS, GNU_HASH, VERSIONS = 4, 5, 6, 0x6FFFFEF5, 0x6FFFFFFC
SYMBOL_BYTES = 24
WORD_BITS = 64


class CannotRename(ValueError):
    """The file is not a shared library of the kind that can be renamed in place."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the file, and the address at which it is loaded."""

    kind: int
    offset: int
    address: int
    size: int


def without_prefix(library: bytes, prefix: bytes) -> bytes:
    """The same shared library, its exported names that begin with `prefix` without it. Raises CannotRename."""
    renamed = bytearray(library)
    try:
        tables = _tables(renamed)
        first, last = _exported(renamed, tables[GNU_HASH])
        names = []
        for number in range(first, last + 1):
            at = tables[SYMBOLS] + number * SYMBOL_BYTES
            (start,) = struct.unpack_from("<I", renamed, at)
            name = _text(renamed, tables[STRINGS] + start)
            if name.startswith(prefix):
                struct.pack_into("<I", renamed, at, start + len(prefix))
            names.append(name.removeprefix(prefix))
        _write_hash_table(renamed, tables[GNU_HASH], first, names)
    except (struct.error, LookupError, ValueError, ArithmeticError) as fault:
        raise CannotRename(f"not a shared library of the kind that is expected: {fault}") from fault
    if len(set(names)) < len(names):
        raise CannotRename("two of its names would be the same")
    return bytes(renamed)


def _tables(library: bytearray) -> dict[int, int]:
    """The offsets of the dynamic linker's tables in the file, by the number of their kind."""
    if not library.startswith(ELF_64_LITTLE_ENDIAN):
        raise CannotRename("not a 64-bit ELF file")
    segments = list(_segments(library))
    dynamic = next((segment for segment in segments if segment.kind == DYNAMIC), None)
    if dynamic is None:
        raise CannotRename("it has no dynamic section")
    entries = dict(struct.iter_unpack("<QQ", library[dynamic.offset : dynamic.offset + dynamic.size]))
    if entries.keys() & {HASH, VERSIONS}:
        raise CannotRename("it has the older hash table, or versions of its own")
    return {kind: _offset(segments, entries[kind]) for kind in (GNU_HASH, SYMBOLS, STRINGS)}


def _segments(library: bytearray) -> Iterator[Segment]:
    (start,) = struct.unpack_from("<Q", library, 32)
    size, count = struct.unpack_from("<HH", library, 54)
    for at in range(start, start + size * count, size):
        kind, _, offset, address, _, in_file = struct.unpack_from("<IIQQQQ", library, at)
        yield Segment(kind, offset, address, in_file)


def _offset(segments: Iterable[Segment], address: int) -> int:
    for segment in segments:
        if segment.kind == LOADED and segment.address <= address < segment.address + segment.size:
            return address - segment.address + segment.offset
    raise CannotRename("a table lies outside of the file")


def _exported(library: bytearray, table: int) -> tuple[int, int]:
    """The first and the last symbol that the hash table leads to; the symbols before are imports."""
    buckets, first, blooms, _ = struct.unpack_from("<IIII", library, table)
    chains_of = table + 16 + blooms * 8
    last = max(struct.unpack_from(f"<{buckets}I", library, chains_of))
    chain = chains_of + buckets * 4
    while not struct.unpack_from("<I", library, chain + (last - first) * 4)[0] & 1:
        last += 1
    return first, last


def _text(library: bytearray, start: int) -> bytes:
    return bytes(library[start : library.index(0, start)])


def _write_hash_table(library: bytearray, table: int, first: int, names: list[bytes]) -> None:
    """Write a hash table of one bucket, which keeps the symbols in their order; with several they would need new
    numbers everywhere. The Bloom filter still rejects names that the library does not export."""
    _, _, blooms, shift = struct.unpack_from("<IIII", library, table)
    hashes = [gnu_hash(name) for name in names]
    filters = [0] * blooms
    for value in hashes:
        filters[value // WORD_BITS % blooms] |= 1 << value % WORD_BITS | 1 << (value >> shift) % WORD_BITS
    chain = [value & ~1 for value in hashes]
    chain[-1] |= 1
    struct.pack_into(f"<IIII{blooms}QI{len(chain)}I", library, table, 1, first, blooms, shift, *filters, first, *chain)


def gnu_hash(name: bytes) -> int:
    """The hash by which glibc and musl look up names: Bernstein's, 32 bits."""
    value = 5381
    for letter in name:
        value = (value * 33 + letter) & 0xFFFFFFFF
    return value
