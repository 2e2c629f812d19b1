"""Stand-ins for tools that a test machine does not have; each imitates documented behaviour, good and bad."""
