"""The metric catalogue: every metric with its name, type, labels, unit and meaning, declared once. No I/O lives here."""
