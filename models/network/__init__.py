"""The model: reads a caption, sees a picture with holes, and gives a histogram of levels for every pixel."""
