"""bsuite's scores (Osband et al. 2020, arXiv 1908.03568): from episodes to log rows, scores, tags, radar and report.

`columns` makes the original's log rows of episodes, `files` writes and reads its CSV files, `scores` says what it would
say of them, `tags` what each experiment is about, `radar` draws, `report` puts all of it into a folder. JAX is not
imported before something is drawn.
"""
