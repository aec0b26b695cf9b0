"""Read model weights, merge adapters, write GGUF files and quantize them."""
