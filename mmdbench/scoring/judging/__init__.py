"""Calls to a judge: their prompts, the readers of its replies, and the choice of rows."""
