"""The one training loop for every torch model: batches, schedule, precision, checkpoints, resume; and the weights.

Nothing here imports torch at the top except modules that are themselves only imported inside functions (loop,
optimiser, precision, head).
"""
