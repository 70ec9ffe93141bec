"""The long-lived objects: built once, started, and closed in reverse. Also connects settings to their effects."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from webapp import __version__, paths
from webapp.addresses import LOOPBACK_NAMES, Admitted, host_name, is_loopback, own_names
from webapp.administration.desks import Administration
from webapp.administration.keys import KeyDesk
from webapp.administration.models import ModelDesk
from webapp.administration.profiles import ProfileDesk
from webapp.administration.settings import SettingsDesk
from webapp.audit.log import AuditLog
from webapp.audit.metrics import Metrics
from webapp.catalog.installed import Catalog
from webapp.chat.conversations import Chats
from webapp.chat.responses import Responses
from webapp.engine.backend import Backend
from webapp.engine.engine import Engine
from webapp.engine.limits import Limits, Policy, PoolLimits, Timeouts
from webapp.engine.memory import MemoryLimit, Mode
from webapp.engine.pool.pool import Pool
from webapp.people.access import Access
from webapp.people.keys import Keys
from webapp.people.tickets import Tickets
from webapp.providers.local import Local
from webapp.routing.profiles import Profiles
from webapp.routing.router import Router
from webapp.settings.layers import LayeredSettings, SettingRow
from webapp.settings.table import Settings
from webapp.store.backups import Backups
from webapp.store.database import Database
from webapp.store.keys import KeyStore
from webapp.store.notices import Notices
from webapp.store.profiles import ProfileStore
from webapp.store.responses import ResponseStore
from webapp.store.schema import AUDIT, MIGRATIONS
from webapp.store.settings import SettingsStore

MB = 1_000_000
OBEYING_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line and the environment, which come before any setting."""

    models_dirs: tuple[Path, ...] = ()
    overrides: Mapping[str, object] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)


