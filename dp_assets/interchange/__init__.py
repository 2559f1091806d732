"""Other programs' files, in and out: DeepProfiler's features, its exported single cells, its index."""
