"""Tests on a real API server. `parts` finds or builds its programs, `control_plane` runs them, `agent` plays the workers."""
