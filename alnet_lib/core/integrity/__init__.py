"""What was written is what is read: an index of digests, and readers that name what is damaged."""
