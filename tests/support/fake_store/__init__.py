"""The stores in memory, as strict as the real ones: what is kept, and a module for each thing done to it."""
