"""Drawings from arrays to PNG bytes: previews for the asset catalogue and figures for the documentation."""
