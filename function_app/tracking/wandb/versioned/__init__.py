"""What W&B keeps in versions: datasets, models, files, and how they get there."""
