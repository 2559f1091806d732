"""From cells to numbers: feature extraction with a trained network, aggregation to profiles."""
