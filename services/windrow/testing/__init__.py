"""The pytest plugin for the tests of Windrow users."""
