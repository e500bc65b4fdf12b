"""What a person sees: the terminal, figures, films, and what works on this machine."""
