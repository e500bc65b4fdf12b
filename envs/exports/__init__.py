"""Our environments behind the interfaces of other packages: Gymnasium, Stable-Baselines3, brax."""
