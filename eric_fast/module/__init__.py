"""A program as a module of PyTorch, and as an operator for what compiles or exports one."""

from eric_fast.module.rule_module import RuleModule

__all__ = ["RuleModule"]
