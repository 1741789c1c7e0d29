"""The GPU's kernels run on the CPU, thread by thread, from the PTX that Triton compiles: no GPU is needed.

`launch` takes a kernel's launches, `text` and `translate` turn its PTX into Python, `machine` runs a grid, and `memory`
remembers who wrote and who read what. `cases` are compared with the reference; `mutate` breaks kernels on purpose.
"""
