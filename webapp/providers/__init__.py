"""Providers turn a request with complete terms into a stream. The only one today is this process's engine."""
