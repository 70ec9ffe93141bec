"""The SQLite databases of Hearth. The only room that knows `dataset`; it knows no web and no engine."""
