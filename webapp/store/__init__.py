"""The databases of Hearth, in SQLite. The only room that knows `dataset`; it knows no web and no engine."""
