"""KV that outlives its request, kept for the next prompt that begins the same way."""
