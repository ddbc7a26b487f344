"""Floor 2: one connection on one pinned thread; where threads meet trio."""
