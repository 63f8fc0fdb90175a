"""One screen or dialog a file. A screen reads a study, gives its snapshot to widgets and obeys keys."""
