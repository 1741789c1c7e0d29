"""The GPU engine: Triton kernels, and what prepares their input on the host."""
