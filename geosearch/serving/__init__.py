"""The index that searches use: encoder and vectors opened together, exchanged while in use."""
