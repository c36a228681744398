"""The parts of the adapter `clear`, around the network of `mmdbench.bagel`.

`options` reads a card's options, `published` finds the official files, `prompts` names the system prompts,
and `memory` refuses a device that is too small.
"""
