"""Stage 9: what a person does with a finished run."""
