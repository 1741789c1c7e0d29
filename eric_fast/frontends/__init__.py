"""Front ends: models of other tools as programs. `registry.load` finds the right one."""
