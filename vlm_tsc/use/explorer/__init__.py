"""The pages of `python -m vlm_tsc.use.explore`: runs, their cases, and a model that is asked about them."""
