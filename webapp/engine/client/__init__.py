"""The request thread's half of the engine: from token ids to text, thoughts and calls. Knows no MLX."""
