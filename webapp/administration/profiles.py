"""The desk for profiles."""

from __future__ import annotations

from collections.abc import Mapping

from webapp.administration.act import audited, name_in
from webapp.audit.log import AuditLog
from webapp.routing.profiles import Profile, Profiles


class ProfileDesk:
    def __init__(self, profiles: Profiles, audit: AuditLog):
        self._profiles = profiles
        self._audit = audit

    def create(self, who: str, raw: Mapping[str, object]) -> Profile:
        """Make a profile. Raises InvalidFields and Conflict."""
        with audited(self._audit, who, "profiles.create", name_in(raw)) as change:
            profile = self._profiles.create(raw)
            change.after = _in_audit(profile)
        return profile

    def replace(self, who: str, name: str, raw: Mapping[str, object]) -> Profile:
        """Replace a whole profile. Raises ProfileNotFound, InvalidFields and Conflict."""
        with audited(self._audit, who, "profiles.replace", name) as change:
            before = self._profiles.find(name)
            change.before = before and _in_audit(before)
            profile = self._profiles.replace(name, raw)
            change.after = _in_audit(profile)
        return profile

    def delete(self, who: str, name: str) -> Profile:
        """Delete a profile and return it. Raises ProfileNotFound."""
        with audited(self._audit, who, "profiles.delete", name) as change:
            profile = self._profiles.delete(name)
            change.before = _in_audit(profile)
        return profile


def _in_audit(profile: Profile) -> dict[str, object]:
    return {"name": profile.name, "model": profile.model, **profile.choices}