class Server:
    """Everything that lives as long as the program; Flask finds it as `app.extensions["server"]`."""

    version = __version__

    def __init__(self, options: Options, data: paths.DataDir):
        self.draining = False
        self.restart: Callable[[], None] | None = None  # set by the program if it can
        self.quit: Callable[[], None] | None = None  # likewise
        self.id = secrets.token_hex(8)
        self.data = data
        self.tickets = Tickets(data.run)
        self.first_start = not data.database.exists()
        self.store = Database(data.database, MIGRATIONS, data.backups)
        audit_store = Database(data.audit_database, AUDIT, data.backups)
        self.backups = Backups(data.database, data.backups)
        self.notices = Notices(self.store)
        for database in (self.store, audit_store):
            self.notices.say_if_set_aside(database, self.backups.newest)
        self.settings = LayeredSettings(options.overrides, options.environ, SettingsStore(self.store))
        self.backend = Backend(data.blas)
        self.catalog = Catalog(paths.BUNDLED_MODELS, options.models_dirs, options.environ)
        self._began_with = self.settings.current
        self.keys = Keys(KeyStore(self.store))
        exposed = not is_loopback(self.settings.current.host)
        self.access = Access(self.keys, exposed, lambda: self.settings.current.sign_in == "on", str(data.root))
        self.profiles = Profiles(ProfileStore(self.store), self.catalog)
        first_limits = limits(self.settings.current, self.profiles)
        self.engine = Engine(Pool(self.backend, first_limits.pool, time.monotonic), first_limits)
        local = Local(self.catalog, self.backend, self.engine)
        self.router = Router(self.catalog, self.profiles, local, lambda: self.settings.current)
        self.metrics = Metrics(self.version, lambda: self.engine.snapshot)
        self.audit = AuditLog(audit_store, lambda: self.settings.current, observe=self.metrics.observe)
        self.responses = Responses(ResponseStore(self.store))
        self.chats = Chats(self.store, self.router, self.audit)
        keys = KeyDesk(self.keys, self.audit, exposed)
        self.administration = Administration(
            SettingsDesk(self.settings, self.catalog, keys, self.audit),
            ModelDesk(self.catalog, self.engine, self.audit),
            ProfileDesk(self.profiles, self.audit),
            keys,
        )
        self._limits = LimitsInForce(self.engine, lambda: limits(self.settings.current, self.profiles))
        self.settings.on_change(self._apply)
        self.profiles.on_change(self._limits.renew)
        self._apply(self.settings.current, self.settings.current)

    def start(self) -> None:
        self.catalog.start()
        self.backend.start()
        self.engine.start()
        self.audit.start()
        self.backups.start()
        self.administration.models.preload(self.settings.current.preload)

    def drain(self, grace_seconds: float) -> None:
        """Let running answers finish for a while; the rest end with an error in their stream."""
        self.draining = True
        self.engine.drain(grace_seconds)
        self.engine.stop()

    def close(self) -> None:
        self.engine.stop()
        self.catalog.close()
        self.chats.close()
        self.audit.close()
        self.backups.close()
        self.keys.close()
        self.store.close()

    def admitted(self) -> Admitted:
        """Return the host names and the origins that requests may have."""
        here = self.settings.current
        names = own_names() if self.access.exposed else ()
        hosts = (*LOOPBACK_NAMES, host_name(self._began_with.host), *names, *here.allowed_hosts)
        return Admitted(hosts, any_ip=self.access.exposed, origins=here.cors_origins)

    def restart_needed_for(self) -> list[SettingRow]:
        """The settings whose new value acts only when Hearth starts again."""
        return [
            row
            for row in self.settings.fields()
            if row.applies == "restart" and getattr(self._began_with, row.name) != row.value
        ]

    def _apply(self, before: Settings, after: Settings) -> list[str]:
        """Make changed settings act; the same at start and later. Returns what happened, in words."""
        logging.getLogger().setLevel(after.log_level.upper())
        effects = []
        if limits(before, self.profiles) != limits(after, self.profiles):
            effects += self._limits.renew()
        if (before.audit_days, before.audit_mb) != (after.audit_days, after.audit_mb):
            self.audit.retain()
            effects.append("What the audit keeps beyond that is being deleted.")
        return effects


class LimitsInForce:
    """Sends the engine the newest limits, also when several threads change them at once."""

    def __init__(self, engine: Engine, newest: Callable[[], Limits]):
        self._engine = engine
        self._newest = newest
        self._posting = threading.Lock()

    def renew(self) -> list[str]:
        """Send the newest limits, and return what happened, in words. A lock keeps their order."""
        with self._posting:
            obeying = self._engine.configure(self._newest())
        if not self._engine.running:
            return ["The engine does not run; it obeys when it does."]
        try:
            return obeying.result(OBEYING_SECONDS)
        except TimeoutError:
            return ["The engine is in the middle of a step and obeys after it."]


def limits(settings: Settings, profiles: Profiles) -> Limits:
    """Return the engine's limits in its units, from the settings and the profiles."""
    return Limits(
        batch_size=settings.batch_size,
        max_waiting=settings.max_waiting,
        prefill_tokens=settings.prefill_tokens,
        stall_seconds=settings.stall_ms / 1000,
        timeouts=Timeouts(settings.queue_seconds, settings.first_token_seconds, settings.total_seconds),
        pool=pool_limits(settings, profiles),
    )


def pool_limits(settings: Settings, profiles: Profiles) -> PoolLimits:
    return PoolLimits(
        memory=MemoryLimit(cast(Mode, settings.memory_limit_mode), settings.memory_limit),
        policy=cast(Policy, settings.eviction_policy),
        idle_seconds=settings.idle_minutes * 60,
        max_models=settings.max_models,
        idle_seconds_of=dict(profiles.idle_seconds()),
        pinned=frozenset(settings.pinned) | profiles.pinned_models(),
        prefix_cache_bytes=settings.prefix_cache_mb * MB,
    )
