"""Robust-R1 trained on TRL: needs the extra `train`, so nothing of it is imported by `mmdbench.training`.

::

    profiles.py   settings of the paper and of the published code
    examples.py   records of a training set → prompts, completions and pictures
    rewards.py    the rewards as functions that TRL calls
    trainers.py   SFTTrainer and GRPOTrainer with all of it, and the record of each checkpoint
"""
