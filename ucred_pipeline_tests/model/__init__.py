"""The core protocol of a credit as a model, of which every interleaving is looked at."""
