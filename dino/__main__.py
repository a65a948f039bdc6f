"""`python -m dino`, and what `torchrun -m dino` starts."""

from .cli import main

if __name__ == "__main__":
    main()
