"""Everything that has a name, with one line about it. It imports nothing, so that `metarl list` answers at once.

Where a thing is made is said in the registry of the same name: `presets.PRESETS`, `algorithms.ALGORITHMS`,
`networks.NETWORKS`, `networks.MEMORIES`, `learning.distributions.DISTRIBUTIONS`. A summary that begins with "..." says how a
thing differs from the one before.
"""

PRESETS = {
    "cheetah-dir-maml": "second-order MAML-PPO, learned step sizes, on HalfCheetah-direction: the default, 6 minutes on 2 cores",
    "cheetah-dir-promp": "ProMP's published settings (160k steps an iteration, 1001 iterations)",
    "cheetah-vel-maml": "the same on HalfCheetah-velocity",
    "nav-maml": "second-order MAML-PPO on 2-D navigation",
    "nav-fomaml": "... with first-order gradients",
    "nav-reptile": "... with Reptile",
    "nav-maml-trpo": "MAML-TRPO on 2-D navigation, published settings in fewer iterations",
    "cheetah-dir-maml-trpo": "... on HalfCheetah-direction",
    "cheetah-vel-maml-trpo": "... on HalfCheetah-velocity, speeds of up to 2 m/s",
    "ml1-reach-maml-trpo": "MAML-TRPO on Meta-World's reach, published settings and budget; judged on ML1's 50 test goals",
    "ml10-maml-trpo": "... on ML10; judged on all 50 tasks of its 5 test families",
    "ml1-reach-maml": "second-order MAML-PPO on Meta-World's reach, goal hidden; judged on ML1's 50 test goals, 500 steps",
    "ml1-push-maml": "... on push",
    "ml10-maml": "... on ML10, two tasks of each family an iteration; judged on all 50 tasks of its 5 test families",
    "mt10-ppo": "PPO on Meta-World's MT10, goal shown, all 50 goals of each task; judged on the same, 500 steps",
    "nav-sparse-rl2-s5": "RL^2 with an S5 memory on sparse 2-D navigation: the first episode explores",
    "recall-rl2-s5": "PPO with an S5 memory in a corridor of 200 steps; the first observation says how to answer the last",
    "bandit-rl2": "RL^2 with a GRU on bandits of 5 arms and 10 pulls, of which the optimum is known (`metarl bench optimum`)",
    "mdp-rl2": "... on tabular MDPs, 10 episodes of 10 steps; 205 M steps, for a GPU",
    "cheetah-vel-rl2": "RL^2 with a GRU on HalfCheetah-velocity, 200 steps per episode, two per trial",
    "cheetah-dir-rl2-s5": "RL^2 with an S5 memory on HalfCheetah-direction",
    "ml1-reach-rl2": "RL^2 with an S5 memory on Meta-World's reach, goal hidden; judged on ML1's 50 test goals, 500 steps",
    "ml1-push-rl2-s5": "... on push",
    "ml10-rl2": "... with a GRU on ML10; judged on all 50 tasks of its 5 test families",
    "cheetah-vel-pearl": "PEARL on HalfCheetah-velocity, the paper's 100 and 30 speeds; judged on three trajectories",
    "cheetah-dir-pearl": "... on HalfCheetah-direction",
    "ant-dir-pearl": "... on Ant-direction",
    "walker-rand-params-pearl": "... on Walker2d with random parameters, next observations in the context",
    "point-sparse-pearl": "... on sparse 2-D navigation, five trajectories explore",
    "halfcheetah-ppo": "PPO on Gymnasium's HalfCheetah-v5",
    "hopper-ppo": "... on Hopper-v5",
    "walker2d-ppo": "... on Walker2d-v5",
    "ant-ppo": "... on Ant-v5 without contact forces",
    "halfcheetah-sac": "SAC on Gymnasium's HalfCheetah-v5, 1/4 update for each environment step",
    "hopper-sac": "... on Hopper-v5",
    "walker2d-sac": "... on Walker2d-v5",
    "ant-sac": "... on Ant-v5 without contact forces",
    "mt10-sac": "SAC on Meta-World's MT10, goal shown, all 50 goals of each task; judged on the same, 500 steps",
    "mt50-sac": "... on MT50, ten goals of each task in training",
}

ALGORITHMS = {
    "maml-ppo": "MAML with a PPO outer loop, exact second-order gradients",
    "fomaml": "... with first-order gradients",
    "promp": "... with ProMP's penalty on the KL of the policies before adaptation",
    "maml-trpo": "MAML as it was published: a step of TRPO through the adaptation, conjugate gradients and a line search",
    "reptile": "moves towards the adapted parameters, no meta-gradient",
    "rl2": "PPO over trials of several episodes; the policy's memory adapts",
    "pearl": "soft actor-critic from replay, told a draw from its belief of the task, which its experience sharpens",
    "sac": "soft actor-critic from replay, on one task or many at once; does not adapt",
    "ppo": "single- or multi-task PPO with a critic; does not adapt",
}

NETWORKS = {
    "mlp": "multi-layer perceptron, orthogonal initialisation, optional LayerNorm",
    "residual": "residual blocks with LayerNorm, one for each hidden size (BroNet): for wide critics",
}

MEMORIES = {
    "s5": "diagonal state-space model, HiPPO-LegS initialisation, learned step sizes",
    "lru": "linear recurrent unit: complex diagonal recurrence, ring initialisation",
    "selective": "Mamba's selective state-space model with its causal convolution",
    "gru": "gated recurrent unit",
    "lstm": "long short-term memory",
}

DISTRIBUTIONS = {
    "gaussian": "draws are clipped to the action bounds",
    "tanh-gaussian": "draws are squashed into the action bounds, which must be finite",
    "categorical": "one of the actions of an environment where they are discrete",
}

# Fields of configurations that hold a name, by class: what it may be, to whoever reads a file or a command line.
FIELDS = {
    "NetworkConfig": {"name": tuple(NETWORKS)},
    "MemoryConfig": {"name": ("none", *MEMORIES)},
    "PolicyConfig": {"distribution": tuple(DISTRIBUTIONS)},
}
