"""Stored tensors: read by name, row and byte range from safetensors, legacy `.bin`, GGUF and PEFT adapter files.

Imports the ground files alone.
"""
