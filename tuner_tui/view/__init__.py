"""Seeing it: from a snapshot to scatterplots, and from those to characters or pictures.

`charts` computes points and axes and knows no characters; `cells` puts them on a grid of cells; `draw` is the
one door to plotext, `picture` the one door to matplotlib. Neither is imported before something is drawn.
"""
