"""Network pieces: linear layers and MLPs, image encoder and decoder, distributions."""
