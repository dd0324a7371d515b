"""biasmask finds the parameters of a trained model that carry its bias, and edits only those."""

__version__ = "0.1.0"
