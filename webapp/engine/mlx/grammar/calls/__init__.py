"""Tool calls as grammars over each model family's own way of writing them. Knows llguidance, but no model."""
