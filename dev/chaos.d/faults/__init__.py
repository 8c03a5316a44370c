"""What is done to them, and in which order."""
