"""The Session of Keras, the same on its three backends: fit, evaluate, and the training step that fit itself calls."""

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
        trainer: Callable[[keras.Model], backend.Trainer] = backend.Trainer,
    ) -> None:
        """`fuse` makes of the model another one of the same weights, which is then trained by a `trainer`."""
        if keras.backend.backend() != setup.arm.framework:
            raise RuntimeError(
                f"Keras runs on {keras.backend.backend()!r}; {setup.arm.name} needs a process started with "
                f"KERAS_BACKEND={setup.arm.framework}"
            )
        backend.configure(setup.device, setup.threads, setup.precision)
        use_precision(setup.precision)
        self.workload, self.seed, self.device = setup.workload, setup.seed, setup.device
        self.model = model.build(setup.workload, setup.seed)
        self.optimizer = optimizer.make_optimizer(setup.workload.optimizer)
        self.fitted = fuse(self.model)
        self.trainer = trainer(self._compiled(self.fitted, self.optimizer))

    def versions(self) -> dict[str, str]:
        return {
            "keras": keras.__version__,
            "keras backend": keras.backend.backend(),
            "floatx": keras.config.floatx(),
            "dtype policy": keras.config.dtype_policy().name,
            "jit_compile": str(self.fitted.jit_compile),
            **backend.versions(),
        }

    def summary(self) -> list[tuple[str, tuple[int, ...], int]]:
        return model.summary(self.model)

    def stage(self, dataset: Dataset) -> None:
        self.data = backend.Data(dataset)

    def stage_batches(self, batches: Sequence[Indices]) -> None:
        self.batches = [self.data.batch(indices) for indices in batches]

    def train_step(self, number: int) -> None:
        self.trainer.step(self.batches[number % len(self.batches)])

    def epoch(self, batches: Sequence[Indices]) -> Metrics:
        self.trainer.settle()
        history = self.fitted.fit(self.data.feed(batches), epochs=1, shuffle=False, verbose=0).history
        return {name: float(history[name][0]) for name in self.workload.metrics}

    def evaluate(self, batches: Sequence[Indices]) -> Metrics:
        self.trainer.settle()
        means = self.fitted.evaluate(self.data.feed(batches), verbose=0, return_dict=True)
        return {name: float(means[name]) for name in self.workload.metrics}

    def predict(self, inputs: NDArray[np.generic]) -> NDArray[np.floating]:
        self.trainer.settle()
        return _array(self.fitted.predict_on_batch(self._tensor(inputs)))[:, 0]

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
        if masks.inject(self.model, masks_):
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
