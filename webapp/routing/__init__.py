"""From a name to who answers it and on which terms. Knows no engine and no web."""
