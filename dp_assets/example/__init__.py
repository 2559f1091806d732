"""A small, lifelike example project made by the program itself, so that a newcomer sees results at once."""
