"""The module of whatever backend Keras runs on; the three `backend_*` files offer the same names.

RMSprop                      Keras' own, with dense gradients
SPARSE_GRADIENT              how Keras' own differs from it, in words; None: it does not
configure(device, threads, precision, devices)   TF32 and 64-bit mode too; RuntimeError when the GPU is not there
several(devices, device)     what trains on several devices: data, trainer, the scope to make a model in; or None
versions()                   what is really in force, read from the framework
device_peak_memory_bytes()   None where there is no reading
kernels(run)                 what runs on the GPU meanwhile, from the backend's profiler
waited(operation)            an operation of Keras, compiled where this backend compiles, its result waited for
Data(dataset)                the data set staged; `batch(indices)`; `feed(batches)` is what fit and evaluate read
Trainer(model)               Keras' compiled training step, gradients and training-mode forward pass
"""

import importlib

import keras

backend = importlib.import_module(f"impl_keras.backend_{keras.backend.backend()}")
