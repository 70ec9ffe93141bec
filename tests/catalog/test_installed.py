from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from webapp.catalog.folders import model_folders, read_model, sampling_of
from webapp.catalog.installed import Catalog, hub_cache
from webapp.errors import ModelNotFound


def model(folder: Path, **config: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen3", **config}))
    (folder / "model.safetensors").write_bytes(b"x" * 100)
    return folder


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    return tmp_path / "nothing"


def test_models_are_found_one_and_two_levels_down(tmp_path: Path, empty: Path) -> None:
    model(tmp_path / "plain", max_position_embeddings=2048)
    model(tmp_path / "org" / "name")
    (tmp_path / "org" / "not-a-model").mkdir()
    model(tmp_path / ".hidden")
    catalog = Catalog(empty, [tmp_path], {"HF_HUB_CACHE": str(empty)})
    assert [m.id for m in catalog.models()] == ["org/name", "plain"]
    found = catalog.find("plain")
    assert (found.context_length, found.weights_bytes, found.path) == (2048, 100, tmp_path / "plain")


def test_the_hub_cache_is_read_by_its_current_snapshot(tmp_path: Path, empty: Path) -> None:
    repo = tmp_path / "models--org--name"
    model(repo / "snapshots" / "old", hidden_size=1)
    current = model(repo / "snapshots" / "new")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("new")
    model(tmp_path / "datasets--org--name" / "snapshots" / "x")
    catalog = Catalog(empty, [], {"HF_HUB_CACHE": str(tmp_path)})
    assert [(m.id, m.path) for m in catalog.models()] == [("org/name", current)]


def test_the_first_folder_to_use_a_name_has_it_and_the_bundled_come_last(tmp_path: Path, empty: Path) -> None:
    first = model(tmp_path / "first" / "twin")
    model(tmp_path / "second" / "twin")
    model(tmp_path / "bundled" / "ember")
    catalog = Catalog(tmp_path / "bundled", [tmp_path / "first", tmp_path / "second"], {"HF_HUB_CACHE": str(empty)})
    assert [(m.id, m.bundled) for m in catalog.models()] == [("twin", False), ("ember", True)]
    assert catalog.find("twin").path == first
    assert catalog.default.id == "twin"


def test_a_version_is_another_when_any_file_that_loading_reads_is(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "README.md").write_text("Hello")
    seen = [read_model("m", folder, bundled=False)]

    def other() -> bool:
        seen.append(read_model("m", folder, bundled=False))
        assert seen[-1].read_at >= seen[-2].read_at
        return seen[-1].edition != seen[-2].edition

    assert not other()
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        state = (folder / name).stat()
        os.utime(folder / name, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
        assert other(), name
    (folder / "model.safetensors").write_bytes(b"y" * 101)
    assert other()
    (folder / "chat_template.jinja").write_text("")
    assert other()
    (folder / "README.md").write_text("Goodbye")
    (folder / "dangling.json").symlink_to(tmp_path / "nowhere")
    assert other()
    (folder / "README.md").unlink()
    assert not other()


def test_an_unknown_name_says_what_there_is(tmp_path: Path, empty: Path) -> None:
    model(tmp_path / "known")
    with pytest.raises(ModelNotFound, match=r"'\.\./etc' is not installed.*known"):
        Catalog(empty, [tmp_path], {"HF_HUB_CACHE": str(empty)}).find("../etc")


def test_garbage_in_a_folder_is_shown_and_breaks_nothing(tmp_path: Path, empty: Path) -> None:
    folder = model(tmp_path / "odd", max_position_embeddings="many", text_config=None)
    (folder / "generation_config.json").write_text("not json")
    found = Catalog(empty, [tmp_path], {"HF_HUB_CACHE": str(empty)}).find("odd")
    assert (found.context_length, found.sampling) == (4096, {})


@pytest.mark.parametrize("content", ["[" * 60_000, '{"text_config": "x"}', '{"text_config": [1]}', "\udcff"])
def test_a_config_of_any_content_breaks_nothing(tmp_path: Path, empty: Path, content: str) -> None:
    folder = model(tmp_path / "odd")
    (folder / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert Catalog(empty, [tmp_path], {"HF_HUB_CACHE": str(empty)}).find("odd").context_length == 4096


def names(root: Path, cache: Path) -> list[str]:
    return [found.id for found in Catalog(root / "nothing", [root], {"HF_HUB_CACHE": str(cache)}).models()]


def test_a_model_with_weights_that_are_gone_is_not_installed(tmp_path: Path, empty: Path) -> None:
    model(tmp_path / "whole")
    (model(tmp_path / "half") / "model-2.safetensors").symlink_to(tmp_path / "gone")
    cached = model(empty / "models--org--name" / "snapshots" / "new")
    (cached / "model.safetensors").unlink()
    (cached / "model.safetensors").symlink_to("../../blobs/gone")
    model(empty / "models--org--other" / "snapshots" / "new")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    assert names(tmp_path, empty) == ["whole", "org/other"]


@pytest.mark.skipif(os.getuid() == 0, reason="the superuser reads everything")
def test_what_may_not_be_read_hides_nothing_else(tmp_path: Path, empty: Path) -> None:
    model(tmp_path / "open")
    (model(tmp_path / "weights") / "model.safetensors").chmod(0)
    closed = [model(tmp_path / "searched"), model(tmp_path / "listed")]
    inner = model(tmp_path / "vault" / "inner")
    (tmp_path / "link").symlink_to(inner)
    closed.append(tmp_path / "vault")
    for folder, mode in zip(closed, (0o100, 0o400, 0), strict=True):
        folder.chmod(mode)
    try:
        assert names(tmp_path, empty) == ["open"]
    finally:
        for folder in closed:
            folder.chmod(0o700)


def test_a_folder_deleted_during_the_look_raises_nothing(tmp_path: Path) -> None:
    folder = model(tmp_path / "going")
    found = model_folders(tmp_path)
    model_id, path = next(found)
    shutil.rmtree(folder)
    assert (read_model(model_id, path, bundled=False).weights_bytes, list(found)) == (0, [])


def test_a_cache_without_a_readable_reference_uses_the_newest_snapshot(tmp_path: Path, empty: Path) -> None:
    repo = tmp_path / "models--org--name"
    model(repo / "snapshots" / "only")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_bytes(b"\xff\xfe")
    assert names(empty, tmp_path) == ["org/name"]


@pytest.mark.parametrize(
    ("config", "sampling"),
    [
        ({"temperature": 0.6, "top_k": 20, "eos_token_id": 3}, {"temperature": 0.6, "top_k": 20}),
        ({"do_sample": False, "temperature": 0.6}, {"temperature": 0.0}),
        ({"temperature": None, "top_k": True, "top_p": "0.9"}, {}),
    ],
)
def test_what_a_model_recommends(config: dict[str, object], sampling: dict[str, float]) -> None:
    assert sampling_of(config) == sampling


def test_hugging_faces_own_variables_name_its_cache() -> None:
    assert hub_cache({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}) == Path("/a")
    assert hub_cache({"HF_HOME": "/b"}) == Path("/b/hub")
    assert hub_cache({}) == Path.home() / ".cache" / "huggingface" / "hub"


class Watched(Catalog):
    """Remembers on which threads the disk was looked at."""

    def __init__(self, root: Path, cache: Path, look_seconds: float):
        super().__init__(root / "nothing", [root], {"HF_HUB_CACHE": str(cache)}, look_seconds)
        self.threads: set[str] = set()

    def _folders(self) -> Iterator[tuple[str, Path, bool]]:
        self.threads.add(threading.current_thread().name)
        return super()._folders()


@pytest.fixture
def watching(tmp_path: Path, empty: Path) -> Iterator[Callable[[float], Watched]]:
    started: list[Watched] = []

    def start(look_seconds: float) -> Watched:
        catalog = Watched(tmp_path, empty, look_seconds)
        catalog.start()
        started.append(catalog)
        return catalog

    yield start
    for catalog in started:
        catalog.close()


def test_the_disk_is_looked_at_on_a_thread_of_the_catalog_s_own(
    tmp_path: Path, watching: Callable[[float], Watched]
) -> None:
    model(tmp_path / "first")
    catalog = watching(0.01)
    assert [found.id for found in catalog.models()] == ["first"]
    model(tmp_path / "second")
    until = time.monotonic() + 5
    while [found.id for found in catalog.models()] != ["first", "second"]:
        assert time.monotonic() < until
    with pytest.raises(ModelNotFound, match="first, second"):
        catalog.find("third")
    assert catalog.threads == {"catalog"}


def test_a_name_that_nobody_knows_wakes_the_look(tmp_path: Path, watching: Callable[[float], Watched]) -> None:
    catalog = watching(3600)
    assert catalog.models() == ()
    model(tmp_path / "fresh")
    assert catalog.find("fresh").id == "fresh"
    with pytest.raises(ModelNotFound):
        catalog.find("never")


def test_a_model_is_described_anew_when_one_of_its_files_changes(tmp_path: Path, empty: Path) -> None:
    folder = model(tmp_path / "one", max_position_embeddings=64)
    catalog = Catalog(empty, [tmp_path], {"HF_HUB_CACHE": str(empty)})
    first = catalog.find("one")
    assert catalog.find("one") is first
    (folder / "generation_config.json").write_text('{"temperature": 0.5}')
    assert catalog.find("one").sampling == {"temperature": 0.5}
    (folder / "config.json").write_text('{"max_position_embeddings": 128}')
    assert catalog.find("one").context_length == 128
