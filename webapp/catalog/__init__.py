"""Models on disk. Knows folders and files; knows no engine, no web and no database."""
