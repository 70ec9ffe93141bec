"""Schedules sequences over loaded models; knows no web and no database."""
