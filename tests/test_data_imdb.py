"""The IMDB file: read without running anything in it, encoded as Keras' loader does, refused when it is not whole."""

import io
import os
import pickle
import re
import zipfile

import numpy as np
import pytest
from data_files import FEW_REVIEWS, few_reviews, ragged, words_and_labels, write_imdb

from bench import catalogue
from bench.data import imdb
from bench.errors import UsageError


def keras_in_plain_python(train, test, num_words: int, maxlen: int) -> list[tuple[list[int], int]]:
    """What Keras' loader and pad_sequences make of two splits of (words, labels), word by word."""
    random = np.random.RandomState(113)
    rows = []
    for words, labels in (train, test):
        order = np.arange(len(words))
        random.shuffle(order)
        for number in order:
            ids = [1] + [word + 3 for word in words[number]]
            ids = [word if word < num_words else 2 for word in ids][-maxlen:]
            rows.append(([0] * (maxlen - len(ids)) + ids, labels[number]))
    return rows


def test_ids_labels_and_order_are_those_of_keras_loader(tmp_path):
    spec = few_reviews()
    data = imdb.load(write_imdb(tmp_path / "imdb.npz"), spec)
    expected = keras_in_plain_python(words_and_labels(0), words_and_labels(1), num_words=10_000, maxlen=500)
    assert data.inputs.tolist() == [ids for ids, _ in expected]
    assert data.targets.tolist() == [label for _, label in expected]
    assert data.inputs.dtype == np.int32
    assert data.targets.dtype == np.float32
    assert data.ranges == {"train": (0, 32), "validation": (32, 40), "test": (40, 80)}
    assert data.source.identity == "other"
    assert data.source.files[0].size_bytes == (tmp_path / "imdb.npz").stat().st_size


def test_the_real_file_is_recognised_by_its_check_values(real_data):
    path = real_data / "imdb.npz"
    data = imdb.load(path, catalogue.load("conv"))
    assert data.source.identity == ("genuine" if data.source.files[0].sha256 == imdb.SHA256 else "equivalent")
    assert data.inputs.shape == (50_000, 500)
    assert data.ranges == {"train": (0, 20_000), "validation": (20_000, 25_000), "test": (25_000, 50_000)}
    assert data.inputs[0, -218:-208].tolist() == [1, 14, 22, 16, 43, 530, 973, 1622, 1385, 65]
    assert not data.inputs[0, :-218].any()
    assert data.targets[0] == 1
    assert data.inputs.min() == 0
    assert data.inputs.max() == 9_999
    assert data.targets[:25_000].mean() == data.targets[25_000:].mean() == 0.5


def test_a_file_like_the_real_one_with_one_word_changed_is_other(real_data):
    texts = [imdb._split(real_data / "imdb.npz", split) for split in ("train", "test")]
    assert imdb._check_values(*texts)
    order = np.arange(25_000)
    np.random.RandomState(113).shuffle(order)
    begin = int(texts[0].lengths[: order[0]].sum())
    texts[0].words[begin + 3] += 1
    assert not imdb._check_values(*texts)


class RunsCode:
    """Its pickle makes a folder when it is read the careless way."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_a_malicious_pickle_runs_nothing(tmp_path):
    proof = tmp_path / "it ran"
    words, _ = words_and_labels(0)
    path = write_imdb(tmp_path / "imdb.npz", x_train=ragged([*words[:-1], RunsCode(str(proof))]))
    with pytest.raises(UsageError, match=r"imdb\.npz: x_train\.npy cannot be read without risk .*posix\.mkdir"):
        imdb.load(path, few_reviews())
    assert not proof.exists()
    with np.load(path, allow_pickle=True) as careless:
        careless["x_train"]
    assert proof.exists(), "the file is as malicious as this test claims"


def test_not_even_numpy_is_called_with_what_the_file_chooses(tmp_path):
    """A pickle that has numpy.ndarray allocate a terabyte gets an inert stand-in, and a refusal."""

    class Huge:
        def __reduce__(self):
            return np.ndarray, ((1 << 37,), "f8")

    words, _ = words_and_labels(0)
    path = write_imdb(tmp_path / "imdb.npz", x_train=ragged([*words[:-1], Huge()]))
    with pytest.raises(UsageError, match="x_train holds reviews of type _Pickled, list; expected lists of integers"):
        imdb.load(path, few_reviews())


def rewritten(path, member: str, content: bytes):
    """The npz with the bytes of one member replaced."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, old in members.items():
            archive.writestr(name, content if name == member else old)
    return path


def npy(header: str, rest: bytes = b"") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + rest


OBJECTS = "{'descr': '|O', 'fortran_order': False, 'shape': (40,), }"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "x_train.npy is no NumPy array"),
        (b"text", "x_train.npy is no NumPy array"),
        (npy("{'descr': open('x'), }"), "x_train.npy is no NumPy array"),
        (npy("{'descr': ((("), "x_train.npy is no NumPy array"),
        (npy("\x00\xff"), "x_train.npy is no NumPy array"),
        (npy(OBJECTS), "x_train.npy cannot be read without risk"),
        (npy(OBJECTS, pickle.dumps(list(range(40)))), "x_train.npy is not an array of 40 lists"),
        (npy(OBJECTS, pickle.dumps(words_and_labels(0)[0])[:-500]), "x_train.npy cannot be read without risk"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (40,), }"), "x_train.npy has dtype float64"),
    ],
)
def test_a_damaged_array_is_named(tmp_path, content, said):
    path = rewritten(write_imdb(tmp_path / "imdb.npz"), "x_train.npy", content)
    with pytest.raises(UsageError, match=said) as caught:
        imdb.load(path, few_reviews())
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


