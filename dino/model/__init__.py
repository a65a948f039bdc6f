"""What is learned and can be published, and where it lies."""
