"""Drawing with a trained model: samplers, completion of masked pictures, and sheets of results."""
