"""The one table of settings, where each value comes from, and the kind of field that all tables are made of."""
