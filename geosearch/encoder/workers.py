"""The processes of one training: usually one, or those that `accelerate launch` has started.

Sole importer of accelerate.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn

from geosearch.encoder.device import choose_device
from geosearch.errors import ConfigError, MissingDependency


class Workers:
    """This process among its siblings.

    Every process draws the same batches and takes its share of each; gradients are averaged, so
    that all keep the same weights. Negatives come from a process's own share.

    Args:
        distributed: ask accelerate; otherwise this process is alone.
        device: as for training; `auto` is CUDA where there is any.

    Raises:
        MissingDependency: the extra `train` is not installed.
        ConfigError: processes were started that accelerate does not join.
    """

    def __init__(self, *, distributed: bool, device: str = "auto") -> None:
        self._accelerator: Any = None
        self.device: torch.device | None = None
        if distributed:
            try:
                from accelerate import Accelerator
            except ImportError as error:
                raise MissingDependency(
                    "accelerate", extra="train", purpose="training on several GPUs"
                ) from error
            # Not told so, accelerate leaves processes on CPUs alone, each a trainer of its own.
            on_cpu = choose_device(device).type == "cpu"
            self._accelerator = Accelerator(cpu=on_cpu)
            self.device = self._accelerator.device
            started = int(os.environ.get("WORLD_SIZE", "1"))
            if self.count != started:
                raise ConfigError(
                    f"{started} processes were started and accelerate joins {self.count}; start "
                    "them by `accelerate launch` or torchrun, with --device cpu where CPUs train"
                )

    @property
    def count(self) -> int:
        """How many processes train together."""
        return 1 if self._accelerator is None else int(self._accelerator.num_processes)

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes."""
        return self._accelerator is None or bool(self._accelerator.is_main_process)

    def share(self, index: Tensor) -> Tensor:
        """This process's part of a batch's row numbers (b,).

        Raises:
            ConfigError: the batch is too small for so many processes.
        """
        if self.count == 1:
            return index
        if len(index) < 2 * self.count:
            raise ConfigError(
                f"a batch of {len(index)} photos cannot be shared by {self.count} processes; give "
                "each two photos or more"
            )
        return index[self._accelerator.process_index :: self.count]

    def average_gradients(self, model: nn.Module) -> None:
        """Replace each gradient by the mean over all processes."""
        if self.count > 1:
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.grad = self._accelerator.reduce(parameter.grad, reduction="mean")

    def wait(self) -> None:
        """Go on when all processes have come this far."""
        if self._accelerator is not None:
            self._accelerator.wait_for_everyone()
