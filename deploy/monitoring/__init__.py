"""What whoever is on call gets: recording rules, alerts, dashboards, runbooks; each generated from code."""
