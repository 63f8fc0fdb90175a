"""One widget per file. A widget shows a value it is given; only screens decide."""
