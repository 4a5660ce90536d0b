"""How the encoders of the masked transformer are pre-trained: without labels, on training parts or synthetic series."""
