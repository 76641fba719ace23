"""What carries memory in the world model: one stack of blocks, and the recurrences that it can be made of."""