WORDS, LABELS = words_and_labels(0)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"x_train": None}, "holds y_train.npy, x_test.npy, y_test.npy; expected imdb.npz with the arrays x_train"),
        ({"x_train": ragged(WORDS[:-1])}, "39 reviews and 40 labels for train"),
        ({"x_train": ragged(WORDS[:-1]), "y_train": np.array(LABELS[:-1])}, "39 training reviews; expected 40"),
        ({"x_train": ragged([*WORDS[:-1], [3, "four"]])}, "x_train holds a word that is no number"),
        ({"x_train": ragged([*WORDS[:-1], [3, 4.5]])}, "x_train holds a word that is no number"),
        ({"x_train": ragged([*WORDS[:-1], [3, float("nan")]])}, "x_train holds a word that is no number"),
        ({"x_train": ragged([*WORDS[:-1], [1 << 40]])}, "x_train holds a word that is no number"),
        ({"x_train": ragged([*WORDS[:-1], [0]])}, "word rank below 1"),
        ({"x_train": ragged([*WORDS[:-1], []])}, "an empty review"),
        ({"x_train": ragged([*WORDS[:-1], "words"])}, "x_train holds reviews of type list, str"),
        ({"x_train": np.zeros((40, 500))}, r"x_train.npy has dtype float64 and shape \(40, 500\)"),
        ({"y_test": np.array(LABELS, np.float32)}, "y_test.npy has dtype float32"),
        ({"y_test": np.array([2, *LABELS[1:]])}, "y_test.npy holds labels other than 0 and 1"),
        ({"y_test": ragged(LABELS)}, "y_test.npy has dtype object"),
    ],
)
def test_a_file_of_another_structure_is_one_line_that_says_what_was_expected(tmp_path, changed, said):
    path = write_imdb(tmp_path / "imdb.npz", **changed)
    with pytest.raises(UsageError, match=said) as caught:
        imdb.load(path, few_reviews())
    assert str(caught.value).startswith(f"{path}: ")
    assert "; expected " in str(caught.value)
    assert str(caught.value).endswith(imdb.CURE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_truncated_npz_is_refused(tmp_path, keep):
    path = write_imdb(tmp_path / "imdb.npz")
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(UsageError, match=r"imdb\.npz: is cut short or damaged"):
        imdb.load(path, few_reviews())


def test_a_flipped_bit_is_refused(tmp_path):
    path = write_imdb(tmp_path / "imdb.npz")
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 0x10  # in the packed bytes of x_train
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"imdb\.npz: .*(damaged|without risk)"):
        imdb.load(path, few_reviews())


def test_a_small_file_that_unpacks_to_gigabytes_is_refused_before_it_does(tmp_path):
    path = tmp_path / "imdb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", b"")
        archive.getinfo("x_train.npy").file_size = 5 << 30
    with pytest.raises(UsageError, match=r"x_train\.npy unpacks to 5,368,709,120 bytes"):
        imdb.load(path, few_reviews())


def test_reviews_that_refer_to_one_long_list_do_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(imdb, "_MOST_WORDS", 100_000)
    long = list(range(1, 3_001))
    path = write_imdb(tmp_path / "imdb.npz", x_train=ragged([long] * FEW_REVIEWS))
    with pytest.raises(UsageError, match=r"x_train holds 120,000 words"):
        imdb.load(path, few_reviews())


def test_a_directory_and_a_missing_file_are_named(tmp_path):
    (tmp_path / "imdb.npz").mkdir()
    with pytest.raises(UsageError, match=r"imdb\.npz: is a directory; expected .*; replace it by the file itself"):
        imdb.load(tmp_path / "imdb.npz", few_reviews())
    with pytest.raises(UsageError, match=r"other\.npz: no such file"):
        imdb.load(tmp_path / "other.npz", few_reviews())


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_files_of_either_numpy_generation_are_read(tmp_path, module):
    """NumPy 1 writes numpy.core into the pickle, NumPy 2 numpy._core; the real file has the first."""
    path = write_imdb(tmp_path / "imdb.npz")
    expected = imdb.load(path, few_reviews()).inputs
    pickled = pickle.dumps(ragged(WORDS), protocol=3)  # the names stand in it as plain text
    content = npy(OBJECTS, re.sub(rb"numpy\._?core\.multiarray", module, pickled))
    assert module in content
    assert np.array_equal(imdb.load(rewritten(path, "x_train.npy", content), few_reviews()).inputs, expected)


def test_whatever_byte_of_the_pickle_changes_nothing_but_a_user_error_comes_out(tmp_path):
    path = write_imdb(tmp_path / "imdb.npz")
    stream = io.BytesIO()
    np.lib.format.write_array(stream, ragged([words[:20] for words in WORDS]))
    random = np.random.RandomState(0)
    refused = 0
    for _ in range(200):
        content = bytearray(stream.getvalue())
        content[random.randint(400)] = random.randint(256)  # the header, the names, the first lists
        rewritten(path, "x_train.npy", bytes(content))
        try:
            imdb.load(path, few_reviews())
        except UsageError:
            refused += 1
    assert refused > 100, "most of these bytes matter"
