"""Schedules kept in the database."""
