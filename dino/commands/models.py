"""`dino models`."""

from .common import console


def models() -> None:
    """List the models that come with the program: area, channel, what they saw, skill, licence and credit.

    Example: dino models
    """
    from ..model.named import CARD, SHIPPED, card_of, shipped_models

    screen = console()
    for name, folder in shipped_models().items():
        card = card_of(folder)
        screen.print(f"{name}: {card.channel}, {card.area}", style="bold", highlight=False, markup=False)
        rows = {"saw": card.saw, "skill": card.skill, "licence": card.licence, "credit": card.credit}
        for what, told in rows.items():
            if told:
                screen.print(f"  {what + ':':9s}{told}", highlight=False, markup=False)
    if shipped_models():
        screen.print(f"cards: {SHIPPED}/NAME/{CARD}", highlight=False, markup=False, soft_wrap=True)
    else:
        screen.print("no model is installed beside the program; train one by `dino train`", highlight=False)
