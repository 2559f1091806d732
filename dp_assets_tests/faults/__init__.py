"""Faults injected into the whole graph: what it says, what it keeps, what nobody may see."""
