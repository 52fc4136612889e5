"""A plain Celery project."""
