"""The desks of administration together: settings, models, profiles and keys.

Each act is checked, done, told in words and kept as a row of the audit. Pages and API call the same methods, saying
`who` acts. Knows no HTTP.
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
