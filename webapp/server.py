"""The long-lived objects: built once, started, and closed in reverse. Also wires settings to what obeys them."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from webapp import __version__, paths
from webapp.catalog.catalog import Catalog
from webapp.chats import Chats
from webapp.engine.backend import Backend
from webapp.engine.engine import Engine
from webapp.engine.memory import default_limit_bytes
from webapp.engine.pool import Pool
from webapp.engine.scheduler import Limits
from webapp.profiles import Profiles
from webapp.router import Router
from webapp.settings import LayeredSettings, Settings
from webapp.store.database import Database
from webapp.store.profiles import ProfileStore
from webapp.store.schema import MIGRATIONS
from webapp.store.settings import SettingsStore

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line and the environment say before any setting is read."""

    models_dirs: tuple[Path, ...] = ()
    overrides: Mapping[str, object] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)


class Server:
    """Everything that lives as long as the program; Flask finds it as `app.extensions["server"]`."""

    version = __version__

    def __init__(self, options: Options, data: paths.DataDir):
        self.draining = False
        self.store = Database(data.database, MIGRATIONS)
        self.settings = LayeredSettings(options.overrides, options.environ, SettingsStore(self.store))
        self.backend = Backend()
        self.catalog = Catalog(paths.BUNDLED_MODELS, options.models_dirs, options.environ)
        self.profiles = Profiles(ProfileStore(self.store), self.catalog)
        pool = Pool(self.backend, default_limit_bytes(), time.monotonic)
        self.engine = Engine(pool, limits(self.settings.current))
        self.router = Router(self.catalog, self.profiles, self.backend, self.engine, lambda: self.settings.current)
        self.chats = Chats(self.store, self.router)
        self.settings.on_change(self._apply)
        self._apply(self.settings.current, self.settings.current)

    def start(self) -> None:
        self.backend.start()
        self.engine.start()

    def drain(self, grace_seconds: float) -> None:
        """Let running answers finish for a while; the rest end with an error in their stream."""
        self.draining = True
        self.engine.drain(grace_seconds)
        self.engine.stop()

    def close(self) -> None:
        self.engine.stop()
        self.chats.close()
        self.store.close()

    def _apply(self, before: Settings, after: Settings) -> list[str]:
        """Make changed settings act; the same at start and later. Returns what happened, in words."""
        effects = []
        logging.getLogger().setLevel(after.log_level.upper())
        if limits(before) != limits(after):
            self.engine.configure(limits(after))
            waiting = self.engine.snapshot.waiting
            effects.append(f"The engine obeys the new limits; {waiting} requests are waiting.")
        return effects


def limits(settings: Settings) -> Limits:
    """The scheduling settings in the engine's units."""
    return Limits(
        batch_size=settings.batch_size,
        max_waiting=settings.max_waiting,
        prefill_tokens=settings.prefill_tokens,
        stall_seconds=settings.stall_ms / 1000,
        prefix_cache_bytes=settings.prefix_cache_mb * MB,
    )
