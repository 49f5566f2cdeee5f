"""Sources that name patients, and the user's own folders."""
