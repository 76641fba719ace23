"""A search of hyper-parameters: its space, rounds, journal, states and report. `experiments.search` is the command."""
