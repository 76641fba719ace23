"""Sets of runs beside each other: reading them, the statistics of few seeds over many games, tables and a figure."""
