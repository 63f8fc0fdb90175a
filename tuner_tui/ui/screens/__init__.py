"""One screen or dialog per file. A screen reads a study, gives its snapshot to widgets and obeys keys."""
