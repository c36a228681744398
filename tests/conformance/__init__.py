"""Agreement with recorded data; a package, so that its files may be named as those beside it."""
