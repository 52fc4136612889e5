"""Alembic's migrations of schema `windrow`: each release only adds; what it no longer needs goes one release later."""
