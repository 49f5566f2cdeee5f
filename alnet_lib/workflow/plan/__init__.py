"""What a run will take, before it starts: arithmetic, memory, disk, minutes, weight files; and what it then took."""
