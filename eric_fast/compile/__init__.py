"""Compile: `Program` to `Plan`."""
