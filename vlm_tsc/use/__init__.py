"""What a person does with a finished run: predict new series, and see what mattered."""
