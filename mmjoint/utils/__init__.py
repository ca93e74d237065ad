"""Helpers for all other packages: errors, files, locks, devices, progress."""
