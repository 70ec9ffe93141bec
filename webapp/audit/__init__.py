"""What became of each request and each change: traces, the log that keeps them, and counters for monitoring."""
