"""Floor 3: who runs what when. Trio tasks, no SQL."""
