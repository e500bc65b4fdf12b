"""Virtual tasks: what is believed in them, and which rewards a rollout has in them."""

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax import rollout
from metarl_jax.algorithms import virtual
from metarl_jax.algorithms.variational import Decoder
from metarl_jax.algorithms.virtual import Seen, Virtual
from metarl_jax.learning import normalize
from metarl_jax.learning.distributions import Gaussian
from metarl_jax.rollout import ActionSample, Outcome


def test_beliefs_between_two():
    """Of tasks at the corners of a simplex: at most two have a share, and shares sum up to 1."""
    seen = Seen(jnp.eye(6), jnp.zeros(6), jnp.ones(6))
    draws = jax.vmap(lambda key: virtual.draw(0.3, seen, key))(jax.random.split(jax.random.key(0), 500))
    latent = np.asarray(draws.latent)
    np.testing.assert_allclose(latent.sum(axis=-1), 1.0, rtol=1e-5)
    assert latent.min() >= 0.0 and (latent > 0).sum(axis=-1).max() == 2
    assert abs(np.asarray(draws.here).mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 3000)
    assert np.unique(latent[latent > 0]).size > 1000


def test_nothing_is_virtual_before_anything_was_seen():
    assert not virtual.draw(0.99, virtual.nothing_seen(50, 2), jax.random.key(0)).here.any()


def test_weights():
    here = jnp.array([True, False, False, True])
    np.testing.assert_allclose(virtual.weights(virtual.Virtual(here, jnp.zeros((4, 1)))), [0.0, 2.0, 2.0, 0.0])
    np.testing.assert_array_equal(virtual.weights(virtual.Virtual(jnp.ones(4, bool), jnp.zeros((4, 1)))), np.zeros(4))


def test_what_is_kept_is_real():
    seen = Seen(jnp.zeros((2, 3)), jnp.array([-1.0, -1.0]), jnp.array([1.0, 1.0]))
    here = Virtual(jnp.array([True, False]), jnp.ones((2, 3)))
    reward = jnp.array([[[9.0, -9.0]], [[5.0, 0.0]]])
    after = virtual.update(seen, here, jnp.full((2, 3), 7.0), reward)
    assert after.latent.tolist() == [[0.0] * 3, [7.0] * 3]
    assert after.low.tolist() == [-1.0, -1.0] and after.high.tolist() == [1.0, 5.0]
    outcome = virtual.real_alone(Outcome(jnp.ones((2, 1)), jnp.ones((2, 1), bool)), here)
    assert np.isnan(outcome.returns[0, 0]) and outcome.returns[1, 0] == outcome.success[1, 0] == 1.0


def test_rewards_of_a_rollout(make_point):
    """In virtual tasks the decoder's, of standardised numbers, within the range of real ones; that is what a memory sees of the
    step before, too. Elsewhere all is as it was."""
    env, shape, steps = make_point(horizon=4), (3, 2), 9
    weights = [np.array([0.7, -0.3]), np.array([0.5, 0.2]), np.array([-1.0, 0.4]), np.array([0.3, 0.9])]
    decoder = Decoder(None, None, lambda params, *seen: sum(x @ w for x, w in zip(seen, weights, strict=True)))
    stats = normalize.of_batch(jax.random.normal(jax.random.key(5), (64, 3)) * 2.0 + 1.0)  # observation and reward
    seen = Seen(jnp.zeros((3, 2)), jnp.full(3, -2.0), jnp.full(3, 3.0))
    drawn = Virtual(jnp.array([True, False, True]), jnp.array([[1.0, 2.0], [0.0, 0.0], [-3.0, 0.5]]))

    def act(obs, history, key):
        raw = 0.3 * jax.random.normal(key, obs.shape)
        return (), ActionSample(raw, jnp.clip(raw, -0.3, 0.3), Gaussian(raw, raw), jnp.zeros(shape))

    tasks = rollout.sample_tasks(env, jax.random.key(1), 3)
    start = rollout.start(env, tasks, jax.random.key(2), shape)
    imagine = virtual.make_imagine(decoder, None, stats, seen, drawn)
    plain, imagined = (
        jax.tree.map(np.asarray, rollout.collect(env, act, tasks, start, jax.random.key(3), steps, how)[1])
        for how in (None, imagine)
    )
    mean, std = np.asarray(stats.mean), np.sqrt(np.asarray(stats.sum_square) / 64 + 1e-8)
    obs, after = ((x - mean[:2]) / std[:2] for x in (imagined.obs_tm1, imagined.obs_t))
    after = np.where(imagined.last_t[..., None], 0.0, after)
    latent = np.asarray(drawn.latent)[:, None, None]
    told = latent @ weights[0] + obs @ weights[1] + imagined.action_tm1 @ weights[2] + after @ weights[3]
    expected = np.where(np.array([1, 0, 1])[:, None, None], np.clip(told * std[2] + mean[2], -2.0, 3.0), plain.reward_t)
    np.testing.assert_allclose(imagined.reward_t, expected, atol=2e-5)
    assert ((expected[0] > -2.0) & (expected[0] < 3.0)).any() and (expected[[0, 2]] == -2.0).any()
    np.testing.assert_array_equal(imagined.reward_tm1[..., 1:], imagined.reward_t[..., :-1])
    np.testing.assert_allclose(imagined.return_t[..., 3], imagined.reward_t[..., :4].sum(axis=-1), rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[1], b[1]), plain, imagined)
    np.testing.assert_array_equal(plain.obs_t, imagined.obs_t)


def test_undo_is_what_undoes_it():
    stats = normalize.of_batch(jnp.array([[1.0], [5.0], [6.0]]))
    np.testing.assert_allclose(normalize.undo(stats, normalize.apply(stats, jnp.array([4.5]))), [4.5], rtol=1e-6)
    np.testing.assert_array_equal(normalize.undo(normalize.init(1), jnp.array([4.5])), [4.5])
