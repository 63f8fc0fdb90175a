"""What is asked of the model: masks, pixels, losses, and the exam that scores every model alike."""
