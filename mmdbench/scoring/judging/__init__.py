"""What a judge is asked: prompts, the readers of its replies, and the rule which rows it gets."""
