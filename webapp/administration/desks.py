"""All desks through which people change a running Hearth: one for each noun.

A desk checks each act, does it, returns its effects in words and records it in the audit. Pages and API call the same
methods and pass `who` acts. Knows no HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass

from webapp.administration.keys import KeyDesk
from webapp.administration.models import ModelDesk
from webapp.administration.profiles import ProfileDesk
from webapp.administration.settings import SettingsDesk


@dataclass(frozen=True, slots=True)
class Administration:
    settings: SettingsDesk
    models: ModelDesk
    profiles: ProfileDesk
    keys: KeyDesk
