"""How studies are shown: from a snapshot to words, scatterplots and other findings, as characters or pictures.

`charts` computes points and axes and knows no characters; `cells` puts them on a grid of cells; `draw` is the
one door to plotext, `picture` the one door to matplotlib. Neither is imported before something is drawn.
"""
