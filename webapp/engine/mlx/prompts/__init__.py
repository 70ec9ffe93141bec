"""From messages to prompts: tokenizers, chat templates and the turns they are given."""
