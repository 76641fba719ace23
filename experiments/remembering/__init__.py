"""What an agent keeps in memory, and what that is worth to it: measured on fresh episodes."""
