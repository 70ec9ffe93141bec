"""The routes that OpenAI's clients know, with their schemas and wire formats."""
