"""The data of a job: results files, events, checkpoints, description, price."""
