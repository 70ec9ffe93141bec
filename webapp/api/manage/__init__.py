"""The routes for whoever manages or watches Hearth from a program."""
