"""Bytes at rest, one module per format: images, tables and their schemas, crop stores, model folders.

Belongs here: reading and writing formats, atomic publication, fingerprints, work folders. Does not belong
here: anything that computes a value from pixels.
"""
