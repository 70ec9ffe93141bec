"""How Ember, the bundled model, is made: its text, its tokenizer, its training and its evaluation.

Nothing here is imported by webapp; the product of this room is the folder models/ember.
"""
