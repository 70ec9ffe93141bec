"""Draws Markdown, charts, and numbers as words for the pages. Knows no conversations."""
