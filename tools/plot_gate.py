"""Shows what a reuse gate saves and costs."""

from _path import run

if __name__ == "__main__":
    run("plot_gate")
