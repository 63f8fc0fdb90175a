"""How a study is shown: words, signs and charts that the screen and the reports share."""
