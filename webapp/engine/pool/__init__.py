"""The loaded models under one memory limit: which load, which must go, who holds a lease."""
