"""The Session of Keras, the same on its three backends: fit, evaluate, and the training step that fit itself calls."""

import contextlib
from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from bench.data.windows import Dataset, Indices
from bench.implementation import Arrays, Kernel, Metrics, Setup, State
from bench.layers import Embedding
from impl_keras import losses, masks, model, optimizer
from impl_keras.backend import backend
from impl_keras.precision import use_precision


def open_session(setup: Setup) -> "KerasSession":
    """Opens a session; a RuntimeError says so when backend or device are not the ones asked for."""
    return KerasSession(setup)


class KerasSession:
    """See `bench.implementation.Session` for what every method promises.

    Precision is Keras' and so the process': once a session is opened in another one, the earlier ones are over.
    """

    def __init__(
        self,
        setup: Setup,
        fuse: Callable[[keras.Model], keras.Model] = lambda model: model,
        trainer: Callable[[keras.Model], backend.Trainer] | None = None,
    ) -> None:
        """`fuse` makes of the model another one of the same weights, which is then trained by a `trainer`.

        None: by the backend's, of one device or of several.
        """
        if keras.backend.backend() != setup.arm.framework:
            raise RuntimeError(
                f"Keras runs on {keras.backend.backend()!r}; {setup.arm.name} needs a process started with "
                f"KERAS_BACKEND={setup.arm.framework}"
            )
        devices = setup.workload.devices
        backend.configure(setup.device, setup.threads, setup.precision, devices)
        use_precision(setup.precision)
        self.workload, self.seed, self.device = setup.workload, setup.seed, setup.device
        self.several = backend.several(devices, setup.device) if devices > 1 else None
        with self.several.scope() if self.several else contextlib.nullcontext():
            self.model = model.build(setup.workload, setup.seed)
            self.optimizer = optimizer.make_optimizer(setup.workload.optimizer)
            self.fitted = self._compiled(fuse(self.model), self.optimizer)
            make = trainer or (self.several.trainer if self.several else backend.Trainer)
            self.trainer = make(self.fitted)

    def versions(self) -> dict[str, str]:
        return {
            "keras": keras.__version__,
            "keras backend": keras.backend.backend(),
            "floatx": keras.config.floatx(),
            "dtype policy": keras.config.dtype_policy().name,
            "jit_compile": str(self.fitted.jit_compile),
            **({"data parallel": self.several.describe()} if self.several else {}),
            **backend.versions(),
        }

    def summary(self) -> list[tuple[str, tuple[int, ...], int]]:
        return model.summary(self.model)

    def stage(self, dataset: Dataset) -> None:
        self.data = self.several.data(dataset) if self.several else backend.Data(dataset)

    def stage_batches(self, batches: Sequence[Indices]) -> None:
        self.batches = [self.data.batch(indices) for indices in batches]

    def train_step(self, number: int) -> None:
        self.trainer.step(self.batches[number % len(self.batches)])

    def epoch(self, batches: Sequence[Indices]) -> Metrics:
        self.trainer.settle()
        feed, steps = self.data.feed(batches), self._steps(batches)
        history = self.fitted.fit(feed, steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0).history
        return {name: float(history[name][0]) for name in self.workload.metrics}

    def evaluate(self, batches: Sequence[Indices]) -> Metrics:
        self.trainer.settle()
        feed, steps = self.data.feed(batches), self._steps(batches)
        means = self.fitted.evaluate(feed, steps=steps, verbose=0, return_dict=True)
        return {name: float(means[name]) for name in self.workload.metrics}

    def predict(self, inputs: NDArray[np.generic]) -> NDArray[np.floating]:
        self.trainer.settle()
        return _array(self.trainer.predict(self._tensor(inputs)))[:, 0]

    def loss_and_gradients(
        self, inputs: NDArray[np.generic], targets: NDArray[np.floating]
    ) -> tuple[NDArray[np.floating], float, Arrays]:
        self.trainer.settle()
        outputs, loss, gradients = self.trainer.loss_and_gradients(self._tensor(inputs), self._tensor(targets[:, None]))
        names = model.weights(self.model)
        arrays = {name: _array(gradient) for name, gradient in zip(names, gradients, strict=True)}
        return _array(outputs)[:, 0], float(_array(loss)), arrays

    def training_forward(self, inputs: NDArray[np.generic]) -> tuple[NDArray[np.floating], Arrays]:
        self.trainer.settle()
        outputs, used = self.trainer.forward(self._tensor(inputs))
        # A cell draws no mask where the share is 0: that is a mask of ones.
        drawn = {
            name: _array(used[name]) if name in used else np.ones(shape)
            for name, shape in self.workload.masks(len(inputs)).items()
        }
        return _array(outputs)[:, 0], drawn

    def set_masks(self, masks_: Arrays | None) -> None:
        self.trainer.settle()
        if masks.inject(self.model, masks_, *([self.several.part] if self.several else [])):
            self.trainer.trace_again()

    def get_weights(self) -> Arrays:
        self.trainer.settle()
        return {name: _array(variable.value) for name, variable in model.weights(self.model).items()}

    def reset(self, weights: Arrays) -> None:
        self.trainer.settle()
        for name, variable in model.weights(self.model).items():
            variable.assign(weights[name])
        optimizer.reset(self.optimizer)
        self.fitted.reset_metrics()

    def own_weights(self, seed: int) -> Arrays:
        keras.utils.set_random_seed(seed)
        drawn = model.build(self.workload, seed)
        return {name: _array(variable.value) for name, variable in model.weights(drawn).items()}

    def get_state(self) -> State:
        self.trainer.settle()
        return {name: _array(variable.value) for name, variable in self._variables().items()}

    def set_state(self, state: State) -> None:
        self.trainer.settle()
        for name, variable in self._variables().items():
            variable.assign(state[name])
        self.fitted.reset_metrics()

    def local_step(self, number: int) -> None:
        self.trainer.local_step(self.batches[number % len(self.batches)])

    def agreed(self, value: float) -> float:
        return value  # there is one process

    def synchronise(self) -> None:
        self.trainer.synchronise()

    def aside(self) -> tuple[str, Callable[[int], None]] | None:
        embeds = any(isinstance(layer, Embedding) for layer in self.workload.layers)
        if backend.SPARSE_GRADIENT is None or not embeds:
            return None
        other = model.build(self.workload, self.seed)
        other.set_weights(self.model.get_weights())
        spec = self.workload.optimizer
        by = optimizer.make_optimizer(spec, dense_embedding_gradient=False)
        trainer = backend.Trainer(self._compiled(other, by))
        return backend.SPARSE_GRADIENT, lambda number: trainer.step(self.batches[number % len(self.batches)])

    def kernels(self, run: Callable[[], None]) -> list[Kernel] | None:
        return backend.kernels(run) if self.device == "gpu" else None

    def device_peak_memory_bytes(self) -> int | None:
        return backend.device_peak_memory_bytes()

    def _steps(self, batches: Sequence[Indices]) -> int | None:
        """What Keras is to be told; None: it counts them.

        On several devices TensorFlow counts parts of batches; and where it is not told when to end, it goes one step
        on with zeros (Keras 3.15, TensorFlow 2.21).
        """
        return len(batches) if self.several else None

    def _variables(self) -> dict[str, keras.Variable]:
        """Weights, the seeds of dropout, the optimiser's variables. Keras numbers some paths as it makes objects."""
        everything = [*self.model.variables, *self.optimizer.variables]
        return {f"{number}.{variable.name}": variable for number, variable in enumerate(everything)}

    def _compiled(self, of: keras.Model, by: keras.Optimizer) -> keras.Model:
        of.compile(by, loss=losses.loss(self.workload), metrics=losses.metrics(self.workload) or None)
        by.build(of.trainable_variables)
        return of

    def _tensor(self, array: NDArray[np.generic]) -> object:
        dtype = keras.config.floatx() if np.issubdtype(array.dtype, np.floating) else "int32"
        return ops.convert_to_tensor(np.array(array), dtype)


def _array(tensor: object) -> NDArray[np.floating]:
    found = np.array(ops.convert_to_numpy(tensor))
    return found.astype(np.float32) if found.dtype.name == "bfloat16" else found  # which NumPy itself does not have
