"""The routes that Anthropic's clients know, with their schema and wire format."""
