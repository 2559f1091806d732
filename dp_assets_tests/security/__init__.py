"""What must not happen with files, names, secrets and ports that others choose."""
