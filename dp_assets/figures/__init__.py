"""Drawings from arrays to PNG bytes: small previews for the asset catalogue and figures for the documentation."""
