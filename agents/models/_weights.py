"""Model folders: where they are, what identifies them, and loading them without a word on the screen."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers

from arena.core.errors import MissingPrerequisite, UsageError
from arena.core.paths import cache_folder

WEIGHTS = ("*.safetensors", "*.bin")
IDENTIFYING = (*WEIGHTS, "*.json", "*.jinja", "*.model", "*.txt")
"""The files whose content is the model: weights, configuration, tokenizer, chat template."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def find_folder(name: str) -> Path:
    """The folder a name stands for: a folder as it is, anything else is a name on the Hugging Face hub.

    Raises:
        UsageError: neither a folder, nor a model that is in the hub's cache or can be fetched.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise UsageError(
                f"{name} is not a model folder: it has no config.json. Expected what `save_pretrained` writes "
                "(config.json, *.safetensors, tokenizer files)."
            )
        return folder
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or folder.exists():
        raise UsageError(f"There is no model folder {name}.{_neighbour(folder)}")
    return _from_hub(name, _neighbour(folder))


def _neighbour(folder: Path) -> str:
    """`Did you mean …?` where a folder of a similar name stands beside it."""
    if not folder.parent.is_dir():
        return ""
    names = [path.name for path in folder.parent.iterdir() if (path / "config.json").exists()]
    close = difflib.get_close_matches(folder.name, names, n=1, cutoff=0.5)
    return f" Did you mean {folder.parent / close[0]}?" if close else ""


def _from_hub(name: str, neighbour: str) -> Path:
    import huggingface_hub
    from huggingface_hub import constants

    with quiet():
        try:
            return Path(huggingface_hub.snapshot_download(name, allow_patterns=list(IDENTIFYING)))
        except Exception as error:
            offline = " (HF_HUB_OFFLINE is set)" if constants.HF_HUB_OFFLINE else ""
            raise UsageError(
                f"{name} is neither a model folder nor a model of the Hugging Face hub that could be "
                f"fetched{offline}.{neighbour} Name a folder that `save_pretrained` wrote, or fetch the model "
                f"first: hf download {name}"
            ) from error


def identity_of(folder: Path) -> str:
    """SHA-256 over the names and contents of all files that make up a model, as 64 hexadecimal digits."""
    whole = hashlib.sha256()
    for path in sorted({path for pattern in IDENTIFYING for path in folder.glob(pattern)}):
        whole.update(f"{path.name}\0{_digest(path)}\0".encode())
    return whole.hexdigest()


def _digest(path: Path) -> str:
    """SHA-256 of a file; of large files it is remembered by path, size and time of change."""
    stat = path.stat()
    if stat.st_size < 2**26:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    cache = cache_folder() / "weights"
    key = hashlib.sha256(f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()
    with contextlib.suppress(OSError):
        return (cache / key).read_text("ascii")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with contextlib.suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        written = cache / f"{key}.{os.getpid()}"
        written.write_text(digest, "ascii")
        written.replace(cache / key)
    return digest


def template_of(folder: Path) -> str:
    """The text of a folder's chat template.

    Raises:
        UsageError: it has none.
    """
    with contextlib.suppress(OSError):
        return (folder / "chat_template.jinja").read_text("utf-8")
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((folder / "tokenizer_config.json").read_text("utf-8")).get("chat_template")
        if found:
            return found if isinstance(found, str) else json.dumps(found)
    with contextlib.suppress(OSError, ValueError):
        return str(json.loads((folder / "chat_template.json").read_text("utf-8"))["chat_template"])
    raise UsageError(
        f"{folder} has no chat template, so a conversation cannot be turned into tokens. Put one into "
        "chat_template.jinja in that folder (base models have none: use the instruct version, or copy its file)."
    )


def reads_images(folder: Path) -> bool:
    """Whether a folder holds a model that answers text and images with text, and the processor that goes with it."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    if not any((folder / name).exists() for name in ("processor_config.json", "preprocessor_config.json")):
        return False
    with contextlib.suppress(OSError, ValueError):
        kind = json.loads((folder / "config.json").read_text("utf-8")).get("model_type")
        return kind in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
    return False


