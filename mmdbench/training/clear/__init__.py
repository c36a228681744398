"""CLEAR trained: needs the extra `train`, so nothing of it is imported by `mmdbench.training`.

In the order of the data::

    profiles.py     settings of the paper and of the published code
    segments.py     a sample → texts and pictures in order, dropped by chance, with positions
    pictures.py     pictures → patches, and latent tokens
    samples.py      records of a training set → samples
    packing.py      samples → packs, and the place in the data
    masks.py        the rows that each row attends to
    layout.py       a pack → tensors
    forward.py      tensors → final states, logits and velocities, with gradients
    losses.py       next tokens, velocities, distillation
    optimiser.py    AdamW, schedule, moving average
    checkpoints.py  a folder for each saved step, and resuming from it
    stepping.py     a training in a folder, begun or resumed
    loop.py         supervised training, step by step

Reinforcement learning, Interleaved GRPO::

    grpo_profiles.py  settings of the paper and of the published code
    grpo_prompts.py   records of a training set → prompts
    sde.py            a restoration by chance, step by step, with log-probabilities
    grpo_rollouts.py  a prompt → a group of completions, by the dialogue loop of inference
    grpo_rewards.py   a completion → its rewards
    grpo_scores.py    a completion → a sequence, with one step of one picture, and log-probabilities
    grpo_losses.py    log-probabilities → losses: texts, the step, divergence
    grpo.py           all of it, step by step
"""
