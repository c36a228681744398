"""CLEAR trained: needs the extra `train`, so nothing of it is imported by `mmdbench.training`.

In the order of the data::

    profiles.py     settings of the paper and of the published code
    segments.py     a sample → texts and pictures in order, dropped by chance, with positions
    pictures.py     pictures → patches, and latent tokens
    masks.py        the rows that each row attends to
    layout.py       a pack → tensors
    forward.py      tensors → final states, logits and velocities, with gradients
    losses.py       next tokens, velocities, distillation
    optimiser.py    AdamW, schedule, moving average
"""
