"""Drawing with a trained model: the order in which holes are filled, and the pictures left for a person."""
