"""Access: keys, browser sessions, tickets, and the one place that decides by them."""
