"""The examples of an experiment in several random splits, as figures are means over splits: digits, or MNIST."""

from dataclasses import dataclass

from meta.problems.digits import Split, digits, mnist

DIGITS_VALID, MNIST_VALID = 400, 10_000  # by default; of the 1,797 digits the rest is for testing


@dataclass(frozen=True)
class Source:
    """data: "digits", or the folder of MNIST's four files. Raises ValueError, FileNotFoundError when it is read."""

    data: str = "digits"
    train: int = 1000
    valid: int | None = None  # None: 400 digits, or 10,000 of MNIST

    @property
    def side(self) -> int:
        """Pixels to a side of an image."""
        return 8 if self.data == "digits" else 28

    def split(self, number: int) -> Split:
        """The split of that number: another choice of examples for training, validation and, for digits, testing."""
        if self.data == "digits":
            return digits(self.train, self.valid or DIGITS_VALID, seed=number)
        return mnist(self.data, self.train, self.valid or MNIST_VALID, seed=number)