def load_processor(folder: Path) -> Any:
    """The processor of a folder whose model reads images: image processor, tokenizer and chat template.

    Raises:
        UsageError: it cannot be read.
        MissingPrerequisite: it needs a package that is not installed.
    """
    with quiet():
        try:
            processor = transformers.AutoProcessor.from_pretrained(folder, local_files_only=True)
        except ImportError as error:
            needed = "torchvision" if "torchvision" in str(error).lower() else "pillow"
            raise MissingPrerequisite(
                f"The processor in {folder} cannot be loaded: {_first_line(error)}", f"pip install {needed}"
            ) from error
        except Exception as error:
            raise UsageError(f"The processor in {folder} cannot be loaded: {_first_line(error)}") from error
    if not hasattr(processor, "image_processor") or not hasattr(processor, "tokenizer"):
        raise UsageError(f"The processor in {folder} is a {type(processor).__name__}, which reads no images.")
    processor.chat_template = processor.chat_template or template_of(folder)
    return processor


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder, with a pad token (its end of sequence where it has none).

    Raises:
        UsageError: no tokenizer, or one that cannot be read.
    """
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise UsageError(f"The tokenizer in {folder} cannot be loaded: {_first_line(error)}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_network(folder: Path, device: str, dtype: torch.dtype) -> Any:
    """The causal language model of a folder, in evaluation mode.

    Raises:
        UsageError: weights that are missing, damaged or of an architecture transformers cannot load as that.
    """
    try:
        return _load(transformers.AutoModelForCausalLM, folder, device, dtype)
    except UsageError as error:
        if not reads_images(folder):
            raise
        raise UsageError(
            f"The model in {folder} reads images, and transformers has no language model of its kind without them. "
            "It can be asked (arena eval -m hf:FOLDER), but neither trained nor used with images=false: train a "
            "language model, which goes by the text of what it is shown."
        ) from error


def load_vision_network(folder: Path, device: str, dtype: torch.dtype) -> Any:
    """The model of a folder that reads images, in evaluation mode.

    Raises:
        UsageError: weights that are missing, damaged or of an architecture transformers cannot load as that.
    """
    return _load(transformers.AutoModelForImageTextToText, folder, device, dtype)


def _load(kind: Any, folder: Path, device: str, dtype: torch.dtype) -> Any:
    if not any(path for pattern in WEIGHTS for path in folder.glob(pattern)):
        raise UsageError(f"{folder} holds no weights: expected *.safetensors, as `save_pretrained` writes.")
    with quiet():
        try:
            network = kind.from_pretrained(folder, dtype=dtype, local_files_only=True)
        except Exception as error:
            raise UsageError(f"The model in {folder} cannot be loaded: {_first_line(error)}") from error
    return network.to(device).eval()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def choose_device(device: str | None) -> str:
    """The device asked for, else the first GPU, else the CPU.

    Raises:
        UsageError: a device that torch does not see.
    """
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"device={device}: {_first_line(error)}. `arena doctor` shows what torch sees.") from error
    return device


def choose_dtype(dtype: str | None, device: str) -> torch.dtype:
    """The number format asked for, else bfloat16 on a GPU and float32 on a CPU.

    Raises:
        UsageError: an unknown format.
    """
    if dtype is None:
        return torch.float32 if device == "cpu" else torch.bfloat16
    if dtype not in DTYPES:
        raise UsageError(f"dtype={dtype} is not one of {', '.join(DTYPES)}.")
    return DTYPES[dtype]


def context_of(network: Any, tokenizer: Any, wanted: int | None) -> int:
    """How many tokens a sequence may have: the model's limit, or less where less is wanted.

    Raises:
        UsageError: more is wanted than the model was made for.
    """
    limit = getattr(network.config.get_text_config(decoder=True), "max_position_embeddings", None)
    limits = [value for value in (limit, tokenizer.model_max_length) if isinstance(value, int) and 0 < value < 2**31]
    longest = min(limits, default=None)
    if wanted is not None and (wanted < 1 or (longest is not None and wanted > longest)):
        raise UsageError(f"context={wanted} does not fit: this model takes between 1 and {longest} tokens.")
    return wanted or longest or 4096


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' progress bars off the screen; a caller's own setting comes back afterwards."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
