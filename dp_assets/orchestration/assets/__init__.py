"""The assets, a module per stage. Bodies get inputs, call a function of a lower room, describe the result."""
