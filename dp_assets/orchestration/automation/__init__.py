"""What runs by itself: new plates, missing results, stale results, retraining, and word of failures."""
