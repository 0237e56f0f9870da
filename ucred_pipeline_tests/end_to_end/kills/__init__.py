"""The real program killed: `ucred reconcile --apply` against the sandbox over HTTP, with faults on.

`boundaries` ends a run between two of its steps, `processes` starts and kills the command, `hardship` is a
world in which that happens, `campaign` plays many of them.
"""
