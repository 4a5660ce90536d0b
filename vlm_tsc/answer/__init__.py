"""Stage 4: a model and a record → an answer."""
