"""Many runs by one command: what they are (`expanding`), how they stand (`plan`), and what runs them: the engines."""
