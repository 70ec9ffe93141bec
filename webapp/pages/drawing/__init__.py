"""How things are drawn on a page: Markdown, charts, and numbers as words. Knows no conversations."""
