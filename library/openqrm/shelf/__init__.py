"""Shelves: catalogues of root file systems, in a directory or on a web server, that anyone can publish.

A shelf is a directory with `index.json`, its signature `index.json.sig`, and the archives that the index names.
"""
