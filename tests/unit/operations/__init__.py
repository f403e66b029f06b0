"""The commands' logic, on fakes."""
