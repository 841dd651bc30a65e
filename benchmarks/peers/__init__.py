"""What a user would take instead: plain Keras, PyTorch and JAX, one script each.

    python -m benchmarks.peers.keras_fit  --data=flower_photos --model=flowers_cnn --output=a.json
    python -m benchmarks.peers.torch_loop --data=mnist.npz --model=cnn --output=b.json [--compiled]
    python -m benchmarks.peers.jax_scan   --data=mnist.npz --model=cnn --output=c.json

All train the same networks (models/) with the same batches and Adam (learning rate 0.001, epsilon
1e-7, Glorot-uniform weights, zero biases), show each example once an epoch, keep the last, smaller
batch, and evaluate once, after the last epoch, on the whole test split. None uses anything of
Flowrate's but its error messages and its writer of JSON files. Where a framework leaves a choice
that does not change what is computed, the faster one was taken; the script says which, and what
was tried.
"""

import time

# `python -m benchmarks.peers.X` comes here before X imports its framework, which is a phase too.
STARTED_AT = time.perf_counter()
