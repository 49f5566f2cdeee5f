"""What is damaged in a run, and how it comes to be made again."""
