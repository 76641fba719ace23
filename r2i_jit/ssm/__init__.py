"""The structured state space model (S3M): initialisation, discretisation, the recurrence, layers and their stack."""
