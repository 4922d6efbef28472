"""The measures on plain arrays: numpy and OpenCV only. Importing this package loads no framework."""
