"""The one WebSocket of a tab: it receives what the tab shows, and sends what changed since."""
