"""The model: a caption and a masked picture in, a histogram of levels for every pixel out."""
