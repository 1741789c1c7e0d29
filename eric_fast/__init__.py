"""eric_fast: a trained CNN as a logic program over its kernels (ERIC, arXiv 2010.09452), evaluated on packed bits.

The public names are listed in `__init__.pyi`; each loads when it is first used, so that importing this package
loads neither torch nor a compiler.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
