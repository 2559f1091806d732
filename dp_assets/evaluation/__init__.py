"""One module per family of scores: arrays in, numbers out."""
