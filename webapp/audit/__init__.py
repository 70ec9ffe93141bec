"""The audit: traces of requests, the log that stores them and all changes, and the counters for monitoring."""
