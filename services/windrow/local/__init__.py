"""The same platform on one machine: embedded Redis and PostgreSQL, a supervisor that obeys the same specs, a live view."""
