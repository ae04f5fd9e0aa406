"""The wire formats Dragoman speaks: one folder each, and the one list of them in `app.py`.

A dialect never imports another; what they share is `dragoman.http`.
"""
