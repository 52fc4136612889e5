"""The `windrow` command. Thin: each command parses, calls one function of another package, prints."""
