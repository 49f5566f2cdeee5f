"""The gallery: the cells of each smear with what both modules say, a movable threshold, a map, and a blind reading."""
