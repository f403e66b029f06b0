"""The composition root, a module for each process: builds the running parts from the settings."""
