"""An environment and an algorithm for metarl_jax."""
