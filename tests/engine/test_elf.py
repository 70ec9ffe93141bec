"""Names of a real library shortened: the dynamic linker itself must find each of them."""

from __future__ import annotations

import ctypes
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

from webapp.engine.elf import CannotRename, gnu_hash, without_prefix
from webapp.engine.openblas import PACKAGE, SOURCE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ELF is the format of Linux")

PREFIX = b"scipy_"
UNTOUCHED = ("claqz0_", "qrot_")


def source() -> Path:
    return Path(str(distribution(PACKAGE).locate_file(SOURCE)))


@pytest.fixture(scope="module")
def library() -> bytes:
    return source().read_bytes()


@pytest.fixture(scope="module")
def renamed(library: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("elf") / "renamed.so"
    file.write_bytes(without_prefix(library, PREFIX))
    return file


def test_the_linker_finds_every_name_without_its_prefix(library: bytes, renamed: Path) -> None:
    before, after = ctypes.CDLL(str(source())), ctypes.CDLL(str(renamed))
    strings = {text.decode() for text in library.split(b"\0") if text.startswith(PREFIX) and text.isascii()}
    exported = [name for name in strings if hasattr(before, name)]
    assert len(exported) > 5000
    assert [name for name in exported if not hasattr(after, name.removeprefix("scipy_"))] == []
    assert [name for name in exported if hasattr(after, name)] == []
    assert [name for name in UNTOUCHED if not (hasattr(before, name) and hasattr(after, name))] == []
    assert not hasattr(after, "gemm_")


def test_nothing_in_the_file_moves(library: bytes, renamed: Path) -> None:
    after = renamed.read_bytes()
    assert len(after) == len(library)
    changed = [at for at in range(0, len(after), 4096) if after[at : at + 4096] != library[at : at + 4096]]
    assert 0 < len(changed) < 200
    assert max(changed) < 2_000_000


def test_names_that_would_be_the_same_are_refused(library: bytes) -> None:
    with pytest.raises(CannotRename, match="the same"):
        without_prefix(library, b"x")  # xqrot_ and qrot_


@pytest.mark.parametrize("length", [0, 3, 40, 64, 600, 5000, 100_000, 400_000])
def test_a_file_that_is_cut_off_is_refused(library: bytes, length: int) -> None:
    with pytest.raises(CannotRename):
        without_prefix(library[:length], PREFIX)


def test_what_is_no_library_is_refused(library: bytes) -> None:
    of_32_bits = library[:4] + b"\1" + library[5:]
    for other in (b"MZ" + library[2:], of_32_bits, Path(sys.executable).read_bytes()[:64]):
        with pytest.raises(CannotRename):
            without_prefix(other, PREFIX)


def test_the_hash_is_the_one_of_the_format() -> None:
    # Values from the description of DT_GNU_HASH.
    assert [gnu_hash(name) for name in (b"", b"printf", b"exit", b"syscall")] == [
        0x00001505, 0x156B2BB8, 0x7C967E3F, 0xBAC212A0,
    ]  # fmt: skip
