"""Measurements of speed: one file a measurement."""
