# Logged every tenth iteration, since a folder may hold few batches.
_base_ = './default_runtime.py'

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=10))
