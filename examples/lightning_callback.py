"""Lightning: a callback that reports every metric that the module logged, after each validation."""

import lightning
import torch
from torch.utils.data import DataLoader, TensorDataset


class Reporter(lightning.Callback):
    """For `Trainer(callbacks=[...])`."""

    def __init__(self, report):
        self.report = report

    def on_validation_end(self, trainer, module):
        """Called by Lightning after each validation. Only the first of several processes reports."""
        if not trainer.sanity_checking and trainer.is_global_zero:
            values = {name: float(value) for name, value in trainer.callback_metrics.items()}
            self.report({"step": trainer.global_step, **values})


class Line(lightning.LightningModule):
    """A module like any other: it knows nothing of the tuner."""

    def __init__(self, lr: float):
        super().__init__()
        self.lr, self.layer = lr, torch.nn.Linear(8, 1)

    def training_step(self, batch, _):
        """The loss of a batch."""
        return torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])

    def validation_step(self, batch, index):
        """Logged as `val_loss`."""
        self.log("val_loss", self.training_step(batch, index))

    def configure_optimizers(self):
        """Plain gradient descent."""
        return torch.optim.SGD(self.parameters(), self.lr)


def train(*, lr: float = 0.01, epochs: int = 3, out: str = ".", report):
    """Objective: `val_loss`."""
    x = torch.randn(256, 8)
    data = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), 32)
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="auto", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=out, callbacks=[Reporter(report)],
    )  # fmt: skip
    trainer.fit(Line(lr), data, data)
