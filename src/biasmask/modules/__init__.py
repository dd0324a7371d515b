"""Thin Lightning modules around models and methods."""
