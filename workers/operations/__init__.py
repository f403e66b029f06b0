"""One module or folder for each command that needs more than a store."""
