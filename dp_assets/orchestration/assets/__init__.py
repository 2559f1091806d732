"""The assets, a module per stage. Bodies get inputs, call one function of a lower room, and describe the result."""
