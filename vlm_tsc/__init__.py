"""VLM-TSC fine-tunes vision-language models to classify time series, and says honestly how good they are."""

__version__ = "0.1.0"
