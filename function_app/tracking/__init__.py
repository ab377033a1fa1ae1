"""What the engine needs of an experiment tracker, and the tracker that implements it."""
