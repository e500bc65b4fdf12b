"""Meta-World beside the installed `metaworld` package: parity, speed."""
