"""Learning beyond the training: ``device`` holds what runs there, the rest prepares for it or takes it up (torch)."""
