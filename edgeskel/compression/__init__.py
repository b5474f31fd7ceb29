"""Low rank, quantization and the budget that ties them together."""
