"""The one service process: recorder, recovery, delayed messages, API and metrics. One of several leads."""
