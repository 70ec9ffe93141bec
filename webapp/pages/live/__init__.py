"""The one WebSocket of a tab: what the tab shows, and what changed since."""
