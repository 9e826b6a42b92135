"""IPython's settings for kernels that run a notebook headless (copied into a fresh profile by `tools/kernels.py`)."""

c = get_config()  # noqa: F821  (IPython defines it)
c.IPKernelApp.log_level = "ERROR"
# TQDM_DISABLE reaches the console bar only: the notebook bar passes its own `disable` on.
c.IPKernelApp.exec_lines = [
    "import functools, tqdm.notebook",
    "tqdm.notebook.tqdm.__init__ = functools.partialmethod(tqdm.notebook.tqdm.__init__, disable=True)",
    "del functools, tqdm",
]
