"""Fuzz targets for atheris: `python -m tests.fuzz --seconds 60`."""
