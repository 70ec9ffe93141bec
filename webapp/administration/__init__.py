"""The desks through which people change a running Hearth. Each change is checked, applied, audited and described."""
