"""The same platform on one machine: embedded Redis and PostgreSQL, a supervisor that obeys the same specs and policy, the live view."""
