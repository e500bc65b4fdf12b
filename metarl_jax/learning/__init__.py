"""What learning is made of: one equation, one pure unbatched function with its source; the caller vmaps."""
