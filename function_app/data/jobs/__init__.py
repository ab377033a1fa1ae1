"""What a job's data says: results files, events, checkpoints, description, price."""
