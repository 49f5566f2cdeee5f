"""The campaign of faults: kills, damage, full disks, foreign input, hostile names, numbers of cores. See `__main__`."""
