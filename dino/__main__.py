"""`python -m dino`, and what `torchrun -m dino` starts."""

from .commands.app import main

if __name__ == "__main__":
    main()
