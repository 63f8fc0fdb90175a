"""Hugging Face: a callback that reports every number that the Trainer logs."""

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)


class Reporter(TrainerCallback):
    """For `Trainer(callbacks=[...])`."""

    def __init__(self, report):
        self.report = report

    def on_log(self, args, state, control, logs=None, **others):
        """Called by the Trainer: `loss` after each logging step, `eval_loss` after each evaluation."""
        values = {name: value for name, value in (logs or {}).items() if isinstance(value, int | float)}
        if state.is_world_process_zero and values:
            self.report({"step": state.global_step, **values})


def train(*, lr: float = 1e-4, epochs: int = 2, seed: int = 0, out: str = ".", report):
    """Objective: `eval_loss`. A small BERT with random weights, on random tokens: nothing is downloaded."""
    tokens = torch.randint(0, 99, (64, 16), generator=torch.Generator().manual_seed(seed))
    data = [{"input_ids": row, "labels": int(row[0] % 2)} for row in tokens]
    config = BertConfig(
        vocab_size=99, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    arguments = TrainingArguments(
        out, learning_rate=lr, num_train_epochs=epochs, seed=seed, eval_strategy="epoch", logging_strategy="epoch",
        save_strategy="no", report_to="none", disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(
        BertForSequenceClassification(config), arguments, train_dataset=data, eval_dataset=data,
        callbacks=[Reporter(report)],
    )  # fmt: skip
    trainer.train()
