"""Parts of the demonstration model: detector, text reader, colour statistics, rules for questions."""
