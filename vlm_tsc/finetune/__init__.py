"""Stage 5: records → LoRA adapter."""
