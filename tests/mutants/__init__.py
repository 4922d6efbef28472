"""Lines of the package are broken one at a time: tests have to notice."""
