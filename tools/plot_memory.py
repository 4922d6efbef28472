"""Records the resident memory over a long synthetic video."""

from _path import run

if __name__ == "__main__":
    run("plot_memory")
