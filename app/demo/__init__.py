"""The demo: the main job for real, with a stand-in for Polar."""
